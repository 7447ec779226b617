"""Random numbers: samplers on explicit keys (JAX's names and bits), and generators that keep a key (PyTorch's names).

A key is a uint32[2] tensor. Equal keys give equal numbers on every machine, for every thread count, eager and compiled.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

import numpy as np

from pullback.api import _random as r
from pullback.api.arguments import as_tensor, axis_of, check_memory, described, dtype_or, integer, number, shape_of
from pullback.engine.execute import upload
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import Value, local
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, numpy_dtype
from pullback.util import config
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, ValueError_, message

Array = Any


def _layout() -> str:
    return config.RANDOM_LAYOUT.value


def _key(key: Any, name: str) -> Any:
    """Check a key."""
    if isinstance(key, np.ndarray):
        key = from_host(key)
    if not isinstance(key, TensorBase) or key.shape != (2,) or key.dtype is not dtypes.uint32:
        raise ArgumentError(
            message(
                f"{name}: not a key",
                [("key", described(key))],
                "make one with pb.random.key(seed), take one of split(key), or map over keys with pb.vmap",
            )
        )
    return key


def _floating(dtype: Any, name: str) -> DType:
    found = dtype_or(dtype, dtypes.float32)
    if not found.is_floating_point:
        raise DTypeError(message(f"{name}: not a floating-point dtype", [("dtype", str(found))],
                                 "one of float16, bfloat16, float32, float64"))
    return found


def _shape(shape: Any, dtype: DType, name: str) -> tuple[int, ...]:
    found = shape_of(shape, name)
    check_memory(found, dtype, name)
    return found


# -- keys ------------------------------------------------------------------------------------------------------------


def key(seed: int) -> Array:
    """The key of a seed.

    >>> import pullback as pb
    >>> pb.random.key(21)
    Tensor([ 0, 21], dtype=uint32)
    """
    if isinstance(seed, TensorBase):
        return r._random_key(0, seed)
    seed = integer(seed, "random.key", "seed")
    # a seed of more than 32 bits keeps its low half, as JAX does without 64-bit mode
    return from_host(np.array([0, seed & 0xFFFFFFFF], np.uint32))


def split(key: Array, num: int = 2) -> Array:
    """`num` new keys of one: uint32[num, 2], which can be unpacked."""
    count = integer(num, "random.split", "num")
    if count < 0:
        raise ValueError_(message("random.split: a negative number of keys", [("num", str(count))], "num=2"))
    return r._random_split(_key(key, "random.split"), count=count, layout=_layout())


def fold_in(key: Array, data: Any) -> Array:
    """A new key of a key and a whole number."""
    if isinstance(data, (int, np.integer)) and not isinstance(data, bool):
        data = from_host(np.uint32(int(data) & 0xFFFFFFFF))
    tensor = as_tensor(data, "random.fold_in")
    if tensor.shape or not tensor.dtype.is_integer:
        raise ArgumentError(message("random.fold_in: data must be one whole number", [("data", described(tensor))],
                                    "fold_in(key, step)"))
    return r._random_fold(_key(key, "random.fold_in"), tensor)


# -- samplers --------------------------------------------------------------------------------------------------------


def bits(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Random bits as unsigned integers."""
    kind = dtype_or(dtype, dtypes.uint32)
    if kind.kind != "u":
        raise DTypeError(message("random.bits: not an unsigned dtype", [("dtype", str(kind))], "dtype=pb.uint32"))
    return r._random_bits(_key(key, "random.bits"), shape=_shape(shape, kind, "random.bits"), layout=_layout(),
                          width=kind.bits)


def uniform(key: Array, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0) -> Array:
    """Uniform in [minval, maxval).

    >>> import pullback as pb
    >>> pb.random.uniform(pb.random.key(0), (3,))
    Tensor([0.947667  , 0.9785799 , 0.33229148], dtype=float32)
    """
    kind = _floating(dtype, "random.uniform")
    size = _shape(shape, kind, "random.uniform")
    given = _key(key, "random.uniform")
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)):
        return r._random_uniform(given, shape=size, dtype=kind, layout=_layout(), low=float(minval), high=float(maxval))
    low, high = as_tensor(minval, "random.uniform").to(kind), as_tensor(maxval, "random.uniform").to(kind)
    scaled = r._random_unit(given, shape=size, dtype=kind, layout=_layout()) * (high - low) + low
    return _maximum(scaled, low)


def _maximum(x: Array, y: Array) -> Array:
    from pullback.api.elementwise import maximum  # the array functions are needed here only

    return maximum(x, y)


def normal(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Standard normal.

    >>> import pullback as pb
    >>> pb.random.normal(pb.random.key(0), (3,))
    Tensor([ 1.6226422 ,  2.0252647 , -0.43359447], dtype=float32)
    """
    kind = _floating(dtype, "random.normal")
    return r._random_normal(_key(key, "random.normal"), shape=_shape(shape, kind, "random.normal"), dtype=kind,
                            layout=_layout())


def truncated_normal(key: Array, lower: float, upper: float, shape: Any = (), dtype: Any = None) -> Array:
    """Standard normal, given that it lies in (lower, upper)."""
    kind = _floating(dtype, "random.truncated_normal")
    low, high = number(lower, "random.truncated_normal", "lower"), number(upper, "random.truncated_normal", "upper")
    if not low < high:
        raise ValueError_(message("random.truncated_normal: an empty interval", [("lower, upper", str((low, high)))],
                                  "lower must be less than upper"))
    return r._random_truncated(_key(key, "random.truncated_normal"),
                               shape=_shape(shape, kind, "random.truncated_normal"),
                               dtype=kind, layout=_layout(), low=float(low), high=float(high))


def gumbel(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Standard Gumbel."""
    kind = _floating(dtype, "random.gumbel")
    return r._random_gumbel(_key(key, "random.gumbel"), shape=_shape(shape, kind, "random.gumbel"), dtype=kind,
                            layout=_layout())


def exponential(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Exponential with rate 1."""
    kind = _floating(dtype, "random.exponential")
    return r._random_exponential(_key(key, "random.exponential"), shape=_shape(shape, kind, "random.exponential"),
                                 dtype=kind, layout=_layout())


def bernoulli(key: Array, p: Any = 0.5, shape: Any = None) -> Array:
    """True with probability p."""
    if isinstance(p, (int, float)):
        _probability(p, "random.bernoulli")
        return uniform(key, () if shape is None else shape) < float(p)
    chance = as_tensor(p, "random.bernoulli")
    kind = chance.dtype if chance.dtype.is_floating_point else dtypes.float32
    return uniform(key, chance.shape if shape is None else shape, kind) < chance


def _probability(p: float, name: str) -> None:
    if not 0 <= p <= 1:
        raise ValueError_(message(f"{name}: a probability lies between 0 and 1", [("p", str(p))], "check p"))


def randint(key: Array, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Array:
    """Whole numbers in [minval, maxval)."""
    kind = dtype_or(dtype, dtypes.int32)
    if not kind.is_integer:
        raise DTypeError(message("random.randint: not an integer dtype", [("dtype", str(kind))], "dtype=pb.int32"))
    size = _shape(shape, kind, "random.randint")
    low, high = _bound(minval, kind), _bound(maxval, kind)
    if isinstance(minval, int) and isinstance(maxval, int) and minval >= maxval:
        raise ValueError_(message("random.randint: an empty range", [("minval, maxval", str((minval, maxval)))],
                                  "minval must be less than maxval"))
    return r._random_integers(_key(key, "random.randint"), low, high, shape=size, dtype=kind, layout=_layout())


def _bound(value: Any, kind: DType) -> Any:
    if not isinstance(value, (int, np.integer)):
        return as_tensor(value, "random.randint")
    info = np.iinfo(numpy_dtype(kind))
    if not info.min <= value <= info.max:
        raise ValueError_(message("random.randint: a bound is outside the dtype",
                                  [("bound", str(value)), ("dtype", str(kind))],
                                  "choose a wider dtype"))
    return from_host(np.asarray(value, numpy_dtype(kind)))


def permutation(key: Array, x: Any, axis: int = 0) -> Array:
    """A shuffle of range(x), or of an array along an axis."""
    given = _key(key, "random.permutation")
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        if x < 0:
            raise ValueError_(message("random.permutation: a negative number", [("x", str(x))],
                                      "pass a size from 0 up"))
        return r._random_order(given, size=int(x), layout=_layout())
    tensor = as_tensor(x, "random.permutation")
    return r._random_permute(given, tensor, axis=axis_of(axis, tensor.ndim, "random.permutation", tensor),
                             layout=_layout())


shuffle = permutation


def categorical(key: Array, logits: Any, axis: int = -1, shape: Any = None) -> Array:
    """Indices along an axis, drawn with probabilities softmax(logits)."""
    tensor = as_tensor(logits, "random.categorical")
    if not tensor.dtype.is_floating_point:
        tensor = tensor.to(dtypes.float32)
    at = axis_of(axis, tensor.ndim, "random.categorical", tensor)
    batch = (*tensor.shape[:at], *tensor.shape[at + 1:])
    wanted = batch if shape is None else shape_of(shape, "random.categorical")
    lead = len(wanted) - len(batch)
    if lead < 0 or wanted[lead:] != batch:
        raise ShapeError(message("random.categorical: shape must end with that of the logits without the axis",
                                 [("shape", str(wanted)), ("logits", described(tensor))], f"end it with {batch}"))
    return r._random_categorical(_key(key, "random.categorical"), tensor, prefix=wanted[:lead], axis=at,
                                 layout=_layout())


def choice(key: Array, a: Any, shape: Any = (), replace: bool = True, p: Any = None) -> Array:
    """Elements of an array, or numbers below a, drawn with or without putting back, with probabilities p."""
    given = _key(key, "random.choice")
    pool = None if isinstance(a, (int, np.integer)) else as_tensor(a, "random.choice")
    size = int(a) if pool is None else pool.shape[0]
    wanted = shape_of(shape, "random.choice")
    count = int(np.prod(wanted, dtype=np.int64))
    if size < 1 or (not replace and count > size):
        raise ValueError_(message("random.choice: not enough to choose from",
                                  [("choices", str(size)), ("wanted", str(count))],
                                  "pass replace=True, or a smaller shape"))
    weights = None if p is None else as_tensor(p, "random.choice").to(dtypes.float32)
    if weights is not None and weights.shape != (size,):
        raise ShapeError(
            message(
                "random.choice: one probability for each choice",
                [("p", described(weights)), ("choices", str(size))],
                "check p",
            )
        )
    if weights is None:
        found = randint(given, wanted, 0, size) if replace else permutation(given, size)[:count].reshape(wanted)
    elif replace:
        found = r._random_weighted(given, weights, shape=wanted, layout=_layout())
    else:
        found = r._random_weighted_distinct(given, weights, count=count, layout=_layout()).reshape(wanted)
    return found if pool is None else pool[found]


# -- generators ------------------------------------------------------------------------------------------------------

_MASK = 2**64 - 1


def _mix(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64 bits."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _nth(seed: int, n: int) -> int:
    """Output n of splitmix64 from a seed."""
    return _mix((seed + (n + 1) * 0x9E3779B97F4A7C15) & _MASK)


def _key_value(word: int) -> Value:
    return upload(np.array([word >> 32, word & 0xFFFFFFFF], np.uint32), dtypes.uint32)


class _CallKey(TensorBase):
    """The key of one call of a compiled function: reading it from outside draws a new one."""

    def __init__(self, generator: Generator) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.source = generator

    def _use(self) -> Value:
        # while a function is being compiled the value is not used: it is read again at each call
        return _key_value(self.source.draw() if local.track is None else 0)

    _peek = _use


class Drawn(threading.local):
    """How often a thread has asked generators for numbers: says whether a function did."""

    count = 0


drawn = Drawn()


class Generator:
    """A source of keys: seed and a count of the keys given out, which is all its state."""

    #: whether it has samplers of its own that draw on the host (`uniform`, `normal`, ...), beside keys
    host: bool = False

    def __init__(self, device: Any = None) -> None:
        self._lock = threading.Lock()
        self._seed, self._count = 0, 0

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from a seed."""
        with self._lock:
            self._seed, self._count = integer(seed, "manual_seed", "seed") & _MASK, 0
        return self

    def seed(self) -> int:
        """Start anew from a seed of the system's."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def initial_seed(self) -> int:
        """The seed started from."""
        return self._seed

    def draw(self) -> int:
        """The next 64 bits of key material."""
        drawn.count += 1
        with self._lock:
            count = self._count
            self._count = count + 1
        return _nth(self._seed, count)

    def draw_seed(self) -> int:
        """A seed for something that keeps its own state."""
        return self.draw() >> 1

    def next_key(self) -> Array:
        """The next key, as a tensor; in a function being compiled, one that differs from call to call."""
        drawn.count += 1
        if not local.trace.constants:
            return TensorBase.default_class(_key_value(self.draw()))
        return r._random_taken(_CallKey(self))

    def get_state(self) -> Array:
        """The state, as a uint64[2] tensor: seed and keys given out."""
        return from_host(np.array([self._seed, self._count], np.uint64))

    def set_state(self, state: Any) -> None:
        """Go on from a state."""
        words = np.asarray(state.numpy() if isinstance(state, TensorBase) else state)
        if words.shape != (2,) or words.dtype.kind not in "iu":
            raise ArgumentError(message("set_state: not a generator's state", [("state", described(state))],
                                        "pass what get_state() gave"))
        with self._lock:
            self._seed, self._count = int(words[0]), int(words[1])


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the global generator anew from a seed; returns it.

    >>> import pullback as pb
    >>> _ = pb.manual_seed(0); a = pb.rand(2)
    >>> _ = pb.manual_seed(0); bool((pb.rand(2) == a).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the global generator anew from a seed of the system's; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed the global generator was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Array:
    """The global generator's state."""
    return default_generator.get_state()


def set_rng_state(state: Array) -> None:
    """Give the global generator a state."""
    default_generator.set_state(state)


def source_of(generator: Generator | None, like: Any = None) -> Any:
    """The generator given, or that of the array type of `like`, or the global one."""
    if generator is None:
        own = type(like).generator if isinstance(like, TensorBase) else None
        return default_generator if own is None else own
    if not isinstance(generator, Generator):
        raise ArgumentError(message("generator: not a generator", [("generator", described(generator))],
                                    "pass a pb.Generator, or None for the global one"))
    return generator


def on_host(source: Any) -> bool:
    """Whether a generator draws numbers itself now. What is being compiled takes keys, that differ from call to
    call."""
    return source.host and not local.trace.constants


def next_key(generator: Generator | None = None, like: Any = None) -> Array:
    """A key of a generator, by default that of an array type, or the global one."""
    return source_of(generator, like).next_key()


def uniform_values(shape: tuple[int, ...], dtype: DType, low: float, high: float, generator: Generator | None,
                   like: Any = None) -> Array:
    """Uniform numbers from a generator."""
    source = source_of(generator, like)
    if on_host(source):
        return from_host(source.uniform(shape, dtype, low, high), dtype)
    return uniform(source.next_key(), shape, dtype, low, high)


def normal_values(shape: tuple[int, ...], dtype: DType, mean: float, std: float, generator: Generator | None,
                  like: Any = None) -> Array:
    """Normal numbers from a generator."""
    source = source_of(generator, like)
    if on_host(source):
        return from_host(source.normal(shape, dtype, mean, std), dtype)
    return normal(source.next_key(), shape, dtype) * std + mean


def units(shape: tuple[int, ...], like: Array) -> Array:
    """Uniform in [0, 1), from the numbers of an array's type, in its dtype."""
    source, kind = source_of(None, like), like.info.type.dtype
    if on_host(source):
        return like.result_class(from_host(source.uniform(shape, kind), kind)._use())
    return uniform(source.next_key(), shape).astype(kind)


def exponentials(shape: tuple[int, ...], like: Array) -> Array:
    """Exponentially distributed, from the numbers of an array's type, in its dtype."""
    from pullback.api.elementwise import clip, log

    source, kind = source_of(None, like), like.info.type.dtype
    if on_host(source):
        return like.result_class(from_host(source.exponential(shape, kind), kind)._use())
    return -log(clip(1 - uniform(source.next_key(), shape).astype(kind), 1e-38, None))


def kept(shape: tuple[int, ...], rate: float, like: Any) -> Array:
    """What dropout keeps: true with probability 1 - rate, from the numbers of an array's type."""
    source = source_of(None, like)
    if on_host(source):  # where nothing is kept PyTorch draws nothing
        return from_host(source.chances(1 - rate, shape) if rate < 1 else np.zeros(shape, bool))
    return uniform(source.next_key(), shape) >= rate

"""`jax.random`: keys and samplers. `jax_threefry_partitionable` chooses the layout: today's, or that of 2024 and
before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import manipulation
from pullback.api import random as native
from pullback.api.indexing import read
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import errors
from pullback.dialects.jax.array import Array, default_float, default_int, lift, lower, wanted
from pullback.dialects.jax.config import config
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import local
from pullback.util.errors import ArgumentError, StructureError, message


class KeyType:
    """The dtype of keys."""

    name, itemsize, kind = "key<fry>", 8, "V"

    def __repr__(self) -> str:
        return "key<fry>"


KEY = KeyType()


class PRNGKeyArray(Array):
    """Keys: an array of pairs of words that shows as an array of keys."""

    used = False

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.info.type.shape[:-1]

    @property
    def dtype(self) -> Any:  # type: ignore[override]
        return KEY

    @property
    def ndim(self) -> int:  # type: ignore[override]
        return len(self.info.type.shape) - 1

    @property
    def size(self) -> Any:
        return self.info.type.size // 2

    def numpy(self) -> np.ndarray[Any, Any]:
        raise ArgumentError(
            message(
                "JAX array with PRNGKey dtype cannot be converted to a NumPy array",
                [("key", repr(self.shape))],
                "use jax.random.key_data(key)",
            )
        )

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentError(message("len() of unsized object", [("key", "one key")], "split it first"))
        return self.shape[0]

    def __iter__(self) -> Any:
        return iter([self[k] for k in range(len(self))])

    def __getitem__(self, index: Any) -> Any:
        items = index if isinstance(index, tuple) else (index,)
        whole = items if any(i is Ellipsis for i in items) else (*items, Ellipsis)
        return PRNGKeyArray(read(key_data(self), (*whole, slice(None)))._use())

    def __repr__(self) -> str:
        if self._peek().buffer is None and local.trace.kind != "main":
            return f"JitTracer(key<fry>[{','.join(map(str, self.shape))}])"
        return f"Array({self.shape}, dtype=key<fry>) overlaying:\n{key_data(self)}"

    __str__ = __repr__

    def reshape(self, *shape: Any) -> Any:
        """The keys under another shape."""
        size = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return PRNGKeyArray(key_data(self).reshape((*size, 2))._use())

    def _refuse(self, *_: Any) -> Any:
        raise ArgumentError(
            message("keys have no arithmetic", [("dtype", "key<fry>")], "use jax.random.split or fold_in")
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse


PRNGKeyArray.result_class = PRNGKeyArray


def _data(key: Any, name: str, uses: bool = True) -> Any:
    """The words of one key, which is used up by this."""
    if not isinstance(key, TensorBase) and not isinstance(key, np.ndarray):
        raise ArgumentError(
            message(
                f"{name} accepts a key, not a number",
                [("given", f"{type(key).__name__} {key!r:.40}")],
                "make one with jax.random.key(seed)",
            )
        )
    if isinstance(key, TensorBase) and uses:
        use(key, name)
    if isinstance(key, PRNGKeyArray):
        if key.shape:
            raise StructureError(
                message(
                    f"{name} accepts a single key, but was given a key array of shape {key.shape}",
                    help="use jax.vmap for batching",
                )
            )
        return key_data(key)
    return border.asarray(key)


def use(key: Any, name: str) -> None:
    """Note that a key was used; a second use is an error where the configuration says so."""
    if config.jax_debug_key_reuse and key.__dict__.get("used"):
        raise errors.KeyReuseError(
            message(
                f"{name}: this key was used before",
                [("key", repr(key).splitlines()[0])],
                "split it: key, subkey = jax.random.split(key)",
            )
        )
    key.__dict__["used"] = True


def key_data(keys: Any) -> Any:
    """The words of keys, as uint32."""
    return Array(keys._use()) if isinstance(keys, PRNGKeyArray) else border.asarray(keys)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None) -> Any:
    """Keys of words."""
    data = border.asarray(key_bits_array)
    if not data.ndim or data.shape[-1] != 2 or data.dtype.name != "uint32":
        raise ArgumentError(message("wrap_key_data: keys are pairs of uint32", [("given", repr(data.info.type))]))
    return PRNGKeyArray(data._use())


def key(seed: Any, *, impl: Any = None) -> Any:
    """The key of a seed."""
    return PRNGKeyArray(native.key(_seed(seed))._use())


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """The key of a seed, as its two words."""
    return lift(native.key(_seed(seed)))


def _seed(seed: Any) -> Any:
    if isinstance(seed, (float, np.floating)):
        raise ArgumentError(message("PRNG key seed must be an integer", [("seed", repr(seed))], "jax.random.key(0)"))
    return int(seed) if isinstance(seed, np.generic) else seed


def _same_kind(key: Any, data: Any) -> Any:
    return PRNGKeyArray(data._use()) if isinstance(key, PRNGKeyArray) else lift(data)


def split(key: Any, num: Any = 2) -> Any:
    """New keys of one."""
    data = _data(key, "split")
    if isinstance(num, int):
        return _same_kind(key, native.split(data, num))
    size = tuple(num)
    return _same_kind(key, native.split(data, int(np.prod(size))).reshape((*size, 2)))


def fold_in(key: Any, data: Any) -> Any:
    """A new key of a key and a whole number."""
    return _same_kind(key, native.fold_in(_data(key, "fold_in", False), data))


def clone(key: Any) -> Any:
    """The same key, not used yet."""
    return type(key)(key._use())


def _floats(name: str, sample: Callable[..., Any]) -> Callable[..., Any]:
    def draw(key: Any, shape: Any = (), dtype: Any = float) -> Any:
        return lift(sample(_data(key, name), shape, _float_dtype(dtype, name)))

    draw.__name__, draw.__doc__ = name, sample.__doc__
    return draw


def _float_dtype(dtype: Any, name: str) -> Any:
    if dtype is float or dtype is None:
        return default_float()
    found = wanted(dtype, name)
    if found is None or not found.is_inexact:
        raise StructureError(
            message(f"dtype argument to `{name}` must be a float or complex dtype", [("dtype", repr(dtype))])
        )
    return found


normal, gumbel, exponential = (
    _floats(n, f)
    for n, f in (("normal", native.normal), ("gumbel", native.gumbel), ("exponential", native.exponential))
)


def uniform(key: Any, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """Uniform in [minval, maxval)."""
    return lift(
        native.uniform(_data(key, "uniform"), shape, _float_dtype(dtype, "uniform"), lower(minval), lower(maxval))
    )


def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = (), dtype: Any = float) -> Any:
    """Standard normal, given that it lies in (lower, upper)."""
    return lift(
        native.truncated_normal(
            _data(key, "truncated_normal"), lower, upper, shape, _float_dtype(dtype, "truncated_normal")
        )
    )


def bits(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Random bits."""
    return lift(native.bits(_data(key, "bits"), shape, wanted(dtype, "bits")))


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """True with probability p."""
    return lift(native.bernoulli(_data(key, "bernoulli"), lower(p), shape))


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = int) -> Any:
    """Whole numbers in [minval, maxval)."""
    kind = default_int() if dtype is int else wanted(dtype, "randint")
    return lift(native.randint(_data(key, "randint"), shape, minval, maxval, kind))


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """A shuffle of range(x), or of an array along an axis."""
    if isinstance(x, (float, np.floating)) or (isinstance(x, TensorBase) and not x.shape and x.dtype.is_inexact):
        raise ArgumentError(message("permutation: x must be an integer or at least 1-dimensional", [("x", repr(x))]))
    return lift(native.permutation(_data(key, "permutation"), lower(x), axis))


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Indices drawn with probabilities softmax(logits)."""
    return lift(native.categorical(_data(key, "categorical"), lower(logits), axis, shape))


def choice(key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0) -> Any:
    """Elements, or slices along an axis, drawn with or without putting back."""
    given = lower(a)
    if axis and isinstance(given, Array):
        given = lift(manipulation.moveaxis(given, axis, 0))
    found = lift(native.choice(_data(key, "choice"), given, shape, replace, None if p is None else lower(p)))
    if not axis or not isinstance(given, Array):
        return found
    drawn = found.ndim - given.ndim + 1
    place = axis % given.ndim
    return lift(manipulation.moveaxis(found, tuple(range(drawn)), tuple(range(place, place + drawn))))


def key_impl(keys: Any) -> str:
    """The name of the keys' generator."""
    _data(keys, "key_impl", False) if not isinstance(keys, PRNGKeyArray) else None
    return "threefry2x32"


__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.random_distributions": """ball beta binomial cauchy chisquare dirichlet double_sided_maxwell f
            gamma generalized_normal geometric laplace loggamma logistic lognormal maxwell multinomial
            multivariate_normal orthogonal pareto poisson rademacher rayleigh t triangular wald weibull_min""",
    },
)

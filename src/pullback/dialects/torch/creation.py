"""Making tensors, with PyTorch's defaults: Python integers become int64, floats the default dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api import creation
from pullback.api import rand as api_rand
from pullback.api.creation import finished
from pullback.api.data_types import result_type
from pullback.api.mersenne import Mersenne
from pullback.api.mersenne import generator as default_generator
from pullback.dialects.torch.dtypes import DefaultDtype, checked_device, dtype_argument, shown
from pullback.dialects.torch.tensors import Tensor, styled
from pullback.engine.jit import use_defaults
from pullback.engine.tensor import TensorBase, from_array, from_host
from pullback.ir import dtypes
from pullback.util.errors import DTypeError, NotNumbersError, ValueError_, message


class Generator(Mersenne):
    """A generator of random numbers: `torch.Generator().manual_seed(0)`."""

    def __init__(self, device: Any = "cpu") -> None:
        checked_device(device)
        super().__init__()

    @property
    def device(self) -> Any:
        """Where it draws."""
        from pullback.dialects.torch.dtypes import device

        return device("cpu")


default_generator.__class__ = Generator
default_generator.seed()  # as PyTorch: until `manual_seed` the numbers differ from process to process


def set_default_dtype(d: Any) -> None:
    """The dtype of floating-point numbers where none is given."""
    kind = dtype_argument(d)
    if not kind.is_floating_point:
        raise DTypeError(message("only floating-point types are supported as the default type", [("dtype", repr(d))],
                                 "torch.set_default_dtype(torch.float64)"))
    DefaultDtype.current = kind
    use_defaults(kind, dtypes.int32)


def get_default_dtype() -> Any:
    """The dtype of floating-point numbers where none is given."""
    return shown(DefaultDtype.current)


def set_default_tensor_type(t: Any) -> None:
    """`set_default_dtype`, given a tensor type."""
    set_default_dtype(t)


def _floating(dtype: Any) -> Any:
    return DefaultDtype.current if dtype is None else dtype_argument(dtype)


def _kind_of(data: Any) -> Any:
    """The dtype of Python numbers: int64 for integers, the default for floats."""
    if isinstance(data, (list, tuple)):
        tensors = any(isinstance(x, TensorBase) for x in data)
        if not tensors and any(isinstance(x, (np.ndarray, np.generic)) for x in data):
            known = dtypes.dtype_of(np.result_type(*(x for x in data if isinstance(x, (np.ndarray, np.generic)))))
            numbers = [k for k in map(_kind_of, data) if k is not None]
            return max([known, *numbers], key=lambda k: "bifc".index(k.kind.replace("u", "i")))
        if tensors:
            return None
        kinds = [k for k in map(_kind_of, data) if k is not None]
        return max(kinds, key=lambda k: "bifc".index(k.kind)) if kinds else (None if data else DefaultDtype.current)
    if isinstance(data, bool):
        return dtypes.bool_
    if isinstance(data, np.generic):
        return None
    if isinstance(data, (int, range)):
        return dtypes.int64
    if isinstance(data, float):
        return DefaultDtype.current
    if isinstance(data, complex):
        return dtypes.complex128 if DefaultDtype.current is dtypes.float64 else dtypes.complex64
    return None


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Any:
    """A tensor of numbers, nested lists or arrays, which are copied."""
    if type(data) is np.ndarray and dtype is None and device is None and not requires_grad:
        found = from_array(data, Tensor)
        if found is not None:
            return found
    checked_device(device)
    data = creation.listed(data)
    kind = dtype_argument(dtype) if dtype is not None else _kind_of(data)
    return finished(styled(creation.tensor(data, kind)), requires_grad)


def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, TensorBase)


def legacy(*args: Any) -> Any:
    """`torch.Tensor(2, 3)`: an array to be filled; `torch.Tensor([1, 2])`: the numbers in the default dtype."""
    if len(args) == 1 and not isinstance(args[0], int):
        return tensor(args[0], dtype=DefaultDtype.current)
    return zeros(*(args or (0,)))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """A tensor of data; a tensor of the right dtype is returned as it is."""
    checked_device(device)
    if is_tensor(data):
        return data if dtype is None else data.to(dtype_argument(dtype))
    return tensor(data, dtype=dtype)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool = False) -> Any:
    """A tensor of data."""
    return finished(tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device), requires_grad)


def from_numpy(data: Any) -> Any:
    """A tensor with the numbers of a NumPy array (copied)."""
    found = from_array(data, Tensor) if type(data) is np.ndarray else None
    return found if found is not None else styled(creation.from_numpy(data))


def from_dlpack(data: Any) -> Any:
    """A tensor from any array that speaks DLPack (copied)."""
    return styled(creation.from_dlpack(data))


def _given(sizes: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    """Sizes one by one, or as one argument, by its name or not."""
    return sizes if size is None else (size,)


def _ended(found: Any, requires_grad: bool, out: Any, name: str) -> Any:
    """What was made, in a tensor that is given for it."""
    if out is None:
        return finished(found, requires_grad)
    from pullback.dialects.torch.written import put  # lazy: that file is built on this one

    return finished(put(found, out, name), requires_grad)


def _kind(dtype: Any, out: Any) -> Any:
    """The dtype asked for: that of `out` where none is named."""
    return out.dtype if dtype is None and isinstance(out, TensorBase) else dtype


def _filled(name: str, make: Any, size: Any, dtype: Any, place: tuple[Any, Any], requires_grad: bool, out: Any) -> Any:
    checked_device(*place)
    made = styled(make(*(size or ((),)), dtype=_floating(_kind(dtype, out))))
    return _ended(made, requires_grad, out, name)


def zeros(*sizes: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Zeros."""
    return _filled("zeros", creation.zeros, _given(sizes, size), dtype, (device, layout), requires_grad, out)


def ones(*sizes: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Ones."""
    return _filled("ones", creation.ones, _given(sizes, size), dtype, (device, layout), requires_grad, out)


def empty(*sizes: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False,
          pin_memory: bool = False, memory_format: Any = None) -> Any:
    """A tensor to be filled; its elements are 0."""
    return _filled("empty", creation.zeros, _given(sizes, size), dtype, (device, layout), requires_grad, out)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
         layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """One number everywhere."""
    checked_device(device, layout)
    fill_value = fill_value.item() if isinstance(fill_value, np.generic) else fill_value
    kind = dtype_argument(dtype) if dtype is not None else _kind_of(fill_value)
    return _ended(styled(creation.full(size, fill_value, dtype=kind)), requires_grad, out, "full")


def _like(make: Any, x: Any, dtype: Any, place: tuple[Any, Any], requires_grad: bool, *args: Any) -> Any:
    checked_device(*place)
    return finished(styled(make(x, *args, dtype=dtype_argument(dtype))), requires_grad)


def zeros_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
               memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Zeros of the shape and dtype of another tensor."""
    return _like(creation.zeros_like, input, dtype, (device, layout), requires_grad)


def ones_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
              memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Ones of the shape and dtype of another tensor."""
    return _like(creation.ones_like, input, dtype, (device, layout), requires_grad)


empty_like = zeros_like


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
              memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """One number everywhere, with the shape and dtype of another tensor."""
    return _like(creation.full_like, input, dtype, (device, layout), requires_grad, fill_value)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False, layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """Numbers from start (0 where one is given) up to, not including, end."""
    checked_device(device, layout)
    if dtype is None:
        given = [x.item() if is_tensor(x) else x for x in (start, end, step) if x is not None]
        dtype = dtypes.int64 if all(isinstance(x, int) for x in given) else DefaultDtype.current
    if end is not None and step != 0 and (end - start) / step < 0:
        raise ValueError_(message("upper bound and lower bound inconsistent with step sign",
                                 [("start, end, step", f"{start}, {end}, {step}")], "check the step's sign"))
    return _ended(styled(creation.arange(start, end, step, dtype=dtype_argument(dtype))), requires_grad, out, "arange")


def inclusive_range(start: float, end: float, step: float = 1, *, dtype: Any = None, layout: Any = None,
                    device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Any:
    """Numbers from start to end, both included."""
    return arange(start, end + step / 2, step, dtype=_floating(dtype), device=device, requires_grad=requires_grad,
                  layout=layout)


def linspace(start: Any, end: Any, steps: int = 100, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False, layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """Evenly spaced numbers, both ends included."""
    checked_device(device, layout)
    made = creation.linspace(start, end, steps, dtype=_floating(_kind(dtype, out)))
    return _ended(styled(made), requires_grad, out, "linspace")


def logspace(start: Any, end: Any, steps: int = 100, base: float = 10.0, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False, layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """Powers of a base, evenly spaced in their exponents."""
    checked_device(device, layout)
    made = creation.logspace(start, end, steps, base=base, dtype=_floating(_kind(dtype, out)))
    return _ended(styled(made), requires_grad, out, "logspace")


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
        layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """The identity matrix."""
    checked_device(device, layout)
    return _ended(styled(creation.eye(n, m, dtype=_floating(_kind(dtype, out)))), requires_grad, out, "eye")


def scalar_tensor(value: Any, *, dtype: Any = None, device: Any = None, layout: Any = None, pin_memory: bool = False,
                  requires_grad: bool = False) -> Any:
    """A 0-dimensional tensor."""
    return full((), value, dtype=_floating(dtype), device=device, requires_grad=requires_grad)


# -- random -----------------------------------------------------------------------------------------------------------


def _source(given: Any) -> Any:
    return default_generator if given is None else given


def _parts(dtype: Any) -> Any:
    """The dtype of the parts of complex numbers; None for other dtypes."""
    kind = None if dtype is None else dtype_argument(dtype)
    if kind is None or kind.kind != "c":
        return None
    return dtypes.float32 if kind is dtypes.complex64 else dtypes.float64


def _sizes(size: Any) -> tuple[int, ...]:
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


def _complex(pairs: Any) -> Any:
    from pullback.api.complex_parts import view_as_complex

    return view_as_complex(pairs)


def rand(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False, out: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Uniform in [0, 1)."""
    checked_device(device, layout)
    sizes = _given(sizes, size)
    dtype = _kind(dtype, out)
    parts = _parts(dtype)
    if parts is not None:
        found = _complex(rand(*_sizes(sizes), 2, generator=generator, dtype=parts))
    else:
        found = styled(api_rand.rand(*sizes, generator=_source(generator), dtype=_floating(dtype)))
    return _ended(found, requires_grad, out, "rand")


def randn(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False, out: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Standard normal."""
    checked_device(device, layout)
    sizes = _given(sizes, size)
    dtype = _kind(dtype, out)
    parts = _parts(dtype)
    if parts is not None:
        found = _complex(normal(0.0, 0.5 ** 0.5, (*_sizes(sizes), 2), generator=generator, dtype=parts))
    else:
        found = styled(api_rand.randn(*sizes, generator=_source(generator), dtype=_floating(dtype)))
    return _ended(found, requires_grad, out, "randn")


def rand_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Any = None,
              memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Uniform in [0, 1), with the shape and dtype of another tensor."""
    return rand(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad, layout=layout,
                generator=generator)


def randn_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Any = None,
               memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Standard normal, with the shape and dtype of another tensor."""
    return randn(input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad, layout=layout,
                 generator=generator)


def randint(low: Any = 0, high: Any = None, size: Any = None, *, generator: Any = None, dtype: Any = None,
            device: Any = None, requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
            out: Any = None) -> Any:
    """Whole numbers in [low, high), or in [0, low)."""
    checked_device(device, layout)
    if high is None and size is not None:
        low, high = 0, low
    made = api_rand.randint(low, high, size, generator=_source(generator), dtype=dtype_argument(dtype))
    return _ended(styled(made), requires_grad, out, "randint")


def randint_like(input: Any, low: int, high: Any = None, *, dtype: Any = None, generator: Any = None,
                 device: Any = None, memory_format: Any = None, layout: Any = None, pin_memory: bool = False,
                 requires_grad: bool = False) -> Any:
    """Whole numbers, with the shape and dtype of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype, generator=generator, device=device,
                   requires_grad=requires_grad, layout=layout)


def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
             layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """A shuffle of range(n)."""
    checked_device(device, layout)
    made = api_rand.randperm(n, generator=_source(generator), dtype=dtype_argument(dtype))
    return _ended(styled(made), requires_grad, out, "randperm")


def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Any:
    """0 or 1; the probability of 1 is `input`, or p for all."""
    _probabilities(input if p is None else p)
    if p is not None:
        return chances(input.shape, p, generator).to(input.dtype)
    return styled(api_rand.bernoulli(input, generator=_source(generator)))


def _probabilities(p: Any) -> None:
    given = np.asarray(p.numpy() if isinstance(p, TensorBase) else p)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError_(message("bernoulli: a probability lies between 0 and 1", [("p", f"{given.tolist()!s:.60}")],
                                  "check p"))


def chances(shape: Any, p: Any, generator: Any = None) -> Any:
    """True with probability p."""
    _probabilities(p)
    given = p.numpy() if isinstance(p, TensorBase) else p
    return from_host(_source(generator).chances(given, tuple(shape)), cls=Tensor)


def whole_like(x: Any, low: int | None, high: int | None, generator: Any = None) -> Any:
    """Whole numbers, with the shape and dtype of another tensor."""
    return api_rand.whole_like(x, low, high, generator=_source(generator))


def exponential(shape: Any, dtype: Any, rate: float, generator: Any = None) -> Any:
    """Exponential with a rate."""
    return from_host(_source(generator).exponential(tuple(shape), dtype_argument(dtype), rate), cls=Tensor)


def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None,
           layout: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Any:
    """Normal with a mean and standard deviation, numbers (then with a size) or tensors."""
    checked_device(device, layout)
    kind = dtype_argument(dtype)
    if kind is None:
        given = [x for x in (mean, std) if isinstance(x, TensorBase)]
        kind = result_type(*given).base if given else DefaultDtype.current
    return finished(styled(api_rand.normal(mean, std, size, generator=_source(generator), dtype=kind)), requires_grad)


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
    """Indices drawn with the probabilities that rows of weights stand for."""
    weights = input.numpy()
    if (weights < 0).any() or not np.isfinite(weights).all() or (weights.sum(-1) <= 0).any():
        raise ValueError_(message("multinomial: weights must be finite and not negative, and not all of a row 0",
                                  [("input", f"{weights.tolist()!s:.60}")], "check the weights"))
    return styled(api_rand.multinomial(input, num_samples, replacement, generator=_source(generator)))


def manual_seed(seed: int) -> Any:
    """Start the generator anew from a seed; the numbers are those of PyTorch on the CPU."""
    if not isinstance(seed, int):
        raise NotNumbersError(message("manual_seed: the seed must be an integer", [("seed", f"{seed!r:.60}")],
                                    "torch.manual_seed(0)"))
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the generator anew from a seed of the system's; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed the generator was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The generator's state, as PyTorch stores it."""
    return styled(default_generator.get_state())


def set_rng_state(new_state: Any) -> None:
    """Give the generator a state."""
    default_generator.set_state(new_state)




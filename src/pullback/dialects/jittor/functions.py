"""Functions of `jt` that differ from the array room's in name, order of arguments or defaults."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.api import creation, elementwise, manipulation, reindexing
from pullback.api.arguments import shape_of
from pullback.dialects.jittor import stream
from pullback.dialects.jittor.var import Var, as_var, from_floats
from pullback.engine.execute import synchronize
from pullback.engine.inspect import liveness
from pullback.engine.tensor import AutogradMeta
from pullback.engine.trace import local
from pullback.ir.dtypes import dtype_of
from pullback.util import config
from pullback.util.errors import AttributeError_, DeviceError, ValueError_, message


def array(data: Any, dtype: Any = None) -> Var:
    """A Var of numbers; 64-bit numbers become 32-bit ones unless a dtype is given."""
    return as_var(data, dtype)


def _cast(name: str) -> Any:
    def cast(data: Any) -> Var:
        return as_var(data, name)

    cast.__name__ = name
    cast.__doc__ = f"A Var of numbers as {name}."
    return cast




def float32(data: Any) -> Var:
    """A Var of numbers as float32."""
    return from_floats(data) if type(data) is np.ndarray and data.dtype.char in "fd" else as_var(data, "float32")


(float16, float64, bfloat16, int8, int16, int32, int64, uint8, uint16, uint32, uint64) = (
    _cast(n)
    for n in (
        "float16",
        "float64",
        "bfloat16",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
)
bool, double, half, int, long = (_cast(n) for n in ("bool", "float64", "float16", "int32", "int64"))
float = float32


def random(shape: Any, dtype: Any = "float32", type: str = "uniform") -> Var:
    """Random numbers, drawn when they are first needed: uniform in [0, 1), or standard normal with `type="normal"`."""
    return Var(stream.draw(shape, dtype_of(dtype), stream.kind_of(type)))


def rand(*size: Any, dtype: Any = "float32", requires_grad: Any = True) -> Var:
    """Uniform in [0, 1)."""
    return random(shape_of(size, "jt.rand"), dtype)


def randn(*size: Any, dtype: Any = "float32", requires_grad: Any = True) -> Var:
    """Standard normal."""
    return random(shape_of(size, "jt.randn"), dtype, "normal")


def rand_like(x: Any, dtype: Any = None) -> Var:
    """Uniform in [0, 1), in the shape of a Var."""
    return random(x.shape, dtype or x.dtype)


def randn_like(x: Any, dtype: Any = None) -> Var:
    """Standard normal, in the shape of a Var."""
    return random(x.shape, dtype or x.dtype, "normal")


def uniform(low: Any = 0.0, high: Any = 1.0, shape: Any = (1,), dtype: Any = "float32") -> Var:
    """Uniform in [low, high)."""
    return random(shape, dtype) * (high - low) + low


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = (1,), dtype: Any = "float32") -> Var:
    """Normal with a mean and a standard deviation."""
    return random(size, dtype, "normal") * std + mean


def randint(low: Any, high: Any = None, shape: Any = (1,), dtype: Any = "int32") -> Var:
    """Whole numbers in [low, high)."""
    low, high = (0, low) if high is None else (low, high)
    if not low < high:
        raise ValueError_(message("jt.randint: low must be less than high", [("low", repr(low)), ("high", repr(high))]))
    return elementwise.astype(elementwise.floor(random(shape) * (high - low) + low), dtype).stop_grad()


def made(tensor: Any) -> Var:
    """A Var of what the array room made: floating ones can be differentiated."""
    var = Var(tensor._peek())
    if var.info.type.dtype.is_inexact:
        var._meta = AutogradMeta(True)
    return var


def _filled(function: Any) -> Any:
    def make(shape: Any, dtype: Any = "float32", *more: Any) -> Var:
        size = (shape, dtype, *more) if isinstance(dtype, int_) else shape
        return made(function(size, dtype="float32" if isinstance(dtype, int_) else dtype))

    make.__name__, make.__doc__ = function.__name__, function.__doc__
    return make


int_ = builtins.int
zeros, ones, empty = _filled(creation.zeros), _filled(creation.ones), _filled(creation.empty)


def full(shape: Any, val: Any, dtype: Any = "float32") -> Var:
    """One number everywhere."""
    return made(creation.full(shape, val, dtype=dtype))


def _like(function: Any) -> Any:
    def make(x: Any, *args: Any, dtype: Any = None) -> Var:
        return made(function(x, *args, dtype=dtype))

    make.__name__, make.__doc__ = function.__name__, function.__doc__
    return make


zeros_like, ones_like, full_like = (_like(f) for f in (creation.zeros_like, creation.ones_like, creation.full_like))


def arange(start: Any = 0, end: Any = None, step: Any = 1, dtype: Any = None) -> Var:
    """Numbers from start up to end, not included."""
    return made(creation.arange(start, end, step, dtype=dtype))


def linspace(start: Any, end: Any, steps: Any) -> Var:
    """Equally spaced numbers, both ends included."""
    return made(creation.linspace(start, end, steps))


def broadcast(x: Any, shape: Any, dims: Sequence[Any] = ()) -> Any:
    """Repeat to a shape; `dims` are the dimensions of the result that are new."""
    return as_operand(x).broadcast(shape, dims)


def reindex(x: Any, shape: Any, indexes: Sequence[str], overflow_value: Any = 0) -> Any:
    """y[i0, i1, ...] = x[indexes[0], indexes[1], ...]."""
    return reindexing.reindex(as_operand(x), tuple(shape), indexes, overflow_value)


def reindex_reduce(x: Any, op: str, shape: Any, indexes: Sequence[str]) -> Any:
    """y[indexes[0], ...] op= x[i0, i1, ...]."""
    return reindexing.reindex_reduce(as_operand(x), op, tuple(shape), indexes)


def as_operand(x: Any) -> Any:
    """A Var of an argument that may be numbers."""
    return x if isinstance(x, Var) else as_var(x)


def clamp(x: Any, min_v: Any = None, max_v: Any = None) -> Any:
    """The elements limited to [min_v, max_v]."""
    return elementwise.clip(as_operand(x), min_v, max_v)


def concat(arr: Sequence[Any], dim: Any = 0) -> Any:
    """Vars joined along a dimension."""
    return manipulation.concat([as_operand(x) for x in arr], dim)


def stack(x: Sequence[Any], dim: Any = 0) -> Any:
    """Vars joined along a new dimension."""
    return manipulation.stack([as_operand(v) for v in x], dim)


def sync_all(device_sync: Any = False) -> None:
    """Compute everything that is pending, and wait for it."""
    synchronize()


def liveness_info() -> dict[str, Any]:
    """How many Vars are held, and how much is alive behind them."""
    return liveness(Var)


#: settings that are accepted because they change nothing here, with their values
_INERT = {
    "use_cuda": 0,
    "lazy_execution": 1,
    "auto_mixed_precision_level": 0,
    "amp_level": 0,
    "amp_reg": 0,
    "auto_convert_64_to_32": 1,
    "compile_options": {},
    "log_silent": 0,
    "log_v": 0,
    "log_vprefix": "",
    "para_opt_level": 3,
    "profiler_enable": 0,
    "trace_py_var": 0,
    "try_use_32bit_index": 0,
    "use_parallel_op_compiler": 16,
    "use_sfrl_allocator": 1,
    "use_stat_allocator": 1,
    "use_tensorcore": 0,
}
#: settings that are flags of the library: the flag, and whether 1 turns it on or off
_NATIVE = {"enable_tuner": ("recognise", True), "no_fuse": ("fuse", False)}


class _Flags:
    """`jt.flags`: settings. There is no CUDA device here."""

    def __getattr__(self, name: str) -> Any:
        if name == "no_grad":
            return int_(not local.grad_enabled)
        if name in _NATIVE:
            flag, on = _NATIVE[name]
            return int_(config.get(flag) is on)
        if name not in _INERT:
            raise _no_flag(name)
        return _INERT[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "use_cuda" and value:
            raise DeviceError(
                message(
                    "jt.flags.use_cuda: there is no CUDA device here",
                    [("use_cuda", str(value))],
                    "write jt.flags.use_cuda = jt.has_cuda",
                )
            )
        if name == "no_grad":
            local.grad_enabled = not value
        elif name in _NATIVE:
            flag, on = _NATIVE[name]
            config.set(flag, builtins.bool(value) is on)
        elif name in _INERT:
            _INERT[name] = value
        else:
            raise _no_flag(name)


def _no_flag(name: str) -> AttributeError_:
    known = [*_INERT, *_NATIVE, "no_grad"]
    from difflib import get_close_matches  # needed only when something is wrong

    near = get_close_matches(name, known, 1)
    cure = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(known)
    return AttributeError_(message(f"jt.flags has no {name!r} here", help=cure))


@contextmanager
def flag_scope(**settings: Any) -> Iterator[None]:
    """A context with other settings."""
    before = {name: getattr(flags, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(flags, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(flags, name, value)


flags = _Flags()
has_cuda = 0

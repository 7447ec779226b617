"""Questions about dtypes and devices, as the Array API standard asks them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.engine.tensor import TensorBase
from pullback.ir import dtypes
from pullback.ir.dtypes import DTYPES, DType, dtype_of, numpy_dtype, promote
from pullback.util.errors import ArgumentError, DTypeError, message


class finfo:
    """The limits of a floating dtype: bits, eps, max, min, smallest_normal, tiny, resolution."""

    def __init__(self, type: Any, /) -> None:
        self.dtype = _dtype(type)
        if not self.dtype.is_inexact:
            raise DTypeError(message("finfo: not a floating dtype", [("dtype", self.dtype.name)], "use pb.iinfo"))
        if self.dtype is dtypes.bfloat16:
            import ml_dtypes

            info: Any = ml_dtypes.finfo(numpy_dtype(self.dtype))
        else:
            info = np.finfo(self.dtype.numpy)
        self.bits = int(info.bits)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.smallest_normal = self.tiny = float(info.smallest_normal)
        self.resolution = float(info.resolution)
        if self.dtype.kind == "c":
            self.dtype = dtypes.float32 if self.dtype.bits == 64 else dtypes.float64

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"dtype={self.dtype})")


class iinfo:
    """The limits of an integer dtype: bits, max, min."""

    def __init__(self, type: Any, /) -> None:
        self.dtype = _dtype(type)
        if not self.dtype.is_integer:
            raise DTypeError(message("iinfo: not an integer dtype", [("dtype", self.dtype.name)], "use pb.finfo"))
        self.bits = self.dtype.bits
        info = np.iinfo(self.dtype.numpy)
        self.max, self.min = int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _dtype(x: Any) -> DType:
    return x.dtype if isinstance(x, TensorBase) else dtype_of(x.dtype if isinstance(x, np.ndarray) else x)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that arrays, dtypes and Python numbers give when they meet.

    >>> import pullback as pb
    >>> pb.result_type(pb.int32, pb.float32)
    pullback.float32
    """
    if not arrays_and_dtypes:
        raise ArgumentError(message("result_type: nothing is given", help="pass arrays, dtypes or numbers"))
    strong: DType | None = None
    weak = ""
    for item in arrays_and_dtypes:
        if type(item) in (bool, int, float, complex):
            weak = max(weak + {bool: "b", int: "i", float: "f", complex: "c"}[type(item)], key="bifc".index)
            continue
        found = _dtype(item)
        strong = found if strong is None else promote(strong, found)
    if strong is None:
        return dtypes.WEAK_DEFAULT[weak]
    return dtypes.promote_weak(strong, weak) if weak else strong


def promote_types(first: Any, second: Any) -> DType:
    """The dtype that two dtypes give when they meet."""
    return promote(dtype_of(first), dtype_of(second))


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion takes one dtype to another without loss of kind."""
    target = dtype_of(to)
    return promote(_dtype(from_), target) is target


_KINDS = {"bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
          "complex floating": "c", "numeric": "iufc"}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another, or of a kind ("bool", "integral", "real floating", "numeric", ...), or one of
    several."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return dtype_of(dtype).kind in _KINDS[kind]
    return dtype_of(dtype) is dtype_of(kind)


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor."""
    return isinstance(x, TensorBase)


def is_floating_point(x: Any) -> bool:
    """Whether the dtype of x is a floating one."""
    return _dtype(x).kind == "f"


def is_complex(x: Any) -> bool:
    """Whether the dtype of x is a complex one."""
    return _dtype(x).kind == "c"


class _Info:
    """What `__array_namespace_info__` returns."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 32}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        return {"real floating": dtypes.float32, "complex floating": dtypes.complex64, "integral": dtypes.int32,
                "indexing": dtypes.int32}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        found = {n: d for n, d in DTYPES.items() if n not in ("float16", "bfloat16")}
        return found if kind is None else {n: d for n, d in found.items() if isdtype(d, kind)}


def array_namespace_info() -> _Info:
    """What this library can do (Array API)."""
    return _Info()

"""Parts of complex numbers; real numbers are accepted too."""

from __future__ import annotations

from typing import Any

from pullback.api._lazy import build
from pullback.engine.operation import Operation, operation
from pullback.ir import dtypes
from pullback.ir.node import Node

Array = Any

_real = Operation(lambda x: build.unary("real", x) if x.dtype.is_inexact else x, "none", True, False, "real")
_imag = Operation(lambda x: build.unary("imag", x) if x.dtype.kind == "c" else build.zeros_like(x), "none", True, False,
                  "imag")
_conj = Operation(lambda x: build.unary("conj", x) if x.dtype.kind == "c" else x, "none", True, False, "conj")


def real(x: Array) -> Array:
    """The real part."""
    return _real(x)


def imag(x: Array) -> Array:
    """The imaginary part."""
    return _imag(x)


def conj(x: Array) -> Array:
    """The complex conjugate."""
    return _conj(x)


@operation(promote="none")
def _angle(x: Node) -> Node:
    if x.dtype.kind == "c":
        return build.binary("atan2", build.unary("imag", x), build.unary("real", x))
    x = x if x.dtype.is_inexact else build.convert(x, dtypes.float32)
    return build.binary("atan2", build.zeros_like(x), x)


def angle(x: Array) -> Array:
    """The angle of complex numbers, in radians."""
    return _angle(x)

"""Parts of complex numbers; real numbers are accepted too."""

from __future__ import annotations

from typing import Any

from pullback.api._lazy import build
from pullback.engine.operation import Operation, operation
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, ShapeError, message

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
    x = x if x.dtype.is_inexact else build.convert(x, dtypes.default_float())
    return build.binary("atan2", build.zeros_like(x), x)


def angle(x: Array) -> Array:
    """The angle of complex numbers, in radians."""
    return _angle(x)


@operation(promote="float")
def _complex_of(x: Node, y: Node) -> Node:
    if x.dtype.kind == "c":
        raise DTypeError(message("complex: the parts must be real", [("x", repr(x.type))], "give real numbers"))
    if x.dtype.bits < 32:
        x, y = build.convert(x, dtypes.float32), build.convert(y, dtypes.float32)
    return build.binary("make_complex", x, y)


def complex_of(real: Array, imag: Array) -> Array:
    """Complex numbers of their parts.

    >>> import pullback as pb
    >>> pb.complex_of(pb.tensor([1.0]), 2.0)
    Tensor([1.+2.j], dtype=complex64)
    """
    return _complex_of(real, imag)


def polar(abs: Array, angle: Array) -> Array:
    """Complex numbers of their sizes and angles."""
    from pullback.api.elementwise import cos, sin

    return _complex_of(abs * cos(angle), abs * sin(angle))


@operation(promote="none")
def _as_real(x: Node) -> Node:
    if x.dtype.kind != "c":
        raise DTypeError(message("view_as_real: needs complex numbers", [("x", repr(x.type))],
                                 "real numbers have one part: torch.stack((x, zeros), -1)"))
    return parts_of(x)


def parts_of(x: Node) -> Node:
    """The parts of complex numbers along a new last dimension."""
    rank = x.tensor.rank
    return build.concat([build.expand_dims(build.unary(part, x), (rank,)) for part in ("real", "imag")], rank)


def view_as_real(x: Array) -> Array:
    """The real and imaginary parts along a new last dimension."""
    return _as_real(x)


@operation(promote="none")
def _as_complex(x: Node) -> Node:
    axis = x.tensor.rank - 1
    if axis < 0 or x.shape[axis] != 2 or x.dtype not in (dtypes.float32, dtypes.float64):
        raise ShapeError(message("view_as_complex: needs floats whose last dimension has size 2",
                                 [("x", repr(x.type))], "pb.stack([real, imag], -1)"))
    return complex_of_parts(x)


def complex_of_parts(x: Node) -> Node:
    """Complex numbers of the parts along a last dimension."""
    axis = x.tensor.rank - 1
    parts = [build.squeeze(build.slice_axis(x, axis, k, k + 1), (axis,)) for k in (0, 1)]
    return build.binary("make_complex", *parts)


def view_as_complex(x: Array) -> Array:
    """Complex numbers of the real and imaginary parts along the last dimension."""
    return _as_complex(x)


@operation(promote="none", differentiable=False)
def _isreal(x: Node) -> Node:
    if x.dtype.kind != "c":
        return build.full(x.shape, True, dtypes.bool_)
    part = build.unary("imag", x)
    return build.binary("eq", part, build.zeros_like(part))


def isreal(x: Array) -> Array:
    """Whether the imaginary part is 0."""
    return _isreal(x)


def iscomplex(x: Array) -> Array:
    """Whether the imaginary part is not 0."""
    return ~_isreal(x)

"""Comparisons, logic and bits, element by element."""

from __future__ import annotations

import math
from typing import Any

from pullback.api._lazy import build
from pullback.api._rows import pair_operation, scalar_operation, truth
from pullback.api.arguments import as_tensor
from pullback.engine.operation import Operation, operation
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, message

Array = Any

_equal, _not_equal = pair_operation("eq", name="equal"), pair_operation("ne", name="not_equal")


def _ordering(row: str, name: str) -> Operation:
    def define(x: Node, y: Node) -> Node:
        if x.dtype.kind == "b":
            x, y = build.convert(x, dtypes.uint8), build.convert(y, dtypes.uint8)
        return build.binary(row, x, y)

    return Operation(define, "broadcast", True, False, name)


_less, _less_equal = _ordering("lt", "less"), _ordering("le", "less_equal")
_greater, _greater_equal = _ordering("gt", "greater"), _ordering("ge", "greater_equal")


def equal(x: Array, y: Array) -> Array:
    """x == y, element by element."""
    return _equal(x, y)


def not_equal(x: Array, y: Array) -> Array:
    """x != y, element by element."""
    return _not_equal(x, y)


def less(x: Array, y: Array) -> Array:
    """x < y, element by element."""
    return _less(x, y)


def less_equal(x: Array, y: Array) -> Array:
    """x <= y, element by element."""
    return _less_equal(x, y)


def greater(x: Array, y: Array) -> Array:
    """x > y, element by element."""
    return _greater(x, y)


def greater_equal(x: Array, y: Array) -> Array:
    """x >= y, element by element."""
    return _greater_equal(x, y)


def _logic(row: str) -> Operation:
    return Operation(lambda x, y: build.binary(row, truth(x), truth(y)), "broadcast", True, False, row)


_logical_and, _logical_or, _logical_xor = _logic("logical_and"), _logic("logical_or"), _logic("logical_xor")
_logical_not = Operation(lambda x: build.unary("logical_not", truth(x)), "none", True, False, "logical_not")


def logical_and(x: Array, y: Array) -> Array:
    """Whether both elements are not 0."""
    return _logical_and(x, y)


def logical_or(x: Array, y: Array) -> Array:
    """Whether an element of the two is not 0."""
    return _logical_or(x, y)


def logical_xor(x: Array, y: Array) -> Array:
    """Whether exactly one of the two elements is not 0."""
    return _logical_xor(x, y)


def logical_not(x: Array) -> Array:
    """Whether each element is 0."""
    return _logical_not(x)


_bitwise_and, _bitwise_or = pair_operation("bitwise_and"), pair_operation("bitwise_or")
_bitwise_xor = pair_operation("bitwise_xor")
_bitwise_not = scalar_operation("bitwise_not", "none")
_shift_left, _shift_right = pair_operation("shift_left"), pair_operation("shift_right")


def bitwise_and(x: Array, y: Array) -> Array:
    """The bits set in both."""
    return _bitwise_and(x, y)


def bitwise_or(x: Array, y: Array) -> Array:
    """The bits set in either."""
    return _bitwise_or(x, y)


def bitwise_xor(x: Array, y: Array) -> Array:
    """The bits set in exactly one."""
    return _bitwise_xor(x, y)


def bitwise_invert(x: Array) -> Array:
    """All bits inverted; `not` for booleans."""
    return _bitwise_not(x)


bitwise_not = bitwise_invert


def bitwise_left_shift(x: Array, y: Array) -> Array:
    """x with its bits shifted left by y."""
    return _shift_left(x, y)


def bitwise_right_shift(x: Array, y: Array) -> Array:
    """x with its bits shifted right by y; the sign stays."""
    return _shift_right(x, y)


def isclose(x: Array, y: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether |x - y| <= atol + rtol * |y|, element by element."""
    return _isclose(x, y, rtol, atol, equal_nan=bool(equal_nan))


@operation(promote="float", differentiable=False)
def _isclose(x: Node, y: Node, rtol: Node, atol: Node, equal_nan: bool) -> Node:
    if x.dtype.kind == "c":
        limit = build.add(build.unary("abs", atol), build.mul(build.unary("abs", rtol), build.unary("abs", y)))
        near = build.binary("le", build.unary("abs", build.sub(x, y)), limit)
    else:
        near = build.binary("le", build.unary("abs", build.sub(x, y)),
                            build.add(atol, build.mul(rtol, build.unary("abs", y))))
    near = build.binary("logical_and", near, build.unary("isfinite", y))
    near = build.binary("logical_or", near, build.binary("eq", x, y))
    if equal_nan:
        both = build.binary("logical_and", build.unary("isnan", x), build.unary("isnan", y))
        near = build.binary("logical_or", near, both)
    return near


def allclose(x: Array, y: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as a Python bool."""
    return bool(_all_true(isclose(x, y, rtol, atol, equal_nan)))


@operation(differentiable=False)
def _all_true(x: Node) -> Node:
    return build.reduce("and", x, tuple(range(len(x.shape))))


def array_equal(x: Array, y: Array) -> bool:
    """Whether two arrays have one shape and equal elements, as a Python bool."""
    x, y = as_tensor(x, "array_equal"), as_tensor(y, "array_equal")
    return x.shape == y.shape and bool(_all_true(_equal(x, y)))


def isposinf(x: Array) -> Array:
    """Whether elements are positive infinity."""
    return _ordered(x, "isposinf") == math.inf


def isneginf(x: Array) -> Array:
    """Whether elements are negative infinity."""
    return _ordered(x, "isneginf") == -math.inf


def _ordered(x: Array, name: str) -> Array:
    x = as_tensor(x, name)
    if x.info.type.dtype.kind == "c":
        raise DTypeError(message(f"{name}: complex numbers have no sign", [("x", repr(x.info.type))], "use x.real"))
    return x

"""Operations that are one scalar row."""

from __future__ import annotations

from pullback.api._lazy import build
from pullback.engine.operation import Operation
from pullback.ir.node import Node


def scalar_operation(row: str, promote: str = "float", name: str = "") -> Operation:
    """An operation that is one scalar row of one operand."""
    return Operation(lambda x: build.unary(row, x), promote, True, False, name or row, by_type=True)


def pair_operation(row: str, promote: str = "broadcast", name: str = "") -> Operation:
    """An operation that is one scalar row of two operands."""
    return Operation(lambda x, y: build.binary(row, x, y), promote, True, False, name or row, by_type=True)


def truth(x: Node) -> Node:
    """Whether elements are not 0."""
    return x if x.dtype.kind == "b" else build.binary("ne", x, build.zeros_like(x))

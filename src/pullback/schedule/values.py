"""The value of one element of a node, as an expression over what is in memory: views are read through, not stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.ir.dtypes import DType
from pullback.ir.index import Index
from pullback.ir.node import Node
from pullback.kernel.nodes import (
    Buffer,
    Cast,
    Expr,
    Gathered,
    Guarded,
    IndexValue,
    Inside,
    Literal,
    Load,
    Scalar,
)


class MustStore(Exception):
    """A node is read at computed indices and must be in memory first."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node


class Values:
    """The `ViewContext` of the scheduler. `buffers` are the nodes that are in memory; expressions are shared."""

    __slots__ = ("buffers", "memo")

    def __init__(self, buffers: dict[Node, Buffer]) -> None:
        self.buffers = buffers
        self.memo: dict[tuple[Node, tuple[Index, ...]], Expr] = {}

    def value(self, node: Node, indices: tuple[Index, ...]) -> Expr:
        key = (node, indices)
        found = self.memo.get(key)
        if found is None:
            buffer = self.buffers.get(node)
            if buffer is not None:
                found = Load(buffer, indices)
            else:
                found = view_of(self, node, indices)
            self.memo[key] = found
        return found

    def inner(self, node: Node, indices: tuple[Index, ...]) -> Expr:
        """The value of a node that is in memory, from its inputs."""
        return view_of(self, node, indices)

    def scalar(self, row: str, static: tuple[int, ...], values: Sequence[Expr], dtype: DType) -> Expr:
        return Scalar(row, static, tuple(values), dtype)

    def convert(self, value: Expr, dtype: DType) -> Expr:
        return value if value.dtype is dtype else Cast(value, dtype)

    def bitcast(self, value: Expr, dtype: DType) -> Expr:
        return value if value.dtype is dtype else Cast(value, dtype, True)

    def const(self, value: Any, dtype: DType) -> Expr:
        return Literal(value, dtype)

    def index(self, index: Index, dtype: DType) -> Expr:
        return IndexValue(index, dtype)

    def inside(self, conditions: Sequence[tuple[Index, int, int]]) -> Expr:
        return Inside(tuple(conditions))

    def guarded(self, condition: Expr, make: Callable[[], Expr], otherwise: Expr) -> Expr:
        return Guarded(condition, make(), otherwise)

    def dynamic(self, node: Node, indices: Sequence[Index | Expr]) -> Expr:
        buffer = self.buffers.get(node)
        if buffer is None:
            raise MustStore(node)
        return Gathered(buffer, tuple(indices))


def view_of(context: Any, node: Node, indices: tuple[Index, ...]) -> Any:
    """Lower one node of the "view" kind."""
    op: Any = node.op
    return op.view(context, node, indices)


class NotLayout(Exception):
    """A node is more than another arrangement of its input's elements."""


class _Layout:
    """A `ViewContext` that only follows where an element is."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.indices: tuple[Index, ...] = ()

    def value(self, node: Node, indices: tuple[Index, ...]) -> Any:
        if self.node is not None:
            raise NotLayout
        self.node, self.indices = node, indices
        return self

    def _no(self, *args: Any) -> Any:
        raise NotLayout

    scalar = convert = bitcast = const = index = inside = guarded = dynamic = _no


def lowering(node: Node) -> str:
    """How a node becomes code: see the operators' `lowering`."""
    return getattr(type(node.op), "lowering", "")


def layout(node: Node, indices: tuple[Index, ...], stop: dict[Node, Any]) -> tuple[Node, tuple[Index, ...]]:
    """Follow pure rearrangements down to the node whose element this is."""
    while node not in stop and lowering(node) == "view":
        probe = _Layout()
        try:
            result = view_of(probe, node, indices)
        except NotLayout:
            break
        if result is not probe or probe.node is None:
            break
        node, indices = probe.node, probe.indices
    return node, indices

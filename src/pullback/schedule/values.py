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
from pullback.passes.layout import view_of
from pullback.schedule import costs

#: at how many places one loop may compute a node anew, where the node is cheap, and where it is not
PLACES, FEW_PLACES = 4, 2
MANY_PLACES = 32


class MustStore(Exception):
    """A node is read at computed indices, or at many places, and must be in memory first."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node


class Values:
    """The `ViewContext` of the scheduler. `buffers` are the nodes that are in memory; expressions are shared."""

    __slots__ = ("buffers", "memo", "places", "turns")

    def __init__(self, buffers: dict[Node, Buffer]) -> None:
        self.buffers = buffers
        self.memo: dict[tuple[Node, tuple[Index, ...]], Expr] = {}
        self.begin(0)

    def begin(self, turns: int) -> None:
        """What follows is computed in one loop of so many turns."""
        self.places: dict[Node, set[tuple[Index, ...]]] = {}
        self.turns = turns

    def forget(self, nodes: set[Node]) -> None:
        """Forget the values of some nodes."""
        self.memo = {key: value for key, value in self.memo.items() if key[0] not in nodes}

    def _count(self, node: Node, indices: tuple[Index, ...]) -> None:
        """Shifted reads of shifted reads double at every step: such values are kept, not computed at every place."""
        places = self.places.setdefault(node, set())
        places.add(indices)
        row = getattr(node.op, "row", "")
        limit = FEW_PLACES if costs.row_cost(row) >= costs.EXPENSIVE else PLACES
        if len(places) > limit and (2 * self.turns * len(places) >= node.tensor.size or len(places) > MANY_PLACES):
            raise MustStore(node)

    def value(self, node: Node, indices: tuple[Index, ...]) -> Expr:
        if getattr(node.op, "row", None) is not None and node not in self.buffers:
            self._count(node, indices)
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

"""Writing at places that depend on data: out = base, then one update after the other in row-major order.

Threads share what cannot meet: leading dimensions, or pieces of a later one. Each writes the base of its own part, so
every element of the result belongs to one thread, which combines its updates in their order. One long list of updates
for few places is cut into a fixed number of lots, each with a result of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import pullback.ops.build as b
from pullback.ir.dtypes import bool_, int64
from pullback.ir.index import Index, Var, loop_vars
from pullback.ir.node import Node
from pullback.kernel.nodes import Cast, Expr, For, IndexValue, Inside, Literal, Scalar, Stmt, Store, Update
from pullback.ops.indexing import PutAlong, wide_enough
from pullback.ops.monoid import identity, monoid_row
from pullback.schedule.counting import variable
from pullback.schedule.loops import lanes_for
from pullback.schedule.roots import Root, node_size
from pullback.schedule.special import COLUMN_LANES, over
from pullback.schedule.values import Values

LEAST_COLUMNS = 16  # of a piece: a line of memory in single precision
NEAR_BYTES = 4 << 20  # of the result that a piece may write at places without order: near, and not too many pages
LOTS = 8
LOT_WORK = 100_000  # updates from which on lots gain more than their results cost
LOT_SHARE = 4  # updates for each element of the lots' results


class Pieces(NamedTuple):
    """A dimension in pieces of `width`; as it is where there is one piece."""

    column: Var
    width: int

    @property
    def parts(self) -> int:
        return -(-self.column.size // self.width)


def scatter_loops(root: Root, threads: int) -> tuple[Stmt, ...]:
    """The loops of a scatter, shared out among threads where it has lines that cannot meet."""
    assert root.update is not None and root.base is not None
    live = [v for v in map(variable, root.vars) if v is not None]
    target = [v for v in map(variable, root.out) if v is not None]
    leading = [v for v in map(variable, root.vars[:axis_of(root)]) if v is not None]
    trailing = [v for v in live if v in target and v not in leading]
    rows = leading if threads > 1 and prod(v.size for v in leading) >= threads else []
    pieces = pieces_of(root, trailing, 1 if rows else threads)
    base = nest([v for v in target if v not in rows], (stored_base(root, trailing),), pieces, True)
    updates = nest([v for v in live if v not in rows], (root.update,), pieces, root.contiguous and bool(trailing))
    body = (*base, *updates)
    if pieces is not None and pieces.parts > 1:
        body = (For(Var("piece", pieces.parts), body, parallel=not rows),)
    return over(list(enumerate(rows)), body)


def axis_of(root: Root) -> int:
    return int(getattr(root.node.op, "axis", 0))


def pieces_of(root: Root, trailing: list[Var], threads: int) -> Pieces | None:
    """How the first long one of the trailing dimensions is cut: for the threads, and for the cache."""
    column = next((v for v in trailing if v.size >= 2 * LEAST_COLUMNS), None)
    if column is None:
        return None
    width = column.size
    if threads > 1:
        width = min(width, -(-column.size // threads))
    if not root.contiguous:
        inner = prod(v.size for v in trailing[trailing.index(column) + 1:])
        lines = root.buffer.shape[axis_of(root)] * inner
        width = min(width, NEAR_BYTES // max(lines * root.buffer.dtype.itemsize, 1))
    return Pieces(column, max(LEAST_COLUMNS, -(-width // LEAST_COLUMNS) * LEAST_COLUMNS))


def nest(variables: list[Var], body: tuple[Stmt, ...], pieces: Pieces | None, vectors: bool) -> tuple[Stmt, ...]:
    """Loops around a statement in row-major order; the last in vectors, one of them over a piece only."""
    for n, v in enumerate(reversed(variables)):
        lanes = lanes_for(v.size, COLUMN_LANES) if vectors and n == 0 else 1
        if pieces is not None and v is pieces.column and pieces.parts > 1:
            start = Index(((Var("piece", pieces.parts), pieces.width),), 0)
            body = (For(v, body, min(lanes, pieces.width), start=start, count=pieces.width),)
        else:
            body = (For(v, body, lanes),)
    return body


def stored_base(root: Root, trailing: list[Var]) -> Store:
    """out = base; past the caches where little of it is written again."""
    assert root.base is not None
    buffer = root.buffer
    rare = root.contiguous and bool(trailing) and prod(root.space) * 4 <= buffer.size
    return Store(buffer, root.out, root.base, rare and buffer.space == "output")


def place(at: Expr, size: int, mode: str) -> tuple[Expr, Expr | None]:
    """Where an update goes and whether it does, by the operator's mode."""
    dtype = at.dtype
    if mode in ("wrap", "error") and dtype.kind == "i" and wide_enough(dtype, size) is not dtype:
        dtype = wide_enough(dtype, size)
        at = Cast(at, dtype)

    def row(name: str, *values: Expr) -> Expr:
        return Scalar(name, (), values, bool_ if name in ("lt", "ge", "le", "logical_and") else dtype)

    if mode in ("wrap", "error") and dtype.kind == "i":
        at = row("select", row("lt", at, Literal(0, dtype)), row("add", at, Literal(size, dtype)), at)
    last = Literal(min(size - 1, (1 << (dtype.bits - (dtype.kind == "i"))) - 1), dtype)
    safe = row("clamp", at, Literal(0, dtype), last)
    if mode in ("clip", "wrap"):
        return safe, None
    return safe, row("logical_and", row("ge", at, Literal(0, dtype)), row("le", at, last))


def lower_scatter(root: Root, values: Values) -> None:
    """Lower the operands of a scatter: base, places, updates."""
    op: Any = root.node.op
    static: tuple[Index, ...] | None = getattr(op, "indices", None)
    source = root.node.inputs[0] if static is not None else root.node.inputs[2]
    root.space, root.vars = source.shape, loop_vars(source.shape)
    root.out = loop_vars(root.node.shape, "o")
    value = root.value = values.value(source, root.vars)
    if static is not None:
        target, where = static_places(root, static, op.monoid)
    else:
        target, where = computed_places(root, values, op)
    root.extra = (*(x for x in target if isinstance(x, Expr)), *((where,) if where is not None else ()))
    root.update = Update(root.buffer, target, op.monoid, value, where)


def static_places(root: Root, indices: tuple[Index, ...], monoid: str) -> tuple[tuple[Index | Expr, ...], Expr | None]:
    """Places that are index expressions; the base is the identity."""
    shape, dtype = root.node.shape, root.node.dtype
    root.base = Literal(identity(monoid, dtype), dtype)
    tests = tuple((x, 0, n - 1) for x, n in zip(indices, shape, strict=True) if x.low < 0 or x.high >= n)
    places = tuple(IndexValue(x, int64) for x in indices)
    return places, Inside(tests) if tests else None


def computed_places(root: Root, values: Values, op: Any) -> tuple[tuple[Index | Expr, ...], Expr | None]:
    """Places along one axis that are data: one list for all lines, or one place per element."""
    node, axis = root.node, int(op.axis)
    index = node.inputs[1]
    one_list = op.shared_places
    stop = axis + (index.tensor.rank if one_list else 1)
    root.out = (*root.vars[:axis], root.out[axis], *root.vars[stop:])
    root.base = values.value(node.inputs[0], root.out)
    at, where = place(values.value(index, root.vars[axis:stop] if one_list else root.vars), node.shape[axis], op.mode)
    root.contiguous = one_list and stop < len(root.space)
    return (*root.vars[:axis], at, *root.vars[stop:]), where


def in_lots(node: Node) -> Node:
    """A long list of updates of few places as lots side by side, and what they give combined in their order."""
    op: Any = node.op
    if not getattr(op, "shared_places", False) or op.monoid == "set" or op.axis != 0:
        return node
    base, indices, updates = node.inputs
    count, rest = node_size(indices), node.shape[1:]
    work = count * prod(rest)
    if prod(rest) >= 2 * LEAST_COLUMNS or work < LOT_WORK or base.tensor.size * LOTS * LOT_SHARE > work:
        return node
    each, row = count // LOTS, monoid_row(op.monoid, node.dtype, op.name)
    given = b.reshape(indices, (count,)), b.reshape(updates, (count, *rest))
    at, lots = (b.reshape(b.slice_axis(x, 0, 0, LOTS * each), (LOTS, each, *x.shape[1:])) for x in given)
    nothing = b.full((LOTS, *node.shape), identity(op.monoid, node.dtype), node.dtype)
    found = b.apply(PutAlong(1, op.monoid, op.mode), nothing, b.broadcast(at, lots.shape, (0, 1)), lots)
    found = b.binary(row, base, b.reduce(op.monoid, found, (0,)))
    if LOTS * each == count:
        return found
    return b.apply(op, found, *(b.slice_axis(x, 0, LOTS * each, count) for x in given))


__all__ = ["in_lots", "lower_scatter", "scatter_loops"]

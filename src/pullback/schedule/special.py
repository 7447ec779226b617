"""Loops of what is neither elementwise nor a reduction: prefix scans, and writing at places that depend on data."""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.ir.dtypes import bool_, int64
from pullback.ir.index import Index, Var, loop_vars
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    Bind,
    Cast,
    Expr,
    For,
    IndexValue,
    Init,
    Inside,
    Literal,
    Scalar,
    Stmt,
    Store,
    Total,
    Update,
)
from pullback.ops.indexing import wide_enough
from pullback.ops.monoid import identity
from pullback.schedule.loops import lanes_for, variable
from pullback.schedule.roots import Root
from pullback.schedule.values import Values

COLUMN_LANES = 16


def cumulative_loops(root: Root) -> tuple[Stmt, ...]:
    """for each line along the axis: acc = monoid(acc, x), out = acc, from the first to the last or back."""
    op: Any = root.node.op
    axis = int(op.axis)
    line = variable(root.vars[axis])
    assert root.value is not None
    accumulator = Accumulator("a", op.monoid, root.value.dtype, horizontal=False)
    turn: tuple[Stmt, ...] = (Accumulate(accumulator, root.value),
                              Store(root.buffer, root.out, Total(accumulator, root.buffer.dtype)))
    scan: Stmt = For(line, turn) if line is not None else For(Var("one", 1), turn)
    body: tuple[Stmt, ...] = (Init(accumulator, 1), scan)
    inner = [(k, v) for k, v in enumerate(map(variable, root.vars)) if k > axis and v is not None]
    if inner:
        last = inner[-1][1]
        body = (For(last, body, lanes_for(last.size, COLUMN_LANES)),)
    outer = [(k, v) for k, v in enumerate(map(variable, root.vars))
             if k != axis and v is not None and not (inner and k == inner[-1][0])]
    return over(outer, body)


def over(live: list[tuple[int, Var]], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """A parallel loop over some dimensions together."""
    if not live:
        return body
    if len(live) == 1:
        return (For(live[0][1], body, parallel=True),)
    row = Var("row", prod(v.size for _, v in live))
    return (For(row, (*unravel_some(row, live), *body), parallel=True),)


def unravel_some(row: Var, live: list[tuple[int, Var]]) -> list[Stmt]:
    """The variables of some dimensions from one counter."""
    found: list[Stmt] = []
    position = Index(((row, 1),), 0)
    for _, v in reversed(live):
        found.append(Bind(v, position % v.size))
        position = position // v.size
    return found


def scatter_loops(root: Root) -> tuple[Stmt, ...]:
    """out = base, then one update after the other in row-major order."""
    assert root.update is not None
    variables = [(k, v) for k, v in enumerate(map(variable, root.vars)) if v is not None]
    apart = [v for k, v in variables if k in root.reduced]  # lines that cannot meet
    together = [v for k, v in variables if k not in root.reduced]
    body: tuple[Stmt, ...] = (root.update,)
    if root.contiguous and apart and apart[-1] is variables[-1][1]:
        last = apart.pop()
        body = (For(last, body, lanes_for(last.size, COLUMN_LANES)),)
    for v in (*reversed(together), *reversed(apart)):
        body = (For(v, body),)
    return (*fill_loops(root), *body)


def fill_loops(root: Root) -> tuple[Stmt, ...]:
    """out = base"""
    assert root.base is not None
    indices = loop_vars(root.node.shape, "o")
    variables = [v for v in map(variable, indices) if v is not None]
    body: tuple[Stmt, ...] = (Store(root.buffer, indices, root.base),)
    for n, v in enumerate(reversed(variables)):
        body = (For(v, body, lanes_for(v.size, COLUMN_LANES) if n == 0 else 1),)
    return body


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
    root.base = values.value(node.inputs[0], loop_vars(node.shape, "o"))
    one_list = op.shared_places
    stop = axis + (index.tensor.rank if one_list else 1)
    at, where = place(values.value(index, root.vars[axis:stop] if one_list else root.vars), node.shape[axis], op.mode)
    root.reduced = (*range(axis), *range(stop, len(root.space)))
    root.contiguous = one_list and stop < len(root.space)
    return (*root.vars[:axis], at, *root.vars[stop:]), where


__all__ = ["cumulative_loops", "lower_scatter", "scatter_loops"]

"""Loops of what is neither elementwise nor a plain reduction: prefix scans, and writing at places that depend on data."""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.ir.dtypes import bool_
from pullback.ir.index import ZERO, Index, Var
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    Bind,
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
from pullback.ops.monoid import identity
from pullback.schedule.loops import lanes_for, unravel_binds, variable
from pullback.schedule.roots import Root

COLUMN_LANES = 16


def cumulative_loops(root: Root) -> tuple[Stmt, ...]:
    """for each line along the axis: acc = monoid(acc, x), out = acc, from the first to the last or back."""
    op: Any = root.node.op
    axis, space = op.axis, root.space
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
    return over(outer, space, body)


def over(live: list[tuple[int, Var]], space: tuple[int, ...], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
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
    """out = base, then one update after the other in row-major order; lines that cannot meet run in parallel."""
    fill = fill_loops(root)
    updates = [(k, v) for k, v in enumerate(map(variable, root.vars)) if v is not None]
    statement = root.stage(root)
    apart = [t for t in updates if t[0] in root.reduced]
    together = [t for t in updates if t[0] not in root.reduced]
    body: tuple[Stmt, ...] = (statement,)
    vector = apart and updates and apart[-1] == updates[-1] and len(together) > 0 and together[-1][0] < apart[-1][0]
    if vector and root.rows:
        last = apart.pop()[1]
        body = (For(last, body, lanes_for(last.size, COLUMN_LANES)),)
    for _, v in reversed(together):
        body = (For(v, body),)
    for _, v in reversed(apart):
        body = (For(v, body),)
    return (*fill, *body)


def fill_loops(root: Root) -> tuple[Stmt, ...]:
    """out = base"""
    value, indices = root.base
    variables = [v for v in map(variable, indices) if v is not None]
    body: tuple[Stmt, ...] = (Store(root.buffer, indices, value),)
    for n, v in enumerate(reversed(variables)):
        body = (For(v, body, lanes_for(v.size, COLUMN_LANES) if n == 0 else 1),)
    return body


def place(root: Root, at: Expr, size: int) -> tuple[Expr, Expr | None]:
    """Where an update goes and whether it does, by the operator's mode."""
    mode, dtype = root.node.op.mode, at.dtype  # pyright: ignore

    def row(name: str, *values: Expr) -> Expr:
        return Scalar(name, (), values, bool_ if name in ("lt", "ge", "le", "logical_and") else dtype)

    if mode in ("wrap", "error") and dtype.kind == "i":
        at = row("select", row("lt", at, Literal(0, dtype)), row("add", at, Literal(size, dtype)), at)
    last = Literal(min(size - 1, (1 << (dtype.bits - (dtype.kind == "i"))) - 1), dtype)
    safe = row("clamp", at, Literal(0, dtype), last)
    if mode in ("clip", "wrap"):
        return safe, None
    return safe, row("logical_and", row("ge", at, Literal(0, dtype)), row("le", at, last))


def lower_scatter(root: Root, values: Any) -> None:
    """Lower the operands of a scatter: base, places, updates."""
    from pullback.ir.index import loop_vars

    node, op = root.node, root.node.op
    static = getattr(op, "indices", None)
    source = node.inputs[0] if static is not None else node.inputs[2]
    root.space = source.shape
    root.vars = loop_vars(source.shape)
    root.value = values.value(source, root.vars)
    base_vars = loop_vars(node.shape, "o")
    if static is not None:
        root.base = (Literal(identity(op.monoid, node.dtype), node.dtype), base_vars)
        tests = tuple((x, 0, n - 1) for x, n in zip(static, node.shape, strict=True) if x.low < 0 or x.high >= n)
        root.rows = 0
        places = tuple(IndexValue(x, _int64()) for x in static)
        where = Inside(tests) if tests else None
        root.extra = (*places, *((where,) if where is not None else ()))
        root.stage = lambda r: Update(r.buffer, places, op.monoid, r.value, where)
        return
    root.base = (values.value(node.inputs[0], base_vars), base_vars)
    axis, index = op.axis, node.inputs[1]
    along = index.tensor.rank == node.tensor.rank and source.shape == index.shape and not _gathers(op)
    if along:
        at, where = place(root, values.value(index, root.vars), node.shape[axis])
        target = (*root.vars[:axis], at, *root.vars[axis + 1:])
        root.reduced = tuple(k for k in range(len(root.space)) if k != axis)
        root.rows = 1
    else:
        stop = axis + index.tensor.rank
        at, where = place(root, values.value(index, root.vars[axis:stop]), node.shape[axis])
        target = (*root.vars[:axis], at, *root.vars[stop:])
        root.reduced = (*range(axis), *range(stop, len(root.space)))
        root.rows = int(not along)
    root.rows = 0 if along else 1
    root.extra = (at, *((where,) if where is not None else ()))
    root.stage = lambda r: Update(r.buffer, target, op.monoid, r.value, where)


def _gathers(op: Any) -> bool:
    """Whether the places are one list for all lines, rather than one place per element."""
    return op.name == "scatter"


def _int64() -> Any:
    from pullback.ir.dtypes import int64

    return int64


__all__ = ["ZERO", "cumulative_loops", "lower_scatter", "scatter_loops", "unravel_binds"]

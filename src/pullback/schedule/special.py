"""Loops of what is neither elementwise nor a reduction: prefix scans."""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.ir.index import Index, Var
from pullback.kernel.nodes import Accumulate, Accumulator, Bind, For, Init, Stmt, Store, Total
from pullback.schedule.counting import variable
from pullback.schedule.loops import lanes_for
from pullback.schedule.roots import Root

COLUMN_LANES = 16
LINE_LANES = 2  # lines side by side, which wait for their own sums only; with four, joining lanes costs what is gained


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
    if inner or not outer:
        return over(outer, body)
    most = max(outer, key=lambda x: x[1].size)
    rest = [x for x in outer if x is not most]
    return over(rest, (For(most[1], body, min(most[1].size, LINE_LANES), parallel=not rest),))


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


__all__ = ["COLUMN_LANES", "cumulative_loops", "over"]

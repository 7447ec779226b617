"""Loops cut where a guard changes: what joins arrays side by side tests nothing within a part.

    for i < 8: y[i] = (a[i] if i <= 3 else 0) + (b[i-4] if i >= 4 else 0)
    becomes    for i < 4: y[i] = a[i] + 0;    for i < 4: y[i+4] = 0 + b[i]
"""

from __future__ import annotations

import itertools

from pullback.ir.index import Index, Var
from pullback.kernel.nodes import (
    Cast,
    Expr,
    For,
    Gathered,
    Guarded,
    IndexValue,
    Inside,
    Let,
    Literal,
    Load,
    Scalar,
    Stmt,
    Store,
    subexpressions,
)
from pullback.schedule.loops import lanes_for

MOST = 8  # parts of a loop
LEAST = 16  # turns of a part


def in_segments(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Statements whose innermost loops are cut at their guards."""
    found: list[Stmt] = []
    for s in body:
        if isinstance(s, For) and s.lanes > 1 and all(isinstance(t, (Store, Let)) for t in s.body):
            found += segments(s)
        elif isinstance(s, For):
            found.append(For(s.var, in_segments(s.body), s.lanes, s.parallel, s.start, s.count, s.extent, s.folded))
        else:
            found.append(s)
    return tuple(found)


def segments(loop: For) -> list[Stmt]:
    """The parts of a loop; the loop itself where it has no guard of its counter alone, or too short parts."""
    if loop.folded or loop.parallel or loop.count >= 0 or loop.start.terms or loop.start.const:
        return [loop]
    values = tuple(t.value for t in loop.body if isinstance(t, (Store, Let)))
    cuts = {0, loop.size}
    for x in subexpressions(values):
        for at, low, high in x.tests if isinstance(x, Inside) else ():
            if at.terms == ((loop.var, 1),):
                cuts |= {low - at.const, high + 1 - at.const}
    ordered = sorted(c for c in cuts if 0 <= c <= loop.size)
    parts = list(itertools.pairwise(ordered))
    if not 1 < len(parts) <= MOST or any(high - low < LEAST for low, high in parts):
        return [loop]
    return [_part(loop, low, high) for low, high in parts]


def _part(loop: For, low: int, high: int) -> Stmt:
    var = Var(loop.var.name, high - low)
    place = _Place({loop.var: Index(((var, 1),), low)})
    body: list[Stmt] = []
    for s in loop.body:
        if isinstance(s, Store):
            body.append(Store(s.buffer, place.indices(s.indices), place.value(s.value), s.stream))
        else:
            assert isinstance(s, Let)
            body.append(Let(s.buffer, place.value(s.value)))
    return For(var, tuple(body), lanes_for(var.size, loop.lanes))


class _Place:
    """Expressions with other variables; guards that are decided there are gone."""

    def __init__(self, values: dict[Var, Index]) -> None:
        self.values = values
        self.done: dict[Expr, Expr] = {}

    def index(self, x: Index) -> Index:
        return x.substitute(self.values)

    def indices(self, given: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(self.index(x) for x in given)

    def value(self, x: Expr) -> Expr:
        found = self.done.get(x)
        if found is None:
            found = self.done[x] = self._made(x)
        return found

    def _made(self, x: Expr) -> Expr:
        if isinstance(x, Load):
            return x if x.buffer.space == "register" else Load(x.buffer, self.indices(x.indices))
        if isinstance(x, Gathered):
            return Gathered(x.buffer, tuple(self.index(i) if isinstance(i, Index) else self.value(i)
                                            for i in x.indices))
        if isinstance(x, Scalar):
            return Scalar(x.row, x.static, tuple(self.value(a) for a in x.args), x.dtype)
        if isinstance(x, Cast):
            return Cast(self.value(x.arg), x.dtype, x.bits)
        if isinstance(x, IndexValue):
            return IndexValue(self.index(x.index), x.dtype)
        if isinstance(x, Inside):
            return self._inside(x)
        if isinstance(x, Guarded):
            return self._guarded(x)
        return x

    def _inside(self, x: Inside) -> Expr:
        left = [(at, low, high) for i, low, high in x.tests
                if not ((at := self.index(i)).low >= low and at.high <= high)]
        if any(at.high < low or at.low > high for at, low, high in left):
            return Literal(False, x.dtype)
        return Inside(tuple(left)) if left else Literal(True, x.dtype)

    def _guarded(self, x: Guarded) -> Expr:
        condition = self.value(x.condition)
        if not isinstance(condition, Literal):
            return Guarded(condition, self.value(x.value), self.value(x.otherwise))
        return self.value(x.value if condition.value else x.otherwise)


__all__ = ["in_segments"]

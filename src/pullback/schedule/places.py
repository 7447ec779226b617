"""Statements at other places: their variables replaced, guards that are decided there gone."""

from __future__ import annotations

from pullback.ir.index import Index, Var
from pullback.kernel.nodes import (
    Accumulate,
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
)


class Place:
    """Expressions with other variables; guards that are decided there are gone."""

    def __init__(self, values: dict[Var, Index]) -> None:
        self.values = values
        self.done: dict[Expr, Expr] = {}

    def index(self, x: Index) -> Index:
        return x.substitute(self.values)

    def indices(self, given: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(self.index(x) for x in given)

    def statement(self, s: Stmt) -> Stmt:
        if isinstance(s, Store):
            return Store(s.buffer, self.indices(s.indices), self.value(s.value), s.stream)
        if isinstance(s, Let):
            return Let(s.buffer, self.value(s.value))
        if isinstance(s, Accumulate):
            position = None if s.position is None else self.value(s.position)
            return Accumulate(s.accumulator, self.value(s.value), position)
        assert isinstance(s, For)
        body = tuple(self.statement(t) for t in s.body)
        return For(s.var, body, s.lanes, s.parallel, self.index(s.start), s.count, s.extent, s.folded)

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


__all__ = ["Place"]

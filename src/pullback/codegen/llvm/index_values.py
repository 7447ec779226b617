"""Index expressions in registers: at the first lane as an i64, along the lanes of a loop as vectors."""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.lanes import pattern, static
from pullback.codegen.llvm.text import Fn, V, const, i64, lanes, literals, with_element
from pullback.ir.index import Atom, Index, Part, Var

Terms = tuple[tuple[Atom, int], ...]
NEAR = 1 << 30  # indices below are compared in 32 bits


class IndexValues:
    """The values of index expressions in the loop that is being written, each computed once."""

    def __init__(self, fn: Fn) -> None:
        self.fn = fn
        self.cache: dict[Any, V] = {}
        self.log: list[Any] = []
        self.index: dict[Var, V] = {}
        self.lane_var: Var | None = None
        self.width, self.lane_step = 1, 1  # the first lane's variable is a multiple of the step
        self.known_steps: dict[Any, tuple[int, ...] | None] = {}

    def put(self, key: Any, value: V) -> V:
        self.cache[key] = value
        self.log.append(key)
        return value

    def forget(self, mark: int) -> None:
        """Leave a scope: values computed in it are not available after it."""
        log, cache = self.log, self.cache
        while len(log) > mark:
            cache.pop(log.pop(), None)

    def index_value(self, index: Index) -> V:
        """An index expression (at the first lane) as an i64."""
        return self.sum_of(index.terms, index.const)

    def sum_of(self, terms: Terms, constant: int) -> V:
        if not terms:
            return i64(constant)
        key = ("index", terms, constant)
        found = self.cache.get(key)
        if found is not None:
            return found
        total: V | None = None
        for atom, c in terms:
            value = self.index[atom] if isinstance(atom, Var) else self.part_value(atom)
            if c != 1:
                value = self.fn.op(f"mul nsw i64 {value.ref}, {c}", "i64")
            total = value if total is None else self.fn.op(f"add nsw i64 {total.ref}, {value.ref}", "i64")
        assert total is not None
        if constant:
            total = self.fn.op(f"add nsw i64 {total.ref}, {constant}", "i64")
        return self.put(key, total)

    def part_value(self, part: Part) -> V:
        return self.divide(self.index_value(part.inner), part)

    def divide(self, inner: V, part: Part) -> V:
        fn, d = self.fn, const(part.divisor, inner.type)
        if part.inner.low >= 0 and lanes(inner.type) > 1 and part.inner.high < 1 << 31 and part.divisor < 1 << 31:
            half = with_element(inner.type, "i32")  # there is no vector division, nor a wide product of 64 bits
            value = fn.binary("udiv" if part.quotient else "urem", fn.cast("trunc", inner, half),
                              const(part.divisor, half))
            return fn.cast("zext", value, inner.type)
        if part.inner.low >= 0:
            return fn.binary("udiv" if part.quotient else "urem", inner, d)
        rest = fn.binary("srem", inner, d)
        negative = fn.compare("icmp", "slt", rest, const(0, rest.type))
        if not part.quotient:
            return fn.select(negative, fn.add(rest, d), rest)
        quotient = fn.binary("sdiv", inner, d)
        return fn.binary("sub", quotient, fn.cast("zext", negative, quotient.type))

    def steps(self, index: Index) -> tuple[int, ...] | None:
        """How much an index grows from the first lane to each; None where that differs from turn to turn."""
        if self.lane_var is None or self.width == 1:
            return (0,)
        key = (index, self.lane_var, self.lane_step, self.width)
        if key not in self.known_steps:
            self.known_steps[key] = pattern(*key)
        return self.known_steps[key]

    def stride(self, index: Index) -> int | None:
        """How much an index grows from lane to lane: 0 where all lanes have it in common, None where that differs."""
        steps = self.steps(index)
        each = steps[-1] // (len(steps) - 1) if steps and steps[-1] else 0
        return each if steps and all(k * each == x for k, x in enumerate(steps)) else None

    def index_at(self, index: Index) -> V:
        """An index expression: a vector where it varies along the lanes."""
        return self.index_value(index) if self.stride(index) == 0 else self.index_lanes(index)

    def index_lanes(self, index: Index) -> V:
        """An index expression at every lane, as a vector of i64."""
        key = ("lanes", index, self.width)
        found = self.cache.get(key)
        if found is not None:
            return found
        fn = self.fn
        steps = self.steps(index)
        if steps is not None:
            first = fn.splat(self.index_value(index), self.width)
            if any(steps):
                first = fn.add(first, V(f"<{', '.join([f'i64 {k}' for k in steps])}>", first.type))
            return self.put(key, first)
        fixed = tuple(t for t in index.terms if self.lane_var not in variables_of(t[0]))
        total = fn.splat(self.index_value(Index(fixed, index.const)), self.width)
        for atom, c in index.terms:
            if (atom, c) in fixed:
                continue
            if isinstance(atom, Var):
                value = self.index_lanes(Index(((atom, c),), 0))
            else:
                assert isinstance(atom, Part)
                value = self.divide(self.index_lanes(atom.inner), atom)
                value = fn.mul(value, const(c, value.type)) if c != 1 else value
            total = fn.add(total, value)
        return self.put(key, total)

    def compared(self, index: Index, predicate: str, limit: int) -> V:
        """Which lanes of an index are on one side of a limit."""
        steps = self.steps(index)
        if not steps or not any(steps) or max(-index.low, index.high, abs(limit)) >= NEAR:
            value = self.index_at(index)
            return self.fn.compare("icmp", predicate, value, const(limit, value.type))
        known = static(index, self.lane_var, self.lane_step)
        if known is not None:
            return literals([known + k >= limit if predicate == "sge" else known + k <= limit for k in steps], "i1")
        first = self.splat(self.fn.cast("trunc", self.index_value(index), "i32"), len(steps))
        return self.fn.compare("icmp", predicate, first, literals([limit - k for k in steps], "i32"))

    def splat(self, v: V, width: int) -> V:
        if width == 1 or v.ref[0] != "%":
            return self.fn.splat(v, width)
        key = ("splat", v.ref, width)
        found = self.cache.get(key)
        return found if found is not None else self.put(key, self.fn.splat(v, width))


def variables_of(atom: Atom) -> set[Var]:
    """The variables of one term of an index expression."""
    return {atom} if isinstance(atom, Var) else atom.inner.variables()

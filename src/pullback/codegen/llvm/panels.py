"""Matrices in strips of columns, of which decompositions by blocks of columns are made: [strip, row, column].

A strip's rows are one or two vectors, so a strip of some hundred rows stays in the first cache while a block of columns
is taken from it. The block itself is read by columns: a multiplier of a row is one number, the same for all lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.text import V, const, i64, literals, vector, with_element

ROWS = 4  # of a strip, or columns of a block, at once: with two vectors each, half of 16 registers hold sums


class Panels(Dense):
    """`strip` columns of `high` rows each; `block` is one strip by columns, of `high` elements each."""

    def __init__(self, control: Any, threads: int, m: int, n: int, strip: int, high: int) -> None:
        super().__init__(control, threads)
        self.m, self.n, self.k, self.strip, self.high = m, n, min(m, n), strip, high
        self.count = -(-n // strip)
        self.steps = [i64(v * self.width) for v in range(strip // self.width)]
        self.bits = "i32" if self.size == 4 else "i64"
        self.integer = with_element(self.vector, self.bits)

    # -- strips ------------------------------------------------------------------------------------------------------
    def at(self, base: V, row: V) -> V:
        """A row of a strip."""
        return self.row(base, row, self.strip)

    def of(self, base: V, strip: V) -> V:
        """A strip among all."""
        return self.row(base, strip, self.strip * self.high)

    def row_of(self, base: V, row: V) -> list[V]:
        place = self.at(base, row)
        return [self.wide(place, s) for s in self.steps]

    def put_row(self, values: list[V], base: V, row: V) -> None:
        place = self.at(base, row)
        for s, x in zip(self.steps, values, strict=True):
            self.store(x, place, s)

    def each_strip(self, n: int, body: Callable[[V, int], None]) -> None:
        """`body(strip, columns)` for the strips of n columns, of which the last may have fewer."""
        whole, rest = divmod(n, self.strip)
        self.each(0, whole, 1, lambda q: body(q, self.strip))
        if rest:
            body(i64(whole), rest)

    def read(self, source: V, base: V) -> None:
        """All strips of a matrix; zeros after its rows and columns."""
        m, strip = self.m, self.strip

        def one(q: V, columns: int) -> None:
            start, place = self.fn.mul(q, i64(strip)), self.of(base, q)
            if columns < strip:
                self.fill(place, m * strip)
            self.each(0, m, 1, lambda r: self.copy_exactly(
                self.fn.gep(self.row(source, r, self.n), start, self.scalar), self.at(place, r), columns))
            self.fill(self.at(place, i64(m)), (self.high - m) * strip)

        self.each_strip(self.n, one)

    def write(self, place: V, target: V, strip: V, columns: int, line: int, rows: V | int) -> None:
        """So many rows of a strip into a matrix whose rows have `line` elements."""
        start = self.fn.mul(strip, i64(self.strip))
        self.each(0, rows, 1, lambda r: self.copy_exactly(
            self.at(place, r), self.fn.gep(self.row(target, r, line), start, self.scalar), columns))

    # -- blocks ------------------------------------------------------------------------------------------------------
    def column(self, block: V, index: V) -> V:
        return self.row(block, index, self.high)

    def exchange(self, rows: list[V]) -> list[V]:
        """As many vectors as each has lanes, rows and columns exchanged: blocks of half the size, of a quarter ..."""
        half, lanes = self.width // 2, range(self.width)
        while half:
            found = list(rows)
            for i in (i for i in lanes if not i & half):
                a, b = rows[i], rows[i + half]
                for to, mask in ((i, [x + (self.width - half if x & half else 0) for x in lanes]),
                                 (i + half, [x + (self.width if x & half else half) for x in lanes])):
                    found[to] = self.fn.op(f"shufflevector {a.type} {a.ref}, {b.type} {b.ref}, "
                                           f"<{self.width} x i32> {literals(mask, 'i32').ref}", a.type)
            rows, half = found, half // 2
        return rows

    def to_block(self, place: V, block: V, start: V) -> None:
        """The rows of a strip from one on, by columns: to its end, or as many as columns where zeros follow."""
        def some(r: V) -> None:
            for v in self.steps:
                rows = [self.wide(self.at(place, self.fn.add(r, i64(k))), v) for k in range(self.width)]
                for k, x in enumerate(self.exchange(rows)):
                    self.store(x, self.column(block, self.fn.add(v, i64(k))), r)

        end = self.fn.intrinsic("llvm.smax", "i64", self.fn.add(start, i64(self.strip)), i64(self.m))
        self.each(start, end, self.width, some)

    def to_strip(self, block: V, place: V, start: V) -> None:
        """What `to_block` does, back."""
        def some(r: V) -> None:
            for v in self.steps:
                rows = [self.wide(self.column(block, self.fn.add(v, i64(k))), r) for k in range(self.width)]
                for k, x in enumerate(self.exchange(rows)):
                    self.store(x, self.at(place, self.fn.add(r, i64(k))), v)

        self.each(start, self.m, self.width, some)

    def subtract(self, place: V, block: V, takes: V, start: V) -> None:
        """Rows of a strip from one on, less the block times the rows at `takes`."""
        fn = self.fn

        def some(r: V) -> None:
            rows = [fn.add(r, i64(k)) for k in range(ROWS)]
            sums = [self.row_of(place, row) for row in rows]
            for p in range(self.strip):
                values, column = self.row_of(takes, i64(p)), self.column(block, i64(p))
                for k, row in enumerate(rows):
                    part = self.splat(self.neg(self.load(column, row)))
                    sums[k] = [self.fma(part, x, s) for x, s in zip(values, sums[k], strict=True)]
            for row, total in zip(rows, sums, strict=True):
                self.put_row(total, place, row)

        self.each(start, self.m, ROWS, some)

    # -- lanes -------------------------------------------------------------------------------------------------------
    def compared(self, predicate: str, index: V) -> list[V]:
        """Which of a strip's columns compare so with an index."""
        own = self.splat(self.narrow(index))
        places = [literals(range(v * self.width, (v + 1) * self.width), self.bits) for v in range(len(self.steps))]
        return [self.fn.compare("icmp", predicate, x, own) for x in places]

    def narrow(self, x: V) -> V:
        """An index in as many bits as an element has."""
        return self.fn.cast("trunc", x, "i32") if self.size == 4 else x

    def sizes(self, x: V) -> V:
        """The bits of the sizes of numbers: they compare as signed integers, NaN above all."""
        bits = self.fn.cast("bitcast", x, self.integer if x.type[0] == "<" else self.bits)
        mask = 0x7FFFFFFF if self.size == 4 else 0x7FFFFFFFFFFFFFFF
        return self.fn.binary("and", bits, const(mask, bits.type))

    def across(self, x: V, intrinsic: str) -> V:
        """Lanes of integers, put together by halves."""
        fn, lanes = self.fn, self.width
        while lanes > 1:
            lanes //= 2
            kind = vector(self.bits, lanes) if lanes > 1 else self.bits
            if lanes == 1:
                a, b = fn.extract(x, 0), fn.extract(x, 1)
            else:
                a, b = (fn.op(f"shufflevector {x.type} {x.ref}, {x.type} poison, <{lanes} x i32> "
                              f"{literals(range(s, s + lanes), 'i32').ref}", kind) for s in (0, lanes))
            x = fn.intrinsic(intrinsic, kind, a, b)
        return x

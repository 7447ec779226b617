"""x[order] = L U with partial pivoting, by blocks of columns.

    for each block of columns: for each of its columns j: the largest element on or below the diagonal changes places
                                   with the diagonal's; those below are divided by it; the block's later columns less
                                   their element of this row times them
                               the strips after it: rows exchanged, solved for the block's rows, and less L times those

Of equal largest elements the first is taken; NaN is larger than all.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.panels import ROWS, Panels
from pullback.codegen.llvm.text import V, const, i64, literals


def emit_pivoted_lu(control: Any) -> None:
    """(x) -> L and U in one matrix, which row each step took, the order of rows."""
    if control.payload.inputs[0].size:
        _PivotedLu(control, control.kernel.threads).run()


class _PivotedLu(Panels):
    def __init__(self, control: Any, threads: int) -> None:
        op, x = control.payload.op, control.payload.inputs[0]
        m, n, size = int(x.shape[-2]), int(x.shape[-1]), x.dtype.itemsize
        strip = op.strip(min(m, n), size)
        super().__init__(control, threads, m, n, strip, op.high(m, n, size))

    def run(self) -> None:
        fn = self.fn
        self.strips = self.area(self.count * self.strip * self.high)
        self.lower = self.area(self.strip * self.high)
        self.chosen = self.area(self.strip, 8)
        count = self.control.payload.inputs[0].size // (self.m * self.n)
        low, high = share(fn, count, fn.params[1], fn.params[2])
        self.each(low, high, 1, self.matrix)

    def matrix(self, index: V) -> None:
        fn, m, n = self.fn, self.m, self.n
        packed, pivots, order = self.control.results
        self.pivots = fn.gep(pivots, fn.mul(index, i64(self.k)), "i32")
        self.order = fn.gep(order, fn.mul(index, i64(m)), "i32")
        self.each(0, m, 1, lambda r: fn.store(fn.cast("trunc", r, "i32"), fn.gep(self.order, r, "i32"), 4))
        self.read(self.row(self.control.inputs[0], index, m * n), self.strips)
        self.long(0, -(-self.k // self.strip), m * n, self.block)
        target = self.row(packed, index, m * n)
        self.each_strip(n, lambda q, columns: self.write(self.of(self.strips, q), target, q, columns, n, m))

    def block(self, p: V) -> None:
        """The columns of one strip; its rows in those before, what it takes in those after."""
        fn, strip = self.fn, self.strip
        start, place = fn.mul(p, i64(strip)), self.of(self.strips, p)
        self.to_block(place, self.lower, start)
        steps = fn.intrinsic("llvm.smin", "i64", i64(strip), fn.binary("sub", i64(self.k), start))
        self.each(0, steps, 1, lambda j: self.step(start, j))
        self.to_strip(self.lower, place, start)
        self.each(0, p, 1, lambda q: self.exchanged(self.of(self.strips, q), start, steps))
        self.each(fn.add(p, i64(1)), self.count, 1, lambda q: self.after(self.of(self.strips, q), start, steps))

    # -- a block's own columns ---------------------------------------------------------------------------------------
    def step(self, start: V, j: V) -> None:
        fn, column, row = self.fn, self.column(self.lower, j), self.fn.add(start, j)
        largest = self.largest(column, start, j)
        fn.store(largest, fn.gep(self.chosen, j, "i64"), 8)
        fn.store(fn.cast("trunc", largest, "i32"), fn.gep(self.pivots, row, "i32"), 4)
        places = [fn.gep(self.order, r, "i32") for r in (row, largest)]
        values = [fn.load(place, "i32", 4) for place in places]
        for place, x in zip(places, reversed(values), strict=True):
            fn.store(x, place, 4)
        for c in range(self.strip):
            other = self.column(self.lower, i64(c))
            here, there = self.load(other, row), self.load(other, largest)
            self.store(there, other, row)
            self.store(here, other, largest)
        pivot = self.load(column, row)
        zero = self.less(pivot, self.number(0), "oeq")
        self.divide(column, start, j, self.splat(fn.select(zero, self.number(1), pivot)))
        self.each(fn.add(j, i64(1)), self.strip, 1,
                  lambda c: self.less_column(column, start, j, self.column(self.lower, c)))

    def largest(self, column: V, start: V, j: V) -> V:
        """The row of the first of the largest elements from row j of a block on."""
        fn, lane, whole = self.fn, literals(range(self.width), self.bits), self.m - self.m % self.width

        def larger(r: V, best: V, where: V, on: V | None = None) -> list[V]:
            """What is not `on` is not looked at: other rows than these hold anything."""
            x = self.sizes(self.wide(column, r))
            x = fn.select(on, x, const(-1, self.integer)) if on else x
            more = fn.compare("icmp", "sgt", x, best)
            return [fn.select(more, x, best), fn.select(more, fn.add(self.splat(self.narrow(r)), lane), where)]

        def within(r: V, low: V) -> V:
            """Which rows of a vector are at least `low` and rows of the matrix."""
            rows = fn.add(self.splat(self.narrow(r)), lane)
            return fn.binary("and", fn.compare("icmp", "sge", rows, self.splat(self.narrow(low))),
                             fn.compare("icmp", "slt", rows, const(self.m, self.integer)))

        best, where = const(-1, self.integer), const(0, self.integer)
        for s in self.steps:
            r = fn.add(start, s)
            best, where = larger(r, best, where, within(r, fn.add(start, j)))
        after = fn.add(start, i64(self.strip))
        best, where = self.loop(after, whole, self.width, larger, best, where)
        if whole < self.m:
            best, where = larger(i64(whole), best, where, within(i64(whole), after))
        equal = fn.compare("icmp", "eq", best, self.splat(self.across(best, "llvm.smax")))
        first = self.across(fn.select(equal, where, const((1 << 31) - 1, self.integer)), "llvm.smin")
        return fn.cast("sext", first, "i64") if self.size == 4 else first

    def divide(self, column: V, start: V, j: V, pivot: V) -> None:
        """The elements below row j of a block."""
        fn = self.fn
        for s, on in zip(self.steps, self.compared("sgt", j), strict=True):
            x = self.wide(column, fn.add(start, s))
            self.store(fn.select(on, self.div(x, pivot), x), column, fn.add(start, s))
        self.each(fn.add(start, i64(self.strip)), self.m, self.width,
                  lambda r: self.store(self.div(self.wide(column, r), pivot), column, r))

    def less_column(self, column: V, start: V, j: V, other: V) -> None:
        """Another column less its element of row j times the column, below that row."""
        fn = self.fn
        part = self.splat(self.neg(self.load(other, fn.add(start, j))))
        for s, on in zip(self.steps, self.compared("sgt", j), strict=True):
            r = fn.add(start, s)
            x = self.wide(other, r)
            self.store(fn.select(on, self.fma(part, self.wide(column, r), x), x), other, r)
        self.each(fn.add(start, i64(self.strip)), self.m, self.width,
                  lambda r: self.store(self.fma(part, self.wide(column, r), self.wide(other, r)), other, r))

    # -- the other strips --------------------------------------------------------------------------------------------
    def exchanged(self, place: V, start: V, steps: V) -> None:
        """The rows of a strip as the block's."""
        fn = self.fn

        def one(j: V) -> None:
            rows = [fn.add(start, j), fn.load(fn.gep(self.chosen, j, "i64"), "i64", 8)]
            values = [self.row_of(place, r) for r in rows]
            for r, x in zip(rows, reversed(values), strict=True):
                self.put_row(x, place, r)

        self.each(0, steps, 1, one)

    def after(self, place: V, start: V, steps: V) -> None:
        fn = self.fn
        self.exchanged(place, start, steps)
        self.each(0, self.strip, ROWS, lambda i: self.solved(place, start, i))
        self.subtract(place, self.lower, self.at(place, start), fn.add(start, i64(self.strip)))

    def solved(self, place: V, start: V, i: V) -> None:
        """Some of the block's rows less what those before take, and each what those of its own group take."""
        fn = self.fn
        rows = [fn.add(start, fn.add(i, i64(k))) for k in range(ROWS)]
        many = len(self.steps)

        def less(row: V, column: V, values: list[V], sums: list[V]) -> list[V]:
            part = self.splat(self.neg(self.load(column, row)))
            return [self.fma(part, x, s) for x, s in zip(values, sums, strict=True)]

        def turn(p: V, *sums: V) -> list[V]:
            values, column = self.row_of(place, fn.add(start, p)), self.column(self.lower, p)
            return [x for k, row in enumerate(rows)
                    for x in less(row, column, values, list(sums[k * many:(k + 1) * many]))]

        flat = self.loop(0, i, 1, turn, *[x for row in rows for x in self.row_of(place, row)])
        sums = [list(flat[k * many:(k + 1) * many]) for k in range(ROWS)]
        for p in range(ROWS):
            column = self.column(self.lower, fn.add(i, i64(p)))
            for k in range(p + 1, ROWS):
                sums[k] = less(rows[k], column, sums[p], sums[k])
        for row, values in zip(rows, sums, strict=True):
            self.put_row(values, place, row)

"""Reflections of columns that make a matrix upper triangular (A. Householder, 1958), by blocks of columns (R.
Schreiber, C. Van Loan, 1989), and the orthogonal matrix that they make together.

    for each block of columns: for each of its columns j: v, tau = the reflection that leaves only its first element,
                                   the block's later columns less tau v v^T times them
                               T, upper triangular, with H[0] H[1] ... = 1 - V T V^T
                               the strips after it less V T^T V^T times them

Columns are scaled by a power of two before they are squared. The signs are LAPACK's: a column that is already zero
below its first element is left as it is, any other gets the sign that its first element has not.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.panels import ROWS, Panels
from pullback.codegen.llvm.text import V, const, i64


def emit_householder(control: Any) -> None:
    """(x) -> R, reflections by blocks, their triangles T, transposed."""
    if control.payload.inputs[0].size:
        _Householder(control, control.kernel.threads).run()


def emit_householder_q(control: Any) -> None:
    """(reflections, triangles) -> Q."""
    if control.payload.inputs[0].size:
        _HouseholderQ(control, control.kernel.threads).run()


class _Blocks(Panels):
    """What both have in common: a strip less V T V^T times it."""

    def __init__(self, control: Any, threads: int, m: int, n: int, strip: int, high: int) -> None:
        super().__init__(control, threads, m, n, strip, high)
        self.products, self.weights = (self.area(strip * strip) for _ in range(2))

    def reflect(self, place: V, block: V, triangle: V, start: V, turned: bool) -> None:
        """A strip's rows from one on; the transposed triangle where `turned`."""
        self.each(0, self.strip, ROWS, lambda p: self.along(place, block, p, start))
        self.each(0, self.strip, 1, lambda i: self.weighted(triangle, i, turned))
        self.subtract(place, block, self.weights, start)

    def along(self, place: V, block: V, p: V, start: V) -> None:
        """V^T times a strip, for some columns of V."""
        fn, many = self.fn, len(self.steps)
        columns = [self.column(block, fn.add(p, i64(k))) for k in range(ROWS)]

        def turn(r: V, *sums: V) -> list[V]:
            values, found = self.row_of(place, r), list[V]()
            for k, column in enumerate(columns):
                part = self.splat(self.load(column, r))
                found += [self.fma(part, x, s) for x, s in zip(values, sums[k * many:(k + 1) * many], strict=True)]
            return found

        sums = self.loop(start, self.m, 1, turn, *[const(0.0, self.vector)] * (ROWS * many))
        for k in range(ROWS):
            self.put_row(list(sums[k * many:(k + 1) * many]), self.products, fn.add(p, i64(k)))

    def weighted(self, triangle: V, i: V, turned: bool) -> None:
        """A row of T times these products; of T^T where `turned`. T is stored by columns."""
        after = self.fn.add(i, i64(1))
        low, high = (i64(0), after) if turned else (i, i64(self.strip))

        def turn(p: V, *sums: V) -> list[V]:
            line, column = (i, p) if turned else (p, i)
            part = self.splat(self.load(self.at(triangle, line), column))
            return [self.fma(part, x, s) for x, s in zip(self.row_of(self.products, p), sums, strict=True)]

        sums = self.loop(low, high, 1, turn, *[const(0.0, self.vector)] * len(self.steps))
        self.put_row(list(sums), self.weights, i)


class _Householder(_Blocks):
    def __init__(self, control: Any, threads: int) -> None:
        op, x = control.payload.op, control.payload.inputs[0]
        m, n, size = int(x.shape[-2]), int(x.shape[-1]), x.dtype.itemsize
        strip = op.strip(min(m, n), size)
        super().__init__(control, threads, m, n, strip, op.high(m, n, size))
        self.blocks = -(-self.k // strip)

    def run(self) -> None:
        fn = self.fn
        self.strips = self.area(self.count * self.strip * self.high)
        self.head = self.area(self.strip * self.strip)
        self.sums = self.area(self.strip)
        count = self.control.payload.inputs[0].size // (self.m * self.n)
        low, high = share(fn, count, fn.params[1], fn.params[2])
        self.each(low, high, 1, self.matrix)

    def matrix(self, index: V) -> None:
        m, n, k, strip = self.m, self.n, self.k, self.strip
        r, reflections, triangles = self.control.results
        self.read(self.row(self.control.inputs[0], index, m * n), self.strips)
        self.reflections = self.row(reflections, index, self.blocks * strip * self.high)
        self.triangles = self.row(triangles, index, self.blocks * strip * strip)
        self.long(0, self.blocks, m * n, self.block)
        target = self.row(r, index, k * n)

        def write(q: V, columns: int) -> None:
            rows = self.fn.intrinsic("llvm.smin", "i64", self.fn.mul(self.fn.add(q, i64(1)), i64(strip)), i64(k))
            self.write(self.of(self.strips, q), target, q, columns, n, rows)
            start = self.fn.mul(q, i64(strip))
            self.each(rows, k, 1, lambda row: self.blank(self.fn.gep(self.row(target, row, n), start, self.scalar),
                                                         columns))

        self.each_strip(n, write)

    def blank(self, place: V, count: int) -> None:
        """So many zeros, no more."""
        whole = count // self.width * self.width
        self.fill(place, whole)
        self.each(whole, count, 1, lambda c: self.store(self.number(0), place, c))

    def block(self, p: V) -> None:
        """The reflections of one strip, done to those after it."""
        fn, strip = self.fn, self.strip
        start, place = fn.mul(p, i64(strip)), self.of(self.strips, p)
        block, triangle = self.of(self.reflections, p), self.row(self.triangles, p, strip * strip)
        self.to_block(place, block, start)
        steps = fn.intrinsic("llvm.smin", "i64", i64(strip), fn.binary("sub", i64(self.k), start))
        self.each(0, steps, 1, lambda j: self.one(block, triangle, start, j))
        self.each(steps, strip, 1, lambda c: self.none(block, triangle, start, c))
        for v in self.steps:  # what is R's, back into its strip
            for u in self.steps:
                rows = [self.wide(self.at(self.head, fn.add(u, i64(x))), v) for x in range(self.width)]
                for x, values in enumerate(self.exchange(rows)):
                    self.store(values, self.at(place, fn.add(start, fn.add(v, i64(x)))), u)
        self.each(fn.add(p, i64(1)), self.count, 1,
                  lambda q: self.reflect(self.of(self.strips, q), block, triangle, start, True))

    def none(self, block: V, triangle: V, start: V, c: V) -> None:
        """A column that no reflection belongs to: a wide matrix's, or none at all."""
        column = self.column(block, c)
        self.put_row([self.wide(column, self.fn.add(start, s)) for s in self.steps], self.head, c)
        self.each(start, self.m, self.width, lambda r: self.store(const(0.0, self.vector), column, r))
        self.put_row([const(0.0, self.vector)] * len(self.steps), triangle, c)

    def one(self, block: V, triangle: V, start: V, j: V) -> None:
        """One reflection, done to the later columns of its block."""
        fn = self.fn
        column = self.column(block, j)
        tau = self.vector_of(column, start, j)
        self.each(0, self.strip, ROWS, lambda c: self.dots(block, column, start, c))
        factor = self.neg(tau)

        def later(c: V) -> None:
            other, part = self.column(block, c), self.splat(self.mul(factor, self.load(self.sums, c)))
            self.each(start, self.m, self.width,
                      lambda r: self.store(self.fma(part, self.wide(column, r), self.wide(other, r)), other, r))

        self.each(fn.add(j, i64(1)), self.strip, 1, later)

        def turn(p: V, *sums: V) -> list[V]:
            part = self.splat(self.load(self.sums, p))
            return [self.fma(part, x, s) for x, s in zip(self.row_of(triangle, p), sums, strict=True)]

        found = self.loop(0, j, 1, turn, *[const(0.0, self.vector)] * len(self.steps))
        own = self.compared("eq", j)
        self.put_row([fn.select(on, self.splat(tau), self.mul(self.splat(factor), x))
                      for on, x in zip(own, found, strict=True)], triangle, j)

    def dots(self, block: V, column: V, start: V, c: V) -> None:
        """A column times some of its block."""
        others = [self.column(block, self.fn.add(c, i64(k))) for k in range(ROWS)]

        def turn(r: V, *sums: V) -> list[V]:
            v = self.wide(column, r)
            return [self.fma(v, self.wide(x, r), s) for x, s in zip(others, sums, strict=True)]

        sums = self.loop(start, self.m, self.width, turn, *[const(0.0, self.vector)] * ROWS)
        for k, total in enumerate(sums):
            self.store(self.total(total), self.sums, self.fn.add(c, i64(k)))

    def vector_of(self, column: V, start: V, j: V) -> V:
        """Make of a column from element j on the vector of a reflection, 1 at j and 0 before; its factor. What R has
        of the column goes to `head`."""
        fn, m = self.fn, self.m
        alpha = self.load(column, fn.add(start, j))
        tops = [self.wide(column, fn.add(start, s)) for s in self.steps]
        zero, after, own = const(0.0, self.vector), self.compared("sgt", j), self.compared("eq", j)
        for s, x, on in zip(self.steps, tops, after, strict=True):
            self.store(fn.select(on, x, zero), column, fn.add(start, s))

        def larger(r: V, top: V) -> list[V]:
            return [fn.intrinsic("llvm.umax", self.integer, top, self.sizes(self.wide(column, r)))]

        below = self.across(self.loop(start, m, self.width, larger, const(0, self.integer))[0], "llvm.umax")
        none = fn.compare("icmp", "eq", below, const(0, below.type))
        there, back = self.scales(fn.intrinsic("llvm.umax", below.type, below, self.sizes(alpha)))
        wide = self.splat(there)

        def square(r: V, total: V) -> list[V]:
            x = self.mul(wide, self.wide(column, r))
            return [self.fma(x, x, total)]

        rest = self.total(self.loop(start, m, self.width, square, zero)[0])
        small = self.mul(alpha, there)
        length = self.sqrt(self.fma(small, small, rest))
        beta = self.neg(fn.intrinsic("llvm.copysign", self.scalar, length, small))
        factor = fn.select(none, self.number(0), self.div(self.sub(beta, small), beta))
        scale = self.splat(fn.select(none, self.number(0), self.div(self.number(1), self.sub(small, beta))))
        self.each(start, m, self.width, lambda r: self.store(
            self.mul(self.mul(wide, self.wide(column, r)), scale), column, r))
        left = self.splat(fn.select(none, alpha, self.mul(beta, back)))
        self.put_row([fn.select(on, left, fn.select(past, zero, x))
                      for on, past, x in zip(own, after, tops, strict=True)], self.head, j)
        self.store(self.number(1), column, fn.add(start, j))
        return factor


class _HouseholderQ(_Blocks):
    def __init__(self, control: Any, threads: int) -> None:
        op, shape = control.payload.op, control.payload.inputs[0].shape
        super().__init__(control, threads, op.rows, op.columns, shape[-2], shape[-1])
        self.blocks = int(shape[-3])

    def run(self) -> None:
        fn = self.fn
        self.place = self.area(self.strip * self.high)
        shape = self.control.payload.inputs[0].shape
        count = self.control.payload.inputs[0].size // (shape[-1] * shape[-2] * shape[-3])
        low, high = share(fn, count * self.count, fn.params[1], fn.params[2])
        self.long(low, high, self.m * self.n, self.one)

    def one(self, at: V) -> None:
        """One strip of one matrix."""
        fn, strip = self.fn, self.strip
        index = fn.binary("sdiv", at, i64(self.count))
        q = fn.binary("sub", at, fn.mul(index, i64(self.count)))
        reflections, triangles = (self.row(x, index, self.blocks * strip * size) for x, size in
                                  zip(self.control.inputs, (self.high, strip), strict=True))
        self.fill(self.place, self.high * strip)
        first = fn.mul(q, i64(strip))
        last = fn.intrinsic("llvm.smin", "i64", i64(strip), fn.binary("sub", i64(self.m), first))
        self.each(0, last, 1, lambda c: self.store(self.number(1), self.at(self.place, fn.add(first, c)), c))
        many = fn.intrinsic("llvm.smin", "i64", fn.add(q, i64(1)), i64(self.blocks))

        def back(k: V) -> None:
            p = fn.binary("sub", fn.add(many, i64(-1)), k)
            self.reflect(self.place, self.of(reflections, p), self.row(triangles, p, strip * strip),
                         fn.mul(p, i64(strip)), False)

        self.each(0, many, 1, back)
        target = self.row(self.control.results[0], index, self.m * self.n)
        whole, rest = divmod(self.n, strip)
        self.when(fn.compare("icmp", "slt", q, i64(whole)),
                  lambda: self.write(self.place, target, q, strip, self.n, self.m),
                  (lambda: self.write(self.place, target, q, rest, self.n, self.m)) if rest else None)

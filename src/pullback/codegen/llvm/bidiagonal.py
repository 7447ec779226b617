"""Square matrices made lower bidiagonal by reflections of rows and columns (G. Golub, W. Kahan, 1965), from the last
row and column up.

    for i = n - 1, ..., 0: u, tau, d = the reflection that makes column i zero above its element on the diagonal
        y = tau A^T u, row i less y; v, sigma, e = the reflection that makes the row zero but for its last two elements
        x = sigma (A - u y^T) v, and A = A - u y^T - x v^T

Two passes over what is left of A for each step: the last step's update with A^T u, then A v; four rows at a time.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.text import V, const, i64

ROWS = 4


def emit_bidiagonal(control: Any) -> None:
    """(x) -> diagonals, what stands beside them, reflections of rows, their factors, of columns, theirs, scales."""
    if control.payload.inputs[0].size:
        _Bidiagonal(control, control.kernel.threads).run()


class _Bidiagonal(Dense):
    """`last` are u, y, x, v of the step before, which A still lacks."""

    def run(self) -> None:
        fn, shape = self.fn, self.control.payload.inputs[0].shape
        self.n = shape[-1]
        self.line = int(self.control.payload.op.line(self.n, self.size))
        self.a = self.area((self.n + ROWS) * self.line)
        self.u, self.v, self.x, self.y = (self.area(self.line + 2 * self.width) for _ in range(4))
        self.last = [self.area(self.line + 2 * self.width) for _ in range(4)]
        low, high = share(fn, self.control.payload.inputs[0].size // self.n ** 2, fn.params[1], fn.params[2])
        self.each(low, high, 1, self.matrix)

    def matrix(self, index: V) -> None:
        n, fn, line = self.n, self.fn, self.line
        results = self.control.results
        source = self.row(self.control.inputs[0], index, n * n)
        there, back = self.scales(self.greatest(source, n * n))
        self.store(back, results[6], index)
        self.fill(self.a, (n + ROWS) * line)
        self.each(0, n, 1, lambda r: self.copy_scaled(self.row(source, r, n), self.row(self.a, r, line), n, there))
        for place in (self.u, self.v, self.x, self.y, *self.last):
            self.fill(place, line + 2 * self.width)
        self.d, self.beside, self.of_u, self.of_v = (self.row(results[k], index, n) for k in (0, 1, 3, 5))
        self.us, self.vs = (self.row(results[k], index, n * line) for k in (2, 4))
        zero = self.number(0)
        self.store(zero, self.beside, i64(n - 1))
        self.store(zero, self.of_v, i64(0))
        self.fill(self.vs, line)
        self.long(0, n, n * n, lambda k: self.step(fn.binary("sub", i64(n - 1), k)))

    def step(self, i: V) -> None:
        fn = self.fn
        tau = self.column(i)
        self.fill(self.y, self.line)
        self.each(0, fn.add(i, i64(1)), ROWS, lambda r: self.rows(r, i))
        wide = self.splat(tau)
        self.each(0, self.line, self.width, lambda c: self.store(self.mul(wide, self.wide(self.y, c)), self.y, c))
        self.when(fn.compare("icmp", "sgt", i, i64(0)), lambda: self.across(i))

    def column(self, i: V) -> V:
        """u of column i; its factor."""
        fn = self.fn
        of_y, of_v = (self.load(self.last[k], i) for k in (1, 3))

        def element(r: V) -> None:
            a = self.load(self.row(self.a, r, self.line), i)
            a = self.fma(self.neg(self.load(self.last[0], r)), of_y, a)
            self.store(self.fma(self.neg(self.load(self.last[2], r)), of_v, a), self.u, r)

        count = fn.add(i, i64(1))
        self.each(0, count, 1, element)
        tau, left = self.reflection(self.u, count)
        self.store(left, self.d, i)
        self.store(tau, self.of_u, i)
        self.copy(self.u, self.row(self.us, i, self.line), self.line)
        return tau

    def rows(self, r: V, i: V) -> None:
        """Some rows after the last step, and what they add to A^T u."""
        places = [self.fn.add(r, i64(k)) for k in range(ROWS)]
        lines = [self.row(self.a, p, self.line) for p in places]
        own = [[self.splat(self.neg(self.load(self.last[k], p))) for k in (0, 2)] for p in places]
        parts = [self.splat(self.load(self.u, p)) for p in places]

        def columns(c: V) -> None:
            last_y, last_v, total = self.wide(self.last[1], c), self.wide(self.last[3], c), self.wide(self.y, c)
            for line, (of_u, of_x), part in zip(lines, own, parts, strict=True):
                a = self.fma(of_x, last_v, self.fma(of_u, last_y, self.wide(line, c)))
                self.store(a, line, c)
                total = self.fma(part, a, total)
            self.store(total, self.y, c)

        self.each(0, self.fn.add(i, i64(1)), self.width, columns)

    def across(self, i: V) -> None:
        """v of row i, and x."""
        row, before = self.row(self.a, i, self.line), self.fn.add(i, i64(-1))
        self.store(const(0.0, self.vector), self.y, i)
        self.each(0, i, self.width,
                  lambda c: self.store(self.sub(self.wide(row, c), self.wide(self.y, c)), self.v, c))
        sigma, left = self.reflection(self.v, i)
        self.store(left, self.beside, before)
        self.store(sigma, self.of_v, i)
        self.copy(self.v, self.row(self.vs, i, self.line), self.line)
        self.each(0, i, ROWS, lambda r: self.products(r, i))
        self.store(const(0.0, self.vector), self.x, i)
        along = self.splat(self.neg(self.dot(self.y, self.v, i)))
        wide = self.splat(sigma)

        def finish(c: V) -> None:
            self.store(self.mul(wide, self.fma(along, self.wide(self.u, c), self.wide(self.x, c))), self.last[2], c)

        self.each(0, self.line, self.width, finish)
        for source, target in ((self.u, 0), (self.y, 1), (self.v, 3)):
            self.copy(source, self.last[target], self.line)
        self.store(const(0.0, self.vector), self.last[2], i)

    def products(self, r: V, i: V) -> None:
        """A v of some rows."""
        places = [self.fn.add(r, i64(k)) for k in range(ROWS)]
        lines = [self.row(self.a, p, self.line) for p in places]

        def columns(c: V, *sums: V) -> list[V]:
            v = self.wide(self.v, c)
            return [self.fma(self.wide(line, c), v, total) for line, total in zip(lines, sums, strict=True)]

        sums = self.loop(0, i, self.width, columns, *[const(0.0, self.vector)] * ROWS)
        for place, total in zip(places, sums, strict=True):
            self.store(self.total(total), self.x, place)

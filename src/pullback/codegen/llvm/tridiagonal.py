"""Symmetric matrices made tridiagonal by Householder reflections (A. S. Householder, 1958), from the last row up.

    for i = n - 1, ..., 1: v, tau, beta = the reflection that makes all but the last of row i's first i elements zero
        A = H A H with H = 1 - tau v v^T, which is A - v w^T - w v^T with w = tau A v - tau^2/2 (v^T A v) v

One pass over what is left of A does the last reflection's update and this one's A v: four rows at a time. Numbers are
scaled by a power of two so that the greatest is near 1; what is far below its rounding is no reason to reflect.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.text import V, const, i64

ROWS = 4


def emit_tridiagonal(control: Any) -> None:
    """(x) -> diagonals, what stands beside them, reflections, their factors, scales."""
    if control.payload.inputs[0].size:
        _Tridiagonal(control, control.kernel.threads).run()


class _Tridiagonal(Dense):
    """v, w of the last reflection and of this one; y = A v."""

    def run(self) -> None:
        fn, shape = self.fn, self.control.payload.inputs[0].shape
        self.n = shape[-1]
        self.line = int(self.control.payload.op.line(self.n, self.size))
        self.a = self.area((self.n + ROWS) * self.line)
        self.v, self.last_v, self.last_w, self.y = (self.area(self.line + 2 * self.width) for _ in range(4))
        low, high = share(fn, self.control.payload.inputs[0].size // self.n ** 2, fn.params[1], fn.params[2])
        self.each(low, high, 1, self.matrix)

    def matrix(self, index: V) -> None:
        n, fn = self.n, self.fn
        d, beside, reflections, factors, scales = self.control.results
        source = self.row(self.control.inputs[0], index, n * n)
        there, back = self.scales(self.greatest(source, n * n))
        self.store(back, scales, index)
        self.fill(self.a, (n + ROWS) * self.line)
        self.each(0, n, 1, lambda r: self.copy_scaled(self.row(source, r, n), self.row(self.a, r, self.line), n, there))
        for place in (self.v, self.last_v, self.last_w, self.y):
            self.fill(place, self.line + 2 * self.width)
        self.d, self.beside, self.factors = (self.row(x, index, n) for x in (d, beside, factors))
        self.reflections = self.row(reflections, index, n * self.line)
        zero = self.number(0)
        self.store(zero, self.beside, i64(n - 1))
        self.store(zero, self.factors, i64(0))
        self.fill(self.reflections, self.line)
        self.long(1, n, n * n, lambda k: self.step(fn.binary("sub", i64(n), k)))
        self.store(self.load(self.a, i64(0)), self.d, i64(0))

    def step(self, i: V) -> None:
        row = self.row(self.a, i, self.line)
        v, w = (self.splat(self.neg(self.load(x, i))) for x in (self.last_v, self.last_w))
        self.each(0, self.fn.add(i, i64(1)), self.width, lambda c: self.store(self.moved(row, c, v, w), row, c))
        self.store(self.load(row, i), self.d, i)
        tau = self.reflected(i, row)
        self.each(0, i, ROWS, lambda r: self.rows(r, i))
        self.store(const(0.0, self.vector), self.y, i)
        half = self.mul(self.mul(tau, tau), self.mul(self.number(-0.5), self.dot(self.y, self.v, i)))
        tau, half = self.splat(tau), self.splat(half)

        def finish(c: V) -> None:
            v = self.wide(self.v, c)
            self.store(self.fma(half, v, self.mul(tau, self.wide(self.y, c))), self.last_w, c)
            self.store(v, self.last_v, c)

        self.each(0, self.line, self.width, finish)

    def moved(self, row: V, c: V, v: V, w: V) -> V:
        """A vector of a row after the last reflection; v and w are that row's, negative."""
        a = self.fma(v, self.wide(self.last_w, c), self.wide(row, c))
        return self.fma(w, self.wide(self.last_v, c), a)

    def reflected(self, i: V, row: V) -> V:
        """v of row i, whose last element is 1; its factor."""
        self.copy(row, self.v, i)
        tau, left = self.reflection(self.v, i)
        self.store(left, self.beside, self.fn.add(i, i64(-1)))
        self.store(tau, self.factors, i)
        self.copy(self.v, self.row(self.reflections, i, self.line), self.line)
        return tau

    def rows(self, r: V, i: V) -> None:
        """Some rows after the last reflection, and their products with v."""
        fn, places = self.fn, [self.fn.add(r, i64(k)) for k in range(ROWS)]
        lines = [self.row(self.a, p, self.line) for p in places]
        own = [[self.splat(self.neg(self.load(x, p))) for x in (self.last_v, self.last_w)] for p in places]

        def columns(c: V, *sums: V) -> list[V]:
            found: list[V] = []
            v, last_v, last_w = (self.wide(x, c) for x in (self.v, self.last_v, self.last_w))
            for line, (of_v, of_w), total in zip(lines, own, sums, strict=True):
                a = self.fma(of_w, last_v, self.fma(of_v, last_w, self.wide(line, c)))
                self.store(a, line, c)
                found.append(self.fma(a, v, total))
            return found

        zero = const(0.0, self.vector)
        sums = self.loop(0, i, self.width, columns, *[zero] * ROWS)
        for place, total in zip(places, sums, strict=True):
            fn.store(self.total(total), fn.gep(self.y, place, self.scalar), self.size)

"""Cholesky's decomposition x = R^T R, upper triangular and row by row: eight rows, then what they take from the others.

    for each block of rows: for each of its rows p: R[p] = x[p] / sqrt(x[p, p]), x[q] -= R[p, q] R[p] for q in the block
                            x[i] -= sum over p of R[p, i] R[p] for the rows i after it, four at a time

Of each row what is on and after the diagonal is right; before it, whatever whole vectors leave there.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.text import V, i64

BLOCK, ROWS, VECTORS = 8, 4, 2


def emit_cholesky(control: Any) -> None:
    """(x, of which the upper triangle is read) -> R, of which the upper triangle is right."""
    if control.payload.inputs[0].size:
        _Cholesky(control, control.kernel.threads).run()


class _Cholesky(Dense):
    def run(self) -> None:
        fn, shape = self.fn, self.control.payload.inputs[0].shape
        self.n, self.step = shape[-1], VECTORS * self.width
        self.line = -(-(self.n + ROWS) // self.step) * self.step
        self.a = self.area((self.n + ROWS) * self.line)
        low, high = share(fn, self.control.payload.inputs[0].size // self.n ** 2, fn.params[1], fn.params[2])
        self.each(low, high, 1, self.matrix)

    def at(self, row: V) -> V:
        return self.row(self.a, row, self.line)

    def before(self, column: V, step: int) -> V:
        """The last multiple of a step that is not after a column."""
        return self.fn.binary("and", column, i64(-step))

    def matrix(self, index: V) -> None:
        fn, n = self.fn, self.n
        source, target = (self.row(x, index, n * n) for x in (self.control.inputs[0], self.control.results[0]))
        self.fill(self.a, (n + ROWS) * self.line)
        self.each(0, n, 1, lambda r: self.copy_exactly(self.row(source, r, n), self.at(r), n))

        def block(at: V) -> None:
            k = fn.mul(at, i64(BLOCK))
            end = fn.intrinsic("llvm.smin", "i64", fn.add(k, i64(BLOCK)), i64(n))
            self.each(k, end, 1, lambda p: self.pivot(p, end))
            self.each(end, n, ROWS, lambda i: self.others(k, i))

        self.long(0, -(-n // BLOCK), n * n, block)
        self.each(0, n, 1, lambda r: self.copy_exactly(self.at(r), self.row(target, r, n), n))

    def pivot(self, p: V, end: V) -> None:
        """A row of R, taken from the rows of its block that follow."""
        fn, row = self.fn, self.at(p)
        square = self.load(row, p)
        positive = self.less(self.number(0), square)
        root = self.splat(fn.select(positive, self.sqrt(square), self.number(float("nan"))))
        self.each(self.before(p, self.width), self.line, self.width,
                  lambda c: self.store(self.div(self.wide(row, c), root), row, c))

        def following(q: V) -> None:
            other, part = self.at(q), self.splat(self.neg(self.load(row, q)))
            self.each(self.before(q, self.width), self.line, self.width,
                      lambda c: self.store(self.fma(part, self.wide(row, c), self.wide(other, c)), other, c))

        self.each(fn.add(p, i64(1)), end, 1, following)

    def others(self, k: V, i: V) -> None:
        """Some rows after a block less what its rows take."""
        fn = self.fn
        sources = [self.at(fn.add(k, i64(p))) for p in range(BLOCK)]
        places = [fn.add(i, i64(r)) for r in range(ROWS)]
        lines = [self.at(p) for p in places]

        def columns(c: V) -> None:
            steps = [fn.add(c, i64(v * self.width)) for v in range(VECTORS)]
            sums = [[self.wide(line, s) for s in steps] for line in lines]
            for source in sources:
                values = [self.wide(source, s) for s in steps]
                for r, place in enumerate(places):
                    part = self.splat(self.neg(self.load(source, place)))
                    sums[r] = [self.fma(part, x, s) for x, s in zip(values, sums[r], strict=True)]
            for line, row in zip(lines, sums, strict=True):
                for s, x in zip(steps, row, strict=True):
                    self.store(x, line, s)

        self.each(self.before(i, self.step), self.line, self.step, columns)

"""Checks a kernel: every value is defined before it is used, every element lies in its buffer.

Bounds come from the ranges of the loop variables; a load under a guard is checked where the guard is not known to
exclude it, that is not at all: the emitter masks or clamps those.
"""

from __future__ import annotations

from pullback.ir.index import Index, Var
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    AttentionNest,
    Bind,
    Buffer,
    Expr,
    For,
    Guarded,
    IndexValue,
    Init,
    Inside,
    Kernel,
    Let,
    Load,
    MatmulNest,
    Rows,
    Stmt,
    Store,
    Update,
    WindowNest,
    expressions,
)
from pullback.util.errors import VerifyError, message


def verify_kernel(kernel: Kernel) -> None:
    """Raise VerifyError where a kernel breaks a rule."""
    _Verifier(kernel).body(kernel.body, set())


class _Verifier:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.registers: set[Buffer] = set()
        self.extent: dict[Var, tuple[int, int]] = {}
        self.accumulators: set[Accumulator] = set()

    def fail(self, what: str, got: str) -> None:
        raise VerifyError(message(f"kernel {self.kernel.name}: {what}", [("value", got)]))

    def body(self, statements: tuple[Stmt, ...], bound: set[Var]) -> None:
        bound = set(bound)
        for s in statements:
            for x in expressions(s):
                self.expression(x, bound)
            if isinstance(s, For):
                self.loop(s, bound)
            elif isinstance(s, Bind):
                self.variables(s.index, bound)
                bound.add(s.var)
                self.extent[s.var] = (0, s.var.high)
            elif isinstance(s, Let):
                self.registers.add(s.buffer)
            elif isinstance(s, Store):
                self.position(s.buffer, s.flat, bound)
            elif isinstance(s, Init):
                self.accumulators.add(s.accumulator)
            elif isinstance(s, Accumulate):
                if s.accumulator not in self.accumulators:
                    self.fail("an accumulator that was not started", s.accumulator.name)
            elif isinstance(s, Update):
                for x in s.indices:
                    if isinstance(x, Index):
                        self.variables(x, bound)
            elif isinstance(s, WindowNest):
                self.windows(s, bound)
            elif isinstance(s, AttentionNest):
                self.attention(s)
            else:
                self.product(s, bound)

    def loop(self, s: For, bound: set[Var]) -> None:
        self.variables(s.start, bound)
        self.extent[s.var] = (0, max(s.size - 1, 0))
        for v in s.folded:
            self.extent[v] = (0, 0)
        if s.size > 0:
            self.body(s.body, bound | {s.var, *s.folded})

    def product(self, s: MatmulNest, bound: set[Var]) -> None:
        bound = {*bound, *(v for v, _, _ in s.batch), *s.rows, *s.cols}
        self.extent.update({v: (0, v.high) for v in bound if v not in self.extent})
        for v in s.cols[:-1]:
            self.extent[v] = (0, 0)
        if s.cols:
            self.extent[s.cols[-1]] = (0, s.n - 1)
        self.accumulators.add(s.accumulator)
        for side, offset, row, col, counts in ((s.a, s.a_offset, *s.a_strides, (s.m, s.k)),
                                               (s.b, s.b_offset, *s.b_strides, (s.k, s.n))):
            steps = [(row, counts[0]), (col, counts[1])]
            steps += [(p if side is s.a else q, v.size) for v, p, q in s.batch]
            low = offset + sum(min(0, c * (n - 1)) for c, n in steps)
            high = offset + sum(max(0, c * (n - 1)) for c, n in steps)
            if low < 0 or high >= side.size:
                self.fail("an operand outside of its buffer", side.name)
        if s.panels is not None and 2 * s.panels.size != s.k * s.n * s.parts:
            self.fail("panels that are not those of the second operand", s.panels.name)
        self.body(s.epilogue, bound)

    def attention(self, s: AttentionNest) -> None:
        sizes = [*zip(s.counts, s.widths, strict=True), (s.m, s.n), *s.result_sizes]
        for rows, (count, width) in zip((*s.inputs, s.mask, *s.results), sizes, strict=True):
            if rows is not None and count and width and 0 not in s.batch:
                self.rows(rows, s.batch, count, width)
        if s.dropout is not None and 0 not in s.batch:
            self.rows(s.dropout.key, s.batch, 2, 1)

    def rows(self, rows: Rows, batch: tuple[int, ...], count: int, width: int) -> None:
        steps = [(rows.row_stride, count), (rows.step, width), *zip(rows.strides, batch, strict=True)]
        low = rows.offset + sum(min(0, c * (n - 1)) for c, n in steps)
        high = rows.offset + sum(max(0, c * (n - 1)) for c, n in steps)
        if low < 0 or high >= rows.buffer.size:
            self.fail("rows outside of their buffer", rows.buffer.name)

    def windows(self, s: WindowNest, bound: set[Var]) -> None:
        outer = {*bound, *s.batch, *s.rows, *s.cols}
        for x, n in zip(s.a_at, s.a.shape, strict=True):
            self.variables(x, {*bound, *s.batch, *s.rows, *s.terms})
            if x.low < 0 or x.high >= n:
                self.fail("an operand outside of its buffer", s.a.name)
        for x in s.b_at:
            self.variables(x, {*bound, *s.batch, *s.cols, *s.terms})
        self.extent.update({v: (0, v.high) for v in outer if v not in self.extent})
        for v in s.cols[:-1]:
            self.extent[v] = (0, 0)
        if s.cols:
            self.extent[s.cols[-1]] = (0, s.n - 1)
        self.accumulators.add(s.accumulator)
        self.body(s.epilogue, outer)

    def variables(self, index: Index, bound: set[Var]) -> None:
        for v in index.variables():
            if v not in bound:
                self.fail("a variable that is not bound", f"{v.name} in {index!r}")

    def position(self, buffer: Buffer, flat: Index, bound: set[Var]) -> None:
        self.variables(flat, bound)
        low, high = self.range(flat)
        size = buffer.size
        if buffer.drop:
            size = 1
            for n in buffer.shape[buffer.drop:]:
                size *= n
        if low < 0 or high >= size:
            self.fail("an element outside of its buffer", f"{buffer.name}[{flat!r}] of {size}")

    def range(self, x: Index) -> tuple[int, int]:
        """Least and greatest value, with the ranges that loops really have."""
        low = high = x.const
        for atom, c in x.terms:
            a, b = self.extent.get(atom, (0, atom.high)) if isinstance(atom, Var) else (atom.low, atom.high)
            low += c * (a if c > 0 else b)
            high += c * (b if c > 0 else a)
        return low, high

    def expression(self, root: Expr, bound: set[Var]) -> None:
        stack, seen = [(root, False)], set[Expr]()
        while stack:
            x, guarded = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            if isinstance(x, Load):
                if x.buffer.space == "register":
                    if x.buffer not in self.registers:
                        self.fail("a value that is not defined", x.buffer.name)
                elif guarded:
                    self.variables(x.flat, bound)
                else:
                    self.position(x.buffer, x.flat, bound)
            elif isinstance(x, IndexValue):
                self.variables(x.index, bound)
            elif isinstance(x, Inside):
                for at, _, _ in x.tests:
                    self.variables(at, bound)
            if isinstance(x, Guarded):
                stack += [(x.condition, guarded), (x.otherwise, guarded), (x.value, True)]
            else:
                stack += [(c, guarded) for c in x.children()]

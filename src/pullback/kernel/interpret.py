"""What a kernel means: the loop IR run in NumPy, slowly. Compiled kernels are compared with this on small shapes.

Loops with lanes are run as one turn over an array of all their positions, others turn by turn.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from pullback.ir.dtypes import DType, numpy_dtype, uint32
from pullback.ir.index import Index, Var
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    AttentionNest,
    Bind,
    Buffer,
    Cast,
    Expr,
    For,
    Gathered,
    Guarded,
    IndexValue,
    Init,
    Inside,
    Kernel,
    Let,
    Literal,
    Load,
    MatmulNest,
    Rows,
    Scalar,
    Stmt,
    Store,
    Total,
    Update,
    WindowNest,
)
from pullback.util.errors import VerifyError, message
from pullback.util.threefry import rounds

COMBINE: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
                           "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def places(rows: Rows, batch: tuple[int, ...], count: int, width: int) -> Any:
    """Where the elements of all rows of a batch index are."""
    first = rows.offset + sum(i * s for i, s in zip(batch, rows.strides, strict=True))
    return first + np.arange(count)[:, None] * rows.row_stride + np.arange(width) * rows.step


def numbers(words: Any) -> list[Any]:
    """What is multiplied: words of 32 bits are two bfloat16 numbers each."""
    if words.dtype != np.uint32:
        return [words]
    return [half.view(np.float32) for half in (words << np.uint32(16), words & np.uint32(0xFFFF0000))]


class Interpreter:
    """Runs kernels on flat arrays, one per buffer. `rows` gives the reference of a scalar row, `convert` conversion."""

    def __init__(self, memory: dict[Buffer, Any], rows: Any, convert: Any, identity: Any) -> None:
        self.memory, self.rows, self.convert, self.identity = memory, rows, convert, identity
        self.vars: dict[Var, Any] = {}
        self.registers: dict[Any, Any] = {}
        self.running: dict[Accumulator, Any] = {}
        self.turns = 0  # positions in the array of the loop with lanes that is being run

    def run(self, kernel: Kernel) -> None:
        """Run one kernel."""
        for buffer in kernel.scratch:
            size = prod(buffer.shape[buffer.drop:])
            self.memory[buffer] = np.zeros(size, numpy_dtype(buffer.dtype))
        self.body(kernel.body)

    # -- statements --------------------------------------------------------------------------------------------------
    def body(self, statements: tuple[Stmt, ...]) -> None:
        for stmt in statements:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        if isinstance(stmt, For):
            self.loop(stmt)
        elif isinstance(stmt, Let):
            self.registers[stmt.buffer] = self.rounded(self.value(stmt.value), stmt.buffer.dtype)
        elif isinstance(stmt, Store):
            self.write(stmt.buffer, stmt.flat.evaluate(self.vars), self.value(stmt.value))
        elif isinstance(stmt, Init):
            self.running[stmt.accumulator] = None
        elif isinstance(stmt, Accumulate):
            self.accumulate(stmt)
        elif isinstance(stmt, Update):
            self.update(stmt)
        elif isinstance(stmt, Bind):
            self.vars[stmt.var] = stmt.index.evaluate(self.vars)
        elif isinstance(stmt, WindowNest):
            self.windows(stmt)
        elif isinstance(stmt, AttentionNest):
            self.attention(stmt)
        else:
            self.matmul(stmt)

    def loop(self, stmt: For) -> None:
        start = stmt.start.evaluate(self.vars)
        stop = stmt.size if stmt.count < 0 else min(start + stmt.count, stmt.size)
        for v in stmt.folded:
            self.vars[v] = 0
        if stmt.lanes > 1 and stop > start:
            self.vars[stmt.var] = np.arange(start, stop)
            self.turns = stop - start
            self.body(stmt.body)
            self.turns = 0
        else:
            for k in range(start, stop):
                self.vars[stmt.var] = k
                self.body(stmt.body)
        self.vars.pop(stmt.var, None)

    def check(self, buffer: Buffer, position: Any) -> None:
        if np.any(np.asarray(position) < 0) or np.any(np.asarray(position) >= len(self.memory[buffer])):
            raise VerifyError(message("kernel: an element outside of its buffer", [("buffer", buffer.name)]))

    def write(self, buffer: Buffer, position: Any, value: Any) -> None:
        self.check(buffer, position)
        self.memory[buffer][position] = value

    def rounded(self, value: Any, dtype: DType) -> Any:
        return np.asarray(value).astype(numpy_dtype(dtype))

    def accumulate(self, stmt: Accumulate) -> None:
        acc = stmt.accumulator
        if stmt.position is not None:
            self.extreme(stmt)
            return
        value = np.asarray(self.value(stmt.value))
        value = value.astype(np.float32) if value.dtype.itemsize == 2 and value.dtype.kind not in "iu" else value
        combine = np.logical_or if value.dtype == bool and acc.monoid == "add" else COMBINE[acc.monoid]
        if acc.horizontal and self.turns:
            value = np.broadcast_to(value, (self.turns,))
        if acc.horizontal and value.ndim:
            value = combine.reduce(value)
        current = self.running[acc]
        self.running[acc] = value if current is None else combine(current, value)

    def extreme(self, stmt: Accumulate) -> None:
        acc = stmt.accumulator
        values, places = self.value(stmt.value), self.value(stmt.position)  # pyright: ignore[reportArgumentType]
        pick = np.argmax if acc.monoid == "argmax" else np.argmin
        if acc.horizontal:
            pairs: list[Any] = list(zip(np.ravel(values).tolist(), np.ravel(places).tolist(), strict=True))
            current = self.running[acc]
            pairs = ([current] if current is not None else []) + pairs
            self.running[acc] = pairs[int(pick([p[0] for p in pairs]))]
            return
        values, places = np.broadcast_arrays(values, places)
        current = self.running[acc]
        if current is None:
            self.running[acc] = (values, places)
            return
        both = np.stack([current[0], values]), np.stack([current[1], places])
        which = pick(both[0], axis=0)
        self.running[acc] = tuple(np.take_along_axis(np.atleast_2d(x), np.atleast_1d(which)[None], 0)[0].reshape(
            np.shape(which)) for x in both)

    def total(self, x: Total) -> Any:
        acc = x.accumulator
        current = self.running[acc]
        if acc.monoid in ("argmax", "argmin"):
            return np.asarray(current[1]).astype(numpy_dtype(x.dtype))
        if current is None:
            return np.asarray(self.identity(acc.monoid, x.dtype), numpy_dtype(x.dtype))
        return np.asarray(current).astype(numpy_dtype(x.dtype))

    def update(self, stmt: Update) -> None:
        if stmt.where is not None and not self.value(stmt.where):
            return
        position = self.position(stmt.buffer, stmt.indices)
        value = self.value(stmt.value)
        self.check(stmt.buffer, position)
        memory = self.memory[stmt.buffer]
        if stmt.monoid != "set":
            value = COMBINE[stmt.monoid](memory[position], value)
        memory[position] = value

    def position(self, buffer: Buffer, indices: tuple[Index | Expr, ...]) -> Any:
        total: Any = 0
        for x, n in zip(indices[buffer.drop:], buffer.shape[buffer.drop:], strict=True):
            at = x.evaluate(self.vars) if isinstance(x, Index) else np.asarray(self.value(x)).astype(np.int64)
            total = total * n + at
        return total

    def matmul(self, nest: MatmulNest) -> None:
        a, b = (self.memory[x].astype(numpy_dtype(nest.accumulator.dtype)) for x in (nest.a, nest.b))
        k = np.arange(nest.k)
        for batch in np.ndindex(*(v.size for v, _, _ in nest.batch)):
            at_a = nest.a_offset + sum(i * s for i, (_, s, _) in zip(batch, nest.batch, strict=True))
            at_b = nest.b_offset + sum(i * s for i, (_, _, s) in zip(batch, nest.batch, strict=True))
            self.vars.update({v: i for i, (v, _, _) in zip(batch, nest.batch, strict=True)})
            for i in range(nest.m):
                position = i
                for v in reversed(nest.rows):
                    self.vars[v], position = position % v.size, position // v.size
                self.vars.update(dict.fromkeys(nest.cols, 0))
                for j in range(nest.n):
                    if nest.cols:
                        self.vars[nest.cols[-1]] = j
                    x = a[at_a + i * nest.a_strides[0] + k * nest.a_strides[1]]
                    y = b[at_b + k * nest.b_strides[0] + j * nest.b_strides[1]]
                    self.running[nest.accumulator] = np.dot(x, y)
                    self.body(nest.epilogue)

    def attention(self, nest: AttentionNest) -> None:
        for batch in np.ndindex(*nest.batch):
            q, k, v, *rest = (self.memory[rows.buffer][places(rows, batch, count, width)] for rows, count, width in zip(
                nest.inputs, nest.counts, nest.widths, strict=True))
            s = q @ k.T * q.dtype.type(nest.scale)
            if nest.mask is not None:
                s = s + self.memory[nest.mask.buffer][places(nest.mask, batch, nest.m, nest.n)]
            if nest.causal:
                s = np.where(np.tri(nest.m, nest.n, dtype=bool), s, -np.inf)
            kept = self.kept(nest, batch, s.dtype)
            if rest:
                lse, delta, ct = rest
                p = np.exp(s - np.where(lse == -np.inf, 0, lse))
                w = p * (ct @ v.T * kept - delta) * q.dtype.type(nest.scale)
                found = [w @ k, w.T @ q, (p * kept).T @ ct]
            else:
                with np.errstate(divide="ignore"):
                    top = np.max(s, 1, keepdims=True, initial=-np.inf)
                    top = np.where(top == -np.inf, 0, top)
                    total = np.exp(s - top).sum(1, keepdims=True)
                    found = [np.exp(s - top) * kept @ v / np.where(total == 0, 1, total), top + np.log(total)]
            for rows, (count, width), value in zip(nest.results, nest.result_sizes, found, strict=True):
                if rows is not None:
                    self.write(rows.buffer, places(rows, batch, count, width), value)

    def kept(self, nest: AttentionNest, batch: tuple[int, ...], kind: Any) -> Any:
        """What each weight of a batch index is multiplied by."""
        found = nest.dropout
        if found is None:
            return kind.type(1)
        key0, key1 = self.memory[found.key.buffer][places(found.key, batch, 2, 1)][:, 0]
        inner = nest.batch[found.lead:]
        first = int(np.ravel_multi_index(batch[found.lead:], inner)) * nest.m if inner else 0
        counters = [np.arange(first, first + nest.m)[:, None], np.arange(-(-nest.n // 2))]

        def row(name: str, x: Any, y: Any) -> Any:
            return self.rows(name, (), [x, y], uint32)

        words = rounds(row, np.uint32, (key0, key1), *(x.astype(np.uint32) for x in counters))
        bits: Any = np.stack(np.broadcast_arrays(*words), -1).reshape(nest.m, -1)[:, :nest.n]
        return (bits >= found.threshold) * kind.type(found.factor)

    def windows(self, nest: WindowNest) -> None:
        a, b = self.memory[nest.a], self.memory[nest.b]
        terms = dict(zip(nest.terms, (np.ravel(x) for x in np.indices([v.size for v in nest.terms])), strict=True))
        outer, columns = (*nest.batch, *nest.rows), [v.size for v in nest.cols]
        for index in np.ndindex(*(v.size for v in outer)):
            for j, column in enumerate(np.ndindex(*columns)):
                self.vars.update(zip(outer, index, strict=True))
                at = {**self.vars, **dict(zip(nest.cols, column, strict=True)), **terms}
                x, y = a[nest.a.flat(nest.a_at).evaluate(at)], self.window(nest, b, at)
                self.running[nest.accumulator] = sum(np.sum(p * q) for p, q in zip(numbers(x), numbers(y), strict=True))
                self.vars.update(dict.fromkeys(nest.cols, 0))
                if nest.cols:
                    self.vars[nest.cols[-1]] = j
                self.body(nest.epilogue)

    def window(self, nest: WindowNest, b: Any, at: dict[Var, Any]) -> Any:
        """Elements of a windowed operand: zeros where there are none."""
        position: Any = 0
        inside: Any = True
        for x, step, n in zip(nest.b_at, nest.b_step, nest.b.shape, strict=True):
            place = x.evaluate(at)
            element = np.clip(place // step, 0, n - 1)
            inside = inside & (element * step == place)
            position = position * n + element
        return np.where(inside, b[position], 0)

    # -- expressions -------------------------------------------------------------------------------------------------
    def value(self, x: Expr) -> Any:
        """The value of an expression: a number, or an array over the lanes."""
        with np.errstate(all="ignore"):
            return self.evaluate(x, {})

    def evaluate(self, x: Expr, memo: dict[Expr, Any]) -> Any:
        if x not in memo:
            memo[x] = self.compute(x, memo)
        return memo[x]

    def compute(self, x: Expr, memo: dict[Expr, Any]) -> Any:
        if isinstance(x, Literal):
            return np.asarray(x.value, np.float64 if x.dtype.kind == "f" else None).astype(numpy_dtype(x.dtype))
        if isinstance(x, Load):
            return self.load(x.buffer, x.flat.evaluate(self.vars))
        if isinstance(x, Gathered):
            return self.load(x.buffer, self.position(x.buffer, x.indices))
        if isinstance(x, Scalar):
            return self.rows(x.row, x.static, [self.evaluate(a, memo) for a in x.args], x.dtype)
        if isinstance(x, Cast):
            arg = np.asarray(self.evaluate(x.arg, memo))
            return arg.view(numpy_dtype(x.dtype)) if x.bits else self.convert(arg, x.dtype)
        if isinstance(x, IndexValue):
            return np.asarray(x.index.evaluate(self.vars)).astype(numpy_dtype(x.dtype))
        if isinstance(x, Inside):
            tests = [(low <= i.evaluate(self.vars)) & (i.evaluate(self.vars) <= high) for i, low, high in x.tests]
            return np.logical_and.reduce(np.broadcast_arrays(*tests)) if tests else np.True_
        if isinstance(x, Guarded):
            return self.guarded(x, memo)
        assert isinstance(x, Total)
        return self.total(x)

    def load(self, buffer: Buffer, position: Any) -> Any:
        if buffer.space == "register":
            return self.registers[buffer]
        self.check(buffer, position)
        return self.memory[buffer][position]

    def guarded(self, x: Guarded, memo: dict[Expr, Any]) -> Any:
        """Only the lanes where the condition holds are computed."""
        condition = np.asarray(self.evaluate(x.condition, memo))
        otherwise = np.asarray(self.evaluate(x.otherwise, memo))
        if condition.ndim == 0:
            return self.compute(x.value, {}) if condition else otherwise
        kept = {v: i for v, i in self.vars.items() if np.ndim(i)}
        registers = self.registers
        self.registers = {k: v[condition] if np.shape(v) == condition.shape else v for k, v in registers.items()}
        self.vars.update({v: i[condition] for v, i in kept.items()})
        out = np.broadcast_to(otherwise, condition.shape).copy()
        if condition.any():
            out[condition] = self.evaluate(x.value, {})
        self.vars.update(kept)
        self.registers = registers
        return out

"""Matrix products as kernels: what follows the sum is the epilogue of the generated product."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from pullback.codegen.llvm.compile import CompileError
from pullback.codegen.llvm.kernels import EmittedKernel, Slots, load_immediates, load_origins, load_pointers, written
from pullback.codegen.llvm.lower import Emitter
from pullback.codegen.llvm.matmul import emit_matmul
from pullback.codegen.llvm.matmul_amx import laid_fits
from pullback.codegen.llvm.matmul_pack import LINE, ask
from pullback.codegen.llvm.matmul_spec import MatmulSpec, Operand
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, lanes
from pullback.codegen.llvm.windows import emit_window_product, spec_of
from pullback.ir.dtypes import bfloat16
from pullback.ir.index import Var
from pullback.kernel.nodes import (
    Buffer,
    For,
    Gathered,
    Kernel,
    Load,
    MatmulNest,
    Product,
    Store,
    Update,
    WindowNest,
    expressions,
    subexpressions,
    walk,
)


class LoopEpilogue:
    """The epilogue of a product: the nest's statements at one vector of a row."""

    def __init__(self, nest: Product, kernel: Kernel, table: Slots) -> None:
        self.nest, self.kernel, self.table = nest, kernel, table
        self.emitter: Emitter | None = None
        self.step = 1  # columns of a tile
        self.rows_read: list[Load] = []

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.step = step
        slots = fn.params[0]
        used: dict[Buffer, None] = {}
        for s in walk(self.nest.epilogue):
            for x in subexpressions(expressions(s)):  # in the order of the text: equal kernels have equal tables
                if isinstance(x, (Load, Gathered)):
                    used[x.buffer] = None
            if isinstance(s, (Store, Update)):
                used[s.buffer] = None
        origins = load_origins(fn, slots, self.table, self.nest.epilogue)
        emitter = Emitter(fn, load_pointers(fn, slots, self.table, list(used)), origins)
        emitter.pending = written(self.kernel)
        load_immediates(emitter, slots, self.table, list(used))
        self.emitter = emitter
        self.rows_read = self._rows_read()
        hidden = For(self.nest.cols[-1] if self.nest.cols else _NO_VAR, self.nest.epilogue)
        emitter.hoist(hidden)

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        e = self.emitter
        assert e is not None
        mark, order, bound = len(e.log), len(e.order), e.bound
        self._place(e, fn, batch_index, row, col)
        for x in self.rows_read:
            start = e.address(x.buffer, x.flat)
            for n in range(0, count * x.buffer.dtype.itemsize, LINE):
                ask(fn, fn.gep(start, i64(n), "i8"))
        e.bound = bound
        del e.order[order:]
        e.forget(mark)

    def _place(self, e: Emitter, fn: Fn, batch_index: list[V], row: V, col: V) -> None:
        """Bind the variables of the nest."""
        nest = self.nest
        e.fn, e.bound = fn, set(e.bound)
        for v, value in zip(batch_of(nest), batch_index, strict=True):
            self._bind(e, v, value)
        position = row
        for v in reversed(nest.rows[1:]):
            self._bind(e, v, fn.binary("urem", position, i64(v.size)))
            position = fn.binary("udiv", position, i64(v.size))
        if nest.rows:
            self._bind(e, nest.rows[0], position)
        for v in nest.cols[:-1]:
            self._bind(e, v, i64(0))
        if nest.cols:
            self._bind(e, nest.cols[-1], col)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        e, nest = self.emitter, self.nest
        assert e is not None
        mark, order, bound = len(e.log), len(e.order), e.bound
        self._place(e, fn, batch_index, row, col)
        width = lanes(acc.type)
        e.lane_var, e.width = (nest.cols[-1], width) if nest.cols and width > 1 else (None, width)
        e.lane_origin = gcd(self.step, width)
        e.mask = mask
        e.running[nest.accumulator] = [acc]
        e.bound.add(nest.accumulator)
        e.body(nest.epilogue)
        e.lane_var, e.width, e.lane_origin, e.mask, e.bound = None, 1, 1, None, bound
        del e.order[order:]
        e.forget(mark)

    def _rows_read(self) -> list[Load]:
        """What is read in rows as the product's own."""
        nest, found = self.nest, dict[Buffer, Load]()
        for s in walk(nest.epilogue):
            for x in subexpressions(expressions(s)):
                if isinstance(x, Load) and x.buffer.space not in ("immediate", "register", "constant") and (
                        nest.cols and nest.rows and x.flat.coefficient(nest.cols[-1]) == 1
                        and x.flat.coefficient(nest.rows[-1])):
                    found.setdefault(x.buffer, x)
        return list(found.values())

    def _bind(self, e: Emitter, v: Var, value: V) -> None:
        e.index[v] = value
        e.order.append(v)
        e.bound.add(v)


_NO_VAR = Var("none", 1)


def batch_of(nest: Product) -> tuple[Var, ...]:
    return nest.batch if isinstance(nest, WindowNest) else tuple(v for v, _, _ in nest.batch)


def emit_windows(module: Module, kernel: Kernel, nest: WindowNest, name: str, table: Slots, target: Target,
                 max_threads: int) -> EmittedKernel:
    """A kernel that is a product over windows."""
    type_ = {"float32": "float", "float64": "double"}[nest.accumulator.dtype.name]
    epilogue = LoopEpilogue(nest, kernel, table)
    made = emit_window_product(module, name, spec_of(nest, type_), table, nest, epilogue, target, max_threads)
    return EmittedKernel(name, min(kernel.threads, made.max_threads), made.workspace_bytes)


def emit_product(module: Module, kernel: Kernel, name: str, table: Slots, target: Target,
                 max_threads: int) -> EmittedKernel:
    """A kernel that is a matrix product."""
    nest = kernel.body[0]
    if isinstance(nest, WindowNest):
        return emit_windows(module, kernel, nest, name, table, target, max_threads)
    assert isinstance(nest, MatmulNest)
    type_ = {"float32": "float", "float64": "double"}[nest.accumulator.dtype.name]
    if nest.a.dtype is not nest.b.dtype or nest.a.dtype not in (nest.accumulator.dtype, bfloat16):
        raise CompileError(f"no product of {nest.a.dtype.name} and {nest.b.dtype.name} numbers")
    spec = MatmulSpec(nest.m, nest.n, nest.k,
                      Operand(*nest.a_strides, tuple(s for _, s, _ in nest.batch)),
                      Operand(*nest.b_strides, tuple(s for _, _, s in nest.batch)), type_,
                      tuple(v.size for v, _, _ in nest.batch), nest.parts, nest.a.dtype is bfloat16)
    workspace = table.area(0)
    panels = nest.panels
    if panels is not None and laid_fits(spec, panels.shape, target):
        spec, b = replace(spec, laid=True), table.of(panels)
    else:
        b = table.of(nest.b, nest.b_offset)
    made = emit_matmul(module, name, spec, table.of(nest.a, nest.a_offset), b, workspace,
                       table.counters, LoopEpilogue(nest, kernel, table), target, max_threads)
    used = made.workspace(max_threads)
    table.areas = [(slot, used if slot == workspace else n) for slot, n in table.areas]
    return EmittedKernel(name, min(kernel.threads, made.max_threads), used)

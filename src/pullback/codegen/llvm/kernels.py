"""Kernels as functions `void name(ptr slots, i64 tid, i64 nthreads)`: loops by the emitter, products by `matmul`."""

from __future__ import annotations

from typing import NamedTuple

from pullback.codegen.llvm.lower import Emitter, scratch_size
from pullback.codegen.llvm.math import emit_convert, register_type, storage_type
from pullback.codegen.llvm.matmul import emit_matmul
from pullback.codegen.llvm.matmul_spec import MatmulSpec, Operand
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, lanes
from pullback.ir.index import ZERO, Var
from pullback.kernel.nodes import Buffer, For, Kernel, Let, MatmulNest, Store, Update, expressions, walk
from pullback.util.disk_cache import sha256

PARAMS = [("ptr", "slots"), ("i64", "tid"), ("i64", "nthreads")]
STACK_BYTES = 48 << 10


class Slots:
    """The table of addresses that a kernel reads: one per buffer, or per address within one, as they are asked for."""

    def __init__(self) -> None:
        self.next = 0
        self.entries: dict[tuple[Buffer, int], int] = {}
        self.areas: list[tuple[int, int]] = []

    def of(self, buffer: Buffer, offset: int = 0) -> int:
        """The slot with the address of element `offset` of a buffer."""
        key = (buffer.memory, offset)
        if key not in self.entries:
            self.entries[key] = self.next
            self.next += 1
        return self.entries[key]

    def area(self, nbytes: int) -> int:
        """A slot for private workspace of a kernel."""
        self.areas.append((self.next, nbytes))
        self.next += 1
        return self.next - 1


class EmittedKernel(NamedTuple):
    """A kernel in the module: its threads, and bytes of workspace of its own."""

    name: str
    threads: int
    workspace_bytes: int


def load_pointers(fn: Fn, slots: V, table: Slots, buffers: list[Buffer]) -> dict[Buffer, V]:
    """Addresses of buffers, loaded from their slots."""
    found: dict[Buffer, V] = {}
    for buffer in buffers:
        if buffer.memory.space == "constant":
            found[buffer] = constant_address(fn.module, buffer)
        elif buffer.space not in ("immediate", "register", "scratch"):
            found[buffer] = fn.load(fn.gep(slots, i64(table.of(buffer)), "ptr"), "ptr", 8)
    return found


def constant_address(module: Module, buffer: Buffer) -> V:
    """The address of a constant, which is defined in the module under a name that its bytes give it."""
    data = buffer.memory.data
    name = f"const_{sha256(data).hex()[:40]}"
    if name not in module.globals:
        text = "".join([f"\\{byte:02X}" for byte in data])
        module.global_(name, f'internal constant [{len(data)} x i8] c"{text}", align 64')
    return V(f"@{name}", "ptr")


def load_immediates(emitter: Emitter, slots: V, table: Slots, buffers: list[Buffer]) -> None:
    """Scalars that are passed by value: f64 or i64 bits in their slots."""
    for buffer in buffers:
        if buffer.space != "immediate":
            continue
        name = "float64" if buffer.dtype.kind == "f" else "int64"
        address = emitter.fn.gep(slots, i64(table.of(buffer)), "ptr")
        raw = emitter.fn.load(address, register_type(name), 8)
        emitter.put((buffer, (ZERO,) * len(buffer.shape)), emit_convert(emitter.fn, raw, name, buffer.dtype.name))


def written(kernel: Kernel) -> set[Buffer]:
    return {s.buffer for s in walk(kernel.body) if isinstance(s, (Store, Update, Let))}


def emit_loops(module: Module, kernel: Kernel, name: str, table: Slots, linkage: str) -> EmittedKernel:
    """A kernel of loops."""
    fn = module.function(name, PARAMS, linkage=linkage)
    slots, tid, nthreads = fn.params
    divided = all(isinstance(s, For) and s.parallel for s in kernel.body)
    if not divided:
        fn.cond_br(fn.compare("icmp", "eq", tid, i64(0)), "work", "done")
        fn.label("work")
    pointers = load_pointers(fn, slots, table, [*kernel.reads, *kernel.writes])
    area = sum(-(-b.nbytes // kernel_rows(b) // 64) * 64 for b in kernel.scratch)
    big = area > STACK_BYTES
    threads = kernel.threads if divided else 1
    base = slots
    if big:
        base = fn.load(fn.gep(slots, i64(table.area(area * threads)), "ptr"), "ptr", 8)
        base = fn.gep(base, fn.mul(tid, i64(area)), "i8")
    at = 0
    for b in kernel.scratch:
        size = scratch_size(b)
        if big:
            pointers[b] = fn.gep(base, i64(at), "i8")
            at += -(-size * b.dtype.itemsize // 64) * 64
        else:
            pointers[b] = fn.alloca(storage_type(b.dtype.name), max(size, 1))
    emitter = Emitter(fn, pointers)
    emitter.tid, emitter.threads = tid, nthreads
    emitter.pending = written(kernel)
    load_immediates(emitter, slots, table, kernel.reads)
    emitter.body(kernel.body)
    if not divided:
        fn.br("done")
        fn.label("done")
    fn.ret()
    return EmittedKernel(name, threads, area * threads if big else 0)


def kernel_rows(buffer: Buffer) -> int:
    return max(buffer.size // max(scratch_size(buffer), 1), 1)


class LoopEpilogue:
    """The epilogue of a product: the nest's statements at one vector of a row."""

    def __init__(self, nest: MatmulNest, kernel: Kernel, table: Slots) -> None:
        self.nest, self.kernel, self.table = nest, kernel, table
        self.emitter: Emitter | None = None

    def prepare(self, fn: Fn) -> None:
        slots = fn.params[0]
        used: dict[Buffer, None] = {}
        for s in walk(self.nest.epilogue):
            for x in expressions(s):
                for y in x.free:
                    if isinstance(y, Buffer):
                        used[y] = None
            if isinstance(s, (Store, Update)):
                used[s.buffer] = None
        emitter = Emitter(fn, load_pointers(fn, slots, self.table, list(used)))
        emitter.pending = written(self.kernel)
        load_immediates(emitter, slots, self.table, list(used))
        self.emitter = emitter
        hidden = For(self.nest.cols[-1] if self.nest.cols else _NO_VAR, self.nest.epilogue)
        emitter.hoist(hidden)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        e, nest = self.emitter, self.nest
        assert e is not None
        mark, order, bound = len(e.log), len(e.order), e.bound
        e.fn, e.bound = fn, set(bound)
        for (v, _, _), value in zip(nest.batch, batch_index, strict=True):
            self._bind(e, v, value)
        position = row
        for v in reversed(nest.rows[1:]):
            self._bind(e, v, fn.binary("urem", position, i64(v.size)))
            position = fn.binary("udiv", position, i64(v.size))
        if nest.rows:
            self._bind(e, nest.rows[0], position)
        for v in nest.cols[:-1]:
            self._bind(e, v, i64(0))
        width = lanes(acc.type)
        if nest.cols:
            self._bind(e, nest.cols[-1], col)
        e.lane_var, e.width = (nest.cols[-1], width) if nest.cols and width > 1 else (None, width)
        e.mask = mask
        e.running[nest.accumulator] = [acc]
        e.bound.add(nest.accumulator)
        e.body(nest.epilogue)
        e.lane_var, e.width, e.mask, e.bound = None, 1, None, bound
        del e.order[order:]
        e.forget(mark)

    def _bind(self, e: Emitter, v: Var, value: V) -> None:
        e.index[v] = value
        e.order.append(v)
        e.bound.add(v)


_NO_VAR = Var("none", 1)


def emit_product(module: Module, kernel: Kernel, name: str, table: Slots, target: Target,
                 max_threads: int) -> EmittedKernel:
    """A kernel that is a matrix product."""
    nest = kernel.body[0]
    assert isinstance(nest, MatmulNest)
    type_ = {"float32": "float", "float64": "double"}[nest.accumulator.dtype.name]
    spec = MatmulSpec(nest.m, nest.n, nest.k,
                      Operand(*nest.a_strides, tuple(s for _, s, _ in nest.batch)),
                      Operand(*nest.b_strides, tuple(s for _, _, s in nest.batch)), type_,
                      tuple(v.size for v, _, _ in nest.batch))
    workspace = table.area(0)
    made = emit_matmul(module, name, spec, table.of(nest.a, nest.a_offset), table.of(nest.b, nest.b_offset),
                       workspace, LoopEpilogue(nest, kernel, table), target, max_threads)
    each = made.workspace_bytes // max(made.max_threads, 1)
    used = each * min(max_threads, made.max_threads)
    table.areas = [(slot, used if slot == workspace else n) for slot, n in table.areas]
    return EmittedKernel(name, min(kernel.threads, made.max_threads), used)

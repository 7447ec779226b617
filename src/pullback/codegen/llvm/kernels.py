"""Kernels as functions `void name(ptr slots, i64 tid, i64 nthreads)`: their tables of addresses, and those of loops."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pullback.codegen.llvm.lower import Emitter, scratch_size
from pullback.codegen.llvm.math import emit_convert, register_type, storage_type
from pullback.codegen.llvm.text import Fn, Module, V, i64
from pullback.ir.index import ZERO
from pullback.kernel.nodes import (
    Buffer,
    For,
    Kernel,
    Let,
    Load,
    Stmt,
    Store,
    Update,
    expressions,
    subexpressions,
    walk,
)
from pullback.util.disk_cache import sha256

PARAMS = [("ptr", "slots"), ("i64", "tid"), ("i64", "nthreads")]
STACK_BYTES = 48 << 10
MARGIN_BYTES = 8 << 10  # most before and after scratch memory


class Slots:
    """The table that a kernel reads: an address per buffer, or per place within one, as they are asked for; and
    integers by which its threads come to terms."""

    def __init__(self) -> None:
        self.next = 0
        self.entries: dict[tuple[Buffer, int], int] = {}
        self.areas: list[tuple[int, int]] = []
        self.zeros: list[int] = []

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

    def counters(self, count: int) -> int:
        """The first of as many slots with integers, which are zero each time before the kernel runs."""
        self.zeros += range(self.next, self.next + count)
        self.next += count
        return self.next - count


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


def load_origins(fn: Fn, slots: V, table: Slots, body: tuple[Stmt, ...]) -> dict[Buffer, tuple[V, int]]:
    """The address of each buffer's first element that statements reach by a constant, and which one it is: kernels that
    are equal but for it have one text. None where that is the very first."""
    least: dict[Buffer, int] = {}
    for s in walk(body):
        plain = [x for x in subexpressions(expressions(s)) if isinstance(x, Load)]
        for x in [*plain, s] if isinstance(s, Store) else plain:
            least[x.buffer] = min(least.get(x.buffer, x.flat.const), x.flat.const)
    return {b: (fn.load(fn.gep(slots, i64(table.of(b, n)), "ptr"), "ptr", 8), n) for b, n in least.items()
            if 0 < n < b.size and b.memory.space in ("input", "output", "workspace")}


def constant_address(module: Module, buffer: Buffer) -> V:
    """The address of a constant, which is defined in the module under a name that its bytes give it."""
    data = buffer.memory.data
    name = f"const_{sha256(data).hex()[:40]}"
    if name not in module.globals:
        module.global_(name, f'internal constant [{len(data)} x i8] c"{escaped(data)}", align 64')
    return V(f"@{name}", "ptr")


def escaped(data: bytes) -> str:
    """Bytes in LLVM's spelling."""
    return "\\" + data.hex("\\") if data else ""


def constant_table(module: Module, values: list[int]) -> V:
    """The address of a table of 32-bit integers, which is defined in the module under a name that they give it."""
    data = struct.pack(f"={len(values)}i", *values)
    name = f"const_{sha256(data).hex()[:40]}"
    if name not in module.globals:
        module.global_(name, f'internal constant [{len(data)} x i8] c"{escaped(data)}", align 64')
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
    room = margins(kernel)
    area = sum(-(-(scratch_size(b) + 2 * room[b]) * b.dtype.itemsize // 64) * 64 for b in kernel.scratch)
    big = area > STACK_BYTES
    threads = kernel.threads if divided else 1
    base = slots
    if big:
        base = fn.load(fn.gep(slots, i64(table.area(area * threads)), "ptr"), "ptr", 8)
        base = fn.gep(base, fn.mul(tid, i64(area)), "i8")
    at = 0
    for b in kernel.scratch:
        size = scratch_size(b) + 2 * room[b]
        if big:
            pointers[b] = fn.gep(base, i64(at), "i8")
            at += -(-size * b.dtype.itemsize // 64) * 64
        else:
            pointers[b] = fn.alloca(storage_type(b.dtype.name), max(size, 1))
        if room[b]:
            pointers[b] = fn.gep(pointers[b], i64(room[b]), storage_type(b.dtype.name))
    emitter = Emitter(fn, pointers, load_origins(fn, slots, table, kernel.body))
    emitter.roomy = {b for b, n in room.items() if n}
    emitter.tid, emitter.threads = tid, nthreads
    emitter.pending = written(kernel)
    load_immediates(emitter, slots, table, kernel.reads)
    emitter.body(kernel.body)
    if not divided:
        fn.br("done")
        fn.label("done")
    fn.ret()
    return EmittedKernel(name, threads, area * threads if big else 0)


def margins(kernel: Kernel) -> dict[Buffer, int]:
    """Elements before and after each scratch buffer that reads under guards may touch: no lane needs a mask then."""
    found = dict.fromkeys(kernel.scratch, 0)
    values = tuple(x for s in walk(kernel.body) for x in expressions(s)) if found else ()
    for x in subexpressions(values):
        if isinstance(x, Load) and x.buffer in found:
            beyond = max(-x.flat.low, x.flat.high - scratch_size(x.buffer) + 1)
            found[x.buffer] = max(found[x.buffer], beyond)
    return {b: n if n * b.dtype.itemsize <= MARGIN_BYTES else 0 for b, n in found.items()}

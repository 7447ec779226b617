"""A plan as LLVM text: a unit for each kernel, and one for `void prog(ptr args)`, which runs them phase by phase.

A kernel reads the addresses of its buffers from a table of its own, in the order in which it wants them, and `KERNEL`
stands for its name: so equal kernels have equal texts, in one program and in another, and are compiled once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pullback.codegen.llvm.clock import emit_timed
from pullback.codegen.llvm.control import emit_control
from pullback.codegen.llvm.kernels import EmittedKernel, Slots, constant_address, emit_loops
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64
from pullback.codegen.llvm.units import NAME, Unit, merged_text
from pullback.kernel.nodes import Buffer, Kernel
from pullback.kernel.signature import signature
from pullback.schedule.plan import Plan

ENTRY = "prog"
#: programs expected to take longer look between their phases whether they shall end
STOP_SECONDS = 1e-2


def program_text(plan: Plan, target: Target, times: int = 0) -> tuple[str, int]:
    """One module with all of a program, and the bytes of workspace; with the address of a table of `times`, each kernel
    notes there when it ran."""
    emitter = PlanEmitter(plan, target)
    units = list(emitter.units(times))
    names = [unit.name for unit in units]
    return merged_text([*units, emitter.entry_unit(names)], [*names, ENTRY]), emitter.workspace_bytes


class Known(NamedTuple):
    """An emitted kernel, and its buffers in the order of its signature."""

    unit: Unit | None  # None in a module that other functions share
    kernel: EmittedKernel
    table: Slots
    buffers: list[Buffer]


class PlanEmitter:
    """The kernels of a plan one after another, then the function that runs them."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target
        self.kernels: list[EmittedKernel] = []
        self.tables: list[Slots] = []
        self.areas: list[tuple[Slots, int, int]] = []  # table, slot, offset in the workspace
        self.workspace_bytes = plan.workspace_bytes
        self.known: dict[Any, Known] = {}

    def units(self, times: int = 0) -> Iterator[Unit]:
        """Each kernel as a unit."""
        for phase in self.plan.phases:
            at = self.plan.workspace_bytes
            for kernel in phase:
                key, buffers = signature(kernel) if not times and kernel.payload is None else (None, [])
                known = self.known.get(key)
                if known is not None and known.unit is not None:
                    at = self.again(known, buffers, at)
                    yield known.unit
                    continue
                module = Module()
                at = self.add(module, kernel, NAME, at, "")
                if times:
                    self.kernels[-1] = emit_timed(module, self.kernels[-1], times)
                    times += 16
                unit = Unit(kernel.name, module)
                if key is not None:
                    self.known[key] = Known(unit, self.kernels[-1], self.tables[-1], buffers)
                yield unit

    def inside(self, module: Module, prefix: str, entry: str) -> int:
        """All of the plan in a module that other functions share; returns the bytes of workspace."""
        for phase in self.plan.phases:
            at = self.plan.workspace_bytes
            for kernel in phase:
                key, buffers = signature(kernel) if kernel.payload is None else (None, [])
                known = self.known.get(key)
                if known is not None:
                    at = self.again(known, buffers, at)
                    continue
                at = self.add(module, kernel, prefix + kernel.name, at, "internal")
                if key is not None:
                    self.known[key] = Known(None, self.kernels[-1], self.tables[-1], buffers)
        self.entry(module, entry, prefix, [k.name for k in self.kernels])
        return self.workspace_bytes

    def again(self, known: Known, buffers: list[Buffer], at: int) -> int:
        """A kernel that equals an emitted one, on other buffers."""
        other = dict(zip(known.buffers, buffers, strict=True))
        table = Slots()
        table.next, table.areas, table.zeros = known.table.next, known.table.areas, known.table.zeros
        table.entries = {(other[b], offset): slot for (b, offset), slot in known.table.entries.items()}
        return self.place(known.kernel, table, at)

    def add(self, module: Module, kernel: Kernel, name: str, at: int, linkage: str) -> int:
        """Emit a kernel whose own workspace begins at `at`; returns where the next one's may begin."""
        table = Slots()
        return self.place(emit_kernel(module, kernel, name, table, self.target, self.plan.threads, linkage), table, at)

    def place(self, kernel: EmittedKernel, table: Slots, at: int) -> int:
        """Note a kernel with its table; its own workspace begins at `at`."""
        self.kernels.append(kernel)
        self.tables.append(table)
        for slot, nbytes in table.areas:
            if nbytes:
                self.areas.append((table, slot, at))
                at += -(-nbytes // 64) * 64
        self.workspace_bytes = max(self.workspace_bytes, at)
        return at

    def entry_unit(self, names: list[str]) -> Unit:
        """The function that runs the program, where the kernels have these names."""
        module = Module()
        self.entry(module, NAME, "", [k.name.replace(NAME, n) for k, n in zip(self.kernels, names, strict=True)])
        return Unit(ENTRY, module)

    def entry(self, module: Module, name: str, prefix: str, names: list[str]) -> None:
        """Fill the tables of addresses, run the phases.

        Kernels of one thread come first in a phase, those whose work is claimed last: so these even out what those
        leave uneven.
        """
        fn = module.function(name, [("ptr", "args")], linkage="internal" if prefix else "")
        tables = self.fill(fn, name)
        stops = not prefix and self.plan.seconds > STOP_SECONDS
        first = 0
        for n, phase in enumerate([*self.plan.phases, []]):
            if n and stops and phase:
                fn.unless_cancelled(f"go{n}", "end")
                fn.label(f"go{n}")
            if n and n == self.plan.stops + 1:
                self.unless_refused(fn)
            some = range(first, first + len(phase))
            first += len(phase)
            some = sorted(some, key=lambda j: (self.kernels[j].threads > 1, bool(self.tables[j].zeros)))
            self.run(fn, f"{name}.phase{n}", [names[j] for j in some], [self.kernels[j].threads for j in some],
                     [tables[j] for j in some])
        fn.br("end")
        fn.label("end")
        fn.ret()

    def unless_refused(self, fn: Fn) -> None:
        """Go on where the last result, a number, is 0. Else nothing is written over, and what replaces is as before."""
        slot = len(self.plan.function.params) + len(self.plan.function.results) - 1
        number = fn.load(fn.load(fn.gep(fn.params[0], i64(slot), "ptr"), "ptr", 8), "i32", 4)
        fn.cond_br(fn.compare("icmp", "eq", number, const(0, "i32")), "accepted", "refused")
        fn.label("refused")
        for result, parameter in self.plan.kept:
            places = [fn.load(fn.gep(fn.params[0], i64(k), "ptr"), "ptr", 8)
                      for k in (len(self.plan.function.params) + result, parameter)]
            nbytes = i64(self.plan.function.out_types[result].nbytes)
            fn.call("llvm.memmove.p0.p0.i64", "void", *places, nbytes, V("false", "i1"))
        fn.br("end")
        fn.label("accepted")

    def fill(self, fn: Fn, name: str) -> list[V]:
        """Each kernel's table: the caller's addresses, and places in the workspace. Which, is data of a loop."""
        workspace = len(self.plan.function.params) + len(self.plan.function.results)
        places = {(table, slot): offset for table, slot, offset in self.areas}
        source: list[int] = []
        offset: list[int] = []
        starts: list[int] = []
        constants: list[tuple[int, V]] = []
        for table in self.tables:
            starts.append(len(source))
            constants += [(starts[-1] + slot, i64(0)) for slot in table.zeros]
            wanted = {slot: (b, at * b.dtype.itemsize) for (b, at), slot in table.entries.items()}
            for slot in range(table.next):
                buffer, at = wanted.get(slot, (None, places.get((table, slot), 0)))
                if buffer is not None and buffer.space == "constant":
                    address = constant_address(fn.module, buffer)
                    constants.append((len(source), fn.gep(address, i64(at), "i8")))
                inside = buffer is None or buffer.space == "workspace"
                own = inside and (buffer or (table, slot) in places)
                source.append(workspace if own else buffer.slot if buffer else -1)
                offset.append(at + buffer.offset if buffer is not None and inside else at)
        slots = fn.alloca("ptr", max(len(source), 1))
        copy_addresses(fn, name, fn.params[0], slots, source, offset)
        for place, address in constants:
            fn.store(address, fn.gep(slots, i64(place), "ptr"), 8)
        return [fn.gep(slots, i64(start), "ptr") if start else slots for start in starts]

    def run(self, fn: Fn, region_name: str, names: list[str], threads: list[int], tables: list[V]) -> None:
        """One parallel region, or plain calls where one thread is enough."""
        module = fn.module
        for name in names:
            module.declare(name, "void", ("ptr", "i64", "i64"))
        if not names:
            return
        most = max(threads)
        if most == 1:
            for name, table in zip(names, tables, strict=True):
                fn.line(f"call void @{name}(ptr {table.ref}, i64 0, i64 1)")
            return
        region = names[0]
        if len(names) > 1:
            region = region_name
            emit_region(module, region, names, threads)
        module.declare("pb_parallel", "void", ("ptr", "ptr", "i64"))
        if len(names) == 1:
            fn.line(f"call void @pb_parallel(ptr @{region}, ptr {tables[0].ref}, i64 {most})")
            return
        given = fn.alloca("ptr", len(names))
        for j, table in enumerate(tables):
            fn.store(table, fn.gep(given, i64(j), "ptr"), 8)
        fn.line(f"call void @pb_parallel(ptr @{region}, ptr {given.ref}, i64 {most})")


def emit_region(module: Module, name: str, names: list[str], threads: list[int]) -> None:
    """The kernels of one phase side by side: those of one thread are shared out. The argument holds their tables."""
    region = module.function(name, [("ptr", "tables"), ("i64", "tid"), ("i64", "nthreads")], linkage="internal")
    tables, tid, _ = region.params
    most = max(threads)
    for j, (kernel, count) in enumerate(zip(names, threads, strict=True)):
        table = region.load(region.gep(tables, i64(j), "ptr"), "ptr", 8)
        if count > 1:
            region.line(f"call void @{kernel}(ptr {table.ref}, i64 %tid, i64 %nthreads)")
            continue
        region.cond_br(region.compare("icmp", "eq", tid, i64(j % most)), f"do{j}", f"past{j}")
        region.label(f"do{j}")
        region.line(f"call void @{kernel}(ptr {table.ref}, i64 0, i64 1)")
        region.br(f"past{j}")
        region.label(f"past{j}")
    region.ret()


def copy_addresses(fn: Fn, name: str, args: V, slots: V, source: list[int], offset: list[int]) -> None:
    """slots[j] = args[source[j]] + offset[j], where source[j] is not negative."""
    if all(s < 0 for s in source):
        return
    given = next(s for s in source if s >= 0)
    module, count = fn.module, len(source)
    sources = ", ".join([f"i32 {s if s >= 0 else given}" for s in source])
    offsets = ", ".join([f"i64 {n}" for n in offset])
    module.global_(f"{name}.source", f"internal constant [{count} x i32] [{sources}], align 64")
    module.global_(f"{name}.offset", f"internal constant [{count} x i64] [{offsets}], align 64")
    loop = fn.begin_loop(i64(0), i64(count), i64(1))
    j = loop.counter
    which = fn.load(fn.gep(V(f"@{name}.source", "ptr"), j, "i32"), "i32", 4)
    base = fn.load(fn.gep(args, fn.cast("sext", which, "i64"), "ptr"), "i64", 8)
    shift = fn.load(fn.gep(V(f"@{name}.offset", "ptr"), j, "i64"), "i64", 8)
    fn.store(fn.add(base, shift), fn.gep(slots, j, "ptr"), 8)
    fn.end_loop(loop)


def emit_kernel(module: Module, kernel: Kernel, name: str, table: Slots, target: Target, max_threads: int,
                linkage: str) -> EmittedKernel:
    if kernel.kind == "matmul":
        from pullback.codegen.llvm.products import (
            emit_product,  # lazy: 8 ms that programs without products do not spend
        )

        return emit_product(module, kernel, name, table, target, max_threads)
    if kernel.kind == "attention":
        from pullback.codegen.llvm.attention import emit_attention  # lazy, as products

        return emit_attention(module, kernel, name, table, target, max_threads, linkage)
    if kernel.payload is not None:
        return emit_control(module, kernel, name, table, linkage,
                            lambda plan, body: PlanEmitter(plan, target).inside(module, body + ".", body))
    return emit_loops(module, kernel, name, table, linkage)

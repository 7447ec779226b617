"""A plan as one LLVM module: its kernels, and `void prog(ptr args)` that runs them phase by phase."""

from __future__ import annotations

from dataclasses import dataclass

from pullback.codegen.llvm.clock import emit_timed
from pullback.codegen.llvm.control import emit_control
from pullback.codegen.llvm.kernels import EmittedKernel, Slots, constant_name, emit_loops, emit_product
from pullback.codegen.llvm.math import storage_type
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64
from pullback.kernel.nodes import Buffer, Kernel
from pullback.schedule.plan import Plan

ENTRY = "prog"
#: programs expected to take longer look between their phases whether they shall end
STOP_SECONDS = 1e-2


@dataclass(frozen=True)
class EmittedProgram:
    """The text, and how much workspace the caller must give."""

    text: str
    workspace_bytes: int


def emit_program(plan: Plan, target: Target, times: int = 0) -> EmittedProgram:
    """LLVM text of a whole program; with the address of a table of `times`, each kernel notes there when it ran."""
    module = Module()
    workspace = emit_plan(module, plan, "", ENTRY, target, times)
    return EmittedProgram(module.text() + "!2 = !{i32 1}\n", workspace)


def emit_plan(module: Module, plan: Plan, prefix: str, entry: str, target: Target, times: int = 0) -> int:
    """All kernels of a plan and the function that runs them; returns the bytes of workspace."""
    inputs, outputs = len(plan.function.params), len(plan.function.results)
    table = Slots(inputs + outputs + 1)
    phases: list[list[EmittedKernel]] = []
    total = plan.workspace_bytes
    areas: list[tuple[int, int]] = []
    emit_constants(module, plan.buffers, prefix)
    for phase in plan.phases:
        made: list[EmittedKernel] = []
        at = plan.workspace_bytes
        for kernel in phase:
            kernel.name = prefix + kernel.name
            before = len(table.areas)
            emitted = emit_kernel(module, kernel, table, target, plan.threads)
            if times:
                emitted = emit_timed(module, emitted, times)
                times += 16
            made.append(emitted)
            for slot, nbytes in table.areas[before:]:
                if nbytes:
                    areas.append((slot, at))
                    at += -(-nbytes // 64) * 64
        total = max(total, at)
        phases.append(made)
    emit_entry(module, plan, table, phases, areas, entry, prefix)
    return total


def emit_kernel(module: Module, kernel: Kernel, table: Slots, target: Target, max_threads: int) -> EmittedKernel:
    if kernel.kind == "matmul":
        return emit_product(module, kernel, table, target, max_threads)
    if kernel.payload is not None:
        return emit_control(module, kernel, table,
                            lambda plan, name: emit_plan(module, plan, name + ".", name, target))
    return emit_loops(module, kernel, table)


def emit_constants(module: Module, buffers: list[Buffer], prefix: str) -> None:
    for b in buffers:
        if b.space == "constant":
            b.name = prefix + b.name
            text = "".join(f"\\{byte:02X}" for byte in b.data)
            module.global_(constant_name(b), f'internal constant [{len(b.data)} x i8] c"{text}", align 64')


def emit_entry(module: Module, plan: Plan, table: Slots, phases: list[list[EmittedKernel]],
               areas: list[tuple[int, int]], entry: str, prefix: str) -> None:
    """`prog`: fill the table of addresses, run the phases."""
    fn = module.function(entry, [("ptr", "args")], linkage="internal" if prefix else "")
    args = fn.params[0]
    fixed = len(plan.function.params) + len(plan.function.results)
    if table.next == fixed + 1 and not table.entries:
        slots = args
    else:
        slots = fill_table(fn, args, fixed, table, areas)
    stops = not prefix and plan.seconds > STOP_SECONDS
    for n, phase in enumerate(phases):
        if n and stops:
            fn.unless_cancelled(f"go{n}", "end")
            fn.label(f"go{n}")
        run_phase(module, fn, slots, phase, f"{prefix}phase{n}")
    if stops:
        fn.br("end")
        fn.label("end")
    fn.ret()


def fill_table(fn: Fn, args: V, fixed: int, table: Slots, areas: list[tuple[int, int]]) -> V:
    """The caller's addresses, then those of the buffers in the workspace."""
    slots = fn.alloca("ptr", table.next)
    for k in range(fixed):
        raw = fn.load(fn.gep(args, i64(k), "ptr"), "i64", 8)
        fn.store(raw, fn.gep(slots, i64(k), "ptr"), 8)
    workspace: V | None = None
    entries = [(slot, b, offset) for (b, offset), slot in table.entries.items()]
    if areas or any(b.space == "workspace" for _, b, _ in entries):
        workspace = fn.load(fn.gep(args, i64(fixed), "ptr"), "ptr", 8)
    for slot, b, offset in entries:
        if b.space == "constant":
            base = V(f"@{constant_name(b)}", "ptr")
        elif b.space == "workspace":
            assert workspace is not None
            base = fn.gep(workspace, i64(b.offset), "i8") if b.offset else workspace
        else:
            base = fn.load(fn.gep(args, i64(b.slot), "ptr"), "ptr", 8)
        if offset:
            base = fn.gep(base, i64(offset), storage_type(b.dtype.name))
        fn.store(base, fn.gep(slots, i64(slot), "ptr"), 8)
    for slot, offset in areas:
        assert workspace is not None
        fn.store(fn.gep(workspace, i64(offset), "i8"), fn.gep(slots, i64(slot), "ptr"), 8)
    return slots


def run_phase(module: Module, fn: Fn, slots: V, phase: list[EmittedKernel], region_name: str) -> None:
    """One parallel region, or plain calls where one thread is enough."""
    if not phase:
        return
    threads = max(k.threads for k in phase)
    if threads == 1:
        for k in phase:
            fn.line(f"call void @{k.name}(ptr {slots.ref}, i64 0, i64 1)")
        return
    name = phase[0].name
    if len(phase) > 1:
        name = region_name
        region = module.function(name, [("ptr", "slots"), ("i64", "tid"), ("i64", "nthreads")], linkage="internal")
        for j, k in enumerate(phase):
            if k.threads > 1:
                region.line(f"call void @{k.name}(ptr %slots, i64 %tid, i64 %nthreads)")
                continue
            mine = region.compare("icmp", "eq", region.params[1], i64(j % threads))
            region.cond_br(mine, f"do{j}", f"past{j}")
            region.label(f"do{j}")
            region.line(f"call void @{k.name}(ptr %slots, i64 0, i64 1)")
            region.br(f"past{j}")
            region.label(f"past{j}")
        region.ret()
    module.declare("pb_parallel", "void", ("ptr", "ptr", "i64"))
    fn.line(f"call void @pb_parallel(ptr @{name}, ptr {slots.ref}, i64 {threads})")

"""Kernels that say when they ran, for profiles; and a loop of nothing but multiply-adds, for the processor's limit.

The wrapper of a kernel reads the system's monotonic clock (that of `time.perf_counter_ns` on Linux) before and after it
and keeps the earliest start and the latest end of all threads, in nanoseconds, in a table of two int64 a kernel. The
table's address is written into the code: such a program is for this process only and is never cached.
"""

from __future__ import annotations

import time

from pullback.codegen.llvm.kernels import PARAMS, EmittedKernel
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64

#: accumulators of the loop of multiply-adds, and its turns: enough for two units of five cycles
CHAINS, TURNS = 12, 200_000


def emit_timed(module: Module, kernel: EmittedKernel, table: int) -> EmittedKernel:
    """A function with a kernel's signature that runs it and notes its interval at `table`."""
    name = kernel.name + ".timed"
    fn = module.function(name, PARAMS, linkage="internal")
    spec = fn.alloca("i64", 2)
    begin = _now(fn, spec)
    fn.line(f"call void @{kernel.name}(ptr %slots, i64 %tid, i64 %nthreads)")
    end = _now(fn, spec)
    for k, (which, value) in enumerate((("umin", begin), ("umax", end))):
        address = f"inttoptr (i64 {table + 8 * k} to ptr)"
        fn.line(f"%{fn.fresh('old')} = atomicrmw {which} ptr {address}, i64 {value.ref} monotonic, align 8")
    fn.ret()
    return kernel._replace(name=name)


def _now(fn: Fn, spec: V) -> V:
    """Nanoseconds of the monotonic clock."""
    fn.call("clock_gettime", "i32", V(str(time.CLOCK_MONOTONIC), "i32"), spec)
    seconds = fn.load(spec, "i64", 8)
    rest = fn.load(fn.gep(spec, i64(1), "i64"), "i64", 8)
    return fn.add(fn.mul(seconds, i64(1_000_000_000)), rest)


def multiply_add_text(target: Target, threads: int, turns: int = TURNS) -> tuple[str, int]:
    """A program `prog` that keeps the multiply-add units of all threads busy (slot 0 is room for a float), and its
    operations."""
    module = Module()
    width = target.lanes("float")
    fn = module.function("busy", PARAMS, linkage="internal")
    type_ = f"<{width} x float>"
    starts = [fn.splat(fn.cast("sitofp", fn.add(fn.params[1], i64(k)), "float"), width) for k in range(CHAINS)]
    seed = fn.splat(fn.cast("sitofp", fn.params[2], "float"), width)  # in the loop it would cost a multiply-add
    loop = fn.begin_loop(i64(0), i64(turns), i64(1), starts)
    ends = [fn.intrinsic("llvm.fma", type_, seed, seed, c) for c in loop.carried]
    sums = fn.end_loop(loop, ends)
    total = sums[0]
    for s in sums[1:]:
        total = fn.op(f"fadd {type_} {total.ref}, {s.ref}", type_)
    never = fn.compare("fcmp", "oeq", fn.extract(total, 0), const(1.5, "float"))
    fn.cond_br(never, "keep", "end")
    fn.label("keep")
    fn.store(fn.extract(total, 0), fn.load(fn.params[0], "ptr", 8), 4)
    fn.br("end")
    fn.label("end")
    fn.ret()
    entry = module.function("prog", [("ptr", "args")])
    module.declare("pb_parallel", "void", ("ptr", "ptr", "i64"))
    entry.line(f"call void @pb_parallel(ptr @busy, ptr %args, i64 {threads})")
    entry.ret()
    return module.text(), 2 * width * CHAINS * turns * threads

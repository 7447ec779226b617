"""Products over windows of an image (convolutions and their gradients), packed straight from the image.

`window_spec` says what one is in numbers; `window_columns` and `window_terms` compute it, by whether pixels are columns
or terms of the product. The order of sums depends on the shape only.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.kernels import PARAMS, Slots
from pullback.codegen.llvm.matmul import load_pointer
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_plan import FLOPS_PER_THREAD, PARALLEL_FLOPS
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64
from pullback.codegen.llvm.window_columns import ColumnPlan, emit_columns, plan_columns, unflatten
from pullback.codegen.llvm.window_dots import emit_pixel_dots, plan_dots
from pullback.codegen.llvm.window_phases import Phase, PhaseEpilogue, phases
from pullback.codegen.llvm.window_spec import WindowSpec, spec_of
from pullback.codegen.llvm.window_terms import emit_terms, plan_terms
from pullback.kernel.nodes import WindowNest

__all__ = ["emit_window_product", "spec_of"]


class WindowKernel(NamedTuple):
    """Threads that pay, and bytes of workspace for all of them."""

    max_threads: int
    workspace_bytes: int


def emit_window_product(module: Module, name: str, spec: WindowSpec, table: Slots, nest: WindowNest,
                        epilogue: Epilogue, target: Target, threads: int) -> WindowKernel:
    """Emit `void name(ptr args, i64 tid, i64 nthreads)`."""
    if min(spec.m, spec.n, spec.k, *spec.batch, 1) < 1:
        raise ValueError(f"sizes must be positive: {spec}")
    a_slot, b_slot = table.of(nest.a, spec.a_offset), table.of(nest.b)
    most = max(1, spec.flops // FLOPS_PER_THREAD) if spec.flops >= PARALLEL_FLOPS else 1
    fn = module.function(name, PARAMS)
    args, tid, nthreads = fn.params
    dots = plan_dots(spec, target) if spec.by_terms else None
    if dots is not None:
        used = min(most, threads, prod(spec.batch))
        total = dots.thread_bytes * used
        own_slot = table.area(total)
        live = begin(fn, tid, nthreads, used)
        a, b, workspace = (load_pointer(fn, args, n) for n in (a_slot, b_slot, own_slot))
        workspace = fn.gep(workspace, ix.mul(fn, tid, dots.thread_bytes), "i8")
        emit_pixel_dots(module, fn, name, spec, dots, epilogue, target, a, b, workspace, tid, live)
    elif spec.by_terms:
        plan = plan_terms(spec, target, threads)
        most = min(most, {"batch": prod(spec.batch), "panels": plan.panels, "rows": -(-spec.n // plan.tall)}[plan.split])
        used = min(most, threads)
        own, scratch = plan.thread_bytes * used, plan.scratch_bytes * (used if plan.split == "batch" else 1)
        own_slot, scratch_slot = table.area(own), table.area(scratch)
        live = begin(fn, tid, nthreads, used)
        a, b, workspace, sums = (load_pointer(fn, args, n) for n in (a_slot, b_slot, own_slot, scratch_slot))
        if plan.split == "batch":
            sums = fn.gep(sums, ix.mul(fn, tid, plan.scratch_bytes), "i8")
        workspace = fn.gep(workspace, ix.mul(fn, tid, plan.thread_bytes), "i8")
        emit_terms(module, fn, name, spec, plan, epilogue, target, a, b, workspace, sums, tid, live)
        total = own + scratch
    else:
        parts = phases(spec) or [Phase(spec, spec.cols, (0,) * len(spec.cols), (1,) * len(spec.cols), 0)]
        plans = [plan_columns(part.spec, target) if part.spec is not None else None for part in parts]
        most = min(most, max(shares(spec, plan) for plan in plans if plan is not None))
        used = min(most, threads)
        each = max(plan.thread_bytes for plan in plans if plan is not None)
        total = each * used
        own_slot = table.area(total)
        live = begin(fn, tid, nthreads, used)
        a, b, workspace = (load_pointer(fn, args, n) for n in (a_slot, b_slot, own_slot))
        workspace = fn.gep(workspace, ix.mul(fn, tid, each), "i8")
        for n, (part, plan) in enumerate(zip(parts, plans, strict=True)):
            inner = PhaseEpilogue(epilogue, part, spec.cols) if len(parts) > 1 else epilogue
            if part.spec is None or plan is None:
                emit_nothing(fn, spec, part, inner, tid, live)
                continue
            start = ix.offset(fn, a, i64(part.shift), spec.dtype)
            emit_columns(module, fn, f"{name}.{n}" if n else name, part.spec, plan, inner, target, start, b, workspace,
                         tid, live)
    fn.br("done")
    fn.label("done")
    fn.ret()
    return WindowKernel(used, total)


def shares(spec: WindowSpec, plan: ColumnPlan) -> int:
    """How many threads can take part."""
    groups = prod(spec.batch[k] for k in plan.groups)
    return max(prod(spec.batch[k] for k in plan.images) * plan.tiles, groups if groups >= 8 else 1)


def emit_nothing(fn: Fn, spec: WindowSpec, part: Phase, epilogue: Epilogue, tid: V, live: V) -> None:
    """Columns that see no element: zeros."""
    epilogue.prepare(fn)
    count = prod(spec.batch) * spec.m
    low, high = (ix.div(fn, ix.mul(fn, ix.add(fn, tid, n), count), live) for n in (0, 1))

    def row(flat: V) -> None:
        at = ix.div(fn, flat, spec.m)
        index = unflatten(fn, at, spec, tuple(range(len(spec.batch))))
        order = [index[n] for n in range(len(spec.batch))]
        for_range(fn, i64(0), i64(prod(part.sizes)), 1, lambda col: epilogue(
            fn, order, ix.rem(fn, flat, spec.m), col, const(0.0, spec.dtype), None))

    for_range(fn, low, high, 1, row)


def begin(fn: Fn, tid: V, nthreads: V, most: int) -> V:
    """Threads beyond `most` have nothing to do; how many take part."""
    live = ix.minimum(fn, nthreads, most)
    fn.cond_br(fn.compare("icmp", "slt", tid, live), "work", "done")
    fn.label("work")
    return live if most > 1 else i64(1)

"""Products over windows of an image (convolutions and their gradients), packed straight from the image.

`window_spec` says what one is in numbers; `window_columns` and `window_terms` compute it, by whether pixels are columns
or terms of the product. The order of sums depends on the shape only.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import CLAIM_FLOPS, share
from pullback.codegen.llvm.kernels import PARAMS, Slots
from pullback.codegen.llvm.matmul import load_pointer
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_plan import FLOPS_PER_THREAD, PARALLEL_FLOPS
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64
from pullback.codegen.llvm.window_amx import OnUnit, plan_on_unit
from pullback.codegen.llvm.window_bands import BandsEpilogue
from pullback.codegen.llvm.window_columns import (
    COUNTERS,
    ColumnPlan,
    emit_columns,
    packs_together,
    plan_columns,
    unflatten,
)
from pullback.codegen.llvm.window_dots import DotPlan, emit_pixel_dots, plan_dots
from pullback.codegen.llvm.window_images import ImagesEpilogue, Together, together
from pullback.codegen.llvm.window_phases import Phase, PhaseEpilogue, phases
from pullback.codegen.llvm.window_planes import PlanesOnUnit, plan_planes
from pullback.codegen.llvm.window_spec import WindowSpec, spec_of
from pullback.codegen.llvm.window_terms import emit_terms, plan_terms
from pullback.codegen.llvm.window_terms_amx import OnUnit as TermsOnUnit
from pullback.codegen.llvm.window_terms_amx import plan_on_unit as terms_on_unit
from pullback.kernel.nodes import WindowNest

__all__ = ["emit_window_product", "spec_of"]


class WindowKernel(NamedTuple):
    """Threads that pay, and bytes of workspace for all of them."""

    max_threads: int
    workspace_bytes: int


class Job(NamedTuple):
    """What is emitted: the function and where its operands' addresses stand in its table."""

    module: Module
    fn: Fn
    name: str
    spec: WindowSpec
    table: Slots
    a_slot: int
    b_slot: int
    epilogue: Epilogue
    target: Target
    most: int  # threads

    def begin(self, used: int, *areas: int) -> tuple[V, list[V]]:
        """How many threads take part, and the addresses of A, B and the areas."""
        args, tid, nthreads = self.fn.params
        live = ix.minimum(self.fn, nthreads, used)
        self.fn.cond_br(self.fn.compare("icmp", "slt", tid, live), "work", "done")
        self.fn.label("work")
        found = [load_pointer(self.fn, args, n) for n in (self.a_slot, self.b_slot, *areas)]
        return live if used > 1 else i64(1), found

    def own(self, area: V, nbytes: int) -> V:
        """This thread's part of an area."""
        return self.fn.gep(area, ix.mul(self.fn, self.fn.params[1], nbytes), "i8")


def emit_window_product(module: Module, name: str, spec: WindowSpec, table: Slots, nest: WindowNest,
                        epilogue: Epilogue, target: Target, threads: int) -> WindowKernel:
    """Emit `void name(ptr args, i64 tid, i64 nthreads)`."""
    if min(spec.m, spec.n, spec.k, *spec.batch, 1) < 1:
        raise ValueError(f"sizes must be positive: {spec}")
    most = min(threads, max(1, spec.flops // FLOPS_PER_THREAD)) if spec.flops >= PARALLEL_FLOPS else 1
    fn = module.function(name, PARAMS)
    job = Job(module, fn, name, spec, table, table.of(nest.a, spec.a_offset), table.of(nest.b), epilogue, target, most)
    dots = plan_dots(spec, target) if spec.by_terms else None
    if dots is not None:
        made = by_dots(job, dots)
    else:
        made = by_terms(job, threads) if spec.by_terms else by_columns(job)
    fn.br("done")
    fn.label("done")
    fn.ret()
    return made


def by_dots(job: Job, plan: DotPlan) -> WindowKernel:
    used = min(job.most, prod(job.spec.batch))
    total = plan.thread_bytes * used
    live, (a, b, area) = job.begin(used, job.table.area(total))
    emit_pixel_dots(job.module, job.fn, job.name, job.spec, plan, job.epilogue, job.target, a, b,
                    job.own(area, plan.thread_bytes), job.fn.params[1], live)
    return WindowKernel(used, total)


def by_terms(job: Job, threads: int) -> WindowKernel:
    on_unit = terms_on_unit(job.spec, job.target, threads)
    plan = on_unit or plan_terms(job.spec, job.target, threads)
    units = {"batch": prod(job.spec.batch), "panels": plan.panels, "rows": -(-job.spec.n // plan.tall)}
    used = min(job.most, units[plan.split])
    own, shared = plan.thread_bytes * used, plan.scratch_bytes * (used if plan.split == "batch" else 1)
    live, (a, b, area, sums) = job.begin(used, job.table.area(own), job.table.area(shared))
    if plan.split == "batch":
        sums = job.own(sums, plan.scratch_bytes)
    emit_terms(job.module, job.fn, job.name, job.spec, plan, job.epilogue, job.target, a, b,
               job.own(area, plan.thread_bytes), sums, job.fn.params[1], live, TermsOnUnit if on_unit else None)
    return WindowKernel(used, own + shared)


class ColumnPart(NamedTuple):
    """A phase's product, how it is computed, whether its pieces are claimed, and whose images it sees side by side, or
    in bands."""

    spec: WindowSpec
    plan: ColumnPlan
    claimed: bool
    images: Together
    bands: int

    @property
    def common_bytes(self) -> int:
        """Of the copy of A that all threads make together."""
        return self.plan.a_bytes if self.claimed and packs_together(self.spec, self.plan) else 0

    @property
    def thread_bytes(self) -> int:
        return self.plan.thread_bytes + self.plan.a_bytes - self.common_bytes


def by_columns(job: Job) -> WindowKernel:
    """One product, or one for each phase of the columns."""
    spec, fn = job.spec, job.fn
    whole = Phase(spec, spec.cols, (0,) * len(spec.cols), (1,) * len(spec.cols), 0)
    all_phases = phases(spec) or [whole]
    images = {n: together(phase.spec, job.target) for n, phase in enumerate(all_phases) if phase.spec is not None}
    parts = {n: plan_part(some, job.target) for n, some in images.items()}
    used = min(job.most, max((shares(part.spec, part.plan) for part in parts.values()), default=1))
    parts = {n: part._replace(claimed=used > 1 and part.spec.flops >= CLAIM_FLOPS) for n, part in parts.items()}
    each = max((part.thread_bytes for part in parts.values()), default=0)
    common = sum(part.common_bytes for part in parts.values())
    live, (a, b, own, panels) = job.begin(used, job.table.area(each * used), job.table.area(common))
    own = job.own(own, each)
    for n, phase in enumerate(all_phases):
        epilogue = PhaseEpilogue(job.epilogue, phase, spec.cols) if len(all_phases) > 1 else job.epilogue
        if n not in parts:
            emit_nothing(fn, spec, phase, epilogue, fn.params[1], live)
            continue
        emit_part(job, parts[n], f"{job.name}.{n}" if n else job.name, epilogue,
                  ix.offset(fn, a, i64(phase.shift), spec.dtype), b, own, panels, live)
        panels = ix.offset(fn, panels, i64(parts[n].common_bytes), "i8")
    return WindowKernel(used, each * used + common)


def plan_part(images: Together, target: Target) -> ColumnPart:
    """How a product is computed; its pieces are not claimed yet."""
    planes = plan_planes(images.spec, target)
    if planes is not None:
        return ColumnPart(planes.bands.spec, planes.plan, False, images, planes.bands.many)
    spec = images.spec
    return ColumnPart(spec, plan_on_unit(spec, target) or plan_columns(spec, target), False, images, 1)


def emit_part(job: Job, part: ColumnPart, name: str, epilogue: Epilogue, a: V, b: V, own: V, panels: V,
              live: V) -> None:
    """The product of a phase; A is copied to this thread's memory or to that of all."""
    fn, plan = job.fn, part.plan
    epilogue = ImagesEpilogue(epilogue, part.images) if part.images.many > 1 else epilogue
    epilogue = BandsEpilogue(epilogue, part.spec.n) if part.bands > 1 else epilogue
    claims = job.table.counters(COUNTERS) if part.claimed else None
    workspace = own
    if not part.common_bytes:
        panels, workspace = own, ix.offset(fn, own, i64(plan.a_bytes), "i8")
    emit_columns(job.module, fn, name, part.spec, plan, epilogue, job.target, a, b, panels, workspace, live, claims,
                 (PlanesOnUnit if plan.apart else OnUnit) if plan.on_unit else None)


def shares(spec: WindowSpec, plan: ColumnPlan) -> int:
    """How many threads can take part."""
    groups = prod(spec.batch[k] for k in plan.groups)
    return max(prod(spec.batch[k] for k in plan.images) * plan.tiles, groups if groups >= 8 else 1)


def emit_nothing(fn: Fn, spec: WindowSpec, part: Phase, epilogue: Epilogue, tid: V, live: V) -> None:
    """Columns that see no element: zeros."""
    epilogue.prepare(fn)
    count = prod(spec.batch) * spec.m
    low, high = share(fn, count, tid, live)

    def row(flat: V) -> None:
        at = ix.div(fn, flat, spec.m)
        index = unflatten(fn, at, spec, tuple(range(len(spec.batch))))
        order = [index[n] for n in range(len(spec.batch))]
        for_range(fn, i64(0), i64(prod(part.sizes)), 1, lambda col: epilogue(
            fn, order, ix.rem(fn, flat, spec.m), col, const(0.0, spec.dtype), None))

    for_range(fn, low, high, 1, row)

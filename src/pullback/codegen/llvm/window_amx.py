"""Products over windows whose pixels are the columns, on AMX: panels of windows in float32, as vectors would read them,
are turned into panels of bfloat16 parts, four at a time; then all rows of A pass over them.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.amx_pack import Form, Source, pack
from pullback.codegen.llvm.amx_sums import SUM_BYTES, Later, Partial, Sum, Tile, emit_tile, finish
from pullback.codegen.llvm.claims import CLAIM_FLOPS
from pullback.codegen.llvm.matmul_amx import GAIN, UNIT, VECTORS
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_plan import Chunk, round_up
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import V, i64
from pullback.codegen.llvm.window_columns import ColumnPlan, Columns, ImageRun, plan_columns
from pullback.codegen.llvm.window_spec import WindowSpec, merged

GROUP = 4  # column tiles whose panels are made together
SCRATCH_BYTES = 1 << 20
#: nanoseconds of a core: for a number of a panel, where vectors would make one too and where they would not, for one of
#: A, and for a partial sum
WINDOWS, IN_PLACE, ROWS, PARTIAL = 0.2, 0.35, 0.7, 0.25
TILE = amx.SIDE, amx.SIDE // amx.STRIP  # rows, and vectors of each
K_BYTES = 2304  # of one column in a block of terms: 64 channels of 3x3


def plan_on_unit(spec: WindowSpec, target: Target) -> ColumnPlan | None:
    """How a product by columns is computed on the matrix unit; None where vectors do it."""
    if not target.amx or spec.dtype != "float" or spec.flops < CLAIM_FLOPS:
        return None
    grouped = any(c and n > 1 for c, n in zip(spec.a_batch, spec.batch, strict=True))
    if grouped or spec.m % amx.SIDE or spec.n < amx.SIDE:
        return None
    plan = plan_columns(spec, target, TILE, K_BYTES)
    if plan.direct or cost(spec, plan) >= GAIN * VECTORS * spec.flops / 1000:
        return None
    nc_tiles = max(2 * GROUP, SCRATCH_BYTES // (2 * spec.m // amx.SIDE * SUM_BYTES) // GROUP * GROUP)
    nc_tiles = plan.tiles * prod(spec.batch[k] for k in plan.images) if plan.kc >= spec.k else nc_tiles
    return replace(plan, on_unit=True, pack_a=True, plain=not plan.pack_a, nc_tiles=nc_tiles,
                   a_bytes=blocks(spec, plan) * a_block(spec, plan),
                   b_bytes=plan.b_bytes + GROUP * panel_bytes(spec, plan) + rows_bytes(spec, plan),
                   scratch_bytes=2 * half_bytes(spec, nc_tiles) if plan.kc < spec.k else 0)


def cost(spec: WindowSpec, plan: ColumnPlan) -> float:
    """Nanoseconds of one core."""
    images = prod(spec.batch)
    depth = blocks(spec, plan) * panel_bytes(spec, plan) // amx.block_bytes(spec.parts) * amx.DEPTH
    columns = images * plan.tiles * amx.SIDE
    windows = WINDOWS if plan.box.copied else IN_PLACE
    return (2 * spec.m * columns * depth * UNIT[spec.parts] / 1000 + columns * depth * windows + spec.m * depth * ROWS
            + spec.m * columns * blocks(spec, plan) * PARTIAL)


def blocks(spec: WindowSpec, plan: ColumnPlan) -> int:
    return -(-spec.k // plan.kc)


def panel_bytes(spec: WindowSpec, plan: ColumnPlan) -> int:
    """Of a panel of a block of terms."""
    return -(-plan.kc // amx.DEPTH) * amx.block_bytes(spec.parts)


def a_block(spec: WindowSpec, plan: ColumnPlan) -> int:
    """Bytes of all rows of a block of terms."""
    return spec.m // amx.SIDE * panel_bytes(spec, plan)


def rows_bytes(spec: WindowSpec, plan: ColumnPlan) -> int:
    """Of a block of A in float32."""
    return round_up(spec.m * plan.kc * 4 + 128)


def half_bytes(spec: WindowSpec, nc_tiles: int) -> int:
    return spec.m // amx.SIDE * nc_tiles * SUM_BYTES


class OnUnit:
    """The parts of the loops that differ from those by vectors."""

    def __init__(self, loops: Columns, columns: int | None = None) -> None:
        """`columns`: bytes for a thread's columns."""
        self.loops, plan = loops, loops.plan
        fn, spec = loops.fn, loops.spec
        columns = GROUP * panel_bytes(spec, plan) if columns is None else columns
        behind = columns + rows_bytes(spec, plan)
        self.panels = ix.offset(fn, loops.panel, i64(plan.b_bytes - behind), "i8")
        self.rows = ix.offset(fn, self.panels, i64(columns), "i8")
        self.out = fn.alloca("float", amx.SIDE * amx.SIDE)

    def begin(self) -> None:
        amx.configure(self.loops.fn)

    def end(self) -> None:
        amx.release(self.loops.fn)

    def pack_rows(self, k: V, kcount: V) -> None:
        """All rows of A for a block of terms: as they lie where terms are a run, else by way of panels of float32."""
        loops = self.loops
        fn, spec, plan = loops.fn, loops.spec, loops.plan
        number = ix.div(fn, k, plan.kc)
        target = ix.offset(fn, loops.a_panels, ix.mul(fn, number, a_block(spec, plan)), "i8")
        if not plan.plain:
            loops.copy_rows(k, kcount, self.rows)

        def one(i: V) -> None:
            place = ix.offset(fn, target, ix.mul(fn, i, panel_bytes(spec, plan)), "i8")
            if plan.plain:
                source = Source(True, merged(spec.rows, spec.a_rows)[0][1])
                pack(fn, Form(spec.parts), True, source, ix.offset(fn, loops.a, k, "float"), place, i, ix.add(fn, i, 1),
                     spec.m, kcount)
                return
            rows = ix.offset(fn, self.rows, ix.mul(fn, ix.mul(fn, i, amx.SIDE), kcount), "float")
            pack(fn, Form(spec.parts), True, Source(False, amx.SIDE), rows, place, i64(0), i64(1), amx.SIDE, kcount)

        for_range(fn, i64(0), i64(spec.m // amx.SIDE), 1, one)

    def image(self, run: ImageRun) -> None:
        """What is done once for a box: nothing."""

    def tiles(self, first: V, last: V, cut: tuple[Chunk, ...], run: ImageRun) -> None:
        """Some tiles of columns of one image."""
        fn = self.loops.fn
        later = Later(fn, self.loops.epilogue, run.order, self.out,
                      lambda fn, out, results, first: finish(fn, out, results, first, cut))

        def group(t: V) -> None:
            stop = ix.minimum(fn, ix.add(fn, t, GROUP), last)
            for_range(fn, t, stop, 1, lambda j: self.make_panel(j, ix.sub(fn, j, t), run))
            for_range(fn, i64(0), i64(self.loops.spec.m // amx.SIDE), 1, lambda i: for_range(
                fn, t, stop, 1, lambda j: self.tile(i, j, self.columns(j, ix.sub(fn, j, t), run), run, later)))

        later.begin()
        for_range(fn, first, last, GROUP, group)
        later.end()

    def panel(self, local: V) -> V:
        loops = self.loops
        return ix.offset(loops.fn, self.panels, ix.mul(loops.fn, local, panel_bytes(loops.spec, loops.plan)), "i8")

    def columns(self, tile: V, local: V, run: ImageRun) -> amx.Columns:
        """Where a tile's columns are."""
        return amx.Panel(self.panel(local))

    def make_panel(self, tile: V, local: V, run: ImageRun) -> None:
        loops = self.loops
        fn, plan, form = loops.fn, loops.plan, Form(loops.spec.parts)
        loops.copy_windows(ix.mul(fn, tile, plan.cols), run)
        pack(fn, form, False, Source(False, plan.width), loops.panel, self.panel(local), i64(0), i64(1), amx.SIDE,
             run.kcount)

    def tile(self, i: V, tile: V, b: amx.Columns, run: ImageRun, later: Later) -> None:
        """32 x 32 results over a block of terms."""
        loops = self.loops
        fn, spec, plan = loops.fn, loops.spec, loops.plan
        number = ix.div(fn, run.k, plan.kc)
        at = ix.add(fn, ix.mul(fn, number, spec.m // amx.SIDE), i)
        a = ix.offset(fn, loops.a_panels, ix.mul(fn, at, panel_bytes(spec, plan)), "i8")
        count = ix.div(fn, ix.add(fn, run.kcount, amx.DEPTH - 1), amx.DEPTH)
        partial = None
        if plan.kc < spec.k:
            place = ix.add(fn, ix.mul(fn, ix.add(fn, run.origin, tile), spec.m // amx.SIDE), i)
            end = fn.compare("icmp", "sge", ix.add(fn, run.k, plan.kc), i64(spec.k))
            partial = Partial(loops.scratch, half_bytes(spec, plan.nc_tiles), place, number, end)
        results = Tile(ix.mul(fn, i, amx.SIDE), i64(amx.SIDE), ix.mul(fn, tile, plan.cols))
        emit_tile(fn, Sum(spec.parts, a, b, count), partial, results, later)

"""Products over windows whose pixels are the columns, on AMX, from images in pairs of channels: a plane of the parts of
channels c and c + 16, pixel by pixel, for each pair of a block of 32 channels.

Terms are taken by blocks of channels, then by places of the window, then by channels. Then the lines of a tile are 16
neighbouring pixels of 16 planes, whichever place of the window it is: nothing is copied for each place.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import NamedTuple

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.amx_pack import FLOATS, Form, Packer, below
from pullback.codegen.llvm.amx_sums import SUM_BYTES
from pullback.codegen.llvm.claims import CLAIM_FLOPS
from pullback.codegen.llvm.kernels import constant_table
from pullback.codegen.llvm.matmul_amx import GAIN, UNIT, VECTORS
from pullback.codegen.llvm.matmul_pack import masked_load
from pullback.codegen.llvm.matmul_plan import chunks, round_up
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Module, V, i64
from pullback.codegen.llvm.window_amx import (
    GROUP,
    PARTIAL,
    ROWS,
    SCRATCH_BYTES,
    TILE,
    OnUnit,
    a_block,
    blocks,
    half_bytes,
    rows_bytes,
)
from pullback.codegen.llvm.window_bands import Bands, in_bands
from pullback.codegen.llvm.window_columns import (
    PIECES,
    ColumnPlan,
    Columns,
    ImageRun,
    first_dimension,
    phases_of,
    plan_columns,
    position,
)
from pullback.codegen.llvm.window_spec import WindowSpec, box_of, merged

PLANES = 0.6  # nanoseconds of a core for a number of a box
BLOCK_BYTES = 1536 << 10  # of the box and the planes of a block of terms
MANY_IMAGES = 16  # or bands: threads share them out whole, and else each makes all planes of its pieces
PARAMS = [("ptr noalias", "src"), ("ptr noalias", "dst"), ("i64", "blocks"), ("i64", "elements"), ("i64", "apart")]


class Planned(NamedTuple):
    """A product in bands of images, its terms by blocks of channels, and how it is computed."""

    bands: Bands
    plan: ColumnPlan


def plan_planes(spec: WindowSpec, target: Target) -> Planned | None:
    """How a product is computed from planes; None where it is not."""
    if not target.amx or spec.dtype != "float" or spec.flops < CLAIM_FLOPS or spec.m % amx.SIDE:
        return None
    if any(c and n > 1 for c, n in zip(spec.a_batch, spec.batch, strict=True)):
        return None
    channel, inner = first_dimension(spec)
    if channel < 0 or inner == 1 or spec.terms[0] % amx.DEPTH:
        return None
    paired = by_pairs(spec)
    found: dict[float, Planned] = {}
    for count in range(1, spec.cols[0] + 1):
        if spec.cols[0] % count == 0 and (count == 1 or spec.n // count % amx.SIDE == 0):
            bands = in_bands(paired, count)
            plan = with_box(bands.spec, channel, plan_columns(in_bands(spec, count).spec, target, TILE))
            if plan is not None:
                found.setdefault(cost(bands.spec, plan), Planned(bands, plan))
    if not found or min(found) >= GAIN * VECTORS * spec.flops / 1000:
        return None
    bands, plan = found[min(found)]
    return Planned(bands, completed(bands.spec, plan))


def completed(spec: WindowSpec, plan: ColumnPlan) -> ColumnPlan:
    """With what is needed of memory."""
    images = prod(spec.batch[k] for k in plan.images)
    nc_tiles = max(2 * GROUP, SCRATCH_BYTES // (2 * spec.m // amx.SIDE * SUM_BYTES) // GROUP * GROUP)
    nc_tiles = plan.tiles * images if plan.kc >= spec.k else nc_tiles
    return replace(
        plan, nc_tiles=nc_tiles, a_bytes=blocks(spec, plan) * a_block(spec, plan),
        b_bytes=planes_bytes(spec, plan) + rows_bytes(spec, plan),
        scratch_bytes=2 * half_bytes(spec, nc_tiles) if plan.kc < spec.k else 0, pieces=pieces(spec, plan))


def pieces(spec: WindowSpec, plan: ColumnPlan) -> int:
    """Of an image or band."""
    return 1 if prod(spec.batch[k] for k in plan.images) >= MANY_IMAGES else min(PIECES, plan.tiles)


def by_pairs(spec: WindowSpec) -> WindowSpec:
    """The same sums with the channels of a block last among the terms."""
    def split(steps: tuple[int, ...]) -> tuple[int, ...]:
        return steps[0] * amx.DEPTH, *steps[1:], steps[0]

    terms = spec.terms[0] // amx.DEPTH, *spec.terms[1:], amx.DEPTH
    dims = tuple(replace(dim, terms=split(dim.terms)) for dim in spec.dims)
    return replace(spec, terms=terms, a_terms=split(spec.a_terms), dims=dims)


def with_box(spec: WindowSpec, channel: int, plan: ColumnPlan) -> ColumnPlan | None:
    """A plan with as many blocks of channels as are near together; None where pixels are not neighbours."""
    unit, count = prod(spec.terms[1:]), spec.terms[0]

    def box(blocks: int) -> ColumnPlan:
        found = box_of(spec, (blocks, *spec.terms[1:]), channel, phases_of(spec))
        lines = -(-found.edges[channel].stride // amx.STRIP)
        lines += 1 - lines % 2  # an odd number of lines: neighbouring planes are not at the same place of the cache
        return replace(plan, kc=blocks * unit, box=found, apart=lines * 64)

    one = box(1)
    size, step = merged(spec.cols, one.box.columns)[-1]
    if step != 1 or size % amx.STRIP:
        return None
    most = BLOCK_BYTES // (planes_bytes(spec, one) + one.box.elements * 4)
    if not most:
        return None
    found = box(-(-count // -(-count // min(most, count))))
    cols = amx.SIDE
    return replace(
        found, full=chunks(cols, plan.lanes, True), edge=chunks(spec.n % cols, plan.lanes, True), cols=cols,
        direct=False, tiles=-(-spec.n // cols), box_bytes=round_up(found.box.elements * 4 + 64), on_unit=True,
        pack_a=True, plain=False)


def planes_bytes(spec: WindowSpec, plan: ColumnPlan) -> int:
    """Of a block of terms."""
    return plan.kc // prod(spec.terms[1:]) * spec.parts * amx.STRIP * plan.apart


def cost(spec: WindowSpec, plan: ColumnPlan) -> float:
    """Nanoseconds of one core."""
    images = prod(spec.batch)
    columns = images * plan.tiles * amx.SIDE
    boxes = images * pieces(spec, plan) * spec.terms[0] * amx.STRIP * plan.apart / 2
    return (2 * spec.m * columns * spec.k * UNIT[spec.parts] / 1000 + boxes * PLANES + spec.m * spec.k * ROWS
            + spec.m * columns * blocks(spec, plan) * PARTIAL)


class PlanesOnUnit(OnUnit):
    """Tiles that are loaded from the planes of a box."""

    def __init__(self, loops: Columns) -> None:
        spec, plan = loops.spec, loops.plan
        super().__init__(loops, planes_bytes(spec, plan))
        places = plan.box.offsets(spec, (1, *spec.terms[1:-1], 1))
        block = spec.parts * amx.STRIP * plan.apart
        self.offsets = constant_table(loops.fn.module, [
            n * block + 4 * place for n in range(plan.kc // prod(spec.terms[1:])) for place in places])

    def image(self, run: ImageRun) -> None:
        """The planes of a box."""
        loops = self.loops
        fn, spec, plan = loops.fn, loops.spec, loops.plan
        name = f"amx_planes_{spec.parts}"
        if amx.is_new(fn.module, name):
            PlanePacker(fn.module, name, spec.parts).emit()
        count = ix.div(fn, run.kcount, prod(spec.terms[1:]))
        elements = i64(plan.box.edges[plan.box.first].stride)
        fn.call(name, "void", run.base, self.panels, count, elements, i64(plan.apart), declare=False)

    def make_panel(self, tile: V, local: V, run: ImageRun) -> None:
        """None is needed."""

    def columns(self, tile: V, local: V, run: ImageRun) -> amx.Columns:
        loops = self.loops
        fn, spec, plan = loops.fn, loops.spec, loops.plan
        steps = merged(spec.cols, plan.box.columns)

        def strip(n: int) -> V:
            col = ix.minimum(fn, ix.add(fn, ix.mul(fn, tile, plan.cols), n), spec.n - amx.STRIP)
            return ix.offset(fn, self.panels, position(fn, col, steps), "i32")

        return amx.Planes((strip(0), strip(amx.STRIP)), self.offsets, i64(amx.STRIP * plan.apart), i64(plan.apart))


class PlanePacker(Packer):
    """`void name(src, dst, blocks, elements, apart)`: the planes of so many blocks of 32 channels, each of so many
    elements; planes are `apart` bytes from one another."""

    def __init__(self, module: Module, name: str, parts: int) -> None:
        self.start(module.function(name, PARAMS, attributes="#1", linkage="internal"), Form(parts), False)

    def emit(self) -> None:
        fn = self.fn
        src, dst, count, elements, apart = fn.params
        part = fn.mul(apart, i64(amx.STRIP))
        half = fn.mul(elements, i64(amx.STRIP))
        block = fn.begin_loop(i64(0), count, i64(1), [src, dst])
        plane = fn.begin_loop(i64(0), i64(amx.STRIP), i64(1), block.carried)
        low, to = plane.carried
        high = fn.gep(low, half, "float")
        at = fn.begin_loop(i64(0), elements, i64(amx.STRIP))
        mask = below(fn, fn.binary("sub", elements, at.counter))
        x, y = (masked_load(fn, fn.gep(p, at.counter, "float"), FLOATS, 4, mask) for p in (low, high))
        self.line(fn.gep(to, at.counter, "i32"), x, y, part)
        fn.end_loop(at)
        fn.end_loop(plane, [fn.gep(low, elements, "float"), fn.gep(to, apart, "i8")])
        start, first = block.carried
        size = fn.mul(part, i64(self.form.parts))
        fn.end_loop(block, [fn.gep(start, fn.mul(half, i64(2)), "float"), fn.gep(first, size, "i8")])
        fn.ret()


__all__ = ["PlanesOnUnit", "plan_planes"]

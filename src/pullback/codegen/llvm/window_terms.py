"""Products over windows whose pixels are the terms: gradients of weights.

C^T is computed: rows are the window's columns, read one number at a time straight from the box (its offsets are
constants), columns are A's rows, copied into panels. For each block of pixels: copy the box and the panels, then all
tiles, whose sums wait in memory for the next block. At last the sums are turned over and handed to the epilogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.kernels import constant_table
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import PackShape, emit_pack, zero
from pullback.codegen.llvm.matmul_plan import Chunk, chunks, pack_lanes, register_tile, round_up, tall_rows
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.matmul_tile import multiply_add
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, vector
from pullback.codegen.llvm.window_box import emit_box, moves, zero_box
from pullback.codegen.llvm.window_columns import along, cut_rows, unflatten
from pullback.codegen.llvm.window_spec import Box, WindowSpec, box_of, image_itself, inside, merged, sums, within

K_BYTES = 2048
NEAR_BYTES = 16 << 10  # of sums that are turned over together: a line of them is read once for each of its rows


@dataclass(frozen=True)
class TermPlan:
    """How a product by terms is computed: blocks of `block` places of dimension `at` of the terms and all after it."""

    lanes: int
    tall: int
    full: tuple[Chunk, ...]
    edge: tuple[Chunk, ...]
    at: int
    block: int
    box: Box
    split: str  # what threads share: "batch", "panels" or "rows"
    panels: int
    panel_bytes: int
    box_bytes: int
    scratch_bytes: int
    unit_bytes: int = 0  # of a thread's panels where AMX computes it

    @property
    def cols(self) -> int:
        return sum(chunk.valid for chunk in self.full)

    @property
    def width(self) -> int:
        return round_up(sum(chunk.width for chunk in self.full), 8)

    @property
    def thread_bytes(self) -> int:
        return self.panel_bytes + self.box_bytes + self.unit_bytes


def plan_terms(spec: WindowSpec, target: Target, threads: int, tile: tuple[int, int] | None = None,
               k_bytes: int = K_BYTES) -> TermPlan:
    """The plan for vectors; or for tiles of so many rows and vectors, and so many bytes of a column in a block."""
    lanes = target.lanes(spec.dtype)
    rows, vectors = tile or register_tile(spec.n, spec.m, lanes, target)
    width = min(lanes * vectors, spec.m)
    full = chunks(width, lanes, target.masked_memory)
    edge = chunks(spec.m % width, lanes, target.masked_memory)
    most = k_bytes // spec.size
    at = len(spec.terms) - 1
    while at and prod(spec.terms[at:]) <= most:
        at -= 1
    inner = prod(spec.terms[at + 1:])
    block = max(1, min(spec.terms[at], most // inner))
    block = -(-spec.terms[at] // -(-spec.terms[at] // block))
    box = image_itself(spec)
    if not inside(spec):
        box = box_of(spec, (*(1,) * at, block, *spec.terms[at + 1:]), -1, 1)
    panels, tiles = -(-spec.m // width), -(-spec.n // rows)
    split = "batch" if prod(spec.batch) >= 8 else "rows" if panels % threads and panels < 4 * threads else "panels"
    if tiles < threads <= panels:
        split = "panels"
    step = round_up(sum(chunk.width for chunk in full), 8)
    return TermPlan(lanes, tall_rows(spec.n, rows), full, edge, at, block, box, split, panels,
                    round_up(panels * step * block * inner * spec.size + 128), round_up(box.elements * spec.size + 64),
                    round_up(panels * step * spec.n * spec.size))


@dataclass
class Terms:
    """What the loops share."""

    fn: Fn
    name: str
    spec: WindowSpec
    plan: TermPlan
    epilogue: Epilogue
    fma: bool
    a: V
    b: V
    panels: V
    box: V
    scratch: V
    offsets: V
    pixels: V
    unit: Unit | None = None


class Unit(Protocol):
    """What computes the tiles instead of vectors."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def tiles(self, base: V, tiles: tuple[V, V], kcount: V, number: V, last: V, order: list[V]) -> None: ...


def emit_terms(module: Module, fn: Fn, name: str, spec: WindowSpec, plan: TermPlan, epilogue: Epilogue, target: Target,
               a: V, b: V, workspace: V, scratch: V, tid: V, live: V,
               unit: Callable[[Terms], Unit] | None = None) -> None:
    """The body of a kernel by terms; `scratch` is the threads' together, or this one's where they share the batch."""
    inner = (*(1,) * plan.at, plan.block, *spec.terms[plan.at + 1:])
    places = plan.box.offsets(spec, inner)
    pixels = constant_table(module, [p - places[0] for p in places])
    box = ix.offset(fn, workspace, i64(plan.panel_bytes), "i8")
    loops = Terms(fn, name, spec, plan, epilogue, target.fma, a, b, workspace, box, scratch,
                  constant_table(module, sums(places[0], plan.box.columns, spec.cols)), pixels)
    moving = moving_dims(spec, plan)
    if plan.box.copied:
        if not moves(spec, plan.box, moving):
            zero_box(fn, box, spec, plan.box, plan.lanes)
        emit_box(module, f"{name}.box", spec, plan.box, moving, target)
    emit_panels(module, loops, target)
    epilogue.prepare(fn)
    batch = prod(spec.batch)
    panels, tiles = (i64(0), i64(plan.panels)), (i64(0), i64(-(-spec.n // plan.tall)))
    batches = i64(0), i64(batch)

    if plan.split == "batch":
        batches = share(fn, batch, tid, live)
    elif plan.split == "panels":
        panels = share(fn, plan.panels, tid, live)
    else:
        tiles = share(fn, -(-spec.n // plan.tall), tid, live)
    loops.unit = unit(loops) if unit is not None else None
    if loops.unit is not None:
        loops.unit.begin()
    for_range(fn, *batches, 1, lambda flat: one_batch(loops, flat, panels, tiles))
    if loops.unit is not None:
        loops.unit.end()


def moving_dims(spec: WindowSpec, plan: TermPlan) -> set[int]:
    """Dimensions that the batch or a block moves to where they may leave the image."""
    found: set[int] = set()
    for d, dim in enumerate(spec.dims):
        blocks = any(c and n > 1 for c, n in zip(dim.terms[:plan.at], spec.terms, strict=False))
        blocks = blocks or (dim.terms[plan.at] != 0 and plan.block < spec.terms[plan.at])
        if (blocks or any(dim.batch)) and not within(dim, spec):
            found.add(d)
    return found


def one_batch(loops: Terms, flat: V, panels: tuple[V, V], tiles: tuple[V, V]) -> None:
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    index = unflatten(fn, flat, spec, tuple(range(len(spec.batch))))
    blocks = -(-spec.terms[plan.at] // plan.block)
    outer = spec.terms[:plan.at]
    inner = prod(spec.terms[plan.at + 1:])

    def block(number: V) -> None:
        outside, within = ix.div(fn, number, blocks), ix.rem(fn, number, blocks)
        start = ix.mul(fn, within, plan.block)
        count = ix.minimum(fn, ix.sub(fn, i64(spec.terms[plan.at]), start), plan.block)
        places = [*outer_digits(fn, outside, outer), start]
        a_at = along(fn, index, spec.a_batch)
        for at, step in zip(places, spec.a_terms, strict=False):
            a_at = ix.add(fn, a_at, ix.mul(fn, at, step))
        shifts: list[V] = []
        for dim in spec.dims:
            shift = along(fn, index, dim.batch)
            for at, step in zip(places, dim.terms, strict=False):
                shift = ix.add(fn, shift, ix.mul(fn, at, step))
            shifts.append(shift)
        base = loops.b
        if plan.box.copied:
            base = loops.box
            fn.call(f"{loops.name}.box", "void", loops.b, base, *shifts, i64(0), i64(1), declare=False)
        else:
            for shift, dim, edge in zip(shifts, spec.dims, plan.box.edges, strict=True):
                base = ix.offset(fn, base, ix.mul(fn, ix.add(fn, shift, edge.low), dim.stride), spec.dtype)
        pack_panels(loops, ix.offset(fn, loops.a, a_at, spec.dtype), panels, count, inner)
        if loops.unit is not None:
            last = fn.compare("icmp", "eq", number, i64(prod(outer) * blocks - 1))
            loops.unit.tiles(base, tiles, ix.mul(fn, count, inner), number, last, order)
            return
        first = fn.compare("icmp", "eq", number, i64(0)) if ix.literal(number) is None else V("true", "i1")
        block_tiles(loops, base, panels, tiles, ix.mul(fn, count, inner), first)

    order = [index[n] for n in range(len(spec.batch))]
    for_range(fn, i64(0), i64(prod(outer) * blocks), 1, block)
    if loops.unit is None:
        hand_over(loops, order, panels, tiles)


def outer_digits(fn: Fn, at: V, sizes: tuple[int, ...]) -> list[V]:
    found: list[V] = []
    for n, size in enumerate(reversed(sizes)):
        found.insert(0, ix.rem(fn, at, size) if n + 1 < len(sizes) else at)
        at = ix.div(fn, at, size)
    return found


def pack_panels(loops: Terms, source: V, panels: tuple[V, V], count: V, inner: int) -> None:
    """The panels of a block: in one go where its terms are one run, else place by place."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    run = len(merged(spec.terms[plan.at:], spec.a_terms[plan.at:])) == 1

    def one(panel: V) -> None:
        target = ix.offset(fn, loops.panels, ix.mul(fn, panel, plan.width * plan.block * inner), spec.dtype)
        col = ix.mul(fn, panel, plan.cols)
        step, single = i64(plan.width), i64(1)
        if run:
            depth = ix.mul(fn, count, inner)
            fn.call(f"{loops.name}.b", "void", source, target, col, depth, step, single, declare=False)
            return

        def place(i: V) -> None:
            begin = ix.offset(fn, source, ix.mul(fn, i, spec.a_terms[plan.at]), spec.dtype)
            to = ix.offset(fn, target, ix.mul(fn, i, inner * plan.width), spec.dtype)
            fn.call(f"{loops.name}.b", "void", begin, to, col, i64(inner), step, single, declare=False)

        for_range(fn, i64(0), count, 1, place)

    for_range(fn, *panels, 1, one)


def emit_panels(module: Module, loops: Terms, target: Target) -> None:
    spec, plan = loops.spec, loops.plan
    inner = prod(spec.terms[plan.at + 1:])
    sizes, steps = spec.terms[plan.at:], spec.a_terms[plan.at:]
    found = merged(sizes, steps)
    run = len(found) == 1
    blocks = -(-spec.terms[plan.at] // plan.block)
    least = (spec.terms[plan.at] - (blocks - 1) * plan.block) * inner if run else inner
    k_stride = found[-1][1]
    emit_pack(module, f"{loops.name}.b", PackShape(
        spec.dtype, spec.size, merged(spec.rows, spec.a_rows)[0][1], k_stride, spec.m,
        sum(chunk.width for chunk in plan.full), least, pack_lanes(plan.lanes, spec.size), target.masked_memory, False))


def row_of(fn: Fn, plan: TermPlan, n: int, tile: V) -> V:
    """The first row of a tile."""
    parts = cut_rows(n, plan.tall)
    if len(parts) == 1:
        return ix.mul(fn, tile, parts[0][0])
    (high, more), (low, _) = parts
    extra = ix.minimum(fn, tile, more)
    return ix.add(fn, ix.mul(fn, tile, low), ix.mul(fn, extra, high - low))


def block_tiles(loops: Terms, base: V, panels: tuple[V, V], tiles: tuple[V, V], kcount: V, first: V) -> None:
    """All tiles of a block: panel by panel, which stays in the first cache."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    depth = plan.block * prod(spec.terms[plan.at + 1:])

    def one(panel: V, cut: tuple[Chunk, ...]) -> None:
        b = ix.offset(fn, loops.panels, ix.mul(fn, panel, plan.width * depth), spec.dtype)
        begin = 0
        for height, count in cut_rows(spec.n, plan.tall):
            low, high = ix.maximum(fn, tiles[0], begin), ix.minimum(fn, tiles[1], begin + count)
            begin += count

            def tile(t: V, height: int = height) -> None:
                row = row_of(fn, plan, spec.n, t)
                at = ix.mul(fn, ix.add(fn, ix.mul(fn, panel, spec.n), row), plan.width)
                one_tile(loops, base, b, ix.offset(fn, loops.scratch, at, spec.dtype), row, height, cut, kcount, first)

            for_range(fn, low, high, 1, tile)

    whole = i64(spec.m // plan.cols)
    for_range(fn, panels[0], ix.minimum(fn, panels[1], whole), 1, lambda p: one(p, plan.full))
    if plan.edge:
        for_range(fn, ix.maximum(fn, panels[0], whole), panels[1], 1, lambda p: one(p, plan.edge))


def one_tile(loops: Terms, base: V, b: V, sums: V, row: V, height: int, cut: tuple[Chunk, ...], kcount: V,
             first: V) -> None:
    """`height` places of the window times a panel, added to what earlier blocks left."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    starts: list[V] = []
    for r in range(height):
        offset = fn.load(fn.gep(loops.offsets, ix.add(fn, row, r), "i32"), "i32", 4)
        starts.append(fn.gep(base, fn.cast("sext", offset, "i64"), spec.dtype))
    types = [vector(spec.dtype, chunk.width) for _ in range(height) for chunk in cut]
    loop = fn.begin_loop(i64(0), kcount, i64(1), [b, *(zero(t) for t in types)])
    panel, *acc = loop.carried
    place = fn.cast("sext", fn.load(fn.gep(loops.pixels, loop.counter, "i32"), "i32", 4), "i64")
    loaded = [fn.load(ix.offset(fn, panel, i64(chunk.col), spec.dtype), vector(spec.dtype, chunk.width), spec.size)
              for chunk in cut]
    result: list[V] = []
    for r, start in enumerate(starts):
        value = fn.load(fn.gep(start, place, spec.dtype), spec.dtype, spec.size)
        for c, chunk in enumerate(cut):
            result.append(multiply_add(fn, fn.splat(value, chunk.width), loaded[c], acc[r * len(cut) + c], loops.fma,
                                       spec.pairs))
    acc = fn.end_loop(loop, [fn.gep(panel, i64(plan.width), spec.dtype), *result], hot=True)[1:]
    for n, value in enumerate(acc):
        at = ix.offset(fn, sums, i64(n // len(cut) * plan.width + cut[n % len(cut)].col), spec.dtype)
        before = fn.load(at, value.type, spec.size)
        fn.store(fn.select(first, value, fn.binary("fadd", value, before)), at, spec.size)


def hand_over(loops: Terms, order: list[V], panels: tuple[V, V], tiles: tuple[V, V]) -> None:
    """The finished sums, turned over: vectors along the window's columns for each row of A."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    low, high = row_of(fn, plan, spec.n, tiles[0]), row_of(fn, plan, spec.n, tiles[1])
    whole = ix.add(fn, low, ix.mul(fn, ix.div(fn, ix.sub(fn, high, low), plan.lanes), plan.lanes))

    near = max(plan.lanes, NEAR_BYTES // (plan.width * spec.size) // plan.lanes * plan.lanes)

    def panel(p: V) -> None:
        first = ix.mul(fn, p, plan.cols)
        count = ix.minimum(fn, ix.sub(fn, i64(spec.m), first), plan.cols)

        def row(f: V, begin: V, end: V, step: int) -> None:
            at = ix.add(fn, ix.mul(fn, p, spec.n * plan.width), f)
            source = ix.offset(fn, loops.scratch, at, spec.dtype)

            def give(n: V) -> None:
                value = V("poison", vector(spec.dtype, step))
                for lane in range(step):
                    place = ix.mul(fn, ix.add(fn, n, lane), plan.width)
                    one = fn.load(ix.offset(fn, source, place, spec.dtype), spec.dtype, spec.size)
                    value = one if step == 1 else fn.insert(value, one, lane)
                loops.epilogue(fn, order, ix.add(fn, first, f), n, value, None)

            for_range(fn, begin, end, step, give)

        def block(begin: V, end: V, step: int) -> None:
            for_range(fn, i64(0), count, 1, lambda f: row(f, begin, end, step))

        for_range(fn, low, whole, near, lambda n: block(n, ix.minimum(fn, ix.add(fn, n, near), whole), plan.lanes))
        if not (ix.literal(low) == 0 and ix.literal(high) == spec.n and spec.n % plan.lanes == 0):
            block(whole, high, 1)

    for_range(fn, *panels, 1, panel)


__all__ = ["emit_terms", "plan_terms"]

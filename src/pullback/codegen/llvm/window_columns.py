"""Products over windows whose pixels are the columns: forward convolutions, and gradients of their inputs.

For each block of column tiles, each block of terms, each image: copy its box; for each tile of columns: copy a panel of
windows from the box, then all rows of A pass over it. Tiles never span images; threads share out tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import await_done, counter, for_claims, note_done, share
from pullback.codegen.llvm.kernels import constant_table
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import zero
from pullback.codegen.llvm.matmul_plan import Chunk, chunks, register_tile, round_up, tall_rows
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.matmul_tile import Partial, TileInput, deliver, emit_tile, multiply_add
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, vector
from pullback.codegen.llvm.window_box import emit_box, moves, zero_box
from pullback.codegen.llvm.window_spec import (
    Box,
    WindowSpec,
    box_of,
    image_itself,
    inside,
    is_run,
    merged,
    sums,
    within,
)

K_BYTES = 1536  # of one column in a block of terms
PANEL_PART = 3 / 4  # of the first cache
SCRATCH_BYTES = 1 << 20
LEAST_TILES = 8
FEW_ROWS = 5  # so few rows do not repay a panel: more of them read it than odd addresses cost
PIECES = 4  # of an image, which threads claim
ALL_BYTES = 4 << 20  # of A that every piece reads again; where it is larger, shares are fixed
COUNTERS = 3  # blocks of A claimed, packed; tiles claimed


@dataclass(frozen=True)
class ColumnPlan:
    """How a product by columns is computed."""

    lanes: int
    tall: int
    full: tuple[Chunk, ...]
    edge: tuple[Chunk, ...]
    cols: int  # of a full tile
    direct: bool  # windows are read straight from the box, without a panel
    kc: int
    box: Box
    images: tuple[int, ...]  # variables of the batch that A does not depend on
    groups: tuple[int, ...]  # the others
    pack_a: bool
    tiles: int  # of one image
    nc_tiles: int
    a_bytes: int
    b_bytes: int
    box_bytes: int
    scratch_bytes: int
    on_unit: bool = False  # AMX computes it
    plain: bool = False  # rows of A are runs of terms
    apart: int = 0  # bytes from one pair of channels to the next, where AMX reads images in pairs of channels
    pieces: int = PIECES

    @property
    def width(self) -> int:
        """Elements of a row of a panel, or of a tile's sums."""
        return row_width(self.full)

    @property
    def thread_bytes(self) -> int:
        """Besides A."""
        return self.b_bytes + self.box_bytes + self.scratch_bytes


def plan_columns(spec: WindowSpec, target: Target, tile: tuple[int, int] | None = None, k_bytes: int = 0) -> ColumnPlan:
    """The plan for vectors; or for tiles of so many rows and vectors, and so many bytes of a column in a block."""
    lanes = target.lanes(spec.dtype)
    rows, vectors = tile or tile_of(spec, lanes, target)
    first, unit = first_dimension(spec)
    panel = int(target.l1_bytes * PANEL_PART) // min(lanes * vectors, spec.n)
    most = k_bytes or (K_BYTES if spec.m <= FEW_ROWS or first < 0 else min(K_BYTES, panel))
    kc = term_block(spec.k, unit, most // spec.size)
    if kc % unit or kc >= spec.k:
        first = -1
    box = image_itself(spec)
    cut = (kc // unit, *spec.terms[1:]) if first >= 0 else spec.terms
    if not inside(spec) or spec.n % lanes or merged(spec.cols, box.columns)[-1][1] != 1:
        box = box_of(spec, cut, first, phases_of(spec))
    direct = direct_tile(spec, box, lanes, vectors, target.masked_memory)
    if direct is not None:
        full, cols = direct
        edge = tuple(chunk for chunk in full if chunk.col < spec.n % cols)
    else:
        cols = min(lanes * vectors, spec.n)
        full = chunks(cols, lanes, target.masked_memory)
        edge = chunks(spec.n % cols, lanes, target.masked_memory)
        if spec.n % cols and not box.copied:
            box = box_of(spec, cut, first, phases_of(spec))
    images = tuple(k for k, c in enumerate(spec.a_batch) if c == 0 and spec.batch[k] > 1)
    groups = tuple(k for k in range(len(spec.batch)) if k not in images)
    tiles = -(-spec.n // cols)
    most = prod(spec.batch[k] for k in images) * tiles
    plain = is_run(spec.terms, spec.a_terms) and merged(spec.terms, spec.a_terms)[0][1] == 1 and is_run(
        spec.rows, spec.a_rows)
    step = row_width(full)
    nc_tiles = most
    if kc < spec.k:
        nc_tiles = min(most, max(LEAST_TILES, SCRATCH_BYTES // (spec.m * step * spec.size)))
    return ColumnPlan(
        lanes, tall_rows(spec.m, rows), full, edge, cols, direct is not None, kc, box, images, groups, not plain,
        tiles, nc_tiles, 0 if plain else round_up(spec.m * spec.k * spec.size + 128),
        0 if direct is not None else round_up(kc * step * spec.size + 128), round_up(box.elements * spec.size + 64),
        round_up(spec.m * nc_tiles * step * spec.size + 64) if kc < spec.k else 0)


def tile_of(spec: WindowSpec, lanes: int, target: Target) -> tuple[int, int]:
    """Most rows of a tile, and vectors of each."""
    rows, vectors = register_tile(spec.m, spec.n, lanes, target)
    if spec.m >= rows - 1:
        return rows, vectors
    return spec.m, {1: 8, 2: 4}.get(spec.m, (target.vector_registers - 4) // spec.m)


def row_width(full: tuple[Chunk, ...]) -> int:
    last = full[-1]
    return round_up(last.col + last.width, 8)


def direct_tile(spec: WindowSpec, box: Box, lanes: int, vectors: int,
                masked: bool) -> tuple[tuple[Chunk, ...], int] | None:
    """The vectors of a tile that reads columns where they lie, and its columns; None where panels are better.

    A tile is part of one run of columns, or several whole ones.
    """
    run, step = merged(spec.cols, box.columns)[-1]
    if step != 1 or spec.m > FEW_ROWS:
        return None
    if not box.copied and run % lanes:
        return None
    if -(-run // lanes) > vectors:
        parts = next(p for p in range(1, run + 1) if run % p == 0 and -(-(run // p) // lanes) <= vectors)
        piece = run // parts
        return (chunks(piece, lanes, masked), piece) if piece >= lanes else None
    each = chunks(run, lanes, masked)
    count = min(max(1, vectors // len(each)), spec.n // run)
    return tuple(Chunk(j * run + c.col, c.width, c.valid) for j in range(count) for c in each), count * run


def first_dimension(spec: WindowSpec) -> tuple[int, int]:
    """The dimension that only the first of the terms moves along, and how many terms there are for each place of it."""
    for d, dim in enumerate(spec.dims[:-1]):
        alone = dim.terms[0] == 1 and not any(dim.terms[1:]) and not any(dim.cols) and dim.step == 1
        if alone and not any(other.terms[0] for k, other in enumerate(spec.dims) if k != d):
            return d, prod(spec.terms[1:])
    return -1, 1


def term_block(k: int, unit: int, most: int) -> int:
    """Even blocks of terms, multiples of a unit; all of them where they are not much more than a block."""
    if k <= most + most // 4:
        return k
    blocks = -(-k // most)
    return min(k, round_up(-(-k // blocks), unit))


def phases_of(spec: WindowSpec) -> int:
    """The stride of columns along the last dimension, where that is one for all."""
    steps = [c for c in spec.dims[-1].cols if c]
    found = min((abs(c) for c in steps), default=1)
    return found if all(c % found == 0 for c in steps) and spec.dims[-1].step == 1 else 1


@dataclass
class Columns:
    """What the loops share; the pointers are those of the current group."""

    fn: Fn
    name: str
    spec: WindowSpec
    plan: ColumnPlan
    epilogue: Epilogue
    fma: bool
    a: V
    b: V
    a_panels: V
    panel: V
    box: V
    scratch: V
    group: dict[int, V]
    unit: Unit | None = None

    def copy_rows(self, k: V, kcount: V, target: V) -> None:
        """All rows of A for a block of terms, tile by tile, term by term."""
        fn, spec, plan = self.fn, self.spec, self.plan
        inner = prod(spec.terms[1:])
        alike = plan.kc % inner == 0
        shift = ix.mul(fn, ix.div(fn, k, inner), spec.a_terms[0]) if alike else i64(0)
        source = ix.offset(fn, self.a, shift, spec.dtype)
        fn.call(f"{self.name}.a", "void", source, target, i64(0) if alike else k, kcount, declare=False)

    def copy_windows(self, col: V, run: ImageRun) -> None:
        """The windows of a tile of columns, term by term, to `panel`."""
        self.fn.call(f"{self.name}.b", "void", run.base, self.panel, col, run.table, run.kcount, declare=False)


@dataclass(frozen=True)
class ImageRun:
    """Tiles of an image over a block of terms: where its box or the image begins, and the table of offsets."""

    base: V
    table: V
    order: list[V]  # the batch index
    origin: V  # the image's first tile among those of the block
    k: V
    kcount: V


class Unit(Protocol):
    """What computes the tiles instead of vectors."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def pack_rows(self, k: V, kcount: V) -> None: ...

    def image(self, run: ImageRun) -> None: ...

    def tiles(self, first: V, last: V, cut: tuple[Chunk, ...], run: ImageRun) -> None: ...


def emit_columns(module: Module, fn: Fn, name: str, spec: WindowSpec, plan: ColumnPlan, epilogue: Epilogue,
                 target: Target, a: V, b: V, a_panels: V, workspace: V, live: V, claims: int | None,
                 unit: Callable[[Columns], Unit] | None = None) -> None:
    """The body of a kernel by columns; the current thread's workspace holds a panel, box and partial sums. `claims` is
    the first slot of `COUNTERS`, where threads may claim pieces; `a_panels` are this thread's, or all threads' where
    `packs_together`."""
    box = ix.offset(fn, workspace, i64(plan.b_bytes), "i8")
    scratch = ix.offset(fn, workspace, i64(plan.b_bytes + plan.box_bytes), "i8")
    loops = Columns(fn, name, spec, plan, epilogue, target.fma, a, b, a_panels, workspace, box, scratch, {})
    moving = moving_dims(spec)
    if plan.box.copied:
        if not moves(spec, plan.box, moving):
            zero_box(fn, loops.box, spec, plan.box, plan.lanes)
        emit_box(module, f"{name}.box", spec, plan.box, moving, target)
    if plan.direct:
        loops.panel = offset_table(module, spec, plan)
    elif not plan.apart:
        emit_panel(module, loops, target)
    if plan.pack_a and not plan.plain:
        emit_pack_rows(module, loops)
    epilogue.prepare(fn)
    if unit is None:
        hand_out(loops, live, claims)
        return
    loops.unit = found = unit(loops)
    found.begin()
    hand_out(loops, live, claims)
    found.end()


def hand_out(loops: Columns, live: V, claims: int | None) -> None:
    """Groups, or the tiles of each, among the threads."""
    fn, spec, plan, a = loops.fn, loops.spec, loops.plan, loops.a
    count = prod(spec.batch[k] for k in plan.groups)
    tiles = prod(spec.batch[k] for k in plan.images) * plan.tiles
    grouped = by_group(spec, plan)
    near = spec.m * spec.k * spec.size <= ALL_BYTES
    claimed = claims is not None and (grouped or (count == 1 and near))
    each = max(1, plan.tiles // plan.pieces) if claimed else 1  # boxes are copied again for each piece

    def pieces(units: int, body: Callable[[V, V], None]) -> None:
        if claims is not None and claimed:
            for_claims(fn, counter(fn, fn.params[0], claims + 2), units, live, body)
        else:
            body(*share(fn, units, fn.params[1], live))

    def group(flat: V) -> None:
        loops.group = unflatten(fn, flat, spec, plan.groups)
        loops.a = ix.offset(fn, a, along(fn, loops.group, spec.a_batch), spec.dtype)
        blocks = -(-spec.k // plan.kc)
        if claims is not None and packs_together(spec, plan):
            pack_together(loops, blocks, live, claims)
        elif plan.pack_a:
            pack_blocks(loops, i64(0), i64(blocks))

    def columns(low: V, high: V) -> None:
        for_range(fn, low, high, plan.nc_tiles, lambda t: column_block(
            loops, t, ix.minimum(fn, ix.add(fn, t, plan.nc_tiles), high)))

    def whole(flat: V) -> None:
        group(flat)
        columns(i64(0), i64(tiles))

    def part(flat: V) -> None:
        group(flat)
        pieces(-(-tiles // each), lambda low, high: columns(
            ix.mul(fn, low, each), ix.minimum(fn, ix.mul(fn, high, each), tiles)))

    if grouped:
        pieces(count, lambda low, high: for_range(fn, low, high, 1, whole))
    else:
        for_range(fn, i64(0), i64(count), 1, part)


def by_group(spec: WindowSpec, plan: ColumnPlan) -> bool:
    """Whether threads share out the groups rather than the tiles of each."""
    count = prod(spec.batch[k] for k in plan.groups)
    return count >= 8 and prod(spec.batch[k] for k in plan.images) * plan.tiles < count


def packs_together(spec: WindowSpec, plan: ColumnPlan) -> bool:
    """Whether all threads need the same copy of A."""
    return plan.pack_a and prod(spec.batch[k] for k in plan.groups) == 1


def pack_together(loops: Columns, blocks: int, live: V, claims: int) -> None:
    """All of A, by all threads: each goes on when all of it is there."""
    fn = loops.fn
    claimed, done = (counter(fn, fn.params[0], claims + n) for n in range(2))

    def some(low: V, high: V) -> None:
        pack_blocks(loops, low, high)
        note_done(fn, done, ix.sub(fn, high, low))

    for_claims(fn, claimed, blocks, live, some)
    await_done(fn, done, blocks)


def pack_blocks(loops: Columns, low: V, high: V) -> None:
    """Some blocks of terms of A."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan

    def one(block: V) -> None:
        k = ix.mul(fn, block, plan.kc)
        pack_rows(loops, k, ix.minimum(fn, ix.sub(fn, i64(spec.k), k), plan.kc))

    for_range(fn, low, high, 1, one)


def moving_dims(spec: WindowSpec) -> set[int]:
    """Dimensions that the batch moves to where they may leave the image."""
    return {d for d, dim in enumerate(spec.dims) if any(dim.batch) and not within(dim, spec)}


def unflatten(fn: Fn, flat: V, spec: WindowSpec, variables: tuple[int, ...]) -> dict[int, V]:
    """The values of some variables of the batch, counted through."""
    found: dict[int, V] = {}
    for n, k in enumerate(reversed(variables)):
        found[k] = ix.rem(fn, flat, spec.batch[k]) if n + 1 < len(variables) else flat
        flat = ix.div(fn, flat, spec.batch[k])
    return found


def along(fn: Fn, index: dict[int, V], steps: tuple[int, ...]) -> V:
    total = i64(0)
    for k, at in sorted(index.items()):
        total = ix.add(fn, total, ix.mul(fn, at, steps[k]))
    return total


def column_block(loops: Columns, start: V, stop: V) -> None:
    """All terms of some column tiles."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan

    def block(k: V) -> None:
        kcount = ix.minimum(fn, ix.sub(fn, i64(spec.k), k), plan.kc)
        images = prod(spec.batch[k] for k in plan.images)
        first, last = ix.div(fn, start, plan.tiles), ix.div(fn, ix.add(fn, stop, plan.tiles - 1), plan.tiles)
        if images == 1:
            first, last = i64(0), i64(1)
        for_range(fn, first, last, 1, lambda image: one_image(loops, image, start, stop, k, kcount))

    for_range(fn, i64(0), i64(spec.k), plan.kc, block)


def pack_rows(loops: Columns, k: V, kcount: V) -> None:
    """All rows of A for a block of terms into panels."""
    if loops.unit is not None:
        loops.unit.pack_rows(k, kcount)
        return
    loops.copy_rows(k, kcount, ix.offset(loops.fn, loops.a_panels, ix.mul(loops.fn, k, loops.spec.m), loops.spec.dtype))


def one_image(loops: Columns, image: V, start: V, stop: V, k: V, kcount: V) -> None:
    """The tiles of one image, or those of it that are in the block."""
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    index = {**loops.group, **unflatten(fn, image, spec, plan.images)}
    base = loops.b
    if plan.box.copied:
        base = loops.box
        shifts = [along(fn, index, dim.batch) for dim in spec.dims]
        first, count = i64(0), i64(1)
        if plan.box.first >= 0:
            inner, each = prod(spec.terms[1:]), spec.dims[plan.box.first].terms[0]
            first, count = (ix.mul(fn, ix.div(fn, x, inner), each) for x in (k, kcount))
        fn.call(f"{loops.name}.box", "void", loops.b, loops.box, *shifts, first, count, declare=False)
    else:
        steps = tuple(sum(d.batch[n] * d.stride for d in spec.dims) for n in range(len(spec.batch)))
        constant = sum(edge.low * dim.stride for edge, dim in zip(plan.box.edges, spec.dims, strict=True))
        base = ix.offset(fn, base, ix.add(fn, along(fn, index, steps), constant), spec.dtype)
    origin = ix.mul(fn, image, plan.tiles)
    low = ix.maximum(fn, ix.sub(fn, start, origin), 0)
    high = ix.minimum(fn, ix.sub(fn, stop, origin), plan.tiles)
    order = [index[n] for n in range(len(spec.batch))]
    whole = spec.n // plan.cols
    here = ImageRun(base, panel_base(loops, k), order, ix.sub(fn, origin, start), k, kcount)
    if loops.unit is not None:
        loops.unit.image(here)

    def run(first: V, last: V, cut: tuple[Chunk, ...]) -> None:
        if loops.unit is not None:
            loops.unit.tiles(first, last, cut, here)
            return
        for_range(fn, first, last, 1, lambda t: one_tile(loops, t, cut, here))

    run(low, ix.minimum(fn, high, whole), plan.full)
    if plan.edge:
        run(ix.maximum(fn, low, whole), high, plan.edge)


def panel_base(loops: Columns, k: V) -> V:
    """Where a block's offsets begin in the table of offsets: all blocks look alike where boxes are cut by terms."""
    plan = loops.plan
    return i64(0) if plan.box.copied and plan.box.first >= 0 else k


def one_tile(loops: Columns, tile: V, cut: tuple[Chunk, ...], run: ImageRun) -> None:
    fn, spec, plan = loops.fn, loops.spec, loops.plan
    k, kcount, order, local = run.k, run.kcount, run.order, ix.add(fn, run.origin, tile)
    col = ix.mul(fn, tile, plan.cols)
    starts: list[V] = []
    if plan.direct:
        steps = merged(spec.cols, plan.box.columns)
        starts = [fn.gep(run.base, position(fn, ix.add(fn, col, chunk.col), steps), spec.dtype) for chunk in cut]
    else:
        loops.copy_windows(col, run)
    single = plan.kc >= spec.k
    first = V("true", "i1") if single else fn.compare("icmp", "eq", k, i64(0))
    last = V("true", "i1") if single else fn.compare("icmp", "sge", ix.add(fn, k, plan.kc), i64(spec.k))

    def rows(i: V, count: int) -> None:
        partial = None
        if not single:
            at = ix.mul(fn, ix.add(fn, ix.mul(fn, local, spec.m), i), plan.width)
            partial = Partial(ix.offset(fn, loops.scratch, at, spec.dtype), plan.width, first, last)
        if plan.pack_a:
            at = ix.add(fn, ix.mul(fn, i, kcount), ix.mul(fn, k, spec.m))
            a, a_row, a_k = ix.offset(fn, loops.a_panels, at, spec.dtype), 1, count
        else:
            a_row, a_k = merged(spec.rows, spec.a_rows)[0][1], 1
            a = ix.offset(fn, loops.a, ix.add(fn, ix.mul(fn, i, a_row), k), spec.dtype)
        source = TileInput(a, loops.panel, a_row, a_k, plan.width, True, kcount, spec.dtype, spec.size, loops.fma,
                           pairs=spec.pairs)
        if not plan.direct:
            emit_tile(fn, source, count, cut, partial, loops.epilogue, order, i, col)
            return
        acc = accumulate_direct(fn, source, starts, run.table, count, cut)
        deliver(fn, source, acc, count, cut, partial, loops.epilogue, order, i, col)

    row_tiles(fn, spec.m, plan.tall, rows)


def accumulate_direct(fn: Fn, src: TileInput, starts: list[V], table: V, rows: int, cut: tuple[Chunk, ...]) -> list[V]:
    """The sums of a tile whose vectors lie at `starts`, moved by the offsets of the table at `src.b`."""
    types = [vector(src.scalar, chunk.width) for _ in range(rows) for chunk in cut]
    loop = fn.begin_loop(i64(0), src.kcount, i64(1), [src.a, *(zero(t) for t in types)])
    a, *acc = loop.carried
    offset = fn.load(fn.gep(src.b, ix.add(fn, loop.counter, table), "i32"), "i32", 4)
    offset = fn.cast("sext", offset, "i64")
    loaded = [fn.load(fn.gep(start, offset, src.scalar), vector(src.scalar, chunk.width), src.size)
              for start, chunk in zip(starts, cut, strict=True)]
    result: list[V] = []
    for row in range(rows):
        one = fn.load(ix.offset(fn, a, i64(row * src.a_row), src.scalar), src.scalar, src.size)
        for c, chunk in enumerate(cut):
            result.append(multiply_add(fn, fn.splat(one, chunk.width), loaded[c], acc[row * len(cut) + c], src.fma,
                                       src.pairs))
    return fn.end_loop(loop, [fn.gep(a, i64(src.a_k), src.scalar), *result], hot=True)[1:]


def row_tiles(fn: Fn, m: int, tall: int, body: Callable[[V, int], None]) -> None:
    """Rows in tiles of two heights; the body gets the first row and the height."""
    at = 0
    for height, count in cut_rows(m, tall):
        def one(i: V, height: int = height) -> None:
            body(i, height)

        for_range(fn, i64(at), i64(at + height * count), height, one)
        at += height * count


def cut_rows(m: int, tall: int) -> list[tuple[int, int]]:
    """(rows, how many) of tiles, of two heights where that is possible."""
    tiles = -(-m // tall)
    low, more = divmod(m, tiles)
    return [(h, c) for h, c in ((low + 1, more), (low, tiles - more)) if c]


def emit_panel(module: Module, loops: Columns, target: Target) -> None:
    """Emit `void name.b(base, dst, col, table, kcount)`: a panel of windows, term by term.

    Columns that are side by side in the box are copied together.
    """
    spec, plan = loops.spec, loops.plan
    fn = module.function(f"{loops.name}.b", [("ptr noalias", "base"), ("ptr noalias", "dst"), ("i64", "col"),
                                             ("i64", "table"), ("i64", "kcount")], attributes="#1", linkage="internal")
    base, dst, col, table, kcount = fn.params
    steps = merged(spec.cols, plan.box.columns)
    grain = grain_of(steps, spec.n, min(plan.lanes, 32 // spec.size))
    where = offset_table(module, spec, plan)
    starts: list[V] = []
    width = sum(chunk.width for chunk in plan.full)
    for q in range(0, width, grain):
        at = ix.minimum(fn, ix.add(fn, col, q), spec.n - grain)
        starts.append(fn.gep(base, position(fn, at, steps), spec.dtype))
    loop = fn.begin_loop(i64(0), kcount, i64(1), [dst])
    offset = fn.load(fn.gep(where, fn.add(table, loop.counter), "i32"), "i32", 4)
    offset = fn.cast("sext", offset, "i64")
    type_ = vector(spec.dtype, grain)
    for n, start in enumerate(starts):
        value = fn.load(fn.gep(start, offset, spec.dtype), type_, spec.size)
        fn.store(value, ix.offset(fn, loop.carried[0], i64(n * grain), spec.dtype), spec.size)
    fn.end_loop(loop, [fn.gep(loop.carried[0], i64(plan.width), spec.dtype)])
    fn.ret()


def offset_table(module: Module, spec: WindowSpec, plan: ColumnPlan) -> V:
    """Where each of the terms lies in the box: of a block where all look alike, else of all."""
    count = plan.kc if plan.box.copied and plan.box.first >= 0 else spec.k
    terms = ((plan.kc // prod(spec.terms[1:])), *spec.terms[1:]) if count != spec.k else spec.terms
    return constant_table(module, plan.box.offsets(spec, terms))


def grain_of(steps: list[tuple[int, int]], n: int, lanes: int) -> int:
    """How many columns always lie side by side, a power of two."""
    size, step = steps[-1]
    if step != 1:
        return 1
    return power_of_two(size, lanes)


def power_of_two(size: int, most: int) -> int:
    found = 1
    while found < most and size % (2 * found) == 0:
        found *= 2
    return found


def position(fn: Fn, at: V, steps: list[tuple[int, int]]) -> V:
    """Elements from the first column to column `at`."""
    total = i64(0)
    for n, (size, step) in enumerate(reversed(steps)):
        digit = ix.rem(fn, at, size) if n + 1 < len(steps) else at
        total = ix.add(fn, total, ix.mul(fn, digit, step))
        at = ix.div(fn, at, size)
    return total


def emit_pack_rows(module: Module, loops: Columns) -> None:
    """Emit `void name.a(src, dst, table, kcount)`: all rows of A for a block of terms, tile by tile, term by term."""
    spec, plan = loops.spec, loops.plan
    params = [("ptr noalias", "src"), ("ptr noalias", "dst"), ("i64", "table"), ("i64", "kcount")]
    fn = module.function(f"{loops.name}.a", params, attributes="#1", linkage="internal")
    src, dst, table, kcount = fn.params
    inner = prod(spec.terms[1:])
    alike = plan.kc % inner == 0
    terms = (plan.kc // inner, *spec.terms[1:]) if alike else spec.terms
    where = constant_table(module, sums(0, spec.a_terms, terms))
    steps = merged(spec.rows, spec.a_rows)

    def rows(i: V, height: int) -> None:
        starts = [fn.gep(src, position(fn, ix.add(fn, i, r), steps), spec.dtype) for r in range(height)]
        loop = fn.begin_loop(i64(0), kcount, i64(1), [fn.gep(dst, ix.mul(fn, i, kcount), spec.dtype)])
        offset = fn.load(fn.gep(where, fn.add(table, loop.counter), "i32"), "i32", 4)
        offset = fn.cast("sext", offset, "i64")
        for r, start in enumerate(starts):
            value = fn.load(fn.gep(start, offset, spec.dtype), spec.dtype, spec.size)
            fn.store(value, ix.offset(fn, loop.carried[0], i64(r), spec.dtype), spec.size)
        fn.end_loop(loop, [fn.gep(loop.carried[0], i64(height), spec.dtype)])

    row_tiles(fn, spec.m, plan.tall, rows)
    fn.ret()

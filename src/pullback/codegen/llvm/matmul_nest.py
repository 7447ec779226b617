"""The loops around the register tile: batches, column blocks, row blocks, blocks of k, tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_plan import Chunk, Plan
from pullback.codegen.llvm.matmul_spec import Epilogue, MatmulSpec
from pullback.codegen.llvm.matmul_tile import Partial, TileInput, emit_tile
from pullback.codegen.llvm.text import Fn, V, i64

Body = Callable[[V], None]


@dataclass
class Nest:
    """What the loops share; the pointers are those of the current batch index."""

    fn: Fn
    name: str
    spec: MatmulSpec
    plan: Plan
    epilogue: Epilogue
    fma: bool
    a: V
    b: V
    a_panels: V
    b_panels: V
    scratch: V
    shared: V
    batch_index: list[V] = field(default_factory=list[V])

    def for_batches(self, low: V, high: V, body: Callable[[], None]) -> None:
        """`body` for each of a range of flat batch numbers, with the operands' addresses there."""
        a, b = self.a, self.b

        def one(flat: V) -> None:
            self.select(a, b, flat)
            body()

        for_range(self.fn, low, high, 1, one)

    def select(self, a: V, b: V, flat: V) -> None:
        """Batch indices of a flat batch number, and the operands' addresses there."""
        fn, spec = self.fn, self.spec
        self.batch_index = index = batch_index(fn, flat, spec.batch)
        self.a = ix.offset(fn, a, dot_index(fn, index, spec.a.batch_strides), spec.element)
        self.b = ix.offset(fn, b, dot_index(fn, index, spec.b.batch_strides), spec.element)


def batch_index(fn: Fn, flat: V, sizes: tuple[int, ...]) -> list[V]:
    """Batch indices of a flat batch number."""
    index: list[V] = []
    for n, size in enumerate(reversed(sizes)):
        index.insert(0, ix.rem(fn, flat, size) if n + 1 < len(sizes) else flat)
        flat = ix.div(fn, flat, size)
    return index


def dot_index(fn: Fn, index: list[V], strides: tuple[int, ...]) -> V:
    total = i64(0)
    for at, stride in zip(index, strides, strict=True):
        total = ix.add(fn, total, ix.mul(fn, at, stride))
    return total


@dataclass(frozen=True)
class Terms:
    """One block of k: [k, k + count), and whether it is the first or the last."""

    k: V
    count: V
    first: V
    last: V


@dataclass(frozen=True)
class Block:
    """One block of the product: rows [row, row_stop), column tiles [tile, tile_stop), terms `part`.

    Copied rows of A and partial sums are those of `depth` rows from `origin` on, which begin at `panels`.
    """

    row: V
    row_stop: V
    tile: V
    tile_stop: V
    part: Terms
    origin: V
    depth: V
    panels: V


def for_range(fn: Fn, start: V, stop: V, step: int, body: Body) -> None:
    """A loop, or nothing, or just its body where it is known to run once."""
    if ix.empty(start, stop):
        return
    first, end = ix.literal(start), ix.literal(stop)
    if first is not None and end is not None and first + step >= end:
        body(start)
        return
    loop = fn.begin_loop(start, stop, i64(step))
    body(loop.counter)
    fn.end_loop(loop)


def full_tiles(nest: Nest) -> int:
    return nest.spec.n // nest.plan.cols


def emit_columns(nest: Nest, row: V, row_stop: V, tile: V, tile_stop: V) -> None:
    """Column blocks, row blocks, blocks of k. B is copied once per column block, A once per row block and k block."""
    fn, plan = nest.fn, nest.plan

    def columns(start: V) -> None:
        stop = ix.minimum(fn, ix.add(fn, start, plan.nc_tiles), tile_stop)
        if plan.pack_b == "block":
            pack_columns(nest, start, stop)
        emit_rows(nest, row, row_stop, start, stop)

    for_range(fn, tile, tile_stop, plan.nc_tiles, columns)


def pack_columns(nest: Nest, start: V, stop: V) -> None:
    """All of these panels of B."""
    fn, k = nest.fn, i64(nest.spec.k)
    for_range(fn, start, stop, 1, lambda t: pack_b(nest, t, i64(0), k, ix.sub(fn, t, start)))


def emit_rows(nest: Nest, row: V, row_stop: V, start: V, stop: V) -> None:
    """Row blocks of a column block, blocks of k of each."""
    fn, plan = nest.fn, nest.plan

    def depths(low: V, high: V) -> None:
        depth = ix.sub(fn, high, low)
        for_terms(nest, lambda part: emit_block(nest, Block(low, high, start, stop, part, low, depth, nest.a_panels)))

    if nest.spec.m <= plan.mc:
        depths(row, row_stop)
        return
    count = ix.div(fn, ix.sub(fn, row_stop, row), plan.row_unit)
    blocks = ix.div(fn, ix.add(fn, count, plan.mc // plan.row_unit - 1), plan.mc // plan.row_unit)

    def cut(n: V) -> V:
        return ix.add(fn, row, ix.mul(fn, ix.div(fn, ix.mul(fn, count, n), blocks), plan.row_unit))

    for_range(fn, i64(0), blocks, 1, lambda n: depths(cut(n), cut(ix.add(fn, n, 1))))


def for_terms(nest: Nest, body: Callable[[Terms], None]) -> None:
    """The blocks of k."""
    fn, k, kc = nest.fn, nest.spec.k, nest.plan.kc

    def one(start: V) -> None:
        count = ix.minimum(fn, ix.sub(fn, i64(k), start), kc)
        first = V("true", "i1") if kc >= k else fn.compare("icmp", "eq", start, i64(0))
        last = V("true", "i1") if kc >= k else fn.compare("icmp", "sge", ix.add(fn, start, kc), i64(k))
        body(Terms(start, count, first, last))

    for_range(fn, i64(0), i64(k), kc, one)


def emit_block(nest: Nest, block: Block) -> None:
    plan = nest.plan
    if plan.pack_a:
        for_rows(nest, block, lambda i, rows, count: pack_a(nest, block, i, rows, count), plan.a_together)

    if plan.row_outer:
        for_rows(nest, block, lambda i, rows, _: for_columns(
            nest, block.tile, block.tile_stop, lambda t, chunks: tile_at(nest, block, i, rows, t, chunks)))
        return

    def column_outer(t: V, chunks: tuple[Chunk, ...]) -> None:
        if plan.pack_b == "panel":
            pack_b(nest, t, block.part.k, block.part.count, i64(0))
        for_rows(nest, block, lambda i, rows, _: tile_at(nest, block, i, rows, t, chunks))

    for_columns(nest, block.tile, block.tile_stop, column_outer)


def for_columns(nest: Nest, tile: V, tile_stop: V, body: Callable[[V, tuple[Chunk, ...]], None]) -> None:
    """Column tiles, those of full width and the last."""
    fn, full = nest.fn, i64(full_tiles(nest))
    for_range(fn, tile, ix.minimum(fn, tile_stop, full), 1, lambda t: body(t, nest.plan.full))
    if nest.plan.edge:
        for_range(fn, ix.maximum(fn, tile, full), tile_stop, 1, lambda t: body(t, nest.plan.edge))


def for_rows(nest: Nest, block: Block, body: Callable[[V, int, V], None], together: int = 1) -> None:
    """Cut the block's rows into tiles of `tall` and `tall - 1` rows: no remainder, few variants.

    The body gets the first row, the tile's rows and how many tiles: at most `together` of one height.
    """
    fn, tall = nest.fn, nest.plan.tall

    def run(start: V, stop: V, rows: int) -> None:
        def one(i: V) -> None:
            count = i64(1) if together == 1 else ix.minimum(fn, ix.div(fn, ix.sub(fn, stop, i), rows), together)
            body(i, rows, count)

        for_range(fn, start, stop, rows * together, one)

    if nest.plan.row_unit == tall:
        run(block.row, block.row_stop, tall)
        return
    count = ix.sub(fn, block.row_stop, block.row)
    tiles = ix.div(fn, ix.add(fn, count, tall - 1), tall)
    of_tall = ix.sub(fn, count, ix.mul(fn, tiles, tall - 1))
    middle = ix.add(fn, block.row, ix.mul(fn, of_tall, tall))
    run(block.row, middle, tall)
    run(middle, block.row_stop, tall - 1)


def pack_a(nest: Nest, block: Block, i: V, rows: int, count: V) -> None:
    fn, spec = nest.fn, nest.spec
    part = block.part
    source = ix.offset(fn, nest.a, ix.mul(fn, part.k, spec.a.col_stride), spec.element)
    at = ix.mul(fn, ix.sub(fn, i, block.origin), part.count)
    fn.call(f"{nest.name}.a", "void", source, ix.offset(fn, block.panels, at, spec.dtype), i, part.count, i64(rows),
            count, declare=False)


def pack_b(nest: Nest, tile: V, k: V, kcount: V, slot: V) -> None:
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    source = ix.offset(fn, nest.b, ix.mul(fn, k, spec.b.row_stride), spec.element)
    target = ix.offset(fn, nest.b_panels, ix.mul(fn, slot, plan.b_step * spec.k), spec.dtype)
    fn.call(f"{nest.name}.b", "void", source, target, ix.mul(fn, tile, plan.cols), kcount, i64(plan.b_step),
            i64(1), declare=False)


def tile_at(nest: Nest, block: Block, i: V, rows: int, tile: V, chunks: tuple[Chunk, ...]) -> None:
    fn, spec, plan, part = nest.fn, nest.spec, nest.plan, block.part
    col = ix.mul(fn, tile, plan.cols)
    local = ix.sub(fn, tile, block.tile)
    if plan.pack_a:
        at = ix.mul(fn, ix.sub(fn, i, block.origin), part.count)
        a, a_row, a_k = ix.offset(fn, block.panels, at, spec.dtype), 1, rows
    else:
        at = ix.add(fn, ix.mul(fn, i, spec.a.row_stride), ix.mul(fn, part.k, spec.a.col_stride))
        a, a_row, a_k = ix.offset(fn, nest.a, at, spec.element), spec.a.row_stride, spec.a.col_stride
    if plan.pack_b == "no":
        at = ix.add(fn, ix.mul(fn, part.k, spec.b.row_stride), ix.mul(fn, col, spec.b.col_stride))
        b, b_k = ix.offset(fn, nest.b, at, spec.dtype), spec.b.row_stride
    else:
        at = i64(0)
        if plan.pack_b == "block":
            at = ix.mul(fn, ix.add(fn, ix.mul(fn, local, spec.k), part.k), plan.b_step)
        b, b_k = ix.offset(fn, nest.b_panels, at, spec.dtype), plan.b_step
    partial = None
    if plan.kc < spec.k:
        place = ix.mul(fn, ix.add(fn, ix.mul(fn, local, block.depth), ix.sub(fn, i, block.origin)), plan.b_step)
        partial = Partial(ix.offset(fn, nest.scratch, place, spec.dtype), plan.b_step, part.first, part.last)
    source = TileInput(a, b, a_row, a_k, b_k, plan.pack_b != "no", part.count, spec.dtype,
                       plan.scalar_bytes, nest.fma, plan.b_ahead, spec.narrow,
                       spec.element if spec.narrow and not plan.pack_a else "")
    emit_tile(fn, source, rows, chunks, partial, nest.epilogue, nest.batch_index, i, col)

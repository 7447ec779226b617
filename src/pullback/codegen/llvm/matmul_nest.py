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
    batch_index: list[V] = field(default_factory=list[V])


@dataclass(frozen=True)
class Block:
    """One block of the product: rows [row, row_stop), column tiles [tile, tile_stop), k [k, k + kcount)."""

    row: V
    row_stop: V
    tile: V
    tile_stop: V
    k: V
    kcount: V
    first: V
    last: V


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
    fn, spec, plan = nest.fn, nest.spec, nest.plan

    def columns(start: V) -> None:
        stop = ix.minimum(fn, ix.add(fn, start, plan.nc_tiles), tile_stop)
        if plan.pack_b == "block":
            for_range(fn, start, stop, 1, lambda t: pack_b(nest, t, i64(0), i64(spec.k), ix.sub(fn, t, start)))
        rows(start, stop)

    def rows(start: V, stop: V) -> None:
        if spec.m <= plan.mc:
            depths(row, row_stop, start, stop)
            return
        count = ix.div(fn, ix.sub(fn, row_stop, row), plan.row_unit)
        blocks = ix.div(fn, ix.add(fn, count, plan.mc // plan.row_unit - 1), plan.mc // plan.row_unit)

        def cut(n: V) -> V:
            return ix.add(fn, row, ix.mul(fn, ix.div(fn, ix.mul(fn, count, n), blocks), plan.row_unit))

        def one(n: V) -> None:
            depths(cut(n), cut(ix.add(fn, n, 1)), start, stop)

        for_range(fn, i64(0), blocks, 1, one)

    def depths(low: V, high: V, start: V, stop: V) -> None:
        def one(k: V) -> None:
            kcount = ix.minimum(fn, ix.sub(fn, i64(spec.k), k), plan.kc)
            single = plan.kc >= spec.k
            first = V("true", "i1") if single else fn.compare("icmp", "eq", k, i64(0))
            last = V("true", "i1") if single else fn.compare("icmp", "sge", ix.add(fn, k, plan.kc), i64(spec.k))
            emit_block(nest, Block(low, high, start, stop, k, kcount, first, last))

        for_range(fn, i64(0), i64(spec.k), plan.kc, one)

    for_range(fn, tile, tile_stop, plan.nc_tiles, columns)


def emit_block(nest: Nest, block: Block) -> None:
    fn, plan = nest.fn, nest.plan
    if plan.pack_a:
        for_rows(nest, block, lambda i, rows, count: pack_a(nest, block, i, rows, count), plan.a_together)

    def panel(t: V) -> None:
        if plan.pack_b == "panel":
            pack_b(nest, t, block.k, block.kcount, i64(0))

    def columns(body: Callable[[V, tuple[Chunk, ...]], None]) -> None:
        full = i64(full_tiles(nest))
        for_range(fn, block.tile, ix.minimum(fn, block.tile_stop, full), 1, lambda t: body(t, plan.full))
        if plan.edge:
            for_range(fn, ix.maximum(fn, block.tile, full), block.tile_stop, 1, lambda t: body(t, plan.edge))

    if plan.row_outer:
        for_rows(nest, block, lambda i, rows, _: columns(lambda t, chunks: tile_at(nest, block, i, rows, t, chunks)))
        return

    def column_outer(t: V, chunks: tuple[Chunk, ...]) -> None:
        panel(t)
        for_rows(nest, block, lambda i, rows, _: tile_at(nest, block, i, rows, t, chunks))

    columns(column_outer)


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
    source = ix.offset(fn, nest.a, ix.mul(fn, block.k, spec.a.col_stride), spec.dtype)
    at = ix.mul(fn, ix.sub(fn, i, block.row), block.kcount)
    fn.call(f"{nest.name}.a", "void", source, ix.offset(fn, nest.a_panels, at, spec.dtype), i, block.kcount, i64(rows),
            count, declare=False)


def pack_b(nest: Nest, tile: V, k: V, kcount: V, slot: V) -> None:
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    source = ix.offset(fn, nest.b, ix.mul(fn, k, spec.b.row_stride), spec.dtype)
    target = ix.offset(fn, nest.b_panels, ix.mul(fn, slot, plan.b_step * spec.k), spec.dtype)
    fn.call(f"{nest.name}.b", "void", source, target, ix.mul(fn, tile, plan.cols), kcount, i64(plan.b_step),
            i64(1), declare=False)


def tile_at(nest: Nest, block: Block, i: V, rows: int, tile: V, chunks: tuple[Chunk, ...]) -> None:
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    col = ix.mul(fn, tile, plan.cols)
    local = ix.sub(fn, tile, block.tile)
    if plan.pack_a:
        at = ix.mul(fn, ix.sub(fn, i, block.row), block.kcount)
        a, a_row, a_k = ix.offset(fn, nest.a_panels, at, spec.dtype), 1, rows
    else:
        at = ix.add(fn, ix.mul(fn, i, spec.a.row_stride), ix.mul(fn, block.k, spec.a.col_stride))
        a, a_row, a_k = ix.offset(fn, nest.a, at, spec.dtype), spec.a.row_stride, spec.a.col_stride
    if plan.pack_b == "no":
        at = ix.add(fn, ix.mul(fn, block.k, spec.b.row_stride), ix.mul(fn, col, spec.b.col_stride))
        b, b_k = ix.offset(fn, nest.b, at, spec.dtype), spec.b.row_stride
    else:
        at = i64(0)
        if plan.pack_b == "block":
            at = ix.mul(fn, ix.add(fn, ix.mul(fn, local, spec.k), block.k), plan.b_step)
        b, b_k = ix.offset(fn, nest.b_panels, at, spec.dtype), plan.b_step
    partial = None
    if plan.kc < spec.k:
        depth = ix.sub(fn, block.row_stop, block.row)
        place = ix.mul(fn, ix.add(fn, ix.mul(fn, local, depth), ix.sub(fn, i, block.row)), plan.b_step)
        partial = Partial(ix.offset(fn, nest.scratch, place, spec.dtype), plan.b_step, block.first, block.last)
    source = TileInput(a, b, a_row, a_k, b_k, plan.pack_b != "no", block.kcount, spec.dtype,
                       plan.scalar_bytes, nest.fma)
    emit_tile(fn, source, rows, chunks, partial, nest.epilogue, nest.batch_index, i, col)

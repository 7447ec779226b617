"""Products whose work threads claim piece by piece (see `claims`).

What is claimed: batches, or blocks of rows where all of B stays near, or else a block of rows of one column tile. Then
a thread's piece is a run of such blocks, column tile after column tile, so that it copies a panel of B once. Where A is
copied, all threads copy it first, once and together, and each begins with tiles when all of it is there.
"""

from __future__ import annotations

from math import prod

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import await_done, counter, for_claims, note_done
from pullback.codegen.llvm.matmul_nest import (
    Block,
    Nest,
    Terms,
    emit_columns,
    emit_rows,
    for_columns,
    for_range,
    for_rows,
    for_terms,
    pack_a,
    pack_b,
    pack_columns,
    tile_at,
)
from pullback.codegen.llvm.matmul_plan import SLACK, Chunk
from pullback.codegen.llvm.text import V, i64

COUNTERS = 3  # copies claimed, copies done, tiles claimed


def emit_claimed(nest: Nest, slots: V, first_counter: int, live: V) -> None:
    """All of a product; the pointers are those of the first batch index where batches are not what is claimed."""
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    counters = [counter(fn, slots, first_counter + n) for n in range(COUNTERS)]
    tiles = i64(column_tiles(nest))
    if plan.split == "batch":
        for_claims(fn, counters[2], prod(spec.batch), live, lambda low, high: nest.for_batches(
            low, high, lambda: emit_columns(nest, i64(0), i64(spec.m), i64(0), tiles)))
        return
    nest.select(nest.a, nest.b, i64(0))
    if plan.split == "m":
        if plan.pack_b == "block":
            pack_columns(nest, i64(0), tiles)
        for_claims(fn, counters[2], plan.parts, live, lambda low, high: emit_rows(
            nest, cut(nest, low), cut(nest, high), i64(0), tiles))
        return
    if plan.pack_a:
        copy_rows(nest, counters[0], counters[1], live)
    for_claims(fn, counters[2], column_tiles(nest) * plan.parts, live, lambda low, high: run(nest, low, high))


def column_tiles(nest: Nest) -> int:
    return -(-nest.spec.n // nest.plan.cols)


def cut(nest: Nest, part: V) -> V:
    """The first row of a part: a whole number of the tall tiles that come first, then one of those a row less tall."""
    fn, m, tall = nest.fn, nest.spec.m, nest.plan.tall
    tiles = -(-m // tall)
    at = ix.div(fn, ix.mul(fn, part, tiles), nest.plan.parts)
    rest = ix.maximum(fn, ix.sub(fn, at, i64(m - tiles * (tall - 1))), 0)
    return ix.sub(fn, ix.mul(fn, at, tall), rest)


def block_of(nest: Nest, part: V, terms: Terms, start: V, stop: V) -> Block:
    """The rows of a part, and where they are copied to. A copy may write beyond its end, so there is room."""
    fn, plan = nest.fn, nest.plan
    low, high = cut(nest, part), cut(nest, ix.add(fn, part, 1))
    panels = nest.shared
    if plan.pack_a:
        number = ix.add(fn, ix.mul(fn, ix.div(fn, terms.k, plan.kc), plan.parts), part)
        at = ix.add(fn, ix.mul(fn, terms.k, nest.spec.m), ix.mul(fn, number, SLACK // plan.scalar_bytes))
        panels = ix.offset(fn, panels, at, nest.spec.dtype)
    return Block(low, high, start, stop, terms, i64(0), i64(nest.spec.m), panels)


def copy_rows(nest: Nest, claimed: V, done: V, live: V) -> None:
    """All of A, by parts and blocks of k."""
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    count = -(-spec.k // plan.kc) * plan.parts

    def one(n: V) -> None:
        k = ix.mul(fn, ix.div(fn, n, plan.parts), plan.kc)
        kcount = ix.minimum(fn, ix.sub(fn, i64(spec.k), k), plan.kc)
        block = block_of(nest, ix.rem(fn, n, plan.parts), Terms(k, kcount, k, k), i64(0), i64(0))
        for_rows(nest, block, lambda i, rows, together: pack_a(nest, block, i, rows, together), plan.a_together)

    def some(low: V, high: V) -> None:
        for_range(fn, low, high, 1, one)
        note_done(fn, done, ix.sub(fn, high, low))

    for_claims(fn, claimed, count, live, some)
    await_done(fn, done, count)


def run(nest: Nest, low: V, high: V) -> None:
    """A run of blocks: the rest of a column tile, whole column tiles, and the beginning of another."""
    fn, plan = nest.fn, nest.plan
    begin, end = ix.div(fn, low, plan.parts), ix.div(fn, ix.add(fn, high, plan.parts - 1), plan.parts)

    def columns(start: V) -> None:
        stop = ix.minimum(fn, ix.add(fn, start, plan.nc_tiles), end)
        for_terms(nest, lambda terms: for_columns(nest, start, stop, lambda t, chunks: column(t, chunks, start, terms)))

    def column(t: V, chunks: tuple[Chunk, ...], start: V, terms: Terms) -> None:
        if plan.pack_b != "no":
            pack_b(nest, t, terms.k, terms.count, i64(0))
        at = ix.mul(fn, t, plan.parts)
        first = ix.maximum(fn, ix.sub(fn, low, at), 0)
        last = ix.minimum(fn, ix.sub(fn, high, at), plan.parts)

        def rows(part: V) -> None:
            block = block_of(nest, part, terms, start, end)
            for_rows(nest, block, lambda i, height, _: tile_at(nest, block, i, height, t, chunks))

        for_range(fn, first if plan.parts > 1 else i64(0), last if plan.parts > 1 else i64(1), 1, rows)

    for_range(fn, begin, end, plan.nc_tiles, columns)

"""A tile of results on AMX: the sums of a block of k, what earlier blocks left, and the epilogue, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_plan import Chunk, chunks
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.matmul_tile import hand_over, lines_of
from pullback.codegen.llvm.text import Fn, V, i64, vector

SUM_BYTES = amx.SIDE * amx.LINE_BYTES


@dataclass(frozen=True)
class Sum:
    """A panel of A and where B is, of numbers of so many parts, `count` of at most `most` blocks of 32 steps of k, and
    where finished sums are put."""

    parts: int
    a: V
    b: amx.Columns
    count: V
    most: int
    out: V


@dataclass(frozen=True)
class Partial:
    """Sums of a product whose k is cut: two places for each tile, which take turns, because what was before is needed
    again where sums are no numbers."""

    scratch: V
    half: int  # bytes between the two places
    number: V  # of the tile
    block: V  # of k
    last: V  # whether it is the last one


@dataclass(frozen=True)
class Results:
    """Which results a tile is."""

    epilogue: Epilogue
    batch_index: list[V]
    row: V
    rows: V
    col: V


def emit_tile(fn: Fn, of: Sum, partial: Partial | None, results: Results, deliver: Callable[[], None]) -> None:
    """The sums of a block of k; behind the last block they are at `of.out`, and `deliver` is emitted."""
    def last(before: V) -> None:
        add_products(fn, of, results)
        amx.leave(fn, of.parts, of.a, of.b, of.count, before, of.out)
        deliver()

    if partial is None:
        amx.clear(fn)
        last(amx.zeros(fn))
        return

    def leave() -> None:
        amx.add_products(fn, of.parts, of.a, of.b, of.count)
        amx.leave(fn, of.parts, of.a, of.b, of.count, before, after)

    at = ix.mul(fn, partial.number, SUM_BYTES)
    places = [fn.gep(partial.scratch, ix.add(fn, at, n * partial.half), "i8") for n in (0, 1)]
    odd = fn.compare("icmp", "ne", ix.rem(fn, partial.block, 2), i64(0))
    after, before = fn.select(odd, places[1], places[0]), fn.select(odd, places[0], places[1])
    before = fn.select(fn.compare("icmp", "eq", partial.block, i64(0)), amx.zeros(fn), before)
    amx.resume(fn, before)
    emit_either(fn, partial.last, lambda: last(before), leave)


def add_products(fn: Fn, of: Sum, results: Results) -> None:
    """The sums; what the epilogue will read is asked for meanwhile, some rows in each block of k."""
    def fetch(fn: Fn, row: V) -> None:
        results.epilogue.fetch(fn, results.batch_index, row, results.col, amx.SIDE)

    if not lines_of(fn, lambda trial: fetch(trial, i64(0))):
        amx.add_products(fn, of.parts, of.a, of.b, of.count)
        return
    each = -(-amx.SIDE // of.most)
    loop = fn.begin_loop(i64(0), of.count, i64(1), [of.a])
    rows = fn.begin_loop(ix.mul(fn, loop.counter, each),
                         ix.minimum(fn, ix.mul(fn, ix.add(fn, loop.counter, 1), each), results.rows), i64(1))
    fetch(fn, ix.add(fn, results.row, rows.counter))
    fn.end_loop(rows)
    amx.add_products(fn, of.parts, loop.carried[0], of.b.behind(fn, loop.counter, of.parts), i64(1))
    fn.end_loop(loop, [fn.gep(loop.carried[0], i64(amx.block_bytes(of.parts)), "i8")])


def finish(fn: Fn, out: V, results: Results, parts: tuple[Chunk, ...]) -> None:
    """Hand finished sums over, row by row."""
    loop = fn.begin_loop(i64(0), results.rows, i64(1), [out])
    row = ix.add(fn, results.row, loop.counter)
    for chunk in parts:
        value = fn.load(ix.offset(fn, loop.carried[0], i64(chunk.col), "float"), vector("float", chunk.width), 4)
        hand_over(fn, value, chunk, results.epilogue, results.batch_index, row, results.col)
    fn.end_loop(loop, [fn.gep(loop.carried[0], i64(amx.SIDE), "float")])


def finish_column(fn: Fn, out: V, results: Results, column: V, n: int) -> None:
    """The same in a column of tiles over n columns of results; the last may be narrower."""
    whole, rest = (chunks(width, amx.STRIP, True) for width in (min(n, amx.SIDE), n % amx.SIDE))
    if not rest or n < amx.SIDE:
        finish(fn, out, results, whole)
        return
    emit_either(fn, fn.compare("icmp", "slt", column, i64(n // amx.SIDE)),
                lambda: finish(fn, out, results, whole), lambda: finish(fn, out, results, rest))


def emit_either(fn: Fn, condition: V, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    n = fn.fresh("")
    fn.cond_br(condition, f"then{n}", f"else{n}")
    for label, body in ((f"then{n}", then), (f"else{n}", otherwise)):
        fn.label(label)
        body()
        fn.br(f"joined{n}")
    fn.label(f"joined{n}")

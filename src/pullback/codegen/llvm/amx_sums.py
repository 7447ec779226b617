"""A tile of results on AMX: sums of a block of k, what earlier blocks left, and the epilogue, row by row, beside the
next tile's products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_plan import Chunk, chunks
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.matmul_tile import hand_over, lines_of
from pullback.codegen.llvm.text import Fn, V, i64, vector

SUM_BYTES = amx.SIDE * amx.LINE_BYTES


@dataclass(frozen=True)
class Sum:
    """A panel of A and where B is, of numbers of so many parts, and how many blocks of 32 steps of k."""

    parts: int
    a: V
    b: amx.Columns
    count: V


@dataclass(frozen=True)
class Partial:
    """Sums of a product whose k is cut: two places for each tile, which take turns, because what was before is needed
    again where sums are no numbers."""

    scratch: V
    half: int  # bytes between the two places
    number: V  # of the tile
    block: V  # of k
    last: V  # whether it is the last one


class Tile(NamedTuple):
    """Which results a tile is."""

    row: V
    rows: V
    col: V


@dataclass(frozen=True)
class Results:
    """Finished ones of a tile, up to so many rows of it, and where they go."""

    epilogue: Epilogue
    batch_index: list[V]
    tile: Tile


#: hand rows of finished sums over: the function, where the sums are, which results, and the first row
Finish = Callable[[Fn, V, Results, V], None]


class Later:
    """The epilogue of a tile beside the next tile's products: the matrix unit and vectors work at the same time.

    Meanwhile the sums are at `out`. `finish` hands rows of a tile over, from one on; `batch_index` is that of all tiles
    between `begin` and `end`.
    """

    def __init__(self, fn: Fn, epilogue: Epilogue, batch_index: list[V], out: V, finish: Finish) -> None:
        self.fn, self.epilogue, self.batch_index, self.out, self.finish = fn, epilogue, batch_index, out, finish
        self.waiting = fn.alloca("i64", 3)  # the tile's row, how many rows it has, and its column

    def begin(self) -> None:
        """No tile waits."""
        self.put(i64(0), i64(0), i64(0))

    def put(self, *tile: V) -> None:
        for n, value in enumerate(tile):
            self.fn.store(value, ix.offset(self.fn, self.waiting, i64(n), "i64"), 8)

    def rows(self, first: V, stop: V) -> None:
        """Some rows of the tile that waits."""
        fn = self.fn
        tile = Tile(*[fn.load(ix.offset(fn, self.waiting, i64(n), "i64"), "i64", 8) for n in range(3)])
        finished = tile._replace(rows=ix.minimum(fn, stop, tile.rows))
        self.finish(fn, self.out, Results(self.epilogue, self.batch_index, finished), first)

    def end(self) -> None:
        """The last tile."""
        self.rows(i64(0), i64(amx.SIDE))


def emit_tile(fn: Fn, of: Sum, partial: Partial | None, tile: Tile, later: Later) -> None:
    """The sums of a block of k; behind the last block they wait for the next tile."""
    def last(before: V) -> None:
        add_products(fn, of, tile, later)
        amx.leave(fn, of.parts, of.a, of.b, of.count, before, later.out)
        later.put(*tile)

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


def add_products(fn: Fn, of: Sum, tile: Tile, later: Later) -> None:
    """The sums; meanwhile, some rows in each block of k, the tile before is handed over, and what this one's epilogue
    will read is asked for."""
    def fetch(fn: Fn, row: V) -> None:
        later.epilogue.fetch(fn, later.batch_index, row, tile.col, amx.SIDE)

    each = ix.div(fn, ix.add(fn, of.count, amx.SIDE - 1), of.count)
    loop = fn.begin_loop(i64(0), of.count, i64(1), [of.a])
    first = ix.mul(fn, loop.counter, each)
    stop = ix.add(fn, first, each)
    later.rows(first, stop)
    if lines_of(fn, lambda trial: fetch(trial, i64(0))):
        rows = fn.begin_loop(first, ix.minimum(fn, stop, tile.rows), i64(1))
        fetch(fn, ix.add(fn, tile.row, rows.counter))
        fn.end_loop(rows)
    amx.add_products(fn, of.parts, loop.carried[0], of.b.behind(fn, loop.counter, of.parts), i64(1))
    fn.end_loop(loop, [fn.gep(loop.carried[0], i64(amx.block_bytes(of.parts)), "i8")])


def finish(fn: Fn, out: V, results: Results, first: V, parts: tuple[Chunk, ...]) -> None:
    """Hand finished sums over, row by row."""
    loop = fn.begin_loop(first, results.tile.rows, i64(1))
    row, at = ix.add(fn, results.tile.row, loop.counter), fn.gep(out, ix.mul(fn, loop.counter, amx.SIDE), "float")
    for chunk in parts:
        value = fn.load(ix.offset(fn, at, i64(chunk.col), "float"), vector("float", chunk.width), 4)
        hand_over(fn, value, chunk, results.epilogue, results.batch_index, row, results.tile.col)
    fn.end_loop(loop)


def finish_columns(n: int) -> Finish:
    """The same in tiles of n columns of results; the last may be narrower."""
    whole, rest = (chunks(width, amx.STRIP, True) for width in (min(n, amx.SIDE), n % amx.SIDE))
    if not rest or n < amx.SIDE:
        return lambda fn, out, results, first: finish(fn, out, results, first, whole)
    return lambda fn, out, results, first: emit_either(
        fn, fn.compare("icmp", "slt", results.tile.col, i64(n - n % amx.SIDE)),
        lambda: finish(fn, out, results, first, whole), lambda: finish(fn, out, results, first, rest))


def emit_either(fn: Fn, condition: V, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    n = fn.fresh("")
    fn.cond_br(condition, f"then{n}", f"else{n}")
    for label, body in ((f"then{n}", then), (f"else{n}", otherwise)):
        fn.label(label)
        body()
        fn.br(f"joined{n}")
    fn.label(f"joined{n}")

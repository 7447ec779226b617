"""What the two attention kernels are made of: sizes of blocks, products of blocks in scratch, copies of rows.

Where attention is causal, `diagonal` is the first key of a block of scores less its first query: key j of it is
seen by the queries from j + diagonal on. A tile of a product leaves out what no pair of it sees; within a tile, what is
not seen has been set to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import lcm
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import CLAIM_FLOPS, counter, for_claims, share
from pullback.codegen.llvm.kernels import PARAMS, EmittedKernel, Slots
from pullback.codegen.llvm.math import Ops
from pullback.codegen.llvm.matmul import load_pointer
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import (
    PackShape,
    emit_pack,
    lane_mask,
    masked_load,
    masked_store,
    shuffle,
    zero,
)
from pullback.codegen.llvm.matmul_plan import Chunk, chunks, pack_lanes, round_up, tile_shape
from pullback.codegen.llvm.matmul_spec import MatmulSpec, Operand
from pullback.codegen.llvm.matmul_tile import TileInput, accumulate, multiply_add
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, element, i64, lanes, vector
from pullback.kernel.nodes import AttentionNest, Rows

KEYS = 96  # of a block, about
QUERIES = (48, 96)  # of a block of the first kernel, whose scores stay in the first-level cache, and of the second


class Blocks(NamedTuple):
    """Sizes, in elements: of tiles (`rows` x `cols` scores), of blocks, of rows of features padded to tiles."""

    scalar: str
    size: int
    lanes: int
    rows: int
    vectors: int
    queries: int
    keys: int
    d: int
    e: int
    d_vectors: int
    e_vectors: int
    target: Target

    @property
    def cols(self) -> int:
        return self.vectors * self.lanes

    @property
    def d_padded(self) -> int:
        return padded(self.d, self.d_vectors * self.lanes)

    @property
    def e_padded(self) -> int:
        return padded(self.e, self.e_vectors * self.lanes)

    @property
    def d_tiles(self) -> int:
        return self.d_padded // (self.d_vectors * self.lanes)

    @property
    def e_tiles(self) -> int:
        return self.e_padded // (self.e_vectors * self.lanes)

    @property
    def wide(self) -> int:
        """Scores that the steps between products take at once: two vectors hide each other's latency."""
        return 2 * self.lanes


def padded(count: int, multiple: int) -> int:
    return max(round_up(count, multiple), multiple)


def blocks_of(nest: AttentionNest, scalar: str, target: Target) -> Blocks:
    """The sizes for a nest on a processor."""
    lanes = target.lanes(scalar)
    rows, vectors = tile_shape(MatmulSpec(64, 64, 64, Operand(64, 1), Operand(64, 1), scalar), target)
    wide, backward = 2 * lanes, len(nest.inputs) > 3
    # blocks are whole tiles: of rows and columns of scores, and in the second kernel keys are rows as well
    units = lcm(rows, wide), lcm(vectors * lanes, wide, rows if backward else 1)

    def across(width: int) -> int:
        """Vectors of a tile over features: the most that pad least."""
        return min(range(vectors, 0, -1), key=lambda n: padded(width, n * lanes))

    queries, keys = (unit * max(1, round(n / unit)) for n, unit in zip((QUERIES[backward], KEYS), units, strict=True))
    return Blocks(scalar, 8 if scalar == "double" else 4, lanes, rows, vectors, queries, keys,
                  nest.d, nest.e, across(nest.d), across(nest.e), target)


class Tiles(NamedTuple):
    """A product C = A B of blocks in scratch, in tiles; strides in elements, `b_tile` between B's column tiles.

    `into`: "set", "add" (to C), or "scale" (C times the row's factor, plus). `sees`: what a causal product leaves out:
    "rows" of C before the diagonal, the "last" or the "first" terms; "" nothing.
    """

    rows: int
    vectors: int
    a_row: int
    a_term: int
    b_term: int
    b_tile: int
    c_row: int
    into: str
    sees: str


TILE_PARAMS = [("ptr", "a"), ("ptr", "b"), ("ptr", "c"), ("ptr", "factors"), ("i64", "rowtiles"), ("i64", "coltiles"),
               ("i64", "terms"), ("i64", "diagonal")]


def emit_tiles(module: Module, name: str, t: Tiles, b: Blocks) -> None:
    """Emit `void name(a, b, c, factors, rowtiles, coltiles, terms, diagonal)`."""
    fn = module.function(name, TILE_PARAMS, attributes="#1", linkage="internal")
    left, right, out, factors, row_tiles, col_tiles, terms, diagonal = fn.params
    cols = t.vectors * b.lanes

    def column(c: V) -> None:
        start = i64(0)
        if t.sees == "rows":
            start = ix.div(fn, ix.maximum(fn, ix.add(fn, ix.mul(fn, c, cols), diagonal), 0), t.rows)
        place = fn.gep(right, ix.mul(fn, c, t.b_tile), b.scalar)
        target = fn.gep(out, ix.mul(fn, c, cols), b.scalar)
        for_range(fn, start, row_tiles, 1, lambda r: tile(r, place, target))

    def tile(r: V, place: V, target: V) -> None:
        row = ix.mul(fn, r, t.rows)
        first, count = i64(0), terms
        if t.sees == "last":
            seen = fn.binary("sub", ix.add(fn, row, t.rows), diagonal)
            count = ix.maximum(fn, ix.minimum(fn, seen, terms), 0)
        elif t.sees == "first":
            first = ix.minimum(fn, ix.maximum(fn, fn.add(row, diagonal), 0), terms)
            count = fn.binary("sub", terms, first)
        a = fn.gep(left, fn.add(ix.mul(fn, row, t.a_row), ix.mul(fn, first, t.a_term)), b.scalar)
        source = TileInput(a, ix.offset(fn, place, ix.mul(fn, first, t.b_term), b.scalar), t.a_row, t.a_term, t.b_term,
                           True, count, b.scalar, b.size, b.target.fma)
        parts = tuple(Chunk(n * b.lanes, b.lanes, b.lanes) for n in range(t.vectors))
        sums = accumulate(fn, source, t.rows, parts)
        keep(fn, t, b, sums, fn.gep(target, ix.mul(fn, row, t.c_row), b.scalar), fn.gep(factors, row, b.scalar))

    for_range(fn, i64(0), col_tiles, 1, column)
    fn.ret()


def keep(fn: Fn, t: Tiles, b: Blocks, sums: list[V], out: V, factors: V) -> None:
    """What becomes of a tile's sums."""
    for r in range(t.rows):
        factor: V | None = None
        if t.into == "scale":
            factor = fn.splat(fn.load(ix.offset(fn, factors, i64(r), b.scalar), b.scalar, b.size), b.lanes)
        for n in range(t.vectors):
            value = sums[r * t.vectors + n]
            place = ix.offset(fn, out, i64(r * t.c_row + n * b.lanes), b.scalar)
            if t.into != "set":
                held = fn.load(place, value.type, b.size)
                value = (fn.binary("fadd", held, value) if factor is None
                         else multiply_add(fn, held, factor, value, b.target.fma))
            fn.store(value, place, b.size)


def call_tiles(fn: Fn, name: str, a: V, b: V, c: V, factors: V | None, tiles: tuple[V, V], terms: V,
               diagonal: V) -> None:
    fn.call(name, "void", a, b, c, c if factors is None else factors, *tiles, terms, diagonal, declare=False)


# -- copies ------------------------------------------------------------------------------------------------------------
ROWS_PARAMS = [("ptr", "src"), ("ptr", "dst"), ("i64", "stride"), ("i64", "valid"), ("i64", "total")]


def emit_fetch(module: Module, name: str, width: int, step: int, b: Blocks) -> None:
    """Emit `void name(src, dst, stride, valid, total, factor)`: rows `stride` apart times a factor, to rows `step`
    apart; zeros up to the step, and in the rows from `valid` to `total`."""
    fn = module.function(name, [*ROWS_PARAMS, (b.scalar, "factor")], attributes="#1", linkage="internal")
    src, dst, stride, valid, total, factor = fn.params

    def row(r: V) -> None:
        over_row(fn, b, fn.gep(src, fn.mul(r, stride), b.scalar), fn.gep(dst, ix.mul(fn, r, step), b.scalar), width,
                 factor, step)

    for_range(fn, i64(0), valid, 1, row)
    clear(fn, b, fn.gep(dst, ix.mul(fn, valid, step), b.scalar), ix.mul(fn, fn.binary("sub", total, valid), step))
    fn.ret()


def emit_give(module: Module, name: str, width: int, step: int, b: Blocks) -> None:
    """Emit `void name(src, dst, stride, valid, total, factor)`: rows `step` apart times a factor, to rows `stride`
    apart."""
    fn = module.function(name, [*ROWS_PARAMS, (b.scalar, "factor")], attributes="#1", linkage="internal")
    src, dst, stride, valid, _, factor = fn.params
    for_range(fn, i64(0), valid, 1, lambda r: over_row(
        fn, b, fn.gep(src, ix.mul(fn, r, step), b.scalar), fn.gep(dst, fn.mul(r, stride), b.scalar), width, factor))
    fn.ret()


def over_row(fn: Fn, b: Blocks, src: V, dst: V, width: int, factor: V, step: int = 0) -> None:
    """dst = src * factor over the elements of a row, and zeros up to `step`."""
    whole = width // b.lanes * b.lanes
    type_, times = vector(b.scalar, b.lanes), fn.splat(factor, b.lanes)

    def one(c: V) -> None:
        value = fn.load(fn.gep(src, c, b.scalar), type_, b.size)
        fn.store(fn.binary("fmul", value, times), fn.gep(dst, c, b.scalar), b.size)

    for_range(fn, i64(0), i64(whole), b.lanes, one)
    for c in range(whole, step, b.lanes):
        fn.store(zero(type_), fn.gep(dst, i64(c), b.scalar), b.size)
    for part in chunks(width - whole, b.lanes, b.target.masked_memory):
        tail(fn, b, fn.gep(src, i64(whole + part.col), b.scalar), fn.gep(dst, i64(whole + part.col), b.scalar), part,
             factor)


def tail(fn: Fn, b: Blocks, src: V, dst: V, part: Chunk, factor: V) -> None:
    """The last elements of a row, of which some lanes may not exist."""
    put(fn, b, fn.binary("fmul", take(fn, b, src, part), fn.splat(factor, part.width)), dst, part)


def take(fn: Fn, b: Blocks, src: V, part: Chunk) -> V:
    """A vector of which some lanes may not exist."""
    type_ = vector(b.scalar, part.width)
    if part.valid == part.width:
        return fn.load(src, type_, b.size)
    return masked_load(fn, src, type_, b.size, lane_mask(part.valid, part.width))


def put(fn: Fn, b: Blocks, value: V, dst: V, part: Chunk) -> None:
    """Store the lanes of a vector that exist."""
    if part.valid == part.width:
        fn.store(value, dst, b.size)
    else:
        masked_store(fn, value, dst, b.size, lane_mask(part.valid, part.width))


def clear(fn: Fn, b: Blocks, dst: V, count: V) -> None:
    """Zeros; a multiple of the lanes of them."""
    for_range(fn, i64(0), count, b.lanes, lambda n: fn.store(
        zero(vector(b.scalar, b.lanes)), fn.gep(dst, n, b.scalar), b.size))


def emit_panels(module: Module, name: str, rows: Rows, count: int, width: int, b: Blocks) -> None:
    """Emit the function that copies `cols` rows into a panel, transposed: one element of each row side by side."""
    emit_pack(module, name, PackShape(b.scalar, b.size, rows.row_stride, 1, count, b.cols, width,
                                      pack_lanes(b.lanes, b.size), b.target.masked_memory, False))


def pack_panels(fn: Fn, name: str, b: Blocks, src: V, dst: V, first: V, tiles: V, width: int) -> None:
    """`tiles` panels of the rows from `first` on, one after the other."""
    def one(t: V) -> None:
        fn.call(name, "void", src, fn.gep(dst, ix.mul(fn, t, b.cols * width), b.scalar),
                fn.add(first, ix.mul(fn, t, b.cols)), i64(width), i64(b.cols), i64(1), declare=False)

    for_range(fn, i64(0), tiles, 1, one)


def panel_elements(b: Blocks, count: int, width: int) -> int:
    """Elements of the panels of so many rows."""
    return round_up(max(count, 1), b.cols) * max(width, 1)


# -- scratch and operands ----------------------------------------------------------------------------------------------
class Scratch:
    """Pieces of a thread's own workspace, each with room behind for what copies write too far."""

    def __init__(self, size: int) -> None:
        self.size, self.nbytes = size, 0

    def take(self, elements: int) -> int:
        """Where a new piece begins, in bytes."""
        at = self.nbytes
        self.nbytes += round_up(elements * self.size) + 128
        return at


class Operands:
    """Addresses of a nest's operands."""

    def __init__(self, fn: Fn, nest: AttentionNest, table: Slots, b: Blocks) -> None:
        self.fn, self.nest, self.b = fn, nest, b
        self.bases = {id(rows): load_pointer(fn, fn.params[0], table.of(rows.buffer, rows.offset))
                      for rows in (*nest.reads, *nest.results) if rows is not None}

    def at(self, rows: Rows, index: list[V], row: V | None = None, scalar: str = "") -> V:
        """The address of a row (the first) of a batch index."""
        total = i64(0)
        for i, stride in zip(index, rows.strides, strict=True):
            total = ix.add(self.fn, total, ix.mul(self.fn, i, stride))
        if row is not None:
            total = ix.add(self.fn, total, ix.mul(self.fn, row, rows.row_stride))
        return ix.offset(self.fn, self.bases[id(rows)], total, scalar or self.b.scalar)


class Shared(NamedTuple):
    """A kernel whose units are shared out among threads."""

    fn: Fn
    operands: Operands
    places: dict[str, V]  # of its scratch areas
    units: int
    live: V  # threads that take part
    claims: V | None  # the counter of units that are claimed, where they are many
    made: EmittedKernel

    def run(self, body: Callable[[V, V], None]) -> EmittedKernel:
        """`body` on each range of units that is this thread's; closes the function."""
        if self.claims is None:
            body(*share(self.fn, self.units, self.fn.params[1], self.live))
        else:
            for_claims(self.fn, self.claims, self.units, self.live, body)
        self.fn.br("done")
        self.fn.label("done")
        self.fn.ret()
        return self.made


class Site(NamedTuple):
    """Where a kernel is emitted: its module and name, the table it reads, the threads there are, its operations."""

    module: Module
    name: str
    table: Slots
    threads: int
    flops: int
    linkage: str


def begin(site: Site, nest: AttentionNest, b: Blocks, scratch: Scratch, areas: dict[str, int], units: int) -> Shared:
    """A kernel, up to what a thread does with its share of the units."""
    used = max(1, min(site.threads, units))
    fn = site.module.function(site.name, PARAMS, linkage=site.linkage)
    _, tid, nthreads = fn.params
    live = ix.minimum(fn, nthreads, used)
    fn.cond_br(fn.compare("icmp", "slt", tid, live), "work", "done")
    fn.label("work")
    operands = Operands(fn, nest, site.table, b)
    workspace = load_pointer(fn, fn.params[0], site.table.area(scratch.nbytes * used))
    mine = fn.gep(workspace, ix.mul(fn, tid, scratch.nbytes), "i8")
    places = {k: fn.gep(mine, i64(at), "i8") for k, at in areas.items()}
    claims = counter(fn, fn.params[0], site.table.counters(1)) if used > 1 and site.flops >= CLAIM_FLOPS else None
    return Shared(fn, operands, places, units, live, claims, EmittedKernel(site.name, used, scratch.nbytes * used))


def batch_index(fn: Fn, nest: AttentionNest, flat: V) -> list[V]:
    """The indices of a flat batch number."""
    found: list[V] = []
    for n, size in enumerate(reversed(nest.batch)):
        found.insert(0, ix.rem(fn, flat, size) if n + 1 < len(nest.batch) else flat)
        flat = ix.div(fn, flat, size)
    return found


def tiles_for(fn: Fn, count: V, each: int) -> V:
    return ix.div(fn, ix.add(fn, count, each - 1), each)


def lane_numbers(width: int) -> V:
    return V(f"<{', '.join(f'i32 {n}' for n in range(width))}>", vector("i32", width))


def hide(fn: Fn, b: Blocks, row: V, seen: V, stop: V, value: float) -> None:
    """Set the elements from `seen` on to a value, up to `stop`; both but `seen` at whole steps."""
    type_ = vector(b.scalar, b.wide)
    start = ix.mul(fn, fn.binary("sdiv", seen, i64(b.wide)), b.wide)

    def one(c: V) -> None:
        place = fn.gep(row, c, b.scalar)
        bound = fn.splat(fn.cast("trunc", fn.binary("sub", seen, c), "i32"), b.wide)
        there = fn.compare("icmp", "slt", lane_numbers(b.wide), bound)
        fn.store(fn.select(there, fn.load(place, type_, b.size), const(value, type_)), place, b.size)

    for_range(fn, start, stop, b.wide, one)


def mask_at(operands: Operands, mask: Rows, index: list[V], row: V, key: V) -> V:
    """Where the mask of a block of scores begins."""
    at = operands.at(mask, index, row)
    return operands.fn.gep(at, key, operands.b.scalar) if mask.step else at


def add_mask(fn: Fn, b: Blocks, row: V, given: Rows, mask: V, width: V) -> None:
    """Add a row of the mask (the first is at `mask`) to a row of scores: whole vectors, then one by one."""
    one = None if given.step else fn.load(mask, b.scalar, b.size)

    def some(c: V, lanes: int) -> None:
        type_, place = vector(b.scalar, lanes), fn.gep(row, c, b.scalar)
        added = fn.load(fn.gep(mask, c, b.scalar), type_, b.size) if one is None else fn.splat(one, lanes)
        fn.store(fn.binary("fadd", fn.load(place, type_, b.size), added), place, b.size)

    whole = ix.mul(fn, ix.div(fn, width, b.lanes), b.lanes)
    for_range(fn, i64(0), whole, b.lanes, lambda c: some(c, b.lanes))
    for_range(fn, whole, width, 1, lambda c: some(c, 1))


def seen_of(fn: Fn, b: Blocks, causal: bool, row: V, width: V, diagonal: V) -> tuple[V, V]:
    """How many keys of a block a query sees, and up to where tiles read what it does not see."""
    wide = i64(b.wide)
    if not causal:
        stop = ix.mul(fn, tiles_for(fn, width, b.wide), wide)
        return width, stop
    seen = fn.binary("sub", ix.add(fn, row, 1), diagonal)
    seen = ix.maximum(fn, ix.minimum(fn, seen, width), 0)
    stop = ix.mul(fn, tiles_for(fn, ix.add(fn, seen, b.rows - 1), b.wide), wide)
    return seen, ix.minimum(fn, stop, b.keys)


def lowest(b: Blocks) -> V:
    return const(float("-inf"), vector(b.scalar, b.wide))


# -- softmax -----------------------------------------------------------------------------------------------------------
def finite(o: Ops, top: V) -> V:
    """What is subtracted from scores: 0 where all are -inf."""
    return o.sel(o.cmp("oeq", top, o.c(-math.inf)), o.c(0.0), top)


def larger(o: Ops, x: V, y: V) -> V:
    """max(x, y); y where x is NaN: a NaN among the scores makes its own power NaN."""
    return o.sel(o.cmp("ogt", x, y), x, y)


def folded(fn: Fn, value: V, combine: Callable[[Ops, V, V], V]) -> V:
    """The lanes of a vector combined to one, by halves."""
    while (width := lanes(value.type)) > 1:
        half = vector(element(value.type), width // 2)
        if width == 2:
            low, high = fn.extract(value, 0), fn.extract(value, 1)
        else:
            low, high = (V(shuffle(fn, value, value, list(range(k, k + width // 2)), value.type).ref, half)
                         for k in (0, width // 2))
        value = combine(Ops(fn, half), low, high)
    return value

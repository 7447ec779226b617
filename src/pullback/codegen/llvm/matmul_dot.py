"""Tiles of dot products: few rows, both operands contiguous along k, vectors running along k.

With one row, the columns of B (rows of a matrix in memory) are read one after the other: one stream is what processors
fetch ahead best. With more, those of a tile are read side by side, so that each vector of A serves all of them.
"""

from __future__ import annotations

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_nest import Nest, for_range, full_tiles
from pullback.codegen.llvm.matmul_pack import lane_mask, masked_load, shuffle, zero
from pullback.codegen.llvm.matmul_plan import Chunk
from pullback.codegen.llvm.matmul_tile import hand_over, multiply_add
from pullback.codegen.llvm.text import Fn, V, i64, lanes, vector

AHEAD = 8  # vectors of a column from which on columns are read one after the other
SUMS = 4  # sums of one column, side by side


def emit_dots(nest: Nest, tile: V, tile_stop: V) -> None:
    """All column tiles of a range, each with all rows of the product."""
    fn, full = nest.fn, i64(full_tiles(nest))
    for_range(fn, tile, ix.minimum(fn, tile_stop, full), 1, lambda t: dot_tile(nest, t, nest.plan.full))
    if nest.plan.edge:
        for_range(fn, ix.maximum(fn, tile, full), tile_stop, 1, lambda t: dot_tile(nest, t, nest.plan.edge))


def dot_tile(nest: Nest, tile: V, chunks: tuple[Chunk, ...]) -> None:
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    scalar, width = spec.dtype, plan.lanes
    col = ix.mul(fn, tile, plan.cols)
    cols = sum(chunk.valid for chunk in chunks)
    base = ix.offset(fn, nest.b, ix.mul(fn, col, spec.b.col_stride), scalar)
    a_rows = [ix.offset(fn, nest.a, i64(r * spec.a.row_stride), scalar) for r in range(spec.m)]
    b_cols = [ix.offset(fn, base, i64(c * spec.b.col_stride), scalar) for c in range(cols)]
    if spec.m == 1 and spec.k >= AHEAD * width:
        acc = one_by_one(nest, a_rows[0], base, cols)
    else:
        acc = side_by_side(nest, a_rows, b_cols)
    for r in range(spec.m):
        for chunk in chunks:
            mine = acc[r * cols + chunk.col:r * cols + chunk.col + chunk.valid]
            mine += [mine[-1]] * (chunk.width - chunk.valid)
            hand_over(fn, sum_lanes(fn, mine), chunk, nest.epilogue, nest.batch_index, i64(r), col)


def side_by_side(nest: Nest, a_rows: list[V], b_cols: list[V]) -> list[V]:
    """Lane by lane sums of each row and column, all at once."""
    fn, k, width = nest.fn, nest.spec.k, nest.plan.lanes
    start = [zero(vector(nest.spec.dtype, width)) for _ in range(len(a_rows) * len(b_cols))]
    whole = k // width * width
    loop = fn.begin_loop(i64(0), i64(whole), i64(width), start)
    acc = fn.end_loop(loop, dot_step(nest, a_rows, b_cols, loop.counter, loop.carried, width), hot=True)
    return dot_step(nest, a_rows, b_cols, i64(whole), acc, k - whole) if k > whole else acc


def one_by_one(nest: Nest, a: V, base: V, cols: int) -> list[V]:
    """The same of one row, a column after the other; several vectors of a column hide each other's latency."""
    fn, spec, width = nest.fn, nest.spec, nest.plan.lanes
    type_, size = vector(spec.dtype, width), width * nest.plan.scalar_bytes
    slot = fn.alloca(type_, cols)
    columns = fn.begin_loop(i64(0), i64(cols), i64(1), [base])
    column = columns.carried[0]
    step = SUMS * width
    whole = spec.k // step * step
    loop = fn.begin_loop(i64(0), i64(whole), i64(step), [zero(type_)] * SUMS)
    acc = fn.end_loop(loop, [dot_step(nest, [a], [column], ix.add(fn, loop.counter, n * width), [held], width)[0]
                             for n, held in enumerate(loop.carried)])
    for n, k in enumerate(range(whole, spec.k, width)):
        acc[n] = dot_step(nest, [a], [column], i64(k), [acc[n]], min(width, spec.k - k))[0]
    while len(acc) > 1:
        acc = [fn.binary("fadd", x, y) for x, y in zip(acc[::2], acc[1::2], strict=True)]
    fn.store(acc[0], fn.gep(slot, columns.counter, type_), size)
    fn.end_loop(columns, [fn.gep(column, i64(spec.b.col_stride), spec.dtype)])
    return [fn.load(fn.gep(slot, i64(c), type_), type_, size) for c in range(cols)]


def dot_step(nest: Nest, a_rows: list[V], b_cols: list[V], k: V, acc: list[V], valid: int) -> list[V]:
    """One vector of k (its first `valid` lanes) of every row and column."""
    a = [load_along(nest, row, k, valid) for row in a_rows]
    result = list(acc)
    for c, column in enumerate(b_cols):
        b = load_along(nest, column, k, valid)
        for r, row in enumerate(a):
            at = r * len(b_cols) + c
            result[at] = multiply_add(nest.fn, row, b, acc[at], nest.fma)
    return result


def load_along(nest: Nest, row: V, k: V, valid: int) -> V:
    scalar, width = nest.spec.dtype, nest.plan.lanes
    address, type_ = ix.offset(nest.fn, row, k, scalar), vector(scalar, width)
    if valid == width:
        return nest.fn.load(address, type_, nest.plan.scalar_bytes)
    return masked_load(nest.fn, address, type_, nest.plan.scalar_bytes, lane_mask(valid, width))


def sum_lanes(fn: Fn, rows: list[V]) -> V:
    """The sums of all lanes of each vector, as one vector; a power of two of vectors, at most as many as lanes."""
    count = len(rows)
    while len(rows) > 1:
        rows = [add_neighbours(fn, rows[i], rows[i + 1]) for i in range(0, len(rows), 2)]
    value = rows[0]
    while lanes(value.type) > max(count, 2):
        value = add_neighbours(fn, value, None)
    if count > 1:
        return value
    return fn.binary("fadd", fn.extract(value, 0), fn.extract(value, 1))


def add_neighbours(fn: Fn, a: V, b: V | None) -> V:
    """Sums of neighbouring lanes of a, then of b; of a alone the result has half the lanes."""
    width = lanes(a.type)
    total = width if b is None else 2 * width
    other = V("poison", a.type) if b is None else b
    even = shuffle(fn, a, other, list(range(0, total, 2)), a.type)
    odd = shuffle(fn, a, other, list(range(1, total, 2)), a.type)
    type_ = vector(a.type[1:-1].split(" x ")[1], total // 2)
    return fn.binary("fadd", V(even.ref, type_), V(odd.ref, type_))

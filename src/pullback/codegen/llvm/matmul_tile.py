"""The register tile: `rows` x `chunks` accumulators over one block of k, then the epilogue straight from registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_pack import LINE, ask, lane_mask, masked_load, shuffle, zero
from pullback.codegen.llvm.matmul_plan import Chunk
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.text import Fn, V, i64, lanes, vector

APART = 16  # steps of k at least between the rows whose operands are fetched
PAIRS, LEAST_PAIRS = "llvm.x86.avx512bf16.dpbf16ps", 4  # lanes of the smallest register
UNIT_BYTES = {"i16": 2}  # of what `TileInput.a_unit` names: elements are no better aligned
HEAVY_LINES = 14  # an epilogue longer than this is emitted once, in a loop over the tile's rows


@dataclass(frozen=True)
class TileInput:
    """Where a tile reads: addresses of its first row / column in this block of k, and the constant strides."""

    a: V
    b: V
    a_row: int
    a_k: int
    b_k: int
    b_packed: bool
    kcount: V
    scalar: str
    size: int
    fma: bool
    ahead: int = 0  # steps of k before its use that a line of B is asked for
    pairs: bool = False  # elements are pairs of bfloat16 numbers
    a_unit: str = ""  # what `a_row` and `a_k` count, where not scalars


@dataclass(frozen=True)
class Partial:
    """Partial sums of a product whose k is cut in blocks: this tile's scratch and which block this is."""

    address: V
    step: int
    first: V
    last: V


def multiply_add(fn: Fn, a: V, b: V, c: V, fma: bool, pairs: bool = False) -> V:
    """c + a b; where they are pairs of bfloat16 numbers, c + a[0] b[0] + a[1] b[1]."""
    if pairs:
        return _add_pairs(fn, a, b, c)
    return fn.intrinsic("llvm.fma" if fma else "llvm.fmuladd", c.type, a, b, c)


def _add_pairs(fn: Fn, a: V, b: V, c: V) -> V:
    """Of whole registers; a number alone is the first lane of the smallest."""
    least = vector("float", LEAST_PAIRS)
    if c.type[0] != "<":
        wide = [fn.insert(zero(least), x, 0) for x in (a, b, c)]
        return fn.extract(_add_pairs(fn, *wide), 0)
    width = lanes(c.type)
    if width < LEAST_PAIRS:
        picks = [*range(width), *[width] * (LEAST_PAIRS - width)]
        wide = [shuffle(fn, x, zero(x.type), picks, least) for x in (a, b, c)]
        return shuffle(fn, _add_pairs(fn, *wide), zero(least), list(range(width)), c.type)
    pairs = vector("bfloat", 2 * width)
    return fn.call(f"{PAIRS}.{32 * width}", c.type, c, fn.cast("bitcast", a, pairs), fn.cast("bitcast", b, pairs))


def accumulate(fn: Fn, src: TileInput, rows: int, chunks: tuple[Chunk, ...],
               meanwhile: Callable[[V], None] | None = None) -> list[V]:
    """Run k and return the accumulators, row by row; `meanwhile` is emitted for each row, at even distances of k."""
    start = [zero(vector(src.scalar, chunk.width)) for _ in range(rows) for chunk in chunks]
    if ix.literal(src.kcount) == 1:
        return step(fn, src, rows, chunks, src.a, src.b, start)

    def run(begin: V, end: V, carried: list[V]) -> list[V]:
        loop = fn.begin_loop(begin, end, i64(1), carried)
        a, b, *acc = loop.carried
        acc = step(fn, src, rows, chunks, a, b, acc)
        after = [fn.gep(a, i64(src.a_k), src.a_unit or src.scalar), fn.gep(b, i64(src.b_k), src.scalar), *acc]
        return fn.end_loop(loop, after, hot=True)

    if meanwhile is None:
        return run(i64(0), src.kcount, [src.a, src.b, *start])[2:]
    turns = fn.begin_loop(i64(0), i64(rows), i64(1), [src.a, src.b, *start])
    meanwhile(turns.counter)
    begin, end = (ix.div(fn, ix.mul(fn, src.kcount, ix.add(fn, turns.counter, n)), rows) for n in (0, 1))
    return fn.end_loop(turns, run(begin, end, turns.carried))[2:]


def step(fn: Fn, src: TileInput, rows: int, chunks: tuple[Chunk, ...], a: V, b: V, acc: list[V]) -> list[V]:
    """One step of k: a vector of B per chunk, a broadcast of A per row, a multiply-add per accumulator."""
    loaded = [load_chunk(fn, src, b, chunk) for chunk in chunks]
    width = sum(chunk.width for chunk in chunks) if src.ahead else 0
    for column in range(0, width, LINE // src.size):
        ask(fn, ix.offset(fn, b, i64(src.ahead * src.b_k + column), src.scalar))
    result: list[V] = []
    for row in range(rows):
        at = ix.offset(fn, a, i64(row * src.a_row), src.a_unit or src.scalar)
        one = fn.load(at, src.scalar, UNIT_BYTES.get(src.a_unit, src.size))
        for c, chunk in enumerate(chunks):
            whole = fn.splat(one, chunk.width)
            result.append(multiply_add(fn, whole, loaded[c], acc[row * len(chunks) + c], src.fma, src.pairs))
    return result


def load_chunk(fn: Fn, src: TileInput, b: V, chunk: Chunk) -> V:
    address = ix.offset(fn, b, i64(chunk.col), src.scalar)
    type_ = vector(src.scalar, chunk.width)
    if chunk.valid < chunk.width and not src.b_packed:
        return masked_load(fn, address, type_, src.size, lane_mask(chunk.valid, chunk.width))
    return fn.load(address, type_, src.size)


def emit_tile(fn: Fn, src: TileInput, rows: int, chunks: tuple[Chunk, ...], partial: Partial | None,
              epilogue: Epilogue, batch_index: list[V], row: V, col: V) -> None:
    """One tile: accumulate, add what earlier blocks of k left, then hand over to the epilogue or leave it again."""
    width = sum(chunk.valid for chunk in chunks)

    def fetch(fn: Fn, r: V) -> None:
        epilogue.fetch(fn, batch_index, ix.add(fn, row, r), col, width)

    fetched = lines_of(fn, lambda trial: fetch(trial, i64(0))) > 0
    depth = ix.literal(src.kcount)
    meanwhile = None
    if fetched and (depth is None or depth >= APART * rows):
        meanwhile = partial_last(fn, partial, fetch)
    elif fetched:
        for r in range(rows):
            fetch(fn, i64(r))
    acc = accumulate(fn, src, rows, chunks, meanwhile)
    deliver(fn, src, acc, rows, chunks, partial, epilogue, batch_index, row, col)


def partial_last(fn: Fn, partial: Partial | None, body: Callable[[Fn, V], None]) -> Callable[[V], None]:
    """The body, run in the last block of k."""
    def run(r: V) -> None:
        if partial is None:
            body(fn, r)
            return
        name = fn.fresh("")
        fn.cond_br(partial.last, f"ask{name}", f"asked{name}")
        fn.label(f"ask{name}")
        body(fn, r)
        fn.br(f"asked{name}")
        fn.label(f"asked{name}")

    return run


def deliver(fn: Fn, src: TileInput, acc: list[V], rows: int, chunks: tuple[Chunk, ...], partial: Partial | None,
            epilogue: Epilogue, batch_index: list[V], row: V, col: V) -> None:
    """What becomes of a tile's sums over one block of k."""
    if partial is None:
        finish(fn, acc, rows, chunks, epilogue, batch_index, row, col)
        return
    acc = add_partial(fn, src, acc, chunks, partial)
    name = fn.fresh("")
    fn.cond_br(partial.last, f"last{name}", f"part{name}")
    fn.label(f"part{name}")
    for n, value in enumerate(acc):
        fn.store(value, partial_address(fn, src, chunks, partial, n), src.size)
    fn.br(f"join{name}")
    fn.label(f"last{name}")
    finish(fn, acc, rows, chunks, epilogue, batch_index, row, col)
    fn.br(f"join{name}")
    fn.label(f"join{name}")


def partial_address(fn: Fn, src: TileInput, chunks: tuple[Chunk, ...], partial: Partial, n: int) -> V:
    at = n // len(chunks) * partial.step + chunks[n % len(chunks)].col
    return ix.offset(fn, partial.address, i64(at), src.scalar)


def add_partial(fn: Fn, src: TileInput, acc: list[V], chunks: tuple[Chunk, ...], partial: Partial) -> list[V]:
    """Sums including earlier blocks; the scratch holds nothing yet in the first block and is not used there."""
    result: list[V] = []
    for n, value in enumerate(acc):
        before = fn.load(partial_address(fn, src, chunks, partial, n), value.type, src.size)
        result.append(fn.select(partial.first, value, fn.binary("fadd", value, before)))
    return result


def finish(fn: Fn, acc: list[V], rows: int, chunks: tuple[Chunk, ...], epilogue: Epilogue, batch_index: list[V],
           row: V, col: V) -> None:
    """Hand every vector of the tile to the epilogue; a long epilogue is emitted once per chunk, in a loop over rows."""
    if rows > 1 and is_heavy(fn, acc[0], epilogue, batch_index, row, col):
        finish_in_loop(fn, acc, rows, chunks, epilogue, batch_index, row, col)
        return
    for r in range(rows):
        at = ix.add(fn, row, r)
        for c, chunk in enumerate(chunks):
            hand_over(fn, acc[r * len(chunks) + c], chunk, epilogue, batch_index, at, col)


def hand_over(fn: Fn, value: V, chunk: Chunk, epilogue: Epilogue, batch_index: list[V], row: V, col: V) -> None:
    mask = None if chunk.valid == chunk.width else lane_mask(chunk.valid, chunk.width)
    epilogue(fn, batch_index, row, ix.add(fn, col, chunk.col), value, mask)


def is_heavy(fn: Fn, acc: V, epilogue: Epilogue, batch_index: list[V], row: V, col: V) -> bool:
    """Whether one call of the epilogue emits many lines: tried on a function that is thrown away."""
    return lines_of(fn, lambda trial: epilogue(trial, batch_index, row, col, acc, None)) > HEAVY_LINES


def lines_of(fn: Fn, emit: Callable[[Fn], None]) -> int:
    """How many lines something emits."""
    trial = Fn(fn.module, "trial", [(p.type, p.ref[1:]) for p in fn.params], "void", "#0", "")
    before = len(trial.lines)
    emit(trial)
    return len(trial.lines) - before


def finish_in_loop(fn: Fn, acc: list[V], rows: int, chunks: tuple[Chunk, ...], epilogue: Epilogue,
                   batch_index: list[V], row: V, col: V) -> None:
    width = sum(chunk.width for chunk in chunks)
    scalar = acc[0].type if acc[0].type[0] != "<" else acc[0].type[1:-1].split(" x ")[1]
    size = 8 if scalar == "double" else 4
    slot = fn.alloca(scalar, rows * width)
    for n, value in enumerate(acc):
        fn.store(value, fn.gep(slot, i64(n // len(chunks) * width + chunks[n % len(chunks)].col), scalar), size)
    loop = fn.begin_loop(i64(0), i64(rows), i64(1), [slot])
    for chunk in chunks:
        value = fn.load(ix.offset(fn, loop.carried[0], i64(chunk.col), scalar), vector(scalar, chunk.width), size)
        hand_over(fn, value, chunk, epilogue, batch_index, ix.add(fn, row, loop.counter), col)
    fn.end_loop(loop, [fn.gep(loop.carried[0], i64(width), scalar)])

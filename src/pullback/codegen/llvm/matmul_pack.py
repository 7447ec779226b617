"""Copying operands into panels: panel[k][p] = source[p * p_stride + k * k_stride].

A panel holds `tall` rows of A or one tile's columns of B, k outermost, so that the tile reads both in order. One
internal function copies a panel of any width; places beyond the operand repeat its last row (or hold zeros): the
tile computes them and nobody reads the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.text import Fn, Module, V, const, element, i64, lanes, mangle, vector, with_element

TERMS_TOGETHER = 8  # steps of k that several panels are copied at a time
LINES_TOGETHER = 4  # of each row that are turned over at a time: what is read and written stays in the first cache
AHEAD = 32  # steps of k before its copy that a row is fetched
LINE = 64
PARAMS = [("ptr noalias", "src"), ("ptr noalias", "dst"), ("i64", "p"), ("i64", "kcount"), ("i64", "step"),
          ("i64", "count")]


@dataclass(frozen=True)
class PackShape:
    """What is constant of one operand's panels; `limit` is the number of rows (A) or columns (B) that exist."""

    scalar: str
    size: int
    p_stride: int
    k_stride: int
    limit: int
    width: int
    depth: int
    lanes: int
    masked: bool
    ragged: bool  # panels are not padded to whole vectors
    unit: str = ""  # what the source's strides count, where not scalars: "i16" of pairs
    apart: int | None = None  # of a pair's numbers: see `Operand`

    @property
    def source(self) -> str:
        return self.unit or self.scalar

    @property
    def along_k(self) -> bool:
        """Whether rows of k lie in memory as they are read."""
        return self.k_stride == 1 if self.apart is None else self.apart == 1

    @property
    def block_depth(self) -> int:
        """Elements of k in one 128-bit register."""
        return 16 // self.size

    @property
    def groups(self) -> int:
        return -(-self.width // self.lanes)


def emit_pack(module: Module, name: str, shape: PackShape) -> None:
    """Emit `void name(src, dst, p, kcount, step, count)`: panel of rows `p ...`, `step` elements apart in the panel.

    Where rows of p are contiguous and panels ragged, `count` panels of `step` rows each, one after the other; else one.
    `src` points at row 0 of the operand in the first k. Vector copies write up to `lanes - 1` elements past each k's
    place, which the next k overwrites: the caller leaves that much slack after the last panel.
    """
    fn = module.function(name, PARAMS, attributes="#1", linkage="internal")
    if shape.p_stride == 1 and shape.width > 1:
        if shape.masked and shape.ragged:
            emit_panels(fn, shape)
        elif shape.masked:
            emit_copy(fn, shape, lane_masks(fn, shape, fn.params[2]), fn.params[1], fn.params[2])
        else:
            emit_guarded_copy(fn, shape)
    elif shape.along_k and shape.depth >= shape.block_depth and shape.width > 1:
        emit_transpose(fn, shape)
    else:
        emit_scalar(fn, shape)
    fn.ret()


def lane_masks(fn: Fn, shape: PackShape, p: V) -> list[V]:
    """For each group of lanes, which of its rows exist."""
    left = ix.sub(fn, i64(shape.limit), p)
    iota = V(f"<{', '.join(f'i64 {n}' for n in range(shape.lanes))}>", vector("i64", shape.lanes))
    bounds = [fn.splat(ix.sub(fn, left, i64(group * shape.lanes)), shape.lanes) for group in range(shape.groups)]
    return [fn.compare("icmp", "slt", iota, bound) for bound in bounds]


def emit_panels(fn: Fn, shape: PackShape) -> None:
    """Several panels of contiguous rows, a few k at a time: each k's rows are read as one run, each panel is written in
    runs, and the next few k are asked for meanwhile.

    The last k is copied by element, because a vector would reach into the next panel's first; so would a vector at
    the end of the rows, where single panels are copied by masks.
    """
    src, dst, p, kcount, step, count = fn.params
    size, types = ix.mul(fn, kcount, step), (shape.source, shape.scalar)
    room = ix.add(fn, ix.sub(fn, i64(shape.limit - shape.groups * shape.lanes), p), step)
    whole = ix.minimum(fn, ix.div(fn, ix.maximum(fn, room, 0), step), count)
    last = ix.sub(fn, kcount, i64(1))
    few = ix.mul(fn, ix.div(fn, last, TERMS_TOGETHER), TERMS_TOGETHER)
    source, target = emit_terms(fn, shape, whole, i64(0), few, TERMS_TOGETHER, (fn.gep(src, p, shape.source), dst))
    source, target = emit_terms(fn, shape, whole, few, last, 1, (source, target))
    rest = fn.begin_loop(i64(0), whole, i64(1), [source, target])
    element = fn.begin_loop(i64(0), step, i64(1))
    first, place = (fn.gep(at, element.counter, of) for at, of in zip(rest.carried, types, strict=True))
    fn.store(read(fn, shape, first, shape.scalar), place, shape.size)
    fn.end_loop(element)
    fn.end_loop(rest, [fn.gep(at, n, of) for at, n, of in zip(rest.carried, (step, size), types, strict=True)])
    panel = fn.begin_loop(whole, count, i64(1))
    row = fn.add(p, fn.mul(panel.counter, step))
    emit_copy(fn, shape, lane_masks(fn, shape, row), fn.gep(dst, fn.mul(panel.counter, size), shape.scalar), row)
    fn.end_loop(panel)


def emit_terms(fn: Fn, shape: PackShape, panels: V, start: V, stop: V, together: int, at: tuple[V, V]) -> list[V]:
    """So many k at a time of some panels, by vectors; the source and the target after them."""
    _, _, _, kcount, step, _ = fn.params
    type_, size, types = vector(shape.scalar, shape.lanes), ix.mul(fn, kcount, step), (shape.source, shape.scalar)
    outer = fn.begin_loop(start, stop, i64(together), list(at))
    inner = fn.begin_loop(i64(0), panels, i64(1), outer.carried)
    source, target = inner.carried
    if together > 1:
        for k in range(together, 2 * together):
            ask_row(fn, shape, ix.offset(fn, source, i64(k * shape.k_stride), shape.source))
    place = target
    for k in range(together):
        for group in range(shape.groups):
            first = ix.offset(fn, source, i64(k * shape.k_stride + group * shape.lanes), shape.source)
            fn.store(read(fn, shape, first, type_), ix.offset(fn, place, i64(group * shape.lanes), shape.scalar),
                     shape.size)
        place = fn.gep(place, step, shape.scalar)
    fn.end_loop(inner, [fn.gep(x, n, of) for x, n, of in zip(inner.carried, (step, size), types, strict=True)])
    turned = [fn.gep(outer.carried[0], i64(together * shape.k_stride), shape.source),
              fn.gep(outer.carried[1], ix.mul(fn, step, together), shape.scalar)]
    return fn.end_loop(outer, turned)


def emit_copy(fn: Fn, shape: PackShape, masks: list[V] | None, dst: V, p: V) -> None:
    """Rows of p are contiguous: vector loads (masked where some may not exist), plain stores."""
    src, _, _, kcount, step, _ = fn.params
    type_ = vector(shape.scalar, shape.lanes)
    start = fn.gep(src, p, shape.source)
    loop = fn.begin_loop(i64(0), kcount, i64(1), [start, dst])
    source, target = loop.carried
    fetch(fn, shape, source)
    for group in range(shape.groups):
        at = ix.offset(fn, source, i64(group * shape.lanes), shape.source)
        value = read(fn, shape, at, type_, masks[group] if masks else None)
        fn.store(value, ix.offset(fn, target, i64(group * shape.lanes), shape.scalar), shape.size)
    fn.end_loop(loop, [fn.gep(source, i64(shape.k_stride), shape.source), fn.gep(target, step, shape.scalar)])


def read(fn: Fn, shape: PackShape, at: V, type_: str, mask: V | None = None) -> V:
    """Elements of one k that lie one after the other; where each is a pair, of its two numbers."""
    def lines(place: V, of: str, align: int) -> V:
        return fn.load(place, of, align) if mask is None else masked_load(fn, place, of, align, mask)

    if shape.apart is None:
        return lines(at, type_, shape.size)
    narrow, wide = with_element(type_, "i16"), with_element(type_, "i32")
    first, second = (fn.cast("zext", lines(place, narrow, 2), wide)
                     for place in (at, ix.offset(fn, at, i64(shape.apart), shape.source)))
    return fn.cast("bitcast", fn.binary("or", fn.binary("shl", second, const(16, wide)), first), type_)


def ask_row(fn: Fn, shape: PackShape, at: V) -> None:
    """Ask for the elements of one k: the numbers of pairs lie on two lines."""
    for apart in dict.fromkeys((0, shape.apart or 0)):
        ask(fn, ix.offset(fn, at, i64(apart), shape.source))


def fetch(fn: Fn, shape: PackShape, source: V) -> None:
    """Ask for the rows of a later k where they lie on lines of their own: the processor foresees runs only."""
    size = shape.size if shape.apart is None else 2
    if shape.k_stride * size < LINE:
        return
    for n in range(-(-shape.width * size // LINE)):
        ask_row(fn, shape, ix.offset(fn, source, i64(AHEAD * shape.k_stride + n * LINE // size), shape.source))


def ask(fn: Fn, address: V) -> None:
    """Bring a line into the caches; the address need not be anyone's."""
    fn.call("llvm.prefetch.p0", "void", address, V("0", "i32"), V("3", "i32"), V("1", "i32"))


def emit_guarded_copy(fn: Fn, shape: PackShape) -> None:
    """Where masks are slow: whole vectors where all rows exist, else one element at a time."""
    end = fn.add(fn.params[2], i64(shape.groups * shape.lanes))
    fn.cond_br(fn.compare("icmp", "sle", end, i64(shape.limit)), "whole", "ragged")
    fn.label("whole")
    emit_copy(fn, shape, None, fn.params[1], fn.params[2])
    fn.br("copied")
    fn.label("ragged")
    emit_scalar(fn, shape)
    fn.br("copied")
    fn.label("copied")


def emit_transpose(fn: Fn, shape: PackShape) -> None:
    """Rows of k are contiguous: blocks through registers; the last block overlaps the one before it.

    Blocks are `lanes` rows by one 128-bit register of k, so that all shuffles stay within 128-bit lanes: cheap to run
    and cheap to compile. Wide panels are made a few lines of each row at a time. Stores go in order of address wherever
    one may reach into the next one's place.
    """
    src, dst, p, kcount, step, _ = fn.params
    width, scalar, depth = shape.lanes, shape.scalar, shape.block_depth
    together = shape.groups if shape.ragged else 1
    last = ix.sub(fn, kcount, i64(depth))
    runs = fn.begin_loop(i64(0), kcount, kcount if shape.ragged else i64(LINES_TOGETHER * LINE // shape.size))
    stop = ix.minimum(fn, ix.add(fn, runs.counter, runs.step), kcount)
    outer = fn.begin_loop(i64(0), i64(shape.groups), i64(together))
    start = ix.mul(fn, outer.counter, width)
    first = ix.add(fn, p, start)
    rows: list[V] = []
    for q in range(min(width * together, shape.width)):
        row = ix.minimum(fn, ix.add(fn, first, q), shape.limit - 1)
        rows.append(fn.gep(src, ix.mul(fn, row, shape.p_stride), shape.source))
    target = fn.gep(dst, start, scalar)
    inner = fn.begin_loop(runs.counter, stop, i64(depth))
    k = ix.minimum(fn, inner.counter, last)
    for row in rows:
        ask(fn, fn.gep(row, ix.add(fn, k, AHEAD), scalar))
    align = shape.size if shape.apart is None else 2
    block = [fn.load(fn.gep(row, k, scalar), vector(scalar, depth), align) for row in rows]
    block += [block[-1]] * (width * together - len(block))
    columns = [transpose_block(fn, block[g * width:(g + 1) * width], depth) for g in range(together)]
    at = fn.gep(target, ix.mul(fn, k, step), scalar)
    for d in range(depth):
        for g in range(together):
            fn.store(columns[g][d], ix.offset(fn, at, i64(g * width), scalar), shape.size)
        at = fn.gep(at, step, scalar)
    fn.end_loop(inner)
    fn.end_loop(outer)
    fn.end_loop(runs)


def transpose_block(fn: Fn, rows: list[V], depth: int) -> list[V]:
    """Columns of `len(rows)` lanes; rows `depth` apart are joined first, then square blocks are transposed in lanes."""
    if len(rows) == depth:
        return transpose(fn, rows)
    whole = list(range(2 * depth))
    joined = [shuffle(fn, rows[q], rows[q + depth], whole, rows[q].type) for q in range(depth)]
    type_ = vector(element(rows[0].type), 2 * depth)
    return transpose(fn, [V(value.ref, type_) for value in joined])


def emit_scalar(fn: Fn, shape: PackShape) -> None:
    """Any strides; k by k, so that what a short panel writes too far is overwritten."""
    src, dst, p, kcount, step, _ = fn.params
    outer = fn.begin_loop(i64(0), kcount, i64(1), [src, dst])
    inner = fn.begin_loop(i64(0), i64(shape.width), i64(1))
    row = ix.minimum(fn, ix.add(fn, p, inner.counter), shape.limit - 1)
    value = read(fn, shape, fn.gep(outer.carried[0], ix.mul(fn, row, shape.p_stride), shape.source), shape.scalar)
    fn.store(value, fn.gep(outer.carried[1], inner.counter, shape.scalar), shape.size)
    fn.end_loop(inner)
    fn.end_loop(outer, [fn.gep(outer.carried[0], i64(shape.k_stride), shape.source),
                        fn.gep(outer.carried[1], step, shape.scalar)])


def transpose(fn: Fn, rows: list[V]) -> list[V]:
    """Transpose square blocks of `len(rows)` (a power of two) lanes, side by side in the vectors."""
    distance = 1
    while distance < len(rows):
        rows = transpose_round(fn, rows, distance)
        distance *= 2
    return rows


def transpose_round(fn: Fn, rows: list[V], distance: int) -> list[V]:
    """Swap the off-diagonal blocks of size `distance` in every pair of rows that far apart."""
    type_ = rows[0].type
    width = lanes(type_)
    result = list(rows)
    low = [lane - distance + width if lane & distance else lane for lane in range(width)]
    high = [lane + width if lane & distance else lane + distance for lane in range(width)]
    for a in range(len(rows)):
        if not a & distance:
            b = a + distance
            result[a] = shuffle(fn, rows[a], rows[b], low, type_)
            result[b] = shuffle(fn, rows[a], rows[b], high, type_)
    return result


def shuffle(fn: Fn, a: V, b: V, picks: list[int], type_: str) -> V:
    mask = ", ".join(f"i32 {pick}" for pick in picks)
    return fn.op(f"shufflevector {a.type} {a.ref}, {b.type} {b.ref}, <{len(picks)} x i32> <{mask}>", type_)


def in_pieces(fn: Fn, acc: V, mask: V | None, piece: int, body: Callable[[V, V], None]) -> None:
    """A vector in pieces of so many lanes: the body gets the first lane and the piece, of those that exist."""
    scalar, width = element(acc.type), lanes(acc.type)
    size = 8 if scalar == "double" else 4
    slot = fn.alloca(scalar, width)
    fn.store(acc, slot, size)
    valid = width if mask is None else mask.ref.count("true")
    loop = fn.begin_loop(i64(0), i64(valid), i64(piece))
    type_ = scalar if piece == 1 else vector(scalar, piece)
    body(loop.counter, fn.load(fn.gep(slot, loop.counter, scalar), type_, size))
    fn.end_loop(loop)


def masked_load(fn: Fn, address: V, type_: str, align: int, mask: V) -> V:
    """Load the lanes of the mask, zeros elsewhere; memory of the other lanes is not touched."""
    name = f"llvm.masked.load.{mangle(type_)}.p0"
    fn.module.declare(name, type_, ("ptr", "i32", mask.type, type_))
    return fn.op(f"call {type_} @{name}(ptr {address.ref}, i32 {align}, {mask.type} {mask.ref}, "
                 f"{type_} zeroinitializer)", type_)


def masked_store(fn: Fn, value: V, address: V, align: int, mask: V) -> None:
    """Store the lanes of the mask; memory of the other lanes is not touched."""
    name = f"llvm.masked.store.{mangle(value.type)}.p0"
    fn.module.declare(name, "void", (value.type, "ptr", "i32", mask.type))
    fn.line(f"call void @{name}({value.type} {value.ref}, ptr {address.ref}, i32 {align}, {mask.type} {mask.ref})")


def lane_mask(valid: int, width: int) -> V:
    """The constant mask of the first `valid` lanes."""
    bits = ", ".join(f"i1 {'true' if lane < valid else 'false'}" for lane in range(width))
    return V(f"<{bits}>", vector("i1", width))


def zero(type_: str) -> V:
    return const(0, type_)

"""Operands as panels of bfloat16 parts, for `amx_tile`.

What is one line of a tile is contiguous in the operand ("as it lies"), or it is a column of 16 lines of the operand
("turned"): then blocks of 16 x 16 numbers are transposed in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.amx_tile import DEPTH, PART_BYTES, SIDE, STRIP, TILE_BYTES, block_bytes, is_new
from pullback.codegen.llvm.matmul_pack import masked_load, transpose
from pullback.codegen.llvm.text import Fn, Module, V, const, i64, vector
from pullback.kernel import unit

FLOATS, INTS, MASK = vector("float", STRIP), vector("i32", STRIP), vector("i1", STRIP)
UPPER, LARGE = (const(bits - (1 << 32), INTS) for bits in (unit.UPPER, unit.LARGE))
HALF, QUIET = (const(bits, INTS) for bits in (unit.HALF, unit.QUIET))
PARAMS = [("ptr noalias", "src"), ("ptr noalias", "dst"), ("i64", "first"), ("i64", "stop"), ("i64", "limit"),
          ("i64", "k"), ("i64", "stride")]


class Form(NamedTuple):
    """Of how many parts numbers are, and whether they are bfloat16 numbers (of one part) in memory."""

    parts: int
    narrow: bool = False

    @property
    def element(self) -> str:
        return "i16" if self.narrow else "float"


class Source(NamedTuple):
    """How an operand lies: whether its rows (of A; columns of B) are `stride` elements apart, or its steps of k; the
    other ones are contiguous."""

    rows_apart: bool
    stride: int


def pack(fn: Fn, form: Form, of_a: bool, source: Source, src: V, dst: V, first: V, stop: V, limit: int, k: V) -> None:
    """Make the panels from `first` to before `stop` of an operand with `limit` rows (of A; columns of B) and k steps,
    one after the other at `dst`; `src` is where row 0 begins."""
    name = f"amx_{'a' if of_a else 'b'}_{'rows' if source.rows_apart else 'steps'}_{form.element}_{form.parts}"
    if is_new(fn.module, name):
        Packer(fn.module, name, form, source.rows_apart, of_a != source.rows_apart).emit()
    fn.call(name, "void", src, dst, first, stop, i64(limit), k, i64(source.stride), declare=False)


class Packer:
    """One function that copies panels; `turned`: lines of tiles are columns of what is contiguous."""

    def __init__(self, module: Module, name: str, form: Form, rows_apart: bool, turned: bool) -> None:
        self.start(module.function(name, PARAMS, attributes="#1", linkage="internal"), form, turned)
        self.src, self.dst, self.first, self.stop, self.limit, self.k, self.stride = self.fn.params
        self.rows_apart = rows_apart

    def start(self, fn: Fn, form: Form, turned: bool) -> None:
        self.fn, self.form, self.turned = fn, form, turned
        self.squares = fn.alloca("float", 4 * STRIP * STRIP) if turned else V("null", "ptr")

    def emit(self) -> None:
        """For each block of k all panels: what is read of a step of k is one run."""
        fn = self.fn
        blocks = fn.binary("lshr", fn.add(self.k, i64(DEPTH - 1)), i64(5))
        size = fn.mul(blocks, i64(block_bytes(self.form.parts)))
        block = fn.begin_loop(i64(0), blocks, i64(1))
        k = fn.mul(block.counter, i64(DEPTH))
        panel = fn.begin_loop(self.first, self.stop, i64(1))
        row = fn.mul(panel.counter, i64(SIDE))
        behind = fn.mul(block.counter, i64(block_bytes(self.form.parts)))
        at = fn.add(fn.mul(fn.binary("sub", panel.counter, self.first), size), behind)
        self.block(fn.gep(self.dst, at, "i8"), row, k)
        fn.end_loop(panel)
        fn.end_loop(block)
        fn.ret()

    def block(self, dst: V, row: V, k: V) -> None:
        """The lines of both strips, one after the other."""
        fn = self.fn
        apart, along, steps = (row, k, self.k) if self.rows_apart else (k, row, self.limit)
        left = fn.binary("sub", self.limit if self.rows_apart else self.k, apart)
        here = fn.gep(self.src, fn.add(fn.mul(apart, self.stride), along), self.form.element)
        room = fn.binary("sub", steps, along)
        if self.turned:
            self.turn(here, left, room)
            self.lines(dst)
        else:
            self.lines(dst, lambda strip, half, n: self.direct(here, left, room, strip, half, n))

    def lines(self, dst: V, of: Callable[[V, int, V], V] | None = None) -> None:
        """The lines of both strips of a block, from their halves: those of the squares, or what `of` gives."""
        fn = self.fn
        line = fn.begin_loop(i64(0), i64(SIDE), i64(1))
        strip, n = fn.binary("lshr", line.counter, i64(4)), fn.binary("and", line.counter, i64(STRIP - 1))
        low, high = ((of or self.square)(strip, half, n) for half in (0, 1))
        at = fn.add(fn.mul(strip, i64(TILE_BYTES)), fn.mul(n, i64(64)))
        self.line(fn.gep(dst, at, "i8"), low, high)
        fn.end_loop(line)

    def direct(self, here: V, left: V, room: V, strip: V, half: int, n: V) -> V:
        """16 numbers that lie side by side; those that do not exist are zeros."""
        fn = self.fn
        on, over = fn.mul(strip, i64(STRIP)), i64(half * STRIP)
        down, right = (ix.add(fn, n, on), over) if self.rows_apart else (ix.add(fn, n, over), on)
        place = fn.gep(here, fn.add(fn.mul(down, self.stride), right), self.form.element)
        few = fn.select(fn.compare("icmp", "slt", down, left), fn.binary("sub", room, right), i64(0))
        return self.numbers(place, below(fn, few))

    def numbers(self, place: V, mask: V) -> V:
        """16 numbers, as floats; zeros outside of the mask."""
        fn = self.fn
        if not self.form.narrow:
            return masked_load(fn, place, FLOATS, 4, mask)
        wide = fn.cast("zext", masked_load(fn, place, vector("i16", STRIP), 2, mask), INTS)
        return fn.cast("bitcast", fn.binary("shl", wide, const(16, INTS)), FLOATS)

    def turn(self, here: V, left: V, room: V) -> None:
        """Transpose the four squares of a block into the function's own memory."""
        fn = self.fn
        loop = fn.begin_loop(i64(0), i64(4), i64(1))
        strip, half = fn.binary("lshr", loop.counter, i64(1)), fn.binary("and", loop.counter, i64(1))
        down, right = (fn.mul(x, i64(STRIP)) for x in ((strip, half) if self.rows_apart else (half, strip)))
        place = fn.gep(here, fn.add(fn.mul(down, self.stride), right), self.form.element)
        mask, rows = below(fn, fn.binary("sub", room, right)), fn.binary("sub", left, down)
        lines: list[V] = []
        for n in range(STRIP):
            exists = fn.select(fn.compare("icmp", "slt", i64(n), rows), mask, V("zeroinitializer", MASK))
            lines.append(self.numbers(fn.gep(place, fn.mul(self.stride, i64(n)), self.form.element), exists))
        for n, column in enumerate(transpose(fn, lines)):
            fn.store(column, self.square_line(strip, half, i64(n)), 64)
        fn.end_loop(loop)

    def square_line(self, strip: V, half: V, n: V) -> V:
        fn = self.fn
        square = ix.add(fn, fn.mul(strip, i64(2)), half)
        return fn.gep(self.squares, ix.mul(fn, ix.add(fn, ix.mul(fn, square, STRIP), n), STRIP), "float")

    def square(self, strip: V, half: int, n: V) -> V:
        return self.fn.load(self.square_line(strip, i64(half), n), FLOATS, 64)

    def line(self, dst: V, x: V, y: V, part: V | None = None) -> None:
        """Store the parts of x in the lower halves of a line's places, those of y in the upper ones; parts are `part`
        bytes apart, or as in panels."""
        fn, apart = self.fn, i64(PART_BYTES) if part is None else part
        sixteen = const(16, INTS)
        for n, (low, high) in enumerate(zip(self.split(x), self.split(y), strict=True)):
            pair = fn.binary("or", fn.binary("lshr", low, sixteen), fn.binary("and", high, UPPER))
            fn.store(pair, ix.offset(fn, dst, ix.mul(fn, apart, n), "i8"), 64)

    def split(self, x: V) -> list[V]:
        """The bits of numbers of 8 bits each; the sum of three is x. What is too large to be rounded up is rounded
        down; infinities stay, and what is not a number remains so by its upper half."""
        fn = self.fn
        bits = fn.cast("bitcast", x, INTS)
        if self.form.narrow:
            return [bits]
        bits = fn.select(fn.compare("fcmp", "uno", x, x), fn.binary("or", bits, QUIET), bits)
        small = fn.compare("icmp", "ult", fn.binary("shl", bits, const(1, INTS)), LARGE)
        high = fn.binary("and", fn.select(small, fn.binary("add", bits, HALF), bits), UPPER)
        if self.form.parts == 1:
            return [high]
        rest = fn.binary("fsub", x, fn.cast("bitcast", high, FLOATS))
        middle = fn.binary("and", fn.binary("add", fn.cast("bitcast", rest, INTS), HALF), UPPER)
        if self.form.parts == 2:
            return [high, middle]
        low = fn.binary("fsub", rest, fn.cast("bitcast", middle, FLOATS))
        return [high, middle, fn.cast("bitcast", low, INTS)]


def below(fn: Fn, count: V) -> V:
    """The mask of so many lanes; none where the count is negative."""
    iota = V(f"<{', '.join(f'i32 {n}' for n in range(STRIP))}>", INTS)
    few = fn.cast("trunc", ix.maximum(fn, ix.minimum(fn, count, STRIP), 0), "i32")
    return fn.compare("icmp", "slt", iota, fn.splat(few, STRIP))

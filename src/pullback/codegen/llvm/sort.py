"""Sorting lines along an axis by digits of their keys, from the last key to the first; threads share the lines.

    for each line: order = 0, 1, ...
        for each key, the least significant first: for each digit of it, the lowest first: order by that, stably
    then every operand is read in that order

A key becomes an unsigned integer with the same order: the sign bit turned over, negative floats complemented, all NaN
the greatest; in descending order its complement. Keys of up to 32 bits stand above their positions in one 64-bit word.
Short lines are ordered by counting, for each element, those before it. Of the first few of a long line, only what comes
before the last of them is kept.
"""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.codegen.llvm.text import Fn, V, const, i64, lanes, vector, with_element
from pullback.kernel.nodes import Buffer

SHORT = 32  # elements of a line up to which they are counted
LONG = 1 << 15  # elements of a line from which on digits are larger
DIGIT, LONG_DIGIT = 8, 11  # bits
LANES = 8
BLOCK = 16  # elements looked at together in search of some that come first
FEW = 4  # lines this many times as long as what is wanted of them are looked through rather than sorted
ALL = (1 << 64) - 1


def emit_sort(control: Any) -> None:
    """Statements of a sort kernel, in the function of `control`."""
    op, first = control.payload.op, control.payload.inputs[0]
    if first.size == 0 or not control.payload.inputs or op.kept(first.shape) == 0:
        return
    _Sorter(control).run()


class _Key:
    """One operand that decides the order: where a line of it begins, and its elements as unsigned integers."""

    def __init__(self, fn: Fn, address: V, buffer: Buffer, stride: int, descending: bool) -> None:
        self.fn, self.dtype, self.stride, self.descending = fn, buffer.dtype, stride, descending
        self.bits = 8 * buffer.dtype.itemsize
        self.type = f"i{self.bits}"
        self.address = self.base = address

    def begin(self, base: V) -> None:
        self.base = self.fn.gep(self.address, base, self.type)

    def load(self, place: V, width: int = 1) -> V:
        """The key at a place of the line, and at those after it."""
        at = self.fn.gep(self.base, self.fn.mul(place, i64(self.stride)) if self.stride != 1 else place, self.type)
        return self.ordered(self.fn.load(at, vector(self.type, width), self.bits // 8))

    def ordered(self, raw: V) -> V:
        """The unsigned integer that stands where the element stands."""
        fn, type_ = self.fn, raw.type
        sign, full = 1 << (self.bits - 1), (1 << self.bits) - 1
        if self.dtype.kind == "f":
            infinity = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000,
                        "float64": 0x7FF0000000000000}[self.dtype.name]
            size = fn.binary("and", raw, const(sign - 1, type_))
            nan = fn.compare("icmp", "ugt", size, const(infinity, type_))
            raw = fn.select(fn.compare("icmp", "eq", size, const(0, type_)), size, raw)  # one zero
            negative = fn.compare("icmp", "slt", raw, const(0, type_))
            turned = fn.select(negative, const(full, type_), const(sign, type_))
            raw = fn.binary("xor", raw, turned)
            raw = fn.binary("xor", raw, const(full, type_)) if self.descending else raw
            return fn.select(nan, const(0 if self.descending else full, type_), raw)
        mask = (sign if self.dtype.kind == "i" else 0) ^ (full if self.descending else 0)
        return fn.binary("xor", raw, const(mask, type_)) if mask else raw


class _Sorter:
    """The kernel while it is written. `wide`: keys of 64 bits have their positions in arrays of their own."""

    def __init__(self, control: Any) -> None:
        self.control, self.fn = control, control.fn
        self.op, self.inputs = control.payload.op, control.payload.inputs
        shape = self.inputs[0].shape
        self.n, self.kept = shape[self.op.axis], self.op.kept(shape)
        self.stride, self.lines = prod(shape[self.op.axis + 1:]), self.inputs[0].size // self.n
        self.threads = max(1, min(control.kernel.threads, self.lines))
        self.orders: dict[int, str] = {}
        self.wide = any(b.dtype.itemsize == 8 for b in self.inputs[:self.op.keys])
        self.capacity = self.n if not self.looks_through() else max(2 * self.kept, SHORT)
        self.keys = [_Key(self.fn, control.inputs[k], self.inputs[k], self.stride, self.op.descending)
                     for k in range(self.op.keys)]
        self.digit = LONG_DIGIT if self.capacity >= LONG else DIGIT
        self.workspace()

    def looks_through(self) -> bool:
        return self.op.keys == 1 and not self.wide and FEW * max(self.kept, SHORT // 2) <= self.n

    def workspace(self) -> None:
        """Two arrays of words (and of positions), counts of each digit; a set for each thread."""
        fn, room = self.fn, -(-(self.capacity + LANES) // 16) * 16
        sizes = [8 * room, 8 * room, 4 * room * self.wide, 4 * room * self.wide,
                 4 * (-(-64 // self.digit) << self.digit)]
        area = self.control.areas.take(sum(sizes) * self.threads)
        base = fn.gep(area, fn.mul(fn.params[1], i64(sum(sizes))), "i8")
        places = [fn.gep(base, i64(sum(sizes[:k])), "i8") for k in range(5)]
        self.words, self.positions, self.counts = places[:2], places[2:4], places[4]

    def run(self) -> None:
        fn = self.fn
        _, tid, count = fn.params
        begin = fn.binary("udiv", fn.mul(tid, i64(self.lines)), count)
        end = fn.binary("udiv", fn.mul(fn.add(tid, i64(1)), i64(self.lines)), count)
        lines = fn.begin_loop(begin, end, i64(1))
        outer = fn.binary("udiv", lines.counter, i64(self.stride))
        inner = fn.binary("urem", lines.counter, i64(self.stride))
        base = fn.add(fn.mul(outer, i64(self.n * self.stride)), inner)
        for key in self.keys:
            key.begin(base)
        if self.looks_through():
            found = self.first_few()
        else:
            found = self.fill(self.keys[-1], None)
            for key in reversed(self.keys[:-1]):
                found = self.fill(key, found)
        target = fn.add(fn.mul(outer, i64(self.kept * self.stride)), inner)
        for k, buffer in enumerate(self.inputs):
            if self.control.payload.results[k] is not None:
                self.write(k, buffer, found, base, target)
        fn.end_loop(lines)

    # -- words -------------------------------------------------------------------------------------------------------
    def word(self, key: V, place: V) -> V:
        """What is sorted: the key, above its position where there is room."""
        if self.wide:
            return self.fn.cast("zext", key, "i64") if key.type != "i64" else key
        key = self.fn.cast("zext", key, "i64")
        return self.fn.binary("or", self.fn.binary("shl", key, i64(32)), place)

    def place_in(self, which: V, at: V) -> V:
        """The position that stands at a place of the first arrays (which is 0) or the second."""
        fn = self.fn
        second = fn.compare("icmp", "ne", which, i64(0))
        if self.wide:
            source = fn.select(second, self.positions[1], self.positions[0])
            return fn.cast("zext", fn.load(fn.gep(source, at, "i32"), "i32", 4), "i64")
        source = fn.select(second, self.words[1], self.words[0])
        return fn.binary("and", fn.load(fn.gep(source, at, "i64"), "i64", 8), i64((1 << 32) - 1))

    def put(self, at: V, word: V, place: V, which: int = 0) -> None:
        fn = self.fn
        fn.store(word, fn.gep(self.words[which], at, "i64"), 8)
        if self.wide:
            fn.store(fn.cast("trunc", place, "i32"), fn.gep(self.positions[which], at, "i32"), 4)

    def fill(self, key: _Key, order: V | None) -> V:
        """The line's words in an order known so far, sorted by a key: which of the arrays holds them."""
        fn = self.fn
        if order is not None:  # what was sorted goes to the first arrays
            copy = fn.begin_loop(i64(0), i64(self.n), i64(1))
            place = self.place_in(order, copy.counter)
            self.put(copy.counter, self.word(key.load(place), place), place, 1)
            fn.end_loop(copy)
            again = fn.begin_loop(i64(0), i64(self.n), i64(1))
            place = self.place_in(i64(1), again.counter)
            self.put(again.counter, fn.load(fn.gep(self.words[1], again.counter, "i64"), "i64", 8), place)
            fn.end_loop(again)
            return self.sorted(i64(self.n), key.bits)
        loop = fn.begin_loop(i64(0), i64(self.n), i64(1))
        self.put(loop.counter, self.word(key.load(loop.counter), loop.counter), loop.counter)
        fn.end_loop(loop)
        return self.sorted(i64(self.n), key.bits)

    def sorted(self, count: V, bits: int) -> V:
        """Sort the first arrays by keys of so many bits: which of the arrays holds the result."""
        if bits not in self.orders:
            name = self.orders[bits] = f"{self.fn.name}.order{bits}"
            params = [*(("ptr noalias", x) for x in ("a", "b", "pa", "pb", "counts")), ("i64", "n")]
            helper = self.fn.module.function(name, params, "i64", linkage="internal")
            _Order(helper, self.wide, -(-bits // self.digit), self.digit).emit()
        arrays = [*self.words, *self.positions, self.counts]
        return self.fn.call(self.orders[bits], "i64", *arrays, count, declare=False)

    # -- the first few -----------------------------------------------------------------------------------------------
    def first_few(self) -> V:
        """Sort the line's beginning, then keep what comes before the last one wanted; sort when there is no room."""
        fn, key, capacity = self.fn, self.keys[0], self.capacity
        start = fn.begin_loop(i64(0), i64(capacity), i64(1))
        self.put(start.counter, self.word(key.load(start.counter), start.counter), start.counter)
        fn.end_loop(start)
        count, last = fn.alloca("i64"), fn.alloca("i32")
        fn.store(i64(capacity), count, 8)
        self.cut(count, last)
        whole = capacity + (self.n - capacity) // BLOCK * BLOCK if self.stride == 1 else capacity
        blocks = fn.begin_loop(i64(capacity), i64(whole), i64(BLOCK))
        seen = self.before(key.load(blocks.counter, BLOCK), last)
        bits = fn.cast("bitcast", seen, f"i{BLOCK}")
        some, none = fn.fresh("some"), fn.fresh("none")
        fn.cond_br(fn.compare("icmp", "ne", bits, V("0", bits.type)), some, none)
        fn.label(some)
        self.take(blocks.counter, fn.add(blocks.counter, i64(BLOCK)), count, last)
        fn.br(none)
        fn.label(none)
        fn.end_loop(blocks)
        self.take(i64(whole), i64(self.n), count, last)
        return self.sorted(fn.load(count, "i64", 8), key.bits)

    def before(self, key: V, last: V) -> V:
        limit = self.fn.load(last, "i32", 4)
        wide = self.fn.cast("zext", key, with_element(key.type, "i32")) if "i32" not in key.type else key
        return self.fn.compare("icmp", "ult", wide, self.fn.splat(limit, lanes(key.type)))

    def take(self, begin: V, end: V, count: V, last: V) -> None:
        """Keep those of some elements that come before the last one wanted so far."""
        fn, key = self.fn, self.keys[0]
        loop = fn.begin_loop(begin, end, i64(1))
        found = key.load(loop.counter)
        keep, past, full = fn.fresh("keep"), fn.fresh("past"), fn.fresh("full")
        fn.cond_br(self.before(found, last), keep, past)
        fn.label(keep)
        at = fn.load(count, "i64", 8)
        self.put(at, self.word(found, loop.counter), loop.counter)
        more = fn.add(at, i64(1))
        fn.store(more, count, 8)
        fn.cond_br(fn.compare("icmp", "eq", more, i64(self.capacity)), full, past)
        fn.label(full)
        self.cut(count, last)
        fn.br(past)
        fn.label(past)
        fn.end_loop(loop)

    def cut(self, count: V, last: V) -> None:
        """Sort what was kept, leave as many as are wanted, and note the key of the last."""
        fn = self.fn
        which = self.sorted(fn.load(count, "i64", 8), self.keys[0].bits)
        source = fn.select(fn.compare("icmp", "ne", which, i64(0)), self.words[1], self.words[0])
        copy = fn.begin_loop(i64(0), i64(self.kept), i64(1))
        fn.store(fn.load(fn.gep(source, copy.counter, "i64"), "i64", 8), fn.gep(self.words[0], copy.counter, "i64"), 8)
        fn.end_loop(copy)
        word = fn.load(fn.gep(self.words[0], i64(self.kept - 1), "i64"), "i64", 8)
        fn.store(fn.cast("trunc", fn.binary("lshr", word, i64(32)), "i32"), last, 4)
        fn.store(i64(self.kept), count, 8)

    # -- results -----------------------------------------------------------------------------------------------------
    def write(self, k: int, buffer: Buffer, order: V, base: V, target: V) -> None:
        """One operand in the order found."""
        fn, size = self.fn, buffer.dtype.itemsize
        type_ = f"i{8 * size}"
        come, go = fn.gep(self.control.inputs[k], base, type_), fn.gep(self.control.results[k], target, type_)
        loop = fn.begin_loop(i64(0), i64(self.kept), i64(1))
        place = self.place_in(order, loop.counter)
        value = fn.load(fn.gep(come, fn.mul(place, i64(self.stride)), type_), type_, size)
        fn.store(value, fn.gep(go, fn.mul(loop.counter, i64(self.stride)), type_), size)
        fn.end_loop(loop)


class _Order:
    """`i64 order(a, b, pa, pb, counts, n)`: sort n words of a stably by the digits of their keys.

    The result is 1 where they are in b at the end; a and b have room for a vector more.
    """

    def __init__(self, fn: Fn, wide: bool, digits: int, bits: int) -> None:
        self.fn, self.wide, self.digits, self.bits = fn, wide, digits, bits
        self.shift = 0 if wide else 32

    def emit(self) -> None:
        fn = self.fn
        fn.cond_br(fn.compare("icmp", "sle", fn.params[5], i64(SHORT)), "few", "many")
        fn.label("few")
        self.by_counting()
        fn.ret(i64(1))
        fn.label("many")
        fn.ret(self.by_digits())

    def by_counting(self) -> None:
        """Each element goes to the place that is the number of those before it."""
        fn, (a, b, pa, pb, _, n) = self.fn, self.fn.params
        words = vector("i64", LANES)
        fn.store(const(ALL, words), fn.gep(a, n, "i64"), 8)
        shift, counter = const(self.shift, words), V("<" + ", ".join(f"i64 {k}" for k in range(LANES)) + ">", words)
        rows = fn.begin_loop(i64(0), n, i64(1))
        word = fn.load(fn.gep(a, rows.counter, "i64"), "i64", 8)
        mine, here = fn.binary("lshr", fn.splat(word, LANES), shift), fn.splat(rows.counter, LANES)
        columns = fn.begin_loop(i64(0), n, i64(LANES), [const(0, words)])
        theirs = fn.binary("lshr", fn.load(fn.gep(a, columns.counter, "i64"), words, 8), shift)
        there = fn.add(fn.splat(columns.counter, LANES), counter)
        less = fn.compare("icmp", "ult", theirs, mine)
        tie = fn.binary("and", fn.compare("icmp", "eq", theirs, mine), fn.compare("icmp", "slt", there, here))
        step = fn.cast("zext", fn.binary("or", less, tie), words)
        total = fn.end_loop(columns, [fn.add(columns.carried[0], step)])[0]
        place = fn.extract(total, 0)
        for k in range(1, LANES):
            place = fn.add(place, fn.extract(total, k))
        fn.store(word, fn.gep(b, place, "i64"), 8)
        if self.wide:
            fn.store(fn.load(fn.gep(pa, rows.counter, "i32"), "i32", 4), fn.gep(pb, place, "i32"), 4)
        fn.end_loop(rows)

    def digit(self, word: V, down: V) -> V:
        return self.fn.binary("and", self.fn.binary("lshr", word, down), i64((1 << self.bits) - 1))

    def by_digits(self) -> V:
        """Count the digits of all words, then move them by one digit after the other, but for those all equal."""
        fn, (a, b, pa, pb, counts, n) = self.fn, self.fn.params
        zero = fn.begin_loop(i64(0), i64(self.digits << self.bits), i64(LANES))
        fn.store(const(0, vector("i32", LANES)), fn.gep(counts, zero.counter, "i32"), 4)
        fn.end_loop(zero)
        loop = fn.begin_loop(i64(0), n, i64(1))
        word = fn.load(fn.gep(a, loop.counter, "i64"), "i64", 8)
        for k in range(self.digits):
            at = fn.gep(counts, self.digit(word, i64(self.shift + k * self.bits)), "i32")
            at = fn.gep(at, i64(k << self.bits), "i32")
            fn.store(fn.add(fn.load(at, "i32", 4), V("1", "i32")), at, 4)
        fn.end_loop(loop)
        state, which = [fn.alloca("ptr") for _ in range(4)], fn.alloca("i64")
        for place, value in zip(state, (a, b, pa, pb), strict=True):
            fn.store(value, place, 8)
        fn.store(i64(0), which, 8)
        passes = fn.begin_loop(i64(0), i64(self.digits), i64(1))
        row = fn.gep(counts, fn.mul(passes.counter, i64(1 << self.bits)), "i32")
        down = fn.add(fn.mul(passes.counter, i64(self.bits)), i64(self.shift))
        first = self.digit(fn.load(fn.load(state[0], "ptr", 8), "i64", 8), down)
        same = fn.compare("icmp", "eq", fn.cast("zext", fn.load(fn.gep(row, first, "i32"), "i32", 4), "i64"), n)
        fn.cond_br(same, "next", "move")
        fn.label("move")
        self.move(state, row, down)
        fn.store(fn.binary("xor", fn.load(which, "i64", 8), i64(1)), which, 8)
        fn.br("next")
        fn.label("next")
        fn.end_loop(passes)
        return fn.load(which, "i64", 8)

    def move(self, state: list[V], row: V, down: V) -> None:
        """Move all words to where those with their digit begin, and exchange the arrays."""
        fn = self.fn
        source, target, come, go = (fn.load(x, "ptr", 8) for x in state)
        sums = fn.begin_loop(i64(0), i64(1 << self.bits), i64(1), [V("0", "i32")])
        at = fn.gep(row, sums.counter, "i32")
        count = fn.load(at, "i32", 4)
        fn.store(sums.carried[0], at, 4)
        fn.end_loop(sums, [fn.add(sums.carried[0], count)])
        loop = fn.begin_loop(i64(0), fn.params[5], i64(1))
        word = fn.load(fn.gep(source, loop.counter, "i64"), "i64", 8)
        at = fn.gep(row, self.digit(word, down), "i32")
        place = fn.load(at, "i32", 4)
        fn.store(fn.add(place, V("1", "i32")), at, 4)
        place = fn.cast("zext", place, "i64")
        fn.store(word, fn.gep(target, place, "i64"), 8)
        if self.wide:
            fn.store(fn.load(fn.gep(come, loop.counter, "i32"), "i32", 4), fn.gep(go, place, "i32"), 4)
        fn.end_loop(loop)
        for place, value in zip(state, (target, source, go, come), strict=True):
            fn.store(value, place, 8)

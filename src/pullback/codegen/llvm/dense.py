"""What kernels on dense matrices are written with: loops and choices as functions, cells, vectors of one element type.

Matrices of a batch, and parts of one, are shared out among threads; no result depends on who computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.codegen.llvm.text import V, const, float_literal, i64, lanes, vector, with_element

VECTOR_BYTES = 32
#: squares of sizes that are nothing beside 1: their roots still have all their digits above it
NOTHING = {"float": 1e-31, "double": 1e-291}
INFINITY = {"float": 0x7F800000, "double": 0x7FF0000000000000}
#: the last exponent whose power of two has a reciprocal that is a normal number, and its place in the bits
LAST_EXPONENT, EXPONENT_AT = {"float": 253, "double": 2045}, {"float": 23, "double": 52}
#: elements from which on a pass over them takes long enough to ask whether programs are to end
LONG = 1 << 14


class Dense:
    """One kernel while it is written."""

    def __init__(self, control: Any, threads: int) -> None:
        self.control, self.fn, self.threads = control, control.fn, threads
        self.size = int(control.payload.inputs[0].dtype.itemsize)
        self.scalar = "float" if self.size == 4 else "double"
        self.width = VECTOR_BYTES // self.size
        self.vector = vector(self.scalar, self.width)

    def area(self, count: int, size: int = 0) -> V:
        """Elements of this thread's own, on a line of the cache."""
        nbytes = -(-count * (size or self.size) // 64) * 64
        base = self.control.areas.take(nbytes * self.threads)
        return self.fn.gep(base, self.fn.mul(self.fn.params[1], i64(nbytes)), "i8")

    # -- control -----------------------------------------------------------------------------------------------------
    def loop(self, start: V | int, stop: V | int, step: int, body: Callable[..., Sequence[V]], *carried: V) -> list[V]:
        """for (k = start; k < stop; k += step) carried = body(k, *carried); the values after it."""
        first, last = (x if isinstance(x, V) else i64(x) for x in (start, stop))
        loop = self.fn.begin_loop(first, last, i64(step), list(carried))
        return self.fn.end_loop(loop, list(body(loop.counter, *loop.carried)))

    def each(self, start: V | int, stop: V | int, step: int, body: Callable[[V], None]) -> None:
        """`loop` of a body that carries nothing."""
        first, last = (x if isinstance(x, V) else i64(x) for x in (start, stop))
        loop = self.fn.begin_loop(first, last, i64(step))
        body(loop.counter)
        self.fn.end_loop(loop)

    def long(self, start: V | int, stop: V | int, work: int, body: Callable[[V], None]) -> None:
        """`each` in steps of one. Where a turn is much work, the runtime is asked first whether programs are to end."""
        fn = self.fn

        def turn(k: V) -> None:
            go, past = fn.fresh("go"), fn.fresh("past")
            fn.unless_cancelled(go, past)
            fn.label(go)
            body(k)
            fn.br(past)
            fn.label(past)

        self.each(start, stop, 1, turn if work >= LONG else body)

    def when(self, condition: V, body: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        fn = self.fn
        then, other, past = fn.fresh("then"), fn.fresh("else"), fn.fresh("past")
        fn.cond_br(condition, then, other if otherwise else past)
        fn.label(then)
        body()
        fn.br(past)
        if otherwise:
            fn.label(other)
            otherwise()
            fn.br(past)
        fn.label(past)

    def repeat(self, condition: Callable[[], V], body: Callable[[], None]) -> None:
        """while condition(): body()"""
        fn = self.fn
        test, turn, done = fn.fresh("test"), fn.fresh("turn"), fn.fresh("done")
        fn.br(test)
        fn.label(test)
        fn.cond_br(condition(), turn, done)
        fn.label(turn)
        body()
        fn.br(test)
        fn.label(done)

    def cell(self, value: V) -> V:
        """A place of its own for a value that changes."""
        place = self.fn.alloca(value.type)
        self.fn.store(value, place, 8)
        return place

    def get(self, cell: V, type_: str = "i64") -> V:
        return self.fn.load(cell, type_, 8)

    def put(self, value: V, cell: V) -> None:
        self.fn.store(value, cell, 8)

    # -- memory ------------------------------------------------------------------------------------------------------
    def row(self, base: V, index: V, stride: int) -> V:
        """Where a row of so many elements begins."""
        return self.fn.gep(base, self.fn.mul(index, i64(stride)), self.scalar)

    def load(self, base: V, index: V, type_: str = "") -> V:
        """An element, or the vector that begins there."""
        type_ = type_ or self.scalar
        size = 8 if "double" in type_ else self.size
        return self.fn.load(self.fn.gep(base, index, "double" if size == 8 else "float"), type_, size)

    def wide(self, base: V, index: V) -> V:
        return self.load(base, index, self.vector)

    def store(self, value: V, base: V, index: V) -> None:
        size = 8 if "double" in value.type else self.size
        self.fn.store(value, self.fn.gep(base, index, "double" if size == 8 else "float"), size)

    def fill(self, base: V, count: V | int, value: float = 0.0) -> None:
        """Whole vectors of one number, until there are `count`."""
        self.each(0, count, self.width, lambda k: self.store(const(value, self.vector), base, k))

    # -- numbers -----------------------------------------------------------------------------------------------------
    def number(self, value: float, type_: str = "") -> V:
        type_ = type_ or self.scalar
        return V(float_literal(value, type_), type_) if type_[0] != "<" else const(value, type_)

    def splat(self, x: V) -> V:
        return self.fn.splat(x, self.width)

    def fma(self, a: V, b: V, c: V) -> V:
        return self.fn.intrinsic("llvm.fma", a.type, a, b, c)

    def mul(self, a: V, b: V) -> V:
        return self.fn.binary("fmul", a, b)

    def add(self, a: V, b: V) -> V:
        return self.fn.binary("fadd", a, b)

    def sub(self, a: V, b: V) -> V:
        return self.fn.binary("fsub", a, b)

    def div(self, a: V, b: V) -> V:
        return self.fn.binary("fdiv", a, b)

    def neg(self, a: V) -> V:
        return self.fn.op(f"fneg {a.type} {a.ref}", a.type)

    def sqrt(self, a: V) -> V:
        return self.fn.intrinsic("llvm.sqrt", a.type, a)

    def abs(self, a: V) -> V:
        return self.fn.intrinsic("llvm.fabs", a.type, a)

    def less(self, a: V, b: V, predicate: str = "olt") -> V:
        return self.fn.compare("fcmp", predicate, a, b)

    def total(self, x: V) -> V:
        """The sum of a vector's lanes: of halves, then of their halves."""
        fn = self.fn
        while lanes(x.type) > 2:
            half = lanes(x.type) // 2
            x = self.add(*(fn.op(f"shufflevector {x.type} {x.ref}, {x.type} poison, <{half} x i32> "
                                 f"<{', '.join(f'i32 {k + start}' for k in range(half))}>", vector(self.scalar, half))
                           for start in (0, half)))
        return self.add(fn.extract(x, 0), fn.extract(x, 1))

    def dot(self, a: V, b: V, stop: V | int) -> V:
        """sum of a[k] b[k] over whole vectors."""
        def turn(k: V, total: V) -> list[V]:
            return [self.fma(self.wide(a, k), self.wide(b, k), total)]

        return self.total(self.loop(0, stop, self.width, turn, const(0.0, self.vector))[0])

    # -- reflections -------------------------------------------------------------------------------------------------
    def reflection(self, v: V, count: V) -> tuple[V, V]:
        """Make of the first `count` numbers at v the vector, 1 at its end and then 0, of a reflection 1 - factor v v^T
        that leaves only the last of them; the factor, and what is left."""
        fn, last = self.fn, self.fn.add(count, i64(-1))
        alpha = self.load(v, last)
        self.store(const(0.0, self.vector), v, last)
        rest = self.dot(v, v, count)
        none = self.less(rest, self.number(NOTHING[self.scalar]), "ole")
        length = self.sqrt(self.fma(alpha, alpha, rest))
        beta = self.neg(fn.intrinsic("llvm.copysign", self.scalar, length, alpha))
        zero, one = self.number(0), self.number(1)
        factor = fn.select(none, zero, self.div(self.sub(beta, alpha), beta))
        scale = self.splat(fn.select(none, zero, self.div(one, self.sub(alpha, beta))))
        self.each(0, count, self.width, lambda c: self.store(self.mul(self.wide(v, c), scale), v, c))
        self.store(one, v, last)
        return factor, fn.select(none, alpha, beta)

    def copy(self, source: V, target: V, count: V | int) -> None:
        """Whole vectors, until there are `count` numbers."""
        self.each(0, count, self.width, lambda c: self.store(self.wide(source, c), target, c))

    # -- sizes -------------------------------------------------------------------------------------------------------
    def greatest(self, base: V, count: int) -> V:
        """The bits of the greatest size among `count` elements: of a NaN if there is one."""
        fn, integer = self.fn, "i32" if self.size == 4 else "i64"
        wide = with_element(self.vector, integer)
        mask = INFINITY[self.scalar] | ((1 << EXPONENT_AT[self.scalar]) - 1)

        def larger(k: V, top: V) -> list[V]:
            bits = fn.load(fn.gep(base, k, integer), top.type, self.size)
            return [fn.intrinsic("llvm.umax", top.type, top, fn.binary("and", bits, const(mask, top.type)))]

        whole = count // self.width * self.width
        most = self.loop(0, whole, self.width, larger, const(0, wide))[0]
        rest = self.loop(whole, count, 1, larger, V("0", integer))[0]
        for lane in range(self.width):
            rest = fn.intrinsic("llvm.umax", integer, rest, fn.extract(most, lane))
        return rest

    def scales(self, bits: V) -> tuple[V, V]:
        """The power of two that brings a size near 1, and its reciprocal: NaN where the size is not finite."""
        fn, at = self.fn, EXPONENT_AT[self.scalar]
        finite = fn.compare("icmp", "ult", bits, const(INFINITY[self.scalar], bits.type))
        exponent = fn.binary("lshr", bits, const(at, bits.type))
        exponent = fn.intrinsic("llvm.umax", bits.type, exponent, const(1, bits.type))
        exponent = fn.intrinsic("llvm.umin", bits.type, exponent, const(LAST_EXPONENT[self.scalar], bits.type))
        other = fn.binary("sub", const(LAST_EXPONENT[self.scalar] + 1, bits.type), exponent)
        there, back = (fn.cast("bitcast", fn.binary("shl", x, const(at, bits.type)), self.scalar)
                       for x in (other, exponent))
        return there, fn.select(finite, back, self.number(float("nan")))

    def copy_exactly(self, source: V, target: V, count: int) -> None:
        """So many numbers, no more."""
        whole = count // self.width * self.width
        self.copy(source, target, whole)
        self.each(whole, count, 1, lambda k: self.store(self.load(source, k), target, k))

    def copy_scaled(self, source: V, target: V, count: int, factor: V) -> None:
        """target[k] = factor source[k] for so many elements, no more."""
        whole, wide = count // self.width * self.width, self.splat(factor)
        self.each(0, whole, self.width, lambda k: self.store(self.mul(self.wide(source, k), wide), target, k))
        self.each(whole, count, 1, lambda k: self.store(self.mul(self.load(source, k), factor), target, k))

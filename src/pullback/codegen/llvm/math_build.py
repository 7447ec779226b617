"""A small arithmetic builder over one floating vector type: what the scalar rows are written with.

`Ops(fn, "<8 x float>")` offers constants, fused multiply-adds, comparisons, bit views and Horner sums of that type, so
that a polynomial reads like one. Everything emitted is in `allowed.ALLOWED_INTRINSICS` or a plain instruction.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.codegen.llvm.text import Fn, V, const, element, float_literal, lanes, mangle, vector, with_element


def splat_const(value: float | int | bool, type_: str) -> V:
    """A literal with `value` in every lane, in LLVM's short `splat (...)` spelling (quicker to parse)."""
    if type_[0] != "<":
        return const(value, type_)
    scalar = element(type_)
    return V(f"splat ({scalar} {const(value, scalar).ref})", type_)


class Ops:
    """Arithmetic on one floating type, scalar or vector, in one function."""

    def __init__(self, fn: Fn, type_: str) -> None:
        self.fn = fn
        self.type = type_
        self.width = lanes(type_)
        self.double = element(type_) == "double"
        self.bits_type = with_element(type_, "i64" if self.double else "i32")
        self.mask_type = with_element(type_, "i1")
        self.mantissa = 52 if self.double else 23

    # -- constants -----------------------------------------------------------------------------------------------
    def c(self, value: float) -> V:
        """A floating literal."""
        if self.width == 1:
            return V(float_literal(value, self.type), self.type)
        scalar = element(self.type)
        return V(f"splat ({scalar} {float_literal(value, scalar)})", self.type)

    def i(self, value: int) -> V:
        """An integer literal of the bit view's type."""
        return splat_const(value, self.bits_type)

    # -- floating arithmetic -------------------------------------------------------------------------------------
    def add(self, a: V, b: V) -> V:
        return self.fn.binary("fadd", a, b)

    def sub(self, a: V, b: V) -> V:
        return self.fn.binary("fsub", a, b)

    def mul(self, a: V, b: V) -> V:
        return self.fn.binary("fmul", a, b)

    def div(self, a: V, b: V) -> V:
        return self.fn.binary("fdiv", a, b)

    def fma(self, a: V, b: V, c: V) -> V:
        return self.fn.intrinsic("llvm.fma", self.type, a, b, c)

    def neg(self, a: V) -> V:
        return self.fn.op(f"fneg {a.type} {a.ref}", a.type)

    def call1(self, stem: str, a: V) -> V:
        """A one-operand intrinsic of this type: `call1("llvm.sqrt", x)`."""
        return self.fn.intrinsic(stem, self.type, a)

    def abs(self, a: V) -> V:
        return self.call1("llvm.fabs", a)

    def copysign(self, a: V, sign: V) -> V:
        return self.fn.intrinsic("llvm.copysign", self.type, a, sign)

    def horner(self, coefficients: Sequence[float], x: V) -> V:
        """Sum of `coefficients[k] * x**k`, one chain of fused multiply-adds."""
        total = self.c(coefficients[-1])
        for value in reversed(coefficients[:-1]):
            total = self.fma(total, x, self.c(value))
        return total

    def horner2(self, coefficients: Sequence[float], x: V, square: V) -> V:
        """The same sum as two interleaved chains in `square` = x * x: half the latency for one more operation."""
        even, odd = self.horner(coefficients[0::2], square), self.horner(coefficients[1::2], square)
        return self.fma(odd, x, even)

    # -- comparison and choice -----------------------------------------------------------------------------------
    def cmp(self, predicate: str, a: V, b: V) -> V:
        return self.fn.compare("fcmp", predicate, a, b)

    def sel(self, condition: V, a: V, b: V) -> V:
        return self.fn.select(condition, a, b)

    def both(self, a: V, b: V) -> V:
        return self.fn.binary("and", a, b)

    def either(self, a: V, b: V) -> V:
        return self.fn.binary("or", a, b)

    def at_most(self, a: V, limit: V) -> V:
        """min(a, limit) that keeps a NaN of `a`: one instruction on x86."""
        return self.sel(self.cmp("olt", limit, a), limit, a)

    def at_least(self, a: V, limit: V) -> V:
        """max(a, limit) that keeps a NaN of `a`."""
        return self.sel(self.cmp("ogt", limit, a), limit, a)

    # -- bits ----------------------------------------------------------------------------------------------------
    def bits(self, a: V) -> V:
        return self.fn.cast("bitcast", a, self.bits_type)

    def floats(self, a: V) -> V:
        return self.fn.cast("bitcast", a, self.type)

    def int(self, opcode: str, a: V, b: V) -> V:
        """An integer instruction on bit views; `opcode` is LLVM's ("add", "shl", "lshr" ...)."""
        return self.fn.binary(opcode, a, b)

    # -- other precision -----------------------------------------------------------------------------------------
    def wide(self) -> Ops:
        """The builder of the same number of lanes in double precision."""
        return Ops(self.fn, vector("double", self.width))

    def widen(self, a: V) -> V:
        return self.fn.cast("fpext", a, vector("double", self.width))

    def narrow(self, a: V) -> V:
        """Rounds a double of as many lanes to this type."""
        return self.fn.cast("fptrunc", a, self.type)


def call_libm(o: Ops, name: str, *args: V) -> V:
    """`name` of the C library's mathematics on every lane: `LIBM_CALLS` documents which rows come here.

    A vector goes through memory to an outlined loop, one per library function and module, so that the place of the
    call stays small.
    """
    scalar = element(o.type)
    symbol = name if o.double else name + "f"
    if o.width == 1:
        return o.fn.call(symbol, scalar, *args)
    outlined = _libm_loop(o, symbol, scalar, len(args))
    size = 8 if o.double else 4
    slots = [o.fn.alloca(o.type, align=64) for _ in range(len(args) + 1)]
    for slot, value in zip(slots[1:], args, strict=True):
        o.fn.store(value, slot, size)
    o.fn.call(outlined, "void", *slots, V(str(o.width), "i64"), declare=False)
    return o.fn.load(slots[0], o.type, size)


def _libm_loop(o: Ops, symbol: str, scalar: str, arity: int) -> str:
    """Define `void pb.libm.<symbol>(out, in..., n)` once in the module; returns its name."""
    module, name = o.fn.module, f"pb.libm.{symbol}"
    if any(fn.name == name for fn in module.functions):
        return name
    params = [("ptr", "out"), *(("ptr", f"in{k}") for k in range(arity)), ("i64", "n")]
    fn = module.function(name, params, attributes="#1", linkage="internal")
    size = 8 if scalar == "double" else 4
    loop = fn.begin_loop(V("0", "i64"), fn.params[-1], V("1", "i64"))
    values = [fn.load(fn.gep(p, loop.counter, scalar), scalar, size) for p in fn.params[1:-1]]
    fn.store(fn.call(symbol, scalar, *values), fn.gep(fn.params[0], loop.counter, scalar), size)
    fn.end_loop(loop)
    fn.ret()
    return name


def reduce_or(fn: Fn, mask: V) -> V:
    """True where any lane of an i1 vector is."""
    if mask.type == "i1":
        return mask
    return fn.call(f"llvm.vector.reduce.or.{mangle(mask.type)}", "i1", mask)


def slow_path(o: Ops, fast: V, needed: V, slow: str, *args: V) -> V:
    """`fast`, except that where any lane of `needed` is set those lanes come from the library's `slow`, by a branch."""
    fn = o.fn
    n = fn.fresh("")
    before = fn.block
    fn.cond_br(reduce_or(fn, needed), f"slow{n}", f"join{n}")
    fn.label(f"slow{n}")
    repaired = o.sel(needed, call_libm(o, slow, *args), fast)
    inside = fn.block
    fn.br(f"join{n}")
    fn.label(f"join{n}")
    return fn.op(f"phi {o.type} [ {fast.ref}, %{before} ], [ {repaired.ref}, %{inside} ]", o.type)

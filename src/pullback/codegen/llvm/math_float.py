"""Floating scalar rows without polynomials: arithmetic, rounding, comparison, choice. One instruction where one is."""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm.math_build import Ops, call_libm, slow_path
from pullback.codegen.llvm.text import V

FloatRow = Callable[[Ops, list[V]], V]

INFINITY = float("inf")
NAN = float("nan")


def plain(opcode: str) -> FloatRow:
    """A row that is one instruction of two operands."""
    return lambda o, args: o.fn.binary(opcode, args[0], args[1])


def intrinsic(stem: str) -> FloatRow:
    """A row that is one intrinsic."""
    return lambda o, args: o.fn.intrinsic(stem, o.type, *args)


def compare(predicate: str) -> FloatRow:
    """A row that is one comparison of two operands."""
    return lambda o, args: o.cmp(predicate, args[0], args[1])


def _is_number(v: V) -> bool:
    """A literal that is not a NaN."""
    return v.ref[0] != "%" and "0x7FF8" not in v.ref


def extreme(predicate: str) -> FloatRow:
    """maximum ("ogt") or minimum ("olt"), NaN where either operand is; one instruction against a literal."""

    def row(o: Ops, args: list[V]) -> V:
        a, b = args
        if _is_number(b):
            a, b = b, a
        best = o.sel(o.cmp(predicate, a, b), a, b)
        return best if _is_number(a) else o.sel(o.cmp("uno", a, a), a, best)

    return row


maximum, minimum = extreme("ogt"), extreme("olt")


def is_infinite(o: Ops, x: V) -> V:
    return o.cmp("oeq", o.abs(x), o.c(INFINITY))


def _isfinite(o: Ops, args: list[V]) -> V:
    return o.cmp("olt", o.abs(args[0]), o.c(INFINITY))


def is_negative(o: Ops, x: V) -> V:
    """The sign bit, of zeros and NaNs too."""
    bits = o.bits(x)
    return o.fn.compare("icmp", "slt", bits, o.i(0))


def _sign(o: Ops, args: list[V]) -> V:
    x = args[0]
    unit = o.copysign(o.c(1.0), x)
    return o.sel(o.cmp("une", x, o.c(0.0)), o.sel(o.cmp("uno", x, x), x, unit), o.c(0.0))


def _fmod(o: Ops, args: list[V]) -> V:
    """C's remainder, exact: a whole quotient of fewer bits than a number has is right or, rounded up, one too large;
    what is left of the dividend is a number either way. Larger quotients, and what is none, are the library's."""
    a, b = (o.abs(x) for x in args)
    ratio = o.div(a, b)
    whole = o.call1("llvm.trunc", ratio)
    rest = o.fma(o.neg(whole), b, a)
    rest = o.sel(o.cmp("olt", rest, o.c(0.0)), o.add(rest, b), rest)
    rest = o.sel(o.cmp("oeq", whole, o.c(0.0)), a, rest)  # of an infinite divisor, too
    large = o.cmp("uge", ratio, o.c(float(1 << o.mantissa)))
    return slow_path(o, o.copysign(rest, args[0]), large, "fmod", *args)


def _python_mod(o: Ops, args: list[V]) -> tuple[V, V, V]:
    """(C's remainder, Python's, where they differ): Python's has the sign of the divisor, also for a zero."""
    b, rest = args[1], _fmod(o, args)
    zero = o.cmp("oeq", rest, o.c(0.0))
    apart = o.fn.binary("xor", o.cmp("olt", rest, o.c(0.0)), o.cmp("olt", b, o.c(0.0)))
    apart = o.both(apart, o.cmp("one", rest, o.c(0.0)))
    return rest, o.sel(zero, o.copysign(o.c(0.0), b), o.sel(apart, o.add(rest, b), rest)), apart


def _remainder(o: Ops, args: list[V]) -> V:
    return _python_mod(o, args)[1]


def _floor_divide(o: Ops, args: list[V]) -> V:
    """NumPy's: consistent with `remainder`; division by zero gives what `/` gives."""
    a, b = args
    rest, _, apart = _python_mod(o, args)
    ratio = o.div(a, b)
    whole = o.div(o.sub(a, rest), b)
    whole = o.sel(apart, o.sub(whole, o.c(1.0)), whole)
    floor = o.call1("llvm.floor", whole)
    short = o.cmp("ogt", o.sub(whole, floor), o.c(0.5))
    floor = o.sel(short, o.add(floor, o.c(1.0)), floor)
    floor = o.sel(o.cmp("oeq", whole, o.c(0.0)), o.copysign(o.c(0.0), ratio), floor)
    return o.sel(o.cmp("oeq", b, o.c(0.0)), ratio, floor)


def _hypot(o: Ops, args: list[V]) -> V:
    if o.double:
        return call_libm(o, "hypot", *args)
    w = o.wide()
    a, b = o.widen(args[0]), o.widen(args[1])
    size = o.narrow(w.call1("llvm.sqrt", w.fma(a, a, w.mul(b, b))))
    return o.sel(o.either(is_infinite(o, args[0]), is_infinite(o, args[1])), o.c(INFINITY), size)


def _nextafter(o: Ops, args: list[V]) -> V:
    x, to = args
    bits = o.bits(x)
    outwards = o.fn.compare("icmp", "eq", is_negative(o, x), o.cmp("olt", to, x))
    step = o.fn.select(outwards, o.i(1), o.i(-1))
    tiny = o.floats(o.fn.binary("or", o.i(1), o.fn.binary("and", o.bits(to), o.i(1 << (63 if o.double else 31)))))
    moved = o.sel(o.cmp("oeq", x, o.c(0.0)), tiny, o.floats(o.fn.add(bits, step)))
    moved = o.sel(o.cmp("oeq", x, to), to, moved)
    return o.sel(o.cmp("uno", x, to), o.add(x, to), moved)


def _clamp(o: Ops, args: list[V]) -> V:
    return minimum(o, [maximum(o, args[:2]), args[2]])


def integer_pow(o: Ops, x: V, exponent: int) -> V:
    """x ** exponent for a static integer: square and multiply, one division for a negative exponent."""
    if exponent == 0:
        return o.c(1.0)
    left, base, result = abs(exponent), x, None
    while True:
        if left & 1:
            result = base if result is None else o.mul(result, base)
        left >>= 1
        if not left:
            break
        base = o.mul(base, base)
    assert result is not None
    return result if exponent > 0 else o.div(o.c(1.0), result)


def _square(o: Ops, args: list[V]) -> V:
    return o.mul(args[0], args[0])


def _reciprocal(o: Ops, args: list[V]) -> V:
    return o.div(o.c(1.0), args[0])


def _rsqrt(o: Ops, args: list[V]) -> V:
    return o.div(o.c(1.0), o.call1("llvm.sqrt", args[0]))


FLOAT_ROWS: dict[str, FloatRow] = {
    "add": plain("fadd"), "sub": plain("fsub"), "mul": plain("fmul"), "div": plain("fdiv"),
    "floor_divide": _floor_divide, "remainder": _remainder, "fmod": _fmod,
    "neg": lambda o, args: o.neg(args[0]), "abs": intrinsic("llvm.fabs"), "sign": _sign, "square": _square,
    "reciprocal": _reciprocal, "sqrt": intrinsic("llvm.sqrt"), "rsqrt": _rsqrt, "fma": intrinsic("llvm.fma"),
    "maximum": maximum, "minimum": minimum, "clamp": _clamp, "hypot": _hypot, "copysign": intrinsic("llvm.copysign"),
    "nextafter": _nextafter, "identity": lambda o, args: args[0],
    "floor": intrinsic("llvm.floor"), "ceil": intrinsic("llvm.ceil"), "trunc": intrinsic("llvm.trunc"),
    "round": intrinsic("llvm.roundeven"),
    "eq": compare("oeq"), "ne": compare("une"), "lt": compare("olt"), "le": compare("ole"), "gt": compare("ogt"),
    "ge": compare("oge"), "isnan": lambda o, args: o.cmp("uno", args[0], args[0]),
    "isinf": lambda o, args: is_infinite(o, args[0]), "isfinite": _isfinite,
    "signbit": lambda o, args: is_negative(o, args[0]),
}

"""Scalar rows over integers and bool. Nothing traps: x // 0 and x % 0 are 0, MIN // -1 wraps, wide shifts give 0."""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm.math_build import splat_const
from pullback.codegen.llvm.text import Fn, V, element, with_element

IntRow = Callable[[Fn, list[V], bool], V]


def _bits(v: V) -> int:
    return int(element(v.type)[1:])


def _zero(v: V) -> V:
    return splat_const(0, v.type)


def _plain(opcode: str) -> IntRow:
    return lambda fn, args, signed: fn.binary(opcode, args[0], args[1])


def _compare(predicate: str, ordered: bool = True) -> IntRow:
    def row(fn: Fn, args: list[V], signed: bool) -> V:
        return fn.compare("icmp", ("s" if signed else "u") + predicate if ordered else predicate, args[0], args[1])

    return row


def _extreme(which: str) -> IntRow:
    def row(fn: Fn, args: list[V], signed: bool) -> V:
        return fn.intrinsic(f"llvm.{'s' if signed else 'u'}{which}", args[0].type, args[0], args[1])

    return row


def _safe_divisor(fn: Fn, a: V, b: V, signed: bool) -> V:
    """`b`, or 1 where the division would trap."""
    bad = fn.compare("icmp", "eq", b, _zero(b))
    if signed:
        lowest = fn.compare("icmp", "eq", a, splat_const(-(1 << (_bits(a) - 1)), a.type))
        minus = fn.compare("icmp", "eq", b, splat_const(-1, b.type))
        bad = fn.binary("or", bad, fn.binary("and", lowest, minus))
    return fn.select(bad, splat_const(1, b.type), b)


def _trunc_divide(fn: Fn, a: V, b: V, signed: bool) -> tuple[V, V]:
    """Quotient towards zero and its remainder; (0, 0) where b is 0."""
    quotient = fn.binary("sdiv" if signed else "udiv", a, _safe_divisor(fn, a, b, signed))
    nothing = fn.compare("icmp", "eq", b, _zero(b))
    remainder = fn.binary("sub", a, fn.mul(quotient, b))
    return fn.select(nothing, _zero(a), quotient), fn.select(nothing, _zero(a), remainder)


def _floor_adjust(fn: Fn, remainder: V, b: V) -> V:
    """Lanes whose truncated quotient is one above the floor."""
    left = fn.compare("icmp", "ne", remainder, _zero(b))
    return fn.binary("and", left, fn.compare("icmp", "slt", fn.binary("xor", remainder, b), _zero(b)))


def _floor_divide(fn: Fn, args: list[V], signed: bool) -> V:
    quotient, remainder = _trunc_divide(fn, args[0], args[1], signed)
    if not signed:
        return quotient
    return fn.add(quotient, fn.cast("sext", _floor_adjust(fn, remainder, args[1]), quotient.type))


def _remainder(fn: Fn, args: list[V], signed: bool) -> V:
    _, remainder = _trunc_divide(fn, args[0], args[1], signed)
    if not signed:
        return remainder
    adjust = _floor_adjust(fn, remainder, args[1])
    return fn.select(adjust, fn.add(remainder, args[1]), remainder)


def _fmod(fn: Fn, args: list[V], signed: bool) -> V:
    return _trunc_divide(fn, args[0], args[1], signed)[1]


def _neg(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("sub", _zero(args[0]), args[0])


def _abs(fn: Fn, args: list[V], signed: bool) -> V:
    return _extreme("max")(fn, [args[0], _neg(fn, args, signed)], True) if signed else args[0]


def _sign(fn: Fn, args: list[V], signed: bool) -> V:
    x = args[0]
    positive = fn.cast("zext", fn.compare("icmp", "ne", x, _zero(x)), x.type)
    if not signed:
        return positive
    negative = fn.binary("ashr", x, splat_const(_bits(x) - 1, x.type))
    return fn.binary("or", negative, positive)


def _shift(opcode: str | None) -> IntRow:
    """`opcode` None: right, arithmetic where signed. A shift by the width or more (or negative) empties the value."""

    def row(fn: Fn, args: list[V], signed: bool) -> V:
        x, n = args
        code = opcode or ("ashr" if signed else "lshr")
        inside = fn.compare("icmp", "ult", n, splat_const(_bits(x), x.type))
        if code == "ashr":
            return fn.binary(code, x, fn.select(inside, n, splat_const(_bits(x) - 1, x.type)))
        return fn.select(inside, fn.binary(code, x, fn.select(inside, n, _zero(n))), _zero(x))

    return row


def _popcount(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.intrinsic("llvm.ctpop", args[0].type, args[0])


def _clz(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.intrinsic("llvm.ctlz", args[0].type, args[0], V("false", "i1"))


def _pow(fn: Fn, args: list[V], signed: bool) -> V:
    """Square and multiply over the exponent's bits; a negative exponent gives 1/x cut to an integer (0, 1 or -1)."""
    x, n = args
    one = splat_const(1, x.type)
    loop = fn.begin_loop(V("0", "i64"), V(str(_bits(x)), "i64"), V("1", "i64"), [one, x, n])
    result, base, left = loop.carried
    odd = fn.cast("trunc", left, with_element(x.type, "i1"))
    result = fn.select(odd, fn.mul(result, base), result)
    end = fn.end_loop(loop, [result, fn.mul(base, base), fn.binary("lshr", left, one)])
    if not signed:
        return end[0]
    size_one = fn.compare("icmp", "ult", fn.add(x, one), splat_const(3, x.type))
    unit = fn.binary("and", size_one, fn.compare("icmp", "ne", x, _zero(x)))
    negative = fn.compare("icmp", "slt", n, _zero(n))
    inverse = fn.select(unit, end[0], _zero(x))
    return fn.select(negative, inverse, end[0])


def _square(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.mul(args[0], args[0])


def _fma(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.add(fn.mul(args[0], args[1]), args[2])


def _clamp(fn: Fn, args: list[V], signed: bool) -> V:
    return _extreme("min")(fn, [_extreme("max")(fn, args[:2], signed), args[2]], signed)


def _not(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("xor", args[0], splat_const(-1, args[0].type))


def _same(fn: Fn, args: list[V], signed: bool) -> V:
    return args[0]


def _never(fn: Fn, args: list[V], signed: bool) -> V:
    return splat_const(False, with_element(args[0].type, "i1"))


def _always(fn: Fn, args: list[V], signed: bool) -> V:
    return splat_const(True, with_element(args[0].type, "i1"))


def _signbit(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.compare("icmp", "slt", args[0], _zero(args[0])) if signed else _never(fn, args, signed)


INT_ROWS: dict[str, IntRow] = {
    "add": _plain("add"), "sub": _plain("sub"), "mul": _plain("mul"), "floor_divide": _floor_divide,
    "remainder": _remainder, "fmod": _fmod, "neg": _neg, "abs": _abs, "sign": _sign, "square": _square, "pow": _pow,
    "fma": _fma, "maximum": _extreme("max"), "minimum": _extreme("min"), "clamp": _clamp,
    "floor": _same, "ceil": _same, "trunc": _same, "round": _same, "identity": _same,
    "eq": _compare("eq", False), "ne": _compare("ne", False), "lt": _compare("lt"), "le": _compare("le"),
    "gt": _compare("gt"), "ge": _compare("ge"),
    "isnan": _never, "isinf": _never, "isfinite": _always, "signbit": _signbit,
    "bitwise_and": _plain("and"), "bitwise_or": _plain("or"), "bitwise_xor": _plain("xor"), "bitwise_not": _not,
    "shift_left": _shift("shl"), "shift_right": _shift(None), "popcount": _popcount, "clz": _clz,
}


def _implies(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("or", _bool_not(fn, args, signed), args[1])


def _bool_not(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("xor", args[0], splat_const(True, args[0].type))


def _swap(row: IntRow) -> IntRow:
    return lambda fn, args, signed: row(fn, [args[1], args[0]], signed)


def _but_not(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("and", args[0], _bool_not(fn, args[1:], signed))


def _same_bool(fn: Fn, args: list[V], signed: bool) -> V:
    return _bool_not(fn, [fn.binary("xor", args[0], args[1])], signed)


def _clamp_bool(fn: Fn, args: list[V], signed: bool) -> V:
    return fn.binary("and", fn.binary("or", args[0], args[1]), args[2])


_AND, _OR, _XOR = _plain("and"), _plain("or"), _plain("xor")
BOOL_ROWS: dict[str, IntRow] = {
    "add": _OR, "mul": _AND, "maximum": _OR, "minimum": _AND, "abs": _same, "sign": _same, "square": _same,
    "clamp": _clamp_bool, "identity": _same, "floor": _same, "ceil": _same, "trunc": _same, "round": _same,
    "eq": _same_bool, "ne": _XOR, "lt": _swap(_but_not), "le": _implies, "gt": _but_not, "ge": _swap(_implies),
    "isnan": _never, "isinf": _never, "isfinite": _always, "signbit": _never,
    "logical_and": _AND, "logical_or": _OR, "logical_xor": _XOR, "logical_not": _bool_not,
    "bitwise_and": _AND, "bitwise_or": _OR, "bitwise_xor": _XOR, "bitwise_not": _bool_not,
}

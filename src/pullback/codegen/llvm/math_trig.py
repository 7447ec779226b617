"""Circular functions: sin, cos, tan, asin, acos, atan, atan2.

sin and cos: x = n pi + r with n an integer (half-odd for cos), pi in three parts taken off by fused multiply-adds (the
first is exact), one odd polynomial on |r| <= pi / 2, the sign from n's parity. Arguments beyond the range of that
reduction take a branch, entered only where a lane needs it. The parts of pi are cut towards zero so that -0 stays -0.
tan of float32 goes through double. Largest errors, in ulp, of float32: sin, cos, asin 1.8; tan 0.9 (1.4 where huge);
acos 1.5; atan 1.9; atan2 2.
"""

from __future__ import annotations

import math

from pullback.codegen.llvm.math_build import Ops, call_libm, slow_path
from pullback.codegen.llvm.math_float import is_negative
from pullback.codegen.llvm.text import V

_PI = {
    False: (3.141592502593994, 1.5099578831723193e-07, 1.078060505991553e-14),
    True: (3.141592653589793, 1.224646799147353e-16, 2.1657133478024873e-32),
}
_MAGIC = {False: 1.5 * 2.0**23, True: 1.5 * 2.0**52}
_LIMIT = {False: 7.0e4, True: 1.0e9}
_SIN_FULL = {
    False: (-0.16666659712791443, 0.00833306647837162, -0.00019809650257229805, 2.605861709525925e-06),
    True: (-0.16666666666666666, 0.008333333333333333, -0.0001984126984126967, 2.7557319223940153e-06,
           -2.5052108378482905e-08, 1.6059043195546496e-10, -7.647127234402002e-13, 2.8102023833070676e-15,
           -7.981337999274033e-18),
}
_SIN_QUARTER = (-0.16666654873441974, 0.008332173544456768, -0.00019516656010698259)
_COS_QUARTER = (0.041666646748007755, -0.0013887361460867196, 2.4437731204033557e-05)
_ATAN = (-0.3333329909406761, 0.19998548431928043, -0.14264243110251235, 0.10952192403289392, -0.0840346746562083,
         0.05795785541113209, -0.03117808125882328, 0.010914720964927398, -0.0017936453939938002)
_ASIN = (0.16666652262210846, 0.07500547915697098, 0.04451632872223854, 0.03181884065270424, 0.014438588172197342,
         0.037510037422180176)


def _take_off(o: Ops, x: V, n: V, parts: tuple[float, float, float]) -> V:
    """x - n * sum(parts)."""
    r = x
    for part in parts:
        r = o.fma(n, o.c(-part), r)
    return r


def _sin_reduced(o: Ops, r: V, word: V) -> V:
    """(-1)^n sin r, |r| <= pi / 2, n in the low bits of `word`."""
    square = o.mul(r, r)
    poly = o.horner(_SIN_FULL[o.double], square)
    y = _with_sign(o, o.fma(o.mul(r, square), poly, r), r)
    return o.floats(o.int("xor", o.bits(y), o.int("shl", word, o.i(63 if o.double else 31))))


def _with_sign(o: Ops, y: V, r: V) -> V:
    """`y`, whose sign is that of `r` already unless it is zero: -0 stays -0."""
    sign = o.int("and", o.bits(r), o.i(-(1 << (63 if o.double else 31))))
    return o.floats(o.int("or", o.bits(y), sign))


def _too_large(o: Ops, x: V) -> V:
    return o.cmp("ogt", o.abs(x), o.c(_LIMIT[o.double]))


def sin(o: Ops, x: V) -> V:
    magic = o.c(_MAGIC[o.double])
    shifted = o.fma(x, o.c(1.0 / math.pi), magic)
    r = _take_off(o, x, o.sub(shifted, magic), _PI[o.double])
    return slow_path(o, _sin_reduced(o, r, o.bits(shifted)), _too_large(o, x), "sin", x)


def cos(o: Ops, x: V) -> V:
    """cos x = (-1)^k sin(x - (k - 1/2) pi)."""
    magic = o.c(_MAGIC[o.double])
    shifted = o.add(o.fma(x, o.c(1.0 / math.pi), o.c(0.5)), magic)
    n = o.sub(o.sub(shifted, magic), o.c(0.5))
    r = _take_off(o, x, n, _PI[o.double])
    return slow_path(o, _sin_reduced(o, r, o.bits(shifted)), _too_large(o, x), "cos", x)


def tan(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "tan", x)
    w, value = o.wide(), o.widen(x)
    magic = w.c(_MAGIC[True])
    shifted = w.fma(value, w.c(2.0 / math.pi), magic)
    first, second, third = _PI[True]
    r = _take_off(w, value, w.sub(shifted, magic), (first / 2, second / 2, third / 2))
    u = w.mul(r, r)
    s = _with_sign(w, w.fma(w.mul(r, u), w.horner(_SIN_QUARTER, u), r), r)
    c = w.fma(w.mul(u, u), w.horner(_COS_QUARTER, u), w.fma(u, w.c(-0.5), w.c(1.0)))
    odd = o.fn.cast("trunc", w.bits(shifted), o.mask_type)
    fast = o.narrow(w.div(w.sel(odd, w.neg(c), s), w.sel(odd, s, c)))
    return slow_path(o, fast, _too_large(w, value), "tan", x)


def _asin_parts(o: Ops, x: V) -> tuple[V, V]:
    """(far, y): where |x| > 1/2 `far` is set and y = asin(sqrt((1 - |x|) / 2)), elsewhere y = asin |x|."""
    a = o.abs(x)
    far = o.cmp("ogt", a, o.c(0.5))
    u = o.sel(far, o.fma(a, o.c(-0.5), o.c(0.5)), o.mul(a, a))
    s = o.sel(far, o.call1("llvm.sqrt", u), a)
    return far, o.fma(o.mul(s, u), o.horner(_ASIN, u), s)


def asin(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "asin", x)
    far, y = _asin_parts(o, x)
    folded = o.add(o.fma(y, o.c(-2.0), o.c(-4.371138828673793e-08)), o.c(math.pi / 2))
    return o.copysign(o.sel(far, folded, y), x)


def acos(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "acos", x)
    far, y = _asin_parts(o, x)
    negative = o.cmp("olt", x, o.c(0.0))
    twice = o.add(y, y)
    folded = o.sel(negative, o.add(o.sub(o.c(-8.742277657347586e-08), twice), o.c(math.pi)), twice)
    near = o.add(o.sub(o.c(-4.371138828673793e-08), o.copysign(y, x)), o.c(math.pi / 2))
    return o.sel(far, folded, near)


def _atan_ratio(o: Ops, low: V, high: V) -> V:
    """atan(low / high) for 0 <= low <= high."""
    t = o.div(low, high)
    u = o.mul(t, t)
    return o.fma(o.mul(t, u), o.horner2(_ATAN, u, o.mul(u, u)), t)


def _from_right_angle(o: Ops, y: V) -> V:
    return o.add(o.sub(o.c(-4.371138828673793e-08), y), o.c(math.pi / 2))


def atan(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "atan", x)
    a, one = o.abs(x), o.c(1.0)
    steep = o.cmp("ogt", a, one)
    y = _atan_ratio(o, o.sel(steep, one, a), o.sel(steep, a, one))
    return o.copysign(o.sel(steep, _from_right_angle(o, y), y), x)


def atan2(o: Ops, y: V, x: V) -> V:
    if o.double:
        return call_libm(o, "atan2", y, x)
    a, b = o.abs(y), o.abs(x)
    steep = o.cmp("ogt", a, b)
    low, high = o.sel(steep, b, a), o.sel(steep, a, b)
    same = o.cmp("oeq", a, b)
    diagonal = o.sel(o.cmp("oeq", a, o.c(0.0)), o.c(0.0), o.c(math.pi / 4))
    angle = o.sel(same, diagonal, _atan_ratio(o, low, high))
    angle = o.sel(steep, _from_right_angle(o, angle), angle)
    turned = o.add(o.sub(o.c(-8.742277657347586e-08), angle), o.c(math.pi))
    angle = o.sel(is_negative(o, x), turned, angle)
    angle = o.sel(o.cmp("uno", x, y), o.add(x, y), angle)
    return o.copysign(angle, y)



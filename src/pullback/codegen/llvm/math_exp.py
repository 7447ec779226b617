"""The exponential family: exp, exp2, expm1, sigmoid, tanh, sinh, cosh, in float32 and float64.

x = n ln2 + r with |r| <= ln2 / 2; e^r = 1 + r + r^2 q(r), q a minimax polynomial; 2^n is put together in the exponent
bits. n comes out of the low bits of a sum with a large constant, so no conversion instruction is needed. Scaling goes
in two halves, so that overflow and denormal results round once and correctly. Largest errors, in ulp, of float32:
exp, exp2 1.1, expm1 1.6, sigmoid 1.7, tanh 3.1; float64: under 2, tanh 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pullback.codegen.llvm.math_build import Ops, call_libm
from pullback.codegen.llvm.text import V


class ExpFormat(NamedTuple):
    """Constants of one precision. `ln2` is split in two; `low`/`high` bound where exp is neither 0 nor infinite."""

    magic: float
    ln2: tuple[float, float]
    q: tuple[float, ...]
    low: float
    high: float
    saturated: float


FORMATS = {
    False: ExpFormat(
        magic=1.5 * 2.0**23, ln2=(0.693147182464599609375, -1.9046542121259336e-09),
        q=(0.49999993431725703, 0.16666520404913687, 0.04166839100582067, 0.008368744683896603, 0.001381452509037236),
        low=-104.5, high=89.0, saturated=9.02),
    True: ExpFormat(
        magic=1.5 * 2.0**52, ln2=(math.log(2.0), 2.3190468138462996e-17),
        q=(0.5000000000000011, 0.1666666666666641, 0.04166666666652971, 0.008333333333494914, 0.0013888888943764045,
           0.0001984126950590284, 2.480149294569621e-05, 2.755758669284882e-06, 2.763030763854382e-07,
           2.500005356788984e-08),
        low=-746.0, high=710.0, saturated=19.5),
}

# tanh(x / 2) = x P(u) / Q(u), u = x^2: a minimax rational for the error left after doubling the argument (7e-9).
# Its float32 coefficients were then searched for the least error as evaluated; the common factor of P and Q keeps
# Q's values away from just above powers of two, where rounding costs most.
_TANH_P = (0.9249998331069946, 0.02753663994371891, 0.0001056013788911514)
_TANH_Q = (1.8499996662139893, 0.20923985540866852, 0.0022312686778604984, 2.270376398882945e-06)


def _reduce(o: Ops, x: V, bias: int) -> tuple[V, V]:
    """(r, word): x = n ln2 + r, n + bias in the low bits of the integer `word`."""
    k = FORMATS[o.double]
    magic = o.c(k.magic + bias)
    shifted = o.fma(x, o.c(1.0 / math.log(2.0)), magic)
    n = o.sub(shifted, magic)
    r = o.fma(n, o.c(-k.ln2[1]), o.fma(n, o.c(-k.ln2[0]), x))
    return r, o.bits(shifted)


def _bias(o: Ops) -> int:
    return 1023 if o.double else 127


def _expm1_core(o: Ops, r: V) -> V:
    """e^r - 1 for |r| <= ln2 / 2."""
    square = o.mul(r, r)
    return o.fma(square, o.horner2(FORMATS[o.double].q, r, square), r)


def _power_of_two(o: Ops, word: V) -> V:
    """2^n of the n + bias in the low bits of `word`, in the normal range."""
    return o.floats(o.int("shl", word, o.i(o.mantissa)))


def _scale(o: Ops, p: V, word: V) -> V:
    """p 2^n, n + 2 bias in the low bits of `word`, in two halves: correct for overflow and for denormal results."""
    half = o.int("lshr", word, o.i(1))
    return o.mul(o.mul(p, _power_of_two(o, half)), _power_of_two(o, o.int("sub", word, half)))


def exp(o: Ops, x: V) -> V:
    """Keeps a NaN: its garbage scales multiply it."""
    return exp_nonpositive(o, o.at_most(x, o.c(FORMATS[o.double].high)))


def exp_nonpositive(o: Ops, x: V) -> V:
    """exp of x <= 0, or of any x that does not overflow."""
    r, word = _reduce(o, o.at_least(x, o.c(FORMATS[o.double].low)), 2 * _bias(o))
    return _scale(o, o.add(_expm1_core(o, r), o.c(1.0)), word)


def exp_normal(o: Ops, x: V) -> V:
    """exp of an x whose result is a normal number (-700 < x < 700 in double): one scaling."""
    r, word = _reduce(o, x, _bias(o))
    return o.mul(o.add(_expm1_core(o, r), o.c(1.0)), _power_of_two(o, word))


def exp_flushed(o: Ops, x: V) -> V:
    """exp of x <= 0, or of any x that does not overflow; 0 where that is less than the least normal number.

    The bound of x is where n + bias is 0: then 2^n is put together as 0.
    """
    r, word = _reduce(o, o.at_least(x, o.c(-709.1 if o.double else -88.0)), _bias(o))
    return o.mul(o.add(_expm1_core(o, r), o.c(1.0)), _power_of_two(o, word))


def exp2(o: Ops, x: V) -> V:
    magic = o.c(FORMATS[o.double].magic + 2 * _bias(o))
    x = o.at_least(o.at_most(x, o.c(1025.0 if o.double else 129.0)), o.c(-1076.0 if o.double else -151.0))
    shifted = o.add(x, magic)
    r = o.mul(o.sub(x, o.sub(shifted, magic)), o.c(math.log(2.0)))
    return _scale(o, o.add(_expm1_core(o, r), o.c(1.0)), o.bits(shifted))


def expm1(o: Ops, x: V) -> V:
    """2^n (e^r - 1) + (2^n - 1), with halves of both so that n may be one beyond the largest exponent."""
    k = FORMATS[o.double]
    r, word = _reduce(o, o.at_least(o.at_most(x, o.c(k.high)), o.c(-40.0)), _bias(o) - 1)
    half = _power_of_two(o, word)
    y = o.fma(half, _expm1_core(o, r), o.sub(half, o.c(0.5)))
    return o.sel(o.cmp("oeq", x, o.c(0.0)), x, o.add(y, y))


def sigmoid(o: Ops, x: V) -> V:
    """t - t e / (1 + e) for e = e^-|x|; t is e where the sign is set, else 1.

    Equal to t / (1 + e), but what the sum and the quotient lose in rounding counts e times as much: a small result is
    as good as e.
    """
    e = exp_nonpositive(o, o.neg(o.abs(x)))
    top = o.sel(o.fn.compare("icmp", "slt", o.bits(x), o.i(0)), e, o.c(1.0))
    return o.fma(o.neg(top), o.div(e, o.add(e, o.c(1.0))), top)


def clamp_symmetric(o: Ops, x: V, limit: float) -> V:
    """x cut to [-limit, limit]; a NaN stays."""
    return o.at_least(o.at_most(x, o.c(limit)), o.c(-limit))


def doubled_rational(o: Ops, x: V, saturated: float, p: tuple[float, ...], q: tuple[float, ...]) -> V:
    """2t / (1 + t^2) for t = x p(u) / q(u), u = x^2, |x| cut to `saturated`; at most 1 in size.

    The argument doubling of tanh. Towards 1 it forgets errors of t, and as one quotient 2nd / (n^2 + d^2) it needs a
    single division.
    """
    x = clamp_symmetric(o, x, saturated)
    u = o.mul(x, x)
    n = o.fma(o.mul(x, u), o.horner(p[1:], u), x) if p[0] == 1.0 else o.mul(x, o.horner(p, u))
    d = o.horner(q, u)
    return clamp_symmetric(o, o.div(o.mul(o.add(n, n), d), o.fma(n, n, o.mul(d, d))), 1.0)


def tanh(o: Ops, x: V) -> V:
    k = FORMATS[o.double]
    if not o.double:
        return doubled_rational(o, x, k.saturated, _TANH_P, _TANH_Q)
    size = o.at_most(o.abs(x), o.c(k.saturated))
    r, word = _reduce(o, o.add(size, size), _bias(o))
    p, s = _expm1_core(o, r), _power_of_two(o, word)
    y = o.div(o.fma(s, p, o.sub(s, o.c(1.0))), o.fma(s, p, o.add(s, o.c(1.0))))
    return o.copysign(y, x)


def sinh(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "sinh", x)
    w = o.wide()
    size = o.at_most(o.abs(x), o.c(100.0))
    m = expm1(w, o.widen(size))
    y = w.mul(w.add(m, w.div(m, w.add(m, w.c(1.0)))), w.c(0.5))
    return o.copysign(o.narrow(y), x)


def cosh(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "cosh", x)
    w = o.wide()
    e = exp_normal(w, o.widen(o.at_most(o.abs(x), o.c(100.0))))
    return o.narrow(w.mul(w.add(e, w.div(w.c(1.0), e)), w.c(0.5)))

"""Special functions: erf, erfc, erf_inv, lgamma, digamma.

Largest errors, in ulp, of float32: erf 3.6, erfc 1, erf_inv 2, lgamma 1; float64: the C library's, and erf_inv refines
a fit by one step of Halley's method. digamma: recurrence up to x >= 10, then its asymptotic series; below 1/2 it is
reflected.
"""

from __future__ import annotations

import math

from pullback.codegen.llvm.math_build import Ops, call_libm
from pullback.codegen.llvm.math_exp import doubled_rational, exp, exp_normal
from pullback.codegen.llvm.math_float import INFINITY, NAN
from pullback.codegen.llvm.math_log import log_positive
from pullback.codegen.llvm.math_trig import cos, sin
from pullback.codegen.llvm.text import V

# erf x = 2t / (1 + t^2), t = x P(u) / Q(u), u = x^2, up to where it rounds to 1: minimax as tanh's (3e-8).
_ERF_P = (1.0, 0.14305561780929565, 0.01772185228765011, 0.0005667780642397702, -6.057169230189174e-06)
_ERF_Q = (1.7724539041519165, 0.2801874577999115, 0.06338916718959808, 0.004036415833979845)
_ERF_SATURATED = 3.92  # here the quotient is 1, with fused multiply-adds or without; at most numbers nearby it is less
# e^(x^2) erfc(x) (x + 3) as a polynomial in (x - 3) / (x + 3).
_ERFC = (1.0740069078975438, -0.8833944780008425, 0.590228275694933, -0.3104662893954085, 0.11952945755185625,
         -0.02683718765906634, -0.0012278836756345783, 0.0030704596481928347, -0.0004842174795444496,
         -0.00031219181335292236, 7.777518275441295e-06)
# erf_inv(x) / x as a polynomial in w = -log(1 - x^2), and in sqrt(w) from 6 on.
_INVERSE_NEAR = (0.8862269277947914, 0.2320135415875139, 0.011550424858182981, -0.00233871581783377,
                 -0.00012191613763697716, 4.0607073919946904e-05, 5.640294997002815e-06, -2.375987957380876e-06,
                 2.6852054805188463e-07, -9.20328183439002e-09, -4.862714744966194e-10, 3.532740538973111e-11)
_INVERSE_FAR = (1.6111623011892788, -0.33301417754172863, -1.634649556995771, 3.0434551937712104, -2.175411642247187,
                0.9194095853673279, -0.25508745837193797, 0.0479980663007796, -0.0060991820087684815,
                0.0005029816672767083, -2.4362874842871565e-05, 5.270259161599919e-07)
# B_2k / 2k of digamma's asymptotic series.
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def erf(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "erf", x)
    return doubled_rational(o, x, _ERF_SATURATED, _ERF_P, _ERF_Q)


def erfc(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "erfc", x)
    w = o.wide()
    a = w.at_most(w.abs(o.widen(x)), w.c(10.2))
    shifted = w.add(a, w.c(3.0))
    inverse = w.div(w.c(1.0), shifted)
    t = w.mul(w.sub(a, w.c(3.0)), inverse)
    decay = exp_normal(w, w.neg(w.mul(a, a)))
    y = w.mul(w.mul(decay, w.horner2(_ERFC, t, w.mul(t, t))), inverse)
    return o.narrow(w.sel(o.cmp("olt", x, o.c(0.0)), w.sub(w.c(2.0), y), y))


def erf_inv(o: Ops, x: V) -> V:
    w = o.wide()
    value = x if o.double else o.widen(x)
    a = w.abs(value)
    tail = w.mul(w.sub(w.c(1.0), a), w.add(w.c(1.0), a))
    # Far from 1, log(1 - x^2) through 1 - x^2 loses bits of w near 0, where w is only a correction to a constant.
    size = w.neg(log_positive(w, tail))
    root = w.call1("llvm.sqrt", size)
    near, far = w.horner(_INVERSE_NEAR, size), w.horner(_INVERSE_FAR, root)
    y = w.mul(a, w.sel(w.cmp("olt", size, w.c(6.0)), near, far))
    if o.double:
        y = _halley(o, a, y)
    y = w.sel(w.cmp("oeq", a, w.c(1.0)), w.c(INFINITY), y)
    y = w.copysign(w.sel(w.cmp("ule", a, w.c(1.0)), y, w.c(NAN)), value)
    y = w.sel(w.cmp("uno", value, value), value, y)
    return y if o.double else o.narrow(y)


def _halley(o: Ops, a: V, y: V) -> V:
    """One step towards erf(y) = a, through erfc where a is near 1."""
    right = o.sub(o.sub(o.c(1.0), a), call_libm(o, "erfc", y))
    miss = o.sel(o.cmp("ogt", a, o.c(0.5)), right, o.sub(call_libm(o, "erf", y), a))
    step = o.mul(o.mul(miss, o.c(math.sqrt(math.pi) / 2)), exp(o, o.mul(y, y)))
    return o.sub(y, o.div(step, o.fma(y, step, o.c(1.0))))


def lgamma(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "lgamma", x)
    return o.narrow(call_libm(o.wide(), "lgamma", o.widen(x)))


def digamma(o: Ops, x: V) -> V:
    """NaN at the negative integers and -inf at +0 (+inf at -0): the poles."""
    if not o.double:
        return o.narrow(digamma(o.wide(), o.widen(x)))
    low = o.cmp("olt", x, o.c(0.5))
    z = o.sel(low, o.sub(o.c(1.0), x), x)
    start, lost = z, o.c(0.0)
    for k in range(10):
        at = o.add(start, o.c(float(k)))
        lost = o.add(lost, o.sel(o.cmp("olt", at, o.c(10.0)), o.div(o.c(1.0), at), o.c(0.0)))
        z = o.sel(o.cmp("olt", at, o.c(10.0)), o.add(at, o.c(1.0)), z)
    inverse = o.div(o.c(1.0), z)
    u = o.mul(inverse, inverse)
    series = o.mul(u, o.horner(_DIGAMMA, u))
    y = o.sub(o.sub(o.sub(log_positive(o, z), o.mul(inverse, o.c(0.5))), series), lost)
    y = o.sel(o.cmp("oeq", z, o.c(INFINITY)), z, y)
    fraction = o.sub(x, o.call1("llvm.roundeven", x))
    angle = o.mul(fraction, o.c(math.pi))
    reflected = o.sub(y, o.mul(o.c(math.pi), o.div(cos(o, angle), sin(o, angle))))
    y = o.sel(low, reflected, y)
    pole = o.both(low, o.cmp("oeq", fraction, o.c(0.0)))
    at_zero = o.copysign(o.c(INFINITY), o.neg(x))
    return o.sel(pole, o.sel(o.cmp("oeq", x, o.c(0.0)), at_zero, o.c(NAN)), y)

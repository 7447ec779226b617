"""The logarithm family: log, log2, log10, log1p, pow, logaddexp, softplus, asinh, acosh, atanh, cbrt.

x = 2^e m with m in [sqrt(1/2), sqrt(2)); float32: log m = f - f^2/2 + f^3 q(f), f = m - 1; float64: the series of
atanh in s = f / (2 + f). The rarer rows of float32 go through double, where no care is needed. Largest errors, in
ulp, of float32: log 1, log2 and log10 2, log1p 2, the others 1; float64: under 2, log1p 3.
"""

from __future__ import annotations

import math

from pullback.codegen.llvm.math_build import Ops, call_libm
from pullback.codegen.llvm.math_exp import FORMATS, exp, exp_normal
from pullback.codegen.llvm.math_float import INFINITY, NAN
from pullback.codegen.llvm.text import V

_LOG_Q = (0.3333333171816406, -0.25000821176274285, 0.20001226457316718, -0.16623352882624517, 0.14201759394728608,
          -0.13160219040309196, 0.127616032990274, -0.07634459549964344)
_ATANH_R = (0.6666666666666735, 0.3999999999941105, 0.285714287432689, 0.2222219847551697, 0.1818356975783943,
            0.15313902910776492, 0.14797510075419817)
_SQRT_HALF_BITS = {False: 0x3F3504F3, True: 0x3FE6A09E667F3BCD}
_LOG10_2 = {False: (0.3010300099849701, -1.432098883924482e-08), True: (0.3010299956639812, -2.8037281277851704e-18)}


def split(o: Ops, x: V) -> tuple[V, V]:
    """(e, f): x = 2^e (1 + f) for a finite positive x, denormal too; e as a float."""
    small = o.cmp("olt", x, o.c(2.0 ** (-1022 if o.double else -126)))
    x = o.sel(small, o.mul(x, o.c(2.0**o.mantissa * 2.0)), x)
    base = _SQRT_HALF_BITS[o.double]
    delta = o.int("sub", o.bits(x), o.i(base))
    kept = o.int("and", delta, o.i((1 << o.mantissa) - 1))
    f = o.sub(o.floats(o.int("add", kept, o.i(base))), o.c(1.0))
    shift = o.sel(small, o.c(-(o.mantissa + 1.0)), o.c(0.0))
    return o.add(_exponent(o, delta), shift), f


def _exponent(o: Ops, delta: V) -> V:
    """The signed exponent field of `delta` as a float. In double by a bias and bits: AVX2 converts no i64."""
    if not o.double:
        return o.fn.cast("sitofp", o.int("ashr", delta, o.i(23)), o.type)
    biased = o.int("lshr", o.int("add", delta, o.i(1024 << 52)), o.i(52))
    return o.sub(o.floats(o.int("or", biased, o.i(0x4330000000000000))), o.c(2.0**52 + 1024.0))


def log_mantissa(o: Ops, f: V) -> V:
    """log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2))."""
    square = o.mul(f, f)
    if not o.double:
        tail = o.mul(o.horner2(_LOG_Q, f, square), f)
        return o.fma(square, o.sub(tail, o.c(0.5)), f)
    s = o.div(f, o.add(f, o.c(2.0)))
    u = o.mul(s, s)
    half = o.mul(square, o.c(0.5))
    series = o.mul(u, o.horner2(_ATANH_R, u, o.mul(u, u)))
    return o.sub(f, o.sub(half, o.mul(s, o.add(half, series))))


def edges(o: Ops, x: V, y: V) -> V:
    """`y` where 0 < x < inf; inf and NaN stay, 0 gives -inf, a negative x NaN."""
    y = o.sel(o.cmp("olt", x, o.c(INFINITY)), y, x)
    other = o.sel(o.cmp("oeq", x, o.c(0.0)), o.c(-INFINITY), o.c(NAN))
    return o.sel(o.cmp("ole", x, o.c(0.0)), other, y)


def log_positive(o: Ops, x: V) -> V:
    """log of a finite positive x."""
    k = FORMATS[o.double]
    e, f = split(o, x)
    return o.fma(e, o.c(k.ln2[0]), o.fma(e, o.c(k.ln2[1]), log_mantissa(o, f)))


def log(o: Ops, x: V) -> V:
    return edges(o, x, log_positive(o, x))


def log2(o: Ops, x: V) -> V:
    e, f = split(o, x)
    return edges(o, x, o.fma(log_mantissa(o, f), o.c(1.0 / math.log(2.0)), e))


def log10(o: Ops, x: V) -> V:
    e, f = split(o, x)
    high, low = _LOG10_2[o.double]
    tail = o.fma(e, o.c(low), o.mul(log_mantissa(o, f), o.c(1.0 / math.log(10.0))))
    return edges(o, x, o.fma(e, o.c(high), tail))


def log1p(o: Ops, x: V) -> V:
    """log of u = 1 + x rounded, plus what the rounding lost, over u."""
    one = o.c(1.0)
    u = o.add(x, one)
    kept = o.sub(u, one)
    big = o.cmp("ogt", x, one)
    lost = o.sel(big, o.sub(one, o.sub(u, x)), o.sub(x, kept))
    y = o.add(log_positive(o, u), o.div(lost, u))
    return o.sel(o.cmp("oeq", x, o.c(0.0)), x, edges(o, u, y))


def logaddexp(o: Ops, a: V, b: V) -> V:
    """max + log1p(e^-|a - b|), in double for float32."""
    if not o.double:
        return o.narrow(logaddexp(o.wide(), o.widen(a), o.widen(b)))
    high = o.sel(o.cmp("ogt", a, b), a, b)
    gap = o.sel(o.cmp("oeq", a, b), o.c(0.0), o.neg(o.abs(o.sub(a, b))))
    y = o.add(high, log1p(o, exp(o, gap)))
    return o.sel(o.cmp("uno", a, b), o.add(a, b), y)


def softplus(o: Ops, x: V) -> V:
    """max(x, 0) + log1p(e^-|x|): both are positive, so nothing cancels."""
    high = o.sel(o.cmp("ogt", x, o.c(0.0)), x, o.c(0.0))
    return o.add(high, log1p(o, exp(o, o.neg(o.abs(x)))))


def asinh(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "asinh", x)
    w = o.wide()
    a = o.widen(o.abs(x))
    square = w.mul(a, a)
    root = w.call1("llvm.sqrt", w.add(square, w.c(1.0)))
    y = log1p(w, w.add(a, w.div(square, w.add(root, w.c(1.0)))))
    y = w.sel(w.cmp("oeq", a, w.c(INFINITY)), a, y)
    return o.copysign(o.narrow(y), x)


def acosh(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "acosh", x)
    w = o.wide()
    t = w.sub(o.widen(x), w.c(1.0))
    y = log1p(w, w.add(t, w.call1("llvm.sqrt", w.mul(t, w.add(t, w.c(2.0))))))
    return o.narrow(w.sel(w.cmp("olt", t, w.c(0.0)), w.c(NAN), y))


def atanh(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "atanh", x)
    w = o.wide()
    a = o.widen(o.abs(x))
    y = w.mul(log1p(w, w.div(w.add(a, a), w.sub(w.c(1.0), a))), w.c(0.5))
    y = w.sel(w.cmp("ogt", a, w.c(1.0)), w.c(NAN), y)
    return o.copysign(o.narrow(y), x)


def cbrt(o: Ops, x: V) -> V:
    if o.double:
        return call_libm(o, "cbrt", x)
    w = o.wide()
    y = exp_normal(w, w.mul(log_positive(w, o.widen(o.abs(x))), w.c(1.0 / 3.0)))
    edge = o.either(o.cmp("oeq", x, o.c(0.0)), o.cmp("ueq", o.abs(x), o.c(INFINITY)))
    return o.sel(edge, x, o.copysign(o.narrow(y), x))


def pow(o: Ops, x: V, y: V) -> V:
    """IEEE pow. float32: e^(y log|x|) in double, then the signs; float64: the C library."""
    if o.double:
        return call_libm(o, "pow", x, y)
    w = o.wide()
    a, size = o.widen(y), o.abs(x)
    logarithm = log(w, o.widen(size))
    result = o.narrow(exp(w, w.mul(a, logarithm)))
    whole = o.cmp("oeq", o.call1("llvm.trunc", y), y)
    half = o.mul(y, o.c(0.5))
    odd = o.both(whole, o.cmp("one", o.call1("llvm.trunc", half), half))
    one, zero = o.c(1.0), o.c(0.0)
    result = o.sel(o.both(o.cmp("oeq", size, one), o.cmp("oeq", o.abs(y), o.c(INFINITY))), one, result)
    result = o.sel(odd, o.copysign(result, x), result)
    fractional = o.cmp("une", y, o.call1("llvm.trunc", y))
    undefined = o.both(o.both(o.cmp("olt", x, zero), o.cmp("one", size, o.c(INFINITY))), fractional)
    result = o.sel(undefined, o.c(NAN), result)
    return o.sel(o.either(o.cmp("oeq", y, zero), o.cmp("oeq", x, one)), one, result)

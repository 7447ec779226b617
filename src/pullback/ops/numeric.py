"""NumPy definitions of the scalar functions that NumPy lacks, vectorised and in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

Array = Any
np: Any = numpy  # its stubs leave the element types of these expressions unknown


def _elementwise(function: Callable[[float], float]) -> Callable[[Array], Array]:
    table = np.frompyfunc(function, 1, 1)

    def run(x: Array) -> Array:
        x = np.asarray(x)
        return np.asarray(table(x.astype(np.float64)), np.float64).astype(x.dtype)

    return run


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


erf = _elementwise(math.erf)
erfc = _elementwise(math.erfc)
lgamma = _elementwise(_lgamma)


def digamma(x: Array) -> Array:
    """Derivative of lgamma: reflection below 1/2, recurrence up to 10, then the asymptotic series."""
    x = np.asarray(x)
    z: Array = x.astype(np.float64)
    reflect: Array = z < 0.5
    y: Array = np.where(reflect, 1.0 - z, z)
    total: Array = np.zeros_like(y)
    for _ in range(10):
        small: Array = y < 10.0
        total = total - np.where(small, 1.0 / np.where(small, y, 1.0), 0.0)
        y = np.where(small, y + 1.0, y)
    w: Array = 1.0 / (y * y)
    series: Array = w / 12
    for c in (691 / 32760, 1 / 132, 1 / 240, 1 / 252, 1 / 120, 1 / 12):
        series = w * (c - series)
    value: Array = total + np.log(y) - 0.5 / y - series
    fraction: Array = z - np.round(z)
    value = np.where(reflect, value - np.pi / np.tan(np.pi * np.where(reflect, fraction, 0.25)), value)
    pole = (z <= 0) & (z == np.floor(z))
    return np.where(pole | np.isneginf(z), np.nan, value).astype(x.dtype)


def erf_inv(y: Array) -> Array:
    """Inverse of erf: Giles' single precision polynomials, then Newton steps on the side that keeps precision."""
    y = np.asarray(y)
    v = np.abs(y.astype(np.float64))
    inside = v < 1
    safe = np.where(inside, v, 0.0)
    w = -np.log((1 - safe) * (1 + safe))
    near = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
            -0.00417768164, 0.246640727, 1.50140941]
    far = [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
           0.00943887047, 1.00167406, 2.83297682]
    x: Array = np.where(w < 5, np.polyval(near, w - 2.5), np.polyval(far, np.sqrt(w) - 3)) * safe
    for _ in range(3):
        error: Array = np.where(safe < 0.5, erf(x) - safe, (1 - safe) - erfc(x))
        x = x - error * (math.sqrt(math.pi) / 2) * np.exp(x * x)
    out = np.where(inside, x, np.where(v == 1, np.inf, np.nan))
    return np.copysign(out, y).astype(y.dtype)


def unsigned(x: Array) -> Array:
    """The same bits as an unsigned integer."""
    x = np.asarray(x)
    return x.view(f"u{x.dtype.itemsize}")


def popcount(x: Array) -> Array:
    x = np.asarray(x)
    bits, count = unsigned(x).copy(), np.zeros(x.shape, x.dtype)
    for _ in range(8 * x.dtype.itemsize):
        count += (bits & 1).astype(x.dtype)
        bits >>= bits.dtype.type(1)
    return count


def clz(x: Array) -> Array:
    x = np.asarray(x)
    bits, count = unsigned(x).copy(), np.full(x.shape, 8 * x.dtype.itemsize, x.dtype)
    for _ in range(8 * x.dtype.itemsize):
        count -= (bits != 0).astype(x.dtype)
        bits >>= bits.dtype.type(1)
    return count


def power(x: Array, n: Array) -> Array:
    """Powers; an integer with a negative exponent gives the truncated quotient (0, 1 or -1)."""
    x, n = np.asarray(x), np.asarray(n)
    if x.dtype.kind not in "iu":
        return np.power(x, n)
    value = np.power(x, np.maximum(n, 0))
    if x.dtype.kind == "u":
        return value
    sign = np.where(n % 2 == 0, 1, x)
    return np.where(n < 0, np.where(np.abs(x) == 1, sign, 0), value).astype(x.dtype)


def integer_pow(x: Array, exponent: int) -> Array:
    """Power by squaring."""
    x = np.asarray(x)
    if exponent < 0:
        return np.reciprocal(integer_pow(x, -exponent))
    result, base = np.ones_like(x), x
    while exponent:
        if exponent & 1:
            result = result * base
        base, exponent = base * base, exponent >> 1
    return result


def shift_left(x: Array, n: Array) -> Array:
    bits = 8 * np.asarray(x).dtype.itemsize
    inside = (n >= 0) & (n < bits)
    return np.where(inside, np.left_shift(x, np.where(inside, n, 0)), 0).astype(np.asarray(x).dtype)


def shift_right(x: Array, n: Array) -> Array:
    bits = 8 * np.asarray(x).dtype.itemsize
    inside = (n >= 0) & (n < bits)
    return np.right_shift(x, np.where(inside, n, bits - 1)) if np.asarray(x).dtype.kind == "i" else np.where(
        inside, np.right_shift(x, np.where(inside, n, 0)), 0).astype(np.asarray(x).dtype)


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.logaddexp(x, np.zeros((), x.dtype))


def sigmoid(x: Array) -> Array:
    if np.asarray(x).dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    small: Array = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.asarray(x).dtype)


def arctan2(y: Array, x: Array) -> Array:
    """In float64: NumPy's own for float32 is up to 3 units wrong where processors have AVX-512."""
    return np.arctan2(np.asarray(y, np.float64), np.asarray(x, np.float64)).astype(np.asarray(y).dtype)


def saturating(x: Array, target: Any) -> Array:
    """Conversion to a NumPy dtype: floats go to integers by truncation, saturating, NaN to 0."""
    x = np.asarray(x)
    if target.kind == "b":
        return x != 0
    if x.dtype.kind == "c" and target.kind != "c":
        x = x.real
    if x.dtype.kind in "iub" or target.kind not in "iu":
        return x.astype(target)
    info = np.iinfo(target)
    wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    low, high = wide <= info.min, wide >= info.max
    safe = np.where(low | high, 0.0, wide).astype(target)
    return np.where(low, info.min, np.where(high, info.max, safe)).astype(target)

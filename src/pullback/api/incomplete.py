"""Incomplete gamma and beta functions and exponential integrals: series and continued fractions, each a loop over all
elements that ends when every one has converged.

They are computed in float64. Derivatives with respect to the limit of integration are those of the integrand; with
respect to parameters they are taken through the loop. Formulas: NIST's Handbook of Mathematical Functions, chapters 6
and 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback.api.arguments import as_tensor, described
from pullback.api.elementwise import abs, astype, clip, exp, floor, lgamma, log, log1p, where
from pullback.api.manipulation import broadcast_arrays
from pullback.api.transforms import custom_jvp, jvp, stop_gradient, while_loop
from pullback.ir import dtypes
from pullback.util.errors import DTypeError, message

Array = Any
_LIMIT = 3000  # turns of a loop
_TINY = 1e-300
_EXACT = 2e-16


def _prepared(name: str, *given: Any) -> tuple[Any, list[Any]]:
    """The dtype of the result, and the arguments in float64, of one shape."""
    arrays = [as_tensor(x, name) for x in given]
    for x in arrays:
        if x.dtype.kind == "c":
            raise DTypeError(message(f"{name}: needs real numbers", [("x", described(x))], "use x.real"))
    floats = [x.dtype for x in arrays if x.dtype.kind == "f"]
    strong = [x.dtype for x in arrays if x.dtype.kind == "f" and not x.info.weak] or floats
    target = max(strong, key=lambda d: d.bits) if strong else dtypes.default_float()
    return target, list(broadcast_arrays(*[astype(x, dtypes.float64) for x in arrays]))


def _until_exact(step: Callable[[Any, Any], tuple[Any, Any]], start: Any, first: Any) -> Any:
    """Repeat `state, change = step(k, state)` until all changes are small."""

    def more(state: Any) -> Any:
        k, _, change = state
        return (k < _LIMIT) & (stop_gradient(change) > _EXACT).any()

    def turn(state: Any) -> Any:
        k, inner, _ = state
        inner, change = step(k, inner)
        return k + 1.0, inner, change

    return while_loop(more, turn, (as_tensor(first, "loop").to(dtypes.float64), start, abs(start[0]) + 1.0))[1]


# -- gamma -------------------------------------------------------------------------------------------------------------


def _gamma_series(a: Any, x: Any) -> Any:
    """The sum of x**n / (a (a + 1) ... (a + n))."""

    def step(k: Any, state: Any) -> Any:
        total, term = state
        term = term * x / (a + k)
        return (total + term, term), abs(term) / abs(total)

    return _until_exact(step, (1.0 / a, 1.0 / a), 1.0)[0]


def _lentz(numerator: Callable[[Any], Any], denominator: Callable[[Any], Any], start: Any) -> Any:
    """A continued fraction by Lentz's method: start + n(1) / (d(1) + n(2) / (d(2) + ...))."""

    def away(v: Any) -> Any:
        return where(abs(v) < _TINY, _TINY, v)

    def step(k: Any, state: Any) -> Any:
        value, c, d = state
        d = 1.0 / away(denominator(k) + numerator(k) * d)
        c = away(denominator(k) + numerator(k) / c)
        return (value * c * d, c, d), abs(c * d - 1.0)

    first = away(start)
    return _until_exact(step, (first, first, first * 0.0), 1.0)[0]


def _gamma_pair(a: Any, x: Any) -> tuple[Any, Any]:
    """The regularised functions P and Q for a > 0 and x > 0."""
    below = stop_gradient(x < a + 1.0)
    scale = exp(a * log(x) - x - lgamma(a))
    low = scale * _gamma_series(a, where(below, x, 0.5 * a))
    far = where(below, a + 2.0, x)
    high = scale / _lentz(lambda k: -k * (k - a), lambda k: far + 2.0 * k + 1.0 - a, far + 1.0 - a)
    return where(below, low, 1.0 - high), where(below, 1.0 - low, high)


def _inside(a: Any, x: Any) -> tuple[Any, Any, Any]:
    good = stop_gradient((a > 0) & (x > 0) & (x < math.inf) & (a < math.inf))
    return good, where(good, a, 1.0), where(good, x, 1.0)


@custom_jvp
def _lower(a: Any, x: Any) -> Any:
    good, safe_a, safe_x = _inside(a, x)
    edge = where((x == 0) & (a > 0), 0.0, where((a == 0) & (x >= 0) | (x == math.inf) & (a > 0), 1.0, math.nan))
    return where(good, _gamma_pair(safe_a, safe_x)[0], edge)


@custom_jvp
def _upper(a: Any, x: Any) -> Any:
    good, safe_a, safe_x = _inside(a, x)
    edge = where((x == 0) & (a > 0), 1.0, where((a == 0) & (x >= 0) | (x == math.inf) & (a > 0), 0.0, math.nan))
    return where(good, _gamma_pair(safe_a, safe_x)[1], edge)


def _gamma_rule(f: Any, sign: float) -> Any:
    def rule(primals: Any, tangents: Any) -> Any:
        a, x = primals
        good, safe_a, safe_x = _inside(a, x)
        by_x = where(good, exp((safe_a - 1.0) * log(safe_x) - safe_x - lgamma(safe_a)), 0.0)
        by_a = jvp(lambda v: _gamma_pair(v, safe_x)[0], (safe_a,), (safe_a * 0.0 + 1.0,))[1]
        return f(a, x), sign * (where(good, by_a, 0.0) * tangents[0] + by_x * tangents[1])

    return rule


_lower.defjvp(_gamma_rule(_lower, 1.0))
_upper.defjvp(_gamma_rule(_upper, -1.0))


def gammainc(a: Array, x: Array) -> Array:
    """The regularised lower incomplete gamma function: the integral of t**(a - 1) exp(-t) up to x, over gamma(a).

    >>> import pullback as pb
    >>> gammainc(pb.tensor(1.0), pb.tensor(1.0))
    Tensor(0.63212055, dtype=float32)
    """
    dtype, (p, y) = _prepared("gammainc", a, x)
    return astype(_lower(p, y), dtype)


def gammaincc(a: Array, x: Array) -> Array:
    """1 - gammainc(a, x), exact where that is nearly 0."""
    dtype, (p, y) = _prepared("gammaincc", a, x)
    return astype(_upper(p, y), dtype)


# -- beta --------------------------------------------------------------------------------------------------------------


def _beta_fraction(a: Any, b: Any, x: Any) -> Any:
    """The regularised function where x is less than its mean, nearly."""

    def numerator(k: Any) -> Any:
        m = floor(k * 0.5)
        return where(k - 2.0 * m > 0.5, _first(a, b, x, m), _second(a, b, x, m))

    fraction = 1.0 / _lentz(numerator, lambda k: 1.0, a * 0.0 + 1.0)
    return exp(a * log(x) + b * log1p(-x) - (lgamma(a) + lgamma(b) - lgamma(a + b))) / a * fraction


def _first(a: Any, b: Any, x: Any, m: Any) -> Any:
    """The coefficient 2 m + 1."""
    return -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))


def _second(a: Any, b: Any, x: Any, m: Any) -> Any:
    """The coefficient 2 m."""
    return m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))


def _beta_value(a: Any, b: Any, x: Any) -> Any:
    turned = stop_gradient(x > (a + 1.0) / (a + b + 2.0))
    found = _beta_fraction(where(turned, b, a), where(turned, a, b), where(turned, 1.0 - x, x))
    return where(turned, 1.0 - found, found)


def _beta_inside(a: Any, b: Any, x: Any) -> tuple[Any, Any, Any, Any]:
    good = stop_gradient((a > 0) & (b > 0) & (x > 0) & (x < 1))
    return good, where(good, a, 1.0), where(good, b, 1.0), where(good, x, 0.5)


@custom_jvp
def _beta(a: Any, b: Any, x: Any) -> Any:
    good, safe_a, safe_b, safe_x = _beta_inside(a, b, x)
    known = (a > 0) & (b > 0)
    edge = where(known & (x == 0), 0.0, where(known & (x == 1), 1.0, math.nan))
    return where(good, _beta_value(safe_a, safe_b, safe_x), edge)


def _beta_rule(primals: Any, tangents: Any) -> Any:
    a, b, x = primals
    good, p, q, y = _beta_inside(a, b, x)
    by_x = exp((p - 1.0) * log(y) + (q - 1.0) * log1p(-y) - (lgamma(p) + lgamma(q) - lgamma(p + q)))
    ones = p * 0.0 + 1.0
    by_a = jvp(lambda v: _beta_value(v, q, y), (p,), (ones,))[1]
    by_b = jvp(lambda v: _beta_value(p, v, y), (q,), (ones,))[1]
    total = where(good, by_a, 0.0) * tangents[0] + where(good, by_b, 0.0) * tangents[1]
    return _beta(a, b, x), total + where(good, by_x, 0.0) * tangents[2]


_beta.defjvp(_beta_rule)


def betainc(a: Array, b: Array, x: Array) -> Array:
    """The regularised incomplete beta function.

    >>> import pullback as pb
    >>> betainc(pb.tensor(2.0), pb.tensor(1.0), pb.tensor(0.5))
    Tensor(0.25, dtype=float32)
    """
    dtype, (p, q, y) = _prepared("betainc", a, b, x)
    return astype(_beta(p, q, y), dtype)


# -- exponential integrals ---------------------------------------------------------------------------------------------


def _integral_series(x: Any) -> Any:
    """The sum of x**k / (k k!)."""

    def step(k: Any, state: Any) -> Any:
        total, term = state
        term = term * x / k
        return (total + term / k, term), abs(term) / (abs(total) + 1.0)

    return _until_exact(step, (x * 0.0, x * 0.0 + 1.0), 1.0)[0]


def _expn_fraction(n: float, x: Any) -> Any:
    """E_n(x) exp(x) for x of 1 and more."""
    return 1.0 / _lentz(lambda k: -k * (n - 1.0 + k), lambda k: x + n + 2.0 * k, x + n)


@custom_jvp
def _exp1(x: Any) -> Any:
    small = x <= 1.0
    near, far = where(small, clip(x, 1e-300, None), 1.0), where(small, 2.0, x)
    series = -0.5772156649015329 - log(near) - _integral_series(-near)
    found = where(small, series, exp(-far) * _expn_fraction(1.0, far))
    return where(x == 0, math.inf, where(x < 0, math.nan, where(x == math.inf, 0.0, found)))


_exp1.defjvp(lambda p, t: (_exp1(p[0]), -exp(-p[0]) / p[0] * t[0]))


def exp1(x: Array) -> Array:
    """The exponential integral of order 1: that of exp(-t) / t from x."""
    dtype, (y,) = _prepared("exp1", x)
    return astype(_exp1(y), dtype)


@custom_jvp
def _expi(x: Any) -> Any:
    positive = x > 0
    inside = positive & (x < 50.0)
    low = where(inside, x, 1.0)
    series = 0.5772156649015329 + log(low) + _integral_series(low)
    large = where(positive & (x >= 50.0) & (x < math.inf), x, 100.0)
    total, term = 1.0 + 0.0 * large, 1.0 + 0.0 * large
    for k in range(1, 21):
        term = term * k / large
        total = total + term
    tail = where(x == math.inf, math.inf, exp(large) / large * total)
    found = where(inside, series, tail)
    return where(positive, found, where(x == 0, -math.inf, -_exp1(where(positive, 1.0, -x))))


_expi.defjvp(lambda p, t: (_expi(p[0]), exp(p[0]) / p[0] * t[0]))


def expi(x: Array) -> Array:
    """The exponential integral: that of exp(t) / t up to x."""
    dtype, (y,) = _prepared("expi", x)
    return astype(_expi(y), dtype)


def expn(n: int, x: Array) -> Array:
    """The exponential integral of order n."""
    dtype, (y,) = _prepared("expn", x)
    if n == 0:
        return astype(exp(-y) / y, dtype)
    found = _exp1(y)
    for k in range(1, n):
        product = y * where(y == 0, 0.0, found)
        found = where(y == 0, 1.0 / k, (exp(-y) - product) / k)
    return astype(found, dtype)


__all__ = ["betainc", "exp1", "expi", "expn", "gammainc", "gammaincc"]

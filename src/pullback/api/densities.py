"""Probability distributions: densities, distribution functions and quantiles, each in its standard form. Formulas:
Johnson, Kotz and Balakrishnan, Continuous and Discrete Univariate Distributions.

    density("normal", "log_density", x, loc, scale)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pullback.api.arguments import as_tensor
from pullback.api.decompositions import cholesky, solve_triangular
from pullback.api.elementwise import (
    abs,
    astype,
    atan,
    atan2,
    cos,
    exp,
    expm1,
    floor,
    lgamma,
    log,
    log1p,
    logaddexp,
    logit,
    maximum,
    power,
    sigmoid,
    sign,
    square,
    tan,
    where,
    xlogy,
)
from pullback.api.incomplete import betainc, gammainc, gammaincc
from pullback.api.linear_algebra import matmul
from pullback.api.manipulation import broadcast_to
from pullback.api.reductions import logsumexp
from pullback.api.reductions import sum as _sum
from pullback.api.special import betaln, i0e, log_ndtr, ndtr, ndtri, xlog1py
from pullback.engine.trace import SCALARS
from pullback.ir import dtypes
from pullback.util.errors import ShapeError, message

Array = Any
Rule = Callable[..., Any]
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Family(NamedTuple):
    """A distribution of `(x - loc) / scale`: its rules take that and the other parameters. Those that are missing
    follow from the others. `scaled`: 2 where it has a scale, 1 where it has a location only (whole numbers), 0 for
    neither."""

    log_density: Rule
    scaled: int = 2
    cdf: Rule | None = None
    survival: Rule | None = None
    log_cdf: Rule | None = None
    log_survival: Rule | None = None
    quantile: Rule | None = None
    upper_quantile: Rule | None = None


def _within(inside: Any, value: Any, outside: float = -math.inf) -> Any:
    return where(inside, value, outside)


def _safely(inside: Any, x: Any, other: float = 1.0) -> Any:
    """x where it is inside of the support: elsewhere a number at which nothing is infinite."""
    return where(inside, x, other)


def _unit(p: Any, value: Any) -> Any:
    """A quantile, NaN of what is no probability."""
    return where((p >= 0) & (p <= 1), value, math.nan)


# -- of real numbers ---------------------------------------------------------------------------------------------------


def _beta(x: Any, a: Any, b: Any) -> Any:
    y = _safely((x > 0) & (x < 1), x, 0.5)
    inner = xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b)
    at_ends = xlogy(a - 1.0, x) + xlog1py(b - 1.0, -x) - betaln(a, b)
    return _within((x >= 0) & (x <= 1), where((x > 0) & (x < 1), inner, at_ends))


def _clipped(x: Any) -> Any:
    return where(x < 0, 0.0, where(x > 1, 1.0, x))


def _gamma(x: Any, a: Any) -> Any:
    y = _safely(x >= 0, x)
    return _within(x >= 0, xlogy(a - 1.0, y) - y - lgamma(a))


def _student(x: Any, df: Any) -> Any:
    half = 0.5 * (df + 1.0)
    return lgamma(half) - lgamma(0.5 * df) - 0.5 * log(df * math.pi) - half * log1p(square(x) / df)


def _pareto(x: Any, b: Any) -> Any:
    y = _safely(x >= 1, x)
    return _within(x >= 1, log(b) - (b + 1.0) * log(y))


def _pareto_tail(x: Any, b: Any) -> Any:
    return where(x >= 1, -b * log(_safely(x >= 1, x)), 0.0)


def _gennorm(x: Any, beta: Any) -> Any:
    return log(0.5 * beta) - lgamma(1.0 / beta) - power(abs(x), beta)


def _gennorm_cdf(x: Any, beta: Any) -> Any:
    return 0.5 * (1.0 + sign(x) * gammainc(1.0 / beta, power(abs(x), beta)))


def _log_between(a: Any, b: Any) -> Any:
    """log(ndtr(b) - ndtr(a))."""
    right = a > 0  # there the upper tails are exact
    low, high = where(right, -b, a), where(right, -a, b)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return upper + log1p(-exp(lower - upper))


def _truncated(x: Any, a: Any, b: Any) -> Any:
    y = _safely((x >= a) & (x <= b), x, 0.0)
    return _within((x >= a) & (x <= b), -0.5 * square(y) - _HALF_LOG_2PI - _log_between(a, b))


def _truncated_below(x: Any, a: Any, b: Any) -> Any:
    inside = (x > a) & (x < b)
    value = _log_between(a, where(inside, x, b)) - _log_between(a, b)
    return where(x <= a, -math.inf, where(x >= b, 0.0, value))


def _truncated_above(x: Any, a: Any, b: Any) -> Any:
    inside = (x > a) & (x < b)
    value = _log_between(where(inside, x, a), b) - _log_between(a, b)
    return where(x <= a, 0.0, where(x >= b, -math.inf, value))


def _von_mises(x: Any, kappa: Any) -> Any:
    return kappa * (cos(x) - 1.0) - math.log(2 * math.pi) - log(i0e(kappa))


def _wrapped_cauchy(x: Any, c: Any) -> Any:
    inside = (x >= 0) & (x <= 2 * math.pi)
    good = (c > 0) & (c < 1)
    value = log(1.0 - square(c)) - math.log(2 * math.pi) - log(1.0 + square(c) - 2.0 * c * cos(x))
    return where(good, _within(inside, value), math.nan)


def _cauchy_quantile(p: Any) -> Any:
    return _unit(p, tan(math.pi * p - 0.5 * math.pi))


# -- of whole numbers --------------------------------------------------------------------------------------------------


def _count(k: Any) -> Any:
    return (floor(k) == k) & (k >= 0)


def _bernoulli(k: Any, p: Any) -> Any:
    return _within((k == 0) | (k == 1), xlogy(k, p) + xlog1py(1.0 - k, -p))


def _choose(n: Any, k: Any) -> Any:
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)


def _binomial(k: Any, n: Any, p: Any) -> Any:
    inside = (k >= 0) & (k <= n)
    y = _safely(inside, k, 0.0)
    return _within(inside, _choose(n, y) + xlogy(y, p) + xlog1py(n - y, -p))


def _beta_binomial(k: Any, n: Any, a: Any, b: Any) -> Any:
    inside = (k >= 0) & (k <= n)
    y = _safely(inside, k, 0.0)
    value = betaln(y + a, n - y + b) - betaln(a, b) - log(n + 1.0) - betaln(y + 1.0, n - y + 1.0)
    return where((n >= 0) & (a > 0) & (b > 0), _within(inside, value), math.nan)


def _negative_binomial(k: Any, n: Any, p: Any) -> Any:
    y = _safely(k >= 0, k, 0.0)
    value = lgamma(y + n) - lgamma(n) - lgamma(y + 1.0) + xlogy(n, p) + xlog1py(y, -p)
    return _within(k >= 0, value)


def _geometric(k: Any, p: Any) -> Any:
    y = _safely(k >= 1, k)
    return _within(k >= 1, xlog1py(y - 1.0, -p) + log(p))


def _poisson(k: Any, mu: Any) -> Any:
    y = _safely(k >= 0, k, 0.0)
    return _within(_count(k), xlogy(y, mu) - lgamma(y + 1.0) - mu)


#: distributions by name
FAMILIES: dict[str, Family] = {
    "normal": Family(lambda x: -0.5 * square(x) - _HALF_LOG_2PI, 2, ndtr, lambda x: ndtr(-x), log_ndtr,
                     lambda x: log_ndtr(-x), lambda p: _unit(p, ndtri(p)), lambda p: _unit(p, -ndtri(p))),
    "uniform": Family(lambda x: _within((x >= 0) & (x <= 1), 0.0 * x), 2, _clipped, quantile=lambda p: _unit(p, p)),
    "exponential": Family(lambda x: _within(x >= 0, -x), 2, lambda x: where(x >= 0, -expm1(-_safely(x >= 0, x)), 0.0),
                          lambda x: where(x >= 0, exp(-_safely(x >= 0, x)), 1.0),
                          log_survival=lambda x: where(x >= 0, -x, 0.0), quantile=lambda p: _unit(p, -log1p(-p))),
    "gamma": Family(_gamma, 2, lambda x, a: gammainc(a, maximum(x, 0.0)), lambda x, a: gammaincc(a, maximum(x, 0.0))),
    "beta": Family(_beta, 2, lambda x, a, b: betainc(a, b, _clipped(x)),
                   lambda x, a, b: betainc(b, a, 1.0 - _clipped(x))),
    "chi_squared": Family(lambda x, df: _gamma(0.5 * x, 0.5 * df) - math.log(2), 2,
                          lambda x, df: gammainc(0.5 * df, 0.5 * maximum(x, 0.0)),
                          lambda x, df: gammaincc(0.5 * df, 0.5 * maximum(x, 0.0))),
    "laplace": Family(lambda x: -abs(x) - math.log(2), 2,
                      lambda x: where(x <= 0, 0.5 * exp(-abs(x)), 1.0 - 0.5 * exp(-abs(x)))),
    "logistic": Family(lambda x: -x - 2.0 * logaddexp(0.0 * x, -x), 2, sigmoid, lambda x: sigmoid(-x),
                       quantile=logit, upper_quantile=lambda p: -logit(p)),
    "cauchy": Family(lambda x: -math.log(math.pi) - log1p(square(x)), 2, lambda x: 0.5 + atan(x) / math.pi,
                     lambda x: atan2(0.0 * x + 1.0, x) / math.pi,
                     lambda x: log(atan2(0.0 * x + 1.0, -x) / math.pi),
                     lambda x: log(atan2(0.0 * x + 1.0, x) / math.pi),
                     _cauchy_quantile, lambda p: _unit(p, tan(0.5 * math.pi - math.pi * p))),
    "student": Family(_student),
    "pareto": Family(_pareto, 2, lambda x, b: -expm1(_pareto_tail(x, b)), lambda x, b: exp(_pareto_tail(x, b)),
                     log_survival=_pareto_tail, quantile=lambda p, b: _unit(p, power(1.0 - p, -1.0 / b))),
    "generalised_normal": Family(_gennorm, 0, _gennorm_cdf),
    "truncated_normal": Family(_truncated, 2, lambda x, a, b: exp(_truncated_below(x, a, b)),
                               lambda x, a, b: exp(_truncated_above(x, a, b)), _truncated_below, _truncated_above),
    "left_gumbel": Family(lambda x: x - exp(x), 2, lambda x: -expm1(-exp(x)), lambda x: exp(-exp(x)),
                          log_survival=lambda x: -exp(x), quantile=lambda p: log(-log1p(-p))),
    "right_gumbel": Family(lambda x: -x - exp(-x), 2, lambda x: exp(-exp(-x)), lambda x: -expm1(-exp(-x)),
                           lambda x: -exp(-x), quantile=lambda p: -log(-log(p))),
    "von_mises": Family(_von_mises, 0),
    "wrapped_cauchy": Family(_wrapped_cauchy, 0),
    "bernoulli": Family(_bernoulli, 1, lambda k, p: where(k < 0, 0.0, where(k < 1, 1.0 - p, 1.0)),
                        quantile=lambda q, p: _unit(q, where(q <= 1.0 - p, 0.0, 1.0))),
    "binomial": Family(_binomial, 1),
    "beta_binomial": Family(_beta_binomial, 1),
    "negative_binomial": Family(_negative_binomial, 1),
    "geometric": Family(_geometric, 1),
    "poisson": Family(_poisson, 1, lambda k, mu: where(k < 0, 0.0, gammaincc(floor(maximum(k, 0.0)) + 1.0, mu))),
}


def _real(*given: Any) -> list[Any]:
    """Numbers as real tensors of one dtype, whole ones as floats."""
    arrays = [as_tensor(x, "density") for x in given]
    floats = [x.dtype for x, one in zip(arrays, given, strict=True)
              if x.dtype.kind == "f" and not x.info.weak and type(one) not in SCALARS]
    target = max(floats, key=lambda d: d.bits) if floats else dtypes.default_float()
    return [astype(x, target) for x in arrays]


def _log(p: Any) -> Any:
    """The logarithm of a probability, with derivative 0 where that is 0."""
    return where(p > 0, log(where(p > 0, p, 1.0)), where(p == 0, -math.inf, math.nan))


def _rule(family: Family, what: str) -> Rule:
    """A rule of a family, or what it follows from."""
    given = getattr(family, what)
    if given is not None:
        return given
    cdf, tail = family.cdf, family.survival
    if what == "survival" and cdf is not None:
        return lambda *a: 1.0 - cdf(*a)
    if what == "log_cdf" and cdf is not None:
        return lambda *a: _log(cdf(*a))
    if what == "log_survival":
        return lambda *a: _log(tail(*a) if tail is not None else _rule(family, "survival")(*a))
    raise AttributeError(what)


def density(name: str, what: str, x: Any, *parameters: Any) -> Array:
    """What a distribution says of x: its "log_density", "density", "cdf", "survival", "log_cdf", "log_survival"; of a
    probability its "quantile" or "upper_quantile". Parameters: those of the shape, then location and scale.

    >>> import pullback as pb
    >>> density("normal", "density", 0.0, 0.0, 2.0)
    Tensor(0.19947113, dtype=float32)
    """
    family = FAMILIES[name]
    y, *rest = _real(x, *parameters)
    shapes = rest[:len(rest) - family.scaled]
    loc = rest[len(shapes)] if family.scaled else None
    scale = rest[len(shapes) + 1] if family.scaled == 2 else None
    if what in ("quantile", "upper_quantile"):
        found = _rule(family, what)(y, *shapes)
        found = found if scale is None else found * scale
        return found if loc is None else found + loc
    z = y if loc is None else y - loc
    z = z if scale is None else z / scale
    if what not in ("density", "log_density"):
        return _rule(family, what)(z, *shapes)
    found = family.log_density(z, *shapes)
    if scale is not None:  # outside of the support there is nothing to differentiate
        found = where(found == -math.inf, found, found - log(scale))
    return exp(found) if what == "density" else found


# -- of vectors --------------------------------------------------------------------------------------------------------


def dirichlet_log_density(x: Array, alpha: Array) -> Array:
    """Of points of a simplex along the first dimension, of which the last coordinate may be missing."""
    y, a = _real(x, alpha)
    if y.shape[0] not in (a.shape[0], a.shape[0] - 1):
        raise ShapeError(message("dirichlet: x must have an entry for each of alpha, or one less",
                                 [("x", str(tuple(y.shape))), ("alpha", str(tuple(a.shape)))]))
    last = 1.0 - _sum(y, 0)
    inside = (y >= 0).all(axis=0)
    weights = a.reshape((-1, *(1,) * (y.ndim - 1)))
    value = _sum(xlogy(weights[:y.shape[0]] - 1.0, where(y >= 0, y, 1.0)), 0)
    if y.shape[0] < a.shape[0]:
        inside = inside & (last >= 0)
        value = value + xlogy(weights[-1] - 1.0, where(last >= 0, last, 1.0))
    else:
        inside = inside & (abs(last) < 1e-5)
    return where(inside, value - (_sum(lgamma(a)) - lgamma(_sum(a))), -math.inf)


def multivariate_normal_log_density(x: Array, mean: Array, cov: Array) -> Array:
    """Of vectors along the last dimension, with a covariance matrix; of numbers, with a variance."""
    y, centre, spread = _real(x, mean, cov)
    if not centre.ndim and not spread.ndim:
        return -0.5 * square(y - centre) / spread - 0.5 * (math.log(2 * math.pi) + log(spread))
    size = max(centre.shape[-1] if centre.ndim else 1, spread.shape[-1] if spread.ndim else 1)
    if not spread.ndim:
        distance = y - centre
        return -0.5 * _sum(square(distance), -1) / spread - 0.5 * size * (math.log(2 * math.pi) + log(spread))
    factor = cholesky(spread, check=False)
    difference = y - centre
    lead = tuple(difference.shape[:-1])
    rows = difference.reshape((-1, size)) if spread.ndim == 2 else difference[..., None]
    if spread.ndim == 2:
        scaled = solve_triangular(factor, rows.T, upper=False)
        distances = _sum(square(scaled), 0).reshape(lead)
    else:
        shape = broadcast_to(factor[..., :1], (*_lead(factor, rows), size, 1)).shape
        wide = broadcast_to(factor, (*shape[:-2], size, size))
        scaled = solve_triangular(wide, broadcast_to(rows, shape), upper=False)
        distances = _sum(square(scaled), (-2, -1))
    half = _sum(log(factor.diagonal(dim1=-2, dim2=-1)), -1)
    return -0.5 * distances - half - 0.5 * size * math.log(2 * math.pi)


def _lead(factor: Any, rows: Any) -> tuple[int, ...]:
    from pullback.api.manipulation import broadcast_shapes

    return broadcast_shapes(factor.shape[:-2], rows.shape[:-2])


def multinomial_log_density(x: Array, n: Array, p: Array) -> Array:
    """Of counts along the last dimension, which add up to n."""
    y, count, share = _real(x, n, p)
    inside = (y >= 0).all(axis=-1) & (_sum(y, -1) == count)
    value = lgamma(count + 1.0) + _sum(xlogy(y, share) - lgamma(y + 1.0), -1)
    return where(inside, value, -math.inf)


def poisson_entropy(mu: Array) -> Array:
    """The entropy of Poisson's distribution: its sum, or for large means its series."""
    (mean,) = _real(mu)
    small = where(mean < 10.0, mean, 1.0)
    counts = as_tensor([float(k) for k in range(60)], "entropy").reshape((60, *(1,) * mean.ndim))
    logs = _poisson(counts, small[None])
    summed = -_sum(where(logs > -80.0, exp(logs) * logs, 0.0), 0)
    large = where(mean < 10.0, 10.0, mean)
    tail = 1.0 / 12.0 / large + 1.0 / 24.0 / square(large) + 19.0 / 360.0 / (square(large) * large)
    return where(mean == 0, 0.0, where(mean < 10.0, summed, 0.5 * log(2 * math.pi * math.e * large) - tail))


def kernel_log_density(points: Array, data: Array, weights: Array, covariance: Array) -> Array:
    """The logarithm of a weighted sum of normal densities around the columns of `data`, at the columns of `points`."""
    x, y, w, spread = _real(points, data, weights, covariance)
    factor = cholesky(spread, check=False)
    a, b = solve_triangular(factor, x, upper=False), solve_triangular(factor, y, upper=False)
    distances = _sum(square(a), 0)[:, None] + _sum(square(b), 0)[None] - 2.0 * matmul(a.T, b)
    normal = 0.5 * x.shape[0] * math.log(2 * math.pi) + _sum(log(factor.diagonal()))
    return logsumexp(log(w)[None] - 0.5 * maximum(distances, 0.0), axis=1) - normal


__all__ = ["FAMILIES", "density", "dirichlet_log_density", "kernel_log_density", "multinomial_log_density",
           "multivariate_normal_log_density", "poisson_entropy"]

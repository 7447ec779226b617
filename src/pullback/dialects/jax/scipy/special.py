"""`jax.scipy.special`: functions of the array room under SciPy's names."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from pullback.api import elementwise, incomplete, reductions, special
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import nn
from pullback.dialects.jax.array import function, lift, lower

_SAME = {
    elementwise: "digamma erf erfc erfinv expit=sigmoid gammaln=lgamma loggamma=lgamma logit xlogy",
    reductions: "logsumexp",
    incomplete: "betainc exp1 expi expn gammainc gammaincc",
    special: "betaln entr i0 i0e i1 i1e log_ndtr multigammaln ndtr ndtri polygamma xlog1py zeta",
}
for _home, _entries in _SAME.items():
    for _entry in _entries.split():
        _name, _, _there = _entry.partition("=")
        globals()[_name] = function(vars(_home)[_there or _name], _name not in ("ndtr", "log_ndtr"))


def softmax(x: Any, /, *, axis: Any = None) -> Any:
    """Exponentials divided by their sum, of all elements where no axis is given."""
    return nn.softmax(x, tuple(range(border.asarray(x).ndim)) if axis is None else axis)


def log_softmax(x: Any, /, *, axis: Any = None) -> Any:
    """The logarithms of `softmax`."""
    return nn.log_softmax(x, tuple(range(border.asarray(x).ndim)) if axis is None else axis)


def gammasgn(x: Any) -> Any:
    """The sign of the gamma function."""
    y = border.asarray(x)
    odd = elementwise.remainder(elementwise.floor(y), 2.0) != 0
    return lift(elementwise.where(y == 0, elementwise.copysign(1.0, y),
                                  elementwise.where((y > 0) | ~odd, 1.0, -1.0)))


def gamma(x: Any) -> Any:
    """The gamma function."""
    return gammasgn(x) * lift(elementwise.exp(elementwise.lgamma(lower(x))))


def beta(a: Any, b: Any) -> Any:
    """The beta function of positive numbers."""
    return lift(elementwise.exp(special.betaln(lower(a), lower(b))))


def factorial(n: Any, exact: bool = False) -> Any:
    """n (n - 1) ... 1."""
    x = border.asarray(n)
    found = elementwise.exp(elementwise.lgamma(elementwise.where(x < 0, 0, x) + 1.0))
    return lift(elementwise.where(x < 0, 0.0, found))


def rel_entr(p: Any, q: Any) -> Any:
    """p log(p / q): 0 where p is 0, infinite where one is negative."""
    x, y = border.asarray(p), border.asarray(q)
    inside = (x > 0) & (y > 0)
    value = x * lift(elementwise.log(elementwise.where(inside, x, 1.0)) - elementwise.log(elementwise.where(inside, y,
                                                                                                            1.0)))
    return lift(elementwise.where(inside, value, elementwise.where((x == 0) & (y >= 0), 0.0, math.inf)))


def kl_div(p: Any, q: Any) -> Any:
    """p log(p / q) - p + q."""
    return rel_entr(p, q) - border.asarray(p) + border.asarray(q)


def poch(z: Any, m: Any) -> Any:
    """z (z + 1) ... (z + m - 1): gamma(z + m) / gamma(z)."""
    x, y = border.asarray(z), border.asarray(m)
    return lift(elementwise.where(y == 0, 1.0, elementwise.exp(elementwise.lgamma(x + y) - elementwise.lgamma(x))))


def boxcox(x: Any, lmbda: Any) -> Any:
    """(x**lmbda - 1) / lmbda, log(x) where lmbda is 0."""
    return boxcox1p(border.asarray(x) - 1.0, lmbda, elementwise.log(lower(x)))


def boxcox1p(x: Any, lmbda: Any, logarithm: Any = None) -> Any:
    """((1 + x)**lmbda - 1) / lmbda, log(1 + x) where lmbda is 0."""
    y, power = border.asarray(x), border.asarray(lmbda)
    found = elementwise.log1p(y) if logarithm is None else logarithm
    safe = elementwise.where(power == 0, 1.0, power)
    return lift(elementwise.where(power == 0, found, elementwise.expm1(safe * found) / safe))


def comb(N: Any, k: Any, *, repetition: bool = False) -> Any:
    """How many ways there are to choose k of N."""
    n, m = border.asarray(N) * 1.0, border.asarray(k) * 1.0
    n = n + m - 1 if repetition else n
    valid = (m >= 0) & (n >= m) & (n >= 0)
    n, m = lift(elementwise.where(valid, n, 1.0)), lift(elementwise.where(valid, m, 0.0))
    gamma_of = elementwise.lgamma
    found = elementwise.exp(gamma_of(n + 1) - gamma_of(m + 1) - gamma_of(n - m + 1))
    return lift(elementwise.where(valid, found, 0.0))


def erfcx(x: Any) -> Any:
    """exp(x**2) erfc(x), without overflow for positive x."""
    y = border.asarray(x) * 1.0
    far = y > 5.0
    near, away = elementwise.where(far, 0.0, y), elementwise.where(far, y, 5.0)
    square = 1.0 / (2.0 * away * away)
    series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square * (1.0 - 7.0 * square * (1.0 - 9.0 * square))))
    return lift(elementwise.where(far, series / (away * math.sqrt(math.pi)),
                                  elementwise.exp(near * near) * elementwise.erfc(near)))


def bernoulli(n: int) -> Any:
    """Bernoulli's numbers 0 to n."""
    found = [Fraction(1)]
    for m in range(1, n + 1):
        found.append(-sum((math.comb(m + 1, k) * found[k] for k in range(m)), Fraction(0)) / (m + 1))
    return border.asarray(np.array([float(b) for b in found]))


__getattr__, __dir__ = names(__name__, {})

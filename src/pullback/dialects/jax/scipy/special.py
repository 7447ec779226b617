"""`jax.scipy.special`: functions of the array room under SciPy's names."""

from __future__ import annotations

import math
from typing import Any

from pullback.api import activations, elementwise, reductions, special
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import function, lift, lower

_SAME = {
    elementwise: "digamma erf erfc erfinv expit=sigmoid gammaln=lgamma logit xlogy",
    reductions: "logsumexp",
    activations: "log_softmax softmax",
    special: "betaln entr i0 i0e i1 i1e log_ndtr multigammaln ndtr ndtri polygamma xlog1py zeta",
}
for _home, _entries in _SAME.items():
    for _entry in _entries.split():
        _name, _, _there = _entry.partition("=")
        globals()[_name] = function(vars(_home)[_there or _name], True)

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


__getattr__, __dir__ = names(__name__, {})

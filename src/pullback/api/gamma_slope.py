"""How the quantiles of the gamma distribution move with its shape, by a series below 1 and by quadrature from 1 on.

With t = x exp(-w), gamma(a, x) is x^a exp(-x) times the integral over w > 0 of exp(-a w + x (1 - exp(-w))), and with
t = x exp(w) the upper function is the same times that of exp(a w - x (exp(w) - 1)). Both are smooth and fall like
exponentials: the exp-sinh rule (Takahasi and Mori, 1974) gives them with a fixed number of places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api import elementwise, reductions
from pullback.api.arguments import as_tensor
from pullback.api.elementwise import digamma, exp, expm1, log, where
from pullback.api.manipulation import broadcast_arrays
from pullback.engine.tensor import from_host

Array = Any
#: terms of the series, which serves x < 1
TERMS = 24
#: places of the quadrature
_STEPS = np.linspace(-4.2, 4.2, 112)
_PLACES = np.exp(np.pi / 2 * np.sinh(_STEPS))
_WEIGHTS = _PLACES * (np.pi / 2) * np.cosh(_STEPS) * (_STEPS[1] - _STEPS[0])


class _Integrals:
    """Both integrals at places of their own, from a and x >= 1: weights along a last dimension."""

    def __init__(self, a: Array, x: Array) -> None:
        self.lower = x < a
        distance = (a - x).abs() + elementwise.sqrt(elementwise.maximum(a, x))
        width = elementwise.minimum(1 / distance, elementwise.maximum(1 / a, x * 0 + 4.0)).detach()[..., None]
        places, weights = (from_host(v) for v in (_PLACES, _WEIGHTS))
        sign = where(self.lower, -1.0, 1.0)[..., None]
        self.w = (places * width * sign).clip(-700.0, 700.0)
        self.value = exp(a[..., None] * self.w - x[..., None] * expm1(self.w)) * weights * width

    def sum(self, factor: Any = 1.0) -> Array:
        """The integral of a factor."""
        return reductions.sum(self.value * factor, -1)


def gamma_slope(a: Array, x: Array) -> Array:
    """How a number x of the gamma distribution moves with the shape a where its share below stays the same."""
    a, x, kind = _pair(a, x)
    small = x < 1
    near, far = where(small, x, 0.5), where(small, 2.0, x)
    total, slope, term, moved = x * 0 + 1, x * 0, x * 0 + 1, x * 0
    for n in range(1, TERMS):
        term, moved = term * near / (a + n), (moved - term / (a + n)) * near / (a + n)
        total, slope = total + term, slope + moved
    # d/da of log P, times P over the density
    series = (log(near) - digamma(a + 1) + slope / total) * total * near / a
    integrals = _Integrals(a, far)
    by_places = integrals.sum(log(far)[..., None] + integrals.w - digamma(a)[..., None]) * far
    return -where(small, series, where(integrals.lower, by_places, -by_places)).to(kind)


def _pair(a: Any, x: Any) -> tuple[Array, Array, Any]:
    """Both in double precision, of one shape, and the dtype of the result."""
    a, x = as_tensor(a, "gamma_slope"), as_tensor(x, "gamma_slope")
    kind = (a + x).info.type.dtype
    return *broadcast_arrays(a.double(), x.double()), kind


__all__ = ["gamma_slope"]

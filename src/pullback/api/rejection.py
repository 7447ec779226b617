"""Whole numbers drawn one at a time from a stream of uniform ones, as PyTorch draws them on the CPU: Poisson's by
Hoermann's transformed rejection (1993) and Knuth's products, binomial ones by his BTRS and by geometric steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Uniform = Callable[[], float]
#: PyTorch writes these numbers in single precision
_THIRD, _SQUEEZE = float(np.float32(1 / 3)), float(np.float32(0.0331))


def poisson(rate: float, uniform: Uniform) -> float:
    """One number of Poisson's distribution."""
    if rate >= 10:
        return _many(rate, uniform)
    if rate == 0:
        return 0.0
    bound, product, count = math.exp(-rate), 1.0, 0
    while True:
        product *= uniform()
        if product <= bound:
            return float(count)
        count += 1


def _many(rate: float, uniform: Uniform) -> float:
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    scale, accept = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= accept:
            return float(k)
        if k < 0 or (us < 0.013 and v > us) or v == 0:
            continue
        density = -rate + k * math.log(rate) - math.lgamma(k + 1)
        if math.log(v) + math.log(scale) - math.log(a / (us * us) + b) <= density:
            return float(k)


def binomial(count: float, chance: float, uniform: Uniform) -> float:
    """The number of successes of `count` trials."""
    if count <= 0 or chance <= 0:
        return 0.0
    if chance >= 1:
        return count
    if chance > 0.5:
        return count - binomial(count, 1 - chance, uniform)
    if math.isnan(chance) or math.isnan(count):
        return math.nan
    return _btrs(count, chance, uniform) if count * chance >= 10 else _steps(count, chance, uniform)


def gamma(alpha: float, source: Any, round_: Callable[[float], float] = float) -> float:
    """One number of the gamma distribution of scale 1, by the method of Marsaglia and Tsang (2000). `round_` is what
    the dtype of alpha makes of numbers."""
    if not alpha > 0:
        return alpha * 0.0
    scale = 1.0
    if alpha < 1:
        scale = (1 - source.unit()) ** round_(1 / alpha)
        alpha = round_(alpha + 1)
    d = round_(alpha - _THIRD)
    c = 1 / math.sqrt(9 * d)
    while True:
        x = source.standard_normal()
        y = 1 + c * x
        if y <= 0:
            continue
        v, u, square = y * y * y, 1 - source.unit(), x * x
        if u < 1 - _SQUEEZE * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


def gamma_single(alpha: float, source: Any) -> float:
    """`gamma` of a number in single precision."""
    return gamma(alpha, source, lambda x: float(np.float32(x)))


def _steps(count: float, chance: float, uniform: Uniform) -> float:
    """Trials from one success to the next."""
    scale, total, found = math.log1p(-chance), 0.0, 0
    while True:
        u = uniform()
        total += math.ceil(math.log(u) / scale) if u else math.inf
        if total > count:
            return float(found)
        found += 1


def _tail(k: float) -> float:
    """What Stirling's formula leaves out of log(k!)."""
    known = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
             0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)
    if k <= 9:
        return known[int(k)]
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def _btrs(count: float, chance: float, uniform: Uniform) -> float:
    spread = math.sqrt(count * chance * (1 - chance))
    b = 1.15 + 2.53 * spread
    a, c = -0.0873 + 0.0248 * b + 0.01 * chance, count * chance + 0.5
    accept, odds, scale = 0.92 - 4.2 / b, chance / (1 - chance), (2.83 + 5.1 / b) * spread
    m = math.floor((count + 1) * chance)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + c)
        if us >= 0.07 and v <= accept:
            return float(k)
        if k < 0 or k > count or v == 0:
            continue
        bound = ((m + 0.5) * math.log((m + 1) / (odds * (count - m + 1)))
                 + (count + 1) * math.log((count - m + 1) / (count - k + 1))
                 + (k + 0.5) * math.log(odds * (count - k + 1) / (k + 1))
                 + _tail(m) + _tail(count - m) - _tail(k) - _tail(count - k))
        if math.log(v * scale / (a / (us * us) + b)) <= bound:
            return float(k)


def drawn(draw: Callable[..., float], uniform: Any, *parameters: Any) -> Any:
    """A number for each element of parameters, NumPy arrays of one shape."""
    lines = [np.asarray(p, np.float64).reshape(-1).tolist() for p in parameters]
    found = [draw(*values, uniform) for values in zip(*lines, strict=True)]
    return np.asarray(found, np.float64).reshape(parameters[0].shape)

"""The minimal standard generator (Park and Miller 1988), as the C++ library of GNU draws from it.

    x <- 16807 x mod (2**31 - 1)

A run of draws is computed at once: draw k is 16807**k x0, and the powers are kept. Uniform and normal numbers follow
`std::uniform_real_distribution` and `std::normal_distribution` of that library, so that a seed gives the numbers of
programs that use `std::default_random_engine` there.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from pullback.api.arguments import integer
from pullback.ir.dtypes import DType, float64
from pullback.util.errors import DTypeError, message

Numbers = np.ndarray[Any, np.dtype[Any]]
MODULUS = 2**31 - 1
MULTIPLIER = 16807
#: draws lie in 1 .. RANGE
RANGE = MODULUS - 1


class MinimalStandard:
    """A generator with one number of state."""

    def __init__(self, seed: int = 1) -> None:
        self._lock = threading.RLock()
        self._powers = np.array([MULTIPLIER], np.uint64)
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> MinimalStandard:
        """Start anew from a seed; 0 counts as 1."""
        self.state = integer(seed, "manual_seed", "seed") % MODULUS or 1
        return self

    def draw(self, count: int) -> Numbers:
        """The next `count` draws as uint64."""
        with self._lock:
            while len(self._powers) < count:
                last = self._powers[-1]
                self._powers = np.concatenate([self._powers, self._powers * last % np.uint64(MODULUS)])
            found = self._powers[:count] * np.uint64(self.state) % np.uint64(MODULUS)
            if count:
                self.state = int(found[-1])
            return found

    def uniform(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        """Uniform in [0, 1), float32 (one draw each) or float64 (two)."""
        count = int(np.prod(shape, dtype=np.int64))
        _check(dtype)
        if dtype is float64:
            return _unit64(self.draw(2 * count)).reshape(shape)
        return _unit32(self.draw(count)).reshape(shape)

    def normal(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        """Standard normal by the polar method; a second number left over at the end is dropped."""
        count = int(np.prod(shape, dtype=np.int64))
        _check(dtype)
        unit, words = (_unit64, 4) if dtype is float64 else (_unit32, 2)
        kind = np.float64 if dtype is float64 else np.float32
        pairs: list[Numbers] = []
        missing = (count + 1) // 2
        while missing:
            before = self.state
            points = unit(self.draw(words * (missing + missing // 3 + 4))).reshape(-1, 2) * kind(2) - kind(1)
            radius = (points * points).sum(1, dtype=kind)
            good = np.flatnonzero((radius <= 1) & (radius > 0))[:missing]
            if len(good) == missing:  # go on after the last pair that is used
                self.state = before
                self.draw(words * (int(good[-1]) + 1))
            chosen = radius[good]
            scale = np.sqrt(kind(-2) * np.log(chosen) / chosen)
            pairs.append((points[good] * scale[:, None])[:, ::-1])
            missing -= len(good)
        if not count:
            return np.zeros(shape, kind)
        return np.concatenate(pairs).reshape(-1)[:count].reshape(shape)


def _check(dtype: DType) -> None:
    if dtype.kind != "f" or dtype.bits < 32:
        raise DTypeError(
            message("MinimalStandard: draws float32 or float64", [("dtype", str(dtype))], "draw float32 and convert")
        )


def _unit32(draws: Numbers) -> Numbers:
    u = (draws - np.uint64(1)).astype(np.float32) / np.float32(RANGE)
    return np.minimum(u, np.nextafter(np.float32(1), np.float32(0)))


def _unit64(draws: Numbers) -> Numbers:
    low, high = (draws - np.uint64(1)).astype(np.float64).reshape(-1, 2).T
    u = (low + high * float(RANGE)) / (float(RANGE) * float(RANGE))
    return np.minimum(u, np.nextafter(1.0, 0.0))


__all__ = ["MinimalStandard"]

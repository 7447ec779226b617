"""Of `jax.scipy.stats`: what is said of samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pullback.api import densities
from pullback.dialects.jax import array as border
from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax.array import Array, lift
from pullback.util.errors import ShapeError, UnsupportedError, ValueError_, message


class ModeResult(NamedTuple):
    """The most frequent elements, and how often they are there."""

    mode: Array
    count: Array


def mode(a: Any, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False) -> ModeResult:
    """The most frequent elements along an axis, the least of several, and how often they are there."""
    x = border.array_of(a, "mode")
    if nan_policy != "propagate":
        raise UnsupportedError(message("mode: nan_policy is 'propagate'", [("nan_policy", repr(nan_policy))]))
    if axis is None:
        x, axis, rank = x.reshape(-1), 0, x.ndim
    else:
        axis, rank = axis % x.ndim, 0
    ordered = jnp.moveaxis(jnp.sort(x, axis=axis), axis, 0)
    counts = (ordered[:, None] == ordered[None]).sum(axis=1)
    at = jnp.argmax(counts, axis=0)[None]
    found = (jnp.take_along_axis(v, at, axis=0)[0] for v in (ordered, counts))
    if keepdims:
        found = (v.reshape((1,) * rank) if rank else jnp.expand_dims(v, axis) for v in found)
    return ModeResult(*found)


_METHODS = ("average", "min", "max", "dense", "ordinal")


def rankdata(a: Any, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate") -> Any:
    """The rank of each element, from 1 on; `method` says what equal elements have."""
    x = border.array_of(a, "rankdata")
    if method not in _METHODS:
        raise ValueError_(message(f"unknown method {method!r}", help="one of " + ", ".join(_METHODS)))
    if nan_policy != "propagate":
        raise UnsupportedError(message("rankdata: nan_policy is 'propagate'", [("nan_policy", repr(nan_policy))]))
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = axis % x.ndim
    moved = jnp.moveaxis(x, axis, 0)
    if method == "ordinal":
        ranks = jnp.argsort(jnp.argsort(moved, axis=0), axis=0) + 1
        return jnp.moveaxis(ranks, 0, axis).astype(border.default_float())
    less = (moved[None] < moved[:, None]).sum(axis=1)
    same = (moved[None] == moved[:, None]).sum(axis=1)
    first = less + 1
    if method == "dense":
        shares = jnp.where(moved[None] < moved[:, None], 1.0 / same[None], 0.0).sum(axis=1)
        found = jnp.round(shares) + 1
    else:
        found = {"average": first + (same - 1) / 2, "min": first, "max": less + same}[method]
    return jnp.moveaxis(found, 0, axis).astype(border.default_float())


def sem(a: Any, axis: int | None = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False) -> Any:
    """The standard error of the mean."""
    x = border.array_of(a, "sem")
    if axis is None:
        x, axis = x.reshape(-1), 0
    return jnp.std(x, axis=axis, ddof=ddof, keepdims=keepdims) / math.sqrt(x.shape[axis])


class gaussian_kde:
    """A density estimated from points: a normal one around each. `dataset` has a point per column."""

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None) -> None:
        data = jnp.atleast_2d(border.array_of(dataset, "gaussian_kde"))
        self.dataset = data if data.dtype.is_inexact else data.astype(border.default_float())
        self.d, self.n = self.dataset.shape
        if self.dataset.size < 2:
            raise ValueError_(message("`dataset` input should have multiple elements.", [("n", str(self.n))]))
        given = jnp.ones(self.n, self.dataset.dtype) if weights is None else border.asarray(weights)
        if given.shape != (self.n,):
            raise ShapeError(message("gaussian_kde: one weight for each point", [("weights", str(given.shape))]))
        self.weights = given / given.sum()
        self.neff = 1 / (self.weights**2).sum()
        rule = {None: self._scott, "scott": self._scott, "silverman": self._silverman}
        self.factor: Any = rule[bw_method]() if bw_method is None or isinstance(bw_method, str) else (
            bw_method(self) if callable(bw_method) else border.asarray(bw_method))
        mean = (self.dataset * self.weights).sum(axis=1, keepdims=True)
        apart = self.dataset - mean
        spread = (apart * self.weights) @ apart.T / (1 - (self.weights**2).sum())
        self.covariance = spread * self.factor**2
        self.inv_cov = jnp.linalg.inv(self.covariance)

    def _scott(self) -> Any:
        return self.neff ** (-1.0 / (self.d + 4))

    def _silverman(self) -> Any:
        return (self.neff * (self.d + 2) / 4.0) ** (-1.0 / (self.d + 4))

    def logpdf(self, x: Any) -> Any:
        """The logarithm of the density at the columns of x."""
        points = jnp.atleast_2d(border.asarray(x))
        if points.shape[0] != self.d and points.shape == (1, self.d):
            points = points.T
        if points.shape[0] != self.d:
            raise ValueError_(message(f"points have dimension {points.shape[0]}, dataset has dimension {self.d}"))
        return lift(densities.kernel_log_density(points, self.dataset, self.weights, self.covariance))

    def evaluate(self, points: Any) -> Any:
        """The density at the columns of an array."""
        return jnp.exp(self.logpdf(points))

    pdf = __call__ = evaluate

    def integrate_box_1d(self, low: Any, high: Any) -> Any:
        """The probability of an interval."""
        if self.d != 1:
            raise ValueError_(message("integrate_box_1d() only handles 1D pdfs", [("dimensions", str(self.d))]))
        deviation = jnp.sqrt(self.covariance[0, 0])
        below, above = ((limit - self.dataset[0]) / deviation for limit in (low, high))
        shares = densities.density("normal", "cdf", above, 0, 1) - densities.density("normal", "cdf", below, 0, 1)
        return lift(shares * self.weights).sum()

    def resample(self, key: Any, shape: tuple[int, ...] = ()) -> Any:
        """New points."""
        from pullback.dialects.jax import random  # needed by this only

        first, second = random.split(key)
        at = random.choice(first, self.n, shape=shape, p=self.weights)
        noise = random.multivariate_normal(second, jnp.zeros(self.d), self.covariance, shape=shape,
                                           dtype=self.dataset.dtype)
        return self.dataset[:, at] + jnp.moveaxis(noise, -1, 0)



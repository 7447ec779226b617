"""Random numbers for samples: from the generator of the array type of the parameters, without history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import distributions as sampled
from pullback.api import rand, random, rejection
from pullback.api.mersenne import Mersenne
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import float32, numpy_dtype

Array = Any
Shape = tuple[int, ...]


def in_kind(x: Array, like: Array) -> Array:
    """In the array type and dtype of another."""
    kind = like.info.type.dtype
    x = x if x.info.type.dtype is kind else x.astype(kind)
    return x if isinstance(x, like.result_class) else like.result_class(x._use())


def normal(shape: Shape, like: Array) -> Array:
    """Standard normal."""
    return in_kind(random.normal_values(shape, like.info.type.dtype, 0.0, 1.0, None, like), like)


def uniform(shape: Shape, like: Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Uniform in [low, high)."""
    return in_kind(random.uniform_values(shape, like.info.type.dtype, low, high, None, like), like)


def exponential(shape: Shape, like: Array) -> Array:
    """Exponential of rate 1."""
    return random.exponentials(shape, like)


def bernoulli(p: Array) -> Array:
    """1 with a probability, else 0."""
    return in_kind(rand.bernoulli(p), p)


def multinomial(weights: Array, count: int) -> Array:
    """Positions drawn with the probabilities that rows of weights stand for, with replacement: [rows, count]."""
    found = rand.multinomial(weights, count, True, generator=random.source_of(None, weights))
    return weights.result_class(found._use()) if not isinstance(found, weights.result_class) else found


def _drawn(like: Array, on_host: Callable[..., float], by_key: Callable[..., Array], *parameters: Array) -> Array:
    """Numbers drawn one at a time, by PyTorch's generator, or all at once on a key."""
    source = random.source_of(None, like)
    if not (random.on_host(source) and isinstance(source, Mersenne)):
        return in_kind(by_key(source.next_key(), *parameters), like)
    hosts = np.broadcast_arrays(*(p.numpy() for p in parameters))
    found = rejection.drawn(on_host, source.unit if len(hosts) > 1 or on_host is rejection.poisson else source, *hosts)
    return in_kind(from_host(found, like.info.type.dtype), like)


def gamma(alpha: Array) -> Array:
    """Gamma of shape alpha and scale 1, not quite 0."""
    least = float(np.finfo(like_numpy(alpha)).tiny)
    single = alpha.info.type.dtype is float32
    return _drawn(alpha, rejection.gamma_single if single else rejection.gamma, sampled.gamma, alpha).clip(least, None)


def poisson(rate: Array) -> Array:
    """Poisson of a rate."""
    return _drawn(rate, rejection.poisson, sampled.poisson, rate)


def binomial(count: Array, p: Array) -> Array:
    """The number of successes of trials."""
    return _drawn(p, rejection.binomial, sampled.binomial, count, p)


def like_numpy(x: Array) -> Any:
    """The NumPy dtype of a tensor."""
    return numpy_dtype(x.info.type.dtype)

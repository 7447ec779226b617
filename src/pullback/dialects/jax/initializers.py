"""`jax.nn.initializers`: functions of a key and a shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax import random
from pullback.nn.init import TRUNCATED, fan_variance, fans

Initializer = Callable[..., Any]


def zeros(key: Any, shape: Any, dtype: Any = None) -> Any:
    """Zeros."""
    return jnp.zeros(shape, dtype)


def ones(key: Any, shape: Any, dtype: Any = None) -> Any:
    """Ones."""
    return jnp.ones(shape, dtype)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """One value everywhere."""
    return lambda key, shape, dtype=dtype: jnp.full(shape, value, dtype)


def normal(stddev: float = 1e-2, dtype: Any = float) -> Initializer:
    """Normal."""
    return lambda key, shape, dtype=dtype: random.normal(key, shape, dtype) * stddev


def uniform(scale: float = 1e-2, dtype: Any = float) -> Initializer:
    """Uniform in [0, scale)."""
    return lambda key, shape, dtype=dtype: random.uniform(key, shape, dtype) * scale


def variance_scaling(
    scale: float, mode: str, distribution: str, in_axis: int = -2, out_axis: int = -1, dtype: Any = float
) -> Initializer:
    """Random numbers of variance scale / fan."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        variance = fan_variance(scale, mode, *fans(shape, in_axis, out_axis))
        if distribution == "uniform":
            return random.uniform(key, shape, dtype, -1) * math.sqrt(3 * variance)
        if distribution == "normal":
            return random.normal(key, shape, dtype) * math.sqrt(variance)
        return random.truncated_normal(key, -2, 2, shape, dtype) * (math.sqrt(variance) / TRUNCATED)

    return init


def _named(scale: float, mode: str, distribution: str) -> Callable[..., Initializer]:
    def make(in_axis: int = -2, out_axis: int = -1, dtype: Any = float) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, dtype)

    return make


glorot_uniform, glorot_normal = _named(1.0, "fan_avg", "uniform"), _named(1.0, "fan_avg", "truncated_normal")
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
he_uniform, he_normal = _named(2.0, "fan_in", "uniform"), _named(2.0, "fan_in", "truncated_normal")
kaiming_uniform, kaiming_normal = he_uniform, he_normal
lecun_uniform, lecun_normal = _named(1.0, "fan_in", "uniform"), _named(1.0, "fan_in", "truncated_normal")

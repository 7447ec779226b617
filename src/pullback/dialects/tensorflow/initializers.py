"""Initial values of variables: objects called with a shape and a dtype."""

from __future__ import annotations

import math
from typing import Any

from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.graph import Tensor
from pullback.nn.init import TRUNCATED, fan_variance, fans


class zeros_initializer:
    """Zeros."""

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.zeros(shape, dtype)


class ones_initializer:
    """Ones."""

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.ones(shape, dtype)


class constant_initializer:
    """One value, or an array."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.constant(self.value, dtype, shape)


class random_normal_initializer:
    """Normal numbers."""

    sample = staticmethod(ops.random_normal)

    def __init__(self, mean: float = 0.0, stddev: float = 1.0, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return self.sample(shape, self.mean, self.stddev, dtype, self.seed)


class truncated_normal_initializer(random_normal_initializer):
    """Normal numbers within two deviations."""

    sample = staticmethod(ops.truncated_normal)


class random_uniform_initializer:
    """Uniform numbers."""

    def __init__(self, minval: float = 0, maxval: float | None = None, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.random_uniform(shape, self.minval, self.maxval, dtype, self.seed)


def _fans(shape: Any) -> tuple[int, int]:
    size = tuple(shape)
    return fans(size, -2, -1) if len(size) > 1 else (size * 2)[:2] or (1, 1)


class glorot_uniform_initializer:
    """Uniform within sqrt(6 / (fan_in + fan_out))."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        bound = math.sqrt(3 * fan_variance(1.0, "fan_avg", *_fans(shape)))
        return ops.random_uniform(shape, -bound, bound, dtype, self.seed)


class glorot_normal_initializer(glorot_uniform_initializer):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.truncated_normal(
            shape, 0.0, math.sqrt(fan_variance(1.0, "fan_avg", *_fans(shape))) / TRUNCATED, dtype, self.seed
        )


class variance_scaling_initializer:
    """Truncated normal of variance scale / fan_in."""

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", seed: int | None = None
    ) -> None:
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        variance = fan_variance(self.scale, self.mode, *_fans(shape))
        if self.distribution == "uniform":
            bound = math.sqrt(3.0 * variance)
            return ops.random_uniform(shape, -bound, bound, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return ops.random_normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        return ops.truncated_normal(shape, 0.0, math.sqrt(variance) / TRUNCATED, dtype, self.seed)

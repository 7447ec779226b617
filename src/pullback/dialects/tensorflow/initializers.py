"""Initial values of variables: objects called with a shape and a dtype."""

from __future__ import annotations

import math
from typing import Any

from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.graph import Tensor


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


def _fans(shape: Any) -> tuple[float, float]:
    size = tuple(shape)
    if len(size) < 2:
        return (float(size[0]), float(size[0])) if size else (1.0, 1.0)
    receptive = math.prod(size[:-2])
    return size[-2] * receptive, size[-1] * receptive


class glorot_uniform_initializer:
    """Uniform within sqrt(6 / (fan_in + fan_out))."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        bound = math.sqrt(6.0 / sum(_fans(shape)))
        return ops.random_uniform(shape, -bound, bound, dtype, self.seed)


class glorot_normal_initializer(glorot_uniform_initializer):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        return ops.truncated_normal(
            shape, 0.0, math.sqrt(2.0 / sum(_fans(shape))) / 0.87962566103423978, dtype, self.seed
        )


class variance_scaling_initializer:
    """Truncated normal of variance scale / fan_in."""

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", seed: int | None = None
    ) -> None:
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def __call__(self, shape: Any, dtype: Any = "float32", partition_info: Any = None) -> Tensor:
        fan_in, fan_out = _fans(shape)
        variance = self.scale / max(1.0, {"fan_in": fan_in, "fan_out": fan_out}.get(self.mode, (fan_in + fan_out) / 2))
        if self.distribution == "uniform":
            bound = math.sqrt(3.0 * variance)
            return ops.random_uniform(shape, -bound, bound, dtype, self.seed)
        return ops.truncated_normal(shape, 0.0, math.sqrt(variance) / 0.87962566103423978, dtype, self.seed)

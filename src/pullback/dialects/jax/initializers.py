"""`jax.nn.initializers`: functions of a key and a shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax import random
from pullback.nn.init import TRUNCATED
from pullback.util.errors import ValueError_, message

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


def truncated_normal(stddev: float = 1e-2, dtype: Any = float, lower: float = -2.0, upper: float = 2.0) -> Initializer:
    """Normal, cut at lower and upper standard deviations."""
    return lambda key, shape, dtype=dtype: random.truncated_normal(key, lower, upper, shape, dtype) * stddev


def orthogonal(scale: float = 1.0, column_axis: int = -1, dtype: Any = float) -> Initializer:
    """Orthonormal rows or columns, whichever are fewer, of all other dimensions against `column_axis`."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        if len(shape) < 2:
            raise ValueError_(message("orthogonal initializer requires at least a 2D shape", [("shape", str(shape))]))
        columns = shape[column_axis]
        rows = math.prod(shape) // columns if columns else 0
        rest = [n for k, n in enumerate(shape) if k != column_axis % len(shape)]
        found = random.orthogonal(key, rows, (), dtype, columns).reshape((*rest, columns))
        return jnp.moveaxis(found, -1, column_axis) * scale

    return init


def delta_orthogonal(scale: float = 1.0, column_axis: int = -1, dtype: Any = float) -> Initializer:
    """An orthogonal matrix in the middle of a convolution's kernel, zeros around it."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        if len(shape) not in (3, 4, 5) or shape[-1] < shape[-2]:
            raise ValueError_(
                message(
                    "delta orthogonal initializer requires a 3D, 4D or 5D shape, and shape[-1] >= shape[-2]",
                    [("shape", str(shape))],
                )
            )
        matrix = random.orthogonal(key, shape[-1], (), dtype)[: shape[-2]] * scale
        middle = tuple((n - 1) // 2 for n in shape[:-2])
        return jnp.zeros(shape, dtype).at[middle].set(matrix)

    return init


_MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")


def _sizes(shape: Any, axes: Any) -> int:
    return math.prod(shape[a] for a in ((axes,) if isinstance(axes, int) else axes))


def _variance(scale: float, mode: str, shape: Any, in_axis: Any, out_axis: Any, batch_axis: Any) -> float:
    if mode not in _MODES:
        raise ValueError_(
            message("invalid mode for variance scaling initializer", [("mode", repr(mode))], ", ".join(_MODES))
        )
    if len(shape) <= 1 and in_axis == -2:
        raise ValueError_(
            message(
                "Can't compute input and output sizes of a weights tensor of less than two dimensions",
                [("shape", str(tuple(shape)))],
                "at least two dimensions, or in_axis=",
            )
        )
    entering, leaving, batch = (_sizes(shape, a) for a in (in_axis, out_axis, batch_axis))
    field = math.prod(shape) / entering / leaving / batch
    inside, outside = entering * field, leaving * field
    fan = {
        "fan_in": inside,
        "fan_out": outside,
        "fan_avg": (inside + outside) / 2,
        "fan_geo_avg": math.sqrt(inside * outside),
    }
    return scale / fan[mode]


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Any = -2,
    out_axis: Any = -1,
    batch_axis: Any = (),
    dtype: Any = float,
) -> Initializer:
    """Random numbers of variance scale / fan."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        variance = _variance(scale, mode, shape, in_axis, out_axis, batch_axis)
        if distribution == "uniform":
            return random.uniform(key, shape, dtype, -1) * math.sqrt(3 * variance)
        if distribution == "normal":
            return random.normal(key, shape, dtype) * math.sqrt(variance)
        if distribution != "truncated_normal":
            raise ValueError_(
                message(
                    "invalid distribution for variance scaling initializer",
                    [("distribution", repr(distribution))],
                    "'truncated_normal', 'normal' or 'uniform'",
                )
            )
        return random.truncated_normal(key, -2, 2, shape, dtype) * (math.sqrt(variance) / TRUNCATED)

    return init


def _named(scale: float, mode: str, distribution: str) -> Callable[..., Initializer]:
    def make(in_axis: Any = -2, out_axis: Any = -1, batch_axis: Any = (), dtype: Any = float) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    return make


glorot_uniform, glorot_normal = _named(1.0, "fan_avg", "uniform"), _named(1.0, "fan_avg", "truncated_normal")
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
he_uniform, he_normal = _named(2.0, "fan_in", "uniform"), _named(2.0, "fan_in", "truncated_normal")
kaiming_uniform, kaiming_normal = he_uniform, he_normal
lecun_uniform, lecun_normal = _named(1.0, "fan_in", "uniform"), _named(1.0, "fan_in", "truncated_normal")

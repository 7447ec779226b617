"""Initial values of parameters, from Jittor's generator: `jt.init.invariant_uniform((out, in), "float32")`."""

from __future__ import annotations

import math
from typing import Any

from pullback.dialects.jittor import functions
from pullback.dialects.jittor.var import Var
from pullback.nn.init import fan_variance, fans


def constant(shape: Any, dtype: Any = "float32", value: float = 0.0) -> Var:
    """One number everywhere."""
    return functions.full(shape, value, dtype)


def zero(shape: Any, dtype: Any = "float32") -> Var:
    """Zeros."""
    return functions.zeros(shape, dtype)


def one(shape: Any, dtype: Any = "float32") -> Var:
    """Ones."""
    return functions.ones(shape, dtype)


def uniform(shape: Any, dtype: Any = "float32", low: float = 0, high: float = 1) -> Var:
    """Uniform in [low, high)."""
    return functions.random(shape, dtype) * (low - high) + high


def gauss(shape: Any, dtype: Any = "float32", mean: float = 0.0, std: float = 1.0) -> Var:
    """Normal."""
    return functions.random(shape, dtype, "normal") * std + mean


def invariant_uniform(shape: Any, dtype: Any = "float32", mode: str = "fan_in") -> Var:
    """Uniform within sqrt(1 / fan)."""
    bound = math.sqrt(fan_variance(1.0, mode, *fans(shape)))
    return uniform(shape, dtype, -bound, bound)


def relu_invariant_gauss(shape: Any, dtype: Any = "float32", mode: str = "fan_in") -> Var:
    """Normal with deviation sqrt(2 / fan)."""
    return gauss(shape, dtype, 0, math.sqrt(fan_variance(2.0, mode, *fans(shape))))


def xavier_uniform(shape: Any, dtype: Any = "float32", gain: float = 1.0) -> Var:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(3 * fan_variance(1.0, "fan_avg", *fans(shape)))
    return uniform(shape, dtype, -bound, bound)


def xavier_gauss(shape: Any, dtype: Any = "float32", gain: float = 1.0) -> Var:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return gauss(shape, dtype, 0, gain * math.sqrt(fan_variance(1.0, "fan_avg", *fans(shape))))


def _in_place(make: Any) -> Any:
    def fill(var: Var, *args: Any, **kwargs: Any) -> Var:
        return var.assign(make(var.shape, var.dtype, *args, **kwargs))

    fill.__name__, fill.__doc__ = make.__name__ + "_", make.__doc__
    return fill


constant_, zero_, one_, uniform_, gauss_, invariant_uniform_, relu_invariant_gauss_, xavier_uniform_, xavier_gauss_ = (
    map(
        _in_place,
        (constant, zero, one, uniform, gauss, invariant_uniform, relu_invariant_gauss, xavier_uniform, xavier_gauss),
    )
)

"""`jax.nn`: activations and what goes with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api import activations, elementwise, layers, manipulation, reductions, selecting
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import default_float, function, lift, lower, wanted
from pullback.util.errors import ArgumentError, message

relu, relu6, silu, swish, softplus, softsign, selu, hard_swish, hard_sigmoid, mish, log_sigmoid = map(
    function,
    (
        activations.relu,
        activations.relu6,
        activations.silu,
        activations.silu,
        activations.softplus,
        activations.softsign,
        activations.selu,
        activations.hardswish,
        activations.hardsigmoid,
        activations.mish,
        activations.logsigmoid,
    ),
)
tanh, sigmoid, logsumexp = map(function, (elementwise.tanh, elementwise.sigmoid, reductions.logsumexp))


celu, identity, soft_sign = function(activations.celu), border.asarray, softsign
hard_silu = hard_swish


def sparse_plus(x: Any) -> Any:
    """0 up to -1, x from 1, a parabola between."""
    x = border.asarray(x)
    return lift(elementwise.where(x <= -1, 0.0, elementwise.where(x >= 1, x, (x + 1) ** 2 / 4)))


def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, 1 from 1, a line between."""
    return lift(elementwise.clip((border.asarray(x) + 1) / 2, 0, 1))


def squareplus(x: Any, b: Any = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2."""
    x = border.asarray(x)
    return (x + lift(elementwise.sqrt(x * x + b))) / 2


def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)), for positive x."""
    x = border.asarray(x)
    near = x < 0.6931471805599453
    low = elementwise.log(-elementwise.expm1(-elementwise.where(near, x, 0.5)))
    return lift(elementwise.where(near, low, elementwise.log1p(-elementwise.exp(-elementwise.where(near, 1.0, x)))))


def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Any:
    """The logarithm of the mean of exponentials."""
    x = border.asarray(x)
    if where is None:
        total = lift(reductions.logsumexp(x, axis, keepdims))
        return total - float(np.log(x.size // max(total.size, 1)))
    there = border.asarray(where)
    total = lift(reductions.logsumexp(elementwise.where(there, x, -np.inf), axis, keepdims))
    return total - lift(elementwise.log(reductions.sum(manipulation.broadcast_to(there, x.shape), axis, keepdims)))


def standardize(x: Any, axis: Any = -1, mean: Any = None, variance: Any = None, epsilon: Any = 1e-5,
                where: Any = None) -> Any:
    """x with mean 0 and variance 1 along an axis."""
    x = border.asarray(x)
    if where is not None:
        raise ArgumentError(message("standardize: no where=", help="mask before, and after"))
    center = x.mean(axis, keepdims=True) if mean is None else border.asarray(mean)
    spread = (x * x).mean(axis, keepdims=True) - center * center if variance is None else border.asarray(variance)
    return (x - center) * lift(elementwise.rsqrt(spread + epsilon))


def dot_product_attention(query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, *,
                          scale: float | None = None, is_causal: bool = False, implementation: Any = None) -> Any:
    """Attention of [batch, steps, heads, features] (without batch: three dimensions); heads of key and value may be
    fewer. `bias` is added, `mask` says what may be used, [batch, heads, queries, keys]."""
    q, k, v = (border.asarray(t) for t in (query, key, value))
    lone = q.ndim == 3
    q, k, v = (manipulation.swapaxes(t[None] if lone else t, 1, 2) for t in (q, k, v))
    extra = None if bias is None else border.asarray(bias)
    if mask is not None:
        allowed = border.asarray(mask)
        extra = allowed if extra is None else lift(elementwise.where(allowed, extra, -np.inf))
    found = layers.scaled_dot_product_attention(q, k, v, extra, is_causal=is_causal, scale=scale, enable_gqa=True)
    found = lift(manipulation.swapaxes(found, 1, 2))
    return found[0] if lone else found


def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function of x, by default in its approximation with tanh."""
    return lift(activations.gelu(lower(x), "tanh" if approximate else "none"))


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, alpha (exp(x) - 1) elsewhere."""
    return lift(activations.elu(lower(x), alpha))


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, a little of it elsewhere."""
    return lift(activations.leaky_relu(lower(x), negative_slope))


def hard_tanh(x: Any) -> Any:
    """x limited to [-1, 1]."""
    return lift(activations.hardtanh(lower(x)))


def glu(x: Any, axis: int = -1) -> Any:
    """One half times the sigmoid of the other."""
    return lift(activations.glu(lower(x), axis))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x), divided by its sum along an axis."""
    return lift(activations.softmax(border.asarray(x), axis=axis))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of softmax."""
    return lift(activations.log_softmax(border.asarray(x), axis=axis))


def one_hot(x: Any, num_classes: int, *, dtype: Any = float, axis: int = -1) -> Any:
    """1 at the class, 0 elsewhere."""
    if not isinstance(num_classes, int) or num_classes < 0:
        raise ArgumentError(
            message("one_hot: num_classes is a whole number of 0 or more", [("num_classes", repr(num_classes))])
        )
    kind = default_float() if dtype is float else wanted(dtype, "one_hot")
    return lift(selecting.one_hot(border.asarray(x), num_classes, axis=axis, dtype=kind))


__getattr__, __dir__ = names(__name__, {"dialects.jax.initializers": "initializers="})

"""`jax.nn`: activations and what goes with them."""

from __future__ import annotations

import math
from typing import Any

from pullback.api import activations, elementwise, manipulation, reductions, selecting
from pullback.api.data_types import finfo
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import default_float, function, lift, lower, wanted
from pullback.engine import control
from pullback.util.errors import ArgumentError, message

relu, relu6, silu, swish, softplus, softsign, selu, hard_swish, hard_sigmoid, mish, log_sigmoid = (
    function(f, True)
    for f in (
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
    )
)
tanh, sigmoid = function(elementwise.tanh, True), function(elementwise.sigmoid, True)


def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function of x, by default in its approximation with tanh."""
    return lift(activations.gelu(lower(x), "tanh" if approximate else "none"))


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, alpha (exp(x) - 1) elsewhere."""
    return lift(activations.elu(lower(x), alpha))


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """x where positive or 0, a little of it elsewhere."""
    x = border.array_of(x, "leaky_relu")
    return lift(elementwise.where(x >= 0, x, lower(negative_slope) * x))


def hard_tanh(x: Any) -> Any:
    """x limited to [-1, 1]."""
    x = border.array_of(x, "hard_tanh")
    return lift(elementwise.where(x > 1, 1, elementwise.where(x < -1, -1, x)))


def glu(x: Any, axis: int = -1) -> Any:
    """One half times the sigmoid of the other."""
    return lift(activations.glu(lower(x), axis))


def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """exp(x), divided by its sum along axes; of the elements that `where` keeps, 0 elsewhere."""
    x = border.array_of(x, "softmax")
    if isinstance(axis, tuple):
        return lift(elementwise.exp(log_softmax(x, axis, where)))
    if where is None:
        return lift(activations.softmax(x, axis=axis))
    return lift(elementwise.where(lower(where), activations.softmax(_kept(x, where), axis=axis), 0))


def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """The logarithm of softmax; -inf where `where` keeps nothing."""
    x = border.array_of(x, "log_softmax")
    if isinstance(axis, tuple):
        return lift(x - logsumexp(x, axis, keepdims=True, where=where))
    if where is None:
        return lift(activations.log_softmax(x, axis=axis))
    return lift(elementwise.where(lower(where), activations.log_softmax(_kept(x, where), axis=axis), -math.inf))


def _kept(x: Any, where: Any) -> Any:
    """The elements that count, and for the others numbers whose exponential is 0 beside theirs."""
    return elementwise.where(lower(where), x, finfo(x.dtype).min)


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False, where: Any = None
) -> Any:
    """log(sum(b exp(a))) along axes; with `return_sign` the logarithm of the sum's size, and its sign."""
    x = border.array_of(a, "logsumexp")
    if where is not None:
        x = elementwise.where(lower(where), x, -math.inf)
    if b is None and not return_sign:
        return lift(reductions.logsumexp(x, axis, keepdims=keepdims))
    weights = border.asarray(1.0 if b is None else b)
    top = control.stop_gradient(reductions.max(x, axis, keepdims=True))
    top = elementwise.where(elementwise.isfinite(top), top, 0)
    total = reductions.sum(weights * elementwise.exp(x - top), axis, keepdims=True)
    found = elementwise.log(total.abs() if return_sign else total) + top
    if not keepdims:
        gone = tuple(range(x.ndim)) if axis is None else axis
        found, total = (manipulation.squeeze(y, gone) for y in (found, total))
    return (lift(found), lift(elementwise.sign(total))) if return_sign else lift(found)


def one_hot(x: Any, num_classes: int, *, dtype: Any = float, axis: int = -1) -> Any:
    """1 at the class, 0 elsewhere."""
    if not isinstance(num_classes, int) or num_classes < 0:
        raise ArgumentError(
            message("one_hot: num_classes is a whole number of 0 or more", [("num_classes", repr(num_classes))])
        )
    kind = default_float() if dtype is float else wanted(dtype, "one_hot")
    return lift(selecting.one_hot(border.asarray(x), num_classes, axis=axis, dtype=kind))


soft_sign = softsign


__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.initializers": "initializers=",
        "dialects.jax.nn_functions": """celu dot_product_attention hard_silu identity log1mexp logmeanexp sparse_plus
            sparse_sigmoid squareplus standardize""",
    },
)

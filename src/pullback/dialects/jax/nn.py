"""`jax.nn`: activations and what goes with them."""

from __future__ import annotations

from typing import Any

from pullback.api import activations, elementwise, reductions, selecting
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

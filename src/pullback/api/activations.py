"""Activation functions, under PyTorch's names with its defaults. Each records as one step."""

from __future__ import annotations

import math
from typing import Any

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axis_of, described, number, one_of, reject_kind
from pullback.api.reductions import floating, log_sum_exp, spread
from pullback.engine.operation import Operation, broadcast_to, operation
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message
from pullback.util.zeros import written

Array = Any


def _c(x: Node, value: float) -> Node:
    return build.scalar_like(x, value)


def _times(x: Node, value: float) -> Node:
    return x if value == 1 else build.mul(x, _c(x, value))


def _above(x: Node, limit: float) -> Node:
    return build.binary("gt", x, _c(x, limit))


def relu_node(x: Node) -> Node:
    """max(x, 0) with derivative 0 at 0; NaN stays."""
    zero = build.zeros_like(x)
    return build.select(build.binary("le", x, zero), zero, x)


_relu = Operation(lambda x: relu_node(x), "none", True, False, "relu")


def relu(x: Array, inplace: bool = False) -> Array:
    """max(x, 0); the derivative at 0 is 0.

    >>> import pullback as pb
    >>> pb.relu(pb.tensor([-1.0, 2.0]))
    Tensor([0., 2.], dtype=float32)
    """
    y = _relu(x)
    return x.hold(y, "relu_") if inplace else y


def clamp_node(x: Node, low: float, high: float) -> Node:
    """x limited to [low, high], with derivative 0 at both limits."""
    low_, high_ = _c(x, low), _c(x, high)
    return build.select(build.binary("le", x, low_), low_, build.select(build.binary("ge", x, high_), high_, x))


@operation()
def _hardtanh(x: Node, low: float, high: float) -> Node:
    return clamp_node(x, low, high)


def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """x limited to [min_val, max_val]; the derivative at the limits is 0."""
    if min_val > max_val:
        raise ValueError_(message("hardtanh: min_val cannot be greater than max_val",
                                  [("min_val", repr(min_val)), ("max_val", repr(max_val))], "min_val=-1, max_val=1"))
    y = _hardtanh(x, low=written(min_val), high=written(max_val))
    return x.hold(y, "hardtanh_") if inplace else y


def relu6(x: Array, inplace: bool = False) -> Array:
    """x limited to [0, 6]."""
    return hardtanh(x, 0.0, 6.0, inplace)


@operation(promote="float")
def _leaky_relu(x: Node, slope: Node) -> Node:
    return build.select(_above(x, 0), x, build.mul(x, slope))


def leaky_relu(x: Array, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """x where it is positive, negative_slope * x elsewhere."""
    y = _leaky_relu(x, negative_slope)
    return x.hold(y, "leaky_relu_") if inplace else y


@operation(promote="dtype")
def _prelu(x: Node, weight: Node) -> Node:
    w = broadcast_to(build.reshape(weight, ()), x.shape) if weight.tensor.size == 1 else \
        build.broadcast(weight, x.shape, (1,))
    return build.select(_above(x, 0), x, build.mul(x, w))


def prelu(x: Array, weight: Array) -> Array:
    """x where it is positive, weight * x elsewhere; one weight, or one per channel (dimension 1)."""
    x, weight = as_tensor(x, "prelu"), as_tensor(weight, "prelu")
    if weight.info.type.size != 1 and (weight.ndim != 1 or x.ndim < 2 or weight.shape[0] != x.shape[1]):
        raise ShapeError(message("prelu: needs one weight, or one per channel",
                                 [("x", described(x)), ("weight", described(weight))],
                                 f"weight of shape ({x.shape[1] if x.ndim > 1 else 1},)"))
    return _prelu(x, weight)


@operation(promote="none")
def _elu(x: Node, alpha: float, scale: float, input_scale: float) -> Node:
    x = floating(x)
    # The branch not taken must stay finite, or its zero derivative becomes NaN.
    safe = build.select(_above(x, 0), build.zeros_like(x), x)
    negative = _times(build.unary("expm1", _times(safe, input_scale)), alpha)
    return _times(build.select(_above(x, 0), x, negative), scale)


def elu(x: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    y = _elu(x, alpha=written(alpha), scale=1.0, input_scale=1.0)
    return x.hold(y, "elu_") if inplace else y


def selu(x: Array, inplace: bool = False) -> Array:
    """The self-normalising ELU (Klambauer et al. 2017)."""
    y = _elu(x, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946, input_scale=1.0)
    return x.hold(y, "selu_") if inplace else y


def celu(x: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    if not number(alpha, "celu", "alpha"):
        raise ValueError_(message("celu: alpha must not be 0", [("alpha", repr(alpha))], "alpha=1.0"))
    y = _elu(x, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)
    return x.hold(y, "celu_") if inplace else y


def gelu_node(x: Node, approximate: str) -> Node:
    """x * P(N(0, 1) <= x)"""
    if approximate == "tanh":
        inner = build.mul(_c(x, math.sqrt(2 / math.pi)), build.add(x, _times(build.integer_pow(x, 3), 0.044715)))
        return build.mul(_times(x, 0.5), build.add(build.ones_like(x), build.unary("tanh", inner)))
    return build.mul(_times(x, 0.5), build.add(build.ones_like(x), build.unary("erf", _times(x, math.sqrt(0.5)))))


@operation(promote="float")
def _gelu(x: Node, approximate: str) -> Node:
    return gelu_node(x, approximate)


def gelu(x: Array, approximate: str = "none") -> Array:
    """x times the normal distribution function of x; `approximate="tanh"` uses Hendrycks and Gimpel's formula."""
    return _gelu(x, approximate=one_of(approximate, ("none", "tanh"), "gelu", "approximate"))


_silu = Operation(lambda x: build.mul(x, build.unary("sigmoid", x)), "float", True, False, "silu")


def silu(x: Array, inplace: bool = False) -> Array:
    """x * sigmoid(x)."""
    y = _silu(x)
    return x.hold(y, "silu_") if inplace else y


swish = silu


def softplus_node(x: Node) -> Node:
    """log(1 + exp(x)) without overflow"""
    return build.unary("softplus", x)


@operation(promote="float")
def _softplus(x: Node, beta: float, threshold: float) -> Node:
    scaled = _times(x, beta)
    return build.select(_above(scaled, threshold), x, _times(softplus_node(scaled), 1 / beta if beta else math.inf))


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * x)) / beta; x itself above the threshold."""
    return _softplus(x, beta=number(beta, "softplus", "beta"), threshold=number(threshold, "softplus", "threshold"))


_softsign = Operation(lambda x: build.div(x, build.add(build.ones_like(x), build.unary("abs", x))),
                      "float", True, False, "softsign")
_log_sigmoid = Operation(lambda x: build.neg(softplus_node(build.neg(x))), "float", True, False, "logsigmoid")
_tanhshrink = Operation(lambda x: build.sub(x, build.unary("tanh", x)), "float", True, False, "tanhshrink")


@operation(promote="float")
def _mish(x: Node) -> Node:
    """The hyperbolic tangent of the softplus is (e^2 + 2e) / (e^2 + 2e + 2) for e = exp(x), and for e = exp(-x) it is
    1 - 2e^2 / (2e^2 + 2e + 1). Above 0 the second is taken, whose derivatives are no differences of what is nearly 1.
    The branches are in constants: so its tangent is one multiple of that of x."""
    above = _above(x, 0)

    def chosen(positive: float, other: float) -> Node:
        return build.select(above, _c(x, positive), _c(x, other))

    sign = chosen(-1, 1)
    e = build.unary("exp", build.mul(x, sign))
    square = build.mul(chosen(2, 1), build.square(e))
    over = build.add(square, build.mul(chosen(0, 2), e))
    under = build.add(build.add(square, _times(e, 2)), chosen(1, 2))
    part = build.mul(over, build.integer_pow(under, -1))
    return build.mul(x, build.add(build.mul(sign, part), chosen(1, 0)))


def mish(x: Array, inplace: bool = False) -> Array:
    """x * tanh(softplus(x))."""
    y = _mish(x)
    return x.hold(y, "mish_") if inplace else y


def softsign(x: Array) -> Array:
    """x / (1 + |x|)."""
    return _softsign(x)


def logsigmoid(x: Array) -> Array:
    """log(sigmoid(x)) without overflow."""
    return _log_sigmoid(x)


log_sigmoid = logsigmoid


def tanhshrink(x: Array) -> Array:
    """x - tanh(x)."""
    return _tanhshrink(x)


@operation(promote="float")
def _hardsigmoid(x: Node) -> Node:
    return _times(clamp_node(build.add(x, _c(x, 3)), 0, 6), 1 / 6)


@operation(promote="float")
def _hardswish(x: Node) -> Node:
    return build.mul(x, _hardsigmoid.define(x))


def hardsigmoid(x: Array, inplace: bool = False) -> Array:
    """relu6(x + 3) / 6."""
    y = _hardsigmoid(x)
    return x.hold(y, "hardsigmoid_") if inplace else y


def hardswish(x: Array, inplace: bool = False) -> Array:
    """x * relu6(x + 3) / 6."""
    y = _hardswish(x)
    return x.hold(y, "hardswish_") if inplace else y


@operation()
def _shrink(x: Node, limit: float, soft: bool) -> Node:
    inside = build.binary("logical_and", build.binary("ge", x, _c(x, -limit)), build.binary("le", x, _c(x, limit)))
    shift = _c(x, limit)  # NaN is not inside: it stays
    moved = build.select(_above(x, limit), build.sub(x, shift), build.add(x, shift)) if soft else x
    return build.select(inside, build.zeros_like(x), moved)


def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """x moved towards 0 by lambd, which is not negative; 0 between -lambd and lambd."""
    if number(lambd, "softshrink", "lambd") < 0:
        raise ValueError_(message("softshrink: lambd must not be negative", [("lambd", repr(lambd))], "lambd=0.5"))
    return _shrink(x, limit=lambd, soft=True)


def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """x; 0 between -lambd and lambd."""
    return _shrink(x, limit=lambd, soft=False)


@operation()
def _threshold(x: Node, limit: float, value: float) -> Node:
    return build.select(build.binary("le", x, _c(x, limit)), _c(x, value), x)


def threshold(x: Array, threshold: float, value: float, inplace: bool = False) -> Array:
    """x where it is above the threshold, `value` elsewhere."""
    return _above_threshold(x, threshold, value, inplace)


def threshold_(x: Array, threshold: float, value: float) -> Array:
    """`threshold`, in place."""
    return _above_threshold(x, threshold, value, True)


def _above_threshold(x: Any, limit: Any, value: Any, inplace: bool) -> Any:
    y = _threshold(x, limit=number(limit, "threshold", "threshold"), value=written(number(value, "threshold", "value")))
    return x.hold(y, "threshold_") if inplace else y


@operation(promote="float")
def _glu(x: Node, axis: int) -> Node:
    half = x.shape[axis] // 2
    left, right = build.slice_axis(x, axis, 0, half), build.slice_axis(x, axis, half, 2 * half)
    return build.mul(left, build.unary("sigmoid", right))


def glu(x: Array, dim: int = -1) -> Array:
    """The first half along a dimension times the sigmoid of the second."""
    x = as_tensor(x, "glu")
    axis = axis_of(dim, x.ndim, "glu", x)
    if x.shape[axis] % 2:
        raise ShapeError(message(f"glu: the size along dimension {axis} must be even", [("x", described(x))],
                                 "it is cut in halves"))
    return _glu(x, axis=axis)


# -- softmax -----------------------------------------------------------------------------------------------------------


def softmax_node(x: Node, axis: int) -> Node:
    """exp(x - max) / sum(exp(x - max)) along an axis"""
    if x.shape[axis] == 0:
        return x
    top = build.stop_gradient(build.reduce("max", x, (axis,)))
    powers = build.exp(build.sub(x, spread(top, x, (axis,))))
    return build.div(powers, spread(build.reduce("add", powers, (axis,)), x, (axis,)))


def log_softmax_node(x: Node, axis: int) -> Node:
    """x - logsumexp(x) along an axis; NaN beside an infinite one, as softmax"""
    return x if x.shape[axis] == 0 else build.sub(x, spread(log_sum_exp(x, (axis,), False), x, (axis,)))


@operation(promote="float")
def _softmax(x: Node, axis: int, dtype: DType | None) -> Node:
    reject_kind(x, "c", "softmax", "take the real part: x.real")
    return softmax_node(build.convert(x, dtype) if dtype is not None else x, axis)


@operation(promote="float")
def _log_softmax(x: Node, axis: int, dtype: DType | None) -> Node:
    reject_kind(x, "c", "log_softmax", "take the real part: x.real")
    return log_softmax_node(build.convert(x, dtype) if dtype is not None else x, axis)


def _softmax_axis(x: Any, dim: Any, axis: Any, name: str) -> tuple[Any, int]:
    x = as_tensor(x, name)
    if not x.ndim:
        raise ShapeError(message(f"{name}: needs at least one dimension", [("x", described(x))], "x.reshape(1)"))
    return x, axis_of(axis if dim is None else dim, x.ndim, name, x)


def softmax(x: Array, dim: int | None = None, *, axis: int = -1, dtype: Any = None) -> Array:
    """exp(x) over its sum along an axis (the last by default), without overflow.

    >>> import pullback as pb
    >>> pb.softmax(pb.tensor([0.0, 0.0]))
    Tensor([0.5, 0.5], dtype=float32)
    """
    x, k = _softmax_axis(x, dim, axis, "softmax")
    return _softmax(x, axis=k, dtype=None if dtype is None else dtype_of(dtype))


def log_softmax(x: Array, dim: int | None = None, *, axis: int = -1, dtype: Any = None) -> Array:
    """log(softmax(x)) along an axis (the last by default), without overflow."""
    x, k = _softmax_axis(x, dim, axis, "log_softmax")
    return _log_softmax(x, axis=k, dtype=None if dtype is None else dtype_of(dtype))


def softmin(x: Array, dim: int | None = None, *, axis: int = -1, dtype: Any = None) -> Array:
    """softmax(-x)."""
    return softmax(-as_tensor(x, "softmin"), dim, axis=axis, dtype=dtype)


@operation(promote="float")
def _standardize(x: Node, axes: tuple[int, ...], p: float, eps: float) -> Node:
    from pullback.api.linear_algebra import norm_nodes

    size = norm_nodes(x, p, axes)
    size = build.maximum(size, _c(size, eps)) if size.dtype.kind == "f" else size
    return build.div(x, spread(size, x, axes))


def normalize(x: Array, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Array:
    """x over its p-norm along one dimension, or several, at least eps."""
    x = as_tensor(x, "normalize")
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    return _standardize(x, axes=tuple([axis_of(d, x.ndim, "normalize", x) for d in dims]), p=float(p), eps=float(eps))


# -- random slopes, and what writes its result into its input ----------------------------------------------------------


@operation(promote="exact")
def _random_leaky(x: Node, noise: Node, lower: float, upper: float) -> Node:
    slope = build.add(_times(build.convert(noise, x.dtype), upper - lower), _c(x, lower))
    return build.select(build.binary("ge", x, build.zeros_like(x)), x, build.mul(x, slope))


def rrelu(x: Array, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False) -> Array:
    """Leaky relu with slopes drawn between `lower` and `upper` in training, their mean else (Xu et al. 2015)."""
    if not lower <= upper:
        raise ArgumentError(message("rrelu: lower must not exceed upper", [("lower", repr(lower)),
                                                                           ("upper", repr(upper))],
                                    "lower=1/8, upper=1/3"))
    x = as_tensor(x, "rrelu")
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    from pullback.api.random import units

    y = _random_leaky(x, units(tuple(x.shape), x), lower=float(lower), upper=float(upper))
    return x.hold(y, "rrelu_") if inplace else y


def relu_(x: Array) -> Array:
    """`relu`, in place."""
    return relu(x, True)


def celu_(x: Array, alpha: float = 1.0) -> Array:
    """`celu`, in place."""
    return celu(x, alpha, True)


def elu_(x: Array, alpha: float = 1.0) -> Array:
    """`elu`, in place."""
    return elu(x, alpha, True)


def hardtanh_(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """`hardtanh`, in place."""
    return hardtanh(x, min_val, max_val, True)


def leaky_relu_(x: Array, negative_slope: float = 0.01) -> Array:
    """`leaky_relu`, in place."""
    return leaky_relu(x, negative_slope, True)


def rrelu_(x: Array, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Array:
    """`rrelu`, in place."""
    return rrelu(x, lower, upper, training, True)


def selu_(x: Array) -> Array:
    """`selu`, in place."""
    return selu(x, True)


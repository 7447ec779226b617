"""Functions behind layers: linear maps, normalisation, dropout, attention, embedding. PyTorch's names and defaults."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.activations import softmax_node
from pullback.api.arguments import as_tensor, described, integer, number, shape_of
from pullback.api.linear_algebra import batch_of, product
from pullback.api.reductions import floating, mean_of, spread, variance_of
from pullback.api.selecting import checked_indices
from pullback.engine.operation import Operation, broadcast_to, operation, result_dtype
from pullback.engine.precision import is_narrow
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Operand, local
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops.indexing import located
from pullback.util.errors import ArgumentError, DTypeError, IndexError_, ShapeError, ValueError_, message

Array = Any


# -- linear ------------------------------------------------------------------------------------------------------------


@operation(promote="dtype")
def _linear(x: Node, weight: Node, *bias: Node) -> Node:
    if not x.shape or x.shape[-1] != weight.shape[-1]:
        cure = "did you mean weight.T?" if x.shape and x.shape[-1] == weight.shape[0] else \
            "the input's last dimension must be the weight's last"
        raise ShapeError(message("linear: contracted dimensions must have equal sizes", [
            ("input", f"{x.type!r}   last dimension is {x.shape[-1] if x.shape else 'missing'}"),
            ("weight", f"{weight.type!r}   last dimension is {weight.shape[-1]}")], cure))
    y = build.contract(x, weight, 0, 1)
    return build.add(y, broadcast_to(bias[0], y.shape)) if bias else y


def linear(input: Array, weight: Array, bias: Array = None) -> Array:
    """input @ weight.T + bias; weight is (outputs, inputs).

    >>> import pullback as pb
    >>> pb.nn.functional.linear(pb.ones(1, 2), pb.tensor([[1.0, 2.0]]), pb.tensor([3.0]))
    Tensor([[6.]], dtype=float32)
    """
    weight = as_tensor(weight, "linear")
    if weight.ndim not in (1, 2):
        raise ShapeError(message("linear: weight needs two dimensions", [("weight", described(weight))],
                                 "(outputs, inputs)"))
    if bias is None:
        return _linear(input, weight)
    b = as_tensor(bias, "linear")
    if b.ndim > 1:
        b = _biases(as_tensor(input, "linear"), weight, b)
    elif b.ndim == 1 and b.shape[0] not in (1, weight.shape[0]):
        raise ShapeError(message("linear: needs one bias per output",
                                 [("weight", described(weight)), ("bias", described(b))],
                                 f"a bias of shape ({weight.shape[0]},)"))
    return _linear(input, weight, b)


def _biases(x: Any, weight: Any, bias: Any) -> Any:
    """A bias of several dimensions, which must broadcast to the result; of one row it may be a row."""
    shape = (*x.shape[:-1], *weight.shape[:-1])
    if x.ndim == 1 and bias.shape == (1, *shape):
        return bias[0]
    lead = len(shape) - bias.ndim
    if lead < 0 or any(n not in (1, size) for n, size in zip(bias.shape, shape[lead:], strict=True)):
        raise ShapeError(message("linear: the bias does not broadcast to the result",
                                 [("weight", described(weight)), ("bias", described(bias)), ("result", str(shape))],
                                 f"a bias of shape ({weight.shape[0]},)"))
    return bias


@operation(promote="dtype")
def _bilinear(x: Node, z: Node, weight: Node, *bias: Node) -> Node:
    left = build.contract(x, build.transpose(weight, (0, 2, 1)), 0, 1)  # ..., outputs, second inputs
    lead = len(x.shape) - 1
    y = build.reduce("add", build.mul(left, build.broadcast(z, left.shape, (*range(lead), lead + 1))), (lead + 1,))
    return build.add(y, broadcast_to(bias[0], y.shape)) if bias else y


def bilinear(input1: Array, input2: Array, weight: Array, bias: Array = None) -> Array:
    """input1 @ weight[k] @ input2 for each output k, plus bias; weight is (outputs, inputs1, inputs2)."""
    x, z, w = as_tensor(input1, "bilinear"), as_tensor(input2, "bilinear"), as_tensor(weight, "bilinear")
    if w.ndim != 3 or not x.ndim or x.shape[:-1] != z.shape[:-1] or (x.shape[-1], z.shape[-1]) != w.shape[1:]:
        raise ShapeError(message("bilinear: shapes do not fit",
                                 [("input1", described(x)), ("input2", described(z)), ("weight", described(w))],
                                 "weight is (outputs, last of input1, last of input2); leading dimensions are equal"))
    return _bilinear(x, z, w) if bias is None else _bilinear(x, z, w, bias)


@operation()
def _embedding(indices: Node, weight: Node, mode: str, padding: int | None, name: str = "embedding") -> Node:
    if padding is not None:
        row = build.binary("eq", build.iota(weight.shape, 0, dtypes.int32),
                           build.full(weight.shape, padding, dtypes.int32))
        weight = build.select(row, build.stop_gradient(weight), weight)
    return build.gather(weight, indices, 0, located(mode, name))


def embedding(input: Array, weight: Array, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Array:
    """The rows of weight at indices; the row `padding_idx` gets no gradient.

    With `max_norm`, rows that are read and whose p-norm is more are shortened to it first, in `weight` itself.
    `scale_grad_by_freq` divides the gradient of a row by how often it was read. With `sparse`, the gradient that
    `backward()` gives weight is a `SparseTensor` of the rows that were read.
    """
    return rows_of("embedding", input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)


def rows_of(name: str, input: Array, weight: Array, padding_idx: int | None, max_norm: float | None, norm_type: float,
            scale_grad_by_freq: bool, sparse: bool) -> Array:
    """`embedding`, under the name of the function that was called."""
    weight = as_tensor(weight, name)
    if weight.ndim != 2:
        raise ShapeError(message(f"{name}: weight needs two dimensions", [("weight", described(weight))],
                                 "(entries, features)"))
    indices, mode = checked_indices(input, weight.shape[0], name)
    mode = "positive" if mode == "error" else mode
    if not isinstance(input, TensorBase) and np.any(np.asarray(input) < 0):
        raise IndexError_(message(f"{name}: an index is negative", [("indices", f"{input!r:.60}")],
                                  f"rows count from 0 to {weight.shape[0] - 1}"))
    named = {} if name == "embedding" else {"name": name}
    row = None
    if padding_idx is not None:
        row = integer(padding_idx, name, "padding_idx")
        if not -weight.shape[0] <= row < weight.shape[0]:
            raise ValueError_(message(f"{name}: padding_idx is not a row",
                                      [("weight", described(weight)), ("padding_idx", str(row))],
                                      f"use a number below {weight.shape[0]}"))
        row %= weight.shape[0]
    if max_norm is not None:
        from pullback.api.embeddings import limit_rows

        limit_rows(weight, indices, max_norm, norm_type, name)
    if sparse:
        from pullback.api.sparse import rows_apart

        if scale_grad_by_freq:
            raise ValueError_(message("embedding_backward: scale_grad_by_freq not supported with sparse gradients",
                                      help="sparse=False, or scale_grad_by_freq=False"))
        apart = rows_apart(weight, indices, lambda: _embedding(indices, weight, mode=mode, padding=None, **named), row,
                           mode)
        if apart is not None:
            return apart
    found = _embedding(indices, weight, mode=mode, padding=row, **named)
    if not scale_grad_by_freq:
        return found
    from pullback.api.embeddings import shared_gradient

    return shared_gradient(found, indices, size=weight.shape[0])


# -- normalisation -----------------------------------------------------------------------------------------------------


class _Normalisation(Operation):
    """Floating operands of one dtype, at least float32, shapes as they are. What is normalised keeps 16 bits, also
    beside wider parameters."""

    __slots__ = ()

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        dtype, _ = result_dtype(operands)
        dtype = dtype if dtype.is_inexact else dtypes.default_float()
        result = self.define(*(build.convert(o.node, dtypes.promote(dtype, dtypes.float32)) for o in operands))
        results = [result] if isinstance(result, Node) else list(result)
        given = operands[0].node
        results[0] = build.convert(results[0], given.dtype if is_narrow(given) else dtype)
        return tuple(results), ""


def _normalisation(define: Any) -> Operation:
    return _Normalisation(define, "float", True, False, define.__name__.strip("_"))


def _standardised(x: Node, axes: tuple[int, ...], eps: float) -> Node:
    return _about(x, mean_of(x, axes), variance_of(x, axes, 0), axes, eps)


def _about(x: Node, mean: Node, variance: Node, axes: tuple[int, ...], eps: float) -> Node:
    scale = build.unary("rsqrt", build.add(variance, build.scalar_like(variance, eps)))
    off = build.sub(x, spread(mean, x, axes))
    return build.mul(off, spread(scale, x, axes))


def _affine(y: Node, weight: Node | None, bias: Node | None, dims: tuple[int, ...]) -> Node:
    if weight is not None:
        y = build.mul(y, build.broadcast(weight, y.shape, dims))
    return build.add(y, build.broadcast(bias, y.shape, dims)) if bias is not None else y


def _optional(parts: tuple[Node, ...], flags: tuple[bool, ...]) -> tuple[Node | None, Node | None]:
    """Weight and bias, of which the flags say whether they are there."""
    rest = iter(parts)
    weight, bias = (next(rest) if flag else None for flag in (*flags, False)[:2])
    return weight, bias


@_normalisation
def _layer_norm(x: Node, *parts: Node, count: int, eps: float, flags: tuple[bool, ...]) -> Node:
    axes = tuple(range(len(x.shape) - count, len(x.shape)))
    return _affine(_standardised(x, axes, eps), *_optional(parts, flags), axes)


@_normalisation
def _rms_norm(x: Node, *parts: Node, count: int, eps: float, flags: tuple[bool, ...]) -> Node:
    axes = tuple(range(len(x.shape) - count, len(x.shape)))
    squares = mean_of(build.square(x), axes)
    scale = build.unary("rsqrt", build.add(squares, build.scalar_like(squares, eps)))
    return _affine(build.mul(x, spread(scale, x, axes)), *_optional(parts, flags), axes)


def _trailing(x: Any, normalized_shape: Any, parts: dict[str, Any], name: str) -> tuple[list[Any], int,
                                                                                        tuple[bool, ...]]:
    x = as_tensor(x, name)
    shape = shape_of((normalized_shape,), name)
    if not shape or x.shape[-len(shape):] != shape:
        raise ShapeError(message(f"{name}: the last dimensions must be normalized_shape",
                                 [("input", described(x)), ("normalized_shape", str(shape))],
                                 f"they are {x.shape[-len(shape):]}"))
    operands = [x]
    for what, part in parts.items():
        if part is not None:
            part = as_tensor(part, name)
            if part.shape != shape:
                raise ShapeError(message(f"{name}: {what} must have the shape {shape}", [(what, described(part))],
                                         "as normalized_shape"))
            operands.append(part)
    return operands, len(shape), tuple(p is not None for p in parts.values())


def layer_norm(input: Array, normalized_shape: Any, weight: Array = None, bias: Array = None,
               eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted (Ba et al. 2016)."""
    operands, count, flags = _trailing(input, normalized_shape, {"weight": weight, "bias": bias}, "layer_norm")
    return _layer_norm(*operands, count=count, eps=float(eps), flags=flags)


def rms_norm(input: Array, normalized_shape: Any, weight: Array = None, eps: float | None = None) -> Array:
    """x over the root of its mean square over the last dimensions, then scaled (Zhang and Sennrich 2019)."""
    operands, count, flags = _trailing(input, normalized_shape, {"weight": weight}, "rms_norm")
    dtype = operands[0].dtype
    least = np.finfo(dtype.numpy if dtype.kind == "f" and dtype.name != "bfloat16" else np.float32).eps
    return _rms_norm(*operands, count=count, eps=float(least if eps is None else eps), flags=flags)


def _per_channel(x: Any, parts: dict[str, Any], name: str) -> tuple[list[Any], tuple[bool, ...]]:
    x = as_tensor(x, name)
    if x.ndim < 2:
        raise ShapeError(message(f"{name}: input needs at least two dimensions", [("input", described(x))],
                                 "(batch, channels, ...)"))
    operands = [x]
    for what, part in parts.items():
        if part is None:
            continue
        part = as_tensor(part, name)
        if part.shape != (x.shape[1],):
            raise ShapeError(message(f"{name}: {what} needs one number per channel",
                                     [("input", described(x)), (what, described(part))],
                                     f"the shape must be ({x.shape[1]},)"))
        operands.append(part)
    return operands, tuple(p is not None for p in parts.values())


@_normalisation
def _group_norm(x: Node, *parts: Node, groups: int, eps: float, flags: tuple[bool, ...]) -> Node:
    split = build.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    y = build.reshape(_standardised(split, tuple(range(2, len(split.shape))), eps), x.shape)
    return _affine(y, *_optional(parts, flags), (1,))


def group_norm(input: Array, num_groups: int, weight: Array = None, bias: Array = None, eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 over each group of channels, then scaled and shifted (Wu and He 2018)."""
    operands, flags = _per_channel(input, {"weight": weight, "bias": bias}, "group_norm")
    groups = integer(num_groups, "group_norm", "num_groups")
    if groups < 1 or operands[0].shape[1] % groups:
        raise ShapeError(message("group_norm: num_groups must divide the channels",
                                 [("input", described(operands[0])), ("num_groups", str(groups))],
                                 f"use a divisor of {operands[0].shape[1]}"))
    x = operands[0]
    if x.info.type.size and x.info.type.size == x.shape[0] * groups and x.shape[0] * x.shape[1] == groups:
        raise ValueError_(message("group_norm: needs more than one value per group", [("input", described(x))],
                                  "use fewer groups or a larger input"))
    return _group_norm(*operands, groups=groups, eps=float(eps), flags=flags)


@_normalisation
def _batch_norm_training(x: Node, *parts: Node, eps: float, flags: tuple[bool, ...]) -> tuple[Node, ...]:
    axes = tuple(k for k in range(len(x.shape)) if k != 1)
    mean, variance = mean_of(x, axes), variance_of(x, axes, 0)
    return _affine(_about(x, mean, variance, axes, eps), *_optional(parts, flags), (1,)), mean, variance


@_normalisation
def _batch_norm(x: Node, mean: Node, variance: Node, *parts: Node, eps: float, flags: tuple[bool, ...]) -> Node:
    scale = build.unary("rsqrt", build.add(variance, build.scalar_like(variance, eps)))
    off = build.sub(x, build.broadcast(mean, x.shape, (1,)))
    return _affine(build.mul(off, build.broadcast(scale, x.shape, (1,))), *_optional(parts, flags), (1,))


@operation(promote="dtype", differentiable=False)
def _running(old: Node, new: Node, momentum: Node, factor: float) -> Node:
    share = broadcast_to(momentum, old.shape)
    new = build.mul(new, build.scalar_like(new, factor)) if factor != 1 else new
    return build.add(old, build.mul(share, build.sub(new, old)))


def batch_norm(input: Array, running_mean: Array = None, running_var: Array = None, weight: Array = None,
               bias: Array = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 per channel (dimension 1), then scaled and shifted (Ioffe and Szegedy 2015).

    In training the batch's own mean and variance are used and the running ones, where given, are updated in place.
    """
    if isinstance(input, TensorBase) and input.info.type.shape == (0,):
        return input  # nothing to normalise: PyTorch asks for no channels then
    operands, flags = _per_channel(input, {"weight": weight, "bias": bias}, "batch_norm")
    x = operands[0]
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(message("batch_norm: running_mean and running_var are needed outside training",
                                        [("input", described(x))], "pass them, or training=True"))
        means, _ = _per_channel(x, {"running_mean": running_mean, "running_var": running_var}, "batch_norm")
        return _batch_norm(x, means[1], means[2], *operands[1:], eps=float(eps), flags=flags)
    count = x.info.type.size // max(x.shape[1], 1)
    if count <= 1 and x.info.type.size:
        raise ValueError_(message("batch_norm: training needs more than one value per channel",
                                  [("input", described(x))], "use a larger batch, or training=False"))
    y, mean, variance = _batch_norm_training(*operands, eps=float(eps), flags=flags)
    if x.info.type.size:  # the mean of nothing would stay in the running statistics for ever
        _update_running(running_mean, mean, running_var, variance, momentum, count)
    return y


def _update_running(running_mean: Any, mean: Array, running_var: Any, variance: Array, momentum: Any,
                    count: int) -> None:
    """Move running statistics towards those of `count` values."""
    share = momentum if isinstance(momentum, TensorBase) else float(momentum)
    before, local.grad_enabled = local.grad_enabled, False
    try:
        if isinstance(running_mean, TensorBase):
            running_mean.in_place(_running, mean, share, factor=1.0)
        if isinstance(running_var, TensorBase):
            running_var.in_place(_running, variance, share, factor=count / max(count - 1, 1))
    finally:
        local.grad_enabled = before


@_normalisation
def _instance_norm_training(x: Node, *parts: Node, eps: float, flags: tuple[bool, ...]) -> tuple[Node, ...]:
    """As `_instance_norm`; the means over the batch of the examples' means and variances."""
    axes = tuple(range(2, len(x.shape)))
    mean, variance = (mean_of(part, (0,)) for part in (mean_of(x, axes), variance_of(x, axes, 0)))
    return _affine(_standardised(x, axes, eps), *_optional(parts, flags), (1,)), mean, variance


@_normalisation
def _instance_norm(x: Node, *parts: Node, eps: float, flags: tuple[bool, ...]) -> Node:
    return _affine(_standardised(x, tuple(range(2, len(x.shape))), eps), *_optional(parts, flags), (1,))


def instance_norm(input: Array, running_mean: Array = None, running_var: Array = None, weight: Array = None,
                  bias: Array = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 per channel of each example, then scaled and shifted (Ulyanov et al. 2016)."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    operands, flags = _per_channel(input, {"weight": weight, "bias": bias}, "instance_norm")
    if operands[0].ndim < 3:
        raise ShapeError(message("instance_norm: input needs at least three dimensions",
                                 [("input", described(operands[0]))], "(batch, channels, ...)"))
    x = operands[0]
    count = x.info.type.size // max(x.shape[0] * x.shape[1], 1)
    if count <= 1 and x.info.type.size:
        raise ValueError_(message("instance_norm: needs more than one value per channel", [("input", described(x))],
                                  "use a larger input"))
    if running_mean is None and running_var is None:
        return _instance_norm(*operands, eps=float(eps), flags=flags)
    y, mean, variance = _instance_norm_training(*operands, eps=float(eps), flags=flags)
    if x.info.type.size:
        _update_running(running_mean, mean, running_var, variance, momentum, count)
    return y


@operation(promote="float")
def _response_norm(x: Node, size: int, alpha: float, beta: float, k: float) -> Node:
    squares = build.pad_axis(build.square(x), 1, size // 2, (size - 1) // 2, 0)
    total = build.slice_axis(squares, 1, 0, x.shape[1])
    for shift in range(1, size):
        total = build.add(total, build.slice_axis(squares, 1, shift, shift + x.shape[1]))
    base = build.add(build.mul(total, build.scalar_like(total, alpha / size)), build.scalar_like(total, k))
    return build.div(x, build.binary("pow", base, build.scalar_like(base, beta)))


def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x over (k + alpha * mean of squares of neighbouring channels) ** beta (Krizhevsky et al. 2012)."""
    (x,), _ = _per_channel(input, {}, "local_response_norm")
    count = integer(size, "local_response_norm", "size")
    if count < 1:
        raise ValueError_(message("local_response_norm: size must be at least 1", [("size", str(count))],
                                  "how many neighbouring channels are averaged, for example 5"))
    return _response_norm(x, size=count, alpha=alpha, beta=beta, k=k)


# -- dropout -----------------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _drop(x: Node, keep: Node, chance: Node) -> Node:
    """Kept where that is said, divided by how probable it is; 0 where nothing is kept."""
    x = floating(x)
    chance = build.convert(chance, x.dtype)
    none = build.zeros_like(chance)
    scale = build.select(build.binary("ne", chance, none), build.div(build.ones_like(chance), chance), none)
    mask = build.mul(build.convert(keep, x.dtype), broadcast_to(scale, keep.shape))
    return build.mul(x, broadcast_to(mask, x.shape))


def rate_of(p: Any, name: str, what: str = "p") -> float:
    """A probability to drop."""
    rate = number(p, name, what)
    if not 0 <= rate <= 1:
        raise ValueError_(message(f"{name}: {what} must be from 0 to 1", [(what, str(p))],
                                  f"{what} is the probability to drop an element"))
    return float(rate)


def _dropout(x: Any, p: Any, training: bool, inplace: bool, name: str, lead: int | None) -> Any:
    rate = rate_of(p, name)
    if not training or rate == 0:
        return x
    from pullback.api import random

    x = as_tensor(x, name)
    shape = x.shape if lead is None else (*x.shape[:lead], *(1,) * (x.ndim - lead))
    y = _drop(x, random.kept(shape, rate, x), 1 - rate)
    return x.hold(y, f"{name}_") if inplace else y


def dropout(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Elements set to 0 with probability p, the others scaled by 1 / (1 - p)."""
    return _dropout(input, p, training, inplace, "dropout", None)


def dropout1d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Whole channels of (batch, channels, n) set to 0 with probability p."""
    x = as_tensor(input, "dropout1d")
    return _dropout(x, p, training, inplace, "dropout1d", x.ndim - 1)


def dropout2d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Whole channels of (batch, channels, h, w) set to 0 with probability p."""
    return _dropout(input, p, training, inplace, "dropout2d", 2)


dropout3d = dropout2d


@operation(promote="float")
def _alpha_drop(x: Node, keep: Node, a: Node, b: Node) -> Node:
    saturated = build.scalar_like(x, -1.7580993408473766)
    mixed = build.select(build.binary("ne", keep, build.zeros_like(keep)), x, saturated)
    return build.add(build.mul(mixed, a), b)


def alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """Dropout that keeps mean and variance of self-normalising networks."""
    return _alpha_dropout(input, p, training, inplace, "alpha_dropout", False)


def feature_alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """`alpha_dropout` of whole channels."""
    return _alpha_dropout(input, p, training, inplace, "feature_alpha_dropout", True)


def _alpha_dropout(input: Any, p: Any, training: bool, inplace: bool, name: str, channels: bool) -> Any:
    rate = rate_of(p, name)
    if not training or rate == 0:
        return input
    from pullback.api import random

    x = as_tensor(input, name)
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if channels else x.shape
    low = -1.7580993408473766
    a = 0.0 if rate == 1 else ((1 - rate) * (1 + rate * low**2)) ** -0.5
    y = _alpha_drop(x, random.kept(shape, rate, x), a, -a * low * rate)
    return x.hold(y, f"{name}_") if inplace else y


# -- attention ---------------------------------------------------------------------------------------------------------


@operation()
def _attention(q: Node, k: Node, v: Node, *rest: Node, causal: bool, scale: float, rate: float) -> Node:
    """`rest`: a mask, and where weights are dropped at a rate, a key."""
    count = len(rest) - (rate > 0)
    mask, key = rest[:count], rest[count:]
    if q.dtype.kind == "f":
        return _tiled(q, k, v, mask, key, (causal, scale, rate))
    weights = attention_weights(q, k, mask[0] if mask else None, causal, scale)
    if rate:
        from pullback.ops.attention import dropped  # lazy: few programs attend

        weights = dropped(weights, key[0], rate)
    return product(weights, v, "attention")


def _tiled(q: Node, k: Node, v: Node, mask: tuple[Node, ...], key: tuple[Node, ...],
           how: tuple[bool, float, float]) -> Node:
    """By the primitive that stores no scores; of 16-bit numbers in float32. `how`: causal, scale, rate."""
    from pullback.ops.attention import Attention  # lazy: few programs attend

    first = broadcast_to(q, (*batch_of(q, k, "attention"), *q.shape[-2:]))
    batch = batch_of(first, v, "attention")
    wide = dtypes.float32 if q.dtype.itemsize < 4 else q.dtype
    given = [build.convert(broadcast_to(x, (*batch, *x.shape[-2:])), wide) for x in (q, k, v)]
    if mask:
        added = mask[0]
        if added.dtype.kind == "b":
            zero = build.zeros(added.shape, wide)
            added = build.select(added, zero, build.scalar_like(zero, float("-inf")))
        given.append(broadcast_to(build.convert(added, wide), (*batch, q.shape[-2], k.shape[-2])))
    causal, scale, rate = how
    op = Attention(causal, scale, bool(mask), rate)
    return build.convert(build.project(build.apply(op, *given, *key))[0], q.dtype)


def attention_weights(q: Node, k: Node, mask: Node | None, causal: bool, scale: float) -> Node:
    """softmax(q @ k.T * scale + mask); rows without any allowed key give 0."""
    rank = len(k.shape)
    scores = product(q, build.transpose(k, (*range(rank - 2), rank - 1, rank - 2)), "attention")
    scores = build.mul(scores, build.scalar_like(scores, scale))
    low = build.scalar_like(scores, float("-inf"))
    allowed: Node | None = None
    if causal:
        rows, columns = (build.iota(scores.shape, len(scores.shape) - d, dtypes.int32) for d in (2, 1))
        allowed = build.binary("ge", rows, columns)
    if mask is not None:
        if mask.dtype.kind == "b":
            wide = broadcast_to(mask, scores.shape)
            allowed = wide if allowed is None else build.binary("logical_and", allowed, wide)
        else:
            scores = build.add(scores, broadcast_to(build.convert(mask, scores.dtype), scores.shape))
    if allowed is not None:
        scores = build.select(allowed, scores, low)
    last = len(scores.shape) - 1
    top = build.stop_gradient(build.reduce("max", scores, (last,)))
    if allowed is None and mask is None:
        return softmax_node(scores, last)
    top = build.select(build.binary("gt", top, build.scalar_like(top, float("-inf"))), top, build.zeros_like(top))
    powers = build.exp(build.sub(scores, spread(top, scores, (last,))))
    total = build.reduce("add", powers, (last,))
    empty = build.binary("eq", total, build.zeros_like(total))
    total = build.select(empty, build.ones_like(total), total)
    return build.div(powers, spread(total, scores, (last,)))


def _grouped(q: Array, k: Array, v: Array, apart: bool) -> tuple[Array, Array, Array]:
    """Heads of key and value for each head of the query: repeated or, `apart`, read again by a dimension of groups."""
    heads, few = q.shape[-3], min(k.ndim, v.ndim) > 2 and k.shape[-3] == v.shape[-3] and k.shape[-3]
    if not few or heads % few:
        raise ShapeError(message("attention: enable_gqa needs a multiple of the heads of key and value",
                                 [("query", described(q)), ("key", described(k)), ("value", described(v))],
                                 "query (..., groups * heads, m, d), key and value (..., heads, n, d)"))
    if heads == few:
        return q, k, v
    if apart:
        q = q.reshape((*q.shape[:-3], few, heads // few, *q.shape[-2:]))
        return q, *(x.reshape((*x.shape[:-2], 1, *x.shape[-2:])) for x in (k, v))
    from pullback.api.manipulation import repeat_interleave

    return q, repeat_interleave(k, heads // few, -3), repeat_interleave(v, heads // few, -3)


def _next_key(like: Any) -> Array:
    """A key, also of a generator that draws its numbers itself."""
    from pullback.api import random

    return random.next_key(like=like)


def _lead(*operands: Array) -> tuple[int, ...]:
    """The batch dimensions of query, key and value, broadcast."""
    if len({x.shape[:-2] for x in operands}) == 1:
        return operands[0].shape[:-2]
    try:
        return np.broadcast_shapes(*(x.shape[:-2] for x in operands))
    except ValueError:
        raise ShapeError(message("attention: batch dimensions cannot be broadcast together", [
            (name, described(x)) for name, x in zip(("query", "key", "value"), operands, strict=True)],
            "sizes must be equal or 1")) from None


def _checked_mask(mask: Array, scores: tuple[int, ...]) -> Array:
    """A mask that can be broadcast to the shape of the scores."""
    if mask.info.type.dtype.kind in "iu":
        raise DTypeError(message("attention: a mask is bool (True: may be used) or floating point (added)",
                                 [("attn_mask", described(mask))], "attn_mask.bool()"))
    ends = scores[len(scores) - mask.ndim:]
    if mask.ndim > len(scores) or any(n not in (1, m) for n, m in zip(mask.shape, ends, strict=True)):
        raise ShapeError(message("attention: the mask has more dimensions than query and key, or other sizes",
                                 [("attn_mask", described(mask)), ("scores", str(scores))],
                                 "(..., queries, keys), or what broadcasts to it"))
    return mask


def scaled_dot_product_attention(query: Array, key: Array, value: Array, attn_mask: Array = None,
                                 dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Array:
    """softmax(query @ key.mT * scale + mask) @ value (Vaswani et al. 2017); scale is 1 / sqrt(features) by default.

    `attn_mask` is added, or, if bool, says which keys may be used. `enable_gqa` repeats heads of key and value.
    `dropout_p`: weights are dropped with that probability, the others scaled by 1 / (1 - dropout_p); the bits are those
    of a key that the generator gives, wherever a weight is computed. No weights are stored.
    """
    name = "attention"
    q, k, v = (as_tensor(t, name) for t in (query, key, value))
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(message("attention: shapes do not fit",
                                 [("query", described(q)), ("key", described(k)), ("value", described(v))],
                                 "query (..., m, d), key (..., n, d), value (..., n, e)"))
    if not q.info.type.dtype.is_inexact:
        raise DTypeError(message("attention: query, key and value must be floating point", [("query", described(q))],
                                 "convert them: query.float()"))
    shape = q.shape
    if enable_gqa and q.ndim > 2:
        q, k, v = _grouped(q, k, v, attn_mask is None)
    factor = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else number(scale, name, "scale")
    operands = [q, k, v]
    if attn_mask is not None:
        operands.append(_checked_mask(as_tensor(attn_mask, name), (*_lead(q, k, v), q.shape[-2], k.shape[-2])))
    rate = rate_of(dropout_p, name, "dropout_p")
    if 0 < rate < 1:
        operands.append(_next_key(q))
    found = _attention(*operands, causal=bool(is_causal), scale=float(factor), rate=rate if rate < 1 else 0.0)
    found = found if q.ndim == len(shape) else found.reshape((*shape[:-1], v.shape[-1]))
    return found if rate < 1 else found * 0


@operation()
def _weights(q: Node, k: Node, *mask: Node, causal: bool, scale: float) -> Node:
    return attention_weights(q, k, mask[0] if mask else None, causal, scale)


weights_operation = _weights

"""Losses over sequences and over several labels, under PyTorch's names with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.activations import log_softmax_node
from pullback.api.arguments import as_tensor, described
from pullback.api.layers import linear
from pullback.api.losses import checked_reduction, cross_entropy, pairwise_distance, reduced, reduction_of
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import local
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops import matrix
from pullback.ops.indexing import located
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any
_LOW = -1e30  # stands for log 0: differences of it are 0, not NaN


def _reduced(x: Array, reduction: str) -> Array:
    return x.mean() if reduction == "mean" else x.sum() if reduction == "sum" else x


# -- connectionist temporal classification -----------------------------------------------------------------------------


def _log_sum(parts: list[Node]) -> Node:
    """log(sum(exp)) of nodes that may be `_LOW`."""
    top = parts[0]
    for x in parts[1:]:
        top = build.maximum(top, x)
    top = build.stop_gradient(top)
    total = build.exp(build.sub(parts[0], top))
    for x in parts[1:]:
        total = build.add(total, build.exp(build.sub(x, top)))
    return build.add(top, build.log(total))


def _moved(x: Node, by: int) -> Node:
    """x one or two labels later."""
    return build.pad_axis(build.slice_axis(x, 1, 0, x.shape[1] - by), 1, by, 0, _LOW)


def _ctc_sums(logs: Node, labels: Node, steps: Node, sizes: Node, blank: int) -> Node:
    """[batch, 2 S + 1]: the log of the probability of all ways to be at a label after the last step."""
    batch, many = labels.shape[0], 2 * labels.shape[1] + 1
    position = build.iota((batch, many), 1, dtypes.int32)
    odd = build.binary("eq", build.binary("bitwise_and", position, build.ones_like(position)),
                       build.ones_like(position))
    if many > 1:
        half = build.binary("floor_divide", position, build.scalar_like(position, 2))
        own = build.take_along(labels, build.minimum(half, build.scalar_like(half, labels.shape[1] - 1)), 1)
    else:
        own = build.full((batch, many), blank, labels.dtype)
    inside = build.binary("lt", position, build.mul(build.broadcast(build.convert(sizes, dtypes.int32), (batch, many),
                                                                    (0,)), build.scalar_like(position, 2)))
    own = matrix.where(build.binary("logical_and", odd, inside), own, blank)
    before = build.pad_axis(build.slice_axis(own, 1, 0, many - 2), 1, 2, 0, blank) if many > 2 else own
    skips = build.binary("logical_and", odd, build.binary("ne", own, before))
    count = logs.shape[0]
    seen = build.take_along(logs, build.broadcast(own, (count, batch, many), (1, 2)), 2,
                            located("positive", "ctc_loss"))
    zero = build.zeros((batch, many), logs.dtype)
    start = matrix.where(build.binary("le", position, build.zeros_like(position)), zero, _LOW)

    def turn(step: Node, skips: Node, steps: Node, sums: Node, here: Node) -> list[Node]:
        at_first = build.broadcast(build.binary("eq", step, build.zeros_like(step)), sums.shape, ())
        ways = [sums]
        if many > 1:
            ways.append(_moved(sums, 1))
        if many > 2:
            ways.append(matrix.where(skips, matrix.where(at_first, build.scalar_like(sums, _LOW), _moved(sums, 2)),
                                     _LOW))
        new = build.add(_log_sum(ways), here)
        on = build.binary("gt", steps, build.broadcast(build.convert(step, steps.dtype), steps.shape, ()))
        new = build.maximum(new, build.scalar_like(new, _LOW))
        return [build.select(build.broadcast(on, sums.shape, (0,)), new, sums)]

    return matrix.loop(turn, count, [start], [seen], [skips, steps])[0] if count else start


@operation(promote="exact")
def _ctc(logs: Node, labels: Node, steps: Node, sizes: Node, blank: int, zero_infinity: bool) -> Node:
    sums = _ctc_sums(logs, labels, steps, sizes, blank)
    last = build.mul(sizes, build.scalar_like(sizes, 2))
    ends = [build.take_along(sums, build.expand_dims(at, (1,)), 1)
            for at in (last, build.maximum(build.sub(last, build.ones_like(last)), build.zeros_like(last)))]
    low = build.full(ends[1].shape, _LOW, logs.dtype)
    none = build.expand_dims(build.binary("eq", sizes, build.zeros_like(sizes)), (1,))
    ends[1] = build.select(none, low, ends[1])
    found = build.neg(build.squeeze(_log_sum(ends), (1,)))
    never = build.binary("gt", found, build.scalar_like(found, -_LOW / 2))
    return matrix.where(never, build.scalar_like(found, 0.0 if zero_infinity else float("inf")), found)


@operation(differentiable=False)
def _within(lengths: Node, limit: int, name: str) -> Node:
    """Lengths as they are; those that are not from 0 to the limit are out of range."""
    return build.gather(build.iota((limit + 1,), 0, dtypes.int32), lengths, 0,
                        located("positive", f"ctc_loss: {name}"))


def _lengths(given: Any, like: Array, batch: int, limit: int, name: str) -> Array:
    if not isinstance(given, TensorBase):
        host = np.asarray(given)
        if host.shape != (batch,) or (batch and host.dtype.kind not in "iu") or host.min(initial=0) < 0 or (
                host.max(initial=0) > limit):
            raise ValueError_(message(f"ctc_loss: {name} must be {batch} integers from 0 to {limit}",
                                      [(name, f"{given!r:.60}")], "one length for each sequence"))
        return like.result_class(from_host(host, dtypes.int32)._use())
    if tuple(given.shape) != (batch,):
        raise ShapeError(message(f"ctc_loss: {name} must have the shape ({batch},)", [(name, described(given))],
                                 "one length for each sequence"))
    return _within(given, limit=limit, name=name)


def ctc_loss(log_probs: Array, targets: Array, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Array:
    """Connectionist temporal classification (Graves et al. 2006): log_probs is [steps, batch, classes]; targets is
    [batch, S], or all one after the other. "mean" divides each loss by its target's length first."""
    reduction = checked_reduction(reduction, "ctc_loss")
    logs, labels = as_tensor(log_probs, "ctc_loss"), as_tensor(targets, "ctc_loss")
    single = logs.ndim == 2
    if single:
        logs, labels = logs[:, None], labels[None]
        input_lengths, target_lengths = ([int(v)] for v in (input_lengths, target_lengths))
    if logs.ndim != 3 or not 0 <= blank < logs.shape[2]:
        raise ShapeError(message("ctc_loss: log_probs must be (steps, batch, classes), blank one of the classes",
                                 [("log_probs", described(log_probs)), ("blank", repr(blank))],
                                 "F.log_softmax(x, dim=2), blank=0"))
    batch = logs.shape[1]
    if labels.ndim == 1:
        labels = _apart(labels, target_lengths)
    if labels.ndim != 2 or labels.shape[0] != batch:
        raise ShapeError(message("ctc_loss: targets do not fit", [("targets", described(targets))],
                                 f"({batch}, longest target)"))
    steps = _lengths(input_lengths, logs, batch, logs.shape[0], "input_lengths")
    sizes = _lengths(target_lengths, logs, batch, labels.shape[1], "target_lengths")
    found = _ctc(logs, labels, steps, sizes, blank=int(blank), zero_infinity=bool(zero_infinity))
    if reduction == "mean":
        from pullback.api.elementwise import astype, clip

        found = found / astype(clip(sizes, 1, None), found.info.type.dtype)
    found = _reduced(found, reduction)
    return found[0] if single and reduction == "none" else found


def _apart(labels: Array, lengths: Any) -> Array:
    """Targets one after the other as [batch, longest]; where lengths are not known yet, any may be as long as all."""
    if isinstance(lengths, TensorBase) and local.trace.kind != "main":
        return _apart_later(labels, lengths)
    sizes = np.asarray(lengths.numpy() if isinstance(lengths, TensorBase) else lengths)
    if int(sizes.sum()) != labels.shape[0]:
        raise ShapeError(message("ctc_loss: target_lengths must sum to the number of targets",
                                 [("targets", described(labels)), ("target_lengths", f"{sizes.tolist()!r:.60}")],
                                 "targets of all sequences one after the other, or (batch, longest)"))
    starts = np.cumsum(sizes) - sizes
    places = starts[:, None] + np.minimum(np.arange(max(int(sizes.max(initial=0)), 0))[None, :],
                                          np.maximum(sizes - 1, 0)[:, None])
    return labels[from_host(np.minimum(places, max(labels.shape[0] - 1, 0)), dtypes.int64)]


def _apart_later(labels: Array, lengths: Array) -> Array:
    from pullback.api.elementwise import clip, minimum
    from pullback.api.reductions import cumsum

    total = labels.shape[0]
    sizes = lengths.astype(dtypes.int32)
    within = minimum(from_host(np.arange(total), dtypes.int32)[None, :], clip(sizes - 1, 0, None)[:, None])
    return labels[clip((cumsum(sizes, 0) - sizes)[:, None] + within, 0, max(total - 1, 0))]


# -- several labels ----------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _multilabel_margin(x: Node, target: Node, reduction: str) -> Node:
    """Targets end at the first -1."""
    classes = x.shape[1]
    wrong = build.binary("lt", target, build.zeros_like(target))
    ended = build.cumulative("max", build.convert(wrong, dtypes.int32), 1)
    on = build.binary("eq", ended, build.zeros_like(ended))
    refused = build.binary("lt", target, build.scalar_like(target, -1))
    at = matrix.where(build.binary("logical_or", on, refused), target, 0)
    flags = build.zeros(x.shape, dtypes.int32)
    flags = build.put_along(flags, at, build.convert(on, dtypes.int32), 1, "max",
                            located("positive", "multilabel_margin_loss"))
    scores = build.take_along(x, at, 1)
    shape = (*x.shape, classes)  # example, target, class
    gap = build.sub(build.full(shape, 1, x.dtype), build.sub(build.broadcast(scores, shape, (0, 1)),
                                                             build.broadcast(x, shape, (0, 2))))
    counts = build.binary("logical_and", build.broadcast(on, shape, (0, 1)),
                          build.broadcast(build.binary("eq", flags, build.zeros_like(flags)), shape, (0, 2)))
    kept = build.binary("logical_and", counts, build.binary("gt", gap, build.zeros_like(gap)))
    total = build.reduce("add", matrix.where(kept, gap, 0), (1, 2))
    return reduced(build.div(total, build.scalar_like(total, classes)), reduction)


def multilabel_margin_loss(input: Array, target: Array, size_average: Any = None, reduce: Any = None,
                           reduction: str = "mean") -> Array:
    """The mean over classes of max(0, 1 - (x[target] - x[other])); targets are class numbers up to the first -1."""
    x, y = as_tensor(input, "multilabel_margin_loss"), as_tensor(target, "multilabel_margin_loss")
    if x.shape != y.shape or x.ndim not in (1, 2):
        raise ShapeError(message("multilabel_margin_loss: input and target must have equal shapes",
                                 [("input", described(x)), ("target", described(y))], "(batch, classes)"))
    single = x.ndim == 1
    reduction = checked_reduction(reduction_of(size_average, reduce, reduction), "multilabel_margin_loss")
    found = _multilabel_margin(x[None] if single else x, y[None] if single else y, reduction=reduction)
    return found[0] if single and reduction == "none" else found


def multilabel_soft_margin_loss(input: Array, target: Array, weight: Array = None, size_average: Any = None,
                                reduce: Any = None, reduction: str = "mean") -> Array:
    """The mean over classes of the binary cross entropy with logits."""
    from pullback.api.losses import binary_cross_entropy_with_logits

    reduction = checked_reduction(reduction_of(size_average, reduce, reduction), "multilabel_soft_margin_loss")
    each = binary_cross_entropy_with_logits(input, target, reduction="none")
    each = each if weight is None else each * weight
    return _reduced(each.mean(-1), reduction)


def triplet_margin_with_distance_loss(anchor: Array, positive: Array, negative: Array, *,
                                      distance_function: Callable[[Array, Array], Array] | None = None,
                                      margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Array:
    """max(0, distance to the positive - distance to the negative + margin), for any distance."""
    from pullback.api.elementwise import clip, minimum

    reduction = checked_reduction(reduction, "triplet_margin_with_distance_loss")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced(clip(margin + near - far, 0, None), reduction)


# -- samples of distributions ------------------------------------------------------------------------------------------


@operation()
def _softened(x: Node, noise: Node, tau: Node, axis: int, hard: bool) -> Node:
    scores = build.div(build.add(x, build.convert(noise, x.dtype)), build.broadcast(build.convert(tau, x.dtype),
                                                                                     x.shape, ()))
    soft = build.exp(log_softmax_node(scores, axis))
    if not hard:
        return soft
    best = build.arg_reduce("max", soft, axis)
    dims = tuple(k for k in range(len(x.shape)) if k != axis)
    chosen = build.binary("eq", build.iota(x.shape, axis, dtypes.int32), build.broadcast(best, x.shape, dims))
    return build.add(build.stop_gradient(build.sub(build.convert(chosen, x.dtype), soft)), soft)


def gumbel_softmax(logits: Array, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Array:
    """A sample of the Gumbel-softmax distribution (Jang et al. 2016); `hard` gives one class, with its gradient."""
    from pullback.api.arguments import axis_of
    from pullback.api.elementwise import clip, log
    from pullback.api.random import exponentials

    x = as_tensor(logits, "gumbel_softmax")
    noise = -log(clip(exponentials(tuple(x.shape), x), 1e-38, None))
    return _softened(x, noise, float(tau), axis=axis_of(dim, x.ndim, "gumbel_softmax", x), hard=bool(hard))


__all__ = ["ctc_loss", "gumbel_softmax", "multilabel_margin_loss", "multilabel_soft_margin_loss",
           "triplet_margin_with_distance_loss"]


# -- a layer of scores and its loss ------------------------------------------------------------------------------------


def linear_cross_entropy(input: Array, linear_weight: Array, target: Array, *, linear_bias: Array | None = None,
                         weight: Array | None = None, reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options: Any = None) -> Array:
    """The cross entropy of the scores that a linear layer, (classes, ..., features), gives inputs (batch, features) or
    one of (features,). `options` say how PyTorch cuts the batch up; the value does not depend on them.

    >>> import pullback as pb
    >>> pb.nn.functional.linear_cross_entropy(pb.zeros(2, 3), pb.ones((4, 3)), pb.tensor([0, 3]))
    Tensor(1.3862944, dtype=float32)
    """
    x, w, y = (as_tensor(v, "linear_cross_entropy") for v in (input, linear_weight, target))
    shape = _scores_shape(x, w, linear_bias)
    if ignore_index is not None and tuple(y.shape) == shape:
        raise ValueError_(message("linear_cross_entropy: ignore_index cannot be specified when target contains "
                                  "probabilities", [("ignore_index", str(ignore_index)), ("target", described(y))],
                                  "give classes, or a weight of 0 to the class"))
    bias = None if linear_bias is None else as_tensor(linear_bias, "linear_cross_entropy").reshape(-1)
    scores = linear(x, w.reshape(-1, w.shape[-1]), bias).reshape(shape)
    return cross_entropy(scores, y, weight, -100 if ignore_index is None else ignore_index, reduction, label_smoothing)


def _scores_shape(x: Any, w: Any, bias: Any) -> tuple[int, ...]:
    """The shape of scores: (batch, classes, ...)."""
    operands = [("input", described(x)), ("linear_weight", described(w))]
    if x.ndim not in (1, 2) or w.ndim < 2 or (x.ndim == 1 and w.ndim > 2):
        raise ShapeError(message("linear_cross_entropy: expected input with dimensionality 1 or 2, linear_weight with "
                                 "at least 2, and batched input for more", operands,
                                 "input (batch, features), linear_weight (classes, features)"))
    if x.shape[-1] != w.shape[-1]:
        raise ShapeError(message("linear_cross_entropy: expected equal input and linear_weight last dimensions "
                                 "(in_features)", operands, "did you mean linear_weight.T?"))
    outer = tuple(w.shape[:-1])
    if bias is not None and tuple(bias.shape) != outer:
        raise ShapeError(message(f"linear_cross_entropy: expected linear_bias shape {outer}",
                                 [*operands, ("linear_bias", described(bias))]))
    return (*x.shape[:-1], *outer)

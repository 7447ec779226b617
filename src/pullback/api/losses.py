"""Losses, under PyTorch's names with its defaults. Each records as one step. Shapes that differ are an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pullback.api._lazy import build
from pullback.api.activations import log_softmax_node, softplus_node
from pullback.api.arguments import as_tensor, described, integer, number, one_of
from pullback.api.elementwise import astype
from pullback.api.linear_algebra import norm_nodes
from pullback.api.reductions import floating
from pullback.engine.operation import Operation, operation
from pullback.engine.precision import in_single, is_narrow
from pullback.engine.trace import Operand, thread
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops.control import with_rule
from pullback.ops.indexing import located
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any
_REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Node, reduction: str) -> Node:
    """The mean or the sum of all, or each."""
    if reduction == "none":
        return losses
    total = build.reduce("add", losses, tuple(range(len(losses.shape))))
    return build.div(total, build.scalar_like(total, losses.tensor.size)) if reduction == "mean" else total


def _same_shapes(input: Any, target: Any, name: str) -> tuple[Any, Any]:
    x, y = as_tensor(input, name), as_tensor(target, name)
    if x.shape != y.shape:
        cure = "reshape one of them: broadcasting here is almost always a mistake"
        if x.info.type.size == y.info.type.size:
            cure = "did you mean target.reshape(input.shape)? Broadcasting would compare every pair"
        raise ShapeError(message(f"{name}: input and target must have equal shapes",
                                 [("input", described(x)), ("target", described(y))], cure))
    return x, y


def _differences(input: Any, target: Any, name: str) -> tuple[Any, Any]:
    """Two tensors of equal shapes, one of them at least of floating-point numbers."""
    x, y = _same_shapes(input, target, name)
    if not (x.info.type.dtype.is_inexact or y.info.type.dtype.is_inexact):
        raise DTypeError(message(f"{name}: not implemented for whole numbers",
                                 [("input", described(x)), ("target", described(y))],
                                 "convert one of them to floating-point numbers, for example with .float()"))
    return x, y


def checked_reduction(reduction: Any, name: str) -> str:
    """One of the three reductions."""
    return one_of(reduction, _REDUCTIONS, name, "reduction")


def reduction_of(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that is meant, where one was given as PyTorch's first losses took it: `reduce=False` is "none",
    `size_average=False` is "sum"; a flag that is None is True. Without either flag it is the one that is named."""
    if size_average is None and reduce is None:
        return "mean" if reduction == "elementwise_mean" else reduction
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def _like(x: Node, value: float) -> Node:
    return build.scalar_like(x, value)


def _times(x: Node, value: float) -> Node:
    return build.mul(x, _like(x, value))


# -- regression --------------------------------------------------------------------------------------------------------


@operation(promote="float")
def _mse(x: Node, y: Node, reduction: str) -> Node:
    return reduced(build.square(build.sub(x, y)), reduction)


@operation(promote="float")
def _l1(x: Node, y: Node, reduction: str) -> Node:
    return reduced(build.unary("abs", build.sub(x, y)), reduction)


@operation(promote="broadcast", name="l1")
def _l1_whole(x: Node, y: Node, reduction: str) -> Node:
    """Of whole numbers: no mean, and sums in 64 bits."""
    each = build.unary("abs", build.sub(x, y))
    return each if reduction == "none" else reduced(build.convert(each, dtypes.int64), reduction)


@operation(promote="float")
def _huber(x: Node, y: Node, delta: float, scale: float, reduction: str) -> Node:
    off = build.sub(x, y)
    size = build.unary("abs", off)
    near = build.binary("lt", size, _like(size, delta))
    inner = _times(build.square(build.select(near, off, build.zeros_like(off))), 0.5)  # infinity has no slope there
    outer = _times(build.sub(size, _like(size, 0.5 * delta)), delta)
    return reduced(_times(build.select(near, inner, outer), scale), reduction)


@operation(promote="float")
def _weigh(losses: Node, weight: Node, reduction: str, by_weight: bool) -> Node:
    weighted = build.mul(losses, weight)
    if reduction != "mean" or not by_weight:
        return reduced(weighted, reduction)
    every = tuple(range(len(losses.shape)))
    return build.div(build.reduce("add", weighted, every), build.reduce("add", weight, every))


def _weighted(losses: Array, weight: Array, name: str, reduction: str, by_weight: bool) -> Array:
    """Losses times weights; their mean is over the sum of the weights, or over the number of elements."""
    w = as_tensor(weight, name)
    if w.shape != losses.shape:
        raise ShapeError(message(f"{name}: weight and input must have equal shapes",
                                 [("input", described(losses)), ("weight", described(w))], "one weight per element"))
    return _weigh(losses, w, reduction=checked_reduction(reduction, name), by_weight=by_weight)


def mse_loss(input: Array, target: Array, reduction: str = "mean", weight: Array = None) -> Array:
    """The mean (or sum) of squared differences, each times its weight. Shapes must be equal.

    >>> import pullback as pb
    >>> pb.nn.functional.mse_loss(pb.tensor([1.0, 2.0]), pb.tensor([1.0, 4.0]))
    Tensor(2., dtype=float32)
    """
    if weight is not None:
        x, y = _same_shapes(input, target, "mse_loss")
        return _weighted(_mse(x, y, reduction="none"), weight, "mse_loss", reduction, True)
    x, y = _differences(input, target, "mse_loss")
    return _mse(x, y, reduction=checked_reduction(reduction, "mse_loss"))


def l1_loss(input: Array, target: Array, reduction: str = "mean", weight: Array = None) -> Array:
    """The mean (or sum) of absolute differences, each times its weight."""
    x, y = _same_shapes(input, target, "l1_loss")
    if weight is not None:
        return _weighted(_l1(x, y, reduction="none"), weight, "l1_loss", reduction, True)
    if not (x.info.type.dtype.is_inexact or y.info.type.dtype.is_inexact) and reduction in ("sum", "none"):
        return _l1_whole(x, y, reduction=reduction)
    _differences(x, y, "l1_loss")
    return _l1(x, y, reduction=checked_reduction(reduction, "l1_loss"))


def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0,
               weight: Array = None) -> Array:
    """Half the squared difference below delta, linear above, each times its weight; in the dtype of the input."""
    x, y = _differences(input, target, "huber_loss")
    if not x.info.type.dtype.is_inexact:
        raise DTypeError(message("huber_loss: the result has the input's dtype, so that must be floating point",
                                 [("input", described(x)), ("target", described(y))], "convert it: input.float()"))
    limit = number(delta, "huber_loss", "delta")
    if limit <= 0:
        raise ValueError_(message("huber_loss: delta must be positive", [("delta", str(delta))], "use 1.0"))
    if weight is not None:
        each = _huber(x, y, delta=limit, scale=1.0, reduction="none")
        return _weighted(each, weight, "huber_loss", reduction, False)
    found = _huber(x, y, delta=limit, scale=1.0, reduction=checked_reduction(reduction, "huber_loss"))
    kinds = x.info.type.dtype, y.info.type.dtype
    mixed = kinds[0] is not kinds[1] and thread.context.precision is None  # autocast has made float32 of both
    return astype(found, kinds[0]) if mixed else found


def smooth_l1_loss(input: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """Half the squared difference over beta below beta, the absolute difference less beta / 2 above."""
    limit = number(beta, "smooth_l1_loss", "beta")
    if limit < 0:
        raise ValueError_(message("smooth_l1_loss: beta cannot be negative", [("beta", str(beta))], "use 1.0"))
    if limit == 0:
        return l1_loss(input, target, reduction)
    x, y = _differences(input, target, "smooth_l1_loss")
    return _huber(x, y, delta=limit, scale=1 / limit, reduction=checked_reduction(reduction, "smooth_l1_loss"))


@operation(promote="float")
def _poisson(x: Node, y: Node, log_input: bool, full: bool, eps: float, reduction: str) -> Node:
    losses = build.sub(build.exp(x), build.mul(y, x)) if log_input else \
        build.sub(x, build.mul(y, build.log(build.add(x, _like(x, eps)))))
    if full:
        safe = build.select(build.binary("gt", y, _like(y, 1)), y, build.ones_like(y))
        stirling = build.add(build.sub(build.mul(safe, build.log(safe)), safe),
                             _times(build.log(_times(safe, 2 * math.pi)), 0.5))
        losses = build.add(losses, build.select(build.binary("gt", y, _like(y, 1)), stirling, build.zeros_like(y)))
    return reduced(losses, reduction)


def poisson_nll_loss(input: Array, target: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8,
                     reduction: str = "mean") -> Array:
    """The negative log-likelihood of counts under a Poisson distribution, up to a constant unless `full`."""
    x, y = _same_shapes(input, target, "poisson_nll_loss")
    return _poisson(x, y, log_input=bool(log_input), full=bool(full), eps=eps,
                    reduction=checked_reduction(reduction, "poisson_nll_loss"))


@operation(promote="float")
def _gaussian(x: Node, y: Node, variance: Node, full: bool, eps: float, reduction: str) -> Node:
    from pullback.api.decompositions import require  # lazy: decompositions are many files

    variance = require(variance, build.binary("lt", variance, build.zeros_like(variance)), "gaussian_nll_loss")
    limit = _like(variance, eps)
    held = build.add(variance, build.stop_gradient(build.sub(build.maximum(variance, limit), variance)))
    losses = _times(build.add(build.log(held), build.div(build.square(build.sub(x, y)), held)), 0.5)
    if full:
        losses = build.add(losses, _like(losses, 0.5 * math.log(2 * math.pi)))
    return reduced(losses, reduction)


def gaussian_nll_loss(input: Array, target: Array, var: Array, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Array:
    """The negative log-likelihood under normal distributions with variances `var`, up to a constant unless `full`."""
    x, y = _same_shapes(input, target, "gaussian_nll_loss")
    v = as_tensor(var, "gaussian_nll_loss")
    if v.ndim == x.ndim - 1 and v.shape == x.shape[:-1]:
        v = v[..., None]
    if v.ndim > x.ndim or any(n not in (1, m) for n, m in zip(v.shape[::-1], x.shape[::-1], strict=False)):
        raise ShapeError(message("gaussian_nll_loss: var does not fit the input",
                                 [("input", described(x)), ("var", described(v))],
                                 "one variance per element, or per row"))
    return _gaussian(x, y, v, full=bool(full), eps=eps, reduction=checked_reduction(reduction, "gaussian_nll_loss"))


# -- classification ----------------------------------------------------------------------------------------------------


class _ClassLoss(Operation):
    """Scores and weights share one floating dtype; the target keeps its own."""

    __slots__ = ()

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        x = floating(operands[0].node)
        rest = [o.node if o.node.dtype.is_integer else build.convert(o.node, x.dtype) for o in operands[1:]]
        found = (self.define(x, *rest),)
        return in_single(self.define, [x, *rest], found) if is_narrow(x) else found, ""


def _pick(scores: Node, target: Node, mode: str) -> Node:
    """scores[n, target[n, ...], ...]: the score of the class of each element, classes along dimension 1."""
    lined = build.reshape(target, (target.shape[0], 1, *target.shape[1:]))
    return build.reshape(build.take_along(scores, lined, 1, mode), target.shape)


def _nll_node(scores: Node, target: Node, weight: Node | None, ignore: int, reduction: str, mode: str) -> Node:
    skipped = build.binary("eq", target, _like(target, ignore))
    safe = build.select(skipped, build.zeros_like(target), target)
    picked = build.neg(_pick(scores, safe, mode))
    share = build.gather(weight, safe, 0, "clip") if weight is not None else build.ones_like(picked)
    share = build.select(skipped, build.zeros_like(share), share)
    losses = build.select(skipped, build.zeros_like(picked), build.mul(picked, share) if weight is not None else picked)
    if reduction != "mean":
        return reduced(losses, reduction)
    every = tuple(range(len(losses.shape)))
    return build.div(build.reduce("add", losses, every), build.reduce("add", share, every))


def _define_nll(x: Node, target: Node, *weight: Node, ignore: int, reduction: str, mode: str, single: bool) -> Node:
    scores, at = (build.expand_dims(v, (0,)) for v in (x, target)) if single else (x, target)
    losses = _nll_node(scores, at, weight[0] if weight else None, ignore, reduction, located(mode, "nll_loss"))
    return build.reshape(losses, ()) if single else losses


def _define_cross_entropy(x: Node, target: Node, *weight: Node, ignore: int, reduction: str, smoothing: float,
                          mode: str, single: bool) -> Node:
    scores, at = (build.expand_dims(v, (0,)) for v in (x, target)) if single else (x, target)
    found = _cross_entropy_nodes(log_softmax_node(scores, 1), at, weight[0] if weight else None, ignore, reduction,
                                 smoothing, located(mode, "cross_entropy"))
    return build.reshape(found, ()) if single else found


def _cross_entropy_nodes(logs: Node, target: Node, weight: Node | None, ignore: int, reduction: str, smoothing: float,
                         mode: str) -> Node:
    if not target.dtype.is_integer:
        return _soft_targets(logs, target, weight, reduction, smoothing)
    hard = _nll_node(logs, target, weight, ignore, reduction, mode)
    if not smoothing:
        return hard
    classes = logs.shape[1]
    weighted = build.mul(logs, build.broadcast(weight, logs.shape, (1,))) if weight is not None else logs
    even = build.neg(build.reduce("add", weighted, (1,)))
    skipped = build.binary("eq", target, _like(target, ignore))
    even = build.select(skipped, build.zeros_like(even), even)
    if reduction == "mean":
        safe = build.select(skipped, build.zeros_like(target), target)
        share = build.gather(weight, safe, 0, "clip") if weight is not None else build.ones_like(even)
        share = build.select(skipped, build.zeros_like(share), share)
        every = tuple(range(len(even.shape)))
        even = build.div(build.reduce("add", even, every), build.reduce("add", share, every))
    else:
        even = reduced(even, reduction)
    return build.add(_times(hard, 1 - smoothing), _times(even, smoothing / classes))


def _soft_targets(logs: Node, target: Node, weight: Node | None, reduction: str, smoothing: float) -> Node:
    if smoothing:
        target = build.add(_times(target, 1 - smoothing), _like(target, smoothing / logs.shape[1]))
    parts = build.mul(logs, target)
    if weight is not None:
        parts = build.mul(parts, build.broadcast(weight, parts.shape, (1,)))
    losses = build.neg(build.reduce("add", parts, (1,)))
    return reduced(losses, reduction)


_nll = _ClassLoss(_define_nll, "class", True, False, "nll_loss")
_cross_entropy = _ClassLoss(_define_cross_entropy, "class", True, False, "cross_entropy")


def _classes(input: Any, target: Any, weight: Any, name: str, soft: bool) -> tuple[list[Any], bool]:
    x = as_tensor(input, name)
    if not x.ndim:
        raise ShapeError(message(f"{name}: input needs a dimension of classes", [("input", described(x))],
                                 "(batch, classes, ...)"))
    single = x.ndim == 1
    classes = x.shape[0 if single else 1]
    y = as_tensor(target, name)
    if soft and y.info.type.dtype.kind == "f" and y.shape == x.shape:
        operands = [x, y]
    else:
        wanted = () if single else (x.shape[0], *x.shape[2:])
        if not y.info.type.dtype.is_integer:
            raise DTypeError(message(f"{name}: target must be integer classes"
                                     + (" or probabilities of the input's shape" if soft else ""),
                                     [("input", described(x)), ("target", described(y))],
                                     "convert classes with target.long()"))
        if y.shape != wanted:
            raise ShapeError(message(f"{name}: target must have the shape {wanted}",
                                     [("input", described(x)), ("target", described(y))],
                                     "input is (batch, classes, ...), target (batch, ...)" +
                                     (": did you mean target.squeeze()?" if 1 in y.shape else "")))
        operands = [x, y]
    if weight is not None:
        w = as_tensor(weight, name)
        if w.shape != (classes,):
            raise ShapeError(message(f"{name}: needs one weight per class",
                                     [("input", described(x)), ("weight", described(w))],
                                     f"weight of shape ({classes},)"))
        operands.append(w)
    return operands, single


def _ignored(index: Any, name: str) -> int:
    return index if type(index) is int else integer(index, name, "ignore_index")


def nll_loss(input: Array, target: Array, weight: Array = None, ignore_index: int = -100,
             reduction: str = "mean") -> Array:
    """Minus the log-probability of the target classes; input (batch, classes, ...) holds log-probabilities."""
    operands, single = _classes(input, target, weight, "nll_loss", False)
    return _nll(*operands, ignore=_ignored(ignore_index, "nll_loss"), mode="positive", single=single,
                reduction=checked_reduction(reduction, "nll_loss"))


def cross_entropy(input: Array, target: Array, weight: Array = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Array:
    """Minus the log-softmax of the target classes; input (batch, classes, ...) holds scores (Bishop 2006, 4.3.4).

    `target` is integer classes (batch, ...), or probabilities of the input's shape.

    >>> import pullback as pb
    >>> pb.nn.functional.cross_entropy(pb.zeros(2, 4), pb.tensor([0, 3]))
    Tensor(1.3862944, dtype=float32)
    """
    operands, single = _classes(input, target, weight, "cross_entropy", True)
    if _ignored(ignore_index, "cross_entropy") >= 0 and not operands[1].info.type.dtype.is_integer:
        raise ValueError_(message("cross_entropy: no class is ignored where the targets are probabilities",
                                  [("ignore_index", str(ignore_index)), ("target", described(operands[1]))],
                                  "give classes, or a weight of 0 to the class"))
    smoothing = number(label_smoothing, "cross_entropy", "label_smoothing")
    if not 0 <= smoothing <= 1:
        raise ValueError_(message("cross_entropy: label_smoothing must be from 0 to 1",
                                  [("label_smoothing", str(smoothing))], "use 0.1"))
    return _cross_entropy(*operands, ignore=_ignored(ignore_index, "cross_entropy"), smoothing=smoothing,
                          reduction=checked_reduction(reduction, "cross_entropy"), mode="positive", single=single)


#: least logarithm of a probability, and least product of one and its complement in a derivative: PyTorch's
_LEAST_LOG, _LEAST_SPREAD = -100.0, 1e-12


def _held_logs(x: Node) -> tuple[Node, Node]:
    """log(x) and log(1 - x), at least -100; at 0 or 1 that is a constant, so that no derivative there is infinite."""
    def held(edge: Node, log: Callable[[Node], Node]) -> Node:
        floor, at = _like(x, _LEAST_LOG), build.binary("eq", x, edge)
        return build.select(at, floor, build.maximum(log(build.select(at, _like(x, 0.5), x)), floor))

    return (held(build.zeros_like(x), build.log),
            held(build.ones_like(x), lambda v: build.unary("log1p", build.neg(v))))


def _bce_node(x: Node, y: Node) -> Node:
    logs = _held_logs(x)
    return build.neg(build.add(build.mul(y, logs[0]), build.mul(build.sub(build.ones_like(y), y), logs[1])))


def _bce_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
    """The derivative by x is (x - y) / (x (1 - x)), finite where x has come to 0 or 1."""
    x, y = inputs
    spread = build.maximum(build.mul(x, build.sub(build.ones_like(x), x)), _like(x, _LEAST_SPREAD))
    by_x = build.mul(tangents[0], build.div(build.sub(x, y), spread))
    logs = _held_logs(x)
    return (_bce_node(x, y),), (build.add(by_x, build.mul(tangents[1], build.sub(logs[1], logs[0]))),)


@operation(promote="float")
def _bce(x: Node, y: Node, *weight: Node, reduction: str) -> Node:
    from pullback.api.decompositions import require  # lazy: decompositions are many files

    inside = build.binary("logical_and", build.binary("ge", x, build.zeros_like(x)),
                          build.binary("le", x, build.ones_like(x)))
    x = require(x, build.unary("logical_not", inside), "binary_cross_entropy")
    losses = with_rule("binary_cross_entropy", _bce_node, _bce_rule, x, y)[0]
    return reduced(build.mul(losses, weight[0]) if weight else losses, reduction)


def binary_cross_entropy(input: Array, target: Array, weight: Array = None, reduction: str = "mean") -> Array:
    """-(target * log(input) + (1 - target) * log(1 - input)), logarithms at least -100; input holds probabilities,
    which are looked at: what is outside of [0, 1], or NaN, is an error."""
    x, y = _same_shapes(input, target, "binary_cross_entropy")
    operands = (x, y) if weight is None else (x, y, _broadcasting(weight, x, "binary_cross_entropy", "weight"))
    return _bce(*operands, reduction=checked_reduction(reduction, "binary_cross_entropy"))


def _broadcasting(weight: Any, x: Any, name: str, what: str) -> Any:
    w = as_tensor(weight, name)
    if w.ndim > x.ndim or any(n not in (1, m) for n, m in zip(w.shape[::-1], x.shape[::-1], strict=False)):
        raise ShapeError(message(f"{name}: {what} does not broadcast to the input",
                                 [("input", described(x)), (what, described(w))], "sizes must be equal or 1"))
    return w


def _logits_loss(x: Node, y: Node) -> Node:
    """max(x, 0) - x y + log(1 + exp(-|x|)): exact where a logit is large and right, of both classes."""
    side = build.select(build.binary("gt", x, build.zeros_like(x)), build.ones_like(x), build.zeros_like(x))
    rest = build.unary("log1p", build.exp(build.neg(build.unary("abs", x))))
    return build.add(build.mul(x, build.sub(side, y)), rest)


def _logits_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
    x, y = inputs
    by_x = build.mul(tangents[0], build.sub(build.unary("sigmoid", x), y))
    return (_logits_loss(x, y),), (build.sub(by_x, build.mul(tangents[1], x)),)


@operation(promote="float")
def _bce_logits(x: Node, y: Node, *extra: Node, weighted: bool, positive: bool, reduction: str) -> Node:
    one = build.ones_like(x)
    if positive:
        scale = build.add(build.mul(build.sub(extra[-1], one), y), one)
        losses = build.add(build.mul(build.sub(one, y), x), build.mul(scale, softplus_node(build.neg(x))))
    else:
        losses = with_rule("bce_logits", _logits_loss, _logits_rule, x, y)[0]
    return reduced(build.mul(losses, extra[0]) if weighted else losses, reduction)


def binary_cross_entropy_with_logits(input: Array, target: Array, weight: Array = None, reduction: str = "mean",
                                     pos_weight: Array = None) -> Array:
    """`binary_cross_entropy` of sigmoid(input), without overflow."""
    name = "binary_cross_entropy_with_logits"
    x, y = _same_shapes(input, target, name)
    extra = [_broadcasting(w, x, name, what) for w, what in ((weight, "weight"), (pos_weight, "pos_weight"))
             if w is not None]
    return _bce_logits(x, y, *extra, weighted=weight is not None, positive=pos_weight is not None,
                       reduction=checked_reduction(reduction, name))


@operation(promote="float")
def _kl(x: Node, y: Node, log_target: bool, reduction: str) -> Node:
    if log_target:
        losses = build.mul(build.exp(y), build.sub(y, x))
    else:
        safe = build.select(build.binary("eq", y, build.zeros_like(y)), build.ones_like(y), y)
        losses = build.sub(build.mul(y, build.log(safe)), build.mul(y, x))
    if reduction == "batchmean":
        total = reduced(losses, "sum")
        return build.div(total, _like(total, x.shape[0] if x.shape else 1))
    return reduced(losses, reduction)


def kl_div(input: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """target * (log(target) - input); input holds log-probabilities. "batchmean" is the divergence itself."""
    x, y = _same_shapes(input, target, "kl_div")
    one_of(reduction, (*_REDUCTIONS, "batchmean"), "kl_div", "reduction")
    return _kl(x, y, log_target=bool(log_target), reduction=reduction)


# -- margins, distances ------------------------------------------------------------------------------------------------


def _positive_part(x: Node, below: str = "lt") -> Node:
    """max(x, 0), which has the slope of x at 0, as PyTorch's limits; `le`: none."""
    zero = build.zeros_like(x)
    return build.select(build.binary(below, x, zero), zero, x)


@operation(promote="float")
def _hinge_embedding(x: Node, y: Node, margin: float, reduction: str) -> Node:
    one = build.ones_like(y)
    near = build.select(build.binary("ne", y, build.neg(one)), x, build.zeros_like(x))
    far = build.select(build.binary("ne", y, one), _positive_part(build.sub(_like(x, margin), x)), build.zeros_like(x))
    return reduced(build.add(near, far), reduction)


def hinge_embedding_loss(input: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """input where the target is 1, max(0, margin - input) where it is -1."""
    x, y = _same_shapes(input, target, "hinge_embedding_loss")
    return _hinge_embedding(x, y, margin=margin, reduction=checked_reduction(reduction, "hinge_embedding_loss"))


@operation(promote="float")
def _margin_ranking(x: Node, z: Node, y: Node, margin: float, reduction: str) -> Node:
    return reduced(_positive_part(build.add(build.neg(build.mul(y, build.sub(x, z))), _like(x, margin))), reduction)


def margin_ranking_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0,
                        reduction: str = "mean") -> Array:
    """max(0, -target * (input1 - input2) + margin)."""
    x, z = _same_shapes(input1, input2, "margin_ranking_loss")
    _same_shapes(x, target, "margin_ranking_loss")
    return _margin_ranking(x, z, target, margin=margin, reduction=checked_reduction(reduction, "margin_ranking_loss"))


@operation(promote="float")
def _soft_margin(x: Node, y: Node, reduction: str) -> Node:
    return reduced(softplus_node(build.neg(build.mul(y, x))), reduction)


def soft_margin_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """log(1 + exp(-target * input))."""
    x, y = _same_shapes(input, target, "soft_margin_loss")
    return _soft_margin(x, y, reduction=checked_reduction(reduction, "soft_margin_loss"))


@operation(promote="float")
def _pair_distance(x: Node, y: Node, p: float, eps: float, keepdim: bool) -> Node:
    off = build.add(build.sub(x, y), _like(x, eps))
    last = len(x.shape) - 1
    found = norm_nodes(off, p, (last,))
    return build.reshape(found, (*found.shape, 1)) if keepdim else found


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return _pair_distance(x1, x2, p=float(p), eps=float(eps), keepdim=bool(keepdim))


@operation(promote="float")
def _cosine(x: Node, y: Node, axis: int, eps: float) -> Node:
    k = axis % len(x.shape)
    sizes = [build.maximum(n, _like(n, eps)) for n in (norm_nodes(v, 2.0, (k,)) for v in (x, y))]
    return build.div(build.reduce("add", build.mul(x, y), (k,)), build.mul(*sizes))


def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """The cosine of the angle between vectors along a dimension."""
    from pullback.api.arguments import axis_of

    a, b = as_tensor(x1, "cosine_similarity"), as_tensor(x2, "cosine_similarity")
    rank = max(a.ndim, b.ndim)
    return _cosine(a, b, axis=axis_of(dim, rank, "cosine_similarity", a), eps=float(eps))


def cosine_embedding_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0,
                          reduction: str = "mean") -> Array:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1; other targets do not count."""
    x, z = _same_shapes(input1, input2, "cosine_embedding_loss")
    checked_reduction(reduction, "cosine_embedding_loss")
    cosine, y = _cosine_rows(x, z), as_tensor(target, "cosine_embedding_loss")
    if y.ndim > cosine.ndim:
        raise ShapeError(message("cosine_embedding_loss: the target has more dimensions than there are pairs of rows",
                                 [("target", described(y)), ("input1", described(x))],
                                 "one number per pair: target.squeeze(-1)"))
    return _cosine_losses(cosine, y, margin=margin, reduction=reduction)


@operation(promote="float")
def _cosine_rows(x: Node, z: Node) -> Node:
    """PyTorch's form: an epsilon is added to the squares."""
    last = (len(x.shape) - 1,)
    squares = [build.add(s, _like(s, 1e-12)) for s in (build.reduce("add", build.square(v), last) for v in (x, z))]
    return build.div(build.reduce("add", build.mul(x, z), last), build.sqrt(build.mul(*squares)))


@operation(promote="float")
def _cosine_losses(cosine: Node, y: Node, margin: float, reduction: str) -> Node:
    one = build.ones_like(y)
    far = _positive_part(build.sub(cosine, _like(cosine, margin)))
    other = build.select(build.binary("eq", y, build.neg(one)), far, build.zeros_like(far))
    return reduced(build.select(build.binary("eq", y, one), build.sub(one, cosine), other), reduction)


@operation(promote="float")
def _triplet(anchor: Node, positive: Node, negative: Node, margin: float, p: float, eps: float, swap: bool,
             reduction: str) -> Node:
    def distance(a: Node, b: Node) -> Node:
        return norm_nodes(build.add(build.sub(a, b), _like(a, eps)), p, (len(a.shape) - 1,))

    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = build.minimum(far, distance(positive, negative))
    return reduced(_positive_part(build.add(build.sub(near, far), _like(near, margin))), reduction)


def triplet_margin_loss(anchor: Array, positive: Array, negative: Array, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-6, swap: bool = False, reduction: str = "mean") -> Array:
    """max(0, |anchor - positive| - |anchor - negative| + margin)."""
    given = [as_tensor(t, "triplet_margin_loss") for t in (anchor, positive, negative)]
    if len({t.ndim for t in given}) > 1:
        raise ShapeError(message("triplet_margin_loss: all three need equally many dimensions", [
            (name, described(t)) for name, t in zip(("anchor", "positive", "negative"), given, strict=True)],
            "(batch, features) each"))
    if number(margin, "triplet_margin_loss", "margin") <= 0:
        raise ValueError_(message("triplet_margin_loss: margin must be greater than 0", [("margin", repr(margin))],
                                  "margin=1.0"))
    return _triplet(anchor, positive, negative, margin=margin, p=float(p), eps=eps, swap=bool(swap),
                    reduction=checked_reduction(reduction, "triplet_margin_loss"))


def _define_multi_margin(x: Node, target: Node, *weight: Node, p: int, margin: float, reduction: str) -> Node:
    own = _pick(x, target, located("positive", "multi_margin_loss"))
    off = build.add(build.sub(x, build.broadcast(own, x.shape, (0,))), _like(x, margin))
    losses = _positive_part(off, "le")
    losses = build.square(losses) if p == 2 else losses
    if weight:
        losses = build.mul(losses, build.broadcast(build.gather(weight[0], target, 0, "clip"), x.shape, (0,)))
    here = build.binary("eq", build.iota(x.shape, 1, target.dtype), build.broadcast(target, x.shape, (0,)))
    losses = build.select(here, build.zeros_like(losses), losses)
    total = build.reduce("add", losses, (1,))
    return reduced(build.div(total, _like(total, x.shape[1])), reduction)


_multi_margin = _ClassLoss(_define_multi_margin, "class", True, False, "multi_margin_loss")


def multi_margin_loss(input: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array = None,
                      reduction: str = "mean") -> Array:
    """The mean over other classes of max(0, margin - input[target] + input) ** p."""
    x, at = as_tensor(input, "multi_margin_loss"), as_tensor(target, "multi_margin_loss")
    x = x if x.ndim else x[None]  # a number is one class
    at = at[0] if x.ndim == 1 and tuple(at.shape) == (1,) else at
    operands, single = _classes(x, at, weight, "multi_margin_loss", False)
    if single:
        operands[0], operands[1] = operands[0][None], operands[1][None]
    y = _multi_margin(*operands, p=one_of(p, (1, 2), "multi_margin_loss", "p"), margin=margin,
                      reduction=checked_reduction(reduction, "multi_margin_loss"))
    return y[0] if single and reduction == "none" else y


__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cosine_similarity",
           "cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss",
           "margin_ranking_loss", "mse_loss", "multi_margin_loss", "nll_loss", "pairwise_distance", "poisson_nll_loss",
           "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss"]

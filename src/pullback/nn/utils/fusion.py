"""Batch normalisation in evaluation as part of the layer in front of it."""

from __future__ import annotations

import copy
from typing import Any

from pullback.engine.control import no_grad
from pullback.util.errors import StateError, message


def _scale(variance: Any, eps: float, weight: Any) -> Any:
    scale = (variance + eps) ** -0.5
    return scale if weight is None else scale * weight


def fuse_conv_bn_weights(conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any,
                         transpose: bool = False) -> tuple[Any, Any]:
    """Weight and bias of a convolution that normalises what it gives by running statistics."""
    scale = _scale(bn_rv, bn_eps, bn_w)
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    bias = -bn_rm if conv_b is None else conv_b - bn_rm
    bias = bias * scale if bn_b is None else bias * scale + bn_b
    kind = type(conv_w)
    return kind((conv_w * scale.reshape(tuple(shape))).detach()), kind(bias.detach())


def fuse_linear_bn_weights(linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any,
                           bn_b: Any) -> tuple[Any, Any]:
    """Weight and bias of a linear layer that normalises what it gives by running statistics."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fused(layer: Any, bn: Any, transpose: bool) -> Any:
    if layer.training or bn.training:
        raise StateError(message("Fusion is for layers in evaluation", [], "call .eval() on both first"))
    made = copy.deepcopy(layer)
    with no_grad():
        weight, bias = fuse_conv_bn_weights(made.weight, made.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight,
                                            bn.bias, transpose)
    made.weight, made.bias = weight, bias
    return made


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A convolution that gives what a batch normalisation behind it would, both in evaluation.

    >>> import pullback as pb
    >>> conv, norm = pb.nn.Conv2d(3, 4, 3, bias=False).eval(), pb.nn.BatchNorm2d(4).eval()
    >>> pb.nn.utils.fuse_conv_bn_eval(conv, norm).bias.shape
    (4,)
    """
    return _fused(conv, bn, transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A linear layer that gives what a batch normalisation behind it would, both in evaluation."""
    return _fused(linear, bn, False)


__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

"""Gradients of convolutions by themselves, of the input or of the weight, with PyTorch's names."""

from __future__ import annotations

from typing import Any

from pullback.api.convolution import conv1d, conv2d, conv3d
from pullback.api.creation import zeros
from pullback.api.transforms import vjp

_CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}


def _of_input(n: int, shape: Any, weight: Any, ct: Any, *options: Any) -> Any:
    start = zeros(tuple(shape), dtype=weight.dtype)
    return vjp(lambda x: _CONVOLUTIONS[n](x, weight, None, *options), start)[1](ct)[0]


def _of_weight(n: int, input: Any, shape: Any, ct: Any, *options: Any) -> Any:
    start = zeros(tuple(shape), dtype=input.dtype)
    return vjp(lambda w: _CONVOLUTIONS[n](input, w, None, *options), start)[1](ct)[0]


def conv1d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of `conv1d` with respect to an input of this size (batch, channels, width)."""
    return _of_input(1, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: int = 1) -> Any:
    """The gradient of `conv1d` with respect to a weight of this size (filters, channels / groups, width)."""
    return _of_weight(1, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of `conv2d` with respect to an input of this size (batch, channels, height, width).

    >>> import pullback as pb
    >>> weight, ct = pb.ones(1, 1, 2, 2), pb.ones(1, 1, 2, 2)
    >>> pb.nn.grad.conv2d_input((1, 1, 3, 3), weight, ct)
    Tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]], dtype=float32)
    """
    return _of_input(2, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: int = 1) -> Any:
    """The gradient of `conv2d` with respect to a weight of this size (filters, channels / groups, height, width)."""
    return _of_weight(2, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1) -> Any:
    """The gradient of `conv3d` with respect to an input of this size (batch, channels, depth, height, width)."""
    return _of_input(3, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: int = 1) -> Any:
    """The gradient of `conv3d` with respect to a weight of this size (filters, channels / groups, then the window)."""
    return _of_weight(3, input, weight_size, grad_output, stride, padding, dilation, groups)


__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

"""`torch.nn.grad`: gradients of convolutions by themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback.dialects.torch.tensors import styled
from pullback.nn import grad as native


def _styled(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return styled(function(*args, **options))

    return call


conv1d_input, conv1d_weight = _styled(native.conv1d_input), _styled(native.conv1d_weight)
conv2d_input, conv2d_weight = _styled(native.conv2d_input), _styled(native.conv2d_weight)
conv3d_input, conv3d_weight = _styled(native.conv3d_input), _styled(native.conv3d_weight)

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

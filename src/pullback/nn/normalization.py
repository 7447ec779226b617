"""Normalisation layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pullback.api.arguments import number
from pullback.engine.tensor import from_host
from pullback.engine.trace import thread
from pullback.ir.dtypes import dtype_of, float32, int64, numpy_dtype
from pullback.nn import functional as F
from pullback.nn import init
from pullback.nn.linear import check_sizes, empty
from pullback.nn.module import Module
from pullback.util.errors import ShapeError, ValueError_, message


class _ByBatch(Module):
    """Normalisation per channel with running statistics."""

    ranks: ClassVar[tuple[int, ...]]
    least_inputs: ClassVar[int] = 1
    _version: ClassVar[int] = 2
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
                 dtype: Any, bias: bool) -> None:
        super().__init__()
        check_sizes(type(self).__name__, self.least_inputs, num_features=num_features)
        if number(eps, type(self).__name__, "eps") < 0:
            raise ValueError_(message(f"{type(self).__name__}: eps must not be negative", [("eps", repr(eps))],
                                      "eps=1e-5 keeps the root away from 0"))
        if momentum is not None:
            number(momentum, type(self).__name__, "momentum")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        chosen = float32 if dtype is None else dtype_of(dtype)
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, empty((num_features,), chosen) if wanted else None)
        if track_running_stats:
            self.register_buffer("running_mean", from_host(np.zeros(num_features, numpy_dtype(chosen)), chosen))
            self.register_buffer("running_var", from_host(np.ones(num_features, numpy_dtype(chosen)), chosen))
            self.register_buffer("num_batches_tracked", from_host(np.zeros((), np.int64), int64))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any],
                              *others: Any) -> None:
        """States of version 1, or of none, were saved before batches were counted."""
        if self.num_batches_tracked is not None and (local_metadata.get("version") or 1) < 2:
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight one, bias zero, no statistics."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check(self, input: Any) -> None:
        if input.ndim not in self.ranks:
            raise ShapeError(message(f"{type(self).__name__}: expected {' or '.join(map(str, self.ranks))} dimensions",
                                     [("input", repr(input.info.type))], "the input is [batch, channels, ...]"))
        axis = 1 if input.ndim > min(self.ranks) or isinstance(self, _BatchNorm) else 0
        if input.shape[axis] != self.num_features and (self.affine or self.track_running_stats):
            raise ShapeError(message(f"{type(self).__name__}: the number of channels does not fit",
                                     [("input", repr(input.info.type)), ("num_features", str(self.num_features))],
                                     "the input is [batch, num_features, ...]"))

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}")


class _BatchNorm(_ByBatch):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def _count(self) -> Any:
        """Count a batch; returns the weight of the new statistics."""
        here = thread.context
        before = here.grad_enabled
        here.grad_enabled = False
        try:
            self.num_batches_tracked += 1
        finally:
            here.grad_enabled = before
        return self.momentum if self.momentum is not None else self.num_batches_tracked ** -1.0

    def forward(self, input: Any) -> Any:
        self._check(input)
        track = self.training and self.track_running_stats
        momentum = self._count() if track else 0.0
        use_batch = self.training or self.running_mean is None
        keep = track or not self.training
        return F.batch_norm(input, self.running_mean if keep else None, self.running_var if keep else None, self.weight,
                            self.bias, use_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Normalisation of [batch, channels] or [batch, channels, length] per channel (Ioffe and Szegedy 2015)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalisation of [batch, channels, height, width] per channel."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalisation of [batch, channels, depth, height, width] per channel."""

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over all processes, of which there is one: `BatchNorm` of any number of dimensions."""

    ranks = (2, 3, 4, 5)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *,
                 bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """The module itself: there is one process."""
        return module


class _InstanceNorm(_ByBatch):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device: Any = None, dtype: Any = None, *,
                 bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, input: Any) -> Any:
        self._check(input)
        single = input.ndim == min(self.ranks)
        x = input.reshape((1, *input.shape)) if single else input
        y = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                            self.training or not self.track_running_stats, self.momentum or 0.0, self.eps)
        return y.reshape(input.shape) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sample over its length."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each sample over height and width."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each sample over depth, height and width."""

    ranks = (4, 5)


class LayerNorm(Module):
    """Normalisation over the last dimensions (Ba, Kiros and Hinton 2016)."""

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        shape = tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        check_sizes("LayerNorm", **{f"normalized_shape[{k}]": n for k, n in enumerate(shape)})
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            if wanted:
                setattr(self, name, empty(shape, dtype))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one, bias zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
                f"bias={self.bias is not None}")


class RMSNorm(Module):
    """Division by the root of the mean square over the last dimensions (Zhang and Sennrich 2019)."""

    def __init__(self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        shape = tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        check_sizes("RMSNorm", **{f"normalized_shape[{k}]": n for k, n in enumerate(shape)})
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        if elementwise_affine:
            self.weight = empty(shape, dtype)
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalisation over groups of channels (Wu and He 2018)."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
                 dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__()
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError_(message("num_channels must be divisible by num_groups",
                                      [("num_channels", str(num_channels)), ("num_groups", str(num_groups))],
                                      "a divisor of num_channels as num_groups"))
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, empty((num_channels,), dtype) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one, bias zero."""
        if self.affine:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")

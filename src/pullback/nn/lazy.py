"""Layers that learn the size of their input at the first call, and then become the layers they are named after."""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any, ClassVar

from pullback.nn.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from pullback.nn.linear import Linear
from pullback.nn.module import Module
from pullback.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from pullback.nn.parameter import UninitializedBuffer, UninitializedParameter, UninitializedTensor
from pullback.util.errors import ShapeError, message


class LazyModule(Module):
    """What makes a layer wait for its first input: until then its parameters have no shapes. They stay the same
    objects, so an optimiser made before has them; the layer becomes one of the class it is named after.

    >>> import pullback as pb
    >>> layer = pb.nn.LazyLinear(2)
    >>> layer
    LazyLinear(in_features=0, out_features=2, bias=True)
    >>> layer(pb.ones((4, 3))).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    becomes: ClassVar[Any] = None
    size: ClassVar[str] = "num_features"
    least_inputs: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.becomes is not None and cls.__init__ is LazyModule.__init__:
            shown: Any = cls
            given = list(signature(cls.becomes.__init__).parameters.values())
            shown.__signature__ = Signature(given[2:])  # the size of the input is not given

    def __init__(self, *args: Any, **options: Any) -> None:
        self.kin(self.becomes).__init__(self, 0, *args, **options)
        self._given = (args, options)
        for name, p in self._parameters.items():
            if p is not None:
                setattr(self, name, UninitializedParameter(dtype=p.dtype))
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.ndim:
                setattr(self, name, UninitializedBuffer(dtype=buffer.dtype))

    def _waiting(self) -> dict[str, Any]:
        """Parameters and buffers that have no values yet."""
        return {name: tensor for name, tensor in (*self._parameters.items(), *self._buffers.items())
                if isinstance(tensor, UninitializedTensor)}

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no value yet."""
        return bool(self._waiting())

    def reset_parameters(self) -> None:
        """Draw the parameters anew, once they have sizes."""
        if getattr(self, self.size):
            self.becomes.reset_parameters(self)

    def input_size(self, input: Any) -> int:
        """The size that an input says."""
        return input.shape[1]

    def initialize_parameters(self, input: Any) -> None:
        """Give the parameters the values of a layer for an input of this size, and become such a layer."""
        size, waiting, becomes = self.input_size(input), self._waiting(), self.kin(self.becomes)
        if waiting:
            args, options = self._given
            given = signature(self.becomes.__init__).bind(self, size, *args, **options)
            given.arguments["dtype"] = next(iter(waiting.values())).dtype
            made = becomes(*given.args[1:], **given.kwargs)
            for name, tensor in waiting.items():
                tensor.assign_value(getattr(made, name).detach()._peek())
        self.__dict__.pop("_skeleton", None)
        setattr(self, self.size, size)
        del self._given
        self.__class__ = becomes

    def forward(self, input: Any, *args: Any, **options: Any) -> Any:
        self.initialize_parameters(input)
        return self.forward(input, *args, **options)  # of the layer that this is now


class _LazyConv(LazyModule):
    size = "in_channels"

    def input_size(self, input: Any) -> int:
        """The size of the dimension before those of space: there may be no batch."""
        rank = self.becomes.rank
        if input.ndim not in (rank + 1, rank + 2):
            raise ShapeError(message(f"{type(self).__name__}: expected {rank + 1} or {rank + 2} dimensions",
                                     [("input", repr(input.info.type))], "the input is [batch, channels, ...]"))
        return input.shape[-rank - 1]


class _LazyInstanceNorm(LazyModule):
    """Has weights and statistics unless told otherwise, as PyTorch's."""

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)


class LazyLinear(LazyModule, Linear):
    """`Linear` whose in_features is the input's last size."""

    becomes, size = Linear, "in_features"

    def input_size(self, input: Any) -> int:
        """The last size of an input."""
        return input.shape[-1]


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` whose in_channels is the input's."""

    becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose in_channels is the input's."""

    becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` whose in_channels is the input's."""

    becomes = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """`ConvTranspose1d` whose in_channels is the input's."""

    becomes = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """`ConvTranspose2d` whose in_channels is the input's."""

    becomes = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """`ConvTranspose3d` whose in_channels is the input's."""

    becomes = ConvTranspose3d


class LazyBatchNorm1d(LazyModule, BatchNorm1d):
    """`BatchNorm1d` whose num_features is the input's channels."""

    becomes = BatchNorm1d


class LazyBatchNorm2d(LazyModule, BatchNorm2d):
    """`BatchNorm2d` whose num_features is the input's channels."""

    becomes = BatchNorm2d


class LazyBatchNorm3d(LazyModule, BatchNorm3d):
    """`BatchNorm3d` whose num_features is the input's channels."""

    becomes = BatchNorm3d


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose num_features is the input's channels."""

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose num_features is the input's channels."""

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose num_features is the input's channels."""

    becomes = InstanceNorm3d

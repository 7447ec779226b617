"""Layers that learn the size of their input at the first call, and then become the layers they are named after."""

from __future__ import annotations

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


class LazyModule(Module):
    """A layer that becomes `becomes` when it sees its first input; it has no parameters before.

    >>> import pullback as pb
    >>> layer = pb.nn.LazyLinear(2)
    >>> layer(pb.ones((4, 3))).shape, type(layer).__name__
    ((4, 2), 'Linear')
    """

    becomes: ClassVar[Any] = None
    axis: ClassVar[int] = 1

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self._arguments = (args, options)

    def has_uninitialized_params(self) -> bool:
        """True: parameters are made at the first call."""
        return True

    def initialize_parameters(self, input: Any) -> None:
        """Become the layer for an input of this size."""
        args, options = self._arguments
        made = self.child(self.becomes, input.shape[self.axis], *args, **options)
        made.train(self.training)
        self.__class__ = type(made)
        self.__dict__.clear()
        self.__dict__.update(made.__dict__)

    def forward(self, input: Any) -> Any:
        self.initialize_parameters(input)
        return self.forward(input)  # of the layer that this is now


class LazyLinear(LazyModule):
    """`Linear` whose in_features is the input's last size."""

    becomes, axis = Linear, -1


class LazyConv1d(LazyModule):
    """`Conv1d` whose in_channels is the input's."""

    becomes = Conv1d


class LazyConv2d(LazyModule):
    """`Conv2d` whose in_channels is the input's."""

    becomes = Conv2d


class LazyConv3d(LazyModule):
    """`Conv3d` whose in_channels is the input's."""

    becomes = Conv3d


class LazyConvTranspose1d(LazyModule):
    """`ConvTranspose1d` whose in_channels is the input's."""

    becomes = ConvTranspose1d


class LazyConvTranspose2d(LazyModule):
    """`ConvTranspose2d` whose in_channels is the input's."""

    becomes = ConvTranspose2d


class LazyConvTranspose3d(LazyModule):
    """`ConvTranspose3d` whose in_channels is the input's."""

    becomes = ConvTranspose3d


class LazyBatchNorm1d(LazyModule):
    """`BatchNorm1d` whose num_features is the input's channels."""

    becomes = BatchNorm1d


class LazyBatchNorm2d(LazyModule):
    """`BatchNorm2d` whose num_features is the input's channels."""

    becomes = BatchNorm2d


class LazyBatchNorm3d(LazyModule):
    """`BatchNorm3d` whose num_features is the input's channels."""

    becomes = BatchNorm3d


class LazyInstanceNorm1d(LazyModule):
    """`InstanceNorm1d` whose num_features is the input's channels."""

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(LazyModule):
    """`InstanceNorm2d` whose num_features is the input's channels."""

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(LazyModule):
    """`InstanceNorm3d` whose num_features is the input's channels."""

    becomes = InstanceNorm3d

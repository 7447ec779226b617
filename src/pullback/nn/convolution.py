"""Convolutions, pooling, padding and upsampling."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from pullback.nn import functional as F
from pullback.nn.linear import add_bias, check_sizes, draw_affine, empty
from pullback.nn.module import Module
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


def each(owner: str, name: str, value: Any, rank: int, of_one: bool = False) -> tuple[int, ...]:
    """One integer per spatial dimension, or one for all, in a tuple too where `of_one`."""
    found = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    found = found * rank if of_one and len(found) == 1 else found
    if len(found) != rank or not all(hasattr(n, "__index__") for n in found):
        raise ArgumentError(message(f"{owner}: {name} must be an integer or {rank} of them", [(name, repr(value))],
                                    f"{name}=3"))
    return tuple(n.__index__() for n in found)


class _Conv(Module):
    """Common part of convolutions. `rank`: spatial dimensions; `transposed`: of the transposed kind."""

    rank: ClassVar[int]
    transposed: ClassVar[bool] = False
    least_inputs: ClassVar[int] = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 groups: int, bias: bool, padding_mode: str, dtype: Any, output_padding: Any = 0) -> None:
        super().__init__()
        owner, rank = type(self).__name__, self.rank
        check_sizes(owner, self.least_inputs, in_channels=in_channels)
        check_sizes(owner, out_channels=out_channels, groups=groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError_(message(f"{owner}: {name} must be divisible by groups",
                                          [(name, str(channels)), ("groups", str(groups))],
                                          f"make {name} a multiple of groups"))
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError_(message(f"{owner}: no such padding mode", [("padding_mode", repr(padding_mode))],
                                      "one of 'zeros', 'reflect', 'replicate', 'circular'"))
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.padding_mode = groups, padding_mode
        self.kernel_size = each(owner, "kernel_size", kernel_size, rank)
        self.stride = each(owner, "stride", stride, rank, True)
        self.dilation = each(owner, "dilation", dilation, rank, True)
        self.output_padding = each(owner, "output_padding", output_padding, rank, True)
        self.padding: Any = padding if isinstance(padding, str) else each(owner, "padding", padding, rank, True)
        for name in ("kernel_size", "stride", "dilation"):
            check_sizes(owner, **{name: min(getattr(self, name))})
        strided = padding == "same" and max(self.stride) > 1
        if isinstance(padding, str) and (padding not in ("valid", "same") or strided):
            raise ValueError_(message(f"{owner}: padding must be 'valid', 'same' (with stride 1) or integers",
                                      [("padding", repr(padding)), ("stride", repr(self.stride))],
                                      "padding=1"))
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = empty((first, second // groups, *self.kernel_size), dtype)
        add_bias(self, out_channels, bias, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(fan_in), as Kaiming with a = sqrt(5)."""
        draw_affine(self.weight, self.bias, self.weight.shape[1] * math.prod(self.kernel_size))

    def _sides(self) -> tuple[int, ...]:
        """Padding per side as `F.pad` wants it: last dimension first."""
        if self.padding == "valid":
            return (0,) * (2 * self.rank)
        sides: list[int] = []
        for k in reversed(range(self.rank)):
            if self.padding == "same":
                total = self.dilation[k] * (self.kernel_size[k] - 1)
                sides += [total // 2, total - total // 2]
            else:
                sides += [self.padding[k]] * 2
        return tuple(sides)

    def _padded(self, input: Any) -> tuple[Any, Any]:
        """The input, padded here where convolution cannot, and the padding left to do."""
        if self.padding_mode == "zeros":
            return input, self.padding
        return F.pad(input, self._sides(), mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.rank:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.rank:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.rank:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_Conv):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                         dtype)


class Conv1d(_Forward):
    """Convolution (cross-correlation) over [batch, channels, length]."""

    rank = 1

    def forward(self, input: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Forward):
    """Convolution (cross-correlation) over [batch, channels, height, width].

    >>> import pullback as pb
    >>> pb.nn.Conv2d(3, 8, 3, padding=1)(pb.ones((2, 3, 16, 16))).shape
    (2, 8, 16, 16)
    """

    rank = 2

    def forward(self, input: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Forward):
    """Convolution (cross-correlation) over [batch, channels, depth, height, width]."""

    rank = 3

    def forward(self, input: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv3d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Conv):
    transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
                 padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None:
        if padding_mode != "zeros":
            raise ValueError_(message(f'{type(self).__name__}: only "zeros" padding mode is supported',
                                      [("padding_mode", repr(padding_mode))], "padding_mode='zeros'"))
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                         dtype, output_padding)

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """Output padding that gives a wanted size."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.rank:]
        extra: list[int] = []
        for k, (n, size) in enumerate(zip(input.shape[-self.rank:], wanted, strict=True)):
            least = (n - 1) * self.stride[k] - 2 * self.padding[k] + self.dilation[k] * (self.kernel_size[k] - 1) + 1
            if not least <= size < least + self.stride[k]:
                raise ShapeError(message(f"{type(self).__name__}: no such output size is possible",
                                         [("output_size", repr(output_size)), ("smallest", str(least))],
                                         "the stride allows the smallest and fewer than the stride more"))
            extra.append(size - least)
        return tuple(extra)


class ConvTranspose1d(_Transposed):
    """The transpose of Conv1d as a map, also called deconvolution."""

    rank = 1

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return F.conv_transpose1d(input, self.weight, self.bias, self.stride, self.padding,
                                  self._extra(input, output_size), self.groups, self.dilation)


class ConvTranspose2d(_Transposed):
    """The transpose of Conv2d as a map, also called deconvolution."""

    rank = 2

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return F.conv_transpose2d(input, self.weight, self.bias, self.stride, self.padding,
                                  self._extra(input, output_size), self.groups, self.dilation)


class ConvTranspose3d(_Transposed):
    """The transpose of Conv3d as a map, also called deconvolution."""

    rank = 3

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return F.conv_transpose3d(input, self.weight, self.bias, self.stride, self.padding,
                                  self._extra(input, output_size), self.groups, self.dilation)


class _MaxPool(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 return_indices: bool = False, ceil_mode: bool = False) -> None:
        super().__init__()
        self.return_indices = return_indices
        self.kernel_size, self.stride = kernel_size, stride if stride is not None else kernel_size
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """The largest element of each window."""

    def forward(self, input: Any) -> Any:
        return F.max_pool1d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class MaxPool2d(_MaxPool):
    """The largest element of each window."""

    def forward(self, input: Any) -> Any:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class MaxPool3d(_MaxPool):
    """The largest element of each window."""

    def forward(self, input: Any) -> Any:
        return F.max_pool3d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class _AvgPool(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride if stride is not None else kernel_size
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window."""

    def forward(self, input: Any) -> Any:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPoolBy(_AvgPool):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override


class AvgPool2d(_AvgPoolBy):
    """The mean of each window, or its sum over `divisor_override`."""

    def forward(self, input: Any) -> Any:
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad, self.divisor_override)


class AvgPool3d(_AvgPoolBy):
    """The mean of each window, or its sum over `divisor_override`."""

    def forward(self, input: Any) -> Any:
        return F.avg_pool3d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad, self.divisor_override)


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means of windows chosen so that the output has a given length."""

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """Means of windows chosen so that the output has a given size."""

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima of windows chosen so that the output has a given length."""

    def forward(self, input: Any) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima of windows chosen so that the output has a given size."""

    def forward(self, input: Any) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class _Pad(Module):
    rank: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: Any, value: float = 0.0) -> None:
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.rank)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self.mode, self.value if self.mode == "constant" else None)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    """Padding with a value."""

    rank = 1

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding, value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Padding with a value."""

    rank = 2


class ZeroPad2d(_Pad):
    """Padding with zeros."""

    rank = 2

    def __init__(self, padding: Any) -> None:
        super().__init__(padding)


class ReflectionPad1d(ZeroPad2d):
    """Padding with the mirror image, the border not repeated."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(ZeroPad2d):
    """Padding with the mirror image, the border not repeated."""

    rank, mode = 2, "reflect"


class ReplicationPad2d(ZeroPad2d):
    """Padding with the border."""

    rank, mode = 2, "replicate"


class Upsample(Module):
    """Resampling to a size or by a factor."""

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                 align_corners: bool | None = None, recompute_scale_factor: bool | None = None) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Any) -> Any:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners,
                             self.recompute_scale_factor)

    def extra_repr(self) -> str:
        first = f"scale_factor={self.scale_factor!r}" if self.scale_factor is not None else f"size={self.size!r}"
        return f"{first}, mode={self.mode!r}"


class PixelShuffle(Module):
    """[batch, channels r r, h, w] as [batch, channels, h r, w r]."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"

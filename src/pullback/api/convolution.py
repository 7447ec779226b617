"""Convolution and pooling: windows are a reindexing; a contraction or a reduction takes them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, NoReturn

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, integer
from pullback.api.elementwise import truncated_quotient
from pullback.api.reductions import floating
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.index import Index, loop_vars
from pullback.ir.node import Node
from pullback.ops.control import with_rule
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any
Sizes = tuple[int, ...]


def sizes_of(value: Any, rank: int, name: str, what: str, least: int = 1) -> Sizes:
    """One number for all dimensions, or one each."""
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(items) == 1:
        items *= rank
    if len(items) != rank:
        raise ValueError_(message(f"{name}: {what} needs {rank} numbers", [(what, str(value))],
                                  "give one number, or one per dimension"))
    found = tuple(integer(n, name, what) for n in items)
    if min(found, default=least) < least:
        raise ValueError_(message(f"{name}: {what} must be at least {least}", [(what, str(value))],
                                  f"use {least} or more"))
    return found


def window_nodes(x: Node, lead: int, kernel: Sizes, out: Sizes, stride: Sizes, low: Sizes, dilation: Sizes,
                 fill: Any) -> Node:
    """[lead..., *spatial] -> [lead..., *out, *kernel]: element o of window k is x[o * stride + k * dilation - low]."""
    shape = (*x.shape[:lead], *out, *kernel)
    over = loop_vars(shape)
    n = len(kernel)
    at: list[Index] = list(over[:lead])
    for d in range(n):
        at.append(over[lead + d] * stride[d] + over[lead + n + d] * dilation[d] - low[d])
    inside = all(i.low >= 0 and i.high < size for i, size in zip(at, x.shape, strict=True))
    return build.reindex(x, shape, at, None if inside or 0 in shape else fill)


def _out_size(size: int, kernel: int, stride: int, total: int, dilation: int) -> int:
    return (size + total - dilation * (kernel - 1) - 1) // stride + 1


# -- convolution -------------------------------------------------------------------------------------------------------


@operation(promote="dtype")
def _convolve(x: Node, weight: Node, *bias: Node, stride: Sizes, low: Sizes, high: Sizes, dilation: Sizes,
              groups: int) -> Node:
    rank = len(stride)
    kernel = weight.shape[2:]
    out = tuple(_out_size(*v) for v in zip(x.shape[2:], kernel, stride, (a + b for a, b in zip(low, high, strict=True)),
                                           dilation, strict=True))
    batch, channels = x.shape[:2]
    filters = weight.shape[0]
    spatial = tuple(range(2, 2 + rank))
    if groups == 1:
        windows = window_nodes(x, 2, kernel, out, stride, low, dilation, 0)
        after = tuple(range(2 + rank, 2 + 2 * rank))
        y = build.contract(build.transpose(windows, (0, *spatial, 1, *after)), weight, 0, 1 + rank)
        y = build.transpose(y, (0, rank + 1, *range(1, rank + 1)))
    else:
        split = build.reshape(x, (batch, groups, channels // groups, *x.shape[2:]))
        windows = window_nodes(split, 3, kernel, out, stride, low, dilation, 0)
        spatial = tuple(range(3, 3 + rank))
        after = tuple(range(3 + rank, 3 + 2 * rank))
        left = build.transpose(windows, (1, 0, *spatial, 2, *after))
        right = build.reshape(weight, (groups, filters // groups, *weight.shape[1:]))
        y = build.contract(left, right, 1, 1 + rank)  # groups, batch, *out, filters of a group
        y = build.transpose(y, (1, 0, rank + 2, *range(2, rank + 2)))
        y = build.reshape(y, (batch, filters, *out))
    return with_bias(y, bias)


def with_bias(y: Node, bias: Sequence[Node]) -> Node:
    """A number per channel (dimension 1) added."""
    return build.add(y, build.broadcast(bias[0], y.shape, (1,))) if bias else y


def _padding(padding: Any, kernel: Sizes, stride: Sizes, dilation: Sizes, name: str) -> tuple[Sizes, Sizes]:
    if isinstance(padding, str):
        if padding == "valid":
            return (0,) * len(kernel), (0,) * len(kernel)
        if padding != "same" or any(s != 1 for s in stride):
            raise ValueError_(message(f"{name}: padding {padding!r} is not known here",
                                      [("padding", repr(padding)), ("stride", str(stride))],
                                      "'valid', 'same' (with stride 1), or numbers"))
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    found = sizes_of(padding, len(kernel), name, "padding", 0)
    return found, found


def _operands(name: str, rank: int, x: Any, weight: Any, wanted: str) -> tuple[Any, Any, bool]:
    """Input with a batch dimension and weight as tensors, and whether the batch dimension was added."""
    x, weight = as_tensor(x, name), as_tensor(weight, name)
    single = x.ndim == rank + 1
    if single:
        x = x[None]
    if x.ndim != rank + 2 or weight.ndim != rank + 2:
        raise ShapeError(message(f"{name}: input and weight need {rank + 2} dimensions",
                                 [("input", described(x)), ("weight", described(weight))],
                                 f"input is (batch, channels, *sizes), weight {wanted}"))
    return x, weight, single


def _kernel(weight: Any, name: str) -> Sizes:
    if min(weight.shape[2:]) < 1:
        raise ShapeError(message(f"{name}: the kernel has no elements", [("weight", described(weight))],
                                 "sizes of at least 1"))
    return weight.shape[2:]


def _conv(name: str, rank: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
          groups: Any) -> Any:
    x, weight, single = _operands(name, rank, x, weight, "(filters, channels / groups, *sizes)")
    step, spread = sizes_of(stride, rank, name, "stride"), sizes_of(dilation, rank, name, "dilation")
    count = integer(groups, name, "groups")
    if count < 1 or x.shape[1] != weight.shape[1] * count or weight.shape[0] % count:
        raise ShapeError(message(f"{name}: channels do not fit", [
            ("input", f"{described(x)}   {x.shape[1]} channels"),
            ("weight", f"{described(weight)}   {weight.shape[1]} channels x {count} groups")],
            "weight.shape[1] * groups must be the input's channels; groups must divide the filters"))
    kernel = _kernel(weight, name)
    low, high = _padding(padding, kernel, step, spread, name)
    for k, (n, size, d, a, b) in enumerate(zip(x.shape[2:], kernel, spread, low, high, strict=True)):
        if n + a + b < d * (size - 1) + 1:
            raise ShapeError(message(f"{name}: the kernel is larger than the padded input in dimension {k + 2}",
                                     [("input", described(x)), ("weight", described(weight))],
                                     "pad more, or use a smaller kernel"))
    operands = (x, weight) if bias is None else (x, weight, _bias(bias, weight.shape[0], name))
    y = _convolve(*operands, stride=step, low=low, high=high, dilation=spread, groups=count)
    return y[0] if single else y


def _bias(bias: Any, filters: int, name: str) -> Any:
    bias = as_tensor(bias, name)
    if bias.shape != (filters,):
        raise ShapeError(message(f"{name}: needs one bias per filter",
                                 [("bias", described(bias)), ("filters", str(filters))],
                                 f"a bias of shape ({filters},)"))
    return bias


def conv1d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Array:
    """Cross-correlation of (batch, channels, n) with (filters, channels / groups, k)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Array:
    """Cross-correlation of (batch, channels, h, w) with (filters, channels / groups, kh, kw).

    >>> import pullback as pb
    >>> pb.nn.functional.conv2d(pb.ones(1, 1, 3, 3), pb.ones(1, 1, 2, 2))
    Tensor([[[[4., 4.],
              [4., 4.]]]], dtype=float32)
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Array:
    """Cross-correlation of (batch, channels, d, h, w) with (filters, channels / groups, kd, kh, kw)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@operation(promote="dtype")
def _convolve_transposed(x: Node, weight: Node, *bias: Node, stride: Sizes, low: Sizes, out: Sizes, dilation: Sizes,
                         groups: int) -> Node:
    """out[p] = sum of x[(p + low - k * dilation) / stride] * weight[k] where the division has no remainder.

    The remainder indexes an extra dimension of size 1: anything but 0 is outside and reads the fill, 0.
    """
    rank = len(stride)
    batch, channels, *spatial = x.shape
    kernel = weight.shape[2:]
    if set(spatial) == {1} and out == kernel and not any(low):
        return with_bias(_from_points(x, weight, groups), bias)
    shape = (batch, groups, *out, channels // groups, *kernel)
    over = loop_vars(shape)
    at: list[Index] = [over[0], over[1], over[2 + rank]]
    rests: list[Index] = []
    for d in range(rank):
        position = over[2 + d] + low[d] - over[3 + rank + d] * dilation[d]
        at.append(position // stride[d])
        if stride[d] > 1:
            rests.append(position % stride[d])
    source = build.reshape(x, (batch, groups, channels // groups, *spatial, *(1,) * len(rests)))
    windows = build.reindex(source, shape, [*at, *rests], 0)
    left = build.transpose(windows, (1, 0, *range(2, len(shape))))
    split = build.reshape(weight, (groups, channels // groups, *weight.shape[1:]))
    right = build.transpose(split, (0, 2, 1, *range(3, 3 + rank)))
    y = build.contract(left, right, 1, 1 + rank)  # groups, batch, *out, filters of a group
    y = build.transpose(y, (1, 0, rank + 2, *range(2, rank + 2)))
    return with_bias(build.reshape(y, (batch, groups * weight.shape[1], *out)), bias)


def _from_points(x: Node, weight: Node, groups: int) -> Node:
    """The transposed convolution of images of one pixel: a product with the whole weight."""
    batch, channels = x.shape[:2]
    filters, kernel = weight.shape[1], weight.shape[2:]
    left = build.transpose(build.reshape(x, (batch, groups, channels // groups)), (1, 0, 2))
    right = build.reshape(weight, (groups, channels // groups, filters * prod(kernel)))
    y = build.contract(left, build.transpose(right, (0, 2, 1)), 1, 1)
    return build.reshape(build.transpose(y, (1, 0, 2)), (batch, groups * filters, *kernel))


def _conv_transpose(name: str, rank: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, extra: Any,
                    groups: Any, dilation: Any) -> Any:
    x, weight, single = _operands(name, rank, x, weight, "(channels, filters / groups, *sizes)")
    step, spread = sizes_of(stride, rank, name, "stride"), sizes_of(dilation, rank, name, "dilation")
    low, more = sizes_of(padding, rank, name, "padding", 0), sizes_of(extra, rank, name, "output_padding", 0)
    count = integer(groups, name, "groups")
    if count < 1 or x.shape[1] != weight.shape[0] or x.shape[1] % count:
        raise ShapeError(message(f"{name}: channels do not fit",
                                 [("input", described(x)), ("weight", described(weight))],
                                 "weight.shape[0] must be the input's channels, which groups must divide"))
    if any(e >= max(s, d) for e, s, d in zip(more, step, spread, strict=True)):
        raise ValueError_(message(f"{name}: output padding must be smaller than either stride or dilation",
                                  [("output_padding", str(extra)), ("stride", str(stride)),
                                   ("dilation", str(dilation))], "it chooses among the sizes that the stride allows"))
    out = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in
                zip(x.shape[2:], step, low, spread, _kernel(weight, name), more, strict=True))
    if min(out) < 1:
        raise ShapeError(message(f"{name}: the result would be empty", [("input", described(x)), ("result", str(out))],
                                 "use less padding"))
    operands = (x, weight) if bias is None else (x, weight, _bias(bias, weight.shape[1] * count, name))
    y = _convolve_transposed(*operands, stride=step, low=low, out=out, dilation=spread, groups=count)
    return y[0] if single else y


def conv_transpose1d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Array:
    """The transpose of `conv1d` with respect to its input."""
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


def conv_transpose2d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Array:
    """The transpose of `conv2d` with respect to its input."""
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


def conv_transpose3d(input: Array, weight: Array, bias: Array = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Array:
    """The transpose of `conv3d` with respect to its input."""
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


# -- pooling -----------------------------------------------------------------------------------------------------------


def lowest(dtype: dtypes.DType) -> Any:
    """The least value of a dtype."""
    return float("-inf") if dtype.kind == "f" else int(np.iinfo(dtype.numpy).min)


UNROLLED = 16  # windows of up to so many elements are taken apart: each loop runs along the image


def _number(x: Node) -> Node:
    """Infinity for NaN, as one instruction."""
    if x.dtype.kind != "f":
        return x
    top = build.full(x.shape, float("inf"), x.dtype)
    return build.select(build.binary("lt", x, top), x, top)


class MaxPool(NamedTuple):
    """The maximum of each window; its tangent is that of one element, see `first`."""

    kernel: Sizes
    stride: Sizes
    low: Sizes
    out: Sizes
    dilation: Sizes

    def windows(self, x: Node, fill: Any) -> Node:
        return window_nodes(x, len(x.shape) - len(self.kernel), self.kernel, self.out, self.stride, self.low,
                            self.dilation, fill)

    def parts(self, x: Node) -> list[Node]:
        """For each place in the window, the elements of all windows there."""
        lead, rank = len(x.shape) - len(self.kernel), len(self.kernel)
        shape = (*x.shape[:lead], *self.out)
        over = loop_vars(shape)
        found: list[Node] = []
        for place in np.ndindex(*self.kernel):
            at = (*over[:lead], *(over[lead + d] * self.stride[d] + (place[d] * self.dilation[d] - self.low[d])
                                  for d in range(rank)))
            inside = all(i.low >= 0 and i.high < size for i, size in zip(at, x.shape, strict=True))
            found.append(build.reindex(x, shape, at, None if inside or 0 in shape else lowest(x.dtype)))
        return found

    def largest(self, x: Node) -> Node:
        if build.count(self.kernel) > UNROLLED:
            return build.reduce("max", self.windows(x, lowest(x.dtype)), self.inner(x))
        first, *others = self.parts(x)
        for part in others:
            first = build.maximum(first, part)
        return first

    def inner(self, x: Node) -> tuple[int, ...]:
        return tuple(range(len(x.shape), len(x.shape) + len(self.kernel)))

    def first(self, x: Node) -> Node:
        """Which element of each window is the maximum, counted in row-major order: the first of equal ones, of NaN in
        small windows the last, as in PyTorch."""
        count = build.count(self.kernel)
        if count > UNROLLED:
            windows = self.windows(x, lowest(x.dtype))
            flat = build.reshape(windows, (*windows.shape[:len(x.shape)], count))
            return self.inside(build.arg_reduce("max", flat, len(x.shape)))
        return self.inside(self._greater(self.parts(x)))

    def inside(self, first: Node) -> Node:
        """A window of nothing but the least number would find it beside the image: its first element in the image."""
        if not any(self.low):
            return first
        lead = len(first.shape) - len(self.kernel)
        least = build.const_array(self._first_inside().astype(first.dtype.numpy))
        return build.maximum(first, build.broadcast(least, first.shape, tuple(range(lead, len(first.shape)))))

    @staticmethod
    def _greater(parts: Sequence[Node]) -> Node:
        """Which part is the last NaN, else the first of the greatest. NaN counts as infinity from then on: nothing
        follows it but NaN, which is not less or equal."""
        best = _number(parts[0])
        found = build.full(best.shape, 0, dtypes.uint8)
        for k, part in enumerate(parts[1:], 1):
            found = build.select(build.binary("le", part, best), found, build.full(best.shape, k, dtypes.uint8))
            number = _number(part)
            best = build.select(build.binary("gt", number, best), number, best)
        return found

    def _first_inside(self) -> Any:
        """The first element of each window that lies in the image, counted in row-major order."""
        found = np.zeros((1,) * len(self.kernel), np.int32)
        for d, size in enumerate(self.kernel):
            before = np.maximum(self.low[d] - np.arange(self.out[d]) * self.stride[d], 0)
            steps = -(-before // self.dilation[d]).reshape([-1 if k == d else 1 for k in range(len(self.kernel))])
            found = found * size + steps.astype(np.int32)
        return found

    def __call__(self, inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
        (x,), (t,) = inputs, tangents
        windows = self.windows(t, 0)
        first = build.broadcast(self.first(x), windows.shape, tuple(range(len(x.shape))))
        number = build.full(windows.shape, 0, first.dtype)
        for d, axis in enumerate(self.inner(x)):
            step = build.full(windows.shape, build.count(self.kernel[d + 1:]), first.dtype)
            number = build.add(number, build.mul(build.iota(windows.shape, axis, first.dtype), step))
        here = build.binary("eq", first, number)
        kept = build.select(here, windows, build.zeros_like(windows))
        return (self.largest(x),), (build.reduce("add", kept, self.inner(x)),)


@operation()
def _max_pool(x: Node, kernel: Sizes, stride: Sizes, low: Sizes, out: Sizes, dilation: Sizes) -> Node:
    rule = MaxPool(kernel, stride, low, out, dilation)
    return with_rule("max_pool", rule.largest, rule, x)[0]


_max_pool_beside_places = operation(name="max_pool_with_indices")(_max_pool.define)  # PyTorch refuses other dtypes


@operation(differentiable=False)
def _max_pool_places(x: Node, kernel: Sizes, stride: Sizes, low: Sizes, out: Sizes, dilation: Sizes) -> Node:
    """The row-major position in the input of each maximum."""
    rank = len(kernel)
    lead = len(x.shape) - rank
    rule = MaxPool(kernel, stride, low, out, dilation)
    best = build.convert(rule.first(x), dtypes.int32)
    total = build.zeros_like(best)
    left = best
    for d in range(rank):
        below = build.full(best.shape, build.count(kernel[d + 1:]), dtypes.int32)
        k = build.binary("floor_divide", left, below)
        left = build.binary("remainder", left, below)
        o = build.iota(best.shape, lead + d, dtypes.int32)
        at = build.add(build.mul(o, build.full(best.shape, stride[d], dtypes.int32)),
                       build.add(build.mul(k, build.full(best.shape, dilation[d], dtypes.int32)),
                                 build.full(best.shape, -low[d], dtypes.int32)))
        total = build.add(build.mul(total, build.full(best.shape, x.shape[lead + d], dtypes.int32)), at)
    return total


class Pooling:
    """The checked numbers of a pooling."""

    def __init__(self, name: str, rank: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any,
                 ceil_mode: bool) -> None:
        if x.ndim not in (rank + 1, rank + 2):
            raise ShapeError(message(f"{name}: input needs {rank + 2} dimensions", [("input", described(x))],
                                     "(batch, channels, *sizes)"))
        self.kernel = sizes_of(kernel, rank, name, "kernel_size")
        as_kernel = stride is None or stride == () or stride == []
        self.stride = self.kernel if as_kernel else sizes_of(stride, rank, name, "stride")
        self.low = sizes_of(padding, rank, name, "padding", 0)
        self.dilation = sizes_of(dilation, rank, name, "dilation")
        self.spatial = x.shape[-rank:]
        if any(2 * p > k for p, k in zip(self.low, self.kernel, strict=True)):
            raise ValueError_(message(f"{name}: padding may be at most half the kernel",
                                      [("padding", str(padding)), ("kernel_size", str(kernel))], "use less padding"))
        self.out = tuple(self._size(d, ceil_mode) for d in range(rank))
        if min(self.out) < 1:
            raise ShapeError(message(f"{name}: the kernel is larger than the padded input",
                                     [("input", described(x)), ("kernel_size", str(kernel))],
                                     "use a smaller kernel, or padding"))

    def _size(self, d: int, ceil_mode: bool) -> int:
        room = self.spatial[d] + 2 * self.low[d] - self.dilation[d] * (self.kernel[d] - 1) - 1
        if not ceil_mode:
            return room // self.stride[d] + 1 if room >= 0 else 0
        n = -(-room // self.stride[d]) + 1
        return n - 1 if (n - 1) * self.stride[d] >= self.spatial[d] + self.low[d] else n


def _max_pool_nd(name: str, rank: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
                 return_indices: bool) -> Any:
    x = as_tensor(x, name)
    p = Pooling(name, rank, x, kernel, stride, padding, dilation, ceil_mode)
    static = {"kernel": p.kernel, "stride": p.stride, "low": p.low, "out": p.out, "dilation": p.dilation}
    if return_indices:
        return _max_pool_beside_places(x, **static), positions(x, _max_pool_places(x, **static))
    return _max_pool(x, **static)


def positions(x: Any, places: Any) -> Any:
    """Positions in the dtype that the array type of x has for them."""
    kind = x.result_class.index_dtype
    return places.astype(kind) if kind is not None else places


def max_pool1d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window of (batch, channels, n)."""
    return _max_pool_nd("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window of (batch, channels, h, w)."""
    return _max_pool_nd("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array:
    """The maximum of each window of (batch, channels, d, h, w)."""
    return _max_pool_nd("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _reject_whole(name: str, x: Any) -> NoReturn:
    raise DTypeError(message(f"{name}: not implemented for whole numbers of {x.info.type.dtype.name}",
                             [("input", described(x))],
                             "convert it to floating-point numbers, for example with .float()"))


@operation()
def _avg_pool(x: Node, kernel: Sizes, stride: Sizes, low: Sizes, out: Sizes, include: bool,
              divisor: int | None) -> Node:
    x = x if x.dtype is dtypes.int64 else floating(x)
    over = truncated_quotient if x.dtype is dtypes.int64 else build.div  # whole numbers have whole means in PyTorch
    rank = len(kernel)
    lead = len(x.shape) - rank
    windows = window_nodes(x, lead, kernel, out, stride, low, (1,) * rank, 0)
    y = build.reduce("add", windows, tuple(range(lead + rank, lead + 2 * rank)))
    if divisor is not None:
        return over(y, build.scalar_like(y, divisor))
    counts = np.ones((1,) * rank)
    for d in range(rank):
        counts = counts * _counts(x.shape[lead + d], kernel[d], stride[d], low[d], out[d], include).reshape(
            [-1 if k == d else 1 for k in range(rank)])
    if (counts == counts.flat[0]).all():
        return over(y, build.scalar_like(y, float(counts.flat[0])))
    table = build.convert(build.const_array(counts.astype(np.float32)), x.dtype)
    return over(y, build.broadcast(table, y.shape, tuple(range(lead, lead + rank))))


def _counts(size: int, kernel: int, stride: int, low: int, out: int, include: bool) -> Any:
    """How many elements each window averages over; those beyond the padding never count."""
    start = np.arange(out) * stride - low
    stop = np.minimum(start + kernel, size + low)
    if include:
        return (stop - start).astype(float)
    return (np.minimum(stop, size) - np.maximum(start, 0)).astype(float)


def _avg_pool_nd(name: str, rank: int, x: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool,
                 divisor: Any) -> Any:
    x = as_tensor(x, name)
    if not x.info.type.dtype.is_inexact and x.info.type.dtype is not dtypes.int64:
        _reject_whole(name, x)
    p = Pooling(name, rank, x, kernel, stride, padding, 1, ceil_mode)
    if divisor == 0:
        raise ValueError_(message(f"{name}: the divisor cannot be 0", [("divisor_override", "0")],
                                  "use None or another number"))
    return _avg_pool(x, kernel=p.kernel, stride=p.stride, low=p.low, out=p.out, include=bool(include), divisor=divisor)


def avg_pool1d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Array:
    """The mean of each window of (batch, channels, n)."""
    return _avg_pool_nd("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """The mean of each window of (batch, channels, h, w)."""
    return _avg_pool_nd("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                        divisor_override)


def avg_pool3d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """The mean of each window of (batch, channels, d, h, w)."""
    return _avg_pool_nd("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                        divisor_override)


# -- adaptive pooling --------------------------------------------------------------------------------------------------


def _bounds(size: int, out: int) -> tuple[Any, Any]:
    k = np.arange(out)
    return k * size // out, -(-(k + 1) * size // out)


def _none_of(x: Node, out: Sizes) -> Node:
    """No elements, in the shape that a pooling gives."""
    lead = x.shape[:len(x.shape) - len(out)]
    flat = build.reshape(x, (*lead, build.count(x.shape[len(lead):])))
    return build.reshape(build.slice_axis(flat, len(lead), 0, 0), (*lead, *out))


@operation()
def _adaptive_avg(x: Node, out: Sizes) -> Node:
    """Each dimension averaged in turn: evenly by a reshape, else by a matrix of weights."""
    x = floating(x)
    lead = len(x.shape) - len(out)
    if 0 in out:
        return _none_of(x, out)
    for d, n in enumerate(out):
        axis, size = lead + d, x.shape[lead + d]
        if size % n == 0:
            split = build.reshape(x, (*x.shape[:axis], n, size // n, *x.shape[axis + 1:]))
            x = build.reduce("add", split, (axis + 1,))
            x = build.div(x, build.scalar_like(x, size // n))
            continue
        start, stop = _bounds(size, n)
        at = np.arange(size)
        weights = ((at >= start[:, None]) & (at < stop[:, None])) / (stop - start)[:, None]
        table = build.convert(build.const_array(weights), x.dtype)
        x = build.move_axis(build.contract(build.move_axis(x, axis, len(x.shape) - 1), table, 0, 1), len(x.shape) - 1,
                            axis)
    return x


def _adaptive_sizes(x: Any, output_size: Any, rank: int, name: str) -> Sizes:
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(message(f"{name}: input needs {rank + 2} dimensions", [("input", described(x))],
                                 "(batch, channels, *sizes)"))
    if not x.info.type.dtype.is_inexact:
        _reject_whole(name, x)
    items = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if len(items) == rank:
        items = tuple(n if item is None else item for n, item in zip(x.shape[-rank:], items, strict=True))
    if 0 in x.shape[-rank:]:
        raise ShapeError(message(f"{name}: the input has no elements to pool", [("input", described(x))],
                                 "(batch, channels, *sizes) with sizes of at least 1"))
    return sizes_of(items, rank, name, "output_size", 0)


def adaptive_avg_pool1d(input: Array, output_size: Any) -> Array:
    """Means over windows that give a certain output size."""
    x = as_tensor(input, "adaptive_avg_pool1d")
    return _adaptive_avg(x, out=_adaptive_sizes(x, output_size, 1, "adaptive_avg_pool1d"))


def adaptive_avg_pool2d(input: Array, output_size: Any) -> Array:
    """Means over windows that give a certain output size."""
    x = as_tensor(input, "adaptive_avg_pool2d")
    return _adaptive_avg(x, out=_adaptive_sizes(x, output_size, 2, "adaptive_avg_pool2d"))


def adaptive_avg_pool3d(input: Array, output_size: Any) -> Array:
    """Means over windows that give a certain output size."""
    x = as_tensor(input, "adaptive_avg_pool3d")
    return _adaptive_avg(x, out=_adaptive_sizes(x, output_size, 3, "adaptive_avg_pool3d"))


def adaptive_windows(x: Node, out: Sizes) -> tuple[Node, Any]:
    """[lead..., *spatial] -> [lead..., prod(out), window] with the lowest value where a window is shorter;
    its positions."""
    lead = len(x.shape) - len(out)
    spatial = x.shape[lead:]
    tables: list[Any] = []
    for size, n in zip(spatial, out, strict=True):
        start, stop = _bounds(size, n)
        at = start[:, None] + np.arange((stop - start).max())
        tables.append(np.where(at < stop[:, None], at, -1))
    flat = np.zeros((1, 1), np.int64)
    valid = np.ones((1, 1), bool)
    for table, size in zip(tables, spatial, strict=True):
        flat = (flat[:, None, :, None] * size + table[None, :, None, :]).reshape(flat.shape[0] * len(table), -1)
        valid = (valid[:, None, :, None] & (table >= 0)[None, :, None, :]).reshape(flat.shape)
    lined = build.reshape(x, (*x.shape[:lead], build.count(spatial)))
    taken = build.gather(lined, build.const_array(np.where(valid, flat, 0).astype(np.int32)), lead, "clip")
    inside = build.broadcast(build.const_array(valid), taken.shape, (lead, lead + 1))
    return build.select(inside, taken, build.scalar_like(taken, lowest(x.dtype))), np.where(valid, flat, 0)


def _first_largest(x: Node, out: Sizes) -> Node:
    """[lead..., prod(out)]: the row-major position in the input of the first element of each window that is the
    maximum."""
    windows, table = adaptive_windows(x, out)
    lead = len(x.shape) - len(out)
    best = build.arg_reduce("max", windows, lead + 1)
    places = build.broadcast(build.const_array(table.astype(np.int32)), windows.shape, (lead, lead + 1))
    return build.squeeze(build.take_along(places, build.expand_dims(best, (lead + 1,)), lead + 1), (lead + 1,))


@operation()
def _adaptive_max(x: Node, out: Sizes) -> Node:
    if 0 in out:
        return _none_of(x, out)
    lead = len(x.shape) - len(out)
    lined = build.reshape(x, (*x.shape[:lead], build.count(x.shape[lead:])))
    return build.reshape(build.take_along(lined, _first_largest(x, out), lead), (*x.shape[:lead], *out))


@operation(differentiable=False)
def _adaptive_max_places(x: Node, out: Sizes) -> Node:
    if 0 in out:
        return build.convert(_none_of(x, out), dtypes.int32)
    return build.reshape(_first_largest(x, out), (*x.shape[:len(x.shape) - len(out)], *out))


def _adaptive_max_nd(name: str, rank: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    x = as_tensor(x, name)
    if x.info.type.dtype.kind == "c":
        raise DTypeError(message(f"{name}: needs numbers with an order", [("input", described(x))], "use floats"))
    out = _adaptive_sizes(x, output_size, rank, name)
    if all(n and size % n == 0 for size, n in zip(x.shape[-rank:], out, strict=True)):
        even = tuple(size // n for size, n in zip(x.shape[-rank:], out, strict=True))
        return _max_pool_nd(name, rank, x, even, even, 0, 1, False, return_indices)
    y = _adaptive_max(x, out=out)
    return (y, positions(x, _adaptive_max_places(x, out=out))) if return_indices else y


def adaptive_max_pool1d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """Maxima over windows that give a certain output size."""
    return _adaptive_max_nd("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """Maxima over windows that give a certain output size."""
    return _adaptive_max_nd("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """Maxima over windows that give a certain output size."""
    return _adaptive_max_nd("adaptive_max_pool3d", 3, input, output_size, return_indices)


__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
           "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d",
           "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "max_pool1d", "max_pool2d",
           "max_pool3d"]

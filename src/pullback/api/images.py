"""Functions on images and windows: padding as PyTorch does it, interpolation, pixel shuffling, sampling, im2col."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, check_memory, described, integer, number, one_of
from pullback.api.convolution import sizes_of, window_nodes
from pullback.api.manipulation import pad_pairs
from pullback.api.reductions import floating
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.index import loop_vars
from pullback.ir.node import Node
from pullback.ops.control import by_steps
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, ValueError_, message

Array = Any


def pad(input: Array, pad: Any, mode: str = "constant", value: float | None = None) -> Array:
    """x with elements added; `pad` lists (before, after) from the last dimension on, as PyTorch does."""
    x = as_tensor(input, "pad")
    items = tuple(integer(n, "pad", "pad") for n in (pad if isinstance(pad, (tuple, list)) else (pad,)))
    if len(items) % 2 or len(items) > 2 * x.ndim:
        raise ShapeError(message("pad: needs a pair for each of the last dimensions",
                                 [("input", described(x)), ("pad", str(items))],
                                 f"at most {2 * x.ndim} numbers, an even number of them"))
    pairs = [(0, 0)] * x.ndim
    for k in range(len(items) // 2):
        pairs[-1 - k] = (items[2 * k], items[2 * k + 1])
    if mode == "reflect" and any(max(p) >= n for p, n in zip(pairs, x.shape, strict=True) if any(p)):
        raise ShapeError(message("pad: a reflection must be narrower than the dimension",
                                 [("input", described(x)), ("pad", str(items))], "use mode='circular' or 'replicate'"))
    if mode == "circular" and any(max(p) > n for p, n in zip(pairs, x.shape, strict=True) if any(p)):
        raise ShapeError(message("pad: circular padding may wrap around once, not more",
                                 [("input", described(x)), ("pad", str(items))],
                                 "at most the size of the dimension on either side, or use mode='replicate'"))
    return pad_pairs(x, tuple(pairs), mode, 0 if value is None else value)


# -- interpolation -----------------------------------------------------------------------------------------------------


def _weights(size: int, out: int, mode: str, align: bool, scale: float | None) -> Any:
    """The matrix (out, size) that interpolates one dimension."""
    k = np.arange(out, dtype=np.float64)
    step = 1 / scale if scale else size / out
    table = np.zeros((out, size))
    rows = np.arange(out)
    if mode in ("nearest", "nearest-exact"):
        at = np.floor((k + (0.5 if mode == "nearest-exact" else 0)) * step).astype(int)
        table[rows, np.clip(at, 0, size - 1)] = 1
        return table
    if mode == "area":
        start, stop = rows * size // out, -(-(rows + 1) * size // out)
        at = np.arange(size)
        return ((at >= start[:, None]) & (at < stop[:, None])) / (stop - start)[:, None]
    position = k * ((size - 1) / (out - 1) if out > 1 else 0) if align else (k + 0.5) * step - 0.5
    if mode == "cubic":
        base = np.floor(position).astype(int)
        t = position - base
        for j, w in enumerate(_cubic(t)):
            np.add.at(table, (rows, np.clip(base + j - 1, 0, size - 1)), w)
        return table
    position = np.clip(position, 0, None)
    base = np.minimum(np.floor(position).astype(int), size - 1)
    t = position - base
    np.add.at(table, (rows, base), 1 - t)
    np.add.at(table, (rows, np.minimum(base + 1, size - 1)), t)
    return table


def _smooth_weights(size: int, out: int, mode: str, align: bool, scale: float | None) -> Any:
    """The matrix (out, size) that interpolates one dimension and, where it shrinks, averages over more elements: the
    filter is stretched by the step (as in the Python Imaging Library, whose cubic has a = -0.5)."""
    step = ((size - 1) / (out - 1) if out > 1 else 0.0) if align else 1 / scale if scale else size / out
    stretch = max(step, 1.0)
    support = (2 if mode == "cubic" else 1) * stretch
    center = step * (np.arange(out) + 0.5)
    at = np.arange(size)
    start = np.maximum((center - support + 0.5).astype(int), 0)
    stop = np.minimum((center + support + 0.5).astype(int), size)
    off = np.abs((at - center[:, None] + 0.5) / stretch)
    if mode == "cubic":
        near, far = (1.5 * off - 2.5) * off * off + 1, ((-0.5 * off + 2.5) * off - 4) * off + 2
        table = np.where(off < 1, near, np.where(off < 2, far, 0.0))
    else:
        table = np.maximum(1 - off, 0.0)
    table = np.where((at >= start[:, None]) & (at < stop[:, None]), table, 0.0)
    total = table.sum(1, keepdims=True)
    return table / np.where(total == 0, 1.0, total)


def _cubic(t: Any) -> list[Any]:
    """Weights of the four neighbours, for a = -0.75."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _in_16_bits(table: Any) -> Any:
    """Weights as PyTorch has them for images of bytes: whole numbers of 16 bits over a power of two."""
    most, bits = table.max(), 0
    while bits < 22 and int(0.5 + most * 2 ** (bits + 1)) < 2 ** 15:
        bits += 1
    return np.trunc(table * 2.0 ** bits + np.copysign(0.5, table)) / 2.0 ** bits


@operation()
def _interpolate(x: Node, out: tuple[int, ...], mode: str, align: bool, scales: tuple[float | None, ...],
                 antialias: bool) -> Node:
    """One dimension after the other. The numbers 0 to 255 of an image stay such numbers after each, the last dimension
    first, as in PyTorch."""
    pixels = x.dtype is dtypes.uint8
    x = x if pixels and mode.startswith("nearest") else floating(x)
    steps = list(enumerate(zip(out, scales, strict=True)))
    for d, (n, scale) in reversed(steps) if pixels else steps:
        axis, size = 2 + d, x.shape[2 + d]
        if n == size and (scale is None or scale == 1 or (mode == "linear" and not antialias)):
            continue  # as PyTorch: what keeps its size is kept, whatever the factor
        table = (_smooth_weights if antialias else _weights)(size, n, mode, align, scale)
        if mode.startswith("nearest"):
            x = build.gather(x, build.const_array(table.argmax(1).astype(np.int32)), axis, "clip")
            continue
        last = len(x.shape) - 1
        matrix = build.convert(build.const_array(_in_16_bits(table) if pixels else table), x.dtype)
        x = build.move_axis(build.contract(build.move_axis(x, axis, last), matrix, 0, 1), last, axis)
        if pixels:
            nearest = build.floor(build.add(x, build.scalar_like(x, 0.5)))
            x = build.minimum(build.maximum(nearest, build.zeros_like(x)), build.scalar_like(x, 255))
    return build.convert(x, dtypes.uint8) if pixels else x


def _check_options(mode: str, rank: int, align_corners: bool | None, antialias: bool) -> None:
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ValueError_(message("interpolate: align_corners is for modes that interpolate", [("mode", repr(mode))],
                                  "linear, bilinear, bicubic or trilinear; or leave align_corners out"))
    if antialias and (rank != 2 or mode not in ("bilinear", "bicubic")):
        raise ValueError_(message("interpolate: antialias is for bilinear and bicubic images", [("mode", repr(mode))],
                                  "leave antialias out"))


_MODES = {"nearest": 0, "nearest-exact": 0, "linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2, "area": 0}


def _check_pixels(x: Any, mode: str) -> None:
    """Of whole numbers, only the bytes of an image are interpolated, and those that are repeated."""
    repeated = mode.startswith("nearest")
    if x.info.type.dtype is not dtypes.uint8 or not (repeated or mode in ("bilinear", "bicubic")):
        raise DTypeError(message(f"interpolate: mode {mode!r} is not implemented for such numbers",
                                 [("input", described(x))], "convert it, for example with .float()"))


def interpolate(input: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Array:
    """(batch, channels, ...) with other sizes. Modes: nearest, nearest-exact, linear, bilinear, trilinear, bicubic,
    area. With `antialias`, the two modes of images average over what shrinking leaves out."""
    x = as_tensor(input, "interpolate")
    rank = x.ndim - 2
    one_of(mode, tuple(_MODES), "interpolate", "mode")
    _check_options(mode, rank, align_corners, antialias)
    if rank < 1 or _MODES[mode] not in (0, rank):
        raise ShapeError(message(f"interpolate: mode {mode!r} does not fit the input", [("input", described(x))],
                                 "(batch, channels, ...)"))
    if not x.info.type.dtype.is_inexact:
        _check_pixels(x, mode)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(message("interpolate: give size or scale_factor",
                                    [("size", str(size)), ("scale_factor", str(scale_factor))], "exactly one of them"))
    scales: tuple[float | None, ...] = (None,) * rank
    if size is not None:
        out = sizes_of(size, rank, "interpolate", "size")
    else:
        factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * rank
        if len(factors) != rank:
            raise ValueError_(message(f"interpolate: scale_factor needs {rank} numbers",
                                      [("scale_factor", str(scale_factor))], "one per dimension"))
        if not all(0 < number(f, "interpolate", "scale_factor") < np.inf for f in factors):
            raise ValueError_(message("interpolate: scale_factor must be positive numbers",
                                      [("scale_factor", str(scale_factor))], "2.0 doubles a size"))
        out = tuple(int(np.floor(n * f)) for n, f in zip(x.shape[2:], factors, strict=True))
        scales = (None,) * rank if recompute_scale_factor or mode == "area" else tuple(float(f) for f in factors)
    if min(out) < 1 or 0 in x.shape[2:]:
        raise ShapeError(message("interpolate: sizes must be at least 1", [("input", described(x)), ("size", str(out))],
                                 "use larger ones"))
    check_memory((*x.shape[:2], *out), x.info.type.dtype, "interpolate")
    kind = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return _interpolate(x, out=out, mode=kind, align=bool(align_corners), scales=scales, antialias=bool(antialias))


# -- rearrangements ----------------------------------------------------------------------------------------------------


def upsample(input: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Array:
    """`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """`interpolate` by repeating elements."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """`interpolate` linearly, the corners kept."""
    return interpolate(input, size, scale_factor, "bilinear", True)


@operation()
def _shuffle(x: Node, r: int) -> Node:
    *lead, c, h, w = x.shape
    n = len(lead)
    split = build.reshape(x, (*lead, c // (r * r), r, r, h, w))
    moved = build.transpose(split, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return build.reshape(moved, (*lead, c // (r * r), h * r, w * r))


@operation()
def _unshuffle(x: Node, r: int) -> Node:
    *lead, c, h, w = x.shape
    n = len(lead)
    split = build.reshape(x, (*lead, c, h // r, r, w // r, r))
    moved = build.transpose(split, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return build.reshape(moved, (*lead, c * r * r, h // r, w // r))


def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """(..., c * r * r, h, w) as (..., c, h * r, w * r)."""
    x, r = as_tensor(input, "pixel_shuffle"), integer(upscale_factor, "pixel_shuffle", "upscale_factor")
    if x.ndim < 3 or r < 1 or x.shape[-3] % (r * r):
        raise ShapeError(message("pixel_shuffle: the factor's square must divide the channels",
                                 [("input", described(x)), ("factor", str(r))], "(..., c * r * r, h, w)"))
    return _shuffle(x, r=r)


def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """(..., c, h * r, w * r) as (..., c * r * r, h, w)."""
    x, r = as_tensor(input, "pixel_unshuffle"), integer(downscale_factor, "pixel_unshuffle", "downscale_factor")
    if x.ndim < 3 or r < 1 or x.shape[-1] % r or x.shape[-2] % r:
        raise ShapeError(message("pixel_unshuffle: sizes must be divisible by the factor",
                                 [("input", described(x)), ("factor", str(r))], "(..., c, h * r, w * r)"))
    return _unshuffle(x, r=r)


def _window_counts(size: tuple[int, ...], kernel: Any, dilation: Any, padding: Any, stride: Any) -> tuple[int, ...]:
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1
                 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True))


@operation()
def _unfold(x: Node, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Node:
    out = _window_counts(x.shape[2:], kernel, dilation, padding, stride)
    windows = window_nodes(x, 2, kernel, out, stride, padding, dilation, 0)
    rank = len(kernel)
    moved = build.transpose(windows, (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank)))
    return build.reshape(moved, (x.shape[0], x.shape[1] * build.count(kernel), build.count(out)))


@operation()
def _fold(x: Node, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Node:
    out = _window_counts(size, kernel, dilation, padding, stride)
    rank = len(kernel)
    channels = x.shape[1] // build.count(kernel)
    split = build.reshape(x, (x.shape[0], channels, *kernel, *out))
    over = loop_vars(split.shape)
    at = [over[2 + rank + d] * stride[d] + over[2 + d] * dilation[d] - padding[d] for d in range(rank)]
    return build.reindex_reduce(split, (x.shape[0], channels, *size), [over[0], over[1], *at])


def unfold(input: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """The windows of (batch, channels, h, w) as columns: (batch, channels * kernel elements, windows)."""
    x = as_tensor(input, "unfold")
    single = x.ndim == 3
    x = x[None] if single else x
    if x.ndim != 4:
        raise ShapeError(message("unfold: input needs four dimensions", [("input", described(x))],
                                 "(batch, channels, h, w)"))
    numbers = [sizes_of(v, 2, "unfold", w, least) for v, w, least in
               ((kernel_size, "kernel_size", 1), (dilation, "dilation", 1), (padding, "padding", 0),
                (stride, "stride", 1))]
    if min(_window_counts(x.shape[2:], *numbers)) < 1:
        raise ShapeError(message("unfold: the kernel is larger than the padded input", [("input", described(x))],
                                 "use a smaller kernel"))
    y = _unfold(x, kernel=numbers[0], dilation=numbers[1], padding=numbers[2], stride=numbers[3])
    return y[0] if single else y


def fold(input: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Array:
    """The transpose of `unfold`: columns added up where windows overlap."""
    x = as_tensor(input, "fold")
    single = x.ndim == 2
    x = x[None] if single else x
    numbers = [sizes_of(v, 2, "fold", w, least) for v, w, least in
               ((kernel_size, "kernel_size", 1), (dilation, "dilation", 1), (padding, "padding", 0),
                (stride, "stride", 1))]
    size = sizes_of(output_size, 2, "fold", "output_size")
    counts = _window_counts(size, *numbers)
    if x.ndim != 3 or x.shape[1] % (numbers[0][0] * numbers[0][1]) or x.shape[2] != counts[0] * counts[1]:
        raise ShapeError(message("fold: input must be (batch, channels * kernel elements, windows)",
                                 [("input", described(x)), ("windows", str(counts))],
                                 f"there are {counts[0] * counts[1]} windows"))
    y = _fold(x, size=size, kernel=numbers[0], dilation=numbers[1], padding=numbers[2], stride=numbers[3])
    return y[0] if single else y


# -- sampling ----------------------------------------------------------------------------------------------------------


def _unnormalise(g: Node, size: int, align: bool) -> Node:
    one, half = build.ones_like(g), build.scalar_like(g, 0.5)
    if align:
        return build.mul(build.mul(build.add(g, one), half), build.scalar_like(g, size - 1))
    scaled = build.mul(build.add(g, one), build.scalar_like(g, size))
    return build.mul(build.sub(scaled, one), half)


def _reflect(x: Node, low2: int, high2: int) -> Node:
    """Reflected about low2 / 2 and high2 / 2."""
    if low2 == high2:
        return build.zeros_like(x)
    low, span = build.scalar_like(x, low2 / 2), (high2 - low2) / 2
    off = build.unary("abs", build.sub(x, low))
    width = build.scalar_like(x, span)
    turns = build.floor(build.div(off, width))
    rest = build.sub(off, build.mul(turns, width))
    even = build.binary("eq", build.binary("remainder", turns, build.scalar_like(x, 2)), build.zeros_like(x))
    return build.select(even, build.add(rest, low), build.add(build.sub(width, rest), low))


def _placed(x: Node, size: int, padding: str, align: bool) -> Node:
    if padding == "reflection":
        x = _reflect(x, 0, 2 * (size - 1)) if align else _reflect(x, -1, 2 * size - 1)
    if padding in ("border", "reflection"):
        x = _clipped(x, build.zeros_like(x), build.scalar_like(x, size - 1))
    return x


def _clipped(x: Node, low: Node, high: Node) -> Node:
    """x between two limits; at them it does not move: what lies past the last element is no part of its slope."""
    return build.select(build.binary("le", x, low), low, build.select(build.binary("ge", x, high), high, x))


def _read(x: Node, at: list[Node], beside: Sequence[Node] = ()) -> Node:
    """x[n, :, at...] with 0 outside; `at` are float positions (n, *out) of whole numbers, which change by steps with
    those `beside`. Result (n, *out, channels)."""
    sizes = x.shape[2:]
    inside: Node | None = None
    flat: Node | None = None
    for p, size in zip(at, sizes, strict=True):
        ok = build.binary("logical_and", build.binary("ge", p, build.zeros_like(p)),
                          build.binary("le", p, build.scalar_like(p, size - 1)))
        inside = ok if inside is None else build.binary("logical_and", inside, ok)
        k = build.convert(build.minimum(build.maximum(p, build.zeros_like(p)), build.scalar_like(p, size - 1)),
                          dtypes.int32)
        flat = k if flat is None else build.add(build.mul(flat, build.scalar_like(flat, size)), k)
    assert inside is not None and flat is not None
    n, c = x.shape[:2]
    total = build.count(sizes)
    rows = build.add(build.mul(build.iota(flat.shape, 0, dtypes.int32), build.scalar_like(flat, total)), flat)
    lined = build.reshape(build.move_axis(x, 1, len(x.shape) - 1), (n * total, c))
    taken = build.gather(lined, rows, 0, "clip")
    wide = build.broadcast(inside, taken.shape, tuple(range(len(inside.shape))))
    nothing = by_steps("positions", lambda *_: build.zeros_like(taken), *beside) if beside else build.zeros_like(taken)
    return build.select(wide, taken, nothing)


@operation(promote="dtype")
def _grid_sample(x: Node, grid: Node, mode: str, padding: str, align: bool) -> Node:
    rank = len(x.shape) - 2
    sizes = x.shape[2:]
    parts = [build.reshape(build.slice_axis(grid, rank + 1, d, d + 1), grid.shape[:-1]) for d in range(rank)]
    raw = [_unnormalise(parts[rank - 1 - d], sizes[d], align) for d in range(rank)]
    if mode == "bicubic":
        y = _bicubic(x, raw, padding, align)
    else:
        at = [_placed(p, n, padding, align) for p, n in zip(raw, sizes, strict=True)]
        y = _read(x, [build.unary("round", p) for p in at], at) if mode == "nearest" else _linear(x, at)
    return build.move_axis(y, len(y.shape) - 1, 1)


def _linear(x: Node, at: list[Node]) -> Node:
    low = [build.floor(p) for p in at]
    total: Node | None = None
    for corner in range(1 << len(at)):
        weight: Node | None = None
        places: list[Node] = []
        for d, (p, f) in enumerate(zip(at, low, strict=True)):
            up = corner >> d & 1
            places.append(build.add(f, build.ones_like(f)) if up else f)
            part = build.sub(p, f) if up else build.sub(build.add(f, build.ones_like(f)), p)
            weight = part if weight is None else build.mul(weight, part)
        assert weight is not None
        value = _read(x, places)
        term = build.mul(value, build.broadcast(weight, value.shape, tuple(range(len(weight.shape)))))
        total = term if total is None else build.add(total, term)
    assert total is not None
    return total


def _bicubic(x: Node, at: list[Node], padding: str, align: bool) -> Node:
    low = [build.floor(p) for p in at]
    weights = [_cubic_nodes(build.sub(p, f)) for p, f in zip(at, low, strict=True)]
    total: Node | None = None
    for i in range(4):
        for j in range(4):
            places = [_placed(build.add(f, build.scalar_like(f, k - 1)), n, padding, align)
                      for f, k, n in zip(low, (i, j), x.shape[2:], strict=True)]
            value = _read(x, places)
            weight = build.mul(weights[0][i], weights[1][j])
            term = build.mul(value, build.broadcast(weight, value.shape, tuple(range(len(weight.shape)))))
            total = term if total is None else build.add(total, term)
    assert total is not None
    return total


def _cubic_nodes(t: Node) -> list[Node]:
    a = -0.75

    def polynomial(x: Node, *c: float) -> Node:
        y = build.scalar_like(x, c[0])
        for k in c[1:]:
            y = build.add(build.mul(y, x), build.scalar_like(x, k))
        return y

    one = build.ones_like(t)
    inner = (a + 2, -(a + 3), 0, 1)
    outer = (a, -5 * a, 8 * a, -4 * a)
    back = build.sub(one, t)
    return [polynomial(build.add(t, one), *outer), polynomial(t, *inner), polynomial(back, *inner),
            polynomial(build.add(back, one), *outer)]


def grid_sample(input: Array, grid: Array, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Array:
    """The input at positions in [-1, 1]: (batch, channels, h, w) at grid (batch, oh, ow, 2), whose last
    dimension is (x, y)."""
    x, g = as_tensor(input, "grid_sample"), as_tensor(grid, "grid_sample")
    one_of(mode, ("bilinear", "nearest", "bicubic"), "grid_sample", "mode")
    one_of(padding_mode, ("zeros", "border", "reflection"), "grid_sample", "padding_mode")
    rank = x.ndim - 2
    fits = g.ndim == rank + 2 and g.shape[-1] == rank and g.shape[0] == x.shape[0]
    if rank not in (2, 3) or not fits or (mode == "bicubic" and rank != 2):
        raise ShapeError(message("grid_sample: shapes do not fit", [("input", described(x)), ("grid", described(g))],
                                 "input (batch, channels, h, w), grid (batch, oh, ow, 2)"))
    if 0 in x.shape[2:]:
        raise ShapeError(message("grid_sample: the input has no elements to read", [("input", described(x))],
                                 "(batch, channels, h, w) with sizes of at least 1"))
    return _grid_sample(x, g, mode=mode, padding=padding_mode, align=bool(align_corners))


# -- distances ---------------------------------------------------------------------------------------------------------


@operation(promote="dtype")
def _cdist(x: Node, y: Node, p: float) -> Node:
    from pullback.api.linear_algebra import norm_nodes

    x, y = floating(x), floating(y)
    rank = len(x.shape)
    shape = (*x.shape[:-1], y.shape[-2], x.shape[-1])
    a = build.broadcast(x, shape, (*range(rank - 1), rank))
    b = build.broadcast(y, shape, (*range(rank - 2), rank - 1, rank))
    return norm_nodes(build.sub(a, b), p, (rank,))


def cdist(x1: Array, x2: Array, p: float = 2.0, compute_mode: str | None = None) -> Array:
    """The p-distances of all pairs of rows of (..., m, d) and (..., n, d)."""
    from pullback.api.manipulation import broadcast_shapes, broadcast_to

    a, b = as_tensor(x1, "cdist"), as_tensor(x2, "cdist")
    if p < 0:
        raise ValueError_(message("cdist: p must not be negative", [("p", repr(p))], "2 is the Euclidean distance"))
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(message("cdist: needs two arrays of rows of one length",
                                 [("x1", described(a)), ("x2", described(b))], "(..., m, d) and (..., n, d)"))
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return _cdist(broadcast_to(a, (*lead, *a.shape[-2:])), broadcast_to(b, (*lead, *b.shape[-2:])), p=float(p))

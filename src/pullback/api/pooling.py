"""Pooling that is not a maximum or a mean of windows, and its inverse; shuffled channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, integer, number
from pullback.api.convolution import (
    Pooling,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    positions,
    sizes_of,
)
from pullback.engine.operation import operation
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops.indexing import located
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message

Array = Any


# -- power means -------------------------------------------------------------------------------------------------------


def _power_mean(name: str, rank: int, x: Any, p: float, kernel: Any, stride: Any, ceil_mode: bool) -> Any:
    """(sum over windows of x^p)^(1/p), as PyTorch computes it: sign(s) relu(|s|) with s the mean of x^p; the largest
    |x| where p is infinite."""
    x, p = as_tensor(x, name), number(p, name, "norm_type")
    if not p:
        raise ValueError_(message(f"{name}: norm_type must not be 0", [("norm_type", repr(p))],
                                  "2 is the Euclidean norm"))
    from pullback.api.activations import relu
    from pullback.api.elementwise import abs, sign

    if p == np.inf:
        return (max_pool1d, max_pool2d, max_pool3d)[rank - 1](abs(x), kernel, stride, ceil_mode=ceil_mode)
    count = int(np.prod(sizes_of(kernel, rank, name, "kernel_size")))
    pool = (avg_pool1d, avg_pool2d, avg_pool3d)[rank - 1]
    mean = pool(x**p, kernel, stride, 0, ceil_mode)
    return (sign(mean) * relu(abs(mean)) * count) ** (1.0 / p)


def lp_pool1d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """The p-norm of each window of (batch, channels, n)."""
    return _power_mean("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """The p-norm of each window of (batch, channels, h, w)."""
    return _power_mean("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """The p-norm of each window of (batch, channels, d, h, w)."""
    return _power_mean("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


# -- the inverse of max pooling ----------------------------------------------------------------------------------------


@operation(promote="exact", name="max_unpool")
def _unpool(x: Node, places: Node, size: tuple[int, ...]) -> Node:
    lead = x.shape[:x.tensor.rank - len(size)]
    flat, at = (build.reshape(v, (*lead, build.count(v.shape[len(lead):]))) for v in (x, places))
    base = build.zeros((*lead, build.count(size)), x.dtype)
    mode = located("positive", f"max_unpool{len(size)}d")
    return build.reshape(build.put_along(base, at, flat, len(lead), "set", mode), (*lead, *size))


def _unpooled(name: str, rank: int, x: Any, indices: Any, kernel: Any, stride: Any, padding: Any, size: Any) -> Any:
    x, at = as_tensor(x, name), as_tensor(indices, name)
    if x.shape != at.shape or x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(message(f"{name}: input and indices must have equal shapes",
                                 [("input", described(x)), ("indices", described(at))], "(batch, channels, *sizes)"))
    kernels = sizes_of(kernel, rank, name, "kernel_size")
    strides = kernels if stride is None else sizes_of(stride, rank, name, "stride")
    low = sizes_of(padding, rank, name, "padding", 0)
    usual = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(x.shape[-rank:], strides, kernels, low, strict=True))
    wanted = usual if size is None else tuple(size)[-rank:]
    if any(abs(w - u) >= s for w, u, s in zip(wanted, usual, strides, strict=True)):
        raise ValueError_(message(f"{name}: output_size must be near {usual}", [("output_size", repr(size))],
                                  "it may differ by less than the stride"))
    return _unpool(x, at, size=tuple(int(n) for n in wanted))


def max_unpool1d(input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Array:
    """Maxima put back where `max_pool1d(..., return_indices=True)` found them, 0 elsewhere."""
    return _unpooled("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Array:
    """Maxima put back where `max_pool2d(..., return_indices=True)` found them, 0 elsewhere."""
    return _unpooled("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Array:
    """Maxima put back where `max_pool3d(..., return_indices=True)` found them, 0 elsewhere."""
    return _unpooled("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


# -- fractional pooling ------------------------------------------------------------------------------------------------


@operation(promote="exact", name="fractional_max_pool")
def _windows_from(x: Node, *starts: Node, kernel: tuple[int, ...]) -> tuple[Node, ...]:
    """The maximum of the windows that start at given places, [batch, channels, out] for each dimension; its place."""
    rank = len(kernel)
    batch, channels = x.shape[:2]
    out = tuple(s.shape[2] for s in starts)
    shape = (batch, channels, *out, *kernel)
    at = build.zeros(shape, dtypes.int32)
    for d in range(rank):
        start = build.broadcast(build.convert(starts[d], dtypes.int32), shape, (0, 1, 2 + d))
        here = build.add(start, build.iota(shape, 2 + rank + d, dtypes.int32))
        at = build.add(build.mul(at, build.full(shape, x.shape[2 + d], dtypes.int32)), here)
    many, window = build.count(out), build.count(kernel)
    flat = build.reshape(x, (batch, channels, build.count(x.shape[2:])))
    read = build.take_along(flat, build.reshape(at, (batch, channels, many * window)), 2)
    read, at = (build.reshape(v, (batch, channels, many, window)) for v in (read, at))
    best = build.expand_dims(build.arg_reduce("max", read, 3), (3,))
    found, places = (build.squeeze(build.take_along(v, best, 3), (3,)) for v in (read, at))
    return build.reshape(found, (batch, channels, *out)), build.reshape(places, (batch, channels, *out))


def _fractional(name: str, rank: int, x: Any, kernel: Any, output_size: Any, output_ratio: Any,
                return_indices: bool, samples: Any) -> Any:
    x = as_tensor(x, name)
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(message(f"{name}: input needs {rank + 2} dimensions", [("input", described(x))],
                                 "(batch, channels, *sizes)"))
    single = x.ndim == rank + 1
    x = x[None] if single else x
    kernels = sizes_of(kernel, rank, name, "kernel_size")
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(message(f"{name}: give either output_size or output_ratio",
                                    [("output_size", repr(output_size)), ("output_ratio", repr(output_ratio))],
                                    "exactly one of them"))
    spatial = x.shape[-rank:]
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * rank
        output_size = [int(n * r) for n, r in zip(spatial, ratios, strict=True)]
    out = sizes_of(output_size, rank, name, "output_size")
    if any(o + k - 1 > n for o, k, n in zip(out, kernels, spatial, strict=True)):
        raise ShapeError(message(f"{name}: kernel and output are too large for the input",
                                 [("input", described(x)), ("kernel_size", repr(kernel)), ("output", repr(out))],
                                 "output + kernel - 1 may be at most the size"))
    if samples is None:
        from pullback.api.random import units

        samples = units((*x.shape[:2], rank), x)
    order = range(rank) if rank == 3 else (1, 0)  # as PyTorch: (depth, height, width), but (width, height)
    starts = [_starts(samples[:, :, order[d]], n, o, k)
              for d, (n, o, k) in enumerate(zip(spatial, out, kernels, strict=True))]
    found, places = _windows_from(x, *starts, kernel=kernels)
    if single:
        found, places = found[0], places[0]
    return (found, positions(x, places)) if return_indices else found


def _starts(sample: Array, size: int, out: int, kernel: int) -> Array:
    """Where windows begin (Graham 2014): steps of alpha from a random place, the last at the end."""
    from pullback.api.elementwise import astype, floor
    from pullback.api.manipulation import concat

    u = sample[:, :, None]
    last = u * 0 + (size - kernel)
    if out == 1:
        return astype(last, dtypes.int32)
    alpha = (size - kernel) / (out - 1)
    steps = u.result_class(from_host(np.arange(out - 1, dtype=np.float32))._use())
    found = floor((steps + u) * alpha) - floor(u * alpha)
    return astype(concat([found, last], 2), dtypes.int32)


def fractional_max_pool2d(input: Array, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Array = None) -> Array:
    """Maxima of windows at random places that give a certain output size (Graham 2014)."""
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples)


def fractional_max_pool3d(input: Array, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Array = None) -> Array:
    """Maxima of windows at random places that give a certain output size (Graham 2014)."""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples)


# -- channels ----------------------------------------------------------------------------------------------------------


def channel_shuffle(input: Array, groups: int) -> Array:
    """Channels [groups, n] as [n, groups] (Zhang et al. 2018)."""
    x, groups = as_tensor(input, "channel_shuffle"), integer(groups, "channel_shuffle", "groups")
    if x.ndim < 3 or groups < 1 or x.shape[1] % groups:
        raise ShapeError(message("channel_shuffle: the channels must be a multiple of groups",
                                 [("input", described(x)), ("groups", str(groups))],
                                 "(batch, groups * n, ...)"))
    apart = x.reshape((x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return apart.swapaxes(1, 2).reshape(x.shape)


def pdist(input: Array, p: float = 2.0) -> Array:
    """Distances of all pairs of rows, first with second, first with third, ..."""
    from pullback.api.images import cdist

    x = as_tensor(input, "pdist")
    if x.ndim != 2:
        raise ShapeError(message("pdist: needs two dimensions", [("input", described(x))], "(rows, features)"))
    rows, columns = np.triu_indices(x.shape[0], 1)
    places = from_host(rows * x.shape[0] + columns, dtypes.int64)
    return cdist(x, x, p).reshape((-1,))[places]


def affine_grid(theta: Array, size: Any, align_corners: bool | None = None) -> Array:
    """Places for `grid_sample` of an affine map [batch, 2, 3] (or [batch, 3, 4])."""
    t = as_tensor(theta, "affine_grid")
    spatial = tuple(size)[2:]
    rank = len(spatial)
    if rank not in (2, 3) or tuple(t.shape[1:]) != (rank, rank + 1):
        raise ShapeError(message("affine_grid: theta and size do not fit", [("theta", described(t)),
                                                                            ("size", repr(tuple(size)))],
                                 "(batch, 2, 3) for (batch, channels, h, w)"))
    if min(size) < 1 or t.shape[0] != size[0]:
        raise ShapeError(message("affine_grid: theta and size do not fit", [("theta", described(t)),
                                                                            ("size", repr(tuple(size)))],
                                 "one map for each image of the batch, and sizes of at least 1"))
    lines = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in spatial]
    if not align_corners:
        lines = [line * (n - 1) / n for line, n in zip(lines, spatial, strict=True)]
    grids = np.meshgrid(*lines, indexing="ij")[::-1]
    points = np.stack([*grids, np.ones(spatial)], -1).reshape(-1, rank + 1)
    at = t.result_class(from_host(points.astype(t.info.type.dtype.numpy))._use())
    return (at @ t.mT).reshape((t.shape[0], *spatial, rank))


__all__ = ["Pooling", "affine_grid", "channel_shuffle", "fractional_max_pool2d",
           "fractional_max_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d",
           "max_unpool3d", "pdist"]

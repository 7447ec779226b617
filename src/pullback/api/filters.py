"""Convolution and correlation of arrays of any number of dimensions, spectra of signals, interpolation at places."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api import fourier
from pullback.api.arguments import as_tensor, described
from pullback.api.convolution import conv1d, conv2d, conv3d
from pullback.api.elementwise import astype, clip, floor, where
from pullback.api.manipulation import flip, pad
from pullback.api.reductions import mean as _mean
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.util.errors import ShapeError, UnsupportedError, ValueError_, message

Array = Any
_MODES = ("full", "same", "valid")
_PADDINGS = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def _both(name: str, x: Any, y: Any, mode: str) -> tuple[Any, Any]:
    x, y = as_tensor(x, name), as_tensor(y, name)
    if mode not in _MODES:
        raise ValueError_(message(f"{name}: no such mode", [("mode", repr(mode))], "one of " + ", ".join(_MODES)))
    if x.ndim != y.ndim or not x.ndim:
        raise ShapeError(message(f"{name}: arrays of one number of dimensions", [("x", described(x)),
                                                                                   ("y", described(y))]))
    if not x.info.type.size or not y.info.type.size:
        raise ShapeError(message(f"{name}: inputs cannot be empty", [("x", described(x)), ("y", described(y))]))
    kinds = {x.dtype.kind, y.dtype.kind}
    if "c" in kinds or "f" in kinds:
        target = max((v.dtype for v in (x, y) if v.dtype.is_inexact), key=lambda d: (d.kind == "c", d.bits))
    else:
        target = max((x.dtype, y.dtype), key=lambda d: d.bits)
    return astype(x, target), astype(y, target)


def _slid(x: Any, kernel: Any) -> Any:
    """Sums of products of a kernel with each of its places inside of x."""
    if x.dtype.kind not in "f" or x.ndim > 3:
        return _shifted(x, kernel)
    run = {1: conv1d, 2: conv2d, 3: conv3d}[x.ndim]
    return run(x[None, None], kernel[None, None])[0, 0]


def _shifted(x: Any, kernel: Any) -> Any:
    """The same for whole and complex numbers: a sum over the kernel's elements."""
    sizes = [m - n + 1 for m, n in zip(x.shape, kernel.shape, strict=True)]
    parts = [x[tuple(slice(k, k + n) for k, n in zip(at, sizes, strict=True))] * kernel[at]
             for at in itertools.product(*map(range, kernel.shape))]
    return functools.reduce(operator.add, parts)


def convolve(x: Array, y: Array, mode: str = "full", boundary: str = "fill", fill: float = 0.0) -> Array:
    """The convolution of two arrays. `mode`: all places ("full"), those of x ("same"), or where one lies wholly inside
    of the other ("valid"). What is around x is `fill`, or x again ("wrap"), or its reflection ("symm").

    >>> import pullback as pb
    >>> convolve(pb.tensor([1.0, 2.0, 3.0]), pb.tensor([1.0, 1.0]))
    Tensor([1., 3., 5., 3.], dtype=float32)
    """
    first, second = _both("convolve", x, y, mode)
    if boundary not in _PADDINGS:
        raise ValueError_(message("convolve: no such boundary", [("boundary", repr(boundary))],
                                  "one of " + ", ".join(_PADDINGS)))
    shape = tuple(first.shape)
    if mode == "valid" and any(m < n for m, n in zip(first.shape, second.shape, strict=True)):
        if any(m > n for m, n in zip(first.shape, second.shape, strict=True)):
            raise ShapeError(message("convolve: one array must be at least as large as the other in every dimension",
                                     [("x", described(first)), ("y", described(second))]))
        first, second = second, first
    widths = [(n - 1, n - 1) if mode != "valid" else (0, 0) for n in second.shape]
    options = {"constant_values": fill} if boundary == "fill" else {}
    wide = pad(first, widths, _PADDINGS[boundary], **options)
    found = _slid(wide, flip(second, tuple(range(second.ndim))))
    if mode != "same":
        return found
    return _middle(found, shape)


def _middle(found: Any, shape: Sequence[int]) -> Any:
    """The part of a shape in the middle."""
    starts = [(m - n) // 2 for m, n in zip(found.shape, shape, strict=True)]
    return found[tuple(slice(k, k + n) for k, n in zip(starts, shape, strict=True))]


def correlate(x: Array, y: Array, mode: str = "full", boundary: str = "fill", fill: float = 0.0) -> Array:
    """The correlation of two arrays: `convolve` with y's conjugate, reversed."""
    first, second = _both("correlate", x, y, mode)
    turned = flip(second.conj() if second.dtype.kind == "c" else second, tuple(range(second.ndim)))
    return convolve(first, turned, mode, boundary, fill)


def fftconvolve(x: Array, y: Array, mode: str = "full", axes: Any = None) -> Array:
    """`convolve` along axes (by default all), by Fourier transforms: nearly exact, and fast for long arrays."""
    first, second = _both("fftconvolve", x, y, mode)
    rank = first.ndim
    along = tuple(range(rank)) if axes is None else tuple(a % rank for a in ([axes] if isinstance(axes, int) else axes))
    if mode == "valid" and any(first.shape[a] < second.shape[a] for a in along):
        first, second = second, first
    sizes = [first.shape[a] + second.shape[a] - 1 for a in along]
    complex_ = first.dtype.kind == "c"
    if not first.dtype.is_inexact:
        first, second = (astype(a, dtypes.default_float()) for a in (first, second))
    forward, back = (fourier.fftn, fourier.ifftn) if complex_ else (fourier.rfftn, fourier.irfftn)
    found = back(forward(first, sizes, along) * forward(second, sizes, along), sizes, along)
    if mode == "full":
        return found
    wanted = list(found.shape)
    for a in along:
        wanted[a] = first.shape[a] if mode == "same" else first.shape[a] - second.shape[a] + 1
    return _middle(found, wanted)


# -- trends ------------------------------------------------------------------------------------------------------------


def detrend(x: Array, axis: int = -1, kind: str = "linear") -> Array:
    """x without its mean ("constant"), or without the straight line that is nearest to it ("linear")."""
    y = as_tensor(x, "detrend")
    y = y if y.dtype.is_inexact else astype(y, dtypes.default_float())
    if kind not in ("constant", "linear"):
        raise ValueError_(message("Trend type must be 'linear' or 'constant'", [("type", repr(kind))]))
    rest = y - _mean(y, axis, True)
    if kind == "constant":
        return rest
    size = y.shape[axis]
    line = np.arange(size) - (size - 1) / 2
    line = line / max(np.sqrt((line**2).sum()), 1e-30)
    shape = [1] * y.ndim
    shape[axis] = size
    slope = astype(from_host(line.reshape(shape)), y.dtype)
    return rest - slope * (rest * slope).sum(axis, keepdims=True)


# -- interpolation -----------------------------------------------------------------------------------------------------


def _reflected(at: Any, size: int) -> Any:
    """Places beyond the ends, reflected about the centres of the first and the last element."""
    if size == 1:
        return at * 0
    period = 2 * (size - 1)
    turned = at % period
    return where(turned >= size, period - turned, turned)


def _mirrored(at: Any, size: int) -> Any:
    """Places beyond the ends, reflected about the array's borders."""
    turned = at % (2 * size)
    return where(turned >= size, 2 * size - 1 - turned, turned)


_OUTSIDE = {
    "nearest": lambda at, n: clip(at, 0, n - 1),
    "grid-wrap": lambda at, n: at % n,
    "wrap": lambda at, n: at % n,
    "mirror": _reflected,
    "reflect": _mirrored,
    "constant": lambda at, n: clip(at, 0, n - 1),
}


def map_coordinates(x: Array, coordinates: Sequence[Array], order: int, mode: str = "constant",
                    fill: float = 0.0) -> Array:
    """x at places between its elements: the nearest one (`order` 0), or a linear mean of the neighbours (1).

    >>> import pullback as pb
    >>> map_coordinates(pb.tensor([0.0, 2.0]), [pb.tensor([0.25])], 1)
    Tensor([0.5], dtype=float32)
    """
    y = as_tensor(x, "map_coordinates")
    places = [as_tensor(c, "map_coordinates") for c in coordinates]
    if len(places) != y.ndim:
        raise ShapeError(message("coordinates must be a sequence of length input.ndim",
                                 [("input", described(y)), ("coordinates", str(len(places)))]))
    if order not in (0, 1):
        raise UnsupportedError(message("map_coordinates: order must be 0 or 1", [("order", str(order))]))
    if mode not in _OUTSIDE:
        raise UnsupportedError(message("map_coordinates: no such mode", [("mode", repr(mode))],
                                       "one of " + ", ".join(_OUTSIDE)))
    neighbours: list[list[tuple[Any, Any, Any]]] = []
    for place, size in zip(places, tuple(y.shape), strict=True):
        p = place if place.dtype.is_inexact else astype(place, dtypes.default_float())
        low = floor(p + 0.5) if order == 0 else floor(p)
        found = []
        for k in range(order + 1):
            at = astype(low, dtypes.int32) + k
            inside = (at >= 0) & (at < size)
            share = None if order == 0 else (p - low if k else 1.0 - (p - low))
            found.append((_OUTSIDE[mode](at, size), inside, share))
        neighbours.append(found)
    total: Any = None
    for combination in itertools.product(*neighbours):
        value = y[tuple(at for at, _, _ in combination)]
        if mode == "constant":
            inside = functools.reduce(operator.and_, [flag for _, flag, _ in combination])
            value = where(inside, value, astype(as_tensor(fill, "map_coordinates"), y.dtype))
        for _, _, share in combination:
            value = value if share is None else value * share
        total = value if total is None else total + value
    return total if y.dtype.is_inexact else astype(total.round() if order else total, y.dtype)


__all__ = ["convolve", "correlate", "detrend", "fftconvolve", "map_coordinates"]

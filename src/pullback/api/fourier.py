"""Discrete Fourier transforms, under the names of the Array API's extension, NumPy's and PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axes_of, axis_of, described, integer, number, one_of, ordered_axes
from pullback.api.complex_parts import conj
from pullback.api.creation import tensor
from pullback.api.manipulation import roll
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops.fourier import Fourier, HermitianFourier, RealFourier
from pullback.util.errors import DTypeError, ShapeError, message

Array = Any
_NORMS = (None, "backward", "ortho", "forward")
_OTHER = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _resized(x: Node, axis: int, size: int) -> Node:
    """Cut, or filled with zeros, at the end."""
    have = x.shape[axis]
    if size < have:
        return build.slice_axis(x, axis, 0, size)
    return build.pad_axis(x, axis, 0, size - have) if size > have else x


def _complex(x: Node) -> Node:
    if x.dtype.kind == "c":
        return x
    return build.convert(x, dtypes.complex128 if _is_wide(x) else dtypes.complex64)


def _is_wide(x: Node) -> bool:
    """Whether it is of float64, or becomes it."""
    return (x.dtype if x.dtype.is_inexact else dtypes.default_float()) is dtypes.float64


@operation()
def _transform(x: Node, real: bool, axes: tuple[int, ...], sizes: tuple[int, ...], inverse: bool,
               scale: float) -> Node:
    """`real`: of real numbers along the last axis, or, where `inverse`, to real numbers there."""
    for axis, size in zip(axes, sizes, strict=True):
        x = _resized(x, axis, size // 2 + 1 if real and inverse and axis == axes[-1] else size)
    rest = axes[:-1] if real else axes
    if real and not inverse:
        x = build.apply(RealFourier(axes[-1]),
                        build.convert(x, dtypes.float64 if _is_wide(x) else dtypes.float32))
    x = _complex(x)
    x = build.apply(Fourier(rest, inverse), x) if rest else x
    if real and inverse:
        x = build.apply(HermitianFourier(axes[-1], sizes[-1]), x)
    return x if scale == 1 else build.mul(x, build.scalar_like(x, scale))


def _scale(norm: str | None, count: int, inverse: bool) -> float:
    if norm == "ortho":
        return 1 / math.sqrt(count)
    return 1 / count if (norm == "forward") is not inverse else 1.0


def _ran(name: str, x: Array, axes: tuple[int, ...], sizes: tuple[int, ...], norm: Any, real: bool,
         inverse: bool) -> Array:
    norm = one_of(norm, _NORMS, name, "norm")
    if real and not inverse and x.info.type.dtype.kind == "c":
        raise DTypeError(message(f"{name}: needs real numbers", [("x", described(x))],
                                 f"use {name.replace('r', '', 1).replace('ihfft', 'fft')}, or x.real"))
    for axis, size in zip(axes, sizes, strict=True):
        if size < 1:
            raise ShapeError(message(f"{name}: a length must be 1 or more", [("x", described(x)), ("axis", str(axis)),
                                                                             ("length", str(size))],
                                     "leave it out to transform all elements"))
        if not x.shape[axis]:
            raise ShapeError(message(f"{name}: a dimension to transform has no elements", [("x", described(x))],
                                     "transform a dimension of one element or more"))
    scale = _scale(norm, math.prod(sizes), inverse)
    return _transform(x, real=real, axes=axes, sizes=sizes, inverse=inverse, scale=scale)


def _one(name: str, x: Array, n: int | None, axis: int, norm: Any, real: bool = False, inverse: bool = False) -> Array:
    x = as_tensor(x, name)
    at = axis_of(axis, x.ndim, name, x)
    half = real and inverse
    size = (2 * (x.shape[at] - 1) if half else x.shape[at]) if n is None else integer(n, name, "n")
    return _ran(name, x, (at,), (size,), norm, real, inverse)


def _several(name: str, x: Array, s: Any, axes: Any, norm: Any, real: bool = False, inverse: bool = False) -> Array:
    x = as_tensor(x, name)
    given = None if s is None else [integer(n, name, "s") for n in (s if isinstance(s, (tuple, list)) else (s,))]
    if axes is None:
        count = x.ndim if given is None else len(given)
        if count > x.ndim:
            raise ShapeError(message(f"{name}: more sizes than dimensions", [("x", described(x)), ("s", str(s))],
                                     f"give at most {x.ndim}"))
        chosen = tuple(range(x.ndim - count, x.ndim))
    else:
        chosen = ordered_axes(axes, x.ndim, name, x)
    if given is not None and len(given) != len(chosen):
        raise ShapeError(message(f"{name}: needs a size for every axis", [("s", str(s)), ("axes", str(axes))],
                                 "s and axes have equal lengths"))
    if real and not chosen:
        raise ShapeError(message(f"{name}: needs at least one axis", [("x", described(x))], "pass an array with axes"))
    sizes = [x.shape[a] for a in chosen]
    if real and inverse:
        sizes[-1] = 2 * (sizes[-1] - 1)
    if given is not None:
        sizes = [own if n == -1 else n for n, own in zip(given, sizes, strict=True)]
    return _ran(name, x, chosen, tuple(sizes), norm, real, inverse)


# -- of one axis -------------------------------------------------------------------------------------------------------


def fft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The discrete Fourier transform along an axis, of its first `n` elements (zeros are appended where there are
    fewer). `norm` "backward" divides the inverse by n, "forward" this one, "ortho" both by the root of n.

    >>> import pullback as pb
    >>> pb.fft.fft(pb.tensor([1.0, 0.0, 0.0, 0.0])).real
    Tensor([1., 1., 1., 1.], dtype=float32)
    """
    return _one("fft", x, n, axis, norm)


def ifft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The inverse of `fft`."""
    return _one("ifft", x, n, axis, norm, inverse=True)


def rfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The first n / 2 + 1 elements of the transform of real numbers; the others are conjugates of these.

    >>> import pullback as pb
    >>> pb.fft.rfft(pb.ones(4)).real
    Tensor([4., 0., 0.], dtype=float32)
    """
    return _one("rfft", x, n, axis, norm, real=True)


def irfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The inverse of `rfft`: `n` real numbers, 2 (m - 1) of m elements if `n` is not given."""
    return _one("irfft", x, n, axis, norm, real=True, inverse=True)


def hfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The transform, real numbers, of n elements that mirror their conjugates, of which half and one are given."""
    return _one("hfft", conj(as_tensor(x, "hfft")), n, axis, _swapped(norm, "hfft"), real=True, inverse=True)


def ihfft(x: Array, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Array:
    """The inverse of `hfft`."""
    return conj(_one("ihfft", x, n, axis, _swapped(norm, "ihfft"), real=True))


def _swapped(norm: Any, name: str) -> str:
    return _OTHER[one_of(norm, _NORMS, name, "norm")]


# -- of several axes ---------------------------------------------------------------------------------------------------


def fftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
         norm: str | None = "backward") -> Array:
    """`fft` along several axes (all by default), of `s` elements of each."""
    return _several("fftn", x, s, axes, norm)


def ifftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
          norm: str | None = "backward") -> Array:
    """The inverse of `fftn`."""
    return _several("ifftn", x, s, axes, norm, inverse=True)


def rfftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
          norm: str | None = "backward") -> Array:
    """`fftn` of real numbers; of the last axis only the first half and one are given."""
    return _several("rfftn", x, s, axes, norm, real=True)


def irfftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
           norm: str | None = "backward") -> Array:
    """The inverse of `rfftn`."""
    return _several("irfftn", x, s, axes, norm, real=True, inverse=True)


def hfftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
          norm: str | None = "backward") -> Array:
    """`hfft` along the last of several axes, `fft` along the others."""
    return _several("hfftn", conj(as_tensor(x, "hfftn")), s, axes, _swapped(norm, "hfftn"), real=True, inverse=True)


def ihfftn(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
           norm: str | None = "backward") -> Array:
    """The inverse of `hfftn`."""
    return conj(_several("ihfftn", x, s, axes, _swapped(norm, "ihfftn"), real=True))


def _of_two(name: str, several: Any) -> Any:
    def function(x: Array, /, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
                 norm: str | None = "backward") -> Array:
        return several(x, s, axes, norm)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{several.__name__}` along two axes, the last ones by default."
    return function


fft2, ifft2, rfft2, irfft2 = (_of_two(f.__name__[:-1] + "2", f) for f in (fftn, ifftn, rfftn, irfftn))
hfft2, ihfft2 = (_of_two(f.__name__[:-1] + "2", f) for f in (hfftn, ihfftn))


# -- frequencies -------------------------------------------------------------------------------------------------------


def _frequencies(name: str, n: int, d: float, dtype: Any, half: bool) -> Array:
    count, spacing = integer(n, name, "n"), number(d, name, "d")
    if count < 1 or not spacing:
        raise ShapeError(message(f"{name}: n must be 1 or more, and d not 0", [("n", str(n)), ("d", str(d))],
                                 "n is the length that was transformed"))
    target = dtypes.float32 if dtype is None else dtypes.dtype_of(dtype)
    if target.kind != "f":
        raise DTypeError(message(f"{name}: frequencies are floating-point numbers", [("dtype", target.name)],
                                 "leave dtype out"))
    steps = np.arange(count // 2 + 1) if half else np.fft.fftfreq(count, 1 / count).round()
    return tensor(steps / (count * spacing), dtype=target)


def fftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies of `fft` of n elements that are `d` apart.

    >>> import pullback as pb
    >>> pb.fft.fftfreq(4)
    Tensor([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32)
    """
    return _frequencies("fftfreq", n, d, dtype, False)


def rfftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies of `rfft` of n elements that are `d` apart."""
    return _frequencies("rfftfreq", n, d, dtype, True)


def _shifted(name: str, x: Array, axes: Any, back: bool) -> Array:
    x = as_tensor(x, name)
    chosen = axes_of(axes, x.ndim, name, x)
    if not chosen:
        return x
    return roll(x, tuple(-(x.shape[a] // 2) if back else x.shape[a] // 2 for a in chosen), chosen)


def fftshift(x: Array, /, axes: Any = None) -> Array:
    """The frequency 0 in the middle."""
    return _shifted("fftshift", x, axes, False)


def ifftshift(x: Array, /, axes: Any = None) -> Array:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, True)


__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn",
           "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn"]

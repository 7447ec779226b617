"""`jax.scipy.signal`: convolution, correlation, trends, short-time spectra."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api import filters
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import fft
from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax.array import lift
from pullback.util.errors import ShapeError, UnsupportedError, ValueError_, message


def _one(x: Any, name: str) -> Any:
    found = border.array_of(x, name)
    return found if found.dtype.is_inexact else found.astype(border.default_float())


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None) -> Any:
    """The convolution of two arrays."""
    target = filters.fftconvolve if method == "fft" else filters.convolve
    return lift(target(_one(in1, "convolve"), _one(in2, "convolve"), mode))


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None) -> Any:
    """The correlation of two arrays."""
    return lift(filters.correlate(_one(in1, "correlate"), _one(in2, "correlate"), mode))


def _plane(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    first, second = _one(x, name), _one(y, name)
    if first.ndim != 2 or second.ndim != 2:
        raise ShapeError(message(f"{name}() only supports 2-dimensional inputs.",
                                 [("shapes", f"{first.shape}, {second.shape}")]))
    return first, second


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0, precision: Any = None
) -> Any:
    """The convolution of two matrices."""
    return lift(filters.convolve(*_plane("convolve2d", in1, in2), mode, boundary, fillvalue))


def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0, precision: Any = None
) -> Any:
    """The correlation of two matrices."""
    first, second = _plane("correlate2d", in1, in2)
    if mode != "same":
        return lift(filters.correlate(first, second, mode, boundary, fillvalue))
    whole = lift(filters.correlate(first, second, "full", boundary, fillvalue))
    rows, columns = (n // 2 for n in second.shape)  # an even kernel's centre is its second element here
    return whole[rows : rows + first.shape[0], columns : columns + first.shape[1]]


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The convolution of two arrays, by Fourier transforms."""
    return lift(filters.fftconvolve(_one(in1, "fftconvolve"), _one(in2, "fftconvolve"), mode, axes))


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: None = None) -> Any:
    """An array without its mean, or without its nearest straight line."""
    if not (isinstance(bp, int) and bp == 0):
        raise UnsupportedError(message("detrend: break points", [("bp", repr(bp))], "detrend the parts"))
    return lift(filters.detrend(_one(data, "detrend"), axis, type))


# -- short-time spectra ------------------------------------------------------------------------------------------------


def _window(window: Any, length: int, dtype: Any) -> Any:
    """A window by name, periodic, or as it is given."""
    if not isinstance(window, (str, tuple)):
        return border.asarray(window)
    at = 2 * np.pi * np.arange(length) / length
    shapes = {"boxcar": np.ones(length), "hann": 0.5 - 0.5 * np.cos(at), "hamming": 0.54 - 0.46 * np.cos(at),
              "blackman": 0.42 - 0.5 * np.cos(at) + 0.08 * np.cos(2 * at)}
    if window not in shapes:
        raise ValueError_(message(f"Unknown window type {window!r}", help="one of " + ", ".join(shapes)))
    return border.asarray(shapes[window], dtype)


def _frames(x: Any, length: int, step: int) -> Any:
    """[..., frames, length]: the parts of the last dimension, `step` apart."""
    starts = np.arange(0, x.shape[-1] - length + 1, step)
    return x[..., border.asarray((starts[:, None] + np.arange(length)[None]).astype(np.int32))]


def _spectra(x: Any, window: Any, length: int, overlap: int, points: int, trend: Any, onesided: bool) -> Any:
    frames = _frames(x, length, length - overlap)
    if trend:
        frames = lift(filters.detrend(frames, -1, trend)) if isinstance(trend, str) else trend(frames)
    return (fft.rfft if onesided else fft.fft)(frames * window, points, -1)


def _sizes(size: int, window: Any, nperseg: int | None, noverlap: int | None, nfft: int | None,
           default: int) -> tuple[int, int, int]:
    length = nperseg or (default if isinstance(window, (str, tuple)) else len(window))
    length = min(length, size) if isinstance(window, (str, tuple)) else length
    overlap = length // 2 if noverlap is None else noverlap
    if overlap >= length:
        raise ValueError_(message("noverlap must be less than nperseg.", [("noverlap", str(overlap))]))
    points = nfft or length
    if points < length:
        raise ValueError_(message("nfft must be greater than or equal to nperseg.", [("nfft", str(points))]))
    return length, overlap, points


def stft(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int = 256, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = False, return_onesided: bool = True, boundary: str | None = "zeros",
    padded: bool = True, axis: int = -1,
) -> tuple[Any, Any, Any]:
    """Frequencies, times, and the spectra of overlapping parts of a signal."""
    y = jnp.moveaxis(_one(x, "stft"), axis, -1)
    length, overlap, points = _sizes(y.shape[-1], window, nperseg, noverlap, nfft, 256)
    rest = [(0, 0)] * (y.ndim - 1)
    if boundary is not None:
        modes = {"zeros": "constant", "even": "reflect"}
        if boundary not in modes:
            raise UnsupportedError(message("stft: no such boundary", [("boundary", repr(boundary))], "zeros, even"))
        y = jnp.pad(y, [*rest, (length // 2, length // 2)], modes[boundary])
    step = length - overlap
    if padded:
        y = jnp.pad(y, [*rest, (0, -(y.shape[-1] - length) % step % length)])
    onesided = return_onesided and y.dtype.kind != "c"
    shape = _window(window, length, y.dtype)
    found = _spectra(y, shape, length, overlap, points, detrend, onesided) / shape.sum()
    times = jnp.arange(length / 2, y.shape[-1] - length / 2 + 1, step) / fs
    times = times - (length / 2) / fs if boundary is not None else times
    frequencies = (fft.rfftfreq if onesided else fft.fftfreq)(points, 1 / fs)
    found = jnp.moveaxis(found, -1, -2)
    return frequencies, times, jnp.moveaxis(found, -2, axis if axis >= 0 else axis - 1)


def csd(
    x: Any, y: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1, average: str = "mean",
) -> tuple[Any, Any]:
    """Frequencies, and the cross spectrum of two signals: the mean over overlapping parts."""
    a = jnp.moveaxis(_one(x, "csd"), axis, -1)
    b = a if y is None or y is x else jnp.moveaxis(_one(y, "csd"), axis, -1)
    length, overlap, points = _sizes(a.shape[-1], window, nperseg, noverlap, nfft, a.shape[-1])
    shape = _window(window, length, a.dtype)
    if scaling not in ("density", "spectrum"):
        raise ValueError_(message(f"Unknown scaling: {scaling!r}", help="'density' or 'spectrum'"))
    scale = 1.0 / (fs * (shape * shape).sum()) if scaling == "density" else 1.0 / shape.sum() ** 2
    onesided = return_onesided and a.dtype.kind != "c" and b.dtype.kind != "c"
    first, second = (_spectra(v, shape, length, overlap, points, detrend, onesided) for v in (a, b))
    power = jnp.conj(first) * second * scale
    if onesided:
        twice = np.full(power.shape[-1], 2.0)
        twice[0] = 1.0
        twice[-1] = 1.0 if points % 2 == 0 else 2.0
        power = power * border.asarray(twice, a.dtype)
    found = jnp.mean(power, axis=-2) if average == "mean" else jnp.median(power.real, axis=-2)
    frequencies = (fft.rfftfreq if onesided else fft.fftfreq)(points, 1 / fs)
    return frequencies, jnp.moveaxis(found, -1, axis)


def welch(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1, average: str = "mean",
) -> tuple[Any, Any]:
    """Frequencies, and the power spectrum of a signal: the mean over overlapping parts."""
    frequencies, found = csd(x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis,
                             average)
    return frequencies, found.real


__getattr__, __dir__ = names(__name__, {})

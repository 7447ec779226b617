"""Windows, and Fourier transforms of short parts of a signal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api.arguments import as_tensor, described, dtype_or, integer, one_of
from pullback.api.complex_parts import conj
from pullback.api.creation import ones, tensor
from pullback.api.elementwise import square
from pullback.api.fourier import fft, ifft, irfft, rfft
from pullback.api.manipulation import broadcast_to, pad_pairs, reshape, swapaxes, unfold
from pullback.api.reindexing import reindex_reduce
from pullback.ir import dtypes
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any


# -- windows -----------------------------------------------------------------------------------------------------------


def _window(name: str, length: Any, periodic: bool, dtype: Any, values: Any) -> Array:
    """A window of `length` elements: the first ones of one that is one longer and symmetric, where `periodic`."""
    n = integer(length, name, "window_length")
    kind = dtype_or(dtype, dtypes.float32)
    if n < 0 or kind.kind != "f":
        raise ValueError_(message(f"{name}: needs a length of 0 or more and a floating-point dtype",
                                  [("window_length", str(n)), ("dtype", kind.name)]))
    count = n + 1 if periodic else n
    share = np.arange(n) / max(count - 1, 1)
    return ones((n,), dtype=kind) if n <= 1 else tensor(values(share), dtype=kind)


def _cosines(*weights: float) -> Any:
    """Sums of cosines of 0, 1, 2 turns."""
    return lambda share: sum(w * np.cos(2 * np.pi * k * share) for k, w in enumerate(weights))


def hann_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Array:
    """One half minus half a cosine.

    >>> import pullback as pb
    >>> pb.hann_window(4)
    Tensor([0. , 0.5, 1. , 0.5], dtype=float32)
    """
    return _window("hann_window", window_length, periodic, dtype, _cosines(0.5, -0.5))


def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
                   dtype: Any = None) -> Array:
    """alpha - beta cos(2 pi n / N)."""
    return _window("hamming_window", window_length, periodic, dtype, _cosines(alpha, -beta))


def blackman_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Array:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    return _window("blackman_window", window_length, periodic, dtype, _cosines(0.42, -0.5, 0.08))


def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Array:
    """A triangle."""
    return _window("bartlett_window", window_length, periodic, dtype, lambda share: 1 - np.abs(2 * share - 1))


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None) -> Array:
    """Kaiser's window, of a modified Bessel function."""
    return _window("kaiser_window", window_length, periodic, dtype,
                   lambda share: np.i0(beta * np.sqrt(np.maximum(1 - (2 * share - 1) ** 2, 0))) / np.i0(beta))


# -- short-time transforms ---------------------------------------------------------------------------------------------


def _frames(name: str, n_fft: Any, hop: Any, width: Any, window: Any) -> tuple[int, int, Any]:
    """The size of a transform, the step from one to the next, and the window, filled with zeros to that size."""
    size = integer(n_fft, name, "n_fft")
    step = max(size // 4, 1) if hop is None else integer(hop, name, "hop_length")
    length = size if width is None else integer(width, name, "win_length")
    if size < 1 or step < 1 or not 1 <= length <= size:
        raise ValueError_(message(f"{name}: n_fft and hop_length are 1 or more, win_length from 1 to n_fft",
                                  [("n_fft", str(size)), ("hop_length", str(step)), ("win_length", str(length))]))
    window = ones((length,)) if window is None else as_tensor(window, name)
    if window.shape != (length,):
        raise ShapeError(message(f"{name}: the window must have win_length elements",
                                 [("window", described(window)), ("win_length", str(length))],
                                 f"pb.hann_window({length})"))
    left = (size - length) // 2
    return size, step, pad_pairs(window, ((left, size - length - left),), "constant", 0)


def stft(input: Array, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Array = None,
         center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
         onesided: bool | None = None) -> Array:
    """The Fourier transforms of parts of signals [..., time], each `n_fft` elements under a window, `hop_length` apart:
    complex numbers [..., frequency, part].

    `center`: the first part has the first element in its middle (the signal is padded at both ends). `normalized`:
    divided by the root of n_fft. `onesided`: half the frequencies, the default for real numbers.
    """
    x = as_tensor(input, "stft")
    if x.ndim not in (1, 2) or not x.info.type.dtype.is_inexact:
        raise ShapeError(message("stft: needs floats or complex numbers [time] or [batch, time]",
                                 [("input", described(x))], "reshape it"))
    size, step, window = _frames("stft", n_fft, hop_length, win_length, window)
    lone = x.ndim == 1
    x = reshape(x, (1, -1)) if lone else x
    if center:
        one_of(pad_mode, ("reflect", "constant", "replicate", "circular"), "stft", "pad_mode")
        mode = {"replicate": "edge", "circular": "wrap"}.get(pad_mode, pad_mode)
        if mode == "reflect" and size // 2 >= x.shape[1]:
            raise ShapeError(message("stft: too few elements to reflect at the ends",
                                     [("input", described(x)), ("n_fft", str(size))],
                                     'pad_mode="constant", or a smaller n_fft'))
        x = pad_pairs(x, ((0, 0), (size // 2, size // 2)), mode, 0)
    if x.shape[1] < size:
        raise ShapeError(message("stft: the signal is shorter than n_fft", [("input", described(x)),
                                                                            ("n_fft", str(size))], "center=True"))
    one = not x.is_complex() and not window.is_complex() if onesided is None else bool(onesided)
    if one and (x.is_complex() or window.is_complex()):
        raise DTypeError(message("stft: complex numbers have no half of their frequencies",
                                 [("input", described(x))], "onesided=False"))
    parts = unfold(x, 1, size, step) * window
    found = (rfft if one else fft)(parts, norm="ortho" if normalized else "backward")
    found = swapaxes(found, 1, 2)
    return found[0] if lone else found


def _added(parts: Any, step: int) -> Any:
    """Parts [batch, part, element] put `step` apart and added up."""
    batch, count, size = parts.shape
    return reindex_reduce(parts, "add", (batch, (count - 1) * step + size), ["i0", f"i1*{step}+i2"])


def istft(input: Array, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
          window: Array = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
          length: int | None = None, return_complex: bool = False) -> Array:
    """The inverse of `stft`, by least squares: the windowed parts, divided by the sum of the squares of the windows."""
    x = as_tensor(input, "istft")
    if x.ndim not in (2, 3) or not x.is_complex():
        raise ShapeError(message("istft: needs complex numbers [frequency, part] or [batch, frequency, part]",
                                 [("input", described(x))], "pass what stft returned"))
    size, step, window = _frames("istft", n_fft, hop_length, win_length, window)
    lone = x.ndim == 2
    x = swapaxes(x[None] if lone else x, 1, 2)
    one = x.shape[-1] != size if onesided is None else bool(onesided)
    if x.shape[-1] != (size // 2 + 1 if one else size) or (one and return_complex):
        raise ShapeError(message("istft: the frequencies do not fit n_fft", [("input", described(x)),
                                                                           ("n_fft", str(size))],
                                 f"{size // 2 + 1} of them, or {size} with onesided=False"))
    norm = "ortho" if normalized else "backward"
    parts = irfft(x, n=size, norm=norm) if one else ifft(x, norm=norm)
    parts = parts if one or return_complex else parts.real
    weights = broadcast_to(reshape(square(window) if not window.is_complex() else (window * conj(window)).real,
                                   (1, 1, size)), (1, x.shape[1], size))
    total = _summed(parts * window, step)
    scale = _added(weights, step)
    start = size // 2 if center else 0
    whole = total.shape[1]
    stop = whole - start if length is None else min(start + integer(length, "istft", "length"), whole)
    total, scale = total[:, start:stop], scale[:, start:stop]
    if scale.numpy().min(initial=math.inf) < 1e-11:
        raise ValueError_(message("istft: the windows leave some elements out", [("window", described(window)),
                                                                               ("hop_length", str(step))],
                                  "a smaller hop_length, or center=True"))
    found = total / scale
    if length is not None and found.shape[1] < length:
        found = pad_pairs(found, ((0, 0), (0, length - found.shape[1])), "constant", 0)
    return found[0] if lone else found


def _summed(parts: Any, step: int) -> Any:
    """`_added`, of complex numbers too."""
    if not parts.is_complex():
        return _added(parts, step)
    from pullback.api.complex_parts import complex_of

    return complex_of(_added(parts.real, step), _added(parts.imag, step))


__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "istft", "kaiser_window", "stft"]

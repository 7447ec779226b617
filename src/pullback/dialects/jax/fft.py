"""`jax.numpy.fft`: the array room's transforms."""

from __future__ import annotations

from typing import Any

from pullback.api import fourier
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import default_float, lift, wanted


def _one(name: str) -> Any:
    native = vars(fourier)[name]

    def call(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
        return lift(native(border.asarray(a), n, axis, norm))

    call.__name__, call.__doc__ = name, native.__doc__
    return call


def _several(name: str) -> Any:
    native = vars(fourier)[name]
    default = (-2, -1) if name.endswith("2") else None

    def call(a: Any, s: Any = None, axes: Any = default, norm: str | None = None) -> Any:
        return lift(native(border.asarray(a), s, axes, norm))

    call.__name__, call.__doc__ = name, native.__doc__
    return call


fft, ifft, rfft, irfft, hfft, ihfft = map(_one, ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"))
fft2, ifft2, rfft2, irfft2 = map(_several, ("fft2", "ifft2", "rfft2", "irfft2"))
fftn, ifftn, rfftn, irfftn = map(_several, ("fftn", "ifftn", "rfftn", "irfftn"))


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `fft` of n elements that are d apart."""
    border.on_device(None, device)
    return lift(fourier.fftfreq(n, d, dtype=wanted(dtype, "fftfreq") or default_float()))


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `rfft` of n elements that are d apart."""
    border.on_device(None, device)
    return lift(fourier.rfftfreq(n, d, dtype=wanted(dtype, "rfftfreq") or default_float()))


def fftshift(x: Any, axes: Any = None) -> Any:
    """The frequency 0 in the middle."""
    return lift(fourier.fftshift(border.asarray(x), axes))


def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return lift(fourier.ifftshift(border.asarray(x), axes))


__getattr__, __dir__ = names(__name__, {})

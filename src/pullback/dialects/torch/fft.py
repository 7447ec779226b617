"""`torch.fft`: the array room's transforms, of `input` along `dim`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api import fourier
from pullback.dialects import names
from pullback.dialects.torch.dtypes import DefaultDtype, checked_device, dtype_argument
from pullback.dialects.torch.tensors import as_torch, styled
from pullback.dialects.torch.written import put


def _written(found: Any, out: Any, name: str) -> Any:
    return found if out is None else put(found, out, name)


def _one(native: Callable[..., Any]) -> Any:
    def call(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
        return _written(native(as_torch(input), n, dim, norm), out, native.__name__)

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


def _several(native: Callable[..., Any], default: Any) -> Any:
    def call(input: Any, s: Any = None, dim: Any = default, norm: str | None = None, *, out: Any = None) -> Any:
        dims = (dim,) if isinstance(dim, int) else dim
        return _written(native(as_torch(input), s, dims, norm), out, native.__name__)

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


fft, ifft, rfft, irfft, hfft, ihfft = map(_one, (fourier.fft, fourier.ifft, fourier.rfft, fourier.irfft, fourier.hfft,
                                                 fourier.ihfft))
fftn, ifftn, rfftn, irfftn, hfftn, ihfftn = (_several(f, None) for f in (
    fourier.fftn, fourier.ifftn, fourier.rfftn, fourier.irfftn, fourier.hfftn, fourier.ihfftn))
fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = (_several(f, (-2, -1)) for f in (
    fourier.fft2, fourier.ifft2, fourier.rfft2, fourier.irfft2, fourier.hfft2, fourier.ihfft2))


def _frequencies(native: Callable[..., Any]) -> Any:
    def call(n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
        checked_device(device, layout)
        kind = DefaultDtype.current if dtype is None else dtype_argument(dtype)
        found = styled(native(n, d, dtype=kind))
        return _written(found.requires_grad_() if requires_grad else found, out, native.__name__)

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


fftfreq, rfftfreq = _frequencies(fourier.fftfreq), _frequencies(fourier.rfftfreq)


def fftshift(input: Any, dim: Any = None) -> Any:
    """The frequency 0 in the middle."""
    return fourier.fftshift(as_torch(input), dim)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return fourier.ifftshift(as_torch(input), dim)


__getattr__, __dir__ = names(__name__, {})
__all__ = [*fourier.__all__]

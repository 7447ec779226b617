"""Windows and short-time Fourier transforms, as PyTorch orders their arguments; `torch.signal.windows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api import complex_parts, signals
from pullback.dialects.torch.dtypes import DefaultDtype, checked_device, dtype_argument
from pullback.dialects.torch.tensors import as_torch, styled
from pullback.util.errors import ValueError_, message


def _window(native: Callable[..., Any]) -> Any:
    def call(window_length: int, periodic: bool = True, *parameters: float, dtype: Any = None, layout: Any = None,
             device: Any = None, pin_memory: bool = False, requires_grad: bool = False, **named: float) -> Any:
        checked_device(device, layout)
        kind = DefaultDtype.current if dtype is None else dtype_argument(dtype)
        found = styled(native(window_length, periodic, *parameters, dtype=kind, **named))
        return found.requires_grad_() if requires_grad else found

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


hann_window, hamming_window, blackman_window, bartlett_window, kaiser_window = map(_window, (
    signals.hann_window, signals.hamming_window, signals.blackman_window, signals.bartlett_window,
    signals.kaiser_window))


def stft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
         center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
         return_complex: bool | None = None, align_to_window: bool | None = None) -> Any:
    """The Fourier transforms of parts of a signal."""
    x = as_torch(input)
    if return_complex is None and not x.is_complex():
        raise ValueError_(message("stft: real signals need return_complex", [("input", repr(x.info.type))],
                                  "return_complex=True gives complex numbers, False pairs of real ones"))
    found = signals.stft(x, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided)
    return found if return_complex or return_complex is None else complex_parts.view_as_real(found)


def istft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
          center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
          return_complex: bool = False) -> Any:
    """The inverse of `stft`."""
    return signals.istft(as_torch(input), n_fft, hop_length, win_length, window, center, normalized, onesided, length,
                         return_complex)


__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "istft", "kaiser_window", "stft"]

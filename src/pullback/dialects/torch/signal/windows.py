"""`torch.signal.windows`: the windows of the array room, symmetric unless `sym=False`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api import signals
from pullback.dialects import names
from pullback.dialects.torch.dtypes import DefaultDtype, checked_device, dtype_argument
from pullback.dialects.torch.tensors import styled


def _window(native: Callable[..., Any]) -> Any:
    def call(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False, **parameters: float) -> Any:
        checked_device(device)
        kind = DefaultDtype.current if dtype is None else dtype_argument(dtype)
        found = styled(native(M, not sym, dtype=kind, **parameters))
        return found.requires_grad_() if requires_grad else found

    call.__name__, call.__doc__ = native.__name__.removesuffix("_window"), native.__doc__
    return call


hann, hamming, blackman, bartlett, kaiser = map(_window, (
    signals.hann_window, signals.hamming_window, signals.blackman_window, signals.bartlett_window,
    signals.kaiser_window))
__getattr__, __dir__ = names(__name__, {})

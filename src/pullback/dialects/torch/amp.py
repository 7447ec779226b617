"""`torch.amp`: on the CPU, and idle, with a warning, where it is asked for on a device that is not there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from pullback.dialects.torch.dtypes import device
from pullback.dialects.torch.tensors import Tensor
from pullback.train import amp as native
from pullback.util import tree


def is_autocast_available(device_type: str) -> bool:
    """Whether there is `autocast` for a device."""
    return native.is_autocast_available(device_type)


def _elsewhere(what: str, device_type: Any, enabled: bool) -> bool:
    """Whether something is for another device than the CPU; there is none, which PyTorch says in a warning."""
    kind = device(device_type).type
    if kind != "cpu" and enabled:
        warnings.warn(f"{what} for {kind!r} is disabled: there is no such device here; "
                      f"{what}(\"cpu\") works on the CPU", stacklevel=3)
    return kind != "cpu"


class autocast(native.autocast):
    """Compute products in a 16-bit dtype and losses in float32, in a `with` block or a decorated function."""

    def __init__(self, device_type: Any, dtype: Any = None, enabled: bool = True,
                 cache_enabled: bool | None = None) -> None:
        self._idle = _elsewhere("autocast", device_type, enabled)
        super().__init__("cpu", None if self._idle else dtype, enabled and not self._idle)

    def __enter__(self) -> autocast:
        if not self._idle:
            super().__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._idle:
            super().__exit__(*exception)


class GradScaler(native.GradScaler):
    """Scales losses so that small gradients do not vanish in float16; `GradScaler("cpu")` does so here."""

    def __init__(self, device: Any = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        idle = _elsewhere("GradScaler", device, enabled)
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled and not idle)


def custom_fwd(fwd: Any = None, *, device_type: Any = "cuda", cast_inputs: Any = None) -> Any:
    """For `forward` of an `autograd.Function`: under `autocast` compute with arguments of the dtype `cast_inputs`."""
    if fwd is None:
        return partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    if cast_inputs is None or device(device_type).type != "cpu":
        return fwd

    @wraps(fwd)
    def forward(*args: Any, **options: Any) -> Any:
        if not native.is_autocast_enabled():
            return fwd(*args, **options)
        args, options = tree.map(lambda x: x.to(cast_inputs) if isinstance(x, Tensor) and x.is_floating_point() else x,
                                 (args, options))
        with autocast("cpu", enabled=False):
            return fwd(*args, **options)

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: Any = "cuda") -> Any:
    """For `backward` of an `autograd.Function`: it computes in the precision of its arguments as it is."""
    return partial(custom_bwd, device_type=device_type) if bwd is None else bwd

"""`torch.cuda`: the truth, and an error with a cure where a device is used that is not there."""

from __future__ import annotations

from typing import Any

from pullback.dialects import names
from pullback.dialects.torch.dtypes import no_device, tensor_types

globals().update(tensor_types("torch.cuda"))


def is_available() -> bool:
    """False: there is no CUDA device."""
    return False


def is_initialized() -> bool:
    """False: there is no CUDA device."""
    return False


def device_count() -> int:
    """0: there is no CUDA device."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing to do: there is no generator to seed, as in PyTorch without a device."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing to do: there is no cache."""


def synchronize(device: Any = None) -> None:
    """Raises: there is no CUDA device."""
    raise no_device("cuda")


def _refuse(*args: Any, **options: Any) -> Any:
    """Raises: there is no CUDA device."""
    raise no_device("cuda")


current_device = get_device_name = get_device_properties = set_device = device = _refuse
stream = Stream = Event = get_device_capability = mem_get_info = current_stream = default_stream = _refuse
memory_summary = reset_peak_memory_stats = get_rng_state = set_rng_state = ipc_collect = utilization = _refuse


def memory_allocated(device: Any = None) -> int:
    """0: nothing is on a device."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Nothing: there is no CUDA device."""
    return {}


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no CUDA device."""
    return False


__getattr__, __dir__ = names(__name__, {"dialects.torch.cuda_amp": "amp="})

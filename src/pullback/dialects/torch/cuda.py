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


current_device = get_device_name = get_device_properties = set_device = device = memory_allocated = _refuse
stream = Stream = Event = max_memory_allocated = get_device_capability = _refuse
__getattr__, __dir__ = names(__name__, {})

"""`torch.nn.modules`: the layers again."""

from importlib import import_module
from typing import Any

from pullback.dialects.torch import nn


def __getattr__(name: str) -> Any:
    if name == "module":
        return import_module("pullback.dialects.torch.nn.modules.module")
    return getattr(nn, name)

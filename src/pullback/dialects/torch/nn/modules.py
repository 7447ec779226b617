"""`torch.nn.modules`: the layers again."""

from typing import Any

from pullback.dialects.torch import nn


def __getattr__(name: str) -> Any:
    return getattr(nn, name)

"""`jax.image`: resampling."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from pullback.api import resampling
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift


class ResizeMethod(Enum):
    """How an image is resampled."""

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of a name."""
        plain = resampling.SYNONYMS.get(s, s)
        return ResizeMethod[plain.upper()]


def resize(image: Any, shape: Sequence[int], method: Any, antialias: bool = True, precision: Any = None) -> Any:
    """An image in another shape."""
    name = method.name.lower() if isinstance(method, ResizeMethod) else method
    return lift(resampling.resize(border.asarray(image), shape, name, antialias))


__all__ = ["ResizeMethod", "resize"]

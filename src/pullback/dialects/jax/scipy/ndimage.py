"""`jax.scipy.ndimage`: arrays at places between their elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.api import filters
from pullback.dialects import names
from pullback.dialects.jax.array import array_of, lift, lower


def map_coordinates(
    input: Any, coordinates: Sequence[Any], order: int, mode: str = "constant", cval: Any = 0.0
) -> Any:
    """An array at places between its elements, by the nearest or by linear means."""
    given = array_of(input, "map_coordinates")
    return lift(filters.map_coordinates(given, [lower(c) for c in coordinates], order, mode, cval))


__getattr__, __dir__ = names(__name__, {})

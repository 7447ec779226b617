"""`jax.ops`: reductions of the rows of an array that have one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api.data_types import iinfo
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import errors
from pullback.dialects.jax import numpy as jnp


def _segments(name: str, update: str, identity: Callable[[Any], Any]) -> Callable[..., Any]:
    def reduce(
        data: Any,
        segment_ids: Any,
        num_segments: int | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        bucket_size: int | None = None,
        mode: Any = None,
    ) -> Any:
        x, places = border.array_of(data, name), border.array_of(segment_ids, name)
        count = _count(name, places) if num_segments is None else int(num_segments)
        start = jnp.full((count, *x.shape[1:]), identity(x.dtype), x.dtype)
        return getattr(start.at[places], update)(x, mode="drop" if mode is None else mode)

    reduce.__name__ = reduce.__qualname__ = name
    reduce.__doc__ = f"The rows of each segment, by `{update}`; rows of numbers out of range are left out."
    return reduce


def _count(name: str, places: Any) -> int:
    """One more than the greatest number, which must be known."""
    try:
        return int(np.max(places.numpy(), initial=-1)) + 1
    except errors.ConcretizationTypeError:
        raise errors.ConcretizationTypeError(
            errors.text(
                f"{name}: how many segments there are is not known while a function is being traced",
                [("segment_ids", repr(places))],
                "pass num_segments=",
            )
        ) from None


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.is_inexact else iinfo(dtype).min if dtype.kind != "b" else False


def _highest(dtype: Any) -> Any:
    return np.inf if dtype.is_inexact else iinfo(dtype).max if dtype.kind != "b" else True


segment_sum = _segments("segment_sum", "add", lambda dtype: 0)
segment_prod = _segments("segment_prod", "multiply", lambda dtype: 1)
segment_max = _segments("segment_max", "max", _lowest)
segment_min = _segments("segment_min", "min", _highest)

__getattr__, __dir__ = names(__name__, {})

"""`jax.scipy.cluster.vq`."""

from __future__ import annotations

from typing import Any

from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import numpy as jnp
from pullback.util.errors import ShapeError, message


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """For each observation the nearest code, and how far it is."""
    x, codes = border.array_of(obs, "vq"), border.array_of(code_book, "vq")
    if x.ndim != codes.ndim or x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[1] != codes.shape[1]):
        raise ShapeError(message("Observation and code_book should have the same rank and the same columns",
                                 [("obs", str(x.shape)), ("code_book", str(codes.shape))]))
    if x.ndim == 1:
        x, codes = x[:, None], codes[:, None]
    distances = jnp.sqrt(((x[:, None] - codes[None]) ** 2).sum(axis=-1))
    found = jnp.argmin(distances, axis=-1)
    return found, jnp.take_along_axis(distances, found[:, None], axis=1)[:, 0]


__getattr__, __dir__ = names(__name__, {})

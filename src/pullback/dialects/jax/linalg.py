"""`jax.numpy.linalg`: what the array room has of it."""

from __future__ import annotations

from typing import Any

from pullback.api import linear_algebra
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The Euclidean norm, or the vector norm of an order."""
    x = border.asarray(x)
    if ord is None or (axis is not None and isinstance(axis, int)) or x.ndim == 1:
        return lift(linear_algebra.vector_norm(x, 2 if ord is None else ord, axis, keepdims))
    return lift(linear_algebra.norm(x, ord, axis, keepdims))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The vector norm of an order."""
    return lift(linear_algebra.vector_norm(border.asarray(x), ord, axis, keepdims))


__getattr__, __dir__ = names(
    __name__, {"dialects.jax.numpy": "matmul outer tensordot vecdot cross diagonal trace matrix_transpose"}
)

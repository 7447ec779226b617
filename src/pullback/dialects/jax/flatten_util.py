"""`jax.flatten_util`: a pytree of arrays as one vector."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax.transforms import arrays
from pullback.util import tree
from pullback.util.errors import ArgumentError, ShapeError, message


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All elements as one vector, and the function that makes the tree of such a vector."""
    leaves, structure = tree.flatten(arrays(pytree))
    if not leaves:
        return jnp.zeros(0), lambda _: tree.unflatten(structure, [])
    shapes, kinds = [x.shape for x in leaves], [x.dtype for x in leaves]
    flat = jnp.concatenate([x.reshape(-1) for x in leaves])
    sizes = [prod(s) for s in shapes]
    mixed = any(k != flat.dtype for k in kinds)

    def unravel(vector: Any) -> Any:
        given = border.array_of(vector, "unravel")
        if given.shape != (sum(sizes),):
            raise ShapeError(
                message(
                    f"unravel function given array of shape {given.shape}, but expected shape ({sum(sizes)},)",
                    help="a vector like the one that ravel_pytree gave",
                )
            )
        if mixed and given.dtype != flat.dtype:
            raise ArgumentError(
                message(f"unravel function given array of dtype {given.dtype}, but expected dtype {flat.dtype}")
            )
        parts, start = [], 0
        for shape, size, kind in zip(shapes, sizes, kinds, strict=True):
            part = given[start:start + size].reshape(shape)
            parts.append(part.astype(kind) if mixed else part)
            start += size
        return tree.unflatten(structure, parts)

    return flat, unravel


__getattr__, __dir__ = names(__name__, {})

"""`jax.tree`: functions on pytrees."""

from pullback.dialects.jax.tree_paths import broadcast, flatten_with_path, leaves_with_path, map_with_path
from pullback.util.tree import (
    all,
    flatten,
    leaves,
    map,
    reduce,
    structure,
    transpose,
    unflatten,
)

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "structure",
    "transpose",
    "unflatten",
]

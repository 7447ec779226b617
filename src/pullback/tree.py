"""Pytrees: `pb.tree.map(f, tree)` and its like. See `pullback.util.tree`."""

from pullback.util.tree import (
    TreeDef,
    all,
    flatten,
    flatten_with_path,
    leaves,
    leaves_with_path,
    map,
    map_with_path,
    reduce,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    structure,
    transpose,
    unflatten,
)

__all__ = [
    "TreeDef", "all", "flatten", "flatten_with_path", "leaves", "leaves_with_path", "map", "map_with_path", "reduce",
    "register_dataclass", "register_pytree_node", "register_pytree_node_class", "structure", "transpose", "unflatten",
]

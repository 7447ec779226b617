"""`jax.tree_util`: functions on pytrees under their long names, and the registry."""

from __future__ import annotations

from functools import partial
from typing import Any

from pullback.dialects.jax.tree_paths import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    SequenceKey,
    broadcast,
    keystr,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
)
from pullback.dialects.jax.tree_paths import flatten_with_path as tree_flatten_with_path
from pullback.dialects.jax.tree_paths import leaves_with_path as tree_leaves_with_path
from pullback.dialects.jax.tree_paths import map_with_path as tree_map_with_path
from pullback.dialects.jax.tree_paths import (
    register_node as register_pytree_node,
)
from pullback.dialects.jax.tree_paths import (
    register_node_class as register_pytree_node_class,
)
from pullback.util import tree as _tree
from pullback.util.tree import TreeDef as PyTreeDef
from pullback.util.tree import all as tree_all
from pullback.util.tree import flatten as tree_flatten
from pullback.util.tree import leaves as tree_leaves
from pullback.util.tree import map as tree_map
from pullback.util.tree import reduce as tree_reduce
from pullback.util.tree import register_dataclass
from pullback.util.tree import structure as tree_structure
from pullback.util.tree import transpose as tree_transpose
from pullback.util.tree import unflatten as tree_unflatten

tree_broadcast = broadcast


@register_pytree_node_class
class Partial(partial[Any]):
    """A function with some arguments given, as a pytree of these arguments."""

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        return (self.args, self.keywords), self.func

    @classmethod
    def tree_unflatten(cls, func: Any, children: Any) -> Any:
        return cls(func, *children[0], **children[1])


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether a structure is one leaf."""
    return treedef.num_nodes == 1 and treedef.num_leaves == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the root's children."""
    return treedef.children()


def treedef_tuple(treedefs: Any) -> PyTreeDef:
    """The structure of a tuple of trees."""
    parts = tuple(treedefs)
    return _tree.structure(tuple(_tree.unflatten(t, [0] * t.num_leaves) for t in parts))


def all_leaves(iterable: Any, is_leaf: Any = None) -> bool:
    """Whether nothing among these is a container."""
    given = list(iterable)
    structure = _tree.structure(given, is_leaf)
    return structure.num_leaves == len(given) == structure.num_nodes - 1


__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]

"""`torch.utils._pytree`: nested dicts, lists, tuples and named tuples of anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback import tree


def tree_flatten(tree_: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Any]:
    """The leaves, and the structure that `tree_unflatten` takes."""
    leaves, structure = tree.flatten(tree_, is_leaf=is_leaf) if is_leaf is not None else tree.flatten(tree_)
    return list(leaves), structure


def tree_unflatten(leaves: Any, treespec: Any) -> Any:
    """A structure with these leaves."""
    return tree.unflatten(treespec, list(leaves))


def tree_leaves(tree_: Any) -> list[Any]:
    """The leaves, in order."""
    return tree_flatten(tree_)[0]


def tree_map(func: Callable[..., Any], tree_: Any, *rests: Any) -> Any:
    """The structure with `func` of each leaf."""
    return tree.map(func, tree_, *rests)


def tree_map_only(kind: Any, func: Callable[..., Any], tree_: Any) -> Any:
    """`tree_map` of the leaves of a type; the others stay."""
    return tree.map(lambda x: func(x) if isinstance(x, kind) else x, tree_)


def tree_all(pred: Callable[[Any], bool], tree_: Any) -> bool:
    """Whether it holds of every leaf."""
    return all(map(pred, tree_leaves(tree_)))


def tree_any(pred: Callable[[Any], bool], tree_: Any) -> bool:
    """Whether it holds of a leaf."""
    return any(map(pred, tree_leaves(tree_)))


__all__ = ["tree_all", "tree_any", "tree_flatten", "tree_leaves", "tree_map", "tree_map_only", "tree_unflatten"]

"""`torch.utils._pytree`: nested dicts, lists, tuples and named tuples of anything. Other than in the library's own
trees, dicts keep the order of their keys, and None and modules are leaves."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pullback.util.errors import StructureError, message

_DICTS: tuple[type, ...] = (dict, OrderedDict, defaultdict)
IsLeaf = Callable[[Any], bool] | None


@dataclass(frozen=True)
class TreeSpec:
    """A structure: the type of a node (None: a leaf), what else makes it, such as keys, and what is below it."""

    type: Any = None
    context: Any = None
    children_specs: tuple[TreeSpec, ...] = ()

    @property
    def num_leaves(self) -> int:
        """How many leaves there are."""
        return 1 if self.is_leaf() else sum(child.num_leaves for child in self.children_specs)

    @property
    def num_children(self) -> int:
        """How many leaves and nodes are right below."""
        return len(self.children_specs)

    def is_leaf(self) -> bool:
        """Whether there is no structure at all."""
        return self.type is None

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """What another tree has in the places of this one's leaves."""
        if self.is_leaf():
            return [tree]
        given = _parts(tree)
        fits = given is not None and type(tree) is self.type and len(given[1]) == len(self.children_specs)
        if given is None or not fits or (self.type in _DICTS and set(tree) != set(_keys(self))):
            raise StructureError(message("pytrees of different structures", [
                ("expected", f"{self.type.__name__} of {self.num_children}"), ("given", f"{tree!r:.60}")]))
        children = [tree[key] for key in _keys(self)] if self.type in _DICTS else given[1]
        return [x for spec, child in zip(self.children_specs, children, strict=True) for x in spec.flatten_up_to(child)]

    def unflatten(self, leaves: Any) -> Any:
        """The structure with these leaves."""
        found = list(leaves)
        if len(found) != self.num_leaves:
            raise StructureError(message("tree_unflatten: another number of leaves", [
                ("leaves", str(len(found))), ("structure", str(self.num_leaves))]))
        return self._made(iter(found))

    def _made(self, leaves: Iterator[Any]) -> Any:
        if self.is_leaf():
            return next(leaves)
        children = [child._made(leaves) for child in self.children_specs]
        if self.type is defaultdict:
            return defaultdict(self.context[0], zip(self.context[1], children, strict=True))
        if self.type in _DICTS:
            return self.type(zip(self.context, children, strict=True))
        if self.type is deque:
            return deque(children, maxlen=self.context)
        return self.type(*children) if hasattr(self.type, "_fields") else self.type(children)


def _keys(spec: TreeSpec) -> Any:
    return spec.context[1] if spec.type is defaultdict else spec.context


def _parts(tree: Any) -> tuple[Any, list[Any]] | None:
    """The context of a node and what is below it; None for a leaf."""
    kind: Any = type(tree)
    if kind is defaultdict:
        return (tree.default_factory, tuple(tree)), list(tree.values())
    if kind in _DICTS:
        return tuple(tree), list(tree.values())
    if kind is deque:
        return tree.maxlen, list(tree)
    if kind in (tuple, list) or (isinstance(tree, tuple) and hasattr(kind, "_fields")):
        return None, list(tree)  # pyright: ignore[reportUnknownArgumentType]
    return None


def _flatten(tree: Any, is_leaf: IsLeaf, leaves: list[Any]) -> TreeSpec:
    parts = None if is_leaf is not None and is_leaf(tree) else _parts(tree)
    if parts is None:
        leaves.append(tree)
        return TreeSpec()
    return TreeSpec(type(tree), parts[0], tuple([_flatten(child, is_leaf, leaves) for child in parts[1]]))


def tree_flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves, and the structure that `tree_unflatten` takes."""
    leaves: list[Any] = []
    structure = _flatten(tree, is_leaf, leaves)
    return leaves, structure


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """A structure with these leaves."""
    return treespec.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves, in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: IsLeaf = None) -> Iterator[Any]:
    """The leaves, one by one."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: IsLeaf = None) -> TreeSpec:
    """The structure alone."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: IsLeaf = None) -> Any:
    """The structure with `func` of each leaf."""
    leaves, structure = tree_flatten(tree, is_leaf)
    return structure.unflatten(map(func, leaves, *[structure.flatten_up_to(rest) for rest in rests]))


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree itself, after a call of `func` for each leaf."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kind: Any, func: Callable[..., Any], tree: Any, is_leaf: IsLeaf = None) -> Any:
    """`tree_map` of the leaves of a type, or of those that a function says; the others stay."""
    chosen = _chooser(kind)
    return tree_map(lambda x: func(x) if chosen(x) else x, tree, is_leaf=is_leaf)


def _chooser(kind: Any) -> Callable[[Any], Any]:
    if callable(kind) and not isinstance(kind, type):
        return kind
    return lambda x: isinstance(x, kind)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether it holds of every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether it holds of a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


PyTree = Any
__all__ = ["PyTree", "TreeSpec", "tree_all", "tree_any", "tree_flatten", "tree_iter", "tree_leaves", "tree_map",
           "tree_map_", "tree_map_only", "tree_structure", "tree_unflatten"]

"""Paths in pytrees, as JAX names their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pullback.util import tree

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class SequenceKey:
    """A place in a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclass(frozen=True)
class DictKey:
    """A key of a dict."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True)
class GetAttrKey:
    """A field of a named tuple or a dataclass."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True)
class FlattenedIndexKey:
    """A child of a class that gives its children no names."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


_STEPS: dict[str, Callable[[Any], Any]] = {
    "place": SequenceKey, "item": DictKey, "field": GetAttrKey, "flat": FlattenedIndexKey,
}


def _path(path: Any) -> tuple[Any, ...]:
    return tuple(_STEPS[step.kind](step.key) if isinstance(step, tree.Entry) else step for step in path)


def flatten_with_path(
    tree_: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[tuple[Any, ...], Any]], Any]:
    """Pairs of path and leaf, and the structure."""
    found, structure = tree.flatten_with_path(tree_, is_leaf)
    return [(_path(path), leaf) for path, leaf in found], structure


def leaves_with_path(tree_: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[tuple[tuple[Any, ...], Any]]:
    """Pairs of path and leaf."""
    return flatten_with_path(tree_, is_leaf)[0]


def map_with_path(
    f: Callable[..., Any], tree_: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Apply `f(path, leaf, ...)` to each leaf."""
    return tree.map_with_path(lambda path, *leaves: f(_path(path), *leaves), tree_, *rest, is_leaf=is_leaf)


def keystr(keys: Iterable[Any], *, simple: bool = False, separator: str = "") -> str:
    """A path as one would write it after the tree, `[0]['W1']`; `simple` gives the names only."""
    steps = _path(keys)
    if not simple:
        return separator.join(map(str, steps))
    return separator.join(str(next(iter(vars(s).values()), s)) if hasattr(s, "__dict__") else str(s) for s in steps)


class _Rest:
    """The static part of a node, where it cannot be hashed: compared by value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rest) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __repr__(self) -> str:
        return repr(self.value)


def _hashed(rest: Any) -> Any:
    try:
        hash(rest)
    except TypeError:
        return _Rest(rest)
    return rest


def register_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_with_keys_func: Any = None,
) -> None:
    """Make a class a node: `flatten_func(x) -> (children, rest)`, `unflatten_func(rest, children) -> x`."""
    if flatten_with_keys_func is not None:
        register_pytree_with_keys(nodetype, flatten_with_keys_func, unflatten_func)
        return

    def split(x: Any) -> tuple[Iterable[Any], Any]:
        children, rest = flatten_func(x)
        return children, _hashed(rest)

    tree.register_pytree_node(
        nodetype, split, lambda rest, children: unflatten_func(rest.value if type(rest) is _Rest else rest, children)
    )


def register_node_class(cls: C) -> C:
    """Decorator for a class with methods `tree_flatten(self)` and `tree_unflatten(cls, rest, children)`."""
    kind: Any = cls
    register_node(cls, kind.tree_flatten, kind.tree_unflatten)
    return cls


class _Keyed:
    """The static part of a node, with the names of its children, which take no part in comparisons."""

    def __init__(self, rest: Any, keys: tuple[Any, ...]) -> None:
        self.rest, self.keys = rest, keys

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.rest == other.rest

    def __hash__(self) -> int:
        return hash(self.rest)

    def __repr__(self) -> str:
        return repr(self.rest)


def register_pytree_with_keys(
    nodetype: type,
    flatten_with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_func: Callable[[Any], Any] | None = None,
) -> None:
    """Make a class a node whose children have names: `flatten_with_keys(x) -> ([(key, child), ...], rest)`."""

    def split(x: Any) -> tuple[Iterable[Any], Any]:
        pairs, rest = flatten_with_keys(x)
        given = list(pairs)
        return [child for _, child in given], _Keyed(rest, tuple(key for key, _ in given))

    tree.register_handler(
        nodetype, split, lambda kept, children: unflatten_func(kept.rest, tuple(children)), lambda kept, n: kept.keys
    )


def register_pytree_with_keys_class(cls: C) -> C:
    """Decorator for a class with methods `tree_flatten_with_keys(self)` and `tree_unflatten(cls, rest, children)`."""
    kind: Any = cls
    register_pytree_with_keys(cls, kind.tree_flatten_with_keys, kind.tree_unflatten)
    return cls


def register_static(cls: C) -> C:
    """Decorator that makes objects of a class nodes without children: part of the structure."""
    tree.register_pytree_node(cls, lambda x: ((), x), lambda rest, _: rest)
    return cls


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """A tree of the structure of `full_tree`, with each leaf of `prefix_tree` wherever that has a subtree."""
    found: list[Any] = []

    def repeat(x: Any, part: Any) -> None:
        found.extend([x] * len(tree.leaves(part, is_leaf)))

    tree.map(repeat, prefix_tree, full_tree, is_leaf=is_leaf)
    return tree.unflatten(tree.structure(full_tree, is_leaf), found)

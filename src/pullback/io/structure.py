"""How a tree that is more than names to tensors stands in a file's metadata: as JSON of a few node kinds."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from pullback.engine.tensor import TensorBase
from pullback.util.errors import ArgumentError, FileFormatError, message

KEY = "pullback.tree"


class Encoder:
    """Takes a tree apart into named arrays and a JSON description."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}

    def encode(self, tree: Any, path: str = "") -> Any:
        if isinstance(tree, (TensorBase, np.ndarray, np.generic)):
            return {"tensor": self._add(path or "value", tree)}
        if tree is None or type(tree) in (bool, int, float, str):
            return {"value": tree}
        if type(tree) in (dict, OrderedDict):
            return {"dict": [[self._key(k, path), self.encode(v, _join(path, k))] for k, v in tree.items()]}
        if type(tree) in (list, tuple):
            return {type(tree).__name__: [self.encode(v, _join(path, k)) for k, v in enumerate(tree)]}
        raise ArgumentError(message("save: this cannot be stored",
                                    [(path or "tree", f"{type(tree).__name__} {tree!r:.60}")],
                                    "store tensors, numbers, texts, None, and lists, tuples and dicts of them"))

    def _key(self, key: Any, path: str) -> Any:
        if type(key) in (str, int):
            return key
        raise ArgumentError(message("save: a key must be a text or a whole number", [(path or "tree", f"{key!r:.60}")],
                                    "use texts as keys"))

    def _add(self, name: str, leaf: Any) -> str:
        while name in self.arrays or name == "__metadata__":
            name += "_"
        self.arrays[name] = np.asarray(leaf.numpy() if isinstance(leaf, TensorBase) else leaf)
        return name


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def is_flat(tree: Any) -> bool:
    """Whether a tree is just tensors by name, which needs no description."""
    return type(tree) in (dict, OrderedDict) and bool(tree) and all(
        type(k) is str and k != "__metadata__" and isinstance(v, (TensorBase, np.ndarray)) for k, v in tree.items())


def decode(text: str, leaves: Mapping[str, Any]) -> Any:
    """The tree a description stands for."""
    try:
        return _decode(json.loads(text), leaves)
    except (ValueError, RecursionError, TypeError) as error:
        raise FileFormatError(message("load: the description of the tree is not readable",
                                      [("reason", str(error)[:100])],
                                      "the file is damaged or hostile: save it again from its source")) from error


def _decode(node: Any, leaves: Mapping[str, Any]) -> Any:
    if type(node) is not dict or len(node) != 1:
        raise ValueError(f"not a node: {node!r:.60}")
    ((kind, body),) = node.items()
    if kind == "value" and (body is None or type(body) in (bool, int, float, str)):
        return body
    if kind == "tensor" and type(body) is str and body in leaves:
        return leaves[body]
    if kind in ("list", "tuple") and type(body) is list:
        found = [_decode(x, leaves) for x in body]
        return tuple(found) if kind == "tuple" else found
    if kind == "dict" and type(body) is list and all(type(p) is list and len(p) == 2 and type(p[0]) in (str, int)
                                                     for p in body):
        return {key: _decode(x, leaves) for key, x in body}
    raise ValueError(f"not a node: {node!r:.60}")

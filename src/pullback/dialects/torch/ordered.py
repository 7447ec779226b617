"""Results of transformations with the keys of their dicts where PyTorch has them: in the order in which they were
written, where the library visits them sorted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def in_order(model: Any, tree: Any, below: Callable[[Any], Any] | None = None) -> Any:
    """A tree with the keys of its dicts in the order of a model that begins like it; what lies where the model has
    leaves is changed by `below`."""
    if type(model) is dict and type(tree) is dict and len(model) == len(tree):
        return {key: in_order(value, tree[key], below) for key, value in model.items()}
    if type(model) in (list, tuple) and type(tree) in (list, tuple) and len(model) == len(tree):
        return type(tree)([in_order(m, t, below) for m, t in zip(model, tree, strict=True)])
    return tree if below is None or isinstance(model, (dict, list, tuple)) else below(tree)


class Noted:
    """A function that is given its arguments in the order of those outside, and whose last result is known."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.function, self.args, self.keywords = function, args, keywords
        self.result: Any = None

    def __call__(self, *args: Any, **_: Any) -> Any:
        self.result = self.function(*in_order(self.args, args), **self.keywords)
        return self.result

    def like_arguments(self, numbers: Any, found: Any) -> Any:
        """What has the structure of arguments, in their order."""
        one = isinstance(numbers, int)
        return in_order(self.args[numbers] if one else tuple([self.args[n] for n in numbers]), found)


__all__ = ["Noted", "in_order"]

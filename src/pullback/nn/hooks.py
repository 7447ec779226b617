"""Functions that see the gradients at a module's results and arguments, and may replace them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.engine.tensor import TensorBase
from pullback.util import tree


def _differentiable(x: Any) -> bool:
    return isinstance(x, TensorBase) and x.requires_grad


class Gradients:
    """One call of a module with hooks: gradients of its results, until those of its arguments have arrived."""

    def __init__(self, module: Any, before: list[Callable[..., Any]], after: list[Callable[..., Any]]) -> None:
        self.module, self.before, self.after = module, before, after
        self.outputs: list[Any] = []
        self.inputs: list[Any] = []
        self.missing = 0

    def at_arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as values of their own, so that other uses of them do not count."""
        self.inputs = [None] * len(args)
        made = tuple(x * 1 if _differentiable(x) else x for x in args)
        for k, x in enumerate(made):
            if _differentiable(x):
                self.missing += 1
                x.register_hook(lambda gradient, k=k: self._arrived(k, gradient))
        return made

    def at_results(self, result: Any) -> None:
        """Look at the gradients of the results."""
        leaves, _ = tree.flatten(result)
        found: list[Any] = [x for x in leaves if isinstance(x, TensorBase)]
        self.outputs = [None] * len(found)
        for k, x in enumerate(found):
            if _differentiable(x):
                x.register_hook(lambda gradient, k=k: self._left(k, gradient))

    def _left(self, k: int, gradient: Any) -> Any:
        """The gradient of result k."""
        self.outputs[k] = gradient
        for hook in self.before:
            changed = hook(self.module, tuple(self.outputs))
            if changed is not None:
                self.outputs = list(changed if isinstance(changed, tuple) else (changed,))
        if not self.missing:  # no argument has a gradient to wait for
            for hook in self.after:
                hook(self.module, tuple(self.inputs), tuple(self.outputs))
        return self.outputs[k]

    def _arrived(self, k: int, gradient: Any) -> Any:
        """The gradient of argument k; with the last of them the hooks are called."""
        self.inputs[k] = gradient
        self.missing -= 1
        if self.missing:
            return None
        for hook in self.after:
            changed = hook(self.module, tuple(self.inputs), tuple(self.outputs))
            if changed is not None:
                self.inputs = list(changed if isinstance(changed, tuple) else (changed,))
        return self.inputs[k]


__all__ = ["Gradients"]

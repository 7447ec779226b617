"""Leaves that stand for parts of other leaves: what arrives at a part becomes a gradient of the whole.

The rows that an embedding reads are one: the gradient of its table is then made of theirs, and need not be dense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.engine.tensor import AutogradMeta


def _general(gradient: Any) -> None:
    """A hook that does nothing: gradients that go to a part do not take the short way."""


class Part(AutogradMeta):
    """The gradient side of a part: `lift` makes a gradient of the whole from one of the part."""

    __slots__ = ("lift", "whole")

    def __init__(self, whole: AutogradMeta, lift: Callable[[Any], Any]) -> None:
        super().__init__(True)
        self.whole, self.lift = whole, lift
        self.hooks = [_general]


def accumulate_part(whole: AutogradMeta, gradient: Any) -> None:
    """Add the gradient of a part to the `.grad` of the whole."""
    for hook in tuple(whole.hooks):
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    before = whole.grad
    if before is None:
        whole.grad = gradient
    elif before.is_sparse and gradient.is_sparse:
        before.add_(gradient)
    else:
        whole.grad = before + gradient

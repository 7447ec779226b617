"""Recomputation: trading time for memory in the backward pass."""

from __future__ import annotations

from pullback.ir.node import Function, Node, apply, project
from pullback.ops.control import Checkpoint


def checkpoint_nodes(function: Function, *arguments: Node, label: str = "") -> tuple[Node, ...]:
    """The results of a function whose intermediate values are recomputed, not kept, for its derivative."""
    return project(apply(Checkpoint(function, label), *arguments))


def remat(function: Function, label: str = "") -> Function:
    """The function as one whose derivative recomputes it."""
    return Function(function.params, checkpoint_nodes(function, *function.params, label=label))

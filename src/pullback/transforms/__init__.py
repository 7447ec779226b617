"""Transformations of programs: tangents, cotangents, batching, recomputation."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.ir.node import Function, Node
from pullback.transforms.batch import batched_nodes
from pullback.transforms.remat import checkpoint_nodes, remat
from pullback.transforms.rules import RULES
from pullback.transforms.vjp import pullback_nodes, pushforward_nodes, vjp, zeros_where_linked

__all__ = ["RULES", "batch", "batch_nodes", "checkpoint_nodes", "jvp", "pullback_nodes", "pushforward_nodes", "remat",
           "transpose", "vjp", "zeros_where_linked"]


def jvp(function: Function, active: tuple[bool, ...]) -> tuple[Function, tuple[bool, ...]]:
    """f(x...) -> g(x..., tangents of active inputs) = (y..., tangents of active results), and which those are."""
    return RULES.jvp(function, active)


def transpose(function: Function, linear: tuple[bool, ...]) -> Function:
    """f(a..., linear...) -> g(a..., cotangents of all results) = cotangents of the linear inputs."""
    return RULES.transpose(function, linear)


def batch(function: Function, batched: tuple[bool, ...], size: int,
          force: tuple[bool, ...] | None = None) -> tuple[Function, tuple[bool, ...]]:
    """The function over one more leading dimension, and which results have it (`force`: those that must)."""
    return RULES.batch(function, batched, size, force)


def batch_nodes(results: Sequence[Node], inputs: Sequence[Node], replacements: Sequence[Node],
                size: int) -> list[tuple[Node, bool]]:
    """Results where inputs are replaced by nodes with a leading dimension of `size`, and whether each has it."""
    return batched_nodes(RULES, results, inputs, replacements, size)

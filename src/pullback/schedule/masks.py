"""Masks of cut-off values, read from what is kept anyway.

    y = select(v <= 0, 0, v), other uses of v <= 0      becomes      y, other uses of y <= 0

They are equal, NaN included; so a backward pass needs y, which the next layer reads, and not v too.
"""

from __future__ import annotations

from typing import Any

import pullback.ops.build as b
from pullback.ir.node import Function, Node, Param, reapply
from pullback.passes.simplify import uniform


def masks_of_results(function: Function) -> Function:
    """Take masks from the cut-off value, where that is computed."""
    order = function.nodes()
    cut: dict[Node, Node] = {}
    for node in order:
        mask = _mask(node)
        if mask is not None and not isinstance(mask.inputs[0].op, Param):
            cut[mask] = node
    if not cut:
        return function
    done: dict[Node, Node] = {p: p for p in function.params}
    instead: dict[Node, Node] = {}

    def taken(mask: Node) -> Node:
        if mask not in instead:
            node = cut[mask]
            zero = done.get(node.inputs[1], node.inputs[1])
            instead[mask] = b.binary("le", b.select(done[mask], zero, done[mask.inputs[0]]), zero)
        return instead[mask]

    for node in order:
        if node not in done:
            own = _mask(node)
            done[node] = reapply(node, tuple(
                taken(x) if x in cut and x is not own else done[x] for x in node.inputs))
    return Function(function.params, [done[r] for r in function.results])


def _mask(node: Node) -> Node | None:
    """v <= 0 where a node is select(v <= 0, 0, v)."""
    if _row(node) != "select":
        return None
    mask, zero, value = node.inputs
    if _row(mask) != "le" or mask.inputs[0] is not value or uniform(zero) != 0 or uniform(mask.inputs[1]) != 0:
        return None
    return mask


def _row(node: Node) -> Any:
    return getattr(node.op, "row", None)

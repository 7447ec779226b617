"""Where an element of a rearrangement comes from: what rewrites and the scheduler ask of views."""

from __future__ import annotations

from typing import Any

from pullback.ir.index import Index
from pullback.ir.node import Node


def view_of(context: Any, node: Node, indices: tuple[Index, ...]) -> Any:
    """Lower one node of the "view" kind."""
    op: Any = node.op
    return op.view(context, node, indices)


class NotLayout(Exception):
    """A node is more than another arrangement of its input's elements."""


class _Layout:
    """A `ViewContext` that only follows where an element is."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.indices: tuple[Index, ...] = ()

    def value(self, node: Node, indices: tuple[Index, ...]) -> Any:
        if self.node is not None:
            raise NotLayout
        self.node, self.indices = node, indices
        return self

    def _no(self, *args: Any) -> Any:
        raise NotLayout

    scalar = convert = bitcast = const = index = inside = guarded = dynamic = _no


def lowering(node: Node) -> str:
    """How a node becomes code: see the operators' `lowering`."""
    return getattr(type(node.op), "lowering", "")


def layout(node: Node, indices: tuple[Index, ...], stop: dict[Node, Any]) -> tuple[Node, tuple[Index, ...]]:
    """Follow pure rearrangements down to the node whose element this is."""
    while node not in stop and lowering(node) == "view":
        probe = _Layout()
        try:
            result = view_of(probe, node, indices)
        except NotLayout:
            break
        if result is not probe or probe.node is None or probe.node is node:  # a source stands for itself
            break
        node, indices = probe.node, probe.indices
    return node, indices

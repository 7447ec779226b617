"""Unread: a loop leaves only the sequences that somebody reads.

    for t: y[t], z[t] = ..., where nobody reads z    becomes    for t: y[t] = ...

Needs: simplified (equal loops that different results are read of are one by then). Leaves: no such loop, outermost ones
only: a body is a function of its own.
"""

from __future__ import annotations

from pullback.ir.node import Function, Node, Proj, project, reapply
from pullback.ops.loops import without_unread


def only_read(function: Function) -> Function:
    """Rebuild the graph with loops that leave less."""
    read: dict[Node, set[int]] = {}
    for node in function.nodes():
        if isinstance(node.op, Proj):
            read.setdefault(node.inputs[0], set()).add(node.op.index)
    done: dict[Node, Node] = {p: p for p in function.params}
    places: dict[Node, dict[int, int]] = {}
    for node in function.nodes():
        if node in done:
            continue
        inputs = tuple(done[x] for x in node.inputs)
        if isinstance(node.op, Proj) and node.inputs[0] in places:
            done[node] = project(inputs[0])[places[node.inputs[0]][node.op.index]]
            continue
        done[node] = reapply(node, inputs)
        less = without_unread(done[node], read.get(node, ()))
        if less is not None:
            done[node], places[node] = less
    return Function(function.params, [done[r] for r in function.results])

"""Inline: calls and named compositions are replaced by their bodies.

Needs nothing. Leaves no node whose lowering is "inline", at any depth of the top-level graph (bodies of loops are
programs of their own), but those without a body for their types: of complex matrices.
"""

from __future__ import annotations

from typing import Any

from pullback.ir.node import Function, Node, Proj, TensorType, reapply


def inline(function: Function) -> Function:
    """`y = call[f] x` becomes f's own nodes on x."""
    nodes = function.nodes()
    if not any(getattr(type(n.op), "lowering", "") == "inline" for n in nodes):
        return function
    done: dict[Node, Node] = {p: p for p in function.params}
    results: dict[Node, tuple[Node, ...]] = {}
    for node in nodes:
        if node in done:
            continue
        if isinstance(node.op, Proj) and node.inputs[0] in results:
            done[node] = results[node.inputs[0]][node.op.index]
            continue
        inputs = tuple([done[x] for x in node.inputs])
        if getattr(type(node.op), "lowering", "") == "inline":
            op: Any = node.op
            body = op.function_for([x.tensor for x in inputs])
            if body is None:
                done[node] = reapply(node, inputs)
                continue
            found = inline(body)(*inputs)
            results[node] = found
            if isinstance(node.type, TensorType):
                done[node] = found[0]
            continue
        done[node] = reapply(node, inputs)
    return Function(function.params, [done[r] for r in function.results])

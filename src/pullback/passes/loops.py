"""Loops as few and as small as they can be.

    two loops over the same inputs, one body's results the first of the other's    become   the larger loop
    for t: s = s + contract(x[t], y[t])                                            becomes  s + contract(x, y)

Needs: inlined. Leaves: nothing that a later pass asks for.
"""

from __future__ import annotations

from pullback.ir.node import Function, Node, Proj, reapply
from pullback.ops.hoist import sums_after
from pullback.ops.loops import absorb


def fewer_loops(function: Function) -> Function:
    """Both rewrites, outermost loops only: a body is a function of its own."""
    results = absorb(function.results)
    done: dict[Node, Node] = {p: p for p in function.params}
    apart: dict[Node, tuple[Node, ...]] = {}
    function = Function(function.params, results)
    for node in function.nodes():
        if node in done:
            continue
        if isinstance(node.op, Proj) and node.inputs[0] in apart:
            done[node] = apart[node.inputs[0]][node.op.index]
            continue
        done[node] = reapply(node, tuple(done[x] for x in node.inputs))
        found = sums_after(done[node])
        if found is not None:
            apart[node] = found
    return Function(function.params, [done[r] for r in function.results])

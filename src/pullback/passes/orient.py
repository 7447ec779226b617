"""Orient: a contraction that is only read transposed computes the transpose.

    transpose(contract(x, y)) -> contract(y, x)

Needs: simplified. Leaves: what follows such a contraction elementwise in the transposed order (an update of a weight
that was used transposed) sees it directly, so it can be its epilogue.
"""

from __future__ import annotations

from typing import Any

import pullback.ops.build as b
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, TensorType, reapply
from pullback.passes.layout import layout, lowering


def orient(function: Function) -> Function:
    """Swap the operands of contractions whose only reader is a transposition of the two free blocks."""
    order = function.nodes()
    readers: dict[Node, int] = dict.fromkeys(function.results, 2)
    for node in order:
        for x in node.inputs:
            readers[x] = readers.get(x, 0) + 1
    done: dict[Node, Node] = {p: p for p in function.params}
    for node in order:
        if node in done:
            continue
        swapped = _swapped(node, done) if _transposes(node, readers) else None
        if swapped is None:
            swapped = reapply(node, tuple(done[x] for x in node.inputs))
        done[node] = swapped
    return Function(function.params, [done[r] for r in function.results])


def _transposes(node: Node, readers: dict[Node, int]) -> bool:
    return (len(node.inputs) == 1 and isinstance(node.type, TensorType) and lowering(node) == "view"
            and lowering(node.inputs[0]) == "contract" and readers[node.inputs[0]] == 1
            and node.dtype is node.inputs[0].dtype)


def _swapped(node: Node, done: dict[Node, Node]) -> Node | None:
    source = node.inputs[0]
    op: Any = source.op
    x, y = source.inputs
    shared, terms = op.batch_dims, op.contracted
    first = len(x.shape) - shared - terms
    second = len(y.shape) - shared - terms
    if node.shape != (*source.shape[:shared], *source.shape[shared + first:], *source.shape[shared:shared + first]):
        return None
    over = loop_vars(node.shape)
    wanted = (*over[:shared], *over[shared + second:], *over[shared:shared + second])
    base, at = layout(node, over, {source: None})
    if base is not source or tuple(at) != wanted:
        return None
    return b.apply(op.over(shared, terms), done[y], done[x])

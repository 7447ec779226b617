"""Checks: one more result that says whether an index was out of range.

    gather[mode=error] x i      adds      max over all elements of (number of this operator if i < -n or i >= n else 0)

Needs: nothing. Leaves the other results as they were. Bodies of loops are not looked into.
"""

from __future__ import annotations

from typing import Any

import pullback.ops.build as b
from pullback.ir.dtypes import int32
from pullback.ir.node import Function, Node
from pullback.passes.inline import inline


def with_checks(function: Function) -> tuple[Function, tuple[Node, ...]]:
    """The function with an int32 flag as its last result, and the operators it numbers (none: unchanged)."""
    found = tuple(n for n in inline(function).nodes()
                  if getattr(n.op, "mode", "") == "error" and n.inputs[1].tensor.size)
    if not found:
        return function, ()
    function = inline(function)
    flag = b.const_scalar(0, int32)
    for k, node in enumerate(found):
        flag = b.maximum(flag, b.select(out_of_range(node), b.const_scalar(k + 1, int32), b.const_scalar(0, int32)))
    return Function(function.params, [*function.results, flag]), found


def out_of_range(node: Node) -> Node:
    """Whether any index lies outside of -n .. n-1."""
    op: Any = node.op
    indices, size = node.inputs[1], node.inputs[0].shape[int(op.axis)]
    outside: list[Node] = []
    last = (1 << (indices.dtype.bits - (indices.dtype.kind == "i"))) - 1
    if size <= last:
        outside.append(b.binary("ge", indices, b.scalar_like(indices, size)))
    if indices.dtype.kind == "i" and -size > -last - 1:
        outside.append(b.binary("lt", indices, b.scalar_like(indices, -size)))
    bad = outside[0] if outside else b.binary("ne", indices, indices)
    for other in outside[1:]:
        bad = b.binary("logical_or", bad, other)
    return b.reduce("or", bad, tuple(range(indices.tensor.rank)))

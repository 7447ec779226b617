"""Recognise: a sum of products of broadcasts is a contraction.

    reduce[add axes=k] (broadcast(a)[.., i, k] * broadcast(b)[.., j, k])   becomes   contract a b

Needs: simplified. Leaves: no such sum where each summed dimension is in both operands and each other in one or both.
"""

from __future__ import annotations

from math import prod
from typing import Any

import pullback.ops.build as b
from pullback.ir.index import Index, Var, loop_vars
from pullback.ir.node import Function, Node, TensorType, rebuild
from pullback.passes.layout import layout, lowering

MIN_WORK = 4096


def recognise(function: Function) -> Function:
    """Rebuild the graph with contractions for sums of products."""
    return rebuild(function, lambda node: contraction(node) or node)


def contraction(node: Node) -> Node | None:
    """The contraction that a reduction is; None where it is none, or a small one."""
    op: Any = node.op
    if getattr(op, "monoid", "") != "add" or lowering(node) != "reduce" or not op.axes:
        return None
    product = node.inputs[0]
    if getattr(product.op, "row", "") != "mul" or product.dtype.kind != "f" or product.tensor.size < MIN_WORK:
        return None
    over = loop_vars(product.shape)
    sides = [layout(x, over, {}) for x in product.inputs]
    used = [dims(at, product.shape) for _, at in sides]
    given: tuple[int, ...] = op.axes
    axes = {k for k in given if product.shape[k] != 1}
    both = used[0] & used[1]
    kept = {k for k, n in enumerate(product.shape) if n != 1 and k not in given}
    if not axes or not axes <= both or not kept <= used[0] | used[1]:
        return None
    batch, free = sorted(both - axes), [sorted(u - both) for u in used]
    if min(prod(product.shape[k] for k in f) for f in free) < 2 or prod(product.shape[k] for k in axes) < 5:
        return None
    terms = sorted(axes)
    operands = [narrowed(base, at, [*batch, *f, *terms], product.shape)
                for (base, at), f in zip(sides, free, strict=True)]
    result = b.contract(operands[0], operands[1], len(batch), len(terms))
    order = [*batch, *free[0], *free[1]]
    result = b.transpose(result, [order.index(k) for k in sorted(order)])
    assert isinstance(node.type, TensorType)
    return b.reshape(result, node.shape)


def dims(at: tuple[Index, ...], shape: tuple[int, ...]) -> set[int]:
    """Which dimensions of the product an operand depends on."""
    names: set[Var] = set()
    for x in at:
        names |= x.variables()
    return {k for k, v in enumerate(loop_vars(shape)) if v.terms and v.terms[0][0] in names}


def narrowed(base: Node, at: tuple[Index, ...], order: list[int], shape: tuple[int, ...]) -> Node:
    """The operand over only the dimensions it depends on, in an order."""
    new = tuple(shape[k] for k in order)
    values: dict[Var, Index] = {}
    old = loop_vars(shape)
    for k, x in zip(order, loop_vars(new), strict=True):
        atom = old[k].terms[0][0]
        assert isinstance(atom, Var)
        values[atom] = x
    indices = tuple(x.substitute(values) for x in at)
    if new == base.shape and indices == loop_vars(new):
        return base
    return b.reindex(base, new, indices)

"""Operands of products that are rows of memory in another order than that in which they are counted.

    contract(x[b, t, :] counted as t, b, y)     becomes   contract(copy of x as [t, b, :], y)

A sequence whose batch comes first and that a recurrent layer takes step by step is one: its rows would be no run, so
that each step had a product of its own. The copy is small beside the product, and the gradient of the weight reads it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import pullback.ops.build as b
from pullback.ir.index import loop_vars
from pullback.ir.node import Node, apply
from pullback.passes.layout import layout, lowering
from pullback.schedule.instead import elementwise
from pullback.schedule.roots import parts
from pullback.schedule.windows import InMemory

USES = 64  # of each element, from which on a copy costs little
LEAST = 4096  # elements


def rows_in_order(product: Node) -> Node:
    """The product of copies of such operands."""
    op: Any = product.op
    if op.batch_dims:
        return product
    _, free_x, free_y, _ = parts(product)
    x, y = (_in_order(v, op.contracted) if uses >= USES and v.tensor.size >= LEAST else v
            for v, uses in zip(product.inputs, (prod(free_y), prod(free_x)), strict=True))
    return product if (x, y) == product.inputs else apply(op, x, y)


def _in_order(x: Node, terms: int) -> Node:
    """What reads a copy of its rows in its own order; x itself where they lie so, or are no rows (of all terms, or of
    all that is free)."""
    over = loop_vars(x.shape)
    base, at = layout(x, over, {})
    if lowering(base) == "view" and not elementwise(base):  # windows: more than an arrangement
        return x
    places = [over.index(i) if i in over and i.terms else -1 for i in at]
    rows = places[:-1]
    if sorted(places) != list(range(len(over))) or rows == sorted(rows):
        return x
    if not (terms == 1 and places[-1] == len(over) - 1) and not (len(over) - terms == 1 and places[-1] == 0):
        return x
    order = [*sorted(range(len(rows)), key=rows.__getitem__), len(rows)]
    narrow = b.narrow(base)
    copy = apply(InMemory(), b.transpose(base if narrow is None else narrow, order))
    copy = copy if narrow is None else b.convert(copy, base.dtype)
    back = [places[d] for d in order]
    return b.reindex(copy, x.shape, tuple(over[k] for k in back), None)

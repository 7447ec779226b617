"""Constant operands of products in a loop, laid out once before it.

    for t: y = contract(x[t], w)      becomes   p = w in panels of columns;  for t: y = contract(x[t], p)

A product with few rows would copy its right operand into panels at every turn, which takes a tenth to a quarter of its
time.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import pullback.ops.build as b
from pullback.ir.dtypes import float32, uint32
from pullback.ir.index import Index, bindings, loop_vars
from pullback.ir.node import Function, Node, apply, param, reapply
from pullback.passes.layout import layout, lowering
from pullback.schedule import unit_panels
from pullback.schedule.narrow import parts_of

COLUMNS = (32, 16)  # of a panel, what divides first: full tiles for 512-bit vectors, whole lines for 256
MOST_ROWS = 64  # from here on the copy is a few hundredths of the product
LEAST_SIZE = 1 << 14
LEAST_TURNS = 8


class Operand(NamedTuple):
    """The right operand [columns, terms] of a product in a body: elements `at` of the constant with this number, as so
    many parts for a matrix unit (0: as they are)."""

    product: Node
    constant: int
    at: tuple[Index, ...]
    parts: int


def in_panels(node: Node, unit: bool = False) -> Node:
    """A loop over a body with constants; any other node as it is. `unit`: there is a matrix unit."""
    op: Any = node.op
    if lowering(node) != "scan" or op.length < LEAST_TURNS:
        return node
    found = [x for n in op.body.nodes() if (x := operand(n, op.body.params[:op.consts], unit)) is not None]
    if not found:
        return node
    places: dict[tuple[Any, ...], Node] = {}
    outer: list[Node] = []
    replaced: dict[Node, Node] = {}
    for x in found:
        shape = x.product.inputs[1].shape
        key = x.constant, x.at, shape, x.parts
        if key not in places:
            source = node.inputs[x.constant]
            outer.append(unit_panels.panels(source, x.at, shape, x.parts) if x.parts else panels(source, x.at, shape))
            places[key] = param(outer[-1].tensor)
        replaced[x.product] = places[key]
    return with_panels(node, outer, list(places.values()), replaced)


def operand(node: Node, constants: tuple[Node, ...], unit: bool) -> Operand | None:
    """What a product reads of a constant, where panels of it are worth it."""
    op: Any = node.op
    if lowering(node) != "contract" or op.batch_dims or op.contracted != 1:
        return None
    x, y = node.inputs
    rows = prod(x.shape[:-1])
    if len(y.shape) != 2 or y.shape[0] % COLUMNS[-1] or y.tensor.size < LEAST_SIZE:
        return None
    held, count = unit_panels.in_memory(node), parts_of(node) if unit else 0
    on_unit = unit and unit_panels.fits(held.dtype, rows, *y.shape, count)
    if not on_unit and (op.dtype is not float32 or not 1 < rows <= MOST_ROWS):
        return None
    y = held if on_unit else y
    base, at = layout(y, loop_vars(y.shape), dict.fromkeys(constants))
    if base not in constants or base.dtype is not y.dtype or base.tensor.size != y.tensor.size:
        return None
    return Operand(node, constants.index(base), at, count if on_unit else 0)


def panels(x: Node, at: tuple[Index, ...], shape: tuple[int, ...]) -> Node:
    """[columns, terms] as [panel, term, column of the panel]."""
    columns, terms = shape
    width = next(n for n in COLUMNS if columns % n == 0)
    new = (columns // width, terms, width)
    panel, term, column = loop_vars(new)
    values = bindings(shape, (panel * width + column, term))
    return b.reindex(x, new, [i.substitute(values) for i in at])


def with_panels(node: Node, outer: list[Node], new: list[Node], replaced: dict[Node, Node]) -> Node:
    op: Any = node.op
    body: Function = op.body
    done: dict[Node, Node] = {p: p for p in body.params}
    for n in body.nodes():
        if n in done:
            continue
        inputs = tuple(done[x] for x in n.inputs)
        done[n] = product_of(n, inputs[0], replaced[n]) if n in replaced else reapply(n, inputs)
    cut = op.consts
    changed = Function([*body.params[:cut], *new, *body.params[cut:]], [done[r] for r in body.results])
    return apply(op.replace(body=changed, consts=cut + len(new)), *node.inputs[:cut], *outer, *node.inputs[cut:])


def product_of(node: Node, x: Node, panel: Node) -> Node:
    op: Any = node.op
    if panel.dtype is uint32:
        laid = apply(unit_panels.Laid(), unit_panels.in_memory(node), panel)
        return apply(op, x, b.convert(laid, x.dtype))
    count, terms, columns = panel.shape
    at = loop_vars((count, columns, terms))
    y = b.reindex(panel, (count, columns, terms), [at[0], at[2], at[1]])
    return b.reshape(b.apply(op.over(0, 1), x, y), node.shape)


__all__ = ["in_panels"]

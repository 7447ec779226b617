"""Constant operands of products in a loop, laid out once for a matrix unit that multiplies tiles of bfloat16 numbers.

    for t: y = contract(x[t], w)      becomes   p = parts of w in panels;  for t: y = contract(x[t], laid(w, p))

What is multiplied is still w for all who ask: `laid(w, p)` is w. An emitter whose target has such a unit reads p
instead (codegen/llvm/amx_tile.py says what panels are), any other one reads w.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pullback.ops.build as b
from pullback.ir.dtypes import DType, bfloat16, float32, uint32
from pullback.ir.index import Index, bindings, loop_vars
from pullback.ir.node import Node, Op, TensorType, primitive
from pullback.kernel.unit import DEPTH, HALF, LARGE, LINES, QUIET, SIDE, STRIP, UPPER

LEAST_ROWS = 24  # of a panel's, from which on it is full enough
MANY_ROWS, MOST_ROWS = 128, 512
NEAR_BYTES = 3_750_000  # of panels, which the second caches of two cores hold; more are worth it for many rows only
LEAST_WORK = 4_000_000


@primitive
class Laid(Op):
    """out[i] = x[i]; the second operand is x in a matrix unit's panels"""

    name: ClassVar[str] = "laid"
    lowering: ClassVar[str] = "view"
    in_panels: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def view(self, ctx: Any, node: Node, indices: tuple[Index, ...]) -> Any:
        return ctx.value(node.inputs[0], indices)


def panels_of(product: Node) -> Node | None:
    """The panels of a product's second operand, if it has any."""
    y = product.inputs[-1]
    return y.inputs[1] if getattr(type(y.op), "in_panels", False) else None


def in_memory(product: Node) -> Node:
    """The second operand, of 16 bits where a product is of such numbers in float32."""
    narrow = b.narrow_operands(*product.inputs)
    return product.inputs[1] if narrow is None else narrow[1]


def fits(dtype: DType, rows: int, columns: int, terms: int, parts: int) -> bool:
    """Whether a product in a loop is one for the unit: panels are whole, or nearly, and stay in the caches. (Of numbers
    of 16 bits it is where that takes them as they are: see `prepare.of_narrow`.)"""
    if dtype is not float32 and (dtype is not bfloat16 or rows < SIDE):
        return False
    if rows > MOST_ROWS or columns % SIDE or terms % DEPTH or 2 * rows * columns * terms < LEAST_WORK:
        return False
    full, near = (rows - 1) % SIDE + 1 >= LEAST_ROWS, 2 * columns * terms * parts <= NEAR_BYTES
    return rows >= MANY_ROWS or (full and near)


def panels(x: Node, at: tuple[Index, ...], shape: tuple[int, ...], parts: int) -> Node:
    """[columns, terms] as [panel, block of k, part, strip, line, column]: of k and k + 16 the 16 bits of a part."""
    columns, terms = shape
    new = (columns // SIDE, terms // DEPTH, 1, SIDE // STRIP, LINES, STRIP)
    panel, block, _, strip, line, column = loop_vars(new)
    halves: list[list[Node]] = []
    for behind in (0, LINES):
        values = bindings(shape, (panel * SIDE + strip * STRIP + column, block * DEPTH + line + behind))
        half = b.reindex(x, new, [i.substitute(values) for i in at])
        halves.append(split(b.convert(half, float32), parts))
    return b.concat([b.binary("bitwise_or", b.binary("shift_right", low, b.scalar_like(low, 16)), high)
                     for low, high in zip(*halves, strict=True)], 2)


def split(x: Node, parts: int) -> list[Node]:
    """The upper 16 bits of float32 numbers of 8 bits each; the sum of three is x. What is too large to be rounded up is
    rounded down; infinities stay, and what is not a number remains so."""
    def number(value: int) -> Node:
        return b.full(x.shape, value, uint32)

    bits = b.bitcast(x, uint32)
    bits = b.select(b.binary("ne", x, x), b.binary("bitwise_or", bits, number(QUIET)), bits)
    small = b.binary("lt", b.add(bits, bits), number(LARGE))
    high = b.binary("bitwise_and", b.select(small, b.add(bits, number(HALF)), bits), number(UPPER))
    found = [high]
    rest = x
    for last in (False, True)[:parts - 1]:
        rest = b.sub(rest, b.bitcast(found[-1], float32))
        bits = b.bitcast(rest, uint32)
        found.append(b.binary("bitwise_and", bits if last else b.add(bits, number(HALF)), number(UPPER)))
    return found


__all__ = ["Laid", "fits", "in_memory", "panels", "panels_of"]

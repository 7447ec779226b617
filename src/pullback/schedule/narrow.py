"""Contractions of 16-bit numbers: taken in float32, in which they accumulate, of numbers that are converted first.

    contract(x, y)                          becomes   convert(contract(convert(x), convert(y)))
    transpose(convert(contract(...)))       becomes   convert(transpose(contract(...)))

Needs: no calls. Leaves: no contraction with 16-bit operands.
"""

from __future__ import annotations

from typing import Any

import pullback.ops.build as b
from pullback.ir.dtypes import bfloat16, float16, float32
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, TensorType, apply, reapply, rebuild
from pullback.passes.layout import layout, lowering
from pullback.schedule.instead import elementwise
from pullback.util.config import MATMUL_PRECISION

PARTS = {bfloat16: 1, float16: 2}  # bfloat16 numbers whose sum is any number of a dtype
FLOAT32_PARTS = {"highest": 3, "high": 2, "medium": 1}


def in_float32(function: Function) -> Function:
    """The rewrites above."""
    def rule(node: Node) -> Node:
        if getattr(node.op, "inside", False):
            return b.convert(node.inputs[0], node.dtype)
        if lowering(node) == "contract":
            return _wide(node)
        source = node.inputs[0] if len(node.inputs) == 1 else None
        if source is None or not narrows(source) or lowering(_moved(source.inputs[0])) != "contract":
            return node
        if _moved(node, source) is not source:
            return node
        return b.convert(reapply(node, source.inputs), node.dtype)

    return rebuild(function, rule)


def _wide(node: Node) -> Node:
    x, y = node.inputs
    op: Any = node.op
    if x.dtype is float32:
        return apply(op.replace(parts=parts_of(node)), x, y)
    if x.dtype not in PARTS:
        return node
    wide = apply(op.replace(dtype=float32, parts=PARTS[x.dtype]), b.widened(x), b.widened(y))
    return b.convert(wide, op.dtype)


def parts_of(product: Node) -> int:
    """Of how many bfloat16 numbers the operands of a product of float32 or 16-bit numbers are made."""
    op: Any = product.op
    if product.inputs[0].dtype in PARTS:
        return PARTS[product.inputs[0].dtype]
    narrow = b.narrow_operands(*product.inputs)
    return min(op.parts, FLOAT32_PARTS[MATMUL_PRECISION.value] if narrow is None else PARTS[narrow[0].dtype])


def narrows(node: Node) -> bool:
    """Whether it is float32 numbers converted to 16 bits."""
    return (isinstance(node.type, TensorType) and elementwise(node) and len(node.inputs) == 1
            and node.dtype in PARTS and node.inputs[0].dtype is float32)


def _moved(node: Node, stop: Node | None = None) -> Node:
    """What a node is another arrangement of."""
    return layout(node, loop_vars(node.shape), {} if stop is None else {stop: None})[0] if isinstance(
        node.type, TensorType) else node

"""Simplify: algebra that changes no bits (or only removes work), identities, constants.

Needs: inlined. Leaves: no identity views, no arithmetic on constants alone, no neutral operands. Equal nodes are one by
construction, and what nobody needs is not reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pullback.ops.build as b
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, Proj, TensorType, rebuild
from pullback.passes.layout import layout, lowering

VIEWS = 4  # most views on the way to one that they undo
Rule = Callable[[Node, tuple[Node, ...], list[Any]], "Node | None"]


def simplify(function: Function) -> Function:
    """Rebuild the graph from its inputs on, each node by the rules."""
    return rebuild(function, simplified)


def simplified(node: Node) -> Node:
    """One node by the rules, until none applies."""
    for _ in range(8):
        found = _once(node)
        if found is None or found is node:
            return node
        node = found
    return node


def _once(node: Node) -> Node | None:
    if isinstance(node.op, Proj) or not isinstance(node.type, TensorType) or not node.inputs:
        return None
    row = getattr(node.op, "row", None)
    if row is not None:
        return _mapped(node, row)
    return _identity(node) if _is_view(node) else None


def _identity(node: Node) -> Node | None:
    """A view that is its input, or undoes those before it: `x`."""
    source = node
    for _ in range(VIEWS):
        if not _is_view(source):
            return None
        source = source.inputs[0]
        if source.shape == node.shape and source.dtype is node.dtype:
            over = loop_vars(node.shape)
            base, at = layout(node, over, {source: None})
            if base is source and at == over:
                return source
    return None


def _is_view(node: Node) -> bool:
    return len(node.inputs) == 1 and isinstance(node.type, TensorType) and lowering(node) == "view"


def uniform(node: Node) -> Any:
    """The value of a node whose elements are one constant; None of any other."""
    depth = 0
    while node.inputs and depth < 4:
        if len(node.inputs) != 1 or getattr(node.op, "dims", None) is None:
            return None
        node, depth = node.inputs[0], depth + 1
    data = getattr(node.op, "data", None)
    if data is None or not isinstance(node.type, TensorType) or node.type.size != 1:
        return None
    op: Any = node.op
    return op.item()


def _mapped(node: Node, row: str) -> Node | None:
    values = [uniform(x) for x in node.inputs]
    op: Any = node.op
    if all(v is not None for v in values) and node.tensor.dtype.kind != "c":
        return _folded(node, op, values)
    if row == "integer_pow":
        return _power(node, op.static[0])
    rule = _RULES.get(row)
    if rule is None or all(v is None for v in values):
        return _PLAIN[row](node) if row in _PLAIN else None
    return rule(node, node.inputs, values)


def _folded(node: Node, op: Any, values: list[Any]) -> Node | None:
    arrays = [np.asarray(v).astype(x.dtype.numpy) if x.dtype.name != "bfloat16" else None
              for v, x in zip(values, node.inputs, strict=True)]
    if any(a is None for a in arrays):
        return None
    with np.errstate(all="ignore"):
        result = np.asarray(op.reference(*arrays))
    return b.full(node.shape, result.item(), node.dtype)


def _power(node: Node, exponent: int) -> Node | None:
    if exponent == 1:
        return node.inputs[0]
    return b.mul(node.inputs[0], node.inputs[0]) if exponent == 2 else None


def _add(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """x + 0 -> x (a -0 stays one)"""
    for k in (0, 1):
        if values[k] is not None and values[k] == 0 and node.dtype.kind != "b":
            return inputs[1 - k]
    return None


def _sub(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """x - 0 -> x"""
    return inputs[0] if values[1] is not None and values[1] == 0 else None


def _mul(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """x * 1 -> x;  x * -1 -> -x"""
    for k in (0, 1):
        if values[k] is None or node.dtype.kind == "b":
            continue
        if values[k] == 1:
            return inputs[1 - k]
        if values[k] == -1 and node.dtype.kind in "fi":
            return b.neg(inputs[1 - k])
    return None


def _div(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """x / 1 -> x;  x / 2**n -> x * 2**-n"""
    if values[1] is None or node.dtype.kind != "f":
        return None
    if values[1] == 1:
        return inputs[0]
    mantissa, exponent = np.frexp(values[1])
    if abs(mantissa) == 0.5 and abs(exponent) < 12:
        return b.mul(inputs[0], b.scalar_like(inputs[0], 1.0 / values[1]))
    return None


def _select(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """select(true, x, y) -> x"""
    return None if values[0] is None else inputs[1] if values[0] else inputs[2]


def _pow(node: Node, inputs: tuple[Node, ...], values: list[Any]) -> Node | None:
    """x ** n -> integer_pow(x, n)"""
    n = values[1]
    if n is None or n != int(n) or abs(n) > 16 or (node.dtype.kind != "f" and n < 0):
        return None
    return b.integer_pow(inputs[0], int(n))


def _neg(node: Node) -> Node | None:
    """-(-x) -> x"""
    x = node.inputs[0]
    return x.inputs[0] if getattr(x.op, "row", None) == "neg" else None


_RULES: dict[str, Rule] = {"add": _add, "sub": _sub, "mul": _mul, "div": _div, "select": _select, "pow": _pow}
_PLAIN: dict[str, Callable[[Node], Node | None]] = {"neg": _neg, "identity": lambda node: node.inputs[0]}

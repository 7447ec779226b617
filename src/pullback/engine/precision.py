"""Operations on 16-bit floats that take several steps compute in float32 and round once, as PyTorch's do; so does what
moves the results of a product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.ir.dtypes import DType, float32
from pullback.ir.node import Node, TensorType

STEPS = frozenset(("view", "reduce", "contract"))  # lowerings of what takes float32 instead with no other meaning


def is_narrow(node: Node) -> bool:
    return isinstance(node.type, TensorType) and node.dtype.kind == "f" and node.dtype.itemsize == 2


def in_single(define: Callable[..., Any], nodes: list[Node], results: tuple[Node, ...]) -> tuple[Node, ...]:
    """The results of an operation on nodes, computed in float32 where several steps on the way round to 16 bits."""
    if not _rounds(results, nodes) > 1:
        return results
    from pullback.ops import build

    wide = define(*[build.convert_inside(x, float32) if is_narrow(x) else x for x in nodes])
    found: tuple[Node, ...] = (wide,) if isinstance(wide, Node) else tuple(wide)
    if any(w.dtype not in _dtypes_for(r) for r, w in zip(results, found, strict=True)):
        return results
    return tuple([build.convert(w, r.dtype) for r, w in zip(results, found, strict=True)])


def _dtypes_for(result: Node) -> tuple[DType, ...]:
    return (float32, result.dtype) if is_narrow(result) else (result.dtype,)


def _rounds(results: tuple[Node, ...], given: list[Node]) -> int:
    """How many steps round, a product as two; 0 where one of them is not to be replaced."""
    from pullback.ops.scalar import ROWS

    seen, pending, count = set(given), list(results), 0
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        kind = getattr(node.op, "lowering", "")
        if kind not in STEPS or getattr(node.op, "random", False) or not isinstance(node.type, TensorType):
            return 0
        pending.extend(node.inputs)
        row = getattr(node.op, "row", "")
        if is_narrow(node):
            adds = kind == "reduce" and getattr(node.op, "monoid", "") in ("add", "mul")
            narrows = getattr(node.op, "elementwise", False) and not is_narrow(node.inputs[0])
            count += 2 if kind == "contract" else (row and not ROWS[row].exact) or adds or narrows
    return count

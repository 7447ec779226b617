"""Attention as one kernel: where its operands and results lie."""

from __future__ import annotations

from typing import Any

from pullback.ir.node import Node, Proj, TupleType
from pullback.kernel.nodes import AttentionNest, Dropout, Load, Rows
from pullback.schedule.contract import side
from pullback.schedule.roots import Root, Roots, mask_of


def attention_nest(root: Root, roots: Roots) -> AttentionNest:
    """The nest of a node; results that nobody reads have no place."""
    node = root.node
    op: Any = node.op
    q, k, v = (x.shape for x in node.inputs[:3])
    given: list[Rows] = []
    for x, load in zip(node.inputs, root.loads, strict=True):
        assert isinstance(load, Load)
        found = side(load, x.shape)
        matrix = len(x.shape) == len(q)
        strides = found.strides[:-1] if matrix else found.strides
        step = found.strides[-1] if x is mask_of(node) else 1
        given.append(Rows(found.buffer, found.offset, strides[:-1], strides[-1], step))
    assert isinstance(node.type, TupleType)
    results: list[Rows | None] = [None] * len(node.type.items)
    for proj in roots.order:
        if isinstance(proj.op, Proj) and proj.inputs[0] is node:
            results[proj.op.index] = _rows(roots, proj, len(q) - 2)
    dropout = _dropout(given.pop(), op, len(q) - 2) if op.rate else None
    mask = given.pop() if op.masked else None
    return AttentionNest(q[:-2], q[-2], k[-2], q[-1], v[-1], op.causal, op.scale, tuple(given), tuple(results), mask,
                         dropout)


def _dropout(key: Rows, op: Any, batch: int) -> Dropout:
    """The key was read as one row for each index; it is two rows of one number."""
    lead = len(key.strides)
    rows = Rows(key.buffer, key.offset, (*key.strides, *(0,) * (batch - lead)), key.row_stride)
    return Dropout(rows, lead, op.threshold, 1 / (1 - op.rate))


def _rows(roots: Roots, result: Node, batch: int) -> Rows:
    """A result in row-major order."""
    shape = result.shape
    strides = [1] * len(shape)
    for n in range(len(shape) - 2, -1, -1):
        strides[n] = strides[n + 1] * shape[n + 1]
    return Rows(roots.buffers[result], 0, tuple(strides[:batch]), strides[batch])


def operations(nest: AttentionNest) -> int:
    """Multiplications and additions of its products; half of them where causal."""
    pairs = nest.m * nest.n
    if nest.causal:
        low = min(nest.m, nest.n)
        pairs = low * (low + 1) // 2 + (nest.m - low) * nest.n
    for n in nest.batch:
        pairs *= n
    each = nest.d + nest.e if len(nest.inputs) == 3 else 3 * nest.d + 2 * nest.e
    return 2 * pairs * each


__all__ = ["attention_nest", "operations"]

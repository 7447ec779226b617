"""One more leading dimension: batching of a graph, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.ir.node import (
    Function,
    Node,
    Proj,
    TensorType,
    Transforms,
    Whole,
    param,
    project,
    reapply,
    substitute,
    topological,
)
from pullback.ops import build as b


def batched_nodes(rules: Transforms, results: Sequence[Node], inputs: Sequence[Node], replacements: Sequence[Node],
                  size: int) -> list[tuple[Node, bool]]:
    """Results where `inputs` are replaced by nodes with a leading dimension of `size`, and whether each now has it."""
    done: dict[Node, Any] = dict(zip(inputs, replacements, strict=True))
    whole: dict[Node, Node] = {}  # what is the same for all elements, although it was made from them
    stop = set(inputs)
    for node in topological(results, stop):
        if node in stop:
            continue
        if any(x in done for x in node.inputs):
            found = _batched(rules, node, done, whole, size)
            if isinstance(found, Whole):
                whole[node] = found.node
            else:
                done[node] = found
        elif whole and any(x in whole for x in node.inputs):
            whole[node] = reapply(node, tuple(whole.get(x, x) for x in node.inputs))
    return [(done[r], True) if r in done else (whole.get(r, r), False) for r in results]


def _batched(rules: Transforms, node: Node, done: dict[Node, Any], whole: dict[Node, Node], size: int) -> Any:
    if isinstance(node.op, Proj):
        return done[node.inputs[0]][node.op.index]
    inputs = tuple(done[x] if x in done else whole.get(x, x) for x in node.inputs)
    found = node.op.batch(rules, size, inputs, tuple(x in done for x in node.inputs))
    if isinstance(node.type, TensorType) or isinstance(found, Whole):
        return found
    return project(found) if isinstance(found, Node) else tuple(found)


def batch_function(rules: Transforms, function: Function, batched: Sequence[bool], size: int,
                   force: Sequence[bool] | None = None) -> tuple[Function, tuple[bool, ...]]:
    """The function over one more leading dimension of some inputs, and which results have it."""
    fresh = [param(p.tensor.with_shape((size, *p.shape)) if k else p.tensor)
             for p, k in zip(function.params, batched, strict=True)]
    plain = {p: q for p, q, k in zip(function.params, fresh, batched, strict=True) if not k}
    moved = [(p, q) for p, q, k in zip(function.params, fresh, batched, strict=True) if k]
    found = batched_nodes(rules, function.results, [p for p, _ in moved], [q for _, q in moved], size)
    wanted = force if force is not None else (False,) * len(found)
    results = [b.lead(y, size) if want and not has else y for (y, has), want in zip(found, wanted, strict=True)]
    flags = tuple(has or want for (_, has), want in zip(found, wanted, strict=True))
    return Function(fresh, substitute(results, plain)), flags

"""Cotangents: the transpose of a graph that is linear in some inputs, operator by operator, backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.ir.node import Function, Node, Proj, Transforms, param, project, topological
from pullback.ops import build as b
from pullback.util.errors import VerifyError, message


def backward(rules: Transforms, results: Sequence[Node], cotangents: Sequence[Node | None],
             inputs: Sequence[Node]) -> list[Node | None]:
    """Cotangents of the linear inputs from cotangents of results; None is a zero."""
    stop = set(inputs)
    linear = set(inputs)
    order: list[Node] = []
    for node in topological(results, stop):
        if node not in stop and any(x in linear for x in node.inputs):
            linear.add(node)
            order.append(node)
    sums: dict[Node, Any] = {}
    for node, ct in zip(results, cotangents, strict=True):
        if ct is not None and node in linear:
            _accumulate(sums, node, ct)
    for node in reversed(order):
        ct = sums.pop(node, None)
        if ct is not None:
            _step(rules, node, ct, linear, sums)
    return [sums.get(x) for x in inputs]


def _accumulate(sums: dict[Node, Any], node: Node, ct: Node) -> None:
    if ct.type is not node.type:
        raise VerifyError(message("transpose: a cotangent has another type than its primal", [
            ("primal", f"{node.type!r}   of {node.op.name}"), ("cotangent", repr(ct.type))]))
    held = sums.get(node)
    sums[node] = ct if held is None else b.add(held, ct)


def _step(rules: Transforms, node: Node, ct: Any, linear: set[Node], sums: dict[Node, Any]) -> None:
    if isinstance(node.op, Proj):
        source = node.inputs[0]
        parts = sums.setdefault(source, [None] * len(project(source)))
        parts[node.op.index] = ct
        return
    flags = tuple(x in linear for x in node.inputs)
    found = node.op.transpose(rules, ct, node.inputs, flags)
    for x, part, k in zip(node.inputs, found, flags, strict=True):
        if k and part is not None:
            _accumulate(sums, x, part)


def transpose_function(rules: Transforms, function: Function, linear: Sequence[bool]) -> Function:
    """f(a..., linear...) -> g(a..., cotangents of all results) = cotangents of the linear inputs, zeros included."""
    wrt = [p for p, k in zip(function.params, linear, strict=True) if k]
    rest = [p for p, k in zip(function.params, linear, strict=True) if not k]
    cotangents = [param(r.tensor) for r in function.results]
    found = backward(rules, function.results, cotangents, wrt)
    return Function([*rest, *cotangents], b.materialise(found, wrt))


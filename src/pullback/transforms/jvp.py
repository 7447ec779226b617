"""Tangents: forward-mode differentiation of a graph, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.ir.dtypes import bool_
from pullback.ir.node import Function, Node, Proj, TensorType, Transforms, param, project, topological
from pullback.ops import build as b
from pullback.util.errors import GradientError, VerifyError, message

Tangent = Any  # a node or None; a tuple of them for a node with several results


def pushforward(rules: Transforms, results: Sequence[Node], wrt: Sequence[Node],
                tangents: Sequence[Node | None]) -> list[Node | None]:
    """Tangents of results from tangents of `wrt` nodes; None is a zero. Only nodes that depend on them are visited."""
    known: dict[Node, Tangent] = {x: t for x, t in zip(wrt, tangents, strict=True) if t is not None}
    stop = set(wrt)
    for node in topological(results, stop):
        if node in stop or not any(x in known for x in node.inputs):
            continue
        found = _tangent(rules, node, known)
        if found is not None:
            known[node] = found
    return [known.get(r) for r in results]


def _tangent(rules: Transforms, node: Node, known: dict[Node, Tangent]) -> Tangent:
    if isinstance(node.op, Proj):
        return known[node.inputs[0]][node.op.index]
    outputs = (node.type,) if isinstance(node.type, TensorType) else node.type.items
    if not any(t.dtype.is_inexact for t in outputs):
        return None
    found = node.op.jvp(rules, node.inputs, node, tuple(known.get(x) for x in node.inputs))
    if found is None and rules.zeros and node.op.passes_derivatives:
        given = tuple([known[x] for x in node.inputs if x in known])
        zeros = tuple([_zero(t, given) if t.dtype.is_inexact else None for t in outputs])
        found = zeros[0] if isinstance(node.type, TensorType) else zeros
    if isinstance(node.type, TensorType):
        if isinstance(found, Node) and found.type is not node.type:
            raise VerifyError(message(f"jvp of {node.op.name}: the tangent has another type",
                                      [("output", repr(node.type)), ("tangent", repr(found.type))]))
        return found
    if found is None:
        return None
    parts: tuple[Any, ...] = project(found) if isinstance(found, Node) else tuple(found)
    for t, type_ in zip(parts, outputs, strict=True):
        if t is not None and t.type is not type_:
            raise VerifyError(message(f"jvp of {node.op.name}: a tangent has another type",
                                      [("output", repr(type_)), ("tangent", repr(t.type))]))
    return parts if any(t is not None for t in parts) else None


def _zero(type: TensorType, tangents: Sequence[Node]) -> Node:
    """Zeros that are linear in tangents."""
    total = b.zeros((), type.dtype)
    for t in tangents:
        nothing = b.select(b.full(t.shape, False, bool_), t, b.zeros_like(t))
        total = b.add(total, b.convert(b.reduce("add", nothing, range(len(t.shape))), type.dtype))
    return b.broadcast(total, type.shape, ())


def jvp_function(rules: Transforms, function: Function,
                 active: Sequence[bool]) -> tuple[Function, tuple[bool, ...]]:
    """f(x...) -> g(x..., tangents of active inputs) = (y..., tangents of active results); x and y are f's own nodes."""
    wrt = [p for p, k in zip(function.params, active, strict=True) if k]
    for p in wrt:
        if not p.dtype.is_inexact:
            raise GradientError(message("jvp: a derivative needs floating point or complex inputs",
                                        [("x", repr(p.type))], "convert it, for example x.astype(float32)"))
    tangents = [param(p.tensor) for p in wrt]
    found = pushforward(rules, function.results, wrt, tangents)
    flags = tuple(t is not None for t in found)
    return Function([*function.params, *tangents], [*function.results, *(t for t in found if t is not None)]), flags

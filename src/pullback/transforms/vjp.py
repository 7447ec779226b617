"""Reverse mode: linearise, then transpose."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.ir.node import Function, Node, param, topological
from pullback.ops import build as b
from pullback.transforms.jvp import pushforward
from pullback.transforms.rules import RULES, STEPS, Rules
from pullback.transforms.transpose import backward
from pullback.util.errors import GradientError, message


def pushforward_nodes(results: Sequence[Node], wrt: Sequence[Node],
                      tangents: Sequence[Node | None]) -> list[Node | None]:
    """Tangents of recorded nodes, from tangents of others; None is a zero."""
    return pushforward(RULES, results, wrt, tangents)


def pullback_nodes(results: Sequence[Node], cotangents: Sequence[Node | None],
                   wrt: Sequence[Node]) -> list[Node | None]:
    """Gradients of recorded nodes with respect to others, in terms of the recorded graph; None is a zero.

    Integer and bool nodes of `wrt` have None.
    """
    return _pullback(RULES, results, cotangents, wrt)


def zeros_where_linked(results: Sequence[Node], gradients: Sequence[Node | None],
                       wrt: Sequence[Node]) -> list[Node | None]:
    """Gradients of recorded nodes with respect to others, as `pullback_nodes` gives them, with zeros for those that the
    results depend on by steps alone (`floor`, `sign`); None for those that they do not depend on."""
    missing = [x for x, g in zip(wrt, gradients, strict=True) if g is None and x.dtype.is_inexact]
    every = topological(results) if missing else []
    ends = [node for node in every if not node.op.passes_derivatives]
    behind = set(topological(results, ends)).difference(ends) if missing else set[Node]()
    missing = [x for x in missing if x in behind]
    if not missing:
        return list(gradients)
    found = _pullback(STEPS, results, [b.ones_like(r) for r in results], missing)
    linked = {x for x, g in zip(missing, found, strict=True) if g is not None}
    return [b.zeros_like(x) if x in linked else g for x, g in zip(wrt, gradients, strict=True)]


def _pullback(rules: Rules, results: Sequence[Node], cotangents: Sequence[Node | None],
              wrt: Sequence[Node]) -> list[Node | None]:
    active = list(dict.fromkeys(x for x in wrt if x.dtype.is_inexact))
    tangents = [param(x.tensor) for x in active]
    found = pushforward(rules, results, active, tangents)
    pairs = [(t, ct) for t, ct in zip(found, cotangents, strict=True) if t is not None and ct is not None]
    gradients = backward(rules, [t for t, _ in pairs], [ct for _, ct in pairs], tangents)
    by_node = dict(zip(active, gradients, strict=True))
    return [by_node.get(x) for x in wrt]


def vjp(function: Function, wrt: tuple[int, ...], outputs: tuple[int, ...]) -> Function:
    """(params..., cotangents of the outputs...) -> gradients for the parameters `wrt`, zeros included."""
    targets = [function.params[k] for k in wrt]
    for x in targets:
        if not x.dtype.is_inexact:
            raise GradientError(message("grad: a gradient needs floating point or complex inputs",
                                        [("x", repr(x.type))], "convert it, for example x.astype(float32)"))
    results = [function.results[k] for k in outputs]
    cotangents = [param(r.tensor) for r in results]
    found = pullback_nodes(results, cotangents, targets)
    return Function([*function.params, *cotangents], b.materialise(found, targets))

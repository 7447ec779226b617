"""Reverse mode: linearise, then transpose."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.ir.node import Function, Node, param
from pullback.ops import build as b
from pullback.transforms.jvp import pushforward
from pullback.transforms.rules import RULES
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
    active = list(dict.fromkeys(x for x in wrt if x.dtype.is_inexact))
    tangents = [param(x.tensor) for x in active]
    found = pushforward(RULES, results, active, tangents)
    pairs = [(t, ct) for t, ct in zip(found, cotangents, strict=True) if t is not None and ct is not None]
    gradients = backward(RULES, [t for t, _ in pairs], [ct for _, ct in pairs], tangents)
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

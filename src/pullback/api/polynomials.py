"""Polynomials."""

from __future__ import annotations

from typing import Any

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described
from pullback.engine.operation import broadcast_to, operation
from pullback.ir.node import Node
from pullback.util.errors import ShapeError, message

Array = Any


@operation(promote="dtype")
def _polyval(p: Node, x: Node) -> Node:
    """Horner's rule: y = y * x + p[k], from y = 0."""
    y = build.zeros_like(x)
    for k in range(p.shape[0]):
        coefficient = build.squeeze(build.slice_axis(p, 0, k, k + 1), (0,))
        y = build.add(build.mul(y, x), broadcast_to(coefficient, x.shape))
    return y


def polyval(p: Array, x: Array) -> Array:
    """p[0] x**n + ... + p[n], element by element.

    >>> import pullback as pb
    >>> pb.polyval(pb.tensor([1, -2, 3]), pb.tensor([0.0, 1.0, 2.0]))
    Tensor([3., 2., 3.], dtype=float32)
    """
    p = as_tensor(p, "polyval")
    if p.ndim != 1:
        raise ShapeError(message("polyval: the coefficients are one dimension", [("p", described(p))], "p.reshape(-1)"))
    return _polyval(p, as_tensor(x, "polyval"))

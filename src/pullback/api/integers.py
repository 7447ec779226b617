"""Functions of whole numbers: divisors and multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.api._lazy import build
from pullback.engine.operation import operation
from pullback.ir.node import Node
from pullback.ops.matrix import any_of, repeat_while
from pullback.util.errors import DTypeError, message

Array = Any


def _whole(name: str, x: Node) -> None:
    if x.dtype.kind not in "iu":
        raise DTypeError(message(f"{name}: needs integers", [("x", repr(x.type))], "convert them: x.astype(int32)"))


def _nonzero(x: Node) -> Node:
    return build.binary("ne", x, build.zeros_like(x))


def _divisor(x: Node, y: Node) -> Node:
    """Euclid's remainders, until all are 0."""
    def step(x: Node, y: Node) -> Sequence[Node]:
        on = _nonzero(y)
        rest = build.binary("remainder", x, build.select(on, y, build.ones_like(y)))
        return [build.select(on, y, x), build.select(on, rest, y)]

    if x.dtype.kind == "i":
        x, y = build.unary("abs", x), build.unary("abs", y)
    return repeat_while(lambda x, y: any_of(_nonzero(y)), step, [x, y])[0]


@operation(promote="broadcast", differentiable=False)
def _gcd(x: Node, y: Node) -> Node:
    _whole("gcd", x)
    return _divisor(x, y)


@operation(promote="broadcast", differentiable=False)
def _lcm(x: Node, y: Node) -> Node:
    _whole("lcm", x)
    found = _divisor(x, y)
    parts = build.binary("floor_divide", x, build.select(_nonzero(found), found, build.ones_like(found)))
    product = build.mul(parts, y)
    return build.unary("abs", product) if x.dtype.kind == "i" else product


def gcd(x: Array, y: Array) -> Array:
    """The greatest common divisor of each pair of elements.

    >>> import pullback as pb
    >>> pb.gcd(pb.tensor([12, 7]), 18)
    Tensor([6, 1], dtype=int32)
    """
    return _gcd(x, y)


def lcm(x: Array, y: Array) -> Array:
    """The least common multiple of each pair of elements, 0 where one of them is.

    >>> import pullback as pb
    >>> pb.lcm(pb.tensor([4, 0]), 6)
    Tensor([12,  0], dtype=int32)
    """
    return _lcm(x, y)


__all__ = ["gcd", "lcm"]

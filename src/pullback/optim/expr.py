"""Arithmetic on nodes, so that update rules read like their papers.

An `Expr` is a node. Numbers and 0-dimensional expressions meet tensors by conversion to the tensor's dtype and
broadcasting; among themselves they keep the wider dtype, so that factors such as `1 - beta ** step` are computed in
float64 and rounded once.
"""

from __future__ import annotations

from typing import Any

from pullback.api._lazy import build
from pullback.ir.dtypes import DType, float64, promote
from pullback.ir.node import Node

Number = float | int


class Expr:
    """A node with Python's operators. A scalar keeps what is made of it alone: all parameters of a step share it."""

    __slots__ = ("made", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.made: dict[Any, Any] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape

    @property
    def dtype(self) -> DType:
        return self.node.dtype

    def __add__(self, other: Expr | Number) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: Number) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Expr | Number) -> Expr:
        return apply("sub", self, other)

    def __rsub__(self, other: Number) -> Expr:
        return apply("sub", other, self)

    def __mul__(self, other: Expr | Number) -> Expr:
        return apply("mul", self, other)

    def __rmul__(self, other: Number) -> Expr:
        return apply("mul", other, self)

    def __truediv__(self, other: Expr | Number) -> Expr:
        return apply("div", self, other)

    def __rtruediv__(self, other: Number) -> Expr:
        return apply("div", other, self)

    def __pow__(self, other: Expr | Number) -> Expr:
        return apply("pow", self, other)

    def __rpow__(self, other: Number) -> Expr:
        return apply("pow", other, self)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __gt__(self, other: Expr | Number) -> Expr:
        return apply("gt", self, other)

    def __lt__(self, other: Expr | Number) -> Expr:
        return apply("lt", self, other)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        assert isinstance(other, (Expr, int, float))
        return apply("eq", self, other)

    __hash__ = object.__hash__


def _shape(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by NumPy's rule; the shapes are known to fit."""
    rank = max(len(x), len(y))
    pairs = zip((1,) * (rank - len(x)) + x, (1,) * (rank - len(y)) + y, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


def _broadcast(x: Node, shape: tuple[int, ...]) -> Node:
    offset = len(shape) - len(x.shape)
    kept = tuple(k for k, n in enumerate(x.shape) if n == shape[k + offset])
    if len(kept) == len(shape):
        return x
    if len(kept) != len(x.shape):
        x = build.squeeze(x, tuple(k for k in range(len(x.shape)) if k not in kept))
    return build.broadcast(x, shape, tuple(k + offset for k in kept))


def _meet(operands: tuple[Expr | Number, ...]) -> list[Node]:
    """Operands with one dtype and one shape."""
    types = {x.node.type if isinstance(x, Expr) else None for x in operands}
    if len(types) == 1:
        return [x.node for x in operands if isinstance(x, Expr)]
    tensors = [x for x in operands if isinstance(x, Expr)]
    shaped = [x for x in tensors if x.shape] or tensors
    dtype = shaped[0].dtype
    for x in shaped[1:]:
        dtype = promote(dtype, x.dtype)
    shape: tuple[int, ...] = ()
    for x in shaped:
        shape = _shape(shape, x.shape)
    nodes: list[Node] = []
    for x in operands:
        node = x.made.get((dtype, shape)) if isinstance(x, Expr) else None
        if node is None:
            node = x.node if isinstance(x, Expr) else build.const_scalar(x, dtype)
            node = _broadcast(build.convert(node, dtype), shape)
            if isinstance(x, Expr) and not x.shape:
                x.made[dtype, shape] = node
        nodes.append(node)
    return nodes


def apply(row: str, *operands: Expr | Number) -> Expr:
    """A scalar function over expressions and numbers."""
    scalar: Expr | None = None
    for x in operands:
        if isinstance(x, Expr):
            if x.node.shape:
                return _apply(row, operands)
            scalar = x
    if scalar is None:
        return _apply(row, operands)
    key = (row, *[x.node if isinstance(x, Expr) else repr(x) for x in operands])
    found = scalar.made.get(key)
    if found is None:
        found = scalar.made[key] = _apply(row, operands)
    return found


def _apply(row: str, operands: tuple[Expr | Number, ...]) -> Expr:
    nodes = _meet(operands)
    if len(nodes) == 3:
        return Expr(build.ternary(row, *nodes))
    return Expr(build.unary(row, *nodes) if len(nodes) == 1 else build.binary(row, *nodes))


def fma(x: Expr, y: Expr | Number, z: Expr) -> Expr:
    """x * y + z, rounded once."""
    return apply("fma", x, y, z)


def sqrt(x: Expr) -> Expr:
    return apply("sqrt", x)


def rsqrt(x: Expr) -> Expr:
    return apply("rsqrt", x)


def absolute(x: Expr) -> Expr:
    return apply("abs", x)


def sign(x: Expr) -> Expr:
    return apply("sign", x)


def maximum(x: Expr | Number, y: Expr | Number) -> Expr:
    return apply("maximum", x, y)


def minimum(x: Expr | Number, y: Expr | Number) -> Expr:
    return apply("minimum", x, y)


def where(condition: Expr, x: Expr | Number, y: Expr | Number) -> Expr:
    """`x` where the condition holds, else `y`."""
    like = x if isinstance(x, Expr) else y
    assert isinstance(like, Expr)
    a, b = _meet((x, y))
    shape = _shape(condition.shape, a.shape)
    chosen = build.select(*(_broadcast(n, shape) for n in (condition.node, a, b)))
    return Expr(chosen)


def lerp(start: Expr, end: Expr, weight: Expr) -> Expr:
    """start + weight * (end - start), for weights below one half."""
    return start + weight * (end - start)


def cast(x: Expr, dtype: DType) -> Expr:
    return Expr(build.convert(x.node, dtype))


def double(x: Expr) -> Expr:
    """In float64: for factors computed from the step count."""
    return cast(x, float64)


def total(x: Expr, axis: int | None = None) -> Expr:
    """The sum over all elements, or over one axis, which is kept with size 1."""
    rank = len(x.shape)
    if axis is None:
        return Expr(build.reduce("add", x.node, tuple(range(rank))) if rank else x.node)
    axis %= rank
    shape = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
    return Expr(build.reshape(build.reduce("add", x.node, (axis,)), shape))


def norm(x: Expr) -> Expr:
    """The Euclidean norm of all elements."""
    return sqrt(total(x * x))


def transpose(x: Expr) -> Expr:
    """The last two axes exchanged."""
    rank = len(x.shape)
    return Expr(build.transpose(x.node, (*range(rank - 2), rank - 1, rank - 2)))


def matmul(x: Expr, y: Expr) -> Expr:
    """The product of two matrices."""
    return Expr(build.contract(x.node, build.transpose(y.node, (1, 0)), 0, 1))

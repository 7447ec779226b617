"""Node builders used by rules and by the array functions. Shapes and dtypes must already be equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pullback.ir.dtypes import DType, dtype_of, numpy_dtype
from pullback.ir.index import Index, loop_vars, ravel, unravel
from pullback.ir.node import Node, apply, project
from pullback.ops.contract import Contract
from pullback.ops.indexing import Gather, PutAlong, Scatter, TakeAlong, located
from pullback.ops.map import Bitcast, Convert, Copy, Leaf, Map, StopGradient
from pullback.ops.order import Sort
from pullback.ops.reduce import ArgReduce, Cumulative, Reduce
from pullback.ops.shape import Broadcast, Concat, Reindex, ReindexReduce
from pullback.ops.source import Const, Iota, RandomBits
from pullback.util.errors import AxisError, GradientError, ShapeError, message

__all__ = ["apply", "project"]


def unary(row: str, x: Node) -> Node:
    """row(x)"""
    return apply(_map(row), x)


def binary(row: str, x: Node, y: Node) -> Node:
    """row(x, y)"""
    return apply(_map(row), x, y)


def ternary(row: str, x: Node, y: Node, z: Node) -> Node:
    """row(x, y, z)"""
    return apply(_map(row), x, y, z)


@lru_cache(None)
def _map(row: str) -> Map:
    return Map(row)


def add(x: Node, y: Node) -> Node:
    return binary("add", x, y)


def sub(x: Node, y: Node) -> Node:
    return binary("sub", x, y)


def mul(x: Node, y: Node) -> Node:
    return binary("mul", x, y)


def div(x: Node, y: Node) -> Node:
    return binary("div", x, y)


def maximum(x: Node, y: Node) -> Node:
    return binary("maximum", x, y)


def minimum(x: Node, y: Node) -> Node:
    return binary("minimum", x, y)


def neg(x: Node) -> Node:
    return unary("neg", x)


def sign(x: Node) -> Node:
    return unary("sign", x)


def floor(x: Node) -> Node:
    return unary("floor", x)


def trunc(x: Node) -> Node:
    return unary("trunc", x)


def exp(x: Node) -> Node:
    return unary("exp", x)


def log(x: Node) -> Node:
    return unary("log", x)


def square(x: Node) -> Node:
    return unary("square", x)


def sqrt(x: Node) -> Node:
    return unary("sqrt", x)


def reciprocal(x: Node) -> Node:
    return unary("reciprocal", x)


def integer_pow(x: Node, n: int) -> Node:
    """x ** n for a constant integer."""
    if n == 1:
        return x
    return apply(Map("integer_pow", (n,)), x)


def select(condition: Node, x: Node, y: Node) -> Node:
    """x where the condition holds, y elsewhere."""
    return apply(_map("select"), condition, x, y)


def convert(x: Node, dtype: DType) -> Node:
    """x as another dtype; x itself where it has it."""
    return x if x.dtype is dtype else apply(_convert(dtype), x)


@lru_cache(None)
def _convert(dtype: DType) -> Convert:
    return Convert(dtype)


def bitcast(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else apply(Bitcast(dtype), x)


def copy(x: Node) -> Node:
    return apply(Copy(), x)


def leaf(x: Node, number: int) -> Node:
    """x as a node that differs from those with other numbers."""
    return apply(Leaf(number), x)


def stop_gradient(x: Node) -> Node:
    return apply(StopGradient(), x)


# Constants.


def const_array(value: Any) -> Node:
    """A NumPy array as a constant."""
    value = np.asarray(value)
    return apply(Const(value.tobytes(), value.shape, dtype_of(value.dtype)))


def const_scalar(value: Any, dtype: DType) -> Node:
    """A 0-dimensional constant."""
    return number(repr(value), value, dtype)


@lru_cache(4096)
def number(text: str, value: Any, dtype: DType) -> Node:
    """The same; its text is part of the key because 0.0 == -0.0 and 1 == True."""
    return apply(Const(np.asarray(value).astype(numpy_dtype(dtype)).tobytes(), (), dtype))


@lru_cache(4096)
def number_in(x: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    """A `number` in every element."""
    return broadcast(convert(x, dtype), shape, ())


def full(shape: tuple[int, ...], value: Any, dtype: DType) -> Node:
    """A constant in every element."""
    scalar = const_scalar(value, dtype)
    return broadcast(scalar, shape, ()) if shape else scalar


def scalar_like(x: Node, value: Any) -> Node:
    """A constant in every element of x's shape, of its dtype."""
    return full(x.shape, value, x.dtype)


def zeros(shape: tuple[int, ...], dtype: DType) -> Node:
    return full(shape, 0, dtype)


def zeros_like(x: Node) -> Node:
    return full(x.shape, 0, x.dtype)


def ones_like(x: Node) -> Node:
    return full(x.shape, 1, x.dtype)


def iota(shape: tuple[int, ...], axis: int, dtype: DType) -> Node:
    """The index along an axis."""
    return apply(Iota(shape, axis, dtype))


def random_bits(key: Node, shape: tuple[int, ...], layout: str, bits: int) -> Node:
    return apply(RandomBits(shape, layout, bits), key)


# Shapes.


def count(shape: Sequence[int]) -> int:
    """Number of elements."""
    total = 1
    for n in shape:
        total *= n
    return total


def broadcast(x: Node, shape: tuple[int, ...], dims: tuple[int, ...]) -> Node:
    """Dimension k of x becomes dimension dims[k]; the others repeat."""
    return x if shape == x.shape else apply(_broadcast(shape, dims), x)


@lru_cache(4096)
def _broadcast(shape: tuple[int, ...], dims: tuple[int, ...]) -> Broadcast:
    return Broadcast(shape, dims)


def lead(x: Node, size: int) -> Node:
    """x repeated along a new leading dimension."""
    shape = x.shape
    return broadcast(x, (size, *shape), tuple(range(1, len(shape) + 1)))


def reindex(x: Node, shape: tuple[int, ...], indices: Sequence[Index], fill: Any = None) -> Node:
    return apply(Reindex(shape, tuple(indices), fill), x)


def reindex_reduce(x: Node, shape: tuple[int, ...], indices: Sequence[Index], monoid: str = "add") -> Node:
    return apply(ReindexReduce(shape, tuple(indices), monoid), x)


def transpose(x: Node, perm: Sequence[int]) -> Node:
    """Dimension k of the result is dimension perm[k] of x."""
    perm = tuple(perm)
    if perm == tuple(range(x.tensor.rank)):
        return x
    if sorted(perm) != list(range(x.tensor.rank)):
        raise AxisError(message("transpose: not a permutation of the dimensions", [("x", repr(x.type)),
                                                                                   ("axes", str(perm))]))
    return apply(_transpose(x.shape, perm), x)


@lru_cache(4096)
def _transpose(source: tuple[int, ...], perm: tuple[int, ...]) -> Reindex:
    shape = tuple(source[k] for k in perm)
    over = loop_vars(shape)
    return Reindex(shape, tuple(over[perm.index(k)] for k in range(len(perm))))


def move_axis(x: Node, source: int, target: int) -> Node:
    """The dimension `source` moved to `target`, the others in order."""
    order = [k for k in range(x.tensor.rank) if k != source]
    order.insert(target, source)
    return transpose(x, order)


def reshape(x: Node, shape: tuple[int, ...]) -> Node:
    """The same elements in row-major order under another shape."""
    if shape == x.shape:
        return x
    if count(shape) != x.tensor.size:
        raise ShapeError(message(f"reshape: {x.tensor.size} elements do not fit {shape}", [("x", repr(x.type))],
                                 f"the sizes must multiply to {x.tensor.size}"))
    return apply(_reshape(x.shape, shape), x)


@lru_cache(4096)
def _reshape(source: tuple[int, ...], shape: tuple[int, ...]) -> Reindex:
    return Reindex(shape, unravel(ravel(loop_vars(shape), shape), source))


def expand_dims(x: Node, axes: Sequence[int]) -> Node:
    """New dimensions of size 1 at these positions of the result."""
    rank = x.tensor.rank + len(axes)
    rest = iter(x.shape)
    return reshape(x, tuple(1 if k in axes else next(rest) for k in range(rank)))


def squeeze(x: Node, axes: Sequence[int]) -> Node:
    """Dimensions of size 1 removed."""
    return reshape(x, tuple(n for k, n in enumerate(x.shape) if k not in axes))


def slice_(x: Node, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int] | None = None) -> Node:
    """x[start:stop:step] in every dimension; a negative step goes from start down to (not including) stop."""
    steps = steps or [1] * len(starts)
    shape = tuple(max(-(-(e - s) // d) if d > 0 else -(-(s - e) // -d), 0)
                  for s, e, d in zip(starts, stops, steps, strict=True))
    if shape == x.shape and all(d == 1 for d in steps):
        return x
    over = loop_vars(shape)
    return reindex(x, shape, [v * d + s for v, s, d in zip(over, starts, steps, strict=True)])


def slice_axis(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """x[start:stop:step] along one axis."""
    axis %= x.tensor.rank
    starts, stops, steps = [0] * x.tensor.rank, list(x.shape), [1] * x.tensor.rank
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return slice_(x, starts, stops, steps)


def pad(x: Node, low: Sequence[int], high: Sequence[int], fill: Any = 0) -> Node:
    """x with elements of value `fill` in front and behind."""
    if not any(low) and not any(high):
        return x
    shape = tuple(a + n + z for a, n, z in zip(low, x.shape, high, strict=True))
    return reindex(x, shape, [v - a for v, a in zip(loop_vars(shape), low, strict=True)], fill)


def pad_axis(x: Node, axis: int, low: int, high: int, fill: Any = 0) -> Node:
    """`pad` along one axis."""
    before, after = [0] * x.tensor.rank, [0] * x.tensor.rank
    before[axis], after[axis] = low, high
    return pad(x, before, after, fill)


def flip(x: Node, axes: Sequence[int]) -> Node:
    """x with the order of elements along axes reversed."""
    over = loop_vars(x.shape)
    return reindex(x, x.shape, [v * -1 + (n - 1 if n else 0) if k in axes else v
                                for k, (v, n) in enumerate(zip(over, x.shape, strict=True))])


def concat(xs: Sequence[Node], axis: int) -> Node:
    """The arrays one after the other along an axis."""
    return xs[0] if len(xs) == 1 else apply(Concat(axis), *xs)


def flat_last(x: Node, axes: Sequence[int]) -> Node:
    """The dimensions `axes` moved to the end and made one."""
    rest = [k for k in range(x.tensor.rank) if k not in axes]
    moved = transpose(x, (*rest, *axes))
    return reshape(moved, (*(x.shape[k] for k in rest), count([x.shape[k] for k in axes])))


# Reductions and contractions.


def reduce(monoid: str, x: Node, axes: Sequence[int]) -> Node:
    """The monoid over axes, which are removed."""
    return apply(Reduce(monoid, tuple(sorted(axes))), x) if axes else x


def arg_reduce(kind: str, x: Node, axis: int) -> Node:
    return apply(ArgReduce(kind, axis), x)


def cumulative(monoid: str, x: Node, axis: int, reverse: bool = False) -> Node:
    return apply(Cumulative(monoid, axis, reverse), x)


def contract(x: Node, y: Node, batch: int, contracted: int, dtype: DType | None = None) -> Node:
    """[batch, free_x, k], [batch, free_y, k] -> [batch, free_x, free_y]"""
    return apply(Contract(batch, contracted, dtype or x.dtype), x, y)


def convert_inside(x: Node, dtype: DType) -> Node:
    """A conversion that an operation makes for itself: another node than the same one of a caller, who may ask for the
    gradient there."""
    return apply(Convert(dtype, True), x)


def narrow_operands(x: Node, y: Node) -> tuple[Node, Node] | None:
    """The 16-bit numbers of one dtype that both are in float32."""
    left, right = narrow(x), narrow(y)
    return (left, right) if left is not None and right is not None and left.dtype is right.dtype else None


def widened(x: Node) -> Node:
    """16-bit numbers in float32."""
    return converted(x, dtype_of("float32"))


def converted(x: Node, dtype: DType) -> Node:
    """x as another dtype; what it is another arrangement of is converted, once for all that read it."""
    if isinstance(x.op, (Broadcast, Reindex)) and not getattr(x.op, "fill", None) and (
            x.inputs[0].tensor.size <= x.tensor.size):
        return apply(x.op, converted(x.inputs[0], dtype))
    return convert(x, dtype)


def narrow(x: Node) -> Node | None:
    """The 16-bit numbers of which x is another arrangement, in float32."""
    if isinstance(x.op, Convert) and x.dtype.name == "float32" and x.inputs[0].dtype.kind == "f":
        return x.inputs[0] if x.inputs[0].dtype.itemsize == 2 else None
    if not isinstance(x.op, (Broadcast, Reindex)) or x.dtype.name != "float32" or getattr(x.op, "fill", None):
        return None
    source = narrow(x.inputs[0])
    return source and apply(x.op, source)


# Data-dependent places and order.


def gather(x: Node, indices: Node, axis: int, mode: str = "clip") -> Node:
    return apply(Gather(axis, located(mode)), x, indices)


def scatter(base: Node, indices: Node, updates: Node, axis: int, monoid: str = "add", mode: str = "clip") -> Node:
    return apply(Scatter(axis, monoid, located(mode)), base, indices, updates)


def take_along(x: Node, indices: Node, axis: int, mode: str = "clip") -> Node:
    return apply(TakeAlong(axis, located(mode)), x, indices)


def put_along(base: Node, indices: Node, updates: Node, axis: int, monoid: str = "add", mode: str = "clip") -> Node:
    return apply(PutAlong(axis, monoid, located(mode)), base, indices, updates)


def sort(xs: Sequence[Node], axis: int, descending: bool = False, keys: int = 1, first: int = -1) -> tuple[Node, ...]:
    """All arrays in the order of the first `keys`; of each line the first so many, where that is not negative."""
    return project(apply(Sort(axis, descending, keys, first), *xs))


def some(tangent: Node | None) -> Node:
    """A tangent that is there: a rule is called only with one, and this primitive has one input."""
    if tangent is None:
        raise GradientError(message("derivative: a rule was called without a tangent"))
    return tangent


def materialise(tangents: Sequence[Node | None], like: Sequence[Node]) -> tuple[Node, ...]:
    """Tangents with zeros in place of None."""
    return tuple(zeros_like(x) if t is None else t for t, x in zip(tangents, like, strict=True))

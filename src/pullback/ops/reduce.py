"""Reductions, extremes' positions, prefix scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import int32
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample, described
from pullback.ops.monoid import combine, identity, monoid_row
from pullback.util.errors import ArgumentError, AxisError, ShapeError, message


def _wide(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iub" else x


@primitive
class Reduce(Op):
    """out[kept] = monoid over the removed axes of x[...]; the identity where there are no elements."""

    name: ClassVar[str] = "reduce"
    lowering: ClassVar[str] = "reduce"
    monoid: str
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        x, axes = types[0], self.axes
        monoid_row(self.monoid, x.dtype, "reduce")
        ordered = list(axes) == sorted(set(axes))
        if not ordered or (axes and (axes[0] < 0 or axes[-1] >= x.rank)):
            raise AxisError(message(f"reduce: axes must be distinct, sorted and in 0..{x.rank - 1}",
                                    [("x", repr(x)), ("axes", str(axes))]))
        return x.with_shape(n for k, n in enumerate(x.shape) if k not in axes)

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        start = identity(self.monoid, b.dtype_of(x.dtype))
        if x.dtype == bool and self.monoid in ("max", "min"):
            return (np.logical_or if self.monoid == "max" else np.logical_and).reduce(x, self.axes)
        with np.errstate(all="ignore"):
            return combine(self.monoid).reduce(_wide(x), self.axes, dtype=_wide(x).dtype, initial=start).astype(x.dtype)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        x, t = inputs[0], b.some(tangents[0])
        if self.monoid == "add":
            return b.apply(self, t)
        if self.monoid == "mul":
            return product_tangent(*(b.flat_last(n, self.axes) for n in (x, t)))
        if x.tensor.size == 0:
            return b.zeros_like(output)
        here = b.convert(b.binary("eq", x, self._spread(output, x.shape)), t.dtype)
        return b.div(b.reduce("add", b.mul(t, here), self.axes), b.reduce("add", here, self.axes))

    def _spread(self, y: Node, shape: tuple[int, ...]) -> Node:
        return b.broadcast(y, shape, tuple(k for k in range(len(shape)) if k not in self.axes))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [self._spread(cotangent, inputs[0].shape)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.reduce(self.monoid, inputs[0], tuple(k + 1 for k in self.axes))

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(np.arange(24.0)).reshape(2, 3, 4)
        for monoid in ("add", "mul", "max", "min"):
            yield Reduce(monoid, (0, 2)), [x]
            yield Reduce(monoid, (1,)), [x.astype(np.float32)]
            yield Reduce(monoid, (0,)), [np.zeros((0, 3))]
            yield Reduce(monoid, (1,)), [np.arange(6, dtype=np.int32).reshape(2, 3)]
        yield Reduce("mul", (0,)), [np.asarray([2.0, 0.0, 3.0, 5.0, 0.0])]
        yield Reduce("mul", (0,)), [np.asarray([2.0, 0.0, 3.0])]
        for monoid in ("and", "or", "xor", "max", "min"):
            yield Reduce(monoid, (0,)), [np.asarray([[True, False], [True, True]])]
        yield Reduce("and", (0,)), [np.asarray([7, 3], np.uint8)]
        yield Reduce("add", ()), [x]
        yield Reduce("add", (0, 1, 2)), [x]
        yield Reduce("add", (0,)), [np.zeros((4, 0))]


def product_tangent(x: Node, t: Node) -> Node:
    """The tangent of the product over the last axis, exact where factors are 0: pairs (p, dp) combined in a tree."""
    while x.shape[-1] != 1:
        size = x.shape[-1]
        if size == 0:
            return b.zeros(x.shape[:-1], t.dtype)
        if size % 2:
            x, t = b.pad_axis(x, -1, 0, 1, 1), b.pad_axis(t, -1, 0, 1, 0)
        left, right = (b.slice_axis(x, -1, k, x.shape[-1], 2) for k in (0, 1))
        dleft, dright = (b.slice_axis(t, -1, k, t.shape[-1], 2) for k in (0, 1))
        x, t = b.mul(left, right), b.add(b.mul(dleft, right), b.mul(left, dright))
    return b.reshape(t, t.shape[:-1])


@primitive
class ArgReduce(Op):
    """out[kept] = the first position along the axis of the extreme of x; NaN counts as extreme."""

    name: ClassVar[str] = "arg_reduce"
    lowering: ClassVar[str] = "argreduce"
    absent: ClassVar[dict[str, str]] = {"jvp": "a position has no derivative", "transpose": "not linear"}
    kind: str
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x = types[0]
        if self.kind not in ("max", "min"):
            raise ArgumentError(message("arg_reduce: kind must be max or min", [("kind", self.kind)]))
        if not 0 <= self.axis < x.rank:
            raise AxisError(message(f"arg{self.kind}: axis out of range", [("x", repr(x)), ("axis", str(self.axis))]))
        if x.shape[self.axis] == 0:
            raise ShapeError(message(f"arg{self.kind}: an axis without elements has no extreme", described(types)))
        monoid_row(self.kind, x.dtype, f"arg{self.kind}")
        return TensorType.of((n for k, n in enumerate(x.shape) if k != self.axis), int32)

    def reference(self, *arrays: Any) -> Any:
        return (np.argmax if self.kind == "max" else np.argmin)(_wide(arrays[0]), self.axis).astype(np.int32)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return None

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(ArgReduce(self.kind, self.axis + 1), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        for kind in ("max", "min"):
            yield ArgReduce(kind, 1), [np.asarray([[1.0, 3.0, 3.0], [np.nan, 0.0, np.nan]])]
            yield ArgReduce(kind, 0), [np.asarray([[1, 3], [2, 3]], np.int32)]
            yield ArgReduce(kind, 1), [np.zeros((0, 3), np.float32)]


@primitive
class Cumulative(Op):
    """out[..., i, ...] = monoid of x[..., 0..i, ...] (of x[..., i.., ...] where reversed)."""

    name: ClassVar[str] = "cumulative"
    lowering: ClassVar[str] = "cumulative"
    monoid: str
    axis: int
    reverse: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        x = types[0]
        if not 0 <= self.axis < x.rank:
            raise AxisError(message("cumulative: axis out of range", [("x", repr(x)), ("axis", str(self.axis))]))
        monoid_row(self.monoid, x.dtype, "cumulative")
        return x

    def reference(self, *arrays: Any) -> Any:
        x = np.flip(arrays[0], self.axis) if self.reverse else arrays[0]
        with np.errstate(all="ignore"):
            y = combine(self.monoid).accumulate(_wide(x), self.axis, dtype=_wide(x).dtype).astype(x.dtype)
        return np.flip(y, self.axis) if self.reverse else y

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        x, t = inputs[0], b.some(tangents[0])
        if self.monoid == "add":
            return b.apply(self, t)
        if self.monoid == "mul":
            return self._product(x, t)
        # The tangent is that of the position of the running extreme (of equal ones, the last met).
        number = b.iota(x.shape, self.axis, int32)
        none = b.full(x.shape, x.shape[self.axis] if self.reverse else -1, int32)
        here = b.binary("eq", x, output)
        here = b.binary("logical_or", here, b.unary("isnan", x)) if x.dtype.is_inexact else here  # NaN is extreme
        met = b.select(here, number, none)
        last = b.apply(Cumulative("min" if self.reverse else "max", self.axis, self.reverse), met)
        return b.take_along(t, last, self.axis)

    def _product(self, x: Node, t: Node) -> Node:
        """Pairs (p, dp) combined over windows of doubling length."""
        step, size = 1, x.shape[self.axis]
        while step < size:
            before, dbefore = self._shift(x, step, 1), self._shift(t, step, 0)
            x, t = b.mul(before, x), b.add(b.mul(dbefore, x), b.mul(before, t))
            step *= 2
        return t

    def _shift(self, x: Node, step: int, fill: int) -> Node:
        size = x.shape[self.axis]
        low, high = (0, step) if self.reverse else (step, 0)
        padded = b.pad_axis(x, self.axis, low, high, fill)
        return b.slice_axis(padded, self.axis, high, high + size)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [b.apply(Cumulative("add", self.axis, not self.reverse), cotangent)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(Cumulative(self.monoid, self.axis + 1, self.reverse), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(1 + np.arange(12.0)).reshape(3, 4)
        for monoid in ("add", "mul", "max", "min"):
            for reverse in (False, True):
                yield Cumulative(monoid, 1, reverse), [x]
                yield Cumulative(monoid, 0, reverse), [np.arange(6, dtype=np.int32).reshape(3, 2)]
            yield Cumulative(monoid, 0), [np.zeros((0, 2))]
            yield Cumulative(monoid, 0), [np.ones((1, 2), np.float32)]
        yield Cumulative("mul", 0), [np.asarray([2.0, 0.0, 3.0, 0.0])]


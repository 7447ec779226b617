"""Sorting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import int32
from pullback.ir.node import Node, Op, TensorType, Transforms, TupleType, primitive
from pullback.ops.map import Sample, described
from pullback.util.errors import ArgumentError, AxisError, DTypeError, ShapeError, message


def permutation(keys: Sequence[Any], axis: int, descending: bool) -> Any:
    """The stable order by keys, the first the most significant; NaN counts as the greatest."""
    order = _positions(keys[0].shape, axis)
    for key in reversed(keys):
        value = np.take_along_axis(key, order, axis)
        order = np.take_along_axis(order, _stable(value, axis, descending), axis)
        value = np.take_along_axis(key, order, axis)
        if key.dtype.kind not in "iub":
            order = np.take_along_axis(order, _stable(np.isnan(value), axis, descending), axis)
    return order


def _positions(shape: tuple[int, ...], axis: int) -> Any:
    sizes = [-1 if k == axis else 1 for k in range(len(shape))]
    return np.broadcast_to(np.arange(shape[axis]).reshape(sizes), shape)


def _stable(value: Any, axis: int, descending: bool) -> Any:
    if value.dtype.itemsize == 2 and value.dtype.kind not in "iub":
        value = value.astype(np.float32)
    if not descending:
        return np.argsort(value, axis, kind="stable")
    flipped = np.argsort(np.flip(value, axis), axis, kind="stable")
    return np.flip(value.shape[axis] - 1 - flipped, axis)


@primitive
class Sort(Op):
    """All inputs in the order along an axis of the first `keys` of them: lexicographic, stable, NaN the greatest.

    Of each line the `first` elements in that order, all of them where `first` is negative.
    """

    name: ClassVar[str] = "sort"
    lowering: ClassVar[str] = "sort"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is a gather by the permutation, transposed as such"}
    axis: int
    descending: bool = False
    keys: int = 1
    first: int = -1

    def kept(self, shape: Sequence[int]) -> int:
        """How many elements are left of a line."""
        return shape[self.axis] if self.first < 0 else self.first

    def infer(self, *types: TensorType) -> TupleType:
        if not 1 <= self.keys <= len(types):
            raise ArgumentError(message("sort: keys must be between 1 and the number of arrays", described(types)))
        if not 0 <= self.axis < types[0].rank:
            raise AxisError(message("sort: axis out of range", [*described(types[:1]), ("axis", str(self.axis))]))
        if any(t.shape != types[0].shape for t in types):
            raise ShapeError(message("sort: arrays sorted together must have equal shapes", described(types)))
        if any(t.dtype.kind == "c" for t in types[:self.keys]):
            raise DTypeError(message("sort: complex numbers have no order", described(types), "sort abs(x) or x.real"))
        shape = types[0].shape
        if self.kept(shape) > shape[self.axis]:
            raise ArgumentError(message("sort: there are not so many elements along the axis",
                                        [*described(types[:1]), ("first", str(self.first))]))
        return TupleType(tuple(t.with_shape((*shape[:self.axis], self.kept(shape), *shape[self.axis + 1:]))
                               for t in types))

    def reference(self, *arrays: Any) -> Any:
        order = permutation(arrays[:self.keys], self.axis, self.descending)
        order = np.take(order, np.arange(self.kept(arrays[0].shape)), self.axis)
        return tuple(np.take_along_axis(x, order, self.axis) for x in arrays)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        order = b.sort([*inputs[:self.keys], b.iota(inputs[0].shape, self.axis, int32)], self.axis, self.descending,
                       self.keys, self.first)[-1]
        return tuple(None if t is None else b.take_along(t, order, self.axis) for t in tangents)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        all_ = [x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)]
        return b.sort(all_, self.axis + 1, self.descending, self.keys, self.first)

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(1 + np.arange(12.0)).reshape(3, 4)
        for descending in (False, True):
            yield Sort(1, descending), [x]
            yield Sort(0, descending), [x.astype(np.float32), np.arange(12, dtype=np.int32).reshape(3, 4)]
            yield Sort(0, descending), [np.asarray([2, 1, 2, 1, 0], np.int32), np.arange(5.0)]
            second = np.asarray([0.5, np.nan, 0.1, 3])
            yield Sort(1, descending, 1, 2), [x, np.arange(12, dtype=np.int32).reshape(3, 4)]
            yield Sort(0, descending, 2), [np.asarray([2, 1, 2, 1], np.int32), second, np.arange(4.0)]
        yield Sort(0), [np.zeros((0, 2))]
        yield Sort(0), [np.asarray([True, False])]

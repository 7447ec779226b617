"""Values at all places of a named axis: what a function that is mapped over an axis knows of the other places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, Whole, param, primitive
from pullback.ops.map import described
from pullback.util.errors import DTypeError, message


@primitive
class Across(Op):
    """out[j, i...] = x[i...] at place j of the axis; with the monoid "add" their sum over j.

    The second input is the place along the axis: batching gives it a leading dimension only when it maps over this very
    axis, and removes the primitive then. Until then all places hold the same x.
    """

    name: ClassVar[str] = "across"
    lowering: ClassVar[str] = "inline"
    absent: ClassVar[dict[str, str]] = {"samples": "a loop over places does not know the others; tested by named axes"}
    size: int
    monoid: str = ""

    def infer(self, *types: TensorType) -> TensorType:
        x, place = types
        if place.dtype.kind not in "iu" or place.rank:
            raise DTypeError(message("across: a place is one whole number", described(types)))
        return x if self.monoid else x.with_shape((self.size, *x.shape))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if self.monoid:
            return np.asarray(x * np.asarray(self.size, x.dtype))
        return np.broadcast_to(x, (self.size, *x.shape))

    def _alone(self, x: Node) -> Node:
        """All places hold the same."""
        return b.mul(x, b.scalar_like(x, self.size)) if self.monoid else b.lead(x, self.size)

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        return Function(params, [self._alone(params[0])])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return b.apply(self, b.some(tangents[0]), inputs[1])

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        total = b.apply(Across(self.size, "add"), cotangent, inputs[1])
        return [total if self.monoid else b.gather(total, inputs[1], 0), None]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        x, place = inputs
        if not batched[1]:
            found = b.apply(self, x, place)
            return found if self.monoid else b.move_axis(found, 1, 0)
        if not batched[0]:
            return Whole(self._alone(x))
        return Whole(b.reduce(self.monoid, x, (0,)) if self.monoid else x)


__all__ = ["Across"]

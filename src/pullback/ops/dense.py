"""Kernels on dense matrices of which decompositions are made, and Cholesky's. Derivatives are the decompositions'."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import Node, Op, TensorType, Transforms, TupleType, primitive
from pullback.ops.matrix import check_matrix

NOT_OWN = "only what is made of it has a derivative: that one's rule stands before it is taken apart"
NOT_ALONE = "the catalogue differentiates what it tests: it is tested by itself"
PANEL_VECTORS, VECTOR_BYTES = 4, 32


class Dense(Op):
    """A kernel on dense matrices, whose leading dimensions are batches. `parts`: how many threads may share it.

    `panel` columns are turned together; rows of n elements have room for `line`, whole panels.
    """

    lowering: ClassVar[str] = "dense"
    absent: ClassVar[dict[str, str]] = {"jvp": NOT_OWN, "transpose": NOT_OWN, "samples": NOT_ALONE}

    def line(self, n: int, itemsize: int) -> int:
        panel = self.panel(n, itemsize)
        return -(-max(n, 1) // panel) * panel

    def panel(self, n: int, itemsize: int) -> int:
        width = VECTOR_BYTES // itemsize
        return min(-(-max(n, 1) // width), PANEL_VECTORS) * width

    def work(self, *types: TensorType) -> int:
        """What it costs: operations."""
        raise NotImplementedError

    def parts(self, *types: TensorType) -> int:
        return b.count(types[0].shape[:-2])

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))


@primitive
class UpperCholesky(Dense):
    """Upper triangular R with R^T R = x, of which the upper triangle is read; NaN where x is not positive definite.
    Below R's diagonal stands anything."""

    name: ClassVar[str] = "upper_cholesky"

    def infer(self, *types: TensorType) -> TupleType:
        check_matrix("upper_cholesky", types[0], square=True)
        return TupleType((types[0],))

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] // 4

    def reference(self, *arrays: Any) -> Any:
        left = np.array(arrays[0])
        found = np.zeros_like(left)
        with np.errstate(all="ignore"):
            for k in range(left.shape[-1]):
                pivot = left[..., k, k, None]
                found[..., k, k:] = left[..., k, k:] / np.where(pivot > 0, np.sqrt(pivot), np.nan)
                left[..., k:, k:] -= found[..., k, k:, None] * found[..., k, None, k:]
        return (found,)


__all__ = ["Dense", "UpperCholesky"]

"""Kernels on dense matrices of which decompositions are made, and Cholesky's. Derivatives are the decompositions'."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import dtype_of, int32
from pullback.ir.node import Node, Op, TensorType, Transforms, TupleType, primitive
from pullback.ops.matrix import check_matrix

NOT_OWN = "only what is made of it has a derivative: that one's rule stands before it is taken apart"
NOT_ALONE = "the catalogue differentiates what it tests: it is tested by itself"
PANEL_VECTORS, STRIP_VECTORS, VECTOR_BYTES = 4, 2, 32


class Dense(Op):
    """A kernel on dense matrices, whose leading dimensions are batches. `parts`: how many threads may share it.

    `panel` columns are turned together; rows of n elements have room for `line`, whole panels. `dims`: how many
    dimensions of the first input belong to one matrix.
    """

    lowering: ClassVar[str] = "dense"
    dims: ClassVar[int] = 2
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
        return b.count(types[0].shape[:-self.dims])

    def infer(self, *types: TensorType) -> TupleType:
        raise NotImplementedError

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        """The results for one matrix, by NumPy."""
        raise NotImplementedError

    def reference(self, *arrays: Any) -> Any:
        outs = [np.zeros(t.shape, t.dtype.numpy)
                for t in self.infer(*(TensorType.of(x.shape, dtype_of(x.dtype)) for x in arrays)).items]
        with np.errstate(all="ignore"):
            for at in np.ndindex(arrays[0].shape[:-self.dims]) if arrays[0].size else ():
                for out, found in zip(outs, self.one(*(x[at] for x in arrays)), strict=True):
                    out[at] = found
        return tuple(outs)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))


class Panelled(Dense):
    """A kernel that works on strips of columns, `strip` wide and `high` rows high."""

    def strip(self, n: int, itemsize: int) -> int:
        width = VECTOR_BYTES // itemsize
        return min(-(-max(n, 1) // width), STRIP_VECTORS) * width

    def high(self, m: int, n: int, itemsize: int) -> int:
        strip = self.strip(min(m, n), itemsize)
        return -(-m // strip) * strip


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

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        left = np.array(arrays[0])
        found = np.zeros_like(left)
        for k in range(len(left)):
            pivot = left[k, k]
            found[k, k:] = left[k, k:] / (np.sqrt(pivot) if pivot > 0 else np.nan)
            left[k:, k:] -= np.outer(found[k, k:], found[k, k:])
        return (found,)


@primitive
class PivotedLu(Panelled):
    """x[order] = L U with partial pivoting: L (unit diagonal) and U in one matrix, which row each step took, the order.
    """

    name: ClassVar[str] = "pivoted_lu"

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("pivoted_lu", x)
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        return TupleType((x, TensorType.of((*batch, min(m, n)), int32), TensorType.of((*batch, m), int32)))

    def work(self, *types: TensorType) -> int:
        return types[0].size * min(types[0].shape[-2:]) // 2

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        return lu_by_steps(arrays[0])


def lu_by_steps(x: Any) -> tuple[Any, ...]:
    """`PivotedLu` of one matrix, real or complex."""
    left, (m, n) = np.array(x), x.shape
    order, pivots = np.arange(m, dtype=np.int32), np.zeros(min(m, n), np.int32)
    with np.errstate(all="ignore"):
        for k in range(min(m, n)):
            p = pivots[k] = k + int(np.argmax(np.abs(left[k:, k])))
            left[[k, p]], order[[k, p]] = left[[p, k]], order[[p, k]]
            if left[k, k] != 0:
                left[k + 1:, k] /= left[k, k]
            left[k + 1:, k + 1:] -= np.outer(left[k + 1:, k], left[k, k + 1:])
    return left, pivots, order


__all__ = ["Dense", "Panelled", "PivotedLu", "UpperCholesky", "lu_by_steps"]

"""What QR is made of: reflections of columns by blocks, and the orthogonal matrix that they make.

They are kernels of their own (`codegen/llvm`). Derivatives are those of `Qr`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import TensorType, TupleType, primitive
from pullback.ops.dense import Panelled
from pullback.ops.matrix import check_matrix


@primitive
class Householder(Panelled):
    """R, upper triangular, of x = Q R; reflections by blocks of columns [block, column, row], and for each block T by
    columns: Q is the product of 1 - V T V^T, with the block's columns as V."""

    name: ClassVar[str] = "householder"

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("householder", x)
        batch, (m, n), size = x.shape[:-2], x.shape[-2:], x.dtype.itemsize
        strip = self.strip(min(m, n), size)
        blocks = -(-min(m, n) // strip)
        return TupleType((x.with_shape((*batch, min(m, n), n)),
                          x.with_shape((*batch, blocks, strip, self.high(m, n, size))),
                          x.with_shape((*batch, blocks, strip, strip))))

    def work(self, *types: TensorType) -> int:
        return types[0].size * min(types[0].shape[-2:])

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        a, (m, n), size = np.array(arrays[0]), arrays[0].shape, arrays[0].itemsize
        strip, k = self.strip(min(m, n), size), min(m, n)
        vectors = np.zeros((-(-k // strip), strip, self.high(m, n, size)), a.dtype)
        triangles = np.zeros((*vectors.shape[:2], strip), a.dtype)
        for p in range(k):
            v, tau, left = _reflection(a[p:, p])
            a[p:, p:] -= tau * np.outer(v, v @ a[p:, p:])
            a[p, p], a[p + 1:, p] = left, 0
            at, j = divmod(p, strip)
            vectors[at, j, p:m] = v
            triangles[at, j] = -tau * (vectors[at, :j, p:m] @ v) @ triangles[at, :j]
            triangles[at, j, j] = tau
        return np.triu(a[:k]), vectors, triangles


def _reflection(x: Any) -> tuple[Any, Any, Any]:
    """v, its factor, and what is left of a vector's first number."""
    v, top = np.array(x), np.abs(x).max()
    if not np.abs(x[1:]).max(initial=0):
        v[0] = 1
        return v, 0, x[0]
    v /= top
    beta = -np.copysign(np.sqrt((v * v).sum()), v[0])
    tau = (beta - v[0]) / beta
    v /= v[0] - beta
    v[0] = 1
    return v, tau, beta * top


@primitive
class HouseholderQ(Panelled):
    """The first columns of what reflections make of the identity."""

    name: ClassVar[str] = "householder_q"
    dims: ClassVar[int] = 3
    rows: int
    columns: int

    def infer(self, *types: TensorType) -> TupleType:
        return TupleType((types[0].with_shape((*types[0].shape[:-3], self.rows, self.columns)),))

    def work(self, *types: TensorType) -> int:
        blocks, strip = types[0].shape[-3:-1]
        return b.count(types[0].shape[:-3]) * blocks * strip * self.rows * self.columns * 2

    def parts(self, *types: TensorType) -> int:
        return b.count(types[0].shape[:-3]) * -(-self.columns // types[0].shape[-2])

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        q = np.eye(self.rows, self.columns, dtype=arrays[0].dtype)
        for v, t in zip(arrays[0][::-1, :, :self.rows], arrays[1][::-1], strict=True):
            q -= v.T @ (t.T @ (v @ q))
        return (q,)


__all__ = ["Householder", "HouseholderQ"]

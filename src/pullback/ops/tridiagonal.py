"""What eigenvalues of symmetric matrices are made of: a tridiagonal form, and its eigenvalues and vectors.

They are kernels of their own (`codegen/llvm/tridiagonal.py`, `tridiagonal_eigen.py`). Derivatives are `Eigh`'s.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import dtype_of
from pullback.ir.node import Node, Op, TensorType, Transforms, TupleType, primitive
from pullback.ops.matrix import check_matrix

NOT_OWN = "only what is made of it has a derivative: that one's rule stands before it is taken apart"
NOT_ALONE = "the catalogue differentiates what it tests: it is tested by itself"
PANEL_VECTORS, VECTOR_BYTES = 4, 32


def panel_size(n: int, itemsize: int) -> int:
    """Columns that a kernel turns together: a few vectors, as many as there are to fill."""
    width = VECTOR_BYTES // itemsize
    return min(-(-max(n, 1) // width), PANEL_VECTORS) * width


def line_size(n: int, itemsize: int) -> int:
    """Elements of a row that ends with a panel."""
    panel = panel_size(n, itemsize)
    return -(-max(n, 1) // panel) * panel


class Dense(Op):
    """A kernel on dense matrices, whose leading dimensions are batches. `parts`: how many threads may share it."""

    lowering: ClassVar[str] = "dense"
    absent: ClassVar[dict[str, str]] = {"jvp": NOT_OWN, "transpose": NOT_OWN, "samples": NOT_ALONE}

    def work(self, *types: TensorType) -> int:
        """What it costs: operations."""
        raise NotImplementedError

    def parts(self, *types: TensorType) -> int:
        return b.count(types[0].shape[:-2])

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))


@primitive
class Tridiagonal(Dense):
    """Q^T x Q of symmetric matrices: diagonals, what stands beside them (and a 0), rows of reflections, their factors,
    and a power of two by which the first two are to be multiplied (NaN where a number is not finite)

    Q = H[n - 1] ... H[1], H[i] = 1 - factor v v^T with row i of the reflections as v.
    """

    name: ClassVar[str] = "tridiagonal"

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("tridiagonal", x, square=True)
        line = x.with_shape(x.shape[:-1])
        return TupleType((line, line, x.with_shape((*line.shape, self.line(x.shape[-1], x.dtype.itemsize))), line,
                          x.with_shape(x.shape[:-2])))

    def line(self, n: int, itemsize: int) -> int:
        return line_size(n, itemsize)

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] * 2

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        outs = [np.zeros(t.shape, x.dtype) for t in self.infer(TensorType.of(x.shape, dtype_of(x.dtype))).items]
        count = b.count(x.shape[:-2])
        flat = [o.reshape((count, *o.shape[x.ndim - 2:])) for o in outs]
        with np.errstate(all="ignore"):
            for k, one in enumerate(x.reshape((-1, *x.shape[-2:])) if x.size else ()):
                top = np.abs(one).max()
                flat[4][k] = 2.0 ** np.floor(np.log2(top)) if 0 < top < np.inf else 1 if top == 0 else np.nan
                _reduce(one / flat[4][k], *(f[k] for f in flat[:4]))
        return tuple(outs)


def _reduce(a: Any, d: Any, beside: Any, reflections: Any, factors: Any) -> None:
    """One matrix, from its last row up, into rows of the results."""
    nothing = 1e-31 if a.dtype == np.float32 else 1e-291
    for i in range(len(a) - 1, -1, -1):
        d[i] = a[i, i]
        if i == 0:
            break
        v, alpha = np.array(a[i, :i]), a[i, i - 1]
        v[-1] = 0
        rest = (v * v).sum()
        beta = -np.copysign(np.sqrt(alpha * alpha + rest), alpha)
        none = rest <= nothing
        v *= 0 if none else 1 / (alpha - beta)
        v[-1] = 1
        tau = 0 if none else (beta - alpha) / beta
        beside[i - 1], factors[i], reflections[i, :i] = alpha if none else beta, tau, v
        y = tau * (a[:i, :i] @ v)
        w = y - tau / 2 * (y @ v) * v
        a[:i, :i] -= np.outer(v, w) + np.outer(w, v)


@primitive
class TridiagonalEigen(Dense):
    """Of what `Tridiagonal` gives but the scale: eigenvalues, in no order, and the rows of the transposed eigenvectors
    of x in panels [panel, row, column]; NaN where a number is not finite
    """

    name: ClassVar[str] = "tridiagonal_eigen"

    def infer(self, *types: TensorType) -> TupleType:
        d, n = types[0], types[0].shape[-1]
        panel = self.panel(n, d.dtype.itemsize)
        count = self.line(n, d.dtype.itemsize) // panel
        return TupleType((d, d.with_shape((*d.shape[:-1], count, n, panel))))

    def line(self, n: int, itemsize: int) -> int:
        return line_size(n, itemsize)

    def panel(self, n: int, itemsize: int) -> int:
        return panel_size(n, itemsize)

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] ** 2 * 8

    def parts(self, *types: TensorType) -> int:
        n, itemsize = types[0].shape[-1], types[0].dtype.itemsize
        return b.count(types[0].shape[:-1]) * (self.line(n, itemsize) // self.panel(n, itemsize))

    def reference(self, *arrays: Any) -> Any:
        d, beside, reflections, factors = arrays
        n, panel = d.shape[-1], self.panel(d.shape[-1], d.dtype.itemsize)
        values, wide = np.zeros_like(d), np.zeros((*d.shape, reflections.shape[-1]), d.dtype)
        for at in np.ndindex(d.shape[:-1]) if d.size else ():
            t = np.diag(d[at]) + np.diag(beside[at][:-1], 1) + np.diag(beside[at][:-1], -1)
            if not np.isfinite(t).all():
                values[at], wide[at] = np.nan, np.nan
                continue
            values[at], vectors = np.linalg.eigh(t)
            for i in range(1, n):
                v = reflections[at][i, :n]
                vectors -= factors[at][i] * np.outer(v, v @ vectors)
            wide[at][:, :n] = vectors.T
        split = wide.reshape((*d.shape, -1, panel))
        return values, np.ascontiguousarray(np.moveaxis(split, -2, -3))


def whole_rows(panels: Node, n: int) -> Node:
    """Matrices of n columns from panels [batch, panel, row, column]."""
    batch, count, rows, width = panels.shape
    wide = b.reshape(b.transpose(panels, (0, 2, 1, 3)), (batch, rows, count * width))
    return b.slice_axis(wide, 2, 0, n) if count * width != n else wide


__all__ = ["Dense", "Tridiagonal", "TridiagonalEigen", "whole_rows"]

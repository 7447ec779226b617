"""What eigenvalues of symmetric matrices and singular values are made of: a form of two diagonals, and its values and
vectors. They are kernels of their own (`codegen/llvm`). Derivatives are those of `Eigh` and `Svd`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import Node, TensorType, TupleType, primitive
from pullback.ops.dense import Dense
from pullback.ops.matrix import check_matrix


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

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] * 2

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        """From the last row up."""
        x, n = arrays[0], len(arrays[0])
        scale = _scale(x)
        a = x / x.dtype.type(scale)
        d, beside, factors = np.zeros((3, n), x.dtype)
        reflections = np.zeros((n, self.line(n, x.dtype.itemsize)), x.dtype)
        for i in range(n - 1, -1, -1):
            d[i] = a[i, i]
            if i:
                v, tau, beside[i - 1] = _reflection(a[i, :i])
                factors[i], reflections[i, :i] = tau, v
                y = tau * (a[:i, :i] @ v)
                w = y - tau / 2 * (y @ v) * v
                a[:i, :i] -= np.outer(v, w) + np.outer(w, v)
        return d, beside, reflections, factors, scale


class Values(Dense):
    """Values of matrices of two diagonals, in no order, and the rows of transposed vectors of each side in panels
    [panel, row, column]; NaN where a number is not finite."""

    dims: ClassVar[int] = 1
    sides: ClassVar[int] = 1

    def infer(self, *types: TensorType) -> TupleType:
        d, n = types[0], types[0].shape[-1]
        panel = self.panel(n, d.dtype.itemsize)
        count = self.line(n, d.dtype.itemsize) // panel
        return TupleType((d, *[d.with_shape((*d.shape[:-1], count, n, panel))] * self.sides))

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] ** 2 * 8 * self.sides

    def parts(self, *types: TensorType) -> int:
        n, itemsize = types[0].shape[-1], types[0].dtype.itemsize
        return b.count(types[0].shape[:-1]) * (self.line(n, itemsize) // self.panel(n, itemsize))

    def found(self, t: Any) -> tuple[Any, ...]:
        """Values of one matrix, and the vectors of each side as columns."""
        raise NotImplementedError

    def lower(self, d: Any, beside: Any) -> Any:
        """The matrix."""
        raise NotImplementedError

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        d, beside, *sides = arrays
        n, panel = len(d), self.panel(len(d), d.dtype.itemsize)
        t = self.lower(d, beside[:-1])
        good = bool(np.isfinite(t).all())
        values, *vectors = self.found(t if good else np.zeros_like(t))
        wide = np.zeros((self.sides, n, sides[0].shape[-1]), d.dtype)
        for side, x in enumerate(vectors):
            for i in range(n):
                v = sides[2 * side][i, :n]
                x -= sides[2 * side + 1][i] * np.outer(v, v @ x)
            wide[side, :, :n] = x.T if good else np.nan
        split = wide.reshape((self.sides, n, -1, panel)).swapaxes(1, 2)
        return values if good else np.full_like(d, np.nan), *split


@primitive
class TridiagonalEigen(Values):
    """Of what `Tridiagonal` gives but the scale: eigenvalues, in no order, and the rows of the transposed eigenvectors
    of x in panels [panel, row, column]; NaN where a number is not finite
    """

    name: ClassVar[str] = "tridiagonal_eigen"

    def lower(self, d: Any, beside: Any) -> Any:
        return np.diag(d) + np.diag(beside, 1) + np.diag(beside, -1)

    def found(self, t: Any) -> tuple[Any, ...]:
        return tuple(np.linalg.eigh(t))


@primitive
class Bidiagonal(Dense):
    """P^T x Q of square matrices, lower bidiagonal: diagonals, what stands beside them (and a 0), rows of reflections
    of rows, their factors, of columns, theirs, and the power of two by which the first two are to be multiplied

    P = H[n - 1] ... H[0], and Q, too.
    """

    name: ClassVar[str] = "bidiagonal"

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("bidiagonal", x, square=True)
        line = x.with_shape(x.shape[:-1])
        side = x.with_shape((*line.shape, self.line(x.shape[-1], x.dtype.itemsize)))
        return TupleType((line, line, side, line, side, line, x.with_shape(x.shape[:-2])))

    def work(self, *types: TensorType) -> int:
        return types[0].size * types[0].shape[-1] * 3

    def one(self, *arrays: Any) -> tuple[Any, ...]:
        """From the last row and column up."""
        x, n = arrays[0], len(arrays[0])
        scale = _scale(x)
        a = x / x.dtype.type(scale)
        d, beside, of_u, of_v = np.zeros((4, n), x.dtype)
        us, vs = np.zeros((2, n, self.line(n, x.dtype.itemsize)), x.dtype)
        for i in range(n - 1, -1, -1):
            us[i, :i + 1], of_u[i], d[i] = _reflection(a[:i + 1, i])
            u = us[i, :i + 1]
            a[:i + 1, :i + 1] -= of_u[i] * np.outer(u, u @ a[:i + 1, :i + 1])
            if i:
                vs[i, :i], of_v[i], beside[i - 1] = _reflection(a[i, :i])
                v = vs[i, :i]
                a[:i, :i] -= of_v[i] * np.outer(a[:i, :i] @ v, v)
        return d, beside, us, of_u, vs, of_v, scale


def _scale(x: Any) -> float:
    """The power of two that the greatest number has."""
    top = np.abs(x).max()
    return 2.0 ** np.floor(np.log2(top)) if 0 < top < np.inf else 1.0 if top == 0 else np.nan


def _reflection(x: Any) -> tuple[Any, Any, Any]:
    """v, the factor and what is left of a vector's last number."""
    v, alpha = np.array(x), x[-1]
    v[-1] = 0
    rest = (v * v).sum()
    none = rest <= (1e-31 if x.dtype == np.float32 else 1e-291)
    beta = alpha if none else -np.copysign(np.sqrt(alpha * alpha + rest), alpha)
    v *= 0 if none else 1 / (alpha - beta)
    v[-1] = 1
    return v, 0 if none else (beta - alpha) / beta, beta


@primitive
class BidiagonalSingular(Values):
    """Of what `Bidiagonal` gives but the scale: singular values with signs, in no order, and the rows of the transposed
    left and right vectors of x in panels [panel, row, column]; NaN where a number is not finite
    """

    name: ClassVar[str] = "bidiagonal_singular"
    sides: ClassVar[int] = 2

    def lower(self, d: Any, beside: Any) -> Any:
        return np.diag(d) + np.diag(beside, -1)

    def found(self, t: Any) -> tuple[Any, ...]:
        u, s, vt = np.linalg.svd(t)
        return s, u, vt.T.copy()


def whole_rows(panels: Node, n: int) -> Node:
    """Matrices of n columns from panels [batch, panel, row, column]."""
    batch, count, rows, width = panels.shape
    wide = b.reshape(b.transpose(panels, (0, 2, 1, 3)), (batch, rows, count * width))
    return b.slice_axis(wide, 2, 0, n) if count * width != n else wide


__all__ = ["Bidiagonal", "BidiagonalSingular", "Tridiagonal", "TridiagonalEigen", "whole_rows"]

"""Eigenvalues of Hermitian matrices and singular values by way of a form of two diagonals, eigenvalues of other
matrices by LAPACK. Leading dimensions are batches.

The sign of a vector is chosen so that its largest component is positive (real, where numbers are complex).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import DType, complex64, complex128, float32, float64, int32
from pullback.ir.node import Node, TensorType, Transforms, TupleType, primitive, project
from pullback.ops.linalg import LINEAR, Decomposition, Lu, Qr, TriangularSolve, each
from pullback.ops.map import Sample
from pullback.ops.matrix import (
    adjoint,
    at,
    check_matrix,
    columns,
    conj,
    cut,
    diagonal,
    eye_like,
    flat_batch,
    mm,
    rows,
    tril,
    turned,
    where,
)
from pullback.ops.tridiagonal import Bidiagonal, BidiagonalSingular, Tridiagonal, TridiagonalEigen, whole_rows
from pullback.util.errors import GradientError, message


def real_of(dtype: DType) -> DType:
    """The dtype of sizes of numbers of a dtype."""
    return dtype if dtype.kind == "f" else float32 if dtype is complex64 else float64


def _phase(vectors: Any) -> Any:
    """What each column of NumPy matrices is divided by so that its largest component is positive."""
    at = np.argmax(np.abs(vectors), axis=-2, keepdims=True)
    top = np.take_along_axis(vectors, at, -2)
    size = np.abs(top)
    return np.where(size == 0, 1, top / np.where(size == 0, 1, size)).astype(vectors.dtype)


def _signs(vectors: Node) -> Node:
    """The sign of the largest component of each row of matrices."""
    top = b.arg_reduce("max", b.unary("abs", vectors), 2)
    found = b.take_along(vectors, b.reshape(top, (*top.shape, 1)), 2)
    found = b.reshape(found, top.shape)
    return where(b.binary("lt", found, b.zeros_like(found)), b.neg(b.ones_like(found)), 1)


def _ordered(values: Node, descending: bool, *others: Node) -> tuple[Node, ...]:
    """Values [batch, n] in order, and others, or the rows of matrices, with them."""
    values, order = b.sort([values, b.iota(values.shape, 1, int32)], 1, descending)
    return values, *(b.take_along(x, rows(order, x.shape) if x.tensor.rank > 2 else order, 1) for x in others)


def _of_length_one(vectors: Node) -> Node:
    """Rows of matrices whose length is 1 but for what the rounding of many rotations adds up to."""
    length = b.sqrt(b.reduce("add", b.square(vectors), (2,)))
    return b.mul(vectors, rows(b.reciprocal(length), vectors.shape))


# -- eigenvalues -------------------------------------------------------------------------------------------------------


@primitive
class Eigh(Decomposition):
    """Eigenvalues in ascending order and orthonormal eigenvectors of a Hermitian matrix: its lower triangle is read"""

    name: ClassVar[str] = "eigh"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("eigh", x, square=True)
        return TupleType((TensorType.of(x.shape[:-1], real_of(x.dtype)), x))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size:
            return np.zeros(x.shape[:-1], x.real.dtype), x
        w, v = each(_eigh, x)
        return w, v

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """dw = the diagonal of V^H dx V; dV = V times the rest of it over differences of eigenvalues."""
        w, v = project(output)
        lower = tril(b.some(tangents[0]))
        strict = tril(lower, -1)
        change = b.add(lower, adjoint(strict))
        inner = mm(adjoint(v), mm(change, v))
        d_w = diagonal(inner)
        wide = b.convert(w, v.dtype)
        gap = b.sub(columns(wide, inner.shape), rows(wide, inner.shape))
        on = b.binary("eq", at(inner, -2), at(inner, -1))
        share = b.div(where(on, b.zeros_like(inner), inner), where(on, b.ones_like(gap), gap))
        return [b.unary("real", d_w) if v.dtype.kind == "c" else d_w, mm(v, share)]

    def build(self, *inputs: Node) -> Sequence[Node]:
        x = inputs[0]
        n = x.shape[-1]
        if not x.tensor.size:
            return [b.zeros(x.shape[:-1], x.dtype), x]
        lower = flat_batch(tril(x))
        full = b.add(lower, turned(tril(lower, -1)))
        *parts, scale = project(b.apply(Tridiagonal(), full))
        w, panels = project(b.apply(TridiagonalEigen(), *parts))
        w, v = _ordered(b.mul(w, rows(scale, w.shape)), False, whole_rows(panels, n))
        v = _of_length_one(v)
        v = b.mul(v, rows(_signs(v), v.shape))
        return [b.reshape(w, x.shape[:-1]), b.reshape(turned(v), x.shape)]

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(4)
        for shape in ((2, 3, 3), (4, 4)):
            yield Eigh(), [rng.normal(size=shape)]
        yield Eigh(), [rng.normal(size=(5, 5)).astype(np.float32)]
        yield Eigh(), [np.asarray([[2.0]])]
        yield Eigh(), [np.zeros((2, 0, 0))]
        yield Eigh(), [np.diag([3.0, -1.0, 2.0]).astype(np.float32)]


def _eigh(x: Any) -> Any:
    if not np.isfinite(x).all():
        return np.full(x.shape[-1], np.nan, x.real.dtype), np.full_like(x, np.nan)
    w, v = np.linalg.eigh(x)
    return w, v / _phase(v)


def _complex_of(dtype: DType) -> DType:
    """The complex dtype of numbers of a dtype."""
    return dtype if dtype.kind == "c" else complex64 if dtype is float32 else complex128


def _solved(a: Node, y: Node) -> Node:
    """x with a x = y."""
    packed, _, order = project(b.apply(Lu(), a))
    y = b.take_along(y, rows(order, y.shape), y.tensor.rank - 2)
    return b.apply(TriangularSolve(False), packed, b.apply(TriangularSolve(True, True), packed, y))


@primitive
class Eig(Decomposition):
    """Eigenvalues and eigenvectors, of length 1, of any square matrix: complex numbers"""

    name: ClassVar[str] = "eig"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("eig", x, square=True)
        kind = _complex_of(x.dtype)
        return TupleType((TensorType.of(x.shape[:-1], kind), TensorType.of(x.shape, kind)))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        kind = np.complex64 if x.dtype.itemsize == 4 or x.dtype == np.complex64 else np.complex128
        if not x.size:
            return np.zeros(x.shape[:-1], kind), np.zeros(x.shape, kind)
        w, v = each(_eig, x)
        return w.astype(kind), v.astype(kind)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """dw = the diagonal of V^-1 dx V; dV = V times the rest of it over differences of eigenvalues, lengths kept."""
        w, v = project(output)
        inner = _solved(v, mm(b.convert(b.some(tangents[0]), v.dtype), v))
        gap = b.sub(columns(w, inner.shape), rows(w, inner.shape))
        on = b.binary("eq", at(inner, -2), at(inner, -1))
        share = b.div(where(on, b.zeros_like(inner), inner), where(on, b.ones_like(gap), gap))
        moved = mm(v, share)
        along = b.unary("real", b.reduce("add", b.mul(conj(v), moved), (v.tensor.rank - 2,)))
        return [diagonal(inner), b.sub(moved, b.mul(v, columns(b.convert(along, v.dtype), v.shape)))]

    def function_for(self, types: Sequence[TensorType]) -> None:
        """None: the results are complex, of which there is no native code."""

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(6)
        yield Eig(), [rng.normal(size=(2, 3, 3))]
        yield Eig(), [rng.normal(size=(4, 4)).astype(np.float32)]
        yield Eig(), [rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))]
        yield Eig(), [np.zeros((2, 0, 0))]


def _eig(x: Any) -> Any:
    if not np.isfinite(x).all():
        return np.full(x.shape[-1], np.nan, complex), np.full(x.shape, np.nan, complex)
    return tuple(np.linalg.eig(x))


# -- singular values ---------------------------------------------------------------------------------------------------


@primitive
class Svd(Decomposition):
    """x = U diag(s) V^H, s descending: U, s, V^H; the complete orthogonal matrices if `full`"""

    name: ClassVar[str] = "svd"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}
    full: bool = False

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("svd", x)
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        k = min(m, n)
        return TupleType((x.with_shape((*batch, m, m if self.full else k)),
                          TensorType.of((*batch, k), real_of(x.dtype)),
                          x.with_shape((*batch, n if self.full else k, n))))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size:
            u, s, v = self.infer(TensorType.of(x.shape, float64)).items
            eyes = [np.broadcast_to(np.eye(*t.shape[-2:], dtype=x.dtype), t.shape).copy() for t in (u, v)]
            return eyes[0], np.zeros(s.shape, x.real.dtype), eyes[1]
        return tuple(each(partial(_svd, full=self.full), x))

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """ds = the diagonal of U^H dx V; dU and dV from its other elements over differences of squares."""
        m, n = inputs[0].shape[-2:]
        if self.full and m != n:
            raise GradientError(message("svd: the complete U and V of a matrix that is not square have no derivative",
                                        [("x", repr(inputs[0].type))], "use full_matrices=False"))
        u, s, vh = project(output)
        tx, v = b.some(tangents[0]), adjoint(vh)
        inner = mm(adjoint(u), mm(tx, v))
        d_s = diagonal(inner)
        wide = b.convert(s, u.dtype)
        left, right = rows(wide, inner.shape), columns(wide, inner.shape)
        on = b.binary("eq", at(inner, -2), at(inner, -1))
        gap = where(on, b.ones_like(inner), b.mul(b.sub(right, left), b.add(right, left)))
        turn_u = b.div(b.add(b.mul(inner, right), b.mul(left, adjoint(inner))), gap)
        turn_v = b.div(b.add(b.mul(left, inner), b.mul(adjoint(inner), right)), gap)
        turn_u, turn_v = (where(on, b.zeros_like(inner), x) for x in (turn_u, turn_v))
        if inner.dtype.kind == "c":
            imaginary = where(on, b.mul(b.sub(inner, conj(inner)), b.scalar_like(inner, 0.5)), 0)
            turn_u = b.add(turn_u, b.div(imaginary, where(on, left, 1)))
        d_u, d_v = mm(u, turn_u), mm(v, turn_v)
        if m > n:
            change = mm(tx, v)
            d_u = b.add(d_u, b.div(b.sub(change, mm(u, inner)), columns(wide, change.shape)))
        if n > m:
            change = mm(adjoint(tx), u)
            d_v = b.add(d_v, b.div(b.sub(change, mm(v, adjoint(inner))), columns(wide, change.shape)))
        return [d_u, b.unary("real", d_s) if inner.dtype.kind == "c" else d_s, adjoint(d_v)]

    def build(self, *inputs: Node) -> Sequence[Node]:
        x = inputs[0]
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        if not x.tensor.size:
            u, _, v = self.infer(x.tensor).items
            eyes = [eye_like(b.zeros(t.shape, x.dtype)) for t in (u, v)]
            return [eyes[0], b.zeros((*batch, min(m, n)), x.dtype), eyes[1]]
        if m < n:
            u, s, v = self.build(turned(x))
            sign = _signs(flat_batch(turned(v)))  # of the columns of U, as for tall matrices
            sign = b.reshape(sign, (*batch, m))
            u_rows = b.concat([sign, b.ones_like(b.zeros((*batch, u.shape[-1] - m), x.dtype))], len(batch)) \
                if u.shape[-1] > m else sign
            flipped = b.mul(u, columns(u_rows, u.shape))
            return [b.mul(turned(v), columns(sign, (*batch, m, m))), s, turned(flipped)]
        return self._tall(x, batch, m, n)

    def _tall(self, x: Node, batch: tuple[int, ...], m: int, n: int) -> Sequence[Node]:
        start = flat_batch(x)
        head, core = (start, start) if m == n else project(b.apply(Qr(self.full), start))
        *parts, scale = project(b.apply(Bidiagonal(), cut(core, n, n)))
        s, left, right = project(b.apply(BidiagonalSingular(), *parts))
        s, sign = b.mul(b.unary("abs", s), rows(scale, s.shape)), b.binary("copysign", b.ones_like(s), s)
        s, lines, vectors, sign = _ordered(s, True, whole_rows(left, n), whole_rows(right, n), sign)
        q = turned(_of_length_one(lines))
        vectors = b.mul(_of_length_one(vectors), rows(sign, vectors.shape))
        if m != n:
            q = self._unreduced(head, q, m, n)
        sign = _signs(b.slice_axis(turned(q), 1, 0, n))
        wide = sign if q.shape[-1] == n else b.concat([sign, b.full((*sign.shape[:1], q.shape[-1] - n), 1, x.dtype)], 1)
        q = b.mul(q, columns(wide, q.shape))
        vectors = b.mul(vectors, rows(sign, vectors.shape))
        return [b.reshape(q, (*batch, *q.shape[1:])), b.reshape(s, (*batch, n)), b.reshape(vectors, (*batch, n, n))]

    def _unreduced(self, head: Node, q: Node, m: int, n: int) -> Node:
        """U of the whole matrix from that of its R."""
        if not self.full:
            return mm(head, q)
        return b.concat([mm(b.slice_axis(head, -1, 0, n), q), b.slice_axis(head, -1, n, m)], 2)

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(5)
        for shape in ((2, 3, 3), (4, 2), (2, 3)):
            yield Svd(), [rng.normal(size=shape)]
        yield Svd(True), [rng.normal(size=(3, 3))]
        yield Svd(), [rng.normal(size=(5, 4)).astype(np.float32)]
        yield Svd(), [np.zeros((2, 3, 0))]


def _svd(x: Any, full: bool) -> Any:
    m, n = x.shape
    if not np.isfinite(x).all():
        u, s, v = m if full else min(m, n), min(m, n), n if full else min(m, n)
        return (np.full((m, u), np.nan, x.dtype), np.full(s, np.nan, x.real.dtype), np.full((v, n), np.nan, x.dtype))
    u, s, vh = np.linalg.svd(x, full_matrices=full)
    k = len(s)
    phase = _phase(u[:, :k])
    u[:, :k] = u[:, :k] / phase
    vh[:k] = vh[:k] * phase.T
    return u, s, vh


__all__ = ["Eigh", "Svd"]

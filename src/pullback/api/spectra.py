"""Eigenvalues, singular values, and what is made of them: norms, ranks, pseudo-inverses, least squares."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from pullback.api import elementwise, reductions
from pullback.api._lazy import build
from pullback.api.arguments import (
    UNSET,
    as_tensor,
    described,
    integer,
    one_of,
    ordered_axes,
)
from pullback.api.decompositions import as_if_hermitian, inv, matrices, real_float, solve, square
from pullback.api.linear_algebra import matmul, vector_norm
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.node import Node, project
from pullback.ops import matrix
from pullback.ops.control import with_rule
from pullback.ops.spectral import Eig, Eigh, Svd
from pullback.util.errors import ArgumentError, ShapeError, message

Array = Any
EigResult = namedtuple("EigResult", "eigenvalues eigenvectors")
EighResult = namedtuple("EighResult", "eigenvalues eigenvectors")
SVDResult = namedtuple("SVDResult", "U S Vh")
LstsqResult = namedtuple("LstsqResult", "solution residuals rank singular_values")


@operation()
def _eigh(x: Node, upper: bool) -> tuple[Node, ...]:
    return project(build.apply(Eigh(), as_if_hermitian(real_float(x), upper)))


def eigh(x: Array, /, UPLO: str = "L") -> Any:
    """Eigenvalues in ascending order and orthonormal eigenvectors (columns) of Hermitian matrices, of which the lower
    triangle is read ("U": the upper one). The largest component of each vector is positive.

    >>> import pullback as pb
    >>> pb.linalg.eigh(pb.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Tensor([1., 2.], dtype=float32)
    """
    upper = one_of(UPLO, ("L", "U", "l", "u"), "eigh", "UPLO") in ("U", "u")
    return EighResult(*_eigh(square(x, "eigh"), upper=upper))


def eigvalsh(x: Array, /, UPLO: str = "L") -> Array:
    """The eigenvalues of Hermitian matrices in ascending order."""
    return eigh(x, UPLO).eigenvalues


@operation()
def _eig(x: Node) -> tuple[Node, ...]:
    return project(build.apply(Eig(), real_float(x)))


def eig(x: Array, /) -> Any:
    """Eigenvalues, in no order, and eigenvectors (columns of length 1) of square matrices: complex numbers. A vector
    may be turned by any angle: what is differentiated must not depend on it.

    >>> import pullback as pb
    >>> pb.linalg.eig(pb.tensor([[0.0, -1.0], [1.0, 0.0]])).eigenvalues
    Tensor([0.+1.j, 0.-1.j], dtype=complex64)
    """
    return EigResult(*_eig(square(x, "eig")))


def eigvals(x: Array, /) -> Array:
    """The eigenvalues of square matrices, in no order."""
    return eig(x).eigenvalues


@operation()
def _svd(x: Node, full: bool) -> tuple[Node, ...]:
    return project(build.apply(Svd(full), real_float(x)))


@operation()
def _svdvals(x: Node) -> Node:
    return project(build.apply(Svd(), real_float(x)))[1]


def svd(x: Array, /, *, full_matrices: bool = True) -> Any:
    """x = U @ diag(S) @ Vh with orthonormal columns and rows and descending S; square U and Vh by default."""
    x = matrices(x, "svd")
    return SVDResult(*_svd(x, full=bool(full_matrices) and x.shape[-1] != x.shape[-2]))


def svdvals(x: Array, /) -> Array:
    """The singular values in descending order."""
    return _svdvals(matrices(x, "svdvals"))


# -- norms -------------------------------------------------------------------------------------------------------------


def matrix_norm(x: Array, /, *, ord: Any = "fro", axis: Any = (-2, -1), keepdims: bool = False, dtype: Any = None,
                dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """Norms of matrices: "fro", "nuc", or 1, 2, inf and their negatives.

    >>> import pullback as pb
    >>> pb.linalg.matrix_norm(pb.ones((2, 2)))
    Tensor(2., dtype=float32)
    """
    x = matrices(x, "matrix_norm")
    axis, keepdims = axis if dim is UNSET else dim, keepdims if keepdim is UNSET else keepdim
    if dtype is not None:
        x = elementwise.astype(x, dtype)
    axes = ordered_axes(axis, x.ndim, "matrix_norm", x)
    if len(axes) != 2:
        raise ArgumentError(message("matrix_norm: needs two axes", [("axis", repr(axis))], "for example (-2, -1)"))
    one_of(ord, ("fro", "nuc", None, 1, -1, 2, -2, inf, -inf), "matrix_norm", "ord")
    if ord in ("fro", None):
        return vector_norm(x, 2, axes, keepdims)
    if isinstance(ord, str) or abs(ord) == 2:
        return _spectral_norm(x, ord, axes, keepdims)
    down, across = axes if abs(ord) == 1 else axes[::-1]
    sums = reductions.sum(elementwise.abs(x), axis=down, keepdims=True)
    found = (reductions.max if ord > 0 else reductions.min)(sums, axis=across, keepdims=True)
    return found if keepdims else found.squeeze(axes)


def _spectral_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    from pullback.api.manipulation import moveaxis

    values = svdvals(moveaxis(x, axes, (-2, -1)))
    if values.shape[-1] == 0 and ord != "nuc":
        raise ShapeError(message(f"matrix_norm: an empty matrix has no norm of order {ord}", [("x", described(x))],
                                 'use ord="fro" or "nuc"'))
    found = values.sum(-1) if ord == "nuc" else values[..., 0] if ord == 2 else values[..., -1]
    return found.reshape(tuple(1 if k in axes else n for k, n in enumerate(x.shape))) if keepdims else found


def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False, *, dtype: Any = None,
         dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """A norm: of vectors along one axis (or all, without `ord`), of matrices along two.

    >>> import pullback as pb
    >>> pb.linalg.norm(pb.tensor([3.0, 4.0]))
    Tensor(5., dtype=float32)
    """
    x = as_tensor(x, "norm")
    axis, keepdims = axis if dim is UNSET else dim, keepdims if keepdim is UNSET else keepdim
    pair = isinstance(axis, (tuple, list)) and len(axis) == 2
    if ord is None:
        return vector_norm(x, 2, axis, keepdims, dtype=dtype)
    if isinstance(ord, str) or pair or (axis is None and x.ndim == 2):
        return matrix_norm(x, ord=ord, axis=(-2, -1) if axis is None else axis, keepdims=keepdims, dtype=dtype)
    if axis is None and x.ndim > 2:
        raise ArgumentError(message("norm: name the axes", [("x", described(x)), ("ord", repr(ord))],
                                    "for example axis=-1, or axis=(-2, -1)"))
    return vector_norm(x, ord, axis, keepdims, dtype=dtype)


def cond(x: Array, p: Any = None) -> Array:
    """The condition number: the product of the norms of a matrix and its inverse, 2-norms by default."""
    x = matrices(x, "cond")
    if p in (None, 2, -2):
        values = svdvals(x)
        first, last = values[..., 0], values[..., -1]
        return last / first if p == -2 else first / last
    return matrix_norm(x, ord=p) * matrix_norm(inv(square(x, "cond"), check=False), ord=p)


def _tolerance(values: Any, x: Any, rtol: Any, atol: Any = None) -> Any:
    """What singular values must exceed, [..., 1]."""
    eps = float(np.finfo(values.dtype.numpy).eps) * max(x.shape[-2:])
    if rtol is None:
        rtol = 0.0 if atol is not None else eps
    top = (reductions.max if values.shape[-1] else reductions.sum)(values, axis=-1, keepdims=True)
    relative = top * _raised(rtol)
    return relative if atol is None else elementwise.maximum(relative, _raised(atol))


def _raised(x: Any) -> Any:
    """A number, or one for each matrix, with a last dimension of size 1."""
    return x if isinstance(x, (int, float)) else x[..., None]


def _count(found: Any) -> Any:
    """How many are true along the last axis."""
    return reductions.sum(elementwise.astype(found, dtypes.int64), axis=-1)


def matrix_rank(x: Array, /, *, rtol: Any = None, atol: Any = None, hermitian: bool = False) -> Array:
    """How many singular values exceed the tolerance: by default max(m, n) * eps times the largest."""
    x = as_tensor(x, "matrix_rank")
    if x.ndim < 2:
        return elementwise.astype(reductions.any(x != 0), dtypes.int64)
    values = elementwise.abs(eigvalsh(x)) if hermitian else svdvals(x)
    return _count(values > _tolerance(values, x, rtol, atol))


# -- pseudo-inverses and least squares ---------------------------------------------------------------------------------


def _pseudo(x: Node, bound: Node) -> Node:
    """V diag(1 / s where s > bound) U^H"""
    u, s, vh = project(build.apply(Svd(), x))
    large = build.binary("gt", s, build.broadcast(bound, s.shape, tuple(range(s.tensor.rank - 1))))
    share = matrix.where(large, build.reciprocal(matrix.where(large, s, 1)), 0)
    v = matrix.adjoint(vh)
    return matrix.mm(build.mul(v, matrix.columns(build.convert(share, v.dtype), v.shape)), matrix.adjoint(u))


def _pinv_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    """Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973): where the rank is constant."""
    (x, bound), (tx, _) = inputs, tangents
    p = pseudo_inverse(x, bound)
    mm, ph, th = matrix.mm, matrix.adjoint(p), matrix.adjoint(tx)
    first = build.neg(mm(p, mm(tx, p)))
    left = mm(mm(p, ph), th)
    right = mm(mm(th, ph), p)
    left = build.sub(left, mm(mm(left, x), p))
    right = build.sub(right, mm(p, mm(x, right)))
    return (p,), (build.add(first, build.add(left, right)),)


def pseudo_inverse(x: Node, bound: Node) -> Node:
    return with_rule("pinv", _pseudo, _pinv_rule, x, bound)[0]


@operation(promote="exact")
def _pinv(x: Node, bound: Node) -> Node:
    return pseudo_inverse(x, build.stop_gradient(bound))


def pinv(x: Array, /, *, rtol: Any = None, atol: Any = None, hermitian: bool = False) -> Array:
    """The Moore-Penrose inverse; singular values up to the tolerance (max(m, n) * eps times the largest) count as 0."""
    x = matrices(x, "pinv")
    x = x if x.dtype.is_inexact else elementwise.astype(x, dtypes.default_float())
    if 0 in x.shape:
        return x.mT
    from pullback.api.transforms import stop_gradient

    values = svdvals(stop_gradient(x))
    bound = elementwise.astype(_tolerance(values, x, rtol, atol), values.dtype)[..., 0]
    return _pinv(x, bound.broadcast_to(values.shape[:-1]))


def lstsq(a: Array, b: Array, /, *, rtol: Any = None) -> Any:
    """The x of least norm that minimises |a @ x - b|: solution, squared residuals (of full rank and m > n, else empty),
    rank, singular values."""
    a, b = matrices(a, "lstsq"), as_tensor(b, "lstsq")
    vector = b.ndim == 1
    side = b[:, None] if vector else b
    if side.shape[-2] != a.shape[-2]:
        raise ShapeError(message("lstsq: both sides must have equal rows", [("a", described(a)), ("b", described(b))],
                                 f"b needs {a.shape[-2]} rows"))
    found = matmul(pinv(a, rtol=rtol), side)
    values = svdvals(a)
    rank = _count(values > _tolerance(values, a, rtol))
    m, n = a.shape[-2:]
    left = elementwise.abs(matmul(a, found) - side)
    residuals = reductions.sum(left * left, axis=-2)
    return LstsqResult(found[..., 0] if vector else found, residuals if m > n else residuals[..., :0], rank, values)


# -- powers ------------------------------------------------------------------------------------------------------------


def matrix_power(x: Array, n: int, /) -> Array:
    """The product of n copies; of the inverse for negative n.

    >>> import pullback as pb
    >>> pb.linalg.matrix_power(pb.tensor([[1, 1], [0, 1]]), 3)
    Tensor([[1, 3],
            [0, 1]], dtype=int32)
    """
    x, n = square(x, "matrix_power"), integer(n, "matrix_power", "n")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        from pullback.api.creation import eye

        return eye(x.shape[-1], dtype=x.dtype).broadcast_to(x.shape)
    found = None
    while n:
        if n & 1:
            found = x if found is None else matmul(found, x)
        n >>= 1
        x = matmul(x, x) if n else x
    return found


def multi_dot(arrays: Sequence[Array], /) -> Array:
    """The product of several matrices, in the order of least work; the first and the last may be vectors."""
    xs = [as_tensor(x, "multi_dot") for x in arrays]
    if len(xs) < 2:
        raise ArgumentError(message("multi_dot: needs at least two arrays", [("given", str(len(xs)))], "pass a list"))
    first, last = xs[0].ndim == 1, xs[-1].ndim == 1
    xs[0], xs[-1] = xs[0][None, :] if first else xs[0], xs[-1][:, None] if last else xs[-1]
    sizes = [xs[0].shape[0], *(x.shape[1] for x in xs)]
    best: dict[tuple[int, int], tuple[int, int]] = {(k, k): (0, k) for k in range(len(xs))}
    for width in range(1, len(xs)):
        for i in range(len(xs) - width):
            j = i + width
            best[i, j] = min((best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                             for k in range(i, j))

    found = _product(xs, best, 0, len(xs) - 1)
    found = found[0] if first else found
    return found[..., 0] if last else found


def _product(xs: list[Any], best: dict[tuple[int, int], tuple[int, int]], i: int, j: int) -> Any:
    """The product of matrices i to j, cut where it is best."""
    if i == j:
        return xs[i]
    cut = best[i, j][1]
    return matmul(_product(xs, best, i, cut), _product(xs, best, cut + 1, j))


#: coefficients of the diagonal Pade approximant of degree 13 (Higham, SIAM J. Matrix Anal. 26, 2005)
_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
         10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)
_SQUARINGS = 24


def matrix_exp(x: Array, /) -> Array:
    """The exponential of matrices, by scaling and squaring (Higham 2005); 1-norms up to 10^7."""
    from pullback.api.creation import eye
    from pullback.api.loops import fori_loop
    from pullback.api.transforms import stop_gradient

    x = square(x, "matrix_exp")
    x = x if x.dtype.is_inexact else elementwise.astype(x, dtypes.default_float())
    if 0 in x.shape:
        return x
    size = matrix_norm(stop_gradient(x), ord=1, keepdims=True)
    squarings = elementwise.clip(elementwise.ceil(elementwise.log2(size / 5.37)), 0, _SQUARINGS)
    x = x * elementwise.exp2(-squarings)
    one, c = eye(x.shape[-1], dtype=x.dtype), [k / _PADE[0] for k in _PADE]
    x2 = x @ x
    x4, x6 = x2 @ x2, x2 @ x2 @ x2
    odd = x @ (x6 @ (c[13] * x6 + c[11] * x4 + c[9] * x2) + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * one)
    even = x6 @ (c[12] * x6 + c[10] * x4 + c[8] * x2) + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * one
    found = solve(even - odd, even + odd, check=False)
    return fori_loop(0, _SQUARINGS, lambda k, y: elementwise.where(squarings > k, y @ y, y), found)


def cross(x: Array, y: Array, /, *, axis: int = -1, dim: Any = UNSET) -> Array:
    """The vector product of vectors with three elements along an axis."""
    from pullback.api.linear_algebra import cross as vector_product

    return vector_product(x, y, axis=axis if dim is UNSET else dim)


def diagonal(x: Array, /, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """The diagonals of matrices."""
    from pullback.api.manipulation import diagonal as of_two

    return of_two(x, offset, dim1, dim2)


def outer(x: Array, y: Array, /) -> Array:
    """All products of elements of two vectors."""
    from pullback.api.linear_algebra import outer as of_flat

    x, y = as_tensor(x, "outer"), as_tensor(y, "outer")
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(message("outer: needs two vectors", [("x", described(x)), ("y", described(y))],
                                 "flatten them first"))
    return of_flat(x, y)


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of the diagonal of matrices."""
    from pullback.api.linear_algebra import trace as plain

    found = plain(x, offset=offset)
    return found if dtype is None else elementwise.astype(found, dtype)


def vander(x: Array, /, N: int | None = None, *, increasing: bool = True) -> Array:
    """Powers 0, 1, ... N - 1 of numbers, along a new last axis."""
    from pullback.api.creation import arange

    x = as_tensor(x, "vander")
    count = x.shape[-1] if N is None else integer(N, "vander", "N")
    powers = arange(count) if increasing else arange(count - 1, -1, -1)
    return x[..., None] ** powers


__all__ = ["cond", "cross", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "lstsq", "matrix_exp", "matrix_norm",
           "matrix_power", "matrix_rank", "multi_dot", "norm", "outer", "pinv", "svd", "svdvals", "trace", "vander"]

"""`jax.numpy.linalg`. What has no answer is NaN or infinite, never an error."""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.api import decompositions, linear_algebra, manipulation, spectra
from pullback.api.data_types import finfo
from pullback.api.spectra import EighResult, EigResult, SVDResult
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift


def _of(function: Any) -> Any:
    """A function of one array, whose other arguments are as they are."""

    def call(a: Any, *args: Any, **options: Any) -> Any:
        found = function(border.array_of(a, function.__name__), *args, **options)
        return type(found)(*map(lift, found)) if isinstance(found, tuple) else lift(found)

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


det, eigvalsh, slogdet = _of(decompositions.det), _of(spectra.eigvalsh), _of(decompositions.slogdet)
eigvals = _of(spectra.eigvals)
cond, matrix_power, svdvals = _of(spectra.cond), _of(spectra.matrix_power), _of(spectra.svdvals)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm: of vectors along one axis (or all, without `ord`), of matrices along two."""
    return lift(spectra.norm(border.array_of(x, "norm"), ord, axis, keepdims))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The vector norm of an order."""
    return lift(linear_algebra.vector_norm(border.array_of(x, "vector_norm"), ord, axis, keepdims))


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norms of matrices: "fro", "nuc", 1, 2, inf and their negatives."""
    return lift(spectra.matrix_norm(border.array_of(x, "matrix_norm"), ord=ord, keepdims=keepdims))


def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The Cholesky factor of (a + a.mT) / 2; NaN where that is not positive definite."""
    x = border.array_of(a, "cholesky")
    x = (x + x.mT.conj()) / 2 if symmetrize_input else x
    return lift(decompositions.cholesky(x, upper=upper, check=False))


def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> Any:
    """Eigenvalues in ascending order and eigenvectors of (a + a.mT) / 2."""
    x = border.array_of(a, "eigh")
    x = (x + x.mT.conj()) / 2 if symmetrize_input else x
    return EighResult(*map(lift, spectra.eigh(x, UPLO or "L")))


def eig(a: Any) -> Any:
    """Eigenvalues and eigenvectors of square matrices, as complex numbers."""
    return EigResult(*map(lift, spectra.eig(border.array_of(a, "eig"))))


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for `tensordot`: the first `ind` dimensions are one index, the others the second."""
    x = border.asarray(a)
    head, tail = x.shape[:ind], x.shape[ind:]
    return inv(x.reshape(prod(head), -1)).reshape((*tail, *head))


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """x with tensordot(a, x, x.ndim) = b."""
    x, y = border.asarray(a), border.asarray(b)
    if axes is not None:
        moved = [k % x.ndim for k in axes]
        x = x.transpose(*[k for k in range(x.ndim) if k not in moved], *moved)
    rest = x.shape[y.ndim:]
    return solve(x.reshape(-1, prod(rest)), y.reshape(-1)).reshape(rest)


def inv(a: Any) -> Any:
    """The inverse."""
    return lift(decompositions.inv(border.array_of(a, "inv"), check=False))


def solve(a: Any, b: Any) -> Any:
    """x with a @ x = b."""
    return lift(decompositions.solve(border.array_of(a, "solve"), border.asarray(b), check=False))


def qr(a: Any, mode: str = "reduced") -> Any:
    """a = Q @ R; with mode "r" only R."""
    found = decompositions.qr(border.array_of(a, "qr"), mode=mode)
    return lift(found.R) if mode == "r" else decompositions.QRResult(*map(lift, found))


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """a = U @ diag(S) @ Vh; without `compute_uv` only S."""
    x = border.array_of(a, "svd")
    if not compute_uv:
        return lift(spectra.svdvals(x))
    return SVDResult(*map(lift, spectra.svd(x, full_matrices=full_matrices)))


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values up to 10 * max(m, n) * eps times the largest count as 0."""
    x = border.array_of(a, "pinv")
    chosen = rcond if rtol is None else rtol
    if chosen is None:
        chosen = 10.0 * max(x.shape[-2:]) * float(finfo(x.info.type.dtype).eps) if x.ndim > 1 else None
    return lift(spectra.pinv(x, rtol=chosen, hermitian=hermitian))


def matrix_rank(M: Any, rtol: Any = None, *, tol: Any = None) -> Any:
    """How many singular values exceed `rtol` times the largest."""
    return lift(spectra.matrix_rank(border.array_of(M, "matrix_rank"), rtol=rtol, atol=tol).astype("int32"))


def lstsq(a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False) -> Any:
    """The x of least norm that minimises |a @ x - b|, squared residuals, rank, singular values."""
    return tuple(map(lift, spectra.lstsq(border.array_of(a, "lstsq"), border.asarray(b), rtol=rcond)))


def multi_dot(arrays: Any, *, precision: Any = None) -> Any:
    """The product of several matrices, in the order of least work."""
    return lift(spectra.multi_dot([border.asarray(x) for x in arrays]))


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of matrices."""
    return lift(manipulation.diagonal(border.array_of(x, "diagonal"), offset, -2, -1))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of matrices."""
    return diagonal(x, offset=offset).sum(-1, dtype=dtype)


__getattr__, __dir__ = names(
    __name__, {"dialects.jax.numpy": "matmul outer tensordot vecdot cross matrix_transpose"}
)

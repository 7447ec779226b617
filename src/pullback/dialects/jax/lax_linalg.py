"""`jax.lax.linalg`: decompositions, in the compiler's order of results."""

from __future__ import annotations

from typing import Any

from pullback.api import decompositions, spectra
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift


def _symmetric(x: Any, wanted: bool) -> Any:
    x = border.asarray(x)
    return (x + x.mT.conj()) / 2 if wanted else x


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower Cholesky factor; NaN where the matrix is not positive definite."""
    return lift(decompositions.cholesky(_symmetric(x, symmetrize_input), check=False))


def eigh(x: Any, *, lower: bool = True, symmetrize_input: bool = True, sort_eigenvalues: bool = True, **_: Any) -> Any:
    """Eigenvectors and eigenvalues of a symmetric matrix."""
    values, vectors = spectra.eigh(_symmetric(x, symmetrize_input), "L" if lower else "U")
    return lift(vectors), lift(values)


def lu(x: Any) -> Any:
    """L and U in one matrix, the row each step took, and the order of rows that these make."""
    packed, pivots, order = decompositions.lu_packed(border.asarray(x))
    return [lift(packed), lift(pivots), lift(order)]


def qr(x: Any, *, full_matrices: bool = True, **_: Any) -> Any:
    """x = Q @ R."""
    found = decompositions.qr(border.asarray(x), mode="complete" if full_matrices else "reduced")
    return lift(found.Q), lift(found.R)


def svd(x: Any, *, full_matrices: bool = True, compute_uv: bool = True, **_: Any) -> Any:
    """x = U @ diag(S) @ Vh; without `compute_uv` only S."""
    x = border.asarray(x)
    if not compute_uv:
        return (lift(spectra.svdvals(x)),)
    return tuple(map(lift, spectra.svd(x, full_matrices=full_matrices)))


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """x with a @ x = b (x @ a = b unless `left_side`) for triangular a."""
    matrix, right = border.asarray(a), border.asarray(b)
    matrix = matrix.conj() if conjugate_a else matrix
    matrix = matrix.mT if transpose_a else matrix
    column = right.ndim == matrix.ndim - 1
    right = right[..., None] if column else right
    found = lift(
        decompositions.solve_triangular(
            matrix, right, upper=lower == transpose_a, left=left_side or column, unitriangular=unit_diagonal
        )
    )
    return found[..., 0] if column else found


__getattr__, __dir__ = names(__name__, {})

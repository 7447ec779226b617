"""`jax.scipy.linalg`: decompositions, solutions, functions of matrices."""

from __future__ import annotations

from typing import Any

from pullback.api import decompositions, matrices, spectra
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import linalg as plain
from pullback.dialects.jax.array import lift
from pullback.util.errors import UnsupportedError, ValueError_, message


def _inexact(x: Any, name: str) -> Any:
    found = border.array_of(x, name)
    return found if found.dtype.is_inexact else found.astype(border.default_float())


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The Cholesky factor, upper by default; NaN where the matrix is not positive definite."""
    return lift(decompositions.cholesky(_inexact(a, "cholesky"), upper=not lower, check=False))


def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """The factor that `cho_solve` takes, and whether it is the lower one."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """x with a @ x = b, by the factor of a."""
    factor, lower = c_and_lower
    right = _inexact(b, "cho_solve")
    column = right.ndim == 1
    found = lift(decompositions.cholesky_solve(right[:, None] if column else right, factor, upper=not lower))
    return found[:, 0] if column else found


def _kind(trans: Any) -> Any:
    return {"N": 0, "T": 1, "C": 2}.get(trans, trans)


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, overwrite_b: bool = False,
    debug: Any = None, check_finite: bool = True,
) -> Any:
    """x with a @ x = b for triangular a; `trans`: its transpose ("T") or adjoint ("C")."""
    matrix, right = _inexact(a, "solve_triangular"), _inexact(b, "solve_triangular")
    kind = _kind(trans)
    matrix = matrix.mT if kind else matrix
    matrix = matrix.conj() if kind == 2 else matrix
    column = right.ndim == matrix.ndim - 1
    right = right[..., None] if column else right
    found = lift(decompositions.solve_triangular(matrix, right, upper=lower == bool(kind),
                                                 unitriangular=unit_diagonal))
    return found[..., 0] if column else found


def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False, debug: bool = False,
    check_finite: bool = True, assume_a: str = "gen",
) -> Any:
    """x with a @ x = b; `assume_a="pos"` for positive definite a."""
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ValueError_(message(f"Expected assume_a to be one of gen, sym, her, pos; got {assume_a!r}"))
    if assume_a == "pos":
        return cho_solve(cho_factor(a, lower), b)
    return plain.solve(_inexact(a, "solve"), _inexact(b, "solve"))


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """L and U in one matrix, and the row each step took."""
    found = decompositions.lu_packed(_inexact(a, "lu_factor"))
    return lift(found[0]), lift(found[1])


def lu_solve(lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """x with a @ x = b, by the factors of a."""
    packed, pivots = lu_and_piv[0], lu_and_piv[1] + 1  # the array room counts rows from 1
    if trans:
        raise UnsupportedError(message("lu_solve: trans", [("trans", str(trans))], "factor the transposed matrix"))
    right = _inexact(b, "lu_solve")
    column = right.ndim == 1
    found = lift(decompositions.lu_solve(packed, pivots, right[:, None] if column else right))
    return found[:, 0] if column else found


def lu(a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, ...]:
    """P, L and U with a = P @ L @ U; with `permute_l` P @ L and U."""
    p, lower, upper = map(lift, decompositions.lu(_inexact(a, "lu")))
    return (p.astype(lower.dtype) @ lower, upper) if permute_l else (p.astype(lower.dtype), lower, upper)


def qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:
    """Q and R with a = Q @ R; `mode` "full", "economic" or "r"."""
    if pivoting:
        raise UnsupportedError(message("qr: pivoting", help="qr without it"))
    if mode not in ("full", "economic", "r"):
        raise ValueError_(message(f"Unsupported QR decomposition mode '{mode}'", help="'full', 'economic' or 'r'"))
    found = decompositions.qr(_inexact(a, "qr"), mode="reduced" if mode == "economic" else "complete")
    return (lift(found.R),) if mode == "r" else (lift(found.Q), lift(found.R))


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False, check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """U, S and Vh with a = U @ diag(S) @ Vh; without `compute_uv` only S."""
    return plain.svd(_inexact(a, "svd"), full_matrices=full_matrices, compute_uv=compute_uv)


def eigh(
    a: Any, b: Any = None, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
    overwrite_b: bool = False, turbo: bool = True, eigvals: Any = None, type: int = 1, check_finite: bool = True,
) -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix, or of a @ v = w b @ v."""
    matrix = _inexact(a, "eigh")
    if type != 1 or eigvals is not None:
        raise UnsupportedError(message("eigh: type and eigvals", help="slice what it returns"))
    found = spectra.eigh(matrix, "L" if lower else "U") if b is None else \
        matrices.eigh_generalised(matrix, _inexact(b, "eigh"))
    values, vectors = map(lift, found)
    return values if eigvals_only else (values, vectors)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverse."""
    return plain.inv(_inexact(a, "inv"))


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinant."""
    return plain.det(_inexact(a, "det"))


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponential of a matrix."""
    return lift(spectra.matrix_exp(_inexact(A, "expm")))


def expm_frechet(A: Any, E: Any, *, method: Any = None, compute_expm: bool = True) -> Any:
    """The exponential of a matrix, and its derivative in a direction."""
    value, change = map(lift, matrices.expm_frechet(_inexact(A, "expm_frechet"), _inexact(E, "expm_frechet")))
    return (value, change) if compute_expm else change


def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """A square root of a matrix that can be diagonalised."""
    return lift(matrices.sqrtm(_inexact(A, "sqrtm")))


def polar(a: Any, side: str = "right", *, method: str = "qdwh", **_: Any) -> tuple[Any, Any]:
    """A unitary matrix and a positive semi-definite one whose product is a."""
    found = matrices.polar(_inexact(a, "polar"), side)
    return lift(found[0]), lift(found[1])


def block_diag(*arrs: Any) -> Any:
    """The matrices along the diagonal of one."""
    given = arrs or (border.asarray([[]]),)
    arrays = [border.array_of(x, "block_diag") for x in given]
    dtype = max((x.dtype for x in arrays), key=lambda d: (d.kind in "fc", d.bits))
    return lift(matrices.block_diag(*[x.astype(dtype) for x in arrays]))


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with constant diagonals that has this first column and row."""
    return lift(matrices.toeplitz(border.array_of(c, "toeplitz"), None if r is None else border.asarray(r)))


def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with constant anti-diagonals that has this first column and last row."""
    return lift(matrices.hankel(border.array_of(c, "hankel"), None if r is None else border.asarray(r)))


def circulant(c: Any) -> Any:
    """The matrix whose columns are c, each one place further round."""
    x = border.array_of(c, "circulant")
    turned = x[border.asarray([0] if x.shape[0] == 1 else [0, *range(x.shape[0] - 1, 0, -1)])]
    return lift(matrices.toeplitz(x, turned))


def companion(a: Any) -> Any:
    """The matrix whose characteristic polynomial has these coefficients."""
    return lift(matrices.companion(border.array_of(a, "companion")))


def hilbert(n: int) -> Any:
    """1 / (i + j + 1)."""
    return lift(matrices.hilbert(n))


def hadamard(n: int, dtype: Any = int) -> Any:
    """The matrix of +1 and -1 of Sylvester's construction."""
    return lift(matrices.hadamard(n)).astype(dtype)


def pascal(n: int, kind: str | None = None) -> Any:
    """Pascal's triangle as a matrix."""
    return lift(matrices.pascal(n, kind or "symmetric"))


__getattr__, __dir__ = names(__name__, {})

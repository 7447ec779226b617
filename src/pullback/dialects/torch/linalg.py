"""`torch.linalg`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import decompositions, linear_algebra, spectra
from pullback.dialects import names
from pullback.dialects.torch.arguments import named
from pullback.dialects.torch.dtypes import dtype_argument
from pullback.dialects.torch.pairs import named_pair
from pullback.dialects.torch.tensors import as_torch
from pullback.util.errors import UnsupportedError, ValueError_, message


def vector_norm(input: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(sum |x|^ord)^(1/ord) over dimensions (all by default)."""
    input = as_torch(input)
    if dim is not None and not input.ndim:
        return vector_norm(input.reshape(1), ord, None, dtype=dtype)
    return linear_algebra.vector_norm(input, ord, dim, keepdim, dtype=dtype_argument(dtype))


def matrix_norm(input: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Norms of matrices: "fro", "nuc", 1, 2, inf and their negatives."""
    return spectra.matrix_norm(as_torch(input), ord=ord, axis=dim, keepdims=keepdim, dtype=dtype_argument(dtype))


def norm(input: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A vector norm, or with two dimensions a matrix norm."""
    return spectra.norm(as_torch(input), ord, dim, keepdim, dtype=dtype_argument(dtype))


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B; B may be a batch of vectors where its shape is A's without the last dimension."""
    a, b = as_torch(A), as_torch(B)
    if b.ndim > 1 and tuple(b.shape) == tuple(a.shape[:-1]):
        return decompositions.solve(a, b[..., None], left=left)[..., 0] if left else \
            decompositions.solve(a, b[..., None, :], left=False)[..., 0, :]
    return decompositions.solve(a, b, left=left)


def qr(A: Any, mode: str = "reduced") -> Any:
    """A = Q R."""
    return decompositions.qr(as_torch(A), mode=mode)


def svd(A: Any, full_matrices: bool = True, *, driver: Any = None) -> Any:
    """A = U diag(S) Vh."""
    return spectra.svd(as_torch(A), full_matrices=full_matrices)


_Eig = named_pair("linalg_eig", "eigenvalues eigenvectors")


def eig(input: Any) -> Any:
    """Eigenvalues and eigenvectors of square matrices, complex numbers."""
    return _Eig(*spectra.eig(as_torch(input)))


def svdvals(A: Any, *, driver: Any = None) -> Any:
    """Singular values in descending order."""
    return spectra.svdvals(as_torch(A))


def lstsq(input: Any, b: Any, rcond: Any = None, *, driver: Any = None) -> Any:
    """The X of least norm that minimises |input X - B|."""
    return spectra.lstsq(as_torch(input), as_torch(b), rtol=rcond)


def pinv(input: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """The Moore-Penrose inverse."""
    return spectra.pinv(as_torch(input), rtol=rcond if rtol is None else rtol, atol=atol, hermitian=hermitian)


def matrix_rank(input: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """How many singular values exceed the tolerance."""
    return spectra.matrix_rank(as_torch(input), rtol=rtol, atol=tol if atol is None else atol, hermitian=hermitian)


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The vector product along a dimension of size 3."""
    return spectra.cross(as_torch(input), as_torch(other), axis=dim)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices."""
    return spectra.diagonal(as_torch(A), offset=offset, dim1=dim1, dim2=dim2)


def vander(x: Any, N: int | None = None) -> Any:
    """Powers 0, 1, ... N - 1 along a new last dimension."""
    return spectra.vander(as_torch(x), N)


# -- PyTorch's names outside of `linalg` -------------------------------------------------------------------------------


def logdet(input: Any) -> Any:
    """The logarithm of the determinant; NaN where that is negative."""
    sign, log = decompositions.slogdet(as_torch(input))
    return log + (sign * 0.0) / (sign >= 0)


def old_svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """input = U diag(S) V^H, with V itself."""
    u, s, vh = spectra.svd(as_torch(input), full_matrices=not some)
    return spectra.SVDResult(u, s, vh.mT.conj())


def old_qr(input: Any, some: bool = True) -> Any:
    """input = Q R."""
    return decompositions.qr(as_torch(input), mode="reduced" if some else "complete")


def old_cholesky(input: Any, upper: bool = False) -> Any:
    """The Cholesky factor."""
    return decompositions.cholesky(as_torch(input), upper=upper)


def old_lu(A: Any, pivot: bool = True, get_infos: bool = False, *, out: Any = None) -> Any:
    """LU decomposition in one matrix, and the row each step took."""
    if not pivot:
        raise UnsupportedError(message("lu: only with pivoting", [("pivot", "False")], "leave pivot out"))
    packed, pivots = decompositions.lu_factor(as_torch(A))
    return (packed, pivots, _no_info(packed)) if get_infos else (packed, pivots)


def old_lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Any:
    """The solution of A x = b from what `lu` made of A."""
    return decompositions.lu_solve(as_torch(LU_data), as_torch(LU_pivots), as_torch(b))


_Lowrank = namedtuple("svd_lowrank", "U S V")
_Unpacked = named_pair("lu_unpack", "P L U")


def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """P, L and U from what `lu` made of a matrix. The pivots are observed."""
    packed = as_torch(LU_data)
    m, n = packed.shape[-2:]
    k = min(m, n)
    pivots = as_torch(LU_pivots).numpy() - 1
    orders = np.broadcast_to(np.arange(m), (*pivots.shape[:-1], m)).copy()
    for order, steps in zip(orders.reshape(-1, m), pivots.reshape(-1, pivots.shape[-1]), strict=True):
        for step, other in enumerate(steps):
            order[step], order[other] = order[other], order[step]
    places = as_torch(np.swapaxes(np.eye(m)[orders], -1, -2)).to(packed.dtype)
    lower = packed[..., :, :k].tril(-1) + as_torch(np.eye(m, k)).to(packed.dtype)
    return _Unpacked(places, lower, packed[..., :k, :].triu())


def svd_lowrank(A: Any, q: int | None = 6, niter: int = 2, M: Any = None) -> Any:
    """The q greatest singular values of A (of A - M) and their vectors: U, S, V. They are those of the whole
    decomposition, not of random projections."""
    x = as_torch(A) if M is None else as_torch(A) - M
    u, s, vh = spectra.svd(x, full_matrices=False)
    count = min(6 if q is None else q, *x.shape[-2:])
    v = vh.mT.conj() if x.is_complex() else vh.mT
    return _Lowrank(u[..., :count], s[..., :count], v[..., :count])


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """The q principal components of rows, whose mean is taken out: U, S, V."""
    x = as_torch(A)
    count = min(6, *x.shape[-2:]) if q is None else q
    if not 0 <= count <= min(x.shape[-2:]):
        raise ValueError_(message("pca_lowrank: q lies between 0 and the least size", [("A", repr(x.info.type)),
                                                                                       ("q", str(q))]))
    return svd_lowrank(x - x.mean(-2, keepdim=True) if center else x, count, niter)


def frobenius_norm(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The root of the sum of squares over dimensions (all by default)."""
    return vector_norm(input, 2, None if dim == () else dim, keepdim)


def nuclear_norm(input: Any, dim: Any = (-2, -1), keepdim: bool = False) -> Any:
    """The sum of the singular values of matrices."""
    return matrix_norm(input, "nuc", dim, keepdim)


# -- with a flag instead of an error -----------------------------------------------------------------------------------


def _no_info(x: Any) -> Any:
    """0 for every matrix whose result is made of numbers, 1 for the others."""
    return (~x.isfinite()).flatten(-2).any(-1).int()


_Info = {name: named_pair(f"linalg_{name}", fields) for name, fields in (
    ("cholesky_ex", "L info"), ("inv_ex", "inverse info"), ("solve_ex", "result info"),
    ("lu_factor_ex", "LU pivots info"))}


def _flagged(name: str, run: Callable[..., Any]) -> Any:
    run = named(run, f"linalg.{name.removesuffix('_ex')}")

    def call(*args: Any, check_errors: bool = False, **options: Any) -> Any:
        found = run(*map(as_torch, args), **options, **({} if name == "lu_factor_ex" else {"check": check_errors}))
        parts = found if isinstance(found, tuple) else (found,)
        return _Info[name](*parts, _no_info(parts[0] if parts[0].ndim > 1 else parts[0][..., None]))

    call.__name__ = name
    call.__doc__ = f"`{name.removesuffix('_ex')}`, and 0 for every matrix for which there is one."
    return call


cholesky_ex = _flagged("cholesky_ex", decompositions.cholesky)
inv_ex, solve_ex = _flagged("inv_ex", decompositions.inv), _flagged("solve_ex", decompositions.solve)
lu_factor_ex = _flagged("lu_factor_ex", decompositions.lu_factor)


def tensorinv(input: Any, ind: int = 2) -> Any:
    """The inverse for `tensordot`: the first `ind` dimensions are one index, the others the second."""
    x = as_torch(input)
    head, tail = tuple(x.shape[:ind]), tuple(x.shape[ind:])
    return decompositions.inv(x.reshape(int(np.prod(head)), -1)).reshape((*tail, *head))


def tensorsolve(input: Any, other: Any, dims: Any = None) -> Any:
    """X with tensordot(input, X, X.ndim) = other."""
    x, y = as_torch(input), as_torch(other)
    if dims is not None:
        moved = [d % x.ndim for d in dims]
        x = x.permute(*[d for d in range(x.ndim) if d not in moved], *moved)
    rest = tuple(x.shape[y.ndim:])
    return decompositions.solve(x.reshape(-1, int(np.prod(rest))), y.reshape(-1)).reshape(rest)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums of products over several dimensions; one of size 1 goes with any size."""
    x, y = as_torch(a), as_torch(b)
    if not isinstance(dims, (tuple, list)) or len(dims) != 2:
        return linear_algebra.tensordot(x, y, dims)
    pairs = [(p % x.ndim, q % y.ndim) for p, q in zip(*map(_listed, dims), strict=True)]
    for left, right in pairs:
        if x.shape[left] == 1 != y.shape[right]:
            y = y.sum(right, keepdim=True)
        elif y.shape[right] == 1 != x.shape[left]:
            x = x.sum(left, keepdim=True)
    return linear_algebra.tensordot(x, y, ([p for p, _ in pairs], [q for _, q in pairs]))


def _listed(dims: Any) -> list[int]:
    return [dims] if isinstance(dims, int) else list(dims)


__getattr__, __dir__ = names(__name__, {
    "api.decompositions": """cholesky det inv lu lu_factor lu_solve slogdet solve_triangular cholesky_solve
        cholesky_inverse householder_product""",
    "api.spectra": "cond eigh eigvals eigvalsh matrix_exp matrix_power multi_dot",
    "api.linear_algebra": "matmul vecdot",
    "util.errors": "LinAlgError",
}, lambda found, name: named(found, f"linalg.{name}"))

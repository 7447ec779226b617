"""Matrices of a given form, and functions of matrices made of products and decompositions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api.arguments import as_tensor, described
from pullback.api.creation import zeros
from pullback.api.decompositions import solve
from pullback.api.elementwise import astype, sqrt
from pullback.api.linear_algebra import matmul
from pullback.api.manipulation import concat, expand_dims
from pullback.api.selecting import take
from pullback.api.spectra import eig, eigh, svd
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.util.errors import ShapeError, message

Array = Any


def block_diag(*arrays: Array) -> Array:
    """The matrices along the diagonal of one, zeros elsewhere."""
    blocks = [as_tensor(x, "block_diag") for x in arrays]
    blocks = [x.reshape((1, -1)) if x.ndim < 2 else x for x in blocks]
    if any(x.ndim != 2 for x in blocks):
        raise ShapeError(message("block_diag: needs matrices", [("arrays", ", ".join(map(described, blocks)))]))
    width = sum(x.shape[1] for x in blocks)
    rows: list[Any] = []
    before = 0
    for x in blocks:
        height, size = x.shape
        parts = [zeros((height, before), dtype=x.dtype), x, zeros((height, width - before - size), dtype=x.dtype)]
        rows.append(concat(parts, 1))
        before += size
    return concat(rows, 0)


def toeplitz(column: Array, row: Array = None) -> Array:
    """The matrix with constant diagonals that has this first column and row (by default the column's conjugate)."""
    c = as_tensor(column, "toeplitz").reshape(-1)
    r = c.conj() if row is None else as_tensor(row, "toeplitz").reshape(-1)
    line = concat([r.flip(0)[:-1], c], 0)  # from the last of the row to the last of the column
    places = np.arange(c.shape[0])[:, None] - np.arange(r.shape[0])[None] + r.shape[0] - 1
    return take(line, from_host(places.astype(np.int32)), axis=0, mode="clip")


def hankel(column: Array, row: Array = None) -> Array:
    """The matrix with constant anti-diagonals that has this first column and last row."""
    c = as_tensor(column, "hankel").reshape(-1)
    r = c * 0 if row is None else as_tensor(row, "hankel").reshape(-1)
    line = concat([c, r[1:]], 0)
    places = np.arange(c.shape[0])[:, None] + np.arange(r.shape[0])[None]
    return take(line, from_host(places.astype(np.int32)), axis=0, mode="clip")


def sqrtm(x: Array) -> Array:
    """A square root of a matrix that has as many eigenvectors as rows: complex."""
    values, vectors = eig(as_tensor(x, "sqrtm"))
    root = vectors * expand_dims(sqrt(values), -2)
    return solve(vectors.mT, root.mT, check=False).mT


def polar(x: Array, side: str = "right") -> tuple[Array, Array]:
    """A unitary matrix U and a positive semi-definite P with x = U @ P (or P @ U, on the "left" side)."""
    u, s, vh = svd(as_tensor(x, "polar"), full_matrices=False)
    unitary = matmul(u, vh)
    inner = vh if side == "right" else u.mT.conj()
    return unitary, matmul(inner.mT.conj() * expand_dims(s, -2), inner)


def expm_frechet(a: Array, direction: Array) -> tuple[Array, Array]:
    """The exponential of a matrix, and its derivative in a direction."""
    from pullback.api.spectra import matrix_exp
    from pullback.engine.functional import jvp

    return jvp(matrix_exp, (as_tensor(a, "expm_frechet"),), (as_tensor(direction, "expm_frechet"),))


def eigh_generalised(a: Array, b: Array, upper: bool = False) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of a @ v = w b @ v for symmetric a and positive definite b."""
    from pullback.api.decompositions import cholesky, solve_triangular

    factor = cholesky(as_tensor(b, "eigh"), upper=False)
    half = solve_triangular(factor, as_tensor(a, "eigh"), upper=False)
    inner = solve_triangular(factor, half.mT.conj(), upper=False).mT.conj()
    values, vectors = eigh((inner + inner.mT.conj()) / 2)
    return values, solve_triangular(factor.mT.conj(), vectors, upper=True)


def hilbert(n: int) -> Array:
    """1 / (i + j + 1)."""
    return from_host((1.0 / (np.arange(n)[:, None] + np.arange(n)[None] + 1)).astype(np.float32))


def hadamard(n: int) -> Array:
    """The matrix of +1 and -1 of Sylvester's construction; n is a power of 2."""
    if n < 1 or n & (n - 1):
        raise ShapeError(message("hadamard: n must be a power of 2", [("n", str(n))]))
    found = np.ones((1, 1))
    while found.shape[0] < n:
        found = np.block([[found, found], [found, -found]])
    return from_host(found.astype(np.int32))


def pascal(n: int, kind: str = "symmetric") -> Array:
    """Pascal's triangle as a matrix: "symmetric", "lower" or "upper"."""
    lower = np.array([[math.comb(i, j) for j in range(n)] for i in range(n)], np.float64)
    found = {"lower": lower, "upper": lower.T, "symmetric": lower @ lower.T}[kind]
    return from_host(found.astype(np.float32))


def companion(a: Array) -> Array:
    """The matrix whose characteristic polynomial has these coefficients."""
    p = as_tensor(a, "companion")
    p = p if p.dtype.is_inexact else astype(p, dtypes.default_float())
    n = p.shape[0] - 1
    below = from_host(np.eye(n - 1, n)).to(p.dtype)
    return concat([(-p[1:] / p[0]).reshape((1, n)), below], 0)


__all__ = ["block_diag", "companion", "eigh_generalised", "expm_frechet", "hadamard", "hankel", "hilbert", "pascal",
           "polar", "sqrtm", "toeplitz"]

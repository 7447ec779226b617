"""Decompositions of matrices and what is solved with them. Leading dimensions are batches, which broadcast."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, one_of
from pullback.api.creation import eye, tril, triu
from pullback.api.elementwise import conj
from pullback.api.linear_algebra import matmul
from pullback.engine.operation import broadcast_to, operation
from pullback.ir import dtypes
from pullback.ir.node import Node, project
from pullback.ops import matrix
from pullback.ops.control import with_rule
from pullback.ops.indexing import Located
from pullback.ops.linalg import Cholesky, Lu, Qr, Require, TriangularSolve
from pullback.util.errors import ShapeError, message
from pullback.util.lines import user_line

Array = Any
QRResult = namedtuple("QRResult", "Q R")
LUResult = namedtuple("LUResult", "P L U")
LUFactorResult = namedtuple("LUFactorResult", "LU pivots")
SlogdetResult = namedtuple("SlogdetResult", "sign logabsdet")


def real_float(x: Node) -> Node:
    """Integers and bools as the default float."""
    return x if x.dtype.is_inexact else build.convert(x, dtypes.default_float())


def require(x: Node, bad: Node, label: str) -> Node:
    """x, with an error where the condition holds for any matrix."""
    name = Located(label)
    name.line = user_line()
    return build.apply(Require(name), x, matrix.any_of(bad))


def square(x: Any, name: str) -> Any:
    """A tensor of square matrices."""
    x = matrices(x, name)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(message(f"{name}: matrices must be square", [("x", described(x))],
                                 f"sizes {x.shape[-2]} and {x.shape[-1]} differ"))
    return x


def matrices(x: Any, name: str) -> Any:
    """A tensor of at least two dimensions."""
    x = as_tensor(x, name)
    if x.ndim < 2:
        raise ShapeError(message(f"{name}: needs at least two dimensions", [("x", described(x))], "pass a matrix"))
    return x


def as_if_hermitian(x: Node, upper: bool = False) -> Node:
    """The Hermitian matrix with x's lower (or upper) triangle; its cotangent goes to both triangles alike."""
    mean = build.mul(build.add(x, matrix.adjoint(x)), build.scalar_like(x, 0.5))
    half = matrix.triu(x) if upper else matrix.tril(x)
    strict = matrix.triu(x, 1) if upper else matrix.tril(x, -1)
    full = build.add(half, matrix.adjoint(strict))
    return build.add(mean, build.stop_gradient(build.sub(full, mean)))


# -- Cholesky ----------------------------------------------------------------------------------------------------------


@operation()
def _cholesky(x: Node, upper: bool, check: bool) -> Node:
    found = build.apply(Cholesky(), as_if_hermitian(real_float(x), upper))
    if check and found.tensor.size:
        diagonal = matrix.diagonal(found)
        if diagonal.dtype.kind == "c":
            diagonal = build.unary("real", diagonal)
        found = require(found, build.unary("isnan", diagonal), "cholesky")
    return matrix.adjoint(found) if upper else found


def cholesky(x: Array, /, *, upper: bool = False, check: bool = True) -> Array:
    """Lower triangular L with L @ L.mH = x, for positive definite x, of which one triangle is read.

    A matrix that is not positive definite is an error; with `check=False` its L holds NaN.

    >>> import pullback as pb
    >>> pb.linalg.cholesky(pb.tensor([[4.0, 2.0], [2.0, 5.0]]))
    Tensor([[2., 0.],
            [1., 2.]], dtype=float32)
    """
    return _cholesky(square(x, "cholesky"), upper=bool(upper), check=bool(check))


def cholesky_solve(b: Array, factor: Array, upper: bool = False) -> Array:
    """x with A @ x = b, from the Cholesky factor of A."""
    factor = square(factor, "cholesky_solve")
    lower = factor.mT.conj() if upper else factor
    inner = solve_triangular(lower, b, upper=False)
    return solve_triangular(lower.mT.conj(), inner, upper=True)


def cholesky_inverse(factor: Array, upper: bool = False) -> Array:
    """The inverse of A from its Cholesky factor."""
    from pullback.api.creation import eye

    factor = square(factor, "cholesky_inverse")
    return cholesky_solve(eye(factor.shape[-1], dtype=factor.dtype), factor, upper)


# -- triangular systems ------------------------------------------------------------------------------------------------


def _pair(a: Node, y: Node, name: str) -> tuple[Node, Node]:
    """Both sides with one batch."""
    n = a.shape[-1]
    if y.shape[-2] != n:
        raise ShapeError(message(f"{name}: both sides must have equal rows", [("a", repr(a.type)), ("b", repr(y.type))],
                                 f"b needs {n} rows"))
    lead = [(1,) * (max(a.tensor.rank, y.tensor.rank) - v.tensor.rank) + v.shape[:-2] for v in (a, y)]
    if any(p != q and 1 not in (p, q) for p, q in zip(*lead, strict=True)):
        raise ShapeError(message(f"{name}: batches cannot be broadcast together",
                                 [("a", repr(a.type)), ("b", repr(y.type))], "sizes must be equal or 1"))
    batch = tuple(q if p == 1 else p for p, q in zip(*lead, strict=True))
    return broadcast_to(a, (*batch, *a.shape[-2:])), broadcast_to(y, (*batch, *y.shape[-2:]))


@operation(promote="dtype")
def _solve_triangular(a: Node, y: Node, upper: bool, unit: bool) -> Node:
    a, y = _pair(real_float(a), real_float(y), "solve_triangular")
    return build.apply(TriangularSolve(not upper, unit), a, y)


def solve_triangular(a: Array, b: Array, /, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Array:
    """x with a @ x = b (x @ a = b with `left=False`) for triangular a, of which that triangle is read."""
    a, b = square(a, "solve_triangular"), matrices(b, "solve_triangular")
    if not left:
        return solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular).mT
    return _solve_triangular(a, b, upper=bool(upper), unit=bool(unitriangular))


def householder_product(a: Array, tau: Array, /) -> Array:
    """The first columns of the product of reflections 1 - tau_i v_i v_i^H, where v_i is column i of `a` below its
    diagonal, under a one; as many columns as `a` has."""
    a = matrices(a, "householder_product")
    rows, columns = a.shape[-2:]
    tau = as_tensor(tau, "householder_product")
    count = tau.shape[-1] if tau.ndim else 0
    if tau.ndim != a.ndim - 1 or not count <= columns <= rows:
        raise ShapeError(message("householder_product: needs at least as many rows as columns, and a number for each "
                                 "reflection", [("a", described(a)), ("tau", described(tau))], "a.mT where it is wide"))
    unit = eye(rows, columns, dtype=a.dtype)
    v = (tril(a, -1) + unit)[..., :count]
    # the product is 1 - V T V^H with T = (1 + diag(tau) U)^-1 diag(tau), U what V^H V has above its diagonal
    turned = conj(v.mT)
    mixed = eye(count, dtype=a.dtype) + tau[..., :, None] * triu(matmul(turned, v), 1)
    scaled = tau[..., :, None] * turned[..., :, :columns]
    return unit - matmul(v, solve_triangular(mixed, scaled, upper=True, unitriangular=True))


# -- LU ----------------------------------------------------------------------------------------------------------------


def factored(a: Node) -> tuple[Node, Node, Node]:
    """(L and U, pivots, order) of a matrix."""
    packed, pivots, order = project(build.apply(Lu(), a))
    return packed, pivots, order


def lu_back(packed: Node, order: Node, y: Node) -> Node:
    """x with a x = y, from LU of a."""
    y = build.take_along(y, matrix.rows(order, y.shape), y.tensor.rank - 2)
    inner = build.apply(TriangularSolve(True, True), packed, y)
    return build.apply(TriangularSolve(False), packed, inner)


def _solved(a: Node, y: Node) -> Node:
    packed, _, order = factored(a)
    return lu_back(packed, order, y)


def _solve_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    (a, y), (ta, ty) = inputs, tangents
    packed, _, order = factored(a)
    x = lu_back(packed, order, y)
    return (x,), (lu_back(packed, order, build.sub(ty, matrix.mm(ta, x))),)


def _singular(a: Node) -> Node:
    diagonal = matrix.diagonal(factored(a)[0])
    return build.binary("eq", diagonal, build.zeros_like(diagonal))


def solved(a: Node, y: Node, check: str = "") -> Node:
    """The solution of a x = y; an error under this label where a is singular."""
    found = with_rule("solve", _solved, _solve_rule, a, y)[0]
    return require(found, _singular(a), check) if check and a.tensor.size else found


@operation(promote="dtype")
def _solve(a: Node, y: Node, vector: bool, check: bool) -> Node:
    y = build.expand_dims(real_float(y), (y.tensor.rank,)) if vector else real_float(y)
    a, y = _pair(real_float(a), y, "solve")
    found = solved(a, y, "solve" if check else "")
    return build.squeeze(found, (found.tensor.rank - 1,)) if vector else found


def solve(a: Array, b: Array, /, *, left: bool = True, check: bool = True) -> Array:
    """x with a @ x = b (x @ a = b with `left=False`), by LU with partial pivoting. A 1-dimensional b is one vector.

    A singular matrix is an error; with `check=False` the result holds infinities or NaN.

    >>> import pullback as pb
    >>> pb.linalg.solve(pb.tensor([[2.0, 0.0], [0.0, 4.0]]), pb.tensor([2.0, 2.0]))
    Tensor([1. , 0.5], dtype=float32)
    """
    a, b = square(a, "solve"), as_tensor(b, "solve")
    if b.ndim == 0:
        raise ShapeError(message("solve: b needs at least one dimension", [("b", described(b))], "pass a vector"))
    if not left and b.ndim > 1:
        return _solve(a.mT, b.mT, vector=False, check=bool(check)).mT
    return _solve(a if left else a.mT, b, vector=b.ndim == 1, check=bool(check))


def _inverted(a: Node) -> Node:
    return _solved(a, matrix.eye_like(a))


def _inv_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    found = inverse(inputs[0])
    return (found,), (build.neg(matrix.mm(found, matrix.mm(tangents[0], found))),)


def inverse(a: Node) -> Node:
    return with_rule("inv", _inverted, _inv_rule, a)[0]


@operation()
def _inv(x: Node, check: bool) -> Node:
    x = real_float(x)
    found = inverse(x)
    return require(found, _singular(x), "inv") if check and x.tensor.size else found


def inv(x: Array, /, *, check: bool = True) -> Array:
    """The inverse. A singular matrix is an error; with `check=False` the result holds infinities or NaN."""
    return _inv(square(x, "inv"), check=bool(check))


def lu_factor(x: Array, /) -> Any:
    """LU decomposition in one matrix (the ones of L's diagonal left out) and the row each step took, from 1."""
    packed, pivots, _ = _lu(matrices(x, "lu_factor"))
    return LUFactorResult(packed, pivots + 1)


def lu_packed(x: Array, /) -> tuple[Array, Array, Array]:
    """LU decomposition in one matrix, the row each step took, from 0, and the order of rows that these make."""
    return tuple(_lu(matrices(x, "lu_packed")))


@operation()
def _lu(x: Node) -> tuple[Node, ...]:
    return factored(real_float(x))


@operation()
def _lu_parts(x: Node) -> tuple[Node, ...]:
    packed, _, order = factored(real_float(x))
    m, n = packed.shape[-2:]
    k = min(m, n)
    left = matrix.tril(matrix.cut(packed, m, k), -1)
    eye = matrix.eye_like(build.zeros((*packed.shape[:-1], m), packed.dtype))
    places = build.broadcast(order, eye.shape, (*range(eye.tensor.rank - 2), eye.tensor.rank - 1))
    return (build.take_along(eye, places, eye.tensor.rank - 1), build.add(left, matrix.eye_like(left)),
            matrix.triu(matrix.cut(packed, k, n)))


def lu(x: Array, /) -> Any:
    """x = P @ L @ U with partial pivoting."""
    return LUResult(*_lu_parts(matrices(x, "lu")))


@operation(promote="none")
def _lu_solve(packed: Node, pivots: Node, y: Node) -> Node:
    packed, y = _pair(packed, y, "lu_solve")
    batch, n = packed.shape[:-2], packed.shape[-1]
    pivots = build.convert(broadcast_to(pivots, (*batch, n)), dtypes.int32)
    steps = build.move_axis(build.sub(pivots, build.ones_like(pivots)), len(batch), 0)

    def turn(step: Node, order: Node, chosen: Node) -> Sequence[Node]:
        axis = len(batch)
        here = matrix.is_step(order, axis, step)
        chosen = build.broadcast(chosen, order.shape, tuple(range(axis)))
        there = build.binary("eq", build.iota(order.shape, axis, dtypes.int32), chosen)
        other = build.take_along(order, build.slice_axis(chosen, axis, 0, 1), axis)
        own = build.expand_dims(build.gather(order, step, axis), (axis,))
        own, other = (broadcast_to(v, order.shape) for v in (own, other))
        return [matrix.where(here, other, matrix.where(there, own, order))]

    start = build.iota((*batch, n), len(batch), dtypes.int32)
    order = matrix.loop(turn, n, [start], [steps])[0] if n and packed.tensor.size else start
    return lu_back(packed, order, y)


def lu_solve(factors: Array, pivots: Array, b: Array, /) -> Array:
    """x with A @ x = b, from what `lu_factor` made of A."""
    return _lu_solve(square(factors, "lu_solve"), as_tensor(pivots, "lu_solve"), matrices(b, "lu_solve"))


# -- determinants ------------------------------------------------------------------------------------------------------


def _parity(pivots: Node, dtype: Any) -> Node:
    """1 or -1: whether the number of exchanges is odd."""
    axis = pivots.tensor.rank - 1
    moved = build.convert(build.binary("ne", pivots, build.iota(pivots.shape, axis, dtypes.int32)), dtypes.int32)
    count = build.reduce("add", moved, (axis,))
    odd = build.binary("eq", build.binary("bitwise_and", count, build.ones_like(count)), build.ones_like(count))
    one = build.full(odd.shape, 1, dtype)
    return matrix.where(odd, build.neg(one), one)


def _product(diagonal: Node, pivots: Node) -> Node:
    return build.mul(_parity(pivots, diagonal.dtype), build.reduce("mul", diagonal, (diagonal.tensor.rank - 1,)))


def _determinant(a: Node) -> Node:
    packed, pivots, _ = factored(a)
    return _product(matrix.diagonal(packed), pivots)


def _det_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    """The trace of adj(a) da. A zero pivot becomes a tiny one: the adjugate is continuous where the inverse is not."""
    packed, pivots, order = factored(inputs[0])
    diagonal = matrix.diagonal(packed)
    zero = build.binary("eq", diagonal, build.zeros_like(diagonal))
    tiny = matrix.where(zero, build.scalar_like(diagonal, _epsilon(diagonal.dtype)), 0)
    spread = matrix.where(_diagonal_of(packed), matrix.rows(tiny, packed.shape), 0)
    inner = matrix.diagonal(lu_back(build.add(packed, spread), order, tangents[0]))
    trace = build.reduce("add", inner, (inner.tensor.rank - 1,))
    return (_product(diagonal, pivots),), (build.mul(_product(build.add(diagonal, tiny), pivots), trace),)


def _epsilon(dtype: Any) -> float:
    import numpy as np

    return float(np.finfo(dtype.numpy).eps)


def _diagonal_of(x: Node) -> Node:
    return build.binary("eq", matrix.at(x, -2), matrix.at(x, -1))


@operation()
def _det(x: Node) -> Node:
    return with_rule("det", _determinant, _det_rule, real_float(x))[0]


def det(x: Array, /) -> Array:
    """The determinant; its derivative is right at singular matrices too.

    >>> import pullback as pb
    >>> pb.linalg.det(pb.tensor([[1.0, 2.0], [3.0, 5.0]]))
    Tensor(-1., dtype=float32)
    """
    return _det(square(x, "det"))


def _sign_log(a: Node) -> Sequence[Node]:
    packed, pivots, _ = factored(a)
    diagonal = matrix.diagonal(packed)
    axis = diagonal.tensor.rank - 1
    size = build.unary("abs", diagonal)
    wide = build.convert(size, diagonal.dtype)
    zero = build.binary("eq", wide, build.zeros_like(wide))
    unit = build.div(diagonal, matrix.where(zero, build.ones_like(wide), wide))
    sign = build.mul(_parity(pivots, unit.dtype), build.reduce("mul", unit, (axis,)))
    return [sign, build.reduce("add", build.log(size), (axis,))]


def _slogdet_rule(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    packed, _, order = factored(inputs[0])
    sign, log = _sign_log(inputs[0])
    inner = matrix.diagonal(lu_back(packed, order, tangents[0]))
    trace = build.reduce("add", inner, (inner.tensor.rank - 1,))
    if trace.dtype.kind != "c":
        return (sign, log), (build.zeros_like(sign), trace)
    turn = build.mul(build.sub(trace, matrix.conj(trace)), build.scalar_like(trace, 0.5))
    return (sign, log), (build.mul(sign, turn), build.unary("real", trace))


@operation()
def _slogdet(x: Node) -> tuple[Node, ...]:
    return with_rule("slogdet", _sign_log, _slogdet_rule, real_float(x))


def slogdet(x: Array, /) -> Any:
    """The sign of the determinant, and the logarithm of its size: (0, -inf) for singular matrices."""
    return SlogdetResult(*_slogdet(square(x, "slogdet")))


# -- QR ----------------------------------------------------------------------------------------------------------------


@operation()
def _qr(x: Node, full: bool) -> tuple[Node, ...]:
    return project(build.apply(Qr(full), real_float(x)))


@operation()
def _r(x: Node) -> Node:
    return project(build.apply(Qr(), real_float(x)))[1]


def qr(x: Array, /, *, mode: str = "reduced") -> Any:
    """x = Q @ R with orthonormal columns and an upper triangular matrix; `mode` "reduced", "complete" or "r"."""
    mode = one_of(mode, ("reduced", "complete", "r"), "qr", "mode")
    x = matrices(x, "qr")
    if mode == "r":
        r = _r(x)
        return QRResult(r[..., :0, :0], r)
    return QRResult(*_qr(x, full=mode == "complete"))


__all__ = ["cholesky", "cholesky_inverse", "cholesky_solve", "det", "inv", "lu", "lu_factor", "lu_solve", "qr",
           "slogdet", "solve", "solve_triangular"]

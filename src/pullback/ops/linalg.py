"""Decompositions of matrices: triangular solution, Cholesky, LU, QR. Leading dimensions are batches.

Each is defined by its NumPy reference and becomes loops (`function_for`) where a program is compiled. Derivatives are
written in these primitives themselves, so they exist to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import bool_, float64, int32
from pullback.ir.index import Index
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, TupleType, param, primitive, project
from pullback.ops.dense import PivotedLu, UpperCholesky, lu_by_steps
from pullback.ops.householder import Householder, HouseholderQ
from pullback.ops.indexing import Located
from pullback.ops.map import Sample
from pullback.ops.matrix import (
    adjoint,
    any_of,
    check_matrix,
    conj,
    cut,
    eye_like,
    flat_batch,
    is_step,
    loop,
    mm,
    rows,
    tril,
    triu,
    turned,
    where,
)
from pullback.ops.view import Value, ViewContext
from pullback.util.errors import DTypeError, LinAlgError, PullbackError, ShapeError, ValueError_, message

#: what a `Require` says, by its label: (what is wrong, the cure), as an error of linear algebra unless told otherwise
REFUSALS: dict[str, Any] = {
    "cholesky": ("cholesky: a matrix is not positive definite", "add a small multiple of the identity"),
    "solve": ("solve: a matrix is singular", "use lstsq or pinv, or add a small multiple of the identity"),
    "inv": ("inv: a matrix is singular", "use pinv, or add a small multiple of the identity"),
    "solve_triangular": ("solve_triangular: a matrix is singular", "the diagonal must have no zeros"),
    "not_finite": ("a decomposition met NaN or infinite numbers", "look where they first appear"),
    "binary_cross_entropy": ("binary_cross_entropy: probabilities must lie between 0 and 1",
                             "apply sigmoid first, or use binary_cross_entropy_with_logits", ValueError_),
    "gaussian_nll_loss": ("gaussian_nll_loss: var has negative entries", "variances are 0 or more", ValueError_),
}


@primitive
class Require(Op):
    """out[i] = x[i]; an error where the second input (one bool) is true."""

    name: ClassVar[str] = "require"
    lowering: ClassVar[str] = "view"
    label: str

    def infer(self, *types: TensorType) -> TensorType:
        if types[1].dtype is not bool_ or types[1].shape:
            raise DTypeError(message("require: the condition must be one bool", [("bad", repr(types[1]))]))
        return types[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0]

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return tangents[0]

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [cotangent, None]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        x, bad = inputs
        return b.apply(self, x if batched[0] else b.lead(x, size), any_of(bad) if batched[1] else bad)

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.value(node.inputs[0], indices)

    def refuses(self, *inputs: Node) -> Node | None:
        return inputs[1]

    def refusal(self, *types: TensorType) -> PullbackError:
        wrong, cure, *kind = REFUSALS[self.label]
        line = self.label.line if isinstance(self.label, Located) else ""
        made = f"   (made at {line})" if line else ""
        return (kind[0] if kind else LinAlgError)(message(wrong + made, [("x", repr(types[0]))], cure))

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        return b.apply(self, inputs[0], b.binary("logical_and", condition, inputs[1]))

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Require("solve"), [np.asarray([1.0, 2.0]), np.asarray(False)]
        yield Require("solve"), [np.zeros((0, 3), np.float32), np.asarray(False)]


class Decomposition(Op):
    """What decompositions have in common: the last two dimensions are matrices; loops make them where compiled."""

    lowering: ClassVar[str] = "inline"
    ulp: ClassVar[float] = 512.0

    def build(self, *inputs: Node) -> Sequence[Node]:
        """The results as loops."""
        raise NotImplementedError

    def function_for(self, types: Sequence[TensorType]) -> Function | None:
        """The loops for inputs of these types; None for complex numbers, of which there is no native code."""
        if types[0].dtype.kind == "c":
            return None
        params = [param(t) for t in types]
        return Function(params, self.build(*params))

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))


LINEAR = "its tangent is made of products and solutions, transposed as such"


def each(run: Callable[..., Any], *arrays: Any) -> list[Any]:
    """Results of a NumPy function for every matrix of a batch, stacked; NaN where it fails."""
    batch = arrays[0].shape[:-2]
    flat = [a.reshape((-1, *a.shape[-2:])) for a in arrays]
    found: list[Any] = []
    for group in zip(*flat, strict=True):
        result = run(*group)
        found.append(result if isinstance(result, tuple) else (result,))
    return [np.stack(part).reshape((*batch, *part[0].shape)) for part in zip(*found, strict=True)]


LEAST_ROWS, LEAST_COLUMNS = 16, 256  # of a triangle solved row by row; of columns decomposed by one kernel
MOST_BLOCKS = 8  # of either: each is compiled


# -- triangular systems ------------------------------------------------------------------------------------------------


@primitive
class TriangularSolve(Decomposition):
    """a @ out = y, for triangular a: only that triangle is read (and a diagonal of ones is assumed with `unit`)"""

    name: ClassVar[str] = "triangular_solve"
    lower: bool
    unit: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        a, y = types
        check_matrix("triangular_solve", a, square=True)
        if y.rank != a.rank or y.shape[:-1] != a.shape[:-1] or y.dtype is not a.dtype:
            raise ShapeError(message("triangular_solve: both sides need the same rows, batch and dtype",
                                     [("a", repr(a)), ("y", repr(y))]))
        return y

    def reference(self, *arrays: Any) -> Any:
        a, y = arrays
        a = self._cut(a)
        out, n = np.array(y), a.shape[-1]
        with np.errstate(all="ignore"):
            for k in range(n) if self.lower else range(n - 1, -1, -1):
                known = slice(0, k) if self.lower else slice(k + 1, n)
                part = np.matmul(a[..., k:k + 1, known], out[..., known, :])[..., 0, :]
                out[..., k, :] = (out[..., k, :] - part) / a[..., k, k, None]
        return out

    def _cut(self, a: Any) -> Any:
        a = np.tril(a) if self.lower else np.triu(a)
        if self.unit:
            a = np.where(np.eye(a.shape[-1], dtype=bool), np.ones((), a.dtype), a)
        return a

    def triangle(self, a: Node) -> Node:
        """What is read of a."""
        if not self.unit:
            return tril(a) if self.lower else triu(a)
        return tril(a, -1) if self.lower else triu(a, 1)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        (a, _), (ta, ty) = inputs, tangents
        if ta is not None:
            part = b.neg(mm(self.triangle(ta), output))
            ty = part if ty is None else b.add(ty, part)
        return b.apply(self, a, b.some(ty))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [None, b.apply(TriangularSolve(not self.lower, self.unit), turned(inputs[0]), cotangent)]

    def build(self, *inputs: Node) -> Sequence[Node]:
        a, y = inputs
        return [self._solved(a, y, _block_size(a.shape[-1], LEAST_ROWS)) if y.tensor.size else y]

    def _solved(self, a: Node, y: Node, block: int) -> Node:
        """Halves, one after the other: what the first gives leaves the second's sides by one matrix product."""
        n = a.shape[-1]
        if n <= block:
            return self._by_rows(a, y)
        half = -(-n // (2 * block)) * block
        near, far = ((0, half), (half, n)) if self.lower else ((half, n), (0, half))
        first, second = (b.slice_axis(y, -2, *part) for part in (near, far))
        found = self._solved(_block(a, near, near), first, block)
        second = b.sub(second, mm(_block(a, far, near), found))
        other = self._solved(_block(a, far, far), second, block)
        return b.concat([found, other] if self.lower else [other, found], y.tensor.rank - 2)

    def _by_rows(self, a: Node, y: Node) -> Node:
        n, m = y.shape[-2:]
        steps = b.transpose(flat_batch(self.triangle(a)), (1, 0, 2))
        sides = b.transpose(flat_batch(y), (1, 0, 2))
        count = sides.shape[1]

        def turn(step: Node, known: Node, row: Node, side: Node) -> Sequence[Node]:
            found = b.sub(side, b.contract(known, row, 1, 1))
            if not self.unit:
                found = b.div(found, rows(b.gather(row, step, 1), (count, m)))
            return [where(is_step(known, -1, step), rows(found, known.shape), known)]

        start = b.zeros((count, m, n), a.dtype)
        found = loop(turn, n, [start], [steps, sides], reverse=not self.lower)[0]
        return b.reshape(turned(found), y.shape)

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(0)
        a, y = rng.uniform(0.5, 1.5, (2, 3, 3)), rng.normal(size=(2, 3, 2))
        for lower in (False, True):
            yield TriangularSolve(lower), [a, y]
            yield TriangularSolve(lower, True), [a[0], y[0, :, :1]]
        yield TriangularSolve(True), [np.ones((0, 0)), np.ones((0, 2))]
        yield TriangularSolve(False), [a.astype(np.float32), y.astype(np.float32)]


def _block_size(n: int, least: int) -> int:
    return max(least, -(-n // MOST_BLOCKS))


def _block(a: Node, of_rows: tuple[int, int], of_columns: tuple[int, int]) -> Node:
    return b.slice_axis(b.slice_axis(a, -2, *of_rows), -1, *of_columns)


def solve_lower(a: Node, y: Node, unit: bool = False) -> Node:
    return b.apply(TriangularSolve(True, unit), a, y)


def solve_upper(a: Node, y: Node, unit: bool = False) -> Node:
    return b.apply(TriangularSolve(False, unit), a, y)


def right_upper(y: Node, a: Node) -> Node:
    """out @ a = y for upper triangular a."""
    return turned(solve_lower(turned(a), turned(y)))


# -- Cholesky ----------------------------------------------------------------------------------------------------------


@primitive
class Cholesky(Decomposition):
    """Lower triangular L with L L^H = x, of which the lower triangle is read; NaN where x is not positive definite."""

    name: ClassVar[str] = "cholesky"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}

    def infer(self, *types: TensorType) -> TensorType:
        check_matrix("cholesky", types[0], square=True)
        return types[0]

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        return each(_cholesky, x)[0] if x.size else x

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """L (L^-1 dx L^-H), its lower triangle with half the diagonal."""
        lower = tril(b.some(tangents[0]))
        strict = tril(lower, -1)
        change = b.add(b.sub(lower, strict) if lower.dtype.kind == "f" else _real_diagonal(b.sub(lower, strict)),
                       b.add(strict, adjoint(strict)))
        inner = solve_lower(output, change)
        inner = adjoint(solve_lower(output, adjoint(inner)))
        half = b.sub(tril(inner), b.mul(where(_on_diagonal(inner), inner, 0), b.scalar_like(inner, 0.5)))
        return tril(mm(output, half))

    def build(self, *inputs: Node) -> Sequence[Node]:
        x = inputs[0]
        if not x.tensor.size:
            return [x]
        return [tril(turned(project(b.apply(UpperCholesky(), turned(x)))[0]))]

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(1)
        a = rng.normal(size=(2, 3, 3))
        x = a @ np.swapaxes(a, -1, -2) + 2 * np.eye(3)
        yield Cholesky(), [x]
        yield Cholesky(), [x[0].astype(np.float32)]
        yield Cholesky(), [np.asarray([[2.0]])]
        yield Cholesky(), [np.zeros((2, 0, 0))]
        yield Cholesky(), [np.asarray([[1.0, 2.0], [2.0, 1.0]], np.float32)]


def _cholesky(x: Any) -> Any:
    """NumPy's, with NaN in and below the column where it fails."""
    n = x.shape[-1]
    left, found = np.array(x), np.zeros_like(x)
    with np.errstate(all="ignore"):
        for k in range(n):
            pivot = left[k, k].real
            root = np.sqrt(pivot) if pivot > 0 else np.nan
            found[k:, k] = left[k:, k] / root
            left[k:, k:] -= np.outer(found[k:, k], found[k:, k].conj())
    return found


def _on_diagonal(x: Node) -> Node:
    return b.binary("eq", b.iota(x.shape, x.tensor.rank - 2, int32), b.iota(x.shape, x.tensor.rank - 1, int32))


def _real_diagonal(x: Node) -> Node:
    """A complex diagonal without its imaginary parts."""
    return b.mul(b.add(x, conj(x)), b.scalar_like(x, 0.5))


# -- LU ----------------------------------------------------------------------------------------------------------------


@primitive
class Lu(Decomposition):
    """x[order] = L U with partial pivoting: L (unit diagonal) and U in one matrix, which row each step took, the order.
    """

    name: ClassVar[str] = "lu"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("lu", x)
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        return TupleType((x, TensorType.of((*batch, min(m, n)), int32), TensorType.of((*batch, m), int32)))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        if not x.size:
            order = np.broadcast_to(np.arange(m, dtype=np.int32), (*batch, m)).copy()
            return x, np.zeros((*batch, min(m, n)), np.int32), order
        return tuple(each(lu_by_steps, x))

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        packed, _, order = project(output)
        tx = b.some(tangents[0])
        rank, (m, n) = tx.tensor.rank, tx.shape[-2:]
        k = min(m, n)
        change = b.take_along(tx, rows(order, tx.shape), rank - 2)
        head, upper = cut(packed, k, k), cut(packed, k, n)
        core = right_upper(solve_lower(head, cut(change, k, k), True), triu(head))
        left, right = tril(core, -1), triu(core)
        lower = b.add(tril(head, -1), eye_like(head))
        d_lower, d_upper = mm(lower, left), mm(right, triu(head))
        if n > k:
            rest = b.slice_axis(upper, -1, k, n)
            side = b.sub(b.slice_axis(cut(change, k, n), -1, k, n), mm(d_lower, rest))
            return [b.concat([b.add(d_lower, d_upper), solve_lower(head, side, True)], rank - 1), None, None]
        if m > k:
            below, side = (b.slice_axis(v, -2, k, m) for v in (packed, change))
            found = right_upper(b.sub(side, mm(below, d_upper)), triu(head))
            return [b.concat([b.add(d_lower, d_upper), found], rank - 2), None, None]
        return [b.add(d_lower, d_upper), None, None]

    def build(self, *inputs: Node) -> Sequence[Node]:
        x = inputs[0]
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        if not x.tensor.size:
            return [x, b.zeros((*batch, min(m, n)), int32), b.iota((*batch, m), len(batch), int32)]
        block = _block_size(min(m, n), LEAST_COLUMNS)
        packed, pivots, order = _lu_by_columns(flat_batch(x), block)
        return [b.reshape(packed, x.shape), b.reshape(pivots, (*batch, min(m, n))), b.reshape(order, (*batch, m))]

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(2)
        for shape in ((2, 3, 3), (3, 2), (2, 4)):
            yield Lu(), [rng.normal(size=shape)]
        yield Lu(), [rng.normal(size=(4, 4)).astype(np.float32)]
        yield Lu(), [np.zeros((2, 0, 3))]
        yield Lu(), [np.ones((2, 2), np.float32)]


def _lu_by_columns(x: Node, block: int) -> tuple[Node, Node, Node]:
    """The first half of the columns, then what it leaves of the others: most of the work is matrix products.

    The packed factors, the pivot of each column, the order of the rows.
    """
    m, n = x.shape[1:]
    if min(m, n) <= block:
        packed, pivots, order = project(b.apply(PivotedLu(), x))
        return packed, pivots, order
    half = -(-n // (2 * block)) * block if n <= m else m
    near, pivots, order = _lu_by_columns(b.slice_axis(x, 2, 0, half), block)
    far = _in_order(b.slice_axis(x, 2, half, n), order)
    top = TriangularSolve(True, True).build(b.slice_axis(near, 1, 0, half), b.slice_axis(far, 1, 0, half))[0]
    if half == m:
        return b.concat([near, top], 2), pivots, order
    below = b.slice_axis(near, 1, half, m)
    rest, later, moved = _lu_by_columns(b.sub(b.slice_axis(far, 1, half, m), mm(below, top)), block)
    packed = b.concat([b.concat([b.slice_axis(near, 1, 0, half), top], 2),
                       b.concat([_in_order(below, moved), rest], 2)], 1)
    later = b.add(later, b.full(later.shape, half, int32))
    last = b.take_along(b.slice_axis(order, 1, half, m), moved, 1)
    return packed, b.concat([pivots, later], 1), b.concat([b.slice_axis(order, 1, 0, half), last], 1)


def _in_order(x: Node, order: Node) -> Node:
    """The rows of matrices in another order."""
    return b.take_along(x, rows(order, x.shape), 1)


# -- QR ----------------------------------------------------------------------------------------------------------------


@primitive
class Qr(Decomposition):
    """x = Q R by Householder reflections: Q with orthonormal columns (square if `full`), R upper triangular"""

    name: ClassVar[str] = "qr"
    absent: ClassVar[dict[str, str]] = {"transpose": LINEAR}
    full: bool = False

    def infer(self, *types: TensorType) -> TupleType:
        x = types[0]
        check_matrix("qr", x)
        m, n = x.shape[-2:]
        k = m if self.full else min(m, n)
        return TupleType((x.with_shape((*x.shape[:-2], m, k)), x.with_shape((*x.shape[:-2], k, n))))

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size:
            return self._empty(x)
        return tuple(np.linalg.qr(x, mode="complete" if self.full else "reduced"))

    def _empty(self, x: Any) -> Any:
        q, r = self.infer(TensorType.of(x.shape, float64)).items
        return np.broadcast_to(np.eye(*q.shape[-2:], dtype=x.dtype), q.shape).copy(), np.zeros(r.shape, x.dtype)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """dQ = Q S + (1 - Q Q^H) dx R^-1, dR = Q^H dx - S R, with S antihermitian."""
        q, r = project(output)
        m, n = inputs[0].shape[-2:]
        k = min(m, n)
        if self.full and m > n:
            from pullback.util.errors import GradientError

            raise GradientError(message("qr: the complete Q of a tall matrix has no derivative",
                                        [("x", repr(inputs[0].type))], 'use mode="reduced"'))
        tx = b.some(tangents[0])
        change = right_upper(cut(tx, m, k), cut(r, k, k))
        inner = mm(adjoint(q), change)
        below = tril(inner, -1)
        skew = b.sub(below, adjoint(below))
        if skew.dtype.kind == "c":
            on = where(_on_diagonal(inner), inner, 0)
            skew = b.add(skew, b.mul(b.sub(on, conj(on)), b.scalar_like(on, 0.5)))
        d_q = b.add(mm(q, skew), b.sub(change, mm(q, inner)))
        return [d_q, b.sub(mm(adjoint(q), tx), mm(skew, r))]

    def build(self, *inputs: Node) -> Sequence[Node]:
        x = inputs[0]
        m, n = x.shape[-2:]
        k = m if self.full else min(m, n)
        shape = (*x.shape[:-2], m, k)
        if not x.tensor.size:
            return [eye_like(b.zeros(shape, x.dtype)), b.zeros((*x.shape[:-2], k, n), x.dtype)]
        r, *reflections = project(b.apply(Householder(), flat_batch(x)))
        q = project(b.apply(HouseholderQ(m, k), *reflections))[0]
        if k > min(m, n):
            r = b.concat([r, b.zeros((r.shape[0], k - n, n), x.dtype)], 1)
        return [b.reshape(q, shape), b.reshape(r, (*x.shape[:-2], k, n))]

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(3)
        for shape in ((2, 3, 3), (4, 2), (2, 3)):
            yield Qr(), [rng.normal(size=shape)]
        yield Qr(True), [rng.normal(size=(3, 2)).astype(np.float32)]
        yield Qr(True), [rng.normal(size=(2, 3))]
        yield Qr(), [np.zeros((2, 3, 0))]

"""`pb.linalg` beside NumPy; derivatives beside finite differences; what has no answer is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import linalg
from pullback.linalg import LinAlgError
from pullback.ops.householder import Householder, HouseholderQ
from pullback.ops.linalg import Cholesky, Lu
from pullback.ops.tridiagonal import Bidiagonal, BidiagonalSingular, Tridiagonal, TridiagonalEigen
from pullback.util.errors import DTypeError, GradientError, ShapeError

RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(3, 4, 4))
TALL, WIDE = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(3, 5))
POSITIVE = SQUARE @ np.swapaxes(SQUARE, -1, -2) + np.eye(4)
SIDES = RNG.normal(size=(3, 4, 2))


def close(x: Any, y: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(x), y, rtol=tolerance, atol=tolerance)


def tensor(x: Any) -> Any:
    return pb.asarray(x)


#: (name, function of tensors, the same of NumPy arrays, arrays)
VALUES: list[tuple[str, Callable[..., Any], Callable[..., Any], list[Any]]] = [
    ("cholesky", linalg.cholesky, np.linalg.cholesky, [POSITIVE]),
    ("cholesky-upper", lambda x: linalg.cholesky(x, upper=True).mT, np.linalg.cholesky, [POSITIVE]),
    ("cholesky_solve", lambda x, y: linalg.cholesky_solve(y, linalg.cholesky(x)), np.linalg.solve, [POSITIVE, SIDES]),
    ("cholesky_inverse", lambda x: linalg.cholesky_inverse(linalg.cholesky(x)), np.linalg.inv, [POSITIVE]),
    ("solve", linalg.solve, np.linalg.solve, [SQUARE, SIDES]),
    ("solve-vector", linalg.solve, lambda a, y: np.linalg.solve(a, y[:, None])[..., 0], [SQUARE, SIDES[0, :, 0]]),
    ("solve-right", lambda a, y: linalg.solve(a, y.mT, left=False).mT,
     lambda a, y: np.linalg.solve(np.swapaxes(a, -1, -2), y), [SQUARE, SIDES]),
    ("solve-broadcast", linalg.solve, np.linalg.solve, [SQUARE[0], SIDES]),
    ("solve_triangular", lambda a, y: linalg.solve_triangular(a, y, upper=True),
     lambda a, y: np.linalg.solve(np.triu(a), y), [POSITIVE, SIDES]),
    ("lu", lambda x: linalg.lu(x)[0] @ linalg.lu(x)[1] @ linalg.lu(x)[2], lambda x: x, [TALL]),
    ("lu_solve", lambda a, y: linalg.lu_solve(*linalg.lu_factor(a), y), np.linalg.solve, [SQUARE, SIDES]),
    ("inv", linalg.inv, np.linalg.inv, [SQUARE]),
    ("det", linalg.det, np.linalg.det, [SQUARE]),
    ("slogdet", linalg.slogdet, np.linalg.slogdet, [SQUARE]),
    ("qr", linalg.qr, np.linalg.qr, [TALL]),
    ("qr-complete", lambda x: linalg.qr(x, mode="complete"), lambda x: np.linalg.qr(x, "complete"), [TALL]),
    ("qr-r", lambda x: linalg.qr(x, mode="r").R, lambda x: np.linalg.qr(x, "r"), [WIDE]),
    ("eigvalsh", linalg.eigvalsh, np.linalg.eigvalsh, [SQUARE]),
    ("eigvalsh-upper", lambda x: linalg.eigvalsh(x, "U"), lambda x: np.linalg.eigvalsh(x, "U"), [SQUARE]),
    ("svdvals", linalg.svdvals, lambda x: np.linalg.svd(x, compute_uv=False), [TALL]),
    ("pinv", linalg.pinv, np.linalg.pinv, [TALL]),
    ("pinv-of-rank-1", linalg.pinv, np.linalg.pinv, [np.outer(np.arange(1.0, 4), np.arange(2.0, 7))]),
    ("matrix_rank", linalg.matrix_rank, np.linalg.matrix_rank, [SQUARE]),
    ("matrix_rank-1", linalg.matrix_rank, np.linalg.matrix_rank, [np.ones((4, 3))]),
    ("cond", linalg.cond, np.linalg.cond, [SQUARE]),
    ("cond-1", lambda x: linalg.cond(x, 1), lambda x: np.linalg.cond(x, 1), [SQUARE]),
    ("lstsq", lambda a, y: linalg.lstsq(a, y)[:2], lambda a, y: np.linalg.lstsq(a, y)[:2], [TALL[0], TALL[1]]),
    ("lstsq-least-norm", lambda a, y: linalg.lstsq(a, y).solution, lambda a, y: np.linalg.lstsq(a, y)[0],
     [WIDE, WIDE[:, 0]]),
    ("matrix_power", lambda x: linalg.matrix_power(x, -3), lambda x: np.linalg.matrix_power(x, -3), [SQUARE]),
    ("matrix_power-0", lambda x: linalg.matrix_power(x, 0), lambda x: np.linalg.matrix_power(x, 0), [SQUARE]),
    ("multi_dot", lambda *x: linalg.multi_dot(x), lambda *x: np.linalg.multi_dot(x), [TALL[0].T, TALL[1], WIDE]),
    ("cross", linalg.cross, np.cross, [TALL, TALL[::-1]]),
    ("vander", lambda x: linalg.vander(x, 3), lambda x: np.vander(x, 3, increasing=True), [WIDE[0]]),
    *((f"matrix_norm-{p}", lambda x, p=p: linalg.matrix_norm(x, ord=p), lambda x, p=p: np.linalg.norm(x, p, (-2, -1)),
       [TALL]) for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
]


def flat(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize(("name", "function", "reference", "arrays"), VALUES, ids=[v[0] for v in VALUES])
def test_values_are_numpys(name: str, function: Any, reference: Any, arrays: list[Any]) -> None:
    wanted = flat(reference(*arrays))
    for run in (function, pb.jit(function)):
        for x, y in zip(flat(run(*map(tensor, arrays))), wanted, strict=True):
            assert tuple(x.shape) == np.shape(y)
            close(x, y)


#: (name, function of one square matrix to numbers, whether it must be positive definite)
SMOOTH: list[tuple[str, Callable[..., Any], bool]] = [
    ("cholesky", lambda x: linalg.cholesky((x + x.mT) / 2), True),
    ("solve", lambda x: linalg.solve(x, tensor(SIDES[0])), False),
    ("solve_triangular", lambda x: linalg.solve_triangular(x, x @ x, upper=False), True),
    ("inv", linalg.inv, False),
    ("det", linalg.det, False),
    ("logdet", lambda x: linalg.slogdet(x)[1], False),
    ("lu", lambda x: linalg.lu(x)[1] * linalg.lu(x)[2], False),
    ("qr", lambda x: linalg.qr(x[:, :3])[0], False),
    ("qr-wide", lambda x: linalg.qr(x[:3])[1], False),
    ("eigh", lambda x: linalg.eigh((x + x.mT) / 2)[1], True),
    ("eigvalsh", lambda x: linalg.eigvalsh((x + x.mT) / 2), False),
    ("svd-tall", lambda x: linalg.svd(x[:, :3], full_matrices=False)[0], False),
    ("svd-wide", lambda x: linalg.svd(x[:2], full_matrices=False)[2], False),
    ("svdvals", linalg.svdvals, False),
    ("pinv-tall", lambda x: linalg.pinv(x[:, :2]), False),
    ("pinv-wide", lambda x: linalg.pinv(x[:2]), False),
    ("lstsq", lambda x: linalg.lstsq(x[:, :3], tensor(SIDES[0])).solution, False),
    ("nuc", lambda x: linalg.matrix_norm(x, ord="nuc"), False),
    ("matrix_exp", linalg.matrix_exp, False),
    ("matrix_power", lambda x: linalg.matrix_power(x, -2), False),
    ("norm-3", lambda x: linalg.vector_norm(x, 3), False),
]


@pytest.mark.parametrize(("name", "function", "positive"), SMOOTH, ids=[v[0] for v in SMOOTH])
def test_derivatives_are_differences(name: str, function: Any, positive: bool) -> None:
    x = POSITIVE[0] if positive else SQUARE[0]
    weight = tensor(RNG.normal(size=function(tensor(x)).shape))
    first = pb.grad(lambda a: (function(a) * weight).sum())
    direction, other = RNG.normal(size=(2, *x.shape))
    step, h = tensor(other), 1e-6
    ahead, behind = ((function(tensor(x + s * direction)) * weight).sum().item() for s in (h, -h))
    close((np.asarray(first(tensor(x))) * direction).sum(), (ahead - behind) / (2 * h), 2e-6)
    second = pb.grad(lambda a: (first(a) * step).sum())(tensor(x))
    ahead, behind = ((first(tensor(x + s * direction)) * step).sum().item() for s in (h, -h))
    scale = 1 + abs(ahead) + abs(np.asarray(second)).max()
    close((np.asarray(second) * direction).sum() / scale, (ahead - behind) / (2 * h) / scale, 5e-6)


@pytest.mark.parametrize("function", [linalg.inv, linalg.det, linalg.svdvals, linalg.cholesky, linalg.eigvalsh])
def test_vmap_is_the_batch(function: Any) -> None:
    x = tensor(POSITIVE)
    close(pb.vmap(function)(x), np.asarray(function(x)))
    gradient = pb.grad(lambda a: function(a).sum())
    close(pb.vmap(gradient)(x), np.stack([np.asarray(gradient(tensor(p))) for p in POSITIVE]))


def test_sizes_and_scales_that_decompositions_meet() -> None:
    for shape in ((40, 40), (50, 30), (30, 50)):
        for x in (RNG.normal(size=shape), np.zeros(shape), np.eye(*shape), np.outer(*[np.ones(n) for n in shape]),
                  np.diag(0.1 ** np.arange(min(shape)))):
            for full in (True, False):
                u, s, vh = (np.asarray(v) for v in linalg.svd(tensor(x), full_matrices=full))
                k = min(x.shape)
                close(u[:, :k] * s @ vh[:k], x, 1e-12)
                close(u.T @ u, np.eye(u.shape[1]), 1e-12)
                close(vh @ vh.T, np.eye(len(vh)), 1e-12)
                assert (np.diff(s) <= 0).all()
                assert (s >= 0).all()
    x = RNG.normal(size=(60, 20))
    w, v = (np.asarray(p) for p in linalg.eigh(tensor(x @ x.T)))  # 40 eigenvalues are 0
    close(v * w @ v.T, x @ x.T, 1e-11)
    close(v.T @ v, np.eye(60), 1e-11)


@pytest.mark.parametrize("shape", [(33, 33), (2, 65, 65), (100, 40), (40, 100), (140, 140)], ids=str)
def test_matrices_of_several_blocks(shape: tuple[int, ...]) -> None:
    """What is decomposed by blocks is what is decomposed column by column, with the same pivots."""
    x = np.random.default_rng(1).normal(size=shape)
    packed, pivots, _ = Lu().reference(x)
    found = linalg.lu_factor(tensor(x))
    close(found[0], packed, 1e-8)
    assert np.array_equal(np.asarray(found[1]), pivots + 1)
    n = shape[-1]
    if shape[-2] != n:
        return
    y = np.random.default_rng(2).normal(size=(*shape[:-1], 3))
    close(linalg.solve(tensor(x), tensor(y)), np.linalg.solve(x, y), 1e-7)
    stable = x / n + np.eye(n)
    for upper, cut in ((False, np.tril), (True, np.triu)):
        close(linalg.solve_triangular(tensor(stable), tensor(y), upper=upper), np.linalg.solve(cut(stable), y), 1e-9)
        ones = cut(stable, 1 if upper else -1) + np.eye(n)
        got = linalg.solve_triangular(tensor(stable), tensor(y), upper=upper, unitriangular=True)
        close(got, np.linalg.solve(ones, y), 1e-9)


def test_complex_matrices() -> None:
    z = SQUARE + 1j * SQUARE[::-1]
    close(linalg.det(tensor(z)), np.linalg.det(z))
    close(linalg.inv(tensor(z)), np.linalg.inv(z))
    close(linalg.svdvals(tensor(z)), np.linalg.svd(z, compute_uv=False))
    h = z @ np.swapaxes(z.conj(), -1, -2)
    close(linalg.eigvalsh(tensor(h)), np.linalg.eigvalsh(h), 1e-9)
    lower = np.asarray(linalg.cholesky(tensor(h)))
    close(lower @ np.swapaxes(lower.conj(), -1, -2), h)


def test_empty_matrices() -> None:
    x = pb.zeros((2, 0, 0))
    assert np.asarray(linalg.det(x)).tolist() == [1, 1]
    assert linalg.inv(x).shape == (2, 0, 0)
    assert [tuple(v.shape) for v in linalg.svd(pb.zeros((0, 3)))] == [(0, 0), (0,), (3, 3)]
    assert [tuple(v.shape) for v in linalg.qr(pb.zeros((3, 0)))] == [(3, 0), (0, 0)]
    assert linalg.eigvalsh(x).shape == (2, 0)
    assert linalg.matrix_exp(x).shape == (2, 0, 0)
    assert linalg.pinv(pb.zeros((0, 3))).shape == (3, 0)


def test_singular_matrices() -> None:
    singular = pb.tensor([[1.0, 2.0], [2.0, 4.0]])
    assert linalg.det(singular).item() == 0
    assert [v.item() for v in linalg.slogdet(singular)] == [0, -np.inf]
    close(pb.grad(linalg.det)(singular), [[4, -2], [-2, 1]])
    for function in (linalg.inv, lambda x: linalg.solve(x, x)):
        with pytest.raises(LinAlgError, match=r"a matrix is singular .*made at"):
            function(singular).numpy()
        with pytest.raises(LinAlgError, match="a matrix is singular"):
            pb.jit(function)(singular).numpy()
    assert not np.isfinite(linalg.inv(singular, check=False).numpy()).all()
    with pytest.raises(LinAlgError, match="not positive definite"):
        linalg.cholesky(pb.stack([pb.eye(2), -pb.eye(2)])).numpy()
    assert np.isnan(linalg.cholesky(-pb.eye(2), check=False).numpy()).any()


def test_not_a_number_goes_through() -> None:
    x = pb.full((3, 3), float("nan"))
    for values in (linalg.svdvals(x), linalg.eigvalsh(x), linalg.det(x), linalg.qr(x)[1][0]):
        assert np.isnan(values.numpy()).any()


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: linalg.inv(pb.ones((2, 3))), ShapeError, "inv: matrices must be square"),
    (lambda: linalg.det(pb.ones(3)), ShapeError, "at least two dimensions"),
    (lambda: linalg.solve(pb.eye(3), pb.ones((2, 2))), ShapeError, "equal rows"),
    (lambda: linalg.solve(pb.eye(3), 1.0), ShapeError, "at least one dimension"),
    (lambda: linalg.svd(pb.ones((2, 2)).half()), DTypeError, "float32"),
    (lambda: linalg.lstsq(pb.eye(3), pb.ones(2)), ShapeError, "equal rows"),
    (lambda: linalg.outer(pb.eye(3), pb.ones(2)), ShapeError, "two vectors"),
    (lambda: pb.grad(lambda x: linalg.qr(x, mode="complete")[0].sum())(pb.ones((3, 2))), GradientError, "reduced"),
    (lambda: pb.grad(lambda x: linalg.svd(x)[0].sum())(pb.ones((3, 2))), GradientError, "full_matrices=False"),
])
def test_wrong_calls(call: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("kind", ["float64", "complex128", "float32"])
def test_eig(kind: str) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 4, 4))
    x = (x + 1j * rng.normal(size=x.shape) if kind == "complex128" else x).astype(kind)
    w, v = (t.numpy() for t in pb.linalg.eig(pb.asarray(x)))
    assert w.dtype == v.dtype == ("complex64" if kind == "float32" else "complex128")
    tolerance = 1e-5 if kind == "float32" else 1e-12
    np.testing.assert_allclose(x @ v, v * w[:, None], atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=tolerance)
    np.testing.assert_array_equal(pb.linalg.eigvals(pb.asarray(x)).numpy(), w)
    assert pb.linalg.eig(pb.zeros((3, 0, 0))).eigenvalues.shape == (3, 0)
    assert np.isnan(pb.linalg.eigvals(pb.full((2, 2), float("nan"))).numpy()).all()
    with pytest.raises(ShapeError, match="square"):
        pb.linalg.eig(pb.ones((2, 3)))


def test_derivatives_of_eig() -> None:
    rng = np.random.default_rng(8)
    x, step = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def energy(a: Any) -> Any:
        w, v = pb.linalg.eig(a)
        return (w.real ** 3).sum() + w.abs().sum() + (v.abs() ** 3).sum()

    ahead, behind = (energy(pb.asarray(x + s * 1e-6 * step)).item() for s in (1, -1))
    found = (pb.grad(energy)(pb.asarray(x)).numpy() * step).sum()
    np.testing.assert_allclose(found, (ahead - behind) / 2e-6, rtol=1e-7)
    forward = pb.jvp(energy, (pb.asarray(x),), (pb.asarray(step),))[1].item()
    np.testing.assert_allclose(forward, found, rtol=1e-11)
    up, down = (pb.grad(energy)(pb.asarray(x + s * 1e-6 * step)).numpy() for s in (1, -1))
    second = pb.jvp(pb.grad(energy), (pb.asarray(x),), (pb.asarray(step),))[1].numpy()
    np.testing.assert_allclose(second, (up - down) / 2e-6, rtol=1e-5, atol=1e-6)
    batch = pb.asarray(np.stack([x, step]))
    np.testing.assert_allclose(pb.vmap(energy)(batch).numpy(), [energy(pb.asarray(m)).item() for m in (x, step)],
                               rtol=1e-12)


def symmetric_matrices(n: int, rng: Any) -> dict[str, Any]:
    """Symmetric matrices of many kinds: full, graded both ways, of few different eigenvalues, singular, in blocks."""
    x = rng.normal(size=(n, n))
    q = np.linalg.qr(x)[0]
    one = rng.normal(size=n)
    ends = np.linspace(-12, 12, n) if n > 1 else np.zeros(1)
    line = np.diag(2 * np.ones(n)) - np.eye(n, k=1) - np.eye(n, k=-1)
    return {
        "normal": x + x.T, "positive": x @ x.T, "graded values": q * 10.0 ** ends @ q.T,
        "graded": (x + x.T) * np.sqrt(np.outer(10.0 ** ends, 10.0 ** ends)),
        "graded back": ((x + x.T) * np.sqrt(np.outer(10.0 ** ends, 10.0 ** ends)))[::-1, ::-1],
        "repeated": q * np.where(np.arange(n) % 3, 1.0, -2.0) @ q.T, "rank 1": np.outer(one, one),
        "singular": q * np.where(np.arange(n) % 2, 0.0, rng.normal(size=n)) @ q.T, "zero": np.zeros((n, n)),
        "identity": np.eye(n), "diagonal": np.diag(one), "ones": np.ones((n, n)), "line": line,
        "clustered": q * (1 + 1e-10 * rng.normal(size=n)) @ q.T,
        "large": 1e300 * (x + x.T), "small": 1e-300 * (x + x.T),
        "sparse": np.where(rng.uniform(size=(n, n)) < 0.1, x, 0), "blocks": np.kron(np.eye(n), np.ones((3, 3)))[:n, :n],
        "wilkinson": np.diag(np.abs(np.arange(n) - n / 2)) + np.eye(n, k=1) + np.eye(n, k=-1),
    }


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 16, 21, 33, 70, 130])
def test_symmetric_eigenproblems(n: int, kind: str) -> None:
    """Residuals, orthogonality and values beside NumPy's in double precision, in units of rounding of the greatest."""
    rng, epsilon = np.random.default_rng(n), float(np.finfo(kind).eps)
    for turn in range(1 if n > 40 else 3):
        given = symmetric_matrices(n, rng)
        x = np.stack([np.tril(m) + np.tril(m, -1).T for m in given.values()])
        if kind == "float32":
            x = np.clip(x, -1e37, 1e37).astype(kind)
        w, v = (np.asarray(t).astype(np.float64) for t in linalg.eigh(tensor(x)))
        np.testing.assert_array_equal(np.asarray(linalg.eigvalsh(tensor(x))).astype(np.float64), w)
        for name, m, values, vectors in zip(given, x.astype(np.float64), w, v, strict=True):
            wanted = np.linalg.eigvalsh(m)
            size = max(float(np.abs(wanted).max()), 1e-307 if kind == "float64" else 1e-37)
            what = f"{name}, {turn}"
            assert np.abs(values - wanted).max() <= (20 + n) * epsilon * size, what
            assert (np.diff(values) >= 0).all(), what
            assert np.abs(vectors.T @ vectors - np.eye(n)).max() <= (10 + n / 4) * epsilon, what
            left = (m / size) @ vectors - vectors * (values / size)
            assert np.abs(left).max() <= (10 + n / 8) * epsilon, what


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 16, 21, 33, 70, 130])
def test_singular_values(n: int, kind: str) -> None:
    """Of square matrices of as many kinds, which are not symmetric."""
    rng, epsilon = np.random.default_rng(n), float(np.finfo(kind).eps)
    for turn in range(1 if n > 40 else 3):
        given = symmetric_matrices(n, rng)
        turned = np.linalg.qr(rng.normal(size=(n, n)))[0]
        others = ("graded values", "repeated", "singular", "rank 1")
        given |= {name + ", turned": given[name] @ turned for name in others}
        given |= {"triangle": np.triu(rng.normal(size=(n, n))), "two diagonals": np.eye(n) + np.eye(n, k=1),
                  "holes": np.diag(np.arange(n) % 2.0) + np.eye(n, k=-1), "shift": np.eye(n, k=1)}
        x = np.stack(list(given.values()))
        if kind == "float32":
            x = np.clip(x, -1e37, 1e37).astype(kind)
        u, s, vh = (np.asarray(t).astype(np.float64) for t in linalg.svd(tensor(x)))
        np.testing.assert_array_equal(np.asarray(linalg.svdvals(tensor(x))).astype(np.float64), s)
        for name, m, left, values, right in zip(given, x.astype(np.float64), u, s, vh, strict=True):
            wanted = np.linalg.svd(m, compute_uv=False)
            size = max(float(wanted[0]), 1e-307 if kind == "float64" else 1e-37)
            what = f"{name}, {turn}"
            assert np.abs(values - wanted).max() <= (20 + n) * epsilon * size, what
            assert (np.diff(values) <= 0).all() and (values >= 0).all(), what
            for v in (left.T @ left, right @ right.T):
                assert np.abs(v - np.eye(n)).max() <= (10 + n / 4) * epsilon, what
            assert np.abs(m / size - left * (values / size) @ right).max() <= (10 + n / 8) * epsilon, what


def test_matrices_that_are_not_finite() -> None:
    """NaN for those matrices of a batch, soon, and right answers for the others."""
    x = np.tile(np.diag(np.arange(40.0)), (4, 1, 1))
    x[1, 7, 3] = np.nan
    x[2, 5, 5] = np.inf
    w, v = (np.asarray(t) for t in linalg.eigh(tensor(x)))
    assert np.isnan(w[1:3]).all() and np.isnan(v[1:3]).all()
    np.testing.assert_array_equal(w[[0, 3]], [np.arange(40.0)] * 2)
    np.testing.assert_array_equal(v[[0, 3]], [np.eye(40)] * 2)
    u, s, vh = (np.asarray(t) for t in linalg.svd(tensor(x)))
    assert all(np.isnan(t[1:3]).all() for t in (u, s, vh))
    np.testing.assert_array_equal(s[[0, 3]], [np.arange(40.0)[::-1]] * 2)


def test_decompositions_do_not_depend_on_threads() -> None:
    x = np.random.default_rng(3).normal(size=(150, 150))
    found = []
    for count in (1, 2, 3):
        with pb.config.override(threads=count):
            results = (*linalg.eigh(tensor(x + x.T)), *linalg.svd(tensor(x)), linalg.cholesky(tensor(x @ x.T)))
            found.append([np.asarray(t).tobytes() for t in results])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_what_defines_forms_of_two_diagonals(n: int) -> None:
    """The NumPy definitions of the kernels are decompositions, too."""
    x = np.random.default_rng(n).normal(size=(2, n, n))
    x = x + np.swapaxes(x, -1, -2)
    *parts, scale = Tridiagonal().reference(x)
    values, panels = TridiagonalEigen().reference(*parts)
    vectors = np.moveaxis(panels, 1, 2).reshape(2, n, -1)[..., :n]
    close(np.swapaxes(vectors, -1, -2) * (values * scale[:, None])[:, None] @ vectors, x, 1e-12)
    close(np.sort(values * scale[:, None]), np.linalg.eigvalsh(x), 1e-12)
    x = np.random.default_rng(n + 1).normal(size=(2, n, n))
    *parts, scale = Bidiagonal().reference(x)
    values, *sides = BidiagonalSingular().reference(*parts)
    left, right = (np.moveaxis(panels, 1, 2).reshape(2, n, -1)[..., :n] for panels in sides)
    close(np.swapaxes(left, -1, -2) * (values * scale[:, None])[:, None] @ right, x, 1e-12)
    for m in (n, n + 3, max(n - 3, 1)):
        x = np.random.default_rng(n).normal(size=(2, m, n))
        r, *reflections = Householder().reference(x)
        q = HouseholderQ(m, min(m, n)).reference(*reflections)[0]
        close(q @ r, x, 1e-12)
        close(r, np.linalg.qr(x)[1], 1e-12)


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 17, 40, 131])
def test_cholesky_by_blocks(n: int, kind: str) -> None:
    rng, epsilon = np.random.default_rng(n), float(np.finfo(kind).eps)
    x = rng.normal(size=(3, n, n))
    x = (x @ np.swapaxes(x, -1, -2) + np.eye(n)).astype(kind)
    given = np.tril(x) + np.triu(np.full_like(x, np.nan), 1)  # nothing above the diagonal is read
    bad = n - 1 - n // 3
    given[1, bad, bad] = -1
    found = np.asarray(linalg.cholesky(tensor(np.where(np.isnan(given), 0, given)), check=False)).astype(np.float64)
    for k in (0, 2):
        wanted = x[k].astype(np.float64)
        assert np.abs(found[k] @ found[k].T - wanted).max() <= (2 + n) * epsilon * np.abs(wanted).max()
    assert np.isnan(np.tril(found[1])[bad:, bad]).all() and not np.isnan(found[1][:, :bad]).any()
    assert (np.triu(found, 1)[[0, 2]] == 0).all()
    close(found[1][:, :bad], Cholesky().reference(given[1:2].astype(np.float64))[0][:, :bad], 30 * n * epsilon)


QR_SHAPES = [(1, 1), (1, 6), (6, 1), (3, 9, 9), (17, 17), (2, 2, 40, 16), (4, 12), (12, 100), (100, 12), (131, 70),
             (70, 131), (150, 150)]


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("shape", QR_SHAPES, ids=str)
def test_qr_by_blocks(shape: tuple[int, ...], kind: str) -> None:
    """Values and LAPACK's signs; of ties, zero columns and rank 1 only what a decomposition must be."""
    rng, k = np.random.default_rng(sum(shape)), min(shape[-2:])
    x = rng.normal(size=shape)
    spread = 10.0 ** -rng.uniform(0, 30, shape[-1:])  # columns are scaled one by one
    epsilon = 20 * k ** 0.5 * float(np.finfo(kind).eps)
    for given in (x, x * spread, np.where(np.arange(shape[-1]) % 3 == 1, 0, x), x[..., :1] * x[..., :1, :], x * 0):
        given = given.astype(kind)
        for mode in ("reduced", "complete"):
            q, r = (np.asarray(v) for v in linalg.qr(tensor(given), mode=mode))
            size = np.abs(given).max(-2, keepdims=True)
            close((q @ r - given) / np.where(size == 0, 1, size), 0, epsilon)
            close(np.swapaxes(q, -1, -2) @ q - np.eye(q.shape[-1]), 0, epsilon)
            assert (np.tril(r, -1) == 0).all()
            if given is x or shape[-1] == 1:
                wanted = np.linalg.qr(given, mode)[1]
                close(np.sign(np.diagonal(r, 0, -2, -1)), np.sign(np.diagonal(wanted, 0, -2, -1)))
        assert np.array_equal(np.asarray(linalg.qr(tensor(given), mode="r").R), r[..., :k, :])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(2, 12, 12), (2, 5, 20), (2, 20, 9)], ids=str)
def test_factors_of_what_is_not_finite(shape: tuple[int, ...], bad: float) -> None:
    """The other matrices of a batch are as ever; rows stay rows of the matrix."""
    for place in ((0, 0), (3, 2), (4, shape[-1] - 1)):
        x = np.random.default_rng(3).normal(size=shape)
        x[0][place] = bad
        q, r = (np.asarray(v) for v in linalg.qr(tensor(x)))
        close(q[1] @ r[1], x[1])
        assert not np.isfinite(r[0]).all()
        packed, pivots = (np.asarray(v) for v in linalg.lu_factor(tensor(x)))
        with np.errstate(all="ignore"):
            wanted = Lu().reference(x)
        close(packed[1], wanted[0][1])
        assert np.array_equal(pivots, wanted[1] + 1)
        assert np.array_equal(np.isfinite(packed), np.isfinite(wanted[0]))


@pytest.mark.parametrize("shape", [(12, 100), (3, 20, 20), (70, 9), (300, 300), (20, 600)], ids=str)
def test_pivots_of_equal_elements(shape: tuple[int, ...]) -> None:
    """Of equal largest elements the first is taken."""
    x = np.random.default_rng(4).choice([-1.0, 1.0], shape)
    packed, pivots = (np.asarray(v) for v in linalg.lu_factor(tensor(x)))
    assert (pivots[..., 0] == 1).all()
    lower = np.tril(packed[..., :min(shape[-2:])], -1) + np.eye(shape[-2], min(shape[-2:]))
    assert np.abs(lower).max() <= 1
    order = np.broadcast_to(np.arange(shape[-2]), x.shape[:-1]).copy()
    for at in np.ndindex(shape[:-2]):
        for k, p in enumerate(pivots[at] - 1):
            order[at][[k, p]] = order[at][[p, k]]
    close(lower @ np.triu(packed[..., :min(shape[-2:]), :]), np.take_along_axis(x, order[..., None], -2), 1e-9)


def test_decompositions_in_loops() -> None:
    """In the body of a loop a kernel has memory of its own, too."""
    x = np.random.default_rng(5).normal(size=(4, 20, 20))
    x = x @ np.swapaxes(x, -1, -2) + np.eye(20)

    def body(total: Any, m: Any) -> Any:
        found = (linalg.eigvalsh(m).sum(), linalg.svdvals(m).sum(), linalg.cholesky(m, check=False).sum())
        return total + found[0], pb.stack(list(found))

    total, found = pb.jit(lambda m: pb.scan(body, pb.zeros((), dtype=pb.float64), m))(tensor(x))
    traces = np.trace(x, axis1=1, axis2=2)
    close(total, traces.sum(), 1e-10)
    close(np.asarray(found).T, [traces, traces, np.linalg.cholesky(x).sum((1, 2))], 1e-10)

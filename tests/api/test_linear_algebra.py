"""Products, einsum, norms, sorting against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.api.support import same, sample

import pullback as pb
from pullback.util.errors import PullbackError

MATMULS = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
           ((5, 2, 3), (5, 3, 4)),
           ((5, 1, 2, 3), (6, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((0, 3), (3, 2)),
           ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((1, 1), (1, 1)), ((4, 0, 3), (3, 2))]
EQUATIONS = [("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
             ("ij,ij->", (2, 3), (2, 3)),
             ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)),
             ("i,j->ij", (2,), (3,)),
             ("i,i->i", (3,), (3,)), ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
             ("...ij,jk->...ik", (5, 2, 3), (3, 4)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
             ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)), ("ij,kj->ikj", (2, 3), (4, 3)),
             ("iij,jk->ik", (2, 2, 3), (3, 4)), ("i,ij,j->", (2,), (2, 3), (3,)), ("ab,cd->abcd", (2, 3), (1, 2)),
             ("...->...", (2, 3)), ("ijk->...", (2, 3, 4)), ("ij,jk->ki", (2, 3), (3, 4)),
             ("i,j,k->kji", (2,), (3,), (4,)), ("...i,...i->...", (4, 3), (1, 3))]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    for dtype in ("float64", "float32", "int32"):
        x, y = sample(left, dtype, seed=1), sample(right, dtype, seed=2)
        same(pb.tensor(x) @ pb.tensor(y), x @ y, 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda c: c[0])
def test_einsum(case: tuple) -> None:
    equation, *shapes = case
    arrays = [sample(s, seed=k) for k, s in enumerate(shapes)]
    same(pb.einsum(equation, *(pb.tensor(a) for a in arrays)), np.einsum(equation, *arrays), 1e-11)


def test_products() -> None:
    x, y = sample((3, 4), seed=1), sample((4, 2), seed=2)
    a, b = pb.tensor(x), pb.tensor(y)
    u, v = sample((4,), seed=3), sample((4,), seed=4)
    c, d = pb.tensor(u), pb.tensor(v)
    same(pb.dot(c, d), u @ v)
    same(pb.mm(a, b), x @ y)
    same(a.mm(b) if hasattr(a, "mm") else pb.mm(a, b), x @ y)
    same(pb.mv(a, c), x @ u)
    same(pb.inner(a, a), np.inner(x, x))
    same(pb.outer(c, d), np.outer(u, v))
    same(pb.vecdot(a, a), (x * x).sum(-1))
    same(pb.vdot(c, d), u @ v)
    same(pb.kron(a, b), np.kron(x, y))
    same(pb.tensordot(a, b, 1), np.tensordot(x, y, 1))
    same(pb.tensordot(a, a, ([0, 1], [0, 1])), np.tensordot(x, x, 2))
    same(pb.tensordot(a, b, 0), np.tensordot(x, y, 0))
    same(pb.addmm(pb.ones(2, dtype="float64"), a, b, beta=2, alpha=0.5), 2 + 0.5 * (x @ y))
    same(pb.trace(pb.tensor(x @ x.T)), np.trace(x @ x.T))
    same(pb.cross(pb.tensor(x[:, :3]), pb.tensor(x[:, 1:])), np.cross(x[:, :3], x[:, 1:]))
    same(pb.bmm(a[None], b[None]), (x @ y)[None])


def test_norms() -> None:
    x = sample((3, 4), seed=1)
    a = pb.tensor(x)
    same(pb.norm(a), np.linalg.norm(x))
    for order in (1, 2, 3, 0.5, np.inf, -np.inf, 0):
        same(pb.norm(a, order, dim=1), np.linalg.norm(x, order, axis=1), 1e-10)
    same(pb.norm(a, dim=0, keepdim=True), np.linalg.norm(x, axis=0, keepdims=True))
    z = pb.zeros(3, requires_grad=True)
    pb.norm(z).backward()
    same(z.grad, [0, 0, 0])


def test_sorting() -> None:
    x = sample((4, 5), seed=1)
    x[1, 2] = np.nan
    a = pb.tensor(x)
    for axis in (0, 1, -1):
        same(pb.sort(a, axis), np.sort(x, axis))
        same(pb.argsort(a, axis), np.argsort(x, axis, kind="stable"))
    y = np.asarray([3, 1, 2, 3, 1])
    same(pb.sort(pb.tensor(y), descending=True), [3, 3, 2, 1, 1])
    same(pb.argsort(pb.tensor(y), descending=True), [0, 3, 2, 1, 4])
    values, places = pb.topk(pb.tensor(y), 2)
    same(values, [3, 3])
    same(places, [0, 3])
    values, places = pb.topk(pb.tensor(y), 2, largest=False)
    same(values, [1, 1])
    same(places, [1, 4])
    for q in (0.0, 0.25, 0.5, 1.0):
        for axis in (None, 0, 1):
            clean = np.nan_to_num(x)
            same(pb.quantile(pb.tensor(clean), q, axis), np.quantile(clean, q, axis))
    same(pb.quantile(pb.tensor([1.0, 2, 3, 4]), [0.25, 0.5]), [1.75, 2.5])
    same(pb.median(pb.tensor(np.nan_to_num(x)), axis=1), np.median(np.nan_to_num(x), axis=1))
    same(pb.median(a), np.nan)
    same(pb.unique(pb.tensor(y)), [1, 2, 3])
    found = pb.unique(pb.tensor(y), return_inverse=True, return_counts=True)
    for f, e in zip(found, np.unique(y, return_inverse=True, return_counts=True), strict=True):
        same(f, e)
    same(pb.sort(pb.tensor([True, False])), [False, True])
    values, places = pb.kthvalue(pb.tensor(y), 2)
    assert values.item() == 1
    assert places.item() == 4


def test_gradients() -> None:
    x, w = pb.tensor(sample((3, 4), seed=1), requires_grad=True), pb.tensor(sample((4, 2), seed=2), requires_grad=True)
    (x @ w).sum().backward()
    same(x.grad, np.ones((3, 2)) @ np.asarray(w).T)
    same(w.grad, np.asarray(x).T @ np.ones((3, 2)))
    s = pb.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (pb.sort(s) * pb.tensor([1.0, 10.0, 100.0])).sum().backward()
    same(s.grad, [100, 1, 10])


def test_errors() -> None:
    for call in (lambda: pb.zeros(2, 3) @ pb.zeros(2, 3), lambda: pb.ones(2) @ 3, lambda: pb.einsum("ij,jk",
                                                                                                    pb.ones(2, 2)),
                 lambda: pb.einsum("i!", pb.ones(2)), lambda: pb.einsum("ij->k",
                                                                        pb.ones(2, 2)), lambda: pb.mm(pb.ones(2),
                                                                                                      pb.ones(2))):
        with pytest.raises(PullbackError, match="help"):
            call()

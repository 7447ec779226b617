"""Covariances, modes, histograms, quantiles without NaN beside NumPy; whole-number functions; derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.util.errors import DTypeError, ShapeError, ValueError_

G = np.random.default_rng(0)
X = G.normal(size=(3, 7))
Z = X + 1j * G.normal(size=(3, 7))
HOLES = np.where(G.random((4, 6)) < 0.3, np.nan, G.normal(size=(4, 6)))
HOLES[1] = np.nan


@pytest.mark.parametrize("x", [X, Z, X[0], np.arange(6).reshape(2, 3)], ids=["real", "complex", "vector", "integers"])
def test_cov_and_corrcoef(x: Any) -> None:
    rough = 2e-6 if x.dtype.kind == "i" else None
    same(pb.cov(pb.asarray(x)).reshape(np.cov(x).shape), np.cov(x), rough)
    same(pb.corrcoef(pb.asarray(x)), np.corrcoef(x), rough)


def test_cov_with_weights() -> None:
    f, a = G.integers(1, 4, 7), G.random(7)
    for correction in (0, 1, 2):
        for options in ({"fweights": f}, {"aweights": a}, {"fweights": f, "aweights": a}, {}):
            wanted = np.cov(X, ddof=correction, **options)
            same(pb.cov(pb.tensor(X), correction, **{k: pb.tensor(v) for k, v in options.items()}), wanted)


def _directional(f: Any, x: Any) -> tuple[float, float]:
    """The derivative along a direction, and its finite difference."""
    v = np.random.default_rng(1).normal(size=x.shape)
    found = (pb.grad(f)(pb.tensor(x)) * pb.tensor(v)).sum().item()
    return found, (f(pb.tensor(x + 1e-6 * v)) - f(pb.tensor(x - 1e-6 * v))).item() / 2e-6


@pytest.mark.parametrize("f", [
    lambda x: (pb.cov(x) ** 2).sum(), lambda x: pb.corrcoef(x)[0, 1], lambda x: pb.aminmax(x, 1)[1].sum(),
    lambda x: pb.nanquantile(x, 0.3, 1).sum(), lambda x: pb.renorm(x, 2, 0, 1.0)[0, 0], lambda x: pb.mode(x)[0].sum(),
    lambda x: pb.histogram(x, [-1.0, 0.0, 1.0], weights=x ** 2)[0][0],
])
def test_derivatives(f: Any) -> None:
    found, wanted = _directional(f, X)
    assert math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-8)


def test_aminmax() -> None:
    for axis, keep in ((None, False), (0, False), (1, True)):
        low, high = pb.aminmax(pb.tensor(X), axis, keep)
        same(low, X.min(axis, keepdims=keep))
        same(high, X.max(axis, keepdims=keep))


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("keep", [False, True])
def test_mode(dim: int, keep: bool) -> None:
    x = G.integers(0, 3, (5, 8))
    values, order = pb.mode(pb.tensor(x), dim, keep)
    lines = np.moveaxis(x, dim, -1)
    wanted = np.array([np.bincount(line).argmax() for line in lines])
    last = np.array([np.flatnonzero(line == m)[-1] for line, m in zip(lines, wanted, strict=True)])
    same(values, np.expand_dims(wanted, dim) if keep else wanted)
    same(order, np.expand_dims(last, dim) if keep else last)


@pytest.mark.parametrize("q", [0.5, 0.3, [0.1, 0.9], []])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_nanquantile(q: Any, axis: Any, keep: bool) -> None:
    for method in ("linear", "lower", "higher", "nearest", "midpoint"):
        if q == []:
            continue
        same(pb.nanquantile(pb.tensor(HOLES), q, axis, keep, method=method),
             np.nanquantile(HOLES, q, axis=axis, keepdims=keep, method=method))
    same(pb.nanmedian(pb.tensor(HOLES), axis, keep), np.nanmedian(HOLES, axis=axis, keepdims=keep))


def test_histogram() -> None:
    x = G.normal(size=50)
    for bins, limits in ((5, None), (4, (-1.0, 1.0)), ([-1.0, 0.0, 0.5, 2.0], None), (3, (2.0, 2.0))):
        for weights in (None, G.random(50)):
            for density in (False, True):
                wanted = np.histogram(x, bins, limits, density, weights)
                if density and not np.isfinite(wanted[0]).all():
                    continue
                found = pb.histogram(pb.tensor(x), bins, limits, None if weights is None else pb.tensor(weights),
                                     density)
                same(found[0], wanted[0].astype(np.float64), 1e-6)
                same(found[1], wanted[1], 1e-6)
    same(pb.histogram(pb.tensor([2, 2]), 2)[1], np.histogram([2, 2], 2)[1])
    assert pb.histogram(pb.zeros(0), 3)[0].tolist() == [0, 0, 0]
    assert pb.jit(lambda v: pb.histogram(v, 3)[0])(pb.tensor([0.0, 1.0, 2.0, 3.0])).tolist() == [1, 1, 2]


def test_unique_consecutive() -> None:
    x = np.array([1, 1, 2, 2, 3, 1, 1, 2])
    values, inverse, counts = pb.unique_consecutive(pb.tensor(x))
    assert (values.tolist(), counts.tolist()) == ([1, 2, 3, 1, 2], [2, 2, 1, 2, 1])
    same(values[inverse], x)
    rows = np.array([[1, 2], [1, 2], [0, 2], [1, 2]])
    for axis, array in ((0, rows), (1, rows.T)):
        values, inverse, counts = pb.unique_consecutive(pb.tensor(array), axis)
        same(pb.take(values, inverse, axis=axis), array)
        assert counts.tolist() == [2, 1, 1]
    assert [v.shape for v in pb.unique_consecutive(pb.zeros(0))] == [(0,), (0,), (0,)]


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_divisors(dtype: str) -> None:
    x, y = (G.integers(0 if dtype[0] == "u" else -11, 12, (3, 40)).astype(dtype) for _ in range(2))
    same(pb.gcd(pb.asarray(x), pb.asarray(y)), np.gcd(x, y), dtype=True)
    same(pb.lcm(pb.asarray(x), pb.asarray(y)), np.lcm(x, y), dtype=True)
    same(pb.vmap(pb.gcd)(pb.asarray(x), pb.asarray(y)), np.gcd(x, y))
    same(pb.jit(pb.lcm)(pb.asarray(x), pb.asarray(y)), np.lcm(x, y))
    assert pb.gcd(pb.asarray(x), 6).shape == x.shape and pb.gcd(pb.zeros(0, dtype=dtype), 3).shape == (0,)


def test_renorm() -> None:
    x = pb.tensor(X)
    for p in (1, 2, math.inf):
        for dim in (0, 1):
            size = pb.linalg.vector_norm(pb.renorm(x, p, dim, 1.5), axis=1 - dim, ord=p).numpy()
            before = np.linalg.norm(X, p, 1 - dim)
            np.testing.assert_allclose(size, np.minimum(before, 1.5), rtol=1e-6)


def test_wrong_calls() -> None:
    x = pb.tensor(X)
    with pytest.raises(ShapeError, match="cov"):
        pb.cov(x[None])
    with pytest.raises(ShapeError, match="fweights"):
        pb.cov(x, fweights=[1, 2])
    with pytest.raises(ShapeError, match="mode"):
        pb.mode(pb.zeros((2, 0)))
    with pytest.raises(ShapeError, match="renorm"):
        pb.renorm(x[0], 2, 0, 1)
    with pytest.raises(ShapeError, match="nanquantile"):
        pb.nanquantile(pb.zeros(0), 0.5)
    for call in (lambda: pb.nanquantile(x, 2.0), lambda: pb.nanquantile(x, 0.5, method="cubic"),
                 lambda: pb.histogram(x, 0), lambda: pb.histogram(x, 3, (1, 0))):
        with pytest.raises(ValueError_):
            call()
    for call in (lambda: pb.gcd(x, 3), lambda: pb.lcm(pb.tensor([True]), True), lambda: pb.histogram(pb.tensor([1j]))):
        with pytest.raises(DTypeError):
            call()

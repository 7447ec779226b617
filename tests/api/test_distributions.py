"""Samplers against moments, their ranges, and the transforms; JAX's own numbers are in tests/conformance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import GradientError, PullbackError

KEY = pb.random.key(11)
N = 20000
R = pb.random
#: a sampler of N numbers, its mean and variance
MOMENTS: dict[str, tuple[Any, float, float]] = {
    "laplace": (lambda k: R.laplace(k, (N,)), 0.0, 2.0),
    "logistic": (lambda k: R.logistic(k, (N,)), 0.0, np.pi**2 / 3),
    "rademacher": (lambda k: R.rademacher(k, (N,)).to("float32"), 0.0, 1.0),
    "maxwell": (lambda k: R.maxwell(k, (N,)), 2 * np.sqrt(2 / np.pi), 3 - 8 / np.pi),
    "lognormal": (lambda k: R.lognormal(k, 0.3, (N,)), np.exp(0.045), (np.exp(0.09) - 1) * np.exp(0.09)),
    "pareto": (lambda k: R.pareto(k, 6.0, (N,)), 6 / 5, 6 / (25 * 4)),
    "weibull_min": (lambda k: R.weibull_min(k, 2.0, 1.0, (N,)), 2.0, 4.0),
    "rayleigh": (lambda k: R.rayleigh(k, 2.0, (N,)), 2 * np.sqrt(np.pi / 2), (4 - np.pi) / 2 * 4),
    "triangular": (lambda k: R.triangular(k, 0.0, 1.0, 2.0, (N,)), 1.0, 1 / 6),
    "wald": (lambda k: R.wald(k, 1.0, (N,)), 1.0, 1.0),
    "geometric": (lambda k: R.geometric(k, 0.4, (N,)).to("float32"), 2.5, 0.6 / 0.16),
    "gamma": (lambda k: R.gamma(k, 3.0, (N,)), 3.0, 3.0),
    "small gamma": (lambda k: R.gamma(k, 0.5, (N,)), 0.5, 0.5),
    "beta": (lambda k: R.beta(k, 2.0, 3.0, (N,)), 0.4, 0.04),
    "chisquare": (lambda k: R.chisquare(k, 4.0, (N,)), 4.0, 8.0),
    "t": (lambda k: R.t(k, 9.0, (N,)), 0.0, 9 / 7),
    "poisson": (lambda k: R.poisson(k, 3.0, (N,)).to("float32"), 3.0, 3.0),
    "large poisson": (lambda k: R.poisson(k, 50.0, (N,)).to("float32"), 50.0, 50.0),
    "binomial": (lambda k: R.binomial(k, 8.0, 0.3, (N,)), 2.4, 1.68),
    "large binomial": (lambda k: R.binomial(k, 200.0, 0.8, (N,)), 160.0, 32.0),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name: str) -> None:
    sample, mean, variance = MOMENTS[name]
    drawn = sample(KEY).numpy().astype(np.float64)
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / N)
    assert drawn.var() == pytest.approx(variance, rel=0.12)


def test_under_transforms() -> None:
    keys = R.split(KEY, 3)
    one = np.stack([R.gamma(k, 2.0, (2,)).numpy() for k in keys])
    np.testing.assert_array_equal(pb.vmap(lambda k: R.gamma(k, 2.0, (2,)))(keys).numpy(), one)
    np.testing.assert_array_equal(pb.jit(lambda k: R.gamma(k, 2.0, (2,)))(KEY).numpy(), R.gamma(KEY, 2.0, (2,)).numpy())
    np.testing.assert_array_equal(pb.jit(lambda k, r: R.poisson(k, r, (4,)))(KEY, 20.0).numpy(),
                                  R.poisson(KEY, 20.0, (4,)).numpy())


def test_shapes_and_sums() -> None:
    rows = R.dirichlet(KEY, [0.5, 1.0, 2.0], (4,))
    assert rows.shape == (4, 3)
    np.testing.assert_allclose(rows.numpy().sum(1), 1, rtol=1e-5)
    counts = R.multinomial(KEY, 30.0, pb.tensor([[0.2, 0.8, 0.0], [0.1, 0.1, 0.8]]))
    assert counts.numpy().sum(1).tolist() == [30.0, 30.0]
    assert counts.numpy()[0, 2] == 0
    assert R.gamma(KEY, pb.tensor([1.0, 2.0]), (3, 2)).shape == (3, 2)
    assert R.gamma(KEY, 1.0, (0,)).shape == (0,)
    q = R.orthogonal(KEY, 4, (2,), m=3).numpy()
    np.testing.assert_allclose(q.swapaxes(1, 2) @ q, np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-6)
    inside = R.ball(KEY, 3, 2, (50,)).numpy()
    assert (np.linalg.norm(inside, axis=1) < 1).all()


def test_multivariate_normal() -> None:
    cov = np.array([[2.0, 0.8], [0.8, 1.0]])
    for method in ("cholesky", "eigh", "svd"):
        drawn = R.multivariate_normal(KEY, pb.tensor([1.0, -1.0]), pb.tensor(cov), (N,), method=method).numpy()
        np.testing.assert_allclose(drawn.mean(0), [1, -1], atol=0.06)
        np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.08)


def test_derivatives() -> None:
    got = pb.grad(lambda b: R.pareto(KEY, b, (5,), "float64").sum())(pb.tensor(2.0, dtype="float64")).item()
    up, down = (R.pareto(KEY, 2.0 + h, (5,), "float64").sum().item() for h in (1e-6, -1e-6))
    assert got == pytest.approx((up - down) / 2e-6, rel=1e-6)
    for sample in (R.gamma, R.loggamma, R.chisquare):
        with pytest.raises(GradientError):
            pb.grad(lambda a, sample=sample: sample(KEY, a, (3,)).sum())(2.0)
        with pytest.raises(GradientError):
            pb.jvp(lambda a, sample=sample: sample(KEY, a, (3,)).sum(), (2.0,), (1.0,))
    assert pb.grad(lambda s: (R.gamma(KEY, 2.0, (3,)) * s).sum())(1.0).item() > 0


@pytest.mark.parametrize("call", [
    lambda: R.gamma(3, 1.0),
    lambda: R.gamma(KEY, pb.ones(3), (2,)),
    lambda: R.gamma(KEY, 1.0, (2,), "int32"),
    lambda: R.dirichlet(KEY, 1.0),
    lambda: R.multivariate_normal(KEY, pb.zeros(2), pb.eye(3)),
    lambda: R.multivariate_normal(KEY, pb.zeros(2), pb.eye(2), method="lu"),
])
def test_wrong_calls(call: Any) -> None:
    with pytest.raises(PullbackError):
        call()

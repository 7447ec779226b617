"""`jax.scipy`: derivatives beside finite differences, arguments, minima."""

from __future__ import annotations

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax.scipy import linalg, optimize, signal, special, stats
from pullback.jax.scipy.sparse.linalg import cg
from pullback.jax.scipy.stats import norm
from pullback.jax.scipy.stats.norm import logpdf

from pullback.util.errors import ArgumentError, ShapeError, UnsupportedError, ValueError_

X = jnp.array([0.3, 0.8, 2.5])
S = jnp.array([[2.0, 0.5], [0.5, 1.0]])


@pytest.mark.parametrize("f", [
    lambda x: special.gammainc(2.0, x), lambda a: special.gammainc(a, 1.3), lambda a: special.gammaincc(a, 3.1),
    lambda x: special.betainc(2.0, 3.0, x / 3), lambda a: special.betainc(a, 3.0, 0.4), special.exp1, special.expi,
    lambda x: stats.gamma.logpdf(x, 2.0, scale=1.5), lambda x: stats.truncnorm.logpdf(x, -1.0, 3.0),
    lambda k: stats.t.logpdf(0.7, k), lambda s: norm.logcdf(-9.0, 0.0, s), lambda x: signal.convolve(x, X),
])
def test_derivatives(f: object) -> None:
    jax.test_util.check_grads(f, (X,), 1, atol=0.02, rtol=0.02)  # type: ignore[arg-type]


def test_matrices_have_derivatives() -> None:
    jax.test_util.check_grads(lambda a: linalg.cho_solve(linalg.cho_factor((a + a.T) / 2), X[:2]), (S,), 1, rtol=0.02)
    jax.test_util.check_grads(linalg.expm, (S,), 1, rtol=0.02)
    found = jax.grad(lambda a: cg((a + a.T) / 2, X[:2])[0].sum())(S)
    wanted = jax.grad(lambda a: jnp.linalg.solve((a + a.T) / 2, X[:2]).sum())(S)
    assert np.allclose(np.asarray(found), np.asarray(wanted), atol=1e-4)


def test_distributions_are_modules() -> None:
    assert np.isclose(float(logpdf(0.0)), -0.9189385) and float(norm.logpdf(0.0)) == float(logpdf(0.0))
    assert np.isclose(float(jax.jit(stats.poisson.logpmf)(2, 3.0)), -1.4959226)
    with pytest.raises(ArgumentError, match=r"norm\.pdf"):
        norm.pdf(0.0, 1.0, 2.0, 3.0)
    with pytest.raises(TypeError, match="requires ndarray"):
        norm.pdf([0.0])


def test_minima() -> None:
    def rosenbrock(p: object) -> object:
        return (100.0 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2).sum()  # type: ignore[index]

    found = optimize.minimize(rosenbrock, jnp.array([-1.2, 1.0]), method="BFGS")
    assert np.allclose(np.asarray(found.x), 1, atol=0.01)
    inside = jax.jit(lambda a: optimize.minimize(lambda x, b: ((x - b) ** 2).sum(), X * 0, (a,), method="bfgs").x)
    assert np.allclose(np.asarray(inside(2.0)), 2, atol=1e-3)
    with pytest.raises(UnsupportedError, match="not recognized"):
        optimize.minimize(rosenbrock, jnp.zeros(2), method="powell")


def test_wrong_calls() -> None:
    with pytest.raises(ShapeError, match="2-dimensional"):
        signal.convolve2d(X, X)
    with pytest.raises(ValueError_, match="no such mode"):
        signal.convolve(X, X, "other")
    with pytest.raises(ValueError_, match="assume_a"):
        linalg.solve(S, X[:2], assume_a="other")

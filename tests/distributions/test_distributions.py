"""Distributions beside numerical integration, sums over all values, finite differences and moments of samples."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb
from pullback import distributions as d
from pullback.api.gamma_slope import gamma_slope
from pullback.api.incomplete import gammainc
from pullback.distributions import constraints, transforms
from pullback.util.errors import PullbackError, UnsupportedError

T: Any = torch
trapezoid: Any = np.trapezoid


def double(*values: Any) -> list[Any]:
    return [pb.tensor(np.asarray(v, np.float64)) for v in values]


#: distributions of one number, and where to look: a grid that holds all but 1e-7 of the mass
REAL: dict[str, tuple[Any, tuple[float, ...], np.ndarray[Any, Any]]] = {
    "Normal": (d.Normal, (0.7, 1.3), np.linspace(-9, 11, 20001)),
    "Laplace": (d.Laplace, (0.7, 1.3), np.linspace(-24, 25, 40001)),
    "Gumbel": (d.Gumbel, (0.7, 1.3), np.linspace(-6, 30, 40001)),
    "StudentT": (d.StudentT, (9.0, 0.7, 1.3), np.linspace(-60, 60, 60001)),
    "Uniform": (d.Uniform, (-0.5, 2.5), np.linspace(-0.5, 2.5 - 1e-12, 20001)),
    "Exponential": (d.Exponential, (1.7,), np.linspace(1e-4, 1, 40001) ** 3 * 14),
    "Gamma": (d.Gamma, (2.5, 1.7), np.linspace(1e-9, 18, 40001)),
    "Chi2": (d.Chi2, (5.0,), np.linspace(1e-9, 60, 40001)),
    "HalfNormal": (d.HalfNormal, (1.3,), np.linspace(0, 9, 20001)),
    "LogNormal": (d.LogNormal, (0.2, 0.4), np.linspace(1e-6, 20, 60001)),
    "Beta": (d.Beta, (2.5, 3.5), np.linspace(1e-9, 1 - 1e-9, 20001)),
    "Pareto": (d.Pareto, (1.3, 9.0), np.linspace(1.3, 30, 90001)),
    "Weibull": (d.Weibull, (1.3, 2.2), np.linspace(1e-9, 9, 20001)),
    "RelaxedBernoulli": (lambda t, p: d.RelaxedBernoulli(t, probs=p), (2.0, 0.4), np.linspace(1e-9, 1 - 1e-9, 90001)),
}
WHOLE: dict[str, tuple[Any, tuple[Any, ...], int]] = {
    "Bernoulli": (d.Bernoulli, (0.3,), 2), "Binomial": (d.Binomial, (7, 0.3), 8),
    "Geometric": (d.Geometric, (0.3,), 90), "Poisson": (d.Poisson, (2.6,), 40),
    "NegativeBinomial": (d.NegativeBinomial, (3.5, 0.4), 90)}


@pytest.mark.parametrize("name", REAL)
def test_density(name: str) -> None:
    make, parameters, grid = REAL[name]
    p = make(*double(*parameters))
    x = pb.tensor(grid)
    log_density = p.log_prob(x).numpy()
    density = np.exp(log_density)

    def mean(of: np.ndarray[Any, Any]) -> float:
        return float(trapezoid(density * of, grid))

    assert mean(np.ones_like(grid)) == pytest.approx(1, abs=2e-6)
    if name != "RelaxedBernoulli":
        middle = mean(grid)
        assert float(p.mean) == pytest.approx(middle, abs=1e-5)
        assert float(p.variance) == pytest.approx(mean((grid - middle) ** 2), rel=2e-4)
        assert float(p.stddev) == pytest.approx(float(p.variance) ** 0.5)
        assert float(p.entropy()) == pytest.approx(mean(np.where(density > 0, -log_density, 0)), abs=2e-5)
    if name not in ("StudentT", "Beta", "RelaxedBernoulli"):
        steps = (density[1:] + density[:-1]) / 2 * np.diff(grid)
        whole = float(p.cdf(x[:1])[0])
        np.testing.assert_allclose(p.cdf(x).numpy()[1:], whole + np.cumsum(steps), atol=3e-5)
    if name not in ("StudentT", "Beta", "Gamma", "Chi2", "RelaxedBernoulli"):
        share = pb.tensor(np.linspace(0.01, 0.99, 50))
        np.testing.assert_allclose(p.cdf(p.icdf(share)).numpy(), share.numpy(), atol=1e-9)


@pytest.mark.parametrize("name", WHOLE)
def test_probabilities(name: str) -> None:
    make, parameters, count = WHOLE[name]
    p = make(*double(*parameters))
    values = np.arange(float(count))
    chance = np.exp(p.log_prob(pb.tensor(values)).numpy())
    middle = (chance * values).sum()
    assert chance.sum() == pytest.approx(1, abs=1e-9)
    assert float(p.mean) == pytest.approx(middle, abs=1e-8)
    assert float(p.variance) == pytest.approx((chance * (values - middle) ** 2).sum(), abs=1e-7)
    if name in ("Bernoulli", "Binomial", "Geometric"):
        assert float(p.entropy()) == pytest.approx(-(chance * np.log(chance)).sum(), abs=1e-8)
    if p.has_enumerate_support:
        assert p.enumerate_support().tolist() == values.tolist()


def test_classes() -> None:
    weights = np.array([[1.0, 2.0, 3.0], [5.0, 1.0, 4.0]])
    chance = weights / weights.sum(1, keepdims=True)
    for p in (d.Categorical(probs=pb.tensor(weights)), d.Categorical(logits=pb.tensor(np.log(weights) + 7))):
        assert (p.batch_shape, p.event_shape) == ((2,), ())
        np.testing.assert_allclose(p.probs.numpy(), chance)
        found = np.stack([p.log_prob(pb.tensor([k, k])).numpy() for k in range(3)], 1)
        np.testing.assert_allclose(found, np.log(chance))
        np.testing.assert_allclose(p.entropy().numpy(), -(chance * np.log(chance)).sum(1))
        assert p.mode.tolist() == [2, 0]
        assert p.enumerate_support().tolist() == [[0, 0], [1, 1], [2, 2]]
        assert p.log_prob(pb.tensor([[0, 1], [2, 2], [1, 0]])).shape == (3, 2)
    rows = d.OneHotCategorical(probs=pb.tensor(weights))
    np.testing.assert_allclose(rows.log_prob(pb.tensor(np.eye(3)[[2, 0]])).numpy(), np.log(chance[[0, 1], [2, 0]]))
    counts = d.Multinomial(4, probs=pb.tensor(weights[0]))
    every = [(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]
    logs = counts.log_prob(pb.tensor(np.array(every, np.float64))).numpy()
    assert np.exp(logs).sum() == pytest.approx(1)
    assert float(counts.entropy()) == pytest.approx(-(np.exp(logs) * logs).sum())
    np.testing.assert_allclose(counts.mean.numpy(), np.exp(logs) @ np.array(every))


def test_dirichlet() -> None:
    alpha = np.array([2.0, 3.0, 1.5])
    p = d.Dirichlet(pb.tensor(alpha))
    grid = np.linspace(1e-4, 1 - 1e-4, 1201)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    inside = a + b < 1 - 1e-4
    points = np.stack([a[inside], b[inside], 1 - a[inside] - b[inside]], -1)
    density = np.exp(p.log_prob(pb.tensor(points)).numpy()) * (grid[1] - grid[0]) ** 2
    assert density.sum() == pytest.approx(1, abs=5e-3)
    np.testing.assert_allclose(density @ points, p.mean.numpy(), atol=3e-3)
    assert p.variance.numpy() == pytest.approx((density[:, None] * (points - p.mean.numpy()) ** 2).sum(0), abs=2e-3)
    assert float(p.entropy()) == pytest.approx(-(density * p.log_prob(pb.tensor(points)).numpy()).sum(), abs=2e-2)


def test_normal_with_a_covariance() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 3))
    cov = half @ half.T + np.eye(3) * 0.3
    loc, value = rng.normal(size=3), rng.normal(size=(5, 3))
    offset = value - loc
    expected = -0.5 * (np.einsum("ni,ij,nj->n", offset, np.linalg.inv(cov), offset) + 3 * math.log(2 * math.pi)
                       + np.linalg.slogdet(cov)[1])
    for given in ({"covariance_matrix": pb.tensor(cov)}, {"precision_matrix": pb.tensor(np.linalg.inv(cov))},
                  {"scale_tril": pb.tensor(np.linalg.cholesky(cov))}):
        p = d.MultivariateNormal(pb.tensor(loc), **given)
        np.testing.assert_allclose(p.log_prob(pb.tensor(value)).numpy(), expected, rtol=1e-8)
        np.testing.assert_allclose(p.covariance_matrix.numpy(), cov, rtol=1e-7)
        np.testing.assert_allclose(p.precision_matrix.numpy(), np.linalg.inv(cov), rtol=1e-6)
        np.testing.assert_allclose(p.variance.numpy(), np.diag(cov), rtol=1e-7)
        assert float(p.entropy()) == pytest.approx(0.5 * np.linalg.slogdet(2 * math.pi * math.e * cov)[1])
    pb.manual_seed(0)
    drawn = p.sample((60000,)).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.1)


@pytest.mark.parametrize("style", ["native", "torch"])
@pytest.mark.parametrize("name", [*REAL, *WHOLE])
def test_samples(name: str, style: str) -> None:
    make, parameters, _ = (REAL | WHOLE)[name]  # type: ignore[operator]
    if style == "torch":
        own = getattr(T.distributions, name)
        if name == "RelaxedBernoulli":
            p = own(T.tensor(parameters[0]), probs=T.tensor(parameters[1]))
        else:
            p = own(*map(float, parameters))
        T.manual_seed(3)
    else:
        p = make(*(pb.tensor(float(v)) for v in parameters))
        pb.manual_seed(3)
    n = 4000
    drawn = p.sample((n, 2))
    assert isinstance(drawn, T.Tensor) == (style == "torch")
    assert drawn.shape == (n, 2) and not drawn.requires_grad
    if name != "RelaxedBernoulli":
        middle, spread = float(p.mean), float(p.stddev)
        assert abs(float(drawn.mean()) - middle) < 6 * spread / (2 * n) ** 0.5
        assert float(drawn.std()) == pytest.approx(spread, rel=0.15)
    assert bool((p.log_prob(drawn) == p.log_prob(drawn)).all())


@pytest.mark.parametrize("name", [n for n in REAL if n not in ("RelaxedBernoulli", "Pareto", "Weibull")])
def test_samples_move_with_the_parameters(name: str) -> None:
    """The mean slope of samples is the slope of their mean."""
    make, parameters, _ = REAL[name]
    given = [pb.tensor(np.float64(v), requires_grad=True) for v in parameters]
    pb.manual_seed(1)
    p = make(*given)
    assert p.has_rsample
    p.rsample((20000,)).mean().backward()
    found = [float(g.grad) if g.grad is not None else 0.0 for g in given]
    again = [pb.tensor(np.float64(v), requires_grad=True) for v in parameters]
    make(*again).mean.backward()
    expected = [float(g.grad) if g.grad is not None else 0.0 for g in again]
    if name == "StudentT":  # its mean does not move with the degrees of freedom
        found, expected = found[1:], expected[1:]
    np.testing.assert_allclose(found, expected, atol=0.05, rtol=0.05)


def test_incomplete_gamma() -> None:
    x = np.concatenate([np.linspace(0.01, 0.99, 40), np.linspace(1, 60, 200)])
    for n in (1, 2, 5, 20):
        terms = np.stack([x ** k / math.factorial(k) for k in range(n)]).sum(0)
        found = gammainc(pb.tensor(float(n)).double(), pb.tensor(x)).numpy()
        np.testing.assert_allclose(found, 1 - np.exp(-x) * terms, atol=3e-9)
    for shape in (0.3, 1.7, 40.0):
        at = np.array([0.05, 0.6, 1.4, 35.0, 44.0])
        h = shape * 1e-5
        share = [gammainc(pb.tensor(np.full(5, a)), pb.tensor(at)).numpy() for a in (shape - h, shape + h)]
        density = np.exp(d.Gamma(pb.tensor(np.float64(shape)), 1.0).log_prob(pb.tensor(at)).numpy())
        with np.errstate(all="ignore"):
            expected = -(share[1] - share[0]) / (2 * h) / density
        kept = density > 1e-3
        found = gamma_slope(pb.tensor(np.full(5, shape)), pb.tensor(at)).numpy()
        np.testing.assert_allclose(found[kept], expected[kept], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("name", [*REAL, *WHOLE])
def test_slopes_of_log_prob(name: str) -> None:
    make, parameters, grid = (REAL | WHOLE)[name]  # type: ignore[operator]
    value = pb.tensor(np.float64(grid[len(grid) // 3] if name in REAL else 1.0))
    tensors = [pb.tensor(np.float64(v), requires_grad=True) for v in parameters]
    make(*tensors).log_prob(value).backward()
    for k, t in enumerate(tensors):
        if name in ("Binomial",) and k == 0:
            continue
        sides = []
        for step in (-1e-6, 1e-6):
            moved = [v + step * (j == k) for j, v in enumerate(parameters)]
            sides.append(float(make(*double(*moved)).log_prob(value)))
        found = 0.0 if t.grad is None else float(t.grad)
        assert found == pytest.approx((sides[1] - sides[0]) / 2e-6, rel=1e-4, abs=1e-6)


PAIRS = [("Normal", "Normal"), ("Laplace", "Laplace"), ("Gumbel", "Gumbel"), ("Uniform", "Normal"),
         ("Normal", "Laplace"), ("Exponential", "Exponential"), ("Gamma", "Gamma"), ("Exponential", "Gamma"),
         ("Gamma", "Exponential"), ("HalfNormal", "HalfNormal"), ("LogNormal", "LogNormal"), ("Beta", "Beta"),
         ("Poisson", "Poisson"), ("Bernoulli", "Bernoulli"), ("Binomial", "Binomial"), ("Geometric", "Geometric")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_divergence(first: str, second: str) -> None:
    make, parameters, grid = (REAL | WHOLE)[first]  # type: ignore[operator]
    other, others, _ = (REAL | WHOLE)[second]  # type: ignore[operator]
    p = make(*double(*parameters))
    q = other(*double(*(v * 1.4 if isinstance(v, float) else v for v in others)))
    if first in REAL:
        x = pb.tensor(grid)
        a, b = p.log_prob(x).numpy(), q.log_prob(x).numpy()
        expected = trapezoid(np.exp(a) * (a - b), grid)
    else:
        x = pb.tensor(np.arange(float(grid)))
        a, b = p.log_prob(x).numpy(), q.log_prob(x).numpy()
        expected = (np.exp(a) * (a - b)).sum()
    assert float(d.kl_divergence(p, q)) == pytest.approx(expected, abs=2e-4)
    assert float(d.kl_divergence(p, p) if first == second else 0) == pytest.approx(0, abs=1e-9)


def test_divergence_of_vectors() -> None:
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2, 2))
    factors = np.linalg.cholesky(np.array([[[2, 0.3], [0.3, 1]], [[1, -0.2], [-0.2, 3]]]))
    p, q = (d.MultivariateNormal(pb.tensor(m), scale_tril=pb.tensor(f)) for m, f in zip(means, factors, strict=True))
    one, two = (f @ f.T for f in factors)
    apart = means[1] - means[0]
    expected = 0.5 * (np.trace(np.linalg.inv(two) @ one) + apart @ np.linalg.inv(two) @ apart - 2
                      + np.linalg.slogdet(two)[1] - np.linalg.slogdet(one)[1])
    assert float(d.kl_divergence(p, q)) == pytest.approx(expected)
    a, b = d.Categorical(probs=pb.tensor([0.2, 0.8])), d.Categorical(probs=pb.tensor([0.5, 0.5]))
    assert float(d.kl_divergence(a, b)) == pytest.approx(0.2 * math.log(0.4) + 0.8 * math.log(1.6), rel=1e-5)
    inf = d.kl_divergence(d.Categorical(probs=pb.tensor([0.5, 0.5])), d.Categorical(probs=pb.tensor([1.0, 0.0])))
    assert float(inf) == pytest.approx(math.inf) or float(inf) > 5
    rows = [d.Independent(d.Normal(pb.tensor(m), 1.0), 1) for m in means]
    assert float(d.kl_divergence(*rows)) == pytest.approx(0.5 * (apart ** 2).sum())


def test_own_divergence() -> None:
    class Mine(d.Normal):
        pass

    @d.register_kl(Mine, Mine)
    def _(p: Any, q: Any) -> Any:
        return p.loc * 0 + 42

    assert float(d.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0))) == 42
    assert float(d.kl_divergence(Mine(0.0, 1.0), d.Normal(0.0, 1.0))) == 0
    with pytest.raises(UnsupportedError, match=r"No KL\(p \|\| q\)"):
        d.kl_divergence(d.Normal(0.0, 1.0), d.Poisson(1.0))
    with pytest.raises(PullbackError):
        d.register_kl(int, d.Normal)


@pytest.mark.parametrize("transform", [
    transforms.ExpTransform(), transforms.SigmoidTransform(), transforms.TanhTransform(),
    transforms.AffineTransform(0.3, -2.0), transforms.SoftplusTransform(), transforms.PowerTransform(1.7),
    transforms.ExpTransform().inv, transforms.ComposeTransform([transforms.AffineTransform(0.1, 0.5),
                                                                transforms.TanhTransform()])], ids=repr)
def test_transform(transform: Any) -> None:
    positive = "Power" in repr(transform) or "Inverse" in repr(transform)
    x = np.linspace(0.1 if positive else -2, 2, 7)
    given = pb.tensor(x, requires_grad=True)
    y = transform(given)
    y.sum().backward()
    slopes = given.grad.numpy()
    np.testing.assert_allclose(transform.inv(y).detach().numpy(), x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(transform.log_abs_det_jacobian(given, y).detach().numpy(), np.log(np.abs(slopes)),
                               rtol=1e-7, atol=1e-9)
    assert transform.sign == int(np.sign(slopes[0]))
    assert transform == transform and transform.inv.inv(given).tolist() == y.tolist()


def test_stick_breaking() -> None:
    transform = transforms.StickBreakingTransform()
    x = np.random.default_rng(2).normal(size=(4, 3))
    y = transform(pb.tensor(x))
    np.testing.assert_allclose(y.sum(-1).numpy(), 1)
    np.testing.assert_allclose(transform.inv(y).numpy(), x)
    jacobian = pb.vmap(pb.jacrev(lambda v: transform(v)[:-1]))(pb.tensor(x)).numpy()
    np.testing.assert_allclose(transform.log_abs_det_jacobian(pb.tensor(x), y).numpy(),
                               np.linalg.slogdet(jacobian)[1], rtol=1e-8)


def test_made_of_others() -> None:
    base = d.Normal(pb.tensor(np.zeros((4, 3))), pb.tensor(np.ones((4, 3))))
    rows = d.Independent(base, 1)
    assert (rows.batch_shape, rows.event_shape) == ((4,), (3,))
    value = pb.tensor(np.random.default_rng(0).normal(size=(2, 4, 3)))
    np.testing.assert_allclose(rows.log_prob(value).numpy(), base.log_prob(value).numpy().sum(-1))
    np.testing.assert_allclose(rows.entropy().numpy(), base.entropy().numpy().sum(-1))
    squashed = d.TransformedDistribution(rows, [transforms.TanhTransform(cache_size=1)])
    drawn = squashed.rsample((2,))
    assert squashed.event_shape == (3,) and drawn.shape == (2, 4, 3)
    inner = np.arctanh(drawn.numpy())
    expected = base.log_prob(pb.tensor(inner)).numpy() - np.log(1 - drawn.numpy() ** 2)
    np.testing.assert_allclose(squashed.log_prob(drawn).numpy(), expected.sum(-1), rtol=1e-6)
    mixture = d.MixtureSameFamily(d.Categorical(probs=pb.tensor([0.3, 0.7])),
                                  d.Normal(pb.tensor([-1.0, 2.0]), pb.tensor([0.5, 1.0])))
    grid = np.linspace(-6, 9, 4001)
    density = np.exp(mixture.log_prob(pb.tensor(grid)).numpy())
    assert trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    assert float(mixture.mean) == pytest.approx(trapezoid(density * grid, grid), abs=1e-5)
    assert float(mixture.variance) == pytest.approx(trapezoid(density * (grid - 1.1) ** 2, grid), abs=1e-4)
    assert float(mixture.sample((9000,)).mean()) == pytest.approx(1.1, abs=0.1)


@pytest.mark.parametrize("make", [
    lambda: d.Normal(0.0, 1.0), lambda: d.Beta(2.0, 3.0), lambda: d.Categorical(logits=pb.zeros(3)),
    lambda: d.MultivariateNormal(pb.zeros(3), scale_tril=pb.tensor(np.eye(3, dtype=np.float32))),
    lambda: d.Independent(d.Normal(pb.zeros(2), 1.0), 1), lambda: d.LogNormal(0.0, 1.0), lambda: d.Chi2(3.0),
    lambda: d.Multinomial(3, probs=pb.tensor([0.5, 0.5])), lambda: d.Uniform(0.0, 1.0), lambda: d.Binomial(3, 0.5),
    lambda: d.RelaxedOneHotCategorical(pb.tensor(0.5), logits=pb.zeros(3)), lambda: d.HalfNormal(1.0),
    lambda: d.OneHotCategorical(logits=pb.zeros(3))])
def test_expand(make: Any) -> None:
    small = make()
    large = small.expand((5, *small.batch_shape))
    assert type(large) is type(small)
    assert (large.batch_shape, large.event_shape) == ((5, *small.batch_shape), small.event_shape)
    drawn = large.sample((2,))
    assert drawn.shape == (2, 5, *small.batch_shape, *small.event_shape)
    np.testing.assert_allclose(large.log_prob(drawn).numpy(), small.log_prob(drawn).numpy(), rtol=1e-5)


@pytest.mark.parametrize(("call", "match"), [
    (lambda: d.Normal(0.0, -1.0), r"Expected parameter scale \(Tensor of shape \(\)\) of distribution "
     r"Normal\(loc: 0.0, scale: -1.0\) to satisfy the constraint GreaterThan\(lower_bound=0.0\), "
     "but found invalid values:\n-1.0"),
    (lambda: d.Normal(0.0, 1.0).log_prob(pb.tensor(math.nan)), r"within the support \(Real\(\)\) of the distribution"),
    (lambda: d.Normal(pb.zeros(2), 1.0).log_prob(pb.zeros(3)), "not broadcastable with batch_shape"),
    (lambda: d.Normal(0.0, 1.0).log_prob(0.0), "must be a Tensor"), (lambda: d.Normal("0", 1.0), "must all be numbers"),
    (lambda: d.Bernoulli(1.5), r"satisfy the constraint Interval\(lower_bound=0.0, upper_bound=1.0\)"),
    (lambda: d.Bernoulli(0.5).log_prob(pb.tensor(0.5)), r"Boolean\(\)"),
    (lambda: d.Bernoulli(0.5, 0.5), "Either `probs` or `logits` must be specified, but not both"),
    (lambda: d.Categorical(), "Either `probs` or `logits`"),
    (lambda: d.Categorical(probs=pb.tensor(0.5)), "at least one"),
    (lambda: d.Categorical(probs=pb.tensor([-0.5, 1.5])), r"Simplex\(\)"),
    (lambda: d.Categorical(logits=pb.tensor([math.nan, 0.0])), r"IndependentConstraint\(Real\(\), 1\)"),
    (lambda: d.Categorical(logits=pb.zeros(3)).log_prob(pb.tensor(3)),
     r"IntegerInterval\(lower_bound=0, upper_bound=2\)"),
    (lambda: d.Uniform(1.0, 0.0), "Uniform is not defined when low>= high"),
    (lambda: d.Uniform(0.0, 1.0).log_prob(pb.tensor(2.0)), "within the support"),
    (lambda: d.Exponential(0.0), "rate"), (lambda: d.Poisson(1.0).log_prob(pb.tensor(0.5)), "IntegerGreaterThan"),
    (lambda: d.Dirichlet(pb.tensor(1.0)), "at least one-dimensional"),
    (lambda: d.MultivariateNormal(pb.zeros(2)), "Exactly one of"),
    (lambda: d.MultivariateNormal(pb.zeros(2), pb.tensor([[1.0, 2.0], [0.0, 1.0]])), r"PositiveDefinite\(\)"),
    (lambda: d.Independent(d.Normal(0.0, 1.0), 1), "reinterpreted_batch_ndims"),
    (lambda: d.Multinomial(pb.tensor([1.0, 2.0]), probs=pb.ones(2)), "inhomogeneous"),
    (lambda: d.Distribution.set_default_validate_args("yes"), "True or False")])
def test_wrong_calls(call: Any, match: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=match) as caught:
        call()
    assert isinstance(caught.value, PullbackError)


def test_what_has_no_formula() -> None:
    for call in (d.Cauchy(0.0, 1.0).rsample, d.Poisson(1.0).rsample, d.Poisson(1.0).entropy,
                 lambda: d.Beta(1.0, 1.0).cdf(pb.tensor(0.5)), lambda: d.Poisson(1.0).icdf(pb.tensor(0.5))):
        if call.__name__ == "rsample" and getattr(call.__self__, "has_rsample", False):
            continue
        with pytest.raises(NotImplementedError, match="has no"):
            call()


def test_unchecked() -> None:
    assert math.isnan(float(d.Normal(0.0, -1.0, validate_args=False).entropy()))
    assert constraints.positive.check(pb.tensor([1.0, -1.0])).tolist() == [True, False]


def test_under_transforms() -> None:
    """Nothing is looked at while a function is traced; each call draws anew."""
    def loss(logits: Any) -> Any:
        p = d.Categorical(logits=logits)
        return (p.log_prob(p.enumerate_support()) * p.probs).sum() + p.entropy()

    logits = pb.tensor([0.3, 1.0, -2.0])
    for found in (pb.grad(loss)(logits), pb.jit(pb.grad(loss))(logits)):
        np.testing.assert_allclose(found.numpy(), 0, atol=1e-6)

    @pb.jit
    def draw(loc: Any) -> Any:
        return d.Normal(loc, 1.0).rsample((3,))

    assert draw(pb.tensor(0.0)).tolist() != draw(pb.tensor(0.0)).tolist()


# -- the torch dialect -------------------------------------------------------------------------------------------------


def test_numbers_of_pytorch() -> None:
    """Samples after manual_seed(0), recorded from PyTorch 2.13."""
    D = T.distributions
    for make, expected in RECORDED.items():
        T.manual_seed(0)
        p = eval(make, {"D": D, "T": T})
        drawn = p.sample((2,))
        assert isinstance(drawn, T.Tensor)
        assert drawn.tolist() == expected, make


def test_policy_gradient_and_vae() -> None:
    from pullback.torch.distributions import Categorical, Normal, kl_divergence
    from pullback.torch.distributions.categorical import Categorical as Same

    assert Same is Categorical
    T.manual_seed(0)
    logits = T.zeros(4, requires_grad=True)
    policy = Categorical(logits=logits)
    action = policy.sample()
    assert action.dtype is T.int64 and action.shape == T.Size([])
    (-policy.log_prob(action) * 2.0 - 0.1 * policy.entropy()).backward()
    expected = 2 * (np.full(4, 0.25) - np.eye(4)[action.item()])
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-6)
    mu, sigma = T.zeros(3, requires_grad=True), T.ones(3, requires_grad=True)
    q = Normal(mu, sigma)
    z = q.rsample()
    (z.sum() + kl_divergence(q, Normal(T.zeros(3), T.ones(3) * 2)).sum()).backward()
    np.testing.assert_allclose(mu.grad.numpy(), 1, rtol=1e-6)
    np.testing.assert_allclose(sigma.grad.numpy(), z.detach().numpy() + 0.25 - 1, rtol=1e-5)
    assert repr(q) == "Normal(loc: torch.Size([3]), scale: torch.Size([3]))"
    assert repr(Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert isinstance(q, T.distributions.Distribution) and isinstance(Normal(0, 1).sample(), T.Tensor)
    assert isinstance(Normal(0, 1).batch_shape, T.Size)


def test_loaded_late() -> None:
    code = "import sys, pullback.torch; print(any('distributions' in m for m in sys.modules if 'pullback' in m))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


RECORDED: dict[str, Any] = {
    "D.Normal(T.zeros(2), T.ones(2))": [
        [1.5409960746765137, -0.293428897857666],
        [-2.1787893772125244, 0.5684312582015991]],
    "D.Normal(1.0, 2.0)": [4.081992149353027, 0.41314220428466797],
    "D.Uniform(T.zeros(3), 2.0)": [
        [0.9925131797790527, 1.5364435911178589, 0.17695486545562744],
        [0.26406097412109375, 0.6148456335067749, 1.2681573629379272]],
    "D.Bernoulli(T.tensor([0.3, 0.6, 0.9]))": [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]],
    "D.Categorical(logits=T.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]))": [[2, 0], [2, 1]],
    "D.Exponential(T.tensor([1.0, 2.0]))": [
        [3.508326292037964, 0.6151923537254333],
        [0.615044116973877, 1.267559289932251]],
    "D.Poisson(T.tensor([1.0, 20.0]))": [[2.0, 28.0], [1.0, 18.0]],
    "D.Binomial(10, T.tensor([0.2, 0.7]))": [[5.0, 7.0], [1.0, 7.0]],
    "D.Gamma(T.tensor([0.5, 3.0]), 2.0)": [
        [0.0003946790820918977, 0.6364217400550842],
        [0.03617800027132034, 2.141301155090332]],
    "D.Beta(T.tensor(2.0), T.tensor(3.0))": [0.6726440787315369, 0.3900393545627594],
    "D.Multinomial(5, T.tensor([0.2, 0.3, 0.5]))": [[1.0, 1.0, 3.0], [0.0, 2.0, 3.0]],
    "D.OneHotCategorical(T.tensor([0.2, 0.3, 0.5]))": [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]],
    "D.Geometric(T.tensor(0.3))": [1.0, 0.0],
}

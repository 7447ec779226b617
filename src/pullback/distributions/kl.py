"""Kullback-Leibler divergences, found by the classes of both distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback.api import decompositions
from pullback.api.elementwise import digamma, exp, lgamma, log, where, xlogy
from pullback.api.manipulation import broadcast_shapes
from pullback.distributions.combined import Independent, LogNormal, TransformedDistribution
from pullback.distributions.continuous import (
    EULER,
    Cauchy,
    Exponential,
    Gamma,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Normal,
    Pareto,
    Uniform,
)
from pullback.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from pullback.distributions.distribution import Array, Distribution
from pullback.distributions.multivariate import Beta, Dirichlet, MultivariateNormal, squared_length
from pullback.distributions.transforms import softplus, sum_last
from pullback.util.errors import UnsupportedError, ValueError_, message

Rule = Callable[[Any, Any], Array]
RULES: dict[tuple[type, type], Rule] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """Say how the divergence of two classes is computed; used as a decorator of `f(p, q)`.

    >>> import pullback as pb
    >>> class Known(pb.distributions.Normal): pass
    >>> @pb.distributions.register_kl(Known, Known)
    ... def divergence(p, q): return p.loc * 0
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise ValueError_(message(f"Expected type_p and type_q to be Distribution subclasses but got {kind}"))

    def decorate(rule: Rule) -> Rule:
        RULES[type_p, type_q] = rule
        return rule

    return decorate


def _rule(p: type, q: type) -> Rule | None:
    """The rule of the nearest classes."""
    for first in p.__mro__:
        for second in q.__mro__:
            if (first, second) in RULES:
                return RULES[first, second]
    return None


def kl_divergence(p: Distribution, q: Distribution) -> Array:
    """KL(p || q): the mean under p of log p - log q.

    >>> import pullback as pb
    >>> d = pb.distributions
    >>> d.kl_divergence(d.Normal(0.0, 1.0), d.Normal(1.0, 1.0))
    Tensor(0.5, dtype=float32)
    """
    rule = _rule(type(p), type(q))
    if rule is None:
        raise UnsupportedError(message(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
                                       f"{type(q).__name__}", help="register_kl adds one"))
    return rule(p, q)


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Array:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - log(ratio))


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Array:
    return log((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2) - log(4 * p.scale * q.scale)


@register_kl(HalfNormal, HalfNormal)
@register_kl(HalfCauchy, HalfCauchy)
def _halves(p: Any, q: Any) -> Array:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Array:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Array:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -log(ratio) + apart / q.scale + ratio * exp(-apart / p.scale) - 1


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Array:
    ratio, first, second = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    return -log(ratio) - first + second + ratio * EULER + exp(first + lgamma(1 + ratio) - second) - (1 + EULER)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Array:
    ratio = q.rate / p.rate
    return ratio - log(ratio) - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Array:
    return (q.concentration * log(p.rate / q.rate) + lgamma(q.concentration) - lgamma(p.concentration)
            + (p.concentration - q.concentration) * digamma(p.concentration)
            + (q.rate - p.rate) * (p.concentration / p.rate))


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Array:
    ratio = q.rate / p.rate
    return -q.concentration * log(ratio) + ratio + lgamma(q.concentration) + q.concentration * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Array:
    return -p.entropy() - log(q.rate) + q.rate * p.concentration / p.rate


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Array:
    ratio = q.alpha / p.alpha
    found = q.alpha * log(p.scale / q.scale) - log(ratio) + ratio - 1
    return where(p.scale < q.scale, math.inf, found)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Array:
    return where((q.low > p.low) | (q.high < p.high), math.inf, log((q.high - q.low) / (p.high - p.low)))


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Array:
    width = p.high - p.low
    return (log(math.sqrt(2 * math.pi) * q.scale / width) + (width / q.scale) ** 2 / 24
            + ((p.high + p.low - 2 * q.loc) / (2 * q.scale)) ** 2 * 0.5)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Array:
    apart = (p.loc - q.loc) / p.scale
    size = math.sqrt(2 / math.pi) * p.scale * exp(-0.5 * apart ** 2) + (p.loc - q.loc) * (
        2 * Normal(apart * 0, apart * 0 + 1, validate_args=False).cdf(apart) - 1)
    return log(2 * q.scale) + size / q.scale - p.entropy()


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Array:
    first = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    first = where(q.probs == 0, math.inf, first)
    first = where(p.probs == 0, 0.0, first)
    second = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    second = where(q.probs == 1, math.inf, second)
    return first + where(p.probs == 1, 0.0, second)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Array:
    found = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return where(p.total_count > q.total_count, math.inf, found)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Array:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Array:
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Array:
    terms = p.probs * (p.logits - q.logits)
    terms = where((q.probs == 0) & (terms == terms), math.inf, terms)
    return where(p.probs + q.probs * 0 == 0, 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Array:
    return _categorical(p._categorical, q._categorical)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Array:
    total = p.concentration.sum(-1)
    first = lgamma(total) - lgamma(q.concentration.sum(-1))
    second = (lgamma(p.concentration) - lgamma(q.concentration)).sum(-1)
    third = (p.concentration - q.concentration) * (digamma(p.concentration) - digamma(total)[..., None])
    return first - second + third.sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Array:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Array:
    n = p.event_shape[0]
    if q.event_shape != p.event_shape:
        raise ValueError_(message("KL-divergence between two Multivariate Normals with different event shapes cannot "
                                  "be computed"))
    batch = broadcast_shapes(tuple(q.batch_shape), tuple(p.batch_shape))
    factors = [d._unbroadcasted_scale_tril.expand((*batch, n, n)) for d in (q, p)]
    trace = (decompositions.solve_triangular(*factors, upper=False) ** 2).sum((-2, -1))
    square = squared_length(q._unbroadcasted_scale_tril, q.loc - p.loc)
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + square - n)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Array:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise UnsupportedError(message("KL(p || q) of Independent distributions with other numbers of dimensions",
                                       [("p", repr(p)), ("q", repr(q))]))
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Array:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise UnsupportedError(message("KL(p || q) of distributions under different transforms",
                                       [("p", repr(p.transforms)), ("q", repr(q.transforms))]))
    return sum_last(kl_divergence(p.base_dist, q.base_dist), len(p.event_shape) - len(p.base_dist.event_shape))


__all__ = ["kl_divergence", "register_kl"]

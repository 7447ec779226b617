"""Distributions of real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pullback.api.elementwise import atan, digamma, erf, erfinv, exp, expm1, lgamma, log, log1p, sqrt, tan, where, xlogy
from pullback.api.gamma_slope import gamma_slope
from pullback.api.incomplete import gammainc
from pullback.distributions import constraints, draws
from pullback.distributions.constraints import Constraint
from pullback.distributions.distribution import Array, Distribution, ExponentialFamily, satisfied
from pullback.util.errors import ValueError_, message

EULER = 0.57721566490153286060


class _LocScale(Distribution):
    """A shape moved by `loc` and stretched by `scale`."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = self._with_arrays(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def mode(self) -> Array:
        return self.loc

    def _standard(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale


class Normal(_LocScale, ExponentialFamily):
    """Normal with a mean and standard deviation.

    >>> import pullback as pb
    >>> pb.distributions.Normal(0.0, 1.0).log_prob(pb.tensor(0.0))
    Tensor(-0.9189385, dtype=float32)
    """

    @property
    def stddev(self) -> Array:
        return self.scale

    @property
    def variance(self) -> Array:
        return self.scale ** 2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.loc + draws.normal(self._extended_shape(sample_shape), self.loc) * self.scale

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return -((value - self.loc) ** 2) / (2 * self.scale ** 2) - log(self.scale) - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value: Array) -> Array:
        return 0.5 * (1 + erf(self._standard(value) / math.sqrt(2)))

    def icdf(self, value: Array) -> Array:
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Array:
        return 0.5 + 0.5 * math.log(2 * math.pi) + log(self.scale)


class Laplace(_LocScale):
    """Laplace: two exponentials back to back."""

    @property
    def variance(self) -> Array:
        return 2 * self.scale ** 2

    @property
    def stddev(self) -> Array:
        return 2 ** 0.5 * self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        low = float(np.finfo(draws.like_numpy(self.loc)).eps) - 1
        u = draws.uniform(self._extended_shape(sample_shape), self.loc, low, 1.0)
        return self.loc - self.scale * u.sign() * log1p(-u.abs())

    def log_prob(self, value: Array) -> Array:
        return -log(2 * self.scale) - self._standard(value).abs()

    def cdf(self, value: Array) -> Array:
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * expm1(-z.abs())

    def icdf(self, value: Array) -> Array:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * log1p(-2 * term.abs())

    def entropy(self) -> Array:
        return 1 + log(2 * self.scale)


class Cauchy(_LocScale):
    """Cauchy, which has no mean."""

    @property
    def mean(self) -> Array:
        return self.loc * math.nan

    @property
    def variance(self) -> Array:
        return self.loc * 0 + math.inf

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        eps = float(np.finfo(np.float64).eps)
        u = draws.uniform(self._extended_shape(sample_shape), self.loc.detach().double()).clip(eps, 1 - eps)
        return self.loc + tan(math.pi * (u - 0.5)).to(self.loc.dtype) * self.scale

    def log_prob(self, value: Array) -> Array:
        return -math.log(math.pi) - log(self.scale) - log1p(self._standard(value) ** 2)

    def cdf(self, value: Array) -> Array:
        return atan(self._standard(value)) / math.pi + 0.5

    def icdf(self, value: Array) -> Array:
        return tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Array:
        return math.log(4 * math.pi) + log(self.scale)


class Gumbel(_LocScale):
    """Gumbel: the largest of many."""

    @property
    def mean(self) -> Array:
        return self.loc + self.scale * EULER

    @property
    def stddev(self) -> Array:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Array:
        return self.stddev ** 2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        limits = np.finfo(draws.like_numpy(self.loc))
        low, high = float(limits.tiny), float(1 - limits.eps)
        u = draws.uniform(self._extended_shape(sample_shape), self.loc) * (high - low) + low
        return self.loc - self.scale * log(-log(u))

    def log_prob(self, value: Array) -> Array:
        y = -self._standard(value)
        return (y - exp(y)) - log(self.scale)

    def cdf(self, value: Array) -> Array:
        return exp(-exp(-self._standard(value)))

    def icdf(self, value: Array) -> Array:
        return self.loc - self.scale * log(-log(value))

    def entropy(self) -> Array:
        return log(self.scale) + (1 + EULER)


class StudentT(_LocScale):
    """Student's t with degrees of freedom `df`."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = self._with_arrays(df, loc, scale)
        Distribution.__init__(self, self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return where(self.df <= 1, math.nan, self.loc)

    @property
    def variance(self) -> Array:
        finite = self.scale ** 2 * self.df / (where(self.df > 2, self.df, 3.0) - 2)
        return where(self.df > 2, finite, where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        shape = self._extended_shape(sample_shape)
        x = draws.normal(shape, self.df)
        z = 2 * moving_gamma((0.5 * self.df).expand(shape))
        return self.loc + self.scale * (x / sqrt(z / self.df))

    def log_prob(self, value: Array) -> Array:
        y, df = self._standard(value), self.df
        total = log(self.scale) + 0.5 * log(df) + 0.5 * math.log(math.pi) + lgamma(0.5 * df) - lgamma(0.5 * (df + 1))
        return -0.5 * (df + 1) * log1p(y ** 2 / df) - total

    def entropy(self) -> Array:
        df = self.df
        lbeta = lgamma(0.5 * df) + math.lgamma(0.5) - lgamma(0.5 * (df + 1))
        return (log(self.scale) + 0.5 * (df + 1) * (digamma(0.5 * (df + 1)) - digamma(0.5 * df)) + 0.5 * log(df)
                + lbeta)


class _Half(Distribution):
    """The sizes of what another distribution around 0 gives."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {"scale": constraints.positive}
    support = constraints.nonnegative
    whole: ClassVar[type[_LocScale]]

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = self._with_arrays(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> _LocScale:
        """The distribution with both signs."""
        return self.whole(self.scale * 0, self.scale, validate_args=False)

    @property
    def mode(self) -> Array:
        return self.scale * 0

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Array) -> Array:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Array:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The size of a normal number around 0."""

    whole = Normal

    @property
    def mean(self) -> Array:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Array:
        return self.scale ** 2 * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The size of a Cauchy number around 0."""

    whole = Cauchy

    @property
    def mean(self) -> Array:
        return self.scale * 0 + math.inf

    @property
    def variance(self) -> Array:
        return self.scale * 0 + math.inf


class Uniform(Distribution):
    """Uniform in [low, high)."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {"low": constraints.dependent, "high": constraints.dependent}

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = self._with_arrays(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not constraints_hold(self.low, self.high):
            raise ValueError_(message("Uniform is not defined when low>= high",
                                      [("low", f"{self.low}"), ("high", f"{self.high}")]))

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Constraint:  # type: ignore[override]
        """[low, high]."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Array:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Array:
        return self.high * math.nan

    @property
    def stddev(self) -> Array:
        return (self.high - self.low) / 12 ** 0.5

    @property
    def variance(self) -> Array:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.low + draws.uniform(self._extended_shape(sample_shape), self.low) * (self.high - self.low)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return where(inside, 0.0, -math.inf) - log(self.high - self.low)

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clip(0, 1)

    def icdf(self, value: Array) -> Array:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Array:
        return log(self.high - self.low)


def constraints_hold(low: Array, high: Array) -> bool:
    """Whether low is less than high, where both are known."""
    return satisfied(constraints.positive, high - low)


class Exponential(ExponentialFamily):
    """Exponential with a rate."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {"rate": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = self._with_arrays(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return 1 / self.rate

    @property
    def mode(self) -> Array:
        return self.rate * 0

    @property
    def stddev(self) -> Array:
        return 1 / self.rate

    @property
    def variance(self) -> Array:
        return self.rate ** -2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return draws.exponential(self._extended_shape(sample_shape), self.rate) / self.rate

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return log(self.rate) - self.rate * value

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return 1 - exp(-self.rate * value)

    def icdf(self, value: Array) -> Array:
        return -log1p(-value) / self.rate

    def entropy(self) -> Array:
        return 1.0 - log(self.rate)


def moving_gamma(alpha: Array) -> Array:
    """Gamma of shape alpha and scale 1, which moves with alpha as its quantiles do."""
    fixed = alpha.detach()
    drawn = draws.gamma(fixed)
    if not alpha.requires_grad:
        return drawn
    slope = gamma_slope(fixed.double(), drawn.double()).to(alpha.dtype)
    return drawn + slope * (alpha - fixed)


class Gamma(ExponentialFamily):
    """Gamma with a shape, `concentration`, and a rate."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = self._with_arrays(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.concentration / self.rate

    @property
    def mode(self) -> Array:
        return ((self.concentration - 1) / self.rate).clip(0, None)

    @property
    def variance(self) -> Array:
        return self.concentration / self.rate ** 2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        shape = self._extended_shape(sample_shape)
        least = float(np.finfo(draws.like_numpy(self.rate)).tiny)
        return (moving_gamma(self.concentration.expand(shape)) / self.rate).clip(least, None)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        shape = self.concentration
        return xlogy(shape, self.rate) + xlogy(shape - 1, value) - self.rate * value - lgamma(shape)

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Array:
        shape = self.concentration
        return shape - log(self.rate) + lgamma(shape) + (1 - shape) * digamma(shape)


class Chi2(Gamma):
    """Chi-squared with degrees of freedom `df`."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    def _parameters(self) -> list[str]:
        return ["df"]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        return type(self)(self.df.expand(tuple(batch_shape)), validate_args=False)

    @property
    def df(self) -> Array:
        """Degrees of freedom."""
        return self.concentration * 2


class Pareto(Distribution):
    """Pareto from `scale` on, of shape alpha."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = self._with_arrays(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Constraint:  # type: ignore[override]
        """From scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Array:
        return where(self.alpha > 1, self.alpha * self.scale / (where(self.alpha > 1, self.alpha, 2.0) - 1), math.inf)

    @property
    def mode(self) -> Array:
        return self.scale

    @property
    def variance(self) -> Array:
        a = where(self.alpha > 2, self.alpha, 3.0)
        return where(self.alpha > 2, self.scale ** 2 * a / ((a - 1) ** 2 * (a - 2)), math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.scale * exp(draws.exponential(self._extended_shape(sample_shape), self.scale) / self.alpha)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return log(self.alpha / value) + self.alpha * log(self.scale / value)

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Array) -> Array:
        return self.scale * (1 - value) ** (-1 / self.alpha)

    def entropy(self) -> Array:
        return log(self.scale / self.alpha) + (1 + 1 / self.alpha)


class Weibull(Distribution):
    """Weibull of a scale and a shape, `concentration`."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = self._with_arrays(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.scale * exp(lgamma(1 + 1 / self.concentration))

    @property
    def mode(self) -> Array:
        k = self.concentration
        return self.scale * ((k - 1) / k) ** (1 / k)

    @property
    def variance(self) -> Array:
        k = self.concentration
        return self.scale ** 2 * (exp(lgamma(1 + 2 / k)) - exp(2 * lgamma(1 + 1 / k)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.scale * draws.exponential(self._extended_shape(sample_shape), self.scale) ** (
            1 / self.concentration)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        k, y = self.concentration, value / self.scale
        return log(k / self.scale) + (k - 1) * log(y) - y ** k

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return -expm1(-((value / self.scale) ** self.concentration))

    def icdf(self, value: Array) -> Array:
        return self.scale * (-log1p(-value)) ** (1 / self.concentration)

    def entropy(self) -> Array:
        k = 1 / self.concentration
        return EULER * (1 - k) + log(self.scale * k) + 1


__all__ = ["Cauchy", "Chi2", "Exponential", "Gamma", "Gumbel", "HalfCauchy", "HalfNormal", "Laplace", "Normal",
           "Pareto", "StudentT", "Uniform", "Weibull"]

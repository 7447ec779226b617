"""Distributions made of others: batches read as one event, images under transforms, mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pullback.api.elementwise import exp, log, log1p
from pullback.api.selecting import gather
from pullback.distributions import constraints, draws
from pullback.distributions.constraints import Constraint
from pullback.distributions.continuous import Normal
from pullback.distributions.discrete import Categorical, ClassRows, _Binary, clamp_probs
from pullback.distributions.distribution import Array, Distribution
from pullback.distributions.transforms import (
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    Transform,
    softplus,
    sum_last,
)
from pullback.engine.control import no_grad
from pullback.util.errors import ValueError_, message


class Independent(Distribution):
    """A distribution whose last batch dimensions are of one event: their log-probabilities are added up.

    >>> import pullback as pb
    >>> each = pb.distributions.Normal(pb.zeros(3), pb.ones(3))
    >>> pb.distributions.Independent(each, 1).log_prob(pb.zeros(3))
    Tensor(-2.7568157, dtype=float32)
    """

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int,
                 validate_args: bool | None = None) -> None:
        batch = tuple(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError_(message("Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                                      f"actual {reinterpreted_batch_ndims} vs {len(batch)}"))
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        self.shape_type = base_distribution.shape_type
        shape, split = batch + tuple(base_distribution.event_shape), len(batch) - reinterpreted_batch_ndims
        super().__init__(shape[:split], shape[split:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        inner = self._event_shape[:self.reinterpreted_batch_ndims]
        return type(self)(self.base_dist.expand((*batch_shape, *inner)), self.reinterpreted_batch_ndims,
                          validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base has."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the base has, and nothing is read as one event."""
        return not self.reinterpreted_batch_ndims and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Constraint:  # type: ignore[override]
        """The base's."""
        found, n = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(found, n) if n else found

    @property
    def mean(self) -> Array:
        return self.base_dist.mean

    @property
    def mode(self) -> Array:
        return self.base_dist.mode

    @property
    def variance(self) -> Array:
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Array) -> Array:
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Array:
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Array:
        if self.reinterpreted_batch_ndims:
            raise self._lacks("enumerate_support")
        return self.base_dist.enumerate_support(expand)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """What transforms make of a distribution's values."""

    def __init__(self, base_distribution: Distribution, transforms: Transform | Sequence[Transform],
                 validate_args: bool | None = None) -> None:
        given = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for t in given:
            if not isinstance(t, Transform):
                raise ValueError_(message("transforms must be a Transform or a list of Transforms",
                                          [("given", f"{t!r:.60}")]))
        self.transforms = given
        base_shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        base_dims = len(base_distribution.event_shape)
        whole = ComposeTransform(given)
        if len(base_shape) < whole.domain.event_dim:
            raise ValueError_(message(f"base_distribution needs to have shape with size at least "
                                      f"{whole.domain.event_dim}, but got {base_shape}."))
        shape = whole.forward_shape(base_shape)
        base = base_distribution.expand(whole.inverse_shape(shape)[:len(base_shape) - base_dims])
        more = whole.domain.event_dim - base_dims
        self.base_dist = Independent(base, more) if more > 0 else base
        dims = max(whole.codomain.event_dim, base_dims + whole.codomain.event_dim - whole.domain.event_dim)
        self.shape_type = base_distribution.shape_type
        super().__init__(shape[:len(shape) - dims], shape[len(shape) - dims:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        new = self._instance(_instance)
        whole = ComposeTransform(self.transforms)
        shape = whole.inverse_shape((*batch_shape, *self._event_shape))
        new.base_dist = self.base_dist.expand(shape[:len(shape) - len(self.base_dist.event_shape)])
        new.transforms = self.transforms
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base has."""
        return self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Constraint:  # type: ignore[override]
        """The last transform's codomain."""
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self._event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            return self._image(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self._image(self.base_dist.rsample(sample_shape))

    def _image(self, x: Array) -> Array:
        for t in self.transforms:
            x = t(x)
        return x

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        dims, found, y = len(self._event_shape), 0.0, value
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            dims += t.domain.event_dim - t.codomain.event_dim
            found = found - sum_last(t.log_abs_det_jacobian(x, y), dims - t.domain.event_dim)
            y = x
        return found + sum_last(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))

    def _turned(self, value: Array) -> Array:
        """Probabilities as they are, or from the other side where the transforms fall."""
        sign: Any = 1
        for t in self.transforms:
            sign = sign * t.sign
        return value if type(sign) is int and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        for t in reversed(self.transforms):
            value = t._inv_call(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Array) -> Array:
        return self._image(self.base_dist.icdf(self._turned(value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LogNormal(TransformedDistribution):
    """What has a normal logarithm."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {"loc": constraints.real, "scale": constraints.positive}
    support: Any = constraints.positive
    base_dist: Normal

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        both = self._with_arrays(loc, scale)
        super().__init__(Normal(*both, validate_args=validate_args), ExpTransform(), validate_args=validate_args)
        self.shape_type = type(self).shape_type

    @property
    def loc(self) -> Array:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Array:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Array:
        return exp(self.loc + self.scale ** 2 / 2)

    @property
    def mode(self) -> Array:
        return exp(self.loc - self.scale ** 2)

    @property
    def variance(self) -> Array:
        square = self.scale ** 2
        return square.expm1() * exp(2 * self.loc + square)

    def entropy(self) -> Array:
        return self.base_dist.entropy() + self.loc


class _LogitRelaxed(Distribution):
    """The logit of a relaxed Bernoulli value."""

    has_rsample = True
    support = constraints.real

    def __init__(self, temperature: Any, logits: Array) -> None:
        self.temperature, self.logits = temperature, logits
        super().__init__(logits.shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return _LogitRelaxed(self.temperature, self.logits.expand(tuple(batch_shape)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        u = clamp_probs(draws.uniform(self._extended_shape(sample_shape), self.logits))
        return (log(u) - log1p(-u) + self.logits) / self.temperature

    def log_prob(self, value: Array) -> Array:
        difference = self.logits - value * self.temperature
        return log(self.temperature + self.logits * 0) + difference - 2 * softplus(difference)


class RelaxedBernoulli(TransformedDistribution, _Binary):
    """Bernoulli made smooth: near 0 or 1 as the temperature is small (Maddison et al. 2017)."""

    support: Any = constraints.unit_interval

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        self._set_chance(probs, logits)
        self.temperature = temperature
        TransformedDistribution.__init__(self, _LogitRelaxed(temperature, self.logits), SigmoidTransform(),
                                         validate_args=validate_args)
        self.shape_type = type(self).shape_type


class RelaxedOneHotCategorical(ClassRows):
    """A class made smooth: near a row with one 1 as the temperature is small (Jang et al. 2017)."""

    has_rsample = True
    support = constraints.simplex

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found.temperature = self.temperature
        return found

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        u = clamp_probs(draws.uniform(self._extended_shape(sample_shape), self.logits))
        return ((self.logits - log(-log(u))) / self.temperature).softmax(-1)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        k, y = self._event_shape[0], log(value)
        temperature = self.temperature + self._param.sum(-1) * 0
        score = self.logits - y * self.temperature
        score = (score - score.logsumexp(-1, keepdims=True)).sum(-1)
        return score + math.lgamma(k) + log(temperature) * (k - 1) - y.sum(-1)


class MixtureSameFamily(Distribution):
    """One of several components, drawn by a `Categorical`, whose batches are the components' last dimension."""

    def __init__(self, mixture_distribution: Categorical, component_distribution: Distribution,
                 validate_args: bool | None = None) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError_(message("The Mixture distribution needs to be an instance of Categorical",
                                      [("given", type(mixture_distribution).__name__)]))
        self.mixture_distribution, self.component_distribution = mixture_distribution, component_distribution
        batch = tuple(component_distribution.batch_shape)
        count = mixture_distribution.logits.shape[-1]
        if not batch or count != batch[-1]:
            raise ValueError_(message(f"`mixture_distribution component` ({count}) does not equal "
                                      f"`component_distribution.batch_shape[-1]` ({batch[-1] if batch else None})"))
        event = tuple(component_distribution.event_shape)
        self._event_dims = len(event)
        self.shape_type = component_distribution.shape_type
        super().__init__(batch[:-1], event, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        count = self.component_distribution.batch_shape[-1]
        return type(self)(self.mixture_distribution.expand(batch_shape),
                          self.component_distribution.expand((*batch_shape, count)), validate_args=False)

    @constraints.dependent_property
    def support(self) -> Constraint:  # type: ignore[override]
        """The components'."""
        found = self.component_distribution.support
        unsure = constraints.is_dependent(found) or isinstance(found, constraints.Bounded)  # bounds of each component
        return constraints.dependent if unsure else found

    @property
    def _weights(self) -> Array:
        probs = self.mixture_distribution.probs
        return probs.reshape((*probs.shape, *(1,) * self._event_dims))

    @property
    def mean(self) -> Array:
        return (self._weights * self.component_distribution.mean).sum(-1 - self._event_dims)

    @property
    def variance(self) -> Array:
        parts, axis = self.component_distribution, -1 - self._event_dims
        apart = parts.mean - (self._weights * parts.mean).sum(axis, keepdims=True)
        return (self._weights * parts.variance).sum(axis) + (self._weights * apart ** 2).sum(axis)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            drawn = self.component_distribution.sample(sample_shape)
            at = chosen.reshape((*chosen.shape, 1, *(1,) * self._event_dims))
            axis = drawn.ndim - 1 - self._event_dims
            at = at.expand((*drawn.shape[:axis], 1, *drawn.shape[axis + 1:]))
            return gather(drawn, axis, at).squeeze(axis)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        each = self.component_distribution.log_prob(value.unsqueeze(value.ndim - self._event_dims))
        return (each + self.mixture_distribution.logits).logsumexp(-1)

    def cdf(self, value: Array) -> Array:
        each = self.component_distribution.cdf(value.unsqueeze(value.ndim - self._event_dims))
        return (each * self.mixture_distribution.probs).sum(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution!r},\n  {self.component_distribution!r})"


__all__ = ["Independent", "LogNormal", "MixtureSameFamily", "RelaxedBernoulli", "RelaxedOneHotCategorical",
           "TransformedDistribution"]

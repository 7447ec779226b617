"""Distributions of whole numbers and classes. Parameters are probabilities or their logits; the other is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from pullback.api.creation import arange, eye
from pullback.api.elementwise import exp, lgamma, log, log1p, sigmoid, where, xlogy
from pullback.api.selecting import gather, one_hot, scatter_add
from pullback.distributions import constraints, draws
from pullback.distributions.constraints import Constraint
from pullback.distributions.distribution import Array, Distribution, ExponentialFamily
from pullback.engine.control import no_grad
from pullback.ir.dtypes import int64
from pullback.util.errors import UnsupportedError, ValueError_, message


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError_(message("Either `probs` or `logits` must be specified, but not both.", [("in", name)]))


def clamp_probs(probs: Array) -> Array:
    """Probabilities kept from 0 and 1 by what their dtype can tell."""
    eps = float(np.finfo(draws.like_numpy(probs)).eps)
    return probs.clip(eps, 1 - eps)


def probs_to_logits(probs: Array, is_binary: bool = False) -> Array:
    """Logits of probabilities."""
    kept = clamp_probs(probs)
    return log(kept) - log1p(-kept) if is_binary else log(kept)


def logits_to_probs(logits: Array, is_binary: bool = False) -> Array:
    """Probabilities of logits."""
    return sigmoid(logits) if is_binary else logits.softmax(-1)


class _Binary(ExponentialFamily):
    """A chance of success, as `probs` or `logits`."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.unit_interval, "logits": constraints.real}

    def _set_chance(self, probs: Any, logits: Any, *others: Any) -> list[Array]:
        _one_of(type(self).__name__, probs, logits)
        *rest, chance = self._with_arrays(*others, logits if probs is None else probs)
        vars(self)["logits" if probs is None else "probs"] = chance
        return rest

    @property
    def _param(self) -> Array:
        given = self.__dict__.get("probs")
        return self.logits if given is None else given

    @cached_property
    def logits(self) -> Array:
        """The logits of the chance."""
        return probs_to_logits(self.probs, is_binary=True)

    @cached_property
    def probs(self) -> Array:
        """The chance."""
        return logits_to_probs(self.logits, is_binary=True)


class Bernoulli(_Binary):
    """1 with a probability, else 0.

    >>> import pullback as pb
    >>> pb.distributions.Bernoulli(0.25).log_prob(pb.tensor(1.0)).exp()
    Tensor(0.25, dtype=float32)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set_chance(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.probs

    @property
    def mode(self) -> Array:
        return where(self.probs == 0.5, math.nan, (self.probs >= 0.5).to(self.probs.dtype))

    @property
    def variance(self) -> Array:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            return draws.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return -_logistic_loss(self.logits, value)

    def entropy(self) -> Array:
        return _logistic_loss(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Array:
        return self._enumerated(_counting(2, self._param), expand)


def _logistic_loss(logits: Array, target: Array) -> Array:
    return logits.clip(0, None) - logits * target + log1p(exp(-logits.abs()))


def _counting(n: int, like: Array) -> Array:
    """0, 1, ..., n - 1 in the array type and dtype of another."""
    return draws.in_kind(arange(n), like)


class Geometric(_Binary):
    """How many failures come before the first success."""

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set_chance(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Array:
        return self.probs * 0

    @property
    def variance(self) -> Array:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            least = float(np.finfo(draws.like_numpy(self.probs)).tiny)
            u = draws.uniform(shape, self.probs).clip(least, None)
            return (log(u) / log1p(-self.probs.expand(shape))).floor()

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        probs = where((self.probs == 1) & (value == 0), 0.0, self.probs)
        return value * log1p(-probs) + log(self.probs)

    def entropy(self) -> Array:
        return _logistic_loss(self.logits, self.probs) / self.probs


class _Counted(_Binary):
    """Successes among trials: `total_count` beside the chance."""

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        (count,) = self._set_chance(probs, logits, total_count)
        self.total_count = count.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)


class Binomial(_Counted):
    """How many of `total_count` trials succeed."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval, "logits": constraints.real}
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Constraint:  # type: ignore[override]
        """0 to the number of trials."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Array:
        return self.total_count * self.probs

    @property
    def mode(self) -> Array:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Array:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            return draws.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return value * logits + ways - n * logits.clip(0, None) - n * log1p(exp(-logits.abs()))

    def entropy(self) -> Array:
        found = self.log_prob(self.enumerate_support(False))
        return -(exp(found) * found).sum(0)

    def enumerate_support(self, expand: bool = True) -> Array:
        counts = np.unique(self.total_count.detach().numpy())
        if len(counts) > 1:
            raise UnsupportedError(message("Inhomogeneous total count not supported by `enumerate_support`.",
                                           [("total_count", f"{counts.tolist()!r:.60}")]))
        return self._enumerated(_counting(int(counts.max(initial=0)) + 1, self._param), expand)


class NegativeBinomial(_Counted):
    """How many successes come before `total_count` failures."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real}
    support = constraints.nonnegative_integer

    @property
    def mean(self) -> Array:
        return self.total_count * exp(self.logits)

    @property
    def mode(self) -> Array:
        return ((self.total_count - 1) * exp(self.logits)).floor().clip(0, None)

    @property
    def variance(self) -> Array:
        return self.mean / sigmoid(-self.logits)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            return draws.poisson(draws.gamma(self.total_count.expand(shape)) * exp(self.logits))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        plain = -_softplus(self.logits) * n - value * _softplus(-self.logits)
        ways = lgamma(n + value) - lgamma(1.0 + value) - lgamma(n)
        return plain + where(n + value == 0, 0.0, ways)


def _softplus(x: Array) -> Array:
    """The logarithm of 1 + exp(x)."""
    return x.clip(0, None) + log1p(exp(-x.abs()))


class Poisson(ExponentialFamily):
    """Poisson with a rate."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = self._with_arrays(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.rate

    @property
    def mode(self) -> Array:
        return self.rate.floor()

    @property
    def variance(self) -> Array:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            return draws.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)


class Categorical(Distribution):
    """A class, by probabilities or logits along the last dimension.

    >>> import pullback as pb
    >>> policy = pb.distributions.Categorical(logits=pb.zeros(4))
    >>> policy.entropy()
    Tensor(1.3862944, dtype=float32)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of("Categorical", probs, logits)
        given = logits if probs is None else probs
        if not getattr(given, "ndim", 0):
            raise ValueError_(message(f"`{'logits' if probs is None else 'probs'}` parameter must be at least "
                                      "one-dimensional.", [("given", f"{given!r:.60}")]))
        if probs is not None:
            self.probs = given / given.sum(-1, keepdims=True)
        else:
            self.logits = given - given.logsumexp(-1, keepdims=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found._num_events = self._num_events
        return found

    @cached_property
    def logits(self) -> Array:
        """The logarithms of the probabilities."""
        return probs_to_logits(self.probs)

    @cached_property
    def probs(self) -> Array:
        """The probabilities, which sum to 1."""
        return logits_to_probs(self.logits)

    @property
    def _param(self) -> Array:
        given = self.__dict__.get("probs")
        return self.logits if given is None else given

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._param.shape

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Constraint:  # type: ignore[override]
        """0 to the number of classes, less one."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Array:
        return self._param.sum(-1) * math.nan

    @property
    def variance(self) -> Array:
        return self._param.sum(-1) * math.nan

    @property
    def mode(self) -> Array:
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            count = prod(sample_shape)
            drawn = draws.multinomial(self.probs.reshape((-1, self._num_events)), count)
            return drawn.T.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        at = value.to(int64) if not value.info.type.dtype.is_integer else value
        lead = np.broadcast_shapes(tuple(at.shape), self._batch_shape)
        return gather(self.logits.expand((*lead, self._num_events)), -1, at.expand(lead)[..., None])[..., 0]

    def entropy(self) -> Array:
        least = float(np.finfo(draws.like_numpy(self._param)).min)
        return -(self.logits.clip(least, None) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Array:
        numbers = arange(self._num_events)
        return self._enumerated(self._param.result_class(numbers._use()).to(int64), expand)


class ClassRows(Distribution):
    """A class as a row, by probabilities or logits along the last dimension."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits)
        param = self._categorical._param
        super().__init__(param.shape[:-1], param.shape[-1:], validate_args=validate_args)

    def _parameters(self) -> list[str]:
        return self._categorical._parameters()

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        new = self._instance(_instance)
        new._categorical = self._categorical.expand(batch_shape)
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def probs(self) -> Array:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Array:
        """The logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def _param(self) -> Array:
        return self._categorical._param

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._param.shape


class OneHotCategorical(ClassRows):
    """A class as a row with a 1 in its place."""

    support = constraints.one_hot
    has_enumerate_support = True

    @property
    def mean(self) -> Array:
        return self.probs

    @property
    def mode(self) -> Array:
        return self._rows(self.probs.argmax(-1))

    @property
    def variance(self) -> Array:
        return self.probs * (1 - self.probs)

    def _rows(self, classes: Array) -> Array:
        return draws.in_kind(one_hot(classes, self._event_shape[0]), self._param)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            return self._rows(self._categorical.sample(sample_shape))

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Array:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Array:
        n = self._event_shape[0]
        found = draws.in_kind(eye(n), self._param).reshape((n,) + (1,) * len(self._batch_shape) + (n,))
        return found.expand((n, *self._batch_shape, n)) if expand else found


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, where gradients pass a sample as if it were the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(ClassRows):
    """How often each class comes in `total_count` draws."""

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        if not isinstance(total_count, int):
            raise UnsupportedError(message("inhomogeneous total_count is not supported",
                                           [("total_count", f"{total_count!r:.60}")]))
        self.total_count = total_count
        super().__init__(probs, logits, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found.total_count = self.total_count
        return found

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Constraint:  # type: ignore[override]
        """Counts up to the number of draws."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Array:
        return self.probs * self.total_count

    @property
    def variance(self) -> Array:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        with no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape)).moveaxis(0, -1)
            shape = self._extended_shape(sample_shape)
            like = self._categorical._param
            zeros = draws.in_kind(like.detach() * 0, like).expand(shape)
            return scatter_add(zeros, -1, drawn, zeros.sum(-1, keepdims=True).expand(drawn.shape) + 1)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        logits = self.logits
        impossible = (value == 0) & (logits == -math.inf)
        powers = (where(impossible, 0.0, logits) * value).sum(-1)
        return lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + powers

    def entropy(self) -> Array:
        n = self.total_count
        each = Binomial(n, self.probs, validate_args=False)
        counts = each.enumerate_support(False)[1:]
        rest = (exp(each.log_prob(counts)) * lgamma(counts + 1)).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + rest


__all__ = ["Bernoulli", "Binomial", "Categorical", "Geometric", "Multinomial", "NegativeBinomial", "OneHotCategorical",
           "OneHotCategoricalStraightThrough", "Poisson", "clamp_probs", "logits_to_probs", "probs_to_logits"]

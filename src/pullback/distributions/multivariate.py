"""Distributions of vectors: Dirichlet, its pairs (Beta), and the normal one with a covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from pullback.api import decompositions
from pullback.api.creation import eye
from pullback.api.elementwise import digamma, lgamma, log, where, xlogy
from pullback.api.manipulation import broadcast_shapes, stack
from pullback.distributions import constraints, draws
from pullback.distributions.constraints import Constraint
from pullback.distributions.continuous import moving_gamma
from pullback.distributions.distribution import Array, Distribution, ExponentialFamily
from pullback.util.errors import ShapeError, ValueError_, message


class Dirichlet(ExponentialFamily):
    """Dirichlet: rows that sum to 1, by `concentration` along the last dimension."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if not getattr(concentration, "ndim", 0):
            raise ValueError_(message("`concentration` parameter must be at least one-dimensional.",
                                      [("concentration", f"{concentration!r:.60}")]))
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return self.concentration / self.concentration.sum(-1, keepdims=True)

    @property
    def mode(self) -> Array:
        less = (self.concentration - 1).clip(0, None)
        total = less.sum(-1, keepdims=True)
        first = np.eye(1, less.shape[-1], dtype=draws.like_numpy(less))[0]  # where no mode is inside, as PyTorch has it
        return where((self.concentration < 1).all(-1, keepdims=True), first, less / total)

    @property
    def variance(self) -> Array:
        total = self.concentration.sum(-1, keepdims=True)
        return self.concentration * (total - self.concentration) / (total ** 2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        alpha = self.concentration.expand(self._extended_shape(sample_shape))
        parts = moving_gamma(alpha.double())
        least = float(np.finfo(draws.like_numpy(alpha)).tiny)
        most = float(np.nextafter(np.ones((), draws.like_numpy(alpha)), 0, dtype=draws.like_numpy(alpha)))
        return (parts / parts.sum(-1, keepdims=True)).to(alpha.dtype).clip(least, most)

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        alpha = self.concentration
        return xlogy(alpha - 1, value).sum(-1) + lgamma(alpha.sum(-1)) - lgamma(alpha).sum(-1)

    def entropy(self) -> Array:
        alpha, k = self.concentration, self.concentration.shape[-1]
        total = alpha.sum(-1)
        return lgamma(alpha).sum(-1) - lgamma(total) - (k - total) * digamma(total) - (
            (alpha - 1) * digamma(alpha)).sum(-1)


class Beta(ExponentialFamily):
    """Beta of `concentration1` and `concentration0`."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        both = self._with_arrays(concentration1, concentration0)
        self._dirichlet = Dirichlet(stack(both, -1), validate_args=False)
        super().__init__(both[0].shape, validate_args=validate_args)

    def _parameters(self) -> list[str]:
        return ["concentration1", "concentration0"]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        new = self._instance(_instance)
        new._dirichlet = self._dirichlet.expand(batch_shape)
        Distribution.__init__(new, batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def concentration1(self) -> Array:
        """The weight of 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Array:
        """The weight of 0."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Array:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Array:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Array:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total ** 2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self) -> Array:
        return self._dirichlet.entropy()


class MultivariateNormal(Distribution):
    """Normal with a covariance: given as `covariance_matrix`, `precision_matrix` or the factor `scale_tril`."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector

    def __init__(self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None) -> None:
        given = {"covariance_matrix": covariance_matrix, "scale_tril": scale_tril, "precision_matrix": precision_matrix}
        known = {name: x for name, x in given.items() if x is not None}
        if not getattr(loc, "ndim", 0):
            raise ValueError_(message("loc must be at least one-dimensional.", [("loc", f"{loc!r:.60}")]))
        if len(known) != 1:
            raise ValueError_(message("Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                                      "specified.", [("given", ", ".join(known) or "none")]))
        ((name, matrix),) = known.items()
        if matrix.ndim < 2:
            raise ValueError_(message(f"{name} must be at least two-dimensional, with optional leading batch "
                                      "dimensions", [(name, str(tuple(matrix.shape)))]))
        n = loc.shape[-1]
        if tuple(matrix.shape[-2:]) != (n, n):
            raise ShapeError(message(f"{name} must have the size of loc", [
                ("loc", str(tuple(loc.shape))), (name, str(tuple(matrix.shape)))]))
        batch = broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        vars(self)[name] = matrix.expand((*batch, n, n))
        self.loc = loc.expand((*batch, n))
        super().__init__(batch, (n,), validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)

    def _factor(self, name: str, matrix: Array) -> Array:
        if name == "scale_tril":
            return matrix
        if name == "covariance_matrix":
            return decompositions.cholesky(matrix)
        return _factor_of_inverse(matrix)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        found = super().expand(batch_shape, _instance)
        found._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return found

    @cached_property
    def scale_tril(self) -> Array:
        """The lower triangular factor of the covariance."""
        n = self._event_shape[0]
        return self._unbroadcasted_scale_tril.expand((*self._batch_shape, n, n))

    @cached_property
    def covariance_matrix(self) -> Array:
        """The covariance."""
        factor, n = self._unbroadcasted_scale_tril, self._event_shape[0]
        return (factor @ factor.mT).expand((*self._batch_shape, n, n))

    @cached_property
    def precision_matrix(self) -> Array:
        """The inverse of the covariance."""
        n = self._event_shape[0]
        return decompositions.cholesky_inverse(self._unbroadcasted_scale_tril).expand((*self._batch_shape, n, n))

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def mode(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        return (self._unbroadcasted_scale_tril ** 2).sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        eps = draws.normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ eps[..., None])[..., 0]

    def log_prob(self, value: Array) -> Array:
        if self._validate_args:
            self._validate_sample(value)
        square = squared_length(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + square) - self._half_log_det()

    def _half_log_det(self) -> Array:
        return log(self._unbroadcasted_scale_tril.diagonal(0, -2, -1)).sum(-1)

    def entropy(self) -> Array:
        found = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return found.expand(self._batch_shape)


def squared_length(factor: Array, x: Array) -> Array:
    """The squared length of vectors in the metric of a covariance, from its factor."""
    batch = broadcast_shapes(tuple(factor.shape[:-2]), tuple(x.shape[:-1]))
    n = x.shape[-1]
    solved = decompositions.solve_triangular(factor.expand((*batch, n, n)), x.expand((*batch, n))[..., None],
                                             upper=False)
    return (solved[..., 0] ** 2).sum(-1)


def _factor_of_inverse(precision: Array) -> Array:
    """The lower factor of the inverse of a matrix, by the factor of the matrix turned about."""
    turned = decompositions.cholesky(precision.flip((-2, -1))).flip((-2, -1)).mT
    identity = precision.result_class(eye(precision.shape[-1], dtype=precision.info.type.dtype)._use())
    return decompositions.solve_triangular(turned, identity.expand(precision.shape), upper=False)


__all__ = ["Beta", "Dirichlet", "MultivariateNormal", "squared_length"]

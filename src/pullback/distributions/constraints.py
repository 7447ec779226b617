"""What parameters and values of distributions must satisfy. A check takes tensors and NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any


class Constraint:
    """A set of values. `event_dim` is how many dimensions of an array one value has."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Array) -> Array:
        """Whether each value is in the set."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class Bounded(Constraint):
    """A set with bounds, which its text names."""

    bounds: tuple[str, ...] = ()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={_text(getattr(self, name))}" for name in self.bounds)
        return f"{type(self).__name__.lstrip('_')}({given})"


def _text(bound: Any) -> str:
    return str(bound)


class _Dependent(Constraint):
    """What depends on other parameters, and is not checked."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool | None = None, event_dim: int | None = None) -> _Dependent:
        return _Dependent(is_discrete=self.is_discrete if is_discrete is None else is_discrete,
                          event_dim=self.event_dim if event_dim is None else event_dim)

    def check(self, value: Array) -> Array:
        """Not known."""
        raise ValueError("Cannot determine validity of dependent constraint")


class _DependentProperty(property, _Dependent):
    """A constraint that an instance computes from its parameters."""

    def __init__(self, function: Callable[[Any], Any] | None = None, *, is_discrete: bool = False,
                 event_dim: int = 0) -> None:
        super().__init__(function)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, function: Callable[[Any], Any]) -> _DependentProperty:  # type: ignore[override]
        return _DependentProperty(function, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Array) -> Array:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Array) -> Array:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _IntegerInterval(Bounded):
    is_discrete = True
    bounds = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Array) -> Array:
        return (value % 1 == 0) & (value >= _as(self.lower_bound, value)) & (value <= _as(self.upper_bound, value))


class _IntegerGreaterThan(Bounded):
    is_discrete = True
    bounds = ("lower_bound",)

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Array) -> Array:
        return (value % 1 == 0) & (value >= _as(self.lower_bound, value))


class _IntegerLessThan(Bounded):
    is_discrete = True
    bounds = ("upper_bound",)

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Array) -> Array:
        return (value % 1 == 0) & (value <= _as(self.upper_bound, value))


class _Real(Constraint):
    def check(self, value: Array) -> Array:
        return value == value  # not NaN


class _GreaterThan(Bounded):
    bounds = ("lower_bound",)

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Array) -> Array:
        return value > _as(self.lower_bound, value)


class _GreaterThanEq(_GreaterThan):
    def check(self, value: Array) -> Array:
        return value >= _as(self.lower_bound, value)


class _LessThan(Bounded):
    bounds = ("upper_bound",)

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Array) -> Array:
        return value < _as(self.upper_bound, value)


class _Interval(Bounded):
    bounds = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Array) -> Array:
        return (value >= _as(self.lower_bound, value)) & (value <= _as(self.upper_bound, value))


class _HalfOpenInterval(_Interval):
    def check(self, value: Array) -> Array:
        return (value >= _as(self.lower_bound, value)) & (value < _as(self.upper_bound, value))


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Array) -> Array:
        return (value >= 0).all(-1) & (abs(value.sum(-1) - 1) < 1e-6)


class _Multinomial(Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Array) -> Array:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _Matrix(Constraint):
    """Of matrices, checked on the host."""

    event_dim = 2

    def check(self, value: Array) -> Array:
        host = np.asarray(value if isinstance(value, np.ndarray) else value.detach().numpy())
        found = self.holds(host.astype(np.float64))
        return found if isinstance(value, np.ndarray) else value.new_tensor(found)

    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        """Whether each matrix is in the set."""
        raise NotImplementedError


class _LowerTriangular(_Matrix):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        return (np.tril(x) == x).all((-2, -1))


class _LowerCholesky(_LowerTriangular):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        return super().holds(x) & (np.diagonal(x, 0, -2, -1) > 0).all(-1)


class _Square(_Matrix):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        return np.full(x.shape[:-2], x.shape[-1] == x.shape[-2])


class _Symmetric(_Square):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        return super().holds(x) & np.isclose(x, x.swapaxes(-2, -1), atol=1e-6).all((-2, -1))


class _PositiveSemidefinite(_Symmetric):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        same = super().holds(x)
        return same & (np.linalg.eigvalsh(x) >= 0).all(-1) if np.all(same) else same


class _PositiveDefinite(_Symmetric):
    def holds(self, x: np.ndarray[Any, Any]) -> Any:
        same = super().holds(x)
        return same & (np.linalg.eigvalsh(x) > 0).all(-1) if np.all(same) else same


class _IndependentConstraint(Constraint):
    """A constraint whose last dimensions are of one value."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Array) -> Array:
        found = self.base_constraint.check(value)
        for _ in range(self.reinterpreted_batch_ndims):
            found = found.all(-1)
        return found

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Stacked(Constraint):
    """Constraints of the slices along a dimension."""

    def __init__(self, constraints: Sequence[Constraint], dim: int = 0) -> None:
        self.constraints, self.dim = list(constraints), dim
        self.event_dim = max(c.event_dim for c in self.constraints)

    def check(self, value: Array) -> Array:
        found = [c.check(value[(slice(None),) * (self.dim % value.ndim) + (k,)])
                 for k, c in enumerate(self.constraints)]
        return np.stack([np.asarray(x) for x in found], self.dim)


def _as(bound: Any, value: Array) -> Any:
    """A bound beside a NumPy array, where it is a tensor."""
    return bound if isinstance(bound, (int, float)) or not isinstance(value, np.ndarray) else bound.detach().numpy()


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on parameters."""
    return isinstance(constraint, _Dependent)


dependent = _Dependent()
dependent_property = _DependentProperty
boolean, one_hot = _Boolean(), _OneHot()
integer_interval, integer_greater_than, integer_less_than = _IntegerInterval, _IntegerGreaterThan, _IntegerLessThan
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
real = _Real()
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
interval, half_open_interval = _Interval, _HalfOpenInterval
positive, nonnegative, unit_interval = _GreaterThan(0.0), _GreaterThanEq(0.0), _Interval(0.0, 1.0)
simplex, multinomial, independent, stack = _Simplex(), _Multinomial, _IndependentConstraint, _Stacked
lower_triangular, lower_cholesky, square = _LowerTriangular(), _LowerCholesky(), _Square()
symmetric, positive_semidefinite, positive_definite = _Symmetric(), _PositiveSemidefinite(), _PositiveDefinite()
real_vector = _IndependentConstraint(real, 1)

__all__ = [
    "Constraint", "boolean", "dependent", "dependent_property", "greater_than", "greater_than_eq", "half_open_interval",
    "independent", "integer_greater_than", "integer_interval", "integer_less_than", "interval", "is_dependent",
    "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative", "nonnegative_integer", "one_hot",
    "positive", "positive_definite", "positive_integer", "positive_semidefinite", "real", "real_vector", "simplex",
    "square", "stack", "symmetric", "unit_interval"]

"""The base of distributions: shapes, checks of parameters and values, and what follows from `log_prob` and samples.

Dimensions of samples are sample_shape + batch_shape + event_shape: independent draws, independent parameters, and one
value's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from pullback.api.manipulation import broadcast_arrays
from pullback.distributions import constraints
from pullback.distributions.constraints import Constraint
from pullback.engine.control import no_grad
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import local
from pullback.ir.dtypes import float32
from pullback.util.errors import UnsupportedError, ValueError_, message

Array = Any
Shape = tuple[int, ...]


class Distribution:
    """Base of distributions: `sample`, `rsample` (with gradients, where there is a formula), `log_prob`, `entropy`, ...

    Subclasses name their parameters' constraints in `arg_constraints`, hand the shapes to `__init__`, and define what
    they can.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support: Any = None
    #: the array type that numbers become, and the class of shapes
    array_type: ClassVar[Any] = None
    shape_type: Any = tuple
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked where the distribution is not told."""
        if value not in (True, False):
            raise ValueError_(message("set_default_validate_args: True or False", [("value", repr(value))]))
        Distribution._validate_args = value

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (),
                 validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                given = isinstance(getattr(type(self), name, None), cached_property) and name not in self.__dict__
                if not constraints.is_dependent(constraint) and not given:
                    self._check_parameter(name, constraint)

    def _check_parameter(self, name: str, constraint: Constraint) -> None:
        value = getattr(self, name)
        if not satisfied(constraint, value):
            raise ValueError_(
                f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}")

    def _with_arrays(self, *given: Any) -> list[Array]:
        """Numbers and tensors as tensors of one shape and dtype."""
        tensors = [x for x in given if isinstance(x, TensorBase)]
        for x in given:
            if not isinstance(x, (TensorBase, int, float, np.number)):
                raise ValueError_(message(f"{type(self).__name__}: Input arguments must all be numbers or tensors",
                                          [("given", f"{type(x).__name__} {x!r:.60}")]))
        kind = next((t.info.type.dtype for t in tensors if t.info.type.dtype.is_inexact), float32)
        cls = tensors[0].result_class if tensors else self.array_type
        found = [x if isinstance(x, TensorBase) and x.info.type.dtype.is_inexact else from_host(x, kind, cls)
                 for x in given]
        return list(broadcast_arrays(*found))

    # -- shapes ------------------------------------------------------------------------------------------------------
    @property
    def batch_shape(self) -> Any:
        """The shape of the parameters."""
        return self.shape_type(self._batch_shape)

    @property
    def event_shape(self) -> Any:
        """The shape of one value."""
        return self.shape_type(self._event_shape)

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Any:
        shape = tuple(sample_shape) if isinstance(sample_shape, Sequence) else (sample_shape,)
        return self.shape_type((*shape, *self._batch_shape, *self._event_shape))

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with parameters repeated to a larger batch shape."""
        new = self._instance(_instance)
        shape = tuple(batch_shape)
        for name in self._parameters():
            own = getattr(self, name)
            rest = own.shape[len(own.shape) - self._own_dims(name):]
            vars(new)[name] = own.expand((*shape, *rest))
        Distribution.__init__(new, shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _own_dims(self, name: str) -> int:
        """How many dimensions of a parameter are not the batch's."""
        constraint = self.arg_constraints.get(name)
        return constraint.event_dim if constraint is not None else 0

    def _parameters(self) -> list[str]:
        """The parameters that are there."""
        return [name for name in self.arg_constraints if name in self.__dict__]

    def _instance(self, instance: Any = None) -> Any:
        """A distribution of this class whose parameters are to be set."""
        if instance is not None:
            return instance
        found = type(self).__new__(type(self))
        found.shape_type = self.shape_type
        return found

    # -- moments -----------------------------------------------------------------------------------------------------
    @property
    def mean(self) -> Array:
        """The mean."""
        raise self._lacks("mean")

    @property
    def mode(self) -> Array:
        """The most likely value."""
        raise self._lacks("mode")

    @property
    def variance(self) -> Array:
        """The variance."""
        raise self._lacks("variance")

    @property
    def stddev(self) -> Array:
        """The standard deviation."""
        return self.variance.sqrt()

    # -- samples -----------------------------------------------------------------------------------------------------
    def sample(self, sample_shape: Sequence[int] = ()) -> Array:
        """Values drawn, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Array:
        """Values drawn, which move with the parameters: gradients pass."""
        raise self._lacks("rsample")

    def sample_n(self, n: int) -> Array:
        """n values drawn."""
        return self.sample((n,))

    # -- probabilities -----------------------------------------------------------------------------------------------
    def log_prob(self, value: Array) -> Array:
        """The logarithm of the density, or of the probability, of values."""
        raise self._lacks("log_prob")

    def cdf(self, value: Array) -> Array:
        """The probability of values up to this."""
        raise self._lacks("cdf")

    def icdf(self, value: Array) -> Array:
        """The value up to which there is this probability."""
        raise self._lacks("icdf")

    def entropy(self) -> Array:
        """The entropy, in nats."""
        raise self._lacks("entropy")

    def perplexity(self) -> Array:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Array:
        """All values, along a first dimension."""
        raise self._lacks("enumerate_support")

    def _enumerated(self, values: Array, expand: bool) -> Array:
        """Values of one number along a first dimension, repeated for each batch if wanted."""
        found = values.reshape((-1,) + (1,) * len(self._batch_shape))
        return found.expand((-1, *self._batch_shape)) if expand else found

    def _lacks(self, what: str) -> UnsupportedError:
        return UnsupportedError(message(f"{type(self).__name__} has no {what}",
                                        help="there is no formula for it here"))

    def _validate_sample(self, value: Any) -> None:
        """Refuse values of other shapes, or outside of the support."""
        if not isinstance(value, TensorBase):
            raise ValueError_(message("The value argument to log_prob must be a Tensor",
                                      [("value", f"{type(value).__name__} {value!r:.60}")]))
        shape, own = tuple(value.shape), len(self._event_shape)
        if own and shape[len(shape) - own:] != self._event_shape:
            raise ValueError_(message("The right-most size of value must match event_shape: "
                                      f"{shape} vs {self._event_shape}."))
        wanted = (*self._batch_shape, *self._event_shape)
        for i, j in zip(reversed(shape), reversed(wanted), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError_(message(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs "
                                          f"{wanted}."))
        support = self.support
        if support is not None and not constraints.is_dependent(support) and not satisfied(support, value):
            raise ValueError_(f"Expected value argument ({type(value).__name__} of shape {shape}) to be within the "
                              f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}")

    def __repr__(self) -> str:
        shown = [f"{k}: {getattr(self, k) if not prod(getattr(self, k).shape) > 1 else getattr(self, k).shape}"
                 for k in self._parameters()]
        return f"{type(self).__name__}({', '.join(shown)})"


class ExponentialFamily(Distribution):
    """Distributions whose density is the exponential of a product of parameters and statistics."""


def satisfied(constraint: Constraint, value: Array) -> bool:
    """Whether all values satisfy a constraint; True while a function is traced, whose values are not looked at."""
    return local.trace.kind != "main" or bool(np.all(constraint.check(value.detach().numpy())))


__all__ = ["Distribution", "ExponentialFamily", "satisfied"]

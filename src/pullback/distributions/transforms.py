"""Invertible functions of random values, and the logarithms of the sizes of their derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api.elementwise import exp, log, log1p, maximum, sigmoid, sign, tanh
from pullback.api.manipulation import concat
from pullback.api.tensor import Tensor
from pullback.distributions import constraints, draws
from pullback.distributions.constraints import Constraint
from pullback.util.errors import ShapeError, UnsupportedError, ValueError_, message

Array = Any


class Transform:
    """A function from a domain onto a codomain: define `_call`, `_inverse`, `log_abs_det_jacobian`.

    `cache_size` 1 remembers the last value and its image, so that the inverse of what was just made is exact.
    """

    bijective = False
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign_: int | None = None

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError_(message("cache_size must be 0 or 1", [("cache_size", repr(cache_size))]))
        self._cache_size = cache_size
        self._cached: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> int:
        """How many dimensions one value has, before and after."""
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError_(message("Please use either .domain.event_dim or .codomain.event_dim"))
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    @property
    def sign(self) -> int:
        """1 where the function rises, -1 where it falls."""
        if self.sign_ is None:
            raise UnsupportedError(message(f"{type(self).__name__} has no sign", help="it neither rises nor falls"))
        return self.sign_

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The same with another cache."""
        if self._cache_size == cache_size:
            return self
        found = type(self).__new__(type(self))
        found.__dict__.update(self.__dict__)
        found._cache_size, found._cached = cache_size, (None, None)
        return found

    def __call__(self, x: Array) -> Array:
        if not self._cache_size:
            return self._call(x)
        if self._cached[0] is not x:
            self._cached = (x, self._call(x))
        return self._cached[1]

    def _inv_call(self, y: Array) -> Array:
        if not self._cache_size:
            return self._inverse(y)
        if self._cached[1] is not y:
            self._cached = (self._inverse(y), y)
        return self._cached[0]

    def _call(self, x: Array) -> Array:
        raise NotImplementedError

    def _inverse(self, y: Array) -> Array:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        """log |dy/dx|, given both."""
        raise NotImplementedError

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the image of an array."""
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what has an image of a shape."""
        return tuple(shape)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._same(other))

    def _same(self, other: Any) -> bool:
        return not {k for k in self.__dict__ if not k.startswith("_cache")}

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _Inverse(Transform):
    """A transform the other way round."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(transform._cache_size)
        self._transform = transform
        self.bijective = transform.bijective

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        """The other's codomain."""
        return self._transform.codomain

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        """The other's domain."""
        return self._transform.domain

    @property
    def inv(self) -> Transform:
        return self._transform

    @property
    def sign(self) -> int:
        return self._transform.sign

    def with_cache(self, cache_size: int = 1) -> Transform:
        return _Inverse(self._transform.with_cache(cache_size))

    def __call__(self, x: Array) -> Array:
        return self._transform._inv_call(x)

    def _inv_call(self, y: Array) -> Array:
        return self._transform(y)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return -self._transform.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._transform.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._transform.forward_shape(shape)

    def _same(self, other: Any) -> bool:
        return self._transform == other._transform

    def __repr__(self) -> str:
        return f"_InverseTransform({self._transform!r})"


class ComposeTransform(Transform):
    """Transforms one after another."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(p.bijective for p in self.parts)

    def _dims(self, last: bool) -> int:
        """The dimensions of one value at an end: what the parts need, carried to there."""
        parts = self.parts if last else self.parts[::-1]
        if not parts:
            return 0
        dims = (parts[0].domain if last else parts[0].codomain).event_dim
        for p in parts:
            before, after = (p.domain, p.codomain) if last else (p.codomain, p.domain)
            dims = max(dims + after.event_dim - before.event_dim, after.event_dim)
        return dims

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        """The first one's."""
        return _at_least(self.parts[0].domain if self.parts else constraints.real, self._dims(False))

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        """The last one's."""
        return _at_least(self.parts[-1].codomain if self.parts else constraints.real, self._dims(True))

    @property
    def sign(self) -> int:
        return math.prod(p.sign for p in self.parts)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Array) -> Array:
        for p in self.parts:
            x = p(x)
        return x

    @property
    def inv(self) -> Transform:
        return ComposeTransform([p.inv for p in reversed(self.parts)])

    def _inv_call(self, y: Array) -> Array:
        for p in reversed(self.parts):
            y = p._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        if not self.parts:
            return x * 0
        values = [x]
        for p in self.parts[:-1]:
            values.append(p(values[-1]))
        values.append(y)
        dims, total = self.domain.event_dim, None
        for p, before, after in zip(self.parts, values[:-1], values[1:], strict=True):
            term = sum_last(p.log_abs_det_jacobian(before, after), dims - p.domain.event_dim)
            total = term if total is None else total + term
            dims += p.codomain.event_dim - p.domain.event_dim
        return total

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for p in self.parts:
            shape = p.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for p in reversed(self.parts):
            shape = p.inverse_shape(shape)
        return tuple(shape)

    def _same(self, other: Any) -> bool:
        return self.parts == other.parts

    def __repr__(self) -> str:
        return "ComposeTransform(\n    " + ",\n    ".join(map(repr, self.parts)) + "\n)"


def _at_least(constraint: Constraint, dims: int) -> Constraint:
    more = dims - constraint.event_dim
    return constraints.independent(constraint, more) if more > 0 else constraint


def sum_last(x: Array, dims: int) -> Array:
    """Sums over the last dimensions."""
    return x.sum(tuple(range(-dims, 0))) if dims else x


class IndependentTransform(Transform):
    """A transform whose last dimensions are of one value."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.base_transform, self.reinterpreted_batch_ndims = base_transform, reinterpreted_batch_ndims
        self.bijective = base_transform.bijective
        self.domain = constraints.independent(base_transform.domain, reinterpreted_batch_ndims)
        self.codomain = constraints.independent(base_transform.codomain, reinterpreted_batch_ndims)

    @property
    def sign(self) -> int:
        return self.base_transform.sign

    def _call(self, x: Array) -> Array:
        return self.base_transform(x)

    def _inverse(self, y: Array) -> Array:
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return sum_last(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """Other shapes of one value."""

    bijective = True

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ShapeError(message("in_shape, out_shape have different numbers of elements",
                                     [("in_shape", str(self.in_shape)), ("out_shape", str(self.out_shape))]))
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Array) -> Array:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Array) -> Array:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return sum_last(x * 0, len(self.in_shape))

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:len(shape) - len(self.in_shape)], *self.out_shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:len(shape) - len(self.out_shape)], *self.in_shape)


class ExpTransform(Transform):
    """exp(x)"""

    codomain, bijective, sign_ = constraints.positive, True, 1

    def _call(self, x: Array) -> Array:
        return exp(x)

    def _inverse(self, y: Array) -> Array:
        return log(y)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return x


class PowerTransform(Transform):
    """x ** exponent, of positive x"""

    domain, codomain, bijective = constraints.positive, constraints.positive, True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self) -> int:
        return 1 if float(np.min(np.asarray(self.exponent))) > 0 else -1

    def _call(self, x: Array) -> Array:
        return x ** self.exponent

    def _inverse(self, y: Array) -> Array:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return log(abs(self.exponent * y / x))

    def _same(self, other: Any) -> bool:
        return _equal(self.exponent, other.exponent)


def _equal(x: Any, y: Any) -> bool:
    return x is y or bool(np.array_equal(*(v.detach().numpy() if isinstance(v, Tensor) else v for v in (x, y))))


class SoftplusTransform(Transform):
    """log(1 + exp(x))"""

    codomain, bijective, sign_ = constraints.positive, True, 1

    def _call(self, x: Array) -> Array:
        return softplus(x)

    def _inverse(self, y: Array) -> Array:
        return log(-(exp(-y) - 1)) + y

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return -softplus(-x)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), which neither overflows nor loses small values."""
    return maximum(x, x * 0) + log1p(exp(-x.abs()))


class SigmoidTransform(Transform):
    """The logistic function."""

    codomain, bijective, sign_ = constraints.unit_interval, True, 1

    def _call(self, x: Array) -> Array:
        limits = np.finfo(draws.like_numpy(x))
        return sigmoid(x).clip(float(limits.tiny), float(1 - limits.eps))

    def _inverse(self, y: Array) -> Array:
        limits = np.finfo(draws.like_numpy(y))
        y = y.clip(float(limits.tiny), float(1 - limits.eps))
        return log(y) - log1p(-y)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return -softplus(-x) - softplus(x)


class TanhTransform(Transform):
    """tanh(x). Near 1 its inverse is exact only with `cache_size=1`."""

    codomain, bijective, sign_ = constraints.interval(-1.0, 1.0), True, 1

    def _call(self, x: Array) -> Array:
        return tanh(x)

    def _inverse(self, y: Array) -> Array:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class AbsTransform(Transform):
    """|x|, whose inverse is the positive one."""

    codomain = constraints.nonnegative

    def _call(self, x: Array) -> Array:
        return x.abs()

    def _inverse(self, y: Array) -> Array:
        return y


class AffineTransform(Transform):
    """loc + scale * x"""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.domain = self.codomain = _at_least(constraints.real, event_dim)

    @property
    def sign(self) -> Any:  # type: ignore[override]
        return sign(self.scale) if isinstance(self.scale, Tensor) else int(np.sign(self.scale))

    def _call(self, x: Array) -> Array:
        return self.loc + self.scale * x

    def _inverse(self, y: Array) -> Array:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        size = log(abs(self.scale)) if isinstance(self.scale, Tensor) else math.log(abs(self.scale))
        return sum_last(x * 0 + size, self.domain.event_dim)

    def _same(self, other: Any) -> bool:
        return _equal(self.loc, other.loc) and _equal(self.scale, other.scale)


class SoftmaxTransform(Transform):
    """softmax along the last dimension, which forgets a constant."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Array) -> Array:
        return x.softmax(-1)

    def _inverse(self, y: Array) -> Array:
        return log(y)


class StickBreakingTransform(Transform):
    """Vectors to rows that sum to 1, with one element more: shares of what is left."""

    domain, codomain, bijective = constraints.real_vector, constraints.simplex, True

    def _moved(self, x: Array, sign: int) -> Array:
        """x less, or more, the logarithms of how many elements are left."""
        return x + sign * np.log(np.arange(x.shape[-1], 0, -1)).astype(draws.like_numpy(x))

    def _call(self, x: Array) -> Array:
        z = sigmoid(self._moved(x, -1))
        left = (1 - z).cumprod(-1)
        first = left[..., :1] * 0
        return concat([z, first + 1], -1) * concat([first + 1, left], -1)

    def _inverse(self, y: Array) -> Array:
        kept = y[..., :-1]
        least = float(np.finfo(draws.like_numpy(y)).tiny)
        return self._moved(log(kept) - log((1 - kept.cumsum(-1)).clip(least, None)), 1)

    def log_abs_det_jacobian(self, x: Array, y: Array) -> Array:
        return (log(y[..., :-1]) - softplus(self._moved(x, -1))).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


identity_transform = ComposeTransform([])

__all__ = ["AbsTransform", "AffineTransform", "ComposeTransform", "ExpTransform", "IndependentTransform",
           "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform",
           "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform"]

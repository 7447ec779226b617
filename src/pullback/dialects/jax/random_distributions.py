"""`jax.random`: the samplers of distributions with parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api import distributions
from pullback.dialects.jax import array as border
from pullback.dialects.jax import random
from pullback.dialects.jax.array import default_int, lift, lower, wanted
from pullback.engine.tensor import TensorBase
from pullback.util.errors import ArgumentError, StructureError, ValueError_, message


def _integers(dtype: Any, name: str) -> Any:
    kind = default_int() if dtype in (None, int) else wanted(dtype, name)
    if kind is None or not kind.is_integer:
        raise StructureError(message(f"dtype argument to `{name}` must be an integer dtype", [("dtype", repr(dtype))]))
    return kind


def _numbers(dtype: Any, name: str) -> Any:
    return default_int() if dtype in (None, int) else wanted(dtype, name)


def _sampler(name: str, parameters: int, kind: Callable[[Any, str], Any] = random._float_dtype, shape: Any = None
             ) -> Callable[..., Any]:
    """A sampler of that many parameters, then shape and dtype."""
    native, default = getattr(distributions, name), shape
    words = native.__code__.co_varnames[1:1 + parameters]

    def draw(key: Any, *args: Any, shape: Any = default, dtype: Any = None, **named: Any) -> Any:
        if len(args) > parameters + 2:
            raise ArgumentError(
                message(f"{name}: too many arguments", [("given", str(len(args) + 1)), ("takes", str(parameters + 3))])
            )
        given = [*args[:parameters], *(named.pop(w) for w in words[len(args):parameters] if w in named)]
        rest = dict(zip(("shape", "dtype"), args[parameters:], strict=False))
        numbers = [v if type(v) in (int, float) else lower(_array(v, name)) for v in given]
        size, chosen = rest.get("shape", shape), kind(rest.get("dtype", dtype), name)
        return lift(native(random._data(key, name), *numbers, shape=size, dtype=chosen, **named))

    draw.__name__ = draw.__qualname__ = name
    draw.__doc__ = native.__doc__
    return draw


def _array(x: Any, name: str) -> Any:
    if isinstance(x, (list, tuple, str)) or x is None:
        raise StructureError(
            message(f"{name} requires ndarray or scalar arguments", [("given", f"{x!r:.60}")], "jnp.array(...)")
        )
    return x if isinstance(x, TensorBase) else border.asarray(x)


laplace, logistic, cauchy, maxwell = (_sampler(n, 0, shape=()) for n in ("laplace", "logistic", "cauchy", "maxwell"))
rademacher = _sampler("rademacher", 0, _numbers, ())
double_sided_maxwell = _sampler("double_sided_maxwell", 2, shape=())
weibull_min = _sampler("weibull_min", 2, shape=())
pareto, rayleigh, wald, gamma, loggamma, chisquare = (
    _sampler(n, 1) for n in ("pareto", "rayleigh", "wald", "gamma", "loggamma", "chisquare")
)
dirichlet, lognormal = _sampler("dirichlet", 1), _sampler("lognormal", 1)
t, generalized_normal = _sampler("t", 1, shape=()), _sampler("generalized_normal", 1, shape=())
beta, f, binomial = _sampler("beta", 2), _sampler("f", 2), _sampler("binomial", 2)
triangular = _sampler("triangular", 3)
poisson, geometric = _sampler("poisson", 1, _integers), _sampler("geometric", 1, _integers)


def multinomial(key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: Any = 1) -> Any:
    """How often each class comes in n draws; the last dimension of p is that of the classes."""
    kind = random._float_dtype(dtype, "multinomial")
    return lift(distributions.multinomial(random._data(key, "multinomial"), lower(n), lower(p), shape, kind))


def ball(key: Any, d: int, p: float = 2, shape: Any = (), dtype: Any = None) -> Any:
    """Uniform in the unit ball of the p-norm in d dimensions."""
    kind = random._float_dtype(dtype, "ball")
    return lift(distributions.ball(random._data(key, "ball"), d, p, shape, kind))


def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
) -> Any:
    """Normal with a mean and a covariance matrix."""
    if method not in ("svd", "eigh", "cholesky"):
        raise ValueError_(message("method must be one of {'svd', 'eigh', 'cholesky'}", [("method", repr(method))]))
    kind = random._float_dtype(dtype, "multivariate_normal")
    words = random._data(key, "multivariate_normal")
    return lift(distributions.multivariate_normal(words, lower(mean), lower(cov), shape, kind, method))


def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Any:
    """A random orthogonal matrix, or m orthonormal columns (rows) of n."""
    kind = random._float_dtype(dtype, "orthogonal")
    return lift(distributions.orthogonal(random._data(key, "orthogonal"), n, shape, kind, m))

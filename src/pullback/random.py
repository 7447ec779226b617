"""Random numbers on explicit keys, as in JAX: `key`, `split`, and samplers that take a key."""

from typing import Any

from pullback.api.random import (
    Generator,
    bernoulli,
    bits,
    categorical,
    choice,
    exponential,
    fold_in,
    gumbel,
    key,
    normal,
    permutation,
    randint,
    shuffle,
    split,
    truncated_normal,
    uniform,
)

PRNGKey = key

#: distributions with parameters, loaded when the first is asked for: they need linear algebra and loops
_DISTRIBUTIONS = frozenset("""
    ball beta binomial cauchy chisquare dirichlet double_sided_maxwell f gamma generalized_normal geometric laplace
    loggamma logistic lognormal maxwell multinomial multivariate_normal orthogonal pareto poisson rademacher rayleigh t
    triangular wald weibull_min""".split())


def __getattr__(name: str) -> Any:
    if name not in _DISTRIBUTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pullback.api import distributions

    return vars(distributions)[name]


def __dir__() -> list[str]:
    return sorted({*__all__, *_DISTRIBUTIONS})


__all__ = [
    "Generator",
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "normal",
    "permutation",
    "randint",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
]

"""`jax.scipy.stats`: distributions, each a module of functions; ranks, modes, kernel densities."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pullback.api import densities
from pullback.dialects import names
from pullback.dialects.jax.array import lift, lower, refuse_list
from pullback.util.errors import ArgumentError, message

#: by JAX's name: the family, the names of its parameters, and what there is of it
_TABLE = {
    "norm": ("normal", "", "pdf cdf sf logcdf logsf ppf isf"),
    "uniform": ("uniform", "", "pdf cdf ppf"),
    "expon": ("exponential", "", "pdf cdf sf logcdf logsf ppf"),
    "gamma": ("gamma", "a", "pdf cdf sf logcdf logsf"),
    "beta": ("beta", "a b", "pdf cdf sf logcdf logsf"),
    "chi2": ("chi_squared", "df", "pdf cdf sf logcdf logsf"),
    "laplace": ("laplace", "", "pdf cdf"),
    "logistic": ("logistic", "", "pdf cdf sf ppf isf"),
    "cauchy": ("cauchy", "", "pdf cdf sf logcdf logsf ppf isf"),
    "t": ("student", "df", "pdf"),
    "pareto": ("pareto", "b", "pdf cdf sf logcdf logsf ppf"),
    "gennorm": ("generalised_normal", "beta", "pdf cdf"),
    "truncnorm": ("truncated_normal", "a b", "pdf cdf sf logcdf logsf"),
    "gumbel_l": ("left_gumbel", "", "pdf cdf sf logcdf logsf ppf"),
    "gumbel_r": ("right_gumbel", "", "pdf cdf sf logcdf logsf ppf"),
    "vonmises": ("von_mises", "kappa", "pdf"),
    "wrapcauchy": ("wrapped_cauchy", "c", "pdf"),
    "bernoulli": ("bernoulli", "p", "pmf cdf ppf"),
    "binom": ("binomial", "n p", "pmf"),
    "betabinom": ("beta_binomial", "n a b", "pmf"),
    "nbinom": ("negative_binomial", "n p", "pmf"),
    "geom": ("geometric", "p", "pmf"),
    "poisson": ("poisson", "mu", "pmf cdf"),
}
_RULES = {"pdf": "density", "pmf": "density", "logpdf": "log_density", "logpmf": "log_density", "cdf": "cdf",
          "sf": "survival", "logcdf": "log_cdf", "logsf": "log_survival", "ppf": "quantile", "isf": "upper_quantile"}


def _function(name: str, family: str, parameters: list[str], what: str) -> Callable[..., Any]:
    required = len(parameters)
    full = [*parameters, *("loc", "scale")[:densities.FAMILIES[family].scaled]]
    first = "q" if what in ("ppf", "isf") else "k" if family in _WHOLE else "x"
    order = [first, *full]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(order, args, strict=False))
        wrong = [k for k in kwargs if k not in order or k in given]
        given.update(kwargs)
        if wrong or len(args) > len(order) or any(k not in given for k in order[:1 + required]):
            raise ArgumentError(message(f"{name}.{what}: other arguments than it has",
                                        [("given", ", ".join([*map(str, range(len(args))), *kwargs]))],
                                        f"{name}.{what}({', '.join(order)})"))
        for k, x in enumerate(given.values()):
            refuse_list(x, f"{name}.{what}", k)
        values = [lower(given.get(k, {"loc": 0, "scale": 1}.get(k))) for k in order]
        return lift(densities.density(family, _RULES[what], *values))

    call.__name__ = call.__qualname__ = what
    said = f"{_RULES[what]} of a {family} distribution".replace("_", " ")
    call.__doc__ = f"The {said}: {', '.join(order)}."
    return call


_WHOLE = ("bernoulli", "binomial", "beta_binomial", "negative_binomial", "geometric", "poisson")


def _module(name: str, functions: dict[str, Any]) -> ModuleType:
    """A module of functions, which `import` finds."""
    found = ModuleType(f"{__name__}.{name}", f"`jax.scipy.stats.{name}`.")
    vars(found).update(functions)
    sys.modules[found.__name__] = found
    return found


for _name, (_family, _parameters, _kinds) in _TABLE.items():
    _all = [*_kinds.split(), "logpmf" if "pmf" in _kinds else "logpdf"]
    globals()[_name] = _module(_name, {k: _function(_name, _family, _parameters.split(), k) for k in _all})


def _of_vectors(target: Callable[..., Any], what: str) -> dict[str, Any]:
    def log_density(x: Any, *args: Any, allow_singular: Any = None, **kwargs: Any) -> Any:
        refuse_list(x, what)
        return lift(target(lower(x), *map(lower, args), **{k: lower(v) for k, v in kwargs.items()}))

    def density(x: Any, *args: Any, **kwargs: Any) -> Any:
        from pullback.dialects.jax import numpy as jnp  # loaded already where this is called

        return jnp.exp(log_density(x, *args, **kwargs))

    log_density.__doc__, density.__doc__ = target.__doc__, "The density."
    return {f"log{what}": log_density, what: density}


dirichlet = _module("dirichlet", _of_vectors(densities.dirichlet_log_density, "pdf"))
multivariate_normal = _module(
    "multivariate_normal", _of_vectors(densities.multivariate_normal_log_density, "pdf")
)
multinomial = _module("multinomial", _of_vectors(densities.multinomial_log_density, "pmf"))


def entropy(mu: Any, loc: Any = 0) -> Any:
    """The entropy of Poisson's distribution."""
    return lift(densities.poisson_entropy(lower(mu)))


vars(sys.modules[f"{__name__}.poisson"])["entropy"] = entropy
del entropy

__getattr__, __dir__ = names(
    __name__, {"dialects.jax.scipy.stats.samples": "ModeResult gaussian_kde mode rankdata sem"}
)

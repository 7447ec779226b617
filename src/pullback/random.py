"""Random numbers on explicit keys, as in JAX: `key`, `split`, and samplers that take a key."""

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

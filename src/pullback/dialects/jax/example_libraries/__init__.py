"""`jax.example_libraries`: the optimisers of older tutorials."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.example_libraries.optimizers": "optimizers=",
        "dialects.jax.example_libraries.stax": "stax=",
    },
)

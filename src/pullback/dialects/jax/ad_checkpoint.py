"""`jax.ad_checkpoint`: what is computed again in the backward pass."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(
    __name__, {
        "dialects.jax.transforms": "checkpoint remat=checkpoint",
        "dialects.jax.derivatives": "checkpoint_name",
        "dialects.jax.checkpoint_policies": "checkpoint_policies=",
    },
)

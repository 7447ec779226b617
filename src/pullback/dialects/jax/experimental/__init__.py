"""`jax.experimental`: callbacks with effects."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {
    "dialects.jax.derivatives": "io_callback",
    "dialects.jax.config": "enable_x64",
})

"""`jax.custom_derivatives`: rules of derivatives that users give."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.transforms": "custom_jvp custom_vjp",
        "dialects.jax.derivatives": "closure_convert custom_gradient",
    },
)

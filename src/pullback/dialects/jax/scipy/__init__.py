"""`jax.scipy`: special functions, distributions, linear algebra, signals and the like."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(
    __name__,
    {
        f"dialects.jax.scipy.{name}": f"{name}="
        for name in ("special", "stats", "linalg", "signal", "optimize", "ndimage", "integrate", "cluster", "sparse")
    },
)

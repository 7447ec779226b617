"""`jax.scipy.cluster`: vector quantisation."""

from __future__ import annotations

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {"dialects.jax.scipy.cluster.vq": "vq="})

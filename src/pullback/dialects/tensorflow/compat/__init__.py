"""`tensorflow.compat`: `v1` is the dialect itself, under `import tensorflow.compat.v1 as tf` too."""

from __future__ import annotations

from pullback.dialects import FINDER, HOME, names

FINDER.add(f"{__name__}.v1", f"{HOME}.tensorflow")

__getattr__, __dir__ = names(__name__, {"dialects.tensorflow": "v1="})

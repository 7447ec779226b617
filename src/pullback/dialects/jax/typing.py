"""`jax.typing`: what functions take for an array, and for a dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.dialects.jax.array import Array

ArrayLike = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex
DTypeLike = Any

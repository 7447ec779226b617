"""`jax.dtypes`: dtypes and what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.dialects import names
from pullback.dialects.jax.array import canonical

#: the dtype of the tangents of whole numbers
float0 = np.dtype([("float0", np.void, 0)])


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> Any:
    """The dtype that numbers of this dtype have here."""
    return canonical(dtype)


__getattr__, __dir__ = names(__name__, {"dialects.jax.numpy": "bfloat16 finfo iinfo issubdtype result_type"})

"""Functions of `jt` that give positions together with the elements there."""

from __future__ import annotations

from typing import Any

from pullback.api.sorting import argsort as _argsort
from pullback.api.sorting import sort as _sort
from pullback.dialects.jittor.functions import as_operand


def argmax(x: Any, dim: Any = None, keepdims: Any = False) -> Any:
    """The positions of the greatest elements, and these elements."""
    return as_operand(x).argmax(dim, keepdims)


def argmin(x: Any, dim: Any = None, keepdims: Any = False) -> Any:
    """The positions of the least elements, and these elements."""
    return as_operand(x).argmin(dim, keepdims)


def argsort(x: Any, dim: Any = -1, descending: Any = False) -> Any:
    """The positions in sorted order, and the sorted elements."""
    x = as_operand(x)
    return _argsort(x, dim, descending=descending), _sort(x, dim, descending=descending)

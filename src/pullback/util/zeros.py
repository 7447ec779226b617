"""Floating-point zeros: they are equal, and their signs are seen where they are written."""

from __future__ import annotations

from collections.abc import Iterable
from math import copysign
from typing import Any


class MinusZero(float):
    """-0.0 as a static argument: these are looked up by their equality, and this equals no other zero."""

    def __eq__(self, other: object) -> bool:
        return type(other) is MinusZero

    def __hash__(self) -> int:
        return hash(MinusZero)


_MINUS = MinusZero(-0.0)


def written(value: Any) -> Any:
    """A number that an operation writes, as a static argument."""
    return _MINUS if isinstance(value, float) and not value and copysign(1.0, value) < 0 else value


def alike(values: Iterable[Any], others: Iterable[Any]) -> bool:
    """Whether the zeros among equal values have equal signs where they are floating-point numbers."""
    return not any((type(v) is float or type(w) is float) and not v and copysign(1.0, v) != copysign(1.0, w)
                   for v, w in zip(values, others, strict=True))

"""Tests of what something is that keep what is in it of any type, where `isinstance` would leave it unknown."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_tuple(x: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether something is a tuple."""
    return isinstance(x, tuple)


def is_pair(x: object) -> TypeGuard[tuple[Any, Any]]:
    """Whether something is a tuple of two."""
    return is_tuple(x) and len(x) == 2


def is_sequence(x: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether something is a list or a tuple."""
    return isinstance(x, (list, tuple))


def is_dict(x: object) -> TypeGuard[dict[Any, Any]]:
    """Whether something is a dictionary."""
    return isinstance(x, dict)


def as_tuple(x: Any) -> tuple[Any, ...]:
    """A tuple as it is, anything else as the only item of one."""
    return x if is_tuple(x) else (x,)

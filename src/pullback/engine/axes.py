"""The named axes that a function is being mapped over, innermost last."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from threading import local
from typing import Any, NamedTuple

from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase
from pullback.ir.node import Node
from pullback.util.errors import AxisNameError, message


class NamedAxis(NamedTuple):
    """An axis that a function is mapped over. `place`: the index along it, of which the function sees one element."""

    name: Hashable
    size: int
    place: TensorBase


class _Axes(local):
    def __init__(self) -> None:
        self.stack: list[NamedAxis] = []


_here = _Axes()


@contextmanager
def over(axis: NamedAxis) -> Generator[None]:
    """Let functions ask for an axis."""
    _here.stack.append(axis)
    try:
        yield
    finally:
        _here.stack.pop()


def named(name: Hashable) -> NamedAxis:
    """The innermost axis of a name."""
    for axis in reversed(_here.stack):
        if axis.name == name:
            return axis
    known = ", ".join(repr(a.name) for a in _here.stack) or "none"
    raise AxisNameError(message(f"unbound axis name: {name}", [("axis names here", known)],
                                f"call it in a function that is mapped: vmap(f, axis_name={name!r})"))


@operation(promote="exact")
def _across(x: Node, place: Node, size: int, monoid: str) -> Node:
    from pullback.ops.across import Across
    from pullback.ops.build import apply

    return apply(Across(size, monoid), x, place)


def gather(x: Any, axis: NamedAxis) -> Any:
    """x at all places of an axis, along a new first dimension."""
    return _across(x, axis.place, size=axis.size, monoid="")


def total(x: Any, axis: NamedAxis) -> Any:
    """The sum of x over all places of an axis."""
    return _across(x, axis.place, size=axis.size, monoid="add")


__all__ = ["NamedAxis", "gather", "named", "over", "total"]

"""Splitting a program that is linear in some inputs into a part without them and a linear part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from pullback.ir.node import Function, Node, param, substitute, topological
from pullback.ops.cut import cheapest

T = TypeVar("T")


class Split(NamedTuple):
    """`residuals` are nodes of the original program that the linear part reads.

    `linear`: (residuals..., linear inputs...) -> the results that depend on linear inputs (`depends` says which).
    """

    residuals: tuple[Node, ...]
    linear: Function
    depends: tuple[bool, ...]


def dependents(results: Sequence[Node], sources: Iterable[Node]) -> set[Node]:
    """The nodes under `results` that depend on `sources`."""
    found = set(sources)
    for node in topological(results, found):
        if node not in found and any(x in found for x in node.inputs):
            found.add(node)
    return found


def split(function: Function, linear: Sequence[bool], cost: Callable[[Node], int]) -> Split:
    """Before: y = f(x, t), linear in t. After: residuals r of x, and g(r, t) = y. Constants stay in g, and what is
    cheaper to make again than to keep, as far as that makes the residuals' `cost` less."""
    inputs = [p for p, k in zip(function.params, linear, strict=True) if k]
    on_linear = dependents(function.results, inputs)
    on_known = dependents(function.results, [p for p, k in zip(function.params, linear, strict=True) if not k])
    steps = [n for n in topological(function.results, inputs) if n in on_linear and n not in inputs]
    read = [x for n in steps for x in n.inputs if x not in on_linear and x in on_known]
    chosen = cheapest(list(dict.fromkeys(read[::-1])), on_known, cost)
    depends = tuple(r in on_linear for r in function.results)
    fresh = {n: param(n.tensor) for n in (*chosen, *inputs)}
    results = substitute([r for r, k in zip(function.results, depends, strict=True) if k], fresh)
    return Split(tuple(chosen), Function(list(fresh.values()), results), depends)


def pick(items: Sequence[T], flags: Sequence[bool]) -> list[T]:
    """The items that are flagged."""
    return [x for x, k in zip(items, flags, strict=True) if k]

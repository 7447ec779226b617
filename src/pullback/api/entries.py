"""Entries at places, in nodes: what sparse tensors and optimisers' steps on rows are made of.

A place past the last is no entry. Nothing here depends on how many entries there are: arrays keep their size.
"""

from __future__ import annotations

from math import prod

from pullback.api._lazy import build
from pullback.ir.dtypes import bool_, int32
from pullback.ir.node import Node


def merged(places: Node, held: Node, size: int) -> tuple[Node, Node]:
    """The places in order, each once, then `size` for all that are left; the sums of their values, then zeros."""
    count = places.shape[0]
    if count < 2:
        return places, held
    ordered, order = build.sort([places, build.iota((count,), 0, int32)], 0)
    before, after = build.slice_axis(ordered, 0, 0, count - 1), build.slice_axis(ordered, 0, 1, count)
    first = build.concat([build.full((1,), True, bool_), build.binary("ne", before, after)], 0)
    slot = build.cumulative("add", build.convert(first, int32), 0)
    slot = build.sub(slot, build.ones_like(slot))
    found = build.scatter(build.full((count,), size, places.dtype), slot, ordered, 0, "min", "clip")
    target = build.scatter(build.zeros((count,), int32), order, slot, 0, "set", "clip")
    sums = build.scatter(build.zeros_like(held), target, held, 0, "add", "clip")
    inside = build.binary("lt", found, build.scalar_like(found, size))
    return found, build.select(build.broadcast(inside, sums.shape, (0,)), sums, build.zeros_like(sums))


def dense(places: Node, held: Node, shape: tuple[int, ...], leading: int) -> Node:
    """The array of a shape with the values added up at their places in the first `leading` dimensions."""
    flat = (prod(shape[:leading]), *shape[leading:])
    return build.reshape(build.scatter(build.zeros(flat, held.dtype), places, held, 0, "add", "fill"), shape)

"""Reading and writing windows at places that depend on data, in the compiler's general form: index vectors say where a
window begins, dimension numbers which dimension is which.

A window's elements are one array of places into the dimensions that are indexed, laid out as one; dimensions that are
taken whole stay rows. So each is one gather or scatter, with the places computed inside of its kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pullback.api._lazy import build
from pullback.engine.operation import broadcast_to, operation
from pullback.ir import dtypes
from pullback.ir.node import Node

Array = Any
Axes = tuple[int, ...]


class Windows(NamedTuple):
    """Where windows stand in an array of some shape.

    `index_dims[k]` is the dimension that entry k of an index vector is for. `dropped` dimensions have windows of size 1
    and are not in the result. `paired` are (dimension of the array, dimension of the indices) of equal place.
    """

    sizes: Axes
    index_dims: Axes
    dropped: Axes
    paired: tuple[tuple[int, int], ...] = ()

    def moved(self, shape: Axes) -> Axes:
        """The dimensions that are not taken whole."""
        special = {*self.index_dims, *self.dropped, *(a for a, _ in self.paired)}
        return tuple(d for d, n in enumerate(shape) if d in special or self.sizes[d] != n)

    def shown(self, rank: int) -> Axes:
        """The dimensions that the windows keep."""
        gone = {*self.dropped, *(a for a, _ in self.paired)}
        return tuple(d for d in range(rank) if d not in gone)


def _starts(indices: Node, shape: Axes, windows: Windows, clip: bool) -> tuple[dict[int, Node], Node | None]:
    """Where windows begin in each indexed dimension, within the array, and whether they were (None: always)."""
    dtype = dtypes.int64 if indices.dtype.bits > 32 or indices.dtype is dtypes.uint32 else dtypes.int32
    lead = indices.shape[:-1]
    wide = build.convert(indices, dtype)
    found: dict[int, Node] = {}
    inside: Node | None = None
    for k, d in enumerate(windows.index_dims):
        entry = build.reshape(build.slice_axis(wide, len(lead), k, k + 1), lead)
        low, high = build.zeros_like(entry), build.scalar_like(entry, shape[d] - windows.sizes[d])
        if not clip:
            valid = build.binary("logical_and", build.binary("ge", entry, low), build.binary("le", entry, high))
            inside = valid if inside is None else build.binary("logical_and", inside, valid)
        found[d] = build.binary("minimum", build.binary("maximum", entry, low), high)
    for d, axis in windows.paired:
        found[d] = build.iota(lead, axis, dtype)
    return found, inside


def _places(indices: Node, shape: Axes, windows: Windows, clip: bool) -> tuple[Node, Node | None]:
    """For each window and each of its elements (but those of whole dimensions), the place in the moved dimensions as
    one; and which windows lie within the array."""
    starts, inside = _starts(indices, shape, windows, clip)
    lead = indices.shape[:-1]
    moved, shown = windows.moved(shape), windows.shown(len(shape))
    apart = [d for d in moved if d in shown]
    full = (*lead, *(windows.sizes[d] for d in apart))
    dtype = dtypes.int64 if build.count([shape[d] for d in moved]) > 2**31 - 1 else dtypes.int32
    total = build.full(full, 0, dtype)
    for d in moved:
        total = build.mul(total, build.scalar_like(total, shape[d]))
        if d in starts:
            start = build.convert(starts[d], dtype)
            total = build.add(total, build.broadcast(start, full, tuple(range(len(lead)))))
        if d in apart:
            total = build.add(total, build.iota(full, len(lead) + apart.index(d), dtype))
    return total, inside


def _order(shape: Axes, windows: Windows) -> tuple[Axes, Axes]:
    """The moved dimensions, and those that are taken whole."""
    moved = windows.moved(shape)
    return moved, tuple(d for d in range(len(shape)) if d not in moved)


def _flat(x: Node, moved: Axes, kept: Axes) -> Node:
    """The moved dimensions as one, in front."""
    rows = build.count([x.shape[d] for d in moved])
    return build.reshape(build.transpose(x, (*moved, *kept)), (rows, *(x.shape[d] for d in kept)))


def _result_order(lead: int, shape: Axes, windows: Windows, at: Axes) -> Axes:
    """For each dimension of the windows' array, where it is in (lead, moved, kept): `at` says where windows' dimensions
    stand."""
    moved, kept = _order(shape, windows)
    shown = windows.shown(len(shape))
    inner = [*(d for d in moved if d in shown), *kept]
    places: list[int] = []
    front = iter(range(lead))
    window = dict(zip(at, shown, strict=True))
    for k in range(lead + len(shown)):
        places.append(lead + inner.index(window[k]) if k in window else next(front))
    return tuple(places)


@operation(promote="exact")
def _gather_windows(x: Node, indices: Node, fill: Node, windows: Windows, at: Axes, clip: bool) -> Node:
    moved, kept = _order(x.shape, windows)
    places, inside = _places(indices, x.shape, windows, clip)
    taken = build.gather(_flat(x, moved, kept), places, 0, "clip")
    if inside is not None:
        mask = build.broadcast(inside, taken.shape, tuple(range(len(inside.shape))))
        taken = build.select(mask, taken, broadcast_to(build.convert(fill, x.dtype), taken.shape))
    return build.transpose(taken, _result_order(len(indices.shape) - 1, x.shape, windows, at))


@operation(promote="exact")
def _scatter_windows(x: Node, indices: Node, updates: Node, windows: Windows, at: Axes, clip: bool,
                     monoid: str) -> Node:
    moved, kept = _order(x.shape, windows)
    places, inside = _places(indices, x.shape, windows, clip)
    if inside is not None:
        mask = build.broadcast(inside, places.shape, tuple(range(len(inside.shape))))
        places = build.select(mask, places, build.scalar_like(places, -1))
    order = _result_order(len(indices.shape) - 1, x.shape, windows, at)
    arranged = build.transpose(updates, [order.index(k) for k in range(len(order))])
    changed = build.scatter(_flat(x, moved, kept), places, arranged, 0, monoid, "fill")
    back = (*moved, *kept)
    whole = build.reshape(changed, tuple(x.shape[d] for d in back))
    return build.transpose(whole, [back.index(d) for d in range(len(back))])


def gather_windows(x: Array, indices: Array, windows: Windows, at: Sequence[int], fill: Any = None) -> Array:
    """The windows of x that begin at index vectors (the last dimension of `indices`). The windows' dimensions stand at
    `at` in the result, those of the indices around them. A window that would leave the array is moved into it; with a
    `fill` value it is that value."""
    nothing = 0 if fill is None else fill
    return _gather_windows(x, indices, nothing, windows=windows, at=tuple(at), clip=fill is None)


def scatter_windows(x: Array, indices: Array, updates: Array, windows: Windows, at: Sequence[int],
                    monoid: str = "set", clip: bool = False) -> Array:
    """x with windows, which begin at index vectors, replaced by updates or combined with them ("add", "mul", "min",
    "max"). A window that would leave the array is left out, or moved into it (`clip`)."""
    return _scatter_windows(x, indices, updates, windows=windows, at=tuple(at), clip=clip, monoid=monoid)


__all__ = ["Windows", "gather_windows", "scatter_windows"]

"""What a function that is mapped over a named axis knows of the other places: sums, exchanges, its own place.

    pb.vmap(lambda x: x - pmean(x, "batch"), axis_name="batch")(x)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from pullback.api.arguments import as_tensor, axis_of, described
from pullback.api.creation import asarray
from pullback.api.elementwise import astype, where
from pullback.api.manipulation import concat, moveaxis, reshape
from pullback.api.reductions import max as _max
from pullback.api.reductions import min as _min
from pullback.api.selecting import take
from pullback.engine import axes
from pullback.engine.axes import NamedAxis
from pullback.engine.trace import SCALARS
from pullback.ir import dtypes
from pullback.util import tree
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


def _named(name: Hashable | Sequence[Hashable]) -> list[NamedAxis]:
    """The axes of one name or several."""
    return [axes.named(n) for n in name] if isinstance(name, (tuple, list)) else [axes.named(name)]


def axis_size(axis_name: Any) -> int:
    """The number of places along a named axis, or several."""
    return math.prod(a.size for a in _named(axis_name))


def axis_index(axis_name: Any) -> Array:
    """The place along a named axis, or several as one in row-major order."""
    found: Any = None
    for axis in _named(axis_name):
        found = axis.place if found is None else found * axis.size + axis.place
    return found


def _over(name: str, axis_name: Any, x: Any, combine: Callable[[Any, NamedAxis], Any]) -> Any:
    """Arrays of a tree combined over named axes, one axis after another."""
    named = _named(axis_name)

    def one(leaf: Any) -> Any:
        leaf = as_tensor(leaf, name)
        for axis in named:
            leaf = combine(leaf, axis)
        return leaf

    return tree.map(one, x)


def _numbers(x: Any) -> Any:
    return astype(x, dtypes.int32) if x.info.type.dtype.kind == "b" else x


def psum(x: Any, axis_name: Any) -> Any:
    """The sum over a named axis, of every array of a tree; of a Python number its product with the axis' size."""
    if type(x) in SCALARS:
        return x * axis_size(axis_name)
    return _over("psum", axis_name, x, lambda leaf, axis: axes.total(_numbers(leaf), axis))


def pmean(x: Any, axis_name: Any) -> Any:
    """The mean over a named axis, of every array of a tree."""
    count = axis_size(axis_name)
    return tree.map(lambda leaf: leaf / count, psum(tree.map(lambda leaf: as_tensor(leaf, "pmean"), x), axis_name))


def pmax(x: Any, axis_name: Any) -> Any:
    """The greatest elements over a named axis, of every array of a tree."""
    return _over("pmax", axis_name, x, lambda leaf, axis: _max(axes.gather(leaf, axis), axis=0))


def pmin(x: Any, axis_name: Any) -> Any:
    """The least elements over a named axis, of every array of a tree."""
    return _over("pmin", axis_name, x, lambda leaf, axis: _min(axes.gather(leaf, axis), axis=0))


def _one(axis_name: Any, name: str) -> NamedAxis:
    found = _named(axis_name)
    if len(found) > 1:
        raise ValueError_(message(f"{name}: one named axis", [("axis_name", repr(axis_name))], "call it once for each"))
    return found[0]


def all_gather(x: Any, axis_name: Any, axis: int = 0, tiled: bool = False) -> Any:
    """The arrays at all places along a new axis, or (`tiled`) joined along one that is there."""

    def one(leaf: Any) -> Any:
        leaf = as_tensor(leaf, "all_gather")
        for named in reversed(_named(axis_name)):
            leaf = axes.gather(leaf, named)
        extra = len(_named(axis_name))
        shape = tuple(leaf.shape)
        gathered = reshape(leaf, (math.prod(shape[:extra]), *shape[extra:]))
        to = axis_of(axis, gathered.ndim - tiled, "all_gather", leaf)
        if not tiled:
            return moveaxis(gathered, 0, to)
        inner = list(shape[extra:])
        inner[to] *= gathered.shape[0]
        return reshape(moveaxis(gathered, 0, to), tuple(inner))

    return tree.map(one, x)


def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """What the array is at another place: `perm` has pairs (from, to); zeros where nothing comes."""
    named = _one(axis_name, "ppermute")
    source = [-1] * named.size
    for a, b in perm:
        if not (0 <= a < named.size and 0 <= b < named.size) or source[b] >= 0:
            raise ValueError_(message("ppermute: pairs (from, to) of places, each once",
                                      [("perm", repr(perm)[:60]), ("places", str(named.size))]))
        source[b] = a
    if len({a for a in source if a >= 0}) < len(perm):
        raise ValueError_(message("ppermute: sources and destinations must be unique", [("perm", repr(perm)[:60])]))
    comes = take(asarray(source, dtype=dtypes.int32), named.place, axis=0, mode="clip")

    def one(leaf: Any) -> Any:
        leaf = as_tensor(leaf, "ppermute")
        found = take(axes.gather(leaf, named), comes, axis=0, mode="clip")
        return found if -1 not in source else where(comes >= 0, found, astype(asarray(0), leaf.dtype))

    return tree.map(one, x)


def pshuffle(x: Any, axis_name: Any, perm: Sequence[int]) -> Any:
    """What the array is at place `perm[i]`."""
    if sorted(perm) != list(range(axis_size(axis_name))):
        raise ValueError_(message("pshuffle: not a permutation of the places", [("perm", repr(perm)[:60])]))
    return ppermute(x, axis_name, list(zip(perm, range(len(perm)), strict=True)))


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """What the array is at one place."""
    named = _one(axis_name, "pbroadcast")
    return tree.map(lambda leaf: axes.gather(as_tensor(leaf, "pbroadcast"), named)[source], x)


def all_to_all(x: Any, axis_name: Any, split_axis: int, concat_axis: int, tiled: bool = False) -> Any:
    """Part i of the array at every place goes to place i: the parts along `split_axis` are exchanged, and those that
    come stand along `concat_axis`."""
    named = _one(axis_name, "all_to_all")

    def one(leaf: Any) -> Any:
        leaf = as_tensor(leaf, "all_to_all")
        split = axis_of(split_axis, leaf.ndim, "all_to_all", leaf)
        join = axis_of(concat_axis, leaf.ndim, "all_to_all", leaf)
        size = leaf.shape[split]
        if size % named.size or (not tiled and size != named.size):
            raise ShapeError(message("all_to_all: the axis that is split must have the size of the named axis",
                                     [("x", described(leaf)), ("axis", str(split)), ("places", str(named.size))]))
        parts = _parts(leaf, split, named.size)  # [places, ..., size / places, ...]
        mine = take(axes.gather(parts, named), named.place, axis=1, mode="clip")  # from all places, for this one
        if tiled:
            return concat([mine[k] for k in range(named.size)], axis=join)
        kept = tuple(n for k, n in enumerate(leaf.shape) if k != split)
        return moveaxis(reshape(mine, (named.size, *kept)), 0, join)

    return tree.map(one, x)


def _parts(x: Any, axis: int, count: int) -> Any:
    """x cut along an axis, the parts along a new first dimension."""
    shape = tuple(x.shape)
    return moveaxis(reshape(x, (*shape[:axis], count, shape[axis] // count, *shape[axis + 1:])), axis, 0)


def pswapaxes(x: Any, axis_name: Any, axis: int) -> Any:
    """A named axis and one of the array's, exchanged."""
    return all_to_all(x, axis_name, axis, axis)


def psum_scatter(x: Any, axis_name: Any, scatter_dimension: int = 0, tiled: bool = False) -> Any:
    """Of the sum over a named axis, the part that belongs to this place."""
    named = _one(axis_name, "psum_scatter")

    def one(leaf: Any) -> Any:
        leaf = as_tensor(leaf, "psum_scatter")
        axis = axis_of(scatter_dimension, leaf.ndim, "psum_scatter", leaf)
        if leaf.shape[axis] % named.size or (not tiled and leaf.shape[axis] != named.size):
            raise ShapeError(message("psum_scatter: the dimension must have the size of the named axis",
                                     [("x", described(leaf)), ("dimension", str(axis)), ("places", str(named.size))]))
        part = take(_parts(axes.total(leaf, named), axis, named.size), named.place, axis=0, mode="clip")
        return part if tiled else reshape(part, tuple(n for k, n in enumerate(leaf.shape) if k != axis))

    return tree.map(one, x)


__all__ = ["all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pmax", "pmean", "pmin",
           "ppermute", "pshuffle", "psum", "psum_scatter", "pswapaxes"]

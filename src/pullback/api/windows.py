"""Reductions over windows and with any associative function; what stands between elements; running combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from pullback.api import reductions
from pullback.api.arguments import as_tensor, described, integer
from pullback.api.elementwise import maximum, minimum, where
from pullback.api.manipulation import broadcast_to, concat, flip, moveaxis, pad, reshape, stack
from pullback.api.reindexing import reindex
from pullback.engine.control import scan
from pullback.engine.tensor import TensorBase
from pullback.util import tree
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any
Pairs = Sequence[tuple[int, int]]

#: how elements are combined by name: over axes, and two arrays
_MONOIDS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any]]] = {
    "add": (reductions.sum, lambda x, y: x + y),
    "mul": (reductions.prod, lambda x, y: x * y),
    "max": (reductions.max, maximum),
    "min": (reductions.min, minimum),
}
_UNROLLED = 8  # elements that are combined without a loop


def pad_between(x: Array, low: Sequence[int], high: Sequence[int], between: Sequence[int], value: Any = 0) -> Array:
    """`value` before, after and between the elements of each dimension; less than 0 before or after cuts.

    >>> import pullback as pb
    >>> pb.pad_between(pb.tensor([1, 2]), [1], [0], [2], 9)
    Tensor([9, 1, 9, 9, 2], dtype=int32)
    """
    x = as_tensor(x, "pad_between")
    if not len(low) == len(high) == len(between) == x.ndim or any(n < 0 for n in between):
        raise ShapeError(message("pad_between: one number before, after and between for each dimension",
                                 [("x", described(x)), ("low, high, between", f"{low}, {high}, {between}")],
                                 "between is 0 or more"))
    for axis, gap in enumerate(between):
        if gap and x.shape[axis] > 1:
            x = _spread(x, axis, gap, value)
    after = [(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True)]
    if any(a or b for a, b in after):
        x = pad(x, after, constant_values=value)
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(low, high, x.shape, strict=True))
    return x[cut] if any(n < 0 for n in (*low, *high)) else x


def _spread(x: Array, axis: int, gap: int, value: Any) -> Array:
    size = x.shape[axis]
    apart = reshape(x, (*x.shape[:axis + 1], 1, *x.shape[axis + 1:]))
    pairs = [(0, gap if k == axis + 1 else 0) for k in range(apart.ndim)]
    spread = reshape(pad(apart, pairs, constant_values=value), (*x.shape[:axis], size * (gap + 1), *x.shape[axis + 1:]))
    return spread[(*(slice(None),) * axis, slice(0, (size - 1) * (gap + 1) + 1))]


def window_counts(shape: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Pairs,
                  dilation: Sequence[int]) -> tuple[int, ...]:
    """How many windows lie along each dimension."""
    found = []
    for n, k, s, (low, high), d in zip(shape, window, strides, padding, dilation, strict=True):
        room = n + low + high - (k - 1) * d - 1
        found.append(room // s + 1 if room >= 0 else 0)
    return tuple(found)


def windows(x: Array, window: Sequence[int], strides: Sequence[int], padding: Pairs, dilation: Sequence[int],
            fill: Any = 0) -> Array:
    """All windows: the first dimensions say which window, as many after them where in it."""
    rank = x.ndim
    counts = window_counts(x.shape, window, strides, padding, dilation)
    places = [f"i{k}*{strides[k]}+i{rank + k}*{dilation[k]}-{padding[k][0]}" for k in range(rank)]
    if not isinstance(fill, TensorBase):
        return reindex(x, (*counts, *window), places, fill)
    from pullback.api.creation import ones_like

    inside = reindex(ones_like(x, dtype="uint8"), (*counts, *window), places)
    return where(inside != 0, reindex(x, (*counts, *window), places), fill)


def _checked_windows(name: str, x: Array, given: dict[str, Sequence[Any]]) -> None:
    for what, numbers in given.items():
        if len(numbers) != x.ndim:
            raise ShapeError(message(f"{name}: {what} must have one entry for each dimension",
                                     [("operand", described(x)), (what, repr(tuple(numbers)))],
                                     "1 where a dimension has no windows, (0, 0) where nothing is added"))
        if what != "padding" and any(n < 1 for n in numbers):
            raise ValueError_(message(f"{name}: {what} must be 1 or more", [(what, repr(tuple(numbers)))]))


def reduce_window(x: Array, initial: Any, function: str | Callable[[Any, Any], Any], window: Sequence[int],
                  strides: Sequence[int], padding: Pairs, base_dilation: Sequence[int] | None = None,
                  dilation: Sequence[int] | None = None) -> Array:
    """Each window's elements and `initial`, combined; what is outside of x is `initial` too.

    `function` is "add", "mul", "max", "min" or any associative function of two arrays.

    >>> import pullback as pb
    >>> pb.reduce_window(pb.arange(6), 0, "add", (2,), (2,), [(0, 0)])
    Tensor([1, 5, 9], dtype=int32)
    """
    x = as_tensor(x, "reduce_window")
    rank = x.ndim
    base, spread = base_dilation or (1,) * rank, dilation or (1,) * rank
    _checked_windows("reduce_window", x, {"window_dimensions": window, "window_strides": strides, "padding": padding,
                                          "base_dilation": base, "window_dilation": spread})
    if any(n != 1 for n in base):
        x = pad_between(x, (0,) * rank, (0,) * rank, [n - 1 for n in base], initial)
    apart = windows(x, window, strides, padding, spread, initial)
    return fold(function, apart, initial, range(rank, 2 * rank))


def fold(function: str | Callable[[Any, Any], Any], xs: Any, initial: Any, axes: Sequence[int]) -> Any:
    """The elements along axes and the initial ones, combined by an associative function, or by "add", "mul", "max",
    "min". Arrays and initial values may be trees.

    >>> import pullback as pb
    >>> pb.fold(pb.maximum, pb.tensor([[1, 5], [7, 2]]), 3, [0])
    Tensor([7, 5], dtype=int32)
    """
    arrays = tree.map(lambda x: as_tensor(x, "fold"), xs)
    first = tree.leaves(arrays)[0]
    gone = sorted(integer(a, "fold", "axis") % max(first.ndim, 1) for a in axes)
    if isinstance(function, str):
        over, pair = _MONOIDS[function]
        found = over(arrays, tuple(gone)).to(arrays.dtype)
        return pair(found, as_tensor(initial, "fold").to(arrays.dtype))
    rows = tree.map(lambda x: _in_front(x, gone), arrays)
    start = tree.map(lambda v, r: broadcast_to(as_tensor(v, "fold").to(r.dtype), r.shape[1:]), initial, rows)
    count = prod(first.shape[a] for a in gone)
    if count > _UNROLLED:
        return scan(lambda total, row: (function(total, row), None), start, rows)[0]
    for k in range(count):
        start = function(start, tree.map(lambda r, k=k: r[k], rows))
    return start


def _in_front(x: Array, axes: Sequence[int]) -> Array:
    """The elements along axes as one first dimension."""
    moved = moveaxis(x, tuple(axes), tuple(range(len(axes))))
    return reshape(moved, (prod(moved.shape[:len(axes)]), *moved.shape[len(axes):]))


def associative_scan(function: Callable[[Any, Any], Any], xs: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All running combinations along an axis, by an associative function of two trees of arrays: pairs are combined,
    then pairs of pairs (Blelloch, 1990), so that the depth is that of a logarithm.

    >>> import pullback as pb
    >>> pb.associative_scan(pb.add, pb.tensor([1, 2, 3, 4]))
    Tensor([ 1,  3,  6, 10], dtype=int32)
    """
    leaves, structure = tree.flatten(xs)
    arrays = [as_tensor(x, "associative_scan") for x in leaves]
    if any(not x.ndim for x in arrays) or len({x.shape[axis] for x in arrays}) != 1:
        raise ValueError_(message("associative_scan: array inputs must have the same size along the axis",
                                  [("shapes", ", ".join(str(x.shape) for x in arrays) or "none"), ("axis", str(axis))],
                                  "at least one array, of at least one dimension"))
    at = axis % arrays[0].ndim

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        found, other = tree.flatten(function(tree.unflatten(structure, a), tree.unflatten(structure, b)))
        if other != structure:
            raise ValueError_(message("associative_scan: the function must return what it takes",
                                      [("takes", str(structure)), ("returns", str(other))]))
        return found

    if reverse:
        arrays = [flip(x, at) for x in arrays]
    found = _running(combine, arrays, at)
    return tree.unflatten(structure, [flip(x, at) for x in found] if reverse else found)


def _every(xs: list[Any], axis: int, start: int, stop: int | None, step: int = 1) -> list[Any]:
    return [x[(*(slice(None),) * axis, slice(start, stop, step))] for x in xs]


def _running(combine: Callable[[list[Any], list[Any]], list[Any]], xs: list[Any], axis: int) -> list[Any]:
    count = xs[0].shape[axis]
    if count < 2:
        return xs
    pairs = combine(_every(xs, axis, 0, count - 1, 2), _every(xs, axis, 1, None, 2))
    odd = _running(combine, pairs, axis)
    even = _every(xs, axis, 0, 1)
    if count > 2:
        rest = _every(xs, axis, 2, None, 2)
        before = odd if count % 2 else _every(odd, axis, 0, -1)
        even = [concat([a, b], axis) for a, b in zip(even, combine(before, rest), strict=True)]
    return [_alternate(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _alternate(even: Array, odd: Array, axis: int) -> Array:
    """One of each in turn; there may be one more of the first."""
    count = odd.shape[axis]
    both = stack([_every([even], axis, 0, count)[0], odd], axis + 1)
    found = reshape(both, (*odd.shape[:axis], 2 * count, *odd.shape[axis + 1:]))
    if even.shape[axis] == count:
        return found
    return concat([found, _every([even], axis, count, None)[0]], axis)


def same_padding(sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], low_first: bool = False
                 ) -> list[tuple[int, int]]:
    """What to add so that there are size / stride windows, rounded up: the odd one after, or before."""
    found = []
    for n, k, s in zip(sizes, window, strides, strict=True):
        missing = max((-(-n // s) - 1) * s + k - n, 0)
        half = missing // 2
        found.append((missing - half, half) if low_first else (half, missing - half))
    return found


def pieces(x: Array, sizes: Sequence[int], axis: int) -> list[Array]:
    """The array cut along an axis into pieces of given sizes."""
    places = [0]
    for n in sizes:
        places.append(places[-1] + n)
    if places[-1] != x.shape[axis]:
        raise ValueError_(message("split: the sizes must sum to the size of the axis",
                                  [("operand", described(x)), ("sizes", repr(tuple(sizes)))]))
    return [_every([x], axis % x.ndim, a, b)[0] for a, b in pairwise(places)]

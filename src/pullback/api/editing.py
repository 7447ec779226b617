"""NumPy's ways to edit arrays: elements left out and put in, partitions, runs of a function along an axis, sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axis_of, described, integer
from pullback.api.creation import zeros
from pullback.api.elementwise import abs, astype, floor, floor_divide, remainder, trunc, where
from pullback.api.manipulation import broadcast_arrays, broadcast_to, concat, moveaxis, ravel, reshape, tile, unstack
from pullback.api.reductions import cumsum
from pullback.api.selecting import take, take_along_axis
from pullback.api.series import convolve, diff
from pullback.api.sorting import argsort, sort
from pullback.api.transforms import vmap
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any


def host(x: Any) -> Any:
    """The values of an array, as NumPy's."""
    return x.numpy() if isinstance(x, TensorBase) else np.asarray(x)


# -- elements left out and put in --------------------------------------------------------------------------------------


def delete(x: Array, where: Any, axis: int | None = None) -> Array:
    """x without the slices at positions of an axis (of the flattened array without one), which are observed.

    >>> import pullback as pb
    >>> from pullback.api.editing import delete
    >>> delete(pb.tensor([1, 2, 3]), 1)
    Tensor([1, 3], dtype=int32)
    """
    x = as_tensor(x, "delete")
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim, "delete", x))
    gone = where if isinstance(where, (slice, int)) else host(where)
    kept = np.delete(np.arange(x.shape[k]), gone)
    return take(x, from_host(kept.astype(np.int32)), axis=k)


def insert(x: Array, where: Any, values: Array, axis: int | None = None) -> Array:
    """x with values before positions of an axis (of the flattened array without one), which are observed.

    >>> import pullback as pb
    >>> from pullback.api.editing import insert
    >>> insert(pb.tensor([1, 2]), 1, 9)
    Tensor([1, 9, 2], dtype=int32)
    """
    x = as_tensor(x, "insert")
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim, "insert", x))
    new = astype(as_tensor(values, "insert"), x.dtype)
    at = host(where)
    n = x.shape[k]
    if at.size and (at.min() < -n or at.max() > n):
        raise ValueError_(message("insert: a position is out of range", [("x", described(x)), ("where", f"{at!r:.60}")],
                                  f"from {-n} to {n}"))
    if at.ndim == 0:  # all values before one position
        new = moveaxis(new, 0, k) if new.ndim == x.ndim else new
        count = new.shape[k] if new.ndim == x.ndim else 1 if x.ndim > 1 or not new.ndim else new.shape[0]
        at = np.full(count, at)
    shape = tuple(len(at) if j == k else m for j, m in enumerate(x.shape))
    order = np.insert(np.arange(n), at, n + np.arange(len(at)))
    return take(concat([x, broadcast_to(new, shape)], k), from_host(order.astype(np.int32)), axis=k)


def resize(x: Array, shape: Any) -> Array:
    """The elements of x, again and again, in another shape."""
    x = ravel(as_tensor(x, "resize"))
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    need = int(np.prod(sizes))
    if not x.shape[0]:
        return zeros(sizes, dtype=x.dtype)
    return reshape(tile(x, -(-need // x.shape[0]))[:need], sizes)


def trim_zeros(x: Array, trim: str = "fb") -> Array:
    """A vector without the zeros at its front ("f") and back ("b"); x is observed."""
    x = as_tensor(x, "trim_zeros")
    places = np.flatnonzero(x.numpy())
    first, last = (places[0], places[-1] + 1) if places.size else (x.shape[0], x.shape[0])
    return x[int(first) if "f" in trim.lower() else 0:int(last) if "b" in trim.lower() else x.shape[0]]


def compress(condition: Any, x: Array, axis: int | None = None) -> Array:
    """The slices of an axis (elements, without one) where a condition holds, which is observed."""
    x = as_tensor(x, "compress")
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim, "compress", x))
    return take(x, from_host(np.flatnonzero(host(condition)).astype(np.int32)), axis=k)


def choose(index: Array, choices: Sequence[Array]) -> Array:
    """Of several arrays, at each place the element of the one with this index; out of range: the nearest."""
    at, *given = broadcast_arrays(index, *choices)
    found = given[0]
    for k, x in enumerate(given[1:], 1):
        found = where(at >= k, x, found)
    return found


def rollaxis(x: Array, axis: int, start: int = 0) -> Array:
    """An axis before another."""
    x = as_tensor(x, "rollaxis")
    k = axis_of(axis, x.ndim, "rollaxis", x)
    at = start + x.ndim if start < 0 else start
    return moveaxis(x, k, at - 1 if k < at else at)


# -- order -------------------------------------------------------------------------------------------------------------


def partition(x: Array, kth: int, axis: int = -1) -> Array:
    """The elements so ordered that the k-th stands where it would in full order: in full order."""
    return sort(_with(x, kth, axis, "partition"), axis=axis)


def argpartition(x: Array, kth: int, axis: int = -1) -> Array:
    """The positions that put the elements in such an order."""
    return argsort(_with(x, kth, axis, "argpartition"), axis=axis)


def _with(x: Any, kth: Any, axis: int, name: str) -> Any:
    x = as_tensor(x, name)
    n, k = x.shape[axis_of(axis, x.ndim, name, x)], integer(kth, name, "kth")
    if not -n <= k < n:
        raise ValueError_(message(f"{name}: kth is out of range", [("x", described(x)), ("kth", str(k))],
                                  f"from {-n} to {n - 1}"))
    return x


def lexsort(keys: Any, axis: int = -1) -> Array:
    """The positions that put elements in order of the last key, equal ones of the key before, and so on."""
    given = [as_tensor(k, "lexsort") for k in (unstack(keys) if isinstance(keys, TensorBase) else keys)]
    if not given:
        raise ValueError_(message("lexsort: needs at least one key", help="lexsort((second, first))"))
    order = argsort(given[0], axis=axis)
    for key in given[1:]:
        again = argsort(take_along_axis(key, order, axis=axis), axis=axis)
        order = take_along_axis(order, again, axis=axis)
    return order


# -- elementwise -------------------------------------------------------------------------------------------------------


def divmod_(x: Array, y: Array) -> tuple[Array, Array]:
    """Quotients, rounded down, and what remains."""
    return floor_divide(x, y), remainder(x, y)


def modf(x: Array) -> tuple[Array, Array]:
    """What stands behind and before the point."""
    x = as_tensor(x, "modf")
    x = x if x.dtype.is_inexact else astype(x, "float32")
    whole = trunc(x)
    return where(abs(x) == np.inf, 0.0, x - whole), whole


@operation(differentiable=False)
def _bit_count(x: Node) -> Node:
    if x.dtype.kind not in "iu":
        raise DTypeError(message("bitwise_count: needs integers", [("x", repr(x.type))], "convert them first"))
    return build.unary("popcount", build.unary("abs", x) if x.dtype.kind == "i" else x)


def bitwise_count(x: Array) -> Array:
    """How many bits of the absolute value are 1, as uint8."""
    return astype(_bit_count(x), "uint8")


def unwrap(x: Array, discont: float | None = None, axis: int = -1, period: float = 2 * np.pi) -> Array:
    """Angles with whole turns added so that neighbours differ by at most half a turn."""
    x = as_tensor(x, "unwrap")
    x = x if x.dtype.is_inexact else astype(x, "float32")
    k = axis_of(axis, x.ndim, "unwrap", x)
    steps = diff(x, axis=k)
    turned = steps + period / 2 - floor((steps + period / 2) / period) * period - period / 2
    turned = where((turned == -period / 2) & (steps > 0), period / 2, turned)
    change = where(abs(steps) < max(period / 2, discont or 0), 0.0, turned - steps)
    first = x[(slice(None),) * k + (slice(0, 1),)]
    rest = x[(slice(None),) * k + (slice(1, None),)]
    return concat([first, rest + cumsum(change, k)], k)


# -- sequences ---------------------------------------------------------------------------------------------------------


def ediff1d(x: Array, to_end: Any = None, to_begin: Any = None) -> Array:
    """Differences of neighbours of the flattened array, with values before and after them."""
    steps = diff(ravel(as_tensor(x, "ediff1d")))
    around = [None if v is None else ravel(astype(as_tensor(v, "ediff1d"), steps.dtype)) for v in (to_begin, to_end)]
    return concat([v for v in (around[0], steps, around[1]) if v is not None], 0)


def correlate(x: Array, y: Array, mode: str = "valid") -> Array:
    """The sums of products of a sequence with another moved along it."""
    x, y = as_tensor(x, "correlate"), as_tensor(y, "correlate")
    if y.is_complex():
        from pullback.api.complex_parts import conj

        y = conj(y)
    if x.ndim != 1 or y.ndim != 1 or x.shape[0] >= y.shape[0]:
        return convolve(x, y.flip(0), mode)
    return convolve(y.flip(0), x, mode)


# -- a function along an axis ------------------------------------------------------------------------------------------


def apply_along_axis(function: Callable[..., Any], axis: int, x: Array, *args: Any, **options: Any) -> Array:
    """What a function makes of each vector along an axis."""
    x = as_tensor(x, "apply_along_axis")
    k = axis_of(axis, x.ndim, "apply_along_axis", x)
    lead = tuple(n for j, n in enumerate(x.shape) if j != k)
    lines = reshape(moveaxis(x, k, -1), (-1, x.shape[k]))
    found = vmap(lambda line: function(line, *args, **options))(lines)
    found = reshape(found, (*lead, *found.shape[1:]))
    for j in range(len(lead), found.ndim):
        found = moveaxis(found, j, k + j - len(lead))
    return found


def apply_over_axes(function: Callable[..., Any], x: Array, axes: Any) -> Array:
    """A reduction over one axis after another, which are kept."""
    x = as_tensor(x, "apply_over_axes")
    for axis in (axes if isinstance(axes, (tuple, list)) else (axes,)):
        found = function(x, axis)
        if found.ndim == x.ndim - 1:
            k = axis_of(axis, x.ndim, "apply_over_axes", x)
            found = reshape(found, (*found.shape[:k], 1, *found.shape[k:]))
        if found.ndim != x.ndim:
            raise ShapeError(message("apply_over_axes: the function must keep the axis or drop it",
                                     [("x", described(x)), ("result", described(found))]))
        x = found
    return x


# -- sets: their sizes depend on the values, which are observed --------------------------------------------------------


def union1d(x: Array, y: Array) -> Array:
    """The distinct elements of both, in order."""
    return from_host(np.union1d(host(x), host(y)))


def intersect1d(x: Array, y: Array, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The distinct elements that both have, in order; on request where they are in each."""
    found = np.intersect1d(host(x), host(y), assume_unique, return_indices)
    if not return_indices:
        return from_host(found)
    return tuple(from_host(v if k == 0 else v.astype(np.int32)) for k, v in enumerate(found))


def setdiff1d(x: Array, y: Array, assume_unique: bool = False) -> Array:
    """The distinct elements of x that y does not have, in order."""
    return from_host(np.setdiff1d(host(x), host(y), assume_unique))


def setxor1d(x: Array, y: Array, assume_unique: bool = False) -> Array:
    """The distinct elements that one of both has, in order."""
    return from_host(np.setxor1d(host(x), host(y), assume_unique))


# -- blocks ------------------------------------------------------------------------------------------------------------


def block(arrays: Any) -> Array:
    """Arrays put together as they stand in nested lists: the innermost along the last axis, and so on outwards."""
    def depth(x: Any) -> int:
        return 1 + max(map(depth, x), default=0) if isinstance(x, list) else 0

    levels = depth(arrays)

    def leaves(x: Any) -> list[Any]:
        return [v for part in x for v in leaves(part)] if isinstance(x, list) else [as_tensor(x, "block")]

    rank = max([levels, *(x.ndim for x in leaves(arrays))])

    def joined(x: Any, level: int) -> Any:
        if not isinstance(x, list):
            array = as_tensor(x, "block")
            return reshape(array, (1,) * (rank - array.ndim) + tuple(array.shape))
        if not x:
            raise ValueError_(message("block: a list has no arrays", help="block([[a, b], [c, d]])"))
        return concat([joined(part, level - 1) for part in x], -level)

    return joined(arrays, levels)


__all__ = ["apply_along_axis", "apply_over_axes", "argpartition", "bitwise_count", "block", "choose", "compress",
           "correlate", "delete", "divmod_", "ediff1d", "host", "insert", "intersect1d", "lexsort", "modf", "partition",
           "resize", "rollaxis", "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unwrap"]

"""Sorting, selecting by order, unique elements. Sorts are stable; NaN counts as the greatest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import UNSET, as_tensor, axis_of, described, integer, number, one_of, synonym
from pullback.api.elementwise import interpolated
from pullback.api.manipulation import ravel, squeeze
from pullback.api.reductions import argmax, argmin, floating, kept
from pullback.api.selecting import take, take_along_axis
from pullback.engine.operation import operation
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops.control import with_rule
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


@operation()
def _sort(x: Node, axis: int, descending: bool) -> Node:
    if x.dtype.kind == "b":
        return build.convert(build.sort([build.convert(x, dtypes.uint8)], axis, descending)[0], dtypes.bool_)
    return build.sort([x], axis, descending)[0]


@operation()
def _sort_both(x: Node, axis: int, descending: bool, first: int = -1) -> tuple[Node, ...]:
    own = x.dtype
    key = build.convert(x, dtypes.uint8) if own.kind == "b" else x
    values, order = build.sort([key, build.iota(x.shape, axis, dtypes.int32)], axis, descending, 1, first)
    return build.convert(values, own), order


def _axis(x: Any, axis: Any, dim: Any, name: str) -> int:
    axis = -1 if axis is None else axis
    return axis_of(axis if dim is UNSET else dim, x.ndim, name, x)


def sort(x: Array, /, axis: int = -1, *, descending: bool = False, stable: bool = True, dim: Any = UNSET) -> Array:
    """The elements in order along an axis.

    >>> import pullback as pb
    >>> pb.sort(pb.tensor([3, 1, 2]), descending=True)
    Tensor([3, 2, 1], dtype=int32)
    """
    x = as_tensor(x, "sort")
    if not x.ndim:
        return x.clone()
    return _sort(x, axis=_axis(x, axis, dim, "sort"), descending=bool(descending))


def argsort(x: Array, /, axis: int = -1, *, descending: bool = False, stable: bool = True, dim: Any = UNSET) -> Array:
    """The positions that put the elements in order along an axis, as int32."""
    x = as_tensor(x, "argsort")
    if not x.ndim:
        return from_host(np.zeros((), np.int32))
    return _sort_both(x, axis=_axis(x, axis, dim, "argsort"), descending=bool(descending))[1]


def sort_with_indices(x: Array, axis: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """`sort` and `argsort` at once."""
    x = as_tensor(x, "sort")
    if not x.ndim:
        return x.clone(), from_host(np.zeros((), np.int32))
    values, order = _sort_both(x, axis=_axis(x, axis, UNSET, "sort"), descending=bool(descending))
    return values, order


def topk(x: Array, k: int, axis: int = -1, largest: bool = True, sorted: bool = True, *,
         dim: Any = UNSET) -> tuple[Array, Array]:
    """The k greatest (or least) elements along an axis, in order, and their positions."""
    x = as_tensor(x, "topk")
    along = _axis(x, axis, dim, "topk")
    count = integer(k, "topk", "k")
    if not 0 <= count <= x.shape[along]:
        raise ValueError_(message(f"topk: k must be from 0 to {x.shape[along]}",
                                  [("x", described(x)), ("k", str(count))],
                                  "there are not more elements along the axis"))
    values, order = _sort_both(x, axis=along, descending=bool(largest), first=count)
    return values, order


# -- quantiles ---------------------------------------------------------------------------------------------------------


between = operation(name="lerp")(interpolated)


@operation()
def _quantile(x: Node, q: Node, axis: int, keepdims: bool, method: str) -> Node:
    """Linear interpolation in the sorted array; lines with a NaN give NaN."""
    x = floating(x)
    n = x.shape[axis]
    line, rank = build.sort([x], axis)[0], len(q.shape)
    order = (*range(axis, axis + rank), *range(axis), *range(axis + rank, len(x.shape) - 1 + rank))

    def at_places(places: Node) -> Node:
        return build.transpose(build.gather(line, build.convert(places, dtypes.int32), axis), order)

    at = build.mul(build.convert(q, x.dtype), build.full(q.shape, n - 1, x.dtype))
    low, high = build.floor(at), build.unary("ceil", at)
    if method in ("lower", "higher", "nearest"):
        chosen = {"lower": low, "higher": high, "nearest": build.unary("round", at)}[method]
        y = at_places(chosen)
    else:
        parts = [at_places(v) for v in (low, high)]
        weight = build.full(q.shape, 0.5, x.dtype) if method == "midpoint" else build.sub(at, low)
        if method == "midpoint":
            weight = build.select(build.binary("eq", low, high), build.zeros_like(weight), weight)
        weight = build.broadcast(weight, parts[0].shape, tuple(range(rank)))
        y = interpolated(parts[0], parts[1], weight)
    missing = build.reduce("or", build.unary("isnan", x), (axis,))
    missing = build.broadcast(missing, y.shape, tuple(range(rank, len(y.shape))))
    last = build.reshape(build.slice_axis(line, axis, n - 1, n), tuple(m for k, m in enumerate(x.shape) if k != axis))
    y = build.select(missing, build.broadcast(last, y.shape, tuple(range(rank, len(y.shape)))), y)  # it has the slope
    if not keepdims:
        return y
    shape = [1 if k == axis else m for k, m in enumerate(x.shape)]
    return build.reshape(y, (*q.shape, *shape))


_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def quantile(x: Array, q: Any, axis: int | None = None, keepdims: bool = False, *, method: str = "linear",
             dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """Quantiles along an axis (of all elements without one); q is a number or an array of numbers in [0, 1].

    >>> import pullback as pb
    >>> pb.quantile(pb.tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    Tensor(2.5, dtype=float32)
    """
    x = as_tensor(x, "quantile")
    one_of(method, _METHODS, "quantile", "method")
    wanted = np.asarray(q.numpy() if hasattr(q, "numpy") else q, np.float64)
    if wanted.ndim > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError_(message("quantile: q must be numbers from 0 to 1", [("q", f"{q!r:.60}")],
                                  "use 0.5 for the median"))
    axis = synonym(axis, dim, "quantile", "axis and dim")
    keep = keepdims if keepdim is UNSET else keepdim
    return _whole_or_axis(x, axis, bool(keep), "quantile", lambda v, k, kd: _quantile(
        v, from_host(wanted), axis=k, keepdims=kd, method=method))


def _whole_or_axis(x: Any, axis: Any, keepdims: bool, name: str, run: Any) -> Any:
    from pullback.api.manipulation import reshape

    if axis is None:
        flat = reshape(x, (x.info.type.size,))
        _not_empty(flat, 0, name)
        y = run(flat, 0, False)
        return reshape(y, (*y.shape, *(1,) * x.ndim)) if keepdims and x.ndim else y
    k = axis_of(axis, x.ndim, name, x)
    _not_empty(x, k, name)
    return run(x, k, keepdims)


def _not_empty(x: Any, axis: int, name: str) -> None:
    if x.shape[axis] == 0:
        raise ShapeError(message(f"{name}: there is none of no elements", [("x", described(x))], "check x.size first"))


def median(x: Array, axis: int | None = None, keepdims: bool = False, *, dim: Any = UNSET,
           keepdim: Any = UNSET) -> Array:
    """The middle element along an axis, the mean of two where their number is even."""
    return quantile(x, 0.5, axis, keepdims, dim=dim, keepdim=keepdim)


@operation()
def _kth(x: Node, k: int, axis: int, keepdims: bool) -> tuple[Node, ...]:
    values, order = _sort_both.define(x, axis, False, k + 1)
    return tuple(kept(build.reshape(build.slice_axis(v, axis, k, k + 1),
                                    tuple(n for j, n in enumerate(x.shape) if j != axis)),
                      x, (axis,), keepdims) for v in (values, order))


def kthvalue(x: Array, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The k-th least element along an axis (counted from 1) and its position."""
    x = as_tensor(x, "kthvalue")
    axis = axis_of(dim, x.ndim, "kthvalue", x)
    n = integer(k, "kthvalue", "k")
    if not 1 <= n <= x.shape[axis]:
        raise ValueError_(message(f"kthvalue: k must be from 1 to {x.shape[axis]}",
                                  [("x", described(x)), ("k", str(n))], "k is counted from 1"))
    values, order = _kth(x, k=n - 1, axis=axis, keepdims=bool(keepdim))
    return values, order


# -- unique elements: the shape of the result depends on the values, which are observed --------------------------------


def _distinct(x: Any, equal_nan: bool) -> Any:
    """The distinct elements on the host: those that differ from the one before in order."""
    line = _sort(ravel(x), axis=0, descending=False).numpy()
    new = np.ones(line.size, bool)
    new[1:] = line[1:] != line[:-1]
    if equal_nan and x.info.type.dtype.is_inexact:
        missing = line != line
        new[1:] &= ~(missing[1:] & missing[:-1])
    return line[new]


def _unique(x: Any, **options: Any) -> Any:
    given = as_tensor(x, "unique")
    more = any(v is not None and v is not False for k, v in options.items() if k != "equal_nan")
    if given.info.type.dtype.kind != "c" and not more:
        return _distinct(given, bool(options.get("equal_nan", True)))
    array = given.numpy()
    if array.dtype.kind == "V" or (array.dtype.itemsize == 2 and array.dtype.kind not in "iu"):
        found = np.unique(array.astype(np.float32), **options)
        first = found[0] if isinstance(found, tuple) else found
        return (first.astype(array.dtype), *found[1:]) if isinstance(found, tuple) else first.astype(array.dtype)
    return np.unique(array, **options)


def unique(x: Array, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None, *,
           equal_nan: bool = True) -> Any:
    """The distinct elements in order; where each element went and how often each occurs, on request. x is observed. All
    NaN count as one, or as many (`equal_nan`)."""
    found = _unique(x, return_inverse=return_inverse, return_counts=return_counts, axis=axis, equal_nan=equal_nan)
    if not isinstance(found, tuple):
        return from_host(found)
    return tuple(from_host(found[0]) if k == 0 else from_host(v.astype(np.int32)) for k, v in enumerate(found))


def unique_values(x: Array, /) -> Array:
    """The distinct elements (Array API)."""
    return from_host(_unique(x, equal_nan=False))


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Array
    inverse_indices: Array


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


def unique_counts(x: Array, /) -> UniqueCounts:
    """The distinct elements and how often each occurs (Array API)."""
    values, counts = _unique(x, return_counts=True, equal_nan=False)
    return UniqueCounts(from_host(values), from_host(counts.astype(np.int32)))


def unique_inverse(x: Array, /) -> UniqueInverse:
    """The distinct elements and the position of each element among them (Array API)."""
    shape = as_tensor(x, "unique").shape
    values, inverse = _unique(x, return_inverse=True, equal_nan=False)
    return UniqueInverse(from_host(values), from_host(inverse.reshape(shape).astype(np.int32)))


def unique_all(x: Array, /) -> UniqueAll:
    """The distinct elements, where each comes first, the position of each element among them, counts (Array API)."""
    shape = as_tensor(x, "unique").shape
    values, first, inverse, counts = _unique(x, return_index=True, return_inverse=True, return_counts=True,
                                             equal_nan=False)
    rest = [from_host(v.astype(np.int32)) for v in (first, inverse.reshape(shape), counts)]
    return UniqueAll(from_host(values), *rest)


def unique_consecutive(x: Array, axis: int | None = None) -> tuple[Array, Array, Array]:
    """The elements without those equal to the one before (slices along an axis), where each went, how often each
    occurs. x is observed.

    >>> import pullback as pb
    >>> pb.unique_consecutive(pb.tensor([1, 1, 2, 1]))[0]
    Tensor([1, 2, 1], dtype=int32)
    """
    x = as_tensor(x, "unique_consecutive")
    k = 0 if axis is None else axis_of(axis, x.ndim, "unique_consecutive", x)
    lined = ravel(x) if axis is None else x
    array = lined.numpy()
    n = array.shape[k]
    lines = np.moveaxis(array, k, 0).reshape(n, array.size // max(n, 1))
    new = np.ones(n, bool)
    new[1:] = (lines[1:] != lines[:-1]).any(1)
    inverse = (np.cumsum(new) - 1).astype(np.int32)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, n)).astype(np.int32)
    values = take(lined, from_host(starts.astype(np.int32)), axis=k)
    return values, from_host(inverse.reshape(x.shape) if axis is None else inverse), from_host(counts)


def histc(x: Array, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    """How many elements fall into each of equal bins between min and max. x is observed."""
    array = as_tensor(x, "histc").numpy()
    low, high = number(min, "histc", "min"), number(max, "histc", "max")
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    counts, _ = np.histogram(array, bins=integer(bins, "histc", "bins"), range=(low, high))
    return from_host(counts.astype(array.dtype))


def max_with_indices(x: Array, axis: int, keepdims: bool = False) -> tuple[Array, Array]:
    """The greatest element along an axis and the position of the first such; the gradient goes to that one.

    >>> import pullback as pb
    >>> from pullback.api.sorting import max_with_indices
    >>> max_with_indices(pb.tensor([[1.0, 5.0], [3.0, 3.0]]), 1)
    (Tensor([5., 3.], dtype=float32), Tensor([1, 0], dtype=int32))
    """
    return _extreme_with_indices(x, axis, keepdims, argmax)


def min_with_indices(x: Array, axis: int, keepdims: bool = False) -> tuple[Array, Array]:
    """The least element along an axis and the position of the first such; the gradient goes to that one."""
    return _extreme_with_indices(x, axis, keepdims, argmin)


def _extreme_with_indices(x: Array, axis: int, keepdims: bool, locate: Any) -> tuple[Array, Array]:
    x = as_tensor(x, "max")
    if not x.ndim:
        axis_of(axis, 1, "max", x)
        return x.clone(), locate(x)
    along = axis_of(axis, x.ndim, "max", x)
    where = locate(x, axis=along, keepdims=True)
    values = take_along_axis(x, where, axis=along)
    return (values, where) if keepdims else (squeeze(values, along), squeeze(where, along))


def _middle(x: Node) -> Node:
    """The lower of the two middle elements of a line; NaN where any is."""
    if not x.tensor.size:
        return build.scalar_like(build.zeros((), x.dtype), float("nan"))
    k = (x.tensor.size - 1) // 2
    values = _sort_both.define(x, 0, False, k + 1)[0]
    found = build.reshape(build.slice_axis(values, 0, k, k + 1), ())
    if x.dtype.kind != "f":
        return found
    missing = build.reduce("or", build.binary("ne", x, x), (0,))
    return build.select(missing, build.scalar_like(found, float("nan")), found)


def _even_shares(inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
    x, found = inputs
    value = build.broadcast(found, x.shape, ())
    missing = build.binary("logical_and", build.binary("ne", x, x), build.binary("ne", value, value))
    here = build.binary("logical_or", build.binary("eq", x, value), missing)
    count = build.reduce("add", build.convert(here, x.dtype), (0,))
    total = build.reduce("add", build.select(here, tangents[0], build.zeros_like(x)), (0,))
    return (found,), (build.div(total, count),)


def _shared(x: Node, found: Node) -> Node:
    """An element of a line, whose gradient goes to all elements that equal it, in even shares."""
    return with_rule("median", lambda _, value: value, _even_shares, x, build.stop_gradient(found))[0]


def _of_all(x: Node, found: Node) -> Node:
    return _shared(build.reshape(x, (x.tensor.size,)), found)


#: an element of x, whose gradient goes to all elements that equal it, in even shares; by what has found it
shared_by_equals = {name: operation(name=name)(_of_all) for name in ("nanmedian", "max", "min")}


@operation(name="kth")
def _median_of_all(x: Node) -> Node:
    line = build.reshape(x, (x.tensor.size,))
    return _shared(line, _middle(line)) if x.dtype.kind == "f" else _middle(line)


@operation(name="median")
def _median_along(x: Node, axis: int, keepdims: bool) -> tuple[Node, ...]:
    """The lower of the two middle elements of each line and its position; the first NaN where there is one."""
    n = x.shape[axis]
    middle = _kth.define(x, (n - 1) // 2, axis, True)[1]
    at = build.iota(x.shape, axis, middle.dtype)
    missing = build.select(build.unary("isnan", x), at, build.full(x.shape, n, middle.dtype))
    first = kept(build.reduce("min", missing, (axis,)), x, (axis,), True)
    where = build.select(build.binary("lt", first, build.full(first.shape, n, first.dtype)), first, middle)
    found = (build.take_along(x, where, axis), where)
    return found if keepdims else tuple(build.reshape(v, (*x.shape[:axis], *x.shape[axis + 1:])) for v in found)


def lower_median(x: Array, axis: int | None = None, keepdims: bool = False) -> Any:
    """The middle element, the lower of two where their number is even: of all elements, which share the gradient with
    those equal to them, or along an axis with its position."""
    x = as_tensor(x, "median")
    if axis is None:
        if not x.info.type.size and not x.info.type.dtype.is_inexact:
            raise ShapeError(message("median: there is none of no elements", [("x", described(x))], "check its size"))
        return _median_of_all(x)
    along = axis_of(axis, x.ndim, "median", x)
    if x.info.type.dtype.kind != "f":
        return kthvalue(x, (x.shape[along] + 1) // 2, along, keepdims)
    _not_empty(x, along, "median")
    values, where = _median_along(x, axis=along, keepdims=bool(keepdims))
    return values, where

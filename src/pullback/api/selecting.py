"""Taking and putting elements by index arrays and masks: functions; the operators are in `indexing.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axis_of, described, integer, one_of
from pullback.api.indexing import getitem, setitem
from pullback.api.indexing import nonzero as positions
from pullback.api.views import fitted
from pullback.engine.operation import broadcast_shapes, broadcast_to, operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, IndexError_, ShapeError, ValueError_, message

Array = Any


def checked_indices(indices: Any, size: int, name: str, negative: bool = True) -> tuple[Any, str]:
    """An index tensor and the mode to use it with. Indices of the host are checked here, negative ones resolved."""
    if isinstance(indices, TensorBase):
        if not indices.info.type.dtype.is_integer:
            raise DTypeError(message(f"{name}: indices must be integers", [("indices", described(indices))],
                                     "convert them: i.long()"))
        return indices, "error"
    array = np.asarray(indices)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise DTypeError(message(f"{name}: indices must be integers", [("indices", f"{indices!r:.60}")],
                                 "pass integers"))
    if array.size:
        low, high = int(array.min()), int(array.max())
        least = -size if negative else 0
        if low < least or high >= size:
            bad = low if low < least else high
            raise IndexError_(message(f"{name}: index {bad} is out of range for size {size}",
                                      [("indices", f"{indices!r:.60}")],
                                      f"use indices from {least} to {size - 1}" if size
                                      else "the axis has no elements"))
        array = np.where(array < 0, array + size, array)
    return from_host(array.astype(np.int32 if size < 2**31 else np.int64)), "clip"


@operation()
def _from_the_front(indices: Node, size: int) -> Node:
    """Indices with negative ones moved behind the end of an axis."""
    wide = build.convert(indices, dtypes.int64)
    behind = build.full(wide.shape, size, dtypes.int64)
    return build.select(build.binary("lt", wide, build.zeros_like(wide)), behind, wide)


@operation()
def _take(x: Node, indices: Node, axis: int, mode: str) -> Node:
    return build.gather(x, indices, axis, mode)


@operation()
def _take_along(x: Node, indices: Node, axis: int, mode: str) -> Node:
    return build.take_along(x, indices, axis, mode)


def take(x: Array, indices: Array, /, *, axis: int | None = None, mode: str | None = None,
         negative: bool = True) -> Array:
    """The elements at indices of an axis (of the flattened array without one). `mode`: "clip", "wrap" or "fill".

    Negative indices count from the end; with `negative=False` they are out of range.

    >>> import pullback as pb
    >>> pb.take(pb.tensor([10, 20, 30]), [2, 0])
    Tensor([30, 10], dtype=int32)
    """
    x = as_tensor(x, "take")
    if axis is None:
        from pullback.api.manipulation import ravel

        x, axis = (x if x.ndim == 1 else ravel(x)), 0
    k = axis_of(axis, x.ndim, "take", x)
    if mode is not None and mode != "raise":
        one_of(mode, ("clip", "wrap", "fill"), "take", "mode")
        return _take(x, indices if isinstance(indices, TensorBase) else from_host(np.asarray(indices)), axis=k,
                     mode=mode)
    at, how = checked_indices(indices, x.shape[k], "take", negative)
    if not negative and how == "error":
        at = _from_the_front(at, size=x.shape[k])
    return _take(x, at, axis=k, mode=how)


def index_select(x: Array, dim: int, index: Array) -> Array:
    """The slices at the indices of a dimension."""
    x = as_tensor(x, "index_select")
    k = axis_of(dim, x.ndim, "index_select", x)
    at, how = checked_indices(index, x.shape[k], "index_select")
    if at.ndim > 1:
        raise ShapeError(message("index_select: index must have one dimension", [("index", described(at))],
                                 "index.ravel()"))
    from pullback.api.manipulation import atleast_1d

    return _take(x, atleast_1d(at), axis=k, mode=how)


def _along(x: Any, indices: Any, axis: int, name: str) -> tuple[Any, str]:
    at, how = checked_indices(indices, x.shape[axis], name)
    if at.ndim != x.ndim:
        raise ShapeError(message(f"{name}: indices must have the rank of the array",
                                 [("x", described(x)), ("indices", described(at))],
                                 "use take for index arrays of other ranks"))
    return at, how


def take_along_axis(x: Array, indices: Array, /, *, axis: int | None = -1) -> Array:
    """Elements along an axis, at indices that differ from line to line; other dimensions broadcast."""
    x = as_tensor(x, "take_along_axis")
    if axis is None:
        from pullback.api.manipulation import ravel

        x, axis = ravel(x), 0
    k = axis_of(axis, x.ndim, "take_along_axis", x)
    at, how = _along(x, indices, k, "take_along_axis")
    return _take_along_broadcast(x, at, axis=k, mode=how)


@operation()
def _take_along_broadcast(x: Node, indices: Node, axis: int, mode: str) -> Node:
    def rest(n: Node) -> tuple[int, ...]:
        return tuple(1 if k == axis else s for k, s in enumerate(n.shape))

    shape = np.broadcast_shapes(rest(x), rest(indices))
    both = [broadcast_to(n, tuple(n.shape[k] if k == axis else s for k, s in enumerate(shape))) for n in (x, indices)]
    return build.take_along(both[0], both[1], axis, mode)


def take_along_dim(x: Array, indices: Array, dim: int | None = None) -> Array:
    """`take_along_axis` under PyTorch's name."""
    return take_along_axis(x, indices, axis=dim)


def _cut(x: Node, shape: tuple[int, ...], axis: int) -> Node:
    """x cut to a shape in all dimensions but one."""
    stops = [n if k == axis else s for k, (n, s) in enumerate(zip(x.shape, shape, strict=True))]
    return build.slice_(x, [0] * len(stops), stops)


@operation()
def _gather_along(x: Node, indices: Node, axis: int, mode: str) -> Node:
    return build.take_along(_cut(x, indices.shape, axis), indices, axis, mode)


def gather(x: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on; index may be smaller than x in other dimensions (PyTorch)."""
    x = as_tensor(x, "gather")
    k = axis_of(dim, x.ndim, "gather", x)
    if isinstance(index, TensorBase) and not index.info.type.size and index.ndim != x.ndim:
        return x.reshape((-1,))[:0].reshape(tuple(index.shape))  # nothing is asked for: PyTorch takes any rank
    at, how = _along(x, index, k, "gather")
    _smaller(x, at, k, "gather")
    return _gather_along(x, at, axis=k, mode=how)


def _smaller(x: Any, at: Any, axis: int, name: str) -> None:
    for k, (n, m) in enumerate(zip(x.shape, at.shape, strict=True)):
        if k != axis and m > n:
            raise ShapeError(message(f"{name}: index is larger than the array in dimension {k}",
                                     [("x", described(x)), ("index", described(at))], "it may be at most as large"))


@operation()
def _scatter_along(x: Node, indices: Node, source: Node, axis: int, mode: str, monoid: str) -> Node:
    updates = broadcast_to(build.convert(source, x.dtype), indices.shape) if not source.shape else \
        _cut(_cut(build.convert(source, x.dtype), indices.shape, -1), indices.shape, -1)
    if all(n == m for k, (n, m) in enumerate(zip(x.shape, indices.shape, strict=True)) if k != axis):
        return build.put_along(x, indices, updates, axis, monoid, mode)
    region = _cut(x, indices.shape, axis)
    changed = build.put_along(region, indices, updates, axis, monoid, mode)
    from pullback.api.views import write_region

    return write_region(x, changed, tuple(("s", 0, 1, n) for n in region.shape))


_MONOIDS = {"add": "add", "sum": "add", "multiply": "mul", "prod": "mul", "amax": "max", "max": "max", "amin": "min",
            "min": "min", None: "set"}


def scatter(x: Array, dim: int, index: Array, src: Any, *, reduce: str | None = None) -> Array:
    """x with out[index[i][j]][j] = src[i][j] for dim 0, and so on; `reduce` combines instead of replacing."""
    x = as_tensor(x, "scatter")
    k = axis_of(dim, x.ndim, "scatter", x)
    one_of(reduce, tuple(_MONOIDS), "scatter", "reduce")
    at, how = _along(x, index, k, "scatter")
    _smaller(x, at, k, "scatter")
    source = src if isinstance(src, (int, float, complex)) else as_tensor(src, "scatter")
    if isinstance(source, TensorBase) and source.ndim and (source.ndim != at.ndim or any(
            s < m for s, m in zip(source.shape, at.shape, strict=True))):
        raise ShapeError(message("scatter: src must be at least as large as index", [("src", described(source)),
                                                                                    ("index", described(at))],
                                                                                    "use a number"))
    return _scatter_along(x, at, source, axis=k, mode=how, monoid=_MONOIDS[reduce])


def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Array:
    """x with src added at indices of a dimension; repeated indices add up."""
    return scatter(x, dim, index, src, reduce="add")


@operation()
def _index_put(x: Node, indices: Node, source: Node, axis: int, mode: str, monoid: str) -> Node:
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1:])
    return build.scatter(x, indices, fitted(source, x, shape, "index_add"), axis, monoid, mode)


def index_add(x: Array, dim: int, index: Array, source: Array, *, alpha: float = 1) -> Array:
    """x with alpha * source added to the slices at the indices of a dimension."""
    x = as_tensor(x, "index_add")
    k = axis_of(dim, x.ndim, "index_add", x)
    at, how = checked_indices(index, x.shape[k], "index_add")
    values = as_tensor(source, "index_add")
    return _index_put(x, at, values if alpha == 1 else values * alpha, axis=k, mode=how, monoid="add")


def index_copy(x: Array, dim: int, index: Array, source: Array) -> Array:
    """x with the slices at the indices of a dimension replaced."""
    x = as_tensor(x, "index_copy")
    k = axis_of(dim, x.ndim, "index_copy", x)
    at, how = checked_indices(index, x.shape[k], "index_copy")
    return _index_put(x, at, as_tensor(source, "index_copy"), axis=k, mode=how, monoid="set")


def index_fill(x: Array, dim: int, index: Array, value: float) -> Array:
    """x with the slices at the indices of a dimension set to a number."""
    x = as_tensor(x, "index_fill")
    k = axis_of(dim, x.ndim, "index_fill", x)
    at, how = checked_indices(index, x.shape[k], "index_fill")
    return _index_put(x, at, as_tensor(value, "index_fill"), axis=k, mode=how, monoid="set")


def index_put(x: Array, indices: Any, values: Array, accumulate: bool = False) -> Array:
    """x with x[indices] replaced by values, or increased where `accumulate`."""
    result = as_tensor(x, "index_put").clone()
    setitem(result, tuple(indices), values, "add" if accumulate else "set")
    return result


def put_along_axis(x: Array, indices: Array, values: Any, axis: int) -> Array:
    """x with values put along an axis, at indices that differ from line to line; returns a new array."""
    return scatter(x, axis, indices, values)


# -- masks -------------------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _masked_fill(x: Node, mask: Node, value: Node) -> Node:
    if mask.dtype.kind != "b":
        raise DTypeError(message("masked_fill: the mask must be of dtype bool", [("mask", repr(mask.type))],
                                 "compare it: mask != 0"))
    shape = broadcast_shapes("masked_fill", [x, mask])
    return build.select(broadcast_to(mask, shape), broadcast_to(build.convert(value, x.dtype), shape),
                        broadcast_to(x, shape))


def masked_fill(x: Array, mask: Array, value: Any) -> Array:
    """x with the elements where the mask holds replaced by a number.

    >>> import pullback as pb
    >>> pb.masked_fill(pb.tensor([1.0, 2.0]), pb.tensor([True, False]), 0)
    Tensor([0., 2.], dtype=float32)
    """
    x = as_tensor(x, "masked_fill")
    if getattr(value, "ndim", 0):
        raise ShapeError(message("masked_fill: the value must be one number", [("value", described(value))],
                                 "use pb.where"))
    return _masked_fill(x, mask, value)


def masked_select(x: Array, mask: Array) -> Array:
    """The elements where the mask holds, in one dimension. The mask is observed."""
    from pullback.api.manipulation import broadcast_arrays

    a, b = broadcast_arrays(x, mask)
    if b.info.type.dtype.kind != "b":
        raise DTypeError(message("masked_select: the mask must be of dtype bool", [("mask", described(b))],
                                 "compare it: mask != 0"))
    return getitem(a, b)


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """The positions of elements that are not 0, one array per dimension. x is observed."""
    x = as_tensor(x, "nonzero")
    if not x.ndim:
        raise ShapeError(message("nonzero: needs at least one dimension", [("x", described(x))], "x.reshape(1)"))
    return tuple(from_host(n.astype(np.int32)) for n in positions(x.numpy()))


def argwhere(x: Array) -> Array:
    """The positions of elements that are not 0, one row each. x is observed."""
    found = as_tensor(x, "argwhere").numpy()
    if not found.ndim:
        return from_host(np.argwhere(found).astype(np.int32))
    return from_host(np.stack([n.astype(np.int32) for n in positions(found)], -1))


@operation(differentiable=False)
def _one_hot(x: Node, count: int, axis: int, dtype: dtypes.DType) -> Node:
    shape = (*x.shape[:axis], count, *x.shape[axis:])
    spread = build.broadcast(x, shape, tuple(k if k < axis else k + 1 for k in range(len(x.shape))))
    return build.convert(build.binary("eq", spread, build.iota(shape, axis, x.dtype)), dtype)


def one_hot(x: Array, num_classes: int = -1, *, axis: int = -1, dtype: Any = None) -> Array:
    """1 at the class of each element, 0 elsewhere, along a new axis. Without `num_classes` x is observed.

    >>> import pullback as pb
    >>> pb.one_hot(pb.tensor([0, 2]), 3)
    Tensor([[1, 0, 0],
            [0, 0, 1]], dtype=int32)
    """
    x = as_tensor(x, "one_hot")
    if not x.info.type.dtype.is_integer:
        raise DTypeError(message("one_hot: classes must be integers", [("x", described(x))], "convert them: x.long()"))
    count = integer(num_classes, "one_hot", "num_classes")
    if count == -1:
        values = x.numpy()
        if not values.size:
            raise ValueError_(message("one_hot: the number of classes of no elements is not known",
                                      [("x", described(x))], "pass num_classes"))
        count = int(values.max()) + 1
    if count < 1:
        raise ValueError_(message("one_hot: there must be at least one class", [("num_classes", str(count))],
                                  "use 1 or more"))
    return _one_hot(x, count=count, axis=axis_of(axis, x.ndim + 1, "one_hot", x),
                    dtype=dtypes.int32 if dtype is None else dtypes.dtype_of(dtype))


# -- sorted arrays -----------------------------------------------------------------------------------------------------


@operation(promote="dtype", differentiable=False)
def _searchsorted(sorted_: Node, values: Node, right: bool) -> Node:
    lead, n = sorted_.shape[:-1], sorted_.shape[-1]
    lines = build.reshape(values, (*lead, build.count(values.shape[len(lead):])))
    return build.reshape(_places(sorted_, lines, n, right), values.shape)


def _places(sorted_: Node, values: Node, n: int, right: bool) -> Node:
    """How many elements of each line come before each value, found by halving."""
    axis = len(sorted_.shape) - 1
    found = build.zeros(values.shape, dtypes.int32)
    for step in reversed(range(n.bit_length())):
        tried = build.add(found, build.scalar_like(found, 1 << step))
        last = build.sub(tried, build.scalar_like(found, 1))
        element = build.take_along(sorted_, last, axis) if axis else build.gather(sorted_, last, 0)
        there = build.binary("le", tried, build.scalar_like(found, n))
        found = build.select(build.binary("logical_and", there, _before(element, values, right)), tried, found)
    return found


def _before(element: Node, value: Node, right: bool) -> Node:
    """Whether an element of a sorted line comes before the place of a value; NaN comes after all numbers."""
    before = build.binary("le" if right else "lt", element, value)
    if not value.dtype.is_inexact:
        return before
    missing = build.unary("isnan", value)
    if not right:
        missing = build.binary("logical_and", missing, build.unary("logical_not", build.unary("isnan", element)))
    return build.binary("logical_or", before, missing)


def searchsorted(sorted_sequence: Array, values: Array, /, *, side: str = "left", right: bool = False,
                 sorter: Any = None) -> Array:
    """Where values would be inserted to keep a sorted array sorted."""
    a, v = as_tensor(sorted_sequence, "searchsorted"), as_tensor(values, "searchsorted")
    one_of(side, ("left", "right"), "searchsorted", "side")
    if not a.ndim or (a.ndim > 1 and a.shape[:-1] != v.shape[:-1]):
        raise ShapeError(message("searchsorted: the sorted array must be one line, or one line for each line of values",
                                 [("sorted", described(a)), ("values", described(v))],
                                 "leading dimensions must be equal"))
    if sorter is not None:
        a = take_along_axis(a, sorter, axis=-1)
    return _searchsorted(a, v, right=right or side == "right")


def bucketize(values: Array, boundaries: Array, *, right: bool = False) -> Array:
    """The bucket of each value between sorted boundaries."""
    return searchsorted(boundaries, values, right=right)


def isin(x: Array, test: Array, *, assume_unique: bool = False, invert: bool = False) -> Array:
    """Whether each element is among the elements of another array, which need not be unique."""
    found = _isin(x, test)
    return ~found if invert else found


@operation(promote="dtype", differentiable=False)
def _isin(x: Node, test: Node) -> Node:
    n = test.tensor.size
    flat = build.reshape(test, (n,))
    if x.dtype.kind == "c" or not n:  # complex numbers have no order
        shape = (*x.shape, n)
        pairs = build.binary("eq", build.broadcast(x, shape, tuple(range(len(x.shape)))),
                             build.broadcast(flat, shape, (len(x.shape),)))
        return build.reduce("or", pairs, (len(x.shape),))
    ordered = build.sort([flat], 0)[0]
    return build.binary("eq", build.gather(ordered, _places(ordered, x, n, False), 0), x)


@operation(differentiable=False)
def _bincount(x: Node, count: int) -> Node:
    return build.scatter(build.zeros((count,), dtypes.int32), x, build.full(x.shape, 1, dtypes.int32), 0, "add", "clip")


@operation()
def _bincount_weighted(x: Node, weights: Node, count: int) -> Node:
    return build.scatter(build.zeros((count,), weights.dtype), x, weights, 0, "add", "clip")


def bincount(x: Array, weights: Array = None, minlength: int = 0) -> Array:
    """How often each number occurs in a vector of non-negative integers (or the sums of weights). x is observed."""
    x = as_tensor(x, "bincount")
    if x.ndim != 1 or not x.info.type.dtype.is_integer:
        raise ShapeError(message("bincount: needs a vector of integers", [("x", described(x))], "x.ravel().long()"))
    values = x.numpy()
    if values.size and values.min() < 0:
        raise ValueError_(message("bincount: numbers cannot be negative", [("least", str(values.min()))], "shift them"))
    count = max(int(values.max()) + 1 if values.size else 0, minlength)
    return _bincount(x, count=count) if weights is None else _bincount_weighted(x, as_tensor(weights, "bincount"),
                                                                                count=count)



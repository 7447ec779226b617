"""Copies of an array with parts replaced: slices, diagonals, masks, and reductions into slices; windows on its memory
order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axis_of, described, integer, number, one_of, shape_of
from pullback.api.creation import full
from pullback.api.elementwise import astype, clip, maximum, where
from pullback.api.manipulation import broadcast_to, diagonal, ravel, reshape
from pullback.api.reductions import cumsum
from pullback.api.selecting import _index_put, checked_indices, index_add, index_fill, scatter, take
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.index import const, loop_vars
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any


def _region(name: str, x: Any, index: Any, source: Any) -> Any:
    """x with x[index] replaced by an array of its shape."""
    result = x.clone()
    part, source = result[index], as_tensor(source, name)
    if part.shape != source.shape:
        raise ShapeError(message(f"{name}: the source must have the shape of what it replaces",
                                 [("source", described(source)), ("replaced", described(part))],
                                 f"reshape or expand it to {tuple(part.shape)}"))
    result[index] = source
    return result


def select_scatter(x: Array, src: Array, dim: int, index: int) -> Array:
    """x with the slice at an index of a dimension replaced.

    >>> import pullback as pb
    >>> pb.select_scatter(pb.zeros((2, 2)), pb.ones(2), 0, 1)
    Tensor([[0., 0.],
            [1., 1.]], dtype=float32)
    """
    x = as_tensor(x, "select_scatter")
    axis = axis_of(dim, x.ndim, "select_scatter", x)
    return _region("select_scatter", x, (slice(None),) * axis + (integer(index, "select_scatter", "index"),), src)


def slice_scatter(x: Array, src: Array, dim: int = 0, start: int | None = None, end: int | None = None,
                  step: int = 1) -> Array:
    """x with the slices start, start + step, ... before end of a dimension replaced."""
    x = as_tensor(x, "slice_scatter")
    axis = axis_of(dim, x.ndim, "slice_scatter", x)
    by = integer(step, "slice_scatter", "step")
    if by < 1:
        raise ValueError_(message("slice_scatter: step must be 1 or more", [("step", str(by))]))
    return _region("slice_scatter", x, (slice(None),) * axis + (slice(start, end, by),), src)


def diagonal_scatter(x: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """x with its diagonal over two dimensions replaced."""
    x = as_tensor(x, "diagonal_scatter")
    result = x.clone()
    line, source = diagonal(result, offset, dim1, dim2), as_tensor(src, "diagonal_scatter")
    if line.shape != source.shape:
        raise ShapeError(message("diagonal_scatter: the source must have the shape of the diagonal",
                                 [("source", described(source)), ("diagonal", described(line))],
                                 f"reshape it to {tuple(line.shape)}"))
    line.copy_(source)
    return result


def fill_diagonal(x: Array, value: Any, wrap: bool = False) -> Array:
    """x with a number on its main diagonal (of a matrix higher than wide again below, where `wrap`)."""
    x = as_tensor(x, "fill_diagonal")
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ShapeError(message("fill_diagonal: needs a matrix, or equal sizes in all dimensions",
                                 [("x", described(x))], "use x.diagonal()"))
    sizes = tuple(x.shape)
    step = sum(math.prod(sizes[k + 1:]) for k in range(len(sizes)))
    mask = np.zeros(math.prod(sizes), bool)
    mask[: None if wrap or x.ndim > 2 else sizes[1] * sizes[1]: step] = True
    value = value if isinstance(value, TensorBase) else number(value, "fill_diagonal", "value")
    return where(from_host(mask.reshape(sizes)), astype(as_tensor(value, "fill_diagonal"), x.dtype), x)


def masked_scatter(x: Array, mask: Array, source: Array) -> Array:
    """x with the elements where a mask holds replaced by those of a source, in order.

    >>> import pullback as pb
    >>> pb.masked_scatter(pb.zeros(3), pb.tensor([True, False, True]), pb.tensor([5.0, 6.0]))
    Tensor([5., 0., 6.], dtype=float32)
    """
    x, mask = as_tensor(x, "masked_scatter"), as_tensor(mask, "masked_scatter")
    source = ravel(as_tensor(source, "masked_scatter"))
    if mask.info.type.dtype.kind != "b":
        raise DTypeError(message("masked_scatter: the mask must be of dtype bool", [("mask", described(mask))],
                                 "compare it: mask != 0"))
    if source.info.type.dtype is not x.info.type.dtype:
        raise DTypeError(message("masked_scatter: x and the source must have one dtype",
                                 [("x", described(x)), ("source", described(source))], "convert the source"))
    shape = np.broadcast_shapes(x.shape, mask.shape)
    x, mask = broadcast_to(x, shape), broadcast_to(mask, shape)
    if not x.info.type.size:
        return x
    needed = mask.sum().item() if source.shape[0] < x.info.type.size else 0
    if needed > source.shape[0]:
        raise ShapeError(message("masked_scatter: the source has fewer elements than the mask holds",
                                 [("mask", f"{needed} elements"), ("source", described(source))], "pass more elements"))
    if not source.shape[0]:
        return x.clone()
    at = clip(cumsum(astype(ravel(mask), dtypes.int32), 0) - 1, 0, source.shape[0] - 1)
    return where(mask, reshape(take(source, at, axis=0, mode="clip"), shape), x)


# -- reductions into slices --------------------------------------------------------------------------------------------

_REDUCTIONS = {"prod": "mul", "amax": "max", "amin": "min"}


def identity_of(reduce: str, dtype: Any) -> Any:
    """What changes nothing in a reduction."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "f":
        return -math.inf if reduce == "amax" else math.inf
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if reduce == "amax" else limits.max)


def _divided(found: Any, count: Any) -> Any:
    """Sums as means of as many numbers; whole ones rounded down."""
    count = maximum(count, 1)
    return found / astype(count, found.dtype) if found.dtype.is_inexact else \
        astype(found // astype(count, found.dtype), found.dtype)


def index_reduce(x: Array, dim: int, index: Array, source: Array, reduce: str, *, include_self: bool = True) -> Array:
    """x with the slices of a source reduced ("prod", "mean", "amax", "amin") into those at indices of a dimension; what
    stands there does not count without `include_self`."""
    x, source = as_tensor(x, "index_reduce"), as_tensor(source, "index_reduce")
    one_of(reduce, ("prod", "mean", "amax", "amin"), "index_reduce", "reduce")
    axis = axis_of(dim, x.ndim, "index_reduce", x)
    base = x if include_self else index_fill(x, axis, index, identity_of(reduce, x.dtype))
    if reduce != "mean":
        at, how = checked_indices(index, x.shape[axis], "index_reduce")
        return _index_put(base, at, source, axis=axis, mode=how, monoid=_REDUCTIONS[reduce])
    count = full((x.shape[axis],), int(include_self), dtype=dtypes.int32)
    count = index_add(count, 0, index, from_host(np.ones(index.shape, np.int32)))
    line = tuple(-1 if k == axis else 1 for k in range(x.ndim))
    return _divided(index_add(base, axis, index, source), reshape(count, line))


def scatter_reduce(x: Array, dim: int, index: Array, src: Array, reduce: str, *, include_self: bool = True) -> Array:
    """`scatter` with a reduction: "sum", "prod", "mean", "amax", "amin"; what stands there does not count without
    `include_self`."""
    x = as_tensor(x, "scatter_reduce")
    one_of(reduce, ("sum", "prod", "mean", "amax", "amin"), "scatter_reduce", "reduce")
    base = x if include_self else scatter(x, dim, index, identity_of(reduce, x.dtype))
    if reduce != "mean":
        return scatter(base, dim, index, src, reduce=reduce)
    count = full(tuple(x.shape), int(include_self), dtype=dtypes.int32)
    count = scatter(count, dim, index, from_host(np.ones(index.shape, np.int32)), reduce="add")
    return _divided(scatter(base, dim, index, src, reduce="add"), count)


# -- memory order ------------------------------------------------------------------------------------------------------


@operation()
def _strided(x: Node, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Node:
    at: Any = const(offset)
    for v, by in zip(loop_vars(shape), strides, strict=True):
        at = at + v * by
    return build.reindex(build.reshape(x, (x.tensor.size,)), shape, [at])


def as_strided(x: Array, size: Any, stride: Any, storage_offset: int | None = None) -> Array:
    """The elements of x, in the order of its rows, `stride` of them apart along each dimension: a copy, not a view.

    >>> import pullback as pb
    >>> pb.as_strided(pb.arange(5), (3, 3), (1, 1))
    Tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]], dtype=int32)
    """
    x = as_tensor(x, "as_strided")
    shape, strides = shape_of((size,), "as_strided"), shape_of((stride,), "as_strided")
    offset = integer(storage_offset or 0, "as_strided", "storage_offset")
    if len(shape) != len(strides):
        raise ShapeError(message("as_strided: needs a stride for every dimension",
                                 [("size", str(shape)), ("stride", str(strides))]))
    last = offset + sum((n - 1) * by for n, by in zip(shape, strides, strict=True))
    if offset < 0 or (math.prod(shape) and last >= x.info.type.size):
        raise ValueError_(message(f"as_strided: reaches element {last} of {x.info.type.size}",
                                  [("x", described(x)), ("size", str(shape)), ("stride", str(strides))],
                                  "take fewer or nearer elements"))
    return _strided(x, shape=shape, strides=strides, offset=offset)


__all__ = ["as_strided", "diagonal_scatter", "fill_diagonal", "identity_of", "index_reduce", "masked_scatter",
           "scatter_reduce", "select_scatter", "slice_scatter"]

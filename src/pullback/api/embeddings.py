"""What tables of embeddings can do besides being read: bags, rows of limited size, gradients by frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, number, one_of
from pullback.api.layers import rows_of
from pullback.api.linear_algebra import norm_nodes
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import local
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.ops import matrix
from pullback.ops.control import with_rule
from pullback.util.errors import ArgumentError, IndexError_, ShapeError, ValueError_, message

Array = Any


# -- gradients by frequency --------------------------------------------------------------------------------------------


def _by_share(inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
    rows, share = inputs
    wide = build.broadcast(share, rows.shape, tuple(range(len(share.shape))))
    return (rows,), (build.mul(tangents[0], wide),)


@operation(promote="exact")
def shared_gradient(rows: Node, indices: Node, size: int) -> Node:
    """Rows as they are; the gradient of each is divided by how often its index occurs."""
    flat = build.reshape(indices, (indices.tensor.size,))
    ones = build.full(flat.shape, 1, rows.dtype)
    counts = build.scatter(build.zeros((size,), rows.dtype), flat, ones, 0, "add", "clip")
    often = build.gather(counts, indices, 0, "clip")
    share = build.div(build.ones_like(often), often)
    return with_rule("shared_gradient", lambda rows, share: rows, _by_share, rows, share)[0]


# -- rows of limited size ----------------------------------------------------------------------------------------------


@operation(differentiable=False)
def _limited(table: Node, indices: Node, limit: float, p: float) -> Node:
    """Rows that are read and longer than the limit, shortened to it."""
    size = table.shape[0]
    flat = build.reshape(indices, (indices.tensor.size,))
    seen = build.scatter(build.zeros((size,), dtypes.int32), flat, build.full(flat.shape, 1, dtypes.int32), 0, "max",
                         "clip")
    norms = norm_nodes(table, p, (1,))
    most = build.scalar_like(norms, limit)
    long = build.binary("logical_and", build.binary("gt", norms, most),
                        build.binary("gt", seen, build.zeros_like(seen)))
    factor = build.div(most, build.add(norms, build.scalar_like(norms, 1e-7)))
    wide = build.broadcast(build.select(long, factor, build.ones_like(factor)), table.shape, (0,))
    return build.mul(table, wide)


def limit_rows(table: Any, indices: Any, max_norm: Any, norm_type: Any, name: str) -> None:
    """Shorten, in place, the rows at indices whose p-norm is more than `max_norm`."""
    before, local.grad_enabled = local.grad_enabled, False
    try:
        table.in_place(_limited, as_tensor(indices, name), limit=number(max_norm, name, "max_norm"),
                       p=number(norm_type, name, "norm_type"))
    finally:
        local.grad_enabled = before


# -- bags --------------------------------------------------------------------------------------------------------------


def _largest(rows: Node, bag: Node, shape: tuple[int, ...]) -> Node:
    """The maximum of each bag's rows, element by element: that of the first row that has it."""
    count = rows.shape[0]
    if not count:
        return build.zeros(shape, rows.dtype)
    found = build.scatter(build.full(shape, float("-inf"), rows.dtype), bag, rows, 0, "max", "clip")
    best = build.gather(found, bag, 0, "clip")
    here = build.binary("logical_or", build.binary("eq", rows, best), build.binary("ne", rows, rows))
    last = build.full(rows.shape, count - 1, dtypes.int32)
    place = build.select(here, build.iota(rows.shape, 0, dtypes.int32), last)
    first = build.scatter(build.full(shape, count - 1, dtypes.int32), bag, place, 0, "min", "clip")
    return build.take_along(rows, first, 0)


@operation(promote="exact")
def _bags(rows: Node, bag: Node, *scale: Node, count: int, mode: str, padding: bool) -> Node:
    """Rows combined by the bag they belong to; with `padding` the last operand says which count."""
    kept = scale[-1] if padding else None
    weights = scale[0] if len(scale) > padding else None
    if weights is not None:
        rows = build.mul(rows, build.broadcast(weights, rows.shape, (0,)))
    on = build.ones_like(bag) if kept is None else build.convert(kept, bag.dtype)
    size = build.scatter(build.zeros((count,), bag.dtype), bag, on, 0, "add", "clip")
    shape = (count, rows.shape[1])
    if mode == "max":
        low = build.scalar_like(rows, float("-inf"))
        rows = rows if kept is None else build.select(build.broadcast(kept, rows.shape, (0,)), rows, low)
        found = _largest(rows, bag, shape)
        empty = build.binary("eq", size, build.zeros_like(size))
        return matrix.where(build.broadcast(empty, shape, (0,)), build.zeros(shape, rows.dtype), found)
    if kept is not None:
        rows = matrix.where(build.broadcast(kept, rows.shape, (0,)), rows, 0)
    found = build.scatter(build.zeros(shape, rows.dtype), bag, rows, 0, "add", "clip")
    if mode == "sum":
        return found
    least = build.convert(build.maximum(size, build.ones_like(size)), rows.dtype)
    return build.div(found, build.broadcast(least, shape, (0,)))


def _factors(weights: Any, x: Array, name: str) -> Array:
    """One number for each index."""
    weights = as_tensor(weights, name)
    if weights.shape != x.shape:
        raise ShapeError(message(f"{name}: per_sample_weights must have the shape of the input",
                                 [("per_sample_weights", described(weights)), ("input", described(x))],
                                 f"one number for each index: {tuple(x.shape)}"))
    return weights.reshape((-1,))


def embedding_bag(input: Array, weight: Array, offsets: Array = None, max_norm: float | None = None,
                  norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Array = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Array:
    """Sums, means or maxima of rows of a table: of each row of `input`, or of what lies between `offsets`."""
    name = "embedding_bag"
    one_of(mode, ("sum", "mean", "max"), name, "mode")
    if scale_grad_by_freq and mode == "max":
        raise ArgumentError(message(f"{name}: scale_grad_by_freq is for sums and means", [("mode", repr(mode))],
                                    "mode='sum'"))
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError(message(f"{name}: per_sample_weights needs mode='sum'", [("mode", repr(mode))],
                                    "mode='sum'"))
    x, table = as_tensor(input, name), as_tensor(weight, name)
    if x.ndim == 2 and offsets is not None:
        raise ArgumentError(message(f"{name}: offsets belong to a 1-dimensional input", [("input", described(x))],
                                    "leave offsets out: each row is a bag"))
    if x.ndim == 1 and offsets is None:
        raise ArgumentError(message(f"{name}: a 1-dimensional input needs offsets", [("input", described(x))],
                                    "offsets=[0] is one bag of all"))
    flat = x.reshape((-1,)) if x.ndim == 2 else x
    if x.ndim == 2:
        numbers = np.repeat(np.arange(x.shape[0]), x.shape[1])
        count, bag = x.shape[0], flat.result_class(from_host(numbers, dtypes.int32)._use())
    else:
        count, bag = _bag_numbers(offsets, x, include_last_offset)
    if sparse and mode == "max":
        raise ValueError_(message("max mode does not support sparse weights", [("mode", repr(mode))], "sparse=False"))
    if not count:
        return table[:0]
    skip = padding_idx % table.shape[0] if sparse and padding_idx is not None else None
    given = [rows_of(name, flat, table, skip, max_norm, norm_type, scale_grad_by_freq, sparse), bag]
    if per_sample_weights is not None:
        given.append(_factors(per_sample_weights, x, name))
    if padding_idx is not None:
        given.append(flat != padding_idx % table.shape[0])
    return _bags(*given, count=count, mode=mode, padding=padding_idx is not None)


@operation(differentiable=False)
def _numbers(offsets: Node, size: int, count: int) -> Node:
    """Which bag each of `size` indices belongs to: how many begin at it or before, less one."""
    starts = build.slice_axis(offsets, 0, 0, count)
    marks = build.scatter(build.zeros((size + 1,), dtypes.int32), starts, build.full((count,), 1, dtypes.int32), 0,
                          "add", "error")
    upto = build.slice_axis(build.cumulative("add", marks, 0), 0, 0, size)
    return build.sub(upto, build.ones_like(upto))


def _bag_numbers(offsets: Any, x: Any, include_last: bool) -> tuple[int, Any]:
    """How many bags, and which each index belongs to; offsets that are known are checked."""
    name, size = "embedding_bag", x.shape[0]
    starts = as_tensor(offsets, name)
    if starts.ndim != 1:
        raise IndexError_(message(f"{name}: offsets must be a list of places", [("offsets", described(starts))],
                                  "where each bag begins among the indices"))
    if starts.shape[0] <= bool(include_last):
        return 0, starts
    if not isinstance(offsets, TensorBase) or local.trace.kind == "main":
        known = np.asarray(starts.numpy())
        if known[0] != 0 or (np.diff(known) < 0).any() or known[-1] > size:
            raise IndexError_(message(f"{name}: offsets must rise from 0 to at most the number of indices",
                                      [("offsets", f"{known.tolist()!r:.60}"), ("indices", str(size))],
                                      "where each bag begins; the first begins at 0"))
    count = starts.shape[0] - bool(include_last)
    return count, _numbers(starts, size=size, count=count)


__all__ = ["embedding_bag", "limit_rows", "shared_gradient"]

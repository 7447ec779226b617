"""The meta-operators of shape as array functions: broadcast into chosen dimensions, reindex, and reindex with a
reduction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pullback.api import manipulation
from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, axis_of, check_memory, number, one_of, shape_of
from pullback.engine.operation import Operation, operation
from pullback.engine.tensor import TensorBase
from pullback.ir.index import Index, loop_vars, parse
from pullback.ir.node import Node, TensorType
from pullback.ops.shape import in_range
from pullback.util.errors import ArgumentError, ShapeError, message

Array = Any
#: names of the reductions of `reindex_reduce`
_MONOIDS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "mul": "mul",
    "prod": "mul",
    "maximum": "max",
    "max": "max",
    "minimum": "min",
    "min": "min",
}


@operation(promote="exact")
def _broadcast_in_dim(x: Node, shape: tuple[int, ...], dims: tuple[int, ...]) -> Node:
    return build.broadcast(x, shape, dims)


def broadcast_in_dim(x: Array, shape: Any, broadcast_dimensions: Sequence[int]) -> Array:
    """The array with dimension k of it at dimension `broadcast_dimensions[k]` of the result, repeated along the others.

    >>> import pullback as pb
    >>> pb.broadcast_in_dim(pb.tensor([1, 2]), (2, 3), (0,))
    Tensor([[1, 1, 1],
            [2, 2, 2]], dtype=int32)
    """
    x = x if isinstance(x, TensorBase) else as_tensor(x, "broadcast_in_dim")
    squeezed, placed = placement(
        x.info.type, tuple(shape) if isinstance(shape, list) else shape, tuple(broadcast_dimensions)
    )
    return placed.on(x if squeezed is None else manipulation.reshape(x, squeezed))


@lru_cache(4096)
def placement(own: TensorType, shape: Any, given: tuple[int, ...]) -> tuple[Any, Operation]:
    """The shape without dimensions of size 1 that repeat (None: as it is), and the operation, arguments checked."""
    target = shape_of(shape, "broadcast_in_dim")
    dims = tuple(axis_of(d, len(target), "broadcast_in_dim") for d in given)
    if len(dims) != len(own.shape) or list(dims) != sorted(set(dims)):
        raise ShapeError(
            message(
                "broadcast_in_dim: one ascending dimension of the result for each of the array",
                [("x", repr(own)), ("broadcast_dimensions", str(dims))],
                f"give {len(own.shape)} different dimensions in ascending order",
            )
        )
    for k, (n, d) in enumerate(zip(own.shape, dims, strict=True)):
        if n not in (1, target[d]):
            raise ShapeError(
                message(
                    "broadcast_in_dim: sizes must be equal or 1",
                    [("x", f"{own!r}   dimension {k} is {n}"), ("shape", f"{target}   dimension {d} is {target[d]}")],
                    "check dimensions and shape",
                )
            )
    check_memory(target, own.dtype, "broadcast_in_dim")
    kept = [k for k, (n, d) in enumerate(zip(own.shape, dims, strict=True)) if n == target[d]]
    squeezed = tuple(own.shape[k] for k in kept) if len(kept) < len(own.shape) else None
    return squeezed, _broadcast_in_dim.bind((("shape", target), ("dims", tuple(dims[k] for k in kept))))


def _indices(entries: Sequence[Any], over: tuple[int, ...], rank: int, name: str) -> tuple[Index, ...]:
    if len(entries) != rank:
        raise ArgumentError(
            message(
                f"{name}: one index expression for each dimension",
                [("dimensions", str(rank)), ("expressions", str(list(entries)))],
                'such as ["i0", "i1+i3"]',
            )
        )
    variables = {f"i{k}": v for k, v in enumerate(loop_vars(over))}
    return tuple(parse(str(e), variables) for e in entries)


@operation(promote="exact")
def _reindex(x: Node, shape: tuple[int, ...], indices: tuple[str, ...], fill: Any) -> Node:
    at = _indices(indices, shape, len(x.shape), "reindex")
    return build.reindex(x, shape, at, None if in_range(at, x.shape) else fill)


def reindex(x: Array, shape: Any, indices: Sequence[str], fill: float = 0) -> Array:
    """y[i0, i1, ...] = x[indices[0], indices[1], ...]: expressions in i0, i1, ... with + - * / % and whole numbers.

    Places outside of x give `fill`.

    >>> import pullback as pb
    >>> pb.reindex(pb.arange(6), (2, 3), ["i0*3+i1"])
    Tensor([[0, 1, 2],
            [3, 4, 5]], dtype=int32)
    """
    x = as_tensor(x, "reindex")
    target = shape_of(shape, "reindex")
    check_memory(target, x.dtype, "reindex")
    return _reindex(x, shape=target, indices=tuple(str(i) for i in indices), fill=number(fill, "reindex", "fill"))


@operation(promote="exact")
def _reindex_reduce(x: Node, shape: tuple[int, ...], indices: tuple[str, ...], monoid: str) -> Node:
    return build.reindex_reduce(x, shape, _indices(indices, x.shape, len(shape), "reindex_reduce"), monoid)


def reindex_reduce(x: Array, op: str, shape: Any, indices: Sequence[str]) -> Array:
    """y[indices[0], indices[1], ...] op= x[i0, i1, ...]: the transpose of `reindex`; places outside of y are left out.

    >>> import pullback as pb
    >>> pb.reindex_reduce(pb.ones((2, 3)), "add", (3,), ["i1"])
    Tensor([2., 2., 2.], dtype=float32)
    """
    x = as_tensor(x, "reindex_reduce")
    one_of(op, tuple(_MONOIDS), "reindex_reduce", "op")
    target = shape_of(shape, "reindex_reduce")
    check_memory(target, x.dtype, "reindex_reduce")
    return _reindex_reduce(x, shape=target, indices=tuple(str(i) for i in indices), monoid=_MONOIDS[op])

"""Arrays put together and taken apart by shape: stacks of columns, equal parts, blocks, indices of triangles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as _chosen
from itertools import combinations_with_replacement as _chosen_again
from typing import Any

import numpy as np

from pullback.api.arguments import as_tensor, described, integer, shape_of
from pullback.api.creation import diag, meshgrid, zeros
from pullback.api.manipulation import array_split, concat, ravel, reshape, stack, unstack
from pullback.api.selecting import take
from pullback.engine.tensor import TensorBase, from_host
from pullback.util.errors import ArgumentError, IndexError_, ShapeError, ValueError_, message

Array = Any


def _list(arrays: Any, name: str) -> list[Any]:
    if isinstance(arrays, (list, tuple)) and arrays:
        return [as_tensor(x, name) for x in arrays]
    if isinstance(arrays, TensorBase) and arrays.ndim:
        return list(unstack(arrays))
    raise ArgumentError(message(f"{name}: needs a list of at least one array", [("arrays", f"{arrays!r:.60}")],
                                f"{name}([x, y])"))


# -- joined ------------------------------------------------------------------------------------------------------------


def atleast_3d(x: Array) -> Array:
    """With at least three dimensions: a vector becomes [1, n, 1], a matrix [m, n, 1]."""
    x = as_tensor(x, "atleast_3d")
    shape = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}.get(x.ndim)
    return x if shape is None else reshape(x, shape)


def dstack(arrays: Sequence[Array]) -> Array:
    """Arrays side by side along the third dimension."""
    return concat([atleast_3d(x) for x in _list(arrays, "dstack")], 2)


def column_stack(arrays: Sequence[Array]) -> Array:
    """Vectors as columns, matrices side by side.

    >>> import pullback as pb
    >>> pb.column_stack([pb.tensor([1, 2]), pb.tensor([3, 4])])
    Tensor([[1, 3],
            [2, 4]], dtype=int32)
    """
    return concat([reshape(x, (x.info.type.size, 1)) if x.ndim < 2 else x for x in _list(arrays, "column_stack")], 1)


def block_diag(*arrays: Array) -> Array:
    """Matrices along the diagonal of one, zeros elsewhere.

    >>> import pullback as pb
    >>> pb.block_diag(pb.ones((1, 2)), pb.tensor([[5.0]]))
    Tensor([[1., 1., 0.],
            [0., 0., 5.]], dtype=float32)
    """
    given = [as_tensor(x, "block_diag") for x in arrays] or [zeros((1, 0))]
    for x in given:
        if x.ndim > 2:
            raise ShapeError(message("block_diag: matrices have at most two dimensions", [("x", described(x))],
                                     "use vmap for batches"))
    blocks = [reshape(x, (1,) * (2 - x.ndim) + tuple(x.shape)) for x in given]
    width = sum(x.shape[1] for x in blocks)
    lines: list[Any] = []
    start = 0
    for x in blocks:
        m, n = x.shape
        around = [zeros((m, k), dtype=x.dtype) for k in (start, width - start - n)]
        lines.append(concat([around[0], x, around[1]], 1))
        start += n
    return concat(lines, 0)


def diagflat(x: Array, offset: int = 0) -> Array:
    """A matrix with all elements of x on a diagonal."""
    return diag(ravel(as_tensor(x, "diagflat")), offset)


def cartesian_prod(*arrays: Array) -> Array:
    """All combinations of one element of each vector, one a row.

    >>> import pullback as pb
    >>> pb.cartesian_prod(pb.tensor([1, 2]), pb.tensor([3, 4]))
    Tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]], dtype=int32)
    """
    given = _list(arrays, "cartesian_prod")
    for x in given:
        if x.ndim != 1:
            raise ShapeError(message("cartesian_prod: needs vectors", [("x", described(x))], "ravel them first"))
    return given[0] if len(given) == 1 else stack([ravel(g) for g in meshgrid(*given, indexing="ij")], 1)


def combinations(x: Array, r: int = 2, with_replacement: bool = False) -> Array:
    """All r elements of a vector, each once (or again, `with_replacement`), one choice a row."""
    x = as_tensor(x, "combinations")
    count = integer(r, "combinations", "r")
    if x.ndim != 1 or count < 0:
        raise ShapeError(message("combinations: needs a vector, and r of 0 or more",
                                 [("x", described(x)), ("r", str(count))], "ravel it first"))
    pick = _chosen_again if with_replacement else _chosen
    choices = list(pick(range(x.shape[0]), count))
    rows = np.asarray(choices, np.int32).reshape(len(choices), count)
    return take(x, from_host(rows), axis=0) if rows.size else zeros(rows.shape if count else (0,), dtype=x.dtype)


# -- taken apart -------------------------------------------------------------------------------------------------------


def tensor_split(x: Array, indices_or_sections: Any, dim: int = 0) -> tuple[Array, ...]:
    """Parts of nearly equal size, or cut at positions, along a dimension.

    >>> import pullback as pb
    >>> [len(part) for part in pb.tensor_split(pb.arange(7), 3)]
    [3, 2, 2]
    """
    x = as_tensor(x, "tensor_split")
    given: Any = indices_or_sections
    if isinstance(indices_or_sections, (TensorBase, np.ndarray)):
        given = given.tolist()
    return array_split(x, list(given) if isinstance(given, (list, tuple)) else given, dim)


def _parts(name: str, x: Array, given: Any, axis: int, rank: int) -> tuple[Array, ...]:
    x = as_tensor(x, name)
    if x.ndim < rank:
        raise ShapeError(message(f"{name}: needs {rank} dimension{'s' * (rank > 1)} or more", [("x", described(x))],
                                 "use tensor_split with a dimension"))
    if isinstance(given, int) and (given < 1 or x.shape[axis] % given):
        raise ShapeError(message(f"{name}: {x.shape[axis]} cannot be divided into {given} equal parts",
                                 [("x", described(x)), ("sections", str(given))],
                                 "use tensor_split, or give the positions of the cuts"))
    return tensor_split(x, given, axis)


def hsplit(x: Array, indices_or_sections: Any) -> tuple[Array, ...]:
    """Equal parts, or cut at positions, along the second dimension, of vectors along the only one."""
    x = as_tensor(x, "hsplit")
    return _parts("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1, 1)


def vsplit(x: Array, indices_or_sections: Any) -> tuple[Array, ...]:
    """Equal parts, or cut at positions, along the first of two or more dimensions."""
    return _parts("vsplit", x, indices_or_sections, 0, 2)


def dsplit(x: Array, indices_or_sections: Any) -> tuple[Array, ...]:
    """Equal parts, or cut at positions, along the third dimension."""
    return _parts("dsplit", x, indices_or_sections, 2, 3)


# -- indices -----------------------------------------------------------------------------------------------------------


def tril_indices(row: int, col: int | None = None, offset: int = 0) -> Array:
    """The rows and columns, [2, n], of the elements on and below a diagonal.

    >>> import pullback as pb
    >>> pb.tril_indices(2, 2)
    Tensor([[0, 1, 1],
            [0, 0, 1]], dtype=int32)
    """
    return _triangle("tril_indices", np.tril_indices, row, col, offset)


def triu_indices(row: int, col: int | None = None, offset: int = 0) -> Array:
    """The rows and columns, [2, n], of the elements on and above a diagonal."""
    return _triangle("triu_indices", np.triu_indices, row, col, offset)


def _triangle(name: str, find: Any, row: int, col: int | None, offset: int) -> Array:
    m, n = shape_of((row, row if col is None else col), name)
    return from_host(np.stack(find(m, integer(offset, name, "offset"), n)).astype(np.int32))


def unravel_index(indices: Array, shape: Any) -> tuple[Array, ...]:
    """The index along each dimension of positions in a flattened array.

    >>> import pullback as pb
    >>> pb.unravel_index(pb.tensor([5]), (2, 3))
    (Tensor([1], dtype=int32), Tensor([2], dtype=int32))
    """
    at = as_tensor(indices, "unravel_index")
    sizes = shape_of((shape,), "unravel_index")
    if not at.info.type.dtype.is_integer:
        raise ValueError_(message("unravel_index: indices must be integers", [("indices", described(at))],
                                  "convert them: x.long()"))
    found: list[Any] = []
    for n in reversed(sizes):
        found.insert(0, at % n if n else at)
        at = at // n if n else at
    return tuple(found)


def ravel_multi_index(indices: Sequence[Array], shape: Any, mode: str = "raise") -> Array:
    """The positions in a flattened array of indices along each dimension. Out of range: an error where they are known
    (`mode` "clip" and "wrap" take the nearest, or begin again)."""
    sizes = shape_of((shape,), "ravel_multi_index")
    parts = [as_tensor(x, "ravel_multi_index") for x in indices]
    if len(parts) != len(sizes):
        raise ShapeError(message("ravel_multi_index: needs indices for every dimension",
                                 [("indices", str(len(parts))), ("shape", str(sizes))], "one array each"))
    total: Any = 0
    for x, n in zip(parts, sizes, strict=True):
        total = total * n + _fitting(x, n, mode)
    return total


def _fitting(x: Any, n: int, mode: str) -> Any:
    if mode == "clip":
        return x.clip(0, n - 1)
    if mode == "wrap":
        return x % n
    array = x.numpy()
    if array.size and (array.min() < 0 or array.max() >= n):
        raise IndexError_(message("ravel_multi_index: an index is out of range", [("indices", f"{array!r:.60}"),
                                                                                  ("size", str(n))],
                                  'mode="clip" or "wrap"'))
    return x


__all__ = ["atleast_3d", "block_diag", "cartesian_prod", "column_stack", "combinations",
           "diagflat", "dsplit", "dstack", "hsplit", "ravel_multi_index", "tensor_split", "tril_indices",
           "triu_indices", "unravel_index", "vsplit"]

"""Shapes: reshaping, transposing, joining, splitting, repeating, padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.api import views
from pullback.api._lazy import build
from pullback.api.arguments import (
    UNSET,
    as_tensor,
    axes_of,
    axis_of,
    check_memory,
    described,
    integer,
    one_of,
    ordered_axes,
    resolve_free,
    shape_of,
    synonym,
)
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase
from pullback.ir.dtypes import DType
from pullback.ir.index import loop_vars
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, AxisError, IndexError_, ShapeError, ValueError_, message
from pullback.util.zeros import written

Array = Any


# -- the same elements -------------------------------------------------------------------------------------------------


def reshape(x: Array, *sizes: Any, shape: Any = None, copy: bool | None = None) -> Array:
    """The same elements under another shape; one size may be -1. A view: writing to it writes to x.

    >>> import pullback as pb
    >>> pb.reshape(pb.arange(4), (2, -1))
    Tensor([[0, 1],
            [2, 3]], dtype=int32)
    """
    x = as_tensor(x, "reshape")
    shape = sizes if shape is None else (shape,)
    if not shape:
        raise ArgumentError(message("reshape: no shape is given", [("x", described(x))],
                                    "x.reshape(2, -1), for example"))
    type_ = x.info.type
    target = shape_of(shape, "reshape", free=True)
    found = resolve_free(target, type_.size, "reshape", x)
    result = views.reshape_view(x, found)
    return result.clone() if copy else result


def view(x: Array, *sizes: Any, size: Any = None, dtype: Any = None) -> Array:
    """`reshape`; with a dtype, the bits read as that dtype."""
    shape = sizes if size is None and dtype is None else (dtype if size is None else size,)
    if len(shape) == 1 and isinstance(shape[0], DType):
        from pullback.api.elementwise import bitcast

        return bitcast(x, shape[0])
    return reshape(x, *shape)


def reshape_as(x: Array, other: Array) -> Array:
    """x under the shape of another array."""
    return reshape(x, as_tensor(other, "reshape_as").shape)


view_as = reshape_as


def ravel(x: Array) -> Array:
    """The elements in one dimension."""
    return reshape(x, (-1,)) if as_tensor(x, "ravel").info.type.size else reshape(x, (0,))


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """The dimensions from `start_dim` to `end_dim` made one.

    >>> import pullback as pb
    >>> pb.flatten(pb.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    x = as_tensor(x, "flatten")
    shape = x.shape
    if not shape:
        return reshape(x, (1,))
    first, last = (axis_of(a, len(shape), "flatten", x) for a in (start_dim, end_dim))
    if last < first:
        raise AxisError(message("flatten: start_dim comes after end_dim",
                                [("x", described(x)), ("start_dim", str(start_dim)),
                                 ("end_dim", str(end_dim))], "exchange them"))
    return reshape(x, (*shape[:first], int(np.prod(shape[first:last + 1])), *shape[last + 1:]))


def unflatten(x: Array, dim: int, sizes: Sequence[int]) -> Array:
    """One dimension made several."""
    x = as_tensor(x, "unflatten")
    axis = axis_of(dim, x.ndim, "unflatten", x)
    parts = resolve_free(shape_of((sizes,) if not isinstance(sizes, int) else sizes, "unflatten", free=True),
                         x.shape[axis], "unflatten", x)
    return reshape(x, (*x.shape[:axis], *parts, *x.shape[axis + 1:]))


def permute_dims(x: Array, /, axes: Any) -> Array:
    """The dimensions in another order: dimension k of the result is dimension axes[k] of x. A view.

    >>> import pullback as pb
    >>> pb.permute_dims(pb.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = as_tensor(x, "permute_dims")
    order = ordered_axes(axes, x.ndim, "permute_dims", x)
    if len(order) != x.ndim:
        raise AxisError(message(f"permute_dims: {len(order)} axes for {x.ndim} dimensions",
                                [("x", described(x)), ("axes", str(axes))], "name every axis once"))
    return views.transpose_view(x, order)


def permute(x: Array, *axes: Any, dims: Any = None) -> Array:
    """`permute_dims`, with the axes as a tuple or one by one."""
    if dims is not None:
        return permute_dims(x, dims)
    return permute_dims(x, axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


def transpose(x: Array, *axes: Any, dim0: Any = UNSET, dim1: Any = UNSET) -> Array:
    """Without axes: the dimensions reversed (NumPy). With two integers: these two exchanged (PyTorch). With a tuple, or
    one integer for each of three or more dimensions: in that order."""
    x = as_tensor(x, "transpose")
    if dim0 is not UNSET:
        axes = (dim0, dim1)
    if not axes or (len(axes) == 1 and axes[0] is None):
        return views.transpose_view(x, tuple(range(x.ndim - 1, -1, -1)))
    if len(axes) == 1:
        return permute_dims(x, axes[0])
    return swapaxes(x, *axes) if len(axes) == 2 else permute_dims(x, axes)


def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Two dimensions exchanged. A view."""
    x = as_tensor(x, "swapaxes")
    first, second = axis_of(axis1, x.ndim, "swapaxes", x), axis_of(axis2, x.ndim, "swapaxes", x)
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return views.transpose_view(x, tuple(order))


def matrix_transpose(x: Array, /) -> Array:
    """The last two dimensions exchanged. A view."""
    x = as_tensor(x, "matrix_transpose")
    if x.ndim < 2:
        raise ShapeError(message("matrix_transpose: needs at least two dimensions", [("x", described(x))],
                                 "reshape it, for example x[None, :]"))
    return swapaxes(x, -1, -2)


adjoint = matrix_transpose


def t(x: Array) -> Array:
    """The transpose of a matrix; vectors and numbers as they are."""
    x = as_tensor(x, "t")
    if x.ndim > 2:
        raise ShapeError(message("t: needs at most two dimensions", [("x", described(x))],
                                 "use x.mT or x.permute(...)"))
    return views.transpose_view(x, tuple(range(x.ndim - 1, -1, -1)))


def moveaxis(x: Array, source: Any, destination: Any) -> Array:
    """Dimensions moved to new places, the others in order. A view."""
    x = as_tensor(x, "moveaxis")
    sources, targets = (ordered_axes(a, x.ndim, "moveaxis", x) for a in (source, destination))
    if len(sources) != len(targets):
        raise AxisError(message("moveaxis: source and destination must name equally many axes",
                                [("source", str(source)), ("destination", str(destination))],
                                "give one place per axis"))
    order = [k for k in range(x.ndim) if k not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return views.transpose_view(x, tuple(order))


movedim = moveaxis


def squeeze(x: Array, axis: Any = None, *, dim: Any = UNSET) -> Array:
    """Dimensions of size 1 removed: all of them, or those named. A view. `dim=` leaves others as they are."""
    x = as_tensor(x, "squeeze")
    shape = x.shape
    chosen = axis if dim is UNSET else dim
    if chosen is None:
        gone = tuple(k for k, n in enumerate(shape) if n == 1)
    else:
        gone = axes_of(chosen, len(shape), "squeeze", x)
        if dim is not UNSET:
            gone = tuple(k for k in gone if shape[k] == 1)
    for k in gone:
        if shape[k] != 1:
            raise ShapeError(message(f"squeeze: dimension {k} has size {shape[k]}, not 1", [("x", described(x))],
                                     "only dimensions of size 1 can be removed"))
    return views.reshape_view(x, tuple(n for k, n in enumerate(shape) if k not in gone))


def expand_dims(x: Array, axis: Any = 0) -> Array:
    """New dimensions of size 1, at these positions of the result. A view."""
    x = as_tensor(x, "expand_dims")
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    places = axes_of(axis, x.ndim + count, "expand_dims", x)
    rest = iter(x.shape)
    return views.reshape_view(x, tuple(1 if k in places else next(rest) for k in range(x.ndim + count)))


def unsqueeze(x: Array, dim: int) -> Array:
    """A new dimension of size 1. A view."""
    return expand_dims(x, dim)


def atleast_1d(x: Array) -> Array:
    """x with at least one dimension."""
    x = as_tensor(x, "atleast_1d")
    return x if x.ndim else reshape(x, (1,))


def atleast_2d(x: Array) -> Array:
    """x with at least two dimensions; new ones in front."""
    x = as_tensor(x, "atleast_2d")
    return x if x.ndim > 1 else reshape(x, (1, x.info.type.size))


def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: Any = UNSET,
             dim2: Any = UNSET) -> Array:
    """The diagonal of two dimensions, as the last dimension of the result. A view."""
    x = as_tensor(x, "diagonal")
    first = axis_of(axis1 if dim1 is UNSET else dim1, x.ndim, "diagonal", x)
    second = axis_of(axis2 if dim2 is UNSET else dim2, x.ndim, "diagonal", x)
    if first == second:
        raise AxisError(message("diagonal: the two axes must differ", [("x", described(x))], "name two axes"))
    return views.diagonal_view(x, integer(offset, "diagonal", "offset"), first, second)


def diag_embed(x: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Matrices with the last dimension of x on a diagonal."""
    from pullback.api.creation import _diag_matrix

    x = as_tensor(x, "diag_embed")
    if not x.ndim:
        raise ShapeError(message("diag_embed: needs at least one dimension", [("x", described(x))], "x.reshape(1)"))
    y = _diag_matrix(x, offset=integer(offset, "diag_embed", "offset"))
    return moveaxis(y, (-2, -1), (dim1, dim2))


def select(x: Array, dim: int, index: int) -> Array:
    """One index of a dimension, which is removed. A view."""
    x = as_tensor(x, "select")
    axis = axis_of(dim, x.ndim, "select", x)
    return x[(slice(None),) * axis + (integer(index, "select", "index"),)]


def narrow(x: Array, dim: int, start: int, length: int) -> Array:
    """`length` indices of a dimension from `start` on. A view."""
    x = as_tensor(x, "narrow")
    axis = axis_of(dim, x.ndim, "narrow", x)
    first, count = integer(start, "narrow", "start"), integer(length, "narrow", "length")
    size = x.shape[axis]
    first = first + size if first < 0 else first
    if not 0 <= first <= size or count < 0 or first + count > size:
        raise IndexError_(message("narrow: the range is not inside the dimension",
                                  [("x", described(x)), ("range", f"{first} to {first + count} of {size}")],
                                  f"start + length can be at most {size}"))
    return x[(slice(None),) * axis + (slice(first, first + count),)]


# -- joining and splitting ---------------------------------------------------------------------------------------------


@operation(promote="dtype")
def _concat(*xs: Node, axis: int) -> Node:
    return build.concat(xs, axis)


@operation(promote="dtype")
def _stack(*xs: Node, axis: int) -> Node:
    return build.concat([build.expand_dims(x, (axis,)) for x in xs], axis)


def _arrays(arrays: Any, name: str) -> list[Any]:
    if isinstance(arrays, TensorBase):
        rows: Any = arrays
        return list(rows)
    if not isinstance(arrays, (tuple, list)):
        raise ArgumentError(message(f"{name}: needs a list of arrays", [("arrays", type(arrays).__name__)],
                                    f"pb.{name}([x, y])"))
    if not arrays:
        raise ValueError_(message(f"{name}: the list of arrays is empty", help="give at least one array"))
    return [as_tensor(a, name) for a in arrays]


def concat(arrays: Sequence[Array], axis: int | None = 0, *, dim: Any = UNSET) -> Array:
    """Arrays one after the other along an axis; axis=None flattens them first.

    >>> import pullback as pb
    >>> pb.concat([pb.tensor([1, 2]), pb.tensor([3])])
    Tensor([1, 2, 3], dtype=int32)
    """
    xs = _arrays(arrays, "concat")
    axis = axis if dim is UNSET else dim
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    first = xs[0]
    k = axis_of(axis, first.ndim, "concat", first)
    for n, x in enumerate(xs[1:], 1):
        same = x.ndim == first.ndim and all(p == q or j == k
                                            for j, (p, q) in enumerate(zip(first.shape, x.shape, strict=True)))
        if not same:
            raise ShapeError(message(f"concat: shapes must be equal but for dimension {k}",
                                     [("array 0", described(first)), (f"array {n}", described(x))],
                                     "reshape one of them, or use pb.stack for a new dimension"))
    return _concat(*xs, axis=k)


cat = concatenate = concat


def stack(arrays: Sequence[Array], axis: int = 0, *, dim: Any = UNSET) -> Array:
    """Arrays of one shape along a new axis."""
    xs = _arrays(arrays, "stack")
    k = axis_of(axis if dim is UNSET else dim, xs[0].ndim + 1, "stack", xs[0])
    for n, x in enumerate(xs[1:], 1):
        if x.shape != xs[0].shape:
            raise ShapeError(message("stack: all shapes must be equal",
                                     [("array 0", described(xs[0])), (f"array {n}", described(x))],
                                     "use pb.concat to join along an existing dimension"))
    return _stack(*xs, axis=k)


def hstack(arrays: Sequence[Array]) -> Array:
    """Arrays side by side: along the second dimension, along the first for vectors."""
    xs = [atleast_1d(x) for x in _arrays(arrays, "hstack")]
    return concat(xs, 0 if xs[0].ndim == 1 else 1)


def vstack(arrays: Sequence[Array]) -> Array:
    """Arrays on top of each other: vectors become rows."""
    return concat([atleast_2d(x) for x in _arrays(arrays, "vstack")], 0)


def split(x: Array, indices_or_sections: Any, axis: int = 0, *, dim: Any = UNSET) -> tuple[Array, ...]:
    """Pieces of `n` indices along an axis (the last may be smaller), or pieces of the sizes in a list (PyTorch).

    >>> import pullback as pb
    >>> [p.shape for p in pb.split(pb.arange(5), 2)]
    [(2,), (2,), (1,)]
    """
    x = as_tensor(x, "split")
    k = axis_of(axis if dim is UNSET else dim, x.ndim, "split", x)
    size = x.shape[k]
    if isinstance(indices_or_sections, (tuple, list)):
        sizes = [integer(n, "split", "size") for n in indices_or_sections]
        if sum(sizes) != size or min(sizes, default=0) < 0:
            raise ShapeError(message(f"split: the sizes must add up to {size}",
                                     [("x", described(x)), ("sizes", str(sizes))], f"they add up to {sum(sizes)}"))
    else:
        n = integer(indices_or_sections, "split", "size")
        if n < 1:
            raise ValueError_(message("split: the size of a piece must be at least 1", [("size", str(n))],
                                      "use 1 or more"))
        sizes = [min(n, size - start) for start in range(0, size, n)] or [0]
    return _pieces(x, sizes, k)


def _pieces(x: Any, sizes: list[int], axis: int) -> tuple[Any, ...]:
    found: list[Any] = []
    start = 0
    for n in sizes:
        found.append(x[(slice(None),) * axis + (slice(start, start + n),)])
        start += n
    return tuple(found)


def array_split(x: Array, sections: Any, axis: int = 0) -> tuple[Array, ...]:
    """NumPy's split: into n pieces of nearly equal size, or at the positions in a list."""
    x = as_tensor(x, "array_split")
    k = axis_of(axis, x.ndim, "array_split", x)
    size = x.shape[k]
    if isinstance(sections, (tuple, list)):
        cuts = [0, *(min(max(c, 0), size) for c in sections), size]
        return _pieces(x, [max(b - a, 0) for a, b in pairwise(cuts)], k)
    n = integer(sections, "array_split", "sections")
    if n < 1:
        raise ValueError_(message("array_split: needs at least one piece", [("sections", str(n))], "use 1 or more"))
    return _pieces(x, [size // n + (j < size % n) for j in range(n)], k)


def chunk(x: Array, chunks: int, dim: int = 0) -> tuple[Array, ...]:
    """At most `chunks` pieces of equal size along an axis, the last smaller."""
    x = as_tensor(x, "chunk")
    n = integer(chunks, "chunk", "chunks")
    if n < 1:
        raise ValueError_(message("chunk: needs at least one piece", [("chunks", str(n))], "use 1 or more"))
    size = x.shape[axis_of(dim, x.ndim, "chunk", x)]
    return split(x, max(-(-size // n), 1), dim)


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, which is removed."""
    x = as_tensor(x, "unstack")
    k = axis_of(axis, x.ndim, "unstack", x)
    return tuple(x[(slice(None),) * k + (n,)] for n in range(x.shape[k]))


def unbind(x: Array, dim: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, which is removed."""
    return unstack(x, axis=dim)


# -- repeating and moving ----------------------------------------------------------------------------------------------


def broadcast_to(x: Array, *sizes: Any, shape: Any = None) -> Array:
    """x repeated to a shape by NumPy's rule."""
    x = as_tensor(x, "broadcast_to")
    return _broadcast(x, shape_of(sizes if shape is None else (shape,), "broadcast_to"), "broadcast_to")


def _broadcast(x: Any, target: tuple[int, ...], name: str) -> Any:
    own = x.shape
    lead = len(target) - len(own)
    if lead < 0 or any(n not in (1, target[lead + k]) for k, n in enumerate(own)):
        raise ShapeError(message(f"{name}: the shape does not broadcast to {target}", [("x", described(x))],
                                 "sizes must be equal or 1, counted from the last dimension"))
    check_memory(target, x.info.type.dtype, name)
    return x if own == target else views.broadcast_copy(x, target)


def expand(x: Array, *sizes: Any, size: Any = None) -> Array:
    """x repeated to a shape; -1 keeps a size."""
    x = as_tensor(x, "expand")
    sizes = sizes if size is None else (size,)
    target = shape_of(sizes, "expand", free=False) if -1 not in _flat(sizes) else _flat(sizes)
    lead = len(target) - x.ndim
    if lead < 0 or -1 in target[:lead]:
        raise ShapeError(message(f"expand: the shape does not expand to {target}", [("x", described(x))],
                                 "give a size for every new dimension; -1 is for those that are there"))
    return _broadcast(x, tuple(x.shape[k - lead] if n == -1 else n for k, n in enumerate(target)), "expand")


def _flat(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


def expand_as(x: Array, other: Array) -> Array:
    """x repeated to the shape of another array."""
    return expand(x, as_tensor(other, "expand_as").shape)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The common shape of shapes, by NumPy's rule."""
    try:
        return tuple(np.broadcast_shapes(*(shape_of((s,), "broadcast_shapes") for s in shapes)))
    except ValueError as error:
        if isinstance(error, ShapeError):
            raise
        raise ShapeError(message("broadcast_shapes: shapes cannot be broadcast together", [("shapes", str(shapes))],
                                 "sizes must be equal or 1")) from None


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """Arrays repeated to their common shape."""
    xs = [as_tensor(a, "broadcast_arrays") for a in arrays]
    target = broadcast_shapes(*(x.shape for x in xs))
    return [_broadcast(x, target, "broadcast_arrays") for x in xs]


broadcast_tensors = broadcast_arrays


def flip(x: Array, axis: Any = None, *, dims: Any = UNSET) -> Array:
    """The order of elements reversed along axes (all by default)."""
    x = as_tensor(x, "flip")
    return views.flip_copy(x, axes_of(axis if dims is UNSET else dims, x.ndim, "flip", x))


def fliplr(x: Array) -> Array:
    """The order of columns reversed."""
    return flip(x, 1)


def flipud(x: Array) -> Array:
    """The order of rows reversed."""
    return flip(x, 0)


def rot90(x: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Two dimensions turned by k quarter turns."""
    x = as_tensor(x, "rot90")
    first, second = ordered_axes(axes, x.ndim, "rot90", x)
    turns = k % 4
    if turns == 0:
        return x.clone()
    if turns == 2:
        return flip(x, (first, second))
    return flip(swapaxes(x, first, second), first if turns == 1 else second)


@operation()
def _roll(x: Node, shifts: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    if x.tensor.size == 0:
        return x
    indices = list(loop_vars(x.shape))
    for shift, axis in zip(shifts, axes, strict=True):
        n = x.shape[axis]
        indices[axis] = (indices[axis] + (-shift) % n) % n
    return build.reindex(x, x.shape, indices)


def roll(x: Array, shift: Any = None, axis: Any = None, *, shifts: Any = UNSET, dims: Any = UNSET) -> Array:
    """Elements moved along axes, what falls out at one end coming in at the other; without an axis, in row-major
    order."""
    x = as_tensor(x, "roll")
    by = synonym(shift, shifts, "roll", "shift and shifts") if shift is None else shift
    axis = axis if dims is UNSET else dims
    if axis is None:
        flat = _roll(reshape(x, (x.info.type.size,)), shifts=(_total(by),), axes=(0,))
        return reshape(flat, x.shape)
    axes = tuple(axis_of(a, x.ndim, "roll", x) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    amounts = tuple(integer(s, "roll", "shift") for s in (by if isinstance(by, (tuple, list)) else (by,) * len(axes)))
    if len(amounts) != len(axes):
        raise ArgumentError(message("roll: one shift per axis is needed", [("shift", str(by)), ("axis", str(axis))],
                                    "give equally many"))
    total = dict.fromkeys(axes, 0)
    for a, s in zip(axes, amounts, strict=True):
        total[a] += s
    return _roll(x, shifts=tuple(total.values()), axes=tuple(total))


def _total(shift: Any) -> int:
    return sum(integer(s, "roll", "shift") for s in (shift if isinstance(shift, (tuple, list)) else (shift,)))


@operation()
def _tile(x: Node, repeats: tuple[int, ...]) -> Node:
    lead = len(repeats) - len(x.shape)
    shape = tuple(n * r for n, r in zip((*(1,) * lead, *x.shape), repeats, strict=True))
    over = loop_vars(shape)[lead:]
    if 0 in shape:
        return build.zeros(shape, x.dtype)
    if not x.shape:
        return build.broadcast(x, shape, ())
    return build.reindex(x, shape, [v % n for v, n in zip(over, x.shape, strict=True)])


def tile(x: Array, *repetitions: Any, dims: Any = UNSET) -> Array:
    """x repeated as a whole along each dimension."""
    x = as_tensor(x, "tile")
    counts = shape_of(repetitions if dims is UNSET else (dims,), "tile")
    counts = (1,) * (x.ndim - len(counts)) + counts
    return _tile(x, repeats=counts)


@operation()
def _repeat_each(x: Node, count: int, axis: int) -> Node:
    shape = tuple(n * count if k == axis else n for k, n in enumerate(x.shape))
    if 0 in shape:
        return build.zeros(shape, x.dtype)
    indices = [v // count if k == axis else v for k, v in enumerate(loop_vars(shape))]
    return build.reindex(x, shape, indices)


def repeat_interleave(x: Array, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Array:
    """Each element repeated, along an axis (flattened without one); `repeats` is a number or one number per index."""
    x = as_tensor(x, "repeat")
    if dim is None:
        x, dim = ravel(x), 0
    axis = axis_of(dim, x.ndim, "repeat", x)
    if isinstance(repeats, (int, np.integer)) and not isinstance(repeats, bool):
        count = int(repeats)
        if count < 0:
            raise ValueError_(message("repeat: repeats cannot be negative", [("repeats", str(count))], "use 0 or more"))
        return _repeat_each(x, count=count, axis=axis)
    counts = np.asarray(repeats.numpy() if isinstance(repeats, TensorBase) else repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts.size not in (1,
                                                                                x.shape[axis])) or (counts < 0).any():
        raise ArgumentError(message("repeat: repeats must be one number, or one per index and not negative",
                                    [("x", described(x)), ("repeats", f"{repeats!r:.60}")],
                                    f"give {x.shape[axis]} integers of 0 or more"))
    from pullback.api.indexing import getitem

    return getitem(x, (slice(None),) * axis + (np.repeat(np.arange(x.shape[axis]), counts),))


def repeat(x: Array, *repeats: Any, axis: Any = UNSET) -> Array:
    """NumPy's `repeat(x, n, axis=k)`: each element n times. `x.repeat(2, 3)` with several numbers: PyTorch's, a
    tile."""
    if axis is UNSET and (len(repeats) > 1
                          or (repeats and isinstance(repeats[0], (tuple, list)) and _is_tiling(x, repeats[0]))):
        return tile(x, *repeats)
    if len(repeats) == 2 and axis is UNSET:
        return repeat_interleave(x, repeats[0], repeats[1])
    if len(repeats) != 1:
        raise ArgumentError(message("repeat: needs one number of repeats with an axis", [("repeats", str(repeats))],
                                    "x.repeat(2, axis=0), or x.tile(2, 3)"))
    return repeat_interleave(x, repeats[0], None if axis is UNSET else axis)


def _is_tiling(x: Any, counts: Any) -> bool:
    return len(counts) != as_tensor(x, "repeat").info.type.size


@operation()
def _pad(x: Node, widths: tuple[tuple[int, int], ...], value: Any) -> Node:
    trimmed = build.slice_(x, [max(-a, 0) for a, _ in widths],
                           [n - max(-b, 0) for n, (_, b) in zip(x.shape, widths, strict=True)])
    low, high = [max(a, 0) for a, _ in widths], [max(b, 0) for _, b in widths]
    return build.pad(trimmed, low, high, bool(value) if x.dtype.kind == "b" else value)


@operation()
def _pad_mirrored(x: Node, widths: tuple[tuple[int, int], ...], mode: str) -> Node:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    for axis, (n, (a, z)) in enumerate(zip(x.shape, widths, strict=True)):
        if shape[axis] == n and a == 0:
            continue
        # A negative width cuts off: positions start inside.
        at = np.arange(shape[axis]) - a
        if mode == "edge":
            at = np.clip(at, 0, n - 1)
        elif mode == "wrap":
            first, last = max(-a, 0), n - max(-z, 0)
            at = first + (at - first) % max(last - first, 1)
        elif mode == "symmetric":
            at = at % (2 * n)
            at = np.where(at >= n, 2 * n - 1 - at, at)
        else:
            period = max(2 * n - 2, 1)
            at = at % period
            at = np.where(at >= n, period - at, at)
        x = _at_places(x, axis, at, max(a, 0), max(z, 0))
    return x


def _at_places(x: Node, axis: int, at: Any, low: int, high: int) -> Node:
    """x at places along an axis: the first and last few and what is between are joined where each is one run of
    places, since vectors read a run at once."""
    parts = [p for p in np.split(at, [low, len(at) - high]) if len(p)]
    if not parts or any(len(set(np.diff(p))) > 1 for p in parts):
        return build.gather(x, build.const_array(at.astype(np.int32)), axis, "clip")
    pieces: list[Node] = []
    for p in parts:
        shape = (*x.shape[:axis], len(p), *x.shape[axis + 1:])
        i, step = loop_vars(shape), int(p[1] - p[0]) if len(p) > 1 else 0
        pieces.append(build.reindex(x, shape, [*i[:axis], i[axis] * step + int(p[0]), *i[axis + 1:]]))
    return build.concat(pieces, axis)


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "replicate": "edge", "wrap": "wrap",
              "circular": "wrap", "symmetric": "symmetric"}


def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Array:
    """x with elements added around it, as `numpy.pad`: `pad_width` is a number, a pair, or a pair per dimension.

    >>> import pullback as pb
    >>> pb.pad(pb.tensor([1, 2]), (1, 2))
    Tensor([0, 1, 2, 0, 0], dtype=int32)
    """
    x = as_tensor(x, "pad")
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    except ValueError:
        widths = np.zeros(0)
    if widths.dtype.kind not in "iu" or widths.ndim != 2:
        raise ArgumentError(message("pad: pad_width must be a number, a pair, or a pair per dimension",
                                    [("x", described(x)), ("pad_width", repr(pad_width))],
                                    "for example ((1, 1), (2, 0))"))
    return pad_pairs(x, tuple((int(a), int(b)) for a, b in zip(widths[:, 0], widths[:, 1], strict=True)), mode,
                     constant_values)


def pad_pairs(x: Any, pairs: tuple[tuple[int, int], ...], mode: str, value: Any) -> Any:
    """`pad` with a pair for every dimension; with a constant a negative width cuts off."""
    kind = _PAD_MODES[one_of(mode, tuple(_PAD_MODES), "pad", "mode")]
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True))
    if min(shape, default=0) < 0:
        raise ShapeError(message("pad: a width cuts off more than there is",
                                 [("x", described(x)), ("widths", str(pairs))],
                                 "negative widths cut off; what remains cannot be negative"))
    check_memory(shape, x.info.type.dtype, "pad")
    if kind == "constant":
        fill = value.item() if isinstance(value, (TensorBase, np.generic)) else value
        return _pad(x, widths=pairs, value=written(fill))
    for n, (a, b) in zip(x.shape, pairs, strict=True):
        if (a or b) and (n == 0 or (kind == "reflect" and n == 1 and max(a, b) > 0)):
            raise ShapeError(message(f"pad: mode {mode!r} needs more elements", [("x", described(x))],
                                     "use mode='constant'"))
    return _pad_mirrored(x, widths=pairs, mode=kind)


@operation()
def _unfold(x: Node, axis: int, size: int, step: int) -> Node:
    count = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], count, *x.shape[axis + 1:], size)
    over = loop_vars(shape)
    indices = [over[k] * step + over[-1] if k == axis else over[k] for k in range(len(x.shape))]
    return build.reindex(x, shape, indices)


def unfold(x: Array, dimension: int, size: int, step: int) -> Array:
    """All windows of `size` along a dimension, `step` apart, as a new last dimension."""
    x = as_tensor(x, "unfold")
    axis = axis_of(dimension, x.ndim, "unfold", x)
    n, by = integer(size, "unfold", "size"), integer(step, "unfold", "step")
    if not 0 <= n <= x.shape[axis] or by < 1:
        raise ValueError_(message("unfold: the window does not fit",
                                  [("x", described(x)), ("size, step", f"{n}, {by}")],
                                  f"size must be at most {x.shape[axis]}, step at least 1"))
    return _unfold(x, axis=axis, size=n, step=by)


def tril(x: Array, k: int = 0, diagonal: int | None = None) -> Array:
    """The lower triangle of matrices: zeros above diagonal k."""
    from pullback.api.creation import tril as lower

    return lower(x, k, diagonal)


def triu(x: Array, k: int = 0, diagonal: int | None = None) -> Array:
    """The upper triangle of matrices: zeros below diagonal k."""
    from pullback.api.creation import triu as upper

    return upper(x, k, diagonal)



"""Making arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.api import elementwise
from pullback.api._lazy import build
from pullback.api.arguments import (
    as_tensor,
    check_memory,
    checked_device,
    described,
    dtype_or,
    integer,
    number,
    shape_of,
)
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_array, from_host
from pullback.engine.trace import SCALARS
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, DTypeError, NotNumbersError, ShapeError, ValueError_, message

Array = Any


def finished(x: Any, requires_grad: bool) -> Any:
    """A new tensor, told whether gradients are wanted."""
    if requires_grad:
        x.set_requires_grad(True)
    return x


_NOT_LISTED = (list, tuple, str, bytes, bytearray, memoryview, range)


def listed(data: Any) -> Any:
    """Sequences of other kinds, such as a deque, as lists."""
    return list(data) if isinstance(data, Sequence) and not isinstance(data, _NOT_LISTED) else data


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None,
           copy: bool | None = True) -> Array:
    """A tensor from numbers, nested lists, NumPy arrays or tensors (copied). Python floats become float32, ints int32.

    >>> import pullback as pb
    >>> pb.tensor([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [3., 4.]], dtype=float32)
    """
    if type(data) is np.ndarray and dtype is None and device is None and not requires_grad:
        found = from_array(data, TensorBase.default_class)
        if found is not None:
            return found
    checked_device(device, "tensor")
    target = None if dtype is None else dtype_of(dtype)
    if isinstance(data, TensorBase):
        x = elementwise.clone(data) if target is None else elementwise.astype(data, target)
        return finished(x.detach() if requires_grad else x, requires_grad)
    data = listed(data)
    if isinstance(data, (list, tuple)) and _holds_tensors(data):
        from pullback.api.manipulation import stack

        x = stack([asarray(item) for item in data])
        return finished(x if target is None else elementwise.astype(x, target, copy=False), requires_grad)
    if target is not None and target.kind != "c" and _is_complex(data):
        raise DTypeError(message("tensor: complex numbers do not fit a real dtype", [("dtype", target.name)],
                                 "leave dtype out, or use dtype=pb.complex64"))
    return finished(from_host(_buffer(data), target), requires_grad)


def _is_complex(data: Any) -> bool:
    return isinstance(data, complex) or (isinstance(data, np.ndarray) and data.dtype.kind == "c")


def _buffer(data: Any) -> Any:
    """Iterables that are not arrays, lists or numbers: ranges, buffers, DLPack."""
    if isinstance(data, (range, memoryview, bytearray)):
        return np.asarray(data) if not isinstance(data, range) else list(data)
    if data is None or isinstance(data, (str, bytes, dict, set)):
        raise NotNumbersError(message("tensor: not numbers", [("data", f"{type(data).__name__} {data!r:.60}")],
                                    "pass numbers, nested lists of numbers, or arrays"))
    if not isinstance(data, (list, tuple, np.ndarray, np.generic)) and type(data) not in SCALARS:
        if hasattr(data, "__array__"):
            return np.asarray(data)
        if hasattr(data, "__dlpack__"):
            return np.from_dlpack(data)
        if not isinstance(data, (int, float, complex)):
            raise NotNumbersError(message("tensor: not numbers", [("data", f"{type(data).__name__} {data!r:.60}")],
                                        "pass numbers, nested lists of numbers, or arrays"))
    return data


def _holds_tensors(data: Any) -> bool:
    return any(isinstance(x, TensorBase) or (isinstance(x, (list, tuple)) and _holds_tensors(x)) for x in data)


def asarray(data: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    """`tensor`, but a tensor of the right dtype is returned as it is unless `copy` is True."""
    checked_device(device, "asarray")
    if isinstance(data, TensorBase):
        if copy:
            return tensor(data, dtype)
        return data if dtype is None else elementwise.astype(data, dtype, copy=False)
    if copy is False and not isinstance(data, (int, float, complex)):
        raise ValueError_(message("asarray: an array of the host is always copied", [("copy", "False")],
                                  "leave copy out"))
    return tensor(data, dtype)


array = tensor


def from_numpy(data: Any) -> Array:
    """A tensor with the numbers of a NumPy array (copied)."""
    if not isinstance(data, np.ndarray):
        raise ArgumentError(message("from_numpy: not a NumPy array", [("data", f"{type(data).__name__}")],
                                    "use pb.tensor for numbers and lists"))
    return from_host(data)


def from_dlpack(data: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """A tensor from any array that speaks DLPack (copied)."""
    checked_device(device, "from_dlpack")
    if not hasattr(data, "__dlpack__"):
        raise ArgumentError(message("from_dlpack: not an array with __dlpack__", [("data", type(data).__name__)],
                                    "use pb.asarray"))
    return from_host(np.from_dlpack(data))


# -- filled ----------------------------------------------------------------------------------------------------------


@operation(promote="exact", differentiable=False)
def _constant(shape: tuple[int, ...], value: Any, dtype: DType) -> Node:
    return build.full(shape, value, dtype)


@operation(promote="exact")
def _full(value: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    from pullback.engine.operation import broadcast_to

    return broadcast_to(build.convert(value, dtype), shape)


def _constant_array(name: str, args: tuple[Any, ...], value: Any, dtype: Any, requires_grad: bool,
                    device: Any) -> Array:
    checked_device(device, name)
    if not args:
        raise ArgumentError(message(f"{name}: no shape is given", [("shape", "()")], f"for example pb.{name}(2, 3)"))
    shape, target = shape_of(args, name), dtype_or(dtype, dtypes.float32)
    check_memory(shape, target, name)
    return finished(_constant(shape=shape, value=value, dtype=target), requires_grad)


def zeros(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """Zeros: `zeros((2, 3))` or `zeros(2, 3)`.

    >>> import pullback as pb
    >>> pb.zeros(2, 3)
    Tensor([[0., 0., 0.],
            [0., 0., 0.]], dtype=float32)
    """
    return _constant_array("zeros", shape, 0, dtype, requires_grad, device)


def ones(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """Ones: `ones((2, 3))` or `ones(2, 3)`."""
    return _constant_array("ones", shape, 1, dtype, requires_grad, device)


def empty(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """An array to be filled; its elements are 0."""
    return _constant_array("empty", shape, 0, dtype, requires_grad, device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """One number in every element; the dtype follows the number.

    >>> import pullback as pb
    >>> pb.full((2,), 7)
    Tensor([7, 7], dtype=int32)
    """
    checked_device(device, "full")
    sizes = shape_of(shape, "full")
    value = fill_value if type(fill_value) in SCALARS else as_tensor(fill_value, "full")
    found = dtypes.WEAK_DEFAULT[SCALARS[type(value)]] if type(value) in SCALARS else value.dtype
    target = dtype_or(dtype, found)
    check_memory(sizes, target, "full")
    return finished(_full(value, shape=sizes, dtype=target), requires_grad)


def _like(name: str, x: Any, dtype: Any, device: Any) -> tuple[tuple[int, ...], DType]:
    checked_device(device, name)
    x = as_tensor(x, name)
    return x.shape, dtype_or(dtype, x.dtype)


def zeros_like(x: Array, /, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """Zeros of the shape and dtype of x."""
    shape, target = _like("zeros_like", x, dtype, device)
    return finished(_constant(shape=shape, value=0, dtype=target), requires_grad)


def ones_like(x: Array, /, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Array:
    """Ones of the shape and dtype of x."""
    shape, target = _like("ones_like", x, dtype, device)
    return finished(_constant(shape=shape, value=1, dtype=target), requires_grad)


empty_like = zeros_like


def full_like(x: Array, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False,
              device: Any = None) -> Array:
    """One number in every element of an array of the shape and dtype of x."""
    shape, target = _like("full_like", x, dtype, device)
    return full(shape, fill_value, dtype=target, requires_grad=requires_grad)


# -- sequences ---------------------------------------------------------------------------------------------------------


@operation(promote="exact", differentiable=False)
def _arange(start: float, step: float, count: int, dtype: DType) -> Node:
    if dtype.kind == "b":
        return build.convert(_arange.define(start, step, count, dtypes.int32), dtype)
    if dtype.kind in "iu" and start == int(start) and step == int(step):
        wide = dtypes.int64 if dtype.bits < 64 else dtype
        steps = build.iota((count,), 0, dtype)
        if step != 1:
            steps = build.mul(steps, build.full((count,), int(step), dtype if _fits(step, dtype) else wide))
        return build.add(steps, build.full((count,), int(start), dtype)) if start else steps
    if start == 0 and step == 1 and dtype.kind == "f" and dtype.bits >= 32 and count <= 2**24:
        return build.iota((count,), 0, dtype)
    wide = dtypes.complex128 if dtype.kind == "c" else dtypes.float64
    steps = build.convert(build.iota((count,), 0, dtypes.int64), wide)
    values = build.add(build.mul(steps, build.scalar_like(steps, step)), build.scalar_like(steps, start))
    return build.convert(values, dtype)


def _fits(value: float, dtype: DType) -> bool:
    info = np.iinfo(dtype.numpy)
    return info.min <= value <= info.max


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False,
           device: Any = None) -> Array:
    """Numbers from `start` (0 where only one is given) up to, not including, `stop`. Integers give int32.

    >>> import pullback as pb
    >>> pb.arange(5)
    Tensor([0, 1, 2, 3, 4], dtype=int32)
    """
    checked_device(device, "arange")
    first, last = (0, start) if stop is None else (start, stop)
    first, last, by = (number(v, "arange", w) for v, w in ((first, "start"), (last, "stop"), (step, "step")))
    if by == 0:
        raise ValueError_(message("arange: the step cannot be 0", [("step", "0")], "use a step other than 0"))
    if not all(math.isfinite(v) for v in (first, last, by)):
        raise ValueError_(message("arange: limits must be finite", [("start, stop, step", f"{first}, {last}, {by}")],
                                  "use finite numbers"))
    whole = all(isinstance(v, int) for v in (first, last, by))
    count = max(len(range(int(first), int(last), int(by))) if whole else math.ceil((last - first) / by), 0)
    target = dtype_or(dtype, _integer_dtype(first, last) if whole else dtypes.float32)
    check_memory((count,), target, "arange")
    return finished(_arange(start=first, step=by, count=count, dtype=target), requires_grad)


def _integer_dtype(*values: float) -> DType:
    return dtypes.int32 if all(-2**31 <= v <= 2**31 - 1 for v in values) else dtypes.int64


@operation(promote="exact")
def _linspace(start: Node, stop: Node, count: int, endpoint: bool, dtype: DType) -> Node:
    wide = dtypes.complex128 if "c" in start.dtype.kind + stop.dtype.kind else dtypes.float64
    shape = (count,)
    a, z = (build.broadcast(build.convert(build.reshape(v, ()), wide), shape, ()) for v in (start, stop))
    at = build.convert(build.iota(shape, 0, dtypes.int64), wide)
    step = build.div(at, build.scalar_like(at, max(count - 1 if endpoint else count, 1)))
    # Symmetric form: exact at both ends.
    values = build.add(build.mul(a, build.sub(build.ones_like(step), step)), build.mul(z, step))
    return build.convert(values, dtype)


def linspace(start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None,
             requires_grad: bool = False, device: Any = None, steps: int | None = None) -> Array:
    """`num` evenly spaced numbers from `start` to `stop`.

    >>> import pullback as pb
    >>> pb.linspace(0, 1, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    checked_device(device, "linspace")
    count = integer(num if steps is None else steps, "linspace", "num")
    if count < 0:
        raise ValueError_(message("linspace: num cannot be negative", [("num", str(count))], "use 0 or more"))
    for value in (start, stop):
        if isinstance(value, TensorBase) and value.shape:
            raise ShapeError(message("linspace: limits must be numbers", [("limit", described(value))],
                                     "index them first"))
    limits = [v if type(v) in SCALARS else as_tensor(v, "linspace") for v in (start, stop)]
    is_complex = any(type(v) is complex or (isinstance(v, TensorBase) and v.info.type.dtype.kind == "c")
                     for v in limits)
    target = dtype_or(dtype, dtypes.complex64 if is_complex else dtypes.float32)
    check_memory((count,), target, "linspace")
    return finished(_linspace(*limits, count=count, endpoint=bool(endpoint), dtype=target), requires_grad)


def logspace(start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, base: float = 10.0,
             dtype: Any = None) -> Array:
    """`num` numbers from base ** start to base ** stop, evenly spaced in the exponent."""
    exponents = linspace(start, stop, num, endpoint=endpoint, dtype=dtypes.float64)
    return elementwise.astype(elementwise.power(float(base), exponents), dtype_or(dtype, dtypes.float32), copy=False)


# -- matrices ----------------------------------------------------------------------------------------------------------


def _diagonal(k: Any, name: str, rows: int, columns: int) -> int:
    """The number of a diagonal, no further outside than the corners: all beyond are the same."""
    return max(-rows, min(integer(k, name, "k"), columns))


@operation(promote="exact", differentiable=False)
def _eye(rows: int, columns: int, k: int, dtype: DType) -> Node:
    shape = (rows, columns)
    i, j = (build.iota(shape, axis, dtypes.int64) for axis in (0, 1))
    return build.convert(build.binary("eq", build.add(i, build.scalar_like(i, k)), j), dtype)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, requires_grad: bool = False,
        device: Any = None) -> Array:
    """Ones on a diagonal, zeros elsewhere.

    >>> import pullback as pb
    >>> pb.eye(2)
    Tensor([[1., 0.],
            [0., 1.]], dtype=float32)
    """
    checked_device(device, "eye")
    columns = n_rows if n_cols is None else n_cols
    rows, columns = shape_of((n_rows, columns), "eye")
    target = dtype_or(dtype, dtypes.float32)
    check_memory((rows, columns), target, "eye")
    at = _diagonal(k, "eye", rows, columns)
    return finished(_eye(rows=rows, columns=columns, k=at, dtype=target), requires_grad)


def identity(n: int, dtype: Any = None) -> Array:
    """The identity matrix."""
    return eye(n, dtype=dtype)


@operation(promote="none")
def _triangle(x: Node, k: int, lower: bool) -> Node:
    i, j = (build.iota(x.shape, x.tensor.rank - 2 + axis, dtypes.int32) for axis in (0, 1))
    kept = build.binary("ge" if lower else "le", build.add(i, build.scalar_like(i, k)), j)
    return build.select(kept, x, build.zeros_like(x))


def _matrices(x: Any, name: str) -> Any:
    x = as_tensor(x, name)
    if x.ndim < 2:
        raise ShapeError(message(f"{name}: needs at least two dimensions", [("x", described(x))],
                                 "reshape it, for example x[None, :]"))
    return x


def tril(x: Array, /, k: int = 0, diagonal: int | None = None) -> Array:
    """The lower triangle of matrices: zeros above diagonal k."""
    x = _matrices(x, "tril")
    return _triangle(x, k=_diagonal(k if diagonal is None else diagonal, "tril", *x.shape[-2:]), lower=True)


def triu(x: Array, /, k: int = 0, diagonal: int | None = None) -> Array:
    """The upper triangle of matrices: zeros below diagonal k."""
    x = _matrices(x, "triu")
    return _triangle(x, k=_diagonal(k if diagonal is None else diagonal, "triu", *x.shape[-2:]), lower=False)


@operation(promote="none")
def _diag_matrix(x: Node, offset: int) -> Node:
    n = x.shape[-1] + abs(offset)
    shape = (*x.shape[:-1], n, n)
    from pullback.ir.index import loop_vars

    over = loop_vars(x.shape)
    row, column = over[-1] - min(offset, 0), over[-1] + max(offset, 0)
    return build.reindex_reduce(x, shape, (*over[:-1], row, column))


def diag(x: Array, k: int = 0, diagonal: int | None = None) -> Array:
    """A matrix with x on diagonal k, or the diagonal k of a matrix."""
    x = as_tensor(x, "diag")
    offset = integer(k if diagonal is None else diagonal, "diag", "k")
    if x.ndim == 1:
        return _diag_matrix(x, offset=offset)
    if x.ndim != 2:
        raise ShapeError(message("diag: needs one or two dimensions", [("x", described(x))],
                                 "use pb.diagonal for more"))
    from pullback.api.manipulation import diagonal as take

    return take(x, offset)


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Coordinate matrices of one-dimensional arrays; "xy" exchanges the first two dimensions, "ij" does not."""
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        arrays = tuple(arrays[0])
    if indexing not in ("xy", "ij"):
        raise ValueError_(message("meshgrid: unknown indexing", [("indexing", repr(indexing))], "'xy' or 'ij'"))
    xs = [as_tensor(a, "meshgrid") for a in arrays]
    if any(x.ndim > 1 for x in xs):
        raise ShapeError(message("meshgrid: arrays must have one dimension", [("x", described(x)) for x in xs],
                                 "use x.ravel()"))
    from pullback.api.manipulation import broadcast_to, reshape, transpose

    sizes = tuple(x.info.type.size for x in xs)
    found: list[Any] = []
    for k, x in enumerate(xs):
        lined = reshape(x, tuple(n if j == k else 1 for j, n in enumerate(sizes)))
        grid = broadcast_to(lined, sizes)
        if indexing == "xy" and len(xs) > 1:
            grid = transpose(grid, (1, 0, *range(2, len(xs))))
        found.append(grid)
    return found

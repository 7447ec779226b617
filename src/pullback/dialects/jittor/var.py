"""`Var`: Jittor's array. Every floating Var can be differentiated unless it says `stop_grad`.

A Var made from numbers is a leaf without a `.grad` of its own: `jt.grad` finds it. Changed in place, a leaf becomes a
new
leaf: the step that changed it is not part of later gradients, unless what was written depends on other Vars'
gradients. A
parameter of a scope or module is always a new leaf, so that a training loop keeps nothing of its past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from pullback.api import elementwise, manipulation, reductions, reindexing
from pullback.api.arguments import as_tensor, described
from pullback.api.tensor import Tensor
from pullback.dialects.jittor import stream
from pullback.engine.execute import upload_as
from pullback.engine.operation import Operation
from pullback.engine.tensor import AutogradMeta, TensorBase, from_host, host_array
from pullback.engine.trace import Info, Value, local, new, thread
from pullback.ir.dtypes import dtype_of, float32
from pullback.ir.node import TensorType
from pullback.util.errors import ArgumentError, ShapeError, message


class Var(Tensor):
    """An array of Jittor."""

    _name: str = ""
    keeps_history: ClassVar[bool] = False
    _stored: bool = False  # a parameter: changed in place it becomes a new leaf

    def __init__(self, value: Any) -> None:
        self._value, self._meta, self._view = value, None, None
        if type(value) is not Value and value is not None:
            made = as_var(value)
            self._value, self._meta = made._peek(), made._meta

    # -- printing and reading ------------------------------------------------------------------------------------------
    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy on the host; a single number has shape (1,)."""
        if stream.pending:
            stream.settle(self)
        value = self._peek()
        array = host_array(value)
        return array if value.info.type.shape else array.reshape(1)

    @property
    def data(self) -> Any:
        """The numbers on the host."""
        return self.numpy()

    @data.setter
    def data(self, value: Any) -> None:
        self.assign(value)

    def item(self, *index: Any) -> Any:
        """The one element as a Python number."""
        if stream.pending:
            stream.settle(self)
        return super().item(*index) if index else self.only()

    def fetch_sync(self) -> np.ndarray[Any, Any]:
        """The numbers on the host, computed now."""
        return self.numpy()

    def fetch(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call `callback(numbers, ...)` with the numbers on the host."""
        if not callable(callback):
            raise ArgumentError(message("fetch: expected a function", [("given", f"{callback!r:.60}")]))
        callback(self.numpy(), *args, **kwargs)

    def sync(self, device_sync: bool = False, weak_sync: bool = True) -> Var:
        """Compute the value now."""
        self.numpy()
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return self.numpy().tolist()

    def __repr__(self) -> str:
        if self._peek().buffer is None and local.trace.kind == "staged":
            return f"jt.Var<{self.info.type!r}, being traced>"
        return f"jt.Var({self.numpy()}, dtype={self.dtype.name})"

    __str__ = __repr__

    # -- names and gradients -------------------------------------------------------------------------------------------
    def name(self, name: str | None = None) -> Any:
        """Give a name, and get the Var back; without one, the name."""
        if name is None:
            return self._name
        if not isinstance(name, str):
            raise ArgumentError(message("name: a name is a string", [("name", repr(name))]))
        self._name = name
        return self

    def stop_grad(self) -> Var:
        """Do not differentiate with respect to this Var, or through it."""
        value = self._peek()
        self._value = self.detach()._peek() if value.buffer is None else _plain(value)
        self._view = self._meta = None
        return self

    def start_grad(self) -> Var:
        """Differentiate with respect to this Var again."""
        if not self.requires_grad:
            self._meta = AutogradMeta(True)
        return self

    def is_stop_grad(self) -> bool:
        """Whether this Var is a constant for differentiation."""
        return not self.requires_grad

    def stop_fuse(self) -> Var:
        """The Var itself: what is fused is decided by measurement."""
        return self

    start_fuse = stop_fuse

    def opt_grad(self, optimizer: Any) -> Any:
        """The gradient an optimiser has for this parameter."""
        return optimizer.gradient_of(self)

    # -- in place ------------------------------------------------------------------------------------------------------
    def in_place(self, op: Any, *others: Any, **static: Any) -> Any:
        """Apply an operation and keep the result."""
        if not self._stored and (not self._is_leaf() or any(_has_history(x) for x in others)):
            self._meta = None
            return super().in_place(op, *others, **static)
        here = thread.context
        before = here.grad_enabled
        here.grad_enabled = False
        try:
            super().in_place(op, *others, **static)
        finally:
            here.grad_enabled = before
        if self._meta is None and self._view is None and self.info.type.dtype.is_inexact:
            self._meta = AutogradMeta(True)
        return self

    def in_place_with(self, op: Any, other: Any) -> Any:
        """Apply an operation of two operands and keep the result."""
        if self._meta is None or (not self._stored and _has_history(other)):
            return self.in_place(op, other)
        here = thread.context
        before = here.grad_enabled
        here.grad_enabled = False
        try:
            return Tensor.in_place_with(self, op, other)
        finally:
            here.grad_enabled = before

    def _is_leaf(self) -> bool:
        value = self._value
        if value is None:
            return False
        return self._meta is not None or (value.info.requires_grad and value.trace is None)

    def assign(self, value: Any) -> Var:
        """Replace the value; a parameter stays a parameter."""
        new: Any = value if isinstance(value, TensorBase) else as_var(value)
        if tuple(new.shape) != self.shape:
            raise ShapeError(
                message(
                    "assign: the new value must have the Var's shape",
                    [("var", described(self)), ("value", described(new))],
                )
            )
        before = local.grad_enabled
        local.grad_enabled = False
        try:
            self.assign_value(new.astype(self.dtype)._peek() if new.dtype is not self.dtype else new._peek())
        finally:
            local.grad_enabled = before
        return self

    def update(self, value: Any) -> Var:
        """`assign` outside the graph."""
        return self.assign(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._is_leaf() and self._meta is not None and not _has_history(value):
            before = local.grad_enabled
            local.grad_enabled = False
            try:
                super().__setitem__(index, value)
            finally:
                local.grad_enabled = before
            return
        self._meta = None
        super().__setitem__(index, value)

    # -- meta-operators ------------------------------------------------------------------------------------------------
    def broadcast(self, shape: Any, dims: Sequence[int] = ()) -> Any:
        """Repeat to a shape (or another Var's); `dims` are the dimensions of the result that are new."""
        target = shape.shape if isinstance(shape, TensorBase) else tuple(shape)
        if not dims:
            return manipulation.broadcast_to(self, target)
        new_dims = tuple(dims)
        placed = _repeated(self.info.type, target, new_dims)
        if placed is None:
            return reindexing.broadcast_in_dim(self, target, _others(len(target), new_dims))
        return placed.on(self)

    def reindex(self, shape: Any, indexes: Sequence[str], overflow_value: float = 0, *_: Any) -> Any:
        """y[i0, i1, ...] = x[indexes[0], indexes[1], ...]."""
        return reindexing.reindex(self, tuple(shape), indexes, overflow_value)

    def reindex_reduce(self, op: str, shape: Any, indexes: Sequence[str], *_: Any) -> Any:
        """y[indexes[0], ...] op= x[i0, i1, ...]."""
        return reindexing.reindex_reduce(self, op, tuple(shape), indexes)

    # -- Jittor's own conventions --------------------------------------------------------------------------------------
    def argmax(self, dim: Any = None, keepdims: bool = False) -> Any:
        """The positions of the greatest elements, and these elements."""
        return reductions.argmax(self, dim, keepdims), reductions.max(self, dim, keepdims)

    def argmin(self, dim: Any = None, keepdims: bool = False) -> Any:
        """The positions of the least elements, and these elements."""
        return reductions.argmin(self, dim, keepdims), reductions.min(self, dim, keepdims)

    def sqr(self) -> Any:
        """The squares."""
        return elementwise.square(self)

    def float32(self) -> Any:
        """The elements as float32."""
        return self.astype("float32")

    def int32(self) -> Any:
        """The elements as int32."""
        return self.astype("int32")

    def float64(self) -> Any:
        """The elements as float64."""
        return self.astype("float64")

    def uint8(self) -> Any:
        """The elements as uint8."""
        return self.astype("uint8")

    def __iter__(self) -> Iterator[Any]:
        return iter([self[k] for k in range(len(self))])


Var.result_class = Var


@lru_cache(1024)
def _others(rank: int, dims: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions that are not new."""
    new = {d % rank for d in dims}
    return tuple(k for k in range(rank) if k not in new)


@lru_cache(4096)
def _repeated(own: TensorType, shape: tuple[int, ...], dims: tuple[int, ...]) -> Operation | None:
    """What repeats an array along new dimensions; None where dimensions of size 1 are repeated as well."""
    squeezed, placed = reindexing.placement(own, shape, _others(len(shape), dims))
    return placed if squeezed is None else None


def _has_history(x: Any) -> bool:
    """Whether later gradients could flow into what an operand was computed from."""
    return isinstance(x, TensorBase) and x.requires_grad


def _plain(value: Value) -> Value:
    """A concrete value as a constant for differentiation."""
    return Value(None, -1, Info.of(value.info.type), value.buffer)


_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


#: what is known of Vars made of arrays of floats, by shape
_FLOATS: dict[tuple[int, ...], Info] = {}
_LIMIT = 4096
_FLOAT32 = np.dtype(np.float32)


def from_floats(array: np.ndarray[Any, Any]) -> Var:
    """A differentiable Var of an array of float32 or float64."""
    shape = array.shape
    info = _FLOATS.get(shape)
    if info is None:
        info = Info.of(TensorType.of(shape, float32), True)
        if len(_FLOATS) < _LIMIT:
            _FLOATS[shape] = info
    if array.dtype is not _FLOAT32 or not array.flags.c_contiguous:
        array = array.astype(_FLOAT32, "C")
    made = new(Var)
    made._value, made._meta, made._view = upload_as(array, info), None, None
    return made


def as_var(value: Any, dtype: Any = None) -> Var:
    """A Var from numbers, lists, NumPy arrays or tensors; 64-bit numbers become 32-bit ones unless a dtype is given."""
    if type(value) is np.ndarray and (dtype is None or dtype == "float32") and value.dtype.char in "fd":
        return from_floats(value)
    if isinstance(value, TensorBase):
        var = Var(value._use())
        if not isinstance(value, Var) and var.info.type.dtype.is_inexact and not var.info.requires_grad:
            var._meta = AutogradMeta(True)  # an array of another style is a Var as any other here
        return var if dtype is None else var.astype(dtype)
    if dtype is None:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(as_tensor(value, "jt.array"))
        kind = dtype_of(_NARROW.get(array.dtype.name, array.dtype)) if array.dtype.kind in "biufcV" else None
    else:
        array, kind = value, dtype_of(dtype)
    if kind is None:
        raise ArgumentError(
            message(
                "jt.array: not numbers",
                [("data", f"{type(value).__name__} {value!r:.60}")],
                "pass numbers, nested lists of numbers, or arrays",
            )
        )
    found = from_host(array, kind)
    return Var(_differentiable(found._peek())) if kind.is_inexact else Var(found._peek())


def _differentiable(value: Value) -> Value:
    return Value(None, -1, Info.of(value.info.type, True), value.buffer)

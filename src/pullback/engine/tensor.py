"""The handle: a `TensorBase` holds an immutable Value and may be given another one (in-place operations).

A view holds no value of its own: it reads through its base and writes through to it. A leaf that requires gradients has
an `AutogradMeta`, which owns `.grad`.
"""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from pullback.engine import trace as tracing_module
from pullback.engine.execute import SMALL_COPY, observe, upload, upload_as, zeros
from pullback.engine.known import record1, record2
from pullback.engine.trace import Info, Value, local, new, record, thread, visible_dtype
from pullback.ir.dtypes import DType, dtype_of, float32, int32, numpy_dtype
from pullback.runtime import native as runtime
from pullback.util.errors import (
    ArgumentError,
    DeletedError,
    DTypeError,
    GradientError,
    ImmutableError,
    NotNumbersError,
    NotOneNumberError,
    RaggedError,
    ShapeError,
    message,
)


class AutogradMeta:
    """Gradient side of a leaf tensor: whether it requires gradients, its `.grad`, the leaf Value that stands for it."""

    __slots__ = ("__weakref__", "grad", "hooks", "leaf", "requires_grad", "source")

    def __init__(self, requires_grad: bool) -> None:
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.source: Value | None = None
        self.leaf: Value | None = None
        self.hooks: list[Any] = []

    def leaf_value(self, value: Value, owner: Any) -> Value:
        """The differentiable leaf for the tensor's present value, in the trace that owns leaves here."""
        here = thread.context
        trace = here.trace
        leaf = self.leaf
        if leaf is not None and self.source is value and (leaf.trace is trace or leaf.trace is trace.base):
            return leaf
        if here.track is not None:
            here.track[value] = owner
        if value.buffer is not None and value not in trace.base.carried:
            return self.fresh_leaf(value, trace.base)
        if is_within(value.trace, trace, trace.base):
            raise GradientError(message(
                "requires_grad: a value within a function that is differentiated is no leaf",
                [("within", trace.what), ("tensor", repr(value.info.type))],
                "differentiate inside with grad or vjp, whose argument it is, instead of requires_grad and backward()"))
        here.trace = before = trace.base
        try:
            leaf = record(leaf_operation(), [value])[0]
            base = here.trace
        finally:
            if trace is not before:
                trace.move(before, here.trace)
                here.trace = trace
        leaf.sink = self
        if base.sinks is None:
            base.sinks = {}
        base.sinks[leaf.slot] = self
        self.source, self.leaf = value, leaf
        return leaf

    def fresh_leaf(self, value: Value, trace: tracing_module.Trace) -> Value:
        """A new leaf for a concrete value in a trace."""
        leaf = self.leaf = trace.gradient_leaf(value, self)
        self.source = value
        return leaf


def base_of(trace: tracing_module.Trace) -> tracing_module.Trace:
    """The trace that owns gradient leaves for work recorded in `trace`."""
    return trace.base if trace.outer is not None else trace


def is_within(which: tracing_module.Trace | None, trace: tracing_module.Trace, home: tracing_module.Trace) -> bool:
    """Whether it is this trace, or one of those around it that lie in `home`."""
    at: tracing_module.Trace | None = trace
    while at is not None and at is not home:
        if at is which:
            return True
        at = at.outer
    return False


class View:
    """How a view reads from and writes to its base: two operations, and what was read last."""

    __slots__ = ("base", "cached", "read_op", "seen", "shape", "static", "with_history", "write_op")

    def __init__(self, base: TensorBase, read_op: Any, write_op: Any, static: tuple[Any, ...]) -> None:
        self.base, self.read_op, self.write_op, self.static = base, read_op, write_op, static
        self.shape: tuple[int, ...] | None = None  # where it is known without reading
        self.seen: Value | None = None
        self.cached: Value | None = None
        self.with_history = False  # whether `cached` was read with gradients enabled

    def read(self) -> Value:
        base = self.base
        cached = self.cached
        detached = self.write_op is None
        try:
            value = base._peek() if detached else base._use()  # pyright: ignore[reportPrivateUsage]
        except DeletedError:
            if cached is None:
                raise
            return cached
        here = thread.context
        if self.seen is value and cached is not None and (cached.buffer is not None or cached.trace is here.trace) \
                and (self.with_history or not value.info.requires_grad or not here.grad_enabled):
            return cached
        if here.track is not None:
            here.track[value] = base
        bound = self.read_op.bind(self.static) if self.static else self.read_op
        found = record1(bound, TensorBase(value) if detached else base)
        self.cached = found if found is not None else record(bound, [value])[0]
        self.seen = value
        self.with_history = here.grad_enabled
        return self.cached

    def read_outside(self) -> Value:
        """`read` in the trace that owns leaves here: what is read becomes one. What was made in a trace within it is
        known there alone."""
        here = thread.context
        trace = here.trace
        home = base_of(trace)
        if home is trace or is_within(self.base._peek().trace, trace, home):  # pyright: ignore[reportPrivateUsage]
            return self.read()
        here.trace = home
        try:
            return self.read()
        finally:
            trace.move(home, here.trace)  # what was recorded there may have been launched for a part of it
            here.trace = trace

    def write(self, new: Value) -> None:
        base = self.base
        if self.write_op is None:  # a detached view: written without history, as `.data` is
            before, local.grad_enabled = local.grad_enabled, False
            try:
                base.assign_value(new)
            finally:
                local.grad_enabled = before
        else:
            base.assign_value(record(
                self.write_op, [base._use(), new], self.static)[0])  # pyright: ignore[reportPrivateUsage]
        self.seen = None


class Gone:
    """What a tensor has in place of a view once its memory was given up."""

    __slots__ = ("base", "receiver", "shape", "type")

    def __init__(self, type: Any, receiver: str) -> None:
        self.base, self.type, self.receiver, self.shape = None, type, receiver, None

    def read(self) -> Any:
        raise DeletedError(message("Array has been deleted: its memory was given up",
                                   [("tensor", repr(self.type)), ("given to", self.receiver)],
                                   "use what was returned instead, or pass a copy: x.clone()"))

    def read_outside(self) -> Any:
        return self.read()

    def write(self, new: Any) -> None:
        self.read()


class TensorBase:
    """A handle on an immutable value. The array room adds operators and methods."""

    __slots__ = ("__dict__", "__weakref__", "_meta", "_value", "_view")
    _value: Value | None
    _meta: AutogradMeta | None
    _view: View | None
    default_class: ClassVar[Any] = None
    result_class: ClassVar[Any] = None
    weak_numbers: ClassVar[bool] = False  # whether NumPy's scalars promote as Python's numbers do
    checks: ClassVar[dict[str, Any]] = {}  # what an array type asks of operands, by the operation's name
    index_dtype: ClassVar[Any] = None  # of positions that functions give beside values; None for int32
    no_axes_are_all: ClassVar[bool] = False  # whether a reduction over no axes is one over all of them
    is_sparse: ClassVar[bool] = False
    keeps_history: ClassVar[bool] = True  # where its value is changed in place without gradients
    generator: ClassVar[Any] = None  # the random numbers of an array type; None for the global generator

    def __init__(self, value: Value) -> None:
        self._value = value
        self._meta = self._view = None

    # -- values --------------------------------------------------------------------------------------------------
    def _use(self) -> Value:
        """The value to record with: a leaf where gradients are wanted."""
        value = self._value
        meta = self._meta
        if value is None:
            assert self._view is not None
            value = self._view.read() if meta is None else self._view.read_outside()
        if meta is not None and meta.requires_grad and local.grad_enabled:
            return meta.leaf_value(value, self)
        return value

    def _peek(self) -> Value:
        """The value itself, whatever the gradient side."""
        value = self._value
        if value is None:
            assert self._view is not None
            return self._view.read()
        return value

    def assign_value(self, new: Value) -> None:
        """Replace the value: every in-place operation ends here."""
        here = thread.context
        meta = self._meta
        if meta is not None and meta.requires_grad and here.grad_enabled:
            raise GradientError(message(
                "in-place operation on a leaf tensor that requires gradients", [("tensor", repr(new.info.type))],
                "wrap the update in pb.no_grad(), or work on a copy: x = x.clone()"))
        old = self._value
        if old is None:
            assert self._view is not None
            self._view.write(new)
            return
        if old.info.requires_grad and not here.grad_enabled and not new.info.requires_grad and self.keeps_history:
            new = _with_history(old, new)
        trace = here.trace
        if trace.kind != "main":
            trace.note_mutation(id(self), self, old)
        elif new.trace is trace and (old.trace is not trace or old in trace.carried
                                     or (meta is not None and meta.requires_grad)):
            trace.carry(old, new)
        self._value = new
        if meta is not None:  # the old value's memory may be reused once nobody holds it
            meta.source = meta.leaf = None

    def give_up(self, receiver: str) -> None:
        """Let the value go: from now on every use is an error that names the receiver."""
        gone: Any = Gone(self.info.type, receiver)
        self._value, self._meta, self._view = None, None, gone

    def in_place(self, op: Any, *others: Any, **static: Any) -> Any:
        """Apply an operation and keep the result, cast to this tensor's dtype and shape."""
        return self.hold(op(self, *others, **static), op.name)

    def hold(self, result: TensorBase, name: str) -> Any:
        """This tensor with the value of another, cast to its dtype and shape; `name` is what made that."""
        value, mine = result._peek(), self.info
        if value.info.type is not mine.type:
            value = record(fit_operation(), [value], (("type", mine.type), ("name", name)))[0]
        self.assign_value(value)
        return self

    def in_place_with(self, op: Any, other: Any) -> Any:
        """`in_place` with one other operand."""
        mine = self._value
        value = None if mine is None else record2(op, self, other)
        if mine is None or value is None:
            return self.in_place(op, other)
        if value.info.type is not mine.info.type:
            return self.hold(self.result_class(value), op.name)
        here = thread.context
        trace = here.trace
        meta = self._meta
        if meta is None or not meta.requires_grad or here.grad_enabled or value.trace is not trace \
                or trace.kind != "main":
            self.assign_value(value)
            return self
        trace.carry(mine, value)  # the common case of `assign_value`: a parameter's update
        self._value = value
        meta.source = meta.leaf = None
        return self

    # -- types ---------------------------------------------------------------------------------------------------
    @property
    def info(self) -> Info:
        value = self._value
        return value.info if value is not None else self._peek().info

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape, which a dialect may show as a type of its own; views of indices are not read for it."""
        value, view = self._value, self._view
        if value is None and view is not None and view.shape is not None:
            return view.shape
        return (value if value is not None else self._peek()).info.type.shape

    @property
    def shape(self) -> tuple[int, ...]:
        return self.extents

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._refuse("shape", "x = x.reshape(...)")

    @property
    def dtype(self) -> DType:
        return visible_dtype(self.info)

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        self._refuse("dtype", "x = x.astype(...)")

    @property
    def ndim(self) -> int:
        return len(self.info.type.shape)

    @ndim.setter
    def ndim(self, ndim: Any) -> None:
        self._refuse("ndim", "it follows from the shape: x = x.reshape(...)")

    def _refuse(self, name: str, cure: str) -> None:
        raise ImmutableError(message(f"{name}: cannot be assigned to", [("x", repr(self.info.type))], cure))

    @property
    def size_(self) -> int:
        return self.info.type.size

    # -- gradients -----------------------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        meta = self._meta
        return meta.requires_grad if meta is not None else self._peek().info.requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.set_requires_grad(flag)

    def set_requires_grad(self, flag: bool) -> None:
        """Say whether gradients are wanted; only leaves can be told."""
        if self._meta is None:
            if self._peek().info.requires_grad:
                if flag:
                    return
                raise GradientError(message("requires_grad: only leaf tensors can be told not to require gradients",
                                            [("tensor", repr(self.info.type))], "use x.detach()"))
            if not flag:
                return
            self._meta = AutogradMeta(False)
        if flag and not self.info.type.dtype.is_inexact:
            raise GradientError(message("requires_grad: only floating-point tensors can require gradients",
                                        [("tensor", repr(self.info.type))], "convert first: x.float()"))
        self._meta.requires_grad = bool(flag)

    @property
    def is_leaf(self) -> bool:
        return self._meta is not None or not self._peek().info.requires_grad

    @property
    def grad(self) -> Any:
        return self._meta.grad if self._meta is not None else None

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not isinstance(value, TensorBase):
            raise ArgumentError(message("grad: must be None or a tensor", [("grad", type(value).__name__)],
                                        "assign None or pb.zeros_like(x)"))
        if value is not None and value.info.type is not self.info.type:
            raise GradientError(message(
                "grad: must have the same shape and dtype as its tensor",
                [("tensor", repr(self.info.type)), ("grad", repr(value.info.type))], "assign pb.zeros_like(x)"))
        if self._meta is None:
            self._meta = AutogradMeta(False)
        meta = self._meta
        if local.trace.kind != "main":
            from pullback.engine.autograd import GradHolder

            local.trace.note_mutation(id(meta), GradHolder(meta), meta.grad)
        meta.grad = value

    # -- the host ------------------------------------------------------------------------------------------------
    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy on the host, detached. Waits for pending work."""
        return host_array(self._peek())

    def only(self) -> Any:
        """The one element as a Python number."""
        value = self._peek()
        if value.info.type.size != 1:
            raise NotOneNumberError(message("item: the tensor must have exactly one element",
                                        [("tensor", repr(value.info.type))], "use .tolist(), or index it first"))
        return host_number(value)

    def item(self, *index: Any) -> Any:
        """The one element as a Python number; subclasses take an index."""
        return self.only()

    def __reduce__(self) -> Any:
        return (_unpickle, (type(self), self.numpy(), str(self.dtype),
                            self._meta is not None and self._meta.requires_grad))


_READERS: dict[str, Any] = {
    "float32": ctypes.c_float, "float64": ctypes.c_double, "int8": ctypes.c_int8, "int16": ctypes.c_int16,
    "int32": ctypes.c_int32, "int64": ctypes.c_int64, "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16,
    "uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64, "bool": ctypes.c_bool,
}


_empty = np.empty


def host_array(value: Value) -> np.ndarray[Any, Any]:
    """A copy of a value on the host. Waits for pending work."""
    info = value.info
    dtype = numpy_dtype(visible_dtype(info))
    buffer = observe(value, "numpy()")
    type = info.type
    own = numpy_dtype(type.dtype)
    if type.nbytes <= SMALL_COPY and runtime.spill is not None:
        array = _empty(type.shape, own)
        runtime.spill(buffer.address, type.nbytes, array)
        return array if own is dtype else array.astype(dtype)
    return buffer.numpy(own, type.shape).astype(dtype)  # a copy: buffers are immutable, arrays are not


def host_number(value: Value) -> Any:
    """The only element of a value as a Python number. Waits for pending work."""
    buffer = observe(value, "item()")
    reader = _READERS.get(value.info.type.dtype.name)
    return host_array(value).item() if reader is None else reader.from_address(buffer.address).value


_SIMPLE = "fdilqILQbBhH?"


def _unpickle(cls: Any, array: np.ndarray[Any, Any], dtype: str, requires_grad: bool) -> Any:
    tensor = from_host(array, dtype_of(dtype), cls)
    if requires_grad:
        tensor.requires_grad = True
    return tensor


_PLAIN: dict[tuple[Any, Any], Info] = {}
_PLAIN_LIMIT = 4096


def from_array(array: np.ndarray[Any, Any], cls: Any, known: dict[tuple[Any, Any], Info] = _PLAIN) -> Any:
    """A tensor from a NumPy array of a kind met before, copied; None for others. Fresh batches pass here."""
    info = known.get((array.dtype, array.shape))
    if info is None or not array.flags.c_contiguous:
        return None
    result = new(cls)
    result._value, result._meta, result._view = upload_as(array, info), None, None
    return result


def zeros_at_once(shape: tuple[int, ...], dtype: DType) -> Any:
    """A tensor of zeros that are in memory, where a recorded one would be another structure."""
    return TensorBase.default_class(zeros(shape, dtype.base))


def from_host(data: Any, dtype: DType | None = None, cls: Any = None) -> Any:
    """A tensor from Python numbers, lists, NumPy arrays or tensors. Python floats become float32, ints int32."""
    cls = cls or TensorBase.default_class
    dtype = None if dtype is None else dtype.base
    if type(data) is np.ndarray and data.dtype.char in _SIMPLE:
        kind = dtype_of(data.dtype) if dtype is None else dtype
        if kind.numpy == data.dtype and data.flags.c_contiguous:
            value = upload(data, kind)
            if dtype is None and len(_PLAIN) < _PLAIN_LIMIT:
                _PLAIN[data.dtype, data.shape] = value.info
            return cls(value)
    if isinstance(data, TensorBase):
        data = data.numpy()
    if isinstance(data, (list, tuple)):
        data = [x.numpy() if isinstance(x, TensorBase) else x for x in data]  # pyright: ignore[reportUnknownVariableType]
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise RaggedError(message("tensor: rows of different lengths", [("data", f"{data!r:.60}")],
                                    "every row of a nested list must have the same length")) from error
    if array.dtype.kind in "OUSMmV" and "float" not in array.dtype.name:
        raise NotNumbersError(message("tensor: not numbers", [("data", f"{data!r:.60}")],
                                    "pass numbers or arrays of them"))
    if dtype is None:
        python = not isinstance(data, (np.ndarray, np.generic)) and not hasattr(data, "__array__")
        dtype = {"f": float32, "i": int32}.get(array.dtype.kind) if python else None
        if dtype is int32 and array.size and (array.max() > 2**31 - 1 or array.min() < -2**31):
            dtype = dtype_of("int64")
        if python and array.dtype.kind == "c":
            dtype = dtype_of("complex64")
        dtype = dtype or dtype_of(array.dtype)
    with np.errstate(all="ignore"):
        array = np.ascontiguousarray(array, numpy_dtype(dtype)).reshape(array.shape)
    return cls(upload(array, dtype))


_operations: dict[str, Any] = {}


def leaf_operation() -> Any:
    """Identity whose result is a leaf that requires gradients."""
    if "leaf" not in _operations:
        from pullback.engine.operation import operation
        from pullback.ops import build

        _operations["leaf"] = operation(leaf=True, name="leaf")(build.copy)
    return _operations["leaf"]


def stop_operation() -> Any:
    """Identity with derivative zero."""
    if "stop" not in _operations:
        from pullback.engine.operation import operation
        from pullback.ops import build

        _operations["stop"] = operation(differentiable=False, name="detach")(build.stop_gradient)
    return _operations["stop"]


#: the value whose history one has that was written without gradients
_origins: WeakKeyDictionary[Value, Value] = WeakKeyDictionary()


def _with_history(old: Value, new: Value) -> Value:
    """A value that is written without gradients where one with a history was: it keeps that history, as if the old
    value had become it by adding a constant. Written again and again it has that history alone."""
    if "change" not in _operations:
        from pullback.engine.operation import operation
        from pullback.ops.control import with_rule

        def to_new(old: Any, new: Any) -> Any:
            return new

        def slope(given: Any, slopes: Any) -> Any:
            return (given[1],), (slopes[0],)

        def change(x: Any, y: Any) -> Any:
            return with_rule("change", to_new, slope, x, y)[0]

        _operations["change"] = operation(name="change")(change)
    origin = _origins.get(old, old)
    local.grad_enabled = True
    try:
        found = record(_operations["change"], [origin, new])[0]
    finally:
        local.grad_enabled = False
    _origins[found] = origin
    return found


def fit_operation() -> Any:
    """Cast and broadcast the result of an in-place operation to its target."""
    if "fit" not in _operations:
        from pullback.engine.operation import broadcast_to, operation
        from pullback.ops import build

        def fit(x: Any, type: Any, name: str) -> Any:
            rank = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
            fits = _broadcasts(x.shape, type.shape)
            if not fits or rank[x.dtype.kind] > rank[type.dtype.kind]:
                raise (DTypeError if fits else ShapeError)(message(
                    f"{name}: the result does not fit the tensor it would be written to",
                    [("result", repr(x.type)), ("tensor", repr(type))],
                    f"write x = x {name} ... instead of changing x in place"))
            return broadcast_to(build.convert(x, type.dtype), type.shape)

        _operations["fit"] = operation(name="fit")(fit)
    return _operations["fit"]


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    lead = len(target) - len(shape)
    return lead >= 0 and all(n in (1, target[lead + k]) for k, n in enumerate(shape))


def detach(tensor: TensorBase) -> Any:
    """A tensor that shares this one's storage and has no history."""
    result = tensor.result_class(None)
    result._value = None
    result._view = View(tensor, stop_operation(), None, ())
    return result


def concrete(value: Value) -> bool:
    """Whether a value can be had without tracing."""
    trace = value.trace
    return value.buffer is not None or trace is None or trace.kind != "staged"


def current_trace() -> tracing_module.Trace:
    return local.trace

"""`Array`: JAX's immutable array, and the border between it and numbers, NumPy arrays and other dialects' tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from pullback.api import comparison, elementwise, indexing, selecting
from pullback.api.arguments import described
from pullback.api.creation import asarray as _asarray
from pullback.api.linear_algebra import matmul_operation
from pullback.api.tensor import Tensor
from pullback.dialects.jax import errors
from pullback.dialects.jax.config import config
from pullback.engine.execute import observe, upload_as
from pullback.engine.known import record2
from pullback.engine.operation import Operation
from pullback.engine.tensor import Gone, TensorBase, from_array, from_host
from pullback.engine.trace import SCALARS, Info, Value, new
from pullback.ir.dtypes import WEAK_DEFAULT, DType, dtype_of, numpy_dtype
from pullback.ir.node import TensorType
from pullback.util.errors import (
    ArgumentError,
    ConcretizationError,
    DTypeError,
    ImmutableError,
    NoDeviceError,
    StructureError,
    ValueError_,
    message,
)

IMMUTABLE = (
    "JAX arrays are immutable and do not support in-place item assignment. Instead of x[idx] = y, use "
    "x = x.at[idx].set(y) or another .at[] method"
)
#: 64-bit types are cut to 32 bits unless jax_enable_x64 is on
_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}


def canonical(dtype: Any) -> DType:
    """The dtype that numbers of this dtype have here."""
    found = dtype_of(dtype)
    return found if config.jax_enable_x64 else dtype_of(_NARROW.get(found.name, found))


def wanted(dtype: Any, name: str) -> DType | None:
    """A dtype that was asked for: cut to 32 bits with a warning."""
    if dtype is None:
        return None
    given = dtype_of(np.dtype("float64") if dtype is float else np.dtype("int64") if dtype is int else dtype)
    found = canonical(given)
    if found is not given and dtype not in (float, int, complex):
        warnings.warn(
            f"Explicitly requested dtype {given.name} requested in {name} is not available, and will be truncated "
            f"to dtype {found.name}. To enable more dtypes, set the jax_enable_x64 configuration option.",
            UserWarning,
            stacklevel=4,
        )
    return found


def default_float() -> DType:
    """The dtype of floating numbers that nobody chose."""
    return canonical("float64")


def default_int() -> DType:
    """The dtype of whole numbers that nobody chose."""
    return canonical("int64")


class Device:
    """Where arrays live."""

    platform, device_kind, id, process_index = "cpu", "cpu", 0, 0

    def __repr__(self) -> str:
        return "CpuDevice(id=0)"

    def __str__(self) -> str:
        return "TFRT_CPU_0"


CPU = Device()


class ShapedArray:
    """Shape and dtype of an array, printed as `float32[3,4]`."""

    def __init__(self, shape: tuple[int, ...], dtype: DType, weak_type: bool = False) -> None:
        self.shape, self.dtype, self.weak_type = shape, dtype, weak_type

    def str_short(self) -> str:
        """With the short name of the dtype."""
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"ShapedArray({self.dtype.name}[{','.join(map(str, self.shape))}]{', weak_type=True' * self.weak_type})"

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]{'{weak_type=True}' * self.weak_type}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapedArray) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))


def _binary(op: Operation) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    def forward(self: Array, other: Any) -> Any:
        value = record2(op, self, other)
        if value is None:
            other = operand(other)
            return NotImplemented if other is NotImplemented else op(self, other)
        result = new(Array)
        result._value, result._meta, result._view = value, None, None
        return result

    def backward(self: Array, other: Any) -> Any:
        value = record2(op, other, self)
        if value is None:
            other = operand(other)
            return NotImplemented if other is NotImplemented else lift(op(other, self))
        result = new(Array)
        result._value, result._meta, result._view = value, None, None
        return result

    return forward, backward


def _comparison(op: Operation) -> Callable[[Any, Any], Any]:
    return _binary(op)[0]


def operand(x: Any) -> Any:
    """The other side of an operator."""
    if type(x) in SCALARS or isinstance(x, TensorBase):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return lower(x)
    if isinstance(x, (list, tuple)):
        raise ArgumentError(
            message(
                f"unsupported operand: {type(x).__name__}",
                [("given", f"{x!r:.60}")],
                "make it an array: jnp.array(...)",
            )
        )
    return NotImplemented


def _reducing(name: str) -> Callable[..., Any]:
    """A method with the arguments of NumPy's, which NumPy's own function calls with `out=None`."""
    native = getattr(Tensor, name)

    def method(self: Array, *args: Any, **options: Any) -> Any:
        if not args and not options:
            return native(self)
        from pullback.dialects.jax import numpy as jnp  # it needs this module

        if options.get("out", 0) is None:
            del options["out"]
        return getattr(jnp, name)(self, *args, **options)

    method.__name__, method.__doc__ = name, native.__doc__
    return method


class Array(Tensor):
    """An immutable array. Update copies: `x = x.at[i].set(v)`."""

    __add__, __radd__ = _binary(elementwise._add)
    __sub__, __rsub__ = _binary(elementwise._subtract)
    __mul__, __rmul__ = _binary(elementwise._multiply)
    __truediv__, __rtruediv__ = _binary(elementwise._divide)
    __floordiv__, __rfloordiv__ = _binary(elementwise._floor_divide)
    __mod__, __rmod__ = _binary(elementwise._remainder)
    __matmul__, __rmatmul__ = _binary(matmul_operation)
    __and__, __rand__ = _binary(comparison._bitwise_and)
    __or__, __ror__ = _binary(comparison._bitwise_or)
    __xor__, __rxor__ = _binary(comparison._bitwise_xor)
    __lshift__, __rlshift__ = _binary(comparison._shift_left)
    __rshift__, __rrshift__ = _binary(comparison._shift_right)
    __lt__, __le__ = _comparison(comparison._less), _comparison(comparison._less_equal)
    __gt__, __ge__ = _comparison(comparison._greater), _comparison(comparison._greater_equal)
    __eq__: Any = _comparison(comparison._equal)
    __ne__: Any = _comparison(comparison._not_equal)
    # x += y makes a new array
    __iadd__, __isub__, __imul__, __itruediv__ = __add__, __sub__, __mul__, __truediv__
    __ifloordiv__, __imod__, __imatmul__ = __floordiv__, __mod__, __matmul__
    __iand__, __ior__, __ixor__, __ilshift__, __irshift__ = __and__, __or__, __xor__, __lshift__, __rshift__

    def __hash__(self) -> int:
        raise ArgumentError(
            message("unhashable type: a jax.Array", [("x", described(self))], "use its numbers: x.item(), x.tobytes()")
        )

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        if type(other) is int and -elementwise.POWER_LIMIT <= other <= elementwise.POWER_LIMIT:
            return elementwise.INTEGER_POWERS[other].on(self)
        other = operand(other)
        return NotImplemented if other is NotImplemented else elementwise.power(self, other)

    def __rpow__(self, other: Any, modulo: None = None) -> Any:
        other = operand(other)
        return NotImplemented if other is NotImplemented else lift(elementwise._power(other, self))

    __ipow__ = __pow__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's functions give NumPy arrays; an operator with a NumPy array on its left gives an Array."""
        operator = _OPERATORS.get(ufunc.__name__) if method == "__call__" and len(inputs) == 2 and not options else None
        if operator is not None and inputs[1] is self and not isinstance(inputs[0], Array):
            return getattr(self, operator)(inputs[0])
        plain = [x.numpy() if isinstance(x, Array) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **options)

    # -- immutable -----------------------------------------------------------------------------------------------------
    def __setitem__(self, index: Any, value: Any) -> None:
        raise ImmutableError(
            message(IMMUTABLE, [("x", described(self)), ("index", f"{index!r:.60}")], "x = x.at[idx].set(y)")
        )

    def __delitem__(self, index: Any) -> None:
        raise ImmutableError(message(IMMUTABLE, [("x", described(self)), ("index", f"{index!r:.60}")], "jnp.delete"))

    def assign_value(self, new: Value) -> None:
        raise ImmutableError(message(IMMUTABLE, [("x", described(self))], "use what the function returns"))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            raise ArgumentError(
                message(
                    "Using a non-tuple sequence for multidimensional indexing is not allowed",
                    [("index", f"{index!r:.60}")],
                    "x[jnp.array(index)] or x[tuple(index)]",
                )
            )
        try:
            return indexing.read(self, index)
        except errors.ConcretizationError as error:
            raise errors.NonConcreteBooleanIndexError(str(error)) from None

    def __iter__(self) -> Iterator[Any]:
        if not self.info.type.shape:
            raise ArgumentError(
                message("iteration over a 0-d array", [("x", described(self))], "use x.item() for the number")
            )
        return iter(indexing.rows(self))

    @property
    def at(self) -> Any:
        """Updates that return a new array: `x.at[i].set(v)`, `.add`, `.multiply`, ..."""
        return At(self)

    # -- values --------------------------------------------------------------------------------------------------------
    def __bool__(self) -> bool:
        try:
            return super().__bool__()
        except ConcretizationError:
            raise self._traced(
                errors.TracerBoolConversionError, "Attempted boolean conversion of traced array"
            ) from None

    def __index__(self) -> int:
        try:
            return super().__index__()
        except ConcretizationError:
            raise self._traced(
                errors.TracerIntegerConversionError, "The __index__() method was called on a traced array"
            ) from None

    def __float__(self) -> float:
        number = self.only("float()")
        return number if type(number) is float else float(self._real_one("float"))

    def __int__(self) -> int:
        try:
            return super().__int__()
        except ConcretizationError:
            raise self._traced(errors.ConcretizationTypeError, "int() of a traced array") from None

    def only(self, what: str = "item()") -> Any:
        """The one element as a Python number."""
        try:
            return super().only()
        except ConcretizationError:
            raise self._traced(errors.ConcretizationTypeError, f"{what} of a traced array") from None

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements on the host."""
        try:
            return super().numpy()
        except ConcretizationError:
            raise self._traced(
                errors.TracerArrayConversionError, "The __array__() method was called on a traced array"
            ) from None

    def _traced(self, kind: type[errors.ConcretizationTypeError], what: str) -> errors.ConcretizationTypeError:
        trace = self._peek().trace
        where = (trace.what if trace is not None else "") or "a function"
        return kind(
            errors.text(f"{what}: the value is not known while {where} is being traced", [("value", described(self))])
        )

    def __repr__(self) -> str:
        return _repr(self)

    def __str__(self) -> str:
        trace = self._peek().trace
        return _repr(self) if trace is not None and trace.kind != "main" else super().__str__()

    def __format__(self, spec: str) -> str:
        return str(self) if not spec else super().__format__(spec)

    # -- attributes ----------------------------------------------------------------------------------------------------
    @property
    def weak_type(self) -> bool:
        """Whether the dtype gives way to that of other arrays, as a Python number's does."""
        return bool(self.info.weak)

    @property
    def aval(self) -> ShapedArray:
        """Shape and dtype."""
        return ShapedArray(self.shape, self.dtype, self.weak_type)

    @property
    def size(self) -> Any:
        """The number of elements."""
        return self.info.type.size

    @property
    def device(self) -> Any:
        """Where the elements are."""
        return CPU

    @property
    def sharding(self) -> Any:
        """How the elements are laid out over devices: all are on the only one."""
        from pullback.dialects.jax.sharding import SingleDeviceSharding  # needed by few

        return SingleDeviceSharding(CPU)

    @property
    def committed(self) -> bool:
        """Whether the array was put on a device on purpose."""
        return False

    @property
    def is_fully_addressable(self) -> bool:
        """Whether all elements are in this process."""
        return True

    def devices(self) -> set[Device]:
        """Where the elements are."""
        return {CPU}

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The array on a device."""
        return on_device(self, device)

    def block_until_ready(self) -> Any:
        """Wait until the elements are computed."""
        try:
            observe(self._peek(), "block_until_ready()")
        except ConcretizationError:
            raise self._traced(errors.ConcretizationTypeError, "block_until_ready() of a traced array") from None
        return self

    def delete(self) -> None:
        """Let the elements go: using the array afterwards is an error."""
        if not self.is_deleted():
            self.give_up("delete()")

    def is_deleted(self) -> bool:
        """Whether `delete`, or a jitted function that it was donated to, has let the elements go."""
        return isinstance(self._view, Gone)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """The elements as another dtype."""
        return elementwise.astype(self, wanted(dtype, "astype"), copy=copy)

    def copy(self) -> Any:
        """The array itself: nobody can change it."""
        return self

    def nonzero(self) -> tuple[Any, ...]:
        """The positions of elements that are not zero."""
        return lift(selecting.nonzero(self))

    sum, prod, mean, std, var = (_reducing(n) for n in ("sum", "prod", "mean", "std", "var"))
    max, min, any, all = (_reducing(n) for n in ("max", "min", "any", "all"))


Array.result_class = Array

#: the reflected operator that stands for a NumPy function
_OPERATORS = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "divide": "__rtruediv__",
    "floor_divide": "__rfloordiv__",
    "remainder": "__rmod__",
    "matmul": "__rmatmul__",
    "power": "__rpow__",
    "bitwise_and": "__rand__",
    "bitwise_or": "__ror__",
    "bitwise_xor": "__rxor__",
    "less": "__gt__",
    "less_equal": "__ge__",
    "greater": "__lt__",
    "greater_equal": "__le__",
    "equal": "__eq__",
    "not_equal": "__ne__",
}


def on_device(x: Any, device: Any) -> Any:
    """Refuse devices that are not there."""
    if (
        device is not None
        and not isinstance(device, Device)
        and not hasattr(device, "device_set")
        and str(device).split(":")[0] not in ("cpu", "CpuDevice(id=0)")
    ):
        raise NoDeviceError(
            message("device_put: no such device", [("device", str(device))], "arrays live on jax.devices()[0]")
        )
    return x


def _repr(x: Array) -> str:
    value = x._peek()
    trace = value.trace
    weak = ", weak_type=True" if value.info.weak else ""
    if value.buffer is None and trace is not None and trace.kind != "main":
        return f"JitTracer({'~' * bool(value.info.weak)}{x.aval.dtype.name}[{','.join(map(str, x.shape))}])"
    array = x.numpy()
    body = (
        np.array2string(array, separator=", ", prefix="Array(", suffix=",")
        if array.size
        else f"[], shape={array.shape}"
    )
    tail = f"dtype={x.dtype.name}{weak})"
    last = len(body) - body.rfind("\n") + 1
    # too long for the line: JAX puts as many spaces as the prefix has, and no line break
    joint = ", " if last + len(tail) + 1 <= np.get_printoptions()["linewidth"] else "," + " " * len("Array(")
    return f"Array({body}{joint}{tail}"


# -- the border --------------------------------------------------------------------------------------------------------


def lift(x: Any) -> Any:
    """Results as Arrays: tensors of other classes share their value."""
    kind = type(x)
    if kind is Array:
        return x
    if isinstance(x, Array):
        return x
    if isinstance(x, TensorBase):
        return Array(x._use())
    if kind is tuple or kind is list:
        return kind(lift(y) for y in x)
    if isinstance(x, tuple):
        return kind(*map(lift, x))  # with names
    return x


def lower(x: Any) -> Any:
    """Arguments as the array room takes them: NumPy's 64-bit numbers are cut to 32 bits."""
    if isinstance(x, (np.ndarray, np.generic)) and not isinstance(x, (np.bool_, np.str_)):
        return host_array(x)
    return x


def host_array(x: Any) -> Any:
    """An Array of NumPy's numbers."""
    try:
        return Array(from_host(x, canonical(x.dtype))._peek())
    except DTypeError:
        raise ArgumentError(
            message(
                f"Value {x!r:.60} with dtype {x.dtype} is not a valid JAX array type",
                help="only arrays of numbers and bools can be used",
            )
        ) from None


def weak_array(x: Any) -> Array:
    """A Python number as an Array whose dtype gives way."""
    kind = SCALARS[type(x)]
    if kind == "b":
        return Array(from_host(np.asarray(x))._peek())
    dtype = WEAK_DEFAULT[kind]
    try:
        host = np.asarray(x, numpy_dtype(dtype))
    except OverflowError:
        raise OverflowError(f"Python int {x} too large to convert to {dtype.name}") from None
    return Array(upload_as(host, Info.of(TensorType.of((), dtype), False, kind)))


#: NumPy's characters of the dtypes that are taken as they are
_AT_MOST_32_BITS = "fhiHIbB?"


def asarray(x: Any, dtype: Any = None, name: str = "array") -> Any:
    """An Array from numbers, lists, NumPy arrays or tensors."""
    if dtype is None and type(x) is np.ndarray and x.dtype.char in _AT_MOST_32_BITS:
        found = from_array(x, Array)
        return Array(from_host(x)._peek()) if found is None else found
    target = wanted(dtype, name)
    if isinstance(x, TensorBase):
        return x if target is None and isinstance(x, Array) else lift(_asarray(x, dtype=target))
    if type(x) in SCALARS:
        return weak_array(x) if target is None else Array(from_host(x, target)._peek())
    if isinstance(x, (np.ndarray, np.generic)):
        return host_array(x) if target is None else Array(from_host(x, target)._peek())
    if x is None or isinstance(x, (str, bytes, dict, set)):
        raise StructureError(
            message(
                f"{name}: not a valid JAX array type",
                [("value", f"{type(x).__name__} {x!r:.60}")],
                "pass numbers, nested lists of numbers, or arrays",
            )
        )
    found = _asarray(x, dtype=target)
    if target is None and config.jax_enable_x64:
        found = found.astype({"f": "float64", "i": "int64"}.get(found.dtype.kind, found.dtype))
    return lift(found)


def refuse_list(x: Any, name: str, place: int = 0) -> None:
    """Lists are refused where an array is wanted: there they are one element after another."""
    if isinstance(x, (list, tuple, str)) or x is None:
        raise ArgumentError(
            message(
                f"{name} requires ndarray or scalar arguments, got {type(x)} at position {place}.",
                [("argument", f"{x!r:.60}")],
                "make it an array: jnp.array(...)",
            )
        )


def counting(target: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose integers have the default dtype of integers."""

    @wraps(target)
    def call(*args: Any, **options: Any) -> Any:
        found = target(*args, **options)
        if not config.jax_enable_x64:
            return found
        kind = default_int()
        return tuple(x.astype(kind) for x in found) if isinstance(found, tuple) else found.astype(kind)

    return call


def array_of(x: Any, name: str) -> Any:
    """An Array from an array or a number; lists are refused."""
    refuse_list(x, name)
    return x if isinstance(x, Array) else asarray(x)


def refusing_lists(target: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function, which takes no lists for its first `count` arguments (0: for the elements of its first)."""
    name = target.__name__

    @wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        checked = args[:count] if count else args[0] if args and isinstance(args[0], (list, tuple)) else ()
        for k, x in enumerate(checked):
            if type(x) is list or type(x) is tuple or type(x) is str:
                refuse_list(x, name, k)
        return target(*args, **kwargs)

    return call


def function(target: Callable[..., Any], strict: int = 0) -> Callable[..., Any]:
    """A function of the array room with JAX's border: Arrays out, NumPy's numbers in as 32 bits. The first `strict`
    arguments are arrays and numbers, and no lists of them."""

    @wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        for a in args:
            kind = type(a)
            if kind is not Array and kind is not float and kind is not int:
                for k, x in enumerate(args[:strict]):
                    if isinstance(x, (list, tuple, str)):
                        refuse_list(x, target.__name__, k)
                args = tuple([lower(a) for a in args])
                break
        if not kwargs:
            result = target(*args)
        else:
            result = target(*args, **{k: lower(v) for k, v in kwargs.items()})
        return result if type(result) is Array else lift(result)

    return call


_MODES = {None: None, "drop": "fill", "fill": "fill", "clip": "clip", "promise_in_bounds": None}


def missing(dtype: DType) -> Any:
    """What is read outside of an array: NaN, the least or the greatest whole number."""
    if dtype.is_inexact or dtype.kind == "b":
        return np.nan if dtype.is_inexact else True
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if dtype.kind == "i" else limits.max)


class At:
    """`x.at[index]`: updates that return a new array. `mode` says what an index out of range does: an error by default,
    "drop" (or "fill") leaves it out, "clip" takes the nearest element."""

    __slots__ = ("index", "x")

    def __init__(self, x: Array, index: Any = None) -> None:
        self.x, self.index = x, index

    def __getitem__(self, index: Any) -> At:
        return At(self.x, index)

    def __repr__(self) -> str:
        return f"_IndexUpdateRef({self.x!r}, {self.index!r})"

    def _native(self, mode: Any) -> Any:
        mode = getattr(mode, "text", mode)
        if mode not in _MODES:
            raise ValueError_(
                message(
                    "at[]: no such mode", [("mode", repr(mode))], "one of 'drop', 'fill', 'clip', 'promise_in_bounds'"
                )
            )
        return indexing.At(Tensor(self.x._use()), self.index, _MODES[mode])

    def get(
        self,
        *,
        mode: str | None = None,
        fill_value: Any = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Any:
        """The elements themselves."""
        if mode is None or mode == "promise_in_bounds":
            return self.x[self.index]
        native = self._native(mode)
        fill = missing(self.x.dtype) if fill_value is None else fill_value
        return lift(native.get(native.mode, asarray(fill, self.x.dtype)) if native.mode else self.x[self.index])


def _updating(name: str) -> Callable[..., Any]:
    def update(
        self: At,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Any:
        native = self._native(mode)
        return lift(_UPDATES[name](native, lower(values)))

    update.__name__ = name
    update.__doc__ = _UPDATES[name].__doc__
    return update


_UPDATES: dict[str, Callable[..., Any]] = {
    "set": indexing.At.set,
    "add": indexing.At.add,
    "subtract": indexing.At.subtract,
    "multiply": indexing.At.multiply,
    "divide": indexing.At.divide,
    "power": indexing.At.power,
    "min": indexing.At.min,
    "max": indexing.At.max,
    "apply": indexing.At.apply,
}
for _name in _UPDATES:
    setattr(At, _name, _updating(_name))
setattr(At, "mul", _updating("multiply"))  # noqa: B010 - as the others
for _name in ("argmax", "argmin", "argsort", "count_nonzero", "nonzero", "searchsorted"):
    if hasattr(Array, _name):
        setattr(Array, _name, counting(getattr(Array, _name)))

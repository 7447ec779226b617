"""`Tensor`: the handle users hold. Operators call their operation directly; methods are the functions of this room."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

import pullback.engine.operation as recording
from pullback.api import arguments, comparison, complex_parts, elementwise, indexing, manipulation, reductions, views
from pullback.api._lazy import build
from pullback.api.linear_algebra import matmul_operation
from pullback.engine.autograd import backward
from pullback.engine.hooks import hooks_of
from pullback.engine.known import record1, record2
from pullback.engine.operation import Operation, operation
from pullback.engine.tensor import TensorBase, detach
from pullback.engine.trace import local, new, thread, visible_dtype
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.util.errors import ArgumentError, GradientError, NotOneNumberError, ShapeError, message

_NUMBERS = (float, int, bool, complex)
_ARRAYS = (np.ndarray, np.generic, list, tuple, float, int, complex)


class Size(int):
    """`x.size`: the number of elements, and PyTorch's `x.size()` and `x.size(dim)`."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        if dim is None:
            return self.shape
        return self.shape[arguments.axis_of(dim, len(self.shape), "size")]


def _binary(op: Operation, name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """`x op y` and `y op x`. Every eager step passes here, so the common case comes first."""

    def forward(self: Tensor, other: Any) -> Any:
        value = record2(op, self, other)
        if value is None:
            return NotImplemented if _foreign(other) else op.slowly((self, other))
        result = new(self.result_class)
        result._value, result._meta, result._view = value, None, None
        return result

    def backward(self: Tensor, other: Any) -> Any:
        value = record2(op, other, self)
        if value is None:
            return NotImplemented if _foreign(other) else op.slowly((other, self))
        result = new(self.result_class)
        result._value, result._meta, result._view = value, None, None
        return result

    forward.__name__, backward.__name__ = f"__{name}__", f"__r{name}__"
    return forward, backward


def _product(op: Operation) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """`x @ y` and `y @ x`, which `autocast` may want in another precision."""
    plain, reflected = _binary(op, "matmul")

    def forward(self: Tensor, other: Any) -> Any:
        return plain(self, other) if recording.casting is None else op(self, other)

    def backward(self: Tensor, other: Any) -> Any:
        return reflected(self, other) if recording.casting is None else op(other, self)

    forward.__name__, backward.__name__ = "__matmul__", "__rmatmul__"
    return forward, backward


def _foreign(other: Any) -> bool:
    """Whether another class's reflected method should be asked first."""
    return not isinstance(other, (TensorBase, *_ARRAYS, str, bytes)) and other is not None \
        and not hasattr(other, "__array__") and not isinstance(other, (dict, set))


def _comparison(op: Operation, name: str) -> Callable[[Any, Any], Any]:
    def compare(self: Tensor, other: Any) -> Any:
        kind = type(other)
        if kind is Tensor or kind is float or kind is int or isinstance(other, TensorBase):
            return op(self, other)
        if not isinstance(other, (TensorBase, *_ARRAYS)) and not hasattr(other, "__array__"):
            return NotImplemented
        return op(self, other)

    compare.__name__ = f"__{name}__"
    return compare


def _in_place(op: Operation) -> Callable[[Any, Any], Any]:
    def update(self: Tensor, other: Any) -> Any:
        return self.in_place_with(op, other)

    return update


def _method_in_place(op: Operation, name: str) -> Callable[..., Any]:
    def update(self: Tensor, *others: Any, **named: Any) -> Any:
        if named:
            return self._assign(getattr(self, name.rstrip("_"))(*others, **named))
        return self.in_place(op, *others)

    update.__name__ = name
    update.__doc__ = f"`{name.rstrip('_')}`, in place."
    return update


class Tensor(TensorBase):
    """An array of numbers of one dtype, on which gradients can be taken.

    Make one with `pb.tensor`, `pb.zeros`, ... It behaves like a NumPy array and like a PyTorch tensor: operators, basic
    and advanced indexing, views that write through, in-place operations, `.backward()` and `.grad`.

    >>> import pullback as pb
    >>> x = pb.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[:, 0] += 10
    >>> x
    Tensor([[11.,  2.],
            [13.,  4.]], dtype=float32)
    """

    __slots__ = ()
    __array_ufunc__ = None
    __array_priority__ = 1000.0

    # -- operators ---------------------------------------------------------------------------------------------------
    __add__, __radd__ = _binary(elementwise._add, "add")
    __sub__, __rsub__ = _binary(elementwise._subtract, "sub")
    __mul__, __rmul__ = _binary(elementwise._multiply, "mul")
    __truediv__, __rtruediv__ = _binary(elementwise._divide, "truediv")
    __floordiv__, __rfloordiv__ = _binary(elementwise._floor_divide, "floordiv")
    __mod__, __rmod__ = _binary(elementwise._remainder, "mod")
    __matmul__, __rmatmul__ = _product(matmul_operation)
    __and__, __rand__ = _binary(comparison._bitwise_and, "and")
    __or__, __ror__ = _binary(comparison._bitwise_or, "or")
    __xor__, __rxor__ = _binary(comparison._bitwise_xor, "xor")
    __lshift__, __rlshift__ = _binary(comparison._shift_left, "lshift")
    __rshift__, __rrshift__ = _binary(comparison._shift_right, "rshift")
    __lt__, __le__ = _comparison(comparison._less, "lt"), _comparison(comparison._less_equal, "le")
    __gt__, __ge__ = _comparison(comparison._greater, "gt"), _comparison(comparison._greater_equal, "ge")
    __eq__: Any = _comparison(comparison._equal, "eq")
    __ne__: Any = _comparison(comparison._not_equal, "ne")
    __iadd__, __isub__ = _in_place(elementwise._add), _in_place(elementwise._subtract)
    __imul__, __itruediv__ = _in_place(elementwise._multiply), _in_place(elementwise._divide)
    __ifloordiv__, __imod__ = _in_place(elementwise._floor_divide), _in_place(elementwise._remainder)
    __iand__, __ior__ = _in_place(comparison._bitwise_and), _in_place(comparison._bitwise_or)
    __ixor__, __imatmul__ = _in_place(comparison._bitwise_xor), _in_place(matmul_operation)
    __ilshift__, __irshift__ = _in_place(comparison._shift_left), _in_place(comparison._shift_right)

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        if type(other) is int and -elementwise.POWER_LIMIT <= other <= elementwise.POWER_LIMIT:
            return elementwise.INTEGER_POWERS[other].on(self)
        return NotImplemented if _foreign(other) else elementwise.power(self, other)

    def __rpow__(self, other: Any, modulo: None = None) -> Any:
        return NotImplemented if _foreign(other) else elementwise._power(other, self)

    def __ipow__(self, other: Any) -> Any:
        return self.in_place_with(elementwise._power, other)

    def __neg__(self) -> Any:
        return elementwise._negative(self)

    def __pos__(self) -> Any:
        return elementwise._positive(self)

    def __abs__(self) -> Any:
        return elementwise._abs(self)

    def __invert__(self) -> Any:
        return comparison._bitwise_not(self)

    def __divmod__(self, other: Any) -> Any:
        return elementwise._floor_divide(self, other), elementwise._remainder(self, other)

    def __round__(self, digits: int = 0) -> Any:
        return elementwise.round(self, digits)

    # -- Python's protocols --------------------------------------------------------------------------------------------
    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, index: Any) -> Any:
        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        indexing.setitem(self, index, value)

    def __len__(self) -> int:
        shape = self.extents
        if not shape:
            raise ArgumentError(message("len: a 0-dimensional tensor has no length", [("x", arguments.described(self))],
                                        "use x.item() for the number"))
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        shape = self.info.type.shape
        if not shape:
            raise ArgumentError(message("iter: a 0-dimensional tensor cannot be iterated",
                                        [("x", arguments.described(self))], "use x.item() for the number"))
        return iter([self[k] for k in range(shape[0])])

    def __reversed__(self) -> Iterator[Any]:
        return iter([self[k] for k in reversed(range(len(self)))])

    def _one(self, what: str) -> Any:
        """The only element as a Python number."""
        if self.info.type.size != 1:
            raise NotOneNumberError(message(f"{what}: only a tensor with one element can become a number",
                                        [("x", arguments.described(self))],
                                        "reduce it first, for example x.sum(), x.any() or x.all()"))
        return self.item()

    def __bool__(self) -> bool:
        return bool(self._one("bool"))

    def __float__(self) -> float:
        return float(self._real_one("float"))

    def __int__(self) -> int:
        return int(self._real_one("int"))

    def __complex__(self) -> complex:
        return complex(self._one("complex"))

    def _real_one(self, what: str) -> Any:
        number = self._one(what)
        if isinstance(number, complex):
            raise ArgumentError(message(f"{what}: a complex number is not real", [("x", arguments.described(self))],
                                        "use x.real"))
        return number

    def __index__(self) -> int:
        info = self.info
        if info.type.shape or not info.type.dtype.is_integer:
            raise ArgumentError(message("index: only a 0-dimensional integer tensor can be an index",
                                        [("x", arguments.described(self))], "use int(x)"))
        return self.item()

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.info.type.size == 1 and not self.info.type.shape:
            return format(self.item(), spec)
        raise ArgumentError(message("format: a format is for one number",
                                    [("x", arguments.described(self)), ("format", spec)],
                                    "format x.item(), or the elements of x.tolist()"))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        if copy is False:
            array.flags.writeable = False
        return array

    def __dlpack__(self, *, stream: Any = None, max_version: tuple[int, int] | None = None,
                   dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> Any:
        given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return self.numpy().__dlpack__(**{name: value for name, value in given.items() if value is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return sys.modules["pullback"]

    def __copy__(self) -> Any:
        return type(self)(self._peek())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = type(self)(self._peek() if not self._peek().info.requires_grad else self.detach()._peek())
        if self._meta is not None and self._meta.requires_grad:
            new.requires_grad = True
        memo[id(self)] = new
        return new

    def __repr__(self) -> str:
        return _repr(self)

    def __str__(self) -> str:
        return _repr(self) if not _known(self) else str(self.numpy())

    def __dir__(self) -> list[str]:
        return [n for n in super().__dir__() if n.startswith("__") or not n.startswith("_")]

    # -- attributes ----------------------------------------------------------------------------------------------------
    @property
    def size(self) -> Size:
        """The number of elements; callable as PyTorch's `size(dim)`."""
        type_ = self.info.type
        found = Size(type_.size)
        found.shape = type_.shape
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.info.type.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.info.type.dtype.itemsize

    @property
    def device(self) -> str:
        """Where the elements are."""
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor on a device (Array API)."""
        return self.to(device)

    @property
    def T(self) -> Any:
        """The dimensions in reverse order, as a view."""
        return views.transpose_view(self, tuple(range(self.ndim - 1, -1, -1)))

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged, as a view."""
        return manipulation.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real part."""
        return complex_parts._real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return complex_parts._imag(self)

    @property
    def at(self) -> indexing.At:
        """Updates that return a new array: `x.at[i].set(v)`, `.add`, `.multiply`, `.divide`, `.power`, `.min`, `.max`.

        >>> import pullback as pb
        >>> pb.zeros(3).at[pb.tensor([0, 0, 2])].add(1)
        Tensor([2., 0., 1.], dtype=float32)
        """
        return indexing.At(self)

    @property
    def data(self) -> Any:
        """The same storage without history: writing to it is not recorded."""
        return detach(self)

    @data.setter
    def data(self, value: Any) -> None:
        before = local.grad_enabled
        local.grad_enabled = False
        try:
            self.assign_value(arguments.as_tensor(value, "data")._peek())
        finally:
            local.grad_enabled = before

    @property
    def flat(self) -> Any:
        """The elements in one dimension, as a view."""
        return manipulation.ravel(self)

    # -- gradients -----------------------------------------------------------------------------------------------------
    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Any = None) -> None:
        """Add the gradient of this number to `.grad` of every leaf it depends on.

        `gradient` weighs the elements where there is more than one; `retain_graph` keeps the graph for another call;
        `create_graph` records the gradient itself, for higher derivatives; of `inputs`, where given, only the `.grad`
        changes.

        >>> import pullback as pb
        >>> x = pb.tensor([1.0, 2.0], requires_grad=True)
        >>> (x ** 2).sum().backward()
        >>> x.grad
        Tensor([2., 4.], dtype=float32)
        """
        if gradient is not None:
            gradient = arguments.as_tensor(gradient, "backward")
        if inputs is not None and not isinstance(inputs, (list, tuple)):
            inputs = [inputs] if isinstance(inputs, TensorBase) or not hasattr(inputs, "__iter__") else list(inputs)
        backward(self, gradient, retain_graph, create_graph, inputs)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set `requires_grad`, in place."""
        self.set_requires_grad(requires_grad)
        return self

    def detach(self) -> Any:
        """The same storage without history."""
        return detach(self)

    def detach_(self) -> Any:
        """Drop the history, in place."""
        value = detach(self)._peek()
        self._meta = None
        if self._value is not None:
            self._value = value
        return self

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call `hook(gradient)` when the gradient of this tensor is known; what it returns replaces the gradient."""
        if not self.requires_grad:
            raise GradientError(message("register_hook: only tensors that require gradients take hooks",
                                        [("x", arguments.described(self))], "set requires_grad=True before computing"))
        hooks = self._meta.hooks if self._meta is not None else hooks_of(self)
        hooks.append(hook)
        return _Handle(hooks, hook)

    # -- values --------------------------------------------------------------------------------------------------------
    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.numpy().tolist()

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy with its own storage, row by row whatever is asked for; gradients flow through it."""
        return elementwise.clone(self)

    copy = clone

    def contiguous(self) -> Any:
        """The tensor itself: every tensor is stored contiguously."""
        return self

    def is_contiguous(self) -> bool:
        """True: every tensor is stored contiguously."""
        return True

    def cpu(self) -> Any:
        """The tensor itself."""
        return self

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """The elements as another dtype."""
        return elementwise.astype(self, dtype, copy=copy)

    def type(self, dtype: Any = None) -> Any:
        """The dtype's name, or the elements as another dtype."""
        if dtype is None:
            return self.dtype.name
        target = getattr(dtype, "dtype", dtype)
        return elementwise.astype(self, target, copy=False)

    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **options: Any) -> Any:
        """The elements as another dtype (or as another tensor's); the device is the CPU."""
        for a in args:
            if isinstance(a, TensorBase):
                dtype = a.dtype
            elif isinstance(a, bool):
                continue
            elif isinstance(a, str) and a.split(":")[0] in ("cpu", "cuda", "gpu", "mps", "meta"):
                device = a
            elif a is not None:
                dtype = a
        if device is not None and str(device).split(":")[0] != "cpu":
            from pullback.util.errors import DeviceError

            raise DeviceError(message("to: no such device", [("device", str(device))], "tensors live on 'cpu'"))
        if dtype is None:
            return self.clone() if copy else self
        return elementwise.astype(self, dtype, copy=copy)

    def item(self, *index: Any) -> Any:
        """The one element (or the one at an index) as a Python number."""
        if not index:
            return self.only()
        at, *more = index
        return self[index if more else at].only()

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self.info.type.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.info.type.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.info.type.dtype.kind == "f"

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self.info.type.dtype.kind == "c"

    # -- in place ------------------------------------------------------------------------------------------------------
    def add_(self, other: Any, *, alpha: float = 1) -> Any:
        """Add alpha * other, in place."""
        return self.in_place_with(elementwise._add, other if alpha == 1 else other * alpha)

    def sub_(self, other: Any, *, alpha: float = 1) -> Any:
        """Subtract alpha * other, in place."""
        return self.in_place_with(elementwise._subtract, other if alpha == 1 else other * alpha)

    mul_ = _method_in_place(elementwise._multiply, "mul_")
    div_ = _method_in_place(elementwise._divide, "div_")
    pow_ = _method_in_place(elementwise._power, "pow_")
    exp_ = _method_in_place(elementwise._exp, "exp_")
    log_ = _method_in_place(elementwise._log, "log_")
    sqrt_ = _method_in_place(elementwise._sqrt, "sqrt_")
    neg_ = _method_in_place(elementwise._negative, "neg_")
    abs_ = _method_in_place(elementwise._abs, "abs_")
    tanh_ = _method_in_place(elementwise._tanh, "tanh_")
    sigmoid_ = _method_in_place(elementwise._sigmoid, "sigmoid_")
    floor_ = _method_in_place(elementwise._floor, "floor_")
    ceil_ = _method_in_place(elementwise._ceil, "ceil_")
    round_ = _method_in_place(elementwise._round, "round_")
    reciprocal_ = _method_in_place(elementwise._reciprocal, "reciprocal_")
    square_ = _method_in_place(elementwise._square, "square_")
    lerp_ = _method_in_place(elementwise._lerp, "lerp_")
    subtract_, multiply_, divide_ = sub_, mul_, div_

    def fill_(self, value: Any) -> Any:
        """Set every element to a number."""
        if not isinstance(value, _NUMBERS) and getattr(value, "ndim", 1) != 0:
            raise ShapeError(message("fill_: the value must be one number", [("value", arguments.described(value))],
                                     "use x[...] = value, or x.copy_(value)"))
        return self._assign(value)

    def _assign(self, value: Any) -> Any:
        indexing.setitem(self, Ellipsis, value)
        return self

    def zero_(self) -> Any:
        """Set every element to 0."""
        if self.info.requires_grad and thread.context.grad_enabled:
            return self._assign(0)
        value = None if self._value is None else record1(_zeros_like, self)
        if value is None:
            return self.in_place(_zeros_like)
        self.assign_value(value)
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Set the elements to those of another tensor, converted and broadcast."""
        return self._assign(arguments.as_tensor(source, "copy_"))

    def clamp_(self, min: Any = None, max: Any = None) -> Any:
        """`clip`, in place."""
        return self._assign(elementwise.clip(self, min, max))

    def relu_(self) -> Any:
        """`relu`, in place."""
        from pullback.api.activations import relu

        return relu(self, True)

    def addcmul_(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
        """Add value * tensor1 * tensor2, in place."""
        return self.in_place(elementwise._addcmul, tensor1, tensor2, value)

    def addcdiv_(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
        """Add value * tensor1 / tensor2, in place."""
        return self.in_place(elementwise._addcdiv, tensor1, tensor2, value)

    def masked_fill_(self, mask: Any, value: Any) -> Any:
        """Set the elements where the mask holds, in place."""
        return self._assign(indexing_functions().masked_fill(self, mask, value))

    def uniform_(self, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Any:
        """Fill with numbers uniform in [a, b)."""
        from pullback.api import random

        return self._assign(random.uniform_values(self.info.type.shape, self.info.type.dtype, a, b, generator, self))

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        """Fill with normal numbers."""
        from pullback.api import random

        return self._assign(random.normal_values(self.info.type.shape, self.info.type.dtype, mean, std, generator,
                                                 self))


@operation(differentiable=False, name="zero_")
def _zeros_like(x: Any) -> Any:
    return build.zeros_like(x)


#: methods from files that are loaded when one of them is first used
_LATE = {
    **dict.fromkeys("mm bmm mv matmul dot outer inner trace norm kron addmm addmv addr baddbmm vdot".split(),
                    "linear_algebra"),
    **dict.fromkeys("sort argsort topk median quantile unique".split(), "sorting"),
    **dict.fromkeys("""gather scatter scatter_add index_select index_add index_copy index_fill index_put
        masked_fill masked_select take take_along_dim nonzero argwhere where bincount""".split(), "selecting"),
    **dict.fromkeys("scatter_reduce masked_scatter index_reduce".split(), "writing"),
    **dict.fromkeys("relu softmax log_softmax".split(), "activations"),
}


def _late_method(module: str, name: str) -> Callable[..., Any]:
    """A method whose file is loaded when it is first called."""

    def load(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        functions = vars(import_module(f"pullback.api.{module}"))
        setattr(Tensor, name, _where if name == "where" else functions[name])
        return getattr(self, name)(*args, **kwargs)

    load.__name__ = name
    load.__doc__ = f"`pullback.{name}` of this tensor."
    return load


def _where(self: Tensor, condition: Any, other: Any) -> Any:
    """The elements where the condition holds, `other` elsewhere."""
    return elementwise.where(condition, self, other)


class _Handle:
    """Removes a hook."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self.hooks, self.hook = hooks, hook

    def remove(self) -> None:
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)


def indexing_functions() -> Any:
    from pullback.api import selecting

    return selecting


def _known(x: TensorBase) -> bool:
    """Whether the elements can be had now."""
    value = x._peek()
    trace = value.trace
    return value.buffer is not None or trace is None or trace.kind == "main"


def _repr(x: Tensor) -> str:
    name = type(x).__name__
    if not _known(x):
        return f"{name}<{x.info.type!r}, being traced>"
    dtype = visible_dtype(x.info)
    array = x.numpy()
    prefix = f"{name}("
    body = np.array2string(array.astype(np.float32) if dtype is dtypes.bfloat16 else array, separator=", ",
                           prefix=prefix)
    if array.size == 0:
        body = "[]" if array.ndim == 1 else f"[], shape={array.shape}"
    text = f", dtype={dtype.name}"
    if x._meta is not None and x._meta.requires_grad:
        text += ", requires_grad=True"
    return f"{prefix}{body}{text})"


def _install_methods() -> None:
    """The functions of this room that are methods too, under NumPy's and PyTorch's names."""
    for module, names in _METHODS.items():
        for entry in names.split():
            name, _, source = entry.partition("=")
            if name not in Tensor.__dict__:
                setattr(Tensor, name, vars(module)[source or name])


def _cast(dtype: DType) -> Callable[[Any], Any]:
    def convert(self: Any) -> Any:
        return elementwise.astype(self, dtype, copy=False)

    convert.__doc__ = f"The elements as {dtype.name}."
    return convert


def _construct(value: Any, dtype: DType) -> Any:
    from pullback.api.creation import asarray

    return asarray(value, dtype=dtype)


_METHODS: dict[Any, str] = {
    elementwise: """abs absolute add divide=divide div=divide true_divide=divide multiply mul=multiply subtract
        sub=subtract floor_divide remainder fmod pow=power power neg=negative negative positive sign square sqrt rsqrt
        reciprocal maximum minimum fmax fmin exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh
        cosh tanh asinh acosh atanh arcsin arccos arctan erf erfc erfinv lgamma digamma sigmoid logaddexp hypot copysign
        nextafter floor ceil trunc round isnan isinf isfinite signbit frac clip clamp clamp_min clamp_max lerp addcmul
        addcdiv nan_to_num xlogy logit deg2rad rad2deg heaviside conj angle conjugate=conj""",
    comparison: """eq=equal ne=not_equal lt=less le=less_equal gt=greater ge=greater_equal equal not_equal less
        less_equal greater greater_equal logical_and logical_or logical_xor logical_not bitwise_and bitwise_or
        bitwise_xor bitwise_not isclose allclose""",
    reductions: """sum mean prod max min amax amin any all argmax argmin var std logsumexp count_nonzero cumsum cumprod
        cummax cummin logcumsumexp nansum nanmean ptp""",
    manipulation: """reshape view reshape_as view_as flatten unflatten ravel permute transpose swapaxes=swapaxes
        swapdims=swapaxes movedim=moveaxis moveaxis squeeze unsqueeze expand expand_as broadcast_to repeat tile flip
        roll split chunk unbind tril triu diagonal unfold narrow select t diag_embed repeat_interleave adjoint rot90
        fliplr flipud""",
}
TensorBase.default_class = TensorBase.default_class or Tensor
Tensor.result_class = Tensor
for _name, _module in _LATE.items():
    setattr(Tensor, _name, _late_method(_module, _name))
DType.construct = staticmethod(_construct)
for _name, _dtype in (("float", dtypes.float32), ("double", dtypes.float64), ("half", dtypes.float16),
                      ("bfloat16", dtypes.bfloat16), ("int", dtypes.int32), ("long", dtypes.int64),
                      ("short", dtypes.int16), ("byte", dtypes.uint8), ("char", dtypes.int8), ("bool", dtypes.bool_),
                      ("cfloat", dtypes.complex64), ("cdouble", dtypes.complex128)):
    setattr(Tensor, _name, _cast(_dtype))
_install_methods()
__all__ = ["Size", "Tensor"]

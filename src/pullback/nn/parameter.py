"""Parameters: tensors that a module registers and an optimiser updates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pullback.api.tensor import Tensor
from pullback.engine.tensor import AutogradMeta, TensorBase, from_host
from pullback.engine.trace import Value
from pullback.ir.dtypes import DType, dtype_of, float32, numpy_dtype
from pullback.util.errors import GradientError, UninitializedError, message


class Parameter(Tensor):
    """A leaf tensor that requires gradients and becomes a module's parameter when assigned to an attribute.

    What is computed from it are plain tensors.

    >>> import pullback as pb
    >>> pb.nn.Parameter(pb.ones(2)).requires_grad
    True
    """

    result_class = Tensor

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        if type(data) is not Value:
            tensor = data if isinstance(data, TensorBase) else from_host([] if data is None else data)
            data = tensor._peek()
        if requires_grad and not data.info.type.dtype.is_inexact:
            raise GradientError(message("Parameter: only floating-point tensors can require gradients",
                                        [("data", repr(data.info.type))],
                                        "convert it with .float(), or pass requires_grad=False"))
        super().__init__(data)
        self._meta = AutogradMeta(requires_grad)

    def __copy__(self) -> Parameter:
        return type(self)(self._peek(), self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        memo[id(self)] = new = self.__copy__()
        return new

    def __reduce__(self) -> Any:
        return (_restore, (type(self), self.numpy(), str(self.dtype), self.requires_grad))

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer:
    """A tensor that becomes a module's buffer when it is assigned to an attribute."""

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        self.data = data if isinstance(data, TensorBase) else from_host([] if data is None else data)
        self.persistent = persistent


class _Unknown:
    """What a tensor has in place of a view before its shape is known."""

    __slots__ = ("base", "dtype", "shape")

    def __init__(self, dtype: DType) -> None:
        self.base, self.dtype, self.shape = None, dtype, None

    def read(self) -> Any:
        raise UninitializedError(message("an uninitialized parameter or buffer was used",
                                         [("dtype", self.dtype.name), ("shape", "not known yet")],
                                         "call the module once: its first input says the shapes"))

    read_outside = read

    def write(self, new: Any) -> None:
        self.read()


class UninitializedTensor(Tensor):
    """A tensor without a value. The first one it is given decides its shape: from then on the same object is an
    ordinary tensor of the class `becomes`."""

    becomes: ClassVar[Any] = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        unknown: Any = _Unknown(float32 if dtype is None else dtype_of(dtype))
        self._value, self._view = None, unknown
        self._meta = AutogradMeta(requires_grad)

    @property
    def dtype(self) -> Any:
        unknown: Any = self._view
        return unknown.dtype

    def to(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """The tensor itself, which will have this dtype."""
        unknown: Any = self._view
        unknown.dtype = dtype_of(dtype)
        return self

    def detach(self) -> Any:
        """The tensor itself: it has no history."""
        return self

    def assign_value(self, new: Value) -> None:
        """Be a tensor with this value."""
        self._value, self._view = new, None
        self.__class__ = self.becomes

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Be a tensor of zeros."""
        chosen = self.dtype if dtype is None else dtype_of(dtype)
        self.assign_value(from_host(np.zeros(tuple(shape), numpy_dtype(chosen)), chosen)._peek())

    def __copy__(self) -> Any:
        return type(self)(self.requires_grad, dtype=self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = new = self.__copy__()
        return new

    def __reduce__(self) -> Any:
        return (type(self), (self.requires_grad, None, self.dtype.name))

    def __repr__(self, **options: Any) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class UninitializedParameter(UninitializedTensor, Parameter):
    """A parameter whose shape is not known yet."""

    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        UninitializedTensor.__init__(self, requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensor):
    """A buffer whose shape is not known yet."""

    def assign_value(self, new: Value) -> None:
        """Be a tensor with this value."""
        super().assign_value(new)
        self._meta = None  # as of any buffer: it is no leaf


def _restore(cls: Any, array: Any, dtype: str, requires_grad: bool) -> Parameter:
    return cls(from_host(array, dtype_of(dtype))._peek(), requires_grad)

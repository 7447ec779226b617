"""Parameters: tensors that a module registers and an optimiser updates."""

from __future__ import annotations

from typing import Any

from pullback.api.tensor import Tensor
from pullback.engine.tensor import AutogradMeta, TensorBase, from_host
from pullback.engine.trace import Value
from pullback.ir.dtypes import dtype_of
from pullback.util.errors import GradientError, message


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


def _restore(cls: Any, array: Any, dtype: str, requires_grad: bool) -> Parameter:
    return cls(from_host(array, dtype_of(dtype))._peek(), requires_grad)

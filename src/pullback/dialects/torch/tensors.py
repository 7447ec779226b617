"""PyTorch's tensor: the library's, with PyTorch's text, dtypes, sizes and the integer widths it expects."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from pullback.api import elementwise, mersenne, reductions
from pullback.api.tensor import Tensor as NativeTensor
from pullback.dialects.torch import printing
from pullback.dialects.torch.checks import CHECKS
from pullback.dialects.torch.dtypes import (
    NAME_OF_TYPE,
    SHOWN,
    Size,
    checked_device,
    device,
    dtype_argument,
    no_device,
    shown,
)
from pullback.engine.hooks import after_accumulation, hooks_of
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import Value, visible_dtype
from pullback.ir import dtypes
from pullback.nn import parameter as native_parameters
from pullback.nn.parameter import Parameter as NativeParameter
from pullback.util.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexError_,
    ShapeError,
    ValueError_,
    message,
)

_CPU = device("cpu")
_NOTHING: Any = object()


class GradientFunction:
    """What `x.grad_fn` is: a name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """PyTorch's name of the gradient function."""
        return self._name

    def __repr__(self) -> str:
        return f"<{self._name} object at {id(self):#x}>"


class Tensor(NativeTensor):
    """A tensor as PyTorch shows it."""

    generator = mersenne.generator
    index_dtype = dtypes.int64
    no_axes_are_all = True
    weak_numbers = True
    checks = CHECKS
    is_cuda = False
    is_quantized = False
    is_meta = False
    is_cpu = True
    is_sparse_csr = is_mkldnn = is_nested = is_mps = is_xpu = is_xla = is_hpu = is_ipu = is_vulkan = False
    layout = "torch.strided"
    output_nr = 0
    name = None
    names: Any = property(lambda self: (None,) * self.ndim)

    def __init__(self, value: Any = _NOTHING, *rest: Any) -> None:
        if rest or (type(value) is not Value and value is not None):
            value = _creation().legacy(*(() if value is _NOTHING else (value, *rest)))._peek()
        self._value = value
        self._meta = self._view = None

    def __reduce__(self) -> Any:
        leaf = self._meta is not None and self._meta.requires_grad
        return (_restore, (False, self.numpy(), visible_dtype(self.info).name, leaf))

    # -- what PyTorch shows ------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> Any:  # type: ignore[override]
        """The element type, as `torch.float32`."""
        return SHOWN[visible_dtype(self.info).name]

    @property
    def shape(self) -> Size:  # type: ignore[override]
        """The sizes, as `torch.Size([2, 3])`."""
        return Size(self.extents)

    def size(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """The sizes, or one of them."""
        return self.shape if dim is None else NativeTensor.size.__get__(self)(dim)

    @property
    def device(self) -> device:  # type: ignore[override]
        """Where the elements are."""
        return _CPU

    @property
    def mH(self) -> Any:
        """The conjugate of matrices with rows and columns exchanged."""
        return elementwise.conj(self.mT) if self.is_complex() else self.mT

    @property
    def H(self) -> Any:
        """`mH` of one matrix."""
        if self.ndim not in (0, 2):
            raise ShapeError(message("x.H needs a matrix", [("x", repr(self.info.type))], "x.mH for batches of them"))
        return self.mH if self.ndim else elementwise.conj(self)

    def get_device(self) -> int:
        """-1: the CPU."""
        return -1

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return printing.tensor_text(self)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return super().__format__(spec) if spec else str(self.item() if not self.info.type.shape else self)

    def __dir__(self) -> list[str]:
        return sorted(super().__dir__())

    def stride(self, dim: int | None = None) -> Any:
        """Elements from one index to the next: every tensor is stored row by row."""
        found: list[int] = []
        step = 1
        for n in reversed(self.info.type.shape):
            found.insert(0, step)
            step *= max(n, 1)
        return tuple(found) if dim is None else found[dim]

    def storage_offset(self) -> int:
        """0: every tensor starts its own storage."""
        return 0

    def data_ptr(self) -> int:
        """A number that identifies the storage."""
        return id(self._peek())

    def to_sparse(self, sparse_dim: int | None = None) -> Any:
        """The elements that are not zero as a sparse tensor."""
        return styled(import_module("pullback.api.sparse").to_sparse(self, sparse_dim))

    # -- dtypes and devices ------------------------------------------------------------------------------------------
    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the tensor type, or the elements as another one."""
        if dtype is None:
            return NAME_OF_TYPE[visible_dtype(self.info).name]
        return super().type(dtype_argument(dtype))

    def to(self, *args: Any, **options: Any) -> Any:
        """The elements as another dtype; the device is the CPU."""
        if "device" in options:
            checked_device(options.pop("device"))
        kept: list[Any] = []
        for a in args:
            if isinstance(a, (device, str)) and not str(a).startswith("torch."):
                checked_device(a)
            elif isinstance(a, int) and not isinstance(a, bool):
                checked_device(device(a))
            else:
                kept.append(a)
        return super().to(*kept, **options)

    def type_as(self, other: Any) -> Any:
        """The elements as the dtype of another tensor."""
        return self.to(other.dtype)

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """Raises: there is no CUDA device."""
        raise no_device("cuda")

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.info.type.dtype.kind in "ifc"

    def is_shared(self) -> bool:
        """False."""
        return False

    def pin_memory(self, device: Any = None) -> Any:
        """Raises: memory is pinned for a device, and there is none."""
        raise no_device("cuda")

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """True: every tensor is stored row by row."""
        return True

    def contiguous(self, memory_format: Any = None) -> Any:
        """The tensor itself."""
        return self

    def numpy(self, *, force: bool = False) -> Any:  # type: ignore[override]
        """A copy on the host, detached."""
        return super().numpy()

    # -- gradients ---------------------------------------------------------------------------------------------------
    @property
    def grad(self) -> Any:  # type: ignore[override]
        """The gradient that `backward()` collected."""
        meta = self._meta
        if meta is None:
            return self._kept
        found = meta.grad
        if type(found) is not Tensor and found is not None:
            styled(found)
        return found

    @grad.setter
    def grad(self, value: Any) -> None:
        TensorBase.grad.fset(self, value)  # type: ignore[attr-defined]

    @property
    def grad_fn(self) -> Any:
        """The gradient function's name; None for a leaf."""
        name = printing.backward_name(self)
        return GradientFunction(name) if name else None

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Any = None, *, retain_variables: bool | None = None) -> None:
        """Add the gradient of this number to `.grad` of every leaf it depends on."""
        if retain_variables is not None:
            retain_graph = retain_variables
        super().backward(gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call `hook(gradient)` when the gradient arrives."""
        return super().register_hook(lambda gradient: hook(styled(gradient)))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call `hook(tensor)` after `backward()` has added to the `.grad` of this leaf."""
        return after_accumulation(self, hook)

    @property
    def retains_grad(self) -> bool:
        """Whether the gradient of a tensor that is computed from others is kept."""
        return self._keeps

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is computed from others too."""
        if not self.requires_grad:
            raise GradientError(message("can't retain_grad on Tensor that has requires_grad=False",
                                        [("x", repr(self.info.type))], "x.requires_grad_()"))
        if not self.is_leaf and not self._keeps:
            self._keeps = True
            hooks_of(self, last=True).append(_keeper(weakref.ref(self)))

    #: the gradient that `retain_grad` asked for
    _kept: Any = None
    _keeps = False
    #: the name of the function of the user's that made this
    _function = ""

    def __getitem__(self, index: Any) -> Any:
        if type(index) is int and not self.extents:
            view = self._view
            if index == 0 and view is not None and view.write_op is None:  # `loss.data[0]`: detached
                warnings.warn("loss.data[0] is PyTorch 0.3; today it is loss.item()", DeprecationWarning, stacklevel=2)
                return self.item()
            raise IndexError_(message("invalid index of a 0-dim tensor", [("x", repr(self.info.type)),
                                                                          ("index", str(index))],
                                      "use x.item() for the number"))
        if (type(index) is slice or type(index) is tuple) and _backwards(index):
            raise ValueError_(message("index: step must be greater than zero", [("index", str(index))],
                                      "x.flip(0)"))
        return super().__getitem__(index)

    def __delitem__(self, index: Any) -> None:
        raise ArgumentError(message("'Tensor' object does not support item deletion", [("x", repr(self.info.type))],
                                    "torch.cat the parts that stay"))

    def uniform_(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """Uniform between two numbers, 0 and 1 by default, drawn by PyTorch's generator."""
        return super().uniform_(*args, **options) if self._drawable("uniform_") else self

    def normal_(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """Normal with a mean and standard deviation, drawn by PyTorch's generator."""
        return super().normal_(*args, **options) if self._drawable("normal_") else self

    def _drawable(self, name: str) -> bool:
        if self.info.type.dtype.kind != "f":
            raise DTypeError(message(f"{name}: only floating-point tensors are filled with such numbers",
                                     [("x", repr(self.info.type))], "x.float(), or torch.randint for whole numbers"))
        return True

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return super().__array__(dtype, copy)

    # -- integers are summed in 64 bits --------------------------------------------------------------------------------
    def sum(self, *args: Any, **options: Any) -> Any:
        """The sum over dimensions (all by default)."""
        if self.info.type.dtype.kind == "f":
            return reductions.sum(self, *args, **options) if args or options else reductions._sum_all(self)
        return reductions.sum(self, *args, **long_sums(self, options))

    def prod(self, *args: Any, **options: Any) -> Any:
        """The product over dimensions (all by default)."""
        return reductions.prod(self, *args, **long_sums(self, options))

    def cumsum(self, dim: int, **options: Any) -> Any:
        """Sums of all elements up to each, along a dimension."""
        return reductions.cumsum(self, dim, **long_sums(self, options))

    def cumprod(self, dim: int, **options: Any) -> Any:
        """Products of all elements up to each, along a dimension."""
        return reductions.cumprod(self, dim, **long_sums(self, options))

    # -- new tensors beside this one -----------------------------------------------------------------------------------
    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """A tensor of data, with this one's dtype."""
        return _creation().tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_zeros(self, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
                  requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Any:
        """Zeros with this tensor's dtype."""
        return _creation().zeros(*sizes, size=size, dtype=dtype or self.dtype, device=device,
                                 requires_grad=requires_grad, layout=layout)

    def new_ones(self, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
                 requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Any:
        """Ones with this tensor's dtype."""
        return _creation().ones(*sizes, size=size, dtype=dtype or self.dtype, device=device,
                                requires_grad=requires_grad, layout=layout)

    def new_full(self, size: Any, fill_value: Any, dtype: Any = None, device: Any = None,
                 requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Any:
        """One number everywhere, with this tensor's dtype."""
        return _creation().full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad,
                                layout=layout)

    def new_empty(self, *sizes: Any, **options: Any) -> Any:
        """A tensor to be filled, with this one's dtype."""
        return self.new_zeros(*sizes, **options)

    def new(self, *args: Any) -> Any:
        """A tensor of the same type (PyTorch 0.3)."""
        if len(args) == 1 and not isinstance(args[0], int):
            return self.new_tensor(args[0])
        return self.new_zeros(*(args or (0,)))

    # -- random, in place ----------------------------------------------------------------------------------------------
    def bernoulli_(self, p: Any = 0.5, *, generator: Any = None) -> Any:
        """0 or 1, with probability p of 1."""
        return self.copy_(_creation().chances(self.shape, p, generator))

    def exponential_(self, lambd: float = 1.0, *, generator: Any = None) -> Any:
        """Exponential with a rate."""
        return self.copy_(_creation().exponential(self.shape, self.dtype, lambd, generator))

    def random_(self, from_: Any = _NOTHING, to: Any = _NOTHING, *, generator: Any = None) -> Any:
        """Whole numbers in [from, to), in [0, to) where one is given; without bounds from 0 up, as large as the dtype
        holds."""
        if from_ is not _NOTHING and to is _NOTHING:
            from_, to = 0, from_
        bounds = [None if n is _NOTHING else n for n in (0 if to is not _NOTHING and from_ is _NOTHING else from_, to)]
        return self.copy_(_creation().whole_like(self, *bounds, generator=generator))


def _keeper(reference: weakref.ref[Tensor]) -> Callable[[Any], None]:
    """Adds a gradient to those that `retain_grad` asked for."""
    def keep(gradient: Any) -> None:
        x = reference()
        if x is not None:
            x._kept = styled(gradient) if x._kept is None else x._kept + styled(gradient)

    return keep


def _backwards(index: Any) -> bool:
    """Whether an index goes backwards, as NumPy's may and PyTorch's may not."""
    parts = index if type(index) is tuple else (index,)
    return any(type(part) is slice and type(part.step) is int and part.step <= 0 for part in parts)


def _creation() -> Any:
    from pullback.dialects.torch import creation

    return creation


def long_sums(x: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a sum with the dtype that integers are summed in."""
    if options.get("dtype") is None and x.info.type.dtype.kind in "biu":
        options["dtype"] = dtypes.int64
    return options


class Parameter(NativeParameter, Tensor):
    """A leaf tensor that requires gradients and becomes a module's parameter when assigned to an attribute."""

    result_class = Tensor

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__(_creation().empty(0) if data is None else data, requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + printing.tensor_text(self)

    __str__ = __repr__

    def __reduce__(self) -> Any:
        return (_restore, (True, self.numpy(), visible_dtype(self.info).name, self.requires_grad))


class _Uninitialized(native_parameters.UninitializedTensor):
    @property
    def dtype(self) -> Any:
        """The element type it will have, as `torch.float32`."""
        return SHOWN[super().dtype.name]


class UninitializedParameter(_Uninitialized, native_parameters.UninitializedParameter, Parameter):
    """A parameter whose shape is not known yet."""

    becomes = Parameter


class UninitializedBuffer(_Uninitialized, native_parameters.UninitializedBuffer, Tensor):
    """A buffer whose shape is not known yet."""

    becomes = Tensor


def _restore(parameter: bool, array: Any, name: str, requires_grad: bool) -> Any:
    """A tensor from a pickle, which names this function, not the class: that calls itself `torch.Tensor`."""
    tensor = from_host(array, dtypes.dtype_of(name), Tensor)
    return Parameter(tensor,
                     requires_grad) if parameter else tensor.requires_grad_(requires_grad) if requires_grad else tensor


Tensor.result_class = Tensor
Tensor.__module__ = "torch"
Parameter.__module__ = "torch.nn.parameter"
UninitializedParameter.__module__ = UninitializedBuffer.__module__ = "pullback.dialects.torch.tensors"


#: the classes of this style, by the library's
_STYLED: dict[type, type] = {NativeTensor: Tensor, NativeParameter: Parameter,
                             native_parameters.UninitializedParameter: UninitializedParameter,
                             native_parameters.UninitializedBuffer: UninitializedBuffer}
#: the classes of tensors whose files are loaded late, by the library's
STYLES: dict[type, type] = {}


def styled(x: Any) -> Any:
    """A tensor of the library as PyTorch's: the same handle, under this class."""
    kind = type(x)
    if kind in _STYLED:
        x.__class__ = _STYLED[kind]
    elif isinstance(x, TensorBase) and x.is_sparse and not isinstance(x, Tensor):
        import_module("pullback.dialects.torch.sparse")
        x.__class__ = STYLES[kind]
    return x


def styled_tree(x: Any) -> Any:
    """Every tensor in lists, tuples and dicts as PyTorch's."""
    if isinstance(x, TensorBase):
        return styled(x)
    if isinstance(x, dict):
        for name, value in x.items():
            x[name] = styled_tree(value)
        return x
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(styled_tree, x))
    return type(x)(map(styled_tree, x)) if type(x) in (list, tuple) else x


def as_torch(x: Any) -> Any:
    """A tensor of anything that is one."""
    return x if isinstance(x, Tensor) else styled(x) if isinstance(x, TensorBase) else from_host(x, cls=Tensor)


__all__ = ["GradientFunction", "Parameter", "Tensor", "as_torch", "shown", "styled", "styled_tree"]

"""What PyTorch shows of an array: dtypes, sizes, devices, and the tensor types of its first years."""

from __future__ import annotations

import math
from typing import Any

from pullback.ir import dtypes
from pullback.ir.dtypes import DTYPES, DType, dtype_of
from pullback.util.errors import ArgumentError, DeviceError, NoDeviceError, UnsupportedError, ValueError_, message


class dtype(DType):
    """An element type, written `torch.float32`."""

    __slots__ = ("_base",)

    def __init__(self, base: DType) -> None:
        super().__init__(base.name, base.kind, base.bits, base.short, base.index)
        self._base = base

    @property
    def base(self) -> DType:
        return self._base

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return self._base is other.base if isinstance(other, DType) else self._base == other

    def __hash__(self) -> int:
        return hash(self._base)

    def __reduce__(self) -> Any:
        return (shown, (self.name,))

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"


#: PyTorch's dtype of each dtype, by name
SHOWN: dict[str, dtype] = {name: dtype(base) for name, base in DTYPES.items()}


def shown(spec: Any) -> dtype:
    """PyTorch's dtype for a dtype, a NumPy dtype or a name."""
    return SHOWN[dtype_of(spec).name]


class Size(tuple[int, ...]):
    """A shape, written `torch.Size([2, 3])`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)


class device(str):
    """Where tensors are: `torch.device("cpu")`."""

    __slots__ = ()

    def __new__(cls, type: Any, index: int | None = None) -> device:
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        kind, _, number = str(type).partition(":")
        if kind not in ("cpu", "cuda", "mps", "xpu", "meta", "hpu", "xla", "mkldnn"):
            raise DeviceError(message(f"no kind of device is called {kind!r}: one of cpu, cuda, xpu, mps, meta",
                                      [("device", repr(type))], 'torch.device("cpu")'))
        if index is not None:
            number = str(index)
        if number and not number.isdecimal():
            raise DeviceError(message(f"{kind}: the number of a device must be a number", [("device", repr(type))],
                                      f'torch.device("{kind}:0")'))
        return super().__new__(cls, f"{kind}:{number}" if number else kind)

    @property
    def type(self) -> str:
        """The kind of device."""
        return str(self).partition(":")[0]  # a plain text: partition gives the device itself where there is no colon

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """Which one of them."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (")" if self.index is None else f", index={self.index})")

    def __enter__(self) -> device:
        checked_device(self)
        return self

    def __exit__(self, *exception: object) -> None:
        """Tensors are on the CPU before and after."""

    def __reduce__(self) -> Any:
        return (device, (str(self),))


#: the names of tensor types
TYPE_NAMES = {
    "FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
    "ByteTensor": "uint8", "CharTensor": "int8", "ShortTensor": "int16", "IntTensor": "int32", "LongTensor": "int64",
    "BoolTensor": "bool", "ComplexFloatTensor": "complex64", "ComplexDoubleTensor": "complex128",
}
NAME_OF_TYPE = {name: f"torch.{kind}" for kind, name in TYPE_NAMES.items()}


class TensorType(type):
    """The class of `torch.FloatTensor` and its like: a dtype, a constructor and a test of tensors."""

    dtype: dtype
    where: str

    def __instancecheck__(cls, instance: Any) -> bool:
        found = getattr(instance, "dtype", None)
        return cls.where == "torch" and isinstance(found, DType) and found.base is cls.dtype.base

    def __call__(cls, *args: Any) -> Any:
        from pullback.dialects.torch import creation

        if cls.where != "torch":
            raise no_device("cuda")
        if len(args) == 1 and not isinstance(args[0], int):
            return creation.tensor(args[0], dtype=cls.dtype)
        return creation.zeros(*(args or (0,)), dtype=cls.dtype)

    def __repr__(cls) -> str:
        return f"<class '{cls.where}.{cls.__name__}'>"


def tensor_types(where: str) -> dict[str, TensorType]:
    """`FloatTensor` and its like, of a module."""
    return {kind: TensorType(kind, (), {"dtype": SHOWN[name], "where": where}) for kind, name in TYPE_NAMES.items()}


def no_device(kind: str) -> NoDeviceError:
    """What to say where a device is asked for that is not there."""
    return NoDeviceError(message(f"there is no {kind} device here: tensors live on the CPU", [("device", kind)],
                               f'device = "{kind}" if torch.{kind}.is_available() else "cpu", and x.to(device)'))


def checked_device(where: Any, layout: Any = None) -> None:
    """Refuse devices that are not there, and layouts in which nothing is made."""
    if where is not None and device(where).type != "cpu":
        raise no_device(device(where).type)
    if layout is not None and layout != "torch.strided":
        raise _no_layout(layout)


def _no_layout(layout: Any) -> Exception:
    if layout != "torch.sparse_coo":
        return ArgumentError(message("layout must be torch.layout", [("layout", f"{layout!r:.60}")], "torch.strided"))
    return UnsupportedError(message("tensors are made dense here", [("layout", layout)],
                                    "make it without a layout, then .to_sparse(); or torch.sparse_coo_tensor"))


def dtype_argument(spec: Any) -> Any:
    """A dtype where a dtype, a tensor type, its name or a NumPy dtype is given."""
    if isinstance(spec, TensorType):
        if spec.where != "torch":
            raise no_device("cuda")
        return spec.dtype.base
    if isinstance(spec, str) and spec.startswith("torch."):
        if spec.startswith("torch.cuda."):
            raise no_device("cuda")
        if spec.removeprefix("torch.") not in TYPE_NAMES:
            raise ValueError_(message(f"invalid type: {spec!r}", help='x.type("torch.FloatTensor"), or x.to(dtype)'))
        return dtypes.DTYPES[TYPE_NAMES[spec.removeprefix("torch.")]]
    return None if spec is None else dtype_of(spec)


class DefaultDtype:
    """The dtype of floating-point numbers where none is given."""

    current: DType = dtypes.float32

"""`tf.float32` and the other element types, and shapes with unknown sizes."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback.ir import dtypes as native
from pullback.ir.dtypes import dtype_of, numpy_dtype
from pullback.util.errors import ArgumentError, DTypeError, ValueError_, message


class DType:
    """An element type, printed as `<dtype: 'float32'>`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.native = dtype_of(name)

    @property
    def as_numpy_dtype(self) -> Any:
        """NumPy's type."""
        return numpy_dtype(self.native).type

    @property
    def base_dtype(self) -> DType:
        """The type itself."""
        return self

    @property
    def is_floating(self) -> builtins.bool:
        """Whether numbers are floating."""
        return self.native.is_floating_point

    @property
    def is_integer(self) -> builtins.bool:
        """Whether numbers are whole."""
        return self.native.is_integer

    @property
    def is_bool(self) -> builtins.bool:
        """Whether elements are bools."""
        return self.native.kind == "b"

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return self.native.itemsize

    def __repr__(self) -> str:
        return f"<dtype: {self.name!r}>"

    __str__ = __repr__

    def __eq__(self, other: object) -> builtins.bool:
        if isinstance(other, DType):
            return self.name == other.name
        return other is not None and self.native == other

    def __hash__(self) -> int:
        return hash(self.name)


_TABLE = {name: DType(name) for name in native.DTYPES}
float16, bfloat16, float32, float64 = (_TABLE[n] for n in ("float16", "bfloat16", "float32", "float64"))
int8, int16, int32, int64 = (_TABLE[n] for n in ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = (_TABLE[n] for n in ("uint8", "uint16", "uint32", "uint64"))
bool, complex64, complex128 = _TABLE["bool"], _TABLE["complex64"], _TABLE["complex128"]
half, double = float16, float64


def as_dtype(spec: Any) -> DType:
    """A dtype from its name, a NumPy type or a Python type."""
    if isinstance(spec, DType):
        return spec
    try:
        return _TABLE[dtype_of(spec).name]
    except DTypeError:
        raise DTypeError(
            message(f"Cannot convert value {spec!r} to a TensorFlow DType", help="tf.float32, 'int32', ...")
        ) from None


class Dimension:
    """A size that may be unknown (`value` None)."""

    def __init__(self, value: int | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Dimension({self.value})"

    def __str__(self) -> str:
        return "?" if self.value is None else str(self.value)

    def __int__(self) -> int:
        if self.value is None:
            raise ValueError_(
                message("Dimension: the size is not known until the graph runs", help="use tf.shape(x)[k]")
            )
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> Any:
        return self.value == (other.value if isinstance(other, Dimension) else other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __mul__(self, other: Any) -> Dimension:
        b = other.value if isinstance(other, Dimension) else other
        return Dimension(None if self.value is None or b is None else self.value * b)

    __rmul__ = __mul__


def _size(d: Any, dims: Any) -> int | None:
    if isinstance(d, Dimension):
        return d.value
    if d is None:
        return None
    if isinstance(d, (builtins.float, np.floating, str)) or not hasattr(d, "__index__"):
        raise ArgumentError(
            message("Dimension value must be integer or None", [("shape", repr(dims))], "for example [None, 784]")
        )
    n = operator.index(d)
    if n < 0:
        raise ValueError_(message("Dimension value must be >= 0", [("shape", repr(dims))], "None for an unknown size"))
    return n


class TensorShape:
    """A shape, of which sizes, or the rank, may be unknown."""

    def __init__(self, dims: Any) -> None:
        if isinstance(dims, TensorShape):
            dims = dims.sizes
        if isinstance(dims, (int, np.integer)):
            dims = (dims,)
        if isinstance(dims, Dimension):
            dims = (dims,)
        self.sizes: tuple[int | None, ...] | None = None if dims is None else tuple([_size(d, dims) for d in dims])

    @property
    def dims(self) -> list[Dimension] | None:
        """The sizes, as Dimensions."""
        return None if self.sizes is None else [Dimension(d) for d in self.sizes]

    @property
    def ndims(self) -> int | None:
        """The rank."""
        return None if self.sizes is None else len(self.sizes)

    rank = ndims

    def as_list(self) -> list[int | None]:
        """The sizes in a list."""
        if self.sizes is None:
            raise ValueError_(message("as_list() is not defined on an unknown TensorShape.", help="use tf.shape(x)"))
        return list(self.sizes)

    def known(self) -> tuple[int, ...]:
        """The sizes, which must all be known."""
        if self.sizes is None or None in self.sizes:
            raise ValueError_(
                message("the shape is not known until the graph runs", [("shape", str(self))], "give every size")
            )
        return tuple(n for n in self.sizes if n is not None)

    def is_fully_defined(self) -> builtins.bool:
        """Whether every size is known."""
        return self.sizes is not None and None not in self.sizes

    def num_elements(self) -> int | None:
        """The number of elements."""
        if self.sizes is None or None in self.sizes:
            return None
        total = 1
        for n in self.sizes:
            total *= n or 0
        return total

    def is_compatible_with(self, other: Any) -> Any:
        """Whether an array could have both shapes."""
        them = TensorShape(other).sizes
        if self.sizes is None or them is None:
            return True
        return len(self.sizes) == len(them) and all(
            a is None or b is None or a == b for a, b in zip(self.sizes, them, strict=True)
        )

    def __len__(self) -> int:
        return len(self.as_list())

    def __iter__(self) -> Iterator[Dimension]:
        return iter([Dimension(d) for d in self.as_list()])

    def __getitem__(self, k: Any) -> Any:
        found = self.as_list()[k]
        return TensorShape(found) if isinstance(k, slice) else Dimension(found)

    def __eq__(self, other: object) -> Any:
        try:
            return self.sizes == TensorShape(other).sizes
        except (TypeError, ValueError):
            return False

    def __hash__(self) -> int:
        return hash(self.sizes)

    def __repr__(self) -> str:
        return f"TensorShape({None if self.sizes is None else [Dimension(d) for d in self.sizes]})"

    def __str__(self) -> str:
        if self.sizes is None:
            return "<unknown>"
        inner = ", ".join("?" if d is None else str(d) for d in self.sizes)
        return f"({inner},)" if len(self.sizes) == 1 else f"({inner})"

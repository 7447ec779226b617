"""Element types and the one promotion table (Array API, plus weak Python scalars)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.util.errors import DTypeError, message


class DType:
    """An element type. Calling it makes an array of it: `pb.float32([1, 2])` (the array room installs that)."""

    __slots__ = ("bits", "compute", "index", "itemsize", "kind", "name", "numpy", "short")
    construct: Any = None

    def __init__(self, name: str, kind: str, bits: int, short: str, index: int) -> None:
        self.name, self.kind, self.bits, self.short, self.index = name, kind, bits, short, index
        self.itemsize = max(bits // 8, 1)
        self.numpy: np.dtype[Any] = _numpy_dtype(name)

    def __repr__(self) -> str:
        return f"pullback.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (dtype_of, (self.name,))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType) or other is None:
            return self is other
        try:
            return self is dtype_of(other)
        except (DTypeError, TypeError):
            return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __call__(self, value: Any) -> Any:
        return DType.construct(value, self)

    @property
    def base(self) -> DType:
        """The element type itself; a dialect's dtypes show one under other names."""
        return self

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_inexact(self) -> bool:
        return self.kind in "fc"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"


def _numpy_dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        return np.dtype("V2")  # replaced by ml_dtypes.bfloat16 at the first use, see `numpy_dtype`
    return np.dtype(np.bool_ if name == "bool" else name)


_ROWS = [
    ("bool", "b", 8, "bool"), ("int8", "i", 8, "i8"), ("int16", "i", 16, "i16"), ("int32", "i", 32, "i32"),
    ("int64", "i", 64, "i64"), ("uint8", "u", 8, "u8"), ("uint16", "u", 16, "u16"), ("uint32", "u", 32, "u32"),
    ("uint64", "u", 64, "u64"), ("float16", "f", 16, "f16"), ("bfloat16", "f", 16, "bf16"),
    ("float32", "f", 32, "f32"), ("float64", "f", 64, "f64"), ("complex64", "c", 64, "c64"),
    ("complex128", "c", 128, "c128"),
]
DTYPES: dict[str, DType] = {name: DType(name, kind, bits, short, k)
                            for k, (name, kind, bits, short) in enumerate(_ROWS)}
bool_, int8, int16, int32, int64 = (DTYPES[n] for n in ("bool", "int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = (DTYPES[n] for n in ("uint8", "uint16", "uint32", "uint64"))
float16, bfloat16, float32, float64 = (DTYPES[n] for n in ("float16", "bfloat16", "float32", "float64"))
complex64, complex128 = DTYPES["complex64"], DTYPES["complex128"]

_BY_NUMPY: dict[Any, DType] = {d.numpy: d for d in DTYPES.values() if d.name != "bfloat16"}
_ALIASES: dict[Any, DType] = {
    "f16": float16, "f32": float32, "f64": float64, "half": float16, "float": float32, "double": float64,
    "bf16": bfloat16, "int": int32, "long": int64, "b1": bool_, float: float32, int: int32, bool: bool_,
    complex: complex64,
}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The NumPy dtype of a dtype (bfloat16's comes from ml_dtypes, loaded at the first use)."""
    dtype = dtype.base
    if dtype is bfloat16 and dtype.numpy.kind == "V" and "bfloat16" not in dtype.numpy.name:
        import ml_dtypes  # deliberate lazy load: 5 ms that few programs need

        dtype.numpy = np.dtype(ml_dtypes.bfloat16)
        _BY_NUMPY[dtype.numpy] = dtype
    return dtype.numpy


def dtype_of(spec: Any) -> DType:
    """Resolve a dtype from a DType, a name, a NumPy dtype or scalar type, or a Python type."""
    if isinstance(spec, DType):
        return spec.base
    try:
        found = DTYPES.get(spec) or _ALIASES.get(spec) or _BY_NUMPY.get(spec)
    except TypeError:
        found = None
    if found is not None:
        return found
    try:
        as_numpy = np.dtype(spec)
    except (TypeError, ValueError, SyntaxError):  # of a text with commas or brackets
        as_numpy = None
    if as_numpy is not None:
        found = _BY_NUMPY.get(as_numpy.newbyteorder("=")) or DTYPES.get(as_numpy.name)
    if found is None:
        raise DTypeError(message("dtype: not an element type of this library", [("dtype", repr(spec))],
                                 "one of " + ", ".join(DTYPES)))
    return found


_KIND_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def promote(a: DType, b: DType) -> DType:
    """The dtype of a result of two strong operands."""
    if a is b:
        return a
    if _KIND_RANK[a.kind] > _KIND_RANK[b.kind]:
        a, b = b, a
    if a.kind == "b":
        return b
    if a.kind == b.kind:
        if a.bits == b.bits:  # float16 with bfloat16
            return float32
        return a if a.bits > b.bits else b
    if a.kind in "iu" and b.kind in "iu":
        signed, unsigned = (a, b) if a.kind == "i" else (b, a)
        if signed.bits > unsigned.bits:
            return signed
        return DTYPES[f"int{unsigned.bits * 2}"] if unsigned.bits < 64 else WEAK_DEFAULT["f"]
    if b.kind == "c":
        return complex128 if b is complex128 or a is float64 else complex64
    return b


def promote_weak(dtype: DType, weak_kind: str) -> DType:
    """The dtype of a strong operand met by a Python scalar of kind "b", "i", "f" or "c"."""
    if _KIND_RANK[weak_kind] <= _KIND_RANK[dtype.kind]:
        return dtype
    if weak_kind != "c" or not dtype.is_inexact:
        return WEAK_DEFAULT[weak_kind]
    return complex128 if dtype is float64 else complex64


#: what Python numbers are among themselves, and the floats that integers become
WEAK_DEFAULT: dict[str, DType] = {"b": bool_, "i": int32, "f": float32, "c": complex64}


def default_float() -> DType:
    """The dtype that integers have as floating-point numbers."""
    return WEAK_DEFAULT["f"]


def defaults() -> tuple[DType, DType]:
    """The dtypes of Python's floats and integers: what is kept by types depends on them."""
    return WEAK_DEFAULT["f"], WEAK_DEFAULT["i"]

"""The monoids of reductions: scalar row, identity, NumPy forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.ir.dtypes import DType, numpy_dtype
from pullback.util.errors import ArgumentError, DTypeError, message

#: monoid -> (row on numbers, row on bools, dtype kinds)
MONOIDS: dict[str, tuple[str, str, str]] = {
    "add": ("add", "logical_or", "iufc"), "mul": ("mul", "logical_and", "iufc"), "max": ("maximum", "maximum", "biuf"),
    "min": ("minimum", "minimum", "biuf"), "and": ("bitwise_and", "logical_and", "biu"),
    "or": ("bitwise_or", "logical_or", "biu"), "xor": ("bitwise_xor", "logical_xor", "biu"),
}
_UFUNC: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
                          "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def monoid_row(monoid: str, dtype: DType, op: str) -> str:
    """The scalar row that combines two elements."""
    if monoid not in MONOIDS:
        raise ArgumentError(message(f"{op}: no such monoid", [("monoid", monoid)], "one of " + ", ".join(MONOIDS)))
    row, on_bool, kinds = MONOIDS[monoid]
    if dtype.kind not in kinds:
        raise DTypeError(message(f"{op}: {monoid} is not defined for {dtype.name}", [("x", dtype.name)],
                                 "convert with x.astype(...)"))
    return on_bool if dtype.kind == "b" else row


def identity(monoid: str, dtype: DType) -> Any:
    """The neutral element."""
    if monoid in ("add", "or", "xor"):
        return False if dtype.kind == "b" else 0
    if monoid == "mul":
        return 1
    if monoid == "and":
        return True if dtype.kind == "b" else (-1 if dtype.kind == "i" else (1 << dtype.bits) - 1)
    if dtype.kind == "b":
        return monoid == "min"
    if dtype.kind == "f":
        return -np.inf if monoid == "max" else np.inf
    info = np.iinfo(numpy_dtype(dtype))
    return int(info.min if monoid == "max" else info.max)


def combine(monoid: str) -> Any:
    """The NumPy universal function."""
    return _UFUNC[monoid]


def accumulate(monoid: str, out: Any, index: Any, values: Any) -> Any:
    """out[index] = monoid(out[index], values), repeated indices included; 16-bit floats accumulate in float32."""
    with np.errstate(all="ignore"):
        if monoid == "set":
            out = np.array(out)
            out[index] = values
            return out
        wide = np.float32 if out.dtype.itemsize == 2 and out.dtype.kind not in "iu" else out.dtype
        total = np.array(out, wide)
        _UFUNC[monoid].at(total, index, np.asarray(values, wide))
        return total.astype(out.dtype)

"""Checking and normalising arguments: axes, shapes, dtypes. Errors are raised here, at the user's line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from operator import index
from typing import Any

import numpy as np

from pullback.engine.tensor import TensorBase, from_host
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import Node
from pullback.util.errors import (
    ArgumentError,
    AxisError,
    DeviceError,
    DTypeError,
    OutOfMemoryError,
    ShapeError,
    ValueError_,
    message,
)


class Unset:
    """The default of an argument that may be None."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET: Any = Unset()


def as_tensor(x: Any, name: str) -> Any:
    """A tensor of an argument that may also be a number, a NumPy array or a list."""
    if isinstance(x, TensorBase):
        return x
    if isinstance(x, (bool, int, float, complex, np.ndarray, np.generic, list, tuple)) or hasattr(x, "__array__"):
        return from_host(x)
    raise ArgumentError(message(f"{name}: not an array", [("argument", f"{type(x).__name__} {x!r:.60}")],
                                "pass a tensor, a number, a NumPy array or a list of numbers"))


def described(x: Any) -> str:
    """A tensor as errors show it."""
    return repr(x.info.type) if isinstance(x, TensorBase) else f"{type(x).__name__} {x!r:.60}"


def checked_device(device: Any, name: str) -> None:
    """Refuse every device but the processor."""
    if device is not None and str(device).split(":")[0] != "cpu":
        raise DeviceError(message(f"{name}: no such device", [("device", str(device))], "tensors live on 'cpu'"))


def integer(value: Any, name: str, what: str) -> int:
    """A Python integer from anything that is one."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return index(value)
    except TypeError:
        raise ArgumentError(message(f"{name}: {what} must be an integer",
                                    [(what, f"{type(value).__name__} {value!r:.60}")],
                                    f"pass an int as {what}")) from None


def number(value: Any, name: str, what: str) -> float:
    """A Python number."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return value if isinstance(value, (int, float)) else value.item()
    if isinstance(value, (TensorBase, np.ndarray)) and value.ndim == 0:
        return value.item()
    raise ArgumentError(message(f"{name}: {what} must be a number", [(what, f"{type(value).__name__} {value!r:.60}")],
                                f"pass a float as {what}"))


def axis_of(axis: Any, rank: int, name: str, x: Any = None) -> int:
    """One axis, counted from the front."""
    n = axis if type(axis) is int else integer(axis, name, "axis")
    if -rank <= n < rank:
        return n % rank
    got = [("x", described(x))] if x is not None else []
    text = f"use an axis from {-rank} to {rank - 1}" if rank else "a 0-dimensional array has no axes: leave axis out"
    raise AxisError(message(f"{name}: axis {n} is out of range for {rank} dimensions", [*got, ("axis", str(n))], text))


def axes_of(axis: Any, rank: int, name: str, x: Any = None) -> tuple[int, ...]:
    """Axes as a sorted tuple; None means all."""
    if axis is None:
        return tuple(range(rank))
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, rank, name, x),)
    found = tuple(sorted(axis_of(a, rank, name, x) for a in axis))
    if len(set(found)) != len(found):
        raise AxisError(message(f"{name}: an axis is given twice", [("axis", str(tuple(axis)))], "name each axis once"))
    return found


def ordered_axes(axes: Any, rank: int, name: str, x: Any = None) -> tuple[int, ...]:
    """Distinct axes in the order given."""
    items = axes if isinstance(axes, (tuple, list)) else (axes,)
    found = tuple(axis_of(a, rank, name, x) for a in items)
    if len(set(found)) != len(found):
        raise AxisError(message(f"{name}: an axis is given twice", [("axes", str(tuple(items)))],
                                "name each axis once"))
    return found


def synonym(first: Any, second: Any, name: str, names: str) -> Any:
    """An argument with two names: at most one may be given."""
    if second is UNSET:
        return first
    if first is not UNSET and first is not None:
        raise ArgumentError(message(f"{name}: {names} mean the same", help="give only one of them"))
    return second


def shape_of(args: Any, name: str, free: bool = False) -> tuple[int, ...]:
    """A shape from `(2, 3)`, `[2, 3]`, `2` or `2, 3` (as a tuple of arguments); `free` allows one -1."""
    if isinstance(args, tuple) and len(args) == 1 and not isinstance(args[0], (int, np.integer)):
        args = args[0]
    if isinstance(args, (str, bytes)) or args is None or isinstance(args, (float, dict, set)):
        raise ArgumentError(message(f"{name}: not a shape", [("shape", f"{type(args).__name__} {args!r:.60}")],
                                    "pass integers or a tuple of integers, for example (2, 3)"))
    if isinstance(args, (tuple, list)):
        items: Sequence[Any] = args
    elif isinstance(args, (TensorBase, np.ndarray)) and args.ndim == 1:
        items = args.tolist()  # pyright: ignore
    else:
        items = (args,)
    shape = tuple([n if type(n) is int else integer(n, name, "size") for n in items])
    for n in shape:
        if n < 0 and not (free and n == -1):
            raise ShapeError(message(f"{name}: a size cannot be negative", [("shape", str(shape))],
                                     "sizes are 0 or more" + (", or one of them -1" if free else "")))
    return shape


def resolve_free(shape: tuple[int, ...], size: int, name: str, x: Any) -> tuple[int, ...]:
    """A shape with -1 replaced by what remains; checks the number of elements."""
    known = 1
    for n in shape:
        if n != -1:
            known *= n
    if -1 in shape:
        if shape.count(-1) > 1:
            raise ShapeError(message(f"{name}: only one size can be -1", [("shape", str(shape))],
                                     "give all sizes but one"))
        if known == 0 or size % known:
            raise ShapeError(message(f"{name}: {size} elements do not fit {shape}", [("x", described(x))],
                                     f"the other sizes multiply to {known}, which must divide {size}"
                                     if known else "-1 is ambiguous beside a size of 0: give every size"))
        return tuple([size // known if n == -1 else n for n in shape])
    if known != size:
        raise ShapeError(message(f"{name}: {size} elements do not fit {shape}", [("x", described(x))],
                                 f"the sizes must multiply to {size}; one of them may be -1"))
    return shape


def dtype_or(dtype: Any, default: DType) -> DType:
    return default.base if dtype is None else dtype_of(dtype)


@cache
def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 46


def check_memory(shape: tuple[int, ...], dtype: DType, name: str) -> None:
    """Refuse an array that this machine cannot hold, before anything is allocated."""
    need = dtype.itemsize
    for n in shape:
        need *= n
    if need > (1 << 20) and need > _memory_bytes():
        raise OutOfMemoryError(message(
            f"{name}: an array of {need / 2**30:,.1f} GiB does not fit in memory",
            [("shape", str(shape)), ("dtype", dtype.name), ("memory", f"{_memory_bytes() / 2**30:,.1f} GiB")],
            "use a smaller shape or a smaller dtype, or work in batches"))


def reject_kind(x: Node, kinds: str, name: str, help: str) -> None:
    """Refuse dtypes of some kinds, in a definition."""
    if x.dtype.kind in kinds:
        raise DTypeError(message(f"{name}: not defined for {x.dtype.name}", [("x", repr(x.type))], help))


def one_of(value: Any, allowed: Sequence[Any], name: str, what: str) -> Any:
    """One of a few words."""
    if value not in allowed:
        raise ValueError_(message(f"{name}: {what} {value!r} is not known", [(what, repr(value))],
                                  "one of " + ", ".join(map(repr, allowed))))
    return value

"""Counting bits, and shifting them in without a sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api.arguments import as_tensor, described
from pullback.api.elementwise import bitcast
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import dtype_of, numpy_dtype
from pullback.util.errors import DTypeError, message

Array = Any
#: of each group of 2, 4, 8 bits: the lower half
_LOWER = (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F)


def _unsigned(x: Array, name: str) -> Array:
    """The same bits as an unsigned dtype."""
    x = as_tensor(x, name)
    if not x.dtype.is_integer:
        raise DTypeError(message(f"{name}: not an integer dtype", [("x", described(x))], "x.astype('int32')"))
    return x if x.dtype.kind == "u" else bitcast(x, "u" + x.dtype.name)


def _as(x: Array, like: Array) -> Array:
    return x if x.dtype is like.dtype else bitcast(x, like.dtype)


def bit_count(x: Array) -> Array:
    """How many bits are 1, in two's complement.

    >>> import pullback as pb
    >>> pb.bit_count(pb.tensor([0, 7, 8, -1]))
    Tensor([ 0,  3,  1, 32], dtype=int32)
    """
    x = as_tensor(x, "bit_count")
    y = _unsigned(x, "bit_count")
    width = y.dtype.bits

    def number(value: int) -> Array:
        return from_host(np.array(value & (2**width - 1), numpy_dtype(y.dtype)))

    for step, lower in enumerate(_LOWER):
        mask = number(lower)
        y = (y & mask) + ((y >> number(1 << step)) & mask)
    for step in range(3, width.bit_length() - 1):
        y = y + (y >> number(1 << step))
    return _as(y & number(2 * width - 1), x)


def leading_zeros(x: Array) -> Array:
    """How many bits are 0 before the first 1.

    >>> import pullback as pb
    >>> pb.leading_zeros(pb.tensor([0, 1, 255]))
    Tensor([32, 31, 24], dtype=int32)
    """
    x = as_tensor(x, "leading_zeros")
    y = _unsigned(x, "leading_zeros")
    step = 1
    while step < y.dtype.bits:
        y = y | (y >> from_host(np.array(step, numpy_dtype(y.dtype))))
        step *= 2
    return _as(bit_count(~y), x)


def shift_right_logical(x: Array, count: Array) -> Array:
    """The bits moved to the right; zeros come in, whatever the sign.

    >>> import pullback as pb
    >>> pb.shift_right_logical(pb.tensor([-1]), pb.tensor([28]))
    Tensor([15], dtype=int32)
    """
    x = as_tensor(x, "shift_right_logical")
    y = _unsigned(x, "shift_right_logical")
    moved = y >> as_tensor(count, "shift_right_logical").to(dtype_of(y.dtype))
    return _as(moved, x)

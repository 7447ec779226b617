"""Parts of values' memory, as the host reads and writes them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pullback.engine import execute
from pullback.engine.trace import Info, Value
from pullback.ir.dtypes import DType
from pullback.runtime.memory import Buffer

#: what the host copies elements of so many bytes as
WORDS = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}


def finished(value: Value, what: str) -> Buffer | None:
    """The memory of a value, computed now where it is not yet; None where that is no plain memory."""
    buffer = execute.observe(value, what) if value.buffer is None else value.buffer
    if execute.is_under_way(buffer):
        execute.wait_oldest(0)
    return buffer if type(buffer) is Buffer else None


def part_of(value: Value, first: int, steps: tuple[int, ...] | None, info: Info) -> Value | None:
    """A copy of part of a value, as one of its own: its elements from `first` on, `steps` apart along each dimension
    (None: one run). None where there is no memory to be copied."""
    buffer = finished(value, "index")
    if buffer is None:
        return None
    dtype, shape = info.type.dtype, info.type.shape
    part = Buffer(info.type.nbytes)
    if steps is None:
        ctypes.memmove(part.address, buffer.address + first * dtype.itemsize, part.nbytes)
    else:
        part.numpy(WORDS[dtype.itemsize], shape)[...] = strided(buffer, dtype, first, shape, steps)
    return execute.held(part, info)


def strided(buffer: Buffer, dtype: DType, first: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    """A NumPy array over some of a buffer's elements, as words of their size."""
    size = dtype.itemsize
    kind = WORDS[size]
    whole = buffer.numpy(kind, (buffer.nbytes // size,))
    return np.ndarray(shape, kind, whole, first * size, [size * step for step in steps])

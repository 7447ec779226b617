"""Jittor's random numbers: drawn when they are first needed, in the order in which the wanted value reaches them."""

from __future__ import annotations

import time
import weakref
from typing import Any

import numpy as np

from pullback.api.arguments import check_memory, shape_of
from pullback.api.minstd import MinimalStandard
from pullback.engine.execute import Deferred
from pullback.engine.inspect import leaves_breadth_first
from pullback.engine.trace import Info, Value
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import TensorType
from pullback.util.errors import ValueError_, message


class _Pending:
    """Numbers that were asked for and not drawn yet."""

    def __init__(self, buffer: Deferred, type: TensorType, kind: str) -> None:
        self.buffer, self.type, self.kind = weakref.ref(buffer), type, kind

    def draw(self) -> None:
        buffer = self.buffer()  # numbers that nobody wants any more are not drawn
        if type(buffer) is Deferred:
            sampler = generator.uniform if self.kind == "uniform" else generator.normal
            buffer.fill(np.ascontiguousarray(sampler(self.type.shape, self.type.dtype)))


generator = MinimalStandard()
#: numbers that were asked for and not drawn yet, by their memory
pending: dict[int, _Pending] = {}


def draw(shape: Any, dtype: DType, kind: str) -> Value:
    """Numbers that are drawn when they are first needed."""
    size = shape_of(shape, "jt.random")
    check_memory(size, dtype, "jt.random")
    info = Info.of(TensorType.of(size, dtype), True)
    buffer = Deferred.of(info.type.nbytes, draw_all)
    pending.pop(id(buffer), None)
    pending[id(buffer)] = _Pending(buffer, info.type, kind)
    return Value(None, -1, info, buffer)


def settle(var: Any) -> None:
    """Before a Var is computed: draw what it depends on, the nearest first, then the rest."""
    if not pending:
        return
    value = var._peek()
    order = [value] if value.buffer is not None else leaves_breadth_first(value)
    for leaf in order:
        found = pending.pop(id(leaf.buffer), None) if type(leaf) is Value else None
        if found is not None:
            found.draw()
    draw_all()


def draw_all() -> None:
    """Draw everything that was asked for, the latest first."""
    while pending:
        pending.popitem()[1].draw()


def set_seed(seed: int) -> None:
    """Start Jittor's generator anew; NumPy's and Python's are left alone."""
    draw_all()
    generator.manual_seed(seed)


def set_global_seed(seed: int, different_seed_for_mpi: bool = True) -> None:
    """Start Jittor's generator, NumPy's and Python's anew."""
    import random  # Python's own, needed here only

    set_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the stream that scripts of this dialect use
    random.seed(seed)


def kind_of(type: str) -> str:
    if type not in ("uniform", "normal"):
        raise ValueError_(message("jt.random: no such distribution", [("type", repr(type))], "'uniform' or 'normal'"))
    return type


def float_dtype(dtype: Any) -> DType:
    return dtype_of(dtype)


set_seed(int(time.time()))

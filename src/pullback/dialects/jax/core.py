"""`jax.core`: what a traced function sees."""

from __future__ import annotations

from typing import Any

from pullback.dialects import names
from pullback.dialects.jax.array import Array, ShapedArray


class _Traced(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        if not isinstance(instance, Array):
            return False
        value = instance._peek()
        return value.buffer is None and value.trace is not None and value.trace.kind != "main"


class Tracer(metaclass=_Traced):
    """Arrays whose values are not known, inside of `jit`, `grad`, `vmap`: `isinstance(x, jax.core.Tracer)`."""


__all__ = ["ShapedArray", "Tracer"]
__getattr__, __dir__ = names(__name__, {"dialects.jax.derivatives": "ensure_compile_time_eval"})

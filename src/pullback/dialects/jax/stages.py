"""`jax.stages`: a jitted function's program for some arguments, before and after it is compiled."""

from __future__ import annotations

from io import StringIO
from typing import Any

from pullback.dialects.jax import transforms
from pullback.engine.inspect import show
from pullback.util import tree


def _stand_ins(x: Any) -> Any:
    """Arrays in place of what has a shape and a dtype only."""
    from pullback.dialects.jax import numpy as jnp  # it needs this package

    return tree.map(lambda v: jnp.zeros(v.shape, v.dtype) if isinstance(v, transforms.ShapeDtype) else v, x)


class Compiled:
    """A compiled program: a function of arguments of the types it was made for."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kept = self.function.static_names
        static = {k for k in self.function.static_numbers if k < len(self.args)}
        moving = iter(args)
        full = [x if k in static else next(moving) for k, x in enumerate(self.args)]
        named = {k: v for k, v in self.kwargs.items() if k in kept and k not in kwargs}
        return self.function(*full, **kwargs, **named)

    def as_text(self) -> str:
        """The compiler's text."""
        return _text(self.function, self.args, self.kwargs, "llvm")

    def cost_analysis(self) -> dict[str, float]:
        """Nothing is known in advance."""
        return {}

    def memory_analysis(self) -> None:
        """Nothing is known in advance."""

    @property
    def out_info(self) -> Any:
        """Shapes and dtypes of the result."""
        return transforms.eval_shape(self.function, *self.args, **self.kwargs)


class Lowered:
    """A program that is not compiled yet."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, _stand_ins(args), _stand_ins(kwargs)

    def as_text(self, dialect: str | None = None, **_: Any) -> str:
        """The program as a graph."""
        return _text(self.function, self.args, self.kwargs, "graph")

    def compile(self, compiler_options: Any = None) -> Compiled:
        """Compile it."""
        static = self.function.static_numbers
        self.function(*self.args, **self.kwargs)
        return Compiled(self.function, tuple(x if k in static else None for k, x in enumerate(self.args)), self.kwargs)

    @property
    def out_info(self) -> Any:
        """Shapes and dtypes of the result."""
        return transforms.eval_shape(self.function, *self.args, **self.kwargs)


def _text(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], stage: str) -> str:
    return show(function, stage, file=StringIO())(*args, **kwargs)


__all__ = ["Compiled", "Lowered"]

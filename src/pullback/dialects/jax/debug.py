"""`jax.debug`: printing values."""

from __future__ import annotations

from typing import Any

from pullback.dialects.jax import errors
from pullback.engine.trace import local


def print(fmt: str, *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Print values, formatted as `str.format` does. Inside a compiled function they are not known: it is an error."""
    if local.trace.kind == "staged":
        raise errors.ConcretizationTypeError(
            errors.text(
                "jax.debug.print: values are not known while a function is being traced",
                [("format", repr(fmt))],
                "return the value and print it outside, or use jax.disable_jit()",
            )
        )
    _print(fmt.format(*args, **kwargs))


def _print(text: str) -> None:
    import builtins  # this module has a `print` of its own

    builtins.print(text)

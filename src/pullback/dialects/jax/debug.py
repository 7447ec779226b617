"""`jax.debug`: printing values, and handing them to Python."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from pullback.dialects.jax import effects
from pullback.util.errors import ArgumentError, ValueError_, message


def print(fmt: str, *args: Any, ordered: bool = False, partitioned: bool = False, **kwargs: Any) -> None:
    """Print values, formatted as `str.format` does: what a compiled function prints appears when it has run."""
    if not isinstance(fmt, str):
        raise ArgumentError(
            message(
                "jax.debug.print: the first argument is a text to format",
                [("fmt", f"{type(fmt).__name__} {fmt!r:.60}")],
                'jax.debug.print("x = {x}", x=x)',
            )
        )
    _check_format(fmt, args, kwargs)
    effects.emit(lambda *given, **named: builtins.print(fmt.format(*given, **named)), args, kwargs)


def _check_format(fmt: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that the text does not name, and names without an argument, where the call stands."""
    from string import Formatter

    used = [name for _, name, _, _ in Formatter().parse(fmt) if name is not None]
    heads = {name.split(".")[0].split("[")[0] for name in used if name}
    places = used.count("") + sum(name.isdigit() for name in heads)
    spare = [name for name in kwargs if name not in heads]
    if spare or len(args) > places:
        raise ValueError_(
            message(
                "jax.debug.print: unused arguments",
                [("fmt", repr(fmt)), ("unused", ", ".join(spare) or f"{len(args) - places} positional")],
                "name each in the text: {x}",
            )
        )


def callback(callback: Callable[..., Any], *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Call a Python function with values: that of a compiled function when it has run."""
    if not callable(callback):
        raise ArgumentError(
            message("first argument to debug.callback must be callable", [("given", f"{callback!r:.60}")])
        )
    effects.emit(callback, args, kwargs)

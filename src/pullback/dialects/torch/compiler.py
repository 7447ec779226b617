"""`torch.compiler`: everything is compiled as it runs; there is nothing to keep a compiler from."""

from __future__ import annotations

from typing import Any

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {"dialects.torch.functions": "compile"})


def disable(fn: Any = None, recursive: bool = True, *, reason: Any = None) -> Any:
    """The function itself, also as a decorator with arguments."""
    return fn if callable(fn) else lambda fn: fn


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


assume_constant_result = allow_in_graph


def is_compiling() -> bool:
    """False: no code of the program is read before it runs."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Nothing to forget."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The one that there is."""
    return ["inductor"]


__all__ = ["allow_in_graph", "assume_constant_result", "cudagraph_mark_step_begin", "disable", "is_compiling",
           "is_dynamo_compiling", "is_exporting", "list_backends", "reset"]

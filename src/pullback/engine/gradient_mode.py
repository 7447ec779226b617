"""Switching recording for gradients on and off."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback.engine.trace import thread


class grad_mode:
    """Context manager and decorator that switches recording for gradients on or off in this thread."""

    __slots__ = ("before", "enabled")

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        here = thread.context
        self.before.append(here.grad_enabled)
        here.grad_enabled = self.enabled

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        thread.context.grad_enabled = self.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(self.enabled):
                return function(*args, **kwargs)

        return wrapped

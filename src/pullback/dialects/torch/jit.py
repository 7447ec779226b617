"""`torch.jit`: programs are compiled as they run, so that a function scripted or traced is the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.dialects.absent import Absent
from pullback.nn import Module as ScriptModule


def script(obj: Any, *args: Any, **options: Any) -> Any:
    """The function or module itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """The function or module itself: nothing of one run is fixed."""
    return func


def _marked(fn: Any = None, **options: Any) -> Any:
    """The function itself, as a decorator with or without arguments."""
    return fn if callable(fn) else lambda fn: fn


ignore = unused = _marked
script_method = script_if_tracing = export = freeze = optimize_for_inference = interface = script


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def is_scripting() -> bool:
    """False: code runs as it is written."""
    return False


is_tracing = is_scripting


def fork(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The result: what is launched runs on while Python does."""
    return func(*args, **options)


def wait(future: Any) -> Any:
    """What `fork` gave."""
    return future


_CURE = "save the state_dict with torch.save, and load it into a model"
save, load = Absent("torch.jit.save", _CURE), Absent("torch.jit.load", _CURE)
Final = Attribute = Absent("torch.jit.Final", "it is an annotation")

__all__ = ["ScriptModule", "annotate", "export", "fork", "freeze", "ignore", "interface", "is_scripting", "is_tracing",
           "load", "optimize_for_inference", "save", "script", "script_if_tracing", "script_method", "trace", "unused",
           "wait"]

"""Functions with other names for their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any


def renamed(function: Any, names: Mapping[str, str], positional_only: int = 0) -> Any:
    """A function with its arguments under other names: the same code with other names for its variables, so that a call
    costs what it did."""
    code = function.__code__
    varnames, cellvars = (tuple(names.get(v, v) for v in held) for held in (code.co_varnames, code.co_cellvars))
    made = FunctionType(code.replace(co_varnames=varnames, co_cellvars=cellvars, co_posonlyargcount=positional_only),
                        function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    defaults: dict[str, Any] = function.__kwdefaults__ or {}
    made.__kwdefaults__ = {names.get(k, k): v for k, v in defaults.items()}
    made.__annotations__ = {names.get(k, k): v for k, v in function.__annotations__.items()}
    made.__doc__, made.__qualname__, made.__module__ = function.__doc__, function.__qualname__, function.__module__
    return made

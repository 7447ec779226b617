"""Whole modules in files: the name of a class, and its attributes as data. Nothing is imported, nothing is run.

Reading one finds classes that the program has loaded already, and of those only modules and dataclasses; no constructor
is called, and no method that a class may have for this purpose.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NoReturn

from pullback import nn
from pullback.dialects import public_name
from pullback.dialects.torch.nn import functional
from pullback.io.pickles import Call, Maker, Name, wrong

MADE = "pullback.instance"
_safe: list[Any] = []  # what files may name although only weights are asked for
_FUNCTIONS = "torch.nn.functional."


def described(value: Any) -> Any:
    """What stands for a module, a dataclass or a function of `torch.nn.functional`; None for anything else."""
    if isinstance(value, FunctionType):
        name = value.__name__
        return Name(_FUNCTIONS + name) if getattr(functional, name, None) is value else None
    kind = type(value)
    if not _plain(kind):
        return None
    return Call(MADE, (kind.__module__, kind.__qualname__), dict(vars(value)))


def _plain(kind: Any) -> bool:
    """Whether a class is all attributes: what they are is what its instances are."""
    return isinstance(kind, type) and (issubclass(kind, nn.Module) or (
        dataclasses.is_dataclass(kind) and "__slots__" not in vars(kind)))


class Instances:
    """Those that one file gives, by their identity: attributes are put on nothing else."""

    def __init__(self, weights_only: bool) -> None:
        self.weights_only = weights_only
        self.made: dict[int, Any] = {}

    def make(self, module: Any, name: Any) -> Any:
        """An instance without attributes."""
        if self.weights_only and not _safe:
            _refuse(module, name)
        kind = _class(module, name)
        if self.weights_only and kind not in _safe and not kind.__module__.startswith("pullback."):
            _refuse(module, name)
        found = object.__new__(kind)
        self.made[id(found)] = found
        return found

    def restore(self, target: Any, state: Any) -> bool:
        """Give an instance its attributes, once; False where it is none of these."""
        if id(target) not in self.made or type(state) is not dict or not all(type(key) is str for key in state):
            return False
        vars(self.made.pop(id(target))).update(state)
        return True

    def names(self, table: dict[str, Any]) -> dict[str, Any]:
        """The table of names that a file may use, with those of whole modules."""
        found = {**table, MADE: Maker(self.make)}
        return found if self.weights_only and not _safe else Names(found)


def _class(module: Any, name: Any) -> Any:
    """A class that is loaded, by its name."""
    found: Any = sys.modules.get(module) if type(module) is str and type(name) is str else None
    for part in name.split(".") if found is not None else ():
        found = getattr(found, part, None)
    if found is None:
        raise wrong(f"the file has a {name!s:.60}, which is defined in {module!s:.60}", ("loaded", "no such class"),
                    help="import the module that defines the class before torch.load")
    if not _plain(found):
        raise wrong("the file has an instance of a class that is neither a module nor a dataclass",
                    ("class", f"{module}.{name}"), help="save its state_dict")
    return found


class Names(dict[str, Any]):
    """A table of names, and those of `torch.nn.functional`: they are read as values, never called by the reader."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _function(name) is not None

    def __missing__(self, name: str) -> Any:
        return _function(name)


def _function(name: Any) -> Any:
    if type(name) is not str or not name.startswith(_FUNCTIONS):
        return None
    found = getattr(functional, name[len(_FUNCTIONS):], None)
    return found if isinstance(found, FunctionType) else None


def _refuse(module: Any, name: Any) -> NoReturn:
    shown = public_name(f"{module!s:.60}.{name!s:.60}")
    raise wrong("the file holds a whole module, not weights alone", ("class", shown),
                help="torch.load(path, weights_only=False); classes are looked up, nothing of the file is run")


# -- what files may name ----------------------------------------------------------------------------------------------


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files name these classes where only weights are asked for."""
    _safe.extend(x[0] if isinstance(x, tuple) else x for x in safe_globals)


def get_safe_globals() -> list[Any]:
    """What files may name where only weights are asked for."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Files may name no classes where only weights are asked for."""
    _safe.clear()


@contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """`add_safe_globals` for the block."""
    before = list(_safe)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe[:] = before


__all__ = ["Instances", "add_safe_globals", "clear_safe_globals", "described", "get_safe_globals", "safe_globals"]

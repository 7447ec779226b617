"""Modules of a framework that a dialect does not have: importing one is no error, using it is.

A script imports what only some of its options need: `torch.onnx` for an export at the end, `torch.distributed` for many
processes. Every name of such a module is there, and says what is missing where it is called, subclassed or read from.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from pullback.util.errors import MissingModuleError, message


class Absent:
    """A name of a module that is not here."""

    def __init__(self, name: str, cure: str) -> None:
        self._name, self._cure = name, cure

    def _refuse(self) -> NoReturn:
        raise MissingModuleError(message(f"{self._name} is not here", help=self._cure))

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._refuse()

    def __mro_entries__(self, bases: Any) -> Any:
        self._refuse()

    def __enter__(self) -> Any:
        self._refuse()

    def __exit__(self, *error: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}", self._cure)

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __getitem__(self, item: Any) -> Absent:
        return self  # as annotations do

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<{self._name}, which is not here>"


class AbsentModule:
    """Loader of a module that is not here. `answers`: what some of its functions return all the same."""

    def __init__(self, shown: str, cure: str, answers: dict[str, Any]) -> None:
        self.shown, self.cure, self.answers = shown, cure, answers

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = f"{self.shown} is not here: {self.cure}."
        for name, value in self.answers.items():
            setattr(module, name, lambda value=value: value)

        def find(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(f"module {self.shown!r} has no attribute {name!r}")
            return Absent(f"{self.shown}.{name}", self.cure)

        module.__getattr__ = find  # type: ignore[method-assign]


__all__ = ["Absent", "AbsentModule"]

"""Dialects: the library under the names of other frameworks.

A dialect is a package here, `pullback.dialects.torch`. It is imported as `pullback.torch` (also `from pullback.torch
import nn`, `import pullback.torch.nn.functional as F`); `pullback run` also answers `import torch` with it, in its own
process. Both are entries of one finder: an alias and the home it stands for. A module is loaded once, whatever name it
was imported by.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from pullback.util.errors import AttributeError_, MissingModuleError, message

#: every dialect, by the name its users import
DIALECTS = ("fastai", "jax", "jittor", "tensorflow", "torch")
HOME = "pullback.dialects"
_HELPERS = ("annotations", "names", "TYPE_CHECKING")  # in a dialect's modules, and no names of theirs


class _SameModule:
    """Loader of an alias: the module of its home."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.home)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # importing has replaced the module's own description by that of the alias
        module.__spec__ = self.spec
        module.__name__ = self.home


class AliasFinder:
    """Finds modules by the aliases they may be imported by, and says what is nearest where there is none."""

    def __init__(self) -> None:
        self.homes: dict[str, str] = {}
        #: modules that are not here, by home: what makes them, from the name they are shown by
        self.absent: dict[str, tuple[str, dict[str, Any]]] = {}
        for name in DIALECTS:
            self.add(f"pullback.{name}", f"{HOME}.{name}")
            self.homes[f"{HOME}.{name}"] = f"{HOME}.{name}"

    def add(self, alias: str, home: str) -> None:
        """Answer `import alias`, and what is below it, with the module `home`."""
        self.homes[alias] = home

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        head = fullname
        home = self.homes.get(head)
        while home is None and "." in head:
            head = head.rpartition(".")[0]
            home = self.homes.get(head)
        if home is None:
            return None
        real = home + fullname[len(head):]
        if real == fullname:
            return PathFinder.find_spec(fullname, path) or self._missing(fullname)
        return ModuleSpec(fullname, _SameModule(real), is_package=True)  # type: ignore[arg-type]

    def _missing(self, fullname: str) -> Any:
        parent, _, name = fullname.rpartition(".")
        module = sys.modules.get(parent)
        if module is None or parent == HOME:
            return None
        spec = self._absent(fullname)
        if spec is not None:
            return spec
        raise MissingModuleError(missing_text(parent, name, dir(module)))


    def _absent(self, fullname: str) -> ModuleSpec | None:
        """A module that says what is missing when it is used; so do those below it."""
        head = fullname
        while head not in self.absent:
            head = head.rpartition(".")[0]
            if not head:
                return None
        from pullback.dialects.absent import AbsentModule  # few programs need it

        cure, answers = self.absent[head]
        loader: Any = AbsentModule(public_name(fullname), cure, answers if head == fullname else {})
        return ModuleSpec(fullname, loader, is_package=True)


FINDER = AliasFinder()


def public_name(module: str) -> str:
    """A dialect's module as its users call it: "torch.nn" for "pullback.dialects.torch.nn"."""
    return module.removeprefix(HOME + ".")


def nearest(shown: str, name: str, known: Iterable[str]) -> str:
    """The cure for a name that is not there: what may have been meant, and how to ask for it."""
    from difflib import get_close_matches  # needed only when something is wrong

    near = get_close_matches(name, [k for k in known if not k.startswith("_")], 3)
    guesses = ", ".join(f"{shown}.{n}" for n in near)
    cure = f"did you mean {guesses}? " if near else f"dir({shown}) lists what there is; "
    return f"{cure}to ask for it, open an issue that names {shown}.{name}"


def missing_text(module: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that a dialect does not have."""
    shown = public_name(module)
    return message(f"{shown} has no {name!r} here", help=nearest(shown, name, known))


def importable(module: str, name: str, home: str) -> None:
    """Let `import module.name` find a module that stands elsewhere."""
    if f"{module}.{name}" == home:
        return
    FINDER.add(f"{module}.{name}", home)
    if module in sys.modules and not hasattr(sys.modules[module], "__path__"):
        sys.modules[module].__path__ = []


def names(module: str, table: dict[str, str],
          adapt: Callable[[Any, str], Any] | None = None) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a dialect's module: names that are functions or modules of the library, found at
    first use.

    `table` says for each home, a module below `pullback`, which of its names are shown, as "name" or
    "name=name_there". An entry "name=" is the module itself. `adapt(found, name)` makes of what is there what is shown.

        __getattr__, __dir__ = names(__name__, {"api.elementwise": "exp neg=negative", "dialects.torch.nn": "nn="})
    """
    homes: dict[str, tuple[str, str]] = {}
    for home, entries in table.items():
        for entry in entries.split():
            name, renamed, there = entry.partition("=")
            homes[name] = (home, there if renamed else name)
            if not homes[name][1]:
                importable(module, name, f"pullback.{home}")

    def find(name: str) -> Any:
        if name not in homes:
            if f"{module}.{name}" in FINDER.absent:
                return importlib.import_module(f"{module}.{name}")
            if name.startswith("__"):
                raise AttributeError(f"module {module!r} has no attribute {name!r}")
            raise AttributeError_(missing_text(module, name, listed()))
        home, there = homes[name]
        found: Any = importlib.import_module(f"pullback.{home}")
        if there:
            found = getattr(found, there) if adapt is None else adapt(getattr(found, there), name)
        setattr(sys.modules[module], name, found)
        return found

    def listed() -> list[str]:
        own = [n for n, value in vars(sys.modules[module]).items()
               if not n.startswith("_") and n not in _HELPERS and not isinstance(value, ModuleType)]
        return sorted({*own, *homes, *vars(sys.modules[module]).get("__all__", ())})

    return find, listed

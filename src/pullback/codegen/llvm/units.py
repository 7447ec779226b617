"""Units of code: a function of a program with what belongs to it, under a name that says what it does.

Units with the same text get the same symbol, so they are compiled once, whichever programs they are in.
"""

from __future__ import annotations

from pullback.codegen.llvm.text import Module, module_text
from pullback.util.disk_cache import sha256

#: stands for the unit's own name in its text
NAME = "KERNEL"


class Unit:
    """A function and its helpers. `name` is for people, `symbol` follows from the text."""

    __slots__ = ("module", "name", "symbol", "text")

    def __init__(self, name: str, module: Module) -> None:
        self.name, self.module = name, module
        self.text = module.text()
        self.symbol = "u" + sha256(self.text.encode()).hex()[:40]


def merged_text(units: list[Unit], names: list[str]) -> str:
    """One module of all these units under these names; what several of them define is defined once."""
    declarations: dict[str, str] = {}
    globals_: dict[str, str] = {}
    functions: dict[str, str] = {}
    for unit, name in zip(units, names, strict=True):
        module = unit.module
        declarations |= module.declarations
        for known, text in module.globals.items():
            globals_[known.replace(NAME, name)] = text.replace("@" + NAME, "@" + name)
        for fn in module.functions:
            functions[fn.name.replace(NAME, name)] = fn.text().replace("@" + NAME, "@" + name)
    outside = [text for known, text in declarations.items() if known not in functions]
    return module_text([*globals_.values(), *outside, *functions.values()])

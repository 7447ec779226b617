"""Objects in memory, by the symbols that they define: what one program has loaded, the others use."""

from __future__ import annotations

from weakref import WeakValueDictionary

from pullback.runtime.loader import LoadedObject, load_object


class Code:
    """An object and where it was loaded; it stays, with those whose functions it calls, while a program holds it."""

    __slots__ = ("__weakref__", "callees", "data", "loaded", "symbols")

    def __init__(self, symbols: list[str], data: bytes, loaded: LoadedObject, callees: tuple[Code, ...]) -> None:
        self.symbols, self.data, self.loaded, self.callees = symbols, data, loaded, callees

    def addresses(self) -> dict[str, int]:
        return {name: self.loaded.address(name) for name in self.symbols}


_codes: WeakValueDictionary[str, Code] = WeakValueDictionary()


def find(symbol: str) -> Code | None:
    """The loaded object that defines a symbol."""
    return _codes.get(symbol)


def load_code(symbols: list[str], data: bytes, externals: dict[str, int], callees: tuple[Code, ...] = ()) -> Code:
    """An object that defines these symbols, loaded unless one that defines the same is there."""
    known = _codes.get(symbols[0])
    if known is not None and known.symbols == symbols:
        return known
    for callee in callees:
        externals = externals | callee.addresses()
    code = Code(symbols, data, load_object(data, externals), callees)
    for name in symbols:
        _codes[name] = code
    return code

"""What a kernel is, apart from which buffers it works on: equal kernels are emitted once."""

from __future__ import annotations

from typing import Any

from pullback.ir.dtypes import DType
from pullback.ir.index import Index, Var
from pullback.kernel.nodes import Accumulator, Buffer, Expr, Kernel, expressions, walk

#: what differs from one equal kernel to another, or follows from the rest
_LEFT_OUT = {Buffer: ("name", "offset", "size", "slot"), Accumulator: ("name",)}
_DERIVED = ("_flat", "free")
_class_of: Any = type
_VALUES = frozenset((int, str, bytes, type(None), DType, Index, Var))


class _Visitor:
    """Objects are numbered as they are met; each is a row of its class, its values and the numbers of its parts."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.rows: list[Any] = []

    def of(self, x: Any) -> Any:
        kind = _class_of(x)
        if kind in _VALUES:
            return x
        if issubclass(kind, (tuple, list)):
            return (kind, *[self.of(part) for part in x])
        fields = _FIELDS.get(kind)
        if fields is None:
            fields = _FIELDS[kind] = _fields_of(kind)
        if not fields:
            return kind, repr(x)  # 0.0 and -0.0, True and 1 are not the same
        number = self.numbers.get(x)
        if number is None:
            number = self.numbers[x] = len(self.numbers)
            self.rows.append((number, kind, *[self.of(getattr(x, name)) for name in fields]))
        return _Number(number)


class _Number(int):
    """The number of an object, which no value equals."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is _Number and int.__eq__(self, other)

    def __hash__(self) -> int:
        return ~int(self)


_FIELDS: dict[Any, tuple[str, ...]] = {}


def _fields_of(kind: Any) -> tuple[str, ...]:
    left_out = (*_DERIVED, *_LEFT_OUT.get(kind, ()))
    return tuple(name for base in kind.__mro__ for name in getattr(base, "__slots__", ()) if name not in left_out)


def _ends_first(roots: tuple[Expr, ...]) -> list[Expr]:
    """All expressions reachable, each once, after those that it is made of."""
    found: dict[Expr, None] = {}
    stack = list(roots)
    while stack:
        x = stack[-1]
        missing = [] if x in found else [part for part in x.children() if part not in found]
        if missing:
            stack += missing
        else:
            found[stack.pop()] = None
    return list(found)


def signature(kernel: Kernel) -> tuple[Any, list[Buffer]]:
    """A key that equal kernels share, and the buffers in the order in which all of them meet theirs."""
    visitor = _Visitor()
    for stmt in walk(kernel.body):  # expressions from their ends on: a chain of them may be longer than calls go deep
        for x in _ends_first(expressions(stmt)):
            visitor.of(x)
    heads = visitor.of([kernel.kind, kernel.flops, kernel.threads, kernel.body, kernel.reads, kernel.writes,
                        kernel.scratch])
    return (heads, tuple(visitor.rows)), [x for x in visitor.numbers if isinstance(x, Buffer)]

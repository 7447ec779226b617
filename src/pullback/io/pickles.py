"""Pickles that hold data and nothing else: read by a table of the names they may use, written with no other names.

A pickle is a program for a machine with a stack. This machine knows the instructions that build numbers, texts and
containers; every name of a class or function is looked up in the reader's table, and nothing outside it is found,
called or changed. https://github.com/python/cpython/blob/main/Lib/pickletools.py describes the instructions.
"""

from __future__ import annotations

import pickle as p
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pullback.util.errors import ArgumentError, FileFormatError, PullbackError, message

_DAMAGED = "the file is damaged or hostile: save it again from its source"


@dataclass(frozen=True)
class Maker:
    """What a name in a pickle may stand for: a function of data that gives data."""

    make: Callable[..., Any]


@dataclass(frozen=True)
class Name:
    """A name to be written: "torch.float32"."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call to be written, and what is put on its result."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Place:
    """Something that stands outside the pickle, by what finds it."""

    key: tuple[Any, ...]


def wrong(what: str, *got: tuple[str, str], help: str = _DAMAGED) -> FileFormatError:
    """An error about a file."""
    return FileFormatError(message(f"load: {what}", list(got), help))


def checked_key(key: Any, depth: int = 8) -> Any:
    """A key of a dict or member of a set: tuples in tuples a few deep, as Python's hash does not look how deep."""
    if type(key) is tuple:
        if not depth:
            raise wrong("a key of tuples that stand too deep in each other")
        for part in key:
            checked_key(part, depth - 1)
    return key


class Reader:
    """The machine: `Reader(data, names, outside, restore).run()`. `outside` gives what stands outside the pickle,
    `restore` puts attributes on what a maker made, and says whether it may."""

    def __init__(self, data: bytes, names: Mapping[str, Any], outside: Callable[[Any], Any],
                 restore: Callable[[Any, Any], bool] = lambda target, state: False) -> None:
        self.data, self.names, self.outside, self.restore = data, names, outside, restore
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle holds."""
        try:
            while True:
                code = self.take(1)
                if code == p.STOP:
                    return self.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise wrong("the pickle has an instruction that is not read here", ("instruction", repr(code)),
                                help="save it again with the usual pickle_protocol")
                step(self)
        except (TypeError, ValueError, struct.error, OverflowError, RecursionError) as error:
            if isinstance(error, PullbackError):
                raise
            raise wrong("the pickle is not readable", ("reason", f"{error!s:.100}")) from error

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.data) - self.at:
            raise wrong("the pickle is cut", ("bytes", str(len(self.data))))
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form: str) -> Any:
        """The next number, in a form of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise wrong("the pickle is cut", ("bytes", str(len(self.data))))
        return self.take(end - self.at + 1)[:-1].decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise wrong("the pickle takes more from its stack than it has put there")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark, taken off."""
        if not self.marks:
            raise wrong("the pickle takes more from its stack than it has put there")
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def top(self, kind: type) -> Any:
        """The container on top of the stack, which must be of a kind."""
        found = self.pop()
        self.push(found)
        if not isinstance(found, kind):
            raise wrong(f"the pickle adds to something that is no {kind.__name__}", ("value", type(found).__name__))
        return found

    def name(self, module: Any, name: Any) -> None:
        """Push what a name stands for."""
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in self.names:
            raise wrong(f"the file needs {full}, which is code, or not known here", ("name", full),
                        help="only tensors, numbers, texts and containers of them are read: leave the rest out where "
                             "the file is made, for example torch.save(model.state_dict(), path)")
        self.push(self.names[full])

    def call(self) -> None:
        """Replace a maker and its arguments by what it makes."""
        arguments, maker = self.pop(), self.pop()
        if type(maker) is not Maker or type(arguments) is not tuple:
            raise wrong("the pickle calls something that is no function", ("value", f"{maker!r:.60}"))
        self.push(maker.make(*arguments))

    def put_state(self) -> None:
        """Attributes are put on what `restore` takes, and on the dict that `state_dict()` gives: of those only its
        versions."""
        state, target = self.pop(), self.top(object)
        if self.restore(target, state):
            return
        self.top(OrderedDict)
        if isinstance(state, dict) and "_metadata" in state:
            target._metadata = state["_metadata"]

    def get(self, number: int) -> None:
        if number not in self.memo:
            raise wrong("the pickle reads a place that was never written", ("place", str(number)))
        self.push(self.memo[number])

    def put(self, number: int) -> None:
        self.memo[number] = self.top(object)

    def put_items(self, pairs: list[Any]) -> None:
        self.top(dict).update(zip(map(checked_key, pairs[::2]), pairs[1::2], strict=True))

    def put_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.top(dict)[checked_key(key)] = value

    def put_members(self, values: list[Any]) -> None:
        self.top(set).update(map(checked_key, values))

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def tuple_of(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def named_by_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)


def _constant(value: Any) -> Callable[[Reader], None]:
    return lambda r: r.push(value)


def _sized(form: str, become: Callable[[bytes], Any]) -> Callable[[Reader], None]:
    """Bytes that stand after their count."""
    return lambda r: r.push(become(r.take(r.number(form))))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


_STEPS: dict[bytes, Callable[[Reader], None]] = {
    p.PROTO: lambda r: _ignore(r.take(1)), p.FRAME: lambda r: _ignore(r.take(8)),
    p.MARK: lambda r: r.marks.append(len(r.stack)), p.POP: lambda r: _ignore(r.pop()),
    p.NONE: _constant(None), p.NEWTRUE: _constant(True), p.NEWFALSE: _constant(False),
    p.BININT: lambda r: r.push(r.number("<i")), p.BININT1: lambda r: r.push(r.number("<B")),
    p.BININT2: lambda r: r.push(r.number("<H")), p.BINFLOAT: lambda r: r.push(r.number(">d")),
    p.LONG1: _sized("<B", p.decode_long), p.LONG4: _sized("<I", p.decode_long),
    p.BINUNICODE: _sized("<I", _text), p.SHORT_BINUNICODE: _sized("<B", _text), p.BINUNICODE8: _sized("<Q", _text),
    p.BINBYTES: _sized("<I", bytes), p.SHORT_BINBYTES: _sized("<B", bytes), p.BINBYTES8: _sized("<Q", bytes),
    p.BYTEARRAY8: _sized("<Q", bytearray),
    p.EMPTY_TUPLE: _constant(()), p.TUPLE: lambda r: r.push(tuple(r.since_mark())),
    p.TUPLE1: lambda r: r.tuple_of(1), p.TUPLE2: lambda r: r.tuple_of(2), p.TUPLE3: lambda r: r.tuple_of(3),
    p.EMPTY_LIST: lambda r: r.push([]), p.APPEND: lambda r: r.extend([r.pop()]),
    p.APPENDS: lambda r: r.extend(r.since_mark()),
    p.EMPTY_DICT: lambda r: r.push({}), p.SETITEM: Reader.put_item,
    p.SETITEMS: lambda r: r.put_items(r.since_mark()),
    p.EMPTY_SET: lambda r: r.push(set()), p.FROZENSET: lambda r: r.push(frozenset(map(checked_key, r.since_mark()))),
    p.ADDITEMS: lambda r: r.put_members(r.since_mark()),
    p.BINPUT: lambda r: r.put(r.number("<B")), p.LONG_BINPUT: lambda r: r.put(r.number("<I")),
    p.MEMOIZE: lambda r: r.put(len(r.memo)),
    p.BINGET: lambda r: r.get(r.number("<B")), p.LONG_BINGET: lambda r: r.get(r.number("<I")),
    p.GLOBAL: lambda r: r.name(r.line(), r.line()), p.STACK_GLOBAL: Reader.named_by_stack,
    p.REDUCE: Reader.call, p.NEWOBJ: Reader.call, p.BUILD: Reader.put_state,
    p.BINPERSID: lambda r: r.push(r.outside(r.pop())),
}


def _ignore(_: object) -> None:
    """Instructions that say nothing about the data."""


class Writer:
    """Writes data as a pickle: `Writer(described).write(tree)`. `described` gives for what is no number, text or
    container a `Name`, a `Call`, a `Place` or another value that stands for it, None where there is none."""

    def __init__(self, described: Callable[[Any], Any]) -> None:
        self.described = described
        self.out: list[bytes] = []
        self.memo: dict[int, int] = {}
        self.kept: list[Any] = []  # as long as ids of what was written are compared

    def write(self, tree: Any) -> bytes:
        """The pickle of a tree."""
        self.out.append(p.PROTO + b"\x02")
        try:
            self.value(tree, "")
        except RecursionError:
            raise ArgumentError(message("save: containers stand too deep in each other",
                                        [("tree", type(tree).__name__)], "save a flatter tree")) from None
        return b"".join(self.out) + p.STOP

    def value(self, value: Any, path: str) -> None:
        """Write a value; one that was written before is said to be the same."""
        plain = _PLAIN.get(type(value))
        if plain is not None:
            self.out.append(plain(value))
        elif id(value) in self.memo:
            self.out.append(p.LONG_BINGET + struct.pack("<I", self.memo[id(value)]))
        else:
            self.composed(value, path)

    def remember(self, value: Any) -> None:
        self.memo[id(value)] = len(self.memo)
        self.kept.append(value)
        self.out.append(p.LONG_BINPUT + struct.pack("<I", self.memo[id(value)]))

    def composed(self, value: Any, path: str) -> None:
        kind = type(value)
        if kind is str:
            raw = value.encode("utf-8", "surrogatepass")
            self.out.append(p.BINUNICODE + struct.pack("<I", len(raw)) + raw)
            self.remember(value)
        elif kind is tuple:
            self.members(value, path, p.MARK)
            self.out.append(p.TUPLE)
            self.remember(value)
        elif kind is list:
            self.out.append(p.EMPTY_LIST)
            self.remember(value)
            self.members(value, path, p.MARK)
            self.out.append(p.APPENDS)
        elif kind is dict:
            self.out.append(p.EMPTY_DICT)
            self.remember(value)
            self.items(value, path)
        else:
            self.other(value, path)

    def members(self, values: Any, path: str, before: bytes) -> None:
        self.out.append(before)
        for k, value in enumerate(values):
            self.value(value, f"{path}[{k}]")

    def items(self, value: Any, path: str) -> None:
        self.out.append(p.MARK)
        for key, inner in value.items():
            self.value(key, f"{path} key {key!r:.40}")
            self.value(inner, f"{path}[{key!r:.40}]")
        self.out.append(p.SETITEMS)

    def other(self, value: Any, path: str) -> None:
        if isinstance(value, Name):
            self.named(value.text)
        elif isinstance(value, Call):
            self.called(value, path)
        elif isinstance(value, Place):
            self.value(value.key, path)
            self.out.append(p.BINPERSID)
        else:
            found = self.described(value)
            if found is None:
                raise ArgumentError(message("save: this cannot be stored",
                                            [(path or "tree", f"{type(value).__name__} {value!r:.60}")],
                                            "store tensors, numbers, texts, None, and lists, tuples and dicts of them"))
            self.value(found, path)
            if isinstance(value, OrderedDict):  # its items come after its name, so that it may stand in itself
                self.remember(value)
                self.items(value, path)
            else:
                self.remember(value)

    def named(self, name: str) -> None:
        module, _, last = name.rpartition(".")
        self.out.append(p.GLOBAL + f"{module}\n{last}\n".encode())

    def called(self, call: Call, path: str) -> None:
        self.named(call.name)
        self.value(call.arguments, path)
        self.out.append(p.REDUCE)
        if call.state is not None:
            self.value(call.state, path)
            self.out.append(p.BUILD)


def _whole(value: int) -> bytes:
    if -2**31 <= value < 2**31:
        return p.BININT + struct.pack("<i", value)
    raw = p.encode_long(value)
    return (p.LONG1 + struct.pack("<B", len(raw)) if len(raw) < 256 else p.LONG4 + struct.pack("<I", len(raw))) + raw


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: p.NONE, bool: lambda value: p.NEWTRUE if value else p.NEWFALSE, int: _whole,
    float: lambda value: p.BINFLOAT + struct.pack(">d", value),
}

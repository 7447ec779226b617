"""Flags: each declared once, with its type, default, environment variable, and whether it changes generated code.

    from pullback.util import config           # users say pb.config
    config.VERIFY.value                        # typed, a plain attribute: cheap enough for hot paths
    config.get("threads"); config.set("threads", 2)
    with config.override(debug="graph,timing"):
        ...

A flag is read from its environment variable (`PULLBACK_VERIFY`) when this module is imported; `set` and `override`
change it for the whole process. What was made from a flag follows its changes (`watch`); the flags that change
generated code apply to what is compiled from then on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, final

from pullback.util.errors import ArgumentError, KeyError_, ValueError_, message

T = TypeVar("T")

#: stages that can be printed (`debug`) or stopped after (`stop_after`)
STAGES = ("graph", "schedule", "loops", "llvm", "asm", "timing", "launch", "cache")
PRECISIONS = ("highest", "high", "medium")
_TRUE, _FALSE = frozenset(("1", "true", "yes", "on")), frozenset(("0", "false", "no", "off", ""))


@final
class Flag(Generic[T]):
    """One setting. `value` is what it is now; `parse` makes a value of a text or a Python object, or raises."""

    __slots__ = ("_watchers", "default", "doc", "env", "in_key", "name", "parse", "value")

    def __init__(self, name: str, default: T, parse: Callable[[str, object], T], doc: str, in_key: bool,
                 env: str) -> None:
        self.name, self.default, self.parse, self.doc, self.in_key, self.env = name, default, parse, doc, in_key, env
        self.value = default
        self._watchers: list[Callable[[], object]] = []

    def change(self, value: T) -> None:
        """Give the flag a value that `parse` made, and tell those who watch it."""
        with _lock:
            if value == self.value:
                return
            self.value = value
            for watcher in self._watchers:
                watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call a function after each change: for what was made from the flag and must follow it."""
        self._watchers.append(watcher)

    def __repr__(self) -> str:
        return f"<flag {self.name} = {self.value!r}>"


_flags: dict[str, Flag[Any]] = {}
_lock = threading.RLock()


def _declare(name: str, default: T, parse: Callable[[str, object], T], doc: str, *, in_key: bool = False,
             env: str = "") -> Flag[T]:
    flag = Flag(name, default, parse, doc, in_key, env or "PULLBACK_" + name.upper())
    text = os.environ.get(flag.env)
    if text is not None:
        flag.value = parse(flag.env, text)
    _flags[name] = flag
    return flag


# -- parsers: of a text from the environment, or of a Python value ---------------------------------------------------


def _boolean(name: str, given: object) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError_(message(f"{name}: not a truth value", [("value", repr(given))],
                              "one of 1, 0, true, false, on, off"))


def _count(name: str, given: object) -> int:
    text = str(given).strip()
    if isinstance(given, bool) or not (text.isascii() and text.isdigit()) or int(text) > 1 << 20:
        raise ValueError_(message(f"{name}: not a count", [("value", repr(given))], "a whole number from 0 up"))
    return int(text)


def _size(name: str, given: object) -> int:
    text = str(given).strip().upper().removesuffix("B")
    shift = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    digits = text[:-1] if shift else text
    if isinstance(given, bool) or not (digits.isascii() and digits.isdigit()):
        raise ValueError_(message(f"{name}: not a size", [("value", repr(given))], "bytes, or like 512M or 2G"))
    return int(digits) << shift


def _text(name: str, given: object) -> str:
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise ArgumentError(message(f"{name}: not a text", [("value", repr(given))], "pass a string"))


def _stages(name: str, given: object) -> frozenset[str]:
    if isinstance(given, str):
        names = [part.strip() for part in given.split(",") if part.strip()]
    elif isinstance(given, (list, tuple, AbstractSet)):
        names = [str(part) for part in given]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    else:
        raise ArgumentError(message(f"{name}: not a list of stages", [("value", repr(given))], "like 'graph,timing'"))
    for part in names:
        if part not in (*STAGES, "all"):
            raise ValueError_(message(f"{name}: not a stage", [("stage", repr(part))],
                                      "any of " + ", ".join((*STAGES, "all"))))
    return frozenset(STAGES) if "all" in names else frozenset(names)


def _stage(name: str, given: object) -> str:
    text = _text(name, given).strip()
    if text and text not in STAGES:
        raise ValueError_(message(f"{name}: not a stage", [("stage", repr(text))], "one of " + ", ".join(STAGES)))
    return text


def _layout(name: str, given: object) -> str:
    if given in ("partitionable", "original"):
        return str(given)
    raise ValueError_(message(f"{name}: not a layout", [("value", repr(given))], "'partitionable' or 'original'"))


def _precision(name: str, given: object) -> str:
    if given in PRECISIONS:
        return str(given)
    raise ValueError_(message(f"{name}: not a precision", [("value", repr(given))],
                              "one of " + ", ".join(map(repr, PRECISIONS))))


# -- the flags -------------------------------------------------------------------------------------------------------

DEBUG = _declare("debug", frozenset[str](), _stages, "stages to print as programs are compiled: " + ", ".join(STAGES))
VERIFY = _declare("verify", False, _boolean, "check every program after every step of the pipeline")
THREADS = _declare("threads", 0, _count, "threads of the pool; 0 is one for each core",
                   env="PULLBACK_NUM_THREADS")
SPIN = _declare("spin_us", 200, _count, "microseconds a worker looks for work before it sleeps")
CACHE_DIR = _declare("cache_dir", "", _text, "where compiled code is kept; empty is the platform's habit")
CACHE_SIZE = _declare("cache_size", 512 << 20, _size, "bytes that compiled code may take on disk; 0 is no cache")
MEMORY_CACHE = _declare("memory_cache", 1 << 30, _size, "bytes of idle tensor memory kept for reuse")
RECOGNISE = _declare("recognise", True, _boolean, "find contractions in broadcast-multiply-reduce", in_key=True)
FUSE = _declare("fuse", True, _boolean, "put operations into common kernels", in_key=True)
AMX = _declare("amx", True, _boolean, "float32 products by the matrix unit AMX, where the processor has one",
               in_key=True)
MATMUL_PRECISION = _declare("matmul_precision", "highest", _precision,
                            "what products of float32 may round their operands to where that is faster: nothing "
                            "('highest'), two bfloat16 numbers each ('high') or one ('medium')", in_key=True)
EXPLAIN = _declare("explain", False, _boolean, "say why something is compiled again")
STOP_AFTER = _declare("stop_after", "", _stage, "the last stage of the pipeline to run; empty runs all")
SKIP = _declare("skip", "", _text, "passes to leave out, by name, separated by commas", in_key=True)
REFERENCE = _declare("reference", False, _boolean, "run the NumPy reference rules instead of compiled code")
DETECT_NAN = _declare("detect_nan", False, _boolean, "name the operator that first makes NaN (slow)")
RANDOM_LAYOUT = _declare("random_layout", "partitionable", _layout,
                         "counter layout of threefry keys: 'partitionable' (JAX from 0.5) or 'original' (before)")


# -- by name ---------------------------------------------------------------------------------------------------------


def find(name: str) -> Flag[Any]:
    """The flag of a name."""
    flag = _flags.get(name)
    if flag is None:
        from difflib import get_close_matches  # deliberate lazy load: only a misspelt name needs it

        near = get_close_matches(name, _flags, 1)
        cure = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(_flags)
        raise KeyError_(message("config: no such flag", [("flag", repr(name))], cure))
    return flag


def get(name: str) -> Any:
    """What a flag is now."""
    return find(name).value


def set(name: str, value: object) -> None:
    """Change a flag for the whole process."""
    flag = find(name)
    flag.change(flag.parse(name, value))


def reset(name: str) -> None:
    """Give a flag its default."""
    flag = find(name)
    flag.change(flag.default)


@contextmanager
def override(**values: object) -> Generator[None, None, None]:
    """Change flags inside a `with` block."""
    parsed = [(find(name), find(name).parse(name, value)) for name, value in values.items()]
    before = [(flag, flag.value) for flag, _ in parsed]
    try:
        for flag, value in parsed:
            flag.change(value)
        yield
    finally:
        for flag, value in reversed(before):
            flag.change(value)


def cache_key() -> tuple[tuple[str, Any], ...]:
    """The flags that change generated code, with their values: part of the key of everything compiled."""
    return tuple([(name, flag.value) for name, flag in _flags.items() if flag.in_key])


def describe() -> list[tuple[str, str, str, str]]:
    """Name, environment variable, present value and meaning of every flag."""
    return [(f.name, f.env, _shown(f.value), f.doc) for f in _flags.values()]


def _shown(value: str | int | frozenset[str]) -> str:
    return ",".join(sorted(value)) if isinstance(value, frozenset) else str(value)

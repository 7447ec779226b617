"""Units made object code, on other cores too, while the rest of the program is still being emitted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from pullback.codegen.llvm.compile import compile_ir
from pullback.codegen.llvm.units import Unit, merged_text
from pullback.util.background import Job

#: characters of text from which on units go to the compiler: it takes 0.5 ms for a thousand, and 1 ms for each object
GROUP_SIZE = 16_000


class Group:
    """Units that are compiled together: which, depends on the program alone."""

    __slots__ = ("code", "symbols", "text")

    def __init__(self, units: list[Unit]) -> None:
        self.symbols = [unit.symbol for unit in units]
        self.text = merged_text(units, self.symbols)
        self.code = b""


class Workshop:
    """`add` units, then `finish`. Units that are `known` by their symbol are left out."""

    def __init__(self, known: Callable[[str], bool], helpers: int) -> None:
        self.known, self.helpers = known, helpers
        self.groups: list[Group] = []
        self._waiting: deque[Group] = deque()
        self._units: dict[str, Unit] = {}
        self._seen: set[str] = set()
        self._size = 0
        self._jobs: list[Job[None]] = []
        self._lock = threading.Lock()
        self._busy = 0  # helpers that look for groups

    def add(self, unit: Unit) -> None:
        if unit.symbol in self._seen or self.known(unit.symbol):
            return
        self._seen.add(unit.symbol)
        self._units[unit.symbol] = unit
        self._size += len(unit.text)
        if self._size >= GROUP_SIZE:
            self._close()
            self._ask_for_help()

    def finish(self) -> list[Group]:
        """Compile what is left; all groups, with their code."""
        if self._units:
            self._close()
        try:
            while self._compile_next():
                pass
        finally:
            self._waiting.clear()
        for job in self._jobs:
            job.result()
        return self.groups

    def _ask_for_help(self) -> None:
        """A helper ends when nothing waits: compiling may be quicker than emitting."""
        with self._lock:
            if self._busy == self.helpers:
                return
            self._busy += 1
        self._jobs.append(Job(self._help))

    def _close(self) -> None:
        group = Group(list(self._units.values()))
        self._units, self._size = {}, 0
        self.groups.append(group)
        self._waiting.append(group)

    def _help(self) -> None:
        try:
            while self._compile_next(True):
                pass
        except BaseException:
            with self._lock:
                self._busy -= 1
            raise

    def _compile_next(self, helping: bool = False) -> bool:
        """Compile a group that waits; whether there was one."""
        with self._lock:
            group = self._waiting.popleft() if self._waiting else None
            self._busy -= helping and group is None
        if group is not None:
            group.code = compile_ir(group.text)
        return group is not None

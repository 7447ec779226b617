"""Executables: a Function made runnable, by compiled code or, where there is none yet, by the reference rules."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback.engine.trace import unset
from pullback.ir.dtypes import numpy_dtype
from pullback.ir.node import Function, Node, evaluate
from pullback.runtime.memory import Buffer, allocate_all, homes_of
from pullback.util import config
from pullback.util.collector import Seldom
from pullback.util.errors import CompileError, PullbackError

if TYPE_CHECKING:
    from pullback.schedule.donation import Pairs

_lock = threading.RLock()
#: programs expected to take longer than this are queued instead of run at once: a hand-over to a sleeping thread costs
#: 40 to 90 us, and the two cores that overlap would save are busy with the program itself (seconds)
INLINE_SECONDS = 2e-3
#: programs expected to take longer than this let other Python threads run meanwhile
RELEASE_SECONDS = 100e-6
#: queued programs expected to take longer than this are never run by the thread that waits, which handles no signals
#: meanwhile
BRIEF_SECONDS = 50e-3


class Report:
    """Memory for the number of what a run refused first, 0 for nothing."""

    __slots__ = ("_memory", "address", "number")

    def __init__(self, value: int = 0) -> None:
        self._memory = Buffer(8)
        self.address = self._memory.address
        self.number = ctypes.c_int32.from_address(self.address)
        self.number.value = value


#: set by execute.py: keep what a run refused for the next observation
note_refused: Callable[[Executable, list[Any], Report], None] = unset


class Executable:
    """A program with its calling convention. `immediates` are parameters that arrive as Python scalars; `replaced` are
    results, each with the parameter whose place it takes: where the program refuses an index, they are as before."""

    __slots__ = ("_call", "_idle", "_refusing", "_reports", "_submit", "at_once", "checked", "fresh", "fresh_bytes",
                 "function", "homes", "immediates", "out", "program", "reference", "replaced", "sources",
                 "workspace_bytes")

    def __init__(self, function: Function, immediates: frozenset[int], donated: frozenset[int],
                 replaced: Pairs = ()) -> None:
        self.function, self.immediates, self.replaced = function, immediates, replaced
        self.out = [t.nbytes for t in function.out_types]
        self.sources: list[int | None] = [None] * len(self.out)  # the argument whose memory a result takes
        self.homes = homes_of(self.out)  # of the other results, backwards where there are sources
        self.fresh = frozenset(self.out)  # their sizes
        self.fresh_bytes = sum(self.out)
        self.at_once = False  # short
        self.program: Any = None
        self.reference = False
        self.workspace_bytes = 0
        self._call: Any = None
        self._submit: Any = None
        self.checked = False  # there are operators that may refuse the values of their inputs
        self._refusing: tuple[Node, ...] = ()  # those, where this is interpreted
        self._idle: list[Buffer] = []  # the workspace of the last run at once
        self._reports: list[Report] = []  # where it wrote what it refused
        self._compile(donated)

    def _compile(self, donated: frozenset[int]) -> None:
        if config.REFERENCE.value:
            self._interpret()
            return
        from pullback.engine.pipeline import compile_function

        try:
            with _lock, Seldom():
                self.program = compile_function(self.function, donated=donated, immediates=self.immediates,
                                                check_indices=True, replaced=self.replaced)
        except CompileError:
            self._interpret()
            return
        self.checked = self.program.checked
        self._use_code(self.program.address, self.program.seconds, self.program)
        self.workspace_bytes = self.program.workspace_bytes
        if self.program.alias:
            self.sources = [self.program.alias.get(k) for k in range(len(self.out))]
        fresh = [n for n, k in zip(self.out, self.sources, strict=True) if k is None]
        self.homes = homes_of(fresh[::-1] if self.program.alias else fresh)
        self.fresh, self.fresh_bytes = frozenset(fresh), sum(fresh)
        self.at_once = self.program.seconds <= INLINE_SECONDS
        if "launch" in config.DEBUG.value:
            from pullback.engine.inspect import announce

            announce(self)

    def _use_code(self, address: int, seconds: float, owner: Any) -> None:
        """Run the machine code at an address, which takes so long; `owner` keeps it in memory."""
        from pullback.runtime.native import native

        self._call = native().make_builtin(address, release_gil=seconds > RELEASE_SECONDS, keep=owner)
        self._submit = native().make_builtin(address, submit=True, brief=seconds <= BRIEF_SECONDS, keep=owner)

    def twin(self, loaded: Any) -> Executable:
        """The same program with other code that was loaded for it."""
        other = copy(self)
        other._idle, other._reports = [], []
        other._use_code(loaded.address("prog"), math.inf, loaded)
        return other

    def _interpret(self) -> None:
        """Run by the reference rules."""
        from pullback.passes.checks import with_checks

        self.reference = True
        self.function, self._refusing = with_checks(self.function)
        self.checked = bool(self._refusing)

    def run(self, arguments: list[Any]) -> list[Any]:
        """Run a program that is `at_once` while nothing is queued; returns the buffers of its results."""
        slots = [a.address if type(a) is Buffer else a for a in arguments]
        if not self.program.alias:
            return self.call(slots, allocate_all(self.homes))
        fresh = allocate_all(self.homes)
        return self.call(slots, [fresh.pop() if k is None else arguments[k] for k in self.sources])

    def call(self, slots: list[Any], outputs: list[Any]) -> list[Any]:
        """`run` on addresses and numbers, into these buffers."""
        slots += [buffer.address for buffer in outputs]
        report: Report | None = None
        if self.checked:
            try:
                report = self._reports.pop()
                report.number.value = 0
            except IndexError:
                report = Report()
            slots.append(report.address)
        if self.workspace_bytes:
            try:
                workspace = self._idle.pop()
            except IndexError:
                workspace = Buffer(self.workspace_bytes)
            slots.append(workspace.address)
            self._call(*slots)
            self._idle.append(workspace)
        else:
            self._call(*slots)
        if report is not None:
            if report.number.value:
                note_refused(self, outputs, report)
            self._reports.append(report)
        return outputs

    def start(self, arguments: list[Any], busy: bool,
              spare: dict[int, list[Buffer]] | None = None) -> tuple[list[Any], int, Any]:
        """Run (ticket 0) or queue the program; returns its results' buffers and what else it needs until it ends.

        `spare`: memory by size that results of a queued program may take; programs before it may still use it.
        """
        if self.reference:
            return self._run_reference(arguments)
        if self.at_once and not busy:
            return self.run(arguments), 0, None
        program = self.program
        alias = program.alias
        if spare:
            outputs = [arguments[alias[k]] if k in alias else spare[n].pop() if spare.get(n) else Buffer(n)
                       for k, n in enumerate(self.out)]
        else:
            outputs = [arguments[alias[k]] if k in alias else Buffer(n) for k, n in enumerate(self.out)]
        slots = [a.address if type(a) is Buffer else a for a in arguments]
        slots += [b.address for b in outputs]
        if self.checked:
            return self._queue_checked(slots, outputs)
        workspace: Buffer | None = None
        if self.workspace_bytes:
            workspace = shared_workspace(self.workspace_bytes)
            slots.append(workspace.address)
        return outputs, self._submit(*slots), workspace

    def _queue_checked(self, slots: list[Any], outputs: list[Any]) -> tuple[list[Any], int, Any]:
        """Queue a program with a number for what it refuses: one of its own for each run."""
        report = Report()
        slots.append(report.address)
        workspace: Buffer | None = None
        if self.workspace_bytes:
            workspace = shared_workspace(self.workspace_bytes)
            slots.append(workspace.address)
        return outputs, self._submit(*slots), (report, workspace)

    def refused(self, report: Report) -> PullbackError | None:
        """What a run of a checked program refused."""
        number = report.number.value
        if not number:
            return None
        from pullback.passes.checks import refused

        node = refused(self._refusing if self.reference else self.program.watched[1], number)
        return node.op.refusal(*(x.tensor for x in node.inputs))

    def lost(self) -> list[int]:
        """The results that a run which refused something does not have: the others were made before it ended, of what
        was not refused, or are as the arguments that they replace."""
        from pullback.passes.checks import untouched

        there = {*untouched(self.function)}
        if not self.reference:
            there &= {*self.program.early}
        there |= dict(self.replaced).keys()
        return [k for k in range(len(self.out)) if k not in there]

    def arrays(self, arguments: list[Any]) -> list[Any]:
        """Arguments as NumPy arrays."""
        return [a.numpy(numpy_dtype(t.dtype), t.shape) if type(a) is Buffer else np.asarray(a, numpy_dtype(t.dtype))
                for a, t in zip(arguments, self.function.in_types, strict=True)]

    def _run_reference(self, arguments: list[Any]) -> tuple[list[Any], int, Any]:
        with np.errstate(all="ignore"):
            results = evaluate(self.function, *self.arrays(arguments))
        held = (Report(int(results[-1])), None) if self.checked else None
        if self.checked and results[-1]:
            given, kept = self.arrays(arguments), dict(self.replaced)
            results = [given[kept[k]] if k in kept else r for k, r in enumerate(results)]
        return [Buffer.from_numpy(np.ascontiguousarray(r, numpy_dtype(t.dtype)))
                for r, t in zip(results, self.function.out_types, strict=False)][:len(self.out)], 0, held


_waiting: weakref.ref[Buffer] | None = None


def shared_workspace(nbytes: int) -> Buffer:
    """Workspace of a run in the queue: one for all that wait there, because they run one after another."""
    global _waiting
    found = _waiting() if _waiting is not None else None
    if found is None or found.nbytes < nbytes:
        found = Buffer(nbytes)
        _waiting = weakref.ref(found)
    return found

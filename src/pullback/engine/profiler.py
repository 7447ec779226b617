"""`with pb.profile() as p:`: what every launched program and each of its kernels took, beside what the machine can do.

While a profile runs, every program is launched in a variant whose kernels note when they ran (`codegen/llvm/clock.py`),
and the launch waits for it. `print(p)` is the table, `p.chrome_trace(path)` a file for chrome://tracing or Perfetto.
Without a profile a launch pays one look at a variable.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any

from pullback.engine import execute
from pullback.engine.programs import Executable
from pullback.ir.dtypes import float32
from pullback.ir.node import Function, TensorType, param
from pullback.runtime.memory import Buffer
from pullback.runtime.native import native
from pullback.util.errors import CompileError, message
from pullback.util.table import KernelRow, Limits, kernel_table, kernel_text

_NEVER = (1 << 63) - 1
_READ_BYTES = 64 << 20


@dataclass(slots=True)
class Launch:
    """One run of a program: host times in nanoseconds, and (start, end) of each kernel."""

    program: int
    thread: int
    start: int
    end: int
    kernels: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


@dataclass(slots=True)
class _Timed:
    """A program's timed variant, the table that its kernels write, and its number in the profile."""

    number: int
    original: Executable
    executable: Executable
    table: Any
    loaded: Any


class Profile:
    """What was launched between entering and leaving: `rows()`, `str()`, `table()`, `chrome_trace(path)`."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self._programs: dict[int, _Timed] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Profile:
        if execute.watch is not None:
            raise RuntimeError(message("profile: another profile is running", help="leave its `with` block first"))
        execute.synchronize()
        execute.watch = self._launch
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if error is None:
                execute.synchronize()
        finally:
            execute.watch = None

    def _launch(self, executable: Executable, arguments: list[Any]) -> list[Any]:
        with self._lock:
            timed = self._programs.get(id(executable))
            if timed is None:
                timed = self._programs[id(executable)] = _timed(executable, len(self._programs))
            for k in range(len(timed.table) // 2):
                timed.table[2 * k], timed.table[2 * k + 1] = _NEVER, 0
            execute.wait_oldest(0)
            start = time.perf_counter_ns()
            outputs = execute.start(timed.executable, arguments)
            execute.wait_oldest(0)
            end = time.perf_counter_ns()
            times = list(timed.table)
            self.launches.append(Launch(timed.number, threading.get_ident(), start, end,
                                        list(zip(times[::2], times[1::2], strict=True))))
            return outputs

    def rows(self) -> list[KernelRow]:
        """One row a kernel, named `program.kernel`; programs without native code are one row each."""
        found: dict[tuple[int, int], KernelRow] = {}
        programs = list(self._programs.values())
        for launch in self.launches:
            program = programs[launch.program].original.program
            if not launch.kernels:
                what = "reference" if program is None else "program"
                _count(found, (launch.program, -1), f"p{launch.program}", what, launch.end - launch.start, 0, 0)
                continue
            for k, (info, (start, end)) in enumerate(zip(program.kernels, launch.kernels, strict=True)):
                _count(found, (launch.program, k), f"p{launch.program}.{info.name}", info.kind, max(end - start, 0),
                       info.flops, info.nbytes)
        return list(found.values())

    def __str__(self) -> str:
        return kernel_text(self.rows(), limits())

    def table(self) -> Any:
        """The table as something rich can print."""
        return kernel_table(self.rows(), limits())

    def chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the launches and kernels as a Chrome trace; the file is there whole or not at all."""
        programs = list(self._programs.values())
        process, events = os.getpid(), [_name("launches", 0), _name("kernels", 1)]
        for launch in self.launches:
            program = programs[launch.program].original.program
            events.append(_event(f"p{launch.program}", "launch", launch.start, launch.end, 0,
                                 {"thread": launch.thread}))
            for info, (start, end) in zip(program.kernels if launch.kernels else (), launch.kernels, strict=True):
                details = {"kind": info.kind, "threads": info.threads, "flops": info.flops, "bytes": info.nbytes}
                events.append(_event(f"p{launch.program}.{info.name}", "kernel", start, max(start, end), 1, details))
        target = str(os.path.realpath(path))
        temporary = f"{target}.{process}.{os.urandom(4).hex()}.tmp"
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                json.dump({"traceEvents": events, "displayTimeUnit": "ns"}, file)
            os.replace(temporary, target)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise


def profile() -> Profile:
    """Measure every program launched inside a `with` block, kernel by kernel.

    >>> import pullback as pb
    >>> with pb.profile() as p:
    ...     loss = (pb.ones((64, 64)) @ pb.ones((64, 64))).sum().item()
    >>> print(p)                                        # doctest: +SKIP
    """
    return Profile()


def _count(found: dict[tuple[int, int], KernelRow], key: tuple[int, int], name: str, kind: str, nanoseconds: int,
           flops: int, nbytes: int) -> None:
    old = found.get(key, KernelRow(name, 0, 0.0, kind=kind))
    found[key] = KernelRow(name, old.calls + 1, old.seconds + 1e-9 * nanoseconds, old.flops + flops, old.bytes + nbytes,
                           kind)


def _name(text: str, row: int) -> dict[str, Any]:
    return {"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": row, "args": {"name": text}}


def _event(name: str, category: str, start: int, end: int, row: int, details: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "cat": category, "ph": "X", "ts": start / 1e3, "dur": (end - start) / 1e3, "pid": os.getpid(),
            "tid": row, "args": details}


def _timed(executable: Executable, number: int) -> _Timed:
    """The timed variant; where there can be none, the program itself and an empty table."""
    program = executable.program
    if program is None or not hasattr(time, "CLOCK_MONOTONIC"):
        return _Timed(number, executable, executable, [], None)
    from pullback.engine.pipeline import timed_program

    table = (ctypes.c_int64 * (2 * len(program.kernels)))()
    try:
        loaded = timed_program(program, ctypes.addressof(table))
    except CompileError:
        return _Timed(number, executable, executable, [], None)
    return _Timed(number, executable, executable.twin(loaded), table, loaded)


# -- what the machine can do ------------------------------------------------------------------------------------------
@cache
def limits() -> Limits:
    """Measured once, when first asked for: single-precision multiply-adds in registers, reading 64 MB; best of five."""
    return Limits(_peak_gflops(), _read_gbytes())


def _peak_gflops() -> float:
    from pullback.codegen.llvm.clock import multiply_add_text
    from pullback.codegen.llvm.compile import compile_ir
    from pullback.codegen.llvm.target import host
    from pullback.runtime.loader import load_object

    runtime = native()
    text, operations = multiply_add_text(host(), runtime.num_threads)
    loaded = load_object(compile_ir(text), runtime.symbols)
    run, room = runtime.make_builtin(loaded.address("prog"), release_gil=True, keep=loaded), Buffer(64)
    return operations / _best(lambda: run(room.address)) / 1e9


def _read_gbytes() -> float:
    from pullback.ops.build import reduce

    x = param(TensorType.of((_READ_BYTES // 4,), float32))
    executable = Executable(Function([x], [reduce("add", x, (0,))]), frozenset(), frozenset())
    room = Buffer(_READ_BYTES)
    ctypes.memset(room.address, 0, _READ_BYTES)

    def run() -> None:
        execute.start(executable, [room])
        execute.wait_oldest(0)

    return _READ_BYTES / _best(run) / 1e9


def _best(run: Any) -> float:
    """Seconds of the fastest of five runs."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best

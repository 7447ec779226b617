"""`torch.multiprocessing`: Python's own, and `spawn`. A tensor that is sent to another process is copied."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import wait
from time import monotonic
from typing import Any

from pullback.util.errors import ArgumentError, message


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> Any:
    """Run `fn(number, *args)` in `nprocs` processes; with `join`, wait for them, else return their ProcessContext.

    Raises: ProcessRaisedException where one fails, after the others were ended.
    """
    context: Any = multiprocessing.get_context(start_method)
    processes = [context.Process(target=fn, args=(k, *args), daemon=daemon) for k in range(nprocs)]
    for p in processes:
        p.start()
    started = ProcessContext(processes)
    if not join:
        return started
    while not started.join():
        pass
    return None


start_processes = spawn


class ProcessContext:
    """Processes that `spawn` started."""

    def __init__(self, processes: list[Any]) -> None:
        self.processes = processes
        self._running: dict[Any, int] = {p.sentinel: k for k, p in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their numbers in the system."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait, `timeout` seconds at most, until a process ends; whether all have. Where one has failed, the others,
        which may wait for it, are ended, by force after `grace_period` seconds (30)."""
        for sentinel in wait(list(self._running), timeout) if self._running else ():
            k = self._running.pop(sentinel)  # pyright: ignore[reportArgumentType]
            self.processes[k].join()
            code = self.processes[k].exitcode
            if code:
                self._end(30.0 if grace_period is None else grace_period)
                raise ProcessRaisedException(f"process {k} of spawn ended with exit code {code}")
        return not self._running

    def _end(self, grace: float) -> None:
        self._running.clear()
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        until = monotonic() + grace
        for p in self.processes:
            p.join(max(until - monotonic(), 0.0))
            if p.is_alive():
                p.kill()
                p.join()


SpawnContext = ProcessContext


class ProcessRaisedException(Exception):
    """A process that `spawn` started has failed; its own traceback is above."""


def get_all_sharing_strategies() -> set[str]:
    """How tensors may reach another process: by copies."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """ "file_system"."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Refuses what there is not."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise ArgumentError(message("set_sharing_strategy: no such strategy", [("new_strategy", repr(new_strategy))],
                                    "file_system or file_descriptor"))


def __getattr__(name: str) -> Any:
    return getattr(multiprocessing, name)


__all__ = ["ProcessContext", "ProcessRaisedException", "SpawnContext", "get_all_sharing_strategies",
           "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes"]

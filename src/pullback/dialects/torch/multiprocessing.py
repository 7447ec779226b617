"""`torch.multiprocessing`: Python's own, and `spawn`. A tensor that is sent to another process is copied."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from pullback.util.errors import ArgumentError, message


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> Any:
    """Run `fn(number, *args)` in `nprocs` processes; with `join`, wait for them.

    Raises: ProcessRaisedException where one fails.
    """
    context: Any = multiprocessing.get_context(start_method)
    processes = [context.Process(target=fn, args=(k, *args), daemon=daemon) for k in range(nprocs)]
    for p in processes:
        p.start()
    if not join:
        return processes
    for p in processes:
        p.join()
    for k, p in enumerate(processes):
        if p.exitcode:
            raise ProcessRaisedException(f"process {k} of spawn ended with exit code {p.exitcode}")
    return None


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


__all__ = ["ProcessRaisedException", "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy",
           "spawn"]

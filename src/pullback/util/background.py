"""Work on another thread while this one goes on: loading the compiler, compiling."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_running: set[threading.Thread] = set()


class Job(threading.Thread, Generic[Result]):
    """A function under way. The process does not end, and does not fork, before it is done."""

    def __init__(self, function: Callable[[], Result]) -> None:
        super().__init__(name="pullback")
        self._function = function
        self._answer: Any = None
        self._error: BaseException | None = None
        _running.add(self)
        try:
            self.start()
        except RuntimeError:  # the system or the interpreter gives no more threads
            self.run()

    def run(self) -> None:
        try:
            self._answer = self._function()
        except BaseException as error:  # raised again where the result is asked for
            self._error = error
        finally:
            _running.discard(self)

    def result(self) -> Result:
        """What the function returned, or raised."""
        if self.ident is not None:
            self.join()
        if self._error is not None:
            raise self._error
        return self._answer


def wait_for_all() -> None:
    """Wait until nothing is under way: locks that a job holds would stay locked in a forked child."""
    for job in list(_running):
        if job is not threading.current_thread():
            job.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=wait_for_all)

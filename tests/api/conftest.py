"""What tests of the array room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pullback as pb
from pullback.engine import programs
from pullback.engine.trace import reset_table


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many programs were made; no structure is known at first."""
    pb.synchronize()
    reset_table()
    made = [0]
    before = programs.Executable.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made[0] += 1
        before(self, *args, **kwargs)

    monkeypatch.setattr(programs.Executable, "__init__", init)
    yield lambda: made[0]
    pb.synchronize()

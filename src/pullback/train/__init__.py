"""The training loop, its history and what watches it; mixed precision (`amp`), averages of weights (`swa_utils`)."""

from __future__ import annotations

import importlib
from typing import Any

from pullback.train.callbacks import Callback, Checkpoint, Lines, Progress
from pullback.train.history import History
from pullback.train.loop import Run, evaluate, fit, step

__all__ = ["Callback", "Checkpoint", "History", "Lines", "Progress", "Run", "evaluate", "fit", "step"]


def __getattr__(name: str) -> Any:
    if name in ("amp", "swa_utils"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The training loop, its history and what watches it."""

from pullback.train.callbacks import Callback, Checkpoint, Lines, Progress
from pullback.train.history import History
from pullback.train.loop import Run, evaluate, fit, step

__all__ = ["Callback", "Checkpoint", "History", "Lines", "Progress", "Run", "evaluate", "fit", "step"]

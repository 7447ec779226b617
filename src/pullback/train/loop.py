"""`fit`: epochs over a loader, measured, shown, saved and resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pullback.engine.control import no_grad
from pullback.train.callbacks import Callback
from pullback.train.history import History
from pullback.train.interrupt import Interrupt
from pullback.util.errors import ValueError_, message

#: results are read back at least this often, so that the list of those not read stays short
READ_EVERY = 256


@dataclass
class Run:
    """A training run: what is trained, how, and how far it is."""

    model: Any
    optimizer: Any
    loss: Callable[[Any, Any], Any]
    loader: Any
    epochs: int
    held_out: tuple[Any, Any] | None = None
    schedule: Any = None
    history: History | None = None
    interrupted: bool = False
    held_out_batch: int | None = None

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self.loader.epoch

    @property
    def measured(self) -> History:
        """What was measured so far."""
        if self.history is None:
            self.history = History()
        return self.history


class _Pending:
    """Results of steps that nobody has read yet: reading waits for the device, so it is put off."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.loss: list[Any] = []
        self.right: list[Any] = []

    def add(self, loss: Any, right: Any, count: int) -> None:
        self.loss.append(loss)
        self.right.append(right)
        self.history.part_seen += count
        if len(self.loss) >= READ_EVERY:
            self.read()

    def read(self) -> None:
        """Turn what is pending into numbers."""
        self.history.part_loss.extend([x.item() for x in self.loss])
        self.history.part_right.extend([x.item() for x in self.right])
        self.loss, self.right = [], []


def fit(model: Any, optimizer: Any, loss: Callable[[Any, Any], Any], loader: Any, epochs: int = 1,
        held_out: tuple[Any, Any] | None = None, schedule: Any = None, callbacks: Sequence[Callback] = (),
        history: History | None = None, held_out_batch: int | None = None) -> Run:
    """Train a classifier until `epochs` epochs of the loader are done.

    `loss(model(x), y)` is minimised, where dimension 1 of the scores is that of the classes; `held_out` is a pair of
    tensors measured after each epoch, `held_out_batch` samples at a time; `schedule.step()` is called after each step.
    The loader's state says where to begin, so a loaded checkpoint is gone on with. Ctrl-C ends the run after the step
    under way, with `interrupted` set.
    """
    if epochs < 0:
        raise ValueError_(message("fit: a negative number of epochs", [("epochs", str(epochs))], "epochs=10"))
    run = Run(model, optimizer, loss, loader, epochs, held_out, schedule, history,
              held_out_batch=held_out_batch)
    for callback in callbacks:
        callback.started(run)
    try:
        with Interrupt() as interrupt:
            while run.epoch < epochs and not run.interrupted:
                _epoch(run, callbacks, interrupt)
    finally:
        for callback in callbacks:
            callback.ended(run)
    return run


def _epoch(run: Run, callbacks: Sequence[Callback], interrupt: Interrupt) -> None:
    """The rest of the epoch the loader is in."""
    history = run.measured
    pending = _Pending(history)
    began = perf_counter()
    run.model.train()
    for x, y in run.loader:
        loss, right = step(run, x, y)
        pending.add(loss, right, math.prod(y.shape))
        if any(callback.wants_numbers(run) for callback in callbacks):
            pending.read()
        for callback in callbacks:
            callback.stepped(run)
        if interrupt.wanted:
            run.interrupted = True
            pending.read()
            return
    pending.read()
    _close_epoch(run, perf_counter() - began)
    for callback in callbacks:
        callback.epoch_ended(run)


def step(run: Run, x: Any, y: Any) -> tuple[Any, Any]:
    """One update; the loss and the number of right answers, not read yet."""
    run.optimizer.zero_grad()
    scores = run.model(x)
    loss = run.loss(scores, y)
    loss.backward()
    run.optimizer.step()
    if run.schedule is not None:
        run.schedule.step()
    with no_grad():
        right = (scores.argmax(1) == y).sum()
    return loss.detach(), right


def _close_epoch(run: Run, seconds: float) -> None:
    history = run.measured
    count = max(len(history.part_loss), 1)
    numbers = {"loss": sum(history.part_loss) / count, "accuracy": sum(history.part_right) / max(history.part_seen, 1),
               "seconds": seconds}
    if run.held_out is not None:
        numbers["held_out_loss"], numbers["held_out_accuracy"] = evaluate(
            run.model, run.loss, *run.held_out, batch=run.held_out_batch)
    for name, number in numbers.items():
        history.epochs[name].append(number)
    history.steps.extend(history.part_loss)
    history.part_loss, history.part_right, history.part_seen = [], [], 0


def evaluate(model: Any, loss: Callable[[Any, Any], Any], x: Any, y: Any,
             batch: int | None = None) -> tuple[float, float]:
    """Loss and accuracy on samples, in evaluation mode and without gradients, `batch` at a time (default: at once)."""
    training, count = model.training, len(y)
    size = max(count if batch is None else batch, 1)
    losses: list[Any] = []
    rights: list[Any] = []
    model.eval()
    try:
        with no_grad():
            for k in range(0, max(count, 1), size):
                scores, part = model(x[k:k + size]), y[k:k + size]
                losses.append(loss(scores, part) * len(part))
                rights.append((scores.argmax(1) == part).sum())
        total = sum([each.item() for each in losses])
        return total / max(count, 1), sum([each.item() for each in rights]) / max(math.prod(y.shape), 1)
    finally:
        model.train(training)

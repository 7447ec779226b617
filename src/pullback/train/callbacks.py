"""What may watch a run: progress, checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from pullback.io import save_checkpoint

if TYPE_CHECKING:
    from pullback.train.loop import Run

REFRESH = 0.2  # seconds between two looks at the numbers


class Callback:
    """Does nothing at every occasion; derive and override."""

    def started(self, run: Run) -> None:
        """Before the first step."""

    def wants_numbers(self, run: Run) -> bool:
        """Whether `stepped` will read the history, which waits for the device."""
        return False

    def stepped(self, run: Run) -> None:
        """After each step."""

    def epoch_ended(self, run: Run) -> None:
        """After each whole epoch."""

    def ended(self, run: Run) -> None:
        """At the end, whatever the reason."""


class Checkpoint(Callback):
    """Saves a file after each epoch, and when the run is interrupted. `notes` are texts for its metadata."""

    def __init__(self, path: Any, notes: dict[str, str] | None = None) -> None:
        self.path, self.notes = path, notes or {}

    def epoch_ended(self, run: Run) -> None:
        self.save(run)

    def ended(self, run: Run) -> None:
        if run.interrupted:
            self.save(run)

    def save(self, run: Run) -> None:
        """Write model, optimiser, loader, schedule, generator and history."""
        schedule = None if run.schedule is None else run.schedule.state_dict()
        save_checkpoint(self.path, model=run.model, optimizer=run.optimizer, loader=run.loader, epoch=run.epoch,
                        extra={"history": run.measured.state_dict(), "schedule": schedule}, metadata=self.notes)


class Lines(Callback):
    """One line an epoch: for files and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream

    def epoch_ended(self, run: Run) -> None:
        print(self.line(run), file=self.stream or sys.stdout, flush=True)

    def line(self, run: Run) -> str:
        """The newest epoch's numbers."""
        h = run.measured
        rate = len(run.loader) / max(h.last("seconds"), 1e-9)
        return (f"epoch {run.epoch:>3}/{run.epochs}  loss {h.last('loss'):.4f}  accuracy {h.last('accuracy'):7.2%}  "
                f"held out {h.last('held_out_accuracy'):7.2%}  {rate:,.0f} steps/s")


class Progress(Callback):
    """A bar with loss, accuracy, steps a second and time left: for terminals. The epochs' lines stay above it."""

    def __init__(self, make_console: Callable[[], Any] | None = None) -> None:
        self.make_console = make_console
        self.bar: Any = None
        self.task: Any = None
        self.looked = 0.0

    def started(self, run: Run) -> None:
        from rich.console import Console  # lazy: rich takes longer to load than this library
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = self.make_console() if self.make_console is not None else Console()
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=30),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("accuracy {task.fields[accuracy]:.2%}"),
            TextColumn("held out {task.fields[held_out]:.2%}"),
            TextColumn("{task.fields[rate]:,.0f} steps/s"),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=1 / REFRESH,
        )
        self.began, self.steps_before = perf_counter(), self._done(run)
        self.task = self.bar.add_task("", total=run.epochs * len(run.loader), completed=self.steps_before,
                                      **self._fields(run))
        self.bar.start()

    def wants_numbers(self, run: Run) -> bool:
        return perf_counter() - self.looked > REFRESH

    def stepped(self, run: Run) -> None:
        if self.wants_numbers(run):
            self.looked = perf_counter()
            self.bar.update(self.task, completed=self._done(run), **self._fields(run))

    def epoch_ended(self, run: Run) -> None:
        self.bar.update(self.task, completed=self._done(run), **self._fields(run))

    def ended(self, run: Run) -> None:
        if self.bar is not None:
            self.bar.stop()

    def _done(self, run: Run) -> int:
        return run.epoch * len(run.loader) + run.loader.position

    def _fields(self, run: Run) -> dict[str, Any]:
        h = run.measured
        part = h.part_loss[-50:]
        took = max(perf_counter() - self.began, 1e-9)
        return {"epoch": min(run.epoch + 1, run.epochs), "epochs": run.epochs,
                "loss": sum(part) / len(part) if part else h.last("loss"),
                "accuracy": sum(h.part_right) / h.part_seen if h.part_right and h.part_seen else h.last("accuracy"),
                "held_out": h.last("held_out_accuracy"), "rate": (self._done(run) - self.steps_before) / took}

"""The loop: what it measures, shows and calls."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import pullback as pb
from pullback.data import DataLoader, TensorDataset
from pullback.train import Callback, History, Lines, Progress, evaluate, fit
from pullback.util.errors import PullbackError


def problem(size: int = 64) -> tuple[Any, Any, Any]:
    """A model, an optimiser and a loader of points that a line separates."""
    pb.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((size, 2)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64)
    model = pb.nn.Linear(2, 2)
    loader = DataLoader(TensorDataset(x, y), 16, shuffle=True, generator=0)
    return model, pb.optim.SGD(model.parameters(), lr=0.5), loader


class Watcher(Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, run: Any) -> None:
        self.seen.append("start")

    def stepped(self, run: Any) -> None:
        self.seen.append("step")

    def epoch_ended(self, run: Any) -> None:
        self.seen.append("epoch")

    def ended(self, run: Any) -> None:
        self.seen.append("end")


def test_learns_and_calls_back() -> None:
    model, optimizer, loader = problem()
    x, y = (pb.tensor(a) for a in loader.dataset.arrays)
    watcher, stream = Watcher(), io.StringIO()
    run = fit(model, optimizer, pb.nn.CrossEntropyLoss(), loader, 10, (x, y), callbacks=[watcher, Lines(stream)])
    h = run.measured
    assert len(h) == 10 and len(h.steps) == 40 and h.last("held_out_accuracy") > 0.95 and h.steps[-1] < h.steps[0]
    assert watcher.seen == ["start", *(["step"] * 4 + ["epoch"]) * 10, "end"]
    assert len(stream.getvalue().splitlines()) == 10 and "held out" in stream.getvalue()
    loss, accuracy = evaluate(model, pb.nn.CrossEntropyLoss(), x, y)
    assert loss == pytest.approx(h.last("held_out_loss")) and accuracy == h.last("held_out_accuracy")
    assert h.best("accuracy") >= h.last("accuracy") and not run.interrupted


def test_schedule_is_stepped_each_step() -> None:
    model, optimizer, loader = problem()
    schedule = pb.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.5, total_iters=8)
    fit(model, optimizer, pb.nn.CrossEntropyLoss(), loader, 2, schedule=schedule)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


def test_the_bar_shows_what_is_measured() -> None:
    model, optimizer, loader = problem()
    stream = io.StringIO()
    bar = Progress(lambda: Console(file=stream, force_terminal=True, width=160))
    fit(model, optimizer, pb.nn.CrossEntropyLoss(), loader, 3, callbacks=[bar])
    shown = stream.getvalue()
    assert "epoch 3/3" in shown and "loss" in shown and "steps/s" in shown and "accuracy" in shown


def test_an_error_in_a_callback_ends_the_others_too() -> None:
    class Failing(Callback):
        def stepped(self, run: Any) -> None:
            raise ZeroDivisionError

    model, optimizer, loader = problem()
    watcher = Watcher()
    with pytest.raises(ZeroDivisionError):
        fit(model, optimizer, pb.nn.CrossEntropyLoss(), loader, 1, callbacks=[watcher, Failing()])
    assert watcher.seen[-1] == "end"


def test_history_round_trips() -> None:
    h = History(steps=[1.0, 2.0], part_loss=[3.0], part_right=[4], part_seen=5)
    h.epochs["loss"].append(0.5)
    other = History()
    other.load_state_dict(h.state_dict())
    assert other == h and np.isnan(History().last("loss"))


def test_a_negative_number_of_epochs() -> None:
    model, optimizer, loader = problem()
    with pytest.raises(PullbackError, match="help"):
        fit(model, optimizer, pb.nn.CrossEntropyLoss(), loader, -1)

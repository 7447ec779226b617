"""What the documents say of their framework, shown of the torch dialect: dynamic graphs that compile once, memory that
does not grow, recording that does not wait, one program of few kernels for a step."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn, optim

import pullback as pb
from pullback.engine import execute, programs
from pullback.runtime.memory import live_bytes

T: Any = torch


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs that were made since the test began."""
    found: list[Any] = []
    original = programs.Executable.__init__

    def noted(self: Any, *args: Any, **options: Any) -> None:
        found.append(self)
        original(self, *args, **options)

    monkeypatch.setattr(programs.Executable, "__init__", noted)
    return found


class DynamicNet(nn.Module):
    """A network that uses its middle layer 0 to 3 times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(40, 30), nn.Linear(30, 30), nn.Linear(30, 5)

    def forward(self, x: Any, depth: int) -> Any:
        h = self.first(x).clamp(min=0)
        for _ in range(depth):
            h = self.middle(h).clamp(min=0)
        return self.last(h)


def test_a_network_of_random_depth_is_compiled_once_for_each_depth(made: list[Any]) -> None:
    torch.manual_seed(0)
    model, criterion = DynamicNet(), nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    x, y = torch.randn(16, 40), torch.randn(16, 5)
    choose = random.Random(0)

    def step(depth: int) -> float:
        loss = criterion(model(x, depth), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    pb.synchronize()
    before = len(made)
    first = [step(depth) for depth in (0, 1, 2, 3)]
    assert len(made) <= before + 4, "one program for each depth"
    known = len(made)
    last = [step(choose.randint(0, 3)) for _ in range(60)]
    assert len(made) == known, "depths that were seen are not compiled again"
    assert max(last[-10:]) < max(first)


def line() -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    return torch.randn(64, 20), torch.randn(64, 1), torch.zeros(20, 1, requires_grad=True)


def watched(step: Callable[[], Any], count: int = 60) -> tuple[int, Counter[str]]:
    """Bytes and recorded objects that are there more after `count` steps than after ten."""
    def state() -> tuple[int, Counter[str]]:
        gc.collect()
        execute.synchronize()
        names = ("Value", "Trace", "Node", "State", "Tensor", "Buffer")
        return live_bytes(), Counter(type(x).__name__ for x in gc.get_objects() if type(x).__name__ in names)

    for _ in range(10):
        step()
    before = state()
    for _ in range(count):
        step()
    after = state()
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("rate_requires_gradient", [False, True])
@pytest.mark.parametrize("read", [False, True])
def test_no_leak_with_or_without_detach(rate_requires_gradient: bool, read: bool) -> None:
    """The document's loop, with a global learning rate that nothing was detached from."""
    x, y, w = line()
    rate = torch.tensor(0.01, requires_grad=rate_requires_gradient)

    def step() -> None:
        loss = (x.mm(w) - y).pow(2).mean()
        loss.backward()
        w.data -= (rate.detach() if rate_requires_gradient else rate) * w.grad.data
        w.grad.data.zero_()
        if read:
            loss.item()

    grown, objects = watched(step)
    assert grown <= 0 and not objects, objects


def test_no_leak_where_a_state_is_carried_on() -> None:
    """A recurrent state, detached at each step."""
    torch.manual_seed(0)
    w = torch.randn(20, 20, requires_grad=True)
    carried = {"h": torch.zeros(4, 20)}

    def step() -> None:
        h = (carried["h"].detach() @ w + 1).tanh()
        h.sum().backward()
        with torch.no_grad():
            w.sub_(0.001 * w.grad)
            w.grad.zero_()
        carried["h"] = h

    grown, objects = watched(step)
    assert grown <= 0 and not objects, objects


def test_recording_returns_before_the_work_is_done() -> None:
    """Ten products of 600 by 600: the loop that records them is over long before they are computed."""
    x = torch.randn(600, 600) / 25

    def record() -> tuple[float, Any]:
        start = time.perf_counter()
        h = x
        for _ in range(10):
            h = (h @ x).tanh()
        return time.perf_counter() - start, h.sum()

    record()[1].item()  # compiled
    times: list[tuple[float, float]] = []
    for _ in range(5):
        recorded, total = record()
        start = time.perf_counter()
        total.item()
        times.append((recorded, time.perf_counter() - start))
    recorded, waited = min(t[0] for t in times), min(t[1] for t in times)
    assert recorded < waited / 3, times


def kernels_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("k")]


def test_activation_and_loss_are_part_of_the_linear_layers(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    loss_of = nn.MSELoss()
    text = pb.show(lambda x, y: loss_of(model(x), y), "schedule")(torch.randn(64, 100), torch.randn(64, 10))
    capsys.readouterr()
    kernels = kernels_of(text)
    assert sum("matmul" in k for k in kernels) == 2 and len(kernels) <= 3, text


def test_forward_backward_and_update_are_one_program(capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    loss_of, optimizer = nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-2)
    x, y = torch.randn(64, 100), torch.randn(64, 10)

    def step() -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with pb.config.override(debug="launch"):  # which programs made from now on say of each run
        for _ in range(4):
            loss = step()
        loss.item()
        capfd.readouterr()
        for _ in range(5):
            loss = step()
        loss.item()
    launched = [line for line in capfd.readouterr().err.splitlines() if "launch:" in line]
    assert len(launched) == 5, launched
    assert all(int(line.split("launch: ")[1].split()[0]) <= 8 for line in launched), launched

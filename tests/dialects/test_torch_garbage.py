"""Nothing that holds memory waits for Python's collector of cycles: it would only see small objects, and come late."""

from __future__ import annotations

import copy
import gc
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pullback as pb
from pullback.dialects import torch
from pullback.runtime.memory import live_bytes

F = torch.nn.functional


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def network() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(128, 256), torch.nn.ReLU(), torch.nn.BatchNorm1d(256),
                               torch.nn.Dropout(0.1), torch.nn.Linear(256, 128))


class World:
    """What the calls work on."""

    def __init__(self) -> None:
        self.model, self.x = network(), torch.randn(64, 128)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.w = torch.randn(256, 256, requires_grad=True)
        self.lstm = torch.nn.LSTM(64, 64, batch_first=True)
        self.file = io.BytesIO()
        torch.save(self.model.state_dict(), self.file)

    def step(self) -> None:
        self.optimizer.zero_grad()
        F.mse_loss(self.model(self.x), self.x).backward()
        self.optimizer.step()

    def load_file(self) -> None:
        self.file.seek(0)
        torch.load(self.file)

    def refused(self) -> None:
        with pytest.raises(Exception, match="contracted dimensions"):
            self.w @ torch.ones(3, 3)


CALLS: dict[str, Callable[[World], Any]] = {
    "step": World.step,
    "load": lambda t: t.model.load_state_dict(t.model.state_dict()),
    "load into an optimiser": lambda t: t.optimizer.load_state_dict(t.optimizer.state_dict()),
    "load a file": World.load_file,
    "save a file": lambda t: torch.save(t.model.state_dict(), io.BytesIO()),
    "another network": lambda t: torch.optim.AdamW(network().parameters()),
    "deepcopy": lambda t: copy.deepcopy(t.model),
    "recurrent": lambda t: t.lstm(torch.randn(8, 10, 64))[0].sum().backward(),
    "second derivatives": lambda t: torch.autograd.grad(
        torch.autograd.grad((t.w**3).sum(), t.w, create_graph=True)[0].sum(), t.w),
    "multi_dot": lambda t: torch.linalg.multi_dot([t.w.detach()] * 3).sum().item(),
    "a mask": lambda t: t.w.detach()[t.w.detach() > 0].sum().item(),
    "a refusal": World.refused,
}


@pytest.mark.parametrize("name", CALLS)
def test_memory_is_free_without_the_collector(name: str, no_collector: None) -> None:
    world = World()

    def held() -> int:
        CALLS[name](world)
        pb.synchronize()
        return live_bytes()

    for _ in range(3):
        held()
    before = held()
    assert max(held() for _ in range(4)) - before <= 16 << 10

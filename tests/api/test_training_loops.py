"""Ways in which people write the same few steps: after the first turns of a loop no program is made any more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.dialects import torch

F, nn = torch.nn.functional, torch.nn
State = dict[Any, Any]
Update = Callable[[Any, int, State], None]


def _net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def _each(update: Callable[[Any, int], Any], grad: bool = True) -> Update:
    """An update of each parameter, under `no_grad` or not."""
    def run(model: Any, k: int, state: State) -> None:
        with torch.set_grad_enabled(grad):
            for p in model.parameters():
                update(p, k)
    return run


def _averaged(average: Callable[[Any, Any], Any]) -> Update:
    def run(model: Any, k: int, state: State) -> None:
        mean = state.setdefault("mean", None) or copy.deepcopy(model)
        state["mean"] = mean
        with torch.no_grad():
            for a, p in zip(mean.parameters(), model.parameters(), strict=True):
                average(a, p)
            for p in model.parameters():
                p -= 0.1 * p.grad
    return run


def _momentum(model: Any, k: int, state: State) -> None:
    with torch.no_grad():
        for name, p in model.named_parameters():
            v = state.setdefault(name, torch.zeros_like(p))
            v.mul_(0.9).add_(p.grad)
            p.sub_(0.1 * v)


def _metrics(model: Any, k: int, state: State) -> None:
    state["norm"] = sum(p.grad.norm().item() for p in model.parameters())
    state["seen"] = {name: v.clone() for name, v in model.state_dict().items()}
    _each(lambda p, k: p.data.add_(p.grad, alpha=-0.1))(model, k, state)


UPDATES: dict[str, Update] = {
    "data.add_": _each(lambda p, k: p.data.add_(p.grad.data, alpha=-0.1)),
    "data.sub_": _each(lambda p, k: p.data.sub_(p.grad * 0.1)),
    "data =": _each(lambda p, k: setattr(p, "data", p.data - 0.1 * p.grad)),
    "data.copy_": _each(lambda p, k: p.data.copy_(p.data - 0.1 * p.grad)),
    "data.mul_.add_": _each(lambda p, k: p.data.mul_(0.99).add_(p.grad, alpha=-0.1)),
    "data.lerp_": _each(lambda p, k: p.data.lerp_(p.grad, 0.01)),
    "data.addcmul_": _each(lambda p, k: p.data.addcmul_(p.grad, p.grad, value=-0.01)),
    "data.clamp_": _each(lambda p, k: p.data.add_(-0.1 * p.grad).clamp_(-1, 1)),
    "grad.data.clamp_": _each(lambda p, k: (p.grad.data.clamp_(-0.1, 0.1), p.data.add_(p.grad.data, alpha=-0.1))),
    "a rate that falls": _each(lambda p, k: p.add_(p.grad, alpha=-0.1 / (k + 1)), grad=False),
    "copy_": _each(lambda p, k: p.copy_(p - 0.1 * p.grad), grad=False),
    "noise": _each(lambda p, k: p.add_(torch.randn_like(p) * 0.01 - 0.1 * p.grad), grad=False),
    "grad.mul_": _each(lambda p, k: p.sub_(p.grad.mul_(0.5)), grad=False),
    "averaged, data": _averaged(lambda a, p: a.data.mul_(0.9).add_(p.data, alpha=0.1)),
    "averaged, copy_": _averaged(lambda a, p: a.copy_(a * 0.9 + p * 0.1)),
    "averaged, lerp_": _averaged(lambda a, p: a.lerp_(p, 0.1)),
    "momentum": _momentum, "metrics": _metrics,
}
CLEARED: dict[str, Callable[[Any], Any]] = {
    "grad.zero_": lambda p: p.grad.zero_(), "grad.data.zero_": lambda p: p.grad.data.zero_(),
    "detach_.zero_": lambda p: p.grad.detach_().zero_(), "fill_": lambda p: p.grad.fill_(0.0),
}


def _run(update: Update, clear: Callable[[Any], Any] | None, count: Callable[[], int]) -> list[float]:
    model, state = _net(), State()
    x = torch.tensor(np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32))
    y = torch.tensor(np.arange(20) % 3)
    losses: list[float] = []
    for k in range(9):
        before = count()
        loss = F.cross_entropy(model(x), y)
        for p in model.parameters():
            if clear is None:
                p.grad = None
            elif p.grad is not None:
                clear(p)
        loss.backward()
        update(model, k, state)
        losses.append(loss.item())
        assert k < 4 or count() == before, f"step {k} needed another program"
    return losses


@pytest.mark.parametrize("name", UPDATES)
def test_updates(name: str, count: Callable[[], int]) -> None:
    losses = _run(UPDATES[name], None, count)
    assert losses[-1] < losses[0] or name in ("noise", "data.lerp_")
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", CLEARED)
def test_gradients_that_are_cleared(name: str, count: Callable[[], int]) -> None:
    update = UPDATES["data.add_"]
    assert _run(update, CLEARED[name], count) == pytest.approx(_run(update, None, count), rel=1e-6)

"""Gradients through many programs: games whose moves are asked for one by one, of ever other lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.dialects import torch
from pullback.engine import programs
from pullback.ir.printer import to_text


def _game(weight: Any, states: Any, look: bool) -> Any:
    """The loss of a game; `look`: each move is asked for, which launches what was recorded."""
    moves = list[Any]()
    for state in states:
        move = torch.log_softmax(torch.tensor(state) @ weight, 0)
        if look:
            assert np.isfinite(move[0].item())
        moves.append(move[0] * (len(moves) + 1.0))
    return torch.stack(moves).sum()


@pytest.mark.parametrize("look", [False, True])
def test_a_game_of_any_length_has_the_same_gradient_and_no_new_programs_for_its_moves(look: bool,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    pb.synchronize()
    made = [0]  # logarithms and exponentials in new programs: a move's gradient has one
    before = programs.Executable.__init__

    def init(self: Any, function: Any, *args: Any, **kwargs: Any) -> None:
        made[0] += to_text(function).count("exp")
        before(self, function, *args, **kwargs)

    monkeypatch.setattr(programs.Executable, "__init__", init)
    g = np.random.default_rng(0)
    weight = torch.tensor(g.standard_normal((3, 4)).astype(np.float32), requires_grad=True)
    for length in (9, 5, 12, 7, 10):
        count = made[0]
        states = g.standard_normal((length, 3)).astype(np.float32)
        weight.grad = None
        _game(weight, states, look).backward()
        found = weight.grad.numpy().copy()
        assert length in (9, 5) or (made[0] > count) is not look
        p = np.exp(states @ weight.detach().numpy())
        p /= p.sum(1, keepdims=True)
        wanted = (np.eye(4, dtype=np.float32)[0] - p) * np.arange(1, length + 1, dtype=np.float32)[:, None]
        np.testing.assert_allclose(found, states.T @ wanted, rtol=2e-5, atol=2e-5)


def test_gradients_of_gradients_hooks_and_kept_graphs_through_many_programs() -> None:
    weight = torch.tensor([1.5, -0.5], requires_grad=True)
    total, seen = torch.zeros(()), list[float]()
    for k in range(8):
        term = (weight ** 3).sum() * (k + 1.0)
        seen.append(term.item())
        total = total + term
    handle = weight.register_hook(lambda grad: grad * 2)
    total.backward(retain_graph=True)
    np.testing.assert_allclose(weight.grad.numpy(), 2 * 36 * 3 * np.array([2.25, 0.25]), rtol=1e-6)
    handle.remove()
    weight.grad = None
    (first,) = torch.autograd.grad(total, weight, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), 36 * 3 * np.array([2.25, 0.25]), rtol=1e-6)
    first.sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), 36 * 6 * np.array([1.5, -0.5]), rtol=1e-6)
    with pytest.raises(RuntimeError, match="freed"):
        first.sum().backward()

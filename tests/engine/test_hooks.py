"""Hooks on tensors that are computed from others, and gradients with respect to them; the numbers are PyTorch's."""

from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb
from pullback.engine.autograd import gradients
from pullback.engine.inspect import liveness
from pullback.util.errors import GradientError


def _leaf() -> Any:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def test_a_hook_changes_what_goes_on_and_the_kept_gradient_is_the_last() -> None:
    x = _leaf()
    y, seen = x * 2, []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.register_hook(lambda g: g + 1)
    (y * y).sum().backward()
    assert (seen, y.grad.tolist(), x.grad.tolist()) == ([[4.0, 8.0]], [13.0, 25.0], [26.0, 50.0])


def test_a_hook_may_come_after_the_use_and_be_removed() -> None:
    x = _leaf()
    y = x * 2
    loss = (y * y * x).sum()
    handle, other = y.register_hook(lambda g: g * 2), y.register_hook(lambda g: g * 100)
    other.remove()
    loss.backward(retain_graph=True)
    assert x.grad.tolist() == [20.0, 80.0]
    handle.remove()
    x.grad = None
    loss.backward()
    assert x.grad.tolist() == [12.0, 48.0]


@pytest.mark.parametrize("read", [False, True])
def test_hooks_upon_hooks_over_several_programs(read: bool) -> None:
    x = _leaf()
    y = x * 2
    y.register_hook(lambda g: g * 5)
    if read:
        y.tolist()
    z = y * x
    z.register_hook(lambda g: g * float(g.sum()))  # launches half-way
    if read:
        z.tolist()
    loss = (z * z).sum()
    loss.register_hook(lambda g: g * 2)
    loss.backward()
    # z = 2 x^2, the gradient that arrives there 4 z, after its hook 4 z * sum(4 z); y * 1 and five times x * 2 go on
    arrived = 4 * 2 * np.array([1.0, 4.0])
    np.testing.assert_allclose(x.grad.tolist(), arrived * arrived.sum() * np.array([12.0, 24.0]), rtol=1e-6)


def test_a_leafs_hook_sees_the_whole_gradient_once() -> None:
    x, seen = _leaf(), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    y.register_hook(lambda g: g * 5)
    (y * x + x).sum().backward()
    assert seen == [[13.0, 25.0]] == [x.grad.tolist()]
    other = _leaf()
    other.register_hook(lambda g: g * 2)
    assert torch.autograd.grad((other * other).sum(), [other])[0].tolist() == [4.0, 8.0]


def test_gradients_of_a_leaf_and_of_what_is_computed_from_it() -> None:
    x = _leaf()
    y = x * 2
    loss = (y * y * x).sum()
    for wanted, expected in [([x, y], [[12.0, 48.0], [4.0, 16.0]]), ([y, x], [[4.0, 16.0], [12.0, 48.0]]),
                             ([y], [[4.0, 16.0]]), ([loss, y], [1.0, [4.0, 16.0]])]:
        assert [g.tolist() for g in torch.autograd.grad(loss, wanted, retain_graph=True)] == expected
    a = pb.tensor([3.0], requires_grad=True)
    b = a * a
    assert [g.tolist() for g in gradients([(b * a).sum()], [b, a])] == [[3.0], [27.0]]


def test_second_derivatives_through_a_hook() -> None:
    x = _leaf()
    y = x * x
    y.register_hook(lambda g: g * g)
    found, = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    found.sum().backward()
    assert (found.tolist(), x.grad.tolist()) == ([8.0, 256.0], [520.0, 65664.0])


def test_a_loop_with_hooks_keeps_nothing() -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    seen: list[dict[str, int]] = []
    for _ in range(12):
        h = layer(torch.ones(1, 2))
        h.register_hook(lambda g: g.clamp(-1, 1))
        h.retain_grad()
        loss = (h * h).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        assert float(h.grad.abs().max()) <= 1
        seen.append(liveness(torch.Tensor))
    assert seen[4:] == [seen[4]] * 8


def test_wrong_hooks() -> None:
    with pytest.raises(GradientError, match="only tensors that require gradients"):
        torch.ones(2).register_hook(print)
    y = _leaf() * 2
    y.sum().backward()
    y.tolist()
    with pytest.raises(GradientError, match="no gradient will pass here"):
        y.register_hook(print)
    for returned in (3.0, torch.ones(5)):
        y = _leaf() * 2
        y.register_hook(lambda g, returned=returned: returned)
        with pytest.raises(GradientError, match="same shape and dtype"):
            y.sum().backward()

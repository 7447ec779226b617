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


def test_complex_gradients_point_uphill() -> None:
    """The gradient that `backward` collects is the direction of steepest ascent: hooks see it, and steps along it raise
    the result; `grad` gives its conjugate, what transposition pairs without conjugating."""
    start = np.array([1 + 2j, 3 - 1j])
    f: Any = lambda z: ((z * z).real ** 2 + z.imag).sum()  # noqa: E731
    z = pb.tensor(start, dtype="complex128", requires_grad=True)
    seen: list[Any] = []
    z.register_hook(lambda g: seen.append(g.numpy()))
    f(z).backward()
    slope = z.grad.numpy()
    assert np.array_equal(seen[0], slope)
    assert np.array_equal(pb.grad(f)(pb.asarray(start)).numpy(), slope.conj())
    step = 1e-6
    for direction in (np.array([1, 0]), np.array([1j, 0]), np.array([0, 1]), np.array([0, 1j])):
        ahead, behind = (f(pb.asarray(start + s * step * direction)).item() for s in (1, -1))
        wanted = (slope.conj() * direction).real.sum()
        np.testing.assert_allclose((ahead - behind) / (2 * step), wanted, rtol=1e-7, atol=1e-7)
    f(z).backward()
    np.testing.assert_array_equal(z.grad.numpy(), 2 * slope)
    with pytest.raises(GradientError, match="of a real number"):
        z.sum().backward()


def test_a_function_of_the_users_sees_and_gives_such_gradients() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # type: ignore[override]
            (x,) = ctx.saved_tensors
            return g * 2 * x.conj()

    own, plain = (pb.torch.tensor([1 + 2j, 3 - 1j], requires_grad=True) for _ in range(2))
    (Square.apply(own).abs() ** 3).sum().backward()
    ((plain * plain).abs() ** 3).sum().backward()
    np.testing.assert_allclose(own.grad.numpy(), plain.grad.numpy(), rtol=1e-6)


def test_hooks_after_accumulation() -> None:
    torch: Any = pb.torch
    x, seen = torch.ones(2, requires_grad=True), []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    for _ in range(2):
        (x * 3 + x).sum().backward()
    assert seen == [[4, 4], [8, 8]]
    handle.remove()
    (x * 3).sum().backward()
    assert len(seen) == 2
    with pytest.raises(GradientError, match="only leaves"):
        torch.ones(2).register_post_accumulate_grad_hook(print)


def test_a_step_inside_a_hook() -> None:
    """The optimiser of each parameter steps as soon as its gradient is there, and lets the gradient go."""
    torch: Any = pb.torch
    torch.manual_seed(0)
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    nets = [torch.nn.Linear(3, 1) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    every = torch.optim.SGD(nets[0].parameters(), 0.1)
    own = {p: torch.optim.SGD([p], 0.1) for p in nets[1].parameters()}

    def step(p: Any) -> None:
        own[p].step()
        own[p].zero_grad()

    for p in own:
        p.register_post_accumulate_grad_hook(step)
    for _ in range(5):
        every.zero_grad()
        ((nets[0](x) - y) ** 2).mean().backward()
        every.step()
        ((nets[1](x) - y) ** 2).mean().backward()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        assert q.grad is None

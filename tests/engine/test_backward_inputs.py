"""`backward(inputs=)`: only the chosen tensors gather gradients."""

from typing import Any

import pullback.torch as torch
import pytest

import pullback as pb
from pullback.util.errors import GradientError


def _two() -> tuple[Any, Any]:
    return pb.tensor([1.0, 2.0], requires_grad=True), pb.tensor([3.0, 4.0], requires_grad=True)


def test_only_the_chosen_gather_gradients() -> None:
    x, y = _two()
    z = (x * y + x ** 2).sum()
    z.backward(retain_graph=True, inputs=[x])
    assert x.grad.tolist() == [5.0, 8.0] and y.grad is None
    z.backward(inputs=(x, y, x))
    assert x.grad.tolist() == [10.0, 16.0] and y.grad.tolist() == [1.0, 2.0]


def test_one_tensor_and_weights_for_several_results() -> None:
    x, y = _two()
    (x * y).backward(pb.tensor([1.0, 10.0]), inputs=y)
    assert x.grad is None and y.grad.tolist() == [1.0, 20.0]


def test_a_value_in_the_middle() -> None:
    x, _ = _two()
    y = x * 2
    (y ** 2).sum().backward(inputs=[y])
    assert y.grad.tolist() == [4.0, 8.0] and x.grad is None


def test_what_is_not_reached_is_left_alone() -> None:
    x, y = _two()
    (x * 2).sum().backward(inputs=[x, y])
    assert x.grad.tolist() == [2.0, 2.0] and y.grad is None


def test_a_gradient_that_is_differentiated() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x ** 3).sum().backward(create_graph=True, inputs=[x])
    assert torch.autograd.grad(x.grad.sum(), x)[0].tolist() == [6.0, 12.0]


def test_hooks_run_once() -> None:
    x, seen = torch.tensor([1.0, 2.0], requires_grad=True), list[Any]()
    x.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    torch.autograd.backward((x * 3).sum(), inputs=[x])
    assert x.grad.tolist() == [30.0, 30.0] and seen == [[30.0, 30.0]]


@pytest.mark.parametrize(("inputs", "said"), [([], "empty"), ([pb.ones(2)], "require gradients"),
                                              ([1.0], "require gradients"), (5, "require gradients")])
def test_wrong_inputs(inputs: Any, said: str) -> None:
    x, _ = _two()
    with pytest.raises(GradientError, match=said):
        (x * 2).sum().backward(inputs=inputs)

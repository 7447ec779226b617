"""Tensors that are made leaves within a custom function."""

from __future__ import annotations

from typing import Any

import pullback.torch
import pytest

from pullback.util.errors import GradientError

torch: Any = pullback.torch


class Apart(torch.autograd.Function):
    """Its arguments, cut off from what made them; gradients pass."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        found = tuple(t.detach() for t in given)
        for t in found:
            t.requires_grad_()
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class Inner(torch.autograd.Function):
    """A cube that differentiates itself."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.detach().requires_grad_()
        (y ** 3).sum().backward()
        return x ** 3

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


def test_results_that_were_made_leaves() -> None:
    x, w = torch.arange(3.0).requires_grad_(), torch.ones(3, requires_grad=True)
    a, b = Apart.apply(x * 2, w * 3)
    assert a.requires_grad and a.tolist() == [0, 2, 4] and b.tolist() == [3, 3, 3]
    (a * b * b).sum().backward()
    assert x.grad.tolist() == [18, 18, 18]  # of 2 x 9 w^2
    assert w.grad.tolist() == [0, 36, 72]  # of 2 x 9 w^2 by w


def test_of_a_view() -> None:
    x = torch.arange(4.0).requires_grad_()
    (a,) = Apart.apply(x.view(2, 2))
    a[0, 1].backward()
    assert x.grad.tolist() == [0, 1, 0, 0]


def test_leaves_within_say_what_to_do() -> None:
    x = torch.arange(3.0).requires_grad_()
    with pytest.raises(GradientError, match=r"(?s)is no leaf.*Inner.*differentiate inside with grad"):
        Inner.apply(x * 2)

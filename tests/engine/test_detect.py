"""`detect_nan` names the operator that first makes NaN, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback.jax
import pullback.torch as torch
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import NotANumberError


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    with pb.config.override(detect_nan=True):
        yield


def _backward() -> Any:
    x = pb.zeros(3)
    x.requires_grad = True
    (pb.sqrt(x) * 0).sum().backward()
    return x.grad.numpy()


def _step() -> Any:
    model = nn.Linear(3, 2)
    optimizer = pb.optim.SGD(model.parameters(), lr=1e30)
    for _ in range(5):
        optimizer.zero_grad()
        loss = (model(pb.ones((4, 3))) ** 2).mean()
        loss.backward()
        optimizer.step()
        loss.item()


def _loop() -> Any:
    return pb.scan(lambda c, x: (c - 1, pb.log(c)), pb.tensor(1.5), None, length=4)[1].numpy()


@pb.jit
def _root(x: Any) -> Any:
    return pb.sqrt(x - 5).mean()


@pb.jit
def _update(w: Any, x: Any) -> Any:
    loss, gradient = pb.value_and_grad(lambda w: pb.log(w * x).sum())(w)
    return w - gradient, loss


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "eager": (lambda: pb.log(pb.tensor([1.0, -1.0])).sum().item(),
              r"log is the first(.|\n)*from -1 to 1(.|\n)*1 of 2 are NaN"),
    "its line": (lambda: pb.log(pb.tensor([-1.0])).item(), r"recorded  log at .*test_detect.py:\d+"),
    "jit": (lambda: _root(pb.ones(3)).item(), "sqrt is the first"),
    "backward": (_backward, r"div is the first(.|\n)*recorded  backward at"),
    "a step": (_step, r"sub is the first(.|\n)*recorded  SGD at"),
    "a loop": (_loop, "log is the first"),
    "a loss": (lambda: nn.functional.cross_entropy(pb.tensor([[np.inf, 1.0]]), pb.tensor([0])).item(),
               "recorded  cross_entropy at"),
    "a jitted step": (lambda: _update(pb.zeros(1), pb.zeros(1))[0].numpy(), "infinity  first made by log"),
    "data": (lambda: (pb.tensor([np.nan]) + 1).numpy(), "with its arguments"),
    "vmap": (lambda: pb.vmap(pb.arccos)(pb.tensor([2.0, 0.0])).numpy(), "acos is the first"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_operator_is_named(name: str) -> None:
    call, text = CASES[name]
    with pytest.raises(NotANumberError, match=text):
        call()


def test_nothing_is_raised_without_nan() -> None:
    y = pb.where(pb.tensor([1.0, -1.0]) > 0, pb.log(pb.tensor([1.0, -1.0])), 0)
    assert np.isneginf(pb.log(pb.zeros(2)).numpy()).all()
    assert y.tolist() == [0.0, 0.0]  # only results are looked at: the NaN that `where` leaves out is none


def test_it_ends_with_its_block() -> None:
    with pb.config.override(detect_nan=False):
        assert np.isnan(pb.log(pb.tensor([-1.0])).item())
        assert np.isnan(_root(pb.ones(3)).item())


def test_in_the_words_of_others() -> None:
    with pb.config.override(detect_nan=False):
        x = torch.zeros(2, requires_grad=True)
        with pytest.raises(RuntimeError, match="div is the first"), torch.autograd.detect_anomaly():
            (x.sqrt() * 0).sum().backward()
            x.grad.tolist()
        with pytest.raises(RuntimeError, match="log is the first"), torch.autograd.set_detect_anomaly(True):
            torch.tensor([-1.0]).log().item()
        jax = pullback.jax
        jax.config.update("jax_debug_nans", True)
        with pytest.raises(FloatingPointError, match="log is the first"):
            float(jax.numpy.log(-1.0))
        jax.config.update("jax_debug_nans", False)
        assert np.isnan(float(jax.numpy.log(-1.0)))

"""What shares a value with a tensor keeps it when a jitted function changes the tensor in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.jax.numpy as jnp
import pullback.jittor as jt
import pullback.torch as torch
import pytest

import pullback as pb

COPIES: dict[str, Callable[[Any], Any]] = {
    "clone": lambda p: p.clone(), "tensor": pb.tensor, "Parameter": pb.nn.Parameter, "jt.array": jt.array,
    "jt.Var": jt.Var, "jnp.array": jnp.array, "jnp.asarray": jnp.asarray, "torch.tensor": torch.tensor,
    "pending": lambda p: p * 1.0,
}


def counting(size: int) -> tuple[Any, Callable[[], Any]]:
    """A tensor of ones, and a jitted function that takes one off at each call; called twice."""
    p = pb.tensor(np.ones(size, np.float32))

    @pb.jit
    def step() -> Any:
        nonlocal p
        p -= 1.0
        return p.sum()

    step()
    step()
    return p, step


@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_keeps_its_value(name: str, size: int) -> None:
    p, step = counting(size)
    copy = COPIES[name](p)
    step()
    step()
    assert np.asarray(copy.numpy())[0] == -1.0
    assert p.numpy()[0] == -3.0


def test_nothing_is_copied_where_nobody_shares() -> None:
    p, step = counting(100)
    places: set[int] = set()
    for _ in range(5):
        step()
        places.add(p._peek().buffer.address)
    assert len(places) == 1


def test_an_argument_that_is_also_changed_inside() -> None:
    p = pb.tensor(np.ones(100, np.float32))

    @pb.jit
    def step(x: Any) -> Any:
        nonlocal p
        p -= x
        return (x + p).sum()

    for _ in range(4):
        before = p.numpy()
        total = step(p)
        assert total.item() == before.sum() and not p.numpy().any()
        p += 1.0

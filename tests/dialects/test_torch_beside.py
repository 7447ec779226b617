"""Answers of PyTorch 2.13 where arrays have an edge: NaN, 16 bits, mixed dtypes, values written in place."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest

from pullback.util.errors import PullbackError

T: Any = torch


def test_fill_copies_a_tensor_with_one_number_everywhere() -> None:
    x = T.tensor([1.0, 2.0], requires_grad=True)
    value = T.tensor(3.0, requires_grad=True)
    y = T.fill(x, value)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist(), value.grad.item()) == ([3, 3], [0, 0], 2)
    assert x.tolist() == [1, 2]
    assert T.fill(T.tensor([1, 2]), 3.5).tolist() == [3, 3]
    assert T.fill(input=T.tensor([True, False]), value=2).tolist() == [True, True]
    with pytest.raises(PullbackError, match="one number"):
        T.fill(T.tensor([1.0]), T.tensor([3.5]))

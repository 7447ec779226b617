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


#: dtypes of two gradients, their norms of order 2, 1 and inf in PyTorch, and its dtype
_NORMS = [("bfloat16", "bfloat16", (10.0, 21.0, 7.40625), "bfloat16"),
          ("float16", "float16", (9.9921875, 21.0, 7.3984375), "float16"),
          ("float16", "bfloat16", (9.9924, 21.0, 7.40625), "float32"),
          ("bfloat16", "float32", (9.9945, 21.0, 7.4), "float32"),
          ("float32", "float16", (9.9929, 21.0, 7.3984375), "float32"),
          ("bfloat16", "float64", (9.9945, 21.0, 7.4), "float64")]


@pytest.mark.parametrize(("first", "second", "norms", "dtype"), _NORMS)
@pytest.mark.parametrize("foreach", [None, True, False])
def test_the_norm_of_gradients_has_their_dtype(first: str, second: str, norms: Any, dtype: str, foreach: Any) -> None:
    for order, norm in zip((2.0, 1.0, float("inf")), norms, strict=True):
        parameters = [torch.nn.Parameter(T.zeros(3, dtype=getattr(T, kind))) for kind in (first, second)]
        for scale, p in enumerate(parameters, 1):
            p.grad = T.tensor([1.0, 2.3, 3.7], dtype=p.dtype) * scale
        grads = [p.grad for p in parameters]
        total = torch.nn.utils.get_total_norm(grads, order, foreach=foreach)
        found = torch.nn.utils.clip_grad_norm_(parameters, 1.0, order, foreach=foreach)
        assert found.dtype == total.dtype == getattr(T, dtype)
        assert [found.item(), total.item()] == pytest.approx([norm] * 2, rel=1e-3)  # PyTorch rounds each norm
        assert [p.grad.dtype for p in parameters] == [p.dtype for p in parameters]

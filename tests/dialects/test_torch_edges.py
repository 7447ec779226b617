"""Values and gradients of PyTorch 2.13 at the edges of numbers: NaN, infinities, ties, the largest and the least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pullback.torch as torch
import pullback.torch.nn.functional as F
import pytest

T: Any = torch
_F: Any = F
nan, inf = float("nan"), float("inf")


def answers(f: Callable[..., Any], *arrays: Any) -> tuple[Any, list[Any]]:
    """The values of f, and its gradients where those of its values are 1, 2, 3, ..."""
    inputs = [T.tensor(x, requires_grad=True) for x in arrays]
    y = f(*inputs)
    weights = T.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)
    grads = T.autograd.grad(y, inputs, weights, allow_unused=True)
    return y.detach().numpy(), [None if g is None else g.numpy() for g in grads]


def same(f: Callable[..., Any], arrays: Sequence[Any], values: Any, grads: Sequence[Any], rtol: float = 1e-6) -> None:
    found, slopes = answers(f, *arrays)
    np.testing.assert_allclose(found, np.asarray(values, found.dtype), rtol=rtol)
    for slope, wanted in zip(slopes, grads, strict=True):
        np.testing.assert_allclose(slope, np.asarray(wanted, np.float32), rtol=rtol)


_LEFT, _RIGHT = [nan, nan, 1.0, 2.0, 3.0, 5.0], [nan, 1.0, nan, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(("f", "values", "left", "right"), [
    (T.maximum, [nan, nan, nan, 2, 4, 5], [1, 2, 3, 2, 0, 6], [1, 2, 3, 2, 5, 0]),
    (T.minimum, [nan, nan, nan, 2, 3, 4], [1, 2, 3, 2, 5, 0], [1, 2, 3, 2, 0, 6]),
    (T.fmax, [nan, 1, 1, 2, 4, 5], [1, 0, 3, 4, 0, 6], [0, 2, 0, 0, 5, 0]),
    (T.fmin, [nan, 1, 1, 2, 3, 4], [1, 0, 3, 4, 5, 0], [0, 2, 0, 0, 0, 6]),
])
def test_extremes_of_two_beside_nan_and_of_equal_numbers(f: Any, values: Any, left: Any, right: Any) -> None:
    same(f, (_LEFT, _RIGHT), values, (left, right))

"""Extremes and medians with their positions, against NumPy; their gradients against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.api.sorting import lower_median, max_with_indices, min_with_indices

RANDOM = np.random.RandomState(0)
SHAPES = [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), -2), ((1, 7), 1)]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_extremes(shape: tuple[int, ...], axis: int, keepdims: bool) -> None:
    array = RANDOM.randint(0, 5, shape).astype("f")  # ties: the first one counts
    for function, value, place in ((max_with_indices, np.max, np.argmax), (min_with_indices, np.min, np.argmin)):
        values, indices = function(pb.tensor(array), axis, keepdims)
        np.testing.assert_array_equal(values.numpy(), value(array, axis, keepdims=keepdims))
        np.testing.assert_array_equal(indices.numpy(), place(array, axis, keepdims=keepdims))


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_lower_median(shape: tuple[int, ...], axis: int) -> None:
    array = RANDOM.randn(*shape).astype("f")
    values, indices = lower_median(pb.tensor(array), axis)
    middle = (shape[axis] - 1) // 2
    np.testing.assert_array_equal(values.numpy(), np.sort(array, axis).take(middle, axis))
    np.testing.assert_array_equal(indices.numpy(), np.argsort(array, axis, kind="stable").take(middle, axis))
    assert lower_median(pb.tensor(array)).item() == np.sort(array, None)[(array.size - 1) // 2]


@pytest.mark.parametrize("function", [lambda x: max_with_indices(x, 1)[0], lambda x: min_with_indices(x, 0)[0],
                                      lambda x: lower_median(x, 1)[0], lower_median])
def test_gradients(function: Any) -> None:
    array = RANDOM.randn(4, 6)
    weights = RANDOM.randn(*np.shape(function(pb.tensor(array)).numpy()))
    mine = pb.grad(lambda x: (function(x) * pb.tensor(weights)).sum())(pb.tensor(array)).numpy()
    wanted = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        step = np.zeros_like(array)
        step[index] = 1e-6
        ahead, behind = (np.sum(function(pb.tensor(array + s)).numpy() * weights) for s in (step, -step))
        wanted[index] = (ahead - behind) / 2e-6
    np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_gradient_of_ties_goes_to_the_first() -> None:
    gradient = pb.grad(lambda x: max_with_indices(x, 0)[0])(pb.tensor([1.0, 3.0, 3.0]))
    assert gradient.tolist() == [0.0, 1.0, 0.0]


def test_numbers() -> None:
    value, index = max_with_indices(pb.tensor(3.0), 0)
    assert (value.item(), index.item(), value.shape) == (3.0, 0, ())
    with pytest.raises(IndexError, match="out of range"):
        max_with_indices(pb.tensor(3.0), 1)
    with pytest.raises(IndexError, match="out of range"):
        max_with_indices(pb.zeros((2, 2)), 2)

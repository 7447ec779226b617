"""Where a part of an array begins is no part of a program: loops over batches, rows and places need one each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.dialects import torch

F = torch.nn.functional


def test_training_on_slices_of_a_data_set_needs_one_program(count: Callable[[], int]) -> None:
    x, y = torch.randn(321, 17), torch.randint(0, 5, (321,))
    model = torch.nn.Linear(17, 5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses: list[float] = []
    for k in range(20):
        before = count()
        loss = F.cross_entropy(model(x[16 * k:16 * k + 16]), y[16 * k:16 * k + 16])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert k < 2 or count() == before
    assert all(np.isfinite(losses))


@pytest.mark.parametrize("read", [lambda x, k: x[k].sum(), lambda x, k: x[k, 3] * 2, lambda x, k: x[k:k + 4] @ x[0],
                                  lambda x, k: x[k][1:5].max(), lambda x, k: x[-k - 1].norm()])
def test_rows_and_elements_in_a_loop(read: Callable[[Any, int], Any], count: Callable[[], int]) -> None:
    x = torch.randn(40, 33)
    for k in range(30):
        before = count()
        found = read(x, k).numpy()
        assert k < 2 or count() == before
        np.testing.assert_allclose(found, read(torch.tensor(x.numpy().copy()), k).numpy(), rtol=1e-6)


@pytest.mark.parametrize("write", [lambda x, k, v: x.__setitem__(k, v), lambda x, k, v: x.__setitem__((k, 2), 7.0),
                                   lambda x, k, v: x.__setitem__(slice(k, k + 3), v)])
def test_an_array_that_is_filled_in_a_loop(write: Callable[[Any, int, Any], None], count: Callable[[], int]) -> None:
    mine, other = torch.zeros(64, 5), np.zeros((64, 5), np.float32)
    for k in range(40):
        value = np.full(5, k, np.float32)
        before = count()
        write(mine, k, torch.tensor(value))
        pb.synchronize()
        write(other, k, value)
        assert k < 3 or count() == before
    np.testing.assert_array_equal(mine.numpy(), other)


def test_the_steps_of_a_sequence_are_parts_of_one_program(count: Callable[[], int]) -> None:
    x, w = torch.randn(12, 4, 8), torch.randn(8, 8, requires_grad=True)

    def step() -> float:
        h = torch.zeros(4, 8)
        for k in range(12):
            h = torch.tanh(x[k] + h @ w)
        w.grad = None
        (loss := h.sum()).backward()
        return loss.item()

    first, before = step(), count()
    assert step() == first and count() == before
    with pb.profile() as profile:
        step()
    assert len(profile.launches) == 1


def test_random_places_of_a_text_need_two_programs(count: Callable[[], int]) -> None:
    text = torch.tensor(np.arange(1000))
    g = np.random.default_rng(1)
    for k in range(8):
        before, places = count(), [int(i) for i in g.integers(0, 900, 5)]
        batch = torch.stack([text[i:i + 16] for i in places])
        assert batch.sum().item() == sum(16 * i + 120 for i in places)
        assert k < 2 or count() == before


def _some_index(g: np.random.Generator, shape: tuple[int, ...]) -> Any:
    index: list[Any] = []
    for n in shape[:g.integers(1, len(shape) + 1)]:
        start = int(g.integers(0, n))
        index.append([int(g.integers(-n, n)), slice(start, int(g.integers(start, n + 1))), slice(None),
                      slice(None, None, int(g.integers(1, 3)))][g.integers(4)])
    if g.random() < 0.2:
        index.insert(int(g.integers(len(index) + 1)), None)
    if g.random() < 0.2:
        index.append(...)
    return tuple(index) if len(index) > 1 or g.random() < 0.5 else index[0]


def test_any_basic_index_reads_and_writes_what_numpy_does() -> None:
    g = np.random.default_rng(0)
    for _ in range(150):
        shape = tuple(int(n) for n in g.integers(1, 6, g.integers(1, 5)))
        array = g.standard_normal(shape).astype(np.float32)
        tensor, index = torch.tensor(array.copy()), _some_index(g, shape)
        view = tensor[index]
        np.testing.assert_array_equal(view.numpy(), array[index])
        value = g.standard_normal(array[index].shape).astype(np.float32)
        array[index] = value
        tensor[index] = torch.tensor(value)
        np.testing.assert_array_equal(tensor.numpy(), array)
        np.testing.assert_array_equal(view.numpy(), array[index])


def test_a_part_follows_its_base_and_writes_through() -> None:
    x = torch.arange(12.0).reshape(4, 3)
    row = x[1]
    assert row.tolist() == [3, 4, 5]
    x.mul_(2)
    assert row.tolist() == [6, 8, 10]
    row[0] = -1
    assert x[1].tolist() == [-1, 8, 10]
    x[1:3].zero_()
    assert x.sum().item() == 0 + 2 + 4 + 18 + 20 + 22
    w = torch.ones(4, 3, requires_grad=True)
    (w[2] * x[3]).sum().backward()
    assert w.grad[2].tolist() == [18, 20, 22] and w.grad.sum().item() == 60

"""Indexing against NumPy: reading, assigning, in place, views that write through, `.at`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.api.support import same, sample

import pullback as pb

BASIC: list[Any] = [
    0, -1, slice(None), slice(1, 3), slice(None, None, -1), slice(3, 0, -2), slice(2, 2), Ellipsis, None, (0, 1),
    (slice(None), 2), (Ellipsis, 0), (slice(None, None, 2), slice(1, None, 2)), (None, 1, None), (1, Ellipsis, None),
    (slice(-3, -1), -2), (0, 1, 2), (), (slice(None), slice(None), slice(None, None, -2)), (slice(10, 20),),
    (np.int64(1), slice(0, 100)), (slice(None), None, 1),
]
ADVANCED: list[Any] = [
    [0, 2], [-1, 0, 0], [], ([0, 1], [1, 2]), (slice(None), [0, 2]), ([0, 1], slice(None), [3, 0]),
    (slice(None), [1, 0], [0, 3]), np.asarray([[0, 1], [2, 3]]), (np.asarray([[0], [1]]), np.asarray([0, 2])),
    (0, [1, 2]), ([1, 2], 0), (0, slice(None), [1, 2]), (slice(None), 1, [0, 1]), (None, [0, 1]),
    ([0, 1], None, [0, 1]), (Ellipsis, [0, 3, 3]), (slice(1, 3), [2, 0], slice(None, None, 2)),
    (np.asarray([True, False, True, False]),), (slice(None), np.asarray([True, False, True])),
    (np.asarray([0, 1]), slice(1, None)), (slice(None), np.asarray([], np.int64)), (np.asarray(2),),
    (slice(None, None, -1), [0, 1], [1, 1]),
]
SHAPE = (4, 3, 5)


def _array(dtype: str = "float64") -> Any:
    return np.arange(60).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_read(index: Any) -> None:
    x = _array()
    same(pb.tensor(x)[index], x[index])


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
@pytest.mark.parametrize("kind", ["number", "array", "row"])
def test_assign(index: Any, kind: str) -> None:
    x = _array()
    y = pb.tensor(x)
    region = x[index]
    value: Any = 7.5 if kind == "number" else sample(region.shape, "float64", seed=3)
    if kind == "row" and region.ndim:
        value = value[0] if region.shape[0] else 1.0
    # NumPy leaves the result of repeated indices to chance unless it is the last one, which both take.
    x[index] = value
    y[index] = pb.tensor(value) if kind == "array" else value
    same(y, x)


@pytest.mark.parametrize("index", BASIC, ids=str)
def test_in_place(index: Any) -> None:
    x = _array()
    y = pb.tensor(x)
    x[index] += 2
    y[index] += 2
    same(y, x)
    x[index] *= 0.5
    y[index] *= 0.5
    same(y, x)


def test_in_place_advanced() -> None:
    x = _array()
    y = pb.tensor(x)
    x[[0, 2]] += 1
    y[[0, 2]] += 1
    x[x > 30] -= 100
    y[y > 30] -= 100
    same(y, x)


def test_random_indices() -> None:
    rng = np.random.default_rng(5)
    for _ in range(120):
        shape = tuple(rng.integers(1, 5, rng.integers(1, 5)))
        x = rng.normal(size=shape)
        index = _random_index(rng, shape)
        expected = x[index]
        same(pb.tensor(x)[index], expected)
        y = pb.tensor(x)
        value = rng.normal(size=expected.shape)
        x[index] = value
        y[index] = value
        if not _repeats(index):
            same(y, x)


def _random_index(rng: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    items: list[Any] = []
    common = tuple(rng.integers(1, 4, rng.integers(1, 3)))
    for n in shape[:rng.integers(1, len(shape) + 1)]:
        kind = rng.integers(0, 6)
        if kind == 0:
            items.append(int(rng.integers(-n, n)))
        elif kind in (1, 2):
            step = int(rng.choice([-2, -1, 1, 2, 3]))
            items.append(slice(*(None if rng.random() < 0.3 else int(rng.integers(-n - 1, n + 2)) for _ in range(2)),
                               step))
        elif kind == 3:
            items.append(rng.integers(-n, n, common))
        elif kind == 4:
            items.append(None)
            items.append(slice(None))
        else:
            items.append(slice(None))
    if rng.random() < 0.2:
        items.append(Ellipsis)
    return tuple(items)


def _repeats(index: tuple[Any, ...]) -> bool:
    return any(isinstance(i, np.ndarray) for i in index)


def test_tensor_indices() -> None:
    x = _array()
    y = pb.tensor(x)
    i = np.asarray([2, -1, 0])
    same(y[pb.tensor(i)], x[i])
    same(y[:, pb.tensor([0, 2])], x[:, [0, 2]])
    same(y[pb.tensor([0, -1]), pb.tensor([1, 2])], x[[0, -1], [1, 2]])
    same(y[y > 10], x[x > 10])
    same(y[(y > 10) & (y < 20)], x[(x > 10) & (x < 20)])
    same(y[pb.tensor(2)], x[2])
    y[pb.tensor([1, 3])] = 0
    x[[1, 3]] = 0
    same(y, x)
    y[pb.tensor(i), :, pb.tensor([0, 1, 2])] = 5.0
    x[i, :, [0, 1, 2]] = 5.0
    same(y, x)


def test_masks() -> None:
    x = sample((4, 5), "float64")
    y = pb.tensor(x)
    x[x < 0] = 0
    y[y < 0] = 0
    same(y, x)
    rows = np.asarray([True, False, True, True])
    x[rows] = np.arange(5)
    y[pb.tensor(rows)] = pb.arange(5)
    same(y, x)
    x[rows] = np.arange(15).reshape(3, 5)
    y[rows] = np.arange(15).reshape(3, 5)
    same(y, x)
    same(y[True], x[True])
    same(y[False], x[False])
    same(y[pb.tensor(rows), 1], x[rows, 1])


def test_views_write_through() -> None:
    x = pb.zeros(3, 4)
    x[:, 0].fill_(1)
    x[1:3] += 1
    y = x.T
    y[0] = 5
    same(x, [[5, 0, 0, 0], [5, 1, 1, 1], [5, 1, 1, 1]])
    y[1, 0] = 9
    x.reshape(2, 6)[1, 0] = -1
    x.flatten()[11] = -2
    x.diagonal().mul_(10)
    x.permute(1, 0)[3, 0] = 3
    x.view(-1)[2:4].add_(0.5)
    expected = np.asarray([[50, 9, 0.5, 3.5], [5, 10, -1, 1], [5, 1, 10, -2]])
    same(x, expected)
    same(y, expected.T)
    x.unsqueeze(0)[0, 0].zero_()
    x.squeeze()[1] = 4
    same(x[:2], [[0, 0, 0, 0], [4, 4, 4, 4]])


def test_views_of_views() -> None:
    x = np.zeros((4, 6))
    y = pb.tensor(x)
    a, b = x[1:], y[1:]
    c, d = a[:, ::2], b[:, ::2]
    e, f = c.T, d.T
    e[1, 1:] = 3
    f[1, 1:] = 3
    c += 1
    d += 1
    same(y, x)
    same(f, e)
    x[2] = -1
    y[2] = -1
    same(d, c)
    same(f, e)


def test_a_copy_does_not_write_through() -> None:
    x = pb.zeros(3)
    for copy in (x.clone(), x + 0, x[[0, 1, 2]], x.expand(2, 3), x.flip(0), pb.tensor(x)):
        copy[...] = 1
    same(x, [0, 0, 0])


def test_values_taken_before_a_write_keep() -> None:
    x = pb.ones(3)
    y = x * 2
    x[0] = 10
    same(y, [2, 2, 2])
    z = x.clone()
    x.zero_()
    same(z, [10, 1, 1])


def test_gradients_through_views() -> None:
    x = pb.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    (x[:, 1] * 2 + x.T[1]).sum().backward()
    same(x.grad, [[0, 3, 0], [0, 3, 0]])
    x.grad = None
    y = x * 1
    y[0] = y[1] * 2
    y.sum().backward()
    same(x.grad, [[0, 0, 0], [3, 3, 3]])
    x.grad = None
    x[[0, 0, 1], [1, 1, 2]].sum().backward()
    same(x.grad, [[0, 2, 0], [0, 0, 1]])
    x.grad = None
    x[x > 2].sum().backward()
    same(x.grad, [[0, 0, 0], [1, 1, 1]])


def test_a_view_read_without_gradients_has_them_later() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    view = (x * 3)[:1]
    with pb.no_grad():
        assert view.item() == 3
        inside = (x * 3)[:1]
    assert not inside.requires_grad
    view.sum().backward()
    same(x.grad, [3, 0])


def test_data_is_written_without_history() -> None:
    w = pb.tensor([1.0, 2.0], requires_grad=True)
    (w ** 2).sum().backward()
    w.data -= 0.5 * w.grad.data
    w.grad.data.zero_()
    same(w, [0, 0])
    same(w.grad, [0, 0])
    assert w.requires_grad and w.is_leaf


def test_at() -> None:
    x = np.arange(6.0)
    y = pb.tensor(x)
    same(y.at[1:3].set(9), [0, 9, 9, 3, 4, 5])
    same(y.at[[1, 1, 2]].add(1), [0, 3, 3, 3, 4, 5])
    same(y.at[2].multiply(10), [0, 1, 20, 3, 4, 5])
    same(y.at[[2, 3]].divide(2), [0, 1, 1, 1.5, 4, 5])
    same(y.at[2:].power(2), [0, 1, 4, 9, 16, 25])
    same(y.at[[0, 5]].max(3), [3, 1, 2, 3, 4, 5])
    same(y.at[[0, 5]].min(3), [0, 1, 2, 3, 4, 3])
    same(y.at[1:4].apply(lambda v: -v), [0, -1, -2, -3, 4, 5])
    same(y.at[[1, 9]].get(mode="clip"), [1, 5])
    same(y.at[[1, 9]].get(mode="fill", fill_value=-1.0), [1, -1])
    same(y.at[y > 3].set(0), [0, 1, 2, 3, 0, 0])
    same(y.at[1].get(), 1)
    same(y, x)


def test_functions() -> None:
    x = sample((4, 3), "float64")
    y = pb.tensor(x)
    same(pb.take(y, [3, 0], axis=0), np.take(x, [3, 0], axis=0))
    same(pb.take(y, pb.tensor([2, 1]), axis=1), np.take(x, [2, 1], axis=1))
    same(pb.take(y, [5, -1]), np.take(x, [5, -1]))
    same(pb.take(y, [9, -9], axis=0, mode="clip"), x[[3, 0]])
    i = np.argsort(x, 0)
    same(pb.take_along_axis(y, i, axis=0), np.take_along_axis(x, i, 0))
    same(y.gather(0, pb.tensor(i)) if hasattr(y, "gather") else pb.gather(y, 0, pb.tensor(i)),
         np.take_along_axis(x, i, 0))
    same(pb.index_select(y, 1, [0, 2]), x[:, [0, 2]])
    same(pb.scatter(y, 1, pb.tensor([[0], [1], [2], [0]]), 9.0)[1, 1], 9)
    same(pb.scatter_add(pb.zeros(3), 0, pb.tensor([0, 0, 2]), pb.ones(3)), [2, 0, 1])
    same(pb.index_add(pb.zeros(3, 2), 0, [0, 0], pb.ones(2, 2)), [[2, 2], [0, 0], [0, 0]])
    same(pb.masked_fill(y, y > 0, -1), np.where(x > 0, -1, x))
    same(pb.masked_select(y, y > 0), x[x > 0])
    for found, expected in zip(pb.nonzero(y > 0), np.nonzero(x > 0), strict=True):
        same(found, expected)
    same(pb.argwhere(y > 0), np.argwhere(x > 0))
    same(pb.one_hot(pb.tensor([1, 0, 2]), 4), np.eye(4)[[1, 0, 2]])
    line = np.sort(x.ravel())
    for side in ("left", "right"):
        same(pb.searchsorted(pb.tensor(line), y, side=side), np.searchsorted(line, x, side=side))
    same(pb.isin(pb.tensor([1, 2, 3]), pb.tensor([2, 5])), [False, True, False])
    same(pb.bincount(pb.tensor([0, 1, 1, 3])), [1, 2, 0, 1])
    same(pb.index_put(pb.zeros(3), ([0, 0],), pb.ones(2), accumulate=True), [2, 0, 0])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 0), (0, 4)])
def test_a_mask_may_have_dimensions_of_no_size(shape: tuple[int, ...]) -> None:
    x, mask = np.ones((3, 4), np.float32), np.zeros(shape, bool)
    assert pb.tensor(x)[pb.tensor(mask)].shape == x[mask].shape


@pytest.mark.parametrize("dtype", ["float32", "int32", "float64", "uint8"])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 1000])
def test_sorted_arrays(dtype, count):
    rng = np.random.default_rng(count)
    ordered = np.sort((rng.normal(size=count) * 20).astype(dtype))
    values = (rng.normal(size=(5, 200)) * 25).astype(dtype)
    if dtype[0] == "f" and count > 3:
        ordered[-2:] = values[0, :9] = np.nan
        values[1, :2] = np.inf, -np.inf
    for side in ("left", "right"):
        found = pb.searchsorted(pb.tensor(ordered), pb.tensor(values), side=side)
        np.testing.assert_array_equal(found.numpy(), np.searchsorted(ordered, values, side))
    np.testing.assert_array_equal(pb.isin(pb.tensor(values), pb.tensor(ordered)).numpy(), np.isin(values, ordered))
    np.testing.assert_array_equal(pb.unique(pb.tensor(values)).numpy(), np.unique(values))
    np.testing.assert_array_equal(pb.unique_values(pb.tensor(values)).numpy(), np.unique(values, equal_nan=False))
    np.testing.assert_array_equal(pb.unique(pb.tensor(values), axis=0).numpy(), np.unique(values, axis=0))


def test_each_line_of_values_in_a_sorted_line_of_its_own():
    rng = np.random.default_rng(0)
    ordered, values = np.sort(rng.normal(size=(3, 4, 50)), -1), rng.normal(size=(3, 4, 7))
    found = pb.searchsorted(pb.tensor(ordered), pb.tensor(values)).numpy()
    for at in np.ndindex(3, 4):
        np.testing.assert_array_equal(found[at], np.searchsorted(ordered[at], values[at]))

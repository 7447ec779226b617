"""Windows, folds and running combinations against NumPy loops and finite differences."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import PullbackError

RNG = np.random.default_rng(0)
PAIRS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
CASES = [
    ((6,), (3,), (1,), [(0, 0)], (1,), (1,)),
    ((7,), (2,), (2,), [(1, 2)], (1,), (2,)),
    ((4, 5), (2, 3), (2, 1), [(1, 0), (1, 1)], (1, 1), (1, 1)),
    ((3, 4), (2, 2), (1, 2), [(0, 1), (1, 0)], (2, 1), (1, 2)),
]


def by_hand(x: Any, initial: float, pair: Any, window: Any, strides: Any, padding: Any, base: Any, spread: Any) -> Any:
    wide = np.full([(n - 1) * b + 1 for n, b in zip(x.shape, base, strict=True)], initial)
    wide[tuple(slice(None, None, b) for b in base)] = x
    wide = np.pad(wide, padding, constant_values=initial)
    reach = [(k - 1) * d + 1 for k, d in zip(window, spread, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(wide.shape, reach, strides, strict=True)]
    found = np.empty(counts)
    for at in np.ndindex(*counts):
        place = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(at, strides, reach, spread, strict=True))
        found[at] = reduce(pair, wide[place].ravel(), initial)
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PAIRS)
def test_reduce_window(name: str, case: Any) -> None:
    shape, window, strides, padding, base, spread = case
    x = RNG.normal(size=shape)
    want = by_hand(x, 0.5, PAIRS[name], window, strides, padding, base, spread)
    got = pb.reduce_window(pb.tensor(x), 0.5, name, window, strides, padding, base, spread)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    function = {"add": pb.add, "mul": pb.multiply, "max": pb.maximum, "min": pb.minimum}[name]
    again = pb.reduce_window(pb.tensor(x), 0.5, function, window, strides, padding, base, spread)
    np.testing.assert_allclose(again.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_reduce_window_derivative(name: str) -> None:
    x = RNG.normal(size=(4, 5))

    def f(v: Any) -> Any:
        return (pb.reduce_window(v, 0.5, name, (2, 3), (1, 2), [(1, 0), (1, 1)]) ** 2).sum()

    got = pb.grad(f)(pb.tensor(x)).numpy()
    for at in [(0, 0), (1, 2), (3, 4), (2, 3)]:
        step = np.zeros_like(x)
        step[at] = 1e-6
        slope = (f(pb.tensor(x + step)).item() - f(pb.tensor(x - step)).item()) / 2e-6
        assert got[at] == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan(count: int, reverse: bool) -> None:
    xs = RNG.normal(size=(count, 2, 2))
    got = pb.associative_scan(pb.matmul, pb.tensor(xs), reverse).numpy()
    rows = xs[::-1] if reverse else xs
    want = [reduce(np.matmul, rows[:k + 1]) for k in range(count)]
    np.testing.assert_allclose(got, np.stack(want[::-1] if reverse else want), rtol=1e-10)
    along = pb.associative_scan(pb.add, pb.tensor(xs), axis=-1).numpy()
    np.testing.assert_allclose(along, np.cumsum(xs, -1), rtol=1e-12)


def test_associative_scan_of_a_recurrence_and_its_derivative() -> None:
    a, b = RNG.normal(size=9), RNG.normal(size=9)

    def combine(x: Any, y: Any) -> Any:
        return x[0] * y[0], y[0] * x[1] + y[1]

    def last(decay: Any) -> Any:
        return pb.associative_scan(combine, (decay, pb.tensor(b)))[1][-1]

    state = 0.0
    for k in range(9):
        state = a[k] * state + b[k]
    assert last(pb.tensor(a)).item() == pytest.approx(state, rel=1e-12)
    got = pb.grad(last)(pb.tensor(a)).numpy()
    for k in range(9):
        step = np.where(np.arange(9) == k, 1e-6, 0)
        slope = (last(pb.tensor(a + step)).item() - last(pb.tensor(a - step)).item()) / 2e-6
        assert got[k] == pytest.approx(slope, rel=1e-6, abs=1e-8)
    mapped = pb.vmap(lambda x: pb.associative_scan(pb.multiply, x))(pb.tensor(np.stack([a, b])))
    np.testing.assert_allclose(mapped.numpy(), np.cumprod(np.stack([a, b]), 1), rtol=1e-12)


@pytest.mark.parametrize("count", [2, 20])
def test_fold_of_trees(count: int) -> None:
    x, y = RNG.normal(size=(3, count)), RNG.normal(size=(3, count))
    got = pb.fold(lambda s, t: (s[0] + t[0], pb.maximum(s[1], t[1])), (pb.tensor(x), pb.tensor(y)), (1.0, 0.0), [1])
    np.testing.assert_allclose(got[0].numpy(), x.sum(1) + 1, rtol=1e-12)
    np.testing.assert_allclose(got[1].numpy(), np.maximum(y.max(1), 0), rtol=1e-12)
    np.testing.assert_allclose(pb.fold("mul", pb.tensor(x), 2.0, [0, 1]).numpy(), 2 * x.prod(), rtol=1e-12)


def test_pad_between() -> None:
    x = pb.tensor([[1.0, 2.0, 3.0]])
    assert pb.pad_between(x, [1, -1], [0, 0], [0, 1], 9.0).numpy().tolist() == [[9, 9, 9, 9], [9, 2, 9, 3]]
    gradient = pb.grad(lambda v: (pb.pad_between(v, [0, 1], [0, -1], [3, 2]) * pb.arange(7)).sum())(x)
    assert gradient.numpy().tolist() == [[1, 4, 0]]


def test_map_batches() -> None:
    x = pb.tensor(RNG.normal(size=(7, 3)))
    for size in (1, 3, 7, 9):
        got = pb.map_batches(lambda v: (v.sum(), v * 2), x, size)
        np.testing.assert_allclose(got[0].numpy(), x.numpy().sum(1), rtol=1e-12)
        np.testing.assert_allclose(got[1].numpy(), x.numpy() * 2, rtol=1e-12)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "uint32", "int32", "int64", "uint64"])
def test_bits(name: str) -> None:
    info = np.iinfo(name)
    edges = np.array([0, 1, 3, info.max, info.min], name)
    x = np.concatenate([edges, RNG.integers(info.min, info.max, 40, name)])
    width = info.bits
    words = [int(v) & (2**width - 1) for v in x]
    assert pb.bit_count(pb.tensor(x)).numpy().tolist() == [w.bit_count() for w in words]
    assert pb.leading_zeros(pb.tensor(x)).numpy().tolist() == [width - w.bit_length() for w in words]
    moved = pb.shift_right_logical(pb.tensor(x), pb.tensor(np.full(x.shape, 3, name))).numpy()
    assert [int(v) & (2**width - 1) for v in moved] == [w >> 3 for w in words]
    assert moved.dtype == name


@pytest.mark.parametrize("call", [
    lambda: pb.reduce_window(pb.ones((2, 2)), 0, "add", (2,), (1, 1), [(0, 0)] * 2),
    lambda: pb.reduce_window(pb.ones(4), 0, "add", (0,), (1,), [(0, 0)]),
    lambda: pb.reduce_window(pb.ones(4), 0, "add", (2,), (0,), [(0, 0)]),
    lambda: pb.associative_scan(pb.add, (pb.ones(2), pb.ones(3))),
    lambda: pb.associative_scan(pb.add, pb.tensor(1.0)),
    lambda: pb.associative_scan(lambda a, b: (a, b), pb.ones(4)),
    lambda: pb.pad_between(pb.ones(3), [0], [0], [-1]),
    lambda: pb.map_batches(lambda v: v, pb.ones(3), 0),
    lambda: pb.bit_count(pb.ones(3)),
])
def test_wrong_calls(call: Any) -> None:
    with pytest.raises(PullbackError):
        call()

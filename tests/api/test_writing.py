"""Copies with parts replaced, against assignments to NumPy arrays; their derivatives; windows and short-time
transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.api import writing
from pullback.util.errors import DTypeError, IndexError_, ShapeError, ValueError_

G = np.random.default_rng(0)
X = G.normal(size=(4, 5))


def test_parts_replaced() -> None:
    row, rows, line = G.normal(size=5), G.normal(size=(2, 5)), G.normal(size=3)
    for found, index, value in (
            (pb.select_scatter(pb.tensor(X), pb.tensor(row), 0, -1), -1, row),
            (pb.slice_scatter(pb.tensor(X), pb.tensor(rows), 0, 1, None, 2), slice(1, None, 2), rows),
            (pb.slice_scatter(pb.tensor(X), pb.tensor(X[:, :2]), 1, 3), (slice(None), slice(3, None)), X[:, :2])):
        wanted = X.copy()
        wanted[index] = value
        same(found, wanted)
    wanted = X.copy()
    wanted[[0, 1, 2], [2, 3, 4]] = line
    same(pb.diagonal_scatter(pb.tensor(X), pb.tensor(line), 2), wanted)
    assert np.array_equal(X, X.copy())


@pytest.mark.parametrize("shape", [(3, 3), (7, 3), (3, 7), (3, 3, 3)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(shape: tuple[int, ...], wrap: bool) -> None:
    wanted = np.zeros(shape)
    np.fill_diagonal(wanted, 5, wrap)
    same(writing.fill_diagonal(pb.zeros(shape), 5, wrap), wanted)


def test_masked_scatter() -> None:
    mask = G.random((4, 5)) < 0.5
    source = G.normal(size=30)
    wanted = X.copy()
    wanted[mask] = source[:mask.sum()]
    same(pb.masked_scatter(pb.tensor(X), pb.tensor(mask), pb.tensor(source)), wanted)
    same(pb.jit(pb.masked_scatter)(pb.tensor(X), pb.tensor(mask), pb.tensor(source)), wanted)
    gradient = pb.grad(lambda s: (pb.masked_scatter(pb.tensor(X), pb.tensor(mask), s) ** 2).sum())(pb.tensor(source))
    same(gradient, np.where(np.arange(30) < mask.sum(), 2 * source, 0))
    line = np.array([True, False, True, False, True])
    wanted = X.copy()
    wanted[:, line] = source[:12].reshape(4, 3)
    same(pb.masked_scatter(pb.tensor(X), pb.tensor(line), pb.tensor(source)), wanted)


def _reduced(name: str, values: list[float]) -> float:
    return {"prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min, "sum": np.sum}[name](values)


@pytest.mark.parametrize("name", ["prod", "mean", "amax", "amin", "sum"])
@pytest.mark.parametrize("include", [False, True])
def test_reductions_into_slices(name: str, include: bool) -> None:
    index = np.array([3, 0, 3, 3, 1, 0])
    source = G.normal(size=(6, 5))
    wanted = X.copy()
    for j in range(5):
        for i in set(index.tolist()):
            wanted[i, j] = _reduced(name, [*([X[i, j]] if include else []), *source[index == i, j]])
    if name != "sum":
        same(pb.index_reduce(pb.tensor(X), 0, pb.tensor(index), pb.tensor(source), name, include_self=include), wanted)
    spread = np.broadcast_to(index[:, None], (6, 5)).copy()
    same(pb.scatter_reduce(pb.tensor(X), 0, pb.tensor(spread), pb.tensor(source), name, include_self=include), wanted)
    step = G.normal(size=source.shape) * 1e-6
    f = lambda s: (pb.scatter_reduce(  # noqa: E731
        pb.tensor(X), 0, pb.tensor(spread), s, name, include_self=include) ** 2).sum()
    difference = (f(pb.tensor(source + step)) - f(pb.tensor(source - step))).item() / 2
    np.testing.assert_allclose((pb.grad(f)(pb.tensor(source)).numpy() * step).sum(), difference, rtol=1e-5, atol=1e-13)


def test_means_of_integers_round_down() -> None:
    found = pb.scatter_reduce(pb.zeros(2, dtype="int32"), 0, pb.tensor([0, 0]), pb.tensor([3, 4], dtype="int32"),
                              "mean", include_self=False)
    assert found.tolist() == [3, 0]


def test_as_strided() -> None:
    x = np.arange(20.0)
    for size, stride, offset in (((3, 3), (1, 1), 0), ((2, 4), (5, 2), 3), ((2,), (0,), 7), ((), (), 4),
                                 ((0,), (99,), 0)):
        wanted = np.lib.stride_tricks.as_strided(x[offset:], size, [8 * s for s in stride])
        same(pb.as_strided(pb.tensor(x.reshape(4, 5)), size, stride, offset), wanted)
    gradient = pb.grad(lambda v: pb.as_strided(v, (3, 3), (1, 1)).sum())(pb.tensor(x[:6]))
    assert gradient.tolist() == [1, 2, 3, 2, 1, 0]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8])
def test_windows(n: int) -> None:
    for name, wanted in (("hann_window", np.hanning), ("hamming_window", np.hamming), ("blackman_window", np.blackman),
                         ("bartlett_window", np.bartlett), ("kaiser_window", lambda m: np.kaiser(m, 12.0))):
        make: Any = getattr(pb, name)
        same(make(n, False, dtype="float64"), wanted(n))
        same(make(n, dtype="float64"), wanted(n + 1)[:n] if n > 1 else np.ones(n))


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
def test_short_time_transforms(center: bool, normalized: bool) -> None:
    x = G.normal(size=(2, 40))
    window = np.hanning(9)[:8] + 0.1
    found = pb.stft(pb.tensor(x), 8, 2, window=pb.tensor(window), center=center, normalized=normalized)
    padded = np.pad(x, ((0, 0), (4, 4)), "reflect") if center else x
    parts = np.lib.stride_tricks.sliding_window_view(padded, 8, 1)[:, ::2] * window
    wanted = np.swapaxes(np.fft.rfft(parts, norm="ortho" if normalized else None), 1, 2)
    same(found, wanted)
    back = pb.istft(found, 8, 2, window=pb.tensor(window), center=center, normalized=normalized, length=40)
    same(back, x)
    whole = pb.stft(pb.tensor(x[0]), 8, 2, window=pb.tensor(window), center=center, onesided=False)
    assert whole.shape[0] == 8
    same(pb.istft(whole, 8, 2, window=pb.tensor(window), center=center, length=40), x[0])
    energy = lambda v: (pb.stft(v, 8, 2, window=pb.tensor(window)).abs() ** 3).sum()  # noqa: E731
    step = G.normal(size=x.shape) * 1e-6
    difference = (energy(pb.tensor(x + step)) - energy(pb.tensor(x - step))).item() / 2
    np.testing.assert_allclose((pb.grad(energy)(pb.tensor(x)).numpy() * step).sum(), difference, rtol=1e-6)


def test_a_narrow_window_stands_in_the_middle() -> None:
    x, window = G.normal(size=12), np.array([1.0, 2.0, 1.0])
    found = pb.stft(pb.tensor(x), 6, 6, 3, pb.tensor(window), center=False).numpy()
    wide = np.array([0, 1.0, 2.0, 1.0, 0, 0])
    same(found, np.fft.rfft(x.reshape(2, 6) * wide).T)


def test_wrong_calls() -> None:
    x = pb.tensor(X)
    for call, text in ((lambda: pb.select_scatter(x, pb.ones(3), 0, 0), "select_scatter"),
                       (lambda: pb.slice_scatter(x, pb.ones(3), 0), "slice_scatter"),
                       (lambda: pb.diagonal_scatter(x, pb.ones(3)), "diagonal_scatter"),
                       (lambda: pb.masked_scatter(x, x > -99, pb.tensor(X[0])), "fewer elements"),
                       (lambda: writing.fill_diagonal(pb.ones((2, 3, 2)), 1), "fill_diagonal"),
                       (lambda: pb.as_strided(x, (2,), (1, 1)), "stride"),
                       (lambda: pb.stft(pb.ones((1, 2, 3)), 2), "stft"), (lambda: pb.stft(pb.ones(3), 8), "reflect"),
                       (lambda: pb.stft(pb.ones(3), 8, center=False), "shorter"),
                       (lambda: pb.istft(pb.ones((3, 3)) * 1j, 9), "do not fit"),
                       (lambda: pb.stft(pb.ones(9), 4, window=pb.ones(3)), "window")):
        with pytest.raises(ShapeError, match=text):
            call()
    for call in (lambda: pb.slice_scatter(x, x, 0, step=0), lambda: pb.as_strided(x, (5, 5), (5, 1)),
                 lambda: pb.index_reduce(x, 0, pb.tensor([0]), x[:1], "sum"), lambda: pb.hann_window(-1),
                 lambda: pb.stft(pb.ones(9), 4, 0), lambda: pb.scatter_reduce(x, 0, pb.tensor([[0]]), x[:1, :1], "x"),
                 lambda: pb.istft(pb.ones((3, 3)) * 1j, 4, window=pb.hann_window(4), center=False)):
        with pytest.raises(ValueError_):
            call()
    with pytest.raises(IndexError_, match="out of range"):
        pb.select_scatter(x, pb.tensor(X[0]), 0, 9)
    for call in (lambda: pb.masked_scatter(x, pb.ones((4, 5)), x), lambda: pb.stft(pb.ones(9) * 1j, 4, onesided=True),
                 lambda: pb.masked_scatter(x, x > 0, pb.ones(20))):
        with pytest.raises(DTypeError):
            call()

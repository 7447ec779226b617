"""broadcast_in_dim, reindex and reindex_reduce against NumPy and against each other's derivative."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import ArgumentError, ShapeError, ValueError_

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "target", "dims"),
    [
        ((3,), (2, 3), (1,)),
        ((2,), (2, 3), (0,)),
        ((), (2, 3), ()),
        ((2, 1), (2, 5, 3), (0, 2)),
        ((1, 4), (6, 4), (0, 1)),
        ((2, 3), (2, 7, 3), (0, 2)),
    ],
)
def test_broadcast_in_dim(shape: tuple[int, ...], target: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    spread = x.reshape([x.shape[dims.index(k)] if k in dims else 1 for k in range(len(target))])
    np.testing.assert_array_equal(
        pb.broadcast_in_dim(pb.tensor(x), target, dims).numpy(), np.broadcast_to(spread, target)
    )


def test_broadcast_in_dim_gradient_is_the_sum() -> None:
    g = pb.grad(lambda x: (pb.broadcast_in_dim(x, (4, 3), (1,)) * 2).sum())(pb.ones(3))
    assert g.tolist() == [8.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("args", "error"), [(((2, 3), (0, 0)), ShapeError), (((2, 3), (1,)), ShapeError), (((4, 3), (0, 1)), ShapeError)]
)
def test_broadcast_in_dim_wrong_calls(args: tuple[tuple[int, ...], tuple[int, ...]], error: type[Exception]) -> None:
    with pytest.raises(error, match="broadcast_in_dim"):
        pb.broadcast_in_dim(pb.ones((2, 3)), *args)


def test_reindex_is_a_convolution_window() -> None:
    x = RNG.normal(size=(5, 6)).astype(np.float32)
    found = pb.reindex(pb.tensor(x), (3, 4, 3, 3), ["i0+i2", "i1+i3"]).numpy()
    np.testing.assert_array_equal(found, np.lib.stride_tricks.sliding_window_view(x, (3, 3)))


def test_reindex_outside_is_the_fill() -> None:
    found = pb.reindex(pb.tensor([1.0, 2.0, 3.0]), (5,), ["i0-1"], 9.0)
    assert found.tolist() == [9.0, 1.0, 2.0, 3.0, 9.0]


def test_reindex_and_reindex_reduce_are_each_others_transpose() -> None:
    x, y = pb.tensor(RNG.normal(size=(6,))), pb.tensor(RNG.normal(size=(4, 3)))
    left = float((pb.reindex(x, (4, 3), ["i0+i1"]) * y).sum())
    right = float((x * pb.reindex_reduce(y, "add", (6,), ["i0+i1"])).sum())
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize(
    ("op", "ufunc", "start"),
    [("add", np.add, 0), ("maximum", np.maximum, -np.inf), ("min", np.minimum, np.inf), ("multiply", np.multiply, 1)],
)
def test_reindex_reduce(op: str, ufunc: np.ufunc, start: float) -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    want = np.full(6, start, np.float32)
    ufunc.at(want, np.add.outer(np.arange(4), np.arange(3)), x)
    np.testing.assert_allclose(pb.reindex_reduce(pb.tensor(x), op, (6,), ["i0+i1"]).numpy(), want, rtol=1e-6)


def test_reindex_wrong_calls() -> None:
    with pytest.raises(ArgumentError, match="one index expression"):
        pb.reindex(pb.ones((2, 3)), (2,), ["i0"])
    with pytest.raises(ValueError_, match="cannot read an index expression"):
        pb.reindex(pb.ones(3), (2,), ["i0 ! 2"])
    with pytest.raises(ValueError_, match="op"):
        pb.reindex_reduce(pb.ones(3), "median", (2,), ["i0"])

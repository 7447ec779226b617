"""Reductions and scans against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.api.support import same, sample

import pullback as pb
from pullback.util.errors import AxisError, PullbackError, ShapeError

CASES: list[tuple[tuple[int, ...], Any]] = [
    ((), None), ((5,), None), ((5,), 0), ((5,), -1), ((2, 3), None), ((2, 3), 0), ((2, 3), 1), ((2, 3), -2),
    ((2, 3), (0, 1)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 0)), ((2, 3, 4), 1), ((1, 1), 0), ((3, 0, 2), 0),
    ((3, 0, 2), -1), ((2, 3), ()), ((1,), 0),
]
NAMES = ["sum", "mean", "prod", "var", "std", "max", "min", "any", "all", "count_nonzero", "nansum", "ptp"]


def _reference(name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    if name in ("any", "all", "count_nonzero"):
        return getattr(np, name)(x > 0, axis=axis, keepdims=keepdims)
    return getattr(np, name)(x, axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("name", NAMES)
def test_reductions(name: str) -> None:
    for shape, axis in CASES:
        x = sample(shape, "float64", 0.5, 2)
        for keepdims in (False, True):
            a = pb.tensor(x) > 0 if name in ("any", "all", "count_nonzero") else pb.tensor(x)
            with np.errstate(all="ignore"):
                same(getattr(pb, name)(a, axis=axis, keepdims=keepdims), _reference(name, x, axis, keepdims))


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
def test_empty() -> None:
    x = pb.zeros(0, 3)
    same(x.sum(), 0)
    same(x.prod(axis=0), [1, 1, 1])
    same(x.mean(axis=0), [np.nan] * 3)
    same(x.sum(axis=1), np.zeros(0))
    same(x.max(axis=1), np.zeros(0))
    same(x.all(), True)
    same(x.any(), False)
    for call in (x.max, x.min, x.argmax, x.argmin, lambda: x.max(axis=0), lambda: x.argmin(axis=0)):
        with pytest.raises(ShapeError, match="no elements"):
            call()


def test_synonyms() -> None:
    x = sample((2, 3), "float32")
    a = pb.tensor(x)
    same(a.sum(dim=1, keepdim=True), x.sum(1, keepdims=True))
    same(a.mean(1), x.mean(1))
    same(a.mean(dim=(0, 1)), x.mean())
    same(a.std(dim=0, unbiased=True), x.std(0, ddof=1), 1e-5)
    same(a.var(ddof=1), x.var(ddof=1), 1e-5)
    same(a.var(correction=1), x.var(ddof=1), 1e-5)
    same(a.amax(dim=0), x.max(0))
    same(a.argmax(dim=1), x.argmax(1))


def test_dtypes() -> None:
    for name, kept in (("int8", "int32"), ("int32", "int32"), ("int64", "int64"), ("uint8", "uint32"),
                       ("bool", "int32"), ("float32", "float32"), ("float64", "float64"), ("float16", "float16")):
        x = pb.ones(4, dtype=name)
        assert x.sum().dtype == kept
        assert x.prod().dtype == kept
        assert pb.cumsum(x).dtype == kept
        assert x.max().dtype == name
        assert x.mean().dtype == (name if name.startswith("float") else "float32")
        assert x.argmax().dtype == "int32"
    assert pb.ones(3).sum(dtype="float64").dtype == "float64"
    assert pb.full((300,), 300.0, dtype="float16").mean().item() == 300


def test_positions() -> None:
    x = sample((3, 4), "float64")
    x[1, 2] = x[1, 0]
    a = pb.tensor(x)
    for name in ("argmax", "argmin"):
        for axis in (None, 0, 1, -1):
            for keepdims in (False, True):
                same(getattr(a, name)(axis=axis, keepdims=keepdims), getattr(np, name)(x, axis=axis, keepdims=keepdims))
    same(pb.argmax(pb.tensor([1.0, np.nan, 3.0])), 1)
    same(pb.argmax(pb.tensor([False, True])), 1)


def test_nan() -> None:
    x = np.asarray([1.0, np.nan, 3.0])
    a = pb.tensor(x)
    same(a.max(), np.nan)
    same(a.sum(), np.nan)
    same(pb.nansum(a), 4)
    same(pb.nanmean(a), 2)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_scans(name: str) -> None:
    for shape, axis in (((5,), 0), ((5,), None), ((2, 3), 0), ((2, 3), -1), ((2, 3), None), ((0, 3), 0), ((1, 4), 1),
                        ((2, 3, 4), 1)):
        x = sample(shape, "float64")
        same(getattr(pb, name)(pb.tensor(x), axis), getattr(np, name)(x, axis))
    same(pb.cumsum(pb.tensor([1, 2, 3]), reverse=True), [6, 5, 3])
    same(pb.cumulative_sum(pb.tensor([1, 2]), include_initial=True), [0, 1, 3])


def test_running_extremes() -> None:
    x = sample((4, 5), "float64")
    same(pb.cummax(pb.tensor(x), 1), np.maximum.accumulate(x, 1))
    same(pb.cummin(pb.tensor(x), 0), np.minimum.accumulate(x, 0))
    values, places = pb.cummax(pb.tensor([1.0, 3.0, 2.0, 3.0]), 0, return_indices=True)
    same(values, [1, 3, 3, 3])
    same(places, [0, 1, 1, 3])


def test_logsumexp() -> None:
    x = sample((3, 4), "float64", -5, 5)
    expected = np.log(np.exp(x).sum(1))
    same(pb.logsumexp(pb.tensor(x), 1), expected)
    same(pb.logsumexp(pb.tensor([1000.0, 1000.0])), 1000 + np.log(2), 1e-6)
    same(pb.logsumexp(pb.tensor([-np.inf, -np.inf])), -np.inf)
    same(pb.logcumsumexp(pb.tensor(x), 1), np.log(np.cumsum(np.exp(x), 1)))
    a = pb.tensor([1.0, 2.0], requires_grad=True)
    pb.logsumexp(a).backward()
    same(a.grad, np.exp([1, 2]) / np.exp([1, 2]).sum(), 1e-6)


def test_the_deviation_of_equal_numbers_has_gradient_0() -> None:
    x = pb.tensor([[1.0, 1.0], [1.0, 2.0]], requires_grad=True)
    x.std(0, correction=1).sum().backward()
    same(x.grad, [[0.0, -np.sqrt(0.5)], [0.0, np.sqrt(0.5)]])
    assert np.isnan(np.asarray(pb.tensor([np.nan, 1.0]).std()))


def test_axis_errors() -> None:
    x = pb.zeros(2, 3)
    for axis in (2, -3, (0, 5), "a", 1.5, (0, 0)):
        with pytest.raises(PullbackError, match="help"):
            x.sum(axis=axis)
    with pytest.raises(AxisError):
        x.mean(7)

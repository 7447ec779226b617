"""NumPy's edits, sets, polynomials and reductions without NaN, beside NumPy; their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.api import editing, polynomials, statistics
from pullback.util.errors import DTypeError, ShapeError, ValueError_

G = np.random.default_rng(0)
X = G.normal(size=(3, 4))
HOLES = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [5.0, 4.0, np.nan]])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_delete_and_insert(axis: Any) -> None:
    for gone in (0, -1, [0, 2], slice(0, 2), np.array([True, False, True] + ([False] * 9 if axis is None else
                                                                            [] if axis == 0 else [False]))):
        same(editing.delete(pb.tensor(X), gone, axis), np.delete(X, gone, axis))
    for at, values in ((1, 7.0), ([0, 2], 7.0), (-1, 7.0), (1, 5), ([2, 2], [1.0, 2.0] if axis is None else 3.0)):
        same(editing.insert(pb.tensor(X), at, values, axis), np.insert(X, at, values, axis))
    if axis == 0:
        same(editing.insert(pb.tensor(X), 1, pb.tensor(X[0]), 0), np.insert(X, 1, X[0], 0))
        same(editing.insert(pb.tensor(X), [0, 3], pb.tensor(X[:2]), 0), np.insert(X, [0, 3], X[:2], 0))


def test_gradients_go_through_edits() -> None:
    x = pb.tensor(X)
    same(pb.grad(lambda v: (editing.delete(v, 1, 0) ** 2).sum())(x), 2 * X * np.array([[1], [0], [1]]))
    same(pb.grad(lambda v: (editing.resize(v, (2, 12)) ** 2).sum())(x), 4 * X)
    same(pb.grad(lambda v: statistics.nanvar(v))(x), 2 * (X - X.mean()) / 12)
    inside = np.isfinite(HOLES)
    found = pb.grad(lambda v: statistics.nanprod(v))(pb.tensor(HOLES)).numpy()
    same(found[inside], 60 / HOLES[inside])


def test_shapes() -> None:
    for shape in ((2, 3), (5, 5), 7, (0,)):
        same(editing.resize(pb.tensor(X), shape), np.resize(X, shape))
    for axis, start in ((2, 0), (0, 3), (1, 2), (-1, 1), (0, -1)):
        assert editing.rollaxis(pb.ones((2, 3, 4)), axis, start).shape == np.rollaxis(np.ones((2, 3, 4)), axis,
                                                                                        start).shape
    line = np.array([0, 0, 1, 0, 2, 0])
    for trim in ("fb", "f", "b"):
        same(editing.trim_zeros(pb.tensor(line), trim), np.trim_zeros(line, trim))  # type: ignore[call-overload]
    assert editing.trim_zeros(pb.zeros(3)).shape == (0,)
    same(editing.compress([True, False, True], pb.tensor(X), 0), np.compress([True, False, True], X, 0))
    a, c, d = G.normal(size=(2, 2)), G.normal(size=(2, 1)), G.normal(size=(1, 3))
    same(editing.block([[pb.tensor(a), pb.tensor(c)], [pb.tensor(d)]]), np.block([[a, c], [d]]))
    same(editing.block([pb.tensor(a[0]), 3.0]), np.block([a[0], 3.0]))
    same(editing.choose(pb.tensor([0, 2, 1, 9]), [pb.arange(4), pb.arange(4) * 10, pb.tensor(-1)]), [0, -1, 20, -1])


def test_order() -> None:
    x = G.permutation(20).astype(float)
    for k in (0, 7, -1):
        found = editing.partition(pb.tensor(x), k).numpy()
        assert found[k] == np.partition(x, k)[k] and set(found) == set(x)
        assert x[editing.argpartition(pb.tensor(x), k).numpy()][k] == found[k]
    keys = [G.integers(0, 3, 30), G.integers(0, 3, 30), G.integers(0, 2, 30)]
    same(editing.lexsort([pb.tensor(k) for k in keys]), np.lexsort(keys))
    same(editing.lexsort(pb.tensor(np.stack(keys))), np.lexsort(keys))


def test_elementwise() -> None:
    x = np.array([1.5, -2.25, 0.0, np.inf, -np.inf])
    for found, wanted in zip(editing.modf(pb.tensor(x)), np.modf(x), strict=True):
        same(found, wanted)
    for found, wanted in zip(editing.divmod_(pb.tensor([7, -7]), 3), np.divmod([7, -7], 3), strict=True):
        same(found, wanted)
    for kind in ("int8", "int32", "uint64"):
        ints = np.array([0, 1, 7, 100]).astype(kind)
        same(editing.bitwise_count(pb.asarray(ints)), np.bitwise_count(ints), dtype=True)
    for axis in (0, 1):
        angles = np.cumsum(G.normal(size=(6, 7)) * 3, axis)
        turned = np.angle(np.exp(1j * angles))
        same(editing.unwrap(pb.tensor(turned), axis=axis), np.unwrap(turned, axis=axis))
    same(editing.unwrap(pb.tensor([0.0, 5.0, 10.5]), period=4.0), np.unwrap([0.0, 5.0, 10.5], period=4.0))


def test_sequences() -> None:
    a, c = G.normal(size=6), G.normal(size=3)
    for mode in ("full", "same", "valid"):
        for p, q in ((a, c), (c, a), (a, a)):
            if mode == "same" and len(p) < len(q):
                continue  # NumPy takes the longer's length, shifted
            same(editing.correlate(pb.tensor(p), pb.tensor(q), mode), np.correlate(p, q, mode))  # type: ignore
    same(editing.ediff1d(pb.tensor(X), [9.0], [1.0, 2.0]), np.ediff1d(X, [9.0], [1.0, 2.0]))
    deep = G.normal(size=(2, 3, 4))
    for axis in (0, 1, 2):
        same(editing.apply_along_axis(lambda v: v.cumsum(0)[:2], axis, pb.tensor(deep)),
             np.apply_along_axis(lambda v: v.cumsum()[:2], axis, deep))
        same(editing.apply_along_axis(lambda v: v.max(), axis, pb.tensor(deep)), deep.max(axis))
    same(editing.apply_over_axes(pb.sum, pb.tensor(deep), (0, 2)), np.apply_over_axes(np.sum, deep, (0, 2)))


def test_sets() -> None:
    a, c = np.array([3, 1, 2, 3]), np.array([2, 5, 3])
    for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d"):
        same(getattr(editing, name)(pb.tensor(a), pb.tensor(c)), getattr(np, name)(a, c))
    for found, wanted in zip(editing.intersect1d(pb.tensor(a), pb.tensor(c), return_indices=True),
                             np.intersect1d(a, c, return_indices=True), strict=True):
        same(found, wanted)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("keep", [False, True])
def test_without_nan(axis: Any, keep: bool) -> None:
    x = pb.tensor(HOLES)
    for name in ("nanmax", "nanmin", "nanprod", "nanvar", "nanstd"):
        same(getattr(statistics, name)(x, axis, keep), getattr(np, name)(HOLES, axis, keepdims=keep))
    same(statistics.nanvar(x, axis, keep, correction=1), np.nanvar(HOLES, axis, keepdims=keep, ddof=1))
    some = np.where(np.isnan(HOLES), [[np.nan] * 3, [2.0, np.nan, 1.0], [np.nan] * 3], HOLES)
    for name in ("nanargmax", "nanargmin"):
        same(getattr(statistics, name)(pb.tensor(some), axis, keep), getattr(np, name)(some, axis, keepdims=keep))
    assert statistics.nanargmax(pb.tensor([np.nan])).item() == -1


def test_polynomials() -> None:
    p, q = G.normal(size=4), G.normal(size=2)
    for name in ("polyadd", "polysub", "polymul"):
        same(getattr(polynomials, name)(pb.tensor(p), pb.tensor(q)), getattr(np, name)(p, q))
    for m in (0, 1, 2, 5):
        same(polynomials.polyder(pb.tensor(p), m), np.polyder(p, m))
        same(polynomials.polyint(pb.tensor(p), m), np.polyint(p, m))
    same(polynomials.poly(pb.tensor(p)), np.poly(p))
    x, y, w = G.normal(size=12), G.normal(size=(12, 2)), G.random(12)
    for degree in (0, 2, 4):
        same(polynomials.polyfit(pb.tensor(x), pb.tensor(y), degree), np.polyfit(x, y, degree), 1e-9)
        same(polynomials.polyfit(pb.tensor(x), pb.tensor(y[:, 0]), degree, w=pb.tensor(w)),
             np.polyfit(x, y[:, 0], degree, w=w), 1e-9)


def test_wrong_calls() -> None:
    x = pb.tensor(X)
    for call in (lambda: editing.partition(x, 4), lambda: editing.insert(x, 99, 1.0), lambda: editing.lexsort([]),
                 lambda: editing.block([[]]), lambda: polynomials.polyder(x[0], -1)):
        with pytest.raises(ValueError_):
            call()
    for call in (lambda: polynomials.polyfit(x, x, 1), lambda: polynomials.polyadd(x, x),
                 lambda: editing.apply_over_axes(lambda v, k: v[0, 0], x, 0)):
        with pytest.raises(ShapeError):
            call()
    with pytest.raises(DTypeError, match="integers"):
        editing.bitwise_count(x)

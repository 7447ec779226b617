"""Writing at places that depend on data: shared out among threads, with the same bits for any number of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import IndexError_

#: shape of the result, axis, shape of the indices: rows, columns, lots with and without a rest, lines before the axis
CASES = {
    "rows": ((300, 100), 0, (2000,)),
    "rows of odd length": ((300, 777), 0, (500,)),
    "lots": ((100,), 0, (200_003,)),
    "lots of short rows": ((50, 3), 0, (80_000,)),
    "lines before": ((5, 40, 64), 1, (900,)),
    "one line before": ((1, 40, 64), 1, (6000,)),
    "indices of rank 2": ((400, 48), 0, (70, 90)),
}
ALONG = {"first axis": ((900, 700), 0), "last axis": ((700, 300), 1), "middle axis": ((3, 400, 200), 1)}


def updated(threads: int, call: Any, *arrays: Any) -> Any:
    with pb.config.override(threads=threads):
        return pb.jit(call)(*(pb.tensor(x) for x in arrays)).numpy()


def test_the_same_bits_for_any_number_of_threads() -> None:
    random = np.random.default_rng(0)
    for shape, axis, counts in CASES.values():
        x = random.normal(size=shape).astype(np.float32)
        at = random.integers(-shape[axis], shape[axis], counts)
        updates = random.normal(size=(*shape[:axis], *counts, *shape[axis + 1:])).astype(np.float32)
        before = (slice(None),) * axis

        def add(x: Any, at: Any, v: Any, before: Any = before) -> Any:
            return x.at[(*before, at)].add(v)

        found = [updated(threads, add, x, at, updates) for threads in (1, 2, 3, 8)]
        assert all(np.array_equal(found[0], y) for y in found)
        wanted = x.astype(np.float64)
        np.add.at(wanted, (*before, at), updates)
        np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ALONG)
def test_along_an_axis(name: str) -> None:
    shape, axis = ALONG[name]
    random = np.random.default_rng(1)
    x, updates = (random.normal(size=shape).astype(np.float32) for _ in range(2))
    at = random.integers(0, shape[axis], shape)
    found = [updated(threads, lambda x, at, v: pb.scatter_add(x, axis, at, v), x, at, updates)
             for threads in (1, 2, 3)]
    assert all(np.array_equal(found[0], y) for y in found)
    places: list[Any] = list(np.indices(shape))
    places[axis] = at
    wanted = x.astype(np.float64)
    np.add.at(wanted, tuple(places), updates)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("monoid", ["multiply", "min", "max"])
def test_lots_of_other_monoids(monoid: str) -> None:
    random = np.random.default_rng(2)
    x, updates = random.uniform(0.99, 1.01, 60).astype(np.float32), random.uniform(0.99, 1.01, 150_001)
    at = random.integers(0, 60, updates.size)
    found = updated(2, lambda x, at, v: getattr(x.at[at], monoid)(v), x, at, updates.astype(np.float32))
    wanted = x.astype(np.float64)
    {"multiply": np.multiply, "min": np.minimum, "max": np.maximum}[monoid].at(wanted, at, updates.astype(np.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_the_last_of_many_writes_stays() -> None:
    at = np.random.default_rng(3).integers(0, 50, 200_000)
    found = updated(2, lambda x, at, v: x.at[at].set(v), np.zeros(50, np.float32), at,
                    np.arange(200_000, dtype=np.float32))
    last = np.zeros(50, np.float32)
    last[at] = np.arange(200_000)
    assert np.array_equal(found, last)


@pytest.mark.parametrize("name", CASES)
def test_an_index_out_of_range_is_an_error(name: str) -> None:
    shape, axis, counts = CASES[name]
    at = np.zeros(counts, np.int64)
    at.flat[at.size // 2] = shape[axis]
    updates = np.ones((*shape[:axis], *counts, *shape[axis + 1:]), np.float32)
    with pytest.raises(IndexError_, match="out of range"):
        updated(2, lambda x, at, v: pb.index_add(x, axis, at.ravel(), v.reshape(
            (*shape[:axis], at.size, *shape[axis + 1:]))), np.zeros(shape, np.float32), at, updates)


def test_what_runs_on_how_many_threads() -> None:
    def plan(shape: tuple[int, ...], counts: int) -> str:
        with pb.config.override(threads=2):
            return pb.show(lambda x, at, v: x.at[at].add(v), "schedule", file=io.StringIO())(
                pb.zeros(shape), pb.zeros(counts, dtype=pb.int32), pb.ones((counts, *shape[1:])))

    assert "scatter, 2 threads" in plan((5000, 64), 4000)
    assert "scatter, 2 threads" in plan((100,), 400_000)
    assert "scatter, 1 threads" in plan((100, 64), 20)
    assert "scatter, 1 threads" in plan((100,), 5000)

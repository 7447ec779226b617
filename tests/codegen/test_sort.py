"""Sorting lines of every length and dtype: the order of the reference, stable, NaN last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.api.editing import lexsort
from pullback.ops.order import permutation

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "uint32", "int64")
#: lines that are counted, sorted by bytes and by larger digits, looked through for the first few; along any axis
LINES = {"counted": ((40, 31), 1), "by bytes": ((6, 700), 1), "by large digits": ((2, 70_000), 1),
         "first axis": ((500, 9), 0), "middle axis": ((3, 80, 5), 1), "one": ((4, 1), 1)}


def values(shape: tuple[int, ...], dtype: str) -> Any:
    """Many equal elements, both zeros, infinities and NaN."""
    random = np.random.default_rng(len(shape) + shape[0])
    x = (random.normal(size=shape) * 40).astype(dtype)
    if x.dtype.kind == "f":
        flat = x.reshape(-1)
        flat[::3] = np.round(flat[::3] / 20)
        for k, odd in enumerate((np.nan, -0.0, 0.0, np.inf, -np.inf, np.nan, np.copysign(np.nan, -1))):
            flat[k::29] = odd
    return x


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lines", LINES)
def test_sort_and_order(lines: str, dtype: str, descending: bool) -> None:
    shape, axis = LINES[lines]
    x = values(shape, dtype)
    order = permutation([x], axis, descending)
    given = pb.tensor(x, dtype=dtype)
    assert np.array_equal(pb.argsort(given, axis, descending=descending).numpy(), order)
    found = pb.sort(given, axis, descending=descending).numpy()
    wanted = np.take_along_axis(x, order, axis)
    assert found.dtype == x.dtype and found.tobytes() == np.ascontiguousarray(wanted).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "int16", "float64"])
@pytest.mark.parametrize("lines", LINES)
def test_the_first_few(lines: str, dtype: str) -> None:
    shape, axis = LINES[lines]
    x = values(shape, dtype)
    for count in {0, 1, min(3, shape[axis]), shape[axis] // 4, shape[axis]}:
        for largest in (False, True):
            order = np.take(permutation([x], axis, largest), np.arange(count), axis)
            found, places = pb.topk(pb.tensor(x, dtype=dtype), count, axis, largest)
            assert np.array_equal(places.numpy(), order)
            assert np.array_equal(found.numpy(), np.take_along_axis(x, order, axis), equal_nan=dtype != "int16")


@pytest.mark.parametrize("line", [np.arange(5000.0), np.arange(5000.0)[::-1], np.zeros(5000),
                                  np.full(5000, np.nan), np.where(np.arange(5000) < 4990, np.nan, 1.0)])
def test_the_first_few_of_lines_in_any_order(line: Any) -> None:
    x = line.astype(np.float32)
    for largest in (False, True):
        order = permutation([x], 0, largest)[:20]
        assert np.array_equal(pb.topk(pb.tensor(x.copy()), 20, 0, largest)[1].numpy(), order)


def test_several_keys() -> None:
    random = np.random.default_rng(5)
    for n in (20, 3000):
        first, second = random.integers(0, 4, n), np.round(random.normal(size=n)).astype(np.float32)
        found = lexsort([pb.tensor(second), pb.tensor(first)]).numpy()
        assert np.array_equal(found, np.lexsort([second, first]))


def test_the_same_for_any_number_of_threads() -> None:
    x = values((9, 4000), "float32")
    found = []
    for threads in (1, 2, 5):
        with pb.config.override(threads=threads):
            found.append(pb.argsort(pb.tensor(x), 1).numpy())
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])

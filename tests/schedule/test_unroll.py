"""Sums over small windows: written out within vector loops, each vector read at once, whatever a guard leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.programs import check, run

import pullback.ops.build as b
from pullback.engine.pipeline import compile_function
from pullback.ir.dtypes import DType, bfloat16, float32, float64, int32, uint8
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, TensorType, param
from pullback.kernel.nodes import For, Init, walk
from pullback.schedule.plan import Options, plan


def window_sums(x: Node, size: int, step: int, low: int, count: int) -> Node:
    """Sums over windows of both last dimensions, padded with zeros."""
    shape = (x.shape[0], count, count, size, size)
    i = loop_vars(shape)
    at = [i[0], i[1] * step + i[3] - low, i[2] * step + i[4] - low]
    return b.reduce("add", b.reindex(x, shape, at, 0), (3, 4))


def placed(x: Node, size: int, step: int, low: int) -> Node:
    """The transpose of windows: each element added wherever a window put it, but the first of each window doubled."""
    n, count, width = x.shape[0], x.shape[1], (x.shape[1] - 1) * step + size - 2 * low
    shape = (n, count, count, size, size)
    wide = b.broadcast(x, shape, (0, 1, 2))
    first = b.binary("eq", b.add(b.iota(shape, 3, uint8), b.iota(shape, 4, uint8)), b.full(shape, 0, uint8))
    wide = b.select(first, b.add(wide, wide), wide)
    i = loop_vars(shape)
    return b.reindex_reduce(wide, (n, width, width), [i[0], i[1] * step + i[3] - low, i[2] * step + i[4] - low], "add")


def loops_of(function: Function) -> list[For]:
    made = plan(function, frozenset(), frozenset(), Options())
    return [s for phase in made.phases for k in phase for s in walk(k.body) if isinstance(s, For)]


def whole(*shape: int) -> Any:
    return np.random.default_rng(0).integers(-9, 10, shape)


@pytest.mark.parametrize("dtype", [float32, float64, int32, uint8, bfloat16], ids=str)
@pytest.mark.parametrize("size,step,low", [(2, 2, 0), (3, 1, 1), (3, 2, 1), (2, 1, 0), (4, 2, 1), (3, 3, 1)])
@pytest.mark.parametrize("count", [5, 8, 16, 21, 56])
def test_sums_over_windows_and_their_transposes(dtype: DType, size: int, step: int, low: int, count: int) -> None:
    width = (count - 1) * step + size - 2 * low
    x, y = (param(TensorType.of((2, n, n), dtype)) for n in (width, count))
    check(Function([x], [window_sums(x, size, step, low, count)]), abs(whole(2, width, width)))
    check(Function([y], [placed(y, size, step, low)]), abs(whole(2, count, count)))


def test_sums_of_few_elements_are_lanes_side_by_side() -> None:
    x = param(TensorType.of((8, 112, 112), float32))
    found = loops_of(Function([x], [window_sums(x, 2, 2, 0, 56)]))
    assert max(s.lanes for s in found) >= 8
    assert not any(isinstance(s, For) for s in found[-1].body)  # the terms of a sum are written out
    assert all(not t.accumulator.horizontal for t in walk(tuple(found)) if isinstance(t, Init))


def test_windows_at_the_ends_of_an_array_read_nothing_beyond_it() -> None:
    """The only image begins and ends where its memory does, and what lies beyond is no number."""
    x = param(TensorType.of((1, 16, 16), float32))
    function = Function([x], [window_sums(x, 3, 2, 1, 8)])
    memory = np.full(3 * 256, np.nan, np.float32)
    memory[256:512] = whole(256)
    image = memory[256:512].reshape(1, 16, 16)
    assert np.array_equal(run(compile_function(function), image)[0], run(compile_function(function), image.copy())[0])

"""`lax.gather` and `lax.scatter` with dimension numbers, modes of `.at[]`, `take`: beside loops in NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import lax

Gather, Scatter = lax.GatherDimensionNumbers, lax.ScatterDimensionNumbers
RANDOM = np.random.RandomState(0)
#: shape of the array, indices, dimension numbers, sizes of windows
CASES: list[tuple[tuple[int, ...], Any, Any, tuple[int, ...]]] = [
    ((5,), [[7], [-1], [2]], Gather((), (0,), (0,)), (1,)),
    ((5, 3), [[7], [-1], [2]], Gather((1,), (0,), (0,)), (1, 3)),
    ((5, 3), [[7], [-1], [2]], Gather((0,), (0,), (0,)), (1, 3)),
    ((5, 3), [[7], [-1], [2]], Gather((0, 1), (), (0,)), (2, 3)),
    ((5, 3), [[1, 2], [0, 4], [2, 0]], Gather((0, 2), (), (1, 0)), (2, 2)),
    ((4, 5, 3), [[[1], [2]], [[4], [0]]], Gather((0, 3), (1,), (1,)), (4, 1, 2)),
    ((3, 5, 4), [[[1], [4]], [[0], [2]], [[3], [3]]], Gather((2, 3), (), (1,), (0,), (0,)), (1, 2, 2)),
    ((5, 3), [[]], Gather((1, 2), (), ()), (5, 3)),
]


def windows(shape: Any, indices: Any, numbers: Any, sizes: Any) -> Any:
    """(place in the result, place in the array as it would be, whether the window lies inside, and moved inside)."""
    lead = indices.shape[:-1]
    shown = [d for d in range(len(shape)) if d not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)]
    rank = len(lead) + len(shown)
    around = [k for k in range(rank) if k not in numbers.offset_dims]
    for at in np.ndindex(*lead):
        start = [0] * len(shape)
        for k, d in enumerate(numbers.start_index_map):
            start[d] = int(indices[at][k])
        for d, k in zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True):
            start[d] = at[k]
        inside = all(0 <= s <= n - w for s, n, w in zip(start, shape, sizes, strict=True))
        moved = [min(max(s, 0), n - w) for s, n, w in zip(start, shape, sizes, strict=True)]
        for off in product(*(range(sizes[d]) for d in shown)):
            where, place = [0] * rank, list(moved)
            for k, v in zip(around, at, strict=True):
                where[k] = v
            for k, d, v in zip(numbers.offset_dims, shown, off, strict=True):
                where[k] = v
                place[d] += v
            yield tuple(where), tuple(place), inside


def result_shape(indices: Any, numbers: Any, sizes: Any) -> tuple[int, ...]:
    shown = [n for d, n in enumerate(sizes)
             if d not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)]
    found: list[int] = list(indices.shape[:-1])
    for k, n in zip(numbers.offset_dims, shown, strict=True):
        found.insert(k, n)
    return tuple(found)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("mode", ["clip", "fill"])
def test_gather(case: Any, mode: str) -> None:
    shape, indices, numbers, sizes = case[0], np.asarray(case[1], np.int32), case[2], case[3]
    x = RANDOM.randn(*shape).astype(np.float32)
    expected, back = np.full(result_shape(indices, numbers, sizes), np.nan, np.float32), np.zeros(shape)
    weights = RANDOM.randn(*expected.shape).astype(np.float32)
    for where, place, inside in windows(shape, indices, numbers, sizes):
        if inside or mode == "clip":
            expected[where] = x[place]
            back[place] += weights[where]

    def run(y: Any) -> Any:
        return lax.gather(y, jnp.asarray(indices), numbers, sizes, mode=mode, fill_value=jnp.nan)

    for f in (run, jax.jit(run)):
        assert np.array_equal(np.asarray(f(x)), expected, equal_nan=True)
    both = jax.vmap(run)(jnp.stack([x, 2 * x]))
    assert np.array_equal(np.asarray(both), np.stack([expected, 2 * expected]), equal_nan=True)
    gradient = jax.grad(lambda y: jnp.nansum(run(y) * weights))(jnp.asarray(x))
    assert np.allclose(np.asarray(gradient), back, atol=1e-5)


FUNCTIONS = {"scatter": lambda a, b: b, "scatter_add": np.add, "scatter_sub": np.subtract, "scatter_mul": np.multiply,
             "scatter_min": np.minimum, "scatter_max": np.maximum}


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_scatter(case: Any, name: str) -> None:
    shape, indices, sizes = case[0], np.asarray(case[1], np.int32), case[3]
    x = RANDOM.randn(*shape).astype(np.float32)
    updates = RANDOM.randn(*result_shape(indices, case[2], sizes)).astype(np.float32)
    numbers = Scatter(*case[2])
    for mode in (None, "clip"):
        expected = x.copy()
        for where, place, inside in windows(shape, indices, case[2], sizes):
            if inside or mode == "clip":
                expected[place] = FUNCTIONS[name](expected[place], updates[where])

        def run(y: Any, u: Any, mode: Any = mode) -> Any:
            return getattr(lax, name)(y, jnp.asarray(indices), u, numbers, mode=mode)

        for f in (run, jax.jit(run)):
            assert np.allclose(np.asarray(f(x, updates)), expected, atol=1e-6)
        both = jax.vmap(run)(jnp.stack([x, x]), jnp.stack([updates, updates]))
        assert np.allclose(np.asarray(both), np.stack([expected, expected]), atol=1e-6)
    if name == "scatter_add":
        jax.test_util.check_grads(run, (jnp.asarray(x), jnp.asarray(updates)), 2, rtol=0.02)


def test_scatter_apply_meets_a_place_twice() -> None:
    found = lax.scatter_apply(jnp.arange(5.0), jnp.array([[1], [1], [2]]), lambda v: v * 2 + 1,
                              Scatter((), (0,), (0,)), update_shape=(3,))
    assert found.tolist() == [0, 7, 5, 3, 4]


def test_modes_of_updates_and_reads() -> None:
    x = jnp.arange(10.0).reshape(2, 5)
    rows, columns = jnp.array([0, 5]), jnp.array([7, 2])
    assert x.at[rows, columns].get(mode="clip").tolist() == [4, 7]
    assert np.isnan(np.asarray(x.at[rows, columns].get(mode="fill"))).tolist() == [True, True]
    assert x.at[:, jnp.array([7, -2])].get(mode="fill", fill_value=-1).tolist() == [[-1, 3], [-1, 8]]
    assert x.at[0, jnp.array([1, -9])].get(mode="fill", fill_value=-1).tolist() == [1, -1]
    assert x.at[rows, columns].set(9.0, mode="clip").tolist() == [[0, 1, 2, 3, 9], [5, 6, 9, 8, 9]]
    assert x.at[rows, columns].add(9.0, mode="drop").tolist() == x.tolist()
    assert x.at[jnp.array([0, 1]), jnp.array([-9, -1])].set(8.0, mode="drop").tolist() == x.at[1, 4].set(8.0).tolist()
    assert x.at[jnp.array([-3, 1]), jnp.array([0, -9])].set(9.0, mode="drop").tolist() == x.tolist()
    assert x.at[5].get(mode="clip").tolist() == [5, 6, 7, 8, 9]
    assert jax.jit(lambda y, i: y.at[i, i].get(mode="clip"))(x, jnp.array([1, 9])).tolist() == [6, 9]
    assert jnp.arange(5).at[jnp.array([1, 9])].get(mode="fill").tolist() == [1, -(2**31)]
    inside = jax.grad(lambda y: y.at[jnp.array([7, 1]), jnp.array([1, 2])].get(mode="fill", fill_value=0.0).sum())(x)
    assert inside.tolist() == [[0] * 5, [0, 0, 1, 0, 0]]


def test_take() -> None:
    x = jnp.arange(10.0).reshape(2, 5)
    at = jnp.array([1, 9])
    assert jnp.take(x, at, axis=1, mode="clip").tolist() == [[1, 4], [6, 9]]
    assert jnp.take(x, at, axis=1, mode="wrap").tolist() == [[1, 4], [6, 9]]
    assert jnp.take(x, at, axis=1, mode="fill", fill_value=3).tolist() == [[1, 3], [6, 3]]
    assert jnp.take(x, at).tolist() == [1, 9]
    along = jnp.array([[1, 9], [0, -5]])
    assert jnp.take_along_axis(x, along, axis=1, mode="fill", fill_value=-1).tolist() == [[1, -1], [5, 5]]
    assert jnp.take_along_axis(x, along, axis=1, mode="clip").tolist() == [[1, 4], [5, 5]]


def test_reductions_of_what_a_mask_selects() -> None:
    x, mask = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.array([[True, False, True], [True, True, False]])
    for name in ("sum", "prod", "mean", "var", "std", "any", "all"):
        for axis in (None, 0, 1):
            found = getattr(jnp, name)(jnp.asarray(x), axis=axis, where=jnp.asarray(mask))
            assert np.allclose(np.asarray(found), getattr(np, name)(x, axis=axis, where=mask), equal_nan=True), name
    for name in ("max", "min"):
        found = getattr(jnp, name)(jnp.asarray(x), axis=1, initial=2.5, where=jnp.asarray(mask), keepdims=True)
        assert np.allclose(np.asarray(found), getattr(np, name)(x, axis=1, initial=2.5, where=mask, keepdims=True))
    assert float(jnp.sum(jnp.asarray(x), initial=10)) == 25

"""Functions of `jax.numpy` with a size that is given, several axes, other orders: beside NumPy, and traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import lax

X = np.array([[0, 3, 0, 1], [2, 0, 0, 5], [3, 3, 0, 1]], np.int32)
F = np.random.RandomState(0).randn(2, 3, 4).astype(np.float32)


def same(found: Any, expected: Any) -> None:
    found = np.asarray(found)
    assert found.shape == np.shape(expected)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 7, 15])
def test_places_of_a_given_size(size: int) -> None:
    expected = [np.full(size, -1), np.full(size, -2)]
    rows = np.nonzero(X)
    for line, row in zip(expected, rows, strict=True):
        line[: len(row)] = row[:size]
    for run in (lambda f: f, jax.jit):
        found = run(lambda x: jnp.nonzero(x, size=size, fill_value=(-1, -2)))(jnp.array(X))
        for line, values in zip(found, expected, strict=True):
            same(line, values)
        same(run(lambda x: jnp.where(x > 0, size=size)[1])(jnp.array(X)), np.where(expected[1] < 0, 0, expected[1]))
        same(run(lambda x: jnp.flatnonzero(x, size=3))(jnp.array(X)), np.flatnonzero(X)[:3])
    same(jnp.argwhere(jnp.array(X), size=2), np.argwhere(X)[:2])


def test_distinct_elements_of_a_given_size() -> None:
    values, index, inverse, counts = np.unique(X, return_index=True, return_inverse=True, return_counts=True)
    for found, expected in zip(jnp.unique(jnp.array(X), True, True, True), (values, index, inverse, counts),
                               strict=True):
        same(found, expected)
    sized = jax.jit(lambda x: jnp.unique(x, return_inverse=True, return_counts=True, size=7, fill_value=-1))
    for found, expected in zip(sized(jnp.array(X)), ([*values, -1, -1], inverse, [*counts, 0, 0]), strict=True):
        same(found, expected)
    found = np.asarray(jnp.unique(jnp.array([np.nan, 1, np.nan]), size=3, fill_value=0))
    assert np.array_equal(found, [1, np.nan, 0], equal_nan=True)
    same(jnp.union1d(jnp.array([3, 1]), jnp.array([2, 3]), size=4), [1, 2, 3, 1])


def test_counts_and_repetitions_of_a_given_length() -> None:
    x = np.array([0, 5, 2, 2, 9], np.int32)
    weights = np.array([1, 2, 3, 4, 5], np.float32)
    same(jax.jit(lambda x: jnp.bincount(x, length=6))(jnp.array(x)), np.bincount(x)[:6])
    same(jnp.bincount(jnp.array(x), weights=jnp.array(weights), length=12), np.bincount(x, weights, 12))
    y = jnp.array(F[0])
    repeated = jax.jit(lambda n: jnp.repeat(y, n, axis=0, total_repeat_length=5))(jnp.array([1, 0, 2]))
    same(repeated, F[0][[0, 2, 2, 2, 2]])
    same(jnp.repeat(y, jnp.array([1, 0, 2]), axis=0), np.repeat(F[0], [1, 0, 2], axis=0))


def test_without_an_axis_and_with_several() -> None:
    x = jnp.array(F)
    same(jnp.sort(x, axis=None), np.sort(F, axis=None))
    same(jnp.argsort(x, axis=None), np.argsort(F, axis=None))
    for axis in (None, 1, (0, 2), (-1, 0)):
        same(jnp.median(x, axis=axis), np.median(F, axis=axis))
        same(jnp.quantile(x, 0.3, axis=axis), np.quantile(F, 0.3, axis=axis))
        same(jnp.quantile(x, jnp.array([0.3, 0.7]), axis=axis, keepdims=True),
             np.quantile(F, [0.3, 0.7], axis=axis, keepdims=True))


def test_orders_and_diagonals() -> None:
    x = jnp.array(F)
    same(jnp.ravel(x, order="F"), F.ravel(order="F"))
    same(jnp.reshape(x, (4, 6), order="F"), F.reshape((4, 6), order="F"))
    same(jnp.trace(x, 1, 1, 2), np.trace(F, 1, 1, 2))
    same(jnp.linalg.diagonal(x), np.linalg.diagonal(F))
    same(jnp.linalg.trace(x, offset=1), np.linalg.trace(F, offset=1))
    same(lax.reshape(x, (24,), (2, 0, 1)), F.transpose(2, 0, 1).ravel())


def test_averages() -> None:
    x, w = jnp.array(F[0]), np.array([1, 2, 3], np.float32)
    for found, expected in zip(jnp.average(x, 0, jnp.array(w), returned=True),
                               np.average(F[0], 0, w, returned=True), strict=True):
        same(found, expected)
    same(jnp.average(x, axis=1, keepdims=True), np.average(F[0], axis=1, keepdims=True))


def test_lines_between_arrays() -> None:
    low, high = F[0, 0], F[0, 1]
    for endpoint in (True, False):
        same(jnp.linspace(low, high, 5, endpoint, axis=1), np.linspace(low, high, 5, endpoint, axis=1))
    line, step = jnp.linspace(0, 1, 5, retstep=True)
    assert float(step) == 0.25
    assert step.dtype == jnp.float32
    assert line.shape == (5,)
    same(jax.jacfwd(lambda a: jnp.linspace(a, jnp.ones(1), 3)[1])(jnp.zeros(1)), [[0.5]])


def test_limits_that_fall() -> None:
    limits = np.array([1.0, 0.0, -1.0], np.float32)
    for right in (False, True):
        at = np.array([2.0, 1.0, 0.5, 0.0, -3.0], np.float32)
        same(jnp.digitize(jnp.array(at), jnp.array(limits), right), np.digitize(at, limits, right))
        same(jnp.digitize(jnp.array(at), jnp.array(limits[::-1]), right), np.digitize(at, limits[::-1], right))


def test_whole_numbers_that_become_floating() -> None:
    x = jnp.array([1, -2, 3], dtype=jnp.int8)
    for found, expected in ((jnp.fabs(x), [1, 2, 3]), (jnp.rint(x), [1, -2, 3]), (jnp.float_power(x, 2), [1, 4, 9]),
                            (jnp.heaviside(x, 2), [1, 0, 1])):
        assert found.dtype == jnp.float32
        same(found, expected)


def test_whole_numbers_that_stay() -> None:
    x = jnp.array([100, 100], dtype=jnp.int8)
    assert jnp.cumsum(x).dtype == jnp.int8
    same(jnp.cumsum(x), [100, -56])
    found = lax.div(jnp.array([-7, 7, -8, 5]), jnp.array([2, -2, 2, 9]))
    assert found.dtype == jnp.int32
    same(found, [-3, -3, -4, 0])


def test_softmax_of_all_elements() -> None:
    x = jnp.array(F[0])
    weights = np.exp(F[0]) / np.exp(F[0]).sum()
    same(jax.scipy.special.softmax(x), weights)
    same(jax.scipy.special.log_softmax(x), np.log(weights))
    same(jax.scipy.special.softmax(x, axis=0), np.exp(F[0]) / np.exp(F[0]).sum(0))


def test_choice_along_an_axis() -> None:
    x = jnp.array(F[0])
    for shape in ((), (2,), (2, 3)):
        found = jax.random.choice(jax.random.key(0), x, shape, axis=1)
        chosen = jax.random.choice(jax.random.key(0), 4, shape)
        same(found, np.take(F[0], np.asarray(chosen), axis=1))


def test_results_with_names_are_arrays_and_dtypes_are_kept() -> None:
    for found in (*jnp.unique_all(jnp.array(X)), *jnp.unique_counts(jnp.array(X)), *jnp.unique_inverse(jnp.array(X))):
        assert isinstance(found, jax.Array)
    assert jnp.nanstd(jnp.array(F), dtype=jnp.float16).dtype == jnp.float16

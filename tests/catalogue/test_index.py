"""Index expressions and the primitives made of them, against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir import index as ix
from pullback.ir.dtypes import float64
from pullback.ir.node import Function, TensorType, apply, evaluate, param, verify
from pullback.ops import build as b
from pullback.ops.shape import Reindex, ReindexReduce, as_reindex, compose, grid
from pullback.transforms import RULES


def _random_index(rng: Any, shape: tuple[int, ...], depth: int = 3) -> tuple[ix.Index, Any]:
    """A random expression, and its values over the shape by plain arithmetic."""
    over = ix.loop_vars(shape)
    if depth == 0 or rng.random() < 0.2:
        k = int(rng.integers(len(shape)))
        sizes = [-1 if j == k else 1 for j in range(len(shape))]
        return over[k], np.broadcast_to(np.arange(shape[k]).reshape(sizes), shape)
    x, values = _random_index(rng, shape, depth - 1)
    kind, n = rng.integers(5), int(rng.integers(1, 7))
    if kind == 0:
        y, more = _random_index(rng, shape, depth - 1)
        return x + y, values + more
    if kind == 1:
        return x * (n - 3), values * (n - 3)
    if kind == 2:
        return x + (n - 3), values + (n - 3)
    return (x // n, values // n) if kind == 3 else (x % n, values % n)


@pytest.mark.parametrize("seed", range(200))
def test_expression_is_its_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, 3))
    x, values = _random_index(rng, shape, 5)
    found = np.broadcast_to(x.evaluate(grid(shape)), shape)
    np.testing.assert_array_equal(found, values)
    assert x.low <= values.min() and values.max() <= x.high
    again = ix.parse(repr(x), {f"i{k}": v for k, v in enumerate(ix.loop_vars(shape))})
    assert again == x


@pytest.mark.parametrize("seed", range(100))
def test_reindex_and_its_transposes(seed: int) -> None:
    """The reference against a loop over elements; the transpose and its transpose by dot products."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(1, 4))))
    source = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(1, 3))))
    pairs = [_random_index(rng, shape, int(rng.integers(4))) for _ in source]
    op = Reindex(shape, tuple(p[0] for p in pairs), 0)
    x = param(TensorType.of(source, float64))
    array, ct = rng.normal(size=source), rng.normal(size=shape)
    wanted, back = np.zeros(shape), np.zeros(source)
    for at in np.ndindex(*shape):
        to = tuple(int(p[1][at]) for p in pairs)
        if all(0 <= k < n for k, n in zip(to, source, strict=True)):
            wanted[at] = array[to]
            back[to] += ct[at]
    np.testing.assert_array_equal(evaluate(Function([x], [apply(op, x)]), array)[0], wanted)
    transposed = RULES.transpose(Function([x], [apply(op, x)]), (True,))
    verify(transposed)
    np.testing.assert_allclose(evaluate(transposed, ct)[0], back)
    twice = RULES.transpose(transposed, (True,))
    np.testing.assert_allclose(evaluate(twice, array)[0], wanted)


@pytest.mark.parametrize("seed", range(100))
def test_simple_reindex_transposes_to_reindex(seed: int) -> None:
    """Slices with steps, flips, pads, permutations, reshapes and their compositions never need a scatter."""
    rng = np.random.default_rng(seed)
    x = y = param(TensorType.of(tuple(int(n) for n in rng.integers(1, 5, 3)), float64))
    for _ in range(3):
        y = _random_view(rng, y)
    back = RULES.transpose(Function([x], [y]), (True,))
    assert not any(isinstance(n.op, ReindexReduce) for n in back.nodes())
    array, ct = rng.normal(size=x.shape), rng.normal(size=y.shape)
    forward = float(np.sum(evaluate(Function([x], [y]), array)[0] * ct))
    np.testing.assert_allclose(float(np.sum(evaluate(back, ct)[0] * array)), forward, atol=1e-12)


def _random_view(rng: Any, x: Any) -> Any:
    rank, sizes = len(x.shape), x.shape
    kind = rng.integers(5)
    if kind == 0:
        return b.transpose(x, [int(k) for k in rng.permutation(rank)])
    if kind == 1:
        low, high = ([int(n) for n in rng.integers(0, 3, rank)] for _ in range(2))
        return b.pad(x, low, high)
    if kind == 2:
        return b.flip(x, [int(rng.integers(rank))])
    if kind == 3:
        return b.reshape(x, (x.tensor.size,))
    starts = [int(rng.integers(0, n)) for n in sizes]
    return b.slice_(x, starts, list(sizes), [int(n) for n in rng.integers(1, 4, rank)])


@pytest.mark.parametrize("seed", range(100))
def test_composition_of_views(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = param(TensorType.of(tuple(int(n) for n in rng.integers(1, 5, 3)), float64))
    inner = _random_view(rng, x)
    outer = _random_view(rng, inner)
    first, second = as_reindex(inner.op, x.shape), as_reindex(outer.op, inner.shape)
    if first is None or second is None or outer is inner or inner is x:
        return
    both = compose(second, first, x.shape)
    if both is not None:
        array = rng.normal(size=x.shape)
        wanted = evaluate(Function([x], [outer]), array)[0]
        np.testing.assert_array_equal(evaluate(Function([x], [apply(both, x)]), array)[0], wanted)

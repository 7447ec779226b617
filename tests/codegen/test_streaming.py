"""Stores of large results that go past the caches are aligned, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.ops.build as b
from pullback.engine import pipeline
from pullback.ir.dtypes import float32
from pullback.ir.node import Function, TensorType, param


@pytest.mark.parametrize("size", [3_000_000, 3_145_728, 2_999_968])
def test_a_large_result_beside_its_sum(size: int) -> None:
    x = np.random.default_rng(0).random(size, np.float32)
    y, total = pb.jit(lambda x: (x - 1.0, (x - 1.0).sum()))(pb.tensor(x))
    np.testing.assert_array_equal(y.numpy(), x - np.float32(1))
    np.testing.assert_allclose(total.item(), (x - np.float32(1)).sum(dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("lead", [3, 8, 32])
def test_a_large_result_in_two_parts(lead: int) -> None:
    x = np.random.default_rng(0).random(4_000_000, np.float32)
    joined = pb.concat([pb.tensor(x[:lead]), pb.tensor(x[lead:])]) * 2.0
    np.testing.assert_array_equal(joined.numpy(), x * 2)


@pytest.mark.parametrize("columns", [1000, 1004, 1024])
def test_rows_of_any_length_beside_their_sums(columns: int) -> None:
    x = np.random.default_rng(0).random((4000, columns), np.float32)
    y, rows, all_of_it = pb.jit(lambda x: (x * 2.0, (x * 2.0).sum(1), (x * 2.0).sum(0)))(pb.tensor(x))
    np.testing.assert_array_equal(y.numpy(), x * 2)
    np.testing.assert_allclose(rows.numpy(), (x * 2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(all_of_it.numpy(), (x * 2).sum(0), rtol=1e-4)


@pytest.mark.parametrize("columns", [1024, 1000, 1003])
def test_large_products_that_are_only_handed_out(columns: int) -> None:
    """Past the caches where rows begin at whole lines; the one that the next product reads is not."""
    g = np.random.default_rng(0)
    x, w, v = (g.standard_normal(s).astype(np.float32) for s in ((1500, 64), (64, columns), (columns, 20)))

    def three(x: pb.Tensor, w: pb.Tensor, v: pb.Tensor) -> tuple[pb.Tensor, ...]:
        y = x @ w
        return y, (x * 2.0) @ w + 1.0, y @ v

    found = pb.jit(three)(pb.tensor(x), pb.tensor(w), pb.tensor(v))
    wide = x.astype(np.float64) @ w
    for got, want in zip(found, (wide, 2 * wide + 1, wide @ v), strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-3)


def test_a_last_cache_of_another_size_is_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored program bypasses the caches from some size on: it is none for a machine where that is another."""
    x = param(TensorType.of((3 << 20,), float32))
    function = Function([x], [b.neg(x)])
    keys, past = set[str](), list[bool]()
    for size in (8 << 20, 64 << 20):
        monkeypatch.setattr(pipeline, "last_cache", lambda size=size: size)
        keys.add(pipeline.program_key(function, frozenset(), frozenset()))
        past.append("!nontemporal" in pipeline.stage_text(function, "llvm"))
    assert past == [True, False]
    assert len(keys) == 2

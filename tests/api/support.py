"""Helpers: arrays to test with, and comparison with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback as pb

SHAPES: list[tuple[int, ...]] = [(), (1,), (0,), (5,), (2, 3), (3, 0, 2), (1, 4, 1), (2, 1, 3, 2)]
FLOATS = ["float32", "float64"]
INTEGERS = ["int8", "int32", "int64", "uint8", "uint32"]


def sample(shape: tuple[int, ...], dtype: str = "float64", low: float = -2.0, high: float = 2.0, seed: int = 0) -> Any:
    """Random numbers of a dtype."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith(("int", "uint")):
        return rng.integers(0 if dtype.startswith("u") else -9, 10, shape).astype(dtype)
    if dtype.startswith("complex"):
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


def same(found: Any, expected: Any, rtol: float | None = None, dtype: bool = False) -> None:
    """Equal shapes and close elements (and equal dtypes, where wanted)."""
    got, want = np.asarray(found), np.asarray(expected)
    assert got.shape == want.shape, f"{got.shape} != {want.shape}"
    if dtype:
        assert got.dtype == want.dtype, f"{got.dtype} != {want.dtype}"
    if want.dtype.kind in "biu" and got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
        return
    tolerance = rtol if rtol is not None else {"float32": 2e-6, "complex64": 2e-6, "float16": 2e-3}.get(str(got.dtype),
                                                                                                        1e-12)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def tensors(*arrays: Any) -> list[Any]:
    return [pb.tensor(a) for a in arrays]

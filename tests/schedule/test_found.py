"""Programs that random testing found to fail; see also tests/fuzz."""

from __future__ import annotations

import numpy as np
import pytest
from tests.programs import check, randoms

import pullback.ops.build as b
from pullback.engine.pipeline import compile_function
from pullback.ir.dtypes import float32, float64
from pullback.ir.node import Function, Node, TensorType, param
from pullback.transforms import vjp


def real(*shape: int, dtype: object = float64) -> Node:
    return param(TensorType.of(shape, dtype))  # pyright: ignore[reportArgumentType]


def test_a_contraction_with_a_scalar_that_arrives_by_value() -> None:
    """It has no address: the operand is stored first."""
    x, scale = real(9, 8), real()
    spread = b.transpose(b.broadcast(scale, (8, 5), ()), (1, 0))
    function = Function([x, scale], [b.contract(x, spread, 0, 1)])
    check(function, *randoms(function), immediates=frozenset({1}))


@pytest.mark.parametrize("count", [3, 5, 7, 9, 11, 12, 13, 15])
def test_guarded_reads_of_any_number_of_lanes(count: int) -> None:
    """LLVM fails on masked vectors whose lanes are not a power of two."""
    for dtype in (float32, float64):
        x = real(8, dtype=dtype)
        padded = b.pad(b.sort([x], 0)[0], (0,), (max(0, count - 8),), 0)
        function = Function([x], [b.copy(b.slice_(padded, (0,), (count,), (1,)))])
        check(function, *randoms(function))


def test_shifted_reads_of_shifted_reads_stay_small() -> None:
    """Each step reads the one before at two places: 2**12 reads where nothing is kept."""
    x = y = real(100)
    for k in range(12):
        y = b.mul(y, b.slice_(b.pad(y, (k + 1,), (0,), 1.0), (0,), (100,), (1,)))
    program = compile_function(Function([x], [y]))
    assert len(program.text("llvm")) < 200_000
    check(program.function, np.linspace(0.9, 1.1, 100))


def test_the_gradient_of_a_cumulative_product_compiles_quickly() -> None:
    x = real(7, 100)
    function = vjp(Function([x], [b.cumulative("mul", x, 1)]), (0,), (0,))
    program = check(function, *randoms(function))
    assert len(program.text("llvm")) < 200_000

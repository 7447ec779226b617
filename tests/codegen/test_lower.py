"""Compiled programs against the reference rules: random graphs, and every sample of every operator."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from tests.programs import Grower, check, close, randoms, run

import pullback.ops.build as build
from pullback.engine.pipeline import compile_function
from pullback.ir.dtypes import dtype_of, float32, int32
from pullback.ir.node import Function, Op, TensorType, apply, evaluate, param, project
from pullback.ops import contract, control, indexing, loops, map, order, reduce, shape, source
from pullback.util.errors import CompileError

MODULES = (map, shape, reduce, contract, indexing, order, source, control, loops)
OPERATORS = [c for m in MODULES for c in vars(m).values()
             if inspect.isclass(c) and issubclass(c, Op) and c.__module__ == m.__name__ and hasattr(c, "samples")]


@pytest.mark.parametrize("start", range(0, 120, 10))
def test_random_graphs(start: int) -> None:
    for seed in range(start, start + 10):
        function = Grower(seed).function()
        arrays = randoms(function, seed)
        with np.errstate(all="ignore"):
            wanted = evaluate(function, *arrays)
        for got, want, t in zip(run(compile_function(function), *arrays), wanted, function.out_types, strict=True):
            assert close(got, want, t.dtype), f"seed {seed}\n{function}"


def is_complex(op: Op, arrays: list[Any]) -> bool:
    return any(np.asarray(a).dtype.kind == "c" for a in arrays) or "complex" in repr(op)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda c: c.__name__)
def test_samples(operator: Any) -> None:
    """All samples of one operator, in programs of forty results."""
    samples = [(op, [np.asarray(a) for a in arrays]) for op, arrays in operator.samples() if not is_complex(op, arrays)]
    for start in range(0, len(samples), 40):
        params, arrays, results, wanted = [], [], [], []
        for op, given in samples[start:start + 40]:
            inputs = [param(TensorType.of(a.shape, dtype_of(a.dtype))) for a in given]
            found = op.reference(*given)
            params += inputs
            arrays += given
            results += project(apply(op, *inputs))
            wanted += found if isinstance(found, tuple) else (found,)
        function = Function(params, results)
        for got, want, t in zip(run(compile_function(function), *arrays), wanted, function.out_types, strict=True):
            assert close(got, want, t.dtype), (t, got, want)


def test_complex_is_refused() -> None:
    from pullback.ir.dtypes import complex64

    x = param(TensorType.of((3,), complex64))
    import pullback.ops.build as b

    with pytest.raises(CompileError, match="complex64"):
        compile_function(Function([x], [b.mul(x, x)]))


def test_a_program_is_found_again() -> None:
    function = Grower(7).function()
    compile_function(function)
    again = compile_function(Grower(7).function())
    assert again.cached
    assert set(again.times) == {"key", "lookup", "load"}


def test_stages_are_text() -> None:
    function = Grower(3).function()
    program = compile_function(function)
    for stage in ("graph", "schedule", "loops", "llvm", "asm"):
        assert program.text(stage)


@pytest.mark.parametrize("width", [8, 21, 64])
def test_rows_that_are_looked_up_are_read_by_vectors(width: int) -> None:
    x, at = param(TensorType.of((5, width), float32)), param(TensorType.of((9,), int32))
    function = Function([x, at], [build.gather(x, at, 0, "clip"), build.gather(build.flip(x, (1,)), at, 0, "clip")])
    program = check(function, np.arange(5.0 * width).reshape(5, width), np.asarray([4, 0, 1, 4, -3, 9, 2, 0, 4]))
    assert "= load float," not in program.text("llvm")


def test_rows_that_are_looked_up_and_joined_with_others() -> None:
    """Some lanes of a vector are of one array, some of the other: the rows begin before and end after the memory."""
    x, y = param(TensorType.of((5, 11), float32)), param(TensorType.of((3, 6), float32))
    at = param(TensorType.of((4,), int32))
    rows = [build.gather(v, at, 0, "clip") for v in (x, y)]
    check(Function([x, y, at], [build.concat(rows, 1), build.concat(rows[::-1], 1)]),
          np.arange(55.0).reshape(5, 11), -np.arange(18.0).reshape(3, 6), np.asarray([4, 0, 1, 2]))

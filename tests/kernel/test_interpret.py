"""The interpreter of the loop IR, which defines it, against the reference rules and compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.programs import Grower, close, floats, layer_norm, mlp_step, randoms, softmax

from pullback.engine.pipeline import Clock, make_plan, run_passes
from pullback.ir.dtypes import DType, float32, numpy_dtype
from pullback.ir.index import Var, var
from pullback.ir.node import Function, apply, evaluate, param, project, type_of
from pullback.kernel.interpret import Interpreter
from pullback.kernel.nodes import AttentionNest, Buffer, Expr, For, IndexValue, Inside, Kernel, Let, Load, Rows, Store
from pullback.kernel.printer import kernel_text
from pullback.kernel.verify import verify_kernel
from pullback.ops.attention import Attention, AttentionBackward
from pullback.ops.map import Map, numeric_convert
from pullback.ops.monoid import identity
from pullback.util.errors import VerifyError


def row(name: str, static: tuple[int, ...], values: list[Any], dtype: DType) -> Any:
    return np.asarray(Map(name, static).reference(*(np.asarray(v) for v in values))).astype(numpy_dtype(dtype))


def interpret(function: Function, arrays: list[Any], plan: Any = None) -> list[Any]:
    """Run the plan of a function in the interpreter."""
    plan = plan or make_plan(run_passes(function, Clock()), frozenset(), frozenset())
    memory: dict[Buffer, Any] = {}
    for kernel in (k for phase in plan.phases for k in phase):
        for buffer in (*kernel.reads, *kernel.writes):
            memory.setdefault(buffer, np.zeros(buffer.size, numpy_dtype(buffer.dtype)))
    for buffer in plan.buffers:
        if buffer.space == "input":
            memory[buffer] = np.ascontiguousarray(arrays[buffer.slot]).reshape(-1).copy()
        elif buffer.space == "constant":
            memory[buffer] = np.frombuffer(buffer.data, numpy_dtype(buffer.dtype))
    interpreter = Interpreter(memory, row, numeric_convert, identity)
    for kernel in (k for phase in plan.phases for k in phase):
        verify_kernel(kernel)
        interpreter.run(kernel)
    outputs = [b for b in plan.buffers if b.space == "output"]
    return [memory.get(b, np.zeros(b.size)).reshape(b.shape) for b in outputs]


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_random_graphs(start: int) -> None:
    for seed in range(start, start + 10):
        function = Grower(seed, dims=(1, 3, 5, 4)).function()
        arrays = randoms(function, seed)
        with np.errstate(all="ignore"):
            wanted = evaluate(function, *arrays)
            found = interpret(function, arrays)
        for got, want, t in zip(found, wanted, function.out_types, strict=True):
            assert close(got, want, t.dtype), f"seed {seed}\n{function}"


def test_known_graphs() -> None:
    x, g, s = floats(6, 9), floats(9), floats(9)
    for function in (Function([x, g, s], [layer_norm(softmax(x), g, s)]), mlp_step([5, 6, 7], 4, 0.1)):
        arrays = randoms(function)
        found, wanted = interpret(function, arrays), evaluate(function, *arrays)
        for got, want, t in zip(found, wanted, function.out_types, strict=True):
            assert close(got, want, t.dtype)


def test_an_element_outside_is_found() -> None:
    source, target = Buffer("x", float32, (4,), "input"), Buffer("y", float32, (5,), "output")
    i = var("i", 5)
    loop = For(Var("i", 5), (Store(target, (i,), Load(source, (i,))),))
    with pytest.raises(VerifyError, match="outside of its buffer"):
        verify_kernel(Kernel("k", "loops", (loop,)))


def test_an_unbound_variable_is_found() -> None:
    source, target = Buffer("x", float32, (4,), "input"), Buffer("y", float32, (4,), "output")
    with pytest.raises(VerifyError, match="not bound"):
        verify_kernel(Kernel("k", "loops", (Store(target, (var("i", 4),), Load(source, (var("i", 4),))),)))


@pytest.mark.parametrize("value", [IndexValue(var("i", 4), float32), Inside(((var("i", 4), 0, 2),))])
def test_an_unbound_variable_is_found_in_what_reads_nothing(value: Expr) -> None:
    kept = Kernel("k", "loops", (Let(Buffer("t", value.dtype, (), "register"), value),))
    with pytest.raises(VerifyError, match="not bound"):
        verify_kernel(kept)
    verify_kernel(Kernel("k", "loops", (For(Var("i", 4), kept.body),)))


def test_attention_nests() -> None:
    for name, op, arrays in (e for c in (Attention, AttentionBackward) for e in (
            (c.name, op, arrays) for op, arrays in c.samples() if arrays[0].dtype == np.float64)):
        given = [param(type_of(x)) for x in arrays]
        function = Function(given, project(apply(op, *given)))
        for got, want in zip(interpret(function, arrays), evaluate(function, *arrays), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=name)


def test_rows_outside_of_their_buffer_are_refused() -> None:
    q, y = Buffer("q", float32, (3, 4)), Buffer("y", float32, (3, 4))
    lse = Buffer("lse", float32, (3,))
    rows, last = Rows(q, 0, (), 4), Rows(y, 0, (), 4)

    def kernel(first: Rows, n: int) -> Kernel:
        return Kernel("k", "attention", (AttentionNest((), 3, n, 4, 4, False, 1.0, (first, rows, rows),
                                                       (last, Rows(lse, 0, (), 1))),))

    verify_kernel(kernel(rows, 3))
    assert "attention 3 x 3 x 4 x 4" in kernel_text(kernel(rows, 3))
    with pytest.raises(VerifyError, match="rows outside"):
        verify_kernel(kernel(rows, 4))
    with pytest.raises(VerifyError, match="rows outside"):
        verify_kernel(kernel(Rows(q, 1, (), 4), 3))

"""Products of bfloat16 numbers in vectors, by pairs: values, what is not finite, memory bounds, what they are left to.

Code is generated on every machine, and run where the processor multiplies pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.codegen.products import (
    CLAIMS,
    LAYOUTS,
    VECTORS,
    WORKSPACE,
    A,
    B,
    BiasRelu,
    Descend,
    Long,
    Output,
    check,
    layout,
)

import pullback as pb
import pullback.nn.functional as F
from pullback.codegen.llvm.compile import CompileError, compile_ir
from pullback.codegen.llvm.matmul import MatmulSpec, Operand, emit_matmul
from pullback.codegen.llvm.matmul_plan import Plan, make_plan
from pullback.codegen.llvm.matmul_tile import PAIRS
from pullback.codegen.llvm.target import X86_64_PAIRS, X86_64_V4, Target, host
from pullback.codegen.llvm.text import Module

needs_pairs = pytest.mark.skipif(not host().pairs, reason="the processor has no products of pairs of bfloat16 numbers")
SHAPES = [(32, 32, 32), (33, 35, 34), (40, 50, 66), (100, 130, 200), (65, 384, 1026), (300, 513, 1024), (32, 1, 64),
          (37, 17, 32)]


def spec_of(m: int, n: int, k: int, a: str = "row", b: str = "row") -> MatmulSpec:
    return MatmulSpec(m, n, k, layout(m, k, a, (), False)[0], layout(k, n, b, (), False)[0], "float", (), 1, True)


def emitted(spec: MatmulSpec, target: Target) -> str:
    module = Module()
    emit_matmul(module, "product", spec, A, B, WORKSPACE, lambda _: CLAIMS, Output(spec), target)
    return module.text()


@pytest.mark.parametrize("a", LAYOUTS)
@pytest.mark.parametrize("b", LAYOUTS)
def test_code_for_any_layout(a: str, b: str) -> None:
    for m, n, k in SHAPES[:4]:
        text = emitted(spec_of(m, n, k, a, b), X86_64_PAIRS)
        assert PAIRS in text
        assert "llvm.fma" not in text
        assert len(compile_ir(text, X86_64_PAIRS.cpu, X86_64_PAIRS.features, X86_64_PAIRS.triple)) > 500
        with pytest.raises(CompileError, match="avx512bf16"):
            compile_ir(text, X86_64_V4.cpu, X86_64_V4.features, X86_64_V4.triple)


@needs_pairs
@pytest.mark.parametrize("a", LAYOUTS)
@pytest.mark.parametrize("b", LAYOUTS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_layouts(m: int, n: int, k: int, a: str, b: str) -> None:
    for at_end in (True, False):
        check(m, n, k, target=VECTORS, a=a, b=b, threads=(1, 2, 3), parts=1, narrow=True, at_end=at_end)


@needs_pairs
@pytest.mark.parametrize(("m", "n", "k"), [(1024, 384, 384), (384, 1536, 1024), (2000, 96, 3000), (4000, 64, 1024)])
def test_large_products_are_claimed(m: int, n: int, k: int) -> None:
    for a, b in (("row", "row"), ("row", "column"), ("column", "row"), ("column", "column")):
        check(m, n, k, target=VECTORS, a=a, b=b, threads=(1, 2, 3), parts=1, narrow=True)


@needs_pairs
@pytest.mark.parametrize("epilogue", [BiasRelu, Descend, Long])
def test_epilogues(epilogue: type[Output]) -> None:
    for m, n, k in ((64, 96, 64), (130, 83, 4096), (70, 40, 34)):
        check(m, n, k, target=VECTORS, epilogue=epilogue, threads=(1, 2), parts=1, narrow=True)


@needs_pairs
@pytest.mark.parametrize("side", ["row", "column"])
@pytest.mark.parametrize(("batch", "broadcast"), [
    ((3,), (False, False)), ((8, 2), (True, False)), ((9,), (False, True))])
def test_batches(batch: tuple[int, ...], broadcast: tuple[bool, bool], side: str) -> None:
    check(70, 80, 90, target=VECTORS, a=side, b=side, batch=batch, broadcast=broadcast, threads=(1, 2), parts=1,
          narrow=True)


def test_pairs_that_lie_side_by_side_are_read_where_they_are() -> None:
    assert not _plan(100, 100, 200, "row", "row").pack_a
    assert _plan(100, 100, 200, "column", "row").pack_a
    for b in LAYOUTS:
        assert _plan(100, 100, 200, "row", b).pack_b != "no"


def _plan(m: int, n: int, k: int, a: str, b: str) -> Plan:
    return make_plan(spec_of(m, n, k, a, b).in_pairs, X86_64_PAIRS)


@pytest.mark.parametrize(("spec", "target"), [(spec_of(64, 64, 65), X86_64_PAIRS), (spec_of(64, 64, 64), X86_64_V4)])
def test_odd_terms_and_other_processors_are_refused(spec: MatmulSpec, target: Target) -> None:
    with pytest.raises(ValueError, match="16-bit operands"):
        emitted(spec, target)


def test_the_same_number_along_k() -> None:
    """An operand that is spread along k: its pairs are twice one number."""
    spec = MatmulSpec(64, 64, 64, Operand(1, 0), Operand(64, 1), "float", (), 1, True)
    assert PAIRS in emitted(spec, X86_64_PAIRS)


def _numbers(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_a_layer_and_its_gradients() -> None:
    """On any machine: values are those of rounded operands, gradients too, whatever multiplies them."""
    x, w, bias = (pb.tensor(_numbers(*shape)).astype(pb.bfloat16) for shape in ((130, 200), (90, 200), (90,)))

    def loss(x: Any, w: Any, bias: Any) -> Any:
        return (F.gelu(F.linear(x, w, bias)).astype(pb.float32) ** 2).sum()

    found = pb.jit(pb.grad(loss, (0, 1, 2)))(x, w, bias)
    wide = pb.grad(loss, (0, 1, 2))(*(v.astype(pb.float32) for v in (x, w, bias)))
    for gradient, want in zip(found, wide, strict=True):
        assert gradient.dtype == pb.bfloat16
        error = np.abs(np.asarray(gradient.astype(pb.float32)) - np.asarray(want))
        assert error.max() < 2e-2 * np.abs(np.asarray(want)).max()


@needs_pairs
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38, 1e-38])
def test_numbers_at_the_ends(value: float) -> None:
    """What is not finite spreads as IEEE says; large and small numbers keep their place."""
    x, w = _numbers(128, 128), _numbers(128, 128)
    x[3, 5] = value
    w[7, :] = 0.0
    x, w = (pb.tensor(v).astype(pb.bfloat16).astype(pb.float32) for v in (x, w))
    found = np.asarray(pb.jit(lambda x, w: (x.astype(pb.bfloat16) @ w.astype(pb.bfloat16).T).astype(pb.float32))(x, w))
    with np.errstate(all="ignore"):
        want = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
    assert np.isnan(found).tolist() == np.isnan(want).tolist()
    inside = np.isfinite(want) & (np.abs(want) < 1e38)
    np.testing.assert_allclose(found[inside], want[inside], rtol=2e-2, atol=0.1)
    assert np.array_equal(np.sign(found[~inside & ~np.isnan(want)]), np.sign(want[~inside & ~np.isnan(want)]))



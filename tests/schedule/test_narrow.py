"""Contractions of 16-bit numbers: what reads which numbers, with a matrix unit and without."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.kernel.test_interpret import interpret

import pullback as pb
import pullback.nn.functional as F
import pullback.ops.build as b
from pullback.engine.pipeline import Clock, run_passes
from pullback.ir.dtypes import DType, bfloat16, float16, float32
from pullback.ir.node import Function, Node, TensorType, evaluate, param
from pullback.kernel.nodes import MatmulNest, WindowNest
from pullback.schedule.plan import Options, Plan, plan
from pullback.util import config

BYTES: dict[DType, Any] = {bfloat16: ml_dtypes.bfloat16, float16: np.float16, float32: np.float32}


def given(dtype: DType, *shape: int) -> Node:
    return param(TensorType.of(shape, dtype))


def planned(function: Function, unit: bool, native: int | None = None) -> Plan:
    options = Options(2, unit=unit, native=int(unit) if native is None else native)
    return plan(run_passes(function, Clock()), frozenset(), frozenset(), options)


def nests(made: Plan) -> list[Any]:
    return [s for phase in made.phases for k in phase for s in k.body if isinstance(s, (MatmulNest, WindowNest))]


def operands(function: Function) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(t.shape).astype(BYTES[t.dtype]) for t in function.in_types]


@pytest.mark.parametrize("dtype", [bfloat16, float16])
@pytest.mark.parametrize("unit", [True, False])
def test_a_product_reads_what_its_machine_multiplies(dtype: DType, unit: bool) -> None:
    x, w = given(dtype, 100, 160), given(dtype, 90, 160)
    function = Function([x, w], [b.contract(x, w, 0, 1)])
    made = planned(function, unit)
    (nest,) = nests(made)
    wanted = bfloat16 if unit and dtype is bfloat16 else float32
    assert (nest.a.dtype, nest.b.dtype) == (wanted, wanted)
    assert nest.parts == {bfloat16: 1, float16: 2}[dtype]
    assert nest.accumulator.dtype is float32
    arrays = operands(function)
    found, want = interpret(function, arrays, made)[0], evaluate(function, *arrays)[0]
    np.testing.assert_allclose(found.astype(np.float32), want.astype(np.float32), rtol=2**-7, atol=2**-5)


def test_small_and_very_long_products_are_widened() -> None:
    for shape in ((16, 4000, 4000), (100, 100, 50), (40, 40, 200_000)):
        x, w = given(bfloat16, shape[0], shape[2]), given(bfloat16, shape[1], shape[2])
        for nest in nests(planned(Function([x, w], [b.contract(x, w, 0, 1)]), True)):
            assert nest.a.dtype is float32


@pytest.mark.parametrize("terms", [160, 161])
def test_pairs_of_terms_are_whole(terms: int) -> None:
    x, w = given(bfloat16, 100, terms), given(bfloat16, 90, terms)
    function = Function([x, w], [b.convert(b.contract(x, w, 0, 1), float32)])
    made = planned(function, False, native=2)
    (nest,) = nests(made)
    assert nest.a.dtype is bfloat16 and nest.k == 160
    assert sum(len(phase) for phase in made.phases) == 1  # what is left is added to the sums of the others
    arrays = operands(function)
    found, want = interpret(function, arrays, made)[0], evaluate(function, *arrays)[0]
    np.testing.assert_allclose(found, want, rtol=2**-7, atol=0.1)


@pytest.mark.parametrize(("precision", "dtype"), [("highest", float32), ("high", float32), ("medium", bfloat16)])
def test_float32_that_may_be_rounded_is_paired(precision: str, dtype: DType) -> None:
    x, w = given(float32, 100, 160), given(float32, 160, 90)
    function = Function([x, w], [b.contract(x, b.transpose(w, (1, 0)), 0, 1)])
    with config.override(matmul_precision=precision):
        made = planned(function, False, native=2)
    (nest,) = nests(made)
    assert (nest.a.dtype, nest.b.dtype) == (dtype, dtype)
    arrays = operands(function)
    rounded = [v.astype(BYTES[dtype]).astype(np.float32) for v in arrays]
    np.testing.assert_allclose(interpret(function, arrays, made)[0], evaluate(function, *rounded)[0], atol=1e-4)


def test_operands_in_float32_are_taken_as_they_were() -> None:
    x, w = given(bfloat16, 100, 160), given(bfloat16, 160, 90)
    product = b.contract(b.convert(x, float32), b.transpose(b.convert(w, float32), (1, 0)), 0, 1)
    (nest,) = nests(planned(Function([x, w], [product]), True))
    assert (nest.a.dtype, nest.b.dtype, nest.parts) == (bfloat16, bfloat16, 1)
    other = given(float32, 90, 160)
    (nest,) = nests(planned(Function([x, other], [b.contract(b.convert(x, float32), other, 0, 1)]), True))
    assert (nest.a.dtype, nest.b.dtype, nest.parts) == (float32, float32, 3)
    half = given(float16, 100, 160)
    with config.override(matmul_precision="medium"):
        (nest,) = nests(planned(Function([half], [b.contract(*[b.convert(half, float32)] * 2, 0, 1)]), True))
    assert (nest.a.dtype, nest.parts) == (float32, 2)


def test_gradients_of_a_loop_are_summed_in_float32() -> None:
    """One product over all turns, also of 16-bit numbers."""
    rng = np.random.default_rng(0)
    w, xs = (pb.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((16, 8), (512, 4, 16)))

    def loss(w: Any, dtype: str) -> Any:
        def turn(carry: Any, x: Any) -> Any:
            return carry, x @ w.astype(dtype)

        return pb.scan(turn, pb.zeros(()), xs.astype(dtype))[1].astype("float32").sum()

    narrow, wide = (pb.grad(lambda w, dtype=dtype: loss(w, dtype))(w).numpy() for dtype in ("bfloat16", "float32"))
    assert np.abs(narrow - wide).max() < 0.01 * np.abs(wide).max()


def test_what_is_read_in_16_bits_is_stored_so() -> None:
    """Readers of a product's rounded sums: the sums themselves are not stored."""
    x, w, g = given(bfloat16, 256, 160), given(bfloat16, 192, 160), given(float32, 192)
    y = b.convert(b.convert(b.contract(x, w, 0, 1), bfloat16), float32)
    mean = b.reduce("add", y, (1,))
    scaled = b.mul(b.mul(y, b.broadcast(g, y.shape, (1,))), b.broadcast(mean, y.shape, (0,)))
    made = planned(Function([x, w, g], [scaled]), True)
    stored = [buffer for phase in made.phases for k in phase for buffer in k.writes if buffer.size == 256 * 192]
    assert sorted(buffer.dtype.name for buffer in stored) == ["bfloat16", "float32"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_read_images_in_place(dtype: str, stride: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Forward and both gradients: products over windows, whose operands are stored once and without their windows."""
    rng = np.random.default_rng(0)
    x, w, bias = (pb.tensor(rng.standard_normal(s).astype(np.float32)).astype(dtype)
                  for s in ((4, 16, 18, 18), (32, 16, 3, 3), (32,)))

    def loss(x: Any, w: Any, bias: Any) -> Any:
        return F.conv2d(x, w, bias, stride=stride, padding=1).square().astype("float32").sum()

    text = pb.show(pb.value_and_grad(loss, argnums=(0, 1, 2)), "loops")(x, w, bias)
    capsys.readouterr()
    assert text.count("window of") == 3
    weights = r"(float32\[32|uint32\[16), 16, 3, 3\] workspace"  # converted, or words of two filters
    assert "16, 3, 3] workspace" not in re.sub(weights, "", text)
    value, found = pb.jit(pb.value_and_grad(loss, argnums=(0, 1, 2)))(x, w, bias)
    exact, wanted = pb.value_and_grad(loss, argnums=(0, 1, 2))(*(v.astype("float64") for v in (x, w, bias)))
    np.testing.assert_allclose(value.item(), exact.item(), rtol=1e-2)
    for got, want in zip(found, wanted, strict=True):
        want = want.numpy()
        assert np.abs(got.numpy().astype(np.float64) - want).max() < 2e-2 * np.abs(want).max()


def test_one_column_reads_16_bits() -> None:
    """A product with one vector is bound by memory: the matrix is not written in float32 first."""
    w, x = given(bfloat16, 3000, 2000), given(bfloat16, 2000)
    made = planned(Function([w, x], [b.contract(w, x, 0, 1)]), True)
    assert all(buffer.size < 100_000 for phase in made.phases for k in phase for buffer in k.writes)

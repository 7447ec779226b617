"""Constant operands of products in a loop are laid out once for a matrix unit."""

from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import pullback as pb
import pullback.ops.build as b
from pullback.codegen.llvm.matmul_amx import laid_fits
from pullback.codegen.llvm.matmul_spec import MatmulSpec, Operand
from pullback.codegen.llvm.target import X86_64_AMX, X86_64_V4, host
from pullback.ir.dtypes import float32
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, TensorType, evaluate, param
from pullback.ops.loops import Scan
from pullback.schedule import unit_panels
from pullback.schedule.panels import in_panels

needs_unit = pytest.mark.skipif(not host().amx, reason="the processor has no AMX, or the system does not lend it")
ROWS = [24, 29, 32, 64, 130]


def parts_of(w: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """The parts of w [columns, terms] in the panels that are made of it, in float32."""
    x = param(TensorType.of(w.shape, float32))
    made = unit_panels.panels(x, loop_vars(w.shape), (w.shape[0], w.shape[1]), count)
    with np.errstate(all="ignore"):
        found = np.asarray(evaluate(Function([x], [made]), w)[0])
    columns, terms = w.shape
    assert found.shape == (columns // 32, terms // 32, count, 2, 16, 16)
    numbers = np.stack([found & 0xFFFF, found >> 16]).astype(np.uint16).view(bfloat16).astype(np.float32)
    return numbers.transpose(3, 1, 4, 6, 2, 0, 5).reshape(count, columns, terms)


def test_the_sum_of_the_parts_is_the_number() -> None:
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((64, 96)) * 10.0 ** rng.integers(-20, 20, (64, 96))).astype(np.float32)
    w[0, :4] = 3.4028235e38, -3.4028235e38, 0.0, -0.0
    parts = parts_of(w, 3)
    np.testing.assert_array_equal(parts.astype(np.float64).sum(0), w)
    np.testing.assert_array_equal(parts_of(w, 1)[0], parts[0])
    np.testing.assert_array_equal(parts_of(w, 2), parts[:2])
    assert np.isfinite(parts).all()
    rest = np.abs(w.astype(np.float64) - parts[0])
    assert (rest <= np.abs(w) * 2.0**-8 + 1e-38).all()  # 8 bits, rounded, but for the largest numbers
    assert (rest > np.abs(w) * 2.0**-9).mean() < 0.3


def test_what_is_not_finite_stays_so() -> None:
    w = np.ones((32, 32), np.float32)
    w[0, :3] = np.inf, -np.inf, np.nan
    w[1, 0] = np.uint32(0x7F800001).view(np.float32)  # a number that is none by its last bit
    high = parts_of(w, 3)[0]
    np.testing.assert_array_equal(high[0, :3], w[0, :3])
    assert np.isnan(high[1, 0])


def run(h: Any, x: Any, w: Any) -> Any:
    return pb.scan(lambda c, p: ((y := pb.tanh(p + c @ w)), y), h, x)[1]


def run_turned(h: Any, x: Any, w: Any) -> Any:
    return run(h, x, w.T)


def arrays(rows: int, n: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(s) / np.sqrt(n)).astype(np.float32) for s in ((rows, n), (9, rows, n), (n, n))]


@pytest.mark.parametrize("function", [run, run_turned])
@pytest.mark.parametrize("rows", ROWS)
def test_loops_give_what_numpy_gives(function: Any, rows: int) -> None:
    h, x, w = arrays(rows, 320)
    found = function(*map(pb.tensor, (h, x, w))).numpy()
    state, matrix = h.astype(np.float64), w.T if function is run_turned else w
    for t in range(9):
        state = np.tanh(x[t] + state @ matrix)
        np.testing.assert_allclose(found[t], state, rtol=1e-5, atol=2e-6)


@needs_unit
@pytest.mark.parametrize("rows", ROWS)
def test_panels_are_made_once(rows: int) -> None:
    text = pb.show(run, "loops")(*map(pb.tensor, arrays(rows, 320)))
    assert text.count("uint32[10, 10, 3, 2, 16, 16] workspace") == 2  # where they are made, and the loop


@needs_unit
def test_rows_that_are_no_run_are_multiplied_as_they_lie() -> None:
    """A state of three dimensions, of which the product reads a slice."""
    h, _, w = arrays(64, 320)
    h = np.concatenate([h, h], 1).reshape(2, 32, 640)

    def turn(c: Any, _: Any) -> Any:
        y = pb.tanh(c[:, :, :320] @ w_)
        return pb.concat([y, y], -1), None

    w_ = pb.tensor(w)
    found = pb.jit(lambda h: pb.scan(turn, h, None, 9)[0])(pb.tensor(h)).numpy()
    state = h[..., :320].astype(np.float64)
    for _ in range(9):
        state = np.tanh(state @ w)
    np.testing.assert_allclose(found[..., :320], state, rtol=1e-5, atol=2e-6)


def test_infinities_stay_where_they_are() -> None:
    h, x, w = arrays(32, 320)
    h[3, 5], w[7, 9] = np.inf, -np.inf
    x[...] = 0

    def linear(h: Any, w: Any) -> Any:
        return pb.scan(lambda c, _: ((c @ w), None), h, None, 8)[0]

    with np.errstate(all="ignore"):
        state = h.astype(np.float64)
        for _ in range(8):
            state = state @ w.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(linear(pb.tensor(h), pb.tensor(w)).numpy()), np.isnan(state))


@needs_unit
def test_tensors_of_16_bits() -> None:
    h, x, w = (a.astype(bfloat16) for a in arrays(32, 320))
    given = [pb.tensor(a.astype(np.float32)).astype(pb.bfloat16) for a in (h, x, w)]
    assert "uint32[10, 10, 1, 2, 16, 16]" in pb.show(run, "loops")(*given)
    found = run(*given).numpy().astype(np.float32)
    state = h
    for t in range(9):
        product = (state.astype(np.float32) @ w.astype(np.float32)).astype(bfloat16)
        state = np.tanh((x[t] + product).astype(np.float32)).astype(bfloat16)
        np.testing.assert_allclose(found[t], state.astype(np.float32), rtol=2**-6, atol=2**-6)


@pytest.mark.parametrize(("rows", "columns", "terms", "parts", "wanted"), [
    (32, 1024, 256, 3, True), (24, 1024, 256, 3, True), (23, 1024, 256, 3, False), (40, 1024, 256, 3, False),
    (32, 1040, 256, 3, False), (32, 1024, 272, 3, False), (32, 256, 224, 3, False), (32, 2048, 512, 3, False),
    (32, 2048, 512, 1, True), (128, 2048, 512, 3, True), (130, 1024, 256, 3, True), (513, 1024, 256, 3, False)])
def test_where_panels_are_worth_it(rows: int, columns: int, terms: int, parts: int, wanted: bool) -> None:
    assert unit_panels.fits(float32, rows, columns, terms, parts) is wanted


@pytest.mark.parametrize(("dtype", "rows", "wanted"), [
    ("bfloat16", 32, True), ("bfloat16", 24, False), ("float16", 32, False)])
def test_panels_of_16_bits_are_made_where_they_are_read(dtype: str, rows: int, wanted: bool) -> None:
    given = [pb.tensor(a).astype(getattr(pb, dtype)) for a in arrays(rows, 320)]
    assert ("uint32" in pb.show(run, "loops")(*given)) is (wanted and host().amx)


def test_panels_of_another_product_are_not_taken() -> None:
    spec = MatmulSpec(32, 64, 96, Operand(96, 1), Operand(1, 96), "float")
    assert laid_fits(spec, (2, 3, 3, 2, 16, 16), X86_64_AMX)
    assert not laid_fits(spec, (2, 3, 3, 2, 16, 16), X86_64_V4)
    assert not laid_fits(spec, (3, 2, 3, 2, 16, 16), X86_64_AMX)
    assert not laid_fits(spec, (2, 3, 1, 2, 16, 16), X86_64_AMX)


def test_without_a_unit_there_are_no_such_panels() -> None:
    def step(h: Node, w: Node) -> Node:
        return b.apply(b.Contract(0, 1, float32), h, w)

    h, w = (param(TensorType.of(s, float32)) for s in ((32, 320), (320, 320)))
    inner_w, inner_h = (param(x.tensor) for x in (w, h))
    loop = b.apply(Scan(Function([inner_w, inner_h], [step(inner_h, inner_w)]), 9, 1, 1), w, h)

    def types(node: Node) -> list[str]:
        return [x.tensor.dtype.name for x in node.inputs]

    assert types(in_panels(loop, True)) == ["float32", "uint32", "float32"]
    assert types(in_panels(loop, False)) == ["float32"] * 3

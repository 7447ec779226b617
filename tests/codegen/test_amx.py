"""Products on the matrix unit: values, what is not finite, precision, memory bounds, what is left to vectors.

Code is generated on every machine, and run where there is such a unit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.codegen.products import (
    CLAIMS,
    VECTORS,
    WORKSPACE,
    A,
    B,
    BiasRelu,
    C,
    Compiled,
    Descend,
    Guarded,
    Long,
    Output,
    check,
    layout,
)

import pullback as pb
from pullback.codegen.llvm import compile, matmul_amx, window_amx, window_planes, window_terms_amx
from pullback.codegen.llvm.compile import CompileError, compile_ir
from pullback.codegen.llvm.matmul import MatmulSpec, Operand, emit_matmul
from pullback.codegen.llvm.matmul_amx import AmxPlan, amx_plan, planned
from pullback.codegen.llvm.target import X86_64_AMX, X86_64_V4, host
from pullback.codegen.llvm.text import Module
from pullback.schedule import prepare
from pullback.util import config

needs_unit = pytest.mark.skipif(not host().amx, reason="the processor has no AMX, or the system does not lend it")
SIDES = ("row", "column")


def spec_of(m: int, n: int, k: int, a: str = "row", b: str = "row", batch: tuple[int, ...] = ()) -> MatmulSpec:
    return MatmulSpec(m, n, k, layout(m, k, a, batch, False)[0], layout(k, n, b, batch, False)[0], "float", batch)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products for which vectors are faster, too."""
    monkeypatch.setattr(matmul_amx, "GAIN", np.inf)
    monkeypatch.setattr(matmul_amx, "CLAIM_FLOPS", 0)


def plan_of(m: int, n: int, k: int, a: str = "row", b: str = "row", batch: tuple[int, ...] = ()) -> AmxPlan:
    plan = amx_plan(spec_of(m, n, k, a, b, batch), X86_64_AMX, 2)
    assert plan is not None
    return plan


@pytest.mark.usefixtures("always")
@needs_unit
@pytest.mark.parametrize("a", SIDES)
@pytest.mark.parametrize("b", SIDES)
@pytest.mark.parametrize("m, n, k", [
    (256, 256, 256), (301, 203, 257), (97, 333, 1300), (1100, 517, 130), (64, 900, 650), (5, 300, 40)])
def test_values(m: int, n: int, k: int, a: str, b: str) -> None:
    """Whole and ragged panels, one block of k and several, operands as they lie and turned."""
    plan_of(m, n, k, a, b)
    check(m, n, k, a=a, b=b, target=host(), threads=(1, 2, 3, 5), at_end=k % 2 == 0)


@pytest.mark.usefixtures("always")
@needs_unit
@pytest.mark.parametrize("a", SIDES)
@pytest.mark.parametrize("b", SIDES)
@pytest.mark.parametrize("parts, narrow", [(1, True), (1, False), (2, False)])
def test_numbers_of_fewer_parts(parts: int, narrow: bool, a: str, b: str) -> None:
    """Of operands in 16 bits, or in float32 with as few bits; nothing is lost of those."""
    for m, n, k in ((256, 256, 256), (301, 203, 257), (97, 333, 1300), (64, 900, 650), (1, 300, 40), (70, 1, 64)):
        check(m, n, k, a=a, b=b, target=host(), threads=(1, 2, 3), at_end=k % 2 == 0, parts=parts, narrow=narrow)
    check(130, 70, 200, a=a, b=b, batch=(3,), target=host(), threads=(1, 2), parts=parts, narrow=narrow)


@pytest.mark.usefixtures("always")
@needs_unit
@pytest.mark.parametrize("m", [160, 161, 175, 176, 177, 191])
@pytest.mark.parametrize("n", [192, 193, 207, 208, 209])
def test_edges(m: int, n: int) -> None:
    for k in (224, 225, 240, 255):
        for a, b in (("row", "column"), ("column", "row")):
            plan_of(m, n, k, a, b)
            check(m, n, k, a=a, b=b, target=host(), threads=(2,), at_end=k % 2 == 0)


@pytest.mark.usefixtures("always")
@needs_unit
@pytest.mark.parametrize("epilogue", [BiasRelu, Descend, Long])
def test_epilogues(epilogue: type[Output]) -> None:
    for m, n, k in ((301, 203, 257), (130, 190, 1290)):
        plan_of(m, n, k)
        check(m, n, k, epilogue=epilogue, target=host(), threads=(1, 2))


@pytest.mark.usefixtures("always")
@needs_unit
@pytest.mark.parametrize("batch, broadcast", [((3,), (False, False)), ((2, 5), (False, True)), ((9,), (True, False))])
def test_batches(batch: tuple[int, ...], broadcast: tuple[bool, bool]) -> None:
    plan_of(130, 170, 200, batch=batch)
    for a, b in (("row", "row"), ("column", "column")):
        check(130, 170, 200, a=a, b=b, batch=batch, broadcast=broadcast, target=host(), threads=(1, 2, 4))


@needs_unit
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("m, n, k, batch", [(1200, 150, 330, ()), (290, 110, 330, (3,)), (70, 64, 96, (2, 7))])
def test_sweeps(m: int, n: int, k: int, batch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels of A that are made anew, for other rows or batch indices, when nobody reads the old ones any more."""
    monkeypatch.setattr(matmul_amx, "SWEEP_BYTES", 300 << 10)
    monkeypatch.setattr(matmul_amx, "THREAD_BYTES", 100 << 10)
    monkeypatch.setattr(matmul_amx, "MOST_ROWS", 4)
    assert plan_of(m, n, k, batch=batch).sweeps > 2
    for a, b in (("row", "row"), ("column", "column")):
        for _ in range(4):
            check(m, n, k, a=a, b=b, batch=batch, target=host(), threads=(1, 2, 3, 5))


@needs_unit
@pytest.mark.parametrize("left, right", [("whole", "turned"), ("turned", "whole"), ("apart", "whole"),
                                         ("spread", "turned"), ("middle", "apart")])
def test_tensors_of_16_bits(left: str, right: str) -> None:
    """However their numbers lie: rows, columns, every other one, one row for all, heads between rows and features."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 150, 200)).astype(np.float32) for _ in range(2)]

    def seen(x: pb.Tensor, how: str) -> pb.Tensor:
        return {"whole": lambda: x, "turned": lambda: x.mT.contiguous().mT, "apart": lambda: x[..., ::2],
                "spread": lambda: x[:, :1].expand(2, 150, 200),
                "middle": lambda: x.reshape(2, 150, 2, 100).transpose(1, 2)[:, 1]}[how]()

    tensors = [pb.tensor(x).astype("bfloat16") for x in arrays]
    x, y = (seen(t, how) for t, how in zip(tensors, (left, right), strict=True))
    x, y = (t[..., :100] for t in (x, y))
    exact = x.numpy().astype(np.float64) @ np.swapaxes(y.numpy().astype(np.float64), -1, -2)
    found = pb.matmul(x, y.mT)
    assert found.dtype is pb.bfloat16
    np.testing.assert_allclose(found.numpy().astype(np.float64), exact, rtol=2**-8, atol=2**-8)


@needs_unit
def test_gradients_of_tensors_of_16_bits() -> None:
    rng = np.random.default_rng(0)
    x, w, q = (pb.tensor(rng.standard_normal(shape).astype(np.float32)).astype("bfloat16")
               for shape in ((3, 90, 130), (170, 130), (3, 90, 170)))
    text = str(pb.show(pb.value_and_grad(lambda x, w: (pb.nn.functional.linear(x, w) * q).sum(), argnums=(0, 1)),
                       "loops")(x, w))
    assert text.count("of 1 part: ") == 3
    assert "float32[3, 90, 130]" not in text
    _, found = pb.value_and_grad(lambda x, w: (pb.nn.functional.linear(x, w) * q).sum(), argnums=(0, 1))(x, w)
    xs, ws, qs = (v.numpy().astype(np.float64) for v in (x, w, q))
    for grad, exact in zip(found, (qs @ ws, np.einsum("bmn,bmk->nk", qs, xs)), strict=True):
        np.testing.assert_allclose(grad.numpy().astype(np.float64), exact, rtol=2**-7, atol=2**-5)


def test_who_computes_does_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    for m, n, k in rng.integers(20, 400, (200, 3)):
        found = {amx_plan(spec_of(int(m), int(n), int(k)), X86_64_AMX, threads) is None for threads in (1, 2, 3, 8, 64)}
        assert len(found) == 1


class Product:
    """A product on the unit, and the same by vectors."""

    def __init__(self, m: int, n: int, k: int) -> None:
        plan_of(m, n, k)
        self.shape = m, n, k
        self.compiled = {name: Compiled(spec_of(m, n, k), Output, target)
                         for name, target in (("unit", host()), ("vectors", VECTORS))}

    def __call__(self, name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        m, n, k = self.shape
        compiled = self.compiled[name]
        memory = [Guarded(count * 4) for count in (m * k, k * n, m * n, 0, n, 1)]
        memory[WORKSPACE] = Guarded(-(-compiled.kernel.workspace(2) // 64) * 64)
        for slot, array in ((A, a), (B, b)):
            memory[slot].array(np.float32, array.shape)[...] = array
        compiled.run([part.address for part in memory], 2)
        return memory[C].array(np.float32, (m, n)).copy()


@cache
def made(m: int, n: int, k: int) -> Product:
    return Product(m, n, k)


@pytest.fixture(params=[256, 1300])
def product(request: pytest.FixtureRequest, always: None) -> Product:
    return made(130, 170, request.param)


def operands(product: Product, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    m, n, k = product.shape
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)


@needs_unit
@pytest.mark.parametrize("spread", [0.0, 3.0, 8.0])
def test_the_error_is_no_larger_than_that_of_vectors(product: Product, spread: float) -> None:
    """Also where the numbers' sizes differ by many orders of magnitude; relative to the sum of absolute products."""
    a, b = operands(product)
    rng = np.random.default_rng(1)
    a *= np.exp(spread * rng.standard_normal(a.shape)).astype(np.float32)
    b *= np.exp(spread * rng.standard_normal(b.shape)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    unit, vectors = (np.abs(product(name, a, b) - exact) / size for name in ("unit", "vectors"))
    assert unit.max() <= 1.1 * vectors.max()
    assert np.sqrt((unit ** 2).mean()) <= (1.1 if spread else 0.6) * np.sqrt((vectors ** 2).mean())


@needs_unit
def test_a_product_with_the_identity_keeps_every_bit() -> None:
    """A number is the sum of its parts: any bits, from 2**-103 on up to the largest."""
    product = Product(256, 256, 256)
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 1 << 32, (256, 256), dtype=np.uint64).astype(np.uint32)
    exponent = rng.integers(127 - 103, 255, bits.shape, dtype=np.uint32)
    a = (bits & np.uint32(0x807FFFFF) | exponent << np.uint32(23)).view(np.float32)
    a[0, :4] = np.finfo(np.float32).max, -np.finfo(np.float32).max, 3.39e38, 0.0
    eye = np.eye(256, dtype=np.float32)
    np.testing.assert_array_equal(product("unit", a, eye), a)
    np.testing.assert_array_equal(product("unit", eye, a), a)


@needs_unit
def test_any_bits_that_are_no_number_stay_so(product: Product) -> None:
    a, b = operands(product)
    for row, bits in enumerate((0x7F800001, 0x7F80FFFF, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000)):
        a.view(np.uint32)[row, 3] = bits
    found = product("unit", a, b)
    assert np.isnan(found[:6]).all()
    assert np.isfinite(found[6:]).all()


@needs_unit
@pytest.mark.parametrize("values", [(np.inf,), (-np.inf,), (np.nan,), (np.inf, -np.inf), (np.inf, np.nan, 1e30)])
def test_what_is_not_finite(product: Product, values: tuple[float, ...]) -> None:
    """Infinities and numbers that are none spread as they do in NumPy, and nowhere else."""
    a, b = operands(product)
    rng = np.random.default_rng(2)
    for array in (a, b):
        for value in values:
            array[rng.integers(0, array.shape[0], 3), rng.integers(0, array.shape[1], 3)] = value
    b[:, 5] = 0
    with np.errstate(invalid="ignore", over="ignore"):
        expected = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    found = product("unit", a, b)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    large = ~np.isfinite(expected)
    np.testing.assert_array_equal(found[large], expected[large])
    np.testing.assert_allclose(found[~large], expected[~large], rtol=1e-3, atol=1e-3)


@needs_unit
def test_small_numbers_are_not_lost_at_once(product: Product) -> None:
    """Below 2**-103 a number's low part is too small for a bfloat16, below 2**-126 it is zero."""
    a, b = operands(product)
    a = np.abs(a) + 1
    b = np.abs(b) + 1
    exact = a.astype(np.float64) @ b.astype(np.float64)
    for exponent, tolerance in ((-100, 1e-6), (-112, 1e-4), (-120, 1e-2), (-140, 2.0)):
        scaled = (a * 2.0 ** exponent).astype(np.float32)
        found = product("unit", scaled, (b * 2.0 ** 60).astype(np.float32)) * 2.0 ** (-60 - exponent)
        assert np.abs(found / exact - 1).max() < tolerance


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("a", SIDES)
@pytest.mark.parametrize("b", SIDES)
@pytest.mark.parametrize("m, n, k", [(256, 256, 256), (333, 203, 1301)])
def test_code_is_generated_on_any_machine(m: int, n: int, k: int, a: str, b: str) -> None:
    plan_of(m, n, k, a, b)
    module, spec = Module(), spec_of(m, n, k, a, b)
    emit_matmul(module, "product", spec, A, B, WORKSPACE, lambda _: CLAIMS, BiasRelu(spec), X86_64_AMX)
    text = module.text()
    assert text.count("call void @llvm.x86.tdpbf16ps") == 24 + 4  # six products of parts; one where numbers are missing
    assert len(compile_ir(text, X86_64_AMX.cpu, X86_64_AMX.features, X86_64_AMX.triple)) > 500
    with pytest.raises(CompileError, match="tdpbf16ps"):
        compile_ir(text, X86_64_V4.cpu, X86_64_V4.features, X86_64_V4.triple)


@pytest.mark.parametrize("spec", [
    MatmulSpec(512, 512, 512, Operand(512, 1), Operand(512, 1), "double"),  # another type
    MatmulSpec(512, 512, 512, Operand(1024, 2), Operand(512, 1), "float"),  # neither rows nor columns contiguous
    MatmulSpec(64, 64, 64, Operand(64, 1), Operand(64, 1), "float"),  # little work
    MatmulSpec(4096, 16, 512, Operand(512, 1), Operand(16, 1), "float"),  # panels take longer than vectors' sums
    MatmulSpec(4096, 4096, 8, Operand(8, 1), Operand(4096, 1), "float")])
def test_what_is_left_to_vectors(spec: MatmulSpec) -> None:
    assert amx_plan(spec, X86_64_AMX, 2) is None


def test_plans() -> None:
    assert amx_plan(spec_of(512, 512, 512), X86_64_V4, 2) is None
    for m, n, k in ((1024, 384, 384), (128, 512, 784), (384, 1536, 1024), (96, 4096, 1024), (3000, 3000, 2000)):
        for threads in (1, 2, 8):
            plan = amx_plan(spec_of(m, n, k), X86_64_AMX, threads)
            assert plan is not None
            assert plan.batches * plan.cuts * plan.groups >= min(2 * threads, plan.rows // 4)
            assert plan.rows // plan.cuts <= 32
            assert plan.thread_bytes <= 2 << 20


def test_the_longest_sums_of_16_bits_keep_little() -> None:
    for m, n in ((32, 32), (1000, 1000), (40, 9000)):
        spec = spec_of(m, n, prepare.NATIVE_TERMS)
        assert planned(replace(spec, parts=1, narrow=True), 2).shared_bytes <= 32 << 20


@pytest.mark.parametrize("threads", [1, 2, 16, 64])
def test_panels_take_little_memory(threads: int) -> None:
    for m, n, k in ((9000, 9000, 9000), (1024, 1024, 40_000), (8192, 768, 30_000), (512, 512, 43_000)):
        plan = planned(spec_of(m, n, k), threads)
        assert plan.shared_bytes <= max(32, 8 * threads) << 20
        assert plan.sweeps * plan.kept >= plan.batches * plan.cuts
    for m, n, k in ((1024, 1024, 1_000_000), (8192, 768, 50_257), (64, 576, 802_816)):
        assert amx_plan(spec_of(m, n, k), X86_64_AMX, threads) is None


@pytest.mark.parametrize("allowed", [True, False])
def test_without_the_systems_permission_there_is_no_unit(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = compile.Target("x86_64-unknown-linux-gnu", "sapphirerapids", "+amx-bf16,+amx-int8,+amx-tile,+avx512f,+sse2")
    monkeypatch.setattr(compile, "_host_target", lambda: known)
    monkeypatch.setattr(compile, "tiles_allowed", lambda: allowed)
    found = compile.host_target.__wrapped__()
    assert found == (known if allowed else known._replace(features="+avx512f,+sse2"))


@needs_unit
def test_the_flag_leaves_products_to_vectors() -> None:
    rng = np.random.default_rng(0)
    a, b = (pb.tensor(rng.standard_normal((300, 300)).astype(np.float32)) for _ in range(2))
    texts: list[str] = []
    results: list[np.ndarray] = []
    for on in (True, False):
        with config.override(amx=on):
            texts.append(str(pb.show(lambda a, b: a @ b, "llvm")(a, b)))
            results.append(pb.jit(lambda a, b: a @ b)(a, b).numpy())
    assert ["tdpbf16ps" in text for text in texts] == [True, False]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-4)


@needs_unit
@pytest.mark.parametrize("precision, products, error", [
    ("highest", 24 + 4, 2e-7), ("high", 16 + 4, 2**-16), ("medium", 4, 2**-8)])
def test_float32_rounded_on_request(precision: str, products: int, error: float) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((300, 300)).astype(np.float32) for _ in range(2))
    with config.override(matmul_precision=precision):
        text = str(pb.show(lambda a, b: a @ b, "llvm")(pb.tensor(a), pb.tensor(b)))
        found = pb.jit(lambda a, b: a @ b)(pb.tensor(a), pb.tensor(b)).numpy()
    assert text.count("call void @llvm.x86.tdpbf16ps") == products
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    off = np.abs(found - a.astype(np.float64) @ b.astype(np.float64)) / size
    assert error / 100 < off.max() < error


def windows(x: np.ndarray, w: np.ndarray, stride: int, pad: int, apart: int) -> np.ndarray:
    """A convolution in float64, from its definition."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    reach = [(n - 1) * apart + 1 for n in w.shape[2:]]
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", seen[:, :, ::stride, ::stride, ::apart, ::apart], w.astype(np.float64))


CONVOLUTIONS = [  # images, channels, filters, side, kernel, stride, padding, dilation
    (4, 64, 128, 16, 3, 1, 1, 1), (3, 128, 128, 16, 3, 1, 1, 1), (8, 256, 256, 8, 3, 1, 1, 1),
    (16, 128, 256, 4, 3, 1, 1, 1), (4, 64, 128, 32, 3, 2, 1, 1), (4, 64, 96, 17, 3, 1, 1, 1),
    (4, 96, 128, 16, 1, 1, 0, 1), (2, 64, 128, 20, 5, 1, 2, 1), (2, 64, 128, 24, 3, 1, 2, 2),
    (2, 40, 64, 28, 3, 1, 0, 1), (2, 1000, 32, 12, 1, 1, 0, 1),
    (5, 33, 64, 12, 3, 1, 1, 1)]
PLANES = [  # the same, where tiles are loaded from planes: bands, strides, one image, other windows, several blocks
    (4, 64, 128, 16, 3, 1, 1, 1), (2, 64, 64, 32, 3, 1, 1, 1), (2, 64, 64, 32, 3, 2, 1, 1), (1, 32, 32, 48, 3, 1, 1, 1),
    (2, 64, 64, 16, 5, 1, 2, 1), (2, 64, 64, 16, 3, 1, 2, 2), (3, 32, 96, 18, 3, 1, 0, 1), (1, 512, 32, 32, 3, 1, 1, 1)]


@needs_unit
@pytest.mark.parametrize("planes, case", [(False, c) for c in CONVOLUTIONS] + [(True, c) for c in PLANES])
def test_convolutions(planes: bool, case: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients: several blocks of terms, tiles at the end of an image, images side by side, strides."""
    images, channels, filters, side, kernel, stride, pad, apart = case
    for module in (window_amx, window_terms_amx, window_planes):
        monkeypatch.setattr(module, "GAIN", np.inf if planes or module is not window_planes else 0)
        monkeypatch.setattr(module, "CLAIM_FLOPS", 0)
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype(np.float32)
            for shape in ((images, channels, side, side), (filters, channels, kernel, kernel)))
    expected = windows(x, w, stride, pad, apart)
    q = rng.standard_normal(expected.shape).astype(np.float32)

    def forward(x: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        return pb.nn.functional.conv2d(x, w, stride=stride, padding=pad, dilation=apart)

    def both(x: pb.Tensor, w: pb.Tensor) -> tuple[pb.Tensor, ...]:
        return forward(x, w), *pb.grad(lambda x, w: (forward(x, w) * pb.tensor(q)).sum(), argnums=(0, 1))(x, w)

    found: list[list[np.ndarray]] = []
    for on in (True, False):
        with config.override(amx=on, cache_size=0):
            text = str(pb.show(forward, "llvm")(pb.tensor(x), pb.tensor(w)))
            assert ("tdpbf16ps" in text) == on and ("amx_planes" in text) == (on and planes)
            found.append([t.numpy() for t in pb.jit(both)(pb.tensor(x), pb.tensor(w))])
    np.testing.assert_allclose(found[0][0], expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-6 * np.abs(other).max())


@needs_unit
def test_gradients_of_weights_are_on_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in runs of 16, 8 and 4; not where a stride sets them apart."""
    monkeypatch.setattr(window_terms_amx, "GAIN", np.inf)
    monkeypatch.setattr(window_terms_amx, "CLAIM_FLOPS", 0)
    for side, stride, on_unit in ((16, 1, True), (8, 1, True), (4, 1, True), (16, 2, False)):
        x, w = pb.ones((2, 64, side, side)), pb.ones((32, 64, 3, 3))

        def gradient(w: pb.Tensor, x: pb.Tensor, stride: int = stride) -> pb.Tensor:
            return pb.grad(lambda w: (pb.nn.functional.conv2d(x, w, stride=stride, padding=1) ** 2).sum())(w)

        with config.override(cache_size=0):
            text = str(pb.show(gradient, "llvm")(w, x))
        assert (".w(" in text) == on_unit


@needs_unit
@pytest.mark.parametrize("case", PLANES[:3])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_convolutions_of_16_bits(dtype: str, case: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """No bit of an operand is lost: results are float32's of the same numbers, rounded."""
    images, channels, filters, side, kernel, stride, pad, apart = case
    for module in (window_terms_amx, window_planes):
        monkeypatch.setattr(module, "GAIN", np.inf)
        monkeypatch.setattr(module, "CLAIM_FLOPS", 0)
    rng = np.random.default_rng(0)
    x, w = (pb.tensor(rng.standard_normal(shape).astype(np.float32)).astype(dtype)
            for shape in ((images, channels, side, side), (filters, channels, kernel, kernel)))

    def forward(x: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        return pb.nn.functional.conv2d(x, w, stride=stride, padding=pad, dilation=apart)

    expected = windows(x.astype("float32").numpy(), w.astype("float32").numpy(), stride, pad, apart)
    found = pb.jit(forward)(x, w)
    assert "amx_planes_" + str({"bfloat16": 1, "float16": 2}[dtype]) in str(pb.show(forward, "llvm")(x, w))
    np.testing.assert_allclose(found.astype("float32").numpy(), expected,
                               rtol={"bfloat16": 2**-8, "float16": 2**-11}[dtype], atol=1e-4)


@needs_unit
@pytest.mark.parametrize("module", [window_amx, window_planes])
def test_infinities_in_a_convolution_stay_where_they_are(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_planes, "GAIN", 0)
    monkeypatch.setattr(module, "GAIN", np.inf)
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 128, 16, 16), (128, 128, 3, 3)))
    x[0, 5, 7, 9], x[1, 100, 0, 0], w[3, 70, 1, 1] = np.inf, np.nan, -np.inf
    with config.override(cache_size=0), np.errstate(invalid="ignore"):
        found = pb.jit(lambda x, w: pb.nn.functional.conv2d(x, w, padding=1))(pb.tensor(x), pb.tensor(w)).numpy()
        expected = windows(x, w, 1, 1, 1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    large = np.isinf(expected)
    np.testing.assert_array_equal(found[large], expected[large])
    fine = np.isfinite(expected)
    np.testing.assert_allclose(found[fine], expected[fine], rtol=1e-3, atol=1e-3)


@needs_unit
@pytest.mark.parametrize("parts, narrow", [(3, False), (2, False), (1, False), (1, True)])
@pytest.mark.parametrize("m, n, k", [(32, 1024, 256), (32, 256, 1024), (29, 96, 1056), (1, 32, 32), (130, 64, 320)])
def test_panels_that_are_there_already(m: int, n: int, k: int, parts: int, narrow: bool) -> None:
    """One block of k and several, rows that fill no panel, all sides of an operand."""
    for a in SIDES:
        check(m, n, k, a=a, target=host(), threads=(1, 2, 3, 5), at_end=m % 2 == 0, parts=parts, narrow=narrow,
              laid=True)
    check(m, n, k, epilogue=BiasRelu, target=host(), threads=(2,), parts=parts, narrow=narrow, laid=True)

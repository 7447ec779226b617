"""Products over windows of bfloat16 numbers: what is read as words of two, and that it means the same.

The schedule is made and interpreted on every machine; compiled code runs where the processor multiplies pairs.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.kernel.test_interpret import interpret

import pullback as pb
import pullback.nn.functional as F
import pullback.ops.build as b
from pullback.api.convolution import window_nodes
from pullback.codegen.llvm.target import host
from pullback.engine.pipeline import Clock, run_passes
from pullback.ir.dtypes import DType, bfloat16, float16, float32, uint32
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, TensorType, evaluate, param
from pullback.kernel.nodes import MatmulNest, WindowNest
from pullback.schedule import costs, prepare
from pullback.schedule.pairs import words
from pullback.schedule.plan import Options, Plan, plan

needs_pairs = pytest.mark.skipif(host().native != 2, reason="the processor has no products of pairs")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products, too."""
    monkeypatch.setattr(prepare, "NATIVE_WORK", 0)


def given(dtype: DType, *shape: int) -> Node:
    return param(TensorType.of(shape, dtype))


def convolution(x: Node, w: Node, stride: int = 1, pad: int = 1) -> Node:
    out = tuple((n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
    windows = window_nodes(x, 2, w.shape[2:], out, (stride,) * 2, (pad,) * 2, (1, 1), 0)
    y = b.contract(b.transpose(windows, (0, 2, 3, 1, 4, 5)), w, 0, 3)
    return b.transpose(y, (0, 3, 1, 2))


def dilated(x: Node) -> Node:
    """Zeros between the pixels, as a transposed convolution has them."""
    n, c, y, x_ = over = loop_vars((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    source = b.reshape(x, (*x.shape, 1, 1))
    return b.reindex(source, tuple(v.high + 1 for v in over), (n, c, y // 2, x_ // 2, y % 2, x_ % 2), 0)


def of_weight(x: Node, ct: Node, pad: int = 1) -> Node:
    """The gradient of a 3x3 weight."""
    windows = window_nodes(x, 2, (3, 3), ct.shape[2:], (1, 1), (pad, pad), (1, 1), 0)  # [b, c, y, x, 3, 3]
    return b.contract(b.transpose(ct, (1, 0, 2, 3)), b.transpose(windows, (1, 4, 5, 0, 2, 3)), 0, 3)


def planned(function: Function) -> Plan:
    return plan(run_passes(function, Clock()), frozenset(), frozenset(), Options(2, native=2))


def read(made: Plan) -> list[DType]:
    """What each product over windows reads."""
    nests = [s for phase in made.phases for k in phase for s in k.body if isinstance(s, WindowNest)]
    assert all(s.a.dtype is s.b.dtype for s in nests)
    return [s.a.dtype for s in nests]


def check(function: Function, expected: DType) -> None:
    made = planned(function)
    assert read(made) == [expected]
    rng = np.random.default_rng(0)
    kinds = {bfloat16: ml_dtypes.bfloat16, float16: np.float16, float32: np.float32}
    arrays = [rng.standard_normal(t.shape).astype(kinds[t.dtype]) for t in function.in_types]
    found, want = interpret(function, arrays, made)[0], evaluate(function, *arrays)[0]
    np.testing.assert_allclose(found.astype(np.float32), want.astype(np.float32), rtol=2**-7, atol=2**-4)


@pytest.mark.parametrize(("channels", "dtype", "expected"), [
    (4, bfloat16, uint32), (3, bfloat16, float32), (4, float16, float32), (4, float32, float32)])
def test_channels_are_paired(channels: int, dtype: DType, expected: DType) -> None:
    for stride in (1, 2):
        x, w = given(dtype, 2, channels, 9, 8), given(dtype, 4, channels, 3, 3)
        check(Function([x, w], [convolution(x, w, stride)]), expected)


@pytest.mark.parametrize(("images", "expected"), [(2, uint32), (3, float32)])
def test_images_are_paired_for_the_gradient_of_a_weight(images: int, expected: DType) -> None:
    x, ct = given(bfloat16, images, 3, 9, 40), given(bfloat16, images, 5, 9, 40)
    check(Function([x, ct], [of_weight(x, ct)]), expected)


def test_an_image_that_is_copied_first_is_copied_as_words() -> None:
    x, w = given(bfloat16, 2, 9, 8, 4), given(bfloat16, 4, 4, 3, 3)
    check(Function([x, w], [convolution(b.transpose(x, (0, 3, 1, 2)), w)]), uint32)


@pytest.mark.parametrize(("channels", "places", "expected"), [(2, 32, uint32), (2, 31, float32), (4, 31, uint32)])
def test_what_is_paired_leaves_windows(channels: int, places: int, expected: DType) -> None:
    """Two channels in one word would be none: the product would be one of rows and columns."""
    x, y = given(bfloat16, channels, 40, places), given(bfloat16, 50, places, channels)
    check(Function([x, y], [b.contract(b.transpose(x, (1, 0, 2)), b.transpose(y, (0, 2, 1)), 0, 2)]), expected)


def test_words_of_a_long_chain_of_operations() -> None:
    """Whichever of its operators an expression grows too long at, the product reads words."""
    for length in range(costs.DEPTH - 12, costs.DEPTH):
        x, w = given(float32, 2, 4, 9, 16), given(bfloat16, 4, 4, 3, 3)
        y: Node = x
        for k in range(length):
            y = b.maximum(y, b.scalar_like(y, k - 1000.0))
        assert read(planned(Function([x, w], [convolution(dilated(b.convert(y, bfloat16)), w)]))) == [uint32]


def test_without_fusion_nothing_is_read_as_words() -> None:
    x, w = given(bfloat16, 2, 4, 9, 16), given(bfloat16, 4, 4, 3, 3)
    made = plan(run_passes(Function([x, w], [convolution(x, w)]), Clock()), frozenset(), frozenset(),
                Options(2, fuse=False, native=2))
    assert all(s.a.dtype is not uint32 for phase in made.phases for k in phase for s in k.body
               if isinstance(s, (MatmulNest, WindowNest)))


def test_words() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3).astype(ml_dtypes.bfloat16)
    node = given(bfloat16, 2, 4, 3)
    found = evaluate(Function([node], [words(node, 1)]), x)[0]
    halves = found.view(np.uint16).reshape(2, 2, 3, 2)
    assert np.array_equal(halves[..., 0], x[:, ::2].view(np.uint16))
    assert np.array_equal(halves[..., 1], x[:, 1::2].view(np.uint16))


CASES = [  # images, channels, filters, kernel, size, options
    (4, 16, 32, (3, 3), (32, 32), {"padding": 1}), (2, 16, 24, (3, 3), (17, 19), {"padding": 1, "stride": 2}),
    (2, 8, 10, (5, 3), (30, 21), {"dilation": 2}), (4, 32, 16, (1, 1), (12, 12), {}),
    (32, 64, 32, (3, 3), (4, 4), {"padding": 1}), (2, 8, 8, (3, 3), (40, 40), {"padding": 1, "groups": 2}),
    (3, 6, 7, (3, 3), (33, 33), {"padding": 1}), (2, 5, 8, (3, 3), (33, 33), {"padding": 1}),
    (4, 16, 16, (9,), (301,), {"padding": 4}), (2, 4, 6, (3, 3, 3), (9, 10, 11), {"padding": 1})]


@needs_pairs
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case: Any, transposed: bool) -> None:
    images, channels, filters, kernel, size, options = case
    groups = options.get("groups", 1)
    call = getattr(F, f"conv_transpose{len(size)}d" if transposed else f"conv{len(size)}d")
    rng = np.random.default_rng(1)
    shape = (channels, filters // groups) if transposed else (filters, channels // groups)
    x, w = (pb.tensor(rng.standard_normal(s).astype(np.float32)).astype(pb.bfloat16)
            for s in ((images, channels, *size), (*shape, *kernel)))

    def product(x: Any, w: Any) -> Any:
        return call(x, w, **options)

    y = product(x, w)
    ct = pb.tensor(rng.standard_normal(y.shape).astype(np.float32)).astype(pb.bfloat16)
    both = pb.jit(lambda x, w, ct: (product(x, w), *pb.vjp(product, x, w)[1](ct)))
    for found, want in zip(both(x, w, ct), both(*(v.astype(pb.float64) for v in (x, w, ct))), strict=True):
        error = np.abs(np.asarray(found.astype(pb.float64)) - np.asarray(want)).max()
        assert error < 2**-7 * np.abs(np.asarray(want)).max()


@needs_pairs
def test_same_bits_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(2)
    x, w = (pb.tensor(rng.standard_normal(s).astype(np.float32)).astype(pb.bfloat16)
            for s in ((8, 32, 32, 32), (64, 32, 3, 3)))
    found: list[bytes] = []
    before = pb.config.get("threads")
    try:
        for threads in (1, 2, 3):
            pb.config.set("threads", threads)
            y, grads = pb.jit(pb.value_and_grad(lambda x, w: (F.conv2d(x, w, padding=1) ** 2).sum(), (0, 1)))(x, w)
            found.append(b"".join(np.asarray(v.astype(pb.float32)).tobytes() for v in (y, *grads)))
    finally:
        pb.config.set("threads", before)
    assert found[0] == found[1] == found[2]

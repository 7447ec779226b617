"""Attention by the kernels that store no scores: against NumPy, by finite differences, its memory, its bits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.ops.build as b
from pullback.api.layers import _attention
from pullback.codegen.llvm.program import program_text
from pullback.codegen.llvm.target import AARCH64, X86_64_V3, X86_64_V4, Target, host
from pullback.engine.pipeline import Clock, make_plan, run_passes
from pullback.ir.dtypes import bool_, float32
from pullback.ir.node import Function, TensorType, param, project
from pullback.ops.attention import Attention
from pullback.schedule.plan import Plan
from pullback.transforms import vjp
from pullback.util.errors import ShapeError

F = pb.nn.functional


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def reference(q: Any, k: Any, v: Any, ct: Any, allowed: Any = None, bias: Any = 0.0) -> list[Any]:
    """y and the cotangents of q, k and v, in double precision, with all scores."""
    q, k, v, ct = (np.asarray(x, np.float64) for x in (q, k, v, ct))
    scale = q.shape[-1] ** -0.5
    s = q @ k.swapaxes(-1, -2) * scale + bias
    s = s if allowed is None else np.where(allowed, s, -np.inf)
    top = np.max(s, -1, keepdims=True, initial=-np.inf)
    p = np.exp(s - np.where(top == -np.inf, 0, top))
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    y = p @ v
    w = p * (ct @ v.swapaxes(-1, -2) - (ct * y).sum(-1, keepdims=True)) * scale
    return [y, w @ k, w.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ ct]


def attended(q: Any, k: Any, v: Any, ct: Any, **options: Any) -> list[Any]:
    """The same by the library."""
    given = [pb.tensor(x, requires_grad=True) for x in (q, k, v)]
    y = F.scaled_dot_product_attention(*given, **options)
    y.backward(pb.tensor(ct))
    return [x.detach().numpy() for x in (y, *(x.grad for x in given))]


def close(found: list[Any], wanted: list[Any], tolerance: float) -> None:
    """Within a tolerance of the largest number, and of 1: sums of that size cancel in the derivative."""
    for x, y in zip(found, wanted, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x.astype(np.float64), y, rtol=0, atol=tolerance * (1 + np.abs(y).max(initial=0)))


def tri(m: int, n: int, causal: bool) -> Any:
    return np.tri(m, n, dtype=bool) if causal else None


SIZES = [(1, 1), (7, 7), (6, 129), (65, 1), (65, 65), (129, 65), (129, 200), (300, 129)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_sizes(m: int, n: int, causal: bool) -> None:
    q, k, v, ct = arrays((2, 3, m, 16), (2, 3, n, 16), (2, 3, n, 24), (2, 3, m, 24))
    close(attended(q, k, v, ct, is_causal=causal), reference(q, k, v, ct, tri(m, n, causal)), 5e-6)


@pytest.mark.parametrize(("d", "e"), [(1, 1), (3, 128), (16, 16), (20, 5), (33, 64), (64, 64), (128, 128), (200, 7)])
def test_features(d: int, e: int) -> None:
    q, k, v, ct = arrays((3, 70, d), (3, 110, d), (3, 110, e), (3, 70, e))
    for causal in (False, True):
        close(attended(q, k, v, ct, is_causal=causal), reference(q, k, v, ct, tri(70, 110, causal)), 3e-6)


def test_double_precision() -> None:
    q, k, v, ct = arrays((2, 67, 20), (2, 41, 20), (2, 41, 9), (2, 67, 9), dtype=np.float64)
    for causal in (False, True):
        close(attended(q, k, v, ct, is_causal=causal), reference(q, k, v, ct, tri(67, 41, causal)), 1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_float32_rounded(dtype: str) -> None:
    rounded = [pb.tensor(x).to(dtype) for x in arrays((2, 40, 16), (2, 50, 16), (2, 50, 16))]
    found = F.scaled_dot_product_attention(*rounded, is_causal=True)
    wanted = F.scaled_dot_product_attention(*(x.to("float32") for x in rounded), is_causal=True).to(dtype)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.to("float32").numpy(), wanted.to("float32").numpy())


@pytest.mark.parametrize("shapes", [((0, 8, 4), (0, 9, 4), (0, 9, 4)), ((2, 0, 4), (2, 9, 4), (2, 9, 4)),
                                    ((2, 8, 4), (2, 0, 4), (2, 0, 4)), ((2, 8, 4), (2, 9, 4), (2, 9, 0))])
def test_nothing_to_attend(shapes: Any) -> None:
    q, k, v = arrays(*shapes)
    ct = np.ones((*q.shape[:-1], v.shape[-1]), np.float32)
    for causal in (False, True):
        allowed = tri(q.shape[-2], k.shape[-2], causal)
        close(attended(q, k, v, ct, is_causal=causal), reference(q, k, v, ct, allowed), 1e-6)


def test_large_scores_and_rows_without_keys() -> None:
    q, k, v, ct = arrays((2, 30, 8), (2, 40, 8), (2, 40, 8), (2, 30, 8))
    q[0] *= 1000
    found = attended(q, k, v, ct)
    close(found[:1], reference(q, k, v, ct)[:1], 2e-4)  # scores of some thousands
    assert all(np.isfinite(x).all() for x in found)
    q[1, 3], k[:] = -np.inf, np.abs(k)
    y = attended(q, k, v, ct)[0]
    assert not y[1, 3].any()
    assert np.isfinite(np.delete(y, 3, 1)).all()


def test_a_nan_stays_in_its_row() -> None:
    q, k, v = arrays((1, 20, 8), (1, 20, 8), (1, 20, 8))
    q[0, 5, 2] = np.nan
    y = F.scaled_dot_product_attention(pb.tensor(q), pb.tensor(k), pb.tensor(v), is_causal=True).numpy()
    assert np.isnan(y[0, 5]).all()
    assert np.isfinite(np.delete(y, 5, 1)).all()


@pytest.mark.parametrize(("m", "n"), [(30, 41), (5, 41), (130, 215)])
def test_masks(m: int, n: int) -> None:
    q, k, v, ct = arrays((2, 3, m, 8), (2, 3, n, 8), (2, 3, n, 8), (2, 3, m, 8))
    rng = np.random.default_rng(3)
    for shape in ((m, n), (2, 1, 1, n), (2, 3, m, n), (m, 1), (2, 1, m, 1)):
        allowed = rng.random(shape) < 0.6
        allowed[..., 0, :] = False
        bias = rng.normal(size=shape).astype(np.float32)
        close(attended(q, k, v, ct, attn_mask=pb.tensor(allowed)), reference(q, k, v, ct, allowed), 2e-6)
        close(attended(q, k, v, ct, attn_mask=pb.tensor(bias)), reference(q, k, v, ct, None, bias), 5e-6)
        close(attended(q, k, v, ct, attn_mask=pb.tensor(allowed), is_causal=True),
              reference(q, k, v, ct, allowed & np.tri(m, n, dtype=bool)), 5e-6)
    none = attended(q, k, v, ct, attn_mask=pb.zeros((m, n), dtype="bool"))
    assert not any(x.any() for x in none)


def test_gradient_of_a_mask() -> None:
    q, k, v, ct = arrays((2, 9, 4), (2, 7, 4), (2, 7, 3), (2, 9, 3), dtype=np.float64)
    (bias, t) = arrays((9, 7), (9, 7), dtype=np.float64, seed=1)

    def loss(bias: Any) -> Any:
        y = F.scaled_dot_product_attention(pb.tensor(q), pb.tensor(k), pb.tensor(v), bias)
        return (y * pb.tensor(ct)).sum()

    given = pb.tensor(bias, requires_grad=True)
    loss(given).backward()
    step = 1e-5
    wanted = (loss(pb.tensor(bias + step * t)) - loss(pb.tensor(bias - step * t))).item() / (2 * step)
    np.testing.assert_allclose((given.grad.numpy() * t).sum(), wanted, rtol=1e-7)


def test_a_mask_of_keys_is_not_enlarged() -> None:
    q = param(TensorType.of((4, 3, 512, 64), float32))
    mask = param(TensorType.of((4, 1, 1, 512), float32))
    wide = b.broadcast(b.reshape(mask, (4, 512)), (4, 3, 512, 512), (0, 3))
    made = plan_of(Function([q, mask], [project(b.apply(Attention(False, 0.125, True), q, q, q, wide))[0]]))
    assert [k.kind for phase in made.phases for k in phase] == ["attention"]
    assert made.workspace_bytes == 0


@pytest.mark.parametrize("shape", [(2, 1, 1024, 1), (1024, 1), (1, 1, 1, 1), (1,), ()])
@pytest.mark.parametrize("kind", [float32, bool_])
def test_a_mask_of_queries_is_not_enlarged(shape: Any, kind: Any) -> None:
    given = [*(param(TensorType.of((2, 3, 1024, 4), float32)) for _ in range(3)), param(TensorType.of(shape, kind))]
    function = Function(given, [_attention.define(*given, causal=False, scale=0.5, rate=0.0)])
    for target in (host(), X86_64_V4, AARCH64):
        made = plan_of(vjp(function, (0, 1, 2), (0,)))
        assert [k.kind for phase in made.phases for k in phase].count("attention") == 2
        assert program_text(made, target)[1] < 1024 * 1024 * 4 // 2  # half of what one matrix of scores takes


def test_batches_are_broadcast() -> None:
    q, k, v, ct = arrays((2, 1, 1, 20, 8), (1, 3, 1, 25, 8), (4, 25, 8), (2, 3, 4, 20, 8))
    y = F.scaled_dot_product_attention(pb.tensor(q), pb.tensor(k), pb.tensor(v)).numpy()
    np.testing.assert_allclose(y, reference(q, k, v, ct)[0], atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_heads(causal: bool) -> None:
    q, k, v, ct = arrays((2, 6, 33, 8), (2, 2, 33, 8), (2, 2, 33, 8), (2, 6, 33, 8))
    found = attended(q, k, v, ct, is_causal=causal, enable_gqa=True)
    y, dq, dk, dv = reference(q, k.repeat(3, 1), v.repeat(3, 1), ct, tri(33, 33, causal))
    close(found, [y, dq, *(x.reshape(2, 2, 3, 33, 8).sum(2) for x in (dk, dv))], 2e-6)
    allowed = np.random.default_rng(1).random((33, 33)) < 0.7
    masked = F.scaled_dot_product_attention(*map(pb.tensor, (q, k, v)), pb.tensor(allowed), enable_gqa=True).numpy()
    close([masked], reference(q, k.repeat(3, 1), v.repeat(3, 1), ct, allowed)[:1], 2e-6)


def test_grouped_heads_with_masks_of_a_broadcast_batch() -> None:
    q, k, v, ct = arrays((1, 4, 7, 8), (2, 2, 9, 8), (2, 2, 9, 8), (2, 4, 7, 8))
    allowed = np.random.default_rng(1).random((2, 1, 7, 9)) < 0.7
    found = F.scaled_dot_product_attention(*map(pb.tensor, (q, k, v)), pb.tensor(allowed), enable_gqa=True).numpy()
    close([found], reference(q, k.repeat(2, 1), v.repeat(2, 1), ct, allowed)[:1], 2e-6)


def test_groups_that_do_not_fit() -> None:
    q, k, v = (pb.tensor(x) for x in arrays((2, 6, 9, 8), (2, 4, 9, 8), (2, 4, 9, 8)))
    with pytest.raises(ShapeError, match="enable_gqa"):
        F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    with pytest.raises(ShapeError, match="enable_gqa"):
        F.scaled_dot_product_attention(q, k[:, :0], v[:, :0], enable_gqa=True)
    with pytest.raises(ShapeError, match="batch dimensions"):
        F.scaled_dot_product_attention(q, k, v)


def test_dropout_of_everything_and_of_nothing() -> None:
    q, k, v = (pb.tensor(x) for x in arrays((2, 20, 8), (2, 20, 8), (2, 20, 8)))
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()
    kept = F.scaled_dot_product_attention(q, k, v, dropout_p=1e-7).numpy()
    np.testing.assert_allclose(kept, F.scaled_dot_product_attention(q, k, v).numpy(), atol=1e-6)


def test_permuted_operands_are_read_where_they_lie() -> None:
    (x,) = arrays((2, 40, 3, 4, 16))

    def attend(x: Any) -> Any:
        q, k, v = pb.tensor(x).permute((2, 0, 3, 1, 4))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    q, k, v = x.transpose(2, 0, 3, 1, 4)
    np.testing.assert_allclose(attend(x).numpy(), reference(q, k, v, v, tri(40, 40, True))[0], atol=1e-5)
    source = param(TensorType.of(x.shape, float32))
    turned = b.transpose(source, (2, 0, 3, 1, 4))
    given = [b.reshape(b.slice_axis(turned, 0, n, n + 1), (2, 4, 40, 16)) for n in range(3)]
    made = plan_of(Function([source], [project(b.apply(Attention(True, 0.25), *given))[0]]))
    assert [k.kind for phase in made.phases for k in phase] == ["attention"]


def test_vmap_is_a_loop() -> None:
    q, k, v = (pb.tensor(x) for x in arrays((3, 2, 20, 8), (2, 25, 8), (3, 2, 25, 8)))

    def attend(q: Any, k: Any, v: Any) -> Any:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    found = pb.vmap(attend, in_axes=(0, None, 0))(q, k, v).numpy()
    for n in range(3):
        np.testing.assert_array_equal(found[n], attend(q[n], k, v[n]).numpy())


def test_forward_and_second_derivatives() -> None:
    q, k, v, t = (pb.tensor(x) for x in arrays((1, 9, 3), (1, 8, 3), (1, 8, 2), (1, 9, 3), dtype=np.float64))

    def loss(q: Any) -> Any:
        return (F.scaled_dot_product_attention(q, k, v, is_causal=True) ** 2).sum()

    slope = pb.grad(loss)
    step = 1e-5
    _, tangent = pb.jvp(loss, (q,), (t,))
    np.testing.assert_allclose(tangent.item(), (loss(q + step * t) - loss(q - step * t)).item() / (2 * step), rtol=1e-7)
    _, second = pb.jvp(slope, (q,), (t,))
    wanted = (slope(q + step * t) - slope(q - step * t)).numpy() / (2 * step)
    np.testing.assert_allclose(second.numpy(), wanted, atol=1e-7)
    backwards = pb.grad(lambda q: (slope(q) * t).sum())(q)
    np.testing.assert_allclose(backwards.numpy(), second.numpy(), atol=1e-12)


def test_same_bits_for_any_number_of_threads() -> None:
    for batch, m in ((1, 400), (5, 130)):
        q, k, v, ct = arrays((batch, m, 32), (batch, 210, 32), (batch, 210, 32), (batch, m, 32))
        for causal in (False, True):
            found: list[list[Any]] = []
            for threads in (1, 2, 3):
                with pb.config.override(threads=threads):
                    found.append(attended(q, k, v, ct, is_causal=causal))
            for other, x in itertools.product(found[1:], range(4)):
                np.testing.assert_array_equal(found[0][x], other[x])


# -- few queries: decoding with a cache --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "d", "e"), [(1, 1, 1, 1), (1, 256, 64, 64), (2, 13, 5, 9), (5, 40, 8, 3),
                                                (3, 8, 33, 130), (4, 3, 16, 8)])
def test_few_queries(m: int, n: int, d: int, e: int, dtype: Any) -> None:
    q, k, v = arrays((2, 3, m, d), (2, 3, n, d), (2, 3, n, e), dtype=dtype)
    ct, tolerance = np.zeros((2, 3, m, e)), 2e-6 if dtype == np.float32 else 1e-13
    given = [pb.tensor(x) for x in (q, k, v)]
    rng = np.random.default_rng(1)
    for causal, shape in itertools.product((False, True), (None, (m, n), (2, 3, m, n), (2, 1, 1, n))):
        bias = np.zeros(()) if shape is None else rng.normal(size=shape).astype(dtype)
        if shape is not None:
            bias[rng.random(shape) < 0.4] = -np.inf
        mask = None if shape is None else pb.tensor(bias)
        y = F.scaled_dot_product_attention(*given, attn_mask=mask, is_causal=causal).numpy()
        assert y.dtype == dtype
        close([y], reference(q, k, v, ct, tri(m, n, causal), bias)[:1], tolerance)


def test_what_the_mask_hides_is_not_read() -> None:
    q, k, v = arrays((2, 1, 16), (2, 64, 16), (2, 64, 16))
    seen = np.arange(64) < 32  # whole blocks beyond, of 8 or 16 keys
    wanted = reference(q, k[:, :32], v[:, :32], np.zeros((2, 1, 16)))[:1]
    k[:, 32:], v[:, 32:] = np.nan, np.nan
    y = F.scaled_dot_product_attention(*(pb.tensor(x) for x in (q, k, v)), attn_mask=pb.tensor(seen))
    close([y.numpy()], wanted, 2e-6)


def test_few_queries_have_the_same_bits_for_any_number_of_threads() -> None:
    q, k, v = arrays((2, 9, 1, 64), (2, 9, 200, 64), (2, 9, 200, 64))
    found: list[Any] = []
    for threads in (1, 2, 3):
        with pb.config.override(threads=threads):
            found.append(F.scaled_dot_product_attention(*(pb.tensor(x) for x in (q, k, v))).numpy())
    assert all((x == found[0]).all() for x in found)


@pytest.mark.parametrize("target", [X86_64_V3, X86_64_V4, AARCH64, X86_64_V3._replace(masked_memory=False)])
@pytest.mark.parametrize("masked", [False, True])
def test_few_queries_compile_for_other_processors(target: Target, masked: bool) -> None:
    from pullback.codegen.llvm.compile import compile_ir

    given = [param(TensorType.of(s, float32)) for s in ((2, 3, 19), (2, 45, 19), (2, 45, 21), (2, 3, 45))[:3 + masked]]
    made = plan_of(Function(given, [project(b.apply(Attention(not masked, 0.125, masked), *given))[0]]))
    assert [k.kind for phase in made.phases for k in phase] == ["attention"]
    text, _ = program_text(made, target)
    assert len(compile_ir(text, target.cpu, target.features, target.triple)) > 1000


# -- plans -------------------------------------------------------------------------------------------------------------


def plan_of(function: Function) -> Plan:
    return make_plan(run_passes(function, Clock()), frozenset(), frozenset())


def training_function(length: int, causal: bool) -> Function:
    """y and the three gradients."""
    given = [param(TensorType.of((2, 3, length, 64), float32)) for _ in range(3)]
    function = Function(given, [project(b.apply(Attention(causal, 0.125), *given))[0]])
    backward = vjp(function, (0, 1, 2), (0,))
    y = function(*backward.params[:3])[0]
    return Function(backward.params, [y, *backward.results])


@pytest.mark.parametrize("causal", [False, True])
def test_memory_is_linear_in_the_length(causal: bool) -> None:
    sizes: list[int] = []
    for length in (1024, 2048, 4096):
        made = plan_of(training_function(length, causal))
        kinds = sorted(k.kind for phase in made.phases for k in phase)
        assert kinds == ["attention", "attention", "loops"]
        sizes.append(program_text(made, host())[1])
    assert abs(sizes[2] - sizes[1] - 2 * (sizes[1] - sizes[0])) < 1 << 14  # rows are padded to whole tiles
    each = 6 * 64 * 4  # bytes of one operand's row in all heads
    assert sizes[2] < 4 * 4096 * each + (1 << 20)
    assert sizes[2] < 6 * 4096 * 4096 * 4 // 50  # what the scores would take


@pytest.mark.parametrize("target", [X86_64_V3, X86_64_V4, AARCH64, X86_64_V3._replace(masked_memory=False)])
def test_compiles_for_other_processors(target: Target) -> None:
    from pullback.codegen.llvm.compile import compile_ir

    text, _ = program_text(plan_of(training_function(200, True)), target)
    assert len(compile_ir(text, target.cpu, target.features, target.triple)) > 1000

"""Dropout of attention's weights, whose bits are computed inside of the kernels: against a product with the weights
that a first run kept, by finite differences, its memory, its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.ops.build as b
from pullback.codegen.llvm.program import program_text
from pullback.codegen.llvm.target import AARCH64, X86_64_V3, X86_64_V4, Target, host
from pullback.engine.pipeline import Clock, make_plan, run_passes
from pullback.ir.dtypes import float32, uint32
from pullback.ir.node import Function, TensorType, param, project
from pullback.ops.attention import Attention
from pullback.transforms import vjp
from pullback.util.errors import ShapeError, ValueError_

F = pb.nn.functional


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def kept(shape: tuple[int, ...], rate: float, seed: int) -> Any:
    """Which weights are kept: with equal scores and the identity as values, attention gives the weights."""
    pb.manual_seed(seed)
    keys = shape[-1]
    zeros = pb.zeros((*shape[:-1], 4)), pb.zeros((*shape[:-2], keys, 4))
    weights = F.scaled_dot_product_attention(*zeros, pb.eye(keys).broadcast_to((*shape[:-2], keys, keys)),
                                             dropout_p=rate).numpy()
    np.testing.assert_allclose(np.unique(weights), [0, 1 / (keys * (1 - rate))], rtol=1e-6)
    return weights > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "causal", "masked"), [
    (1, 70, False, False), (40, 70, True, False), (150, 230, True, True), (97, 101, False, True)])
def test_values_and_gradients(m: int, n: int, causal: bool, masked: bool, dtype: Any) -> None:
    """More than one block of queries and keys, of lengths that are no whole blocks; one query alone."""
    q, k, v, ct, bias = arrays((2, 3, m, 8), (2, 3, n, 8), (2, 3, n, 5), (2, 3, m, 5), (2, 3, m, n), dtype=dtype)
    keep = kept((2, 3, m, n), 0.3, 7)
    pb.manual_seed(7)
    given = [pb.tensor(x, requires_grad=True) for x in (q, k, v)]
    y = F.scaled_dot_product_attention(*given, pb.tensor(bias) if masked else None, 0.3, causal)
    y.backward(pb.tensor(ct))
    s = q @ k.swapaxes(-1, -2) * 8**-0.5 + (bias if masked else 0)
    s = np.where(np.tri(m, n, dtype=bool), s, -np.inf) if causal else s
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dropped = np.where(keep, p / 0.7, 0)
    moved = np.where(keep, ct @ v.swapaxes(-1, -2) / 0.7, 0)
    w = p * (moved - (moved * p).sum(-1, keepdims=True)) * 8**-0.5
    wanted = [dropped @ v, w @ k, w.swapaxes(-1, -2) @ q, dropped.swapaxes(-1, -2) @ ct]
    for found, x in zip((y, *(x.grad for x in given)), wanted, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), x, rtol=0, atol=2e-5 if dtype is np.float32 else 1e-12)


def test_forward_and_second_derivatives() -> None:
    q, k, v, t = (pb.tensor(x) for x in arrays((1, 9, 3), (1, 8, 3), (1, 8, 2), (1, 9, 3), dtype=np.float64))

    def loss(q: Any) -> Any:
        pb.manual_seed(3)
        return (F.scaled_dot_product_attention(q, k, v, dropout_p=0.4, is_causal=True) ** 2).sum()

    slope = pb.grad(loss)
    step = 1e-5
    _, tangent = pb.jvp(loss, (q,), (t,))
    np.testing.assert_allclose(tangent.item(), (loss(q + step * t) - loss(q - step * t)).item() / (2 * step), rtol=1e-7)
    _, second = pb.jvp(slope, (q,), (t,))
    wanted = (slope(q + step * t) - slope(q - step * t)).numpy() / (2 * step)
    np.testing.assert_allclose(second.numpy(), wanted, atol=1e-7)


def test_gradient_of_a_mask() -> None:
    q, k, v, bias = (pb.tensor(x) for x in arrays((2, 5, 3), (2, 6, 3), (2, 6, 2), (2, 5, 6), dtype=np.float64))

    def loss(bias: Any) -> Any:
        pb.manual_seed(3)
        return (F.scaled_dot_product_attention(q, k, v, bias, 0.4) ** 2).sum()

    slope = pb.grad(loss)(bias).numpy()
    step = np.zeros((2, 5, 6))
    step[1, 2, 3] = 1e-6
    wanted = (loss(bias + pb.tensor(step)) - loss(bias - pb.tensor(step))).item() / 2e-6
    np.testing.assert_allclose(slope[1, 2, 3], wanted, rtol=1e-6)


def test_bits_are_fair_and_differ() -> None:
    """By the seed, from call to call, under jit as well, and between neighbours in any direction."""
    shape = (2, 3, 64, 128)
    keep = kept(shape, 0.25, 1)
    assert abs(keep.mean() - 0.75) < 4 * (0.25 * 0.75 / keep.size) ** 0.5
    for other in (kept(shape, 0.25, 2), np.roll(keep, 1, 0), np.roll(keep, 1, 1), np.roll(keep, 1, 2),
                  np.roll(keep, 1, 3)):
        assert abs(np.corrcoef(keep.ravel(), other.ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(keep, kept(shape, 0.25, 1))
    x = pb.ones((1, 30, 4))
    step = pb.jit(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5))
    pb.manual_seed(0)
    first, second = step(x).numpy(), step(x).numpy()
    assert (first != second).any()
    pb.manual_seed(0)
    np.testing.assert_array_equal(step(x).numpy(), first)


def test_checkpointed_attention_drops_the_same_weights_again() -> None:
    q, k, v = (pb.tensor(x) for x in arrays((2, 20, 8), (2, 20, 8), (2, 20, 8), seed=4))

    def loss(q: Any) -> Any:
        return (F.scaled_dot_product_attention(q, k, v, dropout_p=0.5) ** 2).sum()

    found: list[Any] = []
    for f in (loss, pb.checkpoint(loss)):
        pb.manual_seed(1)
        found.append(pb.grad(f)(q).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


def test_bits_do_not_depend_on_threads() -> None:
    given = [pb.tensor(x) for x in arrays((2, 3, 200, 16), (2, 3, 300, 16), (2, 3, 300, 16))]
    found: list[Any] = []

    def loss(*x: Any) -> Any:
        return (F.scaled_dot_product_attention(*x, dropout_p=0.1) ** 2).sum()

    for threads in (1, 2, 3):
        with pb.config.override(threads=threads):
            pb.manual_seed(0)
            found.append(pb.grad(loss)(*given).numpy())
    assert all((x == found[0]).all() for x in found)


def test_vmap_is_a_loop() -> None:
    """With one key for all; keys of a batch of their own are counted apart."""
    q, k, v = (pb.tensor(x) for x in arrays((3, 2, 20, 8), (2, 25, 8), (3, 2, 25, 8)))

    def attend(q: Any, k: Any, v: Any) -> Any:
        pb.manual_seed(5)
        return F.scaled_dot_product_attention(q, k, v, dropout_p=0.3, is_causal=True)

    found = pb.vmap(attend, in_axes=(0, None, 0))(q, k, v).numpy()
    for n in range(3):
        np.testing.assert_array_equal(found[n], attend(q[n], k, v[n]).numpy())


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_16_bits_drop_what_32_bits_drop(kind: str) -> None:
    narrow = [pb.tensor(x).to(kind) for x in arrays((2, 20, 8), (2, 20, 8), (2, 20, 8))]
    found: list[Any] = []
    for given in (narrow, [x.to("float32") for x in narrow]):
        pb.manual_seed(9)
        found.append(F.scaled_dot_product_attention(*given, dropout_p=0.2).to(kind).to("float32").numpy())
    np.testing.assert_array_equal(*found)


def test_grouped_heads_and_masks_that_are_one_column_wide() -> None:
    q, k, v = (pb.tensor(x) for x in arrays((1, 4, 20, 8), (1, 2, 20, 8), (1, 2, 20, 8)))
    keep = kept((1, 4, 20, 20), 0.3, 6)
    pb.manual_seed(6)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.3, enable_gqa=True).numpy()
    wide = [np.repeat(x.numpy(), 2, 1) for x in (k, v)]
    p = np.exp(q.numpy() @ wide[0].swapaxes(-1, -2) * 8**-0.5)
    p = np.where(keep, p / p.sum(-1, keepdims=True) / 0.7, 0)
    np.testing.assert_allclose(y, p @ wide[1], atol=1e-5)
    pb.manual_seed(6)
    column = F.scaled_dot_product_attention(q, *map(pb.tensor, wide), pb.ones((20, 1)), dropout_p=0.3).numpy()
    np.testing.assert_allclose(column, y, atol=1e-5)


def test_layers_train_with_it() -> None:
    """A layer of an encoder: dropout in training, none in evaluation."""
    pb.manual_seed(0)
    layer = pb.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5, batch_first=True)
    x = pb.ones((2, 7, 16))
    assert (layer(x).numpy() != layer(x).numpy()).any()
    layer(x).sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x).numpy())


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_rates_that_are_no_probabilities(rate: float) -> None:
    with pytest.raises(ValueError_, match="dropout_p must be from 0 to 1"):
        F.scaled_dot_product_attention(*[pb.ones((2, 3, 4))] * 3, dropout_p=rate)


def test_keys_that_do_not_fit() -> None:
    given = [param(TensorType.of((2, 3, 4), float32)) for _ in range(3)]
    for shape, kind in (((3,), uint32), ((3, 2), uint32), ((2, 3, 2), uint32), ((2,), float32)):
        with pytest.raises(ShapeError, match="the key does not fit"):
            b.apply(Attention(False, 1.0, False, 0.5), *given, param(TensorType.of(shape, kind)))


# -- plans -------------------------------------------------------------------------------------------------------------


def training_function(length: int) -> Function:
    """y and the three gradients."""
    given = [param(TensorType.of((2, 3, length, 64), float32)) for _ in range(3)]
    key = param(TensorType.of((2,), uint32))
    function = Function([*given, key], [project(b.apply(Attention(True, 0.125, False, 0.1), *given, key))[0]])
    backward = vjp(function, (0, 1, 2), (0,))
    y = function(*backward.params[:4])[0]
    return Function(backward.params, [y, *backward.results])


def test_memory_is_linear_in_the_length() -> None:
    sizes: list[int] = []
    for length in (1024, 2048, 4096):
        made = make_plan(run_passes(training_function(length), Clock()), frozenset(), frozenset())
        assert sorted(k.kind for phase in made.phases for k in phase) == ["attention", "attention", "loops"]
        sizes.append(program_text(made, host())[1])
    assert abs(sizes[2] - sizes[1] - 2 * (sizes[1] - sizes[0])) < 1 << 14  # rows are padded to whole tiles
    assert sizes[2] < 6 * 4096 * 4096 * 4 // 50  # what the scores would take


@pytest.mark.parametrize("target", [X86_64_V3, X86_64_V4, AARCH64, X86_64_V3._replace(masked_memory=False)])
def test_compiles_for_other_processors(target: Target) -> None:
    from pullback.codegen.llvm.compile import compile_ir

    made = make_plan(run_passes(training_function(200), Clock()), frozenset(), frozenset())
    text, _ = program_text(made, target)
    assert len(compile_ir(text, target.cpu, target.features, target.triple)) > 1000

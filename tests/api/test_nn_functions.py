"""Functions behind layers against loops in NumPy and against each other."""

from __future__ import annotations

from functools import partial
from itertools import product
from math import erf
from typing import Any

import numpy as np
import pytest
from tests.api.support import same, sample

import pullback as pb
import pullback.nn.functional as F

ACTIVATIONS: dict[str, Any] = {
    "relu": lambda x: np.maximum(x, 0), "relu6": lambda x: np.clip(x, 0, 6), "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)), "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x), "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(erf, "d")(x / np.sqrt(2))),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "hardtanh": lambda x: np.clip(x, -1, 1), "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6, "logsigmoid": lambda x: -np.log1p(np.exp(-x)),
    "tanhshrink": lambda x: x - np.tanh(x), "tanh": np.tanh,
    "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0), "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    for shape in ((), (7,), (0, 3), (3, 40)):
        x = sample(shape, "float64", -6, 6)
        same(getattr(F, name)(pb.tensor(x)), ACTIVATIONS[name](x), 1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradients(name: str) -> None:
    x = sample((40,), "float64", -4, 4, seed=3)
    a = pb.tensor(x, requires_grad=True)
    getattr(F, name)(a).sum().backward()
    step = 1e-6
    same(a.grad, (ACTIVATIONS[name](x + step) - ACTIVATIONS[name](x - step)) / (2 * step), 1e-6)


def test_extreme_arguments_stay_finite() -> None:
    x = np.asarray([-1e4, -100.0, 0.0, 100.0, 1e4])
    for name in ("sigmoid", "softplus", "elu", "selu", "logsigmoid", "silu", "gelu", "mish", "tanh", "softmax",
                 "log_softmax"):
        a = pb.tensor(x, requires_grad=True)
        y = getattr(F, name)(a)
        assert np.isfinite(np.asarray(y)).all(), name
        y.sum().backward()
        assert np.isfinite(np.asarray(a.grad)).all(), name


def test_softmax() -> None:
    x = sample((3, 4, 5), "float64", -3, 3)
    for axis in (0, 1, -1):
        powers = np.exp(x)
        expected = powers / powers.sum(axis, keepdims=True)
        same(F.softmax(pb.tensor(x), axis), expected)
        same(F.log_softmax(pb.tensor(x), dim=axis), np.log(expected))
        same(F.softmin(pb.tensor(-x), axis), expected)
    same(F.softmax(pb.tensor([1000.0, 1000.0]), 0), [0.5, 0.5])


def _conv(x: Any, w: Any, b: Any, stride: int, padding: int, dilation: int, groups: int) -> Any:
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0)] + [(padding, padding)] * rank)
    out = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for f in range(w.shape[0]):
        g = f // per_out
        for at in product(*map(range, out)):
            window = x[(slice(None), slice(g * per_in, (g + 1) * per_in),
                        *(slice(o * stride, o * stride + dilation * (k - 1) + 1, dilation)
                          for o, k in zip(at, w.shape[2:], strict=True)))]
            y[(slice(None), f, *at)] = (window * w[f]).sum(tuple(range(1, rank + 2)))
    return y + b.reshape(-1, *(1,) * rank)


@pytest.mark.parametrize("options", [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 0, 1, 4), (2, 2, 2, 1)], ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution(rank: int, options: tuple[int, int, int, int]) -> None:
    stride, padding, dilation, groups = options
    x = sample((2, 4, *(7, 6, 5)[:rank]), seed=1)
    w, b = sample((8, 4 // groups, *(3, 2, 2)[:rank]), seed=2), sample((8,), seed=3)
    expected = _conv(x, w, b, *options)
    f = getattr(F, f"conv{rank}d")
    same(f(pb.tensor(x), pb.tensor(w), pb.tensor(b), stride, padding, dilation, groups), expected, 1e-10)


@pytest.mark.parametrize("options", [(1, 0, 0, 1, 1), (2, 1, 1, 1, 1), (3, 0, 2, 2, 2), (2, 2, 0, 1, 4)], ids=str)
def test_transposed_convolution_is_the_gradient(options: tuple[int, int, int, int, int]) -> None:
    stride, padding, extra, groups, dilation = options
    groups, dilation = (groups, dilation) if 4 % groups == 0 else (1, 1)
    x, w = sample((2, 4, 5, 4), seed=1), sample((4, 6 // groups if groups < 4 else 2, 3, 2), seed=2)
    y = F.conv_transpose2d(pb.tensor(x), pb.tensor(w), None, stride, padding, extra, groups, dilation)
    z = pb.zeros(*y.shape, dtype="float64", requires_grad=True)
    F.conv2d(z, pb.tensor(w), None, stride, padding, dilation, groups).backward(pb.tensor(x))
    same(y, z.grad, 1e-10)


def test_convolution_gradients() -> None:
    x, w = pb.tensor(sample((1, 2, 5, 4), seed=1), requires_grad=True), pb.tensor(sample((3, 2, 3, 2), seed=2),
                                                                                  requires_grad=True)
    y = F.conv2d(x, w, stride=2, padding=1)
    ct = sample(y.shape, seed=3)
    y.backward(pb.tensor(ct))
    step = 1e-6
    for leaf in (x, w):
        base = np.asarray(leaf)
        for k in (0, 5, base.size - 1):
            moved = [base.copy(), base.copy()]
            moved[0].flat[k] += step
            moved[1].flat[k] -= step
            both = [(np.asarray(F.conv2d(*(pb.tensor(m) if v is leaf else v.detach() for v in (x, w)), stride=2,
                                         padding=1)) * ct).sum()
                    for m in moved]
            assert np.asarray(leaf.grad).flat[k] == pytest.approx((both[0] - both[1]) / (2 * step), rel=1e-6, abs=1e-8)


def test_pooling() -> None:
    x = sample((2, 3, 7, 6), seed=1)
    a = pb.tensor(x)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), (2, 3))
    same(F.max_pool2d(a, (3, 2), stride=1), windows.max((-1, -2)))
    same(F.max_pool2d(a, (3, 2)), windows[:, :, ::3, ::2].max((-1, -2)))
    same(F.avg_pool2d(a, (3, 2), stride=(2, 1)), windows[:, :, ::2].mean((-1, -2)))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 2), (2, 3))[:, :, ::2, ::2]
    same(F.avg_pool2d(a, 2, padding=1), windows.mean((-1, -2)))
    ones = np.lib.stride_tricks.sliding_window_view(np.pad(np.ones_like(x), ((0, 0), (0, 0), (1, 1), (1, 1))), (2, 2),
                                                    (2, 3))[:, :, ::2, ::2]
    same(F.avg_pool2d(a, 2, padding=1, count_include_pad=False), windows.sum((-1, -2)) / ones.sum((-1, -2)))
    y, places = F.max_pool2d(a, 2, return_indices=True)
    flat = x.reshape(2, 3, -1)
    same(np.take_along_axis(flat, np.asarray(places).reshape(2, 3, -1), -1).reshape(y.shape), y)
    assert F.max_pool1d(pb.zeros(1, 1, 5), 2, ceil_mode=True).shape == (1, 1, 3)
    for out in ((1, 1), (3, 2), (7, 6), (5, 4)):
        expected, greatest = np.zeros((2, 3, *out)), np.zeros((2, 3, *out))
        for i, j in product(range(out[0]), range(out[1])):
            part = x[:, :, i * 7 // out[0]:-(-(i + 1) * 7 // out[0]), j * 6 // out[1]:-(-(j + 1) * 6 // out[1])]
            expected[:, :, i, j], greatest[:, :, i, j] = part.mean((-1, -2)), part.max((-1, -2))
        same(F.adaptive_avg_pool2d(a, out), expected, 1e-10)
        same(F.adaptive_max_pool2d(a, out), greatest)


def test_normalisation() -> None:
    x = sample((4, 6, 5), seed=1)
    w, b = sample((6,), seed=2), sample((6,), seed=3)
    a, aw, ab = pb.tensor(x), pb.tensor(w), pb.tensor(b)

    def standard(axes: tuple[int, ...]) -> Any:
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)

    scale, shift = w.reshape(1, 6, 1), b.reshape(1, 6, 1)
    same(F.layer_norm(a, (6, 5)), standard((1, 2)))
    same(F.layer_norm(a, 5, pb.ones(5, dtype="float64") * 2, pb.ones(5, dtype="float64")), standard((2,)) * 2 + 1)
    same(F.rms_norm(a, (5,), eps=1e-5), x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5))
    same(F.instance_norm(a, weight=aw, bias=ab), standard((2,)) * scale + shift)
    grouped = x.reshape(4, 3, 2, 5)
    expected = (grouped - grouped.mean((2, 3), keepdims=True)) / np.sqrt(grouped.var((2, 3), keepdims=True) + 1e-5)
    same(F.group_norm(a, 3, aw, ab), expected.reshape(x.shape) * scale + shift)
    mean, var = pb.zeros(6, dtype="float64"), pb.ones(6, dtype="float64")
    same(F.batch_norm(a, mean, var, aw, ab, training=True), standard((0, 2)) * scale + shift)
    same(mean, 0.1 * x.mean((0, 2)))
    same(var, 0.9 + 0.1 * x.var((0, 2), ddof=1))
    same(F.batch_norm(a, mean, var), (x - np.asarray(mean)[:, None]) / np.sqrt(np.asarray(var)[:, None] + 1e-5))
    same(F.normalize(a, dim=1), x / np.linalg.norm(x, axis=1, keepdims=True))


def test_losses() -> None:
    x, y = sample((4, 3), seed=1), sample((4, 3), seed=2)
    a, b = pb.tensor(x), pb.tensor(y)
    off = x - y
    small = np.where(np.abs(off) < 1, 0.5 * off**2, np.abs(off) - 0.5)
    for reduction, reduce in (("mean", np.mean), ("sum", np.sum), ("none", lambda v: v)):
        same(F.mse_loss(a, b, reduction=reduction), reduce(off**2))
        same(F.l1_loss(a, b, reduction=reduction), reduce(np.abs(off)))
        same(F.smooth_l1_loss(a, b, reduction=reduction), reduce(small))
        same(F.huber_loss(a, b, reduction=reduction), reduce(small))
    p, q = 1 / (1 + np.exp(-x)), (y > 0).astype(float)
    cross = -(q * np.log(p) + (1 - q) * np.log(1 - p))
    same(F.binary_cross_entropy(pb.tensor(p), pb.tensor(q)), cross.mean())
    same(F.binary_cross_entropy_with_logits(a, pb.tensor(q)), cross.mean())
    same(F.binary_cross_entropy_with_logits(a, pb.tensor(q), pos_weight=pb.tensor([2.0, 2.0, 2.0])),
         -(2 * q * np.log(p) + (1 - q) * np.log(1 - p)).mean())
    same(F.kl_div(pb.tensor(np.log(p)), pb.tensor(p), reduction="sum"), 0.0)
    same(F.cosine_similarity(a, b), (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    same(F.pairwise_distance(a, b, eps=0), np.linalg.norm(off, axis=1))
    same(pb.cdist(a, b), np.linalg.norm(x[:, None] - y[None], axis=-1))


@pytest.mark.parametrize("jit", [False, True])
def test_binary_cross_entropy_of_what_is_no_probability(jit: bool) -> None:
    """As in PyTorch, NaN too; the line is the caller's, and what was computed before and after is not lost."""
    mean = pb.jit(F.binary_cross_entropy) if jit else F.binary_cross_entropy
    good, target = pb.tensor([0.5, 0.25]), pb.tensor([1.0, 0.0])
    for wrong in (1.5, -1e-6, float("nan"), float("inf")):
        for _ in range(3):
            assert mean(good, target).item() == pytest.approx((np.log(2) - np.log(0.75)) / 2)
        with pytest.raises(ValueError, match="probabilities must lie between 0 and 1") as caught:
            mean(pb.tensor([0.5, wrong]), target).item()
        assert isinstance(caught.value, RuntimeError) and "sigmoid" in str(caught.value)
    w = pb.tensor([3.0, -1.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"made at \S*test_nn_functions\.py"):
        F.binary_cross_entropy(w, target).backward(), w.grad.numpy()
    through = pb.vmap(lambda x: F.binary_cross_entropy(x, target))
    assert through(pb.stack([good, good])).shape == (2,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        through(pb.stack([good, good * 9])).numpy()


@pytest.mark.parametrize("jit", [False, True])
def test_binary_cross_entropy_where_a_probability_is_0_or_1(jit: bool) -> None:
    """The gradients are PyTorch's, whose backward divides by x (1 - x), at least 1e-12."""
    def slope(x: Any, y: Any) -> Any:
        return pb.grad(lambda x: F.binary_cross_entropy(x, y, reduction="sum"))(x)

    run = pb.jit(slope) if jit else slope
    edge, one = pb.tensor([1.0, 0.0]), pb.ones(2)
    same(run(edge, pb.tensor([1.0, 0.0])), [0.0, 0.0])
    same(run(edge, pb.tensor([0.0, 1.0])), [1e12, -1e12])
    same(run(pb.tensor([0.3, 0.6]), pb.tensor([0.2, 0.9])), [0.4761905, -1.25])
    through = pb.grad(lambda x: F.binary_cross_entropy(pb.sigmoid(x), one, reduction="sum"))
    same((pb.jit(through) if jit else through)(pb.tensor([20.0, -200.0])), [0.0, 0.0])
    assert F.binary_cross_entropy(pb.tensor([0.0, 1.0]), edge, reduction="none").tolist() == [100.0, 100.0]

    by_both = pb.grad(lambda x, y: slope(x, y).sum(), argnums=(0, 1))
    second, crossed = (pb.jit(by_both) if jit else by_both)(pb.tensor([0.3, 0.6]), pb.tensor([0.2, 0.9]))
    same(second, [3.8548753, 3.125])
    same(crossed, [-4.7619047, -4.1666665])
    assert all(np.isfinite(np.asarray(v)).all() for v in by_both(edge, pb.tensor([0.0, 0.0])))


def test_cross_entropy() -> None:
    x, t = sample((5, 4), seed=1), np.asarray([0, 3, 1, 2, 2])
    logs = x - np.log(np.exp(x).sum(1, keepdims=True))
    picked = -logs[np.arange(5), t]
    a, b = pb.tensor(x), pb.tensor(t)
    same(F.cross_entropy(a, b), picked.mean())
    same(F.cross_entropy(a, b, reduction="none"), picked)
    same(F.nll_loss(pb.tensor(logs), b), picked.mean())
    w = np.asarray([1.0, 2.0, 3.0, 0.5])
    same(F.cross_entropy(a, b, weight=pb.tensor(w)), (picked * w[t]).sum() / w[t].sum())
    t2 = t.copy()
    t2[1] = -100
    same(F.cross_entropy(a, pb.tensor(t2)), np.delete(picked, 1).mean())
    same(F.cross_entropy(a, b, label_smoothing=0.1), (0.9 * picked - 0.1 * logs.mean(1)).mean())
    soft = np.exp(sample((5, 4), seed=2))
    soft /= soft.sum(1, keepdims=True)
    same(F.cross_entropy(a, pb.tensor(soft)), -(soft * logs).sum(1).mean())
    same(F.cross_entropy(pb.tensor(x[0]), pb.tensor(2)), -logs[0, 2])
    image, classes = sample((2, 4, 3), seed=4), np.asarray([[0, 1, 2], [3, 2, 1]])
    logs = image - np.log(np.exp(image).sum(1, keepdims=True))
    same(F.cross_entropy(pb.tensor(image), pb.tensor(classes)), -np.take_along_axis(logs, classes[:, None], 1).mean())
    leaf = pb.tensor(x, requires_grad=True)
    F.cross_entropy(leaf, b).backward()
    same(leaf.grad, (np.exp(x) / np.exp(x).sum(1, keepdims=True) - np.eye(4)[t]) / 5)


def test_attention() -> None:
    q, k, v = (sample((2, 3, 5, 4), seed=s) for s in (1, 2, 3))
    tensors = [pb.tensor(t) for t in (q, k, v)]
    scores = q @ k.swapaxes(-1, -2) / 2

    def attend(s: Any) -> Any:
        powers = np.exp(s)
        return powers / powers.sum(-1, keepdims=True) @ v

    same(F.scaled_dot_product_attention(*tensors), attend(scores))
    mask = np.tril(np.ones((5, 5), bool))
    same(F.scaled_dot_product_attention(*tensors, is_causal=True), attend(np.where(mask, scores, -np.inf)))
    same(F.scaled_dot_product_attention(*tensors, attn_mask=pb.tensor(mask)), attend(np.where(mask, scores, -np.inf)))
    bias = sample((5, 5), seed=4)
    same(F.scaled_dot_product_attention(*tensors, attn_mask=pb.tensor(bias)), attend(scores + bias))
    none = F.scaled_dot_product_attention(*tensors, attn_mask=pb.zeros(5, 5, dtype="bool"))
    same(none, np.zeros_like(q))


def test_embedding() -> None:
    w = sample((6, 3), seed=1)
    leaf = pb.tensor(w, requires_grad=True)
    same(F.embedding(pb.tensor([[0, 5], [1, 1]]), leaf), w[[[0, 5], [1, 1]]])
    F.embedding(pb.tensor([0, 1, 1]), leaf, padding_idx=0).sum().backward()
    same(leaf.grad, np.asarray([[0], [2], [0], [0], [0], [0]]) * np.ones(3))


def test_dropout() -> None:
    x = pb.ones(1000)
    y = np.asarray(F.dropout(x, 0.25))
    assert set(np.round(np.unique(y), 4)) == {0.0, np.float32(1.3333)}
    assert 0.65 < (y > 0).mean() < 0.85
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 1.0).sum().item() == 0
    channels = np.asarray(F.dropout2d(pb.ones(4, 8, 3, 3)))
    assert all(len(np.unique(c)) == 1 for image in channels for c in image)


@pytest.mark.parametrize("layer", [F.dropout, F.dropout1d])
@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.05, 0.1, 1 / 3, 0.6, 0.9, 1.0])
def test_dropout_divides_in_the_dtype_of_what_it_keeps(p: float, dtype: Any, jitted: bool, layer: Any) -> None:
    """By the probability to be kept, rounded once, as PyTorch does."""
    pb.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((100, 7)).astype(dtype)
    kept = dtype(1) / dtype(1 - p) if p < 1 else dtype(0)
    dropped = pb.jit(lambda x: layer(x, p)) if jitted else partial(layer, p=p)
    found = dropped(pb.tensor(x)).numpy()
    assert found.dtype == dtype
    assert ((found == x * kept) | (found == 0)).all()
    assert found.any() == (p < 1)


def test_images() -> None:
    x = sample((1, 2, 3, 4), seed=1)
    a = pb.tensor(x)
    same(F.interpolate(a, scale_factor=2), x.repeat(2, 2).repeat(2, 3))
    same(F.interpolate(a, size=(3, 4), mode="bilinear"), x)
    corners = np.asarray(F.interpolate(a, size=(5, 7), mode="bilinear", align_corners=True))
    same(corners[:, :, ::2, ::2], x)
    y = sample((1, 8, 2, 3), seed=2)
    shuffled = y.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6)
    same(F.pixel_shuffle(pb.tensor(y), 2), shuffled)
    same(F.pixel_unshuffle(pb.tensor(shuffled), 2), y)
    columns = F.unfold(a, 2)
    assert columns.shape == (1, 8, 6)
    same(F.fold(F.unfold(pb.ones(1, 1, 3, 3), 2), 3, 2)[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 3)), -1)[None]
    same(F.grid_sample(a, pb.tensor(grid), align_corners=True), x, 1e-9)
    same(F.glu(pb.tensor(x)), x[..., :2] / (1 + np.exp(-x[..., 2:])))
    same(F.linear(a, pb.tensor(x[0, 0]), pb.tensor([1.0, 2.0, 3.0])), x @ x[0, 0].T + [1, 2, 3])


@pytest.mark.parametrize("padding", ["border", "reflection"])
@pytest.mark.parametrize("align", [True, False])
def test_positions_on_the_edge_of_an_image_have_no_slope(padding: str, align: bool) -> None:
    """As beyond it: what lies past the last element is not zero, so there is nothing to slope down to."""
    image = pb.tensor(sample((1, 1, 3, 4), seed=1))
    edge = (1.0, 1.0) if align else (0.75, 2 / 3)

    def value(x: Any, y: Any) -> Any:
        grid = pb.stack([x, y]).reshape(1, 1, 1, 2)
        return F.grid_sample(image, grid, padding_mode=padding, align_corners=align).sum()

    for sign in (1.0, -1.0):
        x, y = (pb.tensor(sign * at, dtype="float64") for at in edge)
        same(pb.stack(pb.grad(value, argnums=(0, 1))(x, y)), [0.0, 0.0])
        within = pb.stack(pb.grad(value, argnums=(0, 1))(x * 0.99, y * 0.99)).numpy()
        assert (within != 0).all()


def test_derivatives_of_mish_beside_wider_numbers() -> None:
    """Also where they are small, and the hyperbolic tangent in it is 1."""
    x = np.array([-80, -20, -8, -3, -0.5, 0, 0.5, 2, 4, 6, 8, 9, 10, 12, 15, 20, 30, 89, 1000], np.float32)
    function = F.mish
    for _ in range(4):
        wide = function(pb.tensor(x.astype(np.float64))).numpy()
        np.testing.assert_allclose(function(pb.tensor(x)).numpy(), wide, rtol=2e-6, atol=1e-37)
        function = pb.grad(lambda x, before=function: before(x).sum())
    x = x.astype(np.float64)
    exact = x * np.tanh(np.logaddexp(0, x))
    np.testing.assert_allclose(F.mish(pb.tensor(x)).numpy(), exact, rtol=1e-14)
    slope = (F.mish(pb.tensor(x + 1e-5)).numpy() - F.mish(pb.tensor(x - 1e-5)).numpy()) / 2e-5
    np.testing.assert_allclose(pb.grad(lambda x: F.mish(x).sum())(pb.tensor(x)).numpy(), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("values", [(0.0, -0.0, 0.0), (-0.0, 0.0, -0.0)])
def test_an_elu_of_no_height_has_the_sign_of_its_alpha(values: tuple[float, ...]) -> None:
    x = np.array([-2, -0.5, -0.0, 0.0, 1], np.float32)
    for alpha in values:
        want = np.where(x > 0, x, np.expm1(x) * np.float32(alpha))
        for function in (partial(F.elu, alpha=alpha), pb.nn.ELU(alpha), pb.jit(partial(F.elu, alpha=alpha))):
            np.testing.assert_array_equal(np.signbit(function(pb.tensor(x)).numpy()), np.signbit(want))
    with pytest.raises(ValueError, match="alpha must not be 0"):
        F.celu(pb.tensor(x), -0.0)

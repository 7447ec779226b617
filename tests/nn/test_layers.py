"""Layers against NumPy formulae."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import ArgumentError, PullbackError, ShapeError, ValueError_

rng = np.random.default_rng(0)


def near(found, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(found.numpy() if hasattr(found, "numpy") else found, expected, rtol=rtol, atol=atol)


def data(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def test_linear_bilinear_identity():
    x = data(5, 3)
    layer = nn.Linear(3, 2)
    near(layer(pb.tensor(x)), x @ layer.weight.numpy().T + layer.bias.numpy())
    assert nn.Linear(3, 2, bias=False).bias is None
    assert nn.Linear(3, 2)(pb.ones((4, 5, 3))).shape == (4, 5, 2)
    y = data(5, 4)
    both = nn.Bilinear(3, 4, 2)
    near(both(pb.tensor(x), pb.tensor(y)),
         np.einsum("bi,kij,bj->bk", x, both.weight.numpy(), y) + both.bias.numpy())
    t = pb.ones(3)
    assert nn.Identity(1, a=2)(t) is t


def test_shapes():
    assert nn.Flatten()(pb.ones((2, 3, 4))).shape == (2, 12)
    assert nn.Flatten(0, 1)(pb.ones((2, 3, 4))).shape == (6, 4)
    assert nn.Unflatten(1, (3, -1))(pb.ones((2, 12))).shape == (2, 3, 4)


def test_embedding():
    layer = nn.Embedding(5, 3, padding_idx=1)
    table = layer.weight.numpy()
    assert not table[1].any()
    index = np.array([[0, 1], [4, 4]])
    y = layer(pb.tensor(index))
    near(y, table[index])
    y.sum().backward()
    near(layer.weight.grad, np.array([1, 0, 0, 0, 2])[:, None] * np.ones(3))
    assert not nn.Embedding.from_pretrained(pb.ones((2, 2))).weight.requires_grad


def test_dropout():
    layer = nn.Dropout(0.25)
    x = pb.ones((200, 50))
    pb.manual_seed(1)
    a = layer(x).numpy()
    b = layer(x).numpy()
    assert set(np.unique(a)) == {np.float32(0), np.float32(1 / 0.75)} and (a != b).any()
    assert abs((a == 0).mean() - 0.25) < 0.02
    pb.manual_seed(1)
    np.testing.assert_array_equal(layer(x).numpy(), a)
    assert layer.eval()(x) is x


def convolve(x, w, stride, padding, dilation, groups):
    """Any number of spatial dimensions, one output at a time."""
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0)] + [(padding, padding)] * rank)
    size = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    each_in, each_out = x.shape[1] // groups, w.shape[0] // groups
    for o in range(w.shape[0]):
        first = o // each_out * each_in
        for place in np.ndindex(*size):
            window = (slice(None), slice(first, first + each_in), *(
                slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation)
                for p, k in zip(place, w.shape[2:], strict=True)))
            y[(slice(None), o, *place)] = (x[window] * w[o]).reshape(x.shape[0], -1).sum(1)
    return y


@pytest.mark.parametrize(("cls", "rank"), [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1)])
def test_convolution(cls, rank, stride, padding, dilation, groups):
    layer = cls(4, 6, 3, stride, padding, dilation, groups)
    x = data(2, 4, *[7, 6, 5][:rank])
    bias = layer.bias.numpy().reshape(-1, *[1] * rank)
    near(layer(pb.tensor(x)), convolve(x, layer.weight.numpy(), stride, padding, dilation, groups) + bias, atol=1e-5)


def test_convolution_padding_modes():
    x = data(1, 2, 5, 5)
    layer = nn.Conv2d(2, 3, 3, padding="same", bias=False)
    near(layer(pb.tensor(x)), convolve(x, layer.weight.numpy(), 1, 1, 1, 1), atol=1e-5)
    for mode, name in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        layer = nn.Conv2d(2, 3, 3, padding=1, bias=False, padding_mode=mode)
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], mode=name)
        near(layer(pb.tensor(x)), convolve(padded, layer.weight.numpy(), 1, 0, 1, 1), atol=1e-5)


def test_transposed_convolution_is_the_transpose():
    x, y = data(1, 3, 5), data(1, 4, 11)
    layer = nn.ConvTranspose1d(3, 4, 3, stride=2, bias=False)
    forward = convolve(y, layer.weight.numpy(), 2, 0, 1, 1)
    near((layer(pb.tensor(x)).numpy() * y).sum(), (forward * x).sum(), rtol=1e-4)
    assert layer(pb.tensor(x), output_size=(12,)).shape == (1, 4, 12)


def test_pooling():
    x = data(2, 3, 6, 8)
    blocks = x.reshape(2, 3, 3, 2, 4, 2)
    near(nn.MaxPool2d(2)(pb.tensor(x)), blocks.max((3, 5)))
    near(nn.AvgPool2d(2)(pb.tensor(x)), blocks.mean((3, 5)))
    near(nn.AdaptiveAvgPool2d(1)(pb.tensor(x)), x.mean((2, 3), keepdims=True))
    near(nn.AdaptiveAvgPool2d((3, 4))(pb.tensor(x)), blocks.mean((3, 5)))
    near(nn.MaxPool1d(3, 1, 1)(pb.tensor(x[:, 0])),
         np.maximum.reduce([np.pad(x[:, 0], [(0, 0), (0, 0), (1, 1)], constant_values=-np.inf)[..., k:k + 8]
                            for k in range(3)]))


def normalised(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize(("cls", "shape"), [(nn.BatchNorm1d, (8, 3)), (nn.BatchNorm1d, (8, 3, 5)),
                                            (nn.BatchNorm2d, (4, 3, 5, 2)), (nn.BatchNorm3d, (2, 3, 2, 2, 3))])
def test_batch_norm(cls, shape):
    layer = cls(3, momentum=0.25)
    x = data(*shape) * 2 + 1
    axes = (0, *range(2, len(shape)))
    near(layer(pb.tensor(x)), normalised(x, axes), atol=1e-5)
    count = x.size // 3
    mean, var = 0.25 * x.mean(axes), 0.75 + 0.25 * x.var(axes) * count / (count - 1)
    near(layer.running_mean, mean)
    near(layer.running_var, var)
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    wide = (3, *[1] * (len(shape) - 2))
    near(layer(pb.tensor(x)), (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + 1e-5), atol=1e-5)
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_without_momentum_averages():
    layer = nn.BatchNorm1d(2, momentum=None)
    first, second = data(4, 2), data(4, 2)
    layer(pb.tensor(first))
    layer(pb.tensor(second))
    near(layer.running_mean, (first.mean(0) + second.mean(0)) / 2)


def test_other_norms():
    x = data(4, 6, 5)
    near(nn.LayerNorm(5)(pb.tensor(x)), normalised(x, (2,)), atol=1e-5)
    near(nn.LayerNorm((6, 5))(pb.tensor(x)), normalised(x, (1, 2)), atol=1e-5)
    near(nn.GroupNorm(3, 6)(pb.tensor(x)), normalised(x.reshape(4, 3, 10), (2,)).reshape(x.shape), atol=1e-5)
    near(nn.InstanceNorm1d(6)(pb.tensor(x)), normalised(x, (2,)), atol=1e-5)
    near(nn.RMSNorm(5, eps=1e-6)(pb.tensor(x)), x / np.sqrt((x * x).mean(2, keepdims=True) + 1e-6))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)), (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    (nn.ELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
    (nn.CELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
    (nn.SELU(), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    (nn.GELU(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (nn.SiLU(), lambda x: x * sigmoid(x)), (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2), (nn.Softsign(), lambda x: x / (1 + abs(x))),
    (nn.Tanh(), np.tanh), (nn.Sigmoid(), sigmoid), (nn.LogSigmoid(), lambda x: np.log(sigmoid(x))),
    (nn.Hardtanh(-0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)), (nn.Hardsigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (nn.Threshold(0.1, 20.0), lambda x: np.where(x > 0.1, x, 20)),
    (nn.Softshrink(0.3), lambda x: np.sign(x) * np.maximum(abs(x) - 0.3, 0)),
    (nn.Hardshrink(0.3), lambda x: np.where(abs(x) > 0.3, x, 0)), (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.PReLU(), lambda x: np.where(x > 0, x, 0.25 * x)),
    (nn.Softmax(1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    (nn.LogSoftmax(-1), lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    (nn.Softmin(1), lambda x: np.exp(-x) / np.exp(-x).sum(1, keepdims=True)),
    (nn.GLU(), lambda x: x[:, :3] * sigmoid(x[:, 3:])),
]


@pytest.mark.parametrize("k", range(len(ACTIVATIONS)), ids=[type(m).__name__ for m, _ in ACTIVATIONS])
def test_activation(k):
    module, formula = ACTIVATIONS[k]
    x = data(5, 6) * 3
    near(module(pb.tensor(x)), formula(x), rtol=2e-5, atol=2e-6)


def huber(d, delta):
    return np.where(abs(d) < delta, 0.5 * d * d, delta * (abs(d) - 0.5 * delta))


def test_losses_of_two_arrays():
    x, y = data(4, 3), data(4, 3)
    cases = [(nn.MSELoss, (x - y) ** 2), (nn.L1Loss, abs(x - y)), (nn.HuberLoss, huber(x - y, 1.0)),
             (nn.SmoothL1Loss, huber(x - y, 1.0))]
    for cls, each in cases:
        near(cls(reduction="none")(pb.tensor(x), pb.tensor(y)), each)
        near(cls()(pb.tensor(x), pb.tensor(y)), each.mean())
        near(cls(reduction="sum")(pb.tensor(x), pb.tensor(y)), each.sum())
    near(nn.SmoothL1Loss(beta=0.5)(pb.tensor(x), pb.tensor(y)), (huber(x - y, 0.5) / 0.5).mean())
    p, t = sigmoid(x), (y > 0).astype(np.float32)
    each = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    near(nn.BCELoss()(pb.tensor(p), pb.tensor(t)), each.mean())
    near(nn.BCEWithLogitsLoss()(pb.tensor(x), pb.tensor(t)), each.mean())
    weights = np.array([1.0, 2.0, 3.0], np.float32)
    each = -(weights * t * np.log(p) + (1 - t) * np.log(1 - p))
    near(nn.BCEWithLogitsLoss(pos_weight=pb.tensor(weights))(pb.tensor(x), pb.tensor(t)), each.mean())
    q = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    near(nn.KLDivLoss(reduction="batchmean")(pb.tensor(x), pb.tensor(q)), (q * (np.log(q) - x)).sum() / 4)


def test_classification_losses():
    x = data(5, 4)
    t = np.array([0, 3, 2, 2, 1])
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    picked = -logp[np.arange(5), t]
    near(nn.CrossEntropyLoss()(pb.tensor(x), pb.tensor(t)), picked.mean())
    near(nn.NLLLoss(reduction="sum")(pb.tensor(logp), pb.tensor(t)), picked.sum())
    w = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
    near(nn.CrossEntropyLoss(weight=pb.tensor(w))(pb.tensor(x), pb.tensor(t)), (w[t] * picked).sum() / w[t].sum())
    near(nn.CrossEntropyLoss(ignore_index=2)(pb.tensor(x), pb.tensor(t)), picked[t != 2].mean())
    near(nn.CrossEntropyLoss(label_smoothing=0.1)(pb.tensor(x), pb.tensor(t)),
         (0.9 * picked - 0.1 * logp.mean(1)).mean())
    soft = np.abs(data(5, 4))
    near(nn.CrossEntropyLoss()(pb.tensor(x), pb.tensor(soft)), -(soft * logp).sum(1).mean())


def test_embedding_losses():
    a, b, t = data(4, 3), data(4, 3), np.array([1.0, -1.0, 1.0, -1.0], np.float32)
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    each = np.where(t > 0, 1 - cos, np.maximum(0, cos - 0.2))
    near(nn.CosineEmbeddingLoss(0.2)(pb.tensor(a), pb.tensor(b), pb.tensor(t)), each.mean())
    near(nn.CosineSimilarity()(pb.tensor(a), pb.tensor(b)), cos)
    near(nn.MarginRankingLoss(0.5)(pb.tensor(a[:, 0]), pb.tensor(b[:, 0]), pb.tensor(t)),
         np.maximum(0, -t * (a[:, 0] - b[:, 0]) + 0.5).mean())


def test_instance_norm_keeps_running_statistics():
    layer = nn.InstanceNorm1d(2, momentum=0.5, track_running_stats=True)
    x = data(3, 2, 7)
    layer(pb.tensor(x))
    near(layer.running_mean, 0.5 * x.mean(2).mean(0))
    near(layer.running_var, 0.5 + 0.5 * x.var(2, ddof=1).mean(0))
    y = layer.eval()(pb.tensor(x))
    near(y, (x - layer.running_mean.numpy()[:, None]) / np.sqrt(layer.running_var.numpy()[:, None] + 1e-5))


def test_batch_norm_without_momentum_under_jit():
    layer, x = nn.BatchNorm1d(2, momentum=None), data(4, 5, 2)
    step = pb.jit(lambda batch: layer(batch))
    for batch in x:
        step(pb.tensor(batch))
    near(layer.running_mean, x.mean((0, 1)))


def test_rows_of_an_embedding_are_limited():
    layer = nn.Embedding(4, 3, max_norm=1.0)
    before = layer.weight.numpy().copy()
    y = layer(pb.tensor([0, 2]))
    sizes = np.linalg.norm(before, axis=1)
    expected = np.where(np.isin(np.arange(4), [0, 2])[:, None], before / np.maximum(sizes, 1)[:, None], before)
    near(layer.weight, expected)
    near(y, expected[[0, 2]])


def test_gradients_of_an_embedding_by_frequency():
    layer = nn.Embedding(4, 2, scale_grad_by_freq=True)
    (layer(pb.tensor([1, 3, 1])) * pb.tensor([[1.0], [2.0], [5.0]])).sum().backward()
    near(layer.weight.grad, np.array([0, 3, 0, 2])[:, None] * np.ones(2))


def test_the_maximum_of_a_bag_is_that_of_the_first_row_that_has_it():
    bag = nn.EmbeddingBag(4, 2, mode="max")
    table = [[1.0, np.nan], [1.0, 5.0], [0.0, 7.0], [1.0, np.nan]]
    with pb.no_grad():
        bag.weight.copy_(pb.tensor(table))
    y = bag(pb.tensor([2, 1, 0, 1, 3, 0]), pb.tensor([0, 4, 6, 6]))
    np.testing.assert_array_equal(y.numpy(), [[1, np.nan], [1, np.nan], [0, 0], [0, 0]])
    y.sum().backward()
    np.testing.assert_array_equal(bag.weight.grad.numpy(), [[0, 1], [1, 0], [0, 0], [1, 1]])
    nothing = bag(pb.zeros(0, dtype="int64"), pb.tensor([0]))
    np.testing.assert_array_equal(nothing.numpy(), [[0, 0]])


def test_offsets_and_lengths_under_jit():
    bag, x = nn.EmbeddingBag(6, 3), pb.tensor([1, 2, 4, 5, 4])
    eager, later = (f(x, pb.tensor([0, 2, 2, 4])) for f in (bag, pb.jit(lambda x, offsets: bag(x, offsets))))
    near(later, eager.detach().numpy())
    logs = pb.log_softmax(pb.tensor(data(6, 2, 4)), dim=2)
    given = (pb.tensor([1, 2, 2]), pb.tensor([6, 5]), pb.tensor([1, 2]))
    near(pb.jit(lambda *a: nn.functional.ctc_loss(logs, *a))(*given), nn.functional.ctc_loss(logs, *given).numpy())


def test_pooling_in_ceil_mode_of_less_than_a_window():
    x = data(1, 2, 2, 2)
    near(nn.MaxPool2d(3, 2, ceil_mode=True)(pb.tensor(x)), x.max((2, 3), keepdims=True))
    near(nn.AvgPool2d(3, 2, ceil_mode=True)(pb.tensor(x)), x.mean((2, 3), keepdims=True))


def test_linear_interpolation_keeps_a_dimension_that_keeps_its_size():
    x = data(1, 2, 3, 8)
    y = nn.functional.interpolate(pb.tensor(x), scale_factor=(1.3, 0.5), mode="bilinear")
    near(y, x.reshape(1, 2, 3, 4, 2).mean(-1))


def test_smoothing_while_shrinking_averages_evenly():
    x = data(1, 1, 8, 8)
    y = nn.functional.interpolate(pb.tensor(x), (1, 1), mode="bilinear", antialias=True)
    hat = 1 - np.abs(np.arange(8) - 3.5) / 8
    near(y, np.einsum("bchw,h,w->bc", x, hat, hat)[..., None, None] / hat.sum() ** 2)


WRONG = [
    (lambda: nn.Linear(-1, 2), ValueError_), (lambda: nn.Linear(2.5, 2), ArgumentError),
    (lambda: nn.Linear(3, 2)(pb.ones((4, 5))), ShapeError),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError_), (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ArgumentError),
    (lambda: nn.Conv2d(3, 4, 0), ValueError_), (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError_),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError_),
    (lambda: nn.Conv2d(3, 4, 3)(pb.ones((1, 2, 5, 5))), ShapeError),
    (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError_), (lambda: nn.Embedding(-1, 2), ValueError_),
    (lambda: nn.Dropout(1.5), ValueError_), (lambda: nn.BatchNorm2d(3)(pb.ones((2, 3))), ShapeError),
    (lambda: nn.BatchNorm1d(3)(pb.ones((2, 4))), ShapeError), (lambda: nn.GroupNorm(2, 3), ValueError_),
    (lambda: nn.LayerNorm(3)(pb.ones((2, 4))), ShapeError), (lambda: nn.GELU("fast"), ValueError_),
    (lambda: nn.Hardtanh(1.0, -1.0), ValueError_), (lambda: nn.MSELoss(reduction="average"), ValueError_),
    (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError_),
    (lambda: nn.CrossEntropyLoss(weight=3), ArgumentError),
    (lambda: nn.Unflatten(1, (5,))(pb.ones((2, 12))), ShapeError), (lambda: nn.Flatten(2)(pb.ones((2, 3))), ShapeError),
    (lambda: nn.ConvTranspose2d(2, 2, 3, padding_mode="reflect"), ValueError_),
    (lambda: nn.ConvTranspose2d(2, 2, 3, 2, output_padding=2)(pb.ones((1, 2, 3, 3))), ValueError_),
    (lambda: nn.Upsample(scale_factor=2, align_corners=True)(pb.ones((1, 2, 3, 3))), ValueError_),
    (lambda: nn.functional.interpolate(pb.ones((1, 2, 3)), 5, mode="linear", antialias=True), ValueError_),
    (lambda: nn.GRU(3, 4)(pb.ones((5, 2, 3)), (pb.ones((1, 2, 4)),) * 2), ShapeError),
    (lambda: nn.LSTM(3, 4, 2)(pb.ones((5, 2, 3)), pb.ones((2, 2, 4))), ShapeError),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError_), (lambda: nn.RNNBase("GRU", 3, 4, proj_size=2), ValueError_),
    (lambda: nn.GroupNorm(3, 3)(pb.ones((1, 3))), ValueError_),
    (lambda: nn.InstanceNorm1d(3)(pb.ones((2, 3, 1))), ValueError_),
    (lambda: nn.TransformerEncoderLayer(4, 2)(pb.ones((3, 1, 4)), is_causal=True), ValueError_),
    (lambda: nn.functional.mse_loss(pb.ones(3), pb.ones(3), weight=pb.ones(2)), ShapeError),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_calls_raise_our_errors(k):
    call, error = WRONG[k]
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, PullbackError)

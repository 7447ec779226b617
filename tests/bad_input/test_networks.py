"""Networks with input that has no answer, or an unexpected one: an error with a cure, or the defined value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F
from pullback import nn
from pullback.nn.utils import rnn
from pullback.util.errors import IndexError_, PullbackError, ShapeError, ValueError_


def o(*shape: int) -> Any:
    return pb.ones(shape)


def logs(steps: int) -> Any:
    return pb.log_softmax(o(steps, 1, 3), dim=2)


LABEL = pb.tensor([[1]])
ERRORS: dict[str, tuple[Callable[[], Any], type[PullbackError], str]] = {
    "kernel larger than the image": (lambda: F.conv2d(o(1, 1, 2, 2), o(1, 1, 3, 3)), ShapeError, "larger than the pad"),
    "window larger than the image": (lambda: F.max_pool2d(o(1, 1, 2, 2), 3), ShapeError, "larger than the pad"),
    "layer without channels": (lambda: nn.Conv2d(0, 2, 3), ValueError_, "at least 1"),
    "index above the embedding": (lambda: nn.Embedding(5, 3)(pb.tensor([0, 5])).numpy(), IndexError_, "made at"),
    "index below the embedding": (lambda: nn.Embedding(5, 3)(pb.tensor([-1])).numpy(), IndexError_, "made at"),
    "negative index of the host": (lambda: F.embedding([0, -1], o(5, 3)), IndexError_, "negative"),
    "index above the bag": (lambda: nn.EmbeddingBag(5, 3)(pb.tensor([7]), pb.tensor([0])).numpy(), IndexError_,
                            "range"),
    "offsets past the end": (lambda: nn.EmbeddingBag(5, 3)(pb.tensor([0]), pb.tensor([0, 5])), IndexError_, "offsets"),
    "length of zero": (lambda: rnn.pack_padded_sequence(o(3, 2, 1), [3, 0]), ValueError_, "greater than 0"),
    "length past the end": (lambda: rnn.pack_padded_sequence(o(3, 2, 1), [4, 1]), ShapeError, "do not fit"),
    "lengths out of order": (lambda: rnn.pack_padded_sequence(o(3, 2, 1), [1, 3]), ValueError_, "decreasing"),
    "target above the classes": (lambda: F.cross_entropy(o(2, 3), pb.tensor([0, 3])).numpy(), IndexError_, "range"),
    "target below the classes": (lambda: F.cross_entropy(o(2, 3), pb.tensor([0, -2])).numpy(), IndexError_, "range"),
    "target of nll_loss": (lambda: F.nll_loss(o(2, 3), pb.tensor([-1, 0])).numpy(), IndexError_, "range"),
    "target of a margin": (lambda: F.multi_margin_loss(o(1, 3), pb.tensor([5])).numpy(), IndexError_, "range"),
    "label of ctc": (lambda: F.ctc_loss(logs(3), pb.tensor([[7]]), [3], [1]).numpy(), IndexError_, "range"),
    "length of ctc": (lambda: F.ctc_loss(logs(3), LABEL, [4], [1]), ValueError_, "from 0 to 3"),
    "length of ctc in a tensor": (lambda: F.ctc_loss(logs(3), LABEL, pb.tensor([4]), pb.tensor([1])).numpy(),
                                  IndexError_, "range"),
    "length of ctc under jit": (lambda: pb.jit(lambda n: F.ctc_loss(logs(3), LABEL, [3], n))(pb.tensor([2])).numpy(),
                                IndexError_, "range"),
    "factor of an interpolation": (lambda: F.interpolate(o(1, 1, 2), scale_factor=float("nan")), ValueError_,
                                   "positive"),
    "place of an unpooling": (lambda: F.max_unpool2d(o(1, 1, 1, 1), pb.tensor([[[[9]]]]), 2).numpy(), IndexError_,
                              "range"),
    "width of a recurrence": (lambda: nn.GRU(3, 4)(o(5, 2, 2)), ShapeError, "input must be"),
    "state of a recurrence": (lambda: nn.GRU(3, 4)(o(5, 2, 3), o(1, 3, 4)), ShapeError, "h_0 must have the shape"),
    "heads": (lambda: nn.MultiheadAttention(6, 4), ValueError_, "divisible"),
    "mask of attention": (lambda: nn.MultiheadAttention(4, 2)(o(2, 1, 4), o(2, 1, 4), o(2, 1, 4), attn_mask=o(3, 2)),
                          ShapeError, "attn_mask does not fit"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_is_an_error(name: str) -> None:
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_refusals_reach_the_user_under_jit() -> None:
    with pytest.raises(IndexError_, match="range"):
        pb.jit(lambda i: F.embedding(i, o(5, 3)))(pb.tensor([-1])).numpy()
    with pytest.raises(IndexError_, match="range"):
        pb.jit(lambda i: F.cross_entropy(o(2, 3), i))(pb.tensor([0, -2])).numpy()


EMPTY: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "convolution of no images": (lambda: F.conv2d(o(0, 1, 4, 4), o(2, 1, 3, 3)), (0, 2, 2, 2)),
    "pooling of no images": (lambda: F.max_pool2d(o(0, 1, 4, 4), 2), (0, 1, 2, 2)),
    "batch norm of no images": (lambda: nn.BatchNorm2d(2)(o(0, 2, 4, 4)), (0, 2, 4, 4)),
    "group norm of no images": (lambda: nn.GroupNorm(1, 2)(o(0, 2, 4)), (0, 2, 4)),
    "layer norm of nothing": (lambda: nn.LayerNorm(4)(o(0, 4)), (0, 4)),
    "no sequences": (lambda: nn.LSTM(3, 4)(o(5, 0, 3))[0], (5, 0, 4)),
    "attention of nothing": (lambda: nn.MultiheadAttention(4, 2)(o(3, 0, 4), o(3, 0, 4), o(3, 0, 4))[0], (3, 0, 4)),
    "no queries": (lambda: F.scaled_dot_product_attention(o(1, 0, 4), o(1, 3, 4), o(1, 3, 4)), (1, 0, 4)),
    "a linear map of nothing": (lambda: nn.Linear(3, 2)(o(0, 3)), (0, 2)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_gives_nothing(name: str) -> None:
    call, shape = EMPTY[name]
    assert call().numpy().shape == shape


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(2), nn.BatchNorm1d(2, momentum=None),
                                   nn.InstanceNorm1d(2, track_running_stats=True)], ids=repr)
def test_running_statistics_are_not_those_of_nothing(layer: Any) -> None:
    layer(o(0, 2, 4)).sum().backward() if layer.affine else layer(o(0, 2, 4))
    np.testing.assert_array_equal(layer.running_mean.numpy(), [0, 0])
    np.testing.assert_array_equal(layer.running_var.numpy(), [1, 1])


def test_zero_channels_are_a_sum_of_nothing() -> None:
    assert not F.conv2d(o(1, 0, 4, 4), o(2, 0, 3, 3)).numpy().any()


def test_means_of_nothing_are_nan() -> None:
    assert np.isnan(F.cross_entropy(o(0, 3), pb.zeros(0, dtype="int64")).item())
    assert np.isnan(F.cross_entropy(o(2, 3), pb.tensor([-100, -100])).item())
    assert np.isnan(F.mse_loss(o(0, 3), o(0, 3)).item())


@pytest.mark.parametrize("mask", [pb.tensor([[True, True], [False, False]]),
                                  pb.tensor([[0.0, 0.0], [-np.inf, -np.inf]])], ids=["bool", "added"])
def test_rows_without_keys_are_zero_and_have_no_gradient(mask: Any) -> None:
    q, k, v = (pb.randn(1, 2, 4).requires_grad_() for _ in range(3))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    y.sum().backward()
    assert not y.numpy()[0, 1].any()
    assert y.numpy()[0, 0].any()
    for t in (q, k, v):
        assert np.isfinite(t.grad.numpy()).all()
    assert not q.grad.numpy()[0, 1].any()
    layer, x = nn.MultiheadAttention(4, 2), pb.randn(2, 1, 4).requires_grad_()
    out, weights = layer(x, x, x, key_padding_mask=pb.tensor([[True, True]]))
    out.sum().backward()
    assert not weights.numpy().any()
    assert np.isfinite(x.grad.numpy()).all()


def test_attention_without_features_is_a_mean() -> None:
    found = F.scaled_dot_product_attention(pb.zeros((2, 3, 0)), pb.zeros((2, 4, 0)), pb.arange(8.0).reshape(1, 4, 2))
    np.testing.assert_allclose(found.numpy(), np.broadcast_to([3.0, 4.0], (2, 3, 2)))


def test_attention_without_keys_is_zero() -> None:
    assert not F.scaled_dot_product_attention(o(1, 2, 4), o(1, 0, 4), o(1, 0, 4)).numpy().any()


def test_losses_at_the_extremes() -> None:
    x = pb.tensor([[1e30, -1e30], [80.0, -80.0], [-3e38, 3e38]], requires_grad=True)
    loss = F.cross_entropy(x, pb.tensor([0, 1, 1]), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [0, 160, 0])
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [1, -1], [0, 0]], atol=1e-30)
    z = pb.tensor([1e30, -1e30, 1e30], requires_grad=True)
    each = F.binary_cross_entropy_with_logits(z, pb.tensor([1.0, 0.0, 0.0]), reduction="none")
    np.testing.assert_allclose(each.numpy(), [0, 0, 1e30])
    each.sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0, 0, 1])


def test_ctc_without_steps_or_labels() -> None:
    assert F.ctc_loss(logs(3), LABEL, [0], [1], reduction="none").tolist() == [np.inf]
    assert F.ctc_loss(logs(3), LABEL, [0], [1], reduction="none", zero_infinity=True).tolist() == [0]
    np.testing.assert_allclose(F.ctc_loss(logs(3), LABEL, [3], [0], reduction="none").numpy(), [3 * np.log(3)], 1e-6)

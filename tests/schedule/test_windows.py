"""Convolutions become products over windows: what is stored, how many kernels there are, that they mean the same."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tests.programs import check, floats

import pullback as pb
import pullback.nn.functional as F
import pullback.ops.build as b
from pullback.api.convolution import window_nodes
from pullback.ir.node import Function, Node, param
from pullback.kernel.nodes import WindowNest
from pullback.schedule.contract import window_nest
from pullback.schedule.plan import Options, plan
from pullback.schedule.windows import window
from pullback.util import config

SHAPES = ((8, 3, 32, 32), (32, 3, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 64, 3, 3), (128,), (256, 128, 3, 3),
          (256,), (10, 16384), (10,))


def network(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, w: Any, c: Any) -> Any:
    """3-32-64-pool-128-pool-256-10"""
    x = F.relu(F.conv2d(x, w1, b1, padding=1))
    x = F.max_pool2d(F.relu(F.conv2d(x, w2, b2, padding=1)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w3, b3, padding=1)), 2)
    x = F.relu(F.conv2d(x, w4, b4, padding=1))
    return F.linear(x.reshape((8, -1)), w, c)


def kinds(text: str) -> dict[str, int]:
    found = re.findall(r"^  k\d+: (\w+),", text, re.M)
    return {kind: found.count(kind) for kind in set(found)}


def test_kernels_of_a_conv_net(capsys: pytest.CaptureFixture[str]) -> None:
    arrays = [pb.ones(*shape) for shape in SHAPES]
    forward = pb.show(network, "schedule")(*arrays)
    assert kinds(forward) == {"matmul": 5, "loops": 3}  # two poolings; the last bias and activation

    def step(*a: Any) -> Any:
        grads = pb.grad(lambda *p: (network(a[0], *p) ** 2).sum(), argnums=tuple(range(10)))(*a[1:])
        return tuple(p - 0.1 * g for p, g in zip(a[1:], grads, strict=True))

    text = pb.show(step, "schedule")(*arrays)
    # five forward, five gradients of weights with their updates, four of inputs
    assert kinds(text)["matmul"] == 14
    assert kinds(text)["loops"] <= 14  # pooling forward and backward, sums for biases
    capsys.readouterr()


def convolution(x: Node, w: Node, stride: int, pad: int) -> Node:
    out = tuple((n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
    windows = window_nodes(x, 2, w.shape[2:], out, (stride,) * 2, (pad,) * 2, (1, 1), 0)
    y = b.contract(b.transpose(windows, (0, 2, 3, 1, 4, 5)), w, 0, 3)
    return b.transpose(y, (0, 3, 1, 2))


@pytest.mark.parametrize("stride", [1, 2])
def test_an_image_is_read_in_place(stride: int) -> None:
    x, w = floats(2, 3, 9, 8), floats(4, 3, 3, 3)
    function = Function([x, w], [convolution(x, w, stride, 1)])
    made = plan(function, frozenset(), frozenset(), Options(2))
    (kernel,) = [k for phase in made.phases for k in phase]
    assert isinstance(kernel.body[0], WindowNest) and not made.workspace_bytes
    rng = np.random.default_rng(0)
    check(function, *(rng.standard_normal(t.shape).astype(np.float32) for t in function.in_types))


def test_a_window_says_where_its_elements_are() -> None:
    x = floats(5, 7)
    windows = window_nodes(x, 0, (3, 2), (3, 4), (2, 2), (1, 1), (1, 1), 0)
    found = window(windows, {})
    assert found is not None and found.base is x and found.step == (1, 1)
    assert [repr(i) for i in found.at] == ["2*i0+i2-1", "2*i1+i3-1"]


def test_what_is_no_window() -> None:
    x = floats(5, 7)
    one = window_nodes(x, 0, (3, 2), (3, 4), (2, 2), (1, 1), (1, 1), 1.0)
    assert window(one, {}) is not None and window(one, {}).base is one  # type: ignore[union-attr]
    assert window(b.reshape(b.pad(x, (1, 1), (1, 1)), (63,)), {}) is None


def test_infinities_stay_where_they_are() -> None:
    """Zeros of the padding, and lanes beyond an image, are never multiplied by numbers of another."""
    x = np.zeros((2, 3, 7, 7), np.float32)
    x[0, 1, 6, 6] = np.inf
    y = F.conv2d(pb.tensor(x), pb.ones(4, 3, 3, 3), padding=1).numpy()
    assert np.isinf(y[0, :, 5:, 5:]).all() and not y[0, :, :5].any() and not y[1].any()
    ct = np.ones((2, 3, 7, 7), np.float32)
    depthwise = pb.grad(lambda w: (F.conv2d(pb.tensor(x), w, padding=1, groups=3) * pb.tensor(ct)).sum())(
        pb.zeros(3, 1, 3, 3)).numpy()
    assert np.isfinite(depthwise[[0, 2]]).all() and not np.isnan(depthwise).any()


def test_masks_are_read_from_results() -> None:
    x, w = floats(2, 3, 9, 8), floats(4, 3, 3, 3)
    y = convolution(x, w, 1, 1)
    zero = b.zeros_like(y)
    mask = b.binary("le", y, zero)
    ct = param(y.tensor)
    function = Function([x, w, ct], [b.select(mask, zero, y), b.select(mask, zero, ct)])
    made = plan(function, frozenset(), frozenset(), Options(2))
    assert not made.workspace_bytes  # what is before the activation is not kept
    rng = np.random.default_rng(0)
    check(function, *(rng.standard_normal(t.shape).astype(np.float32) for t in function.in_types))


def test_gradients_of_strided_images_keep_their_columns(monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    """What is added to one of them, the gradient of a shortcut with a stride, stays outside: the product is cut into
    phases of columns, and would multiply by zeros if its rows of pixels were counted apart."""
    found: list[WindowNest] = []

    def noted(*given: Any) -> WindowNest:
        found.append(window_nest(*given))
        return found[-1]

    def step(x: Any, w: Any, v: Any) -> Any:
        return pb.grad(lambda x: ((F.conv2d(x, w, stride=2, padding=1) + F.conv2d(x, v, stride=2)) ** 2).sum())(x)

    rng = np.random.default_rng(0)
    arrays = [pb.tensor(rng.standard_normal(s).astype(np.float32))
              for s in ((4, 16, 16, 16), (32, 16, 3, 3), (32, 16, 1, 1))]
    monkeypatch.setattr("pullback.schedule.plan.window_nest", noted)
    pb.show(step, "schedule")(*arrays)
    capsys.readouterr()
    stepped = [nest for nest in found if any(n > 1 for n in nest.b_step)]
    assert stepped and all(len(nest.cols) == 2 for nest in stepped)
    np.testing.assert_allclose(pb.jit(step)(*arrays).numpy(), step(*arrays).numpy(), rtol=2e-4, atol=2e-3)


def channels_last(conv: Any) -> Any:
    return lambda x, w: conv(x.permute((0, 3, 1, 2)), w).permute((0, 2, 3, 1))


PLAIN: tuple[Any, tuple[int, ...], tuple[int, ...]] = (lambda x, w: F.conv2d(x, w, padding=1), (32, 12, 16),
                                                       (32, 32, 3, 3))
CONVOLUTIONS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "1d": (lambda x, w: F.conv1d(x, w, padding=2), (32, 64), (32, 32, 5)),
    "2d": PLAIN,
    "3d": (lambda x, w: F.conv3d(x, w, padding=1), (8, 6, 8, 8), (8, 8, 3, 3, 3)),
    "strided": (lambda x, w: F.conv2d(x, w, stride=2, padding=3), (3, 30, 32), (32, 3, 7, 7)),
    "dilated": (lambda x, w: F.conv2d(x, w, padding=2, dilation=2), (32, 12, 16), (32, 32, 3, 3)),
    "groups": (lambda x, w: F.conv2d(x, w, padding=1, groups=4), (32, 12, 16), (32, 8, 3, 3)),
    "transposed": (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), (32, 12, 16), (32, 16, 4, 4)),
    "transposed, padded": (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1), (32, 12, 16),
                           (32, 16, 3, 3)),
    "transposed, strided down": (lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=1), (32, 12, 16),
                                 (32, 16, 4, 3)),
    "transposed, strided across": (lambda x, w: F.conv_transpose2d(x, w, stride=(1, 2), padding=1, groups=2),
                                   (32, 12, 16), (32, 16, 3, 4)),
    "transposed, groups": (lambda x, w: F.conv_transpose2d(x, w, stride=3, groups=2), (32, 12, 16), (32, 8, 3, 3)),
    "transposed, points": (lambda x, w: F.conv_transpose2d(x, w, groups=2), (64, 1, 1), (64, 8, 4, 4)),
    "transposed, 1d": (lambda x, w: F.conv_transpose1d(x, w, stride=4, padding=2), (32, 64), (32, 16, 8)),
    "channels last": (channels_last(PLAIN[0]), (12, 16, 32), PLAIN[2]),
    "strided, channels last": (channels_last(lambda x, w: F.conv2d(x, w, stride=2, padding=1)), (12, 16, 32),
                               (32, 32, 3, 3)),
}


def test_a_transposed_convolution_multiplies_by_no_zeros() -> None:
    """The gradient of its weights sums over the image, not over the places between its pixels."""
    x, w, q = pb.ones(2, 32, 12, 16), pb.ones(32, 16, 3, 3), pb.ones(2, 16, 24, 32)

    def loss(w: Any, x: Any, q: Any) -> Any:
        return (F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1) * q).sum()

    text = str(pb.show(pb.grad(loss), "loops")(w, x, q))
    assert "product 32 x 144 x 384" in text


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_windows_are_never_copied(kind: str, images: int) -> None:
    """Values and both gradients, of any number of images and any cotangent, take a few copies of images at most."""
    conv, image, weight = CONVOLUTIONS[kind]
    rng = np.random.default_rng(0)
    x, w = (pb.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((images, *image), weight))
    q = pb.tensor(rng.standard_normal(conv(x, w).shape).astype(np.float32))
    most = 4 * max(t.nbytes for t in (x, w, q))

    def value(x: Any, w: Any, q: Any) -> Any:
        return conv(x, w) * q

    for of in (lambda x, w, q: conv(x, w).sum(), lambda x, w, q: value(x, w, q).sum()):
        for made in (value, pb.grad(of), pb.grad(of, argnums=1)):
            text = pb.show(made, "schedule")(x, w, q)
            workspace = re.search(r"(\d+) bytes of workspace", str(text))
            assert workspace is not None and int(workspace[1]) <= most
            with config.override(reference=True):
                expected = made(x, w, q).numpy()
            np.testing.assert_allclose(pb.jit(made)(x, w, q).numpy(), expected, rtol=0,
                                       atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("groups", [1, 2])
def test_a_gradient_counted_in_groups_is_copied(groups: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a group norm behind a convolution: its numbers have no strides by channels until they lie in memory."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((4, 8, 20, 20), (16, 8 // groups, 3, 3)))

    def loss(x: Any, w: Any) -> Any:
        y = F.group_norm(F.conv2d(F.relu(x), w, padding=1, groups=groups), 4)
        return (F.relu(y) ** 2).sum()

    text = pb.show(pb.grad(loss, (0, 1)), "loops")(pb.tensor(x), pb.tensor(w))
    capsys.readouterr()
    assert text.count("window of") == 3
    assert not re.search(r"20, 3, 3\] workspace|3, 3, 4, 20, 20\] workspace", text)
    found = pb.jit(pb.grad(loss, (0, 1)))(pb.tensor(x), pb.tensor(w))
    wanted = pb.jit(pb.grad(loss, (0, 1)))(*(pb.tensor(v.astype(np.float64)) for v in (x, w)))
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-3, atol=2e-4 * np.abs(want.numpy()).max())

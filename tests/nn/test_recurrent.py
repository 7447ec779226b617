"""Recurrent layers: lengths, loops; parametrised weights. Values beside PyTorch: tests/conformance/test_layers.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.api.recurrence import _recurrence  # pyright: ignore[reportPrivateUsage]
from pullback.nn import utils
from pullback.nn.utils import parametrizations, parametrize, remove_weight_norm, rnn, weight_norm
from pullback.util.errors import ArgumentError


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_packed_is_each_sequence_alone(kind: Any) -> None:
    layer = kind(3, 4, 2, bidirectional=True)
    sequences = [pb.randn(n, 3) for n in (2, 5, 3)]
    packed, last = layer(rnn.pack_sequence(sequences, enforce_sorted=False))
    last = last[0] if kind is nn.LSTM else last
    for k, (x, y) in enumerate(zip(sequences, rnn.unpack_sequence(packed), strict=True)):
        alone, end = layer(x)
        np.testing.assert_allclose(y.detach().numpy(), alone.detach().numpy(), rtol=1e-5, atol=1e-6)
        end = end[0] if kind is nn.LSTM else end
        np.testing.assert_allclose(last[:, k].detach().numpy(), end.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_a_layer_is_its_cell_step_by_step(kind: Any) -> None:
    layer = {nn.RNNCell: nn.RNN, nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU}[kind](3, 4)
    cell = kind(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in layer.state_dict().items()})
    x, state = pb.randn(5, 2, 3), None
    every, _ = layer(x)
    for t in range(5):
        state = cell(x[t], state)
        h = state[0] if kind is nn.LSTMCell else state
        np.testing.assert_allclose(h.detach().numpy(), every[t].detach().numpy(), rtol=1e-5, atol=1e-6)


def test_one_hidden_number_backward() -> None:
    layer, cell = nn.RNN(3, 1), nn.RNNCell(3, 1)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in layer.state_dict().items()})
    x = pb.randn(4, 2, 3)

    def alone(x: Any) -> Any:
        state, total = None, 0
        for t in range(4):
            state = cell(x[t], state)
            total = total + (state ** 2).sum()
        return total

    found, expected = (pb.grad(f)(x) for f in (lambda x: (layer(x)[0] ** 2).sum(), alone))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_projected_lstm_is_its_formula(reverse: bool) -> None:
    layer = nn.LSTM(3, 4, bidirectional=True, proj_size=2)
    x, h0, c0 = pb.randn(5, 2, 3), pb.randn(2, 2, 2), pb.randn(2, 2, 4)
    every, (last, cell) = layer(x, (h0, c0))
    suffix = "l0_reverse" if reverse else "l0"
    w, u, b, d, p = (getattr(layer, f"{n}_{suffix}").detach().numpy()
                     for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"))
    h, c = h0.numpy()[int(reverse)], c0.numpy()[int(reverse)]
    for t in reversed(range(5)) if reverse else range(5):
        i, f, g, o = np.split(x.numpy()[t] @ w.T + h @ u.T + b + d, 4, 1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o)) @ p.T
        np.testing.assert_allclose(every.detach().numpy()[t, :, 2 * reverse:2 * reverse + 2], h, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(last.detach().numpy()[int(reverse)], h, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cell.detach().numpy()[int(reverse)], c, rtol=1e-4, atol=1e-6)


def _graph(steps: int) -> int:
    layer = nn.LSTM(3, 4)

    def loss(x: Any) -> Any:
        return layer(x)[0].sum()

    return len(pb.show(pb.grad(loss), "graph")(pb.ones((steps, 2, 3))).splitlines())


def test_the_program_does_not_grow_with_the_length() -> None:
    assert _graph(5) == _graph(50)


def test_weights_of_a_recurrence_get_their_gradient_in_one_product() -> None:
    layer = nn.LSTM(3, 4)

    def loss(w: Any) -> Any:
        return nn.functional_call(layer, {"weight_hh_l0": w}, (pb.ones((6, 2, 3)),))[0].sum()

    lines = pb.show(pb.grad(loss), "graph")(layer.weight_hh_l0.detach()).splitlines()
    outer = [line for line in lines if line.startswith("  %") and "contract[" in line and "float32[16, 4]" in line]
    assert len(outer) == 1


@pytest.mark.parametrize("nested", ["jit", "vmap"])
def test_transforms_of_recurrences(nested: str) -> None:
    layer = nn.GRU(3, 4)
    x = pb.randn(6, 5, 2, 3)
    gradient = pb.grad(lambda x: (layer(x)[0] ** 2).sum())
    wanted = np.stack([gradient(v).numpy() for v in x])
    found = pb.vmap(gradient)(x) if nested == "vmap" else pb.stack([pb.jit(gradient)(v) for v in x])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_parametrised_weights() -> None:
    layer, x = nn.Linear(3, 2), pb.randn(4, 3)
    before = layer(x).detach().numpy()
    parametrizations.weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "parametrizations.weight.original0",
                                          "parametrizations.weight.original1"]
    np.testing.assert_allclose(layer(x).detach().numpy(), before, rtol=1e-5, atol=1e-6)
    layer(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    np.testing.assert_allclose(layer(x).detach().numpy(), before, rtol=1e-5, atol=1e-6)
    weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
    remove_weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ArgumentError, match="not parametrised"):
        parametrize.remove_parametrizations(layer, "weight")


def test_spectral_and_orthogonal_weights() -> None:
    pb.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(5, 4))
    for _ in range(100):
        layer(pb.ones((1, 5)))
    np.testing.assert_allclose(np.linalg.svd(layer.eval().weight.detach().numpy())[1][0], 1, rtol=1e-4)
    for shape in ((4, 3), (3, 4)):
        square = parametrizations.orthogonal(nn.Linear(*shape))
        w = square.weight.detach().numpy()
        small = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
        np.testing.assert_allclose(small, np.eye(3), atol=1e-5)
        square(pb.ones((1, shape[0]))).sum().backward()


def test_spectral_norm_in_the_older_form() -> None:
    layer = utils.spectral_norm(nn.Linear(5, 4))
    assert sorted(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    x = pb.randn(3, 5)
    for _ in range(60):
        y = layer(x)
    largest = np.linalg.svd(layer.weight_orig.detach().numpy())[1][0]
    expected = x.numpy() @ (layer.weight_orig.detach().numpy() / largest).T + layer.bias.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    y.sum().backward()
    assert layer.weight_orig.grad is not None
    before = layer.eval()(x).detach().numpy()
    utils.remove_spectral_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer(x).detach().numpy(), before, rtol=1e-6)


@pytest.mark.parametrize("transpose", [False, True])
def test_norms_fuse_into_convolutions(transpose: bool) -> None:
    conv = (nn.ConvTranspose2d if transpose else nn.Conv2d)(3, 4, 3)
    norm, x = nn.BatchNorm2d(4), pb.randn(2, 3, 6, 6)
    for _ in range(3):
        norm(conv(x))
    conv.eval(), norm.eval()
    made = utils.fuse_conv_bn_eval(conv, norm, transpose)
    np.testing.assert_allclose(made(x).detach().numpy(), norm(conv(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_layers_of_one_process_and_buffers() -> None:
    x = pb.randn(4, 3, 2, 2)
    sync, plain = nn.SyncBatchNorm(3), nn.BatchNorm2d(3)
    np.testing.assert_array_equal(sync(x).detach().numpy(), plain(x).detach().numpy())
    wrapped = nn.DataParallel(plain)
    assert next(iter(wrapped.state_dict())) == "module.weight"
    np.testing.assert_array_equal(wrapped(x).detach().numpy(), plain(x).detach().numpy())
    np.testing.assert_allclose(nn.CrossMapLRN2d(3)(x).numpy(), nn.LocalResponseNorm(3)(x).numpy())
    module = nn.Module()
    module.kept, module.passing = nn.Buffer(pb.ones(2)), nn.Buffer(pb.ones(3), persistent=False)
    assert list(module.state_dict()) == ["kept"]
    assert [name for name, _ in module.named_buffers()] == ["kept", "passing"]
    assert module.kept.shape == (2,)


def test_gradients_are_scaled_by_a_norm_known_before() -> None:
    p = nn.Parameter(pb.zeros(2))
    p.grad = pb.tensor([3.0, 4.0])
    utils.clip_grads_with_norm_([p], 1.0, utils.get_total_norm([p.grad]))
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_second_derivative_of_an_lstm_beside_differences(reverse: bool, masked: bool) -> None:
    """Along random directions of gates, both states and weights, with lengths and without."""
    g = np.random.default_rng(0)
    mask = pb.tensor(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 0]], bool)) if masked else None
    args, directions = ([pb.tensor(g.normal(size=s)) for s in ((4, 3, 8), (3, 2), (3, 2), (8, 2))] for _ in range(2))
    weight = pb.tensor(g.normal(size=(4, 3, 2)))

    def loss(pre: pb.Tensor, h: pb.Tensor, c: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        every, last, cell = _recurrence(pre, h, c, w, *([] if mask is None else [mask]), kind="lstm", reverse=reverse,
                                        biased=False, masked=masked)
        return (every * weight).sum() + (last ** 2).sum() + pb.sin(cell).sum()

    gradient = pb.grad(loss, argnums=(0, 1, 2, 3))
    _, found = pb.jvp(gradient, tuple(args), tuple(directions))
    step = 1e-6
    ahead, behind = (gradient(*(a + s * d for a, d in zip(args, directions, strict=True))) for s in (step, -step))
    for x, a, z in zip(found, ahead, behind, strict=True):
        np.testing.assert_allclose(x.numpy(), (a - z).numpy() / (2 * step), atol=1e-8)


def test_a_step_on_16_bits_rounds_its_state_once() -> None:
    """Gates and cell are computed in float32; what is handed to the next step is rounded."""
    rng = np.random.default_rng(0)
    layer = nn.LSTM(8, 16).to(dtype=pb.bfloat16)
    x = pb.tensor(rng.standard_normal((12, 5, 8)).astype(np.float32)).astype("bfloat16")
    w, u, b, c = (p.detach().numpy().astype(np.float64) for p in layer.parameters())

    def rounded(values: Any) -> Any:
        return pb.tensor(values).astype("bfloat16").numpy().astype(np.float64)

    def sigmoid(values: Any) -> Any:
        return 1 / (1 + np.exp(-values))

    inputs = rounded(x.numpy().astype(np.float64) @ w.T + rounded(b + c))
    h = cell = np.zeros((5, 16))
    expected: list[Any] = []
    for t in range(12):
        i, f, g, o = np.split(inputs[t] + h @ u.T, 4, -1)
        new = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        h, cell = rounded(sigmoid(o) * np.tanh(new)), rounded(new)
        expected.append(h)
    found = layer(x)[0].detach().numpy().astype(np.float64)
    assert (found != np.stack(expected)).mean() < 0.01

"""What the first pages about Jittor do, written anew: they run here as they run there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pullback.jittor as jt
import pytest
from pullback.jittor import Module, init, nn

# -- the basics --------------------------------------------------------------------------------------------------------


def test_vars_operations_and_fetching() -> None:
    a, b = jt.float32([1, 2, 3]), jt.array(np.array([4.0, 5.0, 6.0]))
    c = a * b
    assert (a.shape, a.dtype, c.numpy().tolist()) == ((3,), "float32", [4.0, 10.0, 18.0])
    assert str(c) == "jt.Var([ 4. 10. 18.], dtype=float32)"
    d = jt.random((3, 4))
    assert d.ndim == 2 and d.numel() == 12 and 0 <= d.min().item() <= d.max().item() < 1
    assert (a.max().data[0], a.sum().item(), a.mean().numpy().tolist()) == (3.0, 6.0, [2.0])
    e = jt.array([[1.0, 2.0], [3.0, 4.0]])
    assert e[1].data.tolist() == [3.0, 4.0] and e[:, 0].data.tolist() == [1.0, 3.0] and e[1, 1].item() == 4.0
    e[0] = 9.0
    assert e.tolist() == [[9.0, 9.0], [3.0, 4.0]]
    assert jt.concat([a, b]).shape == (6,) and jt.stack([a, b]).shape == (2, 3)
    assert jt.matmul(e, e).shape == (2, 2) and e.transpose(1, 0).tolist() == [[9.0, 3.0], [9.0, 4.0]]
    seen: list[Any] = []
    c.fetch(lambda numbers, label: seen.append((label, numbers.tolist())), "c")
    jt.sync_all()
    assert seen == [("c", [4.0, 10.0, 18.0])]
    assert jt.unsqueeze(a, 0).shape == (1, 3) and jt.argmax(a, 0)[0].item() == 2
    assert (a > 1.5).tolist() == [False, True, True]
    value = jt.array(2.0)
    assert float(value) == 2.0 and int(value) == 2 and bool(value)


def test_gradients() -> None:
    x, y = jt.array([2.0, 3.0]), jt.array([4.0, 5.0])
    z = (x * x * y).sum()
    gx, gy = jt.grad(z, [x, y])
    assert gx.data.tolist() == [16.0, 30.0] and gy.data.tolist() == [4.0, 9.0]
    cube = x * x * x
    first = jt.grad(cube.sum(), x, retain_graph=True)
    assert jt.grad(first.sum(), x).data.tolist() == [12.0, 18.0]
    with jt.no_grad():
        constant = x * 2.0
    assert constant.is_stop_grad() and x.detach().is_stop_grad()


# -- meta-operators ----------------------------------------------------------------------------------------------------


def conv(x: Any, w: Any) -> Any:
    """A convolution of images [N, H, W, C] with windows [Kh, Kw, C, Kc], from reindex, multiplication and sum."""
    n, h, width, c = x.shape
    kh, kw, _, kc = w.shape
    shape = [n, h - kh + 1, width - kw + 1, kh, kw, c, kc]
    xx = x.reindex(shape, ["i0", "i1+i3", "i2+i4", "i5"])
    ww = w.broadcast(xx.shape, dims=[0, 1, 2])
    return (xx * ww).sum((3, 4, 5))


def test_convolution_of_meta_operators() -> None:
    g = np.random.RandomState(0)
    x, w = g.rand(2, 6, 7, 3).astype(np.float32), g.rand(3, 2, 3, 4).astype(np.float32)
    wanted = np.zeros((2, 4, 6, 4), np.float32)
    for i in range(4):
        for j in range(6):
            wanted[:, i, j] = np.einsum("nhwc,hwck->nk", x[:, i : i + 3, j : j + 2], w)
    vx, vw = jt.array(x), jt.array(w)
    assert np.allclose(conv(vx, vw).data, wanted, atol=1e-4)
    gw = jt.grad(conv(vx, vw).sum(), vw).data
    assert np.allclose(gw[0, 0, :, 0], x[:, :4, :6].sum((0, 1, 2)), atol=1e-3)


def test_reindex_reduce_is_the_way_back() -> None:
    x = jt.array([[1.0, 2.0], [3.0, 4.0]])
    assert x.reindex([4], ["i0/2", "i0%2"]).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert x.reindex_reduce("add", [2], ["i0"]).tolist() == [3.0, 7.0]
    assert x.reindex_reduce("maximum", [2], ["i1"]).tolist() == [3.0, 4.0]


# -- models ------------------------------------------------------------------------------------------------------------


class Model(Module):
    def __init__(self) -> None:
        self.layer1 = nn.Linear(1, 10)
        self.relu = nn.Relu()
        self.layer2 = nn.Linear(10, 1)

    def execute(self, x: Any) -> Any:
        x = self.layer1(x)
        x = self.relu(x)
        return self.layer2(x)


@pytest.mark.parametrize("make", [lambda p: nn.SGD(p, 0.1), lambda p: nn.Adam(p, 0.02), lambda p: nn.SGD(p, 0.05, 0.9)])
def test_training_a_model(make: Any) -> None:
    np.random.seed(0)  # noqa: NPY002 - as such programs do
    jt.set_seed(3)
    model = Model()
    optimizer = make(model.parameters())
    losses = []
    for _ in range(300):
        x = np.random.rand(50, 1)  # noqa: NPY002
        pred = model(jt.float32(x))
        loss = ((pred - jt.float32(x * x)) ** 2).mean()
        optimizer.step(loss)
        losses.append(loss.item())
    assert losses[-1] < 0.02 < losses[0]


def test_models_know_their_parameters_and_are_saved(tmp_path: Path) -> None:
    model = Model()
    assert [tuple(p.shape) for p in model.parameters()] == [(10, 1), (10,), (1, 10), (1,)]
    assert [n for n, _ in model.named_parameters()] == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    path = str(tmp_path / "model.pkl")
    model.save(path)
    other = Model()
    x = jt.random((4, 1))
    assert not np.allclose(model(x).data, other(x).data)
    other.load(path)
    assert np.array_equal(model(x).data, other(x).data)
    model.eval()
    assert not model.is_training()
    model.train()
    assert model.is_training()


def test_a_network_for_images() -> None:
    class Net(Module):
        def __init__(self) -> None:
            self.conv1 = nn.Conv(1, 4, 3, 1, padding=1)
            self.bn = nn.BatchNorm(4)
            self.pool = nn.Pool(2, 2)
            self.relu = nn.Relu()
            self.fc = nn.Linear(4 * 16, 2)

        def execute(self, x: Any) -> Any:
            x = self.pool(self.relu(self.bn(self.conv1(x))))
            return self.fc(jt.reshape(x, [x.shape[0], -1]))

    jt.set_seed(0)
    g = np.random.RandomState(0)
    labels = g.randint(0, 2, 64)
    images = g.randn(64, 1, 8, 8).astype(np.float32) * 0.1
    images[labels == 1, :, :4] += 1.0
    model = Net()
    optimizer = nn.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = nn.cross_entropy_loss(model(jt.array(images)), jt.array(labels))
        optimizer.step(loss)
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    model.eval()
    assert (np.argmax(model(jt.array(images)).data, axis=1) == labels).mean() > 0.95
    assert float(model.bn.running_mean.data.std()) > 0


def test_functions_with_their_own_gradient() -> None:
    class Clipped(jt.Function):
        def execute(self, x: Any) -> Any:
            self.x = x
            return x * 2.0

        def grad(self, g: Any) -> Any:
            return g * jt.where(self.x > 0, 10.0, 0.0)

    x = jt.array([-1.0, 1.0])
    y = Clipped()(x)
    assert y.data.tolist() == [-2.0, 2.0] and jt.grad(y.sum(), x).data.tolist() == [0.0, 10.0]


def test_initial_values_and_layers() -> None:
    assert init.constant([2], "float32", 3.0).tolist() == [3.0, 3.0]
    spread = init.invariant_uniform([100, 50], "float32").data
    assert np.abs(spread).max() <= 50**-0.5
    tokens = jt.array([[0, 2], [1, 1]])
    table = nn.Embedding(3, 4)
    assert table(tokens).shape == (2, 2, 4)
    x = jt.random((3, 4))
    assert np.allclose(nn.LayerNorm(4)(x).data.mean(1), 0.0, atol=1e-5)
    assert np.allclose(nn.softmax(x, dim=1).data.sum(1), 1.0, atol=1e-5)
    sequence = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2))
    sequence.eval()
    assert sequence(x).shape == (3, 2) and len(sequence.parameters()) == 4

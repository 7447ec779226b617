"""Mixed precision and averages of weights."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.train import swa_utils
from pullback.train.amp import GradScaler, autocast
from pullback.util.errors import ValueError_


@pytest.mark.parametrize("dtype", [pb.bfloat16, pb.float16])
def test_products_are_narrow_and_losses_wide(dtype: pb.DType) -> None:
    pb.manual_seed(0)  # elsewhere a unit near 0 may be on in one precision and off in the other
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3))
    x, target = pb.randn(4, 8), pb.tensor([0, 1, 2, 0])
    with autocast("cpu", dtype=dtype):
        out = model(x)
        loss = nn.functional.cross_entropy(out, target)
        product = x @ x.T
        with autocast(enabled=False):
            assert (x @ x.T).dtype == pb.float32
    assert (out.dtype, loss.dtype, product.dtype) == (dtype, pb.float32, dtype)
    assert (x @ x.T).dtype == pb.float32
    loss.backward()
    wide = nn.functional.cross_entropy(model(x), target)
    np.testing.assert_allclose(loss.item(), wide.item(), rtol=0.03)
    gradients = [p.grad.numpy() for p in model.parameters()]
    assert all(g.dtype == np.float32 for g in gradients)
    model.zero_grad()
    wide.backward()
    for p, g in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(g, p.grad.numpy(), atol=0.05 * (0.1 + abs(g).max()))


@pytest.mark.parametrize("dtype", [pb.bfloat16, pb.float16])
@pytest.mark.parametrize("layer", [nn.LayerNorm(6), nn.RMSNorm(6), nn.GroupNorm(2, 4), nn.BatchNorm1d(4),
                                   nn.InstanceNorm1d(4, affine=True)])
def test_norms_with_wide_parameters_keep_what_they_are_given(layer: nn.Module, dtype: pb.DType) -> None:
    x = pb.randn(3, 4, 6)
    y = layer(x.astype(dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(pb.float32).detach().numpy(), layer(x).detach().numpy(), atol=0.05)


@pytest.mark.parametrize("dtype", [pb.bfloat16, pb.float16])
def test_narrow_convolutions_backward(dtype: pb.DType) -> None:
    cases = (((6, 1, 3, 3), 6), ((4, 6, 3, 3), 1), ((4, 3, 1, 1), 2), ((6, 1, 8, 8), 6))
    for shape, groups in cases:
        x, w = pb.randn(2, 6, 8, 8), pb.randn(*shape)

        def loss(x: pb.Tensor, w: pb.Tensor, groups: int = groups) -> pb.Tensor:
            return (nn.functional.conv2d(x, w, groups=groups).astype(pb.float32) ** 2).mean()

        wide, narrow = (pb.grad(loss, argnums=(0, 1))(x.astype(t), w.astype(t)) for t in (pb.float32, dtype))
        for a, b in zip(wide, narrow, strict=True):
            assert b.dtype == dtype
            np.testing.assert_allclose(b.astype(pb.float32).numpy(), a.numpy(), atol=0.05 * abs(a.numpy()).max())


def test_a_jitted_function_is_compiled_for_each_precision() -> None:
    square = pb.jit(lambda a: a @ a)
    a = pb.ones((2, 2))
    assert square(a).dtype == pb.float32
    with autocast():
        assert square(a).dtype == pb.bfloat16
    assert square(a).dtype == pb.float32


def test_accumulation_is_in_float32() -> None:
    x = pb.ones((1, 4096), dtype=pb.bfloat16)
    assert (x @ x.T).astype(pb.float32).item() == 4096  # sums in bfloat16 would end at 256


def test_scaler_skips_overflow_and_grows() -> None:
    x = pb.tensor([1.0], requires_grad=True)
    optimizer, scaler = pb.optim.SGD([x], lr=0.5), GradScaler(init_scale=8.0, growth_interval=2)
    for scale in (8.0, 16.0):
        scaler.scale((x * 1.0).sum()).backward()
        scaler.unscale_(optimizer)
        assert x.grad.tolist() == [1.0]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert scaler.get_scale() == scale
    assert x.tolist() == [0.0]
    x.grad = pb.tensor([float("inf")])
    scaler.step(optimizer)
    scaler.update()
    assert x.tolist() == [0.0]
    assert scaler.get_scale() == 8.0
    other = GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8.0
    scaler.unscale_(optimizer)
    with pytest.raises(ValueError_, match="already been called"):
        scaler.unscale_(optimizer)


def test_averages() -> None:
    model = nn.Linear(2, 1, bias=False)
    values = [np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([[8.0, 0.0]])]
    mean = swa_utils.AveragedModel(model)
    ema = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75))
    plain = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.75))
    expected = values[0]
    for k, value in enumerate(values):
        model.weight.data.copy_(pb.tensor(value))
        for average in (mean, ema, plain):
            average.update_parameters(model)
        expected = 0.75 * expected + 0.25 * value if k else value
    np.testing.assert_allclose(mean.module.weight.numpy(), np.mean(values, 0), rtol=1e-6)
    for average in (ema, plain):
        np.testing.assert_allclose(average.module.weight.numpy(), expected, rtol=1e-6)
    assert sorted(mean.state_dict()) == ["module.weight", "n_averaged"]


def test_annealing_to_the_averaging_rate() -> None:
    optimizer = pb.optim.SGD([pb.nn.Parameter(pb.ones(1))], lr=0.1)
    schedule = swa_utils.SWALR(optimizer, 0.05, 4)
    rates = []
    for _ in range(5):
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [0.0926776695, 0.075, 0.0573223305, 0.05, 0.05])  # PyTorch 2.13


def test_statistics_are_computed_anew() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    data = [pb.tensor(np.random.RandomState(k).randn(8, 2).astype("f") + 5) for k in range(3)]
    swa_utils.update_bn(data, model)
    np.testing.assert_allclose(model[0].running_mean.numpy(), np.mean([d.numpy().mean(0) for d in data], 0), rtol=1e-5)

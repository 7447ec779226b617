"""Paths and names that PyTorch's programs use beside the documented ones, and what is idle without a device."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn, optim
from pullback.torch.nn.modules.batchnorm import BatchNorm2d, _BatchNorm
from pullback.torch.nn.modules.conv import _ConvNd
from pullback.torch.nn.modules.instancenorm import _InstanceNorm
from pullback.torch.nn.modules.linear import Linear
from pullback.torch.nn.modules.loss import _Loss, _WeightedLoss
from pullback.torch.nn.modules.utils import _ntuple, _pair, _single, _triple
from pullback.torch.nn.parallel import DataParallel
from pullback.torch.optim.adam import Adam
from pullback.torch.optim.lr_scheduler import _LRScheduler
from pullback.torch.utils.checkpoint import checkpoint_sequential
from pullback.torch.utils.data.dataloader import DataLoader

from pullback.util.errors import NoDeviceError, ValueError_

T: Any = torch


def test_bases_of_layers() -> None:
    assert Linear is nn.Linear and BatchNorm2d is nn.BatchNorm2d and Adam is optim.Adam
    assert DataLoader is T.utils.data.DataLoader
    for layer, base in ((nn.BatchNorm1d(1), _BatchNorm), (nn.SyncBatchNorm(1), _BatchNorm),
                        (nn.InstanceNorm1d(1), _InstanceNorm), (nn.Conv2d(1, 1, 1), _ConvNd),
                        (nn.ConvTranspose1d(1, 1, 1), _ConvNd), (nn.MSELoss(), _Loss),
                        (nn.CrossEntropyLoss(), _WeightedLoss), (nn.BCEWithLogitsLoss(), _WeightedLoss)):
        assert isinstance(layer, base) and issubclass(type(layer), base)
    for layer, base in ((nn.InstanceNorm1d(1), _BatchNorm), (nn.Linear(1, 1), _ConvNd), (nn.L1Loss(), _WeightedLoss)):
        assert not isinstance(layer, base)
    assert issubclass(optim.lr_scheduler.StepLR, _LRScheduler)


def test_bases_are_derived_from() -> None:
    class Mine(_Loss):
        def forward(self, x: Any) -> Any:
            return x.sum() if self.reduction == "sum" else x

    assert Mine(reduction="sum")(torch.ones(2)).item() == 2
    assert isinstance(Mine(), _Loss) and isinstance(Mine(), nn.Module) and not isinstance(nn.MSELoss(), Mine)


def test_one_number_for_all_dimensions() -> None:
    assert (_single(1), _pair(3), _triple((1, 2, 3)), _pair([1, 2]), _ntuple(5)(1)) == (
        (1,), (3, 3), (1, 2, 3), (1, 2), (1,) * 5)


def test_fans() -> None:
    w = torch.ones(2, 3, 4)
    assert T.nn.init._calculate_fan_in_and_fan_out(w) == (12, 8)
    assert T.nn.init._calculate_correct_fan(w, "fan_in") == 12 and T.nn.init._calculate_correct_fan(w, "FAN_OUT") == 8
    with pytest.raises(ValueError, match="fan_in"):
        T.nn.init._calculate_correct_fan(w, "fan")


@pytest.mark.parametrize("make", [lambda: T.autocast("cuda"), lambda: T.cuda.amp.autocast(),
                                  lambda: T.autocast(torch.device("cuda:0"), dtype=torch.bfloat16)])
def test_autocast_of_a_device_that_is_not_there(make: Any) -> None:
    with pytest.warns(UserWarning, match="cuda"):
        idle = make()
    with idle:
        assert not torch.is_autocast_enabled() and (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is T.float32
    with torch.autocast("cpu"), idle:
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is T.bfloat16
    T.autocast("cuda", enabled=False), T.cuda.amp.autocast(enabled=False)  # nothing to be warned of


def test_scalers() -> None:
    with pytest.warns(UserWarning, match="cuda"):
        scaler = T.cuda.amp.GradScaler()
    assert not scaler.is_enabled() and scaler.get_scale() == 1 and scaler.state_dict() == {}
    w = torch.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.item() == 0
    scaler = T.amp.GradScaler("cpu")
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (2, 0.5, 2000)
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(7)
    assert scaler.state_dict() == {"scale": 65536.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 7,
                                   "_growth_tracker": 0}


def test_functions_of_ones_own_under_autocast() -> None:
    seen: list[Any] = []

    class Twice(torch.autograd.Function):
        @staticmethod
        @T.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx: Any, x: Any) -> Any:
            seen.append((x.dtype, torch.is_autocast_enabled()))
            return x * 2

        @staticmethod
        @T.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, *gradients: Any) -> Any:
            return gradients[0] * 2

    x = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu"):
        Twice.apply(x).sum().backward()
    Twice.apply(x)
    assert seen == [(torch.float32, False), (torch.bfloat16, False)] and x.grad.item() == 2
    assert T.cuda.amp.custom_fwd(len) is len and T.cuda.amp.custom_bwd(len) is len


def test_devices_as_contexts() -> None:
    with torch.device("cpu") as place:
        assert place == torch.device("cpu") and torch.ones(1).device == place
    with pytest.raises(NoDeviceError), torch.device("cuda"):
        pass


def test_one_device_is_all_of_them() -> None:
    layer = nn.Linear(1, 1)
    model = DataParallel(layer, device_ids=[0])
    assert model.module is layer and model(torch.ones(2, 1)).shape == (2, 1) and DataParallel is nn.DataParallel
    assert list(model.state_dict()) == ["module.weight", "module.bias"]


def test_checkpoints_of_sequences() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    x = torch.randn(4, 2)
    plain = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    for segments in range(1, 6):
        found = torch.autograd.grad(checkpoint_sequential(model, segments, x, use_reentrant=False).sum(),
                                    list(model.parameters()))
        assert all(torch.allclose(a, b) for a, b in zip(found, plain, strict=True))
    assert checkpoint_sequential([lambda a: a * 2, lambda a: a + 1], 2, torch.ones(1)).item() == 3
    with pytest.raises(ValueError_, match="segments"):
        checkpoint_sequential(model, 6, x)

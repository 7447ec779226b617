"""Layers that learn the size of their input at the first call."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import PullbackError, ShapeError, UninitializedError


def test_lazy_layers_become_what_they_are_named_after() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert model(pb.ones((2, 3, 5, 5))).shape == (2, 2)
    assert [type(m) for m in model] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    assert model[3].weight.shape == (2, 36) and model[3].in_features == 36


@pytest.mark.parametrize("style", [nn, torch.nn])
def test_an_optimiser_made_before_trains_the_parameters(style: Any) -> None:
    model = style.Sequential(style.LazyLinear(4), style.ReLU(), style.LazyLinear(1))
    before = list(model.parameters())
    assert [type(p) for p in before] == [style.UninitializedParameter] * 4
    optimizer = (pb if style is nn else torch).optim.SGD(before, lr=0.5)
    optimizer.zero_grad()
    x = pb.ones(2, 3) if style is nn else torch.ones(2, 3)
    model(x).sum().backward()
    start = model[2].bias.numpy().copy()
    optimizer.step()
    assert all(p is q for p, q in zip(before, model.parameters(), strict=True))
    assert [type(p) for p in before] == [style.Parameter] * 4
    assert type(model[0]) is style.Linear
    np.testing.assert_allclose(model[2].bias.numpy(), start - 1.0, rtol=1e-6)


def test_numbers_are_those_of_a_layer_made_with_sizes() -> None:
    """With a dtype that was set before the first call: PyTorch draws in it."""
    layer = torch.nn.LazyLinear(2).double()
    assert layer.weight.dtype is torch.float64
    torch.manual_seed(0)
    layer(torch.ones(1, 3).double())
    assert layer.weight.dtype is torch.float64
    torch.manual_seed(0)
    other = torch.nn.Linear(3, 2, dtype=torch.float64)
    assert layer.weight.tolist() == other.weight.tolist() and layer.bias.tolist() == other.bias.tolist()


@pytest.mark.parametrize("style", [nn, torch.nn])
def test_state_of_a_layer_with_sizes_is_loaded(style: Any) -> None:
    known = style.Linear(3, 4)
    layer = style.LazyLinear(4)
    weight = layer.weight
    layer.load_state_dict(known.state_dict())
    assert layer.weight is weight and weight.tolist() == known.weight.tolist()
    x = (pb if style is nn else torch).ones(2, 3)
    assert layer(x).tolist() == known(x).tolist()
    assert type(layer) is style.Linear and layer.in_features == 3
    style.LazyLinear(4).load_state_dict(style.LazyLinear(4).state_dict())
    with pytest.raises(PullbackError, match="uninitialized parameter or buffer was used"):
        known.load_state_dict(style.LazyLinear(4).state_dict())


def test_norms_have_buffers_before_the_first_call() -> None:
    layer = nn.LazyInstanceNorm1d()
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(layer.state_dict()) == names and layer.has_uninitialized_params()
    layer(pb.ones((2, 3, 4)))
    assert list(layer.state_dict()) == names
    assert layer.running_var.shape == (3,) and layer.num_features == 3
    assert list(nn.LazyBatchNorm1d(affine=False).state_dict()) == names[2:]


def test_text_and_signatures() -> None:
    assert repr(nn.LazyLinear(4)) == "LazyLinear(in_features=0, out_features=4, bias=True)"
    assert repr(torch.nn.LazyConv2d(3, 2)) == "LazyConv2d(0, 3, kernel_size=(2, 2), stride=(1, 1))"
    assert list(inspect.signature(torch.nn.LazyLinear).parameters) == ["out_features", "bias", "device", "dtype"]
    assert inspect.signature(nn.LazyInstanceNorm2d).parameters["affine"].default is True
    assert repr(nn.LazyLinear(2).weight) == "<UninitializedParameter>"


def test_channels_are_counted_from_the_end() -> None:
    layer = nn.LazyConv2d(6, 3, groups=3)
    layer.reset_parameters()
    assert layer(pb.ones((3, 5, 5))).shape == (6, 3, 3)
    assert torch.nn.LazyConvTranspose2d(2, 3)(torch.ones(1, 3, 4, 4), output_size=(6, 6)).shape == (1, 2, 6, 6)
    with pytest.raises(ShapeError, match="expected 3 or 4 dimensions"):
        nn.LazyConv2d(6, 3)(pb.ones(3))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_wait_too(again: Any) -> None:
    first = torch.nn.LazyLinear(3)
    second = again(first)
    second(torch.ones(1, 2))
    assert second.weight.shape == (3, 2)
    assert isinstance(first.weight, torch.nn.UninitializedParameter)


def test_what_has_no_value_says_so() -> None:
    layer = nn.LazyLinear(4)
    for use in (lambda: layer.weight.shape, lambda: layer.weight + 1, lambda: nn.init.zeros_(layer.weight),
                lambda: pb.grad(lambda m: m.weight.sum())(layer)):
        with pytest.raises(UninitializedError, match="call the module once"):
            use()
    free = nn.UninitializedParameter()
    free.materialize((2, 3))
    assert type(free) is nn.Parameter and free.shape == (2, 3)


def test_layers_within_layers_are_of_one_class() -> None:
    before = torch.nn.Linear(2, 2)
    block = torch.nn.TransformerEncoderLayer(4, 2)
    assert type(block.linear1) is torch.nn.Linear is type(before)

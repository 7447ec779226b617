"""Pruning; masks and weights are those that PyTorch computes."""

from __future__ import annotations

import copy
from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn
from pullback.torch.nn.utils import prune

from pullback.util.errors import ArgumentError, AxisError, PullbackError, ShapeError, ValueError_

T: Any = torch
W = torch.tensor([[0.5, -0.1, 0.3], [-0.7, 0.2, 0.9]])


def layer(scale: float = 1) -> Any:
    made: Any = nn.Linear(3, 2)
    with torch.no_grad():
        made.weight.copy_(W * scale)
        made.bias.zero_()
    return made


def test_the_smallest_weights_are_pruned_again_and_again() -> None:
    one = prune.l1_unstructured(layer(), "weight", 2)
    assert list(one.state_dict()) == ["bias", "weight_orig", "weight_mask"]
    assert [name for name, _ in one.named_parameters()] == ["bias", "weight_orig"]
    assert one.weight.equal(W * torch.tensor([[1, 0, 1], [1, 0, 1]])) and prune.is_pruned(nn.Sequential(one))
    one(torch.ones(1, 3)).sum().backward()
    assert one.weight_orig.grad.tolist() == [[1, 0, 1], [1, 0, 1]]
    prune.l1_unstructured(one, "weight", 0.5)  # of the four that are left
    assert one.weight_mask.tolist() == [[0, 0, 0], [1, 0, 1]]
    with torch.no_grad():
        one.weight_orig.fill_(2)
    assert one(torch.ones(1, 3)).tolist() == [[0, 4]]
    prune.remove(one, "weight")
    assert one.weight.tolist() == [[0, 0, 0], [2, 0, 2]] and list(one.state_dict()) == ["bias", "weight"]
    assert not prune.is_pruned(one) and isinstance(one.weight, nn.Parameter)


def test_channels_and_scores() -> None:
    assert prune.ln_structured(layer(), "weight", 1, float("inf"), 1).weight_mask.tolist() == [[1, 0, 1]] * 2
    assert prune.ln_structured(layer(), "weight", 0.5, 2, 0).weight_mask.tolist() == [[0, 0, 0], [1, 1, 1]]
    scores = torch.tensor([[6.0, 5, 4], [3, 2, 1]])
    assert prune.l1_unstructured(layer(), "weight", 1, scores).weight_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert prune.L1Unstructured(0.5).prune(W).equal(W * torch.tensor([[1, 0, 0], [1, 0, 1]]))
    assert prune.LnStructured(1, 1, 0).prune(W).equal(W * torch.tensor([[0], [1]]))


def test_random_masks_are_pytorch_s() -> None:
    torch.manual_seed(3)
    assert prune.random_unstructured(layer(), "weight", 0.5).weight_mask.tolist() == [[0, 0, 1], [0, 1, 1]]
    torch.manual_seed(3)
    one = prune.random_structured(layer(), "weight", 1, 1)
    assert one.weight_mask.tolist() == [[1, 1, 0]] * 2
    assert prune.random_structured(one, "weight", 1, 1).weight_mask.tolist() == [[1, 0, 0]] * 2


def test_several_parameters_are_pruned_as_one() -> None:
    one, two = layer(), layer(2)
    both = [(one, "weight"), (two, "weight")]
    prune.global_unstructured(both, pruning_method=prune.L1Unstructured, amount=5)
    assert one.weight_mask.tolist() == [[1, 0, 0], [1, 0, 1]] and two.weight_mask.tolist() == [[1, 0, 1], [1, 0, 1]]
    prune.global_unstructured(both, pruning_method=prune.L1Unstructured, amount=0.5)
    assert one.weight_mask.tolist() == [[0, 0, 0]] * 2 and two.weight_mask.tolist() == [[1, 0, 0], [1, 0, 1]]
    assert type(prune.CustomFromMask.apply(one, "weight", two.weight_mask)).__name__ == "PruningContainer"


class EverySecond(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def test_methods_of_ones_own_and_masks() -> None:
    one = layer()
    assert EverySecond.apply(one, "weight").__class__ is EverySecond
    assert one.weight.equal(W * torch.tensor([[0, 1, 0], [1, 0, 1]]))
    container = EverySecond.apply(one, "weight")
    assert one.weight.equal(W * torch.tensor([[0, 0, 0], [1, 0, 0]])) and len(container) == 2
    assert [type(m) for m in container] == [EverySecond, EverySecond] and container[0] is not container[1]
    other = prune.identity(layer(), "weight")
    other.load_state_dict(one.state_dict())
    other(torch.ones(1, 3))
    assert other.weight.equal(one.weight)
    twin = copy.deepcopy(one)
    prune.remove(twin, "weight")
    assert prune.is_pruned(one) and not prune.is_pruned(twin)
    biased = prune.custom_from_mask(prune.identity(layer(), "bias"), "bias", torch.tensor([1, 0]))
    assert biased.bias_mask.tolist() == [1, 0]


WRONG: list[tuple[Any, type[PullbackError], str]] = [
    (lambda: prune.l1_unstructured(layer(), "weight", "a"), ArgumentError, "Invalid type for amount"),
    (lambda: prune.l1_unstructured(layer(), "weight", -1), ValueError_, "non-negative integer"),
    (lambda: prune.l1_unstructured(layer(), "weight", 1.5), ValueError_, r"range \[0, 1\]"),
    (lambda: prune.l1_unstructured(layer(), "weight", 7), ValueError_, "smaller than the number of parameters"),
    (lambda: prune.ln_structured(layer(), "bias", 1, 2, 0), ShapeError, "multidimensional"),
    (lambda: prune.ln_structured(layer(), "weight", 1, 2, 5), AxisError, "Invalid index 5"),
    (lambda: prune.remove(layer(), "weight"), ValueError_, "has to be pruned before"),
    (lambda: prune.global_unstructured([(layer(), "weight")], prune.LnStructured, amount=1, n=1), ArgumentError,
     "unstructured"),
    (lambda: prune.global_unstructured(3, prune.L1Unstructured, amount=1), ArgumentError, "not an Iterable"),
    (lambda: prune.l1_unstructured(layer(), "weight", 1, torch.ones(2)), ShapeError, "importance_scores"),
    (lambda: prune.PruningContainer().add_pruning_method(3), ArgumentError, "not a BasePruningMethod"),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_calls_leave_the_module_as_it_was(k: int) -> None:
    call, error, text = WRONG[k]
    with pytest.raises(error, match=text):
        call()
    one = layer()
    with pytest.raises(ValueError_):
        prune.l1_unstructured(one, "weight", 7)
    assert list(one.state_dict()) == ["weight", "bias"] and not prune.is_pruned(one)

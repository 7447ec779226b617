"""Parametrised weights: orthogonal ones by each map, assignment, values that are kept. Numbers are PyTorch's."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn
from pullback.torch.nn.utils import parametrize
from pullback.torch.nn.utils.parametrizations import orthogonal, weight_norm

from pullback.util.errors import NoInverseError, ShapeError, ValueError_

T: Any = torch
V = torch.tensor([[0.5, -0.1], [0.3, -0.7], [0.2, 0.9]])

#: shape, map, with a base: the weight when 0, 0.1, ... were added to the original, and the original's gradient of the
#: sum of the weight times 0, 1, ...
MAPS: list[tuple[tuple[int, int], str, bool, list[float], list[float]]] = [
    ((3, 2), "matrix_exp", True, [0.4884, -0.4729, 0.6707, -0.3341, 0.5581, 0.8153], [0, 0, -2.578, 0, -0.041, 1.034]),
    ((3, 2), "matrix_exp", False, [0.755, -0.6491, -0.0257, 0.1123, 0.6553, 0.7523], [0, 0, -0.526, 0, -1.383, -2.944]),
    ((3, 2), "cayley", True, [0.502, -0.4565, 0.6638, -0.341, 0.5544, 0.8217], [0, 0, -2.464, 0, 0.071, 1.093]),
    ((3, 2), "cayley", False, [0.8143, -0.5601, 0.0487, 0.3272, 0.5784, 0.761], [0, 0, -0.067, 0, -0.269, -1.002]),
    ((3, 2), "householder", True, [0.1524, 0, 0.5847, 0, 0.7968, 0], [0, 0, 1.447, 0, 0.86, 0]),
    ((3, 2), "householder", False, [0.2861, 0.5569, 0.6028, -0.7372, 0.7448, 0.3827], [0, 0, 6.747, 0, 2.202, -2.073]),
    ((2, 3), "householder", True, [0.5119, 0.5891, 0.6252, 0, 0, 0], [0, 1.523, 1.883, 0, 0, 0]),
    ((2, 3), "householder", False, [0.5629, 0.5762, 0.5925, 0.5396, -0.7992, 0.2647], [0, 10.664, 2.144, 0, 0, -2.483]),
]


def layer(shape: tuple[int, int]) -> Any:
    torch.manual_seed(1)
    made: Any = nn.Linear(shape[1], shape[0], bias=False)
    with torch.no_grad():
        made.weight.copy_(V if shape == (3, 2) else V.T)
    return made


@pytest.mark.parametrize(("shape", "name", "based", "weight", "gradient"), MAPS)
def test_orthogonal_maps(shape: tuple[int, int], name: str, based: bool, weight: Any, gradient: Any) -> None:
    one = orthogonal(layer(shape), "weight", name, use_trivialization=based)
    assert list(one.state_dict()) == ["parametrizations.weight.original",
                                      *(["parametrizations.weight.0.base"] if based else [])]
    original = one.parametrizations.weight.original
    if based:
        assert original.equal(-torch.eye(*shape)) and bool(((one.weight - layer(shape).weight) ** 2).sum() < 4)
    with torch.no_grad():
        original.add_(torch.arange(6.0).reshape(shape) * 0.1)
    assert torch.allclose(one.weight.flatten(), torch.tensor([float(v) for v in weight]), atol=1e-4)
    (one.weight * torch.arange(6.0).reshape(shape)).sum().backward()
    assert torch.allclose(original.grad.flatten(), torch.tensor([float(v) for v in gradient]), atol=1e-3)


@pytest.mark.parametrize("name", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 4, 3)])
def test_weights_are_orthogonal_and_can_be_assigned(name: str | None, shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    one: Any = nn.Module()
    one.weight = nn.Parameter(torch.randn(*shape))
    orthogonal(one, "weight", name)
    wanted = torch.linalg.qr(torch.randn(*shape[:-2], max(shape[-2:]), min(shape[-2:])))[0]
    wanted = wanted if shape[-2] >= shape[-1] else wanted.mT
    for turn in range(2):
        w = one.weight if shape[-2] >= shape[-1] else one.weight.mT
        assert torch.allclose(w.mT @ w, torch.eye(w.shape[-1]).expand(*shape[:-2], -1, -1), atol=1e-5)
        if turn == 0:
            one.weight = wanted
            assert torch.allclose(one.weight, wanted, atol=1e-5)
        with torch.no_grad():
            one.parametrizations.weight.original.add_(torch.randn(*shape).tril(-1) * 0.1)
    if name == "householder":
        free: Any = nn.Module()
        free.weight = nn.Parameter(torch.randn(*shape))
        orthogonal(free, "weight", name, use_trivialization=False)
        free.weight = wanted
        assert torch.allclose(free.weight, wanted, atol=1e-5)


def test_products_of_reflections() -> None:
    tau = torch.tensor([0.5, 0.25])
    found = torch.linalg.householder_product(V, tau)
    expected = torch.eye(3)
    for k in range(2):
        v = torch.tensor([float(i == k) if i <= k else V[i, k].item() for i in range(3)])
        expected = expected @ (torch.eye(3) - tau[k] * torch.outer(v, v))
    assert torch.allclose(found, expected[:, :2], atol=1e-6)
    with pytest.raises(ShapeError, match="as many rows as columns"):
        torch.linalg.householder_product(V.T, tau)


class Half(nn.Module):
    calls = 0

    def forward(self, x: Any) -> Any:
        Half.calls += 1
        return x / 2

    def right_inverse(self, x: Any) -> Any:
        return x * 2


class Double(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2


def test_assignment_goes_backwards_through_all() -> None:
    one: Any = nn.Linear(2, 2)
    for _ in range(2):
        parametrize.register_parametrization(one, "weight", Half())
    original = one.parametrizations.weight.original
    one.weight = torch.ones(2, 2)
    assert one.weight.tolist() == [[1, 1], [1, 1]] and original.tolist() == [[4, 4], [4, 4]]
    assert one.parametrizations.weight.original is original and original.requires_grad and original.is_leaf
    normed: Any = weight_norm(nn.Linear(2, 2))
    normed.weight = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert normed.weight.tolist() == [[3, 4], [6, 8]]
    assert normed.parametrizations.weight.original0.tolist() == [[5], [10]]


def test_values_are_kept_while_cached() -> None:
    one: Any = nn.Linear(2, 2)
    parametrize.register_parametrization(one, "weight", Half())
    Half.calls = 0
    with parametrize.cached():
        first = one.weight
        with parametrize.cached():
            assert one.weight is first
        assert one.weight is first and Half.calls == 1
        one(torch.ones(1, 2)).sum().backward()
    assert one.parametrizations.weight.original.grad is not None and one.weight is not first and Half.calls == 2


def test_wrong_assignments_say_what_is_wrong() -> None:
    one: Any = nn.Linear(2, 2)
    parametrize.register_parametrization(one, "weight", Double())
    with pytest.raises(NoInverseError, match="Double does not implement right_inverse"):
        one.weight = torch.ones(2, 2)
    two: Any = nn.Linear(2, 2)
    parametrize.register_parametrization(two, "weight", Half())
    with pytest.raises(ValueError_, match="another dtype"):
        two.weight = torch.ones(2, 2, dtype=torch.float64)
    with pytest.raises(ShapeError, match="another shape"):
        two.weight = torch.ones(3, 2)
    with pytest.raises(NoInverseError, match="use_trivialization=False"):
        orthogonal(nn.Linear(2, 2), "weight", "cayley", use_trivialization=False).weight = torch.eye(2)
    with pytest.raises(ShapeError, match="of shape"):
        orthogonal(nn.Linear(2, 2)).weight = torch.ones(3, 3)
    with pytest.raises(ValueError_, match="orthogonal_map"):
        orthogonal(nn.Linear(2, 2), "weight", "other")
    with pytest.raises(ShapeError, match="matrix or batch"):
        orthogonal(nn.Linear(2, 2), "bias")

"""What is called with a module: around its forward, and with its state. The order of calls is PyTorch's (2.13)."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest

import pullback as pb
from pullback import nn
from pullback.nn.hooks import register_module_forward_hook, register_module_forward_pre_hook
from pullback.util.errors import ArgumentError, AttributeError_, KeyError_, ShapeError, ValueError_


class Scaled(nn.Module):
    """A layer, and a number that is no tensor."""

    def __init__(self, times: int = 0) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.times = times

    def forward(self, x: Any, k: int = 1) -> Any:
        return self.layer(x) * k

    def get_extra_state(self) -> Any:
        return {"times": self.times}

    def set_extra_state(self, state: Any) -> None:
        self.times = state["times"]


# -- calls -------------------------------------------------------------------------------------------------------------


def test_hooks_see_named_arguments_and_stand_in_order() -> None:
    model, x, seen = Scaled(), pb.ones((1, 1)), []

    def before(module: Any, args: Any, kwargs: Any) -> Any:
        seen.append(("before", dict(kwargs)))
        return args, {"k": 3}

    def after(module: Any, args: Any, kwargs: Any, result: Any) -> Any:
        seen.append(("after", dict(kwargs)))
        return result * 0 + 7

    handles = [model.register_forward_pre_hook(before, with_kwargs=True),
               model.register_forward_pre_hook(lambda m, a: seen.append("first"), prepend=True),
               model.register_forward_hook(after, with_kwargs=True),
               model.register_forward_hook(lambda m, a, y: seen.append("soon"), prepend=True)]
    assert model(x).tolist() == [[7.0]]
    assert seen == ["first", ("before", {}), "soon", ("after", {"k": 3})]
    for handle in handles:
        handle.remove()
    assert model(x).tolist() == model.layer(x).tolist() and len(seen) == 4


def test_a_hook_after_an_error() -> None:
    model, seen = Scaled(), []
    model.register_forward_hook(lambda m, a, y: seen.append(("always", y)), always_call=True)
    model.register_forward_hook(lambda m, a, y: seen.append("only without"))
    with pytest.raises(ArgumentError):
        model("no tensor")
    assert seen == [("always", None)]
    model.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(ArgumentError, match=r"must return None or \(args, kwargs\)"):
        model(pb.ones((1, 1)))


def test_hooks_whose_handles_nobody_keeps_stand_side_by_side() -> None:
    layer, seen = nn.Linear(1, 1), []
    for k in range(4):
        layer.register_forward_hook(lambda m, a, y, k=k: seen.append(k))
    layer(pb.ones((1, 1)))
    optimizer = pb.optim.SGD(layer.parameters(), lr=0.1)
    for k in range(4):
        optimizer.register_step_pre_hook(lambda *a, k=k: seen.append(k))
    optimizer.step()
    assert seen == [0, 1, 2, 3] * 2


def test_hooks_of_all_modules() -> None:
    seen: list[str] = []
    model = nn.Sequential(nn.Linear(1, 1))
    with register_module_forward_pre_hook(lambda m, a: seen.append(f"before {type(m).__name__}")), \
            register_module_forward_hook(lambda m, a, y: seen.append(f"after {type(m).__name__}")):
        model(pb.ones((1, 1)))
    assert seen == ["before Sequential", "before Linear", "after Linear", "after Sequential"]
    model(pb.ones((1, 1)))
    assert len(seen) == 4
    from pullback.torch.nn.modules.module import register_module_full_backward_hook

    with register_module_full_backward_hook(lambda m, arguments, results: seen.append(type(m).__name__)):
        block = torch.nn.Sequential(torch.nn.Linear(1, 1))
        block(torch.ones(1, 1, requires_grad=True)).sum().backward()
    assert seen[4:] == ["Linear", "Sequential"]


# -- state -------------------------------------------------------------------------------------------------------------


def test_extra_state() -> None:
    state = nn.Sequential(Scaled(5)).state_dict()
    assert list(state) == ["0._extra_state", "0.layer.weight", "0.layer.bias"]
    model = nn.Sequential(Scaled())
    model.load_state_dict(state)
    assert model[0].times == 5
    del state["0._extra_state"]
    with pytest.raises(KeyError_, match=r"0\._extra_state"):
        model.load_state_dict(state)
    assert model.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(KeyError_, match="unexpected  _extra_state"):
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "_extra_state": 3})


class Renamed(torch.nn.Linear):
    """A layer whose weight was once called w."""

    _version = 3
    versions: list[Any] = []

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *others: Any) -> None:
        self.versions.append((prefix, local_metadata.get("version")))
        if prefix + "w" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "more"] = torch.ones(1)


def test_modules_that_save_and_load_in_their_own_way() -> None:
    model = torch.nn.Sequential(Renamed(2, 2), torch.nn.BatchNorm1d(2))
    state = model.state_dict()
    assert dict(state._metadata) == {"": {"version": 1}, "0": {"version": 3}, "1": {"version": 2}}
    assert state.pop("0.more").tolist() == [1.0]
    state["0.w"] = state.pop("0.weight") + 1
    model.load_state_dict(state)
    assert model[0].weight.tolist() == state["0.w"].tolist() and "0.weight" not in state
    assert Renamed.versions == [("0.", 3)]


def test_batch_counts_that_were_not_saved() -> None:
    """As of PyTorch before 0.4.1, or of a dict without versions."""
    layer = nn.BatchNorm1d(2)
    state = dict(layer.state_dict())
    del state["num_batches_tracked"]
    assert layer.load_state_dict(state).missing_keys == []


def test_hooks_of_states() -> None:
    model, seen = Scaled(), []
    model.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep)))
    model.register_state_dict_post_hook(lambda m, state, prefix, local: state.update(last=pb.ones(1)))
    assert list(nn.Sequential(model).state_dict()) == ["0._extra_state", "0.layer.weight", "0.layer.bias", "last"]
    assert seen == [("0.", False)]
    model.register_state_dict_post_hook(lambda m, state, prefix, local: {})
    with pytest.raises(ArgumentError, match="must return None"):
        model.state_dict()
    other = nn.Linear(1, 1)
    other._register_state_dict_hook(lambda m, state, prefix, local: {"other": 1})
    assert other.state_dict() == {"other": 1}


def test_hooks_of_loading() -> None:
    layer, seen = nn.Linear(1, 1), []
    layer.register_load_state_dict_pre_hook(
        lambda m, state, prefix, *others: state.update({prefix + "bias": pb.zeros(1)}))
    layer._register_load_state_dict_pre_hook(lambda state, prefix, *others: seen.append(prefix))
    layer.register_load_state_dict_post_hook(lambda m, keys: seen.append(tuple(keys)))
    nn.Sequential(layer).load_state_dict({"0.weight": pb.ones((1, 1))})
    assert seen == ["0.", ([], [])] and layer.bias.tolist() == [0.0]
    lenient = nn.Linear(1, 1)
    lenient.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    lenient.load_state_dict({"weight": pb.ones((1, 1))})
    assert lenient.weight.tolist() == [[1.0]]


def test_all_that_does_not_fit_is_named_at_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    before = model[1].bias.tolist()
    state = {"0.weight": pb.ones((3, 2)), "1.weight": pb.ones((1, 1)), "1.bias": pb.ones(3), "x.y": pb.ones(1)}
    with pytest.raises(KeyError_) as caught:
        model.load_state_dict(state)
    for text in ("missing     0.bias", "unexpected  x.y", "size mismatch for 0.weight", "size mismatch for 1.weight"):
        assert text in str(caught.value)
    with pytest.raises(ShapeError, match=r"(?s)0\.weight.*1\.weight"):
        model.load_state_dict(state, strict=False)
    assert model[1].bias.tolist() == before


# -- modules within modules --------------------------------------------------------------------------------------------


def test_set_submodule() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.Sequential(nn.ReLU()))
    model.set_submodule("1.0", nn.Tanh())
    assert isinstance(model[1][0], nn.Tanh)
    model.set_submodule("7", nn.Tanh())
    assert len(model) == 3 and model.to_empty(device="cpu") is model
    for path, strict, error in (("", False, ValueError_), ("5.a", False, AttributeError_),
                                ("8", True, AttributeError_)):
        with pytest.raises(error):
            model.set_submodule(path, nn.Tanh(), strict)

"""Modules that hold modules or parameters, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import ArgumentError, KeyError_, ValueError_


def _parameter(value: float) -> Any:
    return nn.Parameter(pb.tensor([value]))


def test_a_dict_of_parameters_is_a_dict() -> None:
    found = nn.ParameterDict({"a": _parameter(1.0)})
    found.update({"b": _parameter(2.0)})
    found.update([("c", pb.tensor([3.0]))])
    assert list(found) == ["a", "b", "c"] == [name for name, _ in found.named_parameters()]
    assert found.pop("b").tolist() == [2.0] and "b" not in found
    assert found.get("z") is None and found.get("z", 3) == 3 and found.get("a") is found["a"]
    assert found.setdefault("a", _parameter(9.0)).tolist() == [1.0]
    assert found.setdefault("d", _parameter(4.0)) is found["d"]
    other = found.copy()
    assert type(other) is nn.ParameterDict and other["a"] is found["a"] and list(reversed(other)) == ["d", "c", "a"]
    name, last = found.popitem()
    assert name == "d" and last.tolist() == [4.0] and len(found) == 2 and len(other) == 3
    assert list(found | {"x": _parameter(5.0)}) == ["a", "c", "x"]
    found.clear()
    assert len(found) == 0 and not list(found.parameters())
    for wrong in (lambda: found.pop("a"), found.popitem, lambda: found["a"]):
        with pytest.raises(KeyError_):
            wrong()
    with pytest.raises(ArgumentError, match="a mapping or pairs"):
        found.update(3)


def test_other_objects_in_a_dict_of_parameters() -> None:
    found = nn.ParameterDict({"a": pb.ones(2), "text": "b"})
    found["none"] = None
    assert found["text"] == "b" and found["none"] is None and len(found) == 3
    assert list(found.state_dict()) == ["a"]
    assert "(text): Object of type: str" in repr(found)


def test_sums_of_sequences() -> None:
    first, second = nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh(), nn.Sigmoid())
    both = first + second
    assert [type(m).__name__ for m in both] == ["ReLU", "Tanh", "Sigmoid"] and list(both._modules) == ["0", "1", "2"]
    assert len(first) == 1 and both[1] is second[0]
    first += second
    assert len(first) == 3 and [type(m).__name__ for m in second * 2] == ["Tanh", "Sigmoid"] * 2
    second *= 2
    assert len(second) == 4
    with pytest.raises(ArgumentError, match="only another Sequential"):
        first + 3
    with pytest.raises(ValueError_):
        first * 0


def test_slopes_are_set_to_what_they_were() -> None:
    layer = nn.PReLU(2, 0.3)
    nn.init.ones_(layer.weight)
    layer.reset_parameters()
    assert [round(v, 6) for v in layer.weight.tolist()] == [0.3, 0.3]


def test_parameter_dict_replaces_objects_and_takes_plain_dicts_by_name():
    found = nn.ParameterDict({"b": pb.ones(1), "a": pb.ones(2)})
    assert list(found) == ["a", "b"] and [p.shape for p in found.parameters()] == [(2,), (1,)]
    found["c"] = 3
    found["c"] = 4
    assert found["c"] == 4 and list(found.parameters()) == [found["a"], found["b"]]
    found["c"] = pb.ones(3)
    assert found["c"].shape == (3,) and len(list(found.parameters())) == 3
    assert list(nn.ParameterDict([("z", pb.ones(1)), ("a", pb.ones(1))])) == ["z", "a"]
    assert list(nn.ParameterDict().fromkeys(["z", "a"])) == ["z", "a"]

"""Whole modules in files: classes by name, attributes as data; nothing else, whatever the file says."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest
from pullback.torch import nn

from pullback.util.errors import ArgumentError, FileFormatError

F = torch.nn.functional


@dataclass
class Config:
    size: int = 3
    tied: bool = True


class Language(nn.Module):
    """Shared weights, buffers, dropout, an activation, numbers and texts, a dataclass."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.names = config, [1, ("two", None)]
        self.table, self.recurrent, self.out = nn.Embedding(7, 4), nn.LSTM(4, 4, 2, dropout=0.1), nn.Linear(4, 7)
        self.out.weight = self.table.weight
        self.layer, self.norm, self.activation = nn.TransformerEncoderLayer(4, 2, 8), nn.BatchNorm1d(4), F.relu
        self.register_buffer("mask", torch.ones(3))

    def forward(self, x: Any) -> Any:
        return self.out(self.activation(self.recurrent(self.table(x))[0]))


def through_a_file(value: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, **options)


def test_a_module_comes_back() -> None:
    model = Language(Config(5)).eval()
    x = torch.tensor([[1, 2, 3]])
    found = through_a_file({"model": model, "epoch": 3}, weights_only=False)
    again = found["model"]
    assert found["epoch"] == 3
    assert type(again) is Language
    assert again.config == Config(5)
    assert again.names == [1, ("two", None)]
    assert not again.training
    np.testing.assert_array_equal(again(x).detach().numpy(), model(x).detach().numpy())
    assert again.out.weight is again.table.weight
    assert [*again.state_dict()] == [*model.state_dict()]
    before = again.out.weight.detach().clone()
    optimizer = torch.optim.SGD(again.parameters(), 0.1)
    again.train()(x).sum().backward()
    optimizer.step()
    assert (again.out.weight != before).any()
    np.testing.assert_array_equal(model.out.weight.detach().numpy(), before.numpy())


def test_whole_modules_must_be_asked_for() -> None:
    for options in ({}, {"weights_only": True}):
        with pytest.raises(FileFormatError, match=r"a whole module, not weights alone\n.*torch\.nn\.Linear\n.*=False"):
            through_a_file(nn.Linear(2, 3), **options)


def test_classes_that_are_said_to_be_safe() -> None:
    model = Language(Config())
    serialization = torch.serialization
    with serialization.safe_globals([Language, (Config, "Config")]):
        assert serialization.get_safe_globals() == [Language, Config]
        assert type(through_a_file(model)) is Language
    with pytest.raises(FileFormatError, match="a whole module"):
        through_a_file(model)
    with serialization.safe_globals([Config]), pytest.raises(FileFormatError, match="a whole module"):
        through_a_file(model)
    serialization.add_safe_globals([Language])
    serialization.clear_safe_globals()
    assert serialization.get_safe_globals() == []


def test_what_a_module_holds_must_be_data() -> None:
    model = nn.Linear(2, 3)
    model.rule = lambda x: x
    with pytest.raises(ArgumentError, match=r"this cannot be stored\n.*'rule'"):
        through_a_file(model)


def test_classes_that_are_not_loaded() -> None:
    home = ModuleType("a_module_of_a_test")
    sys.modules[home.__name__] = home
    home.Layer = type("Layer", (nn.Module,), {"__module__": home.__name__})
    file = io.BytesIO()
    torch.save(home.Layer(), file)
    del sys.modules[home.__name__]
    file.seek(0)
    with pytest.raises(FileFormatError, match=r"has a Layer, which is defined in a_module_of_a_test\n"):
        torch.load(file, weights_only=False)


def archive_of(pickled: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    file.seek(0)
    return file


def called(name: str, arguments: tuple[Any, ...], state: Any) -> bytes:
    """A pickle that calls a name, and puts a state on the result."""
    module, _, last = name.rpartition(".")
    head = pickle.PROTO + b"\x02" + pickle.GLOBAL + f"{module}\n{last}\n".encode()
    parts = [pickle.dumps(x, 2)[2:-1] for x in (arguments, state)]
    return head + parts[0] + pickle.REDUCE + parts[1] + pickle.BUILD + pickle.STOP


@pytest.mark.parametrize(("arguments", "text"), [
    (("os", "system"), "neither a module nor a dataclass"),
    (("subprocess", "Popen"), "neither a module nor a dataclass"),
    (("builtins", "dict"), "neither a module nor a dataclass"),
    (("nowhere", "X"), "no such class"),
    (("os", 3), "no such class"),
    (("pullback.util.config", "Flag"), "neither a module nor a dataclass|no such class"),
])
def test_hostile_classes(arguments: Any, text: str) -> None:
    with pytest.raises(FileFormatError, match=text):
        torch.load(archive_of(called("pullback.instance", arguments, {"a": 1})), weights_only=False)


@pytest.mark.parametrize("state", [None, 3, {"a": 1, 2: 3}, [("a", 1)]])
def test_hostile_states(state: Any) -> None:
    given = called("pullback.instance", ("pullback.dialects.torch.nn", "ReLU"), state)
    with pytest.raises(FileFormatError):
        torch.load(archive_of(given), weights_only=False)


@pytest.mark.parametrize("name", ["torch.float32", "torch.FloatStorage", "torch.nn.functional.relu"])
def test_nothing_that_is_there_already_is_changed_or_called(name: str) -> None:
    module, _, last = name.rpartition(".")
    head = pickle.PROTO + b"\x02" + pickle.GLOBAL + f"{module}\n{last}\n".encode()
    state = pickle.dumps({"text": "changed"}, 2)[2:-1]
    for pickled in (head + state + pickle.BUILD + pickle.STOP,
                    head + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.STOP):
        with pytest.raises(FileFormatError):
            torch.load(archive_of(pickled), weights_only=False)
    assert torch.float32.itemsize == 4

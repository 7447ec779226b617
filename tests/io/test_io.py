"""Safetensors files: round trips, other programs' files, damaged and hostile files."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import pullback as pb
from pullback import io
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import DTYPES, numpy_dtype
from pullback.util.errors import ArgumentError, DTypeError, FileFormatError, MissingFileError

STORED = [name for name in DTYPES if name != "complex128"]


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4)])
def test_every_dtype_round_trips(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(numpy_dtype(DTYPES[name]))
    io.save(tmp_path / "x", {"x": from_host(values), "y": from_host(values[..., None])})
    found = io.load(tmp_path / "x")
    assert found["x"].dtype is DTYPES[name] and found["x"].shape == shape
    assert found["x"].numpy().tobytes() == found["y"].numpy().tobytes() == values.tobytes()


def test_other_programs_read_and_write_the_same_files(tmp_path: Path) -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False]), "n": np.array(7)}
    io.save(tmp_path / "ours", arrays, {"note": "ours"})
    theirs = safetensors.numpy.load_file(tmp_path / "ours")
    assert {k: v.tolist() for k, v in theirs.items()} == {k: v.tolist() for k, v in arrays.items()}
    safetensors.numpy.save_file(arrays, tmp_path / "theirs", {"note": "theirs"})
    assert {k: v.numpy().tolist() for k, v in io.load(tmp_path / "theirs").items()} == {k: v.tolist() for k,
                                                                                        v in arrays.items()}
    assert io.load_metadata(tmp_path / "theirs") == {"note": "theirs"}
    assert io.load_metadata(tmp_path / "ours") == {"note": "ours"}


def test_order_of_names_is_kept(tmp_path: Path) -> None:
    names = ["z", "a", "m", "b"]
    io.save(tmp_path / "x", {n: np.zeros(k, np.uint8 if k % 2 else np.float64) for k, n in enumerate(names)})
    assert list(io.load(tmp_path / "x")) == names


TREE: dict[str, Any] = {
    "layers": [{"w": np.ones((2, 2), np.float32)}, {"w": np.zeros(3, np.float32)}],
    "pair": (np.arange(3), None),
    "lr": 0.1,
    "step": 2**70,
    "name": "gr\u00fcn",
    "on": True,
    "state": {0: {"m": np.ones(1)}, 1: {}},
    "empty": [],
    "inf": float("inf"),
    "layers.0.w": np.full(2, 5.0),
}


def test_trees_round_trip(tmp_path: Path) -> None:
    io.save(tmp_path / "x", TREE, {"a": "b"})
    found = io.load(tmp_path / "x", as_numpy=True)
    assert pb.tree.structure(found) == pb.tree.structure(TREE)
    for a, b in zip(pb.tree.leaves(found), pb.tree.leaves(TREE), strict=True):
        np.testing.assert_array_equal(a, b)
        assert type(a) is type(b)
    assert io.load_metadata(tmp_path / "x") == {"a": "b"}


@pytest.mark.parametrize(
    "tree", [np.arange(3), [np.arange(3)], {}, None, 5, "text", (), {"__metadata__": np.ones(1)}], ids=repr
)
def test_small_trees(tree: Any, tmp_path: Path) -> None:
    io.save(tmp_path / "x", tree)
    found = io.load(tmp_path / "x", as_numpy=True)
    assert str(found) == str(tree) and type(found) is type(tree)


@pytest.mark.parametrize(
    "tree", [{"a": object()}, {1.5: np.ones(1)}, [{1, 2}], {"a": lambda: 0}], ids=["object", "key", "set", "function"]
)
def test_what_cannot_be_stored(tree: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="help"):
        io.save(tmp_path / "x", tree)
    assert os.listdir(tmp_path) == []


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="no such dtype"):
        io.save(tmp_path / "x", {"a": np.ones(2, np.complex128)})
    with pytest.raises(ArgumentError, match="path comes first"):
        io.save({"a": np.ones(1)}, "x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="metadata"):
        io.save(tmp_path / "x", {"a": np.ones(1)}, {"n": 1})  # type: ignore[dict-item]
    with pytest.raises(MissingFileError, match="no such file"):
        io.load(tmp_path / "nothing")
    with pytest.raises(FileFormatError):
        io.load(tmp_path)


def make(header: Any, data: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


ENTRY = entry()
DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": b"1234567",
    "only a length": struct.pack("<Q", 0),
    "huge length": make(ENTRY, length=2**63),
    "length past the end": make(ENTRY, length=10**6),
    "negative length": b"\xff" * 16,
    "not json": make(b"{" * 20),
    "not text": make(b"\xff\xfe{}"),
    "a list": make([1]),
    "a number": make(b"7"),
    "deep": make(DEEP.encode()),
    "name twice": make(
        b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
    ),
    "unknown dtype": make(entry("F7")),
    "dtype a number": make(entry(7)),
    "dtype a list": make(entry(["F32"])),
    "negative size": make(entry(shape=[-2])),
    "size a float": make(entry(shape=[2.0])),
    "size a truth": make(entry(shape=[True, 2])),
    "huge sizes": make(entry(shape=[2**40, 2**40])),
    "sizes that wrap": make(entry("U8", [2**33, 2**31 + 1], [0, 2**33])),
    "zero times huge": make(entry(shape=[0, 2**46, 2**46, 2**46], offsets=[0, 0]), b""),
    "rank": make(entry("U8", [1] * 100, [0, 1]), b"\0"),
    "shape missing": make({"a": {"dtype": "F32", "data_offsets": [0, 8]}}),
    "extra field": make({"a": {**ENTRY["a"], "code": "import os"}}),
    "offsets reversed": make(entry(offsets=[8, 0])),
    "offsets past the end": make(entry(offsets=[8, 16])),
    "offsets negative": make(entry(offsets=[-8, 0])),
    "offsets text": make(entry(offsets="08")),
    "too few bytes": make(ENTRY, b"\0" * 7),
    "too many bytes": make(ENTRY, b"\0" * 9),
    "overlap": make({**ENTRY, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12),
    "gap": make({**ENTRY, "b": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}, b"\0" * 16),
    "metadata numbers": make({"__metadata__": {"a": 1}, **ENTRY}),
    "metadata list": make({"__metadata__": [], **ENTRY}),
    "entry null": make({"a": None}),
    "bad truth value": make(entry("BOOL", [8]), b"\2" * 8),
    "pickle": pickle.dumps({"a": [1, 2, 3]}, protocol=2) + b"\0" * 50,
    "zip": b"PK\3\4" + b"\0" * 60,
    "tree not json": make({"__metadata__": {"pullback.tree": "{"}, **ENTRY}),
    "tree unknown kind": make({"__metadata__": {"pullback.tree": '{"call": "os.system"}'}, **ENTRY}),
    "tree missing tensor": make({"__metadata__": {"pullback.tree": '{"tensor": "b"}'}, **ENTRY}),
    "tree deep": make({"__metadata__": {"pullback.tree": '{"list":[' * 50_000 + "]}" * 50_000}, **ENTRY}),
    "tree list body": make({"__metadata__": {"pullback.tree": '{"dict": [[["x"], {"value": 1}]]}'}, **ENTRY}),
    "integer of many digits": make(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(HOSTILE[name])
    with pytest.raises(FileFormatError, match="help"):
        io.load(tmp_path / "x")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    io.save(tmp_path / "x", {"a": np.arange(4.0), "b": {"c": np.ones(3)}})
    whole = (tmp_path / "x").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "y").write_bytes(whole[:cut])
        with pytest.raises(FileFormatError):
            io.load(tmp_path / "y")


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    io.save(tmp_path / "x", TREE)
    whole = bytearray((tmp_path / "x").read_bytes())
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole) // 2, 3):
            damaged[at] = random.integers(256)
        (tmp_path / "y").write_bytes(damaged)
        try:
            io.load(tmp_path / "y", as_numpy=True)
        except FileFormatError:
            refused += 1
    assert refused > 200


def _swap(read: Callable[[Path], Any], tmp_path: Path) -> None:
    io.save(tmp_path / "tensors", {"a": np.ones(1)})
    read(tmp_path / "tensors")


def test_a_file_of_tensors_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        _swap(io.load_checkpoint, tmp_path)


class Part:
    """Something with a state."""

    def __init__(self, **state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


def test_checkpoint(tmp_path: Path) -> None:
    pb.manual_seed(5)
    io.save_checkpoint(tmp_path / "c", model=Part(w=np.arange(3.0)), optimizer=Part(state={0: {"step": 3}}), epoch=4,
                       extra={"history": [1.5, 2.5]})
    drawn = pb.rand(3).numpy()
    model, optimizer = Part(), Part()
    found = io.load_checkpoint(tmp_path / "c", model=model, optimizer=optimizer)
    assert model.state["w"].numpy().tolist() == [0, 1, 2] and optimizer.state == {"state": {0: {"step": 3}}}
    assert found["epoch"] == 4 and found["extra"] == {"history": [1.5, 2.5]}
    assert (pb.rand(3).numpy() == drawn).all()
    with pytest.raises(FileFormatError, match="no loader"):
        io.load_checkpoint(tmp_path / "c", loader=Part())


def test_links_and_permissions(tmp_path: Path) -> None:
    io.save(tmp_path / "real", {"a": np.ones(1)})
    (tmp_path / "link").symlink_to("real")
    io.save(tmp_path / "link", {"a": np.zeros(1)})
    assert (tmp_path / "link").is_symlink() and io.load(tmp_path / "real")["a"].numpy().tolist() == [0]
    with pytest.raises(OSError, match="No such file"):
        io.save(tmp_path / "no" / "folder", {"a": np.ones(1)})

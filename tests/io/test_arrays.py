"""NumPy's arrays in pickles: as NumPy writes them, and no bytes that are not there."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

from pullback.util.errors import ArgumentError, FileFormatError

VALUES = [
    np.arange(6.0).reshape(2, 3), np.float32(2.5), np.array(3, dtype=">i4"), np.array([True, False]), np.zeros((0, 2)),
    np.asfortranarray(np.arange(4).reshape(2, 2)), np.array([1 + 2j]), np.int64(-7), np.bool_(True), np.float16([1.5]),
]


def archive_of(pickled: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    file.seek(0)
    return file


def same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    assert found.dtype == wanted.dtype.newbyteorder("=")  # NumPy swaps bytes as it reads
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("value", VALUES)
def test_they_come_back(value: Any) -> None:
    file = io.BytesIO()
    torch.save({"x": value, "again": value}, file)
    file.seek(0)
    found = torch.load(file)
    same(found["x"], value)
    assert found["again"] is found["x"]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numpys_own_pickles_are_read(value: Any, protocol: int) -> None:
    same(torch.load(archive_of(pickle.dumps(value, protocol))), value)


def test_numpy_reads_what_is_written() -> None:
    file = io.BytesIO()
    torch.save(VALUES[:4], file)
    pickled = zipfile.ZipFile(file).read("archive/data.pkl")
    for found, value in zip(pickle.loads(pickled), VALUES, strict=False):
        same(found, value)


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([object()]), np.zeros(2, "datetime64[s]"),
                                   np.zeros(1, [("x", "f4")])])
def test_arrays_of_other_things(value: Any) -> None:
    with pytest.raises(ArgumentError, match="this cannot be stored"):
        torch.save(value, io.BytesIO())
    with pytest.raises(FileFormatError):
        torch.load(archive_of(pickle.dumps(value, 2)))


@pytest.mark.parametrize(("what", "instead"), [
    (b"K\x02K\x03\x86", b"K\x02K\x09\x86"), (b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8"),
    (b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00f4"), (b"ndarray\n", b"dtype\n"),
    (b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00x"),
])
def test_changed_files(what: bytes, instead: bytes) -> None:
    pickled = pickle.dumps(VALUES[0], 2)
    assert pickled.count(what) == 1
    with pytest.raises(FileFormatError):
        torch.load(archive_of(pickled.replace(what, instead)))


def test_cut_and_changed_bytes_are_errors_or_values() -> None:
    pickled = pickle.dumps(VALUES[0], 2)
    rng = np.random.default_rng(0)
    for _ in range(600):
        changed = bytearray(pickled)
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        try:
            torch.load(archive_of(bytes(changed[:int(rng.integers(1, len(changed) + 40))])))
        except FileFormatError:
            pass

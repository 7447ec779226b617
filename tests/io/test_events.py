"""Event files: the checksum's known answers, and records that come back as they were written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from pullback.io.events import EventFile, checksum, histogram, scalar
from pullback.util.errors import ValueError_


def unmasked(data: bytes) -> int:
    rotated = (checksum(data) - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated << 15 | rotated >> 17) & 0xFFFFFFFF


def test_checksum() -> None:
    """The answers of RFC 3720, appendix B.4."""
    assert unmasked(bytes(32)) == 0x8A9136AA
    assert unmasked(b"\xff" * 32) == 0x62A8AB43
    assert unmasked(bytes(range(32))) == 0x46DD794E


def records(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8)[0] == checksum(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == checksum(body)
        found.append(body)
        at += 16 + length
    return found


def fields(data: bytes) -> dict[int, list[bytes | int]]:
    """A message of the protocol buffer encoding, by the numbers of its fields."""
    found: dict[int, list[bytes | int]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(data):
        key = varint()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            found.setdefault(key >> 3, []).append(varint())
            continue
        size = varint() if size is None else size
        found.setdefault(key >> 3, []).append(data[at : at + size])
        at += size
    return found


def test_events(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path / "log"))
    file.add(scalar("loss", 0.5) + histogram("w", np.arange(10)), 300)
    file.flush()
    file.close()
    with pytest.raises(ValueError_, match="closed"):
        file.add(b"")
    first, second = (fields(r) for r in records(Path(file.path).read_bytes()))
    assert first[3] == [b"brain.Event:2"] and second[2] == [300]
    loss, w = (fields(v) for v in fields(second[5][0])[1])
    assert loss[1] == [b"loss"] and struct.unpack("<f", loss[2][0]) == (0.5,)
    histo = fields(w[5][0])
    assert [struct.unpack("<d", histo[k][0])[0] for k in range(1, 6)] == [0.0, 9.0, 10.0, 45.0, 285.0]
    assert np.frombuffer(histo[7][0]).sum() == 10 and np.frombuffer(histo[6][0])[-1] == 9.0
    with pytest.raises(ValueError_, match="finite"):
        histogram("w", [np.nan])

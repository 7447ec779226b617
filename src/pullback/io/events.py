"""Event files, which TensorBoard draws: numbers and histograms by step.

A file is a row of records (length, its checksum, bytes, their checksum); each holds an event in the protocol buffer
encoding: a time, a step, and named values.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

import numpy as np

from pullback.util.errors import ValueError_, message

_POLYNOMIAL = 0x82F63B78
_VERSION = "brain.Event:2"
BUCKETS = 30


def _table() -> tuple[int, ...]:
    found: list[int] = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        found.append(byte)
    return tuple(found)


_TABLE = _table()


def checksum(data: bytes) -> int:
    """CRC-32C, rotated and shifted as records have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# -- encoding: a key is the field's number and the kind of what follows ------------------------------------------------


def _varint(n: int) -> bytes:
    n &= 2**64 - 1
    found = bytearray()
    while n > 127:
        found.append(n & 127 | 128)
        n >>= 7
    found.append(n)
    return bytes(found)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, x: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", x)


def scalar(name: str, value: Any) -> bytes:
    """One number under a name."""
    number = _varint(2 << 3 | 5) + struct.pack("<f", float(np.asarray(value).reshape(())))
    return _bytes(1, _bytes(1, name.encode()) + number)


def histogram(name: str, values: Any) -> bytes:
    """How many of some numbers lie where, under a name."""
    x = np.asarray(values, np.float64).reshape(-1)
    if not x.size or not np.isfinite(x).all():
        raise ValueError_(message("histogram: numbers must be there, and finite", [("name", name)]))
    counts, edges = np.histogram(x, BUCKETS)
    sums = (x.min(), x.max(), x.size, x.sum(), (x * x).sum())
    fields = b"".join(_double(k, float(v)) for k, v in enumerate(sums, 1))
    buckets = _bytes(6, edges[1:].astype("<f8").tobytes()) + _bytes(7, counts.astype("<f8").tobytes())
    return _bytes(1, _bytes(1, name.encode()) + _bytes(5, fields + buckets))


class EventFile:
    """An event file in a folder, written event by event."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}")
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed by `close`
        self._record(_double(1, time.time()) + _bytes(3, _VERSION.encode()))

    def add(self, values: bytes, step: int = 0) -> None:
        """Write what `scalar` and `histogram` gave, joined, for a step."""
        self._record(_double(1, time.time()) + _varint(2 << 3) + _varint(step) + _bytes(5, values))

    def _record(self, data: bytes) -> None:
        if self._file.closed:
            raise ValueError_(message("the event file is closed", [("file", self.path)]))
        length = struct.pack("<Q", len(data))
        self._file.write(length + struct.pack("<I", checksum(length)) + data + struct.pack("<I", checksum(data)))

    def flush(self) -> None:
        """Hand everything to the system."""
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()

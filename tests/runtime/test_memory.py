"""Buffers: alignment, reuse, counters, NumPy views, running out."""

from __future__ import annotations

import ctypes
import gc
import itertools
import sys
import threading

import numpy as np
import pytest

from pullback.runtime import memory
from pullback.runtime.memory import Buffer
from pullback.util import config


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 400, 4096, 4097, 16 << 10, 100_000, 1 << 20, (5 << 20) + 3])
def test_alignment_slack_and_reuse(nbytes: int) -> None:
    first, second = Buffer(nbytes), Buffer(nbytes)
    for buffer in (first, second):
        assert buffer.address % 64 == 0
        assert buffer.nbytes == nbytes
        ctypes.memset(buffer.address, 0xAB, nbytes + memory.SLACK)
    assert abs(first.address - second.address) >= nbytes + memory.SLACK
    address = first.address
    del first, buffer
    assert Buffer(nbytes).address == address


def test_live_bytes_return_to_where_they_were() -> None:
    gc.collect()
    before = memory.live_bytes()
    held = [Buffer(n) for n in (10, 1000, 100_000, 3 << 20)]
    grown = memory.live_bytes() - before
    wanted = sum(b.nbytes for b in held)
    assert wanted <= grown <= 1.3 * wanted + 1024
    held.clear()
    assert memory.live_bytes() == before
    memory.trim()
    assert memory.live_bytes() == before


def test_idle_big_blocks_are_bounded() -> None:
    memory.trim()
    with config.override(memory_cache="16M"):
        held = [Buffer(4 << 20) for _ in range(8)]
        held.clear()
        assert 4 << 20 <= memory.idle_bytes(big_only=True) <= 16 << 20
        with config.override(memory_cache=0):  # what lies idle already goes back too
            assert memory.idle_bytes(big_only=True) == 0


def test_numpy_views() -> None:
    buffer = Buffer(48)
    array = buffer.numpy(np.float32, (3, 4))
    array[...] = np.arange(12).reshape(3, 4)
    other = buffer.numpy("i4", (2,), offset=40)
    assert array.ctypes.data == buffer.address
    assert other.tobytes() == array.tobytes()[40:]
    for shape, offset in (((13,), 0), ((12,), 4), ((1,), -4), ((-1,), 0), ((1 << 62, 4), 0)):
        with pytest.raises(ValueError, match="do not fit"):
            buffer.numpy(np.float32, shape, offset)
    assert Buffer(0).numpy(np.float64, (0, 3)).shape == (0, 3)
    assert Buffer(8).numpy(np.float64, ()).shape == ()
    address = buffer.address
    del buffer
    assert all(Buffer(48).address != address for _ in range(10))
    assert array[2, 3] == 11


def test_from_numpy_copies_in_c_order() -> None:
    source = np.arange(12.0).reshape(3, 4)
    buffer = Buffer.from_numpy(source.T)
    source[...] = 0
    assert np.array_equal(buffer.numpy(np.float64, (4, 3)), np.arange(12.0).reshape(3, 4).T)
    assert Buffer.from_numpy(np.zeros((0, 5))).nbytes == 0


def test_wrap_shares() -> None:
    source = np.arange(6.0)
    buffer = Buffer.wrap(source)
    view = buffer.numpy(np.float64, (6,))
    source[0] = 42
    assert view[0] == 42
    source.flags.writeable = False
    assert not Buffer.wrap(source).numpy(np.float64, (6,)).flags.writeable
    for wrong in (np.zeros((3, 4)).T, np.zeros(10)[::2], np.zeros(9, np.uint8)[1:].view(np.float32)):
        with pytest.raises(ValueError, match="C-contiguous"):
            Buffer.wrap(wrong)


class OutOfMemory(MemoryError):
    pass


@pytest.mark.parametrize("nbytes", [1 << 46, 1 << 47, 1 << 63, 1 << 64, 1 << 200])
def test_sizes_that_cannot_be_had(nbytes: int) -> None:
    before = memory.live_bytes()
    with pytest.raises(MemoryError, match="no memory for a buffer"):
        Buffer(nbytes)
    memory.use_memory_error(OutOfMemory)
    try:
        with pytest.raises(OutOfMemory):
            Buffer(nbytes)
    finally:
        memory.use_memory_error(MemoryError)
    with pytest.raises(ValueError, match="cannot have"):
        Buffer(-1)
    assert memory.live_bytes() == before


def test_many_threads() -> None:
    gc.collect()
    before = memory.live_bytes()
    wrong: list[str] = []

    def work(index: int) -> None:
        for turn in range(300):
            held = [Buffer(n) for n in (64, 500, 20_000, 1 << 20)]
            for buffer in held:
                ctypes.memset(buffer.address, index, buffer.nbytes)
            for buffer in held:
                if ctypes.string_at(buffer.address + buffer.nbytes - 1, 1) != bytes([index]):
                    wrong.append(f"{index} {turn}")

    running = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not wrong
    assert memory.live_bytes() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="huge pages are asked for on Linux")
@pytest.mark.parametrize("nbytes", [300 << 10, 2_359_296, 6 << 20])
def test_blocks_in_huge_pages_go_back_and_come_again(nbytes: int) -> None:
    memory.trim()
    held = [Buffer(nbytes) for _ in range(24)]
    for k, buffer in enumerate(held):
        assert buffer.address % memory.ALIGNMENT == 0
        ctypes.memset(buffer.address, k + 1, nbytes + memory.SLACK)
    places = sorted(b.address for b in held)
    assert all(b - a >= nbytes + memory.SLACK for a, b in itertools.pairwise(places))
    assert [ctypes.string_at(b.address + nbytes - 1, 1)[0] for b in held] == list(range(1, 25))
    full = _resident()
    del buffer
    held.clear()
    memory.trim()
    assert full - _resident() >= 0.8 * 24 * nbytes
    again = [Buffer(nbytes) for _ in range(24)]
    for buffer in again:
        ctypes.memset(buffer.address, 7, nbytes + memory.SLACK)
    if nbytes < memory.HUGE:
        assert sorted(b.address for b in again) == places


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * memory.PAGE


@pytest.mark.parametrize("nbytes", [0, 40, 100_000, 300_001, 3 << 20, 9 << 20])
def test_zeroed_blocks_are_zeros_whether_new_or_used_before(nbytes: int) -> None:
    for _ in range(3):
        held = [memory.zeroed(nbytes) for _ in range(3)]
        for x in held:
            bytes_of = x.numpy(np.uint8, (nbytes,))
            assert not bytes_of.any()
            bytes_of[...] = 255
        del held, x, bytes_of
        gc.collect()
    memory.trim()
    assert not memory.zeroed(nbytes).numpy(np.uint8, (nbytes,)).any()

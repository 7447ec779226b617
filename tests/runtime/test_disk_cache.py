"""The disk cache: what it returns, what it refuses, what survives a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from pullback.util import config, disk_cache
from pullback.util.disk_cache import HEADER, DiskCache, default_cache, default_directory

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


def entry(directory: Path) -> Path:
    (found,) = directory.glob("*.bin")
    return found


@pytest.fixture
def store(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache")


def test_returns_what_was_put(store: DiskCache) -> None:
    assert store.get("a") is None
    store.put("a", b"one")
    store.put("b", b"")
    assert store.get("a") == b"one"
    assert store.get("b") == b""
    store.put("a", b"two")
    assert DiskCache(store.directory).get("a") == b"two"
    store.clear()
    assert store.get("a") is None


@posix
def test_directory_and_entries_are_private(store: DiskCache) -> None:
    store.put("a", b"one")
    assert os.stat(store.directory).st_mode & 0o777 == 0o700
    assert entry(Path(store.directory)).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["truncate", "header", "flip", "longer", "empty", "other key"])
def test_damaged_entry_is_a_miss_and_deleted(store: DiskCache, damage: str) -> None:
    store.put("a", b"payload" * 100)
    path = entry(Path(store.directory))
    data = bytearray(path.read_bytes())
    if damage == "other key":
        store.put("b", b"x")
        other = next(p for p in Path(store.directory).glob("*.bin") if p != path)
        data = bytearray(other.read_bytes())
    changed = {"truncate": data[:-1], "header": data[:20], "longer": data + b"x", "empty": bytearray(),
               "flip": data[:HEADER.size + 3] + b"!" + data[HEADER.size + 4:], "other key": data}[damage]
    path.write_bytes(changed)
    assert store.get("a") is None
    assert not path.exists()


@posix
@pytest.mark.parametrize("case", ["writable", "symlink", "file"])
def test_directory_that_others_could_write_is_not_used(tmp_path: Path, case: str,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "_warned", False)
    path = tmp_path / "cache"
    if case == "writable":
        path.mkdir()
        path.chmod(0o777)
    elif case == "symlink":
        (tmp_path / "real").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "real")
    else:
        path.write_text("x")
    with pytest.warns(RuntimeWarning, match="cache directory"):
        store = DiskCache(path)
    assert not store.usable
    store.put("a", b"one")
    assert store.get("a") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DiskCache(path)


@posix
def test_entry_that_is_a_symbolic_link_is_not_followed(store: DiskCache, tmp_path: Path) -> None:
    store.put("a", b"one")
    path = entry(Path(store.directory))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert store.get("a") is None


def test_unwritable_place_is_silently_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = DiskCache(tmp_path / "file" / "cache")
    store.put("a", b"one")
    assert store.get("a") is None


def test_full_disk_is_silently_no_cache(store: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.put("a", b"one")
    assert store.get("a") is None
    assert not os.listdir(store.directory)


def test_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    store = DiskCache(tmp_path / "cache", limit=10_000)
    for index in range(12):
        store.put(str(index), bytes(1000))
        age = time.time() - 100_000 + index
        for path in Path(store.directory).glob("*.bin"):
            if path.stat().st_mtime > time.time() - 90_000:
                os.utime(path, (age, age))
    assert store.get("0") is not None  # a use makes it young
    store.evict()
    assert store.get("0") is not None
    assert store.get("1") is None
    assert store.get("11") is not None
    assert sum(p.stat().st_size for p in Path(store.directory).iterdir()) <= 8000


def test_entry_bigger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    store = DiskCache(tmp_path / "cache", limit=100)
    store.put("a", bytes(1000))
    assert store.get("a") is None
    assert not DiskCache(tmp_path / "off", limit=0).usable


def test_flags(tmp_path: Path) -> None:
    before = default_cache()
    with config.override(cache_dir=tmp_path / "one"):
        first = default_cache()
        assert first.directory == default_directory() == str(tmp_path / "one")
        first.put("a", b"kept")
        for text, expected in (("4096", 4096), ("2M", 2 << 20), ("1gb", 1 << 30)):
            with config.override(cache_size=text):
                assert default_cache().limit == expected
                assert default_cache().get("a") == b"kept"
        with config.override(cache_size=0):
            assert not default_cache().usable
        with config.override(cache_dir=tmp_path / "two"):
            assert default_cache().get("a") is None
    assert default_cache().directory == before.directory


def test_a_program_is_kept_where_the_flag_says(tmp_path: Path) -> None:
    import pullback as pb

    with pb.config.override(cache_dir=tmp_path / "cache"):
        assert pb.jit(lambda x: pb.sin(x) * 3.25 - 0.125)(pb.ones(7)).shape == (7,)
    assert list((tmp_path / "cache").glob("*.bin"))


WRITER = """
import sys
from pullback.util.disk_cache import DiskCache
store = DiskCache(sys.argv[1])
for turn in range(int(sys.argv[2])):
    for key in range(8):
        store.put(str(key), bytes([key]) * 20000)
        found = store.get(str(key))
        assert found == bytes([key]) * 20000, key
    print(turn, flush=True)
"""


def writer(directory: str, turns: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, directory, str(turns)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once(store: DiskCache) -> None:
    running = [writer(store.directory, 5) for _ in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert all(store.get(str(key)) == bytes([key]) * 20000 for key in range(8))


@posix
def test_killed_while_writing(store: DiskCache) -> None:
    process = writer(store.directory, 1000)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    for key in range(8):
        assert store.get(str(key)) == bytes([key]) * 20000
    leftover = Path(store.directory) / ".1-00.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (1, 1))
    store.evict()
    assert not leftover.exists()

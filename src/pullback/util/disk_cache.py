"""A private, verified, size-bounded cache of byte strings on disk, shared by processes.

What is stored is machine code that will be run, so nobody but the user may have written it: the directory must be
ours alone, and an entry is used only where its header, length, key and SHA-256 agree. Nothing here ever raises for the
state of the disk: a cache that cannot be used is an empty one.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import time
from functools import cache
from importlib import import_module
from typing import Any

from pullback.util import config
from pullback.util.files import remove

MAGIC = b"PBCACHE1"
HEADER = struct.Struct("<8s32s32sQ")  # magic, sha256(key), sha256(payload), payload length
TOUCH_AFTER = 3600.0  # seconds: an entry's time of last use is kept this coarsely
STALE_AFTER = 3600.0  # seconds: a temporary file this old was left by a process that died
CHECK_EVERY = 64  # puts between two looks at the size
_POSIX = os.name == "posix"
_warned = False
_default: DiskCache | None = None


def default_directory() -> str:
    """The directory that the flag or the platform's habits name."""
    if config.CACHE_DIR.value:
        return config.CACHE_DIR.value
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA") or home, "pullback", "cache")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "pullback")
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.join(home, ".cache"), "pullback")


def default_cache() -> DiskCache:
    """The process's cache, opened on first use, and anew where its flags have changed."""
    global _default
    if _default is None:
        _default = DiskCache()
    return _default


def _forget_default() -> None:
    global _default
    _default = None


config.CACHE_DIR.watch(_forget_default)
config.CACHE_SIZE.watch(_forget_default)


class DiskCache:
    """Byte strings by key, on disk; `get` returns None for whatever is absent, damaged or not ours."""

    __slots__ = ("directory", "limit", "_puts", "_usable")

    def __init__(self, directory: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        self.directory = os.fspath(default_directory() if directory is None else directory)
        self.limit = config.CACHE_SIZE.value if limit is None else limit
        self._puts = 0
        self._usable = self.limit > 0 and _prepare(self.directory)

    @property
    def usable(self) -> bool:
        """Whether the directory can be trusted; where it cannot, every `get` misses and every `put` is dropped."""
        return self._usable

    def get(self, key: str) -> bytes | None:
        """The payload stored under `key`, or None."""
        if not self._usable:
            return None
        key_hash = sha256(key.encode())
        path = self._path(key_hash)
        try:
            data, modified = _read(path)
        except OSError:
            return None
        payload = None if data is None else _payload(data, key_hash)
        if payload is None:
            remove(path)
        elif time.time() - modified > TOUCH_AFTER:
            _touch(path)
        return payload

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`; whole or not at all, whoever else writes and whenever we are killed."""
        if not self._usable or len(data) + HEADER.size > self.limit:
            return
        key_hash = sha256(key.encode())
        header = HEADER.pack(MAGIC, key_hash, sha256(data), len(data))
        temporary = os.path.join(self.directory, f".{os.getpid()}-{os.urandom(6).hex()}.tmp")
        try:
            _write(temporary, header, data)
            os.replace(temporary, self._path(key_hash))
        except OSError:
            remove(temporary)
            return
        except BaseException:
            remove(temporary)
            raise
        if self._puts % CHECK_EVERY == 0:
            self.evict()
        self._puts += 1

    def evict(self) -> None:
        """Delete the least recently used entries until the rest fit in four fifths of the limit."""
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        if total <= self.limit:
            return
        for _, size, path in sorted(entries):
            if total * 5 <= self.limit * 4:
                return
            remove(path)
            total -= size

    def clear(self) -> None:
        """Delete every entry."""
        for _, _, path in self._entries():
            remove(path)

    def _entries(self) -> list[tuple[float, int, str]]:
        found: list[tuple[float, int, str]] = []
        if not self._usable:
            return found
        try:
            with os.scandir(self.directory) as listing:
                for item in listing:
                    _examine(item, found)
        except OSError:
            pass
        return found

    def _path(self, key_hash: bytes) -> str:
        return os.path.join(self.directory, key_hash.hex() + ".bin")


def sha256(data: bytes) -> bytes:
    """SHA-256 digest, by CPython's own module unless hashlib is there already: hashlib loads OpenSSL, for 3 to 5 ms."""
    return _hasher()(data).digest()


@cache
def _hasher() -> Any:
    if "hashlib" not in sys.modules:
        for name in ("_sha2", "_sha256"):
            try:
                return import_module(name).sha256
            except ImportError:
                continue
    return import_module("hashlib").sha256


def _examine(item: os.DirEntry[str], found: list[tuple[float, int, str]]) -> None:
    """Note an entry's (time, size, path); delete a temporary file that a dead process left."""
    try:
        status = item.stat(follow_symlinks=False)
    except OSError:
        return
    if item.name.endswith(".bin"):
        found.append((status.st_mtime, status.st_size, item.path))
    elif item.name.endswith(".tmp") and time.time() - status.st_mtime > STALE_AFTER:
        remove(item.path)


def _prepare(directory: str) -> bool:
    """Create the directory if need be; whether it is a real directory that only we can write to."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(directory)), exist_ok=True)
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    reason = _distrust(status)
    if reason:
        _warn(f"the cache directory {directory!r} {reason}: compiled code is not cached on disk")
    return not reason


def _distrust(status: os.stat_result) -> str:
    """Why this directory cannot be trusted; empty where it can."""
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if sys.platform == "win32":
        return ""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return ""


def _warn(message: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        import warnings

        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _read(path: str) -> tuple[bytes | None, float]:
    """Contents and modification time of a regular file of ours; contents None for anything else."""
    nofollow = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, os.O_RDONLY | nofollow)
    try:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and (sys.platform == "win32" or status.st_uid == os.geteuid())
        if not ours:
            return None, 0.0
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(), status.st_mtime
    finally:
        os.close(descriptor)


def _payload(data: bytes, key_hash: bytes) -> bytes | None:
    """The payload of an entry whose header and hashes agree, else None."""
    if len(data) < HEADER.size:
        return None
    magic, stored_key, digest, length = HEADER.unpack_from(data)
    payload = data[HEADER.size:]
    good = magic == MAGIC and stored_key == key_hash and length == len(payload) and digest == sha256(payload)
    return payload if good else None


def _write(path: str, header: bytes, data: bytes) -> None:
    """Write a new file that only we can read, and see it onto the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(header)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:
        pass

"""Memory that the compiler has touched, given back to the system.

LLVM's library is 150 MB, of which loading it and compiling a program touch half. What a process may not write to is in
the file as it is in memory: such pages leave the process at once and are read again where they are needed, which
takes 4 ms for all that a compilation uses.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from typing import NamedTuple

_LOADED, _WRITABLE = 1, 2  # of an ELF program header: PT_LOAD, PF_W
_DROP = 4  # MADV_DONTNEED


class Span(NamedTuple):
    """Whole pages."""

    start: int
    size: int


def read_only_spans(path: str) -> tuple[Span, ...]:
    """The pages of a loaded library that can only be read, by its own headers; none where they cannot be told."""
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return ()
    path = os.path.realpath(path)  # as the system names it
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            base = next((int(line.split("-", 1)[0], 16) for line in file
                         if line.rstrip().endswith(path) and line.split()[2] == "00000000"), None)
        with open(path, "rb") as library:
            header = library.read(64)
            library.seek(int.from_bytes(header[32:40], "little"))
            entries = library.read(56 * int.from_bytes(header[56:58], "little"))
    except OSError:
        return ()
    if base is None or header[:6] != b"\x7fELF\x02\x01" or int.from_bytes(header[54:56], "little") != 56:
        return ()
    return tuple(_whole_pages(base + address, size)
                 for kind, flags, _, address, _, _, size, _ in struct.iter_unpack("<IIQQQQQQ", entries)
                 if kind == _LOADED and not flags & _WRITABLE)


def _whole_pages(start: int, size: int) -> Span:
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    return Span(first, max((start + size) // mmap.PAGESIZE * mmap.PAGESIZE - first, 0))


class Resident:
    """What a loaded library keeps resident besides what it needs."""

    def __init__(self, path: str) -> None:
        self._spans = read_only_spans(path)
        library = ctypes.CDLL(None) if self._spans else None
        self._advise = None if library is None else library.madvise
        if self._advise is not None:
            self._advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        try:
            self._trim = None if library is None else library.malloc_trim
        except AttributeError:  # other C libraries give memory back by themselves
            self._trim = None

    def drop_pages(self) -> None:
        """Let the library's own pages go."""
        if self._advise is None:
            return
        for span in self._spans:
            self._advise(span.start, span.size, _DROP)

    def release(self) -> None:
        """Let the library's pages go, and what it allocated and freed."""
        self.drop_pages()
        if self._trim is not None:
            self._trim(0)

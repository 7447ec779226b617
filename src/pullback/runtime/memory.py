"""Memory for tensors: 64-byte aligned, from free lists by size, so that a small buffer costs about 0.2 us.

A size class is the list of its free addresses; taking and returning are one `pop` and one `append`, which CPython does
atomically, so no lock is taken on the fast path. Sizes go up in quarters of a power of two, from 256 KB on in
thirty-seconds. Small blocks are carved from slabs and kept; big ones go back to the system when more than flag
`memory_cache` says lie idle. Parameters and moments of a network are a few megabytes each and read once a step: in
pages of 4 KB, looking up their addresses costs 3% of a GPT's step; so on Linux blocks from 256 KB on lie in huge pages.
Every block has at least 64 bytes of slack behind what was asked for: kernels may read, not write, a vector past the
end.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pullback.runtime.native import prepare
from pullback.util import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

ALIGNMENT = 64
SLACK = 64
KNOWN_LIMIT = 1 << 14  # exact sizes whose class is remembered
SMALL_LIMIT = 16 << 10  # blocks up to here are carved from slabs
SLAB = 256 << 10
BIG = 1 << 20  # from here on blocks are returned when too many lie idle
CARVED = 256 << 10  # from here on blocks are carved from regions of huge pages
HUGE = 4 << 20  # from here on a block has huge pages of its own
REGION = 32 << 20
STAGGER = (4 << 10) + 320  # between carved blocks: what lies at one place of each must not meet in one set of a cache
PAGE, HUGE_PAGE = 4 << 10, 2 << 20
ADDRESS_SPACE = 1 << 47
MADV_DONTNEED, MADV_HUGEPAGE = 4, 14
PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS = 3, 0x22


class SizeClass(list[int]):
    """Free addresses of blocks of one size."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def take(self) -> int:
        """A free block, or a new one; the others of its slab become free."""
        try:
            return self.pop()
        except IndexError:
            pass
        if self.size > SMALL_LIMIT:
            return _obtain(self.size)
        count = max(1, SLAB // self.size)
        start = _obtain(count * self.size)
        self.extend(range(start + (count - 1) * self.size, start, -self.size))
        return start


class BigClass(SizeClass):
    """A class whose idle blocks are bounded."""

    __slots__ = ()

    def append(self, address: int, /) -> None:
        super().append(address)
        if idle_bytes(big_only=True) > config.MEMORY_CACHE.value:
            _release_idle(config.MEMORY_CACHE.value // 2)


class _Discard(SizeClass):
    """Where the addresses of memory that is not ours go."""

    __slots__ = ()

    def append(self, address: int, /) -> None:
        pass


class _State:
    """What must change together."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a finaliser may run inside the lock's own thread
        self.classes: dict[int, SizeClass] = {}
        self.obtained = 0  # bytes got from the system and not given back
        self.error: type[MemoryError] = MemoryError
        self.free_region: tuple[int, int] = (0, 0)  # what is left of the region that blocks are carved from: begin, end
        self.returned: dict[int, list[int]] = {}  # by size: carved blocks whose memory the system has back
        self.clean = False  # the block that was obtained last is zeros


_state = _State()
_DISCARD = _Discard(0)


def _class_of(nbytes: int) -> SizeClass:
    """The class of the smallest blocks that hold `nbytes` and the slack."""
    if nbytes < 0:
        raise ValueError(f"a buffer cannot have {nbytes} bytes")
    if nbytes >= ADDRESS_SPACE:
        raise _state.error(f"no memory for a buffer of {nbytes} bytes")
    need = max(nbytes + SLACK, 2 * ALIGNMENT)
    shift = max(need.bit_length() - (6 if need >= CARVED else 3), 6)
    size = -(-need >> shift) << shift
    found = _state.classes.get(size)
    if found is None:
        kind = BigClass if size >= BIG else SizeClass
        found = _state.classes.setdefault(size, kind(size))
    if len(_KNOWN) >= KNOWN_LIMIT:
        _KNOWN.clear()
    _KNOWN[nbytes] = found
    return found


_KNOWN: dict[int, SizeClass] = {}  # class by exact size: the sizes of a program recur


class Buffer:
    """A block of memory: `nbytes` bytes at `address`, aligned to 64; freed when nobody holds the Buffer."""

    __slots__ = ("address", "nbytes", "_home", "_owner", "__weakref__")

    def __init__(self, nbytes: int) -> None:
        try:
            home = _KNOWN[nbytes]
            self.address = home.pop()
        except (KeyError, IndexError):
            self._home, self.address = _DISCARD, 0
            home = _class_of(nbytes)
            self.address = home.take()
        self.nbytes = nbytes
        self._home = home

    def __del__(self) -> None:
        self._home.append(self.address)

    def __repr__(self) -> str:
        return f"Buffer({self.nbytes} bytes at {self.address:#x})"

    def numpy(self, dtype: npt.DTypeLike, shape: tuple[int, ...], offset: int = 0) -> npt.NDArray[Any]:
        """An array over this memory from byte `offset` on, C order, that keeps the buffer alive."""
        import numpy as np

        kind = np.dtype(dtype)
        size = kind.itemsize
        for extent in shape:
            size *= extent
        if offset < 0 or size < 0 or offset + size > self.nbytes:
            raise ValueError(f"{size} bytes at offset {offset} do not fit a buffer of {self.nbytes} bytes")
        return np.asarray(_View(self, offset, size)).view(kind).reshape(shape)

    @property
    def writable(self) -> bool:
        """False only for a wrapped array that is read-only."""
        return self._home is not _DISCARD or bool(self._owner.flags.writeable)

    @property
    def pooled(self) -> bool:
        """False for memory that is somebody else's."""
        return self._home is not _DISCARD

    @staticmethod
    def from_numpy(array: npt.NDArray[Any]) -> Buffer:
        """A new buffer with a copy of the array's elements in C order."""
        buffer = Buffer(array.nbytes)
        if array.nbytes:
            buffer.numpy(array.dtype, array.shape)[...] = array
        return buffer

    @staticmethod
    def wrap(array: npt.NDArray[Any]) -> Buffer:
        """The array's own memory, kept alive; ValueError unless it is C-contiguous and aligned to its elements.

        There is no slack behind it and its alignment is NumPy's (16 bytes at least as a rule).
        """
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ValueError("only a C-contiguous, aligned array can be shared; use from_numpy")
        buffer: Buffer = Buffer.__new__(Buffer)
        buffer._home, buffer._owner = _DISCARD, array
        buffer.address, buffer.nbytes = int(array.ctypes.data), array.nbytes
        return buffer

    _owner: np.ndarray[Any, Any]


_new = object.__new__


def homes_of(sizes: Sequence[int]) -> list[tuple[int, SizeClass]]:
    """Where buffers of these sizes come from: what `allocate_all` takes."""
    return [(n, _KNOWN.get(n) or _class_of(n)) for n in sizes]


def allocate_all(homes: list[tuple[int, SizeClass]]) -> list[Buffer]:
    """`[Buffer(n) for n, _ in homes]`, in half the time: every launch passes here."""
    found: list[Buffer] = []
    for nbytes, home in homes:
        try:
            address = home.pop()
        except IndexError:
            address = home.take()
        buffer = _new(Buffer)
        buffer.address, buffer.nbytes, buffer._home = address, nbytes, home  # pyright: ignore[reportPrivateUsage]
        found.append(buffer)
    return found


def zeroed(nbytes: int) -> Buffer:
    """A buffer of zeros. Large blocks that are new from the system are zeros, and not touched before they are used."""
    home = _KNOWN.get(nbytes) or _class_of(nbytes)
    clean = False
    try:
        address = home.pop()
    except IndexError:
        with _state.lock:
            address = home.take() if home.size < CARVED else _obtain(home.size)
            clean = home.size >= CARVED and _state.clean
    buffer = _new(Buffer)
    buffer.address, buffer.nbytes, buffer._home = address, nbytes, home  # pyright: ignore[reportPrivateUsage]
    if not clean:
        ctypes.memset(address, 0, nbytes)
    return buffer


class _View:
    """Holds the buffer on behalf of an array."""

    __slots__ = ("buffer", "__array_interface__")

    def __init__(self, buffer: Buffer, offset: int, size: int) -> None:
        self.buffer = buffer
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1",
                                    "data": (buffer.address + offset, not buffer.writable)}


def use_memory_error(error: type[MemoryError]) -> None:
    """Raise this class where memory runs out."""
    _state.error = error


def idle_bytes(*, big_only: bool = False) -> int:
    """Bytes that lie in free lists."""
    return sum(len(c) * c.size for c in list(_state.classes.values()) if not big_only or c.size >= BIG)


def live_bytes() -> int:
    """Bytes of the blocks that buffers hold now (wrapped arrays not counted); in size classes, so rounded up."""
    return _state.obtained - idle_bytes()


def obtained_bytes() -> int:
    """Bytes that this module holds from the system, live or idle."""
    return _state.obtained


def trim() -> None:
    """Give idle big blocks back to the system."""
    _release_idle(0)


def _release_idle(keep: int) -> None:
    """Free idle blocks above SMALL_LIMIT, biggest first, until at most `keep` bytes of them are left."""
    with _state.lock:
        classes = sorted((c for c in list(_state.classes.values()) if c.size > SMALL_LIMIT), key=_size, reverse=True)
        idle = sum(len(c) * c.size for c in classes)
        for group in classes:
            while idle > keep and group:
                try:
                    address = group.pop()
                except IndexError:
                    break
                _release(address, group.size)
                _state.obtained -= group.size
                idle -= group.size


config.MEMORY_CACHE.watch(lambda: _release_idle(config.MEMORY_CACHE.value))


def _size(group: SizeClass) -> int:
    return group.size


def _obtain(size: int) -> int:
    """A block from the system; idle blocks are given back and asked for again before we give up."""
    address = _allocate(size)
    if not address:
        trim()
        address = _allocate(size)
        if not address:
            raise _state.error(f"no memory for a buffer of {size} bytes")
    with _state.lock:
        _state.obtained += size
    return address


def _allocate(size: int) -> int:
    """The address of `size` bytes from the system, or 0."""
    system = _system()
    _state.clean = system.map is not None and size >= CARVED
    if _state.clean:
        return _carve(size) if size < HUGE else _map(size)
    result = ctypes.c_void_p()
    failed = system.allocate(ctypes.byref(result), PAGE if size >= SMALL_LIMIT else ALIGNMENT, size)
    return 0 if failed else result.value or 0


def _release(address: int, size: int) -> None:
    """Give a block's memory back; a carved one keeps its addresses for the next of its size."""
    system = _system()
    if system.map is None or size < CARVED:
        system.free(address)
    elif size < HUGE:
        first = -(-address // PAGE) * PAGE
        system.advise(first, (address + size) // PAGE * PAGE - first, MADV_DONTNEED)
        _state.returned.setdefault(size, []).append(address)
    else:
        system.unmap(address, size)


def _carve(size: int) -> int:
    """A block of a region, whose huge pages it shares with its neighbours."""
    with _state.lock:
        if returned := _state.returned.get(size):
            _state.clean = False  # its ends share pages with others
            return returned.pop()
        begin, end = _state.free_region
        if end - begin < size:
            begin = _map(REGION)
            if not begin:
                return 0
            end = begin + REGION
        _state.free_region = (min(begin + size + STAGGER, end), end)
        return begin


def _map(size: int) -> int:
    """Memory of its own that begins with a huge page, or 0."""
    system = _system()
    whole = size + HUGE_PAGE
    start = system.map(None, whole, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)
    if start in (None, ctypes.c_void_p(-1).value):
        return 0
    address = -(-start // HUGE_PAGE) * HUGE_PAGE
    if address > start:
        system.unmap(start, address - start)
    system.unmap(address + size, start + whole - address - size)
    system.advise(address, size, MADV_HUGEPAGE)
    return address


class _System:
    """Functions of the C library; `allocate` as posix_memalign, the last three on Linux only."""

    __slots__ = ("allocate", "free", "map", "unmap", "advise")

    def __init__(self, allocate: Any, free: Any, map: Any = None, unmap: Any = None, advise: Any = None) -> None:
        self.allocate, self.free, self.map, self.unmap, self.advise = allocate, free, map, unmap, advise


@cache
def _system() -> _System:
    prepare()  # the first memory is the first sign that something will be computed
    size, address, integer = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    if sys.platform == "win32":
        library = ctypes.CDLL("ucrtbase")
        aligned = library._aligned_malloc
        aligned.restype, aligned.argtypes = address, (size, size)
        library._aligned_free.argtypes = (address,)
        return _System(partial(_windows, aligned), library._aligned_free)
    library = ctypes.CDLL(None)
    library.posix_memalign.argtypes = (address, size, size)
    library.free.argtypes, library.free.restype = (address,), None
    if not sys.platform.startswith("linux"):
        return _System(library.posix_memalign, library.free)
    library.mmap.restype, library.mmap.argtypes = address, (address, size, integer, integer, integer, ctypes.c_long)
    library.munmap.argtypes, library.madvise.argtypes = (address, size), (address, size, integer)
    return _System(library.posix_memalign, library.free, library.mmap, library.munmap, library.madvise)


def _windows(aligned: Any, out: Any, align: int, size: int) -> int:
    """`_aligned_malloc` in the shape of `posix_memalign`."""
    out._obj.value = aligned(size, align)
    return 0 if out._obj.value else 12


def _after_fork() -> None:
    _state.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

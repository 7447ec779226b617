"""What a relocation of each architecture writes, and what a stub looks like there.

Sources: System V ABI for AMD64, section 4.4; ELF for the Arm 64-bit Architecture, section 5.7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from mmap import mmap
from typing import Final, NamedTuple

_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_U64: Final = struct.Struct("<Q")


class LoaderError(RuntimeError):
    """An object cannot be loaded: damaged, for another machine, or in need of a symbol that nobody has."""


class Architecture(NamedTuple):
    """`needs_stub` says which relocation kinds go through a GOT slot ("got") or a stub for far calls ("call").

    Of the `relative` kinds, S + A - P (or G + A - P) is a signed 32-bit word, and the loader writes it itself.
    `apply(memory, at, end, kind, value, base)` writes S + A (or G + A) at offset `at`, staying below `end`.
    """

    name: str
    needs_stub: dict[int, str]
    stub: bytes
    relative: frozenset[int]
    apply: Callable[[mmap, int, int, int, int, int], None]


def _fit(value: int, bits: int) -> int:
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise LoaderError("a relocation reaches too far")
    return value


def _put64(memory: mmap, at: int, end: int, value: int) -> None:
    if at + 8 > end:
        raise LoaderError("a relocation lies outside its section")
    _U64.pack_into(memory, at, value & 0xFFFFFFFFFFFFFFFF)


def _apply_x86_64(memory: mmap, at: int, end: int, kind: int, value: int, base: int) -> None:
    if kind == 1:  # 64
        _put64(memory, at, end, value)
    elif kind == 24:  # PC64
        _put64(memory, at, end, value - base - at)
    elif kind == 10 and 0 <= value < 1 << 32:  # 32
        _U32.pack_into(memory, at, value)
    elif kind == 11:  # 32S
        _I32.pack_into(memory, at, _fit(value, 32))
    elif kind != 0:
        raise LoaderError(f"relocation of kind {kind}")


# Low 12 bits of an address, by relocation kind: the scale of the instruction's offset.
_LO12: Final = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4, 312: 3}
# PC-relative branches and literals, by kind: (bits, position of the field).
_BRANCH: Final = {282: (26, 0), 283: (26, 0), 280: (19, 5), 273: (19, 5), 279: (14, 5)}
_MOVW: Final = {263: 0, 264: 0, 265: 16, 266: 16, 267: 32, 268: 32, 269: 48}


def _apply_aarch64(memory: mmap, at: int, end: int, kind: int, value: int, base: int) -> None:
    place = base + at
    if kind == 257:  # ABS64
        return _put64(memory, at, end, value)
    if kind == 260:  # PREL64
        return _put64(memory, at, end, value - place)
    if kind == 258:  # ABS32
        _U32.pack_into(memory, at, _fit(value, 33) & 0xFFFFFFFF)
        return None
    if kind == 0 or kind == 256:
        return None
    word = _U32.unpack_from(memory, at)[0]
    _U32.pack_into(memory, at, aarch64_word(word, kind, value, place))
    return None


def aarch64_word(word: int, kind: int, value: int, place: int) -> int:
    """The instruction `word` with the field of `kind` filled in."""
    if kind in _BRANCH:
        bits, position = _BRANCH[kind]
        distance = _fit(value - place, bits + 2)
        if distance & 3:
            raise LoaderError("a branch to an unaligned address")
        mask = (1 << bits) - 1
        return word & ~(mask << position) | ((distance >> 2) & mask) << position
    if kind in (275, 276, 311):  # ADR_PREL_PG_HI21, its unchecked form, ADR_GOT_PAGE
        return _adr(word, _fit((value >> 12) - (place >> 12), 21))
    if kind == 274:  # ADR_PREL_LO21
        return _adr(word, _fit(value - place, 21))
    if kind in _LO12:
        scale = _LO12[kind]
        low = value & 0xFFF
        if low & ((1 << scale) - 1):
            raise LoaderError("a load from an unaligned address")
        return word & ~(0xFFF << 10) | (low >> scale) << 10
    if kind in _MOVW:
        return word & ~(0xFFFF << 5) | ((value >> _MOVW[kind]) & 0xFFFF) << 5
    raise LoaderError(f"relocation of kind {kind}")


def _adr(word: int, value: int) -> int:
    value &= 0x1FFFFF
    return word & ~(0x3 << 29 | 0x7FFFF << 5) | (value & 3) << 29 | (value >> 2) << 5


X86_64: Final = Architecture(
    "x86_64", {9: "got", 41: "got", 42: "got", 4: "call"},
    b"\xff\x25\x02\x00\x00\x00\xcc\xcc",  # jmp [rip + 2]; the address follows
    frozenset({2, 4, 9, 41, 42}),  # PC32, PLT32, GOTPCREL, GOTPCRELX, REX_GOTPCRELX
    _apply_x86_64)
AARCH64: Final = Architecture(
    "aarch64", {311: "got", 312: "got", 282: "call", 283: "call"},
    _U32.pack(0x58000050) + _U32.pack(0xD61F0200),  # ldr x16, 8; br x16; the address follows
    frozenset({261, 314}),  # PREL32, PLT32
    _apply_aarch64)

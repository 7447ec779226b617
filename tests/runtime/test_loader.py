"""The object loader: relocations, externals, protection, and what it does with damaged objects."""

from __future__ import annotations

import ctypes
import gc
import random
import re
import struct
import sys
import weakref
from pathlib import Path

import pytest

from pullback.codegen.llvm.compile import compile_ir
from pullback.runtime import relocations
from pullback.runtime.loader import LinkedObject, LoaderError, MappedObject, load_object, process_symbol
from pullback.util.host import host_architecture

IR = """
@counter = global i64 5, align 8
@hidden = internal global i64 7, align 64
@zeros = global [1000 x i64] zeroinitializer, align 64
@table = constant [3 x ptr] [ptr @f, ptr @g, ptr @counter], align 8
@numbers = internal constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5], align 32
@elsewhere = external global i64
declare double @cos(double)
declare i64 @callback(i64)
define i64 @f(i64 %x) {
  %old = load i64, ptr @counter
  %new = add i64 %old, %x
  store i64 %new, ptr @counter
  ret i64 %new
}
define double @g(double %x, i64 %i) {
  %c = call double @cos(double %x)
  %at = getelementptr double, ptr @numbers, i64 %i
  %n = load double, ptr %at
  %r = fadd double %c, %n
  ret double %r
}
define i64 @h(i64 %x) {
  %y = call i64 @callback(i64 %x)
  %e = load i64, ptr @elsewhere
  %p = load i64, ptr @hidden
  %s = add i64 %y, %e
  %t = add i64 %s, %p
  ret i64 %t
}
define i64 @choose(i64 %x) {
  switch i64 %x, label %other [ i64 0, label %a  i64 1, label %b  i64 2, label %c  i64 3, label %d  i64 4, label %e ]
a: ret i64 10
b: ret i64 200
c: ret i64 31
d: ret i64 47
e: ret i64 5
other: ret i64 0
}
"""
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: 3 * x)
ELSEWHERE = ctypes.c_int64(1000)
SYMBOLS = {"callback": ctypes.cast(CALLBACK, ctypes.c_void_p).value or 0, "elsewhere": ctypes.addressof(ELSEWHERE)}


@pytest.fixture(scope="module")
def data() -> bytes:
    return compile_ir(IR)


def check(loaded: MappedObject | LinkedObject) -> None:
    f = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("f"))
    g = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)(loaded.address("g"))
    h = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("h"))
    choose = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("choose"))
    assert (f(2), f(3)) == (7, 10)
    assert g(0.0, 2) == 4.5
    assert h(4) == 12 + 1000 + 7
    assert [choose(i) for i in range(6)] == [10, 200, 31, 47, 5, 0]
    table = (ctypes.c_uint64 * 3).from_address(loaded.address("table"))
    assert list(table) == [loaded.address(n) for n in ("f", "g", "counter")]
    assert loaded.address("zeros") % 64 == 0


def test_own_loader(data: bytes) -> None:
    loaded = load_object(data, SYMBOLS)
    assert isinstance(loaded, MappedObject)
    check(loaded)
    again = load_object(data, SYMBOLS)
    assert again.address("counter") != loaded.address("counter")
    with pytest.raises(LoaderError, match="defines no 'nothing'"):
        loaded.address("nothing")


def test_llvm_linker_fallback(data: bytes) -> None:
    loaded = LinkedObject(data, SYMBOLS)
    check(loaded)
    with pytest.raises(LoaderError, match="defines no 'nothing'"):
        loaded.address("nothing")
    with pytest.raises(LoaderError):
        LinkedObject(b"not an object at all", {})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/maps")
def test_no_page_is_writable_and_executable_and_memory_goes(data: bytes) -> None:
    loaded = load_object(data, SYMBOLS)
    assert isinstance(loaded, MappedObject)
    modes = protection(loaded.base, loaded.base + loaded.size)
    assert modes[loaded.address("f") // 4096] == "r-xp"
    assert modes[loaded.address("counter") // 4096] == "rw-p"
    assert set(modes.values()) == {"r-xp", "rw-p"}
    base, size, alive = loaded.base, loaded.size, weakref.ref(loaded)
    del loaded
    gc.collect()
    assert alive() is None
    assert "r-xp" not in protection(base, base + size).values()


def protection(start: int, stop: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for low, high, mode in re.findall(r"(?m)^(\w+)-(\w+) (\S+)", Path("/proc/self/maps").read_text()):
        for page in range(max(int(low, 16), start) // 4096, min(int(high, 16), stop) // 4096):
            found[page] = mode
    return found


def test_unknown_symbols_and_formats(data: bytes) -> None:
    with pytest.raises(LoaderError, match="unknown symbol 'callback'"):
        load_object(data, {"elsewhere": 8})
    with pytest.raises(LoaderError, match="not an ELF object"):
        load_object(b"")
    other = "aarch64" if host_architecture() == "x86_64" else "x86_64"
    with pytest.raises(LoaderError, match="another machine"):
        load_object(compile_ir(IR, "", "", f"{other}-unknown-linux-gnu"), SYMBOLS)
    with pytest.raises(LoaderError, match="thread-local"):
        load_object(compile_ir("@t = thread_local global i64 1\ndefine ptr @f() {\n  ret ptr @t\n}"))
    assert process_symbol("no_such_symbol_anywhere") is None


def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(0, len(data), 3):
        with pytest.raises(LoaderError):
            load_object(data[:length], SYMBOLS)


def test_damaged_objects_load_or_raise_but_never_crash(data: bytes) -> None:
    source = random.Random(0)
    outcomes = {True: 0, False: 0}
    for _ in range(1500):
        changed = bytearray(data)
        for _ in range(source.randint(1, 4)):
            at = source.randrange(4, len(data))
            if source.random() < 0.5:
                changed[at] = source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))
            else:
                at = min(at, len(data) - 8) & ~7
                value = source.choice((0, 2**64 - 1, 2**63, 2**32, len(data), source.randrange(2**64)))
                changed[at:at + 8] = struct.pack("<Q", value)
        try:
            load_object(bytes(changed), SYMBOLS)
            outcomes[True] += 1
        except LoaderError:
            outcomes[False] += 1
    assert outcomes[False] > 100


def test_aarch64_instructions() -> None:
    """Fields of the A64 encodings, against words assembled by LLVM's own linker conventions."""
    word = relocations.aarch64_word
    assert word(0x94000000, 283, 0x1000, 0x0) == 0x94000400  # bl +0x1000
    assert word(0x94000000, 283, 0x0, 0x1000) == 0x97FFFC00  # bl -0x1000
    assert word(0x90000000, 275, 0x12345678, 0x1000) == 0x90000000 | (0x12344 & 3) << 29 | (0x12344 >> 2) << 5
    assert word(0x91000000, 277, 0x12345678, 0) == 0x91000000 | 0x678 << 10
    assert word(0xF9400000, 286, 0x12345678, 0) == 0xF9400000 | (0x678 >> 3) << 10
    assert word(0x3DC00000, 299, 0x12345670, 0) == 0x3DC00000 | (0x670 >> 4) << 10
    assert word(0x54000000, 280, 0x40, 0x0) == 0x54000200  # b.eq +0x40
    for kind, value in ((286, 4), (283, 2), (283, 1 << 40), (275, 1 << 40), (9999, 0)):
        with pytest.raises(LoaderError):
            word(0, kind, value, 0)


def test_aarch64_objects_are_laid_out() -> None:
    """Everything but the last step, running, also works on another machine."""
    text = compile_ir(IR, "neoverse-n1", "", "aarch64-unknown-linux-gnu")
    relocations_used = relocation_kinds(text)
    known = {257, 258, 260, 261, 263, 264, 265, 266, 267, 268, 269, 273, 274, 275, 276, 277, 278, 279, 280, 282, 283,
             284, 285, 286, 299, 311, 312, 314}
    assert relocations_used <= known


def relocation_kinds(data: bytes) -> set[int]:
    offset, = struct.unpack_from("<Q", data, 40)
    count, = struct.unpack_from("<H", data, 60)
    kinds: set[int] = set()
    for index in range(count):
        header = struct.unpack_from("<IIQQQQIIQQ", data, offset + 64 * index)
        if header[1] == 4:
            table = data[header[4]:header[4] + header[5]]
            kinds |= {info & 0xFFFFFFFF for _, info, _ in struct.iter_unpack("<QQq", table)}
    return kinds

"""Loads object code that our own emitter produced: ELF for x86-64 and AArch64, without LLVM.

All allocated sections go into one mapping: first what is never written (code, constants, stubs), made readable and
executable once it is relocated, then what is (data, bss), never executable. Every offset and index that the object
states is checked before it is used. Other object formats go through LLVM's own linker.

Memory is held by the `LoadedObject`: whoever keeps an address must keep the object, or call `keep_for_ever`.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from pullback.runtime import relocations
from pullback.runtime.relocations import LoaderError
from pullback.util.host import host_architecture

__all__ = ["LoadedObject", "LoaderError", "load_object"]

SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_RELR, SHT_PROGBITS = 2, 4, 8, 9, 19, 1
SHF_WRITE, SHF_ALLOC, SHF_TLS = 0x1, 0x2, 0x400
SHN_LORESERVE, SHN_ABS = 0xFF00, 0xFFF1
STB_WEAK, STT_TLS, STT_GNU_IFUNC = 2, 6, 10
PAGE = mmap.PAGESIZE
LIMIT = 1 << 30  # bytes of one object in memory
STUB_SIZE = 16
pack_relative = struct.Struct("<i").pack_into  # struct.error where it reaches too far
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELA = struct.Struct("<QQq")
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
MACHINES = {62: relocations.X86_64, 183: relocations.AARCH64}


class Section(NamedTuple):
    """One section header, checked to lie inside the file."""

    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Symbol(NamedTuple):
    """One symbol; `section` 0 means undefined."""

    name: str
    bind: int
    type: int
    section: int
    value: int


class LoadedObject(Protocol):
    """Code in memory. Addresses are good as long as this object lives."""

    def address(self, name: str) -> int:
        """Address of a function or global that the object defines; LoaderError where it defines none."""
        ...

    def keep_for_ever(self) -> None:
        """Never unmap: for code that threads run or that outlives the interpreter."""
        ...


class MappedObject:
    """An object that we mapped and relocated ourselves."""

    __slots__ = ("_mapping", "_names", "base", "size", "__weakref__")

    def __init__(self, mapping: mmap.mmap, base: int, size: int, names: dict[str, int]) -> None:
        self._mapping = mapping
        self._names = names
        self.base = base
        self.size = size

    @property
    def names(self) -> list[str]:
        """The global symbols that the object defines."""
        return list(self._names)

    def address(self, name: str) -> int:
        try:
            return self._names[name]
        except KeyError:
            raise LoaderError(f"the object defines no {name!r}") from None

    def keep_for_ever(self) -> None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._mapping))


class LinkedObject:
    """An object that LLVM's linker loaded: the fallback where objects are not ELF."""

    __slots__ = ("_jit", "_library", "_found", "__weakref__")

    def __init__(self, data: bytes, symbols: dict[str, int]) -> None:
        llvm: Any = import_module("llvmlite.binding")
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._found: dict[str, tuple[Any, int]] = {}
        builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
        for name, address in symbols.items():
            builder.import_symbol(name, address)
        try:
            self._jit = llvm.create_lljit_compiler()
            self._library = builder.link(self._jit, "object")
        except RuntimeError as error:
            raise LoaderError(str(error)) from None

    def address(self, name: str) -> int:
        if name not in self._found:
            try:
                tracker = self._jit.lookup("object", name)
                self._found[name] = (tracker, int(tracker[name]))
            except (RuntimeError, KeyError) as error:
                raise LoaderError(f"the object defines no {name!r}: {error}") from None
        return self._found[name][1]

    def keep_for_ever(self) -> None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._jit))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


def load_object(data: bytes, symbols: dict[str, int] | None = None) -> LoadedObject:
    """Map, relocate and protect an object; names it lacks come from `symbols`, then from this process and libm.

    Raises LoaderError for an object that is damaged, needs what we do not do, or names an unknown symbol.
    """
    symbols = symbols or {}
    if data[:4] != b"\x7fELF":
        if sys.platform.startswith("linux"):
            raise LoaderError("not an ELF object")
        return LinkedObject(data, symbols)
    try:
        return _Loading(data, symbols).load()
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise LoaderError(f"damaged object: {error}") from None


class _Loading:
    """The state of one load: sections, their places, symbols, stubs."""

    def __init__(self, data: bytes, symbols: dict[str, int]) -> None:
        self.data = data
        self.view = memoryview(data)
        self.externals = symbols
        self.architecture, self.sections = _read_sections(data)
        self.symbols = self._read_symbols()
        self.places: dict[int, int] = {}
        self.base = 0
        self.stubs: dict[int, int] = {}
        self.resolved: dict[int, int] = {}

    def load(self) -> MappedObject:
        relocs = self._read_relocations()
        self._check_symbols()
        read_only, total = self._place(relocs)
        try:
            mapping = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                                prot=mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError, MemoryError) as error:
            raise LoaderError(f"no {total} bytes of memory for an object: {error}") from None
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        for index, place in self.places.items():
            section = self.sections[index]
            if section.type != SHT_NOBITS:
                mapping[place:place + section.size] = self.view[section.offset:section.offset + section.size]
        for index in self.stubs:
            self._write_stub(mapping, index)
        for target, entries in relocs:
            self._relocate(mapping, target, entries)
        _protect(self.base, read_only)
        return MappedObject(mapping, self.base, total, self._defined())

    def _defined(self) -> dict[str, int]:
        return {s.name: self.base + self.places[s.section] + s.value
                for s in self.symbols if s.bind and s.name and s.section in self.places}

    def _read_symbols(self) -> list[Symbol]:
        tables = [s for s in self.sections if s.type == SHT_SYMTAB]
        if len(tables) != 1:
            raise LoaderError(f"{len(tables)} symbol tables")
        table = tables[0]
        if table.size % SYMBOL.size or not 0 < table.link < len(self.sections):
            raise LoaderError("damaged symbol table")
        strings = self.sections[table.link]
        names = self.data[strings.offset:strings.offset + strings.size]
        found: list[Symbol] = []
        for name, info, _, section, value, _size in SYMBOL.iter_unpack(_contents(self.view, table)):
            known = _string(names, name) if info >> 4 else ""  # local names are never looked up
            found.append(Symbol(known, info >> 4, info & 15, section, value))
        return found

    def _check_symbols(self) -> None:
        """Every defined symbol must lie in its section, and be of a kind that we place."""
        for symbol in self.symbols:
            index = symbol.section
            if symbol.type in (STT_TLS, STT_GNU_IFUNC) or (index >= SHN_LORESERVE and index != SHN_ABS):
                raise LoaderError(f"symbol {symbol.name!r} is of a kind that is not loaded")
            if 0 < index < SHN_LORESERVE:
                if index >= len(self.sections) or symbol.value > self.sections[index].size:
                    raise LoaderError(f"symbol {symbol.name!r} lies outside its section")

    def _read_relocations(self) -> list[tuple[int, list[tuple[int, int, int]]]]:
        """(target section, [(offset, info, addend)]) of every loaded section; also notes which symbols need stubs."""
        found: list[tuple[int, list[tuple[int, int, int]]]] = []
        needs_stub = self.architecture.needs_stub
        for section in self.sections:
            if section.type in (SHT_REL, SHT_RELR):
                raise LoaderError("relocations without addends")
            if section.type != SHT_RELA:
                continue
            if section.size % RELA.size or section.info >= len(self.sections):
                raise LoaderError("damaged relocation table")
            if not _is_loaded(self.sections[section.info]):
                continue
            entries: list[tuple[int, int, int]] = list(RELA.iter_unpack(_contents(self.view, section)))
            for _, info, _ in entries:
                if info >> 32 >= len(self.symbols):
                    raise LoaderError("a relocation names no symbol")
                kind = needs_stub.get(info & 0xFFFFFFFF)
                if kind == "got" or (kind == "call" and self.symbols[info >> 32].section == 0):
                    self.stubs[info >> 32] = 0
            found.append((section.info, entries))
        return found

    def _place(self, relocs: list[tuple[int, list[tuple[int, int, int]]]]) -> tuple[int, int]:
        """Give sections and stubs their offsets: first the read-only part; returns its size and the whole."""
        position = read_only = 0
        for writable in (False, True):
            for index, section in enumerate(self.sections):
                if not _is_loaded(section) or bool(section.flags & SHF_WRITE) != writable:
                    continue
                position = -(-position // section.alignment) * section.alignment
                self.places[index] = position
                position += section.size
                if position > LIMIT:
                    raise LoaderError("the object is too big")
            if not writable:
                position = -(-position // STUB_SIZE) * STUB_SIZE
                for index in self.stubs:
                    self.stubs[index] = position
                    position += STUB_SIZE
                position = max(-(-position // PAGE) * PAGE, PAGE)
                read_only = position
        return read_only, max(-(-position // PAGE) * PAGE, PAGE)

    def _resolve(self, index: int) -> int:
        """Address of a symbol, defined or not."""
        address = self.resolved.get(index)
        if address is None:
            address = self.resolved[index] = self._lookup(self.symbols[index])
        return address

    def _lookup(self, symbol: Symbol) -> int:
        if symbol.section == SHN_ABS:
            return symbol.value
        if symbol.section:
            place = self.places.get(symbol.section)
            if place is None:
                raise LoaderError(f"symbol {symbol.name!r} lies in a section that is not loaded")
            return self.base + place + symbol.value
        if not symbol.name:
            return 0
        address = self.externals.get(symbol.name) or process_symbol(symbol.name)
        if not address and symbol.bind != STB_WEAK:
            raise LoaderError(f"unknown symbol {symbol.name!r}")
        return address or 0

    def _write_stub(self, mapping: mmap.mmap, index: int) -> None:
        """`jmp [address]` and the address itself: the second half also serves as the symbol's GOT slot."""
        at = self.stubs[index]
        mapping[at:at + STUB_SIZE] = self.architecture.stub + struct.pack("<Q", self._resolve(index))

    def _relocate(self, mapping: mmap.mmap, target: int, entries: list[tuple[int, int, int]]) -> None:
        place, size = self.places[target], self.sections[target].size
        apply, relative, needs_stub = self.architecture.apply, self.architecture.relative, self.architecture.needs_stub
        values: dict[int, int] = {}  # by info: the symbol and the kind say it all
        base, last = self.base, size - 4
        start = base + place
        for offset, info, addend in entries:
            if offset > last:
                raise LoaderError("a relocation lies outside its section")
            value = values.get(info)
            if value is None:
                value = values[info] = self._value(info >> 32, needs_stub.get(info & 0xFFFFFFFF))
            if info & 0xFFFFFFFF in relative:
                pack_relative(mapping, place + offset, value + addend - start - offset)
            else:
                apply(mapping, place + offset, place + size, info & 0xFFFFFFFF, value + addend, base)

    def _value(self, index: int, need: str | None) -> int:
        """What a relocation adds its addend to: the symbol, its GOT slot or its stub."""
        if need == "got":
            return self.base + self.stubs[index] + 8
        if need == "call" and self.symbols[index].section == 0:
            return self.base + self.stubs[index]
        return self._resolve(index)


def _read_sections(data: bytes) -> tuple[relocations.Architecture, list[Section]]:
    """The architecture and the checked section headers of a relocatable ELF object."""
    ident, type_, machine, _, _, _, section_offset, *_, entry_size, count, name_index = HEADER.unpack_from(data)
    if ident[:6] != b"\x7fELF\x02\x01" or type_ != 1 or entry_size != SECTION.size:
        raise LoaderError("not a 64-bit little-endian relocatable object")
    architecture = MACHINES.get(machine)
    if architecture is None or architecture.name != host_architecture():
        raise LoaderError("the object is for another machine")
    if not 0 < name_index < count or section_offset + count * SECTION.size > len(data):
        raise LoaderError("the section table lies outside the object")
    raw = list(SECTION.iter_unpack(memoryview(data)[section_offset:section_offset + count * SECTION.size]))
    names = b""
    if raw[name_index][4] + raw[name_index][5] <= len(data):
        names = data[raw[name_index][4]:raw[name_index][4] + raw[name_index][5]]
    sections: list[Section] = []
    for name, kind, flags, _, offset, size, link, info, alignment, entry in raw:
        section = Section(_string(names, name), kind, flags, offset, size, link, info, max(alignment, 1), entry)
        _check_section(section, len(data))
        sections.append(section)
    return architecture, sections


def _check_section(section: Section, length: int) -> None:
    if section.type not in (0, SHT_NOBITS) and section.offset + section.size > length:
        raise LoaderError(f"section {section.name!r} lies outside the object")
    if section.flags & SHF_ALLOC:
        alignment = section.alignment
        if alignment & (alignment - 1) or alignment > PAGE or section.size > LIMIT:
            raise LoaderError(f"section {section.name!r} has an impossible size or alignment")
        if section.flags & SHF_TLS:
            raise LoaderError("thread-local data")


def _is_loaded(section: Section) -> bool:
    return bool(section.flags & SHF_ALLOC) and section.name != ".eh_frame" and section.type != 0


def _contents(view: memoryview, section: Section) -> memoryview:
    if section.type == SHT_NOBITS or section.offset + section.size > len(view):
        raise LoaderError(f"section {section.name!r} lies outside the object")
    return view[section.offset:section.offset + section.size]


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if offset > len(table) or end < 0:
        raise LoaderError("a name lies outside its string table")
    return table[offset:end].decode()


@cache
def _libraries() -> tuple[ctypes.CDLL, ...]:
    """Where externals are looked up: this process (with libc), Python's own functions, libm."""
    found: list[ctypes.CDLL] = [ctypes.pythonapi]
    for name in (None, "libm.so.6", "libm.so", "libc.so.6") if sys.platform.startswith("linux") else (None,):
        try:
            found.append(ctypes.CDLL(name))
        except (OSError, TypeError):
            continue
    return tuple(found)


@cache
def process_symbol(name: str) -> int | None:
    """Address of a function or variable of this process, libc or libm; None where there is none."""
    for library in _libraries():
        try:
            return ctypes.cast(library[name], ctypes.c_void_p).value
        except AttributeError:
            continue
    return None


@cache
def _mprotect() -> Any:
    function = ctypes.CDLL(None).mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def _protect(base: int, size: int) -> None:
    """Make the first `size` bytes readable and executable; the kernel makes the caches coherent as it does so."""
    if _mprotect()(base, size, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise LoaderError("this system does not let memory be made executable")

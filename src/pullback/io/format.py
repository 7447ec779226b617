"""The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.

Every claim of a header is checked before it is used: lengths against the file, offsets against shapes and dtypes, no
gaps, no overlaps, no name twice. https://github.com/huggingface/safetensors describes the format.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pullback.ir.dtypes import DType, dtype_of, numpy_dtype
from pullback.util.errors import DTypeError, FileFormatError, MissingFileError, message

NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "U16": "uint16",
    "U32": "uint32", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64",
}
_CODES = {name: code for code, name in NAMES.items()}
HEADER_LIMIT = 100_000_000  # the format's own
_RANK_LIMIT = 32
_META = "__metadata__"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the file, and what it is."""

    dtype: DType
    shape: tuple[int, ...]
    begin: int
    end: int


def write(file: BinaryIO, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays (C order, little endian) and metadata."""
    header: dict[str, Any] = {_META: dict(metadata)} if metadata else {}
    at = 0
    # big elements first keeps every tensor aligned to its element; the header lists them in the order given
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    places: dict[str, dict[str, Any]] = {}
    for name in order:
        array = arrays[name]
        places[name] = {"dtype": code_of(name, array), "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    header.update((name, places[name]) for name in arrays)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise FileFormatError(message("save: the header would be too long", [("bytes", str(len(text)))],
                                      f"the format allows {HEADER_LIMIT}: fewer tensors, or less metadata"))
    file.write(struct.pack("<Q", len(text)))
    file.write(text)
    for name in order:
        array = np.ascontiguousarray(arrays[name])
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        file.write(array.reshape(-1).view(np.uint8).data)


def code_of(name: str, array: Array) -> str:
    """The format's name of an array's dtype."""
    code = _CODES.get(dtype_of(array.dtype).name)
    if code is None:
        raise DTypeError(message("save: the safetensors format has no such dtype", [(name, str(array.dtype))],
                                 "store real and imaginary parts as two tensors"))
    return code


class Reader:
    """An open file whose header has been checked."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self.file = open(self.path, "rb")  # noqa: SIM115  (closed by __exit__)
        except FileNotFoundError as error:
            raise MissingFileError(message("load: there is no such file", [("path", repr(self.path))],
                                           "check the path")) from error
        except OSError as error:
            raise FileFormatError(message("load: the file cannot be read",
                                          [("path", repr(self.path)), ("reason", str(error))],
                                          "check the path and its permissions")) from error
        try:
            self.size = os.fstat(self.file.fileno()).st_size
            self.start, self.places, self.metadata = self._header()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def wrong(self, what: str, name: str, got: object, help: str = "") -> FileFormatError:
        """An error about this file."""
        return FileFormatError(message(f"load: {what}", [("file", repr(self.path)), (name, f"{got!r:.120}")],
                                       help or "the file is damaged or hostile: save it again from its source"))

    def _header(self) -> tuple[int, dict[str, Place], dict[str, str]]:
        raw = self.file.read(8)
        if len(raw) < 8:
            raise self.wrong("the file is cut: it has no header", "bytes", self.size)
        (length,) = struct.unpack("<Q", raw)
        if raw[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise self.wrong("this is a pickle or zip file, not safetensors", "first bytes", raw,
                             "such files can run code; convert it with the program that made it")
        if length > HEADER_LIMIT or length > self.size - 8:
            raise self.wrong("the header is longer than the file, or than the format allows", "header bytes", length,
                             "the file is cut, or not a safetensors file")
        return 8 + length, *self._check(self._parse(self.file.read(length)), self.size - 8 - length)

    def _parse(self, raw: bytes) -> dict[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) != len(pairs):
                raise ValueError("a name stands twice")
            return found

        try:
            header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            raise self.wrong("the header is not readable", "reason", str(error)) from error
        if not isinstance(header, dict):
            raise self.wrong("the header is not a table", "header", header)
        return header

    def _check(self, header: dict[str, Any], size: int) -> tuple[dict[str, Place], dict[str, str]]:
        metadata = header.pop(_META, {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self.wrong("metadata must be texts by name", "metadata", metadata)
        places = {name: self._place(name, row) for name, row in header.items()}
        at = 0
        for name, place in sorted(places.items(), key=lambda item: (item[1].begin, item[1].end)):
            if place.begin != at:
                raise self.wrong("tensors overlap or leave a gap", name, [place.begin, place.end])
            at = place.end
        if at != size:
            raise self.wrong("the tensors do not fill the file", "bytes wanted, there", (at, size),
                             "the file is cut, or something was appended")
        return places, metadata

    def _place(self, name: str, row: Any) -> Place:
        if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
            raise self.wrong("an entry needs dtype, shape and data_offsets", name, row)
        code, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
        if not isinstance(code, str) or code not in NAMES:
            raise self.wrong("an unknown dtype", name, code, "known are " + ", ".join(NAMES))
        if not isinstance(shape, list) or len(shape) > _RANK_LIMIT or not all(map(_is_size, shape)):
            raise self.wrong("a shape must be a list of sizes", name, shape)
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
            raise self.wrong("data_offsets must be two positions", name, offsets)
        dtype = dtype_of(NAMES[code])
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= n
        if offsets[1] - offsets[0] != nbytes:
            raise self.wrong("data_offsets do not fit dtype and shape", name, row)
        return Place(dtype, tuple(shape), offsets[0], offsets[1])

    def read(self, name: str) -> Array:
        """A tensor's array, read into memory of its own."""
        place = self.places[name]
        try:
            raw = np.empty(place.end - place.begin, np.uint8)
            array = raw.view(numpy_dtype(place.dtype)).reshape(place.shape)
        except ValueError as error:
            raise self.wrong("an impossible shape", name, place.shape) from error
        self.file.seek(self.start + place.begin)
        if self.file.readinto(raw.data) != raw.nbytes:
            raise self.wrong("the file is cut", name, place.end)
        if place.dtype.kind == "b" and raw.size and int(raw.max()) > 1:
            raise self.wrong("a truth value that is neither 0 nor 1", name, int(raw.max()))
        return array


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 47

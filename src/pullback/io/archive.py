"""PyTorch's files: a zip archive of a pickle, `data.pkl`, and of the bytes of each storage, `data/0`, `data/1`, ...

The members are stored as they are, not compressed. The pickle says of a tensor which storage it is in, and its offset,
sizes and strides there; all of that is checked against the bytes that are in the file before it is used.
https://pytorch.org/docs/stable/notes/serialization.html describes the layout.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from pullback.engine.tensor import View, from_host
from pullback.io.pickles import Call, Name, Place, wrong
from pullback.ir.dtypes import DType, dtype_of, numpy_dtype

#: the classes of storages, by the names of dtypes; tensors of other dtypes stand in storages of bytes
STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}
BYTES = Name("torch.storage.UntypedStorage")
START = b"PK\x03\x04"
#: what `zipfile` raises of damaged files
_DAMAGES = (zipfile.BadZipFile, struct.error, RuntimeError, ValueError, OverflowError, OSError, EOFError)
_ALIGNMENT = 64
_HEADER = 30  # bytes of a member's header before its name
_RANK_LIMIT = 64
#: a stride of 0 makes a tensor of more numbers than its storage has; those of a file may be this many bytes more
_EXPANDED_LIMIT = 1 << 30


class Storage:
    """The bytes of one storage, as numbers of a dtype; the tensors made from it share them."""

    def __init__(self, archive: Archive, raw: bytes, dtype: DType) -> None:
        self.archive, self.raw, self.dtype = archive, raw, dtype
        self.tensors: dict[DType, Any] = {}  # of all its numbers, by what they are read as

    def numbers(self, dtype: DType) -> Any:
        """All of the storage in one line."""
        width = dtype.itemsize
        raw = np.frombuffer(self.raw, np.uint8)[:len(self.raw) // width * width]
        if dtype.kind == "b" and raw.size and int(raw.max()) > 1:
            raise wrong("a truth value that is neither 0 nor 1", ("value", str(int(raw.max()))))
        found = raw.view(numpy_dtype(dtype))
        return found.byteswap() if self.archive.big_endian else found

    def tensor(self, offset: Any, size: Any, stride: Any, dtype: DType | None = None) -> Any:
        """The tensor at an offset, of a size, with strides, all in elements."""
        kind = dtype or self.dtype
        there = len(self.raw) // kind.itemsize
        _check(there, offset, size, stride)
        count = math.prod(size)
        order = sorted(range(len(size)), key=lambda d: -stride[d] if size[d] > 1 else 0)
        sizes = tuple(size[d] for d in order)
        if not count or not _compact(sizes, [stride[d] for d in order]):
            return self.copied(offset, size, stride, kind)
        whole = self.tensors.get(kind)
        if whole is None:
            alone = count == there and order == sorted(order)
            numbers = self.numbers(kind)
            whole = self.tensors[kind] = self.archive.made(numbers.reshape(size) if alone else numbers)
            if alone:
                return whole
        found = whole.detach().reshape(-1)[offset:offset + count].reshape(sizes)
        return found if order == sorted(order) else found.permute(tuple(map(order.index, range(len(size)))))

    def copied(self, offset: int, size: Any, stride: Any, kind: DType) -> Any:
        """A tensor whose elements do not stand one after the other: one with elements of its own."""
        self.archive.count_copied(math.prod(size) * kind.itemsize)
        steps = [s * kind.itemsize if n > 1 else 0 for n, s in zip(size, stride, strict=True)]
        if not math.prod(size):
            return self.archive.made(np.zeros(size, numpy_dtype(kind)))
        return self.archive.made(np.lib.stride_tricks.as_strided(self.numbers(kind)[offset:], size, steps))


def _check(there: int, offset: Any, size: Any, stride: Any) -> None:
    """Every element that a tensor says it has must be in its storage."""
    whole = (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _RANK_LIMIT
             and all(type(n) is int and 0 <= n < 1 << 47 for n in (offset, *size, *stride)))
    if not whole:
        raise wrong("an impossible tensor", ("offset, sizes, strides", f"{offset!r:.20}, {size!r:.40}, {stride!r:.40}"))
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else -1
    if last >= there:
        raise wrong("a tensor reaches beyond its storage",
                    ("offset, sizes, strides", f"{offset}, {size!r:.40}, {stride!r:.40}"),
                    ("elements there", str(there)))


def _compact(sizes: tuple[int, ...], strides: list[int]) -> bool:
    """Whether elements stand row by row with nothing between them."""
    step = 1
    for n, s in zip(sizes[::-1], strides[::-1], strict=True):
        if n > 1 and s != step:
            return False
        step *= n
    return True


class Archive:
    """An open file of tensors: its pickle, and its storages by their numbers."""

    def __init__(self, file: BinaryIO, kinds: Mapping[Any, DType], cls: type, place: Callable[[str], None]) -> None:
        """`kinds` are the dtypes of what stands for classes of storages, `cls` the class of tensors; `place` refuses
        devices that are not there."""
        self.kinds, self.cls, self.place = kinds, cls, place
        self.size = file.seek(0, os.SEEK_END)
        try:
            self.zip = zipfile.ZipFile(file)
        except _DAMAGES as error:
            raise wrong("the file is cut, or no zip archive", ("reason", str(error))) from error
        self.members = {info.filename: info for info in self.zip.infolist()}
        roots = [name.removesuffix("/data.pkl") for name in self.members if name.endswith("/data.pkl")]
        if len(roots) != 1 or f"{roots[0]}/constants.pkl" in self.members:
            raise wrong("this zip archive holds no tensors, or a program", ("members", f"{list(self.members)!r:.80}"),
                        help="torch.load reads what torch.save wrote: torch.save(model.state_dict(), path)")
        self.root = roots[0]
        self.big_endian = f"{self.root}/byteorder" in self.members and self.read("byteorder") == b"big"
        self.storages: dict[str, Storage] = {}
        self.copied = 0

    def read(self, name: str) -> bytes:
        """The bytes of a member."""
        info = self.members.get(f"{self.root}/{name}")
        if info is None:
            raise wrong("a part of the file is missing", ("member", f"{self.root}/{name}"))
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise wrong("a part of the file is compressed or encrypted", ("member", info.filename))
        if info.file_size > self.size:
            raise wrong("a part of the file is longer than the file", ("member", info.filename))
        try:
            found = self.zip.read(info)
        except _DAMAGES as error:
            raise wrong("the file is cut or damaged", ("member", info.filename), ("reason", str(error))) from error
        if len(found) != info.file_size:
            raise wrong("the file is cut", ("member", info.filename))
        return found

    def storage(self, key: Any) -> Storage:
        """The storage that a pickle asks for."""
        if type(key) is not tuple or len(key) != 5 or key[0] != "storage" or type(key[2]) is not str \
                or type(key[3]) is not str or type(key[4]) is not int or key[1] not in self.kinds:
            raise wrong("the pickle asks for something that is no storage", ("key", f"{key!r:.80}"))
        _, kind, name, where, count = key
        self.place(where)
        dtype = self.kinds[kind]
        if name not in self.storages:
            self.storages[name] = Storage(self, self.read(f"data/{name}"), dtype)
        found = self.storages[name]
        if found.dtype is not dtype or not 0 <= count * dtype.itemsize <= len(found.raw):
            raise wrong("a storage is shorter than the pickle says, or of two dtypes", ("storage", name),
                        ("wanted", f"{count} of {dtype.name}"), ("bytes there", str(len(found.raw))))
        return found

    def made(self, array: Any) -> Any:
        """A tensor of an array."""
        return from_host(np.array(array, order="C"), cls=self.cls)

    def count_copied(self, size: int) -> None:
        """Refuse files of a few bytes that stand for all of the memory."""
        self.copied += size
        if self.copied > self.size + _EXPANDED_LIMIT:
            raise wrong("tensors of strides 0 stand for far more numbers than the file has",
                        ("bytes", str(self.copied)), ("bytes of the file", str(self.size)),
                        help=f"at most {_EXPANDED_LIMIT} bytes more: save x.clone() of them")


class Storages:
    """The storages of tensors that are to be written: tensors that share their elements share the storage."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.known: dict[int, tuple[Any, Place]] = {}  # by the id of the tensor that owns the elements

    def described(self, tensor: Any, hooks: Any) -> Call:
        """The call that makes a tensor again."""
        owner = tensor
        while isinstance(owner._view, View) and owner._view.write_op is None:  # what detach() gave
            owner = owner._view.base
        array = np.ascontiguousarray(tensor.detach().numpy())
        dtype = dtype_of(array.dtype).name
        typed = dtype in STORAGES
        if id(owner) not in self.known:
            kind, count = (Name(f"torch.{STORAGES[dtype]}"), array.size) if typed else (BYTES, array.nbytes)
            self.known[id(owner)] = owner, Place(("storage", kind, str(len(self.arrays)), "cpu", count))
            self.arrays.append(array)
        shape = tuple(tensor.shape)
        leaf = tensor.requires_grad and tensor.is_leaf
        arguments = (self.known[id(owner)][1], 0, shape, _row_by_row(shape), leaf, hooks)
        if typed:
            return Call("torch._utils._rebuild_tensor_v2", arguments)
        return Call("torch._utils._rebuild_tensor_v3", (*arguments, Name(f"torch.{dtype}")))


def _row_by_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of elements that stand row by row."""
    return tuple(math.prod(max(n, 1) for n in shape[d + 1:]) for d in range(len(shape)))


def write(file: BinaryIO, root: str, pickled: bytes, arrays: list[Any]) -> None:
    """Write a pickle and the storages it speaks of. The bytes of each start at a multiple of 64."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        parts: list[tuple[str, Any]] = [("data.pkl", pickled), ("byteorder", b"little")]
        for k, array in enumerate(arrays):
            if array.dtype.byteorder == ">":
                array = array.astype(array.dtype.newbyteorder("<"))
            parts.append((f"data/{k}", array.reshape(-1).view(np.uint8).data))
        for name, data in (*parts, ("version", b"3\n")):
            info = zipfile.ZipInfo(f"{root}/{name}")
            start = file.tell() + _HEADER + len(info.filename.encode()) + 4
            room = -start % _ALIGNMENT
            info.extra = b"FB" + room.to_bytes(2, "little") + b"Z" * room
            archive.writestr(info, data)

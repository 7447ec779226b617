"""`torch.save` and `torch.load`: PyTorch's files of tensors. Nothing in a file is ever run.

A file whose name ends in ".safetensors" is written in that format; both formats are read, whatever the file is called.
"""

from __future__ import annotations

import io as streams
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from pullback import io, nn
from pullback.dialects.torch import instances
from pullback.dialects.torch.dtypes import SHOWN, Size, checked_device, device, dtype
from pullback.dialects.torch.instances import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from pullback.dialects.torch.tensors import Parameter, Tensor, styled, styled_tree
from pullback.engine.tensor import TensorBase
from pullback.io import archive, arrays, pickles
from pullback.io.atomic import write_atomic
from pullback.io.pickles import Call, Maker, Name
from pullback.util.errors import ArgumentError, MissingFileError, MissingFolderError, NoDeviceError, message


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: Any = None,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Write a state dict, a tensor, a module, or a tree of them, numbers and texts.

    Of a module the name of its class is written and its attributes, which must be of these kinds: no code. PyTorch does
    not read it; it reads `model.state_dict()`.
    """
    if not isinstance(f, (str, os.PathLike)):
        _write(_stream("save", f, "write"), "archive", obj)
        return
    folder, name = os.path.split(os.path.abspath(f))
    if not os.path.isdir(folder):
        raise MissingFolderError(message(f"save: parent directory {folder} does not exist", [("f", str(f))],
                                         f"os.makedirs({folder!r})"))
    root, ending = os.path.splitext(name)
    if ending == ".safetensors":
        io.save(f, obj)
    else:
        write_atomic(f, lambda file: _write(file, root, obj))


def _write(file: BinaryIO, root: str, obj: Any) -> None:
    storages = archive.Storages()
    pickled = pickles.Writer(lambda value: _described(value, storages)).write(obj)
    archive.write(file, root, pickled, storages.arrays)


def _described(value: Any, storages: archive.Storages) -> Any:
    """What stands for a value in a pickle."""
    if isinstance(value, TensorBase) and not value.is_sparse:
        if isinstance(value, nn.Parameter):
            return Call("torch._utils._rebuild_parameter", (value.detach(), value.requires_grad, OrderedDict()))
        return storages.described(value, OrderedDict())
    if isinstance(value, (np.ndarray, np.generic)):
        return arrays.described(value)
    if isinstance(value, dtype):
        return Name(repr(value))
    kind = type(value)
    if kind is OrderedDict:
        versions = getattr(value, "_metadata", None)
        return Call("collections.OrderedDict", (), None if versions is None else {"_metadata": versions})
    written = _WRITTEN.get(kind)
    return instances.described(value) if written is None else Call(written[0], written[1](value))


#: what is written as a call of its class, and with which arguments
_WRITTEN: dict[type, tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    Size: ("torch.Size", lambda size: (tuple(size),)),
    device: ("torch.device", lambda where: (where.type,) if where.index is None else (where.type, where.index)),
    bytes: ("_codecs.encode", lambda raw: (raw.decode("latin1"), "latin1")),
    bytearray: ("builtins.bytearray", lambda raw: (bytes(raw),)),
    set: ("builtins.set", lambda members: (list(members),)),
    complex: ("builtins.complex", lambda number: (number.real, number.imag)),
    Counter: ("collections.Counter", lambda counts: (dict(counts),)),
}


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Read what `save` wrote, here or in PyTorch, or any safetensors file. Nothing in the file is ever run, whatever
    `weights_only` says. All tensors come to the CPU: a function as `map_location` is not asked.

    With `weights_only=False`, whole modules too, of classes that the program has loaded.
    """
    whole = weights_only is False
    if isinstance(map_location, str) or hasattr(map_location, "type"):
        checked_device(map_location)
    if not isinstance(f, (str, os.PathLike)):
        return _read(_stream("load", f, "read"), map_location, whole)
    with _opened(f) as file:
        if file.read(len(archive.START)) == archive.START:
            return _read(file, map_location, whole)
    return styled_tree(io.load(f))


@contextmanager
def _opened(path: Any) -> Iterator[BinaryIO]:
    try:
        file = open(path, "rb")  # noqa: SIM115  (closed below)
    except FileNotFoundError as error:
        raise MissingFileError(message("load: there is no such file", [("path", repr(os.fspath(path)))],
                                       "check the path")) from error
    with file:
        yield file


def _stream(name: str, f: Any, method: str) -> Any:
    if not hasattr(f, method):
        raise ArgumentError(message(f"{name}: not a path", [("f", type(f).__name__)],
                                    f"torch.{name} takes the path of a file, or an open one"))
    if method == "read" and not (hasattr(f, "seek") and hasattr(f, "tell")):
        return streams.BytesIO(f.read())
    return f


def _read(file: BinaryIO, map_location: Any, whole: bool) -> Any:
    found = archive.Archive(file, _KINDS, Tensor, lambda where: _checked_place(where, map_location))
    made, numbers = instances.Instances(not whole), arrays.Arrays()
    names = made.names(_NAMES | numbers.names())

    def restore(target: Any, state: Any) -> bool:
        return numbers.restore(target, state) or made.restore(target, state)

    try:
        return pickles.Reader(found.read("data.pkl"), names, found.storage, restore).run()
    finally:
        found.storages.clear()  # they know the archive: together they would live until Python's collector comes


def _checked_place(where: str, map_location: Any) -> None:
    """Tensors that were saved on another device are read where `map_location` says that they come here."""
    place = map_location.get(where, where) if isinstance(map_location, dict) else where
    if map_location is not None and not isinstance(map_location, dict):
        return
    if device(place).type != "cpu":
        raise NoDeviceError(message(f"load: the file has tensors of the device {place}", [("device", place)],
                                    'torch.load(path, map_location="cpu")'))


# -- the names that a file may use ------------------------------------------------------------------------------------


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
            *rest: Any) -> Any:
    return _made(storage, offset, size, stride, None, requires_grad)


def _tensor_of(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, kind: Any,
               *rest: Any) -> Any:
    if not isinstance(kind, dtype):
        raise pickles.wrong("a tensor's dtype is no dtype", ("dtype", f"{kind!r:.60}"))
    return _made(storage, offset, size, stride, kind.base, requires_grad)


def _made(storage: Any, offset: Any, size: Any, stride: Any, kind: Any, requires_grad: Any) -> Any:
    if not isinstance(storage, archive.Storage):
        raise pickles.wrong("a tensor has no storage", ("storage", f"{storage!r:.60}"))
    found = styled(storage.tensor(offset, size, stride, kind))
    return found.requires_grad_() if requires_grad is True else found


def _parameter(data: Any, requires_grad: Any, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, TensorBase):
        raise pickles.wrong("a parameter is no tensor", ("data", f"{data!r:.60}"))
    return Parameter(data, bool(requires_grad))


def _with_class(rebuild: Any, cls: Any, arguments: Any, state: Any = None) -> Any:
    """A tensor with attributes of its own, which are left out."""
    if type(rebuild) is not Maker or type(arguments) is not tuple:
        raise pickles.wrong("the pickle calls something that is no function", ("value", f"{rebuild!r:.60}"))
    found = rebuild.make(*arguments)
    return _parameter(found, found.requires_grad) if cls is _CLASSES[1] else found


def _set(members: Any = ()) -> set[Any]:
    return set(map(pickles.checked_key, members))


def _device(kind: Any, index: Any = None) -> device:
    return device(_exactly(str, kind), index)


def _bytes(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickles.wrong("bytes are written as latin1", ("encoding", f"{encoding!r:.60}"))
    return _exactly(str, text).encode("latin1")


def _exactly(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise pickles.wrong(f"a {cls.__name__} is expected", ("value", f"{value!r:.60}"))
    return value


_PARAMETER = Maker(_parameter)
#: classes of storages and of tensors: names to be asked for, nothing to be called
_KINDS = {Name(f"torch.{name}"): SHOWN[kind].base for kind, name in archive.STORAGES.items()}
_KINDS[archive.BYTES] = SHOWN["uint8"].base
_CLASSES = (Name("torch.Tensor"), Name("torch.nn.parameter.Parameter"))
_NAMES: dict[str, Any] = {
    **{name.text: name for name in (*_KINDS, *_CLASSES)}, **{f"torch.{name}": kind for name, kind in SHOWN.items()},
    "torch._utils._rebuild_tensor": Maker(_tensor), "torch._utils._rebuild_tensor_v2": Maker(_tensor),
    "torch._utils._rebuild_tensor_v3": Maker(_tensor_of),
    "torch._utils._rebuild_parameter": _PARAMETER, "torch._utils._rebuild_parameter_with_state": _PARAMETER,
    "torch._tensor._rebuild_from_type_v2": Maker(_with_class),
    "torch.Size": Maker(lambda size: Size(_exactly(int, n) for n in size)), "torch.device": Maker(_device),
    "collections.OrderedDict": Maker(lambda: OrderedDict()),
    "collections.Counter": Maker(lambda counts: Counter(_exactly(dict, counts))),
    "builtins.set": Maker(_set), "builtins.complex": Maker(complex),
    "builtins.bytes": Maker(lambda: b""),
    "builtins.bytearray": Maker(lambda raw=b"": bytearray(_exactly(bytes, raw))),
    "_codecs.encode": Maker(_bytes),
}

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]

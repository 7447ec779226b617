"""Saving and loading trees of tensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pullback.engine.tensor import from_host
from pullback.io import format, structure
from pullback.io.atomic import write_atomic
from pullback.util.errors import ArgumentError, message

Path = str | os.PathLike[str]


def save(path: Path, tree: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Save tensors by name, or any tree of tensors, numbers and texts, as a safetensors file.

    The file is replaced atomically. `metadata` are texts by name. A dict of names to tensors gives a file that every
    safetensors reader understands; other trees add a description to the metadata.
    """
    _check_arguments(path, metadata)
    notes = dict(metadata or {})
    encoder = structure.Encoder()
    described = encoder.encode(tree)
    arrays = encoder.arrays
    if structure.is_flat(tree):
        arrays = {name: arrays[row["tensor"]] for name, row in described["dict"]}
    else:
        notes[structure.KEY] = json.dumps(described, separators=(",", ":"))
    for name, array in arrays.items():  # before anything is written
        format.code_of(name, array)
    write_atomic(path, lambda file: format.write(file, arrays, notes))


def _check_arguments(path: Any, metadata: Any) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(message("save: not a path", [("path", f"{path!r:.60}")],
                                    "save(path, tree): the path comes first"))
    for name, text in dict(metadata or {}).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ArgumentError(message("save: metadata must be texts by name", [(str(name), f"{text!r:.60}")],
                                        "convert values with str() or json.dumps"))


def load(path: Path, *, as_numpy: bool = False) -> Any:
    """Load what `save` stored, or the tensors by name of any safetensors file. Nothing in the file is ever run."""
    with format.Reader(path) as reader:
        arrays = {name: reader.read(name) for name in reader.places}
        leaves = arrays if as_numpy else {name: from_host(array) for name, array in arrays.items()}
        described = reader.metadata.get(structure.KEY)
    return leaves if described is None else structure.decode(described, leaves)


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file."""
    with format.Reader(path) as reader:
        return {name: text for name, text in reader.metadata.items() if name != structure.KEY}

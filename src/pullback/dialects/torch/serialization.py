"""`torch.save` and `torch.load`: trees of tensors, in files that hold no code (safetensors)."""

from __future__ import annotations

import os
from typing import Any

from pullback import io, nn
from pullback.dialects.torch.dtypes import checked_device
from pullback.dialects.torch.tensors import styled_tree
from pullback.util.errors import ArgumentError, MissingFolderError, message


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: Any = None,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Write a state dict, a tensor, or a tree of them, numbers and texts."""
    if isinstance(obj, nn.Module):
        raise ArgumentError(message("save: a whole module would need code in the file", [("obj", type(obj).__name__)],
                                    "torch.save(model.state_dict(), path); model.load_state_dict(torch.load(path))"))
    _checked_path("save", f)
    folder = os.path.dirname(os.path.abspath(f))
    if not os.path.isdir(folder):
        raise MissingFolderError(message(f"save: parent directory {folder} does not exist", [("f", str(f))],
                                         f"os.makedirs({folder!r})"))
    io.save(f, obj)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None) -> Any:
    """Read what `save` wrote, or any safetensors file. Nothing in the file is ever run."""
    _checked_path("load", f)
    if isinstance(map_location, str) or hasattr(map_location, "type"):
        checked_device(map_location)
    return styled_tree(io.load(f))


def _checked_path(name: str, f: Any) -> None:
    if not isinstance(f, (str, os.PathLike)):
        raise ArgumentError(message(f"{name}: not a path", [("f", type(f).__name__)],
                                    f"torch.{name} takes the path of a file"))

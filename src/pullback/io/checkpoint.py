"""Everything a training run needs to go on, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pullback.io.files import Path, load, save
from pullback.util.errors import FileFormatError, message

_KIND = "pullback.checkpoint"


def save_checkpoint(
    path: Path,
    *,
    model: Any = None,
    optimizer: Any = None,
    loader: Any = None,
    epoch: int = 0,
    step: int = 0,
    rng: bool = True,
    extra: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Save model, optimiser, loader, epoch, step, and the global generator's state (`rng`), atomically.

    `model`, `optimizer` and `loader` are anything with `state_dict()`; `extra` is any tree `save` can store.
    """
    from pullback.api.random import get_rng_state  # files of tensors alone need no random numbers

    tree: dict[str, Any] = {"kind": _KIND, "epoch": epoch, "step": step, "extra": extra,
                            "rng": get_rng_state() if rng else None}
    for name, part in (("model", model), ("optimizer", optimizer), ("loader", loader)):
        tree[name] = None if part is None else part.state_dict()
    save(path, tree, metadata)


def load_checkpoint(path: Path, *, model: Any = None, optimizer: Any = None, loader: Any = None,
                    rng: bool = True) -> dict[str, Any]:
    """Restore what is given from a checkpoint; returns its contents (`epoch`, `step`, `extra`, ...)."""
    from pullback.api.random import set_rng_state

    found = load(path)
    if not isinstance(found, dict) or found.get("kind") != _KIND:
        raise FileFormatError(message("load_checkpoint: not a checkpoint", [("file", repr(str(path)))],
                                      "files of tensors are read with pb.io.load"))
    for name, part in (("model", model), ("optimizer", optimizer), ("loader", loader)):
        if part is None:
            continue
        if found[name] is None:
            raise FileFormatError(message(f"load_checkpoint: the checkpoint has no {name}", [("file", repr(str(path)))],
                                          f"leave out {name}=, or save it: save_checkpoint(path, {name}=...)"))
        part.load_state_dict(found[name])
    if rng and found["rng"] is not None:
        set_rng_state(found["rng"])
    return found

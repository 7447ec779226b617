"""Loading state dicts: everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import thread
from pullback.nn.parameter import UninitializedTensor
from pullback.util.errors import ArgumentError, DTypeError, KeyError_, ShapeError, message


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` did not find, and what it did not use."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def nearest(name: str, names: list[str]) -> str:
    """The name most like the given one, or nothing."""
    from difflib import get_close_matches  # needed only when something is wrong

    found = get_close_matches(name, names, 1, 0.6)
    return found[0] if found else ""


def load_into(owner: str, slots: dict[str, Any], state: Any, strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy a state dict into tensors by path."""
    if not isinstance(state, Mapping):
        raise ArgumentError(message(f"Expected state_dict to be dict-like, got {type(state).__name__}",
                                    help="load the file first, for example pb.io.load(path)"))
    missing = [k for k in slots if k not in state]
    unexpected = [k for k in state if k not in slots]
    if strict and (missing or unexpected):
        raise KeyError_(_keys_text(owner, slots, missing, unexpected))
    chosen: list[tuple[Any, Any]] = []
    for name, tensor in slots.items():
        if name in state:
            chosen.append((tensor, _fitting(owner, name, tensor, state[name], assign)))
    here = thread.context
    before = here.grad_enabled
    here.grad_enabled = False
    try:
        for tensor, value in chosen:
            if value is not None:
                tensor.assign_value(value)
    finally:
        here.grad_enabled = before
    return IncompatibleKeys(missing, unexpected)


def _fitting(owner: str, name: str, tensor: Any, given: Any, assign: bool) -> Any:
    """The value to load, with the dtype of the tensor it goes to."""
    if not isinstance(given, TensorBase) and not hasattr(given, "__array__"):
        raise ArgumentError(message(f"load_state_dict for {owner}: {name} is not a tensor",
                                    [(name, type(given).__name__)], "values must be tensors or NumPy arrays"))
    source = given if isinstance(given, TensorBase) else from_host(given)
    unknown = isinstance(tensor, UninitializedTensor)
    if unknown and isinstance(source, UninitializedTensor):
        return None
    if not unknown and source.shape != tensor.shape:
        raise ShapeError(message(
            f"load_state_dict for {owner}: size mismatch for {name}",
            [("checkpoint", repr(source.info.type)), ("module", repr(tensor.info.type))],
            "build the module with the sizes of the checkpoint, or leave this key out and pass strict=False"))
    kind, target = source.dtype.kind, tensor.dtype.kind
    if "bifc".index(kind.replace("u", "i")) > "bifc".index(target.replace("u", "i")):
        raise DTypeError(message(
            f"load_state_dict for {owner}: dtype mismatch for {name}",
            [("checkpoint", repr(source.info.type)), ("module", repr(tensor.info.type))],
            f"convert it first: state[{name!r}] = state[{name!r}].to({tensor.dtype.name!r})"))
    if assign or source.dtype is tensor.dtype:
        return source._peek()
    return from_host(source, tensor.dtype)._peek()


def _keys_text(owner: str, slots: dict[str, Any], missing: list[str], unexpected: list[str]) -> str:
    got: list[tuple[str, str]] = []
    if missing:
        got.append(("missing", _listed(missing)))
    if unexpected:
        got.append(("unexpected", _listed(unexpected)))
    return message(f"load_state_dict for {owner}: the keys do not match", got, _cure(slots, missing, unexpected))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _cure(slots: dict[str, Any], missing: list[str], unexpected: list[str]) -> str:
    for name in unexpected:
        head, _, rest = name.partition(".")
        if rest in slots:
            prefix = f"{head}."
            return f"the keys have a prefix: strip it, {{k.removeprefix({prefix!r}): v for k, v in state.items()}}"
    for name in unexpected:
        close = nearest(name, missing)
        if close:
            return f"did you mean {close!r} by {name!r}? strict=False loads what fits"
    return "build the module as it was when saved, or pass strict=False to load what fits"

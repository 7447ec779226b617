"""Loading state dicts: everything is checked before anything is changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import thread
from pullback.nn.parameter import UninitializedTensor
from pullback.util.errors import ArgumentError, DTypeError, KeyError_, PullbackError, ShapeError, message

#: the last part of the key of what `get_extra_state` gives
EXTRA_STATE = "_extra_state"


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


def new_state() -> Any:
    """An empty state dict, with the attribute in which each module leaves its version, by path."""
    found: Any = OrderedDict()
    found._metadata = OrderedDict()
    return found


def metadata_of(state: Any) -> Any:
    """What modules have said of themselves in a state dict; None in a dict that is none of `state_dict()`."""
    return getattr(state, "_metadata", None)


class Findings(list[str]):
    """What was found while a state dict was looked at: messages of what does not fit, and what to do if all does."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner
        self.slots: list[str] = []
        self.errors: list[PullbackError] = []
        self.values: list[tuple[Any, Any]] = []
        self.later: list[Callable[[], Any]] = []

    def load(self) -> None:
        """Give the tensors their values, then do the rest."""
        here = thread.context
        before = here.grad_enabled
        here.grad_enabled = False
        try:
            for tensor, value in self.values:
                tensor.assign_value(value)
        finally:
            here.grad_enabled = before
        for action in self.later:
            action()


def take(module: Any, restore: Callable[[Any], Any] | None, state: Any, prefix: str, metadata: dict[str, Any],
         strict: bool, missing: list[str], unexpected: list[str], messages: list[str]) -> None:
    """Find what one module, without those below it, takes from a state dict, and its extra state, where it can
    `restore` one. All modules are loaded together, at the end."""
    found = messages if isinstance(messages, Findings) else Findings(type(module).__name__)
    own = module._own_state()
    for name, tensor in own.items():
        key = prefix + name
        found.slots.append(key)
        if key not in state:
            missing.append(key)
            continue
        try:
            value = _fitting(found.owner, key, tensor, state[key], bool(metadata.get("assign_to_params_buffers")))
        except PullbackError as error:
            messages.append(str(error))
            found.errors.append(error)
            continue
        if value is not None:
            found.values.append((tensor, value))
    extra = prefix + EXTRA_STATE
    if extra not in state and restore is not None:
        missing.append(extra)
    elif extra in state and restore is not None:
        found.later.append(partial(restore, state[extra]))
    elif extra in state:
        unexpected.append(extra)
    if strict:
        unexpected += [key for key in state if key.startswith(prefix) and key != extra
                       and _unknown(key[len(prefix):], own, module)]
    if found is not messages and not messages:  # called by itself
        found.load()


def _unknown(name: str, own: dict[str, Any], module: Any) -> bool:
    head, dot, _ = name.partition(".")
    return head not in (module._modules if dot else own)


def load_into(owner: Any, state: Any, strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy a state dict into the tensors of a module, by path."""
    name = type(owner).__name__
    if not isinstance(state, Mapping):
        raise ArgumentError(message(f"Expected state_dict to be dict-like, got {type(state).__name__}",
                                    help="load the file first, for example pb.io.load(path)"))
    metadata = metadata_of(state) or {}
    keys, found = IncompatibleKeys([], []), Findings(name)
    hooks = _look(owner, dict(state), "", ({"assign_to_params_buffers": True} if assign else {}, metadata), keys, found)
    if found or (strict and not hooks):
        _check(found, keys, strict)
    found.load()
    for hook in hooks:
        hook(keys)
    _check(found, keys, strict)
    return keys


def _look(module: Any, part: dict[str, Any], prefix: str, metadata: tuple[dict[str, Any], dict[str, Any]],
          keys: IncompatibleKeys, found: Findings) -> list[Callable[[Any], Any]]:
    """Find what a module and those below it take; `metadata` of all, and by path. Returns what is called afterwards.

    (No function inside another: one that calls itself lives until Python's collector comes, with all the tensors.)
    """
    every, by_path = metadata
    module._load_from_state_dict(part, prefix, {**by_path.get(prefix[:-1], {}), **every}, True, *keys, found)
    hooks: list[Callable[[Any], Any]] = []
    for inner, child in module._modules.items():
        if child is not None:
            path = f"{prefix}{inner}."
            below = {k: v for k, v in part.items() if k.startswith(path)}
            hooks += _look(child, below, path, metadata, keys, found)
    return hooks + [partial(hook, module) for hook in module._those("_load_post_hooks")]


def _check(found: Findings, keys: IncompatibleKeys, strict: bool) -> None:
    """Say everything that does not fit."""
    texts = list(found)
    if strict and (keys.missing_keys or keys.unexpected_keys):
        raise KeyError_("\n".join([_keys_text(found.owner, found.slots, *keys), *texts]))
    if len(texts) == 1 and found.errors:
        raise found.errors[0]
    if texts:
        raise (type(found.errors[0]) if found.errors else KeyError_)("\n".join(texts))


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


def _keys_text(owner: str, slots: list[str], missing: list[str], unexpected: list[str]) -> str:
    got: list[tuple[str, str]] = []
    if missing:
        got.append(("missing", _listed(missing)))
    if unexpected:
        got.append(("unexpected", _listed(unexpected)))
    return message(f"load_state_dict for {owner}: the keys do not match", got, _cure(slots, missing, unexpected))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _cure(slots: list[str], missing: list[str], unexpected: list[str]) -> str:
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

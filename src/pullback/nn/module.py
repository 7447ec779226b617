"""Modules: trees of parameters, buffers and submodules with a `forward`.

Parameters, buffers and submodules stand in three ordered registries and, for speed, in the instance's `__dict__` as
well; `__setattr__` and `__delattr__` keep them together. A module is also a pytree: its leaves are its parameters and
its floating-point buffers, so that `pb.grad(loss)(model, x, y)` gives a module of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Self

import numpy as np

from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import thread
from pullback.ir.dtypes import DType, bfloat16, dtype_of, float16, float32, float64, numpy_dtype
from pullback.nn.hooks import Handle as Handle
from pullback.nn.hooks import Hooked
from pullback.nn.parameter import Buffer, Parameter
from pullback.nn.state import EXTRA_STATE, IncompatibleKeys, load_into, metadata_of, nearest, new_state, take
from pullback.util import tree
from pullback.util.errors import (
    ArgumentError,
    AttributeError_,
    DeviceError,
    DTypeError,
    KeyError_,
    NotDefinedError,
    ValueError_,
    message,
)

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Skeleton(tree.Rest):
    """What a module is apart from its leaves: the hashable rest of its pytree. Buffers that are not floating (counters,
    places, masks) belong to it: modules that do not share them have different structures."""

    __slots__ = ("buffers", "cls", "counters", "modules", "parameters", "static", "volatile")

    def __init__(self, module: Module) -> None:
        self.cls = type(module)
        self.parameters = tuple(k for k, p in module._parameters.items() if p is not None)
        self.buffers = tuple(k for k, b in module._buffers.items() if _floating(b))
        self.counters = {k: b for k, b in module._buffers.items() if not _floating(b)}
        self.modules = tuple(k for k, m in module._modules.items() if m is not None)
        known = {*_REGISTRIES, "_skeleton", *self.parameters, *module._buffers, *self.modules}
        self.static = {k: v for k, v in module.__dict__.items() if k not in known}
        self.volatile = frozenset(module._volatile)

    def __hash__(self) -> int:
        return hash((self.cls, self.parameters, self.buffers, self.modules, *map(id, self.counters.values())))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Skeleton) and self.fits(other) and all(
            b is other.counters[k] for k, b in self.counters.items())

    def holds(self) -> bool:
        return any(b is not None for b in self.counters.values())

    def fits(self, other: object) -> bool:
        if not isinstance(other, Skeleton) or self.cls is not other.cls or self.static.keys() != other.static.keys():
            return False
        names = all(mine == others for mine, others in (
            (self.parameters, other.parameters), (self.buffers, other.buffers), (self.modules, other.modules),
            (self.counters.keys(), other.counters.keys())))
        return names and all(v is other.static[k] or _equal(v, other.static[k]) for k, v in self.static.items())

    def build(self, children: Iterable[Any]) -> Module:
        """A module with other tensors in the same places."""
        module = self.cls.__new__(self.cls)
        fields = module.__dict__
        fields.update(self.static)
        stream = iter(children)
        for registry, names in zip(_REGISTRIES, (self.parameters, self.buffers, self.modules), strict=True):
            for name in names:
                fields[registry][name] = fields[name] = next(stream)
        fields["_buffers"].update(self.counters)
        fields.update(self.counters)
        module._volatile = set(self.volatile)
        fields["_skeleton"] = self
        return module


def _floating(buffer: Any) -> bool:
    return isinstance(buffer, TensorBase) and buffer.info.type.dtype.is_inexact


def _equal(x: Any, y: Any) -> bool:
    return type(x) is type(y) and bool(x == y)


class Module(Hooked):
    """Base class of layers and models.

    >>> import pullback as pb
    >>> class Net(pb.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = pb.nn.Linear(3, 1)
    ...     def forward(self, x):
    ...         return self.layer(x)
    >>> Net()(pb.ones((5, 3))).shape
    (5, 1)
    """

    training: bool = True
    _version: ClassVar[int] = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _volatile: set[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.__dict__.update(_parameters={}, _buffers={}, _modules={}, _volatile=set(), training=True)
        return self

    def __init__(self) -> None:
        self.__dict__["_begun"] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        tree.register_pytree_node(cls, _split, _join)

    # -- calling -----------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it."""
        raise NotDefinedError(message(f"{type(self).__name__} has no forward()",
                                      help="define forward(self, ...) in the class"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return self._call_hooked(args, kwargs)
        return self.forward(*args, **kwargs)

    # -- attributes --------------------------------------------------------------------------------------------------
    def kin(self, cls: Any) -> Any:
        """A class of layers as this layer knows it: a dialect's layers have layers of the dialect."""
        return cls

    def child(self, cls: Any, *args: Any, **options: Any) -> Any:
        """A layer within a layer."""
        return self.kin(cls)(*args, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        fields.pop("_skeleton", None)
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            fields["_parameters"][name] = fields[name] = value
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            fields["_modules"][name] = fields[name] = value
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            fields.pop(name, None)
            self.register_buffer(name, value.data, value.persistent)
        elif name in fields["_parameters"]:
            self._replace("_parameters", name, value, "Parameter")
        elif name in fields["_modules"]:
            self._replace("_modules", name, value, "Module")
        elif name in fields["_buffers"]:
            if value is not None and not isinstance(value, TensorBase):
                raise ArgumentError(message(f"cannot assign {type(value).__name__} as buffer {name!r}",
                                            help="assign a tensor or None"))
            fields["_buffers"][name] = fields[name] = value
        else:
            object.__setattr__(self, name, value)

    def _replace(self, registry: str, name: str, value: Any, kind: str) -> None:
        if value is not None:
            raise ArgumentError(message(f"cannot assign {type(value).__name__} as {kind.lower()} {name!r}",
                                        [("value", f"{value!r:.60}")],
                                        f"assign an nn.{kind} or None, or delete it first"))
        self.__dict__[registry][name] = self.__dict__[name] = None

    def _forget(self, name: str, but: str) -> None:
        """Take a name out of the other registries."""
        for registry in _REGISTRIES:
            if registry != but:
                self.__dict__[registry].pop(name, None)

    def __delattr__(self, name: str) -> None:
        self.__dict__.pop("_skeleton", None)
        self._forget(name, "")
        self._volatile.discard(name)
        object.__delattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        close = nearest(name, [k for k in dir(self) if not k.startswith("_")])
        raise AttributeError_(message(f"'{type(self).__name__}' object has no attribute '{name}'",
                                      help=f"did you mean {close!r}?" if close else ""))

    def _check_name(self, name: Any, what: str) -> None:
        if not isinstance(name, str):
            raise ArgumentError(message(f"{what} name should be a string", [("name", repr(name))]))
        if "." in name or not name:
            raise KeyError_(message(f"{what} name can't contain \".\" or be empty", [("name", repr(name))]))
        registered = any(name in self.__dict__[r] for r in _REGISTRIES)
        if not registered and (name in self.__dict__ or hasattr(type(self), name)):
            raise KeyError_(message(f"attribute '{name}' already exists", [("module", type(self).__name__)],
                                    "choose another name"))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (None: a place for one)."""
        self._check_name(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentError(message(f"cannot assign {type(param).__name__} as parameter {name!r}",
                                        help="wrap it: nn.Parameter(tensor)"))
        self.__dict__.pop("_skeleton", None)
        self._forget(name, "_parameters")
        self._parameters[name] = self.__dict__[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but no parameter; `persistent=False` leaves it out of `state_dict`."""
        self._check_name(name, "buffer")
        if tensor is not None and not isinstance(tensor, TensorBase):
            raise ArgumentError(message(f"cannot assign {type(tensor).__name__} as buffer {name!r}",
                                        help="pass a tensor or None"))
        self.__dict__.pop("_skeleton", None)
        self._forget(name, "_buffers")
        self._buffers[name] = self.__dict__[name] = tensor
        (self._volatile.discard if persistent else self._volatile.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule."""
        self._check_name(name, "module")
        if module is not None and not isinstance(module, Module):
            raise ArgumentError(message(f"{type(module).__name__} is not a Module subclass", [("name", name)]))
        self.__dict__.pop("_skeleton", None)
        self._forget(name, "_modules")
        self._modules[name] = self.__dict__[name] = module

    add_module = register_module

    # -- walking -----------------------------------------------------------------------------------------------------
    def named_modules(self, memo: set[Any] | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their paths."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules, with their names."""
        seen: set[Any] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        for _, module in self.named_children():
            yield module

    def _named(self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        found = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in found:
            for name, tensor in module.__dict__[registry].items():
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """All parameters with their paths."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """All parameters."""
        for _, parameter in self.named_parameters("", recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """All buffers with their paths."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """All buffers."""
        for _, buffer in self.named_buffers("", recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The submodule at a path such as "encoder.0"."""
        module: Any = self
        for name in target.split(".") if target else ():
            inner = module._modules.get(name)
            if inner is None:
                close = nearest(name, list(module._modules))
                raise AttributeError_(message(f"{type(module).__name__} has no submodule {name!r}", [("path", target)],
                                              f"did you mean {close!r}?" if close else ""))
            module = inner
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as "encoder.0"; `strict`: only where there is one."""
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError_(message("set_submodule: the path is empty", [("target", repr(target))], '"encoder.0"'))
        if not isinstance(module, Module):
            raise ValueError_(message("set_submodule: not a module", [("module", type(module).__name__)]))
        owner = self.get_submodule(path)
        if strict and name not in owner._modules:
            raise AttributeError_(message(f"{type(owner).__name__} has no submodule {name!r}", [("path", target)]))
        setattr(owner, name, module)

    def _get(self, registry: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module.__dict__[registry].get(name)
        if found is None:
            raise AttributeError_(message(f"{type(module).__name__} has no {registry[1:-1]} {name!r}",
                                          [("path", target)]))
        return found

    def get_parameter(self, target: str) -> Any:
        """The parameter at a path such as "encoder.0.weight"."""
        return self._get("_parameters", target)

    def get_buffer(self, target: str) -> Any:
        """The buffer at a path."""
        return self._get("_buffers", target)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every submodule, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- modes -------------------------------------------------------------------------------------------------------
    def train(self, mode: bool = True) -> Self:
        """Set training mode for this module and all below it."""
        if not isinstance(mode, bool):
            raise ArgumentError(message("training mode is expected to be boolean", [("mode", repr(mode))]))
        for module in self.modules():
            module.__dict__["training"] = mode
            module.__dict__.pop("_skeleton", None)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: dropout off, batch normalisation by running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say of all parameters whether they require gradients."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for p in self.parameters():
            if p.grad is not None:
                p.grad = None if set_to_none else from_host(np.zeros(p.shape, numpy_dtype(p.dtype)), p.dtype)

    # -- dtypes and devices ------------------------------------------------------------------------------------------
    def _apply(self, fn: Callable[[Any], Any]) -> Self:
        """Replace the values of all tensors."""
        here = thread.context
        before = here.grad_enabled
        here.grad_enabled = False
        try:
            for module in self.modules():
                module.__dict__.pop("_skeleton", None)
                for tensor in [*module._parameters.values(), *module._buffers.values()]:
                    if tensor is None:
                        continue
                    new = fn(tensor)
                    if new is not tensor:
                        tensor.assign_value(new._peek())
                    if tensor.grad is not None:
                        tensor.grad = fn(tensor.grad)
        finally:
            here.grad_enabled = before
        return self

    def _cast(self, dtype: DType) -> Self:
        def cast(x: Any) -> Any:
            return x.to(dtype) if x.dtype.is_inexact and x.dtype is not dtype else x

        return self._apply(cast)

    def to(self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False) -> Self:
        """Convert floating-point parameters and buffers to a dtype. The only device is "cpu"."""
        for a in args:
            if isinstance(a, TensorBase):
                dtype = a.dtype
            elif isinstance(a, str) and a.split(":")[0] in ("cpu", "cuda", "mps", "gpu", "tpu", "xpu"):
                device = a
            elif not isinstance(a, bool) and a is not None:
                dtype = a
        if device is not None and str(device).split(":")[0] != "cpu":
            raise DeviceError(message(f"Module.to: there is no device {device!s}", help='the only device is "cpu"'))
        if dtype is None:
            return self
        wanted = dtype_of(dtype)
        if not wanted.is_inexact:
            raise DTypeError(message("Module.to only accepts floating point or complex dtypes",
                                     [("dtype", wanted.name)]))
        return self._cast(wanted)

    def float(self) -> Self:
        """Convert to float32."""
        return self._cast(float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self._cast(float64)

    def half(self) -> Self:
        """Convert to float16."""
        return self._cast(float16)

    def bfloat16(self) -> Self:
        """Convert to bfloat16."""
        return self._cast(bfloat16)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """The module itself: its tensors have memory already."""
        return self.to(device=device)

    def cpu(self) -> Self:
        """Nothing to do: all tensors are on the CPU."""
        return self

    def type(self, dst_type: Any) -> Self:
        """Convert to a dtype."""
        return self.to(dst_type)

    # -- state -------------------------------------------------------------------------------------------------------
    def get_extra_state(self) -> Any:
        """What the state dict holds of this module besides tensors, under "_extra_state"; subclasses define it."""
        raise NotDefinedError(message(f"{type(self).__name__} has no get_extra_state()"))

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave; subclasses define it."""
        raise NotDefinedError(message(f"{type(self).__name__} has no set_extra_state()"))

    def _own_state(self) -> dict[str, Any]:
        """Parameters and persistent buffers of this module alone."""
        return {name: tensor for name, tensor in (*self._parameters.items(), *self._buffers.items())
                if tensor is not None and name not in self._volatile}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put what this module alone has into a state dict."""
        for name, tensor in self._own_state().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by path; the tensors share storage with the module's."""
        found = new_state() if destination is None else destination
        local = {"version": self._version}
        metadata = metadata_of(found)
        if metadata is not None:
            metadata[prefix[:-1]] = local
        for hook in self._those("_state_dict_pre_hooks"):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._those("_state_dict_hooks"):
            changed = hook(self, found, prefix, local)
            found = found if changed is None else changed
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Find what this module alone takes from a state dict."""
        for hook in self._those("_load_pre_hooks"):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        restore = self.set_extra_state if type(self).set_extra_state is not Module.set_extra_state else None
        take(self, restore, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy tensors or arrays into parameters and buffers by path, cast to their dtypes.

        With `strict` every path must be there and no other. Nothing is changed when there is an error. `assign` takes
        over the dtypes of what is loaded.
        """
        return load_into(self, state_dict, strict, assign)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_skeleton"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # -- text --------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands in the brackets of `repr`."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__})


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _split(module: Module) -> tuple[list[Any], Skeleton]:
    fields = module.__dict__
    skeleton = fields.get("_skeleton")
    if skeleton is None:
        skeleton = fields["_skeleton"] = Skeleton(module)
    return [fields[k] for k in (*skeleton.parameters, *skeleton.buffers, *skeleton.modules)], skeleton


def _join(skeleton: Skeleton, children: tuple[Any, ...]) -> Module:
    return skeleton.build(children)


tree.register_pytree_node(Module, _split, _join)


def functional_call(module: Module, parameter_and_buffer_dicts: Any, args: Any = (),
                    kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """Call a module with other tensors in place of its parameters and buffers.

    The dict (or a sequence of dicts) maps paths as in `state_dict()` to tensors; the module is left as it was.
    """
    given: dict[str, Any] = {}
    dicts = parameter_and_buffer_dicts
    for part in [dicts] if isinstance(dicts, dict) else dicts:
        given.update(part)
    places = _places(module)
    for name in given:
        if name not in places:
            close = nearest(name, list(places))
            raise KeyError_(message(f"functional_call: no parameter or buffer {name!r} in {type(module).__name__}",
                                    help=f"did you mean {close!r}?" if close else ""))
    if strict and len(given) < len(places):
        raise KeyError_(message("functional_call: tensors are missing",
                                [("missing", ", ".join(sorted(set(places) - set(given))))],
                                "pass all, or strict=False"))
    new = {id(places[name][2]): tensor for name, tensor in given.items()}
    changed: list[tuple[Module, str, str, Any]] = []
    for name, (owner, registry, old) in places.items():
        tensor = given.get(name, new.get(id(old)) if tie_weights else None)
        if tensor is not None:
            changed.append((owner, registry, name.rpartition(".")[2], old))
            tensor = tensor if isinstance(tensor, TensorBase) else from_host(tensor)
            _put(owner, registry, changed[-1][2], tensor)
    try:
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for owner, registry, name, old in changed:
            _put(owner, registry, name, old)


def _put(owner: Module, registry: str, name: str, tensor: Any) -> None:
    owner.__dict__[registry][name] = owner.__dict__[name] = tensor
    owner.__dict__.pop("_skeleton", None)


def _places(module: Module) -> dict[str, tuple[Module, str, Any]]:
    found: dict[str, tuple[Module, str, Any]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for registry in ("_parameters", "_buffers"):
            for name, tensor in owner.__dict__[registry].items():
                if tensor is not None:
                    found[f"{path}.{name}" if path else name] = (owner, registry, tensor)
    return found

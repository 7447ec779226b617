"""Modules that hold modules or parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pullback.engine.tensor import TensorBase
from pullback.nn.module import Module
from pullback.nn.parameter import Parameter
from pullback.util.errors import ArgumentError, IndexError_, KeyError_, ValueError_, message


def _position(index: Any, count: int, owner: Module) -> int:
    if not hasattr(index, "__index__"):
        raise ArgumentError(message(f"{type(owner).__name__}: an index must be an integer or a slice",
                                    [("index", repr(index))]))
    k = index.__index__()
    if not -count <= k < count:
        raise IndexError_(message(f"index {k} is out of range", [("modules", str(count))]))
    return k % count


class _Numbered(Module):
    """Modules under the names "0", "1", ..."""

    def _all(self) -> list[Any]:
        return list(self._modules.values())

    def _renumber(self, modules: list[Any]) -> None:
        for name in self._modules:
            self.__dict__.pop(name, None)
        self._modules.clear()
        for k, module in enumerate(modules):
            self.register_module(str(k), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._all()[_position(index, len(self), self)]

    def _of(self, items: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: Any, module: Module) -> None:
        name = list(self._modules)[_position(index, len(self), self)]
        setattr(self, name, module)

    def __delitem__(self, index: Any) -> None:
        modules = self._all()
        del modules[index if isinstance(index, slice) else _position(index, len(self), self)]
        self._renumber(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before a position."""
        modules = self._all()
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a module out."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules called one after the other: `Sequential(a, b)` or `Sequential(OrderedDict(first=a, second=b))`.

    >>> import pullback as pb
    >>> pb.nn.Sequential(pb.nn.Linear(2, 3), pb.nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, module)
            return
        for k, module in enumerate(args):
            self.register_module(str(k), module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def _of(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(OrderedDict(items))

    def __add__(self, other: Any) -> Any:
        """The modules of both, one after the other."""
        return self._of([(str(k), module) for k, module in enumerate([*self, *self._others(other)])])

    def __iadd__(self, other: Any) -> Self:
        return self.extend(self._others(other))

    def _others(self, other: Any) -> list[Any]:
        if not isinstance(other, Sequential):
            raise ArgumentError(message("Sequential: only another Sequential can be added",
                                        [("given", type(other).__name__)], "append(module), or extend(modules)"))
        return list(other)

    def __mul__(self, times: int) -> Any:
        """The modules, the same ones, so many times."""
        return self._of([(str(k), module) for k, module in enumerate(list(self) * self._times(times))])

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (self._times(times) - 1))

    def _times(self, times: Any) -> int:
        if type(times) is not int:
            raise ArgumentError(message("Sequential: can be multiplied by an integer", [("given", repr(times))]))
        if times < 1:
            raise ValueError_(message("Sequential: must be multiplied by 1 or more", [("given", repr(times))]))
        return times


class DataParallel(Module):
    """A module, as `module`, on the devices there are: one."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.dim, self.module, self.device_ids = dim, module, []

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)


class ModuleList(_Numbered):
    """A list of modules."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _of(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    __iadd__ = _Numbered.extend

    def __repr__(self) -> str:
        """Equal neighbours stand on one line: `(0-2): 3 x Linear(...)`."""
        texts = [repr(module) for module in self]
        starts = [k for k in range(len(texts)) if k == 0 or texts[k] != texts[k - 1]]
        if not starts:
            return f"{self._get_name()}()"
        lines: list[str] = []
        for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
            label = f"({start})" if end == start + 1 else f"({start}-{end - 1})"
            times = "" if end == start + 1 else f"{end - start} x "
            lines.append(f"{label}: {times}{texts[start]}".replace("\n", "\n  "))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """Modules by name."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or pairs."""
        for name, module in modules.items() if isinstance(modules, Mapping | ModuleDict) else modules:
            self[name] = module

    def __getitem__(self, name: str) -> Any:
        if name not in self._modules:
            raise KeyError_(message(f"ModuleDict: no module {name!r}", [("names", ", ".join(self._modules) or "none")]))
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, name: str) -> Any:
        """Take a module out."""
        module = self[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for name in list(self._modules):
            delattr(self, name)


def _as_parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


class ParameterList(Module):
    """A list of parameters; tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return list(self)[_position(index, len(self), self)]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(index, len(self), self)), _as_parameter(value))

    def extra_repr(self) -> str:
        return "\n".join(f"({k}): Parameter containing: {p.info.type!r}" for k, p in self._parameters.items())


class ParameterDict(Module):
    """Parameters by name; tensors become parameters, and other objects stay what they are."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}  # all names in order, those of other objects too
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, name: str) -> Any:
        if name not in self._keys:
            raise KeyError_(message(f"ParameterDict: no parameter {name!r}",
                                    [("names", ", ".join(self._keys) or "none")]))
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._keys and name not in self._parameters and name not in self._modules:
            del self.__dict__[name]  # an object under this name makes room
        if isinstance(value, TensorBase):
            self.register_parameter(name, _as_parameter(value))
        else:
            self._check_name(name, "parameter")
            setattr(self, name, value)
        self._keys[name] = None

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return [self[name] for name in self._keys]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and parameters."""
        return [(name, self[name]) for name in self._keys]

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter, or the default where there is none of this name."""
        return self[name] if name in self._keys else default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The parameter, which is the default where there was none of this name."""
        if name not in self._keys:
            self[name] = default
        return self[name]

    def update(self, parameters: Any) -> None:
        """Add parameters from a mapping or pairs; those of a plain dict in the order of their names, as in PyTorch."""
        if not isinstance(parameters, Iterable):
            raise ArgumentError(message("ParameterDict.update: needs a mapping or pairs",
                                        [("given", type(parameters).__name__)], '{"name": tensor}'))
        pairs: Iterable[Any] = parameters.items() if isinstance(parameters, Mapping | ParameterDict) else parameters
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs = sorted(pairs, key=lambda pair: pair[0])
        for name, value in pairs:
            self[name] = value

    def pop(self, name: str) -> Any:
        """Take a parameter out."""
        value = self[name]
        del self._keys[name]
        delattr(self, name)
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last parameter out: its name and itself."""
        if not self._keys:
            raise KeyError_(message("ParameterDict.popitem: there are no parameters"))
        name = next(reversed(self._keys))
        return name, self.pop(name)

    def clear(self) -> None:
        """Take all parameters out."""
        for name in list(self._keys):
            self.pop(name)

    def copy(self) -> Any:
        """Another dict of the same parameters."""
        return type(self)(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> Any:
        """A dict with one value under all names."""
        return type(self)([(key, default) for key in keys])

    def __or__(self, other: Any) -> Any:
        found = self.copy()
        found.update(other)
        return found

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({k}): Parameter containing: {p.info.type!r}" if isinstance(p, Parameter)
                         else f"({k}): Object of type: {type(p).__name__}" for k, p in self.items())

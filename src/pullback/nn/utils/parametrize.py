"""Parameters that are functions of others.

`register_parametrization(layer, "weight", module)` makes `layer.weight` what `module` computes of the original: that is
then the parameter `layer.parametrizations.weight.original`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from pullback.engine.control import no_grad
from pullback.engine.tensor import TensorBase
from pullback.nn.containers import ModuleDict, ModuleList
from pullback.nn.module import Module
from pullback.nn.parameter import Parameter
from pullback.util.errors import ArgumentError, KeyError_, NoInverseError, ShapeError, ValueError_, message


class ParametrizationList(ModuleList):
    """The originals of one parameter, and what is computed of them, in order."""

    def __init__(self, modules: Any, originals: Any, single: bool) -> None:
        super().__init__(modules)
        self.is_tensor, self.ntensors = single, len(originals)
        for k, x in enumerate(originals):
            name = "original" if single else f"original{k}"
            if isinstance(x, Parameter):
                self.register_parameter(name, x)
            else:
                self.register_buffer(name, x)

    def forward(self) -> Any:
        first, *rest = list(self)
        x = first(*self._originals())
        for module in rest:
            x = module(x)
        return x


    def right_inverse(self, value: Any) -> None:
        """Give the originals the values of which the present value is this one."""
        with no_grad():
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise NoInverseError(message(f"parametrization {type(module).__name__} does not implement "
                                                 "right_inverse", [("value", _described(value))],
                                                 "give it right_inverse(value), or assign to the original"))
                value = inverse(value)
            parts: list[Any] = [value] if self.is_tensor else list(value)
            if len(parts) != self.ntensors:
                raise ValueError_(message(f"'right_inverse' must return {self.ntensors} tensors",
                                          [("returned", str(len(parts)))]))
            for original, part in zip(self._originals(), parts, strict=True):
                self._put(original, part)

    def _originals(self) -> list[Any]:
        names = ["original"] if self.is_tensor else [f"original{k}" for k in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def _put(self, original: Any, value: Any) -> None:
        if not isinstance(value, TensorBase) or value.dtype != original.dtype:
            raise ValueError_(message("`right_inverse` returned another dtype than the original's",
                                      [("returned", _described(value)), ("original", _described(original))],
                                      "convert what is assigned"))
        if tuple(value.shape) != tuple(original.shape):
            raise ShapeError(message("`right_inverse` returned another shape than the original's",
                                     [("returned", _described(value)), ("original", _described(original))]))
        original.copy_(value)


def _described(value: Any) -> str:
    return repr(value.info.type) if isinstance(value, TensorBase) else type(value).__name__


class _Cache:
    """Values of parametrised tensors, while they are kept."""

    depth = 0
    values: ClassVar[dict[tuple[int, str], Any]] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Within, each parametrised tensor is computed once, when it is first used.

    >>> import pullback as pb
    >>> layer = pb.nn.utils.parametrizations.weight_norm(pb.nn.Linear(2, 2))
    >>> with pb.nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values.clear()


def _property(name: str) -> property:
    def value(self: Any) -> Any:
        if not _Cache.depth:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in _Cache.values:
            _Cache.values[key] = self.parametrizations[name]()
        return _Cache.values[key]

    def assign(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)
        _Cache.values.pop((id(self), name), None)

    return property(value, assign)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module (or one of its parameters) is parametrised."""
    found = module._modules.get("parametrizations")  # pyright: ignore[reportPrivateUsage]
    return found is not None and (len(found) > 0 if tensor_name is None else tensor_name in found)


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *,
                             unsafe: bool = False) -> Module:
    """Make a parameter what `parametrization` computes of it. Where that has a `right_inverse`, it gives the originals.

    >>> import pullback as pb
    >>> class Double(pb.nn.Module):
    ...     def forward(self, x):
    ...         return 2 * x
    >>> layer = pb.nn.utils.parametrize.register_parametrization(pb.nn.Linear(2, 1), "weight", Double())
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        more: Any = module.parametrizations
        more[tensor_name].append(parametrization)
        return module
    held = module._parameters.get(tensor_name)  # pyright: ignore[reportPrivateUsage]
    original = held if held is not None else module._buffers.get(tensor_name)  # pyright: ignore[reportPrivateUsage]
    if original is None:
        raise KeyError_(message(f"Module has no parameter or buffer {tensor_name!r}",
                                [("module", type(module).__name__)]))
    found: Any = original
    inverse = getattr(parametrization, "right_inverse", None)
    if inverse is not None:
        with suppress(NotImplementedError), no_grad():  # without an inverse, the original is the value
            found = inverse(original)
    single = isinstance(found, TensorBase)
    parts: list[Any] = [found] if single else list(found)
    if isinstance(original, Parameter):
        parts = [original if x is original else type(original)(x.detach(), original.requires_grad) for x in parts]
    made = ParametrizationList([parametrization], parts, single)
    if not unsafe and tuple(made().shape) != tuple(original.shape):
        raise ShapeError(message("register_parametrization: the parametrisation changes the shape",
                                 [("original", repr(original.info.type)), ("becomes", repr(made().info.type))],
                                 "pass unsafe=True to allow that"))
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.register_module("parametrizations", ModuleDict())
        cls = type(module)
        module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), {"_plain": cls})
    setattr(type(module), tensor_name, _property(tensor_name))
    lists: Any = module.parametrizations
    lists[tensor_name] = made
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parameter a plain one again: with its present value, or the original."""
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(message(f"{tensor_name!r} is not parametrised", [("module", type(module).__name__)]))
    lists: Any = module.parametrizations
    made = lists[tensor_name]
    if not leave_parametrized and not made.is_tensor:
        raise ArgumentError(message("remove_parametrizations: several originals cannot be left",
                                    [("parameter", tensor_name)], "pass leave_parametrized=True"))
    value = getattr(module, tensor_name).detach() if leave_parametrized else made.original
    kind = next((type(p) for p in made.parameters()), Parameter)
    delattr(type(module), tensor_name)
    del lists[tensor_name]
    if not len(lists):
        delattr(module, "parametrizations")
        module.__class__ = type(module)._plain  # pyright: ignore[reportAttributeAccessIssue]
    module.register_parameter(tensor_name, value if isinstance(value, Parameter) else kind(value))
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module as it was made."""
    return getattr(type(module), "_plain", type(module))

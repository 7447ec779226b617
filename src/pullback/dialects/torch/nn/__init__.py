"""PyTorch's layers: the library's, whose parameters are PyTorch's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from pullback import nn as native
from pullback.dialects import missing_text, names
from pullback.dialects.torch.creation import full
from pullback.dialects.torch.dtypes import DefaultDtype, checked_device, device, dtype_argument, no_device
from pullback.dialects.torch.tensors import Parameter, UninitializedBuffer, UninitializedParameter, styled
from pullback.engine.tensor import TensorBase
from pullback.nn.parameter import Buffer
from pullback.nn.parameter import Parameter as NativeParameter
from pullback.nn.state import IncompatibleKeys
from pullback.util.errors import ArgumentError, AttributeError_, PullbackError, StateError, message


class Module(native.Module):
    """Base class of layers and models."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _check_begun(self, kind: str) -> None:
        """Refuse what a module holds before the module is one, as PyTorch does."""
        if "_begun" not in self.__dict__:
            raise AttributeError_(message(f"cannot assign {kind} before Module.__init__() call",
                                          [("module", type(self).__name__)], "begin with super().__init__()"))

    def __setattr__(self, name: str, value: Any) -> None:
        for cls, kind in ((native.Module, "module"), (NativeParameter, "parameters"), (Buffer, "buffer")):
            if isinstance(value, cls):
                self._check_begun(kind)
        super().__setattr__(name, styled(value) if isinstance(value, TensorBase) else value)

    def kin(self, cls: Any) -> Any:
        """A class of layers as this style has it."""
        return globals().get(cls.__name__) or __getattr__(cls.__name__)

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter (None: a place for one)."""
        self._check_begun("parameters")
        super().register_parameter(name, styled(param))

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but no parameter."""
        self._check_begun("buffer")
        super().register_buffer(name, styled(tensor), persistent)

    def register_module(self, name: str, module: Any) -> None:
        """Add a submodule."""
        self._check_begun("module")
        super().register_module(name, module)

    add_module = register_module

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        super().zero_grad(set_to_none)

    def to(self, *args: Any, **options: Any) -> Any:
        """Convert floating-point parameters and buffers to a dtype; the device is the CPU."""
        checked_device(options.pop("device", None))
        options.pop("memory_format", None)  # how images lie in memory is decided where a graph is compiled
        kept: list[Any] = []
        for a in args:
            if isinstance(a, (device, str, int)) and not isinstance(a, bool):
                checked_device(a)
            else:
                kept.append(a)
        if "dtype" in options:
            options["dtype"] = dtype_argument(options["dtype"])
        return super().to(*kept, **options)

    def type(self, dst_type: Any) -> Any:
        """Convert to a dtype."""
        return super().to(dtype_argument(dst_type))

    def cuda(self, device: Any = None) -> Any:
        """Raises: there is no CUDA device."""
        raise no_device("cuda")

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy tensors into parameters and buffers by path."""
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(message("Expected state_dict to be dict-like", [("given", type(state_dict).__name__)],
                                        "model.load_state_dict(torch.load(path))"))
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except PullbackError as error:
            raise StateError(f"Error(s) in loading state_dict for {type(self).__name__}: {error}") from None

    def share_memory(self) -> Any:
        """The module itself: threads share memory anyway."""
        return self

    def compile(self, *args: Any, **options: Any) -> None:
        """Nothing to do: what a module records is compiled."""


def _causal_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
    """-inf above the diagonal, 0 elsewhere, in the default dtype: positions see themselves and what is before them."""
    return full((sz, sz), float("-inf"), dtype=DefaultDtype.current if dtype is None else dtype, device=device).triu(1)


#: what layers have that the library's have otherwise
_OWN: dict[str, dict[str, Any]] = {"Transformer": {"generate_square_subsequent_mask": staticmethod(_causal_mask)}}


def _layer(cls: Any) -> Any:
    """A layer of the library as PyTorch's: the same code on PyTorch's parameters."""
    code: Any = getattr(cls.__init__, "__code__", None)
    takes = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount] if code is not None else ()
    made: Any = type(cls.__name__, (Module, cls), {
        **_OWN.get(cls.__name__, {}), "__doc__": cls.__doc__, "__module__": __name__, "__slots__": (),
        "__init__": _placed(cls.__init__, takes) if "dtype" in takes or "device" in takes else cls.__init__})
    return made


def _placed(before: Any, takes: tuple[str, ...]) -> Any:
    """An initialiser that refuses a device that is not there, and makes parameters of the default dtype where none is
    given."""
    places = {name: takes.index(name) - 1 for name in ("device", "dtype") if name in takes}

    @wraps(before)
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        given = {name: args[place] if place < len(args) else options.get(name) for name, place in places.items()}
        checked_device(given.get("device"))
        if "dtype" in given and given["dtype"] is None:
            place = places["dtype"]
            if place < len(args):
                args = (*args[:place], DefaultDtype.current, *args[place + 1:])
            else:
                options["dtype"] = DefaultDtype.current
        before(self, *args, **options)

    return __init__


_LAYER_NAMES = [name for name, value in vars(native).items() if isinstance(value, type)
                and issubclass(value, native.Module)
                and value is not native.Module] + [name for name in native.LATE if name != "LazyModule"]
Identity = _layer(native.Identity)
_find, _listed = names(__name__, {
    "dialects.torch.nn.functional": "functional=", "dialects.torch.nn.grad": "grad=", "dialects.torch.nn.init": "init=",
    "dialects.torch.nn.utils": "utils=", "dialects.torch.nn.attention": "attention=",
    "dialects.torch.nn.parameter": "parameter=", "dialects.torch.nn.modules": "modules=",
    "dialects.torch.nn.parallel": "parallel=", "nn.sequence_loss": "LinearCrossEntropyOptions",
})


def __getattr__(name: str) -> Any:
    if name == "NonDynamicallyQuantizableLinear":  # what attention has at its end
        return __getattr__("Linear")
    if name in _LAYER_NAMES:
        found = _layer(getattr(native, name))
        globals()[name] = found
        return found
    if name in _listed():
        return _find(name)
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError_(missing_text(__name__, name, __dir__()))


def __dir__() -> list[str]:
    return sorted({*__all__, *_listed()})


__all__ = [*_LAYER_NAMES, "Buffer", "Module", "Parameter", "UninitializedBuffer", "UninitializedParameter"]

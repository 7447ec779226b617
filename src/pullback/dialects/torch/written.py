"""Functions that take `out=`: the result is written there too."""

from __future__ import annotations

from typing import Any

from pullback.api import comparison, elementwise, linear_algebra, manipulation
from pullback.dialects.torch.arguments import named, writing
from pullback.dialects.torch.tensors import Tensor
from pullback.dialects.torch.variants import cat as _cat
from pullback.util.errors import ArgumentError, message


def put(found: Any, out: Any, name: str) -> Any:
    if not isinstance(out, Tensor):
        raise ArgumentError(message(f"{name}: out must be a tensor", [("out", type(out).__name__)],
                                    "out=torch.empty(0)"))
    if out.shape != found.shape:  # PyTorch resizes it
        out._value, out._view = found.to(out.dtype)._peek(), None
        return out
    return out.copy_(found)


def put_all(found: tuple[Any, ...], out: Any, name: str) -> Any:
    """The same for several results."""
    if not isinstance(out, (tuple, list)) or len(out) != len(found):  # pyright: ignore[reportUnknownArgumentType]
        raise ArgumentError(message(f"{name}: out must be as many tensors as there are results",
                                    [("results", str(len(found))), ("out", f"{out!r:.60}")],
                                    f"out=({', '.join(['torch.empty(0)'] * len(found))})"))
    for one, place in zip(found, out, strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        put(one, place, name)
    return type(found)(*out) if hasattr(found, "_fields") else tuple(out)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def __getattr__(name: str) -> Any:
    for home in (elementwise, comparison, linear_algebra, manipulation):
        if not name.startswith("_") and callable(getattr(home, name, None)):
            found = globals()[name] = writing(named(getattr(home, name), name), name)
            return found
    raise AttributeError(name)


cat = writing(_cat, "cat")

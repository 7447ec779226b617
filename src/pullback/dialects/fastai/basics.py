"""`fastai.basics`: PyTorch, NumPy, matplotlib and fastai's `tensor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pullback.dialects import names, torch
from pullback.dialects.torch import Tensor, nn, optim
from pullback.dialects.torch.nn import functional as F
from pullback.ir import dtypes
from pullback.util.errors import MissingModuleError, message


class _Pyplot(ModuleType):
    """matplotlib.pyplot, loaded when it is first used: that takes longer than everything else here. Where it is not
    installed, says so."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            import matplotlib.pyplot as pyplot  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise MissingModuleError(message(f"plt.{name}: matplotlib is not installed",
                                             help="pip install 'pullback[plot]'"), name="matplotlib") from None
        self.__dict__.update({n: value for n, value in vars(pyplot).items() if not n.startswith("__")})
        return getattr(pyplot, name)


plt = _Pyplot("matplotlib.pyplot")


def tensor(x: Any, *rest: Any) -> Any:
    """A tensor of an array or list, or of several numbers: `tensor(3., 2)`."""
    data = [x, *rest] if rest else x
    made: Any = torch.tensor(data) if not isinstance(data, Tensor) else data
    kind = made.info.type.dtype
    if kind is dtypes.float32:
        return made
    if kind is dtypes.int32:
        return made.long()
    return made.float() if kind in (dtypes.float16, dtypes.float64) else made


def to_np(x: Any) -> Any:
    """A NumPy array of a tensor."""
    return x.detach().numpy()


def to_detach(x: Any, cpu: bool = True) -> Any:
    """A tensor without history, or a list of them."""
    return [to_detach(v) for v in x] if isinstance(x, (list, tuple)) else x.detach() if isinstance(x, Tensor) else x


def listify(p: Any = None) -> list[Any]:
    """A list of what may be one thing, several or none."""
    if p is None:
        return []
    return [p] if isinstance(p, str) or not isinstance(p, Iterable) else list(p)


__getattr__, __dir__ = names(__name__, {})
__all__ = ["Any", "Callable", "Collection", "F", "Iterable", "Iterator", "Path", "Sequence", "Tensor", "listify", "nn",
           "np",
           "optim", "os", "partial", "plt", "tensor", "to_detach", "to_np", "torch"]

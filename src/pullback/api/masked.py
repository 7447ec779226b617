"""Reductions of the elements that a mask selects, from an initial value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api import reductions
from pullback.api.arguments import as_tensor, described
from pullback.api.elementwise import astype, maximum, minimum, sqrt, square
from pullback.api.elementwise import where as choose
from pullback.api.manipulation import broadcast_to
from pullback.ir import dtypes
from pullback.util.errors import ValueError_, message

Array = Any


def _worst(name: str, dtype: Any) -> Any:
    """What changes nothing in a reduction."""
    if name in ("max", "min"):
        if dtype.kind == "f":
            return -math.inf if name == "max" else math.inf
        if dtype.kind == "b":
            return name == "min"
        limits = np.iinfo(dtype.numpy)
        return int(limits.min if name == "max" else limits.max)
    return {"sum": 0, "prod": 1, "any": False, "all": True}[name]


def reduce_where(name: str, x: Array, axis: Any = None, keepdims: bool = False, where: Any = None,
                 initial: Any = None, correction: float = 0) -> Array:
    """The reduction `name` ("sum", "prod", "max", "min", "any", "all", "mean", "var", "std") of the elements where a
    mask holds, and of an initial value.

    >>> import pullback as pb
    >>> reduce_where("mean", pb.tensor([1.0, 2.0, 9.0]), where=pb.tensor([True, True, False]))
    Tensor(1.5, dtype=float32)
    """
    x = as_tensor(x, name)
    if where is not None:
        where = broadcast_to(as_tensor(where, name), x.shape)
    if name in ("mean", "var", "std"):
        return _spread(name, x, axis, keepdims, where, correction)
    if name in ("max", "min") and where is not None and initial is None:
        raise ValueError_(message(f"{name}: reductions without an identity need an initial value where there is a mask",
                                  [("x", described(x))], "initial=-jnp.inf, or a value that no element passes"))
    if where is not None:
        x = choose(where, x, astype(as_tensor(_worst(name, x.dtype), name), x.dtype))
    found = getattr(reductions, name)(x, axis, keepdims)
    if initial is None:
        return found
    start = astype(as_tensor(initial, name), found.dtype)
    return {"sum": lambda: found + start, "prod": lambda: found * start, "max": lambda: maximum(found, start),
            "min": lambda: minimum(found, start)}[name]()


def _spread(name: str, x: Any, axis: Any, keepdims: bool, where: Any, correction: float) -> Any:
    x = x if x.dtype.is_inexact else astype(x, dtypes.default_float())
    count = reductions.sum(astype(where, x.dtype), axis, True)
    centre = reductions.sum(choose(where, x, 0.0), axis, True) / count
    if name == "mean":
        return centre if keepdims else reductions.sum(centre, axis, False)
    spread = reductions.sum(choose(where, square(x - centre), 0.0), axis, True) / (count - correction)
    found = spread if name == "var" else sqrt(spread)
    return found if keepdims else reductions.sum(found, axis, False)


__all__ = ["reduce_where"]

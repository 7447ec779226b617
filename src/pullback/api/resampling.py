"""Arrays resampled to another shape, one product with a matrix of weights per dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.api.arguments import as_tensor, described
from pullback.api.elementwise import astype
from pullback.api.linear_algebra import tensordot
from pullback.api.manipulation import moveaxis
from pullback.api.selecting import take
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


def _cubic(x: Any) -> Any:
    """Keys' kernel, a = -0.5."""
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x >= 2, 0.0, np.where(x >= 1, far, near))


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        safe = np.where(x != 0, x, 1.0)
        value = radius * np.sin(np.pi * safe) * np.sin(np.pi * safe / radius) / (np.pi**2 * safe**2)
        return np.where(x > 1e-3, np.where(x > radius, 0.0, value), 1.0)

    return kernel


_KERNELS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: np.maximum(0.0, 1.0 - x), "cubic": _cubic, "lanczos3": _lanczos(3.0), "lanczos5": _lanczos(5.0)}
SYNONYMS = {"bilinear": "linear", "trilinear": "linear", "triangle": "linear", "bicubic": "cubic", "tricubic": "cubic"}


def _weights(size: int, wanted: int, kernel: Callable[[Any], Any], antialias: bool) -> Any:
    """[size, wanted]: what each element counts for in each result."""
    step = size / wanted
    at = (np.arange(wanted) + 0.5) * step - 0.5
    distance = np.abs(at[None, :] - np.arange(size)[:, None]) / (max(step, 1.0) if antialias else 1.0)
    found = kernel(distance)
    total = found.sum(0, keepdims=True)
    found = np.where(np.abs(total) > 1000 * np.finfo(np.float32).eps, found / np.where(total != 0, total, 1), 0.0)
    return np.where((at >= -0.5) & (at <= size - 0.5), found, 0.0)


def resize(image: Array, shape: Sequence[int], method: str = "linear", antialias: bool = True) -> Array:
    """An image in another shape. `method`: "nearest", "linear", "cubic", "lanczos3" or "lanczos5"; `antialias` widens
    the kernel where the image shrinks.

    >>> import pullback as pb
    >>> resize(pb.tensor([0.0, 1.0]), (4,))
    Tensor([0.  , 0.25, 0.75, 1.  ], dtype=float32)
    """
    x, target = as_tensor(image, "resize"), tuple(int(n) for n in shape)
    method = SYNONYMS.get(method, method)
    if len(target) != x.ndim:
        raise ShapeError(message("resize: shape must have one entry per dimension of the image",
                                 [("image", described(x)), ("shape", str(target))]))
    if method != "nearest" and method not in _KERNELS:
        raise ValueError_(message(f"Unknown resize method {method!r}", [],
                                  "one of nearest, " + ", ".join([*_KERNELS, *SYNONYMS])))
    if method != "nearest" and not x.dtype.is_inexact:
        x = astype(x, dtypes.default_float())
    for axis, (size, wanted) in enumerate(zip(tuple(x.shape), target, strict=True)):
        if size == wanted:
            continue
        if method == "nearest":
            at = np.floor((np.arange(wanted, dtype=np.float32) + 0.5) * size / wanted).astype(np.int32)
            x = take(x, from_host(at), axis=axis, mode="clip")
            continue
        weights = astype(from_host(_weights(size, wanted, _KERNELS[method], antialias)), x.dtype)
        x = moveaxis(tensordot(x, weights, ([axis], [0])), -1, axis)
    return x


__all__ = ["resize"]

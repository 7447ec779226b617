"""Polynomials."""

from __future__ import annotations

from typing import Any

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, integer
from pullback.api.creation import arange, full
from pullback.api.elementwise import astype, where
from pullback.api.manipulation import concat, pad_pairs, reshape
from pullback.engine.operation import broadcast_to, operation
from pullback.ir.node import Node
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


@operation(promote="dtype")
def _polyval(p: Node, x: Node) -> Node:
    """Horner's rule: y = y * x + p[k], from y = 0."""
    y = build.zeros_like(x)
    for k in range(p.shape[0]):
        coefficient = build.squeeze(build.slice_axis(p, 0, k, k + 1), (0,))
        y = build.add(build.mul(y, x), broadcast_to(coefficient, x.shape))
    return y


def polyval(p: Array, x: Array) -> Array:
    """p[0] x**n + ... + p[n], element by element.

    >>> import pullback as pb
    >>> pb.polyval(pb.tensor([1, -2, 3]), pb.tensor([0.0, 1.0, 2.0]))
    Tensor([3., 2., 3.], dtype=float32)
    """
    p = as_tensor(p, "polyval")
    if p.ndim != 1:
        raise ShapeError(message("polyval: the coefficients are one dimension", [("p", described(p))], "p.reshape(-1)"))
    return _polyval(p, as_tensor(x, "polyval"))


def _coefficients(p: Any, name: str) -> Any:
    p = as_tensor(p, name)
    if p.ndim > 1:
        raise ShapeError(message(f"{name}: the coefficients are one dimension", [("p", described(p))], "p.reshape(-1)"))
    return reshape(p, (1,)) if not p.ndim else p


def _aligned(p: Any, q: Any, name: str) -> tuple[Any, Any]:
    """Both with as many coefficients, zeros in front."""
    given = [_coefficients(v, name) for v in (p, q)]
    most = max(v.shape[0] for v in given)
    first, second = (pad_pairs(v, ((most - v.shape[0], 0),), "constant", 0) for v in given)
    return first, second


def polyadd(p: Array, q: Array) -> Array:
    """The sum of two polynomials, the highest coefficient first."""
    first, second = _aligned(p, q, "polyadd")
    return first + second


def polysub(p: Array, q: Array) -> Array:
    """The difference of two polynomials."""
    first, second = _aligned(p, q, "polysub")
    return first - second


def polymul(p: Array, q: Array) -> Array:
    """The product of two polynomials."""
    from pullback.api.series import convolve

    return convolve(_coefficients(p, "polymul"), _coefficients(q, "polymul"))


def polyder(p: Array, m: int = 1) -> Array:
    """The m-th derivative of a polynomial.

    >>> import pullback as pb
    >>> from pullback.api.polynomials import polyder
    >>> polyder(pb.tensor([1.0, 2.0, 3.0]))
    Tensor([2., 2.], dtype=float32)
    """
    p = _coefficients(p, "polyder")
    for _ in range(_times(m, "polyder")):
        n = p.shape[0] - 1
        p = p[:-1] * arange(n, 0, -1, dtype=p.dtype) if n > 0 else p[:0]
    return p


def polyint(p: Array, m: int = 1, k: float = 0.0) -> Array:
    """The m-th integral of a polynomial, with a constant of integration."""
    p = _coefficients(p, "polyint")
    p = p if p.dtype.is_inexact else astype(p, "float32")
    for _ in range(_times(m, "polyint")):
        n = p.shape[0]
        p = concat([p / arange(n, 0, -1, dtype=p.dtype), full((1,), k, dtype=p.dtype)], 0)
    return p


def _times(m: Any, name: str) -> int:
    count = integer(m, name, "m")
    if count < 0:
        raise ValueError_(message(f"{name}: m is 0 or more", [("m", str(count))]))
    return count


def poly(roots: Array) -> Array:
    """The polynomial with these roots, its highest coefficient 1."""
    z = _coefficients(roots, "poly")
    z = z if z.dtype.is_inexact else astype(z, "float32")
    found = full((1,), 1, dtype=z.dtype)
    for k in range(z.shape[0]):
        shifted = pad_pairs(found, ((0, 1),), "constant", 0)
        found = shifted - pad_pairs(found * z[k], ((1, 0),), "constant", 0)
    return found


def polyfit(x: Array, y: Array, deg: int, rcond: float | None = None, w: Array = None) -> Array:
    """The coefficients of the polynomial of a degree that comes nearest to points, by least squares (weighted by w)."""
    from pullback.api.spectra import lstsq, vander

    x, y = (v if v.dtype.is_inexact else astype(v, "float32") for v in (as_tensor(x, "polyfit"),
                                                                        as_tensor(y, "polyfit")))
    degree = integer(deg, "polyfit", "deg")
    if degree < 0 or x.ndim != 1 or not x.shape[0] or y.ndim not in (1, 2) or y.shape[0] != x.shape[0]:
        raise ShapeError(message("polyfit: needs a vector x, as many y, and a degree of 0 or more",
                                 [("x", described(x)), ("y", described(y)), ("deg", str(degree))]))
    left = vander(x, degree + 1, increasing=False)
    right = y[:, None] if y.ndim == 1 else y
    if w is not None:
        weights = as_tensor(w, "polyfit")[:, None]
        left, right = left * weights, right * weights
    scale = (left * left).sum(0) ** 0.5
    scale = where(scale == 0, 1.0, scale)
    found = lstsq(left / scale, right, rtol=rcond).solution / scale[:, None]
    return found[:, 0] if y.ndim == 1 else found


__all__ = ["poly", "polyadd", "polyder", "polyfit", "polyint", "polymul", "polysub", "polyval"]

"""Functions of sequences of numbers: differences, convolution, interpolation, integrals."""

from __future__ import annotations

from typing import Any

from pullback.api.arguments import UNSET, as_tensor, axis_of, described, integer, ordered_axes
from pullback.api.convolution import conv1d
from pullback.api.elementwise import astype, clip, where
from pullback.api.manipulation import broadcast_to, concat, flip, moveaxis, reshape
from pullback.api.reductions import cumsum
from pullback.api.reductions import sum as total
from pullback.api.selecting import searchsorted, take
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


def _along(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def diff(x: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None, *, dim: Any = UNSET) -> Array:
    """Differences of neighbours along an axis, n times, of x with values (numbers, or arrays) before and after it.

    >>> import pullback as pb
    >>> pb.diff(pb.tensor([1, 3, 6]))
    Tensor([2, 3], dtype=int32)
    """
    x = as_tensor(x, "diff")
    if not x.ndim:
        raise ShapeError(message("diff: the array needs at least one dimension", [("x", described(x))]))
    times = integer(n, "diff", "n")
    if times < 0:
        raise ValueError_(message("diff: n cannot be negative", [("n", str(n))], "use 0 or more"))
    k = axis_of(axis if dim is UNSET else dim, x.ndim, "diff", x)
    around = [None if v is None else _beside(v, x, k) for v in (prepend, append)]
    if around != [None, None]:
        x = concat([v for v in (around[0], x, around[1]) if v is not None], k)
    for _ in range(times):
        upper, lower = _along(x, k, 1, None), _along(x, k, None, -1)
        x = upper != lower if x.dtype.kind == "b" else upper - lower
    return x


def _beside(value: Any, x: Any, axis: int) -> Any:
    """What is put before or after x along an axis: numbers once."""
    found = as_tensor(value, "diff")
    if found.ndim:
        return found
    kind = x.dtype if isinstance(value, (int, float)) and x.dtype.is_inexact else found.dtype
    return broadcast_to(astype(found, kind), tuple(1 if j == axis else n for j, n in enumerate(x.shape)))


def convolve(x: Array, y: Array, mode: str = "full") -> Array:
    """The convolution of two sequences: "full", "same" (the length of the longer) or "valid" (without borders).

    >>> import pullback as pb
    >>> pb.convolve(pb.tensor([1.0, 2.0, 3.0]), pb.tensor([1.0, 1.0]))
    Tensor([1., 3., 5., 3.], dtype=float32)
    """
    x, y = as_tensor(x, "convolve"), as_tensor(y, "convolve")
    if x.ndim != 1 or y.ndim != 1 or not x.shape[0] or not y.shape[0]:
        raise ShapeError(message("convolve: both must have one dimension, and elements",
                                 [("x", described(x)), ("y", described(y))], "use vmap for batches"))
    if mode not in ("full", "same", "valid"):
        raise ValueError_(message("convolve: no such mode", [("mode", repr(mode))], "'full', 'same' or 'valid'"))
    if y.shape[0] > x.shape[0]:
        x, y = y, x
    if not x.dtype.is_inexact and y.dtype.is_inexact:
        x = astype(x, y.dtype)
    around = {"full": y.shape[0] - 1, "same": y.shape[0] // 2, "valid": 0}[mode]
    found = conv1d(reshape(x, (1, 1, -1)), reshape(astype(flip(y, 0), x.dtype), (1, 1, -1)), padding=around)
    return reshape(found, (-1,))[:x.shape[0]] if mode == "same" else reshape(found, (-1,))


def interp(x: Array, xp: Array, fp: Array) -> Array:
    """The straight lines between points (xp, fp), xp ascending, at x; the first and last value outside.

    >>> import pullback as pb
    >>> pb.interp(1.5, pb.tensor([1.0, 2.0]), pb.tensor([10.0, 20.0]))
    Tensor(15., dtype=float32)
    """
    x, xp, fp = as_tensor(x, "interp"), as_tensor(xp, "interp"), as_tensor(fp, "interp")
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.shape[0]:
        raise ShapeError(message("interp: xp and fp must have one dimension, of one size",
                                 [("xp", described(xp)), ("fp", described(fp))]))
    last = xp.shape[0] - 1
    upper = clip(searchsorted(xp, x, right=True), min(1, last), last)
    lower = clip(upper - 1, 0, last)
    x0, x1, f0, f1 = (take(v, k, axis=0) for v in (xp, fp) for k in (lower, upper))
    width = x1 - x0
    share = where(width == 0, 0.0, (clip(x, xp[0], xp[last]) - x0) / where(width == 0, 1.0, width))
    return f0 + share * (f1 - f0)


def _trapezoids(name: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, int]:
    """The areas between neighbours, and the axis along which they stand."""
    y = as_tensor(y, name)
    k = axis_of(axis, y.ndim, name, y)
    means = (_along(y, k, 1, None) + _along(y, k, None, -1)) / 2
    if x is None:
        return means * dx, k
    x = as_tensor(x, name)
    widths = diff(x, axis=-1 if x.ndim == 1 else k)
    if widths.ndim == 1:
        widths = reshape(widths, tuple(-1 if j == k else 1 for j in range(y.ndim)))
    return means * widths, k


def trapezoid(y: Array, x: Array = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integral of samples by the trapezoidal rule, at points x or `dx` apart.

    >>> import pullback as pb
    >>> pb.trapezoid(pb.tensor([1.0, 2.0, 3.0]))
    Tensor(4., dtype=float32)
    """
    areas, k = _trapezoids("trapezoid", y, x, dx, axis)
    return total(areas, k)


def cumulative_trapezoid(y: Array, x: Array = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integrals of samples up to each but the first, by the trapezoidal rule.

    >>> import pullback as pb
    >>> pb.cumulative_trapezoid(pb.tensor([1.0, 2.0, 3.0]))
    Tensor([1.5, 4. ], dtype=float32)
    """
    areas, k = _trapezoids("cumulative_trapezoid", y, x, dx, axis)
    return cumsum(areas, k)


# -- derivatives of samples --------------------------------------------------------------------------------------------


def _slope(f: Any, steps: Any, order: int) -> Any:
    """The derivative along the first axis; `steps` is one number, or the distances of neighbours."""
    line = (-1,) + (1,) * (f.ndim - 1)
    if isinstance(steps, (int, float)):
        first, last = (f[1:2] - f[:1]) / steps, (f[-1:] - f[-2:-1]) / steps
        if order == 2:
            first = (-1.5 * f[:1] + 2.0 * f[1:2] - 0.5 * f[2:3]) / steps
            last = (1.5 * f[-1:] - 2.0 * f[-2:-1] + 0.5 * f[-3:-2]) / steps
        return concat([first, (f[2:] - f[:-2]) / (2.0 * steps), last], 0)
    h, g = (reshape(v, line) for v in (steps[:-1], steps[1:]))
    inner = -g / (h * (h + g)) * f[:-2] + (g - h) / (h * g) * f[1:-1] + h / (g * (h + g)) * f[2:]
    if order == 1:
        return concat([(f[1:2] - f[:1]) / steps[0], inner, (f[-1:] - f[-2:-1]) / steps[-1]], 0)
    h, g, u, v = steps[0], steps[1], steps[-2], steps[-1]
    first = -(2.0 * h + g) / (h * (h + g)) * f[:1] + (h + g) / (h * g) * f[1:2] - h / (g * (h + g)) * f[2:3]
    last = v / (u * (u + v)) * f[-3:-2] - (v + u) / (u * v) * f[-2:-1] + (2.0 * v + u) / (v * (u + v)) * f[-1:]
    return concat([first, inner, last], 0)


def gradient(x: Array, spacing: Any = 1.0, axis: Any = None, edge_order: int = 1) -> list[Array]:
    """The derivative of samples along each axis by central differences (at the ends by one-sided ones of order
    `edge_order`). `spacing`: the distance of samples, or a list with a distance or the coordinates for each axis.

    >>> import pullback as pb
    >>> pb.gradient(pb.tensor([1.0, 4.0, 9.0]))
    [Tensor([3., 4., 5.], dtype=float32)]
    """
    x = as_tensor(x, "gradient")
    x = x if x.dtype.is_inexact else astype(x, "float32")
    axes = ordered_axes(tuple(range(x.ndim)) if axis is None else axis, x.ndim, "gradient", x)
    given = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if len(given) != len(axes):
        raise ShapeError(message("gradient: needs a spacing for every axis", [("spacing", str(len(given))),
                                                                              ("axes", str(axes))], "or one for all"))
    if edge_order not in (1, 2):
        raise ValueError_(message("gradient: edge_order is 1 or 2", [("edge_order", str(edge_order))]))
    return [moveaxis(_slope(_long_enough(x, k, edge_order), _steps(step, x, k), edge_order), 0, k)
            for k, step in zip(axes, given, strict=True)]


def _long_enough(x: Any, axis: int, order: int) -> Any:
    if x.shape[axis] <= order:
        raise ShapeError(message(f"gradient: needs more than {order} samples along axis {axis}", [("x", described(x))],
                                 "take fewer axes, or edge_order=1"))
    return moveaxis(x, axis, 0)


def _steps(given: Any, x: Any, axis: int) -> Any:
    if isinstance(given, (int, float)):
        return given
    points = as_tensor(given, "gradient")
    if not points.ndim:
        return points.item()
    if points.shape != (x.shape[axis],):
        raise ShapeError(message(f"gradient: needs a coordinate for each sample along axis {axis}",
                                 [("x", described(x)), ("coordinates", described(points))]))
    return diff(astype(points, x.dtype))

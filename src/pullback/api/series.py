"""Functions of sequences of numbers: differences, convolution, interpolation, integrals."""

from __future__ import annotations

from typing import Any

from pullback.api.arguments import UNSET, as_tensor, axis_of, described, integer
from pullback.api.convolution import conv1d
from pullback.api.elementwise import astype, clip, where
from pullback.api.manipulation import broadcast_to, concat, flip, reshape
from pullback.api.reductions import sum as total
from pullback.api.selecting import searchsorted, take
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


def _along(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _edge(part: Any, x: Any, axis: int) -> Any:
    """What `diff` puts beside x: one number is repeated across the other axes."""
    part = as_tensor(part, "diff")
    return part if part.ndim else broadcast_to(part, (*x.shape[:axis], 1, *x.shape[axis + 1:]))


def diff(x: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None, *, dim: Any = UNSET) -> Array:
    """Differences of neighbours along an axis, n times; `prepend` and `append` are put at the ends first.

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
    if prepend is not None or append is not None:
        x = concat([_edge(p, x, k) for p in (prepend, x, append) if p is not None], axis=k)
    for _ in range(times):
        upper, lower = _along(x, k, 1, None), _along(x, k, None, -1)
        x = upper != lower if x.dtype.kind == "b" else upper - lower
    return x


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


def trapezoid(y: Array, x: Array = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integral of samples by the trapezoidal rule.

    >>> import pullback as pb
    >>> pb.trapezoid(pb.tensor([1.0, 2.0, 3.0]))
    Tensor(4., dtype=float32)
    """
    y = as_tensor(y, "trapezoid")
    k = axis_of(axis, y.ndim, "trapezoid", y)
    means = (_along(y, k, 1, None) + _along(y, k, None, -1)) / 2
    if x is None:
        return total(means * dx, k)
    widths = diff(x, axis=-1 if as_tensor(x, "trapezoid").ndim == 1 else k)
    if widths.ndim == 1:
        widths = reshape(widths, tuple(-1 if j == k else 1 for j in range(y.ndim)))
    return total(means * widths, k)

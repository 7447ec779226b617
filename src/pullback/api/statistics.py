"""Statistics of samples: covariance, histograms, modes, and quantiles that leave out NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import UNSET, as_tensor, axes_of, axis_of, described, integer, number, synonym
from pullback.api.comparison import greater
from pullback.api.complex_parts import conj, imag, real
from pullback.api.creation import linspace, ones, zeros
from pullback.api.elementwise import astype, clip, isnan, sqrt, where
from pullback.api.linear_algebra import matmul, vector_norm
from pullback.api.manipulation import diagonal, moveaxis, ravel, reshape, squeeze, stack
from pullback.api.reductions import all as every
from pullback.api.reductions import amax, amin, argmax, argmin
from pullback.api.reductions import prod as product
from pullback.api.reductions import sum as total
from pullback.api.selecting import index_add, searchsorted, take_along_axis
from pullback.api.sorting import between, shared_by_equals, sort_with_indices
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any


# -- covariance --------------------------------------------------------------------------------------------------------


def cov(x: Array, correction: float = 1, fweights: Array = None, aweights: Array = None) -> Array:
    """The covariances of variables, one a row, of which columns are observations (a vector: its variance). `fweights`:
    how often each was observed; `aweights`: how much each counts.

    >>> import pullback as pb
    >>> pb.cov(pb.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    Tensor([[ 1., -1.],
            [-1.,  1.]], dtype=float32)
    """
    x = _observations(x, "cov")
    kind = x.real.dtype
    count: Any = x.shape[1]
    product = None
    scale: Any = count - correction
    if fweights is not None or aweights is not None:
        given = [_weights(w, x, n) for w, n in ((fweights, "fweights"), (aweights, "aweights")) if w is not None]
        product = astype(given[0] if len(given) == 1 else given[0] * given[1], kind)
        count = total(product)
        scale = count - correction if aweights is None else \
            count - correction * total(product * astype(given[-1], kind)) / count
    mean = total(x if product is None else x * product, 1, True) / count
    off = x - mean
    found = matmul(off if product is None else off * product, conj(off).mT)
    found = found / (max(scale, 0) if isinstance(scale, (int, float)) else clip(scale, 0, None))
    return found


def _observations(x: Any, name: str) -> Any:
    x = as_tensor(x, name)
    if x.ndim > 2:
        raise ShapeError(message(f"{name}: needs a matrix, of which rows are variables", [("x", described(x))],
                                 "reshape it to two dimensions"))
    x = reshape(x, (1, x.info.type.size)) if x.ndim < 2 else x
    return x if x.info.type.dtype.is_inexact else astype(x, dtypes.default_float())


def _weights(given: Any, x: Any, name: str) -> Any:
    found = as_tensor(given, "cov")
    if found.ndim != 1 or found.shape[0] != x.shape[1]:
        raise ShapeError(message(f"cov: {name} needs a number for each observation",
                                 [(name, described(found)), ("x", described(x))], f"{x.shape[1]} numbers"))
    return found


def covariance(x: Array, correction: float = 1, fweights: Array = None, aweights: Array = None) -> Array:
    """`cov`; of a vector, one number."""
    found = cov(x, correction, fweights, aweights)
    return reshape(found, ()) if as_tensor(x, "cov").ndim < 2 else found


def corrcoef(x: Array) -> Array:
    """The correlations of variables, one a row; of a vector, 1.

    >>> import pullback as pb
    >>> pb.corrcoef(pb.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    Tensor([[ 1., -1.],
            [-1.,  1.]], dtype=float32)
    """
    x = as_tensor(x, "corrcoef")
    c = cov(x)
    size = sqrt(real(diagonal(c)))
    found = c / size[:, None] / size[None, :]
    if found.is_complex():
        from pullback.api.complex_parts import complex_of

        found = complex_of(clip(real(found), -1, 1), clip(imag(found), -1, 1))
    else:
        found = clip(found, -1, 1)
    return reshape(found, ()) if x.ndim < 2 else found


# -- extremes, modes ---------------------------------------------------------------------------------------------------


def aminmax(x: Array, axis: int | None = None, keepdims: bool = False, *, dim: Any = UNSET,
            keepdim: Any = UNSET) -> tuple[Array, Array]:
    """The least and the greatest element along an axis (of all without one)."""
    x = as_tensor(x, "aminmax")
    axis, keep = synonym(axis, dim, "aminmax", "axis and dim"), keepdims if keepdim is UNSET else keepdim
    return amin(x, axis, keep), amax(x, axis, keep)


@operation(differentiable=False)
def _run_lengths(x: Node, axis: int) -> Node:
    """How many equal elements end at each place of sorted ones."""
    at = build.iota(x.shape, axis, dtypes.int32)
    if not x.shape[axis]:
        return at
    before = build.concat([build.slice_axis(x, axis, 0, 1), build.slice_axis(x, axis, 0, x.shape[axis] - 1)], axis)
    start = build.select(build.binary("ne", x, before), at, build.zeros_like(at))
    return build.sub(at, build.cumulative("max", start, axis))


def mode(x: Array, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The most frequent element along an axis, the least of several, and where it is last."""
    x = as_tensor(x, "mode")
    if not x.ndim:
        return x.clone(), zeros((), dtype=dtypes.int32)
    axis = axis_of(dim, x.ndim, "mode", x)
    if not x.shape[axis]:
        raise ShapeError(message("mode: there is none of no elements", [("x", described(x))], "check x.size first"))
    values, order = sort_with_indices(x, axis)
    best = argmax(_run_lengths(values, axis=axis), axis, True)
    found = [take_along_axis(v, best, axis=axis) for v in (values, order)]
    if not keepdim:
        found = [squeeze(v, axis) for v in found]
    return found[0], found[1]


# -- without NaN -------------------------------------------------------------------------------------------------------


def _sorted_numbers(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """Sorted, NaN last; where they were; the number of others."""
    values, order = sort_with_indices(x, axis)
    return values, order, total(astype(~isnan(x), dtypes.int32), axis, True)


def nanquantile(x: Array, q: Any, axis: int | None = None, keepdims: bool = False, *, method: str = "linear",
                dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """`quantile` of the elements that are not NaN; NaN where there are none."""
    x = as_tensor(x, "nanquantile")
    axis, keep = synonym(axis, dim, "nanquantile", "axis and dim"), keepdims if keepdim is UNSET else keepdim
    x = x if x.info.type.dtype.is_inexact else astype(x, dtypes.default_float())
    rank = x.ndim
    k = 0 if axis is None else axis_of(axis, rank, "nanquantile", x)
    wanted = np.asarray(q.numpy() if hasattr(q, "numpy") else q, np.float64)
    if wanted.ndim > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError_(message("nanquantile: q must be numbers from 0 to 1", [("q", f"{q!r:.60}")],
                                  "use 0.5 for the median"))
    if method not in ("linear", "lower", "higher", "nearest", "midpoint"):
        raise ValueError_(message("nanquantile: no such method", [("method", repr(method))],
                                  "linear, lower, higher, nearest or midpoint"))
    lined = ravel(x) if axis is None else x
    if not lined.shape[k]:
        raise ShapeError(message("nanquantile: there is none of no elements", [("x", described(x))],
                                 "check x.size first"))
    values, _, count = _sorted_numbers(lined, k)
    found = [_at_share(values, count, float(share), k, method) for share in wanted.reshape(-1)]
    kept = (1,) * rank if axis is None else tuple(1 if j == k else n for j, n in enumerate(x.shape))
    found = [reshape(v, kept) if keep else squeeze(v, k) for v in found]
    return found[0] if not wanted.ndim else stack(found, 0)


def _at_share(values: Any, count: Any, share: float, axis: int, method: str) -> Any:
    """The quantile of the first `count` of sorted values."""
    place = clip(astype(count, values.dtype) - 1, 0, None) * share
    low, high = place.floor(), place.ceil()
    if method in ("lower", "higher", "nearest"):
        chosen = {"lower": low, "higher": high, "nearest": place.round()}[method]
        return take_along_axis(values, astype(chosen, dtypes.int32), axis=axis)
    below, above = (take_along_axis(values, astype(v, dtypes.int32), axis=axis) for v in (low, high))
    weight = where(low == high, 0.0, 0.5) if method == "midpoint" else place - low
    return between(below, above, astype(weight, below.dtype))


def nanmedian(x: Array, axis: int | None = None, keepdims: bool = False, *, dim: Any = UNSET,
              keepdim: Any = UNSET) -> Array:
    """The middle of the elements that are not NaN, the mean of two where their number is even."""
    return nanquantile(x, 0.5, axis, keepdims, dim=dim, keepdim=keepdim)


def lower_nanmedian(x: Array, axis: int | None = None, keepdims: bool = False) -> Any:
    """The middle of the elements that are not NaN, the lower of two: of all, which share the gradient with those equal
    to them, or along an axis with its position."""
    x = as_tensor(x, "nanmedian")
    lined = ravel(x) if axis is None else x
    k = 0 if axis is None else axis_of(axis, x.ndim, "nanmedian", x)
    if not lined.shape[k]:
        raise ShapeError(message("nanmedian: there is none of no elements", [("x", described(x))], "check its size"))
    values, order, count = _sorted_numbers(lined, k)
    place = clip((count - 1) // 2, 0, None)
    found = [take_along_axis(v, place, axis=k) for v in (values, order)]
    if axis is None:
        middle = reshape(found[0], ())
        return shared_by_equals["nanmedian"](x, middle) if x.info.type.dtype.kind == "f" else middle
    return tuple(v if keepdims else squeeze(v, k) for v in found)


def _whole(x: Any, name: str) -> Any:
    x = as_tensor(x, name)
    return x if x.info.type.dtype.kind == "f" else astype(x, dtypes.default_float())


def _extreme(name: str, worst: float, x: Any, axis: Any, keepdims: bool) -> Any:
    """The extreme of the elements that are not NaN; NaN where there are none."""
    x = as_tensor(x, name)
    if x.info.type.dtype.kind != "f":
        return amax(x, axis, keepdims) if worst < 0 else amin(x, axis, keepdims)
    missing = isnan(x)
    filled = where(missing, worst, x)
    found = amax(filled, axis, keepdims) if worst < 0 else amin(filled, axis, keepdims)
    return where(every(missing, axis, keepdims), np.nan, found)


def nanmax(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The greatest of the elements that are not NaN."""
    return _extreme("nanmax", -np.inf, x, axis, keepdims)


def nanmin(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The least of the elements that are not NaN."""
    return _extreme("nanmin", np.inf, x, axis, keepdims)


def nanargmax(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Where the greatest of the elements that are not NaN is; -1 where there are none."""
    return _place(as_tensor(x, "nanargmax"), axis, keepdims, -np.inf, argmax)


def nanargmin(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Where the least of the elements that are not NaN is; -1 where there are none."""
    return _place(as_tensor(x, "nanargmin"), axis, keepdims, np.inf, argmin)


def _place(x: Any, axis: Any, keepdims: bool, worst: float, locate: Any) -> Any:
    if x.info.type.dtype.kind != "f":
        return locate(x, axis, keepdims)
    missing = isnan(x)
    return where(every(missing, axis, keepdims), -1, locate(where(missing, worst, x), axis, keepdims))


def nanprod(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The product of the elements that are not NaN."""
    x = as_tensor(x, "nanprod")
    return product(where(isnan(x), 1, x) if x.info.type.dtype.is_inexact else x, axis, keepdims)


def nanvar(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0) -> Array:
    """The variance of the elements that are not NaN."""
    x = _whole(x, "nanvar")
    there = ~isnan(x)
    count = total(astype(there, x.dtype), axis, True)
    mean = total(where(there, x, 0.0), axis, True) / count
    squares = total(where(there, x - mean, 0.0) ** 2, axis, keepdims)
    count = count if keepdims else reshape(count, squares.shape)
    return squares / where(count > correction, count - correction, np.nan)


def nanstd(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0) -> Array:
    """The standard deviation of the elements that are not NaN."""
    return sqrt(nanvar(x, axis, keepdims, correction=correction))


# -- histograms --------------------------------------------------------------------------------------------------------


def histogram_edges(x: Array, bins: Any = 10, range: Any = None) -> Array:
    """The edges of equal bins between two numbers, by default the extremes of x; given edges as they are."""
    x = as_tensor(x, "histogram")
    kind = x.dtype if x.info.type.dtype.kind == "f" else dtypes.default_float()
    if not isinstance(bins, int):
        edges = as_tensor(bins, "histogram")
        if edges.ndim != 1 or not edges.shape[0]:
            raise ShapeError(message("histogram: edges stand in one dimension", [("bins", described(edges))],
                                     "pass a number of bins, or ascending numbers"))
        return edges
    count = integer(bins, "histogram", "bins")
    if count < 1:
        raise ValueError_(message("histogram: needs at least one bin", [("bins", str(count))], "bins=10"))
    low: Any = 0.0
    high: Any = 1.0
    if range is not None:
        low, high = (number(v, "histogram", "range") for v in range)
        if low > high:
            raise ValueError_(message("histogram: the range must ascend", [("range", str(tuple(range)))],
                                      "the least number first"))
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    elif x.info.type.size:
        low, high = astype(amin(x), kind), astype(amax(x), kind)
        flat = low == high
        low, high = where(flat, low - 0.5, low), where(flat, high + 0.5, high)
    return linspace(low, high, count + 1, dtype=kind)


def histogram(x: Array, bins: Any = 10, range: Any = None, weights: Array = None,
              density: bool = False) -> tuple[Array, Array]:
    """How many elements (or which sum of weights) fall into each bin, as floats, and the edges of the bins. The last
    bin has its upper edge.

    >>> import pullback as pb
    >>> pb.histogram(pb.tensor([0.0, 1.0, 1.0, 4.0]), bins=2)[0]
    Tensor([3., 1.], dtype=float32)
    """
    x = as_tensor(x, "histogram")
    if x.info.type.dtype.kind == "c":
        raise DTypeError(message("histogram: complex numbers have no order", [("x", described(x))], "use abs(x)"))
    edges = histogram_edges(x, bins, range)
    flat = astype(ravel(x), edges.dtype) if edges.info.type.dtype.is_inexact else ravel(x)
    one = ones(flat.shape, dtype=dtypes.int32) if weights is None else ravel(as_tensor(weights, "histogram"))
    if one.shape != flat.shape:
        raise ShapeError(message("histogram: needs a weight for each element", [("x", described(x)),
                                                                               ("weights", described(one))]))
    count = edges.shape[0] - 1
    at = searchsorted(edges, flat, right=True) - 1
    at = where(flat == edges[-1], count - 1, at)
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    found = index_add(zeros((count,), dtype=one.dtype), 0, clip(at, 0, max(count - 1, 0)), where(inside, one, 0))
    found = astype(found, dtypes.float32) if weights is None else found
    if density:
        found = found / (edges[1:] - edges[:-1]) / total(found)
    return found, edges


# -- norms of slices ---------------------------------------------------------------------------------------------------


def renorm(x: Array, p: float, dim: int, maxnorm: float) -> Array:
    """The slices along a dimension, shortened to a p-norm of at most `maxnorm`."""
    x = as_tensor(x, "renorm")
    axis = axis_of(dim, x.ndim, "renorm", x)
    if x.ndim < 2:
        raise ShapeError(message("renorm: needs two dimensions or more", [("x", described(x))], "add one"))
    lines = reshape(moveaxis(x, axis, 0), (x.shape[axis], -1))
    size = vector_norm(lines, p, 1)
    factor = where(greater(size, maxnorm), maxnorm / (size + 1e-7), 1.0)
    return x * reshape(factor, tuple(-1 if k == axis else 1 for k in axes_of(None, x.ndim, "renorm")))


__all__ = ["aminmax", "corrcoef", "cov", "covariance", "histogram", "histogram_edges", "lower_nanmedian", "mode",
           "nanargmax", "nanargmin", "nanmax", "nanmedian", "nanmin", "nanprod", "nanquantile", "nanstd", "nanvar",
           "renorm"]

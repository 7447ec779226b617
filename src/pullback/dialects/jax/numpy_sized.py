"""Functions of `jax.numpy` whose results have as many elements as the values say, or as many as `size=` says: with it
they may be traced. And those with arguments that reshape an array first (`axis=None`, several axes, `order="F"`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import creation, editing, elementwise, manipulation, selecting, sorting
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import default_float, default_int, lift, lower, wanted
from pullback.util.errors import UnsupportedError, message


def _numbers(count: int) -> Any:
    return lift(creation.arange(count, dtype=default_int()))


def _places(marked: Any, size: int, fill: Any = 0) -> Any:
    """The first `size` places of a line where it is true, then `fill`."""
    count = marked.astype(default_int()).cumsum(0)
    rank = lift(elementwise.where(marked, count - 1, size))
    found = _zeros((size,), default_int()).at[rank].set(_numbers(marked.shape[0]), mode="drop")
    total = count[-1] if marked.shape[0] else 0
    return lift(elementwise.where(_numbers(size) < total, found, lower(fill)))


def _zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    return lift(creation.zeros(shape, dtype=dtype))


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The positions of elements that are not zero; the first `size` of them, then `fill_value`."""
    x = border.asarray(a)
    if size is None:
        return tuple(lift(selecting.nonzero(x)))
    marked = x.ravel() if x.dtype.kind == "b" else x.ravel() != 0
    places, inside = _places(marked, size), _places(marked, size, -1) >= 0
    fills = fill_value if isinstance(fill_value, (tuple, list)) else (fill_value or 0,) * x.ndim
    found, step = [], 1
    for extent, fill in zip(reversed(x.shape), reversed(fills), strict=True):
        found.append(lift(elementwise.where(inside, places // step % max(extent, 1), lower(fill))))
        step *= max(extent, 1)
    return tuple(reversed(found))


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The positions of elements that are not zero, one a row."""
    if size is None:
        return lift(selecting.argwhere(border.array_of(a, "argwhere")))
    found = nonzero(a, size=size, fill_value=fill_value)
    return lift(manipulation.stack(list(found), -1)) if found else _zeros((size, 0), default_int())


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The positions of elements that are not zero, of the array as one line."""
    return nonzero(border.asarray(a).reshape(-1), size=size, fill_value=fill_value)[0]


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often each number occurs, or the sums of weights; of the numbers below `length` only."""
    numbers = border.array_of(x, "bincount")
    given = None if weights is None else border.asarray(weights)
    if length is None:
        return lift(selecting.bincount(numbers, given, minlength))
    start = _zeros((max(length, minlength),), default_int() if given is None else given.dtype)
    at = lift(elementwise.maximum(numbers, 0))
    return start.at[at].add(1 if given is None else given, mode="drop")


def repeat(a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None) -> Any:
    """Each element several times; `total_repeat_length` elements at all."""
    x = border.asarray(a)
    if total_repeat_length is None:
        return lift(manipulation.repeat_interleave(x, lower(repeats), axis))
    if axis is None:
        x, axis = x.ravel(), 0
    extent = x.shape[axis]
    counts = lift(manipulation.broadcast_to(border.asarray(repeats), (extent,)))
    ends = counts.cumsum(0)
    at = lift(selecting.searchsorted(ends, _numbers(total_repeat_length), right=True))
    return lift(selecting.take(x, elementwise.clip(at, 0, max(extent - 1, 0)), axis=axis))


def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None, *, equal_nan: bool = True, size: int | None = None, fill_value: Any = None,
           sorted: bool = True) -> Any:
    """The distinct elements in order; where each comes first, where each element went, how often each occurs. With
    `size` the first of them, then `fill_value` (the least element)."""
    x = border.array_of(ar, "unique")
    wishes = (return_index, return_inverse, return_counts)
    if size is None:
        if not return_index:
            return lift(sorting.unique(x, return_inverse, return_counts, axis, equal_nan=equal_nan))
        on_host: Any = np.unique  # its overloads want literals
        values, *rest = on_host(editing.host(x), *wishes, axis=axis, equal_nan=equal_nan)
        return (border.asarray(values), *(border.asarray(v, default_int()) for v in rest))
    if axis is not None and x.ndim > 1:
        raise UnsupportedError(message("unique: size= is for all elements only", [("axis", str(axis))], "axis=None"))
    made = _unique_sized(x, size, fill_value, equal_nan)
    chosen = [made[0], *(v for v, wish in zip(made[1:], wishes, strict=True) if wish)]
    return tuple(chosen) if len(chosen) > 1 else chosen[0]


def _unique_sized(x: Any, size: int, fill: Any, equal_nan: bool) -> tuple[Any, Any, Any, Any]:
    line = x.ravel()
    order = lift(sorting.argsort(line))
    ordered = line[order]
    differs = ordered[1:] != ordered[:-1]
    if equal_nan and x.dtype.is_inexact:
        differs = differs & ~(lift(elementwise.isnan(ordered[1:])) & lift(elementwise.isnan(ordered[:-1])))
    first = lift(manipulation.concat([_numbers(min(line.shape[0], 1)) == 0, differs], 0))
    rank = first.astype(default_int()).cumsum(0) - 1
    at = _places(first, size)
    inside = _places(first, size, -1) >= 0
    values = lift(elementwise.where(inside, ordered[at], ordered[0] if fill is None else border.asarray(fill, x.dtype)))
    inverse = _zeros(line.shape, default_int()).at[order].set(rank).reshape(x.shape)
    counts = _zeros((size,), default_int()).at[rank].add(1, mode="drop")
    return values, order[at], inverse, counts


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements of two arrays."""
    both = lift(manipulation.concat([border.asarray(a).ravel() for a in (ar1, ar2)], 0))
    return unique(both, size=size, fill_value=fill_value)


# -- arrays that are brought into another shape first ------------------------------------------------------------------


def _ordered(name: str, native: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = -1, *, kind: Any = None, order: Any = None, stable: bool = True,
             descending: bool = False) -> Any:
        x = border.array_of(a, name)
        if axis is None:
            x, axis = x.ravel(), 0
        return lift(native(x, axis, stable=stable, descending=descending))

    call.__name__, call.__doc__ = name, native.__doc__
    return call


sort, argsort = _ordered("sort", sorting.sort), _ordered("argsort", sorting.argsort)


def joined(x: Any, axis: Any, keepdims: bool) -> tuple[Any, Any, Any]:
    """An array with several axes made one, that axis, and the shape of what a reduction leaves with all dimensions."""
    if not isinstance(axis, (tuple, list)):
        return x, axis, None
    axes = [k % x.ndim for k in axis]
    kept = [k for k in range(x.ndim) if k not in axes]
    line = x.transpose(*kept, *axes).reshape(*[x.shape[k] for k in kept], -1)
    return line, -1, tuple(1 if k in axes else x.shape[k] for k in range(x.ndim)) if keepdims else None


def quantile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False, *, interpolation: Any = None) -> Any:
    """Quantiles."""
    x, line, shape = joined(border.asarray(a), axis, keepdims)
    found = lift(sorting.quantile(x, lower(q), line, keepdims and shape is None, method=method))
    return found if shape is None else found.reshape(*np.shape(q), *shape)


def percentile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
               method: str = "linear", keepdims: bool = False, *, interpolation: Any = None) -> Any:
    """Quantiles in percent."""
    return quantile(a, border.asarray(q) / 100, axis, out, overwrite_input, method, keepdims)


def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The middle element along axes, the mean of two where their number is even."""
    return quantile(border.array_of(a, "median"), 0.5, axis, keepdims=keepdims)


def ravel(a: Any, order: str = "C") -> Any:
    """The elements as one line; column after column with `order="F"`."""
    x = border.array_of(a, "ravel")
    return (x.T if order == "F" else x).reshape(-1)


def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """The elements under another shape; with `order="F"` both read column after column."""
    x = border.array_of(a, "reshape")
    if order != "F":
        return lift(manipulation.reshape(x, shape))
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return x.T.reshape(sizes[::-1]).T


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """The sums of diagonals of two dimensions."""
    from pullback.dialects.jax import numpy as jnp  # it looks here

    return jnp.sum(lift(manipulation.diagonal(border.array_of(a, "trace"), offset, axis1, axis2)), -1, dtype)


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    """The mean, with weights; on request their sum as well."""
    from pullback.dialects.jax import numpy as jnp  # it looks here

    x = border.array_of(a, "average")
    if weights is None:
        found = jnp.mean(x, axis, keepdims=keepdims)
        total = lift(creation.full_like(found, x.size // max(found.size, 1)))
    else:
        w = border.asarray(weights)
        if w.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
            w = w.reshape(*[-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
        total = jnp.sum(w * lift(creation.ones_like(x)), axis, keepdims=keepdims)
        found = jnp.sum(x * w, axis, keepdims=keepdims) / total
    return (found, total) if returned else found


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, *, device: Any = None) -> Any:
    """Equally spaced numbers from start to stop, along a new axis where these are arrays."""
    kind = wanted(dtype, "linspace")
    steps = max(num - bool(endpoint), 1)
    if not np.ndim(start) and not np.ndim(stop):
        found = lift(creation.linspace(start, stop, num, endpoint=endpoint, dtype=kind or default_float()))
        return (found, border.asarray((stop - start) / steps, default_float())) if retstep else found
    low, high = (border.asarray(x) * 1.0 for x in (start, stop))
    step = (high - low) / steps
    part = lift(creation.arange(num, dtype=step.dtype)).reshape(-1, *(1,) * step.ndim)
    found = low + part * step
    if endpoint and num > 1:
        found = found.at[-1].set(lift(manipulation.broadcast_to(high, step.shape)))
    found = lift(manipulation.moveaxis(found, 0, axis))
    if kind is not None:
        found = (lift(elementwise.floor(found)) if kind.is_integer else found).astype(kind)
    return (found, step) if retstep else found


def digitize(x: Any, bins: Any, right: bool = False, *, method: Any = None) -> Any:
    """The bin of each number, between limits that rise or fall."""
    at, limits = border.asarray(x), border.asarray(bins)
    if not limits.shape[0]:
        return _zeros(at.shape, default_int())
    rising = lift(selecting.searchsorted(limits, at, right=not right))
    falling = limits.shape[0] - lift(selecting.searchsorted(lift(manipulation.flip(limits)), at, right=not right))
    return lift(elementwise.where(limits[-1] >= limits[0], rising, falling))


def _floating(name: str, native: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function that makes whole numbers and bools floating first."""

    def call(*args: Any) -> Any:
        given = [border.array_of(a, name) for a in args[:count]]
        if not any(x.dtype.is_inexact for x in given):
            given = [x.astype(default_float()) for x in given]
        return lift(native(*given))

    call.__name__, call.__doc__ = name, native.__doc__
    return call


fabs, rint = _floating("fabs", elementwise.abs, 1), _floating("rint", elementwise.round, 1)
float_power, heaviside = (_floating("float_power", elementwise.power, 2),
                          _floating("heaviside", elementwise.heaviside, 2))

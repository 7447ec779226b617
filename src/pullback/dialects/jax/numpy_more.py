"""Functions of `jax.numpy` whose arguments NumPy orders or answers in its own way: edits, statistics, windows, grids.

Loaded when one of them is first used (`numpy.py` looks here last).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import (
    complex_parts,
    creation,
    editing,
    elementwise,
    joining,
    manipulation,
    polynomials,
    reductions,
    selecting,
    series,
    signals,
    sorting,
    special,
    spectra,
    statistics,
    writing,
)
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import Array, default_float, default_int, lift, lower, wanted
from pullback.util.errors import ShapeError, UnsupportedError, ValueError_, message

euler_gamma = 0.5772156649015329


def _of_arrays(native: Callable[..., Any], count: int = 1, name: str = "") -> Any:
    """A function whose first arguments are arrays, the others as they are."""
    def call(*args: Any, **options: Any) -> Any:
        given = [border.asarray(a) if k < count else a for k, a in enumerate(args)]
        return lift(native(*given, **options))

    call.__name__, call.__doc__ = name or native.__name__, native.__doc__
    return call


(trim_zeros, rollaxis, bitwise_count, unwrap, ediff1d, diagflat, sort_complex, poly, polyder, polyint,
 modf, frexp, iscomplex, isreal, i0, nanprod) = map(_of_arrays, (
     editing.trim_zeros, editing.rollaxis, editing.bitwise_count, editing.unwrap, editing.ediff1d, joining.diagflat,
     sorting.sort, polynomials.poly, polynomials.polyder, polynomials.polyint, editing.modf, special.frexp,
     complex_parts.iscomplex, complex_parts.isreal, special.i0, statistics.nanprod))
divmod, polyadd, polysub, polymul = (_of_arrays(f, 2) for f in (
    editing.divmod_, polynomials.polyadd, polynomials.polysub, polynomials.polymul))
setdiff1d, setxor1d, intersect1d = (_of_arrays(f, 2) for f in (
    editing.setdiff1d, editing.setxor1d, editing.intersect1d))


# -- edits -------------------------------------------------------------------------------------------------------------


def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """The array without the slices at positions of an axis."""
    return lift(editing.delete(border.asarray(arr), obj, axis))


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with values before positions of an axis."""
    return lift(editing.insert(border.asarray(arr), obj, border.asarray(values), axis))


def resize(a: Any, new_shape: Any) -> Any:
    """The elements, again and again, in another shape."""
    return lift(editing.resize(border.asarray(a), new_shape))


def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """The slices of an axis where a condition holds."""
    return lift(editing.compress(condition, border.asarray(a), axis))


def extract(condition: Any, arr: Any) -> Any:
    """The elements where a condition holds."""
    return compress(border.asarray(condition).ravel(), border.asarray(arr).ravel())


def choose(a: Any, choices: Any, out: None = None, mode: str = "clip") -> Any:
    """Of several arrays, at each place the element of the one with this index."""
    if mode != "clip":
        raise UnsupportedError(message("choose: no such mode here", [("mode", repr(mode))], 'mode="clip"'))
    return lift(editing.choose(border.asarray(a), [border.asarray(c) for c in choices]))


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """What the function of the last condition that holds makes of each element; a further function where none does."""
    x = border.asarray(x)
    conditions = [border.asarray(c) for c in (condlist if isinstance(condlist, (list, tuple)) else [condlist])]
    extra = len(funclist) - len(conditions)
    if extra not in (0, 1):
        raise ValueError_(message("piecewise: needs a function for each condition, and at most one more",
                                  [("conditions", str(len(conditions))), ("functions", str(len(funclist)))]))
    made = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    found = lift(creation.zeros_like(x)) + (made[-1] if extra else 0)
    for condition, value in zip(conditions, made, strict=False):
        found = lift(elementwise.where(condition, lower(value), found))
    return found.astype(x.dtype)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """The array with values, again and again, where a mask holds (`inplace=False`: arrays are immutable)."""
    _new("place", inplace)
    x, m = border.asarray(arr), border.asarray(mask)
    source = editing.resize(border.asarray(vals).ravel(), int(np.prod(x.shape)))
    return lift(writing.masked_scatter(x, m.reshape(x.shape), elementwise.astype(source, x.info.type.dtype)))


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """The array with values at positions in its flattened form (`inplace=False`: arrays are immutable)."""
    _new("put", inplace)
    x, at = border.asarray(a), border.asarray(ind).ravel()
    values = lift(editing.resize(border.asarray(v).ravel(), at.shape[0]))
    return x.ravel().at[at].set(values.astype(x.dtype)).reshape(x.shape)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """The array with a number on its main diagonal (`inplace=False`: arrays are immutable)."""
    _new("fill_diagonal", inplace)
    return lift(writing.fill_diagonal(border.asarray(a), border.asarray(val), wrap))


def _new(name: str, inplace: bool) -> None:
    if inplace:
        raise UnsupportedError(message(f"{name}: JAX arrays are immutable", help=f"y = jnp.{name}(..., inplace=False)"))


def partition(a: Any, kth: int, axis: int = -1) -> Any:
    """The elements with the k-th where it stands in full order."""
    return lift(editing.partition(border.asarray(a), kth, axis))


def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """The positions that put the k-th element where it stands in full order."""
    return lift(editing.argpartition(border.asarray(a), kth, axis))


def lexsort(keys: Any, axis: int = -1) -> Any:
    """The positions that put elements in order of the last key, then of the one before."""
    return lift(editing.lexsort([border.asarray(k) for k in keys], axis))


def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function makes of each vector along an axis."""
    return lift(editing.apply_along_axis(lambda v: func1d(lift(v), *args, **kwargs), axis, border.asarray(arr)))


def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A reduction over one axis after another."""
    return lift(editing.apply_over_axes(lambda v, axis: func(lift(v), axis), border.asarray(a), axes))


def correlate(a: Any, v: Any, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The sums of products of a sequence with another moved along it."""
    return lift(editing.correlate(border.asarray(a), border.asarray(v), mode))


def block(arrays: Any) -> Any:
    """Arrays put together as they stand in nested lists."""
    def made(x: Any) -> Any:
        return [made(v) for v in x] if isinstance(x, list) else border.asarray(x)

    return lift(editing.block(made(arrays)))


def atleast_3d(*arys: Any) -> Any:
    """With at least three dimensions: a vector becomes [1, n, 1]."""
    found = [lift(joining.atleast_3d(border.asarray(a))) for a in arys]
    return found[0] if len(found) == 1 else found


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the third dimension."""
    return list(lift(joining.dsplit(border.asarray(ary), indices_or_sections)))


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays are equal where they are broadcast together."""
    x, y = border.asarray(a1), border.asarray(a2)
    try:
        return (x == y).all()
    except ShapeError:
        return border.asarray(False)


# -- indices and grids -------------------------------------------------------------------------------------------------


def _pair(find: Any, n: int, k: int, m: int | None) -> Any:
    rows = lift(find(n, n if m is None else m, k))
    return rows[0], rows[1]


def tril_indices(n: int, k: int = 0, m: int | None = None) -> Any:
    """The rows and columns of the elements on and below a diagonal."""
    return _pair(joining.tril_indices, n, k, m)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> Any:
    """The rows and columns of the elements on and above a diagonal."""
    return _pair(joining.triu_indices, n, k, m)


def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """`tril_indices` of a matrix's shape."""
    return tril_indices(arr.shape[-2], k, arr.shape[-1])


def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """`triu_indices` of a matrix's shape."""
    return triu_indices(arr.shape[-2], k, arr.shape[-1])


def mask_indices(n: int, mask_func: Any, k: int = 0) -> Any:
    """Where a function of a matrix of ones, `jnp.triu` for example, leaves something."""
    found = np.nonzero(editing.host(mask_func(border.asarray(np.ones((n, n), np.int32)), k)))
    return tuple(border.asarray(v.astype(np.int32)) for v in found)


def diag_indices(n: int, ndim: int = 2) -> Any:
    """The indices of the main diagonal."""
    return (lift(creation.arange(n, dtype=default_int())),) * ndim


def diag_indices_from(arr: Any) -> Any:
    """`diag_indices` of an array's shape."""
    if arr.ndim < 2 or len(set(arr.shape)) > 1:
        raise ShapeError(message("diag_indices_from: needs two or more dimensions of one size",
                                 [("arr", repr(border.asarray(arr).info.type))]))
    return diag_indices(arr.shape[0], arr.ndim)


def unravel_index(indices: Any, shape: Any) -> Any:
    """The index along each dimension of positions in a flattened array."""
    return tuple(map(lift, joining.unravel_index(border.asarray(indices), shape)))


def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Any:
    """The positions in a flattened array of indices along each dimension."""
    return lift(joining.ravel_multi_index([border.asarray(i) for i in multi_index], dims, mode))


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """The index along each dimension, of every element of a grid."""
    kind = wanted(dtype, "indices") or default_int()
    lines = [lift(creation.arange(n, dtype=kind)) for n in dimensions]
    grids = manipulation.broadcast_arrays(*_open(lines)) if not sparse else _open(lines)
    return tuple(map(lift, grids)) if sparse else lift(manipulation.stack(list(grids)) if grids else creation.zeros(
        (0,), dtype=kind))


def _open(lines: Any) -> list[Any]:
    """Vectors along one dimension each."""
    return [x.reshape(tuple(-1 if j == k else 1 for j in range(len(lines)))) for k, x in enumerate(lines)]


def ix_(*args: Any) -> Any:
    """Vectors so shaped that they index a grid."""
    given = [border.asarray(a) for a in args]
    given = [border.asarray(np.flatnonzero(x.numpy()).astype(np.int32)) if x.dtype.kind == "b" else x for x in given]
    return tuple(_open(given))


class _Grid:
    """`mgrid[0:2, 0:3]`: grids of coordinates from slices; open ones that broadcast, where `sparse`."""

    def __init__(self, sparse: bool) -> None:
        self.sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        lines = [_line(part) for part in (key if isinstance(key, tuple) else (key,))]
        if not isinstance(key, tuple):
            return lines[0]
        if self.sparse:
            return _open(lines)
        return lift(manipulation.stack(list(manipulation.broadcast_arrays(*_open(lines)))))


def _line(part: slice) -> Any:
    start, step = part.start or 0, 1 if part.step is None else part.step
    if isinstance(step, complex):
        return lift(creation.linspace(start, part.stop, int(abs(step)), dtype=default_float()))
    whole = all(isinstance(v, int) for v in (start, part.stop, step))
    return lift(creation.arange(start, part.stop, step, dtype=default_int() if whole else default_float()))


mgrid, ogrid = _Grid(False), _Grid(True)


class _Row:
    """`r_[a, 0, b]`: arrays, numbers and slices one after the other; `c_` as columns."""

    def __init__(self, columns: bool) -> None:
        self.columns = columns

    def __getitem__(self, key: Any) -> Any:
        parts = [_line(p) if isinstance(p, slice) else border.asarray(p)
                 for p in (key if isinstance(key, tuple) else (key,))]
        if self.columns:
            parts = [p.reshape(-1, 1) if p.ndim < 2 else p for p in parts]
            return lift(manipulation.concat(parts, -1))
        return lift(manipulation.concat([p.reshape(1) if not p.ndim else p for p in parts], 0))


r_, c_ = _Row(False), _Row(True)
s_ = index_exp = np.s_


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Numbers from start to stop, each the same multiple of the one before."""
    if start * stop <= 0:
        raise ValueError_(message("geomspace: both ends must be of one sign, and not 0",
                                  [("start", str(start)), ("stop", str(stop))]))
    sign = -1.0 if start < 0 else 1.0
    logs = creation.linspace(np.log(abs(start)), np.log(abs(stop)), num, endpoint=endpoint, dtype="float64")
    return lift(sign * elementwise.exp(logs)).astype(wanted(dtype, "geomspace") or default_float())


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """What a function of indices makes of every place of a grid."""
    kind = default_float() if dtype is float else wanted(dtype, "fromfunction")
    return function(*(indices(shape, dtype=kind)[k] for k in range(len(shape))), **kwargs)


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """An Array of the numbers in a buffer."""
    kind = default_float() if dtype is float else wanted(dtype, "frombuffer")
    assert kind is not None
    return border.asarray(np.frombuffer(buffer, kind.numpy, count, offset).copy())


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An Array of any array that speaks DLPack."""
    return border.asarray(creation.from_dlpack(x))


# -- statistics --------------------------------------------------------------------------------------------------------


def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
        fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of variables, one a row."""
    x = _variables(m, y, rowvar)
    correction = (0 if bias else 1) if ddof is None else ddof
    weights = (None if w is None else border.asarray(w) for w in (fweights, aweights))
    found = lift(statistics.cov(x, correction, *weights))
    return found.reshape(()) if found.shape == (1, 1) else found


def _variables(m: Any, y: Any, rowvar: bool) -> Any:
    parts = [border.asarray(v) for v in (m, y) if v is not None]
    parts = [v.reshape(1, -1) if v.ndim < 2 else v if rowvar else v.T for v in parts]
    return parts[0] if len(parts) == 1 else lift(manipulation.concat(parts, 0))


def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """The correlations of variables, one a row."""
    found = lift(statistics.corrcoef(_variables(x, y, rowvar)))
    return found.reshape(()) if found.shape == (1, 1) else found


def _nan_reduction(native: Callable[..., Any]) -> Any:
    def call(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
        return lift(native(border.asarray(a), axis, keepdims))

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


nanmax, nanmin, nanargmax, nanargmin = map(_nan_reduction, (
    statistics.nanmax, statistics.nanmin, statistics.nanargmax, statistics.nanargmin))


def _nan_spread(native: Callable[..., Any]) -> Any:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0,
             keepdims: bool = False) -> Any:
        found = lift(native(border.asarray(a), axis, keepdims, correction=ddof))
        return found if dtype is None else found.astype(dtype)

    call.__name__, call.__doc__ = native.__name__, native.__doc__
    return call


nanvar, nanstd = _nan_spread(statistics.nanvar), _nan_spread(statistics.nanstd)


def nanquantile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
                method: str = "linear", keepdims: bool = False) -> Any:
    """Quantiles of the elements that are not NaN."""
    return lift(statistics.nanquantile(border.asarray(a), lower(q), axis, keepdims, method=method))


def nanpercentile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
                  method: str = "linear", keepdims: bool = False) -> Any:
    """Quantiles, in percent, of the elements that are not NaN."""
    return nanquantile(a, np.asarray(q) / 100, axis, out, overwrite_input, method, keepdims)


def nanmedian(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The middle of the elements that are not NaN."""
    return nanquantile(a, 0.5, axis, keepdims=keepdims)


def _nan_running(scan: Callable[..., Any], neutral: int) -> Any:
    def call(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        x = border.asarray(a)
        x = lift(elementwise.where(elementwise.isnan(x), neutral, x)) if x.dtype.is_inexact else x
        return lift(scan(x.ravel() if axis is None else x, 0 if axis is None else axis))

    call.__name__, call.__doc__ = f"nan{scan.__name__}", f"`{scan.__name__}`, NaN as {neutral}."
    return call


nancumsum, nancumprod = _nan_running(reductions.cumsum, 0), _nan_running(reductions.cumprod, 1)


def histogram(a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None) -> Any:
    """How many elements fall into each bin, and the edges of the bins."""
    edges = bins if isinstance(bins, int) else border.asarray(bins)
    given = None if weights is None else border.asarray(weights)
    return lift(statistics.histogram(border.asarray(a), edges, range, given, bool(density)))


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of bins."""
    return lift(statistics.histogram_edges(border.asarray(a), bins if isinstance(bins, int) else border.asarray(bins),
                                           range))


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """The derivative of samples along each axis."""
    x = border.asarray(f)
    spacing = [v if isinstance(v, (int, float)) else border.asarray(v) for v in varargs] or [1.0]
    found = series.gradient(x, spacing[0] if len(spacing) == 1 and not isinstance(spacing[0], Array) else
                            spacing * (1 if len(spacing) > 1 else x.ndim if axis is None else 1), axis, edge_order or 1)
    return lift(found[0]) if len(found) == 1 else [lift(v) for v in found]


# -- windows -----------------------------------------------------------------------------------------------------------


def _window(name: str, native: Callable[..., Any]) -> Any:
    def call(M: int, *parameters: float) -> Any:
        options = {"beta": float(parameters[0])} if parameters else {}
        return lift(native(M, False, dtype=default_float(), **options))

    call.__name__, call.__doc__ = name, native.__doc__
    return call


hanning, hamming = _window("hanning", signals.hann_window), _window("hamming", signals.hamming_window)
blackman, bartlett = _window("blackman", signals.blackman_window), _window("bartlett", signals.bartlett_window)
kaiser = _window("kaiser", signals.kaiser_window)


# -- linear algebra, polynomials ---------------------------------------------------------------------------------------


def matvec(x1: Any, x2: Any, /) -> Any:
    """Products of matrices with vectors."""
    return (border.asarray(x1) @ border.asarray(x2)[..., None])[..., 0]


def vecmat(x1: Any, x2: Any, /) -> Any:
    """Products of (conjugates of) vectors with matrices."""
    x = border.asarray(x1)
    return ((x.conj() if x.dtype.is_complex else x)[..., None, :] @ border.asarray(x2))[..., 0, :]


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of the elements of a vector, one a column."""
    return lift(spectra.vander(border.asarray(x), N, increasing=increasing))


def polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: bool = False) -> Any:
    """The coefficients of the polynomial nearest to points."""
    if full or cov:
        raise UnsupportedError(message("polyfit: only the coefficients", [("full, cov", f"{full}, {cov}")],
                                       "jnp.linalg.lstsq gives residuals and ranks"))
    given = None if w is None else border.asarray(w)
    return lift(polynomials.polyfit(border.asarray(x), border.asarray(y), deg, rcond, given))


# -- questions ---------------------------------------------------------------------------------------------------------


def iterable(y: Any) -> bool:
    """Whether something can be iterated over."""
    return np.iterable(y)


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not border.asarray(x).dtype.is_complex


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind."""
    from pullback.api.data_types import isdtype as native

    return native(getattr(dtype, "dtype", dtype), kind)


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements, where each comes first, the position of each among them, counts."""
    if size is not None:
        raise UnsupportedError(message("unique_all: no size=", help="outside of jit the size is found"))
    return lift(sorting.unique_all(border.asarray(x)))


def array_repr(arr: Any, *_: Any) -> str:
    """The text of an array."""
    return repr(arr)


def array_str(a: Any, *_: Any) -> str:
    """The elements as text."""
    return str(a)


set_printoptions, get_printoptions, printoptions = np.set_printoptions, np.get_printoptions, np.printoptions


def save(file: Any, arr: Any, allow_pickle: bool = False) -> None:
    """Write an array in NumPy's format."""
    np.save(file, editing.host(arr), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, **kwds: Any) -> None:
    """Write arrays in NumPy's format."""
    np.savez(file, *map(editing.host, args), **{k: editing.host(v) for k, v in kwds.items()})


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """Read an array in NumPy's format."""
    found = np.load(file, *args, **kwargs)
    return border.asarray(found) if isinstance(found, np.ndarray) else found


def spacing(x: Any, /) -> Any:
    """The distance from each number to the next one away from 0."""
    y = border.asarray(x)
    y = y if y.dtype.is_inexact else y.astype(default_float())
    return lift(elementwise.nextafter(y, elementwise.copysign(np.inf, y))) - y


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: Any = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements or slices at places along an axis, or of the array as one line; `mode` says what is out of range."""
    x = border.array_of(a, "take")
    if mode is None:
        return lift(selecting.take(x, lower(indices), axis=axis))
    if axis is None:
        x, axis = x.ravel(), 0
    at = border.array_of(indices, "take")
    place = axis % x.ndim
    if mode == "wrap":
        return lift(selecting.take(x, at % x.shape[place], axis=place, mode="clip"))
    return x.at[(*(slice(None),) * place, at)].get(mode=mode, fill_value=fill_value)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1, mode: Any = None, fill_value: Any = None) -> Any:
    """The elements at places along an axis, one list of places for each line."""
    x, at = border.array_of(arr, "take_along_axis"), border.array_of(indices, "take_along_axis")
    if axis is None:
        x, at, axis = x.ravel(), at.ravel(), 0
    if mode is None or mode == "promise_in_bounds":
        return lift(selecting.take_along_axis(x, at, axis=axis))
    size = x.shape[axis]
    start = elementwise.where(at < 0, at + size, at)
    found = lift(selecting.take_along_axis(x, elementwise.clip(start, 0, size - 1), axis=axis))
    if getattr(mode, "text", mode) == "clip":
        return found
    outside = border.asarray(border.missing(x.dtype) if fill_value is None else fill_value, x.dtype)
    return lift(elementwise.where((start >= 0) & (start < size), found, outside))

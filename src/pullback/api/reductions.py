"""Reductions and scans. `axis`/`keepdims` (NumPy, Array API) and `dim`/`keepdim` (PyTorch) mean the same."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from pullback.api._lazy import build
from pullback.api._rows import truth
from pullback.api.arguments import UNSET, as_tensor, axes_of, axis_of, described, number, synonym
from pullback.engine.operation import Operation, operation
from pullback.engine.precision import is_narrow
from pullback.engine.tensor import TensorBase
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, ShapeError, message

Array = Any
Axes = tuple[int, ...] | None


# -- nodes -------------------------------------------------------------------------------------------------------------


def all_axes(x: Node, axes: Axes) -> tuple[int, ...]:
    return tuple(range(len(x.shape))) if axes is None else axes


def kept(y: Node, x: Node, axes: Axes, keepdims: bool) -> Node:
    """The reduced dimensions put back with size 1, where wanted."""
    if not keepdims:
        return y
    gone = all_axes(x, axes)
    return build.reshape(y, tuple(1 if k in gone else n for k, n in enumerate(x.shape)))


def spread(y: Node, x: Node, axes: Axes) -> Node:
    """A reduced node repeated over the reduced dimensions of x."""
    gone = all_axes(x, axes)
    return build.broadcast(y, x.shape, tuple(k for k in range(len(x.shape)) if k not in gone))


def summable(x: Node, dtype: DType | None) -> Node:
    """Integers are summed in at least the bits of the default integer."""
    if dtype is not None:
        return build.convert(x, dtype)
    least = dtypes.WEAK_DEFAULT["i"]
    if x.dtype.kind == "b":
        return build.convert(x, least)
    if x.dtype.kind in "iu" and x.dtype.bits < least.bits:
        return build.convert(x, least if x.dtype.kind == "i" else dtypes.dtype_of("u" + least.name))
    return x


def floating(x: Node, dtype: DType | None = None) -> Node:
    """Integers as the default float."""
    if dtype is not None:
        return build.convert(x, dtype)
    return x if x.dtype.is_inexact else build.convert(x, dtypes.default_float())


def count_of(x: Node, axes: Axes) -> int:
    return build.count([x.shape[k] for k in all_axes(x, axes)])


def total(x: Node, axes: Axes) -> Node:
    return build.reduce("add", x, all_axes(x, axes))


def mean_of(x: Node, axes: Axes) -> Node:
    """The mean over axes; 16-bit floats are summed in float32, whatever else the operation does."""
    own = x.dtype
    y = total(_single(x), axes)
    return build.convert(build.div(y, build.scalar_like(y, count_of(x, axes))), own)


def _single(x: Node) -> Node:
    """16-bit floats in float32."""
    return build.convert_inside(x, dtypes.float32) if is_narrow(x) else x


def variance_of(x: Node, axes: Axes, correction: float) -> Node:
    """The variance over axes, in two passes."""
    own = x.dtype
    wide = _single(x)
    if wide is not x:
        return build.convert(variance_of(wide, axes, correction), own)
    gone = all_axes(x, axes)
    off = build.sub(x, spread(mean_of(x, gone), x, gone))
    if x.dtype.kind == "c":
        real, imag = build.unary("real", off), build.unary("imag", off)
        squares = build.add(build.square(real), build.square(imag))
    else:
        squares = build.square(off)
    y = total(squares, gone)
    return build.div(y, build.scalar_like(y, builtins.max(count_of(x, gone) - correction, 0)))


def root(x: Node) -> Node:
    """The square root, whose derivative at 0 is 0."""
    zero = build.binary("eq", x, build.zeros_like(x))
    found = build.sqrt(build.select(zero, build.ones_like(x), x))
    return build.select(zero, build.zeros_like(found), found)


def log_sum_exp(x: Node, axes: Axes, infinite: bool = True) -> Node:
    """log(sum(exp(x))) about the maximum; exact for infinities, or NaN (not `infinite`)."""
    gone = all_axes(x, axes)
    if count_of(x, gone) == 0:
        return build.log(total(x, gone))
    top = build.stop_gradient(build.reduce("max", x, gone))
    if infinite:
        top = build.select(build.unary("isfinite", top), top, build.zeros_like(top))
    y = total(build.exp(build.sub(x, spread(top, x, gone))), gone)
    return build.add(build.log(y), top)


# -- operations --------------------------------------------------------------------------------------------------------


@operation()
def _sum(x: Node, axes: Axes, keepdims: bool, dtype: DType | None) -> Node:
    x = summable(x, dtype)
    return kept(total(x, axes), x, axes, keepdims)


@operation()
def _prod(x: Node, axes: Axes, keepdims: bool, dtype: DType | None) -> Node:
    x = summable(x, dtype)
    return kept(build.reduce("mul", x, all_axes(x, axes)), x, axes, keepdims)


@operation()
def _mean(x: Node, axes: Axes, keepdims: bool, dtype: DType | None) -> Node:
    x = floating(x, dtype)
    return kept(mean_of(x, axes), x, axes, keepdims)


class _Spread(NamedTuple):
    """The variance, or its root. Squares are float64 numbers, so that none of float32 ones overflows or vanishes, as in
    PyTorch; the tangent needs no squares."""

    axes: tuple[int, ...]
    correction: float
    rooted: bool

    def value(self, x: Node) -> Node:
        off = self._deviation(x)
        y = total(build.square(build.convert(off, dtypes.float64)), self.axes)
        y = build.div(y, build.scalar_like(y, self._divisor(x)))
        return build.convert(build.sqrt(y) if self.rooted else y, x.dtype)

    def _deviation(self, x: Node) -> Node:
        return build.sub(x, spread(mean_of(x, self.axes), x, self.axes))

    def _divisor(self, x: Node) -> float:
        return builtins.max(count_of(x, self.axes) - self.correction, 0)

    def __call__(self, inputs: Sequence[Node], tangents: Sequence[Node]) -> tuple[tuple[Node], tuple[Node]]:
        (x,), (t,) = inputs, tangents
        y = self.value(x)
        share = total(build.mul(self._deviation(x), t), self.axes)  # that of the mean adds nothing
        if not self.rooted:
            return (y,), (build.mul(share, build.scalar_like(y, _quotient(2.0, self._divisor(x)))),)
        flat = build.binary("eq", y, build.zeros_like(y))
        slope = build.div(share, build.select(flat, build.ones_like(y), y))
        slope = build.mul(slope, build.scalar_like(y, _quotient(1.0, self._divisor(x))))
        return (y,), (build.select(flat, build.zeros_like(slope), slope),)


def _quotient(a: float, b: float) -> float:
    return a / b if b else math.inf


def _spread_of(x: Node, axes: Axes, keepdims: bool, correction: float, rooted: bool) -> Node:
    from pullback.ops.control import with_rule

    x = floating(x)
    if x.dtype.kind == "c":
        y = variance_of(x, axes, correction)
        return kept(root(y) if rooted else y, x, axes, keepdims)
    wide = _single(x)
    rule = _Spread(all_axes(x, axes), correction, rooted)
    y = with_rule("std" if rooted else "var", rule.value, rule, wide)[0]
    return kept(build.convert(y, x.dtype), x, axes, keepdims)


_var = operation(name="var")(partial(_spread_of, rooted=False))
_std = operation(name="std")(partial(_spread_of, rooted=True))


def _extreme(kind: str) -> Operation:
    def define(x: Node, axes: Axes, keepdims: bool) -> Node:
        if count_of(x, axes) == 0 and build.count([n for k, n in enumerate(x.shape) if k not in all_axes(x, axes)]):
            raise ShapeError(message(f"{kind}: there is no {kind} of no elements", [("x", repr(x.type))],
                                     "check x.size first, or reduce along another axis"))
        return kept(build.reduce(kind, x, all_axes(x, axes)), x, axes, keepdims)

    return Operation(define, "none", True, False, kind)


_max, _min = _extreme("max"), _extreme("min")


def _truths(monoid: str, name: str) -> Operation:
    def define(x: Node, axes: Axes, keepdims: bool) -> Node:
        return kept(build.reduce(monoid, truth(x), all_axes(x, axes)), x, axes, keepdims)

    return Operation(define, "none", False, False, name)


_any, _all = _truths("or", "any"), _truths("and", "all")


def _position(kind: str) -> Operation:
    def define(x: Node, axis: int | None, keepdims: bool) -> Node:
        source = x if axis is not None else build.reshape(x, (x.tensor.size,))
        if source.dtype.kind == "b":
            source = build.convert(source, dtypes.uint8)
        along = 0 if axis is None else axis
        if source.shape[along] == 0:
            raise ShapeError(message(f"arg{kind}: there is no {kind} of no elements", [("x", repr(x.type))],
                                     "check x.size first, or reduce along another axis"))
        return kept(build.arg_reduce(kind, source, along), x, None if axis is None else (axis,), keepdims)

    return Operation(define, "none", False, False, f"arg{kind}")


_argmax, _argmin = _position("max"), _position("min")


@operation()
def _logsumexp(x: Node, axes: Axes, keepdims: bool) -> Node:
    x = floating(x)
    return kept(log_sum_exp(x, axes), x, axes, keepdims)


@operation(differentiable=False)
def _count_nonzero(x: Node, axes: Axes, keepdims: bool) -> Node:
    flags = build.convert(truth(x), dtypes.int32)
    return kept(total(flags, axes), x, axes, keepdims)


def _over_all(op: Operation, **static: Any) -> Operation:
    """The operation over all axes, without static arguments to look up: the common call."""
    return Operation(partial(op.define, axes=None, keepdims=False, **static), op.promote, op.differentiable, False,
                     op.name)


_sum_all, _prod_all, _mean_all = (_over_all(op, dtype=None) for op in (_sum, _prod, _mean))
_max_all, _min_all = _over_all(_max), _over_all(_min)

# -- the functions -----------------------------------------------------------------------------------------------------


def _axes(x: Any, axis: Any, dim: Any, name: str) -> Axes:
    if axis is None and (dim is UNSET or dim is None):
        return None
    axis = synonym(axis, dim, name, "axis and dim")
    if isinstance(axis, (tuple, list)) and not axis and name not in ("any", "all") and (
            dim is not UNSET or x.result_class.no_axes_are_all):
        return None
    rank = len(x.info.type.shape)
    if axis is None or (rank == 0 and axis in (0, -1, (0,), (-1,))):  # NumPy and PyTorch let numbers have an axis
        return None
    return (axis,) if type(axis) is int and 0 <= axis < rank else axes_of(axis, rank, name, x)


def _reduce(op: Operation, name: str, x: Any, axis: Any, keepdims: bool, dim: Any, keepdim: Any, **static: Any) -> Any:
    if not isinstance(x, TensorBase):
        x = as_tensor(x, name)
    if keepdim is not UNSET:
        keepdims = keepdim
    return op(x, axes=_axes(x, axis, dim, name), keepdims=bool(keepdims), **static)


@lru_cache(4096)
def _along(op: Operation, axis: int, rank: int, keepdims: bool) -> Operation | None:
    """The operation over one axis; None where the general way must say what is wrong with it."""
    if not -rank <= axis < rank:
        return None
    return op.bind((("axes", (axis % rank,)), ("keepdims", keepdims), ("dtype", None)))


def _dtype(dtype: Any) -> DType | None:
    return None if dtype is None else dtype_of(dtype)


def sum(x: Array, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, dim: Any = UNSET,
        keepdim: Any = UNSET) -> Array:
    """The sum over axes (all by default). Integers narrower than 32 bits are summed as 32-bit ones.

    >>> import pullback as pb
    >>> pb.sum(pb.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.], dtype=float32)
    """
    if axis is None and dim is UNSET and keepdim is UNSET and dtype is None and not keepdims:
        return _sum_all.on(x)
    one = axis if dim is UNSET else dim if axis is None else None
    if type(one) is int and keepdim is UNSET and dtype is None and type(keepdims) is bool and isinstance(x, TensorBase):
        found = _along(_sum, one, len(x.info.type.shape), keepdims)
        if found is not None:
            return found.on(x)
    return _reduce(_sum, "sum", x, axis, keepdims, dim, keepdim, dtype=_dtype(dtype))


def prod(x: Array, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, dim: Any = UNSET,
         keepdim: Any = UNSET) -> Array:
    """The product over axes (all by default)."""
    if axis is None and dim is UNSET and keepdim is UNSET and dtype is None and not keepdims:
        return _prod_all(x)
    return _reduce(_prod, "prod", x, axis, keepdims, dim, keepdim, dtype=_dtype(dtype))


def mean(x: Array, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, dim: Any = UNSET,
         keepdim: Any = UNSET) -> Array:
    """The mean over axes (all by default); integers give floats.

    >>> import pullback as pb
    >>> pb.mean(pb.tensor([1.0, 2.0, 6.0]))
    Tensor(3., dtype=float32)
    """
    if axis is None and dim is UNSET and keepdim is UNSET and dtype is None and not keepdims:
        return _mean_all.on(x)
    one = axis if dim is UNSET else dim if axis is None else None
    if type(one) is int and keepdim is UNSET and dtype is None and type(keepdims) is bool and isinstance(x, TensorBase):
        found = _along(_mean, one, len(x.info.type.shape), keepdims)
        if found is not None:
            return found.on(x)
    return _reduce(_mean, "mean", x, axis, keepdims, dim, keepdim, dtype=_dtype(dtype))


def _correction(correction: Any, ddof: Any, unbiased: Any, name: str) -> float:
    if unbiased is not None:
        return 1 if unbiased else 0
    return number(correction if ddof is None else ddof, name, "correction")


def var(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0, ddof: float | None = None,
        unbiased: bool | None = None, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The variance over axes: squares of deviations over n - correction."""
    divisor = _correction(correction, ddof, unbiased, "var")
    return _reduce(_var, "var", x, axis, keepdims, dim, keepdim, correction=divisor)


def std(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0, ddof: float | None = None,
        unbiased: bool | None = None, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The standard deviation over axes: the root of `var`."""
    divisor = _correction(correction, ddof, unbiased, "std")
    return _reduce(_std, "std", x, axis, keepdims, dim, keepdim, correction=divisor)


def max(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The greatest element over axes (all by default). Equal elements share the gradient.

    >>> import pullback as pb
    >>> pb.max(pb.tensor([[1.0, 5.0], [3.0, 4.0]]), axis=1)
    Tensor([5., 4.], dtype=float32)
    """
    if axis is None and dim is UNSET and keepdim is UNSET and not keepdims:
        return _max_all(x)
    return _reduce(_max, "max", x, axis, keepdims, dim, keepdim)


def min(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The least element over axes (all by default). Equal elements share the gradient."""
    if axis is None and dim is UNSET and keepdim is UNSET and not keepdims:
        return _min_all(x)
    return _reduce(_min, "min", x, axis, keepdims, dim, keepdim)


amax, amin = max, min


def any(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """Whether an element over axes is not 0."""
    return _reduce(_any, "any", x, axis, keepdims, dim, keepdim)


def all(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """Whether all elements over axes are not 0."""
    return _reduce(_all, "all", x, axis, keepdims, dim, keepdim)


def _locate(op: Operation, name: str, x: Any, axis: Any, keepdims: bool, dim: Any, keepdim: Any) -> Any:
    x = as_tensor(x, name)
    axis = synonym(axis, dim, name, "axis and dim")
    if keepdim is not UNSET:
        keepdims = keepdim
    if not x.ndim and axis in (0, -1):
        axis = None
    return op(x, axis=None if axis is None else axis_of(axis, x.ndim, name, x), keepdims=bool(keepdims))


def argmax(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The position of the first greatest element along an axis (in row-major order where none is given), as int32.

    >>> import pullback as pb
    >>> pb.argmax(pb.tensor([1.0, 5.0, 5.0]))
    Tensor(1, dtype=int32)
    """
    return _locate(_argmax, "argmax", x, axis, keepdims, dim, keepdim)


def argmin(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The position of the first least element along an axis (in row-major order where none is given), as int32."""
    return _locate(_argmin, "argmin", x, axis, keepdims, dim, keepdim)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """log(sum(exp(x))) over axes, without overflow."""
    return _reduce(_logsumexp, "logsumexp", x, axis, keepdims, dim, keepdim)


def count_nonzero(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET,
                  keepdim: Any = UNSET) -> Array:
    """How many elements over axes are not 0."""
    return _reduce(_count_nonzero, "count_nonzero", x, axis, keepdims, dim, keepdim)


def ptp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The greatest minus the least element over axes."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def _nan_aware(name: str, mean: bool) -> Operation:
    def define(x: Node, axes: Axes, keepdims: bool) -> Node:
        if not x.dtype.is_inexact:
            return kept(mean_of(floating(x), axes) if mean else total(summable(x, None), axes), x, axes, keepdims)
        missing = build.unary("isnan", x)
        y = total(build.select(missing, build.zeros_like(x), x), axes)
        if mean:
            y = build.div(y, total(build.select(missing, build.zeros_like(x), build.ones_like(x)), axes))
        return kept(y, x, axes, keepdims)

    return Operation(define, "none", True, False, name)


_nansum, _nanmean = _nan_aware("nansum", False), _nan_aware("nanmean", True)


def nansum(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The sum over axes of what is not NaN."""
    return _reduce(_nansum, "nansum", x, axis, keepdims, dim, keepdim)


def nanmean(x: Array, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET, keepdim: Any = UNSET) -> Array:
    """The mean over axes of what is not NaN."""
    return _reduce(_nanmean, "nanmean", x, axis, keepdims, dim, keepdim)


# -- scans -----------------------------------------------------------------------------------------------------------


@operation()
def _cumulative(x: Node, monoid: str, axis: int, dtype: DType | None, reverse: bool) -> Node:
    x = summable(x, dtype) if monoid in ("add", "mul") else x
    if x.dtype.kind == "b":
        return build.convert(build.cumulative(monoid, build.convert(x, dtypes.uint8), axis, reverse), dtypes.bool_)
    return build.cumulative(monoid, x, axis, reverse)


@operation(differentiable=False)
def _last_extreme(x: Node, kind: str, axis: int) -> Node:
    """The position of the running extreme: of equal ones, the last met; NaN stays from where it is."""
    at = build.iota(x.shape, axis, dtypes.int32)
    here = build.binary("eq", x, build.cumulative(kind, x, axis))
    if x.dtype.is_inexact:
        here = build.binary("logical_or", here, build.unary("isnan", x))
    return build.cumulative("max", build.select(here, at, build.zeros_like(at)), axis)


def _scan(name: str, monoid: str, x: Any, axis: Any, dim: Any, dtype: Any, reverse: bool) -> Any:
    x = as_tensor(x, name)
    axis = synonym(axis, dim, name, "axis and dim")
    if axis is None:
        if x.ndim != 1:
            from pullback.api.manipulation import ravel

            x = ravel(x)
        axis = 0
    return _cumulative(x, monoid=monoid, axis=axis_of(axis, x.ndim, name, x), dtype=_dtype(dtype),
                       reverse=bool(reverse))


def cumsum(x: Array, axis: int | None = None, *, dtype: Any = None, reverse: bool = False, dim: Any = UNSET) -> Array:
    """Running sums along an axis; without one the array is flattened.

    >>> import pullback as pb
    >>> pb.cumsum(pb.tensor([1, 2, 3]))
    Tensor([1, 3, 6], dtype=int32)
    """
    return _scan("cumsum", "add", x, axis, dim, dtype, reverse)


def cumprod(x: Array, axis: int | None = None, *, dtype: Any = None, reverse: bool = False, dim: Any = UNSET) -> Array:
    """Running products along an axis; without one the array is flattened."""
    return _scan("cumprod", "mul", x, axis, dim, dtype, reverse)


def cummax(x: Array, axis: int | None = None, *, dim: Any = UNSET, return_indices: bool = False) -> Array:
    """Running maxima along an axis; with `return_indices` also where they are."""
    return _running("max", x, axis, dim, return_indices)


def cummin(x: Array, axis: int | None = None, *, dim: Any = UNSET, return_indices: bool = False) -> Array:
    """Running minima along an axis; with `return_indices` also where they are."""
    return _running("min", x, axis, dim, return_indices)


def _running(kind: str, x: Any, axis: Any, dim: Any, return_indices: bool) -> Any:
    name = f"cum{kind}"
    values = _scan(name, kind, x, axis, dim, None, False)
    if not return_indices:
        return values
    x = as_tensor(x, name)
    along = axis_of(synonym(axis, dim, name, "axis and dim") or 0, x.ndim, name, x)
    return values, _last_extreme(x, kind=kind, axis=along)


def logcumsumexp(x: Array, axis: int = 0, *, dim: Any = UNSET) -> Array:
    """Running log(sum(exp(x))) along an axis."""
    x = as_tensor(x, "logcumsumexp")
    along = axis_of(axis if dim is UNSET else dim, x.ndim, "logcumsumexp", x)
    return _logcumsumexp(x, axis=along)


@operation(promote="float")
def _logcumsumexp(x: Node, axis: int) -> Node:
    """One after the other: about the maximum of all, what is far below it would be lost."""
    from pullback.ops.matrix import loop

    if x.shape[axis] < 2:
        return x
    line = build.move_axis(x, axis, 0)
    first = build.slice_axis(line, 0, 0, 1)
    start = build.squeeze(first, (0,))

    def turn(step: Node, total: Node, x: Node) -> tuple[Node, Node]:
        y = build.binary("logaddexp", total, x)
        return y, y

    _, found = loop(turn, x.shape[axis] - 1, [start], [build.slice_axis(line, 0, 1, x.shape[axis])])
    return build.move_axis(build.concat([first, found], 0), 0, axis)


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    """Running sums along an axis (Array API); `include_initial` puts a 0 in front."""
    return _with_initial(cumsum, x, axis, dtype, include_initial, 0, "cumulative_sum")


def cumulative_prod(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    """Running products along an axis (Array API); `include_initial` puts a 1 in front."""
    return _with_initial(cumprod, x, axis, dtype, include_initial, 1, "cumulative_prod")


def _with_initial(scan: Callable[..., Any], x: Any, axis: int | None, dtype: Any, initial: bool, value: int,
                  name: str) -> Any:
    x = as_tensor(x, name)
    if axis is None and x.ndim != 1:
        raise ArgumentError(message(f"{name}: axis is needed for more than one dimension", [("x", described(x))],
                                    "name the axis, for example axis=0"))
    along = axis_of(0 if axis is None else axis, x.ndim, name, x)
    y = scan(x, along, dtype=dtype)
    if not initial:
        return y
    from pullback.api.creation import full
    from pullback.api.manipulation import concat

    return concat([full(tuple(1 if k == along else n for k, n in enumerate(y.shape)), value, dtype=y.dtype), y],
                  axis=along)


def var_mean(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0, dim: Any = UNSET,
             keepdim: Any = UNSET) -> tuple[Array, Array]:
    """`var` and `mean` at once."""
    options = {"dim": dim, "keepdim": keepdim}
    return var(x, axis, keepdims, correction=correction, **options), mean(x, axis, keepdims, **options)


def std_mean(x: Array, axis: Any = None, keepdims: bool = False, *, correction: float = 0, dim: Any = UNSET,
             keepdim: Any = UNSET) -> tuple[Array, Array]:
    """`std` and `mean` at once."""
    options = {"dim": dim, "keepdim": keepdim}
    return std(x, axis, keepdims, correction=correction, **options), mean(x, axis, keepdims, **options)

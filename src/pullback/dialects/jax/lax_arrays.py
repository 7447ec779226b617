"""`jax.lax`: shapes, slices, bits, sorting, reductions and running ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import prod
from typing import Any

from pullback.api import (
    bits,
    comparison,
    creation,
    elementwise,
    linear_algebra,
    manipulation,
    reductions,
    selecting,
    sorting,
    windows,
)
from pullback.api.arguments import described
from pullback.dialects.jax import array as border
from pullback.dialects.jax import lax
from pullback.dialects.jax.array import canonical, function, lift, lower, wanted
from pullback.engine.trace import SCALARS
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


class Precision(Enum):
    """How exactly products are computed: here always as exactly as the dtype allows."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


PrecisionLike = Any

bitwise_not, population_count, clz = map(function, (comparison.bitwise_invert, bits.bit_count, bits.leading_zeros))
bitwise_and, bitwise_or, bitwise_xor = (
    lax._pair(f"bitwise_{n}", f)
    for n, f in (("and", comparison.bitwise_and), ("or", comparison.bitwise_or), ("xor", comparison.bitwise_xor))
)
shift_left = lax._pair("shift_left", comparison.bitwise_left_shift)
shift_right_arithmetic = lax._pair("shift_right_arithmetic", comparison.bitwise_right_shift)
shift_right_logical = lax._pair("shift_right_logical", bits.shift_right_logical)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of each element read as another dtype of the same width."""
    return lift(elementwise.bitcast(border.asarray(operand), canonical(new_dtype)))


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """The numbers rounded to those of bfloat16 (8, 7) or float16 (5, 10)."""
    x = border.asarray(operand)
    kept = {(8, 23): x.dtype, (8, 7): "bfloat16", (5, 10): "float16"}.get((exponent_bits, mantissa_bits))
    if kept is None:
        raise ValueError_(
            message(
                "reduce_precision: formats with a dtype of their own",
                [("exponent_bits, mantissa_bits", f"{exponent_bits}, {mantissa_bits}")],
                "(8, 7) is bfloat16, (5, 10) float16",
            )
        )
    return x.astype(kept).astype(x.dtype)


# -- shapes ------------------------------------------------------------------------------------------------------------


def iota(dtype: Any, size: int) -> Any:
    """0, 1, 2, ..."""
    return lift(creation.arange(size, dtype=wanted(dtype, "iota")))


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int, **_: Any) -> Any:
    """0, 1, 2, ... along one dimension."""
    return lax.broadcast_in_dim(iota(dtype, shape[dimension]), shape, (dimension,))


def empty(shape: Any, dtype: Any, **_: Any) -> Any:
    """Zeros: nothing here has undefined values."""
    return lax.full(shape, 0, dtype)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together."""
    return manipulation.broadcast_shapes(*shapes)


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """New leading dimensions of size 1, up to a number of dimensions."""
    x = border.asarray(x)
    return x.reshape((1,) * (rank - x.ndim) + x.shape)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """Neighbouring dimensions made one."""
    x = border.asarray(operand)
    first, last, _ = _slice(start_dimension, stop_dimension).indices(x.ndim)
    if last <= first:
        raise ValueError_(
            message("collapse: no dimensions", [("operand", described(x)), ("from, to", f"{first}, {last}")])
        )
    return x.reshape((*x.shape[:first], prod(x.shape[first:last]), *x.shape[last:]))


def dtype(x: Any) -> Any:
    """The dtype of an array or a number."""
    return border.asarray(x).dtype if type(x) in SCALARS else canonical(x.dtype)


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """Arrays side by side along a new axis."""
    return lift(manipulation.stack([border.asarray(x) for x in operands], axis))


def unstack(operand: Any, axis: int = 0) -> tuple[Any, ...]:
    """The arrays along an axis."""
    return tuple(lift(x) for x in manipulation.unstack(border.asarray(operand), axis=axis))


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """The array repeated along its dimensions."""
    return lift(manipulation.tile(border.asarray(operand), tuple(reps)))


_slice = __builtins__["slice"] if isinstance(__builtins__, dict) else __builtins__.slice


def slice_in_dim(operand: Any, start_index: Any, limit_index: Any, stride: int = 1, axis: int = 0) -> Any:
    """x[start:limit:stride] along an axis."""
    x = border.asarray(operand)
    return x[(*(_slice(None),) * (axis % x.ndim), _slice(start_index, limit_index, stride))]


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """One element along an axis, at a place that is known."""
    x = border.asarray(operand)
    found = x[(*(_slice(None),) * (axis % x.ndim), index)]
    return lift(manipulation.expand_dims(found, axis % x.ndim)) if keepdims else found


def dynamic_update_index_in_dim(operand: Any, update: Any, index: Any, axis: int) -> Any:
    """One element along an axis replaced, at a place that need not be known."""
    x, new = border.asarray(operand), border.asarray(update)
    axis = axis % x.ndim
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1:])
    if new.ndim != x.ndim:
        new = lift(manipulation.expand_dims(new, axis)) if new.ndim == x.ndim - 1 else new
    return lax.dynamic_update_slice_in_dim(x, lift(manipulation.broadcast_to(new, shape)), index, axis)


def select_n(which: Any, *cases: Any) -> Any:
    """From the arrays, at each place, the one of number `which`."""
    if not cases:
        raise ValueError_(message("select_n() must have at least one case"))
    chosen, arrays = border.asarray(which), [border.asarray(x) for x in cases]
    if any(x.shape != arrays[0].shape or x.dtype != arrays[0].dtype for x in arrays[1:]) or (
        chosen.shape and chosen.shape != arrays[0].shape
    ):
        raise ArgumentError(
            message(
                "select_n: all cases have one shape and dtype, and `which` that shape or none",
                [("which", described(chosen)), ("cases", ", ".join(map(described, arrays)))],
            )
        )
    if chosen.dtype.kind == "b" and len(arrays) > 2:
        raise ArgumentError(message("select_n: a choice by bools has two cases", [("cases", str(len(arrays)))]))
    found = arrays[0]
    for k, case in enumerate(arrays[1:], 1):
        found = elementwise.where(chosen if chosen.dtype.kind == "b" else chosen == k, case, found)
    return lift(found)


# -- sorting -----------------------------------------------------------------------------------------------------------


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """The elements in ascending order; several arrays in the order of the first `num_keys` of them."""
    if not isinstance(operand, (tuple, list)):
        return lift(sorting.sort(border.asarray(operand), dimension))
    arrays = [border.asarray(x) for x in operand]
    if len({x.shape for x in arrays}) > 1 or not 1 <= num_keys <= len(arrays):
        raise ShapeError(
            message(
                "lax.sort: arrays of one shape, and as many keys at most",
                [("operands", ", ".join(map(described, arrays))), ("num_keys", str(num_keys))],
            )
        )
    for key in range(num_keys - 1, -1, -1):
        order = sorting.argsort(arrays[key], dimension)
        arrays = [lift(selecting.take_along_axis(x, order, axis=dimension)) for x in arrays]
    return tuple(arrays)


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> Any:
    """Keys in ascending order, and the values that belong to them."""
    return sort((keys, values), dimension)


def top_k(operand: Any, k: int, axis: int = -1) -> Any:
    """The k greatest elements along an axis, and their positions."""
    return list(lift(sorting.topk(border.asarray(operand), k, axis)))


def approx_max_k(operand: Any, k: int, reduction_dimension: int = -1, **_: Any) -> Any:
    """The k greatest elements along a dimension, all of them, and their positions."""
    return top_k(operand, k, reduction_dimension)


def approx_min_k(operand: Any, k: int, reduction_dimension: int = -1, **_: Any) -> Any:
    """The k least elements along a dimension, all of them, and their positions."""
    return list(lift(sorting.topk(border.asarray(operand), k, reduction_dimension, largest=False)))


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The positions of the greatest elements."""
    return lift(reductions.argmax(lower(operand), axis)).astype(index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The positions of the least elements."""
    return lift(reductions.argmin(lower(operand), axis)).astype(index_dtype)


# -- reductions --------------------------------------------------------------------------------------------------------


def _over_axes(name: str, target: Callable[..., Any], kinds: str = "") -> Callable[..., Any]:
    def call(operand: Any, axes: Sequence[int], **_: Any) -> Any:
        x = border.asarray(operand)
        if kinds and x.dtype.kind not in kinds:
            raise ArgumentError(
                message(f"{name}: not a dtype that it takes", [("operand", described(x))], "x.astype(bool), or of ints")
            )
        return lift(target(x, tuple(axes)))

    call.__name__, call.__doc__ = name, target.__doc__
    return call


def _xor(x: Any, axes: tuple[int, ...]) -> Any:
    return windows.fold(comparison.bitwise_xor, x, False if x.dtype.kind == "b" else 0, axes)


reduce_sum = _over_axes("reduce_sum", lambda x, axes: reductions.sum(x, axes).to(x.dtype))
reduce_prod = _over_axes("reduce_prod", lambda x, axes: reductions.prod(x, axes).to(x.dtype))
reduce_max, reduce_min = _over_axes("reduce_max", reductions.max), _over_axes("reduce_min", reductions.min)
reduce_and, reduce_or = _over_axes("reduce_and", reductions.all, "b"), _over_axes("reduce_or", reductions.any, "b")
reduce_xor = _over_axes("reduce_xor", _xor, "biu")


def _running(name: str, target: Callable[..., Any]) -> Callable[..., Any]:
    def call(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = border.asarray(operand)
        if not -x.ndim <= axis < x.ndim:
            raise ValueError_(message(f"{name}: axis out of range", [("operand", described(x)), ("axis", str(axis))]))
        found = target(manipulation.flip(x, axis) if reverse else x, axis)
        return lift(manipulation.flip(found, axis) if reverse else found).astype(x.dtype)

    call.__name__, call.__doc__ = name, target.__doc__
    return call


def _log_sums(x: Any, axis: int) -> Any:
    """Running log(sum(exp(x)))."""
    return windows.associative_scan(elementwise.logaddexp, x, False, axis)


cumsum, cumprod = _running("cumsum", reductions.cumsum), _running("cumprod", reductions.cumprod)
cummax, cummin = _running("cummax", reductions.cummax), _running("cummin", reductions.cummin)
cumlogsumexp = _running("cumlogsumexp", _log_sums)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Products of matrices for each place in the leading dimensions."""
    return lift(linear_algebra.matmul(lower(lhs), lower(rhs)))


# -- what means nothing here -------------------------------------------------------------------------------------------


def optimization_barrier(operand: Any) -> Any:
    """The same arrays."""
    return operand


def platform_dependent(*args: Any, default: Callable[..., Any] | None = None, **per_platform: Any) -> Any:
    """What the function for this platform returns."""
    chosen = per_platform.get("cpu", default)
    if chosen is None:
        raise ValueError_(
            message("platform_dependent: no function for the CPU", [("platforms", ", ".join(per_platform))], "default=")
        )
    return chosen(*args)

"""`jax.lax`: control flow, and the operations under the compiler's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.api import (
    comparison,
    convolution,
    creation,
    elementwise,
    linear_algebra,
    loops,
    manipulation,
    reductions,
    reindexing,
    sorting,
)
from pullback.api.arguments import described
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import canonical, function, lift, lower, wanted
from pullback.dialects.jax.transforms import arrays, check_function
from pullback.engine import control
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import SCALARS
from pullback.util import tree
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError, ValueError_, message

#: functions of one array, and of two, as "name" or "name=name_there"
_UNARY = """abs acos acosh asin asinh atan atanh cbrt ceil conj cos cosh digamma erf erfc erf_inv=erfinv exp exp2
    expm1 floor imag is_finite=isfinite lgamma log log1p logistic=sigmoid neg=negative real reciprocal round rsqrt sign
    sin sinh sqrt square tan tanh"""
_BINARY = {
    elementwise: "add atan2 div=divide max=maximum min=minimum mul=multiply nextafter rem=fmod sub=subtract",
    comparison: "eq=equal ne=not_equal lt=less le=less_equal gt=greater ge=greater_equal",
}


def _pair(name: str, target: Callable[..., Any]) -> Callable[..., Any]:
    """A function of two arrays of one dtype and, unless one is a number, one rank: nothing is promoted here."""
    inner = function(target, True)

    def call(x: Any, y: Any) -> Any:
        first, second = _result_type(x), _result_type(y)
        if first is not second and not _gives_way(x, second) and not _gives_way(y, first):
            raise DTypeError(
                message(
                    f"lax.{name} requires arguments to have the same dtypes",
                    [("x", described(x)), ("y", described(y))],
                    f"jnp.{target.__name__} converts them; or x.astype(...)",
                )
            )
        if len({v.ndim for v in (x, y) if isinstance(v, (TensorBase, np.ndarray)) and v.ndim}) > 1:
            raise ShapeError(
                message(
                    f"lax.{name} got incompatible shapes for broadcasting",
                    [("x", described(x)), ("y", described(y))],
                    f"jnp.{target.__name__} broadcasts them; or lax.broadcast_in_dim",
                )
            )
        return inner(x, y)

    call.__name__, call.__doc__ = name, target.__doc__
    return call


def _result_type(x: Any) -> Any:
    return canonical(x.dtype) if hasattr(x, "dtype") else border.asarray(x).dtype


def _gives_way(x: Any, dtype: Any) -> bool:
    """Whether a number takes the dtype of the other operand: one of its own kind."""
    return type(x) in SCALARS and dtype.kind == SCALARS[type(x)]


for _entry in _UNARY.split():
    _name, _, _there = _entry.partition("=")
    globals()[_name] = function(vars(elementwise)[_there or _name], True)
for _home, _entries in _BINARY.items():
    for _entry in _entries.split():
        _name, _, _there = _entry.partition("=")
        globals()[_name] = _pair(_name, vars(_home)[_there or _name])
pow = integer_pow = function(elementwise.power, True)
dot = function(linear_algebra.dot)
stop_gradient = function(control.stop_gradient)


def lifted(result: Any) -> Any:
    """What a control function returns: Arrays where a branch returned plain numbers."""
    return tree.map(lift, result)


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any, operand: Any = None
) -> Any:
    """`true_fun(*operands)` or `false_fun(*operands)`: one of the two runs."""
    check_function(true_fun, "lax.cond")
    check_function(false_fun, "lax.cond")
    given = operands if operand is None else (operand,)
    return lifted(control.cond(border.asarray(pred), true_fun, false_fun, *[arrays(x) for x in given]))


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`."""
    if not branches:
        raise ValueError_(message("switch: Empty branch sequence", help="give at least one function"))
    return lifted(control.switch(border.asarray(index), branches, *[arrays(x) for x in operands]))


def scan(
    f: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: int = 1
) -> tuple[Any, Any]:
    """Fold with history: `f(carry, x) -> (carry, y)` along the leading axis."""
    check_function(f, "lax.scan")
    return lifted(control.scan(f, arrays(init), arrays(xs), length, reverse))


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Repeat `body_fun` while `cond_fun` holds."""
    check_function(cond_fun, "lax.while_loop")
    check_function(body_fun, "lax.while_loop")
    return lifted(control.while_loop(cond_fun, body_fun, arrays(init_val)))


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`."""
    return lifted(loops.fori_loop(_known(lower), _known(upper), lambda i, v: body_fun(lift(i), v), arrays(init_val)))


def _known(x: Any) -> Any:
    """A limit as a number, where its value is known."""
    return x.item() if isinstance(x, TensorBase) and x._peek().buffer is not None else x


def map(f: Callable[..., Any], xs: Any) -> Any:
    """`stack([f(x) for x in xs])` as a loop."""
    return lifted(loops.map_sequentially(f, arrays(xs)))


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """on_true where the condition holds, on_false elsewhere."""
    return lift(elementwise.where(lower(pred), lower(on_true), lower(on_false)))


def clamp(min: Any, x: Any, max: Any) -> Any:
    """x limited to [min, max]."""
    return lift(elementwise.clip(lower(x), lower(min), lower(max)))


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The elements as another dtype."""
    return border.asarray(operand).astype(new_dtype)


def broadcast(operand: Any, sizes: Sequence[int]) -> Any:
    """The array repeated along new leading dimensions."""
    x = border.asarray(operand)
    return lift(manipulation.broadcast_to(x, (*sizes, *x.shape)))


def broadcast_in_dim(operand: Any, shape: Any, broadcast_dimensions: Sequence[int]) -> Any:
    """Dimension k of the array at dimension `broadcast_dimensions[k]` of the result."""
    return lift(reindexing.broadcast_in_dim(border.asarray(operand), shape, broadcast_dimensions))


def reshape(operand: Any, new_sizes: Any, dimensions: Any = None) -> Any:
    """The elements under another shape."""
    return border.asarray(operand).reshape(new_sizes)


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """The dimensions in another order."""
    return border.asarray(operand).transpose(*permutation)


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """Dimensions of size 1 removed."""
    return border.asarray(array).squeeze(tuple(dimensions))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """New dimensions of size 1."""
    return lift(manipulation.expand_dims(border.asarray(array), tuple(dimensions)))


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """The order of elements reversed along dimensions."""
    return lift(manipulation.flip(border.asarray(operand), tuple(dimensions)))


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Arrays joined along a dimension."""
    return lift(manipulation.concat([border.asarray(x) for x in operands], dimension))


def slice(
    operand: Any, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Sequence[int] | None = None
) -> Any:
    """x[start:limit:stride] in every dimension."""
    steps = strides or (1,) * len(start_indices)
    return border.asarray(operand)[tuple(_slice(*t) for t in zip(start_indices, limit_indices, steps, strict=True))]


_slice = __builtins__["slice"] if isinstance(__builtins__, dict) else __builtins__.slice


def dynamic_slice_in_dim(operand: Any, start_index: Any, slice_size: int, axis: int = 0) -> Any:
    """`slice_size` elements along an axis from a place that need not be known."""
    x = border.asarray(operand)
    if slice_size > x.shape[axis]:
        raise ShapeError(
            message(
                "dynamic_slice: slice_sizes must be less than or equal to operand shape",
                [("operand", repr(x.info.type)), ("slice size", f"{slice_size} along axis {axis}")],
            )
        )
    start = elementwise.clip(border.asarray(start_index), 0, x.shape[axis] - slice_size)
    places = lift(creation.arange(slice_size)) + start
    return x[(*(_slice(None),) * (axis % x.ndim), places)]


def dynamic_slice(operand: Any, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> Any:
    """A block from a place that need not be known."""
    operand = border.asarray(operand)
    if not len(start_indices) == len(slice_sizes) == operand.ndim:
        raise ShapeError(
            message(
                "dynamic_slice: one start and one size for every dimension",
                [("operand", repr(operand.info.type)), ("start_indices", repr(start_indices)[:60])],
            )
        )
    for axis, (start, size) in enumerate(zip(start_indices, slice_sizes, strict=True)):
        operand = dynamic_slice_in_dim(operand, start, size, axis)
    return operand


def dynamic_update_slice_in_dim(operand: Any, update: Any, start_index: Any, axis: int) -> Any:
    """A block replaced, at a place that need not be known."""
    x, new = border.asarray(operand), border.asarray(update)
    start = elementwise.clip(border.asarray(start_index), 0, x.shape[axis] - new.shape[axis])
    places = lift(creation.arange(new.shape[axis])) + start
    return x.at[(*(_slice(None),) * (axis % x.ndim), places)].set(new)


def dynamic_update_slice(operand: Any, update: Any, start_indices: Sequence[Any]) -> Any:
    """A block replaced, at a place that need not be known."""
    x, new = border.asarray(operand), border.asarray(update)
    if not len(start_indices) == new.ndim == x.ndim:
        raise ShapeError(
            message(
                "dynamic_update_slice: one start for every dimension, and an update of as many dimensions",
                [("operand", described(x)), ("update", described(new))],
            )
        )
    places = []
    for axis, start in enumerate(start_indices):
        first = elementwise.clip(border.asarray(start), 0, x.shape[axis] - new.shape[axis])
        shape = tuple(-1 if k == axis else 1 for k in range(x.ndim))
        places.append((lift(creation.arange(new.shape[axis])) + first).reshape(shape))
    return x.at[tuple(places)].set(new) if places else new


def conv(lhs: Any, rhs: Any, window_strides: Sequence[int], padding: Any) -> Any:
    """Cross-correlation of (batch, channels, ...) with (filters, channels, ...)."""
    return conv_general_dilated(lhs, rhs, window_strides, padding)


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **_: Any,
) -> Any:
    """Cross-correlation in one to three dimensions, whose layouts `dimension_numbers` names, as ("NHWC", "HWIO",
    "NHWC")."""
    x, w = border.asarray(lhs), border.asarray(rhs)
    rank = x.ndim - 2
    if not 1 <= rank <= 3 or (lhs_dilation is not None and any(n != 1 for n in lhs_dilation)):
        raise UnsupportedError(
            message(
                "conv_general_dilated: one to three dimensions, and no dilation of the input",
                [("lhs", described(x)), ("lhs_dilation", repr(lhs_dilation))],
            )
        )
    plain = ("NC" + "DHW"[-rank:], "OI" + "DHW"[-rank:])
    given = dimension_numbers or (*plain, plain[0])
    x = x.transpose(*[given[0].index(c) for c in plain[0]])
    w = w.transpose(*[given[1].index(c) for c in plain[1]])
    dilation = tuple(rhs_dilation or (1,) * rank)
    around = _around(padding, x.shape[2:], w.shape[2:], window_strides, dilation)
    native = (convolution.conv1d, convolution.conv2d, convolution.conv3d)[rank - 1]
    padded = manipulation.pad(x, [(0, 0), (0, 0), *around])
    found = lift(native(padded, w, None, tuple(window_strides), 0, dilation, feature_group_count))
    return found.transpose(*[plain[0].index(c) for c in given[2]])


def _around(padding: Any, sizes: Any, kernel: Any, strides: Any, dilation: Any) -> list[tuple[int, int]]:
    """What is put before and after each dimension."""
    if padding == "VALID":
        return [(0, 0)] * len(sizes)
    if padding != "SAME":
        return [tuple(p) for p in padding]
    found: list[tuple[int, int]] = []
    for n, k, s, d in zip(sizes, kernel, strides, dilation, strict=True):
        missing = (-(-n // s) - 1) * s + (k - 1) * d + 1 - n
        missing = missing if missing > 0 else 0
        found.append((missing // 2, missing - missing // 2))
    return found


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    """One element along an axis, at a place that need not be known."""
    found = dynamic_slice_in_dim(operand, index, 1, axis)
    return found if keepdims else found.squeeze(axis)


def iota(dtype: Any, size: int) -> Any:
    """0, 1, 2, ..."""
    return lift(creation.arange(size, dtype=wanted(dtype, "iota")))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere."""
    from pullback.dialects.jax import numpy as jnp  # its rules for dtypes

    return jnp.full(shape, fill_value, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """One value everywhere, in the shape of an array."""
    x = border.asarray(x)
    return full(x.shape if shape is None else shape, fill_value, dtype or x.dtype)


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running sums."""
    return lift(reductions.cumsum(lower(operand), axis, reverse=reverse))


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running products."""
    return lift(reductions.cumprod(lower(operand), axis, reverse=reverse))


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The positions of the greatest elements."""
    return lift(reductions.argmax(lower(operand), axis)).astype(index_dtype)


def top_k(operand: Any, k: int) -> Any:
    """The k greatest elements of the last dimension, and their positions."""
    return list(lift(sorting.topk(border.asarray(operand), k)))


def sort(operand: Any, dimension: int = -1) -> Any:
    """The elements in ascending order."""
    return lift(sorting.sort(border.asarray(operand), dimension))


def dot_general(
    lhs: Any, rhs: Any, dimension_numbers: Any, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The product summed over contracted dimensions, for each place in the batch dimensions."""
    (left, right), (left_batch, right_batch) = dimension_numbers
    x, y = border.asarray(lhs), border.asarray(rhs)
    if len(left) != len(right) or len(left_batch) != len(right_batch):
        raise ArgumentError(
            message(
                "dot_general: as many dimensions of one as of the other",
                [("dimension_numbers", repr(dimension_numbers))],
            )
        )
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first, second = {}, {}
    for a, b in (*zip(left_batch, right_batch, strict=True), *zip(left, right, strict=True)):
        first[a] = second[b] = next(letters)
    free = [first.setdefault(k, next(letters)) for k in range(x.ndim) if k not in first]
    other = [second.setdefault(k, next(letters)) for k in range(y.ndim) if k not in second]
    result = "".join([*(first[a] for a in left_batch), *free, *other])
    left_text, right_text = "".join(first[k] for k in range(x.ndim)), "".join(second[k] for k in range(y.ndim))
    return lift(linear_algebra.einsum(f"{left_text},{right_text}->{result}", x, y))


def batch_matmul(lhs: Any, rhs: Any) -> Any:
    """Products of matrices for each place in the leading dimensions."""
    return lift(linear_algebra.matmul(lower(lhs), lower(rhs)))


def reduce_sum(operand: Any, axes: Sequence[int]) -> Any:
    """Sums over axes."""
    return lift(reductions.sum(lower(operand), tuple(axes)))


def reduce_max(operand: Any, axes: Sequence[int]) -> Any:
    """The greatest elements over axes."""
    return lift(reductions.max(lower(operand), tuple(axes)))


def reduce_min(operand: Any, axes: Sequence[int]) -> Any:
    """The least elements over axes."""
    return lift(reductions.min(lower(operand), tuple(axes)))


__getattr__, __dir__ = names(__name__, {})

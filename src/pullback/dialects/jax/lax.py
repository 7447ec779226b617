"""`jax.lax`: control flow, and the operations under the compiler's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.api import (
    comparison,
    creation,
    elementwise,
    linear_algebra,
    loops,
    manipulation,
    reindexing,
)
from pullback.api.arguments import described
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import effects
from pullback.dialects.jax.array import canonical, function, lift, lower
from pullback.dialects.jax.transforms import arrays, check_function
from pullback.engine import control
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import SCALARS
from pullback.util import tree
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, ValueError_, message

#: functions of one array, and of two, as "name" or "name=name_there"
_UNARY = """abs acos acosh asin asinh atan atanh cbrt ceil conj cos cosh digamma erf erfc erf_inv=erfinv exp exp2
    expm1 floor imag is_finite=isfinite lgamma log log1p logistic=sigmoid neg=negative real reciprocal round rsqrt sign
    sin sinh sqrt square tan tanh"""
_BINARY = {
    elementwise: "add atan2 max=maximum min=minimum mul=multiply nextafter rem=fmod sub=subtract",
    comparison: "eq=equal ne=not_equal lt=less le=less_equal gt=greater ge=greater_equal",
}


def _divide(x: Any, y: Any) -> Any:
    """x / y; the quotient of whole numbers is one, rounded towards 0."""
    if _result_type(x).is_inexact or _result_type(y).is_inexact:
        return elementwise.divide(x, y)
    return elementwise.floor_divide(elementwise.subtract(x, elementwise.fmod(x, y)), y)


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
_divide.__name__ = "divide"
div = _pair("div", _divide)
pow = function(elementwise.power, True)
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
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Fold with history: `f(carry, x) -> (carry, y)` along the leading axis."""
    check_function(f, "lax.scan")
    return lifted(control.scan(effects.in_second(f, True), arrays(init), arrays(xs), length, reverse))


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Repeat `body_fun` while `cond_fun` holds."""
    check_function(cond_fun, "lax.while_loop")
    check_function(body_fun, "lax.while_loop")
    return lifted(control.while_loop(cond_fun, body_fun, arrays(init_val)))


def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any, *, unroll: int | bool | None = None
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`."""
    first, last = _known(lower), _known(upper)
    if not isinstance(first, int) or not isinstance(last, int) or last <= first:
        return lifted(loops.fori_loop(first, last, lambda i, v: body_fun(lift(i), v), arrays(init_val)))

    def turn(state: Any, _: Any) -> Any:
        i, value = state
        return (i + 1, body_fun(i, value)), None

    return scan(turn, (border.asarray(first, "int32"), init_val), None, last - first)[0][1]


def _known(x: Any) -> Any:
    """A limit as a number, where its value is known."""
    return x.item() if isinstance(x, TensorBase) and x._peek().buffer is not None else x


def map(f: Callable[..., Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """`stack([f(x) for x in xs])` as a loop, of which each turn takes `batch_size` elements at once."""
    check_function(f, "lax.map")
    if batch_size is not None:
        return lifted(loops.map_batches(f, arrays(xs), batch_size))
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


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
    """The elements under another shape; read with the dimensions in another order first, where that is given."""
    x = border.asarray(operand)
    return (x if dimensions is None else x.transpose(*dimensions)).reshape(new_sizes)


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


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    """One element along an axis, at a place that need not be known."""
    found = dynamic_slice_in_dim(operand, index, 1, axis)
    return found if keepdims else found.squeeze(axis)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere."""
    from pullback.dialects.jax import numpy as jnp  # its rules for dtypes

    return jnp.full(shape, fill_value, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """One value everywhere, in the shape of an array."""
    x = border.asarray(x)
    return full(x.shape if shape is None else shape, fill_value, dtype or x.dtype)


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
    found = lift(linear_algebra.einsum(f"{left_text},{right_text}->{result}", x, y))
    return _preferred(found, preferred_element_type)


def dot(lhs: Any, rhs: Any, precision: Any = None, preferred_element_type: Any = None, **_: Any) -> Any:
    """The product of vectors or matrices."""
    x, y = border.asarray(lhs), border.asarray(rhs)
    if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2) or x.shape[-1] != y.shape[0] or x.dtype != y.dtype:
        raise ShapeError(
            message(
                "lax.dot: vectors or matrices of one dtype; contracted dimensions must have equal sizes",
                [("lhs", described(x)), ("rhs", described(y))],
                "jnp.dot converts dtypes; lax.dot_general says which dimensions are contracted",
            )
        )
    return _preferred(lift(linear_algebra.dot(x, y)), preferred_element_type)


def _preferred(x: Any, dtype: Any) -> Any:
    return x if dtype is None else x.astype(dtype)


def integer_pow(x: Any, y: int) -> Any:
    """x to a whole power that is known."""
    if not isinstance(y, int):
        raise ArgumentError(message("integer_pow: the power is a Python integer", [("y", described(y))], "lax.pow"))
    return border.asarray(x) ** y


__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.lax_windows": """ConvDimensionNumbers associative_scan conv conv_dimension_numbers
            conv_general_dilated conv_general_dilated_patches conv_transpose conv_with_general_padding pad
            padtype_to_pads reduce reduce_window reduce_window_shape_tuple split""",
        "dialects.jax.lax_arrays": """Precision PrecisionLike
            approx_max_k approx_min_k argmax argmin batch_matmul bitcast_convert_type bitwise_and
            bitwise_not bitwise_or bitwise_xor broadcast_shapes broadcast_to_rank broadcasted_iota clz collapse
            cumlogsumexp cummax cummin cumprod cumsum dtype
            dynamic_update_index_in_dim empty index_in_dim iota optimization_barrier platform_dependent
            population_count reduce_and reduce_max reduce_min reduce_or reduce_precision reduce_prod reduce_sum
            reduce_xor select_n shift_left
            shift_right_arithmetic shift_right_logical slice_in_dim sort sort_key_val stack tile top_k unstack""",
        "dialects.jax.scipy.special": """bessel_i0e=i0e bessel_i1e=i1e betainc igamma=gammainc igammac=gammaincc
            polygamma zeta""",
        "dialects.jax.derivatives": "custom_linear_solve custom_root",
        "dialects.jax.sharding": "with_sharding_constraint",
        "dialects.jax.lax_linalg": "linalg=",
        "dialects.jax.lax_indexing": """GatherDimensionNumbers GatherScatterMode ScatterDimensionNumbers gather
            index_take scatter scatter_add scatter_apply scatter_max scatter_min scatter_mul scatter_sub""",
        "dialects.jax.collectives": """all_gather all_to_all axis_index axis_size pbroadcast pcast pmax pmean pmin
            ppermute pshuffle psum psum_scatter pswapaxes""",
    },
)

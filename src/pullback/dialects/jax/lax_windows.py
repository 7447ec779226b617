"""`jax.lax`: convolutions in any layout, reductions over windows and with any function, running combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from pullback.api import comparison, convolution, elementwise, manipulation, windows
from pullback.api.arguments import described
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import Array, lift
from pullback.dialects.jax.transforms import arrays, check_function
from pullback.engine.tensor import TensorBase
from pullback.util import tree
from pullback.util.errors import ArgumentError, ShapeError, UnsupportedError, ValueError_, message

_NATIVE = {1: convolution.conv1d, 2: convolution.conv2d, 3: convolution.conv3d}
_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


class ConvDimensionNumbers(NamedTuple):
    """Where batch, features and spatial dimensions stand in the image, the kernel (filters, features, ...) and the
    result."""

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


def conv_dimension_numbers(lhs_shape: Any, rhs_shape: Any, dimension_numbers: Any) -> ConvDimensionNumbers:
    """Layouts in letters, such as ("NHWC", "HWIO", "NHWC"), as positions."""
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    rank = len(lhs_shape)
    if dimension_numbers is None:
        return ConvDimensionNumbers(*(tuple(range(rank)),) * 3)
    if len(dimension_numbers) != 3:
        raise ShapeError(
            message("convolution: three layouts", [("given", repr(dimension_numbers))], '("NHWC", "HWIO", "NHWC")')
        )
    image, kernel, result = dimension_numbers
    if not len(image) == len(kernel) == len(result) == rank == len(rhs_shape):
        raise ShapeError(
            message(
                "convolution: dimension_numbers has a letter for each dimension",
                [("lhs", str(tuple(lhs_shape))), ("rhs", str(tuple(rhs_shape))), ("given", repr(dimension_numbers))],
                'for example ("NHWC", "HWIO", "NHWC")',
            )
        )
    space = [c for c in kernel if c not in "OI"]
    if {*image} != {"N", "C", *space} or {*result} != {"N", "C", *space} or {*kernel} != {"O", "I", *space}:
        raise ShapeError(
            message(
                "convolution: the layouts name N and C, or O and I, and the same spatial letters",
                [("dimension_numbers", repr(dimension_numbers))],
                'for example ("NHWC", "HWIO", "NHWC")',
            )
        )
    return ConvDimensionNumbers(
        *(tuple(spec.index(c) for c in (*front, *space)) for spec, front in
          ((image, "NC"), (kernel, "OI"), (result, "NC")))
    )


def padtype_to_pads(in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: Any
                    ) -> list[tuple[int, int]]:
    """What "SAME", "SAME_LOWER", "VALID" or pairs of numbers add before and after each dimension."""
    if not isinstance(padding, str):
        return [(int(a), int(b)) for a, b in padding]
    kind = padding.upper()
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    if kind not in ("SAME", "SAME_LOWER"):
        raise ValueError_(message(f"Unknown padding type: {padding}", help='"SAME", "SAME_LOWER", "VALID", or pairs'))
    return windows.same_padding(in_shape, window_shape, window_strides, kind == "SAME_LOWER")


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Cross-correlation in one to three dimensions, whose layouts `dimension_numbers` names, as ("NHWC", "HWIO",
    "NHWC")."""
    x, w = border.asarray(lhs), border.asarray(rhs)
    rank = x.ndim - 2
    if rank not in _NATIVE or w.ndim != x.ndim or batch_group_count != 1:
        raise UnsupportedError(
            message(
                "conv_general_dilated: one to three spatial dimensions, and batch_group_count=1",
                [("lhs", described(x)), ("rhs", described(w)), ("batch_group_count", str(batch_group_count))],
            )
        )
    if x.dtype != w.dtype:
        raise ArgumentError(
            message(
                "lax.conv_general_dilated requires arguments to have the same dtypes",
                [("lhs", described(x)), ("rhs", described(w))],
                "convert one of them: x.astype(...)",
            )
        )
    spec = conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    x, w = x.transpose(*spec.lhs_spec), w.transpose(*spec.rhs_spec)
    between, apart = tuple(lhs_dilation or (1,) * rank), tuple(rhs_dilation or (1,) * rank)
    _check_convolution(x, w, window_strides, between, apart, feature_group_count)
    x = _dilated(x, between, padding)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], apart, strict=True)]
    around = padtype_to_pads(x.shape[2:], reach, window_strides, padding)
    low, high = (0, 0, *(a for a, _ in around)), (0, 0, *(b for _, b in around))
    padded = windows.pad_between(x, low, high, (0,) * x.ndim)
    found = lift(_NATIVE[rank](padded, w, None, tuple(window_strides), 0, apart, feature_group_count))
    return found.transpose(*[spec.out_spec.index(k) for k in range(x.ndim)])


def _dilated(x: Any, between: tuple[int, ...], padding: Any) -> Any:
    """The image with zeros between its elements."""
    if all(n == 1 for n in between):
        return x
    if isinstance(padding, str):
        raise ValueError_(
            message(
                "conv_general_dilated: padding by name is not defined where the input is dilated",
                [("padding", repr(padding)), ("lhs_dilation", repr(between))],
                "give pairs of numbers, or lax.conv_transpose",
            )
        )
    zero = (0,) * x.ndim
    return windows.pad_between(x, zero, zero, (0, 0, *(n - 1 for n in between)))


def _check_convolution(x: Any, w: Any, strides: Any, between: Any, apart: Any, groups: int) -> None:
    if not len(strides) == len(between) == len(apart) == x.ndim - 2:
        raise ShapeError(
            message(
                "conv_general_dilated: window and strides must have the same number of dimensions",
                [("lhs", described(x)), ("window_strides", repr(tuple(strides)))],
                "one number for each spatial dimension",
            )
        )
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            message(
                "conv_general_dilated lhs feature dimension size divided by feature_group_count must equal the rhs "
                "input feature dimension size",
                [("lhs features", str(x.shape[1])), ("rhs features", str(w.shape[1])), ("groups", str(groups))],
                "dimension_numbers says which dimension is which",
            )
        )


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Cross-correlation of (batch, channels, ...) with (filters, channels, ...)."""
    return conv_general_dilated(lhs, rhs, window_strides, padding)


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Cross-correlation of (batch, channels, ...) with (filters, channels, ...), either of them dilated."""
    return conv_general_dilated(lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation)


_LAST = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Any,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """A convolution that enlarges: the image is dilated by the strides. Channels are last unless said otherwise."""
    x, w = border.asarray(lhs), border.asarray(rhs)
    rank = x.ndim - 2
    given = _LAST.get(rank) if dimension_numbers is None else dimension_numbers
    spec = conv_dimension_numbers(x.shape, w.shape, given)
    apart = tuple(rhs_dilation or (1,) * rank)
    if isinstance(padding, str):
        sizes = [(w.shape[a] - 1) * d + 1 for a, d in zip(spec.rhs_spec[2:], apart, strict=True)]
        padding = [_enlarging(k, s, padding) for k, s in zip(sizes, strides, strict=True)]
    if transpose_kernel:
        w = lift(manipulation.flip(w, spec.rhs_spec[2:])).swapaxes(spec.rhs_spec[0], spec.rhs_spec[1])
    return conv_general_dilated(x, w, (1,) * rank, padding, tuple(strides), apart, spec)


def _enlarging(size: int, stride: int, padding: str) -> tuple[int, int]:
    """What is added around a dilated dimension."""
    if padding == "SAME":
        total = size + stride - 2
        before = size - 1 if stride > size - 1 else -(-total // 2)
        return before, total - before
    if padding == "VALID":
        return size - 1, stride - 1 + max(size - stride, 0)
    raise ValueError_(message("Padding mode must be `SAME` or `VALID`.", [("padding", repr(padding))]))


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The patches that a convolution would multiply with its kernel, as features: channel first, then place."""
    x = border.asarray(lhs)
    spec = conv_dimension_numbers(x.shape, x.shape, dimension_numbers)
    channels, size = x.shape[spec.lhs_spec[1]], prod(filter_shape)
    eye = lift(border.asarray(_unit(size, x.dtype))).reshape((size, 1, *filter_shape))
    kernel = lift(manipulation.tile(eye, (channels, *(1,) * (eye.ndim - 1))))
    plain = tuple(range(x.ndim))
    layout = ConvDimensionNumbers(spec.lhs_spec, plain, spec.out_spec)
    return conv_general_dilated(
        x, kernel, window_strides, padding, lhs_dilation, rhs_dilation, layout, feature_group_count=channels
    )


def _unit(size: int, dtype: Any) -> Any:
    from pullback.api.creation import eye

    return eye(size, dtype=dtype)


# -- reductions --------------------------------------------------------------------------------------------------------


def monoid(computation: Callable[..., Any]) -> str | None:
    """The name of a function that the array room combines by, where it is one."""
    return _known().get(computation) if getattr(computation, "__hash__", None) else None


_MONOIDS: dict[Any, str] = {}


def _known() -> dict[Any, str]:
    if not _MONOIDS:
        import operator

        from pullback.dialects.jax import lax  # it shows this module's names
        from pullback.dialects.jax import numpy as jnp

        _MONOIDS.update({
            lax.add: "add", jnp.add: "add", operator.add: "add", lax.mul: "mul", jnp.multiply: "mul",
            operator.mul: "mul", lax.max: "max", jnp.maximum: "max", lax.min: "min", jnp.minimum: "min",
        })
    return _MONOIDS


def _combining(computation: Callable[..., Any], initial: Any, name: str) -> Any:
    """A computation as the array room takes it."""
    check_function(computation, name)
    by_name = None if isinstance(initial, (tuple, list, dict)) else monoid(computation)
    return by_name or (lambda x, y: arrays(computation(x, y)))


def reduce(
    operands: Any, init_values: Any, computation: Callable[..., Any], dimensions: Sequence[int], **_: Any
) -> Any:
    """The elements along dimensions and the initial values, combined by an associative function."""
    given, initial = arrays(operands), _like(arrays(init_values), operands, "reduce")
    found = windows.fold(_combining(computation, operands, "lax.reduce"), given, initial, tuple(dimensions))
    return tree.map(lift, found)


def _like(initial: Any, operands: Any, name: str) -> Any:
    """Initial values, refused where they are of another dtype than the arrays."""
    for value, x in zip(tree.leaves(initial), tree.leaves(arrays(operands)), strict=True):
        if value.shape or not _fits(value, x):
            raise ArgumentError(
                message(
                    f"{name}: one initial value, of the operand's dtype",
                    [("operand", described(x)), ("init_value", described(value))],
                    f"jnp.array(..., {x.dtype.name!r})",
                )
            )
    return tree.map(_number, initial)


_KINDS = "bifc"


def _fits(value: Any, x: Any) -> bool:
    """Whether a value can be among an array's elements: it has its dtype, or is a number that takes it."""
    kind = "i" if x.dtype.kind == "u" else x.dtype.kind
    return value.dtype == x.dtype or (value.weak_type and _KINDS.index(value.dtype.kind) <= _KINDS.index(kind))


def _number(x: Any) -> Any:
    """An initial value as a number, where it is known."""
    return x.item() if isinstance(x, Array) and x._peek().buffer is not None else x


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Each window's elements and the initial value, combined by an associative function."""
    if isinstance(operand, (tuple, list, dict)):
        raise UnsupportedError(
            message("reduce_window: one array", [("operand", type(operand).__name__)], "reduce the arrays one by one")
        )
    x = border.asarray(operand)
    if not len(window_dimensions) == len(window_strides) == x.ndim:
        raise ShapeError(
            message(
                "reduce_window: one window size and one stride for each dimension",
                [("operand", described(x)), ("window_dimensions", repr(tuple(window_dimensions)))],
                "1 where a dimension has no windows",
            )
        )
    initial = _like(arrays(init_value), x, "reduce_window")
    spread = tuple(window_dilation or (1,) * x.ndim)
    base = tuple(base_dilation or (1,) * x.ndim)
    if isinstance(padding, str):
        sizes = [(n - 1) * b + 1 for n, b in zip(x.shape, base, strict=True)]
        reach = [(k - 1) * d + 1 for k, d in zip(window_dimensions, spread, strict=True)]
        padding = padtype_to_pads(sizes, reach, window_strides, padding)
    combine = _combining(computation, operand, "lax.reduce_window")
    return lift(
        windows.reduce_window(
            x, initial, combine, tuple(window_dimensions), tuple(window_strides), tuple(padding), base, spread
        )
    )


def associative_scan(fn: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All running combinations along an axis, by an associative function, in logarithmic depth."""
    check_function(fn, "lax.associative_scan")
    return tree.map(lift, windows.associative_scan(lambda a, b: arrays(fn(a, b)), arrays(elems), reverse, axis))


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """The value before, after and between the elements; less than 0 before or after cuts."""
    x, value = border.asarray(operand), border.asarray(padding_value)
    if not _fits(value, x):
        raise ArgumentError(
            message(
                "lax.pad: operand and padding_value must have the same dtype",
                [("operand", described(x)), ("padding_value", described(value))],
            )
        )
    if len(padding_config) != x.ndim:
        raise ValueError_(
            message("lax.pad: (low, high, between) for each dimension", [("operand", described(x)),
                    ("padding_config", repr(padding_config))])
        )
    low, high, between = ([t[k] for t in padding_config] for k in range(3))
    known = _number(value)
    if not isinstance(known, TensorBase):
        return lift(windows.pad_between(x, low, high, between, known))
    inside = windows.pad_between(lift(comparison.equal(x, x) | True), low, high, between, False)
    return lift(elementwise.where(inside, windows.pad_between(x, low, high, between), value))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """The array cut along an axis into pieces of given sizes."""
    return list(map(lift, windows.pieces(border.asarray(operand), tuple(sizes), axis)))


def reduce_window_shape_tuple(
    operand_shape: Sequence[int],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> tuple[int, ...]:
    """The shape of what `reduce_window` gives."""
    rank = len(operand_shape)
    if len(window_dimensions) != rank:
        raise ShapeError(message("reduce_window: one window size for each dimension"))
    base, spread = base_dilation or (1,) * rank, window_dilation or (1,) * rank
    sizes = [(n - 1) * b + 1 for n, b in zip(operand_shape, base, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(window_dimensions, spread, strict=True)]
    around = padtype_to_pads(sizes, reach, window_strides, padding)
    return windows.window_counts(sizes, window_dimensions, window_strides, around, spread)

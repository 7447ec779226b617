"""`lax.gather`, `lax.scatter` and their like, with the compiler's dimension numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import prod
from typing import Any, NamedTuple

from pullback.api.arguments import described
from pullback.api.elementwise import where
from pullback.api.window_indexing import Windows, gather_windows, scatter_windows
from pullback.dialects.jax import array as border
from pullback.dialects.jax import lax
from pullback.dialects.jax.array import lift
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message


class GatherDimensionNumbers(NamedTuple):
    """Which dimensions of a gather's operand, indices and result belong together."""

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which dimensions of a scatter's operand, indices and updates belong together."""

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


class GatherScatterMode(Enum):
    """What becomes of windows that leave the array."""

    CLIP = 1
    FILL_OR_DROP = 2
    PROMISE_IN_BOUNDS = 3
    ONE_HOT = 4

    @property
    def text(self) -> str:
        """The name that functions take."""
        return "clip" if self is GatherScatterMode.ONE_HOT else self.name.lower().partition("_or_")[0]

    @staticmethod
    def from_any(s: Any) -> GatherScatterMode:
        """The mode of a name."""
        if isinstance(s, GatherScatterMode):
            return s
        if s not in _NAMES:
            raise ValueError_(
                message(f"Unknown gather mode {s!r}", help="one of 'clip', 'fill', 'drop', 'promise_in_bounds'")
            )
        return _NAMES[s]


_NAMES = {
    None: GatherScatterMode.FILL_OR_DROP,
    "fill": GatherScatterMode.FILL_OR_DROP,
    "drop": GatherScatterMode.FILL_OR_DROP,
    "clip": GatherScatterMode.CLIP,
    "promise_in_bounds": GatherScatterMode.PROMISE_IN_BOUNDS,
    "one_hot": GatherScatterMode.ONE_HOT,
}


def _unfit(name: str, what: str, operand: Any, indices: Any, numbers: Any) -> ShapeError:
    return ShapeError(
        message(
            f"{name}: {what}",
            [("operand", described(operand)), ("indices", described(indices)), ("dimension_numbers", repr(numbers))],
        )
    )


def _checked(name: str, x: Any, indices: Any, numbers: Any, windows: Windows, at: Sequence[int]) -> None:
    """Refuse dimension numbers that do not fit."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(message(f"{name}: indices must be integers", [("indices", described(indices))]))
    rank = x.ndim
    named = (*windows.index_dims, *windows.dropped, *(a for a, _ in windows.paired))
    if len(windows.sizes) != rank or any(not 0 <= d < rank for d in named):
        raise _unfit(name, "one window size for every dimension, and dimensions that are there", x, indices, numbers)
    if not indices.ndim or indices.shape[-1] != len(windows.index_dims):
        raise _unfit(name, "the last dimension of the indices must have the size of the index map", x, indices, numbers)
    if len(windows.shown(rank)) != len(at):
        raise _unfit(name, "as many window dimensions as the operand's that are kept", x, indices, numbers)
    if any(not 0 <= n <= m for n, m in zip(windows.sizes, x.shape, strict=True)):
        raise _unfit(name, f"windows of {windows.sizes} do not fit into the operand", x, indices, numbers)
    if any(windows.sizes[d] != 1 for d in (*windows.dropped, *(a for a, _ in windows.paired))):
        raise _unfit(name, "dimensions that are collapsed or paired must have windows of size 1", x, indices, numbers)
    if any(x.shape[a] != indices.shape[b] for a, b in windows.paired):
        raise _unfit(name, "batching dimensions must have equal sizes", x, indices, numbers)


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Windows of an array that begin at index vectors."""
    x, indices, numbers = border.asarray(operand), border.asarray(start_indices), dimension_numbers
    paired = tuple(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
    windows = Windows(tuple(slice_sizes), tuple(numbers.start_index_map), tuple(numbers.collapsed_slice_dims), paired)
    _checked("gather", x, indices, numbers, windows, numbers.offset_dims)
    fill = None
    if mode is not None and GatherScatterMode.from_any(mode) is GatherScatterMode.FILL_OR_DROP:
        fill = border.asarray(border.missing(x.dtype) if fill_value is None else fill_value, x.dtype)
    return lift(gather_windows(x, indices, windows, tuple(numbers.offset_dims), fill))


def _windows(name: str, x: Any, indices: Any, shape: tuple[int, ...], numbers: ScatterDimensionNumbers) -> Windows:
    """The windows of a scatter: as large as its updates."""
    paired = tuple(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True))
    gone = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    shown = [d for d in range(x.ndim) if d not in gone]
    at = numbers.update_window_dims
    sizes = [1] * x.ndim
    if len(shown) == len(at) and all(0 <= k < len(shape) for k in at):
        for d, k in zip(shown, at, strict=True):
            sizes[d] = shape[k]
    windows = Windows(
        tuple(sizes), tuple(numbers.scatter_dims_to_operand_dims), tuple(numbers.inserted_window_dims), paired
    )
    _checked(name, x, indices, numbers, windows, at)
    lead = tuple(n for k, n in enumerate(shape) if k not in at)
    if lead != indices.shape[:-1]:
        raise _unfit(name, f"updates of shape {shape} do not fit the indices", x, indices, numbers)
    return windows


def _scatter(name: str, monoid: str, sign: int = 1) -> Callable[..., Any]:
    def call(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        x, indices, new = border.asarray(operand), border.asarray(scatter_indices), border.asarray(updates)
        if x.dtype != new.dtype:
            raise DTypeError(
                message(f"{name} requires arguments to have the same dtypes",
                        [("operand", described(x)), ("updates", described(new))], "updates.astype(operand.dtype)")
            )
        windows = _windows(name, x, indices, new.shape, dimension_numbers)
        clip = GatherScatterMode.from_any(mode) is GatherScatterMode.CLIP
        at = tuple(dimension_numbers.update_window_dims)
        return lift(scatter_windows(x, indices, new if sign > 0 else -new, windows, at, monoid, clip))

    call.__name__ = name
    call.__doc__ = f"An array with windows, which begin at index vectors, {_DID[monoid]} the updates."
    return call


_DID = {"set": "replaced by", "add": "added to", "mul": "multiplied by", "min": "at most", "max": "at least"}
scatter, scatter_add, scatter_sub = (
    _scatter("scatter", "set"),
    _scatter("scatter_add", "add"),
    _scatter("scatter_sub", "add", -1),
)
scatter_mul, scatter_min, scatter_max = (_scatter(f"scatter_{n}", n) for n in ("mul", "min", "max"))


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """An array with a function of its elements in windows, as often as windows meet there."""
    x, indices = border.asarray(operand), border.asarray(scatter_indices)
    counts = scatter_add(
        lax.full(x.shape, 0, "int32"), indices, lax.full(update_shape, 1, "int32"), dimension_numbers, mode=mode
    )
    once = lift(where(counts > 0, func(x), x))
    if unique_indices or prod(indices.shape[:-1]) < 2:
        return once

    def again(state: Any) -> Any:
        k, value = state
        return k + 1, lift(where(counts > k, func(value), value))

    return lax.while_loop(lambda state: (counts > state[0]).any(), again, (border.asarray(1, "int32"), once))[1]


def index_take(src: Any, idxs: Any, axes: Sequence[int]) -> Any:
    """The parts of an array at places along some dimensions."""
    x = border.asarray(src)
    index: list[Any] = [slice(None)] * x.ndim
    for axis, at in zip(axes, idxs, strict=True):
        index[axis] = at
    return x[tuple(index)]


__all__ = ["GatherDimensionNumbers", "GatherScatterMode", "ScatterDimensionNumbers", "gather", "index_take", "scatter",
           "scatter_add", "scatter_apply", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub"]

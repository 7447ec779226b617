"""Functions whose arguments PyTorch orders, names or defaults in a way of its own."""

from __future__ import annotations

from functools import partial, wraps
from importlib import import_module
from typing import Any

from pullback.api import comparison, creation, elementwise, linear_algebra, manipulation, reductions
from pullback.api.data_types import can_cast as _can_cast
from pullback.api.data_types import finfo as _finfo
from pullback.api.data_types import iinfo as _iinfo
from pullback.api.data_types import promote_types as _promote_types
from pullback.api.data_types import result_type as _result_type
from pullback.api.random import drawn
from pullback.dialects.torch import pairs
from pullback.dialects.torch.creation import default_generator, tensor
from pullback.dialects.torch.dtypes import dtype_argument, shown
from pullback.dialects.torch.ordered import Noted, in_order
from pullback.dialects.torch.tensors import Tensor, as_torch, long_sums, styled, styled_tree
from pullback.engine.gradient_mode import grad_mode
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import local
from pullback.util import config as flags
from pullback.util import tree
from pullback.util.errors import ArgumentError, ValueError_, message


def sum(input: Any, *args: Any, **options: Any) -> Any:
    """The sum over dimensions (all by default)."""
    x = as_torch(input)
    return reductions.sum(x, *args, **long_sums(x, options))


def prod(input: Any, *args: Any, **options: Any) -> Any:
    """The product over dimensions (all by default)."""
    x = as_torch(input)
    return reductions.prod(x, *args, **long_sums(x, options))


def nansum(input: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
    """The sum of the elements that are not NaN, over dimensions (all by default)."""
    x = as_torch(input)
    x = x if dtype is None else x.to(dtype)
    return reductions.nansum(x, *args, **options) if x.info.type.dtype.is_inexact else sum(x, *args, **options)


def cumsum(input: Any, dim: int, **options: Any) -> Any:
    """Sums of all elements up to each, along a dimension."""
    x = as_torch(input)
    return reductions.cumsum(x, dim, **long_sums(x, options))


def cumprod(input: Any, dim: int, **options: Any) -> Any:
    """Products of all elements up to each, along a dimension."""
    x = as_torch(input)
    return reductions.cumprod(x, dim, **long_sums(x, options))


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements."""
    for x in (input, other):
        if not isinstance(x, TensorBase):
            raise ArgumentError(message("equal: not a tensor", [("argument", f"{type(x).__name__} {x!r:.60}")],
                                        "torch.equal(x, torch.tensor(...))"))
    return tuple(input.shape) == tuple(other.shape) and bool(comparison.equal(input, other).all())


def numel(input: Any) -> int:
    """The number of elements."""
    return input.numel()


def is_storage(obj: Any) -> bool:
    """False: storages are not shown."""
    return False


def is_grad_enabled() -> bool:
    """Whether operations are recorded for gradients."""
    return local.grad_enabled


class set_grad_enabled(grad_mode):
    """Switch recording for gradients on or off: at once, and until the end of a with block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self.before.append(local.grad_enabled)
        local.grad_enabled = bool(mode)

    def __enter__(self) -> None:
        local.grad_enabled = self.enabled


class inference_mode(grad_mode):
    """Do not record for gradients."""

    def __new__(cls, mode: Any = True) -> Any:
        made = object.__new__(cls)
        if callable(mode):
            made.__init__()
            return made(mode)
        return made

    def __init__(self, mode: Any = True) -> None:
        super().__init__(not mode)


def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The dtype of an operation on two operands."""
    return shown(_result_type(tensor1, tensor2))


def promote_types(type1: Any, type2: Any) -> Any:
    """The dtype that holds two dtypes."""
    return shown(_promote_types(dtype_argument(type1), dtype_argument(type2)))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a dtype may become another."""
    return _can_cast(dtype_argument(from_), dtype_argument(to))


def finfo(type: Any = None) -> Any:
    """Limits of a floating-point dtype."""
    return _finfo(dtype_argument(type or "float32"))


def iinfo(type: Any) -> Any:
    """Limits of an integer dtype."""
    return _iinfo(dtype_argument(type))


def is_floating_point(input: Any) -> bool:
    """Whether a tensor's dtype is a floating one."""
    return input.is_floating_point()


def is_complex(input: Any) -> bool:
    """Whether a tensor's dtype is a complex one."""
    return input.is_complex()


def is_nonzero(input: Any) -> bool:
    """Whether the one element is not zero."""
    return bool(input)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, `other` elsewhere; with one argument the indices where it holds."""
    if input is None:
        return pairs.nonzero(condition, as_tuple=True)
    if not isinstance(input, TensorBase) and not isinstance(other, TensorBase):
        input, other = tensor(input), tensor(other)
    return elementwise.where(as_torch(condition), input, other)


def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    """Grids of coordinates."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    return tuple(creation.meshgrid(*given, indexing=indexing))


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of a difference."""
    return linear_algebra.norm(input - other, p)


def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product along a dimension of size 3: the first such one where none is given."""
    x = as_torch(input)
    if dim is None:
        dim = next((k for k, n in enumerate(x.shape) if n == 3), -1)
    return linear_algebra.cross(x, other, axis=dim)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha * input."""
    return other - (input if alpha == 1 else input * alpha)


def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> Any:
    """Parts of given sizes along a dimension."""
    return manipulation.split(input, list(split_sizes), dim)


def vmap(func: Any, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Any:
    """A function of batches, from a function of single elements; `chunk_size` of them at a time. Named arguments are
    whole for each. `randomness`: whether elements see the same random numbers; with "different", a function that draws
    some is run for one element after the other."""
    if randomness not in ("error", "different", "same"):
        raise ValueError_(message("vmap: randomness is 'error', 'different' or 'same'",
                                  [("randomness", repr(randomness))]))
    if chunk_size is not None and chunk_size < 1:
        raise ValueError_(message("vmap: chunk_size should be None or greater than 0",
                                  [("chunk_size", repr(chunk_size))]))
    mapped = _mapped(func, in_dims, out_dims, randomness, chunk_size)

    def vmapped(*args: Any, **options: Any) -> Any:
        if not options:
            return mapped(*args)
        return _mapped(partial(func, **options), in_dims, out_dims, randomness, chunk_size)(*args)

    return wraps(func)(vmapped) if callable(func) else vmapped


def _mapped(func: Any, in_dims: Any, out_dims: Any, randomness: str, chunk_size: int | None) -> Any:
    """A mapped function, of which the random numbers are looked after."""
    from pullback.engine.functional import vmap as native

    native(func, in_dims, out_dims)  # what is no function is refused here, not where it is called

    def whole(*args: Any) -> Any:
        noted = Noted(func, args, {})
        found = native(noted, in_dims, out_dims)(*args)
        return in_order(noted.result, found)

    chunked = whole if chunk_size is None else _in_chunks(whole, in_dims, out_dims, chunk_size, randomness == "same")

    def watched(*args: Any) -> Any:
        before = drawn.count
        found = chunked(*args)
        if drawn.count == before or randomness == "same":
            return found
        if randomness == "error":
            raise ValueError_(message("vmap: called random operation while in randomness error mode",
                                      help="randomness='same' or randomness='different'"))
        return _in_chunks(whole, in_dims, out_dims, 1, False)(*args)

    return watched


def _in_chunks(mapped: Any, in_dims: Any, out_dims: Any, chunk_size: int, same: bool) -> Any:
    """A mapped function that is called for a part of the batch at a time; with the same random numbers, if asked."""
    from pullback.engine.functional import spread_axes

    def in_chunks(*args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        dims = spread_axes(tuple(in_dims) if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args), args,
                           "in_dims")
        size = next((x.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None), 0)
        found: list[Any] = []
        state = default_generator.get_state() if same else None
        for start in range(0, max(size, 1), chunk_size):
            length = min(chunk_size, size - start)
            part = [x if d is None else x.narrow(d, start, length) for x, d in zip(leaves, dims, strict=True)]
            if state is not None and start:
                default_generator.set_state(state)
            found.append(mapped(*in_order(args, tree.unflatten(structure, part))))
        targets = spread_axes(out_dims, found[0], "out_dims")
        parts = [tree.flatten(x)[0] for x in found]
        joined = [columns[0] if d is None else manipulation.concatenate(columns, d)
                  for columns, d in zip(zip(*parts, strict=True), targets, strict=True)]
        return in_order(found[0], tree.unflatten(tree.flatten(found[0])[1], joined))

    return in_chunks


def compile(model: Any = None, **options: Any) -> Any:
    """The model itself: what it records is compiled anyway."""
    return model if model is not None else lambda m: m


def are_deterministic_algorithms_enabled() -> bool:
    """True: same inputs give the same bits."""
    return True


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing to do: same inputs give the same bits."""


def set_float32_matmul_precision(precision: str) -> None:
    """Whether products of float32 compiled from now on may round their operands where that is faster: "highest" not at
    all, "high" to 16 bits, "medium" to bfloat16."""
    flags.set("matmul_precision", precision)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given; "highest" before."""
    return flags.MATMUL_PRECISION.value


def set_num_threads(count: int) -> None:
    """Threads are chosen when the process starts."""


def get_num_threads() -> int:
    """How many threads compute."""
    from pullback.runtime.native import default_num_threads

    return default_num_threads()


def set_default_device(device: Any) -> None:
    """Check the device: the only one is the CPU."""
    from pullback.dialects.torch.dtypes import checked_device

    checked_device(device)


def get_default_device() -> Any:
    """Where tensors are made."""
    from pullback.dialects.torch.dtypes import device

    return device("cpu")


def set_num_interop_threads(count: int) -> None:
    """Threads are chosen when the process starts."""


def get_num_interop_threads() -> int:
    """How many programs run side by side: one, on all threads."""
    return 1


def set_flush_denormal(mode: bool) -> bool:
    """False: the smallest numbers are kept."""
    return False


def is_inference_mode_enabled() -> bool:
    """False: what is not recorded is like any other tensor."""
    return False


def is_anomaly_enabled() -> bool:
    """False: wrong values are errors where they are made."""
    return False


is_anomaly_check_nan_enabled = is_deterministic_algorithms_warn_only_enabled = is_anomaly_enabled


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Nothing to do: wrong values are errors where they are made."""


def set_deterministic_debug_mode(debug_mode: Any) -> None:
    """Nothing to do: same inputs give the same bits."""


def get_deterministic_debug_mode() -> int:
    """2: same inputs give the same bits."""
    return 2


def set_warn_always(mode: bool) -> None:
    """Nothing to do: warnings are Python's."""


def is_warn_always_enabled() -> bool:
    """False: warnings are Python's."""
    return False


def typename(obj: Any) -> str:
    """The name of an object's type."""
    if isinstance(obj, TensorBase):
        return as_torch(obj).type()
    kind = obj if isinstance(obj, type) else type(obj)
    home = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return home + kind.__qualname__


def is_signed(input: Any) -> bool:
    """Whether the dtype has negative numbers."""
    return as_torch(input).is_signed()


def get_device(input: Any) -> int:
    """-1: the CPU."""
    return as_torch(input).get_device()


def embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False,
              sparse: bool = False) -> Any:
    """Rows of a table; the table comes first, unlike in `torch.nn.functional`."""
    from pullback.api.layers import embedding as rows

    return rows(as_torch(indices), as_torch(weight), None if padding_idx == -1 else padding_idx,
                scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def _cell(kind: str, pair: bool) -> Any:
    def cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        from pullback.api.recurrence import Weights, run_cell

        h, c = hx if pair else (hx, None)
        return run_cell(kind, as_torch(input), h, c, Weights(w_ih, w_hh, b_ih, b_hh))

    cell.__doc__ = f"One step of a recurrent network ({kind}) on [batch, features]."
    return cell


lstm_cell, gru_cell, rnn_tanh_cell, rnn_relu_cell = _cell("lstm", True), _cell("gru", False), \
    _cell("rnn_tanh", False), _cell("rnn_relu", False)


#: losses whose reduction is a number outside of `torch.nn.functional`, by the place it stands at
_LOSSES = {"kl_div": 2, "poisson_nll_loss": 5, "hinge_embedding_loss": 3, "margin_ranking_loss": 4, "ctc_loss": 5,
           "cosine_embedding_loss": 4, "triplet_margin_loss": 7}


def _loss(name: str, place: int) -> Any:
    def call(*args: Any, reduction: Any = 0, **options: Any) -> Any:
        if len(args) > place:
            reduction, args = args[place], (*args[:place], *args[place + 1:])
        word = reduction if isinstance(reduction, str) else ("none", "mean", "sum")[reduction]
        home = import_module("pullback.api.sequence_losses" if name == "ctc_loss" else "pullback.api.losses")
        return styled(vars(home)[name](*args, reduction=word, **options))

    call.__name__ = name
    call.__doc__ = f"`torch.nn.functional.{name}`; the reduction is 0 (none), 1 (mean) or 2 (sum)."
    return call


globals().update({name: _loss(name, place) for name, place in _LOSSES.items()})


def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    """What one of two functions makes of operands."""
    from pullback.api.transforms import cond as native

    return styled_tree(native(pred, true_fn, false_fn, *operands))


__all__ = ["Tensor", "styled_tree"]

"""Methods that PyTorch derives from others: in-place forms of functions, and functions that take a number as one
element."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import FunctionType
from typing import Any

from pullback.api import (
    activations,
    comparison,
    creation,
    elementwise,
    linear_algebra,
    losses,
    manipulation,
    reductions,
    selecting,
)
from pullback.api.tensor import Tensor as NativeTensor
from pullback.dialects.torch import creation as torch_creation
from pullback.dialects.torch import functions, pairs
from pullback.dialects.torch.arguments import named
from pullback.dialects.torch.tensors import Tensor, as_torch
from pullback.engine.tensor import TensorBase
from pullback.util.errors import ShapeError, message

#: `x.name_(...)` writes what `name(x, ...)` gives
_IN_PLACE: dict[Any, str] = {
    selecting: "scatter scatter_add index_add index_copy index_fill index_put",
    elementwise: """sin cos tan asin acos atan sinh cosh asinh acosh atanh exp2 expm1 log2 log10 log1p rsqrt sign trunc
        frac remainder floor_divide fmod atan2 clamp_min clamp_max erf erfinv logit nan_to_num hypot copysign
        true_divide=divide absolute arccos arccosh arcsin arcsinh arctan arctanh arctan2 clip deg2rad digamma erfc
        fix=trunc heaviside lgamma negative nextafter rad2deg xlogy""",
    comparison: """eq=equal ne=not_equal gt=greater ge=greater_equal lt=less le=less_equal greater greater_equal less
        less_equal not_equal logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor
        bitwise_not bitwise_left_shift bitwise_right_shift""",
    linear_algebra: "addmm addmv addr baddbmm",
    creation: "tril triu",
    manipulation: "squeeze unsqueeze transpose t swapaxes swapdims=swapaxes",
    reductions: "cumsum cumprod",
}


#: methods under names of their own, by where their function stands
_METHODS: dict[Any, str] = {
    elementwise: "arccosh arcsinh arctanh arctan2 fix=trunc", comparison: "bitwise_left_shift bitwise_right_shift",
    linear_algebra: "ger=outer", creation: "diag", activations: "prelu",
    functions: "nansum cross dist equal is_nonzero split_with_sizes", torch_creation: "bernoulli multinomial",
}


def _written(function: Callable[..., Any], name: str) -> Any:
    function = named(function, name[:-1], True)

    @wraps(function)
    def update(self: Any, *args: Any, **options: Any) -> Any:
        found = function(self, *args, **options)
        if found.shape != self.shape:  # another layout: a storage of its own
            self._value, self._view = found._peek(), None
            return self
        return self.copy_(found)

    update.__name__, update.__doc__ = name, f"`{name[:-1]}`, in place."
    return update


def _raised(x: Any) -> Any:
    return as_torch(x).reshape(1) if isinstance(x, TensorBase) and not x.ndim else x


def _of_one(function: Callable[..., Any]) -> Any:
    """A function of arrays as one that takes a 0-dimensional tensor as an array of one element."""

    function = named(function, function.__name__)

    @wraps(function)
    def call(input: Any, *args: Any, **options: Any) -> Any:
        x = as_torch(input)
        if x.info.type.shape:
            return function(x, *args, **options)
        found = function(_raised(x), *map(_raised, args), **{k: _raised(v) for k, v in options.items()})
        return type(found)(*[v.reshape(()) for v in found]) if isinstance(found, tuple) else found.reshape(())

    return call


def squeeze(input: Any, dim: Any = None) -> Any:
    """Without dimensions of size 1; of those named, the others are left."""
    x = as_torch(input)
    if dim is None or not x.ndim:
        return manipulation.squeeze(x) if x.ndim else x.view(())
    named = [manipulation.axis_of(d, x.ndim, "squeeze", x) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    ones = tuple(d for d in named if x.shape[d] == 1)
    return manipulation.squeeze(x, ones) if ones else x


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged."""
    x = as_torch(input)
    return manipulation.swapaxes(x, dim0, dim1) if x.ndim else x


def repeat(self: Any, *counts: Any, repeats: Any = None) -> Any:
    """Copies of the whole tensor along dimensions."""
    repeats = counts if repeats is None else (repeats,)
    counts = tuple(repeats[0]) if len(repeats) == 1 and isinstance(repeats[0], (tuple, list)) else repeats
    if len(counts) < self.ndim or not repeats:
        raise ShapeError(message("repeat: needs a number for each dimension",
                                 [("x", repr(self.info.type)), ("repeats", str(counts))],
                                 f"x.repeat({', '.join(['2'] * max(self.ndim, 1))})"))
    x = self.reshape((1,) * (len(counts) - self.ndim) + tuple(self.shape)) if len(counts) > self.ndim else self
    return manipulation.tile(x, counts)


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """Elements at positions along a dimension."""
    x = as_torch(input)
    if x.ndim and index.ndim:
        return selecting.gather(x, dim, index)
    return selecting.gather(_raised(x), dim, _raised(index)).reshape(index.shape)


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None,
            reduce: str | None = None) -> Any:
    """The elements of `src`, or one value, written at positions along a dimension."""
    given = value if src is None else src
    options = {} if reduce is None else {"reduce": reduce}
    return selecting.scatter(input, dim, _raised(index), _raised(given), **options)


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """Elements at positions along a dimension, the others broadcast; of the flat tensor where none is given."""
    return selecting.take_along_dim(_raised(as_torch(input)), indices.reshape(-1) if dim is None else indices, dim)


def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    """Windows along a dimension, as a new last one."""
    return manipulation.unfold(_raised(as_torch(self)), dimension, size, step).reshape((size,)) if not self.ndim \
        else manipulation.unfold(self, dimension, size, step)


def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors one after the other along a dimension; those of shape (0,) are left out."""
    given = list(tensors)
    full = [x for x in given if tuple(x.shape) != (0,)]
    return manipulation.concat(full if full and len(full) < len(given) else given, dim)


#: those that take numbers as arrays of one element
ONE_ELEMENT: dict[str, Any] = {f.__name__: _of_one(f) for f in (
    functions.cumsum, functions.cumprod, pairs.cummax, pairs.cummin, pairs.softmax, pairs.log_softmax,
    pairs.logcumsumexp,
    selecting.index_select, selecting.index_add, selecting.index_copy, selecting.index_fill, scatter,
    selecting.scatter_add, linear_algebra.norm)}
softmin, normalize = _of_one(activations.softmin), _of_one(activations.normalize)
cosine_similarity = _of_one(losses.cosine_similarity)

for _name, _function in {**ONE_ELEMENT, "squeeze": squeeze, "transpose": transpose, "repeat": repeat, "gather": gather,
                          "unfold": unfold, "take_along_dim": take_along_dim}.items():
    setattr(Tensor, _name, _function)
for _module, _names in _METHODS.items():
    for _entry in _names.split():
        _name, _, _source = _entry.partition("=")
        setattr(Tensor, _name, named(vars(_module)[_source or _name], _name, True))
for _module, _names in _IN_PLACE.items():
    for _entry in _names.split():
        _name, _, _source = _entry.partition("=")
        _found = globals().get(_name) or ONE_ELEMENT.get(_name) or vars(_module)[_source or _name]
        setattr(Tensor, f"{_name}_", _written(_found, f"{_name}_"))
globals().update(ONE_ELEMENT)
for _name in NativeTensor.__dict__.keys() - Tensor.__dict__.keys():
    _native = NativeTensor.__dict__[_name]
    _found = named(_native, _name, True)
    if _found is not _native:
        setattr(Tensor, _name, _found)


# -- methods from files that are loaded when one of them is first used -------------------------------------------------

_LATE = {
    "composed": """diff unique_consecutive cov corrcoef aminmax mode nanmedian nanquantile histogram frexp sgn
        is_same_size fill_diagonal_ addbmm sum_to_size conj_physical resolve_conj resolve_neg diagflat dsplit hsplit
        tensor_split vsplit sinc logaddexp2 float_power ldexp i0 mvlgamma gcd lcm as_strided diagonal_scatter
        index_reduce masked_scatter scatter_reduce select_scatter slice_scatter isreal isneginf isposinf renorm adjoint
        put=put_elements polygamma=polygamma_of""",
    "storage": """storage untyped_storage resize_ resize_as_ set_ apply_ map_ cauchy_ log_normal_ geometric_
        share_memory_ to_dense is_pinned is_conj is_neg is_inference is_coalesced is_set_to dim_order
        new_empty_strided""",
    "signals": "stft istft",
    "dialects.torch.nn.functional": "hardshrink",
    "api.linear_algebra": "matmul mm bmm mv dot outer inner kron vdot", "api.selecting": "take",
    "api.sorting": "quantile",
    "linalg": """det slogdet logdet inverse=inv pinverse=pinv matrix_power matrix_exp svd=old_svd qr=old_qr lu=old_lu
        cholesky=old_cholesky cholesky_solve cholesky_inverse lu_solve=old_lu_solve""",
}
#: `x.name_(...)` writes what `name(x, ...)` gives
_LATE_IN_PLACE = {"composed": """sinc float_power ldexp i0 mvlgamma gcd lcm as_strided index_reduce masked_scatter
    scatter_reduce renorm sgn conj_physical addbmm put=put_elements polygamma=polygamma_of"""}


def _late(home: str, name: str, there: str, in_place: bool) -> Callable[..., Any]:
    def load(self: Any, *args: Any, **options: Any) -> Any:
        function = getattr(import_module(f"pullback.{home if '.' in home else f'dialects.torch.{home}'}"), there)
        setattr(Tensor, name, _written(function, name) if in_place else _method(named(function, name, True)))
        return getattr(self, name)(*args, **options)

    load.__name__, load.__doc__ = name, f"`{name}` of this tensor."
    return load


def _method(function: Callable[..., Any]) -> Any:
    """A function as a method, whatever kind of callable it is."""
    return function if isinstance(function, FunctionType) else lambda self, *a, **k: function(self, *a, **k)


for _home, _names in _LATE.items():
    for _entry in _names.split():
        _name, _, _source = _entry.partition("=")
        setattr(Tensor, _name, _late(_home, _name, _source or _name, False))
for _home, _names in _LATE_IN_PLACE.items():
    for _entry in _names.split():
        _name, _, _source = _entry.partition("=")
        setattr(Tensor, f"{_name}_", _late(_home, f"{_name}_", _source or _name, True))

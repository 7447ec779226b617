"""Functions that PyTorch answers with pairs, with 64-bit positions, or with the unbiased variance; also installed as
methods."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from pullback.api import elementwise, reductions, selecting, sorting
from pullback.dialects.torch.dtypes import dtype_argument
from pullback.dialects.torch.tensors import Tensor, as_torch, styled, styled_tree
from pullback.engine.tensor import TensorBase
from pullback.ir import dtypes


def named_pair(name: str, fields: str = "values indices") -> Any:
    cls = namedtuple(name, fields)

    def text(self: Any) -> str:
        parts = (f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{name}(\n" + ",\n".join(parts) + ")"

    cls.__repr__ = text  # type: ignore[method-assign]
    return cls


_Max, _Min, _Sort, _Topk = (named_pair(name) for name in ("max", "min", "sort", "topk"))
_Median, _Kth, _Cummax, _Cummin = (named_pair(name) for name in ("median", "kthvalue", "cummax", "cummin"))


def _long(x: Any) -> Any:
    return styled(elementwise.astype(x, dtypes.int64, copy=False))


def _made(cls: Any, pair: Any) -> Any:
    return cls(styled(pair[0]), _long(pair[1]))


def _extreme(name: str, cls: Any, x: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    x = as_torch(x)
    if isinstance(dim, TensorBase):
        dim, other = None, dim
    if other is not None:
        return getattr(elementwise, f"{name}imum")(x, other)
    if dim is None:
        found = getattr(reductions, name)(x)
        shared = x.requires_grad and x.info.type.dtype.kind == "f"  # NaN that are found share the gradient too
        return sorting.shared_by_equals[name](x, found) if shared else found
    return _made(cls, getattr(sorting, f"{name}_with_indices")(x, dim, keepdim))


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The greatest element; with a dimension also where it is; with another tensor the greater one."""
    return _extreme("max", _Max, input, dim, keepdim, other)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The least element; with a dimension also where it is; with another tensor the lesser one."""
    return _extreme("min", _Min, input, dim, keepdim, other)


def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """The elements in order along a dimension, and where they were."""
    x = as_torch(input)
    if not x.ndim:
        return _Sort(x.clone(), _long(reductions.argmax(x)))
    return _made(_Sort, sorting.sort_with_indices(x, dim, descending))


def msort(input: Any) -> Any:
    """The elements in order along the first dimension."""
    return sort(input, 0)[0]


def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """The positions that put the elements in order."""
    return _long(sorting.argsort(as_torch(input), dim, descending=descending))


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k greatest (or least) elements along a dimension, and where they are."""
    x = as_torch(input)
    if not x.ndim:
        return _Topk(x.clone(), _long(reductions.argmax(x)))
    return _made(_Topk, sorting.topk(x, k, dim, largest))


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th least element along a dimension, and where it is."""
    return _made(_Kth, sorting.kthvalue(as_torch(input), k, dim, keepdim))


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two; with a dimension also where it is."""
    x = as_torch(input)
    if dim is None or not x.ndim:
        found = sorting.lower_median(x) if x.ndim else x.clone()
        return found if dim is None else _Median(found, _long(reductions.argmax(x)))
    return _made(_Median, sorting.lower_median(x, dim, keepdim))


def cummax(input: Any, dim: int) -> Any:
    """Running maxima along a dimension, and where they are."""
    return _made(_Cummax, reductions.cummax(as_torch(input), dim, return_indices=True))


def cummin(input: Any, dim: int) -> Any:
    """Running minima along a dimension, and where they are."""
    return _made(_Cummin, reductions.cummin(as_torch(input), dim, return_indices=True))


def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The position of the greatest element."""
    return _long(reductions.argmax(as_torch(input), dim, keepdim))


def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The position of the least element."""
    return _long(reductions.argmin(as_torch(input), dim, keepdim))


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not 0."""
    return _long(reductions.count_nonzero(as_torch(input), dim))


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The positions of elements that are not 0, one row each, or one tensor for each dimension."""
    x = as_torch(input)
    return tuple(map(_long, selecting.nonzero(x))) if as_tuple else _long(selecting.argwhere(x))


def argwhere(input: Any) -> Any:
    """The positions of elements that are not 0, one row each."""
    return nonzero(input)


def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None,
                 sorter: Any = None) -> Any:
    """Where elements belong in a sorted sequence."""
    found = selecting.searchsorted(as_torch(sorted_sequence), input, side=side or "left", right=right, sorter=sorter)
    return styled(found) if out_int32 else _long(found)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Between which boundaries elements are."""
    return _long(selecting.bucketize(as_torch(input), boundaries, right=right))


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number occurs."""
    found = selecting.bincount(as_torch(input), weights, minlength)
    return _long(found) if weights is None else styled(found)


def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The distinct elements in order; on request where each went and how often each occurs."""
    x = as_torch(input)
    found = sorting.unique(x, return_inverse, return_counts, dim, equal_nan=False)
    if not isinstance(found, tuple):
        return styled(found)
    rest = [_long(v) for v in found[1:]]
    if return_inverse and dim is None:
        rest[0] = rest[0].reshape(x.shape)
    return (styled(found[0]), *rest)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of equal bins."""
    return styled(sorting.histc(as_torch(input), bins, min, max))


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where a mask holds."""
    return styled(selecting.masked_select(as_torch(input), mask))


def _correction(unbiased: bool | None, correction: Any) -> Any:
    return (1 if unbiased or unbiased is None else 0) if correction is None else correction


def _spread(name: str) -> Any:
    def function(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
                 correction: Any = None) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        return getattr(reductions, name)(as_torch(input), dim, keepdim, correction=_correction(unbiased, correction))

    function.__name__ = name
    function.__doc__ = f"`{name}` over dimensions, with n - 1 as divisor unless `correction` says otherwise."
    return function


var, std, var_mean, std_mean = (_spread(name) for name in ("var", "std", "var_mean", "std_mean"))


def logcumsumexp(input: Any, dim: int) -> Any:
    """Logarithms of running sums of exponentials."""
    return reductions.logcumsumexp(as_torch(input), dim)


def softmax(input: Any, dim: int | None = None, dtype: Any = None, *, _stacklevel: int = 3) -> Any:
    """exp(x) over its sum along a dimension."""
    from pullback.api.activations import softmax as native

    return native(as_torch(input), dim=_implicit(input) if dim is None else dim, dtype=dtype_argument(dtype))


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None, *, _stacklevel: int = 3) -> Any:
    """The logarithm of softmax."""
    from pullback.api.activations import log_softmax as native

    return native(as_torch(input), dim=_implicit(input) if dim is None else dim, dtype=dtype_argument(dtype))


def _implicit(x: Any) -> int:
    """The dimension that PyTorch 0.3 took where none was given."""
    return 0 if x.ndim in (0, 1, 3) else 1


_METHODS = """max min sort msort argsort topk kthvalue median cummax cummin argmax argmin count_nonzero nonzero
    argwhere bincount histc unique masked_select var std softmax log_softmax logcumsumexp""".split()
for _name in _METHODS:
    setattr(Tensor, _name, globals()[_name])
__all__ = [*_METHODS, "bucketize", "searchsorted", "std_mean", "styled_tree", "var_mean"]

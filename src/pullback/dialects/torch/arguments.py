"""PyTorch's names of arguments: functions of the array room with their parameters renamed, which costs a call
nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from pullback.util.renamed import renamed

#: names here, and PyTorch's
_USUAL = {"x": "input", "y": "other", "arrays": "tensors"}
#: the same for functions where they are others, as "function function: name=PyTorch's"
_OWN: dict[str, dict[str, str]] = {function: {pair.partition("=")[0]: pair.partition("=")[2] for pair in pairs.split()}
                                   for functions, _, pairs in (line.partition(": ") for line in """
mm bmm: y=mat2
mv: y=vec
dot: y=tensor
outer ger: y=vec2
pow float_power: y=exponent
lerp: y=end
ldexp: exponent=other
isin: x=elements test=test_elements
cholesky_solve linalg.cholesky_solve: b=input factor=input2
cholesky_inverse linalg.cholesky_inverse: factor=input
lu_solve: b=input
split: x=tensor indices_or_sections=split_size_or_sections
take: indices=index
swapaxes: axis1=axis0 axis2=axis1
swapdims: axis1=dim0 axis2=dim1
rot90: axes=dims
quantile: method=interpolation
ndtri: p=input
broadcast_to: shape=size
linalg.det linalg.slogdet linalg.inv linalg.lu linalg.lu_factor: x=A
linalg.solve_triangular: a=input b=B
linalg.householder_product: a=input
linalg.lu_solve: factors=LU b=B
linalg.vecdot: x=x y=y axis=dim
det slogdet inverse: A=input
is_conj is_neg is_inference: self=input
trapezoid trapz cumulative_trapezoid vander: x=x y=y
""".strip().splitlines()) for function in functions.split()}
#: the same for methods
_METHODS = {"split": {"x": "self", "indices_or_sections": "split_size"}}


def named(function: Any, name: str, method: bool = False) -> Any:
    """A function that takes its arguments by the names that PyTorch's function of this name has for them: the same
    code, with other names for its variables."""
    if not isinstance(function, FunctionType):
        return function
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    if method and count == 1:
        return function
    usual = {"x": "self", "y": "other", "arrays": "tensors"} if method else _USUAL
    names = {**usual, **_OWN.get(name, {}), **(_METHODS.get(name, {}) if method else {})}
    changed = {k: names[k] for k in code.co_varnames[:count] if names.get(k, k) != k}
    if not set(changed).difference(code.co_varnames[:1] if method else ()) and not code.co_posonlyargcount:
        return function
    return renamed(function, changed)


#: functions that PyTorch lets write into `out` and that do not do so by themselves
_WRITING = frozenset("""
range normal multinomial zeros_like ones_like empty_like rand_like randn_like
all any amax amin aminmax max min mean median mode nanmean nanmedian quantile nanquantile std var std_mean var_mean
logsumexp histc histogram cumsum cumprod cummax cummin logcumsumexp
sort topk kthvalue gather take_along_dim masked_select nonzero where searchsorted bucketize
hstack vstack row_stack diag tril triu cross conj_physical sgn frexp addbmm
cholesky cholesky_inverse cholesky_solve inverse lu_solve matrix_power svd
""".split())


def adapted(function: Any, name: str) -> Any:
    """A function as PyTorch's interface shows it."""
    found = named(function, name)
    return writing(found, name) if name in _WRITING and isinstance(found, FunctionType) else found


def writing(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function that writes its results into `out` too; several results into as many."""
    @wraps(function)
    def call(*args: Any, out: Any = None, **options: Any) -> Any:
        found = function(*args, **options)
        if out is None:
            return found
        from pullback.dialects.torch.written import put, put_all

        return put_all(found, out, name) if isinstance(found, tuple) else put(found, out, name)

    return call

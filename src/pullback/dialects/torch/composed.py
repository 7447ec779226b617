"""Functions composed in the array room, as PyTorch names and orders their arguments: integers are 64 bits wide,
results of two parts have names, `out=` is written to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np

from pullback.api import complex_parts, joining, series, sorting, special, statistics, writing
from pullback.dialects.torch.arguments import named
from pullback.dialects.torch.pairs import named_pair
from pullback.dialects.torch.tensors import as_torch, styled, styled_tree
from pullback.dialects.torch.written import put
from pullback.engine.tensor import TensorBase
from pullback.ir import dtypes
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, ValueError_, message

#: functions that take the same arguments in PyTorch, by their home in the array room: "name" or "name=name_there"
_SAME = {
    "joining": """block_diag cartesian_prod column_stack combinations diagflat dsplit dstack hsplit tensor_split
        vsplit""",
    "special": "sinc logaddexp2 float_power ldexp i0 polygamma mvlgamma=multigammaln",
    "integers": "gcd lcm",
    "writing": """as_strided diagonal_scatter index_reduce masked_scatter scatter_reduce select_scatter
        slice_scatter""",
    "complex_parts": "angle polar view_as_complex view_as_real isreal",
    "comparison": "isneginf isposinf",
    "statistics": "corrcoef renorm",
}
_HOMES = {entry.partition("=")[0]: (home, entry.partition("=")[2] or entry)
          for home, entries in _SAME.items() for entry in entries.split()}
#: functions whose first argument is a list of tensors, or not a tensor
_OF_LISTS = ("block_diag", "cartesian_prod", "column_stack", "dstack", "float_power",
             "polygamma")


#: what PyTorch calls the second argument of splits, by its type
_SPLITS: dict[str, str] = dict.fromkeys(("sections", "indices", "tensor_indices_or_sections"), "indices_or_sections")


def _shown(name: str, native: Callable[..., Any]) -> Any:
    """A function of the array room that answers with PyTorch's tensors."""
    native = named(native, name)

    @wraps(native)
    def call(*args: Any, out: Any = None, **options: Any) -> Any:
        if args and name not in _OF_LISTS and not isinstance(args[0], TensorBase):
            raise ArgumentError(message(f"{name}: the first argument must be a tensor",
                                        [("argument", f"{type(args[0]).__name__} {args[0]!r:.60}")],
                                        f"torch.{name}(torch.tensor(...))"))
        if options and name.endswith("split"):
            options = {_SPLITS.get(k, k): v for k, v in options.items()}
        found = styled_tree(native(*args, **options))
        return found if out is None else put(found, out, name)

    call.__name__ = name
    return call


def as_special(native: Callable[..., Any]) -> Any:
    """A special function, named as in the array room."""
    return _shown(native.__name__, native)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    home, there = _HOMES[name]
    found = globals()[name] = _shown(name, vars(import_module(f"pullback.api.{home}"))[there])
    return found


_Aminmax = named_pair("aminmax", "min max")
_Mode, _Nanmedian = named_pair("mode"), named_pair("nanmedian")
_Histogram, _Frexp = named_pair("histogram", "hist bin_edges"), named_pair("frexp", "mantissa exponent")


def _long(x: Any) -> Any:
    return styled(x).to(dtypes.int64)


# -- sequences ---------------------------------------------------------------------------------------------------------


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None) -> Any:
    """Differences of neighbours along a dimension, n times."""
    found = series.diff(as_torch(input), n, dim, prepend, append)
    return found if out is None else put(found, out, "diff")


def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integral of samples by the trapezoidal rule."""
    return series.trapezoid(as_torch(y), x, dx, dim)


trapz = trapezoid


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integrals of samples up to each but the first."""
    return series.cumulative_trapezoid(as_torch(y), x, dx, dim)


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Any, ...]:
    """The derivative of samples along each dimension."""
    step = float(spacing) if isinstance(spacing, int) else spacing
    if isinstance(step, (list, tuple)):
        step = [float(s) if isinstance(s, int) else s for s in step]
    elif isinstance(step, TensorBase):
        step = [step]
    return tuple(map(styled, series.gradient(as_torch(input), step, dim, edge_order)))


# -- shapes and indices ------------------------------------------------------------------------------------------------


def atleast_3d(*tensors: Any) -> Any:
    """With at least three dimensions."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    found = tuple(joining.atleast_3d(as_torch(x)) for x in given)
    return found[0] if len(tensors) == 1 and given is tensors else found


def _indices(find: Callable[..., Any]) -> Any:
    def call(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None,
             layout: Any = None) -> Any:
        from pullback.dialects.torch.dtypes import checked_device, dtype_argument

        checked_device(device, layout)
        return styled(find(row, col, offset)).to(dtype_argument(dtype))

    call.__name__, call.__doc__ = find.__name__, find.__doc__
    return call


tril_indices, triu_indices = _indices(joining.tril_indices), _indices(joining.triu_indices)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The index along each dimension of positions in a flattened tensor."""
    return tuple(map(styled, joining.unravel_index(as_torch(indices), shape)))


def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None) -> Any:
    """The elements without those equal to the one before; on request where each went and how often each occurs."""
    found = sorting.unique_consecutive(as_torch(input), dim)
    parts = [styled(found[0]), *(_long(v) for v, on in zip(found[1:], (return_inverse, return_counts), strict=True)
                                 if on)]
    return parts[0] if len(parts) == 1 else tuple(parts)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of the elements of a vector, one a column, the highest first unless `increasing`."""
    from pullback.api.spectra import vander as native

    if x.ndim != 1:
        raise ShapeError(message("vander: needs a vector", [("x", repr(as_torch(x).info.type))], "ravel it first"))
    return native(as_torch(x), N, increasing=increasing)


# -- statistics --------------------------------------------------------------------------------------------------------


def cov(input: Any, *, correction: float = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of variables, one a row."""
    return statistics.covariance(as_torch(input), correction, fweights, aweights)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The least and the greatest element."""
    return _Aminmax(*statistics.aminmax(as_torch(input), dim, keepdim))


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along a dimension, and where it is last."""
    values, order = statistics.mode(as_torch(input), dim, keepdim)
    return _Mode(values, _long(order))


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle of the elements that are not NaN, the lower of two; with a dimension also where it is."""
    found = statistics.lower_nanmedian(as_torch(input), dim, keepdim)
    return found if dim is None else _Nanmedian(found[0], _long(found[1]))


def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
                interpolation: str = "linear") -> Any:
    """Quantiles of the elements that are not NaN."""
    return statistics.nanquantile(as_torch(input), q, dim, keepdim, method=interpolation)


def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """How many elements fall into each bin, and the edges of the bins."""
    x = as_torch(input)
    found, edges = statistics.histogram(x, bins, range, weight, density)
    return _Histogram(styled(found).to(x.dtype), styled(edges))


def frexp(input: Any) -> Any:
    """Mantissas and exponents."""
    return _Frexp(*special.frexp(as_torch(input)))


# -- complex numbers ---------------------------------------------------------------------------------------------------


def real(input: Any) -> Any:
    """The real part; the tensor itself where it is real."""
    return as_torch(input).real


def imag(input: Any) -> Any:
    """The imaginary part of complex numbers."""
    x = as_torch(input)
    if not x.is_complex():
        raise DTypeError(message("imag: the tensor is not complex", [("input", repr(x.info.type))],
                                 "its imaginary part is torch.zeros_like(x)"))
    return x.imag


def complex(real: Any, imag: Any, *, out: Any = None) -> Any:
    """A complex tensor of its parts."""
    a, c = as_torch(real), as_torch(imag)
    if a.dtype != c.dtype or a.info.type.dtype.kind != "f":
        raise DTypeError(message("complex: both parts must be floating-point tensors of one dtype",
                                 [("real", repr(a.info.type)), ("imag", repr(c.info.type))], "convert one: x.float()"))
    found = complex_parts.complex_of(a, c)
    return found if out is None else put(found, out, "complex")


def conj(input: Any) -> Any:
    """The complex conjugate; the tensor itself where it is real."""
    x = as_torch(input)
    return x.conj() if x.is_complex() else x


conj_physical = conj


def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugates are computed."""
    return input


resolve_neg = resolve_conj


def sgn(input: Any) -> Any:
    """-1, 0 or 1; complex numbers over their size."""
    return as_torch(input).sign()


def detach(input: Any) -> Any:
    """The tensor without its history."""
    return input.detach()


def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have one shape."""
    return tuple(input.shape) == tuple(other.shape)


# -- copies with parts replaced ----------------------------------------------------------------------------------------


def put_elements(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """The elements of a source at positions in the flattened tensor."""
    flat = as_torch(input).reshape(-1)
    return flat.index_put((as_torch(index).reshape(-1),), as_torch(source).reshape(-1), accumulate).reshape(input.shape)


def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """Put a number on the main diagonal."""
    return self.copy_(writing.fill_diagonal(self, fill_value, wrap))


def fill(input: Any, value: Any) -> Any:
    """A copy of a tensor, of which every element is a number (or a tensor of one, which has a gradient).

    >>> import pullback.torch as torch
    >>> torch.fill(torch.tensor([1.0, 2.0]), 3)
    tensor([3., 3.])
    """
    return as_torch(input).clone().fill_(value)


# -- products ----------------------------------------------------------------------------------------------------------


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * the sum of the products of two batches of matrices."""
    product = (as_torch(batch1) @ batch2).sum(0)
    return (product if alpha == 1 else product * alpha) + (input if beta == 1 else input * beta) if beta else \
        product * alpha


def chain_matmul(*matrices: Any) -> Any:
    """The product of several matrices, in the cheapest order."""
    from pullback.api.spectra import multi_dot

    return matrices[0] if len(matrices) == 1 else multi_dot(list(matrices))


# -- numbers from elsewhere --------------------------------------------------------------------------------------------


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A tensor of the numbers in a buffer, which are copied."""
    from pullback.dialects.torch.creation import tensor
    from pullback.dialects.torch.dtypes import dtype_argument

    kind = dtype_argument(dtype)
    size = memoryview(buffer).nbytes
    if offset < 0 or offset >= size or (count < 0 and (size - offset) % kind.itemsize) or \
            (count >= 0 and offset + count * kind.itemsize > size):
        raise ValueError_(message("frombuffer: the buffer does not hold these numbers",
                                  [("buffer", f"{size} bytes"), ("offset", str(offset)), ("count", str(count)),
                                   ("dtype", kind.name)], f"whole numbers of {kind.itemsize} bytes"))
    return tensor(np.frombuffer(buffer, kind.numpy, count, offset), requires_grad=requires_grad)


def sum_to_size(self: Any, *size: Any) -> Any:
    """The sum over the dimensions in which a smaller shape was broadcast to this one."""
    wanted = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    lead = self.ndim - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, self.shape[lead:], strict=True)):
        raise ShapeError(message("sum_to_size: this shape cannot be broadcast to the tensor's",
                                 [("x", repr(self.info.type)), ("size", str(wanted))], "sizes equal, or 1"))
    found = self.sum(tuple(range(lead))) if lead else self
    kept = tuple(k for k, (n, m) in enumerate(zip(wanted, found.shape, strict=True)) if n == 1 != m)
    return found.sum(kept, keepdim=True) if kept else found


def adjoint(input: Any) -> Any:
    """The conjugate of matrices with rows and columns exchanged."""
    return conj(as_torch(input).mT)


def polygamma_of(self: Any, n: int) -> Any:
    """The n-th derivative of digamma."""
    return styled(special.polygamma(n, self))

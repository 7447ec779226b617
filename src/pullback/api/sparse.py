"""Sparse tensors: entries at places, zero elsewhere. What `embedding(..., sparse=True)` has as its table's gradient.

A `SparseTensor` has the `places` of its entries (numbers of slices of its leading dimensions) and their values, `held`.
A place past the last slice is no entry: so entries are merged and left out in arrays of one size, whatever they are. A
function that knows dense tensors only reads it as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from pullback.api import elementwise, entries, linear_algebra, reductions
from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, shape_of
from pullback.api.manipulation import reshape
from pullback.api.tensor import Tensor
from pullback.engine.operation import operation
from pullback.engine.parts import Part
from pullback.engine.tensor import AutogradMeta, TensorBase, View, from_host
from pullback.engine.trace import Info, Value, local, thread
from pullback.ir.dtypes import int32, int64
from pullback.ir.node import Node, TensorType
from pullback.util.errors import ArgumentError, IndexError_, ShapeError, ValueError_, message

Array = Any


class _AsDense(View):
    """How a sparse tensor is read where a dense one is meant. It cannot be written through."""

    __slots__ = ("owner",)

    def __init__(self, owner: SparseTensor) -> None:
        super().__init__(owner.held, None, None, ())
        self.owner = owner

    def read(self) -> Value:
        """The dense value."""
        return self.owner.to_dense()._use()

    def read_outside(self) -> Value:
        """The dense value, where leaves are owned."""
        return self.read()

    def write(self, new: Value) -> None:
        """Refused."""
        raise ArgumentError(message("a sparse tensor cannot be written to", [("x", repr(self.owner.info.type))],
                                    "x.to_dense() first; sparse tensors have add_, sub_, mul_, div_ and zero_"))


class SparseTensor(Tensor):
    """Entries at places of a shape, zero elsewhere (PyTorch's `sparse_coo`).

    >>> import pullback as pb
    >>> layer = pb.nn.Embedding(4, 2, sparse=True)
    >>> layer(pb.tensor([3, 1, 3])).sum().backward()
    >>> layer.weight.grad.coalesce().indices().tolist()
    [[1, 3]]
    """

    result_class = Tensor
    is_sparse = True

    def __init__(self, places: Array, held: Array, shape: Sequence[int], leading: int = 1,
                 merged: bool = False) -> None:
        self._value = None
        self._meta: AutogradMeta | None = None
        self.places, self.held = places, held
        self._shape, self.leading, self._merged = tuple(shape), leading, merged
        self._view = _AsDense(self)

    def _with(self, held: Array, places: Array = None, merged: bool | None = None) -> SparseTensor:
        """Other entries in the same shape."""
        return type(self)(self.places if places is None else places, held, self._shape, self.leading,
                          self._merged if merged is None else merged)

    def _become(self, other: SparseTensor) -> SparseTensor:
        self.places, self.held, self._merged = other.places, other.held, other._merged
        return self

    @property
    def info(self) -> Info:
        """Shape and dtype."""
        held = self.held.info
        return Info.of(TensorType(self._shape, held.type.dtype), held.requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The sizes."""
        return self._shape

    @property
    def slices(self) -> int:
        """The number of slices that may have an entry, and the place of what is none."""
        return prod(self._shape[:self.leading])

    # -- entries -----------------------------------------------------------------------------------------------------
    def merged(self) -> SparseTensor:
        """One entry for each place, in order, in place: equal places are added up. The arrays keep their size."""
        if self._merged:
            return self
        places, held = _merged(self.places, self.held, size=self.slices)
        self.places, self.held, self._merged = places, held, True
        return self

    def _present(self) -> SparseTensor:
        """Without what is no entry. The places are observed."""
        places = self.places.numpy()
        kept = np.flatnonzero((places >= 0) & (places < self.slices))
        if len(kept) == len(places):
            return self
        at = from_host(kept.astype(np.int32))
        return self._become(self._with(_rows(self.held, at), _rows(self.places, at)))

    def coalesce(self) -> SparseTensor:
        """The same with one entry for each place, in order."""
        if self._merged:
            return self._present()
        return self._with(self.held).merged()._present()

    def is_coalesced(self) -> bool:
        """Whether no place has two entries, and all are in order."""
        return self._merged or self.places.shape[0] < 2

    def _indices(self) -> Array:
        """Where each entry is: [leading dimensions, entries]."""
        places = self._present().places.numpy()
        return self._plain(from_host(np.stack(np.unravel_index(places, self._shape[:self.leading])).astype(np.int64)))

    def _values(self) -> Array:
        """The entries: [entries, other dimensions]."""
        return self._plain(self._present().held)

    def _plain(self, x: Array) -> Array:
        """A dense tensor as this class's users see it."""
        return x

    def _nnz(self) -> int:
        """The number of entries."""
        return self._present().places.shape[0]

    def indices(self) -> Array:
        """Where each entry of a coalesced tensor is."""
        self._check_coalesced("indices")
        return self._indices()

    def values(self) -> Array:
        """The entries of a coalesced tensor."""
        self._check_coalesced("values")
        return self._values()

    def _check_coalesced(self, what: str) -> None:
        if not self.is_coalesced():
            raise ValueError_(message(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first",
                                      [("x", repr(self.info.type))]))

    def sparse_dim(self) -> int:
        """How many dimensions indices are given for."""
        return self.leading

    def dense_dim(self) -> int:
        """How many dimensions each entry has."""
        return len(self._shape) - self.leading

    def to_dense(self) -> Array:
        """The tensor with its zeros."""
        return self._plain(_dense(self.places, self.held, shape=self._shape, leading=self.leading))

    def to_sparse(self, sparse_dim: int | None = None) -> Array:
        """The tensor itself."""
        return self if sparse_dim in (None, self.leading) else self.to_dense().to_sparse(sparse_dim)

    # -- what stays sparse -------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Any:
        if not isinstance(other, SparseTensor):
            return self.to_dense() + other
        return self._plus(other)

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def _plus(self, other: SparseTensor) -> SparseTensor:
        """The entries of both."""
        if (other._shape, other.leading) != (self._shape, self.leading):
            raise ShapeError(message("add: sparse tensors of different shapes",
                                     [("x", repr(self.info.type)), ("y", repr(other.info.type))]))
        if other.places is self.places:
            return self._with(self.held + other.held)
        places, held = _behind(self.places, other.places), _behind(self.held, other.held)
        found = self._with(held, places, False)
        return found.merged() if self._merged and other._merged else found

    def add(self, other: Any, *, alpha: Any = 1) -> Any:  # type: ignore[override]
        """The sum, sparse if both are."""
        return self + (other if alpha == 1 else other * alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Any:  # type: ignore[override]
        """The difference, sparse if both are."""
        return self + other * -alpha

    def __mul__(self, other: Any) -> Any:
        return self._with(self.held * other) if _one_number(other) else self.to_dense() * other

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._with(self.held / other) if _one_number(other) else self.to_dense() / other

    def __neg__(self) -> SparseTensor:
        return self._with(-self.held)

    def __abs__(self) -> SparseTensor:
        return self._each(elementwise.abs)

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        return self._each(lambda x: x ** other) if _one_number(other) and float(other) > 0 else self.to_dense() ** other

    def _each(self, function: Callable[[Array], Array]) -> SparseTensor:
        """A function that leaves zero as it is, of all entries."""
        found = self._with(self.held).merged()
        return found._with(function(found.held))

    def __matmul__(self, other: Any) -> Any:
        return mm(self, other)

    mul, multiply, div, divide, true_divide, neg, negative, abs, absolute, pow, matmul, mm, mv = (
        __mul__, __mul__, __truediv__, __truediv__, __truediv__, __neg__, __neg__, __abs__, __abs__, __pow__,
        __matmul__, __matmul__, __matmul__)

    def sqrt(self) -> SparseTensor:  # type: ignore[override]
        """Square roots."""
        return self._each(elementwise.sqrt)

    def add_(self, other: Any, *, alpha: Any = 1) -> SparseTensor:  # type: ignore[override]
        """Add a sparse tensor, in place."""
        return self._become(self._sparse(self.add(other, alpha=alpha)))

    def sub_(self, other: Any, *, alpha: Any = 1) -> SparseTensor:  # type: ignore[override]
        """Subtract a sparse tensor, in place."""
        return self._become(self._sparse(self.sub(other, alpha=alpha)))

    def mul_(self, other: Any) -> SparseTensor:  # type: ignore[override]
        """Multiply by a number, in place."""
        return self._become(self._sparse(self * other))

    def div_(self, other: Any) -> SparseTensor:  # type: ignore[override]
        """Divide by a number, in place."""
        return self._become(self._sparse(self / other))

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def _sparse(self, found: Any) -> SparseTensor:
        if not isinstance(found, SparseTensor):
            assert self._view is not None
            self._view.write(found)
        return found

    def zero_(self) -> SparseTensor:
        """Forget all entries, in place."""
        dtype = self.info.type.dtype
        none = from_host(np.zeros((0, *self._shape[self.leading:]), np.float32), dtype)
        return self._become(self._with(none, from_host(np.zeros(0, np.int64)), True))

    def norm(self, p: Any = 2, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """The norm of all entries."""
        of = self.to_dense() if args or options else reshape(self.merged().held, (-1,))
        return self._plain(linear_algebra.norm(of, 2 if p in (None, "fro") else p, *args, **options))

    def sum(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """The sum, dense."""
        return self._plain(reductions.sum(self.to_dense() if args or options else self._valid(), *args, **options))

    def _valid(self) -> Array:
        """The values, with zeros for what is no entry."""
        return self.held if self._merged else self._with(self.held).merged().held

    # -- the same tensor ---------------------------------------------------------------------------------------------
    def clone(self) -> SparseTensor:
        """A copy with its own storage."""
        return self._with(elementwise.clone(self.held))

    def detach(self) -> SparseTensor:
        """The same entries without history."""
        return self._with(self.held.detach())

    data = property(detach)  # type: ignore[assignment]

    def to(self, *args: Any, **options: Any) -> SparseTensor:  # type: ignore[override]
        """The entries as another dtype."""
        return self._with(self.held.to(*args, **options))

    def float(self) -> SparseTensor:  # type: ignore[override]
        """The entries as float32."""
        return self._with(self.held.float())

    def double(self) -> SparseTensor:  # type: ignore[override]
        """The entries as float64."""
        return self._with(self.held.double())

    def __copy__(self) -> SparseTensor:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseTensor:
        memo[id(self)] = found = self.detach().clone()
        return found

    def __reduce__(self) -> Any:
        return (_restored, (type(self), self.places.numpy(), self.held, self._shape, self.leading, self._merged))

    def __repr__(self) -> str:
        return (f"SparseTensor(indices={self._indices().tolist()}, values={self._values().tolist()}, "
                f"shape={self._shape}, dtype={self.info.type.dtype.name})")

    __str__ = __repr__


def _restored(cls: Any, places: Any, held: Array, *rest: Any) -> SparseTensor:
    return cls(from_host(places), held, *rest)


def _one_number(x: Any) -> bool:
    return isinstance(x, (int, float)) or (isinstance(x, TensorBase) and not x.ndim)


# -- operations --------------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _merged(places: Node, held: Node, size: int) -> tuple[Node, ...]:
    return entries.merged(places, held, size)


@operation(promote="exact")
def _dense(places: Node, held: Node, shape: tuple[int, ...], leading: int) -> Node:
    return entries.dense(places, held, shape, leading)


@operation(promote="exact")
def _rows(x: Node, at: Node) -> Node:
    return build.gather(x, at, 0, "clip")


@operation(promote="dtype")
def _behind(x: Node, y: Node) -> Node:
    return build.concat([x, y], 0)


@operation(promote="exact", differentiable=False)
def _places_of(indices: Node, size: int, skip: int | None, mode: str) -> Node:
    """Indices as places; those of a row to leave out are none. Those out of range are reported, whatever reads them."""
    flat = build.convert(build.reshape(indices, (indices.tensor.size,)), int64)
    flat = build.gather(build.iota((size,), 0, int64), flat, 0, mode)
    if skip is None:
        return flat
    same = build.binary("eq", flat, build.scalar_like(flat, skip))
    return build.select(same, build.scalar_like(flat, size), flat)


@operation(promote="exact")
def _product(places: Node, held: Node, dense: Node, shape: tuple[int, int]) -> Node:
    """Rows of the dense matrix, weighed and added up where each entry's row is."""
    columns = build.scalar_like(places, shape[1])
    row, column = build.binary("floor_divide", places, columns), build.binary("remainder", places, columns)
    taken = build.gather(dense, build.convert(column, int32), 0, "clip")
    weighed = build.mul(taken, build.broadcast(held, taken.shape, (0,)))
    return build.scatter(build.zeros((shape[0], *dense.shape[1:]), held.dtype), row, weighed, 0, "add", "fill")


# -- functions ---------------------------------------------------------------------------------------------------------


def _gradient(places: Array, shape: tuple[int, ...], gradient: Array) -> SparseTensor:
    """What the gradient of rows that were read is for their table."""
    return SparseTensor(places, reshape(gradient, (-1, *shape[1:])), shape)


def rows_apart(table: Array, indices: Array, rows: Callable[[], Array], skip: int | None, mode: str) -> Array | None:
    """Rows read without history, as a leaf whose gradient becomes a sparse one of the table; None where there is none:
    for tables that are computed, and in functions that are transformed."""
    here = thread.context
    meta = table._meta
    if meta is None or not meta.requires_grad or not here.grad_enabled or here.trace.kind != "main":
        return None
    local.grad_enabled = False
    try:
        places = _places_of(as_tensor(indices, "embedding"), size=table.shape[0], skip=skip, mode=mode)
        leaf = rows()
    finally:
        local.grad_enabled = True
    leaf._meta = Part(meta, partial(_gradient, places, table.shape))
    return elementwise.clone(leaf)


def sparse_coo_tensor(indices: Any, values: Any, size: Any = None) -> SparseTensor:
    """Entries at places: indices are [leading dimensions, entries], values [entries, other dimensions].

    >>> import pullback as pb
    >>> from pullback.api.sparse import sparse_coo_tensor
    >>> sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3)).to_dense().tolist()
    [[0.0, 0.0, 3.0], [4.0, 0.0, 0.0]]
    """
    name = "sparse_coo_tensor"
    held = as_tensor(values, name)
    at = np.asarray(indices.numpy() if isinstance(indices, TensorBase) else indices)
    if at.ndim != 2:
        raise ShapeError(message(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}",
                                 [("indices", f"{at.tolist()!r:.60}")], "one row for each leading dimension"))
    if not held.ndim or at.shape[1] != held.shape[0]:
        raise ShapeError(message("indices and values must have same nnz, but got nnz from indices: "
                                 f"{at.shape[1]}, nnz from values: {held.shape[0] if held.ndim else 0}",
                                 [("indices", str(at.shape)), ("values", described(held))]))
    if at.size and at.dtype.kind not in "iu":
        raise IndexError_(message("indices must be whole numbers", [("indices", str(at.dtype))]))
    at = at.astype(np.int64)
    needed = (*(at.max(1) + 1 if at.size else [0] * len(at)), *held.shape[1:])
    shape = tuple(int(n) for n in needed) if size is None else shape_of(size, name)
    leading = len(shape) - held.ndim + 1
    if leading != len(at) or shape[leading:] != held.shape[1:]:
        raise ShapeError(message("number of dimensions must be sparse_dim + dense_dim, with the sizes of the values",
                                 [("size", str(shape)), ("indices", str(at.shape)), ("values", described(held))]))
    if at.size and ((at < 0).any() or (at >= np.asarray(shape[:leading])[:, None]).any()):
        raise IndexError_(message("size is inconsistent with indices: an index is out of range",
                                  [("size", str(shape)), ("indices", f"{at.tolist()!r:.60}")]))
    return SparseTensor(from_host(np.ravel_multi_index(tuple(at), shape[:leading]).astype(np.int64)
                                  if at.shape[1] else np.zeros(0, np.int64)), held, shape, leading)


def to_sparse(x: Array, sparse_dim: int | None = None) -> SparseTensor:
    """The elements that are not zero, as entries of `sparse_dim` leading dimensions (all by default). x is observed."""
    x = as_tensor(x, "to_sparse")
    leading = x.ndim if sparse_dim is None else int(sparse_dim)
    if not 0 < leading <= x.ndim:
        raise ArgumentError(message("to_sparse: sparse_dim must be from 1 to the number of dimensions",
                                    [("x", described(x)), ("sparse_dim", str(leading))]))
    slices = prod(x.shape[:leading])
    lines = reshape(x, (slices, *x.shape[leading:]))
    places = np.flatnonzero((lines.numpy().reshape(slices, -1) != 0).any(1)).astype(np.int64)
    at = from_host(places)
    return SparseTensor(at, _rows(lines, at), x.shape, leading, True)


def mm(x: Array, y: Array) -> Array:
    """The product of a sparse matrix and a dense matrix or vector."""
    if not isinstance(x, SparseTensor):
        return as_tensor(x, "sparse.mm") @ y
    y = as_tensor(y, "sparse.mm")
    if len(x.shape) != 2 or y.ndim not in (1, 2) or x.shape[1] != y.shape[0]:
        raise ShapeError(message("sparse.mm: shapes do not fit", [("x", repr(x.info.type)), ("y", described(y))],
                                 "[n, k] and [k, m]"))
    if x.leading != 2:
        return x.to_dense() @ y
    return x._plain(_product(x.places, x.held, y, shape=x.shape))


__all__ = ["SparseTensor", "mm", "rows_apart", "sparse_coo_tensor", "to_sparse"]

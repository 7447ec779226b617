"""Views: handles that read through a base and write through to it, for basic indexing and changes of layout.

A view is a pair of operations with the same static arguments: one reads the elements from the base's value, the other
puts new elements into it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from pullback.api import places
from pullback.api._lazy import build
from pullback.api.places import Entries
from pullback.engine import execute
from pullback.engine.operation import Operation, broadcast_to, operation
from pullback.engine.tensor import Gone, TensorBase, View, detach
from pullback.engine.trace import local, record, thread
from pullback.ir.index import Index, const, loop_vars
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, ShapeError, message


def make_view(x: TensorBase, read: Operation, write: Operation | None, static: tuple[Any, ...]) -> Any:
    """A view of a tensor. One made under no_grad stays without history."""
    return view_by(x, lambda base: View(base, read, write, static))


def view_by(x: TensorBase, view: Callable[[TensorBase], View]) -> Any:
    """A tensor that is such a view of another, or of that without its history."""
    if not local.grad_enabled and x.requires_grad:
        x = detach(x)
    result = x.result_class(None)
    result._view = view(x)
    thread.context.views.append(weakref.ref(result))
    return result


def _baseline() -> int:
    """What getrefcount says of a base that only its view holds."""
    view = View(TensorBase(None), None, None, ())  # pyright: ignore[reportArgumentType]
    base = view.base
    return sys.getrefcount(base)


_ALONE = _baseline()


def settle() -> None:
    """Views whose base nobody else can see become plain tensors, so that the base is not computed for their sake."""
    here = thread.context
    views, here.views = here.views, []
    for reference in views:
        tensor = reference()
        if tensor is None:
            continue
        view = tensor._view
        if view is None or view.cached is None:
            continue
        base = view.base
        if type(base._view) is Gone:
            tensor._value, tensor._view = view.cached, None
            continue
        if base._view is not None or base._meta is not None or view.seen is not base._value:
            continue  # nothing is read here, which might launch what is being launched
        if sys.getrefcount(base) <= _ALONE and (view.with_history or not base.requires_grad):
            tensor._value, tensor._view = view.cached, None


execute.before_flush = settle


# -- basic indexing ----------------------------------------------------------------------------------------------------


def _places(entries: Entries) -> tuple[tuple[int, ...], list[Index]]:
    """The shape of the region, and the index expression of each base dimension over it."""
    shape = region_shape(entries)
    over = iter(loop_vars(shape))
    found: list[Index] = []
    for e in entries:
        if e[0] == "i":
            found.append(const(e[1]))
            continue
        variable = next(over)
        if e[0] == "s":
            found.append(variable * e[2] + e[1])
    return shape, found


def region_shape(entries: Entries) -> tuple[int, ...]:
    """The shape of x[entries]."""
    return tuple([1 if e[0] == "n" else e[3] for e in entries if e[0] != "i"])


def read_region(x: Node, entries: Entries) -> Node:
    """x[entries]"""
    shape, indices = _places(entries)
    if shape == x.shape and all(e[0] == "s" and e[1] == 0 and e[2] == 1 for e in entries):
        return x
    return build.reindex(x, shape, indices)


def write_region(base: Node, new: Node, entries: Entries) -> Node:
    """base with x[entries] = new; `new` is converted and broadcast."""
    from pullback.ops.shape import inverted

    shape, indices = _places(entries)
    new = fitted(new, base, shape, "setitem")
    if 0 in shape:
        return base
    if shape == base.shape and all(e[0] == "s" and e[1] == 0 and e[2] == 1 for e in entries):
        return new
    placed = inverted(tuple(indices), shape, base.shape, new)
    inside = inverted(tuple(indices), shape, base.shape, build.full(shape, True, _bool()))
    assert placed is not None and inside is not None
    return build.select(inside, placed, base)


def _bool() -> Any:
    from pullback.ir.dtypes import bool_

    return bool_


def fitted(new: Node, base: Node, shape: tuple[int, ...], name: str) -> Node:
    """`new` converted to the base's dtype and broadcast to a region."""
    if new.dtype.kind == "c" and base.dtype.kind != "c":
        raise ArgumentError(message(f"{name}: complex numbers do not fit a real tensor",
                                    [("tensor", repr(base.type)), ("value", repr(new.type))], "assign value.real"))
    while len(new.shape) > len(shape) and new.shape[0] == 1:
        new = build.reshape(new, new.shape[1:])
    lead = len(shape) - len(new.shape)
    if lead < 0 or any(n not in (1, shape[lead + k]) for k, n in enumerate(new.shape)):
        raise ShapeError(message(f"{name}: the value does not fit the elements it is assigned to",
                                 [("tensor", repr(base.type)), ("region", str(shape)), ("value", repr(new.type))],
                                 "the value's shape must be that of the region, or broadcast to it"))
    return broadcast_to(build.convert(new, base.dtype), shape)


@operation(promote="exact")
def _read_index(x: Node, entries: Entries) -> Node:
    return read_region(x, entries)


@operation(promote="exact")
def _write_index(base: Node, new: Node, entries: Entries) -> Node:
    return write_region(base, new, entries)


@operation(promote="exact", name="write_index")
def _write_tracked(base: Node, new: Node, entries: Entries) -> Node:
    """The same, on an array with a history: where nothing of it is left its gradient is zeros, and not missing."""
    found = write_region(base, new, entries)
    whole = region_shape(entries) == base.shape and found is not base
    return build.select(build.full(base.shape, True, _bool()), found, base) if whole else found


@operation(promote="exact", name="read_index")
def _read_row(x: Node, at: Node, rest: Entries) -> Node:
    """A row of an array, wherever it is, and what indices choose of it."""
    return read_region(build.gather(x, build.convert(at, _int32()), 0, "clip"), rest)


def _int32() -> Any:
    from pullback.ir.dtypes import int32

    return int32


READ_INDEX, WRITE_INDEX, WRITE_TRACKED = _read_index, _write_index, _write_tracked


class IndexView(View):
    """A view of basic indices; where their places change from turn to turn, they are no part of a program."""

    __slots__ = ("entries",)

    def __init__(self, base: TensorBase, entries: Entries) -> None:
        super().__init__(base, _read_index, _write_index, (("entries", entries),))
        self.entries, self.shape = entries, region_shape(entries)

    def read(self) -> Any:
        base, here = self.base, thread.context
        outer = base._view
        value: Any = base._value
        if outer is not None:
            if type(outer) is Gone or (here.grad_enabled and base.requires_grad):
                return View.read(self)
            value = base._peek()
        elif here.grad_enabled and (base._meta is not None or value.info.requires_grad) and base.requires_grad:
            return self._row() if self._moves() else View.read(self)
        if self.seen is value and self.cached is not None:
            return View.read(self)
        found = places.read(value, self.entries, type(outer) is IndexView)
        if found is None:
            return View.read(self)
        self.cached, self.seen, self.with_history = found, value, here.grad_enabled
        return found

    def _moves(self) -> bool:
        """Whether this is a row of a parameter, ever another one."""
        trace = thread.context.trace
        if not self.entries or self.entries[0][0] != "i" or trace.kind != "main":
            return False
        value = self.base._use()
        return self.seen is not value and places.moves(thread.context.trace, "row", value, self.entries[0])

    def _row(self) -> Any:
        value = self.base._use()
        self.cached = record(_read_row.bind((("rest", self.entries[1:]),)), [value, self.entries[0][1]])[0]
        self.seen, self.with_history = value, True
        return self.cached

    def write(self, new: Any) -> None:
        if places.write(place_of(self.base, self.entries), new):
            self.seen = None
        else:
            super().write(new)


def place_of(x: TensorBase, *indices: Entries) -> places.Place | None:
    """Where in memory x[indices] lies, x being an array or what indices gave of one; None where others lie between."""
    chain = list(indices)
    while x._view is not None:
        if type(x._view) is not IndexView:
            return None
        chain.append(x._view.entries)
        x = x._view.base
    placed = places.whole(x.extents)
    for entries in reversed(chain):
        placed = placed.part(entries)
    return places.Place(x, placed, tuple(chain))


def index_view(x: TensorBase, entries: Entries) -> Any:
    """x[entries] as a view."""
    return view_by(x, lambda base: IndexView(base, entries))


# -- layout ------------------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _read_transpose(x: Node, order: tuple[int, ...]) -> Node:
    return build.transpose(x, order)


@operation(promote="exact")
def _write_transpose(base: Node, new: Node, order: tuple[int, ...]) -> Node:
    shape = tuple(base.shape[k] for k in order)
    inverse = [0] * len(order)
    for k, source in enumerate(order):
        inverse[source] = k
    return build.transpose(fitted(new, base, shape, "assignment"), inverse)


def transpose_view(x: TensorBase, order: tuple[int, ...]) -> Any:
    """x with its dimensions in another order, as a view."""
    return make_view(x, _read_transpose, _write_transpose, (("order", order),))


@operation(promote="exact")
def _read_reshape(x: Node, shape: tuple[int, ...]) -> Node:
    return build.reshape(x, shape)


@operation(promote="exact")
def _write_reshape(base: Node, new: Node, shape: tuple[int, ...]) -> Node:
    return build.reshape(fitted(new, base, shape, "assignment"), base.shape)


def reshape_view(x: TensorBase, shape: tuple[int, ...]) -> Any:
    """x under another shape, as a view; the caller has checked the sizes."""
    return make_view(x, _read_reshape, _write_reshape, (("shape", shape),))


@operation(promote="exact")
def _read_diagonal(x: Node, offset: int, first: int, second: int) -> Node:
    shape, indices = _diagonal(x.shape, offset, first, second)
    return build.reindex(x, shape, indices)


@operation(promote="exact")
def _write_diagonal(base: Node, new: Node, offset: int, first: int, second: int) -> Node:
    shape, indices = _diagonal(base.shape, offset, first, second)
    new = fitted(new, base, shape, "assignment")
    placed = build.reindex_reduce(new, base.shape, indices)
    flag = build.reindex_reduce(build.full(shape, 1, _int8()), base.shape, indices)
    return build.select(build.binary("ne", flag, build.zeros_like(flag)), placed, base)


def _int8() -> Any:
    from pullback.ir.dtypes import int8

    return int8


def _diagonal(source: tuple[int, ...], offset: int, first: int, second: int) -> tuple[tuple[int, ...], list[Index]]:
    n, m = source[first], source[second]
    count = max(min(n + min(offset, 0), m - max(offset, 0)), 0)
    rest = [k for k in range(len(source)) if k not in (first, second)]
    shape = (*(source[k] for k in rest), count)
    over = loop_vars(shape)
    indices = [const(0)] * len(source)
    for k, variable in zip(rest, over, strict=False):
        indices[k] = variable
    indices[first] = over[-1] - min(offset, 0)
    indices[second] = over[-1] + max(offset, 0)
    return shape, indices


def diagonal_view(x: TensorBase, offset: int, first: int, second: int) -> Any:
    """The diagonal of two dimensions as the last one, as a view."""
    return make_view(x, _read_diagonal, _write_diagonal, (("offset", offset), ("first", first), ("second", second)))


@operation(promote="exact")
def _read_flip(x: Node, axes: tuple[int, ...]) -> Node:
    return build.flip(x, axes)


def flip_copy(x: TensorBase, axes: tuple[int, ...]) -> Any:
    """x reversed along axes: a copy, as in PyTorch."""
    return _read_flip(x, axes=axes)


@operation(promote="exact")
def _read_broadcast(x: Node, shape: tuple[int, ...]) -> Node:
    return broadcast_to(x, shape)


def broadcast_copy(x: TensorBase, shape: tuple[int, ...]) -> Any:
    """x repeated to a shape; not writable, so no view is needed."""
    return _read_broadcast(x, shape=shape)

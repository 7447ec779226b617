"""Views: handles that read through a base and write through to it, for basic indexing and changes of layout.

A view is a pair of operations with the same static arguments: one reads the elements from the base's value, the other
puts new elements into it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from pullback.api._lazy import build
from pullback.engine import execute
from pullback.engine.operation import Operation, broadcast_to, operation
from pullback.engine.tensor import Gone, TensorBase, View, detach
from pullback.engine.trace import Info, local, thread
from pullback.ir.index import Index, const, loop_vars
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, ShapeError, message

#: one entry per dimension of the base or new dimension: ("i", k), ("s", start, step, count) or ("n",)
Entries = tuple[tuple[Any, ...], ...]


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
        if not view.with_history and base.requires_grad:
            continue
        if sys.getrefcount(base) <= _ALONE and base._view is None and base._meta is None and view.seen is base._value:
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


READ_INDEX, WRITE_INDEX, WRITE_TRACKED = _read_index, _write_index, _write_tracked
#: bytes up to which a part of a known array is copied
PART_BYTES = 64 << 20


class _IndexView(View):
    """A view of basic indices. One run of elements of a known array is copied where another place was read before at
    the same point of a program: where it begins is no part of it then, so the batches of a loop over a data set need
    two programs and not one each. The steps of a sequence, which are read in one program, remain parts of it."""

    __slots__ = ("run",)

    def __init__(self, base: TensorBase, entries: Entries) -> None:
        super().__init__(base, _read_index, _write_index, (("entries", entries),))
        self.run = _run(entries, base.info.type.shape)

    def read(self) -> Any:
        found = self._part() if self.run is not None else None
        return super().read() if found is None else found

    def _part(self) -> Any:
        base, here = self.base, thread.context
        value = base._peek() if type(base._view) is _IndexView else base._value
        if value is None or value.buffer is None or self.seen is value or here.trace.kind != "main" \
                or here.track is not None or (base.requires_grad and here.grad_enabled):
            return None
        assert self.run is not None
        first, shape = self.run
        info = value.info
        type_ = info.type.with_shape(shape)
        if type_.nbytes > PART_BYTES or self._goes_on(value, here.trace, shape):
            return None
        found = execute.part_of(value, first * type_.dtype.itemsize, Info.of(type_, False, info.weak))
        if found is not None:
            self.cached, self.seen, self.with_history = found, value, here.grad_enabled
        return found


    def _goes_on(self, value: Any, trace: Any, shape: tuple[int, ...]) -> bool:
        """Whether a program is known that reads here at this place, or none that reads so much at another."""
        state, slot = trace.state, trace.leaf_slots.get(value, value.info)
        bound = self.read_op.bind(self.static)
        if (bound, slot) in state.next or (bound, slot, None) in state.next:
            return True
        if trace.moving and type(self.base._view) is not _IndexView:  # what belongs to a batch moves with it
            return False
        mark = ("part", slot, shape)
        if mark in state.memo:
            trace.moving = True
            return False
        state.memo[mark] = True
        return True


def _run(entries: Entries, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]] | None:
    """Where a region begins whose elements are one run through memory, and its shape; None for others, and for all."""
    first, begun = 0, False
    sizes = iter(shape)
    for e in entries:
        if e[0] == "n":
            continue
        size = next(sizes)
        start, count = (e[1], 1) if e[0] == "i" else (e[1], e[3])
        if begun and (start or count != size or (e[0] == "s" and e[2] != 1)):
            return None
        begun = begun or count != 1
        if count > 1 and e[2] != 1:
            return None
        first = first * size + start
    found = region_shape(entries)
    return None if 0 in found or 0 in shape or (not first and found == shape) else (first, found)


def index_view(x: TensorBase, entries: Entries) -> Any:
    """x[entries] as a view."""
    return view_by(x, lambda base: _IndexView(base, entries))


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

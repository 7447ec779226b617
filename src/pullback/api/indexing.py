"""Indexing as NumPy does it: basic (views), by integers and by masks; reading, assigning, and `.at`."""

from __future__ import annotations

import operator
from typing import Any, cast

import numpy as np

from pullback.api import places, views
from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described
from pullback.api.places import Entries
from pullback.api.views import fitted
from pullback.engine.execute import observe, upload_as
from pullback.engine.operation import broadcast_to, operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import SCALARS, Info, record, thread
from pullback.ir import dtypes
from pullback.ir.dtypes import numpy_dtype
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, IndexError_, NotAnIndexError, ShapeError, message

Array = Any
_HELP = "use integers, slices, ..., None, integer arrays or boolean masks"


class Selection:
    """A parsed index: the basic part, then integer arrays along some dimensions of what is left."""

    __slots__ = ("arrays", "axes", "checked", "entries", "front")

    def __init__(self, entries: Entries, axes: tuple[int, ...], arrays: tuple[Any, ...], front: bool,
                 checked: bool) -> None:
        self.entries, self.axes, self.arrays, self.front, self.checked = entries, axes, arrays, front, checked


def _plain(index: Any, shape: tuple[int, ...]) -> Entries | None:
    """The entries of an index of integers and slices only: the common case."""
    items = index if type(index) is tuple else (index,)
    if len(items) > len(shape):
        return None
    entries: list[tuple[Any, ...]] = []
    for k, item in enumerate(items):
        if type(item) is int:
            n = shape[k]
            if not -n <= item < n:
                _out_of_range(item, k, shape)
            entries.append(("i", item + n if item < 0 else item))
        elif type(item) is slice:
            entries.append(_slice(item, shape[k]))
        else:
            return None
    for n in shape[len(items):]:
        entries.append(("s", 0, 1, n))
    return tuple(entries)


def _out_of_range(item: int, axis: int, shape: tuple[int, ...]) -> None:
    n = shape[axis]
    text = f"use an index from {-n} to {n - 1}" if n else "the dimension has no elements"
    raise IndexError_(message(f"index {item} is out of range for dimension {axis} of size {n}",
                              [("shape", str(shape)), ("index", str(item))], text))


def _slice(item: slice, size: int) -> tuple[Any, ...]:
    try:
        start, stop, step = item.indices(size)
    except TypeError:
        raise ArgumentError(message("index: slice limits must be integers", [("slice", repr(item))], _HELP)) from None
    except ValueError:
        raise NotAnIndexError(message("index: a slice step cannot be zero", [("slice", repr(item))],
                                      "use a step of 1 or more, or a negative one")) from None
    count = len(range(start, stop, step))
    return ("s", start if count else 0, step, count)


def _is_mask(item: Any) -> bool:
    if isinstance(item, TensorBase):
        return item.info.type.dtype.kind == "b"
    if isinstance(item, np.ndarray):
        return item.dtype.kind == "b"
    return isinstance(item, (bool, np.bool_))


def _as_array(item: Any) -> Any:
    """An index item that is an array: a list becomes one."""
    if isinstance(item, (TensorBase, np.ndarray)):
        return item
    if isinstance(item, (list, tuple)):
        try:
            array = np.asarray([x.numpy() if isinstance(x, TensorBase) else x for x in item])
        except ValueError:
            array = np.asarray(None)
        return array.astype(np.int64) if array.size == 0 and array.dtype.kind == "f" else array
    return None


def _expand_ellipsis(index: Any, rank: int, shape: tuple[int, ...]) -> list[Any]:
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexError_(message("index: only one ellipsis is allowed", [("index", repr(index))], "use ... once"))
    used = 0
    for item in items:
        if item is None or item is Ellipsis:
            continue
        used += item.ndim if _is_mask(item) and not isinstance(item, (bool, np.bool_)) else 0 if _is_mask(item) else 1
    if used > rank:
        raise IndexError_(message(f"index: {used} indices for {rank} dimensions", [("shape", str(shape))],
                                  f"use at most {rank}" if rank else "use x.item() for the number, or x[()]"))
    fill = [slice(None)] * (rank - used)
    if dots:
        items[dots[0]:dots[0] + 1] = fill
    else:
        items += fill
    return items


def parse(index: Any, shape: tuple[int, ...]) -> Selection:
    """Read an index. Masks are observed: their positions are needed to know the shape of the result."""
    plain = _plain(index, shape)
    if plain is not None:
        return Selection(plain, (), (), False, True)
    if isinstance(index, list):
        index = _as_array(index)
    items = _expand_ellipsis(index, len(shape), shape)
    advanced = any(item is not None and not isinstance(item, slice) and not _whole(item) for item in items)
    return _Parser(shape, advanced).run(items)


def nonzero(given: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """What `np.nonzero` gives, int64: where there are several dimensions, in a fifth of its time."""
    flat = np.flatnonzero(given).astype(np.int64, copy=False)
    found: list[np.ndarray[Any, Any]] = []
    for n in given.shape[:0:-1]:
        line = flat // max(n, 1)
        found.append(flat - line * n)
        flat = line
    return (flat, *found[::-1])


def _whole(item: Any) -> bool:
    """Whether an item is a single integer."""
    return isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_))


class _Parser:
    """Splits index items into the basic part and integer arrays."""

    def __init__(self, shape: tuple[int, ...], advanced: bool) -> None:
        self.shape, self.advanced = shape, advanced
        self.entries: list[tuple[Any, ...]] = []
        self.arrays: list[Any] = []
        self.axes: list[int] = []  # of arrays, among the dimensions of the basic part's result
        self.places: list[int] = []  # of arrays, among the items: apart means the result dimensions come first
        self.axis = 0
        self.out = 0
        self.checked = True

    def run(self, items: list[Any]) -> Selection:
        for place, item in enumerate(items):
            self.item(item, place)
        front = bool(self.places) and self.places[-1] - self.places[0] >= len(set(self.places))
        return Selection(tuple(self.entries), tuple(self.axes), tuple(self.arrays), front, self.checked)

    def item(self, item: Any, place: int) -> None:
        if item is None:
            self.entries.append(("n",))
            self.out += 1
        elif isinstance(item, slice):
            self.entries.append(_slice(item, self.shape[self.axis]))
            self.axis += 1
            self.out += 1
        elif _is_mask(item):
            self.mask(item, place)
        elif _whole(item) and not self.advanced:
            n = self.shape[self.axis]
            if not -n <= item < n:
                _out_of_range(int(item), self.axis, self.shape)
            self.entries.append(("i", int(item) % n))
            self.axis += 1
        else:
            self.array(item, place)

    def mask(self, item: Any, place: int) -> None:
        if isinstance(item, (bool, np.bool_)):
            self.entries.append(("n",))
            self.add(np.zeros(1 if item else 0, np.int64), place)
            return
        if isinstance(item, TensorBase):
            item = item.numpy()
        size = self.shape[self.axis:self.axis + item.ndim]
        if len(size) < item.ndim or any(m not in (n, 0) for m, n in zip(item.shape, size, strict=True)):
            raise IndexError_(message("index: a mask must have the shape of the dimensions it selects from",
                                      [("mask", str(item.shape)), ("dimensions", str(size))],
                                      "compare the array itself, for example x[x > 0]"))
        if item.ndim == 0:
            self.entries.append(("n",))
            self.add(np.zeros(1 if item else 0, np.int64), place)
            return
        for positions in nonzero(item):
            self.entries.append(("s", 0, 1, self.shape[self.axis]))
            self.axis += 1
            self.add(positions, place)

    def array(self, item: Any, place: int) -> None:
        n = self.shape[self.axis]
        array: Any = np.asarray(item) if _whole(item) or isinstance(item, range) else _as_array(item)
        if array is None and hasattr(item, "__index__"):
            array = np.asarray(operator.index(cast(Any, item)))
        if array is None or (isinstance(array, np.ndarray) and array.dtype.kind not in "iu"):
            raise NotAnIndexError(
                message("index: not an index", [("index", f"{type(item).__name__} {item!r:.60}")], _HELP))
        if isinstance(array, TensorBase):
            if not array.info.type.dtype.is_integer:
                raise NotAnIndexError(message("index: an index array must have an integer or bool dtype",
                                              [("index", described(array))], "convert it: i.long()"))
            self.checked = False
        elif array.size:
            low, high = int(array.min()), int(array.max())
            if low < -n or high >= n:
                _out_of_range(low if low < -n else high, self.axis, self.shape)
            array = np.where(array < 0, array + n, array)
        self.entries.append(("s", 0, 1, n))
        self.axis += 1
        self.add(array, place)

    def add(self, array: Any, place: int) -> None:
        self.arrays.append(array)
        self.axes.append(self.out)
        self.places.append(place)
        self.out += 1


# -- reading -----------------------------------------------------------------------------------------------------------


def getitem(x: TensorBase, index: Any) -> Any:
    """x[index]: a view for basic indices, a copy otherwise."""
    shape = x.extents
    found = parse(index, shape)
    if not found.arrays:
        return views.index_view(x, found.entries)
    entries = found.entries
    if any(e != ("s", 0, 1, n) for e, n in zip(entries, shape, strict=False)) or len(entries) != len(shape):
        x = views.index_view(x, entries)
        entries = tuple([("s", 0, 1, n) for n in views.region_shape(entries)])
    return _gather(x, *_index_tensors(found), entries=entries, axes=found.axes, front=found.front,
                   mode="clip" if found.checked else "error")


#: elements up to which part of a known array is copied by the host
_SMALL = 1024


def read(x: TensorBase, index: Any) -> Any:
    """x[index] as an array of its own, for arrays that nobody changes. A few elements of known ones are copied at once:
    a program for each place, as in a loop over rows, would be compiled for each."""
    value = x._peek()
    found = parse(index, value.info.type.shape)
    if found.arrays:
        return getitem(x, index)
    count = 1
    for e in found.entries:
        count *= e[3] if e[0] == "s" else 1
    here = thread.context
    with_history = value.info.requires_grad and here.grad_enabled
    if value.buffer is None or count > _SMALL or here.trace.kind != "main" or with_history:
        part = None if with_history else places.read(value, found.entries, False)
        return views.READ_INDEX(x, entries=found.entries) if part is None else x.result_class(part)
    buffer = observe(value, "index")
    info = value.info
    host = buffer.numpy(numpy_dtype(info.type.dtype), info.type.shape)
    part = np.ascontiguousarray(host[tuple([_host_index(e) for e in found.entries])])
    return x.result_class(upload_as(part,
        Info.of(info.type.with_shape(views.region_shape(found.entries)), False, info.weak)))


def rows(x: TensorBase) -> list[Any]:
    """The parts along the first dimension, as arrays of their own. Many rows are computed together and copied by the
    host."""
    value = x._peek()
    here = thread.context
    shape = value.info.type.shape
    if shape[0] <= _FEW or here.trace.kind != "main" or (value.info.requires_grad and here.grad_enabled):
        return [read(x, k) for k in range(shape[0])]
    host = observe(value, "iteration").numpy(numpy_dtype(value.info.type.dtype), shape)
    info = Info.of(value.info.type.with_shape(shape[1:]), False, value.info.weak)
    return [x.result_class(upload_as(np.ascontiguousarray(row).reshape(shape[1:]), info)) for row in host]


#: rows up to which iteration is recorded like any indexing
_FEW = 16


def _host_index(entry: tuple[Any, ...]) -> Any:
    if entry[0] == "n":
        return None
    if entry[0] == "i":
        return entry[1]
    _, start, step, count = entry
    stop = start + step * count
    return slice(start, stop if stop >= 0 else None, step)


def _index_tensors(found: Selection) -> list[Any]:
    arrays = [a if isinstance(a, TensorBase) else from_host(_narrow(a)) for a in found.arrays]
    shapes = [a.shape for a in arrays]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise IndexError_(message("index: index arrays do not broadcast together",
                                  [("shapes", ", ".join(map(str, shapes)))],
                                  "give index arrays of equal shapes, or use one at a time")) from None
    return arrays


def _narrow(array: Any) -> Any:
    fits = array.dtype == np.int64 and (array.size == 0 or array.max() < 2**31)
    return array.astype(np.int32) if fits else array


def linear_index(x: Node, indices: list[Node], axes: tuple[int, ...], mode: str) -> Node:
    """Index arrays along some dimensions as one into their row-major product; out of range anywhere is out of range."""
    from pullback.engine.operation import broadcast_shapes

    shape = broadcast_shapes("index", indices)
    total: Node | None = None
    valid: Node | None = None
    dtype = dtypes.int64 if any(i.dtype.bits > 32 for i in indices) or x.tensor.size > 2**31 - 1 else dtypes.int32
    for axis, node in zip(axes, indices, strict=True):
        n = x.shape[axis]
        node = broadcast_to(build.convert(node, dtype), shape)
        if mode != "clip":
            zero, size = build.zeros_like(node), build.scalar_like(node, n)
            node = build.select(build.binary("lt", node, zero), build.add(node, size), node)
            inside = build.binary("logical_and", build.binary("ge", node, zero), build.binary("lt", node, size))
            valid = inside if valid is None else build.binary("logical_and", valid, inside)
        total = node if total is None else build.add(build.mul(total, build.scalar_like(total, n)), node)
    assert total is not None
    if valid is not None and len(axes) > 1:
        total = build.select(valid, total, build.scalar_like(total, build.count([x.shape[k] for k in axes])))
    return total


def _arranged(rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    return (*axes, *(k for k in range(rank) if k not in axes))


@operation(promote="exact")
def _gather(x: Node, *indices: Node, entries: Entries, axes: tuple[int, ...], front: bool, mode: str) -> Node:
    x = views.read_region(x, entries)
    return gather_nodes(x, list(indices), axes, front, mode)


def gather_nodes(x: Node, indices: list[Node], axes: tuple[int, ...], front: bool, mode: str) -> Node:
    """x[..., indices, ...] along `axes`; the result's index dimensions stand at the first axis, or in front."""
    if len(axes) == 1 and not front:
        return build.gather(x, indices[0], axes[0], mode)
    at = linear_index(x, indices, axes, mode)
    rest = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    flat = build.reshape(build.transpose(x, _arranged(x.tensor.rank, axes)),
                         (build.count([x.shape[k] for k in axes]), *rest))
    taken = build.gather(flat, at, 0, mode)
    if front:
        return taken
    count, lead = len(at.shape), axes[0]
    return build.transpose(taken, (*range(count, count + lead), *range(count), *range(count + lead, count + len(rest))))


# -- assigning ---------------------------------------------------------------------------------------------------------


def setitem(x: TensorBase, index: Any, value: Any, monoid: str = "set", mode: str | None = None) -> None:
    """x[index] = value, or another combination of the old elements and the value. An index out of range is an error, or
    what `mode` says: "fill" leaves it out, "clip" takes the nearest element."""
    if isinstance(value, TensorBase) and value._view is not None and _is_same_region(x, index, value):
        return
    shape = x.extents
    if monoid == "set" and _is_mask(index) and not isinstance(index, (bool, np.bool_)) and _assign_where(x, index,
                                                                                                         value):
        return
    found = parse(index if mode is None else _unchecked(index, shape, mode != "fill"), shape)
    place = views.place_of(x, found.entries) if not found.arrays and monoid == "set" else None
    tracked = thread.context.grad_enabled and (x if place is None else place.tensor).info.requires_grad
    if type(value) not in SCALARS:
        value = as_tensor(value, "setitem")
    if not found.arrays and not tracked and monoid == "set" and thread.context.trace.kind == "main":
        new: Any = value
        if isinstance(value, TensorBase):
            new, place = value._peek(), None if value.requires_grad else place
        if place is not None and places.write_known(place, new):
            return
        found = parse(_with_places(index, found, shape), shape)
        if place is not None and places.write(place._replace(fixed=found.entries) if found.arrays else place, new):
            return
    operands, _ = views.WRITE_INDEX.values((x, value))
    if not found.arrays:
        write = views.WRITE_TRACKED if tracked else views.WRITE_INDEX
        x.assign_value(record(write, operands, (("entries", found.entries),))[0])
        return
    arrays, _ = views.WRITE_INDEX.values(tuple(_index_tensors(found)))
    static = (("entries", found.entries), ("axes", found.axes), ("front", found.front),
              ("mode", mode or ("clip" if found.checked else "error")), ("monoid", monoid))
    x.assign_value(record(_scatter, [*operands, *arrays], static)[0])


def _with_places(index: Any, found: Selection, shape: tuple[int, ...]) -> Any:
    """A basic index that begins with a whole number, or with some of the first dimension's elements, with an array in
    its place: places are no part of a program then, and a loop that fills an array needs one."""
    first: tuple[Any, ...] = found.entries[0] if found.entries else ("n",)
    if first[0] == "i":
        place: Any = np.asarray(first[1])
    elif first[0] == "s" and first[2] == 1 and 0 < first[3] < shape[0] and first[3] <= _SMALL:
        place = np.arange(first[1], first[1] + first[3])
    else:
        return index
    items = _expand_ellipsis(index, len(shape), shape)
    rest = [np.asarray(item) if first[0] == "i" and _whole(item) else item for item in items[1:]]
    if first[0] == "s" and any(not isinstance(item, slice) for item in rest):
        return index
    return (place, *rest)


def _unchecked(index: Any, shape: tuple[int, ...], nearest: bool) -> Any:
    """An index whose whole numbers are arrays that nobody checks: negative ones count from the end, those out of range
    are the nearest place, or the first after the end."""
    items = _expand_ellipsis(index, len(shape), shape)
    sizes = iter(shape)
    found: list[Any] = []
    for item in items:
        size = 0 if item is None else next(sizes)
        array = _as_array(item) if not _whole(item) and not isinstance(item, slice) and item is not None else item
        if _whole(item) or (isinstance(array, np.ndarray) and array.dtype.kind in "iu"):
            host = np.asarray(array, np.int64)
            host = np.where(host < 0, host + size, host)
            host = np.clip(host, 0, max(size - 1, 0)) if nearest else np.where((host < 0) | (host > size), size, host)
            found.append(from_host(host.astype(np.int32)))
        elif isinstance(array, TensorBase) and array.info.type.dtype.is_integer:
            found.append(_from_the_end(array, size=size, nearest=nearest))
        else:
            rank: Any = item
            for _ in range(rank.ndim - 1 if _is_mask(item) and not isinstance(item, bool) else 0):
                next(sizes)
            found.append(item)
    return tuple(found)


@operation(promote="exact")
def _from_the_end(indices: Node, size: int, nearest: bool) -> Node:
    narrow = indices.dtype.bits <= 32 and indices.dtype is not dtypes.uint32
    at = build.convert(indices, dtypes.int32 if narrow else dtypes.int64)
    zero = build.zeros_like(at)
    at = build.select(build.binary("lt", at, zero), build.add(at, build.scalar_like(at, size)), at)
    if nearest:
        return build.minimum(build.maximum(at, zero), build.scalar_like(at, max(size - 1, 0)))
    return build.select(build.binary("lt", at, zero), build.scalar_like(at, size), at)


def _is_same_region(x: TensorBase, index: Any, value: TensorBase) -> bool:
    """Whether `x[index] = value` is the end of `x[index] += ...`, which has been written already."""
    view = value._view
    if view is None or view.base is not x or view.read_op is not views.READ_INDEX:
        return False
    entries = _plain(index, x.info.type.shape)
    return entries is not None and view.static == (("entries", entries),)


def _assign_where(x: TensorBase, mask: Any, value: Any) -> bool:
    """x[mask] = value without knowing the mask, where the value does not depend on how many elements it selects."""
    rank = mask.ndim
    shape = x.info.type.shape
    if tuple(mask.shape) != shape[:rank]:
        return False
    if type(value) not in SCALARS:
        value = as_tensor(value, "setitem")
        if len(value.shape) > len(shape) - rank:
            return False
    operands, _ = _fill_where.values((x, mask, value))
    x.assign_value(record(_fill_where, operands)[0])
    return True


@operation(promote="exact")
def _fill_where(x: Node, mask: Node, value: Node) -> Node:
    value = broadcast_to(fitted(value, x, x.shape[len(mask.shape):], "setitem"), x.shape)
    return build.select(build.broadcast(mask, x.shape, tuple(range(len(mask.shape)))), value, x)


@operation(promote="exact")
def _scatter(base: Node, value: Node, *indices: Node, entries: Entries, axes: tuple[int, ...], front: bool, mode: str,
             monoid: str) -> Node:
    region = views.read_region(base, entries)
    changed = scatter_nodes(region, list(indices), value, axes, front, mode, monoid)
    return views.write_region(base, changed, entries)


def scatter_nodes(x: Node, indices: list[Node], value: Node, axes: tuple[int, ...], front: bool, mode: str,
                  monoid: str) -> Node:
    """x with x[..., indices, ...] combined with `value`; the inverse of `gather_nodes`."""
    from pullback.engine.operation import broadcast_shapes

    shape = broadcast_shapes("index", indices)
    rest = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    lead, count = (0 if front else axes[0]), len(shape)
    updates = fitted(value, x, (*rest[:lead], *shape, *rest[lead:]), "setitem")
    if len(axes) == 1 and not front:
        return build.scatter(x, indices[0], updates, axes[0], monoid, mode)
    order = (*range(lead, lead + count), *range(lead), *range(lead + count, count + len(rest)))
    updates = build.transpose(updates, order)
    at = linear_index(x, indices, axes, mode)
    arranged = _arranged(x.tensor.rank, axes)
    moved = build.transpose(x, arranged)
    flat = build.reshape(moved, (build.count([x.shape[k] for k in axes]), *rest))
    changed = build.reshape(build.scatter(flat, at, updates, 0, monoid, mode), moved.shape)
    inverse = [arranged.index(k) for k in range(len(arranged))]
    return build.transpose(changed, inverse)


class At:
    """`x.at[index]`: updates that return a new array. See `Tensor.at`."""

    __slots__ = ("index", "mode", "x")

    def __init__(self, x: Any, index: Any = None, mode: str | None = None) -> None:
        self.x, self.index, self.mode = x, index, mode

    def __getitem__(self, index: Any) -> At:
        return At(self.x, index, self.mode)

    def _fresh(self) -> Any:
        return self.x.result_class(self.x._use())

    def _update(self, value: Any, monoid: str, combine: Any) -> Any:
        result = self._fresh()
        if self.mode is not None:
            setitem(result, self.index, value, monoid, self.mode)
            return result
        found = parse(self.index, result.info.type.shape)
        if monoid == "set" or (found.arrays and result.info.type.dtype.kind != "b"):
            setitem(result, self.index, value, monoid)
        else:
            setitem(result, self.index, combine(getitem(result, self.index), value))
        return result

    def get(self, mode: str | None = None, fill_value: Any = None) -> Any:
        """The elements themselves. `mode` "clip", "wrap" or "fill" says what an index out of range gives."""
        if mode is None:
            return getitem(self._fresh(), self.index)
        return _moded(self._fresh(), self.index, mode, fill_value)

    def set(self, value: Any) -> Any:
        """The array with these elements replaced."""
        return self._update(value, "set", None)

    def add(self, value: Any) -> Any:
        """The array with `value` added to these elements; repeated indices add up."""
        return self._update(value, "add", lambda a, b: a + b)

    def subtract(self, value: Any) -> Any:
        """The array with `value` subtracted from these elements."""
        return self._update(-as_tensor(value, "at.subtract"), "add", lambda a, b: a + b)

    def multiply(self, value: Any) -> Any:
        """The array with these elements multiplied by `value`."""
        return self._update(value, "mul", lambda a, b: a * b)

    mul = multiply

    def divide(self, value: Any) -> Any:
        """The array with these elements divided by `value`."""
        return self._update(1 / as_tensor(value, "at.divide"), "mul", lambda a, b: a * b)

    def power(self, value: Any) -> Any:
        """The array with these elements raised to the power `value`."""
        return self.set(getitem(self._fresh(), self.index) ** value)

    def min(self, value: Any) -> Any:
        """The array with these elements at most `value`."""
        return self._update(value, "min", lambda a, b: a.minimum(b))

    def max(self, value: Any) -> Any:
        """The array with these elements at least `value`."""
        return self._update(value, "max", lambda a, b: a.maximum(b))

    def apply(self, function: Any) -> Any:
        """The array with a function applied to these elements."""
        return self.set(function(getitem(self._fresh(), self.index)))


def _moded(x: Any, index: Any, mode: str, fill_value: Any) -> Any:
    if mode not in ("clip", "wrap", "fill"):
        raise ArgumentError(message("at.get: unknown mode", [("mode", repr(mode))], "one of 'clip', 'wrap', 'fill'"))
    shape = x.info.type.shape
    found = parse(_unchecked(index, shape, mode != "fill"), shape)
    if not found.arrays:
        return views.index_view(x, found.entries)
    arrays = _index_tensors(found)
    if mode == "fill":
        return _gather_filled(x, 0 if fill_value is None else fill_value, *arrays, entries=found.entries,
                              axes=found.axes, front=found.front)
    return _gather(x, *arrays, entries=found.entries, axes=found.axes, front=found.front, mode="clip")


@operation(promote="exact")
def _gather_filled(x: Node, fill: Node, *indices: Node, entries: Entries, axes: tuple[int, ...], front: bool) -> Node:
    from pullback.engine.operation import broadcast_shapes

    x = views.read_region(x, entries)
    taken = gather_nodes(x, list(indices), axes, front, "fill")
    shape = broadcast_shapes("index", list(indices))
    inside: Node | None = None
    for axis, node in zip(axes, indices, strict=True):
        small = build.binary("lt", node, build.scalar_like(node, x.shape[axis]))
        valid = build.binary("logical_and", build.binary("ge", node, build.zeros_like(node)), small)
        valid = broadcast_to(valid, shape)
        inside = valid if inside is None else build.binary("logical_and", inside, valid)
    assert inside is not None
    first = 0 if front else axes[0]
    mask = build.broadcast(inside, taken.shape, tuple(range(first, first + len(shape))))
    return build.select(mask, taken, broadcast_to(build.convert(fill, taken.dtype), taken.shape))


__all__ = ["At", "ShapeError", "gather_nodes", "getitem", "parse", "read", "rows", "scatter_nodes", "setitem"]

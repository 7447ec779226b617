"""Reading and writing at places that depend on data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import DType, bool_, int32, int64
from pullback.ir.index import Index
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample, described
from pullback.ops.monoid import accumulate, monoid_row
from pullback.ops.view import Value, ViewContext
from pullback.util.errors import ArgumentError, AxisError, DTypeError, IndexError_, ShapeError, message
from pullback.util.lines import user_line

MODES = ("clip", "fill", "wrap", "error", "positive")
#: those whose indices are looked at
CHECKED = ("error", "positive")


class Located(str):
    """The mode "error" of an operator, with the user's line it was recorded at, and the function that asked for it.

    It equals "error", so it takes no part in what is the same program: of equal nodes the first names its line. Rules
    hand their mode on, so derivatives and batched forms of an operator know its line too.
    """

    __slots__ = ("asked", "line")
    line: str
    asked: str


def located(mode: str, asked: str = "") -> str:
    """The mode, with the present line if it needs one, and the user's name of what reads or writes there."""
    if mode not in CHECKED or isinstance(mode, Located):
        return mode
    found = Located(mode)
    found.line, found.asked = user_line(), asked
    return found


class _Indexed(Op):
    """What operators at places that depend on data have in common: the second input names places along `axis`."""

    axis: int
    mode: str

    def refuses(self, *inputs: Node) -> Node | None:
        """Whether any index lies outside of -n .. n-1, or of 0 .. n-1."""
        indices, size = inputs[1], inputs[0].shape[self.axis]
        if self.mode not in CHECKED or not indices.tensor.size:
            return None
        low, high = _limits(indices.dtype)
        least = 0 if self.mode == "positive" else -size
        outside = [b.binary(row, indices, b.scalar_like(indices, bound))
                   for row, bound, possible in (("ge", size, size <= high), ("lt", least, low < least)) if possible]
        if not outside:
            return None
        bad = outside[0] if len(outside) == 1 else b.binary("logical_or", *outside)
        return b.reduce("or", bad, tuple(range(indices.tensor.rank)))

    def refusal(self, *types: TensorType) -> IndexError_:
        line, asked = (self.mode.line, self.mode.asked) if isinstance(self.mode, Located) else ("", "")
        made = f"   (made at {line})" if line else ""
        size = types[0].shape[self.axis]
        return IndexError_(message(f"{asked or self.name}: an index is out of range{made}",
                                   [("array", repr(types[0])), ("indices", repr(types[1])),
                                    ("valid", f"{0 if self.mode == 'positive' else -size} to {size - 1}")],
                                   "look for a label, token or position that is negative or too large"))

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        """Elsewhere every index is 0."""
        if self.mode not in CHECKED:
            return None
        indices = inputs[1]
        meant = b.broadcast(condition, indices.shape, ())
        return b.apply(self, inputs[0], b.select(meant, indices, b.zeros_like(indices)), *inputs[2:])


def _limits(dtype: DType) -> tuple[int, int]:
    """The smallest and the largest integer of a dtype."""
    half = 1 << (dtype.bits - 1)
    return (-half, half - 1) if dtype.kind == "i" else (0, 2 * half - 1)


def wide_enough(dtype: DType, size: int) -> DType:
    """The dtype to count from the end in: one that holds the size."""
    return dtype if size <= _limits(dtype)[1] else int32 if size < 2**31 else int64


def place(indices: Any, size: int, mode: str) -> tuple[Any, Any]:
    """Places in 0..size-1 and whether each is meant (NumPy).

    clip: the nearest place. fill: outside nothing is read or written. wrap: negative ones count from the end, then
    the nearest place. error: negative ones count from the end, outside nothing is read or written, and the engine
    reports it. positive: the same, but negative ones are outside too: classes and tokens do not count from the end.
    """
    at: Any = indices.astype(np.int64)
    if mode in ("wrap", "error"):
        at += np.asarray(at < 0) * size
    inside: Any = (at >= 0) & (at < size)
    if mode in ("clip", "wrap"):
        inside = np.full(at.shape, size > 0)
    return np.clip(at, 0, max(size - 1, 0)), inside


def _check(name: str, x: TensorType, indices: TensorType, axis: int, mode: str) -> None:
    if not 0 <= axis < x.rank:
        raise AxisError(message(f"{name}: axis out of range", [("x", repr(x)), ("axis", str(axis))]))
    if indices.dtype.kind not in "iu":
        raise DTypeError(message(f"{name}: indices must be integers", [("x", repr(x)), ("indices", repr(indices))],
                                 "convert them with indices.astype(int32)"))
    if mode not in MODES:
        raise ArgumentError(message(f"{name}: no such mode", [("mode", mode)], "one of " + ", ".join(MODES)))


def _load(ctx: ViewContext, node: Node, axis: int, mode: str, at: tuple[Index, ...],
          around: Callable[[Value], list[Index | Value]]) -> Value:
    """The element of the first input at the place its second input names."""
    x, indices = node.inputs
    size, dtype = x.shape[axis], indices.dtype
    nothing = ctx.const(0, node.dtype)
    if size == 0:
        return nothing
    place_ = ctx.value(indices, at)
    if dtype.kind == "i" and mode in ("wrap", "error") and wide_enough(dtype, size) is not dtype:
        dtype = wide_enough(dtype, size)
        place_ = ctx.convert(place_, dtype)

    def row(name: str, *values: Value) -> Value:
        return ctx.scalar(name, (), values, bool_ if name in ("lt", "ge", "le", "logical_and") else dtype)

    if mode in ("wrap", "error") and dtype.kind == "i":
        negative = row("lt", place_, ctx.const(0, dtype))
        place_ = row("select", negative, row("add", place_, ctx.const(size, dtype)), place_)
    last = min(size - 1, _limits(dtype)[1])
    inside = row("logical_and", row("ge", place_, ctx.const(0, dtype)), row("le", place_, ctx.const(last, dtype)))
    safe = row("clamp", place_, ctx.const(0, dtype), ctx.const(last, dtype))
    if mode in ("clip", "wrap"):
        return ctx.dynamic(x, around(safe))
    return ctx.guarded(inside, lambda: ctx.dynamic(x, around(safe)), nothing)


class _Take(_Indexed):
    """What reading at places has in common."""

    lowering: ClassVar[str] = "view"
    cost: ClassVar[int] = 3

    def put(self, base: Node, indices: Node, updates: Node) -> Node:
        """The updates added at the places."""
        raise NotImplementedError

    def _check_take(self, types: Sequence[TensorType]) -> None:
        x, indices = types
        _check(self.name, x, indices, self.axis, self.mode)
        if x.shape[self.axis] == 0 and indices.size and self.mode in ("clip", "wrap"):
            raise ShapeError(message(f"{self.name}: nothing to take from an axis without elements", described(types)))

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return b.apply(self, b.some(tangents[0]), inputs[1])

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [self.put(b.zeros_like(inputs[0]), inputs[1], cotangent), None]


@primitive
class Gather(_Take):
    """out[pre, i..., post] = x[pre, indices[i...], post]"""

    name: ClassVar[str] = "gather"
    axis: int
    mode: str = "clip"

    def infer(self, *types: TensorType) -> TensorType:
        x, indices = types
        self._check_take(types)
        return x.with_shape((*x.shape[:self.axis], *indices.shape, *x.shape[self.axis + 1:]))

    def reference(self, *arrays: Any) -> Any:
        x, indices = arrays
        at, inside = place(indices, x.shape[self.axis], self.mode)
        shape = (*x.shape[:self.axis], *indices.shape, *x.shape[self.axis + 1:])
        if x.shape[self.axis] == 0:
            return np.zeros(shape, x.dtype)
        found = np.take(x, at, self.axis)
        mask = inside.reshape((*inside.shape, *(1,) * (x.ndim - self.axis - 1)))
        return np.where(mask, found, np.zeros((), x.dtype)).reshape(shape)

    def put(self, base: Node, indices: Node, updates: Node) -> Node:
        return b.apply(Scatter(self.axis, "add", self.mode), base, indices, updates)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        x, indices = inputs
        if not batched[1]:
            return b.apply(Gather(self.axis + 1, self.mode), x, indices)
        if not batched[0]:
            return b.move_axis(b.apply(self, x, indices), self.axis, 0)
        shape = (*x.shape[:self.axis + 1], *indices.shape[1:], *x.shape[self.axis + 2:])
        along = TakeAlong(self.axis + 1, self.mode)
        return b.reshape(b.apply(along, x, _spread(indices, x.shape, self.axis + 1)), shape)

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        stop = self.axis + node.inputs[1].tensor.rank
        return _load(ctx, node, self.axis, self.mode, indices[self.axis:stop],
                     lambda at: [*indices[:self.axis], at, *indices[stop:]])

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(np.arange(12.0)).reshape(3, 4)
        for mode in MODES:
            yield Gather(1, mode), [x, np.asarray([[0, 3], [2, 0]], np.int32)]
            yield Gather(0, mode), [x.astype(np.float32), np.asarray([2, -1, 5], np.int64)]
        yield Gather(0), [x, np.asarray(1, np.int32)]
        yield Gather(0), [x, np.zeros((0,), np.int32)]
        yield Gather(0, "fill"), [np.zeros((0, 2)), np.asarray([0], np.int32)]
        yield Gather(1), [np.ones((1, 1), np.int32), np.zeros((1, 1), np.int32)]


def _spread(indices: Node, shape: tuple[int, ...], axis: int) -> Node:
    """Batched indices [S, i...] as [S, pre, flat i, post] for an array of `shape` = [S, pre, n, post]."""
    flat = b.reshape(indices, (indices.shape[0], b.count(indices.shape[1:])))
    return b.broadcast(flat, (*shape[:axis], flat.shape[1], *shape[axis + 1:]), (0, axis))


@primitive
class TakeAlong(_Take):
    """out[pre, i, post] = x[pre, indices[pre, i, post], post]"""

    name: ClassVar[str] = "take_along"
    axis: int
    mode: str = "clip"

    def infer(self, *types: TensorType) -> TensorType:
        x, indices = types
        self._check_take(types)
        _same_but(x, indices, self.axis, "take_along", types)
        return x.with_shape(indices.shape)

    def reference(self, *arrays: Any) -> Any:
        x, indices = arrays
        at, inside = place(indices, x.shape[self.axis], self.mode)
        if x.shape[self.axis] == 0:
            return np.zeros(indices.shape, x.dtype)
        return np.where(inside, np.take_along_axis(x, at, self.axis), np.zeros((), x.dtype))

    def put(self, base: Node, indices: Node, updates: Node) -> Node:
        return b.apply(PutAlong(self.axis, "add", self.mode), base, indices, updates)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        both = (x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True))
        return b.apply(TakeAlong(self.axis + 1, self.mode), *both)

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return _load(ctx, node, self.axis, self.mode, indices,
                     lambda at: [*indices[:self.axis], at, *indices[self.axis + 1:]])

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(np.arange(12.0)).reshape(3, 4)
        for mode in MODES:
            yield TakeAlong(1, mode), [x, np.asarray([[0, 3], [2, -2], [1, 7]], np.int32)]
        yield TakeAlong(0), [x.astype(np.float32), np.asarray([[0, 2, 1, 1]], np.int64)]
        yield TakeAlong(0), [x, np.zeros((0, 4), np.int32)]


def _same_but(x: TensorType, y: TensorType, axis: int, name: str, types: Sequence[TensorType]) -> None:
    if x.rank != y.rank or any(m != n for k, (m, n) in enumerate(zip(x.shape, y.shape, strict=True)) if k != axis):
        raise ShapeError(message(f"{name}: shapes must be equal but for axis {axis}", described(types),
                                 "broadcast the indices"))


class _Put(_Indexed):
    """What writing at places has in common: `take` reads at the places, `put` writes there."""

    lowering: ClassVar[str] = "scatter"
    shared_places: ClassVar[bool] = False  # one list of places for all lines, not one place per element
    monoid: str

    def take(self, x: Node, indices: Node) -> Node:
        """The elements at the places."""
        raise NotImplementedError

    def put(self, monoid: str, base: Node, indices: Node, updates: Node) -> Node:
        """This primitive with another monoid."""
        raise NotImplementedError

    def winner(self, base: Node, indices: Node, updates: Node) -> Node:
        """Whether an update is the last at its place."""
        raise NotImplementedError

    def _check_put(self, types: Sequence[TensorType], shape: tuple[int, ...]) -> TensorType:
        base, indices, updates = types
        _check(self.name, base, indices, self.axis, self.mode)
        if updates.dtype is not base.dtype:
            raise DTypeError(message(f"{self.name}: updates must have the base's dtype",
                                     [("base", repr(base)), ("updates", repr(updates))]))
        if updates.shape != shape:
            raise ShapeError(message(f"{self.name}: updates must have the shape {shape}", [
                ("base", repr(base)), ("indices", repr(indices)), ("updates", repr(updates))]))
        if self.monoid != "set":
            monoid_row(self.monoid, base.dtype, self.name)
        return base

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        base, indices, updates = inputs
        tbase, tupdates = b.materialise((tangents[0], tangents[2]), (base, updates))
        if self.monoid in ("add", "set"):
            return b.apply(self, tbase, indices, tupdates)
        if self.monoid == "mul":
            return self._product(inputs, tbase, tupdates)
        mine = b.convert(b.binary("eq", base, output), base.dtype)
        theirs = b.convert(b.binary("eq", updates, self.take(output, indices)), base.dtype)
        met = self.put("add", mine, indices, theirs)
        total = self.put("add", b.mul(tbase, mine), indices, b.mul(tupdates, theirs))
        return b.div(total, b.maximum(met, b.ones_like(met)))

    def _product(self, inputs: tuple[Node, ...], tbase: Node, tupdates: Node) -> Node:
        """Each factor's tangent times the product of the others, counting the factors that are 0 apart."""
        base, indices, updates = inputs
        none_base, none = (b.binary("eq", x, b.zeros_like(x)) for x in (base, updates))
        safe_base = b.select(none_base, b.ones_like(base), base)
        safe = b.select(none, b.ones_like(updates), updates)
        product = self.put("mul", safe_base, indices, safe)
        zeros = self.put("add", b.convert(none_base, base.dtype), indices, b.convert(none, base.dtype))

        def others(is_zero: Node, factor: Node, whole: Node, count: Node) -> Node:
            alone = b.binary("eq", count, b.convert(is_zero, count.dtype))
            return b.select(alone, b.div(whole, factor), b.zeros_like(whole))

        left = b.mul(tbase, others(none_base, safe_base, product, zeros))
        right = b.mul(tupdates, others(none, safe, self.take(product, indices), self.take(zeros, indices)))
        return self.put("add", left, indices, right)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        base, indices, updates = inputs
        found: list[Node | None] = [cotangent, None, self.take(cotangent, indices)]
        if self.monoid == "set":
            found[0] = b.apply(self, cotangent, indices, b.zeros_like(updates))
            taken = self.take(cotangent, indices)
            found[2] = b.select(self.winner(base, indices, updates), taken, b.zeros_like(taken))
        return [x if k else None for x, k in zip(found, linear, strict=True)]


@primitive
class Scatter(_Put):
    """out = base; for i in row-major order: out[pre, indices[i...], post] = monoid(that, updates[pre, i..., post])"""

    name: ClassVar[str] = "scatter"
    shared_places: ClassVar[bool] = True
    axis: int
    monoid: str = "add"
    mode: str = "clip"

    def infer(self, *types: TensorType) -> TensorType:
        base, indices = types[:2]
        return self._check_put(types, (*base.shape[:self.axis], *indices.shape, *base.shape[self.axis + 1:]))

    def reference(self, *arrays: Any) -> Any:
        base, indices, updates = arrays
        at, inside = place(indices.reshape(-1), base.shape[self.axis], self.mode)
        moved = np.moveaxis(np.array(base), self.axis, 0)
        flat = updates.reshape(*base.shape[:self.axis], at.size, *base.shape[self.axis + 1:])
        flat = np.moveaxis(flat, self.axis, 0)[inside]
        if self.monoid == "set":
            out = moved.copy()
            for k, row in zip(at[inside], flat, strict=True):
                out[k] = row
        else:
            out = accumulate(self.monoid, moved, at[inside], flat)
        return np.moveaxis(out, 0, self.axis)

    def take(self, x: Node, indices: Node) -> Node:
        return b.apply(Gather(self.axis, self.mode), x, indices)

    def put(self, monoid: str, base: Node, indices: Node, updates: Node) -> Node:
        return b.apply(Scatter(self.axis, monoid, self.mode), base, indices, updates)

    def winner(self, base: Node, indices: Node, updates: Node) -> Node:
        number = b.reshape(b.iota((b.count(indices.shape),), 0, int32), indices.shape)
        none = b.full((base.shape[self.axis],), -1, int32)
        last = b.apply(Scatter(0, "set", self.mode), none, indices, number)
        won = b.binary("eq", b.apply(Gather(0, self.mode), last, indices), number)
        dims = tuple(range(self.axis, self.axis + len(indices.shape)))
        return b.broadcast(won, updates.shape, dims)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        base, updates = (inputs[k] if batched[k] else b.lead(inputs[k], size) for k in (0, 2))
        if not batched[1]:
            return b.apply(Scatter(self.axis + 1, self.monoid, self.mode), base, inputs[1], updates)
        indices = _spread(inputs[1], base.shape, self.axis + 1)
        along = PutAlong(self.axis + 1, self.monoid, self.mode)
        return b.apply(along, base, indices, b.reshape(updates, indices.shape))

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.sin(1 + np.arange(12.0)).reshape(3, 4)
        u = np.cos(np.arange(12.0)).reshape(3, 4)
        at = np.asarray([[0, 3], [3, 1]], np.int32)
        for monoid in ("add", "mul", "max", "min", "set"):
            yield Scatter(1, monoid), [x, at, u.reshape(3, 2, 2)]
        for mode in MODES:
            yield Scatter(0, "add", mode), [x.astype(np.float32), np.asarray([2, -1, 5]), u.astype(np.float32)]
            yield Scatter(0, "set", mode), [x, np.asarray([2, -1, 5], np.int64), u]
        yield Scatter(0), [x, np.zeros((0,), np.int32), np.zeros((0, 4))]
        yield Scatter(0, "add", "fill"), [np.zeros((0, 4)), np.asarray([0], np.int32), np.ones((1, 4))]
        yield Scatter(0, "max"), [np.arange(3, dtype=np.int32), np.asarray(1, np.int32), np.asarray(9, np.int32)]


@primitive
class PutAlong(_Put):
    """out = base; for i in row-major order: out[pre, indices[pre, i, post], post] = monoid(it, updates[...])"""

    name: ClassVar[str] = "put_along"
    axis: int
    monoid: str = "add"
    mode: str = "clip"

    def infer(self, *types: TensorType) -> TensorType:
        _same_but(types[0], types[1], self.axis, "put_along", types)
        return self._check_put(types, types[1].shape)

    def reference(self, *arrays: Any) -> Any:
        base, indices, updates = arrays
        at, inside = place(indices, base.shape[self.axis], self.mode)
        where: list[Any] = [*np.indices(indices.shape)]
        where[self.axis] = at
        return accumulate(self.monoid, base, tuple(w[inside] for w in where), updates[inside])

    def take(self, x: Node, indices: Node) -> Node:
        return b.apply(TakeAlong(self.axis, self.mode), x, indices)

    def put(self, monoid: str, base: Node, indices: Node, updates: Node) -> Node:
        return b.apply(PutAlong(self.axis, monoid, self.mode), base, indices, updates)

    def winner(self, base: Node, indices: Node, updates: Node) -> Node:
        number = b.iota(indices.shape, self.axis, int32)
        last = self.put("set", b.full(base.shape, -1, int32), indices, number)
        return b.binary("eq", self.take(last, indices), number)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        all_ = (x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True))
        return b.apply(PutAlong(self.axis + 1, self.monoid, self.mode), *all_)

    @staticmethod
    def samples() -> Iterator[Sample]:
        x, u = np.sin(1 + np.arange(12.0)).reshape(3, 4), np.cos(np.arange(6.0)).reshape(3, 2)
        at = np.asarray([[0, 3], [2, 2], [1, 7]], np.int32)
        for monoid in ("add", "mul", "max", "min", "set"):
            yield PutAlong(1, monoid), [x, at, u]
        for mode in MODES:
            yield PutAlong(1, "add", mode), [x, at - 4, u]
        yield PutAlong(0), [np.zeros((2, 0)), np.zeros((1, 0), np.int32), np.zeros((1, 0))]


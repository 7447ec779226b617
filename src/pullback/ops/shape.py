"""Primitives that move elements: broadcasting, reindexing and its dual, concatenation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.index import ZERO, Index, Part, Var, bindings, const, loop_vars, ravel, unravel, var
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample, described
from pullback.ops.monoid import accumulate, identity, monoid_row
from pullback.ops.view import Value, ViewContext
from pullback.util.errors import ArgumentError, AxisError, DTypeError, GradientError, ShapeError, message

Shape = tuple[int, ...]
Indices = tuple[Index, ...]
TURN_SIZE = 64  # elements that are worth a turn in Python


@primitive
class Broadcast(Op):
    """out[i0, i1, ...] = x[i_dims[0], i_dims[1], ...]; the other dimensions repeat x."""

    name: ClassVar[str] = "broadcast"
    lowering: ClassVar[str] = "view"
    shape: Shape
    dims: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        x = types[0]
        ordered = list(self.dims) == sorted(set(self.dims))
        inside = all(0 <= d < len(self.shape) for d in self.dims)
        if len(self.dims) != x.rank or not ordered or not inside:
            raise AxisError(message("broadcast: each input dimension must become one output dimension, in order",
                                    [("x", repr(x)), ("shape", str(self.shape)), ("dims", str(self.dims))]))
        if any(self.shape[d] != n for d, n in zip(self.dims, x.shape, strict=True)):
            raise ShapeError(message("broadcast: sizes must be equal", [("x", repr(x)), ("shape", str(self.shape)),
                                                                        ("dims", str(self.dims))],
                                     "reshape dimensions of size 1 away first"))
        return x.with_shape(self.shape)

    def reference(self, *arrays: Any) -> Any:
        shape = [1] * len(self.shape)
        for d, n in zip(self.dims, arrays[0].shape, strict=True):
            shape[d] = n
        return np.broadcast_to(arrays[0].reshape(shape), self.shape)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return b.apply(self, b.some(tangents[0]))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        new = tuple(d for d in range(len(self.shape)) if d not in self.dims)
        return [b.reduce("add", cotangent, new)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.broadcast(inputs[0], (size, *self.shape), (0, *(d + 1 for d in self.dims)))

    def view(self, ctx: ViewContext, node: Node, indices: Indices) -> Value:
        return ctx.value(node.inputs[0], tuple(indices[d] for d in self.dims))

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Broadcast((2, 3, 4), (1,)), [np.arange(3.0)]
        yield Broadcast((2, 3), ()), [np.asarray(1.5, np.float32)]
        yield Broadcast((0, 3), (1,)), [np.arange(3)]
        yield Broadcast((1, 3), (0, 1)), [np.ones((1, 3), np.float32)]
        yield Broadcast((3, 0), (1,)), [np.zeros(0)]


def grid(shape: Shape) -> dict[Var, Any]:
    """The loop variables of a shape as open NumPy grids."""
    found: dict[Var, Any] = {}
    for k, n in enumerate(shape):
        sizes = [1] * len(shape)
        sizes[k] = n
        found[Var(f"i{k}", n)] = np.arange(n).reshape(sizes)
    return found


def places(indices: Indices, shape: Shape) -> list[Any]:
    """The values of index expressions over a shape."""
    values = grid(shape)
    return [np.broadcast_to(np.asarray(x.evaluate(values), np.int64), shape) for x in indices]


def _inside(found: list[Any], shape: Shape, over: Shape) -> Any:
    inside = np.ones(over, bool)
    for x, n in zip(found, shape, strict=True):
        inside &= (x >= 0) & (x < n)
    return inside


def in_range(indices: Indices, shape: Shape) -> bool:
    """Whether index expressions provably stay inside a shape."""
    return all(x.low >= 0 and x.high < n for x, n in zip(indices, shape, strict=True))


def element_steps(indices: Indices, at: Any, shape: Shape) -> list[int] | None:
    """How many bytes of an array lie from one turn of each variable to the next; None where an index is more than a sum
    of multiples of variables, or may be outside."""
    atoms = [atom for i in indices for atom, _ in i.terms]
    if not in_range(indices, at.shape) or any(isinstance(a, Part) for a in atoms):
        return None
    return [sum(dict(i.terms).get(Var(f"i{k}", n), 0) * step for i, step in zip(indices, at.strides, strict=True))
            for k, n in enumerate(shape)]


def strided(x: Any, indices: Indices, shape: Shape, write: bool = False) -> Any:
    """The elements at index expressions, where they lie; None where they have no fixed steps."""
    steps = element_steps(indices, x, shape)
    if steps is None:
        return None
    first = x[tuple(slice(i.const, None) for i in indices)]
    return np.lib.stride_tricks.as_strided(first, shape, steps, writeable=write)


def overlapping(steps: Sequence[int], shape: Shape) -> list[int]:
    """Dimensions along which elements may meet; no two elements of the others are one."""
    reach, found = 0, list[int]()
    for k in sorted(range(len(shape)), key=lambda k: abs(steps[k])):
        if shape[k] > 1 and abs(steps[k]) <= reach:
            found.append(k)
        else:
            reach += (shape[k] - 1) * abs(steps[k])
    return found


def added(x: Any, indices: Indices, shape: Shape) -> Any:
    """x added up where indices put it, all at once but along what overlaps; None where that would be many turns."""
    out = np.zeros(shape, x.dtype)
    steps = element_steps(indices, out, x.shape)
    over = [] if steps is None else overlapping(steps, x.shape)
    turns = math.prod(x.shape[k] for k in over)
    if steps is None or not x.size or turns * TURN_SIZE > x.size:
        return None
    target = strided(out, indices, x.shape, write=True)
    for index in np.ndindex(*(x.shape[k] for k in over)):
        known = dict(zip(over, index, strict=True))
        part = tuple(known.get(k, slice(None)) for k in range(x.ndim))
        target[part] += x[part]
    return out


def moved(indices: Indices, shape: Shape, size: int) -> Indices:
    """Index expressions over `shape` as expressions over (size, *shape), with the new index in front."""
    fresh = loop_vars((size, *shape))
    values = bindings(shape, fresh[1:])
    return (fresh[0], *(x.substitute(values) for x in indices))


@lru_cache(4096)
def _check_indices(name: str, indices: Indices, rank: int, over: Shape) -> None:
    known = {Var(f"i{k}", n) for k, n in enumerate(over)}
    if len(indices) != rank:
        raise ArgumentError(message(f"{name}: needs one index expression per dimension",
                                    [("indices", str(indices)), ("rank", str(rank))]))
    if any(x.variables() - known for x in indices):
        raise ArgumentError(message(f"{name}: an index expression uses an unknown variable",
                                    [("indices", str(indices)), ("shape", str(over))],
                                    "i0, i1, ... are the dimensions of the shape"))


@primitive
class Reindex(Op):
    """out[i0, i1, ...] = x[indices(i0, i1, ...)], or `fill` where that is outside of x."""

    name: ClassVar[str] = "reindex"
    lowering: ClassVar[str] = "view"
    shape: Shape
    indices: Indices
    fill: float | int | bool | None = None

    def infer(self, *types: TensorType) -> TensorType:
        x, out = types[0], types[0].with_shape(self.shape)
        _check_indices("reindex", self.indices, x.rank, self.shape)
        if self.fill is None and out.size and not in_range(self.indices, x.shape):
            raise ShapeError(message("reindex: an index may be out of range", [
                ("x", repr(x)), ("shape", str(self.shape)),
                ("indices", ", ".join(f"{i!r} in {i.low}..{i.high}" for i in self.indices))],
                "give a fill value for the elements outside"))
        return out

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if x.size == 0 or 0 in self.shape:
            return np.full(self.shape, 0 if self.fill is None else self.fill, x.dtype)
        there = strided(x, self.indices, self.shape)
        if there is not None:
            return there.copy()
        found = places(self.indices, self.shape)
        value = x[tuple(np.clip(i, 0, n - 1) for i, n in zip(found, x.shape, strict=True))]
        if self.fill is None:
            return value.reshape(self.shape)
        return np.where(_inside(found, x.shape, self.shape), value, np.asarray(self.fill).astype(x.dtype))

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        fill = None if self.fill is None else 0
        return b.apply(Reindex(self.shape, self.indices, fill), b.some(tangents[0]))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        shape = inputs[0].shape
        inverse = inverted(self.indices, self.shape, shape, cotangent)
        return [inverse if inverse is not None else b.apply(ReindexReduce(shape, self.indices), cotangent)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(Reindex((size, *self.shape), moved(self.indices, self.shape, size), self.fill), inputs[0])

    def view(self, ctx: ViewContext, node: Node, indices: Indices) -> Value:
        x = node.inputs[0]
        values = bindings(self.shape, indices)
        at = tuple(i.substitute(values) for i in self.indices)
        outside = [(i, 0, n - 1) for i, n in zip(at, x.shape, strict=True) if i.low < 0 or i.high >= n]
        if self.fill is None or not outside:
            return ctx.value(x, at)
        otherwise = ctx.const(self.fill, node.dtype)
        if 0 in x.shape:
            return otherwise
        return ctx.guarded(ctx.inside(outside), lambda: ctx.value(x, at), otherwise)

    @staticmethod
    def samples() -> Iterator[Sample]:
        i, x = loop_vars, np.arange(12.0).reshape(3, 4)
        t = i((4, 3))
        yield Reindex((4, 3), (t[1], t[0])), [x]
        yield Reindex((2, 6), unravel(ravel(i((2, 6)), (2, 6)), (3, 4))), [x]
        yield Reindex((2, 2), (i((2, 2))[0] + 1, i((2, 2))[1] * 2 + 1)), [x.astype(np.float32)]
        yield Reindex((2, 2), (i((2, 2))[0] + 1, i((2, 2))[1] * -3 + 3)), [x]
        yield Reindex((5, 4), (i((5, 4))[0] - 1, i((5, 4))[1]), 0.5), [x]
        window = i((2, 3, 2, 2))
        yield Reindex((2, 3, 2, 2), (window[0] + window[2], window[1] + window[3])), [x]
        yield Reindex((4,), (const(2), i((4,))[0])), [x]
        yield Reindex((3,), (i((3,))[0], i((3,))[0])), [x]
        yield Reindex((2, 0), (i((2, 0))[0], i((2, 0))[1])), [np.zeros((3, 0))]
        yield Reindex((2,), (i((2,))[0],), 7), [np.zeros(0, np.int32)]
        yield Reindex((1, 1), (ZERO,)), [np.ones(1)]
        yield Reindex((2, 3), (i((2, 3))[0] + i((2, 3))[1] - 1,), 0), [np.arange(3.0)]


def inverted(indices: Indices, shape: Shape, source: Shape, ct: Node) -> Node | None:
    """The transpose of a reindex as a reindex: of bijections, slices, flips and pads; None for others."""
    if 0 in shape or 0 in source:
        return b.zeros(source, ct.dtype)
    found = _inverse(indices, shape, source)
    if found is None:
        return None
    given, op = found
    ct = b.reshape(ct, given)
    return ct if op is None else b.apply(op, ct)


@lru_cache(4096)
def _inverse(indices: Indices, shape: Shape, source: Shape) -> tuple[Shape, Reindex | None] | None:
    """How `inverted` reads a cotangent: in which shape, and where (None: there as it is).

    x[..., c, ...] and x[..., s*i + c, ...] invert to ct[(j - c) // s] where (j - c) % s is 0, which a dimension of
    size 1 and a fill express; x[..., (i + c) % n, ...] to ct[(j - c) % n].
    """
    if _count(shape) == _count(source) and indices == unravel(ravel(loop_vars(shape), shape), source):
        return source, None
    turned = {axis: _turn(x, shape, source[axis]) for axis, x in enumerate(indices)}
    pairs = _simple([x if t is None else t for x, t in zip(indices, turned.values(), strict=True)], shape)
    if pairs is None:
        return None
    there = loop_vars(source)
    found: dict[int, Index] = {}
    extra: list[Index] = []
    for axis, (j, (k, stride, start)) in enumerate(zip(there, pairs, strict=True)):
        if turned[axis] is not None and k is not None:
            found[k] = (j - start) % source[axis]
            continue
        offset = j - start if stride >= 0 else j * -1 + start
        if k is None:
            extra.append(offset)
            continue
        step = abs(stride)
        found[k] = offset // step
        extra += [offset % step] if step > 1 else []
    at = tuple(found.get(k, ZERO) for k in range(len(shape)))
    extra = [x for x in extra if x != ZERO]
    at, given = (*at, *extra), (*shape, *(1,) * len(extra))
    return given, Reindex(source, at, None if in_range(at, given) else 0)


def _turn(x: Index, shape: Shape, size: int) -> Index | None:
    """i + c where an index is (i + c) % size, turning a whole dimension; else None."""
    atom = x.terms[0][0] if len(x.terms) == 1 and x.terms[0][1] == 1 and not x.const else None
    if not isinstance(atom, Part) or atom.quotient or atom.divisor != size:
        return None
    inner = atom.inner
    variable = inner.terms[0][0] if len(inner.terms) == 1 and inner.terms[0][1] == 1 else None
    return inner if isinstance(variable, Var) and shape[int(variable.name[1:])] == size else None


def _simple(indices: Sequence[Index], shape: Shape) -> list[tuple[int | None, int, int]] | None:
    """(variable, stride, start) of each index where each variable is in exactly one index, alone; else None."""
    pairs: list[tuple[int | None, int, int]] = []
    used: set[int] = set()
    for x in indices:
        if not x.terms:
            pairs.append((None, 0, x.const))
            continue
        atom, stride = x.terms[0]
        if len(x.terms) > 1 or isinstance(atom, Part):
            return None
        k = int(atom.name[1:])
        if k in used:
            return None
        used.add(k)
        pairs.append((k, stride, x.const))
    return pairs if all(n == 1 or k in used for k, n in enumerate(shape)) else None


def _count(shape: Shape) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def compose(outer: Reindex, inner: Reindex, source: Shape) -> Reindex | None:
    """`outer` of `inner` of an array of shape `source` as one reindex, where that is one.

    outer[inner[x]]: reindex(indices = inner's at outer's). An element outside of the middle array must stay visible:
    it is one where outer stays inside, or where inner only permutes dimensions and both fill with the same value.
    """
    at = tuple(i.substitute(bindings(inner.shape, outer.indices)) for i in inner.indices)
    if outer.fill is None or in_range(outer.indices, inner.shape):
        return Reindex(outer.shape, at, inner.fill)
    if _permutes(inner, outer, source) and inner.fill in (None, outer.fill):
        return Reindex(outer.shape, at, outer.fill)
    return None


def _permutes(inner: Reindex, outer: Reindex, source: Shape) -> bool:
    """Whether `inner` only permutes dimensions, so that outside of its result is outside of its source.

    A dimension of size 1 has no variable that could show it.
    """
    over = loop_vars(inner.shape)
    sizes = dict(zip(over, inner.shape, strict=True))
    if len(inner.indices) != len(over) or set(inner.indices) != set(over) or len(sizes) != len(over):
        return False
    shown = all(n != 1 or (x.low, x.high) == (0, 0) for x, n in zip(outer.indices, inner.shape, strict=True))
    return shown and all(sizes[x] == n for x, n in zip(inner.indices, source, strict=True))


def as_reindex(op: Op, source: Shape) -> Reindex | None:
    """A view that only moves elements, as a Reindex."""
    if isinstance(op, Reindex):
        return op
    if isinstance(op, Broadcast):
        over = loop_vars(op.shape)
        return Reindex(op.shape, tuple(over[d] for d in op.dims))
    return None


@primitive
class ReindexReduce(Op):
    """out[...] = identity; for i in x's shape: out[indices(i)] = monoid(out[indices(i)], x[i]), outside dropped."""

    name: ClassVar[str] = "reindex_reduce"
    lowering: ClassVar[str] = "scatter"
    shape: Shape
    indices: Indices
    monoid: str = "add"

    def infer(self, *types: TensorType) -> TensorType:
        _check_indices("reindex_reduce", self.indices, len(self.shape), types[0].shape)
        monoid_row(self.monoid, types[0].dtype, "reindex_reduce")
        return types[0].with_shape(self.shape)

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        whole = self.monoid == "add" and x.dtype.kind in "fc" and x.dtype.itemsize > 2
        total = added(x, self.indices, self.shape) if whole else None
        if total is not None:
            return total
        out = np.full(self.shape, identity(self.monoid, b.dtype_of(x.dtype)), x.dtype)
        found = places(self.indices, x.shape)
        inside = _inside(found, self.shape, x.shape)
        return accumulate(self.monoid, out, tuple(i[inside] for i in found), x[inside])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        x, t = inputs[0], b.some(tangents[0])
        if self.monoid == "add":
            return b.apply(self, t)
        if self.monoid not in ("max", "min"):
            raise GradientError(message("reindex_reduce: a product at places has no derivative rule", [],
                                        "use reduce, or scatter with mul"))
        back = b.apply(Reindex(x.shape, self.indices, 0), output)
        here = b.convert(b.binary("eq", x, back), t.dtype)
        total = ReindexReduce(self.shape, self.indices)
        count = b.apply(total, here)
        count = b.binary("maximum", count, b.ones_like(count))
        return b.div(b.apply(total, b.mul(t, here)), count)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        fill = None if in_range(self.indices, self.shape) else 0
        return [b.apply(Reindex(inputs[0].shape, self.indices, fill), cotangent)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        indices = moved(self.indices, inputs[0].shape[1:], size)
        return b.apply(ReindexReduce((size, *self.shape), indices, self.monoid), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        i = loop_vars((3, 4))
        x = np.arange(12.0).reshape(3, 4)
        yield ReindexReduce((6,), (i[0] + i[1],)), [x]
        yield ReindexReduce((4, 3), (i[1], i[0])), [x.astype(np.float32)]
        yield ReindexReduce((5,), (i[0] * 2 + i[1] - 1,), "max"), [np.sin(x)]
        yield ReindexReduce((3,), (i[0],), "min"), [x.astype(np.int32)]
        yield ReindexReduce((2,), (loop_vars((0,))[0],)), [np.zeros(0)]
        yield ReindexReduce((3,), (var("i1", 4) // 2,)), [x]


MANY_PIECES = 16


@primitive
class Concat(Op):
    """The inputs one after the other along an axis."""

    name: ClassVar[str] = "concat"
    lowering: ClassVar[str] = "view"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        if not types:
            raise ArgumentError(message("concat: needs at least one array"))
        first = types[0]
        if not 0 <= self.axis < first.rank:
            raise AxisError(message("concat: axis out of range", [("x", repr(first)), ("axis", str(self.axis))]))
        total = 0
        for t in types:
            if t.dtype is not first.dtype:
                raise DTypeError(message("concat: operands must have one dtype", described(types)))
            if t.rank != first.rank or any(m != n for k, (m, n) in enumerate(zip(t.shape, first.shape, strict=True))
                                           if k != self.axis):
                raise ShapeError(message(f"concat: shapes must be equal but for axis {self.axis}", described(types)))
            total += t.shape[self.axis]
        return first.with_shape((*first.shape[:self.axis], total, *first.shape[self.axis + 1:]))

    def reference(self, *arrays: Any) -> Any:
        return np.concatenate(arrays, self.axis)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return b.apply(self, *(b.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents, strict=True)))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        found: list[Node | None] = []
        start = 0
        for x, k in zip(inputs, linear, strict=True):
            stop = start + x.shape[self.axis]
            found.append(b.slice_axis(cotangent, self.axis, start, stop) if k else None)
            start = stop
        return found

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.concat([x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)], self.axis + 1)

    def view(self, ctx: ViewContext, node: Node, indices: Indices) -> Value:
        pieces: list[tuple[Node, int]] = []
        start = 0
        for x in node.inputs:
            pieces += [(x, start)] if x.shape[self.axis] else []
            start += x.shape[self.axis]
        return self._choose(ctx, node, indices, pieces) if pieces else ctx.const(0, node.dtype)

    def _choose(self, ctx: ViewContext, node: Node, indices: Indices, pieces: list[tuple[Node, int]]) -> Value:
        """Nested choices, built from the last piece to the first; of many pieces halves of halves: not deep."""
        at = indices[self.axis]

        def load(x: Node, start: int) -> Value:
            return ctx.value(x, (*indices[:self.axis], at - start, *indices[self.axis + 1:]))

        possible = [(x, s) for x, s in pieces if s <= at.high and at.low < s + x.shape[self.axis]] or pieces[:1]
        if len(possible) == 1:
            return load(*possible[0])
        if len(possible) > MANY_PIECES:
            middle = len(possible) // 2
            first, last = possible[0][1], possible[middle][1] - 1
            before, behind = (self._choose(ctx, node, indices, part) for part in (possible[:middle], possible[middle:]))
            return ctx.guarded(ctx.inside([(at, first, last)]), lambda: before, behind)
        value = ctx.const(0, node.dtype)
        for x, start in reversed(possible):
            value = self._guarded(ctx, at, x, start, load, value)
        return value

    def _guarded(self, ctx: ViewContext, at: Index, x: Node, start: int, load: Callable[[Node, int], Value],
                 otherwise: Value) -> Value:
        inside = ctx.inside([(at, start, start + x.shape[self.axis] - 1)])
        return ctx.guarded(inside, lambda: load(x, start), otherwise)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Concat(1), [np.ones((2, 1)), np.zeros((2, 3)), np.full((2, 0), 5.0)]
        yield Concat(0), [np.arange(3), np.arange(2)]
        yield Concat(0), [np.ones((1, 2), np.float32)]
        yield Concat(0), [np.zeros((0, 2)), np.zeros((0, 2))]


"""Primitives without tensor inputs, and random bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import DTYPES, DType, dtype_of, float32, float64, int32, numpy_dtype, uint32, uint64
from pullback.ir.index import Index, const, ravel
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample
from pullback.ops.view import Value, ViewContext
from pullback.util.errors import ArgumentError, AxisError, ShapeError, message
from pullback.util.threefry import rounds

_SOURCE = {"transpose": "it has no input"}


@primitive
class Const(Op):
    """out[...] = the array whose bytes, row-major, are `data`."""

    name: ClassVar[str] = "const"
    lowering: ClassVar[str] = "view"
    absent: ClassVar[dict[str, str]] = {"jvp": "it has no input", "batch": "it has no input", **_SOURCE}
    data: bytes
    shape: tuple[int, ...]
    dtype: DType

    def infer(self, *types: TensorType) -> TensorType:
        out = TensorType.of(self.shape, self.dtype)
        if len(self.data) != out.nbytes:
            raise ShapeError(message("const: the data does not fit", [("data", f"{len(self.data)} bytes"),
                                                                      ("type", repr(out))]))
        return out

    def array(self) -> Any:
        """The value, read-only."""
        return np.frombuffer(self.data, numpy_dtype(self.dtype)).reshape(self.shape)

    def item(self) -> Any:
        """The value of a constant of one element, as a Python number."""
        return self.array().reshape(()).astype(_python_form(self.dtype)).item()

    def reference(self, *arrays: Any) -> Any:
        return self.array()

    def params(self) -> dict[str, Any]:
        return {"data": self.data.hex(), "shape": self.shape, "dtype": self.dtype}

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        if len(self.data) == self.dtype.itemsize:
            return ctx.const(self.item(), self.dtype)
        return ctx.value(node, indices)

    @staticmethod
    def samples() -> Iterator[Sample]:
        for x in (np.asarray(1.5, np.float32), np.arange(6).reshape(2, 3), np.zeros((0, 2)), np.asarray([True, False])):
            yield Const(x.tobytes(), x.shape, dtype_of(x.dtype)), []


def _python_form(dtype: DType) -> Any:
    return np.float64 if dtype.kind == "f" else numpy_dtype(dtype)


@primitive
class Iota(Op):
    """out[i0, i1, ...] = i_axis"""

    name: ClassVar[str] = "iota"
    lowering: ClassVar[str] = "view"
    absent: ClassVar[dict[str, str]] = {"jvp": "it has no input", "batch": "it has no input", **_SOURCE}
    shape: tuple[int, ...]
    axis: int
    dtype: DType

    def infer(self, *types: TensorType) -> TensorType:
        if not 0 <= self.axis < len(self.shape):
            raise AxisError(message("iota: axis out of range", [("shape", str(self.shape)), ("axis", str(self.axis))]))
        return TensorType.of(self.shape, self.dtype)

    def reference(self, *arrays: Any) -> Any:
        sizes = [1] * len(self.shape)
        sizes[self.axis] = self.shape[self.axis]
        line = np.arange(self.shape[self.axis]).reshape(sizes)
        return np.broadcast_to(line, self.shape).astype(numpy_dtype(self.dtype))

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.index(indices[self.axis], self.dtype)

    @staticmethod
    def samples() -> Iterator[Sample]:
        for shape, axis, dtype in (((3, 4), 1, int32), ((3,), 0, float64), ((0, 2), 0, float32), ((1,), 0, uint32)):
            yield Iota(shape, axis, dtype), []


_NUMPY = {"add": np.add, "bitwise_xor": np.bitwise_xor, "bitwise_or": np.bitwise_or, "shift_left": np.left_shift,
          "shift_right": np.right_shift}


def _numpy_row(name: str, x: Any, y: Any) -> Any:
    return _NUMPY[name](x, y)


def threefry(key0: Any, key1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Threefry on uint32 arrays."""
    with np.errstate(over="ignore"):
        return rounds(_numpy_row, np.uint32, (key0, key1), x0, x1)


def threefry_nodes(key0: Node, key1: Node, x0: Node, x1: Node) -> tuple[Node, Node]:
    """Threefry on uint32 nodes of equal shape."""
    return rounds(b.binary, lambda number: b.scalar_like(x0, number), (key0, key1), x0, x1)


@primitive
class RandomBits(Op):
    """out[k..., i...] = random bits of key[k..., :] at the row-major position of i in `shape`.

    Layout "partitionable": threefry of the 64-bit position, its halves combined by xor (64 bits: joined). Layout
    "original": threefry of iota split in two lanes (JAX's layouts, `jax/_src/random/threefry2x32.py`).
    """

    name: ClassVar[str] = "random_bits"
    random: ClassVar[bool] = True
    lowering: ClassVar[str] = "view"
    absent: ClassVar[dict[str, str]] = {"jvp": "bits have no derivative", "transpose": "not linear"}
    shape: tuple[int, ...]
    layout: str
    bits: int

    def infer(self, *types: TensorType) -> TensorType:
        key = types[0]
        if key.dtype is not uint32 or key.shape[-1:] != (2,):
            raise ShapeError(message("random_bits: a key is two uint32 numbers", [("key", repr(key))],
                                     "make one with random.key(seed)"))
        if self.layout not in ("partitionable", "original") or self.bits not in (8, 16, 32, 64):
            raise ArgumentError(message("random_bits: no such layout or width", [
                ("layout", self.layout), ("bits", str(self.bits))], "partitionable or original; 8, 16, 32 or 64"))
        out = TensorType.of((*key.shape[:-1], *self.shape), DTYPES[f"uint{self.bits}"])
        if self.layout == "original" and out.size * self.bits // 32 >= 1 << 32:
            raise ShapeError(message("random_bits: too many bits for the original layout", [("shape", str(self.shape))],
                                     "use the partitionable layout"))
        return out

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return None

    def reference(self, *arrays: Any) -> Any:
        keys = arrays[0].reshape(-1, 2)
        make = self._partitionable if self.layout == "partitionable" else self._original
        size = b.count(self.shape)
        rows = [make(k[0], k[1], size) for k in keys]
        out = np.stack(rows) if rows else np.zeros((0, size), f"u{self.bits // 8}")
        return out.reshape((*arrays[0].shape[:-1], *self.shape))

    def _partitionable(self, key0: Any, key1: Any, size: int) -> Any:
        position = np.arange(size, dtype=np.uint64)
        high, low = (position >> np.uint64(32)).astype(np.uint32), position.astype(np.uint32)
        y0, y1 = threefry(key0, key1, high, low)
        if self.bits == 64:
            return (y0.astype(np.uint64) << np.uint64(32)) | y1
        return (y0 ^ y1).astype(f"u{self.bits // 8}")

    def _original(self, key0: Any, key1: Any, size: int) -> Any:
        words = -(-size * self.bits // 32)
        half = -(-words // 2)
        counts = np.arange(2 * half, dtype=np.uint32)
        counts[words:] = 0
        lanes = np.concatenate(threefry(key0, key1, counts[:half], counts[half:]))[:words]
        if self.bits == 64:
            return (lanes[:size].astype(np.uint64) << np.uint64(32)) | lanes[size:]
        return lanes.view(f"<u{self.bits // 8}")[:size]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, inputs[0])

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        """The scalar expression of one element's bits."""
        lead = indices[:len(indices) - len(self.shape)]
        key = tuple(ctx.value(node.inputs[0], (*lead, const(k))) for k in (0, 1))
        position = ravel(indices[len(lead):], self.shape)
        if self.layout == "partitionable":
            return self._view_partitionable(ctx, node, key, position)
        return self._view_original(ctx, node, key, position)

    def _view_partitionable(self, ctx: ViewContext, node: Node, key: tuple[Value, ...], position: Index) -> Value:
        high = ctx.const(0, uint32)
        if position.high >= 1 << 32:
            high = ctx.index(position // (1 << 32), uint32)
        y0, y1 = _rounds(ctx, key, high, ctx.index(position % (1 << 32), uint32))
        if self.bits == 64:
            return _join(ctx, y0, y1)
        return _low(ctx, ctx.scalar("bitwise_xor", (), [y0, y1], uint32), node.dtype)

    def _view_original(self, ctx: ViewContext, node: Node, key: tuple[Value, ...], position: Index) -> Value:
        size = b.count(self.shape)
        words = -(-size * self.bits // 32)
        if self.bits == 64:
            return _join(ctx, _word(ctx, key, position, words), _word(ctx, key, position + size, words))
        if self.bits == 32:
            return _word(ctx, key, position, words)
        each = 32 // self.bits
        shift = ctx.index((position % each) * self.bits, uint32)
        word = _word(ctx, key, position // each, words)
        return _low(ctx, ctx.scalar("shift_right", (), [word, shift], uint32), node.dtype)

    @staticmethod
    def samples() -> Iterator[Sample]:
        key = np.asarray([0x13198A2E, 0x03707344], np.uint32)
        for layout in ("partitionable", "original"):
            for bits in (8, 16, 32, 64):
                yield RandomBits((3, 5), layout, bits), [key]
            yield RandomBits((), layout, 32), [key]
            yield RandomBits((0, 3), layout, 32), [key]
            yield RandomBits((2,), layout, 32), [np.stack([key, key + np.uint32(1)])]


def _word(ctx: ViewContext, key: tuple[Value, ...], word: Index, words: int) -> Value:
    """Word `word` of threefry(iota(words)): the lanes are the halves of the counts, padded with a 0."""
    half = max(-(-words // 2), 1)
    count = word % half
    second = ctx.index(count + half, uint32)
    if words % 2:
        second = ctx.scalar("select", (), [ctx.inside([(count, 0, half - 2)]), second, ctx.const(0, uint32)], uint32)
    y0, y1 = _rounds(ctx, key, ctx.index(count, uint32), second)
    return ctx.scalar("select", (), [ctx.inside([(word, 0, half - 1)]), y0, y1], uint32)


def _low(ctx: ViewContext, value: Value, dtype: DType) -> Value:
    """The low bits of a uint32 value."""
    if dtype is uint32:
        return value
    mask = ctx.const((1 << dtype.bits) - 1, uint32)
    return ctx.convert(ctx.scalar("bitwise_and", (), [value, mask], uint32), dtype)


def _join(ctx: ViewContext, high: Value, low: Value) -> Value:
    wide = ctx.scalar("shift_left", (), [ctx.convert(high, uint64), ctx.const(32, uint64)], uint64)
    return ctx.scalar("bitwise_or", (), [wide, ctx.convert(low, uint64)], uint64)


def _rounds(ctx: ViewContext, key: Sequence[Value], x0: Value, x1: Value) -> tuple[Value, Value]:
    """`threefry` on scalar values."""
    def row(name: str, *values: Value) -> Value:
        return ctx.scalar(name, (), values, uint32)

    return rounds(row, lambda number: ctx.const(number, uint32), (key[0], key[1]), x0, x1)

"""Elementwise primitives: one scalar row over equal shapes, conversion, reinterpretation, aliases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import DType, bool_, complex64, complex128, float32, float64, int8, int32, numpy_dtype, uint32
from pullback.ir.index import Index
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops import numeric
from pullback.ops.scalar import ROWS, ScalarRow
from pullback.ops.view import Value, ViewContext
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, VerifyError, message

Sample = tuple[Op, list[Any]]
_NAMES = ("x", "y", "z")


def described(types: Sequence[TensorType]) -> list[tuple[str, str]]:
    """The operands, for the "got" lines of an error."""
    return [(_NAMES[k] if k < 3 else f"x{k}", repr(t)) for k, t in enumerate(types)]


def expect(name: str, count: int, types: Sequence[TensorType]) -> None:
    """Check the number of operands."""
    if len(types) != count:
        raise ArgumentError(message(f"{name}: takes {count} operand{'s' * (count != 1)}", described(types)))


@primitive
class Map(Op):
    """out[i] = row(x[i], y[i], ...)"""

    name: ClassVar[str] = "map"
    lowering: ClassVar[str] = "view"
    row: str
    static: tuple[int, ...] = ()

    def infer(self, *types: TensorType) -> TensorType:
        row = ROWS[self.row]
        if len(types) != row.arity:
            expect(self.row, row.arity, types)
        first = types[-1]
        for t in types[1:] if row.predicate else types:
            if t is first:
                continue
            if t.dtype is not first.dtype:
                raise DTypeError(message(f"{self.row}: operands must have one dtype", described(types),
                                         f"convert one of them, for example x.astype({first.dtype.name})"))
            if t.shape != first.shape:
                self._shapes(types)
        if row.predicate and (types[0].dtype is not bool_ or types[0].shape != first.shape):
            self._predicate(types)
        if first.dtype.kind not in row.kinds:
            self._kind(row, types)
        return _result(row, first)

    def _shapes(self, types: Sequence[TensorType]) -> None:
        raise ShapeError(message(f"{self.row}: operands must have equal shapes", described(types),
                                 "broadcast or reshape one of them"))

    def _predicate(self, types: Sequence[TensorType]) -> None:
        if types[0].dtype is bool_:
            self._shapes(types)
        raise DTypeError(message(f"{self.row}: the condition must be of dtype bool", described(types),
                                 "compare it, for example x != 0"))

    def _kind(self, row: ScalarRow, types: Sequence[TensorType]) -> None:
        kinds = {"b": "bool", "i": "signed integer", "u": "unsigned integer", "f": "floating point", "c": "complex"}
        raise DTypeError(message(f"{self.row}: not defined for {types[-1].dtype.name}", described(types),
                                 "it takes " + ", ".join(kinds[k] for k in row.kinds) + ": convert with x.astype(...)"))

    def reference(self, *arrays: Any) -> Any:
        row = ROWS[self.row]
        own = arrays[-1].dtype
        low = own.itemsize == 2 and own.kind not in "iub" and not row.narrow
        xs = [x.astype(np.float32) if low and x.dtype == own else x for x in arrays]
        with np.errstate(all="ignore"):
            y = row.reference(*xs, *self.static)
        return y.astype(own) if low and row.result != "bool" else y

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return ROWS[self.row].jvp(output, inputs, tangents, self.static)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        rule = ROWS[self.row].transpose
        if rule is None:
            raise VerifyError(message(f"transpose: {self.row} is not linear"))
        return rule(cotangent, inputs, linear)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.scalar(self.row, self.static, [ctx.value(x, indices) for x in node.inputs], node.dtype)

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(0)
        for row in ROWS.values():
            yield from _row_samples(row, rng)


def _result(row: ScalarRow, operand: TensorType) -> TensorType:
    if row.result == "same" or (row.result == "real" and operand.dtype.kind != "c"):
        return operand
    if row.result == "bool":
        return operand.with_dtype(bool_)
    if row.result == "real":
        return operand.with_dtype(float32 if operand.dtype is complex64 else float64)
    return operand.with_dtype(complex64 if operand.dtype.itemsize < 8 else complex128)


def _row_samples(row: ScalarRow, rng: np.random.Generator) -> Iterator[Sample]:
    domain = row.domain or ((-1.5, 1.5),) * row.arity
    dtypes = {"f": [float64, float32], "i": [int32, int8], "u": [uint32], "b": [bool_], "c": [complex128]}
    for static in ((2,), (-3,), (0,)) if row.statics else ((),):
        op = Map(row.name, static)
        for kind in row.kinds:
            if kind in "iu" and static and static[0] < 0:
                continue
            for dtype in dtypes[kind]:
                for shape in ((3, 4), (0, 2), (1,), ()):
                    yield op, [_random(rng, dtype, shape, low, high, k == 0 and row.predicate)
                               for k, (low, high) in enumerate(domain)]


def _random(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], low: float, high: float,
            predicate: bool) -> Any:
    if predicate or dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0 if dtype.kind == "u" else -5, 9, shape), dtype.numpy)
    x = rng.uniform(low, high, shape)
    return np.asarray(x + 1j * rng.uniform(-0.2, 0.2, shape) if dtype.kind == "c" else x, dtype.numpy)


class _Unary(Op):
    """An elementwise primitive of one operand that keeps the shape."""

    lowering: ClassVar[str] = "view"

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *inputs)


@primitive
class Convert(_Unary):
    """out[i] = dtype(x[i])

    Floats become integers by truncation, saturating, NaN as 0; complex numbers drop their imaginary part.
    """

    name: ClassVar[str] = "convert"
    elementwise: ClassVar[bool] = True
    dtype: DType
    inside: bool = False  # made by an operation for itself, see `build.convert_inside`

    def params(self) -> dict[str, Any]:
        found = super().params()
        if not self.inside:
            del found["inside"]
        return found

    def infer(self, *types: TensorType) -> TensorType:
        return types[0].with_dtype(self.dtype)

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return numeric_convert(arrays[0], self.dtype)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        t = tangents[0]
        return b.convert(t, self.dtype) if t is not None and self.dtype.is_inexact else None

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [b.convert(cotangent, inputs[0].dtype)]

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.convert(ctx.value(node.inputs[0], indices), self.dtype)

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.linspace(-3, 3, 6).reshape(2, 3)
        for source, target in ((float64, float32), (float32, int32), (int32, float64), (float64, bool_), (bool_, int32),
                               (int32, int8), (float64, complex128), (complex128, float64), (float32, float64)):
            yield Convert(target), [np.asarray(x, source.numpy)]
        yield Convert(float32), [np.zeros((0, 2))]


def numeric_convert(x: Any, dtype: DType) -> Any:
    """The definition of element conversion."""
    return numeric.saturating(x, numpy_dtype(dtype))


@primitive
class Bitcast(_Unary):
    """out[i] = the bits of x[i] as another dtype of the same width"""

    name: ClassVar[str] = "bitcast"
    absent: ClassVar[dict[str, str]] = {"jvp": "bits have no derivative", "transpose": "not linear"}
    dtype: DType

    def infer(self, *types: TensorType) -> TensorType:
        if types[0].dtype.bits != self.dtype.bits or bool_ in (self.dtype, types[0].dtype):
            raise DTypeError(message(f"bitcast: {self.dtype.name} has another width", described(types),
                                     f"use a dtype of {types[0].dtype.bits} bits, not bool"))
        return types[0].with_dtype(self.dtype)

    def reference(self, *arrays: Any) -> Any:
        return np.ascontiguousarray(arrays[0]).view(numpy_dtype(self.dtype)).reshape(arrays[0].shape)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return None

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.bitcast(ctx.value(node.inputs[0], indices), self.dtype)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Bitcast(uint32), [np.asarray([[1.0, -2.5]], np.float32)]
        yield Bitcast(float64), [np.asarray([1 << 62, 5], np.int64)]
        yield Bitcast(uint32), [np.zeros((0,), np.float32)]


class _Same(_Unary):
    """What operators that change no element have in common."""

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0]

    def view(self, ctx: ViewContext, node: Node, indices: tuple[Index, ...]) -> Value:
        return ctx.value(node.inputs[0], indices)


@primitive
class Copy(_Same):
    """out[i] = x[i], a node of its own"""

    name: ClassVar[str] = "copy"

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return tangents[0]

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [cotangent]

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Copy(), [np.asarray([1.0, 2.0])]
        yield Copy(), [np.zeros((0, 3))]


@primitive
class Leaf(_Same):
    """out[i] = x[i], a node that is no other: equal nodes are one, and gradients by each of two leaves need two"""

    name: ClassVar[str] = "leaf"
    number: int

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return tangents[0]

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [cotangent]

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Leaf(1), [np.asarray([1.0, 2.0])]
        yield Leaf(2), [np.zeros((0, 3))]


@primitive
class StopGradient(_Same):
    """out[i] = x[i], with derivative zero"""

    name: ClassVar[str] = "stop_gradient"
    passes_derivatives: ClassVar[bool] = False
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is always zero, so it is in no linear program"}

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return None

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield StopGradient(), [np.asarray([1, 2])]
        yield StopGradient(), [np.zeros((0, 3), np.float32)]

"""The discrete Fourier transform: sums that are not divided by anything. The array room scales them.

Complex to complex it is a symmetric matrix, its own transpose. Real numbers have half of it (the other half is the
conjugate of the first), and two primitives of one axis, each made of the other by transposition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import complex64, complex128, float32, float64
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample
from pullback.util.errors import AxisError, DTypeError, ShapeError, message


def _check(name: str, x: TensorType, axes: tuple[int, ...], allowed: Any) -> None:
    if x.dtype not in allowed:
        raise DTypeError(message(f"{name}: no transform of {x.dtype.name}", [("x", repr(x))],
                                 f"convert it first, for example x.astype({allowed[0].name})"))
    if any(not 0 <= a < x.rank for a in axes) or len(set(axes)) != len(axes):
        raise AxisError(message(f"{name}: axes must be different dimensions", [("x", repr(x)), ("axes", str(axes))]))
    if any(not x.shape[a] for a in axes):
        raise ShapeError(message(f"{name}: a dimension to transform has no elements", [("x", repr(x))],
                                 "give a length of 1 or more"))


class _Linear(Op):
    """What the three have in common: linear, no native code (complex numbers have none)."""

    lowering: ClassVar[str] = "inline"
    ulp: ClassVar[float] = 64.0

    def function_for(self, types: Sequence[TensorType]) -> Function | None:
        return None

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return b.apply(self, b.some(tangents[0]))


@primitive
class Fourier(_Linear):
    """out[k] = the sum of x[j] exp(-2 pi i j k / n) over the axes; +2 pi if `inverse`"""

    name: ClassVar[str] = "fourier"
    axes: tuple[int, ...]
    inverse: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        _check("fourier", types[0], self.axes, (complex64, complex128))
        return types[0]

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size or not self.axes:
            return x
        return np.fft.ifftn(x, axes=self.axes, norm="forward") if self.inverse else np.fft.fftn(x, axes=self.axes)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return [b.apply(self, cotangent)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(Fourier(tuple(a + 1 for a in self.axes), self.inverse), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(8)
        z = rng.normal(size=(2, 3, 5)) + 1j * rng.normal(size=(2, 3, 5))
        yield Fourier((2,)), [z]
        yield Fourier((1, 2), True), [z]
        yield Fourier((0,)), [z[0].astype(np.complex64)]
        yield Fourier((1,)), [np.zeros((0, 3), np.complex64)]


def _weights(x: Node, axis: int, length: int, inner: float) -> Node:
    """What counts once in a transform of real numbers as 1, and what counts twice, for its conjugate, as `inner`."""
    found = np.full(x.shape[axis], inner)
    found[0] = 1
    if length % 2 == 0:
        found[-1] = 1
    line = b.const_array(found.astype(np.float32 if x.dtype is complex64 else np.float64))
    return b.convert(b.broadcast(line, x.shape, (axis,)), x.dtype)


@primitive
class RealFourier(_Linear):
    """out[k] = the sum of x[j] exp(-2 pi i j k / n) along an axis, for k from 0 to n / 2; x is real"""

    name: ClassVar[str] = "real_fourier"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x, k = types[0], self.axis
        _check("real_fourier", x, (k,), (float32, float64))
        shape = (*x.shape[:k], x.shape[k] // 2 + 1, *x.shape[k + 1:])
        return TensorType.of(shape, complex64 if x.dtype is float32 else complex128)

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size:
            kind = np.complex64 if x.dtype == np.float32 else np.complex128
            return np.zeros((*x.shape[:self.axis], x.shape[self.axis] // 2 + 1, *x.shape[self.axis + 1:]), kind)
        return np.fft.rfft(x, axis=self.axis)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        length = inputs[0].shape[self.axis]
        half = b.mul(b.unary("conj", cotangent), _weights(cotangent, self.axis, length, 0.5))
        return [b.apply(HermitianFourier(self.axis, length), half)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(RealFourier(self.axis + 1), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(9)
        yield RealFourier(1), [rng.normal(size=(2, 6))]
        yield RealFourier(0), [rng.normal(size=(5, 2))]
        yield RealFourier(0), [rng.normal(size=4).astype(np.float32)]
        yield RealFourier(0), [rng.normal(size=1)]
        yield RealFourier(1), [np.zeros((0, 3), np.float32)]


@primitive
class HermitianFourier(_Linear):
    """out[j] = the sum of x[k] exp(+2 pi i j k / n) along an axis, with x[n - k] the conjugate of x[k]: real numbers"""

    name: ClassVar[str] = "hermitian_fourier"
    axis: int
    length: int

    def infer(self, *types: TensorType) -> TensorType:
        x, k = types[0], self.axis
        _check("hermitian_fourier", x, (k,), (complex64, complex128))
        if self.length < 1 or x.shape[k] != self.length // 2 + 1:
            raise ShapeError(message("hermitian_fourier: half of the length, and one, must be given",
                                     [("x", repr(x)), ("length", str(self.length))]))
        shape = (*x.shape[:k], self.length, *x.shape[k + 1:])
        return TensorType.of(shape, float32 if x.dtype is complex64 else float64)

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        if not x.size:
            shape = (*x.shape[:self.axis], self.length, *x.shape[self.axis + 1:])
            return np.zeros(shape, np.float32 if x.dtype == np.complex64 else np.float64)
        return np.fft.irfft(x, self.length, self.axis, norm="forward")

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        found = b.unary("conj", b.apply(RealFourier(self.axis), cotangent))
        return [b.mul(found, _weights(found, self.axis, self.length, 2.0))]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(HermitianFourier(self.axis + 1, self.length), inputs[0])

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(10)
        z = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
        yield HermitianFourier(1, 6), [z]
        yield HermitianFourier(0, 5), [z]
        yield HermitianFourier(0, 1), [z[:1].astype(np.complex64)]
        yield HermitianFourier(1, 3), [np.zeros((0, 2), np.complex64)]

"""The contraction: matrix products, inner and outer products, convolutions over windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import DType, float32, float64, int32, numpy_dtype
from pullback.ir.node import Node, Op, TensorType, Transforms, primitive
from pullback.ops.map import Sample
from pullback.util.errors import DTypeError, ShapeError, message

ALL_PARTS = 3  # of a float32 number, with no bit lost


@primitive
class Contract(Op):
    """out[batch, free_a, free_b] = sum over k of a[batch, free_a, k] * b[batch, free_b, k].

    The first `batch` dimensions of both are shared, the last `contracted` are summed. 16-bit floats accumulate in
    float32; `dtype` is the result's. A float32 operand may be rounded to the sum of so many bfloat16 numbers (`parts`):
    a matrix unit then takes fewer products.
    """

    name: ClassVar[str] = "contract"
    lowering: ClassVar[str] = "contract"
    batch_dims: int
    contracted: int
    dtype: DType
    parts: int = ALL_PARTS

    def infer(self, *types: TensorType) -> TensorType:
        x, y = types
        m, k = self.batch_dims, self.contracted
        if x.dtype is not y.dtype:
            raise DTypeError(message("contract: operands must have one dtype", [("a", repr(x)), ("b", repr(y))],
                                     f"convert one of them, for example b.astype({x.dtype.name})"))
        if x.dtype.kind == "b" or self.dtype.kind != x.dtype.kind:
            raise DTypeError(message("contract: the result must be a number of the operands' kind",
                                     [("a", repr(x)), ("b", repr(y)), ("result", self.dtype.name)]))
        if m < 0 or k < 0 or min(x.rank, y.rank) < m + k:
            raise ShapeError(message(f"contract: operands need {m} batch and {k} contracted dimensions",
                                     [("a", repr(x)), ("b", repr(y))]))
        if x.shape[:m] != y.shape[:m]:
            raise ShapeError(message("contract: batch dimensions must have equal sizes", [
                ("a", f"{x!r}   batch {x.shape[:m]}"), ("b", f"{y!r}   batch {y.shape[:m]}")]))
        if x.shape[x.rank - k:] != y.shape[y.rank - k:]:
            raise ShapeError(message("contract: contracted dimensions must have equal sizes", [
                ("a", f"{x!r}   contracted {x.shape[x.rank - k:]}"),
                ("b", f"{y!r}   contracted {y.shape[y.rank - k:]}")], "did you mean to transpose one of them?"))
        return TensorType.of((*x.shape[:x.rank - k], *y.shape[m:y.rank - k]), self.dtype)

    def params(self) -> dict[str, Any]:
        found = super().params()
        if self.parts == ALL_PARTS:
            del found["parts"]
        return found

    def over(self, batch_dims: int, contracted: int) -> Contract:
        """The same contraction over other dimensions."""
        return Contract(batch_dims, contracted, self.dtype, self.parts)

    def _split(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        m, k = self.batch_dims, len(shape) - self.contracted
        return shape[:m], shape[m:k], shape[k:]

    def reference(self, *arrays: Any) -> Any:
        x, y = arrays
        shared, free_x, summed = self._split(x.shape)
        free_y = self._split(y.shape)[1]
        wide = numpy_dtype(self.dtype if self.dtype.itemsize >= 4 or self.dtype.kind in "iu" else float32)
        count = [int(np.prod(s, dtype=int)) for s in (shared, free_x, free_y, summed)]
        left = x.astype(wide).reshape(count[0], count[1], count[3])
        right = y.astype(wide).reshape(count[0], count[2], count[3])
        with np.errstate(all="ignore"):
            product = left @ right.transpose(0, 2, 1)
        return product.reshape((*shared, *free_x, *free_y)).astype(numpy_dtype(self.dtype))

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        parts = [b.apply(self, t, inputs[1]) for t in tangents[:1] if t is not None]
        parts += [b.apply(self, inputs[0], t) for t in tangents[1:] if t is not None]
        return parts[0] if len(parts) == 1 else b.add(*parts)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        """ct[batch, free_a, free_b] with b[batch, free_b, k] gives a's; its transpose with a[batch, free_a, k], b's."""
        x, y = inputs
        shared, free_x, summed = self._split(x.shape)
        m, p, q, k = len(shared), len(free_x), len(self._split(y.shape)[1]), len(summed)
        if linear[0]:
            other = b.convert(b.transpose(y, _swap(m, q, k)), self.dtype)
            return [b.convert(b.apply(self.over(m, q), cotangent, other), x.dtype), None]
        other = b.convert(b.transpose(x, _swap(m, p, k)), self.dtype)
        flipped = b.transpose(cotangent, _swap(m, p, q))
        return [None, b.convert(b.apply(self.over(m, p), flipped, other), y.dtype)]

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        x, y = inputs
        m, k = self.batch_dims, self.contracted
        if all(batched):
            return b.apply(self.over(m + 1, k), x, y)
        if batched[0]:
            return b.move_axis(b.apply(self, b.move_axis(x, 0, m), y), m, 0)
        at = x.tensor.rank - k
        return b.move_axis(b.apply(self, x, b.move_axis(y, 0, m)), at, 0)

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(1)
        for m, k, dtype, left, right in (
                (0, 1, float64, (2, 3), (4, 3)), (1, 1, float32, (2, 3, 4), (2, 5, 4)), (0, 0, float64, (2,), (3,)),
                (0, 2, float64, (2, 3), (2, 3)), (2, 1, float64, (2, 2, 3), (2, 2, 3)),
                (1, 2, float64, (2, 3, 2, 2), (2, 2, 2)),
                (0, 1, float64, (0, 3), (2, 3)), (0, 1, float64, (2, 0), (3, 0)), (0, 1, float32, (1, 1), (1, 1))):
            yield Contract(m, k, dtype), [np.asarray(rng.normal(size=s), dtype.numpy) for s in (left, right)]
        yield Contract(0, 1, int32), [rng.integers(-3, 4, s).astype(np.int32) for s in ((2, 3), (4, 3))]
        yield Contract(0, 1, float32), [rng.normal(size=s).astype(np.float16) for s in ((2, 3), (4, 3))]
        yield Contract(0, 1, float32, 1), [rng.integers(-9, 9, s).astype(np.float32) for s in ((2, 3), (4, 3))]


def _swap(m: int, p: int, q: int) -> tuple[int, ...]:
    """The permutation that exchanges the p dimensions after the first m with the q that follow."""
    return (*range(m), *range(m + p, m + p + q), *range(m, m + p))

"""What a matrix product is: sizes, strides, epilogue, and what the emitter reports of the kernel it made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

from pullback.codegen.llvm.text import Fn, V


@dataclass(frozen=True)
class Operand:
    """Strides in elements: element (row r, column c) of a batch is at base + r * row_stride + c * col_stride.

    `apart`: where each element is a pair of 16-bit numbers, how far the second is from the first; None: it is one.
    """

    row_stride: int
    col_stride: int
    batch_strides: tuple[int, ...] = ()
    apart: int | None = None

    @property
    def transposed(self) -> Operand:
        return Operand(self.col_stride, self.row_stride, self.batch_strides, self.apart)

    @property
    def rows_run(self) -> bool:
        """Whether a row lies in memory as it is read: element after element."""
        return self.col_stride == 1 if self.apart is None else self.apart == 1


@dataclass(frozen=True)
class MatmulSpec:
    """C[m, n] = A[m, k] B[k, n] for every batch index; the accumulation is in `dtype` ("float" or "double"). A float
    may be rounded to the sum of so many bfloat16 numbers (`parts`); `narrow`: operands are those in memory. `laid`: B
    also lies in panels of the matrix unit."""

    m: int
    n: int
    k: int
    a: Operand
    b: Operand
    dtype: str
    batch: tuple[int, ...] = ()
    parts: int = 3
    narrow: bool = False
    laid: bool = False

    @property
    def element(self) -> str:
        """What an operand is made of in memory."""
        return "i16" if self.narrow else self.dtype

    @property
    def in_pairs(self) -> MatmulSpec:
        """The same product of pairs of its 16-bit numbers, side by side in k: each is as large as a float."""
        a, b = self.a, self.b
        return replace(self, k=self.k // 2, a=replace(a, col_stride=2 * a.col_stride, apart=a.col_stride),
                       b=replace(b, row_stride=2 * b.row_stride, apart=b.row_stride))

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k * prod(self.batch)

    @property
    def transposed(self) -> MatmulSpec:
        """The same product read as C^T = B^T A^T."""
        return MatmulSpec(self.n, self.m, self.k, self.b.transposed, self.a.transposed, self.dtype, self.batch,
                          self.parts, self.narrow)


class Epilogue(Protocol):
    """What happens to every finished element: called with whole vectors of one row, while they are in registers."""

    def prepare(self, fn: Fn, step: int = 1) -> None:
        """Called once in the entry block, for example to load pointers from the slots at `fn.params[0]`.

        Vectors begin at columns that are multiples of what divides both their width and `step`.
        """
        ...

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        """Bring what the epilogue will read at a row, so many columns from `col` on, into the caches."""
        ...

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        """Consume `acc`, columns `col ...` of `row` (i64); lanes outside `mask` (None: all exist) must not be touched.

        Every existing element is handed over exactly once. `acc` may be of any power-of-two width, or a scalar.
        The mask is a constant. The call may be emitted several times, in any block: keep no state between calls.
        """
        ...


@dataclass(frozen=True)
class MatmulKernel:
    """An emitted kernel: `void name(ptr args, i64 tid, i64 nthreads)`.

    The workspace slot must point at `workspace(nthreads)` bytes, 64-byte aligned, of any contents. `max_threads` is 1
    where threads do not pay; threads beyond it return at once.
    """

    name: str
    thread_bytes: int
    shared_bytes: int
    max_threads: int
    flops: int
    strategy: str

    def workspace(self, threads: int) -> int:
        """Bytes of workspace for a call with so many threads."""
        return self.shared_bytes + self.thread_bytes * min(threads, self.max_threads)

"""Bands of a large image as images of their own, so that what is copied of one stays near."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.text import Fn, V
from pullback.codegen.llvm.window_spec import WindowSpec


class Bands(NamedTuple):
    """A product whose first variable of the columns is cut into `many` parts, the last variable of the batch."""

    spec: WindowSpec
    many: int


def in_bands(spec: WindowSpec, count: int) -> Bands:
    if count == 1:
        return Bands(spec, 1)
    each = spec.cols[0] // count
    dims = tuple(replace(dim, batch=(*dim.batch, dim.cols[0] * each)) for dim in spec.dims)
    return Bands(replace(spec, batch=(*spec.batch, count), cols=(each, *spec.cols[1:]), a_batch=(*spec.a_batch, 0),
                         dims=dims), count)


class BandsEpilogue:
    """The epilogue of whole images seen from their bands."""

    def __init__(self, inner: Epilogue, columns: int) -> None:
        self.inner, self.columns = inner, columns

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.inner.prepare(fn, gcd(step, self.columns))

    def column(self, fn: Fn, batch_index: list[V], col: V) -> V:
        return ix.add(fn, ix.mul(fn, batch_index[-1], self.columns), col)

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        self.inner.fetch(fn, batch_index[:-1], row, self.column(fn, batch_index, col), count)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        self.inner(fn, batch_index[:-1], row, self.column(fn, batch_index, col), acc, mask)

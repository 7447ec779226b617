"""Small images side by side: columns of a few images as those of one, so that tiles are full.

The weights are then read once for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_pack import in_pieces
from pullback.codegen.llvm.matmul_plan import tile_cost
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, V, lanes
from pullback.codegen.llvm.window_columns import FEW_ROWS
from pullback.codegen.llvm.window_spec import WindowSpec

MOST_COLUMNS = 512
PIECE_CYCLES = 10  # to hand over part of a vector
WORTH = 1.05
LEAST_FETCHED = 16  # columns: a line


class Together(NamedTuple):
    """`many` images, places of the batch's `variable`, as the first variable of the columns."""

    spec: WindowSpec
    variable: int
    many: int
    columns: int  # of one image


def together(spec: WindowSpec, target: Target) -> Together:
    """As many images side by side as pay; perhaps one."""
    images = [k for k, c in enumerate(spec.a_batch) if c == 0 and spec.batch[k] > 1]
    if not images or spec.m <= FEW_ROWS:  # few rows are read in runs of columns, which end with an image
        return Together(spec, 0, 1, spec.n)
    variable = max(images, key=lambda k: spec.batch[k])
    width = target.lanes(spec.dtype)

    def cost(count: int) -> float:
        pieces = 0 if count == 1 else count * spec.n // gcd(spec.n, width) * PIECE_CYCLES / spec.k
        return (tile_cost(spec.m, count * spec.n, width, target) + spec.m * pieces) / count

    counts = [c for c in range(1, MOST_COLUMNS // spec.n + 1) if spec.batch[variable] % c == 0] or [1]
    least = min(map(cost, counts))
    count = next(c for c in counts if cost(c) <= least * WORTH)
    return Together(_moved(spec, variable, count) if count > 1 else spec, variable, count, spec.n)


def _moved(spec: WindowSpec, variable: int, count: int) -> WindowSpec:
    """The product with `count` places of a variable of the batch as columns."""
    def scaled(steps: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(c * count if k == variable else c for k, c in enumerate(steps))

    dims = tuple(replace(dim, batch=scaled(dim.batch), cols=(dim.batch[variable], *dim.cols)) for dim in spec.dims)
    batch = tuple(n // count if k == variable else n for k, n in enumerate(spec.batch))
    return replace(spec, batch=batch, cols=(count, *spec.cols), dims=dims)


class ImagesEpilogue:
    """The epilogue of single images seen from several side by side."""

    def __init__(self, inner: Epilogue, images: Together) -> None:
        self.inner, self.images = inner, images

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.inner.prepare(fn, gcd(step, self.images.columns))

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        least = gcd(count, self.images.columns)  # columns of one image
        for n in range(0, count if least >= LEAST_FETCHED else 0, least):
            at = ix.add(fn, col, n)
            self.inner.fetch(fn, self.order(fn, batch_index, at), row, ix.rem(fn, at, self.images.columns), least)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        def give(at: V, value: V, valid: V | None) -> None:
            self.inner(fn, self.order(fn, batch_index, at), row, ix.rem(fn, at, self.images.columns), value, valid)

        width = lanes(acc.type)
        piece = gcd(width, self.images.columns)
        if piece == width:
            give(col, acc, mask)
        else:
            in_pieces(fn, acc, mask, piece, lambda offset, value: give(ix.add(fn, col, offset), value, None))

    def order(self, fn: Fn, batch_index: list[V], col: V) -> list[V]:
        """The place in the batch that a column belongs to."""
        images = self.images
        found = list(batch_index)
        found[images.variable] = ix.add(fn, ix.mul(fn, found[images.variable], images.many),
                                        ix.div(fn, col, images.columns))
        return found

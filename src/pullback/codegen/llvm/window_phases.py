"""Windows that step over places between elements (gradients of strided convolutions, transposed convolutions).

Columns whose places leave the same remainder see the same elements: each such phase is a product over plain windows of
fewer terms, and writes every so-many-th column.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_pack import in_pieces
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.text import Fn, V, i64, lanes
from pullback.codegen.llvm.window_spec import Dim, WindowSpec


class Phase(NamedTuple):
    """One remainder: its product (None where its columns see no element), the first and the distance of its columns
    for each variable, and where A's first element moves."""

    spec: WindowSpec | None
    sizes: tuple[int, ...]
    first: tuple[int, ...]
    step: tuple[int, ...]
    shift: int


class _Stepped(NamedTuple):
    dim: int
    column: int
    term: int  # -1 where there is none


def phases(spec: WindowSpec) -> list[Phase]:
    """All phases; none where the windows cannot be told apart so."""
    found: list[_Stepped] = []
    for d, dim in enumerate(spec.dims):
        if dim.step == 1:
            continue
        columns = [k for k, c in enumerate(dim.cols) if c]
        terms = [k for k, c in enumerate(dim.terms) if c]
        alone = all(not other.cols[k] for k in columns for e, other in enumerate(spec.dims) if e != d) and all(
            not other.terms[k] for k in terms for e, other in enumerate(spec.dims) if e != d)
        if len(columns) != 1 or dim.cols[columns[0]] != 1 or len(terms) > 1 or not alone or any(
                c % dim.step for c in dim.batch):
            return []
        found.append(_Stepped(d, columns[0], terms[0] if terms else -1))
    choices = [range(min(spec.dims[s.dim].step, spec.cols[s.column])) for s in found]
    return [_phase(spec, found, rest) for rest in product(*choices)] if found else []


def _phase(spec: WindowSpec, stepped: list[_Stepped], rest: tuple[int, ...]) -> Phase:
    dims, cols, terms = list(spec.dims), list(spec.cols), list(spec.terms)
    a_terms = list(spec.a_terms)
    first, step = [0] * len(cols), [1] * len(cols)
    shift, empty = 0, False
    for s, a in zip(stepped, rest, strict=True):
        dim = dims[s.dim]
        first[s.column], step[s.column] = a, dim.step
        cols[s.column] = -(-(cols[s.column] - a) // dim.step)
        move = dim.terms[s.term] if s.term >= 0 else 0
        count = terms[s.term] if s.term >= 0 else 1
        those = [t for t in range(count) if (dim.const + a + move * t) % dim.step == 0]
        if not those:
            empty = True
            continue
        apart = those[1] - those[0] if len(those) > 1 else 1
        if s.term >= 0:
            shift += those[0] * a_terms[s.term]
            a_terms[s.term] *= apart
            terms[s.term] = len(those)
        dims[s.dim] = _plain(dim, s, a + move * those[0], move * apart)
    made = None if empty else replace(spec, dims=tuple(dims), cols=tuple(cols), terms=tuple(terms),
                                      a_terms=tuple(a_terms))
    return Phase(made, tuple(cols), tuple(first), tuple(step), shift)


def _plain(dim: Dim, s: _Stepped, shift: int, move: int) -> Dim:
    """The dimension counted in elements; a term that does not run needs no coefficient."""
    terms = tuple((move // dim.step if move % dim.step == 0 else 0) if k == s.term else 0
                  for k in range(len(dim.terms)))
    return replace(dim, step=1, const=(dim.const + shift) // dim.step, terms=terms,
                   batch=tuple(c // dim.step for c in dim.batch))


class PhaseEpilogue:
    """The epilogue of all columns seen from a phase: its vectors are handed over lane by lane."""

    def __init__(self, inner: Epilogue, phase: Phase, cols: tuple[int, ...]) -> None:
        self.inner, self.phase, self.cols = inner, phase, cols

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.inner.prepare(fn)

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        """The columns of a phase do not lie side by side."""

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        if lanes(acc.type) == 1:
            self.inner(fn, batch_index, row, self.column(fn, col), acc, None)
            return
        in_pieces(fn, acc, mask, 1, lambda offset, one: self.inner(
            fn, batch_index, row, self.column(fn, ix.add(fn, col, offset)), one, None))

    def column(self, fn: Fn, at: V) -> V:
        """The column that one of the phase is."""
        total, below = i64(0), 1
        for n, (size, full) in enumerate(zip(reversed(self.phase.sizes), reversed(self.cols), strict=True)):
            k = len(self.cols) - 1 - n
            digit = ix.rem(fn, at, size) if k else at
            place = ix.add(fn, ix.mul(fn, digit, self.phase.step[k]), self.phase.first[k])
            total = ix.add(fn, total, ix.mul(fn, place, below))
            at, below = ix.div(fn, at, size), below * full
        return total


__all__ = ["Phase", "PhaseEpilogue", "phases"]

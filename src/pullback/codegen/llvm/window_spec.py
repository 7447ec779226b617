"""What a product over windows is, in numbers: sizes, strides, and the box of the image that its windows reach.

A box is a copy of part of the image with zeros where the image ends, or between its elements where windows step over
them; every element of a window lies in it at an offset that is a sum over the loop variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from pullback.ir.dtypes import uint32
from pullback.ir.index import Index, Var, ravel
from pullback.kernel.nodes import WindowNest

SLACK = 16  # elements after a box that vectors may touch


@dataclass(frozen=True)
class Dim:
    """One dimension of the image: place = const + sum of coefficients; `batch`, `cols`, `terms` as in the spec."""

    size: int
    stride: int
    step: int
    const: int
    batch: tuple[int, ...]
    cols: tuple[int, ...]
    terms: tuple[int, ...]


@dataclass(frozen=True)
class WindowSpec:
    """C[batch, rows, cols] = sum over terms of A[batch, rows, terms] * window[batch, cols, terms]."""

    dtype: str
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    terms: tuple[int, ...]
    a_offset: int
    a_batch: tuple[int, ...]
    a_rows: tuple[int, ...]
    a_terms: tuple[int, ...]
    dims: tuple[Dim, ...]
    parts: int = 3  # of so many bfloat16 numbers an operand's element may be made
    pairs: bool = False  # elements are pairs of bfloat16 numbers, each as large as a float

    @property
    def m(self) -> int:
        return prod(self.rows)

    @property
    def n(self) -> int:
        return prod(self.cols)

    @property
    def k(self) -> int:
        return prod(self.terms)

    @property
    def size(self) -> int:
        return 8 if self.dtype == "double" else 4

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k * prod(self.batch)

    @property
    def by_terms(self) -> bool:
        """Whether the image's last dimension runs along the terms rather than the columns."""
        last = self.dims[-1]
        along_terms = max((n for n, c in zip(self.terms, last.terms, strict=True) if c), default=0)
        return along_terms > max((n for n, c in zip(self.cols, last.cols, strict=True) if c), default=0)


def spec_of(nest: WindowNest, dtype: str) -> WindowSpec:
    """The numbers of a nest."""
    def along(x: Index, variables: tuple[Var, ...]) -> tuple[int, ...]:
        return tuple(x.coefficient(v) or 0 for v in variables)

    flat = ravel(nest.a_at, nest.a.shape)
    dims: list[Dim] = []
    stride = 1
    for x, step, n in zip(reversed(nest.b_at), reversed(nest.b_step), reversed(nest.b.shape), strict=True):
        dims.insert(0, Dim(n, stride, step, x.const, along(x, nest.batch), along(x, nest.cols), along(x, nest.terms)))
        stride *= n
    sizes = [tuple(v.size for v in group) for group in (nest.batch, nest.rows, nest.cols, nest.terms)]
    return WindowSpec(dtype, sizes[0], sizes[1], sizes[2], sizes[3], flat.const, along(flat, nest.batch),
                      along(flat, nest.rows), along(flat, nest.terms), tuple(dims), nest.parts, nest.a.dtype is uint32)


@dataclass(frozen=True)
class Edge:
    """One dimension of a box: its first place (`low`, besides what moves the box), places, and elements apart."""

    low: int
    count: int
    stride: int


@dataclass(frozen=True)
class Box:
    """A box, or the image itself (`copied` false: edges then only say where the first element is).

    `first` is the dimension whose places are only copied as far as the terms of a block reach; -1 where there is none.
    `phases` > 1: along the last dimension every so-many-th place lies together.
    """

    copied: bool
    edges: tuple[Edge, ...]
    first: int
    phases: int
    columns: tuple[int, ...]  # elements from one column to the next, for each variable; of terms: `offset`
    elements: int

    def offsets(self, spec: WindowSpec, terms: tuple[int, ...]) -> list[int]:
        """Of the element for the first column and each of the terms, from that for the first place everywhere."""
        last = len(spec.dims) - 1
        apart = last if self.copied and self.phases > 1 else -1
        start, steps = 0, [0] * len(terms)
        for d, (dim, edge) in enumerate(zip(spec.dims, self.edges, strict=True)):
            if d != apart:
                start += (dim.const - edge.low) * edge.stride
                steps = [s + c * edge.stride for s, c in zip(steps, dim.terms, strict=True)]
        found = sums(start, steps, terms)
        if apart < 0:
            return found
        width = -(-self.edges[last].count // self.phases)
        places = sums(spec.dims[last].const - self.edges[last].low, spec.dims[last].terms, terms)
        return [x + p % self.phases * width + p // self.phases for x, p in zip(found, places, strict=True)]


def sums(start: int, steps: Sequence[int], sizes: tuple[int, ...]) -> list[int]:
    """start + steps * digits for all digits in row-major order."""
    found = [start]
    for step, n in zip(steps, sizes, strict=True):
        found = [x + k * step for x in found for k in range(n)]
    return found


def span(steps: Sequence[int], sizes: Sequence[int]) -> tuple[int, int]:
    """Least and greatest of what variables of some sizes add."""
    moves = [c * (n - 1) for c, n in zip(steps, sizes, strict=True)]
    return sum(min(0, x) for x in moves), sum(max(0, x) for x in moves)


def reach(dim: Dim, cols: tuple[int, ...], terms: tuple[int, ...]) -> tuple[int, int]:
    """Least and greatest place while columns and terms run."""
    low, high = span((*dim.cols, *dim.terms), (*cols, *terms))
    return dim.const + low, dim.const + high


def within(dim: Dim, spec: WindowSpec) -> bool:
    """Whether no place of a dimension is beyond the end, or between elements."""
    (low, high), (least, most) = reach(dim, spec.cols, spec.terms), span(dim.batch, spec.batch)
    return dim.step == 1 and low + least >= 0 and high + most < dim.size


def inside(spec: WindowSpec) -> bool:
    """Whether no window reaches over the end, or between elements."""
    return all(within(dim, spec) for dim in spec.dims)


def image_itself(spec: WindowSpec) -> Box:
    """Windows that are read where they are."""
    edges = tuple(Edge(dim.const, 1, dim.stride) for dim in spec.dims)
    columns = tuple(sum(d.cols[k] * d.stride for d in spec.dims) for k in range(len(spec.cols)))
    return Box(False, edges, -1, 1, columns, 0)


def box_of(spec: WindowSpec, terms: tuple[int, ...], first: int, phases: int) -> Box:
    """The box that all columns and so many of the terms reach; dimension `first` is outermost in it."""
    order = [*([first] if first >= 0 else []), *(d for d in range(len(spec.dims)) if d != first)]
    edges: dict[int, Edge] = {}
    stride = 1
    last = len(spec.dims) - 1
    for d in reversed(order):
        low, high = reach(spec.dims[d], spec.cols, terms)
        count = high - low + 1
        edges[d] = Edge(low, count, stride)
        stride *= -(-count // phases) * phases if d == last else count
    columns = tuple(sum(_column_step(spec, d, k, edges, phases) for d in range(last + 1))
                    for k in range(len(spec.cols)))
    return Box(True, tuple(edges[d] for d in range(last + 1)), first, phases, columns, stride + SLACK)


def _column_step(spec: WindowSpec, d: int, k: int, edges: dict[int, Edge], phases: int) -> int:
    c = spec.dims[d].cols[k]
    return c // phases if phases > 1 and d == len(spec.dims) - 1 else c * edges[d].stride


def digits(position: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major coordinates of a position."""
    found: list[int] = []
    for n in reversed(sizes):
        found.append(position % n)
        position //= n
    return tuple(reversed(found))


def merged(sizes: tuple[int, ...], steps: tuple[int, ...]) -> list[tuple[int, int]]:
    """(size, step) of variables, neighbours that count on through each other as one."""
    found: list[tuple[int, int]] = []
    for n, c in zip(sizes, steps, strict=True):
        if n == 1:
            continue
        if found and found[-1][1] == n * c:
            found[-1] = (found[-1][0] * n, c)
        else:
            found.append((n, c))
    return found or [(1, 0)]


def is_run(sizes: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    return len(merged(sizes, steps)) == 1


__all__ = ["Box", "Dim", "Edge", "WindowSpec", "box_of", "digits", "image_itself", "inside", "is_run", "merged",
           "spec_of", "sums", "within"]

"""The last rewrites of the graph before grouping: forms that loops can be made from.

- Contractions that matrix kernels do badly (one row or column, few terms, integers) become products and a reduction.
- 16-bit operands of contractions are converted first, unless the processor multiplies them: they accumulate in float32.
- A large reduction over the leading dimension becomes partial results of a fixed number of parts (`Chunk`) and a small
  reduction over those: it runs in parallel, and gives the same bits with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import pullback.ops.build as b
from pullback.ir.dtypes import bfloat16, float32
from pullback.ir.index import const, loop_vars, ravel
from pullback.ir.node import Function, Node, Op, Proj, TensorType, apply, primitive, rebuild
from pullback.kernel.nodes import folded
from pullback.ops.monoid import identity
from pullback.passes.layout import layout, lowering
from pullback.schedule import costs
from pullback.schedule.instead import elementwise
from pullback.schedule.invert import solve
from pullback.schedule.masks import masks_of_results
from pullback.schedule.narrow import in_float32
from pullback.schedule.pairs import in_pairs
from pullback.schedule.panels import in_panels
from pullback.schedule.roots import node_size, own_cost, parts
from pullback.schedule.rows import rows_in_order
from pullback.schedule.scatter import in_lots
from pullback.schedule.windows import over_windows, windows_of

FEW_TERMS = 4
NATIVE_LEAST, NATIVE_WORK = 32, 1_000_000  # rows, columns and terms of a product of bfloat16 numbers, and all of them
NATIVE_TERMS = 100_000  # most terms: panels of all of them are kept
PARTS_WORK = 2_000_000  # multiplications and additions from which on two threads gain more than one more join costs
PARTS_TERMS = 512
LEAST_ROWS = 64  # which parts of a reduction share
VECTOR_LEAST = 32  # rows and columns of a matrix from which on its product with one vector is a kernel of its own
PARTS_SHARE = 8  # elements of the operands for each element of the result


@primitive
class Chunk(Op):
    """out[c, kept...] = monoid over the reduced axes of rows c*ceil(n/chunks) ... of the leading dimension."""

    name: ClassVar[str] = "chunk"
    lowering: ClassVar[str] = "chunk"
    monoid: str
    axes: tuple[int, ...]
    chunks: int

    def infer(self, *types: TensorType) -> TensorType:
        kept = (n for k, n in enumerate(types[0].shape) if k not in self.axes)
        return types[0].with_shape((self.chunks, *kept))


def prepare(function: Function, unit: bool = False, native: int = 0) -> Function:
    """Rewrite a function so that every node is a view, or has loops of its own; for the rest see `plan.Options`."""
    function = over_windows(in_float32(masks_of_results(function)))
    cost: dict[Node, int] = {}

    def rule(node: Node) -> Node:
        kind = lowering(node)
        if kind == "contract":
            node = contraction(node, native)
        narrow = node.dtype if lowering(node) == "reduce" and summed_wide(node) else None
        if narrow is not None:
            op: Any = node.op
            node = apply(op, b.convert(node.inputs[0], float32))
        if lowering(node) == "reduce":
            cost.setdefault(node.inputs[0], product_cost(node.inputs[0], cost))
            node = reduction(node, cost)
            node = node if narrow is None else b.convert(node, narrow)
        elif kind == "scatter":
            node = in_lots(gathered(node))
        elif kind == "scan":
            node = in_panels(node, unit)
        cost[node] = own_cost(node) + sum(cost.get(x, 0) for x in node.inputs) if lowering(node) == "view" else 0
        return node

    found = rebuild(function, rule)
    return Function(function.params, distinct(function, list(found.results)))


def past_barriers(function: Function, numbers: frozenset[int]) -> Function:
    """Parameters that arrive as numbers go past barriers: they have no address that a barrier could hand on."""
    params = {function.params[k] for k in numbers}

    def rule(node: Node) -> Node:
        if isinstance(node.op, Proj) and lowering(node.inputs[0]) == "barrier":
            held = node.inputs[0].inputs[node.op.index]
            return held if held in params else node
        return node

    return rebuild(function, rule) if params else function


def gathered(node: Node) -> Node:
    """Writing at static places as reading, where the places can be solved for."""
    op: Any = node.op
    indices = getattr(op, "indices", None)
    source = node.inputs[0]
    if indices is None or not source.tensor.size or not node.tensor.size:
        return node
    if folded(ravel(indices, node.shape)) == ravel(loop_vars(source.shape), source.shape) and (
            source.tensor.size == node.tensor.size):
        return b.reshape(source, node.shape)
    found = solve(indices, source.shape, node.shape, by_rest=True)
    if found is None:
        return node
    free, at = found
    inside = all(x.low >= 0 and x.high < n for x, n in zip(at, source.shape, strict=True))
    fill = None if inside else identity(op.monoid, node.dtype)
    read = b.reindex(source, (*node.shape, *free), at, fill)
    if not free:
        return read
    rank = len(node.shape)
    return b.reduce(op.monoid, read, tuple(range(rank, rank + len(free))))


def distinct(function: Function, results: list[Node]) -> list[Node]:
    """Results that are nodes of their own, so that each has its own memory."""
    taken = set(function.params) | {r for r in results if getattr(r.op, "data", None) is not None}
    found: list[Node] = []
    for node in results:
        while node in taken or (isinstance(node.op, Proj) and lowering(node.inputs[0]) == "barrier"):
            node = b.copy(node)
        taken.add(node)
        found.append(node)
    return found


def of_narrow(product: Node, multiple: int) -> Node:
    """A product of bfloat16 numbers as such, where it is large enough: of whole multiples of terms, or of one more. Of
    pairs also one of float32 numbers that may be rounded to bfloat16 ones."""
    op: Any = product.op
    _, free_x, free_y, terms = map(prod, parts(product))
    if op.parts > 1 or min(free_x, free_y, terms) < NATIVE_LEAST or terms > NATIVE_TERMS:
        return product
    if terms % multiple and op.contracted > 1:
        return product
    narrow = b.narrow_operands(*product.inputs)
    if narrow is None and multiple > 1 and product.inputs[0].dtype is float32:
        x, y = (b.converted(v, bfloat16) for v in product.inputs)
        narrow = x, y
    if narrow is None or narrow[0].dtype is not bfloat16:
        return product
    return but_the_last(op, *narrow) if terms % multiple else apply(op, *narrow)


def but_the_last(op: Any, x: Node, y: Node) -> Node:
    """A product of all terms but the last, and that."""
    most, last = (apply(op, *(b.slice_axis(v, v.tensor.rank - 1, low, high) for v in (x, y)))
                  for low, high in ((0, x.shape[-1] - 1), (x.shape[-1] - 1, x.shape[-1])))
    return b.add(most, products(last, *parts(last)))


def contraction(node: Node, native: int) -> Node:
    """A contraction as it is, with operands widened, or as products and a sum."""
    x, y = node.inputs
    op: Any = node.op
    batch, free_x, free_y, terms = parts(node)
    count, m, n, k = prod(batch), prod(free_x), prod(free_y), prod(terms)
    whole = x.dtype.kind == "f"
    if whole and m == 1 and n > 1 and k > FEW_TERMS and count and windows_of(node, {}) is not None:
        return node
    thin = min(m, n) == 1 and whole and not long_vector_product(x if n == 1 else y, m, n, k)
    if 0 in (count, m, n, k) or k <= FEW_TERMS or x.dtype.kind != "f" or thin:
        return products(node, batch, free_x, free_y, terms)
    if op.dtype is not x.dtype:
        return b.convert(apply(op.replace(dtype=x.dtype), x, y), op.dtype)
    node = rows_in_order(node)
    taken = native_product(node, native) if native and count * m * n * k >= NATIVE_WORK else node
    return in_parts(node, m, n, k) if taken is node else taken


def native_product(node: Node, native: int) -> Node:
    """A product of bfloat16 numbers as the processor takes them; itself where it does not."""
    if windows_of(node, {}) is None:
        return of_narrow(node, native)
    return (in_pairs(node) if native == 2 else None) or node


def long_vector_product(matrix: Node, m: int, n: int, k: int) -> bool:
    """Whether a product of a matrix in memory with one vector is worth a kernel of its own, on all threads.

    A matrix that is computed element by element is not stored for it: its elements are summed up as they are made.
    """
    if max(m, n) < VECTOR_LEAST or k < VECTOR_LEAST or 2 * m * n * k < costs.SERIAL_WORK:
        return False
    base, _ = layout(matrix, loop_vars(matrix.shape), {})
    return lowering(base) != "view"


def in_parts(node: Node, m: int, n: int, k: int) -> Node:
    """A long sum for each of few results as two, side by side, and their sum.

    Each thread then reads (and copies) half of both operands; shared out by rows, each would read all of one.
    """
    x, y = node.inputs
    op: Any = node.op
    if (len(x.shape), len(y.shape), k % 2) != (2, 2, 0) or 2 * m * n * k < PARTS_WORK:
        return node
    if k < PARTS_TERMS or min(m, n) < 8 or PARTS_SHARE * m * n > (m + n) * k:
        return node
    halves = [b.transpose(b.reshape(v, (v.shape[0], 2, k // 2)), (1, 0, 2)) for v in (x, y)]
    sums = apply(op.over(1, 1), halves[0], halves[1])
    row, column = loop_vars((m, n))
    first, second = (b.reindex(sums, (m, n), (const(part), row, column), None) for part in (0, 1))
    return b.add(first, second)


def product_cost(node: Node, cost: dict[Node, int]) -> int:
    """The cost of one element of what a reduction sums up, through views made just now."""
    if node in cost or lowering(node) != "view":
        return cost.get(node, 0)
    return own_cost(node) + sum(product_cost(x, cost) for x in node.inputs)


def products(node: Node, batch: tuple[int, ...], free_x: tuple[int, ...], free_y: tuple[int, ...],
             terms: tuple[int, ...]) -> Node:
    """sum over k of a[..] * b[..] as loops: the terms innermost, or outermost where that is how memory lies."""
    x, y = node.inputs
    op: Any = node.op
    if terms and prod(terms) == 1:  # an outer product: one row each of one element would be no loop to vectorise
        x, y = (b.reshape(v, v.shape[:len(v.shape) - len(terms)]) for v in (x, y))
        terms = ()
    wide = float32 if x.dtype.kind == "f" and x.dtype.itemsize < 4 else op.dtype
    sizes = [("batch", n) for n in batch] + [("x", n) for n in free_x] + [("y", n) for n in free_y]
    out_rank, k_rank = len(sizes), len(terms)
    first = k_rank and terms_outside(x, y, len(batch), len(free_x), len(free_y), k_rank)
    shape = (*terms, *(n for _, n in sizes)) if first else (*(n for _, n in sizes), *terms)
    shift, k_at = (k_rank, 0) if first else (0, out_rank)
    n = len(batch)
    dims_x = [*range(shift, shift + n + len(free_x)), *range(k_at, k_at + k_rank)]
    dims_y = [*range(shift, shift + n), *range(shift + n + len(free_x), shift + out_rank), *range(k_at, k_at + k_rank)]
    left, right = (spread(v, dims, shape, wide) for v, dims in ((x, dims_x), (y, dims_y)))
    product = b.mul(left, right)
    if k_rank:
        product = b.reduce("add", product, tuple(range(k_at, k_at + k_rank)))
    return b.convert(product, op.dtype)


def spread(x: Node, dims: list[int], shape: tuple[int, ...], dtype: Any) -> Node:
    """A broadcast whose dimensions may be in any order."""
    order = sorted(range(len(dims)), key=dims.__getitem__)
    if order != list(range(len(dims))):
        x = b.transpose(x, order)
    return b.broadcast(b.convert(x, dtype), shape, tuple(sorted(dims)))


def terms_outside(x: Node, y: Node, batch: int, free_x: int, free_y: int, terms: int) -> bool:
    """Whether the larger operand is contiguous along its last free dimension rather than along the terms."""
    big, free = (x, free_x) if x.tensor.size >= y.tensor.size else (y, free_y)
    if not free or big.shape[-1] == 1 or batch:
        return False
    indices = loop_vars(big.shape)
    _, at = layout(big, indices, {})
    return bool(at) and indices[free - 1] == at[-1]


def summed_wide(node: Node) -> bool:
    """Whether a sum is of 16-bit numbers: added up in single precision, in which products may read them too."""
    op: Any = node.op
    return op.monoid == "add" and node.dtype.kind == "f" and node.dtype.itemsize == 2


def row_shape(source: Node) -> tuple[int, ...]:
    """In which shape all of an array is added up: one row; where neighbours in it are none in memory, such parts of it
    as are read in loops of their own."""
    shape = source.shape
    if not arranged(source) or shape[-1] < 16:
        return (source.tensor.size,)
    lead = next((k for k in range(1, len(shape)) if prod(shape[:k]) >= LEAST_ROWS), 0)
    return (prod(shape[:lead]), *shape[lead:]) if lead else (source.tensor.size,)


def arranged(source: Node) -> bool:
    """Whether elements are read at other places than in order: borders, arrays side by side, other arrangements."""
    seen: set[Node] = set()
    pending = [source]
    while pending:
        node = pending.pop()
        if node in seen or node_size(node) != node_size(source):
            continue
        seen.add(node)
        if elementwise(node):
            pending.extend(node.inputs)
        elif lowering(node) == "view" and node.inputs:
            inner = loop_vars(node.shape)
            base, at = layout(node, inner, {})
            if node_size(base) == 1:
                continue
            if base is node or node_size(base) != node_size(node) or folded(ravel(at, base.shape)) != folded(
                    ravel(inner, node.shape)):
                return True
            pending.append(base)
    return False


def reduction(node: Node, cost: dict[Node, int]) -> Node:
    """Split a reduction over the leading dimension where it is long enough to be worth threads."""
    source = node.inputs[0]
    op: Any = node.op
    total = source.tensor.size
    if not total or not op.axes:
        return node
    work = total * (1 + cost.get(source, 0))
    if work < costs.CHUNK_WORK:
        return node
    rows, everything = source.shape[0], len(op.axes) == source.tensor.rank
    if everything and source.tensor.rank > 1 and rows < LEAST_ROWS:
        shape = row_shape(source)
        source, op, rows = b.reshape(source, shape), op.replace(axes=tuple(range(len(shape)))), shape[0]
    if op.axes[0] != 0 or rows < 16:
        return node
    kept = node_size(node)
    parts_ = costs.chunks_of(rows)
    cheap = kept >= 256 and cost.get(node.inputs[0], 0) < costs.EXPENSIVE
    if not everything and (cheap or kept * parts_ * 4 > total):
        return node
    if not everything and any(k != a for k, a in enumerate(op.axes)):
        return node
    partial = apply(Chunk(op.monoid, op.axes, parts_), source)
    return apply(op.replace(axes=(0,)), partial)


__all__: Sequence[str] = ["Chunk", "prepare"]

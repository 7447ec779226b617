"""Products of matrices and vectors: all of them one contraction between layout changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pullback.api._lazy import build
from pullback.api.arguments import UNSET, as_tensor, axes_of, axis_of, described, number, ordered_axes
from pullback.api.reductions import floating, kept, root, summable, total
from pullback.engine.operation import broadcast_to, operation
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message

Array = Any


def product(x: Node, y: Node, name: str = "matmul") -> Node:
    """The matrix product of nodes of one dtype, batches broadcast."""
    if x.dtype.kind == "b":
        return build.convert(product(build.convert(x, dtypes.int32), build.convert(y, dtypes.int32), name),
                             dtypes.bool_)
    p, q = len(x.shape), len(y.shape)
    if p == 0 or q == 0:
        raise ShapeError(message(f"{name}: operands need at least one dimension",
                                 [("x", repr(x.type)), ("y", repr(y.type))], "multiply by a number with *"))
    inner = y.shape[0] if q == 1 else y.shape[-2]
    if x.shape[-1] != inner:
        _mismatch(x, y, name)
    if q == 1:
        return build.contract(x, y, 0, 1)
    turned = build.transpose(y, (*range(q - 2), q - 1, q - 2))
    if q == 2:
        return build.contract(x, turned, 0, 1)
    if p == 1:
        return build.contract(turned, x, 0, 1)
    if p == 2:
        found = build.contract(turned, x, 0, 1)
        return build.transpose(found, (*range(q - 2), q - 1, q - 2))
    batch = batch_of(x, y, name)
    k = len(batch)
    return build.contract(broadcast_to(x, (*batch, *x.shape[-2:])), broadcast_to(turned, (*batch, *turned.shape[-2:])),
                          k, 1)


def batch_of(x: Node, y: Node, name: str) -> tuple[int, ...]:
    first, second = x.shape[:-2], y.shape[:-2]
    rank = max(len(first), len(second))
    padded = [(1,) * (rank - len(s)) + s for s in (first, second)]
    for m, n in zip(*padded, strict=True):
        if m != n and 1 not in (m, n):
            raise ShapeError(message(f"{name}: batch dimensions cannot be broadcast together",
                                     [("x", repr(x.type)), ("y", repr(y.type))],
                                     f"sizes {m} and {n} must be equal or 1"))
    return tuple(n if m == 1 else m for m, n in zip(*padded, strict=True))


def _mismatch(x: Node, y: Node, name: str) -> None:
    left, right = x.tensor.rank, y.tensor.rank
    at = 0 if right == 1 else right - 2
    help_text = "the last dimension of x must equal the last but one of y"
    if right >= 2 and x.shape[-1] == y.shape[-1]:
        help_text = "did you mean y.T?" if right == 2 else "did you mean y.mT?"
    elif left >= 2 and x.shape[-2] == y.shape[at]:
        help_text = "did you mean x.T?" if left == 2 else "did you mean x.mT?"
    raise ShapeError(message(f"{name}: contracted dimensions must have equal sizes", [
        ("x", f"{x.type!r}   dimension {left - 1} is {x.shape[-1]}"),
        ("y", f"{y.type!r}   dimension {at} is {y.shape[at]}")], help_text))


@operation(promote="dtype")
def _matmul(x: Node, y: Node) -> Node:
    return product(x, y)


matmul_operation = _matmul


def matmul(x: Array, y: Array) -> Array:
    """The matrix product: vectors, matrices, and batches of matrices that broadcast.

    >>> import pullback as pb
    >>> pb.matmul(pb.ones(2, 3), pb.ones(3))
    Tensor([3., 3.], dtype=float32)
    """
    return _matmul(x, y)


@operation(promote="dtype")
def _dot(x: Node, y: Node) -> Node:
    """NumPy's dot: the last dimension of x with the last but one of y, without batches."""
    if not x.shape or not y.shape:
        return build.mul(*(broadcast_to(v, max(x.shape, y.shape, key=len)) for v in (x, y)))
    if len(y.shape) <= 2 or len(x.shape) == 1:
        return product(x, y, "dot")
    if x.shape[-1] != y.shape[-2]:
        _mismatch(x, y, "dot")
    q = len(y.shape)
    return build.contract(x, build.transpose(y, (*range(q - 2), q - 1, q - 2)), 0, 1)


def dot(x: Array, y: Array) -> Array:
    """The sum of products of two vectors; for more dimensions NumPy's rule.

    >>> import pullback as pb
    >>> pb.dot(pb.tensor([1.0, 2.0]), pb.tensor([3.0, 4.0]))
    Tensor(11., dtype=float32)
    """
    return _dot(x, y)


def _ranked(x: Node, rank: int, name: str) -> Node:
    if len(x.shape) != rank:
        raise ShapeError(message(f"{name}: needs {rank} dimension{'s' * (rank != 1)}", [("x", repr(x.type))],
                                 "use matmul for other ranks"))
    return x


@operation(promote="dtype")
def _mm(x: Node, y: Node) -> Node:
    return product(_ranked(x, 2, "mm"), _ranked(y, 2, "mm"), "mm")


def mm(x: Array, y: Array) -> Array:
    """The product of two matrices."""
    return _mm(x, y)


@operation(promote="dtype")
def _bmm(x: Node, y: Node) -> Node:
    if _ranked(x, 3, "bmm").shape[0] != _ranked(y, 3, "bmm").shape[0]:
        raise ShapeError(message("bmm: batches must have equal sizes", [("x", repr(x.type)), ("y", repr(y.type))],
                                 "use matmul for batches that broadcast"))
    return product(x, y, "bmm")


def bmm(x: Array, y: Array) -> Array:
    """The products of two batches of matrices."""
    return _bmm(x, y)


@operation(promote="dtype")
def _mv(x: Node, y: Node) -> Node:
    return product(_ranked(x, 2, "mv"), _ranked(y, 1, "mv"), "mv")


def mv(x: Array, y: Array) -> Array:
    """The product of a matrix and a vector."""
    return _mv(x, y)


@operation(promote="dtype")
def _inner(x: Node, y: Node) -> Node:
    if not x.shape or not y.shape:
        return build.mul(*(broadcast_to(v, max(x.shape, y.shape, key=len)) for v in (x, y)))
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(message("inner: last dimensions must have equal sizes",
                                 [("x", repr(x.type)), ("y", repr(y.type))], "reshape one of them"))
    return build.contract(x, y, 0, 1)


def inner(x: Array, y: Array) -> Array:
    """Sums of products over the last dimensions."""
    return _inner(x, y)


@operation(promote="dtype")
def _outer(x: Node, y: Node) -> Node:
    return build.contract(build.reshape(x, (x.tensor.size,)), build.reshape(y, (y.tensor.size,)), 0, 0)


def outer(x: Array, y: Array) -> Array:
    """All products of an element of x with one of y."""
    return _outer(x, y)


@operation(promote="broadcast")
def _vecdot(x: Node, y: Node, axis: int) -> Node:
    if x.dtype.kind == "c":
        x = build.unary("conj", x)
    return build.reduce("add", build.mul(x, y), (axis % len(x.shape),))


def vecdot(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """Sums of products along an axis, the other dimensions broadcast; x is conjugated."""
    x, y = as_tensor(x, "vecdot"), as_tensor(y, "vecdot")
    k = axis_of(axis, max(x.ndim, y.ndim, 1), "vecdot", x) - max(x.ndim, y.ndim)
    if min(x.ndim, y.ndim) < -k or x.shape[k] != y.shape[k]:
        raise ShapeError(message("vecdot: the axis must have equal sizes", [("x", described(x)), ("y", described(y))],
                                 "both need the axis"))
    return _vecdot(x, y, axis=k)


def vdot(x: Array, y: Array) -> Array:
    """The sum of products of all elements; x is conjugated."""
    from pullback.api.manipulation import ravel

    return vecdot(ravel(x), ravel(y))


@operation(promote="dtype")
def _tensordot(x: Node, y: Node, left: tuple[int, ...], right: tuple[int, ...]) -> Node:
    orders = [(*(k for k in range(len(v.shape)) if k not in axes), *axes) for v, axes in ((x, left), (y, right))]
    return build.contract(build.transpose(x, orders[0]), build.transpose(y, orders[1]), 0, len(left))


def tensordot(x: Array, y: Array, axes: Any = 2, *, dims: Any = UNSET) -> Array:
    """Sums of products over several axes: a number (the last of x with the first of y) or a pair of lists."""
    x, y = as_tensor(x, "tensordot"), as_tensor(y, "tensordot")
    axes = axes if dims is UNSET else dims
    if isinstance(axes, int):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ShapeError(message(f"tensordot: cannot contract {axes} dimensions",
                                     [("x", described(x)), ("y", described(y))],
                                     f"axes must be from 0 to {min(x.ndim, y.ndim)}"))
        left, right = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    else:
        if not isinstance(axes, (tuple, list)) or len(axes) != 2:
            raise ArgumentError(message("tensordot: axes must be a number or a pair of lists", [("axes", repr(axes))],
                                        "for example ([1], [0])"))
        left, right = ordered_axes(axes[0], x.ndim, "tensordot", x), ordered_axes(axes[1], y.ndim, "tensordot", y)
    if [x.shape[k] for k in left] != [y.shape[k] for k in right]:
        raise ShapeError(message("tensordot: contracted dimensions must have equal sizes",
                                 [("x", f"{described(x)}   axes {left}"), ("y", f"{described(y)}   axes {right}")],
                                 "pair axes of equal sizes"))
    return _tensordot(x, y, left=left, right=right)


# -- einsum ------------------------------------------------------------------------------------------------------------


@lru_cache(1024)
def _labels(equation: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The labels of each operand and of the result; an ellipsis becomes capital letters not used otherwise."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    plain = [t.replace("...", "") for t in terms]
    if len(terms) != len(ranks):
        _refuse(equation, f"{len(terms)} terms for {len(ranks)} arrays")
    for term, p in zip(terms, plain, strict=True):
        if not all(c.isalpha() and c.isascii() for c in p) or term.count("...") > 1:
            _refuse(equation, f"cannot read {term!r}")
    spans = [rank - len(p) for rank, p in zip(ranks, plain, strict=True)]
    for term, span, rank in zip(terms, spans, ranks, strict=True):
        if span < 0 or (span and "..." not in term):
            _refuse(equation, f"{term!r} does not name the {rank} dimensions of its array")
    free = list(map(chr, range(0x3B1, 0x400)))
    width = max([s for t, s in zip(terms, spans, strict=True) if "..." in t], default=0)
    dots = "".join(free[:width])
    expanded = tuple(t.replace("...", dots[width - s:]) if "..." in t else t for t, s in zip(terms, spans, strict=True))
    if arrow:
        result = right.replace("...", dots)
    else:
        every = "".join(plain)
        result = dots + "".join(c for c in sorted(set(every)) if every.count(c) == 1)
    known = set("".join(expanded))
    if len(set(result)) != len(result) or not set(result) <= known:
        _refuse(equation, f"the result {right!r} must name different labels of the arrays")
    return expanded, result


def _refuse(equation: str, why: str) -> None:
    raise ValueError_(message(f"einsum: {why}", [("equation", repr(equation))],
                              "for example 'ij,jk->ik' or 'bij,bjk->bik'"))


def _sizes(nodes: Sequence[Node], labels: Sequence[str], equation: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for node, text in zip(nodes, labels, strict=True):
        for label, n in zip(text, node.shape, strict=True):
            known = sizes.setdefault(label, n)
            if known != n:
                if known != 1 and n != 1:
                    raise ShapeError(message(f"einsum: label {label!r} has sizes {known} and {n}",
                                             [("equation", repr(equation)),
                                              *((f"x{k}", repr(v.type)) for k, v in enumerate(nodes))],
                                             "a label stands for one size everywhere"))
                sizes[label] = max(known, n)
    return sizes


def _own(node: Node, labels: str, needed: set[str]) -> tuple[Node, str]:
    """Repeated labels taken as diagonals, labels that nobody else needs summed."""
    from pullback.ir.index import loop_vars

    distinct = "".join(dict.fromkeys(labels))
    if distinct != labels:
        shape = tuple(max(n for c, n in zip(labels, node.shape, strict=True) if c == d) for d in distinct)
        over = loop_vars(shape)
        node = build.reindex(node, shape, [over[distinct.index(c)] for c in labels])
    gone = [k for k, c in enumerate(distinct) if c not in needed]
    return build.reduce("add", node, gone), "".join(c for c in distinct if c in needed)


def _pair(x: Node, a: str, y: Node, b: str, needed: set[str], sizes: dict[str, int]) -> tuple[Node, str]:
    """Two operands as one contraction. A label of size 1 in one of them only broadcasts: it is dropped there first."""
    (x, a), (y, b) = (_drop_ones(v, t, sizes) for v, t in ((x, a), (y, b)))
    (x, a), (y, b) = _own(x, a, needed | set(b)), _own(y, b, needed | set(a))
    shared = [c for c in a if c in b and c in needed]
    summed = [c for c in a if c in b and c not in needed]
    free = [[c for c in t if c not in shared and c not in summed] for t in (a, b)]
    left = build.transpose(x, [a.index(c) for c in (*shared, *free[0], *summed)])
    right = build.transpose(y, [b.index(c) for c in (*shared, *free[1], *summed)])
    return build.contract(left, right, len(shared), len(summed)), "".join((*shared, *free[0], *free[1]))


def _drop_ones(x: Node, labels: str, sizes: dict[str, int]) -> tuple[Node, str]:
    gone = [k for k, c in enumerate(labels) if x.shape[k] == 1 and sizes[c] != 1]
    return build.squeeze(x, gone), "".join(c for k, c in enumerate(labels) if k not in gone)


def einsum_nodes(equation: str, nodes: Sequence[Node]) -> Node:
    """Operands joined from left to right; each join is one contraction."""
    labels, result = _labels(equation, tuple(len(n.shape) for n in nodes))
    sizes = _sizes(nodes, labels, equation)
    x, a = nodes[0], labels[0]
    for k, (y, b) in enumerate(zip(nodes[1:], labels[1:], strict=True), 1):
        needed = set(result).union(*labels[k + 1:])
        x, a = _pair(x, a, y, b, needed, sizes)
    x, a = _own(*_drop_ones(x, a, sizes), set(result))
    ordered = build.transpose(x, [a.index(c) for c in result if c in a])
    shape = tuple(sizes[c] for c in result)
    return build.broadcast(ordered, shape, tuple(k for k, c in enumerate(result) if c in a))


@operation(promote="dtype")
def _einsum(*xs: Node, equation: str) -> Node:
    return einsum_nodes(equation, xs)


def einsum(equation: str, *arrays: Array) -> Array:
    """Sums of products named by index letters.

    >>> import pullback as pb
    >>> pb.einsum("ij,jk->ik", pb.ones(2, 3), pb.ones(3, 2))
    Tensor([[3., 3.],
            [3., 3.]], dtype=float32)
    """
    if not isinstance(equation, str):
        raise ArgumentError(message("einsum: the first argument must be an equation",
                                    [("given", type(equation).__name__)], "for example pb.einsum('ij,jk->ik', x, y)"))
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        arrays = tuple(arrays[0])
    if not arrays:
        raise ArgumentError(message("einsum: no arrays are given", [("equation", repr(equation))], "give one per term"))
    return _einsum(*arrays, equation=equation)


# -- sums of products with a summand -----------------------------------------------------------------------------------


@operation(promote="dtype")
def _addmm(c: Node, x: Node, y: Node, beta: Node, alpha: Node, ignored: bool) -> Node:
    found = product(x, y, "addmm")
    shape = found.shape
    if ignored:  # NaN and infinities of it too
        c = build.select(build.full(c.shape, True, dtypes.bool_), build.zeros_like(c), c)
    parts = [build.mul(broadcast_to(build.reshape(s, ()), shape), v) for s, v in
             ((beta, broadcast_to(c, shape)), (alpha, found))]
    return build.add(*parts)


def _is_zero(beta: Any) -> bool:
    return isinstance(beta, (bool, int, float)) and not beta


def addmm(input: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (mat1 @ mat2)."""
    x, y, c = _ranked(mat1, 2, "addmm"), _ranked(mat2, 2, "addmm"), as_tensor(input, "addmm")
    _fits(c, (x.shape[0], y.shape[1]), "addmm")
    return _addmm(c, x, y, beta, alpha, ignored=_is_zero(beta))


def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (batch1 @ batch2), for batches of matrices."""
    x, y, c = _ranked(batch1, 3, "baddbmm"), _ranked(batch2, 3, "baddbmm"), as_tensor(input, "baddbmm")
    _fits(c, (x.shape[0], x.shape[1], y.shape[2]), "baddbmm")
    return _addmm(c, x, y, beta, alpha, ignored=_is_zero(beta))


def addmv(input: Array, mat: Array, vec: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (mat @ vec)."""
    x, y, c = _ranked(mat, 2, "addmv"), _ranked(vec, 1, "addmv"), as_tensor(input, "addmv")
    _fits(c, (x.shape[0],), "addmv")
    return _addmm(c, x, y, beta, alpha, ignored=_is_zero(beta))


def addr(input: Array, vec1: Array, vec2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * outer(vec1, vec2)."""
    x, y, c = _ranked(vec1, 1, "addr"), _ranked(vec2, 1, "addr"), as_tensor(input, "addr")
    _fits(c, (x.shape[0], y.shape[0]), "addr")
    from pullback.api.manipulation import reshape

    return _addmm(c, reshape(x, (-1, 1)), reshape(y, (1, -1)), beta, alpha, ignored=_is_zero(beta))


def _fits(c: Any, shape: tuple[int, ...], name: str) -> None:
    lead = len(shape) - c.ndim
    if lead < 0 or any(n not in (1, shape[lead + k]) for k, n in enumerate(c.shape)):
        raise ShapeError(message(f"{name}: the summand does not broadcast to {shape}", [("input", described(c))],
                                 "sizes must be equal or 1"))


# -- norms, traces -----------------------------------------------------------------------------------------------------


@operation()
def _trace(x: Node, offset: int) -> Node:
    from pullback.api.views import _read_diagonal

    return total(summable(_read_diagonal.define(x, offset, len(x.shape) - 2, len(x.shape) - 1), None),
                 (-1 % (len(x.shape) - 1),))


def trace(x: Array, /, *, offset: int = 0) -> Array:
    """The sum of the diagonal of matrices."""
    x = as_tensor(x, "trace")
    if x.ndim < 2:
        raise ShapeError(message("trace: needs at least two dimensions", [("x", described(x))], "pass a matrix"))
    return _trace(x, offset=offset)


@operation(promote="float")
def _vector_norm(x: Node, p: float, axes: tuple[int, ...] | None, keepdims: bool, dtype: DType | None) -> Node:
    x = floating(x, dtype)
    return kept(norm_nodes(x, p, axes), x, axes, keepdims)


def norm_nodes(x: Node, p: float, axes: tuple[int, ...] | None) -> Node:
    """(sum |x|^p)^(1/p) over axes; the derivative at 0 is 0 for p = 2."""
    gone = tuple(range(len(x.shape))) if axes is None else axes
    size = build.unary("abs", x) if p != 2 or x.dtype.kind == "c" else x
    if p == float("inf") or p == float("-inf"):
        return build.reduce("max" if p > 0 else "min", size, gone)
    if p == 0:
        return build.reduce("add", build.convert(build.binary("ne", size, build.zeros_like(size)), size.dtype), gone)
    if p == 1:
        return build.reduce("add", size, gone)
    if p == 2:
        return root(build.reduce("add", build.square(size), gone))
    zero = build.binary("eq", size, build.zeros_like(size))  # has derivative 0, whatever p
    safe = build.binary("pow", build.select(zero, build.ones_like(size), size), build.scalar_like(size, p))
    powers = build.reduce("add", build.select(zero, build.zeros_like(size), safe), gone)
    none = build.reduce("or" if p < 0 else "and", zero, gone) if p < 1 else \
        build.binary("eq", powers, build.zeros_like(powers))  # they may vanish
    found = build.binary("pow", build.select(none, build.ones_like(powers), powers), build.scalar_like(powers, 1 / p))
    return build.select(none, build.zeros_like(found), found)


def vector_norm(x: Array, ord: float = 2, axis: Any = None, keepdims: bool = False, *, dim: Any = UNSET,
                keepdim: Any = UNSET, dtype: Any = None) -> Array:
    """(sum |x|^ord)^(1/ord) over axes (all by default); `ord` may be 0, inf and -inf."""
    x = as_tensor(x, "norm")
    axis = axis if dim is UNSET else dim
    from pullback.ir.dtypes import dtype_of

    return _vector_norm(x, p=float(number(ord, "norm", "ord")),
                        axes=None if axis is None else axes_of(axis, x.ndim, "norm", x),
                        keepdims=bool(keepdims if keepdim is UNSET else keepdim),
                        dtype=None if dtype is None else dtype_of(dtype))


def norm(x: Array, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, axis: Any = UNSET, keepdims: Any = UNSET,
         ord: Any = UNSET, dtype: Any = None) -> Array:
    """The norm of vectors: Euclidean by default, or the p-norm over axes.

    >>> import pullback as pb
    >>> pb.norm(pb.tensor([3.0, 4.0]))
    Tensor(5., dtype=float32)
    """
    order = p if ord is UNSET else ord
    if order == "nuc":
        from pullback.api.spectra import matrix_norm

        axes = dim if axis is UNSET else axis
        return matrix_norm(x, ord="nuc", axis=(-2, -1) if axes is None else axes,
                           keepdims=keepdim if keepdims is UNSET else keepdims, dtype=dtype)
    return vector_norm(x, 2 if order in ("fro", None) else order, dim if axis is UNSET else axis,
                       keepdim if keepdims is UNSET else keepdims, dtype=dtype)


@operation(promote="dtype")
def _kron(x: Node, y: Node) -> Node:
    rank = max(len(x.shape), len(y.shape))
    a, b = (build.reshape(v, (1,) * (rank - len(v.shape)) + v.shape) for v in (x, y))
    pairs = build.contract(build.reshape(a, (a.tensor.size,)), build.reshape(b, (b.tensor.size,)), 0, 0)
    spread = build.reshape(pairs, (*a.shape, *b.shape))
    order = [k for j in range(rank) for k in (j, rank + j)]
    return build.reshape(build.transpose(spread, order), tuple(m * n for m, n in zip(a.shape, b.shape, strict=True)))


def kron(x: Array, y: Array) -> Array:
    """The Kronecker product."""
    return _kron(x, y)


def cross(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """The vector product of vectors with three elements along an axis."""
    from pullback.api.manipulation import broadcast_arrays, roll

    a, b = broadcast_arrays(x, y)
    k = axis_of(axis, a.ndim, "cross", a)
    if a.shape[k] != 3:
        raise ShapeError(message("cross: the axis must have size 3", [("x", described(a))], "vectors have 3 elements"))
    return roll(a * roll(b, -1, k) - roll(a, -1, k) * b, -1, k)

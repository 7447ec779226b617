"""Building blocks of decompositions: products, triangles and solutions of batches of matrices, as nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pullback.ops.build as b
from pullback.ir.dtypes import bool_, int32
from pullback.ir.node import Function, Node, TensorType, param
from pullback.util.errors import DTypeError, ShapeError, message


def check_matrix(name: str, x: TensorType, square: bool = False) -> None:
    """Check that a type is a batch of floating-point matrices."""
    if x.rank < 2:
        raise ShapeError(message(f"{name}: needs at least two dimensions", [("x", repr(x))], "pass a matrix"))
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(message(f"{name}: matrices must be square", [("x", repr(x))],
                                 f"sizes {x.shape[-2]} and {x.shape[-1]} differ"))
    if x.dtype.kind not in "fc" or x.dtype.itemsize < 4:
        raise DTypeError(message(f"{name}: needs float32, float64 or complex numbers", [("x", repr(x))],
                                 "convert it, for example x.astype(float32)"))


def turned(x: Node) -> Node:
    """The last two dimensions exchanged."""
    rank = x.tensor.rank
    return b.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def conj(x: Node) -> Node:
    return b.unary("conj", x) if x.dtype.kind == "c" else x


def adjoint(x: Node) -> Node:
    """The conjugate of `turned`."""
    return turned(conj(x))


def mm(x: Node, y: Node) -> Node:
    """The product of matrices of equal batches."""
    return b.contract(x, turned(y), x.tensor.rank - 2, 1)


def at(x: Node, axis: int) -> Node:
    """The index along an axis, as int32 in x's shape."""
    return b.iota(x.shape, axis % x.tensor.rank, int32)


def where(condition: Node, x: Node, y: Any) -> Node:
    """x where the condition holds, else y (a node or a number)."""
    return b.select(condition, x, y if isinstance(y, Node) else b.scalar_like(x, y))


def tril(x: Node, offset: int = 0) -> Node:
    """The elements on and below a diagonal, zeros above."""
    row, column = at(x, -2), at(x, -1)
    return where(b.binary("le", column, b.add(row, b.scalar_like(row, offset))), x, 0)


def triu(x: Node, offset: int = 0) -> Node:
    """The elements on and above a diagonal, zeros below."""
    row, column = at(x, -2), at(x, -1)
    return where(b.binary("ge", column, b.add(row, b.scalar_like(row, offset))), x, 0)


def diagonal(x: Node) -> Node:
    """The diagonals of matrices."""
    from pullback.ir.index import loop_vars

    shape = (*x.shape[:-2], min(x.shape[-2:]))
    over = loop_vars(shape)
    return b.reindex(x, shape, [*over, over[-1]])


def eye_like(x: Node) -> Node:
    """The identity in every matrix of x's shape."""
    return where(b.binary("eq", at(x, -2), at(x, -1)), b.ones_like(x), 0)


def rows(x: Node, shape: Sequence[int]) -> Node:
    """x[..., i] in every column of matrices."""
    return b.broadcast(x, tuple(shape), tuple(range(x.tensor.rank)))


def columns(x: Node, shape: Sequence[int]) -> Node:
    """x[..., j] in every row of matrices."""
    rank = len(shape)
    return b.broadcast(x, tuple(shape), (*range(rank - 2), rank - 1))


def cut(x: Node, m: int, n: int) -> Node:
    """The first m rows and n columns."""
    return b.slice_axis(b.slice_axis(x, -2, 0, m), -1, 0, n)


def flat_batch(x: Node) -> Node:
    """The batch dimensions as one."""
    return b.reshape(x, (b.count(x.shape[:-2]), *x.shape[-2:]))


def loop(body: Callable[..., Sequence[Node]], length: int, carry: Sequence[Node], xs: Sequence[Node] = (),
         consts: Sequence[Node] = (), reverse: bool = False) -> tuple[Node, ...]:
    """`Scan` of body(step, consts..., carry..., slices of xs...)."""
    from pullback.ops.loops import Scan

    types = [*(c.tensor for c in (*consts, *carry)), TensorType.of((), int32),
             *(x.tensor.with_shape(x.shape[1:]) for x in xs)]
    params = [param(t) for t in types]
    many = len(consts) + len(carry)
    step = params[many]
    function = Function(params, body(step, *params[:many], *params[many + 1:]))
    op = Scan(function, length, len(consts), len(carry), reverse)
    return b.project(b.apply(op, *consts, *carry, b.iota((length,), 0, int32), *xs))


def repeat_while(condition: Callable[..., Node], body: Callable[..., Sequence[Node]],
                 state: Sequence[Node]) -> tuple[Node, ...]:
    """`While` of a condition and a body on a state."""
    from pullback.ops.loops import While

    first, second = ([param(x.tensor) for x in state] for _ in range(2))
    op = While(Function(first, [condition(*first)]), Function(second, body(*second)), 0)
    return b.project(b.apply(op, *state))


def is_step(x: Node, axis: int, step: Node, row: str = "eq") -> Node:
    """Whether the index along an axis compares so with a step of a loop."""
    return b.binary(row, at(x, axis), b.broadcast(step, x.shape, ()))


def any_of(x: Node) -> Node:
    """Whether any element of a bool array is true."""
    assert x.dtype is bool_
    return b.reduce("or", x, tuple(range(x.tensor.rank)))

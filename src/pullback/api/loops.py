"""Loops over numbers and over arrays, and types of results without computing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api.arguments import as_tensor, integer
from pullback.api.manipulation import concat
from pullback.engine.control import cond, scan, while_loop
from pullback.engine.functional import Traced, vmap
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import Info, Value
from pullback.ir import dtypes
from pullback.ir.node import TensorType
from pullback.util import tree
from pullback.util.errors import ShapeError, message

Array = Any


def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """`for i in range(lower, upper): state = body(i, state)`, as one compiled loop.

    Differentiable where both limits are Python integers.

    >>> import pullback as pb
    >>> pb.fori_loop(0, 5, lambda i, total: total + i, 0)
    Tensor(10, dtype=int32)
    """
    if isinstance(lower, TensorBase) or isinstance(upper, TensorBase):

        def turn(state: Any) -> Any:
            i, inner = state
            return i + 1, body(i, inner)

        start, stop = as_tensor(lower, "fori_loop"), as_tensor(upper, "fori_loop")
        return while_loop(lambda state: state[0] < stop, turn, (start, init))[1]
    first, last = integer(lower, "fori_loop", "lower"), integer(upper, "fori_loop", "upper")
    if last <= first:
        return tree.map(lambda x: as_tensor(x, "fori_loop"), init)

    def step(state: Any, _: Any) -> Any:
        i, inner = state
        return (i + 1, body(i, inner)), None

    counter = from_host(first, dtypes.int32)
    return scan(step, (counter, init), None, last - first)[0][1]


def while_at_most(condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, limit: int) -> Any:
    """`while condition(state): state = body(state)`, of at most `limit` turns: differentiable in both modes.

    >>> import pullback as pb
    >>> pb.grad(lambda x: pb.while_at_most(lambda y: y < 100.0, lambda y: y * y, x, 10))(3.0)
    Tensor(17496., dtype=float32)
    """
    turns = integer(limit, "while_at_most", "limit")

    def turn(state: Any, _: Any) -> Any:
        return cond(condition(state), lambda: body(state), lambda: state), None

    return scan(turn, tree.map(lambda x: as_tensor(x, "while_at_most"), init), None, turns)[0]


def accumulate(function: Callable[[Any, Any], Any], rows: Any, initial: Any = None, reverse: bool = False
               ) -> tuple[Any, Any]:
    """All values of `total = function(total, row)` over the first dimension of `rows`, and the last of them.

    Rows and totals are trees of arrays; without `initial` the first row is the first total.

    >>> import pullback as pb
    >>> pb.accumulate(lambda total, x: total * x, pb.tensor([1.0, 2.0, 3.0]))
    (Tensor([1., 2., 6.], dtype=float32), Tensor(6., dtype=float32))
    """
    def turn(total: Any, row: Any) -> Any:
        new = function(total, row)
        return new, new

    if initial is not None:
        last, found = scan(turn, initial, rows, reverse=reverse)
        return found, last
    first = tree.map(lambda r: r[-1 if reverse else 0], rows)
    last, found = scan(turn, first, tree.map(lambda r: r[:-1] if reverse else r[1:], rows), reverse=reverse)
    joined = tree.map(lambda x, all: concat([all, x[None]] if reverse else [x[None], all], 0), first, found)
    return joined, last


def map_sequentially(f: Callable[..., Any], xs: Any) -> Any:
    """`stack([f(x) for x in xs])` along the leading axis of a pytree, as one compiled loop.

    >>> import pullback as pb
    >>> pb.map_sequentially(lambda x: x * x, pb.arange(4))
    Tensor([0, 1, 4, 9], dtype=int32)
    """
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


def map_batches(f: Callable[..., Any], xs: Any, batch_size: int) -> Any:
    """`stack([f(x) for x in xs])` as a loop, of which each turn takes `batch_size` elements at once.

    >>> import pullback as pb
    >>> pb.map_batches(lambda x: x * x, pb.arange(5), 2)
    Tensor([ 0,  1,  4,  9, 16], dtype=int32)
    """
    size = integer(batch_size, "map_batches", "batch_size")
    leaves, structure = tree.flatten(xs)
    count = leaves[0].shape[0] if leaves else 0
    if size < 1 or any(x.shape[:1] != (count,) for x in leaves):
        raise ShapeError(message("map_batches: arrays of one leading size, and a batch of 1 or more",
                                 [("shapes", ", ".join(str(x.shape) for x in leaves)), ("batch_size", str(size))]))
    batched, whole = vmap(f), count - count % size
    parts: list[Any] = []
    if whole:
        turns = tree.unflatten(structure, [x[:whole].reshape((whole // size, size, *x.shape[1:])) for x in leaves])
        found = map_sequentially(batched, turns)
        parts.append(tree.map(lambda y: y.reshape((whole, *y.shape[2:])), found))
    if whole < count or not count:
        parts.append(batched(tree.unflatten(structure, [x[whole:] for x in leaves])))
    return parts[0] if len(parts) == 1 else tree.map(lambda *ys: concat(ys, 0), *parts)


class ShapeDtype:
    """Shape and dtype of an array that need not exist."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = tuple(shape), dtypes.dtype_of(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return TensorType.of(self.shape, self.dtype).size

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtype) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))


def eval_shape(f: Callable[..., Any], *args: Any, array_class: Any = None, **kwargs: Any) -> Any:
    """Shapes and dtypes of what `f(*args)` would return, without computing it. Arguments may be `ShapeDtype` too.

    >>> import pullback as pb
    >>> pb.eval_shape(pb.matmul, pb.ShapeDtype((2, 3), "float32"), pb.ones((3, 4)))
    ShapeDtypeStruct(shape=(2, 4), dtype=float32)
    """
    traced = trace_shapes("eval_shape", f, args, kwargs, array_class)
    return tree.unflatten(traced.structure, [ShapeDtype(v.info.type.shape, v.info.type.dtype) for v in traced.results])


def trace_shapes(
    what: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], array_class: Any = None
) -> Traced:
    """A function recorded on stand-ins for its arguments."""
    leaves, structure = tree.flatten((args, kwargs))
    tensors = [_stand_in(x, what, array_class or TensorBase.default_class) for x in leaves]
    infos = [Info.of(x.info.type, False, x.info.weak) for x in tensors]

    def rebuild(new: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        positional, named = tree.unflatten(structure, new)
        return positional, named

    return Traced(what, "staged", f, tensors, infos, rebuild)


def _stand_in(x: Any, what: str, array_class: Any) -> Any:
    if isinstance(x, ShapeDtype):
        return array_class(Value(None, -1, Info.of(TensorType.of(x.shape, x.dtype))))  # never computed
    return x if isinstance(x, TensorBase) else array_class(as_tensor(x, what)._peek())

"""`jax.make_jaxpr`: the recorded program in JAX's primitives.

The nodes of this library's representation are read back into JAX's: an elementwise operation takes operands whose
sizes are
1 as they are, a contraction absorbs the transpositions made for it, a reindexing is told apart into slice, squeeze,
rev,
transpose, reshape and pad. Steps are read in the order in which they were recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.api.creation import full
from pullback.api.loops import trace_shapes
from pullback.dialects.jax.array import Array, ShapedArray
from pullback.dialects.jax.jaxpr_print import print_jaxpr
from pullback.dialects.jax.transforms import arrays
from pullback.engine.trace import SCALARS
from pullback.ir.index import loop_vars, ravel, unravel
from pullback.ir.node import Function, Node, Proj
from pullback.ops import control, indexing, loops, order, reduce, shape, source
from pullback.ops import map as elementwise
from pullback.ops.contract import Contract
from pullback.util import tree

#: rows whose name is another one in JAX
ROWS = {
    "maximum": "max",
    "minimum": "min",
    "sigmoid": "logistic",
    "isfinite": "is_finite",
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
    "logical_not": "not",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "bitwise_not": "not",
    "fmod": "rem",
    "shift_left": "shift_left",
    "shift_right": "shift_right_arithmetic",
    "popcount": "population_count",
}
REDUCTIONS = {
    "add": "reduce_sum",
    "mul": "reduce_prod",
    "max": "reduce_max",
    "min": "reduce_min",
    "and": "reduce_and",
    "or": "reduce_or",
    "xor": "reduce_xor",
}
RUNNING = {"add": "cumsum", "mul": "cumprod", "max": "cummax", "min": "cummin"}


class Primitive:
    """An operation's name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Var:
    """A value of a jaxpr."""

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval


class Literal:
    """A number in a jaxpr."""

    def __init__(self, val: Any, aval: ShapedArray) -> None:
        self.val, self.aval = val, aval


class JaxprEqn:
    """One operation: `outvars = primitive[params] invars`."""

    def __init__(self, primitive: str, invars: list[Any], outvars: list[Var], params: dict[str, Any]) -> None:
        self.primitive, self.invars, self.outvars, self.params = Primitive(primitive), invars, outvars, params


class Jaxpr:
    """A program: constants, arguments, equations, results."""

    def __init__(self, constvars: list[Var], invars: list[Var], eqns: list[JaxprEqn], outvars: list[Any]) -> None:
        self.constvars, self.invars, self.eqns, self.outvars = constvars, invars, eqns, outvars

    def __str__(self) -> str:
        return print_jaxpr(self)

    __repr__ = __str__


class ClosedJaxpr:
    """A jaxpr with the values of its constants."""

    def __init__(self, jaxpr: Jaxpr, consts: list[Any]) -> None:
        self.jaxpr, self.consts = jaxpr, consts

    @property
    def eqns(self) -> list[JaxprEqn]:
        """The equations."""
        return self.jaxpr.eqns

    @property
    def in_avals(self) -> list[ShapedArray]:
        """Types of the arguments."""
        return [v.aval for v in self.jaxpr.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """Types of the results."""
        return [v.aval for v in self.jaxpr.outvars]

    def pretty_print(self, **_: Any) -> str:
        """The text."""
        return str(self.jaxpr)

    def __str__(self) -> str:
        return str(self.jaxpr)

    __repr__ = __str__


def make_jaxpr(fun: Callable[..., Any], static_argnums: Any = (), return_shape: bool = False) -> Callable[..., Any]:
    """A function that returns the jaxpr of `fun(*args)`."""
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    def traced(*args: Any, **kwargs: Any) -> Any:
        fixed = {k: a for k, a in enumerate(args) if k in static}

        def moving(*rest: Any, **named: Any) -> Any:
            stream = iter(rest)
            result = fun(*[fixed[k] if k in fixed else next(stream) for k in range(len(args))], **named)
            return tree.map(
                lambda v: full((), v) if type(v) in SCALARS else v, result
            )  # a number is part of the program

        given = tuple(a for k, a in enumerate(args) if k not in fixed)
        found = trace_shapes("make_jaxpr", moving, arrays(given), arrays(kwargs), Array)
        nodes = found.state.nodes()
        slots = [nodes[s] for s in found.state.leaf_slots()]
        positions = set(found.param_positions())
        invars = [slots[k] for k in found.param_positions()]
        outside = [k for k in range(len(slots)) if k not in positions]
        numbers = {k: Literal(Array(found.leaves[k]).item(), _aval(slots[k])) for k in outside if not slots[k].shape}
        consts = [k for k in outside if k not in numbers]
        jaxpr = translate(
            [slots[k] for k in consts],
            invars,
            nodes,
            [nodes[s] for s in found.slots],
            {slots[k]: literal for k, literal in numbers.items()},
        )
        closed = ClosedJaxpr(jaxpr, [Array(found.leaves[k]) for k in consts])
        shapes = tree.unflatten(
            found.structure, [ShapedArray(v.info.type.shape, v.info.type.dtype) for v in found.results]
        )
        return (closed, shapes) if return_shape else closed

    return traced


def translate(
    consts: Sequence[Node],
    invars: Sequence[Node],
    steps: Sequence[Node],
    results: Sequence[Node],
    numbers: dict[Node, Any] | None = None,
) -> Jaxpr:
    """Nodes as a jaxpr; `steps` are the nodes a user made, in order: the others were made for them. `numbers` are
    single numbers from outside, written as literals."""
    reader = _Reader({*steps, *results})
    reader.atoms.update(numbers or {})
    constvars = [reader.bind(n) for n in consts]
    arguments = [reader.bind(n) for n in invars]
    for node in steps:
        if not reader.is_scalar_literal(node):
            reader.atom(node)
    outvars = [reader.atom(n) for n in results]
    return Jaxpr(constvars, arguments, reader.eqns, outvars)


def _aval(node: Node) -> ShapedArray:
    return ShapedArray(node.shape, node.dtype)


class _Reader:
    """Equations made so far, and what holds each node."""

    def __init__(self, named: set[Node]) -> None:
        self.named = named
        self.atoms: dict[Node, Any] = {}
        self.eqns: list[JaxprEqn] = []

    def bind(self, node: Node) -> Var:
        var = self.atoms[node] = Var(_aval(node))
        return var

    def emit(self, primitive: str, invars: list[Any], aval: ShapedArray, **params: Any) -> Var:
        var = Var(aval)
        self.eqns.append(JaxprEqn(primitive, invars, [var], params))
        return var

    def shaped(self, node: Node, shape: tuple[int, ...]) -> ShapedArray:
        return ShapedArray(shape, node.dtype)

    # -- numbers -------------------------------------------------------------------------------------------------------
    def literal(self, node: Node) -> Literal | None:
        """A constant of one element."""
        op = node.op
        if isinstance(op, source.Const) and node.tensor.size == 1 and not node.shape:
            return Literal(op.item(), _aval(node))
        if isinstance(op, elementwise.Convert):
            inner = self.literal(node.inputs[0])
            if inner is None:
                return None
            return (
                Literal(node.op.reference(node.inputs[0].op.reference()).item(), _aval(node))
                if isinstance(node.inputs[0].op, source.Const)
                else None
            )
        return None

    def is_scalar_literal(self, node: Node) -> bool:
        return self.literal(node) is not None

    def atom(self, node: Node) -> Any:
        """The variable or literal of a node."""
        found = self.atoms.get(node)
        if found is None:
            found = self.literal(node) or self.read(node)
            self.atoms[node] = found
        return found

    # -- operations ----------------------------------------------------------------------------------------------------
    def read(self, node: Node) -> Any:
        for kind, rule in _RULES.items():
            if isinstance(node.op, kind):
                return rule(self, node)
        return self.emit(node.op.name, [self.atom(x) for x in node.inputs], _aval(node), **node.op.params())

    def operand(self, node: Node) -> Any:
        """An operand of an elementwise operation: sizes of 1 and single numbers need no broadcasting."""
        if node in self.named or not isinstance(node.op, shape.Broadcast):
            return self.atom(node)
        inner = node.inputs[0]
        if not inner.shape:
            return self.atom(inner)
        base = self._unsqueezed(inner)
        rank, own = len(node.shape), len(base.shape)
        if (
            list(node.op.dims)
            != [
                k
                for k in range(rank - own, rank)
                if base.shape[k - rank + own] == node.shape[k] and (base.shape[k - rank + own] != 1 or base is inner)
            ]
            and base is inner
            and tuple(node.op.dims) != tuple(range(rank - own, rank))
        ):
            return self.atom(node)
        if rank == own:
            return self.atom(base)
        target = (1,) * (rank - own) + base.shape
        return self.emit(
            "broadcast_in_dim",
            [self.atom(base)],
            self.shaped(node, target),
            broadcast_dimensions=tuple(range(rank - own, rank)),
            shape=target,
        )

    def _unsqueezed(self, node: Node) -> Node:
        """The array whose dimensions of size 1 were taken out for a broadcast."""
        if node in self.named or not isinstance(node.op, shape.Reindex):
            return node
        base = node.inputs[0]
        return (
            base
            if tuple(n for n in base.shape if n != 1) == tuple(n for n in node.shape if n != 1)
            and len(base.shape) > len(node.shape)
            else node
        )


def _map(reader: _Reader, node: Any) -> Any:
    row, static = node.op.row, node.op.static
    if row == "select":
        condition, yes, no = (reader.atom(x) for x in node.inputs)
        return reader.emit("select_n", [condition, no, yes], _aval(node))
    operands = [reader.operand(x) for x in node.inputs]
    if row == "reciprocal":
        return reader.emit("div", [Literal(1.0, ShapedArray((), node.dtype)), *operands], _aval(node))
    if row == "clamp":
        return reader.emit("clamp", [operands[1], operands[0], operands[2]], _aval(node))
    params: dict[str, Any] = {}
    if row == "integer_pow":
        params = {"y": static[0]}
    elif row == "round":
        params = {"rounding_method": "TO_NEAREST_EVEN"}
    return reader.emit(ROWS.get(row, row), operands, _aval(node), **params)


def _convert(reader: _Reader, node: Any) -> Any:
    return reader.emit(
        "convert_element_type", [reader.atom(node.inputs[0])], _aval(node), new_dtype=node.dtype, weak_type=False
    )


def _same(reader: _Reader, node: Any) -> Any:
    return reader.atom(node.inputs[0])


def _stop(reader: _Reader, node: Any) -> Any:
    return reader.emit("stop_gradient", [reader.atom(node.inputs[0])], _aval(node))


def _broadcast(reader: _Reader, node: Any) -> Any:
    inner = reader._unsqueezed(node.inputs[0])
    dims = tuple(node.op.dims)
    if inner is not node.inputs[0]:
        lead = len(node.shape) - len(inner.shape)
        dims = tuple(range(lead, len(node.shape)))
    return reader.emit(
        "broadcast_in_dim", [reader.atom(inner)], _aval(node), broadcast_dimensions=dims, shape=node.shape
    )


def _reduce(reader: _Reader, node: Any) -> Any:
    return reader.emit(REDUCTIONS[node.op.monoid], [reader.atom(node.inputs[0])], _aval(node), axes=tuple(node.op.axes))


def _arg_reduce(reader: _Reader, node: Any) -> Any:
    params = node.op.params()
    kind = str(params.get("kind", "max"))
    return reader.emit(
        "argmax" if "max" in kind else "argmin",
        [reader.atom(node.inputs[0])],
        _aval(node),
        axes=(params["axis"],),
        index_dtype=node.dtype,
    )


def _running(reader: _Reader, node: Any) -> Any:
    params = node.op.params()
    return reader.emit(
        RUNNING[params["monoid"]],
        [reader.atom(node.inputs[0])],
        _aval(node),
        axis=params["axis"],
        reverse=bool(params.get("reverse", False)),
    )


def _iota(reader: _Reader, node: Any) -> Any:
    return reader.emit(
        "iota", [], _aval(node), dimension=node.op.params().get("axis", 0), dtype=node.dtype, shape=node.shape
    )


def _concat(reader: _Reader, node: Any) -> Any:
    return reader.emit("concatenate", [reader.atom(x) for x in node.inputs], _aval(node), dimension=node.op.axis)


def _permutation(node: Any) -> tuple[int, ...] | None:
    """How a reindexing orders dimensions, where it does nothing else: result dimension k is dimension p[k] of its
    input."""
    if not isinstance(node.op, shape.Reindex):
        return None
    given = node.inputs[0].shape
    if sorted(given) != sorted(node.shape):
        return None
    over = loop_vars(node.shape)
    found: list[int | None] = [None] * len(given)
    ones = [k for k, n in enumerate(node.shape) if n == 1]
    for j, at in enumerate(node.op.indices):
        matches = [k for k, v in enumerate(over) if v == at and node.shape[k] == given[j] and node.shape[k] != 1]
        if given[j] == 1 and at.is_const and ones:
            matches = [ones.pop(0)]
        if len(matches) != 1 or found[matches[0]] is not None:
            return None
        found[matches[0]] = j
    return tuple(k for k in found if k is not None) if None not in found else None


def _contract(reader: _Reader, node: Any) -> Any:
    batch, summed = node.op.batch_dims, node.op.contracted
    sides = [_unwound(reader, x, batch, summed) for x in node.inputs]
    (x, left_batch, left), (y, right_batch, right) = sides
    return reader.emit(
        "dot_general",
        [reader.atom(x), reader.atom(y)],
        _aval(node),
        dimension_numbers=((left, right), (left_batch, right_batch)),
        preferred_element_type=node.dtype,
    )


def _unwound(reader: _Reader, node: Node, batch: int, summed: int) -> tuple[Node, list[int], list[int]]:
    """An operand before the transposition made for the contraction, its batch and its summed dimensions."""
    rank = len(node.shape)
    plain = (node, list(range(batch)), list(range(rank - summed, rank)))
    if node in reader.named:
        return plain
    order = _permutation(node)
    if order is None:
        return plain
    free = order[batch : rank - summed]
    if list(free) != sorted(free):
        return plain
    return node.inputs[0], list(order[:batch]), list(order[rank - summed :])


# -- moving elements ---------------------------------------------------------------------------------------------------


def _reindex(reader: _Reader, node: Any) -> Any:
    base = node.inputs[0]
    given, target = base.shape, node.shape
    if node.op.indices == unravel(ravel(loop_vars(target), target), given) and node.tensor.size == base.tensor.size:
        return _reshaped(reader, node, base)
    order = _permutation(node)
    if order is not None:
        return reader.emit("transpose", [reader.atom(base)], _aval(node), permutation=order)
    pairs = shape._simple(node.op.indices, target)
    if pairs is None:
        return reader.emit("gather", [reader.atom(base)], _aval(node), indices=tuple(map(str, node.op.indices)))
    if node.op.fill is not None:
        return _padded(reader, node, base, pairs)
    return _sliced(reader, node, base, pairs)


def _reshaped(reader: _Reader, node: Node, base: Node) -> Any:
    kept_in, kept_out = [n for n in base.shape if n != 1], [n for n in node.shape if n != 1]
    if kept_in == kept_out and len(node.shape) > len(base.shape):
        dims = _inserted(base.shape, node.shape)
        if dims is not None:
            return reader.emit(
                "broadcast_in_dim", [reader.atom(base)], _aval(node), broadcast_dimensions=dims, shape=node.shape
            )
    if kept_in == kept_out and len(node.shape) < len(base.shape):
        gone = _removed(base.shape, node.shape)
        return reader.emit("squeeze", [reader.atom(base)], _aval(node), dimensions=gone)
    return reader.emit("reshape", [reader.atom(base)], _aval(node), dimensions=None, new_sizes=node.shape)


def _inserted(given: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...] | None:
    """Where the dimensions stand after dimensions of size 1 were put in."""
    found: list[int] = []
    at = 0
    for n in given:
        while at < len(target) and target[at] != n:
            at += 1
        if at == len(target):
            return None
        found.append(at)
        at += 1
    return tuple(found)


def _removed(given: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    kept = _inserted(target, given) or ()
    return tuple(k for k in range(len(given)) if k not in kept)


def _padded(reader: _Reader, node: Any, base: Node, pairs: Sequence[tuple[int | None, int, int]]) -> Any:
    config = tuple(
        (-start, node.shape[k] - base.shape[j] + start, 0) if k is not None else (0, 0, 0)
        for j, (k, _, start) in enumerate(pairs)
    )
    fill = Literal(node.dtype.numpy.type(node.op.fill).item(), ShapedArray((), node.dtype))
    return reader.emit("pad", [reader.atom(base), fill], _aval(node), padding_config=config)


def _sliced(reader: _Reader, node: Node, base: Node, pairs: Sequence[tuple[int | None, int, int]]) -> Any:
    """slice, then rev, then squeeze, then new dimensions."""
    given, target = base.shape, node.shape
    sizes = [1 if k is None else target[k] for k, _, _ in pairs]
    starts, limits, strides, turned = [], [], [], []
    for j, ((_, stride, start), n) in enumerate(zip(pairs, sizes, strict=True)):
        low = start + stride * (n - 1) if stride < 0 else start
        step = abs(stride) or 1
        starts.append(low)
        # numbers of NumPy's slices end at the limit that was written; here it is the last element taken
        limits.append(low + step * (n - 1) + 1 if step > 1 else low + n)
        strides.append(step)
        if stride < 0 and n > 1:
            turned.append(j)
    atom = reader.atom(base)
    current = tuple(sizes)
    if (tuple(starts), tuple(limits)) != ((0,) * len(given), given) or any(s > 1 for s in strides):
        atom = reader.emit(
            "slice",
            [atom],
            reader.shaped(node, current),
            limit_indices=tuple(
                given[j] if s > 1 and limit + s > given[j] else limit
                for j, (limit, s) in enumerate(zip(limits, strides, strict=True))
            ),
            start_indices=tuple(starts),
            strides=tuple(strides) if any(s > 1 for s in strides) else None,
        )
    if turned:
        atom = reader.emit("rev", [atom], reader.shaped(node, current), dimensions=tuple(turned))
    return _fitted(reader, node, atom, pairs, current)


def _fitted(
    reader: _Reader, node: Node, atom: Any, pairs: Sequence[tuple[int | None, int, int]], current: tuple[int, ...]
) -> Any:
    """Dimensions of size 1 dropped or put in."""
    target = node.shape
    squeezed: list[int] = []
    at = 0
    for j, (k, _, _) in enumerate(pairs):
        if k is not None:
            at = k + 1
        elif at < len(target) and target[at] == 1:
            at += 1
        else:
            squeezed.append(j)
    left = tuple(n for j, n in enumerate(current) if j not in squeezed)
    if squeezed:
        atom = reader.emit("squeeze", [atom], reader.shaped(node, left), dimensions=tuple(squeezed))
    if left != target:
        atom = reader.emit(
            "broadcast_in_dim", [atom], _aval(node), broadcast_dimensions=_inserted(left, target) or (), shape=target
        )
    return atom


# -- bodies ------------------------------------------------------------------------------------------------------------


def _body(function: Function) -> Jaxpr:
    reader = _Reader(set(function.results))
    invars = [reader.bind(p) for p in function.params]
    outvars = [reader.atom(r) for r in function.results]
    return Jaxpr([], invars, reader.eqns, outvars)


def _several(reader: _Reader, node: Any, name: str, invars: list[Any], params: dict[str, Any]) -> list[Var]:
    items = node.type.items if hasattr(node.type, "items") else (node.type,)
    outvars = [Var(ShapedArray(t.shape, t.dtype)) for t in items]
    reader.eqns.append(JaxprEqn(name, invars, outvars, params))
    return outvars


def _loop_params(reader: _Reader, node: Any) -> tuple[str, list[Any], dict[str, Any]]:
    op = node.op
    invars = [reader.atom(x) for x in node.inputs]
    if isinstance(op, loops.Scan):
        return (
            "scan",
            invars,
            {
                "jaxpr": _body(op.body),
                "length": op.length,
                "num_carry": op.carries,
                "num_consts": op.consts,
                "reverse": op.reverse,
                "unroll": 1,
            },
        )
    if isinstance(op, loops.Cond):
        return "cond", invars, {"branches": tuple(_body(b) for b in op.branches)}
    params = op.params()
    bodies = [v for v in params.values() if isinstance(v, Function)]
    if len(bodies) == 2:
        return (
            "while",
            invars,
            {
                "body_jaxpr": _body(bodies[1]),
                "body_nconsts": params.get("consts", 0),
                "cond_jaxpr": _body(bodies[0]),
                "cond_nconsts": params.get("consts", 0),
            },
        )
    return op.name, invars, {"jaxpr": _body(bodies[0])} if bodies else {}


def _loop(reader: _Reader, node: Any) -> Any:
    outvars = _several(reader, node, *_loop_params(reader, node))
    return outvars if hasattr(node.type, "items") else outvars[0]


def _project(reader: _Reader, node: Any) -> Any:
    whole = node.inputs[0]
    found = reader.atoms.get(whole)
    if found is None:
        found = reader.atoms[whole] = reader.read(whole)
        if isinstance(found, Var):
            found = reader.atoms[whole] = reader.eqns[-1].outvars
    return found[node.op.index]


def _call(reader: _Reader, node: Any) -> Any:
    """A call is read in place."""
    body: Function = next(v for v in node.op.params().values() if isinstance(v, Function))
    inner = _Reader(set(body.results))
    inner.eqns = reader.eqns
    for p, x in zip(body.params, node.inputs, strict=True):
        inner.atoms[p] = reader.atom(x)
    found = [inner.atom(r) for r in body.results]
    return found if hasattr(node.type, "items") else found[0]


def _gather(reader: _Reader, node: Any) -> Any:
    return reader.emit(node.op.name, [reader.atom(x) for x in node.inputs], _aval(node), **node.op.params())


def _sort(reader: _Reader, node: Any) -> Any:
    params = node.op.params()
    outvars = _several(
        reader,
        node,
        "sort",
        [reader.atom(x) for x in node.inputs],
        {"dimension": params["axis"], "is_stable": True, "num_keys": params.get("keys", 1)},
    )
    return outvars if hasattr(node.type, "items") else outvars[0]


_RULES: dict[Any, Callable[[_Reader, Node], Any]] = {
    elementwise.Map: _map,
    elementwise.Convert: _convert,
    elementwise.Copy: _same,
    elementwise.StopGradient: _stop,
    shape.Broadcast: _broadcast,
    shape.Reindex: _reindex,
    shape.Concat: _concat,
    reduce.Reduce: _reduce,
    reduce.ArgReduce: _arg_reduce,
    reduce.Cumulative: _running,
    source.Iota: _iota,
    Contract: _contract,
    loops.Scan: _loop,
    loops.While: _loop,
    loops.Cond: _loop,
    control.Call: _call,
    control.Composite: _call,
    control.Checkpoint: _call,
    control.Custom: _call,
    indexing.Gather: _gather,
    order.Sort: _sort,
    Proj: _project,
}

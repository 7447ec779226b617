"""Gradients, and loops and decisions that are part of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.api import creation, loops
from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.errors import UnimplementedError
from pullback.dialects.tensorflow.graph import Operation, Tensor, get_default_graph, make
from pullback.dialects.tensorflow.run import WRITES, Run, needed
from pullback.engine import control, functional
from pullback.util import tree
from pullback.util.errors import (
    ArgumentError,
    DTypeError,
    NoDerivativeError,
    ShapeError,
    StructureError,
    ValueError_,
    message,
)

# -- gradients ---------------------------------------------------------------------------------------------------------


def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str = "gradients",
    colocate_gradients_with_ops: bool = False,
    gate_gradients: bool = False,
    aggregation_method: Any = None,
    stop_gradients: Any = None,
) -> list[Any]:
    """The gradients of the sum of `ys` with respect to each of `xs`; None where there is no path."""
    targets = [ops.convert_to_tensor(y) for y in _listed(ys)]
    sources = [_tensor(x) for x in _listed(xs)]
    for x in (*targets, *sources):
        if x.graph is not get_default_graph():
            raise ValueError_(message(f"{x} must be from the same graph as the others.", help="the default graph"))
    weights = None if grad_ys is None else [ops.convert_to_tensor(g) for g in _listed(grad_ys)]
    blocked = [_tensor(x) for x in _listed(stop_gradients)] if stop_gradients is not None else []
    inner = _between(targets, sources, blocked)
    reached = [k for k, x in enumerate(sources) if any(_uses(op, x) for op in inner) or x in targets]
    if not reached:
        return [None] * len(sources)
    chosen = [sources[k] for k in reached]
    made = {t for op in inner for t in op.outputs}
    outside = list(dict.fromkeys(t for op in inner for t in op.inputs if t not in made and t not in chosen))
    outside += [y for y in targets if y not in made and y not in chosen and y not in outside]
    inputs = [*chosen, *outside, *(weights or [])]

    def compute(run: Any, *values: Any) -> list[Any]:
        n, m = len(chosen), len(chosen) + len(outside)
        known = dict(zip(outside, values[n:m], strict=True))

        def f(*new: Any) -> list[Any]:
            state = _inner_run(run, {**known, **dict(zip(chosen, new, strict=True))})
            return state.evaluate(targets, [op for op in inner if not all(t in state.bound for t in op.outputs)])

        try:
            found, pull = functional.vjp(f, *values[:n])
            seeds = list(values[m:]) if weights else [creation.ones_like(y) for y in found]
            return list(pull(seeds))
        except NoDerivativeError:
            raise _unlimited(targets) from None

    types = [(x.dtype, x.sizes) for x in chosen]
    found = make("gradients", inputs, compute, f"{name}/grad" if name else None, types=types)
    result: list[Any] = [None] * len(sources)
    for k, g in zip(reached, found, strict=True):
        result[k] = g
    return result


def _unlimited(targets: list[Tensor]) -> UnimplementedError:
    return UnimplementedError(
        message(
            "tf.gradients: a tf.while_loop that may turn any number of times has no gradient",
            [("ys", ", ".join(repr(y) for y in targets))],
            "limit it: tf.while_loop(..., maximum_iterations=n); or use tf.scan, tf.foldl, tf.map_fn",
        )
    )


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _tensor(x: Any) -> Tensor:
    if hasattr(x, "initializer"):
        return x.op.outputs[0]
    if not isinstance(x, Tensor):
        raise ArgumentError(
            message(
                "gradients: xs are tensors and variables of the graph", [("given", f"{type(x).__name__} {x!r:.60}")]
            )
        )
    return x


def _between(targets: Sequence[Tensor], sources: Sequence[Tensor], blocked: Sequence[Tensor]) -> list[Operation]:
    """The operations on a path from sources to targets, in order."""
    reached = set(sources)
    stopped = set(blocked) - set(sources)
    found: list[Operation] = []
    for op in needed([t.op for t in targets]):
        if op.type == "StopGradient" or all(t in reached for t in op.outputs):
            continue
        if any(t in reached for t in op.inputs):
            found.append(op)
            reached.update(t for t in op.outputs if t not in stopped)
    return found


def _uses(op: Operation, x: Tensor) -> bool:
    return x in op.inputs


def _inner_run(run: Any, bound: dict[Tensor, Any]) -> Run:
    """A run of part of the graph; while types are inferred there is no session."""
    if run.inferring:
        state = Run(None, run)
        state.bound.update(bound)
        return state
    return run.inner(bound)


class Body:
    """A part of the graph built by a function, and the tensors from outside that it reads."""

    def __init__(self, function: Callable[..., Any], arguments: Any) -> None:
        graph = get_default_graph()
        leaves, structure = tree.flatten(arguments)
        start = len(graph.operations)
        before, graph.controls = graph.controls, []
        try:
            self.arguments = [_argument(x) for x in leaves]
            result = function(*tree.unflatten(structure, self.arguments))
            flat, self.structure = tree.flatten(result)
            self.results = [ops.convert_to_tensor(x) for x in flat]
        finally:
            graph.controls = before
        inside = set(graph.operations[start:])
        read = needed([t.op for t in self.results], dict.fromkeys(self.arguments))
        self.operations = [op for op in read if op in inside]
        made = {t for op in self.operations for t in op.outputs}
        self.captured = list(
            dict.fromkeys(
                t
                for t in (*(i for op in self.operations for i in op.inputs), *self.results)
                if t not in made and t not in self.arguments
            )
        )

    @property
    def written(self) -> list[Any]:
        """The variables that it assigns."""
        return list(dict.fromkeys(op.variable for op in self.operations if op.type in WRITES))

    def call_writing(self, run: Any, captured: dict[Tensor, Any], variables: Sequence[Any]) -> list[Any]:
        """The results without arguments, then the values of variables afterwards."""
        state = _inner_run(run, captured)
        state.captured = {}
        found = state.evaluate(self.results, self.operations)
        return [*found, *(state.read(v, True) for v in variables)]

    def call(self, run: Any, captured: dict[Tensor, Any], values: Sequence[Any]) -> Any:
        """The results for arguments, in the structure that the function returned."""
        state = _inner_run(run, {**captured, **dict(zip(self.arguments, values, strict=True))})
        return tree.unflatten(self.structure, state.evaluate(self.results, self.operations))


def _argument(like: Any) -> Tensor:
    """A placeholder for an argument of a body, with the type of a tensor."""
    dtype, sizes = like
    graph = get_default_graph()
    op = Operation(graph, "Placeholder", graph.unique_name("arg"), [], None)
    op.outputs = [Tensor(op, 0, dtype, sizes)]
    return op.outputs[0]


class _Type:
    """Dtype and sizes of a tensor, as one leaf."""

    def __init__(self, tensor: Tensor, row: bool = False) -> None:
        self.dtype = tensor.dtype
        self.sizes = tensor.sizes[1:] if row and tensor.sizes else tensor.sizes

    def __iter__(self) -> Any:
        return iter((self.dtype, self.sizes))


def cond(
    pred: Any,
    true_fn: Callable[[], Any] | None = None,
    false_fn: Callable[[], Any] | None = None,
    strict: bool = False,
    name: str = "cond",
    fn1: Any = None,
    fn2: Any = None,
) -> Any:
    """What `true_fn()` or `false_fn()` builds: one of the two runs. What was built outside of them runs anyway."""
    yes, no = (true_fn or fn1), (false_fn or fn2)
    if not callable(yes) or not callable(no):
        raise ArgumentError(
            message("cond: true_fn and false_fn must be callable.", help="tf.cond(pred, lambda: a, lambda: b)")
        )
    choice = ops.convert_to_tensor(pred, "bool")
    one, other = Body(yes, ()), Body(no, ())
    if one.structure != other.structure:
        raise StructureError(
            message(
                "cond: true_fn and false_fn must return the same structure",
                [("true_fn", str(one.structure)), ("false_fn", str(other.structure))],
            )
        )
    for a, b in zip(one.results, other.results, strict=True):
        if a.dtype != b.dtype:
            raise StructureError(
                message(
                    "cond: outputs of true_fn and false_fn must have the same types",
                    [("true_fn", str(a)), ("false_fn", str(b))],
                    "use tf.cast",
                )
            )
    outside = list(dict.fromkeys([*one.captured, *other.captured]))
    written = list(dict.fromkeys([*one.written, *other.written]))

    def compute(run: Any, value: Any, *values: Any) -> Any:
        known = dict(zip(outside, values, strict=True))
        found = control.cond(
            value, lambda: one.call_writing(run, known, written), lambda: other.call_writing(run, known, written)
        )
        if run.root is run:  # a gradient runs the branches again, and assigns nothing
            run.updates.update(zip(written, found[len(one.results) :], strict=True))
        return found[: len(one.results)]

    types = [
        (a.dtype, a.sizes if a.sizes == b.sizes else None) for a, b in zip(one.results, other.results, strict=True)
    ]
    found = make("cond", [choice, *outside], compute, name, types=types)
    return tree.unflatten(one.structure, found)


def case(pred_fn_pairs: Any, default: Callable[[], Any], exclusive: bool = False, name: str = "case") -> Any:
    """The result of the first pair whose predicate holds."""
    pairs = list(pred_fn_pairs.items() if isinstance(pred_fn_pairs, dict) else pred_fn_pairs)
    if not pairs:
        return default()
    (pred, fn), rest = pairs[0], pairs[1:]
    return cond(pred, fn, lambda: case(rest, default), name=name)


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str = "while",
    maximum_iterations: Any = None,
    return_same_structure: bool = False,
) -> Any:
    """Repeat `loop_vars = body(*loop_vars)` while `cond(*loop_vars)` holds.

    Gradients go through it where `maximum_iterations`, a whole number, limits it.
    """
    check_functions("while_loop", cond, body)
    given = tuple(loop_vars)
    leaves, structure = tree.flatten(given)
    start = [ops.convert_to_tensor(x) for x in leaves]
    kinds = tree.unflatten(structure, [_Type(t) for t in start])
    if not given:
        raise ValueError_(message("while_loop: loop_vars must be provided.", help="tf.while_loop(cond, body, [i])"))
    test = Body(lambda *state: cond(*state), kinds)
    turn = Body(lambda *state: _as_state(body(*state), given), kinds)
    outside = list(dict.fromkeys([*test.captured, *turn.captured]))
    _check_loop(start, test, turn, shape_invariants)

    def compute(run: Any, *values: Any) -> Any:
        n = len(start)
        known = dict(zip(outside, values[n:], strict=True))

        def again(state: Any) -> Any:
            return test.call(run, known, state)

        def next_state(state: Any) -> list[Any]:
            return tree.leaves(turn.call(run, known, state))

        if maximum_iterations is None:
            return control.while_loop(again, next_state, list(values[:n]))
        return loops.while_at_most(again, next_state, list(values[:n]), maximum_iterations)

    found = make("while", [*start, *outside], compute, name, types=[(t.dtype, t.sizes) for t in start])
    result = tree.unflatten(structure, found)
    return result[0] if len(result) == 1 else list(result) if isinstance(loop_vars, list) else result


def _check_loop(start: list[Tensor], test: Body, turn: Body, invariants: Any) -> None:
    """Refuse a loop whose condition is no bool, or whose body does not give the loop variables anew."""
    if len(turn.results) != len(start):
        raise StructureError(
            message(
                "while_loop: the body must return as many values as there are loop variables",
                [("loop_vars", str(len(start))), ("body", str(len(turn.results)))],
            )
        )
    if len(test.results) != 1 or not test.results[0].dtype.is_bool:
        raise DTypeError(
            message(
                "while_loop: the condition must give one bool",
                [("condition", ", ".join(map(str, test.results)))],
                "for example i < n",
            )
        )
    for before, after in zip(start, turn.results, strict=True):
        _check_invariant(before, after, invariants)


def _check_invariant(before: Tensor, after: Tensor, invariants: Any) -> None:
    """A loop variable keeps its dtype and, unless told otherwise, its shape."""
    if before.dtype != after.dtype:
        raise DTypeError(
            message(
                "while_loop: a loop variable must keep its dtype",
                [("before", str(before)), ("after one turn", str(after))],
                "use tf.cast",
            )
        )
    if invariants is None and not after.shape.is_compatible_with(before.shape):
        raise ShapeError(
            message(
                "while_loop: a loop variable must keep its shape",
                [("before", str(before)), ("after one turn", str(after))],
                "pad it, or use tf.scan",
            )
        )


def check_functions(name: str, *functions: Any) -> None:
    """Refuse what cannot be called."""
    for f in functions:
        if not callable(f):
            raise ArgumentError(message(f"{name}: expected a function", [("given", f"{type(f).__name__} {f!r:.60}")]))


def _as_state(result: Any, given: tuple[Any, ...]) -> Any:
    return tuple(result) if isinstance(result, (tuple, list)) and len(given) == len(result) else (result,)


def _rows(elems: Any, name: str) -> tuple[list[Tensor], Any, Any]:
    leaves, structure = tree.flatten(elems)
    tensors = [ops.convert_to_tensor(x) for x in leaves]
    for t in tensors:
        if t.sizes == ():
            raise ShapeError(message(f"{name}: elems need a leading dimension", [("elems", str(t))]))
    return tensors, structure, tree.unflatten(structure, [_Type(t, True) for t in tensors])


def map_fn(
    fn: Callable[..., Any],
    elems: Any,
    dtype: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str = "map",
) -> Any:
    """`stack([fn(x) for x in elems])` along the first dimension, as one loop."""
    check_functions("map_fn", fn)
    tensors, _, kinds = _rows(elems, "map_fn")
    body = Body(fn, (kinds,))

    def compute(run: Any, *values: Any) -> Any:
        n = len(tensors)
        known = dict(zip(body.captured, values[n:], strict=True))
        return loops.map_sequentially(lambda row: tree.leaves(body.call(run, known, row)), list(values[:n]))

    length = tensors[0].sizes[0] if tensors[0].sizes else None
    found = make(
        "map",
        [*tensors, *body.captured],
        compute,
        name,
        types=[(t.dtype, None if t.sizes is None else (length, *t.sizes)) for t in body.results],
    )
    return tree.unflatten(body.structure, found)


def scan(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str = "scan",
) -> Any:
    """All values of `acc = fn(acc, x)` over the first dimension of `elems`, as one loop. Without `initializer` the
    first
    element is the first value."""
    return _fold(fn, elems, initializer, reverse, name, True)


def foldl(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str = "foldl",
) -> Any:
    """The last value of `acc = fn(acc, x)` over the first dimension of `elems`."""
    return _fold(fn, elems, initializer, False, name, False)


def foldr(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str = "foldr",
) -> Any:
    """The last value of `acc = fn(acc, x)` over the first dimension of `elems`, from the end."""
    return _fold(fn, elems, initializer, True, name, False)


def _fold(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any, reverse: bool, name: str, every: bool) -> Any:
    check_functions(name, fn)
    tensors, structure, kinds = _rows(elems, name)
    first = initializer is None
    leaves, acc_structure = tree.flatten(initializer) if not first else ([], structure)
    start = [ops.convert_to_tensor(x) for x in leaves]
    acc_kinds = kinds if first else tree.unflatten(acc_structure, [_Type(t) for t in start])
    body = Body(fn, (acc_kinds, kinds))
    if body.structure != acc_structure:
        raise StructureError(
            message(
                f"{name}: fn must return the structure of its accumulator",
                [("accumulator", str(acc_structure)), ("returned", str(body.structure))],
            )
        )
    count, m = len(tensors), len(start)

    def compute(run: Any, *values: Any) -> Any:
        rows, carry = list(values[:count]), list(values[count : count + m])
        known = dict(zip(body.captured, values[count + m :], strict=True))

        stacked, last = loops.accumulate(
            lambda acc, row: tree.leaves(body.call(run, known, [*acc, *row])), rows, None if first else carry, reverse
        )
        return stacked if every else last

    length = tensors[0].sizes[0] if tensors[0].sizes else None
    types = [(t.dtype, t.sizes if not every else None if t.sizes is None else (length, *t.sizes)) for t in body.results]
    found = make(name, [*tensors, *start, *body.captured], compute, name, types=types)
    return tree.unflatten(acc_structure, found)

"""Structured control flow: scan, cond, while_loop; switching gradients on and off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.engine.autograd import call_operation
from pullback.engine.functional import Traced, as_tensor, value_of
from pullback.engine.gradient_mode import grad_mode
from pullback.engine.operation import Operation
from pullback.engine.tensor import TensorBase, detach
from pullback.engine.trace import Info, Value, record
from pullback.ir import dtypes
from pullback.ir.node import Function as Program
from pullback.ir.node import Node, TensorType, apply, project
from pullback.util import tree
from pullback.util.errors import ArgumentError, ShapeError, message
from pullback.util.kinds import is_pair


def leaves_of(what: str, structure_of: Any) -> tuple[list[TensorBase], Any]:
    leaves, structure = tree.flatten(structure_of)
    return [as_tensor(x, what) for x in leaves], structure


def info_of(type: TensorType) -> Info:
    return Info.of(type, type.dtype.is_inexact)


def staged(what: str, function: Callable[..., Any], tensors: Sequence[TensorBase], types: Sequence[TensorType],
            structure: Any) -> Traced:
    """Trace a body on arguments of the given types; `structure` is of its tuple of arguments."""
    traced = Traced(what, "staged", function, tensors, [info_of(t) for t in types],
                    lambda new: (tuple(tree.unflatten(structure, new)), {}))
    traced.refuse_writes(what)
    return traced


def closed(traced: Traced) -> tuple[Program, list[Any]]:
    """The recorded body as a Function with what it closed over in front, and those values."""
    function = traced.function
    count = len(traced.params)
    params = [*function.params[count:], *function.params[:count]]
    return Program(params, function.results), list(traced.leaves[count:])


def _same_state(what: str, expected: Sequence[TensorType], traced: Traced, structure: Any, got_structure: Any,
                count: int) -> None:
    """Check that a loop's body returns a state of the types it takes."""
    if got_structure != structure:
        raise ArgumentError(message(f"{what}: the body must return a state of the structure it takes",
                                    [("takes", str(structure)), ("returns", str(got_structure))]))
    for want, value in zip(expected, traced.results[:count], strict=True):
        if value.info.type is not want:
            raise ShapeError(message(f"{what}: the body must return a state of the types it takes",
                                     [("takes", repr(want)), ("returns", repr(value.info.type))],
                                     "give the initial state the shape and dtype that the body returns"))


def _common_length(inputs: Sequence[TensorBase], length: int | None) -> int:
    """The leading size that all inputs of a scan have."""
    sizes = {x.shape[0] if x.ndim else None for x in inputs}
    if length is not None:
        sizes.add(length)
    count = next(iter(sizes), None)
    if len(sizes) != 1 or count is None:
        raise ShapeError(message("scan: all inputs must have one leading size",
                                 [("xs", ", ".join(repr(x.info.type) for x in inputs) or "none"),
                                  ("length", str(length))],
                                 "pass arrays with equal first dimensions, or length= where there are none"))
    return count


def scan(f: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None,
         reverse: bool = False) -> tuple[Any, Any]:
    """Fold with history: `carry, ys = scan(f, init, xs)` where `f(carry, x) -> (carry, y)` runs along the leading axis.

    One compiled loop, whatever the length. Differentiable.

    >>> import pullback as pb
    >>> pb.scan(lambda c, x: (c + x, c), 0, pb.arange(4))
    (Tensor(6, dtype=int32), Tensor([0, 0, 1, 3], dtype=int32))
    """
    carry, carry_structure = leaves_of("scan", init)
    inputs, xs_structure = leaves_of("scan", xs)
    count = _common_length(inputs, length)
    types = [t.info.type for t in carry]
    slices = [x.info.type.with_shape(x.info.type.shape[1:]) for x in inputs]

    def body(*new: Any) -> Any:
        state = tree.unflatten(carry_structure, list(new[:len(carry)]))
        result = f(state, tree.unflatten(xs_structure, list(new[len(carry):])))
        if not is_pair(result):
            raise ArgumentError(message("scan: the body must return a pair (carry, y)",
                                        [("returned", type(result).__name__)],
                                        "return carry, None where there is no y"))
        return result

    tensors = [*carry, *inputs]
    _, structure = tree.flatten(tuple(tensors))
    traced = staged("scan", body, tensors, [*types, *slices], structure)
    new_carry, y_structure = traced.structure.children()
    _same_state("scan", types, traced, carry_structure, new_carry, len(carry))
    n = len(carry)

    def make(_: Program) -> Operation:
        from pullback.ops.control import Scan

        program, consts = closed(traced)
        op = Scan(program, count, len(consts), n, reverse)
        return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, "scan")

    operation = traced.memo(("scan", count, n, reverse), make)
    around = traced.leaves[len(tensors):]
    results = record(operation, [*around, *(value_of(t) for t in tensors)])
    outputs = [cls(v) for cls, v in zip(traced.classes, results, strict=True)]
    return tree.unflatten(carry_structure, outputs[:n]), tree.unflatten(y_structure, outputs[n:])


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init: Any) -> Any:
    """Repeat `state = body_fun(state)` while `cond_fun(state)` is true. Forward mode only.

    >>> import pullback as pb
    >>> pb.while_loop(lambda x: x < 100, lambda x: x * 2, 3)
    Tensor(192, dtype=int32)
    """
    state, state_structure = leaves_of("while_loop", init)
    types = [t.info.type for t in state]
    _, structure = tree.flatten(tuple(state))

    def on_state(f: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda *new: f(tree.unflatten(state_structure, list(new)))

    condition = staged("while_loop", on_state(cond_fun), state, types, structure)
    if len(condition.results) != 1 or condition.results[0].info.type != TensorType.of((), dtypes.bool_):
        raise ArgumentError(message("while_loop: the condition must return one bool",
                                    [("returned", ", ".join(repr(v.info.type) for v in condition.results))],
                                    "return a comparison, reduced with .any() or .all()"))
    body = staged("while_loop", on_state(body_fun), state, types, structure)
    _same_state("while_loop", types, body, state_structure, body.structure, len(state))
    cond_program, cond_consts = closed(condition)
    body_program, body_consts = closed(body)
    consts = [*cond_consts, *body_consts]
    cond_program, body_program = _widen(cond_program, len(cond_consts), body_program, len(body_consts))

    def make(_: Program) -> Operation:
        from pullback.ops.control import While

        op = While(cond_program, body_program, len(consts))
        return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, "while_loop")

    operation = body.memo(("while", condition.state, condition.slots), make)
    results = record(operation, [*consts, *(value_of(t) for t in state)])
    return tree.unflatten(state_structure, [cls(v) for cls, v in zip(body.classes, results, strict=True)])


def _widen(first: Program, n: int, second: Program, m: int) -> tuple[Program, Program]:
    """Two bodies over the consts of both: first's consts, then second's, then the state."""
    from pullback.ir.node import param

    spare_second = [param(p.tensor) for p in second.params[:m]]
    spare_first = [param(p.tensor) for p in first.params[:n]]
    return (Program([*first.params[:n], *spare_second, *first.params[n:]], first.results),
            Program([*spare_first, *second.params[:m], *second.params[m:]], second.results))


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """`true_fun(*operands)` or `false_fun(*operands)`: one of the two runs.

    >>> import pullback as pb
    >>> pb.cond(True, lambda x: x + 1, lambda x: x - 1, 1)
    Tensor(2, dtype=int32)
    """
    return switch(pred, [false_fun, true_fun], *operands, _what="cond")


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, _what: str = "switch") -> Any:
    """`branches[index](*operands)`; the index is clamped to the branches there are."""
    chooser = as_tensor(index, _what)
    if chooser.info.type.size != 1 or chooser.info.type.dtype.kind not in "bi":
        raise ArgumentError(message(f"{_what}: the choice must be one bool or integer",
                                    [("choice", repr(chooser.info.type))], "reduce it with .any() or .all()"))
    tensors, structure = leaves_of(_what, tuple(operands))
    types = [t.info.type for t in tensors]
    traces = [staged(_what, b, tensors, types, structure) for b in branches]
    first = traces[0]
    for other in traces[1:]:
        same = other.structure == first.structure and all(
            a.info.type is b.info.type for a, b in zip(first.results, other.results, strict=True))
        if not same:
            raise ArgumentError(message(f"{_what}: all branches must return the same structure and types", [
                ("one", ", ".join(repr(v.info.type) for v in first.results)),
                ("another", ", ".join(repr(v.info.type) for v in other.results))]))
    parts = [closed(t) for t in traces]
    consts = [c for _, cs in parts for c in cs]

    def make(_: Program) -> Operation:
        from pullback.ops.control import Cond

        programs = tuple(_pad_branch(parts, k) for k in range(len(parts)))

        def define(index: Node, *nodes: Node) -> tuple[Node, ...]:
            return project(apply(Cond(programs), _to_index(index), *nodes))

        return Operation(define, "exact", True, False, _what)

    operation = first.memo(("cond", *((t.state, t.slots) for t in traces)), make)
    results = record(operation, [value_of(chooser), *consts, *(value_of(t) for t in tensors)])
    return tree.unflatten(first.structure, [cls(v) for cls, v in zip(first.classes, results, strict=True)])


def _to_index(node: Node) -> Node:
    from pullback.ops import build

    return build.reshape(build.convert(node, dtypes.int32), ())


def _pad_branch(parts: list[tuple[Program, list[Any]]], k: int) -> Program:
    """A branch over the consts of all branches."""
    from pullback.ir.node import param

    params: list[Node] = []
    for j, (program, consts) in enumerate(parts):
        own = program.params[:len(consts)]
        params.extend(own if j == k else [param(p.tensor) for p in own])
    program, consts = parts[k]
    return Program([*params, *program.params[len(consts):]], program.results)


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """Do not record for gradients: `with pb.no_grad(): ...`, or as a decorator."""
    return grad_mode(False)(function) if callable(function) else grad_mode(False)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record for gradients again inside `no_grad`."""
    return grad_mode(True)(function) if callable(function) else grad_mode(True)


def stop_gradient(x: Any) -> Any:
    """The same values as a constant for differentiation."""
    return detach(as_tensor(x, "stop_gradient"))


__all__ = ["Value", "call_operation", "cond", "enable_grad", "grad_mode", "no_grad", "scan", "stop_gradient", "switch",
           "while_loop"]

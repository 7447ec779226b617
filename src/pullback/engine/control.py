"""Structured control flow and user-given derivative rules: scan, cond, while_loop, checkpoint, custom_vjp, Function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from pullback.engine.autograd import call_operation
from pullback.engine.functional import Traced, as_tensor, cast, value_of
from pullback.engine.operation import Operation
from pullback.engine.tensor import TensorBase, detach
from pullback.engine.trace import Info, Value, record, thread, tracing
from pullback.ir import dtypes
from pullback.ir.node import Function as Program
from pullback.ir.node import Node, TensorType, apply, project
from pullback.util import tree
from pullback.util.errors import ArgumentError, GradientError, RuleError, ShapeError, message
from pullback.util.kinds import as_tuple, is_pair


def _leaves(what: str, structure_of: Any) -> tuple[list[TensorBase], Any]:
    leaves, structure = tree.flatten(structure_of)
    return [as_tensor(x, what) for x in leaves], structure


def _info(type: TensorType) -> Info:
    return Info.of(type, type.dtype.is_inexact)


def _staged(what: str, function: Callable[..., Any], tensors: Sequence[TensorBase], types: Sequence[TensorType],
            structure: Any) -> Traced:
    """Trace a body on arguments of the given types; `structure` is of its tuple of arguments."""
    return Traced(what, "staged", function, tensors, [_info(t) for t in types],
                  lambda new: (tuple(tree.unflatten(structure, new)), {}))


def _closed(traced: Traced) -> tuple[Program, list[Any]]:
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
    carry, carry_structure = _leaves("scan", init)
    inputs, xs_structure = _leaves("scan", xs)
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
    traced = _staged("scan", body, tensors, [*types, *slices], structure)
    new_carry, new_y = tree.unflatten(traced.structure, traced.outputs)
    _same_state("scan", types, traced, carry_structure, tree.flatten(new_carry)[1], len(carry))
    n = len(carry)

    def make(_: Program) -> Operation:
        from pullback.ops.control import Scan

        program, consts = _closed(traced)
        op = Scan(program, count, len(consts), n, reverse)
        return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, "scan")

    operation = traced.memo(("scan", count, n, reverse), make)
    closed = traced.leaves[len(tensors):]
    results = record(operation, [*closed, *(value_of(t) for t in tensors)])
    outputs = [cls(v) for cls, v in zip(traced.classes, results, strict=True)]
    y_structure = tree.flatten(new_y)[1]
    return tree.unflatten(carry_structure, outputs[:n]), tree.unflatten(y_structure, outputs[n:])


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init: Any) -> Any:
    """Repeat `state = body_fun(state)` while `cond_fun(state)` is true. Forward mode only.

    >>> import pullback as pb
    >>> pb.while_loop(lambda x: x < 100, lambda x: x * 2, 3)
    Tensor(192, dtype=int32)
    """
    state, state_structure = _leaves("while_loop", init)
    types = [t.info.type for t in state]
    _, structure = tree.flatten(tuple(state))

    def on_state(f: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda *new: f(tree.unflatten(state_structure, list(new)))

    condition = _staged("while_loop", on_state(cond_fun), state, types, structure)
    if len(condition.results) != 1 or condition.results[0].info.type != TensorType.of((), dtypes.bool_):
        raise ArgumentError(message("while_loop: the condition must return one bool",
                                    [("returned", ", ".join(repr(v.info.type) for v in condition.results))],
                                    "return a comparison, reduced with .any() or .all()"))
    body = _staged("while_loop", on_state(body_fun), state, types, structure)
    _same_state("while_loop", types, body, state_structure, body.structure, len(state))
    cond_program, cond_consts = _closed(condition)
    body_program, body_consts = _closed(body)
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
    tensors, structure = _leaves(_what, tuple(operands))
    types = [t.info.type for t in tensors]
    traces = [_staged(_what, b, tensors, types, structure) for b in branches]
    first = traces[0]
    for other in traces[1:]:
        same = other.structure == first.structure and all(
            a.info.type is b.info.type for a, b in zip(first.results, other.results, strict=True))
        if not same:
            raise ArgumentError(message(f"{_what}: all branches must return the same structure and types", [
                ("one", ", ".join(repr(v.info.type) for v in first.results)),
                ("another", ", ".join(repr(v.info.type) for v in other.results))]))
    parts = [_closed(t) for t in traces]
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


# -- rules given by the user -----------------------------------------------------------------------------------------


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its intermediate results are computed again in the backward pass instead of being kept."""

    @wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        tensors, structure = _leaves("checkpoint", tuple(args))
        traced = Traced("checkpoint", "eager", function, tensors, [_info(t.info.type) for t in tensors],
                        lambda new: (tuple(tree.unflatten(structure, new)), kwargs))

        def make(program: Program) -> Operation:
            from pullback.transforms import remat

            return Operation(lambda *nodes: remat(program)(*nodes), "exact", True, False, "checkpoint")

        operation = traced.memo("checkpoint", make)
        results = record(operation, traced.bind([value_of(t) for t in tensors]))
        return tree.unflatten(traced.structure, [cls(v) for cls, v in zip(traced.classes, results, strict=True)])

    return checkpointed


class custom_vjp:
    """A function with its own reverse rule: `f.defvjp(fwd, bwd)`, `fwd(*args) -> (result, residuals)`,
    `bwd(residuals, cotangent) -> cotangents of the arguments` (a tuple; None for a zero)."""

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.function, self.nondiff = function, tuple(nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.__name__ = getattr(function, "__name__", "custom_vjp")
        self.__doc__ = function.__doc__

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the forward rule and the reverse rule."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise RuleError(message("custom_vjp: the rules are missing", help="call f.defvjp(fwd, bwd) first"))
        static = [args[k] for k in self.nondiff]
        moving = tuple(a for k, a in enumerate(args) if k not in self.nondiff)
        tensors, structure = _leaves("custom_vjp", moving)
        function, fwd, bwd = (_with_static(f, self.nondiff, static) for f in (self.function, self.fwd, self.bwd))
        bwd = self.bwd

        def pull(residuals: Any, cotangent: Any) -> Any:
            assert bwd is not None
            return bwd(*static, residuals, cotangent)

        return _call_custom("custom_vjp", function, fwd, pull, tensors, structure)


def _with_static(f: Callable[..., Any], positions: tuple[int, ...], static: list[Any]) -> Callable[..., Any]:
    def bound(*moving: Any) -> Any:
        args = list(moving)
        for position, value in zip(positions, static, strict=True):
            args.insert(position, value)
        return f(*args)

    return bound


def _call_custom(what: str, function: Callable[..., Any] | None, fwd: Callable[..., Any], bwd: Callable[..., Any],
                 tensors: list[TensorBase], structure: Any) -> Any:
    """Record a call whose derivative is the user's: function, fwd and bwd are traced once each. Without a function,
    the value is that of fwd."""
    infos = [_info(t.info.type) for t in tensors]

    def rebuild(new: list[Any]) -> Any:
        return tuple(tree.unflatten(structure, new)), {}

    forward = Traced(what, "eager", fwd, tensors, infos, rebuild)
    primal = Traced(what, "eager", function, tensors, infos, rebuild) if function is not None else forward
    pair = tree.unflatten(forward.structure, forward.outputs)
    if not is_pair(pair):
        raise ArgumentError(message(f"{what}: fwd must return a pair (result, residuals)"))
    values, structure_of_value = tree.flatten(pair[0])
    out_structure = primal.structure if function is not None else structure_of_value
    count = len(values)
    residual_structure = tree.flatten(pair[1])[1]
    back = _trace_bwd(what, bwd, forward, count, residual_structure, out_structure, tensors)
    consts = [traced.leaves[len(traced.params):] for traced in (primal, forward, back)]

    def make(_: Program) -> Operation:
        program, forward_program, backward_program = (_closed(traced)[0] for traced in (primal, forward, back))
        program = Program(program.params, program.results[:count])
        numbers = (*map(len, consts), count, len(tensors))
        return _custom_operation(program, forward_program, backward_program, numbers)

    operation = primal.memo(("custom", count, forward.state, forward.slots, back.state, back.slots), make)
    results = record(operation, [*(c for part in consts for c in part), *(value_of(t) for t in tensors)])
    return tree.unflatten(out_structure, [cls(v) for cls, v in zip(primal.classes[:count], results, strict=True)])


def _trace_bwd(what: str, bwd: Callable[..., Any], forward: Traced, count: int, residual_structure: Any,
               out_structure: Any, tensors: list[TensorBase]) -> Traced:
    values = [*forward.results[count:], *forward.results[:count]]
    split = len(forward.results) - count
    stand_ins = [TensorBase.default_class(v) for v in values]

    def run(*new: Any) -> Any:
        found = as_tuple(bwd(tree.unflatten(residual_structure, list(new[:split])),
                             tree.unflatten(out_structure, list(new[split:]))))
        flat: list[Any] = []
        for x in found:
            flat.extend([None] if x is None else tree.leaves(x))
        if len(flat) != len(tensors):
            raise RuleError(message(f"{what}: the reverse rule must return one cotangent per argument",
                                    [("arguments", str(len(tensors))), ("returned", str(len(flat)))],
                                    "return None for arguments without a gradient"))
        return [_fit_cotangent(what, x, t) for x, t in zip(flat, tensors, strict=True)]

    with tracing("staged", what):
        _, structure = tree.flatten(tuple(stand_ins))
        return _staged(what, run, stand_ins, [v.info.type for v in values], structure)


def _fit_cotangent(what: str, x: Any, tensor: TensorBase) -> Any:
    from pullback.engine.functional import _zeros  # pyright: ignore[reportPrivateUsage]

    if x is None:
        return _zeros(tensor.info.type)
    x = as_tensor(x, what)
    if x.shape != tensor.shape:
        raise ShapeError(message(f"{what}: a cotangent must have the shape of its argument",
                                 [("argument", repr(tensor.info.type)), ("cotangent", repr(x.info.type))]))
    return TensorBase.default_class(cast(x, tensor.info.type))


def _custom_operation(program: Program, forward: Program, backward: Program, numbers: tuple[int, ...]) -> Operation:
    """`numbers`: consts of the three programs, results, arguments. Operands: all consts, then the arguments."""
    from pullback.ir.node import param
    from pullback.ops.control import Custom

    n, f, b, results, _ = numbers
    spare = [param(p.tensor) for p in (*forward.params[:f], *backward.params[:b])]
    whole = Program([*program.params[:n], *spare, *program.params[n:]], program.results)

    def vjp_rule(inputs: Sequence[Node], outputs: Sequence[Node], cotangents: Sequence[Node]) -> list[Node | None]:
        args = inputs[n + f + b:]
        residuals = forward(*inputs[n:n + f], *args)[results:]
        found = backward(*inputs[n + f:n + f + b], *residuals, *cotangents)
        return [*(None for _ in range(n + f + b)), *found]

    op = Custom(whole, None, vjp_rule, "custom_vjp")
    return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, "custom_vjp")


class custom_jvp:
    """A function with its own forward rule: `f.defjvp(rule)`, `rule(primals, tangents) -> (result, tangent)`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.rule: Callable[..., Any] | None = None
        self.__name__ = getattr(function, "__name__", "custom_jvp")
        self.__doc__ = function.__doc__

    def defjvp(self, rule: Callable[..., Any]) -> None:
        """Give the forward rule."""
        self.rule = rule

    def __call__(self, *args: Any) -> Any:
        rule = self.rule
        if rule is None:
            raise RuleError(message("custom_jvp: the rule is missing", help="call f.defjvp(rule) first"))
        tensors, structure = _leaves("custom_jvp", tuple(args))
        infos = [_info(t.info.type) for t in tensors]
        primal = Traced("custom_jvp", "eager", self.function, tensors, infos,
                        lambda new: (tuple(tree.unflatten(structure, new)), {}))
        count = len(tensors)

        def run(*new: Any) -> Any:
            return rule(tuple(tree.unflatten(structure, list(new[:count]))),
                        tuple(tree.unflatten(structure, list(new[count:]))))

        both = [*tensors, *tensors]
        _, both_structure = tree.flatten(tuple(both))
        pushed = _staged("custom_jvp", run, both, [t.info.type for t in both], both_structure)
        program, consts = _closed(primal)
        rule_program, rule_consts = _closed(pushed)

        def make(_: Program) -> Operation:
            return _custom_jvp_operation(program, rule_program, len(consts), len(rule_consts))

        operation = primal.memo(("custom_jvp", pushed.state, pushed.slots), make)
        results = record(operation, [*consts, *rule_consts, *(value_of(t) for t in tensors)])
        return tree.unflatten(primal.structure, [cls(v) for cls, v in zip(primal.classes, results, strict=True)])


def _custom_jvp_operation(program: Program, rule: Program, n: int, r: int) -> Operation:
    from pullback.ir.node import param
    from pullback.ops import build
    from pullback.ops.control import Custom

    spare = [param(p.tensor) for p in rule.params[:r]]
    whole = Program([*program.params[:n], *spare, *program.params[n:]], program.results)
    results = len(program.results)

    def jvp_rule(inputs: Sequence[Node], tangents: Sequence[Node | None]) -> tuple[list[Node], list[Node]]:
        args = inputs[n + r:]
        seeds = [t if t is not None else build.zeros(x.tensor.shape, x.tensor.dtype)
                 for t, x in zip(tangents[n + r:], args, strict=True)]
        found = rule(*inputs[n:n + r], *args, *seeds)
        return list(found[:results]), list(found[results:])

    op = Custom(whole, jvp_rule, None, "custom_jvp")
    return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, "custom_jvp")


class Context:
    """What `forward` hands to `backward`: tensors by `save_for_backward`, anything else as attributes."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for `backward`, which finds them in `saved_tensors`."""
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors kept, in order."""
        return self._saved

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Results without a gradient."""

    def set_materialize_grads(self, value: bool) -> None:
        """Cotangents are always given."""


class Function:
    """A differentiable operation with its own backward: subclass with static methods `forward(ctx, ...)` and
    `backward(ctx, *grad_outputs)`, and call `.apply(...)`."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`; gradients go through `backward`."""
        positions = [k for k, a in enumerate(args) if isinstance(a, TensorBase)]
        tensors = [args[k] for k in positions]
        _, structure = tree.flatten(tuple(tensors))
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(a, TensorBase) and a.requires_grad for a in args)

        def run(*new: Any) -> Any:
            full = list(args)
            for k, x in zip(positions, new, strict=True):
                full[k] = x
            return cls.forward(ctx, *full)

        def fwd(*new: Any) -> Any:
            return run(*new), ctx.saved_tensors

        def bwd(residuals: Any, cotangent: Any) -> Any:
            saved = ctx.saved_tensors
            ctx.save_for_backward(*residuals)
            found = as_tuple(cls.backward(ctx, *as_tuple(cotangent)))
            ctx.save_for_backward(*saved)
            if len(found) != len(args):
                raise GradientError(message(f"{cls.__name__}.backward: must return a gradient per argument of forward",
                                            [("arguments", str(len(args))), ("returned", str(len(found)))],
                                            "return None for arguments without a gradient"))
            return tuple(found[k] for k in positions)

        return _call_custom(cls.__name__, None, fwd, bwd, tensors, structure)


class grad_mode:
    """Context manager and decorator that switches recording for gradients on or off in this thread."""

    __slots__ = ("before", "enabled")

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        here = thread.context
        self.before.append(here.grad_enabled)
        here.grad_enabled = self.enabled

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        thread.context.grad_enabled = self.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(self.enabled):
                return function(*args, **kwargs)

        return wrapped


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """Do not record for gradients: `with pb.no_grad(): ...`, or as a decorator."""
    return grad_mode(False)(function) if callable(function) else grad_mode(False)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record for gradients again inside `no_grad`."""
    return grad_mode(True)(function) if callable(function) else grad_mode(True)


def stop_gradient(x: Any) -> Any:
    """The same values as a constant for differentiation."""
    return detach(as_tensor(x, "stop_gradient"))


__all__ = ["Context", "Function", "Value", "call_operation", "checkpoint", "cond", "custom_jvp", "custom_vjp",
           "enable_grad", "grad_mode", "no_grad", "scan", "stop_gradient", "switch", "while_loop"]

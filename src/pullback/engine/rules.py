"""Derivatives given by the user, and computing again: custom_vjp, custom_jvp, Function, checkpoint.

The rules of a call are traced when it is recorded. A call inside a rule of the same function would trace them for ever:
its rules are traced when a derivative of that call is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from threading import get_ident
from types import CellType, FunctionType
from typing import Any

from pullback.engine.control import closed, info_of, leaves_of, staged
from pullback.engine.functional import Traced, as_tensor, cast, value_of
from pullback.engine.hooks import ascent_of
from pullback.engine.operation import Operation
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Value, record, tracing
from pullback.ir.node import Function as Program
from pullback.ir.node import Node, apply, project
from pullback.util import tree
from pullback.util.errors import ArgumentError, GradientError, RuleError, ShapeError, message
from pullback.util.kinds import as_tuple, is_pair


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its intermediate results are computed again in the backward pass instead of being kept."""

    @wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        tensors, structure = leaves_of("checkpoint", tuple(args))
        traced = Traced("checkpoint", "eager", function, tensors, [info_of(t.info.type) for t in tensors],
                        lambda new: (tuple(tree.unflatten(structure, new)), kwargs), writes=True)

        def make(program: Program) -> Operation:
            from pullback.transforms import remat

            return Operation(lambda *nodes: remat(program)(*nodes), "exact", True, False, "checkpoint")

        operation = traced.memo("checkpoint", make)
        results = record(operation, traced.bind([value_of(t) for t in tensors]))
        values, written = results[:len(traced.results)], results[len(traced.results):]
        traced.write_back(written)
        return tree.unflatten(traced.structure, [cls(v) for cls, v in zip(traced.classes, values, strict=True)])

    return checkpointed


class custom_vjp:
    """A function with its own reverse rule: `f.defvjp(fwd, bwd)`, `fwd(*args) -> (result, residuals)`,
    `bwd(residuals, cotangent) -> cotangents of the arguments` (a tuple; None for a zero)."""

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.function, self.nondiff = function, tuple(nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.calls = _Calls()
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
        tensors, structure = leaves_of("custom_vjp", moving)
        function, fwd = (_with_static(f, self.nondiff, static) for f in (self.function, self.fwd))
        rules = _Reverse("custom_vjp", fwd, partial(self.bwd, *static), structure)
        if self.calls.inside:
            return self.calls.record_later(function, tensors, rules, (self.fwd, self.bwd, *map(_meaning, static)))
        with self.calls.enter():
            return _call_custom(function, tensors, rules)


def _with_static(f: Callable[..., Any], positions: tuple[int, ...], static: list[Any]) -> Callable[..., Any]:
    def bound(*moving: Any) -> Any:
        args = list(moving)
        for position, value in zip(positions, static, strict=True):
            args.insert(position, value)
        return f(*args)

    return bound


class _Calls:
    """The calls of one function that has rules: in which threads they are being traced, and the operations of calls
    inside its own rules."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.operations: dict[Any, Operation] = {}

    @property
    def inside(self) -> bool:
        """Whether this thread traces a rule of the function."""
        return get_ident() in self.threads

    @contextmanager
    def enter(self) -> Generator[None]:
        me = get_ident()
        outermost = me not in self.threads
        self.threads.add(me)
        try:
            yield
        finally:
            if outermost:
                self.threads.discard(me)

    def record_later(self, function: Callable[..., Any], tensors: list[TensorBase], rules: _Forward | _Reverse,
                     meaning: tuple[Any, ...]) -> Any:
        """Record a call whose rules are traced when a derivative is taken. `meaning`: what else they depend on."""
        primal = rules.trace_primal(function, tensors)
        program, consts = closed(primal)
        key = (meaning, rules.structure, tuple(map(type, tensors)), primal.state, primal.slots)
        try:
            operation = self.operations.get(key)
        except TypeError:  # an argument that cannot be hashed
            key, operation = None, None
        if operation is None:
            operation = self.make(program, len(consts), tensors, rules)
            if key is not None:
                self.operations[key] = operation
        results = record(operation, [*consts, *(value_of(t) for t in tensors)])
        return tree.unflatten(primal.structure, [cls(v) for cls, v in zip(primal.classes, results, strict=True)])

    def make(self, program: Program, consts: int, tensors: list[TensorBase], rules: _Forward | _Reverse) -> Operation:
        from pullback.ops.control import Custom

        classes = [type(t) for t in tensors]
        types = [p.tensor for p in program.params[consts:]]

        def rule(inputs: Sequence[Node], *given: Sequence[Node]) -> Any:
            stand_ins = [cls.result_class(Value(None, -1, info_of(t))) for cls, t in zip(classes, types, strict=True)]
            with self.enter():
                return rules.differentiate(stand_ins, consts, inputs, given)

        forward, reverse = (rule, None) if isinstance(rules, _Forward) else (None, rule)
        op = Custom(program, forward, reverse, rules.what)
        return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, rules.what)


def _meaning(x: Any) -> Any:
    """What stands for an argument that is no array where programs are found again: functions made anew from the same
    code and values mean the same."""
    if isinstance(x, partial):
        found: Any = x  # pyright: ignore[reportUnknownVariableType]
        return ("partial", _meaning(found.func), *map(_meaning, found.args), *sorted(found.keywords.items()))
    if isinstance(x, FunctionType):
        cells: tuple[CellType, ...] = x.__closure__ or ()
        return (x.__code__, x.__defaults__, *(_meaning(cell.cell_contents) for cell in cells))
    return type(x), x


def _constants(what: str, program: Program, values: list[Any]) -> list[Node]:
    """What a rule closed over, as constants."""
    from pullback.engine.execute import observe
    from pullback.ops import build

    found: list[Node] = []
    for p, value in zip(program.params, values, strict=False):
        if type(value) is not Value:
            found.append(build.const_scalar(value, p.tensor.dtype))
        elif value.buffer is None:
            raise RuleError(message(f"{what}: inside its own rule, the function closes over a value being computed",
                                    [("value", repr(value.info.type))], "pass it as an argument"))
        else:
            shape = value.info.type.shape
            found.append(build.const_array(observe(value, what).numpy(p.tensor.dtype.numpy, shape).copy()))
    return found


class _Rules:
    """Rules of one call, whose arguments have a structure."""

    def __init__(self, what: str, structure: Any) -> None:
        self.what, self.structure = what, structure

    def trace_primal(self, function: Callable[..., Any], tensors: list[TensorBase]) -> Traced:
        traced = Traced(self.what, "eager", function, tensors, [info_of(t.info.type) for t in tensors],
                        lambda new: (tuple(tree.unflatten(self.structure, new)), {}))
        traced.refuse_writes(self.what)
        return traced


class _Forward(_Rules):
    """The forward rule of one call."""

    def __init__(self, what: str, rule: Callable[..., Any], structure: Any) -> None:
        super().__init__(what, structure)
        self.rule = rule

    def trace(self, tensors: list[TensorBase]) -> Traced:
        """The rule, recorded on primals and tangents: results, then their tangents."""
        count = len(tensors)

        def run(*new: Any) -> Any:
            return self.rule(tuple(tree.unflatten(self.structure, list(new[:count]))),
                             tuple(tree.unflatten(self.structure, list(new[count:]))))

        both = [*tensors, *tensors]
        _, structure = tree.flatten(tuple(both))
        return staged(self.what, run, both, [t.info.type for t in both], structure)

    def differentiate(self, tensors: list[TensorBase], consts: int, inputs: Sequence[Node], given: Any) -> Any:
        program, values = closed(self.trace(tensors))
        args, (tangents,) = inputs[consts:], given
        found = program(*_constants(self.what, program, values), *args, *tangents[consts:])
        count = len(found) // 2
        return list(found[:count]), list(found[count:])


class _Reverse(_Rules):
    """The two rules of one call for reverse mode."""

    def __init__(self, what: str, fwd: Callable[..., Any], bwd: Callable[..., Any], structure: Any) -> None:
        super().__init__(what, structure)
        self.fwd, self.bwd = fwd, bwd

    def trace(self, tensors: list[TensorBase], primal: Traced | None) -> tuple[Traced, Traced, int, Any]:
        """Both rules, recorded; how many results the function has, and their structure (the primal's where given)."""
        forward = self.trace_primal(self.fwd, tensors)
        pair = tree.unflatten(forward.structure, forward.outputs)
        if not is_pair(pair):
            raise ArgumentError(message(f"{self.what}: fwd must return a pair (result, residuals)"))
        values, of_value = tree.flatten(pair[0])
        of_result = primal.structure if primal is not None else of_value
        back = _trace_bwd(self.what, self.bwd, forward, len(values), tree.flatten(pair[1])[1], of_result, tensors)
        return forward, back, len(values), of_result

    def differentiate(self, tensors: list[TensorBase], consts: int, inputs: Sequence[Node], given: Any) -> Any:
        forward, back, count, _ = self.trace(tensors, None)
        there, there_values = closed(forward)
        again, again_values = closed(back)
        residuals = there(*_constants(self.what, there, there_values), *inputs[consts:])[count:]
        found = again(*_constants(self.what, again, again_values), *residuals, *given[1])
        return [*(None for _ in range(consts)), *found]


def _call_custom(function: Callable[..., Any] | None, tensors: list[TensorBase], rules: _Reverse) -> Any:
    """Record a call whose derivative is the user's: function, fwd and bwd are traced once each. Without a function,
    the value is that of fwd."""
    primal = rules.trace_primal(function, tensors) if function is not None else None
    forward, back, count, out_structure = rules.trace(tensors, primal)
    first = primal or forward
    consts = [traced.leaves[len(traced.params):] for traced in (first, forward, back)]

    def make(_: Program) -> Operation:
        program, forward_program, backward_program = (closed(traced)[0] for traced in (first, forward, back))
        program = Program(program.params, program.results[:count])
        numbers = (*map(len, consts), count, len(tensors))
        return _custom_operation(program, forward_program, backward_program, numbers)

    operation = first.memo(("custom", count, forward.state, forward.slots, back.state, back.slots), make)
    results = record(operation, [*(c for part in consts for c in part), *(value_of(t) for t in tensors)])
    return tree.unflatten(out_structure, [cls(v) for cls, v in zip(first.classes[:count], results, strict=True)])


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
        return staged(what, run, stand_ins, [v.info.type for v in values], structure)


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

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.function, self.nondiff = function, tuple(nondiff_argnums)
        self.rule: Callable[..., Any] | None = None
        self.calls = _Calls()
        self.__name__ = getattr(function, "__name__", "custom_jvp")
        self.__doc__ = function.__doc__

    def defjvp(self, rule: Callable[..., Any]) -> None:
        """Give the forward rule."""
        self.rule = rule

    def __call__(self, *args: Any) -> Any:
        rule = self.rule
        if rule is None:
            raise RuleError(message("custom_jvp: the rule is missing", help="call f.defjvp(rule) first"))
        static = [args[k] for k in self.nondiff]
        moving = tuple(a for k, a in enumerate(args) if k not in self.nondiff)
        tensors, structure = leaves_of("custom_jvp", moving)
        function = _with_static(self.function, self.nondiff, static)
        rules = _Forward("custom_jvp", partial(rule, *static), structure)
        if self.calls.inside:
            return self.calls.record_later(function, tensors, rules, (rule, *map(_meaning, static)))
        with self.calls.enter():
            primal = rules.trace_primal(function, tensors)
            pushed = rules.trace(tensors)
        program, consts = closed(primal)
        rule_program, rule_consts = closed(pushed)

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


def undifferentiable(what: str, function: Callable[..., Any], *args: TensorBase) -> TensorBase:
    """`function(*args)`, one array, of which a derivative with respect to the arguments is an error."""
    tensors, structure = leaves_of(what, args)
    traced = staged(what, function, tensors, [t.info.type for t in tensors], structure)
    program, consts = closed(traced)

    def refuse(*_: Any) -> Any:
        raise GradientError(message(f"{what}: has no derivative with respect to its parameters", [],
                                    "stop_gradient(parameters), or a sampler with a derivative"))

    def make(_: Program) -> Operation:
        from pullback.ops.control import Custom

        op = Custom(program, refuse, None, what)
        return Operation(lambda *nodes: project(apply(op, *nodes)), "exact", True, False, what)

    results = record(traced.memo(("undifferentiable", what), make), [*consts, *(value_of(t) for t in tensors)])
    return traced.classes[0](results[0])


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
    `backward(ctx, *grad_outputs)`, and call `.apply(...)`. With a static method `setup_context(ctx, inputs, output)`,
    `forward(...)` gets no ctx."""

    _calls = _Calls()
    setup_context: Callable[[Any, tuple[Any, ...], Any], None] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._calls = _Calls()

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
        wants = tuple(isinstance(a, TensorBase) and a.requires_grad for a in args)
        calls: _Calls = cls._calls
        rules = _Reverse(cls.__name__, *cls._rules(args, positions, wants), structure)
        if not calls.inside:
            with calls.enter():
                return _call_custom(None, tensors, rules)
        others = [_meaning(a) for k, a in enumerate(args) if k not in positions]
        return calls.record_later(lambda *new: rules.fwd(*new)[0], tensors, rules, (cls, wants, *others))

    @classmethod
    def _rules(cls, args: tuple[Any, ...], positions: list[int], wants: tuple[bool, ...]) -> tuple[Any, Any]:
        """`forward` and `backward` as functions of the tensors among the arguments."""
        ctx = Context()
        ctx.needs_input_grad = wants

        def fwd(*new: Any) -> Any:
            full = list(args)
            for k, x in zip(positions, new, strict=True):
                full[k] = x
            if cls.setup_context is None:
                return cls.forward(ctx, *full), ctx.saved_tensors
            result = cls.forward(*full)
            cls.setup_context(ctx, tuple(full), result)
            return result, ctx.saved_tensors

        def bwd(residuals: Any, cotangent: Any) -> Any:
            saved = ctx.saved_tensors
            ctx.save_for_backward(*residuals)
            found = as_tuple(cls.backward(ctx, *map(ascent_of, as_tuple(cotangent))))
            ctx.save_for_backward(*saved)
            if len(found) < len(args) or any(x is not None for x in found[len(args):]):  # None for defaults left out
                raise GradientError(message(f"{cls.__name__}.backward: must return a gradient per argument of forward",
                                            [("arguments", str(len(args))), ("returned", str(len(found)))],
                                            "return None for arguments without a gradient"))
            return tuple(ascent_of(found[k]) for k in positions)

        return fwd, bwd

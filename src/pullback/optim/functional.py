"""Optimisers as pure functions on pytrees.

    optimiser = pb.optim.functional.adam(lr=1e-3)
    state = optimiser.init(params)
    params, state = optimiser.update(grads, state, params)

They work under `pb.jit`, inside `pb.scan`, and can be differentiated. Numbers may be given anew at each update
(`update(grads, state, params, lr=rate)`), as Python numbers or 0-dimensional tensors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from pullback.api import entries as table_entries
from pullback.api._lazy import build
from pullback.api.complex_parts import complex_of_parts, parts_of
from pullback.engine.operation import Operation
from pullback.engine.tensor import TensorBase, from_host, zeros_at_once
from pullback.engine.trace import Operand
from pullback.ir.dtypes import DType, float32, numpy_dtype
from pullback.ir.node import Function, Node, TensorType, apply, param, project
from pullback.ops.control import Call
from pullback.optim.expr import Expr, cast, double
from pullback.optim.rules import RULES, Bag, Group, Rule, Slot
from pullback.util import tree
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, TreeError, ValueError_, message

OFTEN = 3  # parameters of equal types: their steps call one function


class Structure:
    """The static arguments of an operation, interned: equal ones are one object, and their hash is its address."""

    __slots__ = ("pairs",)
    _table: ClassVar[dict[tuple[tuple[str, Any], ...], Structure]] = {}

    def __init__(self, pairs: tuple[tuple[str, Any], ...]) -> None:
        self.pairs = pairs

    @staticmethod
    def of(pairs: tuple[tuple[str, Any], ...]) -> Structure:
        found = Structure._table.get(pairs)
        return found if found is not None else Structure._table.setdefault(pairs, Structure(pairs))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.pairs)

    def __repr__(self) -> str:
        return repr(self.pairs)


class Raw(Operation):
    """An operation whose operands keep their dtypes: numbers stay float64 until they meet a tensor."""

    __slots__ = ()

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        result = self.define(*(o.node for o in operands))
        return ((result,) if isinstance(result, Node) else tuple(result)), ""


class Reach:
    """What of a parameter and its state a step reads and writes: all of it."""

    def __init__(self, gradient: Node) -> None:
        self.gradient = gradient

    def read(self, x: Node) -> Node:
        """What is stepped of an array."""
        return x

    def written(self, x: Node, new: Node) -> Node:
        """The array after the step."""
        return new


class Rows(Reach):
    """The slices of the first `leading` dimensions that a sparse gradient has entries for."""

    def __init__(self, parameter: Node, entries: Node, places: Node, leading: int) -> None:
        self.leading = leading
        self.places, gradient = table_entries.merged(places, entries, math.prod(parameter.shape[:leading]))
        super().__init__(gradient)

    def _table(self, x: Node) -> Node:
        return x if self.leading == 1 else build.reshape(x, (-1, *x.shape[self.leading:]))

    def read(self, x: Node) -> Node:
        return build.gather(self._table(x), self.places, 0, "clip")

    def written(self, x: Node, new: Node) -> Node:
        return build.reshape(build.scatter(self._table(x), self.places, new, 0, "set", "fill"), x.shape)


def sparse_reach(parameter: Node, entries: Node, places: Node, leading: int, on_rows: bool) -> Reach:
    """The rows that have an entry, or all, with zeros for the others."""
    if on_rows:
        return Rows(parameter, entries, places, leading)
    return Reach(table_entries.dense(places, entries, parameter.shape, leading))


class Update(Raw):
    """One step for all parameters of a group as one recorded operation.

    Operands: parameters, gradients, places of sparse gradients, each slot's tensors, shared scalars, numbers. Results:
    parameters, each slot's tensors, shared scalars. `sparse` says which gradients are sparse, and how many dimensions
    their places are in; their operand is the entries. With `on_rows`, only what has an entry is stepped.
    """

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        super().__init__(self._define, "none", True, False, rule.name)
        self.rule = rule

    def _define(self, *nodes: Node, count: int, have: tuple[tuple[str, tuple[int, ...]], ...],
                scalars: tuple[str, ...], sparse: tuple[tuple[int, int], ...] = (), on_rows: bool = False,
                **flags: Any) -> tuple[Node, ...]:
        rule = self.rule
        stream = iter(nodes)
        params = [next(stream) for _ in range(count)]
        grads = [next(stream) for _ in range(count)]
        places = {k: (next(stream), leading) for k, leading in sparse}
        states: list[dict[str, Node]] = [{} for _ in range(count)]
        for name, members in have:
            for k in members:
                states[k][name] = next(stream)
        shared = {name: Expr(next(stream)) for name in scalars}
        numbers = {name: Expr(next(stream)) for name in rule.names}
        new_shared = dict(shared)
        if "step" in shared:
            new_shared["step"] = shared["step"] + 1
            numbers["step"] = double(new_shared["step"])
        given = Given(dict(new_shared), numbers, flags)
        often = Counter(_types(p, g, state) for p, g, state in zip(params, grads, states, strict=True))
        bodies: dict[Types, Call] = {}
        new_params: list[Node] = []
        new_states: list[dict[str, Node]] = []
        for k, (p, g, state) in enumerate(zip(params, grads, states, strict=True)):
            types = _types(p, g, state)
            if k not in places and often[types] >= OFTEN:
                new = _called(rule, p, g, state, given, bodies, types)
            else:
                part = Reach(g) if k not in places else sparse_reach(p, g, *places[k], on_rows)
                new = _stepped(rule, p, part, state, given)
            new_params.append(new[0])
            new_states.append(new[1])
            new_shared = new[2]
        slots = [new_states[k][name] for name, members in have for k in members]
        return (*new_params, *slots, *(new_shared[name].node for name in scalars))


Types = tuple[TensorType, ...]
Stepped = tuple[Node, dict[str, Node], dict[str, Expr]]  # a parameter, its state, and what all share


class Given:
    """What the steps of all parameters read."""

    __slots__ = ("flags", "numbers", "shared")

    def __init__(self, shared: dict[str, Expr], numbers: dict[str, Expr], flags: dict[str, Any]) -> None:
        self.shared, self.numbers, self.flags = shared, numbers, flags

    def nodes(self) -> list[Node]:
        return [x.node for x in (*self.shared.values(), *self.numbers.values())]


def _types(p: Node, g: Node, state: dict[str, Node]) -> Types:
    return tuple([x.tensor for x in (p, g, *state.values())])


def _stepped(rule: Rule, p: Node, part: Reach, state: dict[str, Node], given: Given) -> Stepped:
    """A parameter's step."""
    if rule.real_only and p.dtype.kind == "c":
        raise DTypeError(message(f"{rule.name} does not support complex parameters", [("parameter", repr(p.type))],
                                 "step its real and imaginary parts as parameters"))
    bag = Bag(**{name: _wide(part.read(n), p.dtype) for name, n in state.items()}, **given.shared)
    new = rule.update(_wide(part.read(p), p.dtype), _wide(part.gradient, p.dtype), bag, Bag(**given.numbers),
                      Bag(**given.flags, dtype=p.dtype))
    return (part.written(p, _narrow(new, p.dtype)),
            {name: part.written(n, _narrow(getattr(bag, name), n.dtype)) for name, n in state.items()},
            {name: getattr(bag, name) for name in given.shared})


def _wide(x: Node, dtype: DType) -> Expr:
    """What a rule sees of an array. Half precision is updated in float32 and rounded once; of complex numbers both
    parts are stepped, as real numbers along a last dimension."""
    if dtype.kind == "c":
        return Expr(parts_of(build.convert(x, dtype)))
    return cast(Expr(x), float32 if dtype.bits < 32 else dtype)


def _narrow(x: Expr, dtype: DType) -> Node:
    """The array again."""
    if dtype.kind == "c":
        return build.convert(complex_of_parts(x.node), dtype)
    return cast(x, dtype).node


def _called(rule: Rule, p: Node, g: Node, state: dict[str, Node], given: Given, bodies: dict[Types, Call],
            types: Types) -> Stepped:
    """The same, by calling a function that all parameters of equal types share: recorded in a third of the time."""
    inputs = [p, g, *state.values(), *given.nodes()]
    call = bodies.get(types)
    if call is None:
        params = [param(x.tensor) for x in inputs]
        stream = iter(params)
        q, h = next(stream), next(stream)
        own = {name: next(stream) for name in state}
        shared, numbers = ({name: Expr(next(stream)) for name in names} for names in (given.shared, given.numbers))
        inner = Given(shared, numbers, given.flags)
        new, after, shared = _stepped(rule, q, Reach(h), own, inner)
        results = (new, *after.values(), *(x.node for x in shared.values()))
        call = bodies[types] = Call(Function(params, results), rule.name)
    new, *rest = project(apply(call, *inputs))
    after = dict(zip(state, rest, strict=False))
    return new, after, {name: Expr(x) for name, x in zip(given.shared, rest[len(state):], strict=True)}


OPERATIONS: dict[str, Update] = {name: Update(rule) for name, rule in RULES.items()}


def have_of(slots: tuple[Slot, ...], ranks: list[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Which parameters have which slot."""
    return tuple((s.name, tuple(k for k, r in enumerate(ranks) if s.rank[0] <= r <= s.rank[1])) for s in slots)


def first_state(slot: Slot, group: Group, shape: tuple[int, ...], dtype: DType) -> Any:
    """The tensor of a slot before the first step: a concrete one, so that the first step records like all others."""
    start: complex = slot.start(group)
    if not start:
        return zeros_at_once(slot.shape(shape), dtype)
    if dtype.kind == "c":
        start = complex(start, start)
    return from_host(np.full(slot.shape(shape), start, numpy_dtype(dtype)), dtype)


def first_scalar(value: float) -> Any:
    return from_host(np.full((), value, np.float32), float32)


class Transform:
    """An optimiser as a pair of pure functions, `init` and `update`, with its hyperparameters."""

    def __init__(self, rule: Rule, hyper: dict[str, Any]) -> None:
        self.rule, self.hyper = rule, {**dict(rule.defaults), **_known(rule, hyper)}

    def __repr__(self) -> str:
        return f"{self.rule.name.lower()}({', '.join(f'{k}={v!r}' for k, v in self.hyper.items())})"

    def init(self, params: Any) -> dict[str, Any]:
        """The state before the first step: a dict of pytrees shaped like `params`, and scalars."""
        leaves, structure = tree.flatten(params)
        tensors = [_tensor(x) for x in leaves]
        state: dict[str, Any] = {}
        for slot in self.rule.slots(self.hyper):
            state[slot.name] = tree.unflatten(structure, [
                first_state(slot, self.hyper, t.shape, t.dtype) if slot.rank[0] <= t.ndim <= slot.rank[1]
                else first_scalar(0.0) for t in tensors])
        for name, start in self.rule.shared(self.hyper):
            state[name] = first_scalar(start(self.hyper))
        return state

    def update(self, grads: Any, state: dict[str, Any], params: Any, **hyper: Any) -> tuple[Any, dict[str, Any]]:
        """New parameters and new state."""
        group = {**self.hyper, **_known(self.rule, hyper)}
        leaves, structure = tree.flatten(params)
        found, grad_structure = tree.flatten(grads)
        if grad_structure != structure:
            raise TreeError(message(f"{self.rule.name}: gradients must have the structure of the parameters",
                                    [("params", str(structure)), ("grads", str(grad_structure))],
                                    "take them with pb.grad(loss)(params, ...)"))
        tensors = [_tensor(x) for x in leaves]
        gradients = [_tensor(x) for x in found]
        for t, g in zip(tensors, gradients, strict=True):
            if t.shape != g.shape:
                raise ShapeError(message(f"{self.rule.name}: a gradient must have the shape of its parameter",
                                         [("param", repr(t.info.type)), ("grad", repr(g.info.type))]))
        have = have_of(self.rule.slots(group), [t.ndim for t in tensors])
        scalars = tuple(name for name, _ in self.rule.shared(group))
        slots = {name: tree.flatten(state[name])[0] for name, _ in have}
        operands = [*tensors, *gradients, *(slots[name][k] for name, members in have for k in members),
                    *(state[name] for name in scalars), *map(number, self.rule.numbers(group))]
        results = OPERATIONS[self.rule.name](*operands, count=len(tensors), have=have, scalars=scalars,
                                             **dict(self.rule.flags(group)))
        stream = iter(results if isinstance(results, tuple) else (results,))
        new_params = tree.unflatten(structure, [next(stream) for _ in tensors])
        for name, members in have:
            for k in members:
                slots[name][k] = next(stream)
        new_state = {name: tree.unflatten(structure, slots[name]) for name, _ in have}
        return new_params, {**new_state, **{name: next(stream) for name in scalars}}


def number(x: Any) -> Any:
    """A hyperparameter as an operand: a float, or a 0-dimensional tensor."""
    if type(x) is float:
        return x
    if isinstance(x, TensorBase):
        if x.size_ != 1 or x.ndim:
            raise ValueError_(message("optimiser: a hyperparameter must be one number", [("given", repr(x.info.type))],
                                      "pass a Python number or a 0-dimensional tensor"))
        return x
    return float(x)


def _tensor(x: Any) -> Any:
    if not isinstance(x, TensorBase):
        raise ArgumentError(message("optimiser: not a tensor", [("leaf", f"{type(x).__name__} {x!r:.60}")],
                                    "parameters and gradients are pytrees of tensors"))
    return x


def _known(rule: Rule, hyper: dict[str, Any]) -> dict[str, Any]:
    names = dict(rule.defaults)
    for name in hyper:
        if name not in names:
            raise ArgumentError(message(f"{rule.name}: no such hyperparameter", [("given", name)],
                                        "it has " + ", ".join(names)))
    return hyper


def sgd(**hyper: Any) -> Transform:
    """Stochastic gradient descent with momentum: lr, momentum, dampening, weight_decay, nesterov, maximize."""
    return Transform(RULES["SGD"], hyper)


def adam(**hyper: Any) -> Transform:
    """Adam: lr, betas, eps, weight_decay, amsgrad, maximize."""
    return Transform(RULES["Adam"], hyper)


def adamw(**hyper: Any) -> Transform:
    """Adam with decoupled weight decay: lr, betas, eps, weight_decay, amsgrad, maximize."""
    return Transform(RULES["AdamW"], hyper)


def nadam(**hyper: Any) -> Transform:
    """Adam with Nesterov momentum: lr, betas, eps, weight_decay, momentum_decay."""
    return Transform(RULES["NAdam"], hyper)


def radam(**hyper: Any) -> Transform:
    """Rectified Adam: lr, betas, eps, weight_decay."""
    return Transform(RULES["RAdam"], hyper)


def adamax(**hyper: Any) -> Transform:
    """Adam with the infinity norm: lr, betas, eps, weight_decay."""
    return Transform(RULES["Adamax"], hyper)


def lion(**hyper: Any) -> Transform:
    """Lion: lr, betas, weight_decay."""
    return Transform(RULES["Lion"], hyper)


def rmsprop(**hyper: Any) -> Transform:
    """RMSprop: lr, alpha, eps, weight_decay, momentum, centered."""
    return Transform(RULES["RMSprop"], hyper)


def adagrad(**hyper: Any) -> Transform:
    """Adagrad: lr, lr_decay, weight_decay, initial_accumulator_value, eps."""
    return Transform(RULES["Adagrad"], hyper)


def adadelta(**hyper: Any) -> Transform:
    """Adadelta: lr, rho, eps, weight_decay."""
    return Transform(RULES["Adadelta"], hyper)


def asgd(**hyper: Any) -> Transform:
    """Averaged SGD: lr, lambd, alpha, t0, weight_decay."""
    return Transform(RULES["ASGD"], hyper)


def rprop(**hyper: Any) -> Transform:
    """Resilient backpropagation: lr, etas, step_sizes."""
    return Transform(RULES["Rprop"], hyper)


def adafactor(**hyper: Any) -> Transform:
    """Adafactor: lr, beta2_decay, eps, d, weight_decay."""
    return Transform(RULES["Adafactor"], hyper)


def muon(**hyper: Any) -> Transform:
    """Muon, for matrices: lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn."""
    return Transform(RULES["Muon"], hyper)

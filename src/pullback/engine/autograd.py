"""Reverse mode over recorded traces: `backward()`, `gradients`.

Each trace is a program; its gradient is a Function made once per (structure, roots) and recorded as a single step. A
history that spans several traces (a value was printed half-way) is walked trace by trace, newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.engine.execute import FreedTrace, GoneTrace, flush
from pullback.engine.hooks import AfterHook, apply_hooks, ascent, ascent_of, call_hooks, first_slot
from pullback.engine.known import record_sum
from pullback.engine.operation import Operation
from pullback.engine.parts import Part, accumulate_part
from pullback.engine.tensor import AutogradMeta, TensorBase
from pullback.engine.trace import Info, State, Trace, Value, local, new, record, thread
from pullback.ir.node import Function, Node, Proj, TensorType, apply, param, project, topological
from pullback.util.collector import Seldom
from pullback.util.errors import GradientError, message

#: calls for gradients after which a thread's pending work is launched: of a loop that reads nothing and changes nothing
#: in place, each turn would make a longer program than the one before, and never one met again
SWEEPS = 8
#: launched traces that gradients are taken through in one program. Of more, as of a game whose moves were asked for one
#: by one, each is launched by itself: games of any length need the same programs then
APART = 3


def call_operation(function: Function, label: str, differentiable: bool = True) -> Operation:
    """An operation that is a call of a Function."""
    def define(*nodes: Node) -> tuple[Node, ...]:
        from pullback.ops.control import Call

        return project(apply(Call(function, label), *nodes))

    return Operation(define, "exact", differentiable, False, label)


def residual_slots(nodes: list[Node], leaf_slots: list[int], wrt_slots: list[int],
                   roots: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the gradient of the roots needs of a trace that is launched with its history.

    First the slots that it reads, besides leaves: their values are kept. Then those of `wrt_slots` that it does not
    reach: what lies behind them may be let go.
    """
    gradients, _ = _pullback(nodes, list(roots), [nodes[s] for s in wrt_slots])
    skip = set(wrt_slots)
    slot_of = {node: slot for slot, node in reversed(list(enumerate(nodes))) if slot not in skip}
    found = topological([g for g in gradients if g is not None], slot_of)
    leaves = set(leaf_slots)
    apart = tuple(s for s, g in zip(wrt_slots, gradients, strict=True) if g is None)
    return tuple(slot_of[n] for n in found if n in slot_of and slot_of[n] not in leaves), apart


def _pullback(nodes: list[Node], roots: list[int], wrt: list[Node],
              given: tuple[bool, ...] | None = None) -> tuple[list[Node | None], list[Node]]:
    """Gradients of slots, and the roots' own, parameters or, where they are not given, ones: None for what the roots do
    not depend on, zeros for what they depend on by steps alone."""
    from pullback.transforms import pullback_nodes, zeros_where_linked

    results = [nodes[r] for r in roots]
    cotangents = [param(x.tensor) if flag else _ones(x.tensor)
                  for x, flag in zip(results, given or (True,) * len(results), strict=True)]
    return zeros_where_linked(results, pullback_nodes(results, cotangents, wrt), wrt), cotangents


class Plan:
    """The gradient of one trace: an operation, where its inputs come from, where its results go."""

    __slots__ = ("after", "freed", "inputs", "key", "operation", "order", "targets", "visited", "wrt")

    def __init__(self, trace: Trace, roots: tuple[int, ...], given: tuple[bool, ...], extra: tuple[int, ...],
                 available: frozenset[int] | None) -> None:
        nodes = trace.graph()
        wrt = list(dict.fromkeys((*trace.state.gradient_slots(), *extra)))
        gradients, cotangents = _pullback(nodes, list(roots), [nodes[s] for s in wrt], given)
        kept = [(s, g) for s, g in zip(wrt, gradients, strict=True) if g is not None]
        results = [g for _, g in kept]
        self.wrt = [s for s, _ in kept]
        self.order: dict[int | None, int] = {s: k for k, s in enumerate(self.wrt)}
        self.visited = _between(nodes, roots, wrt)
        leaf_slots = trace.state.leaf_slots()
        usable = set(range(len(nodes))) if available is None else available | set(leaf_slots)
        slot_of = {nodes[s]: s for s in sorted(usable, reverse=True)}
        #: where each result goes: its slot, and the position of that slot among the leaves (-1: none)
        positions = {slot: k for k, slot in enumerate(leaf_slots)}
        self.targets = [(s, positions.get(s, -1)) for s in self.wrt]
        explicit = [c for c, flag in zip(cotangents, given, strict=True) if flag]
        stops = [n for n in topological(results, [*slot_of, *explicit]) if n in slot_of]
        infos = _infos(trace)
        self.inputs = [(slot_of[n], infos[slot_of[n]], positions.get(slot_of[n], -1)) for n in stops]
        function = Function([*stops, *explicit], results)
        self.operation = call_operation(function, "backward")
        self.freed = frozenset(self.visited)
        #: the key of the recorded step where all inputs are slots of the current trace
        self.key = (self.operation, *(slot for slot, _, _ in self.inputs), None)
        #: the state after that step, once it was found
        self.after: State | None = None


def _ones(type: TensorType) -> Node:
    from pullback.ops import build

    return build.full(type.shape, 1.0, type.dtype)


def _between(nodes: list[Node], roots: tuple[int, ...], wrt: list[int]) -> set[int]:
    """Slots on a path from the leaves to the roots that a derivative takes."""
    every = topological([nodes[r] for r in roots])
    ends = [node for node in every if not node.op.passes_derivatives]
    reached = set(topological([nodes[r] for r in roots], ends)).difference(ends)
    depends: set[Node] = {nodes[s] for s in wrt}
    for node in every:
        if node.op.passes_derivatives and any(x in depends for x in node.inputs):
            depends.add(node)
    leaves, visited = set(wrt), reached & depends
    visited |= _beside(nodes, visited)
    return {s for s, n in enumerate(nodes) if s not in leaves and n in visited}


def _beside(nodes: list[Node], visited: set[Node]) -> set[Node]:
    """What can be differentiated only through an operation of several results that was visited for another of them."""
    if not any(isinstance(n.op, Proj) for n in visited):
        return set()
    found: set[Node] = set()
    for node in topological(nodes):
        sibling = isinstance(node.op, Proj) and node not in visited and node.inputs[0] in visited
        if sibling or any(x in found for x in node.inputs):
            found.add(node)
    return found


def _infos(trace: Trace) -> list[Info]:
    """The Info of every slot: results know theirs, leaves have their type."""
    found: list[Info] = []
    gradient = set(trace.state.gradient_slots())
    for state in trace.state.path():
        count = len(state.own) - len(state.infos)
        for node in state.own[:count]:
            found.append(Info.of(node.tensor, len(found) in gradient))
        found.extend(state.infos)
    return found


def _still_needed(trace: Trace) -> dict[int, Any] | None:
    """The values that the gradients of what was launched with a history, and not differentiated yet, will read."""
    rest = tuple([s for s in trace.history if s not in trace.freed])
    if not rest or trace.buffers is None:
        return None
    needed = trace.state.memo.get(("needed", rest))
    if needed is None:
        state = trace.state
        found, _ = residual_slots(trace.graph(), state.leaf_slots(), state.gradient_slots(), rest)
        needed = state.memo["needed", rest] = frozenset((*found, *rest))
    return {s: b for s, b in trace.buffers.items() if s in needed}


class Sweep:
    """One reverse sweep: cotangents waiting at slots of traces, and what was collected."""

    def __init__(self, create_graph: bool, retain_graph: bool, targets: dict[tuple[int, int], int],
                 sinks: dict[AutogradMeta, int] | None) -> None:
        self.create_graph, self.retain_graph = create_graph, retain_graph
        self.targets = targets  # (trace serial, slot) -> index of a wanted gradient
        self.sinks = sinks  # None: accumulate into every leaf; else leaf -> index of a wanted gradient
        self.concrete: dict[Value, int] = {}  # leaves without a tensor's gradient side -> index of a wanted gradient
        self.collected: dict[int, Value] = {}
        self.hooked: dict[AutogradMeta, Value] = {}  # gradients of leaves that have hooks
        self.parts: list[tuple[Part, Any]] = []  # what arrived at parts of leaves, as gradients of the whole
        self.waiting: dict[int, tuple[Trace, dict[int, Value | None]]] = {}

    def push(self, value: Value, cotangent: Value | None) -> None:
        """A cotangent (None: one) of a value."""
        trace = value.trace
        if value.sink is not None:
            self.deliver(value.sink, cotangent if cotangent is not None else _one(value.info.type))
            return
        if trace is None or not value.info.requires_grad:
            if value in self.concrete:
                self.collect(self.concrete[value], cotangent if cotangent is not None else _one(value.info.type))
            return
        if type(trace) is FreedTrace and not self.behind(trace, value.slot):
            return
        if isinstance(trace, GoneTrace):
            raise GradientError(message(
                "backward: the graph of this value has been freed by an earlier backward()",
                [("value", repr(value.info.type))], "call backward(retain_graph=True) the first time"))
        _, slots = self.waiting.setdefault(trace.serial, (trace, {}))
        before = slots.get(value.slot)
        if before is not None and cotangent is not None:
            cotangent = record(add_operation(), [before, cotangent])[0]
        slots[value.slot] = cotangent

    def deliver(self, sink: AutogradMeta, cotangent: Value) -> None:
        """A cotangent has arrived at a leaf tensor."""
        if type(sink) is Part:
            self.parts.append((sink, sink.lift(TensorBase.default_class(ascent(cotangent)))))
            return
        if self.sinks is not None:
            if sink in self.sinks:
                self.collect(self.sinks[sink], cotangent)
            return
        if not sink.hooks:
            accumulate(sink, cotangent)
            return
        before = self.hooked.get(sink)  # hooks see the whole gradient, once
        self.hooked[sink] = cotangent if before is None else record(add_operation(), [before, cotangent])[0]

    def behind(self, trace: FreedTrace, slot: int) -> bool:
        """Whether a wanted gradient lies, or may lie, behind a value whose history was let go."""
        if self.sinks is None or self.targets:
            return True
        for origin in _origins(trace, slot):
            owner = trace.owners.get(origin)
            if owner is not None and owner() in self.sinks:
                return True
            found, had_history = trace.origins.get(origin, (None, False))
            leaf = found() if found is not None else None
            if leaf is None:
                if had_history:
                    return True
                continue
            if leaf in self.concrete or (leaf.sink is not None and leaf.sink in self.sinks):
                return True
            if type(leaf.trace) is FreedTrace:
                if self.behind(leaf.trace, leaf.slot):
                    return True
            elif leaf.trace is not None:
                return True
        return False

    def collect(self, index: int, cotangent: Value) -> None:
        before = self.collected.get(index)
        self.collected[index] = cotangent if before is None else record(add_operation(), [before, cotangent])[0]

    def run(self) -> None:
        crossed = 0
        while self.waiting:
            crossed = max(crossed, len(self.waiting) - 1)
            trace, slots = self.waiting.pop(max(self.waiting))
            here = local.trace
            if trace is not here:
                crossed += 1
                if crossed > APART and here.kind == "main" and not self.create_graph:
                    flush(here)  # what came before: the loss, or another trace's part
            self.step(trace, slots)
        for sink, cotangent in self.hooked.items():
            accumulate(sink, cotangent)
        wholes = [part.whole for part, _ in self.parts] if self.sinks is None else []
        for whole, (_, gradient) in zip(wholes, self.parts):
            accumulate_part(whole, gradient)
        for sink in dict.fromkeys((*self.hooked, *wholes)):
            for hook in tuple(sink.hooks):
                if type(hook) is AfterHook:
                    hook.run()
        for sink, index in (self.sinks or {}).items():
            if sink.hooks and index in self.collected:
                self.collected[index] = ascent(call_hooks(sink.hooks, ascent(self.collected[index])))

    def step(self, trace: Trace, slots: dict[int, Value | None]) -> None:
        """Differentiate one trace from some of its slots."""
        current = trace is local.trace
        roots = tuple(sorted(slots))
        if not current and trace.buffers is None and trace.remember:
            known = FreedTrace(trace)
            if not any(self.behind(known, slot) for slot in roots):
                return
        if (not current and trace.buffers is None) or not trace.freed.isdisjoint(roots):
            raise GradientError(message(
                "backward: the graph of this value has been freed by an earlier backward()",
                help="call backward(retain_graph=True) the first time"))
        wanted = [s for t, s in self.targets if t == trace.serial]
        if trace.hooks or wanted:
            visited = self.in_parts(trace, slots, wanted)
        else:
            visited = self.through(trace, slots, (), {})
        if not self.retain_graph:
            trace.freed = trace.freed | visited
            if trace.hooks:
                trace.hooks = {s: h for s, h in trace.hooks.items() if s not in visited}
            if not current:
                trace.buffers = _still_needed(trace)

    def through(self, trace: Trace, slots: dict[int, Value | None], stops: tuple[int, ...],
                arrived: dict[int, Value | None]) -> set[int]:
        """Differentiate one trace from some of its slots up to its leaves and to `stops`, whose gradients are added to
        `arrived`. Returns the slots between."""
        current = trace is local.trace
        roots = tuple(sorted(slots))
        given = tuple(slots[r] is not None for r in roots)
        available = None if current else frozenset(trace.buffers or ())
        key = ("backward", roots, given, stops, available)
        plan = trace.state.memo.get(key)
        if plan is None:
            plan = trace.state.memo[key] = Plan(trace, roots, given, stops, available)
            real = all(trace.graph()[s].dtype.kind != "c" for s in plan.wrt)
            if current and len(roots) == 1 and not given[0] and not stops and real:
                trace.state.memo[roots[0]] = plan  # for `_known_backward` and `known_gradients`
        if plan.wrt:
            results = self.record_plan(trace, plan, [slots[r] for r in roots], current)
            self.deliver_results(trace, plan, results, stops, arrived)
        return plan.visited

    def in_parts(self, trace: Trace, slots: dict[int, Value | None], wanted: list[int]) -> set[int]:
        """`through`, where gradients are looked at or wanted on the way."""
        wanted_at: dict[int, list[int]] = {}
        for slot in wanted:
            wanted_at.setdefault(first_slot(trace, slot), []).append(slot)
        stops = {*(trace.hooks or ()), *wanted_at}
        arrived: dict[int, Value | None] = {}
        visited: set[int] = set()
        roots: dict[int, Value | None] = {}
        for slot, cotangent in slots.items():
            first = first_slot(trace, slot)
            _add(arrived if first in stops else roots, first if first in stops else slot, cotangent, trace)
        if roots:
            visited |= self.through(trace, roots, tuple(sorted(stops)), arrived)
        while arrived:
            slot = max(arrived)
            cotangent = arrived.pop(slot)
            stops.discard(slot)
            if cotangent is None:
                cotangent = _one(trace.graph()[slot].tensor)
            cotangent = apply_hooks(trace, slot, cotangent)
            for target in wanted_at.pop(slot, ()):
                self.collect(self.targets[trace.serial, target], cotangent)
            if self.goes_on(trace, wanted_at):
                visited |= self.through(trace, {slot: cotangent}, tuple(sorted(stops)), arrived)
        return visited

    def goes_on(self, trace: Trace, wanted_at: dict[int, list[int]]) -> bool:
        """Whether anything is wanted beyond a value in the middle of a trace."""
        return self.sinks is None or bool(self.sinks or self.concrete or wanted_at) \
            or any(serial < trace.serial for serial, _ in self.targets)

    def record_plan(self, trace: Trace, plan: Plan, cotangents: list[Value | None], current: bool) -> tuple[Value, ...]:
        arguments: list[Any] = []
        for slot, info, position in plan.inputs:
            if current:
                arguments.append(Value(trace, slot, info))
            elif position >= 0:
                leaf = trace.leaves[position]
                variable = info.requires_grad and leaf.info is not info
                arguments.append(Value(trace, slot, info, leaf.buffer) if variable else leaf)
            else:
                assert trace.buffers is not None
                arguments.append(Value(trace, slot, info, trace.buffers[slot]))
        arguments.extend(c for c in cotangents if c is not None)
        return record(plan.operation, arguments)

    def deliver_results(self, trace: Trace, plan: Plan, results: tuple[Value, ...], stops: tuple[int, ...],
                        arrived: dict[int, Value | None]) -> None:
        sinks = trace.sinks
        for (slot, position), cotangent in zip(plan.targets, results, strict=True):
            if slot in stops:
                _add(arrived, slot, cotangent, trace)
                continue
            sink = sinks.get(slot) if sinks is not None else None
            if sink is not None:
                self.deliver(sink, cotangent)
            elif position >= 0:
                leaf = trace.leaves[position]
                if leaf.sink is not None or leaf.trace is not trace:
                    self.push(leaf, cotangent)


def _add(table: dict[int, Value | None], slot: int, cotangent: Value | None, trace: Trace) -> None:
    """Add a cotangent (None: one) of a slot."""
    if slot not in table:
        table[slot] = cotangent
        return
    both = [x if x is not None else _one(trace.graph()[slot].tensor) for x in (table[slot], cotangent)]
    table[slot] = record(add_operation(), both)[0]


def _origins(trace: Trace, slot: int) -> tuple[int, ...]:
    """The slots of the leaves that require gradients on which a slot depends."""
    key = ("origins", slot)
    found = trace.state.memo.get(key)
    if found is None:
        nodes = trace.state.nodes()
        reached = set(topological([nodes[slot]]))
        found = trace.state.memo[key] = tuple(s for s in trace.state.gradient_slots() if nodes[s] in reached)
    return found


def accumulate(sink: AutogradMeta, cotangent: Value) -> None:
    """Add a gradient to a leaf tensor's `.grad`."""
    here = thread.context
    track = here.trace if here.trace.kind != "main" else None
    cotangent = ascent(cotangent)
    if sink.hooks:
        cotangent = call_hooks(sink.hooks, cotangent)
    if track is not None:
        track.note_mutation(id(sink), GradHolder(sink), sink.grad)
    grad = sink.grad
    if grad is None:
        sink.grad = TensorBase.default_class(cotangent)
        return
    before = grad._use()
    if here.track is not None:
        here.track[before] = GradHolder(sink)
    total = record(add_operation(), [before, cotangent])[0]
    if track is not None or grad.is_sparse:
        sink.grad = TensorBase.default_class(total)
    else:
        grad._value = total


class GradHolder:
    """Puts a `.grad` back after tracing (see `trace.restore_mutations`)."""

    __slots__ = ("sink",)

    def __init__(self, sink: AutogradMeta) -> None:
        self.sink = sink

    @property
    def _value(self) -> Any:
        return self.sink.grad

    @_value.setter
    def _value(self, grad: Any) -> None:
        self.sink.grad = grad

    _meta = None

    def _use(self) -> Value:
        """The present gradient's value."""
        return self.sink.grad._use()

    _peek = _use


def _one(type: TensorType) -> Value:
    from pullback.engine.operation import operation

    key = "ones"
    if key not in _operations:
        _operations[key] = operation(differentiable=False, name="ones")(_ones)
    return record(_operations[key], [], (("type", type),))[0]


_operations: dict[str, Operation] = {}


def add_operation() -> Operation:
    if "add" not in _operations:
        from pullback.ops import build

        _operations["add"] = Operation(build.add, "none", True, False, "accumulate")
    return _operations["add"]


def backward(tensor: TensorBase, gradient: Any = None, retain_graph: bool | None = None,
             create_graph: bool = False, inputs: Sequence[Any] | None = None) -> None:
    """Accumulate the gradient of `tensor` into `.grad` of every leaf it depends on, or of `inputs` only."""
    if inputs is not None:
        _backward_into(tensor, gradient, retain_graph, create_graph, inputs)
        return
    if gradient is None and not create_graph and not retain_graph and _known_backward(
            tensor._value):  # pyright: ignore[reportPrivateUsage]
        return
    value = _root(tensor, gradient, "backward")
    retain = bool(create_graph if retain_graph is None else retain_graph)
    with Seldom():
        sweep(([value], [ascent_of(gradient)]), create_graph, retain, {}, None)


def _backward_into(tensor: TensorBase, gradient: Any, retain_graph: bool | None, create_graph: bool,
                   inputs: Sequence[Any]) -> None:
    chosen = list({id(x): x for x in inputs}.values())
    for x in chosen:
        if not isinstance(x, TensorBase) or not x.requires_grad:
            what = repr(x.info.type) if isinstance(x, TensorBase) else type(x).__name__
            raise GradientError(message("backward: inputs= are tensors that require gradients", [("input", what)],
                                        "set requires_grad=True on it before computing"))
    if not chosen:
        raise GradientError(message("backward: inputs= is empty", help="leave it out for all leaves"))
    found = gradients([tensor], chosen, [gradient], retain_graph, create_graph, allow_unused=True)
    here = local
    before, here.grad_enabled = here.grad_enabled, create_graph
    try:
        for x, g in zip(chosen, found, strict=True):
            if g is not None:
                x.grad = g if x.grad is None else x.grad + g
    finally:
        here.grad_enabled = before
    for x in chosen:
        meta = x._meta  # pyright: ignore[reportPrivateUsage]
        for hook in tuple(meta.hooks or ()) if meta is not None else ():
            if type(hook) is AfterHook:
                hook.run()


def _known_backward(value: Value | None) -> bool:
    """The common case, seen before: all history in the current trace, all gradients go to leaf tensors."""
    here = thread.context
    trace = here.trace
    if value is None or value.trace is not trace or trace.freed or trace.hooks:
        return False
    state = trace.state
    plan: Plan | None = state.memo.get(value.slot)
    if plan is None:
        return False
    found = plan.after or _after(plan, state)
    if found is None or trace.kind != "main" or trace.sinks is None:
        return False
    try:
        sinks = [trace.sinks[slot] for slot in plan.wrt]
    except KeyError:
        return False
    for sink in sinks:
        if sink.hooks:  # a user's function, which may launch this trace half-way
            return False
    trace.state = found
    trace.freed = plan.freed
    slot = found.count - len(sinks)
    before, here.grad_enabled = here.grad_enabled, False
    try:
        for sink, info in zip(sinks, found.infos, strict=True):
            cotangent = new(Value)
            cotangent.trace, cotangent.slot, cotangent.info = trace, slot, info
            cotangent.buffer = cotangent.sink = None
            trace.values.append(cotangent)
            slot += 1
            grad = sink.grad
            if grad is None:
                sink.grad = TensorBase.default_class(cotangent)
            else:
                total = None if grad._value is None else record_sum(add_operation(), grad._value, cotangent)
                if total is None:
                    accumulate(sink, cotangent)
                else:
                    grad._value = total
    finally:
        here.grad_enabled = before
    return True


def _after(plan: Plan, state: State) -> State | None:
    """The state that recording a plan's step leads to; None where it was not recorded yet."""
    plan.after = state.next.get(plan.key)
    return plan.after


def known_gradients(tensor: TensorBase, inputs: Sequence[Any]) -> list[Value] | None:
    """The common case of `gradients`, seen before: all history in the current trace, one number, all inputs leaves
    that it depends on. None where it is another case."""
    value = tensor._value  # pyright: ignore[reportPrivateUsage]
    trace = thread.context.trace
    if value is None or value.trace is not trace or trace.kind != "main" or trace.hooks:
        return None
    plan: Plan | None = trace.state.memo.get(value.slot)
    if plan is None:
        return None
    found = plan.after or _after(plan, trace.state)
    if found is None:
        return None
    sinks = trace.sinks or {}
    for slot, position in plan.targets:  # a leaf with a history of its own, or part of another, needs the general way
        sink = sinks.get(slot)
        if type(sink) is Part or (sink is None and (position < 0 or trace.leaves[position].trace is not None)):
            return None
    positions: list[int] = []
    for x in inputs:
        if not isinstance(x, TensorBase):
            return None
        meta, own = x._meta, x._value  # pyright: ignore[reportPrivateUsage]
        leaf = own if meta is None else meta.leaf
        if leaf is None or (meta is not None and meta.source is not own):
            return None
        k = plan.order.get(leaf.slot if leaf.trace is trace else trace.leaf_slots.get(leaf))
        if k is None:
            return None
        positions.append(k)
    trace.state = found
    slot = found.count - len(found.infos)
    results: list[Value] = []
    for info in found.infos:
        cotangent = new(Value)
        cotangent.trace, cotangent.slot, cotangent.info = trace, slot, info
        cotangent.buffer = cotangent.sink = None
        results.append(cotangent)
        slot += 1
    trace.values.extend(results)
    trace.freed = trace.freed | plan.freed if trace.freed else plan.freed
    return [results[k] for k in positions]


def _root(tensor: TensorBase, gradient: Any, what: str) -> Value:
    value = tensor._use()  # pyright: ignore[reportPrivateUsage]
    if not value.info.requires_grad:
        raise GradientError(message(
            f"{what}: this tensor does not depend on anything that requires gradients",
            [("tensor", repr(value.info.type))],
            "set requires_grad=True on the inputs before computing, and do not compute under no_grad()"))
    if gradient is None and value.info.type.size != 1:
        raise GradientError(message(
            f"{what}: a gradient can be taken of one number only, unless gradient= is given",
            [("tensor", repr(value.info.type))], "reduce first, for example x.sum().backward(), or pass gradient="))
    if gradient is None and value.info.type.dtype.kind == "c":
        raise GradientError(message(
            f"{what}: a gradient is taken of a real number, unless gradient= is given",
            [("tensor", repr(value.info.type))], "reduce to one first: x.abs().sum(), x.real.sum()"))
    if gradient is not None and gradient.shape != value.info.type.shape:
        raise GradientError(message(
            f"{what}: gradient= must have the shape of the tensor",
            [("tensor", repr(value.info.type)), ("gradient", repr(gradient.info.type))], "pass pb.ones_like(x)"))
    return value


def sweep(roots: tuple[list[Value], list[Any]], create_graph: bool, retain_graph: bool,
          targets: dict[tuple[int, int], int], sinks: dict[AutogradMeta, int] | None,
          concrete: dict[Value, int] | None = None) -> Sweep:
    here = local
    before = here.grad_enabled
    here.grad_enabled = create_graph
    try:
        state = Sweep(create_graph, retain_graph, targets, sinks)
        state.concrete = concrete or {}
        for value, gradient in zip(*roots, strict=True):
            if gradient is not None:  # its history is part of the graph: gradients are linear in it
                gradient = gradient._use() if create_graph else gradient._peek()
            state.push(value, gradient)
        state.run()
    finally:
        here.grad_enabled = before
    trace = here.trace
    trace.swept += 1
    if trace.swept >= SWEEPS and trace.kind == "main":
        flush(trace)
    return state


def gradients(outputs: list[TensorBase], inputs: list[TensorBase], grad_outputs: list[Any] | None = None,
              retain_graph: bool | None = None, create_graph: bool = False, allow_unused: bool = False) -> list[Any]:
    """Gradients of the sum of outputs with respect to inputs, without touching `.grad`."""
    given = grad_outputs or [None] * len(outputs)
    values = [_root(t, g, "grad") for t, g in zip(outputs, given, strict=True)]
    targets: dict[tuple[int, int], int] = {}
    sinks: dict[AutogradMeta, int] = {}
    concrete: dict[Value, int] = {}
    for k, tensor in enumerate(inputs):
        value = tensor._use()  # pyright: ignore[reportPrivateUsage]
        if value.sink is not None:
            sinks[value.sink] = k
        elif value.trace is not None and value.info.requires_grad:
            targets[(value.trace.serial, value.slot)] = k
        elif value.info.requires_grad:
            concrete[value] = k
    retain = bool(create_graph if retain_graph is None else retain_graph)
    state = sweep((values, list(map(ascent_of, given))), create_graph, retain, targets, sinks, concrete)
    cls = TensorBase.default_class
    found: dict[int, Any] = {k: cls(ascent(v)) for k, v in state.collected.items()}
    for part, gradient in state.parts:
        if part.whole in sinks:
            k = sinks[part.whole]
            found[k] = found[k] + gradient if k in found else gradient
    missing = [k for k in range(len(inputs)) if k not in found]
    if missing and not allow_unused:
        raise GradientError(message(
            "grad: an input was not used to compute the outputs", [("inputs", f"number {missing[0]}")],
            "pass allow_unused=True to get None for it"))
    return [found.get(k) for k in range(len(inputs))]

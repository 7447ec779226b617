"""Recording: values, traces and the table of all structures seen.

Every operation on tensors is recorded in the current `Trace` as one step in a trie of `State`s. The key of a step is
the operation, its static arguments and where its operands come from (an earlier slot, a new leaf of some type, a
Python scalar). A loop body that records the same structure again therefore walks the same states: one dictionary
lookup per operation, no type rule, no graph. The graph of a state is built from the path to it, only when it is new.

Leaves are values from outside (concrete arrays, values of an enclosing trace, Python scalars). Slots number leaves and
results in order of appearance.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from pullback.engine import explain
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Node, TensorType, param
from pullback.util import config
from pullback.util.errors import ConcretizationError, TracerLeakError, message


class Info:
    """What is known of a slot: type, whether it depends on something that requires gradients, weak scalar kind."""

    __slots__ = ("_leaf", "requires_grad", "type", "weak")
    _table: ClassVar[dict[tuple[TensorType, bool, str], Info]] = {}

    def __init__(self, type: TensorType, requires_grad: bool, weak: str) -> None:
        self.type, self.requires_grad, self.weak = type, requires_grad, weak
        self._leaf: Info | None = None

    @property
    def leaf(self) -> Info:
        """The same for a leaf that requires gradients."""
        found = self._leaf
        if found is None:
            found = self._leaf = Info.of(self.type, True, self.weak)
        return found

    @staticmethod
    def of(type: TensorType, requires_grad: bool = False, weak: str = "") -> Info:
        key = (type, requires_grad, weak)
        found = Info._table.get(key)
        return found if found is not None else Info._table.setdefault(key, Info(type, requires_grad, weak))


class Value:
    """An immutable array: the result of a recorded step (`trace`, `slot`), or a concrete one (`buffer`), or both."""

    __slots__ = ("__weakref__", "buffer", "info", "sink", "slot", "trace")

    def __init__(self, trace: Trace | None, slot: int, info: Info, buffer: Any = None, sink: Any = None) -> None:
        self.trace, self.slot, self.info, self.buffer, self.sink = trace, slot, info, buffer, sink


class Operand:
    """An operand as an operation's definition sees it: a node, and whether it is a weak Python scalar."""

    __slots__ = ("node", "weak")

    def __init__(self, node: Node, weak: str) -> None:
        self.node, self.weak = node, weak


#: slots after which a thread's pending work is launched whatever happens
TRACE_LIMIT = 2000
#: slots after which it is launched where it is a loop's turns, without gradients, over and over
REPEAT_LIMIT = 64
#: static arguments with which an operation may be recorded at one point before it is launched by itself
VARIANTS = 4


class State:
    """One point in the trie: the step that led here and what follows. `own` are the nodes of its new slots."""

    __slots__ = ("base", "count", "full", "grad_slots", "infos", "last", "leaves", "memo", "next", "own", "parent",
                 "programs", "single", "step")
    total: ClassVar[int] = 0

    def __init__(self, parent: State | None, leaves: tuple[int, ...], own: list[Node], infos: tuple[Info, ...],
                 grad_slots: tuple[int, ...] = (), step: Any = None) -> None:
        self.parent = parent
        self.base = parent.count if parent is not None else 0
        self.count = self.base + len(own)
        self.leaves = leaves  # slots of the leaves this step brought in
        self.own = own
        self.infos = infos  # of the results: the last slots
        self.step = step  # the operation
        #: launch when this state is reached: too long, or a whole number of turns of a loop
        self.full = self.count >= TRACE_LIMIT
        #: the Info of the only result; None sends recording the general way (several results, or a full trace)
        self.single = infos[0] if len(infos) == 1 and not self.full else None
        self.grad_slots = grad_slots  # new leaves that require gradients
        self.next: dict[Any, State] = {}
        self.programs: dict[Any, Any] = {}
        self.last: Any = None  # the plan that was launched last from here, where it may be launched again as it is
        self.memo: dict[Any, Any] = {}
        State.total += 1

    def launch_here(self) -> None:
        """Have whatever is recorded launched where this state is reached."""
        self.full, self.single = True, None

    def path(self) -> list[State]:
        found: list[State] = []
        state: State | None = self
        while state is not None:
            found.append(state)
            state = state.parent
        found.reverse()
        return found

    def nodes(self) -> list[Node]:
        """The node of every slot."""
        return [node for state in self.path() for node in state.own]

    def leaf_slots(self) -> list[int]:
        return [slot for state in self.path() for slot in state.leaves]

    def gradient_slots(self) -> list[int]:
        return [slot for state in self.path() for slot in state.grad_slots]


def new_root() -> State:
    return State(None, (), [], ())


_root = new_root()
_constant_root = new_root()


def reset_table() -> None:
    """Forget all recorded structures: they are recorded anew, compiled programs come from the disk cache."""
    global _root, _constant_root
    _root, _constant_root = new_root(), new_root()
    State.total = 2
    trace = thread.context.trace
    if trace.kind == "main" and trace.state.parent is None:  # nothing is recorded in it yet
        trace.state = _root


#: told the nodes of each new step and its operation, while programs are watched for NaN
recorded: Callable[[list[Node], Any], None] | None = None
STATE_LIMIT = 200_000


_NONE: frozenset[Any] = frozenset()
_serials = itertools.count(1)
new = object.__new__
#: `type` of one argument as any class: what `type` itself gives for an argument of any type is unknown to pyright
class_of: Callable[[Any], Any] = type


class Trace:
    """A program being recorded.

    `kind`: "main" (a thread's pending work), "eager" (inside pb.grad and its like, values may be asked for) or "staged"
    (inside jit, vmap, scan: values may not).
    """

    kind: str = "main"
    what: str = ""
    outer: Trace | None = None
    nodes: list[Node] | None = None
    sinks: dict[int, Any] | None = None  # gradient side of the tensors whose leaves were recorded here, by slot
    hooks: dict[int, list[tuple[Value | None, list[Any], bool]]] | None = None  # of values in the middle (see hooks.py)
    freed: frozenset[int] = _NONE
    remember: bool = False  # keep what its values depend on when its history is let go
    swept: int = 0  # calls for gradients recorded, those of known structures aside
    stepped: bool = False  # a gradient was recorded: the next gradient call begins a new step
    buffers: dict[int, Any] | None = None
    moving: bool = False  # a part of an array was read at another place than before
    patches: int = 0  # writes of what is known into parts of arrays that are part of it
    history: tuple[int, ...] = ()  # what was held with a history when this was launched, by slot
    mutated: dict[int, Any] | None = None  # tensors changed in place while tracing, with their value before
    #: `carry` of many at once: identities of the values before, and those that replaced them
    exchanged: list[tuple[list[int], Sequence[Value]]] | None = None

    def __init__(self, kind: str = "main", outer: Trace | None = None, what: str = "") -> None:
        self.values: list[Value] = []
        self.leaves: list[Any] = []  # Values and Python scalars, in the order of their slots
        #: the slot of a leaf; its complement where the slot is a gradient's variable, and this a use without history
        self.leaf_slots: dict[Value, int] = {}
        #: in-place results that replaced values from before this trace, with the slots of those (None where not read)
        self.carried: dict[Value, int | None] = {}
        self.serial = next(_serials)
        self.constants = False
        if outer is None and kind == "main":  # every step of a loop passes here
            self.state = _root
            if what:
                self.what = what
            return
        self.kind, self.outer, self.what = kind, outer, what
        self.constants = kind == "staged" or (outer is not None and outer.constants)
        self.state = _constant_root if self.constants else _root
        self.params: list[Value] = []
        self.param_sources: list[Value | None] = []

    @property
    def base(self) -> Trace:
        """The trace that owns the gradient leaves used here: the thread's own, or that of the jit around."""
        trace = self
        while trace.outer is not None and not trace.is_jit:
            trace = trace.outer
        return trace

    def move(self, before: Trace, after: Trace) -> None:
        """Lie in the trace that follows one around this, which was launched meanwhile."""
        if after is not before:
            trace = self
            while trace.outer is not before:
                assert trace.outer is not None
                trace = trace.outer
            trace.outer = after

    @property
    def is_jit(self) -> bool:
        return self.what.startswith("jit")

    def close(self) -> None:
        """Let go of everything recorded: values point to their trace, and must not be kept alive by it in turn."""
        self.values, self.leaves, self.leaf_slots, self.nodes = [], [], {}, None
        if self.outer is not None:
            self.params, self.param_sources = [], []
        self.outer = None

    def note_mutation(self, key: int, holder: Any, before: Any) -> None:
        """Remember what a tensor held before it was changed in place in this trace."""
        if self.mutated is None:
            self.mutated = {}
        self.mutated.setdefault(key, (holder, before))

    def carry(self, old: Value, value: Value) -> None:
        """Remember that a value from before this trace was replaced in place."""
        carried = self.carried
        carried[value] = carried.pop(old) if old in carried else self.leaf_slots.get(old)

    def exchange(self, before: list[Value], values: Sequence[Value]) -> None:
        """`carry` of many at once, which holds nothing of what was before: a program may write over it."""
        self.exchanged = [*(self.exchanged or ()), ([*map(id, before)], values)]

    def replaced(self) -> dict[int, int]:
        """The slots of values that in-place operations put in the place of leaves, with the slots of these."""
        slots: dict[int, int | None] = {id(leaf): s for leaf, s in self.leaf_slots.items()}
        slots |= {id(v): s for v, s in self.carried.items()}
        found = dict(self.carried)
        for before, values in self.exchanged or ():
            found |= {v: slots.get(k) for k, v in zip(before, values, strict=True)}
            slots |= {id(v): found[v] for v in values}
        return {v.slot: s if s >= 0 else ~s for v, s in found.items() if s is not None}

    # -- leaves --------------------------------------------------------------------------------------------------
    def gradient_leaf(self, value: Value, sink: Any) -> Value:
        """The leaf that stands for a concrete value where gradients are taken with respect to it."""
        state = self.state
        info = value.info.leaf
        found = state.next.get(info)
        if found is None:
            nodes = self._materialise_nodes()
            found = self.extend(info, (state.count,), [param(info.type)], (info,), (state.count,))
            nodes.extend(found.own)
        self.state = found
        slot = state.count
        leaf = new(Value)
        leaf.trace, leaf.slot, leaf.info, leaf.buffer, leaf.sink = self, slot, info, None, sink
        self.leaves.append(value)
        self.leaf_slots[value] = ~slot
        if self.sinks is None:
            self.sinks = {slot: sink}
        else:
            self.sinks[slot] = sink
        return leaf

    def admit(self, value: Value) -> None:
        """Check that a value may become a leaf here."""
        if value.buffer is not None:
            return
        home = value.trace
        trace = self.outer
        while trace is not None:
            if trace is home:
                return
            trace = trace.outer
        if home is not None and home.kind == "main" and home.what == "":
            launch_other(home, value)
            return
        what = home.what if home is not None else "a transformation"
        raise TracerLeakError(message(
            f"a traced value was used after {what or 'its trace'} had ended", [("value", repr(value.info.type))],
            "return it from the function instead of storing it outside"))

    def param(self, info: Info, source: Value | None = None) -> Value:
        """A new leaf that stands for an argument of the function being traced."""
        key = ("param", info)
        state = self.state.next.get(key)
        if state is None:
            self._materialise_nodes()
            node = param(info.type)
            slot = self.state.count
            state = self.extend(key, (slot,), [node], (info,), (slot,) if info.requires_grad else ())
        slot = self.state.count
        self.state = state
        if self.nodes is not None and len(self.nodes) < state.count:
            self.nodes.extend(state.own)
        value = Value(self, slot, info)
        self.params.append(value)
        self.param_sources.append(source)
        self.leaves.append(value)
        return value

    # -- steps ---------------------------------------------------------------------------------------------------
    def _materialise_nodes(self) -> list[Node]:
        if self.nodes is None or len(self.nodes) != self.state.count:
            self.nodes = self.state.nodes()
        return self.nodes

    def extend(self, key: Any, leaves: tuple[int, ...], own: list[Node], infos: tuple[Info, ...],
               grad_slots: tuple[int, ...], step: Any = None) -> State:
        """The state that a step not seen before leads to."""
        state = State(self.state, leaves, own, infos, grad_slots, step)
        if recorded is not None:
            recorded(own, step)
        return self.state.next.setdefault(key, state)

    def graph(self) -> list[Node]:
        """The node of every slot recorded so far."""
        return self._materialise_nodes()


class Context:
    """Per-thread state: the current trace, gradient mode, what jit is tracking."""

    __slots__ = ("grad_enabled", "precision", "trace", "track", "views")

    def __init__(self) -> None:
        self.trace = Trace("main")
        self.grad_enabled = True
        #: the dtype that `autocast` has products computed in (None: that of their operands)
        self.precision: Any = None
        #: while a jitted function is traced: tensors read, by value, so that later calls read them again
        self.track: dict[Value, Any] | None = None
        #: weak references to views made since the last flush
        self.views: list[Any] = []


class _ThreadLocal(threading.local):
    context: Context

    def __init__(self) -> None:
        self.context = Context()


thread = _ThreadLocal()


class Local:
    """The current thread's Context, spelled `local.trace`; hot paths read `thread.context` once instead."""

    __slots__ = ()

    @property
    def trace(self) -> Trace:
        return thread.context.trace

    @trace.setter
    def trace(self, trace: Trace) -> None:
        thread.context.trace = trace

    @property
    def grad_enabled(self) -> bool:
        return thread.context.grad_enabled

    @grad_enabled.setter
    def grad_enabled(self, flag: bool) -> None:
        thread.context.grad_enabled = flag

    @property
    def track(self) -> dict[Value, Any] | None:
        return thread.context.track

    @track.setter
    def track(self, table: dict[Value, Any] | None) -> None:
        thread.context.track = table


local = Local()
#: set by execute.py: launch a trace of another thread; observe
def unset(*_: Any) -> None:
    """Before execute.py has been loaded nothing can be pending."""


launch_other: Callable[[Trace, Value], None] = unset
boundary: Callable[[Trace], None] = unset

SCALARS: dict[type, str] = {float: "f", int: "i", bool: "b", complex: "c"}
IMMEDIATE = {"f": dtypes.float64, "i": dtypes.int64, "b": dtypes.bool_, "c": dtypes.complex128}


def record(op: Any, args: list[Any] | tuple[Any, ...], static: Any = ()) -> tuple[Value, ...]:
    """Record one step; `args` are Values and Python scalars, `static` is hashable. Returns the results.

    The key of a step is the operation and its operands: a slot, the complement of a gradient variable's slot that is
    used without history, the Info of a new leaf, or the type of a number. A last None says that gradients are off.
    """
    if static:
        op = op.bind(static)
    here = thread.context
    trace = here.trace
    grad_enabled = here.grad_enabled
    if trace.carried and grad_enabled and op.differentiable and _begins_step(trace, args):
        boundary(trace)
        trace = here.trace
    key: list[Any] = [op]
    leaves = trace.leaves
    state = trace.state
    mark = len(leaves)
    for a in args:
        if type(a) is Value:
            if a.trace is trace:
                key.append(a.slot)
            else:
                slot = trace.leaf_slots.get(a)
                if slot is None:
                    if a.buffer is None:
                        trace.admit(a)
                    trace.leaf_slots[a] = state.count + len(leaves) - mark
                    leaves.append(a)
                    key.append(a.info)
                else:
                    key.append(slot)
        elif trace.constants:
            key.append((type(a), repr(a)))
        else:
            key.append(type(a))
            leaves.append(a)
    if not grad_enabled:
        key.append(None)
    found = state.next.get(tuple(key))
    if found is None:
        found = _try_step(trace, op, args, tuple(key), grad_enabled, mark)
    trace.state = found
    infos = found.infos
    start = found.count - len(infos)
    values = tuple([Value(trace, start + k, info) for k, info in enumerate(infos)])
    trace.values.extend(values)
    if found.full and trace.kind == "main":
        boundary(trace)
    return values


def _begins_step(trace: Trace, args: list[Any] | tuple[Any, ...]) -> bool:
    """Whether an operation belongs to the next step of a loop: it reads what was updated in place, or, after gradients
    were taken, nothing of this trace but a new value that can be differentiated."""
    fresh = inside = False
    for a in args:
        if type(a) is not Value:
            continue
        if a in trace.carried:
            return True
        inside = inside or a.trace is trace or a in trace.leaf_slots
        fresh = fresh or a.info.requires_grad
    return fresh and not inside and bool(trace.freed)


def _try_step(trace: Trace, op: Any, args: Any, key: tuple[Any, ...], grad_enabled: bool, mark: int) -> State:
    """A new step; where its type rule refuses, the trace is left as it was."""
    try:
        return _new_step(trace, op, args, key, grad_enabled)
    except BaseException:
        undo_leaves(trace, mark)
        raise


def turns_of_a_loop(state: State) -> bool:
    """Whether the steps so far are a whole number of equal turns, at least three, none of them for gradients.

    Launched there, a loop that nobody observes starts its next turns at the same state: one program serves them all.
    """
    path = state.path()[1:]
    if any(s.grad_slots for s in path):
        return False
    steps = [s.step for s in path]
    count = len(steps)
    for period in range(1, count // 3 + 1):
        if count % period == 0 and steps[-period:] == steps[-2 * period:-period] and all(
                steps[k] == steps[k + period] for k in range(count - period)):
            return True
    return False


def undo_leaves(trace: Trace, mark: int) -> None:
    """Forget the leaves from `mark` on."""
    for leaf in trace.leaves[mark:]:
        if type(leaf) is Value:
            trace.leaf_slots.pop(leaf, None)
    del trace.leaves[mark:]


def _new_step(trace: Trace, op: Any, args: Any, key: tuple[Any, ...], grad_enabled: bool) -> State:
    """A structure not seen before: run the operation's definition on nodes (type rules run here)."""
    if config.EXPLAIN.value and trace.state.next and trace.kind == "main":
        explain.step(op.name, key, [k for k in trace.state.next if type(k) is tuple])
    nodes = trace.graph()
    entries = key[1:] if grad_enabled else key[1:-1]
    history = grad_enabled and op.differentiable
    operands, own, leaves, grads = _operands(nodes, args, entries, history)
    results, weak = op.build(operands)
    if op.leaf:
        results = _distinct(results, nodes, own)
        grads.append(len(nodes) + len(own))
    requires = (history and any(type(a) is Value and a.info.requires_grad for a in args)) or op.leaf
    infos = tuple([Info.of(r.tensor, requires and r.dtype.is_inexact, weak) for r in results])
    state = trace.extend(key, tuple(leaves), own + list(results), infos, tuple(grads), op)
    if not requires and _varies(trace, op, infos):
        state.launch_here()
    if trace.kind == "main" and state.count >= REPEAT_LIMIT and not state.full and turns_of_a_loop(state):
        state.launch_here()
    if trace.nodes is not None and len(trace.nodes) == trace.state.count:
        trace.nodes.extend(state.own)
    return state


def _varies(trace: Trace, op: Any, infos: tuple[Info, ...]) -> bool:
    """Whether an operation on data has given the same types at this point from ever other static arguments or types.
    It is launched by itself then: what follows, a whole training step perhaps, would be compiled for each of them."""
    if trace.kind != "main" or trace.sinks is not None:
        return False
    memo, key = trace.state.memo, ("variants", op.origin or op, infos)
    memo[key] = memo.get(key, 0) + 1
    return memo[key] > VARIANTS


def _distinct(results: tuple[Node, ...], nodes: list[Node], own: list[Node]) -> tuple[Node, ...]:
    """The result of a leaf operation, as a node of its own where another leaf has the same one: two tensors of ones
    are equal nodes and yet two leaves."""
    if not any(node is results[0] for node in nodes):
        return results
    from pullback.ops.build import leaf

    return (leaf(results[0], len(nodes) + len(own)),)


def _operands(nodes: list[Node], args: Any, entries: tuple[Any, ...],
              history: bool) -> tuple[list[Operand], list[Node], list[int], list[int]]:
    """The operands of a step by its key; the nodes of new leaves, their slots, and those that require gradients."""
    from pullback.ops import build  # lazy: keeps the import small (by this name it takes a third of the time)

    own: list[Node] = []
    leaves: list[int] = []
    grads: list[int] = []
    operands: list[Operand] = []
    for a, entry in zip(args, entries, strict=True):
        weak = a.info.weak if type(a) is Value else SCALARS[type(a)]
        if type(entry) is tuple:
            operands.append(Operand(build.number(repr(a), a, IMMEDIATE[weak]), weak))
            continue
        if type(entry) is int:
            slot = entry if entry >= 0 else ~entry
            node = nodes[slot] if slot < len(nodes) else own[slot - len(nodes)]
        else:
            leaves.append(len(nodes) + len(own))
            if type(entry) is Info and entry.requires_grad:
                grads.append(leaves[-1])
            node = param(entry.type if type(entry) is Info else TensorType.of((), IMMEDIATE[weak]))
            own.append(node)
        if type(a) is Value and ((type(entry) is int and entry < 0) or (not history and a.info.requires_grad)):
            node = build.stop_gradient(node)  # what follows has no history, whatever it is used for later
        operands.append(Operand(node, weak))
    return operands, own, leaves, grads


def visible_dtype(info: Info) -> DType:
    """The dtype a user sees: a weak scalar has the default dtype of its kind."""
    weak = info.weak and info.type.dtype is IMMEDIATE.get(info.weak)
    return dtypes.WEAK_DEFAULT[info.weak] if weak else info.type.dtype


@contextmanager
def tracing(kind: str, what: str) -> Generator[Trace, None, None]:
    """Record into a new trace inside the current one."""
    here = local
    outer = here.trace
    trace = Trace(kind, outer, what)
    here.trace = trace
    try:
        yield trace
    finally:
        here.trace = trace.outer or outer  # the trace around may have been launched, and another begun
        restore_mutations(trace)


def restore_mutations(trace: Trace) -> None:
    """Give tensors that were changed in place during tracing their value from before."""
    for tensor, before in (trace.mutated or {}).values():
        tensor._value = before  # pyright: ignore[reportPrivateUsage]
    trace.mutated = None


def refuse_concrete(trace: Trace, value: Value, what: str) -> None:
    """Raise: a value was asked for while it is only being traced."""
    raise ConcretizationError(message(
        f"{what}: the value is not known while {trace.what or 'a function'} is being traced",
        [("value", repr(value.info.type))],
        "use pb.where, pb.cond or pb.while_loop, mark the argument static, or move the decision outside"))

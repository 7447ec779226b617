"""From a recorded trace to values: which results are wanted, the program for them, and its launch.

`flush` looks which recorded values somebody still holds, finds the program for that set in the state's table (or makes
it), and launches it. Small programs run at once, big ones are queued; `observe` waits.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from pullback.engine import programs
from pullback.engine import trace as tracing
from pullback.engine.programs import Executable, Report
from pullback.engine.trace import Info, State, Trace, Value, local, new, refuse_concrete, thread
from pullback.ir.dtypes import DType
from pullback.ir.node import Function, TensorType
from pullback.runtime import native as runtime
from pullback.runtime.memory import Buffer, allocate_all, use_memory_error, zeroed
from pullback.runtime.native import native
from pullback.util import config
from pullback.util.collector import Seldom
from pullback.util.errors import InterruptedError_, OutOfMemoryError, PullbackError, TracerLeakError, message

_refcount = sys.getrefcount
_memmove = ctypes.memmove
#: launches that may wait for the processor before recording waits for them: enough to keep it busy
MAX_IN_FLIGHT = 4
#: results of so many bytes take memory that only launches under way hold: a loop that never waits would need it again
#: for each of them
REUSED_BYTES = 1 << 20
#: how long programs may go on after Ctrl-C before they are ended: a training step is finished, a long loop is not
GRACE_SECONDS = 1.0
#: runs on copies of what could not be donated, before a program is made that does not want it
COPIES = 3
#: programs in a row that begin alike and are not met again, before what they begin with is launched by itself
NEW_IN_A_ROW = 6
#: bytes up to which an array is copied while no other Python thread can run
SMALL_COPY = 1 << 14
#: errors met by programs, raised at the next observation
_errors: list[PullbackError] = []
_any_refused = False  # whether a program's inputs ever had values that it refused
_launching = threading.RLock()
_in_flight: deque[tuple[int, Any]] = deque()
_retiring = threading.Lock()
#: a profile in progress: called in place of `launch`
watch: Callable[[Executable, list[Any]], list[Any]] | None = None

use_memory_error(OutOfMemoryError)


def _baseline() -> int:
    """What getrefcount says of a value that only the trace's list holds."""
    values = [Value(None, 0, None)]  # pyright: ignore[reportArgumentType]
    return [_refcount(v) for v in values][0]  # noqa: RUF015 - counted as `flush` counts


_BASE = _baseline()


def _buffer_baseline() -> int:
    holder = Value(None, 0, None, object())  # pyright: ignore[reportArgumentType] - no memory yet: this is an import
    return _refcount(holder.buffer)


_BUFFER_BASE = _buffer_baseline()


def upload(array: Any, dtype: DType) -> Value:
    """A concrete value from a contiguous NumPy array (copied)."""
    return upload_as(array, Info.of(TensorType.of(array.shape, dtype)))


def upload_as(array: Any, info: Info) -> Value:
    """A concrete value of known type from a contiguous NumPy array (copied)."""
    size = array.nbytes
    buffer = Buffer(size)
    fill = runtime.fill
    if size <= SMALL_COPY and fill is not None:
        fill(buffer.address, size, array)
    else:
        _memmove(buffer.address, array.ctypes.data, size)
    return held(buffer, info)


def zeros(shape: tuple[int, ...], dtype: DType) -> Value:
    """A concrete value of zeros."""
    info = Info.of(TensorType.of(shape, dtype))
    return held(zeroed(info.type.nbytes), info)


def held(buffer: Buffer, info: Info) -> Value:
    value = new(Value)
    value.trace, value.slot, value.info, value.buffer, value.sink = None, -1, info, buffer, None
    return value


def launch(executable: Executable, arguments: list[Any]) -> list[Any]:
    """Run or queue a program on buffers and Python scalars; returns the buffers of its results."""
    try:
        if watch is not None:
            return watch(executable, arguments)
        if executable.at_once and not _in_flight:
            return executable.run(arguments)
        return start(executable, arguments)
    except TypeError:  # what is no plain Buffer arrives as it is, is refused, and nothing ran
        settle(arguments)
        return start(executable, arguments) if watch is None else watch(executable, arguments)


def settle(arguments: list[Any]) -> None:
    """Make what arguments are put off, and refuse those whose program was interrupted."""
    for a in arguments:
        if isinstance(a, Interrupted):
            a.refuse()
        elif type(a) is Deferred:
            a.make()


def start(executable: Executable, arguments: list[Any]) -> list[Any]:
    """`launch`, unwatched."""
    if _in_flight:
        if not native().pending:
            _retire(native().completed)
        elif executable.reference:
            wait_oldest(0)
    busy = bool(_in_flight)
    spare = _spare(executable.fresh) if busy and executable.fresh_bytes >= REUSED_BYTES else None
    outputs, ticket, held = executable.start(arguments, busy, spare)
    if ticket:
        _in_flight.append((ticket, (arguments, outputs, held, executable)))
        if len(_in_flight) > MAX_IN_FLIGHT:
            wait_oldest(MAX_IN_FLIGHT - 1)
    elif held is not None and executable.checked:
        _note_refused(executable, outputs, held[0])
    return outputs


def _note_refused(executable: Executable, outputs: list[Any], report: Report) -> None:
    """Keep what a finished run of a program with checks refused for the next observation."""
    if type(outputs[0]) is Interrupted:
        return
    found = executable.refused(report)
    if found is None:
        return
    _errors.append(found)
    _mark(outputs, executable.lost(), found)


programs.note_refused = _note_refused


def _mark(outputs: list[Any], which: Iterable[int], error: PullbackError) -> None:
    """There is nothing in some results of a program, because of an error."""
    global _any_refused
    _any_refused = True
    for k in which:
        if type(outputs[k]) is Buffer:
            Refused.make(outputs[k], error)


def note(error: PullbackError) -> None:
    """Keep an error for the next observation."""
    _errors.append(error)


def wait_oldest(keep: int) -> None:
    """Wait until at most `keep` launches are under way; drop what they held."""
    while len(_in_flight) > keep:
        try:
            ticket = _in_flight[0][0]
        except IndexError:  # another thread has waited for them
            return
        try:
            native().wait(ticket)
        except BaseException:  # Ctrl-C, or what a signal's handler raised
            _interrupted()
            raise
        _retire(ticket)


class Interrupted(Buffer):
    """Results of a program that Ctrl-C ended half-way: there is nothing to read in them, and programs refuse them."""

    __slots__ = ()

    def refuse(self) -> Any:
        raise InterruptedError_(message("a value was being computed when Ctrl-C ended its program",
                                        help="compute it again"))

    def numpy(self, dtype: Any, shape: tuple[int, ...], offset: int = 0) -> Any:
        return self.refuse()

    @property
    def address(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.refuse()

    def __del__(self) -> None:
        self._home.append(_address_of(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.nbytes} bytes)"


class Refused(Interrupted):
    """Results of a program that ended because of its inputs' values: all there is to read in them is the error."""

    __slots__ = ()

    @staticmethod
    def make(buffer: Any, error: PullbackError) -> None:
        buffer._owner = error
        buffer.__class__ = Refused

    @property
    def error(self) -> PullbackError:
        kept: Any = self._owner
        return kept

    def refuse(self) -> Any:
        error = self.error
        if error in _errors:  # it need not be raised again where something else is looked at
            _errors.remove(error)
        raise error.with_traceback(None)


#: reads the slot beneath the property
_address_of: Callable[[Buffer], int] = Buffer.address.__get__  # type: ignore[attr-defined]


class Deferred(Buffer):
    """Memory whose contents are made when they are first needed: `make` calls `fill`; then it is a plain Buffer."""

    __slots__ = ()

    @staticmethod
    def of(nbytes: int, make: Callable[[], None]) -> Deferred:
        """Memory that `make` will fill."""
        buffer: Any = Buffer(nbytes)
        buffer._owner = make
        buffer.__class__ = Deferred
        return buffer

    def make(self) -> None:
        """Have the contents made."""
        maker: Any = self._owner
        maker()

    def fill(self, array: Any) -> None:
        """Give the contents: a contiguous array of as many bytes."""
        _memmove(_address_of(self), array.ctypes.data, self.nbytes)
        buffer: Any = self
        del buffer._owner
        buffer.__class__ = Buffer

    @property
    def address(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.make()
        return self.address  # a plain Buffer's now

    def __del__(self) -> None:
        self._home.append(_address_of(self))


def _interrupted() -> None:
    """Let programs under way end by themselves, or else at their next stop; their results are then marked."""
    runtime = native()
    end = time.monotonic() + GRACE_SECONDS
    try:
        while runtime.pending and time.monotonic() < end:
            time.sleep(0.002)
    except KeyboardInterrupt:
        pass
    last = runtime.completed
    _retire(last)
    if not runtime.pending:
        return
    runtime.cancel()
    for _, (_, outputs, _, _) in list(_in_flight):
        for buffer in outputs:
            if type(buffer) is Buffer:
                buffer.__class__ = Interrupted
    _retire(runtime.completed)


def _retire(ticket: int) -> None:
    """Drop what launches up to a finished ticket held, and note what they refused."""
    done: list[Any] = []  # freed outside the lock
    with _retiring:
        while _in_flight and _in_flight[0][0] <= ticket:
            done.append(_in_flight.popleft())
    for _, (arguments, outputs, held, executable) in done:
        if _any_refused:  # what was made of results that do not exist does not exist either
            error = next((a.error for a in arguments if type(a) is Refused), None)
            if error is not None:
                _mark(outputs, [k for k, source in enumerate(executable.sources) if source is None], error)
        if executable.checked:
            _note_refused(executable, outputs, held[0])


def _after_fork() -> None:
    """A child has nothing in flight and a lock of its own."""
    global _launching, _retiring
    _launching, _retiring = threading.RLock(), threading.Lock()
    _in_flight.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _raise_first() -> None:
    """What was refused first; what was refused later is what that led to, or is kept by its results."""
    error = _errors[0]
    _errors.clear()
    raise error


def synchronize() -> None:
    """Launch what is recorded and wait for everything that was launched."""
    if local.trace.kind == "main":
        flush(local.trace)
    wait_oldest(0)
    if _errors:
        _raise_first()


def is_under_way(buffer: Any) -> bool:
    """Whether a launch that has not ended writes to a buffer."""
    return any(buffer is x for _, (_, outputs, _, _) in list(_in_flight) for x in outputs)


def observe(value: Value, what: str) -> Buffer | Any:
    """The finished buffer of a value."""
    if value.buffer is None:
        trace = value.trace
        assert trace is not None
        if trace is local.trace and trace.kind == "main":
            flush(trace)
        elif trace.kind == "main":
            compute_foreign(trace, value)
        elif trace.kind == "eager":
            _materialise(trace, value, what)
        else:
            refuse_concrete(trace, value, what)
    if _in_flight:
        wait_oldest(0)
    if _errors:
        _raise_first()
    return value.buffer


def _materialise(trace: Trace, value: Value, what: str) -> None:
    """Compute one value of a trace inside pb.grad and its like from concrete leaves."""
    arguments: list[Any] = []
    sources = dict(zip(trace.params, trace.param_sources, strict=True))
    for leaf in trace.leaves:
        if type(leaf) is Value:
            source = sources.get(leaf, leaf)
            if source is None:
                refuse_concrete(trace, value, what)
            arguments.append(observe(source or leaf, what))
        else:
            arguments.append(leaf)
    nodes = trace.graph()
    key = ("observe", value.slot)
    found = trace.state.programs.get(key)
    if found is None:
        function = Function([nodes[s] for s in trace.state.leaf_slots()], [nodes[value.slot]])
        found = trace.state.programs[key] = Executable(function, _scalar_positions(trace), frozenset())
    value.buffer = launch(found, arguments)[0]


def compute_foreign(trace: Trace, value: Value) -> None:
    """Compute a value that another thread has recorded, and leave its trace alone."""
    with _launching:
        if value.buffer is not None:
            return
        state = trace.state
        nodes, slots = state.nodes(), state.leaf_slots()
        leaves = trace.leaves[:len(slots)]
        if len(leaves) < len(slots):  # launched, and this value was not wanted then
            raise TracerLeakError(message("a value was used whose program has been launched without it",
                                          [("value", repr(value.info.type))], "compute it again"))
        function = Function([nodes[s] for s in slots], [nodes[value.slot]])
        positions = frozenset(k for k, leaf in enumerate(leaves) if type(leaf) is not Value)
        arguments = [leaf.buffer if type(leaf) is Value else leaf for leaf in leaves]
        value.buffer = launch(Executable(function, positions, frozenset()), arguments)[0]


def _scalar_positions(trace: Trace) -> frozenset[int]:
    return frozenset(k for k, leaf in enumerate(trace.leaves) if type(leaf) is not Value)


class FlushPlan:
    """What a flush of one state with one set of wanted slots does."""

    __slots__ = ("aliases", "apart", "carried", "copies", "executable", "freed", "live", "residuals", "simple",
                 "slots", "used", "with_history", "written")

    def __init__(self, trace: Trace, live: tuple[int, ...], history: tuple[int, ...], donated: frozenset[int],
                 replaced: dict[int, int]) -> None:
        from pullback.engine.autograd import residual_slots

        self.used = False  # whether it was met again
        self.copies = 0  # how often it ran on copies of what could not be donated
        nodes = trace.graph()
        leaf_slots = trace.state.leaf_slots()
        #: `apart`: leaves that no gradient of this trace reaches
        self.residuals, self.apart = residual_slots(nodes, leaf_slots, trace.state.gradient_slots(),
                                                    history) if history else ((), ())
        self.with_history = bool(history)
        position = {nodes[s]: k for k, s in enumerate(leaf_slots)}
        wanted = list(dict.fromkeys((*live, *self.residuals)))
        self.aliases = [(s, position[nodes[s]]) for s in wanted if nodes[s] in position]
        self.slots = [s for s in wanted if nodes[s] not in position]
        function = Function([nodes[s] for s in leaf_slots], [nodes[s] for s in self.slots])
        free = donated - {k for _, k in self.aliases}  # an argument that is handed out is not written over
        place = {s: k for k, s in enumerate(leaf_slots)}
        pairs = tuple([(o, place[replaced[s]]) for o, s in enumerate(self.slots) if replaced.get(s) in place])
        self.executable: Any = Executable(function, _scalar_positions(trace), free, pairs) if self.slots else None
        #: what in-place operations replace, where it matters: a program that refuses an index leaves that as before
        self.carried = _carried_slots(trace) if self.slots and self.executable.checked else None
        #: the results are just those of the program, in order
        self.simple = not self.with_history and tuple(self.slots) == live
        self.live = live
        self.freed: Any = None  # what was freed when it was launched last
        #: leaves that the program writes over
        self.written: tuple[int, ...] = ()
        if self.simple:
            self.written = tuple(k for k in self.executable.sources if k is not None)


#: set by the array room: views whose base nobody else holds become values of their own
before_flush: Callable[[], None] = tracing.unset


def flush(trace: Trace) -> None:
    """Launch everything recorded in a thread's trace that somebody still holds, and start a new trace."""
    values = trace.values
    if not values:
        return
    here = thread.context
    if here.views:
        before_flush()
    if here.trace is trace:
        here.trace = Trace()
    if trace.sinks is not None:
        _part_with_leaves(trace, trace.sinks)
    base = _BASE
    wanted = [v for v in values if _refcount(v) > base]
    with _launching:
        if wanted:
            _launch_wanted(trace, wanted)
        trace.values = []
    if trace.carried:
        trace.carried = {}
    trace.exchanged = None
    if trace.hooks is not None:
        trace.hooks = {slot: [(None, *entry[1:]) for entry in found] for slot, found in trace.hooks.items()}
    if State.total > tracing.STATE_LIMIT:
        tracing.reset_table()


def _part_with_leaves(trace: Trace, sinks: dict[int, Any]) -> None:
    """Let tensors forget the leaf that stood for them in a trace that ends.

    Nothing reads it again, and the trace holds their gradient sides: only Python's collector of cycles would free them.
    """
    for sink in sinks.values():
        leaf = sink.leaf
        if leaf is not None and leaf.trace is trace:
            sink.source = sink.leaf = None


def _launch_wanted(trace: Trace, wanted: list[Value]) -> None:
    freed = trace.freed
    live = tuple([v.slot for v in wanted])
    last = trace.state.last
    if last is not None and last.live == live and last.freed is freed and not _in_flight and watch is None \
            and _launch_again(trace, wanted, last):
        return
    history = tuple([v.slot for v in wanted if v.info.requires_grad and v.slot not in freed])
    leaves = trace.leaves
    donated: tuple[int, ...] = ()
    if not history:
        donated = tuple([
            k for k, leaf in enumerate(leaves)
            if _refcount(leaf) <= _LEAF_BASE and type(leaf) is Value and _refcount(leaf.buffer) <= _BUFFER_BASE
        ]) if not _in_flight else _held_in_flight_alone(leaves)
    key = (live, history, donated)
    plan = trace.state.programs.get(key)
    arguments = [leaf.buffer if type(leaf) is Value else leaf for leaf in leaves]
    if plan is not None and plan.carried is not None:
        plan = _of_carried(trace, plan, key)
    if plan is None:
        with Seldom():  # until the program runs: then Python looks for garbage beside it
            plan = _new_plan(trace, live, history, donated, arguments)
            _part_from_first(trace.state, plan)
            _run(trace, plan, wanted, arguments)
    else:
        plan.used = True
        if plan.simple and plan.executable.at_once:
            plan.freed, trace.state.last = freed, plan
        _run(trace, plan, wanted, arguments)
    if history:
        trace.history = history
        _let_go(trace, plan, wanted)
        return
    gone = _gone(trace)
    trace.leaves, trace.leaf_slots, trace.nodes = [], {}, None
    for v in wanted:
        v.trace = gone if v.info.requires_grad else None


def _run(trace: Trace, plan: FlushPlan, wanted: list[Value], arguments: list[Any]) -> None:
    if not plan.simple:
        _deliver(trace, plan, wanted, arguments)
        return
    for v, buffer in zip(wanted, launch(plan.executable, arguments)):
        v.buffer = buffer


def _launch_again(trace: Trace, wanted: list[Value], plan: FlushPlan) -> bool:
    """Launch what was launched last from this state, in half the time; False where somebody holds what would be
    written over."""
    if plan.carried is not None and plan.carried != _carried_slots(trace):
        return False
    leaves = trace.leaves
    for k in plan.written:
        leaf = leaves[k]
        if _refcount(leaf) > _WRITTEN_BASE or _refcount(leaf.buffer) > _BUFFER_BASE:
            return False
    slots = [leaf.buffer.address if type(leaf) is Value else leaf for leaf in leaves]
    executable = plan.executable
    outputs = allocate_all(executable.homes)
    if plan.written:
        outputs = [outputs.pop() if k is None else leaves[k].buffer for k in executable.sources]
    executable.call(slots, outputs)
    gone = _gone(trace)
    trace.leaves, trace.leaf_slots, trace.nodes = [], {}, None
    for v, buffer in zip(wanted, outputs):
        v.buffer = buffer
        v.trace = gone if v.info.requires_grad else None
    return True


@contextmanager
def references_in_flight() -> Generator[Counter[int]]:
    """How often launches that have not ended hold each buffer, by its id; none of them lets go meanwhile.

    Programs run one after another: a later one may write over what only earlier ones hold.
    """
    with _retiring:
        yield Counter([id(x) for _, (arguments, outputs, _, _) in _in_flight for x in (*arguments, *outputs)])


def _spare(sizes: frozenset[int]) -> dict[int, list[Buffer]]:
    """Buffers of these sizes that nobody but launches under way holds, by size.

    The next program may write its results there: it runs after them.
    """
    found: dict[int, list[Buffer]] = {}
    with references_in_flight() as held:
        for _, (arguments, outputs, _, _) in _in_flight:
            for part in (arguments, outputs):
                for x in part:
                    count = held.pop(id(x), 0)
                    if (count and type(x) is Buffer and x.nbytes in sizes and x.pooled
                            and _refcount(x) - count <= _LOOP_BASE):
                        found.setdefault(x.nbytes, []).append(x)
    return found


def _loop_baseline() -> int:
    """What getrefcount says of an object in a loop over a list, besides the list's own reference."""
    return [_refcount(x) - 1 for x in [object()]][0]  # noqa: RUF015 - counted as `_spare` counts


_LOOP_BASE = _loop_baseline()


def _held_in_flight_alone(leaves: list[Any]) -> tuple[int, ...]:
    with references_in_flight() as held:
        return tuple([
            k for k, leaf in enumerate(leaves)
            if _refcount(leaf) <= _LEAF_BASE and type(leaf) is Value
            and _refcount(leaf.buffer) - held[id(leaf.buffer)] <= _BUFFER_BASE])


def _let_go(trace: Trace, plan: FlushPlan, wanted: list[Value]) -> None:
    """Keep of a trace that has a history only what gradients can reach: a loop that detaches its state at every step
    would otherwise hold all earlier ones."""
    trace.leaf_slots = {}
    for v in wanted:
        if not v.info.requires_grad:
            v.trace = None
    if trace.remember:
        return
    apart = set(plan.apart)
    trace.sinks = {slot: sink for slot, sink in (trace.sinks or {}).items() if slot not in apart}
    for k, slot in enumerate(trace.state.leaf_slots()):
        leaf = trace.leaves[k]
        if slot in apart and leaf.trace is not None:
            trace.leaves[k] = Value(None, -1, leaf.info, leaf.buffer)


def _new_plan(trace: Trace, live: tuple[int, ...], history: tuple[int, ...], donated: tuple[int, ...],
              arguments: list[Any]) -> FlushPlan:
    """The plan for a donation not seen before: one program shall serve the first step of a loop and all others.

    In the first step somebody may still hold what in-place operations replace (the tensor that a parameter was cloned
    from), later nobody does. So the program is made for later, and the first step runs it on copies.
    """
    programs = trace.state.programs
    pairs = trace.replaced()
    replaced = set[int]() if history else {*pairs.values()}
    expected = tuple([k for k, s in enumerate(trace.state.leaf_slots()) if k in donated or s in replaced])
    plan = programs.get((live, history, expected))
    if plan is not None and plan.carried is not None:
        plan = _of_carried(trace, plan, (live, history, expected))
    if plan is None or (expected != donated and plan.copies >= COPIES):
        expected = donated if plan is not None else expected
        plan = FlushPlan(trace, live, history, frozenset(expected), pairs)
        programs.setdefault((live, history, expected), plan)
        programs[live, history, expected, *(plan.carried or {}).items()] = plan
    missing = set(expected).difference(donated)
    if missing:
        wait_oldest(0)
        plan.copies += 1
    for k in missing:
        arguments[k] = copied(arguments[k])
    return plan


def _part_from_first(state: State, plan: FlushPlan) -> None:
    """Where many programs in a row begin with one operation on data, and none was met again, that is launched by
    itself from now on: what varies in them is parted from what follows, which need not be compiled each time."""
    first = state
    while first.parent is not None and first.parent.count:
        first = first.parent
    if first.step is None or first.full or first.grad_slots or any(info.requires_grad for info in first.infos):
        return
    recent: list[FlushPlan] = first.memo.setdefault("recent", [])
    if any(p.used for p in recent):
        recent.clear()
    recent.append(plan)
    if len(recent) > NEW_IN_A_ROW:
        first.launch_here()


def _of_carried(trace: Trace, plan: FlushPlan, key: tuple[Any, ...]) -> FlushPlan | None:
    """The plan for what is replaced now: equal operations may write into a tensor once and make a new one then. (Those
    of an optimiser replace what they read, always.)"""
    carried = _carried_slots(trace)
    return plan if plan.carried == carried else trace.state.programs.get((*key, *carried.items()))


def _carried_slots(trace: Trace) -> dict[int, int | None]:
    return {v.slot: s for v, s in trace.carried.items()}


def copied(buffer: Buffer) -> Buffer:
    """The same bytes in other memory."""
    copy = Buffer(buffer.nbytes)
    _memmove(copy.address, buffer.address, buffer.nbytes)
    return copy


def _deliver(trace: Trace, plan: FlushPlan, wanted: list[Value], arguments: list[Any]) -> None:
    """Launch, and hand out buffers where results are arguments, coincide, or are kept for a gradient."""
    by_slot: dict[int, Any] = {}
    if plan.executable is not None:
        by_slot.update(zip(plan.slots, launch(plan.executable, arguments), strict=True))
    for slot, k in plan.aliases:
        by_slot[slot] = arguments[k] if isinstance(arguments[k], Buffer) else _scalar_buffer(trace, slot, arguments[k])
    for v in wanted:
        v.buffer = by_slot[v.slot]
    if plan.with_history:
        trace.buffers = by_slot


def _scalar_buffer(trace: Trace, slot: int, scalar: Any) -> Buffer:
    import numpy as np

    return Buffer.from_numpy(np.asarray(scalar, trace.graph()[slot].dtype.numpy))


def _leaf_baseline() -> int:
    """What getrefcount says of a leaf that only its trace holds (the list of leaves and the table of slots)."""
    trace = Trace("main")
    trace.leaves.append(Value(None, 0, None))  # pyright: ignore[reportArgumentType]
    trace.leaf_slots[trace.leaves[0]] = 0
    return [_refcount(leaf) for _, leaf in enumerate(trace.leaves)][0]  # noqa: RUF015 - as `_launch_wanted` counts


def _written_baseline() -> int:
    """The same as `_launch_again` counts."""
    trace = Trace("main")
    trace.leaves.append(Value(None, 0, None))  # pyright: ignore[reportArgumentType]
    trace.leaf_slots[trace.leaves[0]] = 0
    leaf = trace.leaves[0]
    return _refcount(leaf)


_LEAF_BASE, _WRITTEN_BASE = _leaf_baseline(), _written_baseline()


class GoneTrace(Trace):
    """Stands for the traces of one structure whose history was let go: what made their values is still known."""

    __slots__ = ()

    def __init__(self, trace: Trace) -> None:
        super().__init__("main", what="backward()")
        self.state = trace.state


class FreedTrace(GoneTrace):
    """Stands for one trace whose history was let go, and still knows which leaves its values depend on.

    `origins`: weak references to the leaves that require gradients, by slot, with whether a leaf had a history of its
    own;
    `owners`: to the gradient sides of tensors whose leaves were recorded there, by slot.
    """

    __slots__ = ("origins", "owners")

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self.origins: dict[int, tuple[Any, bool]] = {
            slot: (weakref.ref(leaf), leaf.trace is not None)
            for slot, leaf in zip(trace.state.leaf_slots(), trace.leaves, strict=True)
            if type(leaf) is Value and leaf.info.requires_grad}
        self.owners: dict[int, Any] = {slot: weakref.ref(sink) for slot, sink in (trace.sinks or {}).items()}


def _gone(trace: Trace) -> GoneTrace:
    """What stands for a trace whose history is let go."""
    if trace.remember:
        return FreedTrace(trace)
    memo = trace.state.memo
    found = memo.get("gone")
    return found if found is not None else memo.setdefault("gone", GoneTrace(trace))


def _boundary(trace: Trace) -> None:
    """A step has ended (an updated parameter is used again): launch it."""
    if trace.kind == "main":
        flush(trace)


def forget_structures() -> None:
    """Launch what is recorded: what follows is recorded anew."""
    if local.trace.kind == "main":
        flush(local.trace)
    tracing.reset_table()


def _detection() -> None:
    """`detect_nan` was turned on or off."""
    global watch
    from pullback.engine import detect  # lazy: few programs are watched

    forget_structures()  # what is recorded from now on knows its line
    on = bool(config.DETECT_NAN.value)
    watch, tracing.recorded = (detect.launch, detect.remember) if on else (None, None)


config.DETECT_NAN.watch(_detection)
if config.DETECT_NAN.value:
    _detection()
tracing.boundary = _boundary
tracing.launch_other = compute_foreign

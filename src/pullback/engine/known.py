"""Recording a step of a structure seen before: the common case of every eager operation.

`record1`, `record2` and `record_known` are `Operation.values` and `record` in one, for concrete or recorded tensors and
numbers. They give None, and have recorded no step, where anything else is met: a NumPy array, a new structure. What
could be a loop over one or two operands, or a call, is written out: it runs each time.
"""

from __future__ import annotations

from typing import Any

from pullback.engine import trace as tracing
from pullback.engine.staged import record_staged
from pullback.engine.trace import Trace, Value, new, thread


def _present(a: Any, trace: Trace, enabled: bool) -> Value | None:
    """The value of a tensor that has a gradient side; None where that is not simple."""
    value, meta = a._value, a._meta
    if value is None or not (enabled and meta.requires_grad):
        return value
    leaf = meta.leaf
    if leaf is not None and leaf.trace is trace and meta.source is value:
        return leaf
    return meta.fresh_leaf(value, trace) if value.buffer is not None and trace.kind == "main" else None


def _read(value: Any, a: Any, trace: Trace) -> Any:
    """What a view shows of its base; None where reading it begins another trace, or it is no view."""
    if value is not None or a._view is None:
        return value
    found = a._view.read() if a._meta is None else a._use()  # a view may be made a leaf: x.detach().requires_grad_()
    return found if thread.context.trace is trace else None


def _after_boundary(trace: Trace, operands: tuple[Any, ...]) -> Trace:
    """The trace to record in: where an operand was updated in place, a step has ended, and is launched."""
    carried = trace.carried
    for a in operands:
        if getattr(a, "_value", None) in carried:
            return _after(trace)
    return trace


def _after(trace: Trace) -> Trace:
    """The trace to record in when this one is launched."""
    tracing.boundary(trace)
    return thread.context.trace


def record1(op: Any, a: Any) -> Value | None:
    """One step of one operand."""
    here = thread.context
    trace = here.trace
    enabled = here.grad_enabled
    if trace.constants:
        return record_staged(op, trace, enabled, (a,))
    if enabled and trace.carried and op.differentiable and getattr(a, "_value", None) in trace.carried:
        trace = _after(trace)
    try:
        value = a._value if a._meta is None else _present(a, trace, enabled)
    except AttributeError:
        return None
    if value is None:
        value = _read(value, a, trace)
    if value is None:
        return None
    fresh = False
    if value.trace is trace:
        entry = value.slot
    else:
        entry = trace.leaf_slots.get(value)
        if entry is None:
            if value.buffer is None:
                return None
            entry, fresh = value.info, True
    state = trace.state
    found = state.next.get((op, entry) if enabled else (op, entry, None))
    if found is None or found.single is None:
        return None
    if fresh:
        trace.leaf_slots[value] = state.count
        trace.leaves.append(value)
    trace.state = found
    result = new(Value)
    result.trace, result.slot, result.info = trace, found.count - 1, found.single
    result.buffer = result.sink = None
    trace.values.append(result)
    return result


def record2(op: Any, a: Any, b: Any) -> Value | None:
    """One step of two operands."""
    here = thread.context
    trace = here.trace
    enabled = here.grad_enabled
    if trace.constants:
        return record_staged(op, trace, enabled, (a, b))
    if enabled and trace.carried and op.differentiable and (
            getattr(a, "_value", None) in trace.carried or getattr(b, "_value", None) in trace.carried):
        trace = _after(trace)
    entry: Any = type(a)  # pyright: ignore[reportUnknownVariableType]
    other: Any = type(b)  # pyright: ignore[reportUnknownVariableType]
    try:
        first = a if entry is float or entry is int else a._value if a._meta is None else _present(a, trace, enabled)
        second = b if other is float or other is int else b._value if b._meta is None else _present(b, trace, enabled)
    except AttributeError:
        return None
    if first is None or second is None:
        first, second = _read(first, a, trace), _read(second, b, trace)
        if first is None or second is None:
            return None
    slots = trace.leaf_slots
    state = trace.state
    new_first = new_second = True  # whether it becomes a leaf
    if first is not a:
        entry = first.slot if first.trace is trace else slots.get(first)
        new_first = entry is None
        if new_first:
            entry = first.info if first.buffer is not None else first
    if second is not b:
        other = second.slot if second.trace is trace else slots.get(second)
        new_second = other is None and second is not first
        if other is None:
            other = state.count if second is first else second.info if second.buffer is not None else second
    found = state.next.get((op, entry, other) if enabled else (op, entry, other, None))
    if found is None or found.single is None:
        return None
    if new_first:
        trace.leaves.append(first)
        if first is not a:
            slots[first] = state.count
    if new_second:
        trace.leaves.append(second)
        if second is not b:
            slots[second] = state.count + new_first
    trace.state = found
    result = new(Value)
    result.trace, result.slot, result.info = trace, found.count - 1, found.single
    result.buffer = result.sink = None
    trace.values.append(result)
    return result


def record_known(op: Any, args: tuple[Any, ...]) -> Value | None:
    """One step of any number of operands."""
    here = thread.context
    trace = here.trace
    enabled = here.grad_enabled
    if trace.constants:
        return None
    if enabled and trace.carried and op.differentiable:
        trace = _after_boundary(trace, args)
    try:
        present = [a if type(a) is float or type(a) is int else
                   a._value if a._meta is None else _present(a, trace, enabled) for a in args]
    except AttributeError:
        return None
    state = trace.state
    slots = trace.leaf_slots
    key: list[Any] = [op]
    fresh: dict[Any, int] = {}
    leaves: list[Any] = []
    for value in present:
        if type(value) is not Value:
            key.append(type(value))
            leaves.append(value)
            continue
        entry: Any = value.slot if value.trace is trace else slots.get(value, fresh.get(value))
        if entry is None:
            if value.buffer is None:
                return None
            fresh[value] = state.count + len(leaves)
            leaves.append(value)
            entry = value.info
        key.append(entry)
    if not enabled:
        key.append(None)
    found = None if None in present else state.next.get(tuple(key))
    if found is None or found.single is None:
        return None
    slots.update(fresh)
    trace.leaves.extend(leaves)
    trace.state = found
    result = new(Value)
    result.trace, result.slot, result.info = trace, found.count - 1, found.single
    result.buffer = result.sink = None
    trace.values.append(result)
    return result


def record_sum(op: Any, before: Value, cotangent: Value) -> Value | None:
    """One step of two values, the second of the current trace, without gradients."""
    trace = thread.context.trace
    entry: Any = before.slot if before.trace is trace else trace.leaf_slots.get(before)
    fresh = entry is None
    if fresh:
        if before.buffer is None:
            return None
        entry = before.info
    state = trace.state
    found = state.next.get((op, entry, cotangent.slot, None))
    if found is None or found.single is None:
        return None
    if fresh:
        trace.leaf_slots[before] = state.count
        trace.leaves.append(before)
    trace.state = found
    result = new(Value)
    result.trace, result.slot, result.info = trace, found.count - 1, found.single
    result.buffer = result.sink = None
    trace.values.append(result)
    return result

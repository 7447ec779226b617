"""Recording in a function that is being traced, where steps are new: the common case of an update written by hand.

`record_staged` is `Operation.values` and `record` in one, for recorded tensors and numbers, and for operations that
look at nothing but types. It gives None, and has recorded no step, where anything else is met.
"""

from __future__ import annotations

from typing import Any

from pullback.engine.trace import IMMEDIATE, SCALARS, Info, Operand, State, Trace, Value, class_of
from pullback.util.errors import PullbackError


def record_staged(op: Any, trace: Trace, enabled: bool, args: tuple[Any, ...]) -> Value | None:
    """One step of a trace in which numbers are constants."""
    if trace.carried or op.leaf or not op.by_type:
        return None
    key: list[Any] = [op]
    requires = False
    for a in args:
        kind = class_of(a)
        if kind is float or kind is int:
            key.append((kind, repr(a)))
            continue
        value = getattr(a, "_value", None)
        if type(value) is not Value or value.trace is not trace or a._meta is not None or op.name in a.checks:
            return None
        requires = requires or value.info.requires_grad
        key.append(value.slot)
    if requires and not (enabled and op.differentiable):
        return None  # what has no history is marked
    if not enabled:
        key.append(None)
    state = trace.state.next.get(tuple(key)) or _new(op, trace, tuple(key), args, requires)
    if state is None:
        return None
    trace.state = state
    result = Value(trace, state.count - 1, state.infos[0])
    trace.values.append(result)
    return result


def _new(op: Any, trace: Trace, key: tuple[Any, ...], args: tuple[Any, ...], requires: bool) -> State | None:
    """The state of a new step; None where its types are refused: the general way says so."""
    from pullback.ops import build  # lazy: keeps the import small

    nodes = trace.graph()
    operands: list[Operand] = []
    for a, entry in zip(args, key[1:], strict=False):  # a last None of the key says that gradients are off
        if type(entry) is int:
            operands.append(Operand(nodes[entry], a._value.info.weak))
        else:
            weak = SCALARS[entry[0]]
            operands.append(Operand(build.number(entry[1], a, IMMEDIATE[weak]), weak))
    try:
        (node,), weak = op.build(operands)
    except PullbackError:
        return None
    info = Info.of(node.tensor, requires and node.dtype.is_inexact, weak)
    state = trace.extend(key, (), [node], (info,), (), op)
    nodes.extend(state.own)
    return state

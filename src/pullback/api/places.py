"""Parts of arrays whose place changes from one turn of a loop to the next: batches, crops, rows, patches.

A place is part of the program that reads or writes there, and of all that is fused with it: a training step on crops
at random places would be compiled at each step. So where the same point of a program is reached with another place than
before, the part is copied at once by the host, and what follows has it as an input.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pullback.engine import execute, memory_parts
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Info, Trace, Value, thread
from pullback.ir.dtypes import DType
from pullback.runtime.memory import Buffer

#: one entry per dimension of the base or new dimension: ("i", k), ("s", start, step, count) or ("n",)
Entries = tuple[tuple[Any, ...], ...]
#: turns in a row after which the first place met is as any other
TURNS = 4
#: writes of what is known that are part of one program; more are made by the host
PATCHES = 8
#: steps of a program that has only just begun: what was made in it is computed for a write
BEGUN = 4
#: bytes up to which a part is copied, and up to which what it is part of is computed for its sake
PART_BYTES = 64 << 20


class Placed(NamedTuple):
    """Elements of an array in memory: the first, and how far apart they are along each dimension."""

    first: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]

    def part(self, entries: Entries) -> Placed:
        """The elements that basic indices choose."""
        first, shape, steps = self.first, list[int](), list[int]()
        over = iter(self.steps)
        for e in entries:
            step = 0 if e[0] == "n" else next(over)
            first += 0 if e[0] == "n" else e[1] * step
            if e[0] != "i":
                shape.append(1 if e[0] == "n" else e[3])
                steps.append(0 if e[0] == "n" else e[2] * step)
        return Placed(first, tuple(shape), tuple(steps))

    @property
    def run(self) -> bool:
        """Whether they lie one behind the other."""
        kept = [(n, step) for n, step in zip(self.shape, self.steps, strict=True) if n != 1]
        return [step for _, step in kept] == row_major(tuple([n for n, _ in kept]))


class Place(NamedTuple):
    """Elements of a tensor: where they lie in its memory, and what of them is part of a program."""

    tensor: TensorBase
    placed: Placed
    fixed: Any


def row_major(shape: tuple[int, ...]) -> list[int]:
    """How far apart the elements of an array are along each dimension."""
    steps, size = list[int](), 1
    for n in reversed(shape):
        steps.append(size)
        size *= n
    return steps[::-1]


@lru_cache(1024)
def whole(shape: tuple[int, ...]) -> Placed:
    """All elements of an array."""
    return Placed(0, shape, tuple(row_major(shape)))


def moves(trace: Trace, what: str, value: Value, place: Any) -> bool:
    """Whether this point of a program was reached with another place before. The first one stays part of the program,
    as do all steps of a sequence that is read in one, until it is seldom met."""
    memo, key = trace.state.memo, (what, value.slot if value.trace is trace else _slot(trace, value))
    mark = memo.get(key)
    if mark is None:
        memo[key] = [place, 0]
        return False
    moved = mark[0] != place or mark[1] > TURNS
    mark[1] = mark[1] + 1 if moved else 0
    return moved


def _slot(trace: Trace, value: Value) -> Any:
    """What a value is called in the key of a step."""
    return trace.leaf_slots.get(value, value.info) if value.trace is not trace else value.slot


def read(value: Value, entries: Entries, inner: bool) -> Value | None:
    """The part of a value at these places where they change; None where they belong to the program. `inner`: the value
    is a part itself, whose places within may well be always the same."""
    here = thread.context
    trace = here.trace
    pending = value.buffer is None
    inside = trace.kind == "eager" and not trace.constants  # what `pb.grad` and its like are given is read there
    if here.track is not None or (pending and not _may_compute(trace, value)) \
            or not (trace.kind == "main" or (inside and not pending)):
        return None
    fresh = trace.moving and not inner and not pending and not _begun(trace, value, entries)
    if not (fresh or moves(trace, "part", value, entries)):
        return None
    info = value.info
    placed = whole(info.type.shape).part(entries)
    type_ = info.type.with_shape(placed.shape)
    if not type_.nbytes or type_.nbytes > PART_BYTES or type_ is info.type:
        return None
    found = memory_parts.part_of(value, placed.first, None if placed.run else placed.steps,
                                 Info.of(type_, False, info.weak))
    thread.context.trace.moving = True
    return found


def _begun(trace: Trace, value: Value, entries: Entries) -> bool:
    """Whether a program that goes on from here reads at this place."""
    first, turns = trace.state.memo.get(("part", _slot(trace, value)), (None, 0))
    return first == entries and turns <= TURNS


def _may_compute(trace: Trace, value: Value) -> bool:
    """Whether what was recorded may be launched for a part of its value: it is of now, and no training step that would
    be cut in two."""
    return value.trace is trace and trace.sinks is None and value.info.type.nbytes <= PART_BYTES \
        and not value.info.requires_grad


def write_known(place: Place, new: Any) -> bool:
    """Put a number or a known value at some places of a tensor that is known, or was made just now, and that nobody
    else holds; False for all others."""
    x, trace = place.tensor, thread.context.trace
    alone = _is_alone(x)
    if not alone and (trace.state.count > BEGUN or x._value is None or x._value.trace is not trace):
        return False
    return not (isinstance(new, Value) and new.buffer is None) and _may_write(place, new) and _put(place, new)


def write(place: Place | None, new: Any) -> bool:
    """Put a number or a value at some places of a tensor, where they change; False where they belong to the program."""
    if place is None or not _may_write(place, new):
        return False
    x, trace = place.tensor, thread.context.trace
    given = not isinstance(new, Value) or new.buffer is not None
    if not moves(trace, "set", x._peek(), place.fixed) and not (given and _is_one_of_many(trace, x)):
        return False
    done = _put(place, new)
    thread.context.trace.moving |= done
    return done


def _is_one_of_many(trace: Trace, x: TensorBase) -> bool:
    """Whether a write of what is known would be the next of many in a program, or follows others made by the host."""
    trace.patches += 1
    return trace.patches > PATCHES or (trace.moving and x._peek().buffer is not None)


def _may_write(place: Place, new: Any) -> bool:
    """Whether the host may write, and what is to be computed for it may be launched."""
    x, here = place.tensor, thread.context
    old = x._peek()
    return here.trace.kind == "main" and here.track is None and not old.info.requires_grad \
        and (x._meta is None or not x._meta.requires_grad) \
        and all(v.buffer is not None or _may_compute(here.trace, v) for v in (old, new) if isinstance(v, Value)) \
        and 0 not in place.placed.shape and _fits(new, old.info.type.dtype, place.placed.shape)


def _fits(new: Any, dtype: DType, shape: tuple[int, ...]) -> bool:
    """Whether the host can put a number or a value among elements of a type without converting what it cannot."""
    if isinstance(new, Value):
        mine = new.info.type
        lead = len(shape) - len(mine.shape)
        return not new.info.requires_grad and mine.dtype is dtype and lead >= 0 and all(
            n in (1, m) for n, m in zip(mine.shape, shape[lead:], strict=True))
    if dtype.kind in "iu":
        limits = np.iinfo(dtype.numpy)
        return type(new) in (int, bool) and limits.min <= new <= min(limits.max, _WHOLE)
    if dtype.kind == "b" or type(new) is bool:
        return type(new) is bool and (dtype.kind == "b" or dtype.name in _PLAIN)
    return dtype.name in _PLAIN and (type(new) is float or (type(new) is int and abs(new) <= _EXACT))


#: floating-point types whose numbers NumPy rounds as programs do
_PLAIN = ("float32", "float64")
#: whole numbers that programs take, and those that are rounded once where they become floats
_WHOLE, _EXACT = (1 << 63) - 1, 1 << 53


def _put(place: Place, new: Any) -> bool:
    """Write into a tensor's memory, or into a copy where anybody else holds it; False where there is none."""
    x = place.tensor
    if any(memory_parts.finished(v, "assignment") is None for v in (x._peek(), new) if isinstance(v, Value)):
        return False
    info = x.info
    dtype = info.type.dtype
    if isinstance(new, Value):
        source = memory_parts.strided(new.buffer, dtype, *whole(new.info.type.shape))
    else:
        with np.errstate(over="ignore"):
            source = np.asarray(new, dtype.numpy).view(memory_parts.WORDS[dtype.itemsize])
    alone = _is_alone(x)
    value: Any = x._peek()
    buffer = value.buffer if alone else execute.copied(value.buffer)
    memory_parts.strided(buffer, dtype, *place.placed)[...] = source
    x.assign_value(execute.held(buffer, info))
    return True


def _held(x: TensorBase) -> tuple[int, int]:
    """How often a tensor's value is held, and its memory."""
    value: Any = x._value
    return sys.getrefcount(value), sys.getrefcount(value.buffer)


def _is_alone(x: TensorBase) -> bool:
    """Whether a tensor's value is computed, and nobody else holds it or its memory."""
    if x._value is None or type(x._value.buffer) is not Buffer or not x._value.buffer.pooled:
        return False
    value, buffer = _held(x)
    return value <= _ALONE[0] and buffer <= _ALONE[1]


_ALONE = _held(TensorBase(Value(None, 0, None, object())))  # pyright: ignore[reportArgumentType]

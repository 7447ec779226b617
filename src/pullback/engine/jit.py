"""jit: trace a Python function once per signature, compile it, call the program.

Tensors the function reads from outside (module parameters, optimiser state) are inputs that are read again at every
call; tensors it changes in place are results that are written back. Python numbers among the arguments are inputs, so
another number does not compile again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakSet

import numpy as np

from pullback.engine import execute, explain
from pullback.engine.autograd import GradHolder, call_operation
from pullback.engine.functional import _identity  # pyright: ignore[reportPrivateUsage]
from pullback.engine.programs import Executable
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import IMMEDIATE, SCALARS, Info, Trace, Value, class_of, local, new, record, thread, tracing
from pullback.ir import dtypes
from pullback.ir.node import Function, TensorType
from pullback.runtime.memory import allocate_all
from pullback.util import config, tree
from pullback.util.collector import Seldom
from pullback.util.errors import ArgumentError, StructureError, message

_refcount = sys.getrefcount
_NOTHING: frozenset[int] = frozenset()


class Captured:
    """An input from outside the function: a tensor that is read at each call, or a constant value."""

    __slots__ = ("owner", "value")

    def __init__(self, value: Any, owner: Any) -> None:
        self.value, self.owner = value, owner


class Entry:
    """One compiled signature."""

    __slots__ = ("arrays", "captured", "changed", "classes", "clears", "direct", "executables", "flat", "function",
                 "given", "given_up", "grad_enabled", "holders", "immediates", "infos", "mutated", "operation",
                 "output_positions", "outside", "precision", "replaced", "requires_grad", "single",
                 "static_outputs", "structure", "wanted")

    def __init__(self, owner: Jitted, leaves: list[Any], structure: Any, static: dict[int, Any]) -> None:
        self.arrays = [k for k in range(len(leaves)) if k not in static]
        self.grad_enabled, self.precision = local.grad_enabled, thread.context.precision
        self.given: Any = None  # the structure of arguments that `match` expects
        self.direct: Any = None  # the program, where `at_once` may run it
        self.outside: list[tuple[Any, Any, bool]] = []  # of what it captures: owner, value, whether it is written over
        self.flat = -1  # the number of arguments where each is an array or a number by itself
        self.wanted: list[Any] = [
            class_of(x) if type(x) in SCALARS
            else x._use().info if isinstance(x, TensorBase)  # pyright: ignore[reportPrivateUsage]
            else _host_array(x) if type(x) is np.ndarray else None for x in leaves]
        self.executables: dict[frozenset[int], Executable] = {}
        infos = {k: _argument_info(leaves[k]) for k in self.arrays}  # outside: views record their reading
        given_up = owner.given_up(leaves, structure)
        before = local.track
        track: dict[Value, Any] = {}
        try:
            with tracing("staged", f"jit of {owner.__name__}") as trace:
                local.track = track
                inner = list(leaves)
                for k in self.arrays:
                    inner[k] = _stand_in(trace, leaves[k], infos[k], owner.array_class)
                args, kwargs = tree.unflatten(structure, inner)
                output = owner.function(*args, **kwargs)
                # arguments changed in place; where the caller gave something else than a tensor, only names were
                self.changed = [k for k, p in zip(self.arrays, trace.params, strict=False)
                                if isinstance(leaves[k], TensorBase) and inner[k]._peek() is not p]
                #: donated leaves, and where each stands among the arguments of the program
                self.given_up = {k: n for n, k in enumerate(self.arrays) if k in given_up and k not in self.changed}
                self._collect(trace, output, track, [inner[k] for k in self.changed])
            trace.close()
        finally:
            local.track = before

    def _collect(self, trace: Trace, output: Any, track: dict[Value, Any], changed: list[Any]) -> None:
        flat, self.structure = tree.flatten(output)
        self.single = len(flat) == 1 and output is flat[0] and isinstance(output, TensorBase)
        self.output_positions = [k for k, x in enumerate(flat) if isinstance(x, TensorBase)]
        self.static_outputs = [None if isinstance(x, TensorBase) else x for x in flat]
        self.classes: list[Any] = [flat[k].result_class for k in self.output_positions]
        values = [flat[k]._use() for k in self.output_positions]
        self.mutated: list[Any] = []
        self.clears: list[Any] = []
        for tensor, before in (trace.mutated or {}).values():
            self._collect_mutation(trace, tensor, before, values)
        values += [tensor._use() for tensor in changed]
        nodes = trace.graph()
        weak = [v.info.weak for v in values]  # a result gives way as it does outside, in the dtype that is visible
        values = [v if v.trace is trace and not v.info.weak else record(_identity(), [v])[0] for v in values]
        nodes = trace.graph()
        params = [nodes[s] for s in trace.state.leaf_slots()]
        self.function = Function(params, [nodes[v.slot] for v in values])
        outside = trace.leaves[len(trace.params):]
        self.captured = [Captured(v, None) if v not in track else Captured(None, track[v]) for v in outside]
        written = {id(t) for t in self.mutated}
        self.replaced = frozenset((
            *(len(self.arrays) + k for k, c in enumerate(self.captured) if id(c.owner) in written),
            *(n for n, k in enumerate(self.arrays) if k in self.changed or k in self.given_up)))
        self.holders = any(isinstance(t, GradHolder) for t in self.mutated)
        self.immediates = frozenset(k for k, p in enumerate(trace.params)
                                    if p.info.weak and p.info.type.dtype is IMMEDIATE[p.info.weak])
        self.requires_grad = any(v.info.requires_grad and v.slot not in trace.freed
                                 for v in values[:len(self.output_positions)])
        self.infos = [Info.of(t, False, w) for t, w in zip(self.function.out_types, weak, strict=True)]
        self.operation = call_operation(self.function, "jit")

    def _collect_mutation(self, trace: Trace, tensor: Any, before: Any, values: list[Value]) -> None:
        if isinstance(tensor, GradHolder):
            if tensor._value is None:  # pyright: ignore[reportPrivateUsage]
                self.clears.append(tensor)
            elif tensor._value is not before:  # pyright: ignore[reportPrivateUsage]
                self.mutated.append(tensor)
                values.append(tensor._value._use())  # pyright: ignore[reportPrivateUsage]
        elif before.trace is not trace and tensor._value is not before:
            self.mutated.append(tensor)
            values.append(tensor._value)

    def call(self, leaves: list[Any]) -> Any:
        """Run on actual arguments."""
        if self.changed:
            self.refuse_twice(leaves)
        if self.requires_grad and local.grad_enabled:
            return self.finish(record(self.operation, self.operands(leaves, True)), leaves)
        return self.deliver(self.run(self.buffers(leaves), leaves), leaves)

    def buffers(self, leaves: list[Any]) -> list[Any]:
        """The arguments of the program."""
        arguments = self.operands(leaves, False)
        if any(type(a) is Value and a.buffer is None for a in arguments):
            execute.flush(local.trace)
        return [a.buffer if type(a) is Value else a for a in arguments]

    def refuse_twice(self, leaves: Sequence[Any]) -> None:
        """A tensor that is changed in place must not be another argument as well: inside, those are two."""
        if len({id(x) for x in leaves}) == len(leaves):
            return
        for k in self.changed:
            if sum(x is leaves[k] for x in leaves) > 1:
                raise ArgumentError(message(
                    "jit: a tensor that the function changes in place was given twice",
                    [("tensor", repr(leaves[k].info.type))], "pass a copy for one of them: x.clone()"))

    def match(self, leaves: Sequence[Any]) -> list[Any] | None:
        """Buffers and numbers for the program; None where the arguments do not have this entry's types."""
        found: list[Any] = []
        pending = False
        for x, want in zip(leaves, self.wanted, strict=True):
            kind = class_of(x)
            if kind is want:
                found.append(x)
                continue
            if kind is np.ndarray:
                if type(want) is not HostArray or not want.fits(x):
                    return None
                found.append(execute.upload_as(x, want.info).buffer)
                continue
            try:
                value = x._value
                if value.info is not want or x._meta is not None:
                    return None
                buffer = value.buffer
            except AttributeError:
                return None
            pending = pending or buffer is None
            found.append(buffer)
        if pending:
            execute.flush(local.trace)
            found = [x._value.buffer if b is None else b for x, b in zip(leaves, found, strict=True)]
        for captured in self.captured:
            owner = captured.owner
            value = captured.value if owner is None else owner._peek()
            if value.buffer is None:
                execute.flush(local.trace)
            found.append(value.buffer)
        return found

    def quick(self, leaves: Sequence[Any]) -> Any:
        """A call whose program runs at once on values that are there; NotImplemented for any other."""
        buffers = self.at_once(leaves)
        return NotImplemented if buffers is None else self.deliver(buffers)

    def at_once(self, leaves: Sequence[Any]) -> list[Any] | None:
        """The buffers of the results, where the program runs at once on values that are there and may write over all
        that it replaces; None for any other call."""
        executable = self.direct
        if executable is None or execute._in_flight or execute.watch is not None:  # pyright: ignore[reportPrivateUsage]
            return None
        slots: list[Any] = []
        held: list[Any] = []
        for x, want in zip(leaves, self.wanted):
            kind = class_of(x)
            if kind is want:
                slots.append(x)
                continue
            if kind is np.ndarray:
                if type(want) is not HostArray or not want.fits(x):
                    return None
                held.append(execute.upload_as(x, want.info).buffer)
                slots.append(held[-1].address)
                continue
            try:
                value = x._value
                if value.info is not want or x._meta is not None:
                    return None
                slots.append(value.buffer.address)
            except AttributeError:
                return None
        buffers: list[Any] = []
        for owner, value, replaced in self.outside:
            if owner is not None:
                value = owner._peek()
            buffer = value.buffer
            if buffer is None or (replaced and (_refcount(value) > HELD_COUNT or _refcount(buffer) > HELD_COUNT)):
                return None
            slots.append(buffer.address)
            buffers.append(buffer)
        donated: dict[int, Any] | None = None
        if self.given_up:
            x = value = None  # these would count as holders
            donated = self.sole(leaves, slots)
            if donated is None:
                return None
        outputs = allocate_all(executable.homes)
        if executable.program.alias:
            first = len(self.arrays)
            outputs = [outputs.pop() if k is None else donated[k] if donated and k < first else buffers[k - first]
                       for k in executable.sources]
        found = executable.call(slots, outputs)
        if donated:
            self.let_go(leaves)
        return found

    def sole(self, leaves: Sequence[Any], slots: list[Any]) -> dict[int, Any] | None:
        """The buffers of donated arguments, where nothing else that the program reads lies there and nobody else holds
        one of them or its value."""
        found: dict[int, Any] = {}
        for k, n in self.given_up.items():
            value = leaves[k]._value
            buffer = found[n] = value.buffer
            if _refcount(value) > HELD_COUNT or _refcount(buffer) > HELD_COUNT + 1 or slots.count(slots[n]) > 1:
                return None
        return found

    def let_go(self, leaves: Sequence[Any]) -> None:
        """Donated arguments are the caller's no more."""
        for k in self.given_up:
            leaves[k].give_up("a jitted function that names it in donate_argnums")

    def run(self, arguments: list[Any], leaves: Sequence[Any]) -> list[Any]:
        """Launch on buffers and numbers that fit; returns the buffers of the results."""
        donated = self.donatable(arguments, leaves) if self.replaced else _NOTHING
        executable = self.executables.get(donated)
        if executable is None:
            executable = self.executables[donated] = Executable(self.function, self.immediates, donated, self.pairs())
            if executable.at_once and not (self.changed or self.holders) and donated == self.replaced:
                self.direct = executable
                self.outside = [(c.owner, c.value, k in donated) for k, c in enumerate(self.captured, len(self.arrays))]
        buffers = execute.launch(executable, arguments)
        self.let_go(leaves)
        return buffers

    def operands(self, leaves: list[Any], differentiable: bool) -> list[Any]:
        """The values of the arguments and of what the function reads from outside."""
        found: list[Any] = []
        for k in self.arrays:
            x = leaves[k]
            if isinstance(x, TensorBase):
                x = x._use() if differentiable else x._peek()  # pyright: ignore[reportPrivateUsage]
            elif type(x) not in SCALARS:
                x = from_host(x)._peek()
            found.append(x)
        for captured in self.captured:
            owner = captured.owner
            found.append(captured.value if owner is None else owner._use() if differentiable else owner._peek())
        return found

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Which results are the new values of which arguments of the program."""
        owners = {id(c.owner): len(self.arrays) + k for k, c in enumerate(self.captured)}
        first = len(self.output_positions)
        return (*((o, owners[id(t)]) for o, t in enumerate(self.mutated, first) if id(t) in owners),
                *((o, self.arrays.index(k)) for o, k in enumerate(self.changed, first + len(self.mutated))))

    def donatable(self, arguments: list[Any], leaves: Sequence[Any]) -> frozenset[int]:
        """Tensors that are replaced by this call, whose value and its memory nobody else holds."""
        replaced = self.replaced
        free = [k for k in replaced if _refcount(arguments[k]) <= DONATION_COUNT]
        if len(free) < len(replaced):
            with execute.references_in_flight() as held:
                free = [k for k in replaced if _refcount(arguments[k]) - held[id(arguments[k])] <= DONATION_COUNT]
        count = len(self.arrays)
        free = [k for k in free if _alone(
            leaves[self.arrays[k]] if k < count else self.captured[k - count].owner)]
        return replaced if len(free) == len(replaced) else frozenset(free)

    def deliver(self, buffers: list[Any], leaves: Sequence[Any] = ()) -> Any:
        """The results of a launch as the function returns them."""
        values = self.values(buffers)
        if self.single and len(values) == 1 and not self.clears and not self.changed:
            tensor = new(self.classes[0])
            tensor._value, tensor._meta, tensor._view = values[0], None, None  # pyright: ignore[reportPossiblyUnboundVariable]
            return tensor
        return self.finish(values, leaves)

    def values(self, buffers: list[Any]) -> list[Value]:
        """The results of a launch, with those that are written back at the end."""
        values: list[Value] = []
        for info, buffer in zip(self.infos, buffers):
            value = new(Value)
            value.trace, value.slot, value.info, value.buffer, value.sink = None, -1, info, buffer, None
            values.append(value)
        return values

    def finish(self, values: Sequence[Value], leaves: Sequence[Any]) -> Any:
        """Give the results their structure, write the changed tensors back."""
        if self.mutated or self.clears or self.changed:
            self.write_back(values[len(self.output_positions):], leaves)
        flat = list(self.static_outputs)
        for k, cls, value in zip(self.output_positions, self.classes, values, strict=False):
            tensor = flat[k] = new(cls)
            tensor._value, tensor._meta, tensor._view = value, None, None
        return flat[0] if self.single else tree.unflatten(self.structure, flat)

    def write_back(self, values: Sequence[Value], leaves: Sequence[Any] = ()) -> None:
        for k, value in zip(self.changed, values[len(self.mutated):], strict=True):
            leaves[k].assign_value(value)
        if not self.holders:
            for tensor, value in zip(self.mutated, values, strict=False):
                tensor._value = value
        else:
            for tensor, value in zip(self.mutated, values, strict=False):
                tensor._value = (  # pyright: ignore[reportPrivateUsage]
                    TensorBase.default_class(value) if isinstance(tensor, GradHolder) else value)
        for holder in self.clears:
            holder._value = None


def _donation_count() -> int:
    value = Value(None, 0, None, object())  # pyright: ignore[reportArgumentType]
    arguments = [value.buffer]
    return _refcount(arguments[0])


def _held_count() -> int:
    """What getrefcount says of a value, or a buffer, that is held once and in a local variable, as `at_once` counts."""
    value = TensorBase(Value(None, 0, None))._value  # pyright: ignore
    return _refcount(value) + 1


DONATION_COUNT, HELD_COUNT = _donation_count(), _held_count()


def _holder_count() -> int:
    holder = Captured(object(), None)
    return _refcount(holder.value)


HOLDER_COUNT = _holder_count()


def _alone(owner: Any) -> bool:
    """Whether a tensor's value is nobody else's: clones share it until one of them is changed."""
    if type(owner) is GradHolder:
        return _refcount(owner.sink.grad) <= HOLDER_COUNT and _alone(owner.sink.grad)
    return _refcount(owner._value) <= HOLDER_COUNT or owner._value is None


class HostArray(NamedTuple):
    """A NumPy argument that is copied as it is."""

    shape: tuple[int, ...]
    dtype: Any
    info: Info

    def fits(self, x: np.ndarray[Any, Any]) -> bool:
        return x.shape == self.shape and x.dtype == self.dtype and x.flags.c_contiguous


def _host_array(array: Any) -> HostArray | None:
    info = from_host(array)._value.info
    return HostArray(array.shape, array.dtype, info) if info.type.dtype.numpy == array.dtype else None


def _argument_info(leaf: Any) -> Info:
    """What is known of an argument inside: numbers are weak scalars."""
    if type(leaf) in SCALARS:
        kind = SCALARS[type(leaf)]
        return Info.of(TensorType.of((), IMMEDIATE[kind]), False, kind)
    tensor = leaf if isinstance(leaf, TensorBase) else from_host(leaf)
    return tensor._use().info  # pyright: ignore[reportPrivateUsage]


def _stand_in(trace: Trace, leaf: Any, info: Info, array_class: Any) -> TensorBase:
    """A traced argument in place of an actual one."""
    cls = type(leaf).result_class if isinstance(leaf, TensorBase) else array_class or TensorBase.default_class
    return cls(trace.param(info))


Numbers: TypeAlias = "int | Sequence[int] | None"
Names: TypeAlias = "str | Sequence[str] | None"

#: where the leaves begin in a signature's key
LEAVES_FROM = len(explain.LABELS)
#: all jitted functions
_jitted: WeakSet[Jitted] = WeakSet()


class Jitted:
    """A compiled function: see `jit`. `array_class`: what arguments that are no tensors are inside."""

    array_class: Any = None
    disabled = False  # run functions as they are written

    def __init__(self, function: Callable[..., Any], static_argnums: Numbers = None, static_argnames: Names = None,
                 donate_argnums: Numbers = None, donate_argnames: Names = None) -> None:
        if not callable(function):
            raise ArgumentError(message("jit: the first argument must be a function",
                                        [("given", type(function).__name__)], "pb.jit(f)(x), not pb.jit(f(x))"))
        update_wrapper(self, function, updated=())
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.function = function
        self.static_numbers, self.static_names = _sequence(static_argnums), _sequence(static_argnames)
        self.donated_numbers, self.donated_names = _sequence(donate_argnums), _sequence(donate_argnames)
        both = {*self.static_numbers, *self.static_names} & {*self.donated_numbers, *self.donated_names}
        if both:
            raise StructureError(message(
                f"jit of {self.__name__}: a static argument has no memory to give up",
                [("static and donated", repr(next(iter(both))))], "name it in one of the two"))
        self.entries: dict[Any, Entry] = {}
        self.last: Entry | None = None  # the entry to try first: its arguments are checked one by one
        _jitted.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        here = thread.context
        if here.trace.kind != "main" or self.disabled:
            return self.function(*args, **kwargs)
        last = self.last
        if last is not None and last.grad_enabled is here.grad_enabled and last.precision is here.precision:
            leaves: Any = None
            if last.flat == len(args) and not kwargs:
                leaves = args
            elif last.flat < 0:
                found, structure = tree.flatten((args, kwargs))
                leaves = found if structure is last.given else None
            if leaves is not None:
                result = last.quick(leaves)
                if result is not NotImplemented:
                    return result
                if last.changed:
                    last.refuse_twice(leaves)
                arguments = last.match(leaves)
                if arguments is not None:
                    return last.deliver(last.run(arguments, leaves), leaves)
        leaves, structure, static, key = self.signature(args, kwargs)
        entry = self.entries.get(key)
        if entry is not None:
            return self._called(entry, leaves, structure, not static, None if kwargs else args)
        with Seldom():  # until the program runs: then Python looks for garbage beside it
            entry = self.trace(leaves, structure, static, key)
            return self._called(entry, leaves, structure, not static, None if kwargs else args)

    def _called(self, entry: Entry, leaves: list[Any], structure: Any, plain: bool,
                args: Sequence[Any] | None) -> Any:
        """The call of an entry, which is tried first from now on; `plain`: nothing is static; `args`: all arguments,
        where none has a name."""
        if plain and not entry.requires_grad:
            entry.given = structure
            entry.flat = len(args) if args is not None and len(leaves) == len(args) \
                and all(x is a for x, a in zip(leaves, args, strict=True)) else -1
            self.last = entry
        return entry.call(leaves)

    def again(self, args: Sequence[Any]) -> list[Value] | None:
        """The arrays that the call returns, where arguments are of the types of the last one; None for others."""
        last = self.last
        here = thread.context
        if last is None or last.flat != len(args) or last.grad_enabled is not here.grad_enabled \
                or here.trace.kind != "main":
            return None
        buffers = last.at_once(args)
        if buffers is None:
            arguments = last.match(args)
            if arguments is None:
                return None
            buffers = last.run(arguments, args)
        values = last.values(buffers)
        if last.holders or last.clears or last.changed:
            last.write_back(values[len(last.output_positions):], args)
        elif last.mutated:
            for tensor, value in zip(last.mutated, values[len(last.output_positions):]):
                tensor._value = value
        return values

    def entry_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        """What a call would run, without running it."""
        leaves, structure, static, key = self.signature(args, kwargs)
        return self.entries.get(key) or self.trace(leaves, structure, static, key)

    def trace(self, leaves: list[Any], structure: Any, static: dict[int, Any], key: Any) -> Entry:
        """Trace the function on a signature not seen before."""
        if config.EXPLAIN.value and self.entries:
            explain.signature(self.__name__, key, list(self.entries))
        entry = self.entries[key] = Entry(self, leaves, structure, static)
        return entry

    def signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any, dict[int, Any], Any]:
        """Leaves, their structure, which are static, and the key of the compiled entry."""
        if self.static_numbers or self.static_names:
            args = tuple(Static(a) if k in self.static_numbers or k - len(args) in self.static_numbers else a
                         for k, a in enumerate(args))
            kwargs = {k: Static(v) if k in self.static_names else v for k, v in kwargs.items()}
        leaves, structure = tree.flatten((args, kwargs))
        key: list[Any] = [structure, local.grad_enabled, thread.context.precision, dtypes.defaults()]
        static: dict[int, Any] = {}
        for k, leaf in enumerate(leaves):
            if isinstance(leaf, TensorBase):
                key.append(leaf._use().info)  # pyright: ignore[reportPrivateUsage]
            elif type(leaf) in SCALARS:
                key.append(type(leaf))
            elif hasattr(leaf, "__array__"):
                key.append((leaf.shape, leaf.dtype))
            else:
                value = leaf.value if type(leaf) is Static else self.constant(leaf)
                static[k] = value
                leaves[k] = value
                key.append((Static, self.hashable(value)))
        return leaves, structure, static, tuple(key)

    def given_up(self, leaves: Sequence[Any], structure: Any) -> list[int]:
        """The leaves that are tensors of donated arguments."""
        if not self.donated_numbers and not self.donated_names:
            return []
        args, kwargs = tree.unflatten(structure, list(range(len(leaves))))
        there = [k for k in self.donated_numbers if -len(args) <= k < len(args)]
        if len(there) < len(self.donated_numbers) and not self.donated_names:
            raise StructureError(message(
                f"jit of {self.__name__}: there is no such argument to donate",
                [("donate_argnums", repr(self.donated_numbers)), ("positional arguments", str(len(args)))],
                "number them from 0; name keyword arguments in donate_argnames"))
        donated = [args[k] for k in there] + [kwargs[k] for k in self.donated_names if k in kwargs]
        return sorted({k for k in tree.leaves(donated) if isinstance(leaves[k], TensorBase)})

    def constant(self, leaf: Any) -> Any:
        """An argument that is no array, and was not said to be static: part of the signature."""
        return leaf

    def hashable(self, value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            raise StructureError(message(
                f"jit of {self.__name__}: a static argument must be hashable",
                [("argument", f"{type(value).__name__} {value!r:.60}")],
                "pass arrays and numbers as ordinary arguments, lists as tuples")) from None
        return (type(value), value)


def use_defaults(floating: dtypes.DType, integer: dtypes.DType) -> None:
    """Make Python's numbers among themselves, and the floats that integers become, of these dtypes."""
    if (floating, integer) == dtypes.defaults():
        return
    execute.forget_structures()
    wide = floating is dtypes.float64
    dtypes.WEAK_DEFAULT.update(f=floating, i=integer, c=dtypes.complex128 if wide else dtypes.complex64)
    for jitted in list(_jitted):
        jitted.last = None


class Static:
    """Marks an argument as part of the signature."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _sequence(given: Any) -> tuple[Any, ...]:
    return () if given is None else (given,) if isinstance(given, (int, str)) else tuple(given)


def jit(function: Callable[..., Any] | None = None, *, static_argnums: Numbers = None, static_argnames: Names = None,
        donate_argnums: Numbers = None, donate_argnames: Names = None) -> Any:
    """Compile a function of pytrees of arrays; one compilation per structure, shapes and dtypes.

    Static arguments (`static_argnums`, `static_argnames`) are passed as they are and compared by value. The tensors of
    donated ones (`donate_argnums`, `donate_argnames`) are given up by the caller: results are written over them where
    shape and dtype fit, so that a step needs the memory of one state, and using them afterwards is an error.

    >>> import pullback as pb
    >>> @pb.jit
    ... def step(w, x, lr): return w - lr * x
    >>> step(pb.ones(2), pb.ones(2), 0.5)
    Tensor([0.5, 0.5], dtype=float32)
    """
    options = (static_argnums, static_argnames, donate_argnums, donate_argnames)

    def compiled(function: Callable[..., Any]) -> Jitted:
        return Jitted(function, *options)

    return compiled if function is None else compiled(function)

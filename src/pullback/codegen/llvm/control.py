"""Loops and choices over programs: each body is an internal function `void body(ptr args)`, called with addresses.

A carried value has two places, used in turn, or one where the body writes it in place; slices of sequences are
addresses within them. Nothing is copied but what the first or last turn needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.codegen.llvm.kernels import PARAMS, EmittedKernel, Slots, constant_address
from pullback.codegen.llvm.sort import emit_sort
from pullback.codegen.llvm.text import Fn, Module, V, const, i64
from pullback.kernel.nodes import Buffer, Kernel

EmitBody = Callable[[Any, str], int]


class Areas:
    """Private workspace of one control kernel: pieces of one area whose size is known at the end."""

    def __init__(self, fn: Fn, slots: V, table: Slots) -> None:
        self.fn, self.table = fn, table
        self.slot = table.area(0)
        self.base = fn.load(fn.gep(slots, i64(self.slot), "ptr"), "ptr", 8)
        self.size = 0

    def take(self, nbytes: int) -> V:
        at = self.size
        self.size += -(-max(nbytes, 1) // 64) * 64
        return self.fn.gep(self.base, i64(at), "i8")

    def finish(self) -> None:
        self.table.areas = [(s, self.size if s == self.slot else n) for s, n in self.table.areas]


class Control:
    """What the kinds have in common while one is emitted."""

    def __init__(self, fn: Fn, kernel: Kernel, table: Slots, emit_body: EmitBody) -> None:
        self.kernel, self.payload, self.fn = kernel, kernel.payload, fn
        self.slots, self.table = self.fn.params[0], table
        self.areas = Areas(self.fn, self.slots, table)
        self.bodies: list[tuple[str, V, V]] = []  # name, arguments, workspace
        for k, plan in enumerate(self.payload.bodies):
            name = f"{fn.name}.body{k}"
            nbytes = emit_body(plan, name)
            count = len(plan.function.params) + len(plan.function.results) + 1
            args = self.fn.alloca("ptr", count)
            workspace = self.areas.take(nbytes)
            self.fn.store(workspace, self.fn.gep(args, i64(count - 1), "ptr"), 8)
            self.bodies.append((name, args, workspace))
        self.inputs: list[V] = [self.address(b) for b in self.payload.inputs]
        types = self.result_types()
        self.results = [self.areas.take(t.nbytes) if b is None else self.address(b)
                        for b, t in zip(self.payload.results, types, strict=True)]

    def result_types(self) -> list[Any]:
        op = self.payload.op
        return list(op.infer(*[_type(b) for b in self.payload.inputs]).items)

    def address(self, buffer: Buffer) -> V:
        if buffer.space == "constant":
            return constant_address(self.fn.module, buffer)
        at = self.fn.gep(self.slots, i64(self.table.of(buffer)), "ptr")
        if buffer.space == "immediate":
            return immediate_place(self.fn, at, buffer)
        return self.fn.load(at, "ptr", 8)

    def give(self, args: V, index: int, address: V) -> None:
        self.fn.store(address, self.fn.gep(args, i64(index), "ptr"), 8)

    def call(self, body: int) -> None:
        name, args, _ = self.bodies[body]
        self.fn.line(f"call void @{name}(ptr {args.ref})")

    def in_place(self, body: int, first: int, count: int) -> dict[int, V]:
        """The places of those of `count` states that a body writes in place, filled with what they are at first."""
        alias, found = self.payload.bodies[body].alias, dict[int, V]()
        for k, t in enumerate(self.result_types()[:count]):
            if alias.get(k) == first + k:
                found[k] = self.results[k]
                self.copy(self.results[k], self.inputs[first + k], t.nbytes)
        return found

    def copy(self, target: V, source: V, nbytes: int) -> None:
        self.fn.call("llvm.memmove.p0.p0.i64", "void", target, source, i64(nbytes), V("false", "i1"))

    def step(self, base: V, turn: V, nbytes: int) -> V:
        return self.fn.gep(base, self.fn.mul(turn, i64(nbytes)), "i8")


def immediate_place(fn: Fn, slot: V, buffer: Buffer) -> V:
    """The address of a scalar that was passed by value."""
    from pullback.codegen.llvm.math import emit_convert, emit_store_convert, register_type, storage_type

    name = "float64" if buffer.dtype.kind == "f" else "int64"
    value = emit_convert(fn, fn.load(slot, register_type(name), 8), name, buffer.dtype.name)
    place = fn.alloca(storage_type(buffer.dtype.name))
    fn.store(emit_store_convert(fn, value, buffer.dtype.name), place, buffer.dtype.itemsize)
    return place


def _type(buffer: Buffer) -> Any:
    from pullback.ir.node import TensorType

    return TensorType.of(buffer.shape, buffer.dtype)


def emit_control(module: Module, kernel: Kernel, name: str, table: Slots, linkage: str,
                 emit_body: EmitBody) -> EmittedKernel:
    """A kernel of kind "scan", "while", "cond", "sort" or "dense"."""
    control = Control(module.function(name, PARAMS, linkage=linkage), kernel, table, emit_body)
    kinds: dict[str, Callable[[Control], None]] = {"scan": emit_scan, "while": emit_while, "cond": emit_cond,
                                                   "sort": emit_sort, "dense": emit_dense}
    kinds[kernel.kind](control)
    control.fn.ret()
    control.areas.finish()
    return EmittedKernel(name, kernel.threads, control.areas.size)


def emit_dense(control: Control) -> None:
    """A kernel on dense matrices, by its operator's name."""
    from pullback.codegen.llvm.bidiagonal import emit_bidiagonal  # lazy: few programs have them
    from pullback.codegen.llvm.bidiagonal_singular import emit_bidiagonal_singular
    from pullback.codegen.llvm.cholesky import emit_cholesky
    from pullback.codegen.llvm.householder import emit_householder, emit_householder_q
    from pullback.codegen.llvm.pivots import emit_pivoted_lu
    from pullback.codegen.llvm.tridiagonal import emit_tridiagonal
    from pullback.codegen.llvm.tridiagonal_eigen import emit_tridiagonal_eigen

    emitters: dict[str, Callable[[Any], None]] = {
        "tridiagonal": emit_tridiagonal, "tridiagonal_eigen": emit_tridiagonal_eigen,
        "upper_cholesky": emit_cholesky, "bidiagonal": emit_bidiagonal, "bidiagonal_singular": emit_bidiagonal_singular,
        "householder": emit_householder, "householder_q": emit_householder_q,
        "pivoted_lu": emit_pivoted_lu}
    emitters[control.payload.op.name](control)


def emit_scan(control: Control) -> None:
    """for each turn: the body on constants, carried values and slices."""
    fn, op = control.fn, control.payload.op
    consts, carries, length = int(op.consts), int(op.carries), int(op.length)
    types = control.result_types()
    if length == 0:
        for k in range(carries):
            control.copy(control.results[k], control.inputs[consts + k], types[k].nbytes)
        return
    _, args, _ = control.bodies[0]
    for k in range(consts):
        control.give(args, k, control.inputs[k])
    count = len(control.inputs)
    still = control.in_place(0, consts, carries)
    for k, place in still.items():
        control.give(args, consts + k, place)
        control.give(args, count + k, place)
    moved = [k for k in range(carries) if k not in still]
    temporary: list[V] = [control.areas.take(types[k].nbytes) for k in moved]
    finals = [control.results[k] for k in moved]
    first, other = (finals, temporary) if length % 2 else (temporary, finals)
    start = [*(control.inputs[consts + k] for k in moved), *first, *other]
    loop = fn.begin_loop(i64(0), i64(length), i64(1), start)
    into, out, spare = (loop.carried[k * len(moved):(k + 1) * len(moved)] for k in range(3))
    turn = fn.binary("sub", i64(length - 1), loop.counter) if op.reverse else loop.counter
    for n, k in enumerate(moved):
        control.give(args, consts + k, into[n])
        control.give(args, count + k, out[n])
    for k in range(consts + carries, count):
        nbytes = control.payload.inputs[k].nbytes // length
        control.give(args, k, control.step(control.inputs[k], turn, nbytes))
    for k in range(carries, len(types)):
        control.give(args, count + k, control.step(control.results[k], turn, types[k].nbytes // length))
    turn_label, past = fn.fresh("turn"), fn.fresh("past")
    fn.unless_cancelled(turn_label, past)
    fn.label(turn_label)
    control.call(0)
    fn.br(past)
    fn.label(past)
    fn.end_loop(loop, [*out, *spare, *out])


def emit_while(control: Control) -> None:
    """Until the condition fails: the body, from one place of the state to the other."""
    fn, op = control.fn, control.payload.op
    consts, types = int(op.consts), control.result_types()
    states = len(types)
    flag = control.areas.take(1)
    still = control.in_place(1, consts, states)
    moved = [k for k in range(states) if k not in still]
    temporary: list[V] = [control.areas.take(types[k].nbytes) for k in moved]
    _, test, _ = control.bodies[0]
    _, body, _ = control.bodies[1]
    for k in range(consts):
        control.give(test, k, control.inputs[k])
        control.give(body, k, control.inputs[k])
    for k, place in still.items():
        for args, at in ((test, consts + k), (body, consts + k), (body, consts + states + k)):
            control.give(args, at, place)
    control.give(test, consts + states, flag)
    before, header, inside, done = fn.block, fn.fresh("while"), fn.fresh("turn"), fn.fresh("end")
    fn.br(header)
    fn.label(header)
    start = [*(control.inputs[consts + k] for k in moved), *(control.results[k] for k in moved), *temporary]
    phis: list[V] = []
    lines: list[int] = []
    for value in start:
        name = f"%{fn.fresh('s')}"
        lines.append(len(fn.lines))
        fn.line(f"{name} = phi ptr [ {value.ref}, %{before} ], [ NEXT, %LATCH ]")
        phis.append(V(name, "ptr"))
    into, out, spare = (phis[k * len(moved):(k + 1) * len(moved)] for k in range(3))
    for n, k in enumerate(moved):
        control.give(test, consts + k, into[n])
    control.call(0)
    fn.cond_br(fn.compare("icmp", "ne", fn.load(flag, "i8", 1), const(0, "i8")), inside, done)
    fn.label(inside)
    for n, k in enumerate(moved):
        control.give(body, consts + k, into[n])
        control.give(body, consts + states + k, out[n])
    control.call(1)
    for at, value in zip(lines, [*out, *spare, *out], strict=True):
        fn.lines[at] = fn.lines[at].replace("NEXT", value.ref).replace("%LATCH", f"%{fn.block}")
    fn.unless_cancelled(header, done)
    fn.label(done)
    for n, k in enumerate(moved):
        control.copy(control.results[k], into[n], types[k].nbytes)


def emit_cond(control: Control) -> None:
    """The branch that the index names, clamped."""
    fn = control.fn
    last = len(control.bodies) - 1
    index = fn.load(control.inputs[0], "i32", 4)
    index = fn.intrinsic("llvm.smax", "i32", index, const(0, "i32"))
    index = fn.intrinsic("llvm.smin", "i32", index, const(last, "i32"))
    done = fn.fresh("end")
    labels = [fn.fresh("branch") for _ in control.bodies]
    cases = " ".join(f"i32 {k}, label %{label}" for k, label in enumerate(labels[:-1]))
    fn.line(f"switch i32 {index.ref}, label %{labels[-1]} [ {cases} ]")
    for k, label in enumerate(labels):
        fn.label(label)
        _, args, _ = control.bodies[k]
        for j, address in enumerate([*control.inputs[1:], *control.results]):
            control.give(args, j, address)
        control.call(k)
        fn.br(done)
    fn.label(done)

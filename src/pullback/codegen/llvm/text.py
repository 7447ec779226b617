"""LLVM IR as text: values, functions, structured loops.

A `V` is an SSA value (or a literal) with its LLVM type. A `Fn` collects the lines of one function. Loops are
structured (`begin_loop` / `end_loop`) with loop-carried values, so that emitters never write phi nodes by hand.
Types are LLVM's own spelling: "float", "i64", "<8 x float>", "ptr".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class V(NamedTuple):
    """An SSA value or literal: `ref` is its spelling (`%t3`, `0`, `0x3FF0...`), `type` its LLVM type."""

    ref: str
    type: str


class Loop(NamedTuple):
    """An open loop: labels, the induction variable and the phis of its carried values."""

    header: str
    body: str
    exit: str
    counter: V
    step: V
    carried: list[V]
    patch: int


@cache
def lanes(type_: str) -> int:
    """Number of lanes of a vector type; 1 for a scalar."""
    return int(type_[1:].split(" ", 1)[0]) if type_[0] == "<" else 1


@cache
def element(type_: str) -> str:
    """Element type of a vector type; a scalar type is its own element."""
    return type_[1:-1].split(" x ", 1)[1] if type_[0] == "<" else type_


@cache
def vector(element_type: str, width: int) -> str:
    """`<width x element_type>`, or the scalar type itself where width is 1."""
    return element_type if width == 1 else f"<{width} x {element_type}>"


def with_element(type_: str, element_type: str) -> str:
    """The type of the same number of lanes over another element type."""
    return vector(element_type, lanes(type_))


def i64(value: int) -> V:
    return V(str(int(value)), "i64")


def float_literal(value: float, type_: str) -> str:
    """Spelling of a floating literal of a scalar type (float, double, half, bfloat)."""
    if type_ == "half":
        return "0xH" + struct.pack(">e", value).hex().upper()
    if type_ == "bfloat":
        return "0xR" + struct.pack(">f", value)[:2].hex().upper()
    if type_ == "float":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return "0x" + struct.pack(">d", value).hex().upper()


def const(value: float | int | bool, type_: str) -> V:
    """A literal of a scalar or vector type; a vector literal has the same value in every lane."""
    scalar = element(type_)
    if scalar in ("float", "double", "half", "bfloat"):
        text = float_literal(float(value), scalar)
    elif scalar == "i1":
        text = "true" if value else "false"
    else:
        text = str(int(value))
    if type_[0] == "<":
        text = "<" + ", ".join([f"{scalar} {text}"] * lanes(type_)) + ">"
    return V(text, type_)


def literals(values: Sequence[int], scalar: str) -> V:
    """A vector of integers or truths, one for each lane."""
    each = [const(k, scalar).ref for k in values]
    return V(f"<{', '.join(f'{scalar} {x}' for x in each)}>", vector(scalar, len(each)))


class Module:
    """One LLVM module: functions, declarations and globals, each written once."""

    def __init__(self) -> None:
        self.functions: list[Fn] = []
        self.declarations: dict[str, str] = {}
        self.globals: dict[str, str] = {}

    def declare(self, name: str, returns: str, params: tuple[str, ...], attributes: str = "") -> None:
        """Declare an external function or intrinsic once."""
        self.declarations.setdefault(name, f"declare {returns} @{name}({', '.join(params)}) {attributes}".rstrip())

    def global_(self, name: str, definition: str) -> None:
        """Define a global once: `@name = definition`."""
        self.globals.setdefault(name, f"@{name} = {definition}")

    def function(self, name: str, params: list[tuple[str, str]], returns: str = "void", attributes: str = "#0",
                 linkage: str = "") -> Fn:
        """Open a function; `params` are (type, name) pairs, the type may carry attributes ("ptr noalias")."""
        fn = Fn(self, name, params, returns, attributes, linkage)
        self.functions.append(fn)
        return fn

    def text(self) -> str:
        return module_text([*self.globals.values(), *self.declarations.values(), *(fn.text() for fn in self.functions)])


def module_text(definitions: list[str]) -> str:
    """A module of these definitions, with the attributes and metadata that they name."""
    return "\n".join([*definitions,
                      'attributes #0 = { nounwind "prefer-vector-width"="256" }',
                      'attributes #1 = { nounwind noinline "prefer-vector-width"="256" }',
                      '!0 = distinct !{!0, !1}\n!1 = !{!"llvm.loop.unroll.disable"}\n!2 = !{i32 1}',
                      '!3 = distinct !{!3, !1, !4}\n!4 = !{!"llvm.loop.align", i32 64}']) + "\n"


class Fn:
    """One function being written: fresh names, instructions, blocks and structured loops."""

    def __init__(self, module: Module, name: str, params: list[tuple[str, str]], returns: str, attributes: str,
                 linkage: str) -> None:
        self.module = module
        self.name = name
        self.returns = returns
        self.params = [V(f"%{n}", t.split(" ", 1)[0] if t.startswith("ptr") else t) for t, n in params]
        signature = ", ".join(f"{t} %{n}" for t, n in params)
        head = f"define {linkage + ' ' if linkage else ''}{returns} @{name}({signature}) {attributes} {{"
        self.entry_allocas: list[str] = []
        self.lines: list[str] = [head, "entry:"]
        self.block = "entry"
        self.count = 0

    # -- names, lines, blocks ------------------------------------------------------------------------------------
    def fresh(self, prefix: str = "t") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def br(self, target: str) -> None:
        self.line(f"br label %{target}")

    def cond_br(self, condition: V, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition.ref}, label %{then}, label %{otherwise}")

    def ret(self, value: V | None = None) -> None:
        self.line("ret void" if value is None else f"ret {value.type} {value.ref}")

    def text(self) -> str:
        return "\n".join([*self.lines[:2], *self.entry_allocas, *self.lines[2:], "}"])

    # -- instructions --------------------------------------------------------------------------------------------
    def op(self, text: str, type_: str) -> V:
        """Any instruction with a result: `op("fadd float %a, %b", "float")`."""
        self.count += 1
        ref = f"%t{self.count}"
        self.lines.append(f"  {ref} = {text}")
        return V(ref, type_)

    def binary(self, opcode: str, a: V, b: V) -> V:
        """`opcode` may carry flags ("add nsw", "fadd contract")."""
        return self.op(f"{opcode} {a.type} {a.ref}, {b.ref}", a.type)

    def add(self, a: V, b: V) -> V:
        return self.binary("add", a, b)

    def mul(self, a: V, b: V) -> V:
        return self.binary("mul", a, b)

    def compare(self, opcode: str, predicate: str, a: V, b: V) -> V:
        """`compare("icmp", "slt", a, b)` / `compare("fcmp", "olt", a, b)`."""
        return self.op(f"{opcode} {predicate} {a.type} {a.ref}, {b.ref}", with_element(a.type, "i1"))

    def select(self, condition: V, a: V, b: V) -> V:
        return self.op(f"select {condition.type} {condition.ref}, {a.type} {a.ref}, {b.type} {b.ref}", a.type)

    def cast(self, opcode: str, a: V, type_: str) -> V:
        return self.op(f"{opcode} {a.type} {a.ref} to {type_}", type_)

    def call(self, name: str, returns: str, *args: V, declare: bool = True) -> V:
        """Call a function or intrinsic, declaring it once; the result of a void call must not be used."""
        if declare:
            self.module.declare(name, returns, tuple(a.type for a in args))
        text = f"call {returns} @{name}({', '.join(f'{a.type} {a.ref}' for a in args)})"
        if returns == "void":
            self.line(text)
            return V("undef", "void")
        return self.op(text, returns)

    def intrinsic(self, name: str, result: str, *args: V) -> V:
        """An overloaded intrinsic by its stem: `intrinsic("llvm.fma", "<8 x float>", a, b, c)`."""
        return self.call(f"{name}.{mangle(result)}", result, *args)

    def splat(self, a: V, width: int) -> V:
        """All lanes equal to a scalar."""
        if width == 1:
            return a
        type_ = vector(a.type, width)
        if a.ref[0] != "%":
            return V("<" + ", ".join([f"{a.type} {a.ref}"] * width) + ">", type_)
        one = self.op(f"insertelement {type_} poison, {a.type} {a.ref}, i64 0", type_)
        return self.op(f"shufflevector {type_} {one.ref}, {type_} poison, <{width} x i32> zeroinitializer", type_)

    def extract(self, a: V, lane: int) -> V:
        return self.op(f"extractelement {a.type} {a.ref}, i64 {lane}", element(a.type))

    def insert(self, a: V, scalar: V, lane: int) -> V:
        return self.op(f"insertelement {a.type} {a.ref}, {scalar.type} {scalar.ref}, i64 {lane}", a.type)

    # -- memory --------------------------------------------------------------------------------------------------
    def gep(self, base: V, index: V, element_type: str) -> V:
        """Address of element `index` (an i64) of an array of `element_type` at `base`."""
        return self.op(f"getelementptr inbounds {element_type}, ptr {base.ref}, {index.type} {index.ref}", "ptr")

    def load(self, address: V, type_: str, align: int, suffix: str = "") -> V:
        return self.op(f"load {type_}, ptr {address.ref}, align {align}{suffix}", type_)

    def store(self, value: V, address: V, align: int, suffix: str = "") -> None:
        self.line(f"store {value.type} {value.ref}, ptr {address.ref}, align {align}{suffix}")

    def alloca(self, type_: str, count: int = 1, align: int = 64) -> V:
        """Stack memory, allocated in the entry block whatever the current block is."""
        ref = f"%{self.fresh('slot')}"
        self.entry_allocas.append(f"  {ref} = alloca {type_}, i64 {count}, align {align}")
        return V(ref, "ptr")

    def unless_cancelled(self, go: str, stop: str) -> None:
        """Branch to `stop` where the runtime wants programs to end (Ctrl-C), else to `go`."""
        flag = self.call("pb_cancelled", "i32")
        self.cond_br(self.compare("icmp", "eq", flag, V("0", "i32")), go, stop)

    # -- structured control --------------------------------------------------------------------------------------
    def begin_loop(self, start: V, stop: V, step: V, carried: list[V] | None = None) -> Loop:
        """Open `for (i = start; i < stop; i += step)`; `carried` are the values on entry. May run zero times."""
        carried = carried or []
        n = self.fresh("")
        header, body, exit_ = f"loop{n}", f"body{n}", f"exit{n}"
        before = self.block
        self.br(header)
        self.label(header)
        counter = V(f"%i{n}", "i64")
        patch = len(self.lines)
        self.lines.append(f"  {counter.ref} = phi i64 [ {start.ref}, %{before} ], [ %i{n}.next, %LATCH ]")
        phis: list[V] = []
        for k, value in enumerate(carried):
            phi = V(f"%c{n}.{k}", value.type)
            self.lines.append(f"  {phi.ref} = phi {value.type} [ {value.ref}, %{before} ], [ NEXT, %LATCH ]")
            phis.append(phi)
        inside = self.compare("icmp", "slt", counter, stop)
        self.cond_br(inside, body, exit_)
        self.label(body)
        return Loop(header, body, exit_, counter, step, phis, patch)

    def end_loop(self, loop: Loop, values: list[V] | None = None, hot: bool = False) -> list[V]:
        """Close the loop with the carried values of the next turn; returns their values after the loop.

        A hot one begins on a line of its own: where two threads share a core, a product's inner loop takes 12% longer
        elsewhere.
        """
        values = values or []
        latch = self.block
        self.line(f"{loop.counter.ref}.next = add nsw i64 {loop.counter.ref}, {loop.step.ref}")
        self.line(f"br label %{loop.header}, !llvm.loop {'!3' if hot else '!0'}")
        lines = self.lines
        lines[loop.patch] = lines[loop.patch].replace("%LATCH", "%" + latch)
        for k, value in enumerate(values):
            at = loop.patch + 1 + k
            lines[at] = lines[at].replace("NEXT", value.ref).replace("%LATCH", "%" + latch)
        self.label(loop.exit)
        return loop.carried


@cache
def mangle(type_: str) -> str:
    """The suffix of an overloaded intrinsic: `<8 x float>` -> `v8f32`."""
    names = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}
    scalar = names.get(element(type_), element(type_))
    return f"v{lanes(type_)}{scalar}" if type_[0] == "<" else scalar

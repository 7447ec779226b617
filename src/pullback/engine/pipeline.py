"""The path from a graph to a program, on one page."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from pullback.ir.node import Function
from pullback.util.errors import CompileError, message


@dataclass(slots=True)
class KernelInfo:
    """One kernel of a program."""

    name: str
    kind: str
    flops: int
    nbytes: int
    phase: int


@dataclass(slots=True)
class Program:
    """Compiled code: `void prog(ptr args)` at `address`; arguments are inputs, outputs, workspace."""

    in_types: tuple[Any, ...]
    out_types: tuple[Any, ...]
    alias: dict[int, int]
    workspace_bytes: int
    flops: int
    nbytes: int
    seconds: float
    kernels: list[KernelInfo]
    address: int
    loaded: Any = None
    text: str = ""
    times: dict[str, float] = field(default_factory=dict[str, float])


def compile_function(function: Function, *, donated: frozenset[int] = frozenset(),
                     immediates: frozenset[int] = frozenset()) -> Program:
    """Compile a function for this machine."""
    from pullback.codegen.llvm.compile import compile_ir
    from pullback.codegen.llvm.program import emit_program
    from pullback.codegen.llvm.target import host
    from pullback.passes.inline import inline
    from pullback.passes.recognise import recognise
    from pullback.passes.simplify import simplify
    from pullback.runtime.loader import load_object
    from pullback.runtime.native import native
    from pullback.schedule.plan import plan as make_plan

    times: dict[str, float] = {}
    start = time.perf_counter()
    try:
        for step in (inline, simplify, recognise):
            function = step(function)
            times[step.__name__] = time.perf_counter() - start - sum(times.values())
        made = make_plan(function, donated, immediates, os.cpu_count() or 1)
        times["schedule"] = time.perf_counter() - start - sum(times.values())
        emitted = emit_program(made, host())
    except (NotImplementedError, KeyError) as error:
        raise CompileError(message(f"compile: {error!r}")) from error
    times["emit"] = time.perf_counter() - start - sum(times.values())
    code = compile_ir(emitted.text)
    times["llvm"] = time.perf_counter() - start - sum(times.values())
    loaded = load_object(code, native().symbols)
    kernels = [KernelInfo(k.name, k.kind, k.flops, k.nbytes, n) for n, p in enumerate(made.phases) for k in p]
    return Program(function.in_types, function.out_types, made.alias, emitted.workspace_bytes, made.flops, made.nbytes,
                   made.seconds, kernels, loaded.address("prog"), loaded, emitted.text, times)

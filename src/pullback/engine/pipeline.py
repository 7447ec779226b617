"""The path from a graph to a program, on one page.

    passes    inline, loops, simplify, recognise, orient  graph -> graph
    schedule  kernels by phase, buffers, loop IR          graph -> plan
    emit      LLVM IR, already tiled and vectorised       plan  -> units of text
    compile   object code, on all cores                   units -> objects
    load      machine code in memory                      objects -> Program

`compile_function` runs it. What it made is kept on disk: a program that is found there needs none of these steps, nor
LLVM. Flags (`util/config.py`): `skip` leaves passes out, `debug` prints stages, `verify` checks after every step.
"""

from __future__ import annotations

import importlib
import marshal
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pullback.codegen.llvm.compile import FORMAT, host_target, preload, release, toolchain_version
from pullback.engine import inspect
from pullback.ir.node import Function, Node, Op, Param, verify
from pullback.ir.printer import to_text
from pullback.runtime.cpu import available_cores, last_cache
from pullback.runtime.loader import LoaderError, load_object
from pullback.runtime.native import native
from pullback.runtime.objects import Code, find, load_code
from pullback.util import config
from pullback.util.disk_cache import default_cache, sha256
from pullback.util.errors import CompileError, message
from pullback.util.kinds import is_tuple

if TYPE_CHECKING:
    from pullback.schedule.donation import Pairs

#: expected seconds of a program that may take any time
LONG = 1.0
#: (name, module, function): what is rewritten, in order; each leaves what its module's docstring says
PASSES = (
    ("inline", "pullback.passes.inline", "inline"),
    ("loops", "pullback.passes.loops", "fewer_loops"),
    ("simplify", "pullback.passes.simplify", "simplify"),
    ("unread", "pullback.passes.unread", "only_read"),
    ("recognise", "pullback.passes.recognise", "recognise"),
    ("orient", "pullback.passes.orient", "orient"),
)
SOURCES = ("ir", "ops", "passes", "schedule", "kernel", "codegen", "engine/pipeline.py", "util/threefry.py")


class KernelInfo(NamedTuple):
    """One kernel of a program; kernels of one phase run in one parallel region."""

    name: str
    kind: str
    phase: int
    threads: int
    flops: int
    nbytes: int


class Program:
    """Compiled code: `void prog(ptr args)` at `address`; slots are inputs, outputs, workspace.

    `alias` says which results take over a donated input's memory; `seconds` is the expected time of one run. One that
    is `checked` has an output more, an int32 at `error_slot`: see `watched`.
    """

    __slots__ = ("_watched", "address", "alias", "cached", "checked", "donated", "early", "error_slot", "flops",
                 "function", "immediates", "in_types", "kernels", "loaded", "nbytes", "out_types", "replaced",
                 "seconds", "times", "workspace_bytes")

    def __init__(self, function: Function, header: dict[str, Any], address: int, loaded: tuple[Code, ...],
                 donated: frozenset[int], immediates: frozenset[int]) -> None:
        self.function, self.in_types, self.out_types = function, function.in_types, function.out_types
        self.alias: dict[int, int] = dict(header["alias"])
        self.workspace_bytes: int = header["workspace_bytes"]
        self.flops: int = header["flops"]
        self.nbytes: int = header["nbytes"]
        self.seconds: float = header["seconds"]
        self.kernels = [KernelInfo(*k) for k in header["kernels"]]
        self.address, self.loaded = address, loaded
        self.donated, self.immediates = donated, immediates
        #: results that are written also where the program refuses something
        self.early: tuple[int, ...] = header["early"]
        self.replaced: Pairs = ()
        self.checked: bool = header["checked"]
        self.error_slot = len(function.params) + len(function.results) if self.checked else -1
        self._watched: tuple[Function, tuple[Node, ...]] | None = None
        self.cached = False
        self.times: dict[str, float] = {}

    @property
    def watched(self) -> tuple[Function, tuple[Node, ...]]:
        """The function with its checks, and what `passes.checks.refused` finds the operator in that met an index out
        of range. Made when asked for: a program that is found on disk needs neither."""
        if self._watched is None:
            from pullback.passes.checks import with_checks

            self._watched = with_checks(self.function) if self.checked else (self.function, ())
        return self._watched

    def text(self, stage: str) -> str:
        """The program at a stage: "graph", "schedule", "loops", "llvm" or "asm" (made anew from the graph)."""
        return stage_text(self.function, stage, self.donated, self.immediates)


def compile_function(function: Function, *, donated: frozenset[int] = frozenset(),
                     immediates: frozenset[int] = frozenset(), check_indices: bool = False,
                     replaced: Pairs = ()) -> Program:
    """A program for this machine; CompileError where there is no native code for something in it.

    With `check_indices`, and where there are indices to check, the program is `checked`; results that are `replaced`,
    each with a parameter, are what the parameter was where it meets an index out of range.
    """
    clock = Clock()
    if config.STOP_AFTER.value:
        inspect.stop(function, donated, immediates)
    pairs = replaced if check_indices else None
    key = program_key(function, donated, immediates, pairs)
    clock.lap("key")
    stored = default_cache().get(key)
    header, objects = unpack(stored) if stored is not None else (None, [])
    clock.lap("lookup")
    program = load(function, header, objects, donated, immediates) if header is not None else None
    cached = program is not None
    if program is None:
        preload()
        header, objects = build(function, donated, immediates, clock, pairs)
        default_cache().put(key, pack(header, objects))
        clock.lap("store")
        program = load(function, header, objects, donated, immediates)
        if program is None:
            raise CompileError(message("compile: the code that was made cannot be loaded"))
        del objects
        release()
    clock.lap("load")
    program.cached, program.times, program.replaced = cached, clock.laps, replaced
    if config.DEBUG.value:
        inspect.debug(program)
    return program


def build(function: Function, donated: frozenset[int], immediates: frozenset[int], clock: Clock,
          checked: Pairs | None) -> tuple[dict[str, Any], list[bytes]]:
    """Run every step; the header holds all that a program must know besides its code. `checked`: `replaced`, or None
    where nothing is to be checked."""
    found: tuple[Node, ...] = ()
    if checked is not None:
        from pullback.passes.checks import with_checks

        function, found = with_checks(function)
        clock.lap("checks")
    plan = make_plan(run_passes(function, clock), donated, immediates, checked if found else None)
    clock.lap("schedule")
    entry, workspace_bytes, objects = compile_plan(plan, clock)
    kernels = [(k.name, k.kind, n, k.threads, k.flops, k.nbytes) for n, phase in enumerate(plan.phases) for k in phase]
    seconds = max(plan.seconds, LONG) if open_ended(plan) else plan.seconds
    header = {"alias": sorted(plan.alias.items()), "workspace_bytes": workspace_bytes, "flops": plan.flops,
              "nbytes": plan.nbytes, "seconds": seconds, "kernels": kernels, "entry": entry,
              "early": plan.early, "checked": bool(found),
              "objects": [(o.symbols, len(o.data), o.callees) for o in objects]}
    return header, [o.data for o in objects]


class Piece(NamedTuple):
    """An object of a program: what it defines, and the pieces before it that it calls into."""

    symbols: list[str]
    data: bytes
    callees: list[int]


def compile_plan(plan: Any, clock: Clock) -> tuple[str, int, list[Piece]]:
    """The symbol of the program, its workspace, and its objects: the program's own is the last."""
    from pullback.codegen.llvm import compile as llvm
    from pullback.codegen.llvm.program import PlanEmitter
    from pullback.codegen.llvm.target import host
    from pullback.codegen.llvm.workshop import Workshop

    emitter = PlanEmitter(plan, host())
    used: dict[Code, int] = {}

    def known(symbol: str) -> bool:
        code = find(symbol)
        if code is not None:
            _use(code, used)
        return code is not None

    workshop = Workshop(known, available_cores() - 1)
    symbols: list[str] = []
    for unit in emitter.units():
        workshop.add(unit)
        symbols.append(unit.symbol)
    entry = emitter.entry_unit(symbols)
    workshop.add(entry)
    clock.lap("emit")
    try:
        groups = workshop.finish()
    except llvm.CompileError as error:
        raise CompileError(str(error)) from error
    clock.lap("compile")
    groups.sort(key=lambda group: entry.symbol in group.symbols)
    pieces = [Piece(code.symbols, code.data, [used[callee] for callee in code.callees]) for code in used]
    pieces += [Piece(group.symbols, group.code, []) for group in groups]
    if groups and entry.symbol in groups[-1].symbols:
        pieces[-1].callees.extend(range(len(pieces) - 1))
    return entry.symbol, emitter.workspace_bytes, pieces


def _use(code: Code, used: dict[Code, int]) -> None:
    """Note an object of earlier programs, after those that it calls into, with its place among them."""
    if code not in used:
        for callee in code.callees:
            _use(callee, used)
        used[code] = len(used)


def open_ended(plan: Any) -> bool:
    """Whether a loop in it runs until a condition fails: it may take any time, and must not hold the interpreter up."""
    return any(k.kind == "while" or any(open_ended(body) for body in getattr(k.payload, "bodies", ()))
               for phase in plan.phases for k in phase)


def timed_program(program: Program, table: int) -> Any:
    """The program's code again, each kernel noting its first start and last end in the table at this address."""
    from pullback.codegen.llvm import compile as llvm
    from pullback.codegen.llvm.program import program_text
    from pullback.codegen.llvm.target import host

    plan = make_plan(run_passes(program.watched[0], Clock()), program.donated, program.immediates,
                     program.replaced if program.checked else None)
    return load_object(llvm.compile_ir(program_text(plan, host(), table)[0]), native().symbols)


def run_passes(function: Function, clock: Clock) -> Function:
    """The graph after all passes that are not skipped."""
    skipped = {name.strip() for name in config.SKIP.value.split(",")}
    if not config.RECOGNISE.value:
        skipped.add("recognise")
    for name, module, attribute in PASSES:
        if name in skipped:
            continue
        run: Callable[[Function], Function] = getattr(importlib.import_module(module), attribute)
        function = run(function)
        if config.VERIFY.value:
            verify(function)
        clock.lap(name)
    return function


def _rewritten(body: Function) -> Function:
    """A body after all passes."""
    return run_passes(body, Clock())


def make_plan(function: Function, donated: frozenset[int], immediates: frozenset[int],
              checked: Pairs | None = None) -> Any:
    """Kernels, phases and buffers; `checked`: the last result says what was refused (see `Options`)."""
    from pullback.codegen.llvm.target import host
    from pullback.schedule.costs import streamed_from
    from pullback.schedule.plan import Options, Unsupported, plan

    machine = host()
    options = Options(available_cores(), config.FUSE.value, _rewritten, unit=machine.amx, native=machine.native,
                      checked=checked, stream=streamed_from(last_cache()))
    try:
        made = plan(function, donated, immediates, options)
    except Unsupported as error:
        raise CompileError(message(f"compile: no native code for {error}")) from error
    if config.VERIFY.value:
        from pullback.kernel.verify import verify_kernel

        for phase in made.phases:
            for kernel in phase:
                verify_kernel(kernel)
    return made


def load(function: Function, header: dict[str, Any], objects: list[bytes], donated: frozenset[int],
         immediates: frozenset[int]) -> Program | None:
    """Machine code in memory, with what is known of it; None where the loader refuses it."""
    externals = native().symbols
    codes: list[Code] = []
    try:
        rows: list[tuple[list[str], int, list[int]]] = header["objects"]
        for (symbols, _, callees), data in zip(rows, objects, strict=True):
            codes.append(load_code(symbols, data, externals, tuple([codes[k] for k in callees])))
    except LoaderError:
        return None
    main = next(code for code in codes if header["entry"] in code.symbols)
    return Program(function, header, main.loaded.address(header["entry"]), tuple(codes), donated, immediates)


# -- the cache ---------------------------------------------------------------------------------------------------------
def pack(header: dict[str, Any], objects: list[bytes]) -> bytes:
    return marshal.dumps((header, b"".join(objects)))


def unpack(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    header, code = marshal.loads(data)
    objects: list[bytes] = []
    at = 0
    for _, size, _ in header["objects"]:
        objects.append(code[at:at + size])
        at += size
    return header, objects


def program_key(function: Function, donated: frozenset[int], immediates: frozenset[int],
                checked: Pairs | None = None) -> str:
    """Everything that the code depends on: graph, options, machine, compiler, and this library's own source."""
    options = (sorted(donated), sorted(immediates), checked, config.cache_key(), available_cores(), last_cache())
    head = "\n".join((FORMAT, sys.implementation.cache_tag or "", source_version(), toolchain_version(),
                      *host_target(), repr(options)))
    return head + "\n" + sha256(function_text(function).encode()).hex()


def function_text(function: Function, known: dict[Op, str] | None = None) -> str:
    """A text that is equal for equal functions, in any process; `known` are the texts of primitives so far."""
    known = {} if known is None else known
    names: dict[Node, str] = {}
    rows: list[str] = []
    for p in function.params:
        names[p] = str(len(names))
        rows.append(repr(p.type))
    for node in function.nodes():
        if node in names:
            continue
        names[node] = str(len(names))
        op = node.op
        if isinstance(op, Param):
            raise CompileError(message("compile: a parameter is not bound", [("type", repr(node.type))]))
        text = known.get(op)
        if text is None:
            parts = "|".join([_part(value, known) for value in op.params().values()])
            text = known[op] = f"{op.name}({parts})"
        rows.append(text + ",".join([names[x] for x in node.inputs]))
    rows.append(",".join([names[r] for r in function.results]))
    return "{" + "\n".join(rows) + "}"


def _part(value: Any, known: dict[Op, str]) -> str:
    if isinstance(value, Function):
        return function_text(value, known)
    if is_tuple(value):
        return f"({';'.join([_part(x, known) for x in value])})"
    return str(value)


@cache
def source_version() -> str:
    """Names, sizes and times of the files that decide what code is generated."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    rows: list[str] = []
    for name in SOURCES:
        _note(root, name, rows)
    return sha256("\n".join(sorted(rows)).encode()).hex()


def _note(root: str, name: str, rows: list[str]) -> None:
    """A row for a source file, or for each in a folder."""
    path = f"{root}/{name}"
    if name.endswith(".py"):
        status = os.stat(path)
        rows.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    elif os.path.isdir(path):
        for inner in os.listdir(path):
            if inner != "__pycache__":
                _note(root, f"{name}/{inner}", rows)


# -- looking at it -----------------------------------------------------------------------------------------------------
class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now


def stage_text(function: Function, stage: str, donated: frozenset[int] = frozenset(),
               immediates: frozenset[int] = frozenset()) -> str:
    """A function at one stage of the path, as text."""
    function = run_passes(function, Clock())
    if stage == "graph":
        return to_text(function)
    plan = make_plan(function, donated, immediates)
    if stage == "schedule":
        from pullback.schedule.plan import plan_text

        return plan_text(plan)
    if stage == "loops":
        from pullback.kernel.printer import kernel_text

        return "\n\n".join(kernel_text(k) for phase in plan.phases for k in phase)
    from pullback.codegen.llvm.program import program_text
    from pullback.codegen.llvm.target import host

    text = program_text(plan, host())[0]
    if stage == "llvm":
        return text
    from pullback.codegen.llvm.assembly import assembly

    return assembly(text)

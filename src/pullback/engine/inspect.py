"""What a function becomes, stage by stage, as text: `pb.show`, and what the `debug` and `stop_after` flags print.

    graph       as recorded            schedule    kernels by phase, buffers
    simplified  after all passes       loops       every kernel's loop IR
    llvm        LLVM IR                asm         this machine's assembly
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pullback.engine.trace import Trace, Value, local
from pullback.ir.node import Function
from pullback.util import config
from pullback.util.errors import CompileError, ValueError_, message

if TYPE_CHECKING:
    from pullback.engine.pipeline import Program

STAGES = ("graph", "schedule", "loops", "llvm", "asm")
_TITLES = {"graph": "graph, as recorded", "simplified": "graph, simplified", "schedule": "schedule", "loops": "loop IR",
           "llvm": "LLVM IR", "asm": "assembly"}


def stage_text(function: Function, stage: str, donated: frozenset[int] = frozenset(),
               immediates: frozenset[int] = frozenset()) -> str:
    """A function at one stage of the path, under its heading; "graph" is the graph before and after the passes."""
    from pullback.engine import pipeline
    from pullback.ir.printer import to_text

    if stage == "graph":
        parts = {"graph": to_text(function), "simplified": pipeline.stage_text(function, "graph")}
    else:
        parts = {stage: pipeline.stage_text(function, stage, donated, immediates)}
    return "\n\n".join(f"== {_TITLES[name]} ==\n{text.rstrip()}" for name, text in parts.items())


def show(fn: Callable[..., Any], stages: str | Iterable[str] = STAGES, *, file: Any = None) -> Callable[..., str]:
    """`pb.show(fn)(*args)` prints what the call `fn(*args)` compiles to, without running it, and returns the text.

    `stages` is any of "graph", "schedule", "loops", "llvm", "asm", as a sequence or separated by commas. `fn` is a
    function of tensors (and pytrees of them), jitted or not.

    >>> import pullback as pb
    >>> text = pb.show(lambda x: (x * 2 + 1).sum(), "graph")(pb.ones(3))
    == graph, as recorded ==
    ...
    """
    from pullback.engine.jit import Jitted, jit

    chosen = tuple(s.strip() for s in stages.split(",")) if isinstance(stages, str) else tuple(stages)
    for stage in chosen:
        if stage not in STAGES:
            raise ValueError_(message("show: not a stage", [("stage", repr(stage))], "any of " + ", ".join(STAGES)))
    jitted: Jitted = fn if isinstance(fn, Jitted) else jit(fn)

    def shown(*args: Any, **kwargs: Any) -> str:
        entry = jitted.entry_for(args, kwargs)
        parts: list[str] = []
        for stage in chosen:
            text = stage_text(entry.function, stage, frozenset(), entry.immediates)
            print(text + "\n", file=file or sys.stdout)
            parts.append(text)
        return "\n\n".join(parts)

    return shown


def debug(program: Program) -> None:
    """Print what the `debug` flag names of a program that was just made."""
    wanted = config.DEBUG.value
    for stage in STAGES:
        if stage in wanted:
            print(stage_text(program.function, stage, program.donated, program.immediates), file=sys.stderr)
    if "cache" in wanted:
        print(f"== cache: {'found' if program.cached else 'compiled'} ==", file=sys.stderr)
    if "timing" in wanted:
        laps = ", ".join(f"{name} {1e3 * t:.2f}" for name, t in program.times.items())
        print(f"== timing (ms): {laps} ==", file=sys.stderr)


def announce(executable: Any) -> None:
    """Print a line at every launch of a program: the `debug` stage "launch"."""
    program = executable.program
    what = f"{len(program.kernels)} kernels -> {', '.join(repr(t) for t in executable.function.out_types)}"

    def announced(call: Callable[..., Any], how: str) -> Callable[..., Any]:
        def run(*slots: Any) -> Any:
            print(f"== launch: {what}, {how} ==", file=sys.stderr)
            return call(*slots)

        return run

    executable._call = announced(executable._call, "at once")
    executable._submit = announced(executable._submit, "queued")


def stop(function: Function, donated: frozenset[int], immediates: frozenset[int]) -> None:
    """Under the `stop_after` flag: run (and print, under `debug`) the stages up to the named one, and go no further.

    The reference rules then compute the values.
    """
    last = config.STOP_AFTER.value
    for stage in STAGES:
        text = stage_text(function, stage, donated, immediates)
        if stage in config.DEBUG.value:
            print(text, file=sys.stderr)
        if stage == last:
            raise CompileError(f"compile: stopped after {last}, as the flag stop_after says")


def leaves_breadth_first(value: Any) -> list[Any]:
    """The values from outside that a value of this thread's pending trace depends on, the nearest first."""
    trace = value.trace
    if trace is not local.trace:
        return []
    nodes = trace.graph()
    outside = {nodes[slot]: leaf for slot, leaf in zip(trace.state.leaf_slots(), trace.leaves, strict=True)}
    found: list[Any] = []
    queue = deque([nodes[value.slot]])
    seen = set(queue)
    while queue:
        node = queue.popleft()
        if node in outside:
            found.append(outside[node])
            continue
        new = [x for x in dict.fromkeys(node.inputs) if x not in seen]
        seen.update(new)
        queue.extend(new)
    return found


def liveness(kind: type) -> dict[str, int]:
    """How much is alive in this process: handles of a class, values, and recorded steps that are kept."""
    gc.collect()
    handles = values = steps = 0
    for x in gc.get_objects():
        if isinstance(x, kind):
            handles += 1
        elif type(x) is Value:
            values += 1
        elif type(x) is Trace:
            steps += len(x.values)
    return {"hold_vars": handles, "lived_vars": values, "lived_ops": steps}

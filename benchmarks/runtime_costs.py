"""What the CPU runtime costs, in microseconds: run with `PYTHONPATH=src python benchmarks/runtime_costs.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from pullback.codegen.llvm.compile import cached_compile, compile_ir
from pullback.runtime.loader import load_object
from pullback.runtime.memory import Buffer
from pullback.runtime.native import native

IR = """
declare void @pb_parallel(ptr, ptr, i64)
define void @empty(ptr %slots) nounwind {
  ret void
}
define void @nothing(ptr %args, i64 %tid, i64 %count) nounwind {
  ret void
}
define void @regions(ptr %slots) nounwind {
entry:
  %turns = load i64, ptr %slots
  %at = getelementptr i64, ptr %slots, i64 1
  %count = load i64, ptr %at
  br label %turn
turn:
  %i = phi i64 [ 0, %entry ], [ %next, %turn ]
  call void @pb_parallel(ptr @nothing, ptr null, i64 %count)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %turns
  br i1 %more, label %turn, label %out
out:
  ret void
}
"""
FRESH = """
import time, ctypes, typing, functools, importlib.util, mmap, re, struct, sys, threading
start = time.perf_counter()
from pullback.runtime.native import native
middle = time.perf_counter()
native()
end = time.perf_counter()
print((middle - start) * 1e6, (end - middle) * 1e6, int("llvmlite" in sys.modules))
"""


def best(function: Callable[[], object], turns: int = 20000, repeats: int = 7) -> float:
    """Microseconds of one call, the least of several repeats, less those of an empty call."""
    def once(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(turns):
            call()
        return (time.perf_counter() - start) / turns * 1e6

    return min(once(function) for _ in range(repeats)) - min(once(lambda: None) for _ in range(3))


def show(name: str, microseconds: float) -> None:
    print(f"{name:<52}{microseconds:10.3f} us")


def fresh_processes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PULLBACK_CACHE_DIR": os.path.join(folder, "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = os.path.join(folder, "bytecode")
        for label in ("compiled", "cached", "cached"):
            answer = subprocess.run([sys.executable, "-c", FRESH], env=environment, capture_output=True, text=True,
                                    check=True).stdout.split()
            show(f"fresh process, {label}: import", float(answer[0]))
            show(f"fresh process, {label}: native() (llvmlite: {answer[2]})", float(answer[1]))


def main() -> None:
    runtime = native()
    text = cached_compile(IR)
    loaded = load_object(text, runtime.symbols)
    empty = runtime.make_builtin(loaded.address("empty"), keep=loaded)
    released = runtime.make_builtin(loaded.address("empty"), keep=loaded, release_gil=True)
    submit = runtime.make_builtin(loaded.address("empty"), keep=loaded, submit=True)
    regions = runtime.make_builtin(loaded.address("regions"), keep=loaded, release_gil=True)
    print(f"{runtime.num_threads} threads")
    for threads in (1, 2):
        show(f"empty region of {threads} threads, spinning", best(lambda t=threads: regions(10000, t), 1) / 10000)
    asleep: list[float] = []
    for _ in range(30):
        time.sleep(0.002)
        start = time.perf_counter()
        regions(1, 2)
        asleep.append((time.perf_counter() - start) * 1e6)
    show("empty region of 2 threads, worker asleep, median", sorted(asleep)[15])
    show("builtin, no arguments", best(lambda: empty()))
    show("builtin, 10 arguments", best(lambda: empty(1, 2, 3, 4, 5, 6, 7, 8, 9, 0.5)))
    show("builtin, 10 arguments, GIL released", best(lambda: released(1, 2, 3, 4, 5, 6, 7, 8, 9, 0.5)))
    show("submit and wait", best(lambda: runtime.wait(submit(1, 2))))
    show("submit, 10 arguments", best(lambda: submit(1, 2, 3, 4, 5, 6, 7, 8, 9, 0.5), 900))
    runtime.drain()
    for size in (4, 4096, 1 << 16, 1 << 22):
        show(f"Buffer of {size} bytes, made and dropped", best(lambda s=size: Buffer(s), 5000))
    show("load a small object", best(lambda: load_object(text, runtime.symbols), 200))
    show("compile a small module", best(lambda: compile_ir(IR), 3, 3))
    fresh_processes()


if __name__ == "__main__":
    main()

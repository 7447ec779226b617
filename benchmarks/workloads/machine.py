"""What the machine does on two threads: fused multiply-adds per second, and bytes read from memory per second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .pieces import best_us

THREADS, TURNS = 2, 50_000
FLOATS = 1 << 24


def read_ir() -> str:
    """One thread's kernel: the sum of its half of an array, with eight accumulators."""
    phis = "\n".join(f"  %a{i} = phi <8 x float> [ zeroinitializer, %entry ], [ %b{i}, %loop ]" for i in range(8))
    steps = "\n".join(f"""  %p{i} = getelementptr float, ptr %here, i64 {8 * i}
  %v{i} = load <8 x float>, ptr %p{i}, align 32
  %b{i} = fadd <8 x float> %a{i}, %v{i}""" for i in range(8))
    sums = "\n".join(f"  %s{i + 1} = fadd <8 x float> %s{i}, %b{i + 1}" if i else
                     "  %s1 = fadd <8 x float> %b0, %b1" for i in range(7))
    return f"""
define void @read_part(ptr %slots, i64 %tid, i64 %count) nounwind {{
entry:
  %out = load ptr, ptr %slots
  %second = getelementptr ptr, ptr %slots, i64 1
  %data = load ptr, ptr %second
  %start = mul i64 %tid, {FLOATS // 2}
  %first = getelementptr float, ptr %data, i64 %start
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
  %here = getelementptr float, ptr %first, i64 %i
{steps}
  %next = add i64 %i, 64
  %more = icmp slt i64 %next, {FLOATS // 2}
  br i1 %more, label %loop, label %done
done:
{sums}
  %offset = mul i64 %tid, 256
  %there = getelementptr i8, ptr %out, i64 %offset
  %kept = getelementptr i8, ptr %there, i64 128
  store <8 x float> %s7, ptr %kept
  ret void
}}
define void @read(ptr %slots) nounwind {{
  call void @pb_parallel(ptr @read_part, ptr %slots, i64 2)
  ret void
}}
"""


def multiply_adds() -> tuple[Callable[[], None], int]:
    """A function that keeps the multiply-add units of two threads busy, and its operations."""
    from pullback.codegen.llvm.clock import multiply_add_text
    from pullback.codegen.llvm.target import host
    from pullback.runtime.memory import Buffer

    text, operations = multiply_add_text(host(), THREADS, TURNS)
    call, out = _program(text, "prog"), Buffer(64)
    return lambda: call(out.address), operations


def _program(text: str, name: str) -> Any:
    """A function of a module of text."""
    from pullback.codegen.llvm.compile import cached_compile
    from pullback.runtime.loader import load_object
    from pullback.runtime.native import native

    loaded = load_object(cached_compile(text), native().symbols)
    return native().make_builtin(loaded.address(name), keep=loaded, release_gil=True)


def machine(seconds: float) -> dict[str, Any]:
    """GFLOP/s and GB/s with two threads; 16M floats are 64 MB, more than the caches hold."""
    from pullback.runtime.memory import Buffer
    from pullback.runtime.native import native

    out = Buffer.from_numpy(np.zeros(256, np.float32))
    data = Buffer.from_numpy(np.ones(FLOATS, np.float32))
    read = _program("declare void @pb_parallel(ptr, ptr, i64)\n" + read_ir(), "read")
    busy, operations = multiply_adds()
    return {"fma_gflops": operations / best_us(busy, seconds / 2) / 1e3,
            "read_gb_s": FLOATS * 4 / best_us(lambda: read(out.address, data.address), seconds / 2) / 1e3,
            "threads": native().num_threads}


FRAMEWORKS = {"machine": machine}

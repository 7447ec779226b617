"""Matrix products: GFLOP/s of generated kernels beside NumPy and, on request, PyTorch and JAX.

    PYTHONPATH=src python benchmarks/matmul.py [--peer PYTHON] [--threads N] [--rounds N] [SHAPE ...]

A shape is `m,n,k` with an optional suffix `:tn` (A stored transposed), `:nt` or `:tt`. Peers run in a process of their
own; every round measures all of them in turn and each figure is the best of the rounds. Compile time is from the
emitter's first line to the object code, without the disk cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.codegen.llvm.compile import compile_ir
from pullback.codegen.llvm.matmul import MatmulKernel, MatmulSpec, Operand, emit_matmul
from pullback.codegen.llvm.matmul_pack import masked_store
from pullback.codegen.llvm.target import host
from pullback.codegen.llvm.text import Fn, Module, V, i64
from pullback.runtime.loader import load_object
from pullback.runtime.native import native

SHAPES = ["128,128,128", "256,256,256", "512,512,512", "1024,1024,1024", "2048,2048,2048", "64,100,1000",
          "64,1000,100", "1000,100,64:tn", "64,1000,100:nt", "64,100,1000:nt", "1024,384,1536", "1024,1536,384",
          "512,512,512:tn", "512,512,512:nt", "512,512,512:tt", "100,100,100", "32,32,32", "64,10,100", "64,10,100:nt",
          "10,100,64:tn", "1,1000,1000", "1,1000,1000:nt", "1000,1,1000", "1000,1000,1"]

PEER = """
import json, os, sys, time
threads = int(sys.argv[1])
if threads == 1 and hasattr(os, 'sched_setaffinity'):  # the only way to keep jax on one thread
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import numpy as np
calls = {}
try:
    import torch
    torch.set_num_threads(threads)
except ImportError:
    torch = None
try:
    import jax
    import jax.numpy as jnp
    product = jax.jit(jnp.matmul)
    by = {'': product, 'nn': product, 'tn': jax.jit(lambda a, b: a.T @ b), 'nt': jax.jit(lambda a, b: a @ b.T),
          'tt': jax.jit(lambda a, b: a.T @ b.T)}
except ImportError:
    jax = None
def prepare(key):
    shape, _, layout = key.partition(':')
    m, n, k = map(int, shape.split(','))
    layout = layout or 'nn'
    a = np.random.rand(*((k, m) if layout[0] == 't' else (m, k))).astype('f')
    b = np.random.rand(*((n, k) if layout[1] == 't' else (k, n))).astype('f')
    found = {}
    if torch:
        ta, tb, out = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
        ta, tb = (ta.T if layout[0] == 't' else ta), (tb.T if layout[1] == 't' else tb)
        found['torch'] = lambda: torch.mm(ta, tb, out=out)
    if jax:
        ja, jb, f = jnp.asarray(a), jnp.asarray(b), by[layout]
        found['jax'] = lambda: f(ja, jb).block_until_ready()
    return found
def best(call, repeats):
    time.sleep(0.005)
    call()
    low = 1e9
    for _ in range(4):
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        low = min(low, (time.perf_counter() - begin) / repeats)
    return low
print('ready', flush=True)
for line in sys.stdin:
    key, repeats = json.loads(line)
    if key not in calls:
        calls[key] = prepare(key)
    print(json.dumps({name: best(call, repeats) for name, call in calls[key].items()}), flush=True)
"""


class Store:
    """The plainest epilogue: C row-major in slot 2."""

    def __init__(self, n: int) -> None:
        self.n = n

    def prepare(self, fn: Fn) -> None:
        self.c = fn.load(fn.gep(fn.params[0], i64(2), "ptr"), "ptr", 8)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        address = fn.gep(self.c, fn.add(fn.mul(row, i64(self.n)), col), "float")
        if mask is None:
            fn.store(acc, address, 4)
        else:
            masked_store(fn, acc, address, 4, mask)


def parse(key: str) -> tuple[int, int, int, str]:
    shape, _, layout = key.partition(":")
    m, n, k = map(int, shape.split(","))
    return m, n, k, layout or "nn"


def build(key: str, threads: int) -> tuple[Callable[[], Any], MatmulKernel, float, float]:
    """The product as a call without arguments, its kernel, compile milliseconds and the largest relative error."""
    m, n, k, layout = parse(key)
    spec = MatmulSpec(m, n, k, Operand(1, m) if layout[0] == "t" else Operand(k, 1),
                      Operand(1, k) if layout[1] == "t" else Operand(n, 1), "float")
    spent = 1e9
    for _ in range(3):
        begin = time.perf_counter()
        module = Module()
        kernel = emit_matmul(module, "product", spec, 0, 1, 3, Store(n), host())
        program(module, min(threads, kernel.max_threads))
        code = compile_ir(module.text())
        spent = min(spent, time.perf_counter() - begin)
    loaded = load_object(code, native().symbols)
    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
    exact = a.astype(np.float64) @ b
    a = np.ascontiguousarray(a.T) if layout[0] == "t" else a
    b = np.ascontiguousarray(b.T) if layout[1] == "t" else b
    c, work = np.full((m, n), np.nan, np.float32), np.empty(kernel.workspace(threads) + 64, np.uint8)
    arrays = [a, b, c, work]
    slots = [array.ctypes.data for array in arrays]
    slots[3] += -slots[3] % 64
    call = native().make_builtin(loaded.address("program"), keep=(loaded, arrays))
    call(*slots)
    error = float(np.abs(c - exact).max() / np.abs(exact).max())
    return lambda: call(*slots), kernel, spent * 1e3, error


def program(module: Module, threads: int) -> None:
    fn = module.function("program", [("ptr", "slots")])
    if threads == 1:
        fn.line("call void @product(ptr %slots, i64 0, i64 1)")
    else:
        module.declare("pb_parallel", "void", ("ptr", "ptr", "i64"))
        fn.line(f"call void @pb_parallel(ptr @product, ptr %slots, i64 {threads})")
    fn.ret()


def best(call: Callable[[], object], repeats: int) -> float:
    time.sleep(0.05)  # the threads of whoever ran before us spin for up to 30 ms
    call()
    low = 1e9
    for _ in range(4):
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        low = min(low, (time.perf_counter() - begin) / repeats)
    return low


def numpy_call(key: str) -> Callable[[], object]:
    m, n, k, layout = parse(key)
    rng = np.random.default_rng(0)
    a = rng.random((k, m) if layout[0] == "t" else (m, k), np.float32)
    b = rng.random((n, k) if layout[1] == "t" else (k, n), np.float32)
    left, right, out = a.T if layout[0] == "t" else a, b.T if layout[1] == "t" else b, np.empty((m, n), np.float32)
    return lambda: np.matmul(left, right, out=out)


def start_peer(python: str, threads: int) -> subprocess.Popen[str]:
    peer = subprocess.Popen([python, "-c", PEER, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    assert peer.stdout is not None and peer.stdout.readline().strip() == "ready"
    return peer


def ask(peer: subprocess.Popen[str], key: str, repeats: int) -> dict[str, float]:
    assert peer.stdin is not None and peer.stdout is not None
    peer.stdin.write(json.dumps([key, repeats]) + "\n")
    peer.stdin.flush()
    return json.loads(peer.stdout.readline())


def measure(key: str, threads: int, rounds: int, peer: subprocess.Popen[str] | None) -> str:
    ours, kernel, compile_ms, error = build(key, threads)
    theirs = numpy_call(key)
    repeats = max(1, int(4e8 / (kernel.flops + 1e6)))
    low = {"ours": 1e9, "numpy": 1e9}
    for _ in range(rounds):
        now = {"ours": best(ours, repeats), "numpy": best(theirs, repeats)}
        now |= ask(peer, key, repeats) if peer else {}
        for name, value in now.items():
            low[name] = min(low.get(name, 1e9), value)
    ratio = min(value for name, value in low.items() if name != "ours") / low["ours"]
    figures = " ".join(f"{name} {kernel.flops / value / 1e9:6.1f}" for name, value in low.items())
    return f"{key:18} {figures}  x{ratio:.2f}  compile {compile_ms:4.1f} ms  error {error:.0e}  {kernel.strategy}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("--peer", help="an interpreter that has torch or jax")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(options.threads):
        os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    native().set_num_threads(options.threads)
    peer = start_peer(options.peer, options.threads) if options.peer else None
    for key in options.shapes:
        print(measure(key, options.threads, options.rounds, peer), flush=True)
    if peer:
        peer.terminate()


if __name__ == "__main__":
    main()

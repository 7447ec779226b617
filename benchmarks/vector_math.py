"""Vector mathematics: elements per nanosecond of one thread on one million float32, beside NumPy and peers.

    PYTHONPATH=src python benchmarks/vector_math.py [--peer PYTHON] [--threads N]

`--peer` names an interpreter that has torch or jax: it runs afterwards, as a process of its own held to `--threads`
cores (which is how jax is kept to one). Ours and NumPy always use one thread. Look at the load before believing it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

ROWS = ("exp", "log", "tanh", "sigmoid", "erf", "sin", "sqrt")
SIZE = 1_000_000

PEER = """
import json, os, sys, time
rows, n, threads = json.loads(sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
import numpy as np
x = (np.random.default_rng(0).random(n, dtype=np.float32) * 8 + 0.01)
def best(call):
    call(); times = []
    for _ in range(60):
        begin = time.perf_counter(); call(); times.append(time.perf_counter() - begin)
    return n / min(times) / 1e9
out = {}
try:
    import torch
    torch.set_num_threads(threads)
    t, y = torch.from_numpy(x), torch.empty(n)
    names = {"erf": torch.special.erf}
    out["torch"] = {r: best(lambda f=names.get(r, getattr(torch, r, None)): f(t, out=y)) for r in rows}
except ImportError:
    pass
try:
    import jax
    import jax.numpy as jnp
    t = jnp.asarray(x)
    names = {"erf": jax.scipy.special.erf, "sigmoid": jax.nn.sigmoid}
    fs = {r: jax.jit(names.get(r, getattr(jnp, r, None))) for r in rows}
    out["jax"] = {r: best(lambda f=fs[r]: f(t).block_until_ready()) for r in rows}
except ImportError:
    pass
print(json.dumps(out))
"""


def measure(call: object, repeats: int = 60) -> float:
    """Elements per nanosecond of the best of `repeats` calls."""
    assert callable(call)
    call()
    times: list[float] = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return SIZE / min(times) / 1e9


def ours(width: int) -> dict[str, float]:
    """Every row compiled as one array loop of `width` lanes."""
    from tests.codegen.jit import Jit, array_kernel

    from pullback.codegen.llvm.math import emit_scalar
    from pullback.codegen.llvm.text import Module

    x = np.random.default_rng(0).random(SIZE, dtype=np.float32) * 8 + np.float32(0.01)
    y = np.empty_like(x)
    result: dict[str, float] = {}
    compiled: dict[str, float] = {}
    for row in ROWS:
        module = Module()
        array_kernel(module, f"kernel_{row}", ["float32"], "float32",
                     lambda fn, args, row=row: emit_scalar(fn, row, args, "float32"), width)
        jit = Jit(module.text())
        compiled[row] = jit.seconds * 1e3
        call, a, b = jit.function(f"kernel_{row}", 2), ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data)
        result[row] = measure(lambda call=call, a=a, b=b: call(a, b, SIZE))
    print("compile, ms:", {row: round(ms, 2) for row, ms in compiled.items()})
    return result


def numpys() -> dict[str, float]:
    x = np.random.default_rng(0).random(SIZE, dtype=np.float32) * 8 + np.float32(0.01)
    y = np.empty_like(x)
    rows = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sin": np.sin, "sqrt": np.sqrt}
    return {row: measure(lambda f=f: f(x, out=y), 20) for row, f in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", help="an interpreter with torch and jax")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=8)
    options = parser.parse_args()
    columns = {"pullback": ours(options.width), "numpy": numpys()}
    if options.peer:
        request = json.dumps([ROWS, SIZE, options.threads])
        done = subprocess.run([options.peer, "-c", PEER, request], capture_output=True, text=True, check=True)
        columns |= json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{'row':10}" + "".join(f"{name:>12}" for name in columns))
    for row in ROWS:
        print(f"{row:10}" + "".join(f"{columns[name].get(row, float('nan')):12.2f}" for name in columns))


if __name__ == "__main__":
    main()

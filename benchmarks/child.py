"""One measured process: `python benchmarks/child.py WORKLOAD FRAMEWORK SECONDS` prints one line of JSON."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

MODULES = {"numpy": "numpy", "torch": "torch", "torch.compile": "torch", "jax": "jax.numpy", "mlx": "mlx.core",
           "tinygrad": "tinygrad", "tensorflow": "tensorflow", "pullback": "pullback",
           "machine": "numpy"}  # others: pullback
clock = time.perf_counter


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def waited(step: Any, read: Any, count: int) -> list[float]:
    """Seconds of each step when the loss is read after each."""
    found: list[float] = []
    for i in range(count):
        start = clock()
        read(step(i))
        found.append(clock() - start)
    return found


def free(step: Any, read: Any, count: int) -> float:
    """Seconds per step of a loop that reads the loss once, at the end."""
    start = clock()
    for i in range(count):
        loss = step(i)
    read(loss)
    return (clock() - start) / count


def resident(key: str) -> float:
    """Megabytes of this process, now (VmRSS) or at most since `forget_peak` (VmHWM); 0 where the system is silent."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))
    except (OSError, StopIteration):
        return 0.0


def forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def training(workload: Any, framework: str, seconds: float) -> dict[str, Any]:
    """Times of a training step, its losses, and how far memory grew over what it was before the model was made."""
    forget_peak()
    before = resident("VmRSS")
    start = clock()
    reset, step, read = workload.FRAMEWORKS[framework]()
    reset()
    made = clock()
    first_loss = read(step(0))
    end = clock()
    found: dict[str, Any] = {"first_step_s": end - start, "after_making_s": end - made}
    reset()
    losses = [read(step(i)) for i in range(workload.STEPS)]
    checked = getattr(workload, "CHECKED", (1, 20, len(losses) - 1))
    found["losses"] = [first_loss, *(losses[i] for i in checked)]
    found["start_s"] = found["after_making_s"] - min(waited(step, read, 2))
    steps: list[float] = []
    loops: list[float] = []
    end = clock() + seconds
    while not loops or clock() < end:
        reset()
        steps += waited(step, read, workload.STEPS)
        reset()
        loops.append(free(step, read, workload.STEPS))
    found |= {"step_us": median(steps) * 1e6, "step_min_us": min(steps) * 1e6,
              "loop_us": median(loops) * 1e6, "loop_min_us": min(loops) * 1e6}
    peak = resident("VmHWM")
    return {**found, **({"growth_mb": peak - before} if before and peak else {})}


def main(name: str, framework: str, seconds: float) -> dict[str, Any]:
    start = clock()
    importlib.import_module(MODULES.get(framework, "pullback"))
    import_s = clock() - start
    workload = importlib.import_module("workloads").workload_of(name)
    if framework in ("torch", "torch.compile"):
        importlib.import_module("torch").set_num_threads(2)
    if hasattr(workload, "STEPS") and framework != "machine":
        found = training(workload, framework, seconds)
    else:
        found = workload.FRAMEWORKS[framework](seconds)
    import resource  # the import above is timed in a process that holds as little as possible

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"import_s": import_s, "peak_rss_mb": peak, **found}


if __name__ == "__main__":
    answer = main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    import json

    print(json.dumps(answer))

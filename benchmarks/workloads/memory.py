"""Live bytes, live recorded objects and resident memory over the steps of loops, with and without reading the loss."""

from __future__ import annotations

import gc
import importlib
from collections import Counter
from typing import Any

PROGRAMS = ("two_layer", "tutorial", "small_batch", "line", "mlp_adam")
COUNT = 300  # steps; of a workload that has fewer, the last batch is used again
COUNTED = ("Value", "Trace", "Node", "State", "Tensor", "Buffer")


def resident() -> float:
    """Megabytes now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def objects() -> Counter[str]:
    return Counter(type(x).__name__ for x in gc.get_objects() if type(x).__name__ in COUNTED)


def watch(step: Any, read: Any, count: int) -> dict[str, Any]:
    """Growth from step 3 to the end."""
    from pullback.engine.execute import synchronize
    from pullback.runtime.memory import live_bytes

    peak = 0
    for i in range(count):
        loss = step(i)
        if read is not None:
            read(loss)
        if i == 3:
            gc.collect()
            synchronize()
            start = live_bytes(), objects(), resident()
        if i >= 3:
            peak = max(peak, live_bytes())
    gc.collect()
    synchronize()
    now = objects()
    grown = {name: now[name] - start[1][name] for name in COUNTED if now[name] > start[1][name]}
    return {"live_bytes": live_bytes(), "grown_bytes": live_bytes() - start[0], "grown_objects": grown,
            "grown_rss_mb": round(resident() - start[2], 1), "peak_over_first_bytes": peak - start[0]}


def run(framework: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in PROGRAMS:
        workload = importlib.import_module(f"workloads.{name}")
        reset, step, read = workload.FRAMEWORKS[framework]()
        last = workload.STEPS - 1
        for label, how in (("read", read), ("never read", None)):
            reset()
            found[f"{name}, loss {label}"] = watch(lambda i, step=step, last=last: step(min(i, last)), how, COUNT)
    return found


FRAMEWORKS = {"pullback": lambda seconds: run("pullback"),
              "pullback imperative": lambda seconds: run("pullback imperative")}

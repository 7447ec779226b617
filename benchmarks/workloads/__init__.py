"""Workloads: one file each, one function per framework.

A training workload has `STEPS`, `LOSS` (relative tolerance of the losses), perhaps `CHECKED` (the steps whose losses
are compared) and `FRAMEWORKS`: name -> function that returns `(reset, step, read)`.
`reset()` restores the initial values, `step(i)` trains once and returns the loss as the
framework holds it, `read(loss)` waits for it. The other workloads have `FRAMEWORKS`: name -> function that returns a
flat dict of figures. Nothing is imported at the top but NumPy, so that a whole process can be timed.
"""

import importlib
from typing import Any


def workload_of(group: str) -> Any:
    """The workload of a group: a module, or a program in every dialect."""
    kind, _, name = group.rpartition(" ")
    if kind == "dialects":
        return importlib.import_module("workloads.dialects").WORKLOADS[name]
    return importlib.import_module(f"workloads.{name}")

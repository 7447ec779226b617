"""What every catalogue test needs: the entries, and ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pullback.engine.pipeline import compile_function
from pullback.engine.programs import Executable
from pullback.ir.dtypes import numpy_dtype
from pullback.ir.node import Function, Node, Op, apply, evaluate, param, project, type_of
from pullback.ops.attention import Attend
from pullback.ops.linalg import Decomposition
from pullback.ops.map import Map
from pullback.ops.recurrence import Recurrence
from pullback.ops.registry import OPS
from pullback.ops.scalar import ROWS
from pullback.runtime.memory import Buffer
from pullback.runtime.native import native

Runner = Callable[..., Sequence[Any]]


def compiled(function: Function, *arrays: Any) -> list[Any]:
    """The results of native code; CompileError where there is none."""
    compile_function(function)  # an Executable would fall back on the reference
    executable = Executable(function, frozenset(), frozenset())
    given = [Buffer.from_numpy(np.ascontiguousarray(x)) for x in arrays]
    results, ticket, _ = executable.start(given, True)  # queued: what it refuses is not looked at
    native().wait(ticket)
    return [r.numpy(numpy_dtype(t.dtype), t.shape) for r, t in zip(results, function.out_types, strict=True)]


#: ways to run a function beside the reference, by name: (function, *arrays) -> results
RUNNERS: dict[str, Runner] = {"reference": evaluate, "compiled": compiled}


def has_native(function: Function) -> bool:
    """Whether there is native code for a function: for all of them without complex numbers and users' Python."""
    return not any(t.dtype.kind == "c" for node in function.nodes() for t in types_of(node))


def types_of(node: Node) -> tuple[Any, ...]:
    return getattr(node.type, "items", (node.type,))


def ulps(function: Function) -> float:
    """By how many units in the last place (of numbers of size 1 or more) native code may differ from the reference."""
    total = 0.0
    for node in function.nodes():
        op: Any = node.op
        if isinstance(op, Map) and node.tensor.dtype.kind in "fc":
            total += 4 if op.row == "fma" else ROWS[op.row].ulp
        elif getattr(op, "monoid", "") in ("add", "mul") or op.name in ("contract", "scan", "while", "cond"):
            total += 16
        elif isinstance(op, (Attend, Decomposition, Recurrence)):
            total += op.ulp
        elif isinstance(getattr(op, "function", None), Function):
            total += ulps(op.function)
    return total


def agree(found: Any, wanted: Any, units: float) -> None:
    """Equal bits (NaN equals NaN) where `units` is 0, else equal within so many units in the last place."""
    if units == 0 or wanted.dtype.kind not in "f" or wanted.dtype.itemsize < 2:
        np.testing.assert_array_equal(found, wanted)
        return
    tolerance = units * float(np.finfo(wanted.dtype).eps)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def entries() -> Iterator[tuple[str, Op, list[Any]]]:
    """(name, primitive, inputs) of every sample of every primitive."""
    for name, c in OPS.items():
        if "samples" in c.absent:
            continue
        for k, (op, arrays) in enumerate(c.samples()):
            shapes = ",".join(f"{x.dtype}{list(x.shape)}" for x in arrays)
            label = getattr(op, "row", "") + str(getattr(op, "static", "") or "")
            yield f"{name}-{label}-{k}-{shapes}", op, arrays


ENTRIES = list(entries())
IDS = [name for name, _, _ in ENTRIES]


def function_of(op: Op, arrays: Sequence[Any]) -> Function:
    """The function that applies a primitive to its inputs."""
    params = [param(type_of(x)) for x in arrays]
    return Function(params, project(apply(op, *params)))


def smooth(function: Function, arrays: Sequence[Any]) -> bool:
    """Whether finite differences can be taken: float64 inputs, and no NaN."""
    real = [x for x in arrays if x.dtype.kind == "f"]
    wide = all(x.dtype == np.float64 for x in real) and not any(x.dtype.kind == "c" for x in arrays)
    tame = all(not np.isnan(x).any() for x in real)
    return bool(real) and wide and tame and any(t.dtype.name == "float64" for t in function.out_types)


def active_of(function: Function) -> tuple[bool, ...]:
    """Which inputs may have tangents."""
    return tuple(t.dtype.name == "float64" for t in function.in_types)


def directions(arrays: Sequence[Any], active: Sequence[bool], seed: int) -> list[Any]:
    """A random direction for every active input."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=x.shape) for x, k in zip(arrays, active, strict=True) if k]


def moved(arrays: Sequence[Any], active: Sequence[bool], steps: Sequence[Any], size: float) -> list[Any]:
    """The inputs moved along a direction."""
    rest = iter(steps)
    return [x + size * next(rest) if k else x for x, k in zip(arrays, active, strict=True)]


def difference(function: Function, arrays: Sequence[Any], active: Sequence[bool], steps: Sequence[Any],
               size: float = 1e-5) -> list[Any]:
    """Central differences of the results along a direction."""
    ahead, behind = (evaluate(function, *moved(arrays, active, steps, s)) for s in (size, -size))
    with np.errstate(invalid="ignore"):  # the extreme of no elements is infinite and does not move
        return [np.nan_to_num((np.asarray(a, np.float64) - np.asarray(z, np.float64)) / (2 * size))
                if a.dtype.kind == "f" else None for a, z in zip(ahead, behind, strict=True)]


def spread(found: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """Items at the flagged places, None elsewhere."""
    rest = iter(found)
    return [next(rest) if k else None for k in flags]


def close(found: Any, wanted: Any, tolerance: float = 2e-5) -> None:
    """Equal within a tolerance relative to the size of the numbers."""
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * (1 + np.max(np.abs(wanted), initial=0)))

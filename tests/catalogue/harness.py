"""What every catalogue test needs: the entries, and ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pullback.ir.node import Function, Op, apply, evaluate, param, project, type_of
from pullback.ops.registry import OPS

Runner = Callable[..., Sequence[Any]]
#: ways to run a function beside the reference, by name: (function, *arrays) -> results
RUNNERS: dict[str, Runner] = {"reference": evaluate}


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

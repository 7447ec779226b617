"""Random layers: recorded and run, jitted, and by the reference rules; their gradients; their bits by threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fuzz.layer_families import FAMILIES, answer, ask, case_of, projection

import pullback as pb
from pullback.engine.trace import reset_table
from pullback.runtime.native import native
from pullback.util import config

CASES = [(family, seed) for family in FAMILIES for seed in range(5)]
DTYPES = ("float32", "float64", "bfloat16", "float32")
TOLERANCE = {"float32": 3e-4, "float64": 1e-10}
Answer = dict[str, Any]


def eager(family: str, seed: int, dtype: str) -> Answer:
    """Results, gradients by `backward()` and buffers."""
    return {name: x.numpy() for name, x in answer(pb, case_of(family, seed), seed, dtype).items()}


def jitted(family: str, seed: int, dtype: str) -> Answer:
    """The same by one compiled function of the layer and its inputs."""
    m, x, wanted, call = ask(pb, case_of(family, seed), seed, dtype)

    def loss(m: Any, moving: list[Any]) -> tuple[Any, list[Any]]:
        at = iter(moving)
        found = call(m, [next(at) if has else v for v, has in zip(x, wanted, strict=True)])
        return projection(pb, found), found

    moving = [v for v, has in zip(x, wanted, strict=True) if has]
    (_, found), (of_layer, of_inputs) = pb.jit(pb.value_and_grad(loss, argnums=(0, 1), has_aux=True))(m, moving)
    named = {f"out{k}": v for k, v in enumerate(found)}
    places = [k for k, has in enumerate(wanted) if has]
    named.update((f"x{k}", g) for k, g in zip(places, of_inputs, strict=True))
    named.update(of_layer.named_parameters())
    named.update((f"buffer {name}", b) for name, b in m.named_buffers())
    return {name: v.numpy() for name, v in named.items()}


def near(x: Any, y: Any, dtype: str) -> bool:
    """Whether arrays agree; of bfloat16 the norms, because a rounding may move one element over a kink."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if x.shape != y.shape or not np.array_equal(np.isfinite(x), np.isfinite(y)):
        return False
    inside = np.isfinite(y)
    if not np.array_equal(x[~inside], y[~inside], equal_nan=True):
        return False
    x, y = x[inside], y[inside]
    if dtype == "bfloat16":
        return bool(np.linalg.norm(x - y) <= 0.05 * (np.linalg.norm(y) + 0.2 * np.sqrt(y.size)))
    tolerance = TOLERANCE[dtype]
    return np.allclose(x, y, tolerance, tolerance * (1 + np.abs(y).max(initial=0)))


def compare(found: Answer, wanted: Answer, dtype: str, what: str) -> None:
    """What one of them lacks must be a gradient of zeros."""
    for name in sorted({*found, *wanted}):
        x, y = found.get(name), wanted.get(name)
        x, y = (np.zeros_like(y) if x is None else x), (np.zeros_like(x) if y is None else y)
        assert x.dtype == y.dtype, (what, name)
        assert near(x, y, dtype), f"{what}, {name}: {x!r:.300} instead of {y!r:.300}"


def with_threads(count: int, ask: Callable[[], Answer]) -> Answer:
    before = native().num_threads
    try:
        native().set_num_threads(count)
        return ask()
    finally:
        native().set_num_threads(before)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("family", "seed"), CASES, ids=lambda v: str(v))
def test_layer(family: str, seed: int) -> None:
    case, dtype = case_of(family, seed), DTYPES[seed % len(DTYPES)]
    reset_table()
    two = with_threads(2, lambda: eager(family, seed, dtype))
    one = with_threads(1, lambda: eager(family, seed, dtype))
    assert one.keys() == two.keys()
    for name, x in one.items():
        assert x.tobytes() == two[name].tobytes(), f"{case.build} {case.call}: {name} depends on the threads"
    compiled = jitted(family, seed, dtype)
    reset_table()
    with config.override(reference=True):
        wanted = eager(family, seed, dtype)
    reset_table()
    compare(two, wanted, dtype, f"{dtype} {case.build} {case.call} run")
    compare(compiled, wanted, dtype, f"{dtype} {case.build} {case.call} jitted")

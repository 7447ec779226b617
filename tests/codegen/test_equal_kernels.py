"""Kernels that are equal but for their buffers are emitted once, and are the same text in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import pullback as pb
from pullback import nn
from pullback.codegen.llvm.program import PlanEmitter
from pullback.codegen.llvm.target import host
from pullback.engine.pipeline import Clock, make_plan, run_passes
from pullback.ir.index import Index, Var
from pullback.kernel.nodes import Accumulator, Buffer, For, Init, Kernel, Let, Literal, Load, Store
from pullback.kernel.signature import signature

DEPTH = 4
SYMBOLS = """
from tests.codegen.test_equal_kernels import emitted
print([unit.symbol for unit in emitted()[0]])
"""


def network() -> Any:
    """Gradient and update of a residual network with equal blocks."""
    pb.manual_seed(0)
    weights = [nn.Linear(32, 32) for _ in range(DEPTH)]
    norms = [nn.LayerNorm(32) for _ in range(DEPTH)]
    arrays = [p.detach() for layer in (*weights, *norms) for p in layer.parameters()]
    x = pb.tensor(np.linspace(0, 1, 64 * 32, dtype=np.float32).reshape(64, 32))

    def loss(parameters: Any, x: Any) -> Any:
        for k in range(DEPTH):
            w, b = parameters[2 * k:2 * k + 2]
            g, c = parameters[2 * (DEPTH + k):2 * (DEPTH + k) + 2]
            x = x + pb.tanh(nn.functional.layer_norm(x, (32,), g, c) @ w.T + b)
        return (x**2).mean()

    def step(parameters: Any, x: Any) -> Any:
        grads = pb.grad(loss)(parameters, x)
        return [p - 0.01 * g for p, g in zip(parameters, grads, strict=True)]

    entry = pb.jit(step).entry_for((arrays, x), {})
    function = run_passes(entry.function, Clock())
    return make_plan(function, frozenset(), frozenset())


def emitted() -> tuple[list[Any], PlanEmitter]:
    emitter = PlanEmitter(network(), host())
    return list(emitter.units()), emitter


def test_equal_kernels_are_emitted_once() -> None:
    units, emitter = emitted()
    plain = PlanEmitter(emitter.plan, host())
    plain.known = Forgetful()
    every = list(plain.units())
    assert [u.text for u in units] == [u.text for u in every]
    tables = [(t.next, t.areas, t.entries) for t in emitter.tables]
    assert tables == [(t.next, t.areas, t.entries) for t in plain.tables]
    assert emitter.kernels == plain.kernels
    assert len({id(u) for u in units}) < len(units)
    assert len({u.symbol for u in units}) == len({id(u) for u in units})


class Forgetful(dict[Any, Any]):
    """Knows no kernel."""

    def get(self, key: Any, default: Any = None) -> Any:
        return default


def test_texts_are_the_same_in_every_process() -> None:
    found = set[str]()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PULLBACK_CACHE_SIZE": "0"}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
        found.add(subprocess.run([sys.executable, "-c", SYMBOLS], env=environment, check=True, capture_output=True,
                                 text=True, timeout=120).stdout)
    assert len(found) == 1


def kernel(value: float, dtype: Any = pb.float32, name: str = "x") -> Kernel:
    out = Buffer(name, dtype, (4,))
    i = Var("i0", 4)
    at = (Index(((i, 1),), 0),)
    return Kernel("k", "loops", (For(i, (Store(out, at, Literal(value, dtype)),)),), writes=[out])


def test_what_makes_kernels_differ() -> None:
    assert signature(kernel(1.0))[0] == signature(kernel(1.0, name="y"))[0]
    others = [kernel(2.0), kernel(0.0), kernel(-0.0), kernel(1.0, pb.float64), kernel(True), kernel(1)]
    keys = [signature(k)[0] for k in (kernel(1.0), *others)]
    assert len(set(keys)) == len(keys)


def test_which_buffer_is_read_twice_matters() -> None:
    a, b, out = (Buffer(name, pb.float32, ()) for name in "abo")
    total = Accumulator("t", "add", pb.float32)

    def reads(first: Buffer, second: Buffer) -> Any:
        body = (Init(total), Let(a, Load(first, ())), Let(b, Load(second, ())), Store(out, (), Load(a, ())))
        return signature(Kernel("k", "loops", body, reads=[first, second]))

    (same, order), (other, _) = reads(a, a), reads(a, b)
    assert same != other and order[0] is a

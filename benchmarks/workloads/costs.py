"""What Python costs on the way to a program, in microseconds (design.md section 4 sets the budgets)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

clock = time.perf_counter
OPERATIONS = 100


def least(call: Callable[[], float], seconds: float) -> float:
    """The least figure that repeated calls give; the first ones compile."""
    found = min(call() for _ in range(10))
    end = clock() + seconds
    while clock() < end:
        found = min(found, call())
    return found


def timed(call: Callable[[], Any], turns: int) -> float:
    start = clock()
    for _ in range(turns):
        call()
    return (clock() - start) / turns * 1e6


def pullback(seconds: float) -> dict[str, float]:
    share = seconds / 10
    return recording_cost(share) | parameter_cost(share) | jit_cost(share) | launch_cost(share)


def recording_cost(share: float) -> dict[str, float]:
    """Long chains of one operation."""
    import pullback as pb
    from pullback.engine.execute import synchronize

    x, y = pb.ones(16), pb.ones(16) * 1e-3
    synchronize()

    def record_and_flush() -> tuple[float, float]:
        z = x
        start = clock()
        for _ in range(OPERATIONS):
            z = z + y
        middle = clock()
        synchronize()
        end = clock()
        return (middle - start) / OPERATIONS * 1e6, (end - middle) / OPERATIONS * 1e6

    def record_with_gradients() -> float:
        z = pb.ones(16).requires_grad_(True)
        start = clock()
        for _ in range(OPERATIONS):
            z = z * y
        took = clock() - start
        z.sum().backward()
        synchronize()
        return took / OPERATIONS * 1e6

    def plain_op() -> None:
        z = x + y
        synchronize()
        del z

    return {
        "record one operation": least(lambda: record_and_flush()[0], share),
        "flush a known graph, per node": least(lambda: record_and_flush()[1], share),
        "record one operation with gradients": least(record_with_gradients, share),
        "one eager operation, waited": least(lambda: timed(plain_op, 200), share),
    }


def parameter_cost(share: float) -> dict[str, float]:
    """An imperative training step of one parameter, by part."""
    import pullback as pb

    y = pb.ones(16) * 1e-3
    weight = pb.tensor([1.0] * 16).requires_grad_(True)

    def step() -> tuple[float, float, float]:
        start = clock()
        loss = (weight * y).sum()
        forward = clock()
        loss.backward()
        backward = clock()
        with pb.no_grad():
            weight.sub_(0.1 * weight.grad)
        weight.grad = None
        updated = clock()
        loss.item()
        return (forward - start) * 1e6, (backward - forward) * 1e6, (updated - backward) * 1e6

    return {
        "two operations on a parameter": least(lambda: step()[0], share),
        "backward of two operations": least(lambda: step()[1], share),
        "update of one parameter, in place": least(lambda: step()[2], share),
    }


def jit_cost(share: float) -> dict[str, float]:
    """Calls of compiled functions that do little."""
    import pullback as pb

    ten = [pb.ones(16) for _ in range(10)]
    named = {f"p{k}": t for k, t in enumerate(ten)}
    one_result = pb.jit(lambda a, b, c, d, e, f, g, h, i, j: a + b)
    ten_results = pb.jit(lambda *args: [a + 1.0 for a in args])
    as_dict = pb.jit(lambda params: {k: p + 1.0 for k, p in params.items()})
    copy = pb.jit(lambda a: a + 1.0)
    return {
        "jitted step, 10 arguments, 1 result": least(lambda: timed(lambda: one_result(*ten), 200), share),
        "jitted step, 10 arguments, 10 results": least(lambda: timed(lambda: ten_results(*ten), 200), share),
        "jitted step, dict of 10, 10 results": least(lambda: timed(lambda: as_dict(named), 200), share),
        "jitted step, 1 argument": least(lambda: timed(lambda: copy(ten[0]), 200), share),
    }


def launch_cost(seconds: float) -> dict[str, float]:
    """A program that does (almost) nothing, launched as the engine does it, and its native call alone."""
    from pullback.engine import execute
    from pullback.engine.programs import Executable
    from pullback.ir import dtypes
    from pullback.ir.node import Function, TensorType, param
    from pullback.ops import build
    from pullback.runtime.memory import Buffer

    x = param(TensorType.of((1,), dtypes.float32))
    program = Executable(Function([x], [build.neg(x)]), frozenset(), frozenset())
    in_place = Executable(Function([x], [build.neg(x)]), frozenset(), frozenset({0}))
    buffer = Buffer(4)
    arguments = [buffer]
    found = {"launch of a program with one new result": least(
                 lambda: timed(lambda: execute.launch(program, arguments), 500), seconds),
             "launch of a program in place": least(
                 lambda: timed(lambda: execute.launch(in_place, arguments), 500), seconds)}
    call = getattr(program, "_call", None)
    if call is not None:
        address = buffer.address
        found["native call alone"] = least(lambda: timed(lambda: call(address, address), 500), seconds)
    return found


def torch(seconds: float) -> dict[str, float]:
    """Tiny operations in PyTorch, for the scale."""
    import torch

    x, y = torch.ones(16), torch.ones(16) * 1e-3

    def chain(x: Any) -> float:
        z = x
        start = clock()
        for _ in range(OPERATIONS):
            z = z * y
        return (clock() - start) / OPERATIONS * 1e6

    gradients = torch.ones(16, requires_grad=True)
    return {"record one operation": least(lambda: chain(x), seconds / 2),
            "record one operation with gradients": least(lambda: chain(gradients), seconds / 2)}


def jax(seconds: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    ten = [jnp.ones(16) for _ in range(10)]
    one_result = jax.jit(lambda a, b, c, d, e, f, g, h, i, j: a + b)
    ten_results = jax.jit(lambda *args: [a + 1.0 for a in args])
    named = {f"p{k}": t for k, t in enumerate(ten)}
    as_dict = jax.jit(lambda params: {k: p + 1.0 for k, p in params.items()})
    cases = {"jitted step, 10 arguments, 1 result": lambda: one_result(*ten),
             "jitted step, 10 arguments, 10 results": lambda: ten_results(*ten),
             "jitted step, dict of 10, 10 results": lambda: as_dict(named)}
    return {name: least(lambda call=call: timed(call, 200), seconds / 3) for name, call in cases.items()}


FRAMEWORKS = {"pullback": pullback, "torch": torch, "jax": jax}

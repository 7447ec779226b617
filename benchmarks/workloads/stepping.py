"""What the training workloads have in common: the loop of the imperative style, the update by hand of the functional
one, and the arithmetic of a step by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Rule(NamedTuple):
    """Adam with decoupled weight decay, or SGD where there is a momentum."""

    rate: float
    decay: float = 0.0
    momentum: float = 0.0

    def update(self, lib: Any, state: Sequence[Any], grads: Sequence[Any], c1: Any, c2: Any) -> tuple[Any, Any, Any]:
        """Parameters, moments and squares after a step."""
        params, moments, squares = state
        if self.momentum:
            moments = [self.momentum * m + g for m, g in zip(moments, grads, strict=True)]
            return [p - self.rate * m for p, m in zip(params, moments, strict=True)], moments, squares
        moments = [BETA1 * m + (1 - BETA1) * g for m, g in zip(moments, grads, strict=True)]
        squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, grads, strict=True)]
        params = [(p * (1 - self.rate * self.decay) if self.decay else p)
                  - self.rate * c1 * m / (lib.sqrt(v * c2) + EPSILON)
                  for p, m, v in zip(params, moments, squares, strict=True)]
        return params, moments, squares


def functional(loss_of: Callable[..., Any], first: Sequence[Any], given: Sequence[Any], rule: Rule, array: Any,
               lib: Any, value_and_grad: Any, jit: Any) -> Any:
    """`loss_of(params, *given)` and the update as one function on lists of arrays: jax and pullback run the same
    lines."""
    @partial(jit, donate_argnums=(0, 1, 2))
    def train(params: Any, moments: Any, squares: Any, c1: Any, c2: Any, *given: Any) -> Any:
        loss, grads = value_and_grad(loss_of)(params, *given)
        return (*rule.update(lib, (params, moments, squares), grads, c1, c2), loss)

    zeros = [np.zeros_like(p) for p in first]
    state: Any = ()
    count = 0

    def reset() -> None:
        nonlocal state, count
        state = ()  # what was is let go before the new one is made
        state = [[array(p) for p in part] for part in (first, zeros, [] if rule.momentum else zeros)]
        count = 0

    def step(i: int) -> Any:
        nonlocal state, count
        count += 1
        *state, loss = train(*state, 1 / (1 - BETA1**count), 1 / (1 - BETA2**count), *given)
        return loss

    return reset, step, float


def imperative(forward: Callable[[], Any], params: Sequence[Any], first: Sequence[Any],
               optimizer_of: Callable[[Sequence[Any]], Any], lib: Any) -> Any:
    """Parameters as leaves and an optimizer: torch and pullback run the same lines."""
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        with lib.no_grad():
            for p, start in zip(params, first, strict=True):
                p.copy_(lib.tensor(start))
        optimizer = optimizer_of(params)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        optimizer.step()
        return loss

    return reset, step, lambda loss: loss.item()


def arithmetic(operations: float) -> Callable[[float], dict[str, float]]:
    """A framework that does nothing but the multiply-adds of a step, in registers, on two threads: no step is faster.
    """
    def measure(seconds: float) -> dict[str, float]:
        from .machine import multiply_adds

        call, each = multiply_adds()
        found, end = list[float](), time.perf_counter() + seconds
        while not found or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(round(operations / each)):
                call()
            found.append((time.perf_counter() - start) * 1e6)
        return {"step_us": sorted(found)[len(found) // 2], "step_min_us": min(found)}

    return measure

"""Attention alone, 8 x 6 heads x 1024 x 64: result and gradients of query, key and value, causal and not."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

import numpy as np

from workloads.pieces import best_us, pullback_library

SHAPE = (8, 6, 1024, 64)


def data() -> list[Any]:
    """query, key, value, cotangent"""
    g = np.random.RandomState(0)
    return [g.standard_normal(SHAPE).astype(np.float32) for _ in range(4)]


def run(seconds: float, step_of: Callable[[bool], Callable[[], Any]]) -> dict[str, float]:
    """Least time of a step of either kind, and by how much they make the process grow."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {name: best_us(step_of(causal), seconds / 2) for name, causal in (("us", False), ("causal us", True))}
    return {**found, "growth_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def imperative(seconds: float, lib: Any, attend: Any, wait: Callable[[Any], Any],
               compiled: Any = lambda f: f) -> dict[str, float]:
    """torch and pullback run the same lines."""
    *inputs, ct = (lib.tensor(x) for x in data())
    for x in inputs:
        x.requires_grad_()

    def step_of(causal: bool) -> Callable[[], Any]:
        f = compiled(lambda q, k, v: attend(q, k, v, is_causal=causal))

        def step() -> Any:
            for x in inputs:
                x.grad = None
            y = f(*inputs)
            y.backward(ct)
            return wait((y, *(x.grad for x in inputs)))

        return step

    return run(seconds, step_of)


def torch(seconds: float, compiled: bool = False) -> dict[str, float]:
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    return imperative(seconds, torch, attend, lambda y: y, torch.compile if compiled else lambda f: f)


def functional(seconds: float, array: Any, jit: Any, vjp: Any, attend: Any, wait: Any) -> dict[str, float]:
    """jax and pullback run the same lines."""
    q, k, v, ct = (array(x) for x in data())

    def step_of(causal: bool) -> Callable[[], Any]:
        def both(q: Any, k: Any, v: Any, ct: Any) -> Any:
            y, back = vjp(lambda q, k, v: attend(q, k, v, is_causal=causal), q, k, v)
            return y, back(ct)

        step = jit(both)
        return lambda: wait(step(q, k, v, ct))

    return run(seconds, step_of)


def jax(seconds: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    def attend(q: Any, k: Any, v: Any, is_causal: bool) -> Any:
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / np.float32(np.sqrt(q.shape[-1]))
        if is_causal:
            scores = jnp.where(jnp.tri(q.shape[-2], k.shape[-2], dtype=bool), scores, -jnp.inf)
        return jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores), v)

    return functional(seconds, jnp.asarray, jax.jit, jax.vjp, attend, jax.block_until_ready)


def pullback(seconds: float) -> dict[str, float]:
    pb, wait = pullback_library()
    return functional(seconds, pb.tensor, pb.jit, pb.vjp, pb.nn.functional.scaled_dot_product_attention, wait)


def pullback_imperative(seconds: float) -> dict[str, float]:
    pb, wait = pullback_library()
    return imperative(seconds, pb, pb.nn.functional.scaled_dot_product_attention, wait)


FRAMEWORKS = {"torch": torch, "torch.compile": lambda seconds: torch(seconds, True), "jax": jax, "pullback": pullback,
              "pullback imperative": pullback_imperative}

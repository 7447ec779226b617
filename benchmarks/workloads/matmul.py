"""Single-precision matrix products, the operands as stored or transposed; GFLOP/s by `MxNxK xx`."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.pieces import best_us, pullback_library, ready

#: M, N, K of [M, K] @ [K, N]
SIZES = [*((n, n, n) for n in (128, 256, 512, 1024, 2048)), (64, 100, 1000), (64, 1000, 100), (1000, 100, 64),
         (1024, 1536, 384)]
LAYOUTS = ("nn", "nt", "tn", "tt")


def run(seconds: float, array: Any, make: Any) -> dict[str, float]:
    """`make(layout)` gives a function of two stored operands that multiplies and waits."""
    g = np.random.RandomState(0)
    found: dict[str, float] = {}
    for m, n, k in SIZES:
        for layout in LAYOUTS:
            a = array(g.rand(*((m, k) if layout[0] == "n" else (k, m))).astype(np.float32))
            b = array(g.rand(*((k, n) if layout[1] == "n" else (n, k))).astype(np.float32))
            product = make(layout)
            us = best_us(lambda f=product, a=a, b=b: f(a, b), seconds / 40)
            found[f"{m}x{n}x{k} {layout}"] = 2 * m * n * k / us / 1e3
    return found


def spelled(layout: str, matmul: Any) -> Any:
    first = (lambda a: a) if layout[0] == "n" else (lambda a: a.T)
    second = (lambda b: b) if layout[1] == "n" else (lambda b: b.T)
    return lambda a, b: matmul(first(a), second(b))


def numpy(seconds: float) -> dict[str, float]:
    return run(seconds, np.asarray, lambda layout: spelled(layout, np.matmul))


def torch(seconds: float) -> dict[str, float]:
    import torch

    return run(seconds, torch.from_numpy, lambda layout: spelled(layout, torch.matmul))


def jax(seconds: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    def make(layout: str) -> Any:
        product = jax.jit(spelled(layout, jnp.matmul))
        return lambda a, b: ready(product(a, b))

    return run(seconds, jnp.asarray, make)


def pullback(seconds: float) -> dict[str, float]:
    """The compiled function."""
    pb, wait = pullback_library()

    def make(layout: str) -> Any:
        product = pb.jit(spelled(layout, pb.matmul))
        return lambda a, b: wait(product(a, b))

    return run(seconds, pb.tensor, make)


def pullback_imperative(seconds: float) -> dict[str, float]:
    """Eager calls on concrete arrays."""
    pb, wait = pullback_library()

    def make(layout: str) -> Any:
        product = spelled(layout, pb.matmul)
        return lambda a, b: wait(product(a, b))

    return run(seconds, pb.tensor, make)


FRAMEWORKS = {"numpy": numpy, "torch": torch, "jax": jax, "pullback": pullback,
              "pullback imperative": pullback_imperative}

"""The mean of tanh(a*b+c)*sigmoid(d) over 4M float32, in microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.pieces import best_us, mlx_library, pullback_library

COUNT = 1 << 22


def data() -> list[Any]:
    g = np.random.RandomState(0)
    return [g.randn(COUNT).astype(np.float32) for _ in range(4)]


def run(seconds: float, array: Any, call: Any) -> dict[str, float]:
    a, b, c, d = map(array, data())
    value = float(call(a, b, c, d))
    return {"us": best_us(lambda: float(call(a, b, c, d)), seconds), "value": value}


def numpy(seconds: float) -> dict[str, float]:
    one = np.float32(1)
    return run(seconds, np.asarray, lambda a, b, c, d: (np.tanh(a * b + c) * (one / (one + np.exp(-d)))).mean())


def torch(seconds: float) -> dict[str, float]:
    import torch

    return run(seconds, torch.from_numpy, lambda a, b, c, d: (torch.tanh(a * b + c) * torch.sigmoid(d)).mean())


def jax(seconds: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    return run(seconds, jnp.asarray, jax.jit(lambda a, b, c, d: (jnp.tanh(a * b + c) * jax.nn.sigmoid(d)).mean()))


def mlx(seconds: float) -> dict[str, float]:
    mx = mlx_library()
    return run(seconds, mx.array, lambda a, b, c, d: (mx.tanh(a * b + c) * mx.sigmoid(d)).mean().item())


def pullback(seconds: float) -> dict[str, float]:
    pb, _ = pullback_library()
    return run(seconds, pb.tensor, pb.jit(lambda a, b, c, d: (pb.tanh(a * b + c) * pb.sigmoid(d)).mean()))


def pullback_imperative(seconds: float) -> dict[str, float]:
    pb, _ = pullback_library()
    return run(seconds, pb.tensor, lambda a, b, c, d: (pb.tanh(a * b + c) * pb.sigmoid(d)).mean())


FRAMEWORKS = {"numpy": numpy, "torch": torch, "jax": jax, "mlx": mlx, "pullback": pullback,
              "pullback imperative": pullback_imperative}

"""Vector functions over 1M and 16M float32: elements per ns by `name size`, largest error in ulp by `name ulp`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workloads.pieces import best_us, mlx_library, pullback_library, ready

NAMES = ("exp", "log", "tanh", "sigmoid", "erf", "sin", "sqrt")
COUNTS = {"1M": 1 << 20, "16M": 1 << 24}
RANGES = {"exp": (-80.0, 80.0), "log": (1e-6, 1e6), "tanh": (-9.0, 9.0), "sigmoid": (-20.0, 20.0), "erf": (-4.0, 4.0),
          "sin": (-100.0, 100.0), "sqrt": (0.0, 1e6)}
TRUE: dict[str, Any] = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
                        "erf": np.vectorize(math.erf), "sin": np.sin, "sqrt": np.sqrt}


def points(name: str, count: int) -> Any:
    return np.random.RandomState(0).uniform(*RANGES[name], count).astype(np.float32)


def ulp(name: str, x: Any, y: Any) -> float:
    """The largest distance from the true value, in units of the last place of float32."""
    true = TRUE[name](x.astype(np.float64))
    return float(np.max(np.abs(y.astype(np.float64) - true) / np.spacing(np.abs(true).astype(np.float32))))


def run(seconds: float, array: Any, make: Any, host: Any) -> dict[str, float]:
    """`make(name)` gives a function of one array that computes, waits and returns; None where there is none."""
    found: dict[str, float] = {}
    for name in NAMES:
        call = make(name)
        if call is None:
            continue
        sample = points(name, 200_000)
        found[f"{name} ulp"] = ulp(name, sample, host(call(array(sample))))
        for label, count in COUNTS.items():
            x = array(points(name, count))
            found[f"{name} {label}"] = count / best_us(lambda f=call, x=x: f(x), seconds / 14) / 1e3
    return found


def numpy(seconds: float) -> dict[str, float]:
    one = np.float32(1)
    special: dict[str, Any] = {"sigmoid": lambda x: one / (one + np.exp(-x)), "erf": None}
    return run(seconds, np.asarray, lambda name: special[name] if name in special else getattr(np, name), np.asarray)


def torch(seconds: float) -> dict[str, float]:
    import torch

    return run(seconds, torch.from_numpy, lambda name: getattr(torch, name), lambda y: y.numpy())


def jax(seconds: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    special = {"sigmoid": jax.nn.sigmoid, "erf": jax.scipy.special.erf}

    def make(name: str) -> Any:
        function = jax.jit(special.get(name) or getattr(jnp, name))
        return lambda x: ready(function(x))

    return run(seconds, jnp.asarray, make, np.asarray)


def mlx(seconds: float) -> dict[str, float]:
    mx = mlx_library()

    def make(name: str) -> Any:
        function = getattr(mx, name)

        def call(x: Any) -> Any:
            y = function(x)
            mx.eval(y)
            return y

        return call

    return run(seconds, mx.array, make, np.array)


def pullback(seconds: float) -> dict[str, float]:
    pb, wait = pullback_library()

    def make(name: str) -> Any:
        function = getattr(pb, name)

        def call(x: Any) -> Any:
            y = function(x)
            wait(y)
            return y

        return call

    return run(seconds, pb.tensor, make, lambda y: y.numpy())


FRAMEWORKS = {"numpy": numpy, "torch": torch, "jax": jax, "mlx": mlx, "pullback": pullback}

"""Jittor tutorial net: batch 50, 1-10-1 ReLU, fresh data each step, mean squared error, SGD 0.05, 1000 steps.

The batches are NumPy arrays made beforehand; bringing one into the framework is part of the step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.two_layer import mlx_training, tensorflow_training, tinygrad_training, torch_functional

STEPS = 1000
LOSS = 1e-3
RATE = 0.05


def batches() -> list[tuple[Any, Any]]:
    g = np.random.RandomState(0)
    xs = g.rand(STEPS, 50, 1).astype(np.float32)
    return [(x, x * x) for x in xs]


def data() -> tuple[Any, ...]:
    """x, y, w1, b1, w2, b2"""
    g = np.random.RandomState(3)
    params = [g.rand(1, 10) - 0.5, g.rand(10) - 0.5, (g.rand(10, 1) - 0.5) / np.sqrt(10), g.rand(1) - 0.5]
    return (*batches()[0], *(p.astype(np.float32) for p in params))


def numpy() -> Any:
    batch = batches()
    first = data()[2:]
    w1, b1, w2, b2 = first

    def reset() -> None:
        nonlocal w1, b1, w2, b2
        w1, b1, w2, b2 = (p.copy() for p in first)

    def step(i: int) -> Any:
        nonlocal w1, b1, w2, b2
        x, y = batch[i]
        h = np.maximum(x.dot(w1) + b1, 0)
        e = h.dot(w2) + b2 - y
        loss = np.square(e).mean()
        grad_out = e * np.float32(2 / 50)
        grad_h = grad_out.dot(w2.T) * (h > 0)
        w2 -= RATE * h.T.dot(grad_out)
        b2 -= RATE * grad_out.sum(0)
        w1 -= RATE * x.T.dot(grad_h)
        b1 -= RATE * grad_h.sum(0)
        return loss

    return reset, step, float


def imperative(lib: Any, array: Any) -> Any:
    batch = batches()
    first = [lib.tensor(p) for p in data()[2:]]
    params = first

    def loss_of(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        return ((lib.relu(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    def reset() -> None:
        nonlocal params
        params = [p.clone().requires_grad_(True) for p in first]

    def step(i: int) -> Any:
        x, y = batch[i]
        loss = loss_of(array(x), array(y), *params)
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= RATE * p.grad
                p.grad = None
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any) -> Any:
    batch = batches()
    first = [array(p) for p in data()[2:]]
    params = first

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2 = params
        return ((lib.maximum(x @ w1 + b1, 0.0) @ w2 + b2 - y) ** 2).mean()

    @jit
    def train(params: Any, x: Any, y: Any) -> Any:
        loss, grads = value_and_grad(loss_of)(params, x, y)
        return [p - RATE * g for p, g in zip(params, grads, strict=True)], loss

    def reset() -> None:
        nonlocal params
        params = first

    def step(i: int) -> Any:
        nonlocal params
        params, loss = train(params, *batch[i])
        return loss

    return reset, step, float


def torch() -> Any:
    import torch

    return imperative(torch, torch.from_numpy)


def torch_compile() -> Any:
    return functional(*torch_functional())


def jax() -> Any:
    import jax
    import jax.numpy as jnp

    return functional(jnp.asarray, jnp, jax.value_and_grad, jax.jit)


def _fresh(training: Any, array: Any) -> Any:
    """A training step of (i, batch) made one of (i) on fresh data."""
    reset, step, read = training
    batch = batches()
    return reset, lambda i: step(i, tuple(map(array, batch[i]))), read


def mlx() -> Any:
    import mlx.core as mx

    def loss(p: Any, x: Any, y: Any) -> Any:
        return mx.square(mx.maximum(x @ p[0] + p[1], 0.0) @ p[2] + p[3] - y).mean()

    return _fresh(mlx_training(mx, data, loss, RATE), mx.array)


def tinygrad() -> Any:
    def loss(lib: Any, p: Any, x: Any, y: Any) -> Any:
        return ((x @ p[0] + p[1]).relu() @ p[2] + p[3] - y).square().mean()

    return _fresh(tinygrad_training(data, loss, RATE), lambda a: a)


def tensorflow() -> Any:
    def loss(tf: Any, p: Any, x: Any, y: Any) -> Any:
        return tf.reduce_mean((tf.maximum(x @ p[0] + p[1], 0.0) @ p[2] + p[3] - y) ** 2)

    return _fresh(tensorflow_training(data, loss, RATE), lambda a: a)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.value_and_grad, pb.jit)


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb, pb.tensor)


FRAMEWORKS = {"numpy": numpy, "torch": torch, "torch.compile": torch_compile, "jax": jax, "mlx": mlx,
              "tinygrad": tinygrad, "tensorflow": tensorflow, "pullback": pullback,
              "pullback imperative": pullback_imperative}

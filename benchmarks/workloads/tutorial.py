"""JAX tutorial net: 1-128-1 tanh, 1000 samples full batch, mean squared error, SGD 0.01, 1000 steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.two_layer import mlx_training, tensorflow_training, tinygrad_training, torch_functional

STEPS = 1000
LOSS = 1e-3
RATE = 0.01


def data() -> tuple[Any, ...]:
    """x, y, W1, b1, W2, b2"""
    g = np.random.RandomState(21)
    x = np.linspace(-10, 10, 1000)
    y = np.polyval([1, -2, 1, -2], x) + g.randn(1000)
    w1, w2 = g.randn(1, 128) * 5 / 3, g.randn(128, 1) * 5 / 3 / np.sqrt(128)
    x, y = ((v - v.mean()) / v.std() for v in (x, y))
    arrays = x.reshape(-1, 1), y.reshape(-1, 1), w1, np.zeros(128), w2, np.zeros(1)
    return tuple(a.astype(np.float32) for a in arrays)


def numpy() -> Any:
    x, y, *first = data()
    w1, b1, w2, b2 = first

    def reset() -> None:
        nonlocal w1, b1, w2, b2
        w1, b1, w2, b2 = (p.copy() for p in first)

    def step(i: int) -> Any:
        nonlocal w1, b1, w2, b2
        h = np.tanh(x.dot(w1) + b1)
        e = h.dot(w2) + b2 - y
        loss = np.square(e).mean()
        grad_out = e * np.float32(2 / 1000)
        grad_h = grad_out.dot(w2.T) * (1 - h * h)
        w2 -= RATE * h.T.dot(grad_out)
        b2 -= RATE * grad_out.sum(0)
        w1 -= RATE * x.T.dot(grad_h)
        b1 -= RATE * grad_h.sum(0)
        return loss

    return reset, step, float


def imperative(lib: Any) -> Any:
    x, y, *first = map(lib.tensor, data())
    params = first

    def loss_of(w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        return ((y - (lib.tanh(x @ w1 + b1) @ w2 + b2)) ** 2).mean()

    def reset() -> None:
        nonlocal params
        params = [p.clone().requires_grad_(True) for p in first]

    def step(i: int) -> Any:
        loss = loss_of(*params)
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= RATE * p.grad
                p.grad = None
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any) -> Any:
    x, y, *first = map(array, data())
    start = dict(zip(("W1", "b1", "W2", "b2"), first, strict=True))
    params = start

    def mse(params: Any, x: Any, y: Any) -> Any:
        h = lib.tanh(x @ params["W1"] + params["b1"])
        return lib.mean((y - (h @ params["W2"] + params["b2"])) ** 2)

    @jit
    def train(params: Any, x: Any, y: Any, lr: Any) -> Any:
        loss, grads = value_and_grad(mse)(params, x, y)
        return {k: p - lr * grads[k] for k, p in params.items()}, loss

    def reset() -> None:
        nonlocal params
        params = start

    def step(i: int) -> Any:
        nonlocal params
        params, loss = train(params, x, y, RATE)
        return loss

    return reset, step, float


def torch() -> Any:
    import torch

    return imperative(torch)


def torch_compile() -> Any:
    return functional(*torch_functional())


def jax() -> Any:
    import jax
    import jax.numpy as jnp

    return functional(jnp.asarray, jnp, jax.value_and_grad, jax.jit)


def mlx() -> Any:
    import mlx.core as mx

    return mlx_training(mx, data, lambda p, x, y: mx.square(y - (mx.tanh(x @ p[0] + p[1]) @ p[2] + p[3])).mean(), RATE)


def tinygrad() -> Any:
    return tinygrad_training(
        data, lambda lib, p, x, y: (y - ((x @ p[0] + p[1]).tanh() @ p[2] + p[3])).square().mean(), RATE)


def tensorflow() -> Any:
    return tensorflow_training(
        data, lambda tf, p, x, y: tf.reduce_mean((y - (tf.tanh(x @ p[0] + p[1]) @ p[2] + p[3])) ** 2), RATE)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.value_and_grad, pb.jit)


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb)


FRAMEWORKS = {"numpy": numpy, "torch": torch, "torch.compile": torch_compile, "jax": jax, "mlx": mlx,
              "tinygrad": tinygrad, "tensorflow": tensorflow, "pullback": pullback,
              "pullback imperative": pullback_imperative}

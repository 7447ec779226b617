"""Line fit: 100 points, y = x @ a, mean squared error, SGD 0.1, 100 steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.two_layer import mlx_training, tensorflow_training, tinygrad_training, torch_functional

STEPS = 100
LOSS = 1e-3
RATE = 0.1


def data() -> tuple[Any, ...]:
    """x, y, a"""
    g = np.random.RandomState(1)
    x = np.ones((100, 2))
    x[:, 0] = g.uniform(-1.0, 1.0, 100)
    return tuple(v.astype(np.float32) for v in (x, x @ [3.0, 2.0], g.rand(2)))


def numpy() -> Any:
    x, y, first = data()
    a = first

    def reset() -> None:
        nonlocal a
        a = first.copy()

    def step(i: int) -> Any:
        nonlocal a
        e = x.dot(a) - y
        loss = np.square(e).mean()
        grad_a = x.T.dot(2.0 * e / 100)
        a -= RATE * grad_a
        return loss

    return reset, step, float


def imperative(lib: Any) -> Any:
    x, y, first = map(lib.tensor, data())
    a = first

    def loss_of(a: Any) -> Any:
        return ((x @ a - y) ** 2).mean()

    def reset() -> None:
        nonlocal a
        a = first.clone().requires_grad_(True)

    def step(i: int) -> Any:
        loss = loss_of(a)
        loss.backward()
        with lib.no_grad():
            a.sub_(RATE * a.grad)
            a.grad.zero_()
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, value_and_grad: Any, jit: Any) -> Any:
    x, y, first = map(array, data())
    a = first

    @jit
    def train(a: Any, x: Any, y: Any) -> Any:
        loss, grad = value_and_grad(lambda a, x, y: ((x @ a - y) ** 2).mean())(a, x, y)
        return a - RATE * grad, loss

    def reset() -> None:
        nonlocal a
        a = first

    def step(i: int) -> Any:
        nonlocal a
        a, loss = train(a, x, y)
        return loss

    return reset, step, float


def torch() -> Any:
    import torch

    return imperative(torch)


def torch_compile() -> Any:
    array, _, value_and_grad, jit = torch_functional()
    return functional(array, value_and_grad, jit)


def jax() -> Any:
    import jax
    import jax.numpy as jnp

    return functional(jnp.asarray, jax.value_and_grad, jax.jit)


def mlx() -> Any:
    import mlx.core as mx

    return mlx_training(mx, data, lambda p, x, y: mx.square(x @ p[0] - y).mean(), RATE)


def tinygrad() -> Any:
    return tinygrad_training(data, lambda lib, p, x, y: (x @ p[0] - y).square().mean(), RATE)


def tensorflow() -> Any:
    return tensorflow_training(
        data, lambda tf, p, x, y: tf.reduce_mean((tf.linalg.matvec(x, p[0]) - y) ** 2), RATE)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb.value_and_grad, pb.jit)


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb)


FRAMEWORKS = {"numpy": numpy, "torch": torch, "torch.compile": torch_compile, "jax": jax, "mlx": mlx,
              "tinygrad": tinygrad, "tensorflow": tensorflow, "pullback": pullback,
              "pullback imperative": pullback_imperative}

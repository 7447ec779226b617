"""Two-layer net: N=64, 1000-100-10, ReLU, sum of squares, SGD 1e-6, 500 steps, as in the classical tutorial."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 500
LOSS = 2e-2
RATE = 1e-6


def data() -> tuple[Any, ...]:
    """x, y, w1, w2"""
    g = np.random.RandomState(0)
    return tuple(g.randn(*shape).astype(np.float32) for shape in [(64, 1000), (64, 10), (1000, 100), (100, 10)])


def numpy() -> Any:
    x, y, first1, first2 = data()
    w1 = w2 = first1

    def reset() -> None:
        nonlocal w1, w2
        w1, w2 = first1.copy(), first2.copy()

    def step(i: int) -> Any:
        nonlocal w1, w2
        h = x.dot(w1)
        h_relu = np.maximum(h, 0)
        y_pred = h_relu.dot(w2)
        loss = np.square(y_pred - y).sum()
        grad_y_pred = 2.0 * (y_pred - y)
        grad_w2 = h_relu.T.dot(grad_y_pred)
        grad_h = grad_y_pred.dot(w2.T)
        grad_h[h < 0] = 0
        grad_w1 = x.T.dot(grad_h)
        w1 -= RATE * grad_w1
        w2 -= RATE * grad_w2
        return loss

    return reset, step, float


def imperative(lib: Any) -> Any:
    """PyTorch's words: torch and pullback run the same lines."""
    x, y, first1, first2 = map(lib.tensor, data())
    w1 = w2 = first1

    def reset() -> None:
        nonlocal w1, w2
        w1, w2 = (first.clone().requires_grad_(True) for first in (first1, first2))

    def step(i: int) -> Any:
        loss = (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum()
        loss.backward()
        with lib.no_grad():
            for w in (w1, w2):
                w -= RATE * w.grad
                w.grad = None
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any) -> Any:
    """JAX's words: jax and pullback run the same lines."""
    x, y, first1, first2 = map(array, data())

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        w1, w2 = params
        return ((lib.maximum(x @ w1, 0.0) @ w2 - y) ** 2).sum()

    @jit
    def train(params: Any, x: Any, y: Any) -> Any:
        loss, (g1, g2) = value_and_grad(loss_of)(params, x, y)
        return (params[0] - RATE * g1, params[1] - RATE * g2), loss

    params = first1, first2

    def reset() -> None:
        nonlocal params
        params = first1, first2

    def step(i: int) -> Any:
        nonlocal params
        params, loss = train(params, x, y)
        return loss

    return reset, step, float


def torch() -> Any:
    import torch

    return imperative(torch)


def torch_functional() -> tuple[Any, Any, Any, Any]:
    """JAX's words in torch: array, library, value_and_grad, and torch.compile of the whole step."""
    from types import SimpleNamespace

    import torch

    lib = SimpleNamespace(maximum=lambda x, least: x.clamp(min=least), tanh=torch.tanh, mean=torch.mean)

    def value_and_grad(f: Any) -> Any:
        both = torch.func.grad_and_value(f)
        return lambda *args: both(*args)[::-1]

    def jit(f: Any) -> Any:
        compiled = torch.compile(f)
        return lambda *args: compiled(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in args))

    return torch.tensor, lib, value_and_grad, jit


def torch_compile() -> Any:
    return functional(*torch_functional())


def jax() -> Any:
    import jax
    import jax.numpy as jnp

    return functional(jnp.asarray, jnp, jax.value_and_grad, jax.jit)


def mlx() -> Any:
    import mlx.core as mx

    return mlx_training(mx, data, lambda params, x, y: ((mx.maximum(x @ params[0], 0.0) @ params[1] - y) ** 2).sum(),
                        RATE)


def mlx_training(mx: Any, data: Any, loss_of: Any, rate: float) -> Any:
    """SGD in MLX, compiled, waiting only when the loss is read."""
    mx.set_default_device(mx.cpu)
    x, y, *first = map(mx.array, data())
    value_and_grad = mx.value_and_grad(loss_of)
    params = first

    @mx.compile
    def train(params: Any, x: Any, y: Any) -> Any:
        loss, grads = value_and_grad(params, x, y)
        return [p - rate * g for p, g in zip(params, grads, strict=True)], loss

    def reset() -> None:
        nonlocal params
        params = first

    def step(i: int, batch: Any = None) -> Any:
        nonlocal params
        params, loss = train(params, *(batch or (x, y)))
        mx.async_eval(loss, params)
        return loss

    return reset, step, lambda loss: loss.item()


def tinygrad_training(data: Any, loss_of: Any, rate: float) -> Any:
    """SGD in tinygrad under TinyJit."""
    from tinygrad import Tensor, TinyJit

    x, y, *first = map(Tensor, data())
    params = [p.clone().realize() for p in first]
    for p in params:
        p.requires_grad = True

    @TinyJit
    def train(x: Any, y: Any) -> Any:
        for p in params:
            p.grad = None
        loss = loss_of(Tensor, params, x, y)
        loss.backward()
        for p in params:
            p.assign(p.detach() - rate * p.grad)
        return loss.realize(*params)

    def reset() -> None:
        for p, start in zip(params, data()[2:], strict=True):
            p.assign(Tensor(start)).realize()

    def step(i: int, batch: Any = None) -> Any:
        return train(*(map(Tensor, batch) if batch else (x, y)))

    return reset, step, lambda loss: loss.item()


def tinygrad() -> Any:
    return tinygrad_training(data, lambda lib, p, x, y: ((x @ p[0]).relu() @ p[1] - y).square().sum(), RATE)


def tensorflow_training(data: Any, loss_of: Any, rate: float) -> Any:
    """SGD in TensorFlow, compiled by XLA."""
    import tensorflow as tf

    x, y, *first = data()
    x, y = tf.constant(x), tf.constant(y)
    params = [tf.Variable(p) for p in first]

    @tf.function(jit_compile=True)
    def train(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(tf, params, x, y)
        for p, g in zip(params, tape.gradient(loss, params), strict=True):
            p.assign_sub(rate * g)
        return loss

    def reset() -> None:
        for p, start in zip(params, first, strict=True):
            p.assign(start)

    return reset, lambda i, batch=None: train(*(map(tf.constant, batch) if batch else (x, y))), float


def tensorflow() -> Any:
    return tensorflow_training(
        data, lambda tf, p, x, y: tf.reduce_sum((tf.maximum(x @ p[0], 0.0) @ p[1] - y) ** 2), RATE)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.value_and_grad, pb.jit)


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb)


FRAMEWORKS = {"numpy": numpy, "torch": torch, "torch.compile": torch_compile, "jax": jax, "mlx": mlx,
              "tinygrad": tinygrad, "tensorflow": tensorflow, "pullback": pullback,
              "pullback imperative": pullback_imperative}

"""MLP 784-512-256-10, batch 128, ReLU, cross entropy, Adam 1e-3."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import stepping

STEPS = 60
LOSS = 1e-3
CHECKED = (1, 5, 10)  # Adam turns the sign of a gradient of 1e-10 into a whole step: later losses differ by rounding
SIZES = (784, 512, 256, 10)
RATE = 1e-3


def data() -> tuple[Any, ...]:
    """x, labels, then weight [in, out] and bias of each layer"""
    g = np.random.RandomState(5)
    x = g.rand(128, 784).astype(np.float32)
    labels = g.randint(0, 10, 128)
    params: list[Any] = []
    for n, m in pairwise(SIZES):
        params += [g.uniform(-1, 1, (n, m)) / np.sqrt(n), g.uniform(-1, 1, m) / np.sqrt(n)]
    return (x, labels, *(p.astype(np.float32) for p in params))


def numpy() -> Any:
    x, labels, *first = data()
    params = moments = squares = first
    count = 0
    rows = np.arange(128)

    def reset() -> None:
        nonlocal params, moments, squares, count
        params = [p.copy() for p in first]
        moments, squares = [np.zeros_like(p) for p in first], [np.zeros_like(p) for p in first]
        count = 0

    def step(i: int) -> Any:
        nonlocal count
        count += 1
        w1, b1, w2, b2, w3, b3 = params
        h1 = np.maximum(x.dot(w1) + b1, 0)
        h2 = np.maximum(h1.dot(w2) + b2, 0)
        z = h2.dot(w3) + b3
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        total = p.sum(1, keepdims=True)
        loss = (np.log(total[:, 0]) - z[rows, labels]).mean()
        p /= total
        p[rows, labels] -= 1
        p /= np.float32(128)
        g2 = p.dot(w3.T) * (h2 > 0)
        g1 = g2.dot(w2.T) * (h1 > 0)
        grads = x.T.dot(g1), g1.sum(0), h1.T.dot(g2), g2.sum(0), h2.T.dot(p), p.sum(0)
        c1, c2 = 1 - stepping.BETA1**count, 1 - stepping.BETA2**count
        for q, g, m, v in zip(params, grads, moments, squares, strict=True):
            m *= np.float32(stepping.BETA1)
            m += np.float32(1 - stepping.BETA1) * g
            v *= np.float32(stepping.BETA2)
            v += np.float32(1 - stepping.BETA2) * g * g
            q -= np.float32(RATE / c1) * m / (np.sqrt(v / np.float32(c2)) + np.float32(stepping.EPSILON))
        return loss

    return reset, step, float


def imperative(lib: Any, nn: Any, optim: Any, options: dict[str, Any], compile_model: Any = None) -> Any:
    """Modules and optimizer, PyTorch's words."""
    x, labels, *first = data()
    x, labels = lib.tensor(x), lib.tensor(labels)
    layers: list[Any] = []
    for n, m in pairwise(SIZES):
        layers += [nn.Linear(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    criterion = nn.CrossEntropyLoss()

    def loss_of(x: Any, labels: Any) -> Any:
        return criterion(model(x), labels)

    forward = loss_of if compile_model is None else compile_model(loss_of)
    return stepping.imperative(
        lambda: forward(x, labels), list(model.parameters()), [np.ascontiguousarray(p.T) for p in first],
        lambda params: optim.Adam(params, lr=RATE, **options), lib)


def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any, log_softmax: Any) -> Any:
    """Adam by hand on lists of arrays, JAX's words."""
    x, labels, *first = data()
    one_hot = array(np.eye(10, dtype=np.float32)[labels])

    def loss_of(params: Any, x: Any, one_hot: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = lib.maximum(x @ w1 + b1, 0.0)
        h = lib.maximum(h @ w2 + b2, 0.0)
        return -(log_softmax(h @ w3 + b3) * one_hot).sum() / 128

    return stepping.functional(loss_of, first, (array(x), one_hot), stepping.Rule(RATE), array, lib, value_and_grad,
                               jit)


def torch() -> Any:
    import torch

    return imperative(torch, torch.nn, torch.optim, {"fused": True})


def torch_compile() -> Any:
    import torch

    return imperative(torch, torch.nn, torch.optim, {"fused": True}, torch.compile)


def jax() -> Any:
    import jax
    import jax.numpy as jnp

    return functional(jnp.array, jnp, jax.value_and_grad, jax.jit, jax.nn.log_softmax)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.value_and_grad, pb.jit, lambda z: pb.log_softmax(z, -1))


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb, pb.nn, pb.optim, {})


FRAMEWORKS = {"numpy": numpy, "torch": torch, "torch.compile": torch_compile, "jax": jax, "pullback": pullback,
              "pullback imperative": pullback_imperative}

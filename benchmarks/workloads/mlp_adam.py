"""MLP 784-512-256-10, batch 128, ReLU, cross entropy, Adam 1e-3."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

STEPS = 60
LOSS = 1e-3
CHECKED = (1, 5, 10)  # Adam turns the sign of a gradient of 1e-10 into a whole step: later losses differ by rounding
SIZES = (784, 512, 256, 10)
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


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
        c1, c2 = 1 - BETA1**count, 1 - BETA2**count
        for q, g, m, v in zip(params, grads, moments, squares, strict=True):
            m *= np.float32(BETA1)
            m += np.float32(1 - BETA1) * g
            v *= np.float32(BETA2)
            v += np.float32(1 - BETA2) * g * g
            q -= np.float32(RATE / c1) * m / (np.sqrt(v / np.float32(c2)) + np.float32(EPSILON))
        return loss

    return reset, step, float


def imperative(lib: Any, nn: Any, optim: Any, options: dict[str, Any], compile_model: Any = None) -> Any:
    """Modules and optimizer, PyTorch's words: torch and pullback run the same lines."""
    x, labels, *first = data()
    x, labels = lib.tensor(x), lib.tensor(labels)
    layers: list[Any] = []
    for n, m in pairwise(SIZES):
        layers += [nn.Linear(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    loss_of = nn.CrossEntropyLoss()

    def forward(x: Any, labels: Any) -> Any:
        return loss_of(model(x), labels)

    if compile_model is not None:
        forward = compile_model(forward)
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        with lib.no_grad():
            for p, start in zip(model.parameters(), first, strict=True):
                p.copy_(lib.tensor(np.ascontiguousarray(start.T)))
        optimizer = optim.Adam(model.parameters(), lr=RATE, **options)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any, log_softmax: Any) -> Any:
    """Adam by hand on lists of arrays, JAX's words: jax and pullback run the same lines."""
    x, labels, *first = data()
    one_hot = array(np.eye(10, dtype=np.float32)[labels])
    x = array(x)

    def loss_of(params: Any, x: Any, one_hot: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = lib.maximum(x @ w1 + b1, 0.0)
        h = lib.maximum(h @ w2 + b2, 0.0)
        return -(log_softmax(h @ w3 + b3) * one_hot).sum() / 128

    @partial(jit, donate_argnums=(0, 1, 2))
    def train(params: Any, moments: Any, squares: Any, c1: Any, c2: Any, x: Any, one_hot: Any) -> Any:
        loss, grads = value_and_grad(loss_of)(params, x, one_hot)
        moments = [BETA1 * m + (1 - BETA1) * g for m, g in zip(moments, grads, strict=True)]
        squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, grads, strict=True)]
        params = [p - RATE * c1 * m / (lib.sqrt(v * c2) + EPSILON)
                  for p, m, v in zip(params, moments, squares, strict=True)]
        return params, moments, squares, loss

    zeros = [np.zeros_like(p) for p in first]
    state: Any = ()
    count = 0

    def reset() -> None:
        nonlocal state, count
        state = ()  # what was is let go before the new one is made
        state = [[array(p) for p in part] for part in (first, zeros, zeros)]
        count = 0

    def step(i: int) -> Any:
        nonlocal state, count
        count += 1
        *state, loss = train(*state, 1 / (1 - BETA1**count), 1 / (1 - BETA2**count), x, one_hot)
        return loss

    return reset, step, float


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

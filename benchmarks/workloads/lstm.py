"""LSTM 128 -> 256 over 64 steps, batch 32, ten classes from the last state, cross entropy, Adam 1e-3."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

STEPS = 10
LOSS = 1e-3
CHECKED = (1, 5)
LENGTH, BATCH, INPUT, HIDDEN = 64, 32, 128, 256
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def data() -> tuple[Any, Any, list[Any]]:
    """x, labels; weights of the input and the state [gates, n], two biases, weight and bias of the last layer"""
    g = np.random.RandomState(3)
    x = g.standard_normal((LENGTH, BATCH, INPUT)).astype(np.float32)
    shapes = ((4 * HIDDEN, INPUT), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,), (4 * HIDDEN,), (10, HIDDEN), (10,))
    params = [(g.uniform(-1, 1, shape) / np.sqrt(HIDDEN)).astype(np.float32) for shape in shapes]
    return x, g.randint(0, 10, BATCH), params


def imperative(lib: Any, nn: Any, optim: Any, options: dict[str, Any], compile_model: Any = None) -> Any:
    """Modules and optimizer, PyTorch's words: torch and pullback run the same lines."""
    x, labels, first = data()
    x, labels = lib.tensor(x), lib.tensor(labels)
    lstm, last = nn.LSTM(INPUT, HIDDEN), nn.Linear(HIDDEN, 10)
    params = [*lstm.parameters(), *last.parameters()]
    loss_of = nn.CrossEntropyLoss()

    def forward(x: Any, labels: Any) -> Any:
        return loss_of(last(lstm(x)[0][-1]), labels)

    if compile_model is not None:
        forward = compile_model(forward)
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        with lib.no_grad():
            for p, start in zip(params, first, strict=True):
                p.copy_(lib.tensor(start))
        optimizer = optim.Adam(params, lr=RATE, **options)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss

    return reset, step, lambda loss: loss.item()


def functional(array: Any, lib: Any, scan: Any, sigmoid: Any, value_and_grad: Any, jit: Any, log_softmax: Any) -> Any:
    """A scan whose input product is taken out of it, Adam by hand: jax and pullback run the same lines."""
    x, labels, first = data()
    one_hot = array(np.eye(10, dtype=np.float32)[labels])
    x = array(x)
    h0 = array(np.zeros((BATCH, HIDDEN), np.float32))

    def loss_of(params: Any, x: Any, one_hot: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh, w, b = params
        transposed = w_hh.T

        def turn(carry: Any, pre: Any) -> Any:
            h, c = carry
            gates = pre + h @ transposed
            i, f, g, o = (gates[:, k * HIDDEN:(k + 1) * HIDDEN] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * lib.tanh(g)
            return (sigmoid(o) * lib.tanh(c), c), None

        (h, _), _ = scan(turn, (h0, h0), x @ w_ih.T + (b_ih + b_hh))
        return -(log_softmax(h @ w.T + b) * one_hot).sum() / BATCH

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

    return functional(jnp.array, jnp, jax.lax.scan, jax.nn.sigmoid, jax.value_and_grad, jax.jit, jax.nn.log_softmax)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.scan, pb.sigmoid, pb.value_and_grad, pb.jit, lambda z: pb.log_softmax(z, -1))


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb, pb.nn, pb.optim, {})


FRAMEWORKS = {"torch": torch, "torch.compile": torch_compile, "jax": jax, "pullback": pullback,
              "pullback imperative": pullback_imperative}

"""LSTM 128 -> 256 over 64 steps, batch 32, ten classes from the last state, cross entropy, Adam 1e-3."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import stepping

STEPS = 10
LOSS = 1e-3
CHECKED = (1, 5)
LENGTH, BATCH, INPUT, HIDDEN = 64, 32, 128, 256
RATE = 1e-3


def data() -> tuple[Any, Any, list[Any]]:
    """x, labels; weights of the input and the state [gates, n], two biases, weight and bias of the last layer"""
    g = np.random.RandomState(3)
    x = g.standard_normal((LENGTH, BATCH, INPUT)).astype(np.float32)
    shapes = ((4 * HIDDEN, INPUT), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,), (4 * HIDDEN,), (10, HIDDEN), (10,))
    params = [(g.uniform(-1, 1, shape) / np.sqrt(HIDDEN)).astype(np.float32) for shape in shapes]
    return x, g.randint(0, 10, BATCH), params


def imperative(lib: Any, nn: Any, optim: Any, options: dict[str, Any], compile_model: Any = None) -> Any:
    """Modules and optimizer, PyTorch's words."""
    x, labels, first = data()
    x, labels = lib.tensor(x), lib.tensor(labels)
    lstm, last = nn.LSTM(INPUT, HIDDEN), nn.Linear(HIDDEN, 10)
    criterion = nn.CrossEntropyLoss()

    def loss_of(x: Any, labels: Any) -> Any:
        return criterion(last(lstm(x)[0][-1]), labels)

    forward = loss_of if compile_model is None else compile_model(loss_of)
    return stepping.imperative(lambda: forward(x, labels), [*lstm.parameters(), *last.parameters()], first,
                               lambda params: optim.Adam(params, lr=RATE, **options), lib)


def functional(array: Any, lib: Any, scan: Any, sigmoid: Any, value_and_grad: Any, jit: Any, log_softmax: Any) -> Any:
    """A scan whose input product is taken out of it, Adam by hand."""
    x, labels, first = data()
    one_hot = array(np.eye(10, dtype=np.float32)[labels])
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

    return functional(jnp.array, jnp, jax.lax.scan, jax.nn.sigmoid, jax.value_and_grad, jax.jit, jax.nn.log_softmax)


def pullback() -> Any:
    import pullback as pb

    return functional(pb.tensor, pb, pb.scan, pb.sigmoid, pb.value_and_grad, pb.jit, lambda z: pb.log_softmax(z, -1))


def pullback_imperative() -> Any:
    import pullback as pb

    return imperative(pb, pb.nn, pb.optim, {})


FRAMEWORKS = {"torch": torch, "torch.compile": torch_compile, "jax": jax, "pullback": pullback,
              "pullback imperative": pullback_imperative}

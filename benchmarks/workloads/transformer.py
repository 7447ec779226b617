"""A character GPT (6 layers, 384 wide, 6 heads, 65 characters, batch 8) with AdamW, written once; what a framework
calls its operations is an adapter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

LAYERS, WIDTH, HEADS, CHARACTERS, BATCH = 6, 384, 6, 65, 8
RATE, BETA1, BETA2, EPSILON, DECAY = 3e-4, 0.9, 0.999, 1e-8, 0.01
Params = dict[str, Any]


def parameters(context: int) -> Params:
    """Name -> initial value."""
    g = np.random.RandomState(3)

    def normal(*shape: int) -> Any:
        return (0.02 * g.standard_normal(shape)).astype(np.float32)

    found = {"characters": normal(CHARACTERS, WIDTH), "positions": normal(context, WIDTH)}
    for k in range(LAYERS):
        for name, rows, columns in (("qkv", 3 * WIDTH, WIDTH), ("project", WIDTH, WIDTH), ("up", 4 * WIDTH, WIDTH),
                                    ("down", WIDTH, 4 * WIDTH)):
            found |= {f"{k}.{name}.weight": normal(rows, columns), f"{k}.{name}.bias": np.zeros(rows, np.float32)}
        for name in ("first", "second"):
            found |= _norm(f"{k}.{name}")
    return {**found, **_norm("last"), "head": normal(CHARACTERS, WIDTH)}


def _norm(name: str) -> Params:
    return {f"{name}.scale": np.ones(WIDTH, np.float32), f"{name}.shift": np.zeros(WIDTH, np.float32)}


def data(context: int) -> tuple[Any, Any]:
    """Characters and those that follow them."""
    text = np.random.RandomState(4).randint(0, CHARACTERS, (BATCH, context + 1))
    return text[:, :-1].copy(), text[:, 1:].copy()


def loss_of(words: Any, p: Params, x: Any, y: Any) -> Any:
    """The mean cross entropy of the characters that follow."""
    batch, length = x.shape
    h = words.embedding(x, p["characters"]) + p["positions"]
    for k in range(LAYERS):
        z = words.norm(h, p[f"{k}.first.scale"], p[f"{k}.first.shift"])
        z = words.dense(z, p[f"{k}.qkv.weight"], p[f"{k}.qkv.bias"]).reshape((batch, length, 3, HEADS, WIDTH // HEADS))
        z = words.attend(z).reshape((batch, length, WIDTH))
        h = h + words.dense(z, p[f"{k}.project.weight"], p[f"{k}.project.bias"])
        z = words.norm(h, p[f"{k}.second.scale"], p[f"{k}.second.shift"])
        z = words.gelu(words.dense(z, p[f"{k}.up.weight"], p[f"{k}.up.bias"]))
        h = h + words.dense(z, p[f"{k}.down.weight"], p[f"{k}.down.bias"])
    h = words.norm(h, p["last.scale"], p["last.shift"])
    return words.cross_entropy(words.dense(h, p["head"], None).reshape((-1, CHARACTERS)), y.reshape((-1,)))


class TorchWords:
    """What torch and pullback call them."""

    def __init__(self, f: Any) -> None:
        self.f = f
        self.gelu, self.embedding, self.dense, self.cross_entropy = f.gelu, f.embedding, f.linear, f.cross_entropy

    def norm(self, x: Any, scale: Any, shift: Any) -> Any:
        return self.f.layer_norm(x, (WIDTH,), scale, shift)

    def attend(self, qkv: Any) -> Any:
        q, k, v = qkv.permute((2, 0, 3, 1, 4))
        return self.f.scaled_dot_product_attention(q, k, v, is_causal=True).permute((0, 2, 1, 3))


class JaxWords:
    """What jax calls them."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.np = jax, jax.numpy

    def embedding(self, x: Any, table: Any) -> Any:
        return table[x]

    def gelu(self, x: Any) -> Any:
        return self.jax.nn.gelu(x, approximate=False)

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return x @ w.T if b is None else x @ w.T + b

    def norm(self, x: Any, scale: Any, shift: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * self.jax.lax.rsqrt(variance + 1e-5) * scale + shift

    def attend(self, qkv: Any) -> Any:
        return self.jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)

    def cross_entropy(self, z: Any, y: Any) -> Any:
        return -self.np.take_along_axis(self.jax.nn.log_softmax(z), y[:, None], 1).mean()


def imperative(context: int, lib: Any, f: Any, optim: Any, compile_model: Any = None) -> Any:
    """Parameters as leaves and an optimizer: torch and pullback run the same lines."""
    x, y = (lib.tensor(part) for part in data(context))
    first = parameters(context)
    params = {name: lib.tensor(value, requires_grad=True) for name, value in first.items()}
    words = TorchWords(f)

    def forward(x: Any, y: Any) -> Any:
        return loss_of(words, params, x, y)

    if compile_model is not None:
        forward = compile_model(forward)
    optimizer: Any = None

    def reset() -> None:
        nonlocal optimizer
        with lib.no_grad():
            for name, p in params.items():
                p.copy_(lib.tensor(first[name]))
        optimizer = optim.AdamW(list(params.values()), lr=RATE, weight_decay=DECAY)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return reset, step, lambda loss: loss.item()


def functional(context: int, array: Any, lib: Any, words: Any, value_and_grad: Any, jit: Any) -> Any:
    """The update by hand on dicts of arrays: jax and pullback run the same lines."""
    x, y = (array(part.astype(np.int32)) for part in data(context))

    @partial(jit, donate_argnums=(0, 1, 2))
    def train(params: Params, moments: Params, squares: Params, c1: Any, c2: Any, x: Any, y: Any) -> Any:
        loss, grads = value_and_grad(lambda p: loss_of(words, p, x, y))(params)
        moments = {k: BETA1 * m + (1 - BETA1) * grads[k] for k, m in moments.items()}
        squares = {k: BETA2 * v + (1 - BETA2) * grads[k] * grads[k] for k, v in squares.items()}
        params = {k: p * (1 - RATE * DECAY) - RATE * c1 * moments[k] / (lib.sqrt(squares[k] * c2) + EPSILON)
                  for k, p in params.items()}
        return params, moments, squares, loss

    first = parameters(context)
    zeros = {name: np.zeros_like(value) for name, value in first.items()}
    state: Any = ()
    count = 0

    def reset() -> None:
        nonlocal state, count
        state = ()  # what was is let go before the new one is made
        state, count = [{k: array(v) for k, v in part.items()} for part in (first, zeros, zeros)], 0

    def step(i: int) -> Any:
        nonlocal state, count
        count += 1
        *state, loss = train(*state, 1 / (1 - BETA1**count), 1 / (1 - BETA2**count), x, y)
        return loss

    return reset, step, float


def frameworks(context: int) -> dict[str, Callable[[], Any]]:
    """A function for each framework."""
    def torch(compile_model: bool = False) -> Any:
        import torch

        return imperative(context, torch, torch.nn.functional, torch.optim, torch.compile if compile_model else None)

    def jax() -> Any:
        import jax

        return functional(context, jax.numpy.array, jax.numpy, JaxWords(jax), jax.value_and_grad, jax.jit)

    def pullback() -> Any:
        import pullback as pb

        return functional(context, pb.tensor, pb, TorchWords(pb.nn.functional), pb.value_and_grad, pb.jit)

    def pullback_imperative() -> Any:
        import pullback as pb

        return imperative(context, pb, pb.nn.functional, pb.optim)

    return {"torch": torch, "torch.compile": lambda: torch(True), "jax": jax, "pullback": pullback,
            "pullback imperative": pullback_imperative}

"""A character GPT (6 layers, 384 wide, 6 heads, 65 characters, batch 8) with AdamW, written once; what a framework
calls its operations is an adapter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from . import stepping

LAYERS, WIDTH, HEADS, CHARACTERS, BATCH = 6, 384, 6, 65, 8
RATE, DECAY = 3e-4, 0.01
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

    def __init__(self, jax: Any, products: str = "float32") -> None:
        self.jax, self.np, self.products = jax, jax.numpy, products

    def embedding(self, x: Any, table: Any) -> Any:
        return table[x]

    def gelu(self, x: Any) -> Any:
        return self.jax.nn.gelu(x, approximate=False)

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        y = x.astype(self.products) @ w.T.astype(self.products)
        return y if b is None else y + b.astype(self.products)

    def norm(self, x: Any, scale: Any, shift: Any) -> Any:
        x = x.astype("float32")
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * self.jax.lax.rsqrt(variance + 1e-5) * scale + shift

    def attend(self, qkv: Any) -> Any:
        return self.jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)

    def cross_entropy(self, z: Any, y: Any) -> Any:
        return -self.np.take_along_axis(self.jax.nn.log_softmax(z.astype("float32")), y[:, None], 1).mean()


def imperative(context: int, lib: Any, f: Any, optim: Any, within: Any, compile_model: Any = None,
               **options: Any) -> Any:
    """Parameters as leaves and an optimizer."""
    x, y = (lib.tensor(part) for part in data(context))
    first = parameters(context)
    params = {name: lib.tensor(value, requires_grad=True) for name, value in first.items()}
    words = TorchWords(f)

    def loss(x: Any, y: Any) -> Any:
        with within():
            return loss_of(words, params, x, y)

    forward = loss if compile_model is None else compile_model(loss)
    return stepping.imperative(
        lambda: forward(x, y), list(params.values()), list(first.values()),
        lambda params: optim.AdamW(params, lr=RATE, weight_decay=DECAY, **options), lib)


def functional(context: int, array: Any, lib: Any, words: Any, value_and_grad: Any, jit: Any,
               within: Any = nullcontext) -> Any:
    """The update by hand on lists of arrays."""
    x, y = (array(part.astype(np.int32)) for part in data(context))
    first = parameters(context)

    def loss(params: Any, x: Any, y: Any) -> Any:
        with within():
            return loss_of(words, dict(zip(first, params, strict=True)), x, y)

    return stepping.functional(loss, list(first.values()), (x, y), stepping.Rule(RATE, DECAY), array, lib,
                               value_and_grad, jit)


def operations(context: int) -> int:
    """Multiplications and additions of a training step's products: one forward and two backward for each; of the
    scores those that are seen."""
    dense = LAYERS * 12 * WIDTH * WIDTH + WIDTH * CHARACTERS
    seen = LAYERS * 2 * WIDTH * (context + 1) // 2
    return 3 * 2 * BATCH * context * (dense + seen)


def frameworks(context: int, products: str = "float32") -> dict[str, Callable[[], Any]]:
    """A function for each framework; operands of products are of a dtype."""
    def within(autocast: Any, lib: Any) -> Any:
        return nullcontext if products == "float32" else lambda: autocast("cpu", getattr(lib, products))

    def torch(compile_model: bool = False) -> Any:
        import torch

        return imperative(context, torch, torch.nn.functional, torch.optim, within(torch.autocast, torch),
                          torch.compile if compile_model else None, fused=True)

    def jax() -> Any:
        import jax

        return functional(context, jax.numpy.array, jax.numpy, JaxWords(jax, products), jax.value_and_grad, jax.jit)

    def pullback() -> Any:
        import pullback as pb

        return functional(context, pb.tensor, pb, TorchWords(pb.nn.functional), pb.value_and_grad, pb.jit,
                          within(pb.train.amp.autocast, pb))

    def pullback_imperative() -> Any:
        import pullback as pb

        return imperative(context, pb, pb.nn.functional, pb.optim, within(pb.train.amp.autocast, pb))

    return {"torch": torch, "torch.compile": lambda: torch(True), "jax": jax, "pullback": pullback,
            "pullback imperative": pullback_imperative, "machine": stepping.arithmetic(operations(context))}

"""The character GPT of context 256 writes: 255 characters, one after the other, from those before, batch 1.

Each framework keeps the keys and values of earlier characters and draws by the probabilities at a temperature of 0.8:
`tokens_s`. jax and pullback write a page in one compiled loop; `call_tokens_s` is their compiled step called from
Python for each character, with NumPy's draw, as torch's are. `losses`: log-sum-exp of the scores along a given text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from workloads.transformer import CHARACTERS, HEADS, LAYERS, WIDTH, JaxWords, Params, TorchWords, parameters

CONTEXT, TEMPERATURE = 256, 0.8
WRITTEN = CONTEXT - 1
LOSS = 1e-4
SHAPE = (1, HEADS, CONTEXT, WIDTH // HEADS)
Step = Callable[[int, int], Any]
clock = time.perf_counter


def drawn(scores: Any, random: Any) -> int:
    """A character by its probability."""
    powers = np.exp((scores - scores.max()).astype(np.float64) / TEMPERATURE)
    return int(random.choice(CHARACTERS, p=powers / powers.sum()))


def by_calls(start: Callable[[], Step]) -> Callable[[], None]:
    """A page, the step called for each character."""
    def write() -> None:
        step, random, token = start(), np.random.default_rng(0), 1
        for position in range(WRITTEN):
            token = drawn(step(token, position), random)

    return write


def rate(write: Callable[[], None], seconds: float) -> float:
    """Characters a second: the median over pages."""
    found: list[float] = []
    end = clock() + seconds
    while len(found) < 3 or clock() < end:
        began = clock()
        write()
        found.append(WRITTEN / (clock() - began))
    return sorted(found)[len(found) // 2]


def figures(seconds: float, start: Callable[[], Step], page: Callable[[], None] | None = None) -> dict[str, Any]:
    """What is measured of a step, and of a function that writes a whole page."""
    began = clock()
    step = start()
    text = np.random.RandomState(5).randint(0, CHARACTERS, 24)
    scores = [step(int(c), k) for k, c in enumerate(text)]
    found = {"first_step_s": clock() - began, "losses": [float(np.log(np.exp(scores[k].astype(np.float64)).sum()))
                                                         for k in (0, 7, 15, 23)]}
    write = by_calls(start)
    if page is None:
        pages = rate(write, seconds)
        return {**found, "tokens_s": pages, "call_tokens_s": pages}
    began = clock()
    page()
    return {**found, "first_page_s": clock() - began, "tokens_s": rate(page, seconds),
            "call_tokens_s": rate(write, seconds)}


def scores_of(words: Any, p: Params, token: Any, place: Any, attend: Callable[[int, Any], Any]) -> Any:
    """Scores [1, characters] of the next character; `attend` takes a layer's number and its queries, keys, values."""
    h = words.embedding(token, p["characters"])[:, None] + place
    for k in range(LAYERS):
        z = words.norm(h, p[f"{k}.first.scale"], p[f"{k}.first.shift"])
        z = words.dense(z, p[f"{k}.qkv.weight"], p[f"{k}.qkv.bias"]).reshape((1, 1, 3, HEADS, WIDTH // HEADS))
        z = attend(k, z).reshape((1, 1, WIDTH))
        h = h + words.dense(z, p[f"{k}.project.weight"], p[f"{k}.project.bias"])
        z = words.norm(h, p[f"{k}.second.scale"], p[f"{k}.second.shift"])
        z = words.gelu(words.dense(z, p[f"{k}.up.weight"], p[f"{k}.up.bias"]))
        h = h + words.dense(z, p[f"{k}.down.weight"], p[f"{k}.down.bias"])
    return words.dense(words.norm(h, p["last.scale"], p["last.shift"]), p["head"], None)[:, 0]


def torch(seconds: float) -> dict[str, Any]:
    """Eager: slices of the caches up to the position."""
    import torch as lib

    f = lib.nn.functional
    words, p = TorchWords(f), {name: lib.tensor(value) for name, value in parameters(CONTEXT).items()}

    def start() -> Step:
        caches = [(lib.zeros(SHAPE), lib.zeros(SHAPE)) for _ in range(LAYERS)]

        @lib.inference_mode()
        def step(token: int, position: int) -> Any:
            def attend(layer: int, qkv: Any) -> Any:
                q, k, v = qkv.permute((2, 0, 3, 1, 4))
                keys, values = caches[layer]
                keys[:, :, position], values[:, :, position] = k[:, :, 0], v[:, :, 0]
                seen = position + 1
                return f.scaled_dot_product_attention(q, keys[:, :, :seen], values[:, :, :seen])

            return scores_of(words, p, lib.tensor([token]), p["positions"][position], attend)[0].numpy()

        return step

    return figures(seconds, start)


def torch_compile(seconds: float) -> dict[str, Any]:
    """One compiled step for all positions: the whole caches, with a mask."""
    import torch as lib

    f = lib.nn.functional
    words, p = TorchWords(f), {name: lib.tensor(value) for name, value in parameters(CONTEXT).items()}

    @lib.compile
    def scores(token: Any, position: Any, caches: Any) -> Any:
        seen = (lib.arange(CONTEXT) <= position)[None, None, None]

        def attend(layer: int, qkv: Any) -> Any:
            q, k, v = qkv.permute((2, 0, 3, 1, 4))
            keys, values = caches[layer]
            keys.index_copy_(2, position, k)
            values.index_copy_(2, position, v)
            return f.scaled_dot_product_attention(q, keys, values, attn_mask=seen)

        return scores_of(words, p, token, p["positions"][position], attend)[0]

    def start() -> Step:
        caches = [(lib.zeros(SHAPE), lib.zeros(SHAPE)) for _ in range(LAYERS)]

        @lib.inference_mode()
        def step(token: int, position: int) -> Any:
            return scores(lib.tensor([token]), lib.tensor([position]), caches).numpy()

        return step

    return figures(seconds, start)


class Vectors(JaxWords):
    """One character as a vector, weights [in, out]: XLA reads them four times as fast as [out, in], and twice as fast
    as beside a batch and a length of one."""

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return x @ w if b is None else x @ w + b

    def scores(self, p: Params, token: Any, position: Any, caches: Any) -> tuple[Any, Any]:
        """Scores of the next character, and the caches with this one's keys and values."""
        seen, new = self.np.arange(CONTEXT) <= position, list[Any]()
        put = self.jax.lax.dynamic_update_index_in_dim
        h = p["characters"][token] + p["positions"][position]
        for k in range(LAYERS):
            z = self.norm(h, p[f"{k}.first.scale"], p[f"{k}.first.shift"])
            z = self.dense(z, p[f"{k}.qkv.weight"], p[f"{k}.qkv.bias"]).reshape((3, HEADS, WIDTH // HEADS))
            keys, values = (put(cache, one, position, 1) for cache, one in zip(caches[k], z[1:], strict=True))
            new.append((keys, values))
            z = self.np.where(seen, self.np.einsum("hd,hcd->hc", z[0], keys) / SHAPE[-1]**0.5, -self.np.inf)
            z = self.np.einsum("hc,hcd->hd", self.jax.nn.softmax(z), values).reshape((WIDTH,))
            h = h + self.dense(z, p[f"{k}.project.weight"], p[f"{k}.project.bias"])
            z = self.norm(h, p[f"{k}.second.scale"], p[f"{k}.second.shift"])
            z = self.gelu(self.dense(z, p[f"{k}.up.weight"], p[f"{k}.up.bias"]))
            h = h + self.dense(z, p[f"{k}.down.weight"], p[f"{k}.down.bias"])
        return self.dense(self.norm(h, p["last.scale"], p["last.shift"]), p["head"], None), new


def jax(seconds: float) -> dict[str, Any]:
    """A jitted step that is given its caches; a page by `lax.scan` over it."""
    import jax as lib

    words = Vectors(lib)
    first = {name: lib.numpy.asarray(value.T.copy() if name.endswith(("weight", "head")) else value)
             for name, value in parameters(CONTEXT).items()}

    def empty() -> Any:
        return [(lib.numpy.zeros(SHAPE[1:]), lib.numpy.zeros(SHAPE[1:])) for _ in range(LAYERS)]

    @lib.jit
    def page(p: Params, key: Any) -> Any:
        def one(state: Any, position: Any) -> Any:
            token, key, caches = state
            found, caches = words.scores(p, token, position, caches)
            key, mine = lib.random.split(key)
            token = lib.random.categorical(mine, found / TEMPERATURE)
            return (token, key, caches), token

        start = lib.numpy.int32(1), key, empty()
        return lib.lax.scan(one, start, lib.numpy.arange(WRITTEN))[1]

    stepped = lib.jit(words.scores, donate_argnums=3)

    def start() -> Step:
        caches = empty()

        def step(token: int, position: int) -> Any:
            nonlocal caches
            found, caches = stepped(first, token, position, caches)
            return np.asarray(found)

        return step

    return figures(seconds, start, lambda: page(first, lib.random.PRNGKey(0)).block_until_ready())


def pullback(seconds: float) -> dict[str, Any]:
    """A jitted step that writes its caches in place; a page by `pb.scan` over it."""
    import pullback as pb

    f = pb.nn.functional
    words, p = TorchWords(f), {name: pb.tensor(value) for name, value in parameters(CONTEXT).items()}

    def scores(token: Any, position: Any, caches: Any) -> Any:
        seen = pb.arange(CONTEXT) <= position

        def attend(layer: int, qkv: Any) -> Any:
            q, k, v = qkv.permute((2, 0, 3, 1, 4))
            keys, values = caches[layer]
            keys[:, :, position], values[:, :, position] = k[:, :, 0], v[:, :, 0]
            return f.scaled_dot_product_attention(q, keys, values, attn_mask=seen)

        return scores_of(words, p, token, p["positions"][position], attend)[0]

    def empty() -> Any:
        return [(pb.zeros(SHAPE), pb.zeros(SHAPE)) for _ in range(LAYERS)]

    @pb.jit
    def page(chances: Any) -> Any:
        def one(state: Any, given: Any) -> Any:
            token, caches = state
            chance, position = given
            below = pb.softmax(scores(token[None], position, caches) / TEMPERATURE, 0).cumsum(0)
            token = (below <= chance * below[-1]).sum().astype(pb.int32)
            return (token, caches), token

        return pb.scan(one, (pb.tensor(1, dtype=pb.int32), empty()), (chances, pb.arange(WRITTEN)))[1]

    stepped = pb.jit(scores)

    def start() -> Step:
        caches = empty()
        return lambda token, position: stepped(np.array([token], np.int32), position, caches).numpy()

    random = np.random.default_rng(0)
    return figures(seconds, start, lambda: page(random.random(WRITTEN).astype(np.float32)).numpy())


FRAMEWORKS = {"torch": torch, "torch.compile": torch_compile, "jax": jax, "pullback": pullback}

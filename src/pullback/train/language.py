"""A small language model of characters, what it writes, and a callback that shows that as it learns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from pullback.api.creation import arange, tensor, zeros
from pullback.engine.control import no_grad
from pullback.engine.jit import jit
from pullback.nn import Embedding, LayerNorm, Linear, Module, ModuleList, init
from pullback.nn import functional as F
from pullback.train.callbacks import Callback
from pullback.util.errors import ValueError_, message

if TYPE_CHECKING:
    from pullback.train.loop import Run

SPREAD = 0.02  # standard deviation of the initial embeddings


class _Block(Module):
    """Causal attention and a feed-forward network, each added to what it reads (Radford et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attend, self.project = Linear(width, 3 * width), Linear(width, width)
        self.up, self.down = Linear(width, 4 * width), Linear(4 * width, width)

    def split(self, x: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values [batch, heads, length, features] of [batch, length, width]."""
        batch, length, width = x.shape
        parts = self.attend(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        return q, k, v

    def finish(self, x: Any, found: Any) -> Any:
        x = x + self.project(found.transpose(1, 2).reshape(*x.shape))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def forward(self, x: Any) -> Any:
        q, k, v = self.split(x)
        return self.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def decode(self, x: Any, keys: Any, values: Any, position: Any) -> Any:
        """One more token; keys and values hold those of earlier ones and take its own."""
        q, k, v = self.split(x)
        keys[:, :, position], values[:, :, position] = k[:, :, 0], v[:, :, 0]
        seen = arange(keys.shape[2]) <= position
        return self.finish(x, F.scaled_dot_product_attention(q, keys, values, attn_mask=seen))


class CharGPT(Module):
    """A decoder of `depth` blocks: tokens int[batch, length] to scores [batch, kinds, length] of the token after each.

    `length` is at most `context`. Example: `CharGPT(65, context=64)(pb.zeros(2, 64, dtype=pb.int32)).shape`.
    """

    def __init__(self, kinds: int, context: int = 128, width: int = 128, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise ValueError_(message("CharGPT: heads must share the width evenly",
                                      [("width", str(width)), ("heads", str(heads))], "heads=4"))
        self.context, self.width, self.heads = context, width, heads
        self.tokens, self.positions = Embedding(kinds, width), Embedding(context, width)
        self.blocks = ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm, self.head = LayerNorm(width), Linear(width, kinds, bias=False)
        for embedding in (self.tokens, self.positions):
            init.normal_(embedding.weight, 0.0, SPREAD)

    def forward(self, tokens: Any) -> Any:
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError_(message("CharGPT: more tokens than the model can look back on",
                                      [("tokens", str(tuple(tokens.shape))), ("context", str(self.context))],
                                      f"tokens[:, -{self.context}:]"))
        x = self.tokens(tokens) + self.positions.weight[:length]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).transpose(1, 2)

    def decode(self, token: Any, position: Any, caches: Sequence[Any]) -> Any:
        """Scores [batch, kinds] after one more token int[batch] at `position`; caches are written in place."""
        x = self.tokens(token)[:, None] + self.positions.weight[position]
        for k, block in enumerate(self.blocks):
            x = block.decode(x, caches[2 * k], caches[2 * k + 1], position)
        return self.head(self.norm(x))[:, 0]

    def caches(self, batch: int = 1) -> list[Any]:
        """Room for the keys and values of each block."""
        shape = (batch, self.heads, self.context, self.width // self.heads)
        return [zeros(*shape) for _ in range(2 * len(self.blocks))]


class Writer:
    """Continues a row of tokens one at a time; the step is compiled once."""

    def __init__(self, model: CharGPT) -> None:
        self.model = model
        self._step = jit(model.decode)

    def write(self, prompt: Sequence[int], count: int, temperature: float = 0.8, seed: int = 0) -> list[int]:
        """`count` tokens after the prompt, drawn by their probabilities; of a temperature of 0 the likeliest."""
        if not len(prompt):
            raise ValueError_(message("write: there is no token to begin with", help="prompt=[0]"))
        random = np.random.default_rng(seed)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                return self._continue([int(t) for t in prompt], count, temperature, random)
        finally:
            self.model.train(training)

    def _continue(self, row: list[int], count: int, temperature: float, random: np.random.Generator) -> list[int]:
        end = len(row) + count
        caches = self.model.caches()
        first = max(len(row) - self.model.context, 0)  # what stands at position 0
        at = first
        while True:
            scores = self._step(tensor([row[at]]), tensor(at - first), caches)
            at += 1
            if at == len(row):
                row.append(_drawn(scores.numpy()[0], temperature, random))
            if len(row) >= end:
                return row[len(row) - count:] if count else []
            if at - first == self.model.context:  # full: begin again with the later half
                first = at = at - self.model.context // 2


def _drawn(scores: Any, temperature: float, random: np.random.Generator) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    logits = scores.astype(np.float64) / temperature
    weights = np.exp(logits - logits.max())
    return int(random.choice(len(weights), p=weights / weights.sum()))


class Samples(Callback):
    """After each epoch: the loss on held-out text, and what the model writes."""

    def __init__(self, letters: str, prompt: str, count: int = 240, stream: TextIO | None = None) -> None:
        self.letters, self.prompt, self.count, self.stream = letters, prompt, count, stream
        self.writer: Writer | None = None

    def epoch_ended(self, run: Run) -> None:
        if self.writer is None:
            self.writer = Writer(run.model)
        found = self.writer.write([self.letters.index(c) for c in self.prompt], self.count, seed=run.epoch)
        text = self.prompt + "".join([self.letters[k] for k in found])
        loss = run.measured.last("held_out_loss")
        print(f"-- epoch {run.epoch}, held-out loss {loss:.3f} " + "-" * 40 + f"\n{text.strip()}\n",
              file=self.stream or sys.stdout, flush=True)

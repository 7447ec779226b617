"""A small language model of characters, what it writes, and a callback that shows that as it learns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from pullback.api.creation import arange, tensor, zeros
from pullback.api.elementwise import where
from pullback.engine.control import no_grad, while_loop
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
    """Continues a row of tokens; one program writes them all, each from those before and what is kept of them."""

    def __init__(self, model: CharGPT) -> None:
        self.model = model
        self._write = jit(self._filled)

    def write(self, prompt: Sequence[int], count: int, temperature: float = 0.8, seed: int = 0) -> list[int]:
        """`count` tokens after the prompt, drawn by their probabilities; of a temperature of 0 the likeliest."""
        if not len(prompt):
            raise ValueError_(message("write: there is no token to begin with", help="prompt=[0]"))
        random = np.random.default_rng(seed)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                return self._continue([int(t) for t in prompt], count, float(max(temperature, 0.0)), random)
        finally:
            self.model.train(training)

    def _continue(self, row: list[int], count: int, temperature: float, random: np.random.Generator) -> list[int]:
        context, end = self.model.context, len(row) + count
        first = max(len(row) - context, 0)  # what stands at position 0
        while len(row) < end:
            known, stop = len(row) - first, min(end - first, context + 1)
            page, chances = np.zeros(context + 1, np.int32), np.zeros(context + 1, np.float32)
            page[:known], chances[known:stop] = row[first:], random.random(stop - known)
            row += self._write(page, chances, known, stop, temperature).numpy()[known:stop].tolist()
            first = len(row) - 1 - context // 2  # full: begin again with the later half
        return row[end - count:]

    def _filled(self, page: Any, chances: Any, known: Any, stop: Any, temperature: Any) -> Any:
        """A page int[context + 1] of which `known` tokens are given, written up to `stop`."""

        def one(state: Any) -> Any:
            at, page, caches = state
            scores = self.model.decode(page[at].reshape(1), at, caches)[0]
            chosen = where(temperature > 0, _drawn(scores, chances[at + 1], temperature), scores.argmax())
            page[at + 1] = where(at + 1 < known, page[at + 1], chosen.astype(page.dtype))
            return at + 1, page, caches

        start = tensor(0), page, self.model.caches()
        return while_loop(lambda state: state[0] + 1 < stop, one, start)[1]


def _drawn(scores: Any, chance: Any, temperature: Any) -> Any:
    """The first token up to which the probabilities sum up to more than a number in [0, 1)."""
    below = F.softmax(scores / where(temperature > 0, temperature, 1.0), 0).cumsum(0)
    return (below <= chance * below[-1]).sum().clip(0, scores.shape[0] - 1)


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

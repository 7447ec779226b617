"""A character GPT on Shakespeare: `python shakespeare.py [torch]` prints seconds until held-out text costs 1.75 nats.

434 thousand weights, windows of 128 characters, batches of 32. PyTorch and Pullback run the same lines on the same
windows.
"""

from __future__ import annotations

import gzip
import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

TEXT = Path(__file__).parents[1] / "src" / "pullback" / "data" / "shakespeare.txt.gz"
WANTED, LIMIT, RATE = 1.75, 1500, 3e-3
WIDTH, HEADS, DEPTH, WINDOW, BATCH, HELD_OUT, EVERY = 128, 4, 2, 128, 32, 256, 50


def texts() -> tuple[Any, Any, int]:
    """Train and held-out text as numbers, and how many kinds there are: the last tenth of each play is held out."""
    plays = gzip.decompress(TEXT.read_bytes()).split(b"\f")
    kinds, numbers = np.unique(np.frombuffer(b"\n".join(plays), np.uint8), return_inverse=True)
    parts: tuple[list[Any], list[Any]] = ([], [])
    at = 0
    for play in plays:
        cut, end = at + len(play) * 9 // 10, at + len(play)
        parts[0].append(numbers[at:cut])
        parts[1].append(numbers[cut:end])
        at = end + 1
    return np.concatenate(parts[0]), np.concatenate(parts[1]), len(kinds)


def network(nn: Any, kinds: int) -> Any:
    F = nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attend, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            b, t, w = x.shape
            q, k, v = self.attend(self.norm1(x)).reshape(b, t, 3, HEADS, w // HEADS).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(y.transpose(1, 2).reshape(b, t, w))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(kinds, WIDTH), nn.Embedding(WINDOW, WIDTH)
            nn.init.normal_(self.tokens.weight, 0.0, 0.02)
            nn.init.normal_(self.places.weight, 0.0, 0.02)
            self.blocks = nn.ModuleList([Block() for _ in range(DEPTH)])
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, kinds, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.tokens(tokens) + self.places.weight
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)).reshape(-1, kinds)

    return GPT()


def train(lib: Any, nn: Any, optim: Any, seed: int = 0) -> None:
    """Until the held-out loss is what is wanted."""
    F = nn.functional
    text, held, kinds = texts()
    lib.manual_seed(seed)
    model = network(nn, kinds)
    extra = {}
    if lib.__name__ == "torch":
        lib.set_num_threads(2)
        extra = {"fused": True}
    optimizer = optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05, **extra)
    random, places = np.random.default_rng(seed), np.arange(WINDOW + 1)
    tests = held[:HELD_OUT * WINDOW].reshape(-1, 32, WINDOW), held[1:HELD_OUT * WINDOW + 1].reshape(-1, 32, WINDOW)
    began = time.perf_counter()
    for step in range(1, LIMIT + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(step / 50, 1.0)
        piece = text[random.integers(0, len(text) - WINDOW, (BATCH, 1)) + places]
        x, y = lib.tensor(piece[:, :-1]), lib.tensor(piece[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if step % EVERY == 0:
            with lib.no_grad():
                found = np.mean([F.cross_entropy(model(lib.tensor(a)), lib.tensor(b.reshape(-1))).item()
                                 for a, b in zip(*tests, strict=True)])
            seconds = time.perf_counter() - began
            print(f"{lib.__name__}  step {step}  held-out loss {found:.3f}  {seconds:.1f} s", flush=True)
            if found <= WANTED:
                return


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "pullback"
    train(*(importlib.import_module(name + part) for part in ("", ".nn", ".optim")))

"""Loops in which something else is new at each step: places, shapes, lengths of games. Whole loops from nothing.

`python benchmarks/varying.py --peers-python PEERS/bin/python`. Each loop runs in a fresh process of PyTorch and of
Pullback, with an empty cache and then with the one it left, in turn: seconds of the first 20 steps, milliseconds of a
later one (the median of the last 20).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

STEPS, SHOWN = 60, 20
Step = Callable[[int], Any]


def images(torch: Any, change: Callable[..., Any]) -> Step:
    """A small convolutional network on images that are changed at random places."""
    nn, f, g = torch.nn, torch.nn.functional, random.Random(0)
    x, y = torch.randn(512, 3, 40, 40), torch.randint(0, 10, (512,))
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 256, 10))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def step(k: int) -> None:
        at = 64 * (k % 8)
        loss = f.cross_entropy(net(change(torch, g, x[at:at + 64])), y[at:at + 64])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def crop(torch: Any, g: random.Random, x: Any) -> Any:
    i, j = g.randint(0, 8), g.randint(0, 8)
    return x[:, :, i:i + 32, j:j + 32]


def crop_padded(torch: Any, g: random.Random, x: Any) -> Any:
    i, j = g.randint(0, 8), g.randint(0, 8)
    return torch.nn.functional.pad(x[:, :, 4:36, 4:36] / 2, (4, 4, 4, 4))[:, :, i:i + 32, j:j + 32]


def crop_each(torch: Any, g: random.Random, x: Any) -> Any:
    places = [(g.randint(0, 8), g.randint(0, 8)) for _ in range(len(x))]
    return torch.stack([x[k, :, i:i + 32, j:j + 32] for k, (i, j) in enumerate(places)])


def box(g: random.Random) -> tuple[slice, slice]:
    i, j = g.randint(0, 16), g.randint(0, 16)
    return slice(i, i + g.randint(4, 12)), slice(j, j + g.randint(4, 12))


def erase(torch: Any, g: random.Random, x: Any) -> Any:
    x = x[:, :, :32, :32].clone()
    for k in range(len(x)):
        rows, columns = box(g)
        x[k, :, rows, columns] = 0
    return x


def mix(torch: Any, g: random.Random, x: Any) -> Any:
    x, (rows, columns) = x[:, :, :32, :32].clone(), box(g)
    x[:, :, rows, columns] = x[torch.randperm(len(x))][:, :, rows, columns]
    return x


def resize(torch: Any, g: random.Random, x: Any) -> Any:
    rows, columns = box(g)
    return torch.nn.functional.interpolate(x[:, :, rows, columns], size=(32, 32), mode="bilinear")


def shift(torch: Any, g: random.Random, x: Any) -> Any:
    return torch.roll(x[:, :, :32, :32], (g.randint(-4, 4), g.randint(-4, 4)), (2, 3))


def pairs(torch: Any) -> Step:
    """Rows of two tables, moved towards each other."""
    left, right = (torch.randn(500, 32, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([left, right], 0.1)

    def step(k: int) -> None:
        loss = -torch.log(torch.sigmoid(left[7 * k % 500] @ right[(13 * k + 1) % 500]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def game(torch: Any) -> Step:
    """Policy gradients of games of 10 to 60 moves, each of which is asked for."""
    nn, g = torch.nn, random.Random(0)
    net = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)

    def step(_: int) -> None:
        terms = list[Any]()
        for n in range(g.randint(10, 60)):
            chances = torch.distributions.Categorical(logits=net(torch.randn(4)))
            move = chances.sample()
            terms.append(-chances.log_prob(move) * (0.99 ** n + move.item()))
        loss = torch.stack(terms).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def names(torch: Any) -> Step:
    """A recurrent network by hand on names of 2 to 19 characters, and its update by `.data`."""
    nn, g = torch.nn, random.Random(0)
    first, own, last = nn.Linear(57, 128), nn.Linear(128, 128), nn.Linear(128, 18)
    params = [p for layer in (first, own, last) for p in layer.parameters()]

    def step(_: int) -> None:
        x, h = torch.zeros(g.randint(2, 19), 1, 57), torch.zeros(1, 128)
        for k in range(len(x)):
            x[k][0][g.randint(0, 56)] = 1
        for row in range(x.size()[0]):
            h = torch.tanh(first(x[row]) + own(h))
        loss = nn.functional.cross_entropy(last(h), torch.tensor([g.randint(0, 17)]))
        for p in params:
            p.grad = None
        loss.backward()
        for p in params:
            p.data.add_(p.grad.data, alpha=-0.005)
        loss.item()

    return step


def lengths(torch: Any) -> Step:
    """An LSTM on batches of sequences, 10 to 60 long: each length is another shape, and another program."""
    nn, g = torch.nn, random.Random(0)
    table, net, head = nn.Embedding(100, 64), nn.LSTM(64, 128, batch_first=True), nn.Linear(128, 5)
    optimizer = torch.optim.Adam([*table.parameters(), *net.parameters(), *head.parameters()], 1e-3)

    def step(_: int) -> None:
        x, y = torch.randint(0, 100, (16, g.randint(10, 60))), torch.randint(0, 5, (16,))
        loss = nn.functional.cross_entropy(head(net(table(x))[0][:, -1]), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


LOOPS: dict[str, Callable[[Any], Step]] = {
    **{kind.__name__: (lambda torch, kind=kind: images(torch, kind))
       for kind in (crop, crop_padded, crop_each, erase, mix, resize, shift)},
    "pairs": pairs, "game": game, "names": names, "lengths": lengths}


def run(framework: str, name: str) -> None:
    """Time a loop in this process."""
    from importlib import import_module

    torch = import_module("pullback.torch" if framework == "pullback" else "torch")
    if framework == "torch":
        torch.set_num_threads(2)
    torch.manual_seed(0)
    step, times = LOOPS[name](torch), list[float]()
    for k in range(STEPS):
        start = time.perf_counter()
        step(k)
        times.append(time.perf_counter() - start)
    print(json.dumps([sum(times[:SHOWN]), 1e3 * statistics.median(times[-SHOWN:])]))


def child(python: str, *arguments: str, **environment: str) -> list[float]:
    found = subprocess.run([python, os.path.abspath(__file__), "--run", *arguments], capture_output=True, text=True,
                           env={**os.environ, **environment}, check=False)
    if found.returncode:
        sys.exit(found.stderr)
    return json.loads(found.stdout.strip().splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loops", nargs="?", default=",".join(LOOPS), help="by commas (default: all)")
    parser.add_argument("--peers-python", default=os.environ.get("BENCH_PYTHON", sys.executable))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("FRAMEWORK", "LOOP"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return 0
    unknown = [name for name in options.loops.split(",") if name not in LOOPS]
    if unknown:
        print(f"no such loop: {', '.join(unknown)}; there are {', '.join(LOOPS)}")
        return 2
    heads = ("loop", "first 20 steps, s", "with a cache, s", "PyTorch, s", "a later step, ms", "PyTorch, ms", "of it")
    print(f"| {' | '.join(heads)} |\n| {' | '.join('---' for _ in heads)} |", flush=True)
    for name in options.loops.split(","):
        rounds = list[list[float]]()
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as cache:
                theirs = child(options.peers_python, "torch", name)
                cold, warm = (child(sys.executable, "pullback", name, PULLBACK_CACHE_DIR=cache) for _ in range(2))
            rounds.append([cold[0], warm[0], theirs[0], warm[1], theirs[1], warm[1] / theirs[1]])
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"| {name} | {' | '.join(f'{x:.2f}' for x in medians)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

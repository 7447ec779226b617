"""First steps of fresh processes, in turn: with an empty cache, with the cache that this one filled, and of jax.jit.

`python benchmarks/first_steps.py gpt_128 --peers-python PEERS/bin/python`. What a process spends beyond its first
step's own arithmetic (recording, compiling or finding the program, memory) is its start: the first step less a later
one. Where memory comes from the host page by page, a process may wait half a second for it: hence rounds and quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from report import TITLES  # noqa: E402
from run import Bench  # noqa: E402
from targets import MINE, NETWORKS  # noqa: E402

PEER = "jax"
HEADS = ("work", "style", "cold, of jax's", "warm, of jax's", "start, second of first", "first step, second of first",
         "jax, s", "cold, s", "warm, s", "cold start, s", "warm start, s")
Round = dict[str, dict[str, Any]]


def one_round(bench: Bench, group: str) -> Round:
    """The figures of a process of each: of Pullback's styles with an empty cache, then with what it left."""
    found: Round = {}
    caches = {mine: tempfile.mkdtemp(dir=bench.folder) for mine in MINE}
    if bench.available(PEER):
        found[PEER] = child(bench, group, PEER)
    for kind in ("cold", "warm"):
        for mine, cache in caches.items():
            found[f"{mine} {kind}"] = child(bench, group, mine, PULLBACK_CACHE_DIR=cache)
    return found


def child(bench: Bench, group: str, framework: str, **environment: str) -> dict[str, Any]:
    output, _ = bench.start(bench.python(framework), os.path.join(HERE, "child.py"), group, framework, "0.01",
                            **environment)
    return json.loads(output.strip().splitlines()[-1])


def quartiles(values: list[float]) -> str:
    values = sorted(values)
    quarter = len(values) // 4
    return f"{statistics.median(values):.3f} ({values[quarter]:.3f} - {values[-1 - quarter]:.3f})" if values else "-"


def row(group: str, mine: str, rounds: list[Round]) -> str:
    """A line of the table: ratios of each round, and everyone's median seconds."""
    def over(key: str, other: str, figure: str) -> str:
        return quartiles([one[key][figure] / one[other][figure] for one in rounds if other in one])

    def seconds(key: str, figure: str) -> str:
        values = [one[key][figure] for one in rounds if key in one]
        return f"{statistics.median(values):.3g}" if values else "-"

    cold, warm = f"{mine} cold", f"{mine} warm"
    cells = [TITLES[group], mine, over(cold, PEER, "first_step_s"), over(warm, PEER, "first_step_s"),
             over(warm, cold, "start_s"), over(warm, cold, "after_making_s"), seconds(PEER, "first_step_s"),
             seconds(cold, "first_step_s"), seconds(warm, "first_step_s"), seconds(cold, "start_s"),
             seconds(warm, "start_s")]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", help=f"by commas, of: mlp_adam, {', '.join(NETWORKS)}")
    parser.add_argument("--peers-python", default=os.environ.get("BENCH_PYTHON", sys.executable),
                        help="interpreters that have jax, by commas (default: $BENCH_PYTHON, else this one)")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    groups: list[str] = options.groups.split(",")
    unknown = [group for group in groups if group not in ("mlp_adam", *NETWORKS)]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are mlp_adam, {', '.join(NETWORKS)}")
        return 2
    print(f"| {' | '.join(HEADS)} |\n| {' | '.join('---' for _ in HEADS)} |", flush=True)
    for group in groups:
        rounds: list[Round] = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(one_round(Bench(options, folder), group))
        print(*[row(group, mine, rounds) for mine in MINE], sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

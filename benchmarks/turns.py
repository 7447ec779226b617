"""Training steps of several frameworks in turn, each in a process that lives through all rounds.

Where neighbours share a machine's cores, processes measured one after the other meet different machines. Here every
framework takes a few steps before any takes more, so that those of a round meet the same one, and the ratio of a round
is steadier than any time: `python benchmarks/turns.py lstm,gpt_128 --peers-python PEERS/bin/python`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from report import TITLES  # noqa: E402
from run import Bench  # noqa: E402
from targets import MINE, NETWORKS  # noqa: E402
from workloads import workload_of  # noqa: E402

WORKLOADS = ("mlp_adam", *NETWORKS)
PEERS = ("torch", "torch.compile", "jax")
CALM = 0.2  # seconds for a framework's threads to fall asleep before another one's turn
Rounds = list[dict[str, float]]


def serve(group: str, framework: str) -> None:
    """A measured process: for each line with a number of seconds, the median time of a step in so long.

    Training begins anew after the workload's number of steps: gradients of what is learnt by heart are too small for
    normal numbers, which takes all frameworks twice the time.
    """
    workload = workload_of(group)
    reset, step, read = workload.FRAMEWORKS[framework]()
    taken = 0
    for line in sys.stdin:
        end = time.perf_counter() + float(line)
        found: list[float] = []
        while len(found) < 3 or time.perf_counter() < end:
            if taken % workload.STEPS == 0:
                reset()
            start = time.perf_counter()
            read(step(taken % workload.STEPS))
            found.append(time.perf_counter() - start)
            taken += 1
        print(json.dumps(statistics.median(found)), flush=True)


class Turn:
    """One framework's process."""

    def __init__(self, bench: Bench, group: str, framework: str) -> None:
        self.name = framework
        command = [bench.python(framework), os.path.join(HERE, "turns.py"), group, "--serve", framework]
        self.process = subprocess.Popen(command, env=bench.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def step(self, seconds: float) -> float:
        """The median time of a step in so many seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(seconds, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: its process ended; its own run tells more (turns.py GROUP --serve NAME)")
        time.sleep(CALM)
        return float(json.loads(line))


def rounds_of(bench: Bench, group: str, options: argparse.Namespace) -> Rounds:
    """Seconds of a step of each framework, round after round; each begins with another one."""
    names = [n for n in options.frameworks.split(",") if n in workload_of(group).FRAMEWORKS and bench.available(n)]
    turns = {name: Turn(bench, group, name) for name in names}
    found: Rounds = []
    try:
        for name in names:
            turns[name].step(0.0)
        for number in range(options.rounds):
            first = number % len(names)
            found.append({name: turns[name].step(options.seconds) for name in names[first:] + names[:first]})
    finally:
        for turn in turns.values():
            turn.process.kill()
    return found


def row(group: str, found: Rounds) -> str:
    """A line of the table: ratios to the best peer of each round, and everyone's median time."""
    cells = [TITLES[group]]
    for mine in MINE:
        ratios = sorted(one[mine] / min(one[p] for p in PEERS if p in one) for one in found
                        if mine in one and any(p in one for p in PEERS))
        quarter = len(ratios) // 4
        cells.append(f"{statistics.median(ratios):.3f} ({ratios[quarter]:.3f} - {ratios[-1 - quarter]:.3f})"
                     if ratios else "-")
    for name in (*MINE, *PEERS):
        times = [one[name] for one in found if name in one]
        cells.append(f"{statistics.median(times) * 1e3:.4g}" if times else "-")
    return f"| {' | '.join(cells)} |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", help=f"by commas, of: {', '.join(WORKLOADS)}")
    parser.add_argument("--frameworks", default=",".join((*MINE, *PEERS)), help="names, by commas")
    parser.add_argument("--peers-python", default=os.environ.get("BENCH_PYTHON", sys.executable),
                        help="interpreters that have the peers, by commas (default: $BENCH_PYTHON, else this one)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a framework's turn")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = parse()
    groups: list[str] = options.groups.split(",")
    unknown = [group for group in groups if group not in WORKLOADS]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
        return 2
    if options.serve:
        serve(groups[0], options.serve)
        return 0
    heads: list[Any] = ["work", *(f"{name}, ratio (quartiles)" for name in MINE)]
    heads += [f"{name}, ms" for name in (*MINE, *PEERS)]
    print(f"| {' | '.join(heads)} |\n| {' | '.join('---' for _ in heads)} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for group in groups:
            print(row(group, rounds_of(bench, group, options)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

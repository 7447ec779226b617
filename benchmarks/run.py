"""Pullback beside its peers: see README.md in this folder."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from documents import Program, programs, run_program  # noqa: E402
from report import markdown, target_row, updated  # noqa: E402
from targets import DIALECTS, MINE, NETWORKS, PROGRAMS, Round, answers, disagreements  # noqa: E402
from workloads import workload_of  # noqa: E402

SLOW = ("torch.compile", "tinygrad", "tensorflow")
GROUPS = ("machine", "imports", *PROGRAMS, "mlp_adam", *NETWORKS, *(f"whole {name}" for name in PROGRAMS), "matmul",
          "vector_math", "fused_mean", "attention", "generate",
          "costs", "memory", *(f"dialects {name}" for name in PROGRAMS), "documents")
EXTRA = ("install",)
PACKAGES = {**dict.fromkeys((*MINE, *DIALECTS), "pullback"), "torch.compile": "torch", "machine": "numpy"}
LIMIT_SECONDS = 600.0


class Bench:
    """The interpreters, the environment of a measured process, and which frameworks are there."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options, self.folder = options, folder
        self.versions: dict[str, str] = {}
        self.failed: list[str] = []
        self.peers: dict[tuple[str, ...], str] = {}
        self.others = 0.0  # cores that other processes used during the last measured one
        source = os.path.join(os.path.dirname(HERE), "src")
        self.environment = {**os.environ, "PULLBACK_CACHE_DIR": os.path.join(folder, "warm"),
                            "PYTHONPATH": os.pathsep.join([source, HERE, os.environ.get("PYTHONPATH", "")]),
                            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                             "PULLBACK_NUM_THREADS"), "2")}
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):  # a user's shell has neither
            self.environment.pop(name, None)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # children inherit the two cores

    def python(self, framework: str) -> str:
        """The interpreter for a framework."""
        package = PACKAGES.get(framework, framework)
        return sys.executable if package == "pullback" or framework == "machine" else self.peer(package)

    def peer(self, *packages: str) -> str:
        """The first of the peers' interpreters that has all of these packages; the first of all if none has."""
        if packages not in self.peers:
            code = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {packages!r})))"
            interpreters = self.options.peers_python.split(",")
            self.peers[packages] = next((python for python in interpreters if not subprocess.run(
                [python, "-c", code], env=self.environment, check=False).returncode), interpreters[0])
        return self.peers[packages]

    def start(self, python: str, *arguments: str, **environment: str) -> tuple[str, float]:
        """Run a process to its end: what it printed, and seconds. Notes how many cores others used meanwhile."""
        busy, own = busy_seconds(), sum(os.times()[2:4])
        began = time.perf_counter()
        process = subprocess.Popen([python, *arguments], env={**self.environment, **environment},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = process.communicate(timeout=LIMIT_SECONDS)
        took = time.perf_counter() - began
        if process.returncode != 0:
            raise RuntimeError((errors.strip().splitlines() or [f"ended with {process.returncode}"])[-1])
        self.others = (busy_seconds() - busy - sum(os.times()[2:4]) + own) / took
        return output, took

    def available(self, framework: str) -> bool:
        """Whether the framework is installed; its version is noted."""
        package = PACKAGES.get(framework, framework)
        if package not in self.versions:
            code = (f"import importlib.metadata as m, importlib.util as u; there = u.find_spec({package!r}); "
                    f"print(bool(there) and ({package!r} == 'pullback' or m.version({package!r})))")
            try:
                found = self.start(self.python(framework), "-c", code)[0].strip()
            except (RuntimeError, OSError):
                found = "False"
            self.versions[package] = {"False": "", "True": "(this tree)"}.get(found, found)
        return bool(self.versions[package])

    def measure(self, group: str, framework: str) -> dict[str, Any]:
        """The figures of one framework in one process (for whole programs: one or two)."""
        if not group.startswith("whole "):
            output, _ = self.start(self.python(framework), os.path.join(HERE, "child.py"), group, framework,
                                      str(self.options.seconds))
            return json.loads(output.strip().splitlines()[-1])
        program = os.path.join(HERE, "whole.py"), group.split()[1], framework
        found: dict[str, Any] = {}
        if framework in MINE:
            with tempfile.TemporaryDirectory(dir=self.folder) as cold:
                output, found["cold_s"] = self.start(self.python(framework), *program, PULLBACK_CACHE_DIR=cold)
                output, found["warm_s"] = self.start(self.python(framework), *program, PULLBACK_CACHE_DIR=cold)
        else:
            output, found["warm_s"] = self.start(self.python(framework), *program)
        return {**found, "losses": [float(output.strip().splitlines()[-1])] * 3}

    def frameworks(self, group: str) -> list[str]:
        """Those that have this workload, are wanted and are there."""
        module = workload_of(group)
        wanted = self.options.frameworks.split(",") if self.options.frameworks else [
            name for name in module.FRAMEWORKS if self.options.slow or name not in SLOW]
        found: list[str] = []
        for name in module.FRAMEWORKS:
            if name not in wanted:
                continue
            if self.available(name):
                found.append(name)
            else:
                print(f"  {name} is not installed: left out")
        return found

    def run(self, group: str) -> list[Round]:
        """Rounds of a group, frameworks alternated; one that fails is left out with its error."""
        frameworks = self.frameworks(group)
        tolerance = getattr(workload_of(group), "LOSS", None)
        rounds: list[Round] = []
        for number in range(self.options.rounds):
            one: Round = {}
            turn = number % max(len(frameworks), 1)
            for framework in frameworks[turn:] + frameworks[:turn]:
                try:
                    one[framework] = self.measure(group, framework)
                except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError) as error:
                    self.failed.append(f"{group}: {framework}: {error}"[:300])
                    print(f"  {self.failed[-1]}")
                    one[framework] = {}
                    continue
                one[framework]["others_cores"] = round(self.others, 2)
                busy = f"  (others used {self.others:.1f} cores)" if self.others > 0.1 else ""
                print(f"  round {number + 1}  {framework:<24} {summary(one[framework])}{busy}", flush=True)
            frameworks = [name for name in frameworks if one[name]]
            one = {name: one[name] for name in sorted(one, key=list(one).index) if one[name]}
            for complaint in disagreements(group, one, tolerance) if tolerance is not None else ():
                print(f"  LOSSES DIFFER  {complaint}")
                one.pop(complaint.split(": ")[1].split(" has loss")[0], None)
            rounds.append(one)
        return rounds


def busy_seconds() -> float:
    """CPU seconds of all processes since the machine started; 0 where the system does not say."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def summary(figures: dict[str, Any]) -> str:
    """One line of what was measured."""
    keys = [k for k in ("step_us", "step_min_us", "loop_us", "first_step_s", "cold_s", "warm_s", "us") if k in figures]
    hidden = ("losses", "peak_rss_mb", "others_cores", *(("import_s",) if len(figures) > 6 else ()))
    keys = keys or [k for k in figures if k not in hidden]
    text = "  ".join(f"{k} {figures[k]:.4g}" if isinstance(figures[k], float) else f"{k} {figures[k]}" for k in keys)
    return text if len(text) < 1500 else text[:1500] + " ..."


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"groups, separated by commas, of: {', '.join((*GROUPS, *EXTRA))}; "
                             "none: only write the report of --results")
    parser.add_argument("--frameworks", default="", help="names, separated by commas (default: all but the slow ones)")
    parser.add_argument("--slow", action="store_true", help=f"also {', '.join(SLOW)}")
    parser.add_argument("--peers-python", default=os.environ.get("BENCH_PYTHON", sys.executable),
                        help="interpreters that have the peers, by commas (default: $BENCH_PYTHON, else this one)")
    parser.add_argument("--documents", default=os.path.join(os.path.dirname(HERE), "tests", "dialects"),
                        help="a Markdown document, or a folder of them, whose programs are run as whole processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measured process, after warming up")
    parser.add_argument("--results", default="", help="JSON file that is read first and written after each group")
    parser.add_argument("--write", default="", help="Markdown file for the report")
    return parser.parse_args()


def expanded(group: str, options: argparse.Namespace) -> list[tuple[str, Program | None]]:
    """The groups that a name stands for: of documents, one for each program."""
    if group != "documents":
        return [(group, None)]
    return [(f"documents: {program.title}", program) for program in programs(options.documents)]


def main() -> int:
    options = parse()
    wanted = options.only.split(",") if options.only else list(GROUPS)
    wanted = [] if wanted == ["none"] else wanted
    wanted = [g for w in wanted for g in ((w,) if w not in ("whole", "dialects") else
                                          [g for g in GROUPS if g.startswith(f"{w} ")])]
    unknown = [group for group in wanted if group not in (*GROUPS, *EXTRA)]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join((*GROUPS, *EXTRA))}")
        return 2
    results: dict[str, list[Round]] = {}
    if options.results and os.path.exists(options.results):
        with open(options.results) as file:
            results = json.load(file)
    folder = tempfile.mkdtemp(prefix="pullback-bench-")
    bench = Bench(options, folder)
    try:
        for group, program in [pair for name in wanted for pair in expanded(name, options)]:
            print(group)
            results[group] = run_program(bench, program) if program else bench.run(group)
            if options.results:
                with open(options.results, "w") as file:
                    json.dump(results, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print()
    for answer in answers(results):
        if answer.ratio is not None and answer.target.group.split(": ")[0] in wanted:
            print("  ".join(target_row(answer)))
    if options.write:
        for name in {name for rounds in results.values() for one in rounds for name in one}:
            bench.available(name)
        text = markdown(results, {name: v for name, v in bench.versions.items() if v})
        if options.only and os.path.exists(options.write):
            with open(options.write) as file:
                text = updated(file.read(), text)
        with open(options.write, "w") as file:
            file.write(text)
    for failure in bench.failed:
        print(f"left out, because it failed: {failure}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())

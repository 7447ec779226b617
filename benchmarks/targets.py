"""The figures to reach, as data: what is measured, against whom, and by which factor."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

MINE = ("pullback", "pullback imperative")
#: each dialect and the native style that it corresponds to
DIALECTS = {"torch dialect": MINE[1], "fastai dialect": MINE[1], "jittor dialect": MINE[1], "jax dialect": MINE[0],
            "jax dialect without jit": "pullback without jit", "tensorflow dialect": MINE[0],
            "pullback without jit": ""}
#: frameworks that compile a step, whatever the word for it
COMPILED = ("torch.compile", "jax", "mlx", "tinygrad", "tensorflow")
FRAMEWORKS = ("torch", *COMPILED)
ANY = ("numpy", *FRAMEWORKS)
PROGRAMS = {"two_layer": "two-layer net", "tutorial": "1-128-1 tanh", "small_batch": "batch 50", "line": "line fit"}
NETWORKS = {"conv_net": "conv net 3x3", "lenet": "LeNet", "resnet18": "ResNet-18", "mobile_net": "MobileNetV2 blocks",
            "lstm": "LSTM 128-256", "gpt_128": "GPT 6x384, context 128", "gpt_256": "GPT 6x384, context 256",
            "gpt_bf16": "GPT 6x384, bfloat16 products"}
#: one measured round: framework -> figures
Round = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """`figure` of `mine` shall be at most (`at_least`: at least) `factor` x the best of `peers`."""

    group: str
    text: str
    factor: float
    figure: str
    mine: str = "pullback"
    peers: tuple[str, ...] = ANY
    peer_figure: str = ""
    at_least: bool = False


@dataclass(frozen=True)
class Answer:
    """What became of a target. `ratio` is None where a side was not measured."""

    target: Target
    ratio: float | None
    mine: float | None
    best: float | None
    best_name: str
    spread: tuple[float, float]

    @property
    def reached(self) -> bool | None:
        if self.ratio is None:
            return None
        return self.ratio >= self.target.factor if self.target.at_least else self.ratio <= self.target.factor


def evaluate(target: Target, rounds: list[Round]) -> Answer:
    """The ratio to the best peer of each round, and of those the median."""
    found: list[tuple[float, float, float, str]] = []
    for one in rounds:
        mine = one.get(target.mine, {}).get(target.figure)
        peers = {name: one[name][key] for name in target.peers
                 if (key := target.peer_figure or target.figure) in one.get(name, {})}
        if mine is not None and peers:
            best = (max if target.at_least else min)(peers, key=lambda name: peers[name])
            found.append((mine / peers[best], mine, peers[best], best))
    if not found:
        return Answer(target, None, None, None, "", (0.0, 0.0))
    ratios = [f[0] for f in found]
    names = [f[3] for f in found]
    return Answer(target, statistics.median(ratios), statistics.median(f[1] for f in found),
                  statistics.median(f[2] for f in found), max(set(names), key=names.count), (min(ratios), max(ratios)))


def step_targets() -> list[Target]:
    """The steps of the small programs, compiled and imperative, and the free-running loops."""
    jit = {"two_layer": (("numpy",), 0.8, FRAMEWORKS, 0.4), "tutorial": ((), 0.0, ANY, 0.25),
           "small_batch": (("numpy",), 1.0, FRAMEWORKS, 0.35), "line": (("numpy",), 1.0, FRAMEWORKS, 0.35)}
    found: list[Target] = []
    for name, (numpy, numpy_factor, peers, factor) in jit.items():
        if numpy:
            found.append(Target(name, "step, against NumPy by hand", numpy_factor, "step_us", peers=numpy))
        found.append(Target(name, "step, against the best framework", factor, "step_us", peers=peers))
        found.append(Target(name, "imperative step, against PyTorch eager", 0.4, "step_us", MINE[1], ("torch",)))
        found.append(Target(name, "imperative step, against the best compiled step", 1.0, "step_us", MINE[1], COMPILED))
        found.append(Target(name, "free-running loop, against jax", 1.0, "loop_us", peers=("jax",)))
    for mine in MINE:
        found.append(Target("mlp_adam", f"step of {mine}", 0.8, "step_us", mine))
        for name, factor in (("conv_net", 0.75), ("lenet", 0.75), ("resnet18", 0.9), ("mobile_net", 0.7),
                             ("lstm", 0.85), ("gpt_128", 0.85), ("gpt_256", 0.85), ("gpt_bf16", 0.85)):
            found.append(Target(name, f"step of {mine}", factor, "step_us", mine, FRAMEWORKS))
        for name in ("conv_net", "resnet18", "gpt_128", "gpt_256"):
            found.append(Target(name, f"share of the FMA peak, {mine}", 0.7, "step_us", "machine", (mine,),
                                at_least=True))
        for name in ("mlp_adam", *NETWORKS):
            found.append(Target(name, f"memory of {mine}, MB", 1.0, "growth_mb", mine, FRAMEWORKS))
    return found


def process_targets() -> list[Target]:
    big = ("torch", "jax", "tensorflow")
    found: list[Target] = []
    for name in PROGRAMS:
        for mine in MINE:
            group = f"whole {name}"
            found += [Target(group, f"{mine}, cold cache", 0.5, "cold_s", mine, big, "warm_s"),
                      Target(group, f"{mine}, warm cache", 0.3, "warm_s", mine, big),
                      Target(group, f"{mine}, warm cache, against NumPy", 1.5, "warm_s", mine, ("numpy",))]
    return found


def dialect_targets(results: dict[str, list[Round]]) -> list[Target]:
    """Steps in each dialect beside the native style; whole processes of the documents beside the real framework."""
    found = [Target(f"dialects {name}", f"step, {mine}, against {native}", 1.1, "step_us", mine, (native,))
             for name in PROGRAMS for mine, native in DIALECTS.items() if native]
    for group, rounds in results.items():
        peers = tuple(dict.fromkeys(name for one in rounds for name in one if name != MINE[0]))
        if not group.startswith("documents: "):
            continue
        if peers == ("numpy",):
            found.append(Target(group, "process, warm cache, against Python alone", 1.5, "warm_s", peers=peers))
            continue
        found.append(Target(group, "process, cold cache", 0.5, "cold_s", peers=peers, peer_figure="warm_s"))
        found.append(Target(group, "process, warm cache", 0.3, "warm_s", peers=peers))
    return found


def piece_targets(results: dict[str, list[Round]]) -> list[Target]:
    found = [Target("imports", "import", 1.3, "import_s", peers=("numpy",))]
    shown = {key for one in results.get("matmul", []) for figures in one.values() for key in figures if "x" in key}
    for key in sorted(shown, key=lambda key: (len(key), key)):
        for mine in MINE:
            found.append(Target("matmul", f"{key}, {mine}, GFLOP/s", 1.0, key, mine, ("numpy", "torch", "jax"),
                                at_least=True))
            if all(int(n) >= 512 for n in key.split()[0].split("x")):
                found.append(Target("matmul", f"{key}, {mine}, against the measured FMA peak", 0.9, key, mine,
                                    ("machine",), "fma_gflops", True))
    for name in ("exp", "log", "tanh", "sigmoid", "erf", "sin", "sqrt"):
        for size in ("1M", "16M"):
            found.append(Target("vector_math", f"{name} {size}, elements per ns, against PyTorch", 1.5,
                                f"{name} {size}", peers=("torch",), at_least=True))
        limit = 4.0 if name in ("tanh", "erf") else 2.0
        found.append(Target("vector_math", f"{name}, largest error in ulp", limit, f"{name} ulp", peers=("limit",),
                            peer_figure="one"))
    for mine in MINE:
        found.append(Target("fused_mean", f"{mine}, us, against reading the inputs once", 1.1, "us", mine, ("machine",),
                            "read_inputs_us"))
        found.append(Target("fused_mean", f"{mine}, us, against the best framework", 1.0, "us", mine, ANY))
        for kind in ("us", "causal us"):
            found.append(Target("attention", f"{mine}, forward and backward, {kind}", 0.8, kind, mine, FRAMEWORKS))
        found.append(Target("attention", f"{mine}, growth of the process in MB", 1.0, "growth_mb", mine, FRAMEWORKS))
    found += [Target("generate", text, 1.5, key, peers=FRAMEWORKS, at_least=True) for text, key in (
        ("characters a second", "tokens_s"), ("characters a second, called for each", "call_tokens_s"))]
    budgets = {"record one operation": 2.0, "flush a known graph, per node": 1.0,
               "jitted step, 10 arguments, 1 result": 5.0, "launch of a program in place": 1.0}
    found += [Target("costs", f"{name}, us", budget, name, peers=("limit",), peer_figure="one")
              for name, budget in budgets.items()]
    found += [Target("costs", f"jitted step, {what}, us, against jax", 1.0, f"jitted step, {what}", peers=("jax",))
              for what in ("10 arguments, 10 results", "dict of 10, 10 results")]
    found += [Target("install", "MB downloaded", 90.0, "download_mb", peers=("limit",), peer_figure="one"),
              Target("install", "MB unpacked", 280.0, "unpacked_mb", peers=("limit",), peer_figure="one")]
    return found


def with_limits(results: dict[str, list[Round]]) -> dict[str, list[Round]]:
    """Beside each round, what the machine does, and one for figures that have a fixed limit."""
    machine: dict[str, float] = {}
    for one in results.get("machine", []):
        for key, value in one.get("machine", {}).items():
            machine[key] = max(value, machine.get(key, 0.0))
    if machine:
        machine["read_inputs_us"] = 4 * 4 * 2**22 / machine["read_gb_s"] / 1e3
    return {group: [{**one, "limit": {"one": 1.0}, "machine": {**machine, **one.get("machine", {})}} for one in rounds]
            for group, rounds in results.items()}


def answers(results: dict[str, list[Round]]) -> list[Answer]:
    complete = with_limits(results)
    targets = [*step_targets(), *process_targets(), *dialect_targets(results), *piece_targets(results)]
    return [evaluate(target, complete[target.group]) for target in targets if target.group in complete]


def disagreements(group: str, one: Round, tolerance: float) -> list[str]:
    """Frameworks of a round whose losses are not those of the others (the median)."""
    losses = {name: figures["losses"] for name, figures in one.items() if "losses" in figures}
    found: list[str] = []
    for k in range(max(map(len, losses.values()), default=0)):
        middle = statistics.median(values[k] for values in losses.values())
        for name, values in losses.items():
            if not abs(values[k] - middle) <= tolerance * abs(middle) + 1e-7:
                found.append(f"{group}: {name} has loss {values[k]:.6g} where the others have {middle:.6g}")
    return found

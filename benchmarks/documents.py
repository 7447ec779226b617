"""The programs in Markdown documents, as files that Pullback and the real framework both run.

A document is one program, or several where it is a notebook whose numbering starts again (`In [1]:`). What only a
notebook understands is left out; names that the document uses and imports nowhere are imported in front.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")
#: the package whose real version is wanted, by what a program imports; the first that fits
FRAMEWORKS = ("fastai", "jittor", "tensorflow", "jax", "torch", "numpy")
#: what today's version of a framework needs changed in a program written for an earlier one, and what goes in front
MENDED: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "fastai": ((("x@a, c=", "(x@a).detach(), c="),), ""),
    "torch": ((("loss.data[0]", "loss.item()"),), ""),
    "tensorflow": ((("import tensorflow as tf", "import tensorflow.compat.v1 as tf; tf.disable_eager_execution()"),),
                   ""),
    "jittor": ((), "jittor_scopes.py"),
}


@dataclass(frozen=True)
class Program:
    """A program of a document. `mended` is what today's version of its framework needs, or empty."""

    title: str
    framework: str
    source: str
    mended: str
    packages: tuple[str, ...]


def programs(path: str) -> list[Program]:
    """The programs of a document, or of all documents in a folder."""
    if os.path.isdir(path):
        files = sorted(name for name in os.listdir(path) if name.endswith(".md"))
        return [program for name in files for program in programs(os.path.join(path, name))]
    sys.path.insert(0, SOURCE)
    from pullback.cli.blocks import Block, blocks_of

    with open(path, "rb") as file:
        content = file.read()
    lines = content.decode("utf-8").split("\n")
    found: list[list[Block]] = [[]]
    titles = [os.path.splitext(os.path.basename(path))[0]]
    for block in blocks_of(path, content):
        before = [line.strip() for line in lines[:block.first_line - 1]]
        if "In [1]:" in before[-4:]:
            found.append([])
            titles.append(next(line for line in reversed(before) if line.startswith("#")).strip("# ").replace("`", ""))
        found[-1].append(block)
    return [_program(title, blocks) for title, blocks in zip(titles, found, strict=True) if blocks]


def _program(title: str, blocks: list[Any]) -> Program:
    from pullback.cli.forgotten import forgotten
    from pullback.cli.run import answer_imports

    answer_imports()
    text = "\n\n".join(str(block.source).rstrip() for block in blocks) + "\n"
    missing = [f"import {name}" if source == "the standard library" else f"from {source} import {name}"
               for name, _, source, _ in forgotten(blocks)]
    source = "\n".join([*missing, text])
    framework = next((name for name in FRAMEWORKS if re.search(rf"^(import|from) {name}\b", source, re.M)), "numpy")
    replaced, front = MENDED.get(framework, ((), ""))
    mended = source
    for old, new in replaced:
        mended = mended.replace(old, new)
    if front:
        with open(os.path.join(os.path.dirname(SOURCE), "benchmarks", front)) as file:
            mended = file.read() + mended
    packages = (framework, *(["matplotlib"] if re.search(r"^import matplotlib|\bplt\.", source, re.M) else []))
    return Program(title, framework, source, mended if mended != source else "", packages)


def run_program(bench: Any, program: Program) -> list[dict[str, dict[str, Any]]]:
    """Rounds of whole processes: Pullback with an empty and a filled cache, the real framework, alternated.

    A framework that ends with an error is left out from then on; its last line stays among the figures.
    """
    bench.available(program.framework)  # notes its version
    files: dict[str, str] = {}
    for name, source in (("pullback", program.source), (program.framework, program.source),
                         (f"{program.framework}, mended", program.mended)):
        if source:
            files[name] = os.path.join(bench.folder, f"{len(files)}.py")
            with open(files[name], "w") as file:
                file.write(source)
    errors = {name: error for name, path in files.items() if (error := _measured(bench, program, name, path)[1])}
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(bench.options.rounds):
        names = list(files)
        turn = number % len(names)
        one: dict[str, dict[str, Any]] = {name: {"error": error} for name, error in errors.items()}
        for name in [n for n in names[turn:] + names[:turn] if n not in errors]:
            one[name], _ = _measured(bench, program, name, files[name])
            one[name]["others_cores"] = round(bench.others, 2)
            print(f"  round {number + 1}  {name:<24} " + "  ".join(f"{k} {v:.3g}" for k, v in one[name].items()))
        rounds.append({name: one[name] for name in files})
    for name, error in errors.items():
        print(f"  {name}: {error}")
    return rounds


def _measured(bench: Any, program: Program, name: str, path: str) -> tuple[dict[str, Any], str]:
    """Seconds of the process, and the last line of its error."""
    try:
        if name != "pullback":
            return {"warm_s": bench.start(bench.peer(*program.packages), path, MPLBACKEND="Agg")[1]}, ""
        with tempfile.TemporaryDirectory(dir=bench.folder) as cache:
            cold, warm = (bench.start(sys.executable, "-m", "pullback.cli.main", "run", path, MPLBACKEND="Agg",
                                      PULLBACK_CACHE_DIR=cache)[1] for _ in range(2))
        return {"cold_s": cold, "warm_s": warm}, ""
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return {}, str(error).strip()[:200]

"""Results as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from typing import Any

from targets import NETWORKS, PROGRAMS, Answer, Round, answers

TITLES = {**PROGRAMS, **NETWORKS, "mlp_adam": "MLP 784-512-256-10, batch 128, Adam", "matmul": "matrix products",
          "vector_math": "vector functions", "fused_mean": "tanh(a*b+c)*sigmoid(d), mean over 4M",
          "generate": "GPT 6x384, context 256, writing", "costs": "Python's costs",
          **{f"dialects {name}": f"dialects: {title}" for name, title in PROGRAMS.items()},
          **{f"whole {name}": f"whole process: {title}" for name, title in PROGRAMS.items()}}


DOCUMENTS = """Seconds of the whole process, plots drawn without a screen. "As written" is the same file that Pullback
ran; where today's version of the framework does not run it, its error stands there, and "mended" is the file with the
lines changed that `benchmarks/documents.py` names. Jittor has its compiled operators in a cache of its own, which is
filled: with an empty one its program takes 16.7 s once, after 2.5 minutes in which Jittor compiles itself when it is
first imported."""


def number(x: Any) -> str:
    """Three digits that count."""
    if not isinstance(x, (int, float)):
        return str(x) if x is not None else "-"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def middle(rounds: list[Round], framework: str, key: str) -> Any:
    values = [one[framework][key] for one in rounds if key in one.get(framework, {})]
    if not values:
        return None
    return statistics.median(values) if all(isinstance(v, (int, float)) for v in values) else values[-1]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
                      *("| " + " | ".join(row) + " |" for row in rows)])


def target_row(answer: Answer) -> list[str]:
    target = answer.target
    mark = {True: "yes", False: "**no**", None: "not measured"}[answer.reached]
    sign = ">=" if target.at_least else "<="
    if answer.ratio is None:
        return [TITLES.get(target.group, target.group), target.text, f"{sign} {target.factor:g}", "-", "-", "-", mark]
    low, high = answer.spread
    return [TITLES.get(target.group, target.group), target.text, f"{sign} {target.factor:g}",
            f"{number(answer.ratio)} ({number(low)} - {number(high)})", number(answer.mine),
            f"{number(answer.best)} {answer.best_name}" if answer.best_name != "limit" else "-", mark]


def figures_table(rounds: list[Round]) -> str:
    """Frameworks across, figures down; medians over the rounds."""
    frameworks = list(dict.fromkeys(name for one in rounds for name in one))
    hidden = ("losses", "value")
    keys = list(dict.fromkeys(key for one in rounds for figures in one.values() for key in figures))
    rows = [[key, *(number(middle(rounds, f, key)) for f in frameworks)] for key in keys if key not in hidden]
    return table(["", *frameworks], rows)


def documents_table(results: dict[str, list[Round]]) -> str:
    """Whole processes of the documents' programs: seconds, or the last line of the error."""
    rows: list[list[str]] = []
    for group, rounds in results.items():
        frameworks = list(dict.fromkeys(name for one in rounds for name in one))
        cells = [number(middle(rounds, name, "warm_s")) if middle(rounds, name, "warm_s") is not None
                 else f"`{str(middle(rounds, name, 'error')).split('. ')[0]}`" for name in frameworks[1:]]
        rows.append([group.removeprefix("documents: "), frameworks[1], number(middle(rounds, "pullback", "cold_s")),
                     number(middle(rounds, "pullback", "warm_s")), *cells, *["" for _ in range(2 - len(cells))]])
    return table(["program", "framework", "pullback run, cold cache", "warm cache", "framework, as written",
                  "framework, mended"], rows)


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def sections(text: str) -> dict[str, str]:
    """The parts of a report by their headings, in order; what precedes the first has the heading ""."""
    found = {"": ""}
    heading = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("## "):
            heading = line[3:].strip()
            found[heading] = ""
        found[heading] += line
    return found


def updated(text: str, new: str) -> str:
    """A report with the targets and sections of another put in; what only the first has stays."""
    old, changed = sections(text), sections(new)
    titles = {line.split(" | ")[0] for line in changed["Targets"].splitlines() if line.startswith("| ")}
    kept = [line for line in old.get("Targets", "").splitlines()
            if line.startswith("| ") and not line.startswith("| work |") and not line.startswith("| --- ")
            and line.split(" | ")[0] not in titles]
    rows = changed["Targets"].rstrip("\n").splitlines()
    head = next(k for k, line in enumerate(rows) if line.startswith("| --- "))
    merged = {**old, **changed, "": old[""], "Targets": "\n".join([*rows[:head + 1], *kept, *rows[head + 1:], "", ""])}
    order = ["", "Targets", *(h for h in (*old, *changed) if h not in ("", "Targets"))]
    return "\n\n".join(merged[h].strip("\n") for h in dict.fromkeys(order)) + "\n"


def markdown(results: dict[str, list[Round]], versions: dict[str, str]) -> str:
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    parts = ["# Benchmarks", "",
             f"`python benchmarks/run.py` on 2 of {os.cpu_count()} cores of an {processor()}, Python "
             f"{platform.python_version()}, 2 threads for everyone. {named}. Each framework alone in its process, "
             "alternated; a ratio is taken to the best peer of each round, the median over the rounds shown with the "
             "least and the greatest. A step waits for its loss (`step`), or the loop once at its end (`loop`).", "",
             "## Targets", "",
             table(["work", "figure", "to reach", "ratio (least - greatest)", "Pullback", "best peer", "reached"],
                   [target_row(a) for a in answers(results)])]
    documents = {group: rounds for group, rounds in results.items() if group.startswith("documents: ")}
    if documents:
        parts += ["", "## Programs of the documents", "", DOCUMENTS, "", documents_table(documents)]
    for group, rounds in results.items():
        if group in documents:
            continue
        parts += ["", f"## {TITLES.get(group, group)}", "", f"Medians of {len(rounds)} rounds.", "",
                  figures_table(rounds)]
    return "\n".join(parts) + "\n"

"""Curves over steps or epochs: a PNG by matplotlib, or text for a terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from pullback.io.atomic import write_atomic

Series = Mapping[str, Sequence[float]]
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille cell, by row and column


def have_matplotlib() -> bool:
    """Whether PNGs can be made."""
    from importlib.util import find_spec  # lazy: plotting only

    return find_spec("matplotlib") is not None


def save_curve(
    folder: str | os.PathLike[str],
    series: Series,
    *,
    name: str = "curve",
    title: str = "",
    xlabel: str = "step",
    right: Series | None = None,
) -> str:
    """Draw curves into `folder`/`name`.png, or .txt without matplotlib; returns the path. `right` are curves of 0 to 1
    with an axis of their own."""
    if have_matplotlib():
        path = os.path.join(os.fspath(folder), name + ".png")
        write_atomic(path, lambda file: file.write(_png(series, right or {}, title, xlabel)))
        return path
    path = os.path.join(os.fspath(folder), name + ".txt")
    text = "\n\n".join(text_curve(ys, title=label, xlabel=xlabel) for label, ys in {**series, **(right or {})}.items())
    write_atomic(path, lambda file: file.write((text + "\n").encode()))
    return path


def _png(series: Series, right: Series, title: str, xlabel: str) -> bytes:
    """The picture, drawn without a display and without touching pyplot's state."""
    from io import BytesIO

    # an optional package, slow to load
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, ys in series.items():
        xs = _positions(ys, series, right)
        axes.plot(xs, ys, label=label, alpha=0.35 if len(ys) > 200 else 1.0, linewidth=1.0, color="tab:blue")
        if len(ys) > 200:
            axes.plot(xs, _smooth(ys), color="tab:blue", linewidth=1.8, label=f"{label}, smoothed")
    axes.set(xlabel=xlabel, ylabel=", ".join(series), title=title)
    if all(y > 0 for ys in series.values() for y in ys):
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    if right:
        other = axes.twinx()
        for (label, ys), colour in zip(right.items(), ("tab:orange", "tab:green", "tab:red") * len(right),
                                       strict=False):
            other.plot(_positions(ys, series, right), ys, label=label, color=colour, marker=".")
        other.set_ylabel(", ".join(right))
        more = other.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    axes.legend(handles, labels, loc="center right")
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _positions(ys: Sequence[float], series: Series, right: Series) -> list[float]:
    """Where the points lie: curves of fewer points are spread over the longest one's length."""
    longest = max((len(v) for v in (*series.values(), *right.values())), default=1)
    return [longest * (k + 1) / len(ys) for k in range(len(ys))]


def _smooth(ys: Sequence[float]) -> list[float]:
    """A running mean that forgets over a fiftieth of the curve."""
    keep = 1 - 1 / max(len(ys) / 50, 1)
    out: list[float] = []
    weight = total = 0.0
    for y in ys:
        total, weight = keep * total + y, keep * weight + 1
        out.append(total / weight)
    return out


def text_curve(ys: Sequence[float], *, width: int = 64, height: int = 12, title: str = "", xlabel: str = "step") -> str:
    """A curve as text: two by four points in each braille character."""
    points = [y for y in ys if math.isfinite(y)]
    if not points:
        return f"{title}: nothing to draw"
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    before = None
    for column in range(columns):
        start = column * len(ys) // columns
        part = [y for y in ys[start:max((column + 1) * len(ys) // columns, start + 1)] if math.isfinite(y)]
        if not part:
            continue
        row = round((high - sum(part) / len(part)) / span * (rows - 1))
        first, last = sorted((row, row if before is None else before))
        for r in range(first, last + 1):
            cells[r // 4][column // 2] |= _DOTS[r % 4][column % 2]
        before = row
    labels = [f"{high:10.4g} ", *[" " * 11] * (height - 2), f"{low:10.4g} "]
    lines = [f"{label}\u2502{''.join(chr(0x2800 + c) for c in row)}" for label, row in zip(labels, cells, strict=True)]
    axis = " " * 11 + "\u2514" + "\u2500" * width
    foot = f"{'':12}1{xlabel + ' ' + str(len(ys)):>{width - 1}}"
    return "\n".join([*([f"{'':12}{title}"] if title else []), *lines, axis, foot])

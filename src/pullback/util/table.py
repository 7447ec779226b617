"""Tables of kernels: time, arithmetic and memory traffic against what the machine can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KernelRow:
    """One kernel's measurements over a profile: total seconds, operations and bytes over all its calls."""

    name: str
    calls: int
    seconds: float
    flops: float = 0.0
    bytes: float = 0.0
    kind: str = ""

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.flops / self.seconds / 1e9 if self.seconds > 0 else 0.0

    @property
    def gbytes(self) -> float:
        """10^9 bytes a second."""
        return self.bytes / self.seconds / 1e9 if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Limits:
    """What the machine was measured to do: 10^9 operations and bytes a second; 0 is not measured."""

    gflops: float = 0.0
    gbytes: float = 0.0


HEADINGS = ("kernel", "kind", "calls", "total ms", "us/call", "share", "GFLOP/s", "of peak", "GB/s", "of peak")


def kernel_cells(rows: Sequence[KernelRow], limits: Limits | None = None) -> list[tuple[str, ...]]:
    """The texts of the table, slowest kernel first, a line of totals last."""
    limits = limits or Limits()
    total = sum(r.seconds for r in rows) or 1.0
    ordered = sorted(rows, key=lambda r: -r.seconds)
    whole = KernelRow("total", sum(r.calls for r in rows), sum(r.seconds for r in rows), sum(r.flops for r in rows),
                      sum(r.bytes for r in rows))
    return [_cells(r, total, limits) for r in (*ordered, whole)]


def _cells(r: KernelRow, total: float, limits: Limits) -> tuple[str, ...]:
    def part(rate: float, limit: float) -> str:
        return f"{rate / limit:.0%}" if limit and rate else ""

    return (r.name, r.kind, f"{r.calls:,}", f"{r.seconds * 1e3:.3f}", f"{r.seconds / max(r.calls, 1) * 1e6:.2f}",
            f"{r.seconds / total:.1%}",
            f"{r.gflops:.1f}" if r.flops else "", part(r.gflops, limits.gflops),
            f"{r.gbytes:.1f}" if r.bytes else "", part(r.gbytes, limits.gbytes))


def kernel_table(rows: Sequence[KernelRow], limits: Limits | None = None, title: str = "") -> Any:
    """The table as something rich can print."""
    from rich.table import Table  # lazy: drawing only

    table = Table(title=title or None)
    for k, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if k < 2 else "right", overflow="fold")
    cells = kernel_cells(rows, limits)
    for k, row in enumerate(cells):
        table.add_row(*row, end_section=k == len(cells) - 2)
    return table


def kernel_text(rows: Sequence[KernelRow], limits: Limits | None = None) -> str:
    """The table as plain text."""
    lines = [HEADINGS, *kernel_cells(rows, limits)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in
                               enumerate(zip(line, widths, strict=True))).rstrip() for line in lines)

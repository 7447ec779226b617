"""Curves as pictures and text; tables of kernels."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pullback.viz import KernelRow, Limits, curve, kernel_table, kernel_text, save_curve, text_curve


def test_text_curve() -> None:
    text = text_curve([1 / (k + 1) for k in range(100)], title="loss", width=20, height=5)
    lines = text.splitlines()
    assert lines[0].strip() == "loss" and len(lines) == 8 and "1" in lines[1] and lines[-1].endswith("step 100")
    assert all(len(line) == len(lines[1]) for line in lines[1:6])
    assert text_curve([], title="x") == "x: nothing to draw"
    assert "3" in text_curve([3.0, math.nan, math.inf]) and text_curve([2.0] * 5)


@pytest.mark.skipif(not curve.have_matplotlib(), reason="the plot extra is not installed")
def test_png(tmp_path: Path) -> None:
    path = save_curve(tmp_path, {"loss": [1 / (k + 1) for k in range(300)]}, right={"accuracy": [0.5, 0.9]}, title="t")
    assert Path(path).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_text_file_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "have_matplotlib", lambda: False)
    path = save_curve(tmp_path, {"loss": [3.0, 2.0, 1.0]}, right={"accuracy": [0.1, 0.9]})
    text = Path(path).read_text(encoding="utf-8")
    assert path.endswith("curve.txt") and "loss" in text and "accuracy" in text


def test_kernel_tables() -> None:
    rows = [KernelRow("small", 10, 1e-6), KernelRow("matmul", 100, 1e-3, 1e8, 1e6)]
    lines = kernel_text(rows, Limits(gflops=125.0, gbytes=10.0)).splitlines()
    assert lines[1].startswith("matmul") and "100.0" in lines[1] and "80%" in lines[1] and "10%" in lines[1]
    assert lines[-1].startswith("total") and "110" in lines[-1]
    assert kernel_table(rows).row_count == 3
    assert kernel_text([]).splitlines()[-1].startswith("total")

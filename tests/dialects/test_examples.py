"""The examples: the same network in every style gives the same losses, in programs of a few kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
STYLES = ["numpy_by_hand", "native_imperative", "native_functional", "torch_style", "fastai_style",
          "jax_style", "jittor_style", "tensorflow_style"]
LOSSES = ["2.43522", "0.08153", "0.05071", "0.03582", "0.02848", "0.02447"]


@cache
def run(name: str) -> tuple[str, list[int]]:
    """What an example prints, and the kernels of each program it launches."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PULLBACK_DEBUG": "launch"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout, [int(n) for n in re.findall(r"launch: (\d+) kernels", done.stderr)]


@pytest.mark.parametrize("name", STYLES)
def test_losses(name: str) -> None:
    printed, _ = run(name)
    assert printed == "".join(f"step {20 * k:3d}  loss {loss}\n" for k, loss in enumerate(LOSSES))


@pytest.mark.parametrize("name", STYLES)
def test_one_program_of_few_kernels_for_each_step(name: str) -> None:
    _, kernels = run(name)
    assert 101 <= len(kernels) <= 110  # one launch for a step; a value that is read half-way ends one earlier
    assert Counter(kernels).most_common(1)[0][0] <= 3


def test_picture(tmp_path: Path) -> None:
    """The fastai style draws what it found: a picture with points in blue and a line in red."""
    images = pytest.importorskip("matplotlib.image", reason="the example plots")
    path = tmp_path / "found.png"
    subprocess.run([sys.executable, str(ROOT / "examples" / "fastai_style.py"), str(path)], check=True, timeout=300,
                   env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": "Agg"}, capture_output=True)
    red, green, blue = (images.imread(str(path))[..., k] for k in range(3))
    assert np.count_nonzero((blue > 0.9) & (red < 0.1) & (green < 0.1)) > 500
    assert np.count_nonzero((red > 0.9) & (blue < 0.1) & (green < 0.1)) > 200


def test_page() -> None:
    """docs/styles.md shows what the examples contain, and what they do."""
    page = (ROOT / "docs" / "styles.md").read_text(encoding="utf-8")
    for name in STYLES:
        source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        assert f"examples/{name}.py" in page
        row = next(line for line in page.splitlines() if line.startswith("|") and f"{name}.py" in line)
        kernels = Counter(run(name)[1]).most_common(1)[0][0]
        assert row.split("|")[-2].strip() == str(kernels), name
        shown = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if block.strip() in source]
        assert shown, f"no code of {name} is shown"
    assert ", ".join(LOSSES) in page

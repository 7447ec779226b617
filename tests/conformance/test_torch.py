"""What PyTorch 2.13 answered (recorded by record_torch.py), asked of the torch dialect."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pullback.torch
import pytest
from tests.conformance.torch_samples import SCOPE, digest, evaluate, samples

from pullback.dialects import FINDER

ANSWERS = json.loads((Path(__file__).parent / "torch_answers.json").read_text())
LINES: list[tuple[str, str]] = ANSWERS["expressions"]

#: answers that differ on purpose or for a known reason
DIFFERENT = {
    "[list(s.indices) for s in random_split(range(6),[4,2])]": "indices are kept as a NumPy array",
    "torch.ones(2,requires_grad=True).numpy()": "arrays that require gradients become detached copies (docs/design.md)",
    "gr": "the gradient of a gradient is one step here and has one name",
    "torch.tensor(1.5,dtype=torch.float64)+torch.tensor([1.],dtype=torch.float32)":
        "0-dimensional tensors promote as others do",
    "torch.tensor(5)+torch.tensor([1],dtype=torch.int32)": "0-dimensional tensors promote as others do",
    "digest(torch.empty(8,4).t().uniform_())":
        "a transposed view is filled in its own order, not in that of its storage",
}


@pytest.fixture(scope="module")
def answers() -> Iterator[list[str]]:
    """All lines in one scope, in order: statements prepare what later lines ask."""
    FINDER.add("torch", "pullback.dialects.torch")
    try:
        scope: dict[str, Any] = {"digest": digest}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(SCOPE, scope)
            yield evaluate([line for line, _ in LINES], scope)
    finally:
        FINDER.homes.pop("torch")
        for name in [n for n in sys.modules if n.split(".")[0] == "torch"]:
            del sys.modules[name]


def _agrees(mine: str, recorded: str) -> bool:
    """Equal texts; of exceptions, that ours may be caught as PyTorch's."""
    if recorded.startswith("raises"):
        return mine.startswith("raises") and set(recorded.split()) - {"LookupError"} <= set(mine.split())
    return mine == recorded


@pytest.mark.parametrize("k", range(len(LINES)), ids=lambda k: f"{k} {LINES[k][0][:40]}")
def test_answer(k: int, answers: list[str]) -> None:
    line, recorded = LINES[k]
    if line in DIFFERENT:
        assert not _agrees(answers[k], recorded), "listed as different, but it is the same"
        return
    assert _agrees(answers[k], recorded), f"{line}\nrecorded  {recorded}\nmine      {answers[k]}"


def test_printing() -> None:
    torch: Any = pullback.torch
    for (array, name, grad), recorded in zip(samples(len(ANSWERS["printed"])), ANSWERS["printed"], strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # infinities in float16
            tensor = torch.tensor(array).to(getattr(torch, name))
        assert repr(tensor.requires_grad_() if grad else tensor) == recorded, (array.shape, name)


@pytest.mark.parametrize("program", ["training", "pages"])
def test_programs_from_seeds(program: str) -> None:
    """Every line of a program that trains networks, and of one that does what PyTorch's first pages do, as PyTorch
    printed it."""
    path = Path(__file__).parent / f"torch_{program}.py"
    done = subprocess.run([sys.executable, "-m", "pullback.cli.main", "run", str(path)], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ANSWERS[program].splitlines()

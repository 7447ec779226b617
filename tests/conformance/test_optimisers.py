"""The steps of PyTorch's optimisers, schedules and clipping (recorded by record_optimisers.py) beside those of the
torch dialect."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pullback.torch
import pytest
from tests.conformance.optimiser_cases import CASES, ask

ANSWERS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "optimiser_answers.json").read_text())


def _numbers(value: Any) -> list[float]:
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _numbers(v)]
    return [] if value is None else [float(value)]


def test_every_case_is_recorded() -> None:
    assert [tuple(a["case"]) for a in ANSWERS] == CASES


@pytest.mark.parametrize("k", range(len(CASES)), ids=lambda k: f"{k} {' '.join(CASES[k])[:60]}")
def test_trajectory(k: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = ask(pullback.torch, k)
    theirs = ANSWERS[k]["steps"]
    assert len(mine) == len(theirs)
    tolerance = 2e-2 if CASES[k][0].startswith("Muon") else 1e-9  # Muon's products are of bfloat16
    for step, (x, y) in enumerate(zip(mine, theirs, strict=True)):
        np.testing.assert_allclose(_numbers(x), _numbers(y), tolerance, tolerance, err_msg=f"step {step}")

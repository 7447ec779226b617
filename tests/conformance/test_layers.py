"""Values, gradients, state dict keys of PyTorch's layers (recorded by record_layers.py), asked of the torch dialect."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pullback.torch
import pytest
from tests.conformance.layer_cases import CASES, ask

ANSWERS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "layer_answers.json").read_text())


#: PyTorch's slope is 1/6 rounded to float32, whatever the dtype
ROUNDED = {"nn.Hardsigmoid()": 3.1e-8}


def _near(mine: list[Any], theirs: list[Any], tolerance: float) -> None:
    assert mine[0] == theirs[0]
    np.testing.assert_allclose(mine[1:], theirs[1:], rtol=tolerance, atol=tolerance * (1 + abs(theirs[2])))


def test_every_case_is_recorded() -> None:
    assert [a["case"] for a in ANSWERS] == [c[0] for c in CASES]


@pytest.mark.parametrize("k", range(len(CASES)), ids=lambda k: f"{k} {CASES[k][0][3:50]}")
def test_layer(k: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = ask(pullback.torch, k)
    theirs, tolerance = ANSWERS[k], ROUNDED.get(CASES[k][0], 1e-9)
    assert mine["state"] == theirs["state"]
    assert mine["buffers"].keys() == theirs["buffers"].keys()
    for name, y in theirs["buffers"].items():
        _near(mine["buffers"][name], y, tolerance)
    assert len(mine["out"]) == len(theirs["out"])
    for x, y in zip(mine["out"], theirs["out"], strict=True):
        _near(x, y, tolerance)
    for name, y in theirs["gradients"].items():
        x = mine["gradients"].get(name)
        if x is None:
            assert y[2] == 0, f"no gradient of {name}"
        else:
            _near(x, y, tolerance)

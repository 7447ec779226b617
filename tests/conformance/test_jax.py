"""Lines whose results JAX 0.10 printed as they stand in jax_answers.json, recorded by record_jax.py."""

from __future__ import annotations

import json
import os
import warnings
from functools import partial
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import lax, nn, random

with open(os.path.join(os.path.dirname(__file__), "jax_answers.json")) as file:
    ANSWERS: dict[str, str] = json.load(file)
NAMES: dict[str, Any] = {"jax": jax, "jnp": jnp, "lax": lax, "nn": nn, "random": random, "np": np, "partial": partial}


@pytest.mark.parametrize("line", ANSWERS)
def test_answer(line: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's own warnings about dtypes that are cut
        assert repr(eval(line, dict(NAMES))) == ANSWERS[line]

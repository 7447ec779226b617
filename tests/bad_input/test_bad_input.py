"""Every wrong call raises one of our errors, with a cure, and leaves the library working."""

from __future__ import annotations

import re

import pytest
from tests.bad_input.cases import CASES, Case

import pullback as pb
from pullback.util.errors import PullbackError


@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_raises_one_of_our_errors(case: Case) -> None:
    _, call, error, text = case
    with pytest.raises(PullbackError) as caught:
        call()
    assert isinstance(caught.value, error), f"{type(caught.value).__name__}: {caught.value}"
    assert re.search(text, str(caught.value)), str(caught.value)
    assert "help" in str(caught.value), str(caught.value)
    assert (pb.ones(2) + 1).tolist() == [2, 2]


def test_there_are_many() -> None:
    names = [c[0] for c in CASES]
    assert len(names) >= 200
    assert len(set(names)) == len(names)

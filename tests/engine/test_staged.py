"""Steps of a function that is being traced: what is recorded in one go is what the general way records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.engine import known, trace
from pullback.engine.pipeline import function_text
from pullback.util.errors import ShapeError

X = np.linspace(-1.0, 2.0, 6, dtype=np.float32).reshape(2, 3)


def _update(x: Any, y: Any) -> Any:
    m = 0.9 * x + (1 - 0.9) * y
    return x * (1 - 1e-3) - 1e-3 * m / (pb.sqrt(y * y) + 1e-8)


def _numbers(x: Any, y: Any) -> Any:
    return [x * 0.0, x * -0.0, x + 1, x + True, 2 ** y, x / 3, y < 0.5, (x > 1) & (y < 2), -x, abs(y),
            x * np.float32(2)]


def _gradients(x: Any, y: Any) -> Any:
    value, gradient = pb.value_and_grad(lambda z: (pb.tanh(z * y) * pb.stop_gradient(z)).sum())(x)
    with pb.no_grad():
        still = x * y
    return value, gradient, still


def _in_place(x: Any, y: Any) -> Any:
    z = x * 1.0
    z += y * 2
    z[0] = z[1] * 3
    return z, z + x


PROGRAMS = [_update, _numbers, _gradients, _in_place]


def _text(program: Callable[..., Any]) -> tuple[str, list[np.ndarray[Any, Any]]]:
    """The program that a jitted function is recorded as, with nothing known, and what it gives."""
    trace.reset_table()
    jitted = pb.jit(program)
    x, y = pb.asarray(X), pb.asarray(X[::-1].copy())
    results = [np.asarray(r) for r in pb.tree.leaves(jitted(x, y))]
    return function_text(jitted.entry_for((x, y), {}).function), results


@pytest.mark.parametrize("program", PROGRAMS)
def test_same_program_as_recorded_the_general_way(program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    staged = known.record_staged

    def counted(*given: Any) -> Any:
        found = staged(*given)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(known, "record_staged", counted)
    text, values = _text(program)
    assert any(taken)
    monkeypatch.setattr(known, "record_staged", lambda *_: None)
    general, expected = _text(program)
    assert text == general
    for value, other in zip(values, expected, strict=True):
        assert np.array_equal(value, other)


def test_a_structure_that_is_known_is_recorded_without_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced again, a long function builds the list of its nodes a few times, not at each step."""
    def long(x: Any) -> Any:
        for _ in range(50):
            x = x * 0.5 + 1.0
        return x

    x = pb.asarray(X)
    pb.jit(long)(x)
    built: list[int] = []
    nodes = trace.State.nodes

    def counted(state: Any) -> Any:
        built.append(state.count)
        return nodes(state)

    monkeypatch.setattr(trace.State, "nodes", counted)
    pb.jit(long)(x)
    assert len(built) < 5


def test_a_refusal_names_the_operands() -> None:
    with pytest.raises(ShapeError, match="add"):
        pb.jit(lambda x, y: (x * 2) + (y * 2))(pb.asarray(X), pb.asarray(X[:, :2].copy()))

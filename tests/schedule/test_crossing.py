"""Copies and sums of what lies across in memory: line by line of the cache, in any shape, and the same values."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.kernel.nodes import For, walk
from pullback.schedule import plan as planning

CASES: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "even": (lambda x: x.T + 0, (512, 256), "float32"),
    "odd": (lambda x: x.T + 0, (317, 131), "float32"),
    "with itself": (lambda x: x + x.T, (300, 300), "float32"),
    "wide numbers": (lambda x: x.T * 2, (330, 127), "float64"),
    "bytes": (lambda x: x.T + 0, (300, 310), "uint8"),
    "bools": (lambda x: ~x.T, (300, 310), "bool"),
    "channels last": (lambda x: x.transpose((0, 2, 3, 1)) + 0, (3, 333, 17, 19), "float32"),
    "channels first": (lambda x: x.transpose((0, 3, 1, 2)) + 0, (3, 17, 19, 33), "float32"),
    "middle": (lambda x: x.transpose((2, 1, 0)) + 0, (300, 5, 130), "float32"),
    "padded": (lambda x: pb.concat([x.T, pb.zeros((40, 330)), x.T + 1], 0) + 1, (330, 200), "float32"),
    "two": (lambda x: x.T - x.reshape((140, 350)), (350, 140), "float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape, dtype = CASES[name]
    numbers = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
    x = pb.tensor(numbers)
    found = pb.jit(function)(x).numpy()
    monkeypatch.setattr("pullback.schedule.loops.across", lambda *given: -1)
    y = pb.tensor(numbers[..., ::-1].copy())  # another program: nothing that was compiled above is met again
    plain = pb.jit(lambda y: function(pb.flip(y, (-1,))))(y).numpy()
    np.testing.assert_array_equal(found, plain)
    if name in ("even", "odd", "bytes"):
        np.testing.assert_array_equal(found, numbers.T)


def test_a_block_of_lines_at_a_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plans: list[Any] = []
    build = planning.build_kernel

    def noted(*given: Any) -> Any:
        plans.append(build(*given))
        return plans[-1]

    monkeypatch.setattr(planning, "build_kernel", noted)
    pb.show(lambda x: x.T + 1, "schedule")(pb.ones(512, 256))
    capsys.readouterr()
    loops = [s for s in walk(plans[-1].body) if isinstance(s, For)]
    assert [(s.parallel, s.lanes, s.count) for s in loops] == [(True, 1, -1), (False, 16, -1), (False, 1, 16)]


def test_small_ones_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr("pullback.schedule.loops.crossed", lambda *given: called.append(given))
    for shape in ((23, 37), (64, 3000)):  # no traffic to save, few lines that stay near
        np.testing.assert_array_equal(pb.jit(lambda x: x.T + 1)(pb.ones(*shape)).numpy(), np.full(shape[::-1], 2.0))
    assert not called

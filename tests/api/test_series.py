"""Differences, convolution, interpolation and integrals beside NumPy, and their derivatives by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import AxisError, ShapeError, ValueError_

G = np.random.RandomState(0)
X, Y = G.rand(7), G.rand(4)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("n", "m"), [(7, 4), (4, 7), (5, 5), (6, 1), (1, 1), (7, 3)])
def test_convolve(n: int, m: int, mode: Any) -> None:
    x, y = G.rand(n), G.rand(m)
    found = pb.convolve(pb.tensor(x), pb.tensor(y), mode).numpy()
    assert np.allclose(found, np.convolve(x, y, mode))


def test_convolve_integers() -> None:
    found = pb.convolve(pb.tensor([1, 2, 3]), pb.tensor([0, 1]))
    assert found.dtype == pb.int32 and found.tolist() == [0, 1, 2, 3]
    assert np.allclose(pb.convolve(pb.tensor([1, 2, 3]), pb.tensor([0.5, 1.0])).numpy(), [0.5, 2.0, 3.5, 3.0])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_diff(n: int, axis: int) -> None:
    x = G.rand(4, 5)
    assert np.allclose(pb.diff(pb.tensor(x), n, axis).numpy(), np.diff(x, n, axis))


@pytest.mark.parametrize("ends", [{"prepend": 0.0}, {"append": [[1.0], [2.0], [3.0], [4.0]]},
                                  {"prepend": 1.0, "append": 2.0, "n": 2},
                                  {"axis": 0, "prepend": 5.0, "append": [[0.0, 1.0, 2.0, 3.0, 4.0]]}])
def test_diff_of_what_is_put_at_the_ends(ends: dict) -> None:
    x = G.rand(4, 5)
    mine = {k: pb.tensor(v) if isinstance(v, list) else v for k, v in ends.items()}
    assert np.allclose(pb.diff(pb.tensor(x), **mine).numpy(), np.diff(x, **ends))


def test_diff_of_bools() -> None:
    assert pb.diff(pb.tensor([True, False, False])).tolist() == [True, False]


def test_interp() -> None:
    xp, fp = np.array([0.0, 1.0, 1.0, 4.0]), np.array([1.0, 3.0, 5.0, -2.0])
    x = np.concatenate([np.linspace(-1.5, 0.95, 12), np.linspace(1.05, 6, 20), [0.0, 4.0]])
    assert np.allclose(pb.interp(pb.tensor(x), pb.tensor(xp), pb.tensor(fp)).numpy(), np.interp(x, xp, fp))
    assert pb.interp(2.0, pb.tensor([1.0]), pb.tensor([5.0])).item() == 5.0


@pytest.mark.parametrize("axis", [0, 1])
def test_trapezoid(axis: int) -> None:
    y, x = G.rand(4, 5), np.sort(G.rand(4 if axis == 0 else 5))
    assert np.allclose(pb.trapezoid(pb.tensor(y), dx=0.5, axis=axis).numpy(), np.trapezoid(y, dx=0.5, axis=axis))
    assert np.allclose(pb.trapezoid(pb.tensor(y), pb.tensor(x), axis=axis).numpy(), np.trapezoid(y, x, axis=axis))


FUNCTIONS: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda x: (pb.convolve(x, pb.tensor(Y)) ** 2).sum(), X),
    (lambda y: (pb.convolve(pb.tensor(X), y, "same") ** 2).sum(), Y),
    (lambda x: (pb.diff(x, 2) ** 2).sum(), X),
    (lambda f: (pb.interp(pb.tensor([0.3, 1.7]), pb.tensor([0.0, 1.0, 2.0, 3.0]), f) ** 2).sum(), Y),
    (lambda x: (pb.interp(x, pb.tensor([0.0, 0.5, 2.0]), pb.tensor([1.0, 3.0, -1.0])) ** 2).sum(), Y),
    (lambda y: pb.trapezoid(y, pb.tensor(np.cumsum(Y))) ** 2, Y),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_derivatives(number: int) -> None:
    f, point = FUNCTIONS[number]
    gradient = pb.grad(f)(pb.tensor(point)).numpy()
    for k in range(len(point)):
        step = np.zeros_like(point)
        step[k] = 1e-6
        numeric = (f(pb.tensor(point + step)) - f(pb.tensor(point - step))).item() / 2e-6
        assert abs(numeric - gradient[k]) < 1e-5 * max(1.0, abs(numeric))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: pb.convolve(pb.ones((2, 2)), pb.ones(2)), ShapeError),
        (lambda: pb.convolve(pb.ones(0), pb.ones(2)), ShapeError),
        (lambda: pb.convolve(pb.ones(2), pb.ones(2), "half"), ValueError_),
        (lambda: pb.diff(pb.ones(())), ShapeError),
        (lambda: pb.diff(pb.ones(3), -1), ValueError_),
        (lambda: pb.diff(pb.ones(3), axis=2), AxisError),
        (lambda: pb.interp(1.0, pb.ones(3), pb.ones(4)), ShapeError),
    ],
)
def test_wrong_calls(call: Callable[[], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call()

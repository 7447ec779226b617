"""Special functions beside their definitions, in both precisions, and their derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.api import special
from pullback.util.errors import DTypeError, ValueError_

G = np.random.default_rng(0)
LINE = np.concatenate([np.linspace(-3, 3, 25), [1e-9, 0.0031, -0.004]])
TINY = np.concatenate([G.normal(size=30) * 10.0 ** G.integers(-310, 300, 30), [0, -0.0, np.inf, -np.inf, 2.0**-1074]])


def _double(x: Any) -> Any:
    return pb.asarray(np.asarray(x, np.float64))


def test_sinc() -> None:
    same(pb.sinc(_double(LINE)), np.sinc(LINE))
    slope = pb.grad(pb.sinc)
    assert slope(_double(0.0)).item() == 0
    assert math.isclose(pb.grad(slope)(_double(0.0)).item(), -math.pi**2 / 3, rel_tol=1e-14)


def test_bessel() -> None:
    x = np.concatenate([np.linspace(-60, 60, 241), [300.0, 700.0]])
    same(pb.i0(_double(x)) / np.i0(x), np.ones_like(x), 1e-14)
    turns = (np.arange(4000) + 0.5) * np.pi / 4000  # their integrals, by the midpoint rule
    for name, order in (("i0e", 0), ("i1e", 1)):
        wanted = np.mean(np.exp(np.abs(x)[:, None] * (np.cos(turns) - 1)) * np.cos(order * turns), 1)
        wanted = wanted * np.sign(x) ** order
        same(getattr(special, name)(_double(x)), wanted, 1e-13)
    same(special.i1(_double(x[::10])) / (special.i1e(_double(x[::10])) * np.exp(np.abs(x[::10])) + (x[::10] == 0)),
         (x[::10] != 0).astype(float), 1e-13)
    same(pb.grad(lambda v: pb.i0(v).sum())(_double(LINE)), special.i1(_double(LINE)), 1e-13)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_frexp_and_ldexp(kind: str) -> None:
    with np.errstate(all="ignore"):
        x = TINY.astype(kind)
        mantissa, exponent = pb.frexp(pb.asarray(x))
        wanted = np.frexp(x)
        same(mantissa, wanted[0], 0, dtype=True)
        same(exponent, wanted[1].astype(np.int32))
        steps = G.integers(-400, 400, len(x)) * (1 if kind == "float32" else 5)
        found, wanted_steps = pb.ldexp(pb.asarray(x), pb.asarray(steps)).numpy(), np.ldexp(x, steps)
    least = np.finfo(kind).smallest_subnormal
    finite = np.isfinite(wanted_steps)
    assert (np.abs(found[finite] - wanted_steps[finite]) <= least).all()
    assert (found[~finite] == wanted_steps[~finite]).all()
    assert pb.grad(lambda v: pb.frexp(v)[0])(pb.tensor(6.0)).item() == 0.125
    assert pb.grad(lambda v: pb.ldexp(v, 3))(pb.tensor(6.0)).item() == 8


def test_gamma_family() -> None:
    x = np.linspace(0.05, 20, 60)
    for s in (1.5, 2.0, 4.0, 9.0):
        count = 4000
        k = np.arange(count)
        tail = x + count  # Euler and Maclaurin's first terms are enough so far out
        wanted = np.sum((x[:, None] + k) ** -s, 1) + tail ** (1 - s) / (s - 1) + 0.5 * tail**-s \
            + s / 12 * tail ** (-s - 1)
        same(pb.zeta(s, _double(x)) / wanted, np.ones_like(x), 1e-11)
    assert math.isclose(pb.zeta(2.0, _double(1.0)).item(), math.pi**2 / 6, rel_tol=1e-15)
    same(pb.zeta(_double([1.0, 0.5, 2.0]), _double([1.0, 1.0, -0.5])), [np.inf, np.nan, np.nan])
    for n in (0, 1, 2, 3):
        step = 1e-4
        wanted = (pb.polygamma(n, _double(x + 1 + step)) - pb.polygamma(n, _double(x + 1 - step))).numpy() / (2 * step)
        same(pb.polygamma(n + 1, _double(x + 1)), wanted, 1e-6)
        gradient = pb.grad(lambda v, n=n: pb.polygamma(n, v).sum())(_double(x))
        same(gradient / pb.polygamma(n + 1, _double(x)), np.ones_like(x), 1e-9)
    same(pb.multigammaln(_double(x + 1), 1), pb.lgamma(_double(x + 1)))
    wanted = math.log(math.pi) * 0.5 + pb.lgamma(_double(x + 1)) + pb.lgamma(_double(x + 0.5))
    same(pb.multigammaln(_double(x + 1), 2), wanted)


def test_normal_distribution() -> None:
    x = np.linspace(-12, 12, 97)
    wanted = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    same(pb.ndtr(_double(x)) / wanted, np.ones_like(x), 1e-12)
    above = [math.log1p(-0.5 * math.erfc(abs(v) / math.sqrt(2))) for v in x]
    same(special.log_ndtr(_double(x)), np.where(x > 0, above, np.log(wanted)), 1e-12)
    far = special.log_ndtr(_double([-20.0, -20.000001, -100.0, -1e10])).numpy()
    same(far[:1], [math.log(0.5 * math.erfc(20 / math.sqrt(2)))], 1e-14)
    assert abs(far[1] - far[0]) < 1e-4 and math.isclose(far[2], -5005.524208694205, rel_tol=1e-14)
    assert math.isclose(far[3], -5e19, rel_tol=1e-12)
    inside = np.linspace(0.01, 0.99, 40)
    same(pb.ndtr(pb.ndtri(_double(inside))), inside)


def test_small_ones() -> None:
    x, y = G.normal(size=20), G.normal(size=20)
    same(pb.logaddexp2(_double(x), _double(y)), np.logaddexp2(x, y))
    assert pb.logaddexp2(pb.tensor(1000.0), 1000.0).item() == 1001
    same(pb.float_power(pb.tensor([1, 2, 3]), 2), np.float_power([1, 2, 3], 2), dtype=True)
    same(special.xlog1py(_double([0.0, 2.0, 0.0]), _double([-1.0, 1.0, 5.0])), [0, 2 * math.log(2), 0])
    same(special.entr(_double([0.0, 0.5, -1.0, np.nan])), [0, 0.5 * math.log(2), -np.inf, np.nan])
    assert pb.isposinf(pb.tensor([1.0, math.inf, -math.inf])).tolist() == [False, True, False]
    assert pb.isneginf(pb.tensor([1.0, math.inf, -math.inf])).tolist() == [False, False, True]


def test_complex_parts() -> None:
    a, c = G.normal(size=4), np.array([0.0, np.inf, 2.0, -1.0])
    z = pb.complex_of(_double(a), _double(c))
    assert (z.real.tolist(), z.imag.tolist()) == (a.tolist(), c.tolist())
    same(pb.view_as_complex(pb.view_as_real(z)).imag, c)
    same(pb.polar(_double(np.abs(a)), _double(LINE[:4])), np.abs(a) * np.exp(1j * LINE[:4]))
    assert pb.isreal(z).tolist() == [True, False, False, False] and pb.isreal(pb.ones(2)).tolist() == [True, True]
    gradient = pb.grad(lambda v: (pb.view_as_complex(v) ** 2).real.sum())(_double([[1.0, 2.0]]))
    assert gradient.tolist() == [[2.0, -4.0]]


def test_wrong_calls() -> None:
    for call in (lambda: pb.polygamma(-1, pb.ones(1)), lambda: pb.multigammaln(pb.ones(1), 0)):
        with pytest.raises(ValueError_):
            call()
    for call in (lambda: pb.sinc(pb.tensor([1j])), lambda: pb.view_as_real(pb.ones(2)),
                 lambda: pb.isposinf(pb.tensor([1j]))):
        with pytest.raises(DTypeError):
            call()

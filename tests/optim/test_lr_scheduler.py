"""Schedules against their formulae."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback.optim import lr_scheduler as L
from pullback.util.errors import ValueError_


def optimizer(lr=0.1, **options):
    return pb.optim.SGD([pb.nn.Parameter(pb.zeros(1))], lr=lr, **options)


def rates(make, count, lr=0.1):
    o = optimizer(lr)
    schedule = make(o)
    found = [o.param_groups[0]["lr"]]
    for _ in range(count - 1):
        schedule.step()
        found.append(o.param_groups[0]["lr"])
    return found


FORMULAE = [
    (lambda o: L.StepLR(o, 5, 0.3), lambda t: 0.3 ** (t // 5)),
    (lambda o: L.MultiStepLR(o, [3, 8, 8], 0.5), lambda t: 0.5 ** ((t >= 3) + 2 * (t >= 8))),
    (lambda o: L.ExponentialLR(o, 0.9), lambda t: 0.9**t),
    (lambda o: L.ConstantLR(o, 0.3, 6), lambda t: 0.3 if t < 6 else 1.0),
    (lambda o: L.LinearLR(o, 0.2, 1.0, 10), lambda t: 0.2 + 0.8 * min(t, 10) / 10),
    (lambda o: L.PolynomialLR(o, 20, 2.0), lambda t: (1 - min(t, 20) / 20) ** 2),
    (lambda o: L.CosineAnnealingLR(o, 12), lambda t: (1 + math.cos(math.pi * t / 12)) / 2),
    (lambda o: L.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 1 / (1 + t)),
    (lambda o: L.MultiplicativeLR(o, lambda t: 0.95), lambda t: 0.95**t),
    (lambda o: L.CosineAnnealingWarmRestarts(o, 5), lambda t: (1 + math.cos(math.pi * (t % 5) / 5)) / 2),
    (lambda o: L.SequentialLR(o, [L.ConstantLR(o, 0.1, 100), L.ExponentialLR(o, 0.9)], [4]),
     lambda t: 0.1 if t < 4 else 0.9 ** (t - 4)),
    (lambda o: L.ChainedScheduler([L.ExponentialLR(o, 0.9), L.StepLR(o, 2, 0.5)]), lambda t: 0.9**t * 0.5 ** (t // 2)),
]


@pytest.mark.parametrize("k", range(len(FORMULAE)))
def test_rates(k):
    make, formula = FORMULAE[k]
    np.testing.assert_allclose(rates(make, 30), [0.1 * formula(t) for t in range(30)], rtol=1e-9, atol=1e-12)


def test_cyclic_goes_up_and_down():
    found = rates(lambda o: L.CyclicLR(o, 0.01, 0.05, 4, cycle_momentum=False), 13)
    np.testing.assert_allclose(found, [0.01, 0.02, 0.03, 0.04, 0.05, 0.04, 0.03, 0.02] + [0.01, 0.02, 0.03, 0.04, 0.05])


def test_one_cycle_moves_momentum_against_the_rate():
    o = optimizer(momentum=0.9)
    schedule = L.OneCycleLR(o, 1.0, total_steps=10, pct_start=0.5)
    assert o.param_groups[0]["momentum"] == 0.95
    np.testing.assert_allclose(o.param_groups[0]["lr"], 1 / 25)
    for _ in range(4):
        schedule.step()
    np.testing.assert_allclose(o.param_groups[0]["lr"], 1.0)
    np.testing.assert_allclose(o.param_groups[0]["momentum"], 0.85)
    for _ in range(5):
        schedule.step()
    np.testing.assert_allclose(o.param_groups[0]["lr"], 1 / 25 / 1e4)


def test_plateau():
    o = optimizer(1.0)
    schedule = L.ReduceLROnPlateau(o, factor=0.5, patience=1)
    for metric in (1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5):
        schedule.step(metric)
    assert o.param_groups[0]["lr"] == 0.25


def test_state_dict_resumes():
    first, second = optimizer(), optimizer()
    a, b = L.CosineAnnealingLR(first, 10), L.CosineAnnealingLR(second, 10)
    for _ in range(4):
        a.step()
    second.load_state_dict(first.state_dict())
    b.load_state_dict(a.state_dict())
    for _ in range(9):
        a.step()
        b.step()
        assert a.get_last_lr() == b.get_last_lr()


def test_a_tensor_as_rate_keeps_its_identity():
    rate = pb.tensor(0.5)
    o = optimizer(rate)
    L.StepLR(o, 1, 0.5).step()
    assert o.param_groups[0]["lr"] is rate and rate.item() == 0.25


class Power:
    """A rate by an object that is called."""

    def __init__(self, base):
        self.base = base

    def __call__(self, epoch):
        return self.base ** epoch


@pytest.mark.parametrize("kind", [L.LambdaLR, L.MultiplicativeLR])
def test_functions_stay_where_the_state_has_none(kind):
    """A state dict as PyTorch makes it: None for a function, the attributes of an object that is called."""
    saved = {"_get_lr_called_within_step": False, "_is_initial": False, "_last_lr": [0.5], "_step_count": 2,
             "base_lrs": [1.0], "last_epoch": 1}
    for f, kept in ((lambda epoch: 0.5 ** epoch, None), (Power(0.9), {"base": 0.5}), (Power(0.5), None)):
        schedule = kind(optimizer(1.0), f)
        schedule.load_state_dict({**saved, "lr_lambdas": [kept]})
        schedule.step()
        assert schedule.get_last_lr() == [0.25]
    schedule = kind(optimizer(1.0), [Power(0.5)])
    assert schedule.state_dict()["lr_lambdas"] == [{"base": 0.5}]
    assert kind(optimizer(1.0), lambda epoch: 1.0).state_dict()["lr_lambdas"] == [None]
    schedule.load_state_dict(saved)  # of a version that did not save them
    assert schedule.lr_lambdas[0](1) == 0.5
    with pytest.raises(ValueError_, match="number of functions"):
        schedule.load_state_dict({**saved, "lr_lambdas": [None, None]})

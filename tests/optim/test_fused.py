"""A step over all parameters is one program of few kernels, however many parameters there are."""

from __future__ import annotations

from typing import Any

import pytest

import pullback as pb
from pullback import optim
from pullback.ir.node import TensorType, param, topological
from pullback.optim.functional import OPERATIONS, have_of
from pullback.optim.rules import RULES

SHAPES = [(64, 32), (64,), (10, 64), (10,), (3, 4, 5), (7,)] * 2
#: kernels of one step; scalars of a group (step counts, products of betas) take one of them
KERNELS = {"SGD": 1, "Adam": 2, "AdamW": 2, "NAdam": 2, "RAdam": 2, "Adagrad": 1, "Adadelta": 2, "RMSprop": 1,
           "Adamax": 2, "Rprop": 1, "ASGD": 1, "Lion": 1}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_a_step(name: str) -> None:
    parameters = [pb.nn.Parameter(pb.ones(s)) for s in SHAPES]
    optimizer = getattr(optim, name)(parameters, lr=0.1)
    for _ in range(3):
        for p in parameters:
            p.grad = pb.ones(p.shape) * 0.5
        pb.synchronize()
        with pb.profile() as profile:
            optimizer.step()
            pb.synchronize()
    lines = str(profile).splitlines()[1:-1]  # without head and total
    assert len(lines) == KERNELS[name], str(profile)


def recorded_nodes(name: str, parameters: int) -> int:
    """Nodes that a step of so many equal parameters is recorded as."""
    rule = RULES[name]
    group: dict[str, Any] = dict(rule.defaults)
    have = have_of(rule.slots(group), [1] * parameters)
    scalars = tuple(key for key, _ in rule.shared(group))
    tensors = [param(TensorType.of((5,), pb.float32)) for _ in range((2 + len(have)) * parameters)]
    numbers = [param(TensorType.of((), pb.float64)) for _ in rule.names]
    shared = [param(TensorType.of((), pb.float32)) for _ in scalars]
    results = OPERATIONS[name].define(*tensors, *shared, *numbers, count=parameters, have=have, scalars=scalars,
                                      **dict(rule.flags(group)))
    return len(topological(results)) - len(tensors)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adadelta", "Rprop"])
def test_equal_parameters_share_a_step(name: str) -> None:
    each = (recorded_nodes(name, 12) - recorded_nodes(name, 4)) / 8
    slots = len(RULES[name].slots(dict(RULES[name].defaults)))
    assert each <= 2 + slots, "a call, and a projection for the parameter and each tensor of its state"


@pytest.mark.parametrize("name", KERNELS)
def test_shared_steps_are_those_of_parameters_alone(name: str) -> None:
    pb.manual_seed(0)
    starts, grads = [pb.randn(4, 3) for _ in range(5)], [[pb.randn(4, 3) for _ in range(5)] for _ in range(3)]
    together = [pb.nn.Parameter(pb.clone(s)) for s in starts]
    alone = [pb.nn.Parameter(pb.clone(s)) for s in starts]
    optimizers = [getattr(optim, name)(together, lr=0.1), *(getattr(optim, name)([p], lr=0.1) for p in alone)]
    for step in grads:
        for p, q, g in zip(together, alone, step, strict=True):
            p.grad, q.grad = g, g
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(together, alone, strict=True):
        assert pb.max(pb.abs(p - q)).item() <= 1e-6

"""A step over all parameters is one program of few kernels, however many parameters there are."""

from __future__ import annotations

import pytest

import pullback as pb
from pullback import optim

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

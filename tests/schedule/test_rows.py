"""Operands whose rows lie in another order than they are counted: copied where that is little beside the product."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.programs import check, floats

import pullback as pb
import pullback.ops.build as b
from pullback.engine.pipeline import Clock, run_passes
from pullback.ir.dtypes import bfloat16, float32
from pullback.ir.node import Function, Node, TensorType, param
from pullback.kernel.nodes import MatmulNest, WindowNest
from pullback.schedule.plan import Options, Plan, plan


def products(made: Plan) -> list[MatmulNest]:
    nests = [s for phase in made.phases for k in phase for s in k.body if isinstance(s, (MatmulNest, WindowNest))]
    assert all(isinstance(s, MatmulNest) for s in nests)
    return [s for s in nests if isinstance(s, MatmulNest)]


def planned(function: Function, native: int = 0) -> Plan:
    return plan(run_passes(function, Clock()), frozenset(), frozenset(), Options(2, native=native))


def steps_first(x: Node) -> Node:
    return b.transpose(x, (1, 0, 2))


def both(x: Node, w: Node, ct: Node) -> list[Node]:
    """What a layer makes of a sequence, steps first, and the gradient of its weight."""
    forward = b.contract(steps_first(x), w, 0, 1)
    return [forward, b.contract(b.transpose(ct, (2, 0, 1)), b.transpose(steps_first(x), (2, 0, 1)), 0, 2)]


def test_a_sequence_with_its_batch_first_is_copied_once() -> None:
    x, w, ct = floats(8, 20, 64), floats(96, 64), floats(20, 8, 96)
    function = Function([x, w, ct], both(x, w, ct))
    made = planned(function)
    assert [(s.m, s.n, s.k, s.batch) for s in products(made)] == [(160, 96, 64, ()), (96, 64, 160, ())]
    (copy,) = {s.a for s in products(made)} & {s.b for s in products(made)}
    assert copy.space == "workspace" and copy.size == 8 * 20 * 64
    rng = np.random.default_rng(0)
    check(function, *(rng.standard_normal(t.shape).astype(np.float32) for t in function.in_types))


def test_what_is_used_a_few_times_is_read_where_it_lies() -> None:
    x, w = floats(8, 20, 64), floats(10, 64)
    made = planned(Function([x, w], [b.contract(steps_first(x), w, 0, 1)]))
    (product,) = products(made)
    assert product.a.space == "input" and len(product.batch) == 1


def test_numbers_of_16_bits_are_copied_as_they_are() -> None:
    x, w = (param(TensorType.of(shape, bfloat16)) for shape in ((8, 64, 64), (96, 64)))
    function = Function([x, w], [b.contract(steps_first(x), w, 0, 1)])
    for native, dtype in ((2, bfloat16), (0, float32)):
        (product,) = products(planned(function, native))
        assert product.a.dtype is dtype and not product.batch


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_cost_the_same_with_their_batch_first(layer: str, capsys: pytest.CaptureFixture[str]) -> None:
    counts: list[int] = []
    for batch_first in (False, True):
        module = getattr(pb.nn, layer)(64, 64, batch_first=batch_first)
        x = pb.ones((8, 20, 64) if batch_first else (20, 8, 64))
        params = dict(module.named_parameters())
        text = pb.show(lambda x, params, module=module: pb.value_and_grad(lambda p: pb.nn.functional_call(
            module, p, (x,))[0].sum())(params), "loops")(x, params)
        capsys.readouterr()
        counts.append(len(re.findall(r"^  product ", text, re.M)))
        assert not re.search(r"^  product i\d+<20", text, re.M)  # none for each step
    assert counts[0] == counts[1]

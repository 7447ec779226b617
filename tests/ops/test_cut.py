"""The least cost of values from which others can be made again, beside all choices there are."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

import pullback as pb
from pullback.ir import dtypes
from pullback.ir.node import Node, TensorType, param, topological
from pullback.ops import build, cut
from pullback.ops.cut import cheapest, is_cheap


def a_graph(seed: int) -> tuple[list[Node], list[Node], dict[Node, int]]:
    """Nodes made of three inputs by cheap and other functions, some that are wanted, and what each costs."""
    draw = random.Random(seed)
    nodes = [param(TensorType.of((4,), dtypes.float32)) for _ in range(3)]
    while len(nodes) < 9:
        x, y = draw.choice(nodes), draw.choice(nodes)
        make = draw.choice([build.add, build.mul, build.sub, build.neg, build.exp])
        new = make(x) if make in (build.neg, build.exp) else make(x, y)  # type: ignore[call-arg]
        if new not in nodes:
            nodes.append(new)
    wanted = draw.sample(nodes, draw.randint(1, 4))
    return nodes, wanted, {node: draw.choice([0, 1, 2, 2, 3, 5]) for node in nodes}


def suffices(kept: set[Node], wanted: list[Node]) -> bool:
    """Whether the wanted nodes can be made of those kept by cheap functions."""
    return all(node in kept or (is_cheap(node) and suffices(kept, list(node.inputs))) for node in wanted)


@pytest.mark.parametrize("seed", range(150))
def test_no_choice_costs_less(seed: int) -> None:
    nodes, wanted, costs = a_graph(seed)
    kept = cheapest(wanted, set(nodes), costs.__getitem__)
    assert suffices(set(kept), wanted) and len(set(kept)) == len(kept)
    forced = {node for node in wanted if not is_cheap(node)}
    choices = (set(c) for n in range(len(nodes) + 1) for c in itertools.combinations(nodes, n))
    least = min(sum(costs[x] for x in choice) for choice in choices if forced <= choice and suffices(choice, wanted))
    assert sum(costs[x] for x in kept) == least


def test_of_equal_choices_the_last() -> None:
    x = param(TensorType.of((4,), dtypes.float32))
    y = build.neg(build.exp(x))
    assert cheapest([y], set(topological([y])), lambda node: 1) == [y]


def test_what_does_not_vary_is_free() -> None:
    x, constant = (param(TensorType.of((4,), dtypes.float32)) for _ in range(2))
    y = build.mul(build.add(x, constant), constant)
    square = build.mul(y, y)
    assert cheapest([square, x], {x, y, y.inputs[0], square}, lambda node: 1) == [x]


def test_of_too_many_nodes_broadcasts_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long body would keep a number in every element of each of its arrays."""
    number = param(TensorType.of((), dtypes.float32))
    spread = build.broadcast(number, (4, 4), ())
    total = build.mul(spread, build.exp(spread))
    varying = set(topological([total]))
    monkeypatch.setattr(cut, "LIMIT", 2)
    assert cheapest([total, spread, build.exp(spread), number], varying, lambda node: node.tensor.nbytes) == [
        total, number, build.exp(spread)]


def lstm_turn(carry: tuple[pb.Tensor, pb.Tensor], x: pb.Tensor, w: pb.Tensor) -> tuple[object, None]:
    h, c = carry
    i, f, g, o = pb.split(x + h @ w, 8, dim=1)
    c = pb.sigmoid(f) * c + pb.sigmoid(i) * pb.tanh(g)
    return (pb.sigmoid(o) * pb.tanh(c), c), None


def test_a_cell_written_by_hand_keeps_seven_sequences() -> None:
    """Four gates, the state, its tanh and what the weights' gradient is made of: not the twelve factors of the
    derivative, five of which are products of the others."""
    rng = np.random.default_rng(0)
    x, w = pb.tensor(rng.standard_normal((5, 3, 32))), pb.tensor(rng.standard_normal((8, 32)) / 4)
    zero = pb.zeros((3, 8), dtype=x.dtype)

    def loss(x: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        (h, _), _ = pb.scan(lambda carry, turn: lstm_turn(carry, turn, w), (zero, zero), x)
        return (h * h).sum()

    def by_hand(x: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        carry = (zero, zero)
        for turn in x:
            carry, _ = lstm_turn(carry, turn, w)  # type: ignore[assignment]
        return (carry[0] * carry[0]).sum()

    for found, expected in zip(pb.grad(loss, (0, 1))(x, w), pb.grad(by_hand, (0, 1))(x, w), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)
    text = pb.show(pb.grad(loss, (0, 1)), "graph")(x, w)
    kept = [line for line in text.splitlines() if "scan[" in line and "reverse=False" in line and "[5, 3, 8]" in line]
    assert kept and all(line.count("float64[5, 3, 8]") == 7 for line in kept)


def test_a_branch_keeps_nothing_that_is_made_of_its_operands() -> None:
    """They are there anyway: a product of two is made again, an exponential is kept."""
    x, y, flag = pb.tensor([0.5, 2.0]), pb.tensor([3.0, -1.0]), pb.tensor(True)
    choices = {}
    for name, f in {"product": lambda x: x * y, "exponential": pb.exp}.items():
        gradient = pb.grad(lambda x, f=f: pb.cond(flag, lambda x: f(x) * f(x), lambda x: x, x).sum())
        by_hand = pb.grad(lambda x, f=f: (f(x) * f(x)).sum())
        np.testing.assert_allclose(gradient(x).numpy(), by_hand(x).numpy(), rtol=1e-6)
        choices[name] = pb.show(gradient, "graph")(x).count("= cond ")
    assert 0 < choices["product"] < choices["exponential"]

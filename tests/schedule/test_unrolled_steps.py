"""Steps of a recurrence written out in Python: what each adds to a program is the same, however many there are."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback as pb
from pullback.codegen.llvm.program import PlanEmitter
from pullback.codegen.llvm.target import host
from pullback.engine.pipeline import Clock, make_plan, run_passes
from pullback.kernel.nodes import expressions, subexpressions, walk
from pullback.schedule.plan import Places

WIDTH, BATCH = 12, 20


def plan_of(steps: int) -> Any:
    """The gradient of a network of two cells over so many columns, each of which it reads and predicts."""
    pb.manual_seed(0)
    first, second, last = pb.nn.LSTMCell(1, WIDTH), pb.nn.LSTMCell(WIDTH, WIDTH), pb.nn.Linear(WIDTH, 1)
    modules = (first, second, last)

    def loss(modules: Any, x: Any) -> Any:
        first, second, last = modules
        h = c = k = d = pb.zeros(BATCH, WIDTH)
        found: list[Any] = []
        for t in range(steps):
            h, c = first(x[:, t:t + 1], (h, c))
            k, d = second(h, (k, d))
            found.append(last(k))
        return ((pb.concat(found, 1) - x) ** 2).mean()

    x = pb.tensor(np.random.default_rng(0).random((BATCH, steps), np.float32))
    entry = pb.jit(pb.grad(loss)).entry_for((modules, x), {})
    return make_plan(run_passes(entry.function, Clock()), frozenset(), frozenset())


def test_a_step_reads_what_the_one_before_left() -> None:
    """The gradient of a cell's state is a sum along all steps: it is stored, not computed again in each."""
    def largest(plan: Any) -> int:
        kernels = [k for phase in plan.phases for k in phase]
        sizes = [len(subexpressions(tuple(e for s in walk(k.body) for e in expressions(s)))) for k in kernels]
        return sorted(sizes)[-len(sizes) // 10]  # a few sum what all steps left

    assert largest(plan_of(24)) <= largest(plan_of(12)) + 20


def test_steps_share_their_code() -> None:
    """Kernels that differ in which column they read are one text: the column is part of an address."""
    def texts(plan: Any) -> int:
        return len({unit.symbol for unit in PlanEmitter(plan, host()).units()})

    assert texts(plan_of(24)) <= texts(plan_of(12)) + 10


def test_places_do_not_overlap_while_they_are_taken() -> None:
    rng = np.random.default_rng(0)
    taken: list[tuple[int, int, int, int]] = []
    places = Places(300)
    for _ in range(300):
        size, first = 64 * int(rng.integers(1, 20)), int(rng.integers(50))
        last = first + int(rng.integers(10))
        at = places.take(size, first, last)
        for start, end, low, high in taken:
            assert at + size <= start or end <= at or last < low or high < first
        taken.append((at, at + size, first, last))
    assert places.total == max(end for _, end, _, _ in taken)
    assert isinstance(taken[0][0], int)


def test_the_first_gap_is_taken() -> None:
    places = Places(4)
    assert [places.take(128, 0, 5), places.take(64, 0, 0), places.take(64, 1, 1), places.take(64, 0, 5)] == [
        0, 128, 128, 192]
    assert places.total == 256

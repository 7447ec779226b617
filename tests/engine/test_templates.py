"""Operations whose definitions look at types alone: what a template makes is what the definition makes."""

from __future__ import annotations

import importlib
import itertools
import pkgutil

import numpy as np
import pytest

import pullback as pb
from pullback import api
from pullback.engine.operation import Operation
from pullback.engine.templates import template
from pullback.engine.trace import Operand
from pullback.ir import dtypes
from pullback.ir.node import TensorType, param
from pullback.ops import build
from pullback.util.errors import PullbackError


def by_type() -> dict[str, Operation]:
    """All operations that say so, by name."""
    found: dict[str, Operation] = {}
    for module in pkgutil.iter_modules(api.__path__):
        values = vars(importlib.import_module(f"pullback.api.{module.name}")).values()
        found |= {op.name: op for op in values if isinstance(op, Operation) and op.by_type}
    return found


OPERATIONS = by_type()


def operands() -> list[Operand]:
    """Arrays, numbers, what was converted, spread or turned from them, and constants."""
    x, y = (param(TensorType.of((3, 3), dtypes.float32)) for _ in range(2))
    half, whole, truth = (param(TensorType.of((3,), t)) for t in (dtypes.bfloat16, dtypes.int32, dtypes.bool_))
    number = param(TensorType.of((), dtypes.float64))
    found = [Operand(node, "") for node in (
        x, y, half, whole, truth, number, build.convert(whole, dtypes.float32), build.convert(number, dtypes.float32),
        build.broadcast(half, (3, 3), (1,)), build.transpose(x, (1, 0)), build.const_scalar(2.0, dtypes.float32),
        build.const_array(np.ones((3, 3), np.float32)))]
    numbers = [(build.const_scalar(2.0, dtypes.float64), "f"), (build.const_scalar(3, dtypes.int64), "i"),
               (build.const_scalar(-0.0, dtypes.float64), "f"), (number, "f")]
    return found + [Operand(node, weak) for node, weak in numbers]


def outcome(make: object, given: list[Operand]) -> object:
    try:
        return make(given)  # type: ignore[operator]
    except PullbackError as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_what_a_template_makes_is_what_the_definition_makes(name: str) -> None:
    """Nodes are hash-consed: equal graphs are the same node."""
    op = OPERATIONS[name]
    count = op.define.__code__.co_argcount  # type: ignore[attr-defined]
    made = 0
    for given in itertools.product(operands(), repeat=count):
        for _ in range(2):  # made and found
            assert outcome(op.build, list(given)) == outcome(op.defined, list(given))
        made += outcome(op.build, list(given)).__class__ is tuple
    assert made


def test_there_are_such_operations() -> None:
    assert {"add", "subtract", "multiply", "divide", "negative", "sqrt", "exp", "maximum"} <= {*OPERATIONS}


def test_one_operand_twice_is_no_template_for_two() -> None:
    add = OPERATIONS["add"]
    x, y = (Operand(param(TensorType.of((2,), dtypes.float32)), "") for _ in range(2))
    assert template(add.defined, [x, x]).make([x, y]) is add.defined([x, y])[0][0]


def test_constants_are_part_of_a_template() -> None:
    x = Operand(param(TensorType.of((2,), dtypes.float32)), "")
    two, three = (Operand(build.const_scalar(v, dtypes.float64), "f") for v in (2.0, 3.0))
    add = OPERATIONS["add"]
    found = [add.build([x, number])[0][0] for number in (two, three, two)]
    assert found[0] is found[2] and found[0] is not found[1]


def test_definitions_run_once_for_equal_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A jitted update of 20 equal parameters runs each definition once."""
    runs: list[str] = []
    plain = Operation.defined

    def counted(self: Operation, given: list[Operand]) -> object:
        runs.append(self.name)
        return plain(self, given)

    params = [pb.full((5, 7), float(k)) for k in range(20)]
    monkeypatch.setattr(Operation, "defined", counted)
    for op in OPERATIONS.values():
        op.templates.clear()
    new = pb.jit(lambda ps: [p - 0.1 * (0.9 * p) / (pb.sqrt(p) + 1e-8) for p in ps])(params)
    assert sorted(runs) == ["add", "divide", "multiply", "multiply", "sqrt", "subtract"]
    for k, p in enumerate(new):
        np.testing.assert_allclose(p.numpy(), k - 0.09 * k / (np.sqrt(k) + 1e-8), rtol=1e-5)

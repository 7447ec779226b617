"""What an operation's definition makes of operands of some types, made again without running it.

Only for definitions that look at nothing but types (`Operation.by_type`): hundreds of equal updates of parameters then
run their type rules, promotion and broadcasting once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pullback.engine.trace import Operand
from pullback.ir.dtypes import defaults
from pullback.ir.node import Node, Op, TensorType, apply, param, topological


class Template(NamedTuple):
    """Primitives in order; places count the operands, then the constants, then what the primitives before gave."""

    constants: tuple[Node, ...]
    steps: tuple[tuple[Op, tuple[int, ...], TensorType], ...]
    result: int
    weak: str

    def make(self, operands: list[Operand]) -> Node:
        """The result for operands of the template's types."""
        made = [operand.node for operand in operands]
        made += self.constants
        for op, places, type in self.steps:
            made.append(apply(op, *[made[k] for k in places], type=type))
        return made[self.result]


def signature(operands: list[Operand]) -> tuple[Any, ...]:
    """What a template depends on: numbers, types of other operands, and which give way to others' dtypes."""
    return defaults(), *[(o.node if is_number(o.node) else o.node.tensor, o.weak) for o in operands]


def is_number(node: Node) -> bool:
    return not node.shape and getattr(node.op, "data", None) is not None


def template(build: Callable[[list[Operand]], tuple[tuple[Node, ...], str]], operands: list[Operand]) -> Template:
    """What a definition with one result makes of such operands, each other than all others."""
    nodes = [o.node if is_number(o.node) else param(o.node.tensor) for o in operands]
    results, weak = build([Operand(node, o.weak) for node, o in zip(nodes, operands, strict=True)])
    places = {node: k for k, node in enumerate(nodes)}
    fixed = set(filter(is_number, nodes))
    steps: list[Node] = []
    for node in topological(results, nodes):
        if node not in places and fixed.issuperset(node.inputs):
            fixed.add(node)
        elif node not in places:
            steps.append(node)
    used = dict.fromkeys(x for node in steps for x in node.inputs) | dict.fromkeys(results)
    constants = [x for x in used if x in fixed and x not in places]
    places |= {node: k for k, node in enumerate((*constants, *steps), len(nodes))}
    return Template(tuple(constants), tuple([(x.op, tuple([places[k] for k in x.inputs]), x.tensor) for x in steps]),
                    places[results[0]], weak)

"""Checks: one more result that says which operator, if any, met inputs that it refuses.

    gather[mode=error] x i      adds      max over all such operators of (its number if any i < -n or i >= n else 0)

Needs: nothing. Leaves the other results as they were, and no calls. Bodies of loops and branches report too: a scan
carries the number, a while loop ends at the first report.
"""

from __future__ import annotations

import pullback.ops.build as b
from pullback.ir.dtypes import int32
from pullback.ir.node import Function, Node, Op, Proj, reapply
from pullback.passes.inline import inline

#: the number of the first operator; those after it count down, so that the largest number is the first to refuse
FIRST = 1 << 30


def with_checks(function: Function) -> tuple[Function, tuple[Node, ...]]:
    """The function with an int32 number as its last result, and the operators numbered (none: unchanged)."""
    checks = Checks()
    watched = checks.watch(function)
    return (function, ()) if watched is None else (watched, tuple(checks.found))


def refused(found: tuple[Node, ...], number: int) -> Node:
    """The operator that a number other than 0 names."""
    return found[FIRST - number]


def untouched(function: Function) -> list[int]:
    """The results that nothing is needed for that may refuse its inputs."""
    function = inline(function)
    touched: set[Node] = set()
    for node in function.nodes():
        kind = type(node.op)
        if kind.refuses is not Op.refuses or kind.reporting is not Op.reporting or not touched.isdisjoint(node.inputs):
            touched.add(node)
    return [k for k, r in enumerate(function.results) if r not in touched]


class Checks:
    """The operators found so far, in the order of their numbers."""

    def __init__(self) -> None:
        self.found: list[Node] = []

    def watch(self, function: Function) -> Function | None:
        """The function with a number as its last result; None where nothing refuses its inputs."""
        function = inline(function)
        done: dict[Node, Node] = {p: p for p in function.params}
        results: dict[Node, tuple[Node, ...]] = {}
        numbers: dict[Node, Node] = {}  # by condition: what reads and writes at the same places is checked once
        for node in function.nodes():
            if node in done:
                continue
            if isinstance(node.op, Proj) and node.inputs[0] in results:
                done[node] = results[node.inputs[0]][node.op.index]
                continue
            inputs = tuple([done[x] for x in node.inputs])
            kind = type(node.op)
            inner = None if kind.reporting is Op.reporting else node.op.reporting(self.watch, *inputs)
            if inner is not None:
                results[node], number = inner
                numbers[number] = number
                continue
            new = done[node] = reapply(node, inputs)
            bad = None if kind.refuses is Op.refuses else node.op.refuses(*inputs)
            if bad is not None and bad not in numbers:
                self.found.append(new)
                number = b.const_scalar(FIRST - len(self.found) + 1, int32)
                numbers[bad] = b.select(bad, number, b.zeros_like(number))
        if not numbers:
            return None
        first, *others = numbers.values()
        for number in others:
            first = b.maximum(first, number)
        return Function(function.params, [*(done[r] for r in function.results), first])

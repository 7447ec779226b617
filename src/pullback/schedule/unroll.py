"""Short loops within vector loops written out: what a turn tests and reads is then known while compiling.

    for j < 16 by 16:  a = 0;  for k < 2: a = a + x[j//2 - k];  y[j] = a
    becomes    for j < 16 by 16:  a = 0;  a = a + x[j//2];  a = a + x[j//2 - 1];  y[j] = a
"""

from __future__ import annotations

from math import prod

from pullback.ir.index import ZERO, Index, Var, const
from pullback.kernel.nodes import Accumulate, For, Stmt
from pullback.schedule import costs
from pullback.schedule.places import Place

MOST_TURNS = 16  # of the loops together
MOST_COST = 256  # of all that is written out


def unrolled(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Statements whose vector loops hold no short loops."""
    return tuple(_loop(s) if isinstance(s, For) else s for s in body)


def _loop(loop: For) -> For:
    body: list[Stmt] = []
    for s in unrolled(loop.body):
        loops = _nested(s) if loop.lanes > 1 and isinstance(s, For) else []
        body += _turns(loops) if loops and _short(loops) else [s]
    return For(loop.var, tuple(body), loop.lanes, loop.parallel, loop.start, loop.count, loop.extent, loop.folded)


def _nested(loop: For) -> list[For]:
    """Loops that hold one another, the last of which holds accumulations alone; none where there is more to them."""
    if loop.lanes > 1 or loop.parallel or loop.count >= 0:
        return []
    if len(loop.body) == 1 and isinstance(loop.body[0], For):
        inside = _nested(loop.body[0])
        return [loop, *inside] if inside else []
    return [loop] if all(isinstance(s, Accumulate) for s in loop.body) else []


def _short(loops: list[For]) -> bool:
    turns = prod(loop.size for loop in loops)
    values = tuple(s.value for s in loops[-1].body if isinstance(s, Accumulate))
    return turns <= MOST_TURNS and turns * costs.expression_cost(values) <= MOST_COST


def _turns(loops: list[For]) -> list[Stmt]:
    """The bodies of all turns, in order."""
    places: list[dict[Var, Index]] = [{}]
    for loop in loops:
        others: dict[Var, Index] = dict.fromkeys(loop.folded, ZERO)
        places = [{**known, **others, loop.var: const(k)} for known in places for k in range(loop.size)]
    return [at.statement(s) for at in map(Place, places) for s in loops[-1].body]


__all__ = ["unrolled"]

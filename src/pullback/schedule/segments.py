"""Loops cut where a guard changes: what joins arrays side by side tests nothing within a part.

    for i < 8: y[i] = (a[i] if i <= 3 else 0) + (b[i-4] if i >= 4 else 0)
    becomes    for i < 4: y[i] = a[i] + 0;    for i < 4: y[i+4] = 0 + b[i]

The loop may be the innermost one or the one that threads share, over one dimension or over several together.
"""

from __future__ import annotations

import itertools

from pullback.ir.index import Index, Part, Var, const
from pullback.kernel.nodes import Accumulate, Bind, For, Inside, Let, Stmt, Store, subexpressions, walk
from pullback.schedule.loops import lanes_for
from pullback.schedule.places import Place

MOST = 32  # parts of a loop
LEAST = 16  # turns of a part of an innermost loop,
SHARE = 0.75  # or of its parts that make up so much: a picture with a border


def in_segments(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Statements whose loops are cut at their guards."""
    found: list[Stmt] = []
    for s in body:
        if isinstance(s, For) and s.parallel and all(isinstance(t, (For, Bind, Store, Let)) for t in walk(s.body)):
            for part in shared_parts(s):
                found.append(_with_body(part, in_segments(part.body)) if part.lanes == 1 else part)
        elif isinstance(s, For) and s.lanes > 1 and all(isinstance(t, (Store, Let, Accumulate)) for t in s.body):
            found += segments(s)
        elif isinstance(s, For):
            found.append(_with_body(s, in_segments(s.body)))
        else:
            found.append(s)
    return tuple(found)


def _with_body(loop: For, body: tuple[Stmt, ...]) -> For:
    return For(loop.var, body, loop.lanes, loop.parallel, loop.start, loop.count, loop.extent, loop.folded)


def shared_parts(loop: For) -> list[For]:
    """The parts of a loop that threads share, cut by the first of its dimensions that has a guard of its own."""
    if loop.folded or loop.count >= 0 or loop.lanes > 1:
        return [loop]
    binds = [t for t in loop.body if isinstance(t, Bind)]
    if any(not t.index.terms for t in binds):  # one counts on through others
        return [loop]
    if any(isinstance(t, For) and t.start.terms for t in walk(loop.body)):  # the counter says which block of one
        return [loop]
    for v in [b.var for b in binds] or [loop.var]:
        parts = cuts(loop, v, v.size, 1)
        if parts:
            return [_shared_part(loop, binds, v, low, high) for low, high in parts]
    return [loop]


def _shared_part(loop: For, binds: list[Bind], cut: Var, low: int, high: int) -> For:
    """The turns of a loop in which one of its dimensions is in a range."""
    var = Var(cut.name, high - low)
    place = Place({cut: Index(((var, 1),), low)})
    if not binds:
        only = loop.body[0] if len(loop.body) == 1 else None
        if high - low > 1 or not isinstance(only, For) or only.count >= 0:
            return For(var, tuple(place.statement(t) for t in loop.body), parallel=True)
        inner = Place({cut: const(low)}).statement(only)
        assert isinstance(inner, For)
        return For(inner.var, inner.body, inner.lanes, True, extent=inner.extent, folded=inner.folded)
    row = Var(loop.var.name, loop.size // cut.size * var.size)
    position, body_ = Index(((row, 1),), 0), list[Stmt]()
    for b in binds:
        one = var if b.var is cut else b.var
        body_.append(Bind(one, position % one.size))
        position = position // one.size
    return For(row, (*body_, *(place.statement(t) for t in loop.body if not isinstance(t, Bind))), parallel=True)


def segments(loop: For) -> list[Stmt]:
    """The parts of an innermost loop; the loop itself where it has no guard of its counter alone, or short parts."""
    if loop.folded or loop.parallel or loop.count >= 0 or loop.start.terms or loop.start.const:
        return [loop]
    if not any(isinstance(t, Accumulate) for t in loop.body):
        return [_part(loop, low, high) for low, high in cuts(loop, loop.var, loop.size, LEAST, SHARE)] or [loop]
    parts = cuts(loop, loop.var, loop.size, loop.lanes)  # each accumulates in all lanes
    return [_part(loop, low, high, True) for low, high in parts] or [loop]


def cuts(loop: For, var: Var, size: int, least: int, share: float = 1.0) -> list[tuple[int, int]]:
    """The ranges of a variable between which guards change; none where there are too many, or where those that are not
    too short are less than a share of the whole."""
    values = tuple(t.value for t in walk(loop.body) if isinstance(t, (Store, Let, Accumulate)))
    found = {0, size}
    for x in subexpressions(values):
        for at, low, high in x.tests if isinstance(x, Inside) else ():
            unit = unit_of(at, var)
            if unit > 0:
                found |= {unit * (low - at.const), unit * (high + 1 - at.const)}
            elif unit:
                found |= {at.const - high, at.const - low + 1}
    ordered = sorted(c for c in found if 0 <= c <= size)
    parts = list(itertools.pairwise(ordered))
    long = sum(high - low for low, high in parts if high - low >= least)
    return parts if 1 < len(parts) <= MOST and long >= size * share else []


def _part(loop: For, low: int, high: int, whole: bool = False) -> Stmt:
    var = Var(loop.var.name, high - low)
    place = Place({loop.var: Index(((var, 1),), low)})
    lanes = loop.lanes if whole else lanes_for(var.size, loop.lanes)
    return For(var, tuple(place.statement(t) for t in loop.body), lanes)


def unit_of(at: Index, var: Var) -> int:
    """How far a variable goes for one step of an index that is the variable, its opposite, or its quotient; 0 where it
    is none of them."""
    if len(at.terms) != 1 or abs(at.terms[0][1]) != 1:
        return 0
    atom, sign = at.terms[0]
    if sign < 0:
        return -1 if atom == var else 0
    if isinstance(atom, Part):
        return atom.divisor if atom.quotient and atom.inner == Index(((var, 1),), 0) else 0
    return 1 if atom == var else 0


__all__ = ["in_segments"]

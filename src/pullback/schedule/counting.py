"""Dimensions that are counted through as one: all index expressions must allow it."""

from __future__ import annotations

from pullback.ir.index import Index, Var
from pullback.kernel.nodes import Gathered, IndexValue, Inside, Load, subexpressions
from pullback.schedule.roots import Root


def variable(index: Index) -> Var | None:
    """The variable that an index of `loop_vars` is; None where the size is 1."""
    if not index.terms:
        return None
    atom = index.terms[0][0]
    assert isinstance(atom, Var)
    return atom


def joined(x: Index, outer: Var, inner: Var) -> bool:
    a, b = x.coefficient(outer), x.coefficient(inner)
    return a is not None and b is not None and a == b * inner.size


def index_uses(members: list[Root]) -> list[Index]:
    """All index expressions that the members' values depend on."""
    values = tuple(m.value for m in members if m.value is not None)
    found: dict[Index, None] = {}
    for x in subexpressions(values):
        if isinstance(x, Load):
            if x.buffer.space == "register":
                continue
            found[x.flat] = None
        elif isinstance(x, IndexValue):
            found[x.index] = None
        elif isinstance(x, Inside):
            for index, _, _ in x.tests:
                found[index] = None
        elif isinstance(x, Gathered):
            for index in x.indices:
                if isinstance(index, Index):
                    found[index] = None
    for m in members:
        if m.kind == "argreduce":
            found[m.vars[m.reduced[0]]] = None
    return list(found)


def countable(root: Root, start: int, count: int, uses: list[Index]) -> int:
    """How many of the last dimensions the epilogue can count through as one."""
    found = min(1, count)
    inner = variable(root.vars[start + count - 1]) if count else None
    for d in range(start + count - 2, start - 1, -1):
        outer = variable(root.vars[d])
        if outer is not None and inner is not None and not all(joined(x, outer, inner) for x in uses):
            break
        inner = outer if outer is not None else inner
        found += 1
    return found

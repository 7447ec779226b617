"""Writing at static places, turned round: each place reads what is written there. `ReindexReduce` becomes `Reindex`,
and a reduction where several elements meet (the gradient of windows: convolution, pooling).

    out[indices(i)] += x[i]      becomes      out[o] = sum over the free i of x[solved(o, i)], 0 where there is none
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pullback.ir.index import ZERO, Index, Part, Var, const, loop_vars


class Solved(NamedTuple):
    """A variable that an equation gives: coefficient * variable + others = place, or a digit of the place."""

    place: Index
    coefficient: int
    others: tuple[tuple[Var, int], ...]
    part: str = ""


def solve(indices: Sequence[Index], source: tuple[int, ...], target: tuple[int, ...],
          by_rest: bool = False) -> tuple[tuple[int, ...], tuple[Index, ...]] | None:
    """(sizes of the free dimensions, index of each dimension of the source over loop_vars(target + free)).

    None where the places cannot be solved for. An index is out of range where no element is written. `by_rest`: a free
    dimension that others step over counts only those that meet a place, every so-many-th.
    """
    variables: dict[Var, int] = {}
    for k, v in enumerate(loop_vars(source)):
        if v.terms and isinstance(v.terms[0][0], Var):
            variables[v.terms[0][0]] = k
    solved: dict[Var, Solved] = {}
    for place, size, x in _equations(indices, target):
        if not _solve_one(place, x, size, solved):
            return None
    free = [v for v in variables if v not in solved]
    stepped = _stepped(solved, free) if by_rest else {}
    sizes = [-(-v.size // stepped[v].coefficient) if v in stepped else v.size for v in free]
    over = loop_vars((*target, *sizes))
    known: dict[Var, Index] = {v: over[len(target) + k] for k, v in enumerate(free)}
    for v, one in stepped.items():
        known[v] = known[v] * one.coefficient + one.place % one.coefficient
    found: list[Index] = [ZERO] * len(source)
    for v, k in variables.items():
        if v in known:
            found[k] = known[v]
    for v, one in solved.items():
        rest = one.place
        for w, cw in one.others:
            if w not in known:
                return None
            rest = rest - known[w] * cw
        met = [w for w, _ in one.others if stepped.get(w) is one]
        if met:  # place - place % step - step * counter is a multiple of the step
            found[variables[v]] = one.place // one.coefficient - over[len(target) + free.index(met[0])]
        else:
            found[variables[v]] = _value(v, one, rest)
    return tuple(sizes), tuple(found)


def _stepped(solved: dict[Var, Solved], free: list[Var]) -> dict[Var, Solved]:
    """Free variables w of step * v + w = place, each with its equation."""
    found: dict[Var, Solved] = {}
    for one in solved.values():
        if not one.part and one.coefficient > 1 and len(one.others) == 1:
            w, c = one.others[0]
            if c == 1 and w in free and w not in found:
                found[w] = one
    return found


def _equations(indices: Sequence[Index], target: tuple[int, ...]) -> list[tuple[Index, int, Index]]:
    """(place, how many there are, index) without constants; quotient and remainder of one expression are one place."""
    over = loop_vars(target)
    parts = {x.terms[0][0]: d for d, x in enumerate(indices) if x.const == 0 and [c for _, c in x.terms] == [1]}
    found: list[tuple[Index, int, Index]] = []
    joined: set[int] = set()
    for one, d in parts.items():
        if not isinstance(one, Part) or not one.quotient:
            continue
        rest = parts.get(Part(one.inner, one.divisor, False))
        if rest is not None and target[rest] <= one.divisor:
            joined |= {d, rest}
            place = over[d] * one.divisor + over[rest]
            found.append((place - one.inner.const, target[d] * target[rest], one.inner - one.inner.const))
    found += [(over[d] - x.const, target[d], x - x.const) for d, x in enumerate(indices) if d not in joined]
    return found


def _value(v: Var, one: Solved, rest: Index) -> Index:
    """v where coefficient * v is `rest`; out of range where that is not whole."""
    if one.part:
        return rest // one.coefficient if one.part == "quotient" else rest % one.coefficient
    if abs(one.coefficient) == 1:
        return rest * one.coefficient
    rest, step = (rest, one.coefficient) if one.coefficient > 0 else (rest * -1, -one.coefficient)
    return rest // step + (rest % step) * (v.size + max(rest.high, -rest.low, 1))


def _solve_one(place: Index, x: Index, size: int, solved: dict[Var, Solved]) -> bool:
    """Solve for the longest variable, so that least is left to sum over; digits of a number are both known."""
    terms: list[tuple[Var, int]] = []
    for atom, c in x.terms:
        if isinstance(atom, Part):
            return False
        terms.append((atom, c))
    if not terms:
        return size == 1 and place == ZERO
    if any(v in solved for v, _ in terms):
        return False
    if len(terms) == 2:
        (digit, one), (number, c) = sorted(terms, key=lambda t: t[1])
        if one == 1 and digit.size <= c:
            solved[number], solved[digit] = Solved(place, c, (), "quotient"), Solved(place, c, (), "remainder")
            return True
    v, c = max(terms, key=lambda t: (t[0].size, abs(t[1]) == 1))
    solved[v] = Solved(place, c, tuple(t for t in terms if t[0] != v))
    return True


__all__ = ["const", "solve"]

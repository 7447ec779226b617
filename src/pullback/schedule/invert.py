"""Writing at static places, turned round: each place reads what is written there. `ReindexReduce` becomes `Reindex`,
and a reduction where several elements meet (the gradient of windows: convolution, pooling).

    out[indices(i)] += x[i]      becomes      out[o] = sum over the free i of x[solved(o, i)], 0 where there is none
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.ir.index import ZERO, Index, Part, Var, const, loop_vars


def solve(indices: Sequence[Index], source: tuple[int, ...],
          target: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[Index, ...]] | None:
    """(sizes of the free dimensions, index of each dimension of the source over loop_vars(target + free)).

    None where the places cannot be solved for. An index is out of range where no element is written.
    """
    variables: dict[Var, int] = {}
    for k, v in enumerate(loop_vars(source)):
        if v.terms and isinstance(v.terms[0][0], Var):
            variables[v.terms[0][0]] = k
    solved: dict[Var, tuple[int, int, list[tuple[Var, int]]]] = {}
    for d, x in enumerate(indices):
        if not _solve_one(d, x, variables, solved):
            return None
    free = [v for v in variables if v not in solved]
    shape = (*target, *(v.size for v in free))
    over = loop_vars(shape)
    place: dict[Var, Index] = {v: over[len(target) + k] for k, v in enumerate(free)}
    found: list[Index] = [ZERO] * len(source)
    for v, k in variables.items():
        if v in place:
            found[k] = place[v]
    for v, (d, c, others) in solved.items():
        rest = over[d] - indices[d].const
        for w, cw in others:
            if w not in place:
                return None
            rest = rest - place[w] * cw
        if abs(c) == 1:
            found[variables[v]] = rest * c
        else:
            rest, step = (rest, c) if c > 0 else (rest * -1, -c)
            found[variables[v]] = rest // step + (rest % step) * (v.size + max(rest.high, -rest.low, 1))
    return tuple(v.size for v in free), tuple(found)


def _solve_one(d: int, x: Index, variables: dict[Var, int],
               solved: dict[Var, tuple[int, int, list[tuple[Var, int]]]]) -> bool:
    terms: list[tuple[Var, int]] = []
    for atom, c in x.terms:
        if isinstance(atom, Part):
            return False
        terms.append((atom, c))
    choices = [(v, c) for v, c in terms if v not in solved]
    if not choices:
        return not terms
    v, c = max(choices, key=lambda t: (abs(t[1]) == 1, t[0].size))
    if any(w in solved for w, _ in terms):
        return False
    solved[v] = (d, c, [t for t in terms if t[0] != v])
    return True


__all__ = ["const", "solve"]

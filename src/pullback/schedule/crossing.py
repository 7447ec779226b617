"""Elementwise kernels one of whose operands lies across the others in memory: transposed copies and sums.

Its rows are read along lines of the cache, a block of lines at a time:

    for each block of u, and what lies around:             shared out among threads
      for v, a line at a time:
        for u in the block:
          out[.., u, .., v] = f(x[.., v, .., u])           u: side by side in x; v: in the result
"""

from __future__ import annotations

from math import prod

from pullback.ir.index import ZERO, Index, Var
from pullback.kernel.nodes import Bind, For, Load, Stmt
from pullback.schedule.roots import Root

LINE = 64  # bytes
SMALL = 1 << 16  # bytes of an operand that stays in the caches anyway
NEAR = 256  # lines that one turn of u leaves in the first cache for the next

#: a loop: variable, turns, variables of outer dimensions that it counts through
LoopPlan = tuple[Var, int, tuple[Var, ...]]


def elements(size: int) -> int:
    """How many of this size are a block: a line of the cache, and no more lanes than numbers of four bytes have."""
    return LINE // max(size, 4)


def across(members: list[Root], loops: list[LoopPlan]) -> int:
    """The number of the loop that runs along an operand which the last one runs across; -1 where there is none."""
    last, turns, _ = loops[-1]
    for x in (x for m in members for x in m.loads):
        line = elements(x.buffer.dtype.itemsize)
        if not isinstance(x, Load) or x.buffer.nbytes < SMALL or turns <= NEAR:
            continue
        stride = x.flat.coefficient(last)
        for k, (v, count, _) in enumerate(loops[:-1]):
            if stride is not None and stride >= line <= count and x.flat.coefficient(v) == 1:
                return k
    return -1


def crossed(loops: list[LoopPlan], k: int, body: tuple[Stmt, ...], size: int) -> Stmt:
    """The nest, where loop k runs along what the last one runs across; elements have `size` bytes."""
    line = elements(size)
    (u, count, u_folded), (v, turns, v_folded) = loops[k], loops[-1]
    around = [*loops[:k], *loops[k + 1:-1]]
    blocks = -(-count // line)
    row = Var("row", blocks * prod(n for _, n, _ in around))
    position = Index(((row, 1),), 0) if row.size > 1 else ZERO
    binds: list[Stmt] = []
    start = position % blocks * line
    position = position // blocks
    for w, n, folded in reversed(around):
        binds.append(Bind(w, position % n))
        binds += [Bind(o, ZERO) for o in folded]
        position = position // n
    inner = For(u, body, start=start, count=line, extent=count, folded=u_folded)
    return For(row, (*binds, For(v, (inner,), line, extent=turns, folded=v_folded)), parallel=True)


__all__ = ["LoopPlan", "across", "crossed"]

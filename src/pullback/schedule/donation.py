"""Results that take over the memory of inputs which are given up, and the order of kernels that lets them."""

from __future__ import annotations

from typing import Any

from pullback.ir.node import Function
from pullback.kernel.nodes import (
    Buffer,
    For,
    Gathered,
    Kernel,
    Load,
    MatmulNest,
    Stmt,
    Store,
    WindowNest,
    expressions,
    subexpressions,
    walk,
)
from pullback.schedule import costs
from pullback.schedule.groups import Group
from pullback.schedule.roots import Roots

WRITTEN_BYTES = 8  # read and written for each element that is put in its place


Pairs = tuple[tuple[int, int], ...]  # a result and the parameter that it replaces


def waits(function: Function, roots: Roots, groups: list[Group], kernels: list[Kernel],
          donated: frozenset[int], state: int, replaced: Pairs | None) -> dict[int, int]:
    """The groups that are to run before each one, by its bit: all it depends on, and where it can write a result over
    a donated input, the other readers of that input and what says whether it may be lost: see `donate`."""
    before = {g.bit: g.ancestors for g in groups}
    results = {roots.buffers[r]: o for o, r in enumerate(function.results)}
    bits = {k: g.bit for g, k in zip(groups, kernels, strict=True)}
    writers = {results[x]: bit for k, bit in bits.items() for x in k.writes if x in results}
    check = writers.get(len(function.results) - 1, 0)
    for last in sorted({writers[o] for o, k in replaced or () if k in donated and o in writers}):
        if check not in (0, last) and not before[check] & last:
            run_before(before, [check], last)
    for k in sorted(donated):
        source = roots.params[function.params[k]]
        readers = [x for x in kernels if source in x.reads]
        for kernel in readers if len(readers) > 1 else ():
            outs = [x for x in kernel.writes if x in results and alike(x, source) and state in (-1, k - results[x])]
            others = [bits[x] for x in readers if x is not kernel]
            if not outs or any(before[x] & bits[kernel] for x in others):
                continue
            statements = loads_of(kernel)
            if any(in_step(statements, source, x) for x in outs):
                run_before(before, others, bits[kernel])
                break
    return before


def alike(out: Buffer, source: Buffer) -> bool:
    """Whether a result fits where an input lies."""
    return source.space == "input" and source.shape == out.shape and source.dtype is out.dtype


def run_before(before: dict[int, int], first: list[int], last: int) -> None:
    """What is `first` runs before the `last`, and before all that runs after it."""
    added = 0
    for x in first:
        added |= before[x] | x
    for x in before:
        if x == last or before[x] & last:
            before[x] |= added


def donate(function: Function, roots: Roots, phases: list[list[Kernel]], donated: frozenset[int],
           state: int, replaced: Pairs | None) -> dict[int, int]:
    """Results that may be written over a donated input: nobody reads it later, or elsewhere, or out of step.

    First those whose own kernel reads it: lines that are read are written again, and equal layers have equal kernels.
    Of pairs in `replaced`, a result takes no other input's memory, nor another result the input's; and not before it
    is known whether the program refuses something, which its last result says (that has memory of its own): the input
    would be lost.
    """
    alias: dict[int, int] = {}
    if not donated:
        return alias
    last: dict[Buffer, int] = {}
    readers: dict[Buffer, list[Kernel]] = {}
    writer: dict[Buffer, tuple[int, Kernel]] = {}
    statements: dict[Kernel, list[tuple[Stmt, list[Any]]]] = {}
    for n, phase in enumerate(phases):
        for k in phase:
            for x in k.reads:
                last[x] = n
                readers.setdefault(x, []).append(k)
            for x in k.writes:
                writer[x] = (n, k)
    mine, its = dict(replaced or ()), {k: o for o, k in replaced or ()}
    free = {k: roots.params[function.params[k]] for k in sorted(donated)}
    outs = [roots.buffers[r] for r in function.results]
    known = -1 if replaced is None else writer[outs[-1]][0] if outs[-1] in writer else len(phases)
    written = [o for o, out in enumerate(outs if replaced is None else outs[:-1]) if out in writer]
    in_turn = sorted(written, key=lambda o: writer[outs[o]][1].writes.index(outs[o]))  # as their kernel writes them
    for o, own in [*((o, True) for o in in_turn), *((o, False) for o in written)]:
        out = outs[o]
        if o in alias:
            continue
        n, kernel = writer[out]
        for k, source in free.items():
            if not alike(out, source) or (state >= 0 and k != state + o) or mine.get(o, k) != k or its.get(k, o) != o:
                continue
            if last.get(source, -1) > n or (o in mine and n <= known):
                continue
            now = [r for r in readers.get(source, []) if any(r is q for q in phases[n])]
            if own and not now:
                continue
            if now and kernel not in statements:
                statements[kernel] = loads_of(kernel)
            if all(r is kernel and in_step(statements[kernel], source, out) for r in now):
                alias[o] = k
                del free[k]
                break
    return alias


def in_place(function: Function, roots: Roots, phases: list[list[Kernel]], alias: dict[int, int]) -> None:
    """Leave out what copies a donated input onto itself: of x[i] = v only the elements at i are written."""
    same = {roots.buffers[function.results[o]]: roots.params[function.params[k]] for o, k in alias.items()}
    for phase in phases if same else ():
        for kernel in phase:
            if kernel.kind in ("scatter", "loops") and any(x in same for x in kernel.writes):
                body = without_copies(kernel.body, same)
                if kernel.kind == "scatter" and len(body) < len(kernel.body):
                    kernel.nbytes = WRITTEN_BYTES * kernel.flops
                    kernel.threads = min(kernel.threads, costs.worth_threads(kernel.flops, kernel.threads))
                kernel.body = body


def without_copies(body: tuple[Stmt, ...], same: dict[Buffer, Buffer]) -> tuple[Stmt, ...]:
    found: list[Stmt] = []
    for s in body:
        if isinstance(s, For):
            inner = without_copies(s.body, same)
            if inner:
                found.append(For(s.var, inner, s.lanes, s.parallel, s.start, s.count, s.extent, s.folded))
        elif not (isinstance(s, Store) and isinstance(s.value, Load) and s.value.buffer is same.get(s.buffer)
                  and s.value.flat == s.flat):
            found.append(s)
    return tuple(found)


def loads_of(kernel: Kernel) -> list[tuple[Stmt, list[Any]]]:
    """All statements of a kernel, each with the expressions that read memory for it."""
    return [(s, [x for x in subexpressions(expressions(s)) if isinstance(x, (Load, Gathered))])
            for s in walk(kernel.body)]


def in_step(stmts: list[tuple[Stmt, list[Any]]], source: Buffer, out: Buffer) -> bool:
    """Whether a kernel reads each element of the source only in the turn that writes the same element of the result."""
    if any(isinstance(s, (MatmulNest, WindowNest)) and source in (s.a.memory, s.b.memory) for s, _ in stmts):
        return False
    stores = [s for s, _ in stmts if isinstance(s, Store) and s.buffer is out]
    if len(stores) != 1:
        return False
    holders: list[Stmt] = []
    late = False  # it would read what the store has written
    for s, loads in stmts:
        reads = [x for x in loads if x.buffer.memory is source]  # by another name too: behind a barrier
        if not all(isinstance(x, Load) and x.flat == stores[0].flat for x in reads) or (reads and late):
            return False
        holders += [s] if reads else []
        late = late or s is stores[0]
    loops = [s for s, _ in stmts if hasattr(s, "body") or isinstance(s, (MatmulNest, WindowNest))]
    inside = [set(map(id, walk(getattr(s, "body", ()) or getattr(s, "epilogue", ())))) for s in loops]
    home = [k for k, ids in enumerate(inside) if id(stores[0]) in ids]
    return all([k for k, ids in enumerate(inside) if id(h) in ids] == home for h in holders)


__all__ = ["Pairs", "donate", "in_place", "waits"]

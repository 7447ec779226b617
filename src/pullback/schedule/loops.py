"""From a group of roots to loops: stages within a row, what is kept between them, and how each stage is run.

Members are put into stages: a stage is one loop over what is left of the space below the rows. A value that is used
only at the same element in its own stage is a register; one that a later stage of the row reads is scratch memory; one
that another kernel reads goes to memory of the program.
"""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.ir.dtypes import int64
from pullback.ir.index import ZERO, Index, Var, const
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    Bind,
    Buffer,
    Expr,
    For,
    Gathered,
    IndexValue,
    Init,
    Let,
    Literal,
    Load,
    Stmt,
    Store,
    Total,
    Update,
    subexpressions,
)
from pullback.ops.monoid import identity
from pullback.schedule import costs
from pullback.schedule.counting import index_uses, joined, variable
from pullback.schedule.crossing import LoopPlan, across, crossed
from pullback.schedule.groups import Group
from pullback.schedule.roots import Root

VECTOR_BYTES = 32
FEW = 16  # elements of a row up to which rows are lanes
LEAST_ROWS = 8


def identity_literal(root: Root) -> Literal:
    """The neutral element of a reduction."""
    op: Any = root.node.op
    return Literal(identity(op.monoid, root.buffer.dtype), root.buffer.dtype)


class LoopBuilder:
    """Builds the statements of one group of loops."""

    def __init__(self, group: Group, name: str) -> None:
        self.group, self.name = group, name
        self.rows = group.rows
        self.members: dict[Buffer, Root] = {m.buffer: m for m in group.members}
        self.scratch: list[Buffer] = []
        self.there = [m for m in group.members if prod(m.buffer.shape)]  # of what has no elements nothing is computed
        self.chunks = [m for m in self.there if m.kind == "chunk"]
        self.count = 0
        self._stages()
        self._storage()

    # -- stages ------------------------------------------------------------------------------------------------------
    def _stages(self) -> None:
        """Number the stages: each member as early as what it reads of the others allows."""
        for root in self.group.members:
            level = 0
            for x in root.loads:
                source = self.members.get(x.buffer)
                if source is None or source is root:
                    continue
                level = max(level, source.level + (0 if self._same_turn(root, source, x) else 1))
            root.level = level
            below = root.space[self.rows:]
            single = prod(below) == 1  # all these are one stage, in the order of the group, whatever their rank
            root.stage = (level, () if single else below, tuple(k for k in root.reduced if k >= self.rows
                                                                               if self._partial(root)))

    def _partial(self, root: Root) -> bool:
        """Whether some of the dimensions below the rows are summed over and some are kept."""
        inner = range(self.rows, len(root.space))
        gone = [k for k in inner if k in root.reduced]
        return bool(gone) and any(k not in gone and root.space[k] != 1 for k in inner)

    def _same_turn(self, root: Root, source: Root, x: Load | Gathered) -> bool:
        if source.kind != "map" or not isinstance(x, Load):
            return False
        if prod(source.space[self.rows:]) == 1:
            return True
        return x.indices == root.vars and source.space == root.space and not self._partial(root)

    def _storage(self) -> None:
        """Where each member's value lives."""
        crossing: set[Buffer] = set()
        for root in self.group.members:
            for x in root.loads:
                source = self.members.get(x.buffer)
                if source is not None and (source.stage != root.stage or not self._same_turn(root, source, x)):
                    crossing.add(x.buffer)
        for root in self.group.members:
            buffer = root.buffer
            if root.external or root.kind == "chunk":
                continue
            if prod(buffer.shape[self.rows:]) == 1:
                buffer.space = "register"
            elif buffer in crossing:
                buffer.space, buffer.drop = "scratch", self.rows
                self.scratch.append(buffer)
            else:
                buffer.space = "register"

    # -- statements --------------------------------------------------------------------------------------------------
    def build(self) -> tuple[Stmt, ...]:
        stages: dict[object, list[Root]] = {}
        for root in sorted(self.there, key=lambda r: (r.level, prod(r.space[self.rows:]) != 1)):
            stages.setdefault(root.stage, []).append(root)
        if not stages:
            return ()
        if self.chunks:
            return self._chunked(list(stages.values()))
        if len(stages) == 1 and self.there[0].space[self.rows:] == () and self.rows:
            return self._elementwise(self.there)
        if self.rows and self._few(self.there):
            return self._side_by_side([m for members in stages.values() for m in members])
        body: list[Stmt] = []
        alone = len(stages) == 1 and self.rows == 0
        for members in stages.values():
            body += self._stage(members, parallel=alone)
        return self._over_rows(tuple(body))

    def _over_rows(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        prefix = self.group.prefix
        count = prod(prefix)
        if count == 0:
            return ()
        if not prefix or count == 1:
            return body
        variables = [self._var(0, k) for k in range(len(prefix))]
        live = [(k, v) for k, v in enumerate(variables) if v is not None]
        if len(live) == 1:
            return (For(live[0][1], body, parallel=True),)
        row = Var("row", count)
        return (For(row, (*unravel_binds(row, live, prefix), *body), parallel=True),)

    def _var(self, member: int, k: int) -> Var | None:
        """The loop variable of dimension k; None where its size is 1."""
        return variable(self.group.members[member].vars[k])

    def _stage(self, members: list[Root], parallel: bool = False) -> list[Stmt]:
        first = members[0]
        inner = list(range(self.rows, len(first.space)))
        if prod(first.space[self.rows:]) == 1:
            return [s for m in members for s in self._straight(m)]
        if self._partial(first):
            return self._partial_stage(members, inner, parallel)
        before: list[Stmt] = []
        body: list[Stmt] = []
        after: list[Stmt] = []
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        loops = merge(first, inner, members, self._outputs(members))
        width = lanes_for(loops[-1][1], lanes)
        for m in members:
            if m.kind == "map":
                body.append(self._keep(m, m.vars, m.value))
            else:
                self._fold(m, width, before, body, after)
        only_maps = all(m.kind == "map" for m in members)
        return [*before, *nest(loops, tuple(body), width, parallel and only_maps), *after]

    def _fold(self, root: Root, width: int, before: list[Stmt], body: list[Stmt], after: list[Stmt]) -> None:
        """A reduction over everything below the row."""
        accumulator = self._accumulator(root)
        assert root.value is not None
        before.append(Init(accumulator, width))
        body.append(Accumulate(accumulator, root.value, self._position(root)))
        after.append(self._keep(root, root.out, Total(accumulator, root.buffer.dtype)))

    def _accumulator(self, root: Root, horizontal: bool = True) -> Accumulator:
        self.count += 1
        op = root.node.op
        monoid = "arg" + getattr(op, "kind", "") if root.kind == "argreduce" else getattr(op, "monoid", "add")
        assert root.value is not None
        return Accumulator(f"a{self.count}", monoid, root.value.dtype, horizontal)

    def _position(self, root: Root) -> Expr | None:
        return IndexValue(root.vars[root.reduced[0]], int64) if root.kind == "argreduce" else None

    def _keep(self, root: Root, indices: tuple[Index, ...], value: Expr | None) -> Stmt:
        assert value is not None
        buffer = root.buffer
        if buffer.space == "register":
            return Let(buffer, value)
        stream = buffer.space == "output" and self.rows == len(root.space) and buffer.size % 32 == 0
        return Store(buffer, indices, value, stream)

    def _straight(self, root: Root) -> list[Stmt]:
        """One element per row: no loop."""
        if root.kind == "map":
            return [self._keep(root, root.vars, root.value)]
        accumulator = self._accumulator(root)
        assert root.value is not None
        if root.kind == "argreduce":
            return [self._keep(root, root.out, Literal(0, root.buffer.dtype))]
        total = Total(accumulator, root.buffer.dtype)
        return [Init(accumulator, 1), Accumulate(accumulator, root.value), self._keep(root, root.out, total)]

    def _outputs(self, members: list[Root]) -> list[Index]:
        return [m.buffer.flat(m.vars) for m in members if m.kind == "map" and m.buffer.space != "register"]

    # -- reductions that keep some inner dimensions ------------------------------------------------------------------
    def _partial_stage(self, members: list[Root], inner: list[int], parallel: bool) -> list[Stmt]:
        first = members[0]
        kept = [k for k in inner if k not in first.reduced]
        gone = [k for k in inner if k in first.reduced]
        outputs = [m.buffer.flat((self.chunk_index, *m.out) if m.kind == "chunk" else m.out) for m in members]
        loops_kept = merge(first, kept, members, outputs)
        loops_gone = merge(first, gone, members, [])
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        across = (inner[-1] in kept and loops_kept[-1][1] > 1) or loops_gone[-1][1] < 4 <= loops_kept[-1][1]
        width = lanes_for((loops_kept if across else loops_gone)[-1][1], max(lanes, 8) if across else lanes)
        before: list[Stmt] = []
        body: list[Stmt] = []
        after: list[Stmt] = []
        for m in members:
            accumulator = self._accumulator(m, horizontal=not across)
            assert m.value is not None
            before.append(Init(accumulator, width))
            body.append(Accumulate(accumulator, m.value, self._position(m)))
            after.append(self._result(m, Total(accumulator, m.buffer.dtype)))
        inside = (*before, *nest(loops_gone, tuple(body), 1 if across else width, False), *after)
        return nest(loops_kept, inside, width if across else 1, parallel)

    def _result(self, root: Root, total: Expr) -> Stmt:
        if root.kind == "chunk":
            return Update(root.buffer, (self.chunk_index, *root.out), root.node.op.monoid, total)  # pyright: ignore
        return self._keep(root, root.out, total)

    # -- elementwise kernels -----------------------------------------------------------------------------------------
    def _elementwise(self, members: list[Root]) -> tuple[Stmt, ...]:
        first = members[0]
        if prod(first.space) == 1:
            return tuple(s for m in members for s in self._straight(m))
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        loops = merge(first, list(range(len(first.space))), members, self._outputs(members))
        body = tuple(self._keep(m, *self._only(m)) for m in members)
        k = across(members, loops)
        if k >= 0:
            return (crossed(loops, k, body, max(m.buffer.dtype.itemsize for m in members)),)
        return tuple(nest(loops, body, lanes_for(loops[-1][1], lanes), True))

    def _only(self, root: Root) -> tuple[tuple[Index, ...], Expr | None]:
        """Place and value of a member of one element a row: what is summed over there is that element."""
        if root.kind == "map":
            return root.vars, root.value
        return root.out, Literal(0, root.buffer.dtype) if root.kind == "argreduce" else root.value

    # -- rows of few elements ----------------------------------------------------------------------------------------
    def _few(self, members: list[Root]) -> bool:
        """Whether rows are sums of few elements each, which lie near those of the next row."""
        row = variable(members[0].vars[self.rows - 1])
        most = max(prod(m.space[self.rows:]) for m in members)
        if row is None or row.size < LEAST_ROWS or not 1 < most <= FEW:
            return False
        for m in members:
            several = prod(m.space[self.rows:]) > 1
            if m.kind not in ("map", "reduce") or (several and (m.kind == "map" or self._partial(m))):
                return False
            if any(not isinstance(x, Load) or not near(x, row) for x in m.loads):
                return False
        return True

    def _side_by_side(self, members: list[Root]) -> tuple[Stmt, ...]:
        """The rows are the lanes: each sums up its own elements."""
        first, body = members[0], list[Stmt]()
        for m in members:
            if m.kind == "map":
                body.append(self._keep(m, m.vars, m.value))
                continue
            accumulator = self._accumulator(m, horizontal=False)
            assert m.value is not None
            loops = merge(m, list(range(self.rows, len(m.space))), [m], [])
            body += [Init(accumulator), *nest(loops, (Accumulate(accumulator, m.value),), 1, False),
                     self._keep(m, m.out, Total(accumulator, m.buffer.dtype))]
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        outputs = [m.buffer.flat(m.vars if m.kind == "map" else m.out) for m in members if m.buffer.space != "register"]
        loops = merge(first, list(range(self.rows)), members, outputs)
        return tuple(nest(loops, tuple(body), lanes_for(loops[-1][1], lanes), True))

    # -- reductions over the leading dimension, in parts -------------------------------------------------------------
    def _chunked(self, stages: list[list[Root]]) -> tuple[Stmt, ...]:
        """for each part: start its accumulators; run its rows; keep them."""
        first = self.chunks[0]
        parts, size = first.buffer.shape[0], first.space[0]
        count = -(-size // parts)
        part = Var("part", parts)
        at = Index(((part, 1),), 0) if parts > 1 else ZERO
        self.chunk_index = at
        row = variable(first.vars[0])
        assert row is not None
        self.before: list[Stmt] = []
        self.after: list[Stmt] = []
        start = at * count
        if len(stages) == 1 and all(prod(m.space[1:]) == 1 for m in stages[0]):
            body, width = self._chunk_flat(stages[0], size)
        elif len(stages) == 1 and all(m.kind == "chunk" and self._columns(m) for m in stages[0]):
            loops = self._chunk_columns(stages[0], row, start, count)
            return (For(part, tuple(loops), parallel=True),)
        else:
            body, width = self._chunk_rows(stages), 1
        rows = For(row, tuple(body), width, start=start, count=count)
        return (For(part, (*self.before, rows, *self.after), parallel=True),)

    def _columns(self, root: Root) -> bool:
        return root.reduced == (0,)

    def _chunk_flat(self, members: list[Root], size: int) -> tuple[list[Stmt], int]:
        """Rows of one element: they are the lanes."""
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        width = lanes_for(-(-size // members[-1].node.shape[0]) if members[-1].kind == "chunk" else size, lanes)
        body: list[Stmt] = []
        for m in members:
            if m.kind == "chunk":
                self._chunk_total(m, width, body)
            else:
                body.append(self._keep(m, m.vars, m.value))
        return body, width

    def _chunk_total(self, root: Root, width: int, body: list[Stmt]) -> None:
        """A part's total in an accumulator that lasts for all its rows."""
        accumulator = self._accumulator(root)
        assert root.value is not None
        self.before.append(Init(accumulator, width))
        body.append(Accumulate(accumulator, root.value))
        ones = tuple(const(0) for _ in root.buffer.shape[1:])
        self.after.append(Store(root.buffer, (self.chunk_index, *ones), Total(accumulator, root.buffer.dtype)))

    def _chunk_columns(self, members: list[Root], row: Var, start: Index, count: int) -> list[Stmt]:
        """Sums of columns: a block of columns stays in registers while the rows pass."""
        first = members[0]
        inner = list(range(1, len(first.space)))
        outputs = [m.buffer.flat((self.chunk_index, *m.out)) for m in members]
        loops = merge(first, inner, members, outputs)
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        width = lanes_for(loops[-1][1], max(lanes, 8))
        before: list[Stmt] = []
        body: list[Stmt] = []
        after: list[Stmt] = []
        for m in members:
            accumulator = self._accumulator(m, horizontal=False)
            assert m.value is not None
            before.append(Init(accumulator))
            body.append(Accumulate(accumulator, m.value))
            after.append(Store(m.buffer, (self.chunk_index, *m.out), Total(accumulator, m.buffer.dtype)))
        turn = (*before, For(row, tuple(body), start=start, count=count), *after)
        return nest(loops, turn, width, False)

    def _chunk_rows(self, stages: list[list[Root]]) -> list[Stmt]:
        """Rows with stages: totals in accumulators, sums of columns in memory of the part."""
        body: list[Stmt] = []
        for members in stages:
            totals = [m for m in members if m.kind == "chunk"]
            if not totals:
                body += self._stage(members)
                continue
            body += self._chunk_stage(members)
        return body

    def _chunk_stage(self, members: list[Root]) -> list[Stmt]:
        first = members[0]
        inner = list(range(1, len(first.space)))
        for m in members:
            if m.kind == "chunk" and m.buffer.size > m.buffer.shape[0]:
                self._clear(m)
        if self._partial(first):
            return self._partial_stage(members, inner, False)
        single = prod(first.space[1:]) == 1
        lanes = choose_lanes([m.value for m in members if m.value is not None])
        kept = [m for m in members if m.kind == "chunk" and m.buffer.size > m.buffer.shape[0]]
        outputs = self._outputs(members) + [m.buffer.flat((self.chunk_index, *m.out)) for m in kept]
        loops = merge(first, inner, members, outputs)
        width = 1 if single else lanes_for(loops[-1][1], lanes)
        before: list[Stmt] = []
        body: list[Stmt] = []
        after: list[Stmt] = []
        for m in members:
            if m.kind == "map":
                body.append(self._keep(m, m.vars, m.value))
            elif m.kind != "chunk":
                self._fold(m, width, before, body, after)
            elif m in kept:
                assert m.value is not None
                body.append(Update(m.buffer, (self.chunk_index, *m.out), m.node.op.monoid, m.value))  # pyright: ignore
            else:
                self._chunk_total(m, width, body)
        return [*before, *(body if single else nest(loops, tuple(body), width, False)), *after]

    def _clear(self, root: Root) -> None:
        """Fill a part's sums with the identity."""
        flat = Var("z", root.buffer.size // root.buffer.shape[0])
        indices = flat_indices(root.buffer, self.chunk_index, flat)
        self.before.append(For(flat, (Store(root.buffer, indices, identity_literal(root)),), lanes_for(flat.size, 8)))


def flat_indices(buffer: Buffer, part: Index, flat: Var) -> tuple[Index, ...]:
    """Indices of element `flat` of a part: the last dimension counts on through the others."""
    zeros = (ZERO,) * (len(buffer.shape) - 2)
    return (part, *zeros, Index(((flat, 1),), 0) if flat.size > 1 else ZERO)


def unravel_binds(row: Var, live: list[tuple[int, Var]], prefix: tuple[int, ...]) -> list[Stmt]:
    """The variables of several dimensions from one counter."""
    found: list[Stmt] = []
    position = Index(((row, 1),), 0)
    for k, v in reversed(live):
        found.append(Bind(v, position % prefix[k]))
        position = position // prefix[k]
    return found


# -- loops -------------------------------------------------------------------------------------------------------------


def near(x: Load, row: Var) -> bool:
    """Whether what a row reads lies within two elements of what the row before reads, so that vectors hold both."""
    return x.buffer.space == "register" or x.flat.coefficient(row) in (0, 1, 2, -1)


def merge(first: Root, dims: list[int], members: list[Root], outputs: list[Index]) -> list[LoopPlan]:
    """Loops over some dimensions, neighbours made one where everything is read and written in their joint order."""
    plans: list[LoopPlan] = []
    used: list[Index] | None = None
    for k in dims:
        v = variable(first.vars[k])
        if v is None:
            continue
        if plans:
            if used is None:
                used = outputs + index_uses(members)
            before, turns, folded = plans[-1]
            if all(joined(x, before, v) for x in used):
                plans[-1] = (v, turns * v.size, (*folded, before))
                continue
        plans.append((v, v.size, ()))
    if not plans:
        return [(Var("one", 1), 1, ())]
    return plans


def nest(loops: list[LoopPlan], body: tuple[Stmt, ...], lanes: int, parallel: bool) -> list[Stmt]:
    """Nested loops, the innermost with lanes; the parallel one is the outermost, of all outer dimensions together."""
    var, turns, folded = loops[-1]
    if turns == 1 and len(loops) == 1:
        return list(body)
    if not parallel or len(loops) == 1:
        inner: Stmt = For(var, body, lanes, parallel, extent=turns, folded=folded)
        for v, n, f in reversed(loops[:-1]):
            inner = For(v, (inner,), extent=n, folded=f)
        return [inner]
    inner = For(var, body, lanes, extent=turns, folded=folded)
    outer = loops[:-1]
    if len(outer) == 1:
        v, n, f = outer[0]
        return [For(v, (inner,), parallel=True, extent=n, folded=f)]
    row = Var("row", prod(n for _, n, _ in outer))
    binds: list[Stmt] = []
    position = Index(((row, 1),), 0)
    for v, n, f in reversed(outer):
        binds.append(Bind(v, position % n))
        binds += [Bind(o, ZERO) for o in f]
        position = position // n
    return [For(row, (*binds, inner), parallel=True)]


def choose_lanes(values: list[Expr]) -> int:
    """How many elements at once: full vectors of the widest common type, several where the work is light.

    Long chains of multiply-adds (`costs.LONG`) wait for each other's results: four vectors of them side by side take
    three quarters of the time of two.
    """
    size = 4
    for x in subexpressions(tuple(values)):
        if x.dtype.itemsize > size and not isinstance(x, IndexValue):
            size = 8
    base = VECTOR_BYTES // size
    cost = costs.expression_cost(tuple(values))
    side_by_side = 48 if costs.waits(tuple(values)) else 16
    return base * (4 if cost <= side_by_side else 2 if cost <= 48 else 1)


def lanes_for(turns: int, lanes: int) -> int:
    """Lanes for a loop of so many turns: no more than there are, whole vectors where that is possible."""
    if turns <= 16:
        return max(turns, 1)
    while lanes > 8 and turns < 2 * lanes and turns % lanes:
        lanes //= 2
    return min(lanes, turns)

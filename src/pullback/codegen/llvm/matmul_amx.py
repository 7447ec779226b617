"""Matrix products on AMX (`amx_tile`): all threads make panels of A, then each claims units of some rows and columns.

Of B the panels of a unit are made by the thread that claimed it, for one block of k after the other, so that they stay
in its second cache; there the panels of A meet them. Tiles of one panel of A follow each other, because what their
epilogues read and write lies on the same pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.amx_pack import Form, Source, pack
from pullback.codegen.llvm.amx_sums import SUM_BYTES, Later, Partial, Sum, Tile, emit_tile, finish_columns
from pullback.codegen.llvm.claims import CLAIM_FLOPS, await_done, counter, for_claims, note_done
from pullback.codegen.llvm.matmul_nest import batch_index, dot_index, for_range
from pullback.codegen.llvm.matmul_spec import Epilogue, MatmulSpec, Operand
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, V, i64

COUNTERS = 4  # of a sweep: groups of panels claimed and done, units claimed and done
TOGETHER = 4  # panels that are made at a time where steps of k are apart: what is read of one is a run
GROUP = 4  # panels of B in a group: all of A is read for each
BLOCK = 16  # blocks of 32 steps of k that panels of B are made of at a time
NEAR_BYTES = 768 << 10  # of panels of A that stay in the second cache beside those of B: groups may be smaller
UNITS = 4  # for each thread, where there are so many
#: where B lies in panels already: blocks of k of a panel of A that are made at a time, because rows are few; and that
#: are summed up at a time where there are many, so that they stay in the first cache
PIECE, NEAR_BLOCK, FAR_DEPTH = 4, 4, 8
LEAST_ROWS = 4  # panels of A that a group is worth making for
MOST_ROWS = 32  # panels of A: partial sums of a group stay in the second cache
SWEEP_BYTES = 32 << 20  # of panels of A that are kept at a time, and in a cut
THREAD_BYTES = 8 << 20  # the same for each thread, where threads are many
PIECE_FLOPS, LAID_FLOPS = 5_000_000, 2_000_000  # least work for a thread; where B lies in panels already
#: nanoseconds of a core, measured: for 1000 operations of vectors and of the unit (with numbers at random: zeros take
#: half), for a number of A in panels where its rows or its steps of k are apart, for one of B, and for a partial sum
VECTORS, UNIT = 5.9, {3: 2.9, 2: 1.95, 1: 0.6}  # the unit by parts of a number
A_ROWS, A_STEPS, B_ROWS, B_STEPS, PARTIAL = 0.4, 0.5, 0.3, 0.2, 0.25
GAIN = 0.95  # of the vectors' time: what takes more is left to them
NOMINAL_THREADS = 2  # for which that is asked: who computes changes no result, whatever the number of threads


@dataclass(frozen=True)
class Place:
    """Where a tile is: panels of A and B, which of the unit's they are, and the block of k."""

    row: V
    column: V
    local_row: V
    local_column: V
    block: V
    start: V
    count: V


@dataclass(frozen=True)
class AmxPlan:
    """Sizes in panels of 32 rows or columns, and blocks of 32 steps of k."""

    batches: int
    rows: int
    columns: int
    depth: int
    form: Form
    cuts: int  # of the rows
    group: int  # panels of B that are made at a time
    block: int  # of k
    sweep_bytes: int  # most of the panels of A that are kept at a time
    max_threads: int

    @property
    def panel_bytes(self) -> int:
        return self.depth * self.block_bytes

    @property
    def block_bytes(self) -> int:
        return amx.block_bytes(self.form.parts)

    @property
    def groups(self) -> int:
        return -(-self.columns // self.group)

    @property
    def tall(self) -> int:
        """Most panels of A in a cut."""
        return -(-self.rows // self.cuts)

    @property
    def kept(self) -> int:
        """Cuts, of any batch index, whose panels are kept at a time."""
        return min(self.batches * self.cuts, max(1, self.sweep_bytes // (self.tall * self.panel_bytes)))

    @property
    def sweeps(self) -> int:
        return -(-self.batches * self.cuts // self.kept)

    @property
    def shared_bytes(self) -> int:
        return self.kept * self.tall * self.panel_bytes

    @property
    def b_bytes(self) -> int:
        return self.group * self.block * self.block_bytes

    @property
    def scratch_bytes(self) -> int:
        """Of partial sums: those of a block of k, and those of the one before."""
        return 2 * self.tall * self.group * SUM_BYTES if self.block < self.depth else 0

    @property
    def thread_bytes(self) -> int:
        return self.b_bytes + self.scratch_bytes

    def describe(self) -> str:
        sizes = f"{self.rows}x{self.columns}x{self.depth}"
        return f"amx {sizes} parts={self.form.parts} cuts={self.cuts} group={self.group} block={self.block}"

    def cost(self, spec: MatmulSpec) -> float:
        """Nanoseconds of one core."""
        m, n, k = self.rows * amx.SIDE, self.columns * amx.SIDE, self.depth * amx.DEPTH
        of_a = A_ROWS if spec.a.col_stride == 1 else A_STEPS
        of_b = B_ROWS if spec.b.row_stride == 1 else B_STEPS
        panels = m * k * of_a + n * k * self.cuts * of_b
        products = 2 * m * n * k * UNIT[spec.parts] / 1000
        return self.batches * (products + panels + m * n * -(-self.depth // self.block) * PARTIAL)


def amx_plan(spec: MatmulSpec, target: Target, threads: int) -> AmxPlan | None:
    """How a product is computed on the matrix unit; None where vectors do it."""
    if spec.laid:
        return planned_laid(spec, threads)
    lines = ((spec.a, spec.m), (spec.b.transposed, spec.n))
    if not target.amx or spec.dtype != "float" or not all(source_of(x, n) for x, n in lines):
        return None
    if spec.narrow:
        return planned(spec, threads)
    if spec.flops < CLAIM_FLOPS:
        return None
    plan = planned(spec, NOMINAL_THREADS)
    if plan.panel_bytes > SWEEP_BYTES // LEAST_ROWS or plan.cost(spec) >= GAIN * VECTORS * spec.flops / 1000:
        return None
    return planned(spec, threads)


def planned(spec: MatmulSpec, threads: int) -> AmxPlan:
    rows, columns, depth = -(-spec.m // amx.SIDE), -(-spec.n // amx.SIDE), -(-spec.k // amx.DEPTH)
    batches, wanted = prod(spec.batch), UNITS * threads
    block = depth if depth <= BLOCK * 5 // 4 else -(-depth // -(-depth // BLOCK))
    near = rows * block * amx.block_bytes(spec.parts) <= NEAR_BYTES
    group = max(1, min(GROUP, columns * batches // wanted)) if near else GROUP
    missing = -(-wanted // (batches * -(-columns // group)))
    most = max(1, min(MOST_ROWS, SWEEP_BYTES // (depth * amx.block_bytes(spec.parts))))
    cuts = max(-(-rows // most), min(rows // LEAST_ROWS, missing), 1)
    return AmxPlan(batches, rows, columns, depth, Form(spec.parts, spec.narrow), cuts, group, block,
                   max(SWEEP_BYTES, THREAD_BYTES * threads), max(1, spec.flops // PIECE_FLOPS))


def laid_fits(spec: MatmulSpec, panels: tuple[int, ...], target: Target) -> bool:
    """Whether panels of this shape are those of a product's B, and it is computed on the unit."""
    whole = (panels[0] * amx.SIDE, panels[1] * amx.DEPTH, panels[2]) == (spec.n, spec.k, spec.parts)
    return target.amx and whole and not spec.batch and source_of(spec.a, spec.m) is not None


def planned_laid(spec: MatmulSpec, threads: int) -> AmxPlan:
    """Where B lies in panels, of which a thread takes some."""
    plan = planned(spec, threads)
    group = max(1, min(GROUP, plan.columns // threads))
    block = plan.depth if plan.depth <= FAR_DEPTH else NEAR_BLOCK
    return replace(plan, cuts=1, group=group, block=block, max_threads=max(1, spec.flops // LAID_FLOPS))


class AmxNest:
    """A product being emitted; the pointers are those of the operands and of the workspace."""

    def __init__(self, fn: Fn, spec: MatmulSpec, plan: AmxPlan, epilogue: Epilogue, a: V, b: V, workspace: V) -> None:
        self.fn, self.spec, self.plan, self.epilogue = fn, spec, plan, epilogue
        self.a, self.b, self.a_panels = a, b, workspace
        mine = ix.mul(fn, fn.params[1], plan.thread_bytes)
        self.b_panels = fn.gep(workspace, ix.add(fn, mine, plan.shared_bytes), "i8")
        self.scratch = ix.offset(fn, self.b_panels, i64(plan.b_bytes), "i8")
        self.out = fn.alloca("float", amx.SIDE * amx.SIDE)
        a_source, b_source = source_of(spec.a, spec.m), source_of(spec.b.transposed, spec.n)
        assert a_source is not None and b_source is not None
        self.source_a, self.source_b = a_source, b_source

    def emit(self, slots: V, counters: Callable[[int], int], live: V) -> None:
        """All of the product, some cuts of A after others; panels are made anew when nobody reads them any more."""
        fn, plan = self.fn, self.plan
        first = counter(fn, slots, counters(COUNTERS * plan.sweeps))
        self.epilogue.prepare(fn, amx.SIDE)
        amx.configure(fn)

        def sweep(number: V) -> None:
            at = [ix.offset(fn, first, ix.add(fn, ix.mul(fn, number, COUNTERS), n), "i64") for n in range(COUNTERS)]
            start = ix.mul(fn, number, plan.kept)
            self.share_out(at[:2], self.pieces, start, live, lambda n: self.make_panels(n, start))
            self.share_out(at[2:], plan.groups, start, live, lambda n: self.unit(n, start), plan.sweeps > 1)

        for_range(fn, i64(0), i64(plan.sweeps), 1, sweep)
        amx.release(fn)

    def share_out(self, counters: list[V], each: int, start: V, live: V, body: Callable[[V], None],
                  wait: bool = True) -> None:
        """`body` for `each` numbers of each cut of a sweep, by all threads, which may wait until all are done. The last
        sweep may have fewer cuts."""
        fn, plan = self.fn, self.plan
        exist = ix.mul(fn, ix.sub(fn, i64(plan.batches * plan.cuts), start), each)

        def some(low: V, high: V) -> None:
            for_range(fn, low, ix.minimum(fn, high, exist), 1, body)
            if wait:
                note_done(fn, counters[1], ix.sub(fn, high, low))

        for_claims(fn, counters[0], plan.kept * each, live, some)
        if wait:
            await_done(fn, counters[1], plan.kept * each)

    @property
    def pieces(self) -> int:
        """In which panels of a cut of A are made."""
        return -(-self.plan.tall // self.together)

    @property
    def together(self) -> int:
        return 1 if self.source_a.rows_apart else TOGETHER

    def cut_of(self, pair: V) -> tuple[list[V], V, V]:
        """The batch index of a cut, counted through all batches, and its first and last panel."""
        fn, plan = self.fn, self.plan
        cut, flat = ix.rem(fn, pair, plan.cuts), ix.div(fn, pair, plan.cuts)
        low, high = (ix.div(fn, ix.mul(fn, ix.add(fn, cut, k), plan.rows), plan.cuts) for k in (0, 1))
        return batch_index(fn, flat, self.spec.batch), low, high

    def a_panel(self, local_pair: V, local_row: V) -> V:
        fn, plan = self.fn, self.plan
        number = ix.add(fn, ix.mul(fn, local_pair, plan.tall), local_row)
        return ix.offset(fn, self.a_panels, ix.mul(fn, number, plan.panel_bytes), "i8")

    def make_panels(self, n: V, start: V) -> None:
        """A group of panels of A."""
        fn, spec = self.fn, self.spec
        pair, at = ix.div(fn, n, self.pieces), ix.mul(fn, ix.rem(fn, n, self.pieces), self.together)
        index, low, high = self.cut_of(ix.add(fn, pair, start))
        src = ix.offset(fn, self.a, dot_index(fn, index, spec.a.batch_strides), spec.element)
        first = ix.add(fn, low, at)
        pack(fn, self.plan.form, True, self.source_a, src, self.a_panel(pair, at), first,
             ix.minimum(fn, ix.add(fn, first, self.together), high), spec.m, i64(spec.k))

    def unit(self, n: V, start: V) -> None:
        """A cut by a group of panels of B; groups of the same cut follow each other."""
        fn, spec, plan = self.fn, self.spec, self.plan
        pair = ix.div(fn, n, plan.groups)
        first = ix.mul(fn, ix.rem(fn, n, plan.groups), plan.group)
        stop = ix.minimum(fn, ix.add(fn, first, plan.group), plan.columns)
        batch_index, low, high = self.cut_of(ix.add(fn, pair, start))
        later = Later(fn, self.epilogue, batch_index, self.out, finish_columns(spec.n))

        def terms(block: V) -> None:
            at = ix.mul(fn, block, plan.block)
            count = ix.minimum(fn, ix.sub(fn, i64(plan.depth), at), plan.block)
            self.make_panels_of_b(batch_index, first, stop, at)

            def row(i: V) -> None:
                local = ix.sub(fn, i, low)
                a = ix.offset(fn, self.a_panel(pair, local), ix.mul(fn, at, plan.block_bytes), "i8")
                for_range(fn, first, stop, 1, lambda j: self.tile(
                    a, Place(i, j, local, ix.sub(fn, j, first), block, at, count), later))

            for_range(fn, low, high, 1, row)

        later.begin()
        for_range(fn, i64(0), i64(-(-plan.depth // plan.block)), 1, terms)
        later.end()

    def make_panels_of_b(self, batch_index: list[V], first: V, stop: V, at: V) -> None:
        """Some panels, of a block of k."""
        fn, spec, plan = self.fn, self.spec, self.plan
        k = ix.mul(fn, at, amx.DEPTH)
        steps = ix.minimum(fn, ix.sub(fn, i64(spec.k), k), plan.block * amx.DEPTH)
        place = ix.add(fn, dot_index(fn, batch_index, spec.b.batch_strides), ix.mul(fn, k, spec.b.row_stride))
        src = ix.offset(fn, self.b, place, spec.element)
        pack(fn, plan.form, False, self.source_b, src, self.b_panels, first, stop, spec.n, steps)

    def b_panel(self, at: Place) -> V:
        """How many blocks before that of a place there are in panels of B."""
        return ix.mul(self.fn, at.local_column, at.count)

    def tile(self, a: V, at: Place, later: Later) -> None:
        """32 x 32 results over a block of k."""
        fn, spec, plan = self.fn, self.spec, self.plan
        b = ix.offset(fn, self.b_panels, ix.mul(fn, self.b_panel(at), plan.block_bytes), "i8")
        row, col = ix.mul(fn, at.row, amx.SIDE), ix.mul(fn, at.column, amx.SIDE)
        rows = ix.minimum(fn, ix.sub(fn, i64(spec.m), row), amx.SIDE)
        partial = None
        if plan.block < plan.depth:
            number = ix.add(fn, ix.mul(fn, at.local_row, plan.group), at.local_column)
            end = fn.compare("icmp", "eq", ix.add(fn, at.start, at.count), i64(plan.depth))
            partial = Partial(self.scratch, plan.scratch_bytes // 2, number, at.block, end)
        emit_tile(fn, Sum(plan.form.parts, a, amx.Panel(b), at.count), partial, Tile(row, rows, col), later)


class LaidNest(AmxNest):
    """A product whose B lies in panels already (schedule/unit_panels.py), and whose A has few rows."""

    def __init__(self, fn: Fn, spec: MatmulSpec, plan: AmxPlan, epilogue: Epilogue, a: V, b: V, workspace: V) -> None:
        super().__init__(fn, spec, plan, epilogue, a, b, workspace)
        self.b_panels = b

    @property
    def pieces(self) -> int:
        return self.plan.rows * -(-self.plan.depth // PIECE)

    def make_panels(self, n: V, start: V) -> None:
        """Some blocks of k of a panel of A."""
        fn, spec, plan = self.fn, self.spec, self.plan
        each = -(-plan.depth // PIECE)
        panel, at = ix.div(fn, n, each), ix.mul(fn, ix.rem(fn, n, each), PIECE)
        k = ix.mul(fn, at, amx.DEPTH)
        steps = ix.minimum(fn, ix.sub(fn, i64(spec.k), k), PIECE * amx.DEPTH)
        src = ix.offset(fn, self.a, ix.mul(fn, k, spec.a.col_stride), spec.element)
        dst = ix.offset(fn, self.a_panel(i64(0), panel), ix.mul(fn, at, plan.block_bytes), "i8")
        pack(fn, plan.form, True, self.source_a, src, dst, panel, ix.add(fn, panel, 1), spec.m, steps)

    def make_panels_of_b(self, batch_index: list[V], first: V, stop: V, at: V) -> None:
        """They are there."""

    def b_panel(self, at: Place) -> V:
        return ix.add(self.fn, ix.mul(self.fn, at.column, self.plan.depth), at.start)


def source_of(operand: Operand, rows: int) -> Source | None:
    """How an operand lies, its rows being those of panels; None where neither rows nor steps of k are contiguous."""
    if operand.col_stride == 1:
        return Source(True, operand.row_stride)
    return Source(False, operand.col_stride) if operand.row_stride == 1 or rows == 1 else None

"""Products over windows whose pixels are the terms, on AMX: gradients of weights.

For each block of pixels: panels of all rows of A, by way of panels of float32 as vectors would read them; then, four at
a time, panels of the window's columns straight from the box, and all rows of A pass over them.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from pullback.codegen.llvm import amx_tile as amx
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.amx_pack import FLOATS, Form, Packer, Source, pack
from pullback.codegen.llvm.amx_sums import SUM_BYTES, Later, Partial, Sum, Tile, emit_tile, finish_columns
from pullback.codegen.llvm.claims import CLAIM_FLOPS
from pullback.codegen.llvm.matmul_amx import GAIN, UNIT
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import shuffle, transpose
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64, vector
from pullback.codegen.llvm.window_amx import GROUP, TILE
from pullback.codegen.llvm.window_spec import WindowSpec
from pullback.codegen.llvm.window_terms import TermPlan, Terms, plan_terms

MANY_ROWS = 256  # of A: blocks of pixels are shorter, so that panels stay in the second cache
#: nanoseconds of a core: for 1000 operations of vectors here, for a number of a panel of windows, for one of A, which
#: each thread makes, and for a partial sum
VECTORS, WINDOWS, ROWS, PARTIAL = 8.5, 0.35, 1.0, 0.25
PARAMS = [("ptr noalias", "base"), ("ptr noalias", "dst"), ("i64", "first"), ("i64", "k")]


def plan_on_unit(spec: WindowSpec, target: Target, threads: int) -> TermPlan | None:
    """How a product by terms is computed on the matrix unit; None where vectors do it."""
    if not target.amx or spec.dtype != "float" or spec.flops < CLAIM_FLOPS or prod(spec.batch) > 1:
        return None
    if spec.m % amx.SIDE or spec.n < amx.SIDE:
        return None
    plan = plan_terms(spec, target, threads, TILE, 2048 if spec.m <= MANY_ROWS else 1024)
    if not run_of(spec, plan) or cost(spec, plan) >= GAIN * VECTORS * spec.flops / 1000:
        return None
    tall, columns = spec.m // amx.SIDE, -(-spec.n // amx.SIDE)
    return replace(plan, tall=amx.SIDE, split="rows", unit_bytes=(tall + GROUP) * panel_bytes(spec, plan),
                   scratch_bytes=2 * tall * columns * SUM_BYTES)


def cost(spec: WindowSpec, plan: TermPlan) -> float:
    """Nanoseconds of one core."""
    most = terms_of(spec, plan)
    blocks = prod(spec.terms[:plan.at]) * -(-spec.terms[plan.at] // plan.block)
    depth = blocks * -(-most // amx.DEPTH) * amx.DEPTH
    columns = -(-spec.n // amx.SIDE) * amx.SIDE
    products = 2 * spec.m * columns * depth * UNIT[spec.parts] / 1000
    return (products + columns * depth * WINDOWS + spec.m * depth * 2 * ROWS
            + spec.m * columns * blocks * PARTIAL)


def terms_of(spec: WindowSpec, plan: TermPlan) -> int:
    """Terms of a block."""
    return plan.block * prod(spec.terms[plan.at + 1:])


def panel_bytes(spec: WindowSpec, plan: TermPlan) -> int:
    return -(-terms_of(spec, plan) // amx.DEPTH) * amx.block_bytes(spec.parts)


def run_of(spec: WindowSpec, plan: TermPlan) -> int:
    """How many pixels always lie side by side, a power of two up to a vector; 0 where they are too few."""
    inner = spec.terms[plan.at + 1:]
    places = plan.box.offsets(spec, (*(1,) * plan.at, plan.block, *inner))
    short = (spec.terms[plan.at] - 1) % plan.block + 1
    for run in (16, 8, 4):
        whole = all(count * prod(inner) % run == 0 for count in (plan.block, short))
        if whole and all(places[n + t] == places[n] + t for n in range(0, len(places), run) for t in range(run)):
            return run
    return 0


class WindowPacker(Packer):
    """`void name(base, dst, first, k)`: a panel of 32 columns of windows from `first` on, k pixels deep."""

    def __init__(self, module: Module, name: str, spec: WindowSpec, run: int, offsets: V, pixels: V) -> None:
        self.start(module.function(name, PARAMS, attributes="#1", linkage="internal"), Form(spec.parts), True)
        self.columns, self.run, self.offsets, self.pixels = spec.n, run, offsets, pixels

    def emit(self) -> None:
        fn = self.fn
        _, dst, first, k = fn.params
        count = fn.binary("lshr", fn.add(k, i64(amx.DEPTH - 1)), i64(5))
        block = fn.begin_loop(i64(0), count, i64(1), [dst])
        self.turn_windows(first, fn.mul(block.counter, i64(amx.DEPTH)))
        self.lines(block.carried[0])
        fn.end_loop(block, [fn.gep(block.carried[0], i64(amx.block_bytes(self.form.parts)), "i8")])
        fn.ret()

    def turn_windows(self, first: V, k: V) -> None:
        """Transpose the four squares of a block; what is beyond the last pixel is zero."""
        fn = self.fn
        base, _, _, last = fn.params
        loop = fn.begin_loop(i64(0), i64(4), i64(1))
        strip, half = fn.binary("lshr", loop.counter, i64(1)), fn.binary("and", loop.counter, i64(1))
        row, pixel = (fn.add(x, fn.mul(y, i64(amx.STRIP))) for x, y in ((first, strip), (k, half)))
        places: list[tuple[V, V]] = []
        for n in range(0, amx.STRIP, self.run):
            at = fn.add(pixel, i64(n))
            exists = fn.compare("icmp", "slt", at, last)
            near = ix.minimum(fn, at, fn.binary("sub", last, i64(self.run)))
            places.append((self.entry(self.pixels, near), fn.splat(exists, self.run)))
        lines: list[V] = []
        for n in range(amx.STRIP):
            column = ix.minimum(fn, fn.add(row, i64(n)), self.columns - 1)
            lines.append(self.pixels_of(fn.gep(base, self.entry(self.offsets, column), "float"), places))
        for n, column in enumerate(transpose(fn, lines)):
            fn.store(column, self.square_line(strip, half, i64(n)), 64)
        fn.end_loop(loop)

    def entry(self, table: V, at: V) -> V:
        fn = self.fn
        return fn.cast("sext", fn.load(fn.gep(table, at, "i32"), "i32", 4), "i64")

    def pixels_of(self, start: V, places: list[tuple[V, V]]) -> V:
        """16 pixels of a column, by runs."""
        fn, type_ = self.fn, vector("float", self.run)
        runs = [fn.select(exists, fn.load(fn.gep(start, place, "float"), type_, 4), const(0.0, type_))
                for place, exists in places]
        while len(runs) > 1:
            runs = [joined(fn, one, other) for one, other in zip(runs[::2], runs[1::2], strict=True)]
        return V(runs[0].ref, FLOATS)


def joined(fn: Fn, one: V, other: V) -> V:
    """Two vectors one after the other."""
    width = 2 * int(one.type[1:].split(" ", 1)[0])
    return V(shuffle(fn, one, other, list(range(width)), one.type).ref, vector("float", width))


class OnUnit:
    """The tiles of a block."""

    def __init__(self, loops: Terms) -> None:
        self.loops = loops
        fn, spec, plan = loops.fn, loops.spec, loops.plan
        self.size = panel_bytes(spec, plan)
        self.tall = spec.m // amx.SIDE
        self.rows = ix.offset(fn, loops.box, i64(plan.box_bytes), "i8")
        self.columns = ix.offset(fn, self.rows, i64(self.tall * self.size), "i8")
        self.out = fn.alloca("float", amx.SIDE * amx.SIDE)
        WindowPacker(fn.module, f"{loops.name}.w", spec, run_of(spec, plan), loops.offsets, loops.pixels).emit()

    def begin(self) -> None:
        amx.configure(self.loops.fn)

    def end(self) -> None:
        amx.release(self.loops.fn)

    def tiles(self, base: V, tiles: tuple[V, V], kcount: V, number: V, last: V, order: list[V]) -> None:
        """A thread's panels of columns, over one block of pixels."""
        loops = self.loops
        fn, plan = loops.fn, loops.plan
        depth = terms_of(loops.spec, plan)
        later = Later(fn, loops.epilogue, order, self.out, finish_columns(loops.spec.n))

        def row(i: V) -> None:
            source = ix.offset(fn, loops.panels, ix.mul(fn, i, plan.width * depth), "float")
            place = self.panel(self.rows, i)
            form, lies = Form(loops.spec.parts), Source(False, plan.width)
            pack(fn, form, True, lies, source, place, i64(0), i64(1), amx.SIDE, kcount)

        def group(t: V) -> None:
            stop = ix.minimum(fn, ix.add(fn, t, GROUP), tiles[1])
            for_range(fn, t, stop, 1, lambda j: self.make_panel(base, j, ix.sub(fn, j, t), kcount))
            for_range(fn, i64(0), i64(self.tall), 1, lambda i: for_range(
                fn, t, stop, 1, lambda j: self.tile(i, j, ix.sub(fn, j, t), kcount, number, last, later)))

        for_range(fn, i64(0), i64(self.tall), 1, row)
        later.begin()
        for_range(fn, *tiles, GROUP, group)
        later.end()

    def make_panel(self, base: V, j: V, local: V, kcount: V) -> None:
        fn = self.loops.fn
        fn.call(f"{self.loops.name}.w", "void", base, self.panel(self.columns, local), ix.mul(fn, j, amx.SIDE), kcount,
                declare=False)

    def panel(self, panels: V, n: V) -> V:
        return ix.offset(self.loops.fn, panels, ix.mul(self.loops.fn, n, self.size), "i8")

    def tile(self, i: V, j: V, local: V, kcount: V, number: V, last: V, later: Later) -> None:
        """32 x 32 results over a block of pixels."""
        loops = self.loops
        fn, spec = loops.fn, loops.spec
        count = ix.div(fn, ix.add(fn, kcount, amx.DEPTH - 1), amx.DEPTH)
        place = ix.add(fn, ix.mul(fn, j, self.tall), i)
        partial = Partial(loops.scratch, loops.plan.scratch_bytes // 2, place, number, last)
        of = Sum(spec.parts, self.panel(self.rows, i), amx.Panel(self.panel(self.columns, local)), count)
        emit_tile(fn, of, partial, Tile(ix.mul(fn, i, amx.SIDE), i64(amx.SIDE), ix.mul(fn, j, amx.SIDE)), later)

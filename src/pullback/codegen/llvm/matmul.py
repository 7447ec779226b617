"""Generated matrix products: C[m, n] = A[m, k] B[k, n] for any constant sizes and strides, epilogue fused.

Start reading at `matmul_plan.make_plan` (what is done for which shape), then `matmul_nest.emit_columns` (the loops)
and `matmul_tile.emit_tile` (the inner kernel). The order in which k is summed depends on the shape only, so results
have the same bits for every number of threads. Of a large product threads claim pieces (`matmul_claimed`); of a small
one they share out row units [units * tid / nthreads, units * (tid + 1) / nthreads), or column tiles, or batches.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.matmul_amx import AmxNest, AmxPlan, LaidNest, amx_plan
from pullback.codegen.llvm.matmul_claimed import COUNTERS, emit_claimed
from pullback.codegen.llvm.matmul_dot import emit_dots
from pullback.codegen.llvm.matmul_nest import Nest, emit_columns
from pullback.codegen.llvm.matmul_pack import PackShape, emit_pack, in_pieces
from pullback.codegen.llvm.matmul_plan import Plan, make_plan
from pullback.codegen.llvm.matmul_spec import Epilogue, MatmulKernel, MatmulSpec, Operand
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64

__all__ = ["Epilogue", "MatmulKernel", "MatmulSpec", "Operand", "emit_matmul"]

PARAMS = [("ptr", "args"), ("i64", "tid"), ("i64", "nthreads")]


class SwappedEpilogue:
    """The epilogue of C seen from C^T: a vector runs along C's rows and is handed over lane by lane."""

    def __init__(self, inner: Epilogue) -> None:
        self.inner = inner

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.inner.prepare(fn)

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        """A tile's rows are the operand's columns: its lines are its vectors'."""

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        if acc.type[0] != "<":
            self.inner(fn, batch_index, col, row, acc, None)
            return
        in_pieces(fn, acc, mask, 1, lambda offset, one: self.inner(
            fn, batch_index, fn.add(col, offset), row, one, None))


def emit_matmul(module: Module, name: str, spec: MatmulSpec, a_index: int, b_index: int, ws_index: int,
                counters: Callable[[int], int], epilogue: Epilogue, target: Target, threads: int = 2) -> MatmulKernel:
    """Emit `void name(ptr args, i64 tid, i64 nthreads)`; the three indices are slots of `args` holding pointers.
    `counters` reserves so many slots, with integers that are zero before the threads start, and says which is first.

    The slot `ws_index` is read only where the kernel reports a workspace. Sizes must be positive. `threads` is how
    many there will be: what they share out depends on it, the results do not.
    """
    if min(spec.m, spec.n, spec.k, *spec.batch, 1) < 1:
        raise ValueError(f"matmul sizes must be positive: {spec}")
    few = spec.n == 1 or (spec.n < min(5, target.lanes(spec.dtype)) and spec.k >= 16)
    if few and spec.n < spec.m and not spec.narrow:
        spec, epilogue, a_index, b_index = spec.transposed, SwappedEpilogue(epilogue), b_index, a_index
    on_unit = amx_plan(spec, target, threads)
    if spec.narrow and not on_unit:
        if not target.pairs or spec.k % 2:
            raise ValueError(f"no product of 16-bit operands here: {spec}")
        spec = spec.in_pairs
    plan = on_unit or make_plan(spec, target, threads)
    fn = module.function(name, PARAMS)
    args, tid, nthreads = fn.params
    live = ix.minimum(fn, nthreads, plan.max_threads)
    fn.cond_br(fn.compare("icmp", "slt", tid, live), "work", "done")
    fn.label("work")
    a, b = load_pointer(fn, args, a_index), load_pointer(fn, args, b_index)
    if isinstance(plan, AmxPlan):
        nest = LaidNest if spec.laid else AmxNest
        nest(fn, spec, plan, epilogue, a, b, load_pointer(fn, args, ws_index)).emit(args, counters, live)
    else:
        nest = Nest(fn, name, spec, plan, epilogue, target.fma, a, b, a, b, a, a)
        if plan.thread_bytes or plan.shared_bytes:
            place_workspace(nest, load_pointer(fn, args, ws_index), tid)
        emit_on_vectors(nest, args, counters, live)
        emit_packs(module, nest, target)
    fn.br("done")
    fn.label("done")
    fn.ret()
    return MatmulKernel(name, plan.thread_bytes, plan.shared_bytes, plan.max_threads, spec.flops, plan.describe())


def emit_on_vectors(nest: Nest, args: V, counters: Callable[[int], int], live: V) -> None:
    fn, plan = nest.fn, nest.plan
    nest.epilogue.prepare(fn, 1 if plan.dot else plan.cols)
    if plan.parts:
        emit_claimed(nest, args, counters(COUNTERS), live)
    else:
        emit_shares(nest, fn.params[1], live)


def load_pointer(fn: Fn, args: V, index: int) -> V:
    return fn.load(fn.gep(args, i64(index), "ptr"), "ptr", 8)


def place_workspace(nest: Nest, base: V, tid: V) -> None:
    fn, plan = nest.fn, nest.plan
    nest.shared = base
    mine = fn.gep(ix.offset(fn, base, i64(plan.shared_bytes), "i8"), ix.mul(fn, tid, plan.thread_bytes), "i8")
    nest.a_panels = mine
    nest.b_panels = ix.offset(fn, mine, i64(plan.a_bytes), "i8")
    nest.scratch = ix.offset(fn, mine, i64(plan.a_bytes + plan.b_bytes), "i8")


def emit_shares(nest: Nest, tid: V, live: V) -> None:
    fn, spec, plan = nest.fn, nest.spec, nest.plan
    count, tiles = prod(spec.batch), -(-spec.n // plan.cols)
    whole = (i64(0), i64(count)), (i64(0), i64(spec.m)), (i64(0), i64(tiles))
    batches, rows, columns = whole
    if plan.split == "batch":
        batches = share(fn, count, tid, live)
    elif plan.split == "m":
        low, high = share(fn, spec.m // plan.row_unit, tid, live)
        rows = ix.mul(fn, low, plan.row_unit), ix.mul(fn, high, plan.row_unit)
    elif plan.split == "n":
        columns = share(fn, tiles, tid, live)
    def one() -> None:
        if plan.dot:
            emit_dots(nest, *columns)
        else:
            emit_columns(nest, *rows, *columns)

    nest.for_batches(*batches, one)


def emit_packs(module: Module, nest: Nest, target: Target) -> None:
    """The copying functions that the plan calls."""
    spec, plan = nest.spec, nest.plan
    least = spec.k - (spec.k - 1) // plan.kc * plan.kc
    masked = target.masked_memory
    if plan.pack_a:
        emit_pack(module, f"{nest.name}.a", PackShape(
            spec.dtype, plan.scalar_bytes, spec.a.row_stride, spec.a.col_stride, spec.m, plan.tall, least,
            plan.pack_lanes, masked, True, spec.element, spec.a.apart))
    if plan.pack_b != "no":
        emit_pack(module, f"{nest.name}.b", PackShape(
            spec.dtype, plan.scalar_bytes, spec.b.col_stride, spec.b.row_stride, spec.n, plan_width(plan), least,
            plan.pack_lanes, masked, False, spec.element, spec.b.apart))


def plan_width(plan: Plan) -> int:
    return sum(chunk.width for chunk in plan.full)

"""Attention without stored scores: for each block of queries, block by block of the keys.

    for each batch index:                                             shared out among threads with the next loop
      panels = k transposed, values = v                               once for all blocks of queries
      for each block of queries:
        top, total, out = -inf, 0, 0
        for each block of keys that these queries see:
          scores = scale q k^T
          new = max(top, max(scores));  factor = exp(top - new);  top = new
          scores = exp(scores - top);  total = total * factor + sum(scores)    dropped behind the sum
          out = out * factor + scores v
        y = out / total;  lse = top + log(total)

The scores of a block stay in the second-level cache. The order of sums depends on the shapes only. Fewer queries than
a tile has rows are `attention_few`'s.
"""

from __future__ import annotations

import math
from math import prod

from pullback.codegen.llvm import attention_dropout as dropping
from pullback.codegen.llvm import attention_parts as parts
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.attention_backward import emit_backward
from pullback.codegen.llvm.attention_few import emit_few
from pullback.codegen.llvm.attention_parts import Blocks, Operands, Scratch, Site, Tiles, begin, finite, folded, larger
from pullback.codegen.llvm.kernels import EmittedKernel, Slots
from pullback.codegen.llvm.math import Ops
from pullback.codegen.llvm.math_exp import exp_flushed
from pullback.codegen.llvm.math_log import log
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, const, i64, vector
from pullback.kernel.nodes import AttentionNest, Kernel, Rows


def emit_attention(module: Module, kernel: Kernel, name: str, table: Slots, target: Target, max_threads: int,
                   linkage: str) -> EmittedKernel:
    """Emit `void name(ptr slots, i64 tid, i64 nthreads)`."""
    nest = kernel.body[0]
    assert isinstance(nest, AttentionNest)
    scalar = {"float32": "float", "float64": "double"}[nest.inputs[0].buffer.dtype.name]
    b = parts.blocks_of(nest, scalar, target)
    few = nest.m < b.rows and nest.dropout is None
    emit = emit_backward if len(nest.inputs) > 3 else emit_few if few else emit_forward
    return emit(Site(module, name, table, min(max_threads, kernel.threads), kernel.flops, linkage), nest, b)


def _areas(nest: AttentionNest, b: Blocks, scratch: Scratch) -> dict[str, int]:
    """Where the pieces of a thread's workspace begin, in bytes."""
    sizes = {"panels": parts.panel_elements(b, nest.n, nest.d), "values": nest.n * b.e_padded,
             "queries": b.queries * b.d_padded, "scores": b.queries * b.keys, "out": b.queries * b.e_padded,
             "top": b.queries, "total": b.queries, "factor": b.queries}
    return {key: scratch.take(size) for key, size in sizes.items()}


def emit_forward(site: Site, nest: AttentionNest, b: Blocks) -> EmittedKernel:
    """The kernel of y and lse."""
    scratch = Scratch(b.size)
    areas = _areas(nest, b, scratch)
    count, blocks = prod(nest.batch), -(-nest.m // b.queries)
    work = begin(site, nest, b, scratch, areas, count * blocks)
    forward = _Forward(work.fn, nest, b, site.name, work.operands, work.places)
    emitted = work.run(lambda low, high: forward.batches(low, high, blocks) if count * blocks else None)
    _helpers(site.module, nest, b, site.name)
    return emitted


def _helpers(module: Module, nest: AttentionNest, b: Blocks, name: str) -> None:
    sees = ("rows", "last") if nest.causal else ("", "")
    parts.emit_tiles(module, f"{name}.scores", Tiles(
        b.rows, b.vectors, b.d_padded, 1, b.cols, b.cols * nest.d, b.keys, "set", sees[0]), b)
    parts.emit_tiles(module, f"{name}.values", Tiles(
        b.rows, b.e_vectors, b.keys, 1, b.e_padded, b.e_vectors * b.lanes, b.e_padded, "scale", sees[1]), b)
    parts.emit_panels(module, f"{name}.panel", nest.inputs[1], nest.n, nest.d, b)
    parts.emit_fetch(module, f"{name}.q", nest.d, b.d_padded, b)
    if nest.e != nest.d:
        parts.emit_fetch(module, f"{name}.v", nest.e, b.e_padded, b)
    _emit_softmax(module, f"{name}.softmax", nest, b)


class _Forward:
    """The loops of one thread."""

    def __init__(self, fn: Fn, nest: AttentionNest, b: Blocks, name: str, operands: Operands,
                 areas: dict[str, V]) -> None:
        self.fn, self.nest, self.b, self.name, self.operands, self.areas = fn, nest, b, name, operands, areas

    def batches(self, low: V, high: V, blocks: int) -> None:
        """Blocks of queries [low, high), counted through the batch."""
        fn = self.fn

        def one(flat: V) -> None:
            index = parts.batch_index(fn, self.nest, flat)
            self.pack(index)
            lines = dropping.lines(fn, self.nest, self.operands, index, flat)
            before = ix.mul(fn, flat, blocks)
            start = ix.maximum(fn, ix.sub(fn, low, before), 0)
            stop = ix.minimum(fn, ix.sub(fn, high, before), blocks)
            for_range(fn, start, stop, 1, lambda block: self.block(index, block, lines))

        for_range(fn, ix.div(fn, low, blocks), parts.tiles_for(fn, high, blocks), 1, one)

    def pack(self, index: list[V]) -> None:
        fn, b, nest, areas = self.fn, self.b, self.nest, self.areas
        _, k, v = nest.inputs
        parts.pack_panels(fn, f"{self.name}.panel", b, self.operands.at(k, index), areas["panels"], i64(0),
                          i64(-(-nest.n // b.cols)), nest.d)
        which, n = "v" if nest.e != nest.d else "q", i64(nest.n)
        self.fetch(which, self.operands.at(v, index), areas["values"], v, n, n, 1.0)

    def fetch(self, which: str, src: V, dst: V, rows: Rows, valid: V, total: V, factor: float) -> None:
        self.fn.call(f"{self.name}.{which}", "void", src, dst, i64(rows.row_stride), valid, total,
                     const(factor, self.b.scalar), declare=False)

    def block(self, index: list[V], number: V, lines: dropping.Lines | None) -> None:
        """One block of queries."""
        fn, b, nest, areas = self.fn, self.b, self.nest, self.areas
        row = ix.mul(fn, number, b.queries)
        valid = ix.minimum(fn, ix.sub(fn, i64(nest.m), row), b.queries)
        q = nest.inputs[0]
        self.fetch("q", self.operands.at(q, index, row), areas["queries"], q, valid, i64(b.queries), nest.scale)
        parts.clear(fn, b, areas["out"], i64(b.queries * b.e_padded))
        parts.clear(fn, b, areas["total"], i64(b.queries))
        for_range(fn, i64(0), i64(b.queries), b.wide, lambda n: fn.store(
            parts.lowest(b), fn.gep(areas["top"], n, b.scalar), b.size))
        end = ix.minimum(fn, ix.add(fn, row, valid), nest.n) if nest.causal else i64(nest.n)
        for_range(fn, i64(0), end, b.keys, lambda key: self.pair(index, row, valid, key, end, lines))
        for_range(fn, i64(0), valid, 1, lambda r: self.finish(index, ix.add(fn, row, r), r))

    def pair(self, index: list[V], row: V, valid: V, key: V, end: V, lines: dropping.Lines | None) -> None:
        """One block of scores."""
        fn, b, nest, name, areas = self.fn, self.b, self.nest, self.name, self.areas
        width = ix.minimum(fn, ix.sub(fn, end, key), b.keys)
        diagonal = ix.sub(fn, key, row) if nest.causal else i64(0)
        row_tiles = parts.tiles_for(fn, valid, b.rows)
        scores, factor = areas["scores"], areas["factor"]
        panels = fn.gep(areas["panels"], ix.mul(fn, key, nest.d), b.scalar)
        values = fn.gep(areas["values"], ix.mul(fn, key, b.e_padded), b.scalar)
        parts.call_tiles(fn, f"{name}.scores", areas["queries"], panels, scores, None,
                         (row_tiles, parts.tiles_for(fn, width, b.cols)), i64(nest.d), diagonal)
        mask = scores if nest.mask is None else parts.mask_at(self.operands, nest.mask, index, row, key)
        fn.call(f"{name}.softmax", "void", scores, areas["top"], areas["total"], factor, valid, width, diagonal, mask,
                *(() if lines is None else lines.at(fn, row, key)), declare=False)
        parts.call_tiles(fn, f"{name}.values", scores, values, areas["out"], factor, (row_tiles, i64(b.e_tiles)), width,
                         diagonal)

    def finish(self, index: list[V], row: V, r: V) -> None:
        """y and lse of one query."""
        fn, b, areas = self.fn, self.b, self.areas
        o = Ops(fn, b.scalar)
        total, top = (fn.load(fn.gep(x, r, b.scalar), b.scalar, b.size) for x in (areas["total"], areas["top"]))
        y, lse = self.nest.results
        if y is not None:
            scale = 1.0 if self.nest.dropout is None else self.nest.dropout.factor
            factor = o.div(o.c(scale), o.sel(o.cmp("oeq", total, o.c(0.0)), o.c(1.0), total))
            parts.over_row(fn, b, fn.gep(areas["out"], ix.mul(fn, r, b.e_padded), b.scalar),
                           self.operands.at(y, index, row), self.nest.e, factor)
        if lse is not None:
            fn.store(o.add(top, log(o, total)), self.operands.at(lse, index, row), b.size)


SOFTMAX_PARAMS = [("ptr", "scores"), ("ptr", "top"), ("ptr", "total"), ("ptr", "factor"), ("i64", "rows"),
                  ("i64", "width"), ("i64", "diagonal"), ("ptr", "mask")]


def _emit_softmax(module: Module, name: str, nest: AttentionNest, b: Blocks) -> None:
    """Emit the steps between the two products, for the rows of a block.

    Each step is a loop of its own, so that rows need not wait for each other's sums across lanes.
    """
    fn = module.function(name, [*SOFTMAX_PARAMS, *dropping.params(nest)], attributes="#1", linkage="internal")
    scores, top, total, factor, rows, width, diagonal, mask = fn.params[:8]
    dropper = dropping.dropper(fn, b, nest)
    type_ = vector(b.scalar, b.wide)
    one, wide = Ops(fn, b.scalar), Ops(fn, type_)

    def line_of(r: V) -> tuple[V, V, V]:
        return fn.gep(scores, ix.mul(fn, r, b.keys), b.scalar), *parts.seen_of(fn, b, nest.causal, r, width, diagonal)

    def maximum(r: V) -> None:
        line, seen, stop = line_of(r)
        if nest.mask is not None:
            place = fn.gep(mask, ix.mul(fn, r, nest.mask.row_stride), b.scalar)
            parts.add_mask(fn, b, line, nest.mask, place, width)
        parts.hide(fn, b, line, seen, stop, -math.inf)
        loop = fn.begin_loop(i64(0), stop, i64(b.wide), [parts.lowest(b)])
        value = fn.load(fn.gep(line, loop.counter, b.scalar), type_, b.size)
        most = fn.end_loop(loop, [larger(wide, value, loop.carried[0])])[0]
        place = fn.gep(top, r, b.scalar)
        before = fn.load(place, b.scalar, b.size)
        fn.store(before, fn.gep(factor, r, b.scalar), b.size)
        fn.store(larger(one, folded(fn, most, larger), before), place, b.size)

    def rescale(r: V) -> None:
        tops, totals, factors = (fn.gep(x, r, b.scalar) for x in (top, total, factor))
        shift = finite(wide, fn.load(tops, type_, b.size))
        scale = exp_flushed(wide, wide.sub(fn.load(factors, type_, b.size), shift))
        fn.store(scale, factors, b.size)
        fn.store(wide.mul(fn.load(totals, type_, b.size), scale), totals, b.size)

    def powers(r: V) -> None:
        line, _, stop = line_of(r)
        shifts = fn.splat(finite(one, fn.load(fn.gep(top, r, b.scalar), b.scalar, b.size)), b.wide)
        loop = fn.begin_loop(i64(0), stop, i64(b.wide), [const(0.0, type_)])
        place = fn.gep(line, loop.counter, b.scalar)
        power = exp_flushed(wide, wide.sub(fn.load(place, type_, b.size), shifts))
        fn.store(power if dropper is None else dropper.drop(r, loop.counter, power)[0], place, b.size)
        found = fn.end_loop(loop, [wide.add(loop.carried[0], power)])[0]
        place = fn.gep(total, r, b.scalar)
        fn.store(one.add(fn.load(place, b.scalar, b.size), folded(fn, found, lambda o, x, y: o.add(x, y))), place,
                 b.size)

    for_range(fn, i64(0), rows, 1, maximum)
    for_range(fn, i64(0), i64(b.queries), b.wide, rescale)
    for_range(fn, i64(0), rows, 1, powers)
    fn.ret()


__all__ = ["emit_attention"]

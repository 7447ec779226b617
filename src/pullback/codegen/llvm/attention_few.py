"""Attention of few queries, for decoding with a cache: keys and values are read once, where they lie.

    for each batch index and query:                                 shared out among threads
      for each block of keys that the mask does not hide:
        scores = scale q k^T + mask, a vector of them               the rest: -inf
      top = max(scores);  powers = exp(scores - top);  total = sum(powers)
      for each block of keys with a power above zero:
        out = out + powers v                                        in registers
      y = out / total;  lse = top + log(total)

A cache that is full up to some position costs what is in it. The order of sums depends on the shapes and the mask only.
"""

from __future__ import annotations

import math
from math import prod

from pullback.codegen.llvm import attention_parts as parts
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.attention_parts import Blocks, Operands, Scratch, Site, begin, finite, folded, larger
from pullback.codegen.llvm.kernels import EmittedKernel
from pullback.codegen.llvm.math import Ops, reduce_or
from pullback.codegen.llvm.math_exp import exp_flushed
from pullback.codegen.llvm.math_log import log
from pullback.codegen.llvm.matmul_dot import sum_lanes
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import lane_mask, masked_load, zero
from pullback.codegen.llvm.matmul_plan import Chunk, chunks
from pullback.codegen.llvm.matmul_tile import multiply_add
from pullback.codegen.llvm.text import Fn, V, const, i64, vector
from pullback.kernel.nodes import AttentionNest

SUMS = 8  # vectors of the result that are summed up side by side


def emit_few(site: Site, nest: AttentionNest, b: Blocks) -> EmittedKernel:
    """The kernel of y and lse."""
    scratch = Scratch(b.size)
    areas = {"scores": scratch.take(nest.n + b.lanes), "query": scratch.take(nest.d + b.lanes)}
    work = begin(site, nest, b, scratch, areas, prod(nest.batch) * nest.m)
    one = _Query(work.fn, nest, b, work.operands, **work.places)
    return work.run(lambda low, high: for_range(work.fn, low, high, 1, one.emit))


class _Query:
    """What is done for one query."""

    def __init__(self, fn: Fn, nest: AttentionNest, b: Blocks, operands: Operands, scores: V, query: V) -> None:
        self.fn, self.nest, self.b, self.operands, self.scores, self.query = fn, nest, b, operands, scores, query
        self.type = vector(b.scalar, b.lanes)
        self.one, self.wide = Ops(fn, b.scalar), Ops(fn, self.type)

    def emit(self, flat: V) -> None:
        fn, nest = self.fn, self.nest
        row = ix.rem(fn, flat, nest.m) if prod(nest.batch) > 1 else flat
        index = parts.batch_index(fn, nest, ix.div(fn, flat, nest.m))
        seen = ix.minimum(fn, ix.add(fn, row, 1), nest.n) if nest.causal else i64(nest.n)
        self.fetch(self.operands.at(nest.inputs[0], index, row))
        self.each_score(index, row, seen)
        stop = ix.mul(fn, parts.tiles_for(fn, seen, self.b.lanes), self.b.lanes)
        top, total = self.powers(stop)
        y, lse = nest.results
        if y is not None:
            empty = self.one.cmp("oeq", total, self.one.c(0.0))
            factor = self.one.div(self.one.c(1.0), self.one.sel(empty, self.one.c(1.0), total))
            self.values(self.operands.at(nest.inputs[2], index), self.operands.at(y, index, row), seen, factor)
        if lse is not None:
            fn.store(self.one.add(top, log(self.one, total)), self.operands.at(lse, index, row), self.b.size)

    def fetch(self, src: V) -> None:
        """The scaled query, in whole vectors."""
        step = -(-self.nest.d // self.b.lanes) * self.b.lanes
        parts.over_row(self.fn, self.b, src, self.query, self.nest.d, const(self.nest.scale, self.b.scalar), step)

    # -- scores ------------------------------------------------------------------------------------------------------
    def each_score(self, index: list[V], row: V, seen: V) -> None:
        fn, nest, lanes = self.fn, self.nest, self.b.lanes
        keys = self.operands.at(nest.inputs[1], index)
        mask = None if nest.mask is None else self.operands.at(nest.mask, index, row)
        whole = ix.mul(fn, ix.div(fn, seen, lanes), lanes)
        for_range(fn, i64(0), whole, lanes, lambda key: self.some_scores(keys, mask, key, None))
        for_range(fn, whole, seen, lanes, lambda key: self.some_scores(keys, mask, key, seen))

    def some_scores(self, keys: V, mask: V | None, key: V, seen: V | None) -> None:
        """A vector of scores from a key on; those from `seen` on are -inf."""
        fn, nest, b = self.fn, self.nest, self.b
        low = const(-math.inf, self.type)
        inside: V | None = None
        if seen is not None:
            left = fn.splat(fn.cast("trunc", fn.binary("sub", seen, key), "i32"), b.lanes)
            inside = fn.compare("icmp", "slt", parts.lane_numbers(b.lanes), left)
        whole = i64(nest.d // b.lanes * b.lanes)
        added: V | None = None
        if mask is not None:
            added = self.added(mask, key, inside)
            shown = reduce_or(fn, fn.compare("fcmp", "une", added, low))
            whole = fn.select(shown, whole, i64(0))  # what is hidden is not read
        rows: list[V] = []
        for n in range(b.lanes):
            at = ix.add(fn, key, n)
            at = at if seen is None else ix.minimum(fn, at, ix.sub(fn, seen, i64(1)))
            rows.append(fn.gep(keys, ix.mul(fn, at, nest.inputs[1].row_stride), b.scalar))
        scores = sum_lanes(fn, self.products(rows, whole))
        scores = scores if added is None else fn.binary("fadd", scores, added)
        scores = scores if inside is None else fn.select(inside, scores, low)
        fn.store(scores, fn.gep(self.scores, key, b.scalar), b.size)

    def added(self, mask: V, key: V, inside: V | None) -> V:
        """What the mask adds to a vector of scores."""
        fn, b = self.fn, self.b
        if self.nest.mask is not None and not self.nest.mask.step:
            return fn.splat(fn.load(mask, b.scalar, b.size), b.lanes)
        place = ix.offset(fn, mask, key, b.scalar)
        return fn.load(place, self.type, b.size) if inside is None else masked_load(
            fn, place, self.type, b.size, inside)

    def products(self, rows: list[V], whole: V) -> list[V]:
        """Lane by lane sums of the query times each row, over `whole` elements and the last ones."""
        fn, b, d = self.fn, self.b, self.nest.d
        loop = fn.begin_loop(i64(0), whole, i64(b.lanes), [zero(self.type)] * len(rows))
        query = fn.load(fn.gep(self.query, loop.counter, b.scalar), self.type, b.size)
        sums = fn.end_loop(loop, [
            multiply_add(fn, query, fn.load(fn.gep(row, loop.counter, b.scalar), self.type, b.size), held, b.target.fma)
            for row, held in zip(rows, loop.carried, strict=True)])
        rest = d % b.lanes
        if not rest:
            return sums
        at = i64(d - rest)
        query = fn.load(fn.gep(self.query, at, b.scalar), self.type, b.size)
        mask = lane_mask(rest, b.lanes)
        return [multiply_add(fn, query, masked_load(fn, fn.gep(row, at, b.scalar), self.type, b.size, mask), held,
                             b.target.fma) for row, held in zip(rows, sums, strict=True)]

    # -- softmax -----------------------------------------------------------------------------------------------------
    def powers(self, stop: V) -> tuple[V, V]:
        """Scores to powers, in place; the largest score and the sum of the powers."""
        fn, b, wide, one = self.fn, self.b, self.wide, self.one
        loop = fn.begin_loop(i64(0), stop, i64(b.lanes), [const(-math.inf, self.type)])
        value = fn.load(fn.gep(self.scores, loop.counter, b.scalar), self.type, b.size)
        most = fn.end_loop(loop, [larger(wide, value, loop.carried[0])])[0]
        top = folded(fn, most, larger)
        shifts = fn.splat(finite(one, top), b.lanes)
        loop = fn.begin_loop(i64(0), stop, i64(b.lanes), [zero(self.type)])
        place = fn.gep(self.scores, loop.counter, b.scalar)
        power = exp_flushed(wide, wide.sub(fn.load(place, self.type, b.size), shifts))
        fn.store(power, place, b.size)
        found = fn.end_loop(loop, [wide.add(loop.carried[0], power)])[0]
        return top, folded(fn, found, lambda o, x, y: o.add(x, y))

    # -- values ------------------------------------------------------------------------------------------------------
    def values(self, values: V, out: V, seen: V, factor: V) -> None:
        """out = factor * powers v, some vectors of it at a time."""
        found = chunks(self.nest.e, self.b.lanes, self.b.target.masked_memory)
        for first in range(0, len(found), SUMS):
            self.some_values(values, out, seen, factor, found[first:first + SUMS])

    def some_values(self, values: V, out: V, seen: V, factor: V, columns: tuple[Chunk, ...]) -> None:
        fn, b, stride = self.fn, self.b, self.nest.inputs[2].row_stride
        start = [zero(vector(b.scalar, c.width)) for c in columns]
        blocks = fn.begin_loop(i64(0), seen, i64(b.lanes), start)
        key = blocks.counter
        powers = fn.load(fn.gep(self.scores, key, b.scalar), self.type, b.size)
        some = reduce_or(fn, fn.compare("fcmp", "une", powers, zero(self.type)))
        stop = ix.minimum(fn, ix.add(fn, key, b.lanes), seen)
        keys = fn.begin_loop(key, fn.select(some, stop, key), i64(1), blocks.carried)
        power = fn.load(fn.gep(self.scores, keys.counter, b.scalar), b.scalar, b.size)
        row = fn.gep(values, ix.mul(fn, keys.counter, stride), b.scalar)
        held = [parts.take(fn, b, ix.offset(fn, row, i64(c.col), b.scalar), c) for c in columns]
        sums = fn.end_loop(keys, [
            multiply_add(fn, fn.splat(power, c.width), value, total, b.target.fma)
            for c, value, total in zip(columns, held, keys.carried, strict=True)])
        for c, total in zip(columns, fn.end_loop(blocks, sums), strict=True):
            parts.put(fn, b, fn.binary("fmul", total, fn.splat(factor, c.width)),
                      ix.offset(fn, out, i64(c.col), b.scalar), c)


__all__ = ["emit_few"]

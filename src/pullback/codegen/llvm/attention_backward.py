"""The derivative of attention without stored scores: for each block of keys, block by block of the queries.

    for each batch index:                                             shared out among threads
      queries = scale q, cts = ct, dq = 0
      for each block of keys:
        dk, dv = 0
        for each block of queries that see them:
          p = exp(queries k^T - lse)
          w = p (cts v^T - delta)
          dv += p^T cts;  dk += w^T queries;  dq += scale w k

With dropout, p is dropped where dv reads it, and so is cts v^T; cts have its factor. Five products, so that nothing is
computed twice. The order of sums depends on the shapes only.
"""

from __future__ import annotations

import math
from math import prod

from pullback.codegen.llvm import attention_dropout as dropping
from pullback.codegen.llvm import attention_parts as parts
from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.attention_parts import Blocks, Operands, Scratch, Site, Tiles, begin
from pullback.codegen.llvm.kernels import EmittedKernel
from pullback.codegen.llvm.math import Ops
from pullback.codegen.llvm.math_exp import exp_flushed
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.text import Fn, Module, V, const, i64, vector
from pullback.kernel.nodes import AttentionNest, Rows


def emit_backward(site: Site, nest: AttentionNest, b: Blocks) -> EmittedKernel:
    """The kernel of the cotangents of q, k and v."""
    scratch = Scratch(b.size)
    areas = _areas(nest, b, scratch)
    work = begin(site, nest, b, scratch, areas, prod(nest.batch))
    backward = _Backward(work.fn, nest, b, site.name, work.operands, work.places)
    emitted = work.run(lambda low, high: for_range(work.fn, low, high, 1, backward.batch))
    _helpers(site.module, nest, b, site.name)
    return emitted


def _areas(nest: AttentionNest, b: Blocks, scratch: Scratch) -> dict[str, int]:
    m, d, e = parts.padded(nest.m, b.rows), b.d_padded, b.e_padded
    sizes = {"queries": m * d, "cts": m * e, "dq": m * d, "k": b.keys * d, "dk": b.keys * d, "dv": b.keys * e,
             "k_panels": parts.panel_elements(b, b.keys, nest.d), "v_panels": parts.panel_elements(b, b.keys, nest.e),
             "p": b.queries * b.keys, "w": b.queries * b.keys}
    return {key: scratch.take(size) for key, size in sizes.items()}


def _helpers(module: Module, nest: AttentionNest, b: Blocks, name: str) -> None:
    sees = ("rows", "first", "last") if nest.causal else ("", "", "")
    d_cols, e_cols = b.d_vectors * b.lanes, b.e_vectors * b.lanes
    parts.emit_panels(module, f"{name}.k", nest.inputs[1], nest.n, nest.d, b)
    parts.emit_panels(module, f"{name}.v", nest.inputs[2], nest.n, nest.e, b)
    parts.emit_tiles(module, f"{name}.dq", Tiles(
        b.rows, b.d_vectors, b.keys, 1, b.d_padded, d_cols, b.d_padded, "add", sees[2]), b)
    for suffix, width, step, cols in (("", nest.d, b.d_padded, d_cols), ("e", nest.e, b.e_padded, e_cols)):
        if suffix and nest.d == nest.e:
            continue
        vectors = cols // b.lanes
        parts.emit_tiles(module, f"{name}.scores{suffix}", Tiles(
            b.rows, b.vectors, step, 1, b.cols, b.cols * width, b.keys, "set", sees[0]), b)
        parts.emit_tiles(module, f"{name}.sums{suffix}", Tiles(
            b.rows, vectors, 1, b.keys, step, cols, step, "add", sees[1]), b)
        parts.emit_fetch(module, f"{name}.fetch{suffix}", width, step, b)
        parts.emit_give(module, f"{name}.give{suffix}", width, step, b)
    _emit_weights(module, f"{name}.weights", nest, b)


class _Backward:
    """The loops of one thread."""

    def __init__(self, fn: Fn, nest: AttentionNest, b: Blocks, name: str, operands: Operands,
                 areas: dict[str, V]) -> None:
        self.fn, self.nest, self.b, self.name, self.operands, self.areas = fn, nest, b, name, operands, areas
        self.e = "" if nest.d == nest.e else "e"  # which of the functions for rows of features

    def copy(self, which: str, src: V, dst: V, rows: Rows, valid: V, total: V, factor: float) -> None:
        self.fn.call(f"{self.name}.{which}", "void", src, dst, i64(rows.row_stride), valid, total,
                     const(factor, self.b.scalar), declare=False)

    def batch(self, flat: V) -> None:
        """All of one batch index."""
        fn, nest, b, areas = self.fn, self.nest, self.b, self.areas
        index = parts.batch_index(fn, nest, flat)
        q, ct, m = nest.inputs[0], nest.inputs[5], i64(nest.m)
        total = i64(parts.padded(nest.m, b.rows))
        self.copy("fetch", self.operands.at(q, index), areas["queries"], q, m, total, nest.scale)
        self.copy("fetch" + self.e, self.operands.at(ct, index), areas["cts"], ct, m, total,
                  1.0 if nest.dropout is None else nest.dropout.factor)
        lines = dropping.lines(fn, nest, self.operands, index, flat)
        parts.clear(fn, b, areas["dq"], ix.mul(fn, total, b.d_padded))
        for_range(fn, i64(0), i64(nest.n), b.keys, lambda key: self.keys(index, key, lines))
        if nest.results[0] is not None:
            rows = nest.results[0]
            self.copy("give", areas["dq"], self.operands.at(rows, index), rows, m, m, nest.scale)

    def keys(self, index: list[V], key: V, lines: dropping.Lines | None) -> None:
        """One block of keys."""
        fn, nest, b, areas = self.fn, self.nest, self.b, self.areas
        width = ix.minimum(fn, ix.sub(fn, i64(nest.n), key), b.keys)
        tiles = parts.tiles_for(fn, width, b.cols)
        _, k, v = nest.inputs[:3]
        for rows, which, size in ((k, "k", nest.d), (v, "v", nest.e)):
            parts.pack_panels(fn, f"{self.name}.{which}", b, self.operands.at(rows, index), areas[f"{which}_panels"],
                              key, tiles, size)
        self.copy("fetch", self.operands.at(k, index, key), areas["k"], k, width, width, 1.0)
        parts.clear(fn, b, areas["dk"], i64(b.keys * b.d_padded))
        parts.clear(fn, b, areas["dv"], i64(b.keys * b.e_padded))
        for_range(fn, key if nest.causal else i64(0), i64(nest.m), b.queries,
                  lambda row: self.pair(index, row, key, width, lines))
        for rows, which, source in ((nest.results[1], "give", "dk"), (nest.results[2], "give" + self.e, "dv")):
            if rows is not None:
                self.copy(which, areas[source], self.operands.at(rows, index, key), rows, width, width, 1.0)

    def pair(self, index: list[V], row: V, key: V, width: V, lines: dropping.Lines | None) -> None:
        """One block of scores: the two products that make it, and what it adds to the three results."""
        fn, nest, b, areas, name = self.fn, self.nest, self.b, self.areas, self.name
        valid = ix.minimum(fn, ix.sub(fn, i64(nest.m), row), b.queries)
        diagonal = ix.sub(fn, key, row) if nest.causal else i64(0)
        queries = fn.gep(areas["queries"], ix.mul(fn, row, b.d_padded), b.scalar)
        cts = fn.gep(areas["cts"], ix.mul(fn, row, b.e_padded), b.scalar)
        both = parts.tiles_for(fn, valid, b.rows), parts.tiles_for(fn, width, b.cols)
        parts.call_tiles(fn, f"{name}.scores", queries, areas["k_panels"], areas["p"], None, both, i64(nest.d),
                         diagonal)
        parts.call_tiles(fn, f"{name}.scores{self.e}", cts, areas["v_panels"], areas["w"], None, both, i64(nest.e),
                         diagonal)
        lse, delta = (self.operands.at(rows, index, row) for rows in nest.inputs[3:5])
        mask = areas["p"] if nest.mask is None else parts.mask_at(self.operands, nest.mask, index, row, key)
        fn.call(f"{name}.weights", "void", areas["p"], areas["w"], lse, delta, valid, width, diagonal, mask,
                *(() if lines is None else lines.at(fn, row, key)), declare=False)
        rows = parts.tiles_for(fn, width, b.rows)
        if nest.results[2] is not None:
            parts.call_tiles(fn, f"{name}.sums{self.e}", areas["p"], cts, areas["dv"], None,
                             (rows, i64(b.e_tiles)), valid, diagonal)
        if nest.results[1] is not None:
            parts.call_tiles(fn, f"{name}.sums", areas["w"], queries, areas["dk"], None,
                             (rows, i64(b.d_tiles)), valid, diagonal)
        if nest.results[0] is not None:
            dq = fn.gep(areas["dq"], ix.mul(fn, row, b.d_padded), b.scalar)
            parts.call_tiles(fn, f"{name}.dq", areas["w"], areas["k"], dq, None,
                             (both[0], i64(b.d_tiles)), width, diagonal)


WEIGHTS_PARAMS = [("ptr", "p"), ("ptr", "w"), ("ptr", "lse"), ("ptr", "delta"), ("i64", "rows"), ("i64", "width"),
                  ("i64", "diagonal"), ("ptr", "mask")]


def _emit_weights(module: Module, name: str, nest: AttentionNest, b: Blocks) -> None:
    """Emit the steps between the products: p = exp(p - lse), w = p (w - delta), for the rows of a block."""
    fn = module.function(name, [*WEIGHTS_PARAMS, *dropping.params(nest)], attributes="#1", linkage="internal")
    shares, weights, lse, delta, rows, width, diagonal, mask = fn.params[:8]
    dropper = dropping.dropper(fn, b, nest)
    type_ = vector(b.scalar, b.wide)
    one, wide = Ops(fn, b.scalar), Ops(fn, type_)

    def row(r: V) -> None:
        lines = [fn.gep(x, ix.mul(fn, r, b.keys), b.scalar) for x in (shares, weights)]
        seen, stop = parts.seen_of(fn, b, nest.causal, r, width, diagonal)
        if nest.mask is not None:
            place = fn.gep(mask, ix.mul(fn, r, nest.mask.row_stride), b.scalar)
            parts.add_mask(fn, b, lines[0], nest.mask, place, width)
        for line, value in zip(lines, (-math.inf, 0.0), strict=True):
            parts.hide(fn, b, line, seen, stop, value)
        total, shift = (fn.load(fn.gep(x, ix.mul(fn, r, given.row_stride), b.scalar), b.scalar, b.size)
                        for x, given in zip((lse, delta), nest.inputs[3:5], strict=True))
        total = fn.splat(one.sel(one.cmp("oeq", total, one.c(-math.inf)), one.c(0.0), total), b.wide)
        shift = fn.splat(shift, b.wide)

        def some(c: V) -> None:
            places = [fn.gep(line, c, b.scalar) for line in lines]
            score, product = (fn.load(place, type_, b.size) for place in places)
            power = exp_flushed(wide, wide.sub(score, total))
            kept, product = (power, product) if dropper is None else dropper.drop(r, c, power, product)
            fn.store(kept, places[0], b.size)
            fn.store(wide.mul(power, wide.sub(product, shift)), places[1], b.size)

        for_range(fn, i64(0), stop, b.wide, some)

    for_range(fn, i64(0), rows, 1, row)
    fn.ret()


__all__ = ["emit_backward"]

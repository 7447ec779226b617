"""Copying the part of an image that windows reach into a box: zeros beyond the image and between its elements."""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import masked_load, masked_store, shuffle, zero
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, vector
from pullback.codegen.llvm.window_spec import Box, WindowSpec


def box_params(spec: WindowSpec) -> list[tuple[str, str]]:
    """Source (element 0 of the buffer), box, what moves each dimension; of the first dimension where, and how many."""
    return [("ptr noalias", "src"), ("ptr noalias", "dst"), *(("i64", f"move{d}") for d in range(len(spec.dims))),
            ("i64", "from"), ("i64", "count")]


def moves(spec: WindowSpec, box: Box, moving: set[int]) -> bool:
    """Whether zeros stay where they are when the box is copied again for another part of the image."""
    return any(d in moving and _may_leave(spec, box, d, True) for d in range(len(spec.dims)))


def _may_leave(spec: WindowSpec, box: Box, d: int, moved: bool) -> bool:
    """Whether some places of a dimension may be no elements."""
    dim, edge = spec.dims[d], box.edges[d]
    return moved or dim.step > 1 or edge.low < 0 or edge.low + edge.count > dim.size


def zero_box(fn: Fn, target: V, spec: WindowSpec, box: Box, lanes: int) -> None:
    """Zeros everywhere, slack and all."""
    loop = fn.begin_loop(i64(0), i64(box.elements - lanes + 1), i64(lanes))
    fn.store(zero(vector(spec.dtype, lanes)), fn.gep(target, loop.counter, spec.dtype), spec.size)
    fn.end_loop(loop)
    fn.store(zero(vector(spec.dtype, lanes)), fn.gep(target, i64(box.elements - lanes), spec.dtype), spec.size)


def emit_box(module: Module, name: str, spec: WindowSpec, box: Box, moving: set[int], target: Target) -> None:
    """Emit the function that copies. `moving` dimensions have a move that is not known to stay inside."""
    fn = module.function(name, box_params(spec), attributes="#1", linkage="internal")
    lanes = min(target.lanes(spec.dtype), 32 // spec.size)
    if moves(spec, box, moving):
        zero_box(fn, fn.params[1], spec, box, lanes)
    order = [*([box.first] if box.first >= 0 else []), *(d for d in range(len(spec.dims)) if d != box.first)]
    last = order[-1]

    def rows(n: int, source: V, place: V) -> None:
        d = order[n]
        if d == last:
            _row(fn, spec, box, d, source, place, target.masked_memory, lanes)
            return
        start, stop = i64(0), i64(box.edges[d].count)
        if d == box.first:
            start, stop = fn.params[-2], fn.add(fn.params[-2], fn.params[-1])

        def one(e: V) -> None:
            at = ix.add(fn, ix.add(fn, e, box.edges[d].low), fn.params[2 + d])
            to = ix.offset(fn, place, ix.mul(fn, ix.sub(fn, e, start), box.edges[d].stride), spec.dtype)
            _element(fn, spec, box, d, at, d in moving, lambda j: rows(
                n + 1, ix.offset(fn, source, ix.mul(fn, j, spec.dims[d].stride), spec.dtype), to))

        for_range(fn, start, stop, 1, one)

    rows(0, fn.params[0], fn.params[1])
    fn.ret()


def _element(fn: Fn, spec: WindowSpec, box: Box, d: int, at: V, moved: bool, body: Callable[[V], None]) -> None:
    """The body for the element at a place, where there is one."""
    dim = spec.dims[d]
    if not _may_leave(spec, box, d, moved):
        body(at)
        return
    name = fn.fresh("")
    ok = fn.compare("icmp", "ult", at, i64(dim.size * dim.step))
    if dim.step > 1:
        rest = fn.binary("urem", at, i64(dim.step))
        ok = fn.binary("and", ok, fn.compare("icmp", "eq", rest, i64(0)))
    fn.cond_br(ok, f"there{name}", f"past{name}")
    fn.label(f"there{name}")
    body(ix.div(fn, at, dim.step))
    fn.br(f"past{name}")
    fn.label(f"past{name}")


def _row(fn: Fn, spec: WindowSpec, box: Box, d: int, source: V, place: V, masked: bool, lanes: int) -> None:
    """One line along the last dimension."""
    dim, edge = spec.dims[d], box.edges[d]
    first = ix.add(fn, fn.params[2 + d], edge.low)
    if masked and dim.step == dim.stride == 1 and box.phases == 2:
        _halved(fn, spec, box, d, source, place, first, lanes)
        return
    if dim.step > 1 or box.phases > 1 or dim.stride != 1:
        _scattered(fn, spec, box, d, source, place, first)
        return
    low = ix.minimum(fn, ix.maximum(fn, ix.sub(fn, i64(0), first), 0), edge.count)
    high = ix.maximum(fn, ix.minimum(fn, ix.sub(fn, i64(dim.size), first), edge.count), low)
    begin = ix.offset(fn, source, ix.add(fn, first, low), spec.dtype)
    to = ix.offset(fn, place, low, spec.dtype)
    count = ix.sub(fn, high, low)
    whole = ix.mul(fn, ix.div(fn, count, lanes), lanes)
    type_ = vector(spec.dtype, lanes)

    def copy(i: V) -> None:
        value = fn.load(ix.offset(fn, begin, i, spec.dtype), type_, spec.size)
        fn.store(value, ix.offset(fn, to, i, spec.dtype), spec.size)

    def one(i: V) -> None:
        value = fn.load(ix.offset(fn, begin, i, spec.dtype), spec.dtype, spec.size)
        fn.store(value, ix.offset(fn, to, i, spec.dtype), spec.size)

    for_range(fn, i64(0), whole, lanes, copy)
    known = ix.literal(count)
    if known is not None and known % lanes == 0:
        return
    if not masked:
        for_range(fn, whole, count, 1, one)
        return
    left = fn.splat(ix.sub(fn, count, whole), lanes)
    iota = V(f"<{', '.join(f'i64 {n}' for n in range(lanes))}>", vector("i64", lanes))
    value = masked_load(fn, ix.offset(fn, begin, whole, spec.dtype), type_, spec.size,
                        fn.compare("icmp", "slt", iota, left))
    fn.store(value, ix.offset(fn, to, whole, spec.dtype), spec.size)


def _halved(fn: Fn, spec: WindowSpec, box: Box, d: int, source: V, place: V, first: V, lanes: int) -> None:
    """Even places side by side, then odd ones; zeros where the image ends."""
    width = -(-box.edges[d].count // 2)
    type_ = vector(spec.dtype, lanes)
    iota = V(f"<{', '.join(f'i64 {n}' for n in range(lanes))}>", vector("i64", lanes))

    def some(j: V) -> None:
        both: list[V] = []
        for k in range(2):
            at = fn.add(first, ix.add(fn, ix.mul(fn, j, 2), k * lanes))
            there = fn.compare("icmp", "ult", fn.binary("add", fn.splat(at, lanes), iota),
                               fn.splat(i64(spec.dims[d].size), lanes))
            both.append(masked_load(fn, fn.gep(source, at, spec.dtype), type_, spec.size, there))
        exists = fn.compare("icmp", "slt", iota, fn.splat(ix.sub(fn, i64(width), j), lanes))
        for phase in range(2):
            value = shuffle(fn, both[0], both[1], list(range(phase, 2 * lanes, 2)), type_)
            to = ix.offset(fn, place, ix.add(fn, j, phase * width), spec.dtype)
            masked_store(fn, V(value.ref, type_), to, spec.size, exists)

    for_range(fn, i64(0), i64(width), lanes, some)


def _scattered(fn: Fn, spec: WindowSpec, box: Box, d: int, source: V, place: V, first: V) -> None:
    """Element by element: where they are apart in the box."""
    dim, edge = spec.dims[d], box.edges[d]
    width = -(-edge.count // box.phases)
    end = ix.add(fn, first, edge.count)
    start = ix.div(fn, ix.add(fn, ix.maximum(fn, first, 0), dim.step - 1), dim.step)
    stop = ix.minimum(fn, ix.div(fn, ix.add(fn, ix.maximum(fn, end, 0), dim.step - 1), dim.step), dim.size)

    def one(j: V) -> None:
        value = fn.load(ix.offset(fn, source, ix.mul(fn, j, dim.stride), spec.dtype), spec.dtype, spec.size)
        e = ix.sub(fn, ix.mul(fn, j, dim.step), first)
        if box.phases > 1:
            e = ix.add(fn, ix.mul(fn, ix.rem(fn, e, box.phases), width), ix.div(fn, e, box.phases))
        fn.store(value, ix.offset(fn, place, e, spec.dtype), spec.size)

    for_range(fn, start, stop, 1, one)

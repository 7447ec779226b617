"""Products over windows whose pixels are the terms, with few rows: gradients of depthwise weights.

Vectors run along the pixels, which lie side by side in the box and in A; each place of the window has sums of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.matmul_dot import sum_lanes
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.matmul_pack import lane_mask, masked_load, zero
from pullback.codegen.llvm.matmul_plan import round_up
from pullback.codegen.llvm.matmul_spec import Epilogue
from pullback.codegen.llvm.matmul_tile import multiply_add
from pullback.codegen.llvm.target import Target
from pullback.codegen.llvm.text import Fn, Module, V, i64, vector
from pullback.codegen.llvm.window_box import emit_box, moves, zero_box
from pullback.codegen.llvm.window_columns import along, phases_of, position, unflatten
from pullback.codegen.llvm.window_spec import Box, WindowSpec, box_of, digits, merged, within

MOST_ROWS = 4
TOGETHER = 10  # sums in registers


@dataclass(frozen=True)
class DotPlan:
    """`outer` variables of the pixels are counted around the box, `inner` within it, the last of them by vectors."""

    lanes: int
    swapped: WindowSpec
    outer: int
    box: Box

    @property
    def thread_bytes(self) -> int:
        return round_up(self.box.elements * self.swapped.size + 64)


def swapped(spec: WindowSpec) -> WindowSpec:
    """The same with terms for columns."""
    dims = tuple(replace(d, cols=d.terms, terms=d.cols) for d in spec.dims)
    return replace(spec, cols=spec.terms, terms=spec.cols, dims=dims)


def plan_dots(spec: WindowSpec, target: Target) -> DotPlan | None:
    """None where pixels do not lie side by side."""
    if spec.m > MOST_ROWS or spec.a_terms[-1] != 1:
        return None
    other = swapped(spec)
    outer = 0
    while outer < len(other.cols) - 1 and all(
            not any(d.terms) and sum(c != 0 for c in d.cols) == 1 for d in other.dims if d.cols[outer]):
        outer += 1
    within = replace(other, cols=(*(1,) * outer, *other.cols[outer:]))
    box = box_of(within, within.terms, -1, phases_of(within))
    return DotPlan(target.lanes(spec.dtype), other, outer, box) if box.columns[-1] == 1 else None


def emit_pixel_dots(module: Module, fn: Fn, name: str, spec: WindowSpec, plan: DotPlan, epilogue: Epilogue,
                    target: Target, a: V, b: V, workspace: V, tid: V, live: V) -> None:
    """The body of a kernel; threads share the batch."""
    inner = replace(plan.swapped, cols=(*(1,) * plan.outer, *plan.swapped.cols[plan.outer:]))
    moving = moving_dims(plan)
    if not moves(inner, plan.box, moving):
        zero_box(fn, workspace, inner, plan.box, min(plan.lanes, 32 // spec.size))
    emit_box(module, f"{name}.box", inner, plan.box, moving, target)
    epilogue.prepare(fn)
    count = prod(spec.batch)
    low, high = share(fn, count, tid, live)
    sums = fn.alloca(vector(spec.dtype, plan.lanes), spec.n)
    totals = fn.alloca(spec.dtype, spec.n)

    def one(flat: V) -> None:
        index = unflatten(fn, flat, spec, tuple(range(len(spec.batch))))
        for row in range(spec.m):
            shift = along(fn, index, spec.a_batch)
            place = digits(row, spec.rows)
            shift = ix.add(fn, shift, sum(c * x for c, x in zip(spec.a_rows, place, strict=True)))
            clear(fn, sums, spec, plan)
            images(fn, name, spec, plan, target, ix.offset(fn, a, shift, spec.dtype), b, workspace, index, sums)
            give(fn, spec, plan, epilogue, index, row, sums, totals)

    for_range(fn, low, high, 1, one)


def moving_dims(plan: DotPlan) -> set[int]:
    """Dimensions that the batch or what is counted around the box moves to where they may leave the image."""
    spec = plan.swapped
    return {d for d, dim in enumerate(spec.dims)
            if (any(dim.batch) or any(dim.cols[:plan.outer])) and not within(dim, spec)}


def clear(fn: Fn, sums: V, spec: WindowSpec, plan: DotPlan) -> None:
    type_ = vector(spec.dtype, plan.lanes)
    for_range(fn, i64(0), i64(spec.n), 1, lambda n: fn.store(zero(type_), fn.gep(sums, n, type_), spec.size))


def images(fn: Fn, name: str, spec: WindowSpec, plan: DotPlan, target: Target, a: V, b: V, box: V,
           index: dict[int, V], sums: V) -> None:
    """Add what each image gives: its box, then some places of the window at a time."""
    other, outer = plan.swapped, plan.swapped.cols[:plan.outer]

    def image(flat: V) -> None:
        places: list[V] = []
        for n, size in enumerate(reversed(outer)):
            places.insert(0, ix.rem(fn, flat, size) if n + 1 < len(outer) else flat)
            flat = ix.div(fn, flat, size)
        begin = a
        for at, step in zip(places, spec.a_terms, strict=False):
            begin = ix.offset(fn, begin, ix.mul(fn, at, step), spec.dtype)
        shifts: list[V] = []
        for dim in other.dims:
            shift = along(fn, index, dim.batch)
            for at, step in zip(places, dim.cols, strict=False):
                shift = ix.add(fn, shift, ix.mul(fn, at, step))
            shifts.append(shift)
        fn.call(f"{name}.box", "void", b, box, *shifts, i64(0), i64(1), declare=False)
        for first in range(0, spec.n, TOGETHER):
            some = range(first, min(first + TOGETHER, spec.n))
            places_of_window(fn, spec, plan, target, begin, box, some, sums)

    for_range(fn, i64(0), i64(prod(outer)), 1, image)


def places_of_window(fn: Fn, spec: WindowSpec, plan: DotPlan, target: Target, a: V, box: V, some: range,
                     sums: V) -> None:
    """All pixels of an image for some places of the window."""
    other, lanes = plan.swapped, plan.lanes
    type_ = vector(spec.dtype, lanes)
    offsets = plan.box.offsets(other, other.terms)[some.start:some.stop]
    sizes = other.cols[plan.outer:]
    a_steps = merged(sizes[:-1], spec.a_terms[plan.outer:-1])
    steps = list(zip(sizes[:-1], plan.box.columns[plan.outer:-1], strict=True)) or [(1, 0)]
    run = sizes[-1]
    loop = fn.begin_loop(i64(0), i64(prod(sizes[:-1])), i64(1), [zero(type_) for _ in some])
    left = fn.gep(a, position(fn, loop.counter, a_steps), spec.dtype)
    right = fn.gep(box, position(fn, loop.counter, steps), spec.dtype)

    def step(at: V, acc: list[V], valid: int) -> list[V]:
        mask = lane_mask(valid, lanes)

        def load(address: V) -> V:
            return fn.load(address, type_, spec.size) if valid == lanes else masked_load(
                fn, address, type_, spec.size, mask)

        value = load(ix.offset(fn, left, at, spec.dtype))
        base = ix.offset(fn, right, at, spec.dtype)
        return [multiply_add(fn, value, load(ix.offset(fn, base, i64(n), spec.dtype)), x, target.fma, spec.pairs)
                for n, x in zip(offsets, acc, strict=True)]

    acc, whole = loop.carried, run // lanes * lanes
    if whole > 4 * lanes:
        inner = fn.begin_loop(i64(0), i64(whole), i64(lanes), acc)
        acc = fn.end_loop(inner, step(inner.counter, inner.carried, lanes), hot=True)
    else:
        for at in range(0, whole, lanes):
            acc = step(i64(at), acc, lanes)
    if run > whole:
        acc = step(i64(whole), acc, run - whole)
    for n, value in zip(some, fn.end_loop(loop, acc), strict=True):
        place = fn.gep(sums, i64(n), type_)
        fn.store(fn.binary("fadd", fn.load(place, type_, spec.size), value), place, spec.size)


def give(fn: Fn, spec: WindowSpec, plan: DotPlan, epilogue: Epilogue, index: dict[int, V], row: int, sums: V,
         totals: V) -> None:
    type_ = vector(spec.dtype, plan.lanes)
    order = [index[n] for n in range(len(spec.batch))]

    def total(n: V) -> None:
        value = sum_lanes(fn, [fn.load(fn.gep(sums, n, type_), type_, spec.size)])
        fn.store(value, fn.gep(totals, n, spec.dtype), spec.size)

    for_range(fn, i64(0), i64(spec.n), 1, total)
    for_range(fn, i64(0), i64(spec.n), 1, lambda n: epilogue(
        fn, order, i64(row), n, fn.load(fn.gep(totals, n, spec.dtype), spec.dtype, spec.size), None))


__all__ = ["DotPlan", "emit_pixel_dots", "plan_dots"]

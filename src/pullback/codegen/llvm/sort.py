"""Sorting lines along an axis: a stable merge sort of positions, then every operand is read in that order.

    for each line: order = 0, 1, ...; for width = 1, 2, 4, ...: merge neighbouring runs of `width` positions
"""

from __future__ import annotations

from math import prod
from typing import Any

from pullback.codegen.llvm.math import emit_load_convert, storage_type
from pullback.codegen.llvm.text import Fn, V, const, i64
from pullback.kernel.nodes import Buffer


def emit_sort(control: Any) -> None:
    """Statements of a sort kernel, in the function of `control`."""
    fn: Fn = control.fn
    op, first = control.payload.op, control.payload.inputs[0]
    n = first.shape[op.axis]
    if first.size == 0:
        return
    stride = prod(first.shape[op.axis + 1:])
    places = [control.areas.take(4 * n) for _ in range(2)]
    lines = fn.begin_loop(i64(0), i64(first.size // n), i64(1))
    outer = fn.binary("udiv", lines.counter, i64(stride))
    inner = fn.binary("urem", lines.counter, i64(stride))
    base = fn.add(fn.mul(outer, i64(n * stride)), inner)
    keys = [_Key(fn, control.inputs[k], control.payload.inputs[k], base, stride, op.descending) for k in range(op.keys)]
    fill = fn.begin_loop(i64(0), i64(n), i64(1))
    fn.store(fn.cast("trunc", fill.counter, "i32"), fn.gep(places[0], fill.counter, "i32"), 4)
    fn.end_loop(fill)
    passes = fn.begin_loop(i64(0), i64((n - 1).bit_length()), i64(1), list(places))
    source, target = passes.carried
    width = fn.binary("shl", i64(1), passes.counter)
    _merge_all(fn, source, target, width, n, keys)
    order = fn.end_loop(passes, [target, source])[0]
    for k, b in enumerate(control.payload.inputs):
        _write(fn, control.inputs[k], control.results[k], b, order, base, stride, n)
    fn.end_loop(lines)


class _Key:
    """One operand that decides the order."""

    def __init__(self, fn: Fn, address: V, buffer: Buffer, base: V, stride: int, descending: bool) -> None:
        self.fn, self.dtype, self.stride, self.descending = fn, buffer.dtype, stride, descending
        self.type = storage_type(buffer.dtype.name)
        self.base = fn.gep(address, base, self.type)

    def load(self, place: V) -> V:
        wide = self.fn.cast("zext", place, "i64")
        at = self.fn.gep(self.base, self.fn.mul(wide, i64(self.stride)), self.type)
        return emit_load_convert(self.fn, self.fn.load(at, self.type, self.dtype.itemsize), self.dtype.name)

    def compare(self, a: V, b: V) -> tuple[V, V]:
        """Whether a comes before b, and b before a."""
        if self.dtype.kind == "f":
            return self._before(a, b), self._before(b, a)
        predicate = "sgt" if self.dtype.kind == "i" else "ugt"
        greater, less = self.fn.compare("icmp", predicate, a, b), self.fn.compare("icmp", predicate, b, a)
        return (greater, less) if self.descending else (less, greater)

    def _before(self, a: V, b: V) -> V:
        fn = self.fn
        ordered = fn.compare("fcmp", "ogt" if self.descending else "olt", a, b)
        number = fn.binary("and", fn.compare("fcmp", "ord", a, a), fn.compare("fcmp", "uno", b, b))
        return fn.binary("or", ordered, number)


def _strictly_before(fn: Fn, keys: list[_Key], a: V, b: V) -> V:
    """Whether position a must come before position b by the keys, the first the most significant."""
    result: V | None = None
    for key in reversed(keys):
        before, after = key.compare(key.load(a), key.load(b))
        if result is None:
            result = before
        else:
            equal = fn.binary("and", fn.binary("xor", after, const(True, "i1")), result)
            result = fn.binary("or", before, equal)
    assert result is not None
    return result


def _merge_all(fn: Fn, source: V, target: V, width: V, n: int, keys: list[_Key]) -> None:
    """Merge all pairs of runs of `width` positions."""
    pairs = fn.begin_loop(i64(0), i64(n), fn.binary("shl", width, i64(1)))
    low = pairs.counter
    middle = fn.intrinsic("llvm.smin", "i64", fn.add(low, width), i64(n))
    high = fn.intrinsic("llvm.smin", "i64", fn.add(middle, width), i64(n))
    merge = fn.begin_loop(low, high, i64(1), [low, middle])
    left, right = merge.carried
    last = i64(n - 1)
    a = fn.load(fn.gep(source, fn.intrinsic("llvm.smin", "i64", left, last), "i32"), "i32", 4)
    b = fn.load(fn.gep(source, fn.intrinsic("llvm.smin", "i64", right, last), "i32"), "i32", 4)
    empty = fn.compare("icmp", "sge", left, middle)
    there = fn.compare("icmp", "slt", right, high)
    take = fn.binary("and", there, fn.binary("or", empty, _strictly_before(fn, keys, b, a)))
    fn.store(fn.select(take, b, a), fn.gep(target, merge.counter, "i32"), 4)
    step = fn.cast("zext", take, "i64")
    fn.end_loop(merge, [fn.add(left, fn.binary("sub", i64(1), step)), fn.add(right, step)])
    fn.end_loop(pairs)


def _write(fn: Fn, source: V, target: V, buffer: Buffer, order: V, base: V, stride: int, n: int) -> None:
    """One operand in the order found."""
    type_, size = storage_type(buffer.dtype.name), buffer.dtype.itemsize
    come, go = fn.gep(source, base, type_), fn.gep(target, base, type_)
    loop = fn.begin_loop(i64(0), i64(n), i64(1))
    place = fn.cast("zext", fn.load(fn.gep(order, loop.counter, "i32"), "i32", 4), "i64")
    value = fn.load(fn.gep(come, fn.mul(place, i64(stride)), type_), type_, size)
    fn.store(value, fn.gep(go, fn.mul(loop.counter, i64(stride)), type_), size)
    fn.end_loop(loop)

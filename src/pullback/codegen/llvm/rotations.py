"""Rotations of neighbouring rows of a matrix, noted first and done later, panel by panel of its columns.

A panel is a few vectors wide and lies by itself, so that it stays in the first cache while all rotations pass over it.
A sweep of rotations is noted as its first row, its length and its step, 1 or -1: of the rows r and r + step

    x[r], f = s x[r + step] + c f, c x[r + step] - s f      with f = x[r] at first
"""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.text import V, const, i64

SWEEPS = 512
ROOM = 4_096  # rotations that are noted at most, apart from one sweep


class Rotations:
    """Room for what is noted, of a matrix of n rows whose panels have so many columns."""

    def __init__(self, dense: Dense, n: int, panel: int) -> None:
        self.dense, self.n, self.panel = dense, n, panel
        self.room = ROOM + n
        self.pairs = dense.area(2 * self.room)
        self.sweeps = dense.area(3 * SWEEPS, 8)
        self.used, self.count = (dense.cell(i64(0)) for _ in range(2))

    def target(self) -> V:
        """Where the next sweep's cosines and sines go, narrowed, side by side."""
        return self.dense.fn.gep(self.pairs, self.dense.fn.mul(self.dense.get(self.used), i64(2)), self.dense.scalar)

    def note(self, first: V, length: V, step: V) -> None:
        """A sweep whose rotations were stored at `target`."""
        dense, fn = self.dense, self.dense.fn
        count = dense.get(self.count)
        at = fn.mul(count, i64(3))
        for k, value in enumerate((first, length, step)):
            fn.store(value, fn.gep(self.sweeps, fn.add(at, i64(k)), "i64"), 8)
        dense.put(fn.add(count, i64(1)), self.count)
        dense.put(fn.add(dense.get(self.used), length), self.used)

    def full(self) -> V:
        """Whether another sweep may find no room."""
        fn, dense = self.dense.fn, self.dense
        return fn.binary("or", fn.compare("icmp", "sge", dense.get(self.used), i64(self.room - self.n)),
                         fn.compare("icmp", "eq", dense.get(self.count), i64(SWEEPS)))

    def flush(self, panels: Callable[[V], V], low: V, high: V) -> None:
        """Do what is noted to each panel; `panels` says where it is."""
        dense = self.dense
        dense.each(low, high, 1, lambda p: self._panel(panels(p)))
        self.clear()

    def clear(self) -> None:
        self.dense.put(i64(0), self.used)
        self.dense.put(i64(0), self.count)

    def _panel(self, x: V) -> None:
        dense, fn = self.dense, self.dense.fn
        places = [i64(k) for k in range(0, self.panel, dense.width)]

        def sweep(k: V, at: V) -> list[V]:
            base = fn.mul(k, i64(3))
            first, length, step = (fn.load(fn.gep(self.sweeps, fn.add(base, i64(j)), "i64"), "i64", 8)
                                   for j in range(3))
            stride = fn.mul(step, i64(self.panel))
            row = fn.mul(first, i64(self.panel))

            def turn(t: V, row: V, *moving: V) -> list[V]:
                pair = fn.mul(fn.add(at, t), i64(2))
                c, s = (dense.splat(dense.load(self.pairs, p)) for p in (pair, fn.add(pair, i64(1))))
                after = fn.add(row, stride)
                found: list[V] = []
                for place, f in zip(places, moving, strict=True):
                    z = dense.wide(x, fn.add(after, place))
                    dense.store(dense.fma(s, z, dense.mul(c, f)), x, fn.add(row, place))
                    found.append(dense.fma(dense.neg(s), f, dense.mul(c, z)))
                return [after, *found]

            start = [dense.wide(x, fn.add(row, place)) for place in places]
            row, *ended = dense.loop(0, length, 1, turn, row, *start)
            for place, f in zip(places, ended, strict=True):
                dense.store(f, x, fn.add(row, place))
            return [fn.add(at, length)]

        dense.loop(0, dense.get(self.count), 1, sweep, i64(0))


def rotation(dense: Dense, f: V, g: V) -> tuple[V, V, V]:
    """c, s, r with c f = s g, r = s f + c g; of numbers that are nothing beside 1, no rotation."""
    fn = dense.fn
    square = dense.fma(f, f, dense.mul(g, g))
    none = dense.less(square, dense.number(1e-290, "double"))
    root = dense.sqrt(square)
    c = fn.select(none, dense.number(1, "double"), dense.div(g, root))  # 1 where f is nothing beside g
    s = fn.select(none, dense.number(0, "double"), dense.div(f, root))
    return c, s, fn.select(none, g, root)


def unit(dense: Dense, c: V, s: V) -> tuple[V, V]:
    """c and s without what rounding the root has in common in both: vectors keep their length, however many turns."""
    rest = dense.fma(dense.neg(c), c, dense.fma(dense.neg(s), s, dense.number(1, "double")))
    rest = dense.mul(rest, dense.number(0.5, "double"))
    return dense.fma(c, rest, c), dense.fma(s, rest, s)


def identity_panel(dense: Dense, x: V, panel: V, n: int, width: int) -> None:
    """Columns of the identity."""
    fn = dense.fn
    dense.each(0, n * width, dense.width, lambda k: dense.store(const(0.0, dense.vector), x, k))
    first = fn.mul(panel, i64(width))
    last = fn.intrinsic("llvm.smin", "i64", fn.add(first, i64(width)), i64(n))
    dense.each(first, last, 1, lambda c: dense.store(
        dense.number(1), x, fn.add(fn.mul(c, i64(width)), fn.binary("sub", c, first))))


__all__ = ["Rotations", "identity_panel", "rotation", "unit"]

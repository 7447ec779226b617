"""Eigenvalues and singular values of matrices of two diagonals by sweeps of rotations with implicit shifts: what both
have in common. Numbers are double.

Each thread finds all values, and turns those columns of the transposed vectors that are its own: nothing is waited for,
and nothing depends on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.dense import LONG, Dense
from pullback.codegen.llvm.rotations import Rotations, identity_panel
from pullback.codegen.llvm.text import V, const, i64

MOST_SWEEPS = 40  # for each value; two are usual
ROUNDING = {"float": 2.0 ** -24, "double": 2.0 ** -53}
NOTHING = 1e-280  # the square of what is nothing beside 1


class Implicit(Dense):
    """(diagonals, what stands beside them, reflections and factors of each side) -> values, panels of each side.

    `low` and `high` are the ends of a block, `last_low` and `last_high` what they were before; it is swept in one
    direction while the end where values separate moves alone.
    """

    extra = 0  # of a reflection's elements: row i has i and so many

    def __init__(self, control: Any, threads: int) -> None:
        super().__init__(control, threads)
        payload = control.payload
        self.n = payload.inputs[0].shape[-1]
        self.relative = ROUNDING[self.scalar]  # what is nothing, of what stands on the diagonal beside it
        self.line = int(payload.op.line(self.n, self.size))
        self.panel = int(payload.op.panel(self.n, self.size))
        self.sides = (len(payload.inputs) - 2) // 2
        self.vectors = any(r is not None for r in payload.results[1:])
        self.panels = self.line // self.panel if self.vectors else 1
        self.diagonal = self.area(self.n + 1, 8)
        self.beside = self.fn.gep(self.area(self.n + 2, 8), i64(1), "double")
        self.rotations = [Rotations(self, self.n, self.panel) for _ in range(self.sides)]
        self.low, self.last_low, self.last_high, self.direction, self.left = (self.cell(i64(0)) for _ in range(5))

    def run(self) -> None:
        fn = self.fn
        count = self.control.payload.inputs[0].size // self.n
        begin, end = share(fn, count * self.panels, fn.params[1], fn.params[2])
        first = fn.binary("sdiv", begin, i64(self.panels))
        last = fn.binary("sdiv", fn.add(end, i64(self.panels - 1)), i64(self.panels))

        def matrix(index: V) -> None:
            base = fn.mul(index, i64(self.panels))
            low = fn.intrinsic("llvm.smax", "i64", fn.binary("sub", begin, base), i64(0))
            high = fn.intrinsic("llvm.smin", "i64", fn.binary("sub", end, base), i64(self.panels))
            self.matrix(index, low, high)

        self.each(first, last, 1, matrix)

    def matrix(self, index: V, low: V, high: V) -> None:
        """Panels [low, high) of a matrix; its values with the first."""
        fn = self.fn
        self.low_panel, self.high_panel = low, high
        self.first_panel = fn.mul(index, i64(self.panels))
        size = self.read(index)
        good = self.cell(fn.cast("zext", self.less(size, self.number(float("inf"), "double")), "i64"))

        def work() -> None:
            if self.vectors:
                self.each_panel(lambda side, p: self.reflected(index, side, p))
            self.iterate()
            self.flush()
            self.put(fn.cast("zext", fn.compare("icmp", "sgt", self.get(self.left), i64(0)), "i64"), good)

        self.when(fn.compare("icmp", "ne", self.get(good), i64(0)), work)
        bad = fn.compare("icmp", "eq", self.get(good), i64(0))
        self.when(fn.compare("icmp", "eq", low, i64(0)), lambda: self.write(index, bad))
        if self.vectors:
            size_of, nan = self.n * self.panel, float("nan")
            self.when(bad, lambda: self.each_panel(lambda side, p: self.fill(self.place(side, p), size_of, nan)))

    def each_panel(self, body: Callable[[int, V], None]) -> None:
        for side in range(self.sides):
            self.long(self.low_panel, self.high_panel, self.n ** 2, partial(body, side))

    def flush(self) -> None:
        """Do all rotations that are noted."""
        for side, some in enumerate(self.rotations if self.vectors else ()):
            some.flush(partial(self.place, side), self.low_panel, self.high_panel)

    def place(self, side: int, panel: V) -> V:
        at = self.fn.add(self.first_panel, panel)
        return self.row(self.control.results[1 + side], at, self.n * self.panel)

    def wider(self, x: V) -> V:
        return self.fn.cast("fpext", x, "double") if self.size == 4 else x

    def narrower(self, x: V) -> V:
        return self.fn.cast("fptrunc", x, "float") if self.size == 4 else x

    def read(self, index: V) -> V:
        """The two diagonals; the sum of their sizes."""
        sources = [self.row(x, index, self.n) for x in self.control.inputs[:2]]

        def element(k: V, total: V) -> list[V]:
            for source, target in zip(sources, (self.diagonal, self.beside), strict=True):
                x = self.wider(self.load(source, k))
                self.store(x, target, k)
                total = self.add(total, self.abs(x))
            return [total]

        return self.loop(0, self.n, 1, element, self.number(0, "double"))[0]

    def write(self, index: V, bad: V) -> None:
        target = self.row(self.control.results[0], index, self.n)

        def element(k: V) -> None:
            x = self.narrower(self.load(self.diagonal, k, "double"))
            self.store(self.fn.select(bad, self.number(float("nan")), x), target, k)

        self.each(0, self.n, 1, element)

    # -- vectors -----------------------------------------------------------------------------------------------------
    def reflected(self, index: V, side: int, panel: V) -> None:
        """A panel of the transposed product of the reflections: each is done while the next's product is summed."""
        fn, n, line = self.fn, self.n, self.line
        x = self.place(side, panel)
        identity_panel(self, x, panel, n, self.panel)
        reflections = self.row(self.control.inputs[2 + 2 * side], index, n * line)
        factors = self.row(self.control.inputs[3 + 2 * side], index, n)
        steps = [i64(k) for k in range(0, self.panel, self.width)]
        own = fn.add(fn.mul(i64(n - 1), i64(line)), fn.mul(panel, i64(self.panel)))
        tau = self.splat(self.load(factors, i64(n - 1)))
        along = [self.mul(tau, self.wide(reflections, fn.add(own, s))) for s in steps]

        def reflect(k: V, *along: V) -> list[V]:
            i = fn.binary("sub", i64(n), k)
            before = fn.add(i, i64(-1))
            v, following = self.row(reflections, i, line), self.row(reflections, before, line)

            def element(r: V, *sums: V) -> list[V]:
                share, other = self.splat(self.neg(self.load(v, r))), self.splat(self.load(following, r))
                at, found = fn.mul(r, i64(self.panel)), list[V]()
                for step, w, total in zip(steps, along, sums, strict=True):
                    z = self.fma(share, w, self.wide(x, fn.add(at, step)))
                    self.store(z, x, fn.add(at, step))
                    found.append(self.fma(other, z, total))
                return found

            sums = self.loop(0, fn.add(i, i64(self.extra)), 1, element, *[const(0.0, self.vector)] * len(steps))
            tau = self.splat(self.load(factors, before))
            return [self.mul(tau, total) for total in sums]

        self.loop(1, n, 1, reflect, *along)

    # -- values ------------------------------------------------------------------------------------------------------
    def iterate(self) -> None:
        """Until every block is one number, or the sweeps are used up."""
        fn, n = self.fn, self.n
        for cell, value in ((self.low, 0), (self.last_low, -1), (self.last_high, -1), (self.direction, 1),
                            (self.left, MOST_SWEEPS * n)):
            self.put(i64(value), cell)
        self.store(self.number(0, "double"), self.beside, i64(-1))
        for some in self.rotations:
            some.clear()

        def more() -> V:
            return fn.binary("and", fn.compare("icmp", "slt", self.get(self.low), i64(n)),
                             fn.compare("icmp", "sgt", self.get(self.left), i64(0)))

        def turn() -> None:
            if n * n >= LONG:
                self.ask()
            low = self.get(self.low)
            high = self.end_of_block(low)
            self.when(fn.compare("icmp", "eq", low, high), lambda: self.put(fn.add(low, i64(1)), self.low),
                      lambda: self.block(low, high))

        self.repeat(more, turn)

    def ask(self) -> None:
        """No more sweeps where programs are to end."""
        fn, go, stop = self.fn, self.fn.fresh("go"), self.fn.fresh("stop")
        fn.unless_cancelled(go, stop)
        fn.label(stop)
        self.put(i64(0), self.left)
        fn.br(go)
        fn.label(go)

    def end_of_block(self, low: V) -> V:
        """The first place from `low` on after which nothing is left beside the diagonal."""
        fn = self.fn
        at = self.cell(low)

        def inside() -> V:
            here = self.get(at)
            x, a, b = (self.load(base, k, "double") for base, k in (
                (self.beside, here), (self.diagonal, here), (self.diagonal, fn.add(here, i64(1)))))
            relative = self.number(self.relative ** 2, "double")
            bound = self.fma(self.abs(self.mul(a, relative)), self.abs(b), self.least())
            large = self.less(bound, self.mul(x, x))
            return fn.binary("and", large, fn.compare("icmp", "slt", here, i64(self.n - 1)))

        self.repeat(inside, lambda: self.put(fn.add(self.get(at), i64(1)), at))
        high = self.get(at)
        self.store(self.number(0, "double"), self.beside, high)
        return high

    def least(self) -> V:
        """The square of what is nothing, whatever stands on the diagonal."""
        return self.number(NOTHING, "double")

    def forward(self, first: V, last: V) -> V:
        """Whether a block is swept from its beginning, by the sizes of the diagonal's ends."""
        raise NotImplementedError

    def moves(self) -> bool:
        """Whether a forward sweep separates values at the block's beginning."""
        raise NotImplementedError

    def block(self, low: V, high: V) -> None:
        """One sweep, and on in that direction while the block shrinks."""
        fn = self.fn
        forward = fn.compare("icmp", "sgt", self.get(self.direction), i64(0))
        ends = [fn.compare("icmp", "eq", high, self.get(self.last_high)),
                fn.compare("icmp", "eq", low, self.get(self.last_low))]
        same = fn.select(forward, *(ends if self.moves() else ends[::-1]))
        chosen = self.forward(*(self.abs(self.load(self.diagonal, k, "double")) for k in (low, high)))
        direction = fn.select(same, self.get(self.direction), fn.select(chosen, i64(1), i64(-1)))
        for value, cell in ((direction, self.direction), (low, self.last_low), (high, self.last_high)):
            self.put(value, cell)
        self.put(fn.add(self.get(self.left), i64(-1)), self.left)
        forward = fn.compare("icmp", "sgt", direction, i64(0))
        d = fn.gep(self.diagonal, fn.select(forward, low, high), "double")
        e = fn.gep(self.beside, fn.select(forward, low, fn.add(high, i64(-1))), "double")
        self.sweep(d, e, fn.binary("sub", high, low), direction)
        if self.vectors:
            first = fn.select(forward, high, low) if self.moves() else fn.select(forward, low, high)
            step = fn.binary("sub", i64(0), direction) if self.moves() else direction
            for some in self.rotations:
                some.note(first, fn.binary("sub", high, low), step)
            self.when(self.rotations[0].full(), self.flush)

    def sweep(self, d: V, e: V, length: V, direction: V) -> None:
        """Rotations along a block; d and e are where it begins, in this direction."""
        raise NotImplementedError

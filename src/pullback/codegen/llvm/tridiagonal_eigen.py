"""Eigenvalues and vectors of symmetric tridiagonal matrices by implicit shifts: QL, or QR where the greater numbers
stand first (C. Reinsch, J. H. Wilkinson, 1971; EISPACK's imtql2, LAPACK's steqr), in double precision.

Each thread finds all eigenvalues, and turns those columns of the transposed vectors that are its own: nothing is waited
for, and nothing depends on how many threads there are.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.claims import share
from pullback.codegen.llvm.dense import Dense
from pullback.codegen.llvm.rotations import Rotations, identity_panel, rotation, unit
from pullback.codegen.llvm.text import V, const, i64

MOST_SWEEPS = 40  # for each eigenvalue; two are usual
ROUNDING = {"float": 2.0 ** -24, "double": 2.0 ** -53}
NOTHING = 1e-280  # the square of what is nothing beside 1


def emit_tridiagonal_eigen(control: Any) -> None:
    """(diagonals, what stands beside them, reflections, factors) -> eigenvalues in no order, panels of vectors."""
    if control.payload.inputs[0].size:
        _Eigen(control, control.kernel.threads).run()


class _Eigen(Dense):
    """`diagonal` and `beside` are double; `low` and `high` are the ends of a block, `last` what they were before."""

    def run(self) -> None:
        fn, payload = self.fn, self.control.payload
        self.n = payload.inputs[0].shape[-1]
        self.line = int(payload.op.line(self.n, self.size))
        self.panel = int(payload.op.panel(self.n, self.size))
        self.vectors = payload.results[1] is not None
        self.panels = self.line // self.panel if self.vectors else 1
        self.diagonal = self.area(self.n + 1, 8)
        self.beside = fn.gep(self.area(self.n + 2, 8), i64(1), "double")
        self.rotations = Rotations(self, self.n, self.panel)
        self.low, self.last_low, self.last_high, self.direction, self.left = (self.cell(i64(0)) for _ in range(5))
        count = payload.inputs[0].size // self.n
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
        """Panels [low, high) of a matrix; its eigenvalues with the first."""
        fn, n = self.fn, self.n
        self.high_panel, self.low_panel = high, low
        self.values, self.out = self.row(self.control.results[0], index, n), self.control.results[1]
        self.first_panel = fn.mul(index, i64(self.panels))
        size = self.read(index)
        good = self.cell(fn.cast("zext", self.less(size, self.number(float("inf"), "double")), "i64"))

        def work() -> None:
            if self.vectors:
                self.each(low, high, 1, lambda p: self.reflected(index, p))
            self.iterate()
            if self.vectors:
                self.rotations.flush(self.place, low, high)
            self.put(fn.cast("zext", fn.compare("icmp", "sgt", self.get(self.left), i64(0)), "i64"), good)

        self.when(fn.compare("icmp", "ne", self.get(good), i64(0)), work)
        bad = fn.compare("icmp", "eq", self.get(good), i64(0))
        self.when(fn.compare("icmp", "eq", low, i64(0)), lambda: self.write(bad))
        if self.vectors:
            nan = float("nan")
            self.when(bad, lambda: self.each(low, high, 1, lambda p: self.fill(self.place(p), n * self.panel, nan)))

    def place(self, panel: V) -> V:
        return self.row(self.out, self.fn.add(self.first_panel, panel), self.n * self.panel)

    def wider(self, x: V) -> V:
        return self.fn.cast("fpext", x, "double") if self.size == 4 else x

    def narrower(self, x: V) -> V:
        return self.fn.cast("fptrunc", x, "float") if self.size == 4 else x

    def read(self, index: V) -> V:
        """The tridiagonal matrix; the sum of its sizes."""
        sources = [self.row(x, index, self.n) for x in self.control.inputs[:2]]

        def element(k: V, total: V) -> list[V]:
            for source, target in zip(sources, (self.diagonal, self.beside), strict=True):
                x = self.wider(self.load(source, k))
                self.store(x, target, k)
                total = self.add(total, self.abs(x))
            return [total]

        return self.loop(0, self.n, 1, element, self.number(0, "double"))[0]

    def write(self, bad: V) -> None:
        def element(k: V) -> None:
            x = self.narrower(self.load(self.diagonal, k, "double"))
            self.store(self.fn.select(bad, self.number(float("nan")), x), self.values, k)

        self.each(0, self.n, 1, element)

    # -- vectors -----------------------------------------------------------------------------------------------------
    def reflected(self, index: V, panel: V) -> None:
        """A panel of the transposed product of the reflections: each is done while the next's product is summed."""
        fn, n, line = self.fn, self.n, self.line
        x = self.place(panel)
        identity_panel(self, x, panel, n, self.panel, n)
        reflections = self.row(self.control.inputs[2], index, n * line)
        factors = self.row(self.control.inputs[3], index, n)
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

            sums = self.loop(0, i, 1, element, *[const(0.0, self.vector)] * len(steps))
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
        self.rotations.clear()

        def more() -> V:
            return fn.binary("and", fn.compare("icmp", "slt", self.get(self.low), i64(n)),
                             fn.compare("icmp", "sgt", self.get(self.left), i64(0)))

        def turn() -> None:
            low = self.get(self.low)
            high = self.end_of_block(low)
            self.when(fn.compare("icmp", "eq", low, high), lambda: self.put(fn.add(low, i64(1)), self.low),
                      lambda: self.block(low, high))

        self.repeat(more, turn)

    def end_of_block(self, low: V) -> V:
        """The first place from `low` on after which nothing is left beside the diagonal."""
        fn = self.fn
        at = self.cell(low)

        def inside() -> V:
            here = self.get(at)
            x, a, b = (self.load(base, k, "double") for base, k in (
                (self.beside, here), (self.diagonal, here), (self.diagonal, fn.add(here, i64(1)))))
            rounding = self.number(ROUNDING[self.scalar] ** 2, "double")
            bound = self.fma(self.abs(self.mul(a, rounding)), self.abs(b), self.number(NOTHING, "double"))
            large = self.less(bound, self.mul(x, x))
            return fn.binary("and", large, fn.compare("icmp", "slt", here, i64(self.n - 1)))

        self.repeat(inside, lambda: self.put(fn.add(self.get(at), i64(1)), at))
        high = self.get(at)
        self.store(self.number(0, "double"), self.beside, high)
        return high

    def block(self, low: V, high: V) -> None:
        """One sweep from the end with the greater number to the other, and on in that direction while it shrinks."""
        fn = self.fn
        forward = fn.compare("icmp", "sgt", self.get(self.direction), i64(0))
        same = fn.select(forward, fn.compare("icmp", "eq", high, self.get(self.last_high)),
                         fn.compare("icmp", "eq", low, self.get(self.last_low)))
        ends = [self.abs(self.load(self.diagonal, k, "double")) for k in (low, high)]
        chosen = fn.select(self.less(ends[1], ends[0]), i64(-1), i64(1))
        direction = fn.select(same, self.get(self.direction), chosen)
        for value, cell in ((direction, self.direction), (low, self.last_low), (high, self.last_high)):
            self.put(value, cell)
        self.put(fn.add(self.get(self.left), i64(-1)), self.left)
        forward = fn.compare("icmp", "sgt", direction, i64(0))
        length = fn.binary("sub", high, low)
        d = fn.gep(self.diagonal, fn.select(forward, low, high), "double")
        e = fn.gep(self.beside, fn.select(forward, low, fn.add(high, i64(-1))), "double")
        self.sweep(d, e, length, direction)
        if self.vectors:
            self.rotations.note(fn.select(forward, high, low), length, direction)
            self.when(self.rotations.full(), lambda: self.rotations.flush(self.place, self.low_panel, self.high_panel))

    def shifted(self, d: V, e: V, end: V, direction: V) -> V:
        """The last number less the shift: the eigenvalue of the first two rows that is nearer to the first number."""
        fn = self.fn
        first, second, last = (self.load(d, k, "double") for k in (i64(0), direction, end))
        beside = self.load(e, i64(0), "double")
        g = self.div(self.sub(second, first), self.mul(self.number(2, "double"), beside))
        root = self.sqrt(self.fma(g, g, self.number(1, "double")))
        root = fn.intrinsic("llvm.copysign", "double", root, g)
        return self.add(self.sub(last, first), self.div(beside, self.add(g, root)))

    def sweep(self, d: V, e: V, length: V, direction: V) -> None:
        """Rotations from the end of a block to its beginning; d and e are where it begins, in this direction."""
        fn = self.fn
        end = fn.mul(length, direction)
        zero, one = self.number(0, "double"), self.number(1, "double")
        target = self.rotations.target()

        def turn(t: V, at: V, ahead: V, g: V, c: V, s: V, p: V) -> list[V]:
            here = fn.binary("sub", at, direction)
            beside, own = self.load(e, here, "double"), self.load(d, here, "double")
            f, b = self.mul(s, beside), self.mul(c, beside)
            c, s, r = rotation(self, f, g)
            self.store(r, e, at)
            g = self.sub(ahead, p)
            r = self.fma(self.sub(own, g), s, self.mul(self.add(c, c), b))
            p = self.mul(s, r)
            self.store(self.add(g, p), d, at)
            if self.vectors:
                place = fn.mul(t, i64(2))
                for k, value in enumerate(unit(self, c, s)):
                    self.store(self.narrower(value), target, fn.add(place, i64(k)))
            return [here, own, self.sub(self.mul(c, r), b), c, s, p]

        start = [end, self.load(d, end, "double"), self.shifted(d, e, end, direction), one, one, zero]
        _, first, g, _, _, p = self.loop(0, length, 1, turn, *start)
        self.store(self.sub(first, p), d, i64(0))
        self.store(g, e, i64(0))
        self.store(zero, e, end)

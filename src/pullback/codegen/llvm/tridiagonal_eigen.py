"""Eigenvalues and vectors of symmetric tridiagonal matrices by implicit shifts: QL, or QR where the greater numbers
stand first (C. Reinsch, J. H. Wilkinson, 1971; EISPACK's imtql2, LAPACK's steqr)."""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.implicit import Implicit
from pullback.codegen.llvm.rotations import rotation, unit
from pullback.codegen.llvm.text import V, i64


def emit_tridiagonal_eigen(control: Any) -> None:
    """(diagonals, what stands beside them, reflections, factors) -> eigenvalues in no order, panels of vectors."""
    if control.payload.inputs[0].size:
        _Eigen(control, control.kernel.threads).run()


class _Eigen(Implicit):
    """Sweeps go from a block's end to its beginning, where an eigenvalue separates."""

    def moves(self) -> bool:
        return True

    def forward(self, first: V, last: V) -> V:
        return self.less(first, last, "ole")

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
        target = self.rotations[0].target()

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

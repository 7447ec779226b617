"""Singular values and vectors of lower bidiagonal matrices by implicit shifts (G. Golub, C. Reinsch, 1970), without a
shift where one would be nothing or a number on the diagonal is (J. Demmel, W. Kahan, 1990; LAPACK's bdsqr).

The transpose of the matrix is upper bidiagonal: what turns its columns turns the left vectors, what turns its rows the
right ones. Swept the other way it is its mirror image, and the sides change places.
"""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.implicit import ROUNDING, Implicit
from pullback.codegen.llvm.rotations import rotation, unit
from pullback.codegen.llvm.text import V, i64


def emit_bidiagonal_singular(control: Any) -> None:
    """(diagonals, what stands beside them, reflections and factors of rows and of columns) -> singular values with
    signs, in no order, panels of left and right vectors."""
    if control.payload.inputs[0].size:
        _Singular(control, control.kernel.threads).run()


class _Singular(Implicit):
    """Sweeps go from a block's beginning to its end, where a singular value separates."""

    extra = 1

    def __init__(self, control: Any, threads: int) -> None:
        super().__init__(control, threads)
        if self.size == 8:
            self.relative *= 16  # the sweeps' own rounding: equal values would never separate below it

    def moves(self) -> bool:
        return False

    def forward(self, first: V, last: V) -> V:
        return self.less(last, first, "ole")

    def least(self) -> V:
        """Of a matrix whose greatest element is 1 or more."""
        return self.number((ROUNDING[self.scalar] / 8) ** 2, "double")

    def sweep(self, d: V, e: V, length: V, direction: V) -> None:
        fn = self.fn
        end = fn.mul(length, direction)
        forward = fn.compare("icmp", "sgt", direction, i64(0))
        left, right = (some.target() for some in self.rotations)
        self.columns, self.rows = fn.select(forward, left, right), fn.select(forward, right, left)
        last = fn.binary("sub", end, direction)
        shift = self.shift(self.load(d, last, "double"), self.load(e, last, "double"), self.load(d, end, "double"))
        first = self.load(d, i64(0), "double")

        def smaller(k: V, least: V) -> list[V]:
            x = self.abs(self.load(d, fn.mul(k, direction), "double"))
            return [fn.select(self.less(x, least), x, least)]

        least = self.loop(1, fn.add(length, i64(1)), 1, smaller, self.abs(first))[0]
        rounding = self.number(ROUNDING[self.scalar], "double")
        nothing = self.less(self.mul(shift, shift), self.mul(rounding, self.mul(first, first)), "ole")
        plain = fn.binary("or", nothing, self.less(least, rounding, "ole"))
        self.when(plain, lambda: self.unshifted(d, e, length, direction),
                  lambda: self.shifted(d, e, length, direction, shift))
        self.store(self.number(0, "double"), e, fn.binary("sub", i64(0), direction))

    def shift(self, a: V, b: V, c: V) -> V:
        """The smaller singular value of the rows (a, b), (0, c)."""
        fn = self.fn
        a, c = self.abs(a), self.abs(c)
        square = self.mul(b, b)
        sums = [self.sqrt(self.fma(x, x, square)) for x in (self.add(a, c), self.sub(a, c))]
        product = self.mul(self.number(2, "double"), self.mul(a, c))
        whole = self.add(*sums)
        none = self.less(whole, self.number(1e-140, "double"))
        return fn.select(none, self.number(0, "double"), self.div(product, whole))

    def note(self, target: V, t: V, c: V, s: V) -> None:
        if not self.vectors:
            return
        place = self.fn.mul(t, i64(2))
        for k, value in enumerate(unit(self, c, s)):
            self.store(self.narrower(value), target, self.fn.add(place, i64(k)))

    def shifted(self, d: V, e: V, length: V, direction: V, shift: V) -> None:
        fn, zero = self.fn, i64(0)
        own, beside = self.load(d, zero, "double"), self.load(e, zero, "double")
        sign = fn.intrinsic("llvm.copysign", "double", self.number(1, "double"), own)
        start = self.mul(self.sub(self.abs(own), shift), self.add(sign, self.div(shift, own)))

        def turn(t: V, here: V, f: V, g: V, own: V, beside: V) -> list[V]:
            after = fn.add(here, direction)
            c, s, r = rotation(self, g, f)
            self.note(self.columns, t, c, s)
            self.store(r, e, fn.binary("sub", here, direction))
            f = self.fma(c, own, self.mul(s, beside))
            beside = self.fma(c, beside, self.neg(self.mul(s, own)))
            following = self.load(d, after, "double")
            g, following = self.mul(s, following), self.mul(c, following)
            c, s, r = rotation(self, g, f)
            self.note(self.rows, t, c, s)
            self.store(r, d, here)
            f = self.fma(c, beside, self.mul(s, following))
            own = self.fma(c, following, self.neg(self.mul(s, beside)))
            beside = self.load(e, after, "double")
            return [after, f, self.mul(s, beside), own, self.mul(c, beside)]

        end, f, _, own, _ = self.loop(0, length, 1, turn, zero, start, beside, own, beside)
        self.store(own, d, end)
        self.store(f, e, fn.binary("sub", end, direction))

    def unshifted(self, d: V, e: V, length: V, direction: V) -> None:
        fn, one = self.fn, self.number(1, "double")

        def turn(t: V, here: V, own: V, c: V, last_c: V, last_s: V) -> list[V]:
            after = fn.add(here, direction)
            c, s, r = rotation(self, self.load(e, here, "double"), self.mul(own, c))
            self.note(self.columns, t, c, s)
            self.store(self.mul(last_s, r), e, fn.binary("sub", here, direction))
            own = self.load(d, after, "double")
            last_c, last_s, r = rotation(self, self.mul(own, s), self.mul(last_c, r))
            self.note(self.rows, t, last_c, last_s)
            self.store(r, d, here)
            return [after, own, c, last_c, last_s]

        start = [i64(0), self.load(d, i64(0), "double"), one, one, self.number(0, "double")]
        end, own, c, last_c, last_s = self.loop(0, length, 1, turn, *start)
        own = self.mul(own, c)
        self.store(self.mul(own, last_c), d, end)
        self.store(self.mul(own, last_s), e, fn.binary("sub", end, direction))

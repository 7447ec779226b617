"""Products over windows of bfloat16 numbers by pairs, for processors that multiply and add two of them at a time.

    contract(w, windows of x), all converted      becomes   contract_pairs(words of w, windows of words of x)

Words hold two numbers that are neighbours along a term by which both operands move whole places: channels, or the
images of a batch for the gradient of a weight. They are made once for all that read them, instead of converted numbers.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import pullback.ops.build as b
from pullback.ir.dtypes import DType, bfloat16, uint16, uint32
from pullback.ir.index import bindings, loop_vars
from pullback.ir.node import Node, Op, TensorType, apply, primitive
from pullback.schedule.windows import InMemory, Window, always_stored, of_window, windows_of


@primitive
class ContractPairs(Op):
    """contract(a, b) of words: the products of their first and of their second halves, which are bfloat16 numbers."""

    name: ClassVar[str] = "contract_pairs"
    lowering: ClassVar[str] = "contract"
    words: ClassVar[bool] = True
    batch_dims: int
    contracted: int
    dtype: DType
    parts: int

    def infer(self, *types: TensorType) -> TensorType:
        x, y = types
        k = self.contracted
        return TensorType.of((*x.shape[:x.rank - k], *y.shape[self.batch_dims:y.rank - k]), self.dtype)


class Side(NamedTuple):
    """An operand: the windows it is, its shape, and the 16-bit numbers that it converts."""

    seen: Window
    shape: tuple[int, ...]
    numbers: Node

    def moved(self, axis: int) -> int | None:
        """The dimension of the base, of even size, that is this one of the operand; None: there is none."""
        term = loop_vars(self.shape)[axis]
        found = [d for d, at in enumerate(self.seen.at) if at.variables() & term.variables()]
        if len(found) != 1 or self.seen.at[found[0]] != term or self.seen.step[found[0]] != 1:
            return None
        size = self.seen.base.shape[found[0]]
        return found[0] if size == self.shape[axis] and size % 2 == 0 else None

    def halved(self, axis: int, dim: int) -> Node:
        """The same windows of words, half as many along a dimension."""
        new = (*self.shape[:axis], self.shape[axis] // 2, *self.shape[axis + 1:])
        values = bindings(self.shape, loop_vars(new))
        made = apply(InMemory(), words(self.numbers, dim))  # no view of them is stored, whatever they are made of
        return of_window(made, [at.substitute(values) for at in self.seen.at], self.seen.step, new)


def in_pairs(product: Node) -> Node | None:
    """A product over windows of bfloat16 numbers as one of words; None where no term can be halved, or what is left is
    no product over windows: where two channels were all that was not a run."""
    op: Any = product.op
    windows = windows_of(product, {}) if op.parts == 1 else None
    if windows is None:
        return None
    sides: list[Side] = []
    for seen, x in zip(windows, product.inputs, strict=True):
        numbers = b.narrow(seen.base.inputs[0] if always_stored(seen.base) else seen.base)
        if numbers is None or numbers.dtype is not bfloat16:
            return None
        sides.append(Side(seen, x.shape, numbers))
    first = [len(side.shape) - op.contracted for side in sides]
    found: dict[int, tuple[int, ...]] = {}
    for term in range(op.contracted):
        dims = [d for side, k in zip(sides, first, strict=True) if (d := side.moved(k + term)) is not None]
        if len(dims) == len(sides):
            found[term] = tuple(dims)
    terms = sorted(found, key=lambda t: any(  # along its last dimension an array is read every other number
        d == len(side.seen.at) - 1 for d, side in zip(found[t], sides, strict=True)))
    for term in terms:
        halves = [side.halved(k + term, d) for side, k, d in zip(sides, first, found[term], strict=True)]
        made = apply(ContractPairs(op.batch_dims, op.contracted, op.dtype, op.parts), *halves)
        if windows_of(made, {}) is not None:
            return made
    return None


def words(x: Node, d: int) -> Node:
    """Neighbours along a dimension in one word, the first in its lower half."""
    shape = (*x.shape[:d], x.shape[d] // 2, *x.shape[d + 1:])
    at = loop_vars(shape)
    halves = [b.reindex(x, shape, (*at[:d], at[d] * 2 + part, *at[d + 1:]), None) for part in (0, 1)]
    low, high = (b.convert(b.bitcast(half, uint16), uint32) for half in halves)
    return b.binary("bitwise_or", low, b.binary("shift_left", high, b.scalar_like(high, 16)))

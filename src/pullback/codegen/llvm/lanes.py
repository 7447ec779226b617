"""What lanes read where the index expression tells it while compiling: every second element, each element twice."""

from __future__ import annotations

from pullback.codegen.llvm.text import Fn, V, i64, vector
from pullback.ir.index import Index, Part, Var


def pattern(index: Index, lane: Var | None, step: int, width: int) -> tuple[int, ...] | None:
    """The value at each lane less that at the first; None where it depends on more than the lane.

    The first lane's variable is a multiple of `step`.
    """
    total = [0] * width
    for atom, c in index.terms:
        if isinstance(atom, Var):
            if atom == lane:
                total = [t + c * k for k, t in enumerate(total)]
            continue
        if lane not in atom.inner.variables():
            continue
        found = _part(atom, lane, step, width)
        if found is None:
            return None
        total = [t + c * x for t, x in zip(total, found, strict=True)]
    return tuple(total)


def _part(part: Part, lane: Var | None, step: int, width: int) -> list[int] | None:
    if len(part.inner.terms) != 1:
        return None
    atom, c = part.inner.terms[0]
    if atom != lane or c * step % part.divisor:
        return None
    values = [part.inner.const + c * k for k in range(width)]
    found = [v // part.divisor if part.quotient else v % part.divisor for v in values]
    return [x - found[0] for x in found]


def load_pattern(fn: Fn, first: V, steps: tuple[int, ...], scalar: str, size: int) -> V | None:
    """The elements `steps` from an address, by one or two vector loads; None where they lie too far apart."""
    width = len(steps)
    low, high = min(steps), max(steps)
    span = high - low + 1
    piece = min(1 << (width - 1).bit_length(), 1 << (span.bit_length() - 1))
    if span > 2 * piece or piece < 2:
        return None
    type_ = vector(scalar, piece)
    loads = [fn.load(fn.gep(first, i64(low), scalar) if low else first, type_, size)]
    if span > piece:
        loads.append(fn.load(fn.gep(first, i64(high + 1 - piece), scalar), type_, size))
    picks = [s - low if s - low < piece else s - (high + 1 - piece) + piece for s in steps]
    text = ", ".join(f"i32 {p}" for p in picks)
    other = loads[-1].ref if len(loads) > 1 else "poison"
    return fn.op(f"shufflevector {type_} {loads[0].ref}, {type_} {other}, <{width} x i32> <{text}>",
                 vector(scalar, width))


__all__ = ["load_pattern", "pattern"]

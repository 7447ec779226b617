"""What lanes read where the index expression tells it while compiling: every second element, each element twice."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from pullback.codegen.llvm.text import Fn, V, element, i64, lanes, vector
from pullback.ir.index import Index, Part, Var

MOST_STARTS = 64  # remainders that are tried one by one


def alignment(index: Index, lane: Var | None, origin: int, itemsize: int) -> int:
    """Of 64 and 32 bytes what an element's place is a whole number of, or else only the element's size; the lane's
    variable is a multiple of `origin`."""
    steps = [index.const, *(c * (origin if atom == lane else 1) for atom, c in index.terms)]
    return next((n for n in (64, 32) if all(k * itemsize % n == 0 for k in steps)), itemsize)


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
    """Of a quotient or remainder, where it does not matter which of its possible remainders the first lane has."""
    inner = pattern(part.inner, lane, step, width)
    if inner is None:
        return None
    known = gcd(_multiple(part.inner, lane, step), part.divisor)
    found: list[int] | None = None
    if part.divisor // known > MOST_STARTS:
        return None
    for first in range(part.inner.const % known, part.divisor, known):
        values = [(first + k) // part.divisor if part.quotient else (first + k) % part.divisor for k in inner]
        steps = [v - values[0] for v in values]
        if found is not None and steps != found:
            return None
        found = steps
    return found


def _multiple(index: Index, lane: Var | None, step: int) -> int:
    """A number of which the index, less its constant, is a multiple at the first lane."""
    found = 0
    for atom, c in index.terms:
        each = 1
        if atom == lane:
            each = step
        elif isinstance(atom, Part):
            inner = _multiple(atom.inner, lane, step)
            if atom.quotient:
                each = inner // atom.divisor if inner % atom.divisor == atom.inner.const % atom.divisor == 0 else 1
            else:
                each = gcd(inner, atom.divisor, atom.inner.const)
        found = gcd(found, c * each)
    return found


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


def mangled(type_: str) -> str:
    names = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}
    scalar = element(type_)
    return f"v{lanes(type_)}{names.get(scalar, scalar)}"


def picked(fn: Fn, value: V, places: Sequence[int]) -> V:
    """Some lanes of a vector, in an order."""
    type_ = vector(element(value.type), len(places))
    picks = ", ".join(f"i32 {k}" for k in places)
    mask = f"<{len(places)} x i32> <{picks}>"
    return fn.op(f"shufflevector {value.type} {value.ref}, {value.type} zeroinitializer, {mask}", type_)


def whole(fn: Fn, value: V) -> V:
    """A vector with zeros behind, to a power of two of lanes: LLVM fails on others in masked loads and stores."""
    count = lanes(value.type)
    more = 1 << (count - 1).bit_length()
    return value if more == count else picked(fn, value, [min(k, count) for k in range(more)])

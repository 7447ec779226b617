"""What lanes read where the index expression tells it while compiling: every second element, each element twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from pullback.codegen.llvm.text import Fn, V, const, element, i64, lanes, literals, vector, with_element
from pullback.ir.index import Index, Part, Var

MOST_STARTS = 64  # remainders that are tried one by one
MASKED = (4, 8)  # bytes of elements that every target with masks reads under one


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


def static(index: Index, lane: Var | None, step: int) -> int | None:
    """The value at the first lane where it is always the same: of remainders that the lane's steps do not change."""
    total = index.const
    for atom, c in index.terms:
        if isinstance(atom, Var) or atom.quotient or _multiple(atom.inner, lane, step) % atom.divisor:
            return None
        total += c * (atom.inner.const % atom.divisor)
    return total


def load_pattern(fn: Fn, load: Callable[[int, str], V], steps: tuple[int, ...], scalar: str) -> V | None:
    """The elements `steps` from a place, by one or two vector loads; None where they lie too far apart.

    `load` reads a vector of a type that begins so many elements from the place.
    """
    width = len(steps)
    low, high = min(steps), max(steps)
    span = high - low + 1
    piece = min(1 << (width - 1).bit_length(), 1 << (span.bit_length() - 1))
    if span > 2 * piece or piece < 2:
        return None
    type_ = vector(scalar, piece)
    loads = [load(low, type_)]
    if span > piece:
        loads.append(load(high + 1 - piece, type_))
    picks = [s - low if s - low < piece else s - (high + 1 - piece) + piece for s in steps]
    text = ", ".join(f"i32 {p}" for p in picks)
    other = loads[-1].ref if len(loads) > 1 else "poison"
    return fn.op(f"shufflevector {type_} {loads[0].ref}, {type_} {other}, <{width} x i32> <{text}>",
                 vector(scalar, width))


def guarded_pattern(fn: Fn, base: V, first: V, steps: tuple[int, ...], some: bool, scalar: str, itemsize: int,
                    size: int) -> V | None:
    """The same under a guard, of an array of `size` elements; None where only one lane at a time can be read.

    A guard that holds for all lanes or none moves the place into the array; where it holds for `some`, what is not in
    the array is not read. What the guard leaves out is any number.
    """
    low, high = min(steps), max(steps)
    if high - low >= size:
        return None
    if not some:
        inside = fn.intrinsic("llvm.smin", "i64", fn.intrinsic("llvm.smax", "i64", first, i64(-low)),
                              i64(size - 1 - high))
        at = fn.gep(base, inside, scalar)
        return load_pattern(fn, lambda offset, type_: fn.load(fn.gep(at, i64(offset), scalar), type_, itemsize),
                            steps, scalar)
    if itemsize not in MASKED:
        return None

    def load(offset: int, type_: str) -> V:
        places = with_element(type_, "i64")
        each = literals(range(offset, offset + lanes(type_)), "i64")
        mask = fn.compare("icmp", "ult", fn.add(fn.splat(first, lanes(type_)), each), const(size, places))
        at = fn.gep(base, fn.add(first, i64(offset)), scalar)
        return fn.call("llvm.masked.load." + mangled(type_) + ".p0", type_, at, V(str(itemsize), "i32"), mask,
                       const(0, type_))

    return load_pattern(fn, load, steps, scalar)


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


def collect(fn: Fn, addresses: Sequence[V], wide: str, size: int) -> V:
    """One element for each lane."""
    total = V("poison", wide)
    for k, at in enumerate(addresses):
        total = fn.insert(total, fn.load(at, element(wide), size), k)
    return total


def clamp(fn: Fn, position: V, size: int, least: int = 0) -> V:
    """A place that exists (from `least` on), whatever the position."""
    low = fn.intrinsic("llvm.smax", position.type, position, const(least, position.type))
    return fn.intrinsic("llvm.smin", position.type, low, const(size - 1, position.type))


def widen(fn: Fn, value: V, width: int, filler: V) -> V:
    """A short vector in the first lanes, the filler's value in the rest."""
    have = lanes(value.type)
    picks = ", ".join(f"i32 {min(k, have)}" for k in range(width))
    text = f"shufflevector {value.type} {value.ref}, {value.type} {filler.ref}, <{width} x i32> <{picks}>"
    return fn.op(text, vector(element(value.type), width))

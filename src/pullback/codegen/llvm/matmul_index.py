"""Integer index arithmetic that folds literals, so that constant sizes leave no instructions behind."""

from __future__ import annotations

from pullback.codegen.llvm.text import Fn, V, i64


def literal(a: V) -> int | None:
    """The value of a literal; None for a computed value."""
    return None if a.ref[0] == "%" else int(a.ref)


def add(fn: Fn, a: V, b: V | int) -> V:
    b = b if isinstance(b, V) else i64(b)
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(x + y)
    if x == 0:
        return b
    return a if y == 0 else fn.binary("add nsw", a, b)


def sub(fn: Fn, a: V, b: V) -> V:
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(x - y)
    return a if y == 0 else fn.binary("sub nsw", a, b)


def mul(fn: Fn, a: V, b: V | int) -> V:
    b = b if isinstance(b, V) else i64(b)
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(x * y)
    if x == 0 or y == 0:
        return i64(0)
    if x == 1:
        return b
    return a if y == 1 else fn.binary("mul nsw", a, b)


def div(fn: Fn, a: V, b: V | int) -> V:
    """Quotient of non-negative integers."""
    b = b if isinstance(b, V) else i64(b)
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(x // y)
    return a if y == 1 else fn.binary("udiv", a, b)


def rem(fn: Fn, a: V, b: int) -> V:
    x = literal(a)
    if b == 1:
        return i64(0)
    return i64(x % b) if x is not None else fn.binary("urem", a, i64(b))


def minimum(fn: Fn, a: V, b: V | int) -> V:
    b = b if isinstance(b, V) else i64(b)
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(min(x, y))
    return fn.intrinsic("llvm.smin", "i64", a, b)


def maximum(fn: Fn, a: V, b: V | int) -> V:
    b = b if isinstance(b, V) else i64(b)
    x, y = literal(a), literal(b)
    if x is not None and y is not None:
        return i64(max(x, y))
    return fn.intrinsic("llvm.smax", "i64", a, b)


def offset(fn: Fn, base: V, index: V, scalar: str) -> V:
    """Address of element `index`; the base itself where the index is the literal 0."""
    return base if literal(index) == 0 else fn.gep(base, index, scalar)


def empty(start: V, stop: V) -> bool:
    """Whether a loop is known to run zero times."""
    x, y = literal(start), literal(stop)
    return start.ref == stop.ref or (x is not None and y is not None and x >= y)

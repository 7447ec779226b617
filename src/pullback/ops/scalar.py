"""The table of scalar functions: all that is known of each stands in its row.

A derivative is given per argument, `(y, x..., t) -> node`, with the output `y` at hand so that nothing is computed
twice; the tangent is the sum over the arguments that have one. None says the derivative is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import Node
from pullback.ops import numeric

Rule = (Callable[[Node, Node, Node], Node | None] | Callable[[Node, Node, Node, Node], Node | None]
        | Callable[[Node, Node, Node, Node, Node], Node | None])
Transpose = Callable[[Node, tuple[Node, ...], tuple[bool, ...]], "Sequence[Node | None]"]
Reference = Callable[[Any], Any] | Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class ScalarRow:
    """A scalar function.

    `kinds`: allowed dtype kinds of the operands. `result`: "same", "bool", "real" (of a complex operand) or
    "complex". `transpose(ct, xs, linear)`: where the function is linear, the cotangents of the linear arguments.
    `domain`: per argument, where finite differences may be taken. `predicate`: the first operand is a bool. `narrow`:
    computed in the operands' own precision. `exact`: nothing is rounded, in any precision. `statics`: number of
    constant integer parameters.
    """

    name: str
    arity: int
    kinds: str
    reference: Callable[..., Any]
    doc: str
    derivative: tuple[Callable[..., Node | None] | None, ...] = ()
    transpose: Transpose | None = None
    result: str = "same"
    why: str = ""
    commutative: bool = False
    associative: bool = False
    idempotent: bool = False
    monotone: bool = False
    odd: bool = False
    even: bool = False
    range: tuple[float | None, float | None] = (None, None)
    domain: tuple[tuple[float, float], ...] = ()
    ulp: float = 0.0
    predicate: bool = False
    narrow: bool = False
    exact: bool = False
    statics: int = 0

    def jvp(self, y: Node, xs: tuple[Node, ...], ts: tuple[Node | None, ...], static: tuple[int, ...]) -> Node | None:
        """The tangent: the sum of the arguments' parts."""
        total: Node | None = None
        for rule, t in zip(self.derivative, ts, strict=True) if self.derivative else ():
            if rule is None or t is None:
                continue
            part = rule(y, *xs, *static, t)
            if part is not None:
                total = part if total is None else _sum(total, part)
        return total


MOST_FACTORS = 8


def _sum(x: Node, y: Node) -> Node:
    """x + y, with what both are multiples of taken out: so the tangent of x f(x) is one multiple of that of x."""
    left, right = _factors(x), _factors(y)
    shared: list[Node] = []
    for f in list(left):
        if f in right:
            shared.append(f)
            left.remove(f)
            right.remove(f)
    if not shared or not (left or right):
        return b.add(x, y)
    one = b.ones_like(x)
    rest = b.add(_product(left or [one]), _product(right or [one]))
    return b.mul(shared[0], _product([*shared[1:], rest]))  # the first is the tangent, as rules write it


def _factors(x: Node) -> list[Node]:
    """What a product is made of; at most so many."""
    found = [x]
    while len(found) < MOST_FACTORS:
        at = next((k for k, f in enumerate(found) if getattr(f.op, "row", None) == "mul"), None)
        if at is None:
            break
        found[at:at + 1] = found[at].inputs
    return found


def _product(factors: Sequence[Node]) -> Node:
    total = factors[0]
    for f in factors[1:]:
        total = b.mul(total, f)
    return total


ROWS: dict[str, ScalarRow] = {}


def _row(name: str, arity: int, kinds: str, reference: Reference, doc: str, *derivative: Rule | None,
         transpose: Transpose | None = None, **flags: Any) -> None:
    ROWS[name] = ScalarRow(name, arity, kinds, reference, doc, derivative, transpose, **flags)


def _like(x: Node, value: float) -> Node:
    return b.scalar_like(x, value)


def _times(t: Node, value: float) -> Node:
    return b.mul(t, _like(t, value))


# Arithmetic.

def _linear_add(ct: Node, xs: tuple[Node, ...], linear: tuple[bool, ...]) -> Sequence[Node | None]:
    return [ct if k else None for k in linear]


def _linear_sub(ct: Node, xs: tuple[Node, ...], linear: tuple[bool, ...]) -> Sequence[Node | None]:
    return [ct if linear[0] else None, b.neg(ct) if linear[1] else None]


def _linear_mul(ct: Node, xs: tuple[Node, ...], linear: tuple[bool, ...]) -> Sequence[Node | None]:
    return [b.mul(ct, xs[1]) if linear[0] else None, b.mul(ct, xs[0]) if linear[1] else None]


def _linear_fma(ct: Node, xs: tuple[Node, ...], linear: tuple[bool, ...]) -> Sequence[Node | None]:
    return [*_linear_mul(ct, xs[:2], linear[:2]), ct if linear[2] else None]


def _linear_select(ct: Node, xs: tuple[Node, ...], linear: tuple[bool, ...]) -> Sequence[Node | None]:
    zero = b.zeros_like(ct)
    return [None, b.select(xs[0], ct, zero) if linear[1] else None, b.select(xs[0], zero, ct) if linear[2] else None]


_row("add", 2, "iufc", np.add, "Sum.", lambda y, a, c, t: t, lambda y, a, c, t: t, transpose=_linear_add,
     commutative=True, associative=True)
_row("sub", 2, "iufc", np.subtract, "Difference.", lambda y, a, c, t: t, lambda y, a, c, t: b.neg(t),
     transpose=_linear_sub)
_row("mul", 2, "iufc", np.multiply, "Product.", lambda y, a, c, t: b.mul(t, c), lambda y, a, c, t: b.mul(a, t),
     transpose=_linear_mul, commutative=True, associative=True)
_row("div", 2, "fc", np.divide, "Quotient.", lambda y, a, c, t: b.div(t, c),
     lambda y, a, c, t: b.neg(b.mul(t, b.div(y, c))),
     transpose=lambda ct, xs, linear: [b.div(ct, xs[1]), None], domain=((-2, 2), (0.5, 2)))
_row("fma", 3, "iufc", lambda a, c, d: a * c + d, "a * b + c.", lambda y, a, c, d, t: b.mul(t, c),
     lambda y, a, c, d, t: b.mul(a, t), lambda y, a, c, d, t: t, transpose=_linear_fma)
_row("neg", 1, "iufc", np.negative, "Negation.", lambda y, x, t: b.neg(t),
     transpose=lambda ct, xs, linear: [b.neg(ct)], odd=True, exact=True)
_row("identity", 1, "biufc", lambda x: x, "The operand.", lambda y, x, t: t,
     transpose=lambda ct, xs, linear: [ct], odd=True, monotone=True)
_row("floor_divide", 2, "iuf", np.floor_divide, "Quotient rounded down; integers by 0 give 0.", None, None,
     domain=((1.1, 1.9), (0.7, 0.9)))
_row("remainder", 2, "iuf", np.remainder, "a - floor(a / b) * b, with the sign of b; integers by 0 give 0.",
     lambda y, a, c, t: t, lambda y, a, c, t: b.neg(b.mul(t, b.floor(b.div(a, c)))), domain=((1.1, 1.3), (0.9, 1)))
_row("fmod", 2, "iuf", np.fmod, "a - trunc(a / b) * b, with the sign of a; integers by 0 give 0.",
     lambda y, a, c, t: t, lambda y, a, c, t: b.neg(b.mul(t, b.trunc(b.div(a, c)))), domain=((1.1, 1.3), (0.9, 1)))


def _abs_jvp(y: Node, x: Node, t: Node) -> Node:
    if x.dtype.kind != "c":
        return b.mul(t, b.sign(x))
    zero = b.binary("eq", y, b.zeros_like(y))
    return b.div(b.unary("real", b.mul(b.unary("conj", x), t)), b.select(zero, b.ones_like(y), y))


_row("abs", 1, "iufc", np.abs, "Absolute value.", _abs_jvp, even=True, range=(0, None), idempotent=True, result="real",
     domain=((0.2, 2),), exact=True)
_row("sign", 1, "iufc", np.sign, "-1, 0 or 1 (NaN stays; a complex number over its modulus).", None, odd=True,
     range=(-1, 1), idempotent=True, monotone=True, domain=((0.2, 2),), exact=True)
_row("reciprocal", 1, "fc", np.reciprocal, "1 / x.", lambda y, x, t: b.neg(b.mul(t, b.mul(y, y))), odd=True,
     domain=((0.5, 2),))
_row("square", 1, "iufc", np.square, "x * x.", lambda y, x, t: b.mul(t, _times(x, 2)), even=True, range=(0, None))
_row("sqrt", 1, "fc", np.sqrt, "Square root.", lambda y, x, t: b.div(_times(t, 0.5), y), range=(0, None),
     monotone=True, domain=((0.3, 2),))
_row("rsqrt", 1, "fc", lambda x: 1 / np.sqrt(x), "1 / sqrt(x).",
     lambda y, x, t: b.mul(t, _times(b.div(y, x), -0.5)), range=(0, None), domain=((0.3, 2),), ulp=2)
_row("cbrt", 1, "f", np.cbrt, "Cube root.", lambda y, x, t: b.div(_times(t, 1 / 3), b.mul(y, y)), odd=True,
     monotone=True, domain=((0.3, 2),), ulp=2)
_row("hypot", 2, "f", np.hypot, "sqrt(a*a + b*b) without overflow.", lambda y, a, c, t: b.mul(t, _over(a, y)),
     lambda y, a, c, t: b.mul(t, _over(c, y)), commutative=True, range=(0, None), domain=((0.2, 2), (0.2, 2)), ulp=2)


def _over(x: Node, y: Node) -> Node:
    """x / y, and 0 where y is 0."""
    zero = b.binary("eq", y, b.zeros_like(y))
    return b.div(x, b.select(zero, b.ones_like(y), y))


def _pow_base(y: Node, x: Node, n: Node, t: Node) -> Node:
    zero = b.binary("eq", n, b.zeros_like(n))
    lower = b.binary("pow", x, b.select(zero, b.zeros_like(n), b.sub(n, b.ones_like(n))))  # 1, whatever x is
    return b.mul(t, b.mul(n, lower))


def _pow_exponent(y: Node, x: Node, n: Node, t: Node) -> Node:
    zero = b.binary("eq", x, b.zeros_like(x))
    if x.dtype.kind == "f":
        zero = b.binary("logical_and", zero, b.binary("ge", n, b.zeros_like(n)))
    return b.mul(t, b.mul(y, b.log(b.select(zero, b.ones_like(x), x))))


def _integer_pow_jvp(y: Node, x: Node, n: Any, t: Node) -> Node | None:
    if n == 0:
        return None
    return b.mul(t, _times(b.integer_pow(x, n - 1), n))


_row("pow", 2, "iufc", numeric.power, "a ** b; integers with a negative exponent truncate.", _pow_base, _pow_exponent,
     domain=((0.3, 2), (-2, 2)), ulp=4)
_row("integer_pow", 1, "iufc", numeric.integer_pow, "x ** n for a constant integer n.", _integer_pow_jvp, statics=1,
     domain=((0.3, 1.5),), ulp=4)

# Extremes, rounding, signs. Ties of maximum and minimum share the tangent equally; where either is NaN, both pass it.


def _share(loses: str, own: int) -> Rule:
    def rule(y: Node, a: Node, c: Node, t: Node) -> Node:
        mine, other = (a, c) if own == 0 else (c, a)
        kept = b.select(b.binary("eq", a, c), _times(t, 0.5), t)
        return b.select(b.binary(loses, mine, other), b.zeros_like(t), kept)

    return rule


_row("maximum", 2, "biuf", np.maximum, "The greater; NaN if either is.", _share("lt", 0), _share("lt", 1),
     commutative=True, associative=True, idempotent=True, exact=True)
_row("minimum", 2, "biuf", np.minimum, "The lesser; NaN if either is.", _share("gt", 0), _share("gt", 1),
     commutative=True, associative=True, idempotent=True, exact=True)


def _clamp_x(y: Node, x: Node, low: Node, high: Node, t: Node) -> Node:
    inside = b.binary("logical_and", b.binary("ge", x, low), b.binary("le", x, high))
    return b.select(inside, t, b.zeros_like(t))


def _clamp_low(y: Node, x: Node, low: Node, high: Node, t: Node) -> Node:
    active = b.binary("logical_and", b.binary("lt", x, low), b.binary("lt", low, high))
    return b.select(active, t, b.zeros_like(t))


def _clamp_high(y: Node, x: Node, low: Node, high: Node, t: Node) -> Node:
    active = b.binary("gt", b.binary("maximum", x, low), high)
    return b.select(active, t, b.zeros_like(t))


_row("clamp", 3, "iuf", lambda x, low, high: np.minimum(np.maximum(x, low), high),
     "x limited to [low, high]; the limits pass the tangent of x.", _clamp_x, _clamp_low, _clamp_high,
     domain=((-1, 1), (-0.4, -0.2), (0.2, 0.4)))
_row("copysign", 2, "f", np.copysign, "The size of a with the sign of b.",
     lambda y, a, c, t: b.mul(t, b.mul(b.sign(a), b.binary("copysign", b.ones_like(a), c))), None,
     domain=((0.2, 2), (0.2, 2)), exact=True)
_row("nextafter", 2, "f", np.nextafter, "The next number after a towards b.", None, None, narrow=True,
     why="a step between neighbouring numbers has no derivative", domain=((0.2, 2), (0.2, 2)))
_row("floor", 1, "f", np.floor, "Rounded down.", None, monotone=True, idempotent=True, domain=((0.2, 0.8),), exact=True)
_row("ceil", 1, "f", np.ceil, "Rounded up.", None, monotone=True, idempotent=True, domain=((0.2, 0.8),), exact=True)
_row("trunc", 1, "f", np.trunc, "Rounded towards 0.", None, monotone=True, idempotent=True, odd=True,
     domain=((0.2, 0.8),), exact=True)
_row("round", 1, "f", np.round, "Rounded to nearest, ties to even.", None, monotone=True, idempotent=True, odd=True,
     domain=((0.6, 0.8),), exact=True)

# Exponentials and logarithms.
_LN2, _LN10 = math.log(2), math.log(10)
_row("exp", 1, "fc", np.exp, "e ** x.", lambda y, x, t: b.mul(t, y), range=(0, None), monotone=True, ulp=2)
_row("exp2", 1, "f", np.exp2, "2 ** x.", lambda y, x, t: b.mul(t, _times(y, _LN2)), range=(0, None), monotone=True,
     ulp=2)
_row("expm1", 1, "fc", np.expm1, "exp(x) - 1, exact near 0.", lambda y, x, t: b.mul(t, b.add(y, b.ones_like(y))),
     range=(-1, None), monotone=True, ulp=2)
_row("log", 1, "fc", np.log, "Natural logarithm.", lambda y, x, t: b.div(t, x), monotone=True, domain=((0.3, 2),),
     ulp=2)
_row("log2", 1, "fc", np.log2, "Logarithm to base 2.", lambda y, x, t: b.div(_times(t, 1 / _LN2), x), monotone=True,
     domain=((0.3, 2),), ulp=2)
_row("log10", 1, "fc", np.log10, "Logarithm to base 10.", lambda y, x, t: b.div(_times(t, 1 / _LN10), x), monotone=True,
     domain=((0.3, 2),), ulp=2)
_row("log1p", 1, "fc", np.log1p, "log(1 + x), exact near 0.", lambda y, x, t: b.div(t, b.add(x, b.ones_like(x))),
     monotone=True, domain=((-0.5, 2),), ulp=2)
_row("logaddexp", 2, "f", np.logaddexp, "log(exp(a) + exp(b)) without overflow.",
     lambda y, a, c, t: b.mul(t, b.unary("sigmoid", b.sub(a, c))),
     lambda y, a, c, t: b.mul(t, b.unary("sigmoid", b.sub(c, a))), commutative=True, associative=True, ulp=4)
_row("softplus", 1, "f", numeric.softplus, "log(1 + exp(x)) without overflow.",
     lambda y, x, t: b.mul(t, b.unary("sigmoid", x)), monotone=True, range=(0, None), ulp=4)
_row("sigmoid", 1, "fc", numeric.sigmoid, "1 / (1 + exp(-x)).",
     lambda y, x, t: b.mul(t, b.mul(y, b.sub(b.ones_like(y), y))), range=(0, 1), monotone=True, ulp=4)

# Circular and hyperbolic functions.


def _one_plus_square(x: Node) -> Node:
    return b.add(b.square(x), b.ones_like(x))


def _one_minus_square(x: Node) -> Node:
    return b.sub(b.ones_like(x), b.square(x))


_row("sin", 1, "fc", np.sin, "Sine.", lambda y, x, t: b.mul(t, b.unary("cos", x)), odd=True, range=(-1, 1), ulp=2)
_row("cos", 1, "fc", np.cos, "Cosine.", lambda y, x, t: b.neg(b.mul(t, b.unary("sin", x))), even=True, range=(-1, 1),
     ulp=2)
_row("tan", 1, "fc", np.tan, "Tangent.", lambda y, x, t: b.mul(t, _one_plus_square(y)), odd=True, domain=((-1, 1),),
     ulp=4)
_row("asin", 1, "fc", np.arcsin, "Inverse sine.", lambda y, x, t: b.mul(t, b.unary("rsqrt", _one_minus_square(x))),
     odd=True, monotone=True, domain=((-0.8, 0.8),), ulp=4)
_row("acos", 1, "fc", np.arccos, "Inverse cosine.",
     lambda y, x, t: b.neg(b.mul(t, b.unary("rsqrt", _one_minus_square(x)))), domain=((-0.8, 0.8),), range=(0, math.pi),
     ulp=4)
_row("atan", 1, "fc", np.arctan, "Inverse tangent.", lambda y, x, t: b.div(t, _one_plus_square(x)), odd=True,
     monotone=True, ulp=4)
_row("atan2", 2, "f", numeric.arctan2, "The angle of (b, a).",
     lambda y, a, c, t: b.mul(t, _over(c, b.add(b.square(a), b.square(c)))),
     lambda y, a, c, t: b.neg(b.mul(t, _over(a, b.add(b.square(a), b.square(c))))), range=(-math.pi, math.pi),
     domain=((0.2, 2), (0.2, 2)), ulp=4)
_row("sinh", 1, "fc", np.sinh, "Hyperbolic sine.", lambda y, x, t: b.mul(t, b.unary("cosh", x)), odd=True,
     monotone=True, ulp=4)
_row("cosh", 1, "fc", np.cosh, "Hyperbolic cosine.", lambda y, x, t: b.mul(t, b.unary("sinh", x)), even=True,
     range=(1, None), ulp=4)
_row("tanh", 1, "fc", np.tanh, "Hyperbolic tangent.", lambda y, x, t: b.mul(t, _one_minus_square(y)), odd=True,
     monotone=True, range=(-1, 1), ulp=4)
_row("asinh", 1, "fc", np.arcsinh, "Inverse hyperbolic sine.",
     lambda y, x, t: b.mul(t, b.unary("rsqrt", _one_plus_square(x))), odd=True, monotone=True, ulp=4)
_row("acosh", 1, "fc", np.arccosh, "Inverse hyperbolic cosine.",
     lambda y, x, t: b.mul(t, b.unary("rsqrt", b.sub(b.square(x), b.ones_like(x)))), range=(0, None),
     domain=((1.3, 3),), ulp=4)
_row("atanh", 1, "fc", np.arctanh, "Inverse hyperbolic tangent.", lambda y, x, t: b.div(t, _one_minus_square(x)),
     odd=True, monotone=True, domain=((-0.8, 0.8),), ulp=4)

# Special functions.
_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _gauss(x: Node) -> Node:
    return _times(b.exp(b.neg(b.square(x))), _TWO_OVER_ROOT_PI)


def trigamma(x: Node) -> Node:
    """Derivative of digamma: reflection below 1/2, recurrence by 8, then the asymptotic series."""
    reflect = b.binary("lt", x, _like(x, 0.5))
    y = b.select(reflect, b.sub(b.ones_like(x), x), x)
    total = b.zeros_like(x)
    for k in range(8):
        total = b.add(total, b.reciprocal(b.square(b.add(y, _like(x, k)))))
    w = b.reciprocal(b.add(y, _like(x, 8)))
    w2 = b.square(w)
    series = _like(x, 5 / 66)
    for c in (-1 / 30, 1 / 42, -1 / 30, 1 / 6):
        series = b.add(b.mul(series, w2), _like(x, c))
    value = b.add(total, b.add(b.add(w, _times(w2, 0.5)), b.mul(series, b.mul(w, w2))))
    sine = b.unary("sin", _times(b.select(reflect, x, _like(x, 0.5)), math.pi))
    reflected = b.sub(_times(b.reciprocal(b.square(sine)), math.pi * math.pi), value)
    return b.select(reflect, reflected, value)


_row("erf", 1, "f", numeric.erf, "Error function.", lambda y, x, t: b.mul(t, _gauss(x)), odd=True, monotone=True,
     range=(-1, 1), ulp=4)
_row("erfc", 1, "f", numeric.erfc, "1 - erf(x), exact for large x.", lambda y, x, t: b.neg(b.mul(t, _gauss(x))),
     range=(0, 2), ulp=8)
_row("erf_inv", 1, "f", numeric.erf_inv, "Inverse of erf.",
     lambda y, x, t: b.mul(t, _times(b.exp(b.square(y)), 1 / _TWO_OVER_ROOT_PI)), odd=True, monotone=True,
     domain=((-0.8, 0.8),), ulp=8)
_row("lgamma", 1, "f", numeric.lgamma, "Logarithm of the absolute value of the gamma function.",
     lambda y, x, t: b.mul(t, b.unary("digamma", x)), domain=((0.5, 3),), ulp=8)
_row("digamma", 1, "f", numeric.digamma, "Derivative of lgamma.", lambda y, x, t: b.mul(t, trigamma(x)),
     monotone=False, domain=((0.5, 3),), ulp=8)

# Comparisons, tests, logic and bits: results without derivative.
for _name, _function, _doc in (("eq", np.equal, "a == b."), ("ne", np.not_equal, "a != b.")):
    _row(_name, 2, "biufc", _function, _doc, result="bool", commutative=True)
for _name, _function, _doc in (("lt", np.less, "a < b."), ("le", np.less_equal, "a <= b."),
                               ("gt", np.greater, "a > b."), ("ge", np.greater_equal, "a >= b.")):
    _row(_name, 2, "biuf", _function, _doc, result="bool")
for _name, _function, _doc in (("isnan", np.isnan, "Whether x is NaN."), ("isinf", np.isinf, "Whether x is infinite."),
                               ("isfinite", np.isfinite, "Whether x is neither NaN nor infinite.")):
    _row(_name, 1, "fc", _function, _doc, result="bool")
_row("signbit", 1, "if", np.signbit, "Whether the sign bit is set.", result="bool")
_row("logical_and", 2, "b", np.logical_and, "Both.", commutative=True, associative=True, idempotent=True)
_row("logical_or", 2, "b", np.logical_or, "Either.", commutative=True, associative=True, idempotent=True)
_row("logical_xor", 2, "b", np.logical_xor, "One but not both.", commutative=True, associative=True)
_row("logical_not", 1, "b", np.logical_not, "Not.")
_row("bitwise_and", 2, "biu", np.bitwise_and, "Bits in both.", commutative=True, associative=True, idempotent=True)
_row("bitwise_or", 2, "biu", np.bitwise_or, "Bits in either.", commutative=True, associative=True, idempotent=True)
_row("bitwise_xor", 2, "biu", np.bitwise_xor, "Bits in one but not both.", commutative=True, associative=True)
_row("bitwise_not", 1, "biu", np.invert, "Bits inverted.")
_row("shift_left", 2, "iu", numeric.shift_left, "a * 2**b; 0 where b is not less than the width.")
_row("shift_right", 2, "iu", numeric.shift_right, "floor(a / 2**b), keeping the sign of signed integers.")
_row("popcount", 1, "iu", numeric.popcount, "Number of bits that are set.")
_row("clz", 1, "iu", numeric.clz, "Number of leading zero bits.")
_row("select", 3, "biufc", np.where, "a where the condition holds, b elsewhere.", None,
     lambda y, c, p, q, t: b.select(c, t, b.zeros_like(t)), lambda y, c, p, q, t: b.select(c, b.zeros_like(t), t),
     transpose=_linear_select, predicate=True, exact=True)

# Complex numbers. Transposes do not conjugate.
def _joined(a: Any, c: Any) -> Any:
    """Complex numbers of their parts: infinite ones stay as they are, which c * 1j would make NaN."""
    found = np.empty(np.shape(a), np.complex64 if np.asarray(a).dtype.itemsize < 8 else np.complex128)
    found.real, found.imag = a, c
    return found


_row("real", 1, "fc", np.real, "Real part.", lambda y, x, t: b.unary("real", t), result="real",
     transpose=lambda ct, xs, linear: [b.convert(ct, xs[0].dtype)], exact=True)
_row("imag", 1, "c", np.imag, "Imaginary part.", lambda y, x, t: b.unary("imag", t), result="real",
     transpose=lambda ct, xs, linear: [b.binary("make_complex", b.zeros_like(ct), b.neg(ct))])
_row("conj", 1, "fc", np.conj, "Complex conjugate.", lambda y, x, t: b.unary("conj", t), odd=True,
     transpose=lambda ct, xs, linear: [b.unary("conj", ct)], exact=True)
_row("make_complex", 2, "f", _joined,
     "a + b * 1j.", lambda y, a, c, t: b.binary("make_complex", t, b.zeros_like(t)),
     lambda y, a, c, t: b.binary("make_complex", b.zeros_like(t), t), result="complex",
     transpose=lambda ct, xs, linear: [b.unary("real", ct) if linear[0] else None,
                                       b.neg(b.unary("imag", ct)) if linear[1] else None])

"""Elementwise functions, under the names of the Array API standard and NumPy."""

from __future__ import annotations

from functools import partial
from typing import Any

from pullback.api._lazy import build
from pullback.api._rows import pair_operation, scalar_operation, truth
from pullback.api.arguments import as_tensor, checked_device, reject_kind
from pullback.api.complex_parts import angle, conj, imag, real
from pullback.engine.operation import Operation, broadcast_shapes, broadcast_to, operation, result_dtype
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Operand, thread
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, dtype_of
from pullback.ir.node import Node
from pullback.util.errors import ArgumentError, DTypeError, ValueError_, message
from pullback.util.zeros import written

Array = Any
COMPLEX_PARTS = (angle, conj, imag, real)  # elementwise functions too, kept in a file of their own


def _rounding(row: str) -> Operation:
    return Operation(lambda x: build.unary(row, x) if x.dtype.is_inexact else x, "none", True, False, row)


def _testing(row: str, on_integers: bool) -> Operation:
    def define(x: Node) -> Node:
        if x.dtype.is_inexact:
            return build.unary(row, x)
        return build.full(x.shape, on_integers, dtypes.bool_)

    return Operation(define, "none", True, False, row)


# -- arithmetic ------------------------------------------------------------------------------------------------------


@operation(promote="broadcast", by_type=True)
def _add(x: Node, y: Node) -> Node:
    return build.binary("logical_or" if x.dtype.kind == "b" else "add", x, y)


@operation(promote="broadcast", by_type=True)
def _subtract(x: Node, y: Node) -> Node:
    reject_kind(x, "b", "subtract", "use x ^ y for booleans, or convert them: x.int() - y.int()")
    return build.sub(x, y)


@operation(promote="broadcast", by_type=True)
def _multiply(x: Node, y: Node) -> Node:
    return build.binary("logical_and" if x.dtype.kind == "b" else "mul", x, y)


@operation(promote="none", by_type=True)
def _negative(x: Node) -> Node:
    reject_kind(x, "b", "negative", "use ~x for booleans")
    return build.neg(x)


_divide = pair_operation("div", "float", "divide")
_floor_divide = pair_operation("floor_divide")
_remainder = pair_operation("remainder")
_fmod = pair_operation("fmod")
_maximum = pair_operation("maximum")
_minimum = pair_operation("minimum")
_atan2 = pair_operation("atan2", "float")
_hypot = pair_operation("hypot", "float")
_copysign = pair_operation("copysign", "float")
_nextafter = pair_operation("nextafter", "float")
_logaddexp = pair_operation("logaddexp", "float")


@operation(promote="none")
def _abs(x: Node) -> Node:
    return x if x.dtype.kind in "bu" else build.unary("abs", x)


@operation(promote="none")
def _sign(x: Node) -> Node:
    return x if x.dtype.kind == "b" else build.unary("sign", x)


@operation(promote="none")
def _square(x: Node) -> Node:
    return x if x.dtype.kind == "b" else build.square(x)


def _integer_power(x: Node, n: int) -> Node:
    if x.dtype.kind == "b":
        x = build.convert(x, dtypes.int32)
    if n < 0 and not x.dtype.is_inexact:
        raise DTypeError(message("pow: integers have no negative powers", [("x", repr(x.type)), ("exponent", str(n))],
                                 "convert first: x.float() ** " + str(n)))
    return build.integer_pow(x, n)


#: x ** n for the exponents that programs have: the exponent is part of the structure
POWER_LIMIT = 64
INTEGER_POWERS = {n: Operation(partial(_integer_power, n=n), "none", True, False, "pow")
                  for n in range(-POWER_LIMIT, POWER_LIMIT + 1)}


@operation(promote="broadcast")
def _power(x: Node, y: Node) -> Node:
    if x.dtype.kind == "b":
        x, y = build.convert(x, dtypes.int32), build.convert(y, dtypes.int32)
    if x.dtype.kind == "c":
        return build.exp(build.mul(y, build.log(x)))
    return build.binary("pow", x, y)


_sqrt = scalar_operation("sqrt")
_rsqrt = scalar_operation("rsqrt")


def add(x: Array, y: Array, *, alpha: float = 1) -> Array:
    """x + alpha * y, element by element.

    >>> import pullback as pb
    >>> pb.add(pb.tensor([1.0, 2.0]), 1)
    Tensor([2., 3.], dtype=float32)
    """
    return _add(x, y) if alpha == 1 else _add(x, _multiply(y, alpha))


def subtract(x: Array, y: Array, *, alpha: float = 1) -> Array:
    """x - alpha * y, element by element."""
    return _subtract(x, y) if alpha == 1 else _subtract(x, _multiply(y, alpha))


def multiply(x: Array, y: Array) -> Array:
    """The product of two arrays, element by element."""
    return _multiply(x, y)


def divide(x: Array, y: Array, rounding_mode: str | None = None) -> Array:
    """The quotient of two arrays; integers give floats. `rounding_mode`: None, "floor" or "trunc".

    >>> import pullback as pb
    >>> pb.divide(pb.tensor([1, 2]), 2)
    Tensor([0.5, 1. ], dtype=float32)
    """
    if rounding_mode is None:
        return _divide(x, y)
    if rounding_mode == "floor":
        return floor_divide(x, y)
    if rounding_mode == "trunc":
        return _truncated_divide(x, y)
    raise ArgumentError(message("divide: unknown rounding mode", [("rounding_mode", repr(rounding_mode))],
                                "one of None, 'floor', 'trunc'"))


def truncated_quotient(x: Node, y: Node) -> Node:
    """The quotient rounded towards 0."""
    if x.dtype.is_inexact:
        return build.trunc(build.div(x, y))
    return build.binary("floor_divide", build.sub(x, build.binary("fmod", x, y)), y)


_truncated_divide = operation(promote="broadcast", name="truncated_divide")(truncated_quotient)


def floor_divide(x: Array, y: Array) -> Array:
    """The quotient rounded down, element by element."""
    return _floor_divide(x, y)


def remainder(x: Array, y: Array) -> Array:
    """What remains of x after floor division by y; it has the sign of y."""
    return _remainder(x, y)


def fmod(x: Array, y: Array) -> Array:
    """What remains of x after truncated division by y; it has the sign of x."""
    return _fmod(x, y)


def power(x: Array, y: Array) -> Array:
    """x to the power y, element by element.

    >>> import pullback as pb
    >>> pb.pow(pb.tensor([1.0, 2.0, 3.0]), 2)
    Tensor([1., 4., 9.], dtype=float32)
    """
    kind = type(y)
    if kind is int and -POWER_LIMIT <= y <= POWER_LIMIT:
        return INTEGER_POWERS[y](x)
    if kind is float and isinstance(x, TensorBase) and x.info.type.dtype.is_inexact:
        if y == 0.5:
            return _sqrt(x)
        if y == -0.5:
            return _rsqrt(x)
        if y.is_integer() and -POWER_LIMIT <= y <= POWER_LIMIT:
            return INTEGER_POWERS[int(y)](x)
    return _power(x, y)


pow = power


def negative(x: Array) -> Array:
    """-x, element by element."""
    return _negative(x)


@operation(promote="none")
def _positive(x: Node) -> Node:
    reject_kind(x, "b", "positive", "convert first: x.int()")
    return x


def positive(x: Array) -> Array:
    """+x: the same numbers."""
    return _positive(x)


def abs(x: Array) -> Array:
    """The absolute value of each element (the modulus of complex numbers)."""
    return _abs(x)


absolute = abs


def sign(x: Array) -> Array:
    """-1, 0 or 1 by the sign of each element."""
    return _sign(x)


def square(x: Array) -> Array:
    """x * x, element by element."""
    return _square(x)


def sqrt(x: Array) -> Array:
    """The square root of each element."""
    return _sqrt(x)


def rsqrt(x: Array) -> Array:
    """1 / sqrt(x), element by element."""
    return _rsqrt(x)


def reciprocal(x: Array) -> Array:
    """1 / x, element by element."""
    return _reciprocal(x)


def maximum(x: Array, y: Array) -> Array:
    """The greater of two elements; NaN if either is. Equal elements share the gradient, beside NaN both have it."""
    return _maximum.on2(x, y)


def minimum(x: Array, y: Array) -> Array:
    """The lesser of two elements; NaN if either is. Equal elements share the gradient, beside NaN both have it."""
    return _minimum.on2(x, y)


def _first_or_second(x: Node, y: Node, holds: str) -> Node:
    """x where it compares so with y, or where y is NaN; else y."""
    first = build.binary(holds, x, y)
    missing = build.unary("isnan", y) if x.dtype.is_inexact else None
    return build.select(first if missing is None else build.binary("logical_or", first, missing), x, y)


@operation(promote="broadcast")
def _fmax(x: Node, y: Node) -> Node:
    return _first_or_second(x, y, "ge")


@operation(promote="broadcast")
def _fmin(x: Node, y: Node) -> Node:
    return _first_or_second(x, y, "le")


def fmax(x: Array, y: Array) -> Array:
    """The greater of two elements; where one is NaN, the other. Of equal elements the first has the gradient."""
    return _fmax(x, y)


def fmin(x: Array, y: Array) -> Array:
    """The lesser of two elements; where one is NaN, the other. Of equal elements the first has the gradient."""
    return _fmin(x, y)


# -- exponentials, circular, special: one row each ---------------------------------------------------------------------

_reciprocal = scalar_operation("reciprocal")
_cbrt = scalar_operation("cbrt")
_exp = scalar_operation("exp")
_exp2 = scalar_operation("exp2")
_expm1 = scalar_operation("expm1")
_log = scalar_operation("log")
_log2 = scalar_operation("log2")
_log10 = scalar_operation("log10")
_log1p = scalar_operation("log1p")
_sin = scalar_operation("sin")
_cos = scalar_operation("cos")
_tan = scalar_operation("tan")
_asin = scalar_operation("asin")
_acos = scalar_operation("acos")
_atan = scalar_operation("atan")
_sinh = scalar_operation("sinh")
_cosh = scalar_operation("cosh")
_tanh = scalar_operation("tanh")
_asinh = scalar_operation("asinh")
_acosh = scalar_operation("acosh")
_atanh = scalar_operation("atanh")
_erf = scalar_operation("erf")
_erfc = scalar_operation("erfc")
_erf_inv = scalar_operation("erf_inv")
_lgamma = scalar_operation("lgamma")
_digamma = scalar_operation("digamma")
_sigmoid = scalar_operation("sigmoid")


def cbrt(x: Array) -> Array:
    """The cube root of each element."""
    return _cbrt(x)


def exp(x: Array) -> Array:
    """e to the power of each element.

    >>> import pullback as pb
    >>> pb.exp(pb.tensor([0.0]))
    Tensor([1.], dtype=float32)
    """
    return _exp(x)


def exp2(x: Array) -> Array:
    """2 to the power of each element."""
    return _exp2(x)


def expm1(x: Array) -> Array:
    """exp(x) - 1, exact near 0."""
    return _expm1(x)


def log(x: Array) -> Array:
    """The natural logarithm of each element."""
    return _log(x)


def log2(x: Array) -> Array:
    """The logarithm to base 2 of each element."""
    return _log2(x)


def log10(x: Array) -> Array:
    """The logarithm to base 10 of each element."""
    return _log10(x)


def log1p(x: Array) -> Array:
    """log(1 + x), exact near 0."""
    return _log1p(x)


def sin(x: Array) -> Array:
    """The sine of each element, in radians."""
    return _sin(x)


def cos(x: Array) -> Array:
    """The cosine of each element, in radians."""
    return _cos(x)


def tan(x: Array) -> Array:
    """The tangent of each element, in radians."""
    return _tan(x)


def asin(x: Array) -> Array:
    """The inverse sine of each element."""
    return _asin(x)


def acos(x: Array) -> Array:
    """The inverse cosine of each element."""
    return _acos(x)


def atan(x: Array) -> Array:
    """The inverse tangent of each element."""
    return _atan(x)


def atan2(x: Array, y: Array) -> Array:
    """The angle of the point (y, x), in all four quadrants."""
    return _atan2(x, y)


def sinh(x: Array) -> Array:
    """The hyperbolic sine of each element."""
    return _sinh(x)


def cosh(x: Array) -> Array:
    """The hyperbolic cosine of each element."""
    return _cosh(x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of each element."""
    return _tanh(x)


def asinh(x: Array) -> Array:
    """The inverse hyperbolic sine of each element."""
    return _asinh(x)


def acosh(x: Array) -> Array:
    """The inverse hyperbolic cosine of each element."""
    return _acosh(x)


def atanh(x: Array) -> Array:
    """The inverse hyperbolic tangent of each element."""
    return _atanh(x)


arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh


def erf(x: Array) -> Array:
    """The error function of each element."""
    return _erf(x)


def erfc(x: Array) -> Array:
    """1 - erf(x), exact for large x."""
    return _erfc(x)


def erfinv(x: Array) -> Array:
    """The inverse of erf."""
    return _erf_inv(x)


def lgamma(x: Array) -> Array:
    """The logarithm of the absolute value of the gamma function."""
    return _lgamma(x)


def digamma(x: Array) -> Array:
    """The derivative of lgamma."""
    return _digamma(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), element by element."""
    return _sigmoid(x)


def logaddexp(x: Array, y: Array) -> Array:
    """log(exp(x) + exp(y)) without overflow."""
    return _logaddexp(x, y)


def hypot(x: Array, y: Array) -> Array:
    """sqrt(x * x + y * y) without overflow."""
    return _hypot(x, y)


def copysign(x: Array, y: Array) -> Array:
    """The size of x with the sign of y."""
    return _copysign(x, y)


def nextafter(x: Array, y: Array) -> Array:
    """The next number after x towards y."""
    return _nextafter(x, y)


# -- rounding, tests ---------------------------------------------------------------------------------------------------

_floor, _ceil, _trunc, _round = (_rounding(row) for row in ("floor", "ceil", "trunc", "round"))
_isnan, _isinf, _isfinite = _testing("isnan", False), _testing("isinf", False), _testing("isfinite", True)


def floor(x: Array) -> Array:
    """Each element rounded down."""
    return _floor(x)


def ceil(x: Array) -> Array:
    """Each element rounded up."""
    return _ceil(x)


def trunc(x: Array) -> Array:
    """Each element rounded towards 0."""
    return _trunc(x)


@operation(promote="none")
def _round_to(x: Node, decimals: int) -> Node:
    if not x.dtype.is_inexact:
        return x
    scale = build.scalar_like(x, 10.0 ** (decimals if decimals > 0 else -decimals))
    if decimals > 0:
        return build.div(build.unary("round", build.mul(x, scale)), scale)
    return build.mul(build.unary("round", build.div(x, scale)), scale)


def round(x: Array, decimals: int = 0) -> Array:
    """Each element rounded to `decimals` places, ties to even."""
    return _round(x) if decimals == 0 else _round_to(x, decimals=decimals)


def isnan(x: Array) -> Array:
    """Whether each element is NaN."""
    return _isnan(x)


def isinf(x: Array) -> Array:
    """Whether each element is infinite."""
    return _isinf(x)


def isfinite(x: Array) -> Array:
    """Whether each element is neither NaN nor infinite."""
    return _isfinite(x)


@operation(promote="none")
def _signbit(x: Node) -> Node:
    if x.dtype.kind in "bu":
        return build.full(x.shape, False, dtypes.bool_)
    return build.unary("signbit", x)


def signbit(x: Array) -> Array:
    """Whether the sign bit of each element is set."""
    return _signbit(x)


def frac(x: Array) -> Array:
    """What each element has behind the point: x - trunc(x)."""
    return _frac(x)


@operation(promote="none")
def _frac(x: Node) -> Node:
    return build.sub(x, build.trunc(x)) if x.dtype.is_inexact else build.zeros_like(x)


# -- choosing ----------------------------------------------------------------------------------------------------------


class _Where(Operation):
    """The condition keeps its own dtype; the two values share one."""

    __slots__ = ()

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        condition, *values = operands
        dtype, weak = result_dtype(values)
        nodes = [truth(condition.node), *(build.convert(v.node, dtype) for v in values)]
        shape = broadcast_shapes("where", nodes)
        return (build.select(*(broadcast_to(n, shape) for n in nodes)),), weak


_where = _Where(lambda c, x, y: None, "where", True, False, "where")


def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, y elsewhere; all three broadcast.

    >>> import pullback as pb
    >>> x = pb.tensor([1.0, -2.0])
    >>> pb.where(x > 0, x, 0.0)
    Tensor([1., 0.], dtype=float32)
    """
    return _where(condition, x, y)


@operation(promote="broadcast")
def _clamp(x: Node, low: Node, high: Node) -> Node:
    if x.dtype.kind == "b":
        return build.minimum(build.maximum(x, low), high)
    return build.ternary("clamp", x, low, high)


def _limited(x: Node, limit: Node, inside: str) -> Node:
    """x where it compares so with a limit, else the limit; NaN, which has no slope, where either is."""
    if x.dtype.is_inexact:
        limit = build.select(build.unary("isnan", x), build.scalar_like(x, float("nan")), limit)
    return build.select(build.binary(inside, x, limit), x, limit)


@operation(promote="broadcast")
def _clamp_min(x: Node, low: Node) -> Node:
    return _limited(x, low, "ge")


@operation(promote="broadcast")
def _clamp_max(x: Node, high: Node) -> Node:
    return _limited(x, high, "le")


def clip(x: Array, min: Array = None, max: Array = None) -> Array:
    """x limited to [min, max]; either limit may be left out. Elements at a limit keep their gradient.

    >>> import pullback as pb
    >>> pb.clip(pb.tensor([-1.0, 0.5, 3.0]), 0, 1)
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    if min is None and max is None:
        raise ValueError_(message("clip: no limit is given", [("min", "None"), ("max", "None")],
                                    "give min, max or both"))
    if max is None:
        return _clamp_min(x, min)
    if min is None:
        return _clamp_max(x, max)
    return _clamp(x, min, max)


clamp = clip


def clamp_min(x: Array, min: Array) -> Array:
    """x, but at least `min`."""
    return _clamp_min(x, min)


def clamp_max(x: Array, max: Array) -> Array:
    """x, but at most `max`."""
    return _clamp_max(x, max)


def interpolated(x: Node, y: Node, weight: Node) -> Node:
    """x + weight * (y - x), from the nearer of both: infinity away from a number stays infinity, weight 1 gives y."""
    size, rest = build.sub(y, x), build.sub(build.ones_like(weight), weight)
    distance = build.unary("abs", weight)
    near = build.binary("lt", distance, build.scalar_like(distance, 0.5))
    return build.select(near, build.add(x, build.mul(weight, size)), build.sub(y, build.mul(rest, size)))


_lerp = operation(promote="broadcast", name="lerp")(interpolated)


def lerp(x: Array, y: Array, weight: Array) -> Array:
    """x + weight * (y - x), element by element."""
    return _lerp(x, y, weight)


@operation(promote="broadcast")
def _addcmul(x: Node, y: Node, z: Node, value: Node) -> Node:
    return build.add(x, build.mul(value, build.mul(y, z)))


@operation(promote="broadcast")
def _addcdiv(x: Node, y: Node, z: Node, value: Node) -> Node:
    reject_kind(x, "iub", "addcdiv", "convert to floats first: x.float()")
    return build.add(x, build.mul(value, build.div(y, z)))


def addcmul(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """x + value * tensor1 * tensor2, element by element."""
    return _addcmul(x, tensor1, tensor2, value)


def addcdiv(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """x + value * tensor1 / tensor2, element by element."""
    return _addcdiv(x, tensor1, tensor2, value)


@operation(promote="none")
def _nan_to_num(x: Node, nan: float, posinf: float | None, neginf: float | None) -> Node:
    if not x.dtype.is_inexact:
        return x
    if x.dtype.kind == "c":
        parts = (_nan_to_num.define(build.unary(p, x), nan, posinf, neginf) for p in ("real", "imag"))
        return build.binary("make_complex", *parts)
    import numpy as np

    info = np.finfo(np.float32 if x.dtype.name == "bfloat16" else x.dtype.numpy)
    top = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    if x.dtype.name == "bfloat16":
        top, low = (3.3895313892515355e38 if posinf is None else top), (-3.3895313892515355e38 if neginf is None
                                                                        else low)
    x = build.select(build.unary("isnan", x), build.scalar_like(x, nan), x)
    infinite = build.unary("isinf", x)
    positive_side = build.binary("gt", x, build.zeros_like(x))
    limit = build.select(positive_side, build.scalar_like(x, top), build.scalar_like(x, low))
    return build.select(infinite, limit, x)


def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """NaN replaced by `nan`, infinities by the greatest numbers or by `posinf` and `neginf`."""
    return _nan_to_num(x, nan=written(nan), posinf=written(posinf), neginf=written(neginf))


@operation(promote="float")
def _xlogy(x: Node, y: Node) -> Node:
    ordinary = build.binary("logical_and", build.binary("gt", y, build.zeros_like(y)), build.unary("isfinite", y))
    zero = build.binary("logical_and", build.binary("eq", x, build.zeros_like(x)), build.unary(
        "logical_not", build.binary("logical_or", ordinary, build.unary("isnan", y))))
    safe = build.select(zero, build.ones_like(y), y)  # an ordinary y is kept: its logarithm is the slope of x
    return build.mul(x, build.log(safe))


def xlogy(x: Array, y: Array) -> Array:
    """x * log(y), and 0 where x is 0."""
    return _xlogy(x, y)


@operation(promote="float")
def _logit(x: Node, eps: float | None) -> Node:
    if eps is not None:
        x = build.ternary("clamp", x, build.scalar_like(x, eps), build.scalar_like(x, 1 - eps))
    return build.log(build.div(x, build.sub(build.ones_like(x), x)))


def logit(x: Array, eps: float | None = None) -> Array:
    """log(x / (1 - x)); with `eps` x is first limited to [eps, 1 - eps]."""
    return _logit(x, eps=eps)


@operation(promote="float")
def _scaled(x: Node, factor: float) -> Node:
    return build.mul(x, build.scalar_like(x, factor))


def deg2rad(x: Array) -> Array:
    """Degrees as radians."""
    return _scaled(x, factor=0.017453292519943295)


def rad2deg(x: Array) -> Array:
    """Radians as degrees."""
    return _scaled(x, factor=57.29577951308232)


@operation(promote="broadcast")
def _heaviside(x: Node, at_zero: Node) -> Node:
    one, zero = build.ones_like(x), build.zeros_like(x)
    step = build.select(build.binary("gt", x, zero), one, build.select(build.binary("lt", x, zero), zero, at_zero))
    return step


def heaviside(x: Array, values: Array) -> Array:
    """0 where x is negative, 1 where it is positive, `values` where it is 0."""
    return _heaviside(x, values)


# -- dtypes, copies ----------------------------------------------------------------------------------------------------


@operation(promote="exact")
def _astype(x: Node, dtype: DType) -> Node:
    return build.convert(x, dtype)


_copy = Operation(lambda x: build.copy(x), "none", True, False, "copy")


def astype(x: Array, dtype: Any, *, copy: bool = True, device: Any = None) -> Array:
    """x as another dtype; floats become integers by truncation.

    >>> import pullback as pb
    >>> pb.astype(pb.tensor([1.7, -1.7]), pb.int32)
    Tensor([ 1, -1], dtype=int32)
    """
    x = as_tensor(x, "astype")
    checked_device(device, "astype")
    target = dtype_of(dtype)
    if x.info.type.dtype is target and not x.info.weak:
        return clone(x) if copy else x
    return _astype(x, dtype=target)


def clone(x: Array, *, memory_format: Any = None) -> Array:
    """A copy with its own storage, row by row whatever is asked for; gradients flow through it."""
    value = x._value if isinstance(x, TensorBase) and x._meta is None else None
    if value is not None and thread.context.track is None:
        return x.result_class(value)  # values are immutable: each handle may change its own
    return _copy(x)


@operation(promote="exact", differentiable=False)
def _bits(x: Node, dtype: DType) -> Node:
    return build.bitcast(x, dtype)


def bitcast(x: Array, dtype: Any) -> Array:
    """The bits of each element read as another dtype of the same width."""
    return _bits(as_tensor(x, "bitcast"), dtype=dtype_of(dtype))

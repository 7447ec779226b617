"""Special functions, composed of elementwise ones: Bessel, polygamma, zeta, the normal distribution, and splitting of
floating-point numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pullback.api.arguments import as_tensor, described, integer
from pullback.api.elementwise import (
    abs,
    astype,
    bitcast,
    clip,
    digamma,
    erfc,
    erfinv,
    exp,
    isfinite,
    isinf,
    isnan,
    lgamma,
    log,
    log1p,
    logaddexp,
    multiply,
    power,
    sign,
    sin,
    sqrt,
    square,
    where,
)
from pullback.api.transforms import stop_gradient
from pullback.engine.operation import operation
from pullback.ir import dtypes
from pullback.ir.node import Node
from pullback.util.errors import DTypeError, ValueError_, message

Array = Any


def _floating(x: Any, name: str) -> Any:
    x = as_tensor(x, name)
    if x.info.type.dtype.kind == "c":
        raise DTypeError(message(f"{name}: needs real numbers", [("x", described(x))], "use x.real"))
    return x if x.info.type.dtype.kind == "f" else astype(x, dtypes.default_float())


def _series(x: Any, coefficients: Sequence[float]) -> Any:
    """A polynomial, its lowest coefficient first."""
    found: Any = 0.0 * x + coefficients[-1]
    for c in reversed(coefficients[:-1]):
        found = found * x + c
    return found


# -- elementary --------------------------------------------------------------------------------------------------------

_NEAR = 0.01


def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), 1 at 0.

    >>> import pullback as pb
    >>> pb.sinc(pb.tensor([0.0, 0.5]))
    Tensor([1.        , 0.63661975], dtype=float32)
    """
    y = _floating(x, "sinc") * math.pi
    near = abs(y) < _NEAR  # where its series, and so every derivative, is exact
    apart = where(near, 1.0, y)
    squared = square(where(near, y, 0.0))
    return where(near, _series(squared, (1, -1 / 6, 1 / 120, -1 / 5040)), sin(apart) / apart)


def logaddexp2(x: Array, y: Array) -> Array:
    """log2(2**x + 2**y), without overflow."""
    return logaddexp(multiply(x, math.log(2)), multiply(y, math.log(2))) / math.log(2)


def float_power(x: Array, y: Array) -> Array:
    """x to the power y in double precision."""
    wide = [dtypes.complex128 if as_tensor(v, "float_power").is_complex() else dtypes.float64 for v in (x, y)]
    kind = max(wide, key=lambda k: k.bits)
    return power(*(astype(as_tensor(v, "float_power"), kind) for v in (x, y)))


def xlog1py(x: Array, y: Array) -> Array:
    """x log(1 + y), 0 where x is 0 and y is not NaN."""
    y = as_tensor(y, "xlog1py")
    flat = (as_tensor(x, "xlog1py") == 0) & ~isnan(y) & ~((y > -1) & isfinite(y))  # elsewhere the product has its slope
    return x * log1p(where(flat, 0.0, y))


def entr(x: Array) -> Array:
    """-x log(x): 0 at 0, minus infinity below."""
    x = _floating(x, "entr")
    inside = x > 0
    safe = where(inside, x, 1.0)
    return where(isnan(x), x, where(inside, -safe * log(safe), where(x == 0, 0.0, -math.inf)))


# -- mantissa and exponent ---------------------------------------------------------------------------------------------

#: by dtype: bits of the mantissa, bias of the exponent, the integer dtype of the same width
_LAYOUT: dict[str, tuple[int, int, Any]] = {"float32": (23, 127, dtypes.int32), "float64": (52, 1023, dtypes.int64)}


def _two_to(n: Any, kind: Any) -> Any:
    """2**n, exactly, for n in the normal range."""
    shift, bias, whole = _LAYOUT[kind.name]
    return bitcast((astype(n, whole) + bias) << shift, kind)


def _narrow(x: Any) -> Any:
    return x if x.info.type.dtype.name in _LAYOUT else astype(x, dtypes.default_float())


def ldexp(x: Array, exponent: Array) -> Array:
    """x 2**exponent.

    >>> import pullback as pb
    >>> pb.ldexp(pb.tensor([0.75]), 3)
    Tensor([6.], dtype=float32)
    """
    given = _floating(x, "ldexp")
    y, n = _narrow(given), as_tensor(exponent, "ldexp")
    if not n.info.type.dtype.is_integer:
        return given * power(2.0, n)
    bias = _LAYOUT[y.dtype.name][1]
    n = clip(astype(n, dtypes.int32), -4 * bias, 4 * bias)
    for _ in range(4):  # powers that are normal numbers
        part = clip(n, 1 - bias, bias)
        y, n = y * _two_to(part, y.dtype), n - part
    return astype(y, given.dtype)


def frexp(x: Array) -> tuple[Array, Array]:
    """Mantissas of size 0.5 to 1 and exponents with x = mantissa 2**exponent.

    >>> import pullback as pb
    >>> pb.frexp(pb.tensor([6.0]))
    (Tensor([0.75], dtype=float32), Tensor([3], dtype=int32))
    """
    given = _floating(x, "frexp")
    y = _narrow(given)
    shift, bias, whole = _LAYOUT[y.dtype.name]
    plain = stop_gradient(y)
    tiny = abs(plain) < 2.0 ** (2 - bias)
    raised = where(tiny, plain * 2.0 ** (shift + 1), plain)
    exponent = ((bitcast(raised, whole) >> shift) & (2 * bias + 1)) - (bias - 1) - where(tiny, shift + 1, 0)
    exponent = astype(where((plain == 0) | isnan(plain) | isinf(plain), 0, exponent), dtypes.int32)
    return astype(ldexp(y, -exponent), given.dtype), exponent


# -- gamma, zeta -------------------------------------------------------------------------------------------------------

_EULER = 12  # terms added one by one
#: Bernoulli's numbers 2, 4, ... over their factorials
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
              -3617 / 10670622842880000)


def zeta(x: Array, q: Array) -> Array:
    """Hurwitz's zeta function, the sum of (q + k)**-x over k from 0, for x > 1 and q > 0, by Euler's and Maclaurin's
    formula."""
    x, q = (v if isinstance(v, (int, float)) else _floating(v, "zeta") for v in (x, q))
    known = where((as_tensor(x, "zeta") > 1) & (as_tensor(q, "zeta") > 0), True, False)
    s, a = where(known, x, 2.0), where(known, q, 1.0)
    total: Any = 0.0
    for k in range(_EULER):
        total = total + power(a + k, -s)
    end = a + _EULER
    last = power(end, -s)
    total = total + last * end / (s - 1) + last * 0.5
    factor = s * last / end
    for k, number in enumerate(_BERNOULLI):
        total = total + factor * number
        factor = factor * (s + (2 * k + 1)) * (s + (2 * k + 2)) / (end * end)
    at_pole = (as_tensor(x, "zeta") == 1) | ((as_tensor(x, "zeta") > 1) & (as_tensor(q, "zeta") == 0))
    return where(known, total, where(at_pole, math.inf, math.nan))


def polygamma(n: int, x: Array) -> Array:
    """The n-th derivative of digamma; x > 0 where n is 2 or more.

    >>> import pullback as pb
    >>> pb.polygamma(1, pb.tensor([1.0]))
    Tensor([1.644934], dtype=float32)
    """
    order = integer(n, "polygamma", "n")
    if order < 0:
        raise ValueError_(message("polygamma: n must be 0 or more", [("n", str(order))], "0 is digamma itself"))
    x = _floating(x, "polygamma")
    if order == 0:
        return digamma(x)
    if order == 1:
        return _trigamma(x)
    return (-1.0) ** (order + 1) * math.factorial(order) * zeta(float(order + 1), x)


@operation(promote="float")
def _trigamma(x: Node) -> Node:
    from pullback.ops.scalar import trigamma

    return trigamma(x)


def multigammaln(x: Array, p: int) -> Array:
    """The logarithm of the multivariate gamma function of p dimensions."""
    count = integer(p, "multigammaln", "p")
    if count < 1:
        raise ValueError_(message("multigammaln: p must be 1 or more", [("p", str(count))]))
    x = _floating(x, "multigammaln")
    total: Any = count * (count - 1) / 4 * math.log(math.pi)
    for k in range(count):
        total = total + lgamma(x - k / 2)
    return total


def betaln(x: Array, y: Array) -> Array:
    """The logarithm of the beta function."""
    return lgamma(x) + lgamma(y) - lgamma(x + y)


# -- the normal distribution -------------------------------------------------------------------------------------------


def ndtr(x: Array) -> Array:
    """The distribution function of normal numbers."""
    return 0.5 * erfc(_floating(x, "ndtr") * -math.sqrt(0.5))


#: ndtri far from 1/2 (Moshier's Cephes): quotients of polynomials in 1 / sqrt(-2 log p), where that root is below 8 and
#: above
_TAILS = (
    ((-8.57456785154685413611e-4, -3.50424626827848203418e-2, -1.40256079171354495875e-1, 2.18663306850790267539,
      1.46849561928858024014e1, 4.40805073893200834700e1, 5.71628192246421288162e1, 3.15251094599893866154e1,
      4.05544892305962419923),
     (-9.33259480895457427372e-4, -3.80806407691578277194e-2, -1.42182922854787788574e-1, 2.50464946208309415979,
      1.50425385692907503408e1, 4.13172038254672030440e1, 4.53907635128879210584e1, 1.57799883256466749731e1, 1.0)),
    ((6.23974539184983293730e-9, 2.65806974686737550832e-6, 3.01581553508235416007e-4, 1.23716634817820021358e-2,
      2.01485389549179081538e-1, 1.33303460815807542389, 3.93881025292474443415, 6.91522889068984211695,
      3.23774891776946035970),
     (6.79019408009981274425e-9, 2.89247864745380683936e-6, 3.28014464682127739104e-4, 1.34204006088543189037e-2,
      2.16236993594496635890e-1, 1.37702099489081330271, 3.67983563856160859403, 6.02427039364742014255, 1.0)))


def ndtri(p: Array) -> Array:
    """The inverse of `ndtr`."""
    p = _floating(p, "ndtri")
    least = where(p > 0.5, 1.0 - p, p)
    far = (least > 0) & (least <= math.exp(-2))
    middle = math.sqrt(2) * erfinv(2.0 * where(far, 0.5, p) - 1.0)
    z = sqrt(-2.0 * log(where(far, least, 0.1)))
    low, high = (_series(1.0 / z, above) / _series(1.0 / z, below) for above, below in _TAILS)
    size = z - (log(z) + where(z < 8.0, low, high)) / z
    found = where(far, where(p > 0.5, size, -size), middle)
    return where((p < 0) | (p > 1), math.nan, found)


def log_ndtr(x: Array) -> Array:
    """The logarithm of `ndtr`, also where that is nearly 0."""
    x = _floating(x, "log_ndtr")
    limit = -20.0 if x.info.type.dtype is dtypes.float64 else -10.0  # erfc is far from 0 above
    far = x < limit
    z = where(far, x, limit)
    r = 1.0 / square(z)
    tail = _series(r, (1, -1, 3, -15, 105, -945, 10395, -135135, 2027025))
    low = -0.5 * square(z) - log(-z) - 0.5 * math.log(2 * math.pi) + log(tail)
    near = where(far, 0.0, x)
    middle = log(0.5 * erfc(clip(near, None, 1.0) * -math.sqrt(0.5)))
    high = log1p(-0.5 * erfc(clip(near, 0.0, None) * math.sqrt(0.5)))
    return where(far, low, where(x > 1, high, middle))


# -- Bessel ------------------------------------------------------------------------------------------------------------

_FAR = 30.0


def _power_series(x: Any, order: int) -> Any:
    """The sum of x**k / (k! (k + order)!): its coefficients one by one are too small for float32."""
    found: Any = 0.0 * x + 1.0
    for k in range(60, 0, -1):
        found = found * (x * (1.0 / (k * (k + order)))) + 1.0
    return found


def _far_series(order: int) -> list[float]:
    """In powers of 1 / x."""
    found = [1.0]
    for k in range(1, 20):
        found.append(-found[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    return found


def _bessel(x: Any, order: int, name: str, scaled: bool) -> Any:
    x = _floating(x, name)
    size = abs(x)
    far = size > _FAR
    near, away = where(far, 0.0, x), where(far, size, _FAR)
    low = _power_series(square(near) * 0.25, order) * (1.0 if order == 0 else near * 0.5)
    high = _series(1.0 / away, _far_series(order)) / (sqrt(away) * math.sqrt(2 * math.pi))
    if order:
        high = high * sign(x)
    return where(far, high, low * exp(-abs(near))) if scaled else where(far, high * exp(away), low)


def i0(x: Array) -> Array:
    """The modified Bessel function of order 0."""
    return _bessel(x, 0, "i0", False)


def i0e(x: Array) -> Array:
    """exp(-|x|) i0(x)."""
    return _bessel(x, 0, "i0e", True)


def i1(x: Array) -> Array:
    """The modified Bessel function of order 1."""
    return _bessel(x, 1, "i1", False)


def i1e(x: Array) -> Array:
    """exp(-|x|) i1(x)."""
    return _bessel(x, 1, "i1e", True)


__all__ = ["betaln", "entr", "float_power", "frexp", "i0", "i0e", "i1", "i1e", "ldexp", "log_ndtr", "logaddexp2",
           "multigammaln", "ndtr", "ndtri", "polygamma", "sinc", "xlog1py", "zeta"]

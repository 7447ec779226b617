"""Samplers of distributions on explicit keys, in the order in which JAX splits keys and draws."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from typing import Any

import numpy as np

from pullback.api import activations, decompositions, elementwise, random, reductions, spectra
from pullback.api.arguments import as_tensor, described, shape_of
from pullback.api.comparison import logical_not
from pullback.api.creation import full, tensor
from pullback.api.elementwise import exp, floor, lgamma, log, log1p, maximum, where
from pullback.api.linear_algebra import einsum
from pullback.api.manipulation import broadcast_shapes, broadcast_to
from pullback.engine.control import scan, while_loop
from pullback.engine.functional import vmap
from pullback.engine.rules import undifferentiable
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import DType, dtype_of, numpy_dtype
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any


def floating(dtype: Any, name: str) -> DType:
    """A floating dtype, float32 where none is given."""
    return random._floating(dtype, name)


def _limits(kind: DType) -> Any:
    from ml_dtypes import finfo

    return finfo(numpy_dtype(kind))


def _of(x: Any, kind: DType, name: str) -> Array:
    """A parameter in a dtype: a number at once, without a narrower one between."""
    return from_host(x, kind) if isinstance(x, (int, float)) else as_tensor(x, name).to(kind)


def _parameters(name: str, kind: DType, shape: Any, **given: Any) -> tuple[tuple[int, ...], list[Array]]:
    """The shape of the samples, and parameters of that shape."""
    tensors = {k: _of(v, kind, name) for k, v in given.items()}
    together = broadcast_shapes(*(t.shape for t in tensors.values()))
    wanted = together if shape is None else shape_of(shape, name)
    try:
        fits = broadcast_shapes(wanted, together) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(message(f"{name}: the parameters must broadcast to the shape",
                                 [("shape", str(wanted)), *((k, described(t)) for k, t in tensors.items())],
                                 "parameters of one number, or of the last dimensions of the shape"))
    return wanted, [broadcast_to(t, wanted) for t in tensors.values()]


# -- of one draw -------------------------------------------------------------------------------------------------------


def laplace(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Standard Laplace.

    >>> import pullback as pb
    >>> pb.random.laplace(pb.random.key(0), (2,))
    Tensor([-2.2569816, -3.1502788], dtype=float32)
    """
    kind = floating(dtype, "random.laplace")
    u = random.uniform(key, shape, kind, -1 + float(_limits(kind).epsneg), 1.0)
    return u.sign() * log1p(-u.abs())


def logistic(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Standard logistic."""
    kind = floating(dtype, "random.logistic")
    u = random.uniform(key, shape, kind, float(_limits(kind).tiny), 1.0)
    return log(u) - log1p(-u)


def cauchy(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Standard Cauchy."""
    kind = floating(dtype, "random.cauchy")
    u = random.uniform(key, shape, kind, float(_limits(kind).eps), 1.0)
    return elementwise.tan((u - 0.5) * pi)


def rademacher(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """1 or -1."""
    kind = dtype_of("int32" if dtype is None else dtype)
    return random.bernoulli(key, 0.5, shape).to(kind) * 2 - 1


def maxwell(key: Array, shape: Any = (), dtype: Any = None) -> Array:
    """Maxwell: the length of three standard normal numbers."""
    kind = floating(dtype, "random.maxwell")
    drawn = random.normal(key, (*shape_of(shape, "random.maxwell"), 3), kind)
    return elementwise.sqrt(reductions.sum(drawn * drawn, -1))


def double_sided_maxwell(key: Array, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Maxwell of either sign, scaled and moved."""
    kind = floating(dtype, "random.double_sided_maxwell")
    middle, width = (_of(v, kind, "random.double_sided_maxwell") for v in (loc, scale))
    together = broadcast_shapes(middle.shape, width.shape)
    size = (*(shape_of(shape, "random.double_sided_maxwell") or together), *together)
    first, second = random.split(key)
    return rademacher(second, size, kind) * maxwell(first, size, kind) * width + middle


def lognormal(key: Array, sigma: Any = 1.0, shape: Any = None, dtype: Any = None) -> Array:
    """The exponential of normal numbers."""
    kind = floating(dtype, "random.lognormal")
    size, (width,) = _parameters("random.lognormal", kind, shape, sigma=sigma)
    return exp(random.normal(key, size, kind) * width)


def pareto(key: Array, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Pareto of shape b."""
    kind = floating(dtype, "random.pareto")
    size, (power,) = _parameters("random.pareto", kind, shape, b=b)
    return exp(random.exponential(key, size, kind) / power)


def weibull_min(key: Array, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Weibull."""
    kind = floating(dtype, "random.weibull_min")
    _, (factor, power) = _parameters("random.weibull_min", kind, shape, scale=scale, concentration=concentration)
    return (-log1p(-random.uniform(key, shape, kind))) ** (1.0 / power) * factor


def rayleigh(key: Array, scale: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Rayleigh."""
    kind = floating(dtype, "random.rayleigh")
    size, (factor,) = _parameters("random.rayleigh", kind, shape, scale=scale)
    return factor * elementwise.sqrt(log(random.uniform(key, size, kind)) * -2)


def triangular(key: Array, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Triangular between left and right, most often at the mode."""
    kind = floating(dtype, "random.triangular")
    size, (low, top, high) = _parameters("random.triangular", kind, shape, left=left, mode=mode, right=right)
    u = random.uniform(key, size, kind)
    rising = low + elementwise.sqrt(u * (high - low) * (top - low))
    falling = high - elementwise.sqrt((1 - u) * (high - low) * (high - top))
    return where(u < (top - low) / (high - low), rising, falling)


def wald(key: Array, mean: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Wald, the inverse Gaussian, of scale 1."""
    kind = floating(dtype, "random.wald")
    size, (middle,) = _parameters("random.wald", kind, shape, mean=mean)
    first, second = random.split(key)
    y = random.normal(first, size, kind) ** 2
    z = random.uniform(second, size, kind)
    square = middle * middle
    x = middle + square * y / 2 - middle / 2 * elementwise.sqrt(4 * middle * y + square * (y * y))
    return where(z <= middle / (middle + x), x, square / x)


def geometric(key: Array, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """How many trials of probability p up to the first success."""
    chance = as_tensor(p, "random.geometric")
    kind = chance.dtype if chance.dtype.is_floating_point else dtype_of("float32")
    size, (chance,) = _parameters("random.geometric", kind, shape, p=chance)
    u = random.uniform(key, size, kind)
    count = floor(log(where(u == 0, 1.0, u)) / log1p(-chance)) + 1
    return count.to(dtype_of("int32" if dtype is None else dtype))


# -- gamma and what is made of it --------------------------------------------------------------------------------------


def _fresh(key: Array, alpha: Array, c: Array) -> Array:
    """A normal x for which 1 + c x is positive, and that number."""
    def turn(state: Any) -> Any:
        key, sub = random.split(state[0])
        x = random.normal(sub, (), alpha.dtype)
        return key, x, x * c + 1.0

    zero = alpha * 0
    return while_loop(lambda state: state[2] <= 0, turn, (key, zero, zero - 1))[1:]


def _one_gamma(key: Array, alpha: Array, logarithm: bool) -> Array:
    """One sample by the method of Marsaglia and Tsang (2000); below 1, of alpha + 1 and a uniform number to the power
    of 1 / alpha."""
    kind = alpha.dtype
    large = alpha >= 1
    d = where(large, alpha, alpha + 1) - 1 / 3
    c = (1 / 3) / elementwise.sqrt(d)

    def refused(state: Any) -> Any:
        _, square, cube, u = state
        near = u >= 1 - square * square * 0.0331
        return near & (log(u) >= square * 0.5 + d * (1 - cube + log(cube)))

    def turn(state: Any) -> Any:
        key, first, second = random.split(state[0], 3)
        x, v = _fresh(first, alpha, c)
        return key, x * x, v * v * v, random.uniform(second, (), kind)

    key, sub = random.split(key)
    zero = alpha * 0
    cube = while_loop(refused, turn, (key, zero, zero + 1, zero + 2))[2]
    if not logarithm:
        return d * cube * where(large, 1.0, (1 - random.uniform(sub, (), kind)) ** (1 / alpha))
    drawn = -random.exponential(sub, (), kind)
    return log(d) + log(cube) + where(large | (drawn == 0), 0.0, drawn * (1 / alpha))


def _gammas(name: str, key: Array, a: Any, shape: Any, dtype: Any, logarithm: bool) -> Array:
    kind = floating(dtype, name)
    size, (alpha,) = _parameters(name, kind, shape, a=a)

    def draw(key: Array, flat: Array) -> Array:
        return vmap(lambda k, x: _one_gamma(k, x, logarithm))(random.split(key, prod(size)), flat)

    if not prod(size):
        return alpha
    drawn: Any = undifferentiable(name, draw, random._key(key, name), alpha.reshape(-1))
    return drawn.reshape(size)


def gamma(key: Array, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Gamma of shape a and scale 1. It has no derivative with respect to a.

    >>> import pullback as pb
    >>> pb.random.gamma(pb.random.key(0), 2.0, (2,))
    Tensor([1.5897877, 1.7599413], dtype=float32)
    """
    return _gammas("random.gamma", key, a, shape, dtype, False)


def loggamma(key: Array, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """The logarithm of gamma, exact where that is too small for its dtype."""
    return _gammas("random.loggamma", key, a, shape, dtype, True)


def beta(key: Array, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Beta."""
    kind = floating(dtype, "random.beta")
    size, (first, second) = _parameters("random.beta", kind, shape, a=a, b=b)
    keys = random.split(key)
    x, y = loggamma(keys[0], first, size, kind), loggamma(keys[1], second, size, kind)
    top = maximum(x, y)
    x, y = exp(x - top), exp(y - top)
    return x / (x + y)


def dirichlet(key: Array, alpha: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Dirichlet: rows that sum to 1; `shape` is without their dimension."""
    kind = floating(dtype, "random.dirichlet")
    alpha = as_tensor(alpha, "random.dirichlet").to(kind)
    if not alpha.ndim:
        raise ValueError_(message("dirichlet requires alpha.ndim >= 1", [("alpha", described(alpha))],
                                  "one number for each class"))
    lead = alpha.shape[:-1] if shape is None else shape_of(shape, "random.dirichlet")
    return activations.softmax(loggamma(key, alpha, (*lead, alpha.shape[-1]), kind), axis=-1)


def chisquare(key: Array, df: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Chi-squared."""
    kind = floating(dtype, "random.chisquare")
    size, (freedom,) = _parameters("random.chisquare", kind, shape, df=df)
    return exp(loggamma(key, freedom / 2, size, kind)) * 2


def f(key: Array, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Array:
    """The F distribution."""
    kind = floating(dtype, "random.f")
    size, (above, below) = _parameters("random.f", kind, shape, dfnum=dfnum, dfden=dfden)
    keys = random.split(key)
    return (chisquare(keys[1], above, size, kind) / above) / (chisquare(keys[0], below, size, kind) / below)


def t(key: Array, df: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Student's t."""
    kind = floating(dtype, "random.t")
    size, (freedom,) = _parameters("random.t", kind, shape, df=df)
    keys = random.split(key)
    half = freedom / 2
    return random.normal(keys[0], size, kind) * elementwise.sqrt(half / gamma(keys[1], half, size, kind))


def generalized_normal(key: Array, p: float, shape: Any = (), dtype: Any = None) -> Array:
    """Of density proportional to exp(-|x|^p)."""
    kind = floating(dtype, "random.generalized_normal")
    keys = random.split(key)
    drawn = gamma(keys[0], 1 / p, shape, kind)
    return rademacher(keys[1], shape, kind) * drawn ** (1 / p)


def ball(key: Array, d: int, p: float = 2, shape: Any = (), dtype: Any = None) -> Array:
    """Uniform in the unit ball of the p-norm in d dimensions."""
    kind, size = floating(dtype, "random.ball"), shape_of(shape, "random.ball")
    keys = random.split(key)
    point = generalized_normal(keys[0], p, (*size, d), kind)
    rest = random.exponential(keys[1], size, kind)
    return point / ((reductions.sum(point.abs() ** p, -1) + rest) ** (1 / p))[..., None]


# -- of matrices -------------------------------------------------------------------------------------------------------


def multivariate_normal(key: Array, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
                        ) -> Array:
    """Normal with a mean and a covariance matrix; `method` is "cholesky", "eigh" or "svd"."""
    name = "random.multivariate_normal"
    kind = floating(dtype, name)
    middle, spread = as_tensor(mean, name).to(kind), as_tensor(cov, name).to(kind)
    if not middle.ndim or spread.ndim < 2 or spread.shape[-2:] != (middle.shape[-1],) * 2:
        raise ValueError_(message("multivariate_normal requires mean.shape == (..., n) and cov.shape == (..., n, n)",
                                  [("mean", described(middle)), ("cov", described(spread))]))
    lead = broadcast_shapes(middle.shape[:-1], spread.shape[:-2]) if shape is None else shape_of(shape, name)
    if method == "cholesky":
        factor = decompositions.cholesky(spread, check=False)
    elif method == "eigh":
        values, vectors = spectra.eigh(spread)
        factor = vectors * elementwise.sqrt(values)[..., None, :]
    elif method == "svd":
        left, values, _ = spectra.svd(spread)
        factor = left * elementwise.sqrt(values)[..., None, :]
    else:
        raise ValueError_(message("method must be one of {'svd', 'eigh', 'cholesky'}", [("method", repr(method))]))
    drawn = random.normal(key, (*lead, middle.shape[-1]), kind)
    return middle + einsum("...ij,...j->...i", factor, drawn)


def orthogonal(key: Array, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Array:
    """A random orthogonal matrix, or m orthonormal columns (rows) of n."""
    kind, columns = floating(dtype, "random.orthogonal"), n if m is None else m
    size = (*shape_of(shape, "random.orthogonal"), max(n, columns), min(n, columns))
    q, r = decompositions.qr(random.normal(key, size, kind))
    found = q * spectra.diagonal(r).sign()[..., None, :]
    return found.mT if n < columns else found


# -- counts ------------------------------------------------------------------------------------------------------------


def _until_accepted(key: Array, size: tuple[int, ...], kind: DType, attempt: Callable[[Array, Array], Any]) -> Array:
    """Draw pairs of uniform numbers until each place has one that `attempt` accepts; its numbers."""
    def turn(state: Any) -> Any:
        key, found, done = state
        key, first, second = random.split(key, 3)
        u, v = random.uniform(first, size, kind) - 0.5, random.uniform(second, size, kind)
        k, accepted = attempt(u, v)
        return key, where(accepted, k, found), done | accepted

    start = (key, full(size, -1, dtype=kind), full(size, False))
    return while_loop(lambda state: logical_not(state[2]).any(), turn, start)[1]


def _small_poisson(key: Array, rate: Array) -> Array:
    """Knuth's method: how many uniform numbers until their product is small."""
    def turn(state: Any) -> Any:
        key, count, total = state
        key, sub = random.split(key)
        return key, where(total > -rate, count + 1, count), total + log(random.uniform(sub, rate.shape))

    zero = rate * 0
    return while_loop(lambda state: (state[2] > -rate).any(), turn, (key, zero.to("int32"), zero))[1] - 1


def _large_poisson(key: Array, rate: Array) -> Array:
    """Transformed rejection (Hormann, 1993)."""
    b = 0.931 + 2.53 * elementwise.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse, bound = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)

    def attempt(u: Array, v: Array) -> Any:
        shifted = 0.5 - u.abs()
        k = floor((2 * a / shifted + b) * u + rate + 0.43)
        s = log(v * inverse / (a / (shifted * shifted) + b))
        below = s <= -rate + k * log(rate) - lgamma(k + 1)
        never = (k < 0) | ((shifted < 0.013) & (v > shifted))
        return k, ((shifted >= 0.07) & (v <= bound)) | (logical_not(never) & below)

    return _until_accepted(key, rate.shape, rate.dtype, attempt)


def poisson(key: Array, lam: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Poisson of rate lam, as whole numbers.

    >>> import pullback as pb
    >>> pb.random.poisson(pb.random.key(0), 4.0, (4,))
    Tensor([0, 1, 5, 5], dtype=int32)
    """
    _, (rate,) = _parameters("random.poisson", dtype_of("float32"), shape, lam=lam)
    kind = dtype_of("int32" if dtype is None else dtype)
    rate = rate.detach()
    small = (rate < 10) | elementwise.isnan(rate)
    few = _small_poisson(random._key(key, "random.poisson"), where(small, rate, 0.0)).to(kind)
    many = _large_poisson(key, where(small, 1e5, rate)).to(kind)
    return where(rate == 0, 0, where(small, few, many)).to(kind)


def _few_successes(key: Array, count: Array, p: Array) -> Array:
    """How many geometric numbers fit into the count."""
    base = log1p(-p)

    def turn(state: Any) -> Any:
        key, found, total = state
        sub, key = random.split(key)
        more = elementwise.ceil(log(random.uniform(sub, p.shape, p.dtype)) / base)
        return key, where(total <= count, found + 1, found), total + more

    zero = p * 0
    return while_loop(lambda state: (state[2] <= count).any(), turn, (key, zero, zero))[1] - 1


#: log(k!) less Stirling's approximation, from k = 0
_STIRLING = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
             0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)


def _stirling_tail(k: Array) -> Array:
    near = elementwise.clip(k, 0.0, 9.0)
    above = near + 1
    far = (1 / 12 - (1 / 360 - 1 / 1260 / (above * above)) / (above * above)) / above
    return where(k <= 9, tensor(list(_STIRLING)).to(k.dtype)[floor(near).to("int32")], far)


def _many_successes(key: Array, count: Array, p: Array) -> Array:
    """Transformed rejection (Hormann, 1993)."""
    deviation = elementwise.sqrt(count * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    bound, r = 0.92 - 4.2 / b, p / (1 - p)
    alpha, m = (2.83 + 5.1 / b) * deviation, floor((count + 1) * p)

    def attempt(u: Array, v: Array) -> Any:
        shifted = 0.5 - u.abs()
        k = floor((2 * a / shifted + b) * u + (count * p + 0.5))
        height = log(v * alpha / (a / (shifted * shifted) + b))
        limit = ((m + 0.5) * log((m + 1) / (r * (count - m + 1)))
                 + (count + 1) * log((count - m + 1) / (count - k + 1))
                 + (k + 0.5) * log(r * (count - k + 1) / (k + 1))
                 + _stirling_tail(m) + _stirling_tail(count - m) - _stirling_tail(k) - _stirling_tail(count - k))
        outside = (k < 0) | (k > count)
        return k, ((shifted >= 0.07) & (v <= bound)) | (logical_not(outside) & (height <= limit))

    return _until_accepted(key, count.shape, p.dtype, attempt)


def binomial(key: Array, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """How many of n trials of probability p succeed, as floating numbers. It has no derivative."""
    kind = floating(dtype, "random.binomial")
    _, (trials, chance) = _parameters("random.binomial", kind, shape, n=n, p=p)
    return undifferentiable("random.binomial", _binomial, random._key(key, "random.binomial"), trials, chance)


def _binomial(key: Array, count: Array, chance: Array) -> Array:
    half = chance < 0.5
    q = where(half, chance, 1 - chance)
    wrong_count, wrong_chance = elementwise.isnan(count) | (count < 0), elementwise.isnan(q) | (q < 0)
    endless = elementwise.isinf(count)
    safe = where(wrong_chance, 0.01, q)
    few = wrong_count | (count * safe <= 10)
    whole = floor(count)
    found = where(few, _few_successes(key, where(few, whole, 0.0), safe),
                  _many_successes(key, where(few, 1e4, whole), where(few, 0.5, safe)))
    found = where(wrong_count | wrong_chance, np.nan, where(endless, np.inf, found))
    return where(half | wrong_count | wrong_chance | endless, found, whole - found)


def multinomial(key: Array, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """How often each class comes in n draws; the last dimension of p is that of the classes."""
    kind = floating(dtype, "random.multinomial")
    chances = as_tensor(p, "random.multinomial").to(kind)
    size = chances.shape if shape is None else shape_of(shape, "random.multinomial")
    count = broadcast_to(as_tensor(n, "random.multinomial").to(kind), size[:-1])
    rows = broadcast_to(chances, size).moveaxis(-1, 0)
    left = reductions.cumsum(rows, 0, reverse=True)
    ratios = rows / where(left == 0, 1.0, left)

    def turn(rest: Array, row: Any) -> Any:
        ratio, key = row
        drawn = binomial(key, rest, elementwise.clip(ratio, 0.0, 1.0), None, kind)
        return rest - drawn, drawn

    return scan(turn, count, (ratios, random.split(key, size[-1])))[1].moveaxis(0, -1)

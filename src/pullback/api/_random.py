"""Random numbers on nodes: what samplers record. Bits and formulas are JAX's (`jax/_src/random.py`, threefry2x32)."""

from __future__ import annotations

from math import ceil, log, prod, sqrt
from typing import Any

import numpy as np

from pullback.api._lazy import build as b
from pullback.engine.operation import broadcast_to, operation
from pullback.ir import dtypes
from pullback.ir.dtypes import DTYPES, DType, numpy_dtype
from pullback.ir.node import Node

_ONE = {"float16": 0x3C00, "bfloat16": 0x3F80, "float32": 0x3F800000, "float64": 0x3FF0000000000000}
_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
Shape = tuple[int, ...]


def binary_scalar(row: str, x: Node, value: Any) -> Node:
    """row(x, constant)"""
    return b.binary(row, x, b.scalar_like(x, value))


def unit_interval(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    """Uniform in [0, 1): random mantissa bits under the exponent of 1, minus 1."""
    mantissa = _MANTISSA[dtype.name]
    width = dtype.bits if mantissa >= 8 else 8
    unsigned = DTYPES[f"uint{dtype.bits}"]
    raw = b.convert(b.random_bits(key, shape, layout, width), unsigned)
    one = binary_scalar("bitwise_or", binary_scalar("shift_right", raw, width - mantissa), _ONE[dtype.name])
    return binary_scalar("sub", b.bitcast(one, dtype), 1)


def interval(key: Node, shape: Shape, dtype: DType, layout: str, low: float, high: float) -> Node:
    """Uniform in [low, high), rounded as JAX rounds it."""
    kind = numpy_dtype(dtype).type
    span = float(kind(high) - kind(low))
    scaled = binary_scalar("add", binary_scalar("mul", unit_interval(key, shape, dtype, layout), span),
                           float(kind(low)))
    return binary_scalar("maximum", scaled, float(kind(low)))


def _erf_inv(x: Node) -> Node:
    """In float32 for the 16-bit dtypes."""
    if x.dtype.bits == 16:
        return b.convert(b.unary("erf_inv", b.convert(x, dtypes.float32)), x.dtype)
    return b.unary("erf_inv", x)


def _open_minus_one(dtype: DType) -> float:
    """The least number above -1."""
    if dtype is dtypes.bfloat16:
        return -1 + 2.0**-8
    return float(np.nextafter(numpy_dtype(dtype).type(-1), numpy_dtype(dtype).type(0)))


def gaussian(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    """Standard normal, by the inverse of the error function."""
    u = interval(key, shape, dtype, layout, _open_minus_one(dtype), 1.0)
    return binary_scalar("mul", _erf_inv(u), sqrt(2))


def split_nodes(key: Node, count: int, layout: str) -> Node:
    """uint32[count, 2]: keys derived from one."""
    if layout == "original":
        return b.reshape(b.random_bits(key, (2 * count,), layout, 32), (count, 2))
    wide = b.random_bits(key, (count,), layout, 64)
    halves = [b.convert(binary_scalar("shift_right", wide, 32), dtypes.uint32),
              b.convert(binary_scalar("bitwise_and", wide, 0xFFFFFFFF), dtypes.uint32)]
    return b.concat([b.expand_dims(half, (1,)) for half in halves], 1)


def row(x: Node, k: int) -> Node:
    """x[k]"""
    return b.squeeze(b.slice_axis(x, 0, k, k + 1), (0,))


# -- operations ------------------------------------------------------------------------------------------------------


@operation(differentiable=False)
def _random_key(k0: Node, k1: Node) -> Node:
    """A key of two numbers that differ from call to call."""
    return b.concat([b.reshape(b.convert(k, dtypes.uint32), (1,)) for k in (k0, k1)], 0)


@operation(differentiable=False)
def _random_taken(key: Node) -> Node:
    """The key of this call, read from outside."""
    return b.copy(key)


@operation(differentiable=False)
def _random_split(key: Node, count: int, layout: str) -> Node:
    return split_nodes(key, count, layout)


@operation(differentiable=False)
def _random_fold(key: Node, data: Node) -> Node:
    low = b.convert(data, dtypes.uint32)
    high = b.zeros((), dtypes.uint32)
    if data.dtype.bits == 64:
        high = b.convert(binary_scalar("shift_right", b.convert(data, dtypes.uint64), 32), dtypes.uint32)
    from pullback.ops.source import threefry_nodes  # lazy: operators load when first used

    pair = threefry_nodes(row(key, 0), row(key, 1), high, low)
    return b.concat([b.reshape(x, (1,)) for x in pair], 0)


@operation(differentiable=False)
def _random_bits(key: Node, shape: Shape, layout: str, width: int) -> Node:
    return b.random_bits(key, shape, layout, width)


@operation(differentiable=False)
def _random_unit(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    return unit_interval(key, shape, dtype, layout)


@operation(differentiable=False)
def _random_uniform(key: Node, shape: Shape, dtype: DType, layout: str, low: float, high: float) -> Node:
    return interval(key, shape, dtype, layout, low, high)


@operation(differentiable=False)
def _random_normal(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    return gaussian(key, shape, dtype, layout)


@operation(differentiable=False)
def _random_truncated(key: Node, shape: Shape, dtype: DType, layout: str, low: float, high: float) -> Node:
    """Uniform between the values of the error function, then its inverse, kept inside the open interval."""
    from math import erf

    kind = numpy_dtype(dtype).type
    edges = [erf(low / sqrt(2)), erf(high / sqrt(2))]
    x = binary_scalar("mul", _erf_inv(interval(key, shape, dtype, layout, *edges)), sqrt(2))
    inside = [float(np.nextafter(kind(low), kind(np.inf))), float(np.nextafter(kind(high), kind(-np.inf)))]
    return binary_scalar("minimum", binary_scalar("maximum", x, inside[0]), inside[1])


@operation(differentiable=False)
def _random_gumbel(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    return gumbel_nodes(key, shape, dtype, layout)


def gumbel_nodes(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    """-log(-log(u)) of u in [tiny, 1)."""
    tiny = 2.0**-14 if dtype is dtypes.float16 else 2.0**-126 if dtype.bits < 64 else 2.0**-1022
    return b.neg(b.log(b.neg(b.log(interval(key, shape, dtype, layout, tiny, 1.0)))))


@operation(differentiable=False)
def _random_exponential(key: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    return b.neg(b.unary("log1p", b.neg(unit_interval(key, shape, dtype, layout))))


@operation(differentiable=False)
def _random_integers(key: Node, low: Node, high: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    return integers(key, low, high, shape, dtype, layout)


def integers(key: Node, low: Node, high: Node, shape: Shape, dtype: DType, layout: str) -> Node:
    """Whole numbers in [low, high): two draws folded modulo the span, so that every value is as likely to 2^-bits."""
    unsigned = DTYPES[f"uint{dtype.bits}"]
    keys = split_nodes(key, 2, layout)
    drawn = [b.random_bits(row(keys, k), shape, layout, dtype.bits) for k in (0, 1)]
    first, last = (broadcast_to(b.convert(n, dtype), shape) for n in (low, high))
    span = b.convert(b.binary("sub", last, first), unsigned)
    span = b.ternary("select", b.binary("le", last, first), b.ones_like(span), span)
    half = b.binary("remainder", b.scalar_like(span, 1 << dtype.bits // 2), span)
    factor = b.binary("remainder", b.binary("mul", half, half), span)
    offset = b.binary("add", b.binary("mul", b.binary("remainder", drawn[0], span), factor),
                      b.binary("remainder", drawn[1], span))
    return b.binary("add", first, b.convert(b.binary("remainder", offset, span), dtype))


def shuffled(key: Node, x: Node, layout: str) -> Node:
    """Shuffle a vector: as many stable sorts by random bits as make ties unlikely to matter."""
    size = max(1, prod(x.shape))
    for _ in range(ceil(3 * log(size) / log(2**32 - 1))):
        keys = split_nodes(key, 2, layout)
        key = row(keys, 0)
        x = b.sort([b.random_bits(row(keys, 1), x.shape, layout, 32), x], 0, keys=1)[1]
    return x


@operation(differentiable=False)
def _random_order(key: Node, size: int, layout: str) -> Node:
    return shuffled(key, b.iota((size,), 0, dtypes.int32), layout)


@operation(differentiable=True)
def _random_permute(key: Node, x: Node, axis: int, layout: str) -> Node:
    order = shuffled(key, b.iota((x.shape[axis],), 0, dtypes.int32), layout)
    return b.gather(x, order, axis)


@operation(differentiable=False)
def _random_categorical(key: Node, logits: Node, prefix: Shape, axis: int, layout: str) -> Node:
    """argmax of logits plus Gumbel noise."""
    shape = (*prefix, *logits.shape)
    wide = b.broadcast(logits, shape, tuple(range(len(prefix), len(shape))))
    return b.arg_reduce("max", b.add(gumbel_nodes(key, shape, logits.dtype, layout), wide), axis + len(prefix))


@operation(differentiable=False)
def _random_weighted(key: Node, weights: Node, shape: Shape, layout: str) -> Node:
    """Indices drawn with probabilities: how many sums of weights lie below a uniform number."""
    sums = b.cumulative("add", weights, 0)
    total = b.broadcast(b.slice_axis(sums, 0, weights.shape[0] - 1, weights.shape[0]), (1,), (0,))
    u = binary_scalar("sub", b.neg(unit_interval(key, shape, weights.dtype, layout)), -1)
    r = b.mul(broadcast_to(b.reshape(total, ()), shape), u)
    full = (*shape, weights.shape[0])
    below = b.binary("lt", b.broadcast(sums, full, (len(shape),)), b.broadcast(r, full, tuple(range(len(shape)))))
    return b.reduce("add", b.convert(below, dtypes.int32), (len(shape),))


@operation(differentiable=False)
def _random_weighted_distinct(key: Node, weights: Node, count: int, layout: str) -> Node:
    """Distinct indices drawn with probabilities: the first of a sort by -gumbel - log(weight)."""
    n = weights.shape[0]
    order = b.sub(b.neg(gumbel_nodes(key, (n,), weights.dtype, layout)), b.log(weights))
    return b.slice_axis(b.sort([order, b.iota((n,), 0, dtypes.int32)], 0, keys=1)[1], 0, 0, count)

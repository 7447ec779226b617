"""`jax.nn`: the less common activations, standardising, attention."""

from __future__ import annotations

import math
from typing import Any

from pullback.api import activations, comparison, creation, elementwise, layers, reductions
from pullback.api.arguments import described
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift, lower
from pullback.util.errors import ShapeError, ValueError_, message


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """x where positive, alpha (exp(x / alpha) - 1) elsewhere."""
    x = border.array_of(x, "celu")
    return lift(elementwise.maximum(x, 0.0) + alpha * elementwise.expm1(elementwise.minimum(x, 0.0) / alpha))


def hard_silu(x: Any) -> Any:
    """x times hard_sigmoid(x)."""
    return lift(activations.hardswish(lower(x)))


def squareplus(x: Any, b: Any = 4) -> Any:
    """(x + sqrt(x^2 + b)) / 2."""
    x = border.array_of(x, "squareplus")
    return lift((x + elementwise.sqrt(x * x + b)) / 2)


def sparse_plus(x: Any) -> Any:
    """0 below -1, x above 1, a parabola between."""
    x = border.array_of(x, "sparse_plus")
    return lift(elementwise.where(x <= -1.0, 0.0, elementwise.where(x >= 1.0, x, (x + 1.0) ** 2 / 4)))


def sparse_sigmoid(x: Any) -> Any:
    """0 below -1, 1 above 1, a line between: the derivative of `sparse_plus`."""
    return lift(elementwise.minimum(elementwise.maximum(border.asarray(x) + 1.0, 0.0), 2.0) * 0.5)


def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)), exact for small and for large x."""
    x = border.array_of(x, "log1mexp")
    near = elementwise.log(-elementwise.expm1(-x))
    return lift(elementwise.where(x < math.log(2.0), near, elementwise.log1p(-elementwise.exp(-x))))


def identity(x: Any) -> Any:
    """x."""
    return border.asarray(x)


def standardize(
    x: Any,
    axis: Any = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """Mean 0 and variance 1 along axes. `where` says which elements count."""
    x = border.array_of(x, "standardize")
    if algorithm not in ("fast", "stable"):
        raise ValueError_(
            message(f"Unknown algorithm '{algorithm}'.", [("algorithm", repr(algorithm))], "'fast' or 'stable'")
        )
    if mean is None:
        mean = _mean(x, axis, where)
    if variance is None and algorithm == "stable":
        variance = _mean((x - mean) ** 2, axis, where)
    elif variance is None:
        variance = elementwise.clip(_mean(x * x, axis, where) - mean * mean, 0.0)
    return lift((x - mean) * elementwise.rsqrt(variance + epsilon))


def _mean(x: Any, axis: Any, where: Any) -> Any:
    """The mean of the elements that count."""
    if where is None:
        return reductions.mean(x, axis, keepdims=True)
    kept = border.asarray(where) & comparison.equal(creation.zeros_like(x), 0)
    total = reductions.sum(elementwise.where(kept, x, 0), axis, keepdims=True)
    return total / reductions.sum(kept.astype(x.dtype), axis, keepdims=True)


def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Any:
    """log(mean(exp(x)))."""
    x = border.array_of(x, "logmeanexp")
    if where is None:
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        count = math.prod(x.shape[a] for a in axes)
        return lift(reductions.logsumexp(x, axis, keepdims=keepdims) - math.log(count))
    kept = border.asarray(where) & comparison.equal(creation.zeros_like(x), 0)
    total = reductions.logsumexp(elementwise.where(kept, x, -math.inf), axis, keepdims=keepdims)
    return lift(total - elementwise.log(reductions.sum(kept.astype(x.dtype), axis, keepdims=keepdims)))


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: Any = None,
    implementation: str | None = None,
) -> Any:
    """softmax(query @ key * scale + bias) @ value, for arrays of (batch, time, heads, size) or without batch; a query
    looks at keys where the mask is true. Fewer heads of keys are shared by neighbouring heads of queries."""
    q, k, v = (border.array_of(x, "dot_product_attention") for x in (query, key, value))
    if q.ndim not in (3, 4) or k.ndim != q.ndim or v.ndim != q.ndim or q.shape[-2] % k.shape[-2]:
        raise ShapeError(
            message(
                "dot_product_attention: (batch, time, heads, size), of query a multiple of the heads of key and value",
                [("query", described(q)), ("key", described(k)), ("value", described(v))],
            )
        )
    single = q.ndim == 3
    q, k, v = ((x[None] if single else x).swapaxes(1, 2) for x in (q, k, v))
    if k.shape[1] != q.shape[1]:
        k, v = (x.repeat(q.shape[1] // k.shape[1], axis=1) for x in (k, v))
    allowed = _allowed(q, k, mask, is_causal, query_seq_lengths, key_value_seq_lengths, local_window_size)
    added = None if bias is None else _four(bias)
    if added is not None and allowed is not None:
        added, allowed = elementwise.where(allowed, added, -math.inf), None
    causal = is_causal and allowed is None and added is None
    found = layers.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed if added is None else added, is_causal=causal, scale=scale
    )
    found = lift(found).swapaxes(1, 2)
    if query_seq_lengths is not None:
        inside = creation.arange(q.shape[2]) < border.asarray(query_seq_lengths)[:, None]
        found = lift(elementwise.where(inside[:, :, None, None], found, 0.0))
    return found[0] if single else found


def _four(x: Any) -> Any:
    x = border.array_of(x, "_four")
    return x.reshape((1,) * (4 - x.ndim) + x.shape)


def _allowed(q: Any, k: Any, mask: Any, causal: bool, lengths: Any, kept: Any, window: Any) -> Any:
    """Which query looks at which key, where that is not all or those before it."""
    found = None if mask is None else _four(mask)
    rows, columns = creation.arange(q.shape[2])[:, None], creation.arange(k.shape[2])[None]
    limits: list[Any] = []
    if kept is not None:
        limits.append((columns < border.asarray(kept)[:, None])[:, None, None, :])
    if window is not None:
        before, after = (window, window) if isinstance(window, int) else window
        limits.append(((columns >= rows - before) & (columns <= rows + after))[None, None])
    if causal and (found is not None or limits):
        limits.append((columns <= rows)[None, None])
    for limit in limits:
        found = limit if found is None else found & limit
    return found

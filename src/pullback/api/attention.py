"""Attention with several heads and projections."""

from __future__ import annotations

import math
from typing import Any

from pullback.api.arguments import as_tensor, described
from pullback.api.comparison import logical_and, logical_not
from pullback.api.creation import zeros
from pullback.api.elementwise import where
from pullback.api.layers import dropout, linear, scaled_dot_product_attention, weights_operation
from pullback.api.manipulation import concat, pad_pairs
from pullback.ir import dtypes
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, message

Array = Any
_NAME = "multi_head_attention"


def _allowed(mask: Array) -> Array:
    """PyTorch's masks here say what to leave out; numbers are added."""
    kind = mask.info.type.dtype
    if kind is dtypes.bool_:
        return logical_not(mask)
    if not kind.is_inexact:
        raise DTypeError(message(f"{_NAME}: masks are bool (True: leave out) or floating point (added)",
                                 [("mask", described(mask))], "mask > 0"))
    return mask


def _joined(first: Any, second: Any) -> Any:
    """Both masks."""
    if first is None or second is None:
        return second if first is None else first
    kinds = [m.info.type.dtype is dtypes.bool_ for m in (first, second)]
    if all(kinds):
        return logical_and(first, second)
    first, second = (where(m, 0.0, float("-inf")) if k else m for m, k in zip((first, second), kinds, strict=True))
    return first + second


def _mask_of(attn_mask: Array | None, padding: Array | None, batch: int, heads: int, sizes: tuple[int, int]) -> Any:
    """What `scaled_dot_product_attention` takes, [batch or 1, heads or 1, queries or 1, keys]."""
    queries, keys = sizes
    found = None
    if attn_mask is not None:
        mask = as_tensor(attn_mask, _NAME)
        if tuple(mask.shape) not in ((queries, keys), (batch * heads, queries, keys)):
            raise ShapeError(message(f"{_NAME}: attn_mask does not fit", [("attn_mask", described(mask))],
                                     f"({queries}, {keys}) or ({batch * heads}, {queries}, {keys})"))
        found = _allowed(mask).reshape((1, 1, queries, keys) if mask.ndim == 2 else (batch, heads, queries, keys))
    if padding is not None:
        mask = as_tensor(padding, _NAME)
        if tuple(mask.shape) != (batch, keys):
            raise ShapeError(message(f"{_NAME}: key_padding_mask does not fit", [("key_padding_mask", described(mask))],
                                     f"({batch}, {keys})"))
        found = _joined(found, _allowed(mask).reshape((batch, 1, 1, keys)))
    return found


def _projected(query: Array, key: Array, value: Array, weights: Any, bias: Array | None) -> tuple[Array, ...]:
    """Query, key and value after their linear maps: one product where they are one array."""
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if isinstance(weights, tuple):
        return tuple(linear(x, w, c) for x, w, c in zip((query, key, value), weights, biases, strict=True))
    if query is key and key is value:
        return tuple(linear(query, weights, bias).chunk(3, -1))
    parts = weights.chunk(3)
    if key is value:
        size = query.shape[-1]
        both = linear(key, weights[size:], None if bias is None else bias[size:])
        return (linear(query, parts[0], biases[0]), *both.chunk(2, -1))
    return tuple(linear(x, w, c) for x, w, c in zip((query, key, value), parts, biases, strict=True))


def _longer(mask: Any, more: int) -> Any:
    """A mask of as many more keys, which may be used."""
    if mask is None or not more:
        return mask
    mask = as_tensor(mask, _NAME)
    return pad_pairs(mask, (*((0, 0),) * (mask.ndim - 1), (0, more)), "constant", 0)


def _with_batch(query: Array, key: Array, value: Array) -> tuple[Array, ...]:
    """A batch of one; what is the same array stays so."""
    given = {id(x): x[:, None] for x in (query, key, value)}
    return tuple(given[id(x)] for x in (query, key, value))


def _check_key(query: Array, key: Array, value: Array, *projected: Any) -> None:
    if any(x is not None for x in projected):
        raise ArgumentError(message(f"{_NAME}: keys and values that are projected already are not taken",
                                    [(f"static_{c}", described(x)) for c, x in zip("kv", projected, strict=True)],
                                    "call scaled_dot_product_attention with them"))
    lengths = {tuple(x.shape[:-1]) for x in (key, value)}
    if len(lengths) == 1 and key.ndim == 3 and key.shape[1] == query.shape[1]:
        return
    raise ShapeError(message(f"{_NAME}: key and value must have one length, and the query's batch",
                             [("query", described(query)), ("key", described(key)), ("value", described(value))],
                             "query (length, batch, features), key and value (keys, batch, features); "
                             "see batch_first"))


def multi_head_attention_forward(  # PyTorch's order of arguments
    query: Array, key: Array, value: Array, embed_dim_to_check: int, num_heads: int, in_proj_weight: Array | None,
    in_proj_bias: Array | None, bias_k: Array | None, bias_v: Array | None, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Array, out_proj_bias: Array | None, training: bool = True, key_padding_mask: Array | None = None,
    need_weights: bool = True, attn_mask: Array | None = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Array | None = None, k_proj_weight: Array | None = None, v_proj_weight: Array | None = None,
    static_k: Array | None = None, static_v: Array | None = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Array, Array | None]:
    """Attention of several heads (Vaswani et al. 2017) on [length, batch, features]: output, and the weights or None.

    A query whose keys are all left out gets the output of zeros.
    """
    single = query.ndim == 2
    if single:
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        query, key, value = _with_batch(query, key, value)
    if query.ndim != 3 or query.shape[-1] != embed_dim_to_check:
        raise ShapeError(message(f"{_NAME}: query must be (length, batch, {embed_dim_to_check})",
                                 [("query", described(query))], "features come last; see batch_first"))
    length, batch, width = query.shape
    _check_key(query, key, value, static_k, static_v)
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    q, k, v = _projected(query, key, value, weights, in_proj_bias)
    extra = 0
    if bias_k is not None and bias_v is not None:
        k, v = (concat([x, c.broadcast_to((1, batch, width))]) for x, c in ((k, bias_k), (v, bias_v)))
        extra += 1
    heads = [x.reshape((x.shape[0], batch, num_heads, width // num_heads)).permute((1, 2, 0, 3)) for x in (q, k, v)]
    if add_zero_attn:
        none = zeros((batch, num_heads, 1, width // num_heads), dtype=q.info.type.dtype)
        heads[1:] = [concat([x, none], 2) for x in heads[1:]]
        extra += 1
    mask = _mask_of(_longer(attn_mask, extra), _longer(key_padding_mask, extra), batch, num_heads,
                    (length, heads[1].shape[2]))
    p = dropout_p if training else 0.0
    scale = 1 / math.sqrt(width // num_heads)
    shares = None
    if need_weights:
        given = heads[:2] if mask is None else [*heads[:2], mask]
        shares = dropout(weights_operation(*given, causal=False, scale=scale), p)
        out = shares @ heads[2]
    else:
        out = scaled_dot_product_attention(heads[0], heads[1], heads[2], mask, p, scale=scale)
    out = linear(out.permute((2, 0, 1, 3)).reshape((length, batch, width)), out_proj_weight, out_proj_bias)
    if shares is not None and average_attn_weights:
        shares = shares.mean(1)
    if single:
        return out[:, 0], None if shares is None else shares[0]
    return out, shares


__all__ = ["multi_head_attention_forward"]

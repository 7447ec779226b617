"""Scaled dot product attention (Vaswani et al. 2017): the scores are computed block by block and never stored.

Beside the result, the logarithm of each row's sum of exponentials is kept; the derivative computes the scores again.
With a `rate` of dropout, weights are dropped with that probability and the others are scaled by 1 / (1 - rate): bits
are computed where they are needed, and again in the derivative, from a key and the place of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import uint32
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, TupleType, param, primitive, project
from pullback.ops.control import spread, tangent_part
from pullback.ops.map import Sample, described
from pullback.ops.matrix import at, mm, turned, where
from pullback.ops.partial import pick
from pullback.ops.source import threefry, threefry_nodes
from pullback.util.errors import DTypeError, ShapeError, message


def _sizes(name: str, types: Sequence[TensorType]) -> tuple[tuple[int, ...], int, int, int, int]:
    """The leading dimensions; queries, keys, features of keys and of values."""
    q, k, v = types[:3]
    if min(q.rank, k.rank, v.rank) < 2 or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2] or (
            q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]):
        raise ShapeError(message(f"{name}: shapes do not fit", described(types),
                                 "query (..., m, d), key (..., n, d), value (..., n, e)"))
    kinds = {t.dtype for t in types} - {uint32}  # a key's
    if len(kinds) > 1 or q.dtype.kind != "f" or q.dtype.itemsize < 4:
        raise DTypeError(message(f"{name}: needs float32 or float64, all the same", described(types)))
    return q.shape[:-2], q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]


def _check_mask(name: str, types: Sequence[TensorType], mask: TensorType) -> None:
    wanted = (*types[0].shape[:-1], types[1].shape[-2])
    if mask.shape != wanted:
        raise ShapeError(message(f"{name}: the mask does not fit", described((*types[:2], mask)), f"shape {wanted}"))


def _check_key(name: str, types: Sequence[TensorType], key: TensorType) -> None:
    lead = key.shape[:-1]
    if key.dtype is not uint32 or key.shape[-1:] != (2,) or lead != types[0].shape[:-2][:len(lead)]:
        raise ShapeError(message(f"{name}: the key does not fit", described((types[0], key)),
                                 "uint32[..., 2], of the first of the leading dimensions, or of none"))


def _threshold(rate: float) -> int:
    """A weight is kept where its 32 bits, as a number, are not less."""
    return min(round(rate * 2**32), 2**32 - 1)


def _halves(shape: Sequence[int], lead: int) -> tuple[int, int, int]:
    """How many keys; rows of weights for each; and pairs of weights in a row: one counter gives two words."""
    return prod(shape[:lead]), prod(shape[lead:-1]), -(-shape[-1] // 2)


def dropped(weights: Node, key: Node | None, rate: float) -> Node:
    """Weights [..., m, n] after dropout: the two words of the counter (row, pair) of the key are for weights 2 pair
    and 2 pair + 1 of that row, counted through the dimensions that have one key."""
    if key is None:
        return weights
    lead = key.tensor.rank - 1
    space = _halves(weights.shape, lead)
    key0, key1 = (b.broadcast(b.reshape(b.slice_axis(key, lead, k, k + 1), space[:1]), space, (0,)) for k in (0, 1))
    words = threefry_nodes(key0, key1, b.iota(space, 1, uint32), b.iota(space, 2, uint32))
    bits = b.concat([b.expand_dims(x, (3,)) for x in words], 3)
    bits = b.slice_axis(b.reshape(bits, (*space[:2], 2 * space[2])), 2, 0, weights.shape[-1])
    bits = b.reshape(bits, weights.shape)
    keep = b.binary("ge", bits, b.scalar_like(bits, _threshold(rate)))
    return where(keep, b.mul(weights, b.scalar_like(weights, 1 / (1 - rate))), 0.0)


def _numpy_dropped(weights: Any, key: Sequence[Any], rate: float) -> Any:
    if not key:
        return weights
    keys, rows, pairs = _halves(weights.shape, key[0].ndim - 1)
    one = key[0].reshape(keys, 2, 1, 1)
    words = threefry(one[:, 0], one[:, 1], np.arange(rows, dtype=np.uint32)[:, None], np.arange(pairs, dtype=np.uint32))
    bits = np.stack(words, -1).reshape(keys, rows, 2 * pairs)[..., :weights.shape[-1]].reshape(weights.shape)
    return np.where(bits >= _threshold(rate), weights * weights.dtype.type(1 / (1 - rate)), 0)


def _scores(q: Node, k: Node, mask: Node | None, causal: bool, scale: float) -> Node:
    found = mm(q, turned(k))
    found = b.mul(found, b.scalar_like(found, scale))
    found = found if mask is None else b.add(found, mask)
    return where(b.binary("ge", at(found, -2), at(found, -1)), found, -math.inf) if causal else found


def _along(x: Node, like: Node) -> Node:
    """One number for each row, in every column."""
    return b.broadcast(x, like.shape, tuple(range(x.tensor.rank)))


def _shares(q: Node, k: Node, mask: Node | None, lse: Node, causal: bool, scale: float) -> Node:
    """exp(scores - lse); a row without any key has none."""
    scores = _scores(q, k, mask, causal, scale)
    empty = b.binary("eq", lse, b.scalar_like(lse, -math.inf))
    return b.exp(b.sub(scores, _along(where(empty, b.zeros_like(lse), lse), scores)))


class Attend(Op):
    """What the primitives of this file have in common."""

    causal: bool
    scale: float
    masked: bool
    rate: float

    @property
    def threshold(self) -> int:
        """Weights whose 32 bits, as a number, are less are dropped."""
        return _threshold(self.rate)

    @property
    def extra(self) -> int:
        """How many operands there are behind those that there always are: a mask, a key."""
        return self.masked + (self.rate > 0)

    def split(self, rest: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The mask and the key among operands that begin with them, each as a sequence of one or none."""
        return rest[:self.masked], rest[self.masked:self.extra]

    def check(self, types: Sequence[TensorType], rest: Sequence[TensorType]) -> None:
        """Refuse a mask or a key that does not fit."""
        mask, key = self.split(rest)
        for t in mask:
            _check_mask(self.name, types, t)
        for t in key:
            _check_key(self.name, types, t)

    def function_for(self, types: Sequence[TensorType]) -> Function:
        """The same in primitives that store the scores."""
        raise NotImplementedError

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        function = self.function_for([x.tensor for x in inputs])
        part, out = tangent_part(transforms, function, tuple(t is not None for t in tangents))
        return spread(part(*inputs, *(t for t in tangents if t is not None)), out)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))


@primitive
class Attention(Attend):
    """y = softmax(s) v and lse = log(sum(exp(s))) of s = scale q k^T; where `causal`, of the keys not after the query.

    Inputs: q [..., m, d], k [..., n, d], v [..., n, e]; where `masked`, what is added to s, [..., m, n]. Results:
    y [..., m, e], lse [..., m]. A row whose scores are all -inf, or that has no keys, gives zeros. Where `rate` is
    above 0, the last input is a key, uint32[..., 2], of some first leading dimensions, and softmax(s) is dropped.
    """

    name: ClassVar[str] = "attention"
    lowering: ClassVar[str] = "attention"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is attention_tangent, transposed as such"}
    ulp: ClassVar[float] = 64.0
    causal: bool
    scale: float
    masked: bool = False
    rate: float = 0.0

    def infer(self, *types: TensorType) -> TupleType:
        batch, m, _, _, e = _sizes(self.name, types)
        self.check(types, types[3:])
        return TupleType((types[0].with_shape((*batch, m, e)), types[0].with_shape((*batch, m))))

    def reference(self, *arrays: Any) -> Any:
        q, k, v, *rest = arrays
        mask, key = self.split(rest)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = _numpy_scores(q, k, mask, self.causal, self.scale)
            top = np.max(scores, -1, keepdims=True, initial=-np.inf)
            top = np.where(top == -np.inf, 0, top)
            powers = np.exp(scores - top)
            total = powers.sum(-1, keepdims=True)
            y = _numpy_dropped(powers, key, self.rate) @ v / np.where(total == 0, 1, total)
            return y.astype(q.dtype), (top + np.log(total))[..., 0].astype(q.dtype)

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v = params[:3]
        masks, keys = self.split(params[3:])
        scores = _scores(q, k, masks[0] if masks else None, self.causal, self.scale)
        last = (scores.tensor.rank - 1,)
        top = b.stop_gradient(b.reduce("max", scores, last))
        top = where(b.binary("eq", top, b.scalar_like(top, -math.inf)), b.zeros_like(top), top)
        powers = b.exp(b.sub(scores, _along(top, scores)))
        total = b.reduce("add", powers, last)
        empty = b.binary("eq", total, b.zeros_like(total))
        lse = where(empty, b.scalar_like(total, -math.inf), b.add(b.log(where(empty, b.ones_like(total), total)), top))
        y = mm(dropped(powers, keys[0] if keys else None, self.rate), v)
        return Function(params, [b.div(y, _along(where(empty, b.ones_like(total), total), y)), lse])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        if self.masked and tangents[3] is not None:  # as large as the scores
            return super().jvp(transforms, inputs, output, tangents)
        active = tuple(t is not None for t in tangents[:3])
        op = AttentionTangent(self.causal, self.scale, active, self.masked, self.rate)
        return b.apply(op, *inputs[:3], *project(output), *inputs[3:], *(t for t in tangents[:3] if t is not None))

    @staticmethod
    def samples() -> Iterator[Sample]:
        for causal in (False, True):
            for batch, m, n, d, e in (((2,), 3, 4, 3, 2), ((2, 1), 7, 5, 4, 3), ((), 2, 3, 1, 1)):
                yield Attention(causal, 0.7), _sample(batch, m, n, d, e)
        yield Attention(True, 0.5), [x.astype(np.float32) for x in _sample((2,), 19, 23, 5, 9)]
        for causal in (False, True):
            yield Attention(causal, 0.7, True), [*_sample((2,), 7, 5, 4, 3), _mask_sample((2,), 7, 5)]
        for batch, m, n, keys in (((2,), 7, 5, ()), ((2, 3), 4, 3, (2,)), ((), 19, 40, ())):
            yield Attention(bool(keys), 0.7, False, 0.3), [*_sample(batch, m, n, 4, 3), _key_sample(keys)]
        yield Attention(True, 0.7, True, 0.5), [*_sample((2,), 7, 5, 4, 3), _mask_sample((2,), 7, 5), _key_sample()]
        yield Attention(False, 1.0), _sample((2,), 3, 0, 2, 2)
        yield Attention(False, 1.0), _sample((0,), 3, 2, 2, 2)


def _mask_sample(batch: tuple[int, ...], m: int, n: int) -> Any:
    return np.random.default_rng(m * n).normal(size=(*batch, m, n))


def _key_sample(lead: tuple[int, ...] = ()) -> Any:
    return np.random.default_rng(5).integers(0, 2**32, (*lead, 2), np.uint32)


def _sample(batch: tuple[int, ...], m: int, n: int, d: int, e: int) -> list[Any]:
    rng = np.random.default_rng(m + n)
    return [rng.normal(size=(*batch, *s)) for s in ((m, d), (n, d), (n, e))]


@primitive
class AttentionTangent(Attend):
    """The tangents of `Attention`: linear in those of q, k and v, of which `active` says which there are.

    Inputs: q, k, v, y, lse, the mask (`masked`), the key (`rate`), the active tangents. Results: the tangents of y
    and lse. Transposed, it is `AttentionBackward`.
    """

    name: ClassVar[str] = "attention_tangent"
    lowering: ClassVar[str] = "inline"
    ulp: ClassVar[float] = 256.0
    causal: bool
    scale: float
    active: tuple[bool, ...]
    masked: bool = False
    rate: float = 0.0

    def infer(self, *types: TensorType) -> TupleType:
        _sizes(self.name, types)
        return TupleType(tuple(types[3:5]))

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v, y, lse = params[:5]
        tq, tk, tv = spread(params[5 + self.extra:], self.active)
        masks, keys = self.split(params[5:])
        key = keys[0] if keys else None
        shares = _shares(q, k, masks[0] if masks else None, lse, self.causal, self.scale)
        moved: Node | None = None
        for left, right in ((tq, k), (q, tk)):
            if left is not None and right is not None:
                product = mm(left, turned(right))
                moved = product if moved is None else b.add(moved, product)
        ty, mean = b.zeros_like(y), b.zeros_like(lse)
        if moved is not None:
            weighted = b.mul(shares, b.mul(moved, b.scalar_like(moved, self.scale)))
            mean = b.reduce("add", weighted, (weighted.tensor.rank - 1,))
            ty = b.sub(mm(dropped(weighted, key, self.rate), v), b.mul(_along(mean, y), y))
        if tv is not None:
            ty = b.add(ty, mm(dropped(shares, key, self.rate), tv))
        return Function(params, [ty, mean])

    def reference(self, *arrays: Any) -> Any:
        q, k, v, y, lse = arrays[:5]
        mask, key = self.split(arrays[5:])
        rest = iter(arrays[5 + self.extra:])
        tq, tk, tv = (next(rest) if on else np.zeros_like(x) for x, on in zip((q, k, v), self.active, strict=True))
        shares = _numpy_shares(q, k, mask, lse, self.causal, self.scale)
        moved = tq @ np.swapaxes(k, -1, -2) + q @ np.swapaxes(tk, -1, -2)
        weighted = shares * (moved * q.dtype.type(self.scale))
        mean = weighted.sum(-1)
        kept, kept_shares = (_numpy_dropped(x, key, self.rate) for x in (weighted, shares))
        return kept @ v - mean[..., None] * y + kept_shares @ tv, mean

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        q, k, v, y, lse = inputs[:5]
        ct, ct_lse = b.materialise(cotangent, (y, lse))
        delta = b.reduce("add", b.mul(ct, y), (y.tensor.rank - 1,))
        if cotangent[1] is not None:
            delta = b.sub(delta, ct_lse)
        op = AttentionBackward(self.causal, self.scale, self.masked, self.rate)
        found = project(b.apply(op, q, k, v, lse, delta, ct, *inputs[5:5 + self.extra]))
        return (*(None,) * (5 + self.extra), *pick(found, self.active))

    @staticmethod
    def samples() -> Iterator[Sample]:
        for causal, active in ((False, (True, True, True)), (True, (True, False, True)), (True, (False, True, False))):
            arrays = _sample((2,), 3, 4, 3, 2)
            y, lse = Attention(causal, 0.7).reference(*arrays)
            given = pick([np.cos(3 * x) for x in arrays], active)
            yield AttentionTangent(causal, 0.7, active), [*arrays, y, lse, *given]
        arrays, mask = _sample((2,), 3, 4, 3, 2), _mask_sample((2,), 3, 4)
        y, lse = Attention(True, 0.7, True).reference(*arrays, mask)
        yield AttentionTangent(True, 0.7, (False, True, True), True), [
            *arrays, y, lse, mask, *(np.cos(3 * x) for x in arrays[1:])]
        arrays, key = _sample((2,), 3, 4, 3, 2), _key_sample()
        y, lse = Attention(True, 0.7, False, 0.3).reference(*arrays, key)
        yield AttentionTangent(True, 0.7, (True, True, True), False, 0.3), [
            *arrays, y, lse, key, *(np.cos(3 * x) for x in arrays)]
        yield AttentionTangent(False, 1.0, (True, False, False)), [
            np.zeros(s) for s in ((0, 2, 2), (0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 2), (0, 2, 2))]


def _numpy_scores(q: Any, k: Any, mask: Sequence[Any], causal: bool, scale: float) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * q.dtype.type(scale)
    scores = scores + mask[0] if mask else scores
    return np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf) if causal else scores


def _numpy_shares(q: Any, k: Any, mask: Sequence[Any], lse: Any, causal: bool, scale: float) -> Any:
    scores = _numpy_scores(q, k, mask, causal, scale)
    return np.exp(scores - np.where(lse == -np.inf, 0, lse)[..., None])


@primitive
class AttentionBackward(Attend):
    """The cotangents of q, k and v: with p = exp(scale q k^T + mask - lse) and s = scale p (drop(ct v^T) - delta),
    s k, s^T q and drop(p)^T ct.

    Inputs: q, k, v, lse, delta = sum(ct y) less the cotangent of lse, ct (the cotangent of y), the mask (`masked`),
    the key (`rate`).
    """

    name: ClassVar[str] = "attention_backward"
    lowering: ClassVar[str] = "attention"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is made of other primitives"}
    ulp: ClassVar[float] = 256.0
    causal: bool
    scale: float
    masked: bool = False
    rate: float = 0.0

    def infer(self, *types: TensorType) -> TupleType:
        batch, m, _, _, e = _sizes(self.name, types)
        lse, delta, ct = types[3:6]
        self.check(types, types[6:])
        if lse.shape != (*batch, m) or delta.shape != lse.shape or ct.shape != (*batch, m, e):
            raise ShapeError(message(f"{self.name}: cotangents do not fit", described(types)))
        return TupleType(tuple(types[:3]))

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v, lse, delta, ct = params[:6]
        masks, keys = self.split(params[6:])
        key = keys[0] if keys else None
        shares = _shares(q, k, masks[0] if masks else None, lse, self.causal, self.scale)
        moved = b.sub(dropped(mm(ct, turned(v)), key, self.rate), _along(delta, shares))
        weighted = b.mul(b.mul(shares, moved), b.scalar_like(shares, self.scale))
        kept = dropped(shares, key, self.rate)
        return Function(params, [mm(weighted, k), mm(turned(weighted), q), mm(turned(kept), ct)])

    def reference(self, *arrays: Any) -> Any:
        q, k, v, lse, delta, ct, *rest = arrays
        mask, key = self.split(rest)
        shares = _numpy_shares(q, k, mask, lse, self.causal, self.scale)
        moved = _numpy_dropped(ct @ np.swapaxes(v, -1, -2), key, self.rate) - delta[..., None]
        weighted, kept = shares * moved * q.dtype.type(self.scale), _numpy_dropped(shares, key, self.rate)
        return weighted @ k, np.swapaxes(weighted, -1, -2) @ q, np.swapaxes(kept, -1, -2) @ ct

    @staticmethod
    def samples() -> Iterator[Sample]:
        for causal in (False, True):
            for batch, m, n, d, e in (((2,), 3, 4, 3, 2), ((2, 1), 7, 5, 4, 3), ((), 2, 3, 1, 1)):
                yield AttentionBackward(causal, 0.7), _backward_sample(causal, batch, m, n, d, e)
        mask = _mask_sample((2,), 7, 5)
        arrays = _sample((2,), 7, 5, 4, 3)
        y, lse = Attention(True, 0.7, True).reference(*arrays, mask)
        yield AttentionBackward(True, 0.7, True), [*arrays, lse, y.sum(-1), np.cos(3 * y), mask]
        for batch, m, n, keys in (((2,), 7, 5, ()), ((2, 3), 4, 3, (2,)), ((), 19, 40, ())):
            given, key = _sample(batch, m, n, 4, 3), _key_sample(keys)
            y, lse = Attention(bool(keys), 0.7, False, 0.3).reference(*given, key)
            yield AttentionBackward(bool(keys), 0.7, False, 0.3), [*given, lse, y.sum(-1), np.cos(3 * y), key]
        narrow = [x.astype(np.float32) for x in _backward_sample(True, (2,), 19, 23, 5, 9)]
        yield AttentionBackward(True, 0.7), narrow
        yield AttentionBackward(False, 0.7), _backward_sample(False, (0,), 2, 3, 2, 2)


def _backward_sample(causal: bool, batch: tuple[int, ...], m: int, n: int, d: int, e: int) -> list[Any]:
    arrays = _sample(batch, m, n, d, e)
    y, lse = Attention(causal, 0.7).reference(*arrays)
    ct: Any = np.random.default_rng(9).normal(size=(*batch, m, e))
    return [*arrays, lse, (ct * y).sum(-1), ct]


__all__ = ["Attend", "Attention", "AttentionBackward", "AttentionTangent", "dropped"]

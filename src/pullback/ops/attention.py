"""Scaled dot product attention (Vaswani et al. 2017): the scores are computed block by block and never stored.

Beside the result, the logarithm of each row's sum of exponentials is kept; the derivative computes the scores again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, TupleType, param, primitive, project
from pullback.ops.control import spread, tangent_part
from pullback.ops.map import Sample, described
from pullback.ops.matrix import at, mm, turned, where
from pullback.ops.partial import pick
from pullback.util.errors import DTypeError, ShapeError, message


def _sizes(name: str, types: Sequence[TensorType]) -> tuple[tuple[int, ...], int, int, int, int]:
    """The leading dimensions; queries, keys, features of keys and of values."""
    q, k, v = types[:3]
    if min(q.rank, k.rank, v.rank) < 2 or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2] or (
            q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]):
        raise ShapeError(message(f"{name}: shapes do not fit", described(types),
                                 "query (..., m, d), key (..., n, d), value (..., n, e)"))
    if any(t.dtype is not q.dtype for t in types) or q.dtype.kind != "f" or q.dtype.itemsize < 4:
        raise DTypeError(message(f"{name}: needs float32 or float64, all the same", described(types)))
    return q.shape[:-2], q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]


def _check_mask(name: str, types: Sequence[TensorType], mask: TensorType) -> None:
    wanted = (*types[0].shape[:-1], types[1].shape[-2])
    if mask.shape != wanted:
        raise ShapeError(message(f"{name}: the mask does not fit", described((*types[:2], mask)), f"shape {wanted}"))


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
    y [..., m, e], lse [..., m]. A row whose scores are all -inf, or that has no keys, gives zeros.
    """

    name: ClassVar[str] = "attention"
    lowering: ClassVar[str] = "attention"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is attention_tangent, transposed as such"}
    ulp: ClassVar[float] = 64.0
    causal: bool
    scale: float
    masked: bool = False

    def infer(self, *types: TensorType) -> TupleType:
        batch, m, _, _, e = _sizes(self.name, types)
        if self.masked:
            _check_mask(self.name, types, types[3])
        return TupleType((types[0].with_shape((*batch, m, e)), types[0].with_shape((*batch, m))))

    def reference(self, *arrays: Any) -> Any:
        q, k, v, *mask = arrays
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = _numpy_scores(q, k, mask, self.causal, self.scale)
            top = np.max(scores, -1, keepdims=True, initial=-np.inf)
            top = np.where(top == -np.inf, 0, top)
            powers = np.exp(scores - top)
            total = powers.sum(-1, keepdims=True)
            y = powers @ v / np.where(total == 0, 1, total)
            return y.astype(q.dtype), (top + np.log(total))[..., 0].astype(q.dtype)

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v = params[:3]
        scores = _scores(q, k, params[3] if self.masked else None, self.causal, self.scale)
        last = (scores.tensor.rank - 1,)
        top = b.stop_gradient(b.reduce("max", scores, last))
        top = where(b.binary("eq", top, b.scalar_like(top, -math.inf)), b.zeros_like(top), top)
        powers = b.exp(b.sub(scores, _along(top, scores)))
        total = b.reduce("add", powers, last)
        empty = b.binary("eq", total, b.zeros_like(total))
        lse = where(empty, b.scalar_like(total, -math.inf), b.add(b.log(where(empty, b.ones_like(total), total)), top))
        y = mm(powers, v)
        return Function(params, [b.div(y, _along(where(empty, b.ones_like(total), total), y)), lse])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        if self.masked and tangents[3] is not None:  # as large as the scores
            return super().jvp(transforms, inputs, output, tangents)
        op = AttentionTangent(self.causal, self.scale, tuple(t is not None for t in tangents[:3]), self.masked)
        return b.apply(op, *inputs[:3], *project(output), *inputs[3:], *(t for t in tangents if t is not None))

    @staticmethod
    def samples() -> Iterator[Sample]:
        for causal in (False, True):
            for batch, m, n, d, e in (((2,), 3, 4, 3, 2), ((2, 1), 7, 5, 4, 3), ((), 2, 3, 1, 1)):
                yield Attention(causal, 0.7), _sample(batch, m, n, d, e)
        yield Attention(True, 0.5), [x.astype(np.float32) for x in _sample((2,), 19, 23, 5, 9)]
        for causal in (False, True):
            yield Attention(causal, 0.7, True), [*_sample((2,), 7, 5, 4, 3), _mask_sample((2,), 7, 5)]
        yield Attention(False, 1.0), _sample((2,), 3, 0, 2, 2)
        yield Attention(False, 1.0), _sample((0,), 3, 2, 2, 2)


def _mask_sample(batch: tuple[int, ...], m: int, n: int) -> Any:
    return np.random.default_rng(m * n).normal(size=(*batch, m, n))


def _sample(batch: tuple[int, ...], m: int, n: int, d: int, e: int) -> list[Any]:
    rng = np.random.default_rng(m + n)
    return [rng.normal(size=(*batch, *s)) for s in ((m, d), (n, d), (n, e))]


@primitive
class AttentionTangent(Attend):
    """The tangents of `Attention`: linear in those of q, k and v, of which `active` says which there are.

    Inputs: q, k, v, y, lse, the mask (`masked`), the active tangents. Results: the tangents of y and lse. Transposed,
    it is `AttentionBackward`.
    """

    name: ClassVar[str] = "attention_tangent"
    lowering: ClassVar[str] = "inline"
    ulp: ClassVar[float] = 256.0
    causal: bool
    scale: float
    active: tuple[bool, ...]
    masked: bool = False

    def infer(self, *types: TensorType) -> TupleType:
        _sizes(self.name, types)
        return TupleType(tuple(types[3:5]))

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v, y, lse = params[:5]
        tq, tk, tv = spread(params[5 + self.masked:], self.active)
        shares = _shares(q, k, params[5] if self.masked else None, lse, self.causal, self.scale)
        moved: Node | None = None
        for left, right in ((tq, k), (q, tk)):
            if left is not None and right is not None:
                product = mm(left, turned(right))
                moved = product if moved is None else b.add(moved, product)
        ty, mean = b.zeros_like(y), b.zeros_like(lse)
        if moved is not None:
            weighted = b.mul(shares, b.mul(moved, b.scalar_like(moved, self.scale)))
            mean = b.reduce("add", weighted, (weighted.tensor.rank - 1,))
            ty = b.sub(mm(weighted, v), b.mul(_along(mean, y), y))
        if tv is not None:
            ty = b.add(ty, mm(shares, tv))
        return Function(params, [ty, mean])

    def reference(self, *arrays: Any) -> Any:
        q, k, v, y, lse = arrays[:5]
        rest = iter(arrays[5 + self.masked:])
        tq, tk, tv = (next(rest) if on else np.zeros_like(x) for x, on in zip((q, k, v), self.active, strict=True))
        shares = _numpy_shares(q, k, arrays[5:5 + self.masked], lse, self.causal, self.scale)
        moved = tq @ np.swapaxes(k, -1, -2) + q @ np.swapaxes(tk, -1, -2)
        weighted = shares * (moved * q.dtype.type(self.scale))
        mean = weighted.sum(-1)
        return weighted @ v - mean[..., None] * y + shares @ tv, mean

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        q, k, v, y, lse = inputs[:5]
        ct, ct_lse = b.materialise(cotangent, (y, lse))
        delta = b.reduce("add", b.mul(ct, y), (y.tensor.rank - 1,))
        if cotangent[1] is not None:
            delta = b.sub(delta, ct_lse)
        mask = inputs[5:5 + self.masked]
        op = AttentionBackward(self.causal, self.scale, self.masked)
        found = project(b.apply(op, q, k, v, lse, delta, ct, *mask))
        return (*(None,) * (5 + self.masked), *pick(found, self.active))

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
    """The cotangents of q, k and v: with p = exp(scale q k^T + mask - lse) and s = scale p (ct v^T - delta),
    s k, s^T q and p^T ct.

    Inputs: q, k, v, lse, delta = sum(ct y) less the cotangent of lse, ct (the cotangent of y), the mask (`masked`).
    """

    name: ClassVar[str] = "attention_backward"
    lowering: ClassVar[str] = "attention"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is made of other primitives"}
    ulp: ClassVar[float] = 256.0
    causal: bool
    scale: float
    masked: bool = False

    def infer(self, *types: TensorType) -> TupleType:
        batch, m, _, _, e = _sizes(self.name, types)
        lse, delta, ct = types[3:6]
        if self.masked:
            _check_mask(self.name, types, types[6])
        if lse.shape != (*batch, m) or delta.shape != lse.shape or ct.shape != (*batch, m, e):
            raise ShapeError(message(f"{self.name}: cotangents do not fit", described(types)))
        return TupleType(tuple(types[:3]))

    def function_for(self, types: Sequence[TensorType]) -> Function:
        params = [param(t) for t in types]
        q, k, v, lse, delta, ct = params[:6]
        shares = _shares(q, k, params[6] if self.masked else None, lse, self.causal, self.scale)
        moved = b.sub(mm(ct, turned(v)), _along(delta, shares))
        weighted = b.mul(b.mul(shares, moved), b.scalar_like(shares, self.scale))
        return Function(params, [mm(weighted, k), mm(turned(weighted), q), mm(turned(shares), ct)])

    def reference(self, *arrays: Any) -> Any:
        q, k, v, lse, delta, ct, *mask = arrays
        shares = _numpy_shares(q, k, mask, lse, self.causal, self.scale)
        weighted = shares * (ct @ np.swapaxes(v, -1, -2) - delta[..., None]) * q.dtype.type(self.scale)
        return weighted @ k, np.swapaxes(weighted, -1, -2) @ q, np.swapaxes(shares, -1, -2) @ ct

    @staticmethod
    def samples() -> Iterator[Sample]:
        for causal in (False, True):
            for batch, m, n, d, e in (((2,), 3, 4, 3, 2), ((2, 1), 7, 5, 4, 3), ((), 2, 3, 1, 1)):
                yield AttentionBackward(causal, 0.7), _backward_sample(causal, batch, m, n, d, e)
        mask = _mask_sample((2,), 7, 5)
        arrays = _sample((2,), 7, 5, 4, 3)
        y, lse = Attention(True, 0.7, True).reference(*arrays, mask)
        yield AttentionBackward(True, 0.7, True), [*arrays, lse, y.sum(-1), np.cos(3 * y), mask]
        narrow = [x.astype(np.float32) for x in _backward_sample(True, (2,), 19, 23, 5, 9)]
        yield AttentionBackward(True, 0.7), narrow
        yield AttentionBackward(False, 0.7), _backward_sample(False, (0,), 2, 3, 2, 2)


def _backward_sample(causal: bool, batch: tuple[int, ...], m: int, n: int, d: int, e: int) -> list[Any]:
    arrays = _sample(batch, m, n, d, e)
    y, lse = Attention(causal, 0.7).reference(*arrays)
    ct: Any = np.random.default_rng(9).normal(size=(*batch, m, e))
    return [*arrays, lse, (ct * y).sum(-1), ct]


__all__ = ["Attend", "Attention", "AttentionBackward", "AttentionTangent"]

"""Recurrent layers over a whole sequence, the product with the input taken out of the loop.

The derivative is a linear recurrence whose coefficients are computed for all steps at once, so that going back takes
one product a step, and the gradient of the weights is one product over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import dtype_of, float32
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, TupleType, param, primitive, project
from pullback.ops.map import Sample
from pullback.ops.matrix import loop, where
from pullback.util.errors import ShapeError, message

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: how many blocks of the hidden size the gates of each kind take
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
#: how many results the derivative reads: the gates, and for the lstm what gates and cell count in the derivative, which
#: is cheaper to keep from the step than to compute for all steps behind it
KEPT = {"lstm": 9, "gru": 4}


class Parts(NamedTuple):
    """The inputs by what they are: None where a kind has none."""

    pre: Any
    h: Any
    c: Any
    w: Any
    bias: Any
    mask: Any


class Step(NamedTuple):
    """One step's state, and what its derivative reads."""

    h: Node
    c: Node | None
    kept: tuple[Node, ...]


def part(x: Node, k: int, count: int) -> Node:
    """Block k of the last dimension, which has `count` blocks."""
    size = x.shape[-1] // count
    return b.slice_axis(x, -1, k * size, (k + 1) * size)


def _one_minus(x: Node) -> Node:
    return b.sub(b.ones_like(x), x)


def _sigmoid(x: Node) -> Node:
    return b.unary("sigmoid", x)


def _tanh(x: Node) -> Node:
    return b.unary("tanh", x)


def _slope(y: Node) -> Node:
    """Of a sigmoid, by its value."""
    return b.mul(y, _one_minus(y))


def _tanh_slope(y: Node) -> Node:
    return _one_minus(b.square(y))


def _bend(y: Node, dy: Node) -> Node:
    """The tangent of `_slope(y)`."""
    return b.mul(b.sub(_one_minus(y), y), dy)


def _tanh_bend(y: Node, dy: Node) -> Node:
    """The tangent of `_tanh_slope(y)`."""
    return b.neg(b.mul(b.add(y, y), dy))


def _product_rule(x: Node, dx: Node, y: Node, dy: Node) -> Node:
    return b.add(b.mul(dx, y), b.mul(x, dy))


def in_single(turn: Callable[..., Sequence[Node]]) -> Callable[..., Sequence[Node]]:
    """A turn on 16-bit floats that computes in float32 and rounds each of its results once."""
    def rounded(*given: Node) -> Sequence[Node]:
        narrow = next((x.dtype for x in given if x.dtype.kind == "f" and x.dtype.itemsize == 2), None)
        if narrow is None:
            return turn(*given)
        found = turn(*[b.convert(x, float32) if x.dtype is narrow else x for x in given])
        return [b.convert(x, narrow) if x.dtype is float32 else x for x in found]

    return rounded


def step(kind: str, pre: Node, h: Node, c: Node | None, w: Node, bias: Node | None) -> Step:
    """The state after one step: gates = pre + h w^T (for gru, the last block of h w^T + bias is reset first)."""
    product = b.contract(h, w, 0, 1)
    if kind == "gru":
        lin = part(product, 2, 3)
        lin = lin if bias is None else b.add(lin, b.broadcast(bias, lin.shape, (1,)))
        r, z = (_sigmoid(b.add(part(pre, k, 3), part(product, k, 3))) for k in (0, 1))
        n = _tanh(b.add(part(pre, 2, 3), b.mul(r, lin)))
        return Step(b.add(b.mul(z, b.sub(h, n)), n), None, (r, z, n, lin))
    gates = b.add(pre, product)
    if kind == "lstm":
        assert c is not None
        i, f, o = (_sigmoid(part(gates, k, 4)) for k in (0, 1, 3))
        g = _tanh(part(gates, 2, 4))
        new = b.add(b.mul(f, c), b.mul(i, g))
        bent = _tanh(new)
        slopes = (b.mul(_slope(i), g), b.mul(_slope(f), c), b.mul(i, _tanh_slope(g)), b.mul(_slope(o), bent),
                  b.mul(o, _tanh_slope(bent)))
        return Step(b.mul(o, bent), new, (i, f, g, o, *slopes))
    return Step(_tanh(gates) if kind == "rnn_tanh" else b.maximum(gates, b.zeros_like(gates)), None, ())


@primitive
class Recurrence(Op):
    """for t: h, c = cell(pre[t] + h w^T, c), where the mask (if any) holds

    Inputs: pre [steps, batch, gates], h [batch, n], c (lstm), w [gates, n], bias of the reset block (gru, `biased`),
    mask [steps, batch] (`masked`). Results: every h, the last h, (lstm) the last c and every c, what the derivative
    reads.
    """

    name: ClassVar[str] = "recurrence"
    lowering: ClassVar[str] = "inline"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is a linear recurrence, transposed as such"}
    ulp: ClassVar[float] = 64.0
    kind: str
    reverse: bool = False
    biased: bool = False
    masked: bool = False

    def parts(self, items: Sequence[Any]) -> Parts:
        """The inputs, or what belongs to each."""
        rest = iter(items)
        pre, h = next(rest), next(rest)
        c = next(rest) if self.kind == "lstm" else None
        w = next(rest)
        bias = next(rest) if self.biased else None
        return Parts(pre, h, c, w, bias, next(rest) if self.masked else None)

    def infer(self, *types: TensorType) -> TupleType:
        p = self.parts(types)
        steps, batch, wide = p.pre.shape
        n = p.h.shape[-1]
        gates = GATES[self.kind]
        right = wide == gates * n and p.h.shape == (batch, n) and p.w.shape == (wide, n)
        right = right and (p.c is None or p.c is p.h) and (p.mask is None or p.mask.shape == (steps, batch))
        if not right or any(t is not None and t.dtype is not p.pre.dtype for t in (p.h, p.w, p.bias)):
            raise ShapeError(message(f"{self.kind}: state, weights and input do not fit", [
                ("gates", repr(p.pre)), ("state", repr(p.h)), ("weights", repr(p.w))], f"{gates} blocks of {n} gates"))
        whole = p.pre.with_shape((steps, batch, n))
        kept = KEPT.get(self.kind, 0)
        state = (p.h, p.h, whole) if p.c is not None else (p.h,)
        return TupleType((whole, *state, *(whole,) * kept))

    def reference(self, *arrays: Any) -> Any:
        p = self.parts(arrays)
        steps = len(p.pre)
        h: Any = p.h
        c: Any = p.c
        types = self.infer(*(TensorType.of(x.shape, dtype_of(x.dtype)) for x in arrays)).items
        out = [np.zeros(t.shape, h.dtype) for t in types]
        state = 3 if c is None else 5
        with np.errstate(over="ignore"):
            for t in range(steps)[::-1 if self.reverse else 1]:
                new, new_c, kept = _numpy_step(self.kind, p.pre[t], h, c, p.w, p.bias)
                on: Any = True if p.mask is None else p.mask[t][:, None]
                h = _chosen(on, new, h)
                c = c if c is None else _chosen(on, new_c, c)
                out[0][t] = h
                if c is not None:
                    out[3][t] = c
                for k, x in enumerate(kept, state - 1):
                    out[k][t] = x
        out[1] = np.array(h)
        if c is not None:
            out[2] = np.array(c)
        return tuple(out)

    def function_for(self, types: Sequence[TensorType]) -> Function:
        """The loop."""
        params = [param(t) for t in types]
        p = self.parts(params)
        carry = [p.h] if p.c is None else [p.h, p.c]
        consts = [p.w] if p.bias is None else [p.w, p.bias]
        xs = [p.pre] if p.mask is None else [p.pre, p.mask]

        def turn(_: Node, *given: Node) -> Sequence[Node]:
            w, rest = given[0], list(given[len(consts):])
            bias = given[1] if len(consts) > 1 else None
            h, c = rest[0], rest[1] if len(carry) > 1 else None
            pre, mask = rest[len(carry)], rest[len(carry) + 1] if len(xs) > 1 else None
            new = step(self.kind, pre, h, c, w, bias)
            after = _held(mask, new.h, h)
            if c is None or new.c is None:
                return [after, after, *new.kept]
            cell = _held(mask, new.c, c)
            return [after, cell, after, cell, *new.kept]

        found = loop(in_single(turn), types[0].shape[0], carry, xs, consts, self.reverse)
        if p.c is None:
            last, every, *kept = found
            return Function(params, [every, last, *kept])
        last, cell, every, cells, *kept = found
        return Function(params, [every, last, cell, cells, *kept])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return _Tangent(self, self.parts(inputs), self.parts(tangents), project(output)).results()

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        """Into the batch where weights are shared, else as the loop's own."""
        p, flags = self.parts(inputs), self.parts(batched)
        if flags.w or flags.bias:
            function = self.function_for([x.tensor.with_shape(x.shape[1:]) if k else x.tensor
                                          for x, k in zip(inputs, batched, strict=True)])
            every = (True,) * len(function.results)
            return transforms.batch(function, batched, size, every)[0](*inputs)

        def merged(x: Node, k: bool, axis: int) -> Node:
            x = b.move_axis(x if k else b.lead(x, size), 0, axis)
            return b.reshape(x, (*x.shape[:axis], size * x.shape[axis + 1], *x.shape[axis + 2:]))

        given = [merged(p.pre, flags.pre, 1), merged(p.h, flags.h, 0)]
        given += [merged(p.c, flags.c, 0)] if p.c is not None else []
        given += [p.w] if p.bias is None else [p.w, p.bias]
        given += [merged(p.mask, flags.mask, 1)] if p.mask is not None else []
        outs = project(b.apply(self, *given))
        found: list[Node] = []
        for x in outs:
            axis = x.tensor.rank - 2
            apart = b.reshape(x, (*x.shape[:axis], size, x.shape[axis] // size, *x.shape[axis + 1:]))
            found.append(b.move_axis(apart, axis, 0))
        return found

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(6)
        steps, batch, n = 3, 2, 2
        mask = np.asarray([[True, True], [True, False], [False, False]])
        for kind, gates in GATES.items():
            state = [rng.normal(size=(batch, n)) for _ in range(2 if kind == "lstm" else 1)]
            w, bias = rng.normal(size=(gates * n, n)), [rng.normal(size=n)] if kind == "gru" else []
            pre = rng.normal(size=(steps, batch, gates * n))
            yield Recurrence(kind, False, bool(bias)), [pre, *state, w, *bias]
            yield Recurrence(kind, True, bool(bias), True), [pre, *state, w, *bias, mask]
        exact = [np.round(4 * rng.normal(size=s)).astype(np.float32) / 4 for s in ((3, 2, 2), (2, 2), (2, 2))]
        yield Recurrence("rnn_relu"), exact
        yield Recurrence("rnn_tanh"), [np.zeros((0, 2, 3)), np.ones((2, 3)), np.ones((3, 3))]


def _held(mask: Node | None, new: Node, old: Node) -> Node:
    return new if mask is None else where(b.broadcast(mask, new.shape, (0,)), new, old)


def _chosen(on: NDArray[np.bool_], new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    return np.where(on, new, old)


def _numpy_step(kind: str, pre: Any, h: Any, c: Any, w: Any, bias: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    product = h @ w.T
    n = h.shape[-1]
    blocks = [slice(k * n, (k + 1) * n) for k in range(GATES[kind])]
    if kind == "gru":
        lin = product[:, blocks[2]] + (0 if bias is None else bias)
        r, z = (1 / (1 + np.exp(-(pre[:, k] + product[:, k]))) for k in blocks[:2])
        new = np.tanh(pre[:, blocks[2]] + r * lin)
        return z * (h - new) + new, None, (r, z, new, lin)
    gates = pre + product
    if kind == "lstm":
        i, f, o = (1 / (1 + np.exp(-gates[:, blocks[k]])) for k in (0, 1, 3))
        g = np.tanh(gates[:, blocks[2]])
        new = f * c + i * g
        bent = np.tanh(new)
        slopes = (i * (1 - i) * g, f * (1 - f) * c, i * (1 - g * g), o * (1 - o) * bent, o * (1 - bent * bent))
        return o * bent, new, (i, f, g, o, *slopes)
    return (np.tanh(gates) if kind == "rnn_tanh" else np.maximum(gates, 0)), None, ()


class _Tangent:
    """The tangents of a recurrence: coefficients of all steps at once, then a linear recurrence."""

    def __init__(self, op: Recurrence, p: Parts, t: Parts, outs: Sequence[Node]) -> None:
        self.op, self.p, self.t = op, p, t
        self.h, self.outs = outs[0], outs
        self.kept = list(outs[2:] if p.c is None else outs[4:])
        self.before = self.shifted(self.h, p.h)
        self.mask = None if p.mask is None else b.broadcast(p.mask, self.h.shape, (0, 1))
        product = b.zeros_like(p.pre) if t.w is None else b.contract(self.before, t.w, 0, 1)
        self.pre = b.zeros_like(p.pre) if t.pre is None else t.pre
        self.product = product

    def shifted(self, x: Node, first: Node) -> Node:
        """The state before each step."""
        lead = b.expand_dims(first, (0,))
        if not x.shape[0]:
            return x
        if self.op.reverse:
            return b.concat([b.slice_axis(x, 0, 1, x.shape[0]), lead], 0)
        return b.concat([lead, b.slice_axis(x, 0, 0, x.shape[0] - 1)], 0)

    def on(self, x: Node) -> Node:
        """A coefficient, 0 where the mask does not hold."""
        return x if self.mask is None else where(self.mask, x, 0)

    def start(self, x: Any, like: Node) -> Node:
        return b.zeros_like(like) if x is None else x

    def results(self) -> Sequence[Node | None]:
        if self.op.kind == "lstm":
            return self.lstm()
        if self.op.kind == "gru":
            return self.gru()
        slope = _tanh_slope(self.h) if self.op.kind == "rnn_tanh" else self._relu_slope()
        slope = self.on(slope)
        every, last = self._linear([slope], b.mul(slope, b.add(self.pre, self.product)), None)
        return [every, last]

    def _relu_slope(self) -> Node:
        positive = b.binary("gt", self.h, b.zeros_like(self.h))
        return where(positive, b.ones_like(self.h), 0)

    def _linear(self, factors: list[Node], source: Node, keep: Node | None) -> tuple[Node, Node]:
        """dh = keep dh + source + the sum of factors times blocks of dh w^T; every dh and the last."""
        count = len(factors)
        holds = keep
        if self.mask is not None:
            holds = where(self.mask, keep if keep is not None else b.zeros_like(self.h), 1)
        xs = [source, *factors, *([] if holds is None else [holds])]

        def turn(_: Node, w: Node, dh: Node, here: Node, *given: Node) -> Sequence[Node]:
            product = b.contract(dh, w, 0, 1)
            new = here
            for k in range(count):
                new = b.add(new, b.mul(given[k], part(product, k, count)))
            if holds is not None:
                new = b.add(new, b.mul(given[count], dh))
            return [new, new]

        last, every = loop(turn, self.h.shape[0], [self.start(self.t.h, self.p.h)], xs, [self.p.w], self.op.reverse)
        return every, last

    def _whole(self, every: Node) -> Node:
        """All of d(pre + h w^T)."""
        rest = self.shifted(every, self.start(self.t.h, self.p.h))
        return b.add(b.add(self.pre, self.product), b.contract(rest, self.p.w, 0, 1))

    def gru(self) -> Sequence[Node | None]:
        r, z, n, lin = self.kept
        d_lin = part(self.product, 2, 3)
        if self.t.bias is not None:
            d_lin = b.add(d_lin, b.broadcast(self.t.bias, d_lin.shape, (2,)))
        k_n = self.on(b.mul(_one_minus(z), _tanh_slope(n)))
        k_z = self.on(b.mul(b.sub(self.before, n), _slope(z)))
        k_r = b.mul(k_n, b.mul(lin, _slope(r)))
        k_lin = b.mul(k_n, r)
        source = b.add(b.mul(k_n, part(self.pre, 2, 3)), b.mul(k_lin, d_lin))
        for k, factor in ((0, k_r), (1, k_z)):
            source = b.add(source, b.mul(factor, b.add(part(self.pre, k, 3), part(self.product, k, 3))))
        every, last = self._linear([k_r, k_z, k_lin], source, z)
        whole = self._whole(every)
        d_r, d_z = b.mul(_slope(r), part(whole, 0, 3)), b.mul(_slope(z), part(whole, 1, 3))
        d_lin = b.sub(part(whole, 2, 3), part(self.pre, 2, 3))
        if self.t.bias is not None:
            d_lin = b.add(d_lin, b.broadcast(self.t.bias, d_lin.shape, (2,)))
        inner = b.add(part(self.pre, 2, 3), b.add(b.mul(d_r, lin), b.mul(r, d_lin)))
        return [every, last, d_r, d_z, b.mul(_tanh_slope(n), inner), d_lin]

    def lstm(self) -> Sequence[Node | None]:
        f = self.kept[1]
        *factors, through = (self.on(x) for x in self.kept[4:])
        keep = f if self.mask is None else where(self.mask, f, 1)
        holds = [] if self.mask is None else [where(self.mask, b.zeros_like(f), 1)]

        def turn(_: Node, w: Node, dh: Node, dc: Node, *given: Node) -> Sequence[Node]:
            here, k_i, k_f, k_g, k_o, kept, out = given[:7]
            gates = b.add(here, b.contract(dh, w, 0, 1))  # going back, its cotangent is what weights and input get
            cell = b.mul(kept, dc)
            for k, factor in enumerate((k_i, k_f, k_g)):
                cell = b.add(cell, b.mul(factor, part(gates, k, 4)))
            new = b.add(b.mul(out, cell), b.mul(k_o, part(gates, 3, 4)))
            if len(given) > 7:
                new = b.add(new, b.mul(given[7], dh))
            return [new, cell, new, cell]

        carry = [self.start(self.t.h, self.p.h), self.start(self.t.c, self.p.c)]
        xs = [b.add(self.pre, self.product), *factors, keep, through, *holds]
        last, cell, every, d_cells = loop(turn, self.h.shape[0], carry, xs, [self.p.w], self.op.reverse)
        whole = self._whole(every)
        d_gates = [b.mul(_tanh_slope(y) if k == 2 else _slope(y), part(whole, k, 4))
                   for k, y in enumerate(self.kept[:4])]
        return [every, last, cell, d_cells, *d_gates, *self._lstm_slopes(d_gates, d_cells)]

    def _lstm_slopes(self, d_gates: Sequence[Node], d_cells: Node) -> list[Node]:
        """The tangents of what the derivative reads besides the gates: for derivatives of the derivative."""
        (i, f, g, o), (d_i, d_f, d_g, d_o) = self.kept[:4], d_gates
        before, d_before = self.shifted(self.outs[3], self.p.c), self.shifted(d_cells, self.start(self.t.c, self.p.c))
        bent = _tanh(b.add(b.mul(f, before), b.mul(i, g)))
        d_new = b.add(_product_rule(f, d_f, before, d_before), _product_rule(i, d_i, g, d_g))
        d_bent = b.mul(_tanh_slope(bent), d_new)
        return [_product_rule(_slope(i), _bend(i, d_i), g, d_g),
                _product_rule(_slope(f), _bend(f, d_f), before, d_before),
                _product_rule(i, d_i, _tanh_slope(g), _tanh_bend(g, d_g)),
                _product_rule(_slope(o), _bend(o, d_o), bent, d_bent),
                _product_rule(o, d_o, _tanh_slope(bent), _tanh_bend(bent, d_bent))]


__all__ = ["GATES", "Recurrence", "step"]

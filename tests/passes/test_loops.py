"""Loops over the same inputs are one and leave only what is read; sums of contractions are taken behind the loop."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.ops.build as b
from pullback.ir.dtypes import float64
from pullback.ir.node import Function, TensorType, evaluate, param
from pullback.ops.loops import Scan
from pullback.passes.loops import fewer_loops
from pullback.passes.unread import only_read


def _function(body, consts, carry, xs, length, reverse=False):
    params = [param(TensorType.of(s, float64)) for s in (*consts, *carry, *xs)]
    inner = [p.tensor for p in params[:len(consts) + len(carry)]]
    inner += [p.tensor.with_shape(p.shape[1:]) for p in params[len(inner):]]
    given = [param(t) for t in inner]
    op = Scan(Function(given, body(*given)), length, len(consts), len(carry), reverse)
    return Function(params, list(b.project(b.apply(op, *params))))


def _scans(function):
    return [n for n in function.nodes() if isinstance(n.op, Scan)]


def _same(function, changed):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(t.shape) for t in function.in_types]
    for x, y in zip(evaluate(function, *arrays), evaluate(changed, *arrays), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sum_of_contractions_is_one_contraction_behind_the_loop(reverse):
    def body(w, h, s, x):
        new = b.unary("tanh", b.add(b.contract(h, w, 0, 1), x))
        outer = b.contract(b.transpose(x, (1, 0)), b.transpose(h, (1, 0)), 0, 1)
        return [new, b.add(s, b.transpose(outer, (1, 0))), new]

    function = _function(body, [(3, 3)], [(2, 3), (3, 3)], [(5, 2, 3)], 5, reverse)
    changed = fewer_loops(function)
    assert [n.op.carries for n in _scans(changed)] == [1]
    _same(function, changed)


@pytest.mark.parametrize(("name", "body"), [
    ("read elsewhere", lambda w, s, x: [b.add(s, b.contract(x, x, 0, 1)), b.reduce("add", s, (0, 1))]),
    ("of the carried value", lambda w, s, x: [b.add(s, b.contract(s, x, 0, 1))]),
    ("of what is constant", lambda w, s, x: [b.add(s, b.contract(w, x, 0, 1))]),
    ("twice the carried value", lambda w, s, x: [b.add(s, s)]),
    ("given out", lambda w, s, x: [(y := b.add(s, b.contract(x, x, 0, 1))), y]),
    ("not a sum", lambda w, s, x: [b.mul(s, b.contract(x, x, 0, 1))]),
])
def test_what_is_more_than_a_sum_stays_in_the_loop(name, body):
    function = _function(body, [(3, 3)], [(3, 3)], [(4, 3, 3)], 4)
    changed = fewer_loops(function)
    assert [n.op.carries for n in _scans(changed)] == [1], name
    _same(function, changed)


def test_a_sum_whose_terms_are_larger_than_itself_stays_in_the_loop():
    def body(s, h, x):
        y = b.unary("exp", x)
        return [b.add(s, b.contract(y, y, 0, 1)), h]

    function = _function(body, [], [(2, 2), (2, 2)], [(3, 2, 50)], 3)
    assert [n.op.carries for n in _scans(fewer_loops(function))] == [2]


@pytest.mark.parametrize(("length", "carries"), [(10, 1), (10**6, 2)])
def test_a_long_loop_over_no_sequence_stays_small(length, carries):
    def body(s, h):
        return [b.add(s, b.contract(h, h, 0, 1)), b.unary("tanh", h)]

    function = _function(body, [], [(3, 3), (3, 2)], [], length)
    assert [n.op.carries for n in _scans(fewer_loops(function))] == [carries]


def test_a_loop_that_another_contains_is_gone():
    w, h, xs = (param(TensorType.of(s, float64)) for s in ((3, 3), (2, 3), (4, 2, 3)))
    p, q, x = param(w.tensor), param(h.tensor), param(TensorType.of((2, 3), float64))
    new = b.unary("tanh", b.add(b.contract(q, p, 0, 1), x))
    small = b.apply(Scan(Function([p, q, x], [new]), 4, 1, 1), w, h, xs)
    large = b.apply(Scan(Function([p, q, x], [new, b.square(new)]), 4, 1, 1), w, h, xs)
    function = Function([w, h, xs], [*b.project(small), *b.project(large)])
    changed = fewer_loops(function)
    assert len(_scans(changed)) == 1
    _same(function, changed)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("read", [(0,), (1,), (3,), (0, 2), (1, 2, 3)])
def test_a_sequence_that_nobody_reads_is_not_made(read, reverse):
    def body(w, h, x):
        new = b.unary("tanh", b.add(b.contract(h, w, 0, 1), x))
        return [new, b.square(new), b.unary("exp", x), b.add(h, x)]

    function = _function(body, [(3, 3)], [(2, 3)], [(5, 2, 3)], 5, reverse)
    function = Function(function.params, [function.results[k] for k in read])
    changed = only_read(function)
    assert [len(n.op.body.results) for n in _scans(changed)] == [len({0, *read})]
    _same(function, changed)


def test_a_sum_behind_a_loop_beside_a_sequence_that_nobody_reads():
    def body(s, h, x):
        return [b.add(s, b.contract(x, x, 0, 1)), b.unary("tanh", h), b.square(h), x]

    function = _function(body, [], [(2, 2), (2, 3)], [(5, 2, 3)], 5)
    function = Function(function.params, [function.results[k] for k in (3, 0)])
    changed = only_read(fewer_loops(function))
    assert [n.op.carries for n in _scans(changed)] == [1]
    _same(function, changed)


def test_the_gradient_of_a_scan_runs_two_loops_and_sums_behind_them():
    def loss(w, x):
        (h, _), _ = pb.scan(lambda c, p: ((pb.tanh(p + c[0] @ w), c[1]), None), (pb.zeros((8, 64)), pb.zeros(())), x)
        return (h * h).sum()

    rng = np.random.default_rng(1)
    w = pb.tensor((rng.standard_normal((64, 64)) / 8).astype(np.float32))
    x = pb.tensor(rng.standard_normal((20, 8, 64)).astype(np.float32))
    text = pb.show(pb.value_and_grad(loss), "graph")(w, x)
    assert text.split("simplified ==")[1].count("= scan[") == 2
    grad = pb.grad(loss)(w, x).numpy()
    step = 1e-3
    direction = rng.standard_normal((64, 64)).astype(np.float32)
    up, down = (float(loss(w + k * step * pb.tensor(direction), x)) for k in (1, -1))
    assert (grad * direction).sum() == pytest.approx((up - down) / (2 * step), rel=2e-2)

"""Differentiation and batching of whole graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir.dtypes import float32, float64, int32
from pullback.ir.node import Function, Node, TensorType, apply, evaluate, param, project, verify
from pullback.ops import build as b
from pullback.ops.control import Barrier, Call, Custom, Scan, While, absorb, by_steps
from pullback.transforms import batch, jvp, pullback_nodes, pushforward_nodes, remat, vjp, zeros_where_linked
from pullback.util.errors import GradientError


def _x(*shape: int) -> Node:
    return param(TensorType.of(shape, float64))


def _count(results: Any, kind: type) -> int:
    return sum(isinstance(n.op, kind) for n in Function([], results).nodes())


def test_gradient_of_an_intermediate_node() -> None:
    x = _x(3)
    middle = b.unary("sin", x)
    loss = b.reduce("add", b.square(middle), (0,))
    (gradient,) = pullback_nodes([loss], [b.ones_like(loss)], [middle])
    assert gradient is not None
    value = np.asarray([0.1, 0.2, 0.3])
    np.testing.assert_allclose(evaluate(Function([x], [gradient]), value)[0], 2 * np.sin(value))


def test_unused_and_integer_inputs_have_none() -> None:
    x, unused, n = _x(3), _x(3), param(TensorType.of((3,), int32))
    y = b.mul(x, b.convert(n, float64))
    found = pullback_nodes([y], [b.ones_like(y)], [x, unused, n, x])
    assert found[1] is None and found[2] is None
    assert found[0] is found[3] is not None
    assert pushforward_nodes([b.floor(x)], [x], [x]) == [None]


def test_gradient_through_a_tuple_uses_only_what_has_cotangents() -> None:
    x, y = _x(4), _x(4)
    first, second = b.sort([x, y], 0)
    (gx, gy) = pullback_nodes([second], [b.ones_like(second)], [x, y])
    assert gx is None
    assert gy is not None and first is not second


def test_depth_is_not_limited_by_recursion() -> None:
    x = y = _x()
    for _ in range(20000):
        y = b.unary("sin", y)
    gradient = vjp(Function([x], [y]), (0,), (0,))
    assert np.isfinite(evaluate(gradient, np.asarray(1.0), np.asarray(1.0))[0])


def test_forward_values_are_shared() -> None:
    x = _x(3)
    y = b.unary("tanh", x)
    (gradient,) = pullback_nodes([y], [b.ones_like(y)], [x])
    assert gradient is not None
    nodes = Function([], [y, gradient]).nodes()
    assert sum(getattr(n.op, "row", "") == "tanh" for n in nodes) == 1


def test_remat_recomputes_and_agrees() -> None:
    x = _x(3)
    body = Function([x], [b.unary("sin", b.unary("exp", x))])
    y = remat(body)(x)[0]
    (gradient,) = pullback_nodes([y], [b.ones_like(y)], [x])
    assert gradient is not None
    assert _count([gradient], Barrier) == 1
    value = np.asarray([0.1, 0.2, 0.3])
    wanted = np.cos(np.exp(value)) * np.exp(value)
    np.testing.assert_allclose(evaluate(Function([x], [gradient]), value)[0], wanted)


def _rnn(length: int = 5) -> tuple[list[Node], Node]:
    w, h, x = _x(2, 2), _x(2), _x(2)
    new = b.unary("tanh", b.add(b.contract(w, h, 0, 1), x))
    body = Function([w, h, x], [new, b.square(new)])
    inputs = [_x(2, 2), _x(2), _x(length, 2)]
    return inputs, apply(Scan(body, length, 1, 1), *inputs)


def test_scan_gradient_runs_the_forward_loop_once() -> None:
    inputs, node = _rnn()
    final, ys = project(node)
    loss = b.add(b.reduce("add", final, (0,)), b.reduce("add", ys, (0, 1)))
    gradients = [g for g in pullback_nodes([loss], [b.ones_like(loss)], inputs) if g is not None]
    results = absorb([loss, *gradients])
    assert _count([loss, *gradients], Scan) == 3
    assert _count(results, Scan) == 2
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=x.shape) for x in inputs]
    program = Function(inputs, results)
    verify(program)
    before, after = evaluate(Function(inputs, [loss, *gradients]), *arrays), evaluate(program, *arrays)
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y)


def test_scan_does_not_stack_its_constants() -> None:
    inputs, node = _rnn(7)
    final = project(node)[0]
    gradients = [g for g in pullback_nodes([final], [b.ones_like(final)], inputs) if g is not None]
    for n in Function([], gradients).nodes():
        assert getattr(n.type, "shape", ()) != (7, 2, 2)


def test_batch_of_gradient_of_scan() -> None:
    inputs, node = _rnn(3)
    final = project(node)[0]
    gradient = vjp(Function(inputs, [final]), (0, 2), (0,))
    mapped, flags = batch(gradient, (False, True, True, True), 4)
    assert flags == (True, True)
    rng = np.random.default_rng(1)
    w = rng.normal(size=(2, 2))
    rest = [rng.normal(size=s) for s in ((4, 2), (4, 3, 2), (4, 2))]
    found = evaluate(mapped, w, *rest)
    for k in range(4):
        for x, y in zip(found, evaluate(gradient, w, *(r[k] for r in rest)), strict=True):
            np.testing.assert_allclose(x[k], y)


def test_loop_of_unknown_length_has_forward_mode_only() -> None:
    op, arrays = next(While.samples())
    params = [param(TensorType.of(a.shape, float64 if a.dtype.kind == "f" else int32)) for a in arrays]
    out = project(apply(op, *params))[1]
    assert jvp(Function(params, [out]), (True, False, True))[1] == (True,)
    with pytest.raises(GradientError, match="fixed number of steps"):
        pullback_nodes([out], [b.ones_like(out)], [params[2]])


def test_users_rule_replaces_the_derivative_also_when_batched() -> None:
    x = _x(3)
    body = Function([x], [b.unary("round", x)])
    op = Custom(body, None, lambda inputs, outputs, cts: [b.mul(cts[0], b.scalar_like(cts[0], 7.0))])
    y = project(apply(op, x))[0]
    gradient = vjp(Function([x], [y]), (0,), (0,))
    np.testing.assert_array_equal(evaluate(gradient, np.ones(3), np.ones(3))[0], np.full(3, 7.0))
    mapped, _ = batch(Function([x], [y]), (True,), 2)
    gradient = vjp(mapped, (0,), (0,))
    np.testing.assert_array_equal(evaluate(gradient, np.ones((2, 3)), np.ones((2, 3)))[0], np.full((2, 3), 7.0))


def test_a_shared_input_of_a_batched_rule_gets_the_sum() -> None:
    w, x = _x(3), _x(3)
    body = Function([w, x], [b.mul(w, x)])
    op = Custom(body, None, lambda inputs, outputs, cts: [b.mul(cts[0], inputs[1]), b.mul(cts[0], inputs[0])])
    mapped, _ = batch(Function([w, x], project(apply(op, w, x))), (False, True), 4)
    gradient = vjp(mapped, (0,), (0,))
    xs = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(evaluate(gradient, np.ones(3), xs, np.ones((4, 3)))[0], xs.sum(0))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_high_orders(order: int) -> None:
    x = _x()
    y = b.unary("sin", x)
    for _ in range(order):
        (g,) = pullback_nodes([y], [b.ones_like(y)], [x])
        assert g is not None
        y = g
    wanted = [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin][order - 1](0.7)
    np.testing.assert_allclose(evaluate(Function([x], [y]), np.asarray(0.7))[0], wanted)


def test_power_at_base_zero() -> None:
    x = param(TensorType.of((2,), float32))
    y = b.binary("pow", x, b.scalar_like(x, 2.0))
    (g,) = pullback_nodes([y], [b.ones_like(y)], [x])
    assert g is not None
    np.testing.assert_array_equal(evaluate(Function([x], [g]), np.asarray([0, 3], np.float32))[0], [0, 6])


def test_equal_extremes_share_the_gradient() -> None:
    x = _x(4)
    y = b.reduce("max", x, (0,))
    (g,) = pullback_nodes([y], [b.ones_like(y)], [x])
    assert g is not None
    np.testing.assert_array_equal(evaluate(Function([x], [g]), np.asarray([1.0, 3, 3, 0]))[0], [0, 0.5, 0.5, 0])


def test_gradient_of_integers_is_an_error() -> None:
    n = param(TensorType.of((2,), int32))
    with pytest.raises(GradientError, match="floating point"):
        vjp(Function([n], [b.add(n, n)]), (0,), (0,))


def test_what_is_reached_by_steps_alone_has_a_gradient_of_zero() -> None:
    x, y, z, w = (param(TensorType.of((3,), float32)) for _ in range(4))
    p, q = param(x.tensor), param(x.tensor)
    called = project(apply(Call(Function([p, q], [b.floor(p), b.mul(q, q)])), x, y))
    through = b.add(b.mul(called[0], called[1]), b.convert(b.binary("lt", z, y), float32))
    result = b.add(b.sign(by_steps("sum", b.add, through, x)), b.stop_gradient(w))
    wrt = [x, y, z, w]
    found = zeros_where_linked([result], pullback_nodes([result], [b.ones_like(result)], wrt), wrt)
    assert [g is not None for g in found] == [True, True, False, False]
    assert evaluate(Function([x], [found[0] or x]), np.ones(3, np.float32))[0].tolist() == [0, 0, 0]
    only = zeros_where_linked([called[1]], pullback_nodes([called[1]], [b.ones_like(y)], wrt), wrt)
    assert [g is not None for g in only] == [False, True, False, False]

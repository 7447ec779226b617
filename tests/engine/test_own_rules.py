"""Functions whose derivative rules call the function itself, as JAX's and PyTorch's own examples do."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.engine import programs
from pullback.engine.autograd import gradients
from pullback.util.errors import RuleError


def _reverse() -> Any:
    product = pb.custom_vjp(lambda x, y: pb.sin(x) * y)
    product.defvjp(lambda x, y: (product(x, y), (pb.cos(x), pb.sin(x), y)),
                   lambda residuals, g: (residuals[0] * g * residuals[2], residuals[1] * g))
    return product


def _forward() -> Any:
    growth = pb.custom_jvp(lambda x: pb.exp(2.0 * x))
    growth.defjvp(lambda primals, tangents: (growth(primals[0]), 2.0 * growth(primals[0]) * tangents[0]))
    return growth


def test_a_forward_pass_may_call_the_function() -> None:
    product = _reverse()
    for gradient in (pb.grad(product), pb.jit(pb.grad(product))):
        np.testing.assert_allclose(gradient(2.0, 3.0).numpy(), 3 * np.cos(2), rtol=1e-5)
    np.testing.assert_allclose(pb.grad(pb.grad(product))(2.0, 3.0).numpy(), -3 * np.sin(2), rtol=1e-5)
    found = pb.vmap(pb.grad(product), (0, None))(pb.arange(3.0), 2.0)
    np.testing.assert_allclose(found.numpy(), 2 * np.cos([0, 1, 2]), rtol=1e-5)


def test_a_forward_rule_may_call_the_function_at_every_order() -> None:
    f: Any = _forward()
    for order in range(5):
        np.testing.assert_allclose(f(0.5).numpy(), 2.0 ** order * np.exp(1), rtol=1e-5)
        np.testing.assert_allclose(pb.jit(f)(0.5).numpy(), 2.0 ** order * np.exp(1), rtol=1e-5)
        np.testing.assert_allclose(pb.vmap(f)(pb.arange(2.0)).numpy(), 2.0 ** order * np.exp([0, 2]), rtol=1e-5)
        f = pb.grad(f)


def test_two_functions_may_be_each_others_derivative() -> None:
    class Sin(pb.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return pb.sin(x)

        @staticmethod
        def backward(ctx, g):
            return g * Cos.apply(*ctx.saved_tensors)

    class Cos(pb.Function):
        @staticmethod
        def forward(x):
            return pb.cos(x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return -g * Sin.apply(*ctx.saved_tensors)

    x = pb.tensor([1.0, 2.0], requires_grad=True)
    y = Sin.apply(x)
    for order in range(1, 5):
        y, = gradients([y.sum()], [x], create_graph=True)
        np.testing.assert_allclose(y.tolist(), np.sin(np.array([1.0, 2.0]) + order * np.pi / 2), rtol=1e-5)


def _square_root(steps: Any) -> Any:
    """A fixed point whose reverse rule solves another fixed point with the same function."""
    @partial(pb.custom_vjp, nondiff_argnums=(0,))
    def fixed_point(f, a, x):
        return pb.while_loop(lambda c: pb.abs(c[0] - c[1]) > 1e-6, lambda c: (c[1], f(a, c[1])), (x, f(a, x)))[1]

    def forward(f, a, x):
        found = fixed_point(f, a, x)
        return found, (a, found)

    def onward(f, packed, u):
        a, x, ct = packed
        return ct + pb.vjp(lambda x: f(a, x), x)[1](u)[0]

    def reverse(f, residuals, ct):
        a, x = residuals
        _, pull = pb.vjp(lambda a: f(a, x), a)
        return (*pull(fixed_point(partial(onward, f), (a, x, ct), ct)), pb.zeros_like(x))

    fixed_point.defvjp(forward, reverse)
    return lambda a: fixed_point(lambda a, x: steps * (x + a / x), a, a)


def test_a_reverse_rule_may_call_the_function_on_another_problem(monkeypatch) -> None:
    root = _square_root(0.5)
    made = []
    original = programs.Executable.__init__
    monkeypatch.setattr(programs.Executable, "__init__", lambda self, *a: (made.append(1), original(self, *a))[1])
    for turn in range(4):
        np.testing.assert_allclose([root(2.0).item(), pb.grad(root)(2.0).item(), pb.grad(pb.grad(root))(2.0).item()],
                                   [2 ** 0.5, 0.5 * 2 ** -0.5, -0.25 * 2 ** -1.5], rtol=1e-4)
        if turn == 1:
            made.clear()
    assert not made  # functions made anew from the same code are known


def test_what_a_rule_closes_over_inside_itself_must_have_a_value() -> None:
    scale = pb.tensor([2.0, 3.0])

    def first(scale):
        growth = pb.custom_jvp(lambda x: pb.exp(x))
        growth.defjvp(lambda primals, tangents: (growth(primals[0]), growth(primals[0]) * scale * tangents[0] / scale))
        return lambda x: growth(x).sum()

    x = pb.tensor([0.0, 1.0])
    twice = pb.jacfwd(pb.grad(first(scale)))(x)
    np.testing.assert_allclose(twice.numpy(), np.diag(np.exp([0.0, 1.0])), rtol=1e-5)
    with pytest.raises(RuleError, match="pass it as an argument"):
        pb.jit(lambda s: pb.jacfwd(pb.grad(first(s)))(x))(scale)

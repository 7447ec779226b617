"""What traced functions print and hand to callbacks: the lines and their values are those of JAX 0.10."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import lax


@jax.jit
def noisy(x: Any) -> Any:
    jax.debug.print("x = {x}, twice {}", x * 2, x=x)
    y = jnp.sin(x)
    jax.debug.print("sin {y:.3f}", y=y)
    return y


def lines(capsys: Any) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_jit_prints_at_every_call(capsys: Any) -> None:
    for _ in range(12):  # the structure gets code of its own when it has been met often
        assert noisy(1.0).item() == pytest.approx(np.sin(1))
    assert lines(capsys) == ["x = 1.0, twice 2.0", "sin 0.841"] * 12
    assert noisy(jnp.float32(2)).item() == pytest.approx(np.sin(2))
    assert lines(capsys) == ["x = 2.0, twice 4.0", "sin 0.909"]


@pytest.mark.parametrize("f", [
    lambda x: jax.grad(noisy)(x), lambda x: jax.jit(jax.grad(noisy))(x), lambda x: jax.value_and_grad(noisy)(x),
    lambda x: jax.jit(lambda z: noisy(z) + 1)(x), lambda x: jax.grad(lambda z: noisy(z) * 2)(x),
    lambda x: jax.jit(jax.value_and_grad(lambda z: (noisy(z), z), has_aux=True))(x),
])
def test_nested(f: Any, capsys: Any) -> None:
    f(1.0)
    assert lines(capsys) == ["x = 1.0, twice 2.0", "sin 0.841"]


def test_derivative_is_not_changed() -> None:
    assert jax.jit(jax.grad(noisy))(1.0).item() == pytest.approx(np.cos(1), rel=1e-6)
    value, (aux, gradient) = 0.0, (0.0, 0.0)
    (value, aux), gradient = jax.jit(jax.value_and_grad(lambda z: (noisy(z), z * 3), has_aux=True))(1.0)
    assert [float(v) for v in (value, aux, gradient)] == pytest.approx([np.sin(1), 3, np.cos(1)])


@pytest.mark.parametrize("outer", [lambda f: f, jax.jit])
def test_vmap_prints_every_element(outer: Any, capsys: Any) -> None:
    found = outer(jax.vmap(noisy))(jnp.arange(2.0))
    np.testing.assert_allclose(found.numpy(), np.sin([0, 1]), rtol=1e-6)
    assert sorted(lines(capsys)) == ["sin 0.000", "sin 0.841", "x = 0.0, twice 0.0", "x = 1.0, twice 2.0"]


@pytest.mark.parametrize("outer", [lambda f: f, jax.jit])
def test_loops_print_every_turn(outer: Any, capsys: Any) -> None:
    def step(carry: Any, x: Any) -> Any:
        jax.debug.print("carry {c} x {x}", c=carry, x=x)
        return carry + x, carry * x

    last, ys = outer(lambda c: lax.scan(step, c, jnp.arange(3.0)))(1.0)
    assert (last.item(), ys.numpy().tolist()) == (4.0, [0.0, 1.0, 4.0])
    assert lines(capsys) == ["carry 1.0 x 0.0", "carry 1.0 x 1.0", "carry 2.0 x 2.0"]

    def turn(i: Any, v: Any) -> Any:
        jax.debug.print("turn {i}: {v}", i=i, v=v)
        return v * 2

    assert outer(lambda v: lax.fori_loop(0, 3, turn, v))(1.0).item() == 8.0
    assert lines(capsys) == ["turn 0: 1.0", "turn 1: 2.0", "turn 2: 4.0"]
    assert outer(lambda v: jax.grad(lambda z: lax.fori_loop(0, 3, turn, z))(v))(1.0).item() == 8.0
    assert lines(capsys) == ["turn 0: 1.0", "turn 1: 2.0", "turn 2: 4.0"]


def test_callback() -> None:
    seen: list[Any] = []

    @jax.jit
    def f(x: Any, tree: Any) -> Any:
        def note(v: Any, tree: Any, name: str) -> None:
            seen.append((float(v), float(tree["a"][0]), name))

        jax.debug.callback(note, x + 1, tree, name="n")
        return x * 2

    assert f(1.0, {"a": jnp.ones(2)}).item() == 2.0
    assert f(2.0, {"a": jnp.zeros(2)}).item() == 4.0
    assert seen == [(2.0, 1.0, "n"), (3.0, 0.0, "n")]


def test_outside(capsys: Any) -> None:
    jax.debug.print("{} and {b}", jnp.arange(3), b="text")
    with jax.disable_jit():
        noisy(1.0)
    assert lines(capsys) == ["[0 1 2] and text", "x = 1.0, twice 2.0", "sin 0.841"]


def test_where_values_cannot_leave() -> None:
    def talk(x: Any) -> Any:
        jax.debug.print("{x}", x=x)
        return x

    for f in (lambda x: lax.cond(x > 0, talk, lambda z: z, x),
              lambda x: lax.while_loop(lambda z: z < 3, lambda z: talk(z) + 1, x)):
        with pytest.raises(jax.errors.ConcretizationTypeError, match="disable_jit"):
            jax.jit(f)(1.0)


@pytest.mark.parametrize(("call", "kind"), [
    (lambda: jax.debug.print("a {x}", 1, x=2), ValueError), (lambda: jax.debug.print("a", x=2), ValueError),
    (lambda: jax.debug.print(3), TypeError), (lambda: jax.debug.print("{} {}", 1), IndexError),
    (lambda: jax.debug.print("{x}"), KeyError), (lambda: jax.debug.callback(3), TypeError),
])
def test_wrong_calls(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call()

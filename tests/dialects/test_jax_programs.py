"""Programs as JAX's pages write them: static arguments by name, custom rules, roots, callbacks, shardings, images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import lax

from pullback.util.errors import ArgumentError, DeviceError, ValueError_

A, B = jnp.array([[2.0, 0.5], [0.1, 1.0]]), jnp.array([1.0, 2.0])


def powered(x: Any, n: int) -> Any:
    return x**2 if n > 2 else x


def test_static_arguments_by_name_or_position() -> None:
    given = ({"static_argnames": "n"}, {"static_argnames": ("n",)}, {"static_argnums": 1}, {"static_argnums": -1})
    for options in given:
        f = jax.jit(powered, **options)
        assert float(f(3.0, 3)) == 9 and float(f(3.0, n=3)) == 9 and float(f(3.0, n=1)) == 3


@jax.custom_jvp
def bent(x: Any, y: float = 2.0) -> Any:
    return jnp.sin(x) * y if x > 0 else x


@bent.defjvp
def bent_jvp(primals: Any, tangents: Any) -> Any:
    return jnp.sin(primals[0]), primals[1] * tangents[0]


def test_custom_rules_take_branches_names_and_defaults() -> None:
    assert bent_jvp is not None and float(bent(-1.0)) == -1
    assert np.isclose(float(bent(1.0)), 2 * np.sin(1)) and np.isclose(float(bent(x=1.0, y=3.0)), 3 * np.sin(1))
    with pytest.raises(TypeError):
        bent(1.0, z=2.0)

    @jax.custom_vjp
    def keyword_only(x: Any, *, y: Any) -> Any:
        return x * y

    keyword_only.defvjp(lambda x, y: (x * y, y), lambda y, g: (g * y, None))
    with pytest.raises(ArgumentError, match="keyword-only"):
        keyword_only(1.0, y=2.0)


class Scaled:
    """A node whose static part cannot be hashed."""

    def __init__(self, a: Any, options: dict[str, bool]) -> None:
        self.a, self.options = a, options


def test_nodes_with_dicts_as_static_part() -> None:
    jax.tree_util.register_pytree_node(Scaled, lambda s: ((s.a,), s.options), lambda rest, c: Scaled(*c, rest))
    f = jax.jit(lambda s: s.a * 2 if s.options["double"] else s.a)
    assert [float(f(Scaled(3.0, {"double": flag}))) for flag in (True, False, True)] == [6, 3, 6]
    assert jax.tree.map(lambda x: x + 1, Scaled(3.0, {"double": True})).options == {"double": True}


def newton(f: Any, x: Any) -> Any:
    return lax.fori_loop(0, 30, lambda i, y: y - f(y) / jax.grad(f)(y), x)


def cube_root(a: Any) -> Any:
    return lax.custom_root(lambda x: x**3 - a, 1.5, newton, lambda g, y: y / g(1.0))


def test_custom_root() -> None:
    assert np.isclose(float(cube_root(8.0)), 2)
    assert np.allclose(np.asarray(jax.vmap(cube_root)(jnp.array([1.0, 8]))), [1, 2])
    for f in (jax.grad(cube_root), jax.jit(jax.grad(cube_root)), lambda a: jax.jvp(cube_root, (a,), (1.0,))[1]):
        assert np.isclose(float(f(8.0)), 1 / 12)
    assert np.isclose(float(jax.grad(jax.grad(cube_root))(8.0)), -2 / 9 * 8 ** (-5 / 3))

    def both(a: Any) -> Any:
        return lax.custom_root(lambda x: x**2 - a, 1.0, lambda f, x: (newton(f, x), 7), lambda g, y: y / g(1.0), True)

    assert float(both(4.0)[0]) == 2 and both(4.0)[1] == 7
    assert np.isclose(float(jax.grad(lambda a: both(a)[0])(4.0)), 0.25)


def dense(matvec: Any, b: Any) -> Any:
    return jnp.linalg.solve(jax.jacobian(matvec)(b), b)


@pytest.mark.parametrize("options", [{}, {"transpose_solve": dense}, {"symmetric": True}])
def test_custom_linear_solve(options: Any) -> None:
    matrix = (A + A.T) / 2 if options.get("symmetric") else A

    def solved(a: Any, b: Any) -> Any:
        a = (a + a.T) / 2 if options.get("symmetric") else a
        return (lax.custom_linear_solve(lambda x: a @ x, b, dense, **options) ** 2).sum()

    def plain(a: Any, b: Any) -> Any:
        a = (a + a.T) / 2 if options.get("symmetric") else a
        return (jnp.linalg.solve(a, b) ** 2).sum()

    if not options:
        found, wanted = (jax.jvp(f, (A, B), (B * A, B))[1] for f in (solved, plain))
        assert np.isclose(float(found), float(wanted), atol=1e-5)
        return
    found, wanted = (jax.grad(f, (0, 1))(matrix, B) for f in (solved, plain))
    assert all(np.allclose(np.asarray(x), np.asarray(y), atol=1e-5) for x, y in zip(found, wanted, strict=True))


def test_closure_convert_hands_out_what_is_closed_over() -> None:
    def f(c: Any) -> Any:
        converted, kept = jax.closure_convert(lambda x: x * c.sum() + 1, 3.0)
        assert len(kept) == 1
        return converted(2.0, *[2 * k for k in kept])

    value, gradient = jax.value_and_grad(f)(B)
    assert float(value) == 13 and gradient.tolist() == [4, 4]


def test_values_at_compile_time() -> None:
    def f(x: Any) -> Any:
        with jax.ensure_compile_time_eval():
            count = int(jnp.arange(4).sum())
        return x * count

    assert float(jax.jit(f)(2.0)) == 12


def test_values_at_compile_time_of_what_is_pending() -> None:
    """They launch what was recorded outside; what follows the traced function is recorded anew."""
    x = jnp.arange(5.0)
    for k in range(4):
        pending = x * 2 + k

        @jax.jit
        def f(x: Any, before: Any = pending, k: int = k) -> Any:
            with jax.ensure_compile_time_eval():
                scale = float((before + 1)[k])
            return x * scale + float((x * 0).shape[0])

        with jax.ensure_compile_time_eval():
            assert float(pending[0]) == k
        later = f(x) + pending * 3
        want = np.arange(5.0) * (3 * k + 1) + 5 + 3 * (np.arange(5.0) * 2 + k)
        assert np.allclose(np.asarray(later), want)


def test_callbacks_under_jit_run_as_written() -> None:
    calls: list[float] = []

    def host(v: Any) -> Any:
        calls.append(float(v.sum()))
        return np.sin(v)

    f = jax.jit(lambda x: jax.pure_callback(host, jax.ShapeDtypeStruct.like(x), x) * 2)
    for k in (1, 2, 2):
        assert np.allclose(np.asarray(f(jnp.full(3, float(k)))), 2 * np.sin(k))
    assert calls == [3, 6, 6]
    number = jax.ShapeDtypeStruct((), "float32")
    counted = jax.jit(lambda: jax.experimental.io_callback(lambda: np.float32(len(calls)), number))
    assert float(counted()) == 3
    with pytest.raises(jax.errors.ConcretizationTypeError, match="cannot call Python"):
        jax.vmap(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), "float32"), x))(jnp.ones(3))


def test_lowered_and_compiled() -> None:
    lowered = jax.jit(lambda x, n: x * n, static_argnums=1).lower(jax.ShapeDtypeStruct((3,), "float32"), 4)
    assert "mul" in lowered.as_text() and lowered.out_info.shape == (3,)
    assert lowered.compile()(jnp.arange(3.0)).tolist() == [0, 4, 8]


def test_one_device_has_shardings() -> None:
    mesh = jax.make_mesh((1,), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    assert jax.device_put(B, sharding).tolist() == B.tolist() and mesh.shape == {"x": 1}
    assert jax.jit(lambda x: lax.with_sharding_constraint(x * 2, sharding))(B).tolist() == [2, 4]
    assert repr(B.sharding) == "SingleDeviceSharding(device=CpuDevice(id=0), memory_kind=device)"
    with pytest.raises(DeviceError, match="Number of devices 1"):
        jax.make_mesh((2,), ("x",))


def test_policies_change_no_value() -> None:
    f = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)), policy=jax.checkpoint_policies.dots_saveable)
    assert np.isclose(float(jax.grad(f)(1.0)), np.cos(np.sin(1)) * np.cos(1))


def test_check_grads_sees_wrong_rules() -> None:
    jax.test_util.check_grads(lambda x: jnp.sin(x) * x, (jnp.array([0.3, 1.2]),), order=2)

    @jax.custom_jvp
    def wrong(x: Any) -> Any:
        return jnp.sin(x)

    wrong.defjvp(lambda p, t: (wrong(p[0]), t[0] * p[0]))
    for mode in ("fwd", "rev"):
        with pytest.raises(AssertionError):
            jax.test_util.check_grads(wrong, (jnp.array([0.3, 1.2]),), order=1, modes=[mode])


def test_resize_images() -> None:
    line = jnp.array([0.0, 1.0, 4.0])
    assert jax.image.resize(line, (6,), "nearest").tolist() == [0, 0, 1, 1, 4, 4]
    assert np.allclose(np.asarray(jax.image.resize(line, (6,), "linear")), [0, 0.25, 0.75, 1.75, 3.25, 4])
    assert np.allclose(np.asarray(jax.image.resize(jnp.arange(4.0), (2,), "linear", antialias=False)), [0.5, 2.5])
    assert np.allclose(np.asarray(jax.image.resize(jnp.arange(4.0), (2,), "linear")), [0.714286, 2.285714])
    for method in ("cubic", "lanczos3", "lanczos5"):
        ones = jax.image.resize(jnp.ones((3, 4)), (5, 9), method)
        assert np.allclose(np.asarray(ones), 1, atol=1e-5)
    with pytest.raises(ValueError_, match="Unknown resize method"):
        jax.image.resize(line, (6,), "best")

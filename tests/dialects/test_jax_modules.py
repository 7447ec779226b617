"""The modules around `jax.numpy` and `jax.lax`; expected values were given by JAX 0.10."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pullback.jax.tree_util as jtu
import pytest
from pullback.jax.example_libraries import optimizers, stax
from pullback.jax.flatten_util import ravel_pytree
from pullback.jax.nn.initializers import glorot_normal
from pullback.jax.numpy import linalg

from pullback.util.errors import PullbackError


def test_modules_that_stand_elsewhere_are_imported() -> None:
    import pullback.jax.lax.linalg as decompositions
    import pullback.jax.numpy.linalg as again

    assert again is linalg is jnp.linalg
    assert decompositions is jax.lax.linalg
    assert glorot_normal is jax.nn.initializers.glorot_normal


def test_segments() -> None:
    d, s = jnp.arange(5.0), jnp.array([0, 0, 1, 1, 2])
    assert jax.ops.segment_sum(d, s).tolist() == [1, 5, 4]
    assert jax.ops.segment_sum(d, s, num_segments=2).tolist() == [1, 5]
    assert jax.ops.segment_max(d, s, 4).tolist() == [1, 3, 4, -np.inf]
    assert jax.ops.segment_min(d.astype(int), s).tolist() == [0, 2, 4]
    assert jax.ops.segment_prod(d, s).tolist() == [0, 6, 4]
    assert jax.grad(lambda v: (jax.ops.segment_sum(v, s, 3) ** 2).sum())(d).tolist() == [2, 2, 10, 10, 8]
    with pytest.raises(jax.errors.ConcretizationTypeError, match="num_segments"):
        jax.jit(lambda v: jax.ops.segment_sum(d, v))(s)


def test_ravel_pytree() -> None:
    flat, unravel = ravel_pytree({"a": jnp.arange(3.0), "b": (jnp.ones((2, 2)), 2.0)})
    assert flat.tolist() == [0, 1, 2, 1, 1, 1, 1, 2]
    back = jax.jit(unravel)(flat * 2)
    assert back["b"][0].tolist() == [[2, 2], [2, 2]]
    assert back["b"][1].item() == 4
    with pytest.raises(ValueError, match="expected shape"):
        unravel(flat[1:])


@jtu.register_dataclass
@dataclass
class Model:
    w: Any
    b: Any
    name: str = field(metadata={"static": True}, default="m")


@jtu.register_pytree_with_keys_class
class Keyed:
    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def tree_flatten_with_keys(self) -> Any:
        return ((jtu.GetAttrKey("a"), self.a), (jtu.GetAttrKey("b"), self.b)), None

    @classmethod
    def tree_unflatten(cls, rest: Any, children: Any) -> Keyed:
        return cls(*children)


def test_paths() -> None:
    found = jtu.tree_leaves_with_path({"a": [1, {"c": 2}], "b": Keyed(3, [4])})
    assert repr([p for p, _ in found]) == (
        "[(DictKey(key='a'), SequenceKey(idx=0)), (DictKey(key='a'), SequenceKey(idx=1), DictKey(key='c')), "
        "(DictKey(key='b'), GetAttrKey(name='a')), (DictKey(key='b'), GetAttrKey(name='b'), SequenceKey(idx=0))]"
    )
    assert [jtu.keystr(p) for p, _ in found] == ["['a'][0]", "['a'][1]['c']", "['b'].a", "['b'].b[0]"]
    assert [jtu.keystr(p, simple=True, separator="/") for p, _ in found] == ["a/0", "a/1/c", "b/a", "b/b/0"]
    assert jax.tree.map(lambda v: v * 2, Keyed(1, 2)).b == 4
    assert jax.tree.broadcast((1, 2), ([0, 0], 0)) == ([1, 1], 2)


def test_static_fields_of_dataclasses() -> None:
    model = jax.jit(lambda m: jax.tree.map(lambda v: v + 1, m))(Model(jnp.ones(2), jnp.zeros(1), "n"))
    assert (model.name, model.w.tolist(), len(jax.tree.leaves(model))) == ("n", [2, 2], 2)
    assert jtu.keystr(jax.tree.leaves_with_path(model)[0][0]) == ".w"


@pytest.mark.parametrize("make", [
    lambda: optimizers.sgd(0.1), lambda: optimizers.momentum(0.02, 0.9), lambda: optimizers.nesterov(0.02, 0.9),
    lambda: optimizers.adagrad(1.0), lambda: optimizers.rmsprop(0.1), lambda: optimizers.rmsprop_momentum(0.02),
    lambda: optimizers.adam(0.3), lambda: optimizers.adamax(0.3),
    lambda: optimizers.sgd(optimizers.exponential_decay(0.2, 10, 0.9)),
    lambda: optimizers.sgd(optimizers.piecewise_constant([30], [0.2, 0.05])),
    lambda: optimizers.adam(optimizers.polynomial_decay(0.3, 50, 0.1)),
    lambda: optimizers.sgd(optimizers.inverse_time_decay(0.2, 20, 0.5, staircase=True)),
])
def test_optimizers_find_the_minimum(make: Any) -> None:
    init, update, params_of = make()
    state = init({"x": jnp.array([0.0, 1.0]), "y": (jnp.ones(()),)})

    @jax.jit
    def step(i: Any, state: Any) -> Any:
        gradients = jax.grad(lambda p: ((p["x"] - 3) ** 2).sum() + p["y"][0] ** 2)(params_of(state))
        return update(i, gradients, state)

    for i in range(80):
        state = step(i, state)
    np.testing.assert_allclose(params_of(state)["x"].numpy(), [3, 3], atol=0.15)
    assert abs(params_of(state)["y"][0].item()) < 0.15
    with pytest.raises(TypeError, match="structure"):
        update(0, {"x": 1.0}, state)


def test_first_step_of_adam() -> None:
    init, update, params_of = optimizers.adam(0.1)
    state = update(0, jnp.array([0.5, -2.0]), init(jnp.array([1.0, 1.0])))
    np.testing.assert_allclose(params_of(state).numpy(), [0.9, 1.1], rtol=1e-6)
    assert optimizers.clip_grads({"a": jnp.ones(4)}, 1.0)["a"].tolist() == [0.5] * 4


def test_stax_layers_have_the_shapes_they_say() -> None:
    init, net = stax.serial(
        stax.Conv(4, (3, 3), padding="SAME"), stax.BatchNorm(), stax.Relu, stax.MaxPool((2, 2), (2, 2)),
        stax.Conv(3, (2, 2), (2, 2)), stax.AvgPool((2, 2)), stax.Flatten, stax.Dense(5), stax.LogSoftmax)
    shape, params = init(jax.random.key(1), (-1, 12, 12, 2))
    assert shape == (0, 5)  # as JAX counts windows of a size that is not known
    out = net(params, jax.random.normal(jax.random.key(2), (3, 12, 12, 2)))
    assert out.shape == (3, 5)
    np.testing.assert_allclose(np.exp(out.numpy()).sum(1), 1, rtol=1e-5)
    init, net = stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(3), stax.Identity), stax.FanInConcat(),
                            stax.Dropout(0.5), stax.Tanh)
    shape, params = init(jax.random.key(1), (4, 2))
    assert shape == (4, 5) == net(params, jnp.ones((4, 2)), rng=jax.random.key(3)).shape
    with pytest.raises(ValueError, match="PRNG key"):
        net(params, jnp.ones((4, 2)))


def test_linear_transpose() -> None:
    f = jax.linear_transpose(lambda v: 3.0 * v @ jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.zeros(2))
    assert f(jnp.ones(2))[0].tolist() == [9, 21]
    g = jax.linear_transpose(lambda a, b: a + 2 * b, jax.ShapeDtypeStruct((2,), jnp.float32), jnp.zeros(2))
    assert [x.tolist() for x in g(jnp.ones(2))] == [[1, 1], [2, 2]]
    with pytest.raises(NotImplementedError, match="not linear"):
        jax.linear_transpose(jnp.sin, 1.0)


def test_custom_gradient() -> None:
    @jax.custom_gradient
    def f(v: Any) -> Any:
        return v**2, lambda ct: (ct * 10.0 * v,)

    assert (f(3.0).item(), jax.grad(f)(3.0).item(), jax.jit(jax.grad(f))(2.0).item()) == (9, 30, 20)


def test_pure_callback() -> None:
    def host(v: Any) -> Any:
        return np.sin(v)

    found = jax.pure_callback(host, jax.ShapeDtypeStruct((2,), jnp.float32), jnp.arange(2.0))
    np.testing.assert_allclose(found.numpy(), np.sin([0, 1]), rtol=1e-6)
    with pytest.raises(ValueError, match="Mismatched result shape"):
        jax.pure_callback(host, jax.ShapeDtypeStruct((3,), jnp.float32), jnp.arange(2.0))
    with pytest.raises(jax.errors.ConcretizationTypeError, match="cannot call Python"):
        jax.jit(jax.vmap(lambda v: jax.pure_callback(host, v, v)))(jnp.ones((2, 2)))


def test_names_that_change_nothing() -> None:
    with jax.named_scope("a"), jax.default_matmul_precision("float32"):
        assert str(jax.typeof(jnp.ones((2, 3)))) == "float32[2,3]"
    assert isinstance(1.0, jax.typing.ArrayLike)
    kinds: list[bool] = []
    jax.jit(lambda v: kinds.append(isinstance(v, jax.core.Tracer)) or v)(1.0)
    assert [*kinds, isinstance(jnp.ones(1), jax.core.Tracer)] == [True, False]


@pytest.mark.parametrize("call", [
    lambda: jax.ops.segment_sum([1.0], jnp.array([0])),
    lambda: optimizers.piecewise_constant([1, 2], [0.1]),
    lambda: optimizers.make_schedule(jnp.ones(3)),
    lambda: jax.named_scope(3),
    lambda: jax.custom_gradient(3),
    lambda: jax.typeof([1.0]),
])
def test_wrong_calls(call: Any) -> None:
    with pytest.raises(PullbackError):
        call()

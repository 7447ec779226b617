"""The JAX dialect: immutable arrays, transformations, keys in both layouts, pytrees, jaxprs, wrong calls."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import random

import pullback as pb
from pullback.util.errors import AttributeError_, DeviceError, PullbackError


@pytest.fixture(params=["2024", "today"])
def layout(request: Any) -> Iterator[str]:
    with jax.threefry_partitionable(request.param == "today"):
        yield request.param


# -- a network ---------------------------------------------------------------------------------------------------------

LOSSES = {
    "2024": "2.650 0.100 0.079 0.070 0.062 0.057 0.052 0.047 0.044 0.040",
    "today": "1.608 0.102 0.071 0.062 0.055 0.050 0.045 0.042 0.039 0.036",
}


def cubic(seed: int, count: int) -> tuple[Any, Any, Any]:
    """Noisy points of a cubic, standardised, and a key that is left."""
    key, noise = random.split(random.key(seed), 2)
    x = jnp.linspace(-10, 10, count)
    y = jnp.polyval(jnp.array([1, -2, 1, -2]), x) + random.normal(noise, shape=(count,))
    x, y = x.reshape(-1, 1), y.reshape(-1, 1)
    return (x - x.mean()) / x.std(), (y - y.mean()) / y.std(), key


def initial(key: Any, hidden: int) -> dict[str, Any]:
    first, second = random.split(key)
    return {
        "W1": random.normal(first, (1, hidden), dtype=jnp.float32) * (5 / 3) / jnp.sqrt(1.0),
        "b1": jnp.zeros(hidden),
        "W2": random.normal(second, (hidden, 1), dtype=jnp.float32) * (5 / 3) / jnp.sqrt(float(hidden)),
        "b2": jnp.zeros(1),
    }


def predict(params: dict[str, Any], x: Any) -> Any:
    hidden = jax.nn.tanh(jnp.dot(x, params["W1"]) + params["b1"])
    return jnp.dot(hidden, params["W2"]) + params["b2"]


def error(params: dict[str, Any], x: Any, y: Any) -> Any:
    return jnp.mean((y - predict(params, x)) ** 2)


def descend(params: dict[str, Any], x: Any, y: Any, lr: float = 0.01) -> tuple[dict[str, Any], Any]:
    loss, gradients = jax.value_and_grad(error, argnums=0)(params, x, y)
    return jax.tree.map(lambda p, g: p - lr * g, params, gradients), loss


@pytest.mark.parametrize("compiled", [False, True])
def test_published_losses(layout: str, compiled: bool) -> None:
    x, y, key = cubic(21, 1000)
    params = initial(key, 128)
    step = jax.jit(descend) if compiled else descend
    shown = []
    for k in range(1000):
        params, loss = step(params, x, y, 0.01)
        if k % 100 == 0:
            shown.append(f"{loss:.3f}")
    assert " ".join(shown) == LOSSES[layout]
    assert list(params) == ["W1", "W2", "b1", "b2"]


def test_another_rate_does_not_compile_again() -> None:
    x, y, key = cubic(0, 20)
    params = initial(key, 4)
    step = jax.jit(lambda *given: descend(*given))  # a function that no other test has compiled
    for rate in (0.01, 0.02, 0.5):
        params, _ = step(params, x, y, rate)
    assert step._cache_size() == 1


def test_jaxpr_to_the_letter() -> None:
    params, x = jax.tree.map(jnp.zeros_like, initial(random.key(0), 128)), jnp.zeros((1000, 1))
    assert (
        str(jax.make_jaxpr(predict)(params, x))
        == """\
{ lambda ; a:f32[1,128] b:f32[128,1] c:f32[128] d:f32[1] e:f32[1000,1]. let
    f:f32[1000,128] = dot_general[
      dimension_numbers=(([1], [0]), ([], []))
      preferred_element_type=float32
    ] e a
    g:f32[1,128] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(1, 128)] c
    h:f32[1000,128] = add f g
    i:f32[1000,128] = tanh h
    j:f32[1000,1] = dot_general[
      dimension_numbers=(([1], [0]), ([], []))
      preferred_element_type=float32
    ] i b
    k:f32[1,1] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(1, 1)] d
    l:f32[1000,1] = add j k
  in (l,) }"""
    )


#: (function, its arguments, what JAX prints)
JAXPRS: list[tuple[Callable[..., Any], str]] = [
    (lambda x: x, "{ lambda ; a:f32[3,4]. let  in (a,) }"),
    (lambda x: (x, 1.0, 2), "{ lambda ; a:f32[3,4]. let  in (a, 1.0:f32[], 2:i32[]) }"),
    (
        lambda x: jnp.concatenate([x, x]),
        "{ lambda ; a:f32[3,4]. let b:f32[6,4] = concatenate[dimension=0] a a in (b,) }",
    ),
    (lambda x: x == 0, "{ lambda ; a:f32[3,4]. let b:bool[3,4] = eq a 0.0:f32[] in (b,) }"),
    (lambda x: jax.nn.sigmoid(x), "{ lambda ; a:f32[3,4]. let b:f32[3,4] = logistic a in (b,) }"),
    (
        lambda x: x * 0.1,
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[3,4] = mul a 0.10000000149011612:f32[]
  in (b,) }""",
    ),
    (
        lambda x: x[0],
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[1,4] = slice[limit_indices=(1, 4) start_indices=(0, 0) strides=None] a
    c:f32[4] = squeeze[dimensions=(0,)] b
  in (c,) }""",
    ),
    (
        lambda x: x[1:, ::2],
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[2,2] = slice[limit_indices=(3, 4) start_indices=(1, 0) strides=(1, 2)] a
  in (b,) }""",
    ),
    (
        lambda x: x @ x.T,
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[4,3] = transpose[permutation=(1, 0)] a
    c:f32[3,3] = dot_general[
      dimension_numbers=(([1], [0]), ([], []))
      preferred_element_type=float32
    ] a b
  in (c,) }""",
    ),
    (
        lambda x: jnp.einsum("ij,kj->ik", x, x),
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[3,3] = dot_general[
      dimension_numbers=(([1], [1]), ([], []))
      preferred_element_type=float32
    ] a a
  in (b,) }""",
    ),
    (
        lambda x: jnp.exp(-x) / (1 + x) - x,
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[3,4] = neg a
    c:f32[3,4] = exp b
    d:f32[3,4] = add 1.0:f32[] a
    e:f32[3,4] = div c d
    f:f32[3,4] = sub e a
  in (f,) }""",
    ),
    (
        lambda x: x.astype(jnp.int32),
        """\
{ lambda ; a:f32[3,4]. let
    b:i32[3,4] = convert_element_type[new_dtype=int32 weak_type=False] a
  in (b,) }""",
    ),
    (
        lambda x: jnp.abs(x) + jnp.log1p(x) ** 3,
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[3,4] = abs a
    c:f32[3,4] = log1p a
    d:f32[3,4] = integer_pow[y=3] c
    e:f32[3,4] = add b d
  in (e,) }""",
    ),
    (
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda y: y + 1, lambda y: y - 1, x),
        """\
{ lambda ; a:f32[3,4]. let
    b:f32[1,1] = slice[limit_indices=(1, 1) start_indices=(0, 0) strides=None] a
    c:f32[] = squeeze[dimensions=(0, 1)] b
    d:bool[] = gt c 0.0:f32[]
    e:i32[] = convert_element_type[new_dtype=int32 weak_type=False] d
    f:f32[3,4] = cond[
      branches=(
        { lambda ; g:f32[3,4]. let h:f32[3,4] = sub g 1.0:f32[] in (h,) }
        { lambda ; i:f32[3,4]. let j:f32[3,4] = add i 1.0:f32[] in (j,) }
      )
    ] e a
  in (f,) }""",
    ),
    (
        lambda x: (jnp.sin(x), jnp.cos(x))[1],
        "{ lambda ; a:f32[3,4]. let _:f32[3,4] = sin a; b:f32[3,4] = cos a in (b,) }",
    ),
]


@pytest.mark.parametrize("number", range(len(JAXPRS)))
def test_jaxprs_recorded_from_jax(number: int) -> None:
    function, text = JAXPRS[number]
    assert str(jax.make_jaxpr(function)(jnp.ones((3, 4)))) == text


def test_jaxpr_of_loops_constants_and_many_names() -> None:
    constant = jnp.ones(4)
    closed = jax.make_jaxpr(lambda x: x + constant)(jnp.ones((3, 4)))
    assert str(closed).startswith("{ lambda a:f32[4]; b:f32[3,4]. let\n    c:f32[1,4] = broadcast_in_dim")
    assert closed.consts[0].tolist() == [1.0] * 4
    assert [e.primitive.name for e in closed.eqns] == ["broadcast_in_dim", "add"]
    assert closed.eqns[0].params["broadcast_dimensions"] == (1,)
    text = str(jax.make_jaxpr(lambda x: jax.lax.scan(lambda c, a: (c + a, c), x[0], x))(jnp.ones((3, 4))))
    assert "length=3" in text and "num_carry=1" in text and "reverse=False" in text

    def many(x: Any) -> Any:
        for _ in range(30):
            x = jnp.sin(x)
        return x

    assert " ba:f32[] = sin z" in str(jax.make_jaxpr(many)(1.0)).replace("\n   ", "")


# -- pytrees -----------------------------------------------------------------------------------------------------------


def test_pytree_prints() -> None:
    trees = [[1, 2, 3], [(1, -2), (3, 4), 5], {"w1": 1.0, "w2": jnp.ones((3, 3)), "inner": {"w3": jnp.zeros((3, 3))}}]
    assert [len(jax.tree.flatten(t)[0]) for t in trees] == [3, 5, 3]
    values, structure = jax.tree.flatten(trees[1])
    assert (
        f"{jax.tree.reduce(operator.mul, trees[1])} {jax.tree.map(operator.neg, trees[1])} {values}"
        == "-120 [(-1, 2), (-3, -4), -5] [1, -2, 3, 4, 5]"
    )
    assert str(structure) == "PyTreeDef([(*, *), (*, *), *])"
    assert jax.tree.unflatten(structure, values) == trees[1]
    assert str(jax.tree.structure({"b": 1, "a": (None, 2)})) == "PyTreeDef({'a': (None, *), 'b': *})"


def test_registered_classes() -> None:
    @jax.tree_util.register_pytree_node_class
    class Pair:
        def __init__(self, a: Any, b: Any) -> None:
            self.a, self.b = a, b

        def tree_flatten(self) -> Any:
            return (self.a, self.b), None

        @classmethod
        def tree_unflatten(cls, rest: Any, children: Any) -> Any:
            return cls(*children)

    class Plain:
        pass

    assert len(jax.tree.leaves([Pair(1, 2), Plain(), None])) == 3
    doubled = jax.jit(lambda p: jax.tree.map(lambda v: v * 2, p))(Pair(jnp.ones(2), 3.0))
    assert (doubled.a.tolist(), float(doubled.b)) == ([2.0, 2.0], 6.0)
    assert jax.tree_util.tree_map(lambda v: v + 1, {"a": 1}) == {"a": 2}
    assert jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path({"a": [1, 2]})[0][1][0]) == "['a'][1]"


# -- arrays ------------------------------------------------------------------------------------------------------------

#: made, and what JAX shows of it
SHOWN: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: jnp.arange(12.0).reshape(3, 4),
        "Array([[ 0.,  1.,  2.,  3.],\n       [ 4.,  5.,  6.,  7.],\n       [ 8.,  9., 10., 11.]], dtype=float32)",
    ),
    (lambda: jnp.array(2.0), "Array(2., dtype=float32, weak_type=True)"),
    (lambda: jnp.array(2.0) * 3, "Array(6., dtype=float32, weak_type=True)"),
    (lambda: jnp.asarray(1), "Array(1, dtype=int32, weak_type=True)"),
    (lambda: jnp.array(2.0) * jnp.ones(2), "Array([2., 2.], dtype=float32)"),
    (lambda: jnp.float32(3), "Array(3., dtype=float32)"),
    (lambda: jnp.zeros((0, 3)), "Array([], shape=(0, 3), dtype=float32)"),
    (lambda: jnp.array([1.0, jnp.nan, jnp.inf]), "Array([ 1., nan, inf], dtype=float32)"),
    (lambda: jnp.array([1, 2]).astype(jnp.bfloat16), "Array([1, 2], dtype=bfloat16)"),
    (
        lambda: jnp.array([0.05, 0.10499358, 0.19661194, 0.25, 0.33333334]),
        "Array([0.05      , 0.10499358, 0.19661194, 0.25      , 0.33333334],      dtype=float32)",
    ),
    (lambda: random.key(0), "Array((), dtype=key<fry>) overlaying:\n[0 0]"),
    (lambda: jax.grad(lambda x: (x * x).sum())(2.0), "Array(4., dtype=float32, weak_type=True)"),
]


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_repr(number: int) -> None:
    make, text = SHOWN[number]
    assert repr(make()) == text


def test_str_and_format() -> None:
    x = jnp.array([[1.0, 2.0]])
    assert f"{x} {x.shape} {x.dtype} {x[0, 1]:.2f}" == "[[1. 2.]] (1, 2) float32 2.00"


def test_dtypes_are_32_bits() -> None:
    wide = np.arange(3.0)
    assert [
        a.dtype
        for a in (
            jnp.array(wide),
            jnp.sin(wide),
            jnp.ones(3) + wide,
            wide + jnp.ones(3),
            jax.jit(jnp.exp)(wide),
            jnp.zeros(2),
            jnp.linspace(0, 1, 3),
        )
    ] == ["float32"] * 7
    assert [a.dtype for a in (jnp.arange(3), jnp.array([1, 2]), jnp.array(np.arange(3)), jnp.argmax(wide))] == [
        "int32"
    ] * 4
    with pytest.warns(UserWarning, match="truncated to dtype float32"):
        assert jnp.zeros(2, dtype=jnp.float64).dtype == jnp.float32
    with jax.enable_x64():
        assert jnp.zeros(2).dtype == jnp.array([1.0]).dtype == jnp.array(wide).dtype == "float64"
        assert jnp.arange(3).dtype == "int64"


def test_immutable_and_at() -> None:
    x = jnp.zeros((3, 3))
    with pytest.raises(TypeError, match="JAX arrays are immutable"):
        x[0, 0] = 1
    with pytest.raises(TypeError, match=r"x\.at\[idx\]\.set"):
        x.add_(1)
    y = x
    y += 1
    assert float(x.sum()) == 0 and float(y.sum()) == 9
    assert x.at[0, 0].set(1).tolist()[0] == [1.0, 0.0, 0.0]
    v = jnp.array([1.0, 2.0, 3.0])
    assert v.at[1].add(5).tolist() == [1.0, 7.0, 3.0]
    assert v.at[jnp.array([0, 0])].add(1).tolist() == [3.0, 2.0, 3.0]
    assert v.at[1:].multiply(2).tolist() == [1.0, 4.0, 6.0]
    assert v.at[0].divide(2).tolist() == [0.5, 2.0, 3.0]
    assert v.at[1].power(3).tolist() == [1.0, 8.0, 3.0]
    assert v.at[:2].min(1.5).tolist() == [1.0, 1.5, 3.0] and v.at[0].max(9).tolist() == [9.0, 2.0, 3.0]
    assert v.at[0].apply(jnp.negative).tolist() == [-1.0, 2.0, 3.0]
    assert v.at[7].set(1.0, mode="drop").tolist() == v.tolist()
    assert v.at[7].set(1.0, mode="clip").tolist() == [1.0, 2.0, 1.0]
    assert v.at[jnp.array([0, 7])].get(mode="fill", fill_value=-1.0).tolist() == [1.0, -1.0]
    assert float(v.at[1].get()) == 2.0
    assert jax.jit(lambda a: a.at[0].set(9.0))(v).tolist() == [9.0, 2.0, 3.0]


def test_copies_and_loops_over_rows() -> None:
    params = {"a": jnp.arange(4.0), "b": jnp.ones((2, 2))}
    other = copy.deepcopy(params)
    assert other["a"].tolist() == params["a"].tolist() and other["a"] is not params["a"]
    assert [float(v) for v in params["a"]] == [0.0, 1.0, 2.0, 3.0]
    np.testing.assert_array_equal(np.asarray(params["a"]), [0, 1, 2, 3])


def test_many_places_are_read_without_compiling() -> None:
    from pullback.engine.trace import State

    x = jnp.arange(200.0).reshape(-1, 1)
    assert float(x[0, 0]) == 0  # x itself is computed now
    before = State.total
    assert [float(x[k, 0]) for k in range(200)] == list(range(200))
    assert State.total == before


#: the array functions under JAX's names, against NumPy
NUMPY: dict[str, Callable[[Any, Any], Any]] = {
    "std": lambda np, x: np.std(x, axis=0, ddof=1),
    "sum": lambda np, x: np.sum(x, 0, keepdims=True),
    "clip": lambda np, x: np.clip(x, -0.5, 0.5),
    "where": lambda np, x: np.where(x > 0, x, -1.0),
    "tile": lambda np, x: np.tile(x, (2, 1)),
    "repeat": lambda np, x: np.repeat(x, 3, axis=1),
    "split": lambda np, x: np.concatenate(np.split(x, 2, axis=1)[::-1], axis=0),
    "stack": lambda np, x: np.stack([x, x], 1),
    "roll": lambda np, x: np.roll(x, 1, axis=0),
    "cumsum": lambda np, x: np.cumsum(x, axis=1),
    "sort": lambda np, x: np.sort(x, axis=0),
    "argsort": lambda np, x: np.argsort(x, axis=-1),
    "outer": lambda np, x: np.outer(x[0], x[1]),
    "einsum": lambda np, x: np.einsum("ij,kj->ik", x, x),
    "linspace": lambda np, x: np.linspace(0.0, 1.0, 7),
    "eye": lambda np, x: np.eye(3, 4, 1),
    "nonzero": lambda np, x: np.nonzero(x > 0)[0],
    "meshgrid": lambda np, x: np.meshgrid(x[0], x[1])[1],
    "median": lambda np, x: np.median(x),
    "percentile": lambda np, x: np.percentile(x, 30),
    "average": lambda np, x: np.average(x, 0),
    "append": lambda np, x: np.append(x, np.array([[1.0]])),
    "pad": lambda np, x: np.pad(x, ((1, 0), (0, 2))),
    "tri": lambda np, x: np.tri(3),
    "norm": lambda np, x: np.linalg.norm(x, axis=1),
    "full": lambda np, x: np.full((2, 2), 3.5),
    "take": lambda np, x: np.take(x, np.array([2, 0]), axis=1),
    "polyval": lambda np, x: np.polyval(np.array([1.0, -2.0, 3.0]), x),
    "expand": lambda np, x: np.expand_dims(x, 1),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_names(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    found, want = NUMPY[name](jnp, jnp.array(x)), NUMPY[name](np, x)
    assert type(found).__name__ == "Array"
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-5, atol=1e-6)


# -- random numbers ----------------------------------------------------------------------------------------------------


def test_keys() -> None:
    key = random.key(21)
    assert key.shape == () and str(key.dtype) == "key<fry>"
    first, second = random.split(key)
    assert random.key_data(first).tolist() == [2350560007, 1024160832]
    assert random.split(key, 3).shape == (3,) and random.split(key, 3)[1].shape == ()
    assert random.PRNGKey(7).tolist() == [0, 7]
    assert (
        random.normal(random.PRNGKey(42)).item() == random.normal(random.key(42)).item() == pytest.approx(-0.02830462)
    )
    assert random.key_data(random.wrap_key_data(random.key_data(second))).tolist() == random.key_data(second).tolist()
    rows = jax.vmap(lambda k: random.uniform(k, (2,)))(random.split(key, 3))
    np.testing.assert_array_equal(rows[2], random.uniform(random.split(key, 3)[2], (2,)))
    carried, drawn = jax.lax.scan(lambda k, _: (random.split(k)[0], random.normal(k)), key, None, length=2)
    assert drawn[0].item() == pytest.approx(random.normal(key).item()) and carried.shape == ()


def test_2024_layout() -> None:
    with jax.threefry_partitionable(False):
        np.testing.assert_allclose(random.normal(random.key(0), (3,)), [1.8160863, -0.48262316, 0.33988908], rtol=1e-6)
    np.testing.assert_allclose(random.normal(random.key(0), (3,)), [1.62264216, 2.02526474, -0.43359447], rtol=1e-6)


def test_using_a_key_twice() -> None:
    key = random.key(0)
    assert random.normal(key).item() == random.normal(key).item()
    with jax.debug_key_reuse(True):
        key = random.key(0)
        random.normal(key)
        with pytest.raises(jax.errors.KeyReuseError, match="split it"):
            random.uniform(key)
        with pytest.raises(jax.errors.KeyReuseError):
            random.split(key)
        random.normal(random.clone(key))


# -- transformations ---------------------------------------------------------------------------------------------------


def test_first_page_of_the_tutorial() -> None:
    def selu(x: Any, alpha: float = 1.67, scale: float = 1.05) -> Any:
        return scale * jnp.where(x > 0, x, alpha * jnp.exp(x) - alpha)

    x = jnp.arange(5.0)
    np.testing.assert_allclose(jax.jit(selu)(x), [0, 1.05, 2.1, 3.15, 4.2], rtol=1e-6)
    logistic = jax.grad(lambda x: jnp.sum(1.0 / (1.0 + jnp.exp(-x))))
    np.testing.assert_allclose(logistic(jnp.arange(3.0)), [0.25, 0.19661197, 0.10499357], rtol=1e-5)
    assert float(jax.grad(jax.jit(jax.grad(jax.jit(jax.grad(jnp.tanh)))))(1.0)) == pytest.approx(0.62162673, rel=1e-4)
    np.testing.assert_allclose(jax.hessian(lambda x: (x**3).sum())(jnp.arange(3.0)), np.diag([0.0, 6.0, 12.0]))
    matrix, batch = random.normal(random.key(1), (5, 3)), random.normal(random.key(2), (4, 3))
    by_row = jax.jit(jax.vmap(lambda v: jnp.dot(matrix, v)))(batch)
    np.testing.assert_allclose(by_row, np.asarray(batch) @ np.asarray(matrix).T, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(jnp.dot, in_axes=(None, 0))(matrix, batch), by_row, rtol=1e-5)


def test_vmap_with_names_and_axes() -> None:
    x, y = jnp.ones((2, 3)), jnp.arange(2.0)
    assert jax.vmap(lambda a, b: (a * b).sum(), in_axes=(0, 0))(x, y).tolist() == [0.0, 3.0]
    assert jax.vmap(lambda a, scale: a.sum() * scale, in_axes=(0,))(x, scale=y).tolist() == [0.0, 3.0]
    assert jax.vmap(lambda a: a * 2, in_axes=1, out_axes=1)(x).shape == (2, 3)


def test_jacobians_and_products() -> None:
    f = lambda x: jnp.stack([x[0] * x[1], jnp.sin(x[0])])  # noqa: E731
    x = jnp.array([1.0, 2.0])
    want = [[2.0, 1.0], [np.cos(1.0), 0.0]]
    for jacobian in (jax.jacfwd, jax.jacrev, jax.jacobian):
        np.testing.assert_allclose(jacobian(f)(x), want, rtol=1e-5)
    np.testing.assert_allclose(jax.jvp(f, (x,), (jnp.array([1.0, 0.0]),))[1], [2.0, np.cos(1.0)], rtol=1e-5)
    np.testing.assert_allclose(jax.vjp(f, x)[1](jnp.array([1.0, 0.0]))[0], [2.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(jax.linearize(f, x)[1](jnp.array([0.0, 1.0])), [1.0, 0.0], rtol=1e-5)


def test_aux_static_and_custom_rules() -> None:
    (value, aux), gradient = jax.value_and_grad(lambda x: (x * x, {"double": 2 * x}), has_aux=True)(3.0)
    assert (float(value), float(aux["double"]), float(gradient)) == (9.0, 6.0, 6.0)
    assert float(jax.jit(lambda x, n: x**n, static_argnums=1)(2.0, 3)) == 8.0
    assert float(jax.jit(lambda x, *, power: x**power, static_argnames="power")(2.0, power=2)) == 4.0

    @jax.custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, ()), lambda _, g: (jnp.clip(g, -1, 1),))
    assert float(jax.grad(lambda x: clipped(x) * 10)(2.0)) == 1.0

    @jax.custom_jvp
    def log1pexp(x: Any) -> Any:
        return jnp.log(1.0 + jnp.exp(x))

    log1pexp.defjvps(lambda t, answer, x: t * jax.nn.sigmoid(x))
    assert float(jax.grad(log1pexp)(100.0)) == 1.0
    assert float(jax.grad(jax.checkpoint(jnp.sin))(0.0)) == 1.0


def test_control_flow() -> None:
    carry, rows = jax.lax.scan(lambda c, x: (c + x, c * x), 0.0, jnp.arange(4.0))
    assert (float(carry), rows.tolist()) == (6.0, [0.0, 0.0, 2.0, 9.0])
    assert int(jax.lax.fori_loop(0, 5, lambda i, c: c + i, 0)) == 10
    assert int(jax.lax.while_loop(lambda c: c < 100, lambda c: c * 2, 3)) == 192
    assert jax.jit(lambda p: jax.lax.cond(p, lambda v: v + 1, lambda v: v - 1, jnp.ones(2)))(False).tolist() == [
        0.0,
        0.0,
    ]
    assert jax.lax.map(lambda v: v * v, jnp.arange(3)).tolist() == [0, 1, 4]
    assert jax.jit(lambda x, i: jax.lax.dynamic_slice(x, (i,), (2,)))(jnp.arange(5), 3).tolist() == [3, 4]
    np.testing.assert_allclose(
        jax.lax.dot_general(jnp.ones((2, 3)), jnp.ones((4, 3)), (((1,), (1,)), ((), ()))), np.full((2, 4), 3)
    )


def test_eval_shape_and_devices() -> None:
    found = jax.eval_shape(lambda x: x @ x.T, jax.ShapeDtypeStruct((2, 3), jnp.float32))
    assert (found.shape, found.dtype) == ((2, 2), jnp.float32)
    assert repr(jax.devices()) == "[CpuDevice(id=0)]" and jax.default_backend() == "cpu" and jax.device_count() == 1
    x = jax.device_put(np.arange(3.0))
    assert (
        jax.block_until_ready(x) is x
        and x.devices() == set(jax.devices())
        and isinstance(jax.device_get(x), np.ndarray)
    )


def test_native_module_trained_by_value_and_grad() -> None:
    pb.manual_seed(0)
    model: Any = pb.nn.Sequential(pb.nn.Linear(3, 8), pb.nn.Tanh(), pb.nn.Linear(8, 1))
    x = random.normal(random.key(0), (20, 3))
    y = x.sum(1, keepdims=True)

    @jax.jit
    def step(model: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        return loss, jax.tree.map(lambda p, g: p - 0.1 * g, model, gradient)

    first, model = step(model, x, y)
    for _ in range(60):
        loss, model = step(model, x, y)
    assert type(model) is pb.nn.Sequential and float(loss) < 0.1 * float(first)


def test_arrays_of_other_dialects() -> None:
    native = pb.tensor([1.0, 2.0], requires_grad=True)
    y = jnp.sum(native * jnp.array([3.0, 4.0]))
    assert isinstance(jnp.asarray(native), jax.Array)
    y.backward()
    assert native.grad.tolist() == [3.0, 4.0]


# -- wrong calls -------------------------------------------------------------------------------------------------------


def traced(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: jax.jit(function)(*args)


WRONG: list[tuple[Callable[[], Any], Any, str]] = [
    (traced(lambda x: x if x > 0 else -x, 1.0), jax.errors.TracerBoolConversionError, "boolean conversion"),
    (traced(lambda x: float(x), 1.0), jax.errors.ConcretizationTypeError, "float"),
    (traced(lambda i: [1, 2][i], 1), jax.errors.TracerIntegerConversionError, "__index__"),
    (traced(lambda x: np.asarray(x), jnp.ones(2)), jax.errors.TracerArrayConversionError, "__array__"),
    (traced(lambda x: x[x > 0], jnp.ones(2)), jax.errors.NonConcreteBooleanIndexError, "not known"),
    (lambda: jnp.ones(3) + jnp.ones(4), TypeError, "cannot be broadcast"),
    (lambda: jnp.ones((2, 3)) @ jnp.ones((2, 3)), TypeError, "contracted dimensions"),
    (lambda: jnp.ones((2, 3)).reshape(4), TypeError, "reshape"),
    (lambda: jax.grad(lambda x: x * 2)(jnp.ones(3)), TypeError, "one number"),
    (lambda: jax.grad(lambda x: x * 2)(3), TypeError, "real- or complex-valued"),
    (lambda: jax.jit(3), TypeError, "expected a function"),
    (lambda: jax.tree.map(lambda a, b: a, [1], (1,)), ValueError, "different structures"),
    (lambda: jnp.arange(10)[11], IndexError, "out of range"),
    (lambda: jnp.ones(3)[[0, 1]], TypeError, "non-tuple sequence"),
    (lambda: jnp.ones(3) + [1, 2, 3], TypeError, "jnp.array"),
    (lambda: jnp.array("text"), TypeError, "not a valid JAX array type"),
    (lambda: random.normal(0), TypeError, "accepts a key"),
    (lambda: random.key(0) + 1, TypeError, "arithmetic"),
    (lambda: random.normal(random.split(random.key(0))), TypeError, "single key"),
    (lambda: random.key(1.5), TypeError, "integer"),
    (lambda: jax.devices("gpu"), RuntimeError, "Unknown backend"),
    (lambda: jax.device_put(jnp.ones(2), "tpu"), DeviceError, "no such device"),
    (lambda: jnp.sinn, AttributeError_, "sin"),
    (lambda: jax.gradd, AttributeError_, "grad"),
    (lambda: jax.config.update("jax_enable_x46", True), AttributeError_, "jax_enable_x64"),
    (lambda: jax.vmap(lambda x: x)(jnp.ones(())), ValueError, "out of range"),
    (lambda: jnp.zeros(3).at[0].set(1, mode="bounce"), ValueError, "no such mode"),
    (lambda: hash(len(jnp.array(1.0))), TypeError, "0-dimensional"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_calls(number: int) -> None:
    call, kind, text = WRONG[number]
    with pytest.raises(kind, match=text) as caught:
        call()
    assert isinstance(caught.value, PullbackError)


def test_leaked_tracer() -> None:
    kept: list[Any] = []

    def leak(x: Any) -> Any:
        kept.append(x * 2)
        return x

    jax.jit(leak)(1.0)
    with pytest.raises(jax.errors.UnexpectedTracerError):
        kept[0] + 1


def test_arguments_of_64_bits_beside_others_do_not_confuse_signatures():
    f = jax.jit(lambda a, b: a.sum() + b.sum())
    for n, m in ((2, 3), (5, 3), (5, 4), (2, 4)):
        assert float(f(jnp.ones(n), np.ones(m))) == float(f(np.ones(n), jnp.ones(m))) == n + m


def test_a_function_jitted_again_is_not_traced_again():
    traced = []

    def f(x, n):
        traced.append(n)
        return x * n

    for _ in range(3):
        assert float(jax.jit(f, static_argnums=1)(2.0, 3)) == 6.0
        assert float(jax.jit(f)(2.0, 4)) == 8.0
    assert len(traced) == 2 and traced[0] == 3

"""What the first pages about JAX do, written anew: they run here as they run there."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import grad, hessian, jacfwd, jacrev, jit, jvp, lax, random, value_and_grad, vjp, vmap
from pullback.jax.scipy.special import logsumexp


def close(x: Any, y: Any, tolerance: float = 1e-5) -> bool:
    return np.allclose(np.asarray(x), np.asarray(y), rtol=tolerance, atol=tolerance)


# -- a first look ------------------------------------------------------------------------------------------------------


def test_arrays_behave_as_numpys() -> None:
    def selu(x: Any, alpha: float = 1.67, scale: float = 1.05) -> Any:
        return scale * jnp.where(x > 0, x, alpha * jnp.exp(x) - alpha)

    x = jnp.arange(5.0)
    assert close(selu(x), [0.0, 1.05, 2.1, 3.15, 4.2]) and close(jit(selu)(x), selu(x))
    x_np = np.linspace(0, 10, 1000)
    assert close(2 * np.sin(x_np) * np.cos(x_np), 2 * jnp.sin(x_np) * jnp.cos(x_np))
    assert isinstance(jnp.linspace(0, 10, 5), jax.Array) and type(np.sin(jnp.ones(3))) is np.ndarray
    big = random.normal(random.key(1701), (1_000,))
    assert selu(big).block_until_ready().shape == (1_000,)


def test_derivatives_compose() -> None:
    def sum_logistic(x: Any) -> Any:
        return jnp.sum(1.0 / (1.0 + jnp.exp(-x)))

    small = jnp.arange(3.0)
    derivative = grad(sum_logistic)
    assert close(derivative(small), [0.25, 0.19661197, 0.10499357])
    eps = 1e-3
    numeric = [(sum_logistic(small + eps * v) - sum_logistic(small - eps * v)) / (2 * eps) for v in jnp.eye(3)]
    assert close(jnp.array(numeric), derivative(small), 1e-3)
    assert close(grad(jit(grad(jit(grad(sum_logistic)))))(1.0), -0.0353256)
    assert close(jacfwd(jnp.exp)(small), np.diag(np.exp([0, 1, 2])))

    def second(f: Any) -> Any:
        return jit(jacfwd(jacrev(f)))

    assert close(second(sum_logistic)(small), np.diag([-0.0, -0.09085776, -0.07996249]))


def test_batching_by_vmap() -> None:
    mat = random.normal(random.key(0), (150, 100))
    batched = random.normal(random.key(1), (10, 100))

    def apply_matrix(x: Any) -> Any:
        return jnp.dot(mat, x)

    naive = jnp.stack([apply_matrix(v) for v in batched])
    by_hand = jit(lambda b: jnp.dot(b, mat.T))(batched)
    mapped = jit(lambda b: vmap(apply_matrix)(b))(batched)
    assert close(naive, by_hand, 1e-4) and close(naive, mapped, 1e-4)


# -- thinking ----------------------------------------------------------------------------------------------------------


def test_strictness_and_convolution() -> None:
    assert jnp.add(1, 1.0) == 2.0
    with pytest.raises(TypeError, match="same dtypes"):
        lax.add(1, 1.0)
    x, y = jnp.array([1, 2, 1]), jnp.ones(10)
    result = lax.conv_general_dilated(
        x.reshape(1, 1, 3).astype(float), y.reshape(1, 1, 10), window_strides=(1,), padding=[(len(y) - 1, len(y) - 1)]
    )
    assert close(result[0, 0], jnp.convolve(x, y)) and close(jnp.convolve(x, y)[:4], [1, 3, 4, 4])


def test_tracing_sees_shapes_and_not_values(capsys: pytest.CaptureFixture[str]) -> None:
    @jit
    def f(x: Any, y: Any) -> Any:
        print("Running f():")
        print(f"  x = {x}")
        return jnp.dot(x + 1, y + 1)

    x, y = random.normal(random.key(0), (3, 4)), random.normal(random.key(1), (4,))
    first = f(x, y)
    printed = capsys.readouterr().out
    assert printed.startswith("Running f():") and "float32[3,4]" in printed
    assert close(f(x * 1, y), first) and not capsys.readouterr().out

    @jit
    def get_negatives(x: Any) -> Any:
        return x[x < 0]

    with pytest.raises(jax.errors.NonConcreteBooleanIndexError):
        get_negatives(x)

    @partial(jit, static_argnums=(1,))
    def branch(x: Any, neg: bool) -> Any:
        return -x if neg else x

    assert branch(1, True) == -1 and branch(1, False) == 1

    @jit
    def flat(x: Any) -> Any:
        return x.reshape((np.prod(x.shape),))

    assert flat(jnp.ones((2, 3))).shape == (6,)


# -- jit ---------------------------------------------------------------------------------------------------------------


def test_side_effects_and_conditions() -> None:
    kept: list[Any] = []

    def log2(x: Any) -> Any:
        kept.append(x)
        return jnp.log(x) / jnp.log(2.0)

    text = str(jax.make_jaxpr(log2)(3.0))
    assert "log" in text and "div" in text and len(kept) == 1

    def f(x: Any) -> Any:
        return x if x > 0 else 2 * x

    with pytest.raises(jax.errors.TracerBoolConversionError):
        jit(f)(10)

    def g(x: Any, n: Any) -> Any:
        i = 0
        while i < n:
            i += 1
        return x + i

    with pytest.raises(jax.errors.ConcretizationTypeError):
        jit(g)(10, 20)
    assert jit(g, static_argnums=1)(10, 20) == 30 and jit(g, static_argnames=["n"])(10, n=20) == 30

    @jit
    def loop_body(prev_i: Any) -> Any:
        return prev_i + 1

    def g_inner_jitted(x: Any, n: int) -> Any:
        i: Any = 0
        while i < n:
            i = loop_body(i)
        return x + i

    assert g_inner_jitted(10, 20) == 30
    assert lax.cond(jnp.array(True), lambda v: v + 1, lambda v: v - 1, 1.0) == 2.0


# -- randomness --------------------------------------------------------------------------------------------------------


def test_keys() -> None:
    key = random.key(42)
    assert random.normal(key) == random.normal(key)
    new_key, subkey = random.split(key)
    del key
    assert random.normal(subkey) != random.normal(new_key)
    _, *three = random.split(new_key, num=4)
    assert len({float(random.normal(k)) for k in three}) == 3
    individually = np.stack([random.normal(k) for k in three])
    assert individually.shape == (3,) and random.normal(three[0], shape=(3,)).shape == (3,)
    old = random.PRNGKey(42)
    assert old.dtype == jnp.uint32 and close(random.normal(old), random.normal(random.key(42)))
    rows = vmap(lambda k: random.uniform(k, (2,)))(random.split(random.key(3), 4))
    assert rows.shape == (4, 2)


# -- pytrees -----------------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    name: str
    x: Any


@jax.tree_util.register_pytree_node_class
class Special:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def tree_flatten(self) -> Any:
        return (self.x, self.y), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Special:
        return cls(*children)


def test_trees() -> None:
    mixed = [1, {"k1": 2, "k2": (3, 4)}, 5]
    examples = [[1, "a", object()], (1, (2, 3), ()), mixed, {"a": 2, "b": (2, 3)}, jnp.ones(3)]
    assert [len(jax.tree.leaves(t)) for t in examples] == [3, 3, 5, 3, 1]
    assert jax.tree.map(lambda x, y: x + y, [[1], [1, 2]], [[3], [1, 2]]) == [[4], [2, 4]]
    doubled = jax.tree.map(lambda v: v * 2, Special(1, (2, 3)))
    assert (doubled.x, doubled.y) == (2, (4, 6))
    assert jax.tree.leaves([Point("a", 1), Point("b", 2)]) == ["a", 1, "b", 2]
    paths, _ = jax.tree_util.tree_flatten_with_path([1, {"k1": 2, "k2": (3, 4)}, Point("p", 5)])
    shown = [jax.tree_util.keystr(p) for p, _ in paths]
    assert shown == ["[0]", "[1]['k1']", "[1]['k2'][0]", "[1]['k2'][1]", "[2].name", "[2].x"]
    per_episode = [{"t": 1, "obs": 3}, {"t": 2, "obs": 4}]
    assert jax.tree.map(lambda *xs: list(xs), *per_episode) == {"obs": [3, 4], "t": [1, 2]}
    outer, inner = jax.tree.structure([0 for _ in per_episode]), jax.tree.structure(per_episode[0])
    assert jax.tree.transpose(outer, inner, per_episode) == {"obs": [3, 4], "t": [1, 2]}
    assert jax.tree.leaves([None, None]) == [] and jax.tree.leaves([None], is_leaf=lambda x: x is None) == [None]


def test_training_a_network_in_a_tree() -> None:
    def init(widths: list[int]) -> list[dict[str, Any]]:
        keys = random.split(random.key(0), len(widths) - 1)
        return [
            {"weights": random.normal(k, (n, m)) * np.sqrt(2 / n), "biases": jnp.ones(m)}
            for k, n, m in zip(keys, widths[:-1], widths[1:], strict=True)
        ]

    def forward(params: Any, x: Any) -> Any:
        *hidden, last = params
        for layer in hidden:
            x = jax.nn.relu(x @ layer["weights"] + layer["biases"])
        return x @ last["weights"] + last["biases"]

    def loss(params: Any, x: Any, y: Any) -> Any:
        return jnp.mean((forward(params, x) - y) ** 2)

    @jit
    def update(params: Any, x: Any, y: Any) -> Any:
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, grad(loss)(params, x, y))

    params = init([1, 64, 64, 1])
    assert jax.tree.map(lambda v: v.shape, params)[0] == {"biases": (64,), "weights": (1, 64)}
    xs = np.random.RandomState(0).normal(size=(128, 1))
    first = loss(params, xs, xs**2)
    for _ in range(300):
        params = update(params, xs, xs**2)
    assert loss(params, xs, xs**2) < 0.05 * first


def test_classifying_with_batched_prediction() -> None:
    sizes = [16, 32, 10]
    keys = random.split(random.key(0), len(sizes))
    params = [
        (0.1 * random.normal(random.split(k)[0], (n, m)), 0.1 * random.normal(random.split(k)[1], (n,)))
        for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=False)
    ]

    def predict(params: Any, image: Any) -> Any:
        activations = image
        for w, b in params[:-1]:
            activations = jax.nn.relu(jnp.dot(w, activations) + b)
        w, b = params[-1]
        logits = jnp.dot(w, activations) + b
        return logits - logsumexp(logits)

    batched_predict = vmap(predict, in_axes=(None, 0))
    images = random.normal(random.key(1), (100, 16))
    with pytest.raises(TypeError):
        predict(params, images)
    labels = jnp.argmax(images[:, :10], axis=1)
    targets = jnp.array(labels[:, None] == jnp.arange(10), jnp.float32)

    def loss(params: Any) -> Any:
        return -jnp.mean(batched_predict(params, images) * targets)

    @jit
    def update(params: Any) -> Any:
        grads = grad(loss)(params)
        return [(w - 1.0 * dw, b - 1.0 * db) for (w, b), (dw, db) in zip(params, grads, strict=True)]

    for _ in range(200):
        params = update(params)
    assert jnp.mean(jnp.argmax(batched_predict(params, images), axis=1) == labels) > 0.9


# -- derivatives -------------------------------------------------------------------------------------------------------


def test_the_autodiff_page() -> None:
    def predict(W: Any, b: Any, inputs: Any) -> Any:
        return 0.5 * (jnp.tanh((jnp.dot(inputs, W) + b) / 2) + 1)

    inputs = jnp.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
    targets = jnp.array([True, True, False, True])

    def loss(W: Any, b: Any) -> Any:
        preds = predict(W, b, inputs)
        return -jnp.sum(jnp.log(preds * targets + (1 - preds) * (1 - targets)))

    W_key, b_key = random.split(random.key(0))
    W, b = random.normal(W_key, (3,)), random.normal(b_key, ())
    W_grad, b_grad = grad(loss, (0, 1))(W, b)
    value, (again, _) = value_and_grad(loss, (0, 1))(W, b)
    assert close(again, W_grad) and close(value, loss(W, b))
    of_dict = grad(lambda p: loss(p["W"], p["b"]))({"W": W, "b": b})
    assert close(of_dict["W"], W_grad) and close(of_dict["b"], b_grad)
    eps = 1e-2
    numeric = (loss(W, b + eps / 2.0) - loss(W, b - eps / 2.0)) / eps
    assert close(numeric, b_grad, 1e-2)
    unit = random.normal(random.key(1), W.shape)
    unit = unit / jnp.sqrt(jnp.vdot(unit, unit))
    assert close((loss(W + eps / 2.0 * unit, b) - loss(W - eps / 2.0 * unit, b)) / eps, jnp.vdot(W_grad, unit), 1e-2)

    def f(W: Any) -> Any:
        return predict(W, b, inputs)

    assert close(jacfwd(f)(W), jacrev(f)(W)) and jacfwd(f)(W).shape == (4, 3)
    H = hessian(f)(W)
    assert H.shape == (4, 3, 3)
    y, u = jvp(f, (W,), (unit,))
    assert close(y, f(W)) and close(u, jacfwd(f)(W) @ unit)
    y, pull = vjp(f, W)
    cotangent = random.normal(random.key(2), y.shape)
    assert close(pull(cotangent)[0], cotangent @ jacrev(f)(W))

    def hvp(f: Any, primals: Any, tangents: Any) -> Any:
        return jvp(grad(f), primals, tangents)[1]

    def g(X: Any) -> Any:
        return jnp.sum(jnp.tanh(X) ** 2)

    X, V = random.normal(random.key(3), (30, 40)), random.normal(random.key(4), (30, 40))
    product = hvp(g, (X,), (V,))
    assert close(product, jnp.tensordot(hessian(g)(X), V, 2), 1e-4)

    def vmap_mjp(f: Any, x: Any, M: Any) -> Any:
        _, vjp_fun = vjp(f, x)
        (outs,) = vmap(vjp_fun)(M)
        return outs

    M = random.normal(random.key(5), (8, 4))
    assert close(vmap_mjp(f, W, M), M @ jacrev(f)(W), 1e-4)
    x, y, u = 2.0, jnp.array([1.0, 2.0]), 3.0
    assert close(vmap(partial(jvp, jnp.sin, (x,)), in_axes=0)((y,))[1], np.cos(2.0) * np.array([1.0, 2.0]))
    per_example = jit(vmap(grad(lambda w, x: (w * x).sum() ** 2), in_axes=(None, 0)))(W, inputs)
    assert per_example.shape == (4, 3)

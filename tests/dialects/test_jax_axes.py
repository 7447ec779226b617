"""Named axes of `vmap`: what `lax` computes over them is what NumPy computes over the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest
from pullback.jax import grad, jit, lax, vmap

from pullback.util.errors import AxisNameError, ShapeError, UnsupportedError, ValueError_

X = np.arange(6.0, dtype=np.float32).reshape(3, 2) + 1
Y = np.arange(27.0, dtype=np.float32).reshape(3, 3, 3)


def over(f: Any, *args: Any, **options: Any) -> Any:
    return np.asarray(vmap(f, axis_name="i", **options)(*args))


def test_sums_and_extremes() -> None:
    total = np.broadcast_to(X.sum(0), X.shape)
    assert np.allclose(over(lambda v: lax.psum(v, "i"), X), total)
    assert np.allclose(over(lambda v: v - lax.pmean(v, "i"), X), X - X.mean(0))
    assert np.allclose(over(lambda v: lax.pmax(v, "i"), X), np.broadcast_to(X.max(0), X.shape))
    assert np.allclose(over(lambda v: lax.pmin({"a": v}, "i")["a"], X), np.broadcast_to(X.min(0), X.shape))
    assert np.allclose(over(lambda v, w: v + lax.psum(w, "i"), X, jnp.float32(2), in_axes=(0, None)), X + 6)
    assert over(lambda v: lax.psum(v > 2, "i"), X).tolist() == [[2, 2]] * 3


def test_places_and_sizes() -> None:
    assert over(lambda v: lax.axis_index("i"), X).tolist() == [0, 1, 2]
    assert np.allclose(over(lambda v: v * lax.psum(1, "i") + lax.axis_size("i"), X), X * 3 + 3)
    assert over(lambda: lax.axis_index("i"), axis_size=4).tolist() == [0, 1, 2, 3]
    both = vmap(vmap(lambda v: lax.axis_index(("i", "j")), axis_name="j"), axis_name="i")
    assert np.asarray(both(X)).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_exchanges() -> None:
    assert np.allclose(over(lambda v: lax.all_gather(v, "i"), X), np.broadcast_to(X, (3, 3, 2)))
    assert np.allclose(over(lambda v: lax.all_gather(v, "i", axis=1), X), np.broadcast_to(X.T, (3, 2, 3)))
    assert np.allclose(over(lambda v: lax.all_gather(v, "i", tiled=True), X), np.broadcast_to(X.ravel(), (3, 6)))
    assert np.allclose(over(lambda v: lax.ppermute(v, "i", [(0, 1), (1, 2), (2, 0)]), X), np.roll(X, 1, 0))
    assert np.allclose(over(lambda v: lax.ppermute(v, "i", [(0, 2)]), X), [[0, 0], [0, 0], X[0]])
    assert np.allclose(over(lambda v: lax.pshuffle(v, "i", [2, 0, 1]), X), X[[2, 0, 1]])
    assert np.allclose(over(lambda v: lax.pbroadcast(v, "i", 1), X), X[[1, 1, 1]])
    assert np.allclose(over(lambda v: lax.all_to_all(v, "i", 0, 0), Y), Y.swapaxes(0, 1))
    assert np.allclose(over(lambda v: lax.all_to_all(v, "i", 0, 1), Y), Y.transpose(1, 2, 0))
    tiled = over(lambda v: lax.all_to_all(v, "i", 0, 1, tiled=True), Y)
    assert np.allclose(tiled, [np.concatenate([Y[j, k:k + 1] for j in range(3)], 1) for k in range(3)])
    assert np.allclose(over(lambda v: lax.psum_scatter(v, "i"), Y), Y.sum(0))


def test_unmapped_results() -> None:
    assert np.allclose(over(lambda v: lax.psum(v, "i"), X, out_axes=None), X.sum(0))
    inner = vmap(vmap(lambda v: lax.psum(v, "j") * 2, axis_name="j", out_axes=None), axis_name="i")
    assert np.allclose(np.asarray(inner(X)), X.sum(1) * 2)
    with pytest.raises(ValueError_, match="out_axes is None"):
        over(lambda v: v, X, out_axes=None)


def test_nested_names_in_loops_and_branches() -> None:
    both = vmap(vmap(lambda v: lax.psum(v, "i") + 10 * lax.psum(v, "j"), axis_name="j"), axis_name="i")
    assert np.allclose(np.asarray(both(X)), X.sum(0) + 10 * X.sum(1, keepdims=True))

    def step(total: Any, v: Any) -> Any:
        return total + lax.psum(v, "i"), total * lax.axis_index("i")

    last, history = vmap(lambda v: lax.scan(step, jnp.float32(0), v), axis_name="i")(X)
    sums = np.cumsum(X.sum(0))
    assert np.allclose(np.asarray(last), sums[-1]) and np.allclose(np.asarray(history)[2], 2 * np.array([0, sums[0]]))
    turned = over(lambda v: lax.cond(v[0] > 2, lambda u: lax.psum(u, "i"), lambda u: u, v), X)
    assert np.allclose(turned, np.where(X[:, :1] > 2, X.sum(0), X))
    assert np.allclose(np.asarray(jit(vmap(jit(lambda v: v / lax.psum(v, "i")), axis_name="i"))(X)), X / X.sum(0))


def centred(v: Any) -> Any:
    return jnp.tanh((v - lax.pmean(v, "i")) / jnp.sqrt(lax.pmean(v**2, "i") + 1e-3)) ** 2


def test_derivatives_go_across() -> None:
    def apart(z: Any) -> Any:
        return jnp.tanh((z - z.mean(0)) / jnp.sqrt((z**2).mean(0) + 1e-3)) ** 2

    for f in (grad, lambda g: jax.hessian(g)):
        found = f(lambda z: vmap(centred, axis_name="i")(z).sum())(jnp.asarray(X))
        assert np.allclose(np.asarray(found), np.asarray(f(lambda z: apart(z).sum())(jnp.asarray(X))), atol=1e-5)
    inside = vmap(grad(lambda v: lax.psum(v**2, "i")), axis_name="i")(jnp.arange(3.0))
    assert np.allclose(np.asarray(inside), [0, 6, 12])
    exchanged = grad(lambda z: (vmap(lambda v: v * lax.all_to_all(v, "i", 0, 1), axis_name="i")(z) ** 2).sum())
    plain = grad(lambda z: ((z * z.transpose(1, 2, 0)) ** 2).sum())
    assert np.allclose(np.asarray(exchanged(jnp.asarray(Y))), np.asarray(plain(jnp.asarray(Y))), rtol=1e-5)
    kept = grad(lambda z: vmap(jax.checkpoint(centred), axis_name="i")(z).sum())(jnp.asarray(X))
    assert np.allclose(np.asarray(kept), np.asarray(grad(lambda z: apart(z).sum())(jnp.asarray(X))), atol=1e-5)


def test_one_device() -> None:
    assert np.allclose(np.asarray(jax.pmap(lambda v: lax.psum(v, "i"), axis_name="i")(X[:1])), X[:1])
    assert np.allclose(np.asarray(jax.pmap(lambda v, w: v + w, in_axes=(0, None))(X[:1], 2.0)), X[:1] + 2)
    with pytest.raises(ValueError_, match="logical devices"):
        jax.pmap(lambda v: v)(X)


def test_wrong_calls() -> None:
    with pytest.raises(AxisNameError, match="unbound axis name: k") as caught:
        vmap(lambda v: lax.psum(v, "k"), axis_name="i")(X)
    assert isinstance(caught.value, NameError)
    with pytest.raises(ShapeError, match="one size"):
        vmap(lambda v: v, axis_name="i", axis_size=4)(X)
    with pytest.raises(ShapeError, match="size of the named axis"):
        vmap(lambda v: lax.all_to_all(v, "i", 0, 0), axis_name="i")(X)
    with pytest.raises(ValueError_, match="pairs"):
        vmap(lambda v: lax.ppermute(v, "i", [(0, 5)]), axis_name="i")(X)
    with pytest.raises(ValueError_, match="unique"):
        vmap(lambda v: lax.ppermute(v, "i", [(0, 1), (0, 2)]), axis_name="i")(X)
    with pytest.raises(UnsupportedError, match="groups"):
        vmap(lambda v: lax.psum(v, "i", axis_index_groups=[[0], [1, 2]]), axis_name="i")(X)

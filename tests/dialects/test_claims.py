"""What the documents say of their frameworks, shown: asynchronous, fused, one graph, parallel, optimised once."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pullback.jittor as jt
import pullback.tensorflow as tf
import pullback.torch as torch
import pytest

import pullback as pb
from pullback.engine import execute
from pullback.engine.trace import State, local
from pullback.runtime.native import native


def meta_matmul(a: Any, b: Any) -> Any:
    """The matrix product from three meta-operators."""
    (n, m), k = a.shape, b.shape[-1]
    return (a.broadcast([n, m, k], dims=[2]) * b.broadcast([n, m, k], dims=[0])).sum(dim=1)


def kernels(function: Callable[..., Any], *arguments: Any, **flags: Any) -> str:
    """How a function is scheduled."""
    with pb.config.override(**flags):
        return pb.show(function, ["schedule"], file=io.StringIO())(*arguments)


# -- asynchronous execution --------------------------------------------------------------------------------------------


def test_recording_returns_before_anything_is_computed() -> None:
    x = jt.random((64, 64))
    y = jt.nn.matmul(x, x) + 1.0
    assert y._peek().buffer is None
    assert np.allclose(y.data, x.data @ x.data + 1.0, atol=1e-4)
    assert y._peek().buffer is not None


def test_a_launch_returns_before_the_work_is_done() -> None:
    a = pb.tensor(np.random.RandomState(0).rand(1000, 1000).astype(np.float32))
    (a @ a).numpy()  # compiled
    host = a.numpy()
    y = a
    for _ in range(4):
        y = (y @ a) / 1000.0
    execute.flush(local.trace)
    assert native().pending  # about 40 ms of work
    wanted = host
    for _ in range(4):
        wanted = wanted @ host / 1000.0
    assert np.allclose(y.numpy(), wanted, rtol=1e-3) and not native().pending


# -- fusion ------------------------------------------------------------------------------------------------------------


def test_activation_and_loss_are_fused_into_the_linear_layers() -> None:
    def loss(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, y: Any) -> Any:
        hidden = jt.maximum(meta_matmul(x, w1) + b1, 0.0)
        return ((meta_matmul(hidden, w2) + b2 - y) ** 2).mean()

    arrays = [jt.random(s) for s in ((500, 64), (64, 100), (100,), (100, 50), (50,), (500, 50))]
    found = re.findall(r"k\d+: (\w+)", kernels(loss, *arrays))
    assert found.count("matmul") == 2 and len(found) <= 3


def test_three_meta_operators_are_one_kernel_recognised_or_not() -> None:
    a, b = jt.random((300, 200)), jt.random((200, 100))
    recognised = kernels(meta_matmul, a, b)
    assert re.findall(r"k\d+: (\w+)", recognised) == ["matmul"]
    plain = kernels(meta_matmul, a, b, recognise=False)
    assert re.findall(r"k\d+: (\w+)", plain) == ["loops"]
    for text in (recognised, plain):  # no temporary of 300 * 200 * 100 numbers
        assert int(re.search(r"(\d+) bytes of workspace", text)[1]) < 1_000_000  # type: ignore[index]
    apart = kernels(meta_matmul, a, b, recognise=False, fuse=False)
    assert len(re.findall(r"k\d+:", apart)) > 1


def test_the_product_is_the_same_with_the_tuner_and_fusion_off() -> None:
    a, b = jt.random((30, 20)), jt.random((20, 10))
    wanted = a.data @ b.data
    assert np.allclose(meta_matmul(a, b).data, wanted, atol=1e-5)
    with jt.flag_scope(enable_tuner=0):
        assert np.allclose((meta_matmul(a, b) + 0.0).data, wanted, atol=1e-5)
    with jt.flag_scope(enable_tuner=0, no_fuse=1):
        assert np.allclose((meta_matmul(a, b) + 0.0 + 0.0).data, wanted, atol=1e-5)


# -- one graph ---------------------------------------------------------------------------------------------------------


def test_forward_backward_and_update_are_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    launches: list[int] = []
    monkeypatch.setattr(execute, "watch", lambda e, a: launches.append(len(e.out)) or execute.start(e, a))
    model = jt.nn.Sequential(jt.nn.Linear(4, 8), jt.nn.ReLU(), jt.nn.Linear(8, 1))
    optimizer = jt.nn.SGD(model.parameters(), 0.1)
    x, y = jt.random((16, 4)), jt.random((16, 1))
    jt.sync_all()
    for _ in range(5):
        loss = jt.nn.mse_loss(model(x), y)
        optimizer.step(loss)
    launches.clear()
    loss = jt.nn.mse_loss(model(x), y)
    optimizer.step(loss)
    assert loss.data.shape == (1,) and len(launches) == 1


# -- parallel ----------------------------------------------------------------------------------------------------------


def test_operators_run_on_all_threads_and_branches_side_by_side() -> None:
    x = pb.ones((1000, 1000))
    with pb.config.override(threads=2):
        one = kernels(lambda v: pb.tanh(v) * 2.0, x)
        two = kernels(lambda v: (v @ v, v.T @ v), x)
    assert "2 threads" in one
    assert "phase 0" in two and two.split("phase 0")[1].count("matmul") == 2  # both in one phase


# -- static graphs -----------------------------------------------------------------------------------------------------


def test_a_graph_is_optimised_once_and_run_many_times() -> None:
    with tf.Graph().as_default():
        x, y = tf.placeholder(tf.float32, [8, 3]), tf.placeholder(tf.float32, [8, 1])
        w = tf.Variable(tf.zeros([3, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            g = np.random.RandomState(0)
            losses = [session.run([loss, train], {x: v, y: v[:, :1]})[0] for v in g.rand(3, 8, 3)]
            states = State.total
            losses += [session.run([loss, train], {x: v, y: v[:, :1]})[0] for v in g.rand(100, 8, 3)]
            (plan,) = (p for p in session.plans.values() if p.feeds)
            assert State.total == states and len(plan.jitted.entries) == 1
            assert losses[-1] < 0.2 * losses[0]


def test_python_decides_and_each_structure_is_compiled_once() -> None:
    w = jt.random((8, 8))
    choice = np.random.RandomState(0)

    def run() -> Any:
        h = jt.ones((4, 8))
        for _ in range(choice.randint(1, 4)):
            h = jt.nn.matmul(h, w) * 0.1
        return jt.grad(h.sum(), w).data

    for _ in range(20):
        run()
    states = State.total
    for _ in range(20):
        run()
    assert State.total == states


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [True, False])
def test_a_loop_keeps_nothing_of_its_past(stopped: bool) -> None:
    jt.clean()
    rate = jt.float32(0.05)
    if stopped:
        rate.stop_grad()
    seen: list[dict[str, Any]] = []
    for _ in range(12):
        x = jt.random((50, 1))
        w = jt.make_var([1, 10], init=lambda *a: jt.random(*a), name="w", unique=True)
        loss = ((jt.nn.matmul(x, w) - x) ** 2).mean()
        for p, g in zip([w], jt.grad(loss, [w]), strict=True):
            p -= g * rate
        loss.sync()
        seen.append(jt.liveness_info())
    assert seen[3:] == [seen[3]] * 9
    jt.clean()


# -- arrays in and out, and between styles -----------------------------------------------------------------------------


def test_numpy_arrays_go_in_and_come_out() -> None:
    host = np.arange(6.0).reshape(2, 3)
    for make in (jt.array, jnp.asarray, torch.tensor, pb.tensor):
        x = make(host)
        assert np.array_equal(np.asarray(x), host) and type(np.asarray(x)) is np.ndarray
        assert np.allclose(np.asarray(x * 2 + 1), host * 2 + 1)
        host[0, 0] = 7.0  # the array's own memory is not shared
        assert np.asarray(x)[0, 0] == 0.0
        host[0, 0] = 0.0


def test_a_module_of_one_style_is_trained_by_the_function_of_another() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    x = jax.random.normal(jax.random.key(0), (64, 3))
    y = jnp.sum(x, axis=1, keepdims=True)

    @jax.jit
    def step(model: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        return jax.tree.map(lambda p, g: p - 0.1 * g, model, gradient), loss

    losses = []
    for _ in range(100):
        model, loss = step(model, x, y)
        losses.append(float(loss))
    assert isinstance(loss, jax.Array) and losses[-1] < 0.05 * losses[0]
    assert isinstance(model[0].weight, torch.Tensor)


def test_a_session_is_fed_with_tensors_of_other_styles() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [2, 2])
        y = tf.reduce_sum(x * 2.0)
        fed = torch.ones(2, 2), jnp.ones((2, 2)), jt.ones((2, 2)), pb.ones((2, 2)), np.ones((2, 2)), [[1, 1], [1, 1]]
        assert [session.run(y, {x: v}) for v in fed] == [8.0] * 6
        assert session.run(tf.constant(torch.ones(2)) + 1.0).tolist() == [2.0, 2.0]


def test_arrays_pass_from_style_to_style() -> None:
    first = jnp.arange(3.0)
    var = jt.Var(first)
    tensor = torch.as_tensor(np.asarray(var))
    assert isinstance(jt.array(tensor) + 1.0, jt.Var) and (jt.array(tensor) + 1.0).data.tolist() == [1.0, 2.0, 3.0]
    assert isinstance(jnp.asarray(var), jax.Array) and isinstance(pb.tensor(first), pb.Tensor)
    assert jnp.sum(var).item() == 3.0 and float(jax.grad(lambda v: jnp.sum(v * v))(first)[2]) == 4.0
    native = pb.tensor([1.0, 2.0], requires_grad=True)
    jnp.sum(native * jnp.asarray(2.0)).backward()
    assert native.grad.tolist() == [2.0, 2.0]
    assert jt.grad((var * var).sum(), var).data.tolist() == [0.0, 2.0, 4.0]
    assert jax.vmap(lambda v: v * 2)(tensor).tolist() == [0.0, 2.0, 4.0]
    weight = torch.ones(3, requires_grad=True)
    (weight * torch.tensor(np.asarray(first))).sum().backward()
    assert jnp.array_equal(jnp.asarray(weight.grad), first)

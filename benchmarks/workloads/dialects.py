"""The four small programs written in every dialect, beside the native style that each corresponds to.

PyTorch's and JAX's words are the workloads' own `imperative` and `functional`; Jittor's and TensorFlow's are here.
Data is brought into the framework beforehand, but for the small batches, which are fresh in each step.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any


def _imperative(name: str, lib: Any, array: Any) -> Any:
    module = importlib.import_module(f"workloads.{name}")
    return module.imperative(lib, array) if name == "small_batch" else module.imperative(lib)


def _functional(name: str, array: Any, lib: Any, value_and_grad: Any, jit: Any) -> Any:
    module = importlib.import_module(f"workloads.{name}")
    rest = (value_and_grad, jit) if name == "line" else (lib, value_and_grad, jit)
    return module.functional(array, *rest)


def _pullback(name: str) -> Any:
    import pullback as pb

    return _functional(name, pb.tensor, pb, pb.value_and_grad, pb.jit)


def _pullback_without_jit(name: str) -> Any:
    import pullback as pb

    array = pb.tensor
    return _fed(name, lambda: _functional(name, array, pb, pb.value_and_grad, lambda f: f), array)


def _pullback_imperative(name: str) -> Any:
    import pullback as pb

    return _imperative(name, pb, pb.tensor)


def _torch(name: str) -> Any:
    import pullback.torch as torch

    return _imperative(name, torch, torch.from_numpy)


def _fastai(name: str) -> Any:
    from pullback.fastai import basics

    torch = basics.torch
    lib = SimpleNamespace(tensor=basics.tensor, no_grad=torch.no_grad, relu=torch.relu, tanh=torch.tanh)
    return _imperative(name, lib, basics.tensor)


def _jax(name: str) -> Any:
    import pullback.jax as jax
    import pullback.jax.numpy as jnp

    return _functional(name, jnp.asarray, jnp, jax.value_and_grad, jax.jit)


def _jax_without_jit(name: str) -> Any:
    import pullback.jax as jax
    import pullback.jax.numpy as jnp

    return _fed(name, lambda: _functional(name, jnp.asarray, jnp, jax.value_and_grad, lambda f: f), jnp.asarray)


def _fed(name: str, training: Any, array: Any) -> Any:
    """Without jit, arrays of fresh batches are made tensors by hand."""
    module = importlib.import_module(f"workloads.{name}")
    if name != "small_batch":
        return training()
    batches = module.batches
    module.batches = lambda: _Made(batches(), array)
    try:
        return training()
    finally:
        module.batches = batches


class _Made:
    """Batches that become tensors when they are asked for."""

    def __init__(self, batches: Any, array: Any) -> None:
        self.batches, self.array = batches, array

    def __getitem__(self, i: int) -> Any:
        return tuple(map(self.array, self.batches[i]))


JITTOR: dict[str, Any] = {
    "two_layer": lambda jt, p, x, y: ((jt.maximum(jt.matmul(x, p[0]), 0.0) @ p[1] - y) ** 2).sum(),
    "tutorial": lambda jt, p, x, y: ((y - (jt.tanh(x @ p[0] + p[1]) @ p[2] + p[3])) ** 2).mean(),
    "small_batch": lambda jt, p, x, y: ((jt.maximum(x @ p[0] + p[1], 0.0) @ p[2] + p[3] - y) ** 2).mean(),
    "line": lambda jt, p, x, y: ((x @ p[0] - y) ** 2).mean(),
}


def _jittor(name: str) -> Any:
    import pullback.jittor as jt

    module = importlib.import_module(f"workloads.{name}")
    loss_of, rate = JITTOR[name], module.RATE
    x, y = (jt.array(v) for v in module.data()[:2])
    batches = module.batches() if name == "small_batch" else None
    params: list[Any] = []

    def reset() -> None:
        params[:] = [jt.array(p) for p in module.data()[2:]]

    def step(i: int) -> Any:
        data = (x, y) if batches is None else map(jt.float32, batches[i])
        loss = loss_of(jt, params, *data)
        for p, g in zip(params, jt.grad(loss, params), strict=True):
            p -= g * rate
        return loss

    return reset, step, lambda loss: loss.item()


TENSORFLOW: dict[str, Any] = {
    "two_layer": lambda tf, p, x, y: tf.reduce_sum(tf.squared_difference(
        tf.matmul(tf.maximum(tf.matmul(x, p[0]), 0.0), p[1]), y)),
    "tutorial": lambda tf, p, x, y: tf.reduce_mean(tf.squared_difference(
        y, tf.matmul(tf.tanh(tf.matmul(x, p[0]) + p[1]), p[2]) + p[3])),
    "small_batch": lambda tf, p, x, y: tf.reduce_mean(tf.squared_difference(
        tf.matmul(tf.nn.relu(tf.matmul(x, p[0]) + p[1]), p[2]) + p[3], y)),
    "line": lambda tf, p, x, y: tf.reduce_mean(tf.squared_difference(tf.squeeze(tf.matmul(x, p[0][:, None]), 1), y)),
}


def _tensorflow(name: str) -> Any:
    import pullback.tensorflow as tf

    module = importlib.import_module(f"workloads.{name}")
    data = module.data()
    batches = module.batches() if name == "small_batch" else None
    x, y = (tf.placeholder(tf.float32, v.shape) if batches else tf.constant(v) for v in data[:2])
    params = [tf.Variable(tf.constant(p)) for p in data[2:]]
    loss = TENSORFLOW[name](tf, params, x, y)
    train = tf.train.GradientDescentOptimizer(module.RATE).minimize(loss)
    session, start = tf.Session(), tf.global_variables_initializer()

    def step(i: int) -> Any:
        return session.run([loss, train], feed_dict=dict(zip((x, y), batches[i], strict=True)) if batches else None)[0]

    return lambda: session.run(start), step, float


STYLES = {"pullback": _pullback, "pullback imperative": _pullback_imperative,
          "pullback without jit": _pullback_without_jit, "torch dialect": _torch, "fastai dialect": _fastai,
          "jax dialect": _jax, "jax dialect without jit": _jax_without_jit, "jittor dialect": _jittor,
          "tensorflow dialect": _tensorflow}


def _workload(name: str) -> Any:
    module = importlib.import_module(f"workloads.{name}")
    frameworks = {style: lambda made=made: made(name) for style, made in STYLES.items()}
    found = SimpleNamespace(STEPS=module.STEPS, LOSS=module.LOSS, FRAMEWORKS=frameworks)
    if hasattr(module, "CHECKED"):
        found.CHECKED = module.CHECKED
    return found


WORKLOADS = {name: _workload(name) for name in ("two_layer", "tutorial", "small_batch", "line")}

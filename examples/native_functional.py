"""A two-layer network in the native functional style: pure functions, value_and_grad, jit.

    python examples/native_functional.py
"""

import numpy as np

import pullback as pb

rng = np.random.RandomState(0)
x = pb.tensor(rng.rand(64, 4).astype("float32"))
y = (x * x).sum(axis=1, keepdims=True)
params = {
    "w1": pb.tensor((rng.rand(4, 32) - 0.5).astype("float32")),
    "b1": pb.zeros(32),
    "w2": pb.tensor((rng.rand(32, 1) - 0.5).astype("float32")),
    "b2": pb.zeros(1),
}


def predict(params, x):
    h = pb.maximum(x @ params["w1"] + params["b1"], 0)
    return h @ params["w2"] + params["b2"]


def error(params, x, y):
    return ((predict(params, x) - y) ** 2).mean()


@pb.jit
def train(params, x, y, rate):
    loss, grads = pb.value_and_grad(error)(params, x, y)
    return pb.tree.map(lambda p, g: p - rate * g, params, grads), loss


for step in range(101):
    params, loss = train(params, x, y, 0.1)
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss:.5f}")

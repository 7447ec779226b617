"""A two-layer network as one writes it for Jittor: scopes hold the parameters, jt.grad takes the gradients.

    python examples/jittor_style.py
"""

import numpy as np
import pullback.jittor as jt

rng = np.random.RandomState(0)
x = jt.array(rng.rand(64, 4))
y = (x * x).sum(dim=1, keepdims=True)
start = iter([rng.rand(4, 32) - 0.5, rng.rand(32, 1) - 0.5])


@jt.var_scope("linear")
def linear(x, n):
    w = jt.make_var([x.shape[-1], n], init=lambda *_: jt.float32(next(start)))
    b = jt.make_var([n], init=lambda *a: jt.zeros(*a))
    return matmul(x, w) + b


def matmul(a, b):
    """The matrix product from three meta-operators; the compiler finds it again."""
    (n, m), k = a.shape, b.shape[-1]
    a = a.broadcast([n, m, k], dims=[2])
    b = b.broadcast([n, m, k], dims=[0])
    return (a * b).sum(dim=1)


@jt.var_scope("model", unique=True)
def model(x):
    return linear(jt.maximum(linear(x, 32), 0.0), 1)


for step in range(101):
    loss = ((model(x) - y) ** 2).mean()
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.data.sum():.5f}")
    params = jt.find_vars("model")
    for p, g in zip(params, jt.grad(loss, params), strict=True):
        p -= g * 0.1

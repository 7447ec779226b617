"""A two-layer network as one writes it for JAX.

    python examples/jax_style.py
"""

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp

rng = np.random.RandomState(0)
x = jnp.array(rng.rand(64, 4))
y = (x * x).sum(axis=1, keepdims=True)
params = {
    "w1": jnp.array(rng.rand(4, 32) - 0.5),
    "b1": jnp.zeros(32),
    "w2": jnp.array(rng.rand(32, 1) - 0.5),
    "b2": jnp.zeros(1),
}


def predict(params, x):
    h = jax.nn.relu(jnp.dot(x, params["w1"]) + params["b1"])
    return jnp.dot(h, params["w2"]) + params["b2"]


def error(params, x, y):
    return jnp.mean((predict(params, x) - y) ** 2)


@jax.jit
def train(params, x, y, rate):
    loss, grads = jax.value_and_grad(error)(params, x, y)
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), loss


for step in range(101):
    params, loss = train(params, x, y, 0.1)
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss:.5f}")

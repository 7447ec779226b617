"""A two-layer network with its gradient written by hand, as one would in NumPy: the arrays are Pullback's.

    python examples/numpy_by_hand.py
"""

import numpy as np

import pullback as pb

rng = np.random.RandomState(0)
x = pb.tensor(rng.rand(64, 4).astype("float32"))
y = (x * x).sum(axis=1, keepdims=True)
w1 = pb.tensor((rng.rand(4, 32) - 0.5).astype("float32"))
b1 = pb.zeros(32)
w2 = pb.tensor((rng.rand(32, 1) - 0.5).astype("float32"))
b2 = pb.zeros(1)
rate = 0.1

for step in range(101):
    # forward
    h = x.dot(w1) + b1
    relu = pb.maximum(h, 0)
    prediction = relu.dot(w2) + b2
    difference = prediction - y
    loss = pb.square(difference).mean()
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss:.5f}")

    # backward
    grad_prediction = 2 * difference / 64
    grad_w2 = relu.T.dot(grad_prediction)
    grad_b2 = grad_prediction.sum(axis=0)
    grad_h = grad_prediction.dot(w2.T)
    grad_h[h < 0] = 0
    grad_w1 = x.T.dot(grad_h)
    grad_b1 = grad_h.sum(axis=0)

    # update
    w1 -= rate * grad_w1
    b1 -= rate * grad_b1
    w2 -= rate * grad_w2
    b2 -= rate * grad_b2

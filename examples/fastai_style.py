"""A two-layer network as one writes it in fastai's first lessons: parameters, an update by hand, and a picture.

    python examples/fastai_style.py [PICTURE.png]
"""

import sys

from pullback.fastai.basics import *

rng = np.random.RandomState(0)
x = tensor(rng.rand(64, 4))
y = (x**2).sum(1, keepdim=True)
w1, w2 = nn.Parameter(tensor(rng.rand(4, 32) - 0.5)), nn.Parameter(tensor(rng.rand(32, 1) - 0.5))
b1, b2 = nn.Parameter(torch.zeros(32)), nn.Parameter(torch.zeros(1))


def model(x):
    return F.relu(x @ w1 + b1) @ w2 + b2


def mse(y_hat, y):
    return ((y_hat - y) ** 2).mean()


def update():
    loss = mse(model(x), y)
    if t % 20 == 0:
        print(f"step {t:3d}  loss {loss:.5f}")
    loss.backward()
    with torch.no_grad():
        for p in (w1, b1, w2, b2):
            p.sub_(lr * p.grad)
            p.grad.zero_()


lr = 1e-1
for t in range(101):
    update()

if len(sys.argv) > 1:  # points on the diagonal are predicted well
    plt.scatter(y, model(x), c="b", label="predicted")
    plt.plot([0, 3], [0, 3], "r--", label="as it is")
    plt.xlabel("sum of squares")
    plt.title("Calculated")
    plt.legend()
    plt.savefig(sys.argv[1])

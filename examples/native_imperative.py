"""A two-layer network in the native imperative style: modules, backward(), an optimiser.

    python examples/native_imperative.py
"""

import numpy as np

import pullback as pb
from pullback import nn

rng = np.random.RandomState(0)
x = pb.tensor(rng.rand(64, 4).astype("float32"))
y = (x * x).sum(axis=1, keepdims=True)


class Net(nn.Module):
    """Two linear layers with a rectifier between them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 32)
        self.second = nn.Linear(32, 1)

    def forward(self, x):
        return self.second(pb.relu(self.first(x)))


model = Net()
with pb.no_grad():  # the starting point that all examples share
    model.first.weight.copy_((rng.rand(4, 32) - 0.5).T)
    model.second.weight.copy_((rng.rand(32, 1) - 0.5).T)
    model.first.bias.zero_()
    model.second.bias.zero_()

criterion = nn.MSELoss()
optimizer = pb.optim.SGD(model.parameters(), lr=0.1)

for step in range(101):
    loss = criterion(model(x), y)
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss:.5f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

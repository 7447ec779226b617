"""A two-layer network as one writes it for PyTorch.

    python examples/torch_style.py
"""

import numpy as np
import pullback.torch as torch
import pullback.torch.nn.functional as F
from pullback.torch import nn, optim

rng = np.random.RandomState(0)
x = torch.from_numpy(rng.rand(64, 4)).float()
y = x.pow(2).sum(dim=1, keepdim=True)


class Net(nn.Module):
    """Two linear layers with a rectifier between them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 32)
        self.second = nn.Linear(32, 1)

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


model = Net()
with torch.no_grad():  # the starting point that all examples share
    model.first.weight.copy_(torch.from_numpy(rng.rand(4, 32) - 0.5).t())
    model.second.weight.copy_(torch.from_numpy(rng.rand(32, 1) - 0.5).t())
    nn.init.zeros_(model.first.bias)
    nn.init.zeros_(model.second.bias)

criterion = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)

for step in range(101):
    loss = criterion(model(x), y)
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.item():.5f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

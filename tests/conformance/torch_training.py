"""Networks trained from seeds: every number printed depends on PyTorch's random numbers, their order, and all that is
computed."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        gate = torch.sigmoid(x)
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    def backward(ctx, gradient):
        x, gate = ctx.saved_tensors
        return gradient * (gate + x * gate * (1 - gate))


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.drop = nn.Dropout(0.25)
        self.score = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        return self.score(self.drop(Swish.apply(x)))


images = torch.randn(96, 1, 8, 8)
labels = torch.randint(0, 3, (96,))
images[labels == 1] += 0.5
images[labels == 2, :, :4] -= 0.8
loader = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True)
model = Digits()
print(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
for epoch in range(6):
    model.train()
    total, right = 0.0, 0
    for batch, target in loader:
        scores = model(batch)
        loss = F.cross_entropy(scores, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
        right += (scores.argmax(dim=1) == target).sum().item()
    schedule.step()
    print(f"epoch {epoch} loss {total / 96:.3f} right {right} rate {schedule.get_last_lr()[0]:.4f}")
model.eval()
with torch.no_grad():
    print("eval", (model(images).argmax(1) == labels).float().mean())
print(model.features[1].running_mean, model.score.bias)

x = torch.linspace(-1, 1, 50).unsqueeze(1)
y = x.pow(3) + 0.1 * torch.randn(x.size())
net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
for name, optimizer in [("Adam", torch.optim.Adam(net.parameters(), lr=0.01)),
                        ("RMSprop", torch.optim.RMSprop(net.parameters(), lr=1e-3)),
                        ("Adagrad", torch.optim.Adagrad(net.parameters(), lr=0.01))]:
    for _ in range(40):
        loss = nn.MSELoss()(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    print(name, loss)
words = nn.Embedding(10, 4)
picked = words(torch.tensor([[1, 2], [3, 9]]))
print(picked.mean(dim=1), picked.shape)
weights = torch.nn.init.xavier_normal_(torch.empty(3, 5))
print(weights, torch.bernoulli(torch.sigmoid(weights)), torch.multinomial(weights.abs(), 2), torch.randperm(6))
print(np.round(torch.randn(2, 2, dtype=torch.float64).numpy(), 3))

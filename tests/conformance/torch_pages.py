"""What the first pages about PyTorch use: tensors, data, modules, gradients, training, files. Printed numbers are
rounded so far that another order of additions does not show. Recorded by record_torch.py; `pullback run` prints the
same."""

import math
import os
import random
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler, random_split

torch.manual_seed(0)
device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
print(f"on {device}", torch.cuda.is_available(), torch.backends.mps.is_available())

print("tensors")
grid = torch.tensor([[1, 2], [3, 4]])
print(grid, torch.ones_like(grid), torch.rand_like(grid, dtype=torch.float))
print(torch.from_numpy(np.arange(4.0)), torch.zeros((2, 3)).shape, torch.rand(3, 4).dtype, torch.ones(2).device)
square = torch.ones(4, 4)
square[:, 1] = 0
print(square[0], square[:, 0], square[..., -1], torch.cat([square, square], dim=1).shape)
product, elements = torch.rand_like(square), torch.empty(0)
torch.matmul(square, square.T, out=product)
torch.mul(square, square, out=elements)
print(product, torch.equal(elements, square * square), (square @ square.T == product).all())
print(square.sum().item(), square.add_(5).mean(), square.numpy().dtype)

angles, pair = torch.tensor([[0.5, -0.25], [0.75, 0.1]]), torch.tensor([1.5, 2.0])
print(pair.arccosh(), angles.arctan2(pair), pair.fix(), torch.tensor([1, 2]).bitwise_left_shift(1), pair.ger(pair))
print(torch.eye(3)[0].cross(torch.eye(3)[1]), pair.diag(), angles.dist(angles + 1), pair.split_with_sizes([1, 1])[1])
print(angles.clone().gt_(0.2), angles.clone().tril_(), angles.clone().addmm_(angles, angles), pair.clone().clip_(0, 1))
print(torch.tensor([6]).bitwise_and_(torch.tensor([3])), pair.clone().xlogy_(pair), angles.is_cpu, pair.is_signed())

print("data")


class Pictures(Dataset):
    """Noise of eight by eight, labelled by where it is brightest."""

    def __init__(self, count, transform=None, target_transform=None):
        self.pixels = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        self.quarter = self.pixels.view(count, 4, 16).mean(2).argmax(1)
        self.transform, self.target_transform = transform, target_transform

    def __len__(self):
        return len(self.quarter)

    def __getitem__(self, k):
        picture, label = self.pixels[k], int(self.quarter[k])
        picture = self.transform(picture) if self.transform else picture
        return picture, self.target_transform(label) if self.target_transform else label


def one_hot(label):
    return torch.zeros(4).scatter_(0, torch.tensor(label), value=1)


pictures = Pictures(96, transform=lambda p: (p - 0.5) / 0.25, target_transform=one_hot)
chosen = torch.randint(len(pictures), size=(1,)).item()
print(chosen, pictures[chosen][1], pictures[chosen][0].squeeze().shape)
loader = DataLoader(pictures, batch_size=32, shuffle=True)
first, labels = next(iter(loader))
print(first.size(), labels.sum(0), sum(len(x) for x, _ in loader))
print(list(WeightedRandomSampler([0.1, 0.9], 8)), [len(p) for p in random_split(pictures, [0.75, 0.25])])

print("modules")


class Stack(nn.Module):
    """Three layers on flat pictures."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.flat = nn.Flatten()
        self.layers = nn.Sequential(nn.Linear(inputs, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(),
                                    nn.Linear(24, outputs))

    def forward(self, x):
        return self.layers(self.flat(x))


model = Stack(64, 4).to(device)
print(model)
chances = nn.Softmax(dim=1)(model(torch.rand(3, 8, 8, device=device)))
print(chances.argmax(1), chances.sum(1))
for name, parameter in model.named_parameters():
    print(name, parameter.size(), parameter.flatten()[:2])

print("gradients")
w, b = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
z = torch.ones(5) @ w + b
loss = F.binary_cross_entropy_with_logits(z, torch.zeros(3))
print(z.grad_fn is not None, loss.grad_fn.name(), z.detach().requires_grad)
loss.backward()
print(w.grad, b.grad)
eye = torch.eye(3, 4, requires_grad=True)
out = (eye + 1).pow(2).t()
for _ in range(2):
    out.backward(torch.ones_like(out), retain_graph=True)
print(eye.grad)
between = eye * 3
between.retain_grad()
(between**2).sum().backward()
print(between.grad, between.is_leaf)


class Exponential(torch.autograd.Function):
    """exp, whose derivative is itself."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        return gradient * y


print(torch.autograd.gradcheck(Exponential.apply, (torch.ones(3, dtype=torch.double, requires_grad=True),)))
print(torch.autograd.functional.jacobian(lambda x: x**2, torch.ones(2)))

print("training")
points = torch.randn(640, 12)
classes = (points @ torch.randn(12, 3)).argmax(1)
train, test = TensorDataset(points[:512], classes[:512]), TensorDataset(points[512:], classes[512:])
train_loader, test_loader = DataLoader(train, batch_size=64, shuffle=True), DataLoader(test, batch_size=64)
for x, y in test_loader:
    print(x.shape, y.shape, y.dtype)
    break
model, loss_of = Stack(12, 3), nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)
for epoch in range(4):
    model.train()
    for number, (x, y) in enumerate(train_loader):
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if number % 4 == 0:
            print(f"loss {loss.item():>5.2f}  [{number * 64 + len(x):>4d}/{len(train_loader.dataset)}]")
    model.eval()
    total, right = 0, 0
    with torch.no_grad():
        for x, y in test_loader:
            answer = model(x)
            total += loss_of(answer, y).item()
            right += (answer.argmax(1) == y).type(torch.float).sum().item()
    print(f"epoch {epoch}: {100 * right / len(test):.1f}%, {total / len(test_loader):.3f}")
path = os.path.join(tempfile.mkdtemp(), "model.pth")
torch.save(model.state_dict(), path)
again = Stack(12, 3)
print(again.load_state_dict(torch.load(path, weights_only=True)), torch.equal(again(points), model(points)))
print({name: tuple(value.size()) for name, value in again.state_dict().items()})
print(sum(p.numel() for p in model.parameters() if p.requires_grad), optimizer.state_dict()["state"])
print(optimizer)

print("a polynomial, four times")
x = torch.linspace(-math.pi, math.pi, 500, device=torch.device("cpu"), dtype=torch.float)
y = torch.sin(x)


def report(name, values):
    print(name, " ".join(f"{abs(v):.2f}" for v in values))


a, b, c, d = (torch.zeros(()) for _ in range(4))
for _ in range(300):
    error = a + b * x + c * x**2 + d * x**3 - y
    for parameter, power in ((a, 0), (b, 1), (c, 2), (d, 3)):
        parameter -= 4e-6 * (2 * error * x**power).sum()
report("by hand", [v.item() for v in (a, b, c, d)])
a, b, c, d = (torch.zeros((), requires_grad=True) for _ in range(4))
for _ in range(300):
    (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum().backward()
    with torch.no_grad():
        for parameter in (a, b, c, d):
            parameter -= 4e-6 * parameter.grad
            parameter.grad = None
report("autograd", [v.item() for v in (a, b, c, d)])
powers = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
line = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0, 1))
steps = optim.RMSprop(line.parameters(), lr=1e-3)
for _ in range(1200):
    loss = nn.MSELoss(reduction="sum")(line(powers), y)
    steps.zero_grad()
    loss.backward()
    steps.step()
report("RMSprop", [line[0].bias.item(), *line[0].weight[0].tolist()])


class Growing(nn.Module):
    """A polynomial whose degree changes from call to call."""

    def __init__(self):
        super().__init__()
        self.low, self.high = (nn.Parameter(torch.zeros(n)) for n in (4, 1))

    def forward(self, x):
        y = self.low[0] + self.low[1] * x + self.low[2] * x**2 + self.low[3] * x**3
        for power in range(4, random.randint(4, 6)):
            y = y + self.high * x**power
        return y


random.seed(0)
growing = Growing()
steps = optim.SGD(growing.parameters(), lr=1e-8, momentum=0.9)
for _ in range(600):
    loss = ((growing(x) - y) ** 2).sum()
    steps.zero_grad()
    loss.backward()
    steps.step()
print(f"growing {loss.item():.0f}")

print("digits, from nothing to a convolution")
noise = np.random.RandomState(0)
truth = noise.randint(0, 4, 768)
images = (noise.rand(4, 256)[truth] + 0.4 * noise.randn(768, 256)).astype("float32")
x_train, y_train, x_test, y_test = map(torch.tensor, (images[:512], truth[:512], images[512:], truth[512:]))
weights = (torch.randn(256, 4) / math.sqrt(256)).requires_grad_()
bias = torch.zeros(4, requires_grad=True)


def log_likelihood(x):
    scores = x @ weights + bias
    return scores - scores.exp().sum(-1).log().unsqueeze(-1)


def accuracy(out, y):
    return (torch.argmax(out, dim=1) == y).float().mean()


for start in range(0, 512, 64):
    x, y = x_train[start:start + 64], y_train[start:start + 64]
    (-log_likelihood(x)[range(len(y)), y].mean()).backward()
    with torch.no_grad():
        weights -= weights.grad * 0.05
        bias -= bias.grad * 0.05
        weights.grad.zero_()
        bias.grad.zero_()
print(f"{F.cross_entropy(x_test @ weights + bias, y_test).item():.3f} {accuracy(x_test @ weights + bias, y_test):.2f}")


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Mapped:
    """Batches of a loader, changed on their way."""

    def __init__(self, loader, function):
        self.loader, self.function = loader, function

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            yield self.function(*batch)


convolutions = nn.Sequential(
    Apply(lambda x: x.view(-1, 1, 16, 16)), nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1), nn.ReLU(),
    nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1),
    nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), Apply(lambda x: x.view(x.size(0), -1)))
print(convolutions)
batches = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True)
batches = Mapped(batches, lambda x, y: (x.to(device), y))
steps = optim.Adam(convolutions.parameters(), lr=1e-2)
schedule = optim.lr_scheduler.StepLR(steps, step_size=1, gamma=0.5)
for _ in range(2):
    convolutions.train()
    for x, y in batches:
        loss = F.cross_entropy(convolutions(x), y)
        steps.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(convolutions.parameters(), 1.0)
        steps.step()
    schedule.step()
    convolutions.eval()
    with torch.no_grad():
        print(f"{F.cross_entropy(convolutions(x_test), y_test).item():.2f}", schedule.get_last_lr())
print(F.avg_pool2d(x_test[:1].view(-1, 1, 16, 16), 8).shape)

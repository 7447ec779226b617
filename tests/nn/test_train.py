"""Small models learn."""

from __future__ import annotations

import numpy as np

import pullback as pb
from pullback import nn


def test_a_network_learns_exclusive_or():
    pb.manual_seed(0)
    x = pb.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = pb.tensor(np.array([0, 1, 1, 0]))
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = pb.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model(x).numpy().argmax(1).tolist() == [0, 1, 1, 0]


def test_a_convolutional_network_learns_where_the_bar_is():
    pb.manual_seed(0)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((32, 1, 8, 8)).astype(np.float32) * 0.1
    labels = rng.integers(0, 2, 32)
    for image, label in zip(images, labels, strict=True):
        image[0, :, 2 + 3 * label] += 1
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Dropout(0.1), nn.Linear(36, 2))
    optimizer = pb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = pb.tensor(images), pb.tensor(labels)
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    model.eval()
    assert (model(x).numpy().argmax(1) == labels).mean() > 0.95
    assert model[1].num_batches_tracked.item() == 25

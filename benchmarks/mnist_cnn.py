"""A convolutional network on handwritten digits: `python mnist_cnn.py DIGITS.npz [torch]` prints held-out accuracy.

The file has x_train, y_train, x_test, y_test: images of 28 x 28 bytes. PyTorch and Pullback run the same lines.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import numpy as np

EPOCHS, BATCH, RATE = 12, 64, 2e-3
WANTED = 0.965


def shifted(x: Any, g: Any) -> Any:
    """Images moved by up to two pixels in each direction."""
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    found = np.empty_like(x)
    for k, (i, j) in enumerate(g.integers(0, 5, (len(x), 2))):
        found[k] = padded[k, :, i:i + 28, j:j + 28]
    return found


def train(lib: Any, nn: Any, optim: Any, path: str, seed: int = 0) -> float:
    """Accuracy on the images that are not trained on."""
    data = np.load(path)
    images = {k: (data[f"x_{k}"].astype(np.float32) / 255 - 0.13)[:, None] / 0.31 for k in ("train", "test")}
    labels = {k: data[f"y_{k}"].astype(np.int64) for k in ("train", "test")}
    lib.manual_seed(seed)
    g = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 7 * 7, 10))
    loss_of = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=RATE)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        order = g.permutation(len(labels["train"]))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            some = order[start:start + BATCH]
            optimizer.zero_grad()
            loss = loss_of(model(lib.tensor(shifted(images["train"][some], g))), lib.tensor(labels["train"][some]))
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with lib.no_grad():
        found = [model(lib.tensor(images["test"][k:k + 100])).detach().numpy().argmax(1) for k in range(0, 1000, 100)]
    return float((np.concatenate(found) == labels["test"]).mean())


def main() -> None:
    name = sys.argv[2] if len(sys.argv) > 2 else "pullback"
    lib = importlib.import_module(name)
    if name == "torch":
        lib.set_num_threads(2)
    start = time.perf_counter()
    accuracy = train(lib, importlib.import_module(f"{name}.nn"), importlib.import_module(f"{name}.optim"), sys.argv[1])
    print(f"{name}: {accuracy:.1%} held out in {time.perf_counter() - start:.1f} s")
    if accuracy < WANTED:
        sys.exit(f"expected at least {WANTED:.1%}")


if __name__ == "__main__":
    main()

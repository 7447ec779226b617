"""What `pullback train` can train: data, networks, optimiser and what is shown, for each choice."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from pullback.cli.errors import OptionError
from pullback.data import DataLoader, TensorDataset, crop_windows, digits, shakespeare, shift_images
from pullback.train import Callback, History, Run

SMOOTHING = 0.1  # of the labels: about a third fewer errors on held-out digits
WINDOW = 128  # characters that the network looks back on
HELD_OUT = 512  # windows of held-out text
PROMPT = "ROMEO.\n"


class Recipe(NamedTuple):
    """A run about to begin."""

    model: Any
    optimizer: Any
    schedule: Any
    loader: DataLoader
    loss: Any
    held_out: tuple[Any, Any]
    held_out_batch: int | None
    samples: str  # what the loader's rows are called
    watchers: list[Callback]


def make_model(name: str) -> Any:
    """A network of one image channel of 8 x 8 to scores of 10 digits."""
    nn = pb.nn
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 128),
                             nn.ReLU(),
                             nn.Dropout(0.3), nn.Linear(128, 10))
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def _loader(rows: TensorDataset, settings: dict[str, Any], augment: Any, what: str) -> DataLoader:
    if settings["batch_size"] > len(rows):
        raise OptionError(f"--batch-size {settings['batch_size']} is more than the {len(rows)} {what}")
    return DataLoader(rows, settings["batch_size"], shuffle=True, drop_last=True, generator=settings["seed"],
                      augment=augment)


def digits_recipe(settings: dict[str, Any]) -> Recipe:
    """Handwritten digits: shifted images, smoothed labels, AdamW along a cosine."""
    images, labels = digits("train").arrays
    loader = _loader(TensorDataset(images[:, None], labels), settings, shift_images, "training images")
    model = make_model(settings["model"])
    optimizer = pb.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=0.05)
    schedule = pb.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings["epochs"] * len(loader))
    images, labels = digits("test").arrays
    return Recipe(model, optimizer, schedule, loader, pb.nn.CrossEntropyLoss(label_smoothing=SMOOTHING),
                  (pb.tensor(images[:, None]), pb.tensor(labels)), None, "digits", [])


def chars_recipe(settings: dict[str, Any]) -> Recipe:
    """Plays by Shakespeare, character by character: random windows of the text, a small GPT, AdamW along a cosine."""
    from pullback.train.language import CharGPT, Samples

    train, test = shakespeare("train"), shakespeare("test")
    letters = "".join(sorted({*train, *test}))
    table = np.zeros(128, np.uint8)
    table[[ord(c) for c in letters]] = np.arange(len(letters))
    text = table[np.frombuffer(train.encode("ascii"), np.uint8)]
    rows = TensorDataset(np.lib.stride_tricks.sliding_window_view(text, 2 * WINDOW)[::WINDOW])
    loader = _loader(rows, settings, partial(crop_windows, length=WINDOW), "windows of text")
    model = CharGPT(len(letters), WINDOW)
    optimizer = pb.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=0.05)
    schedule = pb.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings["epochs"] * len(loader))
    held = table[np.frombuffer(test.encode("ascii"), np.uint8)]
    x, y = (held[k:k + HELD_OUT * WINDOW].reshape(HELD_OUT, WINDOW) for k in (0, 1))
    return Recipe(model, optimizer, schedule, loader, pb.nn.CrossEntropyLoss(),
                  (pb.tensor(x.astype(np.int32)), pb.tensor(y.astype(np.int64))), 64, "windows of text",
                  [Samples(letters, PROMPT)])


RECIPES = {"digits": digits_recipe, "chars": chars_recipe}


def stretch(recipe: Recipe, epochs: int) -> None:
    """Let the learning rate fall to zero at the end of so many epochs."""
    recipe.schedule.T_max = epochs * len(recipe.loader)


def result(run: Run, history: History, data: str) -> str:
    """What a finished run says of itself."""
    accuracy = f"held-out accuracy {history.last('held_out_accuracy'):.2%}"
    if data == "chars":
        accuracy = f"held-out loss {history.last('held_out_loss'):.3f}, {accuracy} of the next character"
    return f"{accuracy} after {run.epoch} epochs"

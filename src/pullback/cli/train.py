"""`pullback train digits`."""

from __future__ import annotations

import argparse
import os
import sys
from time import perf_counter
from typing import Any

import pullback as pb
from pullback.cli.train_options import DEFAULTS, OptionError
from pullback.data import DataLoader, TensorDataset, digits, shift_images
from pullback.io import load_checkpoint, load_metadata
from pullback.train import Callback, Checkpoint, History, Lines, Progress, Run, fit
from pullback.viz.curve import have_matplotlib, save_curve, text_curve

CHECKPOINT = "checkpoint.safetensors"
SMOOTHING = 0.1  # of the labels: about a third fewer errors on held-out digits


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


def _settings(options: argparse.Namespace, path: str) -> dict[str, Any]:
    """The run's settings: what was asked for, else what the checkpoint was made with, else the defaults."""
    stored: dict[str, str] = {}
    if options.resume:
        if not os.path.exists(path):
            raise OptionError(f"there is no checkpoint {path} to go on from: leave out --resume, "
                              "or name its folder with --out")
        stored = load_metadata(path)
        if stored.get("data") != options.data or not set(DEFAULTS) <= set(stored):
            raise OptionError(f"{path} was not made by pullback train {options.data}")
    chosen: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        asked = getattr(options, name)
        before = type(default)(stored[name]) if stored else default
        chosen[name] = before if asked is None else asked
        if stored and name != "epochs" and chosen[name] != before:
            raise OptionError(f"the checkpoint was made with --{name.replace('_', '-')} {before}: "
                              "leave the option out, or start anew without --resume")
    return chosen


def _prepare(settings: dict[str, Any]) -> tuple[Any, Any, Any, Any, tuple[Any, Any]]:
    """Model, optimiser, learning rate schedule, loader, held-out digits."""
    pb.manual_seed(settings["seed"])
    images, labels = digits("train").arrays
    train = TensorDataset(images[:, None], labels)
    if settings["batch_size"] > len(train):
        raise OptionError(f"--batch-size {settings['batch_size']} is more than the {len(train)} training images")
    loader = DataLoader(train, settings["batch_size"], shuffle=True, drop_last=True, generator=settings["seed"],
                        augment=shift_images)
    model = make_model(settings["model"])
    optimizer = pb.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=0.05)
    schedule = pb.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings["epochs"] * len(loader))
    images, labels = digits("test").arrays
    return model, optimizer, schedule, loader, (pb.tensor(images[:, None]), pb.tensor(labels))


def run_train(options: argparse.Namespace) -> int:
    """Train, save, draw; returns the exit code."""
    began = perf_counter()
    path = os.path.join(options.out, CHECKPOINT)
    settings = _settings(options, path)
    model, optimizer, schedule, loader, held_out = _prepare(settings)
    history = History()
    if options.resume:
        found = load_checkpoint(path, model=model, optimizer=optimizer, loader=loader)
        history.load_state_dict(found["extra"]["history"])
        schedule.load_state_dict(found["extra"]["schedule"])
        schedule.T_max = settings["epochs"] * len(loader)
    os.makedirs(options.out, exist_ok=True)
    notes = {"data": options.data, **{name: str(value) for name, value in settings.items()}}
    watchers: list[Callback] = [Checkpoint(path, notes)]
    if not options.quiet:
        _announce(settings, loader, model, history)
        watchers.append(Progress() if sys.stdout.isatty() else Lines())
    loss = pb.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    run = fit(model, optimizer, loss, loader, settings["epochs"], held_out, schedule, watchers, history)
    return _report(run, options, path, perf_counter() - began)


def _announce(settings: dict[str, Any], loader: Any, model: Any, history: History) -> None:
    weights = sum(p.numel() for p in model.parameters())
    resumed = bool(len(history) or loader.position)
    start = f", going on after {loader.epoch} epochs and {loader.position} steps" if resumed else ""
    print(f"{settings['model']} of {weights:,} weights on {len(loader.dataset):,} digits, "
          f"{len(loader)} steps an epoch{start}", flush=True)


def _report(run: Run, options: argparse.Namespace, path: str, seconds: float) -> int:
    history = run.measured
    if run.interrupted:
        print(f"stopped in epoch {run.epoch + 1}; {path} is saved, go on with: pullback train {options.data} --resume"
              + (f" --out {options.out}" if options.out != "runs/digits" else ""))
        return 130
    losses, accuracies = history.steps, history.epochs
    curve = save_curve(options.out, {"loss": losses}, title=f"pullback train {options.data}",
                       right={"accuracy": accuracies["accuracy"], "held-out accuracy": accuracies["held_out_accuracy"]})
    if not options.quiet and not have_matplotlib():
        print(text_curve(losses, title="loss"))
    print(f"held-out accuracy {history.last('held_out_accuracy'):.2%} after {run.epoch} epochs, {seconds:.1f} s in all")
    if not options.quiet:
        print(f"saved {path} and {curve}")
    return 0

"""`pullback train digits` and `pullback train chars`."""

from __future__ import annotations

import argparse
import os
import sys
from time import perf_counter
from typing import Any

import pullback as pb
from pullback.cli.errors import OptionError
from pullback.cli.recipes import RECIPES, Recipe, result, stretch
from pullback.cli.train_options import DEFAULTS
from pullback.io import load_checkpoint, load_metadata
from pullback.train import Callback, Checkpoint, History, Lines, Progress, Run, fit
from pullback.viz.curve import have_matplotlib, save_curve, text_curve

CHECKPOINT = "checkpoint.safetensors"


def _settings(options: argparse.Namespace, path: str) -> dict[str, Any]:
    """The run's settings: what was asked for, else what the checkpoint was made with, else the defaults."""
    stored: dict[str, str] = {}
    defaults = DEFAULTS[options.data]
    if options.resume:
        if not os.path.exists(path):
            raise OptionError(f"there is no checkpoint {path} to go on from: leave out --resume, "
                              "or name its folder with --out")
        stored = load_metadata(path)
        if stored.get("data") != options.data or not set(defaults) <= set(stored):
            raise OptionError(f"{path} was not made by pullback train {options.data}")
    chosen: dict[str, Any] = {}
    for name, default in defaults.items():
        asked = getattr(options, name)
        before = type(default)(stored[name]) if stored else default
        chosen[name] = before if asked is None else asked
        if stored and name != "epochs" and chosen[name] != before:
            raise OptionError(f"the checkpoint was made with --{name.replace('_', '-')} {before}: "
                              "leave the option out, or start anew without --resume")
    return chosen


def run_train(options: argparse.Namespace) -> int:
    """Train, save, draw; returns the exit code."""
    began = perf_counter()
    path = os.path.join(options.out, CHECKPOINT)
    settings = _settings(options, path)
    pb.manual_seed(settings["seed"])
    recipe = RECIPES[options.data](settings)
    history = History()
    if options.resume:
        found = load_checkpoint(path, model=recipe.model, optimizer=recipe.optimizer, loader=recipe.loader)
        history.load_state_dict(found["extra"]["history"])
        recipe.schedule.load_state_dict(found["extra"]["schedule"])
        stretch(recipe, settings["epochs"])
    os.makedirs(options.out, exist_ok=True)
    notes = {"data": options.data, **{name: str(value) for name, value in settings.items()}}
    watchers: list[Callback] = [Checkpoint(path, notes)]
    if not options.quiet:
        _announce(settings, recipe, history)
        watchers += [Progress() if sys.stdout.isatty() else Lines(), *recipe.watchers]
    run = fit(recipe.model, recipe.optimizer, recipe.loss, recipe.loader, settings["epochs"], recipe.held_out,
              recipe.schedule, watchers, history, recipe.held_out_batch)
    return _report(run, options, path, perf_counter() - began)


def _announce(settings: dict[str, Any], recipe: Recipe, history: History) -> None:
    loader = recipe.loader
    weights = sum(p.numel() for p in recipe.model.parameters())
    resumed = bool(len(history) or loader.position)
    start = f", going on after {loader.epoch} epochs and {loader.position} steps" if resumed else ""
    print(f"{settings['model']} of {weights:,} weights on {len(loader.dataset):,} {recipe.samples}, "
          f"{len(loader)} steps an epoch{start}", flush=True)


def _report(run: Run, options: argparse.Namespace, path: str, seconds: float) -> int:
    history = run.measured
    if run.interrupted:
        print(f"stopped in epoch {run.epoch + 1}; {path} is saved, go on with: pullback train {options.data} --resume"
              + (f" --out {options.out}" if options.out != f"runs/{options.data}" else ""))
        return 130
    losses, accuracies = history.steps, history.epochs
    curve = save_curve(options.out, {"loss": losses}, title=f"pullback train {options.data}",
                       right={"accuracy": accuracies["accuracy"], "held-out accuracy": accuracies["held_out_accuracy"]})
    if not options.quiet and not have_matplotlib():
        print(text_curve(losses, title="loss"))
    print(f"{result(run, history, options.data)}, {seconds:.1f} s in all")
    if not options.quiet:
        print(f"saved {path} and {curve}")
    return 0

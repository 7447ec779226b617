"""The options of `pullback train`, checked as they are read."""

from __future__ import annotations

import argparse
import math

DEFAULTS = {
    "digits": {"epochs": 40, "batch_size": 32, "model": "mlp", "seed": 0, "lr": 3e-3},
    "chars": {"epochs": 4, "batch_size": 32, "model": "gpt", "seed": 0, "lr": 3e-3},
}
MODELS = {"digits": ("mlp", "cnn"), "chars": ("gpt",)}
ABOUT = {"digits": "1,797 handwritten digits of 8 x 8 pixels",
         "chars": "ten plays by Shakespeare, character by character; shows what the network writes as it learns"}


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 10")
    return rate


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what can be trained, and its options."""
    kinds = parser.add_subparsers(dest="data", required=True, metavar="data")
    for data, about in ABOUT.items():
        _add_options(kinds.add_parser(data, help=about, description=f"Train a network on {about}."), data)


def _add_options(parser: argparse.ArgumentParser, data: str) -> None:
    """Those left out are None: a resumed run takes them from its checkpoint."""
    defaults = DEFAULTS[data]
    parser.add_argument("--model", choices=MODELS[data], help=f"kind of network (default {defaults['model']})")
    parser.add_argument("--epochs", type=_count, metavar="N",
                        help=f"passes over the data (default {defaults['epochs']})")
    parser.add_argument("--batch-size", type=_count, metavar="N",
                        help=f"samples in a step (default {defaults['batch_size']})")
    parser.add_argument("--lr", type=_rate, metavar="RATE", help=f"greatest learning rate (default {defaults['lr']})")
    parser.add_argument("--seed", type=_seed, metavar="N", help=f"of weights and order (default {defaults['seed']})")
    parser.add_argument("--out", default=f"runs/{data}", metavar="FOLDER",
                        help="where checkpoint and curve go (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--quiet", action="store_true", help="print the result only")

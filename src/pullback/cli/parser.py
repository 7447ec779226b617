"""The options of all commands, and their help. `pullback run FILE` does without: this takes 8 ms to load and make."""

from __future__ import annotations

import argparse
import os
from typing import Any

from pullback import __version__
from pullback.cli import train_options


class _Version(argparse.Action):
    """`pullback --version`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"pullback {__version__}")
        parser.exit()


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Help as wide as the terminal. Left to itself, argparse loads shutil for the width in every process (3 ms)."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 80
    return argparse.HelpFormatter(prog, width=max(columns, 24) - 2)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="pullback", description="A deep-learning framework in pure Python.",
                                   formatter_class=_formatter)
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    train = commands.add_parser("train", help="train a network on data that ships with the package",
                                formatter_class=_formatter,
                                description="Train a network on data that ships with the package.")
    train_options.add(train)
    _add_run(commands.add_parser("run", help="run a script written for another framework, unchanged",
                                formatter_class=_formatter,
                                description="Run a script, notebook or Markdown document; import torch, jax, ... are "
                                            "answered by this library."))
    commands.add_parser("info", help="version, processor, threads, cache, flags", formatter_class=_formatter,
                        description="Show version, processor, threads, cache and flags.")
    return made


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pullback run`."""
    parser.add_argument("--styles", action="store_true", help="list the imports that are answered")
    parser.add_argument("--plots", metavar="FOLDER", help="write what matplotlib draws there, as PNG, after each block "
                                                          "(before FILE)")
    parser.add_argument("file", nargs="?", help="a Python file, a notebook (.ipynb) or a Markdown document (.md); - "
                                                  "reads Python from standard input")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script finds in sys.argv")

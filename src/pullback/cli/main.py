"""`pullback train digits`, `pullback run` and `pullback info`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

from pullback import __version__
from pullback.cli import run, train_options
from pullback.util.errors import PullbackError


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pullback", description="A deep-learning framework in pure Python.",
                                     formatter_class=_formatter)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    train = commands.add_parser("train", help="train a network on data that ships with the package",
                                formatter_class=_formatter,
                                description="Train a network on data that ships with the package.")
    train_options.add(train)
    run.add(commands.add_parser("run", help="run a script written for another framework, unchanged",
                                formatter_class=_formatter,
                                description="Run a script, notebook or Markdown document; import torch, jax, ... are "
                                            "answered by this library."))
    commands.add_parser("info", help="version, processor, threads, cache, flags", formatter_class=_formatter,
                        description="Show version, processor, threads, cache and flags.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if arguments is None:  # a process of its own: what is loaded by now stays, and need not be looked through again
        gc.freeze()
    try:
        if options.command == "info":
            from pullback.cli.info import run_info  # each command loads what it needs, when it is chosen

            return run_info()
        if options.command == "run":
            return run.run_file(options)
        from pullback.cli.train import run_train

        return run_train(options)
    except (train_options.OptionError, run.FileError) as error:
        print(f"pullback {options.command}: error: {error}", file=sys.stderr)
        return 2
    except PullbackError as error:
        print(f"pullback {options.command}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has gone, as in `pullback info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"pullback {options.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""`pullback train digits`, `pullback run` and `pullback info`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from pullback.cli import run
from pullback.cli.errors import FileError, OptionError
from pullback.util.errors import PullbackError


def _options(arguments: Sequence[str]) -> Any:
    """What the arguments say. A script with its own arguments is the common case, and a short one."""
    if len(arguments) > 1 and arguments[0] == "run" and (arguments[1] == "-" or not arguments[1].startswith("-")):
        file, *rest = arguments[1:]
        return SimpleNamespace(command="run", styles=False, plots=None, file=file, arguments=rest)
    from pullback.cli.parser import parser

    return parser().parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        gc.freeze()  # a process of its own: what is loaded by now stays, and need not be looked through again
    options = _options(arguments)
    try:
        if options.command == "info":
            from pullback.cli.info import run_info  # each command loads what it needs, when it is chosen

            return run_info()
        if options.command == "run":
            return run.run_file(options)
        from pullback.cli.train import run_train

        return run_train(options)
    except (OptionError, FileError) as error:
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

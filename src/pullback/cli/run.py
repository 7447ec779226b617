"""`pullback run`: a script for another framework, unchanged, on this library.

`import torch` and its like are answered with the dialects, in this process only. The script is `__main__`; its
arguments,
its traceback and its exit code are its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from types import ModuleType, TracebackType
from typing import Any

from pullback.cli.blocks import Block, blocks_of
from pullback.dialects import DIALECTS, FINDER, HOME
from pullback.engine.tensor import TensorBase
from pullback.util.errors import PullbackError, message


class FileError(PullbackError):
    """A file that cannot be run."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--styles", action="store_true", help="list the imports that are answered")
    parser.add_argument("file", nargs="?", help="a Python file, a notebook (.ipynb) or a Markdown document (.md)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script finds in sys.argv")


def run_file(options: argparse.Namespace) -> int:
    """Run a script; returns its exit code."""
    if options.styles:
        return _list_styles()
    if options.file is None:
        raise FileError(message("no file is given", help="pullback run train.py, or pullback run --styles"))
    path = os.path.abspath(options.file)
    blocks = blocks_of(path, _content(options.file))
    answer_imports()
    module = _main_module(path, [options.file, *options.arguments])
    try:
        _give_forgotten(blocks, module, path)
        for block in blocks:
            _run_block(block, module, path)
    except SystemExit as stop:
        return _exit_code(stop.code)
    except BaseException as error:
        _report(error, path)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    finally:
        _flush()
    return 0


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise FileError(f"can't open file {path!r}: {error.strerror}") from None


def answer_imports() -> None:
    """Let `import torch` and its like find the dialects, in this process."""
    for name in DIALECTS:
        FINDER.add(name, f"{HOME}.{name}")


def _main_module(path: str, arguments: list[str]) -> ModuleType:
    """The script's `__main__`."""
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None)
    if path.endswith(".ipynb"):
        module.__dict__["display"] = _display
    sys.modules["__main__"] = module
    sys.argv = arguments
    folder = os.path.dirname(path)
    if sys.path and not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder
    return module


def _give_forgotten(blocks: list[Block], module: ModuleType, path: str) -> None:
    """Names that a document uses and imports nowhere. A script says what it needs."""
    if not any(block.shown for block in blocks):
        return
    from pullback.cli.forgotten import forgotten  # documents only: it reads their syntax trees

    for name, line, source, value in forgotten(blocks):
        print(f"{path}:{line}: {name!r} is imported nowhere in the document: taken from {source}", file=sys.stderr)
        module.__dict__[name] = value


def _display(*values: Any) -> None:
    for value in values:
        print(repr(value))


def _run_block(block: Block, module: ModuleType, path: str) -> None:
    for line, text in block.skipped:
        print(f"{path}:{line}: skipped: {text.strip()}", file=sys.stderr)
    body, last = block.compile(path)
    exec(body, module.__dict__)
    if last is not None:
        sys.displayhook(eval(last, module.__dict__))


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _report(error: BaseException, path: str) -> None:
    """Show an exception as Python does, from the script's first line on."""
    own: TracebackType | None = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename != path:
        own = own.tb_next
    if isinstance(error, SyntaxError) and error.filename == path:
        own = None
    _flush()
    error = error.with_traceback(own)
    sys.excepthook(type(error), error, own)
    if sys.excepthook is not sys.__excepthook__:
        return  # the script's own
    if isinstance(error, AttributeError) and isinstance(error.obj, TensorBase):
        style = type(error.obj).__module__
        print(f"  help  to ask for it, open an issue that names {style}.{type(error.obj).__name__}.{error.name}",
              file=sys.stderr)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "matplotlib":
        print("  help  the script draws with matplotlib: pip install 'pullback[plot]'", file=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass


def _list_styles() -> int:
    from importlib import import_module
    from pkgutil import walk_packages

    print("pullback run answers these imports, in its own process only:\n")
    for name in DIALECTS:
        package = import_module(f"{HOME}.{name}")
        found = [m.name.rpartition(".") for m in walk_packages(package.__path__, f"{HOME}.{name}.")]
        inner = [f"{parent}.{m}".removeprefix(f"{HOME}.") for parent, _, m in found if m in dir(import_module(parent))]
        first = (package.__doc__ or "").strip().split("\n")[0]
        print(f"{name:<11} {first}")
        print(f"{'':<11} {len(dir(package))} names; {', '.join([name, *inner])}")
    print("\nIn a program of your own: import pullback.torch as torch. "
          "Files: .py, .ipynb, .md (their Python blocks in order).")
    return 0

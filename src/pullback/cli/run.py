"""`pullback run`: a script for another framework, unchanged, on this library.

`import torch` and its like are answered with the dialects, in this process only. The script is `__main__`; its
arguments,
its traceback and its exit code are its own.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, ModuleType, TracebackType
from typing import Any

from pullback.cli.blocks import Block, blocks_of
from pullback.cli.errors import FileError
from pullback.dialects import DIALECTS, FINDER, HOME, nearest, public_name
from pullback.util.errors import AttributeError_, MissingModuleError, PullbackError, message

#: packages that belong to a framework and are not answered
_COMPANIONS = {"torchvision": "torch", "torchaudio": "torch", "torchtext": "torch", "torchdata": "torch",
               "lightning": "torch", "pytorch_lightning": "torch", "flax": "jax", "optax": "jax", "equinox": "jax",
               "haiku": "jax", "keras": "tensorflow", "tensorflow_datasets": "tensorflow",
               "tensorflow_hub": "tensorflow"}
#: where Python that comes from standard input says it is
_STDIN = "<stdin>"
_written: set[str] = set()
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run_file(options: Any) -> int:
    """Run a script; returns its exit code."""
    if options.styles:
        return _list_styles()
    if options.file is None:
        raise FileError(message("no file is given", help="pullback run train.py, or pullback run --styles"))
    path = _STDIN if options.file == "-" else os.path.abspath(options.file)
    try:
        blocks = blocks_of(path, _content(options.file))
    except PullbackError as error:
        raise FileError(str(error)) from None
    if options.plots is not None:
        os.environ.setdefault("MPLBACKEND", "Agg")
    answer_imports()
    module = _main_module(path, [options.file, *options.arguments])
    try:
        _give_forgotten(blocks, module, path)
        for block in blocks:
            _run_block(block, module, path)
            if options.plots is not None:
                _write_plots(options.plots, path)
    except SystemExit as stop:
        return _exit_code(stop.code)
    except BaseException as error:
        _report(error, path, {block.name(path) for block in blocks})
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    finally:
        _flush()
    return 0


def _content(path: str) -> bytes:
    if path == "-":
        return b"" if sys.stdin is None else sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        help = "name the script in it" if isinstance(error, IsADirectoryError) else ""
        raise FileError(message(f"can't open file {path!r}: {error.strerror}", help=help)) from None
    except ValueError as error:  # a null byte in the name
        raise FileError(f"can't open file {path!r}: {error}") from None


def answer_imports() -> None:
    """Let `import torch` and its like find the dialects, in this process."""
    for name in DIALECTS:
        FINDER.add(name, f"{HOME}.{name}")


def _main_module(path: str, arguments: list[str]) -> ModuleType:
    """The script's `__main__`."""
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None)
    if path.endswith((".ipynb", ".md", ".markdown")):
        module.__dict__.update(display=_display, get_ipython=_Shell)
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


class _Shell:
    """What `get_ipython()` gives in a notebook: magics and shell commands are skipped with a word."""

    def _skip(self, *parts: Any, **options: Any) -> None:
        print("skipped:", *parts, file=sys.stderr)

    run_line_magic = run_cell_magic = magic = system = getoutput = _skip


def _run_block(block: Block, module: ModuleType, path: str) -> None:
    name = block.name(path)
    for line, text in block.skipped:
        print(f"{name}:{line}: skipped: {text.strip()}", file=sys.stderr)
    if block.cell:
        import linecache  # tracebacks find a cell's lines here, and nowhere else

        lines = [line + "\n" for line in str(block.source).split("\n")]
        linecache.cache[name] = (len(str(block.source)), None, lines, name)
    body, last = block.compile(path)
    _evaluated(body, module)
    if last is not None:
        sys.displayhook(_evaluated(last, module))


def _write_plots(folder: str, path: str) -> None:
    """Write the open figures, and close them: a notebook shows each below the cell that drew it."""
    modules: dict[str, Any] = sys.modules
    if "matplotlib.pyplot" not in modules:
        return
    pyplot = modules["matplotlib.pyplot"]
    for number in pyplot.get_fignums():
        os.makedirs(folder, exist_ok=True)
        stem = os.path.join(folder, os.path.splitext(os.path.basename(path))[0])
        count = next(k for k in range(1, 10**6) if f"{stem}_{k}.png" not in _written)
        _written.add(f"{stem}_{count}.png")
        pyplot.figure(number).savefig(f"{stem}_{count}.png")
        pyplot.close(number)
        print(f"written: {stem}_{count}.png", file=sys.stderr)


def _evaluated(code: CodeType, module: ModuleType) -> Any:
    """The value of code, which in a document may await at its top."""
    found = eval(code, module.__dict__)
    if not code.co_flags & 0x80:  # a coroutine
        return found
    import asyncio  # for those documents only

    return asyncio.run(found)


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _report(error: BaseException, path: str, names: set[str]) -> None:
    """Show an exception as Python does, from the script's first line on."""
    own: TracebackType | None = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename not in names:
        own = own.tb_next
    if isinstance(error, SyntaxError) and error.filename in names:
        own = None
    if isinstance(error, MissingModuleError):
        _cut(own)
    _flush()
    error = error.with_traceback(own)
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error, own)
        return  # the script's own
    if names == {path}:
        sys.excepthook(type(error), error, own)
    else:  # Python's own hook looks for a notebook's lines in its file
        import traceback

        traceback.print_exception(type(error), error, own)
    _help(error)


def _cut(own: TracebackType | None) -> None:
    """End a traceback where the import was written: how imports are answered is of no use to its reader."""
    last = own
    while own is not None:
        name = own.tb_frame.f_code.co_filename
        if not name.startswith(("<frozen", _HERE)) and os.sep + "importlib" + os.sep not in name:
            last = own
        own = own.tb_next
    if last is not None:
        last.tb_next = None


def _help(error: BaseException) -> None:
    """A word on what is not there."""
    missing = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in _COMPANIONS:
        print(f"  help  pullback run answers {', '.join(DIALECTS)}; {missing} is no part of them and needs the real "
              f"{_COMPANIONS[missing]}", file=sys.stderr)
    if isinstance(error, AttributeError) and not isinstance(error, AttributeError_):
        kind = type(error.obj)
        if kind.__module__.startswith(("torch", HOME)):
            shown = f"{public_name(kind.__module__).split('.')[0]}.{kind.__name__}"
            print(f"  help  {nearest(shown, str(error.name), dir(error.obj))}", file=sys.stderr)
    if missing == "matplotlib":
        print("  help  the script draws with matplotlib: pip install 'pullback[plot]'", file=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # None where it was closed
                stream.flush()
        except (OSError, ValueError):
            pass


def _list_styles() -> int:
    from importlib import import_module
    from pkgutil import walk_packages
    from textwrap import fill

    print("pullback run answers these imports, in its own process only (in brackets how many names each has):\n")
    for name in DIALECTS:
        package = import_module(f"{HOME}.{name}")
        found = [m.name.rpartition(".") for m in walk_packages(package.__path__, f"{HOME}.{name}.")]
        inner = [f"{parent}.{m}" for parent, _, m in found if m in dir(import_module(parent))]
        modules = {module: import_module(module) for module in [f"{HOME}.{name}", *inner]}
        counted = [f"{module.removeprefix(HOME + '.')}({sum(not n.startswith('_') for n in dir(found))})"
                   for module, found in modules.items()]
        first = (package.__doc__ or "").strip().split("\n")[0]
        print(f"{name:<11} {first}")
        print(fill(", ".join(counted), 100, initial_indent=" " * 12, subsequent_indent=" " * 12))
    print("\nIn a program of your own: import pullback.torch as torch.\n"
          "Files: .py, .ipynb, .md (their Python blocks in order).")
    return 0
